//! Journals as releases left them, one folder for each format: `tests/golden/journal-v2/` has a compressed segment,
//! plain ones and a snapshot, and `state-hash.txt` names the state that they fold to. Opened by this release, or refused
//! by name if the format is another.
//!
//! The records are those of the newest `tests/golden/records-v*.hex`. When their format changes before a release,
//! `CARDSWITCH_REGENERATE_GOLDEN=1 cargo test --test journal_golden` writes the folder anew. After a release it stays as it is.

use cardswitch::engine::hash::state_hash;
use cardswitch::engine::world::World;
use cardswitch::engine::{record, snapshot};
use cardswitch::journal::{
    FORMAT_VERSION, FileStorage, Journal, JournalError, MemoryStorage, Position, Reader,
    RecordBatch, Settings, Storage, newest_snapshot, verify, write_snapshot,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

const ID: u128 = 0x601d;

fn golden(version: u32) -> PathBuf {
    PathBuf::from(format!("tests/golden/journal-v{version}"))
}

/// That of this release, written anew first if that is asked for.
fn ours() -> PathBuf {
    static ASKED: Once = Once::new();
    let folder = golden(FORMAT_VERSION);
    ASKED.call_once(|| {
        if std::env::var_os("CARDSWITCH_REGENERATE_GOLDEN").is_some() {
            let _ = fs::remove_dir_all(&folder);
            write(&folder, &records());
        }
    });
    folder
}

fn settings() -> Settings {
    Settings {
        segment_size_bytes: 2_048,
        pending_limit_bytes: 1_500,
        reserve_bytes: 0,
        ..Settings::default()
    }
}

/// The records of the newest file of golden ones.
fn records() -> Vec<Vec<u8>> {
    let names = fs::read_dir("tests/golden").unwrap();
    let names = names.map(|entry| entry.unwrap().path());
    let newest = names.filter(|path| path.to_string_lossy().contains("/records-v"));
    let text = fs::read_to_string(newest.max().unwrap()).unwrap();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let lines = text.lines().skip(1);
    lines
        .map(|line| line.as_bytes().chunks(2).map(byte).collect())
        .collect()
}

fn write(folder: &Path, records: &[Vec<u8>]) {
    let storage = FileStorage::create(folder).unwrap();
    let (mut journal, _) = Journal::open(storage.clone(), &settings(), ID).unwrap();
    let (mut world, mut batch) = (World::new(1), RecordBatch::new());
    for (number, records) in records.chunks(3).enumerate() {
        for bytes in records {
            batch.push(bytes);
            world.apply(&record::read(bytes).unwrap());
        }
        let appended = journal.handle().append(&mut batch, Box::new(|_| {}));
        let last = appended.unwrap().last;
        journal.commit_pending().unwrap();
        if number == 3 {
            let mut reader = journal.handle().reader(1).unwrap();
            while reader.position().sequence < last {
                reader.next().unwrap();
            }
            let content = |out: &mut dyn std::io::Write| {
                snapshot::write(&world, out).map_err(std::io::Error::other)
            };
            write_snapshot(&*storage, ID, reader.position(), content).unwrap();
        }
    }
    journal.mark_if_due().unwrap();
    assert!(journal.tidy(), "there is a segment to compress");
    drop(journal);
    fs::remove_file(folder.join("lock")).unwrap();
    let hash = format!("{:032x}\n", state_hash(&world));
    fs::write(folder.join("state-hash.txt"), hash).unwrap();
}

/// A copy, because opening a journal for writing writes.
fn copy(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

/// Opens the journal and folds what comes after `after` into `world`.
fn open(folder: &Path, world: &mut World, after: Position) -> Result<Journal, JournalError> {
    let storage = FileStorage::existing(folder).unwrap();
    let mut visit = |_, bytes: &[u8]| {
        let record = record::read(bytes).map_err(|error| error.to_string())?;
        world.apply(&record);
        Ok(())
    };
    Journal::open_after(storage, &settings(), 1, after, &mut visit).map(|(journal, _)| journal)
}

#[test]
fn the_golden_journal_is_read_and_folds_to_the_state_of_then() {
    let ours = ours();
    let hash = fs::read_to_string(ours.join("state-hash.txt")).unwrap();
    let hash = u128::from_str_radix(hash.trim(), 16).unwrap();
    let copy = copy(&ours);
    let storage: Arc<dyn Storage> = FileStorage::existing(copy.path()).unwrap();
    let report = verify(&storage, |_| {}).unwrap();
    assert!(report.segments > report.compressed_segments);
    assert_eq!(
        (report.compressed_segments, report.journal_id),
        (1, Some(ID))
    );
    assert_eq!((report.first_sequence, report.unfinished_bytes), (1, 0));
    assert!(report.records >= 25);
    for shards in [1, 4] {
        let copy = self::copy(&ours);
        let storage: Arc<dyn Storage> = FileStorage::existing(copy.path()).unwrap();
        let mut world = World::new(shards);
        open(copy.path(), &mut world, Position::default()).unwrap();
        assert_eq!(state_hash(&world), hash, "with {shards} shards");
        let mut snapshot = newest_snapshot(&storage, Some(ID)).unwrap().newest.unwrap();
        let after = snapshot.info().at;
        assert!(after.sequence > 0 && after.sequence < report.records);
        let mut world = snapshot::read(&mut snapshot, shards).unwrap();
        let mut journal = open(copy.path(), &mut world, after).unwrap();
        assert_eq!(state_hash(&world), hash, "from the snapshot");
        // And it goes on.
        let mut batch = RecordBatch::new();
        batch.push(&records()[0]);
        let appended = journal.handle().append(&mut batch, Box::new(|_| {}));
        assert_eq!(appended.unwrap().last, report.records + 1);
        journal.commit_pending().unwrap();
    }
}

#[test]
fn journals_of_other_formats_are_refused_by_name() {
    for version in (1..FORMAT_VERSION).filter(|version| golden(*version).exists()) {
        let copy = copy(&golden(version));
        let refused = open(copy.path(), &mut World::new(1), Position::default());
        let error = refused.err().expect("another format was read");
        let JournalError::FormatVersion { found, known, .. } = error else {
            panic!("{error}")
        };
        assert_eq!((found, known), (version, FORMAT_VERSION));
    }
}

/// Makes a header one of the next version: with a layout of its own, so that our hash does not fit it.
fn make_it_newer(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    bytes[8..12].copy_from_slice(&(FORMAT_VERSION + 1).to_le_bytes());
    bytes[111] ^= 0xff;
    fs::write(file, bytes).unwrap();
}

#[test]
fn what_a_later_release_wrote_is_refused_by_name() {
    let ours = ours();
    // A segment.
    let newer = copy(&ours);
    let segment = "journal-0000000002.segment";
    make_it_newer(&newer.path().join(segment));
    let error = open(newer.path(), &mut World::new(1), Position::default()).err();
    let told = error.expect("a later format was read").to_string();
    let (found, known) = (FORMAT_VERSION + 1, FORMAT_VERSION);
    let sentence =
        format!("{segment} has format version {found}; this release reads version {known}.");
    assert!(told.contains(&sentence), "{told}");
    let storage: Arc<dyn Storage> = FileStorage::existing(newer.path()).unwrap();
    assert!(
        verify(&storage, |_| {})
            .unwrap_err()
            .to_string()
            .contains(&sentence)
    );
    let mut reader = Reader::open(storage, 1).unwrap();
    let error = loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the reader waits before a later format"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains(&sentence), "{error}");
    // A snapshot: named and passed over.
    let newer = copy(&ours);
    let names = fs::read_dir(newer.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let snapshot = names
        .into_iter()
        .find(|path| path.to_string_lossy().contains("snapshot-"));
    make_it_newer(&snapshot.unwrap());
    let storage: Arc<dyn Storage> = FileStorage::existing(newer.path()).unwrap();
    let found = newest_snapshot(&storage, Some(ID)).unwrap();
    assert!(found.newest.is_none() && found.skipped.len() == 1);
    let told = found.skipped[0].to_string();
    assert!(told.contains("has format version"), "{told}");
    // A record.
    let storage = MemoryStorage::new();
    let (mut journal, _) = Journal::open(storage.clone(), &settings(), ID).unwrap();
    let (mut record, mut batch) = (records().swap_remove(0), RecordBatch::new());
    record[0] += 1;
    batch.push(&record);
    journal
        .handle()
        .append(&mut batch, Box::new(|_| {}))
        .unwrap();
    journal.commit_pending().unwrap();
    drop(journal);
    let mut visit = |_, bytes: &[u8]| record::read(bytes).map(drop).map_err(|e| e.to_string());
    let opened = Journal::open_after(storage, &settings(), 1, Position::default(), &mut visit);
    let told = opened.err().expect("a later record was read").to_string();
    assert!(
        told.contains("record 1 cannot be replayed: the record has format"),
        "{told}"
    );
}

//! Damage of every kind to a closed journal: it is found and located, or lies provably behind the
//! newest durability mark; and what refuses to start leaves every file as it was.

use std::{collections::BTreeMap, sync::Arc};

use cardswitch::journal::{
    FORMAT_VERSION, Journal, JournalError, MemoryStorage, Position, Reader, RecordBatch, Sequence,
    Settings, Storage, newest_snapshot, verify, write_snapshot,
};

type Files = BTreeMap<String, Vec<u8>>;

fn settings(segment_size_bytes: u64) -> Settings {
    let pending_limit_bytes = segment_size_bytes - 136;
    Settings {
        segment_size_bytes,
        pending_limit_bytes,
        reserve_bytes: 0,
        ..Settings::default()
    }
}

fn record(sequence: Sequence) -> Vec<u8> {
    let mut bytes = sequence.to_le_bytes().to_vec();
    bytes.resize(8 + (sequence as usize * 37) % 120, 0xa5);
    bytes
}

fn commit(journal: &mut Journal, sequences: std::ops::RangeInclusive<Sequence>) {
    let mut batch = RecordBatch::new();
    sequences.for_each(|sequence| batch.push(&record(sequence)));
    journal
        .handle()
        .append(&mut batch, Box::new(|_| {}))
        .unwrap();
    journal.commit_pending().unwrap();
}

/// A journal of `records`, two per frame, with a mark at the end, the first segment compressed.
fn journal(records: Sequence, settings: &Settings, id: u128) -> Arc<MemoryStorage> {
    let storage = uncompressed(records, settings, id);
    let (mut journal, _) = Journal::open(storage.clone(), settings, id).unwrap();
    assert!(journal.tidy());
    storage
}

fn uncompressed(records: Sequence, settings: &Settings, id: u128) -> Arc<MemoryStorage> {
    let storage = MemoryStorage::new();
    let (mut journal, _) = Journal::open(storage.clone(), settings, id).unwrap();
    for first in (1..records).step_by(2) {
        commit(&mut journal, first..=first + 1);
    }
    journal.mark_if_due().unwrap();
    storage
}

fn files(storage: &MemoryStorage) -> Files {
    let names = storage.list().unwrap();
    names
        .into_iter()
        .map(|name| (name.clone(), storage.content(&name).unwrap()))
        .collect()
}

fn with(files: &Files) -> Arc<MemoryStorage> {
    let storage = MemoryStorage::new();
    files
        .iter()
        .for_each(|(name, content)| storage.set_content(name, content.clone()));
    storage
}

/// Opens, and checks that a refusal changed nothing. `Ok` holds the last record and whether
/// something was cut off.
fn open(files: &Files, settings: &Settings) -> Result<(Sequence, bool), JournalError> {
    let (storage, mut last) = (with(files), 0);
    let mut visit = |sequence, bytes: &[u8]| {
        assert_eq!((sequence, bytes), (last + 1, &record(sequence)[..]));
        last = sequence;
        Ok(())
    };
    match Journal::open_after(
        storage.clone(),
        settings,
        1,
        Position::default(),
        &mut visit,
    ) {
        Ok((_, found)) => Ok((last, found.truncated.is_some())),
        Err(error) => {
            assert_eq!(
                &self::files(&storage),
                files,
                "refused, yet changed: {error}"
            );
            Err(error)
        }
    }
}

/// The last record that a reader in another process gives.
fn read(files: &Files) -> Result<Sequence, JournalError> {
    let mut reader = Reader::open(with(files), 1)?;
    let mut last = 0;
    while let Some((sequence, bytes)) = reader.next()? {
        assert_eq!((sequence, bytes), (last + 1, &record(sequence)[..]));
        last = sequence;
    }
    Ok(last)
}

/// Byte ranges of the frames in a segment file.
fn frames(storage: &Arc<MemoryStorage>) -> Vec<(String, std::ops::Range<usize>)> {
    let (mut frames, storage) = (Vec::new(), storage.clone() as Arc<dyn Storage>);
    verify(&storage, |frame| {
        let name = format!("journal-{:010}.segment", frame.segment);
        frames.push((
            name,
            frame.offset as usize..(frame.offset + frame.bytes) as usize,
        ));
    })
    .unwrap();
    frames
}

#[test]
fn every_flipped_bit_is_found_or_lies_behind_the_newest_mark() {
    let settings = settings(1024);
    let plain = uncompressed(16, &settings, 1);
    flip_every_bit(&settings, &plain, ".segment");
    flip_every_bit(&settings, &journal(16, &settings, 1), ".lz4");
}

fn flip_every_bit(settings: &Settings, storage: &Arc<MemoryStorage>, ending: &str) {
    let (whole, layout) = (files(storage), frames(storage));
    let (newest_file, newest) = layout.last().unwrap();
    let mut harmless = 0;
    for (name, content) in whole.iter().filter(|(name, _)| name.ends_with(ending)) {
        for bit in 0..content.len() * 8 {
            let mut flipped = whole.clone();
            flipped.get_mut(name).unwrap()[bit / 8] ^= 1 << (bit % 8);
            let unproven = name > newest_file || (name == newest_file && bit / 8 >= newest.start);
            // Opening copies and writes; look at each bit with `verify`, and open for one in seven.
            let looked = verify(&(with(&flipped) as Arc<dyn Storage>), |_| {});
            if looked.is_ok() && !unproven {
                // The compressed form has bits that change nothing once it is unpacked.
                assert!(name.ends_with(".lz4"), "{name}, bit {bit}: not found");
                harmless += 1;
            }
            if bit % 7 > 0 {
                continue;
            }
            match read(&flipped) {
                Ok(last) => {
                    // Without its mark the last frame is not known durable to other processes.
                    let complete = last == 16 || (unproven && last == 14);
                    assert!(looked.is_ok() && complete, "{name}, bit {bit}: {last}");
                }
                Err(_) => assert!(looked.is_err(), "{name}, bit {bit}"),
            }
            match open(&flipped, settings) {
                Ok(found) => {
                    assert!(looked.is_ok(), "{name}, bit {bit}: {looked:?}");
                    assert_eq!(found, (16, unproven), "{name}, bit {bit}");
                }
                Err(error) => {
                    assert!(!unproven, "{name}, bit {bit}: {error}");
                    let text = error.to_string();
                    assert!(
                        text.contains(name) && text.contains(" at byte "),
                        "{bit}: {text}"
                    );
                }
            }
        }
    }
    assert!(
        harmless < 200,
        "{harmless} bits of the compressed form are not covered"
    );
}

#[test]
fn an_unfinished_group_is_cut_off_at_every_byte() {
    let settings = settings(4096);
    let storage = MemoryStorage::new();
    let (mut journal, _) = Journal::open(storage.clone(), &settings, 1).unwrap();
    commit(&mut journal, 1..=3);
    commit(&mut journal, 4..=9);
    drop(journal);
    let (whole, layout) = (files(&storage), frames(&storage));
    let (name, last) = layout.last().unwrap().clone();
    for cut in last.clone() {
        let mut torn = whole.clone();
        torn.get_mut(&name).unwrap()[cut..].fill(0);
        // The frame's last bytes are padding.
        let complete = torn[&name].get(last.clone()) == whole[&name].get(last.clone());
        let found = open(&torn, &settings).unwrap();
        let expected = if complete {
            (9, false)
        } else {
            (3, cut > last.start)
        };
        assert_eq!(found, expected, "cut at {cut}");
    }
}

/// A segment has its whole length from the moment it has its name. One that is shorter (or longer) has
/// lost something, and no later frame need be there to prove it.
#[test]
fn a_segment_cut_to_any_length_is_refused() {
    let small = settings(1024);
    let one = uncompressed(4, &small, 1);
    let several = uncompressed(40, &small, 1);
    // Another size from the second start on: each segment keeps the length that it was made with.
    let (changed, larger) = (uncompressed(16, &small, 1), settings(2048));
    let (mut journal, _) = Journal::open(changed.clone(), &larger, 1).unwrap();
    for first in (17..60).step_by(2) {
        commit(&mut journal, first..=first + 1);
    }
    journal.mark_if_due().unwrap();
    drop(journal);
    for (storage, settings) in [(one, &small), (several, &small), (changed, &larger)] {
        let whole = files(&storage);
        open(&whole, settings).unwrap();
        let written: std::collections::BTreeSet<String> =
            frames(&storage).into_iter().map(|(name, _)| name).collect();
        for name in &written {
            let made = whole[name].len();
            for length in (0..made).chain([made + 1, made + 512]) {
                let mut cut = whole.clone();
                cut.get_mut(name).unwrap().resize(length, 0);
                let found = [
                    open(&cut, settings).map(drop),
                    verify(&(with(&cut) as Arc<dyn Storage>), |_| {}).map(drop),
                    read(&cut).map(drop),
                ];
                for found in found {
                    let error = found.expect_err(&format!("{name} cut to {length}"));
                    assert!(
                        matches!(error, JournalError::SegmentLength { .. }),
                        "{name} cut to {length}: {error}"
                    );
                    let text = error.to_string();
                    let told = match length {
                        0 => format!("memory/{name} is empty. A segment keeps its length, so "),
                        _ => format!("memory/{name} has {length} bytes but was made with "),
                    };
                    assert!(text.starts_with(&told), "{text}");
                    if length >= 512 && length % 512 == 0 {
                        assert!(text.contains(&format!(" made with {made}. ")), "{text}");
                    }
                }
            }
        }
    }
}

/// A prepared segment that took no frame yet has lost nothing: where it is whole sectors of zeros, it is
/// made anew. Of one that is not, nobody can know what was in it.
#[test]
fn an_empty_segment_of_another_length_is_made_anew() {
    let settings = settings(1024);
    let storage = uncompressed(4, &settings, 1);
    let (mut journal, _) = Journal::open(storage.clone(), &settings, 1).unwrap();
    assert!(journal.prepare_ahead());
    drop(journal);
    let whole = files(&storage);
    let name = "journal-0000000002.segment";
    for length in 0..1024 {
        let mut cut = whole.clone();
        cut.get_mut(name).unwrap().truncate(length);
        match open(&cut, &settings) {
            Ok(found) => assert_eq!((length, found), (512, (4, false))),
            Err(error) => assert!(length != 512, "{error}"),
        }
    }
}

/// Cut in the mark behind its last frame, the compressed form has all of its frames still.
#[test]
fn a_compressed_segment_cut_to_any_length_is_refused() {
    let settings = settings(1024);
    let whole = files(&journal(40, &settings, 1));
    let name = whole.keys().find(|name| name.ends_with(".lz4")).unwrap();
    for length in 0..whole[name].len() {
        let mut cut = whole.clone();
        cut.get_mut(name).unwrap().truncate(length);
        let complete = length + 8 >= whole[name].len();
        let verified = verify(&(with(&cut) as Arc<dyn Storage>), |_| {}).map(|r| r.last_sequence);
        for found in [
            open(&cut, &settings).map(|found| found.0),
            verified,
            read(&cut),
        ] {
            match found {
                Ok(last) => assert!(complete && last == 40, "cut to {length}: {last}"),
                Err(error) => assert!(error.to_string().contains("memory/journal-"), "{error}"),
            }
        }
    }
}

#[test]
fn damage_before_the_newest_mark_names_file_and_byte() {
    let settings = settings(4096);
    let storage = MemoryStorage::new();
    let (mut journal, _) = Journal::open(storage.clone(), &settings, 1).unwrap();
    commit(&mut journal, 1..=3);
    commit(&mut journal, 4..=9);
    drop(journal);
    let (whole, layout) = (files(&storage), frames(&storage));
    let (name, proven) = layout[layout.len() - 2].clone();
    for cut in proven.clone() {
        let mut damaged = whole.clone();
        damaged.get_mut(&name).unwrap()[cut..proven.end].fill(0);
        if damaged == whole {
            continue;
        }
        let error = open(&damaged, &settings).unwrap_err();
        let JournalError::Damaged {
            file,
            offset,
            intact_through,
            ..
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!(
            (file.as_str(), *offset),
            (&*format!("memory/{name}"), proven.start as u64)
        );
        assert_eq!(*intact_through, 0);
    }
}

/// Misdirected, duplicated and stale blocks. A block that holds the newest frames is the documented
/// exception: rolled back as a whole it takes its own proof along.
#[test]
fn swapped_copied_and_rolled_back_blocks_are_found() {
    const BLOCK: usize = 4096;
    let settings = settings(2 * BLOCK as u64);
    let storage = MemoryStorage::new();
    let (mut journal, _) = Journal::open(storage.clone(), &settings, 1).unwrap();
    let mut history = Vec::new();
    for first in (1..=300).step_by(6) {
        commit(&mut journal, first..=first + 5);
        history.push(files(&storage));
    }
    journal.mark_if_due().unwrap();
    drop(journal);
    let (whole, layout) = (files(&storage), frames(&storage));
    let (newest_file, newest) = layout.last().unwrap().clone();
    let blocks: Vec<(String, usize)> = whole
        .iter()
        .flat_map(|(name, content)| (0..content.len() / BLOCK).map(|at| (name.clone(), at * BLOCK)))
        .collect();
    let get = |files: &Files, (name, at): &(String, usize)| {
        files
            .get(name)
            .map(|content| content[*at..at + BLOCK].to_vec())
    };
    let put = |files: &mut Files, (name, at): &(String, usize), block: &[u8]| {
        files.get_mut(name).unwrap()[*at..at + BLOCK].copy_from_slice(block);
    };
    let check = |damaged: &Files, touched: &[&(String, usize)], what: &str| {
        if *damaged == whole {
            return;
        }
        let tail = touched.iter().any(|(name, at)| {
            *name > newest_file || (*name == newest_file && at + BLOCK > newest.start)
        });
        match open(damaged, &settings) {
            Ok((last, _)) => assert!(tail && last > 200, "{what} {touched:?}: {last}"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    };
    for from in &blocks {
        for to in blocks.iter().filter(|to| *to != from) {
            let (a, b) = (get(&whole, from).unwrap(), get(&whole, to).unwrap());
            let mut damaged = whole.clone();
            put(&mut damaged, to, &a);
            check(&damaged, &[to], "copied");
            put(&mut damaged, from, &b);
            check(&damaged, &[from, to], "swapped");
        }
        for old in &history {
            let Some(old) = get(old, from) else { continue };
            let mut damaged = whole.clone();
            put(&mut damaged, from, &old);
            check(&damaged, &[from], "rolled back");
        }
    }
}

#[test]
fn missing_and_foreign_segments_are_refused() {
    let settings = settings(1024);
    let whole = files(&journal(40, &settings, 1));
    let foreign = files(&journal(40, &settings, 2));
    let names: Vec<_> = whole
        .keys()
        .filter(|name| name.ends_with(".segment"))
        .cloned()
        .collect();
    let newest = frames(&journal(40, &settings, 1)).last().unwrap().0.clone();
    // The newest one, with an empty one behind it: segments are made in order.
    let mut damaged = whole.clone();
    damaged.insert("journal-0000000008.segment".into(), vec![0; 1024]);
    assert_eq!(open(&damaged, &settings).unwrap().0, 40);
    damaged.remove(&newest);
    for error in [
        open(&damaged, &settings).unwrap_err(),
        verify(&(with(&damaged) as Arc<dyn Storage>), |_| {}).unwrap_err(),
    ] {
        assert!(
            matches!(error, JournalError::MissingSegment { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(&newest), "{error}");
    }
    for name in names.iter().filter(|name| **name < newest) {
        let mut damaged = whole.clone();
        damaged.remove(name);
        let error = open(&damaged, &settings).unwrap_err();
        assert!(
            matches!(error, JournalError::MissingSegment { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(name), "{error}");
        damaged.insert(name.clone(), foreign[name].clone());
        let error = open(&damaged, &settings).unwrap_err();
        assert!(
            matches!(
                error,
                JournalError::JournalId {
                    expected: 1,
                    found: 2,
                    ..
                }
            ),
            "{error}"
        );
    }
}

/// Files that somebody took away, and what `retain` removes, look the same but for the snapshot: `retain`
/// removes only what lies in one.
#[test]
fn a_journal_without_its_first_segments_is_sound_from_its_snapshot_on() {
    let settings = settings(1024);
    let mut files = files(&journal(40, &settings, 1));
    files.remove("journal-0000000001.segment.lz4").unwrap();
    files.remove("journal-0000000002.segment").unwrap();
    let oldest = refused_without(&files, &settings, 1);
    let mut reader = Reader::open(with(&files), oldest).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().0, oldest);
    let with_snapshot = |sequence| {
        let (storage, at) = (
            with(&files),
            Position {
                sequence,
                ..Position::default()
            },
        );
        write_snapshot(&*storage, 1, at, |_| Ok(())).unwrap();
        verify(&(storage as Arc<dyn Storage>), |_| {})
    };
    for covering in [oldest - 1, oldest, 40] {
        let report = with_snapshot(covering).unwrap();
        assert_eq!((report.first_sequence, report.last_sequence), (oldest, 40));
    }
    let short = with_snapshot(oldest - 2).unwrap_err().to_string();
    let told = format!("record {} is not in the journal: ", oldest - 1);
    assert!(short.starts_with(&told), "{short}");
}

/// Opening, reading and `verify` miss record `wanted`; what they say the oldest is.
fn refused_without(files: &Files, settings: &Settings, wanted: Sequence) -> Sequence {
    let mut oldest_told = None;
    for refused in all_ways(files, settings) {
        let error = refused.unwrap_err();
        let JournalError::NotKept { wanted: w, oldest } = error else {
            panic!("{error}")
        };
        assert!(w == wanted && *oldest_told.get_or_insert(oldest) == oldest);
        let expected = format!(
            "record {wanted} is not in the journal: the oldest record there is {oldest}, earlier ones are not kept"
        );
        assert_eq!(error.to_string(), expected);
    }
    oldest_told.unwrap()
}

/// What is left has a mark only: no record is there to tell where the journal begins.
#[test]
fn a_mark_alone_tells_that_records_are_missing() {
    let settings = settings(1024);
    let storage = MemoryStorage::new();
    let (mut journal, _) = Journal::open(storage.clone(), &settings, 1).unwrap();
    // A frame that leaves no room for a mark in its segment, neither before nor behind it.
    let mut batch = RecordBatch::new();
    batch.push(&vec![1; 1024 - 136 - 4]);
    let appended = journal.handle().append(&mut batch, Box::new(|_| {}));
    appended.unwrap();
    journal.commit_pending().unwrap();
    journal.mark_if_due().unwrap();
    drop(journal);
    let mut files = files(&storage);
    let report = verify(&(with(&files) as Arc<dyn Storage>), |_| {}).unwrap();
    assert_eq!((report.segments, report.marks), (3, 2));
    files.remove("journal-0000000001.segment").unwrap();
    files.remove("journal-0000000002.segment").unwrap();
    assert_eq!(refused_without(&files, &settings, 1), 2);
}

/// All that walk a journal: opening (which changes nothing on refusing), reading, `verify`.
fn all_ways(files: &Files, settings: &Settings) -> [Result<(), JournalError>; 3] {
    [
        open(files, settings).map(drop),
        read(files).map(drop),
        verify(&(with(files) as Arc<dyn Storage>), |_| {}).map(drop),
    ]
}

/// Byte 0 of a segment is never inside a record, so a frame there that names another segment is no copy
/// that a record holds: the file has a wrong name, and what is in it was perhaps acknowledged.
#[test]
fn a_segment_under_the_name_of_another_is_refused() {
    let settings = Settings {
        reserve_bytes: 2048,
        ..settings(1024)
    };
    for records in [4, 40] {
        for compressed in [false, true] {
            let storage = uncompressed(records, &settings, 1);
            let (mut journal, _) = Journal::open(storage.clone(), &settings, 1).unwrap();
            while compressed && journal.tidy() {}
            while journal.prepare_ahead() {}
            drop(journal);
            let whole = files(&storage);
            assert_eq!(open(&whole, &settings).unwrap(), (records, false));
            let names: Vec<_> = whole
                .keys()
                .filter(|name| name.contains(".segment"))
                .collect();
            assert!(names.len() > 2);
            for (index, first) in names.iter().enumerate() {
                for second in &names[index + 1..] {
                    swap_and_copy(&whole, &settings, first, second);
                }
            }
        }
    }
}

fn swap_and_copy(whole: &Files, settings: &Settings, first: &String, second: &String) {
    // A compressed one under a plain name is of another length, and the other way round does not unpack.
    if first.ends_with(".lz4") != second.ends_with(".lz4") {
        return;
    }
    let (a, b) = (&whole[first], &whole[second]);
    let put = |contents: [&Vec<u8>; 2]| {
        let mut damaged = whole.clone();
        for (name, content) in [first, second].into_iter().zip(contents) {
            damaged.insert(name.clone(), content.clone());
        }
        damaged
    };
    for contents in [[b, a], [a, a], [b, b]] {
        let damaged = put(contents);
        // Two empty ones; or the last one gone as if it had never been, which only other things can tell.
        let emptied = contents == [b, b] && b.iter().all(|byte| *byte == 0);
        if damaged == *whole || emptied {
            continue;
        }
        for refused in all_ways(&damaged, settings) {
            let error = refused.expect_err(&format!("{first} and {second}: {contents:?}"));
            let JournalError::Misnamed { file, name, .. } = &error else {
                panic!("{first} and {second}: {error}")
            };
            let (there, right) = match file == &format!("memory/{first}") {
                true => (first, second),
                false => (second, first),
            };
            assert_eq!((file, name), (&format!("memory/{there}"), right));
            let number = right["journal-".len()..][..10].trim_start_matches('0');
            let told = format!("{file} holds segment {number} (");
            assert!(error.to_string().starts_with(&told), "{error}");
        }
    }
}

/// Nothing else is there: the first segment under another name.
#[test]
fn the_only_segment_under_another_name_is_refused() {
    let settings = settings(1024);
    let mut files = files(&uncompressed(4, &settings, 1));
    let content = files.remove("journal-0000000001.segment").unwrap();
    files.insert("journal-0000000002.segment".into(), content);
    for refused in all_ways(&files, &settings) {
        let error = refused.unwrap_err();
        assert!(
            matches!(
                error,
                JournalError::Misnamed {
                    segment: 1,
                    frame: 1,
                    ..
                }
            ),
            "{error}"
        );
    }
}

/// Another journal's segment in the place of a prepared one is not this journal's to remove.
#[test]
fn a_foreign_segment_behind_the_end_is_refused() {
    let settings = settings(1024);
    let mut whole = files(&uncompressed(4, &settings, 1));
    let foreign = files(&uncompressed(40, &settings, 2));
    whole.insert("journal-0000000002.segment".into(), vec![0; 1024]);
    for name in ["journal-0000000002.segment", "journal-0000000003.segment"] {
        for content in foreign.values().filter(|content| content.len() == 1024) {
            let mut damaged = whole.clone();
            damaged.insert(name.into(), content.clone());
            for refused in all_ways(&damaged, &settings) {
                let error = refused.unwrap_err();
                assert!(
                    matches!(error, JournalError::JournalId { found: 2, .. }),
                    "{error}"
                );
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }
}

/// Only the segments are left that were prepared: it is not they that are at fault.
#[test]
fn prepared_segments_without_the_one_before_them_name_that_one() {
    let settings = settings(1024);
    let mut files = Files::from([
        ("journal-0000000002.segment".into(), vec![0; 1024]),
        ("journal-0000000003.segment".into(), vec![0; 1024]),
    ]);
    let refusals = |files: &Files| {
        [
            open(files, &settings).map(|_| ()),
            read(files).map(|_| ()),
            verify(&(with(files) as Arc<dyn Storage>), |_| {}).map(|_| ()),
        ]
    };
    for refused in refusals(&files) {
        let error = refused.unwrap_err();
        assert!(
            matches!(error, JournalError::MissingSegment { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("0000000001.segment"), "{error}");
    }
    // Damage stays damage.
    files.insert("journal-0000000002.segment".into(), vec![7; 1024]);
    for refused in refusals(&files) {
        let error = refused.unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("0000000002.segment"), "{error}");
    }
}

#[test]
fn another_format_version_is_refused_by_name() {
    let settings = settings(1024);
    let mut other = files(&MemoryStorage::new());
    let mut content = vec![0; 1024];
    content[..8].copy_from_slice(b"CSWFRAME");
    content[8] = 9;
    content[200] = 1;
    other.insert("journal-0000000001.segment".into(), content);
    let error = open(&other, &settings).unwrap_err();
    assert!(
        matches!(
            error,
            JournalError::FormatVersion {
                found: 9,
                known: FORMAT_VERSION,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_snapshot_must_lie_on_the_journal() {
    let settings = settings(1024);
    let storage = journal(40, &settings, 1);
    let mut reader = Reader::open(storage.clone(), 1).unwrap();
    while reader
        .next()
        .unwrap()
        .is_some_and(|(sequence, _)| sequence < 20)
    {}
    assert!(reader.at_frame_end());
    let at = reader.position();
    drop(reader);
    let open = |after| {
        let mut seen = Vec::new();
        let mut visit = |sequence, _: &[u8]| {
            seen.push(sequence);
            Ok(())
        };
        let opened = Journal::open_after(storage.clone(), &settings, 1, after, &mut visit);
        opened.map(|_| seen)
    };
    assert_eq!(open(at).unwrap(), (21..=40).collect::<Vec<_>>());
    for wrong in [
        Position { sequence: 18, ..at },
        Position { sequence: 19, ..at },
        Position { sequence: 41, ..at },
        Position {
            chain: Default::default(),
            ..at
        },
    ] {
        let error = open(wrong).unwrap_err();
        assert!(
            matches!(error, JournalError::SnapshotMismatch { .. }),
            "{wrong:?}: {error}"
        );
    }
}

#[test]
fn a_damaged_snapshot_gives_way_to_the_older_at_every_byte() {
    use std::io::Read;
    let storage = MemoryStorage::new();
    for sequence in [3, 7, 9] {
        let at = Position {
            sequence,
            ..Position::default()
        };
        let content = vec![sequence as u8; 300];
        let info = write_snapshot(&*storage, 5, at, |out| out.write_all(&content)).unwrap();
        assert_eq!((info.at, info.bytes), (at, 300));
    }
    let whole = files(&storage);
    assert_eq!(whole.len(), 2, "two are kept");
    let newest_name = whole.keys().last().unwrap();
    for byte in 0..whole[newest_name].len() {
        let mut damaged = whole.clone();
        damaged.get_mut(newest_name).unwrap()[byte] ^= 1 << (byte % 8);
        let found = newest_snapshot(&(with(&damaged) as Arc<dyn Storage>), Some(5)).unwrap();
        let mut older = found.newest.unwrap();
        assert_eq!(
            (older.info().at.sequence, found.skipped.len()),
            (7, 1),
            "byte {byte}"
        );
        assert!(found.skipped[0].to_string().contains(newest_name));
        let mut content = Vec::new();
        older.read_to_end(&mut content).unwrap();
        assert_eq!(content, [7; 300]);
    }
    let foreign = newest_snapshot(&(storage as Arc<dyn Storage>), Some(6)).unwrap();
    assert!(foreign.newest.is_none() && foreign.skipped.len() == 2);
}

/// Two histories of one journal agree in id, places, frame numbers and sequences; the chain alone
/// tells a segment of the one from the same segment of the other.
#[test]
fn a_segment_of_another_history_is_found() {
    let settings = settings(1024);
    let fork = |byte: u8| {
        let storage = MemoryStorage::new();
        let (mut journal, _) = Journal::open(storage.clone(), &settings, 1).unwrap();
        let mut batch = RecordBatch::new();
        for _ in 0..12 {
            batch.push(&[byte; 250]);
            journal
                .handle()
                .append(&mut batch, Box::new(|_| {}))
                .unwrap();
            journal.commit_pending().unwrap();
        }
        files(&storage)
    };
    let (mut ours, theirs) = (fork(1), fork(2));
    let name = "journal-0000000002.segment";
    ours.insert(name.into(), theirs[name].clone());
    let error = open_any(&ours, &settings).unwrap_err();
    // Found where the two no longer meet; which of them is the wrong one cannot be known.
    let JournalError::Damaged {
        file,
        intact_through: 2,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(file, "memory/journal-0000000001.segment");
}

fn open_any(files: &Files, settings: &Settings) -> Result<(), JournalError> {
    Journal::open(with(files), settings, 1).map(drop)
}

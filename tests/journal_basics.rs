//! The journal from outside: append, release, read, reopen; on memory and on files, with threads.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use cardswitch::journal::{
    Access, FileStorage, FolderLock, Handle, Journal, JournalError, MemoryStorage, Position,
    Reader, RecordBatch, Retain, Sequence, Settings, Space, Storage, StorageFile, verify,
    write_snapshot,
};

fn small() -> Settings {
    Settings {
        segment_size_bytes: 8192,
        pending_limit_bytes: 4096,
        reserve_bytes: 0,
        ..Settings::default()
    }
}

fn record(sequence: Sequence) -> Vec<u8> {
    format!("record {sequence} {}", "x".repeat(sequence as usize % 90)).into_bytes()
}

fn append(handle: &Handle, sequences: std::ops::RangeInclusive<Sequence>) {
    let mut batch = RecordBatch::new();
    sequences.for_each(|sequence| batch.push(&record(sequence)));
    handle.append(&mut batch, Box::new(|_| {})).unwrap();
    assert!(batch.is_empty());
}

fn read_all(reader: &mut Reader) -> Vec<Sequence> {
    let mut seen = Vec::new();
    while let Some((sequence, bytes)) = reader.next().unwrap() {
        assert_eq!(bytes, record(sequence));
        seen.push(sequence);
    }
    seen
}

fn replay(storage: Arc<dyn Storage>) -> Vec<Sequence> {
    let mut seen = Vec::new();
    let mut visit = |sequence, bytes: &[u8]| {
        assert_eq!(bytes, record(sequence));
        seen.push(sequence);
        Ok(())
    };
    Journal::open_after(storage, &small(), 1, Position::default(), &mut visit).unwrap();
    seen
}

#[test]
fn nothing_is_released_or_read_before_its_commit() {
    let storage = MemoryStorage::new();
    let (mut journal, found) = Journal::open(storage.clone(), &small(), 7).unwrap();
    assert!(found.created && found.journal_id == 7 && found.durable == 0);
    let handle = journal.handle();
    let mut reader = handle.reader(1).unwrap();
    let released = Arc::new(Mutex::new(Vec::new()));
    let note = |name: &'static str| {
        let released = released.clone();
        Box::new(move |durable| released.lock().unwrap().push((name, durable)))
    };
    let mut batch = RecordBatch::new();
    batch.push(&record(1));
    batch.push_with(|out| out.extend_from_slice(&record(2)));
    let range = handle.append(&mut batch, note("first")).unwrap();
    assert_eq!((range.first, range.last), (1, 2));
    handle.release_after(1, note("repeat")).unwrap();
    batch.push(&record(3));
    handle.append(&mut batch, note("second")).unwrap();
    assert!(matches!(
        handle.release_after(4, note("future")),
        Err(JournalError::UnknownSequence {
            sequence: 4,
            last: 3
        })
    ));
    assert_eq!((handle.durable(), reader.next().unwrap()), (0, None));
    assert!(released.lock().unwrap().is_empty());
    assert!(journal.commit_pending().unwrap());
    handle.release_after(2, note("late")).unwrap();
    assert_eq!(
        *released.lock().unwrap(),
        [("first", 3), ("repeat", 3), ("second", 3)]
    );
    assert!(journal.commit_pending().unwrap());
    assert_eq!(released.lock().unwrap().last(), Some(&("late", 3)));
    assert!(!journal.commit_pending().unwrap());
    assert_eq!(
        (handle.durable(), read_all(&mut reader)),
        (3, vec![1, 2, 3])
    );
}

#[test]
fn a_reader_in_another_process_waits_for_the_mark() {
    let storage = MemoryStorage::new();
    let mut beside = Reader::open(storage.clone(), 1).unwrap();
    assert_eq!(beside.next().unwrap(), None);
    let (mut journal, _) = Journal::open(storage.clone(), &small(), 7).unwrap();
    append(&journal.handle(), 1..=2);
    journal.commit_pending().unwrap();
    assert!(read_all(&mut beside).is_empty());
    append(&journal.handle(), 3..=3);
    journal.commit_pending().unwrap();
    assert_eq!(read_all(&mut beside), [1, 2]);
    journal.mark_if_due().unwrap();
    assert_eq!(read_all(&mut beside), [3]);
    assert!(read_all(&mut beside).is_empty());
}

/// Nothing follows the last record, so only a mark of the journal's own can prove it to another process.
#[test]
fn the_running_journal_marks_its_newest_group_by_itself() {
    let storage = MemoryStorage::new();
    let (journal, _) = Journal::open(storage.clone(), &small(), 7).unwrap();
    let journal = journal.start(Box::new(|error| panic!("{error}"))).unwrap();
    append(&journal.handle(), 1..=3);
    let mut beside = Reader::open(storage, 1).unwrap();
    let mut seen = Vec::new();
    for _ in 0..10_000 {
        seen.extend(read_all(&mut beside));
        if seen.len() == 3 {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(seen, [1, 2, 3]);
    journal.close().unwrap();
}

#[test]
fn many_segments_are_read_and_replayed_from_anywhere() {
    let storage = MemoryStorage::new();
    let (mut journal, _) = Journal::open(storage.clone(), &small(), 7).unwrap();
    let handle = journal.handle();
    let mut live = handle.reader(1).unwrap();
    let mut seen = Vec::new();
    for first in (1..=600).step_by(4) {
        append(&handle, first..=first + 3);
        journal.commit_pending().unwrap();
        seen.extend(read_all(&mut live));
    }
    let all: Vec<_> = (1..=600).collect();
    assert_eq!(seen, all);
    assert!(storage.list().unwrap().len() > 5);
    assert_eq!(
        read_all(&mut handle.reader(317).unwrap()),
        (317..=600).collect::<Vec<_>>()
    );
    drop(journal);
    assert_eq!(replay(storage.clone()), all);
    assert_eq!(
        read_all(&mut Reader::open(storage, 599).unwrap()),
        [599, 600]
    );
}

#[test]
fn sequences_go_on_after_each_restart() {
    let storage = MemoryStorage::new();
    for start in 0..20_u64 {
        let (mut journal, found) = Journal::open(storage.clone(), &small(), start.into()).unwrap();
        assert_eq!(
            (found.durable, found.journal_id, found.truncated),
            (start * 3, 0, None)
        );
        append(&journal.handle(), start * 3 + 1..=start * 3 + 3);
        journal.commit_pending().unwrap();
    }
    assert_eq!(replay(storage), (1..=60).collect::<Vec<_>>());
}

#[test]
fn producers_on_many_threads_share_groups_on_real_files() {
    const THREADS: u64 = 4;
    const BATCHES: u64 = 200;
    let folder = tempfile::tempdir().unwrap();
    let storage = FileStorage::create(&folder.path().join("journal")).unwrap();
    let settings = Settings {
        segment_size_bytes: 128 << 10,
        pending_limit_bytes: 4096,
        ..Settings::default()
    };
    let (journal, _) = Journal::open(storage.clone(), &settings, 9).unwrap();
    let journal = journal.start(Box::new(|error| panic!("{error}"))).unwrap();
    let (sender, released) = mpsc::channel();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (handle, sender) = (journal.handle(), sender.clone());
            scope.spawn(move || {
                let mut batch = RecordBatch::new();
                for number in 0..BATCHES {
                    (0..3_u64).for_each(|part| {
                        batch.push(&[thread, number, part].map(u64::to_le_bytes).concat());
                    });
                    let (sender, bound) = (sender.clone(), handle.clone());
                    let release = move |durable| {
                        assert!(bound.durable() >= durable);
                        sender.send((thread, number, durable)).unwrap();
                    };
                    let range = handle.append(&mut batch, Box::new(release)).unwrap();
                    assert_eq!(range.last - range.first, 2);
                }
            });
        }
    });
    let total = THREADS * BATCHES * 3;
    assert_eq!(
        journal
            .handle()
            .subscribe()
            .wait_beyond(total - 1, Duration::from_secs(60)),
        total
    );
    journal.close().unwrap();
    drop(sender);
    // Each thread's answers came in its own order, none before its record was durable.
    let mut next = [0; THREADS as usize];
    for (thread, number, _) in released {
        assert_eq!(number, next[thread as usize]);
        next[thread as usize] += 1;
    }
    assert_eq!(next, [BATCHES; THREADS as usize]);
    let mut reader = Reader::open(storage, 1).unwrap();
    let mut read = 0;
    while let Some((sequence, bytes)) = reader.next().unwrap() {
        read += 1;
        assert_eq!((sequence, bytes.len()), (read, 24));
    }
    assert_eq!(read, total);
}

#[test]
fn a_second_writer_is_refused_and_readers_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let storage = FileStorage::create(folder.path()).unwrap();
    let (mut journal, _) = Journal::open(storage.clone(), &small(), 9).unwrap();
    append(&journal.handle(), 1..=1);
    journal.commit_pending().unwrap();
    journal.mark_if_due().unwrap();
    let other = FileStorage::existing(folder.path()).unwrap();
    let Err(refused) = Journal::open(other.clone(), &small(), 9) else {
        panic!("two writers")
    };
    assert!(matches!(refused, JournalError::Locked { .. }));
    assert!(
        refused
            .to_string()
            .contains(&folder.path().display().to_string())
    );
    assert_eq!(read_all(&mut Reader::open(other.clone(), 1).unwrap()), [1]);
    drop(journal);
    Journal::open(other, &small(), 9).unwrap();
}

#[test]
fn a_full_disk_is_foreseen_survived_and_told() {
    let storage = MemoryStorage::new();
    let settings = Settings {
        reserve_bytes: 2 * 8192,
        compress: false,
        ..small()
    };
    let (mut journal, _) = Journal::open(storage.clone(), &settings, 7).unwrap();
    let handle = journal.handle();
    storage.set_capacity(4 * 8192);
    while journal.prepare_ahead() {}
    assert_eq!(handle.space(), Space::Ample);
    let mut sequence = 0;
    let mut fill = |journal: &mut Journal| {
        append(&handle, sequence + 1..=sequence + 1);
        sequence += 1;
        journal.commit_pending().map(|_| sequence)
    };
    let mut ample_through = 0;
    let error = loop {
        match fill(&mut journal) {
            Ok(sequence) if journal.handle().space() == Space::Ample => ample_through = sequence,
            Ok(_) => {}
            Err(error) => break error,
        }
        journal.prepare_ahead();
    };
    assert!(matches!(error, JournalError::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("memory/"), "{error}");
    // The last segments before the end were the reserve.
    let durable = journal.handle().durable();
    assert!(
        ample_through > 20 && durable > ample_through + 40,
        "{ample_through} of {durable}"
    );
    drop(journal);
    // With room again the journal goes on, and nothing durable is gone.
    storage.set_capacity(u64::MAX);
    assert_eq!(replay(storage.clone()), (1..=durable).collect::<Vec<_>>());
    let (mut journal, _) = Journal::open(storage, &settings, 7).unwrap();
    append(&journal.handle(), durable + 1..=durable + 1);
    journal.commit_pending().unwrap();
    assert_eq!(journal.handle().space(), Space::Ample);
}

#[test]
fn space_is_ample_again_once_the_disk_has_room() {
    let storage = MemoryStorage::new();
    let (mut journal, _) = Journal::open(storage.clone(), &small(), 7).unwrap();
    storage.set_capacity(8192);
    assert!(!journal.prepare_ahead());
    assert_eq!(journal.handle().space(), Space::Reserve);
    storage.set_capacity(u64::MAX);
    assert!(journal.prepare_ahead());
    assert_eq!(journal.handle().space(), Space::Ample);
}

/// A folder of a process that may open no more files, so many times.
struct WithoutDescriptors {
    memory: Arc<MemoryStorage>,
    refusals: AtomicU32,
}

impl Storage for WithoutDescriptors {
    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let left = &self.refusals;
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        }) {
            // EMFILE.
            Ok(_) => Err(io::Error::from_raw_os_error(24)),
            Err(_) => self.memory.create(name),
        }
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        self.memory.open(name, access)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.memory.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.memory.remove(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.memory.sync_directory()
    }
    fn lock(&self) -> io::Result<Option<Box<dyn FolderLock>>> {
        self.memory.lock()
    }
    fn is_locked(&self) -> io::Result<bool> {
        self.memory.is_locked()
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.memory.free_bytes()
    }
    fn path(&self, name: &str) -> String {
        self.memory.path(name)
    }
    fn elapsed(&self) -> Duration {
        self.memory.elapsed()
    }
}

#[test]
fn too_many_open_files_for_a_moment_are_no_full_disk_and_for_long_are_named() {
    let storage = Arc::new(WithoutDescriptors {
        memory: MemoryStorage::new(),
        refusals: AtomicU32::new(0),
    });
    let (mut journal, _) = Journal::open(storage.clone(), &small(), 7).unwrap();
    let handle = journal.handle();
    storage.refusals.store(20, Ordering::SeqCst);
    for _ in 0..20 {
        assert!(!journal.prepare_ahead());
        assert_eq!(handle.space(), Space::Ample);
    }
    assert!(journal.prepare_ahead());
    // A segment that is needed at once is waited for as well.
    storage.refusals.store(20, Ordering::SeqCst);
    let mut sequence = 0;
    while storage.refusals.load(Ordering::SeqCst) > 0 {
        append(&handle, sequence + 1..=sequence + 1);
        journal.commit_pending().unwrap();
        sequence += 1;
    }
    storage.refusals.store(u32::MAX, Ordering::SeqCst);
    let error = loop {
        append(&handle, sequence + 1..=sequence + 1);
        sequence += 1;
        if let Err(error) = journal.commit_pending() {
            break error.to_string();
        }
    };
    assert_eq!(handle.space(), Space::Reserve);
    assert!(
        error.contains("ulimit -n") && !error.contains("disk"),
        "{error}"
    );
    let durable = handle.durable();
    drop(journal);
    let memory = storage.memory.clone();
    assert_eq!(replay(memory), (1..=durable).collect::<Vec<_>>());
}

/// What a writer opens while the process may open nothing more gets a descriptor that was kept for it.
#[test]
fn descriptors_are_kept_for_the_writer() {
    // In a process of its own: the limit is of all threads.
    if std::env::var_os("CARDSWITCH_TEST_DESCRIPTORS").is_none() {
        let own = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "descriptors_are_kept_for_the_writer"])
            .env("CARDSWITCH_TEST_DESCRIPTORS", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&own.stdout);
        assert!(own.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let storage = FileStorage::existing(folder.path()).unwrap();
    let _first = storage.create("first").unwrap();
    let mut all = Vec::new();
    let error = loop {
        match std::fs::File::open("/dev/null") {
            Ok(file) => all.push(file),
            Err(error) => break error,
        }
        assert!(all.len() < 1_000_000);
    };
    assert_eq!(error.raw_os_error(), Some(24));
    let name = |number: usize| format!("segment {number}");
    let held: Vec<_> = (0..4)
        .map(|number| {
            let file = storage.create(&name(number)).unwrap();
            storage.sync_directory().unwrap();
            file
        })
        .collect();
    assert!(std::fs::File::open("/dev/null").is_err());
    // More than were kept, and then they are kept anew.
    let more: Vec<_> = (4..20)
        .map_while(|number| storage.create(&name(number)).ok())
        .collect();
    assert!(more.len() < 16, "{}", more.len());
    drop((held, more, all.split_off(all.len() / 2)));
    storage.create("again").unwrap();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        all.push(file);
    }
    storage.create("and again").unwrap();
}

#[test]
fn old_segments_go_only_when_nobody_needs_them() {
    let storage = MemoryStorage::new();
    let settings = Settings {
        retain: Retain::Segments(2),
        ..small()
    };
    let (mut journal, _) = Journal::open(storage.clone(), &settings, 7).unwrap();
    let handle = journal.handle();
    for first in (1..=600).step_by(4) {
        append(&handle, first..=first + 3);
        journal.commit_pending().unwrap();
    }
    while journal.tidy() {}
    assert_eq!(read_all(&mut handle.reader(1).unwrap()).len(), 600);
    handle.set_floor(300);
    while journal.tidy() {}
    let Err(error) = handle.reader(1) else {
        panic!("record 1 is still there")
    };
    let JournalError::NotKept { wanted: 1, oldest } = error else {
        panic!("{error}")
    };
    assert!((100..=300).contains(&oldest), "{oldest}");
    handle.set_floor(600);
    while journal.tidy() {}
    let sealed = storage
        .list()
        .unwrap()
        .iter()
        .filter(|name| name.ends_with(".lz4"))
        .count();
    assert_eq!(sealed, 2);
    let (through, storage) = (handle.sealed_through(), storage as Arc<dyn Storage>);
    assert!(through > 500 && through < 600);
    // Whoever lets them go has a snapshot.
    let error = verify(&storage, |_| {}).unwrap_err();
    assert!(
        matches!(error, JournalError::NotKept { wanted: 1, .. }),
        "{error}"
    );
    let at = Position {
        sequence: 600,
        ..Position::default()
    };
    write_snapshot(&*storage, 7, at, |_| Ok(())).unwrap();
    let report = verify(&storage, |_| {}).unwrap();
    assert_eq!((report.last_sequence, report.compressed_segments), (600, 2));
    let mut follower = handle.reader(through).unwrap();
    assert_eq!(follower.next().unwrap().unwrap().0, through);
    assert!(follower.at_frame_end(), "a place for a snapshot");
}

/// Writer, compressor, a follower in the process and a reader beside it, all at once on files.
#[test]
fn readers_follow_while_segments_are_sealed_and_compressed() {
    const RECORDS: Sequence = 4000;
    let folder = tempfile::tempdir().unwrap();
    let storage = FileStorage::create(folder.path()).unwrap();
    let settings = Settings {
        segment_size_bytes: 32 << 10,
        pending_limit_bytes: 2048,
        ..Settings::default()
    };
    let (journal, _) = Journal::open(storage.clone(), &settings, 9).unwrap();
    let journal = journal.start(Box::new(|error| panic!("{error}"))).unwrap();
    let handle = journal.handle();
    thread::scope(|scope| {
        scope.spawn(|| (1..=RECORDS).for_each(|sequence| append(&handle, sequence..=sequence)));
        for beside in [false, true] {
            let (handle, storage) = (handle.clone(), storage.clone());
            scope.spawn(move || {
                let reader = match beside {
                    false => handle.reader(1),
                    true => Reader::open(storage, 1),
                };
                let (mut reader, mut last, progress) = (reader.unwrap(), 0, handle.subscribe());
                while last < RECORDS {
                    match reader.next().unwrap() {
                        Some((sequence, bytes)) => {
                            assert_eq!((sequence, bytes), (last + 1, &record(sequence)[..]));
                            last = sequence;
                        }
                        None => drop(progress.wait_beyond(last, Duration::from_millis(5))),
                    }
                }
            });
        }
    });
    journal.close().unwrap();
    let (mut journal, found) = Journal::open(storage.clone(), &settings, 9).unwrap();
    assert_eq!((found.durable, found.truncated), (RECORDS, None));
    while journal.tidy() {}
    drop(journal);
    let report = verify(&(storage.clone() as Arc<dyn Storage>), |_| {}).unwrap();
    assert_eq!(
        (report.records, report.compressed_segments),
        (RECORDS, report.segments - 1)
    );
    assert_eq!(
        read_all(&mut Reader::open(storage, 1).unwrap()).len() as u64,
        RECORDS
    );
}

#[test]
fn a_failing_disk_stops_the_running_journal_and_says_so() {
    let storage = MemoryStorage::new();
    let settings = Settings {
        compress: false,
        ..small()
    };
    let (journal, _) = Journal::open(storage.clone(), &settings, 7).unwrap();
    let (sender, fatal) = mpsc::channel();
    let journal = journal.start(Box::new(move |error| {
        sender.send(error.to_string()).unwrap()
    }));
    let journal = journal.unwrap();
    storage.set_capacity(0);
    let handle = journal.handle();
    let failure = loop {
        let mut batch = RecordBatch::new();
        batch.push(&[7; 2000]);
        if let Err(error) = handle.append(&mut batch, Box::new(|_| {})) {
            break error;
        }
    };
    assert!(matches!(failure, JournalError::Failed { .. }), "{failure}");
    assert!(fatal.recv().unwrap().contains("is full"));
    assert!(matches!(journal.close(), Err(JournalError::Failed { .. })));
}

//! The journal on a disk that loses power, reports errors and comes up short, at every single call.
//! What recovery finds must be an exact prefix of what was appended that holds everything released.
//! `CARDSWITCH_SOAK=1` runs many more seeds.

#[path = "support/random.rs"]
mod random;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use cardswitch::journal::{
    CrashingStorage, Fault, Faults, Journal, JournalError, Loss, Position, Reader, RecordBatch,
    Sequence, Settings, Storage,
};
use random::Random;

fn seeds(short: u64) -> std::ops::Range<u64> {
    let soak = std::env::var_os("CARDSWITCH_SOAK").is_some();
    0..if soak { short * 40 } else { short }
}

fn settings() -> Settings {
    Settings {
        segment_size_bytes: 2048,
        pending_limit_bytes: 1500,
        reserve_bytes: 0,
        ..Settings::default()
    }
}

fn record(sequence: Sequence) -> Vec<u8> {
    let mut random = Random(sequence);
    let length = random.below(300);
    let mut bytes = format!("<{sequence}>").into_bytes();
    // Zeros at the end as well: a record may look like unwritten space.
    bytes.extend((0..length).map(|_| [0, random.below(256) as u8][random.below(2) as usize]));
    bytes.extend([0; 9]);
    bytes
}

/// What the outside world has been told.
#[derive(Clone, Default)]
struct World {
    appended: Arc<AtomicU64>,
    released: Arc<AtomicU64>,
    failed: Arc<AtomicBool>,
}

impl World {
    fn promise(&self) -> (Sequence, Sequence) {
        (self.released.load(SeqCst), self.appended.load(SeqCst))
    }
}

/// Some life of a journal: batches, commits, marks, segments, compression, clean restarts.
fn live(storage: &Arc<CrashingStorage>, seed: u64, world: &World) -> Result<(), JournalError> {
    let mut random = Random(seed);
    for _ in 0..2 {
        let (mut journal, _) = Journal::open(storage.clone(), &settings(), 5)?;
        let handle = journal.handle();
        // After a restart that lost unacknowledged records, numbers are given again.
        world.appended.store(handle.durable(), SeqCst);
        let mut batch = RecordBatch::new();
        for _ in 0..8 {
            for _ in 0..=random.below(2) {
                for offset in 0..=random.below(2) {
                    batch.push(&record(world.appended.load(SeqCst) + 1 + offset));
                }
                let told = world.clone();
                let last = world.appended.load(SeqCst) + batch.len() as u64;
                let release = move |durable| {
                    assert!(durable >= last, "released before durable");
                    assert!(!told.failed.load(SeqCst), "released after a failure");
                    told.released.fetch_max(last, SeqCst);
                };
                let range = handle.append(&mut batch, Box::new(release))?;
                world.appended.store(range.last, SeqCst);
            }
            journal
                .commit_pending()
                .inspect_err(|_| world.failed.store(true, SeqCst))?;
            match random.below(6) {
                0 => journal.mark_if_due()?,
                1 => drop(journal.prepare_ahead()),
                2 => drop(journal.tidy()),
                _ => {}
            }
        }
    }
    Ok(())
}

/// A life that ends in a crash; one in its last step of preparing or tidying is told to nobody.
fn live_until_death(storage: &Arc<CrashingStorage>, seed: u64, world: &World) {
    let ended = live(storage, seed, world);
    assert!(
        storage.list().is_err(),
        "the machine did not crash: {ended:?}"
    );
}

/// Opens what a crash left, and compares it with what was promised; gives the last record.
fn recover(storage: &Arc<CrashingStorage>, world: &World, context: &str) -> Sequence {
    let mut last = 0;
    let mut visit = |sequence, bytes: &[u8]| {
        assert_eq!(
            (sequence, bytes),
            (last + 1, &record(sequence)[..]),
            "{context}"
        );
        last = sequence;
        Ok(())
    };
    let opened = Journal::open_after(
        storage.clone(),
        &settings(),
        5,
        Position::default(),
        &mut visit,
    );
    let (_, found) = opened.unwrap_or_else(|error| panic!("{context}: {error}"));
    let (released, appended) = world.promise();
    assert!(
        last >= released,
        "{context}: {released} was released, {last} recovered"
    );
    assert!(
        last <= appended,
        "{context}: {appended} were appended, {last} recovered"
    );
    assert_eq!(found.durable, last, "{context}");
    let mut reader = Reader::open(storage.clone(), 1).unwrap();
    let mut read = 0;
    while let Some((sequence, bytes)) = reader.next().unwrap() {
        assert_eq!(
            (sequence, bytes),
            (read + 1, &record(sequence)[..]),
            "{context}"
        );
        read = sequence;
    }
    assert_eq!(
        read, last,
        "{context}: a reader sees everything after recovery"
    );
    last
}

fn calls_of(seed: u64) -> u64 {
    let storage = CrashingStorage::new(Faults::default());
    live(&storage, seed, &World::default()).unwrap();
    let calls = storage.calls();
    for kind in ["rename", "remove", "sync-directory", "read", "list"] {
        assert!(
            calls.iter().any(|call| call.starts_with(kind)),
            "the life never calls {kind}"
        );
    }
    calls.len() as u64
}

fn losses(seed: u64) -> [Loss; 4] {
    [
        Loss::Process,
        Loss::Power(seed),
        Loss::Power(seed + 1),
        Loss::Power(seed + 2),
    ]
}

#[test]
fn a_crash_at_every_call_loses_nothing_released() {
    for seed in seeds(1) {
        for at in 0..calls_of(seed) {
            let faults = Faults {
                at: Some((at, Fault::Crash)),
                seed,
                ..Faults::default()
            };
            let (storage, world) = (CrashingStorage::new(faults), World::default());
            live_until_death(&storage, seed, &world);
            for (variant, loss) in losses(seed * 1000 + at * 3).into_iter().enumerate() {
                let context = format!("seed {seed}, call {at}, variant {variant}");
                let after = storage.restart(loss, Faults::default());
                let last = recover(&after, &world, &context);
                // And life goes on: what was found stays, though the power goes once more.
                let again = after.restart(Loss::Power(at), Faults::default());
                assert_eq!(recover(&again, &world, &context), last, "{context}");
            }
        }
    }
}

#[test]
fn a_crash_during_recovery_is_recovered_from() {
    for seed in seeds(1) {
        let total = calls_of(seed);
        for at in (20..total).step_by(7) {
            let faults = Faults {
                at: Some((at, Fault::Crash)),
                seed,
                ..Faults::default()
            };
            let (storage, world) = (CrashingStorage::new(faults), World::default());
            live_until_death(&storage, seed, &world);
            for second in 0.. {
                let faults = Faults {
                    at: Some((second, Fault::Crash)),
                    seed,
                    ..Faults::default()
                };
                let crashed = storage.restart(Loss::Power(at + second), faults);
                let recovered = Journal::open(crashed.clone(), &settings(), 5);
                let died = crashed.calls().len() as u64 > second;
                drop(recovered);
                let context = format!("seed {seed}, calls {at} and {second}");
                let after = crashed.restart(Loss::Power(second), Faults::default());
                recover(&after, &world, &context);
                if !died {
                    break;
                }
            }
        }
    }
}

/// An I/O error stops the journal, and the next process trusts the disk, not the cache: after a
/// failed sync the cache shows what the disk never got.
#[test]
fn an_io_error_at_every_call_is_final_and_loses_nothing_released() {
    for seed in seeds(2) {
        for fault in [Fault::InputOutput, Fault::DiskFull] {
            for at in 0..calls_of(seed) {
                let faults = Faults {
                    at: Some((at, fault)),
                    seed,
                    ..Faults::default()
                };
                let (storage, world) = (CrashingStorage::new(faults), World::default());
                let _ = live(&storage, seed, &world);
                let context = format!("seed {seed}, {fault:?} at call {at}");
                let restarted = storage.restart(Loss::Process, Faults::default());
                let last = recover(&restarted, &world, &context);
                for loss in &losses(at)[1..3] {
                    let loss = *loss;
                    let after = restarted.restart(loss, Faults::default());
                    assert_eq!(recover(&after, &world, &context), last, "{context}");
                }
            }
        }
    }
}

#[test]
fn after_a_failure_nothing_is_appended_or_committed() {
    let storage = CrashingStorage::new(Faults::default());
    Journal::open(storage.clone(), &settings(), 5).unwrap();
    let opening = storage.calls().len() as u64;
    let probe = storage.restart(Loss::Process, Faults::default());
    Journal::open(probe.clone(), &settings(), 5).unwrap();
    let commit_sync = probe.calls().len() as u64 + 1;
    assert!(opening > 0);
    let faults = Faults {
        at: Some((commit_sync, Fault::InputOutput)),
        ..Faults::default()
    };
    let storage = storage.restart(Loss::Process, faults);
    let (mut journal, _) = Journal::open(storage.clone(), &settings(), 5).unwrap();
    let handle = journal.handle();
    let mut batch = RecordBatch::new();
    batch.push(b"one");
    let never = || Box::new(|_| panic!("released after a failed sync"));
    handle.append(&mut batch, never()).unwrap();
    let error = journal.commit_pending().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot sync simulated/journal-"),
        "{error}"
    );
    assert_eq!(
        storage.calls().last().unwrap(),
        "sync journal-0000000001.segment"
    );
    batch.push(b"two");
    assert!(matches!(
        handle.append(&mut batch, never()),
        Err(JournalError::Failed { .. })
    ));
    assert!(matches!(
        handle.release_after(0, never()),
        Err(JournalError::Failed { .. })
    ));
    let calls = storage.calls().len();
    assert!(matches!(
        journal.commit_pending(),
        Err(JournalError::Failed { .. })
    ));
    assert!(matches!(
        journal.mark_if_due(),
        Err(JournalError::Failed { .. })
    ));
    assert_eq!((handle.durable(), storage.calls().len()), (0, calls));
}

#[test]
fn short_empty_and_interrupted_calls_change_nothing() {
    for seed in seeds(20) {
        let faults = Faults {
            ragged: true,
            seed,
            ..Faults::default()
        };
        let (storage, world) = (CrashingStorage::new(faults), World::default());
        live(&storage, seed, &world).unwrap();
        let (released, appended) = world.promise();
        assert_eq!(released, appended);
        let ragged = storage.restart(Loss::Power(seed), faults);
        assert_eq!(recover(&ragged, &world, &format!("seed {seed}")), appended);
    }
}

#[test]
fn opening_syncs_every_segment_and_the_folder_before_it_reads() {
    let storage = CrashingStorage::new(Faults::default());
    live(&storage, 3, &World::default()).unwrap();
    let there = storage.list().unwrap();
    let storage = storage.restart(Loss::Process, Faults::default());
    Journal::open(storage.clone(), &settings(), 5).unwrap();
    let calls = storage.calls();
    let first_read = calls
        .iter()
        .position(|call| call.starts_with("read"))
        .unwrap();
    let synced = &calls[..first_read];
    assert!(
        synced.iter().any(|call| call == "sync-directory"),
        "{calls:?}"
    );
    for name in there.iter().filter(|name| name.ends_with(".segment")) {
        assert!(
            synced.contains(&format!("sync {name}")),
            "{name}: {calls:?}"
        );
    }
}

#[test]
fn a_crash_at_every_call_of_a_snapshot_leaves_a_whole_one() {
    use cardswitch::journal::{newest_snapshot, write_snapshot};
    use std::io::Read;
    let write = |storage: &CrashingStorage, sequence| {
        let at = Position {
            sequence,
            ..Position::default()
        };
        write_snapshot(storage, 5, at, |out| out.write_all(&[sequence as u8; 2000]))
    };
    let three =
        |storage: &CrashingStorage| (1..=3).map(|at| write(storage, at)).collect::<Vec<_>>();
    let storage = CrashingStorage::new(Faults::default());
    three(&storage);
    for at in 0..storage.calls().len() as u64 {
        for fault in [Fault::Crash, Fault::InputOutput] {
            let storage = CrashingStorage::new(Faults {
                at: Some((at, fault)),
                ..Faults::default()
            });
            let durable = three(&storage)
                .iter()
                .rev()
                .find_map(|done| done.as_ref().ok())
                .copied();
            let least = durable.map_or(0, |info| info.at.sequence);
            for loss in losses(at) {
                let after: Arc<dyn Storage> = storage.restart(loss, Faults::default());
                let found = newest_snapshot(&after, Some(5)).unwrap();
                let Some(mut newest) = found.newest else {
                    assert_eq!(least, 0, "{fault:?} at call {at}");
                    continue;
                };
                let sequence = newest.info().at.sequence;
                assert!(sequence >= least, "{fault:?} at call {at}");
                let mut content = Vec::new();
                newest.read_to_end(&mut content).unwrap();
                assert_eq!(content, [sequence as u8; 2000]);
            }
        }
    }
}

//! What the journal costs beside the bare disk: records per second and latency at 1, 64 and 1,024
//! records in flight, with and without sync, next to a raw `fdatasync` in the same run; then
//! recovery. Interleaved rounds, medians; compare ratios, not absolutes. Run it on the disk to be
//! measured: `CARDSWITCH_BENCH_DIR=/path cargo bench --bench journal`.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::mpsc,
    time::{Duration, Instant},
};

use cardswitch::journal::{FileStorage, Journal, Position, RecordBatch, Settings};

const RECORD: [u8; 300] = [0x5a; 300];
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(700);
const RECOVERED: u64 = 2_000_000;

fn main() {
    // `cargo test` and `cargo bench -- --test` only want to know that it runs.
    let quick = std::env::args().any(|argument| argument == "--test");
    let (rounds, round, recovered) = if quick {
        (1, Duration::from_millis(20), 20_000)
    } else {
        (ROUNDS, ROUND, RECOVERED)
    };
    let base = std::env::var_os("CARDSWITCH_BENCH_DIR").map(std::path::PathBuf::from);
    let base = base.unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::tempdir_in(base).unwrap();
    let variants = [1, 64, 1024]
        .map(|flight| [(flight, true), (flight, false)])
        .concat();
    let mut results = vec![Vec::new(); variants.len()];
    let mut raw = Vec::new();
    for number in 0..rounds {
        raw.push(raw_sync(&folder.path().join("raw"), round));
        for (at, (flight, sync)) in variants.iter().enumerate() {
            let path = folder.path().join(format!("{number}-{flight}-{sync}"));
            results[at].push(in_flight(&path, *flight, *sync, round));
            std::fs::remove_dir_all(&path).unwrap();
        }
    }
    println!("raw write + fdatasync of 428 B: p50 {} us", median(raw));
    println!(
        "{:>9} {:>8} {:>12} {:>8} {:>8}",
        "in flight", "sync", "records/s", "p50 us", "p99 us"
    );
    for ((flight, sync), rounds) in variants.iter().zip(results) {
        let [rate, p50, p99] = [0, 1, 2].map(|at| median(rounds.iter().map(|r| r[at]).collect()));
        println!("{flight:>9} {sync:>8} {rate:>12} {p50:>8} {p99:>8}");
    }
    for group in [1, 64, 1024] {
        let rate = recovery(
            &folder.path().join(format!("recovery-{group}")),
            group,
            recovered,
        );
        println!("recovery, {group:>4} records per group: {rate} records/s");
    }
}

/// Keeps `flight` records in flight, in batches as a shard would; records/s, p50 and p99 in µs.
fn in_flight(path: &Path, flight: u64, sync: bool, time: Duration) -> [u64; 3] {
    let storage = FileStorage::create(path).unwrap();
    let settings = Settings {
        sync,
        ..Settings::default()
    };
    let (journal, _) = Journal::open(storage, &settings, 1).unwrap();
    let journal = journal.start(Box::new(|error| panic!("{error}"))).unwrap();
    let (handle, mut batch) = (journal.handle(), RecordBatch::new());
    let (sender, released) = mpsc::channel();
    let (mut room, mut latencies, began) = (flight, Vec::new(), Instant::now());
    let mut records = 0;
    while began.elapsed() < time {
        if room > 0 {
            (0..room).for_each(|_| batch.push(&RECORD));
            let (sender, count, sent) = (sender.clone(), room, Instant::now());
            let release = move |_| sender.send((count, sent.elapsed())).unwrap();
            handle.append(&mut batch, Box::new(release)).unwrap();
        }
        let (count, latency) = released.recv().unwrap();
        (room, records) = (count, records + count);
        latencies.push(latency.as_micros() as u64);
    }
    let rate = (records as f64 / began.elapsed().as_secs_f64()) as u64;
    latencies.sort_unstable();
    [
        rate,
        latencies[latencies.len() / 2],
        latencies[latencies.len() * 99 / 100],
    ]
}

/// The p50 of a small write and sync to a zero-filled file, in µs.
fn raw_sync(path: &Path, time: Duration) -> u64 {
    let file = File::create(path).unwrap();
    file.write_all_at(&vec![0; 8 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let (mut took, began) = (Vec::new(), Instant::now());
    while began.elapsed() < time {
        let (offset, start) = (took.len() as u64 * 428 % (7 << 20), Instant::now());
        file.write_all_at(&[1; 428], offset).unwrap();
        file.sync_data().unwrap();
        took.push(start.elapsed().as_micros() as u64);
    }
    median(took)
}

/// Records per second of opening a journal, every record visited.
fn recovery(path: &Path, group: u64, records: u64) -> u64 {
    let records = if group == 1 { records / 10 } else { records };
    let storage = FileStorage::create(path).unwrap();
    let settings = Settings {
        sync: false,
        compress: false,
        ..Settings::default()
    };
    let (mut journal, _) = Journal::open(storage.clone(), &settings, 1).unwrap();
    let (handle, mut batch) = (journal.handle(), RecordBatch::new());
    for _ in 0..records / group {
        (0..group).for_each(|_| batch.push(&RECORD));
        handle.append(&mut batch, Box::new(|_| {})).unwrap();
        journal.commit_pending().unwrap();
    }
    drop(journal);
    let (mut seen, began) = (0, Instant::now());
    let mut visit = |_, record: &[u8]| {
        seen += record.len() as u64;
        Ok(())
    };
    Journal::open_after(storage, &settings, 1, Position::default(), &mut visit).unwrap();
    let rate = (seen / RECORD.len() as u64) as f64 / began.elapsed().as_secs_f64();
    std::fs::remove_dir_all(path).unwrap();
    rate as u64
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

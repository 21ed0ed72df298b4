//! A journal with bytes replaced, cut off or added, plain and compressed: opening, reading and verifying
//! end in records or in an error. What is given is the beginning of what was written, as far as it was
//! not the newest end that was damaged.
#![no_main]

use std::sync::{Arc, LazyLock};

use cardswitch::journal::{
    BEGINNING, Journal, MemoryStorage, Reader, RecordBatch, Settings, Storage, verify,
};
use libfuzzer_sys::fuzz_target;

const SETTINGS: Settings = Settings {
    segment_size_bytes: 2048,
    pending_limit_bytes: 1024,
    retain: cardswitch::journal::Retain::All,
    reserve_bytes: 2048,
    compress: true,
    sync: true,
};

const RECORDS: u64 = 60;

fn record(sequence: u64) -> Vec<u8> {
    format!("record {sequence} ").repeat(sequence as usize % 7).into_bytes()
}

/// A journal of a few segments; one of them in its compressed form.
static SOUND: LazyLock<Arc<MemoryStorage>> = LazyLock::new(|| {
    let storage = MemoryStorage::new();
    let (mut journal, _) = Journal::open(storage.clone(), &SETTINGS, 42).unwrap();
    let handle = journal.handle();
    for sequence in 1..=RECORDS {
        let mut batch = RecordBatch::new();
        batch.push(&record(sequence));
        handle.append(&mut batch, Box::new(drop)).unwrap();
        journal.commit_pending().unwrap();
    }
    while journal.prepare_ahead() || journal.tidy() {}
    drop(journal);
    storage
});

fuzz_target!(|input: (u8, u8, u16, &[u8])| {
    let (file, how, offset, bytes) = input;
    let storage = SOUND.copy();
    let mut names = storage.list().unwrap();
    names.sort();
    let name = &names[usize::from(file) % names.len()];
    let mut content = storage.content(name).unwrap();
    let at = usize::from(offset) % (content.len() + 1);
    match how % 4 {
        0 => {
            let end = content.len().min(at + bytes.len());
            content[at..end].copy_from_slice(&bytes[..end - at]);
        }
        1 => content.truncate(at),
        2 => content.extend_from_slice(bytes),
        _ => content = bytes.to_vec(),
    }
    storage.set_content(name, content);
    let shared: Arc<dyn Storage> = storage.clone();
    let _ = verify(&shared, |_| {});
    if let Ok(mut reader) = Reader::open(shared.clone(), 0) {
        let mut expected = 1;
        while let Ok(Some((sequence, bytes))) = reader.next() {
            assert_eq!((sequence, bytes), (expected, &record(expected)[..]));
            expected += 1;
        }
    }
    let mut replayed = 0;
    let _ = Journal::open_after(shared, &SETTINGS, 43, BEGINNING, &mut |sequence, bytes| {
        replayed += 1;
        assert_eq!((sequence, bytes), (replayed, &record(replayed)[..]));
        Ok(())
    });
});

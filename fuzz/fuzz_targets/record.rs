//! Any bytes as a journal record: refused, or a record that is written as it was read.
#![no_main]

use cardswitch::{
    engine::record::{self, Record},
    store::from_record,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(read) = record::read(bytes) else {
        return;
    };
    let mut written = Vec::new();
    match &read {
        Record::Shard { command, event, .. } => record::write_shard(&mut written, command, event),
        Record::Registry { command, event, .. } => {
            record::write_registry(&mut written, command, event);
        }
    }
    let again = record::read(&written).expect("what we write can be read");
    // The version of the engine is the writer's own, and a number may have stood longer than it must.
    let mut written_again = Vec::new();
    match &again {
        Record::Shard { command, event, .. } => {
            record::write_shard(&mut written_again, command, event);
        }
        Record::Registry { command, event, .. } => {
            record::write_registry(&mut written_again, command, event);
        }
    }
    assert_eq!(written, written_again);
    if let Some((_, authorized)) = from_record::authorization_of(&read) {
        authorized.trace.steps().for_each(drop);
    }
    let _ = from_record::authorization_row(1, &read, |_| None);
});

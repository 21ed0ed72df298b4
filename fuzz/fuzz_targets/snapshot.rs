//! Any bytes as the content of a snapshot: refused, or a world that is the same when it is written and
//! read again, on another number of shards too.
#![no_main]

use cardswitch::engine::{hash::state_hash, snapshot};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(world) = snapshot::read(&mut &bytes[..], 1) else {
        return;
    };
    let mut written = Vec::new();
    snapshot::write(&world, &mut written).expect("memory takes everything");
    for shards in [1, 3] {
        let again = snapshot::read(&mut &written[..], shards).expect("what we write can be read");
        assert_eq!(state_hash(&again), state_hash(&world));
    }
});

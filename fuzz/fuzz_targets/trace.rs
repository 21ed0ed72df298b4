//! Any bytes as a packed trace: the walk ends, and its steps packed again unpack to the same.
#![no_main]

use cardswitch::engine::trace::Trace;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let trace = Trace::from_bytes(bytes);
    let steps: Vec<_> = trace.steps().collect();
    let mut again = Trace::default();
    for step in &steps {
        again.push(step.step, step.result, step.detail);
    }
    let packed = Trace::from_bytes(again.as_bytes());
    assert!(steps.iter().eq(&packed.steps().collect::<Vec<_>>()));
});

//! Payment rails: by what way a top-up gets its money. What they stand on is a bank or a chain, and none of it is here:
//! money that arrived is told by a file or a call (`incoming_payments.rs`), or the sandbox says that it has.

use super::ApiState;
use crate::engine::top_ups::METHODS;

/// What a rail says of a top-up that was announced to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// It is there.
    Arrived,
    /// It waits for a payment that states its reference.
    Awaited,
}

/// A way for money to come in.
pub trait Rail: Sync {
    fn expects(&self) -> Expectation;
}

/// The sandbox: whatever is announced has arrived.
struct Simulated;

impl Rail for Simulated {
    fn expects(&self) -> Expectation {
        Expectation::Arrived
    }
}

/// A bank or a chain, heard of through incoming payments.
struct Told;

impl Rail for Told {
    fn expects(&self) -> Expectation {
        Expectation::Awaited
    }
}

/// The rail of a method; `simulated` where the sandbox stands in for it.
pub fn rail(simulated: bool) -> &'static dyn Rail {
    match simulated {
        true => &Simulated,
        false => &Told,
    }
}

/// Whether money of this method comes by itself: only where the sandbox makes it.
pub fn is_simulated(state: &ApiState, settle: Option<bool>) -> bool {
    settle.unwrap_or(state.sandbox)
}

/// Methods as words of a body or a query.
pub fn methods() -> [(&'static str, &'static str); METHODS.len()] {
    METHODS.map(|method| (method, method))
}

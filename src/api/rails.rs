//! Payment rails: by what way a top-up gets its money. What they stand on is a bank or a chain, and none of it is here:
//! money that arrived is told by a file or a call (`incoming_payments.rs`), or the sandbox says that it has.

use super::ApiState;
use super::error::ApiError;
use crate::engine::command::TopUp;
use crate::engine::money::Currency;
use crate::engine::top_ups::{METHODS, USDT_METHOD};

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
    /// Of top-ups that take it.
    fn methods(&self) -> &'static [&'static str];

    /// What it says of a top-up that is announced to it.
    fn expects(&self, top_up: &TopUp) -> Expectation;
}

/// The sandbox: whatever is announced has arrived.
struct Simulated;

impl Rail for Simulated {
    fn methods(&self) -> &'static [&'static str] {
        &METHODS
    }

    fn expects(&self, _: &TopUp) -> Expectation {
        Expectation::Arrived
    }
}

/// A bank or a chain, heard of through incoming payments.
struct Told;

impl Rail for Told {
    fn methods(&self) -> &'static [&'static str] {
        &METHODS
    }

    fn expects(&self, _: &TopUp) -> Expectation {
        Expectation::Awaited
    }
}

/// Those of which money comes outside the sandbox. Of one method the first that has it; a connector to a bank is a further one
/// before the last, which has them all.
static RAILS: [&dyn Rail; 1] = [&Told];

/// The rail that a top-up takes; `simulated` where the sandbox stands in for it.
pub fn rail(method: &str, simulated: bool) -> &'static dyn Rail {
    if simulated {
        return &Simulated;
    }
    let mut rails = RAILS.iter();
    let of_method = rails.find(|rail| rail.methods().contains(&method));
    *of_method.unwrap_or(&RAILS[RAILS.len() - 1])
}

/// Whether money of this method comes by itself: only where the sandbox makes it.
pub fn is_simulated(state: &ApiState, settle: Option<bool>) -> bool {
    settle.unwrap_or(state.sandbox)
}

/// Methods as words of a body or a query.
pub fn methods() -> [(&'static str, &'static str); METHODS.len()] {
    METHODS.map(|method| (method, method))
}

/// What a method brings.
///
/// # Errors
/// 409 `currency_mismatch`.
pub fn check_currency(method: &str, currency: Currency) -> Result<(), ApiError> {
    if method != USDT_METHOD || [Currency::USDT, Currency::USD].contains(&currency) {
        return Ok(());
    }
    let message = format!(
        "{USDT_METHOD} brings USDT, which stand for dollars one to one: name USDT or USD, or another method than for {}",
        currency.alpha()
    );
    Err(ApiError::conflict("currency_mismatch", message).with_param("currency"))
}

//! The checks of an authorization, one file each, and their order.

pub mod account_status;
pub mod balance;
pub mod capacity;
pub mod card_status;
pub mod exceptions;
pub mod limits;
pub mod lists;
pub mod merchant;
pub mod message;
pub mod repeat;
pub mod risk_rules;
pub mod three_ds;
pub mod time_window;
pub mod token;
pub mod verification;

use super::checks::{Checks, Context};

/// A check reads the context, and notes in the checks what it found.
pub type Check = fn(&Context, &mut Checks);

/// The order in which the checks of a known card decide: the first failure is the reason. Each runs
/// all the same, so that the trace is whole.
pub const IN_ORDER: &[Check] = &[
    card_status::check,
    token::check,
    account_status::check,
    verification::check,
    balance::check,
    limits::check,
    lists::check_mcc,
    lists::check_country,
    lists::check_currency,
    merchant::check,
    lists::check_channel,
    lists::check_entry_mode,
    time_window::check,
    risk_rules::check,
    three_ds::check,
    capacity::check,
];

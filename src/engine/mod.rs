//! The domain: commands and events, `decide` and `apply`, one file per rule.
//! Pure: no clock, randomness, I/O, card number or ISO 8583 field lives here.

pub mod apply;
pub mod checks;
pub mod command;
pub mod controls;
pub mod decide;
pub mod event;
pub mod facts;
pub mod first_answer;
pub mod hash;
pub mod holds;
pub mod ids;
pub mod issued_cards;
pub mod long_list;
pub mod match_index;
pub mod matching;
pub mod money;
mod packed_uses;
mod queue;
pub mod reason;
pub mod recent;
pub mod record;
pub mod registry;
pub mod registry_decide;
pub mod reversals;
pub mod rules;
pub mod scope;
pub mod slot_index;
pub mod snapshot;
pub mod state;
pub mod time;
pub mod touch;
pub mod trace;
pub mod window;
pub mod world;

//! The REST interface from outside: real loops over a journal in memory, real HTTP on loopback.

mod account_settings;
mod approvals;
mod attacked;
mod authorizations;
mod backtests;
mod bins;
mod card_batches;
mod card_links;
mod cardholders;
mod currency;
mod cut_off;
mod decision_endpoints;
mod described;
#[allow(dead_code)]
#[path = "../support/endpoint.rs"]
mod endpoint;
mod error_codes;
#[path = "../support/event_data.rs"]
mod event_data;
mod events_described;
mod events_of_cards;
mod events_told;
mod exceptions;
mod fees;
mod follower;
mod found_by;
mod fuzz;
mod groups;
mod harness;
mod idempotency;
mod keys;
mod links;
mod lists;
mod openapi;
mod owners;
mod permissions;
mod programs;
mod refusals;
mod reissue;
mod resources;
mod reveal_links;
mod rules;
mod secrets;
mod shares;
mod shipping;
mod simulate;
mod tokens;
mod top_ups;
mod transactions;
mod transfers;
#[allow(dead_code)]
#[path = "../support/waiting.rs"]
mod waiting;
mod wallets;

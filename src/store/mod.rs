//! The SQL side: a projection of the journal into SQLite or Postgres, and the reads that lists and
//! reports come from. It pulls from the journal; nothing waits for it, and it can be dropped and rebuilt.
//! Decisions and delivery of webhooks do not live here.

mod batch;
mod batch_cards;
mod batch_money;
mod batch_registry;
mod both;
mod bounds;
pub mod card_status;
mod columns;
mod copy;
mod database;
pub mod deliveries;
pub mod effect;
mod error;
pub mod events;
mod fan_out;
mod fault;
mod filters;
mod fit;
pub mod follow;
pub mod from_fees;
pub mod from_message;
pub mod from_money;
pub mod from_posting;
pub mod from_record;
pub mod from_token;
mod journal_source;
pub mod lag;
mod literals;
mod merchants;
mod order;
mod pace;
mod postgres;
pub mod projection;
pub mod query;
pub mod query_audit;
pub mod query_fees;
pub mod query_money;
pub mod query_payments;
pub mod query_tokens;
pub mod rebuild;
pub mod row_json;
pub mod rows;
mod search;
mod seek;
pub mod settlement_sums;
mod sql;
mod sqlite;
pub mod tail;
pub mod times;
mod url;

pub use database::{Prepared, Store};
pub use error::StoreError;
pub use journal_source::JournalSource;

//! The SQL projection, on SQLite and on a private Postgres alike.

mod fixture;
mod history;
mod projecting;

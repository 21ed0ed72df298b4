//! The way in and out over TCP: listeners and connectors, sessions, and the translation between a
//! dialect's fields and the domain. What a message's bytes look like lives in `iso8583`; what comes of
//! it in `engine`.

pub mod answer;
pub mod bad_frame;
pub mod connection;
mod date_time;
pub mod dialect_map;
mod exchange;
pub mod flight;
mod late;
pub mod listener;
pub mod loopback;
mod merchant;
mod names;
pub mod outgoing;
mod outgoing_facts;
mod outgoing_fields;
pub mod session;
pub mod settings;
pub mod stats;
pub mod threads;
mod three_ds;
pub mod translate;

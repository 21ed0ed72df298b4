//! What of the journal others hear of: events, as rows that are written in the transaction of their record, and only
//! where somebody has subscribed to them. Delivering them lives in `webhooks`.

mod about;
mod approvals;
mod balances;
mod cards;
mod context;
mod derive;
mod exceptions;
mod fold;
mod links;
mod money;
mod read;
mod row;
mod tokens;
pub mod types;

pub use about::UNKNOWN_CARD;
pub use fold::{EventContext, EventFold, link_text};
pub use read::EventFilter;
pub use row::{
    Answered, EventRow, EventRows, PlaceJson, PlacedEvent, ResponseCodes, UntoldLinkChangeRow,
};

pub(super) use context::{needs, needs_of_piece, subscribe};
pub use links::Piece;

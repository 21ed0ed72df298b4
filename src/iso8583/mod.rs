//! The ISO 8583 wire format: dialects compiled from `specs/`, a borrowed view on parse, an encoder
//! into a reused buffer, framing, and an annotated, masked print.
//!
//! Pure: no clock, no files, no network. It knows fields and bytes; what a card or a decline is,
//! it does not know. Dialect files carry the maps from fields to domain facts, which module
//! `network` compiles.

mod assemble;
pub mod charset;
pub mod describe;
pub mod dialect;
mod emv;
pub mod encode;
pub mod field;
mod field_spec;
pub mod frame_view;
pub mod framing;
pub mod identity;
pub mod mapping;
pub mod message;
pub mod mti;
#[cfg(test)]
mod naive_tests;
mod parse_error;
pub mod patch;
#[cfg(test)]
mod proptests;
pub mod spec;
pub mod structure;
pub mod subfields;
pub mod tlv;
mod value;

pub use dialect::Dialect;
pub use encode::{EncodeError, Encoder};
pub use field::FieldSpec;
pub use frame_view::FrameView;
pub use framing::{Frame, FrameCodec, FrameError, Framing, Header, HeaderBytes};
pub use mapping::Mappings;
pub use message::{Message, ParseError};
pub use mti::Mti;
pub use patch::Patch;
pub use spec::SpecError;

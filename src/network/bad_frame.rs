//! Why a frame ends its connection: it cannot be cut, or what is in it is no message.

use crate::iso8583::{FrameError, ParseError};

#[derive(Debug, thiserror::Error)]
pub enum BadFrame {
    #[error("{0}")]
    Framing(#[from] FrameError),
    #[error("a frame that holds no message: {0}")]
    Garbage(#[from] ParseError),
}

//! The other side of the wire: a simulated card network, replay of captures, and load.
//!
//! It knows ISO 8583 and what a network expects of an issuer. It shares nothing with the switch but
//! module `iso8583`, so that it can judge the switch's answers from outside.

pub mod capture;
pub mod cards;
pub mod check;
pub mod client;
pub mod conversation;
pub mod echo;
mod extras;
mod in_flight;
pub mod keys;
mod line;
mod malformed;
pub mod merchants;
mod mix;
pub mod network;
mod pace;
pub mod payments;
mod places;
mod player;
mod random;
pub mod record;
pub mod replay;
pub mod report;
mod rewrite;
mod run;
pub mod seed;
pub mod talk;
mod templates;
pub mod traffic;
mod values;
mod wall_clock;
mod wire;

pub use cards::{CardFileError, Profile, SimCard};
pub use mix::Mix;
pub use network::{NetworkOptions, run_network};
pub use replay::{ReplayOptions, ReplayReport, run_replay};
pub use report::{NetworkReport, Totals};
pub use run::Progress;
pub use seed::{SeedError, SeedOptions, seed};

use crate::iso8583::{EncodeError, FrameError};

/// Why a run could not be made, or could not go on. Never carries card data.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// No connection could be made.
    #[error("cannot connect to {target}: {source}; is the switch listening there?")]
    Connect {
        /// Host and port.
        target: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The peer refused the sign-on, or did not answer it.
    #[error("sign-on {0}; try --no-sign-on, or look at `sign_on` of the peer")]
    SignOn(String),
    /// A conversation cannot be read.
    #[error("line {line}: {problem} (a line is as `p1 0100 amount=4000 -> approved`)")]
    Script {
        /// Of the file, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The dialect cannot carry what the simulator sends.
    #[error("the dialect {dialect} cannot carry {what}: {source}")]
    Encode {
        /// Name of the dialect.
        dialect: String,
        /// Which message.
        what: &'static str,
        /// The field that failed.
        source: EncodeError,
    },
    /// A frame could not be written.
    #[error("cannot frame a message: {0}")]
    Frame(#[from] FrameError),
    /// Options that contradict each other or cannot be met.
    #[error("{0}")]
    Options(String),
    /// A capture with messages, but none to send.
    #[error(
        "none of its {messages} messages is a request; message 1 {first}; are --dialect, --framing and --header \
         those of the capture?"
    )]
    NoRequest {
        /// How many messages it has.
        messages: usize,
        /// What the first one is instead.
        first: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A capture that is none.
    #[error("{path}, {place}: {problem}")]
    Capture {
        /// The file.
        path: String,
        /// Line or byte offset.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// A connection failed where nothing else can be done.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

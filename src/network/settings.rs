//! The `[[network]]` sections of the configuration. Their meaning in TCP lives in `listener.rs`.

use crate::iso8583::{FrameCodec, Framing, Header};
use serde::Deserialize;
use std::time::Duration;

/// One card network: where it is, and how it speaks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSettings {
    /// Unique; part of the identity of its messages, so that it must not change.
    pub name: String,
    /// `host:port` to accept connections on. Either this or `connect`.
    pub listen: Option<String>,
    /// `host:port` to connect to.
    pub connect: Option<String>,
    /// How many connections to keep open with `connect`.
    #[serde(default = "one")]
    pub connections: usize,
    #[serde(default = "default_framing")]
    pub framing: String,
    #[serde(default = "default_header")]
    pub header: String,
    #[serde(default = "default_dialect")]
    pub dialect: String,
    /// A dialect file of one's own in place of a built-in one.
    pub dialect_file: Option<String>,
    #[serde(default)]
    pub sign_on: SignOnPolicy,
    /// With `send`: how long after a sign-off by the peer we sign on again; the wait doubles, up to ten minutes. 0: never.
    #[serde(default = "default_sign_on_again_s")]
    pub sign_on_again_s: u64,
    /// Messages of one connection that may wait for their answers.
    #[serde(default = "default_in_flight_max")]
    pub in_flight_max: usize,
    #[serde(default = "default_connections_max")]
    pub connections_max: usize,
    #[serde(default = "default_frame_bytes_max")]
    pub frame_bytes_max: usize,
    /// An echo request goes out after this long without a message; 0 sends none.
    #[serde(default = "default_idle_echo_s")]
    pub idle_echo_s: u64,
    /// A peer that has said nothing for this long is gone; 0 waits for ever.
    #[serde(default = "default_idle_close_s")]
    pub idle_close_s: u64,
    /// How long the answer to a sign-on or an echo request may take.
    #[serde(default = "default_response_timeout_s")]
    pub response_timeout_s: u64,
    /// How long the answer to a request may take, from its arrival. A later approval is taken back and answered 91.
    #[serde(default = "default_answer_within_ms")]
    pub answer_within_ms: u64,
    /// How long a peer may leave its answers unread.
    #[serde(default = "default_write_timeout_s")]
    pub write_timeout_s: u64,
    /// Answer an empty frame with an empty frame.
    #[serde(default)]
    pub answer_keep_alive: bool,
}

/// Who signs on, and whether anybody must.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignOnPolicy {
    /// We do, and wait for the answer.
    Send,
    /// The peer must, before anything else.
    Required,
    /// The peer may.
    #[default]
    Optional,
    /// There is no such thing here.
    None,
}

fn one() -> usize {
    1
}
fn default_framing() -> String {
    "length-2-be".into()
}
fn default_header() -> String {
    "none".into()
}
fn default_dialect() -> String {
    "iso8583-1987-ascii".into()
}
fn default_sign_on_again_s() -> u64 {
    30
}
fn default_in_flight_max() -> usize {
    4_096
}
fn default_connections_max() -> usize {
    16_384
}
fn default_frame_bytes_max() -> usize {
    8_192
}
fn default_idle_echo_s() -> u64 {
    60
}
fn default_idle_close_s() -> u64 {
    300
}
fn default_response_timeout_s() -> u64 {
    10
}
fn default_answer_within_ms() -> u64 {
    5_000
}
fn default_write_timeout_s() -> u64 {
    10
}

#[derive(Debug, thiserror::Error)]
#[error("network `{network}`: {what}")]
pub struct SettingsError {
    pub network: String,
    /// The key that is wrong, or missing.
    pub key: &'static str,
    pub what: String,
}

impl NetworkSettings {
    /// Checks what the types do not, and gives the framing.
    pub fn frame_codec(&self) -> Result<FrameCodec, SettingsError> {
        let error = |key, what: String| SettingsError {
            network: self.name.clone(),
            key,
            what,
        };
        if self.name.is_empty() || self.name.len() > 16 {
            return Err(error("name", "`name` takes 1 to 16 characters".into()));
        }
        if self.listen.is_some() == self.connect.is_some() {
            let what = "give either `listen` or `connect`, a host and a port";
            return Err(error("connect", what.into()));
        }
        if self.in_flight_max == 0 {
            return Err(error(
                "in_flight_max",
                "`in_flight_max` must be above 0".into(),
            ));
        }
        if self.answer_within_ms == 0 {
            let what = "`answer_within_ms` must be above 0";
            return Err(error("answer_within_ms", what.into()));
        }
        if self.frame_bytes_max < 32 {
            let what = "`frame_bytes_max` must be at least 32";
            return Err(error("frame_bytes_max", what.into()));
        }
        let framing: Framing = self
            .framing
            .parse()
            .map_err(|e| error("framing", format!("`framing`: {e}")))?;
        let header: Header = self
            .header
            .parse()
            .map_err(|e| error("header", format!("`header`: {e}")))?;
        Ok(FrameCodec {
            framing,
            header,
            max_frame_len: self.frame_bytes_max,
        })
    }

    pub fn response_timeout_ms(&self) -> u64 {
        self.response_timeout_s.max(1) * 1_000
    }

    pub fn answer_within(&self) -> Duration {
        Duration::from_millis(self.answer_within_ms)
    }

    pub fn write_timeout(&self) -> Duration {
        Duration::from_secs(self.write_timeout_s.max(1))
    }
}

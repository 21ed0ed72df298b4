//! The `[journal]` section of the configuration: sizes, bounds and what is kept.

use serde::{Deserialize, Deserializer, de};

use super::{error::JournalError, frame::HEADER, segment::SECTOR};

/// How the journal uses its disk. All sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Size of one zero-filled segment. Default 64 MiB.
    pub segment_size_bytes: u64,
    /// Most bytes that may wait for the next group; `append` blocks beyond it. Default 8 MiB.
    pub pending_limit_bytes: u64,
    /// How many sealed segments are kept. Default `"all"`.
    pub retain: Retain,
    /// Zero-filled space kept ahead for the time when the disk is full, rounded up to whole
    /// segments, at least one. Default 64 MiB.
    pub reserve_bytes: u64,
    /// While a group has been on its way to the disk for longer than this, ordinary work is refused
    /// instead of queued behind it; 0 never refuses. Default 1 s.
    pub stall_refuse_ms: u64,
    /// Compress sealed segments in the background. Default on.
    pub compress: bool,
    /// For benchmarks only: `false` skips `fdatasync`, and with it every promise of durability.
    pub sync: bool,
}

/// How many sealed segments are kept behind the oldest record that is still needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retain {
    /// Every segment, for ever (`"all"`).
    All,
    /// The newest that many sealed segments (a number).
    Segments(u64),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_size_bytes: 64 << 20,
            pending_limit_bytes: 8 << 20,
            retain: Retain::All,
            reserve_bytes: 64 << 20,
            stall_refuse_ms: 1_000,
            compress: true,
            sync: true,
        }
    }
}

impl Settings {
    /// Checks what the types cannot: a full group must fit into an empty segment.
    ///
    /// # Errors
    /// [`JournalError::Setting`] names the key.
    pub fn check(&self) -> Result<(), JournalError> {
        let smallest = HEADER as u64 + 8;
        if !self.segment_size_bytes.is_multiple_of(SECTOR)
            || self.segment_size_bytes > u64::from(u32::MAX)
        {
            return Err(JournalError::Setting {
                key: "segment_size_bytes",
                reason: "must be a multiple of 512 and below 4 GiB".into(),
            });
        }
        if self.pending_limit_bytes == 0
            || self.pending_limit_bytes + smallest > self.segment_size_bytes
        {
            return Err(JournalError::Setting {
                key: "pending_limit_bytes",
                reason: format!(
                    "must be above 0 and at least {smallest} bytes below segment_size_bytes ({}); lower it, or raise \
                     that one",
                    self.segment_size_bytes
                ),
            });
        }
        Ok(())
    }

    /// How many whole segments are kept prepared ahead of the live one.
    pub(super) fn segments_ahead(&self) -> usize {
        let segments = self.reserve_bytes.div_ceil(self.segment_size_bytes.max(1));
        usize::try_from(segments).unwrap_or(usize::MAX).max(1)
    }
}

impl<'de> Deserialize<'de> for Retain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Retain;
            fn expecting(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
                out.write_str("\"all\" or a number of segments")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Retain, E> {
                match text.parse() {
                    _ if text == "all" => Ok(Retain::All),
                    Ok(segments) => Ok(Retain::Segments(segments)),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_u64<E: de::Error>(self, segments: u64) -> Result<Retain, E> {
                Ok(Retain::Segments(segments))
            }
            fn visit_i64<E: de::Error>(self, segments: i64) -> Result<Retain, E> {
                let invalid = |_| E::invalid_value(de::Unexpected::Signed(segments), &self);
                u64::try_from(segments)
                    .map(Retain::Segments)
                    .map_err(invalid)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_from_toml_with_defaults_and_refuse_unknown_keys() {
        let all: Settings = toml::from_str("").unwrap();
        assert_eq!(all, Settings::default());
        let some: Settings = toml::from_str("retain = 4\nsync = false").unwrap();
        assert_eq!(some.retain, Retain::Segments(4));
        assert!(!some.sync);
        assert_eq!(
            toml::from_str::<Settings>("retain = \"all\"")
                .unwrap()
                .retain,
            Retain::All
        );
        assert!(toml::from_str::<Settings>("retain = \"some\"").is_err());
        assert!(toml::from_str::<Settings>("retain = -1").is_err());
        assert!(toml::from_str::<Settings>("segment_size = 4").is_err());
    }

    #[test]
    fn a_group_must_fit_into_a_segment() {
        let tight = Settings {
            segment_size_bytes: 4096,
            ..Settings::default()
        };
        assert!(
            tight
                .check()
                .unwrap_err()
                .to_string()
                .starts_with("journal.pending_limit_bytes")
        );
        let odd = Settings {
            segment_size_bytes: 5000,
            ..Settings::default()
        };
        assert!(
            odd.check()
                .unwrap_err()
                .to_string()
                .starts_with("journal.segment_size_bytes")
        );
        assert!(Settings::default().check().is_ok());
    }
}

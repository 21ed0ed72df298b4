//! Looks at the first frame of a buffer without taking it out: for those who work through all frames of
//! one read and then forget them together. Taking frames out and writing them is in `framing`.

use super::framing::{FrameCodec, FrameError};

/// The first frame of a buffer, where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameView<'a> {
    /// What is in it.
    pub content: Content<'a>,
    /// Length of the whole frame: the next one begins behind it.
    pub length: usize,
}

/// What is in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Nothing: length zero.
    KeepAlive,
    /// A message, unframed, and the header that stands before it.
    Message {
        /// Header bytes as they came.
        header: &'a [u8],
        /// The message.
        body: &'a [u8],
    },
}

impl FrameCodec {
    /// The frame at the front of the bytes, if all of it is there.
    #[inline]
    pub fn view<'a>(&self, bytes: &'a [u8]) -> Result<Option<FrameView<'a>>, FrameError> {
        let prefix_length = self.framing.prefix_length();
        let Some((prefix, rest)) = bytes.split_at_checked(prefix_length) else {
            return Ok(None);
        };
        let length = self.framing.length(prefix)?;
        if length > self.max_frame_len {
            return Err(FrameError::TooLong {
                length,
                max: self.max_frame_len,
            });
        }
        let suffix_length = match self.framing.is_bare_zero(prefix) {
            true => 0,
            false => self.framing.suffix_length(),
        };
        let Some((inside, behind)) = rest.split_at_checked(length) else {
            return Ok(None);
        };
        let Some(suffix) = behind.get(..suffix_length) else {
            return Ok(None);
        };
        if !matches!(suffix, [] | [3]) {
            return Err(FrameError::Garbage {
                expected: "0x03 at the end of a frame",
                found: suffix.iter().copied().collect(),
            });
        }
        let content = match inside {
            [] => Content::KeepAlive,
            inside => {
                let (header, body) = inside.split_at(self.header.length(inside)?);
                Content::Message { header, body }
            }
        };
        let length = prefix_length + length + suffix_length;
        Ok(Some(FrameView { content, length }))
    }
}

//! Cuts frames out of a byte stream and puts them around messages: length prefixes and headers of
//! design section 4. What is inside a frame is not looked at.

use std::{fmt, io, str::FromStr};

use arrayvec::ArrayVec;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec;

use super::frame_view::Content;

/// How a frame's length stands in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Two bytes, big-endian.
    Length2Be,
    /// Two bytes, little-endian.
    Length2Le,
    /// Two bytes, big-endian, counting themselves.
    Length2BeInclusive,
    /// Two bytes, four BCD digits.
    Length2Bcd,
    /// Two bytes, big-endian, counting a 0x03 that ends the frame.
    Length2BeEtx,
    /// Two bytes, big-endian, then two zero bytes.
    Length2BeZeros,
    /// Two zero bytes, then two bytes, big-endian.
    ZerosLength2Be,
    /// Three bytes, big-endian.
    Length3Be,
    /// Four bytes, big-endian.
    Length4Be,
    /// Four ASCII digits.
    Ascii4,
    /// Four hexadecimal characters.
    Hex4,
}

/// What stands between the length and the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Nothing.
    None,
    /// Five bytes: protocol id, destination, source (two bytes each).
    Tpdu,
    /// Visa BASE I: 22 bytes, the first its own length; a reject frame has a 26-byte one before it.
    Base1,
}

/// Header bytes of one frame, kept for the answer.
pub type HeaderBytes = ArrayVec<u8, 48>;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Length zero.
    KeepAlive,
    /// A message, unframed, and the header that stood before it.
    Message {
        /// Header bytes as they came.
        header: HeaderBytes,
        /// The message.
        body: Bytes,
    },
}

/// Why a stream can no longer be cut into frames: the connection must be closed.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length is above the bound.
    #[error("frame of {length} bytes, at most {max} are taken")]
    TooLong {
        /// Announced length.
        length: usize,
        /// `max_frame_len`.
        max: usize,
    },
    /// The bytes in the place of a length are no length.
    #[error("expected {expected} at the start of a frame, found {found:02x?}")]
    Garbage {
        /// What the framing has there.
        expected: &'static str,
        /// What stood there.
        found: ArrayVec<u8, 4>,
    },
    /// The frame is shorter than its header, or the header contradicts itself.
    #[error("bad {header:?} header: {problem}")]
    Header {
        /// The header configured.
        header: Header,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The stream itself failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

const FRAMINGS: &[(&str, Framing)] = &[
    ("length-2-be", Framing::Length2Be),
    ("length-2-le", Framing::Length2Le),
    ("length-2-be-inclusive", Framing::Length2BeInclusive),
    ("length-2-bcd", Framing::Length2Bcd),
    ("length-2-be-etx", Framing::Length2BeEtx),
    ("length-2-be-zeros", Framing::Length2BeZeros),
    ("zeros-length-2-be", Framing::ZerosLength2Be),
    ("length-3-be", Framing::Length3Be),
    ("length-4-be", Framing::Length4Be),
    ("ascii-4", Framing::Ascii4),
    ("hex-4", Framing::Hex4),
];
const HEADERS: &[(&str, Header)] = &[
    ("none", Header::None),
    ("tpdu", Header::Tpdu),
    ("base1", Header::Base1),
];

/// A name that is no framing or no header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no {what}; use one of: {known}")]
pub struct UnknownName {
    name: String,
    what: &'static str,
    known: String,
}

fn named<T: Copy>(name: &str, what: &'static str, all: &[(&str, T)]) -> Result<T, UnknownName> {
    let found = all.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value).ok_or_else(|| UnknownName {
        name: name.to_owned(),
        what,
        known: all
            .iter()
            .map(|(known, _)| *known)
            .collect::<Vec<_>>()
            .join(", "),
    })
}

impl FromStr for Framing {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Framing, UnknownName> {
        named(name, "framing", FRAMINGS)
    }
}

impl FromStr for Header {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Header, UnknownName> {
        named(name, "header", HEADERS)
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FRAMINGS.iter().find(|(_, framing)| framing == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = HEADERS.iter().find(|(_, header)| header == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

impl Framing {
    /// All names, as configuration writes them.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FRAMINGS.iter().map(|(name, _)| *name)
    }

    /// Bytes before what the length counts.
    pub(super) const fn prefix_length(self) -> usize {
        match self {
            Framing::Length2Be
            | Framing::Length2Le
            | Framing::Length2BeInclusive
            | Framing::Length2Bcd
            | Framing::Length2BeEtx => 2,
            Framing::Length3Be => 3,
            Framing::Length2BeZeros
            | Framing::ZerosLength2Be
            | Framing::Length4Be
            | Framing::Ascii4
            | Framing::Hex4 => 4,
        }
    }

    /// Bytes after header and message.
    pub(super) const fn suffix_length(self) -> usize {
        matches!(self, Framing::Length2BeEtx) as usize
    }

    /// The largest length that the prefix can say.
    const fn capacity(self) -> usize {
        match self {
            Framing::Length2Bcd | Framing::Ascii4 => 9999,
            Framing::Length2BeInclusive => 65_533,
            Framing::Length2BeEtx => 65_534,
            Framing::Length3Be => 0xff_ffff,
            Framing::Length4Be => 0x7fff_ffff,
            _ => 65_535,
        }
    }

    /// Bytes between prefix and suffix, from the prefix.
    pub(super) fn length(self, prefix: &[u8]) -> Result<usize, FrameError> {
        let big_endian = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
        };
        let garbage = |expected| FrameError::Garbage {
            expected,
            found: prefix.iter().copied().take(4).collect(),
        };
        let digits = |radix: u32, expected| {
            prefix.iter().try_fold(0, |sum, byte| {
                let digit = (*byte as char)
                    .to_digit(radix)
                    .ok_or_else(|| garbage(expected))?;
                Ok(sum * radix as usize + digit as usize)
            })
        };
        match self {
            Framing::Length2Be | Framing::Length3Be | Framing::Length4Be => Ok(big_endian(prefix)),
            Framing::Length2Le => Ok(usize::from(prefix[1]) << 8 | usize::from(prefix[0])),
            // A zero length is a keep-alive, however it counts.
            Framing::Length2BeInclusive => match big_endian(prefix) {
                0 | 2 => Ok(0),
                1 => Err(garbage("a length that counts its own two bytes")),
                length => Ok(length - 2),
            },
            Framing::Length2BeEtx => Ok(big_endian(prefix).saturating_sub(1)),
            Framing::Length2BeZeros if prefix[2..] == [0, 0] => Ok(big_endian(&prefix[..2])),
            Framing::Length2BeZeros => Err(garbage("a length of two bytes and two zero bytes")),
            Framing::ZerosLength2Be if prefix[..2] == [0, 0] => Ok(big_endian(&prefix[2..])),
            Framing::ZerosLength2Be => Err(garbage("two zero bytes and a length of two bytes")),
            Framing::Length2Bcd => prefix.iter().try_fold(0, |sum, byte| {
                let (high, low) = (byte >> 4, byte & 15);
                let pair = (high < 10 && low < 10).then(|| usize::from(high * 10 + low));
                Ok(sum * 100 + pair.ok_or_else(|| garbage("four BCD digits"))?)
            }),
            Framing::Ascii4 => digits(10, "four ASCII digits"),
            Framing::Hex4 => digits(16, "four hexadecimal characters"),
        }
    }

    /// Whether the prefix says that nothing follows, not even a suffix.
    pub(super) fn is_bare_zero(self, prefix: &[u8]) -> bool {
        self == Framing::Length2BeEtx && prefix == [0, 0]
    }

    /// Writes the prefix for so many bytes of header and message.
    fn put_length(self, length: usize, prefix: &mut [u8]) {
        let two = (length as u16).to_be_bytes();
        match self {
            Framing::Length2Be => prefix.copy_from_slice(&two),
            Framing::Length2Le => prefix.copy_from_slice(&(length as u16).to_le_bytes()),
            Framing::Length2BeInclusive => {
                prefix.copy_from_slice(&(length as u16 + 2).to_be_bytes());
            }
            Framing::Length2BeEtx => prefix.copy_from_slice(&(length as u16 + 1).to_be_bytes()),
            Framing::Length2BeZeros => prefix.copy_from_slice(&[two[0], two[1], 0, 0]),
            Framing::ZerosLength2Be => prefix.copy_from_slice(&[0, 0, two[0], two[1]]),
            Framing::Length3Be => prefix.copy_from_slice(&(length as u32).to_be_bytes()[1..]),
            Framing::Length4Be => prefix.copy_from_slice(&(length as u32).to_be_bytes()),
            Framing::Length2Bcd => {
                let pair = |number: usize| (((number / 10 % 10) << 4) | (number % 10)) as u8;
                prefix.copy_from_slice(&[pair(length / 100), pair(length)]);
            }
            Framing::Ascii4 | Framing::Hex4 => {
                let radix = if self == Framing::Ascii4 { 10 } else { 16 };
                let mut left = length;
                for byte in prefix.iter_mut().rev() {
                    *byte = super::value::hex_digit((left % radix) as u8);
                    left /= radix;
                }
            }
        }
    }
}

impl Header {
    /// Bytes of the header at the start of a frame's content.
    pub(super) fn length(self, content: &[u8]) -> Result<usize, FrameError> {
        let problem = |problem| {
            Err(FrameError::Header {
                header: self,
                problem,
            })
        };
        match self {
            Header::None => Ok(0),
            Header::Tpdu if content.len() < 5 => problem("the frame is shorter than five bytes"),
            Header::Tpdu => Ok(5),
            Header::Base1 => match content.first() {
                Some(22) if content.len() >= 22 => Ok(22),
                // A reject: its own header, then the header of the message that was rejected.
                Some(26) if content.len() >= 48 && content[26] == 22 => Ok(48),
                Some(26) => problem("a reject header of 26 bytes must be followed by one of 22"),
                Some(22) => problem("the frame is shorter than its header"),
                _ => problem("its first byte must be its length, 22 or 26"),
            },
        }
    }

    /// The header of an answer: source and destination swapped; for BASE I also the total length,
    /// which [`end_frame`] fills in. Without a request's header, one with all addresses zero.
    pub fn answer(self, request: &[u8]) -> HeaderBytes {
        let mut header = HeaderBytes::new();
        match self {
            Header::None => {}
            Header::Tpdu => match request {
                [id, to_high, to_low, from_high, from_low] => {
                    header.extend([*id, *from_high, *from_low, *to_high, *to_low]);
                }
                _ => header.extend([0x60, 0, 0, 0, 0]),
            },
            Header::Base1 => {
                let request: [u8; 22] = match request {
                    [.., _] if request.len() >= 22 => {
                        // Cannot fail: the slice is 22 long. The last 22 bytes, as in a reject.
                        request[request.len() - 22..].try_into().unwrap_or([0; 22])
                    }
                    _ => BASE1_EMPTY,
                };
                header.extend(request);
                header[5..8].copy_from_slice(&request[8..11]);
                header[8..11].copy_from_slice(&request[5..8]);
            }
        }
        header
    }
}

/// BASE I header of a message that answers nothing: length 22, format 1, text format 2 (BCD and
/// EBCDIC), total length, destination, source, then round-trip control, flags, status, batch,
/// reserved and user information, all zero.
const BASE1_EMPTY: [u8; 22] = [
    22, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// Framing of one connection, for `tokio_util::codec::Framed` and for the direct functions.
#[derive(Clone, Copy, Debug)]
pub struct FrameCodec {
    /// How the length stands.
    pub framing: Framing,
    /// What stands between length and message.
    pub header: Header,
    /// Bound on header and message together.
    pub max_frame_len: usize,
}

/// Where a frame begins that is being written; for [`FrameCodec::end_frame`].
#[derive(Clone, Copy, Debug)]
#[must_use = "a frame that is not ended has no length"]
pub struct OpenFrame {
    start: usize,
}

impl FrameCodec {
    /// Cuts the next frame off the front of the buffer, if all of it is there. The body shares the
    /// buffer's memory: nothing is copied.
    #[inline]
    pub fn cut(&self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(view) = self.view(buffer)? else {
            return Ok(None);
        };
        let total = view.length;
        let Content::Message { header, body } = view.content else {
            buffer.advance(total);
            return Ok(Some(Frame::KeepAlive));
        };
        let start = self.framing.prefix_length() + header.len();
        let length = body.len();
        // Cannot overflow: header lengths are 0, 5, 22 and 48.
        let header = header.iter().copied().collect();
        let mut body = buffer.split_to(total).freeze();
        body.advance(start);
        body.truncate(length);
        Ok(Some(Frame::Message { header, body }))
    }

    /// Begins a frame behind what the buffer holds; encode the message next, then
    /// [`end_frame`](FrameCodec::end_frame). `header` is that of the answer: [`Header::answer`].
    #[inline]
    pub fn begin_frame(&self, out: &mut BytesMut, header: &[u8]) -> OpenFrame {
        let start = out.len();
        out.put_bytes(0, self.framing.prefix_length());
        out.put_slice(header);
        OpenFrame { start }
    }

    /// Ends a frame: writes its lengths. On an error the frame is taken out of the buffer.
    #[inline]
    pub fn end_frame(&self, out: &mut BytesMut, frame: OpenFrame) -> Result<(), FrameError> {
        let content = frame.start + self.framing.prefix_length();
        let length = out.len() - content;
        let max = self.framing.capacity().min(self.max_frame_len);
        if length > max {
            out.truncate(frame.start);
            return Err(FrameError::TooLong { length, max });
        }
        if self.header == Header::Base1 && length >= 22 {
            // Header field 4: length of the header and the message.
            out[content + 3..content + 5].copy_from_slice(&(length as u16).to_be_bytes());
        }
        self.framing
            .put_length(length, &mut out[frame.start..content]);
        if self.framing.suffix_length() == 1 {
            out.put_u8(3);
        }
        Ok(())
    }

    /// Takes a frame that is not to be sent out of the buffer again.
    pub fn abandon_frame(&self, out: &mut BytesMut, frame: OpenFrame) {
        out.truncate(frame.start);
    }

    /// Writes a keep-alive: a frame of length zero.
    pub fn put_keep_alive(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_bytes(0, self.framing.prefix_length());
        if matches!(self.framing, Framing::Ascii4 | Framing::Hex4) {
            self.framing.put_length(0, &mut out[start..]);
        }
    }
}

impl codec::Decoder for FrameCodec {
    type Item = Frame;
    type Error = FrameError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        self.cut(buffer)
    }
}

impl codec::Encoder<Frame> for FrameCodec {
    type Error = FrameError;

    fn encode(&mut self, frame: Frame, out: &mut BytesMut) -> Result<(), FrameError> {
        match frame {
            Frame::KeepAlive => self.put_keep_alive(out),
            Frame::Message { header, body } => {
                let open = self.begin_frame(out, &header);
                out.put_slice(&body);
                self.end_frame(out, open)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;

//! The bytes of one frame: a fixed header, then length-prefixed records. A frame is one group
//! commit. Byte diagrams are in `docs/journal-format.md`; no I/O happens here.
//!
//! Two checks for two dangers. CRC-32C over the payload finds damage (every error of up to three
//! bits at any frame size used here, every burst of 32 bits) at the price of reading memory. The
//! chain is BLAKE3, cut to 16 bytes, over the header alone, which holds that CRC, the position, the
//! ids and the previous frame's hash: order, place and ancestry are bound for about 0.15 µs per
//! frame, whatever its size. Neither is keyed: this finds accidents, not forgers.

use std::fmt;

use super::Sequence;

/// Format version that this build writes and reads.
pub const FORMAT_VERSION: u32 = 2;

/// Length of a frame header.
pub(super) const HEADER: usize = 128;

/// Length prefix of a record: `u32`, little-endian.
pub(super) const RECORD_PREFIX: usize = 4;

const MAGIC: [u8; 8] = *b"CSWFRAME";
const HASHED: usize = HEADER - 16;

/// Hash of a frame's header, which contains the hash before it: names one journal prefix.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ChainHash(pub [u8; 16]);

impl fmt::Display for ChainHash {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Everything a frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub journal_id: u128,
    /// Counts frames over the whole journal; the first is 1.
    pub frame: u64,
    /// Where this frame lies: segment number and byte in it.
    pub segment: u64,
    pub offset: u64,
    /// Sequence of the first record, or of the next one if the frame holds none.
    pub first_sequence: Sequence,
    pub record_count: u32,
    /// Newest frame (and record) known durable when this one was written.
    pub durable_frame: u64,
    pub durable_sequence: Sequence,
    pub payload_length: u32,
    pub payload_crc: u32,
    pub previous: ChainHash,
    /// The length that this frame's segment was made with and keeps for as long as it is plain.
    pub segment_length: u64,
    pub hash: ChainHash,
}

/// Why 128 bytes are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// Nothing was ever written here.
    Empty,
    /// Not what a writer of this format leaves behind.
    Garbage(&'static str),
    /// A frame of another format version.
    Version(u32),
}

impl FrameHeader {
    /// Writes the header into the first 128 bytes of `out` and fills in its own hash.
    pub fn encode(&mut self, out: &mut [u8]) {
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.record_count.to_le_bytes());
        out[16..32].copy_from_slice(&self.journal_id.to_le_bytes());
        let words = [
            self.frame,
            self.segment,
            self.offset,
            self.first_sequence,
            self.durable_frame,
            self.durable_sequence,
        ];
        for (place, word) in out[32..80].chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        out[80..84].copy_from_slice(&self.payload_length.to_le_bytes());
        out[84..88].copy_from_slice(&self.payload_crc.to_le_bytes());
        out[88..104].copy_from_slice(&self.previous.0);
        out[104..112].copy_from_slice(&self.segment_length.to_le_bytes());
        self.hash = hash_of(&out[..HASHED]);
        out[112..128].copy_from_slice(&self.hash.0);
    }

    /// Reads a header; fewer than 128 bytes count as cut off.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let Some(bytes) = bytes.first_chunk::<HEADER>() else {
            let empty = bytes.iter().all(|byte| *byte == 0);
            let cut = HeaderFault::Garbage("the header is cut off");
            return Err(if empty { HeaderFault::Empty } else { cut });
        };
        if bytes[..8] != MAGIC {
            let empty = bytes.iter().all(|byte| *byte == 0);
            let garbage = HeaderFault::Garbage("there is no frame header");
            return Err(if empty { HeaderFault::Empty } else { garbage });
        }
        let hash = ChainHash(array(bytes, 112));
        if hash_of(&bytes[..HASHED]) != hash {
            return Err(fault_of_wrong_hash(bytes, hash));
        }
        let version = u32_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Err(HeaderFault::Version(version));
        }
        Ok(Self {
            record_count: u32_at(bytes, 12),
            journal_id: u128::from_le_bytes(array(bytes, 16)),
            frame: u64_at(bytes, 32),
            segment: u64_at(bytes, 40),
            offset: u64_at(bytes, 48),
            first_sequence: u64_at(bytes, 56),
            durable_frame: u64_at(bytes, 64),
            durable_sequence: u64_at(bytes, 72),
            payload_length: u32_at(bytes, 80),
            payload_crc: u32_at(bytes, 84),
            previous: ChainHash(array(bytes, 88)),
            segment_length: u64_at(bytes, 104),
            hash,
        })
    }

    /// Length of the whole frame with its padding.
    pub fn length(&self) -> u64 {
        frame_length(self.payload_length as usize)
    }

    /// Last record in or before this frame.
    pub fn last_sequence(&self) -> Sequence {
        self.first_sequence + u64::from(self.record_count) - 1
    }

    /// True if the frame only vouches for the ones before it.
    pub fn is_mark(&self) -> bool {
        self.record_count == 0
    }
}

/// A flipped bit in the version field is damage; another layout altogether is another version.
fn fault_of_wrong_hash(bytes: &[u8; HEADER], hash: ChainHash) -> HeaderFault {
    let version = u32_at(bytes, 8);
    if version != FORMAT_VERSION {
        let mut ours = *bytes;
        ours[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        if hash_of(&ours[..HASHED]) != hash {
            return HeaderFault::Version(version);
        }
    }
    HeaderFault::Garbage("the header does not match its hash")
}

/// Length of a frame around a payload, padded to 8 bytes.
pub(super) fn frame_length(payload: usize) -> u64 {
    (HEADER + payload).next_multiple_of(8) as u64
}

/// Why a payload with its padding is not what the header promised, if so.
pub(super) fn payload_fault(header: &FrameHeader, bytes: &[u8]) -> Option<&'static str> {
    let length = header.payload_length as usize;
    if bytes.len() as u64 + HEADER as u64 != header.length() {
        return Some("the frame is cut off");
    }
    if crc32c::crc32c(&bytes[..length]) != header.payload_crc {
        return Some("the records do not match their checksum");
    }
    let padded = bytes[length..].iter().any(|byte| *byte != 0);
    padded.then_some("the padding is not zero")
}

/// Splits one record off: its length prefix and range in `payload` from `at` on.
pub(super) fn record_at(payload: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let length = payload.get(at..)?.first_chunk::<RECORD_PREFIX>()?;
    let start = at + RECORD_PREFIX;
    let end = start.checked_add(u32::from_le_bytes(*length) as usize)?;
    (end <= payload.len()).then_some(start..end)
}

fn hash_of(bytes: &[u8]) -> ChainHash {
    ChainHash(array(blake3::hash(bytes).as_bytes(), 0))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> FrameHeader {
        FrameHeader {
            journal_id: 0x0123_4567_89ab_cdef,
            frame: 7,
            segment: 2,
            offset: 4096,
            first_sequence: 100,
            record_count: 3,
            durable_frame: 6,
            durable_sequence: 99,
            payload_length: 21,
            payload_crc: 0xdead_beef,
            previous: ChainHash([9; 16]),
            segment_length: 65_536,
            hash: ChainHash::default(),
        }
    }

    #[test]
    fn a_header_reads_back_as_written() {
        let (mut written, mut bytes) = (header(), [0; HEADER]);
        written.encode(&mut bytes);
        assert_eq!(FrameHeader::decode(&bytes), Ok(written));
        assert_eq!((written.length(), written.last_sequence()), (152, 102));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_garbage() {
        let mut bytes = [0; HEADER];
        header().encode(&mut bytes);
        for bit in 0..HEADER * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(FrameHeader::decode(&bytes), Err(HeaderFault::Garbage(_))),
                "{bit}"
            );
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn another_version_is_named_and_zeros_are_empty() {
        let mut bytes = [0; HEADER];
        assert_eq!(FrameHeader::decode(&bytes), Err(HeaderFault::Empty));
        assert_eq!(FrameHeader::decode(&bytes[..5]), Err(HeaderFault::Empty));
        header().encode(&mut bytes);
        bytes[8] = 7;
        let hash = hash_of(&bytes[..HASHED]);
        bytes[112..].copy_from_slice(&hash.0);
        assert_eq!(FrameHeader::decode(&bytes), Err(HeaderFault::Version(7)));
        bytes[100] ^= 1;
        assert_eq!(FrameHeader::decode(&bytes), Err(HeaderFault::Version(7)));
    }
}

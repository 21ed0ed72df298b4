//! Walks frames in order through segments and checks each: header hash, journal id, place, number,
//! sequence, chain, payload checksum, and zeros where nothing may be. Says where the walk ends; what
//! the end means (a tear, damage, or "not written yet") is decided by `classify_end` and its callers.

use std::{ops::Range, sync::Arc};

use super::{
    Sequence,
    behind::is_zero,
    error::JournalError,
    frame::{self, ChainHash, FORMAT_VERSION, FrameHeader, HEADER, HeaderFault},
    segment::{self, SECTOR, Source},
    storage::Storage,
};

/// Read ahead by this much while frames keep coming; begin with `READ_AT_TAIL`, also when they stop.
const READ_AHEAD: usize = 1 << 20;
const READ_AT_TAIL: usize = 16 << 10;

/// What the next frame must continue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// `None` only before the journal's first frame.
    pub journal_id: Option<u128>,
    /// `None` before the first frame of the walk, which is trusted for its ancestry.
    pub link: Option<Link>,
}

/// The frame that the walk stands behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub frame: u64,
    pub sequence: Sequence,
    pub chain: ChainHash,
}

/// One step of the walk.
pub(super) enum Step {
    /// A frame that passed every check; its records are in [`Scanner::payload`].
    Frame(FrameHeader),
    /// No valid frame here.
    End(End),
}

/// Where and why the walk ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub segment: u64,
    pub offset: u64,
    /// `None`: only zeros here.
    pub fault: Option<&'static str>,
}

pub(super) struct Scanner {
    storage: Arc<dyn Storage>,
    pub expected: Expected,
    pub segment: u64,
    /// Where the next frame begins.
    pub offset: u64,
    source: Source,
    /// The first `filled` bytes are the segment's from `start` on.
    buffer: Vec<u8>,
    filled: usize,
    start: u64,
    payload: Range<u64>,
    read_size: usize,
}

impl Scanner {
    /// Begins at the first byte of a segment.
    pub fn open(
        storage: Arc<dyn Storage>,
        segment: u64,
        expected: Expected,
    ) -> Result<Self, JournalError> {
        let source =
            open_source(&*storage, segment)?.ok_or_else(|| JournalError::MissingSegment {
                file: storage.path(&segment::plain_name(segment)),
            })?;
        let (buffer, filled) = (Vec::new(), 0);
        let (offset, start, payload, read_size) = (0, 0, 0..0, READ_AT_TAIL);
        Ok(Self {
            storage,
            expected,
            segment,
            offset,
            source,
            buffer,
            filled,
            start,
            payload,
            read_size,
        })
    }

    /// Records of the frame that `next` gave last.
    pub fn payload(&self) -> &[u8] {
        &self.buffer[self.place(&self.payload)]
    }

    /// All bytes of the frame that `next` gave last.
    pub fn frame_bytes(&self, header: &FrameHeader) -> &[u8] {
        &self.buffer[self.place(&(header.offset..header.offset + header.length()))]
    }

    fn place(&self, range: &Range<u64>) -> Range<usize> {
        (range.start - self.start) as usize..(range.end - self.start) as usize
    }

    /// The last record before the walk's position.
    pub fn intact_through(&self) -> Sequence {
        self.expected.link.map_or(0, |link| link.sequence)
    }

    /// Steps over the next frame.
    ///
    /// # Errors
    /// Failed reads, other format versions, foreign journal ids, and damage that is certain: a
    /// frame that is missing between two others, or bytes after the last frame of a sealed segment.
    pub fn next(&mut self) -> Result<Step, JournalError> {
        loop {
            let fault = match self.frame_here()? {
                Ok(header) => return Ok(Step::Frame(header)),
                Err(fault) => fault,
            };
            if !self.enter_next_segment(fault)? {
                self.read_size = READ_AT_TAIL;
                return Ok(Step::End(End {
                    segment: self.segment,
                    offset: self.offset,
                    fault,
                }));
            }
        }
    }

    /// Forgets what was read ahead, so that a later `next` sees what was written since.
    pub fn refresh(&mut self) {
        if !self.source.is_compressed() {
            let keep = self.offset.saturating_sub(self.start) as usize;
            self.filled = self.filled.min(keep);
        }
    }

    /// The header after the current frame, in this segment or the next, or where it is missing.
    pub fn peek(&mut self) -> Result<Result<FrameHeader, End>, JournalError> {
        let (segment, offset) = (self.segment, self.offset);
        let range = self.window(self.payload.start, offset, HEADER)?;
        let fault = match self.header_in(&self.buffer[range], &self.source, (segment, offset))? {
            Ok(header) => return Ok(Ok(header)),
            Err(fault) => fault,
        };
        let next = self.first_header_of_next()?;
        Ok(next.ok_or(End {
            segment,
            offset,
            fault,
        }))
    }

    /// The header at the walk's position, without a step.
    pub fn peek_here(&mut self) -> Result<Option<FrameHeader>, JournalError> {
        let range = self.window(self.offset, self.offset, HEADER)?;
        Ok(self
            .header_in(
                &self.buffer[range],
                &self.source,
                (self.segment, self.offset),
            )?
            .ok())
    }

    /// True if the current segment is in its compressed form.
    pub fn is_compressed(&self) -> bool {
        self.source.is_compressed()
    }

    fn frame_here(&mut self) -> Result<Result<FrameHeader, Option<&'static str>>, JournalError> {
        let range = self.window(self.offset, self.offset, HEADER)?;
        let header = match self.header_in(
            &self.buffer[range],
            &self.source,
            (self.segment, self.offset),
        )? {
            Ok(header) => header,
            Err(fault) => return Ok(Err(fault)),
        };
        let rest = header.length() as usize - HEADER;
        let range = self.window(self.offset, self.offset + HEADER as u64, rest)?;
        if let Some(fault) = frame::payload_fault(&header, &self.buffer[range]) {
            return Ok(Err(Some(fault)));
        }
        let start = self.offset + HEADER as u64;
        self.payload = start..start + u64::from(header.payload_length);
        self.offset += header.length();
        self.expected = Expected {
            journal_id: Some(header.journal_id),
            link: Some(Link {
                frame: header.frame,
                sequence: header.last_sequence(),
                chain: header.hash,
            }),
        };
        Ok(Ok(header))
    }

    /// Checks a header against its place and its ancestry. `Err(None)` stands for zeros.
    fn header_in(
        &self,
        bytes: &[u8],
        source: &Source,
        (segment, offset): (u64, u64),
    ) -> Result<Result<FrameHeader, Option<&'static str>>, JournalError> {
        let header = match FrameHeader::decode(bytes) {
            Ok(header) => header,
            Err(HeaderFault::Empty) => return Ok(Err(None)),
            Err(HeaderFault::Garbage(fault)) => return Ok(Err(Some(fault))),
            Err(HeaderFault::Version(found)) if offset == 0 => {
                let file = self.file_of(segment);
                return Err(JournalError::FormatVersion {
                    file,
                    found,
                    known: FORMAT_VERSION,
                });
            }
            Err(HeaderFault::Version(_)) => return Ok(Err(Some("another format version"))),
        };
        match self.expected.journal_id {
            Some(expected) if expected != header.journal_id => Err(JournalError::JournalId {
                file: self.file_of(segment),
                expected,
                found: header.journal_id,
            }),
            _ => match misfit(&header, segment, offset, self.expected.link) {
                Some(fault) => Ok(Err(Some(fault))),
                None => {
                    self.check_length(&header, source)?;
                    Ok(Ok(header))
                }
            },
        }
    }

    /// A frame names the length that its segment was made with: cut off anywhere, the segment is found.
    fn check_length(&self, header: &FrameHeader, source: &Source) -> Result<(), JournalError> {
        match source.plain_length() {
            Some(found) if found != header.segment_length => Err(JournalError::SegmentLength {
                file: self.file_of(header.segment),
                found,
                made: header.segment_length.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Moves to the next segment if its first frame continues the chain.
    fn enter_next_segment(&mut self, fault: Option<&'static str>) -> Result<bool, JournalError> {
        if self.expected.link.is_none() {
            return Ok(false);
        }
        let Some((source, bytes)) = self.beginning_of_next()? else {
            return Ok(false);
        };
        if self
            .header_in(&bytes, &source, (self.segment + 1, 0))?
            .is_err()
        {
            return Ok(false);
        }
        let reason = match fault {
            None => self
                .rest_is_zero()?
                .then_some(())
                .ok_or("bytes follow the last frame"),
            Some(fault) => Err(fault),
        };
        if let Err(reason) = reason {
            return Err(self.damaged(self.offset, reason));
        }
        self.segment += 1;
        (self.source, self.offset, self.start, self.payload) = (source, 0, 0, 0..0);
        (self.filled, self.buffer) = (bytes.len(), bytes);
        Ok(true)
    }

    fn first_header_of_next(&self) -> Result<Option<FrameHeader>, JournalError> {
        let Some((source, bytes)) = self.beginning_of_next()? else {
            return Ok(None);
        };
        Ok(self.header_in(&bytes, &source, (self.segment + 1, 0))?.ok())
    }

    /// The next segment, if there is one, and as many of its bytes as a header has.
    fn beginning_of_next(&self) -> Result<Option<(Source, Vec<u8>)>, JournalError> {
        let number = self.segment + 1;
        let Some(mut source) = open_source(&*self.storage, number)? else {
            return Ok(None);
        };
        let mut bytes = vec![0; HEADER];
        match source.read(&mut bytes, 0) {
            Ok(count) => bytes.truncate(count),
            // What does not unpack has no header; the walk into it will say where.
            Err(error) if source.is_compressed() && error.raw_os_error().is_none() => bytes.clear(),
            Err(error) => return Err(JournalError::io("read", self.file_of(number))(error)),
        }
        Ok(Some((source, bytes)))
    }

    fn rest_is_zero(&mut self) -> Result<bool, JournalError> {
        let mut at = self.offset;
        loop {
            let range = self.window(at, at, READ_AT_TAIL)?;
            if range.is_empty() {
                return Ok(true);
            }
            at += range.len() as u64;
            if !is_zero(&self.buffer[range]) {
                return Ok(false);
            }
        }
    }

    /// Has bytes `from..from + length` of the segment in the buffer, fewer at its end, and keeps
    /// what lies from `keep` on.
    fn window(
        &mut self,
        keep: u64,
        from: u64,
        length: usize,
    ) -> Result<Range<usize>, JournalError> {
        let end = from + length as u64;
        if end > self.start + self.filled as u64 {
            self.read_on(keep, end)?;
        }
        let have = self.start + self.filled as u64;
        Ok(self.place(&(from.min(have)..end.min(have))))
    }

    /// Reads at least up to `end`, or to the end of the segment.
    fn read_on(&mut self, keep: u64, end: u64) -> Result<(), JournalError> {
        let passed = ((keep - self.start) as usize).min(self.filled);
        self.buffer.copy_within(passed..self.filled, 0);
        (self.start, self.filled) = (self.start + passed as u64, self.filled - passed);
        let missing = (end - self.start) as usize - self.filled;
        let target = self.filled + missing.max(self.read_size);
        if self.buffer.len() < target {
            // Fresh zeroed memory costs nothing, zeroing what a buffer grows by does.
            let mut larger = vec![0; target];
            larger[..self.filled].copy_from_slice(&self.buffer[..self.filled]);
            self.buffer = larger;
        }
        let offset = self.start + self.filled as u64;
        match self
            .source
            .read(&mut self.buffer[self.filled..target], offset)
        {
            Ok(count) => {
                self.filled += count;
                if count >= missing {
                    self.read_size = (self.read_size * 2).min(READ_AHEAD);
                }
                Ok(())
            }
            Err(error) if self.source.is_compressed() && error.raw_os_error().is_none() => {
                Err(self.damaged(offset, &format!("it does not unpack ({error})")))
            }
            Err(error) => Err(JournalError::io("read", self.file_of(self.segment))(error)),
        }
    }

    /// The error for damage at a byte of the current segment.
    pub fn damaged(&self, offset: u64, reason: &str) -> JournalError {
        JournalError::Damaged {
            file: self.file_of(self.segment),
            offset,
            reason: reason.to_owned(),
            intact_through: self.intact_through(),
        }
    }

    /// Full path of a segment, for errors.
    pub fn file_of(&self, number: u64) -> String {
        self.storage.path(&segment::name_of(&*self.storage, number))
    }
}

/// Opens a segment for reading, if it is there, and checks what its length can tell.
pub(super) fn open_source(
    storage: &dyn Storage,
    number: u64,
) -> Result<Option<Source>, JournalError> {
    let file = || storage.path(&segment::plain_name(number));
    let opened = Source::open(storage, number);
    let source = opened.map_err(|error| JournalError::io("open", file())(error))?;
    // A segment gets its name when it has its whole length. Cut to less than a sector it has no frame
    // left to name that length; a multiple of a sector leaves at least the first frame's header.
    match source.as_ref().and_then(Source::plain_length) {
        Some(found) if found == 0 || !found.is_multiple_of(SECTOR) => {
            Err(JournalError::SegmentLength {
                file: file(),
                found,
                made: format!("whole sectors of {SECTOR} bytes"),
            })
        }
        _ => Ok(source),
    }
}

/// Why a sound header is not the one expected at its place.
fn misfit(
    header: &FrameHeader,
    segment: u64,
    offset: u64,
    link: Option<Link>,
) -> Option<&'static str> {
    if (header.segment, header.offset) != (segment, offset) {
        return Some("the frame belongs to another place in the journal");
    }
    let link = link?;
    if header.frame != link.frame + 1 {
        return Some("the frame number does not follow");
    }
    if header.previous != link.chain || header.first_sequence != link.sequence + 1 {
        return Some("the frame does not continue the chain");
    }
    None
}

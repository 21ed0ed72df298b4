//! Reads durable records in order, beside the writer: in its process up to the last sync, in another
//! process up to the newest durability mark. Checks everything on the way. Needs no lock.

use std::sync::Arc;

use super::{
    Sequence, behind,
    commit::Progress,
    error::JournalError,
    frame::{self, ChainHash, FrameHeader},
    recover::{self, Position},
    scan::{End, Scanner, Step},
    segment,
    storage::Storage,
};

/// A place in the journal that moves forward over durable records.
pub struct Reader {
    storage: Arc<dyn Storage>,
    limit: Limit,
    /// `None` while there is no journal yet.
    scanner: Option<Scanner>,
    /// First record to give.
    from: Sequence,
    /// The frame whose records are being given.
    current: Option<FrameHeader>,
    /// Where its next record begins, and that record's sequence.
    at: usize,
    sequence: Sequence,
    /// A checked frame that is not known durable yet.
    held: Option<FrameHeader>,
    position: Position,
    /// The end of what is written was reached before, and where it was last looked behind.
    met_tail: bool,
    looked_at: (u64, u64),
}

/// How a reader knows that a frame is durable.
enum Limit {
    /// A later frame says so.
    Marks,
    /// The writer says so.
    Progress(Progress),
    /// What is completely written counts: the next start would keep it.
    Written,
}

impl Reader {
    /// Reads from record `from` (0 and 1 both mean the first) in another process than the writer's.
    ///
    /// # Errors
    /// [`JournalError::NotKept`] if the record was removed; failed reads.
    pub fn open(storage: Arc<dyn Storage>, from: Sequence) -> Result<Self, JournalError> {
        Self::limited(storage, from, Limit::Marks)
    }

    /// As [`Reader::open`], and gives also what no later frame has proven durable: all that the next start would find.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_written(storage: Arc<dyn Storage>, from: Sequence) -> Result<Self, JournalError> {
        Self::limited(storage, from, Limit::Written)
    }

    pub(super) fn beside_writer(
        storage: Arc<dyn Storage>,
        from: Sequence,
        progress: Progress,
    ) -> Result<Self, JournalError> {
        Self::limited(storage, from, Limit::Progress(progress))
    }

    fn limited(
        storage: Arc<dyn Storage>,
        from: Sequence,
        limit: Limit,
    ) -> Result<Self, JournalError> {
        let (from, position) = (from.max(1), Position::default());
        let (scanner, current, held) = (None, None, None);
        let (met_tail, looked_at) = (false, (0, 0));
        let (at, sequence) = (0, 0);
        let mut reader = Self {
            storage,
            limit,
            scanner,
            from,
            current,
            at,
            sequence,
            held,
            position,
            met_tail,
            looked_at,
        };
        reader.start()?;
        Ok(reader)
    }

    /// The next record, or `None` if there is no further durable one now; ask again later.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] and its kin: nothing after the place can be read.
    // It lends from its buffer, which an iterator cannot.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<(Sequence, &[u8])>, JournalError> {
        let (sequence, range) = loop {
            match self.step_in_frame()? {
                Some((sequence, _)) if sequence < self.from => {}
                Some(found) => break found,
                None if self.next_frame()? => {}
                None => return Ok(None),
            }
        };
        let payload = self.scanner.as_ref().map_or(&[][..], Scanner::payload);
        Ok(Some((sequence, &payload[range])))
    }

    /// The last record given, and the chain hash of its frame. The hash names the prefix only when
    /// the record is the last of its frame, see [`Reader::at_frame_end`].
    pub fn position(&self) -> Position {
        self.position
    }

    /// True if the last record given is the last of its frame: the place for a snapshot.
    pub fn at_frame_end(&self) -> bool {
        self.current
            .is_none_or(|header| self.sequence > header.last_sequence())
    }

    /// Id of the journal, once a frame was read.
    pub fn journal_id(&self) -> Option<u128> {
        self.scanner
            .as_ref()
            .and_then(|scanner| scanner.expected.journal_id)
    }

    fn start(&mut self) -> Result<(), JournalError> {
        let listed = segment::list(&*self.storage);
        let segments = listed.map_err(JournalError::io("list", self.storage.path("")))?;
        let start = recover::start_segment(&self.storage, &segments, self.from - 1)?;
        if let Some(start) = start {
            let expected = recover::expected_at(start);
            let mut scanner = Scanner::open(self.storage.clone(), start, expected)?;
            let first = scanner.peek_here()?;
            if first.is_none() && start > 1 {
                recover::refuse_no_beginning(&self.storage, start)?;
            }
            let oldest = first.map_or(0, |header| header.first_sequence);
            if oldest > self.from {
                return Err(JournalError::NotKept {
                    wanted: self.from,
                    oldest,
                });
            }
            self.scanner = Some(scanner);
        }
        Ok(())
    }

    fn step_in_frame(
        &mut self,
    ) -> Result<Option<(Sequence, std::ops::Range<usize>)>, JournalError> {
        let (Some(header), Some(scanner)) = (self.current, &self.scanner) else {
            return Ok(None);
        };
        if self.sequence > header.last_sequence() {
            return Ok(None);
        }
        let range = record_range(scanner, &header, self.at)?;
        let sequence = self.sequence;
        (self.at, self.sequence) = (range.end, sequence + 1);
        self.position = Position {
            sequence,
            chain: header.hash,
        };
        Ok(Some((sequence, range)))
    }

    /// Moves to the next frame whose records may be given.
    fn next_frame(&mut self) -> Result<bool, JournalError> {
        if self.scanner.is_none() {
            self.start()?;
        }
        loop {
            let Some(scanner) = &mut self.scanner else {
                return Ok(false);
            };
            let header = match self.held.take() {
                Some(header) => header,
                None => match Self::scan(scanner, &self.limit)? {
                    Found::Frame(header) => header,
                    Found::NotYet => return Ok(false),
                    Found::End(end) => {
                        self.check_end(end)?;
                        return Ok(false);
                    }
                },
            };
            if header.is_mark() {
                continue;
            }
            if !self.is_durable(&header)? {
                self.held = Some(header);
                return Ok(false);
            }
            (self.current, self.at, self.sequence) = (Some(header), 0, header.first_sequence);
            return Ok(true);
        }
    }

    fn scan(scanner: &mut Scanner, limit: &Limit) -> Result<Found, JournalError> {
        if let Limit::Progress(progress) = limit
            && progress.durable() <= scanner.intact_through()
            && scanner.expected.link.is_some()
        {
            return Ok(Found::NotYet);
        }
        match scanner.next()? {
            Step::Frame(header) => Ok(Found::Frame(header)),
            Step::End(_) => {
                // What was read ahead may be older than what is there.
                scanner.refresh();
                Ok(match scanner.next()? {
                    Step::Frame(header) => Found::Frame(header),
                    Step::End(end) => {
                        scanner.refresh();
                        Found::End(end)
                    }
                })
            }
        }
    }

    /// Is this frame, behind which the scanner stands, known durable?
    fn is_durable(&mut self, header: &FrameHeader) -> Result<bool, JournalError> {
        let Some(scanner) = &mut self.scanner else {
            return Ok(false);
        };
        match &self.limit {
            Limit::Progress(progress) => return Ok(progress.durable() >= header.last_sequence()),
            Limit::Written => return Ok(true),
            Limit::Marks => {}
        }
        if let Ok(next) = scanner.peek()? {
            return Ok(next.durable_frame >= header.frame);
        }
        scanner.refresh();
        let proof = match scanner.peek()? {
            Ok(next) => Some(next),
            Err(end) => self.look_behind(end)?,
        };
        Ok(proof.is_some_and(|proof| proof.durable_frame >= header.frame))
    }

    /// An end is "not written yet" unless something behind it proves that a frame was here.
    fn check_end(&mut self, end: End) -> Result<(), JournalError> {
        if self.look_behind(end)?.is_none() {
            return Ok(());
        }
        // The writer may have written here and behind between the two looks.
        let Some(scanner) = &mut self.scanner else {
            return Ok(());
        };
        scanner.refresh();
        match scanner.next()? {
            Step::Frame(header) => {
                self.held = Some(header);
                Ok(())
            }
            Step::End(end) => {
                Err(scanner.damaged(end.offset, end.fault.unwrap_or("there are only zeros")))
            }
        }
    }

    /// A later frame, if there is one. Zeros are searched through only where the reader first meets
    /// them: behind a running writer they are the ordinary end.
    fn look_behind(&mut self, end: End) -> Result<Option<FrameHeader>, JournalError> {
        let Some(scanner) = &self.scanner else {
            return Ok(None);
        };
        if end.fault.is_none() && self.met_tail && self.looked_at != (end.segment, end.offset) {
            return Ok(None);
        }
        self.met_tail = true;
        self.looked_at = (end.segment, end.offset);
        Ok(behind::look_behind(&*self.storage, end, scanner.expected)?.later)
    }
}

enum Found {
    Frame(FrameHeader),
    NotYet,
    End(End),
}

/// Gives every record of the frame that the scanner stands behind.
pub(super) fn each_record(
    scanner: &Scanner,
    header: &FrameHeader,
    mut visit: impl FnMut(Sequence, &[u8]) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let mut at = 0;
    for index in 0..u64::from(header.record_count) {
        let range = record_range(scanner, header, at)?;
        at = range.end;
        visit(header.first_sequence + index, &scanner.payload()[range])?;
    }
    Ok(())
}

fn record_range(
    scanner: &Scanner,
    header: &FrameHeader,
    at: usize,
) -> Result<std::ops::Range<usize>, JournalError> {
    frame::record_at(scanner.payload(), at).ok_or_else(|| {
        let place = header.offset + (frame::HEADER + at) as u64;
        scanner.damaged(place, "a record is longer than its frame")
    })
}

/// The start of every journal, before its first record.
pub const BEGINNING: Position = Position {
    sequence: 0,
    chain: ChainHash([0; 16]),
};

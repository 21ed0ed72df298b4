//! Walks a whole journal beside a running writer or without one, and says what is there or where
//! the first damage is. Changes nothing.

use std::sync::Arc;

use super::{
    Sequence, behind,
    error::JournalError,
    frame::{ChainHash, FrameHeader},
    reader::each_record,
    recover,
    scan::{Scanner, Step},
    segment,
    snapshot::{SnapshotInfo, newest_snapshot},
    storage::Storage,
};

/// What a sound journal holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Id of the journal; `None` if it is empty.
    pub journal_id: Option<u128>,
    /// Segments with frames, and how many of them are compressed.
    pub segments: u64,
    /// Compressed ones among them.
    pub compressed_segments: u64,
    /// All frames, and those without records.
    pub frames: u64,
    /// Frames that only mark the ones before them durable.
    pub marks: u64,
    /// Records, and the first and last of them; `first` is 0 if there is none.
    pub records: u64,
    /// The oldest record still kept.
    pub first_sequence: Sequence,
    /// The newest record that is completely written.
    pub last_sequence: Sequence,
    /// The newest record proven durable by a later frame.
    pub durable_sequence: Sequence,
    /// Bytes of all frames before compression.
    pub bytes: u64,
    /// Hash of the newest frame.
    pub chain: ChainHash,
    /// Bytes after the last frame that are no frame: an unfinished group, which the next start of a
    /// writer cuts off (or which a running writer is writing just now).
    pub unfinished_bytes: u64,
    /// A writer has the folder: what is unfinished is being written.
    pub in_use: bool,
}

/// One frame, as `journal dump` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameInfo {
    /// Segment number and byte in it.
    pub segment: u64,
    /// Where it begins.
    pub offset: u64,
    /// Number of the frame.
    pub frame: u64,
    /// Sequence of its first record.
    pub first_sequence: Sequence,
    /// How many records it holds.
    pub records: u32,
    /// Length with header and padding.
    pub bytes: u64,
    /// The newest record known durable when it was written.
    pub durable_sequence: Sequence,
    /// Its hash.
    pub chain: ChainHash,
}

impl Report {
    fn count(&mut self, header: &FrameHeader) {
        if self.frames == 0 {
            self.first_sequence = header.first_sequence;
        }
        self.frames += 1;
        self.marks += u64::from(header.is_mark());
        self.records += u64::from(header.record_count);
        self.last_sequence = header.last_sequence();
        self.durable_sequence = header.durable_sequence;
        self.bytes += header.length();
        (self.journal_id, self.chain) = (Some(header.journal_id), header.hash);
    }
}

impl FrameInfo {
    fn of(header: &FrameHeader) -> Self {
        Self {
            segment: header.segment,
            offset: header.offset,
            frame: header.frame,
            first_sequence: header.first_sequence,
            records: header.record_count,
            bytes: header.length(),
            durable_sequence: header.durable_sequence,
            chain: header.hash,
        }
    }
}

/// Checks every frame and every record boundary from the oldest segment on; `visit` sees each frame. The
/// newest sound snapshot has to lie on what is there, and to hold what is not there any more.
///
/// # Errors
/// [`JournalError::Damaged`] and its kin, with the file and the byte of the first damage;
/// [`JournalError::SnapshotMismatch`] where the journal was taken away or exchanged;
/// [`JournalError::NotKept`] where records are gone that no snapshot holds.
pub fn verify(
    storage: &Arc<dyn Storage>,
    visit: impl FnMut(&FrameInfo),
) -> Result<Report, JournalError> {
    verify_records(storage, visit, |_, _| Ok(()))
}

/// As [`verify`]; `check` sees each record behind its checksum and says what is wrong with it, if anything.
///
/// # Errors
/// As [`verify`], and [`JournalError::Record`] with what `check` said.
pub fn verify_records(
    storage: &Arc<dyn Storage>,
    visit: impl FnMut(&FrameInfo),
    check: impl FnMut(Sequence, &[u8]) -> Result<(), String>,
) -> Result<Report, JournalError> {
    // Before the walk: beside a writer, one that is made meanwhile may be ahead of it.
    let snapshot = newest(storage)?;
    let mut report = walk(storage, visit, check)?;
    if let Some(snapshot) = &snapshot {
        lies_on(snapshot, &report)?;
    }
    if reaches_back(snapshot, &report).is_err() {
        // Beside a writer, newer ones may have been made before the walk, and segments removed for them.
        reaches_back(newest(storage)?, &report)?;
    }
    if report.records == 0 {
        report.first_sequence = 0;
    }
    Ok(report)
}

fn newest(storage: &Arc<dyn Storage>) -> Result<Option<SnapshotInfo>, JournalError> {
    let found = newest_snapshot(storage, None)?;
    Ok(found.newest.map(|snapshot| snapshot.info()))
}

/// A start goes on from the newest snapshot, or from the first record without one.
fn reaches_back(snapshot: Option<SnapshotInfo>, report: &Report) -> Result<(), JournalError> {
    let wanted = snapshot.map_or(0, |snapshot| snapshot.at.sequence) + 1;
    match report.first_sequence {
        oldest if oldest > wanted => Err(JournalError::NotKept { wanted, oldest }),
        _ => Ok(()),
    }
}

fn lies_on(snapshot: &SnapshotInfo, report: &Report) -> Result<(), JournalError> {
    let sequence = snapshot.at.sequence;
    let reason = match report.journal_id {
        Some(id) if id != snapshot.journal_id => "it is of another journal".to_owned(),
        _ if report.last_sequence < sequence => {
            format!("the journal ends at record {}", report.last_sequence)
        }
        _ => return Ok(()),
    };
    Err(JournalError::SnapshotMismatch { sequence, reason })
}

fn walk(
    storage: &Arc<dyn Storage>,
    mut visit: impl FnMut(&FrameInfo),
    mut check: impl FnMut(Sequence, &[u8]) -> Result<(), String>,
) -> Result<Report, JournalError> {
    let mut report = Report::default();
    let listed = || segment::list(&**storage).map_err(JournalError::io("list", storage.path("")));
    let segments = listed()?;
    let Some(first) = segments.keys().next().copied() else {
        return Ok(report);
    };
    if segment::gap(&segments).is_some() {
        // Beside a writer, a listing may hold a segment and not the one before it: look again.
        recover::refuse_a_gap(&**storage, &listed()?)?;
    }
    let mut scanner = Scanner::open(storage.clone(), first, recover::expected_at(first))?;
    let mut segment_before = None;
    let end = loop {
        let header = match scanner.next()? {
            Step::End(end) => break end,
            Step::Frame(header) => header,
        };
        each_record(&scanner, &header, |sequence, bytes| {
            check(sequence, bytes).map_err(|reason| JournalError::Record { sequence, reason })
        })?;
        if segment_before.replace(header.segment) != Some(header.segment) {
            report.segments += 1;
            report.compressed_segments += u64::from(scanner.is_compressed());
        }
        report.count(&header);
        visit(&FrameInfo::of(&header));
    };
    report.in_use = storage
        .is_locked()
        .map_err(JournalError::io("look at the lock in", storage.path("")))?;
    let behind = behind::look_behind(&**storage, end, scanner.expected)?;
    // Beside a writer, the place may have been written since.
    scanner.refresh();
    match behind.later {
        Some(later) if matches!(scanner.next()?, Step::End(_)) => {
            Err(recover::refusal(storage, &scanner, end, later))
        }
        _ if report.frames == 0 => {
            recover::nothing_written(&scanner, end, &behind)?;
            Ok(report)
        }
        _ if scanner.is_compressed() => {
            let file = storage.path(&segment::plain_name(end.segment + 1));
            Err(JournalError::MissingSegment { file })
        }
        _ => {
            let from = |segment| {
                if segment == end.segment {
                    end.offset
                } else {
                    0
                }
            };
            let unfinished = behind
                .garbage
                .iter()
                .map(|(segment, to)| to - from(*segment));
            report.unfinished_bytes = unfinished.sum();
            Ok(report)
        }
    }
}

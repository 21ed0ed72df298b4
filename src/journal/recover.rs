//! Opening a journal for writing: makes what is there durable, walks it, replays it to the caller,
//! refuses damage, truncates a tear, and leaves a writer at the tail.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Sequence,
    ahead::Ahead,
    behind::{self, Behind},
    error::JournalError,
    frame::{self, ChainHash, FrameHeader, HEADER},
    lock,
    reader::each_record,
    scan::{End, Expected, Link, Scanner, Step},
    segment::{self, Forms},
    settings::Settings,
    storage::{self, Access, Storage, StorageFile},
    writer::{Live, Writer},
};

/// Where a replay begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Last record that the caller already has; 0 for none.
    pub sequence: Sequence,
    /// Hash of the frame that ends with it, checked against the journal.
    pub chain: ChainHash,
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Id of the journal.
    pub journal_id: u128,
    /// True if there was none and it was begun.
    pub created: bool,
    /// Last durable record; all up to it were replayed.
    pub durable: Sequence,
    /// Bytes of an unfinished group that were cut off, with their file; none of its records was
    /// ever released.
    pub truncated: Option<Truncated>,
}

/// The remains of a group whose write a crash cut short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// Path of the segment.
    pub file: String,
    /// Where the remains began.
    pub offset: u64,
    /// Their length.
    pub bytes: u64,
}

/// Takes records during replay; an `Err` text stops it.
pub type Visit<'a> = dyn FnMut(Sequence, &[u8]) -> Result<(), String> + 'a;

pub(super) fn open(
    storage: Arc<dyn Storage>,
    settings: &Settings,
    new_journal_id: u128,
    after: Position,
    visit: &mut Visit<'_>,
) -> Result<(Writer, Recovered), JournalError> {
    settings.check()?;
    let lock = lock::lock(&*storage)?;
    let folder = || storage.path("");
    sync_all(&*storage).map_err(|e| JournalError::io("sync the files of", folder())(e))?;
    let segments = segment::list(&*storage).map_err(|e| JournalError::io("list", folder())(e))?;
    refuse_a_gap(&*storage, &segments)?;
    let start = start_segment(&storage, &segments, after.sequence)?;
    let mut tail = match start {
        None => None,
        Some(start) => walk(&storage, start, after, visit)?,
    };
    let created = tail.is_none();
    if created {
        begin(&storage, settings, after)?;
    }
    let tail = tail.take().unwrap_or_else(Tail::at_beginning);
    let truncated = repair(&*storage, &tail)?;
    let mut writer = writer_at(storage, settings, &tail, new_journal_id, lock)?;
    // Proves the last frame durable, to readers beside us and to the next recovery.
    writer.mark()?;
    let live = first_header(&writer.storage, writer.live.number)?;
    if let Some(header) = live {
        writer
            .ahead
            .seal_below(writer.live.number, header.first_sequence - 1);
    }
    let (journal_id, durable) = (writer.journal_id, writer.durable());
    Ok((
        writer,
        Recovered {
            journal_id,
            created,
            durable,
            truncated,
        },
    ))
}

/// A segment that is gone from between two others, be the later ones empty.
pub(super) fn refuse_a_gap(
    storage: &dyn Storage,
    segments: &std::collections::BTreeMap<u64, Forms>,
) -> Result<(), JournalError> {
    match segment::gap(segments) {
        None => Ok(()),
        Some(number) => Err(JournalError::MissingSegment {
            file: storage.path(&segment::plain_name(number)),
        }),
    }
}

/// Where the walk over an existing journal ended.
struct Tail {
    journal_id: Option<u128>,
    link: Link,
    end: End,
    last: Option<FrameHeader>,
    behind: Behind,
}

impl Tail {
    fn at_beginning() -> Self {
        let end = End {
            segment: 1,
            offset: 0,
            fault: None,
        };
        Self {
            journal_id: None,
            link: GENESIS,
            end,
            last: None,
            behind: Behind::default(),
        }
    }
}

/// Before the first frame.
pub(super) const GENESIS: Link = Link {
    frame: 0,
    sequence: 0,
    chain: ChainHash([0; 16]),
};

/// Nothing is trusted that may live in a cache only.
fn sync_all(storage: &dyn Storage) -> std::io::Result<()> {
    for name in storage.list()? {
        if name.ends_with(segment::TEMPORARY) {
            storage.remove(&name)?;
        }
    }
    for (number, forms) in segment::list(storage)? {
        if forms.plain {
            storage::sync(&*storage.open(&segment::plain_name(number), Access::Write)?)?;
        }
    }
    storage.sync_directory()
}

/// The newest segment that begins at or before the record after `sequence`.
pub(super) fn start_segment(
    storage: &Arc<dyn Storage>,
    segments: &std::collections::BTreeMap<u64, Forms>,
    sequence: Sequence,
) -> Result<Option<u64>, JournalError> {
    let Some(oldest) = segments.keys().next().copied() else {
        return Ok(None);
    };
    if sequence == 0 {
        return Ok(Some(oldest));
    }
    for number in segments.keys().rev() {
        if let Some(header) = first_header(storage, *number)? {
            // Not "at": the frame that ends with the record is needed for its hash.
            if header.first_sequence <= sequence {
                return Ok(Some(*number));
            }
        }
    }
    Ok(Some(oldest))
}

pub(super) fn first_header(
    storage: &Arc<dyn Storage>,
    number: u64,
) -> Result<Option<FrameHeader>, JournalError> {
    let expected = Expected {
        journal_id: None,
        link: None,
    };
    let mut scanner = Scanner::open(storage.clone(), number, expected)?;
    scanner.peek_here()
}

pub(super) fn expected_at(segment: u64) -> Expected {
    Expected {
        journal_id: None,
        link: (segment == 1).then_some(GENESIS),
    }
}

/// Replays everything after `after` and finds the tail. `None`: nothing was ever written.
fn walk(
    storage: &Arc<dyn Storage>,
    start: u64,
    after: Position,
    visit: &mut Visit<'_>,
) -> Result<Option<Tail>, JournalError> {
    let mut scanner = Scanner::open(storage.clone(), start, expected_at(start))?;
    let (mut last, mut met) = (None, after.sequence == 0);
    let end = loop {
        let header = match scanner.next()? {
            Step::End(end) => break end,
            Step::Frame(header) => header,
        };
        if last.is_none() && header.first_sequence > after.sequence + 1 {
            let oldest = header.first_sequence;
            return Err(JournalError::NotKept {
                wanted: after.sequence + 1,
                oldest,
            });
        }
        last = Some(header);
        met |= check_snapshot(&header, after)?;
        each_record(&scanner, &header, |sequence, record| match sequence {
            known if known <= after.sequence => Ok(()),
            _ => {
                visit(sequence, record).map_err(|reason| JournalError::Replay { sequence, reason })
            }
        })?;
    };
    let behind = behind::look_behind(&**storage, end, scanner.expected)?;
    if let Some(later) = behind.later {
        return Err(refusal(storage, &scanner, end, later));
    }
    let Some(link) = scanner.expected.link.filter(|link| link.frame > 0) else {
        nothing_written(&scanner, end, &behind)?;
        return Ok(None);
    };
    if !met {
        let reason = format!("the journal ends at record {}", link.sequence);
        return Err(JournalError::SnapshotMismatch {
            sequence: after.sequence,
            reason,
        });
    }
    if scanner.is_compressed() {
        // A segment is compressed only after frames were written to the one behind it.
        let file = storage.path(&segment::plain_name(end.segment + 1));
        return Err(JournalError::MissingSegment { file });
    }
    let journal_id = scanner.expected.journal_id;
    Ok(Some(Tail {
        journal_id,
        link,
        end,
        last,
        behind,
    }))
}

/// The frame that ends with the snapshot's last record must be the one that the snapshot names.
fn check_snapshot(header: &FrameHeader, after: Position) -> Result<bool, JournalError> {
    if header.is_mark() || header.last_sequence() < after.sequence {
        return Ok(false);
    }
    if header.first_sequence > after.sequence {
        return Ok(true);
    }
    let (sequence, reason) = (
        after.sequence,
        "another frame ends with that record".to_owned(),
    );
    if header.last_sequence() == after.sequence && header.hash == after.chain {
        return Ok(true);
    }
    Err(JournalError::SnapshotMismatch { sequence, reason })
}

pub(super) fn refusal(
    storage: &Arc<dyn Storage>,
    scanner: &Scanner,
    end: End,
    later: FrameHeader,
) -> JournalError {
    let next = end.segment + 1;
    let there = segment::list(&**storage).is_ok_and(|segments| segments.contains_key(&next));
    if end.fault.is_none() && later.segment > end.segment && !there {
        return JournalError::MissingSegment {
            file: storage.path(&segment::plain_name(next)),
        };
    }
    // Where the segment may simply have been full, the next one's beginning tells which is damaged.
    if end.fault.is_none() && there && !first_header(storage, next).is_ok_and(|h| h.is_some()) {
        return JournalError::Damaged {
            file: storage.path(&segment::name_of(&**storage, next)),
            offset: 0,
            reason: format!(
                "its first frame cannot be read, but frame {} follows",
                later.frame
            ),
            intact_through: scanner.intact_through(),
        };
    }
    let reason = end.fault.unwrap_or("there are only zeros");
    let proof = format!(
        "{reason}, but frame {} proves that there was a frame here",
        later.frame
    );
    scanner.damaged(end.offset, &proof)
}

/// Refuses an oldest segment that begins with no frame. Behind the first one there is always one: a
/// segment goes only when a later one has frames.
pub(super) fn refuse_no_beginning(
    storage: &Arc<dyn Storage>,
    oldest: u64,
) -> Result<(), JournalError> {
    let mut scanner = Scanner::open(storage.clone(), oldest, expected_at(oldest))?;
    let Step::End(end) = scanner.next()? else {
        return Ok(());
    };
    let behind = behind::look_behind(&**storage, end, scanner.expected)?;
    match behind.later {
        Some(later) => Err(refusal(storage, &scanner, end, later)),
        None => nothing_written(&scanner, end, &behind),
    }
}

/// No frame at all: fine if the first was never finished, else this is not an empty journal.
pub(super) fn nothing_written(
    scanner: &Scanner,
    end: End,
    behind: &Behind,
) -> Result<(), JournalError> {
    if end.segment > 1 && end.fault.is_none() && behind.garbage.is_empty() {
        // Sound, and prepared behind one that is gone.
        let file = scanner.file_of(end.segment - 1);
        return Err(JournalError::MissingSegment { file });
    }
    let only_a_torn_beginning = end.segment == 1
        && behind
            .garbage
            .iter()
            .all(|torn| *torn <= (1, HEADER as u64));
    if only_a_torn_beginning {
        return Ok(());
    }
    Err(scanner.damaged(0, "no frame of it can be read"))
}

/// The first start: segment 1 is made anew, whatever a crash left of it.
fn begin(
    storage: &Arc<dyn Storage>,
    settings: &Settings,
    after: Position,
) -> Result<(), JournalError> {
    if after.sequence > 0 {
        let reason = "the journal is empty".to_owned();
        return Err(JournalError::SnapshotMismatch {
            sequence: after.sequence,
            reason,
        });
    }
    let file = || storage.path(&segment::plain_name(1));
    let forms = segment::list(&**storage).map_err(|e| JournalError::io("list", file())(e))?;
    let numbers: Vec<u64> = forms.into_keys().collect();
    segment::remove_highest_first(&**storage, &numbers)
        .map_err(|e| JournalError::io("remove", file())(e))?;
    segment::create(&**storage, 1, settings.segment_size_bytes)
        .map_err(|e| JournalError::io("create", file())(e))?;
    Ok(())
}

/// Zeroes what a torn group left behind, and writes the last frame once more: a sync that failed
/// under a former process may have left it in the cache only, clean but not on the disk.
fn repair(storage: &dyn Storage, tail: &Tail) -> Result<Option<Truncated>, JournalError> {
    let path = || storage.path(&segment::plain_name(tail.end.segment));
    let repaired = || -> std::io::Result<()> {
        let file = storage.open(&segment::plain_name(tail.end.segment), Access::Write)?;
        if let Some((_, end)) = tail
            .behind
            .garbage
            .iter()
            .find(|(n, _)| *n == tail.end.segment)
        {
            let zeros = vec![0; (end - tail.end.offset) as usize];
            storage::write_all(&*file, &zeros, tail.end.offset)?;
        }
        storage::sync(&*file)?;
        if let Some(last) = tail.last {
            let file = storage.open(&segment::plain_name(last.segment), Access::Write)?;
            rewrite(&*file, &last)?;
        }
        // Prepared segments that are not empty, and all behind them.
        let mut garbage = tail.behind.garbage.iter().map(|(number, _)| *number);
        if let Some(first) = garbage.find(|number| *number > tail.end.segment) {
            let numbers = segment::list(storage)?.into_keys();
            let behind: Vec<u64> = numbers.filter(|number| *number >= first).collect();
            segment::remove_highest_first(storage, &behind)?;
        }
        storage.sync_directory()
    };
    repaired().map_err(|e| JournalError::io("repair the tail of", path())(e))?;
    Ok(tail.behind.garbage.first().map(|(number, end)| {
        let offset = if *number == tail.end.segment {
            tail.end.offset
        } else {
            0
        };
        let file = storage.path(&segment::plain_name(*number));
        Truncated {
            file,
            offset,
            bytes: end - offset,
        }
    }))
}

fn rewrite(file: &dyn StorageFile, last: &FrameHeader) -> std::io::Result<()> {
    let mut bytes = vec![0; last.length() as usize];
    let count = storage::read_up_to(file, &mut bytes, last.offset)?;
    let same = FrameHeader::decode(&bytes[..count]) == Ok(*last)
        && frame::payload_fault(last, &bytes[HEADER..count]).is_none();
    if !same {
        return Err(std::io::Error::other(
            "the last frame changed while it was being read",
        ));
    }
    storage::write_all(file, &bytes, last.offset)?;
    storage::sync(file)
}

fn writer_at(
    storage: Arc<dyn Storage>,
    settings: &Settings,
    tail: &Tail,
    new_journal_id: u128,
    lock: Box<dyn storage::FolderLock>,
) -> Result<Writer, JournalError> {
    let number = tail.end.segment;
    let path = storage.path(&segment::plain_name(number));
    let opened = || -> std::io::Result<_> {
        let file = storage.open(&segment::plain_name(number), Access::Write)?;
        let length = file.byte_length()?;
        let (ready, next) = prepared(&*storage, settings, number)?;
        Ok((
            Live {
                number,
                file,
                length,
                offset: tail.end.offset,
            },
            ready,
            next,
        ))
    };
    let (live, ready, next) = opened().map_err(JournalError::io("open", path))?;
    let ahead = Arc::new(Ahead::default());
    ahead.set(ready, next);
    Ok(Writer {
        storage,
        settings: settings.clone(),
        journal_id: tail.journal_id.unwrap_or(new_journal_id),
        stats: Arc::default(),
        ahead,
        live,
        link: tail.link,
        sealing: false,
        _lock: lock,
    })
}

type Prepared = (VecDeque<(u64, Arc<dyn StorageFile>)>, u64);

/// Takes over the empty segments behind the live one; removes those of another size or out of order.
fn prepared(storage: &dyn Storage, settings: &Settings, live: u64) -> std::io::Result<Prepared> {
    let (mut ready, mut unfit, mut next) = (VecDeque::new(), Vec::new(), live + 1);
    for number in segment::list(storage)?
        .range(live + 1..)
        .map(|(number, _)| *number)
    {
        let file = storage.open(&segment::plain_name(number), Access::Write)?;
        let fits = file.byte_length()? == settings.segment_size_bytes && unfit.is_empty();
        if fits && number == next {
            ready.push_back((number, file));
            next += 1;
        } else {
            unfit.push(number);
        }
    }
    segment::remove_highest_first(storage, &unfit)?;
    Ok((ready, next))
}

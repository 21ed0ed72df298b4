//! Searches what lies behind the end of a walk: a later frame there proves that the end is damage, anything else
//! is what a torn write left. A file there that holds another segment, or another journal's, is neither, and
//! is refused. Walking itself is `scan.rs`.

use super::{
    error::JournalError,
    frame::{FrameHeader, HEADER},
    scan::{End, Expected, open_source},
    segment::{self, Source},
    storage::Storage,
};

/// Step of the search.
const SEARCH: usize = 64 << 10;

/// True if there is nothing but zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

/// What lies behind the end of a walk.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// A sound later frame: everything up to its durable mark was acknowledged.
    pub later: Option<FrameHeader>,
    /// End of the last byte that is not zero, per segment that has any.
    pub garbage: Vec<(u64, u64)>,
    /// The frame at byte 0 of the segment searched last.
    beginning: Option<FrameHeader>,
}

/// Searches everything after `end` for later frames of this journal and for garbage. A header
/// counts only at the very place that it names, so copies inside records cannot mislead.
///
/// # Errors
/// [`JournalError::Misnamed`] and [`JournalError::JournalId`] for a file that begins with a frame of
/// another segment or journal: byte 0 is never inside a record, and no tear leaves that there.
pub(super) fn look_behind(
    storage: &dyn Storage,
    end: End,
    expected: Expected,
) -> Result<Behind, JournalError> {
    let mut behind = Behind::default();
    let folder = || storage.path("");
    let segments = segment::list(storage).map_err(|e| JournalError::io("list", folder())(e))?;
    for number in segments.range(end.segment..).map(|(number, _)| *number) {
        let from = if number == end.segment { end.offset } else { 0 };
        let Some(mut source) = open_source(storage, number)? else {
            continue;
        };
        behind.beginning = None;
        search(&mut source, (number, from), expected, &mut behind)
            .map_err(|e| JournalError::io("read", storage.path(&segment::plain_name(number)))(e))?;
        if let Some(beginning) = behind.beginning {
            refuse_a_stranger(storage, number, &source, &beginning, expected)?;
        }
    }
    Ok(behind)
}

fn refuse_a_stranger(
    storage: &dyn Storage,
    number: u64,
    source: &Source,
    beginning: &FrameHeader,
    expected: Expected,
) -> Result<(), JournalError> {
    let name_of = match source.is_compressed() {
        true => segment::compressed_name,
        false => segment::plain_name,
    };
    let (file, found) = (storage.path(&name_of(number)), beginning.journal_id);
    match expected.journal_id {
        Some(expected) if expected != found => Err(JournalError::JournalId {
            file,
            expected,
            found,
        }),
        _ if beginning.segment != number => Err(JournalError::Misnamed {
            file,
            segment: beginning.segment,
            frame: beginning.frame,
            name: name_of(beginning.segment),
        }),
        _ => Ok(()),
    }
}

fn search(
    source: &mut Source,
    (number, from): (u64, u64),
    expected: Expected,
    behind: &mut Behind,
) -> std::io::Result<()> {
    let mut window = vec![0; SEARCH + HEADER];
    // The compressed form reads in order only, so skip to the place by reading.
    let (mut start, mut filled) = (if source.is_compressed() { 0 } else { from }, 0);
    loop {
        let count = match source.read(&mut window[filled..], start + filled as u64) {
            Ok(count) => count,
            // What does not unpack holds nothing to be found.
            Err(error) if source.is_compressed() && error.raw_os_error().is_none() => return Ok(()),
            Err(error) => return Err(error),
        };
        filled += count;
        if filled == 0 {
            return Ok(());
        }
        inspect(&window[..filled], start, (number, from), expected, behind);
        // Keep a header's length, for one that lies across the border.
        let keep = if count == 0 { 0 } else { filled.min(HEADER) };
        window.copy_within(filled - keep..filled, 0);
        (start, filled) = (start + (filled - keep) as u64, keep);
    }
}

fn inspect(
    bytes: &[u8],
    start: u64,
    (number, from): (u64, u64),
    expected: Expected,
    behind: &mut Behind,
) {
    let skip = from.saturating_sub(start).min(bytes.len() as u64) as usize;
    if is_zero(&bytes[skip..]) {
        return;
    }
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    let end = start + last as u64 + 1;
    match behind.garbage.last_mut() {
        Some((segment, known)) if *segment == number => *known = end.max(*known),
        _ => behind.garbage.push((number, end)),
    }
    let first = skip.next_multiple_of(8);
    for at in (first..bytes.len().saturating_sub(HEADER - 1)).step_by(8) {
        let Ok(header) = FrameHeader::decode(&bytes[at..]) else {
            continue;
        };
        if start == 0 && at == 0 {
            behind.beginning = Some(header);
        }
        let here = (header.segment, header.offset) == (number, start + at as u64);
        let ours = expected.journal_id.is_none_or(|id| id == header.journal_id);
        let later = expected
            .link
            .is_none_or(|link| header.frame > link.frame + 1);
        let newer = behind.later.is_none_or(|known| header.frame > known.frame);
        if here && ours && later && newer {
            behind.later = Some(header);
        }
    }
}

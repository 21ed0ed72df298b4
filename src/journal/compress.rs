//! Sealed segments after their time: compressed, kept, and removed only when nobody needs them.
//! Works beside the writer and is never in its way: what fails here is tried again later.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use lz4_flex::frame::{BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::{
    error::JournalError,
    recover,
    scan::{Scanner, Step},
    segment::{self, Source, TEMPORARY},
    settings::{Retain, Settings},
    storage::{self, Access, FileReader, Storage, StorageFile},
};

/// Bytes between two pauses and two syncs.
const STEP: usize = 1 << 20;

/// Asked after each step of work; `false` gives the work up.
pub(super) type Pace<'a> = dyn FnMut() -> bool + 'a;

/// Compresses the oldest plain segment below `sealed_below`; `false` if there is none.
pub(super) fn compress_oldest(
    storage: &Arc<dyn Storage>,
    sealed_below: u64,
    pace: &mut Pace<'_>,
) -> Result<bool, JournalError> {
    let listed = segment::list(&**storage);
    let segments = listed.map_err(JournalError::io("list", storage.path("")))?;
    let mut plain = segments
        .range(..sealed_below)
        .filter(|(_, forms)| forms.plain);
    let Some((&number, _)) = plain.next() else {
        return Ok(false);
    };
    compress(storage, number, pace)?;
    Ok(true)
}

fn compress(
    storage: &Arc<dyn Storage>,
    number: u64,
    pace: &mut Pace<'_>,
) -> Result<(), JournalError> {
    let (plain, packed) = (
        segment::plain_name(number),
        segment::compressed_name(number),
    );
    let temporary = packed.clone() + TEMPORARY;
    let failed = |error| JournalError::io("compress", storage.path(&plain))(error);
    segment::remove_if_there(&**storage, &temporary).map_err(failed)?;
    let mut finish = || -> Result<(), JournalError> {
        let file = storage.create(&temporary).map_err(failed)?;
        let length = pack(storage, number, &file, pace)?;
        same_content(&**storage, &plain, &file, length, pace).map_err(failed)?;
        storage.rename(&temporary, &packed).map_err(failed)?;
        // The compressed form must be there for good before the plain one goes.
        storage.sync_directory().map_err(failed)
    };
    finish().inspect_err(|_| drop(storage.remove(&temporary)))?;
    storage
        .remove(&plain)
        .and_then(|()| storage.sync_directory())
        .map_err(failed)
}

/// Writes every frame of a segment, checked once more, in compressed form; gives the plain length.
fn pack(
    storage: &Arc<dyn Storage>,
    number: u64,
    file: &Arc<dyn StorageFile>,
    pace: &mut Pace<'_>,
) -> Result<u64, JournalError> {
    let path = storage.path(&segment::compressed_name(number));
    let failed = |error| JournalError::io("write", path.clone())(error);
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .content_checksum(true);
    let mut encoder = FrameEncoder::with_frame_info(info, FileWriter::new(file.clone()));
    let mut scanner = Scanner::open(storage.clone(), number, recover::expected_at(number))?;
    let (mut length, mut paced) = (0, 0);
    loop {
        match scanner.next()? {
            Step::Frame(header) if header.segment == number => {
                encoder
                    .write_all(scanner.frame_bytes(&header))
                    .map_err(failed)?;
                length = header.offset + header.length();
            }
            Step::Frame(_) => break,
            Step::End(end) => return Err(scanner.damaged(end.offset, "it is not sealed")),
        }
        if length - paced >= STEP as u64 {
            paced = length;
            go_on(pace).map_err(failed)?;
        }
    }
    let writer = encoder.finish().map_err(|error| failed(error.into()))?;
    writer.sync().map_err(failed)?;
    Ok(length)
}

/// Reads the compressed form back and compares: the plain one is about to be removed.
fn same_content(
    storage: &dyn Storage,
    plain: &str,
    packed: &Arc<dyn StorageFile>,
    length: u64,
    pace: &mut Pace<'_>,
) -> io::Result<()> {
    let mut original = Source::Plain(storage.open(plain, Access::Read)?, length);
    let mut decoder = FrameDecoder::new(FileReader {
        file: packed.clone(),
        offset: 0,
    });
    let (mut wanted, mut found, mut at) = (vec![0; STEP], vec![0; STEP], 0);
    while at < length {
        let step = STEP.min((length - at) as usize);
        decoder.read_exact(&mut found[..step])?;
        if original.read(&mut wanted[..step], at)? != step || wanted[..step] != found[..step] {
            return Err(io::Error::other(
                "the compressed form reads back differently",
            ));
        }
        at += step as u64;
        go_on(pace)?;
    }
    // Also has the checksum at the end compared.
    match decoder.read(&mut found)? {
        0 => Ok(()),
        _ => Err(io::Error::other("the compressed form is too long")),
    }
}

fn go_on(pace: &mut Pace<'_>) -> io::Result<()> {
    if pace() {
        Ok(())
    } else {
        Err(io::Error::other("the journal is closing"))
    }
}

/// Removes the oldest sealed segment if `retain` allows and every record of it lies before
/// `floor`, the oldest record that snapshots and followers still need.
pub(super) fn remove_oldest(
    storage: &Arc<dyn Storage>,
    settings: &Settings,
    sealed_below: u64,
    floor: u64,
) -> Result<bool, JournalError> {
    let Retain::Segments(keep) = settings.retain else {
        return Ok(false);
    };
    let failed = |error| JournalError::io("remove segments in", storage.path(""))(error);
    let segments = segment::list(&**storage).map_err(failed)?;
    let sealed: Vec<_> = segments.range(..sealed_below).collect();
    let (Some((oldest, forms)), Some(next)) = (sealed.first(), segments.keys().nth(1)) else {
        return Ok(false);
    };
    if sealed.len() as u64 <= keep {
        return Ok(false);
    }
    let header = recover::first_header(storage, *next)?;
    if header.is_none_or(|header| header.first_sequence > floor) {
        return Ok(false);
    }
    for (there, name) in [
        (forms.plain, segment::plain_name(**oldest)),
        (forms.compressed, segment::compressed_name(**oldest)),
    ] {
        if there {
            storage.remove(&name).map_err(failed)?;
        }
    }
    storage.sync_directory().map_err(failed)?;
    Ok(true)
}

/// Writes a file from its beginning and syncs every step, so that no large flush builds up.
struct FileWriter {
    file: Arc<dyn StorageFile>,
    offset: u64,
    synced: u64,
}

impl FileWriter {
    fn new(file: Arc<dyn StorageFile>) -> Self {
        Self {
            file,
            offset: 0,
            synced: 0,
        }
    }

    fn sync(&self) -> io::Result<()> {
        storage::sync(&*self.file)
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        storage::write_all(&*self.file, bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        if self.offset - self.synced >= STEP as u64 {
            self.synced = self.offset;
            self.sync()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

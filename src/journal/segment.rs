//! Segment files: their names, how an empty one comes to be, and how the bytes of a plain or a
//! compressed one are read. What the bytes mean is `frame.rs`.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::Arc,
};

use lz4_flex::frame::FrameDecoder;

use super::storage::{self, Access, FileReader, Storage, StorageFile};

/// Every segment is made with a multiple of this length.
pub(super) const SECTOR: u64 = 512;

/// Written and synced per step while zero-filling, so that a group's sync never queues behind more.
const FILL_STEP: usize = 1 << 20;

/// Ending of files that are not finished; the next writer removes them.
pub(super) const TEMPORARY: &str = ".tmp";

const COMPRESSED: &str = ".lz4";

/// Name of a segment as it is written.
pub(super) fn plain_name(number: u64) -> String {
    format!("journal-{number:010}.segment")
}

/// Name of a sealed segment after compression.
pub(super) fn compressed_name(number: u64) -> String {
    plain_name(number) + COMPRESSED
}

/// In which forms a segment is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Forms {
    pub plain: bool,
    pub compressed: bool,
}

impl Forms {
    /// The name to read: both forms hold the same frames, and the plain one is quicker.
    pub fn name(self, number: u64) -> String {
        if self.plain {
            plain_name(number)
        } else {
            compressed_name(number)
        }
    }
}

/// All segments in a storage by number.
pub(super) fn list(storage: &dyn Storage) -> io::Result<BTreeMap<u64, Forms>> {
    let mut segments = BTreeMap::<u64, Forms>::new();
    for name in storage.list()? {
        let (stem, compressed) = match name.strip_suffix(COMPRESSED) {
            Some(stem) => (stem, true),
            None => (name.as_str(), false),
        };
        let number = stem
            .strip_prefix("journal-")
            .and_then(|rest| rest.strip_suffix(".segment"));
        let Some(number) = number.and_then(|digits| digits.parse().ok()) else {
            continue;
        };
        let forms = segments.entry(number).or_default();
        forms.plain |= !compressed;
        forms.compressed |= compressed;
    }
    Ok(segments)
}

/// The first number that is missing between the oldest segment and the newest. Segments come and go
/// in order, so a gap is a file that somebody took away.
pub(super) fn gap(segments: &BTreeMap<u64, Forms>) -> Option<u64> {
    let numbers = segments.keys();
    let mut pairs = numbers.clone().zip(numbers.skip(1));
    let (before, _) = pairs.find(|(number, next)| *number + 1 < **next)?;
    Some(before + 1)
}

/// Removes plain segments, the highest first, each for good before the next: no crash leaves a gap.
pub(super) fn remove_highest_first(storage: &dyn Storage, numbers: &[u64]) -> io::Result<()> {
    for number in numbers.iter().rev() {
        remove_if_there(storage, &plain_name(*number))?;
        storage.sync_directory()?;
    }
    Ok(())
}

/// The name that a segment has now, for messages.
pub(super) fn name_of(storage: &dyn Storage, number: u64) -> String {
    let forms = list(storage).unwrap_or_default().remove(&number);
    let gone = Forms {
        plain: true,
        compressed: false,
    };
    forms.unwrap_or(gone).name(number)
}

/// Makes a zero-filled segment, whose number is free, durable in content and name; or leaves nothing behind.
pub(super) fn create(
    storage: &dyn Storage,
    number: u64,
    size: u64,
) -> io::Result<Arc<dyn StorageFile>> {
    let temporary = plain_name(number) + TEMPORARY;
    remove_if_there(storage, &temporary)?;
    let created = fill(storage, &temporary, size).and_then(|file| {
        storage.rename(&temporary, &plain_name(number))?;
        storage.sync_directory()?;
        Ok(file)
    });
    if created.is_err() {
        // The first error is the one worth telling; the next start removes the rest. The name as well: a
        // sync of the folder that failed may have left it in the cache only, for ever.
        let _ = storage.remove(&temporary);
        let _ = storage.remove(&plain_name(number));
    }
    created
}

fn fill(storage: &dyn Storage, name: &str, size: u64) -> io::Result<Arc<dyn StorageFile>> {
    if storage.free_bytes()? < size {
        return Err(io::ErrorKind::StorageFull.into());
    }
    let file = storage.create(name)?;
    let zeros = vec![0; FILL_STEP.min(size as usize)];
    let mut at = 0;
    while at < size {
        let step = zeros.len().min((size - at) as usize);
        storage::write_all(&*file, &zeros[..step], at)?;
        storage::sync(&*file)?;
        at += step as u64;
    }
    Ok(file)
}

/// Removes a name; it is fine if it is not there.
pub(super) fn remove_if_there(storage: &dyn Storage, name: &str) -> io::Result<()> {
    match storage.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// The bytes of one segment, whichever form it has.
pub(super) enum Source {
    /// The file and its length.
    Plain(Arc<dyn StorageFile>, u64),
    /// Reads forward only, from this byte of the plain form on.
    Compressed(Box<FrameDecoder<FileReader>>, u64),
}

impl Source {
    /// Opens a segment for reading; `None` if it is not there in any form. A segment that is
    /// compressed in between is found under its new name.
    pub fn open(storage: &dyn Storage, number: u64) -> io::Result<Option<Self>> {
        let open = |name: &str| match storage.open(name, Access::Read) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        if let Some(file) = open(&plain_name(number))? {
            let length = file.byte_length()?;
            return Ok(Some(Self::Plain(file, length)));
        }
        let file = open(&compressed_name(number))?;
        Ok(file.map(|file| {
            let reader = FileReader { file, offset: 0 };
            Self::Compressed(Box::new(FrameDecoder::new(reader)), 0)
        }))
    }

    /// Length of the file; `None` for the compressed form, which ends with its last frame.
    pub fn plain_length(&self) -> Option<u64> {
        match self {
            Self::Plain(_, length) => Some(*length),
            Self::Compressed(..) => None,
        }
    }

    /// True for the compressed form, which only sealed segments have.
    pub fn is_compressed(&self) -> bool {
        matches!(self, Self::Compressed(..))
    }

    /// Fills `out` as far as the segment goes. The compressed form must be read in order.
    pub fn read(&mut self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Plain(file, _) => storage::read_up_to(&**file, out, offset),
            Self::Compressed(decoder, at) => {
                debug_assert_eq!(*at, offset, "a compressed segment is read in order");
                let mut done = 0;
                while done < out.len() {
                    match decoder.read(&mut out[done..])? {
                        0 => break,
                        count => done += count,
                    }
                }
                *at += done as u64;
                Ok(done)
            }
        }
    }
}

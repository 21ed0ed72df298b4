//! Items of a snapshot as bytes: the length of each, and then its content. What the items are is in `snapshot.rs`.

use super::snapshot::SnapshotItem;
use super::snapshot_error::SnapshotError;
use std::io::{Read, Write};

/// Longer than any item; a longer one is damage.
const ITEM_BYTES_MAX: u32 = 64 << 20;

pub(super) struct Writer<'a> {
    pub to: &'a mut dyn Write,
    pub items: u64,
    pub bytes: Vec<u8>,
}

impl Writer<'_> {
    pub fn put(&mut self, item: &SnapshotItem) -> Result<(), SnapshotError> {
        self.bytes.clear();
        let written = postcard::to_extend(item, std::mem::take(&mut self.bytes));
        self.bytes = written.map_err(|cause| SnapshotError::Unreadable {
            item: self.items,
            cause,
        })?;
        let length = self.bytes.len() as u32;
        self.to.write_all(&length.to_le_bytes())?;
        self.to.write_all(&self.bytes)?;
        self.items += 1;
        Ok(())
    }
}

pub(super) fn read_item(
    from: &mut dyn Read,
    item: u64,
    bytes: &mut Vec<u8>,
) -> Result<(), SnapshotError> {
    let mut length = [0u8; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > ITEM_BYTES_MAX {
        return Err(SnapshotError::OutOfPlace { item });
    }
    bytes.clear();
    let read = from.take(u64::from(length)).read_to_end(bytes)?;
    if read < length as usize {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    Ok(())
}

//! A reusable buffer of encoded records. A producer fills it without any lock; `append` takes the
//! whole of it under a short one.

use super::frame::{HEADER, RECORD_PREFIX};

/// Records on their way into the journal. Append empties it and leaves its memory for reuse.
///
/// The buffer starts with room for a frame header, so that a batch that finds the group empty
/// becomes the group by swapping two pointers.
#[derive(Debug)]
pub struct RecordBatch {
    pub(super) buffer: Vec<u8>,
    pub(super) count: u32,
}

impl RecordBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self {
            buffer: vec![0; HEADER],
            count: 0,
        }
    }

    /// Adds one record with these bytes.
    pub fn push(&mut self, record: &[u8]) {
        self.push_with(|out| out.extend_from_slice(record));
    }

    /// Adds one record that `encode` appends to the buffer, without a copy. `encode` must only
    /// append.
    ///
    /// # Panics
    /// If `encode` removed bytes that were there before, or wrote 4 GiB or more.
    pub fn push_with<R>(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let prefix = self.buffer.len();
        self.buffer.extend_from_slice(&[0; RECORD_PREFIX]);
        let result = encode(&mut self.buffer);
        let length = self.buffer.len().checked_sub(prefix + RECORD_PREFIX);
        let length = length.and_then(|length| u32::try_from(length).ok());
        let length = length.expect("encode only appends, and less than 4 GiB");
        self.buffer[prefix..prefix + RECORD_PREFIX].copy_from_slice(&length.to_le_bytes());
        self.count += 1;
        result
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// True if there is no record.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes that the records will take, length prefixes included.
    pub fn byte_length(&self) -> usize {
        self.buffer.len() - HEADER
    }

    /// Drops all records and keeps the memory.
    pub fn clear(&mut self) {
        self.buffer.truncate(HEADER);
        self.count = 0;
    }
}

impl Default for RecordBatch {
    fn default() -> Self {
        Self::new()
    }
}

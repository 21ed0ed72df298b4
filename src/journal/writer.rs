//! The one place that writes frames: one write and one sync per group, and the change to the next
//! segment. Single-threaded; who calls it when is `commit.rs`, how it comes to its start is
//! `recover.rs`.

use std::sync::Arc;

use super::{
    Sequence,
    ahead::Ahead,
    error::JournalError,
    frame::{self, FrameHeader, HEADER},
    scan::Link,
    segment,
    settings::Settings,
    stats::Stats,
    storage::{self, FolderLock, Storage, StorageFile},
};

/// Writes at the journal's tail.
pub(super) struct Writer {
    pub storage: Arc<dyn Storage>,
    pub settings: Settings,
    pub journal_id: u128,
    pub stats: Arc<Stats>,
    pub ahead: Arc<Ahead>,
    pub live: Live,
    /// The newest frame, which is durable.
    pub link: Link,
    /// The live segment is new: the ones before it are sealed once it holds a durable frame.
    pub sealing: bool,
    /// Held until the writer is gone.
    pub _lock: Box<dyn FolderLock>,
}

/// The segment that takes frames.
pub(super) struct Live {
    pub number: u64,
    pub file: Arc<dyn StorageFile>,
    pub length: u64,
    /// Where the next frame begins.
    pub offset: u64,
}

impl Writer {
    /// Writes one frame and makes it durable. `buffer` holds room for the header, then the records.
    ///
    /// # Errors
    /// Every error is final: the file's state is unknown and nothing may be written any more.
    pub fn commit(&mut self, buffer: &mut Vec<u8>, records: u32) -> Result<(), JournalError> {
        self.stats.commit_began(self.storage.elapsed());
        let committed = self.commit_frame(buffer, records);
        self.stats.commit_ended();
        committed
    }

    fn commit_frame(&mut self, buffer: &mut Vec<u8>, records: u32) -> Result<(), JournalError> {
        let payload = buffer.len() - HEADER;
        let length = frame::frame_length(payload);
        if self.live.offset + length > self.live.length {
            self.rotate()?;
        }
        buffer.resize(length as usize, 0);
        let mut header = FrameHeader {
            journal_id: self.journal_id,
            frame: self.link.frame + 1,
            segment: self.live.number,
            offset: self.live.offset,
            first_sequence: self.link.sequence + 1,
            record_count: records,
            durable_frame: self.link.frame,
            durable_sequence: self.link.sequence,
            payload_length: payload as u32,
            payload_crc: crc32c::crc32c(&buffer[HEADER..HEADER + payload]),
            previous: self.link.chain,
            segment_length: self.live.length,
            hash: Default::default(),
        };
        header.encode(&mut buffer[..HEADER]);
        self.write_and_sync(buffer)?;
        self.live.offset += length;
        self.link = Link {
            frame: header.frame,
            sequence: header.last_sequence(),
            chain: header.hash,
        };
        if std::mem::take(&mut self.sealing) {
            self.ahead
                .seal_below(self.live.number, header.first_sequence - 1);
        }
        Ok(())
    }

    /// Writes a frame without records, which proves the one before it durable.
    pub fn mark(&mut self) -> Result<(), JournalError> {
        self.commit(&mut vec![0; HEADER], 0)?;
        self.stats.count_mark();
        Ok(())
    }

    /// Last durable record.
    pub fn durable(&self) -> Sequence {
        self.link.sequence
    }

    fn write_and_sync(&mut self, frame: &[u8]) -> Result<(), JournalError> {
        let file = || self.storage.path(&segment::plain_name(self.live.number));
        storage::write_all(&*self.live.file, frame, self.live.offset)
            .map_err(|error| JournalError::io("write", file())(error))?;
        if self.settings.sync {
            let before = self.storage.elapsed();
            storage::sync(&*self.live.file)
                .map_err(|error| JournalError::io("sync", file())(error))?;
            let took = self.storage.elapsed().saturating_sub(before);
            self.stats.count_sync(took);
        }
        self.stats.count_frame(frame.len());
        Ok(())
    }

    /// Goes on in the next segment, which lies there durable and zero-filled.
    fn rotate(&mut self) -> Result<(), JournalError> {
        let number = self.live.number + 1;
        let file = self
            .ahead
            .take(&*self.storage, &self.settings, number, &self.stats)?;
        let length = file.byte_length().map_err(JournalError::io(
            "read",
            self.storage.path(&segment::plain_name(number)),
        ))?;
        self.sealing = true;
        self.live = Live {
            number,
            file,
            length,
            offset: 0,
        };
        self.stats.count_rotation();
        Ok(())
    }
}

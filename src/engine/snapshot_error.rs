//! What is wrong with a snapshot, and the way out. Reading one lives in `snapshot.rs`.

use super::snapshot::LAYOUT;

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("the snapshot cannot be written or read: {0}")]
    Io(#[from] std::io::Error),
    #[error(
        "the snapshot has layout {found}, this program reads layout {LAYOUT}; remove it and the journal is replayed from its start"
    )]
    OtherLayout { found: u16 },
    #[error(
        "item {item} of the snapshot cannot be read ({cause}); remove it and the journal is replayed"
    )]
    Unreadable { item: u64, cause: postcard::Error },
    #[error(
        "item {item} of the snapshot does not fit what came before it; remove it and the journal is replayed"
    )]
    OutOfPlace { item: u64 },
}

//! A bounded queue into a loop, counted in requests. A part of it is reserved for what must not be
//! turned away: reversals, advices and our own commands.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bounds of a queue, in requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSettings {
    /// Above this, ordinary requests are answered 91 at once.
    pub ordinary_max: usize,
    /// Room beyond it for reversals, advices and internal commands.
    pub reserved: usize,
}

impl Default for QueueSettings {
    fn default() -> QueueSettings {
        QueueSettings {
            ordinary_max: 32_768,
            reserved: 8_192,
        }
    }
}

/// Who asks for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    Ordinary,
    Reserved,
}

pub struct Inbox<Message> {
    sender: Sender<Message>,
    depth: Arc<AtomicUsize>,
    settings: QueueSettings,
}

impl<Message> Clone for Inbox<Message> {
    fn clone(&self) -> Self {
        Inbox {
            sender: self.sender.clone(),
            depth: self.depth.clone(),
            settings: self.settings,
        }
    }
}

/// The loop's end of the queue.
pub struct Outlet<Message> {
    pub receiver: Receiver<Message>,
    depth: Arc<AtomicUsize>,
}

pub fn queue<Message>(settings: QueueSettings) -> (Inbox<Message>, Outlet<Message>) {
    let (sender, receiver) = bounded(settings.ordinary_max + settings.reserved);
    let depth = Arc::new(AtomicUsize::new(0));
    (
        Inbox {
            sender,
            depth: depth.clone(),
            settings,
        },
        Outlet { receiver, depth },
    )
}

impl<Message> Inbox<Message> {
    /// Puts in a message of `requests` requests, or gives it back where there is no room.
    pub fn offer(
        &self,
        message: Message,
        requests: usize,
        priority: Priority,
    ) -> Result<(), Message> {
        let bound = match priority {
            Priority::Ordinary => self.settings.ordinary_max,
            Priority::Reserved => self.settings.ordinary_max + self.settings.reserved,
        };
        let before = self.depth.fetch_add(requests, Ordering::AcqRel);
        if before + requests > bound {
            self.depth.fetch_sub(requests, Ordering::AcqRel);
            return Err(message);
        }
        self.sender.try_send(message).map_err(|error| {
            self.depth.fetch_sub(requests, Ordering::AcqRel);
            match error {
                TrySendError::Full(message) | TrySendError::Disconnected(message) => message,
            }
        })
    }

    /// Puts in a message that must arrive, waiting for room if need be. Only for senders that no loop
    /// waits for; counts no requests.
    pub fn insist(&self, message: Message) {
        // A loop that is gone is a process that is stopping: there is nobody to tell.
        let _ = self.sender.send(message);
    }

    /// Requests waiting now.
    pub fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }
}

impl<Message> Outlet<Message> {
    /// Notes that `requests` requests have been taken out.
    pub fn taken(&self, requests: usize) {
        self.depth.fetch_sub(requests, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_requests_are_turned_away_before_reserved_ones() {
        let (inbox, outlet) = queue::<&str>(QueueSettings {
            ordinary_max: 2,
            reserved: 1,
        });
        assert_eq!(inbox.offer("two", 2, Priority::Ordinary), Ok(()));
        assert_eq!(
            inbox.offer("one more", 1, Priority::Ordinary),
            Err("one more")
        );
        assert_eq!(inbox.offer("reversal", 1, Priority::Reserved), Ok(()));
        assert_eq!(
            inbox.offer("another", 1, Priority::Reserved),
            Err("another")
        );
        assert_eq!(outlet.receiver.recv(), Ok("two"));
        outlet.taken(2);
        assert_eq!(inbox.offer("again", 1, Priority::Ordinary), Ok(()));
        assert_eq!(inbox.depth(), 2);
    }
}

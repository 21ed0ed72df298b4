//! A bounded queue into a loop, counted in requests. A part of it is reserved for what must not be
//! turned away: reversals, advices and our own commands.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

/// The senders' end of the queue.
pub struct Inbox<Message> {
    shared: Arc<Shared<Message>>,
    settings: QueueSettings,
}

impl<Message> Clone for Inbox<Message> {
    fn clone(&self) -> Self {
        Inbox {
            shared: self.shared.clone(),
            settings: self.settings,
        }
    }
}

/// The loop's end of the queue.
pub struct Outlet<Message> {
    shared: Arc<Shared<Message>>,
    /// Taken out of the queue in one piece, and not served yet.
    taken: VecDeque<Message>,
}

/// A lock and a list, not a channel: the loop takes all that waits at once, and sleeps without
/// spinning first, which would take the processor from those who fill the queue.
struct Shared<Message> {
    /// Requests that were let in and are not served yet.
    depth: AtomicUsize,
    queue: Mutex<Queue<Message>>,
    /// The loop waits here for messages.
    filled: Condvar,
    /// Those who insist wait here for room.
    emptied: Condvar,
}

struct Queue<Message> {
    messages: VecDeque<Message>,
    loop_waits: bool,
    insisting: usize,
}

pub fn queue<Message>(settings: QueueSettings) -> (Inbox<Message>, Outlet<Message>) {
    let queue = Queue {
        messages: VecDeque::new(),
        loop_waits: false,
        insisting: 0,
    };
    let shared = Arc::new(Shared {
        depth: AtomicUsize::new(0),
        queue: Mutex::new(queue),
        filled: Condvar::new(),
        emptied: Condvar::new(),
    });
    let inbox = Inbox {
        shared: shared.clone(),
        settings,
    };
    let taken = VecDeque::new();
    (inbox, Outlet { shared, taken })
}

impl<Message> Shared<Message> {
    fn queue(&self) -> MutexGuard<'_, Queue<Message>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, mut queue: MutexGuard<'_, Queue<Message>>, message: Message) {
        queue.messages.push_back(message);
        let wake = std::mem::take(&mut queue.loop_waits);
        drop(queue);
        if wake {
            self.filled.notify_one();
        }
    }
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
            Priority::Reserved => self.messages_max(),
        };
        let before = self.shared.depth.fetch_add(requests, Ordering::AcqRel);
        if before + requests > bound {
            self.shared.depth.fetch_sub(requests, Ordering::AcqRel);
            return Err(message);
        }
        // Each message holds a request or more, so the bound on requests bounds the messages.
        self.shared.put(self.shared.queue(), message);
        Ok(())
    }

    /// Puts in a message that must arrive, waiting for room if need be. Only for senders that no loop
    /// waits for; counts no requests.
    pub fn insist(&self, message: Message) {
        let mut queue = self.shared.queue();
        queue.insisting += 1;
        while queue.messages.len() >= self.messages_max() {
            let waited = self.shared.emptied.wait(queue);
            queue = waited.unwrap_or_else(PoisonError::into_inner);
        }
        queue.insisting -= 1;
        self.shared.put(queue, message);
    }

    fn messages_max(&self) -> usize {
        self.settings.ordinary_max + self.settings.reserved
    }

    /// Requests waiting now.
    pub fn depth(&self) -> usize {
        self.shared.depth.load(Ordering::Relaxed)
    }
}

impl<Message> Outlet<Message> {
    /// The next message; waits for it.
    pub fn wait(&mut self) -> Message {
        loop {
            if let Some(message) = self.take() {
                return message;
            }
            let mut queue = self.shared.queue();
            while queue.messages.is_empty() {
                queue.loop_waits = true;
                let waited = self.shared.filled.wait(queue);
                queue = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// The next message, if one comes within `patience`.
    pub fn wait_at_most(&mut self, patience: Duration) -> Option<Message> {
        if let Some(message) = self.take() {
            return Some(message);
        }
        let mut queue = self.shared.queue();
        if queue.messages.is_empty() {
            queue.loop_waits = true;
            let waited = self.shared.filled.wait_timeout(queue, patience);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            queue.loop_waits = false;
        }
        drop(queue);
        self.take()
    }

    /// The next message, if one is there.
    pub fn take(&mut self) -> Option<Message> {
        if self.taken.is_empty() {
            let mut queue = self.shared.queue();
            std::mem::swap(&mut queue.messages, &mut self.taken);
            if queue.insisting > 0 {
                self.shared.emptied.notify_all();
            }
        }
        self.taken.pop_front()
    }

    /// Notes that `requests` requests have been served.
    pub fn served(&self, requests: usize) {
        self.shared.depth.fetch_sub(requests, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_requests_are_turned_away_before_reserved_ones() {
        let (inbox, mut outlet) = queue::<&str>(QueueSettings {
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
        assert_eq!(outlet.wait(), "two");
        outlet.served(2);
        assert_eq!(inbox.offer("again", 1, Priority::Ordinary), Ok(()));
        assert_eq!(inbox.depth(), 2);
        assert_eq!(
            [outlet.take(), outlet.take()],
            [Some("reversal"), Some("again")]
        );
        assert_eq!(outlet.take(), None);
    }

    #[test]
    fn who_insists_waits_until_the_loop_has_taken_what_was_there() {
        let (inbox, mut outlet) = queue::<u32>(QueueSettings {
            ordinary_max: 1,
            reserved: 0,
        });
        std::thread::scope(|scope| {
            scope.spawn(|| (0..100).for_each(|number| inbox.insist(number)));
            for number in 0..100 {
                assert_eq!(outlet.wait(), number);
                assert!(inbox.shared.queue().messages.len() <= 1);
            }
        });
    }
}

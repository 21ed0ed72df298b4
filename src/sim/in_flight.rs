//! The requests that wait for an answer: a table of fixed size, found by MTI class and STAN, then by
//! RRN. Nothing is allocated once each slot has held its largest request.

use tokio::time::Instant;

use super::keys::Rrn;

const NONE: u32 = u32::MAX;

/// One request that waits.
pub struct Slot<T> {
    /// When it should have been sent.
    pub intended: Instant,
    /// As it was sent, unframed.
    pub request: Vec<u8>,
    /// What its sender wants to know again.
    pub ticket: T,
    class: u8,
    stan: u32,
    rrn: Rrn,
    next: u32,
}

/// The table.
pub struct InFlight<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    /// First slot of each chain; a chain is in the order of sending.
    heads: Vec<u32>,
    bound: usize,
}

impl<T> InFlight<T> {
    /// At most `bound` requests wait at a time.
    pub fn new(bound: usize) -> InFlight<T> {
        InFlight {
            slots: Vec::with_capacity(bound),
            free: Vec::with_capacity(bound),
            heads: vec![NONE; (bound * 2).next_power_of_two()],
            bound,
        }
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn is_full(&self) -> bool {
        self.len() == self.bound
    }

    fn chain(&self, stan: u32) -> usize {
        stan as usize & (self.heads.len() - 1)
    }

    /// Adds a request; the caller saw that the table [is not full](InFlight::is_full).
    #[inline]
    pub fn insert(
        &mut self,
        (class, stan, rrn): (u8, u32, Rrn),
        ticket: T,
        intended: Instant,
        request: &[u8],
    ) {
        let at = match self.free.pop() {
            Some(at) => {
                let slot = &mut self.slots[at as usize];
                slot.request.clear();
                slot.request.extend_from_slice(request);
                (slot.intended, slot.ticket) = (intended, ticket);
                (slot.class, slot.stan, slot.rrn, slot.next) = (class, stan, rrn, NONE);
                at
            }
            None => {
                self.slots.push(Slot {
                    intended,
                    request: request.to_vec(),
                    ticket,
                    class,
                    stan,
                    rrn,
                    next: NONE,
                });
                self.slots.len() as u32 - 1
            }
        };
        let chain = self.chain(stan);
        let mut last = self.heads[chain];
        if last == NONE {
            self.heads[chain] = at;
            return;
        }
        while self.slots[last as usize].next != NONE {
            last = self.slots[last as usize].next;
        }
        self.slots[last as usize].next = at;
    }

    /// Takes out the oldest request with this class, STAN and RRN; if none has this RRN, the oldest
    /// with class and STAN, so that an answer with a wrong RRN is told apart from a stray one. The
    /// slot can be read until it is [given back](InFlight::release).
    #[inline]
    pub fn take(&mut self, class: u8, stan: u32, rrn: Option<Rrn>) -> Option<u32> {
        let chain = self.chain(stan);
        let (mut at, mut before, mut near) = (self.heads[chain], NONE, None);
        while at != NONE {
            let slot = &self.slots[at as usize];
            if slot.class == class && slot.stan == stan {
                if rrn.unwrap_or([0; 12]) == slot.rrn {
                    self.unlink(chain, before, at);
                    return Some(at);
                }
                near.get_or_insert((before, at));
            }
            (before, at) = (at, slot.next);
        }
        let (before, at) = near?;
        self.unlink(chain, before, at);
        Some(at)
    }

    fn unlink(&mut self, chain: usize, before: u32, at: u32) {
        let next = self.slots[at as usize].next;
        match before {
            NONE => self.heads[chain] = next,
            before => self.slots[before as usize].next = next,
        }
    }

    /// The slot that [`take`](InFlight::take) gave.
    pub fn slot(&self, at: u32) -> &Slot<T> {
        &self.slots[at as usize]
    }

    /// Gives a taken slot back.
    #[inline]
    pub fn release(&mut self, at: u32) {
        self.free.push(at);
    }

    /// Requests that still wait.
    pub fn waiting(&self) -> impl Iterator<Item = &Slot<T>> {
        self.heads.iter().flat_map(|head| {
            let first = (*head != NONE).then_some(*head);
            let slots = std::iter::successors(first, |at| {
                let next = self.slots[*at as usize].next;
                (next != NONE).then_some(next)
            });
            slots.map(|at| &self.slots[at as usize])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_find_their_request_in_the_order_of_sending() {
        let mut table = InFlight::new(4);
        let now = Instant::now();
        let rrn = |digit| [digit; 12];
        table.insert((1, 7, rrn(b'A')), "original", now, b"first");
        table.insert((1, 7, rrn(b'A')), "repeat", now, b"second");
        table.insert((1, 15, rrn(b'B')), "same chain", now, b"third");
        table.insert((4, 7, rrn(b'A')), "reversal", now, b"fourth");
        assert!(table.is_full());
        assert_eq!(table.waiting().count(), 4);
        let mut take = |class, stan, with| {
            let at = table.take(class, stan, with)?;
            let ticket = table.slot(at).ticket;
            table.release(at);
            Some(ticket)
        };
        assert_eq!(take(4, 7, Some(rrn(b'A'))), Some("reversal"));
        assert_eq!(take(1, 7, Some(rrn(b'A'))), Some("original"));
        assert_eq!(
            take(1, 7, None),
            Some("repeat"),
            "a wrong RRN is told from a stray answer"
        );
        assert_eq!(take(1, 7, Some(rrn(b'A'))), None);
        assert_eq!(take(1, 15, Some(rrn(b'B'))), Some("same chain"));
        assert!(table.is_empty());
    }
}

//! Places of the connections of the REST interface: how many there are, and which connection has to give its place up for
//! another one. No socket is touched here; `serving` reads and closes them.
//!
//! Nobody is kept waiting by who asks nothing: where an address, or everybody together, has all places that there are for it,
//! the connection on which nothing was asked for longest is closed; where there is none, the one whose peer takes its time with
//! the body of a request, or with an answer, for longest. Where something is done on all of them, the next one gets a spare
//! place, for a moment, which is enough to be told of the health of the process.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Beside the others; where they are taken, the oldest of them is closed for the next.
pub const SPARE_PLACES: usize = 64;

/// For so long a body may be on its way before its connection gives way to another one.
const BODY_GIVES_WAY_AFTER: Duration = Duration::from_secs(5);

/// The same for an answer of which the peer has not taken all.
const ANSWER_GIVES_WAY_AFTER: Duration = Duration::from_secs(30);

/// How many connections there may be, spare ones not counted.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub connections_max: usize,
    pub connections_per_address_max: usize,
}

pub struct Places {
    bounds: Bounds,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Counts connections, and the times at which one fell idle.
    next: u64,
    /// By number: the oldest first.
    held: BTreeMap<u64, Held>,
    /// Places of each address that has any, spare ones not counted.
    of_address: HashMap<IpAddr, usize>,
    spares: usize,
}

struct Held {
    address: IpAddr,
    is_spare: bool,
    does: Does,
    closed: CancellationToken,
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Nothing is asked, or no whole head of a request is there, since this count.
    Idle { since: u64 },
    /// A body is on its way.
    Sends { since: Instant },
    /// The answer is being made.
    IsAnswered,
    /// The answer is made, and the system has not taken all of it yet.
    IsSent { since: Instant },
}

impl Does {
    /// Since when the peer has kept us waiting, where that is too long for who keeps a place from others.
    fn overdue_since(self, now: Instant) -> Option<Instant> {
        let (since, at_most) = match self {
            Does::Sends { since } => (since, BODY_GIVES_WAY_AFTER),
            Does::IsSent { since } => (since, ANSWER_GIVES_WAY_AFTER),
            Does::Idle { .. } | Does::IsAnswered => return None,
        };
        (now.saturating_duration_since(since) >= at_most).then_some(since)
    }
}

/// Place of one connection, until it is dropped.
pub struct Place {
    places: Arc<Places>,
    number: u64,
    is_spare: bool,
    closed: CancellationToken,
}

/// An IPv6 network gives its hosts as many addresses as they like: they count as one.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address => address,
    }
}

impl Places {
    pub fn new(bounds: Bounds) -> Arc<Places> {
        let table = Mutex::default();
        Arc::new(Places { bounds, table })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from this address; another one may have to go for it.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Place {
        self.take_at(address, Instant::now())
    }

    fn take_at(self: &Arc<Self>, address: IpAddr, now: Instant) -> Place {
        let address = counted_as(address);
        let mut table = self.table();
        let is_spare = !table.make_room(self.bounds, address, now);
        if is_spare && table.spares >= SPARE_PLACES {
            let oldest = table.held.iter().find(|(_, held)| held.is_spare);
            let oldest = oldest.map(|(number, _)| *number);
            table.close(oldest);
        }
        let (number, closed) = (table.count(), CancellationToken::new());
        match is_spare {
            true => table.spares += 1,
            false => *table.of_address.entry(address).or_default() += 1,
        }
        let held = Held {
            address,
            is_spare,
            does: Does::Idle { since: number },
            closed: closed.clone(),
        };
        table.held.insert(number, held);
        Place {
            places: self.clone(),
            number,
            is_spare,
            closed,
        }
    }

    /// Closes the one that would have to go for another one, whosever it is.
    pub fn close_first_to_go(&self) {
        let mut table = self.table();
        let first_to_go = table.first_to_go(Instant::now(), |_| true);
        table.close(first_to_go);
    }

    /// Closes those on which nothing is asked.
    pub fn close_idle(&self) {
        self.close_all(|does| matches!(does, Does::Idle { .. }));
    }

    /// Closes those whose body has not come.
    pub fn close_sending(&self) {
        self.close_all(|does| matches!(does, Does::Sends { .. }));
    }

    fn close_all(&self, which: impl Fn(Does) -> bool) {
        let mut table = self.table();
        let numbers = table.held.iter().filter(|(_, held)| which(held.does));
        let numbers: Vec<u64> = numbers.map(|(number, _)| *number).collect();
        numbers
            .into_iter()
            .for_each(|number| table.close(Some(number)));
    }
}

impl Table {
    fn count(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Closes one that has to give way where that is needed for another one; false where none has.
    fn make_room(&mut self, bounds: Bounds, address: IpAddr, now: Instant) -> bool {
        let of_address = self.of_address.get(&address).copied().unwrap_or_default();
        let first_to_go = if of_address >= bounds.connections_per_address_max {
            self.first_to_go(now, |held| held.address == address)
        } else if self.held.len() - self.spares >= bounds.connections_max {
            self.first_to_go(now, |_| true)
        } else {
            return true;
        };
        self.close(first_to_go);
        first_to_go.is_some()
    }

    /// The one that is idle for longest, or else the one that keeps us waiting for longest.
    fn first_to_go(&self, now: Instant, which: impl Fn(&Held) -> bool) -> Option<u64> {
        let held = self.held.iter();
        let held = held.filter(|(_, held)| !held.is_spare && which(held));
        let idle = held.clone().filter_map(|(number, held)| match held.does {
            Does::Idle { since } => Some((since, *number)),
            _ => None,
        });
        let overdue = held.filter_map(|(number, held)| {
            let since = held.does.overdue_since(now)?;
            Some((since, *number))
        });
        let idlest = idle.min().map(|(_, number)| number);
        idlest.or_else(|| overdue.min().map(|(_, number)| number))
    }

    fn close(&mut self, number: Option<u64>) {
        let held = number.and_then(|number| self.leave(number));
        if let Some(held) = held {
            held.closed.cancel();
        }
    }

    fn leave(&mut self, number: u64) -> Option<Held> {
        let held = self.held.remove(&number)?;
        if held.is_spare {
            self.spares -= 1;
        } else if let Some(count) = self.of_address.get_mut(&held.address) {
            *count -= 1;
            if *count == 0 {
                self.of_address.remove(&held.address);
            }
        }
        Some(held)
    }

    fn set(&mut self, number: u64, does: Does) -> bool {
        let held = self.held.get_mut(&number);
        held.map(|held| held.does = does).is_some()
    }
}

impl Place {
    /// Whether there is no other place: only what is asked at once is answered, and little of it.
    pub fn is_spare(&self) -> bool {
        self.is_spare
    }

    /// Ends when the connection has to go.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// A request has begun; false where the connection has lost its place, and the request must not be carried out.
    pub fn begin(&self, has_body: bool) -> bool {
        let does = match has_body {
            true => Does::Sends {
                since: Instant::now(),
            },
            false => Does::IsAnswered,
        };
        self.places.table().set(self.number, does)
    }

    /// All of the body is there, or nobody wants it.
    pub fn body_has_come(&self) {
        let mut table = self.places.table();
        let held = table.held.get_mut(&self.number);
        if let Some(held) = held.filter(|held| matches!(held.does, Does::Sends { .. })) {
            held.does = Does::IsAnswered;
        }
    }

    /// The answer is made.
    pub fn end(&self) {
        let since = Instant::now();
        self.places.table().set(self.number, Does::IsSent { since });
    }

    /// The system has taken all that was written so far.
    pub fn all_is_sent(&self) {
        let mut table = self.places.table();
        let since = table.count();
        let held = table.held.get_mut(&self.number);
        if let Some(held) = held.filter(|held| matches!(held.does, Does::IsSent { .. })) {
            held.does = Does::Idle { since };
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table().leave(self.number);
    }
}

#[cfg(test)]
#[path = "places_tests.rs"]
mod tests;

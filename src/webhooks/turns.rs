//! Whose call to a customer's endpoint comes next: as many as may be under way are shared by tenant, so that one whose
//! endpoints hang makes nobody else wait. Calling lives with those who call, webhooks and decisions.

use crate::engine::ids::ApiKeyId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Who waits for nobody else's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    Tenant(ApiKeyId),
    /// An endpoint that the operator made is of no tenant: each is one for itself.
    Endpoint(u64),
}

impl Party {
    pub fn of(tenant: Option<ApiKeyId>, endpoint: u64) -> Party {
        tenant.map_or(Party::Endpoint(endpoint), Party::Tenant)
    }
}

/// Of calls of one kind. A party may have twice as many under way as are free beside them, and one in any case where one
/// is free: alone it has two thirds, and however many hang, the next one finds some free.
pub struct Turns(Mutex<State>);

struct State {
    free: usize,
    /// Of those that have calls under way, or wait.
    lines: BTreeMap<Party, Line>,
    /// Of the next that waits.
    number: u64,
}

#[derive(Default)]
struct Line {
    under_way: usize,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    number: u64,
    called: oneshot::Sender<Turn>,
}

/// May call. Ends when it is dropped.
pub struct Turn {
    turns: Arc<Turns>,
    party: Party,
}

impl Turns {
    pub fn new(at_once: usize) -> Arc<Turns> {
        Arc::new(Turns(Mutex::new(State {
            free: at_once,
            lines: BTreeMap::new(),
            number: 0,
        })))
    }

    /// Waits for those of its own party that came before it.
    pub async fn take(self: &Arc<Self>, party: Party) -> Turn {
        loop {
            let called = {
                let mut state = self.state();
                match state.wait_or_take(party) {
                    None => break self.turn(party),
                    Some(called) => called,
                }
            };
            // Whoever waits is called by those who hold turns, and there are some: else there would be one free.
            if let Ok(turn) = called.await {
                break turn;
            }
        }
    }

    /// Calls those that may go now.
    fn end(self: &Arc<Self>, party: Party) {
        let mut state = self.state();
        state.end(party);
        while let Some((party, waiting)) = state.next() {
            // Told without the lock: one that has gone meanwhile gives its turn back.
            drop(state);
            let _ = waiting.called.send(self.turn(party));
            state = self.state();
        }
    }

    fn turn(self: &Arc<Self>, party: Party) -> Turn {
        let turns = self.clone();
        Turn { turns, party }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.end(self.party);
    }
}

impl State {
    fn has_turn_for(&self, line: &Line) -> bool {
        match self.free {
            0 => false,
            _ if line.under_way == 0 => true,
            free => line.under_way < 2 * (free - 1),
        }
    }

    /// Takes a turn, or gives what it will be called by.
    fn wait_or_take(&mut self, party: Party) -> Option<oneshot::Receiver<Turn>> {
        let mut line = self.lines.remove(&party).unwrap_or_default();
        line.forget_those_gone();
        let waits = !line.waiting.is_empty() || !self.has_turn_for(&line);
        let called = waits.then(|| {
            let (called, is_called) = oneshot::channel();
            let number = self.number;
            line.waiting.push_back(Waiting { number, called });
            self.number += 1;
            is_called
        });
        if !waits {
            line.under_way += 1;
            self.free -= 1;
        }
        self.lines.insert(party, line);
        called
    }

    fn end(&mut self, party: Party) {
        self.free += 1;
        if let Some(line) = self.lines.get_mut(&party) {
            line.under_way -= 1;
            line.forget_those_gone();
            if line.under_way == 0 && line.waiting.is_empty() {
                self.lines.remove(&party);
            }
        }
    }

    /// Who goes next, its turn taken: of the party with the fewest calls under way, of those the one that waits longest.
    fn next(&mut self) -> Option<(Party, Waiting)> {
        self.lines.values_mut().for_each(Line::forget_those_gone);
        let (party, _) = self
            .lines
            .iter()
            .filter(|(_, line)| self.has_turn_for(line))
            .filter_map(|(party, line)| {
                let number = line.waiting.front()?.number;
                Some((*party, (line.under_way, number)))
            })
            .min_by_key(|(_, order)| *order)?;
        let line = self.lines.get_mut(&party)?;
        let waiting = line.waiting.pop_front()?;
        line.under_way += 1;
        self.free -= 1;
        Some((party, waiting))
    }
}

impl Line {
    /// Those at its head that wait no longer: their time was over.
    fn forget_those_gone(&mut self) {
        while self
            .waiting
            .front()
            .is_some_and(|waiting| waiting.called.is_closed())
        {
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    type Taking = Pin<Box<dyn Future<Output = Turn>>>;

    fn poll(taking: &mut Taking) -> Option<Turn> {
        match taking
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    fn take(turns: &Arc<Turns>, party: u64) -> Taking {
        let turns = turns.clone();
        Box::pin(async move { turns.take(Party::of(Some(ApiKeyId(party)), 0)).await })
    }

    /// Takes as many as there are for a party.
    fn take_all(turns: &Arc<Turns>, party: u64) -> Vec<Turn> {
        std::iter::from_fn(|| poll(&mut take(turns, party))).collect()
    }

    #[test]
    fn alone_it_has_most_and_however_many_hang_there_are_some_for_the_next() {
        for (at_once, expected) in [
            (1, [1, 0, 0, 0]),
            (2, [1, 1, 0, 0]),
            (4, [2, 1, 1, 0]),
            (104, [69, 23, 8, 2]),
        ] {
            let turns = Turns::new(at_once);
            let held = [1, 2, 3, 4].map(|party| take_all(&turns, party));
            assert_eq!(held.each_ref().map(Vec::len), expected, "{at_once}");
        }
        // Those that come at the same time have the same, whatever order they come in.
        let turns = Turns::new(104);
        let mut held: Vec<Vec<Turn>> = (0..5).map(|_| Vec::new()).collect();
        for _ in 0..100 {
            for (party, held) in (0..).zip(&mut held) {
                held.extend(poll(&mut take(&turns, party)));
            }
        }
        assert!(held.iter().all(|held| (18..=19).contains(&held.len())));
        assert!(take_all(&turns, 9).len() >= 5);
    }

    #[test]
    fn what_waits_goes_in_its_turn_those_with_fewest_calls_first_and_nothing_is_lost() {
        let turns = Turns::new(4);
        let (mut first, one) = (take_all(&turns, 1), take_all(&turns, 2));
        let last = take_all(&turns, 3);
        assert_eq!((first.len(), one.len(), last.len()), (2, 1, 1));
        let mut waiting = [1, 2, 1, 4].map(|party| take(&turns, party));
        assert!(waiting.iter_mut().all(|taking| poll(taking).is_none()));
        // The one that has none comes first, though it waited last.
        drop(first.pop());
        let fourth = poll(&mut waiting[3]).unwrap();
        assert!(waiting[..3].iter_mut().all(|taking| poll(taking).is_none()));
        drop((fourth, last));
        // Two are free: the first who waited of those with one under way; with one free nobody has a second.
        let again = poll(&mut waiting[0]).unwrap();
        assert!(poll(&mut waiting[1]).is_none() && poll(&mut waiting[2]).is_none());
        // Who has gone before he was called, and who goes after it, keep nothing.
        let [_, second, third, _] = waiting;
        drop(third);
        drop((first, again));
        drop(second);
        drop(one);
        let state = turns.state();
        assert!(state.free == 4 && state.lines.is_empty());
    }

    /// In threads, at random: no more than there are, and in the end all are there again.
    #[test]
    fn there_are_never_more_than_may_be() {
        let (turns, at_once) = (Turns::new(7), 7);
        let under_way = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut calls = tokio::task::JoinSet::new();
            for number in 0..2_000u64 {
                let (turns, under_way) = (turns.clone(), under_way.clone());
                calls.spawn(async move {
                    let taking = turns.take(Party::of(None, number % 5));
                    let impatient = std::time::Duration::from_micros(number * 37 % 9_000);
                    let taking = pin!(taking);
                    let Ok(_turn) = tokio::time::timeout(impatient, taking).await else {
                        return;
                    };
                    let order = std::sync::atomic::Ordering::SeqCst;
                    assert!(under_way.fetch_add(1, order) < at_once);
                    tokio::time::sleep(impatient / 50).await;
                    under_way.fetch_sub(1, order);
                });
            }
            while let Some(ended) = calls.join_next().await {
                ended.unwrap();
            }
        });
        let state = turns.state();
        assert!(state.free == 7 && state.lines.is_empty());
    }
}

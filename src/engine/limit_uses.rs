//! Where limits count what an authorization stands at: what it was opened with in the windows of then, and what
//! increments added in those of their own time. The counters themselves are in `counters.rs`, which limits count what in
//! `rules/limits.rs`.

use super::counters::CountedIn;
use super::ids::LimitId;
use super::rolling::{Bucket, BucketWidth};
use super::scope::Scope;
use super::window::WindowEnd;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// The uses of one message, in the order of its trace.
pub type LimitUses = SmallVec<[LimitUse; 8]>;

/// One use of one windowed limit, which a reversal gives back to the same window. Open holds keep these,
/// so the two ways in which one counts share their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitUse {
    pub scope: Scope,
    pub limit_id: LimitId,
    /// The end of the window, or the number of the bucket.
    pub(super) window: u32,
    /// Of a window that rolls.
    pub(super) bucket_width: Option<BucketWidth>,
}

impl LimitUse {
    pub fn new(scope: Scope, limit_id: LimitId, counted_in: CountedIn) -> LimitUse {
        let (window, bucket_width) = match counted_in {
            CountedIn::Window(end) => (end.0, None),
            CountedIn::Bucket(bucket) => (bucket.number, Some(bucket.width)),
        };
        LimitUse {
            scope,
            limit_id,
            window,
            bucket_width,
        }
    }

    pub fn counted_in(&self) -> CountedIn {
        let number = self.window;
        match self.bucket_width {
            None => CountedIn::Window(WindowEnd(number)),
            Some(width) => CountedIn::Bucket(Bucket { width, number }),
        }
    }

    fn is_of(&self, scope: Scope, limit_id: LimitId) -> bool {
        (self.scope, self.limit_id) == (scope, limit_id)
    }
}

/// The uses of one authorization. Of a limit that counted its opening, these and `added` sum to what it stands at.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uses {
    pub opened: Box<[LimitUse]>,
    /// By increments in other windows than the opening, in the order in which they came. They count an amount, and no payment.
    pub added: Box<[AddedUse]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedUse {
    pub limit_use: LimitUse,
    /// In minor units of the account's currency; above zero.
    pub amount_minor: i64,
}

/// What is added to one counter; below zero what is taken off it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    pub limit_use: LimitUse,
    pub amount_minor: i64,
    /// The counter may be of a window before, or not be there yet.
    pub begins: bool,
    /// The opening of the authorization is counted there.
    pub is_opening: bool,
}

pub(super) type AllMoved = SmallVec<[Moved; 8]>;

impl Uses {
    pub fn of_opening(uses: &[LimitUse]) -> Uses {
        Uses {
            opened: uses.into(),
            added: Box::default(),
        }
    }

    /// Whether it counts in any window of this limit.
    pub fn are_of(&self, scope: Scope, limit_id: LimitId) -> bool {
        let added = self.added.iter().map(|added| &added.limit_use);
        let mut all = self.opened.iter().chain(added);
        all.any(|limit_use| limit_use.is_of(scope, limit_id))
    }

    /// Moves what is counted when the authorization comes to stand at so much more, or less. An increment counts
    /// `counted_in` the windows of now. All else that is more counts with the opening; what is less goes from what was
    /// added last.
    pub(super) fn moved(&mut self, amount_minor: i64, counted_in: &[LimitUse]) -> AllMoved {
        match amount_minor < 0 {
            true => self.less(-amount_minor),
            false => self.more(amount_minor, counted_in),
        }
    }

    fn more(&mut self, amount_minor: i64, counted_in: &[LimitUse]) -> AllMoved {
        let mut all = AllMoved::new();
        for opened in &self.opened {
            let mut now = counted_in.iter();
            let counts_elsewhere = now
                .find(|now| now.is_of(opened.scope, opened.limit_id))
                .is_some_and(|now| now != opened);
            all.push(Moved {
                limit_use: *opened,
                amount_minor: if counts_elsewhere { 0 } else { amount_minor },
                begins: false,
                is_opening: true,
            });
        }
        let elsewhere = counted_in.iter().filter(|now| !self.opened.contains(now));
        let elsewhere: SmallVec<[&LimitUse; 8]> = elsewhere.collect();
        if elsewhere.is_empty() {
            return all;
        }
        let mut added = std::mem::take(&mut self.added).into_vec();
        for limit_use in elsewhere {
            match added.iter_mut().find(|known| known.limit_use == *limit_use) {
                Some(known) => known.amount_minor = known.amount_minor.saturating_add(amount_minor),
                None => added.push(AddedUse {
                    limit_use: *limit_use,
                    amount_minor,
                }),
            }
            all.push(Moved {
                limit_use: *limit_use,
                amount_minor,
                begins: true,
                is_opening: false,
            });
        }
        self.added = added.into_boxed_slice();
        all
    }

    fn less(&mut self, amount_minor: i64) -> AllMoved {
        let mut all = AllMoved::new();
        let mut taken = LeftOf::new();
        for known in self.added.iter_mut().rev() {
            let left_minor = taken.of(&known.limit_use, amount_minor);
            let here_minor = known.amount_minor.min(*left_minor);
            *left_minor -= here_minor;
            known.amount_minor -= here_minor;
            all.push(Moved {
                limit_use: known.limit_use,
                amount_minor: -here_minor,
                begins: false,
                is_opening: false,
            });
        }
        for opened in &self.opened {
            all.push(Moved {
                limit_use: *opened,
                amount_minor: -*taken.of(opened, amount_minor),
                begins: false,
                is_opening: true,
            });
        }
        if self.added.iter().any(|known| known.amount_minor == 0) {
            let added = self.added.iter().copied();
            self.added = added.filter(|known| known.amount_minor > 0).collect();
        }
        all
    }
}

/// What is still to be taken off each limit.
struct LeftOf(SmallVec<[(Scope, LimitId, i64); 8]>);

impl LeftOf {
    fn new() -> LeftOf {
        LeftOf(SmallVec::new())
    }

    fn of(&mut self, limit_use: &LimitUse, amount_minor: i64) -> &mut i64 {
        let (scope, limit_id) = (limit_use.scope, limit_use.limit_id);
        let known = self
            .0
            .iter()
            .position(|left| (left.0, left.1) == (scope, limit_id));
        let place = known.unwrap_or_else(|| {
            self.0.push((scope, limit_id, amount_minor));
            self.0.len() - 1
        });
        &mut self.0[place].2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(scope: Scope, id: u64, end: u32) -> LimitUse {
        LimitUse::new(scope, LimitId(id), CountedIn::Window(WindowEnd(end)))
    }

    fn amounts(moved: &AllMoved) -> Vec<(u32, i64)> {
        let moved = moved.iter().filter(|moved| moved.amount_minor != 0);
        moved
            .map(|moved| (moved.limit_use.window, moved.amount_minor))
            .collect()
    }

    #[test]
    fn what_is_added_in_a_later_window_counts_there_and_goes_from_there_first() {
        let [monday, tuesday, wednesday] = [1, 2, 3].map(|end| day(Scope::Card, 7, end));
        let mut uses = Uses::of_opening(&[monday]);
        assert_eq!(amounts(&uses.moved(5, &[monday])), [(1, 5)]);
        assert_eq!(amounts(&uses.moved(10, &[tuesday])), [(2, 10)]);
        assert_eq!(amounts(&uses.moved(3, &[wednesday])), [(3, 3)]);
        // What the network posts above the hold counts with the opening.
        assert_eq!(amounts(&uses.moved(1, &[])), [(1, 1)]);
        assert_eq!(amounts(&uses.moved(-8, &[])), [(3, -3), (2, -5)]);
        assert_eq!(uses.added.len(), 1);
        assert_eq!(amounts(&uses.moved(-8, &[])), [(2, -5), (1, -3)]);
        assert!(uses.added.is_empty());
        assert!(uses.are_of(Scope::Card, LimitId(7)) && !uses.are_of(Scope::Account, LimitId(7)));
    }

    #[test]
    fn limits_are_apart_and_one_that_did_not_count_the_opening_gives_no_more_than_was_added() {
        let of_card = [1, 2].map(|end| day(Scope::Card, 7, end));
        let of_account = day(Scope::Account, 7, 2);
        let mut uses = Uses::of_opening(&[of_card[0]]);
        assert_eq!(
            amounts(&uses.moved(5, &[of_card[1], of_account])),
            [(2, 5), (2, 5)]
        );
        assert_eq!(amounts(&uses.moved(-7, &[])), [(2, -5), (2, -5), (1, -2)]);
    }
}

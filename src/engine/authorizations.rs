//! The approved authorizations of a shard. Open ones hold money; closed ones can still be named by a later
//! message for a while. What opening, changing or closing one does to money does not live here.

use super::event::{ApprovalCode, Standing};
use super::facts::{MatchKey, MatchKeys};
use super::first_answer::Answered;
use super::hold_expiry::ByExpiry;
use super::ids::{AccountId, AuthorizationId, CardId};
use super::kinds::Direction;
use super::limit_uses::Uses;
use super::long_list::LongList;
use super::match_index::MatchIndex;
use super::money::{Currency, Money};
use super::postings::Kept;
use super::reason::DeclineReason;
use super::refunds::GivesBack;
pub use super::resolve::Waiting;
use super::slot_index::{Slot, SlotIndex, hash_of_id};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Increments and completions of one authorization that keep names of their own. A reversal of one beyond it finds
/// nothing.
pub(super) const PARTS_MAX: usize = 1_000;

/// An authorization that was approved, by us or by the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    pub id: AuthorizationId,
    pub card_id: CardId,
    pub account_id: AccountId,
    pub direction: Direction,
    /// What is set aside for it, and not posted yet.
    pub held: InBoth,
    /// What was posted for it and was not returned; below zero for a credit.
    pub posted: InBoth,
    /// What we kept of it.
    pub kept: Kept,
    pub placed_at: Timestamp,
    pub expires_at: Timestamp,
    pub approval_code: ApprovalCode,
    pub match_keys: MatchKeys,
    pub uses: Uses,
    /// In the order in which they came.
    pub parts: Box<[Part]>,
    pub closed: Option<Closed>,
    /// What it was opened with, held or posted.
    pub opened: InBoth,
    /// A single message or a force post: it was posted when it was opened.
    pub posted_at_once: bool,
    /// The transaction's, in which the amounts above have their second part.
    pub currency: Currency,
    /// Of a refund: what it has given back of limits, and not taken again.
    pub gave_back: GivesBack,
    /// The customer has not decided yet.
    pub waiting: Option<Box<Waiting>>,
    /// Of one that a request opened.
    pub answered: Option<Answered>,
    /// The network has changed it since it was opened.
    pub is_amended: bool,
    /// When it was put back into memory, of one that was closed before: it is remembered from then on.
    pub recalled_at: Option<Timestamp>,
    /// The one that an advice opened in the place of this one, after it was over.
    pub stood_in_by: Option<AuthorizationId>,
    /// Of two states of one authorization the later has more.
    pub changes: u32,
    /// The lock of its card to a merchant that rests on it (see `card_use.rs`); 0 for none.
    pub lock: u32,
    /// Its cardholder was authenticated for what it was opened with.
    pub is_authenticated: bool,
}

/// An amount in minor units of the account's currency, and of the transaction's.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InBoth {
    pub account_minor: i64,
    pub transaction_minor: i64,
}

impl InBoth {
    pub fn plus(self, other: InBoth) -> InBoth {
        InBoth {
            account_minor: self.account_minor.saturating_add(other.account_minor),
            transaction_minor: self
                .transaction_minor
                .saturating_add(other.transaction_minor),
        }
    }

    pub fn minus(self, other: InBoth) -> InBoth {
        InBoth {
            account_minor: self.account_minor.saturating_sub(other.account_minor),
            transaction_minor: self
                .transaction_minor
                .saturating_sub(other.transaction_minor),
        }
    }

    pub fn negative(self) -> InBoth {
        InBoth::default().minus(self)
    }
}

/// A later message that changed the authorization, and can be reversed by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub kind: PartKind,
    /// What it came with, whatever was undone of it since.
    pub amount: InBoth,
    pub match_keys: MatchKeys,
    pub at: Timestamp,
    pub is_undone: bool,
    /// What a reversal of it alone took back.
    pub undone: InBoth,
    /// An increment with a message after it that stated the whole of the hold, or what is to stay: this amount is in that.
    pub is_superseded: bool,
    /// Of one that a request made, or a reversal.
    pub answered: Option<Answered>,
}

impl Part {
    pub fn left(&self) -> InBoth {
        self.amount.minus(self.undone)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartKind {
    Increment,
    Completion,
    /// A reversal that said what is to stay. It has no names of its own.
    Rest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    pub at: Timestamp,
    pub by: ClosedBy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClosedBy {
    /// By time or by hand, before all of it was posted.
    Release,
    Completion,
    Reversal,
}

impl ClosedBy {
    /// What a standing says of how it was closed; nothing of an open one.
    pub fn of(standing: Standing) -> Option<ClosedBy> {
        match standing {
            Standing::Pending | Standing::PartiallyCleared => None,
            Standing::Expired => Some(ClosedBy::Release),
            Standing::Cleared => Some(ClosedBy::Completion),
            Standing::Reversed => Some(ClosedBy::Reversal),
        }
    }
}

impl Authorization {
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    pub fn is_closed_by(&self, by: ClosedBy) -> bool {
        self.closed.is_some_and(|closed| closed.by == by)
    }

    /// Where it stands with so much posted, still open or ended by `closed`.
    pub fn standing(closed: Option<ClosedBy>, posted_minor: i64) -> Standing {
        match closed {
            None if posted_minor == 0 => Standing::Pending,
            None => Standing::PartiallyCleared,
            Some(ClosedBy::Release) => Standing::Expired,
            Some(ClosedBy::Completion) => Standing::Cleared,
            Some(ClosedBy::Reversal) => Standing::Reversed,
        }
    }

    /// How it ends when its hold does, without a reversal.
    pub fn ends_by(&self) -> ClosedBy {
        match self.posted.account_minor {
            0 => ClosedBy::Release,
            _ => ClosedBy::Completion,
        }
    }

    /// A transaction's amount in the currency of this one. A later message may be in another currency: then it is as
    /// much as the same in the account's currency was when this was opened.
    pub fn in_its_currency(&self, transaction: Money, account_minor: i64) -> i64 {
        let stated = transaction.currency;
        let InBoth {
            account_minor: of_minor,
            transaction_minor,
        } = self.opened;
        if stated == self.currency || stated == Currency::ABSENT || of_minor == 0 {
            return transaction.amount_minor;
        }
        let size = |minor: i64| u128::from(minor.unsigned_abs());
        let share = (size(account_minor) * size(transaction_minor)).div_ceil(size(of_minor));
        i64::try_from(share).unwrap_or(i64::MAX)
    }

    /// What limits count for it: what is held, and what was posted.
    pub fn stands_at(&self) -> InBoth {
        self.held.plus(self.posted)
    }

    /// The requests that made it what it is, each with its answer.
    pub fn answered(&self) -> impl Iterator<Item = &Answered> {
        let of_parts = self.parts.iter().filter_map(|part| part.answered.as_ref());
        self.answered.iter().chain(of_parts)
    }

    /// By us, and not by the network: it was late, or its customer declined it. What the network posted after that, it
    /// may reverse itself.
    pub fn was_taken_back(&self) -> bool {
        let by_network = DeclineReason::ReversedBeforeOriginal;
        let answer = self.answered.map(|answered| answered.answer);
        let declined = answer.and_then(|answer| answer.declined());
        self.is_closed_by(ClosedBy::Reversal)
            && self.parts.iter().all(|part| part.kind == PartKind::Rest)
            && declined.is_some_and(|by| by != by_network)
    }

    /// From when on a closed one is remembered; `None` of an open one.
    pub fn remembered_from(&self) -> Option<Timestamp> {
        let closed = self.closed?;
        Some(self.recalled_at.map_or(closed.at, |at| at.max(closed.at)))
    }

    /// When it last changed its standing.
    pub fn latest(&self) -> Timestamp {
        self.closed.map_or(self.placed_at, |closed| closed.at)
    }
}

/// Authorizations by id and by name. The slot of a forgotten one goes to the next.
#[derive(Debug, Clone, Default)]
pub struct Authorizations {
    slots: LongList<Option<Authorization>>,
    free: Vec<Slot>,
    by_id: SlotIndex,
    by_name: MatchIndex<Slot>,
    by_expiry: ByExpiry,
    /// Those that wait for their customer.
    waiting: ByExpiry,
    /// In the order of closing and recalling; an entry counts while its authorization is remembered from that time on.
    closed: VecDeque<(Timestamp, AuthorizationId)>,
    closed_count: usize,
}

impl Authorizations {
    pub fn get(&self, id: AuthorizationId) -> Option<&Authorization> {
        self.slots[self.slot(id)?].as_ref()
    }

    /// To change what it stands at; how it closes, expires and is named goes through the functions below.
    pub(super) fn get_mut(&mut self, id: AuthorizationId) -> Option<&mut Authorization> {
        let slot = self.slot(id)?;
        let authorization = self.slots[slot].as_mut()?;
        authorization.changes += 1;
        Some(authorization)
    }

    pub fn contains(&self, id: AuthorizationId) -> bool {
        self.slot(id).is_some()
    }

    /// Those of this card that have this name, or a part with it, in no order. Which is meant is told in
    /// `matching.rs`.
    pub fn named(&self, card_id: CardId, name: MatchKey) -> impl Iterator<Item = &Authorization> {
        let slots = self.by_name.find(card_id, name);
        slots.filter_map(|slot| self.slots[slot].as_ref())
    }

    fn slot(&self, id: AuthorizationId) -> Option<Slot> {
        self.by_id.find(hash_of_id(id.0), |slot| {
            let authorization = &self.slots[slot];
            authorization.as_ref().is_some_and(|known| known.id == id)
        })
    }

    /// Reads the place of this id (see `touch.rs`).
    pub(super) fn touch(&self, id: AuthorizationId) -> u64 {
        self.by_id.touch(hash_of_id(id.0))
    }

    /// Reads the place of this name (see `touch.rs`).
    pub(super) fn touch_name(&self, card_id: CardId, name: MatchKey) -> u64 {
        let slot = self.by_name.find(card_id, name).next();
        slot.map_or(0, u64::from)
    }

    /// Adds one, whose id no other has. Closed ones have to come in the order of closing.
    pub(super) fn insert(&mut self, authorization: Authorization) {
        let (id, card_id) = (authorization.id, authorization.card_id);
        match authorization.remembered_from() {
            None => self.by_expiry.insert(authorization.expires_at, id),
            Some(from) => {
                self.closed.push_back((from, id));
                self.closed_count += 1;
            }
        }
        if let Some(waiting) = &authorization.waiting {
            self.waiting.insert(waiting.until, id);
        }
        let names = names_of(&authorization);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(authorization);
                slot
            }
            None => self.slots.push(Some(authorization)),
        };
        self.by_id.insert(hash_of_id(id.0), slot);
        for name in names {
            self.by_name.insert(card_id, name, slot);
        }
    }

    /// Notes how an open one ended, or what became of one closed before; it is remembered from now on.
    pub(super) fn close(&mut self, id: AuthorizationId, at: Timestamp, by: ClosedBy) {
        let Some(slot) = self.slot(id) else {
            return;
        };
        let Some(authorization) = &mut self.slots[slot] else {
            return;
        };
        if authorization.is_open() {
            self.by_expiry.remove(authorization.expires_at, id);
            self.closed_count += 1;
        }
        let before = authorization.remembered_from();
        authorization.closed = Some(Closed { at, by });
        authorization.changes += 1;
        self.remember(before, at, id);
    }

    /// Queues a closed one to be forgotten, but once for each time from which it is remembered: a second entry would
    /// outlive it, and stand for the next that is put back at that time.
    fn remember(&mut self, before: Option<Timestamp>, at: Timestamp, id: AuthorizationId) {
        if before != Some(at) {
            self.closed.push_back((at, id));
        }
    }

    /// Remembers a closed one from now on, put back where it was forgotten.
    pub(super) fn recall(&mut self, authorization: &Authorization, at: Timestamp) {
        let id = authorization.id;
        match self.get_mut(id) {
            Some(known) => {
                let before = known.remembered_from();
                known.recalled_at = Some(at);
                self.remember(before, at, id);
            }
            None => self.insert(Authorization {
                recalled_at: Some(at),
                changes: authorization.changes + 1,
                ..authorization.clone()
            }),
        }
    }

    /// Ends the wait for the customer, whoever decided.
    pub(super) fn stop_waiting(&mut self, id: AuthorizationId) -> Option<Box<Waiting>> {
        let waiting = self.get_mut(id)?.waiting.take()?;
        self.waiting.remove(waiting.until, id);
        Some(waiting)
    }

    /// The one that waits for its customer the shortest, and until when.
    pub fn first_to_resolve(&self) -> Option<(Timestamp, &Authorization)> {
        let (until, id) = self.waiting.first()?;
        Some((until, self.get(id)?))
    }

    pub(super) fn set_expiry(&mut self, id: AuthorizationId, expires_at: Timestamp) {
        let Some(slot) = self.slot(id) else {
            return;
        };
        if let Some(authorization) = &mut self.slots[slot]
            && authorization.is_open()
        {
            self.by_expiry.remove(authorization.expires_at, id);
            self.by_expiry.insert(expires_at, id);
            authorization.expires_at = expires_at;
        }
    }

    pub(super) fn add_part(&mut self, id: AuthorizationId, part: Part) {
        let Some(slot) = self.slot(id) else {
            return;
        };
        let Some(authorization) = &mut self.slots[slot] else {
            return;
        };
        if authorization.parts.len() >= PARTS_MAX {
            return;
        }
        let card_id = authorization.card_id;
        let mut known = names_of(authorization);
        for name in part.match_keys.stated() {
            if !known.contains(&name) {
                self.by_name.insert(card_id, name, slot);
                known.push(name);
            }
        }
        let mut parts = std::mem::take(&mut authorization.parts).into_vec();
        parts.push(part);
        authorization.parts = parts.into_boxed_slice();
        authorization.changes += 1;
    }

    fn remove(&mut self, id: AuthorizationId) -> Option<Authorization> {
        let slot = self.slot(id)?;
        self.by_id.remove(hash_of_id(id.0), slot);
        let removed = self.slots[slot].take();
        if let Some(authorization) = &removed {
            for name in names_of(authorization) {
                self.by_name.remove(authorization.card_id, name, slot);
            }
        }
        self.free.push(slot);
        removed
    }

    /// Frees what is remembered for `retention_ms` or longer before `now`, and the oldest of more than `closed_max`;
    /// no more than two at once (see `Recent::forget`).
    pub(super) fn forget(
        &mut self,
        now: Timestamp,
        retention_ms: i64,
        closed_max: u64,
        mut take: impl FnMut(Authorization),
    ) {
        for _ in 0..2 {
            let Some((at, id)) = self.closed.front().copied() else {
                break;
            };
            let from = self.get(id).and_then(Authorization::remembered_from);
            if from != Some(at) {
                // It changed its standing or was recalled later, or is gone.
                self.closed.pop_front();
                continue;
            }
            if at.plus_ms(retention_ms) > now && self.closed_count as u64 <= closed_max {
                break;
            }
            self.closed.pop_front();
            self.closed_count -= 1;
            if let Some(forgotten) = self.remove(id) {
                take(forgotten);
            }
        }
    }

    /// The one whose hold ends first, and when.
    pub fn first_to_expire(&self) -> Option<(Timestamp, &Authorization)> {
        let (expires_at, id) = self.by_expiry.first()?;
        Some((expires_at, self.get(id)?))
    }

    /// In no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &Authorization> {
        self.slots.iter().flatten()
    }

    pub fn open(&self) -> impl Iterator<Item = &Authorization> {
        self.iter().filter(|authorization| authorization.is_open())
    }

    pub fn open_len(&self) -> usize {
        self.by_id.len() - self.closed_count
    }

    pub fn closed_len(&self) -> usize {
        self.closed_count
    }
}

/// Each name of it and of its parts, once.
pub fn names_of(authorization: &Authorization) -> SmallVec<[MatchKey; MatchKeys::NAMES_MAX]> {
    let own = authorization.match_keys.stated();
    let parts = authorization.parts.iter();
    let of_parts = parts.flat_map(|part| part.match_keys.stated());
    let mut names = SmallVec::new();
    for name in own.chain(of_parts) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
#[path = "authorizations_tests.rs"]
mod tests;

//! The state of one shard: account trees with their cards, holds, counters and first answers.
//! How it changes does not live here (see `apply.rs`).

use super::authorizations::Authorizations;
use super::card_history::CardHistory;
use super::card_use::{CardUse, LockedMerchant};
use super::cardholders::Holder;
use super::command::CardType;
use super::controls::Controls;
use super::counters::Counters;
use super::facts::RepeatKey;
use super::fees::charge::DeclineFees;
use super::fees::monthly::Month;
use super::first_answer::FirstAnswer;
use super::ids::{AccountId, AuthorizationId, CardId, LinkId, ProgramId, TopUpId};
use super::long_list::LongList;
use super::money::Currency;
use super::recall::Outbox;
use super::recent::Recent;
use super::registry::RegistryView;
use super::reissue::Chain;
use super::reversals::Reversals;
use super::shared_counters::SharedCounters;
use super::shipping::Shipping;
use super::slot_index::{Slot, SlotIndex, hash_of_id};
use super::time::{Expiry, Timestamp};
use super::tokens::Tokens;
use super::top_ups::TopUps;
use super::transfers::Transfers;
use super::verification_tries::VerificationTries;
use super::wallet::Wallet;
use super::watch::Watch;
use super::watched::Watched;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// Everything that one shard decides on.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub registry: Arc<RegistryView>,
    /// The latest time of any command applied; commands never carry an earlier one.
    pub now: Timestamp,
    pub accounts: LongList<Account>,
    pub cards: LongList<Card>,
    pub account_slots: SlotIndex,
    pub card_slots: SlotIndex,
    pub authorizations: Authorizations,
    pub first_answers: Recent<RepeatKey, FirstAnswer>,
    /// Reversals of what had not come yet.
    pub early_reversals: Reversals,
    /// Top-ups already posted, by id, so that none is posted twice.
    pub top_ups: Recent<TopUpId, AccountId>,
    pub shared_controls: SharedControls,
    /// What was forgotten of the above, on its way to where it is kept. No decision looks at it.
    pub outbox: Outbox,
    /// Of limits that are of no account, program or card.
    pub shared_counters: SharedCounters,
    pub transfers: Transfers,
    /// Top-ups in two steps.
    pub announced: TopUps,
    pub watched: Watched,
    pub tokens: Tokens,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountStatus {
    Active,
    Frozen,
    Closed,
}

impl AccountStatus {
    pub fn name(self) -> &'static str {
        match self {
            AccountStatus::Active => "active",
            AccountStatus::Frozen => "frozen",
            AccountStatus::Closed => "closed",
        }
    }
}

/// An account. Amounts in minor units of its currency; available = posted - held + credit line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: AccountId,
    pub root: AccountId,
    pub parent_id: Option<AccountId>,
    pub program_id: ProgramId,
    pub currency: Currency,
    pub status: AccountStatus,
    pub posted_minor: i64,
    pub held_minor: i64,
    pub credit_line_minor: i64,
    /// The other side of money that came in for this account.
    pub funds_received_minor: i64,
    /// The other side of its payments and refunds. `posted`, `funds received`, this and the sums at the end (but for
    /// what is in transit) are zero together.
    pub network_settlement_minor: i64,
    pub open_holds: u32,
    /// Accounts right below this one that are not closed.
    pub open_sub_accounts: u32,
    pub created_at: Timestamp,
    pub name: Option<Box<str>>,
    /// Stored apart, once for all who share them (see `snapshot.rs`).
    #[serde(skip)]
    pub controls: Option<Arc<Controls>>,
    pub counters: Counters,
    /// Of a root account: the uses of its program's limits by the whole tree.
    pub program_counters: Counters,
    /// What rounding left of conversions for this account.
    pub rounding_minor: i64,
    /// What the program added to conversions for this account.
    pub mark_up_minor: i64,
    /// The other side of transfers; over all accounts it sums up to what is in transit.
    pub transfers_minor: i64,
    /// What has left for other trees, and has not arrived yet or may come back.
    pub in_transit_minor: i64,
    /// Of one that has a threshold or a rule, or had.
    pub watch: Option<Box<Watch>>,
    /// The other side of what it paid in fees, and of what the reseller added to them.
    pub fees_minor: i64,
    pub reseller_mark_up_minor: i64,
}

impl Account {
    pub fn available_minor(&self) -> i64 {
        self.posted_minor
            .saturating_sub(self.held_minor)
            .saturating_add(self.credit_line_minor)
    }
}

/// A card's own status; its links may make the effective one worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CardStatus {
    Active,
    Inactive,
    Frozen,
    /// Before it was activated; unfreezing leaves it inactive.
    FrozenInactive,
    Blocked,
    Closed,
    BlockedLost,
    BlockedStolen,
    BlockedFraud,
    /// Closed when it was reissued for this reason.
    ClosedLost,
    ClosedStolen,
    ClosedFraud,
}

impl CardStatus {
    pub fn name(self) -> &'static str {
        match self {
            CardStatus::Active => "active",
            CardStatus::Inactive => "inactive",
            CardStatus::Frozen | CardStatus::FrozenInactive => "frozen",
            CardStatus::Blocked
            | CardStatus::BlockedLost
            | CardStatus::BlockedStolen
            | CardStatus::BlockedFraud => "blocked",
            CardStatus::Closed
            | CardStatus::ClosedLost
            | CardStatus::ClosedStolen
            | CardStatus::ClosedFraud => "closed",
        }
    }

    /// Why it is blocked or closed, where that was said.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            CardStatus::BlockedLost | CardStatus::ClosedLost => Some("lost"),
            CardStatus::BlockedStolen | CardStatus::ClosedStolen => Some("stolen"),
            CardStatus::BlockedFraud | CardStatus::ClosedFraud => Some("fraud"),
            _ => None,
        }
    }

    pub fn is_blocked(self) -> bool {
        self.name() == CardStatus::Blocked.name()
    }

    pub fn is_closed(self) -> bool {
        self.name() == CardStatus::Closed.name()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    pub id: CardId,
    pub account_id: AccountId,
    /// Where the account is in `State::accounts`; not stored, found again when restored.
    #[serde(skip)]
    pub account_slot: Slot,
    pub first6: u32,
    pub last4: u16,
    pub expiry: Expiry,
    pub status: CardStatus,
    pub card_type: CardType,
    pub created_at: Timestamp,
    pub links: SmallVec<[LinkId; 2]>,
    /// Stored apart, once for all who share them (see `snapshot.rs`).
    #[serde(skip)]
    pub controls: Option<Arc<Controls>>,
    pub counters: Counters,
    /// Of one with a control that looks at it.
    pub card_use: Option<Box<CardUse>>,
    /// Further accounts to draw on; few cards have any.
    pub wallet: Option<Box<Wallet>>,
    /// Of one whose program has had rules that ask for it.
    pub history: Option<Box<CardHistory>>,
    pub holder: Option<Holder>,
    /// Of one that replaced another or was replaced.
    pub chain: Option<Box<Chain>>,
    /// The last month that it was charged for.
    pub fees_through: Option<Month>,
    /// Of a physical one whose making and sending is told.
    pub shipping: Option<Box<Shipping>>,
    /// That its expiry has passed is recorded.
    pub is_expired: bool,
    /// Of one that was charged for declines by a schedule that counts them.
    pub decline_fees: Option<DeclineFees>,
    pub verification_tries: VerificationTries,
}

impl Card {
    pub fn used_by(&self) -> Option<AuthorizationId> {
        self.card_use.as_ref()?.used_by
    }

    pub fn locked_to(&self) -> Option<&LockedMerchant> {
        self.card_use.as_ref()?.locked_to.as_ref()
    }

    /// A card without a cardholder is one of somebody unknown.
    pub fn is_verified(&self) -> bool {
        self.holder.is_some_and(|holder| holder.verified)
    }

    /// The merchant it was locked to is forgotten.
    pub(super) fn unlock_merchant(&mut self) {
        if let Some(card_use) = &mut self.card_use {
            card_use.locked_to = None;
        }
    }

    /// What used it was reversed, whole and before anything of it was posted.
    pub(super) fn give_back_use(&mut self, authorization_id: AuthorizationId) {
        if let Some(card_use) = &mut self.card_use
            && card_use.used_by == Some(authorization_id)
        {
            card_use.used_by = None;
        }
    }

    /// A payment on which this lock rested was declined after all.
    pub(super) fn give_back_lock(&mut self, lock: u32) {
        if let Some(card_use) = &mut self.card_use {
            card_use.give_back_lock(lock);
        }
    }
}

impl State {
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.account_slot(id).map(|slot| &self.accounts[slot])
    }

    pub fn card(&self, id: CardId) -> Option<&Card> {
        self.card_slot(id).map(|slot| &self.cards[slot])
    }

    /// To change it; what is watched on it, or waits for it, is looked at again.
    pub(super) fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        let slot = self.account_slot(id)?;
        let account = &mut self.accounts[slot];
        self.watched.touch(account);
        Some(account)
    }

    pub(super) fn card_mut(&mut self, id: CardId) -> Option<&mut Card> {
        self.card_slot(id).map(|slot| &mut self.cards[slot])
    }

    pub(super) fn account_slot(&self, id: AccountId) -> Option<Slot> {
        self.account_slots
            .find(hash_of_id(id.0), |slot| self.accounts[slot].id == id)
    }

    pub(super) fn card_slot(&self, id: CardId) -> Option<Slot> {
        self.card_slots
            .find(hash_of_id(id.0), |slot| self.cards[slot].id == id)
    }

    /// A card of this tree; a card of another tree is not known to it, whatever shard it is in.
    pub fn card_of_tree(&self, root: AccountId, id: CardId) -> Option<&Card> {
        self.card(id)
            .filter(|card| self.account_of(card).root == root)
    }

    pub fn account_of_tree(&self, root: AccountId, id: AccountId) -> Option<&Account> {
        self.account(id).filter(|account| account.root == root)
    }

    /// The accounts above this one, from its parent to the root of its tree.
    pub fn above<'a>(&'a self, account: &'a Account) -> impl Iterator<Item = &'a Account> {
        let parent = |account: &Account| self.account(account.parent_id?);
        std::iter::successors(parent(account), move |above| parent(above))
    }

    /// The account that `card` draws on.
    pub fn account_of(&self, card: &Card) -> &Account {
        &self.accounts[card.account_slot]
    }
}

/// One copy of each set of controls, however many cards have it, and how many do.
#[derive(Debug, Clone, Default)]
pub struct SharedControls(HashMap<Arc<Controls>, u32>);

impl SharedControls {
    /// The shared copy of these controls, for one more user; nothing where there are none.
    pub fn share(&mut self, controls: &Controls) -> Option<Arc<Controls>> {
        if controls.is_empty() {
            return None;
        }
        if let Some((shared, users)) = self.0.get_key_value_mut(controls) {
            *users += 1;
            return Some(Arc::clone(shared));
        }
        let shared = Arc::new(controls.clone());
        self.0.insert(Arc::clone(&shared), 1);
        Some(shared)
    }

    /// One user fewer; the copy goes with the last.
    pub fn release(&mut self, controls: &Controls) {
        if let Some(users) = self.0.get_mut(controls) {
            *users -= 1;
            if *users == 0 {
                self.0.remove(controls);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_shared_and_go_with_their_last_user() {
        let of = |amount_minor| Controls {
            limits: vec![crate::engine::controls::Limit {
                id: crate::engine::ids::LimitId(1),
                window: crate::engine::controls::Window::Day,
                amount_minor: Some(amount_minor),
                count: None,
                time_zone: "UTC".into(),
                filter: None,
                refunds_restore: false,
            }],
            ..Controls::default()
        };
        let (small, large) = (of(1), of(2));
        let mut shared = SharedControls::default();
        let first = shared.share(&small).unwrap();
        assert!(Arc::ptr_eq(&first, &shared.share(&small).unwrap()));
        shared.share(&large);
        assert_eq!(
            (shared.len(), shared.share(&Controls::default())),
            (2, None)
        );
        shared.release(&small);
        shared.release(&large);
        assert_eq!(shared.len(), 1);
        shared.release(&small);
        assert!(shared.is_empty());
    }
}

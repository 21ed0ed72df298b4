//! What is set on an account after it was opened (name, controls, credit line), and what is watched on it: a threshold
//! under which its balance is low, and a rule that tops it up from another account of its tree. What has to be done
//! follows from the state alone, and is a command of its own right after the one that made it so; the loop of the shard
//! asks `due` for it.

use super::command::Command;
use super::controls::Controls;
use super::decide::Outcome;
use super::event::{Event, LedgerAccount, Refusal};
use super::funding::is_active;
use super::ids::{AccountId, TransferId};
use super::money::{BALANCE_MAX_MINOR, Money};
use super::state::{Account, AccountStatus, State};
use super::time::Timestamp;
use super::transfers::{self, KnownTransfer, Transfer, TransferStatus, Transferred};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Auto top-ups of one account in a day at most, whatever its rule says.
pub const PER_DAY_MAX: u16 = 100;

const DAY_MS: i64 = 24 * 3_600_000;

/// Tops an account up when it has less than so much available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoTopUpRule {
    pub below_minor: i64,
    /// Moved each time, or as much of it as the other account has.
    pub amount_minor: i64,
    /// In a day (UTC).
    pub per_day_max: u16,
    /// An account of the same tree; its parent where none is named.
    pub from_account_id: Option<AccountId>,
}

/// What is watched on one account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    pub low_below_minor: Option<i64>,
    pub auto_top_up: Option<AutoTopUpRule>,
    /// It was told, and there is not enough again yet.
    pub is_low: bool,
    /// The day (since 1970, UTC) of the last auto top-up, and how many it had.
    pub day: i64,
    pub made: u16,
    /// The last auto top-up failed, and nothing could be moved since: it is tried again when something can.
    pub is_dry: bool,
}

/// Accounts with a watch, by their trees. Follows from the accounts, and so is not stored.
pub type Watched = BTreeMap<AccountId, BTreeSet<AccountId>>;

/// New values; what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeAccount {
    pub account_id: AccountId,
    pub name: Option<Box<str>>,
    pub controls: Option<Controls>,
    pub credit_line_minor: Option<i64>,
    /// Nothing inside takes it away.
    pub low_below_minor: Option<Option<i64>>,
    pub auto_top_up: Option<Option<AutoTopUpRule>>,
}

impl ChangeAccount {
    pub fn nothing(account_id: AccountId) -> ChangeAccount {
        ChangeAccount {
            account_id,
            name: None,
            controls: None,
            credit_line_minor: None,
            low_below_minor: None,
            auto_top_up: None,
        }
    }
}

/// An account has less available than its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteLowBalance {
    pub account_id: AccountId,
}

/// A rule moves money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoTopUp {
    pub transfer_id: TransferId,
    pub account_id: AccountId,
}

/// What it moved, or could not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoToppedUp {
    pub transfer: Transfer,
    pub transferred: Transferred,
}

/// What is to be done for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    AutoTopUp(AccountId),
    LowBalance(AccountId),
}

/// The first thing to be done in this tree. Money first: what it makes good is not told as low.
pub fn due(state: &State, root: AccountId, at: Timestamp) -> Option<Due> {
    let watched = state.watched.get(&root)?;
    let accounts = || watched.iter().filter_map(|id| state.account(*id));
    let mut all = accounts();
    let first = all.find(|account| rule_due(account, at).is_some());
    let first = first.map(|account| Due::AutoTopUp(account.id));
    first.or_else(|| {
        let low = accounts().find(|account| falls_low(account));
        low.map(|account| Due::LowBalance(account.id))
    })
}

fn rule_due(account: &Account, at: Timestamp) -> Option<&AutoTopUpRule> {
    let watch = account.watch.as_deref()?;
    let rule = watch.auto_top_up.as_ref()?;
    let made = match watch.day == day_of(at) {
        true => watch.made,
        false => 0,
    };
    let is_due = account.status == AccountStatus::Active
        && account.available_minor() < rule.below_minor
        && made < rule.per_day_max
        && !watch.is_dry;
    is_due.then_some(rule)
}

fn falls_low(account: &Account) -> bool {
    let watch = account.watch.as_deref();
    watch.is_some_and(|watch| !watch.is_low && is_below(account, watch))
}

fn is_below(account: &Account, watch: &Watch) -> bool {
    let threshold = watch.low_below_minor;
    threshold.is_some_and(|below| account.available_minor() < below)
}

fn day_of(at: Timestamp) -> i64 {
    at.0.div_euclid(DAY_MS)
}

pub(super) fn decide_change(state: &State, command: &Command, change: &ChangeAccount) -> Outcome {
    let id = change.account_id;
    let Some(account) = state.account_of_tree(command.root, id) else {
        return Outcome::Refused(Refusal::AccountNotFound(id));
    };
    if account.status == AccountStatus::Closed {
        return Outcome::Refused(Refusal::AccountStatusForbids(account.status));
    }
    let controls = change.controls.as_ref();
    if let Some(limit_id) = controls.and_then(Controls::limit_id_twice) {
        return Outcome::Refused(Refusal::LimitIdTwice(limit_id));
    }
    let range = 0..=BALANCE_MAX_MINOR;
    if change
        .credit_line_minor
        .is_some_and(|line| !range.contains(&line))
    {
        return Outcome::Refused(Refusal::AmountOutOfRange);
    }
    if let Some(Some(rule)) = change.auto_top_up {
        let source = rule.from_account_id.or(account.parent_id);
        let source = source.filter(|source| *source != id);
        let is_there = source.is_some_and(|id| state.account_of_tree(command.root, id).is_some());
        if !is_there {
            return Outcome::Refused(Refusal::NoSourceOfAutoTopUp);
        }
        if rule.amount_minor <= 0 || rule.per_day_max > PER_DAY_MAX {
            return Outcome::Refused(Refusal::AmountOutOfRange);
        }
    }
    Outcome::Event(Event::AccountChanged)
}

pub(super) fn apply_change(state: &mut State, change: &ChangeAccount) {
    let mut controls = match &change.controls {
        Some(controls) => Some(state.shared_controls.share(controls)),
        None => None,
    };
    let Some(account) = state.account_mut(change.account_id) else {
        return;
    };
    if let Some(name) = &change.name {
        account.name = Some(name.clone());
    }
    if let Some(controls) = &mut controls {
        std::mem::swap(&mut account.controls, controls);
    }
    account.credit_line_minor = change
        .credit_line_minor
        .unwrap_or(account.credit_line_minor);
    if change.low_below_minor.is_some() || change.auto_top_up.is_some() {
        let watch = account.watch.get_or_insert_default();
        watch.low_below_minor = change.low_below_minor.unwrap_or(watch.low_below_minor);
        watch.auto_top_up = change.auto_top_up.unwrap_or(watch.auto_top_up);
        watch.is_dry = false;
    }
    let (root, id, is_watched) = (account.root, account.id, account.watch.is_some());
    if is_watched {
        state.watched.entry(root).or_default().insert(id);
    }
    if let Some(before) = controls.flatten() {
        state.shared_controls.release(&before);
    }
}

pub(super) fn decide_low(state: &State, command: &Command, low: &NoteLowBalance) -> Outcome {
    let account = state.account_of_tree(command.root, low.account_id);
    match account.filter(|account| falls_low(account)) {
        Some(account) => Outcome::Event(Event::BalanceLow {
            available_minor: account.available_minor(),
        }),
        None => Outcome::AlreadyDone,
    }
}

pub(super) fn apply_low(state: &mut State, low: &NoteLowBalance) {
    let account = state.account_mut(low.account_id);
    if let Some(watch) = account.and_then(|account| account.watch.as_deref_mut()) {
        watch.is_low = true;
    }
}

/// There is enough again, or something to be moved: the next time that there is not will be told.
pub(super) fn note_risen(state: &mut State, root: AccountId) {
    let Some(watched) = state.watched.get(&root) else {
        return;
    };
    for id in watched.clone() {
        let still_dry = state.account(id).is_some_and(|account| {
            let dry = account.watch.as_deref().filter(|watch| watch.is_dry);
            let rule = dry.and_then(|watch| watch.auto_top_up.as_ref());
            rule.is_some_and(|rule| movable(state, account, rule).is_none())
        });
        let Some(account) = state.account_mut(id) else {
            continue;
        };
        let still_low = account
            .watch
            .as_deref()
            .is_some_and(|watch| is_below(account, watch));
        if let Some(watch) = &mut account.watch {
            watch.is_low &= still_low;
            watch.is_dry &= still_dry;
        }
    }
}

/// What a rule would move now, where that is anything.
fn movable(state: &State, account: &Account, rule: &AutoTopUpRule) -> Option<i64> {
    let source_id = rule.from_account_id.or(account.parent_id)?;
    let source = state.account_of_tree(account.root, source_id)?;
    let amount_minor = rule.amount_minor.min(source.available_minor());
    let can = amount_minor > 0
        && is_active(state, source)
        && source.can_move(amount_minor)
        && account.can_receive_transfer(amount_minor);
    can.then_some(amount_minor)
}

pub(super) fn decide_auto(state: &State, command: &Command, auto: &AutoTopUp) -> Outcome {
    let account = state.account_of_tree(command.root, auto.account_id);
    let rule = account.and_then(|account| Some((account, rule_due(account, command.at)?)));
    let Some((account, rule)) = rule else {
        return Outcome::AlreadyDone;
    };
    let moved_minor = movable(state, account, rule);
    let source_id = rule.from_account_id.or(account.parent_id);
    let (from, to) = (source_id.unwrap_or(account.id), account.id);
    let transfer = Transfer {
        id: auto.transfer_id,
        from_account_id: from,
        to_account_id: to,
        to_root: command.root,
        amount: Money {
            amount_minor: moved_minor.unwrap_or(rule.amount_minor),
            currency: account.currency,
        },
    };
    let sides = (LedgerAccount::Customer(from), LedgerAccount::Customer(to));
    let (status, postings) = match moved_minor {
        Some(moved_minor) => (
            TransferStatus::Settled,
            transfers::legs(sides.0, sides.1, moved_minor),
        ),
        None => (TransferStatus::Failed, Box::default()),
    };
    Outcome::Event(Event::AutoToppedUp(Box::new(AutoToppedUp {
        transfer,
        transferred: Transferred {
            status,
            return_reason: None,
            postings,
        },
    })))
}

pub(super) fn apply_auto(state: &mut State, command: &Command, done: &AutoToppedUp) {
    let AutoToppedUp {
        transfer,
        transferred,
    } = done;
    transfers::post_transfer(state, transfer.to_account_id, &transferred.postings);
    let account = state.account_mut(transfer.to_account_id);
    if let Some(watch) = account.and_then(|account| account.watch.as_deref_mut()) {
        let day = day_of(command.at);
        let before = if watch.day == day { watch.made } else { 0 };
        watch.is_dry = transferred.status == TransferStatus::Failed;
        watch.made = before + u16::from(!watch.is_dry);
        watch.day = day;
    }
    let known = KnownTransfer {
        transfer: *transfer,
        status: transferred.status,
        return_reason: None,
        created_at: command.at,
        ended_at: Some(command.at),
    };
    let ended = &mut state.transfers.ended;
    ended.remember(transfer.id, command.at, known);
}

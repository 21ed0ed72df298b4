//! What is set on an account after it was opened (name, controls, credit line), and what is watched on it: a threshold
//! under which its balance is low, and a rule that tops it up from another account of its tree. What has to be done
//! follows from the state and the day, and is a command of its own right after the one that made it so; the loop of the shard
//! asks `look` for it. Which accounts there is a reason to look at is kept in `watched.rs`.

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
use super::watched::{Wait, day_of};
use serde::{Deserialize, Serialize};

/// Auto top-ups of one account in a day at most, whatever its rule says.
pub const PER_DAY_MAX: u16 = 100;

/// Accounts that a rule's money may come through: it is followed to see that it does not come round.
const SOURCES_MAX: usize = 1_000;

/// Tops an account up when it has less than so much available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoTopUpRule {
    pub below_minor: i64,
    /// Moved each time: as many times at once as it takes to have `below_minor`, or as much of it as the other account has.
    pub amount_minor: i64,
    /// Times in a day (UTC).
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
    /// The last auto top-up failed, and was told: the next is made when something can be moved. Until then, or until there
    /// is enough again, nothing more is told.
    pub is_dry: bool,
}

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

/// What one look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// There is no account to look at.
    Over,
    /// Nothing is to be done for this one; there may be others.
    Nothing,
    /// In the tree of this root account.
    Due(AccountId, Due),
}

/// Looks at one account of those that there is a reason to look at. What is due stays so until it is done.
pub fn look(state: &mut State, at: Timestamp) -> Look {
    if let Some(id) = state.watched.first_of_day(at) {
        state.watched.note_changed(id);
        state.watched.set_wait(id, None);
    }
    let Some(id) = state.watched.first_changed() else {
        return Look::Over;
    };
    if let Some(found) = look_at(state, id, at) {
        return found;
    }
    for wait in [Wait::IsActive(id), Wait::HasMoney(id)] {
        let Some(waiting) = state.watched.first_waiting(wait) else {
            continue;
        };
        if let Some(found) = look_at(state, waiting, at) {
            return found;
        }
        // Where this one waits on, the others do too.
        if state.watched.first_waiting(wait) != Some(waiting) {
            return Look::Nothing;
        }
    }
    state.watched.looked_at(id);
    Look::Nothing
}

/// What is due for it, or else it is put down what it waits for. Money first: what it makes good is not told as low.
fn look_at(state: &mut State, id: AccountId, at: Timestamp) -> Option<Look> {
    let account = state.account(id)?;
    let root = account.root;
    let wait = match rule_due(state, account, at) {
        Ok(_) => return Some(Look::Due(root, Due::AutoTopUp(id))),
        Err(wait) => wait,
    };
    let is_low = falls_low(account);
    state.watched.set_wait(id, wait);
    is_low.then_some(Look::Due(root, Due::LowBalance(id)))
}

/// The rule that moves money now, or what it waits for; nothing where something has to happen to the account itself.
fn rule_due<'a>(
    state: &State,
    account: &'a Account,
    at: Timestamp,
) -> Result<&'a AutoTopUpRule, Option<Wait>> {
    let watch = account.watch.as_deref().ok_or(None)?;
    let rule = watch.auto_top_up.as_ref().ok_or(None)?;
    if account.status != AccountStatus::Active || account.available_minor() >= rule.below_minor {
        return Err(None);
    }
    let today = day_of(at);
    if left_of_day(watch, rule, today) == 0 {
        return Err((rule.per_day_max > 0).then_some(Wait::Day(today + 1)));
    }
    match watch.is_dry && movable(state, account, rule, at).is_none() {
        true => Err(obstacle(state, account, rule)),
        false => Ok(rule),
    }
}

/// The account at which it lies that nothing can be moved, where it is another one.
fn obstacle(state: &State, account: &Account, rule: &AutoTopUpRule) -> Option<Wait> {
    let source = source_of(state, account, rule)?;
    let mut line = std::iter::once(source).chain(state.above(source));
    let stopped = line.find(|account| account.status != AccountStatus::Active);
    let stopped = stopped.map(|stopped| Wait::IsActive(stopped.id));
    let is_empty = source.available_minor() <= 0 || !source.can_move(rule.amount_minor);
    stopped.or(is_empty.then_some(Wait::HasMoney(source.id)))
}

fn source_of<'a>(state: &'a State, account: &Account, rule: &AutoTopUpRule) -> Option<&'a Account> {
    let source_id = rule.from_account_id.or(account.parent_id)?;
    state.account_of_tree(account.root, source_id)
}

fn falls_low(account: &Account) -> bool {
    let watch = account.watch.as_deref();
    watch.is_some_and(|watch| !watch.is_low && is_below(account, watch))
}

fn is_below(account: &Account, watch: &Watch) -> bool {
    let threshold = watch.low_below_minor;
    threshold.is_some_and(|below| account.available_minor() < below)
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
        if comes_round(state, account, &rule) {
            return Outcome::Refused(Refusal::AutoTopUpCircular);
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
    // Before, it may not have been watched.
    if let Some(slot) = state.account_slot(change.account_id) {
        state.watched.touch(&state.accounts[slot]);
    }
    if let Some(before) = controls.flatten() {
        state.shared_controls.release(&before);
    }
}

pub(super) fn decide_low(state: &State, command: &Command, low: &NoteLowBalance) -> Outcome {
    let account = state.account_of_tree(command.root, low.account_id);
    let fallen = account
        .filter(|account| falls_low(account))
        .and_then(|account| {
            let watch = account.watch.as_deref()?;
            Some((account, watch.low_below_minor?))
        });
    match fallen {
        Some((account, below_minor)) => Outcome::Event(Event::BalanceLow {
            available_minor: account.available_minor(),
            below_minor,
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

/// Of the accounts to which this command did something: where there is enough again, the next time that there is not will be
/// told. There is a reason to look at all of them.
pub(super) fn note_touched(state: &mut State) {
    while let Some(id) = state.watched.take_touched() {
        state.watched.note_changed(id);
        let Some(slot) = state.account_slot(id) else {
            continue;
        };
        let account = &mut state.accounts[slot];
        let available_minor = account.available_minor();
        if let Some(watch) = &mut account.watch {
            let is_below = |below: i64| available_minor < below;
            let rule = watch.auto_top_up.as_ref();
            watch.is_low &= watch.low_below_minor.is_some_and(is_below);
            watch.is_dry &= rule.is_some_and(|rule| is_below(rule.below_minor));
        }
    }
}

/// Whether the account would be topped up from one that is topped up from it, directly or by others: two such accounts would
/// hand the same money to and fro.
fn comes_round(state: &State, account: &Account, rule: &AutoTopUpRule) -> bool {
    let mut at = source_of(state, account, rule);
    for _ in 0..SOURCES_MAX {
        let Some(source) = at else {
            return false;
        };
        if source.id == account.id {
            return true;
        }
        let watch = source.watch.as_deref();
        let next = watch.and_then(|watch| watch.auto_top_up.as_ref());
        at = next.and_then(|rule| source_of(state, source, rule));
    }
    true
}

/// How often a rule's amount goes into this much, a part of it like the whole.
fn times(rule: &AutoTopUpRule, amount_minor: i64) -> i64 {
    let (whole, rest) = (
        amount_minor / rule.amount_minor,
        amount_minor % rule.amount_minor,
    );
    (whole + i64::from(rest > 0)).max(1)
}

/// How many more times the rule may move something on this day.
fn left_of_day(watch: &Watch, rule: &AutoTopUpRule, day: i64) -> u16 {
    let made = if watch.day == day { watch.made } else { 0 };
    rule.per_day_max.saturating_sub(made)
}

/// What a rule would move now, where that is anything.
fn movable(state: &State, account: &Account, rule: &AutoTopUpRule, at: Timestamp) -> Option<i64> {
    let source = source_of(state, account, rule)?;
    let watch = account.watch.as_deref()?;
    let lacks_minor = rule.below_minor.saturating_sub(account.available_minor());
    let most = i64::from(left_of_day(watch, rule, day_of(at)));
    let times = times(rule, lacks_minor).min(most);
    let amount_minor = rule.amount_minor.saturating_mul(times);
    let amount_minor = amount_minor.min(source.available_minor());
    let can = amount_minor > 0
        && is_active(state, source)
        && source.can_move(amount_minor)
        && account.can_receive_transfer(amount_minor);
    can.then_some(amount_minor)
}

pub(super) fn decide_auto(state: &State, command: &Command, auto: &AutoTopUp) -> Outcome {
    let account = state.account_of_tree(command.root, auto.account_id);
    let rule = account.and_then(|account| {
        let rule = rule_due(state, account, command.at);
        rule.ok().map(|rule| (account, rule))
    });
    let Some((account, rule)) = rule else {
        return Outcome::AlreadyDone;
    };
    let moved_minor = movable(state, account, rule, command.at);
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
        let made = match watch.auto_top_up.as_ref().filter(|_| !watch.is_dry) {
            Some(rule) => times(rule, transfer.amount.amount_minor),
            None => 0,
        };
        watch.made = before.saturating_add(u16::try_from(made).unwrap_or(u16::MAX));
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

//! Transfers of money between accounts: what is asked, what is decided, what it changes, and what is in transit. Within
//! one tree a single record moves the money. Between trees there are three: the sender's tree debits, the receiver's
//! credits or turns it away, and the sender's ends it. Who carries these steps from shard to shard lives in `shard`.

use super::apply::{expect_account, post};
use super::command::{Action, Command};
use super::decide::Outcome;
use super::event::{Event, LedgerAccount, Posting, Postings, Refusal};
use super::funding::is_active;
use super::ids::{AccountId, TransferId};
use super::money::{BALANCE_MAX_MINOR, BOOKS_MAX_MINOR, Money};
use super::recent::{Key, Recent};
use super::slot_index::hash_of_id;
use super::state::{Account, AccountStatus, State};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Transfers of one shard that are on their way to other trees; above it further ones are refused.
pub const IN_TRANSIT_MAX: usize = 100_000;

/// Money to be moved, as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    pub id: TransferId,
    pub from_account_id: AccountId,
    pub to_account_id: AccountId,
    /// The tree of the receiver.
    pub to_root: AccountId,
    pub amount: Money,
}

/// The second step of a transfer between trees, in the receiver's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveTransfer {
    pub transfer: Transfer,
    pub from_root: AccountId,
}

/// The last step of one, in the sender's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndTransfer {
    pub transfer: Transfer,
    /// Why the money goes back, if it does.
    pub returned: Option<ReturnReason>,
}

macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $type { $($variant,)* }

        impl $type {
            pub const ALL: &'static [($type, &'static str)] = &[$(($type::$variant, $text),)*];

            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $text,)* }
            }

            pub fn from_name(name: &str) -> Option<$type> {
                match name { $($text => Some($type::$variant),)* _ => None }
            }
        }
    };
}

named! {
    /// What became of a transfer.
    TransferStatus {
        Settled = "settled",
        // Debited, and neither credited nor back yet.
        InTransit = "in_transit",
        // Credited to the sender again.
        Returned = "returned",
        // Asked for by a rule of ours, and not to be made.
        Failed = "failed",
    }
}

named! {
    /// Why an account takes no money.
    ReturnReason {
        AccountNotFound = "account_not_found",
        AccountClosed = "account_closed",
        CurrencyMismatch = "currency_mismatch",
        // The balance would leave its range.
        AmountOutOfRange = "amount_out_of_range",
    }
}

/// What came of one step of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transferred {
    pub status: TransferStatus,
    pub return_reason: Option<ReturnReason>,
    pub postings: Postings,
}

/// A transfer as its sender's shard knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownTransfer {
    pub transfer: Transfer,
    pub status: TransferStatus,
    pub return_reason: Option<ReturnReason>,
    pub created_at: Timestamp,
    /// When it was settled or came back.
    pub ended_at: Option<Timestamp>,
}

/// What the receiver's tree answered, kept so that no transfer is credited twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    pub root: AccountId,
    pub returned: Option<ReturnReason>,
}

/// The transfers that a shard knows.
#[derive(Debug, Clone, Default)]
pub struct Transfers {
    /// Debited here and not ended.
    pub in_transit: BTreeMap<TransferId, KnownTransfer>,
    /// Ended ones that left accounts of this shard.
    pub ended: Recent<TransferId, KnownTransfer>,
    /// Those that came from other trees.
    pub received: Recent<TransferId, Received>,
}

impl Transfers {
    pub fn find(&self, id: TransferId, at: Timestamp, retention_ms: i64) -> Option<&KnownTransfer> {
        let open = self.in_transit.get(&id);
        open.or_else(|| self.ended.find(id, at, retention_ms))
    }

    pub(super) fn forget(&mut self, now: Timestamp, retention_ms: i64) {
        self.ended.forget(now, retention_ms);
        self.received.forget(now, retention_ms);
    }
}

impl Key for TransferId {
    fn hash(self) -> u64 {
        hash_of_id(self.0)
    }
}

/// A step that follows from a record, and the tree that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextStep {
    pub transfer_id: TransferId,
    pub root: AccountId,
    pub action: Action,
}

/// What has to be done next for a transfer, after this record.
pub fn next_step(command: &Command, event: &Event) -> Option<NextStep> {
    let Event::Transferred(transferred) = event else {
        return None;
    };
    match &command.action {
        Action::Transfer(transfer) if transferred.status == TransferStatus::InTransit => {
            let transfer = **transfer;
            Some(NextStep {
                transfer_id: transfer.id,
                root: transfer.to_root,
                action: Action::ReceiveTransfer(Box::new(ReceiveTransfer {
                    transfer,
                    from_root: command.root,
                })),
            })
        }
        Action::ReceiveTransfer(receive) => Some(NextStep {
            transfer_id: receive.transfer.id,
            root: receive.from_root,
            action: Action::EndTransfer(Box::new(EndTransfer {
                transfer: receive.transfer,
                returned: transferred.return_reason,
            })),
        }),
        _ => None,
    }
}

pub(super) fn decide_transfer(state: &State, command: &Command, transfer: &Transfer) -> Outcome {
    let retention_ms = state.registry.settings.idempotency_retention_ms;
    if let Some(known) = state.transfers.find(transfer.id, command.at, retention_ms) {
        return match known.transfer == *transfer {
            true => Outcome::AlreadyDone,
            false => Outcome::Refused(Refusal::IdTaken),
        };
    }
    if let Some(refusal) = refusal_of_sender(state, command, transfer) {
        return Outcome::Refused(refusal);
    }
    let (from, to) = (transfer.from_account_id, transfer.to_account_id);
    let amount_minor = transfer.amount.amount_minor;
    if transfer.to_root != command.root {
        if state.transfers.in_transit.len() >= IN_TRANSIT_MAX {
            return Outcome::Refused(Refusal::TooManyInTransit);
        }
        let postings = legs(
            LedgerAccount::Customer(from),
            LedgerAccount::InTransit,
            amount_minor,
        );
        return transferred(TransferStatus::InTransit, None, postings);
    }
    let receiver = state.account_of_tree(command.root, to);
    match reason_against(receiver, transfer.amount) {
        Some(ReturnReason::AccountNotFound) => Outcome::Refused(Refusal::AccountNotFound(to)),
        Some(reason) => Outcome::Refused(Refusal::ReceiverRefuses(reason)),
        None => {
            let to = LedgerAccount::Customer(to);
            let postings = legs(LedgerAccount::Customer(from), to, amount_minor);
            transferred(TransferStatus::Settled, None, postings)
        }
    }
}

fn transferred(
    status: TransferStatus,
    return_reason: Option<ReturnReason>,
    postings: Postings,
) -> Outcome {
    Outcome::Event(Event::Transferred(Box::new(Transferred {
        status,
        return_reason,
        postings,
    })))
}

/// From one to the other.
pub(super) fn legs(from: LedgerAccount, to: LedgerAccount, amount_minor: i64) -> Postings {
    Box::new([
        Posting {
            ledger_account: from,
            amount_minor: -amount_minor,
        },
        Posting {
            ledger_account: to,
            amount_minor,
        },
    ])
}

fn refusal_of_sender(state: &State, command: &Command, transfer: &Transfer) -> Option<Refusal> {
    let Some(from) = state.account_of_tree(command.root, transfer.from_account_id) else {
        return Some(Refusal::AccountNotFound(transfer.from_account_id));
    };
    if transfer.to_account_id == from.id {
        return Some(Refusal::SameAccount);
    }
    let Money {
        amount_minor,
        currency,
    } = transfer.amount;
    if currency != from.currency {
        return Some(Refusal::CurrencyMismatch {
            account: from.currency,
            given: currency,
        });
    }
    if amount_minor <= 0 || !from.can_move(amount_minor) {
        return Some(Refusal::AmountOutOfRange);
    }
    if !is_active(state, from) {
        let mut line = std::iter::once(from).chain(state.above(from));
        let stops = line.find(|account| account.status != AccountStatus::Active)?;
        return Some(Refusal::SenderStopped {
            account_id: stops.id,
            status: stops.status,
        });
    }
    let available_minor = from.available_minor();
    (available_minor < amount_minor).then_some(Refusal::InsufficientFunds {
        available_minor,
        requested_minor: amount_minor,
    })
}

/// Why this account takes no such amount. A frozen one does: what is frozen is what goes out.
fn reason_against(account: Option<&Account>, amount: Money) -> Option<ReturnReason> {
    let Some(account) = account else {
        return Some(ReturnReason::AccountNotFound);
    };
    if account.status == AccountStatus::Closed {
        return Some(ReturnReason::AccountClosed);
    }
    if account.currency != amount.currency {
        return Some(ReturnReason::CurrencyMismatch);
    }
    // The other side has looked at it too, but no record may bring what cannot be booked.
    let has_room = amount.amount_minor > 0 && account.can_receive_transfer(amount.amount_minor);
    (!has_room).then_some(ReturnReason::AmountOutOfRange)
}

impl Account {
    /// Whether so much may come in: what is in transit may come back, and must find room too.
    fn has_room_for(&self, amount_minor: i64) -> bool {
        let back = self.posted_minor.checked_add(self.in_transit_minor);
        let after = back.and_then(|back| back.checked_add(amount_minor));
        after.is_some_and(|after| after <= BALANCE_MAX_MINOR)
    }

    /// Whether so much may be moved from it or to it.
    pub(super) fn can_move(&self, amount_minor: i64) -> bool {
        fits(self.transfers_minor, amount_minor)
    }

    pub(super) fn can_receive_transfer(&self, amount_minor: i64) -> bool {
        self.has_room_for(amount_minor) && self.can_move(amount_minor)
    }

    pub(super) fn can_receive_funds(&self, amount_minor: i64) -> bool {
        self.has_room_for(amount_minor) && fits(self.funds_received_minor, amount_minor)
    }
}

/// Whether a sum of all that ever went through an account stays within its range.
fn fits(sum_minor: i64, amount_minor: i64) -> bool {
    let after = sum_minor.saturating_abs().saturating_add(amount_minor);
    after <= BOOKS_MAX_MINOR
}

pub(super) fn decide_receive(
    state: &State,
    command: &Command,
    receive: &ReceiveTransfer,
) -> Outcome {
    let transfer = &receive.transfer;
    let retention_ms = state.registry.settings.idempotency_retention_ms;
    let received = &state.transfers.received;
    if received
        .find(transfer.id, command.at, retention_ms)
        .is_some()
    {
        return Outcome::AlreadyDone;
    }
    let receiver = state.account_of_tree(command.root, transfer.to_account_id);
    match reason_against(receiver, transfer.amount) {
        Some(reason) => transferred(TransferStatus::Returned, Some(reason), Postings::default()),
        None => {
            let to = LedgerAccount::Customer(transfer.to_account_id);
            let postings = legs(LedgerAccount::InTransit, to, transfer.amount.amount_minor);
            transferred(TransferStatus::Settled, None, postings)
        }
    }
}

pub(super) fn decide_end(state: &State, end: &EndTransfer) -> Outcome {
    // What is not in transit was ended before: a step may be sent twice.
    let Some(known) = state.transfers.in_transit.get(&end.transfer.id) else {
        return Outcome::AlreadyDone;
    };
    match end.returned {
        None => transferred(TransferStatus::Settled, None, Postings::default()),
        Some(reason) => {
            let back = LedgerAccount::Customer(known.transfer.from_account_id);
            let amount_minor = known.transfer.amount.amount_minor;
            let postings = legs(LedgerAccount::InTransit, back, amount_minor);
            transferred(TransferStatus::Returned, Some(reason), postings)
        }
    }
}

/// Moves the money, and on each account the other side of it.
pub(super) fn post_transfer(state: &mut State, account_id: AccountId, postings: &[Posting]) {
    post(state, account_id, postings);
    for posting in postings {
        if let LedgerAccount::Customer(id) = posting.ledger_account {
            expect_account(state, id).transfers_minor -= posting.amount_minor;
        }
    }
}

pub(super) fn apply(state: &mut State, command: &Command, event: &Transferred) {
    match &command.action {
        Action::Transfer(transfer) => apply_transfer(state, command, transfer, event),
        Action::ReceiveTransfer(receive) => apply_receive(state, command, receive, event),
        Action::EndTransfer(end) => apply_end(state, command, end, event),
        action => panic!("a transfer cannot come of this command: {action:?}"),
    }
}

fn apply_transfer(state: &mut State, command: &Command, transfer: &Transfer, event: &Transferred) {
    let from = transfer.from_account_id;
    post_transfer(state, from, &event.postings);
    let mut known = KnownTransfer {
        transfer: *transfer,
        status: event.status,
        return_reason: event.return_reason,
        created_at: command.at,
        ended_at: None,
    };
    if event.status == TransferStatus::InTransit {
        expect_account(state, from).in_transit_minor += transfer.amount.amount_minor;
        state.transfers.in_transit.insert(transfer.id, known);
        return;
    }
    known.ended_at = Some(command.at);
    let ended = &mut state.transfers.ended;
    ended.remember(transfer.id, command.at, known);
}

fn apply_receive(
    state: &mut State,
    command: &Command,
    receive: &ReceiveTransfer,
    event: &Transferred,
) {
    let transfer = &receive.transfer;
    post_transfer(state, transfer.to_account_id, &event.postings);
    let received = Received {
        root: command.root,
        returned: event.return_reason,
    };
    let all = &mut state.transfers.received;
    all.remember(transfer.id, command.at, received);
}

fn apply_end(state: &mut State, command: &Command, end: &EndTransfer, event: &Transferred) {
    let Some(mut known) = state.transfers.in_transit.remove(&end.transfer.id) else {
        panic!("transfer {} ends and is not in transit", end.transfer.id);
    };
    let from = known.transfer.from_account_id;
    expect_account(state, from).in_transit_minor -= known.transfer.amount.amount_minor;
    post_transfer(state, from, &event.postings);
    known.status = event.status;
    known.return_reason = event.return_reason;
    known.ended_at = Some(command.at);
    let ended = &mut state.transfers.ended;
    ended.remember(end.transfer.id, command.at, known);
}

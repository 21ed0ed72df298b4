//! Applies what opens an authorization: the money that it holds or posts, the limits and the card that it uses. What
//! later messages make of it lives in `apply_messages.rs`.

use super::apply::{counters, expect_account, post};
use super::apply_messages::expect_authorization;
use super::authorizations::{Authorization, Closed, ClosedBy, InBoth, Waiting};
use super::card_use::CardUseMade;
use super::command::{Authorize, Command};
use super::event::{ApprovalCode, HoldPlaced, LedgerAccount, Postings};
use super::fees::charge::Charge;
use super::first_answer::Answered;
use super::ids::AccountId;
use super::kinds::{Direction, Treatment};
use super::limit_uses::Uses;
use super::money::Currency;
use super::postings::Kept;
use super::state::State;

/// A new authorization: the message that opens it, and what was decided about it.
pub(super) struct Opening<'a> {
    pub command: &'a Command,
    pub payment: &'a Authorize,
    pub account_id: AccountId,
    pub approval_code: ApprovalCode,
    pub placed: &'a HoldPlaced,
    pub transaction_minor: i64,
    pub waiting: Option<Box<Waiting>>,
    /// Of a request.
    pub answered: Option<Answered>,
}

/// Only a kind that moves money opens an authorization: all others are declined, or recorded.
pub(super) fn direction_of(payment: &Authorize) -> Direction {
    Treatment::of(payment.kind).map_or(Direction::Debit, |treatment| treatment.direction)
}

pub(super) fn open_held(state: &mut State, opening: &Opening) {
    let held = InBoth {
        account_minor: opening.placed.amount_minor,
        transaction_minor: opening.transaction_minor,
    };
    let account = expect_account(state, opening.account_id);
    account.held_minor += held.account_minor;
    account.open_holds += 1;
    open(state, opening, held, InBoth::default(), None);
}

pub(super) fn open_posted(
    state: &mut State,
    opening: &Opening,
    postings: &Postings,
    charges: &[Charge],
) {
    post(state, opening.account_id, postings);
    let charged_minor = charged(postings, opening.account_id);
    let posted = InBoth {
        account_minor: charged_minor,
        transaction_minor: charged_minor.signum() * opening.transaction_minor,
    };
    let closed = Closed {
        at: opening.command.at,
        by: ClosedBy::Completion,
    };
    let id = opening.payment.authorization_id;
    open(state, opening, InBoth::default(), posted, Some(closed));
    expect_authorization(state, id).kept = Kept::of_legs(postings, charges);
}

/// What a posting takes from the account; below zero for what it gives.
pub(super) fn charged(postings: &Postings, account_id: AccountId) -> i64 {
    let legs = postings.iter();
    let own = legs.filter(|leg| leg.ledger_account == LedgerAccount::Customer(account_id));
    -own.map(|leg| leg.amount_minor).sum::<i64>()
}

fn open(
    state: &mut State,
    opening: &Opening,
    held: InBoth,
    posted: InBoth,
    closed: Option<Closed>,
) {
    let (payment, placed) = (opening.payment, opening.placed);
    let counted_minor = held.plus(posted).account_minor;
    for limit_use in &placed.uses {
        if let Some(counters) = counters(state, limit_use, opening.account_id, payment.card_id) {
            counters.add(limit_use.limit_id, limit_use.counted_in(), counted_minor, 1);
        }
    }
    let lock = use_card(state, payment, placed, counted_minor > 0);
    let account_currency = expect_account(state, opening.account_id).currency;
    let currency = match payment.amounts.transaction.currency {
        Currency::ABSENT => account_currency,
        stated => stated,
    };
    state.authorizations.insert(Authorization {
        id: payment.authorization_id,
        card_id: payment.card_id,
        account_id: opening.account_id,
        direction: direction_of(payment),
        held,
        posted,
        kept: Kept::default(),
        placed_at: opening.command.at,
        expires_at: placed.expires_at,
        approval_code: opening.approval_code,
        match_keys: payment.match_keys,
        uses: Uses::of_opening(&placed.uses),
        is_authenticated: payment.three_ds.is_fully_authenticated(),
        parts: Box::default(),
        closed,
        opened: held.plus(posted),
        posted_at_once: closed.is_some(),
        currency,
        gave_back: Box::default(),
        is_amended: false,
        waiting: opening.waiting.clone(),
        answered: opening.answered,
        recalled_at: None,
        changes: 0,
        stood_in_by: None,
        lock,
    });
}

/// Notes on the card what this approval made of it; which lock of the card rests on it.
fn use_card(state: &mut State, payment: &Authorize, placed: &HoldPlaced, takes_money: bool) -> u32 {
    let made = placed.card_use;
    let Some(card) = state.kept_on_mut(payment.card_id) else {
        return 0;
    };
    if !takes_money || (made == CardUseMade::default() && card.card_use.is_none()) {
        return 0;
    }
    let card_use = card.card_use.get_or_insert_default();
    if made.uses_card {
        // What came later all the same, posted by the network, does not take its place.
        card_use.used_by.get_or_insert(payment.authorization_id);
    }
    let (merchant, reference) = (&payment.merchant, &payment.reference);
    if made.locks_merchant {
        card_use.lock(merchant, reference);
    }
    card_use.rest_lock_on(merchant, reference)
}

//! Applies an event to the state of a shard: live, on recovery and in every replay alike.
//! Nothing is decided here, and no rule is looked at.

use super::apply_messages;
use super::apply_resolve;
use super::apply_reversal;
use super::card_expiry;
use super::command::{
    Action, Advise, Authorize, ChangeCardControls, ChangeCardStatus, Command, OpenAccount,
    OpenCard, Reverse,
};
use super::controls::Controls;
use super::counters::Counters;
use super::event::{
    AdviceOutcome, AdviceResult, Advised, Answer, AnswerResult, Authorized, Decision, Event,
    LedgerAccount, Posting, ReversalOutcome, ReversalResult, Reversed,
};
use super::fees;
use super::ids::{AccountId, CardId};
use super::limit_uses::LimitUse;
use super::recall;
use super::reissue;
use super::scope::Scope;
use super::slot_index::hash_of_id;
use super::state::{Account, AccountStatus, Card, CardStatus, State};
use super::verification_tries::{self, VerificationTries};
use super::{shipping, tokens, top_ups, transfers, watch, withhold};

/// Moves the state. The command must be the one that the event came of.
///
/// # Panics
/// When money would not add up: the event does not fit the state, and nothing after it could be right.
pub fn apply(state: &mut State, command: &Command, event: &Event) {
    state.now = state.now.max(command.at);
    match (&command.action, event) {
        (Action::Authorize(authorize), Event::Authorized(authorized)) => {
            apply_messages::authorization(state, command, authorize, authorized);
        }
        (Action::Reverse(reverse), Event::Reversed(reversed)) => {
            apply_reversal::reversal(state, command, reverse, reversed);
        }
        (Action::OpenAccount(open), Event::AccountOpened { .. }) => {
            let account = new_account(state, command, open);
            insert_account(state, account);
            if let Some(parent_id) = open.parent_id {
                expect_account(state, parent_id).open_sub_accounts += 1;
            }
        }
        (Action::ChangeAccountStatus(change), Event::AccountStatusChanged { to, .. }) => {
            let account = expect_account(state, change.account_id);
            account.status = *to;
            if let (AccountStatus::Closed, Some(parent_id)) = (*to, account.parent_id) {
                expect_account(state, parent_id).open_sub_accounts -= 1;
            }
        }
        (Action::TopUp(top_up), Event::Posted { postings, .. }) => {
            state
                .top_ups
                .remember(top_up.top_up_id, command.at, top_up.account_id);
            post(state, top_up.account_id, postings);
        }
        (Action::OpenCard(open), Event::CardOpened { status, .. }) => {
            let card = new_card(state, open, *status);
            insert_card(state, card);
        }
        (Action::ChangeCardControls(change), Event::CardControlsChanged) => {
            change_controls(state, change);
        }
        (Action::ReleaseHold(release), Event::HoldReleased { standing, .. }) => {
            apply_messages::release(state, command, release.authorization_id, *standing);
        }
        (Action::Advise(advise), Event::Advised(advised)) => {
            apply_messages::advice(state, command, advise, advised);
        }
        (Action::Resolve(resolve), Event::Resolved(resolved)) => {
            apply_resolve::resolved(state, command, resolve, resolved);
        }
        (Action::Withhold(withhold), Event::Withheld(withheld)) => {
            apply_reversal::withheld(state, command, &withhold.payment, withheld);
        }
        (Action::Recall(recall), Event::Recalled) => recall::apply(state, command, recall),
        _ if apply_card(state, command, event) || apply_money(state, command, event) => {}
        (action, event) => panic!("an event {event:?} cannot come of this command: {action:?}"),
    }
    follow(state, event);
}

/// What every event has beside its own: what it charges, and what comes of the time and of what there is now.
fn follow(state: &mut State, event: &Event) {
    fees::charge::apply(state, event.charges());
    watch::note_touched(state);
    forget(state);
}

/// What becomes of a card that is there, and of its tokens. False for any other event.
fn apply_card(state: &mut State, command: &Command, event: &Event) -> bool {
    match (&command.action, event) {
        (Action::ChangeCardStatus(change), event @ Event::CardStatusChanged { .. }) => {
            change_card_status(state, command, change, event);
        }
        (Action::ChangeCardHolder(change), Event::CardHolderChanged { .. }) => {
            if let Some(card) = state.card_mut(change.card_id) {
                card.holder = Some(change.holder);
            }
        }
        (Action::ReplaceCard(_) | Action::RenewCard(_), event) => {
            reissue::apply(state, command, event);
        }
        (Action::OpenToken(_) | Action::ChangeTokenStatus(_), event) => {
            tokens::apply(state, command, event);
        }
        (Action::ChangeShipping(change), Event::ShippingChanged { .. }) => {
            shipping::apply(state, command, change);
        }
        (Action::ResetVerificationTries(reset), Event::VerificationTriesReset { .. }) => {
            verification_tries::apply_reset(state, reset);
        }
        (Action::ExpireCard(expire), Event::CardExpired) => card_expiry::apply(state, expire),
        _ => return false,
    }
    true
}

/// Top-ups in two steps, transfers, and what is set and watched on accounts. False for any other event.
fn apply_money(state: &mut State, command: &Command, event: &Event) -> bool {
    match (&command.action, event) {
        (Action::AnnounceTopUp(top_up), Event::TopUpAnnounced) => {
            top_ups::apply_announce(state, command, top_up);
        }
        (Action::EndTopUp(end), Event::TopUpEnded(ended)) => {
            top_ups::apply_end(state, command, end, ended);
        }
        (_, Event::Transferred(event)) => transfers::apply(state, command, event),
        (Action::ChangeAccount(change), Event::AccountChanged) => {
            watch::apply_change(state, change);
        }
        (Action::NoteLowBalance(low), Event::BalanceLow { .. }) => watch::apply_low(state, low),
        (Action::AutoTopUp(_), Event::AutoToppedUp(done)) => {
            watch::apply_auto(state, command, done);
        }
        (Action::ChargeMonthlyFee(due), Event::MonthlyFeeCharged { .. }) => {
            fees::monthly::apply(state, due);
        }
        _ => return false,
    }
    true
}

fn change_card_status(
    state: &mut State,
    command: &Command,
    change: &ChangeCardStatus,
    event: &Event,
) {
    let Event::CardStatusChanged {
        to,
        tokens,
        cancels_shipping,
        ..
    } = event
    else {
        return;
    };
    if let Some(card) = state.card_mut(change.card_id) {
        card.status = *to;
        if *cancels_shipping {
            card.cancel_shipping(command.at);
        }
    }
    state.tokens.delete_all(tokens);
}

fn change_controls(state: &mut State, change: &ChangeCardControls) {
    let mut controls = state.shared_controls.share(&change.controls);
    if let Some(card) = state.kept_on_mut(change.card_id) {
        std::mem::swap(&mut card.controls, &mut controls);
        let locked = |controls: Option<&Controls>| controls.is_some_and(|c| c.merchant_lock);
        if locked(controls.as_deref()) && !locked(card.controls.as_deref()) {
            card.unlock_merchant();
        }
    }
    if let Some(before) = controls {
        state.shared_controls.release(&before);
    }
}

/// The answer that goes back for an event, if it is the event of a message.
pub fn answer(command: &Command, event: &Event) -> Option<Answer> {
    match (&command.action, event) {
        (Action::Authorize(authorize), Event::Authorized(authorized)) => {
            Some(authorization_answer(authorize, authorized))
        }
        (Action::Reverse(reverse), Event::Reversed(reversed)) => {
            Some(reversal_answer(reverse, reversed))
        }
        (Action::Advise(advise), Event::Advised(advised)) => Some(advice_answer(advise, advised)),
        (Action::Resolve(_), Event::Resolved(resolved)) => resolved.answer,
        (Action::Withhold(withhold), Event::Withheld(_)) => {
            Some(withhold::answer(&withhold.payment))
        }
        _ => None,
    }
}

pub(super) fn advice_answer(advise: &Advise, advised: &Advised) -> Answer {
    let result = match advised.outcome {
        AdviceOutcome::Recorded => AdviceResult::Recorded,
        AdviceOutcome::Duplicate => AdviceResult::Duplicate,
        AdviceOutcome::Placed(_)
        | AdviceOutcome::ForcePosted(_)
        | AdviceOutcome::Amended { .. }
        | AdviceOutcome::Completed { .. } => AdviceResult::Accepted,
    };
    Answer::Advice {
        authorization_id: advise.payment.authorization_id,
        result,
    }
}

pub(super) fn authorization_answer(authorize: &Authorize, authorized: &Authorized) -> Answer {
    let result = match (&authorized.decision, authorized.balances) {
        _ if authorized.waits_until.is_some() => AnswerResult::Waiting,
        (Decision::Approved { .. }, Some(balances)) => AnswerResult::Balances(balances),
        (Decision::Approved { approval_code }, None) => AnswerResult::Approved {
            approval_code: *approval_code,
            available_minor: authorized.available_minor,
        },
        (
            Decision::PartiallyApproved {
                approval_code,
                approved,
            },
            _,
        ) => AnswerResult::PartiallyApproved {
            approval_code: *approval_code,
            approved: *approved,
        },
        (Decision::Declined(decline), _) => AnswerResult::Declined(decline.reason),
    };
    Answer::Authorization {
        authorization_id: authorize.authorization_id,
        result,
    }
}

pub(super) fn reversal_answer(reverse: &Reverse, reversed: &Reversed) -> Answer {
    let result = match reversed.outcome {
        ReversalOutcome::Undone(_) | ReversalOutcome::AlreadyReversed => ReversalResult::Accepted,
        ReversalOutcome::OriginalUnknown => ReversalResult::OriginalUnknown,
        ReversalOutcome::Duplicate => ReversalResult::Duplicate,
    };
    Answer::Reversal {
        reversal_id: reverse.reversal_id,
        result,
    }
}

fn forget(state: &mut State) {
    let settings = &state.registry.settings;
    let now = state.now;
    let outbox = &mut state.outbox;
    let retention_ms = settings.first_answer_retention_ms;
    state
        .first_answers
        .forget_into(now, retention_ms, |key, at, first| {
            outbox.put_answer(key, at, first);
        });
    state
        .early_reversals
        .forget(now, settings.reversal_retention_ms);
    state.authorizations.forget(
        now,
        settings.closed_retention_ms,
        settings.closed_per_shard_max,
        |authorization| outbox.put_authorization(authorization),
    );
    state.top_ups.forget(now, settings.idempotency_retention_ms);
    state
        .announced
        .ended
        .forget(now, settings.idempotency_retention_ms);
    state
        .transfers
        .forget(now, settings.idempotency_retention_ms);
}

/// The counters that a use of a limit is on: a program's are those of the tree's root account.
pub(super) fn counters<'a>(
    state: &'a mut State,
    limit_use: &LimitUse,
    account_id: AccountId,
    card_id: CardId,
) -> Option<&'a mut Counters> {
    match limit_use.scope {
        Scope::Card => state.kept_on_mut(card_id).map(|card| &mut card.counters),
        Scope::Account => state
            .account_mut(account_id)
            .map(|account| &mut account.counters),
        Scope::Program => {
            let root = state.account(account_id)?.root;
            state
                .account_mut(root)
                .map(|account| &mut account.program_counters)
        }
        scope @ (Scope::Link | Scope::Exception) => {
            let root = state.account(account_id)?.root;
            let key = (root, scope, limit_use.limit_id);
            Some(state.shared_counters.entry(key))
        }
        Scope::Above1 | Scope::Above2 | Scope::Above3 | Scope::Above4 => {
            let account = state.account(account_id)?;
            let above = state
                .above(account)
                .nth(limit_use.scope.levels_above() - 1)?;
            let above_id = above.id;
            state
                .account_mut(above_id)
                .map(|account| &mut account.counters)
        }
    }
}

pub(super) fn post(state: &mut State, account_id: AccountId, postings: &[Posting]) {
    let total: i64 = postings.iter().map(|posting| posting.amount_minor).sum();
    assert_eq!(
        total, 0,
        "the postings for account {account_id} do not sum to zero"
    );
    for posting in postings {
        match posting.ledger_account {
            LedgerAccount::Customer(id) => {
                expect_account(state, id).posted_minor += posting.amount_minor
            }
            LedgerAccount::FundsReceived => {
                expect_account(state, account_id).funds_received_minor += posting.amount_minor;
            }
            LedgerAccount::NetworkSettlement => {
                expect_account(state, account_id).network_settlement_minor += posting.amount_minor;
            }
            LedgerAccount::Rounding => {
                expect_account(state, account_id).rounding_minor += posting.amount_minor;
            }
            LedgerAccount::MarkUp => {
                expect_account(state, account_id).mark_up_minor += posting.amount_minor;
            }
            LedgerAccount::Fees => {
                expect_account(state, account_id).fees_minor += posting.amount_minor;
            }
            LedgerAccount::ResellerMarkUp => {
                expect_account(state, account_id).reseller_mark_up_minor += posting.amount_minor;
            }
            // Its other side is kept with the accounts themselves (see `transfers.rs`).
            LedgerAccount::InTransit => {}
        }
    }
}

pub(super) fn expect_account(state: &mut State, id: AccountId) -> &mut Account {
    state
        .account_mut(id)
        .unwrap_or_else(|| panic!("account {id} of an event is not in this shard"))
}

fn new_account(state: &mut State, command: &Command, open: &OpenAccount) -> Account {
    Account {
        id: open.account_id,
        root: command.root,
        parent_id: open.parent_id,
        program_id: open.program_id,
        currency: open.currency,
        status: AccountStatus::Active,
        posted_minor: 0,
        held_minor: 0,
        credit_line_minor: 0,
        funds_received_minor: 0,
        network_settlement_minor: 0,
        open_holds: 0,
        open_sub_accounts: 0,
        created_at: command.at,
        name: open.name.clone(),
        controls: state.shared_controls.share(&open.controls),
        counters: Counters::default(),
        program_counters: Counters::default(),
        rounding_minor: 0,
        mark_up_minor: 0,
        transfers_minor: 0,
        in_transit_minor: 0,
        watch: None,
        fees_minor: 0,
        reseller_mark_up_minor: 0,
    }
}

fn new_card(state: &mut State, open: &OpenCard, status: CardStatus) -> Card {
    Card {
        id: open.card_id,
        account_id: open.account_id,
        account_slot: 0,
        first6: open.first6,
        last4: open.last4,
        expiry: open.expiry,
        status,
        card_type: open.card_type,
        created_at: open.issued_at,
        links: open.links.clone(),
        controls: state.shared_controls.share(&open.controls),
        counters: Counters::default(),
        card_use: None,
        wallet: open.wallet.clone(),
        history: None,
        holder: open.holder,
        chain: None,
        fees_through: None,
        shipping: shipping::ordered(open.shipping.as_deref(), open.issued_at),
        is_expired: false,
        decline_fees: None,
        verification_tries: VerificationTries::default(),
    }
}

/// Puts an account, new or restored, in its place.
pub(super) fn insert_account(state: &mut State, account: Account) {
    let hash = hash_of_id(account.id.0);
    if account.watch.is_some() {
        state.watched.note_changed(account.id);
    }
    let slot = state.accounts.push(account);
    state.account_slots.insert(hash, slot);
}

/// Puts a card, new or restored, in its place; its account must be there.
pub(super) fn insert_card(state: &mut State, mut card: Card) {
    let account_slot = state.account_slot(card.account_id);
    card.account_slot = account_slot
        .unwrap_or_else(|| panic!("account {} of card {} is missing", card.account_id, card.id));
    let hash = hash_of_id(card.id.0);
    let slot = state.cards.push(card);
    state.card_slots.insert(hash, slot);
}

//! Applies what messages of the network came to: the answers kept for repeats, authorizations that change and close,
//! and with them money and the use of limits. What opens one lives in `apply_opening.rs`, all else in `apply.rs`.

use super::apply::{advice_answer, authorization_answer, counters, expect_account, post};
use super::apply_opening::{Opening, charged, direction_of, open_held, open_posted};
use super::apply_resolve::{end_approved, end_declined};
use super::authorizations::{Authorization, ClosedBy, InBoth, Part, PartKind, Waiting};
use super::card_history::Undecided;
use super::command::{Advise, Authorize, Command};
use super::event::{
    AdviceOutcome, Advised, ApprovalCode, Authorized, Decision, Increased, Standing,
};
use super::facts::Kind;
use super::first_answer::{Answered, Asked, FirstAnswer};
use super::ids::AuthorizationId;
use super::kinds::{Direction, Treatment};
use super::limit_uses::LimitUse;
use super::postings::Kept;
use super::reason::DeclineReason;
use super::refunds;
use super::state::State;
use super::time::Timestamp;
use super::verification_tries::is_failed_try;

pub(super) fn authorization(
    state: &mut State,
    command: &Command,
    authorize: &Authorize,
    authorized: &Authorized,
) {
    let clash = authorized
        .decision
        .decline()
        .is_some_and(|d| d.reason == DeclineReason::DuplicateTransmission);
    let answered = Answered {
        repeat_key: authorize.repeat_key,
        asked: Asked::of_authorization(authorize),
        answer: authorization_answer(authorize, authorized),
    };
    if !clash {
        let is_with_it = authorized.hold.is_some() && authorized.waits_until.is_none();
        remember_answer(state, command, answered, is_with_it);
    }
    if authorized.keeps_history && !clash && authorized.increased.is_none() {
        note_history(state, command, authorize, authorized);
    }
    note_failed_try(state, command, authorize, authorized);
    let Some(account_id) = authorized.account_id else {
        return;
    };
    if let Some(increased) = &authorized.increased {
        increase(state, command, authorize, increased, answered);
    }
    let Some(placed) = &authorized.hold else {
        return;
    };
    let Some(approval_code) = authorized.decision.approval_code() else {
        panic!(
            "authorization {} was declined and has a hold",
            authorize.authorization_id
        );
    };
    let transaction_minor = match &authorized.decision {
        Decision::PartiallyApproved { approved, .. } => approved.amount_minor,
        _ => authorize.amounts.transaction.amount_minor,
    };
    let opening = Opening {
        command,
        payment: authorize,
        account_id,
        approval_code,
        placed,
        transaction_minor,
        waiting: waiting(command, authorize, authorized),
        // Until its customer has decided there is no answer.
        answered: authorized.waits_until.is_none().then_some(answered),
    };
    match authorize.posts && opening.waiting.is_none() {
        true => open_posted(state, &opening, &authorized.postings, &authorized.charges),
        false => open_held(state, &opening),
    }
    refunds::apply(state, authorize.authorization_id, &authorized.gives_back);
    assert!(
        expect_account(state, account_id).available_minor() >= 0
            || direction_of(authorize) == Direction::Credit,
        "account {account_id} is overdrawn by {}",
        authorize.authorization_id
    );
}

/// What is kept of a request that its customer has to decide on.
fn waiting(
    command: &Command,
    authorize: &Authorize,
    authorized: &Authorized,
) -> Option<Box<Waiting>> {
    let until = authorized.waits_until?;
    let set_aside_minor = set_aside_minor(authorized);
    let undecided = || Undecided::of(command.at, authorize, set_aside_minor);
    Some(Box::new(Waiting {
        until,
        repeat_key: authorize.repeat_key,
        asked: Asked::of_authorization(authorize),
        posts: authorize.posts,
        in_part: authorize.partial_approval_supported
            && Treatment::of(authorize.kind).is_some_and(|treatment| treatment.in_part),
        part: match authorized.decision {
            Decision::PartiallyApproved { approved, .. } => Some(approved),
            _ => None,
        },
        kept: Kept::of(authorized.conversion.as_deref()),
        undecided: authorized.keeps_history.then(undecided),
        token_id: authorize.token.id(),
    }))
}

/// On the card itself, and not on the first of its chain: whoever has a new number has nothing of the tries with the old one.
fn note_failed_try(
    state: &mut State,
    command: &Command,
    authorize: &Authorize,
    authorized: &Authorized,
) {
    let decline = authorized.decision.decline();
    if decline.is_some_and(|decline| is_failed_try(decline.reason))
        && let Some(card) = state.card_mut(authorize.card_id)
    {
        card.verification_tries.note_failure(command.at);
    }
}

fn set_aside_minor(authorized: &Authorized) -> i64 {
    let hold = authorized.hold.as_ref();
    hold.map_or(0, |hold| hold.amount_minor)
}

fn note_history(
    state: &mut State,
    command: &Command,
    authorize: &Authorize,
    authorized: &Authorized,
) {
    let approved = authorized.decision.decline().is_none();
    let set_aside_minor = set_aside_minor(authorized);
    if let Some(card) = state.kept_on_mut(authorize.card_id) {
        let history = card.history.get_or_insert_default();
        match authorized.waits_until {
            None => history.note(command.at, authorize, approved.then_some(set_aside_minor)),
            Some(_) => {
                history.note_undecided(&Undecided::of(command.at, authorize, set_aside_minor));
            }
        }
    }
}

pub(super) fn advice(state: &mut State, command: &Command, advise: &Advise, advised: &Advised) {
    if advised.outcome == AdviceOutcome::Duplicate {
        return;
    }
    let payment = &advise.payment;
    let answered = Answered {
        repeat_key: payment.repeat_key,
        asked: Asked::of_advice(advise),
        answer: advice_answer(advise, advised),
    };
    remember_answer(state, command, answered, false);
    let Some(account_id) = advised.account_id else {
        return;
    };
    let approval_code = advise.approval_code;
    let approval_code = approval_code.unwrap_or(ApprovalCode::of(payment.authorization_id));
    let opening = |placed| Opening {
        command,
        payment,
        account_id,
        approval_code,
        placed,
        transaction_minor: payment.amounts.transaction.amount_minor,
        waiting: None,
        answered: None,
    };
    match &advised.outcome {
        AdviceOutcome::Recorded | AdviceOutcome::Duplicate => {}
        AdviceOutcome::Placed(placed) => {
            open_held(state, &opening(placed));
            if let Some(id) = advised.stands_in_for {
                expect_authorization(state, id).stood_in_by = Some(payment.authorization_id);
            }
        }
        AdviceOutcome::ForcePosted(placed) => {
            let (postings, charges) = (&advised.postings, &advised.charges);
            open_posted(state, &opening(placed), postings, charges);
            refunds::apply(state, payment.authorization_id, &advised.gives_back);
        }
        AdviceOutcome::Amended { .. } => amend(state, command, payment, &advised.outcome),
        AdviceOutcome::Completed { .. } => complete(state, command, payment, advised),
    }
}

/// Ends a hold without a message of the network.
pub(super) fn release(
    state: &mut State,
    command: &Command,
    id: AuthorizationId,
    standing: Standing,
) {
    end_declined(state, command, id);
    let held = expect_authorization(state, id).held;
    let change = Change {
        held: held.negative(),
        closes: ClosedBy::of(standing),
        ..Change::default()
    };
    change_authorization(state, id, command.at, change);
}

pub(super) fn remember_answer(
    state: &mut State,
    command: &Command,
    answered: Answered,
    is_with_authorization: bool,
) {
    let Answered {
        repeat_key,
        asked,
        answer,
    } = answered;
    let root = command.root;
    let first = FirstAnswer {
        root,
        asked,
        answer,
        is_with_authorization,
    };
    state.first_answers.remember(repeat_key, command.at, first);
}

/// What one event does to an authorization that is known.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Added to what is held.
    pub held: InBoth,
    /// Added to what is posted, and to what we keep of it.
    pub posted: InBoth,
    pub kept: Kept,
    pub expires_at: Option<Timestamp>,
    pub closes: Option<ClosedBy>,
    pub part: Option<Part>,
    /// Of a request for more: where limits count that.
    pub counted_in: Box<[LimitUse]>,
}

/// Moves what an authorization stands at, what its account holds, and the use of limits in their own windows.
pub(super) fn change_authorization(
    state: &mut State,
    id: AuthorizationId,
    at: Timestamp,
    change: Change,
) {
    let known = expect_authorization(state, id);
    let (was_counted, stood_at) = (is_counted(known), known.stands_at().account_minor);
    let was_open = known.is_open();
    known.held = known.held.plus(change.held);
    known.posted = known.posted.plus(change.posted);
    known.kept = known.kept.plus(change.kept);
    assert!(
        known.held.account_minor >= 0,
        "authorization {id} holds less than nothing"
    );
    if let Some(expires_at) = change.expires_at {
        state.authorizations.set_expiry(id, expires_at);
    }
    if let Some(part) = change.part {
        state.authorizations.add_part(id, part);
    }
    if let Some(by) = change.closes {
        state.authorizations.close(id, at, by);
    }
    let known = expect_authorization(state, id);
    let (account_id, card_id) = (known.account_id, known.card_id);
    // Taken out while the counters of its cards and accounts move, and put back.
    let mut uses = std::mem::take(&mut known.uses);
    let counted = i32::from(is_counted(known)) - i32::from(was_counted);
    let moved_minor = known.stands_at().account_minor - stood_at;
    let closes_now = was_open && !known.is_open();
    let account = expect_account(state, account_id);
    account.held_minor += change.held.account_minor;
    account.open_holds -= u32::from(closes_now);
    assert!(
        account.held_minor >= 0,
        "account {account_id} holds less than nothing"
    );
    for moved in uses.moved(moved_minor, &change.counted_in) {
        let (limit_use, amount_minor) = (moved.limit_use, moved.amount_minor);
        let (limit_id, counted_in) = (limit_use.limit_id, limit_use.counted_in());
        let Some(counters) = counters(state, &limit_use, account_id, card_id) else {
            continue;
        };
        match moved.begins {
            true => counters.add(limit_id, counted_in, amount_minor, 0),
            false => {
                let counted = if moved.is_opening { counted } else { 0 };
                counters.adjust(limit_id, counted_in, amount_minor, counted);
            }
        }
    }
    expect_authorization(state, id).uses = uses;
    refunds::take_again(state, id);
}

/// Whether limits on the number of payments count it.
fn is_counted(known: &Authorization) -> bool {
    known.is_open() || known.stands_at().account_minor > 0
}

fn increase(
    state: &mut State,
    command: &Command,
    authorize: &Authorize,
    increased: &Increased,
    answered: Answered,
) {
    let transaction = authorize.amounts.transaction;
    let known = expect_authorization(state, increased.authorization_id);
    let amount = InBoth {
        account_minor: increased.amount_minor,
        transaction_minor: known.in_its_currency(transaction, increased.amount_minor),
    };
    let change = Change {
        held: amount,
        expires_at: Some(increased.expires_at),
        part: Some(Part {
            answered: Some(answered),
            ..part(PartKind::Increment, amount, command, authorize)
        }),
        counted_in: increased.uses.clone(),
        ..Change::default()
    };
    change_authorization(state, increased.authorization_id, command.at, change);
    let account_id = expect_authorization(state, increased.authorization_id).account_id;
    assert!(
        expect_account(state, account_id).available_minor() >= 0,
        "account {account_id} is overdrawn by {}",
        authorize.authorization_id
    );
}

fn part(kind: PartKind, amount: InBoth, command: &Command, payment: &Authorize) -> Part {
    Part {
        kind,
        amount,
        match_keys: payment.match_keys,
        at: command.at,
        is_undone: false,
        undone: InBoth::default(),
        is_superseded: false,
        answered: None,
    }
}

fn amend(state: &mut State, command: &Command, payment: &Authorize, outcome: &AdviceOutcome) {
    let AdviceOutcome::Amended {
        authorization_id,
        before_minor,
        after_minor,
        expires_at,
        standing,
    } = *outcome
    else {
        return;
    };
    let known = expect_authorization(state, authorization_id);
    assert_eq!(
        known.held.account_minor, before_minor,
        "authorization {authorization_id} holds another amount than was amended"
    );
    let moved_minor = after_minor - before_minor;
    let is_increment = payment.kind == Kind::Incremental;
    let stated_minor = if is_increment {
        moved_minor
    } else {
        after_minor
    };
    let transaction_minor = known.in_its_currency(payment.amounts.transaction, stated_minor);
    let held = InBoth {
        account_minor: moved_minor,
        transaction_minor: match is_increment {
            true => transaction_minor,
            false => transaction_minor - known.held.transaction_minor,
        },
    };
    if !is_increment {
        supersede_increments(known);
    }
    let part = is_increment.then(|| part(PartKind::Increment, held, command, payment));
    let change = Change {
        held,
        expires_at: Some(expires_at),
        closes: ClosedBy::of(standing),
        part,
        ..Change::default()
    };
    change_authorization(state, authorization_id, command.at, change);
    expect_authorization(state, authorization_id).is_amended = true;
    end_approved(state, command, authorization_id);
}

/// They are in what was stated of the whole.
pub(super) fn supersede_increments(known: &mut Authorization) {
    let parts = known.parts.iter_mut();
    for part in parts.filter(|part| part.kind == PartKind::Increment) {
        part.is_superseded = true;
    }
}

fn complete(state: &mut State, command: &Command, payment: &Authorize, advised: &Advised) {
    let AdviceOutcome::Completed {
        authorization_id,
        released_minor,
        standing,
    } = advised.outcome
    else {
        return;
    };
    let known = expect_authorization(state, authorization_id);
    let account_id = known.account_id;
    let charged_minor = charged(&advised.postings, account_id);
    let transaction_minor = known.in_its_currency(payment.amounts.transaction, charged_minor);
    let posted = InBoth {
        account_minor: charged_minor,
        transaction_minor: charged_minor.signum() * transaction_minor,
    };
    let held_transaction_minor = known.held.transaction_minor;
    let released = InBoth {
        account_minor: released_minor,
        transaction_minor: match standing {
            Standing::Cleared => held_transaction_minor,
            _ => transaction_minor.min(held_transaction_minor),
        },
    };
    post(state, account_id, &advised.postings);
    let change = Change {
        held: released.negative(),
        posted,
        kept: Kept::of_legs(&advised.postings, &advised.charges),
        closes: ClosedBy::of(standing),
        part: Some(part(PartKind::Completion, posted, command, payment)),
        ..Change::default()
    };
    change_authorization(state, authorization_id, command.at, change);
    refunds::apply(state, authorization_id, &advised.gives_back);
    end_approved(state, command, authorization_id);
}

pub(super) fn expect_authorization(state: &mut State, id: AuthorizationId) -> &mut Authorization {
    state
        .authorizations
        .get_mut(id)
        .unwrap_or_else(|| panic!("authorization {id} of an event is not in this shard"))
}

//! Applies what ends the wait for a customer: its own decision, and whatever came before it. What changes the
//! authorization lives in `apply_messages.rs`.

use super::answer::{Answer, AnswerResult};
use super::apply::{expect_account, post};
use super::apply_messages::{Change, change_authorization, expect_authorization, remember_answer};
use super::apply_reversal::undo;
use super::authorizations::{ClosedBy, InBoth};
use super::card_history::Undecided;
use super::command::{Command, Resolve};
use super::event::{Resolved, ResolvedTo};
use super::first_answer::Answered;
use super::ids::AuthorizationId;
use super::money::Money;
use super::postings::Kept;
use super::reason::DeclineReason;
use super::state::State;

pub(super) fn resolved(
    state: &mut State,
    command: &Command,
    resolve: &Resolve,
    resolved: &Resolved,
) {
    let id = resolve.authorization_id;
    match &resolved.to {
        ResolvedTo::Approved { released, posted } => {
            approve(state, command, id, (*released, *posted), resolved);
        }
        ResolvedTo::Declined { undone, .. } => undo(
            state,
            command,
            undone,
            &resolved.postings,
            &resolved.charges,
        ),
        ResolvedTo::NothingWaits => {}
    }
    if let Some(answer) = resolved.answer {
        end_wait(state, command, id, answer);
    }
}

fn approve(
    state: &mut State,
    command: &Command,
    id: AuthorizationId,
    (released, posted): (InBoth, InBoth),
    resolved: &Resolved,
) {
    let (postings, charges) = (&resolved.postings, &resolved.charges);
    let account_id = expect_authorization(state, id).account_id;
    post(state, account_id, postings);
    let posts = posted != InBoth::default();
    let change = Change {
        held: released.negative(),
        posted,
        kept: Kept::of_legs(postings, charges),
        closes: posts.then_some(ClosedBy::Completion),
        ..Change::default()
    };
    change_authorization(state, id, command.at, change);
    let known = expect_authorization(state, id);
    known.posted_at_once = posts;
    known.opened = known.stands_at();
    known.is_amended = false;
}

/// Ends it once the authorization is what it was answered to be.
fn end_wait(state: &mut State, command: &Command, id: AuthorizationId, answer: Answer) {
    if let Some(waiting) = state.authorizations.stop_waiting(id) {
        let answered = Answered {
            repeat_key: waiting.repeat_key,
            asked: waiting.asked,
            answer,
        };
        expect_authorization(state, id).answered = Some(answered);
        remember_answer(state, command, answered, true);
        if let Some(undecided) = &waiting.undecided {
            note_decided(state, command, id, (undecided, answer));
        }
        if answer.declined().is_some() {
            give_card_back(state, id);
        }
    }
}

fn note_decided(
    state: &mut State,
    command: &Command,
    id: AuthorizationId,
    (undecided, answer): (&Undecided, Answer),
) {
    let known = expect_authorization(state, id);
    let (card_id, stands_at) = (known.card_id, known.stands_at());
    let card = state.kept_on_mut(card_id);
    let Some(history) = card.and_then(|card| card.history.as_deref_mut()) else {
        return;
    };
    match answer.declined() {
        Some(_) => history.note_declined(command.at, undecided),
        None => history.note_approved(command.at, undecided, stands_at.account_minor),
    }
}

/// Its merchant was told no in the end: it is not what its card was used for, nor what locks it to that merchant.
pub(super) fn give_card_back(state: &mut State, id: AuthorizationId) {
    let known = expect_authorization(state, id);
    let (card_id, lock) = (known.card_id, std::mem::take(&mut known.lock));
    if let Some(card) = state.kept_on_mut(card_id) {
        card.give_back_use(id);
        card.give_back_lock(lock);
    }
}

/// A reversal, or the end of the hold by hand: the customer needs not decide any more.
pub(super) fn end_declined(state: &mut State, command: &Command, id: AuthorizationId) {
    let answer = Answer::Authorization {
        authorization_id: id,
        result: AnswerResult::Declined(DeclineReason::ReversedBeforeOriginal),
    };
    end_wait(state, command, id, answer);
}

/// The network has gone on without us: what it did stands, and was a no if nothing does.
pub(super) fn end_approved(state: &mut State, command: &Command, id: AuthorizationId) {
    let known = expect_authorization(state, id);
    let Some(waiting) = known.waiting.as_deref() else {
        return;
    };
    if known.stands_at() == InBoth::default() {
        return end_declined(state, command, id);
    }
    let (approval_code, account_id) = (known.approval_code, known.account_id);
    let posted = Money {
        amount_minor: known.posted.transaction_minor,
        currency: known.currency,
    };
    // Of a single message it is told what was posted, where its terminal takes parts; of another what was decided.
    let is_less = posted.amount_minor < known.opened.transaction_minor;
    let part = match waiting.posts && waiting.in_part && is_less {
        true => Some(posted),
        false => waiting.part,
    };
    let available_minor = expect_account(state, account_id).available_minor();
    let approved = AnswerResult::Approved {
        approval_code,
        available_minor,
    };
    let answer = Answer::Authorization {
        authorization_id: id,
        result: part.map_or(approved, |approved| AnswerResult::PartiallyApproved {
            approval_code,
            approved,
        }),
    };
    end_wait(state, command, id, answer);
}

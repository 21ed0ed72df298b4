//! Applies what ends the wait for a customer: its own decision, and whatever came before it. What changes the
//! authorization lives in `apply_messages.rs`.

use super::answer::{Answer, AnswerResult};
use super::apply::{expect_account, post};
use super::apply_messages::{
    Change, change_authorization, expect_authorization, remember_answer, undo,
};
use super::authorizations::{ClosedBy, InBoth};
use super::command::{Command, Resolve};
use super::event::{Postings, Resolved, ResolvedTo};
use super::first_answer::Answered;
use super::ids::AuthorizationId;
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
    if let Some(answer) = resolved.answer {
        end_wait(state, command, id, answer);
    }
    match &resolved.to {
        ResolvedTo::Approved { released, posted } => {
            approve(state, command, id, (*released, *posted), &resolved.postings);
        }
        ResolvedTo::Declined { undone, .. } => undo(state, command, undone, &resolved.postings),
        ResolvedTo::NothingWaits => {}
    }
}

fn approve(
    state: &mut State,
    command: &Command,
    id: AuthorizationId,
    (released, posted): (InBoth, InBoth),
    postings: &Postings,
) {
    let account_id = expect_authorization(state, id).account_id;
    post(state, account_id, postings);
    let posts = posted != InBoth::default();
    let change = Change {
        held: released.negative(),
        posted,
        kept: Kept::of_legs(postings),
        closes: posts.then_some(ClosedBy::Completion),
        ..Change::default()
    };
    change_authorization(state, id, command.at, change);
    let known = expect_authorization(state, id);
    known.posted_at_once = posts;
    known.opened = known.stands_at();
    known.is_amended = false;
}

fn end_wait(state: &mut State, command: &Command, id: AuthorizationId, answer: Answer) {
    if let Some(waiting) = state.authorizations.stop_waiting(id) {
        let answered = Answered {
            repeat_key: waiting.repeat_key,
            asked: waiting.asked,
            answer,
        };
        expect_authorization(state, id).answered = Some(answered);
        remember_answer(state, command, answered, true);
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

/// The network has gone on without us: what it did stands.
pub(super) fn end_approved(state: &mut State, command: &Command, id: AuthorizationId) {
    let known = expect_authorization(state, id);
    let (approval_code, account_id) = (known.approval_code, known.account_id);
    let available_minor = expect_account(state, account_id).available_minor();
    let answer = Answer::Authorization {
        authorization_id: id,
        result: AnswerResult::Approved {
            approval_code,
            available_minor,
        },
    };
    end_wait(state, command, id, answer);
}

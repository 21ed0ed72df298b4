//! Applies what undoes: reversals, and the taking back of what was late. Whatever else messages do lives in
//! `apply_messages.rs`.

use super::apply::{post, reversal_answer};
use super::apply_messages::{
    Change, change_authorization, expect_authorization, remember_answer, supersede_increments,
};
use super::apply_resolve::{end_declined, give_card_back};
use super::authorizations::{ClosedBy, InBoth, Part, PartKind};
use super::command::{Authorize, Command, Reverse};
use super::event::{Postings, ReversalOutcome, Reversed, Standing, Undone, UndoneWhat, Withheld};
use super::facts::MatchKeys;
use super::fees::charge::Charge;
use super::first_answer::{Answered, Asked};
use super::ids::AuthorizationId;
use super::postings::Kept;
use super::reversals::Reversal;
use super::state::State;
use super::withhold;

pub(super) fn reversal(
    state: &mut State,
    command: &Command,
    reverse: &Reverse,
    reversed: &Reversed,
) {
    if reversed.outcome == ReversalOutcome::Duplicate {
        return;
    }
    let answered = Answered {
        repeat_key: reverse.repeat_key,
        asked: Asked::of_reversal(reverse),
        answer: reversal_answer(reverse, reversed),
    };
    remember_answer(state, command, answered, false);
    match &reversed.outcome {
        ReversalOutcome::Undone(undone) => {
            if undone.what == UndoneWhat::Above {
                state_rest(state, command, undone.authorization_id, answered);
            }
            undo(
                state,
                command,
                undone,
                &reversed.postings,
                &reversed.charges,
            );
            expect_authorization(state, undone.authorization_id).is_amended = true;
            if ClosedBy::of(undone.standing).is_some() {
                end_declined(state, command, undone.authorization_id);
            }
        }
        // A part of it is to stay: the original must not be refused as a whole.
        ReversalOutcome::OriginalUnknown if reverse.stays.is_some() => {}
        ReversalOutcome::OriginalUnknown => state.early_reversals.remember(Reversal {
            root: command.root,
            card_id: reverse.card_id,
            at: command.at,
            match_keys: reverse.original_keys,
        }),
        // Remembered since the first one.
        ReversalOutcome::AlreadyReversed | ReversalOutcome::Duplicate => {}
    }
}

/// Notes a reversal that said what is to stay of the whole: earlier increments are in that.
fn state_rest(state: &mut State, command: &Command, id: AuthorizationId, answered: Answered) {
    supersede_increments(expect_authorization(state, id));
    let part = Part {
        kind: PartKind::Rest,
        amount: InBoth::default(),
        match_keys: MatchKeys::default(),
        at: command.at,
        is_undone: false,
        undone: InBoth::default(),
        is_superseded: false,
        answered: Some(answered),
    };
    state.authorizations.add_part(id, part);
}

/// Undoes an approval that its network did not get.
pub(super) fn withheld(
    state: &mut State,
    command: &Command,
    payment: &Authorize,
    withheld: &Withheld,
) {
    let answered = Answered {
        repeat_key: payment.repeat_key,
        asked: Asked::of_authorization(payment),
        answer: withhold::answer(payment),
    };
    // What the network reversed itself keeps its answer: it is not what we took back.
    remember_answer(state, command, answered, withheld.undone.is_some());
    take_back(state, command, answered, withheld);
    let id = payment.authorization_id;
    let known = state.authorizations.get(id);
    if known.is_some_and(|known| known.is_closed_by(ClosedBy::Reversal)) {
        give_card_back(state, id);
    }
}

fn take_back(state: &mut State, command: &Command, answered: Answered, withheld: &Withheld) {
    let Some(undone) = &withheld.undone else {
        return;
    };
    let known = expect_authorization(state, undone.authorization_id);
    match undone.what {
        UndoneWhat::Part { place, .. } => {
            if let Some(part) = known.parts.get_mut(usize::from(place)) {
                part.answered = Some(answered);
            }
        }
        UndoneWhat::Whole | UndoneWhat::Above => known.answered = Some(answered),
    }
    undo(
        state,
        command,
        undone,
        &withheld.postings,
        &withheld.charges,
    );
}

pub(super) fn undo(
    state: &mut State,
    command: &Command,
    undone: &Undone,
    postings: &Postings,
    charges: &[Charge],
) {
    let id = undone.authorization_id;
    let known = expect_authorization(state, id);
    let account_id = known.account_id;
    if let UndoneWhat::Part { place, is_whole } = undone.what
        && let Some(part) = known.parts.get_mut(usize::from(place))
    {
        part.undone = part.undone.plus(undone.released.plus(undone.returned));
        part.is_undone = is_whole;
    }
    let card_id = known.card_id;
    post(state, account_id, postings);
    let change = Change {
        held: undone.released.negative(),
        posted: undone.returned.negative(),
        kept: Kept::of_legs(postings, charges),
        closes: ClosedBy::of(undone.standing),
        ..Change::default()
    };
    change_authorization(state, id, command.at, change);
    if undone.standing == Standing::Reversed
        && let Some(card) = state.kept_on_mut(card_id)
    {
        card.give_back_use(id);
    }
}

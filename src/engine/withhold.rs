//! Decides what becomes of an approval whose answer came too late for its network: it is undone, and the message is
//! answered as one that could not be decided. Who notices the time lives in `network`.

use super::authorizations::{Authorization, ClosedBy, PartKind};
use super::command::{Authorize, Command};
use super::decide::Outcome;
use super::decide_reversal::{returned, undo_part, undo_whole};
use super::event::{Answer, AnswerResult, Event, Undone, Withheld};
use super::facts::Kind;
use super::first_answer::{Asked, FirstAnswer};
use super::reason::DeclineReason;
use super::state::State;

/// What the network is told, and what repeats of the message get.
pub(super) fn answer(payment: &Authorize) -> Answer {
    Answer::Authorization {
        authorization_id: payment.authorization_id,
        result: AnswerResult::Declined(DeclineReason::AnswerTooLate),
    }
}

pub(super) fn decide(state: &State, command: &Command, payment: &Authorize) -> Outcome {
    let retention_ms = state.registry.settings.first_answer_retention_ms;
    let first = state
        .first_answers
        .find(payment.repeat_key, command.at, retention_ms)
        .filter(|first| is_of(first, command, payment));
    if let Some(first) = first.filter(|first| !first.answer.is_approval()) {
        return Outcome::FirstAnswer(first.answer);
    }
    let undone = match (found(state, payment), first) {
        (Found::Untouched(undone), _) => Some(undone),
        // The network has gone on from the approval, so it has heard of it.
        (Found::GoneOn, Some(first)) => return Outcome::FirstAnswer(first.answer),
        (Found::GoneOn | Found::Nothing, _) => None,
    };
    let (postings, charges) = match &undone {
        Some(undone) => returned(state, undone),
        None => Default::default(),
    };
    Outcome::Event(Event::Withheld(Box::new(Withheld {
        registry_version: state.registry.version,
        undone,
        postings,
        charges,
    })))
}

fn is_of(first: &FirstAnswer, command: &Command, payment: &Authorize) -> bool {
    first.root == command.root
        && first.asked == Asked::of_authorization(payment)
        && matches!(first.answer, Answer::Authorization { authorization_id, .. }
            if authorization_id == payment.authorization_id)
}

enum Found {
    /// As the approval left it.
    Untouched(Undone),
    /// Changed by a later message, or over.
    GoneOn,
    /// Undone already, or an approval that left nothing behind.
    Nothing,
}

fn found(state: &State, payment: &Authorize) -> Found {
    if payment.kind == Kind::Incremental {
        return increment(state, payment);
    }
    match state.authorizations.get(payment.authorization_id) {
        None => Found::Nothing,
        Some(known) if known.is_closed_by(ClosedBy::Reversal) => Found::Nothing,
        Some(known) if is_untouched(known) => Found::Untouched(undo_whole(known, 0)),
        Some(_) => Found::GoneOn,
    }
}

fn is_untouched(known: &Authorization) -> bool {
    let as_opened = known.stands_at() == known.opened;
    let expected = match known.posted_at_once {
        true => known.is_closed_by(ClosedBy::Completion),
        false => known.is_open(),
    };
    // A rest that was stated before its customer decided is in what it was opened with.
    let mut parts = known.parts.iter();
    as_opened && expected && parts.all(|part| part.kind == PartKind::Rest) && !known.is_amended
}

/// The increment that was approved under this id, if it has not been undone.
fn increment(state: &State, payment: &Authorize) -> Found {
    let id = payment.authorization_id;
    let named = payment.match_keys.stated().flat_map(|name| {
        let known = state.authorizations.named(payment.card_id, name);
        known.flat_map(|known| {
            let parts = known.parts.iter().enumerate();
            parts.map(move |(place, part)| (known, place, part))
        })
    });
    let mut own = named.filter(|(_, _, part)| {
        let mut answered = part.answered.iter();
        answered.any(|answered| answered.answer.is_approval_of(id))
    });
    match own.next() {
        None => Found::Nothing,
        Some((_, _, part)) if part.is_undone => Found::Nothing,
        // What the network has stated since has this amount in it.
        Some((known, _, part)) if !known.is_open() || part.is_superseded => Found::GoneOn,
        // Places are below the most parts that have names.
        Some((known, place, part)) => Found::Untouched(undo_part(known, place as u16, part, 0)),
    }
}

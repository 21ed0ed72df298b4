//! Repeats and reversals that came first: a message whose identity is known.

use crate::engine::checks::Checks;
use crate::engine::command::{Authorize, Command};
use crate::engine::event::Answer;
use crate::engine::first_answer::Asked;
use crate::engine::matching::{self, Before};
use crate::engine::reason::DeclineReason;
use crate::engine::state::State;
use crate::engine::trace::{Detail, Step};

pub enum Found {
    Nothing,
    /// The same message was answered before.
    First(Answer),
    /// The same identity with another amount, currency or kind.
    Clash,
    /// A reversal of this message came before it.
    Reversed,
}

pub fn find(state: &State, command: &Command, authorize: &Authorize) -> Found {
    let at = command.at;
    let settings = &state.registry.settings;
    let first =
        state
            .first_answers
            .find(authorize.repeat_key, at, settings.first_answer_retention_ms);
    if let Some(first) = first.filter(|first| first.root == command.root) {
        return same_or_clash(authorize, first.asked, first.answer);
    }
    match matching::before(state, command, authorize) {
        Before::Answered(before) => same_or_clash(authorize, before.asked, before.answer),
        Before::Nothing => Found::Nothing,
        Before::Reversed => Found::Reversed,
    }
}

fn same_or_clash(authorize: &Authorize, asked: Asked, answer: Answer) -> Found {
    match asked == Asked::of_authorization(authorize) {
        true => Found::First(answer),
        false => Found::Clash,
    }
}

pub fn note(found: Found, checks: &mut Checks) {
    match found {
        Found::Nothing | Found::First(_) => checks.pass(Step::Repeat, Detail::None),
        Found::Clash => checks.fail(
            Step::Repeat,
            DeclineReason::DuplicateTransmission,
            Detail::None,
        ),
        Found::Reversed => checks.fail(
            Step::Repeat,
            DeclineReason::ReversedBeforeOriginal,
            Detail::None,
        ),
    }
}

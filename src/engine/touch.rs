//! Reads the memory that a command will be decided on, without deciding: one pass over a batch lets
//! the processor fetch all of it at once, where deciding would wait for each line in turn.

use super::command::{Action, Authorize};
use super::ids::CardId;
use super::state::State;

/// A number that depends on what was read, so that the reading cannot be left out.
pub fn touch(state: &State, action: &Action) -> u64 {
    match action {
        Action::Authorize(authorize) => touch_authorization(state, authorize),
        Action::Reverse(reverse) => {
            let remembered = state.first_answers.touch(reverse.repeat_key);
            touch_card(state, reverse.card_id).wrapping_add(remembered)
        }
        _ => 0,
    }
}

fn touch_authorization(state: &State, authorize: &Authorize) -> u64 {
    let mut sum = touch_card(state, authorize.card_id);
    sum = sum.wrapping_add(state.first_answers.touch(authorize.repeat_key));
    for key in &authorize.match_keys {
        sum = sum.wrapping_add(state.reversed.touch((authorize.card_id, *key)));
    }
    let doubled = state.holds.contains_key(&authorize.authorization_id);
    sum.wrapping_add(u64::from(doubled))
}

fn touch_card(state: &State, id: CardId) -> u64 {
    let Some(card) = state.card(id) else {
        return 0;
    };
    let account = state.account_of(card);
    let counters = [&card.counters, &account.counters, &account.program_counters];
    let counted = counters.map(|counters| {
        let ends = (counters.0.first(), counters.0.last());
        ends.0.map_or(0, |counter| counter.count) + ends.1.map_or(0, |counter| counter.count)
    });
    counted
        .into_iter()
        .fold(account.posted_minor as u64, |sum, count| {
            sum.wrapping_add(u64::from(count))
        })
        .wrapping_add(card.created_at.0 as u64)
}

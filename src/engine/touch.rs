//! Reads the memory that a batch will be decided on, without deciding: the processor fetches all of
//! it at once, where deciding would wait for each line in turn.

use super::command::{Action, Command};
use super::counters::{Counter, Counters};
use super::facts::{MatchKeys, RepeatKey};
use super::ids::{AuthorizationId, CardId};
use super::slot_index::hash_of_id;
use super::state::{Account, Card, State};
use arrayvec::ArrayVec;

/// As many as are under way at once; more would push the first out again.
const AT_ONCE: usize = 64;

/// What `touch_all` does, for one command.
pub fn touch(state: &State, command: &Command) -> u64 {
    touch_all(state, std::iter::once(&command.action))
}

/// Reads what these actions will need, round by round: where the cards are and what the tables of
/// messages have, then the cards, their accounts, the counters. Within a round no read waits for another,
/// and a round does little else, so that the processor has many of them under way. The number depends
/// on what was read, so that the reading cannot be left out.
pub fn touch_all<'a>(state: &State, actions: impl Iterator<Item = &'a Action>) -> u64 {
    let mut sum = 0u64;
    let mut add = |read: u64| sum = sum.wrapping_add(read);
    let mut messages = actions.filter_map(message_of).peekable();
    while messages.peek().is_some() {
        let batch: ArrayVec<Message, AT_ONCE> = messages.by_ref().take(AT_ONCE).collect();
        for message in &batch {
            add(state.card_slots.touch(hash_of_id(message.card_id.0)));
        }
        for message in &batch {
            add(state.first_answers.touch(message.repeat_key));
        }
        for message in &batch {
            add(touch_names(state, message));
        }
        let cards = batch
            .iter()
            .filter_map(|message| state.card(message.card_id));
        let cards: ArrayVec<&Card, AT_ONCE> = cards.collect();
        for message in &batch {
            add(message
                .authorization_id
                .map_or(0, |id| state.authorizations.touch(id)));
        }
        let accounts = cards.iter().map(|card| state.account_of(card));
        let accounts: ArrayVec<&Account, AT_ONCE> = accounts.collect();
        for card in &cards {
            add(card.created_at.0 as u64 + u64::from(card.expiry.0));
        }
        for account in &accounts {
            add(account.posted_minor as u64 + u64::from(account.open_holds));
            add(account.program_counters.calendar.len() as u64);
        }
        for card in &cards {
            add(touch_counters(&state.kept_on(card).counters));
        }
        for account in &accounts {
            add(touch_counters(&account.counters));
            add(touch_counters(&account.program_counters));
        }
    }
    sum
}

/// What of a message leads to memory.
struct Message<'a> {
    card_id: CardId,
    repeat_key: RepeatKey,
    names: &'a MatchKeys,
    authorization_id: Option<AuthorizationId>,
}

fn message_of(action: &Action) -> Option<Message<'_>> {
    match action {
        Action::Authorize(authorize) => Some(Message {
            card_id: authorize.card_id,
            repeat_key: authorize.repeat_key,
            names: &authorize.match_keys,
            authorization_id: Some(authorize.authorization_id),
        }),
        Action::Reverse(reverse) => Some(Message {
            card_id: reverse.card_id,
            repeat_key: reverse.repeat_key,
            names: &reverse.original_keys,
            authorization_id: None,
        }),
        Action::Advise(advise) => Some(Message {
            card_id: advise.payment.card_id,
            repeat_key: advise.payment.repeat_key,
            names: &advise.payment.original_keys,
            authorization_id: Some(advise.payment.authorization_id),
        }),
        _ => None,
    }
}

fn touch_names(state: &State, message: &Message) -> u64 {
    let touched = message.names.stated().map(|name| {
        let open = state.authorizations.touch_name(message.card_id, name);
        open.wrapping_add(state.early_reversals.touch(message.card_id, name))
    });
    touched.fold(0, u64::wrapping_add)
}

fn touch_counters(counters: &Counters) -> u64 {
    let count = |counter: Option<&Counter>| counter.map_or(0, |c| u64::from(c.count));
    count(counters.calendar.first()) + count(counters.calendar.last())
}

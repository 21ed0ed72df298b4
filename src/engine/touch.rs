//! Reads the memory that a batch will be decided on, without deciding: the processor fetches all of
//! it at once, where deciding would wait for each line in turn.

use super::command::{Action, Command};
use super::facts::{MatchKeys, RepeatKey};
use super::ids::{AuthorizationId, CardId};
use super::state::{Account, Card, Counters, State};
use arrayvec::ArrayVec;

/// As many as are under way at once; more would push the first out again.
const AT_ONCE: usize = 64;

/// What `touch_all` does, for one command.
pub fn touch(state: &State, command: &Command) -> u64 {
    touch_all(state, std::iter::once(&command.action))
}

/// Reads what these actions will need, in four rounds: where the cards are, the cards, their accounts,
/// the counters. Within a round no read waits for another. The number depends on what was read, so
/// that the reading cannot be left out.
pub fn touch_all<'a>(state: &State, actions: impl Iterator<Item = &'a Action>) -> u64 {
    let mut sum = 0u64;
    let mut messages = actions.filter_map(message_of).peekable();
    while messages.peek().is_some() {
        let mut cards = ArrayVec::<&Card, AT_ONCE>::new();
        for message in messages.by_ref().take(AT_ONCE) {
            sum = sum.wrapping_add(touch_tables(state, &message));
            cards.extend(state.card(message.card_id));
        }
        let mut accounts = ArrayVec::<&Account, AT_ONCE>::new();
        for card in &cards {
            sum = sum.wrapping_add(card.created_at.0 as u64 + u64::from(card.expiry.0));
            accounts.push(state.account_of(card));
        }
        for account in &accounts {
            sum = sum.wrapping_add(account.posted_minor as u64 + u64::from(account.open_holds));
            sum = sum.wrapping_add(account.program_counters.0.len() as u64);
        }
        let of_cards = cards.iter().map(|card| &card.counters);
        let of_accounts = accounts
            .iter()
            .flat_map(|account| [&account.counters, &account.program_counters]);
        for counters in of_cards.chain(of_accounts) {
            sum = sum.wrapping_add(touch_counters(counters));
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
        _ => None,
    }
}

fn touch_tables(state: &State, message: &Message) -> u64 {
    let mut sum = state.first_answers.touch(message.repeat_key);
    for name in message.names.stated() {
        sum = sum.wrapping_add(state.reversed.touch(message.card_id, name));
        let open = state.open_by_match_key.find(message.card_id, name).next();
        sum = sum.wrapping_add(open.map_or(0, |id| id.0));
    }
    let doubled = message
        .authorization_id
        .is_some_and(|id| state.holds.contains_key(&id));
    sum.wrapping_add(u64::from(doubled))
}

fn touch_counters(counters: &Counters) -> u64 {
    let count = |counter: Option<&super::state::Counter>| counter.map_or(0, |c| u64::from(c.count));
    count(counters.0.first()) + count(counters.0.last())
}

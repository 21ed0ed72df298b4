//! What a shard's state has of one object, as a reply.

use super::reply::Reply;
use crate::engine::ids::{AccountId, CardId, TokenId};
use crate::engine::state::State;
use crate::engine::wallet;

pub(super) fn card(state: &State, id: CardId) -> Reply {
    state.card(id).map_or(Reply::NotFound, |card| {
        Reply::Card(Box::new(state.shown(card)))
    })
}

/// A card that draws on the account, first or later, and is not this one; or an account below it.
pub(super) fn used_by(state: &State, account_id: AccountId, other_than: CardId) -> Reply {
    if let Some(found) = wallet::drawn_on_by(state, account_id, other_than) {
        return card(state, found.id);
    }
    let mut accounts = state.accounts.iter();
    let below = accounts.find(|account| account.parent_id == Some(account_id));
    below.map_or(Reply::NotFound, |below| account(state, below.id))
}

pub(super) fn token(state: &State, id: TokenId) -> Reply {
    let token = state.tokens.get(id).cloned();
    token.map_or(Reply::NotFound, |token| Reply::Token(Box::new(token)))
}

pub(super) fn account(state: &State, id: AccountId) -> Reply {
    state.account(id).map_or(Reply::NotFound, |account| {
        Reply::Account(Box::new(account.clone()))
    })
}

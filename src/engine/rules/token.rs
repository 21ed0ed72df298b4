//! Whether the token that a message names may pay, and stands for the card that it names. One that names none has no such
//! step. What a token's network checked of it, its cryptogram among it, is not seen here.

use crate::engine::checks::{Checks, Context};
use crate::engine::facts::NamedToken;
use crate::engine::ids::TokenId;
use crate::engine::kinds::Direction;
use crate::engine::reason::DeclineReason;
use crate::engine::time::Timestamp;
use crate::engine::tokens::{Token, TokenStatus};
use crate::engine::trace::{Detail, Step};

pub fn check(context: &Context, checks: &mut Checks) {
    let failed = match context.command.token {
        NamedToken::Absent => return,
        NamedToken::Unknown => Some(DeclineReason::TokenNotFound),
        NamedToken::InPlaceOfCard(id) => against(context, id, DeclineReason::TokenNotFound),
        // It is somebody's, and so of another tree than the card.
        NamedToken::BesideCard(id) => against(context, id, DeclineReason::TokenMismatch),
    };
    match failed {
        Some(reason) => checks.fail(Step::Token, reason, Detail::None),
        None => checks.pass(Step::Token, Detail::None),
    }
}

fn against(context: &Context, id: TokenId, not_of_tree: DeclineReason) -> Option<DeclineReason> {
    // Whatever else the shard has must make no difference.
    let Some(token) = context.state.token_of_tree(context.root.id, id) else {
        return Some(not_of_tree);
    };
    if !stands_for_card(context, token) {
        return Some(DeclineReason::TokenMismatch);
    }
    // What was paid with a token must be able to come back, whatever became of the token since.
    if context.direction() == Direction::Credit {
        return None;
    }
    forbids(token, context.at)
}

/// Why a token may pay nothing, whoever asks.
pub fn forbids(token: &Token, at: Timestamp) -> Option<DeclineReason> {
    match token.status {
        TokenStatus::Requested | TokenStatus::Deleted => Some(DeclineReason::TokenNotActive),
        TokenStatus::Suspended => Some(DeclineReason::TokenSuspended),
        TokenStatus::Active => {
            let is_over = token.expiry.is_some_and(|expiry| expiry.is_past_at(at));
            is_over.then_some(DeclineReason::TokenExpired)
        }
    }
}

/// Any card of its chain: a network may not have heard yet of the one in the place of another, whose status decides then.
fn stands_for_card(context: &Context, token: &Token) -> bool {
    let card = context.state.card(token.card_id);
    card.is_some_and(|card| card.first_of_chain() == context.card.first_of_chain())
}

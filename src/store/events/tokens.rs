//! Events of tokens.

use super::about::Subject;
use super::fold::{Draft, EventContext};
use super::types::EventType;
use crate::engine::command::{Action, Command};
use crate::engine::event::Event;
use crate::engine::ids::TokenId;
use crate::engine::tokens::{TokenChange, TokenStatus};
use crate::store::from_token;
use crate::store::row_json;
use crate::store::rows::Sequence;

/// What a record makes of the tokens that the context knows.
pub(super) fn take_in(
    context: &mut EventContext,
    sequence: Sequence,
    command: &Command,
    event: &Event,
) {
    let mut set_status = |id: TokenId, to: TokenStatus| {
        if let Some(row) = context.tokens.get_mut(&id) {
            row.status = to;
        }
    };
    match (&command.action, event) {
        (Action::ChangeTokenStatus(change), Event::TokenStatusChanged { to, .. }) => {
            set_status(change.token_id, *to);
        }
        (_, Event::CardStatusChanged { tokens, .. }) => {
            for id in tokens {
                set_status(*id, TokenStatus::Deleted);
            }
        }
        (Action::ReplaceCard(replace), Event::CardReplaced(replaced)) => {
            for id in &replaced.tokens {
                if let Some(row) = context.tokens.get_mut(id) {
                    row.card_id = replace.card_id;
                }
            }
        }
        _ => {
            if let Some(row) = from_token::opened(sequence, command, event) {
                context.tokens.insert(row.id, row);
            }
        }
    }
}

pub(super) fn of_shard(context: &EventContext, action: &Action, event: &Event) -> Vec<Draft> {
    let about = |id: &TokenId, event_type| {
        let row = context.tokens.get(id)?;
        Some(Draft {
            event_type,
            subject: Subject::Card(row.card_id),
            content: vec![(
                "token",
                row_json::token(row, context.links_json(row.card_id)),
            )],
        })
    };
    match (action, event) {
        (Action::OpenToken(open), Event::TokenOpened { status, .. }) => {
            let requested = about(&open.token_id, EventType::TokenRequested);
            let is_deleted = *status == TokenStatus::Deleted;
            let deleted = about(&open.token_id, EventType::TokenDeleted).filter(|_| is_deleted);
            requested.into_iter().chain(deleted).collect()
        }
        (Action::ChangeTokenStatus(change), Event::TokenStatusChanged { .. }) => {
            let event_type = match change.change {
                TokenChange::Activate => EventType::TokenActivated,
                TokenChange::Suspend => EventType::TokenSuspended,
                TokenChange::Resume => EventType::TokenResumed,
                TokenChange::Delete => EventType::TokenDeleted,
            };
            about(&change.token_id, event_type).into_iter().collect()
        }
        (_, Event::CardStatusChanged { tokens, .. }) => {
            let deleted = |id| about(id, EventType::TokenDeleted);
            tokens.iter().filter_map(deleted).collect()
        }
        _ => Vec::new(),
    }
}

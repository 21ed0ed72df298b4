//! `/v1/cards/{id}/spend`: each limit that binds a card, with what is used of it, what is left, and when it resets.

use super::auth::Caller;
use super::cards;
use super::error::{ApiError, json_response};
use super::limits_json;
use super::{Gate, ask, authorizations};
use crate::engine::ids::{CardId, LinkId};
use crate::engine::spend::Spent;
use crate::json::trace::{self, OwnerNames};
use crate::shard::reply::Reply;
use crate::shard::request::ShardRequest;
use crate::store::row_json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

/// From memory: what a network was answered a moment ago is in it.
pub async fn one(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let id: CardId = id.parse().map_err(|_| cards::not_found())?;
    let (issued, keys) = cards::issued(&state, id).await?;
    let (at, spent) = match ask::shard(&state, issued.root, ShardRequest::Spend(id)).await? {
        Reply::Spend(at, spent) => (at, spent),
        Reply::NotFound => return Err(cards::not_found()),
        reply => return Err(ask::unexpected(&reply)),
    };
    let name_of = |id: LinkId| {
        let place = issued.links.iter().position(|number| *number == id)?;
        let key = keys.get(place)?;
        Some(row_json::link(&key.link_type, &key.id))
    };
    let limits = spent.iter();
    let names = OwnerNames {
        link: &name_of,
        levels_above: authorizations::levels_told(&caller),
    };
    let limits = limits.map(|spent| trace::with_owner(spent.owner, to_json(spent), &names));
    let body = json!({
        "object": "spend",
        "card_id": id.to_string(),
        "as_of": at.to_string(),
        "limits": limits.collect::<Vec<_>>(),
    });
    Ok(json_response(StatusCode::OK, body.to_string()))
}

fn to_json(spent: &Spent) -> Value {
    let limit = &spent.limit;
    let left = limit
        .amount_minor
        .map(|allowed| allowed.saturating_sub(spent.used_minor).max(0));
    let left_count = limit
        .count
        .map(|allowed| allowed.saturating_sub(spent.used_count));
    let mut json = limits_json::to_json(limit);
    for of_some in ["link", "account_id", "levels_above"] {
        json[of_some] = Value::Null;
    }
    json["used"] = limit.amount_minor.map(|_| spent.used_minor).into();
    json["left"] = left.into();
    json["used_count"] = limit.count.map(|_| spent.used_count).into();
    json["left_count"] = left_count.into();
    json["resets_at"] = spent.resets.resets_at().map(|at| at.to_string()).into();
    json
}

//! `/v1/cards/{id}/spend`: each limit that binds a card, with what is used of it, what is left, and when it resets.

use super::cards;
use super::error::{ApiError, json_response};
use super::limits_json;
use super::{Gate, ask};
use crate::engine::ids::CardId;
use crate::engine::spend::Spent;
use crate::shard::reply::Reply;
use crate::shard::request::ShardRequest;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

/// From memory: what a network was answered a moment ago is in it.
pub async fn one(State(gate): State<Gate>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let id: CardId = id.parse().map_err(|_| cards::not_found())?;
    let (issued, _) = cards::issued(&state, id).await?;
    let (at, spent) = match ask::shard(&state, issued.root, ShardRequest::Spend(id)).await? {
        Reply::Spend(at, spent) => (at, spent),
        Reply::NotFound => return Err(cards::not_found()),
        reply => return Err(ask::unexpected(&reply)),
    };
    let body = json!({
        "object": "spend",
        "card_id": id.to_string(),
        "as_of": at.to_string(),
        "limits": spent.iter().map(to_json).collect::<Vec<_>>(),
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
    json["scope"] = spent.scope.name().into();
    json["used"] = limit.amount_minor.map(|_| spent.used_minor).into();
    json["left"] = left.into();
    json["used_count"] = limit.count.map(|_| spent.used_count).into();
    json["left_count"] = left_count.into();
    json["resets_at"] = spent.resets.resets_at().map(|at| at.to_string()).into();
    json
}

//! What is used of limits, what is left, and when they reset: `/v1/cards/{id}/spend` and `/v1/accounts/{id}/spend` of each that
//! binds them, `/v1/links/{type}/{id}/spend` of the object's own, which are its budget.

use super::auth::Caller;
use super::error::{ApiError, json_response};
use super::limits_json;
use super::list::ListQuery;
use super::{ApiState, Gate, accounts, ask, authorizations, cards, links};
use crate::engine::ids::{AccountId, CardId, LinkId};
use crate::engine::links::{KnownLink, LinkedTrees};
use crate::engine::spend::{self, SpendOf, Spent};
use crate::engine::time::Timestamp;
use crate::json::trace::{self, OwnerNames};
use crate::shard::reply::Reply;
use crate::shard::request::ShardRequest;
use crate::store::row_json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

/// From memory: what a network was answered a moment ago is in it.
pub async fn of_card(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let id: CardId = id.parse().map_err(|_| cards::not_found())?;
    let (issued, keys) = cards::issued(&state, id).await?;
    let spent = shard_spend(&state, issued.root, SpendOf::Card(id)).await?;
    let (at, spent) = spent.ok_or_else(cards::not_found)?;
    let name_of = |id: LinkId| {
        let place = issued.links.iter().position(|number| *number == id)?;
        let key = keys.get(place)?;
        Some(row_json::link(&key.link_type, &key.id))
    };
    let names = OwnerNames {
        link: &name_of,
        levels_above: authorizations::levels_told(&caller),
    };
    let limits = spent.iter().map(|spent| to_json(spent, &names)).collect();
    let of = json!({ "card_id": id.to_string() });
    Ok(told(of, at, limits))
}

pub async fn of_account(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let id: AccountId = id.parse().map_err(|_| accounts::not_found())?;
    let root = accounts::find(&state, id).await?.root;
    let spent = shard_spend(&state, root, SpendOf::Account(id)).await?;
    let (at, spent) = spent.ok_or_else(accounts::not_found)?;
    let names = OwnerNames {
        link: &|_| None,
        levels_above: authorizations::levels_told(&caller),
    };
    let limits = spent.iter().map(|spent| to_json(spent, &names)).collect();
    let of = json!({ "account_id": id.to_string() });
    Ok(told(of, at, limits))
}

pub async fn of_link(
    State(gate): State<Gate>,
    Path(path): Path<(String, String)>,
    caller: Caller,
    query: ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let link = links::of_request(&state, &caller, path, query).await?;
    let (at, limits) = budget(&state, &link).await?;
    let of = json!({ "link": row_json::link(&link.key.link_type, &link.key.id) });
    Ok(told(of, at, limits))
}

/// What is left of the limits of a linked object, and as of when.
pub async fn budget(
    state: &ApiState,
    link: &KnownLink,
) -> Result<(Timestamp, Vec<Value>), ApiError> {
    let link_id = link.link_id;
    let (at, spent) = match (link.trees, &link.controls) {
        (LinkedTrees::One(root), Some(controls)) => {
            let controls = controls.clone();
            let of = SpendOf::Link {
                link: link_id,
                root,
                controls,
            };
            let spent = shard_spend(state, root, of).await?;
            spent.ok_or_else(|| ApiError::internal(&"a shard knows no limit of a link"))?
        }
        // No card has used any of them; an object of several trees has none.
        (_, controls) => {
            let at = state.switchboard.clock.now();
            let controls = controls.as_deref();
            let spent = controls.map(|controls| spend::of_unused_link(link_id, controls, at));
            (at, spent.unwrap_or_default())
        }
    };
    let name = row_json::link(&link.key.link_type, &link.key.id);
    let names = OwnerNames {
        link: &|_| Some(name.clone()),
        levels_above: 0,
    };
    let limits = spent.iter().map(|spent| to_json(spent, &names));
    Ok((at, limits.collect()))
}

async fn shard_spend(
    state: &ApiState,
    root: AccountId,
    of: SpendOf,
) -> Result<Option<(Timestamp, Vec<Spent>)>, ApiError> {
    match ask::shard(state, root, ShardRequest::Spend(of)).await? {
        Reply::Spend(at, spent) => Ok(Some((at, spent))),
        Reply::NotFound => Ok(None),
        reply => Err(ask::unexpected(&reply)),
    }
}

fn told(of: Value, at: Timestamp, limits: Vec<Value>) -> Response {
    let body = json!({
        "object": "spend",
        "card_id": of["card_id"],
        "account_id": of["account_id"],
        "link": of["link"],
        "as_of": at.to_string(),
        "limits": limits,
    });
    json_response(StatusCode::OK, body.to_string())
}

fn to_json(spent: &Spent, names: &OwnerNames) -> Value {
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
    trace::with_owner(spent.owner, json, names)
}

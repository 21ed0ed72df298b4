//! `/v1/links/{type}/{id}`: the controls of an object that cards are linked to, and freezing or closing all of them. What
//! controls do is in `engine::links`, the state in `engine::link_states`.

use super::auth::Caller;
use super::body::WriteRequest;
use super::error::{ApiError, json_response};
use super::fields::{self, Fields};
use super::freed_cards::Freeing;
use super::guarded::{self, Guarded};
use super::idempotency::{Ids, Success, Write, once};
use super::list::ListQuery;
use super::{ApiState, Gate, ask, bounds, cards, controls_json, spend};
use crate::engine::api_keys::Bounds;
use crate::engine::approvals::GuardedWrite;
use crate::engine::controls::Controls;
use crate::engine::ids::{LimitId, ProgramId};
use crate::engine::link_states::{ChangeLinkStatus, LinkStatus};
use crate::engine::links::{KnownLink, LinkedTrees, SetLinkControls};
use crate::engine::registry::{LinkKey, RegistryAction, RegistryRefusal};
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::time::Instant;

/// A link's type and id, as they are named in bodies and paths.
pub type LinkPair = (Box<str>, Box<str>);

/// Links are told flat in events, as `<type>_id`. These fields are the event's own.
pub const RESERVED_TYPES: [&str; 5] = ["authorization", "balance", "card", "object", "program"];

/// Takes `type` and `id` of a link.
pub fn take_pair(link: &mut Fields) -> Result<LinkPair, ApiError> {
    let link_type = link.required_text("type", 32)?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !link_type.bytes().all(fits) {
        let path = link.path("type");
        let message = format!("{path} must have small letters, digits and `_` only");
        return Err(ApiError::invalid("link_type_invalid", path, message));
    }
    if RESERVED_TYPES.contains(&&*link_type) {
        let path = link.path("type");
        let message = format!(
            "{path} cannot be `{link_type}`: events have a `{link_type}_id` of their own, in the place of the link's"
        );
        return Err(ApiError::invalid("link_type_reserved", path, message));
    }
    let id_path = link.path("id");
    let id = link.take("id").ok_or_else(|| link.missing("id"))?;
    let id = fields::text(&id_path, id, 128)?;
    Ok((link_type.into(), id.into()))
}

/// The same of a path.
fn pair_of_path((link_type, id): (String, String)) -> Result<LinkPair, ApiError> {
    let mut link = Fields::of("", json!({ "type": link_type, "id": id }))?;
    take_pair(&mut link)
}

/// `PUT`: replaces the controls; limits that keep their id keep their counters.
pub async fn replace(
    State(gate): State<Gate>,
    Path(path): Path<(String, String)>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| carry_out_replacing(write, path.clone(), None).await;
    once(gate.state()?, request, work).await
}

/// What was approved is for the program that it was asked for, whatever its approver sees.
pub async fn carry_out_replacing(
    write: Write,
    path: (String, String),
    approved_for: Option<ProgramId>,
) -> Result<Success, ApiError> {
    let Write {
        state,
        caller,
        mut fields,
        mut ids,
        way,
    } = write;
    let pair = pair_of_path(path)?;
    let program_id = fields.id("program_id", ProgramId::PREFIX)?;
    let controls = controls_json::take_required(&mut fields, &mut ids, &state.switchboard.view())?;
    fields.finish()?;
    let named = approved_for.or(program_id);
    let (program_id, before) = target(&state, &caller, &pair, named).await?;
    refuse_limits_of_others(&controls, &ids, before.as_ref())?;
    let controls_before = before.as_ref().and_then(|link| link.controls.as_deref());
    let raises = cards::may_loosen(&caller, &controls, controls_before)?;
    let guarded = Guarded {
        program_id,
        write: GuardedWrite::SetLinkControls {
            link_type: pair.0.clone(),
            id: pair.1.clone(),
        },
        replaces: Some(controls_json::of(controls_before)),
        becomes: Some(controls_json::to_json(&controls)),
    };
    let needs_two = raises && guarded::policy(&state, program_id).limit_raises;
    if let Some(waits) = guarded::ask_if(needs_two, &state, (&caller, &ids, &way), guarded).await? {
        return Ok(waits);
    }
    let before = before.as_ref().map_or(Value::Null, to_json);
    let (link_type, id) = pair;
    let key = LinkKey {
        program_id,
        link_type,
        id,
    };
    let set = SetLinkControls {
        key,
        controls,
        tenant: caller.tenant(),
    };
    let action = RegistryAction::SetLinkControls(Box::new(set));
    match ask::registry_command(&state, action).await? {
        Reply::Links(links) => match links.first() {
            Some(link) => Ok(Success::ok(told(&state, link).await).from(before)),
            None => Err(ApiError::internal(&"a link that was set is not there")),
        },
        Reply::RegistryRefused(refusal) => Err(refused(refusal)),
        reply => Err(ask::unexpected(&reply)),
    }
}

/// A limit of a linked object counts under its id, and ids are one sequence: who could state one that is yet to be given, or
/// that another object has, would be in the way of its owner. So an id is the object's own, or given with this write.
fn refuse_limits_of_others(
    controls: &Controls,
    ids: &Ids,
    known: Option<&KnownLink>,
) -> Result<(), ApiError> {
    let is_own =
        |id: LimitId| ids.have_given(id.0) || known.is_some_and(|known| known.knows_limit(id));
    let mut limits = controls.limits.iter().enumerate();
    let Some((place, limit)) = limits.find(|(_, limit)| !is_own(limit.id)) else {
        return Ok(());
    };
    let path = format!("controls.limits[{place}].id");
    let message = format!(
        "{path} is {}, which is no limit of this object, now or before; leave it out, and the limit gets an id of its own",
        limit.id
    );
    Err(ApiError::invalid("limit_id_unknown", path, message))
}

/// `POST …/freeze`, `/unfreeze`, `/close`: every card of the object, those linked later among them.
pub async fn change_status(
    State(gate): State<Gate>,
    Path(path): Path<(String, String)>,
    request: WriteRequest,
    to: LinkStatus,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            caller,
            mut fields,
            ..
        } = write;
        let pair = pair_of_path(path.clone())?;
        let program_id = fields.id("program_id", ProgramId::PREFIX)?;
        fields.finish()?;
        let (program_id, known) = target(&state, &caller, &pair, program_id).await?;
        let before = known.as_ref().map_or(Value::Null, to_json);
        if let Some(known) = known.filter(|known| is_freed(known, to)) {
            let freed = &state.freed_cards;
            let by = caller.tenant().zip(caller.customer_id());
            let by = by.map(|(tenant, customer)| Freeing { tenant, customer });
            freed.take(by, known.cards, Instant::now())?;
        }
        let key = LinkKey {
            program_id,
            link_type: pair.0.clone(),
            id: pair.1.clone(),
        };
        let change = Box::new(ChangeLinkStatus { key, to });
        match ask::registry_command(&state, RegistryAction::ChangeLinkStatus(change)).await? {
            Reply::Done => {}
            Reply::RegistryRefused(refusal) => return Err(refused(refusal)),
            reply => return Err(ask::unexpected(&reply)),
        }
        let after = find_one(&state, caller.bounds(), &pair, Some(program_id)).await?;
        Ok(Success::ok(told(&state, &after).await).from(before))
    };
    once(gate.state()?, request, work).await
}

fn is_freed(known: &KnownLink, to: LinkStatus) -> bool {
    known.status == LinkStatus::Frozen && to == LinkStatus::Active
}

/// What a refusal about links means to a caller.
pub fn refused(refusal: RegistryRefusal) -> ApiError {
    let told = refusal.to_string();
    match refusal {
        RegistryRefusal::ProgramNotFound(_) => {
            ApiError::not_found("program_not_found", told).with_param("program_id")
        }
        RegistryRefusal::LinkClosed { .. } => {
            ApiError::conflict("link_closed", told).with_param("links")
        }
        RegistryRefusal::LinkOfOtherTree { .. } => {
            ApiError::conflict("link_of_other_tree", told).with_param("links")
        }
        RegistryRefusal::LinkOfSeveralTrees => {
            ApiError::conflict("link_of_several_trees", told).with_param("controls.limits")
        }
        RegistryRefusal::LimitOfOtherLink(_) => {
            ApiError::conflict("limit_of_other_link", told).with_param("controls.limits")
        }
        RegistryRefusal::TooManyCardsOfLink => {
            ApiError::conflict("too_many_cards_of_link", told).with_param("links")
        }
        RegistryRefusal::TooManyLinksWithControls => {
            ApiError::conflict("too_many_links_with_controls", told).with_param("controls")
        }
        refusal => ApiError::internal(&refusal),
    }
}

/// The program that a write is for, with the link that it has there: the one that is named, the one that has it, or else
/// the only one that the caller may write to. Only keys that are bound by nothing or by program alone make one known.
async fn target(
    state: &ApiState,
    caller: &Caller,
    pair: &LinkPair,
    named: Option<ProgramId>,
) -> Result<(ProgramId, Option<KnownLink>), ApiError> {
    if let Some(link) = find_seen(state, caller.bounds(), pair, named).await? {
        return Ok((link.key.program_id, Some(link)));
    }
    let program_id = match (named, caller.bounds()) {
        (Some(program_id), _) => program_id,
        (None, Some(bounds)) => only(&bounds.program_ids)?,
        (None, None) => {
            let view = ask::view(state).await?;
            let programs: Vec<_> = view.programs_in_order().iter().map(|p| p.id).collect();
            only(&programs)?
        }
    };
    match caller.sees_program(program_id) {
        true => Ok((program_id, None)),
        false => Err(not_found()),
    }
}

fn only(programs: &[ProgramId]) -> Result<ProgramId, ApiError> {
    match programs {
        [only] => Ok(*only),
        _ => Err(needs_program()),
    }
}

fn needs_program() -> ApiError {
    let message = "program_id is required here: this type and id do not lead to one program";
    ApiError::invalid("field_missing", "program_id", message)
}

/// The links of this type and id, in the order of their programs.
pub async fn find(
    state: &ApiState,
    (link_type, id): &LinkPair,
) -> Result<Vec<KnownLink>, ApiError> {
    let (link_type, id) = (link_type.clone(), id.clone());
    match ask::registry(state, RegistryRequest::Links { link_type, id }).await? {
        Reply::Links(links) => Ok(links),
        reply => Err(ask::unexpected(&reply)),
    }
}

/// The one of this type and id that a key of these bounds sees, in that program if one is named.
pub async fn find_one(
    state: &ApiState,
    bounds: Option<&Bounds>,
    pair: &LinkPair,
    program_id: Option<ProgramId>,
) -> Result<KnownLink, ApiError> {
    let seen = find_seen(state, bounds, pair, program_id).await?;
    seen.ok_or_else(not_found)
}

/// Whether the caller sees the object of this type and id in that program, or would, if it were known.
pub async fn is_seen(
    state: &ApiState,
    caller: &Caller,
    pair: &LinkPair,
    program_id: ProgramId,
) -> Result<bool, ApiError> {
    let seen = find_seen(state, caller.bounds(), pair, Some(program_id)).await?;
    Ok(seen.is_some() || caller.sees_program(program_id))
}

async fn find_seen(
    state: &ApiState,
    bounds: Option<&Bounds>,
    pair: &LinkPair,
    program_id: Option<ProgramId>,
) -> Result<Option<KnownLink>, ApiError> {
    let mut known = find(state, pair).await?;
    known.retain(|link| {
        let is_seen = bounds.is_none_or(|bounds| bounds::sees_link(bounds, link));
        is_seen && program_id.is_none_or(|id| id == link.key.program_id)
    });
    match known.len() {
        0 | 1 => Ok(known.pop()),
        _ => Err(needs_program()),
    }
}

pub async fn one(
    State(gate): State<Gate>,
    Path(path): Path<(String, String)>,
    caller: Caller,
    query: ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let link = of_request(&state, &caller, path, query).await?;
    let json = told(&state, &link).await.to_string();
    Ok(json_response(StatusCode::OK, json))
}

/// The object that a `GET` is about.
pub async fn of_request(
    state: &ApiState,
    caller: &Caller,
    path: (String, String),
    ListQuery(mut query): ListQuery,
) -> Result<KnownLink, ApiError> {
    let program_id = query.id("program_id", ProgramId::PREFIX)?;
    query.finish()?;
    // What no link can be named is not there either.
    let pair = pair_of_path(path).map_err(|_| not_found())?;
    find_one(state, caller.bounds(), &pair, program_id).await
}

fn not_found() -> ApiError {
    let message = "no card is linked to such an object, and it has no controls";
    ApiError::not_found("link_not_found", message)
}

/// With what is left of its budget. `null` where its shard says nothing: nothing that was asked for fails for that, least of all a freeze.
async fn told(state: &ApiState, link: &KnownLink) -> Value {
    let mut json = to_json(link);
    let budget = spend::budget(state, link).await;
    json["budget"] = budget.map_or(Value::Null, |(_, limits)| limits.into());
    json
}

fn to_json(link: &KnownLink) -> Value {
    let controls = link.controls.as_deref();
    json!({
        "object": "link",
        "type": link.key.link_type,
        "id": link.key.id,
        "program_id": link.key.program_id.to_string(),
        "status": link.status.name(),
        "cards": link.cards,
        "controls": controls.map_or(json!({}), controls_json::to_json),
        "root_account_id": match link.trees {
            LinkedTrees::One(root) => Some(root.to_string()),
            LinkedTrees::None | LinkedTrees::Several => None,
        },
        "spans_account_trees": link.trees == LinkedTrees::Several,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_share_has_a_code_of_its_own_and_says_what_makes_room() {
        let told = refused(RegistryRefusal::TooManyLinksWithControls);
        assert_eq!(told.status, StatusCode::CONFLICT);
        assert_eq!(told.code, "too_many_links_with_controls");
        assert!(
            told.message.contains("take those of one away"),
            "{}",
            told.message
        );
    }
}

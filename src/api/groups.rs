//! `/v1/mcc_groups` and `/v1/merchant_lists`: sets that many controls may name. What naming them does is in
//! `engine::groups`.

use super::body::WriteRequest;
use super::controls_json::mcc;
use super::error::{ApiError, json_response};
use super::fields::{self, Fields};
use super::idempotency::{Success, Write, once};
use super::list::{self, ListQuery};
use super::merchants_json::entry;
use super::{ApiState, Gate, ask};
use crate::engine::groups::{BuiltinMccGroup, MccGroup, SharedMerchantList};
use crate::engine::ids::{MccGroupId, MerchantListId};
use crate::engine::merchants::MerchantEntry;
use crate::engine::registry::{RegistryAction, RegistryRefusal, RegistryView};
use crate::json::lifts::merchant;
use crate::json::text::mcc_text;
use crate::shard::reply::Reply;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

/// Codes of one group.
pub const MCCS_MAX: usize = 1_000;
/// Merchants of one list, and names among them, each of which has to be compared.
pub const MERCHANTS_MAX: usize = 10_000;
const NAMES_MAX: usize = 200;

pub async fn create_mcc_group(
    State(gate): State<Gate>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            mut fields,
            mut ids,
            ..
        } = write;
        let id = MccGroupId(ids.next());
        let name = group_name(fields.required_text("name", 200)?)?.into();
        let codes = mccs(&mut fields)?.ok_or_else(|| fields.missing("mcc"))?;
        fields.finish()?;
        let group = MccGroup::new(id, name, codes, state.switchboard.clock.now());
        let json = mcc_group_to_json(&group);
        let action = RegistryAction::CreateMccGroup(Box::new(group));
        match change(&state, action).await? {
            true => Ok(Success::created(json)),
            // Made before under the same Idempotency-Key.
            false => find_mcc_group(&*ask::view(&state).await?, id).map(Success::created),
        }
    };
    once(gate.state()?, request, work).await
}

pub async fn update_mcc_group(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state, mut fields, ..
        } = write;
        let view = ask::view(&state).await?;
        let id: MccGroupId = id.parse().map_err(|_| no_mcc_group(&id))?;
        let before = view.groups.mcc_groups.get(&id);
        let before = before.ok_or_else(|| no_mcc_group(&id.to_string()))?;
        let name = fields.text("name", 200)?.map(group_name).transpose()?;
        let codes = mccs(&mut fields)?;
        finish_change(fields, name.is_some() || codes.is_some())?;
        let name = name.map_or_else(|| before.name.clone(), Into::into);
        let codes = codes.unwrap_or_else(|| before.mccs().to_vec());
        let group = MccGroup::new(id, name, codes, before.created_at);
        let json = mcc_group_to_json(&group);
        change(&state, RegistryAction::ChangeMccGroup(Box::new(group))).await?;
        Ok(Success::ok(json).from(mcc_group_to_json(before)))
    };
    once(gate.state()?, request, work).await
}

/// Not that of a group that comes with the program: controls name those by it.
fn group_name(name: String) -> Result<String, ApiError> {
    match BuiltinMccGroup::ALL.iter().any(|(_, known)| *known == name) {
        true => {
            let message = format!(
                "a group that comes with the program has the name {name}; choose another one"
            );
            Err(ApiError::conflict("group_name_taken", message).with_param("name"))
        }
        false => Ok(name),
    }
}

pub async fn one_mcc_group(
    State(gate): State<Gate>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let view = ask::view(&state).await?;
    let builtin = BuiltinMccGroup::ALL.iter().find(|(_, name)| *name == id);
    let json = match builtin {
        Some((group, _)) => builtin_to_json(*group),
        None => find_mcc_group(&view, id.parse().map_err(|_| no_mcc_group(&id))?)?,
    };
    Ok(json_response(StatusCode::OK, json.to_string()))
}

/// Those of the customer, newest first, and after them those that come with the program.
pub async fn many_mcc_groups(
    State(gate): State<Gate>,
    query: ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let view = ask::view(&state).await?;
    let own = view.groups.mcc_groups_in_order().into_iter().rev();
    let own = own.map(|group| (group.id.to_string(), mcc_group_to_json(group)));
    let builtin = BuiltinMccGroup::ALL.iter();
    let builtin = builtin.map(|(group, id)| ((*id).to_owned(), builtin_to_json(*group)));
    list::page_of_memory(query, own.chain(builtin).map(|(id, json)| (id, || json)))
}

pub async fn create_merchant_list(
    State(gate): State<Gate>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            mut fields,
            mut ids,
            ..
        } = write;
        let id = MerchantListId(ids.next());
        let name = fields.required_text("name", 200)?.into();
        let entries = merchants(&mut fields)?.ok_or_else(|| fields.missing("merchants"))?;
        fields.finish()?;
        let list = SharedMerchantList::new(id, name, entries, state.switchboard.clock.now());
        let json = merchant_list_to_json(&list);
        let action = RegistryAction::CreateMerchantList(Box::new(list));
        match change(&state, action).await? {
            true => Ok(Success::created(json)),
            false => find_merchant_list(&*ask::view(&state).await?, id).map(Success::created),
        }
    };
    once(gate.state()?, request, work).await
}

pub async fn update_merchant_list(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state, mut fields, ..
        } = write;
        let view = ask::view(&state).await?;
        let id: MerchantListId = id.parse().map_err(|_| no_merchant_list())?;
        let before = view.groups.merchant_lists.get(&id);
        let before = before.ok_or_else(no_merchant_list)?;
        let name = fields.text("name", 200)?;
        let entries = merchants(&mut fields)?;
        finish_change(fields, name.is_some() || entries.is_some())?;
        let name = name.map_or_else(|| before.name.clone(), Into::into);
        let entries = entries.unwrap_or_else(|| before.entries().to_vec());
        let list = SharedMerchantList::new(id, name, entries, before.created_at);
        let json = merchant_list_to_json(&list);
        change(&state, RegistryAction::ChangeMerchantList(Box::new(list))).await?;
        Ok(Success::ok(json).from(merchant_list_to_json(before)))
    };
    once(gate.state()?, request, work).await
}

pub async fn one_merchant_list(
    State(gate): State<Gate>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let view = ask::view(&state).await?;
    let json = find_merchant_list(&view, id.parse().map_err(|_| no_merchant_list())?)?;
    Ok(json_response(StatusCode::OK, json.to_string()))
}

pub async fn many_merchant_lists(
    State(gate): State<Gate>,
    query: ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let view = ask::view(&state).await?;
    let lists = view.groups.merchant_lists_in_order().into_iter().rev();
    let lists = lists.map(|list| (list.id.to_string(), || merchant_list_to_json(list)));
    list::page_of_memory(query, lists)
}

/// False where the id is taken.
async fn change(state: &ApiState, action: RegistryAction) -> Result<bool, ApiError> {
    match ask::registry_command(state, action).await? {
        Reply::Done => Ok(true),
        Reply::RegistryRefused(RegistryRefusal::IdTaken) => Ok(false),
        Reply::RegistryRefused(refusal @ RegistryRefusal::TooManyGroups) => {
            Err(ApiError::conflict("too_many", refusal.to_string()))
        }
        reply => Err(ask::unexpected(&reply)),
    }
}

fn finish_change(fields: Fields, changes: bool) -> Result<(), ApiError> {
    fields.finish()?;
    match changes {
        true => Ok(()),
        false => Err(fields::nothing_changes()),
    }
}

/// Takes `mcc`, if it is stated.
fn mccs(fields: &mut Fields) -> Result<Option<Vec<u16>>, ApiError> {
    // A group of none is one that nobody meant.
    let Some(entries) = fields.list_with_entries("mcc", MCCS_MAX)? else {
        return Ok(None);
    };
    let codes = entries.into_iter().map(|(path, value)| mcc(&path, value));
    codes.collect::<Result<_, _>>().map(Some)
}

fn merchants(fields: &mut Fields) -> Result<Option<Vec<MerchantEntry>>, ApiError> {
    let path = fields.path("merchants");
    let Some(entries) = fields.list_with_entries("merchants", MERCHANTS_MAX)? else {
        return Ok(None);
    };
    let entries = entries
        .into_iter()
        .map(|(path, value)| entry(&path, Fields::of(&path, value)?, None));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let is_name = |entry: &&MerchantEntry| matches!(entry, MerchantEntry::Name(_));
    if entries.iter().filter(is_name).count() > NAMES_MAX {
        let message = format!("{path} may have {NAMES_MAX} names; name the others by id");
        return Err(ApiError::invalid("too_many", path, message));
    }
    Ok(Some(entries))
}

fn find_mcc_group(view: &RegistryView, id: MccGroupId) -> Result<Value, ApiError> {
    let group = view.groups.mcc_groups.get(&id);
    let group = group.ok_or_else(|| no_mcc_group(&id.to_string()))?;
    Ok(mcc_group_to_json(group))
}

fn find_merchant_list(view: &RegistryView, id: MerchantListId) -> Result<Value, ApiError> {
    let list = view.groups.merchant_lists.get(&id);
    let list = list.ok_or_else(no_merchant_list)?;
    Ok(merchant_list_to_json(list))
}

fn no_mcc_group(id: &str) -> ApiError {
    if BuiltinMccGroup::ALL.iter().any(|(_, name)| *name == id) {
        let message =
            "this group comes with the program and cannot be changed; make one of your own";
        return ApiError::conflict("mcc_group_builtin", message);
    }
    ApiError::not_found("mcc_group_not_found", "there is no MCC group with this id")
}

fn no_merchant_list() -> ApiError {
    ApiError::not_found(
        "merchant_list_not_found",
        "there is no merchant list with this id",
    )
}

pub fn mcc_group_to_json(group: &MccGroup) -> Value {
    let codes: Vec<String> = group.mccs().iter().map(|mcc| mcc_text(*mcc)).collect();
    json!({
        "id": group.id.to_string(),
        "object": "mcc_group",
        "name": group.name,
        "mcc": codes,
        "builtin": false,
        "created_at": group.created_at.to_string(),
    })
}

/// Ranges as `3000-3350`.
fn builtin_to_json(group: BuiltinMccGroup) -> Value {
    let codes = group
        .mccs()
        .iter()
        .map(|range| match range.start() == range.end() {
            true => mcc_text(*range.start()),
            false => format!("{}-{}", mcc_text(*range.start()), mcc_text(*range.end())),
        });
    json!({
        "id": group.name(),
        "object": "mcc_group",
        "name": group.name(),
        "mcc": codes.collect::<Vec<_>>(),
        "builtin": true,
        "created_at": null,
    })
}

pub fn merchant_list_to_json(list: &SharedMerchantList) -> Value {
    let merchants: Vec<Value> = list.entries().iter().map(merchant).collect();
    json!({
        "id": list.id.to_string(),
        "object": "merchant_list",
        "name": list.name,
        "merchants": merchants,
        "created_at": list.created_at.to_string(),
    })
}

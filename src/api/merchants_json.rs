//! The control `merchants` as JSON, both ways. What it means is in `engine::merchants`.

use super::controls_json::{Nameable, allow_or_block, mode_name};
use super::error::ApiError;
use super::fields::Fields;
use super::idempotency::Ids;
use crate::engine::ids::{ControlId, MerchantListId};
use crate::engine::merchants::{MerchantEntry, MerchantList};
use crate::json::lifts::merchant;
use serde_json::{Value, json};

/// Entries of one list, each of which may have to be compared with each merchant.
const MERCHANTS_MAX: usize = 200;
/// Of DE42, DE32 and DE43.
const ID_MAX: usize = 15;
const ACQUIRER_ID_MAX: usize = 11;
const NAME_MAX: usize = 40;

pub fn take(
    controls: &mut Fields,
    ids: &mut Ids,
    nameable: Nameable,
) -> Result<Option<MerchantList>, ApiError> {
    let path = controls.path("merchants");
    let Some(mut fields) = controls.object("merchants")? else {
        return Ok(None);
    };
    let given = fields.id("id", ControlId::PREFIX)?;
    let id = given.unwrap_or_else(|| ControlId(ids.next()));
    let (mode, entries) = allow_or_block(&path, fields, MERCHANTS_MAX)?;
    let entries = entries
        .into_iter()
        .map(|(path, value)| entry(&path, Fields::of(&path, value)?, Some(nameable)));
    let entries = entries.collect::<Result<_, _>>()?;
    Ok(Some(MerchantList { id, mode, entries }))
}

/// An entry of a list; it may be one of the lists that may be named.
pub fn entry(
    path: &str,
    mut fields: Fields,
    nameable: Option<Nameable>,
) -> Result<MerchantEntry, ApiError> {
    if let Some(nameable) = nameable {
        let list_path = fields.path("list");
        if let Some(value) = fields.take("list") {
            fields.finish()?;
            return merchant_list_id(&list_path, &value, nameable).map(MerchantEntry::Shared);
        }
    }
    let id_path = fields.path("id");
    let id = fields.take("id");
    let id = id.map(|value| merchant_id(&id_path, &value)).transpose()?;
    let acquirer_id = acquirer_id(&mut fields)?;
    let name = fields.text("name", NAME_MAX)?;
    fields.finish()?;
    match (id, acquirer_id, name) {
        (Some(id), acquirer_id, None) => Ok(MerchantEntry::Id { id, acquirer_id }),
        (None, None, Some(name)) => Ok(MerchantEntry::Name(name.into())),
        _ => {
            let list = if nameable.is_some() {
                ", or a `list`"
            } else {
                ""
            };
            let message = format!(
                "{path} needs either an `id`, with or without an `acquirer_id`, or a `name`{list}"
            );
            Err(ApiError::invalid("merchant_invalid", path, message))
        }
    }
}

/// The id of a list that is there.
pub fn merchant_list_id(
    path: &str,
    value: &Value,
    nameable: Nameable,
) -> Result<MerchantListId, ApiError> {
    let id = value.as_str().and_then(|text| text.parse().ok());
    let known = id.filter(|id| nameable.has_list(*id));
    known.ok_or_else(|| {
        let message = format!("{path} must be the id of one of /v1/merchant_lists");
        ApiError::invalid("merchant_list_unknown", path, message)
    })
}

/// Card acceptor ids are letters, digits and marks without spaces at their ends. One in a hundred looks
/// like a card number and is none, so they are not looked at as other texts are.
pub fn merchant_id(path: &str, value: &Value) -> Result<Box<str>, ApiError> {
    let text = value.as_str().unwrap_or_default();
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let length = 1..=ID_MAX;
    if length.contains(&text.len()) && printable && text.trim() == text {
        return Ok(text.into());
    }
    let message =
        format!("{path} must be a merchant id: text of 1 to {ID_MAX} letters, digits and marks");
    Err(ApiError::invalid("merchant_id_invalid", path, message))
}

fn acquirer_id(fields: &mut Fields) -> Result<Option<Box<str>>, ApiError> {
    let path = fields.path("acquirer_id");
    let Some(value) = fields.take("acquirer_id") else {
        return Ok(None);
    };
    let text = value.as_str().unwrap_or_default();
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && (1..=ACQUIRER_ID_MAX).contains(&text.len()) {
        return Ok(Some(text.into()));
    }
    let message = format!("{path} must be an acquirer: text of 1 to {ACQUIRER_ID_MAX} digits");
    Err(ApiError::invalid("acquirer_id_invalid", path, message))
}

pub fn to_json(list: &MerchantList) -> Value {
    let entries: Vec<Value> = list.entries.iter().map(merchant).collect();
    let mode = mode_name(list.mode);
    json!({ "id": list.id.to_string(), mode: entries })
}

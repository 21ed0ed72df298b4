//! `controls` as JSON, both ways. What they mean is in `engine::controls`.

use super::error::ApiError;
use super::fields::{self, Fields};
use super::idempotency::Ids;
use super::programs::refuse_later;
use crate::engine::controls::{Controls, Limit, List, ListMode, Window};
use crate::engine::facts::Country;
use crate::engine::ids::{ControlId, LimitId};
use crate::engine::money::BALANCE_MAX_MINOR;
use crate::engine::window::time_zone;
use serde_json::{Map, Value, json};

/// Limits on one program, account or card.
const LIMITS_MAX: usize = 20;
/// Entries of one allow or block list, and MCCs of one limit's filter.
const LIST_MAX: usize = 1_000;

/// Takes the `controls` of an object; those of absent ones are none.
pub fn take(fields: &mut Fields, ids: &mut Ids) -> Result<Controls, ApiError> {
    let Some(mut controls) = fields.object("controls")? else {
        return Ok(Controls::default());
    };
    for later in ["merchants", "channels", "three_ds"] {
        refuse_later(&mut controls, later)?;
    }
    let mut limits: Vec<Limit> = Vec::new();
    for (path, value) in controls.list("limits", LIMITS_MAX)? {
        let limit = limit(Fields::of(&path, value)?, ids)?;
        if limits.iter().any(|other| other.id == limit.id) {
            let message = format!("{path}.id is the id of another limit in this list");
            return Err(ApiError::invalid(
                "id_repeated",
                format!("{path}.id"),
                message,
            ));
        }
        limits.push(limit);
    }
    let taken = Controls {
        limits,
        mcc: list(&mut controls, "mcc", ids, mcc)?,
        countries: list(&mut controls, "countries", ids, country)?,
        currencies: list(&mut controls, "currencies", ids, |path, value| {
            fields::currency(path, &value)
        })?,
    };
    controls.finish()?;
    Ok(taken)
}

fn limit(mut fields: Fields, ids: &mut Ids) -> Result<Limit, ApiError> {
    let given = fields.id("id", LimitId::PREFIX)?;
    let id = given.unwrap_or_else(|| LimitId(ids.next()));
    let window = window(&mut fields)?;
    let amount_minor = fields.integer("amount", 1..=BALANCE_MAX_MINOR)?;
    let count = fields.integer("count", 1..=i64::from(u32::MAX))?;
    let count = count.and_then(|count| u32::try_from(count).ok());
    if amount_minor.is_none() && count.is_none() {
        let path = fields.path("amount");
        let message = format!("{path} or a count is required: a limit bounds one of them or both");
        return Err(ApiError::invalid("field_missing", path, message));
    }
    if window == Window::Transaction && count.is_some() {
        let path = fields.path("count");
        let message = format!("{path} means nothing within one transaction; leave it out");
        return Err(ApiError::invalid("value_unknown", path, message));
    }
    let time_zone = zone(&mut fields)?;
    let mcc_filter = match fields.object("filter")? {
        None => Vec::new(),
        Some(mut filter) => {
            let mccs = filter.list("mcc", LIST_MAX)?;
            filter.finish()?;
            let mccs = mccs.into_iter().map(|(path, value)| mcc(&path, value));
            mccs.collect::<Result<_, _>>()?
        }
    };
    fields.finish()?;
    Ok(Limit {
        id,
        window,
        amount_minor,
        count,
        time_zone,
        mcc_filter,
    })
}

fn window(fields: &mut Fields) -> Result<Window, ApiError> {
    let known: Vec<(Option<Window>, &str)> = Window::ALL
        .iter()
        .map(|(window, name)| (Some(*window), *name))
        .chain([(None, "rolling")])
        .collect();
    let path = fields.path("window");
    match fields.word("window", &known)? {
        Some(Some(window)) => Ok(window),
        Some(None) => Err(ApiError::not_supported(
            &path,
            format!("{path}: rolling windows are not part of this version yet; take day or month"),
        )),
        None => Err(fields.missing("window")),
    }
}

fn zone(fields: &mut Fields) -> Result<Box<str>, ApiError> {
    let path = fields.path("time_zone");
    let name = fields.text("time_zone", 64)?.unwrap_or("UTC".into());
    if time_zone(&name).is_some() {
        return Ok(name.into());
    }
    let message = format!("{path} must be an IANA time zone, as in UTC or Europe/Berlin");
    Err(ApiError::invalid("time_zone_unknown", path, message))
}

/// `{"allow": [...]}` or `{"block": [...]}`.
fn list<T: Ord + Copy>(
    controls: &mut Fields,
    name: &str,
    ids: &mut Ids,
    read: impl Fn(&str, Value) -> Result<T, ApiError>,
) -> Result<Option<List<T>>, ApiError> {
    let path = controls.path(name);
    let Some(mut fields) = controls.object(name)? else {
        return Ok(None);
    };
    let given = fields.id("id", ControlId::PREFIX)?;
    let id = given.unwrap_or_else(|| ControlId(ids.next()));
    let allow = fields.list("allow", LIST_MAX)?;
    let block = fields.list("block", LIST_MAX)?;
    fields.finish()?;
    let (mode, entries) = match (allow.is_empty(), block.is_empty()) {
        (false, true) => (ListMode::Allow, allow),
        (true, false) => (ListMode::Block, block),
        _ => {
            let message = format!(
                "{path} needs either `allow` or `block`, with one entry or more; leave {path} out to let all pass"
            );
            return Err(ApiError::invalid("list_invalid", path, message));
        }
    };
    let entries = entries.into_iter().map(|(path, value)| read(&path, value));
    let values = entries.collect::<Result<Vec<T>, ApiError>>()?;
    Ok(Some(List::new(id, mode, values)))
}

pub fn mcc(path: &str, value: Value) -> Result<u16, ApiError> {
    let text = value.as_str().unwrap_or_default();
    let digits = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    let mcc = digits.then(|| text.parse().ok()).flatten();
    mcc.ok_or_else(|| {
        let message = format!("{path} must be a merchant category code: text of four digits");
        ApiError::invalid("mcc_invalid", path, message)
    })
}

fn country(path: &str, value: Value) -> Result<Country, ApiError> {
    let text = value.as_str().unwrap_or_default();
    let letters = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    let country = match text {
        // What a message without a country has.
        "ZZ" => Some(Country::UNKNOWN),
        _ => letters.then(|| Country::from_alpha2(text)).flatten(),
    };
    country.ok_or_else(|| {
        let message =
            format!("{path} must be a country's two capital letters (ISO 3166-1 alpha-2)");
        ApiError::invalid("country_unknown", path, message)
    })
}

pub fn to_json(controls: &Controls) -> Value {
    let mut json = Map::new();
    if !controls.limits.is_empty() {
        let limits = controls.limits.iter().map(limit_to_json);
        json.insert("limits".into(), limits.collect());
    }
    let lists = [
        ("mcc", list_to_json(&controls.mcc, |mcc| mcc_text(*mcc))),
        (
            "countries",
            list_to_json(&controls.countries, |country| country.alpha2().to_owned()),
        ),
        (
            "currencies",
            list_to_json(&controls.currencies, |currency| currency.alpha().to_owned()),
        ),
    ];
    for (name, list) in lists {
        json.extend(list.map(|list| (name.to_owned(), list)));
    }
    Value::Object(json)
}

fn limit_to_json(limit: &Limit) -> Value {
    let mut json = json!({
        "id": limit.id.to_string(),
        "window": limit.window.name(),
        "amount": limit.amount_minor,
        "count": limit.count,
        "time_zone": limit.time_zone,
    });
    if !limit.mcc_filter.is_empty() {
        let mccs: Vec<String> = limit.mcc_filter.iter().map(|mcc| mcc_text(*mcc)).collect();
        json["filter"] = json!({ "mcc": mccs });
    }
    json
}

fn list_to_json<T: Ord + Copy>(
    list: &Option<List<T>>,
    text: impl Fn(&T) -> String,
) -> Option<Value> {
    let list = list.as_ref()?;
    let mode = match list.mode {
        ListMode::Allow => "allow",
        ListMode::Block => "block",
    };
    let mut values: Vec<String> = list.values().iter().map(text).collect();
    values.sort_unstable();
    Some(json!({ "id": list.id.to_string(), mode: values }))
}

pub fn mcc_text(mcc: u16) -> String {
    format!("{mcc:04}")
}

//! `controls` as JSON, both ways. What they mean is in `engine::controls`.

use super::error::ApiError;
use super::fields::{self, Fields};
use super::idempotency::Ids;
use super::{limits_json, merchants_json, three_ds_json, time_windows_json};
use crate::engine::controls::{Controls, List, ListMode};
use crate::engine::facts::{Channel, Country, EntryMode};
use crate::engine::groups::{BuiltinMccGroup, MccGroupRef};
use crate::engine::ids::{ControlId, MccGroupId, MerchantListId};
use crate::engine::registry::RegistryView;
use crate::engine::window::time_zone;
use crate::json::lifts::group_text;
use crate::json::text::mcc_text;
use serde_json::{Map, Value, json};

/// Entries of one allow or block list, and MCCs of one limit's filter.
pub const LIST_MAX: usize = 1_000;

/// Takes the `controls` of an object; those of absent ones are none.
/// The groups and lists that they name must be in the view.
pub fn take(fields: &mut Fields, ids: &mut Ids, view: &RegistryView) -> Result<Controls, ApiError> {
    take_naming(fields, ids, Nameable::OfView(view))
}

/// As `take`, of an object that is about nothing else: controls of nothing have to be said.
pub fn take_required(
    fields: &mut Fields,
    ids: &mut Ids,
    view: &RegistryView,
) -> Result<Controls, ApiError> {
    match fields.has("controls") {
        true => take(fields, ids, view),
        false => Err(fields.missing("controls")),
    }
}

/// Which groups and lists controls may name.
#[derive(Clone, Copy)]
pub enum Nameable<'a> {
    OfView(&'a RegistryView),
    /// Whoever asks looks later whether they are there.
    Any,
}

impl Nameable<'_> {
    fn has_group(self, id: MccGroupId) -> bool {
        match self {
            Nameable::OfView(view) => view.groups.mcc_groups.contains_key(&id),
            Nameable::Any => true,
        }
    }

    pub fn has_list(self, id: MerchantListId) -> bool {
        match self {
            Nameable::OfView(view) => view.groups.merchant_lists.contains_key(&id),
            Nameable::Any => true,
        }
    }
}

fn take_naming(
    fields: &mut Fields,
    ids: &mut Ids,
    nameable: Nameable,
) -> Result<Controls, ApiError> {
    let Some(mut controls) = fields.object("controls")? else {
        return Ok(Controls::default());
    };
    let (mcc, mcc_groups) = mcc_list(&mut controls, ids, nameable)?;
    let taken = Controls {
        limits: limits_json::take(&mut controls, ids, nameable)?,
        mcc,
        countries: list(&mut controls, "countries", ids, country)?,
        currencies: list(&mut controls, "currencies", ids, |path, value| {
            fields::currency(path, &value)
        })?,
        merchants: merchants_json::take(&mut controls, ids, nameable)?,
        channels: list(&mut controls, "channels", ids, channel)?,
        entry_modes: list(&mut controls, "entry_modes", ids, entry_mode)?,
        time_windows: time_windows_json::take(&mut controls, ids)?,
        single_use: controls.boolean("single_use")?.unwrap_or(false),
        merchant_lock: controls.boolean("merchant_lock")?.unwrap_or(false),
        three_ds: three_ds_json::take(&mut controls)?,
        mcc_groups,
        home_country_only: controls.boolean("home_country_only")?.unwrap_or(false),
    };
    if taken.control_id_twice() {
        let path = fields.path("controls");
        let message = format!("{path} has two lists or time windows with the same id");
        return Err(ApiError::invalid("id_repeated", path, message));
    }
    controls.finish()?;
    Ok(taken)
}

/// Controls of a file, in the same form. What they leave without an id gets one that is not kept, and
/// whether the groups that they name are there is for the caller to see.
pub fn read(controls: Value) -> Result<Controls, String> {
    let told = |error: ApiError| error.message;
    let mut fields = Fields::of("", json!({ "controls": controls })).map_err(told)?;
    take_naming(&mut fields, &mut Ids::from(1), Nameable::Any).map_err(told)
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
    let (mode, entries) = allow_or_block(&path, fields, LIST_MAX)?;
    let entries = entries.into_iter().map(|(path, value)| read(&path, value));
    let values = entries.collect::<Result<Vec<T>, ApiError>>()?;
    Ok(Some(List::new(id, mode, values)))
}

type MccList = (Option<List<u16>>, Vec<MccGroupRef>);

/// Codes and groups of them, in one list.
fn mcc_list(controls: &mut Fields, ids: &mut Ids, nameable: Nameable) -> Result<MccList, ApiError> {
    let path = controls.path("mcc");
    let Some(mut fields) = controls.object("mcc")? else {
        return Ok((None, Vec::new()));
    };
    let given = fields.id("id", ControlId::PREFIX)?;
    let id = given.unwrap_or_else(|| ControlId(ids.next()));
    let (mode, entries) = allow_or_block(&path, fields, LIST_MAX)?;
    let (codes, groups) = mccs_and_groups(entries, nameable)?;
    Ok((Some(List::new(id, mode, codes)), groups))
}

/// Codes of four digits, and groups by the name of those that come with the program or by id.
pub fn mccs_and_groups(
    entries: Vec<(String, Value)>,
    nameable: Nameable,
) -> Result<(Vec<u16>, Vec<MccGroupRef>), ApiError> {
    let (mut codes, mut groups) = (Vec::new(), Vec::new());
    for (path, value) in entries {
        match group(&value, nameable) {
            Some(group) => groups.push(group),
            None => codes.push(mcc(&path, value)?),
        }
    }
    groups.sort_unstable();
    groups.dedup();
    Ok((codes, groups))
}

fn group(value: &Value, nameable: Nameable) -> Option<MccGroupRef> {
    let text = value.as_str()?;
    let builtin = BuiltinMccGroup::ALL.iter();
    let mut builtin = builtin.filter(|(_, name)| *name == text);
    if let Some((group, _)) = builtin.next() {
        return Some(MccGroupRef::Builtin(*group));
    }
    let id = text.parse().ok()?;
    let known = nameable.has_group(id);
    known.then_some(MccGroupRef::Own(id))
}

/// The mode of a list and its entries, and nothing else.
pub fn allow_or_block(
    path: &str,
    mut fields: Fields,
    entries_max: usize,
) -> Result<(ListMode, Vec<(String, Value)>), ApiError> {
    let allow = fields.list("allow", entries_max)?;
    let block = fields.list("block", entries_max)?;
    fields.finish()?;
    match (allow.is_empty(), block.is_empty()) {
        (false, true) => Ok((ListMode::Allow, allow)),
        (true, false) => Ok((ListMode::Block, block)),
        _ => {
            let message = format!(
                "{path} needs either `allow` or `block`, with one entry or more; leave {path} out to let all pass"
            );
            Err(ApiError::invalid("list_invalid", path, message))
        }
    }
}

/// The IANA name of a zone, by default UTC.
pub fn zone(fields: &mut Fields) -> Result<Box<str>, ApiError> {
    let path = fields.path("time_zone");
    let name = fields.text("time_zone", 64)?.unwrap_or("UTC".into());
    if time_zone(&name).is_some() {
        return Ok(name.into());
    }
    let message = format!("{path} must be an IANA time zone, as in UTC or Europe/Berlin");
    Err(ApiError::invalid("time_zone_unknown", path, message))
}

pub fn channel(path: &str, value: Value) -> Result<Channel, ApiError> {
    fields::word(path, &value, Channel::ALL)
}

pub fn entry_mode(path: &str, value: Value) -> Result<EntryMode, ApiError> {
    fields::word(path, &value, EntryMode::ALL)
}

pub fn mcc(path: &str, value: Value) -> Result<u16, ApiError> {
    let text = value.as_str().unwrap_or_default();
    let digits = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    let mcc = digits.then(|| text.parse().ok()).flatten();
    mcc.ok_or_else(|| {
        let message = format!(
            "{path} must be a merchant category code (text of four digits) or, in controls, a group: the name \
             or the id of one of /v1/mcc_groups"
        );
        ApiError::invalid("mcc_invalid", path, message)
    })
}

pub fn country(path: &str, value: Value) -> Result<Country, ApiError> {
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

/// Of an object that may have none.
pub fn of(controls: Option<&Controls>) -> Value {
    controls.map_or_else(|| json!({}), to_json)
}

pub fn to_json(controls: &Controls) -> Value {
    let mut json = Map::new();
    if !controls.limits.is_empty() {
        let limits = controls.limits.iter().map(limits_json::to_json);
        json.insert("limits".into(), limits.collect());
    }
    let lists = [
        ("mcc", mcc_list_to_json(controls)),
        (
            "countries",
            list_to_json(&controls.countries, |country| country.alpha2().to_owned()),
        ),
        (
            "currencies",
            list_to_json(&controls.currencies, |currency| currency.alpha().to_owned()),
        ),
        (
            "channels",
            list_to_json(&controls.channels, |channel| channel.name().to_owned()),
        ),
        (
            "entry_modes",
            list_to_json(&controls.entry_modes, |mode| mode.name().to_owned()),
        ),
        (
            "merchants",
            controls.merchants.as_ref().map(merchants_json::to_json),
        ),
    ];
    for (name, list) in lists {
        json.extend(list.map(|list| (name.to_owned(), list)));
    }
    if !controls.time_windows.is_empty() {
        let windows = controls.time_windows.iter().map(time_windows_json::to_json);
        json.insert("time_windows".into(), windows.collect());
    }
    for (name, set) in [
        ("single_use", controls.single_use),
        ("merchant_lock", controls.merchant_lock),
        ("home_country_only", controls.home_country_only),
    ] {
        if set {
            json.insert(name.into(), true.into());
        }
    }
    let three_ds = controls.three_ds.as_ref().map(three_ds_json::to_json);
    json.extend(three_ds.map(|policy| ("three_ds".to_owned(), policy)));
    Value::Object(json)
}

/// Codes first.
fn mcc_list_to_json(controls: &Controls) -> Option<Value> {
    let list = controls.mcc.as_ref()?;
    let codes = list.values().iter().map(|mcc| mcc_text(*mcc));
    let entries = codes.chain(controls.mcc_groups.iter().map(group_text));
    let entries: Vec<String> = entries.collect();
    Some(json!({ "id": list.id.to_string(), mode_name(list.mode): entries }))
}

fn list_to_json<T: Ord + Copy>(
    list: &Option<List<T>>,
    text: impl Fn(&T) -> String,
) -> Option<Value> {
    let list = list.as_ref()?;
    let mode = mode_name(list.mode);
    let mut values: Vec<String> = list.values().iter().map(text).collect();
    values.sort_unstable();
    Some(json!({ "id": list.id.to_string(), mode: values }))
}

pub fn mode_name(mode: ListMode) -> &'static str {
    match mode {
        ListMode::Allow => "allow",
        ListMode::Block => "block",
    }
}

//! What an exception lifts, out of JSON; the other way is in `json::lifts`. What that does is in `engine::rules::exceptions`.

use super::controls_json::{LIST_MAX, Nameable, channel, country, entry_mode, mccs_and_groups};
use super::error::ApiError;
use super::fields::{self, Fields};
use super::merchants_json;
use crate::engine::exceptions::{Lifts, RaisedLimit};
use crate::engine::ids::LimitId;
use crate::engine::money::BALANCE_MAX_MINOR;
use crate::engine::registry::RegistryView;
use serde_json::Value;

const LIMITS_MAX: usize = 20;
const MERCHANTS_MAX: usize = 200;

/// Takes `lifts`, which has to name something.
pub fn take(fields: &mut Fields, view: &RegistryView) -> Result<Lifts, ApiError> {
    let path = fields.path("lifts");
    let lifts = fields.object("lifts")?;
    let mut lifts = lifts.ok_or_else(|| fields.missing("lifts"))?;
    let nameable = Nameable::OfView(view);
    let (mccs, mcc_groups) = mccs_and_groups(lifts.list("mcc", LIST_MAX)?, nameable)?;
    let merchants = lifts.list("merchants", MERCHANTS_MAX)?.into_iter();
    let merchants = merchants.map(|(path, value)| {
        merchants_json::entry(&path, Fields::of(&path, value)?, Some(nameable))
    });
    let taken = Lifts {
        limits: limits(&mut lifts)?,
        mccs,
        mcc_groups,
        countries: list(&mut lifts, "countries", country)?,
        currencies: list(&mut lifts, "currencies", |path, value| {
            fields::currency(path, &value)
        })?,
        merchants: merchants.collect::<Result<_, _>>()?,
        channels: list(&mut lifts, "channels", channel)?,
        entry_modes: list(&mut lifts, "entry_modes", entry_mode)?,
    };
    lifts.finish()?;
    match taken.is_empty() {
        false => Ok(taken),
        true => {
            let message = format!("{path} must name something that is to pass");
            Err(ApiError::invalid("nothing_named", path, message))
        }
    }
}

fn list<T>(
    lifts: &mut Fields,
    name: &str,
    read: impl Fn(&str, Value) -> Result<T, ApiError>,
) -> Result<Vec<T>, ApiError> {
    let entries = lifts.list(name, LIST_MAX)?.into_iter();
    entries.map(|(path, value)| read(&path, value)).collect()
}

fn limits(lifts: &mut Fields) -> Result<Vec<RaisedLimit>, ApiError> {
    let mut limits: Vec<RaisedLimit> = Vec::new();
    for (path, value) in lifts.list("limits", LIMITS_MAX)? {
        let mut fields = Fields::of(&path, value)?;
        let count = fields.integer("count", 1..=i64::from(u32::MAX))?;
        let raised = RaisedLimit {
            limit_id: fields.required_id("id", LimitId::PREFIX)?,
            amount_minor: fields.integer("amount", 1..=BALANCE_MAX_MINOR)?,
            count: count.and_then(|count| u32::try_from(count).ok()),
        };
        if raised.amount_minor.is_none() && raised.count.is_none() {
            let path = fields.path("amount");
            let message = format!("{path} or a count is required: what the limit is to allow");
            return Err(ApiError::invalid("field_missing", path, message));
        }
        fields.finish()?;
        if limits.iter().any(|other| other.limit_id == raised.limit_id) {
            let path = format!("{path}.id");
            let message = format!("{path} is the id of another limit in this list");
            return Err(ApiError::invalid("id_repeated", path, message));
        }
        limits.push(raised);
    }
    Ok(limits)
}

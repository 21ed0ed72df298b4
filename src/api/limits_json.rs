//! `limits` of some controls as JSON, both ways. What they mean is in `engine::controls`.

use super::controls_json::{LIST_MAX, Nameable, channel, country, mccs_and_groups, zone};
use super::error::ApiError;
use super::fields::{Fields, word};
use super::idempotency::Ids;
use super::merchants_json::{merchant_id, merchant_list_id};
use crate::engine::controls::{Limit, Window};
use crate::engine::facts::Kind;
use crate::engine::ids::LimitId;
use crate::engine::limit_filter::LimitFilter;
use crate::engine::money::BALANCE_MAX_MINOR;
use crate::engine::rolling::RollingWindow;
use crate::json::lifts::group_text;
use crate::json::text::mcc_text;
use serde_json::{Value, json};

/// Limits on one program, account, linked object or card.
const LIMITS_MAX: usize = 20;

pub fn take(
    controls: &mut Fields,
    ids: &mut Ids,
    nameable: Nameable,
) -> Result<Vec<Limit>, ApiError> {
    let mut limits: Vec<Limit> = Vec::new();
    for (path, value) in controls.list("limits", LIMITS_MAX)? {
        let limit = limit(Fields::of(&path, value)?, ids, nameable)?;
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
    Ok(limits)
}

fn limit(mut fields: Fields, ids: &mut Ids, nameable: Nameable) -> Result<Limit, ApiError> {
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
    let refunds_restore = refunds_restore(&mut fields, window, amount_minor)?;
    let time_zone = zone(&mut fields)?;
    let filter = fields.object("filter")?;
    let filter = filter.map(|fields| self::filter(fields, nameable));
    let mut filter = filter.transpose()?.unwrap_or_default();
    filter.until_verified = fields.boolean("until_verified")?.unwrap_or(false);
    fields.finish()?;
    Ok(Limit {
        id,
        window,
        amount_minor,
        count,
        time_zone,
        filter: (!filter.is_empty()).then(|| Box::new(filter)),
        refunds_restore,
    })
}

const REFUNDS: &[(bool, &str)] = &[(false, "none"), (true, "restore")];

/// What a refund gives back is an amount of a window.
fn refunds_restore(
    fields: &mut Fields,
    window: Window,
    amount_minor: Option<i64>,
) -> Result<bool, ApiError> {
    let path = fields.path("refunds");
    let restore = fields.word("refunds", REFUNDS)?.unwrap_or(false);
    if restore && (window == Window::Transaction || amount_minor.is_none()) {
        let message = format!(
            "{path} means nothing for a transaction or a count; `restore` needs an amount and another window"
        );
        return Err(ApiError::invalid("value_unknown", path, message));
    }
    Ok(restore)
}

fn window(fields: &mut Fields) -> Result<Window, ApiError> {
    let named = Window::NAMED.iter();
    let known: Vec<(Option<Window>, &str)> = named
        .map(|(window, name)| (Some(*window), *name))
        .chain([(None, Window::ROLLING)])
        .collect();
    let window = fields.word("window", &known)?;
    let range = i64::from(RollingWindow::SECONDS_MIN)..=i64::from(RollingWindow::SECONDS_MAX);
    let seconds = fields.integer("window_seconds", range)?;
    let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
    match (window, seconds) {
        (None, _) => Err(fields.missing("window")),
        (Some(None), Some(seconds)) => Ok(Window::Rolling(RollingWindow { seconds })),
        (Some(None), None) => Err(fields.missing("window_seconds")),
        (Some(Some(window)), None) => Ok(window),
        (Some(Some(window)), Some(_)) => {
            let path = fields.path("window_seconds");
            let message = format!(
                "{path} is the length of a rolling window; leave it out for `{}`",
                window.name()
            );
            Err(ApiError::invalid("value_unknown", path, message))
        }
    }
}

fn filter(mut fields: Fields, nameable: Nameable) -> Result<LimitFilter, ApiError> {
    let (mccs, mcc_groups) = mccs_and_groups(fields.list("mcc", LIST_MAX)?, nameable)?;
    let filter = LimitFilter {
        mccs,
        mcc_groups,
        countries: part(&mut fields, "countries", country)?,
        channels: part(&mut fields, "channels", channel)?,
        kinds: part(&mut fields, "kinds", |path, value| {
            word(path, &value, Kind::ALL)
        })?,
        merchant_ids: part(&mut fields, "merchant_ids", |path, value| {
            merchant_id(path, &value)
        })?,
        merchant_lists: part(&mut fields, "merchant_lists", |path, value| {
            merchant_list_id(path, &value, nameable)
        })?,
        until_verified: false,
    };
    fields.finish()?;
    Ok(filter)
}

/// One part of a filter, whose entries are in the order in which they were written.
fn part<T>(
    fields: &mut Fields,
    name: &str,
    read: impl Fn(&str, Value) -> Result<T, ApiError>,
) -> Result<Vec<T>, ApiError> {
    let entries = fields.list(name, LIST_MAX)?.into_iter();
    entries.map(|(path, value)| read(&path, value)).collect()
}

pub fn to_json(limit: &Limit) -> Value {
    let mut json = json!({
        "id": limit.id.to_string(),
        "window": limit.window.name(),
        "amount": limit.amount_minor,
        "count": limit.count,
        "time_zone": limit.time_zone,
    });
    if let Window::Rolling(window) = limit.window {
        json["window_seconds"] = window.seconds.into();
    }
    if limit.refunds_restore {
        json["refunds"] = "restore".into();
    }
    if let Some(filter) = &limit.filter {
        let parts = filter_to_json(filter);
        if parts.as_object().is_some_and(|parts| !parts.is_empty()) {
            json["filter"] = parts;
        }
        if filter.until_verified {
            json["until_verified"] = true.into();
        }
    }
    json
}

fn filter_to_json(filter: &LimitFilter) -> Value {
    let mut json = json!({});
    let mut put = |name: &str, values: Vec<String>| {
        if !values.is_empty() {
            json[name] = values.into();
        }
    };
    let codes = filter.mccs.iter().map(|mcc| mcc_text(*mcc));
    let groups = filter.mcc_groups.iter().map(group_text);
    put("mcc", codes.chain(groups).collect());
    put(
        "countries",
        texts(&filter.countries, |country| country.alpha2().into()),
    );
    put(
        "channels",
        texts(&filter.channels, |channel| channel.name().into()),
    );
    put("kinds", texts(&filter.kinds, |kind| kind.name().into()));
    put(
        "merchant_ids",
        texts(&filter.merchant_ids, |id| id.to_string()),
    );
    put(
        "merchant_lists",
        texts(&filter.merchant_lists, |id| id.to_string()),
    );
    json
}

fn texts<T>(values: &[T], text: impl Fn(&T) -> String) -> Vec<String> {
    values.iter().map(text).collect()
}

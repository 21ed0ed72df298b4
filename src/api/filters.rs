//! The filters that several lists take from their query. Which list has which is with its resource; how they are looked for
//! is in `store::filters`.

use super::auth::Caller;
use super::error::{ApiError, shown};
use super::fields::Fields;
use crate::engine::facts::Country;
use crate::engine::money::BALANCE_MAX_MINOR;
use crate::engine::reason::DeclineReason;
use crate::engine::scopes::Scope;
use crate::engine::state::AccountStatus;
use crate::engine::time::Timestamp;
use crate::engine::trace::Step;
use crate::store::card_status::{StatusAt, ToldStatus};
use crate::store::filters::AmountFilter;

pub const ACCOUNT_STATUSES: &[(AccountStatus, &str)] = &[
    (AccountStatus::Active, "active"),
    (AccountStatus::Frozen, "frozen"),
    (AccountStatus::Closed, "closed"),
];

pub fn steps() -> Vec<(Step, &'static str)> {
    Step::ALL.iter().map(|step| (*step, step.name())).collect()
}

/// `created_from` and `created_until`, which is not part of the span itself.
pub type Span = (Option<Timestamp>, Option<Timestamp>);

pub fn created(query: &mut Fields) -> Result<Span, ApiError> {
    let (from, until) = (
        query.moment("created_from")?,
        query.moment("created_until")?,
    );
    not_empty("created_from", from, "created_until", until)?;
    Ok((from, until))
}

/// `currency`, and `amount_from` and `amount_until` in its minor units; the latter is not part of the span.
pub fn amounts(query: &mut Fields) -> Result<AmountFilter, ApiError> {
    let (from, until) = amount_span(query)?;
    let currency = query.currency("currency")?;
    if currency.is_none() && (from.is_some() || until.is_some()) {
        return Err(query.missing("currency"));
    }
    Ok(AmountFilter {
        currency,
        from,
        until,
    })
}

pub fn amount_span(query: &mut Fields) -> Result<(Option<i64>, Option<i64>), ApiError> {
    let least = -BALANCE_MAX_MINOR;
    let from = number(query, "amount_from", least, BALANCE_MAX_MINOR)?;
    let until = number(query, "amount_until", least, BALANCE_MAX_MINOR)?;
    not_empty("amount_from", from, "amount_until", until)?;
    Ok((from, until))
}

fn not_empty<T: PartialOrd>(
    from_name: &str,
    from: Option<T>,
    until_name: &str,
    until: Option<T>,
) -> Result<(), ApiError> {
    match (from, until) {
        (Some(from), Some(until)) if from >= until => {
            let message = format!(
                "{until_name} must be after {from_name}: it is not part of the span itself"
            );
            Err(ApiError::invalid("span_empty", until_name, message))
        }
        _ => Ok(()),
    }
}

/// A whole number.
pub fn number(
    query: &mut Fields,
    name: &str,
    least: i64,
    most: i64,
) -> Result<Option<i64>, ApiError> {
    let Some(value) = query.take(name) else {
        return Ok(None);
    };
    let number = value.as_str().and_then(|text| text.parse::<i64>().ok());
    let number = number.filter(|number| (least..=most).contains(number));
    number.map(Some).ok_or_else(|| {
        let message = format!("{name} must be a whole number from {least} to {most}");
        ApiError::invalid("number_invalid", name, message)
    })
}

/// The expiry of a card: a year, or a month of it.
pub fn expiry(query: &mut Fields) -> Result<(Option<u16>, Option<u8>), ApiError> {
    let year = number(query, "exp_year", 2000, 2099)?;
    let month = number(query, "exp_month", 1, 12)?;
    if month.is_some() && year.is_none() {
        return Err(query.missing("exp_year"));
    }
    // Both are within their bounds.
    let year = year.and_then(|year| u16::try_from(year).ok());
    Ok((year, month.and_then(|month| u8::try_from(month).ok())))
}

/// What a card is told with at this moment.
pub fn told_status(
    query: &mut Fields,
    name: &str,
    at: Timestamp,
) -> Result<Option<StatusAt>, ApiError> {
    let status = query.word(name, ToldStatus::ALL)?;
    Ok(status.map(|status| StatusAt { status, at }))
}

/// Why a card is blocked or closed.
pub const STATUS_REASONS: &[(&str, &str)] =
    &[("lost", "lost"), ("stolen", "stolen"), ("fraud", "fraud")];

pub fn status_reason(query: &mut Fields) -> Result<Option<String>, ApiError> {
    let reason = query.word("status_reason", STATUS_REASONS)?;
    Ok(reason.map(str::to_owned))
}

/// So many digits, no more and no fewer.
pub fn digits(query: &mut Fields, name: &str, count: usize) -> Result<Option<String>, ApiError> {
    let Some(text) = query.text(name, 40)? else {
        return Ok(None);
    };
    let fits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    match fits {
        true => Ok(Some(text)),
        false => {
            let message = format!("{name} must be {count} digits");
            Err(ApiError::invalid("text_invalid", name, message))
        }
    }
}

/// The merchant of a payment: `merchant_id`, `merchant_name` (how it begins), `mcc`, `merchant_country`.
#[derive(Debug, Default)]
pub struct Merchants {
    pub id: Option<String>,
    pub name: Option<String>,
    pub mcc: Option<u16>,
    pub country: Option<Country>,
}

pub fn merchants(query: &mut Fields) -> Result<Merchants, ApiError> {
    let mcc = digits(query, "mcc", 4).map_err(|error| match error.code {
        "text_invalid" => ApiError::invalid("mcc_invalid", "mcc", "mcc must be four digits"),
        _ => error,
    })?;
    Ok(Merchants {
        id: query.text("merchant_id", 15)?,
        name: query.text("merchant_name", 40)?,
        // Four digits are a number below 10,000.
        mcc: mcc.and_then(|mcc| mcc.parse().ok()),
        country: country(query, "merchant_country")?,
    })
}

fn country(query: &mut Fields, name: &str) -> Result<Option<Country>, ApiError> {
    let Some(text) = query.text(name, 40)? else {
        return Ok(None);
    };
    let country = Country::from_alpha2(&text);
    country.map(Some).ok_or_else(|| {
        let message = format!(
            "`{}` is not a country of ISO 3166-1, as in US",
            shown(&text)
        );
        ApiError::invalid("country_unknown", name, message)
    })
}

/// An id of one of several kinds; `kinds` are the words for them.
pub fn id_of_kinds(
    query: &mut Fields,
    name: &str,
    is_one: impl Fn(&str) -> bool,
    kinds: &str,
) -> Result<Option<String>, ApiError> {
    let id = query.text(name, 64)?;
    match id.as_deref().is_none_or(is_one) {
        true => Ok(id),
        false => {
            let message = format!("{name} must be the id of {kinds}");
            Err(ApiError::invalid("id_malformed", name, message))
        }
    }
}

/// A filter takes the scope of whatever tells what it would find out.
pub fn check_scopes(
    caller: &Caller,
    query: &Fields,
    needs: &[(&str, Scope)],
) -> Result<(), ApiError> {
    let mut needs = needs.iter();
    needs.try_for_each(|(name, scope)| match query.has(name) {
        true => caller.require(*scope),
        false => Ok(()),
    })
}

/// Of what is told of payments and cards: by whom, where and how much.
pub fn check_scopes_of_told(caller: &Caller, query: &Fields) -> Result<(), ApiError> {
    let needs = [
        ("cardholder_id", Scope::CardsRead),
        ("merchant_id", Scope::AuthorizationsRead),
        ("currency", Scope::AuthorizationsRead),
        ("amount_from", Scope::AuthorizationsRead),
        ("amount_until", Scope::AuthorizationsRead),
    ];
    check_scopes(caller, query, &needs)?;
    // An alert tells it.
    match query.has("reason") && !caller.scopes().has(Scope::AlertsDeclines) {
        true => caller.require(Scope::AuthorizationsRead),
        false => Ok(()),
    }
}

/// Why a payment was declined.
pub fn reason(query: &mut Fields) -> Result<Option<DeclineReason>, ApiError> {
    let Some(name) = query.text("reason", 60)? else {
        return Ok(None);
    };
    let reason = DeclineReason::from_name(&name);
    reason.map(Some).ok_or_else(|| {
        let message = format!(
            "`{}` is not a decline reason; one is, as an example, insufficient_funds",
            shown(&name)
        );
        ApiError::invalid("value_unknown", "reason", message)
    })
}

/// What a network calls a payment: `stan` (DE11), `rrn` (DE37).
pub fn references(query: &mut Fields) -> Result<(Option<u32>, Option<String>), ApiError> {
    let stan = number(query, "stan", 0, 999_999)?;
    // Six digits fit.
    let stan = stan.and_then(|stan| u32::try_from(stan).ok());
    Ok((stan, query.text("rrn", 12)?))
}

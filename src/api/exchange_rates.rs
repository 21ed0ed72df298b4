//! `/v1/exchange_rates`: the table by which amounts come into the currency of an account where the network
//! does not say. How it is used lives in `engine::conversion`.

use super::body::WriteRequest;
use super::error::{ApiError, json_response};
use super::fields::{Fields, wrong_type};
use super::idempotency::{Success, Write, once};
use super::{Gate, ask};
use crate::engine::rates::{ExchangeRate, RATES_MAX, Rate, RateError, Rates, RatesError};
use crate::engine::registry::{RegistryAction, SetExchangeRates};
use crate::shard::reply::Reply;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

/// Puts a whole new table in place of the one before.
pub async fn replace(
    State(gate): State<Gate>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    once(gate.state()?, request, carry_out).await
}

async fn carry_out(write: Write) -> Result<Success, ApiError> {
    let Write {
        state, mut fields, ..
    } = write;
    let source = fields.required_text("source", 100)?;
    let path = fields.path("rates");
    let Some(rates) = fields.present_list("rates", RATES_MAX)? else {
        return Err(fields.missing("rates"));
    };
    let rates = rates.into_iter();
    let rates = rates.map(|(path, value)| exchange_rate(Fields::of(&path, value)?));
    let rates = rates.collect::<Result<Vec<_>, _>>()?;
    fields.finish()?;
    let source: Box<str> = source.into();
    // The registry checks the same; here the error can say where.
    Rates::new(0, source.clone(), rates.clone()).map_err(|error| unfit(&path, error))?;
    let before = to_json(&ask::view(&state).await?.rates);
    let set = SetExchangeRates { source, rates };
    let action = RegistryAction::SetExchangeRates(Box::new(set));
    match ask::registry_command(&state, action).await? {
        Reply::Done => Ok(Success::ok(to_json(&state.switchboard.view().rates)).from(before)),
        reply => Err(ask::unexpected(&reply)),
    }
}

fn exchange_rate(mut fields: Fields) -> Result<ExchangeRate, ApiError> {
    let exchange_rate = ExchangeRate {
        from: fields.required_currency("from")?,
        to: fields.required_currency("to")?,
        rate: rate(&mut fields)?,
    };
    fields.finish()?;
    Ok(exchange_rate)
}

/// Not looked at as other text is: the digits of a rate are no card number.
fn rate(fields: &mut Fields) -> Result<Rate, ApiError> {
    let path = fields.path("rate");
    let Some(value) = fields.take("rate") else {
        return Err(fields.missing("rate"));
    };
    let Some(text) = value.as_str() else {
        return Err(wrong_type(
            &path,
            "a decimal number as text, as in \"1.0833\"",
        ));
    };
    text.parse().map_err(|error: RateError| {
        let message = format!("{path} is not a rate: {error}");
        ApiError::invalid("rate_invalid", path, message)
    })
}

fn unfit(path: &str, error: RatesError) -> ApiError {
    let code = match error {
        RatesError::TooMany => "too_many",
        RatesError::Twice(..) => "rate_twice",
        RatesError::ToItself(_) => "rate_invalid",
    };
    ApiError::invalid(code, path, error.to_string())
}

pub async fn current(State(gate): State<Gate>) -> Result<Response, ApiError> {
    let view = ask::view(&*gate.state()?).await?;
    let body = to_json(&view.rates).to_string();
    Ok(json_response(StatusCode::OK, body))
}

/// Without a version where no table was set yet.
fn to_json(rates: &Rates) -> Value {
    let set = rates.version > 0;
    json!({
        "object": "exchange_rates",
        "version": set.then_some(rates.version),
        "source": set.then_some(&rates.source),
        "rates": pairs_json(rates.pairs()),
    })
}

pub fn pairs_json(pairs: &[ExchangeRate]) -> Vec<Value> {
    let pair = |pair: &ExchangeRate| json!({ "from": pair.from.alpha(), "to": pair.to.alpha(), "rate": pair.rate.to_string() });
    pairs.iter().map(pair).collect()
}

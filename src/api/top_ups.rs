//! `/v1/accounts/{id}/top_ups`: money that arrives. Without the sandbox a top-up would wait for a
//! payment rail, and there is none yet.

use super::body::WriteRequest;
use super::error::{ApiError, ErrorType};
use super::idempotency::{Success, Write, once};
use super::{Gate, accounts, ask};
use crate::engine::command::{Action, TopUp};
use crate::engine::event::Refusal;
use crate::engine::ids::TopUpId;
use crate::engine::money::{BALANCE_MAX_MINOR, Money};
use crate::engine::state::AccountStatus;
use crate::shard::reply::Reply;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

pub const METHODS: &[(&str, &str)] = &[
    ("swift", "swift"),
    ("sepa", "sepa"),
    ("usdt", "usdt"),
    ("internal", "internal"),
];

pub async fn create(
    State(gate): State<Gate>,
    Path(account_id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = |write| carry_out(write, account_id);
    once(gate.state()?, request, work).await
}

async fn carry_out(write: Write, account_id: String) -> Result<Success, ApiError> {
    let Write {
        state,
        mut fields,
        mut ids,
        ..
    } = write;
    let amount_minor = fields
        .integer("amount", 1..=BALANCE_MAX_MINOR)?
        .ok_or_else(|| fields.missing("amount"))?;
    let currency = fields.required_currency("currency")?;
    let method = fields
        .word("method", METHODS)?
        .ok_or_else(|| fields.missing("method"))?;
    let external_reference = fields.text("external_reference", 140)?;
    fields.finish()?;
    let account = accounts::by_path(&state, &account_id).await?;
    if !state.sandbox {
        let message = "without the sandbox a top-up waits for a payment rail, and this version has \
            none; set sandbox.enabled = true to settle top-ups at once";
        let not_supported = ErrorType::NotSupported;
        let status = StatusCode::BAD_REQUEST;
        return Err(ApiError::new(
            status,
            not_supported,
            "not_supported",
            message,
        ));
    }
    if account.status == AccountStatus::Closed {
        return Err(ApiError::conflict(
            "account_closed",
            "the account is closed",
        ));
    }
    let created_at = state.switchboard.clock.now();
    let top_up = TopUp {
        top_up_id: TopUpId(ids.next()),
        account_id: account.id,
        amount: Money {
            amount_minor,
            currency,
        },
        method: method.into(),
        external_reference: external_reference.clone().map(Into::into),
    };
    let id = top_up.top_up_id;
    let action = Action::TopUp(Box::new(top_up));
    match ask::shard_command(&state, account.root, action).await? {
        Reply::Account(_) => {}
        Reply::Refused(refusal) => return Err(refused(&refusal)),
        reply => return Err(ask::unexpected(&reply)),
    }
    Ok(Success::created(json!({
        "id": id.to_string(),
        "object": "top_up",
        "account_id": account.id.to_string(),
        "amount": amount_minor,
        "currency": currency.alpha(),
        "method": method,
        "external_reference": external_reference,
        "status": "settled",
        "created_at": created_at.to_string(),
    })))
}

fn refused(refusal: &Refusal) -> ApiError {
    match refusal {
        Refusal::CurrencyMismatch { .. } => {
            ApiError::conflict("currency_mismatch", refusal.to_string()).with_param("currency")
        }
        Refusal::AccountStatusForbids(_) => {
            ApiError::conflict("account_closed", refusal.to_string())
        }
        Refusal::AmountOutOfRange => {
            ApiError::conflict("amount_out_of_range", refusal.to_string()).with_param("amount")
        }
        _ => ApiError::internal(refusal),
    }
}

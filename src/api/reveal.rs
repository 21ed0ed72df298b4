//! `/v1/cards/{id}/reveal`: the card number and its CVV2, to a caller who says why. They leave here and through the links of
//! `reveal_links.rs`, and not before the journal has it who asked; both are worked out for the answer and kept nowhere.

use super::body::WriteRequest;
use super::cards;
use super::error::{ApiError, forbid_keeping, shown};
use super::idempotency::{Success, Write, once};
use super::{ApiState, Gate, ask, issue};
use crate::engine::ids::CardId;
use crate::engine::registry::{IssuedCard, RegistryAction, RevealCard};
use crate::security::{Cvv2, Pan};
use crate::shard::reply::Reply;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};

pub async fn reveal(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = |write| carry_out(write, id);
    let mut response = once(gate.state()?, request, work).await?;
    forbid_keeping(response.headers_mut());
    Ok(response)
}

async fn carry_out(write: Write, id: String) -> Result<Success, ApiError> {
    let Write {
        state,
        caller,
        mut fields,
        ..
    } = write;
    let reason = fields.required_text("reason", 500)?;
    fields.finish()?;
    let id = id.parse().map_err(|_| cards::not_found())?;
    let (issued, _) = cards::issued(&state, id).await?;
    record(&state, id, &reason, &caller.key_name()).await?;
    let secrets = secrets(&state, id, &issued)?;
    // On record already, and by the thousand where cards are made for a simulator.
    tracing::debug!(target: "audit", card_id = %id, reason = shown(&reason), "card revealed");
    let answer = |pan: Value, cvv2: Value| {
        json!({
            "object": "card_secrets",
            "card_id": id.to_string(),
            // For the audit log, which keeps this without the secrets.
            "reason": reason,
            "pan": pan,
            "cvv2": cvv2,
            "exp_month": secrets.exp_month,
            "exp_year": secrets.exp_year,
        })
    };
    let (pan, cvv2) = (secrets.pan.digits(), secrets.cvv2.digits());
    Ok(Success {
        repeated: Some(answer(Value::Null, Value::Null)),
        ..Success::ok(answer(pan.into(), cvv2.into()))
    })
}

/// What is shown of a card, as it is now.
pub struct Secrets {
    pub pan: Pan,
    pub cvv2: Cvv2,
    pub exp_year: u16,
    pub exp_month: u8,
}

pub fn secrets(state: &ApiState, id: CardId, issued: &IssuedCard) -> Result<Secrets, ApiError> {
    let pan = open_pan(state, id, issued)?;
    let (exp_year, exp_month) = (issued.expiry.year(), issued.expiry.month());
    let cvv2 = state.vault.cvk().cvv2(&pan, exp_year, exp_month);
    Ok(Secrets {
        pan,
        cvv2,
        exp_year,
        exp_month,
    })
}

/// Puts on record who gets to see the number, and why. Durable once this returns.
pub async fn record(
    state: &ApiState,
    card_id: CardId,
    reason: &str,
    api_key_id: &str,
) -> Result<(), ApiError> {
    let reveal = RevealCard {
        card_id,
        reason: reason.into(),
        api_key_id: api_key_id.into(),
    };
    match ask::registry_command(state, RegistryAction::RevealCard(Box::new(reveal))).await? {
        Reply::Done => Ok(()),
        reply => Err(ask::unexpected(&reply)),
    }
}

/// The number of a card, opened with the vault's key.
pub fn open_pan(state: &ApiState, id: CardId, issued: &IssuedCard) -> Result<Pan, ApiError> {
    issue::unsealed(state, &issued.sealed_pan, id.0)
}

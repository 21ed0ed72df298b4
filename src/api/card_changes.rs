//! `PATCH /v1/cards/{id}`: a card's controls, as a whole, and its cardholder.

use super::body::WriteRequest;
use super::cards::{self, FullCard};
use super::error::ApiError;
use super::fields;
use super::guarded::{self, Guarded};
use super::idempotency::{Success, Write, once};
use super::{ApiState, Gate, ask, cardholders, controls_json, reissue};
use crate::engine::api_keys::Scope;
use crate::engine::approvals::GuardedWrite;
use crate::engine::cardholders::SetCardholder;
use crate::engine::command::{Action, ChangeCardControls};
use crate::engine::ids::CardholderId;
use crate::engine::registry::{RegistryAction, RegistryRefusal};
use crate::shard::reply::Reply;
use axum::extract::{Path, State};
use axum::response::Response;

/// What is named is replaced; limits that keep their id keep their counters.
pub async fn update(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| carry_out_change(write, &id).await;
    once(gate.state()?, request, work).await
}

pub async fn carry_out_change(write: Write, id: &str) -> Result<Success, ApiError> {
    let Write {
        state,
        caller,
        mut fields,
        mut ids,
        way,
    } = write;
    if fields.is_empty() {
        return Err(fields.missing("controls"));
    }
    // `null` takes all controls away.
    let controls = match fields.names("controls") {
        true => Some(controls_json::take(
            &mut fields,
            &mut ids,
            &state.switchboard.view(),
        )?),
        false => None,
    };
    let cardholder_id = fields.id("cardholder_id", CardholderId::PREFIX)?;
    fields.finish()?;
    if controls.is_none() && cardholder_id.is_none() {
        return Err(fields::nothing_changes());
    }
    let card_id = id.parse().map_err(|_| cards::not_found())?;
    let before = cards::find_full(&state, card_id).await?;
    if cardholder_id.is_some() {
        // As where a card is issued to one.
        caller.require(Scope::CardsIssue)?;
    }
    if let Some(controls) = &controls {
        let controls_before = before.card.controls.as_deref();
        let raises = cards::may_loosen(&caller, controls, controls_before)?;
        let guarded = Guarded {
            program_id: before.program_id,
            write: GuardedWrite::ChangeCard(card_id),
            replaces: Some(controls_json::of(controls_before)),
            becomes: Some(controls_json::to_json(controls)),
        };
        let needs_two = raises && guarded::policy(&state, before.program_id).limit_raises;
        let asker = (&caller, &ids, &way);
        if let Some(waits) = guarded::ask_if(needs_two, &state, asker, guarded).await? {
            return Ok(waits);
        }
    }
    let shown_before = before.to_json(&state);
    let mut now = before;
    if let Some(id) = cardholder_id {
        now = with_cardholder(&state, now, id).await?;
    }
    if let Some(controls) = controls {
        let change = ChangeCardControls { card_id, controls };
        let action = Action::ChangeCardControls(Box::new(change));
        now = cards::changed(&state, now, action).await?;
    }
    Ok(Success::ok(now.to_json(&state)).from(shown_before))
}

/// The card once it has this cardholder, whoever held it before.
async fn with_cardholder(
    state: &ApiState,
    before: FullCard,
    cardholder_id: CardholderId,
) -> Result<FullCard, ApiError> {
    const PARAM: &str = "cardholder_id";
    let status = before.card.status;
    if let Some(by) = before.card.replaced_by() {
        return Err(reissue::replaced(by));
    }
    if status.is_closed() {
        return Err(cards::status_forbids(status));
    }
    let set = RegistryAction::SetCardholder(SetCardholder {
        card_id: before.card.id,
        cardholder_id,
    });
    let card = match ask::registry_command(state, set).await? {
        Reply::Card(card) => *card,
        Reply::RegistryRefused(RegistryRefusal::CardholderNotFound(_)) => {
            return Err(cardholders::not_found().with_param(PARAM));
        }
        Reply::RegistryRefused(RegistryRefusal::CardholderOfOtherProgram(_)) => {
            let message = "the cardholder belongs to another program than the card";
            return Err(ApiError::conflict("program_mismatch", message).with_param(PARAM));
        }
        Reply::RegistryRefused(RegistryRefusal::CardReplaced(by)) => {
            return Err(reissue::replaced(by));
        }
        reply => return Err(ask::unexpected(&reply)),
    };
    Ok(FullCard { card, ..before })
}

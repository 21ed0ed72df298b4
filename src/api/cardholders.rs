//! `/v1/cardholders`: who holds cards, as much as controls need to know. What that does is in
//! `engine::cardholders`.

use super::auth::Caller;
use super::body::WriteRequest;
use super::controls_json;
use super::error::{ApiError, json_response};
use super::fields::{self, Fields};
use super::idempotency::{Success, Write, once};
use super::list::{self, ListQuery, store_error};
use super::{ApiState, Gate, ask};
use crate::engine::cardholders::{Cardholder, ChangeCardholder, Holder, KnownCardholder};
use crate::engine::command::{Action, ChangeCardHolder};
use crate::engine::event::Refusal;
use crate::engine::facts::Country;
use crate::engine::ids::{CardholderId, ProgramId};
use crate::engine::registry::{RegistryAction, RegistryRefusal};
use crate::shard::reply::Reply;
use crate::shard::request::{RegistryRequest, ShardRequest};
use crate::store::from_cardholder::CardholderRow;
use crate::store::query_cardholders::CardholderFilter;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

pub async fn create(State(gate): State<Gate>, request: WriteRequest) -> Result<Response, ApiError> {
    once(gate.state()?, request, carry_out).await
}

async fn carry_out(write: Write) -> Result<Success, ApiError> {
    let Write {
        state,
        mut fields,
        mut ids,
        ..
    } = write;
    let cardholder = Cardholder {
        id: CardholderId(ids.next()),
        program_id: fields.required_id("program_id", ProgramId::PREFIX)?,
        name: fields.text("name", 200)?.map(Into::into),
        home_country: home_country(&mut fields)?,
        verified: fields.boolean("verified")?.unwrap_or(false),
        created_at: state.switchboard.clock.now(),
    };
    fields.finish()?;
    let id = cardholder.id;
    let action = RegistryAction::CreateCardholder(Box::new(cardholder));
    let known = match ask::registry_command(&state, action).await? {
        Reply::Cardholder(known) => *known,
        // Made before under the same Idempotency-Key.
        Reply::RegistryRefused(RegistryRefusal::IdTaken) => find(&state, id).await?,
        Reply::RegistryRefused(RegistryRefusal::ProgramNotFound(_)) => {
            let message = "there is no program with this id";
            return Err(ApiError::not_found("program_not_found", message).with_param("program_id"));
        }
        reply => return Err(ask::unexpected(&reply)),
    };
    Ok(Success::created(to_json(&known.cardholder)))
}

fn home_country(fields: &mut Fields) -> Result<Country, ApiError> {
    let path = fields.path("home_country");
    let value = fields.take("home_country");
    let value = value.ok_or_else(|| fields.missing("home_country"))?;
    let country = controls_json::country(&path, value)?;
    match country == Country::UNKNOWN {
        false => Ok(country),
        true => {
            let message = format!("{path} must be a country; `ZZ` stands for none");
            Err(ApiError::invalid("country_unknown", path, message))
        }
    }
}

pub async fn one(State(gate): State<Gate>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let known = find(&state, id.parse().map_err(|_| not_found())?).await?;
    let json = to_json(&known.cardholder).to_string();
    Ok(json_response(StatusCode::OK, json))
}

/// Also where it was verified before: its cards are told again, which a failure may have kept from them.
pub async fn verify(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write { state, fields, .. } = write;
        fields.finish()?;
        let id = id.parse().map_err(|_| not_found())?;
        change_and_tell(&state, id, RegistryAction::VerifyCardholder(id)).await
    };
    once(gate.state()?, request, work).await
}

/// `PATCH`: what is named is replaced, and counts for all cards of the cardholder once it is answered.
pub async fn update(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state, mut fields, ..
        } = write;
        if fields.is_empty() {
            return Err(fields::nothing_changes());
        }
        let id = id.parse().map_err(|_| not_found())?;
        let name = fields.text("name", 200)?.map(Into::into);
        let home_country = match fields.has("home_country") {
            true => Some(home_country(&mut fields)?),
            false => None,
        };
        let verified = fields.boolean("verified")?;
        fields.finish()?;
        let change = ChangeCardholder {
            id,
            name,
            home_country,
            verified,
        };
        change_and_tell(
            &state,
            id,
            RegistryAction::ChangeCardholder(Box::new(change)),
        )
        .await
    };
    once(gate.state()?, request, work).await
}

async fn change_and_tell(
    state: &ApiState,
    id: CardholderId,
    action: RegistryAction,
) -> Result<Success, ApiError> {
    let before = to_json(&find(state, id).await?.cardholder);
    let known = match ask::registry_command(state, action).await? {
        Reply::Cardholder(known) => *known,
        Reply::RegistryRefused(RegistryRefusal::AlreadyVerified(_)) => find(state, id).await?,
        Reply::RegistryRefused(RegistryRefusal::CardholderNotFound(_)) => return Err(not_found()),
        reply => return Err(ask::unexpected(&reply)),
    };
    let answer = to_json(&known.cardholder);
    let mut told = known;
    // Of two changes at once the one before may tell its cards last: whoever told them looks whether it was the latest.
    loop {
        tell_cards(state, &told).await?;
        let now = find(state, id).await?;
        // One of its cards may have been replaced meanwhile.
        if now.cardholder.holder() == told.cardholder.holder() && now.cards == told.cards {
            return Ok(Success::ok(answer).from(before));
        }
        told = now;
    }
}

pub const VERIFIED: &[(bool, &str)] = &[(true, "true"), (false, "false")];

pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let home_country = match query.has("home_country") {
        true => Some(home_country(&mut query)?),
        false => None,
    };
    let filter = CardholderFilter {
        program_id: query.id("program_id", ProgramId::PREFIX)?,
        home_country,
        verified: query.word("verified", VERIFIED)?,
        bounds: caller.bounds().cloned(),
    };
    let after = query.id("starting_after", CardholderId::PREFIX)?;
    let limit = list::limit(&mut query)?;
    query.finish()?;
    list::check_store(&state)?;
    let page = state.store.cardholders(&filter, after, limit).await;
    let page = page.map_err(store_error)?;
    let data = page.data.iter().map(|row| to_json(&of_row(row)));
    Ok(list::page(data, page.has_more, page.projected_through))
}

fn of_row(row: &CardholderRow) -> Cardholder {
    Cardholder {
        id: row.id,
        program_id: row.program_id,
        name: row.name.as_deref().map(Into::into),
        home_country: row.home_country,
        verified: row.verified,
        created_at: row.created_at_ms,
    }
}

async fn tell_cards(state: &ApiState, known: &KnownCardholder) -> Result<(), ApiError> {
    let holder = known.cardholder.holder();
    let asked = known.cards.iter().map(|(card_id, root)| {
        let card_id = *card_id;
        let action = Action::ChangeCardHolder(ChangeCardHolder {
            card_id,
            holder,
            is_set: false,
        });
        let root = *root;
        (root, ShardRequest::Command { root, action })
    });
    for reply in ask::shards(state, asked.collect()).await? {
        match reply {
            // One that its shard has not opened yet hears of it when it is.
            Reply::Card(_) | Reply::Refused(Refusal::CardNotFound(_)) => {}
            reply => return Err(ask::unexpected(&reply)),
        }
    }
    Ok(())
}

/// What a card with this cardholder is to know of it.
pub async fn holder(
    state: &ApiState,
    id: Option<CardholderId>,
) -> Result<Option<Holder>, ApiError> {
    match id {
        Some(id) => Ok(Some(find(state, id).await?.cardholder.holder())),
        None => Ok(None),
    }
}

pub async fn find(state: &ApiState, id: CardholderId) -> Result<KnownCardholder, ApiError> {
    match ask::registry(state, RegistryRequest::Cardholder(id)).await? {
        Reply::Cardholder(known) => Ok(*known),
        Reply::NotFound => Err(not_found()),
        reply => Err(ask::unexpected(&reply)),
    }
}

pub fn not_found() -> ApiError {
    ApiError::not_found(
        "cardholder_not_found",
        "there is no cardholder with this id",
    )
}

pub fn to_json(cardholder: &Cardholder) -> Value {
    json!({
        "id": cardholder.id.to_string(),
        "object": "cardholder",
        "program_id": cardholder.program_id.to_string(),
        "name": cardholder.name,
        "home_country": cardholder.home_country.alpha2(),
        "verified": cardholder.verified,
        "created_at": cardholder.created_at.to_string(),
    })
}

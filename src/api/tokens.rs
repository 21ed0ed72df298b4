//! `/v1/tokens`: what stands for a card in a wallet or with a merchant. Their numbers come in, sealed and hashed like a card's,
//! and go out with their ends only.
//!
//! A token is a record of the registry, which keeps its number, and one of the shard, which knows what it may do. A process
//! that ends between them asks the shard again at the next start, and so does a repeat with the same `Idempotency-Key`.

use super::auth::Caller;
use super::body::WriteRequest;
use super::cards::FullCard;
use super::error::{ApiError, json_response};
use super::fields::{Fields, wrong_type};
use super::idempotency::{Success, Write, once};
use super::issue::{self, Number};
use super::list::{self, ListQuery, store_error};
use super::{ApiState, Gate, ask, auth, card_links, cards, filters, reissue};
use crate::engine::command::Action;
use crate::engine::event::Refusal;
use crate::engine::ids::{AccountId, CardId, ProgramId, TokenId};
use crate::engine::registry::{RegistryAction, RegistryRefusal};
use crate::engine::time::Expiry;
use crate::engine::token_numbers::{RequestToken, TokenNumber};
use crate::engine::tokens::{
    ChangeTokenStatus, OpenToken, Token, TokenChange, TokenDevice, TokenStatus,
};
use crate::security::Pan;
use crate::shard::reply::Reply;
use crate::shard::request::{RegistryRequest, ShardRequest};
use crate::store::from_token;
use crate::store::query_tokens::TokenFilter;
use crate::store::row_json;
use crate::store::rows::TokenRow;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

/// What a wallet and a type of device are called: open words.
pub const WORD_MAX: usize = 32;
pub const DEVICE_NAME_MAX: usize = 64;

/// A token as a body asks for it.
struct Asked {
    card_id: CardId,
    wallet: String,
    device: Option<TokenDevice>,
    number: Option<Pan>,
    expiry: Option<Expiry>,
}

pub async fn create(State(gate): State<Gate>, request: WriteRequest) -> Result<Response, ApiError> {
    once(gate.state()?, request, carry_out).await
}

async fn carry_out(write: Write) -> Result<Success, ApiError> {
    let Write {
        state,
        caller,
        mut fields,
        mut ids,
        ..
    } = write;
    let token_id = TokenId(ids.next());
    let asked = asked(&mut fields)?;
    if asked.number.is_some() && caller.bounds().is_some() {
        // Trying numbers would tell those of others.
        let message =
            "this API key is bound, and the numbers of tokens are what all programs share";
        return Err(auth::forbidden("key_is_bound", message).with_param("token_number"));
    }
    if asked.number.is_none() && !state.sandbox {
        return Err(fields.missing("token_number"));
    }
    fields.finish()?;
    if let Some(known) = known_number(&state, token_id).await? {
        // Asked for before under the same Idempotency-Key.
        let open = open(token_id, &asked, &known_shown(&state, token_id, &known)?);
        return opened(&state, known, open).await;
    }
    let card = cards::find_full(&state, asked.card_id).await;
    let card = card.map_err(|error| error.with_param("card_id"))?;
    if let Some(by) = card.card.replaced_by() {
        return Err(reissue::replaced(by).with_param("card_id"));
    }
    let status = card.card.status;
    if status.is_closed() || status.is_blocked() {
        return Err(cards::status_forbids(status).with_param("card_id"));
    }
    request_token(&state, token_id, asked, &card).await
}

async fn request_token(
    state: &ApiState,
    token_id: TokenId,
    mut asked: Asked,
    card: &FullCard,
) -> Result<Success, ApiError> {
    let is_given = asked.number.is_some();
    if !is_given && asked.expiry.is_none() {
        asked.expiry = Some(issue::expiry(state.switchboard.clock.now()));
    }
    if let Some(number) = &asked.number {
        check_outside_card_bins(state, number)?;
    }
    for _ in 0..issue::DRAWS_MAX {
        let number = match &asked.number {
            Some(pan) => issue::sealed(state, pan, token_id.0)?,
            // Of the card's BIN, for want of one of tokens.
            None => {
                let number = issue::draw(state, card.program_id, &card.bin)?;
                issue::sealed(state, &number, token_id.0)?
            }
        };
        let request = RequestToken {
            root: card.root,
            number_hash: number.pan_hash,
            open: open(token_id, &asked, &number),
            sealed_number: number.sealed_pan,
        };
        let action = RegistryAction::RequestToken(Box::new(request));
        match ask::registry_command(state, action).await? {
            Reply::Token(token) => return Ok(Success::created(to_json(state, &token).await?)),
            Reply::RegistryRefused(RegistryRefusal::TokenNumberTaken) if !is_given => {}
            Reply::RegistryRefused(refusal @ RegistryRefusal::TokenNumberTaken) => {
                let error = ApiError::conflict("token_number_taken", refusal.to_string());
                return Err(error.with_param("token_number"));
            }
            Reply::RegistryRefused(refusal @ RegistryRefusal::TooManyTokens) => {
                return Err(ApiError::conflict("too_many_tokens", refusal.to_string()));
            }
            reply => return Err(ask::unexpected(&reply)),
        }
    }
    Err(issue::bin_exhausted(&card.bin))
}

fn open(token_id: TokenId, asked: &Asked, number: &Number) -> OpenToken {
    OpenToken {
        token_id,
        card_id: asked.card_id,
        first6: number.first6,
        last4: number.last4,
        expiry: asked.expiry,
        wallet: asked.wallet.as_str().into(),
        device: asked.device.clone(),
    }
}

/// A token that an earlier try asked for. Should its shard not have opened it, it is asked to again.
async fn opened(
    state: &ApiState,
    known: TokenNumber,
    open: OpenToken,
) -> Result<Success, ApiError> {
    let id = open.token_id;
    match ask::shard(state, known.root, ShardRequest::Token(id)).await? {
        Reply::Token(token) => return Ok(Success::created(to_json(state, &token).await?)),
        Reply::NotFound => {}
        reply => return Err(ask::unexpected(&reply)),
    }
    let action = Action::OpenToken(Box::new(open));
    match ask::shard_command(state, known.root, action).await? {
        Reply::Token(token) => Ok(Success::created(to_json(state, &token).await?)),
        reply => Err(ask::unexpected(&reply)),
    }
}

fn asked(fields: &mut Fields) -> Result<Asked, ApiError> {
    let card_id = fields.required_id("card_id", CardId::PREFIX)?;
    let wallet = word(fields, "wallet")?.ok_or_else(|| fields.missing("wallet"))?;
    let device = match fields.object("device")? {
        None => None,
        Some(mut device) => {
            let found = TokenDevice {
                device_type: word(&mut device, "type")?.map(Into::into),
                name: device.text("name", DEVICE_NAME_MAX)?.map(Into::into),
            };
            device.finish()?;
            (found.device_type.is_some() || found.name.is_some()).then_some(found)
        }
    };
    Ok(Asked {
        card_id,
        wallet,
        device,
        number: token_number(fields)?,
        expiry: expiry(fields)?,
    })
}

/// Small letters, digits and underlines.
fn word(fields: &mut Fields, name: &str) -> Result<Option<String>, ApiError> {
    let path = fields.path(name);
    let Some(text) = fields.text(name, WORD_MAX)? else {
        return Ok(None);
    };
    let is_word = |letter: u8| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'_');
    match text.bytes().all(is_word) {
        true => Ok(Some(text)),
        false => {
            let message =
                format!("{path} takes small letters, digits and underlines, as in apple_pay");
            Err(ApiError::invalid("text_invalid", path, message))
        }
    }
}

/// A token has a BIN of tokens. Within one of cards nothing is looked up: whether the number is taken would tell which
/// card numbers there are.
fn check_outside_card_bins(state: &ApiState, number: &Pan) -> Result<(), ApiError> {
    let view = state.switchboard.view();
    let mut programs = view.programs.values();
    match programs.any(|program| program.bin_of(number.digits()).is_some()) {
        false => Ok(()),
        true => {
            let message = "token_number begins with a BIN of cards; a token has one of tokens";
            let error = ApiError::conflict("token_number_in_card_bin", message);
            Err(error.with_param("token_number"))
        }
    }
}

/// The one field that takes a number like a card's. What is wrong with it is told without it.
fn token_number(fields: &mut Fields) -> Result<Option<Pan>, ApiError> {
    let path = fields.path("token_number");
    let text = match fields.take("token_number") {
        None => return Ok(None),
        Some(Value::String(text)) => text,
        Some(_) => return Err(wrong_type(&path, "text")),
    };
    let number = Pan::parse(&text).map_err(|_| {
        let message = format!("{path} has 12 to 19 digits, the last of them the right check digit");
        ApiError::invalid("token_number_invalid", path, message)
    });
    number.map(Some)
}

/// Both of `exp_month` and `exp_year`, or neither.
fn expiry(fields: &mut Fields) -> Result<Option<Expiry>, ApiError> {
    let month = fields.integer("exp_month", 1..=12)?;
    let year = fields.integer("exp_year", 2000..=2099)?;
    match (month, year) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(fields.missing("exp_month")),
        (Some(_), None) => Err(fields.missing("exp_year")),
        (Some(month), Some(year)) => Ok(Expiry::new(year as u16, month as u8)),
    }
}

/// What of its number is told again.
fn known_shown(state: &ApiState, id: TokenId, known: &TokenNumber) -> Result<Number, ApiError> {
    let pan = open_number(state, id, known)?;
    let (first6, last4) = issue::shown_digits(&pan);
    Ok(Number {
        pan_hash: known.number_hash,
        sealed_pan: known.sealed_number.clone(),
        first6,
        last4,
    })
}

/// The number of a token, opened with the vault's key.
pub fn open_number(state: &ApiState, id: TokenId, known: &TokenNumber) -> Result<Pan, ApiError> {
    issue::unsealed(state, &known.sealed_number, id.0)
}

async fn known_number(state: &ApiState, id: TokenId) -> Result<Option<TokenNumber>, ApiError> {
    match ask::registry(state, RegistryRequest::Token(id)).await? {
        Reply::TokenNumber(number) => Ok(Some(*number)),
        Reply::NotFound => Ok(None),
        reply => Err(ask::unexpected(&reply)),
    }
}

/// A token as memory has it now, with its number.
pub async fn find(state: &ApiState, id: TokenId) -> Result<(Token, TokenNumber), ApiError> {
    let number = known_number(state, id).await?.ok_or_else(not_found)?;
    match ask::shard(state, number.root, ShardRequest::Token(id)).await? {
        Reply::Token(token) => Ok((*token, number)),
        Reply::NotFound => Err(not_found()),
        reply => Err(ask::unexpected(&reply)),
    }
}

pub async fn one(State(gate): State<Gate>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let id = id.parse().map_err(|_| not_found())?;
    let (token, _) = find(&state, id).await?;
    let body = to_json(&state, &token).await?.to_string();
    Ok(json_response(StatusCode::OK, body))
}

pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let (link_type, link_id) = list::link(&mut query)?;
    let (created_from, created_until) = filters::created(&mut query)?;
    let filter = TokenFilter {
        card_id: query.id("card_id", CardId::PREFIX)?,
        status: query.word("status", TokenStatus::NAMED)?,
        wallet: query.text("wallet", WORD_MAX)?,
        link_type,
        link_id,
        account_id: query.id("account_id", AccountId::PREFIX)?,
        program_id: query.id("program_id", ProgramId::PREFIX)?,
        created_from,
        created_until,
        bounds: caller.bounds().cloned(),
    };
    let after = query.id("starting_after", TokenId::PREFIX)?;
    let limit = list::limit(&mut query)?;
    query.finish()?;
    list::check_store(&state)?;
    let page = state.store.tokens(&filter, after, limit).await;
    let page = page.map_err(store_error)?;
    let cards = page.data.iter().map(|row| row.card_id);
    let links = card_links::of_cards(&state, cards).await?;
    let json = |row: &TokenRow| row_json::token(row, links.json_of(Some(row.card_id)));
    let data = page.data.iter().map(json);
    Ok(list::page(data, page.has_more, page.projected_through))
}

pub async fn change_status(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
    change: TokenChange,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write { state, fields, .. } = write;
        fields.finish()?;
        let token_id = id.parse().map_err(|_| not_found())?;
        let (before, number) = find(&state, token_id).await?;
        let action = Action::ChangeTokenStatus(ChangeTokenStatus { token_id, change });
        match ask::shard_command(&state, number.root, action).await? {
            Reply::Token(token) => {
                let after = to_json(&state, &token).await?;
                Ok(Success::ok(after).from(to_json(&state, &before).await?))
            }
            Reply::Refused(refusal @ Refusal::TokenStatusForbids(_)) => Err(ApiError::conflict(
                "token_status_forbids",
                refusal.to_string(),
            )),
            reply => Err(ask::unexpected(&reply)),
        }
    };
    once(gate.state()?, request, work).await
}

/// With the links of its card.
async fn to_json(state: &ApiState, token: &Token) -> Result<Value, ApiError> {
    let links = card_links::of_card(state, token.card_id).await?.to_json();
    Ok(row_json::token(&from_token::row_of(token), links))
}

pub fn not_found() -> ApiError {
    ApiError::not_found("token_not_found", "there is no token with this id")
}

//! `/v1/cards`: issuing, reading and changing cards. Their numbers leave through `reveal.rs` only.

use super::auth::Caller;
use super::body::WriteRequest;
use super::card_links::CardLinks;
use super::error::{ApiError, json_response};
use super::idempotency::{Success, Write, once};
use super::issue;
use super::list::{self, ListQuery, store_error};
use super::{ApiState, Gate, ask, bins, card_orders, controls_json, filters, reissue, shipping};
use crate::engine::api_keys::Scope;
use crate::engine::command::{Action, CardType, ChangeCardStatus, StatusChange};
use crate::engine::controls::Controls;
use crate::engine::event::Refusal;
use crate::engine::ids::{AccountId, CardId, CardholderId, ProgramId};
use crate::engine::link_states::LinkStatus;
use crate::engine::programs::{Bin, Program};
use crate::engine::registry::{IssuedCard, LinkKey};
use crate::engine::shipping::ShippingStatus;
use crate::engine::state::{Card, CardStatus};
use crate::engine::time::Timestamp;
use crate::engine::verification_tries::ResetVerificationTries;
use crate::engine::wallet::Wallet;
use crate::json::trace;
use crate::shard::reply::Reply;
use crate::shard::request::{RegistryRequest, ShardRequest};
use crate::store::query::CardFilter;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

/// Where a card is asked for.
pub const ROUTE: &str = "/v1/cards";

/// Links of one card.
pub const LINKS_MAX: usize = 10;

pub const CARD_TYPES: &[(CardType, &str)] = &[
    (CardType::Virtual, "virtual"),
    (CardType::Physical, "physical"),
];

/// Where a card's money is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Funding {
    /// On the account that was named.
    Shared,
    /// On a sub-account of its own.
    Own,
}

pub const FUNDINGS: &[(Funding, &str)] = &[(Funding::Shared, "shared"), (Funding::Own, "own")];

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
    let (card_id, sub_account_id) = issue::ids_of(ids.first());
    // Those two.
    ids.next();
    ids.next();
    let by_program = fields.has("program_id");
    let begun_on = match by_program {
        true => card_orders::begun_on(&state, (card_id, sub_account_id)).await?,
        false => None,
    };
    let view = state.switchboard.view();
    let seen = (&*view, caller.bounds());
    // That on which a try before has begun.
    let master = |program: &Program| begun_on.or(program.master_account_id);
    let order = card_orders::order(&mut fields, &mut ids, seen, master)?;
    fields.finish()?;
    let wanted = issue::Wanted {
        card_id,
        sub_account_id,
        order,
    };
    let issued = issue::issue(&state, wanted).await;
    let issued = issued.map_err(|error| match by_program {
        true => error.of_param("account_id", "program_id"),
        false => error,
    })?;
    Ok(Success::created(issued.to_json(&state)))
}

pub fn wallet_json(wallet: Option<&Wallet>) -> Vec<String> {
    let wallet = wallet.into_iter().flatten();
    wallet.map(|id| id.to_string()).collect()
}

/// A card with what the registry knows of it.
pub struct FullCard {
    pub card: Card,
    pub program_id: ProgramId,
    /// Of its account tree.
    pub root: AccountId,
    pub links: Vec<LinkKey>,
    /// With which its number begins. Of one with eight digits only six are told.
    pub bin: Bin,
}

impl FullCard {
    pub fn network_in<'a>(&self, program: &'a Program) -> &'a str {
        program.details_of(&self.bin).network
    }

    pub fn to_json(&self, state: &ApiState) -> Value {
        let (now, view) = (state.switchboard.clock.now(), state.switchboard.view());
        let links = CardLinks::of(&self.card.links, &self.links);
        let worst = view.link_states.worst_of_card(&self.card);
        let of_links = worst.map_or(LinkStatus::Active, |(status, _)| status);
        let own = effective_status(&self.card, LinkStatus::Active, now);
        let status = effective_status(&self.card, of_links, now);
        let status_link = worst
            .filter(|_| status != own)
            .and_then(|(_, link)| links.by_number(link));
        let (card, none) = (&self.card, Controls::default());
        let program = view.programs.get(&self.program_id);
        json!({
            "id": card.id.to_string(),
            "object": "card",
            "account_id": card.account_id.to_string(),
            "program_id": self.program_id.to_string(),
            "network": program.map(|program| self.network_in(program)),
            "type": name_of(CARD_TYPES, card.card_type),
            "status": status,
            "own_status": own,
            "status_link": status_link,
            "status_reason": card.status.reason(),
            "first6": format!("{:06}", card.first6),
            "last4": format!("{:04}", card.last4),
            "exp_month": card.expiry.month(),
            "exp_year": card.expiry.year(),
            "funding": name_of(FUNDINGS, funding_of(card)),
            "wallet_account_ids": wallet_json(card.wallet.as_deref()),
            "links": links.to_json(),
            "controls": controls_json::to_json(card.controls.as_deref().unwrap_or(&none)),
            "used_by": card.used_by().map(|id| id.to_string()),
            "locked_to": card.locked_to().map(|to| trace::locked_to(&to.id, &to.acquirer_id)),
            "cardholder_id": card.holder.map(|holder| holder.id.to_string()),
            "replacement_for": card.replacement_for().map(|id| id.to_string()),
            "replaced_by": card.replaced_by().map(|id| id.to_string()),
            "shipping": card.shipping.as_deref().map(shipping::to_json),
            "failed_verifications_today": card.verification_tries.failed_on_day_of(now),
            "created_at": card.created_at.to_string(),
        })
    }
}

fn name_of<T: PartialEq>(all: &[(T, &'static str)], value: T) -> &'static str {
    let found = all.iter().find(|(known, _)| *known == value);
    // Both lists above name every variant.
    found.map_or("unknown", |(_, name)| name)
}

fn funding_of(card: &Card) -> Funding {
    match card.account_id.opened_for() == card.first_of_chain() {
        true => Funding::Own,
        false => Funding::Shared,
    }
}

/// The worst of its own and of what it is linked to.
fn effective_status(card: &Card, of_links: LinkStatus, now: Timestamp) -> &'static str {
    if let Some(of_links) = of_links.over(card.status) {
        return of_links.name();
    }
    match card.status {
        CardStatus::Active | CardStatus::Inactive if card.expiry.is_past_at(now) => "expired",
        status => status.name(),
    }
}

pub async fn one(State(gate): State<Gate>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let card = find_full(&state, id.parse().map_err(|_| not_found())?).await?;
    let card = card.to_json(&state);
    Ok(json_response(StatusCode::OK, card.to_string()))
}

/// A card as memory has it now.
pub async fn find_full(state: &ApiState, id: CardId) -> Result<FullCard, ApiError> {
    let (issued, links) = issued(state, id).await?;
    match ask::shard(state, issued.root, ShardRequest::Card(id)).await? {
        Reply::Card(card) => full(state, *card, issued, links),
        Reply::NotFound => Err(not_found()),
        reply => Err(ask::unexpected(&reply)),
    }
}

pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let (link_type, link_id) = list::link(&mut query)?;
    let (created_from, created_until) = filters::created(&mut query)?;
    let now = state.switchboard.clock.now();
    let (exp_year, exp_month) = filters::expiry(&mut query)?;
    let filter = CardFilter {
        account_id: query.id("account_id", AccountId::PREFIX)?,
        program_id: query.id("program_id", ProgramId::PREFIX)?,
        cardholder_id: query.id("cardholder_id", CardholderId::PREFIX)?,
        status: filters::told_status(&mut query, "status", now)?,
        own_status: filters::told_status(&mut query, "own_status", now)?,
        status_reason: filters::status_reason(&mut query)?,
        card_type: query.word("type", CARD_TYPES)?,
        last4: filters::digits(&mut query, "last4", 4)?,
        first6: filters::digits(&mut query, "first6", 6)?,
        exp_year,
        exp_month,
        replaced_by: query.id("replaced_by", CardId::PREFIX)?,
        created_from,
        created_until,
        replacement_for: query.id("replacement_for", CardId::PREFIX)?,
        card_chain_id: query.id("card_chain_id", CardId::PREFIX)?,
        shipping_status: query.word("shipping_status", ShippingStatus::NAMED)?,
        link_type,
        link_id,
        bounds: caller.bounds().cloned(),
    };
    let after = query.id("starting_after", CardId::PREFIX)?;
    let limit = list::limit(&mut query)?;
    query.finish()?;
    list::check_store(&state)?;
    let page = state.store.cards(&filter, after, limit).await;
    let page = page.map_err(store_error)?;
    let ids: Vec<CardId> = page.data.iter().map(|row| row.id).collect();
    let cards = find_many(&state, &ids).await?;
    let data = cards.iter().map(|card| card.to_json(&state));
    Ok(list::page(data, page.has_more, page.projected_through))
}

/// Cards as memory has them; those that are not there are left out.
async fn find_many(state: &ApiState, ids: &[CardId]) -> Result<Vec<FullCard>, ApiError> {
    let asked = ids.iter().map(|id| RegistryRequest::Card(*id)).collect();
    let replies = ask::registry_many(state, asked).await?;
    let known = ids.iter().zip(replies);
    let known: Vec<_> = known
        .filter_map(|(id, reply)| match reply {
            Reply::IssuedCard(issued) => Some((*id, *issued)),
            _ => None,
        })
        .collect();
    let asked = known
        .iter()
        .map(|(id, (issued, _))| (issued.root, ShardRequest::Card(*id)));
    let replies = ask::shards(state, asked.collect()).await?;
    let cards = known.into_iter().zip(replies);
    let found = cards.filter_map(|((_, (issued, links)), reply)| match reply {
        Reply::Card(card) => Some(full(state, *card, issued, links)),
        _ => None,
    });
    found.collect()
}

pub fn full(
    state: &ApiState,
    card: Card,
    issued: IssuedCard,
    links: Vec<LinkKey>,
) -> Result<FullCard, ApiError> {
    let view = state.switchboard.view();
    let program = view.programs.get(&issued.program_id);
    let program = program.ok_or_else(|| ApiError::internal(&"a card is of no program"))?;
    Ok(FullCard {
        bin: bins::of_card(state, program, (card.id, card.first6), &issued)?,
        card,
        program_id: issued.program_id,
        root: issued.root,
        links,
    })
}

/// What the registry keeps of a card, and its links.
pub async fn issued(state: &ApiState, id: CardId) -> Result<(IssuedCard, Vec<LinkKey>), ApiError> {
    match ask::registry(state, RegistryRequest::Card(id)).await? {
        Reply::IssuedCard(issued) => Ok(*issued),
        Reply::NotFound => Err(not_found()),
        reply => Err(ask::unexpected(&reply)),
    }
}

/// What was asked for cannot be done with a card of this status.
pub fn status_forbids(status: CardStatus) -> ApiError {
    let refusal = Refusal::StatusForbids(status);
    ApiError::conflict("card_status_forbids", refusal.to_string())
}

pub fn not_found() -> ApiError {
    ApiError::not_found("card_not_found", "there is no card with this id")
}

pub async fn change_status(
    gate: State<Gate>,
    id: Path<String>,
    request: WriteRequest,
    change: StatusChange,
) -> Result<Response, ApiError> {
    let action = |card_id| Action::ChangeCardStatus(ChangeCardStatus { card_id, change });
    change_without_body(gate, id, request, action).await
}

/// What was tried today counts no more.
pub async fn reset_verification_tries(
    gate: State<Gate>,
    id: Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let action = |card_id| Action::ResetVerificationTries(ResetVerificationTries { card_id });
    change_without_body(gate, id, request, action).await
}

async fn change_without_body(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
    action: impl Fn(CardId) -> Action,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write { state, fields, .. } = write;
        fields.finish()?;
        let card_id = id.parse().map_err(|_| not_found())?;
        let before = find_full(&state, card_id).await?;
        command(&state, before, action(card_id)).await
    };
    once(gate.state()?, request, work).await
}

pub const BLOCK_REASONS: &[(StatusChange, &str)] = &[
    (StatusChange::BlockLost, "lost"),
    (StatusChange::BlockStolen, "stolen"),
    (StatusChange::BlockFraud, "fraud"),
    (StatusChange::Block, "other"),
];

/// For good: only closing comes after it.
pub async fn block(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state, mut fields, ..
        } = write;
        let change = fields.word("reason", BLOCK_REASONS)?;
        let change = change.ok_or_else(|| fields.missing("reason"))?;
        fields.finish()?;
        let card_id = id.parse().map_err(|_| not_found())?;
        let before = find_full(&state, card_id).await?;
        let change = ChangeCardStatus { card_id, change };
        command(&state, before, Action::ChangeCardStatus(change)).await
    };
    once(gate.state()?, request, work).await
}

/// Tightening is one scope, loosening another. True where it is loosened.
pub fn may_loosen(
    caller: &Caller,
    now: &Controls,
    before: Option<&Controls>,
) -> Result<bool, ApiError> {
    match now.are_within(before.unwrap_or(&Controls::default())) {
        true => Ok(false),
        false => caller.require(Scope::LimitsRaise).map(|()| true),
    }
}

pub async fn command(
    state: &ApiState,
    before: FullCard,
    action: Action,
) -> Result<Success, ApiError> {
    let shown_before = before.to_json(state);
    let after = changed(state, before, action).await?;
    Ok(Success::ok(after.to_json(state)).from(shown_before))
}

/// The card once its shard has carried this out.
pub async fn changed(
    state: &ApiState,
    before: FullCard,
    action: Action,
) -> Result<FullCard, ApiError> {
    let card = match ask::shard_command(state, before.root, action).await? {
        Reply::Card(card) => *card,
        Reply::Refused(Refusal::StatusForbids(status)) => return Err(status_forbids(status)),
        Reply::Refused(refusal @ Refusal::NotShipped(_)) => {
            return Err(ApiError::conflict("card_not_shipped", refusal.to_string()));
        }
        Reply::Refused(refusal @ Refusal::NothingToShip) => {
            return Err(ApiError::conflict("no_shipping", refusal.to_string()));
        }
        Reply::Refused(refusal @ Refusal::ShippingStatusForbids(_)) => {
            let code = "shipping_status_forbids";
            return Err(ApiError::conflict(code, refusal.to_string()));
        }
        Reply::Refused(Refusal::CardReplaced(by)) => return Err(reissue::replaced(by)),
        Reply::Refused(Refusal::CardNotFound(_)) => return Err(not_found()),
        reply => return Err(ask::unexpected(&reply)),
    };
    Ok(FullCard { card, ..before })
}

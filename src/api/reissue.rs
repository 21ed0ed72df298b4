//! `POST /v1/cards/{id}/reissue` and `/renew`: another card in place of one, and the same number with a new expiry. What
//! follows a chain of cards is decided in `engine::reissue`.
//!
//! A reissue is a record of the registry, which has the new number, and one of the shard, which opens the new card and
//! closes the old one at once. Between them nothing of the old card has changed; whatever ends the process there, the
//! shard is asked again at the next start, and by a repeat with the same `Idempotency-Key`.

use super::body::WriteRequest;
use super::cards::{self, FullCard};
use super::error::ApiError;
use super::idempotency::{Success, Write, once};
use super::{ApiState, Gate, accounts, ask, cardholders, fees, issue, links, reveal, shipping};
use crate::engine::command::Action;
use crate::engine::controls::Controls;
use crate::engine::event::Refusal;
use crate::engine::ids::CardId;
use crate::engine::registry::{IssueCard, RegistryAction, RegistryRefusal};
use crate::engine::reissue::{ReissueCard, ReissueReason, RenewCard, ReplaceCard};
use crate::engine::shipping::ShippingOrder;
use crate::engine::state::Card;
use crate::shard::reply::Reply;
use axum::extract::{Path, State};
use axum::response::Response;

pub async fn reissue(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            mut fields,
            mut ids,
            ..
        } = write;
        let card_id = CardId(ids.next());
        let reason = fields.word("reason", ReissueReason::NAMED)?;
        let reason = reason.ok_or_else(|| fields.missing("reason"))?;
        let old = id.parse().map_err(|_| cards::not_found())?;
        let old = cards::find_full(&state, old).await?;
        let given = shipping::order(&mut fields, old.card.card_type)?;
        fields.finish()?;
        // Where the last one went, unless this one is to go elsewhere.
        let before = old.card.shipping.as_ref();
        let shipping = given.or(before.map(|known| Box::new(known.order.clone())));
        let again = Again {
            card_id,
            reason,
            shipping,
        };
        let before = old.to_json(&state);
        let card = match old.card.replaced_by() {
            // By an earlier try of this request.
            Some(by) if by == card_id => cards::find_full(&state, by).await?,
            Some(by) => return Err(replaced(by)),
            None if old.card.status.is_closed() => {
                return Err(cards::status_forbids(old.card.status));
            }
            None => issue_in_place(&state, old, again).await?,
        };
        Ok(Success::created(card.to_json(&state)).from(before))
    };
    once(gate.state()?, request, work).await
}

/// What is asked for in place of a card.
struct Again {
    card_id: CardId,
    reason: ReissueReason,
    shipping: Option<Box<ShippingOrder>>,
}

async fn issue_in_place(
    state: &ApiState,
    old: FullCard,
    wanted: Again,
) -> Result<FullCard, ApiError> {
    let replaces = old.card.id;
    // What is charged by the shard was looked at here: one of an account at a time, so that each sees what the one before took.
    let path = format!("/v1/accounts/{}", old.card.account_id);
    let _turn = state.turns.of(&path).await?;
    if !wanted.reason.is_free() {
        let account = accounts::find(state, old.card.account_id).await?;
        fees::check_issue(state, wanted.card_id, &account, old.card.card_type).await?;
    }
    for _ in 0..issue::DRAWS_MAX {
        let reissue = ReissueCard {
            replaces,
            reason: wanted.reason,
            issue: new_card(state, &old, &wanted).await?,
        };
        let action = RegistryAction::ReissueCard(Box::new(reissue));
        let reply = ask::registry_command(state, action).await?;
        let card = match reply {
            Reply::Card(card) => *card,
            Reply::RegistryRefused(
                RegistryRefusal::PanTaken | RegistryRefusal::CardholderReplaced,
            ) => continue,
            // Issued before under the same Idempotency-Key.
            Reply::RegistryRefused(RegistryRefusal::IdTaken) => again(state, &old, wanted).await?,
            Reply::RegistryRefused(RegistryRefusal::CardReplaced(by)) => return Err(replaced(by)),
            Reply::RegistryRefused(
                refusal
                @ (RegistryRefusal::LinkClosed { .. } | RegistryRefusal::TooManyCardsOfLink),
            ) => {
                return Err(links::refused(refusal));
            }
            Reply::RegistryRefused(refusal @ RegistryRefusal::TooManyReissues) => {
                return Err(ApiError::conflict("too_many_reissues", refusal.to_string()));
            }
            reply => return Err(ask::unexpected(&reply)),
        };
        return Ok(FullCard { card, ..old });
    }
    Err(issue::bin_exhausted(&old.bin))
}

/// The new number has the BIN of the old one.
async fn new_card(state: &ApiState, old: &FullCard, wanted: &Again) -> Result<IssueCard, ApiError> {
    let of = (old.program_id, &old.bin);
    let number = issue::number(state, of, wanted.card_id)?;
    let card = &old.card;
    // It may have got another holder since it was read.
    let (issued, _) = cards::issued(state, card.id).await?;
    Ok(IssueCard {
        card_id: wanted.card_id,
        root: old.root,
        account_id: card.account_id,
        program_id: old.program_id,
        card_type: card.card_type,
        pan_hash: number.pan_hash,
        sealed_pan: number.sealed_pan,
        first6: number.first6,
        last4: number.last4,
        expiry: issue::expiry(state.switchboard.clock.now()),
        links: old.links.iter().cloned().collect(),
        controls: Controls::default(),
        wallet: card.wallet.clone(),
        cardholder_id: issued.cardholder_id,
        paid_by: None,
        shipping: wanted.shipping.clone(),
    })
}

/// The card that an earlier try issued. Should its shard not have opened it, it is asked to again.
async fn again(state: &ApiState, old: &FullCard, wanted: Again) -> Result<Card, ApiError> {
    let card_id = wanted.card_id;
    let (issued, _) = cards::issued(state, card_id).await?;
    let pan = reveal::open_pan(state, card_id, &issued)?;
    let (first6, last4) = issue::shown_digits(&pan);
    let replace = ReplaceCard {
        card_id,
        replaces: old.card.id,
        reason: wanted.reason,
        first6,
        last4,
        expiry: issued.expiry,
        holder: cardholders::holder(state, issued.cardholder_id).await?,
        shipping: wanted.shipping,
        // Of one that its shard has opened, which is nearly always, nothing is changed.
        issued_at: state.switchboard.clock.now(),
    };
    let action = Action::ReplaceCard(Box::new(replace));
    match ask::shard_command(state, old.root, action).await? {
        Reply::Card(card) => Ok(*card),
        reply => Err(ask::unexpected(&reply)),
    }
}

pub async fn renew(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write { state, fields, .. } = write;
        fields.finish()?;
        let card_id = id.parse().map_err(|_| cards::not_found())?;
        let before = cards::find_full(&state, card_id).await?;
        let status = before.card.status;
        if let Some(by) = before.card.replaced_by() {
            return Err(replaced(by));
        }
        if status.is_closed() || status.is_blocked() {
            return Err(cards::status_forbids(before.card.status));
        }
        let shown_before = before.to_json(&state);
        let expiry = issue::expiry(state.switchboard.clock.now());
        let renew = RegistryAction::RenewCard(RenewCard { card_id, expiry });
        let card = match ask::registry_command(&state, renew).await? {
            Reply::Card(card) => *card,
            Reply::RegistryRefused(RegistryRefusal::CardReplaced(by)) => return Err(replaced(by)),
            reply => return Err(ask::unexpected(&reply)),
        };
        let after = FullCard { card, ..before };
        Ok(Success::ok(after.to_json(&state)).from(shown_before))
    };
    once(gate.state()?, request, work).await
}

pub fn replaced(by: CardId) -> ApiError {
    ApiError::conflict("card_replaced", Refusal::CardReplaced(by).to_string())
}

//! Cards as bodies order them: on which account, with which links and further accounts. Issuing them is in `issue.rs`.

use super::cards::{CARD_TYPES, FUNDINGS, Funding, LINKS_MAX};
use super::error::ApiError;
use super::fields::Fields;
use super::idempotency::Ids;
use super::links::{LinkPair, take_pair};
use super::{ApiState, accounts, bins, cards, controls_json, programs, shipping};
use crate::engine::api_keys::Bounds;
use crate::engine::card_batches::CardOrder;
use crate::engine::command::CardType;
use crate::engine::ids::{AccountId, CardId, CardholderId, ProgramId};
use crate::engine::programs::Program;
use crate::engine::registry::RegistryView;
use crate::engine::wallet::{FURTHER_ACCOUNTS_MAX, Wallet};
use axum::http::StatusCode;

/// Of an order for the master account of a program that has none.
pub const NO_MASTER_ACCOUNT: &str = "no_master_account";

/// A card as a body asks for it. `master` says what is drawn on where a program is named.
pub fn order(
    fields: &mut Fields,
    ids: &mut Ids,
    (view, bounds): (&RegistryView, Option<&Bounds>),
    master: impl Fn(&Program) -> Option<AccountId>,
) -> Result<CardOrder, ApiError> {
    let account_id = named_account(fields, (view, bounds), master)?;
    let card_type = fields.word("type", CARD_TYPES)?;
    let has_own_account = fields.word("funding", FUNDINGS)? == Some(Funding::Own);
    // An own sub-account comes before the one that was named.
    let first = (!has_own_account).then_some(account_id);
    let card_type = card_type.unwrap_or(CardType::Virtual);
    Ok(CardOrder {
        account_id,
        card_type,
        has_own_account,
        links: links(fields)?.into(),
        wallet: wallet(fields, first)?,
        controls: controls_json::take(fields, ids, view)?,
        cardholder_id: fields.id("cardholder_id", CardholderId::PREFIX)?,
        bin: bins::bin(fields)?,
        shipping: shipping::order(fields, card_type)?,
    })
}

/// `account_id`, or the master account of `program_id`.
fn named_account(
    fields: &mut Fields,
    (view, bounds): (&RegistryView, Option<&Bounds>),
    master: impl Fn(&Program) -> Option<AccountId>,
) -> Result<AccountId, ApiError> {
    const PROGRAM: &str = "program_id";
    let named = fields.id("account_id", AccountId::PREFIX)?;
    let Some(program_id) = fields.id(PROGRAM, ProgramId::PREFIX)? else {
        return named.ok_or_else(|| {
            let path = fields.path("account_id");
            let message =
                format!("{path} is required, or program_id for the program's master account");
            ApiError::invalid("field_missing", path, message)
        });
    };
    if named.is_some() {
        let path = fields.path(PROGRAM);
        let message = format!("{path} stands for its master account; name that or account_id");
        return Err(ApiError::invalid("value_unknown", path, message));
    }
    let is_seen = bounds.is_none_or(|bounds| bounds.cover_program(program_id));
    let program = view.programs.get(&program_id).filter(|_| is_seen);
    let program = program.ok_or_else(|| programs::not_found().with_param(PROGRAM))?;
    master(program).ok_or_else(|| {
        let message = "the program has no master account; name an account, or give it one";
        ApiError::conflict(NO_MASTER_ACCOUNT, message).with_param(PROGRAM)
    })
}

/// Where a try before that was cut off has begun already: on what was the master account then.
pub async fn begun_on(
    state: &ApiState,
    (card_id, sub_account_id): (CardId, AccountId),
) -> Result<Option<AccountId>, ApiError> {
    let begun = match accounts::find(state, sub_account_id).await {
        Ok(own) => return Ok(own.parent_id),
        Err(error) if error.status == StatusCode::NOT_FOUND => {
            cards::find_full(state, card_id).await
        }
        Err(error) => return Err(error),
    };
    match begun {
        Ok(known) => Ok(Some(known.card.account_id)),
        Err(error) if error.status == StatusCode::NOT_FOUND => Ok(None),
        Err(error) => Err(error),
    }
}

/// The accounts that a card draws on after its first one.
fn wallet(fields: &mut Fields, first: Option<AccountId>) -> Result<Option<Box<Wallet>>, ApiError> {
    let mut wallet = Wallet::new();
    for (path, value) in fields.list("wallet_account_ids", FURTHER_ACCOUNTS_MAX)? {
        let id = value.as_str().and_then(|text| text.parse().ok());
        let Some(id) = id else {
            let prefix = AccountId::PREFIX;
            let message = format!("{path} must be an id: `{prefix}_` and 13 letters or digits");
            return Err(ApiError::invalid("id_malformed", path, message));
        };
        if Some(id) == first || wallet.contains(&id) {
            let message = format!("{path} repeats another account of the card");
            return Err(ApiError::invalid("account_repeated", path, message));
        }
        // The list is not longer than there is room.
        wallet.push(id);
    }
    Ok((!wallet.is_empty()).then(|| Box::new(wallet)))
}

/// The links of a request as (type, id).
fn links(fields: &mut Fields) -> Result<Vec<LinkPair>, ApiError> {
    let mut links = Vec::new();
    for (path, value) in fields.list("links", LINKS_MAX)? {
        let mut link = Fields::of(&path, value)?;
        let pair = take_pair(&mut link)?;
        link.finish()?;
        if links.contains(&pair) {
            let message = format!("{path} repeats another link");
            return Err(ApiError::invalid("link_repeated", path, message));
        }
        links.push(pair);
    }
    Ok(links)
}

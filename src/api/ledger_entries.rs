//! `/v1/ledger_entries`, and `/v1/accounts/{id}/ledger_entries` of one account: every movement of what is posted, newest first,
//! from SQL.

use super::auth::Caller;
use super::error::ApiError;
use super::fields::Fields;
use super::list::{self, ListQuery, store_error};
use super::{ApiState, Gate, accounts, card_links, filters};
use crate::engine::ids::{
    AccountId, AuthorizationId, CardId, CardholderId, FeeId, ProgramId, TopUpId, TransactionId,
    TransferId,
};
use crate::engine::scopes::Scope;
use crate::store::query_ledger::{EntryCursor, LedgerFilter};
use crate::store::rows::LedgerEntryRow;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};

/// The digits of a journal record, and of the leg's place in it.
const RECORD_DIGITS: usize = 11;
const LEG_DIGITS: usize = 2;
const PREFIX: &str = "entry_";

/// Of all accounts that the caller sees.
pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let account_id = query.id("account_id", AccountId::PREFIX)?;
    list_of(&state, &caller, account_id, query).await
}

pub async fn of_account(
    State(gate): State<Gate>,
    Path(account_id): Path<String>,
    caller: Caller,
    ListQuery(query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let account = accounts::by_path(&state, &account_id).await?;
    list_of(&state, &caller, Some(account.id), query).await
}

fn filter(caller: &Caller, query: &mut Fields) -> Result<LedgerFilter, ApiError> {
    let needs = [
        ("cardholder_id", Scope::CardsRead),
        ("merchant_id", Scope::TransactionsRead),
    ];
    filters::check_scopes(caller, query, &needs)?;
    let (link_type, link_id) = list::link(query)?;
    let (created_from, created_until) = filters::created(query)?;
    let (amount_from, amount_until) = filters::amount_span(query)?;
    Ok(LedgerFilter {
        account_id: None,
        card_id: query.id("card_id", CardId::PREFIX)?,
        card_chain_id: query.id("card_chain_id", CardId::PREFIX)?,
        authorization_id: query.id("authorization_id", AuthorizationId::PREFIX)?,
        program_id: query.id("program_id", ProgramId::PREFIX)?,
        cardholder_id: query.id("cardholder_id", CardholderId::PREFIX)?,
        merchant_id: query.text("merchant_id", 15)?,
        currency: query.currency("currency")?,
        source_type: source_type(query)?,
        source_id: source_id(query)?,
        amount_from,
        amount_until,
        created_from,
        created_until,
        link_type,
        link_id,
        bounds: None,
    })
}

async fn list_of(
    state: &ApiState,
    caller: &Caller,
    account_id: Option<AccountId>,
    mut query: Fields,
) -> Result<Response, ApiError> {
    let filter = LedgerFilter {
        account_id,
        bounds: caller.bounds().cloned(),
        ..filter(caller, &mut query)?
    };
    let after = match query.text("starting_after", 40)? {
        None => None,
        Some(text) => Some(cursor(&text).ok_or_else(malformed)?),
    };
    let limit = list::limit(&mut query)?;
    query.finish()?;
    list::check_store(state)?;
    let page = state.store.ledger_entries(&filter, after, limit).await;
    let page = page.map_err(store_error)?;
    let cards = page.data.iter().filter_map(|row| row.card_id);
    let links = card_links::of_cards(state, cards.clone()).await?;
    let unseen = card_links::unseen(state, caller.bounds(), cards).await?;
    let json = |row: &LedgerEntryRow| {
        let card_id = row.card_id.filter(|id| !unseen.contains(id));
        to_json(row, card_id, links.json_of(card_id))
    };
    let data = page.data.iter().map(json);
    Ok(list::page(data, page.has_more, page.projected_through))
}

/// What posts money to accounts.
pub const SOURCE_TYPES: &[(&str, &str)] = &[
    ("fee", "fee"),
    ("top_up", "top_up"),
    ("transaction", "transaction"),
    ("transfer", "transfer"),
];

fn source_type(query: &mut Fields) -> Result<Option<String>, ApiError> {
    let source_type = query.word("source_type", SOURCE_TYPES)?;
    Ok(source_type.map(str::to_owned))
}

fn source_id(query: &mut Fields) -> Result<Option<String>, ApiError> {
    let posts = |id: &str| {
        id.parse::<FeeId>().is_ok()
            || id.parse::<TopUpId>().is_ok()
            || id.parse::<TransactionId>().is_ok()
            || id.parse::<TransferId>().is_ok()
    };
    let kinds = "a fee, a top-up, a transaction or a transfer";
    filters::id_of_kinds(query, "source_id", posts, kinds)
}

fn malformed() -> ApiError {
    let message = "starting_after must be the id of an entry: `entry_` and 13 digits";
    ApiError::invalid("id_malformed", "starting_after", message)
}

fn id_of(cursor: EntryCursor) -> String {
    let EntryCursor { sequence, leg } = cursor;
    format!("{PREFIX}{sequence:0RECORD_DIGITS$}{leg:0LEG_DIGITS$}")
}

fn cursor(text: &str) -> Option<EntryCursor> {
    let digits = text.strip_prefix(PREFIX)?;
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number || digits.len() < RECORD_DIGITS + LEG_DIGITS {
        return None;
    }
    let (sequence, leg) = digits.split_at(digits.len() - LEG_DIGITS);
    let (sequence, leg) = (sequence.parse().ok()?, leg.parse().ok()?);
    // Sequences are below 2^63 in SQL.
    (sequence <= i64::MAX as u64).then_some(EntryCursor { sequence, leg })
}

/// The card and its payment where the caller sees the card.
fn to_json(row: &LedgerEntryRow, card_id: Option<CardId>, links: Vec<Value>) -> Value {
    let authorization_id = row.authorization_id.filter(|_| card_id.is_some());
    let (sequence, leg) = (row.sequence, row.leg);
    json!({
        "id": id_of(EntryCursor { sequence, leg }),
        "object": "ledger_entry",
        "account_id": row.account_id.to_string(),
        "amount": row.amount_minor,
        "currency": row.currency.alpha(),
        "source": { "type": row.source_type, "id": row.source_id },
        "card_id": card_id.map(|id| id.to_string()),
        "authorization_id": authorization_id.map(|id| id.to_string()),
        "links": links,
        "created_at": row.created_at_ms.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_back_to_their_place_and_sort_like_it() {
        let places = [(1, 0), (1, 1), (2, 0), (99_999_999_999, 99)];
        let ids = places.map(|(sequence, leg)| id_of(EntryCursor { sequence, leg }));
        assert_eq!(ids[0], "entry_0000000000100");
        assert!(ids.is_sorted());
        for (id, (sequence, leg)) in ids.iter().zip(places) {
            assert_eq!(cursor(id), Some(EntryCursor { sequence, leg }));
        }
        for text in [
            "",
            "entry_",
            "entry_1",
            "entry_00000000001x0",
            "topup_0000000000100",
            "entry_9999999999999999999900",
        ] {
            assert_eq!(cursor(text), None, "{text}");
        }
    }
}

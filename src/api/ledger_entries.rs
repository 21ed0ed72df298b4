//! `/v1/accounts/{id}/ledger_entries`: every movement of an account's posted balance, newest first, from SQL.

use super::error::ApiError;
use super::fields::Fields;
use super::list::{self, ListQuery, store_error};
use super::{Gate, accounts, filters};
use crate::store::query_money::{EntryCursor, LedgerFilter};
use crate::store::rows::LedgerEntryRow;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};

/// The digits of a journal record, and of the leg's place in it.
const RECORD_DIGITS: usize = 11;
const LEG_DIGITS: usize = 2;
const PREFIX: &str = "entry_";

pub async fn many(
    State(gate): State<Gate>,
    Path(account_id): Path<String>,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let after = match query.text("starting_after", 40)? {
        None => None,
        Some(text) => Some(cursor(&text).ok_or_else(malformed)?),
    };
    let (created_from, created_until) = filters::created(&mut query)?;
    let (amount_from, amount_until) = filters::amount_span(&mut query)?;
    let filter = LedgerFilter {
        source_type: source_type(&mut query)?,
        source_id: query.text("source_id", 64)?,
        amount_from,
        amount_until,
        created_from,
        created_until,
    };
    let limit = list::limit(&mut query)?;
    query.finish()?;
    let account = accounts::by_path(&state, &account_id).await?;
    list::check_store(&state)?;
    let page = state
        .store
        .ledger_entries(account.id, &filter, after, limit)
        .await;
    let page = page.map_err(store_error)?;
    let data = page.data.iter().map(to_json);
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

fn to_json(row: &LedgerEntryRow) -> Value {
    let (sequence, leg) = (row.sequence, row.leg);
    json!({
        "id": id_of(EntryCursor { sequence, leg }),
        "object": "ledger_entry",
        "account_id": row.account_id.to_string(),
        "amount": row.amount_minor,
        "currency": row.currency.alpha(),
        "source": { "type": row.source_type, "id": row.source_id },
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

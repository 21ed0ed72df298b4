//! `/v1/incoming_payments`: what arrived, as a bank's file or a rail's call says it. Each payment is held against the top-ups
//! that wait, by the reference that its payer stated; who it settles and who not is told line by line.

use super::body::WriteRequest;
use super::error::ApiError;
use super::fields::{self, Fields};
use super::idempotency::{Success, Write, once};
use super::{ApiState, Gate, accounts, ask, csv, rails, top_ups};
use crate::engine::event::Refusal;
use crate::engine::ids::{AccountId, ProgramId, TopUpId};
use crate::engine::money::{BALANCE_MAX_MINOR, Money};
use crate::engine::top_ups::{EndTopUp, IncomingPayment, StatedReference, TopUpEnd, TopUpStatus};
use crate::security::mask_pans;
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
use crate::store::rows::TopUpRow;
use arrayvec::ArrayString;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Payments of one file: each is a command of its own, and its sender waits for all of them.
const LINES_MAX: usize = 1_000;

/// As long as the references of top-ups.
const REFERENCE_LETTERS_MAX: usize = 140;
/// Of a longer one so much is looked at, so that a card number which begins within what is told is seen to its end.
const LOOKED_AT_LETTERS: usize = 200;

/// One payment, as it was told.
struct Payment {
    reference: Reference,
    /// By what way it came, where that is said.
    method: Option<&'static str>,
    arrived: Money,
    received_on: Option<String>,
    /// Whose it is, where that is said: the account or the root of its tree, and the program.
    account_id: Option<AccountId>,
    program_id: Option<ProgramId>,
}

/// What its payer wrote, which nobody but him can answer for.
enum Reference {
    Stated(String),
    /// What no top-up can have as its reference, in a form that may be told.
    Invalid(String),
}

impl Reference {
    fn of(text: String) -> Reference {
        match fields::text(
            "reference",
            Value::from(text.as_str()),
            REFERENCE_LETTERS_MAX,
        ) {
            Ok(text) => Reference::Stated(text),
            Err(_) => Reference::Invalid(legible(&text)),
        }
    }

    fn told(&self) -> &str {
        match self {
            Reference::Stated(text) | Reference::Invalid(text) => text,
        }
    }
}

/// On one line, with the first six and the last four digits of what looks like a card number, and no longer than others.
fn legible(text: &str) -> String {
    let start: String = text.chars().take(LOOKED_AT_LETTERS).collect();
    let words = start.split(|letter: char| letter.is_control() || letter.is_whitespace());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    // A letter has four bytes at the most.
    let line = words.join(" ");
    let mut masked = ArrayString::<{ 4 * LOOKED_AT_LETTERS }>::from(&line).unwrap_or_default();
    mask_pans(&mut masked, "");
    // Digits that were none among those beside them can look like one once they are cut off.
    let cut: String = masked.chars().take(REFERENCE_LETTERS_MAX).collect();
    let mut cut = ArrayString::<{ 4 * REFERENCE_LETTERS_MAX }>::from(&cut).unwrap_or_default();
    mask_pans(&mut cut, "");
    cut.as_str().to_owned()
}

/// What became of one.
struct Matched {
    result: &'static str,
    top_up_id: Option<TopUpId>,
    /// Why it is not `matched`.
    reason: Option<String>,
}

impl Matched {
    fn not(result: &'static str, top_up_id: Option<TopUpId>, reason: &str) -> Matched {
        Matched {
            result,
            top_up_id,
            reason: Some(reason.to_owned()),
        }
    }
}

pub async fn create(State(gate): State<Gate>, request: WriteRequest) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            mut fields,
            ids,
            ..
        } = write;
        let write_id = ids.first();
        match fields.take("csv") {
            Some(Value::String(text)) => file(&state, fields, &text, write_id).await,
            Some(_) => Err(fields::wrong_type("csv", "text")),
            None => {
                let payment = payment(fields)?;
                let place = IncomingPayment { write_id, line: 0 };
                let told = match_payment(&state, &payment, place).await?;
                Ok(Success::ok(to_json("incoming_payment", &payment, &told)))
            }
        }
    };
    once(gate.state()?, request, work).await
}

/// A file: nothing of it is carried out before all of it could be read.
async fn file(
    state: &Arc<ApiState>,
    fields: Fields,
    text: &str,
    write_id: u64,
) -> Result<Success, ApiError> {
    fields.finish()?;
    let payments = lines(text)?;
    let mut counts = Map::new();
    let mut told = Vec::with_capacity(payments.len());
    for (line, payment) in payments {
        let place = IncomingPayment { write_id, line };
        let matched = match_payment(state, &payment, place).await?;
        let count = counts.entry(matched.result).or_insert(json!(0));
        *count = json!(count.as_u64().unwrap_or_default() + 1);
        let mut json = to_json("incoming_payment", &payment, &matched);
        json["line"] = line.into();
        told.push(json);
    }
    Ok(Success::ok(json!({
        "object": "incoming_payment_file",
        "counts": counts,
        "payments": told,
    })))
}

fn payment(mut fields: Fields) -> Result<Payment, ApiError> {
    let payment = Payment {
        reference: match fields.take("reference") {
            Some(Value::String(text)) => Reference::of(text),
            Some(_) => return Err(fields::wrong_type("reference", "text")),
            None => return Err(fields.missing("reference")),
        },
        method: fields.word("method", &rails::methods())?,
        arrived: Money {
            amount_minor: fields
                .integer("amount", 1..=BALANCE_MAX_MINOR)?
                .ok_or_else(|| fields.missing("amount"))?,
            currency: fields.required_currency("currency")?,
        },
        received_on: fields.day("date")?.map(|day| day.to_string()),
        account_id: fields.id("account_id", AccountId::PREFIX)?,
        program_id: fields.id("program_id", ProgramId::PREFIX)?,
    };
    fields.finish()?;
    Ok(payment)
}

/// The payments of a CSV (RFC 4180), each with the number of the line on which it begins. The first line names the columns.
fn lines(text: &str) -> Result<Vec<(u32, Payment)>, ApiError> {
    let mut rows = csv::rows(text).into_iter();
    let heads = rows.next().and_then(|(_, heads)| heads.ok());
    let heads = heads.unwrap_or_default();
    let is_known = |head: &String| COLUMNS.contains(&head.as_str());
    if heads.is_empty() || !heads.iter().all(is_known) {
        let message = format!(
            "the first line must name the columns, of these: {}",
            COLUMNS.join(",")
        );
        return Err(ApiError::invalid("csv_malformed", "csv line 1", message));
    }
    if let Some(twice) = (1..heads.len()).find(|place| heads[..*place].contains(&heads[*place])) {
        let message = format!("the column {} is named twice", heads[twice]);
        return Err(ApiError::invalid("csv_malformed", "csv line 1", message));
    }
    let mut payments = Vec::new();
    for (number, row) in rows {
        if let Ok([only]) = row.as_deref()
            && only.trim().is_empty()
        {
            continue;
        }
        if payments.len() == LINES_MAX {
            let message = format!("a file may have {LINES_MAX} payments; send the rest in another");
            return Err(ApiError::invalid("too_many", "csv", message));
        }
        payments.push((number, of_line(number, &heads, row)?));
    }
    Ok(payments)
}

const COLUMNS: [&str; 7] = [
    "reference",
    "amount",
    "currency",
    "date",
    "method",
    "account_id",
    "program_id",
];

fn of_line(
    number: u32,
    heads: &[String],
    row: Result<Vec<String>, &'static str>,
) -> Result<Payment, ApiError> {
    let place = format!("csv line {number}");
    let malformed = |message: &str| ApiError::invalid("csv_malformed", &place, message);
    let cells = row.map_err(malformed)?;
    // What two payers wrote may look like marks around all between them, which would be told to nobody.
    if cells.iter().any(|cell| has_row(cell, heads.len())) {
        return Err(malformed(
            "a cell in quotation marks has another payment in it; double those that belong to a text",
        ));
    }
    if cells.len() != heads.len() {
        return Err(malformed("it has not as many cells as the first line"));
    }
    let mut map = Map::new();
    for (head, cell) in heads.iter().zip(cells) {
        let cell = cell.trim();
        let value = match cell.parse::<i64>() {
            // Whoever pays may state nothing.
            _ if cell.is_empty() && head != "reference" => continue,
            // A cell has no type: what is no number is out of range, as 0 is.
            number if head == "amount" => Value::from(number.unwrap_or_default()),
            _ => Value::from(cell),
        };
        map.insert(head.clone(), value);
    }
    let fields = Fields::of("", Value::Object(map))?;
    payment(fields).map_err(|error| {
        let param = error.param.clone().unwrap_or_default();
        error.with_param(format!("{place}: {param}"))
    })
}

/// Of several lines, one with as many commas as there are between the cells of a row.
fn has_row(cell: &str, cells: usize) -> bool {
    let mut lines = cell.lines();
    cell.contains('\n') && lines.any(|line| line.matches(',').count() + 1 >= cells)
}

/// Settles the top-up that the payment is for, if one waits for it. A payment that has settled it is `matched` whenever its
/// request is repeated, and no other one is: the shard says which did.
async fn match_payment(
    state: &Arc<ApiState>,
    payment: &Payment,
    place: IncomingPayment,
) -> Result<Matched, ApiError> {
    let row = match referenced(state, payment).await? {
        Ok(row) => row,
        Err(unmatched) => return Ok(unmatched),
    };
    let id = Some(row.id);
    let was_settled = row.status == TopUpStatus::Settled;
    if row.status == TopUpStatus::Failed {
        return Ok(Matched::not("refused", id, "top_up_failed"));
    }
    if was_settled && !is_the_same(&row, payment) {
        return Ok(Matched::not("refused", id, "top_up_settled"));
    }
    let (_, needs_two) = top_ups::settling_needs_two(state, &row, payment.arrived).await?;
    if needs_two {
        return Ok(Matched::not("refused", id, "second_approver_needed"));
    }
    let end = TopUpEnd::Settled {
        arrived: payment.arrived,
        received_on: payment.received_on.as_deref().map(Into::into),
    };
    let end = EndTopUp {
        top_up_id: row.id,
        account_id: row.account_id,
        end,
        payment: Some(place),
    };
    Ok(match top_ups::end_one(state, end).await? {
        Ok(()) => Matched {
            result: "matched",
            top_up_id: id,
            reason: None,
        },
        Err(Refusal::TopUpSettledBefore(_)) => Matched::not("duplicate", id, "settled_before"),
        // So long ago that the shard has forgotten it, or at once, in the sandbox.
        Err(_) if was_settled => Matched::not("duplicate", id, "settled_before"),
        Err(refusal) => match top_ups::refused(&refusal) {
            error if error.status == StatusCode::CONFLICT => {
                Matched::not("refused", id, error.code)
            }
            error => return Err(error),
        },
    })
}

/// The same payment told again, as far as can be said.
fn is_the_same(row: &TopUpRow, payment: &Payment) -> bool {
    let arrived = (row.arrived_minor, row.arrived_currency);
    let Money {
        amount_minor,
        currency,
    } = payment.arrived;
    let same_day = match (&row.received_on, &payment.received_on) {
        (Some(known), Some(told)) => known == told,
        _ => true,
    };
    arrived == (Some(amount_minor), Some(currency)) && same_day
}

/// The top-up that the reference is of: its own id, or an external one.
async fn referenced(
    state: &Arc<ApiState>,
    payment: &Payment,
) -> Result<Result<TopUpRow, Matched>, ApiError> {
    let unmatched = |reason| Matched::not("unmatched", None, reason);
    let Reference::Stated(reference) = &payment.reference else {
        return Ok(Err(unmatched("reference_invalid")));
    };
    let found = async |id| match top_ups::find(state, id).await {
        Ok(row) => Ok(Some(row)),
        Err(error) if error.status == StatusCode::NOT_FOUND => Ok(None),
        Err(error) => Err(error),
    };
    // First, so that nobody is paid in another's place by a reference that looks like it.
    if let Ok(id) = reference.parse::<TopUpId>()
        && let Some(row) = found(id).await?
    {
        return Ok(match fits(state, payment, &row).await? {
            true => Ok(row),
            false => Err(unmatched("reference_unknown")),
        });
    }
    let asked = RegistryRequest::Reference(StatedReference {
        reference: reference.as_str().into(),
        method: payment.method.map(Into::into),
        account_id: payment.account_id,
        program_id: payment.program_id,
    });
    let known = match ask::registry(state, asked).await? {
        Reply::References(known) => known,
        reply => return Err(ask::unexpected(&reply)),
    };
    let mut fitting = Vec::new();
    for one in known {
        // A top-up that was refused left its reference without one.
        if let Some(row) = found(one.top_up_id).await? {
            fitting.push((one.root, row));
        }
    }
    // Those that failed await nothing, so that they stand in the way of none that does.
    let has_failed = |(_, row): &(AccountId, TopUpRow)| row.status == TopUpStatus::Failed;
    if !fitting.iter().all(has_failed) {
        fitting.retain(|one| !has_failed(one));
    }
    let roots: BTreeSet<AccountId> = fitting.iter().map(|(root, _)| *root).collect();
    Ok(match (fitting.len(), fitting.pop()) {
        (1, Some((_, row))) => Ok(row),
        (_, None) => Err(unmatched("reference_unknown")),
        // Whose it is cannot be told: what one tree announces takes nothing from another.
        _ if roots.len() > 1 => Err(unmatched("reference_of_several_accounts")),
        _ => Err(unmatched("reference_of_several_methods")),
    })
}

/// What was said beside the reference is true of the top-up.
async fn fits(state: &Arc<ApiState>, payment: &Payment, row: &TopUpRow) -> Result<bool, ApiError> {
    if payment.method.is_some_and(|method| row.method != method) {
        return Ok(false);
    }
    if payment.account_id.is_none() && payment.program_id.is_none() {
        return Ok(true);
    }
    let account = accounts::find(state, row.account_id).await?;
    let is_of = |id: AccountId| id == account.id || id == account.root;
    let of_program = |id: ProgramId| id == account.program_id;
    Ok(payment.account_id.is_none_or(is_of) && payment.program_id.is_none_or(of_program))
}

fn to_json(object: &str, payment: &Payment, matched: &Matched) -> Value {
    json!({
        "object": object,
        "reference": payment.reference.told(),
        "amount": payment.arrived.amount_minor,
        "currency": payment.arrived.currency.alpha(),
        "date": payment.received_on,
        "result": matched.result,
        "top_up_id": matched.top_up_id.map(|id| id.to_string()),
        "reason": matched.reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn payments_between_marks_of_others_are_not_passed_over() {
        let of = |file: &str| match lines(&format!("reference,amount,currency\n{file}")) {
            Ok(payments) => payments.len().to_string(),
            Err(error) => error.param.unwrap_or_default(),
        };
        assert_eq!(
            of("RE 5\" pipe,100,USD\nG1,100,USD\nRE 7\" pipe,100,USD\n"),
            "3"
        );
        assert_eq!(
            of("\"RE 5,100,USD\nG1,100,USD\n7\",100,USD\n"),
            "csv line 2"
        );
        assert_eq!(
            of("G1,100,USD\n\"RE 5,100,USD\n7\",100,USD\n"),
            "csv line 3"
        );
        assert_eq!(of("\"RE 5\n7\",100,USD\n\nG1,100,USD"), "2");
        assert_eq!(of("\"RE 5,100,USD\n"), "csv line 2");
    }

    #[test]
    fn what_no_top_up_can_have_is_told_legibly() {
        let told = |text: &str| match Reference::of(text.to_owned()) {
            Reference::Stated(text) => format!("= {text}"),
            Reference::Invalid(text) => text,
        };
        let long = "W".repeat(REFERENCE_LETTERS_MAX);
        assert_eq!(told(&long), format!("= {long}"));
        assert_eq!(told(&format!("{long}X")), long);
        assert_eq!(told("RE 4111111111111111"), "RE 411111******1111");
        assert_eq!(told("4111\t1111\r\n1111 1111"), "4111 11** **** 1111");
        assert_eq!(told("a\u{0}b"), "a b");
        assert_eq!(told(""), "");
        // It begins within what is told, and ends after it.
        let cut = format!("{} 4111-1111-1111-1111", "W".repeat(130));
        assert_eq!(told(&cut), format!("{} 4111-11**", "W".repeat(130)));
        let told_after = "6¡aA𰀀A¡ 0 A 𑌅 ⷀஞA® 𐴴";
        let cut = format!(
            "{}{told_after}4111 1111 1111 1111{told_after}",
            "W".repeat(104)
        );
        assert!(!crate::security::holds_pan(&told(&cut)), "{}", told(&cut));
    }

    proptest! {
        #[test]
        fn no_card_number_is_told(text in "\\PC{0,40}", before in 0usize..200) {
            let text = format!("{}{text}4111 1111 1111 1111{text}", "W".repeat(before));
            let told = Reference::of(text);
            prop_assert!(!crate::security::holds_pan(told.told()), "{}", told.told());
            prop_assert!(told.told().chars().count() <= REFERENCE_LETTERS_MAX);
        }

        #[test]
        fn any_text_is_a_file_or_an_error(text: String) {
            let _ = lines(&text);
            let _ = lines(&format!("reference,amount,currency\n{text}"));
        }
    }
}

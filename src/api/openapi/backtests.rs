//! What the document says of backtests of risk rules.

use super::operation::{Operation, act, body, create, get, list_of_memory};
use super::schema::{
    Fields, amount, answer, currency, decline_reasons, id, list, moment, named, noted, number,
    number_within, of_type, open_word, or_null, pattern, request, said, with,
};
use crate::api::backtests::EXAMPLES;
use crate::backtest::desk::Status;
use crate::backtest::findings::WORDS;
use serde_json::{Value, json};

pub fn schemas() -> Fields {
    vec![("Backtest", backtest()), ("BacktestResult", result())]
}

pub fn operations() -> Vec<Operation> {
    let all = "/v1/rules/{id}/backtests";
    let one = "/v1/rules/{id}/backtests/{backtest_id}";
    let cancel = "/v1/rules/{id}/backtests/{backtest_id}/cancel";
    let example = json!({"from": "2026-11-01", "to": "2026-11-30"});
    vec![
        list_of_memory(
            all,
            "Backtests of a rule, newest first",
            "Backtest",
            id("bt"),
        ),
        create(
            all,
            "Hold a rule against the journal's history",
            body(backtest_request(), example),
            "Backtest",
        ),
        get(one, "A backtest, with what it found", "Backtest"),
        act(cancel, "End a backtest that waits or runs", "Backtest"),
    ]
}

fn day() -> Value {
    noted(
        pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "2026-11-01"),
        "A day in UTC, which is part of the span.",
    )
}

fn backtest_request() -> Value {
    let (usual, range) = EXAMPLES;
    let examples = number_within(*range.start(), *range.end());
    let examples = with(examples, "default", json!(usual));
    request(
        Vec::new(),
        vec![("from", day()), ("to", day()), ("examples", examples)],
    )
}

fn backtest() -> Value {
    let progress = answer(
        vec![("records_read", number(42)), ("records", number(42))],
        Vec::new(),
    );
    answer(
        vec![
            ("id", id("bt")),
            ("object", of_type("backtest")),
            ("rule_id", id("rule")),
            ("rule_version", number(1)),
            ("program_id", id("prog")),
            ("status", open_word(&Status::ALL.map(Status::name))),
            ("from", or_null(day())),
            ("to", or_null(day())),
            ("examples", number(5)),
            ("progress", progress),
            (
                "result",
                noted(
                    or_null(named("BacktestResult")),
                    "Of one that is `completed`.",
                ),
            ),
            ("created_at", moment()),
            ("ended_at", or_null(moment())),
        ],
        Vec::new(),
    )
}

/// Numbers by names that are data.
fn numbers_by(example: Value) -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "integer" }, "examples": [example] })
}

fn result() -> Value {
    let mut fields = vec![
        ("tried", said("decline when amount > 50000")),
        ("first_record", number(1)),
        ("last_record", number(42)),
        ("decisions", number(12)),
        ("decisions_per_second", number(200_000)),
    ];
    for word in WORDS {
        let tally = vec![
            ("count", number(3)),
            ("amounts", numbers_by(json!({ "USD": 2_400 }))),
        ];
        fields.push((word, answer(tally, Vec::new())));
    }
    let errors = vec![("count", number(0)), ("first", or_null(said("a fault")))];
    let merchant = || vec![("id", said("M1")), ("name", said("BOOKSHOP"))];
    let mut merchants = merchant();
    merchants.push(("count", number(3)));
    let example = vec![
        ("authorization_id", id("auth")),
        ("card_id", id("card")),
        ("created_at", moment()),
        ("amount", amount()),
        ("currency", currency()),
        ("merchant", answer(merchant(), Vec::new())),
        ("change", open_word(&WORDS)),
        ("reason", or_null(open_word(&decline_reasons()))),
    ];
    fields.extend([
        ("declined_anyway", number(1)),
        ("evaluation_errors", answer(errors, Vec::new())),
        ("reasons", numbers_by(json!({ "rule_declined": 3 }))),
        ("merchants", list(answer(merchants, Vec::new()))),
        ("examples", list(answer(example, Vec::new()))),
    ]);
    answer(fields, Vec::new())
}

//! What networks did: authorizations, transactions, settlement reports; and the exchange rates they are converted by.

use super::operation::{Content, Operation, act, act_with, body, get, list_of};
use super::schema::{
    Fields, amount, answer, currency, decline_reasons, entry_modes, flag, id, kinds, list,
    list_within, moment, named, noted, number, of_type, one_of, open_word, or_null, pattern,
    request, said, text, unset, words,
};
use crate::api::filters;
use crate::engine::command::CallOutcome;
use crate::engine::conversion::RateSource;
use crate::engine::event::Flags;
use crate::engine::rates::RATES_MAX;
use crate::engine::trace::Step;
use crate::store::rows::{AuthorizationResult, AuthorizationStatus, MessageName, TransactionType};
use serde_json::{Value, json};

pub fn schemas() -> Fields {
    vec![
        ("Authorization", authorization()),
        ("Decision", decision()),
        ("Conversion", conversion()),
        ("TraceStep", trace_step()),
        ("Merchant", merchant()),
        ("NetworkReference", network()),
        ("Transaction", transaction()),
        ("SettlementReport", settlement_report()),
        ("ExchangeRates", exchange_rates()),
    ]
}

fn authorizations_listed() -> Operation {
    list_of(
        "/v1/authorizations",
        "Authorizations, newest first",
        "Authorization",
        "auth",
    )
    .of_card()
    .filter("account_id", id("acct"))
    .filter("token_id", id("tok"))
    .filter("transaction_id", id("txn"))
    .filter("rule_id", rule_id())
    .filter("exception_id", id("exc"))
    .filter("original_authorization_id", id("auth"))
    .filter("status", one_of(&words(AuthorizationStatus::ALL)))
    .filter("reason", one_of(&decline_reasons()))
    .filter("result", one_of(&words(AuthorizationResult::ALL)))
    .filter("step", one_of(&words(&filters::steps())))
    .filter("message", one_of(&words(MessageName::ALL)))
    .filter("approval_code", text(6, "JNTR9V"))
    .of_payment()
}

pub fn operations() -> Vec<Operation> {
    let rates = json!({
        "source": "ECB", "rates": [{"from": "EUR", "to": "USD", "rate": "1.0833"}],
    });
    vec![
        authorizations_listed(),
        get(
            "/v1/authorizations/{id}",
            "An authorization, with the trace of its checks",
            "Authorization",
        ),
        act(
            "/v1/authorizations/{id}/expire",
            "Release what is held",
            "Authorization",
        ),
        list_of(
            "/v1/transactions",
            "Transactions, newest first",
            "Transaction",
            "txn",
        )
        .of_card()
        .filter("account_id", id("acct"))
        .filter("authorization_id", id("auth"))
        .filter("token_id", id("tok"))
        .filter("approval_code", text(6, "JNTR9V"))
        .filter("type", one_of(&words(TransactionType::ALL)))
        .of_payment(),
        get("/v1/transactions/{id}", "A transaction", "Transaction"),
        report(
            "/v1/settlement_reports",
            "What we owe the networks for a business date",
        ),
        report("/v1/settlement_reports.csv", "The same as CSV (RFC 4180)").content(Content::Text(
            "text/csv",
            "business_date,network,status,basis,from,until,projected_through,currency,type,count",
        )),
        get(
            "/v1/exchange_rates",
            "The table of exchange rates",
            "ExchangeRates",
        ),
        act_with(
            "/v1/exchange_rates",
            "Replace the whole table",
            body(rates_request(), rates),
            "ExchangeRates",
        )
        .method("PUT"),
    ]
}

fn report(path: &'static str, summary: &'static str) -> Operation {
    let date = pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "2026-11-28");
    get(path, summary, "SettlementReport")
        .needs("date", date)
        .filter("network", text(16, "visa"))
}

pub fn flags() -> Value {
    list(open_word(&words(Flags::ALL)))
}

pub fn authorization() -> Value {
    let mut fields = vec![
        ("id", id("auth")),
        ("object", of_type("authorization")),
        ("card_id", or_null(id("card"))),
        ("account_id", or_null(id("acct"))),
        ("token_id", unset(id("tok"))),
        ("kind", open_word(&kinds())),
        ("message", open_word(&words(MessageName::ALL))),
        (
            "original_authorization_id",
            noted(
                unset(id("auth")),
                "What it became part of; of a refund the payment that it gives back.",
            ),
        ),
        ("amount", amount()),
        ("requested_amount", amount()),
        ("posted", amount()),
        ("currency", currency()),
        ("transaction_amount", amount()),
        ("approved_transaction_amount", unset(amount())),
        ("transaction_currency", currency()),
        ("merchant", named("Merchant")),
        ("entry_mode", open_word(&entry_modes())),
        ("channel", open_word(&super::schema::channels())),
        ("status", open_word(&words(AuthorizationStatus::ALL))),
        ("approval_code", or_null(said("JNTR9V"))),
        ("conversion", or_null(named("Conversion"))),
    ];
    fields.extend([
        ("decision", named("Decision")),
        ("decision_call", unset(decision_call())),
        ("flags", flags()),
        ("breach", unset(breach())),
        ("transactions", list(id("txn"))),
        ("trace", list(named("TraceStep"))),
        ("links", list(named("LinkRef"))),
        ("network", named("NetworkReference")),
        ("expires_at", or_null(moment())),
        ("created_at", moment()),
    ]);
    answer(fields, Vec::new())
}

fn steps() -> Value {
    let names: Vec<&str> = Step::ALL.iter().map(|step| step.name()).collect();
    open_word(&names)
}

fn rule_id() -> Value {
    let note = "The limit, list or risk rule that failed.";
    noted(said("lim_0h2k9m4p7r1t3"), note)
}

fn decision() -> Value {
    answer(
        vec![
            ("result", open_word(&words(AuthorizationResult::ALL))),
            ("reason", unset(open_word(&decline_reasons()))),
            ("step", unset(steps())),
            ("rule_id", unset(rule_id())),
            (
                "response_code",
                or_null(noted(
                    said("00"),
                    "DE39, as the network got it; of an advice that it was taken, whatever the network had decided.",
                )),
            ),
        ],
        Vec::new(),
    )
}

fn decision_call() -> Value {
    let outcomes = CallOutcome::ALL.iter().map(|outcome| outcome.name());
    let outcomes: Vec<&str> = outcomes.collect();
    answer(
        vec![
            ("outcome", open_word(&outcomes)),
            ("duration_ms", or_null(number(120))),
            ("fallback_used", or_null(flag())),
        ],
        Vec::new(),
    )
}

fn breach() -> Value {
    answer(
        vec![
            ("reason", open_word(&decline_reasons())),
            ("step", or_null(steps())),
            ("rule_id", or_null(rule_id())),
        ],
        Vec::new(),
    )
}

fn conversion() -> Value {
    answer(
        vec![
            ("source", open_word(&words(RateSource::ALL))),
            ("from_currency", currency()),
            ("rate", said("1.0833")),
            ("version", or_null(number(3))),
            ("mark_up_basis_points", number(150)),
            ("network_amount", amount()),
            ("mark_up", amount()),
            ("rounding", amount()),
        ],
        Vec::new(),
    )
}

fn trace_step() -> Value {
    let detail = json!({
        "type": "object", "description": "The numbers that the check compared; each check has its own.",
        "examples": [{"available": 48750, "requested": 1250}],
    });
    answer(
        vec![
            ("step", steps()),
            ("result", open_word(&["pass", "fail", "skipped"])),
            ("detail", detail),
        ],
        Vec::new(),
    )
}

fn merchant() -> Value {
    answer(
        vec![
            ("id", or_null(said("M1"))),
            ("name", or_null(said("BOOKS"))),
            ("city", or_null(said("NEW YORK"))),
            ("mcc", or_null(said("5942"))),
            ("country", or_null(said("US"))),
        ],
        Vec::new(),
    )
}

fn network() -> Value {
    answer(
        vec![
            ("name", or_null(said("visa"))),
            ("stan", said("165895")),
            ("rrn", or_null(said("1X2LOHL15EYO"))),
            ("acquirer_id", or_null(said("412345"))),
            ("terminal_id", or_null(said("TERM0001"))),
        ],
        Vec::new(),
    )
}

pub fn transaction() -> Value {
    let signed = || noted(amount(), "Below zero where it paid.");
    answer(
        vec![
            ("id", id("txn")),
            ("object", of_type("transaction")),
            ("authorization_id", id("auth")),
            ("card_id", id("card")),
            ("account_id", id("acct")),
            ("type", open_word(&words(TransactionType::ALL))),
            ("kind", open_word(&kinds())),
            ("amount", signed()),
            ("network_amount", signed()),
            ("currency", currency()),
            ("transaction_amount", signed()),
            ("transaction_currency", currency()),
            ("merchant", named("Merchant")),
            ("network", named("NetworkReference")),
            ("flags", flags()),
            ("links", list(named("LinkRef"))),
            ("created_at", moment()),
        ],
        Vec::new(),
    )
}

fn sums() -> Fields {
    vec![
        ("currency", currency()),
        ("count", number(7)),
        ("gross", amount()),
        ("interchange", amount()),
        ("fees", amount()),
        ("net", amount()),
        ("posted", amount()),
        ("authorized", amount()),
    ]
}

fn settlement_report() -> Value {
    let mut line = sums();
    line.push(("type", said("purchase")));
    answer(
        vec![
            ("object", of_type("settlement_report")),
            ("business_date", said("2026-11-28")),
            ("network", or_null(said("visa"))),
            ("status", open_word(&["open", "closed", "reconciled"])),
            ("basis", open_word(&["messages"])),
            ("from", moment()),
            ("until", moment()),
            ("projected_through", number(42)),
            ("lines", list(answer(line, Vec::new()))),
            ("totals", list(answer(sums(), Vec::new()))),
        ],
        Vec::new(),
    )
}

fn exchange_rates() -> Value {
    let rate = answer(
        vec![
            ("from", currency()),
            ("to", currency()),
            ("rate", said("1.0833")),
        ],
        Vec::new(),
    );
    answer(
        vec![
            ("object", of_type("exchange_rates")),
            ("version", or_null(number(3))),
            ("source", or_null(said("ECB"))),
            ("rates", list(rate)),
        ],
        Vec::new(),
    )
}

fn rates_request() -> Value {
    let digits = pattern("^[0-9]{1,15}(\\.[0-9]{1,15})?$", "1.0833");
    let rate = request(
        vec![
            ("from", currency()),
            ("to", currency()),
            (
                "rate",
                noted(
                    digits,
                    "A decimal number above zero, with 15 digits at most.",
                ),
            ),
        ],
        Vec::new(),
    );
    request(
        vec![
            ("source", text(100, "ECB")),
            ("rates", list_within(0, RATES_MAX, rate)),
        ],
        Vec::new(),
    )
}

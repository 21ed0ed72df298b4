//! Money of accounts: top-ups, payments that arrive, transfers, and what may be set on an account beside its controls.

use super::operation::{Content, Operation, act_with, body, create, get, list_of};
use super::schema::{
    self, Fields, amount, amount_from, answer, currency, either, extended, flag, id, moment, named,
    noted, number, number_within, of_type, one_of, open_word, or_null, pattern, request, said,
    text, unset, with, words,
};
use crate::engine::money::BALANCE_MAX_MINOR;
use crate::engine::top_ups::{METHODS, TopUpStatus};
use crate::engine::transfers::{ReturnReason, TransferStatus};
use crate::engine::watch::PER_DAY_MAX;
use serde_json::{Value, json};

pub fn schemas() -> Fields {
    vec![
        ("TopUp", top_up()),
        ("Transfer", transfer()),
        ("IncomingPayment", incoming_payment()),
        ("IncomingPaymentFile", incoming_payment_file()),
    ]
}

pub fn operations() -> Vec<Operation> {
    let mut operations = on_top_ups();
    operations.extend(on_transfers());
    operations
}

fn on_top_ups() -> Vec<Operation> {
    let settle = request(
        Vec::new(),
        vec![
            (
                "amount",
                noted(
                    amount_from(1),
                    "What arrived; by default what was announced.",
                ),
            ),
            ("currency", currency()),
            ("received_on", day()),
        ],
    );
    let fail = request(
        vec![("reason", text(200, "sent back by the bank"))],
        Vec::new(),
    );
    let payment =
        json!({"reference": "INV-7", "amount": 50000, "currency": "USD", "date": "2026-11-28"});
    let csv = "reference,amount,currency,date\nINV-7,50000,USD,2026-11-28\n";
    vec![
        create(
            "/v1/accounts/{id}/top_ups",
            "Announce money for an account; with the sandbox it is there at once",
            body(
                top_up_request(),
                json!({"amount": 50000, "currency": "USD", "method": "swift"}),
            ),
            "TopUp",
        )
        .may_wait(),
        list_of("/v1/top_ups", "Top-ups, newest first", "TopUp", "topup")
            .filter("account_id", id("acct"))
            .filter("program_id", id("prog"))
            .of_card()
            .of_link()
            .filter("status", one_of(&words(TopUpStatus::ALL)))
            .filter("method", one_of(&METHODS))
            .filter("external_reference", text(140, "INV-7"))
            .of_amount()
            .created_within(),
        get("/v1/top_ups/{id}", "A top-up", "TopUp"),
        act_with(
            "/v1/top_ups/{id}/settle",
            "Its money is there",
            body(settle, json!({"received_on": "2026-11-28"})),
            "TopUp",
        )
        .may_wait(),
        act_with(
            "/v1/top_ups/{id}/fail",
            "Its money will not come",
            body(fail, json!({"reason": "sent back by the bank"})),
            "TopUp",
        ),
        act_with(
            "/v1/incoming_payments",
            "What arrived: one payment, or a file of up to 1,000 as CSV",
            body(payment_request(), payment).or_text("text/csv", csv),
            "",
        )
        .content(Content::Json(either(vec![
            named("IncomingPayment"),
            named("IncomingPaymentFile"),
        ]))),
    ]
}

fn on_transfers() -> Vec<Operation> {
    let asked = request(
        vec![
            ("from_account_id", id("acct")),
            ("to_account_id", id("acct")),
            ("amount", amount_from(1)),
            ("currency", currency()),
        ],
        Vec::new(),
    );
    let example = json!({
        "from_account_id": "acct_0h2k9m4p7r1t3", "to_account_id": "acct_0h2k9m4p7r1t4", "amount": 1000, "currency": "USD",
    });
    vec![
        list_of(
            "/v1/transfers",
            "Transfers, newest first",
            "Transfer",
            "trf",
        )
        .filter("account_id", id("acct"))
        .filter("from_account_id", id("acct"))
        .filter("to_account_id", id("acct"))
        .filter("program_id", id("prog"))
        .of_card()
        .of_link()
        .filter("status", one_of(&words(TransferStatus::ALL)))
        .of_amount()
        .created_within(),
        create(
            "/v1/transfers",
            "Move money between accounts",
            body(asked, example),
            "Transfer",
        ),
        get("/v1/transfers/{id}", "A transfer", "Transfer"),
    ]
}

fn day() -> Value {
    pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "2026-11-28")
}

fn top_up() -> Value {
    let arrived = || or_null(amount());
    let settled = TopUpStatus::Settled.name();
    let settled = with(
        open_word(&words(TopUpStatus::ALL)),
        "example",
        settled.into(),
    );
    answer(
        vec![
            ("id", id("topup")),
            ("object", of_type("top_up")),
            ("account_id", id("acct")),
            ("amount", amount()),
            ("currency", currency()),
            ("method", open_word(&METHODS)),
            ("external_reference", or_null(said("INV-7"))),
            ("status", settled),
            ("created_at", moment()),
            (
                "settled_amount",
                noted(arrived(), "What was credited, in `settled_currency`."),
            ),
            ("settled_currency", or_null(currency())),
            ("arrived_amount", arrived()),
            ("arrived_currency", or_null(currency())),
            (
                "rest",
                unset(noted(
                    amount(),
                    "Of what arrived, too little to be credited.",
                )),
            ),
            ("received_on", or_null(said("2026-11-28"))),
            ("failure_reason", unset(said("sent back by the bank"))),
            ("ended_at", or_null(moment())),
        ],
        vec![("links", links_of_own_account())],
    )
}

fn top_up_request() -> Value {
    let settle = noted(
        flag(),
        "By default `true` with the sandbox, which makes the money, and `false` without.",
    );
    request(
        vec![
            ("amount", amount_from(1)),
            ("currency", currency()),
            ("method", one_of(&METHODS)),
        ],
        vec![
            ("external_reference", text(140, "INV-7")),
            ("settle", settle),
        ],
    )
}

fn payment_request() -> Value {
    let reference = noted(
        said("INV-7"),
        "The external reference of a top-up, or its id. Whatever else a payer states is `unmatched`.",
    );
    request(
        vec![
            ("reference", reference),
            ("amount", amount_from(1)),
            ("currency", currency()),
        ],
        vec![
            ("method", one_of(&METHODS)),
            ("date", day()),
            (
                "account_id",
                noted(
                    id("acct"),
                    "Whose top-up it is: its account, or the root of the tree.",
                ),
            ),
            ("program_id", id("prog")),
        ],
    )
}

fn incoming_payment() -> Value {
    let results = ["matched", "duplicate", "refused", "unmatched"];
    answer(
        vec![
            ("object", of_type("incoming_payment")),
            ("reference", said("INV-7")),
            ("amount", amount()),
            ("currency", currency()),
            ("date", or_null(said("2026-11-28"))),
            ("result", open_word(&results)),
            ("top_up_id", or_null(id("topup"))),
            (
                "reason",
                or_null(noted(said("reference_unknown"), "Why it is not `matched`.")),
            ),
        ],
        Vec::new(),
    )
}

fn incoming_payment_file() -> Value {
    let line = extended(incoming_payment(), vec![("line", number(2))]);
    let counts = json!({
        "type": "object", "additionalProperties": { "type": "integer" }, "examples": [{"matched": 1}],
        "description": "How many have each result.",
    });
    answer(
        vec![
            ("object", of_type("incoming_payment_file")),
            ("counts", counts),
            ("payments", schema::list(line)),
        ],
        Vec::new(),
    )
}

/// In all answers; events have a place of their own.
fn links_of_own_account() -> Value {
    let note = "Of the card whose own account it is (`funding` `own`), where there is one. Not in events, which have `links` themselves.";
    noted(schema::list(named("LinkRef")), note)
}

fn transfer() -> Value {
    answer(
        vec![
            ("id", id("trf")),
            ("object", of_type("transfer")),
            ("from_account_id", id("acct")),
            ("to_account_id", id("acct")),
            ("amount", amount()),
            ("currency", currency()),
            ("status", open_word(&words(TransferStatus::ALL))),
            ("return_reason", unset(open_word(&words(ReturnReason::ALL)))),
            ("created_at", moment()),
            ("ended_at", or_null(moment())),
        ],
        vec![("links", links_of_own_account())],
    )
}

fn balance() -> Value {
    number_within(-BALANCE_MAX_MINOR, BALANCE_MAX_MINOR)
}

/// What answers tell of an account's settings.
pub fn account_settings() -> Fields {
    let low = answer(vec![("below", amount()), ("is_low", flag())], Vec::new());
    let rule = answer(
        vec![
            ("below", amount()),
            ("amount", amount()),
            ("per_day", number(3)),
            ("from_account_id", or_null(id("acct"))),
        ],
        Vec::new(),
    );
    vec![
        (
            "in_transit",
            noted(amount(), "On its way to other accounts."),
        ),
        ("credit_line", amount()),
        ("low_balance", or_null(low)),
        ("auto_top_up", or_null(rule)),
    ]
}

pub fn account_settings_request() -> Fields {
    let below = noted(balance(), "`null` or left out: no threshold.");
    let low = request(Vec::new(), vec![("below", below)]);
    let rule = request(
        vec![
            ("below", balance()),
            ("amount", amount_from(1)),
            ("per_day", number_within(1, i64::from(PER_DAY_MAX))),
        ],
        vec![(
            "from_account_id",
            noted(id("acct"), "By default the account above."),
        )],
    );
    let none = with(request(Vec::new(), Vec::new()), "title", json!("none"));
    vec![
        ("credit_line", amount_from(0)),
        ("low_balance", low),
        ("auto_top_up", either(vec![rule, none])),
    ]
}

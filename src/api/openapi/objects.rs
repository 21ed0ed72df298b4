//! Programs, accounts and their money, and cardholders.

use super::money::{account_settings, account_settings_request};
use super::operation::{Operation, act, act_with, body, create, get, list_of};
use super::schema::{
    self, Fields, amount, amount_between, answer, country, currency, flag, id, kinds, list,
    list_within, mcc, moment, named, noted, number, number_within, of_type, one_of, open_word,
    or_null, pattern, request, said, text, words,
};
use crate::api::{filters, ledger_entries};
use crate::engine::conversion::BASIS_POINTS;
use crate::engine::hold_expiry::HOLD_HOURS_MAX;
use serde_json::{Value, json};

pub fn schemas() -> Fields {
    vec![
        ("Program", program()),
        ("HoldExpiry", hold_expiry()),
        ("Account", account()),
        ("LedgerEntry", ledger_entry()),
        ("Cardholder", cardholder()),
    ]
}

fn ledger_entries_listed() -> Operation {
    let entry = pattern("^entry_[0-9]{13,}$", "entry_0000000004201");
    list_of(
        "/v1/accounts/{id}/ledger_entries",
        "Every movement of what is posted, newest first",
        "LedgerEntry",
        "entry",
    )
    .cursor(entry)
    .filter("source_type", one_of(&words(ledger_entries::SOURCE_TYPES)))
    .filter("source_id", text(64, "topup_0h2k9m4p7r1t3"))
    .filter("amount_from", amount_between())
    .filter("amount_until", amount_between())
    .created_within()
}

pub fn operations() -> Vec<Operation> {
    let mut operations = vec![
        list_of("/v1/programs", "Programs, newest first", "Program", "prog"),
        create(
            "/v1/programs",
            "Make a program",
            body(
                program_request(),
                json!({"name": "Ads", "network": "visa", "bin": "411111", "currency": "USD"}),
            ),
            "Program",
        ),
        get("/v1/programs/{id}", "A program", "Program"),
        list_of("/v1/accounts", "Accounts, newest first", "Account", "acct")
            .filter("program_id", id("prog"))
            .filter("parent_id", id("acct"))
            .filter("root_account_id", id("acct"))
            .filter("status", one_of(&words(filters::ACCOUNT_STATUSES)))
            .filter("name", noted(text(200, "master"), "How it begins."))
            .created_within(),
        create(
            "/v1/accounts",
            "Open an account",
            body(
                account_request(),
                json!({"program_id": "prog_0h2k9m4p7r1t3", "name": "master"}),
            ),
            "Account",
        ),
        get("/v1/accounts/{id}", "An account", "Account"),
        act_with(
            "/v1/accounts/{id}",
            "Change an account: what is named is replaced",
            body(account_change(), json!({"name": "advertising"})),
            "Account",
        )
        .method("PATCH"),
        ledger_entries_listed(),
        create(
            "/v1/cardholders",
            "Make a cardholder",
            body(
                cardholder_request(),
                json!({"program_id": "prog_0h2k9m4p7r1t3", "name": "Ann", "home_country": "DE"}),
            ),
            "Cardholder",
        ),
        get("/v1/cardholders/{id}", "A cardholder", "Cardholder"),
        act(
            "/v1/cardholders/{id}/verify",
            "Mark as verified",
            "Cardholder",
        ),
    ];
    for (path, summary) in [
        (
            "/v1/accounts/{id}/freeze",
            "Stop every card on the account and below it",
        ),
        ("/v1/accounts/{id}/unfreeze", "Let them pay again"),
        ("/v1/accounts/{id}/close", "Close an empty account for good"),
    ] {
        operations.push(act(path, summary, "Account"));
    }
    operations
}

fn program() -> Value {
    answer(
        vec![
            ("id", id("prog")),
            ("object", of_type("program")),
            ("name", said("Ads")),
            ("network", said("visa")),
            ("bin", said("411111")),
            ("currency", currency()),
            ("controls", named("Controls")),
            ("hold_expiry", or_null(named("HoldExpiry"))),
            ("foreign_exchange_mark_up_basis_points", number(150)),
            ("created_at", moment()),
        ],
        Vec::new(),
    )
}

fn program_request() -> Value {
    let mark_up = number_within(0, i64::from(BASIS_POINTS));
    request(
        vec![
            ("name", text(200, "Ads")),
            (
                "network",
                noted(
                    pattern("^[A-Za-z0-9_-]{1,16}$", "visa"),
                    "The name of a `[[network]]` section.",
                ),
            ),
            ("bin", pattern("^([0-9]{6}|[0-9]{8})$", "411111")),
            ("currency", currency()),
        ],
        vec![
            ("controls", named("ControlsRequest")),
            ("hold_expiry", hold_expiry_request()),
            ("foreign_exchange_mark_up_basis_points", mark_up),
        ],
    )
}

fn hold_expiry() -> Value {
    let rule = answer(
        vec![
            ("kinds", list(open_word(&kinds()))),
            ("mcc", list(said("7011"))),
            ("hours", number(744)),
        ],
        Vec::new(),
    );
    answer(
        vec![("hours", or_null(number(168))), ("rules", list(rule))],
        Vec::new(),
    )
}

fn hold_expiry_request() -> Value {
    let hours = || number_within(1, i64::from(HOLD_HOURS_MAX));
    let all = kinds();
    let rule = request(
        vec![("hours", hours())],
        vec![
            ("kinds", list_within(0, all.len(), one_of(&all))),
            ("mcc", list_within(0, 1_000, mcc())),
        ],
    );
    request(
        Vec::new(),
        vec![("hours", hours()), ("rules", list_within(0, 50, rule))],
    )
}

fn account() -> Value {
    let mut fields = vec![
        ("id", id("acct")),
        ("object", of_type("account")),
        ("program_id", id("prog")),
        ("parent_id", or_null(id("acct"))),
        ("name", or_null(said("master"))),
        ("currency", currency()),
        ("status", open_word(&["active", "frozen", "closed"])),
        ("posted", amount()),
        ("held", amount()),
        ("available", amount()),
        ("controls", named("Controls")),
        ("created_at", moment()),
    ];
    fields.extend(account_settings());
    answer(fields, Vec::new())
}

fn account_request() -> Value {
    let currency = noted(
        currency(),
        "By default the program's; a child's is its parent's.",
    );
    let mut optional = vec![
        ("currency", currency),
        ("parent_id", id("acct")),
        ("name", text(200, "master")),
        ("controls", named("ControlsRequest")),
    ];
    optional.extend(account_settings_request());
    request(vec![("program_id", id("prog"))], optional)
}

fn account_change() -> Value {
    let mut optional = vec![
        ("name", text(200, "advertising")),
        ("controls", named("ControlsRequest")),
    ];
    optional.extend(account_settings_request());
    schema::with(request(Vec::new(), optional), "minProperties", json!(1))
}

fn ledger_entry() -> Value {
    let source = answer(
        vec![
            ("type", open_word(&["transaction", "top_up", "transfer"])),
            ("id", said("txn_0h2k9m4p7r1t3")),
        ],
        Vec::new(),
    );
    answer(
        vec![
            ("id", said("entry_0000000004201")),
            ("object", of_type("ledger_entry")),
            ("account_id", id("acct")),
            (
                "amount",
                schema::noted(amount(), "Below zero where it went."),
            ),
            ("currency", currency()),
            ("source", source),
            ("created_at", moment()),
        ],
        Vec::new(),
    )
}

fn cardholder() -> Value {
    answer(
        vec![
            ("id", id("holder")),
            ("object", of_type("cardholder")),
            ("program_id", id("prog")),
            ("name", or_null(said("Ann"))),
            ("home_country", said("DE")),
            ("verified", flag()),
            ("created_at", moment()),
        ],
        Vec::new(),
    )
}

fn cardholder_request() -> Value {
    request(
        vec![("program_id", id("prog")), ("home_country", country())],
        vec![("name", text(200, "Ann")), ("verified", flag())],
    )
}

//! Accounts and their money, and cardholders.

use super::money::{account_settings, account_settings_request};
use super::operation::{Operation, act, act_with, body, create, get, list_of};
use super::schema::{
    self, Fields, amount, amount_between, answer, country, currency, flag, id, list, moment, named,
    noted, of_type, one_of, open_word, or_null, pattern, request, said, text, words,
};
use crate::api::cardholders::VERIFIED;
use crate::api::{filters, ledger_entries};
use serde_json::{Value, json};

pub fn schemas() -> Fields {
    vec![
        ("Account", account()),
        ("LedgerEntry", ledger_entry()),
        ("Cardholder", cardholder()),
    ]
}

fn ledger_entries_listed(path: &'static str, summary: &'static str) -> Operation {
    let entry = pattern("^entry_[0-9]{13,}$", "entry_0000000004201");
    list_of(path, summary, "LedgerEntry", "entry")
        .cursor(entry)
        .of_card()
        .filter("authorization_id", id("auth"))
        .filter("program_id", id("prog"))
        .filter("cardholder_id", id("holder"))
        .filter("merchant_id", text(15, "M1"))
        .filter("currency", currency())
        .filter("source_type", one_of(&words(ledger_entries::SOURCE_TYPES)))
        .filter("source_id", text(64, "topup_0h2k9m4p7r1t3"))
        .filter("amount_from", amount_between())
        .filter("amount_until", amount_between())
        .created_within()
        .of_link()
}

pub fn operations() -> Vec<Operation> {
    let mut operations = vec![
        list_of("/v1/accounts", "Accounts, newest first", "Account", "acct")
            .filter("program_id", id("prog"))
            .filter("parent_id", id("acct"))
            .filter("root_account_id", id("acct"))
            .filter("status", one_of(&words(filters::ACCOUNT_STATUSES)))
            .filter("currency", currency())
            .filter("name", noted(text(200, "master"), "How it begins."))
            .of_card()
            .of_link()
            .created_within(),
        create(
            "/v1/accounts",
            "Open an account",
            body(
                account_request(),
                json!({"program_id": "prog_0h2k9m4p7r1t3", "name": "master"}),
            ),
            "Account",
        )
        .may_wait(),
        get("/v1/accounts/{id}", "An account", "Account"),
        act_with(
            "/v1/accounts/{id}",
            "Change an account: what is named is replaced",
            body(account_change(), json!({"name": "advertising"})),
            "Account",
        )
        .method("PATCH")
        .may_wait(),
        ledger_entries_listed(
            "/v1/accounts/{id}/ledger_entries",
            "Every movement of what is posted on one account, newest first",
        ),
        ledger_entries_listed(
            "/v1/ledger_entries",
            "Every movement of what is posted on any account, newest first",
        )
        .filter("account_id", id("acct")),
        get(
            "/v1/accounts/{id}/spend",
            "Each limit that binds what draws on the account, and what is left of it",
            "Spend",
        ),
    ];
    operations.extend(on_cardholders());
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

fn on_cardholders() -> Vec<Operation> {
    vec![
        create(
            "/v1/cardholders",
            "Make a cardholder",
            body(
                cardholder_request(),
                json!({"program_id": "prog_0h2k9m4p7r1t3", "name": "Ann", "home_country": "DE"}),
            ),
            "Cardholder",
        ),
        list_of(
            "/v1/cardholders",
            "Cardholders, newest first",
            "Cardholder",
            "holder",
        )
        .filter("program_id", id("prog"))
        .filter("home_country", country())
        .filter("verified", one_of(&words(VERIFIED))),
        get("/v1/cardholders/{id}", "A cardholder", "Cardholder"),
        act_with(
            "/v1/cardholders/{id}",
            "Change a cardholder: what is named is replaced",
            body(cardholder_change(), json!({"home_country": "IE"})),
            "Cardholder",
        )
        .method("PATCH"),
        act(
            "/v1/cardholders/{id}/verify",
            "Mark as verified",
            "Cardholder",
        ),
    ]
}

fn account() -> Value {
    let mut fields = vec![
        ("id", id("acct")),
        ("object", of_type("account")),
        ("program_id", id("prog")),
        ("parent_id", or_null(id("acct"))),
        (
            "card_id",
            or_null(noted(
                id("card"),
                "That it was opened for (`funding: own`): of those that replaced one another the first.",
            )),
        ),
        ("links", noted(list(named("LinkRef")), "Of that card.")),
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
            ("type", open_word(&words(ledger_entries::SOURCE_TYPES))),
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
            (
                "card_id",
                or_null(noted(
                    id("card"),
                    "Of a payment, of what is charged for a card, and of what moves the money of an account that was opened for one.",
                )),
            ),
            ("authorization_id", or_null(id("auth"))),
            (
                "links",
                noted(
                    list(named("LinkRef")),
                    "Of its card; none, where it is of no card.",
                ),
            ),
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

fn cardholder_change() -> Value {
    let optional = vec![
        ("name", text(200, "Ann")),
        ("home_country", country()),
        ("verified", flag()),
    ];
    schema::with(request(Vec::new(), optional), "minProperties", json!(1))
}

fn cardholder_request() -> Value {
    request(
        vec![("program_id", id("prog")), ("home_country", country())],
        vec![("name", text(200, "Ann")), ("verified", flag())],
    )
}

//! Tokens of wallets and merchants.

use super::operation::{Operation, act, body, create, get, list_of};
use super::schema::{
    Fields, answer, id, list, moment, named, noted, number, number_within, of_type, one_of,
    open_word, or_null, pattern, request, said, text, words,
};
use crate::api::tokens::{DEVICE_NAME_MAX, WORD_MAX};
use crate::engine::tokens::TokenStatus;
use serde_json::{Value, json};

pub fn schemas() -> Fields {
    vec![("Token", token())]
}

pub fn operations() -> Vec<Operation> {
    let example = json!({
        "card_id": "card_0h2k9m4p7r1t3", "wallet": "apple_pay", "device": {"type": "phone"},
    });
    let mut operations = vec![
        list_of("/v1/tokens", "Tokens, newest first", "Token", "tok")
            .filter("card_id", id("card"))
            .filter("status", one_of(&words(TokenStatus::NAMED)))
            .filter("wallet", text(WORD_MAX, "apple_pay"))
            .filter("account_id", id("acct"))
            .filter("program_id", id("prog"))
            .created_within()
            .of_link(),
        create(
            "/v1/tokens",
            "A token for a card",
            body(token_request(), example),
            "Token",
        ),
        get("/v1/tokens/{id}", "A token", "Token"),
    ];
    for (path, summary) in [
        (
            "/v1/tokens/{id}/activate",
            "Let a token that was asked for pay",
        ),
        ("/v1/tokens/{id}/suspend", "Suspend a token"),
        ("/v1/tokens/{id}/resume", "Let a suspended token pay again"),
        ("/v1/tokens/{id}/delete", "Delete a token for good"),
    ] {
        operations.push(act(path, summary, "Token"));
    }
    operations
}

fn word(example: &str) -> Value {
    pattern(&format!("^[a-z0-9_]{{1,{WORD_MAX}}}$"), example)
}

fn token_request() -> Value {
    let device = request(
        Vec::new(),
        vec![
            ("type", word("phone")),
            ("name", text(DEVICE_NAME_MAX, "Phone of A.")),
        ],
    );
    let number = pattern("^[0-9]{12,19}$", "4111119999999994");
    let number = noted(
        number,
        "As the network's token service gave it out, with the right check digit. Where the sandbox is on, it may be left out.",
    );
    request(
        vec![("card_id", id("card")), ("wallet", word("apple_pay"))],
        vec![
            ("device", device),
            ("token_number", number),
            ("exp_month", number_within(1, 12)),
            ("exp_year", number_within(2000, 2099)),
        ],
    )
}

fn token() -> Value {
    let device = answer(
        vec![
            ("type", or_null(open_word(&["phone", "watch", "tablet"]))),
            ("name", or_null(said("Phone of A."))),
        ],
        Vec::new(),
    );
    answer(
        vec![
            ("id", id("tok")),
            ("object", of_type("token")),
            ("card_id", id("card")),
            (
                "wallet",
                open_word(&["apple_pay", "google_pay", "samsung_pay", "merchant"]),
            ),
            ("device", or_null(device)),
            ("status", open_word(&words(TokenStatus::NAMED))),
            ("first6", said("411111")),
            ("last4", said("9994")),
            ("exp_month", or_null(number(11))),
            ("exp_year", or_null(number(2029))),
            ("links", list(named("LinkRef"))),
            ("created_at", moment()),
        ],
        Vec::new(),
    )
}

//! What a network would send, where the sandbox is on.

use super::operation::{Content, Operation, body, create};
use super::payments;
use super::schema::{
    self, Fields, amount, answer, channels, country, currency, decline_reasons, either,
    entry_modes, extended, flag, id, kinds, list, mcc, moment, named, noted, number_within, one_of,
    or_null, pattern, request, said, text, words,
};
use crate::api::simulate::{AMOUNT_MAX_MINOR, TOKEN_PLACES, What};
use crate::engine::three_ds::{Authentication, Cryptogram, Exemption};
use serde_json::{Value, json};

pub fn schemas() -> Fields {
    let simulated = || vec![("simulated", named("Simulated"))];
    vec![
        ("Simulated", simulated_message()),
        (
            "SimulatedAuthorization",
            extended(payments::authorization(), simulated()),
        ),
        (
            "SimulatedTransaction",
            extended(payments::transaction(), simulated()),
        ),
    ]
}

pub fn operations() -> Vec<Operation> {
    let card = json!({"card_id": "card_0h2k9m4p7r1t3", "amount": 1200, "currency": "USD"});
    let of_card = json!({"card_id": "card_0h2k9m4p7r1t3"});
    let of_old = json!({"authorization_id": "auth_0h2k9m4p7r1t3"});
    let more = json!({"authorization_id": "auth_0h2k9m4p7r1t3", "amount": 300});
    let table = [
        (
            "/v1/simulate/authorizations",
            "Ask for a payment (0100, 0200)",
            What::Authorization,
            card.clone(),
        ),
        (
            "/v1/simulate/increments",
            "Ask for more (0100)",
            What::Increment,
            more.clone(),
        ),
        (
            "/v1/simulate/advices",
            "Tell of a payment, or what a hold is to have (0120)",
            What::Advice,
            more,
        ),
        (
            "/v1/simulate/reversals",
            "Take a payment back, whole or in part (0400, 0420)",
            What::Reversal,
            of_old.clone(),
        ),
        (
            "/v1/simulate/clearings",
            "Post a payment (0220)",
            What::Clearing,
            of_old.clone(),
        ),
        (
            "/v1/simulate/refunds",
            "Give back what was paid (0220)",
            What::Refund,
            of_old,
        ),
        (
            "/v1/simulate/force_posts",
            "Post without an authorization (0220)",
            What::ForcePost,
            card,
        ),
        (
            "/v1/simulate/balance_inquiries",
            "Ask for the balance (0100)",
            What::BalanceInquiry,
            of_card,
        ),
    ];
    table.into_iter().map(operation).collect()
}

fn operation(
    (path, summary, what, example): (&'static str, &'static str, What, Value),
) -> Operation {
    let authorization = named("SimulatedAuthorization");
    let content = match what {
        // What posts nothing is told as an authorization.
        What::Clearing | What::Refund | What::ForcePost | What::Advice => {
            either(vec![named("SimulatedTransaction"), authorization])
        }
        _ => authorization,
    };
    create(path, summary, body(asked(what), example), "").content(Content::Json(content))
}

fn simulated_message() -> Value {
    let additional = answer(
        vec![
            ("type", said("02")),
            ("amount", amount()),
            ("currency", currency()),
        ],
        Vec::new(),
    );
    answer(
        vec![
            ("network", said("visa")),
            ("dialect", said("iso8583-1987-ascii")),
            ("request_mti", said("0100")),
            ("mti", said("0110")),
            ("response_code", said("00")),
            ("approval_code", or_null(said("JNTR9V"))),
            ("additional_amounts", list(additional)),
            ("original_unknown", flag()),
            ("stan", said("165895")),
            ("rrn", said("1X2LOHL15EYO")),
            ("sent_at", moment()),
        ],
        Vec::new(),
    )
}

/// As `asked.rs` takes it.
fn asked(what: What) -> Value {
    let about_new = !matches!(what, What::Increment | What::Reversal | What::Clearing);
    let about_old = !matches!(
        what,
        What::Authorization | What::ForcePost | What::BalanceInquiry
    );
    let mut needed: Fields = Vec::new();
    let stan = noted(pattern("^[0-9]{6}$", "165895"), "Above `000000`.");
    let mut optional = vec![
        ("network", text(16, "visa")),
        ("repeat", flag()),
        ("stan", stan),
        ("rrn", pattern("^[A-Za-z0-9]{12}$", "1X2LOHL15EYO")),
        ("sent_at", moment()),
        (
            "token_in",
            noted(
                one_of(&words(TOKEN_PLACES)),
                "Where its number stands: by default the `pan_field`.",
            ),
        ),
    ];
    if about_old {
        match about_new {
            true => optional.push(("authorization_id", id("auth"))),
            false => needed.push(("authorization_id", id("auth"))),
        }
    }
    if about_new {
        optional.push(("card_id", id("card")));
        optional.push(("token_id", id("tok")));
        optional.extend(payment());
    }
    if !matches!(what, What::BalanceInquiry | What::Reversal) {
        optional.push(("amount", minor(0)));
        optional.push(("currency", currency()));
    }
    optional.extend(of_its_own(what));
    let schema = request(needed, optional);
    match (about_new, about_old, what) {
        (true, true, _) => {
            let note = "For a `card_id`, a `token_id` or an `authorization_id`.";
            noted(schema, note)
        }
        (_, _, What::Authorization) => {
            let note = "For a `card_id` or a `token_id`, or `repeat_of` an authorization.";
            noted(schema, note)
        }
        (true, false, _) => noted(schema, "For a `card_id` or a `token_id`."),
        _ => schema,
    }
}

fn minor(least: i64) -> Value {
    noted(
        number_within(least, AMOUNT_MAX_MINOR),
        "In minor units of the currency.",
    )
}

fn payment_kinds() -> Value {
    let kinds = kinds().into_iter();
    let kinds: Vec<&str> = kinds
        .filter(|kind| !["other", "incremental"].contains(kind))
        .collect();
    one_of(&kinds)
}

fn of_its_own(what: What) -> Fields {
    match what {
        What::Authorization => vec![
            ("repeat_of", id("auth")),
            ("message", one_of(&["request", "financial_request"])),
            ("kind", payment_kinds()),
        ],
        What::ForcePost => vec![("kind", payment_kinds())],
        What::Advice => vec![
            ("kind", payment_kinds()),
            ("declined_as", one_of(&decline_reasons())),
            ("approval_code", pattern("^[A-Za-z0-9]{6}$", "JNTR9V")),
        ],
        What::Clearing => vec![("final", flag())],
        What::Reversal => vec![("remaining_amount", minor(1)), ("advice", flag())],
        What::Increment | What::Refund | What::BalanceInquiry => Vec::new(),
    }
}

/// Visible ASCII other than the backslash.
fn plain(length_max: usize, example: &str) -> Value {
    let letters = format!("^[ -\\[\\]-~]{{1,{length_max}}}$");
    pattern(&letters, example)
}

fn payment() -> Fields {
    let merchant = request(
        Vec::new(),
        vec![
            ("id", plain(15, "M1")),
            ("name", plain(40, "BOOKS")),
            ("city", plain(16, "NEW YORK")),
            ("country", country()),
            ("mcc", mcc()),
        ],
    );
    let shown = || one_of(&["right", "wrong", "absent"]);
    let three_ds = request(
        Vec::new(),
        vec![
            ("authentication", one_of(&words(Authentication::ALL))),
            ("cryptogram", one_of(&words(Cryptogram::ALL))),
            ("exemption", one_of(&words(Exemption::ALL))),
        ],
    );
    let three_ds = either(vec![one_of(&words(Authentication::ALL)), three_ds]);
    vec![
        ("merchant", merchant),
        ("acquirer_id", pattern("^[0-9]{1,11}$", "412345")),
        ("terminal_id", plain(8, "TERM0001")),
        ("entry_mode", one_of(&entry_modes())),
        ("channel", one_of(&channels())),
        ("cvv2", shown()),
        ("expiry", shown()),
        ("partial_approval_supported", flag()),
        ("merchant_initiated", flag()),
        ("three_ds", three_ds),
        ("billing_amount", minor(0)),
        (
            "billing_currency",
            schema::noted(currency(), "Goes with `billing_amount`."),
        ),
    ]
}

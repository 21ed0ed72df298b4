//! The making and sending of cards.

use super::operation::{Operation, act_with, body};
use super::schema::{
    answer, country, moment, one_of, open_word, or_null, pattern, request, said, text, words,
};
use crate::api::shipping::{CARRIER_MAX, LINE_MAX, METHOD_MAX, NAME_MAX, POSTAL_CODE_MAX};
use crate::engine::shipping::ShippingStatus;
use serde_json::{Value, json};

const METHODS: [&str; 2] = ["standard", "express"];

/// What a request says of where a card goes to.
pub fn order() -> Value {
    let address = request(
        vec![
            ("name", text(NAME_MAX, "Ann Example")),
            ("line1", text(LINE_MAX, "1 Main Street")),
            ("city", text(LINE_MAX, "New York")),
            ("postal_code", text(POSTAL_CODE_MAX, "10001")),
            ("country", country()),
        ],
        vec![
            ("line2", text(LINE_MAX, "Floor 2")),
            ("region", text(LINE_MAX, "NY")),
            ("phone", pattern("^\\+[0-9]{7,15}$", "+12125550100")),
        ],
    );
    let method = pattern(&format!("^[a-z0-9_]{{1,{METHOD_MAX}}}$"), METHODS[0]);
    request(vec![("address", address)], vec![("method", method)])
}

pub fn operation() -> Operation {
    let sent = json!({
        "status": "shipped", "carrier": "DHL", "tracking_number": "JD01", "eta": "2026-12-01",
    });
    act_with(
        "/v1/cards/{id}/shipping",
        "How far the making and sending of a card is",
        body(change(), sent),
        "Card",
    )
}

/// What a reissue is asked for.
pub fn reissue(reasons: Value) -> Value {
    request(vec![("reason", reasons)], vec![("shipping", order())])
}

fn change() -> Value {
    request(
        vec![("status", one_of(&words(ShippingStatus::NAMED)))],
        vec![
            ("carrier", text(CARRIER_MAX, "DHL")),
            ("tracking_number", text(CARRIER_MAX, "JD01")),
            ("eta", pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "2026-12-01")),
        ],
    )
}

pub fn shipping() -> Value {
    let address = answer(
        vec![
            ("name", said("Ann Example")),
            ("line1", said("1 Main Street")),
            ("line2", or_null(said("Floor 2"))),
            ("city", said("New York")),
            ("region", or_null(said("NY"))),
            ("postal_code", said("10001")),
            ("country", country()),
            ("phone", or_null(said("+12125550100"))),
        ],
        Vec::new(),
    );
    answer(
        vec![
            ("status", open_word(&words(ShippingStatus::NAMED))),
            ("method", open_word(&METHODS)),
            ("address", address),
            ("carrier", or_null(said("DHL"))),
            ("tracking_number", or_null(said("JD01"))),
            ("eta", or_null(said("2026-12-01"))),
            ("changed_at", moment()),
        ],
        Vec::new(),
    )
}

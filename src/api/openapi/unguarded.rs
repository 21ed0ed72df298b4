//! What the document says of the routes that need no key: how the process is, and what a reveal link shows.

use super::document::refer;
use super::schema::{answer, id, named, number, of_type, one_of, or_null, pattern, said};
use crate::api::reveals;
use crate::store::REBUILD;
use crate::store::lag::FollowState;
use serde_json::{Value, json};

fn of(name: &str, summary: &str, content: Value) -> Value {
    json!({
        "operationId": name, "tags": ["process"], "summary": summary, "security": [],
        "responses": { "200": {
            "description": summary, "headers": refer(&["Request-Id"]), "content": content,
        } },
    })
}

pub fn routes() -> [(&'static str, Value); 4] {
    let status = |word: &str| {
        let schema = answer(vec![("status", said(word))], Vec::new());
        json!({ "application/json": { "schema": schema, "example": { "status": word } } })
    };
    let text = json!({ "application/openmetrics-text": { "schema": { "type": "string" } } });
    let not_yet = json!({ "$ref": "#/components/responses/Error503" });
    let states = FollowState::ALL.map(FollowState::name);
    let projection = one_of(&states);
    let schema = answer(
        vec![
            ("status", said("ready")),
            ("projection", projection),
            ("way_out", or_null(said(REBUILD))),
        ],
        Vec::new(),
    );
    let example = json!({ "status": "ready", "projection": "following", "way_out": null });
    let ready = json!({ "application/json": { "schema": schema, "example": example } });
    let mut ready = of("readyz", "Recovery is done", ready);
    ready["responses"]["503"] = not_yet.clone();
    let mut metrics = of("metrics", "OpenMetrics", text);
    metrics["responses"]["503"] = not_yet;
    [
        ("/healthz", of("healthz", "The process lives", status("ok"))),
        ("/readyz", ready),
        ("/metrics", metrics),
        (reveals::ROUTE, reveal()),
    ]
}

/// As JSON, or as a page where one is accepted; so are its refusals.
fn reveal() -> Value {
    let page = json!({ "schema": { "type": "string" }, "example": "<!doctype html>" });
    let schema = answer(
        vec![
            ("object", of_type("card_secrets")),
            ("card_id", id("card")),
            ("pan", said("4111111111111111")),
            ("cvv2", said("123")),
            ("exp_month", number(11)),
            ("exp_year", number(2029)),
        ],
        Vec::new(),
    );
    let example = json!({
        "object": "card_secrets", "card_id": "card_0h2k9m4p7r1t3", "pan": "4111111111111111", "cvv2": "123",
        "exp_month": 11, "exp_year": 2029,
    });
    let json = json!({ "schema": schema, "example": example });
    let content = json!({ "application/json": json, "text/html": page });
    let summary = "The card number and its CVV2, once, to whoever has the link";
    let mut shown = of("get_reveals_token", summary, content);
    let token = pattern(
        "^[A-Za-z0-9_-]{43}$",
        "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE",
    );
    shown["tags"] = json!(["reveals"]);
    shown["parameters"] =
        json!([{ "name": "token", "in": "path", "required": true, "schema": token }]);
    for (status, description) in [
        ("400", "There is a query, or the path is no good."),
        ("404", "No link has this token, or it is over."),
        (
            "409",
            "The card was closed or blocked after the link was made.",
        ),
        ("410", "The link was used already."),
        ("500", "Something failed inside; the link is as it was."),
        ("503", "Not now; the link is as it was."),
    ] {
        let error = json!({ "schema": named("Error") });
        shown["responses"][status] = json!({
            "description": description, "headers": refer(&["Request-Id"]),
            "content": { "application/json": error, "text/html": page },
        });
    }
    shown
}

//! API keys and the audit log.

use super::operation::{Operation, act_with, body, create, get, list_of, list_of_memory};
use super::schema::{
    Fields, answer, extended, flag, id, link_request, list, list_within, moment, named, noted,
    number_within, of_type, one_of, open_word, or_null, request, said, text, unset, words,
};
use crate::api::api_keys::{ADDRESSES_MAX, BOUNDS_MAX, OVERLAP_SECONDS_MAX, PRESETS};
use crate::api::audit::{OBJECT_ID_MAX, OUTCOMES};
use crate::engine::api_keys::{ApiKeyState, Scope};
use serde_json::{Value, json};

pub fn schemas() -> Fields {
    let secret = noted(
        or_null(said("csk_0123456789abcdefghijklmnopqrstuv")),
        "Shown once; `null` where a request is repeated under its `Idempotency-Key`.",
    );
    vec![
        ("ApiKey", api_key()),
        (
            "ApiKeyWithSecret",
            extended(api_key(), vec![("key", secret)]),
        ),
        ("AuditEntry", audit_entry()),
    ]
}

pub fn operations() -> Vec<Operation> {
    let overlap = number_within(0, OVERLAP_SECONDS_MAX);
    let roll = request(Vec::new(), vec![("overlap_seconds", overlap)]);
    vec![
        list_of_memory(
            "/v1/api_keys",
            "API keys, newest first",
            "ApiKey",
            id("key"),
        ),
        create(
            "/v1/api_keys",
            "Make an API key",
            body(
                key_request(),
                json!({"name": "shop", "scopes": ["cards:read", "cards:freeze"]}),
            ),
            "ApiKeyWithSecret",
        ),
        get("/v1/api_keys/{id}", "An API key", "ApiKey"),
        act_with(
            "/v1/api_keys/{id}/revoke",
            "End an API key, and those made with it",
            body(
                request(Vec::new(), vec![("children", flag())]),
                json!({"children": true}),
            ),
            "ApiKey",
        ),
        create(
            "/v1/api_keys/{id}/roll",
            "Another key with the same rights",
            body(roll, json!({"overlap_seconds": 3600})),
            "ApiKeyWithSecret",
        ),
        list_of(
            "/v1/audit_log",
            "Every write that changed something, newest first",
            "AuditEntry",
            "audit",
        )
        .filter("api_key_id", text(64, "root"))
        .filter("object_id", text(OBJECT_ID_MAX, "card_0h2k9m4p7r1t3"))
        .of_link()
        .filter("action", text(128, "POST /v1/cards/{id}/freeze"))
        .filter("program_id", id("prog"))
        .filter("request_id", text(64, "req_00000000000000a1"))
        .filter("outcome", one_of(&words(&OUTCOMES)))
        .created_within(),
    ]
}

fn scopes() -> Vec<&'static str> {
    Scope::ALL.iter().map(|scope| scope.name()).collect()
}

fn api_key() -> Value {
    let states = [
        ApiKeyState::Active,
        ApiKeyState::Expired,
        ApiKeyState::Revoked,
    ];
    answer(
        vec![
            ("id", id("key")),
            ("object", of_type("api_key")),
            ("name", said("shop")),
            ("scopes", list(open_word(&scopes()))),
            ("program_ids", list(id("prog"))),
            ("account_ids", list(id("acct"))),
            ("links", list(named("LinkRef"))),
            ("allowed_ips", list(said("192.0.2.0/24"))),
            ("expires_at", or_null(moment())),
            ("created_by", said("root")),
            ("created_at", moment()),
            ("revoked_at", or_null(moment())),
            ("rolled_from", or_null(id("key"))),
            ("status", open_word(&states.map(ApiKeyState::name))),
        ],
        Vec::new(),
    )
}

/// What binds a key or an endpoint.
pub fn bounds() -> Fields {
    vec![
        ("program_ids", list_within(0, BOUNDS_MAX, id("prog"))),
        ("account_ids", list_within(0, BOUNDS_MAX, id("acct"))),
        ("links", list_within(0, BOUNDS_MAX, link_request())),
    ]
}

fn key_request() -> Value {
    let scopes = scopes();
    let mut optional = vec![
        ("scopes", list_within(0, scopes.len(), one_of(&scopes))),
        ("preset", one_of(&PRESETS)),
    ];
    optional.extend(bounds());
    let addresses = list_within(0, ADDRESSES_MAX, said("192.0.2.0/24"));
    let addresses = noted(addresses, "Addresses, or networks as address/bits.");
    optional.push(("allowed_ips", addresses));
    optional.push(("expires_at", moment()));
    let schema = request(vec![("name", text(200, "shop"))], optional);
    noted(schema, "With either `scopes` or a `preset`.")
}

fn audit_entry() -> Value {
    let object = |status: &str| {
        let what = json!({ "type": "object", "examples": [{ "status": status }] });
        or_null(noted(what, "Without secrets."))
    };
    let error_code = noted(said("account_closed"), "Of one that `failed`.");
    answer(
        vec![
            ("id", id("audit")),
            ("object", of_type("audit_entry")),
            ("api_key_id", said("root")),
            ("api_key_name", or_null(said("root"))),
            ("action", said("POST /v1/cards/{id}/freeze")),
            (
                "object_id",
                or_null(noted(
                    said("card_0h2k9m4p7r1t3"),
                    "Of a linked object its type, `/` and its id.",
                )),
            ),
            (
                "link",
                unset(noted(named("LinkRef"), "The same of a linked object.")),
            ),
            ("program_id", or_null(id("prog"))),
            ("request_id", said("req_00000000000000a1")),
            ("address", or_null(said("192.0.2.1"))),
            ("before", object("active")),
            ("after", object("frozen")),
            (
                "outcome",
                noted(
                    open_word(&["done", "failed", "unknown"]),
                    "`unknown` where the process ended before it was known.",
                ),
            ),
            ("error_code", unset(error_code)),
            ("created_at", moment()),
        ],
        Vec::new(),
    )
}

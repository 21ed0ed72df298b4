//! What waits for a second person, and what of a program does.

use super::operation::{Operation, act_with, body, get, list_of_memory};
use super::schema::{
    Fields, answer, flag, id, named, noted, number, number_within, of_type, open_word, or_null,
    request, said, text, unset,
};
use crate::api::approvals::NOTE_MAX;
use crate::engine::approvals::ApprovalState;
use crate::engine::money::BALANCE_MAX_MINOR;
use serde_json::{Value, json};

pub fn schemas() -> Fields {
    vec![
        ("Approval", approval()),
        ("Signer", signer()),
        ("SecondApprover", policy()),
    ]
}

pub fn operations() -> Vec<Operation> {
    let states: Vec<&str> = ApprovalState::ALL.iter().map(|(_, name)| *name).collect();
    let mut operations = vec![
        list_of_memory(
            "/v1/approvals",
            "Approvals, newest first",
            "Approval",
            id("appr"),
        )
        .filter("status", super::schema::one_of(&states))
        .filter("program_id", id("prog")),
        get("/v1/approvals/{id}", "An approval", "Approval"),
    ];
    for (path, summary) in [
        (
            "/v1/approvals/{id}/approve",
            "Approve a write of somebody else, and carry it out",
        ),
        (
            "/v1/approvals/{id}/reject",
            "Reject a write of somebody else",
        ),
        (
            "/v1/approvals/{id}/cancel",
            "Take back what one asked for oneself",
        ),
    ] {
        operations.push(act_with(path, summary, signed(), "Approval"));
    }
    operations
}

/// What whoever decides may say to it.
pub fn signed() -> super::operation::Body {
    let note = vec![("note", text(NOTE_MAX, "as agreed with Ann"))];
    body(
        request(Vec::new(), note),
        json!({"note": "as agreed with Ann"}),
    )
}

fn signer() -> Value {
    answer(
        vec![
            (
                "api_key_id",
                noted(said("root"), "Of the root key: `root`."),
            ),
            ("name", said("Ann")),
        ],
        Vec::new(),
    )
}

fn approval() -> Value {
    let states: Vec<&str> = ApprovalState::ALL.iter().map(|(_, name)| *name).collect();
    let any = || json!({ "type": ["object", "null"], "examples": [{"name": "advertising"}] });
    let asked = answer(
        vec![
            ("method", said("PATCH")),
            ("path", said("/v1/accounts/acct_0h2k9m4p7r1t3")),
            ("body", any()),
        ],
        Vec::new(),
    );
    let outcome = answer(vec![("status", number(200)), ("body", any())], Vec::new());
    let outcome = noted(
        unset(outcome),
        "What the write was answered, once it is carried out.",
    );
    answer(
        vec![
            ("id", id("appr")),
            ("object", of_type("approval")),
            ("status", open_word(&states)),
            ("program_id", id("prog")),
            ("action", said("PATCH /v1/accounts/{id}")),
            ("object_id", or_null(said("acct_0h2k9m4p7r1t3"))),
            ("request", asked),
            ("requested_by", named("Signer")),
            ("created_at", super::schema::moment()),
            ("expires_at", super::schema::moment()),
            ("decided_by", unset(named("Signer"))),
            ("decided_at", unset(super::schema::moment())),
            ("note", unset(said("as agreed with Ann"))),
            ("outcome", outcome),
        ],
        Vec::new(),
    )
}

fn policy() -> Value {
    let top_ups = answer(vec![("above", number(100_000))], Vec::new());
    answer(
        vec![("top_ups", or_null(top_ups)), ("limit_raises", flag())],
        Vec::new(),
    )
}

/// As a whole; `{}` is none.
pub fn policy_request() -> Value {
    let above = number_within(0, BALANCE_MAX_MINOR);
    let top_ups = request(vec![("above", above)], Vec::new());
    request(
        Vec::new(),
        vec![("top_ups", top_ups), ("limit_raises", flag())],
    )
}

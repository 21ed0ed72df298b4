//! What decides: risk rules, groups of MCCs and merchants, exceptions, and the customer's own endpoint.

use super::approvals::signed;
use super::controls::merchant_entry_request;
use super::operation::{Operation, act, act_with, body, called, create, get, list_of_memory};
use super::schema::{
    self, Fields, amount, amount_from, answer, either, extended, flag, id, link_fields, list,
    list_within, mcc, moment, named, noted, number, number_within, of_type, one_of, open_word,
    or_null, request, said, text, unset, words,
};
use crate::api::decision_endpoints::TIMEOUT_MS;
use crate::api::exceptions::{STATES, USES_MAX};
use crate::api::groups::{MCCS_MAX, MERCHANTS_MAX};
use crate::engine::groups::BuiltinMccGroup;
use crate::engine::risk::rule::{RuleAction, RuleState};
use serde_json::{Value, json};

pub fn schemas() -> Fields {
    let endpoint = decision_endpoint();
    let with_secret = optional_secret(endpoint.clone());
    vec![
        ("Rule", rule()),
        ("MccGroup", mcc_group()),
        ("MerchantList", merchant_list()),
        ("Exception", exception()),
        ("DecisionEndpoint", endpoint),
        ("DecisionEndpointWithSecret", with_secret),
        (
            "DecisionEndpointPing",
            called("decision_endpoint_id", "dep", false),
        ),
    ]
}

/// The secret that is shown once: a request repeated under its `Idempotency-Key` does not get it.
pub fn optional_secret(mut schema: Value) -> Value {
    let secret = said("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    schema["properties"]["secret"] = noted(secret, "Shown once.");
    schema
}

pub fn operations() -> Vec<Operation> {
    let mut operations = on_rules();
    operations.extend(on_groups());
    operations.extend(on_exceptions());
    operations.extend(on_decision_endpoints());
    operations
}

fn on_rules() -> Vec<Operation> {
    let example = json!({
        "program_id": "prog_0h2k9m4p7r1t3", "name": "no gambling abroad", "action": "decline",
        "expression": "merchant.mcc == \"7995\"",
    });
    let mut operations = vec![
        list_of_memory("/v1/rules", "Risk rules, newest first", "Rule", id("rule"))
            .filter("program_id", id("prog"))
            .filter("state", one_of(&words(RuleState::ALL))),
        create(
            "/v1/rules",
            "Draft a risk rule",
            body(rule_request(), example),
            "Rule",
        ),
        get("/v1/rules/{id}", "A risk rule", "Rule"),
    ];
    for (path, summary) in [
        ("/v1/rules/{id}/promote", "Bring a rule into force"),
        ("/v1/rules/{id}/demote", "Put a rule back into shadow"),
        ("/v1/rules/{id}/retire", "Retire a rule for good"),
    ] {
        operations.push(act(path, summary, "Rule"));
    }
    operations
}

fn on_groups() -> Vec<Operation> {
    let group_id = || either(vec![id("mccg"), one_of(&words(BuiltinMccGroup::ALL))]);
    let group = || {
        body(
            mcc_group_request(true),
            json!({"name": "ads", "mcc": ["7311"]}),
        )
    };
    let entries = json!({"name": "hotels", "merchants": [{"name": "*HOTEL*"}]});
    let change = body(mcc_group_request(false), json!({"mcc": ["7311", "7333"]}));
    let (groups, lists) = ("/v1/mcc_groups", "/v1/merchant_lists");
    let (of_group, of_list) = ("/v1/mcc_groups/{id}", "/v1/merchant_lists/{id}");
    vec![
        list_of_memory(
            groups,
            "MCC groups: yours, then those that come with the program",
            "MccGroup",
            group_id(),
        ),
        create(groups, "Make an MCC group", group(), "MccGroup"),
        get(of_group, "An MCC group", "MccGroup").path_id(group_id()),
        act_with(of_group, "Change an MCC group", change, "MccGroup").method("PATCH"),
        list_of_memory(lists, "Merchant lists", "MerchantList", id("mlst")),
        create(
            lists,
            "Make a merchant list",
            body(merchant_list_request(true), entries.clone()),
            "MerchantList",
        ),
        get(of_list, "A merchant list", "MerchantList"),
        act_with(
            of_list,
            "Change a merchant list",
            body(merchant_list_request(false), entries),
            "MerchantList",
        )
        .method("PATCH"),
    ]
}

fn on_exceptions() -> Vec<Operation> {
    let example = json!({
        "card_id": "card_0h2k9m4p7r1t3", "ends_at": "2030-01-01T00:00:00Z", "max_uses": 20,
        "reason": "business trip to Tokyo",
        "lifts": {"mcc": ["7011", "travel"], "countries": ["JP"]},
    });
    let mut operations = vec![
        list_of_memory(
            "/v1/exceptions",
            "Exceptions, newest first",
            "Exception",
            id("exc"),
        )
        .filter("state", one_of(&words(STATES)))
        .filter("card_id", id("card"))
        .filter("account_id", id("acct"))
        .of_link(),
        create(
            "/v1/exceptions",
            "Ask for an exception from controls",
            body(exception_request(), example),
            "Exception",
        ),
        get("/v1/exceptions/{id}", "An exception", "Exception"),
    ];
    for (path, summary) in [
        ("/v1/exceptions/{id}/approve", "Approve an exception"),
        ("/v1/exceptions/{id}/reject", "Reject an exception"),
        ("/v1/exceptions/{id}/end", "End an exception"),
    ] {
        operations.push(act_with(path, summary, signed(), "Exception"));
    }
    operations
}

fn on_decision_endpoints() -> Vec<Operation> {
    let example = json!({
        "program_id": "prog_0h2k9m4p7r1t3", "url": "https://example.com/decide",
        "fallback": {"type": "approve_up_to", "amount": 5000},
    });
    let all = "/v1/decision_endpoints";
    let one = "/v1/decision_endpoints/{id}";
    vec![
        list_of_memory(
            all,
            "Decision endpoints, newest first",
            "DecisionEndpoint",
            id("dep"),
        )
        .filter("program_id", id("prog")),
        create(
            all,
            "Have a program's customer decide",
            body(endpoint_request(true), example),
            "DecisionEndpointWithSecret",
        ),
        get(one, "A decision endpoint", "DecisionEndpoint"),
        act_with(
            one,
            "Change a decision endpoint",
            body(endpoint_request(false), json!({"timeout_ms": 1500})),
            "DecisionEndpoint",
        )
        .method("PATCH"),
        act(
            "/v1/decision_endpoints/{id}/rotate_secret",
            "A new secret from the next call on",
            "DecisionEndpointWithSecret",
        ),
        act(
            "/v1/decision_endpoints/{id}/ping",
            "Call it now, with nothing to decide",
            "DecisionEndpointPing",
        ),
    ]
}

fn rule() -> Value {
    answer(
        vec![
            ("id", id("rule")),
            ("object", of_type("rule")),
            ("program_id", id("prog")),
            ("name", said("no gambling abroad")),
            ("expression", said("merchant.mcc == \"7995\"")),
            ("action", open_word(&words(RuleAction::ALL))),
            ("state", open_word(&words(RuleState::ALL))),
            ("version", number(1)),
            ("created_at", moment()),
        ],
        Vec::new(),
    )
}

fn rule_request() -> Value {
    let expression = noted(
        text(1_000, "merchant.mcc == \"7995\""),
        "In the part of CEL that docs/risk-rules.md describes.",
    );
    request(
        vec![
            ("program_id", id("prog")),
            ("name", text(200, "no gambling abroad")),
            ("expression", expression),
            ("action", one_of(&words(RuleAction::ALL))),
        ],
        vec![("state", one_of(&["draft", "active"]))],
    )
}

fn mcc_group() -> Value {
    answer(
        vec![
            ("id", said("mccg_0h2k9m4p7r1t3")),
            ("object", of_type("mcc_group")),
            ("name", said("ads")),
            (
                "mcc",
                list(noted(said("7311"), "A code, or a range of them.")),
            ),
            ("builtin", flag()),
            ("created_at", or_null(moment())),
        ],
        Vec::new(),
    )
}

/// All fields are needed to make one, any one to change it.
fn made_or_changed(fields: Fields, is_new: bool) -> Value {
    match is_new {
        true => request(fields, Vec::new()),
        false => schema::with(request(Vec::new(), fields), "minProperties", json!(1)),
    }
}

fn mcc_group_request(is_new: bool) -> Value {
    let fields = vec![
        ("name", text(200, "ads")),
        ("mcc", list_within(1, MCCS_MAX, mcc())),
    ];
    made_or_changed(fields, is_new)
}

fn merchant_list() -> Value {
    answer(
        vec![
            ("id", id("mlst")),
            ("object", of_type("merchant_list")),
            ("name", said("hotels")),
            ("merchants", list(named("MerchantEntry"))),
            ("created_at", moment()),
        ],
        Vec::new(),
    )
}

fn merchant_list_request(is_new: bool) -> Value {
    let entries = list_within(1, MERCHANTS_MAX, merchant_entry_request(false));
    let fields = vec![("name", text(200, "hotels")), ("merchants", entries)];
    made_or_changed(fields, is_new)
}

fn exception() -> Value {
    let link = extended(schema::link(), vec![("program_id", id("prog"))]);
    let by = || unset(named("Signer"));
    let note = || unset(said("as agreed with Ann"));
    answer(
        vec![
            ("id", id("exc")),
            ("object", of_type("exception")),
            ("card_id", or_null(id("card"))),
            ("account_id", unset(id("acct"))),
            ("link", unset(link)),
            ("lifts", named("Lifts")),
            ("starts_at", moment()),
            ("ends_at", moment()),
            ("max_uses", or_null(number(20))),
            ("reason", said("business trip to Tokyo")),
            ("state", open_word(&words(STATES))),
            ("requested_by", named("Signer")),
            ("created_at", moment()),
            ("approved_by", by()),
            ("approved_note", note()),
            ("approved_at", unset(moment())),
            ("rejected_by", by()),
            ("rejected_note", note()),
            ("rejected_at", unset(moment())),
            ("ended_by", by()),
            ("ended_note", note()),
            ("ended_at", unset(moment())),
        ],
        Vec::new(),
    )
}

fn exception_request() -> Value {
    let link = request(link_fields(), vec![("program_id", id("prog"))]);
    let schema = request(
        vec![
            ("lifts", named("LiftsRequest")),
            ("ends_at", moment()),
            ("reason", text(500, "business trip to Tokyo")),
        ],
        vec![
            ("card_id", id("card")),
            ("account_id", id("acct")),
            ("link", link),
            ("starts_at", noted(moment(), "By default now.")),
            ("max_uses", number_within(1, USES_MAX)),
        ],
    );
    noted(schema, "For one of `card_id`, `account_id` and `link`.")
}

fn decision_endpoint() -> Value {
    let fallback = answer(
        vec![("type", open_word(&["decline", "approve_up_to"]))],
        vec![("amount", amount())],
    );
    answer(
        vec![
            ("id", id("dep")),
            ("object", of_type("decision_endpoint")),
            ("program_id", id("prog")),
            ("url", said("https://example.com/decide")),
            ("timeout_ms", number(2000)),
            ("fallback", fallback),
            ("enabled", flag()),
            ("secret_version", number(1)),
            ("created_at", moment()),
            (
                "warning",
                or_null(said("timeout_ms is not below answer_within_ms")),
            ),
        ],
        Vec::new(),
    )
}

fn endpoint_request(is_new: bool) -> Value {
    let approve = request(
        vec![
            ("type", one_of(&["approve_up_to"])),
            ("amount", amount_from(0)),
        ],
        Vec::new(),
    );
    let decline = request(vec![("type", one_of(&["decline"]))], Vec::new());
    let (usual, range) = TIMEOUT_MS;
    let timeout = number_within(*range.start(), *range.end());
    let timeout = schema::with(timeout, "default", json!(usual));
    let url = ("url", text(500, "https://example.com/decide"));
    let mut optional = vec![
        ("timeout_ms", timeout),
        ("fallback", either(vec![decline, approve])),
        ("enabled", flag()),
    ];
    match is_new {
        true => request(vec![("program_id", id("prog")), url], optional),
        false => {
            optional.push(url);
            request(Vec::new(), optional)
        }
    }
}

//! Cards, what they are linked to, and what is left of their limits.

use super::operation::{Operation, act, act_with, body, create, get, list_of};
use super::schema::{
    self, Fields, amount, answer, extended, id, link, link_request, list, list_within, moment,
    named, noted, number, number_within, of_type, one_of, open_word, or_null, pattern, request,
    said, text, unset, words,
};
use super::{controls, shipping};
use crate::api::cards::{BLOCK_REASONS, CARD_TYPES, FUNDINGS, LINKS_MAX};
use crate::api::filters::STATUS_REASONS;
use crate::api::reveal_links::EXPIRES_IN_S;
use crate::engine::link_states::LinkStatus;
use crate::engine::reissue::ReissueReason;
use crate::engine::scope::Scope;
use crate::engine::shipping::ShippingStatus;
use crate::engine::wallet::FURTHER_ACCOUNTS_MAX;
use crate::store::card_status::ToldStatus;
use serde_json::{Value, json};

pub fn schemas() -> Fields {
    vec![
        ("Card", card()),
        ("CardSecrets", card_secrets()),
        ("RevealLink", reveal_link()),
        ("Spend", spend()),
        ("SpentLimit", spent()),
        ("LinkRef", link()),
        ("Link", linked_object()),
    ]
}

pub fn operations() -> Vec<Operation> {
    let mut operations = on_cards();
    operations.extend(on_reveals());
    operations.extend(on_links());
    operations
}

fn listed() -> Operation {
    list_of("/v1/cards", "Cards, newest first", "Card", "card")
        .filter("account_id", id("acct"))
        .filter("program_id", id("prog"))
        .filter("cardholder_id", id("holder"))
        .filter("status", one_of(&words(ToldStatus::ALL)))
        .filter("own_status", one_of(&words(ToldStatus::ALL)))
        .filter("status_reason", one_of(&words(STATUS_REASONS)))
        .filter("type", one_of(&words(CARD_TYPES)))
        .filter("last4", pattern("^[0-9]{4}$", "1111"))
        .filter("first6", pattern("^[0-9]{6}$", "411111"))
        .filter("exp_year", number_within(2000, 2099))
        .filter(
            "exp_month",
            noted(number_within(1, 12), "Needs `exp_year`."),
        )
        .filter("replaced_by", id("card"))
        .filter("replacement_for", id("card"))
        .filter(
            "card_chain_id",
            noted(
                id("card"),
                "This card, those that it replaced and those that replaced it.",
            ),
        )
        .filter("shipping_status", one_of(&words(ShippingStatus::NAMED)))
        .created_within()
        .of_link()
}

fn on_cards() -> Vec<Operation> {
    let block = request(vec![("reason", one_of(&words(BLOCK_REASONS)))], Vec::new());
    let reasons = one_of(&words(ReissueReason::NAMED));
    let reissue = shipping::reissue(reasons);
    let controls = json!({"mcc": {"block": ["7995"]}});
    let mut operations = vec![
        listed(),
        create(
            "/v1/cards",
            "Issue a card",
            body(
                card_request(),
                json!({"account_id": "acct_0h2k9m4p7r1t3", "controls": controls}),
            ),
            "Card",
        ),
        get("/v1/cards/{id}", "A card", "Card"),
        act_with(
            "/v1/cards/{id}",
            "Replace a card's controls as a whole, or its cardholder",
            body(update_request(), json!({ "controls": controls })),
            "Card",
        )
        .method("PATCH")
        .may_wait(),
        act_with(
            "/v1/cards/{id}/block",
            "Block for good",
            body(block, json!({"reason": "lost"})),
            "Card",
        ),
        create(
            "/v1/cards/{id}/reissue",
            "Another card in place of this one",
            body(reissue, json!({"reason": "damaged"})),
            "Card",
        ),
        shipping::operation(),
        get(
            "/v1/cards/{id}/spend",
            "Each limit that binds the card, and what is left of it",
            "Spend",
        ),
    ];
    for (path, summary) in [
        ("/v1/cards/{id}/activate", "Activate a physical card"),
        ("/v1/cards/{id}/freeze", "Freeze a card"),
        ("/v1/cards/{id}/unfreeze", "Give a card back what it was"),
        (
            "/v1/cards/{id}/reset_verification_tries",
            "Forget what was stated of a card today and was wrong",
        ),
        ("/v1/cards/{id}/close", "Close a card for good"),
        (
            "/v1/cards/{id}/renew",
            "The same number with a new expiry and CVV2",
        ),
    ] {
        operations.push(act(path, summary, "Card"));
    }
    operations
}

fn on_reveals() -> Vec<Operation> {
    let reason = text(500, "a customer asked for it");
    let reveal = request(vec![("reason", reason)], Vec::new());
    vec![
        act_with(
            "/v1/cards/{id}/reveal",
            "The card number and its CVV2, to one who says why",
            body(reveal, json!({"reason": "first steps"})),
            "CardSecrets",
        ),
        create(
            "/v1/cards/{id}/reveal_links",
            "A link that shows the card number and its CVV2 once",
            body(reveal_link_request(), json!({"reason": "shown in the app"})),
            "RevealLink",
        ),
    ]
}

fn on_links() -> Vec<Operation> {
    let program = || vec![("program_id", id("prog"))];
    let replace = request(vec![("controls", named("ControlsRequest"))], program());
    let mut operations = vec![
        get(
            "/v1/links/{type}/{id}",
            "What cards are linked to, with its controls and what is left of its budget",
            "Link",
        )
        .filter("program_id", id("prog")),
        get(
            "/v1/links/{type}/{id}/spend",
            "Each limit that its cards share, and what is left of it",
            "Spend",
        )
        .filter("program_id", id("prog")),
        act_with(
            "/v1/links/{type}/{id}",
            "Replace the controls that all its cards share",
            body(
                replace,
                json!({"controls": {"limits": [{"window": "month", "amount": 100000}]}}),
            ),
            "Link",
        )
        .method("PUT")
        .may_wait(),
    ];
    for (path, summary) in [
        ("/v1/links/{type}/{id}/freeze", "Freeze all its cards"),
        (
            "/v1/links/{type}/{id}/unfreeze",
            "Give all its cards back what they were",
        ),
        (
            "/v1/links/{type}/{id}/close",
            "Close all its cards for good",
        ),
    ] {
        let nothing = body(request(Vec::new(), program()), json!({}));
        operations.push(act_with(path, summary, nothing, "Link"));
    }
    operations
}

pub const CARD_STATUSES: [&str; 6] = [
    "inactive", "active", "frozen", "blocked", "closed", "expired",
];

fn card() -> Value {
    let locked_to = answer(
        vec![("id", said("M1")), ("acquirer_id", or_null(said("412345")))],
        Vec::new(),
    );
    answer(
        vec![
            ("id", id("card")),
            ("object", of_type("card")),
            ("account_id", id("acct")),
            ("program_id", id("prog")),
            (
                "network",
                noted(or_null(said("visa")), "That of the card's BIN."),
            ),
            ("type", open_word(&words(CARD_TYPES))),
            ("status", open_word(&CARD_STATUSES)),
            ("own_status", open_word(&CARD_STATUSES)),
            ("status_link", unset(named("LinkRef"))),
            (
                "status_reason",
                unset(open_word(&["lost", "stolen", "fraud"])),
            ),
            ("first6", said("411111")),
            ("last4", said("1111")),
            ("exp_month", number(11)),
            ("exp_year", number(2029)),
            ("funding", open_word(&words(FUNDINGS))),
            ("wallet_account_ids", list(id("acct"))),
            ("links", list(named("LinkRef"))),
            ("controls", named("Controls")),
            ("used_by", unset(id("auth"))),
            ("locked_to", unset(locked_to)),
            ("cardholder_id", or_null(id("holder"))),
            ("replacement_for", unset(id("card"))),
            ("replaced_by", unset(id("card"))),
            ("shipping", or_null(shipping::shipping())),
            (
                "failed_verifications_today",
                noted(
                    number(0),
                    "Requests of the day (UTC) with a wrong expiry, CVV, PIN or cryptogram.",
                ),
            ),
            ("created_at", moment()),
        ],
        Vec::new(),
    )
}

fn card_request() -> Value {
    let wallet = list_within(0, FURTHER_ACCOUNTS_MAX, id("acct"));
    request(
        Vec::new(),
        vec![
            ("account_id", id("acct")),
            (
                "program_id",
                noted(
                    id("prog"),
                    "In place of `account_id`: the card draws on the master account of the program.",
                ),
            ),
            (
                "type",
                noted(one_of(&words(CARD_TYPES)), "By default `virtual`."),
            ),
            (
                "funding",
                noted(one_of(&words(FUNDINGS)), "By default `shared`."),
            ),
            ("links", list_within(0, LINKS_MAX, link_request())),
            (
                "wallet_account_ids",
                noted(wallet, "To draw on after the first, in this order."),
            ),
            ("controls", named("ControlsRequest")),
            ("cardholder_id", id("holder")),
            (
                "bin",
                noted(
                    pattern("^([0-9]{6}|[0-9]{8})$", "411111"),
                    "One of the program's `bins`; the first where none is named.",
                ),
            ),
            (
                "shipping",
                noted(
                    shipping::order(),
                    "Of a physical card that is to be made and sent.",
                ),
            ),
        ],
    )
}

/// `{"controls": null}` takes all controls away, so that it is said once more is needed.
fn update_request() -> Value {
    let cardholder = noted(
        id("holder"),
        "Of the card's program; in place of the one that it has, if it has one. Takes `cards:issue` too.",
    );
    let schema = request(
        Vec::new(),
        vec![
            ("controls", named("ControlsRequest")),
            ("cardholder_id", cardholder),
        ],
    );
    schema::with(schema, "minProperties", json!(1))
}

fn card_secrets() -> Value {
    answer(
        vec![
            ("object", of_type("card_secrets")),
            ("card_id", id("card")),
            ("reason", said("delivery to the holder")),
            (
                "pan",
                noted(
                    or_null(said("4111111111111111")),
                    "`null` where a request is repeated under its `Idempotency-Key`.",
                ),
            ),
            ("cvv2", or_null(said("123"))),
            ("exp_month", number(11)),
            ("exp_year", number(2029)),
        ],
        Vec::new(),
    )
}

fn reveal_link_request() -> Value {
    let (usual_s, range_s) = EXPIRES_IN_S;
    let expires = number_within(*range_s.start(), *range_s.end());
    let expires = schema::with(expires, "default", json!(usual_s));
    request(
        vec![("reason", text(500, "shown in the app"))],
        vec![("expires_in_seconds", expires)],
    )
}

fn reveal_link() -> Value {
    let url = "/v1/reveals/AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE";
    let url = noted(
        or_null(said(url)),
        "On this host; `null` where a request is repeated under its `Idempotency-Key`.",
    );
    answer(
        vec![
            ("id", id("rvl")),
            ("object", of_type("reveal_link")),
            ("card_id", id("card")),
            ("reason", said("shown in the app")),
            ("expires_at", moment()),
            ("url", url),
        ],
        Vec::new(),
    )
}

/// Whose limit or list it is.
pub fn scopes() -> Vec<&'static str> {
    let mut scopes: Vec<&str> = Scope::ALL.iter().map(|scope| scope.name()).collect();
    scopes.dedup();
    scopes
}

/// A limit with what is used of it.
fn spent() -> Value {
    extended(
        controls::limit(),
        vec![
            ("scope", open_word(&scopes())),
            ("link", or_null(named("LinkRef"))),
            ("account_id", or_null(id("acct"))),
            ("levels_above", or_null(number(1))),
            ("used", or_null(amount())),
            ("left", or_null(amount())),
            ("used_count", or_null(number(3))),
            ("left_count", or_null(number(2))),
            ("resets_at", or_null(moment())),
        ],
    )
}

fn spend() -> Value {
    answer(
        vec![
            ("object", of_type("spend")),
            ("card_id", or_null(id("card"))),
            ("account_id", or_null(id("acct"))),
            ("link", or_null(named("LinkRef"))),
            ("as_of", moment()),
            ("limits", list(named("SpentLimit"))),
        ],
        Vec::new(),
    )
}

fn linked_object() -> Value {
    let statuses = [LinkStatus::Active, LinkStatus::Frozen, LinkStatus::Closed];
    answer(
        vec![
            ("object", of_type("link")),
            ("type", said("project")),
            ("id", said("p1")),
            ("program_id", id("prog")),
            ("status", open_word(&statuses.map(LinkStatus::name))),
            (
                "cards",
                noted(
                    number(3),
                    "How many cards are linked to it, closed ones among them.",
                ),
            ),
            ("controls", named("Controls")),
            ("root_account_id", or_null(id("acct"))),
            ("spans_account_trees", schema::flag()),
            ("budget", or_null(list(named("SpentLimit")))),
        ],
        Vec::new(),
    )
}

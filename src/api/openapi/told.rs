//! Webhook endpoints, events, and the log of deliveries.

use super::deciding::optional_secret;
use super::keys::bounds;
use super::operation::{
    Content, Operation, act, act_with, body, called, create, get, list_of, list_of_memory,
};
use super::schema::{
    Fields, answer, either, extended, id, list, list_within, moment, named, noted, number,
    number_within, of_type, one_of, open_word, or_null, pattern, request, said, text, words,
};
use crate::api::webhook_endpoints::{EVENTS_MAX, ORDERINGS, OVERLAP_S, PAYLOADS, STATES};
use crate::engine::webhook_endpoints::WebhookState;
use crate::store::deliveries::DeliveryOutcome;
use crate::store::events::UNKNOWN_CARD;
use crate::store::events::types::EventType;
use serde_json::{Value, json};

pub fn schemas() -> Fields {
    let endpoint = webhook_endpoint();
    let progress = extended(endpoint.clone(), vec![("progress", progress())]);
    let body = noted(
        or_null(named("Event")),
        "What was sent; `null` once its event is too old.",
    );
    vec![
        (
            "WebhookEndpointWithSecret",
            optional_secret(endpoint.clone()),
        ),
        ("WebhookEndpointWithProgress", progress),
        ("WebhookEndpoint", endpoint),
        (
            "WebhookEndpointPing",
            called("webhook_endpoint_id", "we", true),
        ),
        ("Delivery", delivery()),
        (
            "DeliveryWithBody",
            extended(delivery(), vec![("request_body", body)]),
        ),
        ("Resend", resend()),
        ("Replay", replay()),
        ("DeletedWebhookEndpoint", deleted()),
    ]
}

pub fn operations() -> Vec<Operation> {
    let mut operations = on_endpoints();
    operations.extend(on_events());
    operations
}

fn on_endpoints() -> Vec<Operation> {
    let all = "/v1/webhook_endpoints";
    let one = "/v1/webhook_endpoints/{id}";
    let overlap = number_within(*OVERLAP_S.1.start(), *OVERLAP_S.1.end());
    let rotate = request(Vec::new(), vec![("overlap_seconds", overlap)]);
    let from = request(Vec::new(), vec![("after", id("evt")), ("since", moment())]);
    let from = noted(from, "Either `after`, an event, or `since`, a moment.");
    let example = json!({
        "url": "https://example.com/hooks", "events": ["card.*", "authorization.declined"],
    });
    vec![
        list_of_memory(
            all,
            "Webhook endpoints, newest first",
            "WebhookEndpoint",
            id("we"),
        ),
        create(
            all,
            "Subscribe to events",
            body(endpoint_request(true), example),
            "WebhookEndpointWithSecret",
        ),
        get(
            one,
            "A webhook endpoint, and how far it is",
            "WebhookEndpointWithProgress",
        ),
        act_with(
            one,
            "Change a webhook endpoint",
            body(endpoint_request(false), json!({"status": "enabled"})),
            "WebhookEndpoint",
        )
        .method("PATCH"),
        act(
            one,
            "Take a webhook endpoint away",
            "DeletedWebhookEndpoint",
        )
        .method("DELETE"),
        act_with(
            "/v1/webhook_endpoints/{id}/rotate_secret",
            "A new secret; the one before stays good for a while",
            body(rotate, json!({"overlap_seconds": 3600})),
            "WebhookEndpointWithSecret",
        ),
        act(
            "/v1/webhook_endpoints/{id}/ping",
            "Call it now, with an event of no meaning",
            "WebhookEndpointPing",
        ),
        act_with(
            "/v1/webhook_endpoints/{id}/replay",
            "Everything from there on once more",
            body(from, json!({"since": "2026-11-28T00:00:00Z"})),
            "Replay",
        ),
    ]
}

fn on_events() -> Vec<Operation> {
    let stream = "id: evt_0h2k9m4p7r1t3\nevent: card.frozen\ndata: {}\n\n";
    let endpoint = noted(text(64, "we_0h2k9m4p7r1t3"), "The one that is told again.");
    let once_more = request(vec![("webhook_endpoint_id", endpoint)], Vec::new());
    let filtered = |operation: Operation| {
        let wanted = noted(text(64, "card.*"), "A type, a family (`card.*`), or `*`.");
        operation
            .filter("type", wanted)
            .filter("program_id", id("prog"))
            .of_card()
            .filter("account_id", id("acct"))
            .filter("object_id", object())
            .filter("cardholder_id", id("holder"))
            .of_its_payment()
            .of_link()
    };
    let events = list_of("/v1/events", "Events, oldest first", "Event", "evt");
    let streamed = get(
        "/v1/events/stream",
        "Events as they come (server-sent events); it has no end",
        "Event",
    );
    vec![
        filtered(events).created_within(),
        filtered(streamed)
            .filter("starting_after", id("evt"))
            .content(Content::Text("text/event-stream", stream)),
        get("/v1/events/{id}", "An event", "Event"),
        act_with(
            "/v1/events/{id}/resend",
            "One event once more, to one endpoint",
            body(
                once_more,
                json!({"webhook_endpoint_id": "we_0h2k9m4p7r1t3"}),
            ),
            "Resend",
        ),
        list_of(
            "/v1/deliveries",
            "Calls to webhook endpoints, newest first",
            "Delivery",
            "dlv",
        )
        .filter("webhook_endpoint_id", id("we"))
        .filter("event_id", id("evt"))
        .filter("event_type", text(64, "card.frozen"))
        .filter("outcome", one_of(&words(DeliveryOutcome::ALL)))
        .filter("program_id", id("prog"))
        .of_card()
        .filter("account_id", id("acct"))
        .filter("object_id", object())
        .filter("cardholder_id", id("holder"))
        .of_its_payment()
        .created_within()
        .of_link(),
        get(
            "/v1/deliveries/{id}",
            "A call, with what was sent",
            "DeliveryWithBody",
        ),
        act(
            "/v1/deliveries/{id}/resend",
            "Its event once more, to the same endpoint",
            "Resend",
        ),
    ]
}

/// What `sequence` counts the events of.
fn object() -> Value {
    let of_link = pattern(
        "^prog_[0-9a-z]{13}/[^/]{1,32}/.{1,128}$",
        "prog_0h2k9m4p7r1t3/project/p1",
    );
    let object = either(
        ["card", "acct", "rule", "exc", "appr", "we", "prog"]
            .map(id)
            .into_iter()
            .chain([of_link, one_of(&[UNKNOWN_CARD])])
            .collect(),
    );
    noted(
        object,
        "A card, an account, a rule, an exception, an approval, a webhook endpoint, a program, a linked object (with its program), or `unknown_card`.",
    )
}

fn event_types() -> Vec<&'static str> {
    EventType::ALL.iter().map(|known| known.name()).collect()
}

fn webhook_endpoint() -> Value {
    let states = [
        WebhookState::Enabled,
        WebhookState::Disabled,
        WebhookState::Failing,
        WebhookState::Gone,
    ];
    answer(
        vec![
            ("id", id("we")),
            ("object", of_type("webhook_endpoint")),
            ("name", or_null(said("shop"))),
            ("url", or_null(said("https://example.com/hooks"))),
            ("events", list(said("card.*"))),
            ("program_ids", list(id("prog"))),
            ("account_ids", list(id("acct"))),
            ("links", list(named("LinkRef"))),
            ("ordering", open_word(&words(ORDERINGS))),
            ("payload", open_word(&words(PAYLOADS))),
            ("status", open_word(&states.map(WebhookState::name))),
            ("secret_version", number(1)),
            ("previous_secret_until", or_null(moment())),
            ("created_by", said("root")),
            ("created_at", moment()),
        ],
        Vec::new(),
    )
}

fn endpoint_request(is_new: bool) -> Value {
    let mut patterns = event_types();
    let mut families: Vec<&str> = patterns
        .iter()
        .filter_map(|name| name.split_once('.'))
        .map(|(family, _)| family)
        .collect();
    families.dedup();
    patterns.push("*");
    let family = format!("^({})\\.\\*$", families.join("|"));
    let wanted = either(vec![
        one_of(&patterns),
        super::schema::pattern(&family, "card.*"),
    ]);
    let events = ("events", list_within(1, EVENTS_MAX, wanted));
    let url = noted(
        text(500, "https://example.com/hooks"),
        "Left out, nobody is called, and the events are there to be read.",
    );
    let mut optional = vec![
        ("name", text(200, "shop")),
        ("url", url),
        ("ordering", one_of(&words(ORDERINGS))),
        ("payload", one_of(&words(PAYLOADS))),
    ];
    optional.extend(bounds());
    match is_new {
        true => request(vec![events], optional),
        false => {
            optional.push(events);
            optional.push(("status", one_of(&words(STATES))));
            request(Vec::new(), optional)
        }
    }
}

fn progress() -> Value {
    answer(
        vec![
            ("after", or_null(id("evt"))),
            ("waiting", number(0)),
            ("next_attempt_at", or_null(moment())),
            ("failing_since", or_null(moment())),
        ],
        Vec::new(),
    )
}

fn delivery() -> Value {
    answer(
        vec![
            ("id", id("dlv")),
            ("object", of_type("delivery")),
            ("event_id", id("evt")),
            ("event_type", open_word(&event_types())),
            ("webhook_endpoint_id", id("we")),
            ("attempt", number(1)),
            ("outcome", open_word(&words(DeliveryOutcome::ALL))),
            ("response_status", or_null(number(200))),
            ("response_body", or_null(said("ok"))),
            ("error", or_null(said("the connection was refused"))),
            ("duration_ms", number(12)),
            ("next_attempt_at", or_null(moment())),
            ("created_at", moment()),
        ],
        Vec::new(),
    )
}

fn resend() -> Value {
    answer(
        vec![
            ("object", of_type("resend")),
            ("event_id", id("evt")),
            ("webhook_endpoint_id", id("we")),
        ],
        Vec::new(),
    )
}

fn replay() -> Value {
    answer(
        vec![
            ("object", of_type("replay")),
            ("webhook_endpoint_id", id("we")),
            ("after", id("evt")),
        ],
        Vec::new(),
    )
}

fn deleted() -> Value {
    answer(
        vec![
            ("id", id("we")),
            ("object", of_type("webhook_endpoint")),
            ("deleted", super::schema::flag()),
        ],
        Vec::new(),
    )
}

//! What the `data` of each type of event holds: where it happened, and what it is about under the name of the object. Other
//! groups have the objects that routes answer with.

use super::control_events;
use super::schema::{
    Fields, amount, answer, currency, either, id, list, moment, named, noted, number, of_type,
    open_word, or_null, said, unset, words,
};
use crate::engine::command::ReleaseCause;
use crate::engine::reissue::ReissueReason;
use crate::engine::shipping::ShippingStatus;
use crate::store::events::types::EventType;
use crate::store::rows::ReversalResultName;
use serde_json::{Map, Value, json};

/// The data of a kind of events: the name of its schema, what is always there beside the place, and what may be.
pub struct EventData {
    pub name: &'static str,
    pub always: Fields,
    pub sometimes: Fields,
}

/// The schemas that only events have.
pub fn schemas() -> Fields {
    let mut schemas = vec![
        ("CardOfEvent", card()),
        ("AccountOfEvent", account()),
        ("AuthorizationInShort", authorization_in_short()),
        ("Reversal", reversal()),
        ("EventDataInShort", data_in_short()),
        ("Event", event()),
    ];
    for event in EventType::ALL {
        let EventData {
            name,
            always,
            sometimes,
        } = data_of(*event);
        if schemas.iter().all(|(known, _)| *known != name) {
            schemas.push((name, data(always, sometimes)));
        }
    }
    schemas
}

/// An event of one type, for what is called with it.
pub fn of_type_alone(event: EventType) -> Value {
    json!({ "allOf": [named("Event"), { "type": "object", "properties": {
        "type": of_type(event.name()),
        "data": either(vec![named(data_of(event).name), named("EventDataInShort")]),
    } }] })
}

pub fn data_of(event: EventType) -> EventData {
    use EventType::*;
    match event {
        CardCreated
        | CardActivated
        | CardBlocked
        | CardRenewed
        | CardExpired
        | CardVerificationTriesExceeded => of("CardEventData", vec![card_member()]),
        LimitUpdated => {
            of("LimitUpdatedEventData", vec![("owner", owner())]).or(vec![card_member()])
        }
        CardFrozen | CardUnfrozen | CardClosed => {
            let cause = noted(
                named("LinkRef"),
                "The linked object that was frozen, unfrozen or closed, where it was not the card itself.",
            );
            let data = of("CardStatusEventData", vec![card_member()]);
            data.or(vec![("cause", cause)])
        }
        CardRevealed | CardReissued | CardShippingUpdated | CardCardholderChanged => {
            of_one_card(event)
        }
        TokenRequested | TokenActivated | TokenSuspended | TokenResumed | TokenDeleted => {
            of("TokenEventData", vec![("token", named("Token"))])
        }
        LimitThresholdReached => of(
            "LimitThresholdEventData",
            vec![("limit", limit()), ("authorization_id", id("auth"))],
        ),
        AccountCreated | AccountFrozen | AccountUnfrozen | AccountClosed => of(
            "AccountEventData",
            vec![("account", named("AccountOfEvent"))],
        ),
        TopUpSettled | TopUpCreated | TopUpFailed => {
            of("TopUpEventData", vec![("top_up", named("TopUp"))])
        }
        TransferSettled | TransferReturned | TransferFailed => {
            of("TransferEventData", vec![("transfer", named("Transfer"))])
        }
        BalanceUpdated => {
            let note = "The payment that moved it, where one did.";
            let by = noted(or_null(id("auth")), note);
            of(
                "BalanceUpdatedEventData",
                vec![("balance", balance()), ("authorization_id", by)],
            )
        }
        BalanceLow => of("BalanceLowEventData", vec![("balance", low_balance())]),
        FeeCharged => of("FeeEventData", vec![("fee", named("Fee"))]),
        _ => of_payment(event).unwrap_or_else(|| control_events::of_control(event)),
    }
}

fn of_one_card(event: EventType) -> EventData {
    match event {
        EventType::CardRevealed => {
            let by = noted(said("root"), "Who saw it; of the root key: `root`.");
            let reveal = answer(
                vec![
                    ("api_key_id", by),
                    ("reason", said("delivery to the holder")),
                ],
                Vec::new(),
            );
            of(
                "CardRevealedEventData",
                vec![card_member(), ("reveal", reveal)],
            )
        }
        EventType::CardCardholderChanged => {
            let cardholder = answer(
                vec![("id", id("holder")), ("previous_id", or_null(id("holder")))],
                Vec::new(),
            );
            of(
                "CardCardholderEventData",
                vec![card_member(), ("cardholder", cardholder)],
            )
        }
        EventType::CardReissued => of(
            "CardReissuedEventData",
            vec![
                card_member(),
                ("replaced_by", id("card")),
                ("reason", open_word(&words(ReissueReason::NAMED))),
            ],
        ),
        _ => {
            let parcel = answer(
                vec![
                    ("carrier", or_null(said("DHL"))),
                    ("tracking_number", or_null(said("JD01"))),
                    ("eta", or_null(said("2026-12-01"))),
                ],
                Vec::new(),
            );
            let data = of("CardShippingEventData", vec![card_member()]);
            data.or(vec![("parcel", noted(parcel, "Of one that was shipped."))])
        }
    }
}

/// What payments, reversals and postings are told with.
fn of_payment(event: EventType) -> Option<EventData> {
    use EventType::*;
    let authorization = || ("authorization", named("Authorization"));
    Some(match event {
        AuthorizationRequested
        | AuthorizationApproved
        | AuthorizationPartiallyApproved
        | AuthorizationUpdated => of("AuthorizationEventData", vec![authorization()]),
        AuthenticationSucceeded | AuthenticationFailed => of(
            "AuthenticationEventData",
            vec![
                ("authentication", authentication()),
                ("authorization_id", id("auth")),
            ],
        ),
        AuthorizationDeclined => {
            let either = either(vec![named("Authorization"), named("AuthorizationInShort")]);
            let note = "In short for who may hear of declines and not see authorizations.";
            let told = noted(either, note);
            of(
                "AuthorizationDeclinedEventData",
                vec![("authorization", told)],
            )
        }
        AuthorizationIncremented => of(
            "AuthorizationIncrementedEventData",
            vec![authorization(), ("increment", named("Authorization"))],
        ),
        AuthorizationExpired => {
            let causes = [ReleaseCause::Expired, ReleaseCause::Manual];
            let cause = open_word(&causes.map(ReleaseCause::name));
            of(
                "AuthorizationExpiredEventData",
                vec![authorization(), ("cause", cause)],
            )
        }
        ReversalCreated => of(
            "ReversalEventData",
            vec![("reversal", named("Reversal")), authorization()],
        ),
        TransactionSettled
        | TransactionForcePosted
        | TransactionOverCleared
        | TransactionRefunded => of(
            "TransactionEventData",
            vec![("transaction", named("Transaction")), authorization()],
        ),
        _ => return None,
    })
}

pub(super) fn of(name: &'static str, always: Fields) -> EventData {
    EventData {
        name,
        always,
        sometimes: Vec::new(),
    }
}

impl EventData {
    fn or(mut self, sometimes: Fields) -> EventData {
        self.sometimes = sometimes;
        self
    }
}

/// The place of an event, with what it is about.
fn data(always: Fields, sometimes: Fields) -> Value {
    let mut fields = place();
    fields.extend(always);
    let mut data = answer(fields, sometimes);
    // Each link of the card flat, as in `project_id`.
    data["patternProperties"] = json!({ "^[a-z0-9_]{1,32}_id$": { "type": ["string", "null"] } });
    data
}

/// The same, where all that it is about is told in short.
fn data_in_short() -> Value {
    let mut data = answer(place(), Vec::new());
    data["additionalProperties"] = json!(true);
    noted(data, SHORT)
}

const SHORT: &str = "What is told in short (`\"payload\": \"thin\"`) has of each object `id`, `object`, `status` or `state`, \
    `authorization_id`, and `result` and `reason` of `decision`, where they are there.";

/// Where an event happened; of each event.
pub fn place() -> Fields {
    vec![
        ("card_id", or_null(id("card"))),
        ("balance_id", noted(or_null(id("acct")), "The account.")),
        ("program_id", or_null(id("prog"))),
        (
            "user_id",
            noted(or_null(said("u1")), "Of its link of the type `user`."),
        ),
        ("links", list(named("LinkRef"))),
        (
            "object_id",
            noted(
                said("card_0h2k9m4p7r1t3"),
                "What `sequence` counts the events of: its card, or its account where it tells of that, else what it is about.",
            ),
        ),
        (
            "sequence",
            noted(number(17), "Among the events of `object_id`, from 1."),
        ),
    ]
}

fn event() -> Value {
    let by_type: Map<String, Value> = EventType::ALL
        .iter()
        .map(|event| (event.name().to_owned(), named(data_of(*event).name)))
        .collect();
    let note = format!(
        "Where it happened, and what it is about under the name of the object: `x-data-by-type` has a schema for each `type`. {SHORT}"
    );
    let data = json!({
        "type": "object", "description": note, "x-data-by-type": by_type,
        "examples": [{"card_id": "card_0h2k9m4p7r1t3", "sequence": 17}],
    });
    let names: Vec<&str> = EventType::ALL.iter().map(|known| known.name()).collect();
    answer(
        vec![
            (
                "id",
                noted(
                    id("evt"),
                    "A ping, which is no event, has `ping_` and digits.",
                ),
            ),
            ("type", open_word(&names)),
            ("timestamp", moment()),
            ("data", data),
        ],
        Vec::new(),
    )
}

/// What a request says of 3-D Secure, as the step `three_ds` of its authorization has it.
fn authentication() -> Value {
    answer(
        vec![
            ("object", of_type("authentication")),
            ("eci", or_null(said("05"))),
            ("authentication", open_word(&["authenticated", "failed"])),
            (
                "cryptogram",
                open_word(&["absent", "present", "valid", "invalid"]),
            ),
            ("exemption", unset(said("low_value"))),
            ("initiated_by", open_word(&["cardholder", "merchant"])),
        ],
        Vec::new(),
    )
}

/// Whose controls were changed.
fn owner() -> Value {
    let owners = ["card", "account", "link", "program"];
    answer(
        vec![
            ("object", open_word(&owners)),
            ("id", said("card_0h2k9m4p7r1t3")),
        ],
        vec![("type", noted(said("project"), "Of a linked object."))],
    )
}

fn card_member() -> (&'static str, Value) {
    ("card", named("CardOfEvent"))
}

/// What of a card is told with events.
fn card() -> Value {
    let shipping = ShippingStatus::NAMED;
    answer(
        vec![
            ("id", id("card")),
            ("object", of_type("card")),
            ("account_id", id("acct")),
            ("program_id", id("prog")),
            ("type", open_word(&["virtual", "physical"])),
            ("status", open_word(&super::cards::CARD_STATUSES)),
            ("own_status", open_word(&super::cards::CARD_STATUSES)),
            ("first6", said("411111")),
            ("last4", said("1111")),
            ("exp_month", number(11)),
            ("exp_year", number(2029)),
            ("links", list(named("LinkRef"))),
            ("replacement_for", or_null(id("card"))),
            ("shipping_status", or_null(open_word(&words(shipping)))),
            ("created_at", moment()),
        ],
        vec![(
            "status_reason",
            noted(
                unset(open_word(&["lost", "stolen", "fraud"])),
                "With a change of its status by itself: why it is blocked or closed, where that was said.",
            ),
        )],
    )
}

/// What of an account is told with events: `balance.updated` tells of its money.
fn account() -> Value {
    answer(
        vec![
            ("id", id("acct")),
            ("object", of_type("account")),
            ("program_id", id("prog")),
            ("parent_id", or_null(id("acct"))),
            ("name", or_null(said("master"))),
            ("currency", currency()),
            ("status", open_word(&["active", "frozen", "closed"])),
            ("created_at", moment()),
        ],
        Vec::new(),
    )
}

fn authorization_in_short() -> Value {
    let decision = answer(
        vec![
            ("result", said("declined")),
            ("reason", or_null(said("mcc_blocked"))),
        ],
        Vec::new(),
    );
    answer(
        vec![
            ("id", id("auth")),
            ("object", of_type("authorization")),
            ("status", said("declined")),
            ("decision", decision),
        ],
        Vec::new(),
    )
}

fn reversal() -> Value {
    answer(
        vec![
            ("id", id("rev")),
            ("object", of_type("reversal")),
            ("authorization_id", or_null(id("auth"))),
            ("outcome", open_word(&words(ReversalResultName::ALL))),
            ("released", amount()),
            ("returned", amount()),
            ("transaction_amount", amount()),
            ("transaction_currency", currency()),
            ("flags", super::payments::flags()),
            ("network", named("NetworkReference")),
            ("created_at", moment()),
        ],
        Vec::new(),
    )
}

/// A limit, after the payment that brought it to a threshold.
fn limit() -> Value {
    answer(
        vec![
            ("limit_id", id("lim")),
            ("scope", open_word(&super::cards::scopes())),
            ("unit", open_word(&["amount", "count"])),
            ("allowed", amount()),
            ("used", amount()),
            ("requested", amount()),
            ("left", amount()),
            ("resets_at", or_null(moment())),
            ("percent", number(80)),
        ],
        vec![
            (
                "levels_above",
                noted(number(1), "Of an account above the card's."),
            ),
            ("link", noted(named("LinkRef"), "Of a linked object's.")),
            ("account_id", noted(id("acct"), "Of an account's.")),
        ],
    )
}

fn balance() -> Value {
    answer(
        vec![
            ("account_id", id("acct")),
            ("currency", currency()),
            ("posted", amount()),
            ("held", amount()),
            ("posted_change", amount()),
            ("held_change", amount()),
        ],
        Vec::new(),
    )
}

fn low_balance() -> Value {
    answer(
        vec![
            ("account_id", id("acct")),
            ("available", amount()),
            (
                "below",
                noted(
                    amount(),
                    "The `below` of the account's `low_balance`, as it was then.",
                ),
            ),
        ],
        Vec::new(),
    )
}

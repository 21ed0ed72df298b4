//! Fee schedules, previews, and what was charged.

use super::operation::{Operation, act_with, body, create, get, list_of, list_of_memory};
use super::schema::{
    self, Fields, amount, amount_from, answer, currency, flag, id, list, list_within, moment,
    named, noted, number, number_within, of_type, one_of, open_word, or_null, request, said, text,
    words,
};
use crate::engine::conversion::BASIS_POINTS;
use crate::engine::fees::price::FEE_MAX_MINOR;
use crate::engine::fees::schedule::FeeKind;
use serde_json::{Value, json};

pub fn schemas() -> Fields {
    vec![
        ("Fee", fee()),
        ("FeePreview", preview()),
        ("FeePrice", price()),
        ("FeeSchedule", fee_schedule()),
    ]
}

pub fn operations() -> Vec<Operation> {
    let items = json!([
        {"kind": "issue_virtual", "fee": {"amount": 200}, "reseller_mark_up": {"amount": 50}},
        {"kind": "top_up", "fee": {"basis_points": 300, "min": 100}, "reseller_mark_up": {"basis_points": 100}},
    ]);
    let made = json!({"name": "Standard", "currency": "USD", "items": items});
    let asked = json!({"kind": "top_up", "amount": 100000});
    vec![
        list_of_memory(
            "/v1/fee_schedules",
            "Fee schedules, newest first",
            "FeeSchedule",
            id("feesch"),
        ),
        create(
            "/v1/fee_schedules",
            "Make a fee schedule",
            body(schedule_request(), made),
            "FeeSchedule",
        ),
        get(
            "/v1/fee_schedules/{id}",
            "A fee schedule as it is now",
            "FeeSchedule",
        ),
        act_with(
            "/v1/fee_schedules/{id}",
            "Change a fee schedule: a new version, which charges from now on",
            body(schedule_change(), json!({"name": "Standard 2027"})),
            "FeeSchedule",
        )
        .method("PATCH"),
        act_with(
            "/v1/fee_schedules/{id}/preview",
            "What something would cost by this schedule",
            body(preview_request(), asked.clone()),
            "FeePreview",
        ),
        act_with(
            "/v1/programs/{id}/fee_preview",
            "What something would cost in this program",
            body(preview_request(), asked),
            "FeePreview",
        ),
        list_of(
            "/v1/fees",
            "What accounts were charged, newest first",
            "Fee",
            "fee",
        )
        .filter("account_id", id("acct"))
        .of_card()
        .filter("program_id", id("prog"))
        .filter("kind", one_of(&words(FeeKind::ALL)))
        .filter("cause_id", text(64, "auth_0h2k9m4p7r1t3"))
        .of_amount()
        .created_within()
        .of_link(),
        get("/v1/fees/{id}", "One charge", "Fee"),
    ]
}

fn price() -> Value {
    answer(
        vec![
            ("amount", amount()),
            ("basis_points", number(300)),
            ("min", or_null(amount())),
            ("max", or_null(amount())),
        ],
        Vec::new(),
    )
}

fn price_request() -> Value {
    let most = || number_within(0, FEE_MAX_MINOR);
    let share = noted(
        number_within(0, i64::from(BASIS_POINTS)),
        "Of `top_up` and `foreign_exchange` only.",
    );
    request(
        Vec::new(),
        vec![
            (
                "amount",
                noted(most(), "In minor units; not of `foreign_exchange`."),
            ),
            ("basis_points", share),
            ("min", noted(most(), "Of `top_up` only, like `max`.")),
            ("max", most()),
        ],
    )
}

fn fee_schedule() -> Value {
    let item = answer(
        vec![
            ("kind", open_word(&words(FeeKind::ALL))),
            ("fee", named("FeePrice")),
            ("reseller_mark_up", named("FeePrice")),
        ],
        Vec::new(),
    );
    answer(
        vec![
            ("id", id("feesch")),
            ("object", of_type("fee_schedule")),
            ("version", number(1)),
            ("name", said("Standard")),
            ("currency", currency()),
            ("time_zone", said("UTC")),
            ("items", list(item)),
            ("decline_fees_per_card_per_day_max", or_null(number(5))),
            ("created_at", moment()),
            ("updated_at", moment()),
        ],
        Vec::new(),
    )
}

fn items_request() -> Value {
    let item = request(
        vec![("kind", one_of(&words(FeeKind::ALL)))],
        vec![
            ("fee", noted(price_request(), "Ours.")),
            (
                "reseller_mark_up",
                noted(price_request(), "What the reseller adds."),
            ),
        ],
    );
    noted(
        list_within(0, FeeKind::ALL.len(), item),
        "Each kind once; as a whole.",
    )
}

fn time_zone() -> Value {
    noted(
        text(64, "Europe/Berlin"),
        "In which months begin (IANA); UTC where it is left out.",
    )
}

fn decline_fees_max() -> Value {
    noted(
        json!({"anyOf": [number_within(0, i64::from(u16::MAX)), one_of(&["none"])]}),
        "So many declines of one card are charged in one day of `time_zone`; `none` ends the bound.",
    )
}

fn schedule_request() -> Value {
    request(
        vec![
            ("name", text(200, "Standard")),
            ("currency", currency()),
            ("items", items_request()),
        ],
        vec![
            ("time_zone", time_zone()),
            ("decline_fees_per_card_per_day_max", decline_fees_max()),
        ],
    )
}

fn schedule_change() -> Value {
    let change = request(
        Vec::new(),
        vec![
            ("name", text(200, "Standard 2027")),
            ("items", items_request()),
            ("time_zone", time_zone()),
            ("decline_fees_per_card_per_day_max", decline_fees_max()),
        ],
    );
    schema::with(change, "minProperties", json!(1))
}

fn preview_request() -> Value {
    request(
        vec![("kind", one_of(&words(FeeKind::ALL)))],
        vec![
            (
                "amount",
                noted(
                    amount_from(1),
                    "Of `top_up` what arrives, of `foreign_exchange` what the network gets; needed for these two.",
                ),
            ),
            (
                "currency",
                noted(currency(), "Of the account; by default the schedule's."),
            ),
            (
                "charged_today",
                noted(
                    number_within(0, i64::from(u16::MAX)),
                    "Of `decline`: so many declines of the card were charged that day; 0 where it is left out.",
                ),
            ),
        ],
    )
}

fn parts() -> Fields {
    vec![
        ("kind", open_word(&words(FeeKind::ALL))),
        ("amount", noted(amount(), "Both parts.")),
        ("fee_amount", amount()),
        ("reseller_mark_up_amount", amount()),
    ]
}

fn preview() -> Value {
    answer(
        vec![
            ("object", of_type("fee_preview")),
            ("fee_schedule_id", or_null(id("feesch"))),
            ("fee_schedule_version", or_null(number(1))),
            ("kind", open_word(&words(FeeKind::ALL))),
            ("basis_amount", or_null(amount())),
            ("currency", currency()),
            ("fees", list(answer(parts(), Vec::new()))),
            ("total", amount()),
        ],
        Vec::new(),
    )
}

fn fee() -> Value {
    let cause = answer(
        vec![
            (
                "type",
                open_word(&["account", "authorization", "card", "top_up", "transaction"]),
            ),
            (
                "id",
                noted(
                    or_null(said("topup_0h2k9m4p7r1t3")),
                    "`null` where the key does not see the card.",
                ),
            ),
        ],
        Vec::new(),
    );
    let mut fields = vec![("id", id("fee")), ("object", of_type("fee"))];
    fields.extend(parts());
    fields.extend([
        ("account_id", id("acct")),
        ("card_id", or_null(id("card"))),
        ("program_id", id("prog")),
        ("fee_schedule_id", id("feesch")),
        ("fee_schedule_version", number(1)),
        (
            "basis_amount",
            or_null(noted(amount(), "What a share was taken of.")),
        ),
        ("currency", currency()),
        ("month", or_null(said("2026-12"))),
        (
            "overdrawn",
            noted(flag(), "It took what is available below zero."),
        ),
        ("cause", cause),
        (
            "links",
            noted(
                list(named("LinkRef")),
                "Of its card; none, where it is of no card.",
            ),
        ),
        ("created_at", moment()),
    ]);
    answer(fields, Vec::new())
}

//! Programs, and how long their holds last.

use super::approvals::policy_request;
use super::operation::{Operation, act, act_with, body, create, get, list_of, list_of_memory};
use super::schema::{
    self, Fields, answer, currency, either, extended, id, kinds, list, list_within, mcc, moment,
    named, noted, number, number_within, of_type, one_of, open_word, or_null, pattern, request,
    said, text,
};
use crate::engine::conversion::BASIS_POINTS;
use crate::engine::hold_expiry::HOLD_HOURS_MAX;
use crate::engine::programs::{BINS_MAX, LIMIT_THRESHOLDS_MAX};
use serde_json::{Value, json};

pub fn schemas() -> Fields {
    vec![
        ("Program", program()),
        ("Bin", listed_bin()),
        ("BinDetails", bin_details()),
        ("HoldExpiry", hold_expiry()),
    ]
}

pub fn operations() -> Vec<Operation> {
    vec![
        list_of("/v1/programs", "Programs, newest first", "Program", "prog"),
        create(
            "/v1/programs",
            "Make a program",
            body(
                program_request(),
                json!({"name": "Ads", "network": "visa", "bin": "411111", "currency": "USD"}),
            ),
            "Program",
        ),
        get("/v1/programs/{id}", "A program", "Program"),
        act_with(
            "/v1/programs/{id}",
            "Change a program: what is named is replaced",
            body(
                program_change(),
                json!({"name": "Travel", "hold_expiry": {"hours": 168}}),
            ),
            "Program",
        )
        .method("PATCH")
        .may_wait(),
        act(
            "/v1/programs/{id}/suspend",
            "Decline what its cards pay, as `program_suspended`",
            "Program",
        ),
        act("/v1/programs/{id}/resume", "Let them pay again", "Program"),
        list_of_memory(
            "/v1/bins",
            "BINs of all programs, by their digits",
            "Bin",
            said(BIN_ID),
        )
        .filter("program_id", id("prog"))
        .filter("network", network())
        .filter("region", region())
        .filter("product_type", product_type()),
    ]
}

/// Those that are common; any other word is taken.
const PRODUCT_TYPES: [&str; 5] = ["prepaid", "debit", "credit", "expense", "advertising"];

fn program() -> Value {
    answer(
        vec![
            ("id", id("prog")),
            ("object", of_type("program")),
            ("name", said("Ads")),
            ("network", said("visa")),
            ("bin", said("411111")),
            ("bins", list(said("411111"))),
            ("bin_details", list(named("BinDetails"))),
            ("currency", currency()),
            ("status", open_word(&["active", "suspended"])),
            ("product_type", or_null(open_word(&PRODUCT_TYPES))),
            ("region", or_null(said("US"))),
            ("controls", named("Controls")),
            ("second_approver", or_null(named("SecondApprover"))),
            ("hold_expiry", or_null(named("HoldExpiry"))),
            ("foreign_exchange_mark_up_basis_points", number(150)),
            ("fee_schedule", or_null(id("feesch"))),
            ("limit_threshold_percents", list(number_within(1, 100))),
            (
                "master_account_id",
                noted(
                    or_null(id("acct")),
                    "On which cards draw that are ordered with `program_id` and without `account_id`.",
                ),
            ),
            ("created_at", moment()),
        ],
        Vec::new(),
    )
}

/// A BIN of a program, of a list of all.
const BIN_ID: &str = "555555:prog_0h2k9m4p7r1t3";

fn listed_bin() -> Value {
    extended(
        bin_details(),
        vec![
            (
                "id",
                noted(
                    said(BIN_ID),
                    "Of this entry: several programs may have a BIN.",
                ),
            ),
            ("object", of_type("bin")),
            ("program_id", id("prog")),
            ("currency", currency()),
        ],
    )
}

/// What holds for a BIN: what is said of it, else the program's own.
fn bin_details() -> Value {
    answer(
        vec![
            ("bin", said("555555")),
            ("network", said("mastercard")),
            ("region", or_null(said("EU"))),
            ("product_type", or_null(open_word(&PRODUCT_TYPES))),
        ],
        Vec::new(),
    )
}

fn network() -> Value {
    noted(
        pattern("^[A-Za-z0-9_-]{1,16}$", "visa"),
        "The name of a `[[network]]` section.",
    )
}

fn product_type() -> Value {
    pattern("^[a-z0-9_]{1,32}$", "prepaid")
}

fn region() -> Value {
    pattern("^[A-Za-z0-9_-]{1,32}$", "US")
}

/// Its digits, or an object with what is said of it.
fn bin_entry() -> Value {
    let said = request(
        vec![("bin", bin())],
        vec![
            ("network", network()),
            ("region", region()),
            ("product_type", product_type()),
        ],
    );
    either(vec![bin(), said])
}

fn bin() -> Value {
    pattern("^([0-9]{6}|[0-9]{8})$", "411111")
}

/// What may be said when a program is made, and later.
fn program_settings() -> Vec<(&'static str, Value)> {
    let mark_up = number_within(0, i64::from(BASIS_POINTS));
    vec![
        ("controls", named("ControlsRequest")),
        ("hold_expiry", hold_expiry_request()),
        ("foreign_exchange_mark_up_basis_points", mark_up),
        (
            "bins",
            noted(
                list_within(1, BINS_MAX, bin_entry()),
                "All of its BINs; `bin` is the first of them. An object says all that is said of a BIN, and what it leaves out \
                 is the program's own; digits alone leave what was said of that BIN before.",
            ),
        ),
        ("product_type", product_type()),
        ("region", region()),
        ("second_approver", policy_request()),
        (
            "limit_threshold_percents",
            noted(
                list_within(0, LIMIT_THRESHOLDS_MAX, number_within(1, 100)),
                "From which parts of what a limit allows on `limit.threshold_reached` is told, each for itself; `[80]` \
                 where it was never given, `[]` for none.",
            ),
        ),
    ]
}

fn program_change() -> Value {
    let mut optional = vec![("name", text(200, "Travel"))];
    optional.extend(program_settings());
    let fees = pattern("^(feesch_[0-9a-z]{13}|none)$", "none");
    optional.push((
        "fee_schedule",
        noted(fees, "By which it charges; `none` ends it."),
    ));
    let master = pattern("^(acct_[0-9a-z]{13}|none)$", "none");
    optional.push((
        "master_account_id",
        noted(
            master,
            "A root account of the program in its currency; `none` ends it.",
        ),
    ));
    schema::with(request(Vec::new(), optional), "minProperties", json!(1))
}

fn program_request() -> Value {
    let mut settings = program_settings();
    settings.push(("fee_schedule", noted(id("feesch"), "By which it charges.")));
    request(
        vec![
            ("name", text(200, "Ads")),
            ("network", network()),
            ("bin", bin()),
            ("currency", currency()),
        ],
        settings,
    )
}

fn hold_expiry() -> Value {
    let rule = answer(
        vec![
            ("kinds", list(open_word(&kinds()))),
            ("mcc", list(said("7011"))),
            ("hours", number(744)),
        ],
        Vec::new(),
    );
    answer(
        vec![("hours", or_null(number(168))), ("rules", list(rule))],
        Vec::new(),
    )
}

fn hold_expiry_request() -> Value {
    let hours = || number_within(1, i64::from(HOLD_HOURS_MAX));
    let all = kinds();
    let rule = request(
        vec![("hours", hours())],
        vec![
            ("kinds", list_within(0, all.len(), one_of(&all))),
            ("mcc", list_within(0, 1_000, mcc())),
        ],
    );
    request(
        Vec::new(),
        vec![("hours", hours()), ("rules", list_within(0, 50, rule))],
    )
}

//! Schemas of controls, limits and what exceptions lift, as requests state and answers tell them.

use super::schema::{
    self, Fields, amount, amount_from, answer, channels, either, entry_modes, flag, id, kinds,
    list, list_within, named, noted, number, number_within, one_of, open_word, or_null, pattern,
    request, said, text, words,
};
use crate::api::controls_json::LIST_MAX;
use crate::engine::controls::Window;
use crate::engine::groups::BuiltinMccGroup;
use crate::engine::rolling::RollingWindow;
use crate::engine::three_ds::{Exemption, ThreeDsMode};
use crate::engine::time_windows::Days;
use serde_json::Value;

const MERCHANT_ID: &str = "^[!-~]([ -~]{0,13}[!-~])?$";
const TIME_OF_DAY: &str = "^([01][0-9]|2[0-3]):[0-5][0-9]$";
const TIME_OF_END: &str = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$";

pub fn schemas() -> Fields {
    vec![
        ("Controls", controls()),
        ("ControlsRequest", controls_request()),
        ("Limit", limit()),
        ("LimitRequest", limit_request()),
        ("LimitFilter", limit_filter()),
        ("LimitFilterRequest", limit_filter_request()),
        ("MerchantEntry", merchant_entry()),
        ("MerchantEntryRequest", merchant_entry_request(true)),
        ("TimeWindow", time_window()),
        ("TimeWindowRequest", time_window_request()),
        ("ThreeDsPolicy", three_ds()),
        ("ThreeDsPolicyRequest", three_ds_request()),
        ("Lifts", lifts()),
        ("LiftsRequest", lifts_request()),
    ]
}

/// A code, or a group of them.
fn mcc_or_group() -> Value {
    let names = words(BuiltinMccGroup::ALL);
    either(vec![schema::mcc(), one_of(&names), id("mccg")])
}

fn own_country() -> Value {
    let note = "ISO 3166-1 alpha-2; `ZZ` is what a message does not state.";
    noted(pattern("^[A-Z]{2}$", "US"), note)
}

/// One of `allow` and `block`, in an answer.
fn entries(items: Value) -> Value {
    let modes = vec![("allow", list(items.clone())), ("block", list(items))];
    answer(vec![("id", id("ctl"))], modes)
}

/// One of `allow` and `block`, in a request.
fn entries_request(items: Value, most: usize) -> Value {
    let modes = ["allow", "block"].map(|mode| {
        let own = vec![(mode, list_within(1, most, items.clone()))];
        request(own, vec![("id", id("ctl"))])
    });
    either(modes.into())
}

fn controls() -> Value {
    let text_list = || entries(said("US"));
    answer(
        Vec::new(),
        vec![
            ("limits", list(named("Limit"))),
            ("mcc", entries(said("7995"))),
            ("countries", text_list()),
            ("currencies", text_list()),
            ("channels", entries(open_word(&channels()))),
            ("entry_modes", entries(open_word(&entry_modes()))),
            ("merchants", entries(named("MerchantEntry"))),
            ("time_windows", list(named("TimeWindow"))),
            ("single_use", flag()),
            ("merchant_lock", flag()),
            ("home_country_only", flag()),
            ("three_ds", named("ThreeDsPolicy")),
        ],
    )
}

fn controls_request() -> Value {
    request(
        Vec::new(),
        vec![
            ("limits", list_within(0, 20, named("LimitRequest"))),
            ("mcc", entries_request(mcc_or_group(), LIST_MAX)),
            ("countries", entries_request(own_country(), LIST_MAX)),
            ("currencies", entries_request(schema::currency(), LIST_MAX)),
            ("channels", entries_request(one_of(&channels()), LIST_MAX)),
            (
                "entry_modes",
                entries_request(one_of(&entry_modes()), LIST_MAX),
            ),
            (
                "merchants",
                entries_request(named("MerchantEntryRequest"), 200),
            ),
            (
                "time_windows",
                list_within(0, 20, named("TimeWindowRequest")),
            ),
            ("single_use", flag()),
            ("merchant_lock", flag()),
            ("home_country_only", flag()),
            ("three_ds", named("ThreeDsPolicyRequest")),
        ],
    )
}

fn windows() -> Vec<&'static str> {
    let mut names = words(Window::NAMED);
    names.push(Window::ROLLING);
    names
}

/// What an answer tells of a limit.
pub fn limit() -> Value {
    answer(
        vec![
            ("id", id("lim")),
            ("window", open_word(&windows())),
            ("amount", or_null(amount())),
            ("count", or_null(number(5))),
            ("time_zone", said("UTC")),
        ],
        vec![
            ("window_seconds", number(86_400)),
            ("refunds", open_word(&["none", "restore"])),
            ("filter", named("LimitFilter")),
            ("until_verified", flag()),
        ],
    )
}

fn limit_request() -> Value {
    let seconds = number_within(
        i64::from(RollingWindow::SECONDS_MIN),
        i64::from(RollingWindow::SECONDS_MAX),
    );
    let schema = request(
        vec![("window", one_of(&windows()))],
        vec![
            ("id", id("lim")),
            ("window_seconds", noted(seconds, "Of a `rolling` window.")),
            ("amount", amount_from(1)),
            ("count", number_within(1, i64::from(u32::MAX))),
            (
                "time_zone",
                noted(text(64, "UTC"), "An IANA name; by default UTC."),
            ),
            ("refunds", one_of(&["none", "restore"])),
            ("filter", named("LimitFilterRequest")),
            ("until_verified", flag()),
        ],
    );
    let note = "An `amount`, a `count` or both. A limit that keeps its `id` keeps its counters.";
    noted(schema, note)
}

fn limit_filter() -> Value {
    let texts = |example: &str| list(said(example));
    answer(
        Vec::new(),
        vec![
            ("mcc", texts("7311")),
            ("countries", texts("US")),
            ("channels", list(open_word(&channels()))),
            ("kinds", list(open_word(&kinds()))),
            ("merchant_ids", texts("M1")),
            ("merchant_lists", list(id("mlst"))),
        ],
    )
}

fn limit_filter_request() -> Value {
    let many = |items: Value| list_within(0, LIST_MAX, items);
    request(
        Vec::new(),
        vec![
            ("mcc", many(mcc_or_group())),
            ("countries", many(own_country())),
            ("channels", many(one_of(&channels()))),
            ("kinds", many(one_of(&kinds()))),
            ("merchant_ids", many(pattern(MERCHANT_ID, "M1"))),
            ("merchant_lists", many(id("mlst"))),
        ],
    )
}

fn merchant_entry() -> Value {
    answer(
        Vec::new(),
        vec![
            ("id", said("M1")),
            ("acquirer_id", said("412345")),
            ("name", said("AMAZON*")),
            ("list", id("mlst")),
        ],
    )
}

/// By its id, by a pattern of its name, or, where it may be, by a list of merchants.
pub fn merchant_entry_request(may_be_list: bool) -> Value {
    let acquirer_id = pattern("^[0-9]{1,11}$", "412345");
    let by_id = request(
        vec![("id", pattern(MERCHANT_ID, "M1"))],
        vec![("acquirer_id", acquirer_id)],
    );
    let by_name = request(vec![("name", text(40, "AMAZON*"))], Vec::new());
    let mut ways = vec![by_id, by_name];
    if may_be_list {
        ways.push(request(vec![("list", id("mlst"))], Vec::new()));
    }
    either(ways)
}

fn time_window() -> Value {
    answer(
        vec![
            ("id", id("ctl")),
            ("days", list(open_word(&Days::NAMES))),
            ("from", said("08:00")),
            ("to", said("18:00")),
            ("time_zone", said("Europe/Berlin")),
        ],
        Vec::new(),
    )
}

fn time_window_request() -> Value {
    request(
        Vec::new(),
        vec![
            ("id", id("ctl")),
            ("days", list_within(0, 7, one_of(&Days::NAMES))),
            ("from", pattern(TIME_OF_DAY, "08:00")),
            ("to", pattern(TIME_OF_END, "18:00")),
            ("time_zone", text(64, "Europe/Berlin")),
        ],
    )
}

/// The exemptions that a merchant may claim.
fn exemptions() -> Vec<&'static str> {
    let claimed = Exemption::ALL.iter();
    let claimed = claimed.filter(|(exemption, _)| *exemption != Exemption::None);
    claimed.map(|(_, name)| *name).collect()
}

fn three_ds() -> Value {
    let modes = words(ThreeDsMode::ALL);
    let object = answer(
        vec![("policy", open_word(&modes))],
        vec![
            ("above", amount()),
            ("accepted_exemptions", list(open_word(&exemptions()))),
        ],
    );
    either(vec![open_word(&modes), object])
}

fn three_ds_request() -> Value {
    let (modes, exemptions) = (words(ThreeDsMode::ALL), exemptions());
    let most = exemptions.len();
    let object = request(
        vec![("policy", one_of(&modes))],
        vec![
            ("above", noted(amount_from(0), "With `required` only.")),
            (
                "accepted_exemptions",
                noted(
                    list_within(0, most, one_of(&exemptions)),
                    "With `required` only.",
                ),
            ),
        ],
    );
    either(vec![one_of(&modes), object])
}

fn lifts() -> Value {
    let texts = |example: &str| list(said(example));
    let limit = answer(
        vec![
            ("id", id("lim")),
            ("amount", or_null(amount())),
            ("count", or_null(number(30))),
        ],
        Vec::new(),
    );
    answer(
        Vec::new(),
        vec![
            ("limits", list(limit)),
            ("mcc", texts("7011")),
            ("countries", texts("JP")),
            ("currencies", texts("JPY")),
            ("merchants", list(named("MerchantEntry"))),
            ("channels", list(open_word(&channels()))),
            ("entry_modes", list(open_word(&entry_modes()))),
        ],
    )
}

fn lifts_request() -> Value {
    let many = |items: Value| list_within(0, LIST_MAX, items);
    let limit = request(
        vec![("id", id("lim"))],
        vec![
            ("amount", amount_from(1)),
            ("count", number_within(1, i64::from(u32::MAX))),
        ],
    );
    let schema = request(
        Vec::new(),
        vec![
            ("limits", list_within(0, 20, limit)),
            ("mcc", many(mcc_or_group())),
            ("countries", many(own_country())),
            ("currencies", many(schema::currency())),
            (
                "merchants",
                list_within(0, 200, named("MerchantEntryRequest")),
            ),
            ("channels", many(one_of(&channels()))),
            ("entry_modes", many(one_of(&entry_modes()))),
        ],
    );
    let note = "What is to pass; it names something. A limit has an `amount`, a `count` or both.";
    noted(schema, note)
}

//! Everything that is refused, and how.

use super::harness::{Disk, Options, Switch};
use cardswitch::api::BODY_MAX_BYTES;
use cardswitch::engine::money::BALANCE_MAX_MINOR;
use serde_json::json;

pub(super) type Expected<'a> = (u16, &'a str, &'a str, Option<&'a str>);

const MARK_UP: &str = "foreign_exchange_mark_up_basis_points";
const THRESHOLDS: &str = "limit_threshold_percents";

#[track_caller]
pub(super) fn assert_error(answer: &super::harness::Answer, expected: Expected, case: &str) {
    let (status, error_type, code, param) = answer.error();
    assert_eq!(
        (status, error_type.as_str(), code.as_str(), param.as_deref()),
        expected,
        "{case}: {}",
        answer.text
    );
}

#[test]
fn a_key_is_needed_and_must_be_the_right_one() {
    let switch = Switch::start();
    let client = switch.client();
    let cases = [
        (None, "api_key_missing"),
        (Some("Bearer"), "api_key_malformed"),
        (Some("Basic YTpi"), "api_key_malformed"),
        (Some("Bearer another key of tests"), "api_key_unknown"),
        (Some("Bearer a root key for test"), "api_key_unknown"),
    ];
    for (header, code) in cases {
        let without = client.without_key();
        let caller = header.map_or(without.clone(), |value| {
            without.header("Authorization", value)
        });
        for (method, path) in [
            ("POST", "/v1/programs"),
            ("GET", "/v1/cards/card_0000000000001"),
            ("PATCH", "/v1/cards/card_0000000000001"),
            ("POST", "/v1/cards/card_0000000000001/reveal"),
        ] {
            let answer = caller.send(method, path, b"{}");
            assert_error(&answer, (401, "authentication", code, None), path);
            assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
        }
    }
}

#[test]
fn what_is_not_there_is_404_and_says_whether_it_comes_later() {
    let switch = Switch::start();
    let client = switch.client();
    let unknown = "0000000000001";
    let cases = [
        ("GET", "/nothing".to_owned(), "not_found", "route_not_found"),
        ("GET", "/v1/".into(), "not_found", "route_not_found"),
        (
            "GET",
            format!("/v1/programs/prog_{unknown}"),
            "not_found",
            "program_not_found",
        ),
        (
            "GET",
            format!("/v1/accounts/acct_{unknown}"),
            "not_found",
            "account_not_found",
        ),
        (
            "GET",
            format!("/v1/cards/card_{unknown}"),
            "not_found",
            "card_not_found",
        ),
        (
            "GET",
            "/v1/cards/card_1".into(),
            "not_found",
            "card_not_found",
        ),
        (
            "POST",
            format!("/v1/cards/card_{unknown}/freeze"),
            "not_found",
            "card_not_found",
        ),
        (
            "POST",
            "/v1/cards/x/close".into(),
            "not_found",
            "card_not_found",
        ),
        (
            "POST",
            format!("/v1/cards/card_{unknown}/renew"),
            "not_found",
            "card_not_found",
        ),
        (
            "POST",
            "/v1/disputes".into(),
            "not_supported",
            "not_supported",
        ),
        (
            "POST",
            "/v1/disputes/dsp_1/submit".into(),
            "not_supported",
            "not_supported",
        ),
        (
            "POST",
            "/v1/simulate/representments".into(),
            "not_supported",
            "not_supported",
        ),
        (
            "POST",
            "/v1/simulate/nothing".into(),
            "not_found",
            "route_not_found",
        ),
    ];
    for (method, path, error_type, code) in cases {
        let body: &[u8] = if method == "POST" { b"{}" } else { b"" };
        let answer = client.send(method, &path, body);
        assert_error(&answer, (404, error_type, code, None), &path);
    }
}

#[test]
fn a_method_that_a_route_does_not_take_is_405() {
    let switch = Switch::start();
    let client = switch.client();
    for (method, path) in [
        ("DELETE", "/v1/cards/card_0000000000001"),
        ("PUT", "/v1/programs"),
        ("GET", "/v1/cards/x/freeze"),
    ] {
        let answer = client.send(method, path, b"");
        assert_error(
            &answer,
            (405, "invalid_request", "method_not_allowed", None),
            path,
        );
        assert!(answer.header("Allow").is_some(), "{method} {path}");
    }
}

#[test]
fn a_body_that_is_not_json_is_told_where() {
    let switch = Switch::start();
    let client = switch.client();
    let cases: [(&[u8], &str, &str); 10] = [
        (b"not json", "body_not_json", "line 1, column 2"),
        (
            b"{\n  \"name\": \"a\",\n}",
            "body_not_json",
            "line 3, column 1",
        ),
        (
            b"{\"name\": \"\xff\"}",
            "body_not_json",
            "line 1, column 11",
        ),
        (b"{} {}", "body_not_json", "line 1, column 4"),
        (b"{\"amount\": 1e999}", "body_not_json", "line 1"),
        (
            b"{\"name\": \"Ads\",\n \"name\": \"Other\"}",
            "field_repeated",
            "`name` stands twice in one object at line 2, column 7",
        ),
        (
            b"{\"controls\": {\"limits\": [{\"amount\": 1, \"4111111111111111\": 1, \"4111111111111111\": 2}]}}",
            "field_repeated",
            "stands twice in one object at line 1",
        ),
        (b"[1]", "type_invalid", "JSON object"),
        (b"\"text\"", "type_invalid", "JSON object"),
        (b"null", "type_invalid", "JSON object"),
    ];
    for (body, code, place) in cases {
        let answer = client.send("POST", "/v1/programs", body);
        assert_eq!((answer.error().0, answer.error().2.as_str()), (400, code));
        let message = answer.json()["error"]["message"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(message.contains(place), "{message}");
        assert!(!message.contains("4111111111111111"), "{message}");
    }
    let deep = "[".repeat(10_000);
    let answer = client.send("POST", "/v1/programs", deep.as_bytes());
    assert_eq!(answer.error().2, "body_not_json");
    let form = client.header("Content-Type", "application/x-www-form-urlencoded");
    let answer = form.send("POST", "/v1/programs", b"name=Ads");
    assert_error(
        &answer,
        (415, "invalid_request", "media_type_unsupported", None),
        "form",
    );
    assert!(answer.text.contains("Content-Type: application/json"));
}

#[test]
fn a_body_has_a_largest_size() {
    let switch = Switch::start();
    let large = vec![b' '; BODY_MAX_BYTES + 1];
    let answer = switch.client().send("POST", "/v1/programs", &large);
    assert_error(
        &answer,
        (413, "invalid_request", "body_too_large", None),
        "large",
    );
}

#[test]
fn a_program_of_a_network_that_is_not_configured_hears_which_are() {
    let switch = Switch::start();
    let client = switch.client();
    let body = json!({"name": "Ads", "network": "Visa", "bin": "411111", "currency": "USD"});
    let refused = client.post("/v1/programs", body);
    let message = refused.json()["error"]["message"].clone();
    assert_eq!(
        message,
        "network must be the `name` of a [[network]] section of the configuration; there are: visa, amex"
    );
}

#[test]
fn a_program_with_a_wrong_field_names_it() {
    let switch = Switch::start();
    let client = switch.client();
    let right = json!({"name": "Ads", "network": "visa", "bin": "411111", "currency": "USD"});
    let cases = [
        ("name", json!(null), "field_missing"),
        ("name", json!(""), "text_invalid"),
        ("name", json!("x".repeat(201)), "text_invalid"),
        ("name", json!("a\u{0}b"), "text_invalid"),
        ("name", json!(7), "type_invalid"),
        ("network", json!("visa/eu"), "network_invalid"),
        ("network", json!("a network that is long"), "text_invalid"),
        ("network", json!("mastercard"), "network_unknown"),
        ("bin", json!("4111"), "bin_invalid"),
        ("bin", json!("4111111"), "bin_invalid"),
        ("bin", json!("41111a"), "bin_invalid"),
        ("bin", json!(411_111), "type_invalid"),
        ("currency", json!("usd"), "currency_unknown"),
        ("currency", json!("840"), "currency_unknown"),
        (MARK_UP, json!(-1), "number_invalid"),
        (MARK_UP, json!(10_001), "number_invalid"),
        (MARK_UP, json!(1.5), "number_invalid"),
        (MARK_UP, json!("150"), "type_invalid"),
        ("colour", json!("red"), "field_unknown"),
        ("id", json!("prog_0000000000001"), "field_unknown"),
        ("controls", json!([]), "type_invalid"),
        ("hold_expiry", json!(7), "type_invalid"),
        ("product_type", json!("Pre paid"), "word_invalid"),
        ("product_type", json!("x".repeat(33)), "text_invalid"),
        ("region", json!("U/S"), "word_invalid"),
        ("bins", json!(["411112", "411111"]), "bins_invalid"),
        ("bins", json!([]), "nothing_named"),
        ("bins", json!("411111"), "type_invalid"),
        (THRESHOLDS, json!(80), "type_invalid"),
        (THRESHOLDS, json!(vec![50; 11]), "too_many"),
        // What a program asks of 3-D Secure is `controls.three_ds`.
        ("three_ds_policy", json!("required"), "field_unknown"),
    ];
    for (field, value, code) in cases {
        let mut body = right.clone();
        body[field] = value;
        let answer = client.post("/v1/programs", body);
        assert_error(&answer, (400, "invalid_request", code, Some(field)), field);
    }
    for (expiry, code, at) in [
        (json!({"hours": 0}), "number_invalid", "hours"),
        (json!({"hours": 8_785}), "number_invalid", "hours"),
        (json!({"days": 1}), "field_unknown", "days"),
        (
            json!({"rules": [{"mcc": ["7011"]}]}),
            "field_missing",
            "rules[0].hours",
        ),
        (
            json!({"rules": [{"hours": 1, "kinds": ["gift"]}]}),
            "value_unknown",
            "rules[0].kinds[0]",
        ),
        (
            json!({"rules": [{"hours": 1, "mcc": ["70"]}]}),
            "mcc_invalid",
            "rules[0].mcc[0]",
        ),
    ] {
        let mut body = right.clone();
        body["hold_expiry"] = expiry;
        let answer = client.post("/v1/programs", body);
        let param = format!("hold_expiry.{at}");
        assert_error(&answer, (400, "invalid_request", code, Some(&*param)), at);
    }
    for (percents, code) in [
        (json!([80, 0]), "number_invalid"),
        (json!([80, 101]), "number_invalid"),
        (json!([80, "90"]), "type_invalid"),
        (json!([80, 80]), "percent_repeated"),
    ] {
        let mut body = right.clone();
        body[THRESHOLDS] = percents;
        let answer = client.post("/v1/programs", body);
        let param = format!("{THRESHOLDS}[1]");
        assert_error(&answer, (400, "invalid_request", code, Some(&*param)), code);
    }
}

#[test]
fn wrong_controls_name_the_place() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let limit = |name: &str, value: serde_json::Value| {
        let mut limit = json!({"window": "day", "amount": 1});
        limit[name] = value;
        json!({ "limits": [limit] })
    };
    let many = |count: usize| vec![json!({"window": "day", "amount": 1}); count];
    let mccs: Vec<String> = (0..1_001).map(|mcc| format!("{mcc:04}")).collect();
    let same = json!({"id": "lim_0000000000001", "window": "day", "amount": 1});
    let cases = [
        (
            limit("window", json!("fortnight")),
            "value_unknown",
            "limits[0].window",
        ),
        (
            limit("window", json!(null)),
            "field_missing",
            "limits[0].window",
        ),
        (
            limit("amount", json!(null)),
            "field_missing",
            "limits[0].amount",
        ),
        (
            limit("amount", json!(0)),
            "number_invalid",
            "limits[0].amount",
        ),
        (
            limit("amount", json!(-5)),
            "number_invalid",
            "limits[0].amount",
        ),
        (
            limit("amount", json!(1.5)),
            "number_invalid",
            "limits[0].amount",
        ),
        (
            limit("amount", json!("5")),
            "type_invalid",
            "limits[0].amount",
        ),
        (
            limit("amount", json!(u64::MAX)),
            "number_invalid",
            "limits[0].amount",
        ),
        (
            limit("count", json!(0)),
            "number_invalid",
            "limits[0].count",
        ),
        (
            limit("count", json!(5_000_000_000_u64)),
            "number_invalid",
            "limits[0].count",
        ),
        (
            json!({"limits": [{"window": "transaction", "count": 1}]}),
            "value_unknown",
            "limits[0].count",
        ),
        (
            limit("time_zone", json!("Mars/Base")),
            "time_zone_unknown",
            "limits[0].time_zone",
        ),
        (
            limit("id", json!("ctl_0000000000001")),
            "id_malformed",
            "limits[0].id",
        ),
        (limit("id", json!("mine")), "id_malformed", "limits[0].id"),
        (
            limit("filter", json!({"merchant": ["m"]})),
            "field_unknown",
            "limits[0].filter.merchant",
        ),
        (
            limit("filter", json!({"mcc": ["73"]})),
            "mcc_invalid",
            "limits[0].filter.mcc[0]",
        ),
        (limit("color", json!(1)), "field_unknown", "limits[0].color"),
        (json!({"limits": many(21)}), "too_many", "limits"),
        (
            json!({"limits": [same, same]}),
            "id_repeated",
            "limits[1].id",
        ),
        (json!({"limits": [7]}), "type_invalid", "limits[0]"),
        (json!({"limits": {}}), "type_invalid", "limits"),
        (json!({"mcc": {}}), "list_invalid", "mcc"),
        (json!({"mcc": {"allow": []}}), "list_invalid", "mcc"),
        (
            json!({"mcc": {"allow": ["7311"], "block": ["7995"]}}),
            "list_invalid",
            "mcc",
        ),
        (
            json!({"mcc": {"allow": [7311]}}),
            "mcc_invalid",
            "mcc.allow[0]",
        ),
        (
            json!({"mcc": {"block": ["7995", "73111"]}}),
            "mcc_invalid",
            "mcc.block[1]",
        ),
        (json!({"mcc": {"block": mccs}}), "too_many", "mcc.block"),
        (
            json!({"countries": {"block": ["USA"]}}),
            "country_unknown",
            "countries.block[0]",
        ),
        (
            json!({"countries": {"block": ["840"]}}),
            "country_unknown",
            "countries.block[0]",
        ),
        (
            json!({"countries": {"block": ["us"]}}),
            "country_unknown",
            "countries.block[0]",
        ),
        (
            json!({"countries": {"block": ["QQ"]}}),
            "country_unknown",
            "countries.block[0]",
        ),
        (
            json!({"countries": {"deny": ["US"]}}),
            "field_unknown",
            "countries.deny",
        ),
        (
            json!({"currencies": {"allow": ["XYZ"]}}),
            "currency_unknown",
            "currencies.allow[0]",
        ),
        (json!({"speed": 1}), "field_unknown", "speed"),
        (
            json!({"mcc": {"block": ["casinos"]}}),
            "mcc_invalid",
            "mcc.block[0]",
        ),
        (
            json!({"mcc": {"block": ["mccg_0000000000001"]}}),
            "mcc_invalid",
            "mcc.block[0]",
        ),
        (
            json!({"merchants": {"block": [{"list": "mlst_0000000000001"}]}}),
            "merchant_list_unknown",
            "merchants.block[0].list",
        ),
        (json!({"three_ds": "always"}), "value_unknown", "three_ds"),
        (json!({"three_ds": true}), "value_unknown", "three_ds"),
        (json!({"three_ds": {}}), "field_missing", "three_ds.policy"),
        (
            json!({"three_ds": {"policy": "silent", "above": 1}}),
            "value_unknown",
            "three_ds.above",
        ),
        (
            json!({"three_ds": {"policy": "off", "accepted_exemptions": ["low_value"]}}),
            "value_unknown",
            "three_ds.accepted_exemptions",
        ),
        (
            json!({"three_ds": {"policy": "required", "above": -1}}),
            "number_invalid",
            "three_ds.above",
        ),
        (
            json!({"three_ds": {"policy": "required", "accepted_exemptions": ["none"]}}),
            "value_unknown",
            "three_ds.accepted_exemptions[0]",
        ),
        (
            json!({"three_ds": {"policy": "required", "id": "ctl_1"}}),
            "field_unknown",
            "three_ds.id",
        ),
    ];
    for (controls, code, param) in cases.into_iter().chain(wrong_merchants_and_hours()) {
        let body = json!({"account_id": account_id, "controls": controls});
        let answer = client.post("/v1/cards", body);
        let param = format!("controls.{param}");
        let param = param.trim_end_matches('.');
        assert_error(&answer, (400, "invalid_request", code, Some(param)), param);
    }
}

/// Controls, and for each the code and the place.
fn wrong_merchants_and_hours() -> Vec<(serde_json::Value, &'static str, &'static str)> {
    let limit = |name: &str, value: serde_json::Value| {
        let mut limit = json!({"window": "rolling", "window_seconds": 3_600, "amount": 1});
        limit[name] = value;
        json!({ "limits": [limit] })
    };
    let allow = |entry: serde_json::Value| json!({"merchants": {"allow": [entry]}});
    let hours = |window: serde_json::Value| json!({ "time_windows": [window] });
    let many = vec![json!({"id": "M1"}); 201];
    let seconds = "limits[0].window_seconds";
    let merchant = "merchants.allow[0]";
    vec![
        (
            limit("window_seconds", json!(null)),
            "field_missing",
            seconds,
        ),
        (
            limit("window_seconds", json!(59)),
            "number_invalid",
            seconds,
        ),
        (
            limit("window_seconds", json!(2_678_401)),
            "number_invalid",
            seconds,
        ),
        (limit("window", json!("day")), "value_unknown", seconds),
        (
            limit("filter", json!({"kinds": ["purchase", "theft"]})),
            "value_unknown",
            "limits[0].filter.kinds[1]",
        ),
        (
            limit("filter", json!({"countries": ["USA"]})),
            "country_unknown",
            "limits[0].filter.countries[0]",
        ),
        (
            limit("filter", json!({"channels": [7]})),
            "value_unknown",
            "limits[0].filter.channels[0]",
        ),
        (
            limit("filter", json!({"merchant_ids": ["M1 "]})),
            "merchant_id_invalid",
            "limits[0].filter.merchant_ids[0]",
        ),
        (
            json!({"channels": {"block": ["atm", "shop"]}}),
            "value_unknown",
            "channels.block[1]",
        ),
        (json!({"entry_modes": {}}), "list_invalid", "entry_modes"),
        (
            json!({"entry_modes": {"allow": ["telepathy"]}}),
            "value_unknown",
            "entry_modes.allow[0]",
        ),
        (json!({"merchants": {}}), "list_invalid", "merchants"),
        (
            json!({"merchants": {"allow": many}}),
            "too_many",
            "merchants.allow",
        ),
        (allow(json!("M1")), "type_invalid", merchant),
        (allow(json!({})), "merchant_invalid", merchant),
        (
            allow(json!({"acquirer_id": "1"})),
            "merchant_invalid",
            merchant,
        ),
        (
            allow(json!({"id": "M1", "name": "SHOP"})),
            "merchant_invalid",
            merchant,
        ),
        (
            allow(json!({"id": "M234567890123456"})),
            "merchant_id_invalid",
            "merchants.allow[0].id",
        ),
        (
            allow(json!({"id": "M1", "acquirer_id": "12a"})),
            "acquirer_id_invalid",
            "merchants.allow[0].acquirer_id",
        ),
        (
            allow(json!({"name": "A".repeat(41)})),
            "text_invalid",
            "merchants.allow[0].name",
        ),
        (json!({"time_windows": {}}), "type_invalid", "time_windows"),
        (
            json!({"mcc": {"id": "ctl_0000000000001", "block": ["7995"]},
                   "channels": {"id": "ctl_0000000000001", "block": ["atm"]}}),
            "id_repeated",
            "",
        ),
        (
            hours(json!({"from": "8:00"})),
            "time_invalid",
            "time_windows[0].from",
        ),
        (
            hours(json!({"from": "24:00"})),
            "time_invalid",
            "time_windows[0].from",
        ),
        (
            hours(json!({"to": "24:01"})),
            "time_invalid",
            "time_windows[0].to",
        ),
        (
            hours(json!({"to": "12:60"})),
            "time_invalid",
            "time_windows[0].to",
        ),
        (
            hours(json!({"from": "08:00", "to": "08:00"})),
            "time_window_empty",
            "time_windows[0].to",
        ),
        (
            hours(json!({"days": ["monday"]})),
            "value_unknown",
            "time_windows[0].days[0]",
        ),
        (
            hours(json!({"time_zone": "Mars/Base"})),
            "time_zone_unknown",
            "time_windows[0].time_zone",
        ),
        (json!({"single_use": "yes"}), "type_invalid", "single_use"),
        (json!({"merchant_lock": 1}), "type_invalid", "merchant_lock"),
    ]
}

#[test]
fn wrong_cards_and_accounts_name_the_field() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let link = json!({"type": "project", "id": "p1"});
    let cards = [
        (json!({}), 400, "field_missing", "account_id"),
        (
            json!({"account_id": "acct_1"}),
            400,
            "id_malformed",
            "account_id",
        ),
        (json!({"account_id": 5}), 400, "id_malformed", "account_id"),
        (
            json!({"account_id": "acct_0000000000001"}),
            404,
            "account_not_found",
            "account_id",
        ),
        (
            json!({"account_id": account_id, "type": "metal"}),
            400,
            "value_unknown",
            "type",
        ),
        (
            json!({"account_id": account_id, "funding": "none"}),
            400,
            "value_unknown",
            "funding",
        ),
        (
            json!({"account_id": account_id, "links": [{"type": "project"}]}),
            400,
            "field_missing",
            "links[0].id",
        ),
        (
            json!({"account_id": account_id, "links": [{"type": "A b", "id": "1"}]}),
            400,
            "link_type_invalid",
            "links[0].type",
        ),
        (
            json!({"account_id": account_id, "links": [{"type": "project", "id": 1}]}),
            400,
            "type_invalid",
            "links[0].id",
        ),
        (
            json!({"account_id": account_id, "links": [{"type": "project", "id": "1", "x": 1}]}),
            400,
            "field_unknown",
            "links[0].x",
        ),
        (
            json!({"account_id": account_id, "links": [link, link]}),
            400,
            "link_repeated",
            "links[1]",
        ),
        (
            json!({"account_id": account_id, "links": vec![link.clone(); 11]}),
            400,
            "too_many",
            "links",
        ),
        (
            json!({"account_id": account_id, "status": "active"}),
            400,
            "field_unknown",
            "status",
        ),
    ];
    for (body, status, code, param) in cards {
        let error_type = if status == 404 {
            "not_found"
        } else {
            "invalid_request"
        };
        let answer = client.post("/v1/cards", body);
        assert_error(&answer, (status, error_type, code, Some(param)), param);
    }
    let accounts = [
        (
            json!({"currency": "USD"}),
            400,
            "field_missing",
            "program_id",
        ),
        (
            json!({"program_id": "prog_0000000000001"}),
            404,
            "program_not_found",
            "program_id",
        ),
        (
            json!({"program_id": program_id, "parent_id": "acct_0000000000001"}),
            404,
            "account_not_found",
            "parent_id",
        ),
        (
            json!({"program_id": program_id, "currency": "dollars"}),
            400,
            "currency_unknown",
            "currency",
        ),
        (
            json!({"program_id": program_id, "posted": 5}),
            400,
            "field_unknown",
            "posted",
        ),
    ];
    for (body, status, code, param) in accounts {
        let error_type = if status == 404 {
            "not_found"
        } else {
            "invalid_request"
        };
        let answer = client.post("/v1/accounts", body);
        assert_error(&answer, (status, error_type, code, Some(param)), param);
    }
    let card_id = client.card(&account_id);
    let path = format!("/v1/cards/{card_id}");
    let answer = client.patch(&path, json!({}));
    assert_error(
        &answer,
        (400, "invalid_request", "field_missing", Some("controls")),
        "patch",
    );
    let answer = client.patch(&path, json!({"status": "frozen"}));
    assert_error(
        &answer,
        (400, "invalid_request", "field_unknown", Some("status")),
        "patch",
    );
    let answer = client.post(&format!("{path}/freeze"), json!({"reason": "lost"}));
    assert_error(
        &answer,
        (400, "invalid_request", "field_unknown", Some("reason")),
        "freeze",
    );
}

#[test]
fn wrong_top_ups_are_refused_and_move_nothing() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let path = format!("/v1/accounts/{account_id}/top_ups");
    let right = json!({"amount": BALANCE_MAX_MINOR, "currency": "USD", "method": "sepa"});
    client.post(&path, right.clone()).created();
    let cases = [
        ("amount", json!(0), 400, "number_invalid"),
        ("amount", json!(-1), 400, "number_invalid"),
        (
            "amount",
            json!(BALANCE_MAX_MINOR + 1),
            400,
            "number_invalid",
        ),
        ("amount", json!(0.5), 400, "number_invalid"),
        ("amount", json!(null), 400, "field_missing"),
        ("amount", json!(1), 409, "amount_out_of_range"),
        ("currency", json!("EUR"), 409, "currency_mismatch"),
        ("method", json!("cash"), 400, "value_unknown"),
        ("method", json!(null), 400, "field_missing"),
        (
            "external_reference",
            json!("x".repeat(141)),
            400,
            "text_invalid",
        ),
        ("status", json!("settled"), 400, "field_unknown"),
    ];
    for (field, value, status, code) in cases {
        let mut body = right.clone();
        body[field] = value;
        let error = client.post(&path, body).error();
        assert_eq!(
            (error.0, error.2.as_str(), error.3.as_deref()),
            (status, code, Some(field))
        );
    }
    let account = client.get(&format!("/v1/accounts/{account_id}")).ok();
    assert_eq!(account["posted"], json!(BALANCE_MAX_MINOR));
    let gone = client.post("/v1/accounts/acct_0000000000001/top_ups", right);
    assert_eq!(
        (gone.error().0, gone.error().2.as_str()),
        (404, "account_not_found")
    );
}

#[test]
fn overload_and_a_full_disk_are_503_and_retryable() {
    let options = Options {
        queues: cardswitch::shard::inbox::QueueSettings {
            ordinary_max: 0,
            reserved: 1,
        },
        ..Options::default()
    };
    let switch = Switch::start_on(Disk::new(), options);
    let body = json!({"name": "Ads", "network": "visa", "bin": "411111", "currency": "USD"});
    let client = switch.client().header("Idempotency-Key", "k");
    let answer = client.post("/v1/programs", body);
    assert_error(
        &answer,
        (503, "unavailable", "overloaded", None),
        "overload",
    );
    assert_eq!(answer.header("Retry-After"), Some("1"));
    drop(switch);
}

#[test]
fn tables_of_rates_that_are_none() {
    let switch = Switch::start();
    let client = switch.client();
    let table = |rates: serde_json::Value| json!({"source": "ECB", "rates": rates});
    let one = |rate: serde_json::Value| table(json!([{"from": "EUR", "to": "USD", "rate": rate}]));
    let euro = || json!({"from": "EUR", "to": "USD", "rate": "1.10"});
    let many: Vec<_> = (0..1_001).map(|_| euro()).collect();
    let first_rate = Some("rates[0].rate");
    let cases = [
        (json!({"rates": []}), "field_missing", Some("source")),
        (json!({"source": "ECB"}), "field_missing", Some("rates")),
        (
            json!({"source": "ECB", "rates": null}),
            "field_missing",
            Some("rates"),
        ),
        (
            json!({"source": "", "rates": []}),
            "text_invalid",
            Some("source"),
        ),
        (table(json!({})), "type_invalid", Some("rates")),
        (table(json!(["EURUSD"])), "type_invalid", Some("rates[0]")),
        (
            table(json!([{"to": "USD", "rate": "1"}])),
            "field_missing",
            Some("rates[0].from"),
        ),
        (
            table(json!([{"from": "XXX", "to": "USD", "rate": "1"}])),
            "currency_unknown",
            Some("rates[0].from"),
        ),
        (
            table(json!([{"from": "EUR", "rate": "1"}])),
            "field_missing",
            Some("rates[0].to"),
        ),
        (
            table(json!([{"from": "EUR", "to": "USD"}])),
            "field_missing",
            first_rate,
        ),
        (
            table(json!([{"from": "Euro", "to": "USD", "rate": "1"}])),
            "currency_unknown",
            Some("rates[0].from"),
        ),
        (
            table(json!([{"from": "EUR", "to": "USD", "rate": "1", "date": "now"}])),
            "field_unknown",
            Some("rates[0].date"),
        ),
        (one(json!(1.0833)), "type_invalid", first_rate),
        (one(json!("1,0833")), "rate_invalid", first_rate),
        (one(json!("-1.0833")), "rate_invalid", first_rate),
        (one(json!("1e3")), "rate_invalid", first_rate),
        (one(json!("0")), "rate_invalid", first_rate),
        (one(json!("1234567890123456")), "rate_invalid", first_rate),
        (table(json!([euro(), euro()])), "rate_twice", Some("rates")),
        (
            table(json!([{"from": "EUR", "to": "EUR", "rate": "1"}])),
            "rate_invalid",
            Some("rates"),
        ),
        (table(json!(many)), "too_many", Some("rates")),
        (
            json!({"source": "ECB", "rates": [], "version": 3}),
            "field_unknown",
            Some("version"),
        ),
    ];
    for (body, code, param) in cases {
        let answer = client.put("/v1/exchange_rates", body.clone());
        let expected = (400, "invalid_request", code, param);
        assert_error(&answer, expected, &body.to_string());
    }
    let table = client.get("/v1/exchange_rates").ok();
    assert_eq!(
        (&table["version"], &table["rates"]),
        (&json!(null), &json!([]))
    );
    let answer = client.post("/v1/exchange_rates", json!({}));
    assert_eq!(answer.status, 405);
}

#[test]
fn wallets_that_are_none() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, root) = client.program_and_account();
    let stranger = client.account(&program_id);
    let sub_account = || {
        let body = json!({"program_id": program_id, "parent_id": root, "currency": "USD"});
        client.post("/v1/accounts", body).created()
    };
    let accounts: Vec<String> = (0..8).map(|_| sub_account()).collect();
    let closed = sub_account();
    let close = client.post(&format!("/v1/accounts/{closed}/close"), json!({}));
    assert_eq!(close.status, 200, "{}", close.text);
    let invalid = |code| (400, "invalid_request", code);
    let first = "wallet_account_ids[0]";
    let second = "wallet_account_ids[1]";
    let cases = [
        (
            json!(accounts[0]),
            invalid("type_invalid"),
            "wallet_account_ids",
        ),
        (json!(accounts), invalid("too_many"), "wallet_account_ids"),
        (json!([7]), invalid("id_malformed"), first),
        (
            json!(["card_0000000000001"]),
            invalid("id_malformed"),
            first,
        ),
        (json!([root]), invalid("account_repeated"), first),
        (
            json!([accounts[0], accounts[0]]),
            invalid("account_repeated"),
            second,
        ),
        (
            json!([accounts[0], "acct_0000000000001"]),
            (404, "not_found", "account_not_found"),
            second,
        ),
        (
            json!([stranger]),
            (409, "conflict", "account_of_other_tree"),
            first,
        ),
        (
            json!([accounts[0], closed]),
            (409, "conflict", "account_closed"),
            second,
        ),
    ];
    for (wallet, (status, error_type, code), param) in cases {
        let body = json!({"account_id": root, "wallet_account_ids": wallet});
        let answer = client.post("/v1/cards", body.clone());
        let expected = (status, error_type, code, Some(param));
        assert_error(&answer, expected, &body.to_string());
    }
    let seven = json!({"account_id": root, "wallet_account_ids": accounts[..7]});
    client.post("/v1/cards", seven).created();
}

/// What a stranger tries first, and what he is told to try next.
#[test]
fn messages_name_the_other_way() {
    let switch = Switch::start();
    let client = switch.client();
    let csv = "reference,amount,currency\nW1,100,USD\n";
    let form = "application/x-www-form-urlencoded";
    let (json, payments) = ("application/json", "/v1/incoming_payments");
    let freeze = "/v1/links/project/p1/freeze?program_id=prog_0000000000001";
    let words = "purchase, cash_withdrawal";
    let of_kind = r#"{"card_id": "card_0000000000001", "kind": "other"}"#;
    let mut wrong = Vec::new();
    for (path, media_type, body, status, param, says) in [
        (
            "/v1/cards",
            json,
            "{}",
            400,
            Some("account_id"),
            "or program_id",
        ),
        (
            "/v1/api_keys",
            json,
            r#"{"name": "n"}"#,
            400,
            Some("scopes"),
            "or a preset: one of owner",
        ),
        (
            freeze,
            json,
            "{}",
            400,
            Some("program_id"),
            "goes into its body",
        ),
        (payments, form, csv, 415, None, "Content-Type: text/csv"),
        (payments, json, csv, 400, None, "Content-Type: text/csv"),
        (
            "/v1/simulate/authorizations",
            json,
            of_kind,
            400,
            Some("kind"),
            words,
        ),
    ] {
        let client = client.header("Content-Type", media_type);
        let answer = client.send("POST", path, body.as_bytes());
        let told = (answer.status, answer.error().3);
        let message = answer.json()["error"]["message"].to_string();
        if told != (status, param.map(str::to_owned)) || !message.contains(says) {
            wrong.push(answer.text);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // A query of a `GET` has no body to be put into.
    let read = client.get("/v1/cards/card_0000000000001?program_id=x");
    assert!(read.text.contains("remove it"), "{}", read.text);
}

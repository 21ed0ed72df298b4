//! MCC groups and merchant lists: made, read, changed, listed, and named by controls.

use super::harness::{Answer, Switch};
use super::refusals::assert_error;
use serde_json::{Value, json};

fn made(answer: Answer) -> Value {
    answer.created();
    answer.json()
}

#[test]
fn a_group_is_made_read_changed_and_listed_before_those_of_the_program() {
    let switch = Switch::start();
    let client = switch.client();
    let body = json!({"name": "Luxury", "mcc": ["5944", "0763", "5944"]});
    let made = made(client.post("/v1/mcc_groups", body));
    let id = made["id"].as_str().unwrap().to_owned();
    let told = (&made["object"], &made["mcc"], &made["builtin"]);
    assert_eq!(
        told,
        (&json!("mcc_group"), &json!(["0763", "5944"]), &json!(false))
    );
    let path = format!("/v1/mcc_groups/{id}");
    assert_eq!(client.get(&path).ok(), made);
    let renamed = client.patch(&path, json!({"name": "Jewels"})).ok();
    assert_eq!(
        (&renamed["name"], &renamed["mcc"]),
        (&json!("Jewels"), &made["mcc"])
    );
    let changed = client.patch(&path, json!({"mcc": ["5094"]})).ok();
    assert_eq!(
        (&changed["name"], &changed["mcc"], &changed["created_at"]),
        (&json!("Jewels"), &json!(["5094"]), &made["created_at"])
    );
    let newer = client.post("/v1/mcc_groups", json!({"name": "B", "mcc": ["5411"]}));
    let newer = self::made(newer)["id"].clone();
    let ids = |list: &Value| -> Vec<Value> {
        let data = list["data"].as_array().unwrap().iter();
        data.map(|group| group["id"].clone()).collect()
    };
    let all = client.get("/v1/mcc_groups?limit=100").ok();
    assert_eq!(
        ids(&all)[..4],
        [newer, json!(id), json!("gambling"), json!("cash")]
    );
    assert_eq!(all["has_more"], false);
    let page = client
        .get(&format!("/v1/mcc_groups?starting_after={id}&limit=1"))
        .ok();
    assert_eq!(
        (ids(&page), &page["has_more"]),
        (vec![json!("gambling")], &json!(true))
    );
    let travel = client.get("/v1/mcc_groups/travel").ok();
    assert_eq!(
        (&travel["builtin"], &travel["mcc"][0]),
        (&json!(true), &json!("3000-3350"))
    );
}

#[test]
fn a_list_of_merchants_is_made_read_changed_and_listed() {
    let switch = Switch::start();
    let client = switch.client();
    let merchants =
        json!([{"name": "*CASINO*"}, {"id": "M2", "acquirer_id": "412345"}, {"id": "M1"}]);
    let body = json!({"name": "Banned", "merchants": merchants});
    let made = made(client.post("/v1/merchant_lists", body));
    let in_order =
        json!([{"id": "M1"}, {"id": "M2", "acquirer_id": "412345"}, {"name": "*CASINO*"}]);
    assert_eq!(made["merchants"], in_order);
    let path = format!("/v1/merchant_lists/{}", made["id"].as_str().unwrap());
    assert_eq!(client.get(&path).ok(), made);
    let changed = client
        .patch(&path, json!({"merchants": [{"id": "M3"}]}))
        .ok();
    assert_eq!(
        (&changed["name"], &changed["merchants"]),
        (&json!("Banned"), &json!([{"id": "M3"}]))
    );
    assert_eq!(
        client.get("/v1/merchant_lists").ok()["data"],
        json!([changed])
    );
}

#[test]
fn controls_name_groups_and_lists_and_read_back_as_they_were_written() {
    let switch = Switch::start();
    let client = switch.client();
    let group = client.post("/v1/mcc_groups", json!({"name": "A", "mcc": ["5411"]}));
    let group = made(group)["id"].clone();
    let list = json!({"name": "B", "merchants": [{"id": "M1"}]});
    let list = made(client.post("/v1/merchant_lists", list))["id"].clone();
    let (_, account_id) = client.program_and_account();
    let controls = json!({
        "mcc": {"id": "ctl_0000000000001", "block": ["7995", "gambling", group]},
        "merchants": {"id": "ctl_0000000000002", "allow": [{"list": list}, {"id": "M2"}]},
        "limits": [{"id": "lim_0000000000001", "window": "day", "amount": 5, "count": null, "time_zone": "UTC",
                    "filter": {"mcc": ["5812", "travel", group], "merchant_lists": [list]}}],
    });
    let card_id = client.card(&account_id);
    let path = format!("/v1/cards/{card_id}");
    let patched = client.patch(&path, json!({ "controls": controls })).ok();
    assert_eq!(patched["controls"], controls);
    let only_a_group = json!({"mcc": {"id": "ctl_0000000000001", "allow": ["fuel"]}});
    let patched = client.patch(&path, json!({ "controls": only_a_group }));
    assert_eq!(patched.ok()["controls"], only_a_group);
}

#[test]
fn what_is_wrong_with_a_group_or_a_list_is_named() {
    let switch = Switch::start();
    let client = switch.client();
    let codes = vec!["5411"; 1_001];
    let names: Vec<Value> = (0..201)
        .map(|number| json!({"name": format!("N{number}")}))
        .collect();
    let groups = "/v1/mcc_groups";
    let lists = "/v1/merchant_lists";
    let shared = json!({"name": "A", "merchants": [{"list": "mlst_0000000000001"}]});
    for (path, body, code, param) in [
        (groups, json!({"mcc": ["5411"]}), "field_missing", "name"),
        (groups, json!({"name": "A"}), "field_missing", "mcc"),
        (
            groups,
            json!({"name": "A", "mcc": []}),
            "nothing_named",
            "mcc",
        ),
        (
            groups,
            json!({"name": "A", "mcc": ["travel"]}),
            "mcc_invalid",
            "mcc[0]",
        ),
        (
            groups,
            json!({"name": "A", "mcc": codes}),
            "too_many",
            "mcc",
        ),
        (
            groups,
            json!({"name": "A", "mcc": ["5411"], "id": "x"}),
            "field_unknown",
            "id",
        ),
        (lists, json!({"name": "A"}), "field_missing", "merchants"),
        (
            lists,
            json!({"name": "A", "merchants": [{}]}),
            "merchant_invalid",
            "merchants[0]",
        ),
        (
            lists,
            json!({"name": "A", "merchants": names}),
            "too_many",
            "merchants",
        ),
        (lists, shared, "field_unknown", "merchants[0].list"),
    ] {
        let answer = client.post(path, body);
        assert_error(&answer, (400, "invalid_request", code, Some(param)), param);
    }
    let unknown =
        |answer: Answer, code: &str| assert_error(&answer, (404, "not_found", code, None), code);
    for id in ["mccg_0000000000001", "x"] {
        let path = format!("{groups}/{id}");
        unknown(client.get(&path), "mcc_group_not_found");
        unknown(
            client.patch(&path, json!({"name": "A"})),
            "mcc_group_not_found",
        );
    }
    unknown(
        client.get(&format!("{lists}/mlst_0000000000001")),
        "merchant_list_not_found",
    );
    let builtin = client.patch(&format!("{groups}/travel"), json!({"name": "A"}));
    assert_error(
        &builtin,
        (409, "conflict", "mcc_group_builtin", None),
        "builtin",
    );
    let made = made(client.post(groups, json!({"name": "A", "mcc": ["5411"]})));
    let path = format!("{groups}/{}", made["id"].as_str().unwrap());
    let nothing = client.patch(&path, json!({}));
    assert_error(
        &nothing,
        (400, "invalid_request", "nothing_named", None),
        "nothing",
    );
    let list = client.post(lists, json!({"name": "A", "merchants": [{"id": "M1"}]}));
    let list = format!("{lists}/{}", self::made(list)["id"].as_str().unwrap());
    for (kind, path, name) in [(groups, &path, "mcc"), (lists, &list, "merchants")] {
        for (of, code) in [(json!([]), "nothing_named"), (Value::Null, "field_missing")] {
            let answer = client.post(kind, json!({"name": "B", name: of}));
            assert_error(&answer, (400, "invalid_request", code, Some(name)), kind);
        }
        let answer = client.patch(path, json!({"name": "B", name: []}));
        let expected = (400, "invalid_request", "nothing_named", Some(name));
        assert_error(&answer, expected, path);
    }
    let cursor = client.get(&format!("{groups}?starting_after=nobody"));
    let expected = (
        400,
        "invalid_request",
        "cursor_unknown",
        Some("starting_after"),
    );
    assert_error(&cursor, expected, "cursor");
}

#[test]
fn a_repeat_under_the_same_key_makes_no_second_group() {
    let switch = Switch::start();
    let client = switch.client();
    let keyed = client.header("Idempotency-Key", "k1");
    let body = json!({"name": "A", "mcc": ["5411"]});
    let first = made(keyed.post("/v1/mcc_groups", body.clone()));
    let again = made(keyed.post("/v1/mcc_groups", body));
    assert_eq!(first, again);
    assert_eq!(
        client.get("/v1/mcc_groups?limit=2").ok()["data"][1]["id"],
        "gambling"
    );
}

#[test]
fn the_names_of_the_groups_that_come_with_the_program_are_taken() {
    let switch = Switch::start();
    let client = switch.client();
    let taken = (409, "conflict", "group_name_taken", Some("name"));
    let answer = client.post(
        "/v1/mcc_groups",
        json!({"name": "gambling", "mcc": ["5411"]}),
    );
    assert_error(&answer, taken, "made");
    let made = client.post(
        "/v1/mcc_groups",
        json!({"name": "Gambling too", "mcc": ["5411"]}),
    );
    let path = format!("/v1/mcc_groups/{}", made.created());
    assert_error(
        &client.patch(&path, json!({"name": "quasi_cash"})),
        taken,
        "renamed",
    );
}

//! What is set on an account after it was opened: name, controls, credit line, low balance, auto top-up.

use super::authorizations::{carry_out, request};
use super::harness::{Client, Options, Switch};
use super::keys::with_key;
use super::refusals::assert_error;
use super::transfers::{account, posted, top_up};
use cardswitch::engine::command::Action;
use serde_json::{Value, json};

fn set(client: &Client, account_id: &str, body: Value) -> Value {
    client
        .patch(&format!("/v1/accounts/{account_id}"), body)
        .ok()
}

#[test]
fn what_is_named_is_replaced_and_the_rest_stays() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let controls = json!({"mcc": {"id": "ctl_0000000000001", "block": ["7995"]}});
    let changed = set(
        &client,
        &account_id,
        json!({"name": "other", "controls": controls, "credit_line": 500}),
    );
    assert_eq!(
        [
            &changed["name"],
            &changed["controls"],
            &changed["credit_line"],
            &changed["available"]
        ],
        [&json!("other"), &controls, &json!(500), &json!(500)]
    );
    assert_eq!(account(&client, &account_id), changed);
    let changed = set(&client, &account_id, json!({"low_balance": {"below": 100}}));
    assert_eq!(changed["name"], "other");
    assert_eq!(
        changed["low_balance"],
        json!({"below": 100, "is_low": false})
    );
    let changed = set(
        &client,
        &account_id,
        json!({"low_balance": {}, "controls": {}}),
    );
    assert_eq!(
        [&changed["low_balance"], &changed["controls"]],
        [&Value::Null, &json!({})]
    );
    switch.projected();
    let listed = client.get("/v1/accounts").ok();
    assert_eq!(listed["data"][0]["name"], "other");
}

#[test]
fn a_credit_line_and_an_auto_top_up_are_set_when_an_account_is_opened_too() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, master) = client.program_and_account();
    top_up(&client, &master, 1_000);
    let body = json!({"program_id": program, "parent_id": master, "credit_line": 70,
                      "auto_top_up": {"below": 100, "amount": 40, "per_day": 3}});
    let made = client.post("/v1/accounts", body);
    let id = made.created();
    assert_eq!(made.json()["credit_line"], json!(70));
    let rule = json!({"below": 100, "amount": 40, "per_day": 3, "from_account_id": null});
    assert_eq!(made.json()["auto_top_up"], rule);
    // Of before anything was moved; 70 of its own and 40 from its parent are enough.
    assert_eq!(made.json()["posted"], 0);
    assert_eq!((posted(&client, &id), posted(&client, &master)), (40, 960));
    switch.projected();
    let transfers = client.get(&format!("/v1/transfers?account_id={id}")).ok();
    assert_eq!(transfers["data"].as_array().unwrap().len(), 1);
    let one = &transfers["data"][0];
    assert_eq!(
        [&one["status"], &one["amount"]],
        [&json!("settled"), &json!(40)]
    );
    let path = format!("/v1/transfers/{}", one["id"].as_str().unwrap());
    assert_eq!(client.get(&path).ok(), *one);
}

/// To open an account and to set what it has are two records: the journal is cut after each in turn.
#[test]
fn an_account_with_settings_that_was_cut_off_is_finished_by_its_repeat() {
    const SETTINGS: [&str; 3] = ["credit_line", "low_balance", "auto_top_up"];
    let switch = Switch::start();
    let client = switch.client();
    let (program, master) = client.program_and_account();
    top_up(&client, &master, 1_000);
    let body = json!({"program_id": program, "parent_id": master, "credit_line": 70, "low_balance": {"below": 10},
                      "auto_top_up": {"below": 100, "amount": 40, "per_day": 3}});
    let open = |client: &Client| {
        let client = client.header("Idempotency-Key", "k");
        client.post("/v1/accounts", body.clone())
    };
    let before = switch.journal.durable();
    let first = open(&client);
    let id = first.created();
    let after = switch.journal.durable();
    assert!(
        after - before >= 5,
        "begin, open, change, audit, complete; and what the rule moves"
    );
    for kept in before..=after {
        let cut = Switch::start_on(switch.disk.cut_after(kept), Options::default());
        let client = cut.client();
        let again = open(&client);
        let made = again.created();
        assert_eq!(made == id, kept > before, "{kept} records kept");
        let now = account(&client, &made);
        for field in SETTINGS {
            assert_eq!(again.json()[field], first.json()[field], "{kept}: {field}");
            assert_eq!(now[field], first.json()[field], "{kept}: {field}");
        }
        let posted = [&made, &master].map(|id| posted(&client, id));
        assert_eq!(posted, [40, 960], "{kept} records kept");
        assert_eq!(open(&client).text, again.text, "{kept} records kept");
    }
}

#[test]
fn an_account_whose_settings_are_refused_is_not_opened() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, master) = client.program_and_account();
    let (_, elsewhere) = client.program_and_account();
    let rule = |from: Option<&str>| json!({"below": 100, "amount": 40, "per_day": 3, "from_account_id": from});
    let nowhere = "acct_000000000000z";
    for (parent, from) in [
        (None, None),
        (None, Some(&*master)),
        (Some(&master), Some(&*elsewhere)),
        (Some(&master), Some(nowhere)),
    ] {
        let body = json!({"program_id": program, "parent_id": parent, "auto_top_up": rule(from)});
        let (status, _, code, param) = client.post("/v1/accounts", body).error();
        assert_eq!((status, &*code), (409, "auto_top_up_without_source"));
        assert_eq!(param.as_deref(), Some("auto_top_up.from_account_id"));
    }
    switch.projected();
    let known = client.get("/v1/accounts").ok();
    assert_eq!(known["data"].as_array().unwrap().len(), 2, "{known}");
}

#[test]
fn a_payment_that_takes_an_account_below_its_rule_has_it_topped_up_until_the_day_is_full() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, master) = client.program_and_account();
    top_up(&client, &master, 100);
    let body = json!({"program_id": program, "parent_id": master});
    let id = client.post("/v1/accounts", body).created();
    top_up(&client, &id, 50);
    set(
        &client,
        &id,
        json!({"low_balance": {"below": 20}, "auto_top_up": {"below": 30, "amount": 60, "per_day": 2}}),
    );
    assert_eq!(posted(&client, &id), 50);
    let card = client.card(&id);
    for (amount, posted_after, low) in [(25, 110, false), (60, 150, false), (60, 150, true)] {
        let payment = request(&switch, &card, amount);
        carry_out(&switch, master.parse().unwrap(), Action::Authorize(payment));
        let now = account(&client, &id);
        assert_eq!(now["posted"], json!(posted_after), "{now}");
        assert_eq!(now["low_balance"]["is_low"], json!(low), "{now}");
    }
    assert_eq!(posted(&client, &master), 0);
}

#[test]
fn raising_a_credit_line_needs_its_own_scope() {
    let switch = Switch::start();
    let root = switch.client();
    let (program, account_id) = root.program_and_account();
    let scopes = json!(["limits:write", "accounts:write", "accounts:read"]);
    let writer = with_key(&root, json!({"name": "w", "scopes": scopes}));
    let path = format!("/v1/accounts/{account_id}");
    let expected = (403, "permission", "scope_missing", Some("limits:raise"));
    assert_error(
        &writer.patch(&path, json!({"credit_line": 1})),
        expected,
        "raised",
    );
    let body = json!({"program_id": program, "credit_line": 1});
    assert_error(&writer.post("/v1/accounts", body), expected, "opened");
    set(&root, &account_id, json!({"credit_line": 100}));
    assert_eq!(
        set(&writer, &account_id, json!({"credit_line": 40}))["credit_line"],
        40
    );
    assert_error(
        &writer.patch(&path, json!({"credit_line": 41})),
        expected,
        "again",
    );
    // Looser controls are raised as well.
    set(
        &root,
        &account_id,
        json!({"controls": {"mcc": {"block": ["7995"]}}}),
    );
    assert_error(
        &writer.patch(&path, json!({"controls": {}})),
        expected,
        "controls",
    );
}

#[test]
fn what_cannot_be_set_is_refused() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, account_id) = client.program_and_account();
    let other = client.account(&program);
    let path = format!("/v1/accounts/{account_id}");
    let beneath = json!({"program_id": program, "parent_id": account_id,
                         "auto_top_up": {"below": 1, "amount": 1, "per_day": 1}});
    let beneath = client.post("/v1/accounts", beneath).created();
    let rule = |name: &str, value: Value| {
        let mut rule = json!({"below": 1, "amount": 1, "per_day": 1});
        rule[name] = value;
        json!({ "auto_top_up": rule })
    };
    let bad = (400, "invalid_request");
    for (body, (status, kind), code, param) in [
        (json!({}), bad, "nothing_named", ""),
        (
            json!({"credit_line": -1}),
            bad,
            "number_invalid",
            "credit_line",
        ),
        (
            json!({"low_balance": 5}),
            bad,
            "type_invalid",
            "low_balance",
        ),
        (
            json!({"low_balance": {"above": 5}}),
            bad,
            "field_unknown",
            "low_balance.above",
        ),
        (
            rule("amount", json!(0)),
            bad,
            "number_invalid",
            "auto_top_up.amount",
        ),
        (
            rule("amount", Value::Null),
            bad,
            "field_missing",
            "auto_top_up.amount",
        ),
        (
            rule("per_day", json!(101)),
            bad,
            "number_invalid",
            "auto_top_up.per_day",
        ),
        (
            rule("below", json!(2)),
            (409, "conflict"),
            "auto_top_up_without_source",
            "auto_top_up.from_account_id",
        ),
        (
            rule("from_account_id", json!(other)),
            (409, "conflict"),
            "auto_top_up_without_source",
            "auto_top_up.from_account_id",
        ),
        (
            rule("from_account_id", json!(beneath)),
            (409, "conflict"),
            "auto_top_up_circular",
            "auto_top_up.from_account_id",
        ),
        (json!({"currency": "EUR"}), bad, "field_unknown", "currency"),
    ] {
        let told = client.patch(&path, body.clone());
        let param = Some(param).filter(|param| !param.is_empty());
        assert_error(&told, (status, kind, code, param), &body.to_string());
    }
    let before = account(&client, &account_id);
    assert_eq!(
        [&before["credit_line"], &before["auto_top_up"]],
        [&json!(0), &Value::Null]
    );
    let gone = client.patch("/v1/accounts/acct_0000000000001", json!({"name": "x"}));
    assert_error(
        &gone,
        (404, "not_found", "account_not_found", None),
        "nobody",
    );
    for id in [&beneath, &account_id] {
        let path = format!("/v1/accounts/{id}/close");
        client.send("POST", &path, b"").ok();
    }
    let closed = client.patch(&path, json!({"name": "x"}));
    assert_error(
        &closed,
        (409, "conflict", "account_status_forbids", None),
        "closed",
    );
}

#[test]
fn a_rule_moves_money_only_where_its_key_may_and_sees() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, root) = client.program_and_account();
    top_up(&client, &root, 10_000);
    let under = |parent: &str| {
        let body = json!({"program_id": program, "parent_id": parent});
        client.post("/v1/accounts", body).created()
    };
    let (own, sibling) = (under(&root), under(&root));
    let beneath = under(&own);
    let key = |scopes: &[&str]| {
        let scopes = [&["accounts:read", "limits:write"], scopes].concat();
        with_key(
            &client,
            json!({"name": "bound", "scopes": scopes, "account_ids": [own]}),
        )
    };
    let (without, with) = (key(&[]), key(&["funds:transfer"]));
    let rule = |from: &Value| json!({"auto_top_up": {"below": 5_000, "amount": 5_000, "per_day": 1, "from_account_id": from}});
    let path = format!("/v1/accounts/{own}");
    for from in [json!(null), json!(sibling)] {
        let (status, _, code, _) = without.patch(&path, rule(&from)).error();
        assert_eq!((status, &*code), (403, "scope_missing"), "{from}");
        let (status, _, code, param) = with.patch(&path, rule(&from)).error();
        let param = param.as_deref();
        assert_eq!(
            (status, &*code, param),
            (
                404,
                "account_not_found",
                Some("auto_top_up.from_account_id")
            ),
            "{from}"
        );
    }
    let opener = with_key(
        &client,
        json!({"name": "opener", "scopes": ["accounts:write"], "account_ids": [own]}),
    );
    let mut below = rule(&json!(null));
    (below["program_id"], below["parent_id"]) = (json!(program), json!(own));
    let (status, _, code, _) = opener.post("/v1/accounts", below).error();
    assert_eq!((status, &*code), (403, "scope_missing"), "opened with one");
    assert_eq!(posted(&client, &own), 0);
    // From what it sees to what it sees: its own account, which gets the money that there is.
    let beneath = format!("/v1/accounts/{beneath}");
    with.patch(&beneath, rule(&json!(null))).ok();
    // Who may not transfer may leave the rule as it is, and take it away.
    without.patch(&beneath, rule(&json!(null))).ok();
    let told = without.patch(&beneath, json!({"auto_top_up": {}})).ok();
    assert_eq!(told["auto_top_up"], Value::Null);
}

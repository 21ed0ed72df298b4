//! By whose controls a payment was declined: which link, which account. The same in the authorization, in lists and in events;
//! and in what is left of each limit.

use super::harness::{Client, Switch};
use super::keys::with_key;
use serde_json::{Value, json};

const LINK: [&str; 2] = ["project", "p1"];

fn funded(client: &Client, account: &str) {
    let top_up = json!({"amount": 100_000, "currency": "USD", "method": "internal"});
    let path = format!("/v1/accounts/{account}/top_ups");
    client.post(&path, top_up).created();
}

/// A payment that the card's network asks for, as it is told afterwards.
fn pay(client: &Client, card: &str, more: Value) -> Value {
    let mut body = json!({"card_id": card, "amount": 100, "currency": "USD"});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let id = client.post("/v1/simulate/authorizations", body).created();
    client.get(&format!("/v1/authorizations/{id}")).ok()
}

/// The reason of a decline, and what the step that decided says of whose controls it was by.
fn by_whom(told: &Value) -> Value {
    let decision = &told["decision"];
    let steps = told["trace"].as_array().unwrap();
    let decided = |step: &&Value| step["step"] == decision["step"] && step["result"] == "fail";
    let detail = &steps.iter().find(decided).expect("a step failed")["detail"];
    let named = [
        "scope",
        "link",
        "account_id",
        "levels_above",
        "locked_to",
        "used_by",
    ];
    let named = named.iter().filter(|name| !detail[*name].is_null());
    let named: serde_json::Map<String, Value> = named
        .map(|name| (name.to_string(), detail[*name].clone()))
        .collect();
    json!([decision["reason"], named])
}

/// The same of everything that was declined, as events and as the list have it.
fn told_elsewhere(switch: &Switch, client: &Client) -> [Vec<Value>; 2] {
    switch.projected();
    let events = client.get("/v1/events?limit=100").ok();
    let events = events["data"].as_array().unwrap().iter();
    let events = events.map(|event| by_whom(&event["data"]["authorization"]));
    let listed = client
        .get("/v1/authorizations?result=declined&limit=100")
        .ok();
    let listed = listed["data"].as_array().unwrap().iter().rev();
    [events.collect(), listed.map(by_whom).collect()]
}

fn subscribe(client: &Client, event: &str) {
    let body = json!({"events": [event]});
    client.post("/v1/webhook_endpoints", body).created();
}

#[test]
fn a_decline_by_any_control_of_a_link_names_the_link() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account) = client.program_and_account();
    funded(&client, &account);
    let links = json!([{"type": "user", "id": "u1"}, {"type": LINK[0], "id": LINK[1]}]);
    let card = json!({"account_id": account, "links": links});
    let card = client.post("/v1/cards", card).created();
    subscribe(&client, "authorization.declined");
    let merchant = |name: &str, value: &str| {
        let mut merchant = json!({"id": "M1", "mcc": "5999", "country": "US"});
        merchant[name] = value.into();
        json!({ "merchant": merchant })
    };
    // Twelve hours from now, for an hour.
    let now = pay(&client, &card, json!({}))["created_at"].to_string();
    let hour: u32 = now[12..14].parse().unwrap();
    let [from, to] = [12, 13].map(|later| format!("{:02}:00", (hour + later) % 24));
    let closed = json!([{"from": from, "to": to}]);
    let cases = [
        (
            json!({"limits": [{"window": "transaction", "amount": 99}]}),
            json!({}),
            "per_transaction_limit_exceeded",
        ),
        (
            json!({"limits": [{"window": "day", "count": 1}]}),
            json!({}),
            "",
        ),
        (
            json!({"mcc": {"block": ["7995"]}}),
            merchant("mcc", "7995"),
            "mcc_blocked",
        ),
        (
            json!({"countries": {"block": ["FR"]}}),
            merchant("country", "FR"),
            "country_blocked",
        ),
        (
            json!({"home_country_only": true}),
            json!({}),
            "country_not_allowed",
        ),
        (
            json!({"currencies": {"allow": ["EUR"]}}),
            json!({}),
            "currency_not_allowed",
        ),
        (
            json!({"merchants": {"allow": [{"id": "M2"}]}}),
            merchant("id", "M1"),
            "merchant_not_allowed",
        ),
        (
            json!({"channels": {"block": ["ecommerce"]}}),
            json!({}),
            "channel_blocked",
        ),
        (
            json!({"entry_modes": {"block": ["ecommerce"]}}),
            json!({}),
            "entry_mode_blocked",
        ),
        (
            json!({"time_windows": closed}),
            json!({}),
            "outside_time_window",
        ),
        (
            json!({"three_ds": "required"}),
            json!({}),
            "three_ds_required",
        ),
    ];
    // Another object of the card has controls too, which let everything pass.
    let other = json!({"controls": {"mcc": {"block": ["0742"]}, "limits": [{"window": "day", "amount": 90_000}]}});
    client.put("/v1/links/user/u1", other).ok();
    let path = format!("/v1/links/{}/{}", LINK[0], LINK[1]);
    let link = json!({"scope": "link", "link": {"type": LINK[0], "id": LINK[1]}});
    let mut expected = Vec::new();
    for (controls, payment, reason) in cases {
        client.put(&path, json!({"controls": controls})).ok();
        let mut told = pay(&client, &card, payment.clone());
        let mut reason = reason;
        if reason.is_empty() {
            // The one that the limit lets through, and the next.
            assert_eq!(told["decision"]["result"], "approved", "{told}");
            let steps = told["trace"].as_array().unwrap().iter();
            let passed = steps.filter(|step| step["step"] == "limits");
            let passed: Vec<_> = passed
                .map(|step| step["detail"]["link"]["id"].clone())
                .collect();
            assert_eq!(passed, ["u1", "p1"]);
            told = pay(&client, &card, payment);
            reason = "velocity_count_exceeded";
        }
        assert_eq!(by_whom(&told), json!([reason, link]));
        expected.push(json!([reason, link]));
    }
    assert_eq!(
        told_elsewhere(&switch, &client),
        [expected.clone(), expected]
    );
}

#[test]
fn a_decline_by_an_account_above_names_it_to_whoever_knows_of_it() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, top) = client.program_and_account();
    let below = |parent: &str| {
        let body = json!({"program_id": program, "parent_id": parent});
        client.post("/v1/accounts", body).created()
    };
    let middle = below(&top);
    let own = below(&middle);
    funded(&client, &own);
    let card = client
        .post("/v1/cards", json!({"account_id": own}))
        .created();
    subscribe(&client, "authorization.declined");
    let bound = |bounds: &str, id: &str| {
        with_key(
            &client,
            json!({"name": bounds, "scopes": ["authorizations:read", "cards:read"], bounds: [id]}),
        )
    };
    let (of_program, of_account) = (bound("program_ids", &program), bound("account_ids", &own));
    let limit = json!({"controls": {"limits": [{"window": "transaction", "amount": 99}]}});
    let mut to_all = Vec::new();
    let mut to_bound = Vec::new();
    for (levels, id) in [&own, &middle, &top].into_iter().enumerate() {
        let path = format!("/v1/accounts/{id}");
        client.patch(&path, limit.clone()).ok();
        let told = pay(&client, &card, json!({}));
        let mut named = match levels {
            0 => json!({"scope": "account"}),
            _ => json!({"scope": "parent_account", "levels_above": levels}),
        };
        let reason = "per_transaction_limit_exceeded";
        let unnamed = json!([reason, named]);
        named["account_id"] = json!(id);
        let named = json!([reason, named]);
        let spend = client.get(&format!("/v1/cards/{card}/spend")).ok();
        assert_eq!(spend["limits"][0]["account_id"], json!(id));
        let of_bound = of_account.get(&format!("/v1/cards/{card}/spend")).ok();
        let seen = if levels < 2 { json!(id) } else { Value::Null };
        assert_eq!(of_bound["limits"][0]["account_id"], seen);
        client.patch(&path, json!({"controls": {}})).ok();
        let path = format!("/v1/authorizations/{}", told["id"].as_str().unwrap());
        assert_eq!(by_whom(&told), named);
        assert_eq!(by_whom(&of_program.get(&path).ok()), named);
        // Its account and that one's parent are all that it knows of.
        let seen = if levels < 2 { &named } else { &unnamed };
        assert_eq!(by_whom(&of_account.get(&path).ok()), *seen);
        to_all.push(named.clone());
        to_bound.push(seen.clone());
    }
    // The same where one is frozen, and of money that is to leave.
    let may_transfer = json!({"name": "pays", "scopes": ["funds:transfer"], "account_ids": [own]});
    let payer = with_key(&client, may_transfer);
    let child = below(&own);
    for (levels, id) in [&own, &middle, &top].into_iter().enumerate() {
        client
            .post(&format!("/v1/accounts/{id}/freeze"), json!({}))
            .ok();
        let told = pay(&client, &card, json!({}));
        let mut named = match levels {
            0 => json!({"scope": "account"}),
            _ => json!({"scope": "parent_account", "levels_above": levels}),
        };
        let unnamed = json!(["account_frozen", named]);
        named["account_id"] = json!(id);
        let named = json!(["account_frozen", named]);
        let path = format!("/v1/authorizations/{}", told["id"].as_str().unwrap());
        assert_eq!(by_whom(&told), named);
        assert_eq!(by_whom(&of_program.get(&path).ok()), named);
        let is_told = levels < 2;
        let seen = if is_told { &named } else { &unnamed };
        assert_eq!(by_whom(&of_account.get(&path).ok()), *seen);
        let body =
            json!({"from_account_id": own, "to_account_id": child, "amount": 1, "currency": "USD"});
        let refused = payer.post("/v1/transfers", body);
        assert_eq!(refused.error().2, "account_frozen");
        let message = refused.json()["error"]["message"].to_string();
        assert_eq!(message.contains(id.as_str()), is_told, "{message}");
        client
            .post(&format!("/v1/accounts/{id}/unfreeze"), json!({}))
            .ok();
        to_all.push(named.clone());
        to_bound.push(seen.clone());
    }
    let [events, listed] = told_elsewhere(&switch, &client);
    assert_eq!((events, listed), (to_bound.clone(), to_all));
    let listed = of_account.get("/v1/authorizations").ok();
    let listed = listed["data"].as_array().unwrap().iter().rev();
    assert_eq!(listed.map(by_whom).collect::<Vec<_>>(), to_bound);
}

#[test]
fn what_is_left_of_a_limit_and_a_threshold_of_it_say_of_which_link_it_is() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account) = client.program_and_account();
    funded(&client, &account);
    let links = json!([{"type": "user", "id": "u1"}, {"type": "project", "id": "p1"}]);
    let controls = json!({"limits": [{"window": "day", "amount": 5_000}]});
    let card = json!({"account_id": account, "links": links, "controls": controls});
    let card = client.post("/v1/cards", card).created();
    for (path, amount) in [
        ("/v1/links/user/u1", 3_000),
        ("/v1/links/project/p1", 1_000),
    ] {
        let controls = json!({"limits": [{"window": "day", "amount": amount}]});
        client.put(path, json!({ "controls": controls })).ok();
    }
    subscribe(&client, "limit.threshold_reached");
    switch.projected();
    pay(&client, &card, json!({"amount": 900}));
    let spend = client.get(&format!("/v1/cards/{card}/spend")).ok();
    let spend = spend["limits"].as_array().unwrap().iter();
    let told = spend.map(|limit| {
        let link = &limit["link"];
        let link = [&link["type"], &link["id"], &limit["account_id"]];
        json!([limit["scope"], link, limit["left"]])
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            json!(["link", ["user", "u1", null], 2_100]),
            json!(["link", ["project", "p1", null], 100]),
            json!(["card", [null, null, null], 4_100]),
        ]
    );
    switch.projected();
    let events = client.get("/v1/events").ok();
    let limits = events["data"].as_array().unwrap().iter();
    let limits: Vec<_> = limits
        .map(|event| event["data"]["limit"]["link"].clone())
        .collect();
    assert_eq!(limits, [json!({"type": "project", "id": "p1"})]);
}

#[test]
fn a_locked_card_says_to_which_merchant_it_was_and_a_used_one_by_what() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account) = client.program_and_account();
    funded(&client, &account);
    let links = json!([{"type": "project", "id": "p1"}]);
    let card = json!({"account_id": account, "links": links, "controls": {"single_use": true}});
    let [once, locked] = [card.clone(), json!({"account_id": account, "links": links})]
        .map(|card| client.post("/v1/cards", card).created());
    subscribe(&client, "authorization.declined");
    let lock = json!({"controls": {"merchant_lock": true}});
    client.put("/v1/links/project/p1", lock).ok();
    let at = |id: &str| json!({"merchant": {"id": id}, "acquirer_id": "412345"});
    pay(&client, &locked, at("M1"));
    let used_by = pay(&client, &once, at("M1"))["id"].clone();
    let link = json!({"type": "project", "id": "p1"});
    let to = json!({"id": "M1", "acquirer_id": "412345"});
    let expected = [
        json!(["merchant_lock_mismatch", {"scope": "link", "link": link, "locked_to": to}]),
        json!(["card_used", {"scope": "card", "used_by": used_by}]),
    ];
    let told = [
        pay(&client, &locked, at("M2")),
        pay(&client, &once, at("M1")),
    ];
    assert_eq!(told.each_ref().map(by_whom), expected);
    // As of then: the lock is another one now.
    client
        .put("/v1/links/project/p1", json!({"controls": {}}))
        .ok();
    pay(&client, &locked, at("M3"));
    let path = format!("/v1/authorizations/{}", told[0]["id"].as_str().unwrap());
    assert_eq!(by_whom(&client.get(&path).ok()), expected[0]);
    let expected = expected.to_vec();
    assert_eq!(
        told_elsewhere(&switch, &client),
        [expected.clone(), expected]
    );
}

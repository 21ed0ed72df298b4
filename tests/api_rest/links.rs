//! `/v1/links/{type}/{id}`: controls of what cards are linked to, written, read back, and shared by the cards.

use super::authorizations::{authorize, funded_card};
use super::harness::{Client, Disk, Options, Switch};
use super::keys::with_key;
use super::refusals::assert_error;
use cardswitch::engine::ids::LimitId;
use serde_json::{Value, json};

fn linked_card(account_id: &str, link_id: &str) -> Value {
    json!({"account_id": account_id, "links": [{"type": "project", "id": link_id}]})
}

/// Controls whose limit gets its id when they are set.
fn budget(amount: i64) -> Value {
    json!({"limits": [{"window": "day", "amount": amount, "count": null, "time_zone": "UTC", "refunds": "restore"}]})
}

/// The same limit with its id.
fn budget_of(set: &Value, amount: i64) -> Value {
    let mut controls = budget(amount);
    controls["limits"][0]["id"] = set["controls"]["limits"][0]["id"].clone();
    controls
}

#[test]
fn a_budget_is_set_read_back_and_shared_by_cards_that_are_linked_later_too() {
    let disk = Disk::new();
    let switch = Switch::start_on(disk.clone(), Options::default());
    let client = switch.client();
    let (account_id, first) = funded_card(&client, json!({}));
    let path = "/v1/links/project/p1";
    let before = client.get(path).ok();
    assert_eq!(before["controls"], json!({}));
    assert_eq!(before["root_account_id"], json!(account_id));
    let set = client.put(path, json!({"controls": budget(1_000)})).ok();
    assert_eq!(set["controls"], budget_of(&set, 1_000));
    let limit_id = set["controls"]["limits"][0]["id"].clone();
    assert_eq!(
        (&set["object"], &set["type"], &set["id"]),
        (&json!("link"), &json!("project"), &json!("p1"))
    );
    assert_eq!(client.get(path).ok(), set);
    let second = client
        .post("/v1/cards", linked_card(&account_id, "p1"))
        .created();
    authorize(&switch, &account_id, &first, 700);
    let declined = authorize(&switch, &account_id, &second, 400);
    let told = client.get(&format!("/v1/authorizations/{declined}")).ok();
    assert_eq!(told["decision"]["reason"], "daily_limit_exceeded");
    assert_eq!(told["decision"]["rule_id"], limit_id);
    let steps = told["trace"].as_array().unwrap().iter();
    let mut limits = steps.filter(|step| step["step"] == "limits");
    let detail = &limits.next().unwrap()["detail"];
    for (name, value) in [
        ("scope", json!("link")),
        ("limit_id", limit_id),
        ("allowed", json!(1_000)),
        ("used", json!(700)),
        ("requested", json!(400)),
        ("left", json!(300)),
    ] {
        assert_eq!(detail[name], value, "{name}");
    }
    assert!(detail["resets_at"].is_string());
    let changed = client.put(path, json!({"controls": {}})).ok();
    assert_eq!(changed["controls"], json!({}));
    let approved = authorize(&switch, &account_id, &second, 400);
    let told = client.get(&format!("/v1/authorizations/{approved}")).ok();
    assert_eq!(told["decision"]["result"], "approved");
    // A limit that it has had goes on from its count.
    let again = json!({"controls": budget_of(&set, 1_000)});
    client.put(path, again).ok();
    let declined = authorize(&switch, &account_id, &second, 301);
    let told = client.get(&format!("/v1/authorizations/{declined}")).ok();
    assert_eq!(told["decision"]["reason"], "daily_limit_exceeded");
    let written = json!({"controls": budget_of(&set, 2_000)});
    client.put(path, written).ok();
    let written = client.get(path).ok();
    drop(switch);
    let again = Switch::start_on(disk, Options::default());
    assert_eq!(again.client().get(path).ok(), written);
}

#[test]
fn a_budget_is_of_one_account_tree() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let other_id = client.account(&program_id);
    let p1 = "/v1/links/project/p1";
    let made = client.put(p1, json!({"controls": budget(1_000)})).ok();
    assert_eq!(
        (&made["root_account_id"], &made["program_id"]),
        (&Value::Null, &json!(program_id))
    );
    client
        .post("/v1/cards", linked_card(&account_id, "p1"))
        .created();
    assert_eq!(client.get(p1).ok()["root_account_id"], json!(account_id));
    let of_other_tree = Some("links");
    for funding in ["shared", "own"] {
        let mut card = linked_card(&other_id, "p1");
        card["funding"] = funding.into();
        let refused = client.post("/v1/cards", card);
        assert_error(
            &refused,
            (409, "conflict", "link_of_other_tree", of_other_tree),
            funding,
        );
    }
    let accounts = client.get(&format!("/v1/accounts?parent_id={other_id}"));
    assert_eq!(
        accounts.ok()["data"],
        json!([]),
        "no sub-account is left behind"
    );
    for id in [&account_id, &other_id] {
        client.post("/v1/cards", linked_card(id, "p2")).created();
    }
    let p2 = "/v1/links/project/p2";
    let block = json!({"controls": {"mcc": {"block": ["7995"]}}});
    assert_eq!(client.put(p2, block).ok()["spans_account_trees"], true);
    let refused = client.put(
        p2,
        json!({"controls": {"limits": [{"window": "day", "amount": 1}]}}),
    );
    let expected = (
        409,
        "conflict",
        "link_of_several_trees",
        Some("controls.limits"),
    );
    assert_error(&refused, expected, "limits for two trees");
}

/// Ids are one sequence, so the next ones are known to whoever has got some.
#[test]
fn a_limit_id_of_a_linked_object_is_its_own_or_given_with_the_write() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let path = |id: &str| format!("/v1/links/project/{id}");
    let set = client
        .put(&path("p1"), json!({"controls": budget(1_000)}))
        .ok();
    let limit_id = set["controls"]["limits"][0]["id"].as_str().unwrap();
    let given: LimitId = limit_id.parse().unwrap();
    let stated = |id: LimitId| json!({"id": id.to_string(), "window": "day", "amount": 5});
    let unknown = |param| (400, "invalid_request", "limit_id_unknown", Some(param));
    // What another object has, and all that may be given next.
    for ahead in [0, 1, 7, 64, 65, 128, 192] {
        for id in ["p1", "p2"] {
            if (id, ahead) == ("p1", 0) {
                continue;
            }
            let limits = json!([{"window": "week", "amount": 9}, stated(LimitId(given.0 + ahead))]);
            let refused = client.put(&path(id), json!({"controls": {"limits": limits}}));
            assert_error(
                &refused,
                unknown("controls.limits[1].id"),
                &format!("{id} {ahead}"),
            );
        }
    }
    assert_eq!(client.get(&path("p1")).ok(), set);
    // Its own, also after it gave it up; nobody else has it in between.
    client.put(&path("p1"), json!({"controls": {}})).ok();
    let taken = json!({"controls": budget_of(&set, 5)});
    let refused = client.put(&path("p2"), taken.clone());
    assert_error(
        &refused,
        unknown("controls.limits[0].id"),
        "given up by another",
    );
    client.put(&path("p1"), taken).ok();
    // Cards, accounts and programs count on themselves: whoever states an id is in nobody's way.
    super::transfers::top_up(&client, &account_id, 1_000);
    let limits = json!({"limits": [stated(LimitId(given.0 + 10_000))]});
    let [one, other] = [(); 2].map(|()| client.card(&account_id));
    for path in [
        format!("/v1/cards/{one}"),
        format!("/v1/cards/{other}"),
        format!("/v1/accounts/{account_id}"),
        format!("/v1/programs/{program_id}"),
    ] {
        client.patch(&path, json!({ "controls": limits })).ok();
    }
    authorize(&switch, &account_id, &one, 1);
    for (card, used) in [(one, [1, 1, 1]), (other, [1, 1, 0])] {
        let spend = client.get(&format!("/v1/cards/{card}/spend")).ok();
        let limits = spend["limits"].as_array().unwrap().iter();
        assert_eq!(
            limits
                .map(|limit| limit["used"].clone())
                .collect::<Vec<_>>(),
            used
        );
    }
}

#[test]
fn a_program_has_to_be_named_where_there_are_several() {
    let switch = Switch::start();
    let client = switch.client();
    let programs = [client.program(), client.program()];
    let path = "/v1/links/user/u1";
    let missing = (400, "invalid_request", "field_missing", Some("program_id"));
    let refused = client.put(path, json!({"controls": {"single_use": true}}));
    assert_error(&refused, missing, "one of two programs");
    let put = |program_id: &String| {
        let body = json!({"program_id": program_id, "controls": {"single_use": true}});
        client.put(path, body).ok()
    };
    let first = put(&programs[0]);
    assert_eq!(client.get(path).ok(), first);
    assert_eq!(
        client
            .put(path, json!({"controls": {"single_use": true}}))
            .ok(),
        first
    );
    let second = put(&programs[1]);
    assert_error(&client.get(path), missing, "reaches both");
    for (program_id, expected) in programs.iter().zip([first, second]) {
        let found = client.get(&format!("{path}?program_id={program_id}")).ok();
        assert_eq!(found, expected);
    }
}

#[test]
fn what_is_wrong_with_a_link_is_named() {
    let switch = Switch::start();
    let client = switch.client();
    client.program();
    let invalid = "invalid_request";
    let unknown_program = json!({"controls": {}, "program_id": "prog_0000000000001"});
    for (path, body, expected) in [
        (
            "/v1/links/project/p1",
            json!({}),
            (400, invalid, "field_missing", Some("controls")),
        ),
        (
            "/v1/links/project/p1",
            json!({"controls": null}),
            (400, invalid, "field_missing", Some("controls")),
        ),
        (
            "/v1/links/Project/p1",
            json!({"controls": {}}),
            (400, invalid, "link_type_invalid", Some("type")),
        ),
        (
            "/v1/links/project/4111111111111111",
            json!({"controls": {}}),
            (400, invalid, "card_number_in_text", Some("id")),
        ),
        (
            "/v1/links/project/p1",
            json!({"controls": {}, "budget": 5}),
            (400, invalid, "field_unknown", Some("budget")),
        ),
        (
            "/v1/links/project/p1",
            unknown_program,
            (404, "not_found", "program_not_found", Some("program_id")),
        ),
        (
            "/v1/links/project/p1",
            json!({"controls": {"limits": [{"window": "transaction", "amount": 5, "refunds": "restore"}]}}),
            (
                400,
                invalid,
                "value_unknown",
                Some("controls.limits[0].refunds"),
            ),
        ),
        (
            "/v1/links/project/p1",
            json!({"controls": {"limits": [{"window": "day", "count": 5, "refunds": "restore"}]}}),
            (
                400,
                invalid,
                "value_unknown",
                Some("controls.limits[0].refunds"),
            ),
        ),
    ] {
        assert_error(&client.put(path, body), expected, path);
    }
    let nothing = (404, "not_found", "link_not_found", None);
    assert_error(
        &client.get("/v1/links/project/p1"),
        nothing,
        "nobody is linked",
    );
}

#[test]
fn all_cards_of_an_object_are_frozen_unfrozen_and_closed_in_one_call() {
    let disk = Disk::new();
    let switch = Switch::start_on(disk.clone(), Options::default());
    let client = switch.client();
    let (account_id, first) = funded_card(&client, json!({}));
    let status = |card: &str| client.get(&format!("/v1/cards/{card}")).ok()["status"].clone();
    let all = |verb: &str| client.post(&format!("/v1/links/project/p1/{verb}"), json!({}));
    assert_eq!(all("freeze").ok()["status"], "frozen");
    assert_eq!(status(&first), "frozen");
    let later = client.post("/v1/cards", linked_card(&account_id, "p1"));
    assert_eq!(later.json()["status"], "frozen");
    let later = later.created();
    let declined = authorize(&switch, &account_id, &later, 400);
    let told = client.get(&format!("/v1/authorizations/{declined}")).ok();
    assert_eq!(told["decision"]["reason"], "card_frozen");
    let states = |card: &str| {
        let card = client.get(&format!("/v1/cards/{card}")).ok();
        json!([card["status"], card["own_status"], card["status_link"]])
    };
    let link = json!({"type": "project", "id": "p1"});
    assert_eq!(states(&later), json!(["frozen", "active", link]));
    client
        .post(&format!("/v1/cards/{first}/freeze"), json!({}))
        .ok();
    // It would be so without the link.
    assert_eq!(states(&first), json!(["frozen", "frozen", null]));
    // Again is no mistake.
    assert_eq!(all("freeze").ok()["status"], "frozen");
    assert_eq!(all("unfreeze").ok()["status"], "active");
    assert_eq!(
        (status(&first), status(&later)),
        (json!("frozen"), json!("active"))
    );
    assert_eq!(all("close").ok()["status"], "closed");
    assert_eq!(
        (status(&first), status(&later)),
        (json!("closed"), json!("closed"))
    );
    let closed = (409, "conflict", "link_closed", Some("links"));
    assert_error(&all("unfreeze"), closed, "unfreeze");
    let refused = client.post("/v1/cards", linked_card(&account_id, "p1"));
    assert_error(&refused, closed, "issue");
    // Before any card is linked.
    let ahead = client.post("/v1/links/project/p9/freeze", json!({})).ok();
    assert_eq!(
        (&ahead["status"], &ahead["root_account_id"]),
        (&json!("frozen"), &Value::Null)
    );
    drop(switch);
    let switch = Switch::start_on(disk, Options::default());
    let client = switch.client();
    assert_eq!(
        client.get(&format!("/v1/cards/{later}")).ok()["status"],
        "closed"
    );
    assert_eq!(client.get("/v1/links/project/p9").ok()["status"], "frozen");
}

const SCOPES: [&str; 8] = [
    "cards:issue",
    "cards:read",
    "cards:freeze",
    "cards:unfreeze",
    "cards:close",
    "limits:write",
    "limits:raise",
    "exceptions:request",
];

fn bound(root: &Client, bounds: (&str, Value)) -> Client {
    let mut body = json!({"name": "bound", "scopes": SCOPES});
    body[bounds.0] = bounds.1;
    with_key(root, body)
}

fn exception_of(id: &str) -> Value {
    json!({"link": {"type": "user", "id": id}, "lifts": {"countries": ["FR"]},
           "ends_at": "2030-01-01T00:00:00Z", "reason": "trip"})
}

/// Everything that a key does with its own linked object, which is told with its program.
fn uses_its_own(client: &Client, id: &str, program_id: &str) {
    let path = format!("/v1/links/user/{id}");
    for more in [json!({}), json!({ "program_id": program_id })] {
        for (verb, status) in [("freeze", "frozen"), ("unfreeze", "active")] {
            let told = client.post(&format!("{path}/{verb}"), more.clone()).ok();
            assert_eq!(
                [&told["status"], &told["program_id"]],
                [&json!(status), &json!(program_id)]
            );
        }
        let mut body = more.clone();
        body["controls"] = json!({"countries": {"block": ["KP"]}});
        let set = client.put(&path, body).ok();
        assert_eq!(set["program_id"], program_id);
        assert_eq!(client.get(&path).ok(), set);
    }
    let asked = client.post("/v1/exceptions", exception_of(id));
    asked.created();
    assert_eq!(asked.json()["link"]["program_id"], program_id);
}

#[test]
fn the_same_object_of_another_program_does_not_stand_between_a_key_and_its_own() {
    let switch = Switch::start();
    let root = switch.client();
    let own = [(); 2].map(|()| root.program_and_account());
    let linked = |account_id: &str| json!({"account_id": account_id, "links": [{"type": "user", "id": "u1"}]});
    let mut keys = Vec::new();
    for (program_id, account_id) in &own {
        let by_program = bound(&root, ("program_ids", json!([program_id])));
        by_program.post("/v1/cards", linked(account_id)).created();
        keys.push((by_program, program_id));
        keys.push((
            bound(&root, ("account_ids", json!([account_id]))),
            program_id,
        ));
    }
    for (key, program_id) in &keys {
        uses_its_own(key, "u1", program_id);
    }
    // Each sees its own alone, and names no other.
    let (first, others) = (&keys[0].0, &own[1].0);
    let path = "/v1/links/user/u1";
    let told = first.get(&format!("{path}?program_id={others}")).error();
    assert_eq!((told.0, &*told.2), (404, "link_not_found"));
    for (key, _) in &keys[..2] {
        let told = key.post(&format!("{path}/freeze"), json!({ "program_id": others }));
        assert_eq!(told.error().3.as_deref(), Some("program_id"));
    }
    let mut exception = exception_of("u1");
    exception["link"]["program_id"] = json!(others);
    let told = first.post("/v1/exceptions", exception).error();
    assert_eq!((told.0, told.3.as_deref()), (404, Some("link")));
    // Who sees both says which.
    let told = root.post(&format!("{path}/freeze"), json!({}));
    let expected = (400, "invalid_request", "field_missing", Some("program_id"));
    assert_error(&told, expected, "root");
    let theirs = |key: &Client| key.get(path).ok()["status"].clone();
    first.post(&format!("{path}/close"), json!({})).ok();
    assert_eq!([theirs(first), theirs(&keys[2].0)], ["closed", "active"]);
}

#[test]
fn a_key_bound_by_program_makes_an_object_known_before_any_card_is_linked() {
    let switch = Switch::start();
    let root = switch.client();
    let own = [(); 2].map(|()| root.program_and_account());
    let keys = own
        .each_ref()
        .map(|(id, _)| bound(&root, ("program_ids", json!([id]))));
    let both = bound(&root, ("program_ids", json!([own[0].0, own[1].0])));
    let nothing = (404, "not_found", "link_not_found", None);
    assert_error(&keys[0].get("/v1/links/user/new"), nothing, "new");
    assert_error(
        &keys[0].post("/v1/exceptions", exception_of("new")),
        (404, "not_found", "link_not_found", Some("link")),
        "exception",
    );
    for (key, (program_id, _)) in keys.iter().zip(&own) {
        uses_its_own_new(key, program_id);
        uses_its_own(key, "new", program_id);
    }
    let told = both.post("/v1/links/user/other/freeze", json!({}));
    let which = (400, "invalid_request", "field_missing", Some("program_id"));
    assert_error(&told, which, "both");
    let body = json!({"program_id": own[1].0});
    let told = both.post("/v1/links/user/other/freeze", body).ok();
    assert_eq!(told["program_id"], own[1].0);
    // One that is bound by account makes none known.
    let by_account = bound(&root, ("account_ids", json!([own[0].1])));
    for body in [json!({}), json!({"program_id": own[0].0})] {
        let told = by_account.post("/v1/links/user/other/freeze", body);
        assert_error(&told, nothing, "by account");
    }
}

fn uses_its_own_new(key: &Client, program_id: &str) {
    for body in [
        json!({"controls": {}}),
        json!({"controls": {}, "program_id": program_id}),
    ] {
        let set = key.put("/v1/links/user/new", body).ok();
        assert_eq!(set["program_id"], program_id);
    }
    for (id, body) in [
        ("f1", json!({})),
        ("f2", json!({ "program_id": program_id })),
    ] {
        let told = key.post(&format!("/v1/links/user/{id}/freeze"), body).ok();
        assert_eq!(
            [&told["status"], &told["program_id"]],
            [&json!("frozen"), &json!(program_id)]
        );
    }
}

#[test]
fn what_is_left_of_a_budget_is_told_by_its_object_and_of_an_account_by_the_account() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let top_up = json!({"amount": 100_000, "currency": "USD", "method": "internal"});
    client
        .post(&format!("/v1/accounts/{account_id}/top_ups"), top_up)
        .created();
    let path = "/v1/links/project/p1";
    // Before any card is linked.
    let made = client.put(path, json!({"controls": budget(1_000)})).ok();
    let left = |told: &Value| json!([told["used"], told["left"], told["scope"], told["link"]]);
    let link = json!({"type": "project", "id": "p1"});
    assert_eq!(
        left(&made["budget"][0]),
        json!([0, 1_000, "link", {"type": "project", "id": "p1"}])
    );
    let cards = [(); 2].map(|()| {
        let card = linked_card(&account_id, "p1");
        client.post("/v1/cards", card).created()
    });
    for (card, amount) in cards.iter().zip([300, 250]) {
        authorize(&switch, &account_id, card, amount);
    }
    let etag = client.get(path).header("ETag").map(str::to_owned);
    authorize(&switch, &account_id, &cards[0], 50);
    assert_eq!(client.get(path).header("ETag").map(str::to_owned), etag);
    let told = client.get(path).ok();
    let spend = client.get(&format!("{path}/spend")).ok();
    assert_eq!(spend["limits"], told["budget"]);
    assert_eq!(
        [
            &spend["object"],
            &spend["link"],
            &spend["card_id"],
            &spend["account_id"]
        ],
        [&json!("spend"), &link, &Value::Null, &Value::Null]
    );
    assert_eq!(left(&spend["limits"][0]), json!([600, 400, "link", link]));
    let of_card = client.get(&format!("/v1/cards/{}/spend", cards[0])).ok();
    assert_eq!(of_card["limits"], spend["limits"], "the card says the same");
    // No such object, and one without limits.
    let unknown = client.get("/v1/links/project/p9/spend");
    let expected = (404, "not_found", "link_not_found", None);
    assert_error(&unknown, expected, "not known");
    client.post(&format!("{path}/freeze"), json!({})).ok();
    let none = json!({"controls": {}});
    assert_eq!(client.put(path, none).ok()["budget"], json!([]));

    let below = json!({"program_id": program_id, "parent_id": account_id});
    let below = client.post("/v1/accounts", below).created();
    for (path, amount) in [
        (format!("/v1/programs/{program_id}"), 9_000),
        (format!("/v1/accounts/{account_id}"), 8_000),
        (format!("/v1/accounts/{below}"), 7_000),
    ] {
        let limit = json!({"window": "lifetime", "amount": amount});
        let controls = json!({"controls": {"limits": [limit]}});
        client.patch(&path, controls).ok();
    }
    let money = json!({"amount": 5_000, "currency": "USD", "method": "internal"});
    client
        .post(&format!("/v1/accounts/{below}/top_ups"), money)
        .created();
    let card = client
        .post("/v1/cards", json!({"account_id": below}))
        .created();
    authorize(&switch, &account_id, &card, 1_500);
    let spend = client.get(&format!("/v1/accounts/{below}/spend")).ok();
    assert_eq!(spend["account_id"], json!(below));
    let limits = spend["limits"].as_array().unwrap().iter();
    let told = limits.map(|limit| json!([limit["scope"], limit["account_id"], limit["left"]]));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            json!(["program", null, 7_500]),
            json!(["parent_account", account_id, 6_500]),
            json!(["account", below, 5_500]),
        ]
    );
    // What is below is not its own: its parent tells two of them.
    let spend = client.get(&format!("/v1/accounts/{account_id}/spend")).ok();
    let limits = spend["limits"].as_array().unwrap().iter();
    let told: Vec<_> = limits.map(|limit| limit["left"].clone()).collect();
    assert_eq!(told, [json!(7_500), json!(6_500)]);
    let unknown = client.get("/v1/accounts/acct_0000000000001/spend");
    let expected = (404, "not_found", "account_not_found", None);
    assert_error(&unknown, expected, "not known");
}

//! The links of cards in what is told of their payments, fees, tokens and money, and lists by them.

use super::harness::{Client, Switch};
use super::keys::with_key;
use super::refusals::assert_error;
use serde_json::{Value, json};

/// Two cards of one account that pay for themselves, the first with three links and the other with one.
struct World {
    switch: Switch,
    account: String,
    card: String,
    other: String,
}

/// What the first card has, in the order in which all tell it. It is issued with them in another.
fn links() -> Value {
    json!([
        {"type": "project", "id": "p1"}, {"type": "user", "id": "aa"}, {"type": "user", "id": "zz"},
    ])
}

impl World {
    fn start() -> World {
        let switch = Switch::start();
        let client = switch.client();
        let schedule = super::fees::schedule_for_cards(&client, 10);
        let program = json!({"name": "Ads", "network": "visa", "bin": "411111", "currency": "USD",
            "fee_schedule": schedule});
        let program = client.post("/v1/programs", program).created();
        let account = client.account(&program);
        let top_up = json!({"amount": 100_000, "currency": "USD", "method": "internal"});
        let path = format!("/v1/accounts/{account}/top_ups");
        client.post(&path, top_up).created();
        let card = |links: Value| {
            let card = client.post(
                "/v1/cards",
                json!({"account_id": account, "links": links, "funding": "shared"}),
            );
            card.created()
        };
        let card_id = card(json!([
            {"type": "user", "id": "zz"}, {"type": "project", "id": "p1"}, {"type": "user", "id": "aa"},
        ]));
        let other = card(json!([{"type": "user", "id": "bb"}]));
        World {
            account,
            card: card_id,
            other,
            switch,
        }
    }

    fn client(&self) -> Client {
        self.switch.client()
    }

    /// A payment that is posted: its authorization and its transaction.
    fn pay(&self, card: &str, amount: i64) -> (String, String) {
        let client = self.client();
        let asked = json!({"card_id": card, "amount": amount});
        let authorization = client.post("/v1/simulate/authorizations", asked).created();
        let clearing = json!({"authorization_id": authorization, "amount": amount});
        let posted = client.post("/v1/simulate/clearings", clearing);
        posted.created();
        let transaction = client.get(&format!("/v1/authorizations/{authorization}"));
        let transaction = transaction.ok()["transactions"][0].clone();
        let transaction = transaction.as_str().unwrap().to_owned();
        (authorization, transaction)
    }

    fn token(&self, card: &str) -> String {
        let body = json!({"card_id": card, "wallet": "apple_pay"});
        self.client().post("/v1/tokens", body).created()
    }

    /// The entries of a list.
    fn list(&self, client: &Client, path: &str) -> Vec<Value> {
        self.switch.projected();
        client.get(path).ok()["data"].as_array().unwrap().clone()
    }
}

#[track_caller]
fn field<'a>(rows: &'a [Value], name: &str) -> Vec<&'a str> {
    rows.iter().map(|row| row[name].as_str().unwrap()).collect()
}

#[test]
fn all_that_is_of_a_card_tells_its_links_in_one_order() {
    let world = World::start();
    let client = world.client();
    let endpoint = json!({"url": "https://example.com/hook", "events": ["*"]});
    client.post("/v1/webhook_endpoints", endpoint).created();
    let (authorization, transaction) = world.pay(&world.card, 500);
    let token = world.token(&world.card);
    let fee = world.list(&client, &format!("/v1/fees?card_id={}", world.card));
    let fee = fee[0]["id"].as_str().unwrap().to_owned();
    for (list, id) in [
        ("cards", &world.card),
        ("authorizations", &authorization),
        ("transactions", &transaction),
        ("tokens", &token),
        ("fees", &fee),
    ] {
        let one = client.get(&format!("/v1/{list}/{id}")).ok();
        assert_eq!(one["links"], links(), "{list}");
        let rows = world.list(&client, &format!("/v1/{list}?link_type=user&link_id=aa"));
        assert_eq!(field(&rows, "id"), [id.as_str()], "{list}");
        assert_eq!(rows[0]["links"], links(), "{list}");
    }
    // The same objects in events, and the place of those.
    let told = world.list(
        &client,
        &format!("/v1/events?card_id={}&limit=100", world.card),
    );
    let mut seen = 0;
    for event in &told {
        let data = &event["data"];
        assert_eq!(data["links"], links(), "{event}");
        assert_eq!(data["user_id"], "aa", "the first of them");
        for name in ["authorization", "transaction", "token"] {
            if !data[name].is_null() {
                assert_eq!(data[name]["links"], links(), "{event}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 4, "{seen}: {told:?}");
}

#[test]
fn tokens_and_fees_are_found_by_link_within_what_the_key_sees() {
    let world = World::start();
    let client = world.client();
    let (token, others) = (world.token(&world.card), world.token(&world.other));
    let tokens = |client: &Client, query: &str| {
        let rows = world.list(client, &format!("/v1/tokens?{query}"));
        let ids: Vec<String> = rows
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect();
        ids
    };
    assert_eq!(
        tokens(&client, "link_type=user"),
        [others.clone(), token.clone()]
    );
    assert_eq!(tokens(&client, "link_type=project"), [token.as_str()]);
    assert_eq!(
        tokens(&client, "link_type=user&link_id=bb"),
        [others.as_str()]
    );
    assert!(tokens(&client, "link_type=project&link_id=aa").is_empty());
    let bound = json!({"name": "b", "scopes": ["cards:read", "fees:read"],
        "links": [{"type": "user", "id": "bb"}]});
    let bound = with_key(&client, bound);
    assert_eq!(tokens(&bound, "link_type=user"), [others]);
    assert!(tokens(&bound, "link_type=user&link_id=aa").is_empty());
    let fees = world.list(&bound, "/v1/fees?link_type=user");
    assert_eq!(field(&fees, "card_id"), [world.other.as_str()]);
    assert!(
        world
            .list(&bound, "/v1/fees?link_type=user&link_id=zz")
            .is_empty()
    );
    for list in ["tokens", "fees", "exceptions"] {
        let refused = client.get(&format!("/v1/{list}?link_id=aa"));
        assert_error(
            &refused,
            (400, "invalid_request", "field_missing", Some("link_type")),
            list,
        );
    }
}

#[test]
fn exceptions_are_found_by_the_link_that_they_are_of_or_that_their_card_has() {
    let world = World::start();
    let client = world.client();
    let ask = |subject: (&str, Value)| {
        let mut body = json!({"lifts": {"countries": ["JP"]}, "ends_at": "2100-01-01T00:00:00Z",
            "reason": "trip"});
        body[subject.0] = subject.1;
        client.post("/v1/exceptions", body).created()
    };
    let of_card = ask(("card_id", json!(world.card)));
    ask(("card_id", json!(world.other)));
    let of_link = ask(("link", json!({"type": "user", "id": "aa"})));
    ask(("account_id", json!(world.account)));
    let ids = |client: &Client, query: &str| {
        let list = client.get(&format!("/v1/exceptions?{query}")).ok();
        let data = list["data"].as_array().unwrap().iter();
        data.map(|one| one["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let both = [of_link, of_card.clone()];
    assert_eq!(ids(&client, "link_type=user&link_id=aa"), both);
    assert_eq!(ids(&client, "link_type=project"), [of_card]);
    assert_eq!(ids(&client, "link_type=user").len(), 3);
    assert!(ids(&client, "link_type=project&link_id=aa").is_empty());
    let bound = json!({"name": "b", "scopes": ["exceptions:read"],
        "links": [{"type": "user", "id": "bb"}]});
    let bound = with_key(&client, bound);
    assert!(ids(&bound, "link_type=user&link_id=aa").is_empty());
    assert_eq!(ids(&bound, "link_type=user").len(), 1);
}

#[test]
fn ledger_entries_tell_their_card_and_payment_and_are_found_over_all_accounts() {
    let world = World::start();
    let client = world.client();
    let (authorization, transaction) = world.pay(&world.card, 500);
    let (_, of_other) = world.pay(&world.other, 300);
    let all = world.list(&client, "/v1/ledger_entries");
    let own = world.list(
        &client,
        &format!("/v1/accounts/{}/ledger_entries", world.account),
    );
    // The other side of each is in no list.
    assert_eq!(all, own);
    let amounts: Vec<i64> = all
        .iter()
        .map(|row| row["amount"].as_i64().unwrap())
        .collect();
    assert_eq!(amounts, [-300, -500, -10, -10, 100_000]);
    let paid = &all[1];
    assert_eq!(
        paid["source"],
        json!({"type": "transaction", "id": transaction})
    );
    assert_eq!(
        (&paid["card_id"], &paid["authorization_id"], &paid["links"]),
        (&json!(world.card), &json!(authorization), &links())
    );
    let topped_up = &all[4];
    assert_eq!(
        (
            &topped_up["card_id"],
            &topped_up["authorization_id"],
            &topped_up["links"]
        ),
        (&Value::Null, &Value::Null, &json!([]))
    );
    let found = |client: &Client, query: &str| -> Vec<i64> {
        let rows = world.list(client, &format!("/v1/ledger_entries?{query}"));
        rows.iter()
            .map(|row| row["amount"].as_i64().unwrap())
            .collect()
    };
    let (card, account) = (&world.card, &world.account);
    for (query, amounts) in [
        (format!("card_id={card}"), vec![-500, -10]),
        (format!("authorization_id={authorization}"), vec![-500]),
        (format!("source_id={of_other}"), vec![-300]),
        ("source_type=fee".to_owned(), vec![-10, -10]),
        (
            format!("account_id={account}&source_type=top_up"),
            vec![100_000],
        ),
        ("source_type=transaction".to_owned(), vec![-300, -500]),
        ("link_type=user&link_id=aa".to_owned(), vec![-500, -10]),
        ("link_type=project".to_owned(), vec![-500, -10]),
        (format!("card_id={card}&amount_until=-100"), vec![-500]),
        ("created_until=2020-01-01T00:00:00Z".to_owned(), vec![]),
    ] {
        assert_eq!(found(&client, &query), amounts, "{query}");
    }
    let first = world.list(&client, "/v1/ledger_entries?limit=2");
    let after = first[1]["id"].as_str().unwrap();
    assert_eq!(
        found(&client, &format!("starting_after={after}")),
        [-10, -10, 100_000]
    );
}

#[test]
fn a_bound_key_sees_the_ledger_entries_of_its_bounds_and_no_filter_leads_beyond() {
    let world = World::start();
    let client = world.client();
    let (authorization, transaction) = world.pay(&world.card, 500);
    let program = json!({"name": "B", "network": "visa", "bin": "422222", "currency": "USD"});
    let other_program = client.post("/v1/programs", program).created();
    let other_account = client.account(&other_program);
    let top_up = json!({"amount": 7, "currency": "USD", "method": "internal"});
    let path = format!("/v1/accounts/{other_account}/top_ups");
    client.post(&path, top_up).created();
    world.pay(&world.other, 300);
    let others = [
        String::new(),
        format!("account_id={}", world.account),
        format!("card_id={}", world.card),
        format!("card_chain_id={}", world.card),
        format!("authorization_id={authorization}"),
        format!("source_id={transaction}"),
        "link_type=user&link_id=aa".to_owned(),
        "link_type=project".to_owned(),
        "source_type=transaction".to_owned(),
    ];
    for (bounds, own) in [
        (json!({"program_ids": [other_program]}), vec![7]),
        (json!({"account_ids": [other_account]}), vec![7]),
        (
            json!({"links": [{"type": "user", "id": "bb"}]}),
            vec![-300, -10],
        ),
        (
            json!({"account_ids": [other_account], "links": [{"type": "user", "id": "bb"}]}),
            vec![],
        ),
    ] {
        let mut key = json!({"name": "b", "scopes": ["accounts:read", "authorizations:read",
            "transactions:read", "cards:read"]});
        let members = bounds.as_object().unwrap().clone();
        key.as_object_mut().unwrap().extend(members);
        let bound = with_key(&client, key);
        for query in &others {
            let rows = world.list(&bound, &format!("/v1/ledger_entries?{query}"));
            let amounts: Vec<i64> = rows
                .iter()
                .map(|row| row["amount"].as_i64().unwrap())
                .collect();
            let foreign = amounts.iter().any(|amount| !own.contains(amount));
            assert!(!foreign, "{bounds} {query}: {amounts:?}");
            if query.is_empty() {
                assert_eq!(amounts, own, "{bounds}");
            }
            for list in ["authorizations", "transactions", "cards"] {
                if query.starts_with("card_chain_id") {
                    let rows = world.list(&bound, &format!("/v1/{list}?{query}"));
                    assert!(rows.is_empty(), "{bounds} {list}");
                }
            }
        }
    }
}

#[test]
fn the_audit_log_tells_objects_of_one_id_and_two_types_apart() {
    let world = World::start();
    let client = world.client();
    let freeze = |link: &str| {
        client
            .post(&format!("/v1/links/{link}/freeze"), json!({}))
            .ok()
    };
    let body = json!({"account_id": world.account, "links": [{"type": "project", "id": "zz"},
        {"type": "project", "id": "a/b c"}]});
    client.post("/v1/cards", body).created();
    freeze("user/zz");
    freeze("project/zz");
    freeze("project/a%2Fb%20c");
    let log = |query: &str| world.list(&client, &format!("/v1/audit_log?{query}"));
    let one = log("link_type=user&link_id=zz");
    assert_eq!(field(&one, "object_id"), ["user/zz"]);
    assert_eq!(one[0]["link"], json!({"type": "user", "id": "zz"}));
    assert_eq!(one[0]["action"], "POST /v1/links/{type}/{id}/freeze");
    assert_eq!(one[0]["before"]["status"], "active");
    let of_type = log("link_type=project");
    assert_eq!(
        field(&of_type, "object_id"),
        ["project/a/b c", "project/zz"]
    );
    assert_eq!(
        of_type[0]["link"],
        json!({"type": "project", "id": "a/b c"})
    );
    assert_eq!(log("object_id=project/zz"), of_type[1..]);
    assert!(log("object_id=zz").is_empty());
    assert!(log("link_type=pro").is_empty());
    let of_card = log("action=POST%20/v1/cards");
    assert_eq!(of_card[0]["link"], Value::Null);
    // A key of another program sees none of it.
    let program = json!({"name": "B", "network": "visa", "bin": "422222", "currency": "USD"});
    let program = client.post("/v1/programs", program).created();
    let bound = json!({"name": "b", "scopes": ["audit:read"], "program_ids": [program]});
    let bound = with_key(&client, bound);
    let rows = world.list(&bound, "/v1/audit_log?link_type=user&link_id=zz");
    assert!(rows.is_empty(), "{rows:?}");
}

#[test]
fn what_is_of_a_chain_of_cards_is_found_by_any_of_them() {
    let world = World::start();
    let client = world.client();
    let endpoint = json!({"url": "https://example.com/hook", "events": ["transaction.settled"]});
    client.post("/v1/webhook_endpoints", endpoint).created();
    let reissue = |card: &str| {
        let path = format!("/v1/cards/{card}/reissue");
        client.post(&path, json!({"reason": "damaged"})).created()
    };
    let (_, first) = world.pay(&world.card, 100);
    let second_card = reissue(&world.card);
    let (_, second) = world.pay(&second_card, 200);
    let third_card = reissue(&second_card);
    let (_, third) = world.pay(&third_card, 300);
    world.pay(&world.other, 400);
    let alone = world.list(&client, &format!("/v1/transactions?card_id={third_card}"));
    assert_eq!(field(&alone, "id"), [third.as_str()]);
    for card in [&world.card, &second_card, &third_card] {
        let of = |list: &str| {
            let rows = world.list(
                &client,
                &format!("/v1/{list}?card_chain_id={card}&limit=100"),
            );
            (rows.len(), rows)
        };
        let (_, rows) = of("transactions");
        assert_eq!(field(&rows, "id"), [&third, &second, &first], "{card}");
        assert_eq!(of("authorizations").0, 3, "{card}");
        assert_eq!(of("events").0, 3, "{card}");
        let (_, cards) = of("cards");
        assert_eq!(
            field(&cards, "id"),
            [&third_card, &second_card, &world.card]
        );
        // A reissued card costs as the first one did.
        assert_eq!(of("fees").0, 3, "{card}");
        assert_eq!(of("ledger_entries").0, 6, "{card}");
    }
    let one = world.list(&client, &format!("/v1/cards?card_chain_id={}", world.other));
    assert_eq!(field(&one, "id"), [world.other.as_str()]);
    let nobody = world.list(&client, "/v1/transactions?card_chain_id=card_0000000000001");
    assert!(nobody.is_empty());
}

#[test]
fn a_type_of_link_whose_flat_field_is_the_events_own_is_refused() {
    let world = World::start();
    let client = world.client();
    for reserved in ["authorization", "balance", "card", "object", "program"] {
        let body = json!({"account_id": world.account, "links": [{"type": reserved, "id": "1"}]});
        let refused = client.post("/v1/cards", body);
        assert_error(
            &refused,
            (
                400,
                "invalid_request",
                "link_type_reserved",
                Some("links[0].type"),
            ),
            reserved,
        );
        let path = format!("/v1/links/{reserved}/1");
        let refused = client.put(&path, json!({"controls": {}}));
        assert_error(
            &refused,
            (400, "invalid_request", "link_type_reserved", Some("type")),
            reserved,
        );
    }
    // Those that are in the place of no field are free: the account of an event is its balance.
    let body = json!({"account_id": world.account, "links": [{"type": "account", "id": "1"}]});
    client.post("/v1/cards", body).created();
}

#[test]
fn no_event_has_a_flat_field_that_a_link_may_have_too() {
    let document = cardswitch::api::openapi::document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let of_events = schemas
        .iter()
        .filter(|(name, _)| name.ends_with("EventData"));
    let mut own = std::collections::BTreeSet::new();
    for (_, schema) in of_events {
        let fields = schema["properties"].as_object().unwrap().keys();
        own.extend(fields.filter_map(|name| name.strip_suffix("_id")));
    }
    // `user_id` is that of the link, and nothing where there is none.
    assert!(own.remove("user"));
    let own: Vec<&str> = own.into_iter().collect();
    assert_eq!(
        own,
        ["authorization", "balance", "card", "object", "program"]
    );
}

#[test]
fn money_of_a_cards_own_account_tells_the_cards_links_to_who_sees_the_account() {
    let world = World::start();
    let client = world.client();
    let own = |account: &str, user: &str| {
        let card = client.post(
            "/v1/cards",
            json!({"account_id": account, "funding": "own", "links": [{"type": "user", "id": user}]}),
        );
        card.created();
        card.json()["account_id"].as_str().unwrap().to_owned()
    };
    let first = own(&world.account, "u1");
    let move_to = |account: &str| {
        let body = json!({"from_account_id": world.account, "to_account_id": account,
            "amount": 50, "currency": "USD"});
        client.post("/v1/transfers", body)
    };
    let of_u1 = json!([{"type": "user", "id": "u1"}]);
    let made = move_to(&first);
    let id = made.created();
    assert_eq!(made.json()["links"], of_u1);
    assert_eq!(
        client.get(&format!("/v1/transfers/{id}")).ok()["links"],
        of_u1
    );
    let top_up = json!({"amount": 7, "currency": "USD", "method": "internal"});
    let topped = client.post(&format!("/v1/accounts/{first}/top_ups"), top_up);
    let top_up_id = topped.created();
    assert_eq!(topped.json()["links"], of_u1);
    assert_eq!(
        client.get(&format!("/v1/top_ups/{top_up_id}")).ok(),
        topped.json()
    );
    let rows = world.list(&client, &format!("/v1/top_ups?account_id={first}"));
    assert_eq!(rows[0]["links"], of_u1);
    let rows = world.list(
        &client,
        &format!("/v1/top_ups?account_id={}", world.account),
    );
    assert_eq!(rows[0]["links"], json!([]), "of no one card");
    // The account and its ledger too, and all of them are found by the card and by what it is linked to.
    let account = client.get(&format!("/v1/accounts/{first}")).ok();
    assert_eq!(account["links"], of_u1);
    let card = account["card_id"].as_str().unwrap();
    let shared = client.get(&format!("/v1/accounts/{}", world.account)).ok();
    assert_eq!(
        (&shared["card_id"], &shared["links"]),
        (&Value::Null, &json!([]))
    );
    let renamed = client.patch(&format!("/v1/accounts/{first}"), json!({"name": "u1's"}));
    assert_eq!(renamed.ok()["links"], of_u1);
    for query in [
        format!("card_id={card}"),
        format!("card_chain_id={card}"),
        "link_type=user&link_id=u1".to_owned(),
    ] {
        for (list, id) in [
            ("accounts", &first),
            ("top_ups", &top_up_id),
            ("transfers", &id),
        ] {
            let rows = world.list(&client, &format!("/v1/{list}?{query}"));
            let ids: Vec<&Value> = rows.iter().map(|row| &row["id"]).collect();
            assert_eq!(ids, [id], "{list}?{query}");
            assert_eq!(rows[0]["links"], of_u1, "{list}?{query}");
        }
        let rows = world.list(&client, &format!("/v1/ledger_entries?{query}"));
        let moved: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row["source"]["type"].as_str().unwrap(),
                    &row["amount"],
                    &row["card_id"],
                    &row["links"],
                )
            })
            .filter(|(source, ..)| *source != "fee")
            .collect();
        let card = &json!(card);
        assert_eq!(
            moved,
            [
                ("top_up", &json!(7), card, &of_u1),
                ("transfer", &json!(50), card, &of_u1)
            ],
            "{query}"
        );
    }
    // Whoever sees the account above only the one side of it: another customer's card is none of theirs.
    let program = client.get(&format!("/v1/accounts/{}", world.account)).ok();
    let other_root = client.account(program["program_id"].as_str().unwrap());
    let path = format!("/v1/accounts/{other_root}/top_ups");
    let what_a_card_costs = json!({"amount": 10, "currency": "USD", "method": "internal"});
    client.post(&path, what_a_card_costs).created();
    let foreign = own(&other_root, "u2");
    let abroad = move_to(&foreign).created();
    let path = format!("/v1/transfers/{abroad}");
    assert_eq!(
        client.get(&path).ok()["links"],
        json!([{"type": "user", "id": "u2"}])
    );
    let bound = json!({"name": "b", "scopes": ["accounts:read"], "account_ids": [world.account]});
    let bound = with_key(&client, bound);
    assert_eq!(bound.get(&path).ok()["links"], json!([]));
    let rows = world.list(&bound, "/v1/transfers");
    let links: Vec<&Value> = rows.iter().map(|row| &row["links"]).collect();
    assert_eq!(links, [&json!([]), &of_u1]);
    // Nor is it found by that card, its links or its program: it could be guessed.
    let of_foreign = client.get(&format!("/v1/accounts/{foreign}")).ok();
    let card = of_foreign["card_id"].as_str().unwrap();
    for (query, expected) in [
        ("link_type=user&link_id=u2".to_owned(), 0),
        ("link_type=user".to_owned(), 1),
        (format!("card_id={card}"), 0),
        (format!("card_chain_id={card}"), 0),
        (
            format!("program_id={}", program["program_id"].as_str().unwrap()),
            2,
        ),
    ] {
        let rows = world.list(&bound, &format!("/v1/transfers?{query}"));
        assert_eq!(rows.len(), expected, "{query}: {rows:?}");
    }
}

/// The account of its own, what moved on it, and what it was charged: to the last cent, by what its card is linked to.
#[test]
fn a_key_bound_by_link_sees_the_own_accounts_of_its_cards_and_their_money() {
    let world = World::start();
    let client = world.client();
    let own = |user: &str| {
        let card = client.post(
            "/v1/cards",
            json!({"account_id": world.account, "funding": "own", "links": [{"type": "user", "id": user}]}),
        );
        (
            card.created(),
            card.json()["account_id"].as_str().unwrap().to_owned(),
        )
    };
    let ((card, first), (_, second), (_, foreign)) = (own("u1"), own("u1"), own("u2"));
    let scopes = [
        "accounts:read",
        "fees:read",
        "funds:topup",
        "funds:transfer",
        "limits:write",
        "cards:issue",
        "accounts:write",
    ];
    let bound = json!({"name": "b", "scopes": scopes, "links": [{"type": "user", "id": "u1"}]});
    let bound = with_key(&client, bound);
    let top_up = json!({"amount": 500, "currency": "USD", "method": "internal"});
    let topped = bound.post(&format!("/v1/accounts/{first}/top_ups"), top_up.clone());
    let top_up_id = topped.created();
    let transfer = |from: &str, to: &str| {
        bound.post(
            "/v1/transfers",
            json!({"from_account_id": from, "to_account_id": to, "amount": 200, "currency": "USD"}),
        )
    };
    let moved = transfer(&first, &second).created();
    let told = bound.get(&format!("/v1/accounts/{first}")).ok();
    assert_eq!(
        (&told["card_id"], &told["posted"]),
        (&json!(card), &json!(300))
    );
    for path in [
        format!("/v1/top_ups/{top_up_id}"),
        format!("/v1/transfers/{moved}"),
    ] {
        assert_eq!(bound.get(&path).ok(), client.get(&path).ok(), "{path}");
    }
    let ids = |client: &Client, path: &str| -> Vec<String> {
        let rows = world.list(client, path);
        rows.iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    };
    for list in ["accounts", "top_ups", "transfers", "fees", "ledger_entries"] {
        let by_link = ids(&client, &format!("/v1/{list}?link_type=user&link_id=u1"));
        assert_eq!(ids(&bound, &format!("/v1/{list}")), by_link, "{list}");
        assert!(!by_link.is_empty(), "{list}");
    }
    // Of what is there by link nothing is missing.
    let entries = world.list(&bound, &format!("/v1/accounts/{first}/ledger_entries"));
    let sum: i64 = entries
        .iter()
        .map(|entry| entry["amount"].as_i64().unwrap())
        .sum();
    assert_eq!(json!(sum), told["posted"]);
    // What is not of its cards is not there.
    let not_there = (404, "not_found", "account_not_found", None);
    for id in [&world.account, &foreign] {
        assert_error(&bound.get(&format!("/v1/accounts/{id}")), not_there, id);
        let path = format!("/v1/accounts/{id}/top_ups");
        assert_error(&bound.post(&path, top_up.clone()), not_there, id);
    }
    let no_sender = (
        404,
        "not_found",
        "account_not_found",
        Some("from_account_id"),
    );
    assert_error(
        &transfer(&world.account, &first),
        no_sender,
        "from the account above",
    );
    let no_receiver = (404, "not_found", "account_not_found", Some("to_account_id"));
    assert_error(&transfer(&first, &foreign), no_receiver, "to another's");
    // Also once a card of another tree has the link.
    let elsewhere = client.account(told["program_id"].as_str().unwrap());
    client
        .post(&format!("/v1/accounts/{elsewhere}/top_ups"), top_up.clone())
        .created();
    let card = json!({"account_id": elsewhere, "links": [{"type": "user", "id": "u1"}]});
    client.post("/v1/cards", card).created();
    transfer(&second, &first).created();
    let below = bound.post(
        "/v1/accounts",
        json!({"program_id": told["program_id"], "parent_id": first}),
    );
    assert!(below.status >= 400, "an account of no card");
}

/// What moves on an account that was opened for a card is told to whoever sees that card.
#[test]
fn no_other_card_draws_on_the_account_of_a_card() {
    let world = World::start();
    let client = world.client();
    let own = client.post(
        "/v1/cards",
        json!({"account_id": world.account, "funding": "own"}),
    );
    own.created();
    let account = own.json()["account_id"].clone();
    let refused = |param| (409, "conflict", "account_of_card", Some(param));
    for (body, param) in [
        (json!({"account_id": account}), "account_id"),
        (
            json!({"account_id": account, "funding": "own"}),
            "account_id",
        ),
        (
            json!({"account_id": world.account, "wallet_account_ids": [account]}),
            "wallet_account_ids[0]",
        ),
    ] {
        assert_error(
            &client.post("/v1/cards", body.clone()),
            refused(param),
            &body.to_string(),
        );
    }
    let top_up = json!({"amount": 100, "currency": "USD", "method": "internal"});
    let path = format!("/v1/accounts/{}/top_ups", account.as_str().unwrap());
    client.post(&path, top_up).created();
    let reissue = format!("/v1/cards/{}/reissue", own.json()["id"].as_str().unwrap());
    let again = client.post(&reissue, json!({"reason": "damaged"}));
    again.created();
    assert_eq!(again.json()["account_id"], account, "the next of its chain");
}

#[test]
fn a_key_of_a_further_account_is_told_nothing_of_the_card_that_paid_from_it() {
    let world = World::start();
    let client = world.client();
    let all = json!({"events": ["*"]});
    client.post("/v1/webhook_endpoints", all).created();
    let program = client.get(&format!("/v1/accounts/{}", world.account)).ok();
    let below = || {
        let body = json!({"program_id": program["program_id"], "parent_id": world.account});
        client.post("/v1/accounts", body).created()
    };
    // The first has what the card costs, and then nothing.
    let (first, further) = (below(), below());
    let top_up = json!({"amount": 1_000, "currency": "USD", "method": "internal"});
    let path = format!("/v1/accounts/{further}/top_ups");
    client.post(&path, top_up).created();
    let fee = json!({"amount": 10, "currency": "USD", "method": "internal"});
    let path = format!("/v1/accounts/{first}/top_ups");
    client.post(&path, fee).created();
    let card = json!({"account_id": first, "wallet_account_ids": [further],
        "links": [{"type": "user", "id": "w"}]});
    let card = client.post("/v1/cards", card).created();
    let asked = json!({"card_id": card, "amount": 60});
    let authorization = client.post("/v1/simulate/authorizations", asked).created();
    let clearing = json!({"authorization_id": authorization, "amount": 60});
    client.post("/v1/simulate/clearings", clearing).created();
    let path = format!("/v1/accounts/{further}/ledger_entries");
    let told = world.list(&client, &path);
    assert_eq!(told[0]["amount"], -60);
    assert_eq!(told[0]["authorization_id"], json!(authorization));
    let paid = client
        .get(&format!("/v1/authorizations/{authorization}"))
        .ok();
    let merchant = paid["merchant"]["id"].as_str().unwrap();
    let path_by_merchant = format!("{path}?merchant_id={merchant}");
    assert_eq!(world.list(&client, &path_by_merchant).len(), 1);
    let bound = json!({"name": "b", "scopes": ["accounts:read", "fees:read", "transactions:read"], "account_ids": [further]});
    let bound = with_key(&client, bound);
    for path in [path.as_str(), "/v1/ledger_entries"] {
        let rows = world.list(&bound, path);
        assert_eq!(rows.len(), 2, "{path}");
        assert_eq!(rows[0]["amount"], -60);
        assert_eq!(
            (
                &rows[0]["card_id"],
                &rows[0]["authorization_id"],
                &rows[0]["links"]
            ),
            (&Value::Null, &Value::Null, &json!([])),
            "{path}"
        );
        for query in [
            format!("card_id={card}"),
            format!("card_chain_id={card}"),
            format!("authorization_id={authorization}"),
            format!("merchant_id={merchant}"),
            "link_type=user".to_owned(),
        ] {
            let rows = world.list(&bound, &format!("{path}?{query}"));
            assert!(rows.is_empty(), "{path} {query}: {rows:?}");
        }
    }
    // Nor by events; who sees the card hears of its payments, whichever account paid.
    let heard = |account: &str| {
        let scopes = [
            "webhooks:read",
            "authorizations:read",
            "accounts:read",
            "fees:read",
        ];
        let key = json!({"name": "e", "scopes": scopes, "account_ids": [account]});
        world.list(&with_key(&client, key), "/v1/events")
    };
    let of_further = heard(&further);
    let moved = |event: &&Value| event["type"] == "balance.updated";
    assert_eq!(of_further.iter().filter(moved).count(), 3);
    for event in &of_further {
        let told = event.to_string();
        let is_told = [&*card, &*authorization, "\"w\""].map(|of_card| told.contains(of_card));
        assert_eq!(is_told, [false; 3], "{event}");
    }
    let of_first = heard(&first);
    let approved = |event: &&Value| event["type"] == "authorization.approved";
    let approved = of_first
        .iter()
        .find(approved)
        .expect("it hears of the payment");
    assert_eq!(approved["data"]["balance_id"], json!(further));
    assert_eq!(approved["data"]["card_id"], json!(card));
    // A decline that it pays for is told as a fee, and not whose it was.
    let path = format!("/v1/programs/{}", program["program_id"].as_str().unwrap());
    let schedule = client.get(&path).ok()["fee_schedule"].clone();
    let items = json!([{"kind": "decline", "fee": {"amount": 30}}]);
    let path = format!("/v1/fee_schedules/{}", schedule.as_str().unwrap());
    client.patch(&path, json!({"items": items})).ok();
    let blocks = json!({"controls": {"mcc": {"block": ["7995"]}}});
    client.patch(&format!("/v1/cards/{card}"), blocks).ok();
    let asked = json!({"card_id": card, "amount": 60, "merchant": {"mcc": "7995"}});
    let declined = client.post("/v1/simulate/authorizations", asked).created();
    let fees = world.list(&client, &format!("/v1/fees?cause_id={declined}"));
    assert_eq!(fees[0]["account_id"], json!(further));
    assert_eq!(fees[0]["card_id"], json!(card));
    let told = world.list(&bound, "/v1/fees");
    let one = bound.get(&format!("/v1/fees/{}", fees[0]["id"].as_str().unwrap()));
    for fee in [&told[0], &one.ok()] {
        assert_eq!((&fee["id"], &fee["amount"]), (&fees[0]["id"], &json!(30)));
        let hidden = (&fee["card_id"], &fee["cause"]["id"], &fee["links"]);
        assert_eq!(hidden, (&Value::Null, &Value::Null, &json!([])));
    }
    for query in [format!("card_id={card}"), format!("cause_id={declined}")] {
        let found = world.list(&bound, &format!("/v1/fees?{query}"));
        assert!(found.is_empty(), "{query}: {found:?}");
    }
    let heard = heard(&first);
    let charged = |event: &&Value| event["data"]["fee"]["id"] == fees[0]["id"];
    let charged = heard.iter().find(charged).expect("it hears of the charge");
    assert_eq!(charged["data"]["balance_id"], json!(further));
}

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
    assert_eq!(tokens(&client, "link_type=project"), [token.clone()]);
    assert_eq!(
        tokens(&client, "link_type=user&link_id=bb"),
        [others.clone()]
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

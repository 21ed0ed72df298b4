//! Tokens over the interface, and payments by them.

use crate::harness::{Client, Disk, Options, Switch};
use serde_json::{Value, json};

const NUMBER: &str = "5555550000000010";

fn with_card(client: &Client) -> (String, String) {
    let (_, account) = client.program_and_account();
    let top_up = json!({"amount": 100_000, "currency": "USD", "method": "internal"});
    let path = format!("/v1/accounts/{account}/top_ups");
    client.post(&path, top_up).created();
    let card = client.card(&account);
    (account, card)
}

fn token(client: &Client, card: &str) -> String {
    let body = json!({"card_id": card, "wallet": "apple_pay"});
    let id = client.post("/v1/tokens", body).created();
    act(client, &id, "activate");
    id
}

#[track_caller]
fn act(client: &Client, id: &str, action: &str) -> Value {
    client
        .post(&format!("/v1/tokens/{id}/{action}"), json!({}))
        .ok()
}

#[track_caller]
fn pay(client: &Client, body: Value) -> Value {
    let mut asked = json!({"amount": 100});
    asked
        .as_object_mut()
        .unwrap()
        .extend(body.as_object().unwrap().clone());
    let paid = client.post("/v1/simulate/authorizations", asked);
    paid.created();
    paid.json()
}

fn reason(paid: &Value) -> &str {
    paid["decision"]["reason"].as_str().unwrap_or("approved")
}

#[test]
fn a_token_is_asked_for_changed_read_and_listed() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, card) = with_card(&client);
    let body = json!({"card_id": card, "wallet": "apple_pay", "device": {"type": "phone", "name": "Phone of A."},
        "token_number": NUMBER, "exp_month": 12, "exp_year": 2031});
    let made = client.post("/v1/tokens", body);
    let id = made.created();
    assert_eq!(
        made.json(),
        json!({
            "id": id, "object": "token", "card_id": card, "wallet": "apple_pay",
            "device": {"type": "phone", "name": "Phone of A."}, "status": "requested",
            "first6": "555555", "last4": "0010", "exp_month": 12, "exp_year": 2031, "links": [],
            "created_at": made.json()["created_at"],
        })
    );
    assert_eq!(client.get(&format!("/v1/tokens/{id}")).ok(), made.json());
    for (action, status) in [
        ("activate", "active"),
        ("activate", "active"),
        ("suspend", "suspended"),
        ("resume", "active"),
        ("suspend", "suspended"),
        ("delete", "deleted"),
        ("delete", "deleted"),
    ] {
        assert_eq!(act(&client, &id, action)["status"], status, "{action}");
    }
    let gone = client
        .post(&format!("/v1/tokens/{id}/resume"), json!({}))
        .error();
    assert_eq!((gone.0, &*gone.2), (409, "token_status_forbids"));
    let other = client
        .post(
            "/v1/tokens",
            json!({"card_id": card, "wallet": "google_pay"}),
        )
        .created();
    switch.projected();
    let listed = |query: &str| -> Vec<String> {
        let page = client.get(&format!("/v1/tokens?{query}")).ok();
        let data = page["data"].as_array().unwrap().clone();
        data.iter()
            .map(|token| token["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        listed(&format!("card_id={card}")),
        [other.clone(), id.clone()]
    );
    assert_eq!(listed("status=deleted"), vec![id.clone()]);
    assert_eq!(listed("status=suspended"), Vec::<String>::new());
    assert_eq!(listed("wallet=google_pay"), vec![other.clone()]);
    assert_eq!(listed(&format!("starting_after={other}")), vec![id.clone()]);
    let page = client.get("/v1/tokens?status=deleted").ok();
    assert_eq!(
        page["data"][0],
        client.get(&format!("/v1/tokens/{id}")).ok()
    );
}

#[test]
fn payments_by_a_token_are_its_cards_and_say_which_token() {
    let switch = Switch::start();
    let client = switch.client();
    let (account, card) = with_card(&client);
    let id = token(&client, &card);
    for body in [
        json!({}),
        json!({"token_in": "pan_field"}),
        json!({"token_in": "token_field"}),
    ] {
        let mut asked = body.clone();
        asked["token_id"] = json!(id);
        let paid = pay(&client, asked);
        assert_eq!(reason(&paid), "approved", "{body}: {paid}");
        let named = [&paid["card_id"], &paid["token_id"], &paid["account_id"]];
        assert_eq!(named, [&json!(card), &json!(id), &json!(account)], "{body}");
        let mut steps = paid["trace"].as_array().unwrap().iter();
        let place = |name: &str| {
            paid["trace"]
                .as_array()
                .unwrap()
                .iter()
                .position(|step| step["step"] == name)
        };
        assert_eq!(
            place("token"),
            place("card_status").map(|at| at + 1),
            "{body}"
        );
        assert!(steps.any(|step| step["step"] == "token" && step["result"] == "pass"));
    }
    let plain = pay(&client, json!({"card_id": card}));
    assert_eq!(plain["token_id"], Value::Null);
    // A suspension holds for the next payment after its answer, however the token is named.
    for (action, expected) in [
        ("suspend", "token_suspended"),
        ("resume", "approved"),
        ("delete", "token_not_active"),
    ] {
        act(&client, &id, action);
        for place in ["pan_field", "token_field"] {
            let paid = pay(&client, json!({"token_id": id, "token_in": place}));
            assert_eq!(reason(&paid), expected, "{action} {place}");
        }
    }
    let (_, other) = with_card(&client);
    let of_other = pay(
        &client,
        json!({"token_id": token(&client, &other), "card_id": card, "token_in": "token_field"}),
    );
    assert_eq!(reason(&of_other), "token_mismatch");
    // A token's expiry is its own: wrong is what differs from that.
    let id = token(&client, &card);
    assert_eq!(
        reason(&pay(&client, json!({"token_id": id, "expiry": "wrong"}))),
        "expiry_mismatch"
    );
    assert_eq!(
        reason(&pay(&client, json!({"token_id": id, "cvv2": "wrong"}))),
        "approved"
    );
    switch.projected();
    let page = client
        .get(&format!("/v1/authorizations?token_id={id}"))
        .ok();
    let of_token = page["data"].as_array().unwrap();
    assert_eq!(of_token.len(), 2);
    assert!(of_token.iter().all(|paid| paid["token_id"] == json!(id)));
}

#[test]
fn later_messages_by_the_token_find_their_authorization_after_a_reissue_too() {
    let switch = Switch::start();
    let client = switch.client();
    let (account, card) = with_card(&client);
    let id = token(&client, &card);
    let [cleared, reversed] =
        [1_000, 300].map(|amount| pay(&client, json!({"token_id": id, "amount": amount})));
    let path = format!("/v1/cards/{card}/reissue");
    let new = client.post(&path, json!({"reason": "lost"})).created();
    assert_eq!(
        client.get(&format!("/v1/tokens/{id}")).ok()["card_id"],
        json!(new)
    );
    let paid = pay(&client, json!({"token_id": id}));
    assert_eq!((reason(&paid), &paid["card_id"]), ("approved", &json!(new)));
    let body = json!({"authorization_id": cleared["id"]});
    let posted = client.post("/v1/simulate/clearings", body.clone());
    posted.created();
    assert_eq!(posted.json()["object"], "transaction", "{}", posted.text);
    assert_eq!(posted.json()["authorization_id"], cleared["id"]);
    let body = json!({"authorization_id": reversed["id"]});
    let back = client.post("/v1/simulate/reversals", body);
    back.created();
    assert_eq!(back.json()["status"], "reversed", "{}", back.text);
    let refund = client.post(
        "/v1/simulate/refunds",
        json!({"authorization_id": cleared["id"], "amount": 400}),
    );
    refund.created();
    let account = client.get(&format!("/v1/accounts/{account}")).ok();
    assert_eq!(
        [&account["posted"], &account["held"]],
        [&json!(99_400), &json!(100)]
    );
    switch.projected();
    let page = client.get(&format!("/v1/tokens?card_id={new}")).ok();
    assert_eq!(page["data"][0]["id"], json!(id));
    let page = client.get(&format!("/v1/tokens?card_id={card}")).ok();
    assert_eq!(page["data"], json!([]));
    // Renewed, it goes on; closed, its tokens are deleted.
    client
        .post(&format!("/v1/cards/{new}/renew"), json!({}))
        .ok();
    assert_eq!(reason(&pay(&client, json!({"token_id": id}))), "approved");
    client
        .post(&format!("/v1/cards/{new}/close"), json!({}))
        .ok();
    assert_eq!(
        client.get(&format!("/v1/tokens/{id}")).ok()["status"],
        "deleted"
    );
    switch.projected();
    let page = client.get("/v1/tokens?status=deleted").ok();
    assert_eq!(page["data"][0]["id"], json!(id));
}

#[test]
fn what_becomes_of_a_token_is_told() {
    let switch = Switch::start();
    let client = switch.client();
    client
        .post(
            "/v1/webhook_endpoints",
            json!({"events": ["token.*", "authorization.*"]}),
        )
        .created();
    let (account, card) = with_card(&client);
    let id = token(&client, &card);
    act(&client, &id, "suspend");
    act(&client, &id, "resume");
    pay(&client, json!({"token_id": id}));
    let other = token(&client, &card);
    act(&client, &other, "delete");
    client
        .post(&format!("/v1/cards/{card}/close"), json!({}))
        .ok();
    switch.projected();
    let page = client.get("/v1/events?limit=100").ok();
    let told: Vec<_> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            let data = &event["data"];
            assert_eq!(
                [&data["card_id"], &data["balance_id"]],
                [&json!(card), &json!(account)]
            );
            let token = data["token"]["id"]
                .as_str()
                .or(data["authorization"]["token_id"].as_str());
            let status = data["token"]["status"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            (
                event["type"].as_str().unwrap().to_owned(),
                token.unwrap().to_owned(),
                status,
            )
        })
        .collect();
    let expected = [
        ("token.requested", &id, "requested"),
        ("token.activated", &id, "active"),
        ("token.suspended", &id, "suspended"),
        ("token.resumed", &id, "active"),
        ("authorization.approved", &id, ""),
        ("token.requested", &other, "requested"),
        ("token.activated", &other, "active"),
        ("token.deleted", &other, "deleted"),
        ("token.deleted", &id, "deleted"),
    ];
    let expected =
        expected.map(|(name, id, status)| (name.to_owned(), id.clone(), status.to_owned()));
    assert_eq!(told, expected);
}

#[test]
fn what_is_wrong_with_a_request_is_said_without_the_number() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, card) = with_card(&client);
    let base = json!({"card_id": card, "wallet": "apple_pay"});
    for (field, value, code) in [
        (
            "token_number",
            json!("5555550000000019"),
            "token_number_invalid",
        ),
        ("token_number", json!("55555500"), "token_number_invalid"),
        (
            "token_number",
            json!("5555 5500 0000 0010"),
            "token_number_invalid",
        ),
        ("token_number", json!(5), "type_invalid"),
        ("wallet", json!("Apple Pay"), "text_invalid"),
        ("wallet", json!(null), "field_missing"),
        ("card_id", json!("card_0000000000001"), "card_not_found"),
        ("exp_month", json!(12), "field_missing"),
        ("exp_month", json!(13), "number_invalid"),
        ("device", json!({"type": "PHONE"}), "text_invalid"),
        ("device", json!({"name": NUMBER}), "card_number_in_text"),
        ("device", json!({"model": "x"}), "field_unknown"),
    ] {
        let mut body = base.clone();
        body[field] = value.clone();
        let answer = client.post("/v1/tokens", body);
        assert_eq!(answer.error().2, code, "{field} {value}");
        assert!(!answer.text.contains("55555500"), "{}", answer.text);
    }
    let mut body = base.clone();
    body["token_number"] = json!(NUMBER);
    client.post("/v1/tokens", body.clone()).created();
    let (status, _, code, param) = client.post("/v1/tokens", body).error();
    assert_eq!(
        (status, &*code, param.as_deref()),
        (409, "token_number_taken", Some("token_number"))
    );
    let number = client
        .post(
            &format!("/v1/cards/{card}/reveal"),
            json!({"reason": "test"}),
        )
        .ok();
    let mut body = base.clone();
    body["token_number"] = number["pan"].clone();
    assert_eq!(
        client.post("/v1/tokens", body.clone()).error().2,
        "token_number_in_card_bin"
    );
    // The same for a number that nobody has: nothing is told of which card numbers there are.
    let bin = &number["pan"].as_str().unwrap()[..8];
    let mut told: Vec<_> = (0..10)
        .map(|check| {
            body["token_number"] = json!(format!("{bin}0000000{check}"));
            client.post("/v1/tokens", body.clone()).error().2
        })
        .collect();
    // One of ten has the right check digit.
    told.retain(|code| code != "token_number_invalid");
    assert_eq!(told, ["token_number_in_card_bin"]);
    for (action, body, code) in [
        ("block", json!({"reason": "fraud"}), "card_status_forbids"),
        ("reissue", json!({"reason": "fraud"}), "card_replaced"),
    ] {
        client
            .post(&format!("/v1/cards/{card}/{action}"), body)
            .json();
        let (status, _, found, param) = client.post("/v1/tokens", base.clone()).error();
        assert_eq!(
            (status, &*found, param.as_deref()),
            (409, code, Some("card_id")),
            "{action}"
        );
    }
    for (body, code) in [
        (
            json!({"token_in": "pan_field", "card_id": card, "amount": 1}),
            "field_missing",
        ),
        (
            json!({"token_id": "tok_0000000000001", "amount": 1}),
            "token_not_found",
        ),
        (
            json!({"token_id": "tok_0000000000001", "card_id": card, "amount": 1}),
            "value_unknown",
        ),
    ] {
        assert_eq!(
            client.post("/v1/simulate/authorizations", body).error().2,
            code
        );
    }
}

#[test]
fn without_the_sandbox_the_network_says_the_number() {
    let options = Options {
        sandbox: false,
        ..Options::default()
    };
    let switch = Switch::start_on(Disk::new(), options);
    let client = switch.client();
    let (_, account) = client.program_and_account();
    let card = client.card(&account);
    let body = json!({"card_id": card, "wallet": "apple_pay"});
    let (status, _, code, param) = client.post("/v1/tokens", body).error();
    assert_eq!(
        (status, &*code, param.as_deref()),
        (400, "field_missing", Some("token_number"))
    );
    let body = json!({"card_id": card, "wallet": "apple_pay", "token_number": NUMBER});
    let made = client.post("/v1/tokens", body);
    made.created();
    assert_eq!(made.json()["exp_year"], Value::Null);
}

#[test]
fn tokens_are_there_after_a_restart_and_a_repeated_request_makes_one() {
    let switch = Switch::start();
    let client = switch.client().header("Idempotency-Key", "one");
    let (_, card) = with_card(&switch.client());
    let body = json!({"card_id": card, "wallet": "apple_pay", "token_number": NUMBER});
    let made = client.post("/v1/tokens", body.clone());
    let id = made.created();
    assert_eq!(client.post("/v1/tokens", body).json(), made.json());
    act(&switch.client(), &id, "activate");
    act(&switch.client(), &id, "suspend");
    let disk = switch.disk.clone();
    drop(switch);
    let switch = Switch::start_on(disk, Options::default());
    let client = switch.client();
    let paid = pay(&client, json!({"token_id": id}));
    assert_eq!(reason(&paid), "token_suspended");
    act(&client, &id, "resume");
    assert_eq!(reason(&pay(&client, json!({"token_id": id}))), "approved");
}

/// Between the record of the registry and that of the shard: the shard is asked again at the next start, and the number
/// is taken already.
#[test]
fn a_crash_between_the_two_records_of_a_token_leaves_none_behind() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, card) = with_card(&client);
    let keyed = |client: &Client| client.header("Idempotency-Key", "token");
    let before = switch.journal.durable();
    let body = json!({"card_id": card, "wallet": "apple_pay", "token_number": NUMBER});
    let id = keyed(&client).post("/v1/tokens", body.clone()).created();
    let after = switch.journal.durable();
    let mut seen = 0;
    for kept in before..=after {
        let restarted = Switch::start_on(switch.disk.cut_after(kept), Options::default());
        let client = restarted.client();
        let again = keyed(&client).post("/v1/tokens", body.clone());
        let made = again.created();
        // The id belongs to the key once that is journalled.
        assert_eq!(made == id, kept > before, "{kept} of {before} to {after}");
        act(&client, &made, "activate");
        assert_eq!(
            reason(&pay(&client, json!({"token_id": made}))),
            "approved",
            "{kept}"
        );
        let taken = client.post("/v1/tokens", body.clone()).error();
        assert_eq!(taken.2, "token_number_taken", "{kept}");
        seen += 1;
    }
    // The key, the number, the token, what was audited, the response.
    assert!(seen >= 5, "{seen}");
}

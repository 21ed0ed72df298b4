//! Rates that an operator sets, and what an authorization in another currency tells of them.

use super::authorizations::{carry_out, request};
use super::harness::{Client, Switch};
use cardswitch::engine::command::Action;
use cardswitch::engine::money::{Currency, Money};
use serde_json::{Value, json};

const EUR: Currency = Currency(978);

#[test]
fn a_table_of_rates_is_set_whole_and_read_back() {
    let switch = Switch::start();
    let client = switch.client();
    let none = client.get("/v1/exchange_rates").ok();
    assert_eq!(
        none,
        json!({"object": "exchange_rates", "version": null, "source": null, "rates": []})
    );
    let rates = json!([
        {"from": "USDT", "to": "USD", "rate": "0.9998"},
        {"from": "EUR", "to": "USD", "rate": "1.083300"},
        {"from": "USD", "to": "JPY", "rate": "151"},
    ]);
    let set = client.put(
        "/v1/exchange_rates",
        json!({"source": "ECB 2026-11-24", "rates": rates}),
    );
    let set = set.ok();
    // In the order of their currencies' numbers.
    let expected = json!([
        {"from": "USD", "to": "JPY", "rate": "151"},
        {"from": "EUR", "to": "USD", "rate": "1.0833"},
        {"from": "USDT", "to": "USD", "rate": "0.9998"},
    ]);
    assert_eq!(set["rates"], expected);
    assert_eq!(set["source"], "ECB 2026-11-24");
    assert_eq!(client.get("/v1/exchange_rates").ok(), set);
    let version = set["version"].as_u64().unwrap();
    let empty = json!({"source": "nobody", "rates": []});
    let empty = client.put("/v1/exchange_rates", empty).ok();
    assert_eq!(empty["rates"], json!([]));
    assert!(empty["version"].as_u64().unwrap() > version);
}

#[test]
fn the_same_write_under_one_key_sets_one_table() {
    let switch = Switch::start();
    let client = switch.client().header("Idempotency-Key", "rates-of-today");
    let body = json!({"source": "ECB", "rates": [{"from": "EUR", "to": "USD", "rate": "1.1"}]});
    let first = client.put("/v1/exchange_rates", body.clone()).ok();
    let again = client.put("/v1/exchange_rates", body);
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
    assert_eq!(again.ok(), first);
}

#[test]
fn the_same_table_once_more_is_no_new_version() {
    let switch = Switch::start();
    let client = switch.client();
    let euro = json!({"from": "EUR", "to": "USD", "rate": "1.1"});
    let pound = json!({"from": "GBP", "to": "USD", "rate": "1.30"});
    let table = |source: &str, rates| json!({"source": source, "rates": rates});
    let put = |body| client.put("/v1/exchange_rates", body).ok();
    let first = put(table("ECB", json!([euro, pound])));
    assert_eq!(put(table("ECB", json!([pound, euro]))), first);
    let other = put(table("Reuters", json!([euro, pound])));
    assert_ne!(other["version"], first["version"]);
    assert_ne!(
        put(table("Reuters", json!([euro])))["version"],
        other["version"]
    );
}

/// A card in dollars whose program adds 1.5 %.
fn card(client: &Client) -> (String, String) {
    let program = json!({"name": "Ads", "network": "visa", "bin": "411111", "currency": "USD",
        "foreign_exchange_mark_up_basis_points": 150});
    let program = client.post("/v1/programs", program);
    let program_id = program.created();
    let read = client.get(&format!("/v1/programs/{program_id}")).ok();
    assert_eq!(read["foreign_exchange_mark_up_basis_points"], 150);
    let account_id = client.account(&program_id);
    let top_up = json!({"amount": 5_000, "currency": "USD", "method": "internal"});
    client
        .post(&format!("/v1/accounts/{account_id}/top_ups"), top_up)
        .created();
    let card_id = client.card(&account_id);
    (account_id, card_id)
}

fn authorize(
    switch: &Switch,
    (account_id, card_id): &(String, String),
    euros_minor: i64,
    billing: Option<i64>,
    in_part: bool,
) -> Value {
    let mut authorize = request(switch, card_id, euros_minor);
    let money = |amount_minor, currency| Money {
        amount_minor,
        currency,
    };
    authorize.amounts.transaction = money(euros_minor, EUR);
    authorize.amounts.billing = billing.map(|billing| money(billing, Currency(840)));
    authorize.partial_approval_supported = in_part;
    let path = format!("/v1/authorizations/{}", authorize.authorization_id);
    let root = account_id.parse().unwrap();
    carry_out(switch, root, Action::Authorize(authorize));
    switch.client().get(&path).ok()
}

#[test]
fn an_authorization_tells_how_its_amount_came_about() {
    let switch = Switch::start();
    let client = switch.client();
    let card = card(&client);
    let without = authorize(&switch, &card, 2_000, None, false);
    assert_eq!(without["decision"]["reason"], "exchange_rate_missing");
    assert_eq!(without["conversion"], json!(null));
    assert_eq!(without["requested_amount"], 0);

    let body = json!({"source": "ECB", "rates": [{"from": "EUR", "to": "USD", "rate": "1.0833"}]});
    let version = client.put("/v1/exchange_rates", body).ok()["version"].clone();
    let by_table = authorize(&switch, &card, 2_000, None, false);
    assert_eq!(
        (&by_table["amount"], &by_table["currency"]),
        (&json!(2_200), &json!("USD"))
    );
    assert_eq!(by_table["transaction_amount"], 2_000);
    assert_eq!(by_table["transaction_currency"], "EUR");
    assert_eq!(
        by_table["conversion"],
        json!({
            "source": "table", "from_currency": "EUR", "rate": "1.0833", "version": version,
            "mark_up_basis_points": 150, "network_amount": 2_167, "mark_up": 32, "rounding": 1,
        })
    );
    let by_network = authorize(&switch, &card, 2_000, Some(2_170), false);
    assert_eq!(
        by_network["conversion"],
        json!({
            "source": "network", "from_currency": "EUR", "rate": "1.085", "version": null,
            "mark_up_basis_points": 150, "network_amount": 2_170, "mark_up": 32, "rounding": 1,
        })
    );
    // 5.97 is left: 5.42 euros come to 5.8714... and 0.0880... more, 5.43 to 5.98.
    let part = authorize(&switch, &card, 2_000, None, true);
    assert_eq!(part["decision"]["result"], "partially_approved");
    assert_eq!(part["amount"], 596);
    assert_eq!(part["transaction_amount"], 2_000);
    assert_eq!(part["approved_transaction_amount"], 542);
    assert_eq!(by_table["approved_transaction_amount"], json!(null));
    assert_eq!(part["conversion"]["network_amount"], 587);
    // The same from SQL.
    switch.projected();
    let list = client.get("/v1/authorizations").ok();
    let stored = list["data"].as_array().unwrap();
    for authorization in [&part, &by_network, &by_table, &without] {
        let found = stored.iter().find(|one| one["id"] == authorization["id"]);
        for name in ["conversion", "approved_transaction_amount"] {
            assert_eq!(found.unwrap()[name], authorization[name], "{name}");
        }
    }
}

//! Cards that draw on several accounts.

use super::authorizations::{carry_out, request};
use super::harness::{Client, Switch};
use cardswitch::engine::command::Action;
use serde_json::{Value, json};

fn sub_account(client: &Client, program_id: &str, parent_id: &str) -> String {
    let body = json!({"program_id": program_id, "parent_id": parent_id, "currency": "USD"});
    client.post("/v1/accounts", body).created()
}

fn top_up(client: &Client, account_id: &str, amount: i64) {
    let body = json!({"amount": amount, "currency": "USD", "method": "internal"});
    let path = format!("/v1/accounts/{account_id}/top_ups");
    client.post(&path, body).created();
}

#[test]
fn a_card_draws_on_its_accounts_in_order() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, root) = client.program_and_account();
    let [second, third] = [0, 1].map(|_| sub_account(&client, &program_id, &root));
    top_up(&client, &root, 500);
    top_up(&client, &third, 2_000);
    let wallet = json!([second, third]);
    let card = client.post(
        "/v1/cards",
        json!({"account_id": root, "wallet_account_ids": wallet}),
    );
    let card_id = card.created();
    assert_eq!(card.json()["account_id"], json!(root));
    assert_eq!(card.json()["wallet_account_ids"], wallet);
    let read = client.get(&format!("/v1/cards/{card_id}")).ok();
    assert_eq!(read, card.json());
    // The second has nothing.
    for (amount, account_id) in [(400, &root), (400, &third), (100, &root)] {
        let authorize = request(&switch, &card_id, amount);
        let path = format!("/v1/authorizations/{}", authorize.authorization_id);
        let action = Action::Authorize(authorize);
        carry_out(&switch, root.parse().unwrap(), action);
        let authorization = client.get(&path).ok();
        assert_eq!(authorization["decision"]["result"], "approved");
        assert_eq!(authorization["account_id"], json!(account_id));
    }
    let held =
        |account_id: &str| client.get(&format!("/v1/accounts/{account_id}")).ok()["held"].clone();
    assert_eq!(
        [held(&root), held(&second), held(&third)],
        [500, 0, 400].map(Value::from)
    );
}

#[test]
fn a_card_with_its_own_account_may_go_on_to_the_one_above() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, root) = client.program_and_account();
    top_up(&client, &root, 500);
    let wanted = json!({"account_id": root, "funding": "own", "wallet_account_ids": [root]});
    let card = client.post("/v1/cards", wanted);
    let card_id = card.created();
    assert_ne!(card.json()["account_id"], json!(root));
    let authorize = request(&switch, &card_id, 300);
    let path = format!("/v1/authorizations/{}", authorize.authorization_id);
    carry_out(&switch, root.parse().unwrap(), Action::Authorize(authorize));
    assert_eq!(client.get(&path).ok()["account_id"], json!(root));
}

#[test]
fn a_card_without_further_accounts_says_so() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, root) = client.program_and_account();
    let card = client.post(
        "/v1/cards",
        json!({"account_id": root, "wallet_account_ids": []}),
    );
    card.created();
    assert_eq!(card.json()["wallet_account_ids"], json!([]));
}

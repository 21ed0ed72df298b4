//! A linked object with more cards than one record tells of, frozen by the real binary with either database: each card is told
//! of once, whenever the program is killed, and others' events come in between.

mod support;

use cardswitch::engine::link_states::CARDS_TOLD_AT_ONCE;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::{Switch, wait_until};

#[test]
fn each_card_is_told_of_once_with_sqlite() {
    each_card_is_told_of_once("sqlite");
}

#[test]
fn each_card_is_told_of_once_with_postgres() {
    let mut cluster = tmp_postgrust::new_default_process().expect("the tests need Postgres");
    let log = cluster.stderr_reader.take();
    std::thread::spawn(move || log.into_iter().flatten().for_each(drop));
    each_card_is_told_of_once(&cluster.connection_string());
}

fn issue_many(switch: &Switch, account: &str, cards: usize) {
    let row = json!({"account_id": account, "links": [{"type": "project", "id": "many"}]});
    let order = json!({"rows": vec![row; cards]});
    let batch = switch.good("POST", "/v1/card_batches", &order);
    let path = format!("/v1/card_batches/{}", batch["id"].as_str().unwrap());
    wait_until("the cards are issued", || {
        switch.good("GET", &path, &Value::Null)["issued"] == cards
    });
}

/// The events behind this one, as far as there are any now.
fn events_behind(switch: &Switch, after: &mut String) -> Vec<Value> {
    let page = switch.good("GET", &format!("/v1/events?limit=100{after}"), &Value::Null);
    let events = page["data"].as_array().unwrap().clone();
    if let Some(last) = events.last() {
        *after = format!("&starting_after={}", last["id"].as_str().unwrap());
    }
    events
}

fn each_card_is_told_of_once(database: &str) {
    let config = format!(
        "[store]\nurl = \"{database}\"\n[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n"
    );
    let mut switch = Switch::start(&config);
    switch.wait_until_ready();
    let account = switch.account(1);
    let cards = 2 * CARDS_TOLD_AT_ONCE + 50;
    issue_many(&switch, &account, cards);
    let endpoint = json!({"events": ["card.*", "account.*"]});
    switch.good("POST", "/v1/webhook_endpoints", &endpoint);
    let mut after = String::new();
    let mut between = 0;
    for (verb, event_type) in [("freeze", "card.frozen"), ("unfreeze", "card.unfrozen")] {
        let path = format!("/v1/links/project/many/{verb}");
        switch.good("POST", &path, &json!({}));
        switch = switch.kill_and_restart();
        switch.wait_until_ready();
        switch.account(1);
        let mut told = BTreeSet::new();
        wait_until("all of them are told of", || {
            for event in events_behind(&switch, &mut after) {
                if event["type"] != event_type {
                    between += usize::from(!told.is_empty() && told.len() < cards);
                    continue;
                }
                assert_eq!(event["data"]["cause"]["id"], "many", "{event}");
                let id = event["data"]["card"]["id"].as_str().unwrap().to_owned();
                assert!(told.insert(id), "twice: {event}");
            }
            told.len() == cards
        });
    }
    assert!(between > 0, "nothing came in between");
    assert!(switch.stop().success());
}

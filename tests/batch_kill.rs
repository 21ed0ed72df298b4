//! A large batch of cards through the real program, which is killed while it issues them: it goes on by itself each time,
//! and no row is issued twice or left out. `CARDSWITCH_SOAK=1` has 10,000 rows, as many as a batch may have.

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use support::Switch;

const CONFIG: &str = r#"
[sandbox]
enabled = true
[shards]
count = 2
[snapshots]
every_records = 1000
[[network]]
name = "visa"
listen = "127.0.0.1:0"
"#;

fn issued(switch: &Switch, batch: &str) -> (u64, bool) {
    let batch = switch.good("GET", batch, &Value::Null);
    (
        batch["issued"].as_u64().unwrap(),
        batch["status"] == "running",
    )
}

/// Waits until so many of its rows are issued, or it is over.
fn wait_for(switch: &Switch, batch: &str, wanted: u64) -> u64 {
    let until = Instant::now() + Duration::from_secs(600);
    loop {
        let (count, is_running) = issued(switch, batch);
        if count >= wanted || !is_running {
            return count;
        }
        assert!(Instant::now() < until, "{count} of {wanted} were issued");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// All items of a list, page by page.
fn all(switch: &Switch, path: &str, last_of: fn(&Value) -> String) -> Vec<Value> {
    let (mut all, mut after): (Vec<Value>, String) = (Vec::new(), String::new());
    loop {
        let page = switch.good("GET", &format!("{path}?limit=100{after}"), &Value::Null);
        all.extend(page["data"].as_array().unwrap().clone());
        if page["has_more"] == false {
            return all;
        }
        after = format!("&starting_after={}", last_of(all.last().unwrap()));
    }
}

#[test]
fn a_large_batch_is_issued_once_however_often_the_program_is_killed() {
    let rows: u64 = match std::env::var_os("CARDSWITCH_SOAK") {
        Some(_) => 10_000,
        None => 1_200,
    };
    let mut switch = Switch::start(CONFIG);
    switch.wait_until_ready();
    let account = switch.account(1_000);
    let row = |number: u64| json!({"account_id": account, "links": [{"type": "row", "id": number.to_string()}]});
    let body = json!({"rows": (0..rows).map(row).collect::<Vec<_>>()});
    let made = switch.good("POST", "/v1/card_batches", &body);
    let batch = format!("/v1/card_batches/{}", made["id"].as_str().unwrap());
    let mut kills_on_the_way = 0;
    for share in [1, 10, 40, 75] {
        let count = wait_for(&switch, &batch, rows * share / 100);
        kills_on_the_way += u64::from(count < rows);
        switch = switch.kill_and_restart();
        switch.wait_until_ready();
        let (after, _) = issued(&switch, &batch);
        assert!(after >= count, "{after} are issued of {count} that were");
    }
    assert!(kills_on_the_way > 1, "it was over before it was killed");
    assert_eq!(wait_for(&switch, &batch, rows), rows);
    let told = all(&switch, &format!("{batch}/rows"), |row| {
        row["index"].to_string()
    });
    let cards_of_rows: BTreeSet<String> = told
        .iter()
        .map(|row| row["card_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        (told.len() as u64, cards_of_rows.len() as u64),
        (rows, rows)
    );
    // And nobody has a card that no row tells of.
    let until = Instant::now() + Duration::from_secs(60);
    let cards = loop {
        let id = |card: &Value| card["id"].as_str().unwrap().to_owned();
        let cards = all(&switch, "/v1/cards", |card| {
            card["id"].as_str().unwrap().to_owned()
        });
        let cards: BTreeSet<String> = cards.iter().map(id).collect();
        if cards.len() as u64 >= rows || Instant::now() > until {
            break cards;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(cards, cards_of_rows);
    assert!(switch.stop().success());
}

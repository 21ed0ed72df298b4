//! Writes that were cut off once what they make was there, and whose repeat comes after something has changed that would
//! refuse them now: the repeat tells what was made, as nobody else would.

use crate::card_batches::{over, rows_of};
use crate::harness::{Client, Options, Switch};
use serde_json::{Value, json};

struct Case {
    /// Path and body of the write.
    write: (String, Value),
    /// What of it can be read.
    resource: &'static str,
    /// What changes meanwhile: method, path, body.
    change: (&'static str, String, Value),
}

fn send(client: &Client, (method, path, body): &(&'static str, String, Value)) {
    match *method {
        "PATCH" => client.patch(path, body.clone()).ok(),
        _ => client.post(path, body.clone()).ok(),
    };
}

/// The journal is cut after each record of the write in turn.
fn is_found(case: impl Fn(&Client) -> Case) {
    let switch = Switch::start();
    let client = switch.client();
    let Case {
        write: (path, body),
        resource,
        change,
    } = case(&client);
    let write = |client: &Client| {
        let client = client.header("Idempotency-Key", "k");
        client.post(&path, body.clone())
    };
    let before = switch.journal.durable();
    let id = write(&client).created();
    let after = switch.journal.durable();
    let mut found = 0;
    for kept in before..after {
        let cut = Switch::start_on(switch.disk.cut_after(kept), Options::default());
        let client = cut.client();
        let of_it = format!("/v1/{resource}/{id}");
        let was_made = client.get(&of_it).status == 200;
        send(&client, &change);
        let again = write(&client);
        match was_made {
            true => assert_eq!(again.created(), id, "{path}, {kept} records kept"),
            false => assert_eq!(again.error().0, 409, "{path}, {kept} records kept"),
        }
        assert_eq!(client.get(&of_it).status == 200, was_made, "{path}");
        found += usize::from(was_made);
    }
    assert!(found > 0, "{path}: never made before the end of its answer");
}

fn with_master(client: &Client) -> (String, String) {
    let (program, account) = client.program_and_account();
    let path = format!("/v1/programs/{program}");
    client
        .patch(&path, json!({"master_account_id": account}))
        .ok();
    (path, account)
}

#[test]
fn a_card_of_an_account_that_was_closed_meanwhile() {
    for by_program in [false, true] {
        is_found(|client| {
            let (program, account) = with_master(client);
            let program = program.rsplit('/').next().unwrap().to_owned();
            let body = match by_program {
                true => json!({"program_id": program}),
                false => json!({"account_id": account}),
            };
            Case {
                write: ("/v1/cards".to_owned(), body),
                resource: "cards",
                change: ("POST", format!("/v1/accounts/{account}/close"), json!({})),
            }
        });
    }
}

#[test]
fn a_card_of_a_program_that_has_no_master_account_any_more() {
    is_found(|client| {
        let (path, _) = with_master(client);
        let program = path.rsplit('/').next().unwrap();
        Case {
            write: ("/v1/cards".to_owned(), json!({"program_id": program})),
            resource: "cards",
            change: ("PATCH", path.clone(), json!({"master_account_id": "none"})),
        }
    });
}

#[test]
fn a_card_with_an_account_to_draw_on_that_was_closed_meanwhile() {
    is_found(|client| {
        let (program, account) = client.program_and_account();
        let further = json!({"program_id": program, "parent_id": account});
        let further = client.post("/v1/accounts", further).created();
        let body = json!({"account_id": account, "wallet_account_ids": [further]});
        Case {
            write: ("/v1/cards".to_owned(), body),
            resource: "cards",
            change: ("POST", format!("/v1/accounts/{further}/close"), json!({})),
        }
    });
}

#[test]
fn a_top_up_of_an_account_that_was_closed_meanwhile() {
    is_found(|client| {
        let (_, account) = client.program_and_account();
        let body = json!({"amount": 100, "currency": "USD", "method": "swift", "settle": false});
        Case {
            write: (format!("/v1/accounts/{account}/top_ups"), body),
            resource: "top_ups",
            change: ("POST", format!("/v1/accounts/{account}/close"), json!({})),
        }
    });
}

/// Rows so long that some of them make a portion.
fn long_rows(program: &str) -> Value {
    let names = (0..200).map(|number| json!({"name": format!("{number:040}")}));
    let controls = json!({"merchants": {"block": names.collect::<Vec<_>>()}});
    let row = json!({"program_id": program, "controls": controls});
    json!({"rows": vec![row; 24]})
}

/// What the rows of the batch draw on, or why they were not issued: each once.
fn drawn_on(client: &Client, batch: &str) -> Vec<Value> {
    over(client, batch);
    let rows = rows_of(client, batch, "");
    assert_eq!(rows.len(), 24);
    let mut drawn_on: Vec<Value> = Vec::new();
    for row in rows {
        let of_row = match row["card_id"].as_str() {
            Some(card) => client.get(&format!("/v1/cards/{card}")).ok()["account_id"].clone(),
            None => row["error"]["code"].clone(),
        };
        if !drawn_on.contains(&of_row) {
            drawn_on.push(of_row);
        }
    }
    drawn_on
}

/// The journal is cut after each record with which the batch was taken in: all of its rows come to what the first ones did,
/// whatever the master account is when the request comes again.
#[test]
fn a_batch_of_a_program_whose_master_account_was_changed_meanwhile() {
    for has_master in [true, false] {
        let switch = Switch::start();
        let client = switch.client();
        let (program, account) = client.program_and_account();
        let other = client.account(&program);
        let path = format!("/v1/programs/{program}");
        let named = |account: &str| json!({"master_account_id": account});
        if has_master {
            client.patch(&path, named(&account)).ok();
        }
        let body = long_rows(&program);
        let order = |client: &Client| {
            let keyed = client.header("Idempotency-Key", "k");
            keyed.post("/v1/card_batches", body.clone()).created()
        };
        let before = switch.journal.durable();
        let first = drawn_on(&client, &order(&client));
        let usual = if has_master {
            json!(account)
        } else {
            json!("no_master_account")
        };
        assert_eq!(first, std::slice::from_ref(&usual));
        let mut begun = 0;
        // The key, the batch, and portions of its rows.
        for kept in before + 1.. {
            let cut = Switch::start_on(switch.disk.cut_after(kept), Options::default());
            let client = cut.client();
            let known = client.get("/v1/card_batches").ok()["data"][0].clone();
            if kept > before + 1 && known["status"] != "receiving" {
                break;
            }
            client.patch(&path, named(&other)).ok();
            // Nothing was taken in of the first two.
            let has_rows = kept > before + 2;
            let expected = if has_rows {
                usual.clone()
            } else {
                json!(other)
            };
            let drawn_on = drawn_on(&client, &order(&client));
            assert_eq!(drawn_on, [expected], "{} records kept", kept - before);
            begun += usize::from(has_rows);
        }
        assert!(begun > 1, "the rows were no several portions");
    }
}

/// Its account is there and its card is not: whoever puts another card on it, or an account below it, keeps it, and no two know
/// of each other's money.
#[test]
fn a_card_whose_own_account_others_use_meanwhile() {
    for used_by in ["card", "wallet", "account", "own account"] {
        let switch = Switch::start();
        let client = switch.client();
        let (program, account) = client.program_and_account();
        let order = |client: &Client| {
            let client = client.header("Idempotency-Key", "k");
            client.post(
                "/v1/cards",
                json!({"account_id": account, "funding": "own"}),
            )
        };
        let before = switch.journal.durable();
        order(&client).created();
        let mut left_over = 0;
        for kept in before..switch.journal.durable() {
            let cut = Switch::start_on(switch.disk.cut_after(kept), Options::default());
            let client = cut.client();
            cut.projected();
            let list = client
                .get(&format!("/v1/accounts?parent_id={account}"))
                .ok();
            let Some(own) = list["data"][0]["id"].as_str().map(str::to_owned) else {
                order(&client).created();
                continue;
            };
            let (path, other) = match used_by {
                "card" => ("/v1/cards", json!({"account_id": own})),
                "wallet" => (
                    "/v1/cards",
                    json!({"account_id": account, "wallet_account_ids": [own]}),
                ),
                "account" => (
                    "/v1/accounts",
                    json!({"program_id": program, "parent_id": own}),
                ),
                _ => ("/v1/cards", json!({"account_id": own, "funding": "own"})),
            };
            let other = client.post(path, other);
            match other.status {
                // Its card is there already.
                409 => drop(order(&client).created()),
                _ => {
                    other.created();
                    let (status, _, code, _) = order(&client).error();
                    assert_eq!(
                        (status, &*code),
                        (409, "account_of_card"),
                        "{kept} records kept"
                    );
                    left_over += 1;
                }
            }
        }
        assert!(
            left_over > 0,
            "the account was never there without its card"
        );
    }
}

//! Lists of programs, accounts and cards: pages, filters, and what is refused.

use super::harness::{Client, Disk, Options, Sql, Switch};
use super::keys::with_key;
use super::refusals::assert_error;
use cardswitch::api::Rates;
use serde_json::{Value, json};

#[test]
fn pages_go_through_all_from_the_newest_to_the_oldest() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let mut made: Vec<String> = (0..23).map(|_| client.card(&account_id)).collect();
    made.reverse();
    switch.projected();
    let (mut seen, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = client.get(&format!("/v1/cards?limit=10{after}")).ok();
        pages += 1;
        let data = page["data"].as_array().unwrap().clone();
        seen.extend(
            data.iter()
                .map(|card| card["id"].as_str().unwrap().to_owned()),
        );
        assert!(page["projected_through"].as_u64().unwrap() > 0);
        if page["has_more"] == false {
            break;
        }
        after = format!("&starting_after={}", seen.last().unwrap());
    }
    assert_eq!((pages, seen), (3, made.clone()));
    let first = client.get("/v1/cards").ok();
    assert_eq!(
        first["data"].as_array().unwrap().len(),
        20,
        "the default page"
    );
    assert_eq!(
        first["data"][0],
        client.get(&format!("/v1/cards/{}", made[0])).ok()
    );
    let programs = client.get("/v1/programs").ok();
    assert_eq!(
        programs["data"][0],
        client.get(&format!("/v1/programs/{program_id}")).ok()
    );
    let accounts = client.get("/v1/accounts").ok();
    assert_eq!(
        accounts["data"],
        json!([client.get(&format!("/v1/accounts/{account_id}")).ok()])
    );
}

#[test]
fn lists_are_filtered() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let (_, other_account) = client.program_and_account();
    let linked = json!({"account_id": account_id, "funding": "own", "links": [{"type": "team", "id": "t & 1"}]});
    let linked = client.post("/v1/cards", linked);
    let plain = client.card(&other_account);
    switch.projected();
    let ids = |path: String| -> Value {
        let list = client.get(&path).ok();
        let data = list["data"].as_array().unwrap().iter();
        data.map(|row| row["id"].clone()).collect()
    };
    let linked_id = linked.created();
    assert_eq!(
        ids("/v1/cards?link_type=team&link_id=t%20%26%201".into()),
        json!([linked_id])
    );
    assert_eq!(
        ids(format!("/v1/cards?program_id={program_id}")),
        json!([linked_id])
    );
    assert_eq!(
        ids(format!("/v1/cards?account_id={other_account}")),
        json!([plain])
    );
    let own = linked.json()["account_id"].clone();
    assert_eq!(
        ids(format!("/v1/accounts?parent_id={account_id}")),
        json!([own])
    );
    assert_eq!(
        ids(format!("/v1/accounts?program_id={program_id}")),
        json!([own, account_id])
    );
}

/// What the list tells of a card is what it was asked for: its own status, its links' and its expiry together.
#[test]
fn cards_are_found_by_the_status_that_they_are_told_with() {
    let (switch, now_ms) = Switch::start_with_clock();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let issue = |card_type: &str, team: &str| {
        let links = json!([{"type": "team", "id": team}]);
        let card = json!({"account_id": account_id, "type": card_type, "links": links});
        client.post("/v1/cards", card).created()
    };
    let teams = ["warm", "cold", "shut"];
    let made: Vec<[String; 3]> = [
        ("virtual", None),
        ("physical", None),
        ("virtual", Some(("freeze", json!({})))),
        ("virtual", Some(("block", json!({"reason": "lost"})))),
        ("virtual", Some(("close", json!({})))),
    ]
    .map(|(card_type, change)| {
        teams.map(|team| {
            let id = issue(card_type, team);
            if let Some((change, body)) = &change {
                client
                    .post(&format!("/v1/cards/{id}/{change}"), body.clone())
                    .ok();
            }
            id
        })
    })
    .to_vec();
    client.post("/v1/links/team/cold/freeze", json!({})).ok();
    client.post("/v1/links/team/shut/close", json!({})).ok();
    let ids = |query: &str, field: &str, status: &str| -> Vec<String> {
        switch.projected();
        let list = client.get(&format!("/v1/cards?{query}")).ok();
        let data = list["data"].as_array().unwrap().iter();
        let one = |card: &Value| {
            assert_eq!(card[field], status, "{query}");
            card["id"].as_str().unwrap().to_owned()
        };
        data.map(one).collect()
    };
    let told = |status: &str| ids(&format!("status={status}"), "status", status);
    assert_eq!(told("active"), [made[0][0].as_str()]);
    assert_eq!(told("inactive"), [made[1][0].as_str()]);
    let frozen = [&made[2][1], &made[2][0], &made[1][1], &made[0][1]];
    assert_eq!(told("frozen").iter().collect::<Vec<_>>(), frozen);
    let blocked = [&made[3][1], &made[3][0]];
    assert_eq!(told("blocked").iter().collect::<Vec<_>>(), blocked);
    assert_eq!(told("closed").len(), 3 + 4);
    assert_eq!(told("expired"), [""; 0]);
    assert_eq!(ids("own_status=active", "own_status", "active").len(), 3);
    assert_eq!(ids("own_status=expired", "own_status", "expired").len(), 0);
    // By the reason, also once it is closed for another one, or for none.
    let by_reason = |reason: &str| {
        let query = format!("status_reason={reason}");
        ids(&query, "status_reason", reason)
    };
    assert_eq!(by_reason("lost").len(), 3);
    assert_eq!(by_reason("stolen"), [""; 0]);
    let path = format!("/v1/cards/{}", made[3][0]);
    let stolen = json!({"reason": "stolen"});
    client.post(&format!("{path}/block"), stolen).ok();
    assert_eq!(by_reason("stolen"), [made[3][0].as_str()]);
    let path = format!("/v1/cards/{}", made[3][1]);
    client.post(&format!("{path}/close"), json!({})).ok();
    let closed = client.get(&path).ok();
    let lost = by_reason("lost");
    assert_eq!(
        lost.contains(&made[3][1]),
        closed["status_reason"] == "lost"
    );
    let both = ids("own_status=active&status=frozen", "status", "frozen");
    assert_eq!(both, [made[0][1].as_str()]);
    // A key that is bound sees no other.
    let bound = json!({"name": "bound", "links": [{"type": "team", "id": "warm"}], "scopes": ["cards:read"]});
    let bound = with_key(&client, bound);
    let seen = bound.get("/v1/cards?status=closed").ok();
    assert_eq!(seen["data"].as_array().unwrap().len(), 1);
    assert_eq!(seen["data"][0]["id"], made[4][0]);
    assert_eq!(
        bound.get("/v1/cards?status=frozen").ok()["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // Ten years later: what links hold, and what is blocked or closed, stays what it was.
    now_ms.fetch_add(3_653 * 86_400_000, std::sync::atomic::Ordering::SeqCst);
    let expired = [&made[1][0], &made[0][0]];
    assert_eq!(told("expired").iter().collect::<Vec<_>>(), expired);
    assert_eq!(told("active"), [""; 0]);
    assert_eq!(told("inactive"), [""; 0]);
    assert_eq!(ids("own_status=expired", "own_status", "expired").len(), 6);
    assert_eq!(told("frozen").iter().collect::<Vec<_>>(), frozen);
}

/// Of two programs; a key that is bound to one finds nothing of the other by any of them.
#[test]
fn cards_top_ups_and_writes_are_found_by_more_that_they_are_told_with() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let (other_program, other_account) = client.program_and_account();
    let first = client.card(&account_id);
    let reissued = client.post(
        &format!("/v1/cards/{first}/reissue"),
        json!({"reason": "damaged"}),
    );
    let second = reissued.created();
    let other = client.card(&other_account);
    let top_up = |account: &str| {
        let top_up = json!({"amount": 500, "currency": "USD", "method": "internal"});
        client.post(&format!("/v1/accounts/{account}/top_ups"), top_up)
    };
    let (topped_up, of_other) = (
        top_up(&account_id).created(),
        top_up(&other_account).created(),
    );
    switch.projected();
    let bound = json!({"name": "bound", "program_ids": [other_program],
                       "scopes": ["cards:read", "accounts:read", "audit:read"]});
    let bound = with_key(&client, bound);
    switch.projected();
    let card = client.get(&format!("/v1/cards/{second}")).ok();
    let (year, month) = (&card["exp_year"], &card["exp_month"]);
    let first6 = card["first6"].as_str().unwrap();
    let found = |client: &Client, path: String| -> Vec<String> {
        let list = client.get(&path).ok();
        let data = list["data"].as_array().unwrap().iter();
        data.map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    };
    for (path, all, seen) in [
        (
            format!("cards?first6={first6}"),
            vec![&other, &second, &first],
            vec![&other],
        ),
        (
            format!("cards?exp_year={year}"),
            vec![&other, &second, &first],
            vec![&other],
        ),
        (
            format!("cards?exp_year={year}&exp_month={month}&program_id={program_id}"),
            vec![&second, &first],
            vec![],
        ),
        ("cards?first6=000000".to_owned(), vec![], vec![]),
        ("cards?exp_year=2099".to_owned(), vec![], vec![]),
        (format!("cards?replaced_by={second}"), vec![&first], vec![]),
        (format!("cards?replaced_by={first}"), vec![], vec![]),
        (
            format!("top_ups?program_id={program_id}"),
            vec![&topped_up],
            vec![],
        ),
        (
            format!("top_ups?program_id={other_program}"),
            vec![&of_other],
            vec![&of_other],
        ),
    ] {
        let of = |client: &Client| found(client, format!("/v1/{path}"));
        assert_eq!(of(&client).iter().collect::<Vec<_>>(), all, "{path}");
        assert_eq!(of(&bound).iter().collect::<Vec<_>>(), seen, "{path}");
    }
    let entries = |client: &Client, query: &str| {
        client.get(&format!("/v1/audit_log?{query}")).ok()["data"].clone()
    };
    let of_program = entries(&client, &format!("program_id={program_id}"));
    let reissue = of_program.as_array().unwrap().iter();
    let mut reissue = reissue.filter(|entry| entry["action"] == "POST /v1/cards/{id}/reissue");
    let reissue = reissue.next().unwrap();
    let request = format!("request_id={}", reissue["request_id"].as_str().unwrap());
    assert_eq!(entries(&client, &request), json!([reissue]));
    assert_eq!(entries(&bound, &request), json!([]));
    assert_eq!(
        entries(&bound, &format!("program_id={program_id}")),
        json!([])
    );
    assert_eq!(entries(&client, "outcome=failed"), json!([]));
    let done = entries(&client, &format!("{request}&outcome=done"));
    assert_eq!(done, json!([reissue]));
    for (path, code, param) in [
        ("cards?exp_month=5", "field_missing", "exp_year"),
        ("cards?exp_year=1999", "number_invalid", "exp_year"),
        ("cards?first6=41111", "text_invalid", "first6"),
        ("audit_log?outcome=well", "value_unknown", "outcome"),
        ("fees?amount_from=5", "field_missing", "currency"),
    ] {
        let refused = client.get(&format!("/v1/{path}"));
        assert_error(&refused, (400, "invalid_request", code, Some(param)), path);
    }
}

#[test]
fn wrong_queries_name_the_parameter() {
    let switch = Switch::start();
    let client = switch.client();
    let cases = [
        ("limit=0", "number_invalid", "limit"),
        ("limit=101", "number_invalid", "limit"),
        ("limit=ten", "number_invalid", "limit"),
        ("limit=-1", "number_invalid", "limit"),
        ("starting_after=x", "id_malformed", "starting_after"),
        (
            "starting_after=auth_0000000000001",
            "cursor_unknown",
            "starting_after",
        ),
        ("card_id=acct_0000000000001", "id_malformed", "card_id"),
        ("account_id=", "id_malformed", "account_id"),
        ("status=maybe", "value_unknown", "status"),
        ("reason=because", "value_unknown", "reason"),
        ("link_id=p1", "field_missing", "link_type"),
        ("program_id=p", "id_malformed", "program_id"),
        ("cardholder_id=p", "id_malformed", "cardholder_id"),
        ("result=maybe", "value_unknown", "result"),
        ("step=leap", "value_unknown", "step"),
        ("kind=gift", "value_unknown", "kind"),
        ("message=letter", "value_unknown", "message"),
        ("merchant_id=", "text_invalid", "merchant_id"),
        (
            "merchant_id=0123456789abcdefg",
            "text_invalid",
            "merchant_id",
        ),
        ("merchant_name=", "text_invalid", "merchant_name"),
        ("mcc=59", "mcc_invalid", "mcc"),
        ("mcc=food", "mcc_invalid", "mcc"),
        ("merchant_country=QQ", "country_unknown", "merchant_country"),
        ("stan=1000000", "number_invalid", "stan"),
        ("rrn=1234567890123", "text_invalid", "rrn"),
        ("approval_code=1234567", "text_invalid", "approval_code"),
        ("currency=XYZ", "currency_unknown", "currency"),
        ("amount_from=5", "field_missing", "currency"),
        (
            "currency=USD&amount_from=1.5",
            "number_invalid",
            "amount_from",
        ),
        (
            "currency=USD&amount_from=5&amount_until=5",
            "span_empty",
            "amount_until",
        ),
        ("created_from=yesterday", "time_invalid", "created_from"),
        (
            "created_from=2026-11-02T00:00:00Z&created_until=2026-11-01T00:00:00Z",
            "span_empty",
            "created_until",
        ),
        ("colour=red", "field_unknown", "colour"),
        ("limit=1&limit=2", "parameter_repeated", "limit"),
    ];
    for (query, code, param) in cases {
        let answer = client.get(&format!("/v1/authorizations?{query}"));
        let (status, _, found, at) = answer.error();
        assert_eq!(
            (status, found.as_str(), at.as_deref()),
            (400, code, Some(param)),
            "{query}"
        );
    }
}

#[test]
fn without_sql_lists_say_so_and_single_objects_go_on() {
    let options = Options {
        sql: Sql::Away,
        ..Options::default()
    };
    let switch = Switch::start_on(Disk::new(), options);
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let card_id = client.card(&account_id);
    for path in [
        "/v1/programs",
        "/v1/accounts",
        "/v1/cards",
        "/v1/authorizations",
    ] {
        let (status, error_type, code, _) = client.get(path).error();
        assert_eq!(
            (status, error_type.as_str(), code.as_str()),
            (503, "unavailable", "store_unavailable")
        );
    }
    client.get(&format!("/v1/programs/{program_id}")).ok();
    client.get(&format!("/v1/accounts/{account_id}")).ok();
    client.get(&format!("/v1/cards/{card_id}")).ok();
    client.get("/readyz").ok();
}

#[test]
fn keys_of_one_tenant_ask_together_as_often_as_it_may() {
    let options = Options {
        request_rates: Rates {
            of_key: 1_000,
            of_tenant: 2,
        },
        ..Options::default()
    };
    let switch = Switch::start_on(Disk::new(), options);
    let root = switch.client();
    let program_id = root.program();
    let key = || {
        let body = json!({"name": "key", "scopes": ["cards:read", "keys:write"], "program_ids": [program_id]});
        with_key(&root, body)
    };
    let (own, other) = (key(), key());
    let body = json!({"name": "child", "scopes": ["cards:read"], "program_ids": [program_id]});
    let child = with_key(&own, body);
    let answers: Vec<_> = (0..30)
        .map(|n| [&own, &child][n % 2].get("/v1/cards"))
        .collect();
    let refused = answers.iter().find(|answer| answer.status == 429);
    let refused = refused.expect("thirty at once are too many");
    assert_eq!(refused.header("ratelimit-limit"), Some("2"));
    assert_eq!(refused.error().2, "too_many_requests");
    // Another tenant is not told so, nor is the operator.
    assert_eq!(other.get("/v1/cards").status, 200);
    assert!((0..30).all(|_| root.get("/v1/cards").status == 200));
}

#[test]
fn a_key_that_asks_too_often_is_told_so_and_others_are_not() {
    let options = Options {
        request_rates: Rates {
            of_key: 1,
            of_tenant: 0,
        },
        ..Options::default()
    };
    let switch = Switch::start_on(Disk::new(), options);
    let client = switch.client();
    let answers: Vec<_> = (0..30).map(|_| client.get("/v1/api_keys")).collect();
    let refused = answers.iter().find(|answer| answer.status == 429);
    let refused = refused.expect("thirty at once are too many");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("ratelimit-remaining"), Some("0"));
    let (_, kind, code, _) = refused.error();
    assert_eq!((&*kind, &*code), ("rate_limited", "too_many_requests"));
    assert_eq!(answers[0].status, 200);
    assert_eq!(answers[0].header("ratelimit-limit"), Some("1"));
    // Whoever has no good key is not counted, and told that.
    let (status, ..) = client.without_key().get("/v1/api_keys").error();
    assert_eq!(status, 401);
}

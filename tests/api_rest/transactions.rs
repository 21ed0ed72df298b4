//! What messages of a network post, as the interface tells it, at once after it was posted.

use super::authorizations::{authorize, carry_out, dollars, funded_card, request, reverse};
use super::harness::{Client, Disk, Options, Sql, Switch};
use cardswitch::engine::command::{Action, Advise, Reverse};
use cardswitch::engine::event::ApprovalCode;
use cardswitch::engine::facts::{Kind, MatchKey, RepeatKey};
use cardswitch::engine::ids::{AuthorizationId, ReversalId};
use serde_json::{Value, json};

/// A switch with a funded card.
struct Shop {
    switch: Switch,
    account_id: String,
    card_id: String,
}

impl Shop {
    fn start(sql: Sql) -> Shop {
        let options = Options {
            sql,
            ..Options::default()
        };
        let switch = Switch::start_on(Disk::new(), options);
        let (account_id, card_id) = funded_card(&switch.client(), json!({}));
        Shop {
            switch,
            account_id,
            card_id,
        }
    }

    fn client(&self) -> Client {
        self.switch.client()
    }

    fn carry_out(&self, action: Action) {
        carry_out(&self.switch, self.account_id.parse().unwrap(), action);
    }

    fn authorize(&self, amount_minor: i64) -> String {
        authorize(&self.switch, &self.account_id, &self.card_id, amount_minor)
    }

    /// A single message; the id of its authorization.
    fn pay(&self, amount_minor: i64, kind: Kind) -> String {
        let mut payment = request(&self.switch, &self.card_id, amount_minor);
        (payment.posts, payment.kind) = (true, kind);
        let id = payment.authorization_id.to_string();
        self.carry_out(Action::Authorize(payment));
        id
    }

    /// An advice about an authorization, or about none; the id that it came with.
    fn advise(&self, original: Option<&str>, amount_minor: i64, change: fn(&mut Advise)) -> String {
        let mut advise = Advise {
            payment: request(&self.switch, &self.card_id, amount_minor),
            ..Advise::default()
        };
        if let Some(original) = original {
            let original: AuthorizationId = original.parse().unwrap();
            advise.payment.original_keys.by_authority[0] = MatchKey(original.0);
        }
        change(&mut advise);
        let id = advise.payment.authorization_id.to_string();
        self.carry_out(Action::Advise(advise));
        id
    }

    /// Reverses what is above an amount.
    fn reverse_above(&self, original: &str, stays_minor: i64) {
        let original: AuthorizationId = original.parse().unwrap();
        let number = self.switch.switchboard.ids.one();
        let mut reverse = Reverse {
            reversal_id: ReversalId(number),
            card_id: self.card_id.parse().unwrap(),
            amount: dollars(1),
            repeat_key: RepeatKey(u128::from(number)),
            stays: Some(dollars(stays_minor)),
            ..Reverse::default()
        };
        reverse.original_keys.by_authority[0] = MatchKey(original.0);
        self.carry_out(Action::Reverse(reverse));
    }

    fn told(&self, id: &str) -> Value {
        self.client().get(&format!("/v1/authorizations/{id}")).ok()
    }

    /// Status, amount and posted.
    #[track_caller]
    fn assert_stands(&self, id: &str, status: &str, amount: i64, posted: i64) {
        let told = self.told(id);
        let found = (&told["status"], &told["amount"], &told["posted"]);
        assert_eq!(
            found,
            (&json!(status), &json!(amount), &json!(posted)),
            "{told}"
        );
    }

    /// The transactions of an authorization, each read by its own id: type and amount.
    fn transactions_of(&self, id: &str) -> Vec<(String, i64)> {
        let told = self.told(id);
        let ids = told["transactions"].as_array().unwrap().iter();
        ids.map(|transaction_id| {
            let path = format!("/v1/transactions/{}", transaction_id.as_str().unwrap());
            let transaction = self.client().get(&path).ok();
            assert_eq!(transaction["authorization_id"], json!(id));
            assert_eq!(transaction["account_id"], json!(self.account_id));
            assert_eq!(transaction["currency"], "USD");
            assert_eq!(transaction["merchant"]["name"], "ADS INC");
            let kind = transaction["type"].as_str().unwrap().to_owned();
            (kind, transaction["amount"].as_i64().unwrap())
        })
        .collect()
    }

    fn account(&self) -> Value {
        let path = format!("/v1/accounts/{}", self.account_id);
        self.client().get(&path).ok()
    }
}

fn posts(advise: &mut Advise) {
    advise.payment.posts = true;
}

fn posts_the_last(advise: &mut Advise) {
    (advise.payment.posts, advise.is_final) = (true, true);
}

fn pairs(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
    let owned = expected.iter();
    owned
        .map(|(kind, amount)| ((*kind).to_owned(), *amount))
        .collect()
}

#[test]
fn what_is_posted_reads_back_at_once_wherever_sql_is() {
    for sql in [Sql::Follows, Sql::StandsStill, Sql::Away] {
        let shop = Shop::start(sql);
        let single = shop.pay(500, Kind::Purchase);
        shop.assert_stands(&single, "cleared", 500, 500);
        assert_eq!(shop.told(&single)["message"], "financial_request");
        assert_eq!(shop.told(&single)["expires_at"], Value::Null);
        assert_eq!(shop.transactions_of(&single), pairs(&[("payment", -500)]));
        reverse(&shop.switch, &shop.account_id, &shop.card_id, &single, 500);
        shop.assert_stands(&single, "reversed", 500, 0);
        let both = pairs(&[("payment", -500), ("reversal", 500)]);
        assert_eq!(shop.transactions_of(&single), both);

        let refund = shop.pay(70, Kind::Refund);
        shop.assert_stands(&refund, "cleared", 70, -70);
        assert_eq!(shop.transactions_of(&refund), pairs(&[("refund", 70)]));

        let parts = shop.authorize(1_000);
        shop.assert_stands(&parts, "pending", 1_000, 0);
        shop.advise(Some(&parts), 300, posts);
        shop.assert_stands(&parts, "partially_cleared", 1_000, 300);
        shop.reverse_above(&parts, 800);
        shop.assert_stands(&parts, "partially_cleared", 800, 300);
        shop.advise(Some(&parts), 450, posts_the_last);
        shop.assert_stands(&parts, "cleared", 750, 750);
        shop.reverse_above(&parts, 700);
        shop.assert_stands(&parts, "cleared", 700, 700);
        let all = pairs(&[("payment", -300), ("payment", -450), ("reversal", 50)]);
        assert_eq!(shop.transactions_of(&parts), all);
        let account = shop.account();
        assert_eq!(
            (&account["posted"], &account["held"]),
            (&json!(99_370), &json!(0))
        );

        let unknown = "/v1/transactions/txn_0000000000001";
        let unknown = shop.client().get(unknown).error();
        let expected = match sql {
            Sql::Away => (503, "store_unavailable"),
            _ => (404, "transaction_not_found"),
        };
        assert_eq!((unknown.0, unknown.2.as_str()), expected);
    }
}

#[test]
fn what_the_network_did_without_us_is_told_with_its_flags() {
    let shop = Shop::start(Sql::Follows);
    let forced = shop.advise(None, 250_000, posts);
    shop.assert_stands(&forced, "cleared", 250_000, 250_000);
    let told = shop.told(&forced);
    assert_eq!(told["flags"], json!(["overdrawn", "force_post"]));
    assert_eq!(told["breach"]["reason"], "insufficient_funds");
    assert_eq!(told["breach"]["step"], "balance");
    assert_eq!(told["message"], "financial_advice");
    assert_eq!(told["approval_code"], Value::Null, "nobody was given one");
    let decision = &told["decision"];
    assert_eq!(
        (&decision["result"], &decision["step"]),
        (&json!("approved"), &Value::Null)
    );
    let transaction = told["transactions"][0].as_str().unwrap();
    let transaction = shop
        .client()
        .get(&format!("/v1/transactions/{transaction}"))
        .ok();
    assert_eq!(transaction["flags"], told["flags"]);
    assert_eq!(transaction["transaction_amount"], -250_000);

    let with_code = shop.advise(None, 10, |advise| {
        advise.approval_code = Some(ApprovalCode(*b"S1A2N3"));
    });
    assert_eq!(shop.told(&with_code)["approval_code"], "S1A2N3");

    let declined = shop.advise(None, 10, |advise| advise.was_declined = true);
    shop.assert_stands(&declined, "declined", 10, 0);
    assert_eq!(
        shop.told(&declined)["decision"]["reason"],
        "stand_in_declined"
    );
    let nothing = shop.advise(None, 0, |advise| {
        advise.payment.kind = Kind::AccountVerification;
    });
    shop.assert_stands(&nothing, "recorded", 0, 0);
    assert_eq!(shop.told(&nothing)["decision"]["result"], "recorded");
    assert_eq!(shop.told(&nothing)["flags"], json!(["moves_nothing"]));
}

#[test]
fn what_becomes_part_of_an_authorization_says_so() {
    for sql in [Sql::Follows, Sql::StandsStill] {
        let shop = Shop::start(sql);
        let original = shop.authorize(1_000);
        let ends = shop.told(&original)["expires_at"].clone();
        let mut increment = request(&shop.switch, &shop.card_id, 200);
        let number: AuthorizationId = original.parse().unwrap();
        increment.kind = Kind::Incremental;
        increment.original_keys.by_authority[0] = MatchKey(number.0);
        let id = increment.authorization_id.to_string();
        shop.carry_out(Action::Authorize(increment));
        shop.assert_stands(&id, "merged", 200, 0);
        assert_eq!(shop.told(&id)["original_authorization_id"], json!(original));
        shop.assert_stands(&original, "pending", 1_200, 0);
        assert!(shop.told(&original)["expires_at"].as_str() >= ends.as_str());
        let amended = shop.advise(Some(&original), 900, |_| {});
        shop.assert_stands(&amended, "merged", 900, 0);
        shop.assert_stands(&original, "pending", 900, 0);
        // By hand, after a part of it is posted: twice is once.
        shop.advise(Some(&original), 100, posts);
        let expire = format!("/v1/authorizations/{original}/expire");
        for _ in 0..2 {
            let released = shop.client().post(&expire, json!({})).ok();
            assert_eq!(
                (&released["status"], &released["amount"]),
                (&json!("cleared"), &json!(100))
            );
        }
        assert_eq!(shop.account()["held"], 0);
        if sql == Sql::Follows {
            shop.switch.projected();
            let path = format!("/v1/authorizations?original_authorization_id={original}");
            let data = shop.client().get(&path).ok()["data"].clone();
            let ids: Vec<&Value> = data
                .as_array()
                .unwrap()
                .iter()
                .map(|row| &row["id"])
                .collect();
            assert_eq!(ids, [&json!(amended), &json!(id)]);
        }
    }
}

#[test]
fn a_refund_names_its_purchase_and_is_found_by_it() {
    for sql in [Sql::Follows, Sql::StandsStill] {
        let shop = Shop::start(sql);
        let purchase = shop.pay(1_000, Kind::Purchase);
        let refund = |of: Option<&str>, amount| {
            shop.advise(of, amount, |advise| {
                posts(advise);
                advise.payment.kind = Kind::Refund;
            })
        };
        let asks = |amount| {
            let mut asked = request(&shop.switch, &shop.card_id, amount);
            let number: AuthorizationId = purchase.parse().unwrap();
            asked.kind = Kind::Refund;
            asked.original_keys.by_authority[0] = MatchKey(number.0);
            let id = asked.authorization_id.to_string();
            shop.carry_out(Action::Authorize(asked));
            id
        };
        let (first, second) = (refund(Some(&purchase), 300), refund(Some(&purchase), 700));
        let (asked, declined, other) = (asks(5), asks(0), refund(None, 10));
        for (id, status, original) in [
            (&first, "cleared", json!(purchase)),
            (&second, "cleared", json!(purchase)),
            (&asked, "pending", json!(purchase)),
            (&declined, "declined", json!(purchase)),
            (&other, "cleared", Value::Null),
        ] {
            let told = shop.told(id);
            assert_eq!(told["status"], status, "{told}");
            assert_eq!(told["original_authorization_id"], original, "{told}");
        }
        shop.assert_stands(&purchase, "cleared", 1_000, 1_000);
        if sql == Sql::Follows {
            shop.switch.projected();
            let path = format!("/v1/authorizations?original_authorization_id={purchase}");
            let data = shop.client().get(&path).ok()["data"].clone();
            let data = data.as_array().unwrap().iter();
            let ids: Vec<&str> = data.map(|row| row["id"].as_str().unwrap()).collect();
            assert_eq!(ids, [&declined, &asked, &second, &first]);
        }
    }
}

#[test]
fn transactions_and_ledger_entries_are_listed() {
    let shop = Shop::start(Sql::Follows);
    let client = shop.client();
    let paid: Vec<String> = (1..=3)
        .map(|amount| shop.pay(amount, Kind::Purchase))
        .collect();
    shop.pay(9, Kind::Refund);
    shop.reverse_above(&paid[2], 1);
    shop.switch.projected();
    let list = |query: &str| client.get(&format!("/v1/transactions?{query}")).ok();
    let amounts = |query: &str| -> Vec<i64> {
        let list = list(query);
        let data = list["data"].as_array().unwrap().iter();
        data.map(|row| row["amount"].as_i64().unwrap()).collect()
    };
    let (account_id, card_id) = (&shop.account_id, &shop.card_id);
    assert_eq!(
        amounts(&format!("account_id={account_id}")),
        [2, 9, -3, -2, -1]
    );
    assert_eq!(
        amounts(&format!("card_id={card_id}&type=payment")),
        [-3, -2, -1]
    );
    assert_eq!(amounts(&format!("authorization_id={}", paid[2])), [2, -3]);
    assert_eq!(amounts("type=refund"), [9]);
    assert_eq!(amounts("created_until=2020-01-01T00:00:00Z"), [0; 0]);
    assert_eq!(amounts("created_from=2020-01-01T00:00:00Z&limit=1"), [2]);
    assert_eq!(amounts("created_from=9999-12-31T23:59:59Z"), [0; 0]);
    assert_eq!(amounts("created_until=9999-12-31T23:59:59Z&limit=1"), [2]);
    let page = list("limit=2");
    let after = page["data"][1]["id"].as_str().unwrap();
    assert_eq!(
        (
            &page["has_more"],
            amounts(&format!("starting_after={after}"))
        ),
        (&json!(true), vec![-3, -2, -1])
    );
    let single = client.get(&format!("/v1/transactions/{after}")).ok();
    assert_eq!(page["data"][1], single);
    // Of an authorization the list says the same as its own page.
    let path = format!("/v1/authorizations/{}", paid[2]);
    let listed = client
        .get(&format!("/v1/authorizations?card_id={card_id}"))
        .ok();
    let listed = listed["data"].as_array().unwrap().iter();
    let listed = listed.filter(|row| row["id"] == json!(paid[2]));
    assert_eq!(listed.collect::<Vec<_>>(), [&client.get(&path).ok()]);

    let path = format!("/v1/accounts/{account_id}/ledger_entries");
    let entries = client.get(&path).ok();
    let entries = entries["data"].as_array().unwrap();
    let told: Vec<i64> = entries
        .iter()
        .map(|entry| entry["amount"].as_i64().unwrap())
        .collect();
    assert_eq!(told, [2, 9, -3, -2, -1, 100_000]);
    assert_eq!(
        told.iter().sum::<i64>(),
        shop.account()["posted"].as_i64().unwrap()
    );
    assert_eq!(entries[1]["source"]["type"], "transaction");
    assert_eq!(
        entries[1]["source"]["id"],
        list("type=refund")["data"][0]["id"]
    );
    assert_eq!(entries[5]["source"]["type"], "top_up");
    let after = entries[3]["id"].as_str().unwrap();
    let rest = client
        .get(&format!("{path}?limit=1&starting_after={after}"))
        .ok();
    assert_eq!(
        (&rest["data"][0], &rest["has_more"]),
        (&entries[4], &json!(true))
    );
}

#[test]
fn wrong_questions_about_transactions_name_what_is_wrong() {
    let shop = Shop::start(Sql::Follows);
    let account = format!("/v1/accounts/{}/ledger_entries", shop.account_id);
    for (path, status, code, param) in [
        (
            "/v1/transactions?type=gift".to_owned(),
            400,
            "value_unknown",
            Some("type"),
        ),
        (
            "/v1/transactions?created_from=today".into(),
            400,
            "time_invalid",
            Some("created_from"),
        ),
        (
            "/v1/transactions?status=open".into(),
            400,
            "field_unknown",
            Some("status"),
        ),
        (
            "/v1/transactions?authorization_id=txn_1".into(),
            400,
            "id_malformed",
            Some("authorization_id"),
        ),
        (
            "/v1/transactions?starting_after=txn_0000000000001".into(),
            400,
            "cursor_unknown",
            Some("starting_after"),
        ),
        (
            "/v1/transactions/auth_0000000000001".into(),
            404,
            "transaction_not_found",
            None,
        ),
        (
            format!("{account}?starting_after=topup_0000000000001"),
            400,
            "id_malformed",
            Some("starting_after"),
        ),
        (
            format!("{account}?type=top_up"),
            400,
            "field_unknown",
            Some("type"),
        ),
        (
            "/v1/accounts/acct_0000000000001/ledger_entries".into(),
            404,
            "account_not_found",
            None,
        ),
    ] {
        let error = shop.client().get(&path).error();
        let found = (error.0, error.2.as_str(), error.3.as_deref());
        assert_eq!(found, (status, code, param), "{path}");
    }
    let away = Shop::start(Sql::Away);
    let account = format!("/v1/accounts/{}/ledger_entries", away.account_id);
    for path in ["/v1/transactions".to_owned(), account] {
        let error = away.client().get(&path).error();
        assert_eq!(
            (error.0, error.2.as_str()),
            (503, "store_unavailable"),
            "{path}"
        );
    }
}

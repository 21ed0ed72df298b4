//! What a program says of each of its BINs, the list of all BINs, and the master account that its cards draw on.

use super::card_batches::{over, rows_of};
use super::harness::{Answer, Client, Switch};
use super::keys::with_key;
use super::refusals::assert_error;
use serde_json::{Value, json};

fn path(id: &str) -> String {
    format!("/v1/programs/{id}")
}

/// As `bin_details` has it.
fn details(bin: &str, network: &str, region: Value, product_type: Value) -> Value {
    json!({"bin": bin, "network": network, "region": region, "product_type": product_type})
}

/// With BINs of which two have the same first six digits, and of which two are of another network.
fn program(client: &Client) -> Answer {
    let bins = json!(["411111", {"bin": "41111122", "network": "amex", "region": "EU"},
                      {"bin": "371111", "network": "amex", "product_type": "credit"}]);
    client.post(
        "/v1/programs",
        json!({"name": "Ads", "network": "visa", "bin": "411111", "currency": "USD", "bins": bins, "region": "US"}),
    )
}

#[test]
fn what_is_said_of_a_bin_holds_for_it_and_digits_alone_leave_it() {
    let switch = Switch::start();
    let client = switch.client();
    let made = program(&client);
    let (id, made) = (made.created(), made.json());
    let (null, us, eu) = (Value::Null, json!("US"), json!("EU"));
    let credit = json!("credit");
    assert_eq!(made["bins"], json!(["411111", "41111122", "371111"]));
    let of_three = |own: &Value| {
        [
            details("411111", "visa", own.clone(), null.clone()),
            details("41111122", "amex", eu.clone(), null.clone()),
            details("371111", "amex", own.clone(), credit.clone()),
        ]
    };
    assert_eq!(made["bin_details"], json!(of_three(&us)));
    assert_eq!(client.get(&path(&id)).ok(), made);
    let change = |body: Value| client.patch(&path(&id), body).ok()["bin_details"].clone();
    // The program's own holds for what is not said.
    let uk = json!("UK");
    assert_eq!(change(json!({"region": "UK"})), json!(of_three(&uk)));
    // The list as it is told leaves all as it is.
    let [first, second, third] = of_three(&uk);
    let told = json!({"bins": ["411111", "41111122", "371111"]});
    assert_eq!(change(told), json!([first, second, third]));
    // An object says all that is said of the BIN.
    let said = json!({"bins": ["371111", {"bin": "41111122", "product_type": "credit"}, "411111"]});
    let second = details("41111122", "visa", uk.clone(), credit.clone());
    let expected = json!([third, second, first]);
    assert_eq!(change(said), expected);

    let disk = switch.disk.clone();
    drop(switch);
    let switch = Switch::start_on(disk, Default::default());
    let client = switch.client();
    assert_eq!(client.get(&path(&id)).ok()["bin_details"], expected);
    switch.projected();
    let listed = client.get("/v1/programs").ok();
    assert_eq!(listed["data"][0]["bin_details"], expected);
}

#[test]
fn what_is_wrong_with_a_bin_is_named() {
    let switch = Switch::start();
    let client = switch.client();
    let id = program(&client).created();
    for (entry, code, param) in [
        (json!({"network": "visa"}), "field_missing", "bins[0].bin"),
        (json!({"bin": "4111"}), "bin_invalid", "bins[0].bin"),
        (
            json!({"bin": "433333", "network": "nobody"}),
            "network_unknown",
            "bins[0].network",
        ),
        (
            json!({"bin": "433333", "region": "the moon"}),
            "word_invalid",
            "bins[0].region",
        ),
        (
            json!({"bin": "433333", "currency": "EUR"}),
            "field_unknown",
            "bins[0].currency",
        ),
        (json!(433333), "type_invalid", "bins[0]"),
    ] {
        let refused = client.patch(&path(&id), json!({"bins": [entry]}));
        assert_error(&refused, (400, "invalid_request", code, Some(param)), param);
    }
    let twice = client.patch(&path(&id), json!({"bins": ["411111", {"bin": "411111"}]}));
    let expected = (400, "invalid_request", "bin_repeated", Some("bins[1]"));
    assert_error(&twice, expected, "twice");
}

#[test]
fn a_card_is_of_the_network_of_its_bin_and_so_are_its_tokens_and_the_card_after_it() {
    let switch = Switch::start();
    let client = switch.client();
    let id = program(&client).created();
    let account = client.account(&id);
    for (bin, network) in [("411111", "visa"), ("41111122", "amex"), ("371111", "amex")] {
        let body = json!({"account_id": account, "bin": bin});
        let made = client.post("/v1/cards", body);
        let (card, made) = (format!("/v1/cards/{}", made.created()), made.json());
        assert_eq!(made["network"], network, "{bin}");
        assert_eq!(client.get(&card).ok(), made);
        // No more of its number is told than before.
        assert_eq!(made["first6"], bin[..6]);
        assert!(made.get("bin").is_none());
        let token = json!({"card_id": made["id"], "wallet": "apple_pay"});
        let token = client.post("/v1/tokens", token);
        token.created();
        assert_eq!(token.json()["first6"], bin[..6]);
        let reissued = client.post(&format!("{card}/reissue"), json!({"reason": "damaged"}));
        reissued.created();
        assert_eq!(reissued.json()["network"], network, "{bin} reissued");
    }
    let bins = json!(["411111", {"bin": "41111122"}, "371111"]);
    client.patch(&path(&id), json!({"bins": bins})).ok();
    switch.projected();
    let listed = client.get("/v1/cards").ok();
    let networks = |first6: &str| -> Vec<Value> {
        let cards = listed["data"].as_array().unwrap().iter();
        let cards = cards.filter(|card| card["first6"] == first6);
        cards.map(|card| card["network"].clone()).collect()
    };
    assert_eq!(networks("411111"), ["visa"; 4]);
    assert_eq!(networks("371111"), ["amex"; 2]);
}

#[test]
fn all_bins_are_listed_to_who_sees_their_programs() {
    let switch = Switch::start();
    let root = switch.client();
    let (id, other) = (program(&root).created(), root.program());
    let key = json!({"name": "r", "scopes": ["programs:read"], "program_ids": [other]});
    let bound = with_key(&root, key);
    let list = |client: &Client, query: &str| -> Vec<(String, String)> {
        let page = client.get(&format!("/v1/bins?{query}")).ok();
        let data = page["data"].as_array().unwrap().iter();
        let text = |of: &Value| of.as_str().unwrap().to_owned();
        data.map(|bin| (text(&bin["bin"]), text(&bin["program_id"])))
            .collect()
    };
    let of = |bins: &[(&str, &str)]| -> Vec<(String, String)> {
        let bins = bins.iter();
        bins.map(|(bin, id)| ((*bin).to_owned(), (*id).to_owned()))
            .collect()
    };
    let mut both = [("411111", &*id), ("411111", &*other)];
    both.sort_unstable();
    let all = [("371111", &*id), both[0], both[1], ("41111122", &*id)];
    assert_eq!(list(&root, ""), of(&all));
    assert_eq!(list(&bound, ""), of(&[("411111", &other)]));
    assert_eq!(list(&bound, &format!("program_id={id}")), []);
    for (query, expected) in [
        ("network=amex", &[all[0], all[3]][..]),
        ("region=EU", &[all[3]]),
        ("product_type=credit", &[all[0]]),
        (
            &*format!("program_id={other}&network=visa"),
            &[("411111", &*other)],
        ),
    ] {
        assert_eq!(list(&root, query), of(expected), "{query}");
    }
    // What no BIN can have is no filter.
    for wrong in ["region=0.5", "network=a%20b", "product_type=A"] {
        assert_eq!(
            root.get(&format!("/v1/bins?{wrong}")).status,
            400,
            "{wrong}"
        );
    }
    let page = root.get("/v1/bins?limit=2").ok();
    assert_eq!(page["has_more"], true);
    let after = page["data"][1]["id"].as_str().unwrap();
    assert_eq!(
        list(&root, &format!("starting_after={after}")),
        of(&all[2..])
    );
    let one = &page["data"][0];
    let told = ["network", "region", "product_type", "currency", "object"].map(|name| &one[name]);
    assert_eq!(
        told,
        ["amex", "US", "credit", "USD", "bin"]
            .map(|text| json!(text))
            .each_ref()
    );
}

fn of_program(id: &str) -> Value {
    json!({"program_id": id})
}

#[test]
fn cards_that_name_their_program_draw_on_its_master_account() {
    let switch = Switch::start();
    let client = switch.client();
    let (id, account) = client.program_and_account();
    assert_eq!(
        client.get(&path(&id)).ok()["master_account_id"],
        Value::Null
    );
    let refused = client.post("/v1/cards", of_program(&id));
    let expected = (409, "conflict", "no_master_account", Some("program_id"));
    assert_error(&refused, expected, "none yet");
    let now = client
        .patch(&path(&id), json!({"master_account_id": account}))
        .ok();
    assert_eq!(now["master_account_id"], json!(account));
    let card = client.post("/v1/cards", of_program(&id));
    card.created();
    assert_eq!(card.json()["account_id"], json!(account));
    let own = client.post("/v1/cards", json!({"program_id": id, "funding": "own"}));
    own.created();
    let own = own.json()["account_id"].as_str().unwrap().to_owned();
    let own = client.get(&format!("/v1/accounts/{own}")).ok();
    assert_eq!(own["parent_id"], json!(account));
    let rows = json!([of_program(&id), {"program_id": "prog_0000000000001"}]);
    let batch = client
        .post("/v1/card_batches", json!({"rows": rows}))
        .created();
    over(&client, &batch);
    let rows = rows_of(&client, &batch, "");
    let issued = rows[0]["card_id"].as_str().unwrap();
    let issued = client.get(&format!("/v1/cards/{issued}")).ok();
    assert_eq!(issued["account_id"], json!(account));
    assert_eq!(rows[1]["error"]["code"], "program_not_found");

    let both = json!({"program_id": id, "account_id": account});
    let both = client.post("/v1/cards", both);
    let expected = (400, "invalid_request", "value_unknown", Some("program_id"));
    assert_error(&both, expected, "both");
    let neither = client.post("/v1/cards", json!({}));
    let expected = (400, "invalid_request", "field_missing", Some("account_id"));
    assert_error(&neither, expected, "neither");
    let nowhere = client.post("/v1/cards", of_program("prog_0000000000001"));
    let expected = (404, "not_found", "program_not_found", Some("program_id"));
    assert_error(&nowhere, expected, "nowhere");

    // One that is closed later stays, and no card draws on it any more.
    let second = client.account(&id);
    client
        .patch(&path(&id), json!({"master_account_id": second}))
        .ok();
    client
        .post(&format!("/v1/accounts/{second}/close"), json!({}))
        .ok();
    let refused = client.post("/v1/cards", of_program(&id));
    let expected = (409, "conflict", "account_closed", Some("program_id"));
    assert_error(&refused, expected, "closed");
    assert_eq!(
        client.get(&path(&id)).ok()["master_account_id"],
        json!(second)
    );
    let ended = client
        .patch(&path(&id), json!({"master_account_id": "none"}))
        .ok();
    assert_eq!(ended["master_account_id"], Value::Null);

    let disk = switch.disk.clone();
    drop(switch);
    let switch = Switch::start_on(disk, Default::default());
    assert_eq!(switch.client().get(&path(&id)).ok(), ended);
}

#[test]
fn a_master_account_is_an_open_root_account_of_the_program_in_its_currency() {
    let switch = Switch::start();
    let root = switch.client();
    let (id, account) = root.program_and_account();
    let open = |body: Value| root.post("/v1/accounts", body).created();
    let below = open(json!({"program_id": id, "parent_id": account}));
    let euros = open(json!({"program_id": id, "currency": "EUR"}));
    let closed = root.account(&id);
    root.post(&format!("/v1/accounts/{closed}/close"), json!({}))
        .ok();
    let (_, others) = root.program_and_account();
    let set = |client: &Client, account: &str| {
        client.patch(&path(&id), json!({"master_account_id": account}))
    };
    let param = Some("master_account_id");
    for (account, code) in [
        (&below, "account_not_root"),
        (&euros, "currency_mismatch"),
        (&closed, "account_closed"),
        (&others, "program_mismatch"),
    ] {
        assert_error(&set(&root, account), (409, "conflict", code, param), code);
    }
    let unknown = (404, "not_found", "account_not_found", param);
    assert_error(&set(&root, "acct_0000000000001"), unknown, "unknown");
    let malformed = (400, "invalid_request", "id_malformed", param);
    assert_error(&set(&root, "some"), malformed, "malformed");
    // To a bound key an account of another program is not there.
    let scopes = json!([
        "programs:write",
        "programs:read",
        "cards:issue",
        "cards:read"
    ]);
    let bound = with_key(
        &root,
        json!({"name": "b", "scopes": scopes, "program_ids": [id]}),
    );
    assert_error(&set(&bound, &others), unknown, "of others");
    set(&bound, &account).ok();
    bound.post("/v1/cards", of_program(&id)).created();

    // A key that is bound by account names it; and a batch tells it nothing of programs that it does not see.
    let keys =
        json!({"name": "a", "scopes": ["cards:issue", "cards:read"], "account_ids": [others]});
    let by_account = with_key(&root, keys);
    let refused = by_account.post("/v1/cards", of_program(&id));
    let expected = (404, "not_found", "program_not_found", Some("program_id"));
    assert_error(&refused, expected, "by account");
    let rows = json!({"rows": [of_program(&id), {"account_id": others}]});
    let batch = by_account.post("/v1/card_batches", rows).created();
    over(&root, &batch);
    let rows = rows_of(&root, &batch, "");
    assert_eq!(rows[0]["error"]["code"], "program_not_found");
    assert_eq!(rows[1]["status"], "issued");
}

#[test]
fn a_number_of_a_bin_begins_with_no_longer_one_of_its_program() {
    let switch = Switch::start();
    let client = switch.client();
    let mut bins = vec![json!("411111")];
    bins.extend((0..49).map(|end| json!({"bin": format!("411111{end:02}"), "network": "amex"})));
    let body =
        json!({"name": "Ads", "network": "visa", "bin": "411111", "currency": "USD", "bins": bins});
    let account = client.account(&client.post("/v1/programs", body).created());
    // Half of all that begin with 411111 are of another BIN: sixteen in a row are no luck.
    for _ in 0..16 {
        let card = client.get(&format!("/v1/cards/{}", client.card(&account)));
        assert_eq!(card.ok()["network"], "visa");
    }
}

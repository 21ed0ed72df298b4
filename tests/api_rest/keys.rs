//! API keys: scopes route by route, what a bound key sees, and the audit log.

use crate::authorizations::{carry_out, carry_out_for, request};
use crate::card_batches::{over, rows_of};
use crate::fees::schedule_for_cards;
use crate::harness::{Client, Switch};
use crate::refusals::assert_error;
use cardswitch::api::bounds::About;
use cardswitch::api::openapi::operations;
use cardswitch::api::{Route, table};
use cardswitch::engine::api_keys::Scope;
use cardswitch::engine::audit::Requester;
use cardswitch::engine::command::{Action, ChangeCardStatus, StatusChange};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A client with a new key.
pub fn with_key(root: &Client, body: Value) -> Client {
    with_key_and_id(root, body).0
}

pub fn with_key_and_id(root: &Client, body: Value) -> (Client, String) {
    let made = root.post("/v1/api_keys", body);
    let id = made.created();
    let key = made.json()["key"].as_str().unwrap().to_owned();
    (root.header("Authorization", &format!("Bearer {key}")), id)
}

fn all_but(scope: Scope) -> Vec<&'static str> {
    let others = Scope::ALL.iter().filter(|other| **other != scope);
    others.map(|scope| scope.name()).collect()
}

/// A path with ids that nothing has.
pub fn nowhere(route: &Route) -> String {
    if route.path == "/v1/events/stream" {
        // One that is let in gets a stream without an end.
        return format!("{}?type=none", route.path);
    }
    let path = route.path.replace("{type}", "project");
    let path = path.replace("{backtest_id}", "bt_000000000000z");
    let prefix = match route.about {
        About::Program => "prog",
        About::Account => "acct",
        About::Card => "card",
        About::Authorization => "auth",
        About::Transaction => "txn",
        About::Rule => "rule",
        About::Cardholder => "holder",
        About::Exception => "exc",
        About::DecisionEndpoint => "dep",
        About::CardBatch => "batch",
        About::Transfer => "trf",
        About::TopUp => "topup",
        About::Token => "tok",
        _ => "key",
    };
    path.replace("{id}", &format!("{prefix}_000000000000z"))
}

#[test]
fn every_route_asks_for_its_scope_and_for_no_other() {
    let switch = Switch::start();
    let root = switch.client();
    let stranger = root.header("Authorization", "Bearer csk_of_nobody_knows_whom");
    for scope in Scope::ALL {
        let routes: Vec<Route> = table().into_iter().filter(|r| r.scope == *scope).collect();
        if routes.is_empty() {
            continue;
        }
        let only = with_key(&root, json!({"name": "only", "scopes": [scope.name()]}));
        let others = with_key(&root, json!({"name": "others", "scopes": all_but(*scope)}));
        for route in routes {
            let (method, path) = (route.method, nowhere(&route));
            let told = |client: &Client| client.send(method, &path, b"");
            let (status, kind, code, param) = told(&others).error();
            let expected = (403, "permission", "scope_missing");
            assert_eq!((status, &*kind, &*code), expected, "{method} {path}");
            assert_eq!(param.as_deref(), Some(scope.name()), "{method} {path}");
            let let_in = told(&only);
            assert!(![401, 403].contains(&let_in.status), "{method} {path}");
            assert!(let_in.status < 500, "{method} {path}: {}", let_in.text);
            let (status, kind, code, _) = told(&stranger).error();
            let expected = (401, "authentication", "api_key_unknown");
            assert_eq!((status, &*kind, &*code), expected, "{method} {path}");
            let (status, ..) = told(&root.without_key()).error();
            assert_eq!(status, 401, "{method} {path}");
        }
    }
}

/// A payment that is posted: its authorization and its transaction.
fn pay(switch: &Switch, account: &str, card: &str) -> (String, String) {
    let mut payment = request(switch, card, 100);
    payment.posts = true;
    let id = payment.authorization_id.to_string();
    carry_out(switch, account.parse().unwrap(), Action::Authorize(payment));
    let told = switch
        .client()
        .get(&format!("/v1/authorizations/{id}"))
        .ok();
    let transaction = told["transactions"][0].as_str().unwrap().to_owned();
    (id, transaction)
}

/// One of everything, in one program.
struct Part {
    program: String,
    account: String,
    card: String,
    holder: String,
    rule: String,
    backtest: String,
    exception: String,
    endpoint: String,
    link: &'static str,
    authorization: String,
    transaction: String,
    /// Ordered with a key that is bound to the account.
    batch: String,
    transfer: String,
    top_up: String,
    /// Of the card.
    fee: String,
    token: String,
}

impl Part {
    /// One for each way of being bound to it, with every scope.
    fn bound_keys(&self, root: &Client) -> [(&'static str, Client); 3] {
        let scopes: Vec<_> = Scope::ALL.iter().map(|scope| scope.name()).collect();
        [
            ("program_ids", json!([self.program])),
            ("account_ids", json!([self.account])),
            ("links", json!([{"type": "project", "id": self.link}])),
        ]
        .map(|(bound_by, to)| {
            let key = json!({"name": "b", "scopes": scopes, bound_by: to});
            (bound_by, with_key(root, key))
        })
    }

    fn make(switch: &Switch, link: &'static str) -> Part {
        let root = switch.client();
        let (program, account) = root.program_and_account();
        let top_up = json!({"amount": 100_000, "currency": "USD", "method": "internal"});
        let top_ups = format!("/v1/accounts/{account}/top_ups");
        let top_up = root.post(&top_ups, top_up).created();
        let schedule = schedule_for_cards(&root, 1);
        let body = json!({"fee_schedule": schedule});
        root.patch(&format!("/v1/programs/{program}"), body).ok();
        let links = json!([{"type": "project", "id": link}]);
        let body = json!({"account_id": account, "links": links});
        let card = root.post("/v1/cards", body).created();
        let body = json!({"card_id": card, "wallet": "apple_pay"});
        let token = root.post("/v1/tokens", body).created();
        let body = json!({"program_id": program, "home_country": "IE"});
        let holder = root.post("/v1/cardholders", body).created();
        let body = json!({"program_id": program, "name": "large", "expression": "amount > 1000000", "action": "flag"});
        let rule = root.post("/v1/rules", body).created();
        let backtests = format!("/v1/rules/{rule}/backtests");
        let backtest = root.post(&backtests, json!({})).created();
        let body = json!({"card_id": card, "lifts": {"mcc": ["7995"]}, "ends_at": "2099-01-01T00:00:00Z",
                          "reason": "trip"});
        let exception = root.post("/v1/exceptions", body).created();
        let body = json!({"program_id": program, "url": "http://127.0.0.1:9/", "enabled": false});
        let endpoint = root.post("/v1/decision_endpoints", body).created();
        let (authorization, transaction) = pay(switch, &account, &card);
        let sub = json!({"program_id": program, "parent_id": account});
        let sub = root.post("/v1/accounts", sub).created();
        let body = json!({"from_account_id": account, "to_account_id": sub, "amount": 1, "currency": "USD"});
        let transfer = root.post("/v1/transfers", body).created();
        let body = json!({"name": "orders", "scopes": ["cards:issue"], "account_ids": [account]});
        let orders = json!({"rows": [{"account_id": account}]});
        let batch = with_key(&root, body).post("/v1/card_batches", orders);
        switch.projected();
        let fees = root.get(&format!("/v1/fees?card_id={card}")).ok();
        let fee = fees["data"][0]["id"].as_str().unwrap().to_owned();
        Part {
            program,
            account,
            card,
            holder,
            rule,
            backtest,
            exception,
            endpoint,
            link,
            authorization,
            transaction,
            batch: batch.created(),
            transfer,
            top_up,
            fee,
            token,
        }
    }

    /// The path of a route with the object of this part in it.
    fn path(&self, route: &Route) -> Option<String> {
        let id = match route.about {
            About::Program => &self.program,
            About::Account => &self.account,
            About::Card => &self.card,
            About::Authorization => &self.authorization,
            About::Transaction => &self.transaction,
            About::Rule => &self.rule,
            About::Cardholder => &self.holder,
            About::Exception => &self.exception,
            About::DecisionEndpoint => &self.endpoint,
            About::CardBatch => &self.batch,
            About::Transfer => &self.transfer,
            About::TopUp => &self.top_up,
            About::Fee => &self.fee,
            About::Token => &self.token,
            About::Link => self.link,
            About::Everything
            | About::Anything
            | About::Several
            | About::Body
            | About::OfProgram => return None,
        };
        let path = route.path.replace("{backtest_id}", &self.backtest);
        Some(path.replace("{type}", "project").replace("{id}", id))
    }
}

/// What a key bound so sees of what routes are about.
fn sees(bound_by: &str, about: About) -> bool {
    match about {
        // What belongs to a program is not on an account, nor linked.
        About::Program | About::Rule | About::Cardholder | About::DecisionEndpoint => {
            bound_by == "program_ids"
        }
        About::Account | About::Transfer | About::TopUp => bound_by != "links",
        // It belongs to who is bound as the key that ordered it.
        About::CardBatch => bound_by == "account_ids",
        _ => true,
    }
}

#[test]
fn a_bound_key_sees_what_it_is_bound_to_and_nothing_else_route_by_route() {
    let switch = Switch::start();
    let root = switch.client();
    let (own, other) = (Part::make(&switch, "own"), Part::make(&switch, "other"));
    for (bound_by, bound) in own.bound_keys(&root) {
        for route in table() {
            let told = |path: &str| bound.send(route.method, path, b"{\"nothing\": 1}");
            match (own.path(&route), other.path(&route)) {
                (Some(inside), Some(outside)) => {
                    let (status, _, code, _) = told(&outside).error();
                    // It may make an object of this name known in its own program, and this body is wrong for that.
                    let makes_known = route.about == About::Link && bound_by == "program_ids";
                    let expected = match makes_known && route.method != "GET" {
                        true => 400,
                        false => 404,
                    };
                    assert_eq!(status, expected, "{bound_by}: {} {outside}", route.method);
                    let gone = root.send(route.method, &nowhere(&route), b"{\"nothing\": 1}");
                    if route.method == "GET" && route.about != About::Link {
                        assert_eq!(gone.error().2, code, "as if it were not there");
                    }
                    let seen = told(&inside);
                    let is_seen = ![403, 404].contains(&seen.status);
                    let expected = sees(bound_by, route.about);
                    assert_eq!(
                        is_seen, expected,
                        "{bound_by}: {} {inside} {}",
                        route.method, seen.text
                    );
                }
                _ if route.about == About::Everything => {
                    let (status, _, code, _) = told(&nowhere(&route)).error();
                    assert_eq!((status, &*code), (403, "key_is_bound"), "{}", route.path);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn lists_leave_out_what_a_bound_key_does_not_see() {
    let switch = Switch::start();
    let root = switch.client();
    let (own, other) = (Part::make(&switch, "own"), Part::make(&switch, "other"));
    switch.projected();
    for (bound_by, bound) in own.bound_keys(&root) {
        for (path, own_id, other_id, about) in [
            ("/v1/programs", &own.program, &other.program, About::Program),
            ("/v1/accounts", &own.account, &other.account, About::Account),
            ("/v1/cards", &own.card, &other.card, About::Card),
            (
                "/v1/authorizations",
                &own.authorization,
                &other.authorization,
                About::Card,
            ),
            (
                "/v1/transactions",
                &own.transaction,
                &other.transaction,
                About::Card,
            ),
            ("/v1/rules", &own.rule, &other.rule, About::Rule),
            ("/v1/tokens", &own.token, &other.token, About::Token),
            (
                "/v1/cardholders",
                &own.holder,
                &other.holder,
                About::Cardholder,
            ),
            ("/v1/top_ups", &own.top_up, &other.top_up, About::TopUp),
            (
                "/v1/transfers",
                &own.transfer,
                &other.transfer,
                About::Transfer,
            ),
            (
                "/v1/exceptions",
                &own.exception,
                &other.exception,
                About::Exception,
            ),
            (
                "/v1/decision_endpoints",
                &own.endpoint,
                &other.endpoint,
                About::DecisionEndpoint,
            ),
        ] {
            let listed = bound.get(path).ok();
            let ids: Vec<_> = listed["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| &one["id"])
                .collect();
            assert!(!ids.contains(&&json!(other_id)), "{bound_by} {path}");
            let is_seen = ids.contains(&&json!(own_id));
            assert_eq!(is_seen, sees(bound_by, about), "{bound_by} {path}");
            let all = root.get(path).ok()["data"].as_array().unwrap().len();
            assert!(all >= 2, "{path}");
            // As a place to go on behind it is like an id that nothing has.
            let (prefix, _) = other_id.split_once('_').unwrap();
            let behind = |id: &str| {
                let page = bound.get(&format!("{path}?starting_after={id}"));
                (page.status, page.json()["error"]["code"].clone())
            };
            let nothing = format!("{prefix}_0000000000001");
            assert_eq!(behind(other_id), behind(&nothing), "{bound_by} {path}");
            if is_seen {
                assert_eq!(behind(own_id).0, 200, "{bound_by} {path}");
            }
        }
    }
}

/// Lists that have nothing of any program here, or what all share.
const EMPTY_OR_SHARED: [&str; 7] = [
    "/v1/deliveries",
    "/v1/settlement_reports",
    "/v1/settlement_reports.csv",
    "/v1/mcc_groups",
    "/v1/merchant_lists",
    "/v1/exchange_rates",
    "/v1/fee_schedules",
];

/// One of everything in another program, by the resource of its path. There is nobody here who delivers.
fn ids_of_another(switch: &Switch) -> BTreeMap<&'static str, String> {
    let root = switch.client();
    let subscribed = json!({"events": ["*"]});
    root.post("/v1/webhook_endpoints", subscribed).created();
    let other = Part::make(switch, "other");
    let bound = |mut body: Value| {
        body["program_ids"] = json!([other.program]);
        body
    };
    let guards = json!({"second_approver": {"top_ups": {"above": 1_000_000}}});
    root.patch(&format!("/v1/programs/{}", other.program), guards)
        .ok();
    let top_up = json!({"amount": 2_000_000, "currency": "USD", "method": "swift"});
    let asked = root.post(&format!("/v1/accounts/{}/top_ups", other.account), top_up);
    assert_eq!(asked.status, 202, "{}", asked.text);
    let endpoint = bound(json!({"events": ["card.*"]}));
    let endpoint = root.post("/v1/webhook_endpoints", endpoint).created();
    let key = bound(json!({"name": "other", "scopes": ["cards:read"]}));
    let key = root.post("/v1/api_keys", key).created();
    let items = json!([{"kind": "issue_virtual", "fee": {"amount": 1}}]);
    let schedule = json!({"name": "other", "currency": "USD", "items": items});
    let schedule = root.post("/v1/fee_schedules", schedule).created();
    switch.projected();
    let events = root.get(&format!("/v1/events?card_id={}", other.card)).ok();
    let event = events["data"][0]["id"].as_str().unwrap().to_owned();
    BTreeMap::from([
        ("programs", other.program),
        ("accounts", other.account),
        ("cards", other.card),
        ("cardholders", other.holder),
        ("rules", other.rule),
        ("exceptions", other.exception),
        ("decision_endpoints", other.endpoint),
        ("authorizations", other.authorization),
        ("transactions", other.transaction),
        ("card_batches", other.batch),
        ("transfers", other.transfer),
        ("top_ups", other.top_up),
        ("fees", other.fee),
        ("tokens", other.token),
        ("links", other.link.to_owned()),
        ("approvals", asked.json()["id"].as_str().unwrap().to_owned()),
        ("webhook_endpoints", endpoint),
        ("api_keys", key),
        ("fee_schedules", schedule),
        ("events", event),
        ("deliveries", "dlv_0000000000001".to_owned()),
        // Those that come with the program are everybody's.
        ("mcc_groups", "mccg_0000000000001".to_owned()),
        ("merchant_lists", "mlst_0000000000001".to_owned()),
    ])
}

/// From the document and not from the table of routes, so that nothing depends on what a route says of itself.
#[test]
fn no_operation_of_the_document_tells_a_bound_key_of_another_program() {
    let switch = Switch::start();
    let root = switch.client();
    let ids = ids_of_another(&switch);
    let own = Part::make(&switch, "own");
    switch.projected();
    let names_other = |text: &str| {
        // A link's id is a word that may be anywhere.
        let mut all = ids.iter().filter(|(resource, _)| **resource != "links");
        all.any(|(_, id)| text.contains(id.as_str()))
    };
    for (bound_by, bound) in own.bound_keys(&root) {
        for operation in operations() {
            let (method, path) = (operation.method, operation.path);
            if path == "/v1/events/stream" {
                continue;
            }
            if path.contains("{id}") {
                let resource = path.split('/').nth(2).unwrap();
                let id = ids.get(resource);
                let id =
                    id.unwrap_or_else(|| panic!("{path}: make one of these in another program"));
                let told = |id: &str| {
                    let path = path.replace("{type}", "project").replace("{id}", id);
                    let (status, _, code, _) =
                        bound.send(method, &path, b"{\"nothing\": 1}").error();
                    (status, code)
                };
                // As of what is not there; some say first what is wrong with this body.
                let (prefix, _) = id.rsplit_once('_').unwrap_or_default();
                let answer = told(id);
                let of_nothing = told(&format!("{prefix}_000000000000z"));
                assert_eq!(answer, of_nothing, "{bound_by}: {method} {path}");
                let (status, code) = &answer;
                let says_what_is_wrong = *status == 400 && method != "GET";
                assert!(
                    *status == 404
                        || says_what_is_wrong
                        || (*status, &**code) == (403, "key_is_bound"),
                    "{bound_by}: {method} {path} {answer:?}"
                );
            } else if method == "GET" {
                let query = match path.starts_with("/v1/settlement_reports") {
                    true => "?date=2026-11-24",
                    false => "?limit=100",
                };
                let query = if path == "/v1/exchange_rates" {
                    ""
                } else {
                    query
                };
                let listed = format!("{path}{query}");
                let told = bound.get(&listed);
                assert!([200, 403].contains(&told.status), "{listed}: {}", told.text);
                assert!(
                    !names_other(&told.text),
                    "{bound_by}: {listed} {}",
                    told.text
                );
                let all = root.get(&listed);
                let is_shown = names_other(&all.text) || EMPTY_OR_SHARED.contains(&path);
                assert!(is_shown, "{listed} shows nothing that could be left out");
            }
        }
    }
}

#[test]
fn a_body_names_only_what_the_key_sees() {
    let switch = Switch::start();
    let root = switch.client();
    let (own, other) = (Part::make(&switch, "own"), Part::make(&switch, "other"));
    let owner = |bounds: Value| {
        let mut body = json!({"name": "b", "preset": "owner"});
        for (name, value) in bounds.as_object().unwrap() {
            body[name] = value.clone();
        }
        with_key(&root, body)
    };
    let refused = |client: &Client, path: &str, body: Value, param: &str| {
        let (status, _, _, at) = client.post(path, body).error();
        assert_eq!((status, at.as_deref()), (404, Some(param)), "{path}");
    };
    let by_account = owner(json!({"account_ids": [own.account]}));
    refused(
        &by_account,
        "/v1/cards",
        json!({"account_id": other.account}),
        "account_id",
    );
    by_account
        .post("/v1/cards", json!({"account_id": own.account}))
        .created();
    let sub = json!({"program_id": own.program, "currency": "USD", "parent_id": other.account});
    refused(&by_account, "/v1/accounts", sub, "parent_id");
    let by_program = owner(json!({"program_ids": [own.program]}));
    let account = json!({"program_id": other.program, "currency": "USD"});
    refused(&by_program, "/v1/accounts", account, "program_id");
    let by_link = owner(json!({"links": [{"type": "project", "id": "own"}]}));
    let linked =
        |id: &str| json!({"account_id": own.account, "links": [{"type": "project", "id": id}]});
    let (status, _, code, param) = by_link.post("/v1/cards", linked("new")).error();
    let told = (status, &*code, param.as_deref());
    assert_eq!(told, (403, "key_is_bound", Some("links")));
    by_link.post("/v1/cards", linked("own")).created();
    let exception = json!({"card_id": other.card, "lifts": {"mcc": ["7995"]}, "ends_at": "2099-01-01T00:00:00Z",
                           "reason": "trip"});
    refused(&by_program, "/v1/exceptions", exception, "card_id");
    // What is for a whole program is not for a key that is bound by account or link, and nothing is made outside.
    let rule = |part: &Part| json!({"program_id": part.program, "name": "n", "expression": "amount > 1", "action": "flag"});
    let holder = |part: &Part| json!({"program_id": part.program, "home_country": "IE"});
    let endpoint =
        json!({"program_id": own.program, "url": "http://127.0.0.1:9/", "enabled": false});
    for client in [&by_account, &by_link] {
        for (path, body) in [
            ("/v1/rules", rule(&own)),
            ("/v1/cardholders", holder(&own)),
            ("/v1/decision_endpoints", endpoint.clone()),
            (
                "/v1/accounts",
                json!({"program_id": own.program, "currency": "USD"}),
            ),
        ] {
            let (status, _, code, _) = client.post(path, body).error();
            assert_eq!((status, &*code), (403, "key_is_bound"), "{path}");
        }
    }
    by_program.post("/v1/rules", rule(&own)).created();
    refused(&by_program, "/v1/rules", rule(&other), "program_id");
    refused(&by_program, "/v1/cardholders", holder(&other), "program_id");
    let for_link = |id: &str| {
        json!({"link": {"type": "project", "id": id}, "lifts": {"mcc": ["7995"]},
               "ends_at": "2099-01-01T00:00:00Z", "reason": "trip"})
    };
    for client in [&by_account, &by_link, &by_program] {
        refused(client, "/v1/exceptions", for_link("other"), "link");
        client.post("/v1/exceptions", for_link("own")).created();
    }
    let wallet = json!({"account_id": own.account, "wallet_account_ids": [other.account]});
    refused(&by_account, "/v1/cards", wallet, "wallet_account_ids");
}

#[test]
fn a_key_makes_no_key_that_does_or_sees_more() {
    let switch = Switch::start();
    let root = switch.client();
    let (program, account) = root.program_and_account();
    let scopes = json!(["keys:write", "keys:read", "cards:read"]);
    let maker = with_key(
        &root,
        json!({"name": "maker", "scopes": scopes, "program_ids": [program]}),
    );
    for (body, code) in [
        (
            json!({"name": "x", "scopes": ["cards:issue"], "program_ids": [program]}),
            "scope_beyond_caller",
        ),
        (
            json!({"name": "x", "preset": "owner", "program_ids": [program]}),
            "scope_beyond_caller",
        ),
        (
            json!({"name": "x", "scopes": ["cards:read"]}),
            "bounds_beyond_caller",
        ),
        (
            json!({"name": "x", "scopes": ["cards:read"], "account_ids": [account]}),
            "bounds_beyond_caller",
        ),
    ] {
        let (status, kind, told, _) = maker.post("/v1/api_keys", body).error();
        assert_eq!((status, &*kind, &*told), (403, "permission", code));
    }
    let body = json!({"name": "x", "scopes": ["cards:read"], "program_ids": [program], "account_ids": [account]});
    let made = maker.post("/v1/api_keys", body);
    let id = made.created();
    let shown = root.get(&format!("/v1/api_keys/{id}")).ok();
    assert_eq!(
        shown["created_by"],
        maker.get("/v1/api_keys").ok()["data"][1]["id"]
    );
    assert_eq!(shown.get("key"), None, "a key is shown once");
    // It sees itself and what it made.
    assert_eq!(
        maker.get("/v1/api_keys").ok()["data"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn keys_are_revoked_rolled_and_expire() {
    let (switch, now) = Switch::start_with_clock();
    let root = switch.client();
    let body = json!({"name": "a", "preset": "auditor"});
    let made = root
        .header("Idempotency-Key", "k")
        .post("/v1/api_keys", body.clone());
    let id = made.created();
    let repeated = root
        .header("Idempotency-Key", "k")
        .post("/v1/api_keys", body)
        .json();
    assert_eq!(
        (&repeated["id"], &repeated["key"]),
        (&json!(id), &Value::Null)
    );
    let bearer = |made: &Value| {
        let key = made["key"].as_str().unwrap();
        assert!(key.starts_with("csk_") && key.len() == 47, "{key}");
        root.header("Authorization", &format!("Bearer {key}"))
    };
    let first = bearer(&made.json());
    first.get("/v1/audit_log").ok();
    let roll = root.post(
        &format!("/v1/api_keys/{id}/roll"),
        json!({"overlap_seconds": 60}),
    );
    roll.created();
    let second = bearer(&roll.json());
    for client in [&first, &second] {
        client.get("/v1/programs").ok();
    }
    let minute = 60_000;
    now.fetch_add(minute, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(first.get("/v1/programs").error().2, "api_key_revoked");
    second.get("/v1/programs").ok();
    let revoke = format!(
        "/v1/api_keys/{}/revoke",
        roll.json()["id"].as_str().unwrap()
    );
    assert_eq!(root.post(&revoke, json!({})).ok()["status"], "revoked");
    assert_eq!(second.get("/v1/programs").error().2, "api_key_revoked");
    let again = root.post(&format!("/v1/api_keys/{id}/roll"), json!({}));
    assert_eq!(again.error().2, "api_key_not_active");
    let at =
        cardswitch::engine::time::Timestamp(now.load(std::sync::atomic::Ordering::SeqCst) + minute);
    let short = with_key(
        &root,
        json!({"name": "s", "preset": "support", "expires_at": at.to_string()}),
    );
    short.get("/v1/programs").ok();
    now.fetch_add(minute, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(short.get("/v1/programs").error().2, "api_key_expired");
}

#[test]
fn a_key_is_good_from_its_addresses_only() {
    let switch = Switch::start();
    let root = switch.client();
    let of = |ips: Value| {
        with_key(
            &root,
            json!({"name": "n", "preset": "support", "allowed_ips": ips}),
        )
    };
    of(json!(["127.0.0.0/8"])).get("/v1/programs").ok();
    let mapped = json!(["::ffff:127.0.0.0/104"]);
    of(mapped).get("/v1/programs").ok();
    let wide = json!({"name": "n", "preset": "support", "allowed_ips": ["127.0.0.1/0"]});
    let made = root.post("/v1/api_keys", wide).json();
    assert_eq!(
        made["allowed_ips"],
        json!(["0.0.0.0/0"]),
        "it says what it is"
    );
    let mixed = json!({"name": "n", "preset": "support", "allowed_ips": ["::ffff:127.0.0.1/95"]});
    assert_eq!(
        root.post("/v1/api_keys", mixed).error().2,
        "address_invalid"
    );
    let elsewhere = of(json!(["192.0.2.1", "2001:db8::/32"]));
    let (status, _, code, _) = elsewhere.get("/v1/programs").error();
    assert_eq!((status, &*code), (403, "address_not_allowed"));
}

#[test]
fn tightening_is_one_scope_and_loosening_another() {
    let switch = Switch::start();
    let root = switch.client();
    let (_, account) = root.program_and_account();
    let limits = |amount: i64| json!({"controls": {"limits": [{"id": "lim_0000000000001", "window": "day", "amount": amount}]}});
    let body = json!({"account_id": account, "controls": limits(500)["controls"]});
    let card = root.post("/v1/cards", body).created();
    let path = format!("/v1/cards/{card}");
    let lower = with_key(&root, json!({"name": "l", "scopes": ["limits:write"]}));
    let both = with_key(
        &root,
        json!({"name": "b", "scopes": ["limits:write", "limits:raise"]}),
    );
    lower.patch(&path, limits(400)).ok();
    let (status, _, code, param) = lower.patch(&path, limits(401)).error();
    assert_eq!(
        (status, &*code, param.as_deref()),
        (403, "scope_missing", Some("limits:raise"))
    );
    assert_eq!(lower.patch(&path, json!({"controls": {}})).status, 403);
    both.patch(&path, limits(401)).ok();
    let link = "/v1/links/project/p1";
    root.post(
        "/v1/cards",
        json!({"account_id": account, "links": [{"type": "project", "id": "p1"}]}),
    )
    .created();
    let block = |codes: Value| json!({"controls": {"mcc": {"block": codes}}});
    lower.put(link, block(json!(["7995", "5411"]))).ok();
    assert_eq!(lower.put(link, block(json!(["7995"]))).status, 403);
    both.put(link, block(json!(["7995"]))).ok();
}

/// As if the process had ended between the change and its entry.
#[test]
fn a_change_without_an_entry_is_in_the_audit_log_all_the_same() {
    let switch = Switch::start();
    let root = switch.client();
    let part = Part::make(&switch, "own");
    let change = ChangeCardStatus {
        card_id: part.card.parse().unwrap(),
        change: StatusChange::Freeze,
    };
    let requester = Requester {
        api_key_id: None,
        action: "POST /v1/cards/{id}/freeze".into(),
        object_id: Some(part.card.as_str().into()),
        request_id: "req_cut_off".into(),
        address: Some("192.0.2.7".into()),
        in_background: false,
    };
    let tree = part.account.parse().unwrap();
    let tree = switch.switchboard.directory.root_of(tree);
    carry_out_for(
        &switch,
        tree,
        Action::ChangeCardStatus(change),
        Some(requester.into()),
    );
    switch.projected();
    let log = root
        .get(&format!("/v1/audit_log?object_id={}", part.card))
        .ok();
    let entry = &log["data"][0];
    assert_eq!(entry["outcome"], "unknown");
    assert_eq!(entry["request_id"], "req_cut_off");
    assert_eq!(entry["address"], "192.0.2.7");
    assert_eq!(entry["after"], Value::Null);
    assert_eq!(log["data"][1]["outcome"], "done");
}

#[test]
fn the_audit_log_says_who_changed_what_and_how_it_was_before() {
    let switch = Switch::start();
    let root = switch.client();
    let part = Part::make(&switch, "own");
    Part::make(&switch, "other");
    let simulated = json!({"card_id": part.card, "amount": 100, "currency": "USD"});
    root.post("/v1/simulate/authorizations", simulated)
        .created();
    let support = with_key(&root, json!({"name": "s", "preset": "support"}));
    let frozen = support.post(&format!("/v1/cards/{}/freeze", part.card), json!({}));
    frozen.ok();
    let reveal = root.post(
        &format!("/v1/cards/{}/reveal", part.card),
        json!({"reason": "call"}),
    );
    let pan = reveal.ok()["pan"].as_str().unwrap().to_owned();
    switch.projected();
    let log = root
        .get(&format!("/v1/audit_log?object_id={}", part.card))
        .ok();
    let entries = log["data"].as_array().unwrap();
    let actions: Vec<_> = entries
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "POST /v1/cards/{id}/reveal",
            "POST /v1/cards/{id}/freeze",
            "POST /v1/cards"
        ]
    );
    // Why somebody saw the number, and not the number.
    assert_eq!(entries[0]["after"]["reason"], "call");
    assert_eq!(entries[0]["after"]["pan"], Value::Null);
    let freeze = &entries[1];
    assert_eq!(freeze["before"]["status"], "active");
    assert_eq!(freeze["after"]["status"], "frozen");
    assert_eq!(freeze["address"], "127.0.0.1");
    assert_eq!(freeze["api_key_name"], "s");
    assert_eq!(entries[0]["api_key_name"], "root");
    assert_eq!(freeze["request_id"], frozen.header("Request-Id").unwrap());
    let by_key = format!(
        "/v1/audit_log?api_key_id={}",
        freeze["api_key_id"].as_str().unwrap()
    );
    assert_eq!(root.get(&by_key).ok()["data"].as_array().unwrap().len(), 1);
    assert!(!log.to_string().contains(&pan));
    // Pages go on where the one before ended.
    let first = root.get("/v1/audit_log?limit=2").ok();
    let last = first["data"][1]["id"].as_str().unwrap();
    let rest = root
        .get(&format!("/v1/audit_log?limit=100&starting_after={last}"))
        .ok();
    let all = root.get("/v1/audit_log?limit=100").ok();
    let count = |page: &Value| page["data"].as_array().unwrap().len();
    assert_eq!(count(&first) + count(&rest), count(&all));
    // Bound by program, it is the program's.
    let scopes = json!(["audit:read"]);
    let bound = with_key(
        &root,
        json!({"name": "b", "scopes": scopes, "program_ids": [part.program]}),
    );
    let seen = bound.get("/v1/audit_log?limit=100").ok();
    for entry in seen["data"].as_array().unwrap() {
        assert_eq!(entry["program_id"], json!(part.program));
    }
    let told = |page: &Value, path: &str| {
        let mut actions = page["data"].as_array().unwrap().iter();
        actions.any(|entry| entry["action"] == format!("POST {path}"))
    };
    for path in [
        "/v1/accounts/{id}/top_ups",
        "/v1/transfers",
        "/v1/cards",
        "/v1/cards/{id}/reveal",
        "/v1/cards/{id}/freeze",
        "/v1/tokens",
        "/v1/exceptions",
        "/v1/card_batches",
        "/v1/decision_endpoints",
        "/v1/cardholders",
        "/v1/simulate/authorizations",
    ] {
        assert!(told(&seen, path), "{path}: {seen:#}");
    }
    // Of what all programs share the log tells nobody who is bound.
    assert!(told(&all, "/v1/fee_schedules") && !told(&seen, "/v1/fee_schedules"));
    let linked = json!({"name": "b", "scopes": scopes, "account_ids": [part.account]});
    assert_eq!(
        with_key(&root, linked).get("/v1/audit_log").error().2,
        "key_is_bound"
    );
}

#[test]
fn a_key_bound_to_a_link_draws_on_its_tree_and_names_no_other_link() {
    let switch = Switch::start();
    let root = switch.client();
    let (own, other) = (Part::make(&switch, "own"), Part::make(&switch, "other"));
    let link = json!({"type": "project", "id": own.link});
    let key = json!({"name": "b", "scopes": ["cards:issue", "cards:freeze"], "links": [link]});
    let bound = with_key(&root, key);
    let card = |account: &str, links: Value| json!({"account_id": account, "links": links});
    bound
        .post("/v1/cards", card(&own.account, json!([link])))
        .created();
    let (status, _, _, param) = bound
        .post("/v1/cards", card(&other.account, json!([link])))
        .error();
    assert_eq!((status, param.as_deref()), (404, Some("account_id")));
    // Without a link it would be outside, wherever it draws on; so of an account that is not there the same is said.
    for account in [&*own.account, &*other.account, "acct_0000000000001"] {
        for links in [Value::Null, json!([])] {
            let refused = bound.post("/v1/cards", card(account, links));
            let (status, _, code, param) = refused.error();
            let told = (status, &*code, param.as_deref());
            assert_eq!(told, (403, "key_is_bound", Some("links")), "{account}");
            assert!(refused.text.contains("in `links`"), "{}", refused.text);
        }
    }
    let rows = json!({"rows": [{"account_id": own.account}, card(&own.account, json!([link]))]});
    let batch = bound.post("/v1/card_batches", rows).created();
    over(&root, &batch);
    let rows = rows_of(&root, &batch, "");
    assert_eq!(rows[0]["error"]["code"], "key_is_bound");
    assert_eq!(rows[0]["error"]["param"], "links");
    assert_eq!(rows[1]["status"], "issued");
    let further = json!([link, {"type": "team", "id": "t9"}]);
    let (status, _, code, param) = bound.post("/v1/cards", card(&own.account, further)).error();
    assert_eq!(
        (status, &*code, param.as_deref()),
        (403, "key_is_bound", Some("links"))
    );
    // Nor does a key bound to an account touch what another program may link one day.
    let key = json!({"name": "a", "scopes": ["cards:freeze"], "account_ids": [own.account]});
    let path = format!("/v1/links/project/{}/freeze", own.link);
    let body = json!({"program_id": other.program});
    let refused = with_key(&root, key).post(&path, body).error();
    assert_eq!((refused.0, refused.3.as_deref()), (404, Some("program_id")));
}

#[test]
fn a_key_makes_none_that_lasts_longer_or_reaches_from_further() {
    let switch = Switch::start();
    let root = switch.client();
    let key = |name: &str, more: Value| {
        let mut body = json!({"name": name, "scopes": ["keys:write", "keys:read"]});
        for (field, value) in more.as_object().unwrap() {
            body[field] = value.clone();
        }
        body
    };
    let (end, later) = ("2090-01-01T00:00:00Z", "2090-01-01T00:00:01Z");
    let ends = with_key(&root, key("ends", json!({ "expires_at": end })));
    let longer = (
        403,
        "permission",
        "expiry_beyond_caller",
        Some("expires_at"),
    );
    for more in [json!({}), json!({ "expires_at": later })] {
        let refused = ends.post("/v1/api_keys", key("longer", more));
        assert_error(&refused, longer, "longer");
    }
    ends.post("/v1/api_keys", key("as long", json!({ "expires_at": end })))
        .created();
    let here = json!(["127.0.0.0/8", "10.0.0.0/16"]);
    let reaches = with_key(&root, key("reaches", json!({ "allowed_ips": here })));
    let further = (
        403,
        "permission",
        "addresses_beyond_caller",
        Some("allowed_ips"),
    );
    for addresses in [
        json!([]),
        json!(["10.0.0.0/15"]),
        json!(["127.0.0.1", "192.0.2.1"]),
    ] {
        let refused = reaches.post(
            "/v1/api_keys",
            key("further", json!({ "allowed_ips": addresses })),
        );
        assert_error(&refused, further, "further");
    }
    let as_far = json!({"allowed_ips": ["127.0.0.1", "10.0.7.0/24"]});
    reaches
        .post("/v1/api_keys", key("as far", as_far))
        .created();
    // Nor by rolling another one.
    let free = root.post("/v1/api_keys", key("free", json!({}))).created();
    let refused = ends.post(&format!("/v1/api_keys/{free}/roll"), json!({}));
    assert_error(&refused, longer, "roll");
    assert_eq!(
        root.get(&format!("/v1/api_keys/{free}")).ok()["status"],
        "active"
    );
}

#[test]
fn a_key_is_revoked_with_all_that_was_made_with_it() {
    let switch = Switch::start();
    let root = switch.client();
    let make = |with: &Client, name: &str| {
        let body = json!({"name": name, "scopes": ["keys:write", "keys:read"]});
        let made = with.post("/v1/api_keys", body);
        let key = format!("Bearer {}", made.json()["key"].as_str().unwrap());
        (made.created(), root.header("Authorization", &key))
    };
    let (first, client) = make(&root, "first");
    let (child, of_child) = make(&client, "child");
    let (grandchild, _) = make(&of_child, "grandchild");
    let (other, _) = make(&root, "other");
    let status = |id: &String| root.get(&format!("/v1/api_keys/{id}")).ok()["status"].clone();
    let revoke = format!("/v1/api_keys/{first}/revoke");
    root.post(&revoke, json!({})).ok();
    assert_eq!(
        [&first, &child, &grandchild].map(status),
        ["revoked", "active", "active"]
    );
    root.post(&revoke, json!({"children": true})).ok();
    assert_eq!(
        [&child, &grandchild, &other].map(status),
        ["revoked", "revoked", "active"]
    );
}

/// The head of the request comes before the key is revoked, and the end of its body after it.
#[test]
fn a_key_that_is_revoked_while_the_body_comes_writes_nothing() {
    use std::io::{Read, Write};
    let switch = Switch::start();
    let root = switch.client();
    let made = root.post(
        "/v1/api_keys",
        json!({"name": "slow", "scopes": ["programs:write"]}),
    );
    let (id, key) = (
        made.created(),
        made.json()["key"].as_str().unwrap().to_owned(),
    );
    let body =
        json!({"name": "Late", "network": "visa", "bin": "411111", "currency": "USD"}).to_string();
    let mut socket = std::net::TcpStream::connect(switch.address).unwrap();
    let head = format!(
        "POST /v1/programs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let (first, rest) = body.split_at(20);
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(first.as_bytes()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    root.post(&format!("/v1/api_keys/{id}/revoke"), json!({}))
        .ok();
    socket.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("since the request began"), "{answer}");
    switch.projected();
    assert_eq!(root.get("/v1/programs").ok()["data"], json!([]));
}

#[test]
fn a_key_bound_by_account_attaches_no_cardholder_and_no_object_of_others() {
    let switch = Switch::start();
    let root = switch.client();
    let program = root.program();
    let (own, other) = (root.account(&program), root.account(&program));
    let holder = json!({"program_id": program, "name": "Ann", "home_country": "US"});
    let holder = root.post("/v1/cardholders", holder).created();
    let link = |id: &str| json!([{"type": "project", "id": id}]);
    let theirs = json!({"account_id": other, "links": link("theirs")});
    root.post("/v1/cards", theirs).created();
    let scopes = json!(["cards:issue", "cards:read"]);
    let bound = with_key(
        &root,
        json!({"name": "b", "scopes": scopes, "account_ids": [own]}),
    );
    let with_holder = json!({"account_id": own, "cardholder_id": holder});
    let unseen = (
        404,
        "not_found",
        "cardholder_not_found",
        Some("cardholder_id"),
    );
    assert_error(&bound.post("/v1/cards", with_holder), unseen, "cardholder");
    let linked = |id: &str| bound.post("/v1/cards", json!({"account_id": own, "links": link(id)}));
    let beyond = (403, "permission", "key_is_bound", Some("links"));
    assert_error(&linked("theirs"), beyond, "theirs");
    for _ in 0..2 {
        linked("own").created();
    }
}

#[test]
fn a_key_reads_so_many_streams_and_leaves_the_others_to_others() {
    use std::io::{Read, Write};
    let switch = Switch::start();
    let root = switch.client();
    let reader = |name: &str| {
        let made = root.post(
            "/v1/api_keys",
            json!({"name": name, "scopes": ["webhooks:read"]}),
        );
        made.created();
        made.json()["key"].as_str().unwrap().to_owned()
    };
    let open = |key: &str| {
        let mut socket = std::net::TcpStream::connect(switch.address).unwrap();
        let head = format!(
            "GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).unwrap();
        let mut start = [0; 12];
        socket.read_exact(&mut start).unwrap();
        (String::from_utf8_lossy(&start).into_owned(), socket)
    };
    let (greedy, modest) = (reader("greedy"), reader("modest"));
    let streams: Vec<_> = (0..8).map(|_| open(&greedy)).collect();
    assert!(streams.iter().all(|(start, _)| start == "HTTP/1.1 200"));
    assert_eq!(open(&greedy).0, "HTTP/1.1 503");
    let other = open(&modest);
    assert_eq!(other.0, "HTTP/1.1 200");
    // More keys are no larger share: a bound key and its child have eight together.
    let program_id = root.program();
    let tenant = || {
        let body = json!({"name": "t", "scopes": ["webhooks:read", "keys:write"],
                          "program_ids": [program_id]});
        let made = root.post("/v1/api_keys", body.clone());
        let key = made.json()["key"].as_str().unwrap().to_owned();
        let client = root.header("Authorization", &format!("Bearer {key}"));
        let child = client.post("/v1/api_keys", body);
        (key, child.json()["key"].as_str().unwrap().to_owned())
    };
    let (parent, child) = tenant();
    let mut streams: Vec<_> = (0..5).map(|_| open(&parent)).collect();
    streams.extend((0..3).map(|_| open(&child)));
    assert!(streams.iter().all(|(start, _)| start == "HTTP/1.1 200"));
    for key in [&parent, &child] {
        assert_eq!(open(key).0, "HTTP/1.1 503");
    }
    assert_eq!(open(&tenant().1).0, "HTTP/1.1 200");
    assert_eq!(open(&modest).0, "HTTP/1.1 200");
}

#[test]
fn an_endpoint_need_not_repeat_what_binds_its_key() {
    let switch = Switch::start();
    let root = switch.client();
    let (program, account) = root.program_and_account();
    let (other, foreign) = root.program_and_account();
    for (id, program) in [("u1", &program), ("u2", &other)] {
        let body = json!({"program_id": program, "controls": {}});
        root.put(&format!("/v1/links/user/{id}"), body).ok();
    }
    let scopes = json!([
        "webhooks:write",
        "webhooks:read",
        "accounts:read",
        "keys:write",
        "audit:read"
    ]);
    let body = json!({"name": "own", "scopes": scopes, "program_ids": [program]});
    let own = with_key(&root, body);
    let body = json!({"name": "of account", "scopes": scopes, "account_ids": [account]});
    let of_account = with_key(&root, body);
    let link = json!([{"type": "user", "id": "u1"}]);
    let endpoint = |client: &Client, name: &str, value: &Value| {
        let mut body = json!({"events": ["account.*"]});
        body[name] = value.clone();
        client.post("/v1/webhook_endpoints", body)
    };
    let mut made = vec![
        endpoint(&own, "account_ids", &json!([account])).created(),
        endpoint(&own, "links", &link).created(),
        endpoint(&of_account, "links", &link).created(),
        // An object that only another program has makes it no business of that one.
        endpoint(&own, "links", &json!([{"type": "user", "id": "u2"}])).created(),
    ];
    for (client, name, value) in [
        (&own, "account_ids", json!([foreign])),
        (&own, "account_ids", json!([account, foreign])),
        (&of_account, "account_ids", json!([foreign])),
        (&of_account, "program_ids", json!([other])),
        // As of one that is not there.
        (&own, "account_ids", json!(["acct_0000000000001"])),
    ] {
        let told = endpoint(client, name, &value).error();
        assert_eq!((told.0, &*told.2), (403, "bounds_beyond_caller"), "{value}");
    }
    // Those of the operator say whose program they are of as well, also when they are gone.
    for (name, value) in [
        ("account_ids", json!([account])),
        ("program_ids", json!([program])),
    ] {
        let id = endpoint(&root, name, &value).created();
        let path = format!("/v1/webhook_endpoints/{id}");
        root.patch(&path, json!({"name": "mine"})).ok();
        root.send("DELETE", &path, b"").ok();
        made.extend([id.clone(), id.clone(), id]);
        let mut body = json!({"name": "key", "scopes": ["cards:read"]});
        body[name] = value;
        made.push(root.post("/v1/api_keys", body).created());
    }
    let of_both = endpoint(&root, "account_ids", &json!([account, foreign])).created();
    switch.projected();
    let log = own.get("/v1/audit_log?limit=100").ok();
    let log = log["data"].as_array().unwrap();
    for id in &made {
        let times = made.iter().filter(|other| *other == id).count();
        let told = log.iter().filter(|entry| entry["object_id"] == json!(id));
        assert_eq!(told.count(), times, "{id}: {log:?}");
    }
    assert!(!log.iter().any(|entry| entry["object_id"] == json!(of_both)));
}

/// A key bound by links narrows what it makes to programs and account trees that have its objects, and learns of no others.
#[test]
fn a_key_bound_by_links_does_not_learn_which_accounts_and_programs_there_are() {
    let switch = Switch::start();
    let root = switch.client();
    let (program, account) = root.program_and_account();
    let elsewhere = root.account(&program);
    let (foreign_program, foreign) = root.program_and_account();
    let links = json!([{"type": "project", "id": "p1"}]);
    let card = json!({"account_id": account, "links": links});
    root.post("/v1/cards", card).created();
    let bound = json!({"name": "p1", "preset": "owner", "links": links});
    let bound = with_key(&root, bound);
    for (name, id, fits) in [
        ("account_ids", &*account, true),
        ("account_ids", &*elsewhere, false),
        ("account_ids", &*foreign, false),
        ("account_ids", "acct_0000000000001", false),
        ("program_ids", &*program, true),
        ("program_ids", &*foreign_program, false),
        ("program_ids", "prog_0000000000001", false),
    ] {
        let mut endpoint = json!({"events": ["card.*"]});
        endpoint[name] = json!([id]);
        let mut key = json!({"name": "k", "scopes": ["cards:read"], "links": links});
        key[name] = json!([id]);
        for (path, body) in [("/v1/webhook_endpoints", endpoint), ("/v1/api_keys", key)] {
            let told = bound.post(path, body);
            match fits {
                true => drop(told.created()),
                false => {
                    let (status, _, code, _) = told.error();
                    assert_eq!(
                        (status, &*code),
                        (403, "bounds_beyond_caller"),
                        "{path} {id}"
                    );
                }
            }
        }
    }
}

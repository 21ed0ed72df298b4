//! Writes that wait for a second person: who approves them, what they come to, and that each is carried out once.

use super::authorizations::{carry_out, carry_out_in_registry};
use super::harness::{Answer, Client, Options, Switch};
use super::keys::with_key;
use super::refusals::assert_error;
use super::transfers::posted;
use super::waiting::wait_until;
use cardswitch::engine::approvals::{ApprovalChange, ChangeApproval};
use cardswitch::engine::command::Action;
use cardswitch::engine::ids::{AccountId, ApiKeyId};
use cardswitch::engine::registry::RegistryAction;
use cardswitch::engine::signers::Signer;
use cardswitch::engine::watch::ChangeAccount;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

const LIMIT: &str = "lim_0000000000007";

/// A program that wants two people for everything that it can, with an account; and the keys of two people.
pub struct Two {
    pub ann: Client,
    pub bob: Client,
    pub program: String,
    pub account: String,
}

fn controls(amount: i64) -> Value {
    json!({"limits": [{"id": LIMIT, "window": "day", "amount": amount}]})
}

impl Two {
    pub fn new(switch: &Switch) -> Two {
        let root = switch.client();
        let body = json!({"name": "Two", "network": "visa", "bin": "411111", "currency": "USD", "controls": controls(1_000),
                          "second_approver": {"top_ups": {"above": 1_000}, "limit_raises": true}});
        let program = root.post("/v1/programs", body).created();
        let owner = |name: &str| with_key(&root, json!({"name": name, "preset": "owner"}));
        Two {
            ann: owner("Ann"),
            bob: owner("Bob"),
            account: root.account(&program),
            program,
        }
    }

    pub fn top_up(&self, client: &Client, amount: i64) -> Answer {
        let body = json!({"amount": amount, "currency": "USD", "method": "swift"});
        client.post(&format!("/v1/accounts/{}/top_ups", self.account), body)
    }

    /// The path of the account, which has a limit of 100 a day from now on.
    fn limited(&self) -> String {
        let path = format!("/v1/accounts/{}", self.account);
        self.ann
            .patch(&path, json!({ "controls": controls(100) }))
            .ok();
        path
    }

    /// Ann asks for a higher one. The path of what waits.
    fn asked_for(&self, amount: i64) -> String {
        let path = format!("/v1/accounts/{}", self.account);
        waits(
            &self
                .ann
                .patch(&path, json!({ "controls": controls(amount) })),
        )
    }
}

/// The path of what has to wait.
#[track_caller]
pub fn waits(asked: &Answer) -> String {
    assert_eq!(asked.status, 202, "{}", asked.text);
    let asked = asked.json();
    assert_eq!(asked["status"], "pending", "{asked}");
    format!("/v1/approvals/{}", asked["id"].as_str().unwrap())
}

pub fn act(client: &Client, path: &str, what: &str) -> Answer {
    client.post(&format!("{path}/{what}"), json!({"note": "as agreed"}))
}

fn conflict(code: &'static str) -> super::refusals::Expected<'static> {
    (409, "conflict", code, None)
}

#[test]
fn a_large_top_up_waits_and_is_made_once_by_another_person() {
    let switch = Switch::start();
    let two = Two::new(&switch);
    two.top_up(&two.ann, 1_000).created();
    assert_eq!(posted(&two.ann, &two.account), 1_000);
    let asked = two.top_up(&two.ann, 1_001);
    let path = waits(&asked);
    let told = asked.json();
    for (name, value) in [
        ("object", json!("approval")),
        ("action", json!("POST /v1/accounts/{id}/top_ups")),
        ("object_id", json!(two.account)),
        ("program_id", json!(two.program)),
        ("outcome", Value::Null),
    ] {
        assert_eq!(told[name], value, "{name}");
    }
    assert_eq!(told["request"]["body"]["amount"], 1_001);
    assert_eq!(told["requested_by"]["name"], "Ann");
    assert_eq!(posted(&two.ann, &two.account), 1_000);
    assert_error(
        &act(&two.ann, &path, "approve"),
        conflict("approver_is_requester"),
        "own",
    );
    assert_eq!(two.ann.get(&path).ok(), told);

    let approved = act(&two.bob, &path, "approve").ok();
    assert_eq!(
        [
            &approved["status"],
            &approved["decided_by"]["name"],
            &approved["note"],
            &approved["outcome"]["status"]
        ],
        [
            &json!("approved"),
            &json!("Bob"),
            &json!("as agreed"),
            &json!(201)
        ]
    );
    assert_error(
        &act(&two.ann, &path, "approve"),
        conflict("approver_is_requester"),
        "own, after Bob",
    );
    let made = &approved["outcome"]["body"];
    assert_eq!(
        two.ann
            .get(&format!("/v1/top_ups/{}", made["id"].as_str().unwrap()))
            .ok(),
        *made
    );
    assert_eq!(posted(&two.ann, &two.account), 2_001);
    // Once more changes nothing.
    assert_eq!(act(&two.bob, &path, "approve").ok(), approved);
    assert_eq!(posted(&two.ann, &two.account), 2_001);
    for what in ["reject", "cancel"] {
        let by = if what == "cancel" { &two.ann } else { &two.bob };
        assert_error(
            &act(by, &path, what),
            conflict("approval_state_forbids"),
            what,
        );
    }

    switch.projected();
    let log = switch.client().get("/v1/audit_log").ok();
    let log = log["data"].as_array().unwrap().clone();
    // Newest first: the approving that did it is the earlier one of the two.
    let all = |action: &str| -> Vec<Value> {
        let all = log.iter().filter(|entry| entry["action"] == action);
        all.cloned().collect()
    };
    let approve = all("POST /v1/approvals/{id}/approve").pop().unwrap();
    assert_eq!(
        [
            &approve["after"]["requested_by"]["name"],
            &approve["after"]["decided_by"]["name"]
        ],
        ["Ann", "Bob"]
    );
    let made = all("POST /v1/accounts/{id}/top_ups").remove(0);
    assert_eq!(made["api_key_id"], approve["api_key_id"]);
    // A request of its own within the one that approved it.
    let within = format!("{}/appr_", approve["request_id"].as_str().unwrap());
    assert!(
        made["request_id"].as_str().unwrap().starts_with(&within),
        "{made}"
    );
}

#[test]
fn a_top_up_that_is_settled_with_more_than_was_announced_waits_too() {
    let switch = Switch::start();
    let two = Two::new(&switch);
    let announce = |reference: &str, amount: i64| {
        let body = json!({"amount": amount, "currency": "USD", "method": "swift", "settle": false,
                          "external_reference": reference});
        two.ann
            .post(&format!("/v1/accounts/{}/top_ups", two.account), body)
    };
    let settle = |id: &str, amount: i64| {
        two.ann.post(
            &format!("/v1/top_ups/{id}/settle"),
            json!({"amount": amount}),
        )
    };
    let first = announce("W1", 10).created();
    let path = waits(&settle(&first, 5_000));
    let second = announce("W2", 10).created();
    assert_eq!(settle(&second, 1_000).ok()["settled_amount"], 1_000);
    // A bank's file is no person: it waits for two.
    let told = |amount: i64| json!({"reference": "W1", "amount": amount, "currency": "USD"});
    let payment = two.ann.post("/v1/incoming_payments", told(5_000)).ok();
    assert_eq!(
        [&payment["result"], &payment["reason"]],
        ["refused", "second_approver_needed"]
    );
    assert_eq!(posted(&two.ann, &two.account), 1_000);
    let approved = act(&two.bob, &path, "approve").ok();
    assert_eq!(approved["outcome"]["body"]["settled_amount"], 5_000);
    assert_eq!(posted(&two.ann, &two.account), 6_000);
    // What was announced with two may arrive as it was.
    let third = waits(&announce("W3", 2_000));
    act(&two.bob, &third, "approve").ok();
    let payment = json!({"reference": "W3", "amount": 2_000, "currency": "USD"});
    assert_eq!(
        two.ann.post("/v1/incoming_payments", payment).ok()["result"],
        "matched"
    );
    // Once it is settled it is not asked for again.
    assert_eq!(settle(&first, 9_000).error().2, "top_up_not_pending");
}

#[test]
fn every_way_to_raise_a_limit_waits_and_a_tighter_one_does_not() {
    let switch = Switch::start();
    let two = Two::new(&switch);
    let (of_program, of_account) = (
        format!("/v1/programs/{}", two.program),
        format!("/v1/accounts/{}", two.account),
    );
    let body = json!({"account_id": two.account, "controls": controls(1_000), "links": [{"type": "project", "id": "p1"}]});
    let of_card = format!("/v1/cards/{}", two.ann.post("/v1/cards", body).created());
    let of_link = "/v1/links/project/p1".to_owned();
    let link = |amount: i64| json!({"controls": {"limits": [{"window": "day", "amount": amount}]}});
    let set = |amount: i64| json!({ "controls": controls(amount) });
    two.ann.patch(&of_account, set(1_000)).ok();
    let limit = two.ann.put(&of_link, link(1_000)).ok()["controls"]["limits"][0].clone();
    let mut raised = link(2_000);
    raised["controls"]["limits"][0]["id"] = limit["id"].clone();
    for path in [&of_program, &of_account, &of_card] {
        two.ann.patch(path, set(900)).ok();
        let asked = waits(&two.ann.patch(path, set(950)));
        assert_eq!(
            two.ann.get(path).ok()["controls"]["limits"][0]["amount"],
            900,
            "{path}"
        );
        let approved = act(&two.bob, &asked, "approve").ok();
        assert_eq!(
            [&approved["status"], &approved["outcome"]["status"]],
            [&json!("approved"), &json!(200)]
        );
        let now = two.ann.get(path).ok();
        assert_eq!(now["controls"]["limits"][0]["amount"], 950, "{path}");
        assert_eq!(now["controls"], approved["outcome"]["body"]["controls"]);
    }
    let asked = waits(&two.ann.put(&of_link, raised));
    act(&two.bob, &asked, "approve").ok();
    assert_eq!(
        two.ann.get(&of_link).ok()["controls"]["limits"][0]["amount"],
        2_000
    );
    let asked = waits(&two.ann.patch(&of_account, json!({"credit_line": 5})));
    act(&two.bob, &asked, "approve").ok();
    assert_eq!(two.ann.get(&of_account).ok()["credit_line"], 5);
    two.ann
        .patch(&of_account, json!({"credit_line": 4, "name": "lower"}))
        .ok();
    let body = json!({"program_id": two.program, "credit_line": 7, "name": "new"});
    let asked = waits(&two.ann.post("/v1/accounts", body));
    let opened = act(&two.bob, &asked, "approve").ok()["outcome"]["body"].clone();
    let id = opened["id"].as_str().unwrap();
    assert_eq!(
        two.ann.get(&format!("/v1/accounts/{id}")).ok()["credit_line"],
        7
    );
}

#[test]
fn a_policy_is_weakened_by_two_and_made_stricter_by_one() {
    let switch = Switch::start();
    let two = Two::new(&switch);
    let path = format!("/v1/programs/{}", two.program);
    let policy = |above: i64, raises: bool| json!({"second_approver": {"top_ups": {"above": above}, "limit_raises": raises}});
    two.ann.patch(&path, policy(500, true)).ok();
    for weaker in [
        policy(501, true),
        policy(500, false),
        json!({"second_approver": {}}),
    ] {
        // The root key is one person too.
        waits(&two.ann.patch(&path, weaker.clone()));
        waits(&switch.client().patch(&path, weaker));
    }
    let scopes = json!(["programs:write", "programs:read"]);
    let writer = with_key(&switch.client(), json!({"name": "w", "scopes": scopes}));
    let refused = writer.patch(&path, policy(501, true));
    assert_error(
        &refused,
        (403, "permission", "scope_missing", Some("limits:raise")),
        "weaker",
    );
    let asked = waits(&two.ann.patch(&path, json!({"second_approver": {}})));
    act(&two.bob, &asked, "approve").ok();
    assert_eq!(two.ann.get(&path).ok()["second_approver"], Value::Null);
    two.top_up(&two.ann, 1_000_000).created();
}

/// Without them it stays asked for.
#[test]
fn who_approves_has_the_scopes_of_all_that_the_write_names() {
    let switch = Switch::start();
    let two = Two::new(&switch);
    let path = format!("/v1/programs/{}", two.program);
    let root = switch.client();
    let looser = json!({"controls": {}, "foreign_exchange_mark_up_basis_points": 5});
    let asked = waits(&root.patch(&path, looser));
    let scopes = json!([
        "approvals:write",
        "approvals:read",
        "programs:write",
        "programs:read",
        "limits:raise"
    ]);
    let approver = with_key(&root, json!({"name": "a", "scopes": scopes}));
    let refused = act(&approver, &asked, "approve");
    let missing = (403, "permission", "scope_missing", Some("fees:write"));
    assert_error(&refused, missing, "fees");
    assert_eq!(root.get(&asked).ok()["status"], "pending");
    act(&two.bob, &asked, "approve").ok();
    assert_eq!(
        root.get(&path).ok()["foreign_exchange_mark_up_basis_points"],
        5
    );
}

#[test]
fn who_approves_could_have_done_it_himself_and_is_nobody_of_who_asked() {
    let switch = Switch::start();
    let two = Two::new(&switch);
    let root = switch.client();
    let path = waits(&two.top_up(&two.ann, 2_000));
    let child = with_key(&two.ann, json!({"name": "child", "preset": "owner"}));
    let sibling = with_key(&two.ann, json!({"name": "sibling", "preset": "finance"}));
    for own in [&two.ann, &child, &sibling] {
        assert_error(
            &act(own, &path, "approve"),
            conflict("approver_is_requester"),
            "family",
        );
    }
    let by_child = waits(&two.top_up(&child, 2_000));
    for own in [&two.ann, &sibling] {
        assert_error(
            &act(own, &by_child, "approve"),
            conflict("approver_is_requester"),
            "family",
        );
    }
    let scopes = json!(["approvals:write", "approvals:read", "accounts:read"]);
    let without = with_key(&root, json!({"name": "without", "scopes": scopes}));
    let missing = (403, "permission", "scope_missing", Some("funds:topup"));
    assert_error(
        &act(&without, &path, "approve"),
        missing,
        "without the scope",
    );
    let other = root.program();
    let bound = with_key(
        &root,
        json!({"name": "bound", "preset": "owner", "program_ids": [other]}),
    );
    let unseen = (404, "not_found", "approval_not_found", None);
    assert_error(&act(&bound, &path, "approve"), unseen, "out of bounds");
    assert_error(&bound.get(&path), unseen, "out of bounds");
    assert_eq!(bound.get("/v1/approvals").ok()["data"], json!([]));
    assert_error(
        &act(&two.bob, &path, "cancel"),
        conflict("cancelled_by_other"),
        "cancel",
    );
    assert_eq!(act(&two.ann, &path, "cancel").ok()["status"], "cancelled");
    assert_eq!(
        act(&two.bob, &by_child, "reject").ok()["status"],
        "rejected"
    );
    assert_eq!(posted(&root, &two.account), 0);

    // A key that was rolled is who it was, whoever rolled it.
    let asks = two
        .ann
        .post("/v1/api_keys", json!({"name": "Cy", "preset": "owner"}));
    let id = asks.created();
    let cy = Client::clone(&root).header(
        "Authorization",
        &format!("Bearer {}", asks.json()["key"].as_str().unwrap()),
    );
    let path = waits(&two.top_up(&cy, 2_000));
    let rolled = root.post(&format!("/v1/api_keys/{id}/roll"), json!({}));
    rolled.created();
    let rolled = root.header(
        "Authorization",
        &format!("Bearer {}", rolled.json()["key"].as_str().unwrap()),
    );
    assert_error(
        &act(&rolled, &path, "approve"),
        conflict("approver_is_requester"),
        "rolled",
    );
    assert_eq!(act(&two.bob, &path, "approve").ok()["status"], "approved");
    // What a revoked key asked for is not approved.
    let path = waits(&two.top_up(&two.ann, 2_000));
    let key = two.ann.get(&path).ok()["requested_by"]["api_key_id"].clone();
    root.post(
        &format!("/v1/api_keys/{}/revoke", key.as_str().unwrap()),
        json!({}),
    )
    .ok();
    assert_error(
        &act(&two.bob, &path, "approve"),
        conflict("requester_revoked"),
        "revoked",
    );
}

#[test]
fn what_has_changed_or_become_impossible_meanwhile_fails() {
    let switch = Switch::start();
    let two = Two::new(&switch);
    let of_account = two.limited();
    let path = two.asked_for(500);
    // A payment, a name and a state are no change of what it replaces.
    two.top_up(&two.ann, 10).created();
    two.ann.patch(&of_account, json!({"name": "other"})).ok();
    let late = two.asked_for(600);
    let by_root = two.asked_for(700);
    act(&two.bob, &path, "approve").ok();
    assert_error(
        &act(&two.bob, &late, "approve"),
        conflict("changed_since_requested"),
        "late",
    );
    assert_error(
        &act(&switch.client(), &by_root, "approve"),
        conflict("changed_since_requested"),
        "by root",
    );
    check_log_of_failed(&switch, &two);
    let failed = two.ann.get(&late).ok();
    assert_eq!(
        [&failed["status"], &failed["outcome"]["status"]],
        [&json!("failed"), &json!(409)]
    );
    assert_eq!(
        two.ann.get(&of_account).ok()["controls"]["limits"][0]["amount"],
        500
    );

    let top_up = waits(&two.top_up(&two.ann, 2_000));
    let empty = json!({"from_account_id": two.account, "to_account_id": two.ann.account(&two.program), "amount": 10, "currency": "USD"});
    two.ann.post("/v1/transfers", empty).created();
    two.ann.post(&format!("{of_account}/close"), json!({})).ok();
    let failed = act(&two.bob, &top_up, "approve").ok();
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["outcome"]["body"]["error"]["code"], "account_closed");
    let listed = two.ann.get("/v1/approvals?status=failed").ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 3);
    assert_eq!(listed["data"][0]["id"], failed["id"]);
}

/// Who sees the program sees them, and who asked is found by what it was asked of.
fn check_log_of_failed(switch: &Switch, two: &Two) {
    switch.projected();
    let of = |query: &str| {
        let log = switch.client().get(&format!("/v1/audit_log?{query}")).ok();
        log["data"].as_array().unwrap().clone()
    };
    let approving = of("action=POST%20/v1/approvals/%7Bid%7D/approve");
    assert_eq!(approving.len(), 3);
    for entry in approving {
        assert_eq!(entry["program_id"], json!(two.program), "{entry}");
    }
    let of_account = of(&format!("object_id={}", two.account));
    let asked = |entry: &&Value| entry["after"]["object"] == "approval";
    assert_eq!(of_account.iter().filter(asked).count(), 3);
}

#[test]
fn one_waits_for_seven_days_and_a_repeat_asks_once() {
    let (switch, clock) = Switch::start_with_clock();
    let two = Two::new(&switch);
    let keyed = two.ann.header("Idempotency-Key", "once");
    let [first, again] = [0, 1].map(|_| two.top_up(&keyed, 2_000));
    let path = waits(&first);
    assert_eq!(first.json(), again.json());
    assert_eq!(
        two.ann.get("/v1/approvals").ok()["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    clock.fetch_add(7 * 24 * 3_600_000, Ordering::Relaxed);
    assert_eq!(two.ann.get(&path).ok()["status"], "expired");
    for (client, what) in [
        (&two.bob, "approve"),
        (&two.bob, "reject"),
        (&two.ann, "cancel"),
    ] {
        assert_error(
            &act(client, &path, what),
            conflict("approval_state_forbids"),
            what,
        );
    }
}

/// The process ends after any record of an approval, and the switch is started again: it is carried out once, as a whole.
#[test]
fn an_approval_that_is_cut_off_anywhere_is_carried_out_once() {
    let switch = Switch::start();
    let two = Two::new(&switch);
    let of_account = two.limited();
    let top_up = waits(&two.top_up(&two.ann, 2_000));
    let raise = two.asked_for(500);
    let before = switch.journal.durable();
    act(&two.bob, &top_up, "approve").ok();
    act(&two.bob, &raise, "approve").ok();
    let after = switch.journal.durable();
    let told =
        [&top_up, &raise].map(|path| two.ann.get(path).ok()["outcome"]["body"]["id"].clone());
    let disk = switch.disk.clone();
    drop(switch);
    assert!(after - before >= 8, "{before} to {after}");
    let mut resumed = 0;
    for records in before..=after {
        let cut = Switch::start_on(disk.cut_after(records), Options::default());
        let again = |client: &Client| Client::of(cut.address).with_headers_of(client);
        let (ann, bob) = (again(&two.ann), again(&two.bob));
        let is_cut_off = |path: &&String| {
            let known = ann.get(path).ok();
            known["status"] == "approved" && known["outcome"].is_null()
        };
        // Nobody has to ask for anything.
        wait_until("what was cut off is carried out", || {
            ![&top_up, &raise].iter().any(is_cut_off)
        });
        resumed += u32::from(cut.journal.durable() > records);
        for path in [&top_up, &raise] {
            act(&bob, path, "approve").ok();
        }
        let known = [&top_up, &raise].map(|path| ann.get(path).ok());
        assert!(
            known.iter().all(|known| known["status"] == "approved"),
            "{records}"
        );
        let ids = known.map(|known| known["outcome"]["body"]["id"].clone());
        assert_eq!(ids, told, "{records}");
        assert_eq!(posted(&ann, &two.account), 2_000, "{records}");
        assert_eq!(
            ann.get(&of_account).ok()["controls"]["limits"][0]["amount"],
            500,
            "{records}"
        );
        cut.projected();
        let log = cut.client().get("/v1/audit_log").ok();
        let log = log["data"].as_array().unwrap();
        for path in [&top_up, &raise] {
            let within = |id: &str| id.ends_with(path.rsplit('/').next().unwrap());
            let of_write = |entry: &&Value| within(entry["request_id"].as_str().unwrap());
            let outcomes = log.iter().filter(of_write).map(|entry| &entry["outcome"]);
            assert_eq!(outcomes.collect::<Vec<_>>(), ["done"], "{records}");
        }
    }
    assert!(resumed >= 4, "{resumed}");
}

/// Cut off, with a key that is forgotten meanwhile: it is not carried out as the root key, and holds up nobody.
#[test]
fn what_a_forgotten_key_approved_is_carried_out_by_nobody() {
    let switch = Switch::start();
    let two = Two::new(&switch);
    let top_up = waits(&two.top_up(&two.ann, 2_000));
    let disk = switch.disk.clone();
    drop(switch);
    let (cut, open) = Switch::start_closed_on(disk, Options::default());
    let by = Signer {
        api_key_id: Some(ApiKeyId(999)),
        name: "Bob".into(),
    };
    let id = top_up.rsplit('/').next().unwrap().parse().unwrap();
    let change = ApprovalChange::Approve {
        by,
        note: None,
        request_id: "req_1".into(),
    };
    let approve = Box::new(ChangeApproval { id, change });
    carry_out_in_registry(&cut, RegistryAction::ChangeApproval(approve));
    open();
    let ann = Client::of(cut.address).with_headers_of(&two.ann);
    // The first write has it finished.
    ann.account(&two.program);
    let known = ann.get(&top_up).ok();
    assert_eq!(known["status"], "failed");
    assert_eq!(
        known["outcome"]["body"]["error"]["code"],
        "approver_unknown"
    );
    assert_eq!(posted(&ann, &two.account), 0);
}

/// What was approved and cut off lay there while somebody changed what it replaces: that change stays.
#[test]
fn an_approval_that_is_cut_off_goes_over_nothing_newer() {
    let switch = Switch::start();
    let two = Two::new(&switch);
    let of_account = two.limited();
    let raise = two.asked_for(500);
    let before = switch.journal.durable();
    act(&two.bob, &raise, "approve").ok();
    let after = switch.journal.durable();
    let disk = switch.disk.clone();
    drop(switch);
    let account_id: AccountId = two.account.parse().unwrap();
    let mut seen = std::collections::BTreeMap::new();
    for records in before..=after {
        let (cut, open) = Switch::start_closed_on(disk.cut_after(records), Options::default());
        let mut newer = ChangeAccount::nothing(account_id);
        newer.credit_line_minor = Some(7);
        carry_out(&cut, account_id, Action::ChangeAccount(Box::new(newer)));
        open();
        let ann = Client::of(cut.address).with_headers_of(&two.ann);
        let mut known = Value::Null;
        wait_until("what was cut off is over", || {
            known = ann.get(&raise).ok();
            known["status"] == "pending" || !known["outcome"].is_null()
        });
        let account = ann.get(&of_account).ok();
        let told = (
            known["status"].as_str().unwrap().to_owned(),
            account["controls"]["limits"][0]["amount"].as_i64().unwrap(),
        );
        assert_eq!(account["credit_line"], 7, "{records}");
        *seen.entry(told).or_insert(0) += 1;
    }
    // Where the raise itself was in already, it was made; where it was not, the newer change stays.
    let states = [("approved", 500), ("failed", 100), ("pending", 100)];
    let told = seen.keys().map(|(state, amount)| (&**state, *amount));
    assert_eq!(told.collect::<Vec<_>>(), states, "{seen:?}");
}

/// The object of the same name in another program is neither changed by it nor lets its own people see it.
#[test]
fn controls_of_a_linked_object_are_approved_for_the_program_that_they_were_asked_for() {
    let switch = Switch::start();
    let root = switch.client();
    let two = Two::new(&switch);
    let other = root.program();
    let bound = |program: &str| {
        let key = json!({"name": "b", "preset": "owner", "program_ids": [program]});
        with_key(&root, key)
    };
    let (own, stranger) = (bound(&two.program), bound(&other));
    let link = "/v1/links/project/p1";
    let limit = |id: &Value, amount: i64| json!({"controls": {"limits": [{"id": id, "window": "day", "amount": amount}]}});
    let set = own.put(link, limit(&Value::Null, 1_000)).ok();
    let id = &set["controls"]["limits"][0]["id"];
    stranger.post(&format!("{link}/freeze"), json!({})).ok();
    let asked = waits(&own.put(link, limit(id, 2_000)));
    assert_eq!(own.get(&asked).ok()["status"], "pending");
    assert_eq!(stranger.get(&asked).error().2, "approval_not_found");
    let approved = act(&two.bob, &asked, "approve").ok();
    let outcome = &approved["outcome"];
    assert_eq!(outcome["status"], 200, "{outcome}");
    assert_eq!(outcome["body"]["program_id"], two.program);
    let limits = own.get(link).ok()["controls"]["limits"].clone();
    assert_eq!(limits[0]["amount"], 2_000);
    assert_eq!(stranger.get(link).ok()["controls"], json!({}));
}

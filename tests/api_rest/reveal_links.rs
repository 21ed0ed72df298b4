//! Links that show a card's number: once, for a while, to whoever has them, and to nobody by chance.

use super::harness::{Answer, Client, Disk, Options, Switch};
use super::keys::{with_key, with_key_and_id};
use super::refusals::assert_error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cardswitch::engine::record::{self, Record};
use cardswitch::engine::registry::RegistryAction;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::atomic::Ordering;

const OVER: (u16, &str, &str, Option<&str>) = (404, "not_found", "reveal_not_found", None);
const USED: (u16, &str, &str, Option<&str>) = (410, "not_found", "reveal_used", None);

/// A switch with a card.
struct Scene {
    switch: Switch,
    root: Client,
    anybody: Client,
    card: String,
}

impl Scene {
    fn new() -> Scene {
        Scene::of(Switch::start())
    }

    fn of(switch: Switch) -> Scene {
        let root = switch.client();
        let (_, account) = root.program_and_account();
        Scene {
            card: root.card(&account),
            anybody: root.without_key(),
            root,
            switch,
        }
    }

    fn path(&self) -> String {
        format!("/v1/cards/{}/reveal_links", self.card)
    }

    fn made(&self) -> Answer {
        self.root
            .post(&self.path(), json!({"reason": "in the app"}))
    }

    /// Where a new link leads.
    fn link(&self) -> String {
        url(&self.made())
    }

    fn secrets(&self) -> Value {
        let path = format!("/v1/cards/{}/reveal", self.card);
        self.root.post(&path, json!({"reason": "to compare"})).ok()
    }
}

fn url(made: &Answer) -> String {
    made.created();
    made.json()["url"].as_str().unwrap().to_owned()
}

#[test]
fn a_link_shows_the_card_once_to_whoever_has_it() {
    let scene = Scene::new();
    let made = scene.made();
    let url = url(&made);
    let token = url.strip_prefix("/v1/reveals/").unwrap();
    // 256 bits.
    assert_eq!(token.len(), 43);
    assert_eq!(made.header("Cache-Control"), Some("no-store"));
    let shown = scene.anybody.get(&url);
    for (name, value) in [
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
    ] {
        assert_eq!(shown.header(name), Some(value), "{name}");
    }
    // Why it was made is not for the card's user.
    let mut expected = scene.secrets();
    expected.as_object_mut().unwrap().remove("reason");
    assert_eq!(shown.ok(), expected);
    assert_error(&scene.anybody.get(&url), USED, "again");
    assert_error(&scene.root.get(&url), USED, "with a key");
    assert_ne!(scene.link(), scene.link());
    for token in ["x", &"A".repeat(43), &"A".repeat(44), "%00"] {
        let path = format!("/v1/reveals/{token}");
        assert_error(&scene.anybody.get(&path), OVER, token);
    }
}

#[test]
fn a_link_expires_when_it_was_asked_to() {
    let (switch, now_ms) = Switch::start_with_clock();
    let scene = Scene::of(switch);
    for (asked, seconds) in [(json!(null), 60), (json!(1), 1), (json!(300), 300)] {
        let body = json!({"reason": "r", "expires_in_seconds": asked});
        let links: Vec<String> = (0..3)
            .map(|_| url(&scene.root.post(&scene.path(), body.clone())))
            .collect();
        scene.anybody.get(&links[2]).ok();
        now_ms.fetch_add(seconds * 1_000 - 1, Ordering::Release);
        scene.anybody.get(&links[0]).ok();
        assert_error(&scene.anybody.get(&links[2]), USED, "until then");
        now_ms.fetch_add(1, Ordering::Release);
        for link in &links {
            assert_error(&scene.anybody.get(link), OVER, "after that");
        }
    }
    for (field, value, code) in [
        ("expires_in_seconds", json!(0), "number_invalid"),
        ("expires_in_seconds", json!(301), "number_invalid"),
        ("expires_in_seconds", json!("60"), "type_invalid"),
        ("reason", json!(null), "field_missing"),
        ("reason", json!(""), "text_invalid"),
        ("reason", json!("4111111111111111"), "card_number_in_text"),
        ("for", json!("x"), "field_unknown"),
    ] {
        let mut body = json!({"reason": "r"});
        body[field] = value;
        let refused = (400, "invalid_request", code, Some(field));
        assert_error(&scene.root.post(&scene.path(), body), refused, field);
    }
}

#[test]
fn a_page_shows_it_without_a_script_and_within_itself() {
    let scene = Scene::new();
    let browser = scene.anybody.header("Accept", "text/html,*/*;q=0.8");
    let url = scene.link();
    let page = browser.get(&url);
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(page.header("Cache-Control"), Some("no-store"));
    assert_eq!(page.header("Referrer-Policy"), Some("no-referrer"));
    let secrets = scene.secrets();
    let pan = secrets["pan"].as_str().unwrap();
    let groups = [&pan[..4], &pan[4..8], &pan[8..12], &pan[12..]].join("</span><span>");
    assert!(
        page.text.contains(&format!("<span>{groups}</span>")),
        "{}",
        page.text
    );
    let cvv2 = format!("<dd>{}</dd>", secrets["cvv2"].as_str().unwrap());
    assert!(page.text.contains(&cvv2), "{}", page.text);
    let style = page.text.split("<style>").nth(1).unwrap();
    let style = style.split("</style>").next().unwrap();
    let hash = STANDARD.encode(Sha256::digest(style));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; sandbox"
    );
    assert_eq!(page.header("Content-Security-Policy"), Some(&*policy));
    for active in ["<script", "src=", "href=", "http", "style=", " on"] {
        assert!(!page.text.contains(active), "{active}: {}", page.text);
    }
    // A refusal is for people too.
    let again = browser.get(&url);
    assert_eq!(again.status, 410);
    assert!(again.text.contains("<p>This link was used already."));
    let none = browser.get("/v1/reveals/x");
    assert_eq!(
        (none.status, none.header("Content-Security-Policy")),
        (404, Some(&*policy))
    );
    assert!(none.text.contains("<p>This link is over."));
    for page in [again, none] {
        assert_eq!(
            page.header("Content-Type"),
            Some("text/html; charset=utf-8")
        );
        assert!(page.header("Request-Id").is_some());
    }
}

#[test]
fn what_only_looks_ahead_does_not_use_a_link_up() {
    let scene = Scene::new();
    let url = scene.link();
    let head = scene.anybody.send("HEAD", &url, b"");
    assert_eq!((head.status, &*head.text), (200, ""));
    assert_eq!(head.header("Cache-Control"), Some("no-store"));
    // So is what is refused before anybody looks at the link.
    for answer in [
        scene.anybody.get(&format!("{url}?x=1")),
        scene.anybody.post(&url, json!({})),
    ] {
        assert!(matches!(answer.status, 400 | 405), "{}", answer.text);
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
        assert_eq!(answer.header("Referrer-Policy"), Some("no-referrer"));
    }
    for (name, value) in [
        ("Sec-Purpose", "prefetch;prerender"),
        ("Purpose", "prefetch"),
    ] {
        let ahead = scene.anybody.header(name, value).get(&url);
        let refused = (503, "unavailable", "not_ahead_of_time", None);
        assert_error(&ahead, refused, name);
    }
    let asked = scene.anybody.get(&format!("{url}?utm_source=mail"));
    let refused = (400, "invalid_request", "field_unknown", Some("utm_source"));
    assert_error(&asked, refused, "query");
    let method = scene.anybody.post(&url, json!({}));
    assert_eq!(method.status, 405);
    assert!(!method.text.contains(&url), "{}", method.text);
    scene.anybody.get(&url).ok();
    assert_eq!(scene.anybody.send("HEAD", &url, b"").status, 410);
    assert_eq!(scene.anybody.send("HEAD", "/v1/reveals/x", b"").status, 404);
}

#[test]
fn of_many_who_ask_at_once_one_sees_it() {
    let scene = Scene::new();
    for _ in 0..20 {
        let url = scene.link();
        let asking: Vec<_> = (0..4)
            .map(|_| {
                let (client, url) = (scene.anybody.clone(), url.clone());
                std::thread::spawn(move || client.get(&url).status)
            })
            .collect();
        let mut seen: Vec<u16> = asking.into_iter().map(|it| it.join().unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, [200, 410, 410, 410]);
    }
}

#[test]
fn a_link_dies_with_its_key_and_with_its_card() {
    let scene = Scene::new();
    let Scene {
        root,
        anybody,
        card,
        ..
    } = &scene;
    let body = json!({"reason": "r"});
    let of_card = |to: &str| root.post(&format!("/v1/cards/{card}/{to}"), json!({}));
    let (support, key) = with_key_and_id(root, json!({"name": "s", "scopes": ["cards:reveal"]}));
    let revoked = url(&support.post(&scene.path(), body.clone()));
    let used = url(&support.post(&scene.path(), body.clone()));
    anybody.get(&used).ok();
    root.post(&format!("/v1/api_keys/{key}/revoke"), json!({}))
        .ok();
    assert_error(&anybody.get(&revoked), OVER, "the key is revoked");
    assert_eq!(anybody.send("HEAD", &revoked, b"").status, 404);
    assert_error(&anybody.get(&used), USED, "used before that");
    // Whoever waits for a frozen card may look at it.
    let (frozen, closed) = (scene.link(), scene.link());
    of_card("freeze").ok();
    anybody.get(&frozen).ok();
    of_card("close").ok();
    let refused = (409, "conflict", "card_status_forbids", None);
    assert_error(&anybody.get(&closed), refused, "the card is closed");
    assert_eq!(anybody.send("HEAD", &closed, b"").status, 409);
    let page = anybody.header("Accept", "text/html").get(&closed);
    assert_eq!(page.status, 409);
    assert!(page.text.contains("<p>This card was closed or blocked"));
    assert_error(&scene.made(), refused, "closed");
    // So is a card that its linked object closes.
    let account = root.get(&format!("/v1/cards/{card}")).ok()["account_id"].clone();
    let linked = json!({"account_id": account, "links": [{"type": "project", "id": "p1"}]});
    let linked = root.post("/v1/cards", linked).created();
    let path = format!("/v1/cards/{linked}/reveal_links");
    let by_link = url(&root.post(&path, body.clone()));
    root.post("/v1/links/project/p1/close", json!({})).ok();
    assert_error(&anybody.get(&by_link), refused, "its object is closed");
    assert_error(
        &root.post(&path, body.clone()),
        refused,
        "its object is closed",
    );
    let blocked = root.card(account.as_str().unwrap());
    let path = format!("/v1/cards/{blocked}");
    let link = url(&root.post(&format!("{path}/reveal_links"), body));
    root.post(&format!("{path}/block"), json!({"reason": "stolen"}))
        .ok();
    assert_error(&anybody.get(&link), refused, "the card is blocked");
}

#[test]
fn only_a_key_that_may_reveal_the_card_makes_a_link() {
    let scene = Scene::new();
    let (root, body) = (&scene.root, json!({"reason": "r"}));
    let reads = with_key(root, json!({"name": "r", "scopes": ["cards:read"]}));
    let missing = (403, "permission", "scope_missing", Some("cards:reveal"));
    assert_error(&reads.post(&scene.path(), body.clone()), missing, "scope");
    let other = root.program();
    let other = json!({"name": "o", "scopes": ["cards:reveal"], "program_ids": [other]});
    let unseen = (404, "not_found", "card_not_found", None);
    let other = with_key(root, other);
    assert_error(&other.post(&scene.path(), body.clone()), unseen, "bounds");
    let nobody = "/v1/cards/card_0000000000001/reveal_links";
    assert_error(&root.post(nobody, body), unseen, "no card");
}

/// What the journal has of reveals: the reasons of those who asked, and who used what from where.
fn recorded(switch: &Switch) -> (Vec<String>, Vec<String>) {
    let mut reader = switch.journal.reader(1).unwrap();
    let (mut asked, mut used) = (Vec::new(), Vec::new());
    while let Some((_, bytes)) = reader.next().unwrap() {
        let Record::Registry { command, .. } = record::read(bytes).unwrap() else {
            continue;
        };
        match command.action {
            RegistryAction::RevealCard(reveal) => asked.push(reveal.reason.to_string()),
            RegistryAction::Audit(entry)
                if &*entry.requester.action == "GET /v1/reveals/{token}" =>
            {
                used.push(entry.requester.address.unwrap().to_string());
            }
            _ => {}
        }
    }
    (asked, used)
}

#[test]
fn who_asked_and_that_it_was_used_are_on_record_and_the_token_is_not() {
    let scene = Scene::new();
    let (root, card) = (&scene.root, &scene.card);
    root.post(
        "/v1/webhook_endpoints",
        json!({"events": ["*"], "name": "all"}),
    )
    .created();
    let support = json!({"name": "s", "scopes": ["cards:reveal", "cards:read"]});
    let (support, key) = with_key_and_id(root, support);
    let keyed = support.header("Idempotency-Key", "k");
    let body = json!({"reason": "in the app"});
    let first = keyed.post(&scene.path(), body.clone());
    let url = url(&first);
    let token = url.rsplit('/').next().unwrap();
    let asked = vec!["in the app".to_owned()];
    assert_eq!(recorded(&scene.switch), (asked.clone(), Vec::new()));
    // A repeat is no second one, and has no link.
    let again = keyed.post(&scene.path(), body);
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
    let mut without = first.json();
    without["url"] = Value::Null;
    assert_eq!((again.status, again.json()), (201, without));
    let shown = scene.anybody.get(&url);
    let pan = shown.ok()["pan"].as_str().unwrap().to_owned();
    scene.anybody.get(&url).error();
    let used = vec!["127.0.0.1".to_owned()];
    assert_eq!(recorded(&scene.switch), (asked, used));
    scene.switch.projected();
    let log = root.get(&format!("/v1/audit_log?object_id={card}")).ok();
    let entries = log["data"].as_array().unwrap();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    let expected = [
        "GET /v1/reveals/{token}",
        "POST /v1/cards/{id}/reveal_links",
        "POST /v1/cards",
    ];
    assert_eq!(told, expected);
    for entry in &entries[..2] {
        assert_eq!(entry["api_key_id"], json!(key), "{entry}");
        assert_eq!(entry["address"], "127.0.0.1", "{entry}");
        assert_eq!(entry["after"]["reason"], "in the app", "{entry}");
        assert_eq!(entry["after"]["id"], first.json()["id"], "{entry}");
        assert!(entry["program_id"].is_string(), "{entry}");
    }
    assert_eq!(
        entries[0]["request_id"],
        shown.header("Request-Id").unwrap()
    );
    let events = root.get("/v1/events?type=card.revealed").ok();
    assert_eq!(events["data"].as_array().unwrap().len(), 1, "{events}");
    let by = json!({"api_key_id": key, "reason": "in the app"});
    assert_eq!(events["data"][0]["data"]["reveal"], by);
    let metrics = root.get("/metrics").text;
    for text in [log.to_string(), events.to_string(), metrics] {
        assert!(!text.contains(token) && !text.contains(&pan), "{text}");
    }
    for name in cardswitch::journal::Storage::list(&*scene.switch.disk.storage).unwrap() {
        let content = scene.switch.disk.storage.content(&name).unwrap();
        let mut windows = content.windows(token.len());
        assert!(!windows.any(|bytes| bytes == token.as_bytes()), "{name}");
    }
}

#[test]
fn links_are_gone_after_a_restart() {
    let disk = Disk::new();
    let scene = Scene::of(Switch::start_on(disk.clone(), Options::default()));
    let (url, used) = (scene.link(), scene.link());
    scene.anybody.get(&used).ok();
    drop(scene);
    let switch = Switch::start_on(disk, Options::default());
    for link in [url, used] {
        assert_error(&switch.client().get(&link), OVER, "restart");
    }
}

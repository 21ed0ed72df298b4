//! `docs/permissions.md` is written from the code, and every cell of it is tried.

use crate::harness::Switch;
use crate::keys::{nowhere, with_key};
use cardswitch::api::api_keys::{PRESETS, preset};
use cardswitch::api::bounds::About;
use cardswitch::api::{Route, table};
use cardswitch::engine::api_keys::Scope;
use serde_json::json;
use std::fmt::Write;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/permissions.md");

const INTRODUCTION: &str = "\
# Permissions

This page is written by a test (`CARDSWITCH_REGENERATE_PERMISSIONS=1 cargo test --test api_rest permissions`), which also tries
every cell. How keys are made is in [api.md](api.md#api-keys).

A key has scopes, and a route asks for one of them; without it the answer is 403 and names the scope. The root key has all.
Presets are sets of scopes for people of a kind.

";

/// What a key that is bound sees of a route.
fn seen(about: About) -> &'static str {
    match about {
        About::Everything => "not for bound keys: it is about what all programs share",
        About::Anything => "all of it",
        About::Several => "what it sees",
        About::Body => "what it sees may be named",
        About::OfProgram
        | About::Program
        | About::Rule
        | About::Cardholder
        | About::DecisionEndpoint => "where it is bound by program",
        About::Account | About::TopUp => {
            "its accounts and those below; where it is bound by link, those that were opened for cards of its links"
        }
        About::Card
        | About::Authorization
        | About::Transaction
        | About::Exception
        | About::Token => "of the cards that it sees",
        About::Link => "its links",
        About::CardBatch => "those of keys that see no more than it",
        About::Fee => "of the cards and accounts that it sees",
        About::Transfer => "from or to an account that it sees",
    }
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let heads = PRESETS.join(" | ");
    let _ = writeln!(page, "| scope | lets its bearer | {heads} |");
    let _ = writeln!(page, "|---|---|{}", "---|".repeat(PRESETS.len()));
    for scope in Scope::ALL {
        let has = |name: &&str| preset(name).unwrap().has(*scope);
        let marks = PRESETS
            .iter()
            .map(|name| if has(name) { "yes" } else { "" });
        let marks: Vec<_> = marks.collect();
        let (name, lets) = (scope.name(), scope.lets());
        let _ = writeln!(page, "| `{name}` | {lets} | {} |", marks.join(" | "));
    }
    page.push_str("\n## Routes\n\nTwo scopes are asked for beside that of a route: `limits:raise` where controls are loosened, and `alerts:declines`, which is enough for alerts of \
         declines and for what they tell. Others that no route asks for are for routes to come.\n\n");
    page.push_str("| route | scope | a bound key |\n|---|---|---|\n");
    for Route {
        method,
        path,
        scope,
        about,
    } in table()
    {
        let (scope, seen) = (scope.name(), seen(about));
        let _ = writeln!(page, "| {method} `{path}` | `{scope}` | {seen} |");
    }
    page
}

#[test]
fn the_page_of_permissions_is_as_the_code_has_it() {
    if std::env::var_os("CARDSWITCH_REGENERATE_PERMISSIONS").is_some() {
        std::fs::write(PAGE, page()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(PAGE).unwrap(), page());
}

#[test]
fn every_preset_may_do_what_its_column_says_and_nothing_else() {
    let switch = Switch::start();
    let root = switch.client();
    for name in PRESETS {
        let client = with_key(&root, json!({"name": name, "preset": name}));
        for route in table() {
            let answer = client.send(route.method, &nowhere(&route), b"");
            let expected = preset(name).unwrap().has(route.scope);
            let place = format!("{name}: {} {}", route.method, route.path);
            assert_eq!(answer.status != 403, expected, "{place}");
            assert!(answer.status < 500, "{place}: {}", answer.text);
        }
    }
}

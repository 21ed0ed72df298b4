//! How long each list takes among very many authorizations. `CARDSWITCH_STORE_MANY` says how many (`--release
//! --nocapture` to measure); by default few, and what is printed means nothing then.

use crate::fixture::{Fixture, JOURNAL};
use crate::on_both;
use cardswitch::engine::api_keys::{BoundLink, Bounds};
use cardswitch::engine::facts::Kind;
use cardswitch::engine::ids::{AccountId, AuthorizationId, CardId, CardholderId, ProgramId};
use cardswitch::engine::money::Currency;
use cardswitch::engine::reason::DeclineReason;
use cardswitch::engine::time::Timestamp;
use cardswitch::store::events::EventFilter;
use cardswitch::store::query_payments::AuthorizationFilter;
use cardswitch::store::rows::{AuthorizationResult, AuthorizationStatus};
use cardswitch::store::{Store, StoreError};
use std::time::Instant;

on_both! {
    each_list_among_very_many,
    events_of_a_link_among_very_many,
}

/// The time of the first row, and between two.
const START_MS: i64 = 1_700_000_000_000;
const APART_MS: i64 = 3_000;
const CARDS: i64 = 100_000;
const TIMES: usize = 15;
const COMMON_RULE: &str = "rule_0000000000001";
const RARE_RULE: &str = "rule_0000000000002";

fn count() -> i64 {
    let asked = std::env::var("CARDSWITCH_STORE_MANY").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

async fn each_list_among_very_many(fixture: Fixture) {
    let (store, count) = (fixture.store().await, count());
    let begun = Instant::now();
    fill(&fixture, count).await;
    println!(
        "{}: {count} rows in {:.0} s",
        fixture.url,
        begun.elapsed().as_secs_f64()
    );
    println!("| list | rows | first ms | p50 ms | max ms |\n|---|---|---|---|---|");
    let begun = Timestamp(START_MS + count / 2 * APART_MS);
    for (name, filter) in filters(count, begun) {
        measure(name, async || {
            let page = store.authorizations(&filter, None, 20).await?;
            Ok(page.data.len())
        })
        .await;
    }
    deep_pages(&store, count).await;
}

/// Nine of ten are of cards, the others of exceptions of 10,000 linked objects, three events each; one object has a tenth of
/// those.
async fn events_of_a_link_among_very_many(fixture: Fixture) {
    let (store, count) = (fixture.store().await, count());
    let indexes = fixture.drop_indexes("events").await;
    let rows = series(&fixture, 1, count);
    let padded = |number: &str| padded(&fixture, number, 13);
    let is_of_link = "row.i % 10 = 3";
    let exception = "(row.i / 30)";
    let link =
        format!("CASE WHEN {exception} % 10 = 1 THEN 'busy' ELSE 'p' || ({exception} % 10000) END");
    fixture
        .sql(&format!(
            "INSERT INTO projection (singleton, journal_id, position, updated_at_ms) VALUES (1, '{JOURNAL:032x}', {count}, 0); \
             INSERT INTO card_links (card_id, program_id, link_type, link_id) SELECT 'card_' || {}, 'prog_0000000000001', 'project', \
             'p' || (row.i % 10000) FROM {}; \
             INSERT INTO events (number, event_type, program_id, account_id, card_id, object_id, object_sequence, place_json, data_json, created_at_ms) \
             SELECT row.i * 256, CASE WHEN {is_of_link} THEN 'exception.created' ELSE 'card.frozen' END, 'prog_0000000000001', \
             CASE WHEN {is_of_link} THEN NULL ELSE 'acct_0000000000001' END, \
             CASE WHEN {is_of_link} THEN NULL ELSE 'card_' || {} END, \
             CASE WHEN {is_of_link} THEN 'exc_' || {} ELSE 'card_' || {} END, 1, \
             CASE WHEN {is_of_link} THEN '{{\"accounts\":[],\"links\":[[\"project\",\"' || {link} || '\"]]}}' ELSE '{{}}' END, \
             '{{}}', 0 FROM {rows}",
            padded("row.i"), series(&fixture, 0, CARDS - 1),
            padded(&format!("row.i % {CARDS}")), padded(exception), padded(&format!("row.i % {CARDS}")),
        ))
        .await;
    for index in indexes {
        fixture.sql(&index).await;
    }
    if fixture.url != "sqlite" {
        fixture.sql("VACUUM ANALYZE").await;
    }
    println!(
        "{}: {count} events\n| events | rows | first ms | p50 ms | max ms |\n|---|---|---|---|---|",
        fixture.url
    );
    for (name, link_type, id) in [
        ("of a linked object", "project", Some("p77")),
        ("of one with very many exceptions", "project", Some("busy")),
        ("of one that has none", "project", Some("nobody")),
        ("of any of a type", "project", None),
        ("of any of a type that no card has", "team", None),
    ] {
        let filter = EventFilter {
            link_type: Some(link_type.to_owned()),
            link_id: id.map(str::to_owned),
            ..EventFilter::default()
        };
        measure(name, async || {
            let page = store.events(&filter, None, 20).await?;
            Ok(page.data.len())
        })
        .await;
    }
}

/// Asks again and again for a list, and prints how many rows it has and how long that took.
async fn measure(name: &str, ask: impl AsyncFn() -> Result<usize, StoreError>) {
    let mut times = Vec::new();
    let mut told = String::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        let rows = ask().await;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        told = match rows {
            Ok(rows) => rows.to_string(),
            Err(StoreError::TooWide) => "too wide".to_owned(),
            Err(error) => panic!("{name}: {error}"),
        };
    }
    let first = times[0];
    times.sort_by(f64::total_cmp);
    let (p50, max) = (times[TIMES / 2], times[TIMES - 1]);
    println!("| {name} | {told} | {first:.1} | {p50:.1} | {max:.1} |");
}

/// The numbers from one to another as rows.
fn series(fixture: &Fixture, first: i64, last: i64) -> String {
    match fixture.url.as_str() {
        "sqlite" => format!(
            "(WITH RECURSIVE row (i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM row WHERE i < {last}) \
             SELECT i FROM row) AS row"
        ),
        _ => format!("generate_series({first}::bigint, {last}::bigint) AS row (i)"),
    }
}

fn padded(fixture: &Fixture, number: &str, width: usize) -> String {
    match fixture.url.as_str() {
        "sqlite" => format!("printf('%0{width}d', {number})"),
        _ => format!("lpad(({number})::text, {width}, '0')"),
    }
}

/// A cursor far back costs what the first page does.
async fn deep_pages(store: &Store, count: i64) {
    let filter = AuthorizationFilter {
        status: Some(AuthorizationStatus::Cleared),
        ..AuthorizationFilter::default()
    };
    let after = Some(AuthorizationId(id(count / 10)));
    let begun = Instant::now();
    let page = store.authorizations(&filter, after, 20).await.unwrap();
    let took = begun.elapsed().as_secs_f64() * 1e3;
    assert_eq!(page.data.len(), 20);
    println!("| status, nine tenths of the way back | 20 | {took:.1} | | |");
}

/// The number whose text is this one with zeros before it: ids have five bits a character.
fn id(number: i64) -> u64 {
    number
        .to_string()
        .bytes()
        .fold(0, |id, digit| id << 5 | u64::from(digit - b'0'))
}

fn filters(count: i64, half: Timestamp) -> Vec<(&'static str, AuthorizationFilter)> {
    type F = AuthorizationFilter;
    let any = F::default;
    let link = |link_type: &str, link_id: Option<&str>| F {
        link_type: Some(link_type.to_owned()),
        link_id: link_id.map(str::to_owned),
        ..any()
    };
    let hour = |filter: F| F {
        created_from: Some(half),
        created_until: Some(half.plus_ms(3_600_000)),
        ..filter
    };
    let amounts = |from, until| F {
        currency: Currency::from_alpha("USD"),
        amount_from: from,
        amount_until: until,
        ..any()
    };
    let bound = |accounts: Vec<AccountId>, programs: Vec<ProgramId>, links: Vec<BoundLink>| F {
        bounds: Some(Bounds {
            program_ids: programs.into(),
            account_ids: accounts.into(),
            links: links.into(),
        }),
        ..any()
    };
    let card = CardId(id(777));
    let rare = DeclineReason::from_name("card_stolen");
    let common = DeclineReason::from_name("insufficient_funds");
    let project = BoundLink {
        link_type: "project".into(),
        id: "p7".into(),
    };
    vec![
        ("none", any()),
        (
            "card",
            F {
                card_id: Some(card),
                ..any()
            },
        ),
        (
            "account",
            F {
                account_id: Some(AccountId(id(77))),
                ..any()
            },
        ),
        (
            "program, a fifth of all",
            F {
                program_id: Some(ProgramId(id(1))),
                ..any()
            },
        ),
        (
            "program, one in 10,000",
            F {
                program_id: Some(ProgramId(id(9))),
                ..any()
            },
        ),
        (
            "cardholder",
            F {
                cardholder_id: Some(CardholderId(id(55))),
                ..any()
            },
        ),
        ("link of 100 cards", link("project", Some("p7"))),
        ("link of half the cards", link("team", Some("t0"))),
        (
            "link of 1,000 cards, long silent",
            link("campaign", Some("old")),
        ),
        ("any link of a type", link("project", None)),
        (
            "status, most",
            F {
                status: Some(AuthorizationStatus::Cleared),
                ..any()
            },
        ),
        (
            "status, one in 5,000",
            F {
                status: Some(AuthorizationStatus::Expired),
                ..any()
            },
        ),
        (
            "result declined",
            F {
                result: Some(AuthorizationResult::Declined),
                ..any()
            },
        ),
        (
            "result approved",
            F {
                result: Some(AuthorizationResult::Approved),
                ..any()
            },
        ),
        (
            "reason, common",
            F {
                reason: common,
                ..any()
            },
        ),
        (
            "reason, one in 50,000",
            F {
                reason: rare,
                ..any()
            },
        ),
        (
            "kind, rare",
            F {
                kind: Some(Kind::QuasiCash),
                ..any()
            },
        ),
        (
            "kind, most",
            F {
                kind: Some(Kind::Purchase),
                ..any()
            },
        ),
        (
            "merchant",
            F {
                merchant_id: Some("M00000123".into()),
                ..any()
            },
        ),
        (
            "merchant name, one",
            F {
                merchant_name: Some("SHOP 00123".into()),
                ..any()
            },
        ),
        (
            "merchant name, a thousand",
            F {
                merchant_name: Some("SHOP 00".into()),
                ..any()
            },
        ),
        (
            "merchant name, all",
            F {
                merchant_name: Some("SHOP".into()),
                ..any()
            },
        ),
        (
            "mcc, rare",
            F {
                mcc: Some(7995),
                ..any()
            },
        ),
        (
            "country, rare",
            F {
                merchant_country: cardswitch::engine::facts::Country::from_alpha2("NZ"),
                ..any()
            },
        ),
        (
            "rrn",
            F {
                rrn: Some(format!("{:012}", count / 3)),
                ..any()
            },
        ),
        (
            "stan",
            F {
                stan: Some(123_456),
                ..any()
            },
        ),
        (
            "stan, an hour",
            hour(F {
                stan: Some(123_456),
                ..any()
            }),
        ),
        (
            "approval code",
            F {
                approval_code: Some("A00007".into()),
                ..any()
            },
        ),
        (
            "approval code, a card",
            F {
                approval_code: Some("A00007".into()),
                card_id: Some(card),
                ..any()
            },
        ),
        ("an hour", hour(any())),
        (
            "half of all the time",
            F {
                created_until: Some(half),
                ..any()
            },
        ),
        (
            "an hour, reason",
            hour(F {
                reason: common,
                ..any()
            }),
        ),
        ("amount, large", amounts(Some(5_000_000), None)),
        ("amount, exact", amounts(Some(12_34), Some(12_35))),
        ("amount, nearly all", amounts(Some(100), None)),
        (
            "currency, one in 1,000",
            F {
                currency: Currency::from_alpha("CHF"),
                ..any()
            },
        ),
        (
            "reason and country",
            F {
                reason: common,
                merchant_country: cardswitch::engine::facts::Country::from_alpha2("NZ"),
                ..any()
            },
        ),
        (
            "card and status",
            F {
                card_id: Some(card),
                status: Some(AuthorizationStatus::Cleared),
                ..any()
            },
        ),
        (
            "mcc and amount",
            F {
                mcc: Some(7995),
                ..amounts(Some(10_000), None)
            },
        ),
        (
            "link of half the cards, rare reason",
            F {
                reason: rare,
                ..link("team", Some("t0"))
            },
        ),
        (
            "rule, one in 50",
            F {
                rule_id: Some(COMMON_RULE.into()),
                ..any()
            },
        ),
        (
            "rule, one in 50,000",
            F {
                rule_id: Some(RARE_RULE.into()),
                ..any()
            },
        ),
        (
            "refunds of a purchase",
            F {
                original_authorization_id: Some(AuthorizationId(id(count / 3 / 30 * 30 + 1))),
                ..any()
            },
        ),
        (
            "rule and card",
            F {
                rule_id: Some(COMMON_RULE.into()),
                card_id: Some(card),
                ..any()
            },
        ),
        (
            "two that never meet",
            F {
                reason: common,
                status: Some(AuthorizationStatus::Cleared),
                ..any()
            },
        ),
        (
            "key bound to a program",
            bound(vec![], vec![ProgramId(id(9))], vec![]),
        ),
        (
            "key bound to an account tree",
            bound(vec![AccountId(id(77))], vec![], vec![]),
        ),
        ("key bound to a link", bound(vec![], vec![], vec![project])),
    ]
}

/// Rows as the projection writes them: half a year's traffic on 100,000 cards.
async fn fill(fixture: &Fixture, count: i64) {
    let postgres = fixture.url != "sqlite";
    let series = |first, last| series(fixture, first, last);
    let padded = |number: &str, width| padded(fixture, number, width);
    let id = |prefix: &str, number: &str| format!("'{prefix}_' || {}", padded(number, 13));
    // Spread over all numbers of 32 bits, and for each row the same ones.
    let spread = |salt: i64| format!("((row.i + {salt}) * 2654435761 % 4294967296)");
    let card = format!("({} % {CARDS})", spread(1));
    let program = |of: &str| format!("CASE WHEN {of} % 10000 = 9 THEN 9 ELSE {of} % 5 END");
    let unit = if postgres { "''::bytea" } else { "x''" };
    fixture
        .sql(&format!(
            "INSERT INTO projection (singleton, journal_id, position, updated_at_ms) VALUES (1, '{JOURNAL:032x}', {count}, 0); \
             INSERT INTO accounts (id, sequence, root_id, program_id, currency, status, posted_minor, held_minor, created_at_ms) \
             SELECT {}, row.i, {}, {}, 'USD', 'active', 0, 0, 0 FROM {}; \
             INSERT INTO cards (id, sequence, account_id, program_id, card_type, status, first6, last4, exp_month, exp_year, created_at_ms, cardholder_id) \
             SELECT {}, row.i, {}, {}, 'virtual', 'active', '411111', '1111', 12, 2030, 0, {} FROM {}; \
             INSERT INTO card_links (card_id, program_id, link_type, link_id) SELECT {}, {}, 'user', 'u' || row.i FROM {}; \
             INSERT INTO card_links (card_id, program_id, link_type, link_id) SELECT {}, {}, 'project', 'p' || (row.i % 1000) FROM {}; \
             INSERT INTO card_links (card_id, program_id, link_type, link_id) SELECT {}, {}, 'team', 't' || (row.i % 2) FROM {}; \
             INSERT INTO card_links (card_id, program_id, link_type, link_id) SELECT {}, {}, 'campaign', 'old' FROM {}",
            id("acct", "row.i"), id("acct", "row.i"), id("prog", &program("row.i")), series(0, CARDS / 10 - 1),
            id("card", "row.i"), id("acct", "row.i % 10000"), id("prog", &program("row.i")), id("holder", "row.i / 2"), series(0, CARDS - 1),
            id("card", "row.i"), id("prog", "1"), series(0, CARDS - 1),
            id("card", "row.i"), id("prog", "1"), series(0, CARDS - 1),
            id("card", "row.i"), id("prog", "1"), series(0, CARDS - 1),
            id("card", "row.i"), id("prog", "1"), series(CARDS, CARDS + 999),
        ))
        .await;
    let indexes = fixture.drop_indexes("authorizations").await;
    // The cards of the campaign paid in the first hundredth only.
    let card = format!(
        "CASE WHEN row.i < {count} / 100 AND row.i % 7 = 0 THEN {CARDS} + row.i % 1000 ELSE {card} END"
    );
    let declined = "row.i % 10 = 3";
    let reason = "CASE WHEN row.i % 50000 = 3 THEN 'card_stolen' WHEN row.i % 10 = 3 THEN 'insufficient_funds' END";
    let status = "CASE WHEN row.i % 10 = 3 THEN 'declined' WHEN row.i % 5000 = 7 THEN 'expired' \
                  WHEN row.i % 50 = 1 THEN 'reversed' WHEN row.i % 20 = 5 THEN 'pending' ELSE 'cleared' END";
    let merchant = format!("({} % 50000)", spread(2));
    let amount = format!(
        "CASE WHEN row.i % 20000 = 11 THEN 5000000 + {} % 900000 ELSE 50 + {} % 20000 END",
        spread(3),
        spread(4)
    );
    let mut first = 1;
    while first <= count {
        let last = (first + 499_999).min(count);
        fixture
            .sql(&format!(
                "INSERT INTO authorizations (sequence, id, card_id, account_id, program_id, kind, amount_minor, requested_minor, currency, \
                 transaction_minor, transaction_currency, merchant_id, merchant_name, merchant_city, merchant_country, mcc, entry_mode, \
                 channel, network, acquirer_id, terminal_id, rrn, stan, status, result, reason, step, approval_code, available_minor, \
                 registry_version, engine_version, created_at_ms, original_authorization_id, rule_id, trace) \
                 SELECT row.i, {}, {}, {}, {}, CASE WHEN row.i % 900 = 1 THEN 'quasi_cash' WHEN row.i % 30 = 2 THEN 'refund' ELSE 'purchase' END, \
                 {amount}, 1, CASE WHEN row.i % 1000 = 7 THEN 'CHF' WHEN row.i % 4 = 1 THEN 'EUR' ELSE 'USD' END, 1, 'USD', \
                 'M' || {}, 'SHOP ' || {}, 'TOWN', CASE WHEN row.i % 3000 = 3 THEN 'NZ' WHEN row.i % 3 = 1 THEN 'DE' ELSE 'US' END, \
                 CASE WHEN row.i % 7000 = 4 THEN 7995 ELSE 5000 + {merchant} % 300 END, 'chip', 'unknown', 'visa', '123456', 'T1', \
                 {}, row.i % 1000000, {status}, CASE WHEN {declined} THEN 'declined' ELSE 'approved' END, {reason}, \
                 CASE WHEN {declined} THEN 'balance' END, CASE WHEN {declined} THEN NULL ELSE 'A' || {} END, 0, 1, 1, \
                 {START_MS} + row.i * {APART_MS}, CASE WHEN row.i % 30 = 2 THEN {} END, \
                 CASE WHEN row.i % 50000 = 3 THEN '{RARE_RULE}' WHEN row.i % 50 = 3 THEN '{COMMON_RULE}' END, {unit} FROM {}",
                id("auth", "row.i"), id("card", &card), id("acct", &format!("({card}) % 10000")), id("prog", &program(&format!("({card})"))),
                padded(&merchant, 8), padded(&merchant, 5), padded("row.i", 12), padded("row.i % 100000", 5),
                id("auth", "(row.i - 1)"), series(first, last),
            ))
            .await;
        first = last + 1;
    }
    fixture
        .sql(&format!(
            "INSERT INTO merchant_names SELECT DISTINCT merchant_name, merchant_id FROM authorizations; \
             INSERT INTO record_times (sequence, latest_ms) SELECT row.i * 256, {START_MS} + row.i * 256 * {APART_MS} FROM {}",
            series(1, count / 256)
        ))
        .await;
    for index in indexes {
        fixture.sql(&index).await;
    }
    if postgres {
        fixture.sql("VACUUM ANALYZE").await;
    }
}

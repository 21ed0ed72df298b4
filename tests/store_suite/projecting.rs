//! What the tables hold after a history, and that they hold it exactly once.

use crate::event_data::check_event;
use crate::fixture::{Fixture, JOURNAL, assert_same, expected_dump, once, project};
use crate::history::History;
use crate::on_both;
use cardswitch::engine::authorizations::Authorization;
use cardswitch::engine::event::Flags;
use cardswitch::engine::facts::Kind;
use cardswitch::engine::fees::schedule::FeeKind;
use cardswitch::engine::kinds::Direction;
use cardswitch::engine::link_states::LinkStatus;
use cardswitch::engine::record::Record;
use cardswitch::engine::registry::{RegistryAction, RegistryEvent};
use cardswitch::engine::time::Timestamp;
use cardswitch::store::events::types::EventType;
use cardswitch::store::events::{EventFilter, ResponseCodes};
use cardswitch::store::from_fees::FeeTail;
use cardswitch::store::from_message;
use cardswitch::store::projection::{BatchStep, Projector};
use cardswitch::store::query::{AccountFilter, CardFilter, LIMIT_MAX};
use cardswitch::store::query_audit::AuditFilter;
use cardswitch::store::query_fees::FeeFilter;
use cardswitch::store::query_ledger::LedgerFilter;
use cardswitch::store::query_payments::AuthorizationFilter;
use cardswitch::store::rows::{
    AuditRow, AuthorizationResult, AuthorizationRow, AuthorizationStatus, MessageName,
    TransactionType, UndoneName,
};
use cardswitch::store::tail::TailFold;
use cardswitch::store::{Store, StoreError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

on_both! {
    the_tables_say_what_the_engine_says,
    what_is_charged_is_the_same_whatever_the_batches,
    cards_that_expire_are_told_of_once,
    every_kind_of_message_moves_rows_of_any_batch,
    killed_at_any_step_of_a_batch_each_record_is_in_once,
    what_has_many_events_is_the_same_in_many_transactions,
    records_that_are_in_are_skipped_and_a_gap_is_refused,
    an_audit_entry_keeps_its_id_when_its_request_ends,
    of_two_projectors_one_is_refused,
    tables_of_another_journal_are_refused,
    tables_that_lack_a_row_are_noticed,
    tables_of_a_newer_program_are_refused,
}

pub fn history(seed: u64, commands: usize) -> History {
    let mut history = History::new(seed, 4, 12);
    history.subscribe();
    for part in 0..8 {
        history.go_on(commands / 8);
        let to = match part % 4 {
            0 | 2 => LinkStatus::Frozen,
            _ => LinkStatus::Active,
        };
        history.change_link("project", part / 4, to);
    }
    history.change_link("project", 2, LinkStatus::Closed);
    history
}

/// Each card that expires is told of once; those that were closed are not.
async fn cards_that_expire_are_told_of_once(fixture: Fixture) {
    let mut history = history(9, 200);
    let cards = history.cards.len();
    let expired = history.expire_cards();
    assert!(expired > 0 && expired < cards, "{expired} of {cards}");
    assert_eq!(history.expire_cards(), 0);
    let store = fixture.store().await;
    project(&store, &history.records, 16).await;
    let of_type = EventFilter {
        types: vec!["card.expired".to_owned()],
        ..EventFilter::default()
    };
    let told = store.events(&of_type, None, 1_000).await.unwrap().data;
    assert_eq!(told.len(), expired);
    for row in &told {
        let data: serde_json::Value = serde_json::from_str(&row.data_json).unwrap();
        assert_eq!(data["card"]["id"], row.card_id.unwrap().to_string());
        assert_eq!(data["card"]["exp_year"], 2030);
        assert_eq!(data["links"].as_array().unwrap().len(), 2);
        assert_eq!(row.created_at_ms.to_string(), "2031-01-01T00:00:00.000Z");
    }
    store.close().await;
}

async fn the_tables_say_what_the_engine_says(fixture: Fixture) {
    let mut in_part = 0;
    for (seed, batch) in [(1, 1), (2, 7), (3, 64), (30, 5000)] {
        let history = history(seed, 700);
        let store = fixture.store().await;
        fixture.sql("DELETE FROM projection").await;
        for table in &crate::fixture::TABLES[1..] {
            fixture.sql(&format!("DELETE FROM {table}")).await;
        }
        project(&store, &history.records, batch).await;
        let state = store.projection().await.unwrap();
        assert_eq!(
            (state.position, state.through),
            (history.last(), history.at_last())
        );
        compare_accounts(&store, &fixture, &history).await;
        compare_cards(&store, &history).await;
        in_part += compare_authorizations(&store, &history).await;
        compare_money(&fixture).await;
        compare_types_of_payments(&fixture).await;
        compare_reveals(&fixture, &history).await;
        check_events(&store, &fixture).await;
        store.close().await;
    }
    assert!(in_part > 0, "nothing was approved in part");
}

impl History {
    fn at_last(&self) -> cardswitch::engine::time::Timestamp {
        let taken = self
            .records
            .iter()
            .map(|(_, record)| cardswitch::store::from_record::taken(record).0);
        taken.max().unwrap()
    }
}

/// Each object's events are numbered without a gap; what a payment or a hold comes to in the end was told last; money
/// that was posted was told once.
async fn check_events(store: &Store, fixture: &Fixture) {
    let (mut after, mut events) = (None, Vec::new());
    loop {
        let page = store
            .events(&EventFilter::default(), after, 100)
            .await
            .unwrap();
        after = page.data.last().map(|row| row.id());
        events.extend(page.data);
        if !page.has_more {
            break;
        }
    }
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut told: HashMap<String, serde_json::Value> = HashMap::new();
    for row in &events {
        let count = counts.entry(row.object_id.clone()).or_default();
        *count += 1;
        assert_eq!(row.object_sequence, *count, "{row:?}");
        let codes: ResponseCodes = Arc::new(|_, _| None);
        let body = row.body(false, &codes);
        check_event(&body);
        let data = &body["data"];
        if let Some(id) = data["authorization"]["id"].as_str() {
            told.insert(id.to_owned(), data["authorization"].clone());
        }
    }
    let of_type = |name: &str| events.iter().filter(|row| row.event_type == name).count() as i64;
    let posted = fixture.number("SELECT COUNT(*) FROM transactions").await;
    assert_eq!(of_type("transaction.settled"), posted);
    let top_ups = "SELECT COUNT(DISTINCT l.sequence) FROM ledger_entries AS l JOIN webhook_endpoints \
                   ON l.sequence > webhook_endpoints.sequence WHERE l.source_type = 'top_up'";
    assert_eq!(of_type("topup.settled"), fixture.number(top_ups).await);
    let fees = "SELECT COUNT(*) FROM fees JOIN webhook_endpoints ON fees.sequence > webhook_endpoints.sequence";
    assert_eq!(of_type("fee.charged"), fixture.number(fees).await);
    for (id, told) in told {
        let row = store
            .authorization(id.parse().unwrap())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(told["status"], row.status.name(), "{told}");
        assert_eq!(told["amount"], row.amount_minor, "{told}");
        assert_eq!(told["posted"], row.posted_minor, "{told}");
    }
    assert!(
        of_type("card.frozen") > 0 && of_type("card.unfrozen") > 0 && of_type("card.closed") > 0
    );
}

async fn compare_accounts(store: &Store, fixture: &Fixture, history: &History) {
    let page = store
        .accounts(&AccountFilter::default(), None, LIMIT_MAX)
        .await
        .unwrap();
    assert_eq!(page.data.len(), history.accounts.len());
    let mut holding = 0;
    for row in page.data {
        let account = history.world.shard(row.root_id).account(row.id).unwrap();
        assert_eq!(
            (
                row.posted_minor,
                row.held_minor,
                row.currency,
                row.parent_id,
                row.status
            ),
            (
                account.posted_minor,
                account.held_minor,
                account.currency,
                account.parent_id,
                account.status
            ),
            "{}",
            row.id
        );
        holding += i32::from(row.held_minor > 0);
        let of_account = LedgerFilter {
            account_id: Some(row.id),
            ..LedgerFilter::default()
        };
        let entries = store
            .ledger_entries(&of_account, None, LIMIT_MAX)
            .await
            .unwrap();
        let posted_minor: i64 = entries.data.iter().map(|entry| entry.amount_minor).sum();
        assert_eq!(posted_minor, account.posted_minor);
        let charged = |column: &str| {
            let sum = format!("CAST(COALESCE(SUM({column}), 0) AS BIGINT)");
            format!("SELECT {sum} FROM fees WHERE account_id = '{}'", row.id)
        };
        for (column, minor) in [
            ("fee_minor", account.fees_minor),
            ("reseller_mark_up_minor", account.reseller_mark_up_minor),
        ] {
            let sum = fixture.number(&charged(column)).await;
            assert_eq!(sum, minor, "{column} of {}", row.id);
        }
    }
    assert!(holding > 0, "the history left no hold to compare");
}

async fn what_is_charged_is_the_same_whatever_the_batches(fixture: Fixture) {
    let mut history = history(7, 600);
    history.charge_months();
    // Whoever has no money is issued no card.
    (0..history.accounts.len()).for_each(|account| history.top_up(account, 100_000));
    for _ in 0..40 {
        history.open_account();
        // Two, so that not each is of the same account.
        (0..2).for_each(|_| history.issue_card());
    }
    (0..20).for_each(|_| history.authorize(10_000_000_000, Kind::Purchase, 5411));
    history.go_on(50);
    history.charge_months();
    history.pay_abroad_and_give_back();
    let expected = expected_dump(&fixture, &history.records).await;
    let store = fixture.store().await;
    for batch in [1, 13, 5_000] {
        fixture.sql("DELETE FROM projection").await;
        for table in &crate::fixture::TABLES[1..] {
            fixture.sql(&format!("DELETE FROM {table}")).await;
        }
        project(&store, &history.records, batch).await;
        assert_same(&fixture.dump().await, &expected);
        compare_accounts(&store, &fixture, &history).await;
        compare_money(&fixture).await;
        compare_types_of_payments(&fixture).await;
    }
    fees_go_back(&fixture).await;
    for (kind, name) in FeeKind::ALL {
        let filter = FeeFilter {
            kind: Some(*kind),
            ..FeeFilter::default()
        };
        let page = store.fees(&filter, None, LIMIT_MAX).await.unwrap();
        assert!(!page.data.is_empty(), "the history has no {name}");
        let is_monthly = *kind == FeeKind::Monthly;
        assert!(
            page.data
                .iter()
                .all(|row| row.month.is_some() == is_monthly)
        );
        let first = store.fees(&filter, None, 1).await.unwrap();
        assert_eq!(first.data[..], page.data[..1]);
        let rest = store.fees(&filter, Some(first.data[0].id), LIMIT_MAX).await;
        assert_eq!(rest.unwrap().data[..], page.data[1..]);
        let mut tail = FeeTail::new(page.data[0].id, None);
        for (sequence, record) in &history.records {
            tail.fold(*sequence, record);
        }
        assert_eq!(tail.row().as_ref(), page.data.first());
    }
}

/// Of payments, in part and as a whole, and of refunds; of what is all given back nothing is left.
async fn fees_go_back(fixture: &Fixture) {
    let of = |what: &str| {
        format!(
            "SELECT COUNT(*) FROM fees AS f JOIN transactions AS t ON t.sequence = f.sequence \
             WHERE f.kind = 'foreign_exchange' AND {what}"
        )
    };
    for (what, least) in [
        ("t.transaction_type = 'payment' AND f.amount_minor > 0", 20),
        ("t.transaction_type = 'refund' AND f.amount_minor > 0", 5),
        (
            "t.transaction_type = 'reversal' AND f.amount_minor < 0 AND t.amount_minor > 0",
            10,
        ),
        (
            "t.transaction_type = 'reversal' AND f.amount_minor < 0 AND t.amount_minor < 0",
            5,
        ),
    ] {
        let count = fixture.number(&of(what)).await;
        assert!(count >= least, "{count} fees where {what}");
    }
    let wrong = of("t.transaction_type <> 'reversal' AND f.amount_minor <= 0");
    assert_eq!(fixture.number(&wrong).await, 0, "a payment gives a fee");
    let left = "SELECT COUNT(*) FROM authorizations AS a WHERE a.status = 'reversed' AND \
                (SELECT COALESCE(SUM(f.amount_minor), 0) FROM fees AS f JOIN transactions AS t \
                ON t.sequence = f.sequence WHERE f.kind = 'foreign_exchange' \
                AND t.authorization_id = a.id) <> 0";
    assert_eq!(
        fixture.number(left).await,
        0,
        "what was reversed left a fee"
    );
}

async fn compare_reveals(fixture: &Fixture, history: &History) {
    let is_reveal = |record: &&(_, Record)| match &record.1 {
        Record::Registry { event, .. } => *event == RegistryEvent::CardRevealed,
        Record::Shard { .. } => false,
    };
    let revealed = history.records.iter().filter(is_reveal).count();
    let rows = fixture.dump_table("card_reveals").await;
    assert_eq!(rows.len(), revealed);
    assert!(!rows.is_empty(), "the history has no reveal to compare");
    assert!(
        rows.iter().all(|row| row.contains("a   call")),
        "{}",
        rows[0]
    );
}

async fn compare_cards(store: &Store, history: &History) {
    let page = store
        .cards(&CardFilter::default(), None, LIMIT_MAX)
        .await
        .unwrap();
    assert_eq!(page.data.len(), history.cards.len());
    for row in page.data {
        let (_, root) = history.cards.iter().find(|(id, _)| *id == row.id).unwrap();
        let status = match history.world.shard(*root).card(row.id) {
            Some(card) => {
                assert_eq!(row.created_at_ms, card.created_at, "{}", row.id);
                card.status.name()
            }
            None => "inactive",
        };
        assert_eq!(row.status.name(), status, "{}", row.id);
        let issued = history.world.registry.issued_cards.get(row.id).unwrap();
        let expiry = (issued.expiry.month(), issued.expiry.year());
        assert_eq!((row.exp_month, row.exp_year), expiry, "{}", row.id);
        let replaces = issued.chain.and_then(|chain| chain.replacement_for);
        assert_eq!(row.replacement_for, replaces, "{}", row.id);
        let links = store.card_links(&[row.id]).await.unwrap();
        assert_eq!(links.len(), 2);
    }
}

/// Gives how many were approved in part.
async fn compare_authorizations(store: &Store, history: &History) -> usize {
    let page = store
        .authorizations(&AuthorizationFilter::default(), None, LIMIT_MAX)
        .await
        .unwrap();
    assert!(!page.has_more);
    let mut expected: Vec<AuthorizationRow> = expected_rows(history);
    expected.reverse();
    assert_eq!(page.data, expected);
    let shards = history.world.shards.iter();
    let known: BTreeMap<_, _> = shards
        .flat_map(|shard| shard.authorizations.iter())
        .map(|known| (known.id, known))
        .collect();
    let (mut found, mut open, mut in_part) = (0, 0, 0);
    for row in &page.data {
        let is_in_part = row.result == AuthorizationResult::PartiallyApproved;
        assert_eq!(
            row.approved_transaction_minor.is_some(),
            is_in_part,
            "{}",
            row.id
        );
        in_part += usize::from(is_in_part);
        if let Some(known) = known.get(&row.id) {
            // What the network was told, which stays told where it was too late.
            let told = known
                .answered
                .as_ref()
                .and_then(|told| told.answer.approved_part());
            let told = told.filter(|_| row.result != AuthorizationResult::Declined);
            let told = told.map(|approved| approved.amount_minor);
            assert_eq!(row.approved_transaction_minor, told, "{}", row.id);
            assert_eq!(as_in_memory(row, known), as_known(known), "{}", row.id);
            (found, open) = (found + 1, open + usize::from(known.is_open()));
        } else {
            assert_eq!(row.posted_minor, 0, "{} is in no memory", row.id);
        }
        assert!(!row.merchant_name.contains('\0'));
        assert_eq!(
            store.authorization(row.id).await.unwrap().as_ref(),
            Some(row)
        );
        let is_recorded = row.message != MessageName::Request && row.breach_reason.is_none();
        let steps = row.trace.steps().count();
        assert!(steps > 0 || is_recorded, "{} has no readable trace", row.id);
    }
    assert_eq!(found, known.len(), "an authorization has no row");
    assert!(open > 0, "the history left nothing open to compare");
    let reasons: BTreeSet<_> = page.data.iter().filter_map(|row| row.reason).collect();
    assert!(reasons.len() >= 3, "{reasons:?}");
    in_part
}

/// Amount, posted, status, and the end of a hold that is open.
type Standing = (i64, i64, &'static str, Option<Timestamp>);

fn as_known(known: &Authorization) -> Standing {
    let posted_minor = known.posted.account_minor;
    let closed_by = known.closed.map(|closed| closed.by);
    let standing = Authorization::standing(closed_by, posted_minor);
    let expires_at = known.is_open().then_some(known.expires_at);
    let stands_at_minor = known.stands_at().account_minor;
    (
        match known.direction {
            Direction::Credit => -stands_at_minor,
            Direction::Debit | Direction::Nowhere => stands_at_minor,
        },
        posted_minor,
        standing.name(),
        expires_at,
    )
}

/// What the row says where memory keeps it: of one that ended without anything the row has the amount that it
/// ended with, of a credit that nothing is posted for the amount that was approved.
fn as_in_memory(row: &AuthorizationRow, known: &Authorization) -> Standing {
    use AuthorizationStatus::{Declined, Expired, Reversed};
    // Declined after all, because the customer or the time said so: to the engine it is undone.
    let status = match row.status {
        Declined => Reversed,
        status => status,
    };
    let is_kept = matches!(status, Expired | Reversed)
        || known.direction == Direction::Credit && row.status == AuthorizationStatus::Pending;
    (
        if is_kept { 0 } else { row.amount_minor },
        row.posted_minor,
        status.name(),
        row.expires_at_ms.filter(|_| known.is_open()),
    )
}

/// Filters by what a payment is look at events of these types only.
async fn compare_types_of_payments(fixture: &Fixture) {
    let types = EventType::ALL.iter().filter(|told| told.may_name_payment());
    let names: Vec<String> = types.map(|told| format!("'{}'", told.name())).collect();
    let others = format!(
        "SELECT COUNT(*) FROM events WHERE authorization_id IS NOT NULL AND event_type NOT IN ({})",
        names.join(", ")
    );
    assert_eq!(fixture.number(&others).await, 0, "events of payments");
}

/// The tables by themselves: ledger, transactions, authorizations and accounts say the same of money.
async fn compare_money(fixture: &Fixture) {
    for (what, wrong) in [
        (
            "legs of a record do not sum to zero",
            "(SELECT sequence FROM ledger_entries GROUP BY sequence, currency \
              HAVING SUM(amount_minor) <> 0) AS wrong",
        ),
        (
            "legs do not add up to what an account has posted",
            "accounts WHERE posted_minor <> (SELECT COALESCE(SUM(amount_minor), 0) \
             FROM ledger_entries WHERE account_id = accounts.id AND ledger_account = 'customer')",
        ),
        (
            "transactions do not add up to what an authorization has posted",
            "authorizations WHERE posted_minor <> -(SELECT COALESCE(SUM(t.amount_minor), 0) \
             FROM transactions AS t WHERE t.authorization_id = authorizations.id)",
        ),
        (
            "a transaction is of no authorization, or of one of another card, account or currency",
            "transactions AS t WHERE NOT EXISTS (SELECT * FROM authorizations AS a \
             WHERE a.id = t.authorization_id AND a.card_id = t.card_id AND a.account_id = t.account_id \
             AND a.currency = t.currency AND a.sequence <= t.sequence)",
        ),
        (
            "a transaction has no legs of its own",
            "transactions AS t WHERE amount_minor <> COALESCE((SELECT SUM(e.amount_minor) \
             FROM ledger_entries AS e WHERE e.source_type = 'transaction' AND e.source_id = t.id \
             AND e.sequence = t.sequence AND e.ledger_account = 'customer' \
             AND e.account_id = t.account_id), 0)",
        ),
        (
            "the other side of a transaction is not the network's, or ours of a conversion",
            "ledger_entries WHERE source_type = 'transaction' \
             AND ledger_account NOT IN ('customer', 'network_settlement', 'mark_up', 'rounding', \
             'fees', 'reseller_mark_up')",
        ),
        (
            "a fee is something else than the legs of its record say",
            "fees AS f WHERE f.amount_minor <> f.fee_minor + f.reseller_mark_up_minor \
             OR f.fee_minor <> COALESCE((SELECT SUM(e.amount_minor) FROM ledger_entries AS e \
             WHERE e.sequence = f.sequence AND e.ledger_account = 'fees'), 0) \
             OR f.reseller_mark_up_minor <> COALESCE((SELECT SUM(e.amount_minor) \
             FROM ledger_entries AS e WHERE e.sequence = f.sequence \
             AND e.ledger_account = 'reseller_mark_up'), 0)",
        ),
        (
            "a fee that is no part of a payment is not an entry of its own",
            "fees AS f WHERE kind <> 'foreign_exchange' AND f.amount_minor <> \
             -COALESCE((SELECT SUM(e.amount_minor) FROM ledger_entries AS e \
             WHERE e.source_type = 'fee' AND e.source_id = f.id \
             AND e.account_id = f.account_id AND e.ledger_account = 'customer'), 0)",
        ),
        (
            "legs of fees are of no fee",
            "ledger_entries AS e WHERE ledger_account IN ('fees', 'reseller_mark_up') \
             AND NOT EXISTS (SELECT * FROM fees AS f WHERE f.sequence = e.sequence)",
        ),
        (
            "the network gets something else than its legs say",
            "transactions AS t WHERE network_minor <> -COALESCE((SELECT SUM(e.amount_minor) \
             FROM ledger_entries AS e WHERE e.sequence = t.sequence \
             AND e.ledger_account = 'network_settlement'), 0)",
        ),
        (
            "what a reversal returned has the kind and merchant of something else",
            "transactions AS t JOIN authorizations AS a ON a.id = t.authorization_id \
             WHERE t.transaction_type = 'reversal' AND (t.kind <> a.kind OR t.mcc <> a.mcc \
             OR t.merchant_name <> a.merchant_name OR t.transaction_currency <> a.transaction_currency)",
        ),
        (
            "a reversal returned something else than its transaction says",
            "reversals AS r LEFT JOIN transactions AS t ON t.sequence = r.sequence \
             WHERE r.returned_minor <> COALESCE(t.amount_minor, 0)",
        ),
        (
            "a payment gives, or a refund takes",
            "transactions WHERE transaction_type = 'payment' AND amount_minor >= 0 \
             OR transaction_type = 'refund' AND amount_minor <= 0 \
             OR SIGN(amount_minor) <> SIGN(transaction_minor)",
        ),
        (
            "something became part of nothing",
            "authorizations AS m WHERE status = 'merged' AND original_authorization_id IS NULL \
             OR status <> 'merged' AND original_authorization_id IS NOT NULL \
             AND COALESCE(step, '') <> 'answer' AND kind <> 'refund' \
             OR original_authorization_id IS NOT NULL AND NOT EXISTS (SELECT * FROM authorizations AS a \
             WHERE a.id = m.original_authorization_id AND a.card_id = m.card_id)",
        ),
    ] {
        let count = fixture
            .number(&format!("SELECT COUNT(*) FROM {wrong}"))
            .await;
        assert_eq!(count, 0, "{what}");
    }
}

/// That the histories have what is compared: every status, type, message, and nearly every flag.
async fn all_occur(fixture: &Fixture) {
    for (column, table, names) in [
        (
            "status",
            "authorizations",
            names_of(AuthorizationStatus::ALL),
        ),
        (
            "result",
            "authorizations",
            names_of(AuthorizationResult::ALL),
        ),
        ("message", "authorizations", names_of(MessageName::ALL)),
        (
            "transaction_type",
            "transactions",
            names_of(TransactionType::ALL),
        ),
        ("what", "reversals", names_of(UndoneName::ALL)),
    ] {
        for name in names {
            let sql = format!("SELECT COUNT(*) FROM {table} WHERE {column} = '{name}'");
            assert!(fixture.number(&sql).await > 0, "no {column} is {name}");
        }
    }
    for what in ["replacement_for IS NOT NULL", "exp_month <> 12"] {
        let sql = format!("SELECT COUNT(*) FROM cards WHERE {what}");
        assert!(fixture.number(&sql).await > 0, "no card where {what}");
    }
    for (_, name) in Flags::ALL {
        let within =
            |table: &str| format!("(SELECT COUNT(*) FROM {table} WHERE flags LIKE '%{name}%')");
        let (told, posted) = (within("authorizations"), within("transactions"));
        let sql = format!("SELECT {told} + {posted} + {}", within("reversals"));
        assert!(
            fixture.number(&sql).await > 0,
            "no message is flagged {name}"
        );
    }
}

fn names_of<T>(all: &[(T, &'static str)]) -> Vec<&'static str> {
    all.iter().map(|(_, name)| *name).collect()
}

pub fn expected_rows(history: &History) -> Vec<AuthorizationRow> {
    let records = history.records.iter();
    let ids = records.filter_map(|(_, record)| from_message::authorization_id_of(record));
    ids.map(|id| {
        let facts_of = |account| history.facts_of(account);
        TailFold::authorization(id, None, &history.records, facts_of).unwrap()
    })
    .collect()
}

async fn every_kind_of_message_moves_rows_of_any_batch(fixture: Fixture) {
    let mut history = history(17, 2_400);
    // One waits for its customer at the end.
    history.ask_customers(true);
    let waits = |history: &History| {
        let known = history.authorizations.last().and_then(|known| {
            let shard = history.world.shard(known.2);
            shard.authorizations.get(known.0)
        });
        known.is_some_and(|known| known.waiting.is_some())
    };
    for _ in 0..200 {
        if !waits(&history) {
            history.authorize(100, Kind::Purchase, 5411);
        }
    }
    let store = fixture.store().await;
    project(&store, &history.records, 3).await;
    compare_accounts(&store, &fixture, &history).await;
    compare_money(&fixture).await;
    compare_types_of_payments(&fixture).await;
    all_occur(&fixture).await;
    let dump = fixture.dump().await;
    assert_same(&dump, &expected_dump(&fixture, &history.records).await);
}

async fn killed_at_any_step_of_a_batch_each_record_is_in_once(fixture: Fixture) {
    let history = history(5, 400);
    let records = &history.records;
    project(&fixture.store().await, &records[..1], 1).await;
    let mut batch_start = 1;
    for step in BatchStep::ALL {
        for size in [1, 23] {
            let records = &records[batch_start..batch_start + size];
            batch_start += size;
            let before = fixture.dump().await;
            let store = fixture.store().await;
            let projector = Projector::open(&store, JOURNAL).await.unwrap();
            let mut projector = projector.with_fault(once(*step));
            let died = projector.apply(records).await.unwrap_err();
            assert!(matches!(died, StoreError::Interrupted), "{died}");
            drop(projector);
            store.close().await;
            if *step != BatchStep::Committed {
                assert_eq!(fixture.dump().await, before, "{step:?} left a trace");
            }
            // The next process knows only what the database says.
            let store = fixture.store().await;
            let mut projector = Projector::open(&store, JOURNAL).await.unwrap();
            projector.apply(records).await.unwrap();
            store.close().await;
        }
    }
    let store = fixture.store().await;
    project(&store, &records[batch_start..], 50).await;
    let expected = expected_dump(&fixture, records).await;
    assert_same(&fixture.dump().await, &expected);
}

/// Linked objects are told of three cards at a time, killed once in the middle of each.
async fn what_has_many_events_is_the_same_in_many_transactions(fixture: Fixture) {
    let history = history(9, 400);
    let store = fixture.store().await;
    let committed = Arc::new(AtomicUsize::new(0));
    let mut killed = 0;
    for records in history.records.chunks(50) {
        loop {
            let projector = Projector::open(&store, JOURNAL).await.unwrap();
            let (counted, kills) = (committed.clone(), killed % 2 == 0);
            let mut projector = projector
                .with_events_max(3)
                .with_fault(Arc::new(move |step| {
                    let is_end = step == BatchStep::Committed;
                    counted.fetch_add(usize::from(is_end), Ordering::SeqCst);
                    kills
                        && step == BatchStep::RowsInserted
                        && counted.load(Ordering::SeqCst) % 7 == 3
                }));
            killed += 1;
            match projector.apply(records).await {
                Ok(()) => break,
                Err(error) => assert!(matches!(error, StoreError::Interrupted), "{error}"),
            }
        }
    }
    let transactions = committed.load(Ordering::SeqCst);
    assert!(transactions > 60, "{transactions}");
    assert_same(
        &fixture.dump().await,
        &expected_dump(&fixture, &history.records).await,
    );
}

async fn records_that_are_in_are_skipped_and_a_gap_is_refused(fixture: Fixture) {
    let history = history(6, 100);
    let (store, records) = (fixture.store().await, &history.records);
    let mut projector = Projector::open(&store, JOURNAL).await.unwrap();
    projector.apply(&records[..60]).await.unwrap();
    let once = fixture.dump().await;
    projector.apply(&records[..60]).await.unwrap();
    projector.apply(&records[..0]).await.unwrap();
    assert_eq!(fixture.dump().await, once);
    let gap = projector.apply(&records[61..]).await.unwrap_err();
    assert!(
        matches!(
            gap,
            StoreError::Gap {
                expected: 61,
                found: 62
            }
        ),
        "{gap}"
    );
    let mut holed = records[50..].to_vec();
    holed.remove(20);
    let gap = projector.apply(&holed).await.unwrap_err();
    assert!(
        matches!(
            gap,
            StoreError::Gap {
                expected: 71,
                found: 72
            }
        ),
        "{gap}"
    );
    // Half of it is in.
    projector.apply(&records[40..]).await.unwrap();
    compare_authorizations(&store, &history).await;
}

async fn an_audit_entry_keeps_its_id_when_its_request_ends(fixture: Fixture) {
    let mut history = history(17, 60);
    let store = fixture.store().await;
    project(&store, &history.records, 100).await;
    let filter = AuditFilter::default();
    let before = store
        .audit_log(&filter, None, LIMIT_MAX)
        .await
        .unwrap()
        .data;
    let known = history.records.len();
    history.end_request();
    let ended = history.records[known..]
        .iter()
        .find_map(|(_, record)| match record {
            Record::Registry { command, .. } => match &command.action {
                RegistryAction::Audit(entry) => Some(entry.requester.request_id.to_string()),
                _ => None,
            },
            Record::Shard { .. } => None,
        });
    let ended = ended.unwrap();
    project(&store, &history.records[known..], 100).await;
    let after = store
        .audit_log(&filter, None, LIMIT_MAX)
        .await
        .unwrap()
        .data;
    let of = |rows: &[AuditRow]| {
        let row = rows.iter().find(|row| row.request_id == ended).cloned();
        row.unwrap()
    };
    let (before_row, after_row) = (of(&before), of(&after));
    assert_eq!(before_row.outcome, "unknown");
    assert_ne!(after_row.outcome, "unknown");
    assert_eq!(
        (before_row.id, before_row.sequence, before_row.created_at_ms),
        (after_row.id, after_row.sequence, after_row.created_at_ms)
    );
    let ids = |rows: &[AuditRow]| rows.iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(&before), ids(&after), "the same list");
    let expected = expected_dump(&fixture, &history.records).await;
    assert_same(&fixture.dump().await, &expected);
}

async fn of_two_projectors_one_is_refused(fixture: Fixture) {
    let history = history(7, 100);
    let (store, other) = (fixture.store().await, fixture.store().await);
    let mut first = Projector::open(&store, JOURNAL).await.unwrap();
    first.apply(&history.records[..10]).await.unwrap();
    let mut second = Projector::open(&other, JOURNAL).await.unwrap();
    first.apply(&history.records[10..20]).await.unwrap();
    let refused = second.apply(&history.records[10..30]).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::PositionMoved { expected: 10, .. }),
        "{refused}"
    );
    assert_eq!(store.projection().await.unwrap().position, 20);
}

async fn tables_of_another_journal_are_refused(fixture: Fixture) {
    let history = history(8, 10);
    let store = fixture.store().await;
    project(&store, &history.records, 100).await;
    let refused = Projector::open(&store, JOURNAL + 1).await.err().unwrap();
    let sentence = refused.to_string();
    assert!(
        matches!(refused, StoreError::OtherJournal { .. }),
        "{sentence}"
    );
    // A rebuild would throw away the only proof that records are lost.
    let way_out = "name other tables in `[store] url`";
    assert!(
        sentence.contains(way_out) && !sentence.contains("rebuild"),
        "{sentence}"
    );
}

async fn tables_that_lack_a_row_are_noticed(fixture: Fixture) {
    let history = history(9, 300);
    let store = fixture.store().await;
    project(&store, &history.records[..60], 60).await;
    fixture.sql("DELETE FROM accounts").await;
    let mut projector = Projector::open(&store, JOURNAL).await.unwrap();
    let refused = projector.apply(&history.records[60..]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Missing { .. }), "{refused}");
    assert_eq!(store.projection().await.unwrap().position, 60);
}

async fn tables_of_a_newer_program_are_refused(fixture: Fixture) {
    fixture.store().await.close().await;
    fixture
        .sql("INSERT INTO schema_version (version) VALUES (99)")
        .await;
    let refused = Store::connect(&fixture.url, fixture.dir.path()).await;
    let sentence = refused.err().unwrap().to_string();
    assert!(sentence.contains("version 99"), "{sentence}");
}

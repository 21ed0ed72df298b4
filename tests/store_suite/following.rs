//! The follower: catches up, says how far it is, survives faults and a database that goes away.

use crate::cluster::{self, DEADLINE};
use crate::fixture::{Fixture, JOURNAL, MemoryJournal, assert_same, expected_dump, project};
use crate::on_both;
use crate::projecting::history;
use cardswitch::engine::link_states::LinkStatus;
use cardswitch::engine::record::{self, Record};
use cardswitch::journal::{
    Journal, JournalError, MemoryStorage, RecordBatch, RunningJournal, Settings,
};
use cardswitch::store::follow::{FollowSettings, RecordSource, SourceError, run};
use cardswitch::store::lag::{FollowState, ProjectionLag};
use cardswitch::store::projection::BatchStep;
use cardswitch::store::query_payments::AuthorizationFilter;
use cardswitch::store::rebuild::rebuild;
use cardswitch::store::{JournalSource, Prepared, Store, StoreError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

on_both! {
    the_follower_catches_up_and_keeps_up,
    faults_at_every_step_lose_and_double_nothing,
    what_trying_again_cannot_help_ends_the_follower,
    it_follows_a_running_journal,
    tables_of_another_end_of_the_journal_are_refused,
}

fn settings() -> FollowSettings {
    FollowSettings {
        batch_max: 64,
        gather: Duration::from_millis(1),
        wait: Duration::from_millis(20),
        hold_back_max: Duration::from_millis(5),
        retry_min: Duration::from_millis(1),
        retry_max: Duration::from_millis(20),
        began_at: None,
        fault: None,
    }
}

struct Following {
    lag: Arc<ProjectionLag>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), StoreError>>,
}

impl Following {
    async fn begin(
        fixture: &Fixture,
        journal: impl cardswitch::store::follow::RecordSource,
        settings: FollowSettings,
    ) -> Following {
        let lag = Arc::new(ProjectionLag::default());
        let shutdown = CancellationToken::new();
        let store = fixture.store().await;
        let followed = run(journal, store, settings, lag.clone(), shutdown.clone());
        let task = tokio::spawn(followed);
        Following {
            lag,
            shutdown,
            task,
        }
    }

    async fn reach(&self, sequence: u64) {
        assert!(
            self.lag.reached(sequence, DEADLINE).await,
            "record {sequence} was not reached: {:?} at {}",
            self.lag.state(),
            self.lag.projected_through()
        );
    }

    async fn end(self) -> Result<(), StoreError> {
        self.shutdown.cancel();
        self.task.await.unwrap()
    }
}

async fn the_follower_catches_up_and_keeps_up(fixture: Fixture) {
    let history = history(11, 900);
    let (early, late) = history.records.split_at(500);
    let journal = MemoryJournal::new(early);
    let following = Following::begin(&fixture, journal.clone(), settings()).await;
    following.reach(500).await;
    assert_eq!(following.lag.state(), FollowState::Following);
    for records in late.chunks(3) {
        journal.append(records);
        tokio::task::yield_now().await;
    }
    following.reach(history.last()).await;
    assert_eq!(
        (following.lag.behind_records(), following.lag.behind_ms()),
        (0, 0)
    );
    let lag = following.lag.clone();
    following.end().await.unwrap();
    assert_eq!(lag.state(), FollowState::Stopped);
    let expected = expected_dump(&fixture, &history.records).await;
    assert_same(&fixture.dump().await, &expected);
}

async fn faults_at_every_step_lose_and_double_nothing(fixture: Fixture) {
    let history = history(12, 900);
    let struck = Arc::new(Mutex::new(Vec::new()));
    let (mut settings, noted) = (settings(), struck.clone());
    settings.batch_max = 16;
    let visits = AtomicU64::new(1);
    settings.fault = Some(Arc::new(move |step| {
        // One visit in ten or so, without a pattern (splitmix64's finaliser).
        let mut mixed = visits.fetch_add(1, Ordering::SeqCst);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let strikes = (mixed ^ mixed >> 31).is_multiple_of(10);
        if strikes {
            noted.lock().unwrap().push(step);
        }
        strikes
    }));
    let journal = MemoryJournal::new(&history.records);
    let following = Following::begin(&fixture, journal, settings).await;
    following.reach(history.last()).await;
    following.end().await.unwrap();
    for step in BatchStep::ALL {
        let struck = struck.lock().unwrap();
        assert!(struck.contains(step), "nothing died at {step:?}");
    }
    let expected = expected_dump(&fixture, &history.records).await;
    assert_same(&fixture.dump().await, &expected);
}

async fn what_trying_again_cannot_help_ends_the_follower(fixture: Fixture) {
    let history = history(13, 50);
    project(&fixture.store().await, &history.records, 100).await;
    let mut other = MemoryJournal::new(&history.records);
    other.id = JOURNAL + 1;
    let following = Following::begin(&fixture, other, settings()).await;
    let lag = following.lag.clone();
    let ended = following.task.await.unwrap().unwrap_err();
    assert!(matches!(ended, StoreError::OtherJournal { .. }), "{ended}");
    assert_eq!(lag.state(), FollowState::Failed);
    assert!(ended.proves_a_loss());
    // New records have gone past the tables since the process began behind them.
    let mut settings_then = settings();
    settings_then.began_at = Some(10);
    let journal = MemoryJournal::new(&history.records);
    let following = Following::begin(&fixture, journal, settings_then).await;
    let ended = following.task.await.unwrap().unwrap_err();
    assert!(
        matches!(ended, StoreError::AheadOfJournal { durable: 10, .. }),
        "{ended}"
    );
    let shorter = MemoryJournal::new(&history.records[..10]);
    let following = Following::begin(&fixture, shorter, settings()).await;
    let ended = following.task.await.unwrap().unwrap_err();
    assert!(
        matches!(ended, StoreError::AheadOfJournal { .. }),
        "{ended}"
    );
}

fn append(handle: &cardswitch::journal::Handle, records: &[(u64, Record)]) {
    let mut batch = RecordBatch::new();
    for (_, record) in records {
        let mut bytes = Vec::new();
        match record {
            Record::Shard { command, event, .. } => {
                record::write_shard(&mut bytes, command, event, record.requester());
            }
            Record::Registry { command, event, .. } => {
                record::write_registry(&mut bytes, command, event, record.requester());
            }
        }
        batch.push(&bytes);
    }
    handle.append(&mut batch, Box::new(|_| {})).unwrap();
}

async fn it_follows_a_running_journal(fixture: Fixture) {
    let history = history(14, 600);
    let opened = Journal::open(MemoryStorage::new(), &Settings::default(), JOURNAL);
    let (journal, _) = opened.unwrap();
    let journal = journal.start(Box::new(|error| panic!("{error}"))).unwrap();
    let handle = journal.handle();
    append(&handle, &history.records[..200]);
    let source = JournalSource::new(handle.clone());
    let following = Following::begin(&fixture, source, settings()).await;
    for records in history.records[200..].chunks(17) {
        append(&handle, records);
        tokio::task::yield_now().await;
    }
    following.reach(history.last()).await;
    following.end().await.unwrap();
    let expected = expected_dump(&fixture, &history.records).await;
    // Records in memory have no chain.
    let chain = fixture.store().await.projection().await.unwrap().chain;
    fixture.sql("UPDATE projection SET chain = NULL").await;
    assert_same(&fixture.dump().await, &expected);
    let chain = chain.expect("the journal's chain");
    fixture
        .sql(&format!("UPDATE projection SET chain = '{chain}'"))
        .await;
    // Taken up again in the middle, with nothing new, and then with one record more.
    let source = JournalSource::new(handle.clone());
    let following = Following::begin(&fixture, source, settings()).await;
    following.reach(history.last()).await;
    let mut history = history;
    while history.last() == following.lag.projected_through() {
        history.go_on(1);
    }
    let known = following.lag.projected_through() as usize;
    append(&handle, &history.records[known..]);
    following.reach(history.last()).await;
    following.end().await.unwrap();
    journal.close().unwrap();
}

async fn journal_of(parts: [&[(u64, Record)]; 2]) -> RunningJournal {
    let opened = Journal::open(MemoryStorage::new(), &Settings::default(), JOURNAL);
    let journal = opened.unwrap().0;
    let journal = journal.start(Box::new(|error| panic!("{error}"))).unwrap();
    let (mut last, progress) = (0, journal.handle().subscribe());
    for records in parts {
        append(&journal.handle(), records);
        last += records.len() as u64;
        wait_until("the records are durable", || progress.durable() >= last).await;
    }
    journal
}

/// Follows it to its end, or until that ends by itself.
async fn follow_it(fixture: &Fixture, journal: &RunningJournal) -> Result<(), StoreError> {
    let source = JournalSource::new(journal.handle());
    let following = Following::begin(fixture, source, settings()).await;
    let (lag, last) = (following.lag.clone(), journal.handle().durable());
    wait_until("it is at the end", || {
        lag.projected_through() >= last || lag.state() == FollowState::Failed
    })
    .await;
    following.end().await
}

async fn tables_of_another_end_of_the_journal_are_refused(fixture: Fixture) {
    let (mut ours, mut other) = (history(15, 60), history(15, 60));
    let common = ours.records.clone();
    ours.go_on(20);
    // It lost its end, and has gone past the tables since.
    other.change_link("project", 1, LinkStatus::Frozen);
    other.go_on(60);
    let (rest, others) = (
        &ours.records[common.len()..],
        &other.records[common.len()..],
    );
    let whole = journal_of([&common, rest]).await;
    let went_on = journal_of([&common, others]).await;
    follow_it(&fixture, &whole).await.unwrap();
    let position = fixture.store().await.projection().await.unwrap().position;
    assert!(went_on.handle().durable() > position);
    for _ in 0..2 {
        let refused = follow_it(&fixture, &went_on).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::OtherHistory { position: at, .. } if at == position),
            "{refused}"
        );
        assert!(refused.proves_a_loss());
    }
    follow_it(&fixture, &whole).await.unwrap();
    // Tables of before there was a chain hash are taken as they are.
    fixture.sql("UPDATE projection SET chain = NULL").await;
    follow_it(&fixture, &whole).await.unwrap();
    // Who takes the journal as it is makes the tables anew.
    let store = fixture.store().await;
    let source = JournalSource::new(went_on.handle());
    rebuild(&store, source, |_| {}).await.unwrap();
    follow_it(&fixture, &went_on).await.unwrap();
    for journal in [whole, went_on] {
        journal.close().unwrap();
    }
}

#[tokio::test]
async fn a_postgres_that_cannot_keep_all_letters_is_refused_at_once() {
    let fixture = Fixture::postgres();
    for (name, encoding) in [("latin", "LATIN1"), ("ascii", "SQL_ASCII"), ("utf", "UTF8")] {
        let sql = "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";
        let sql = format!("CREATE DATABASE {name} ENCODING '{encoding}' {sql}");
        fixture.sql(&sql).await;
        let url = fixture
            .url
            .replace("dbname=tmp-postgrust", &format!("dbname={name}"));
        assert_ne!(url, fixture.url);
        let opened = Store::connect(&url, fixture.dir.path()).await;
        match (name, opened) {
            ("latin", opened) => {
                let refused = opened.err().unwrap();
                let sentence = refused.to_string();
                assert!(sentence.contains("has the encoding LATIN1"), "{sentence}");
                assert!(!refused.is_passing());
            }
            (_, opened) => assert_eq!(opened.unwrap().projection().await.unwrap().position, 0),
        }
    }
}

/// A journal whose process has too many files open now and then.
struct Scarce {
    journal: MemoryJournal,
    reads: u64,
}

impl RecordSource for Scarce {
    fn journal_id(&self) -> u128 {
        self.journal.journal_id()
    }

    fn durable(&self) -> u64 {
        self.journal.durable()
    }

    fn seek(&mut self, from: u64) -> Result<(), SourceError> {
        self.journal.seek(from)
    }

    fn next_batch(
        &mut self,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<(u64, Record)>, SourceError> {
        self.reads += 1;
        if self.reads.is_multiple_of(3) {
            // EMFILE.
            let source = std::io::Error::from_raw_os_error(24);
            let (action, file) = ("open", "a segment".to_owned());
            return Err(JournalError::Io {
                action,
                file,
                source,
            }
            .into());
        }
        self.journal.next_batch(limit, wait)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_cannot_be_opened_for_a_moment_is_read_again() {
    let fixture = Fixture::sqlite();
    let history = history(22, 600);
    let journal = MemoryJournal::new(&history.records);
    let scarce = Scarce { journal, reads: 0 };
    let following = Following::begin(&fixture, scarce, settings()).await;
    following.reach(history.last()).await;
    following.end().await.unwrap();
    let expected = expected_dump(&fixture, &history.records).await;
    assert_same(&fixture.dump().await, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_says_no_is_told_in_plain_words_with_the_way_out() {
    let fixture = Fixture::postgres();
    fixture.sql("CREATE ROLE nobody LOGIN").await;
    let other_database = fixture.url.replace("dbname=tmp-postgrust", "dbname=cards");
    let (place, _) = fixture.url.split_once("&user=").unwrap();
    let other_user = format!("{place}&user=missing");
    let no_rights = format!("{place}&user=nobody");
    for (url, sentence) in [
        (
            other_database,
            r#"refused to prepare its tables: database "cards" does not exist; make it (`createdb`), or name another one in `[store] url`"#,
        ),
        (
            other_user,
            r#"refused to prepare its tables: role "missing" does not exist; check the user in `[store] url`, and the password there, in PGPASSWORD or in ~/.pgpass"#,
        ),
        (
            no_rights,
            "does not let its user nobody make tables in the schema public: GRANT CREATE ON SCHEMA public TO nobody, or name another user in `[store] url`",
        ),
    ] {
        let refused = Store::connect(&url, fixture.dir.path())
            .await
            .err()
            .unwrap();
        // As the program prints it, with its causes.
        let printed = cardswitch::cli::sentence(&refused.into());
        assert!(printed.ends_with(sentence), "{printed}");
    }
}

/// As a standby in the middle of a failover does. Nobody waits for it, at the start either.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_takes_no_writes_for_now_is_refused_and_caught_up_with() {
    let fixture = Fixture::postgres();
    let history = history(21, 60);
    let read_only = |is_so: &str| {
        format!(
            "BEGIN READ WRITE; ALTER DATABASE \"tmp-postgrust\" SET default_transaction_read_only = {is_so}; COMMIT"
        )
    };
    // Without any tables yet, and with them.
    for (through, records) in [(40, &history.records[..40]), (60, &history.records[..60])] {
        fixture.sql(&read_only("on")).await;
        let store = Store::open(&fixture.url, fixture.dir.path()).unwrap();
        assert_eq!(
            store.prepare_if_possible().await.unwrap(),
            Prepared::Refused
        );
        let lag = Arc::new(ProjectionLag::default());
        let shutdown = CancellationToken::new();
        let journal = MemoryJournal::new(records);
        let followed = run(journal, store, settings(), lag.clone(), shutdown.clone());
        let task = tokio::spawn(followed);
        wait_until("refused", || lag.state() == FollowState::Refused).await;
        fixture.sql(&read_only("off")).await;
        assert!(lag.reached(through, DEADLINE).await, "{:?}", lag.state());
        assert_eq!(lag.state(), FollowState::Following);
        shutdown.cancel();
        task.await.unwrap().unwrap();
    }
    let expected = expected_dump(&fixture, &history.records[..60]).await;
    assert_same(&fixture.dump().await, &expected);
}

async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_goes_away_under_load_is_caught_up_with() {
    let fixture = Fixture::postgres();
    let history = history(15, 3000);
    let journal = MemoryJournal::new(&history.records[..100]);
    let following = Following::begin(&fixture, journal.clone(), settings()).await;
    following.reach(100).await;
    let feeding = {
        let records = history.records[100..].to_vec();
        tokio::spawn(async move {
            for records in records.chunks(5) {
                journal.append(records);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    };
    following.reach(200).await;
    let stopped = cluster::stop(&fixture).await;
    let lag = following.lag.clone();
    wait_until("away", || lag.state() == FollowState::Away).await;
    wait_until("behind", || lag.behind_records() > 50).await;
    // Reads say so in a sentence; nobody else is held up: the journal goes on growing.
    let store = cardswitch::store::Store::connect(&fixture.url, fixture.dir.path()).await;
    let filter = AuthorizationFilter::default();
    let away = store.unwrap().authorizations(&filter, None, 10).await;
    let away = away.unwrap_err();
    assert!(matches!(away, StoreError::Away { .. }), "{away}");
    let _server = cluster::start(&stopped, &fixture, &[]).await;
    feeding.await.unwrap();
    following.reach(history.last()).await;
    assert_eq!(following.lag.state(), FollowState::Following);
    following.end().await.unwrap();
    let expected = expected_dump(&fixture, &history.records).await;
    assert_same(&fixture.dump().await, &expected);
}

//! Tests of the tables.

use super::*;
use crate::engine::authorizations::{Closed, ClosedBy, InBoth};
use crate::engine::command::Reverse;
use crate::engine::event::{Answer, ReversalResult};
use crate::engine::facts::MatchKeys;
use crate::engine::first_answer::Asked;
use crate::engine::ids::{AccountId, ReversalId};
use crate::engine::kinds::Direction;
use crate::engine::money::Currency;
use crate::engine::recall::Sought;
use redb::backends::InMemoryBackend;

const SETTINGS: ArchiveSettings = ArchiveSettings {
    closed_on_disk_days: 30,
    first_answers_on_disk_days: 7,
};

fn day(number: i64) -> Timestamp {
    Timestamp(number * DAY_MS + 5)
}

fn names(number: u64) -> MatchKeys {
    let mut keys = MatchKeys::default();
    keys.by_authority[1] = MatchKey(number);
    keys
}

fn closed(id: u64, closed_at: Timestamp, posted_minor: i64) -> Authorization {
    let posted = InBoth {
        account_minor: posted_minor,
        transaction_minor: posted_minor,
    };
    Authorization {
        gave_back: Box::default(),
        is_amended: false,
        id: AuthorizationId(id),
        card_id: CardId(1),
        account_id: AccountId(1),
        direction: Direction::Debit,
        held: InBoth::default(),
        posted,
        kept: Default::default(),
        placed_at: Timestamp(0),
        expires_at: Timestamp(0),
        approval_code: Default::default(),
        match_keys: names(id),
        uses: Default::default(),
        is_authenticated: false,
        parts: Box::default(),
        closed: Some(Closed {
            at: closed_at,
            by: ClosedBy::Completion,
        }),
        opened: posted,
        posted_at_once: true,
        currency: Currency(840),
        waiting: None,
        answered: None,
        recalled_at: None,
        changes: 0,
        stood_in_by: None,
        lock: 0,
    }
}

fn forgotten(authorization: Authorization) -> Forgotten {
    Forgotten::Authorization(Box::new(authorization))
}

fn answer(key: u128, at: Timestamp) -> Forgotten {
    let first = FirstAnswer {
        root: AccountId(1),
        asked: Asked::of_reversal(&Reverse::default()),
        answer: Answer::Reversal {
            reversal_id: ReversalId(key as u64),
            result: ReversalResult::Accepted,
        },
        is_with_authorization: false,
    };
    Forgotten::FirstAnswer {
        key: RepeatKey(key),
        at,
        first,
    }
}

fn find(tables: &Tables, number: u64, at: Timestamp) -> Found {
    let lookup = Lookup {
        card_id: CardId(1),
        repeat_key: Some(RepeatKey(u128::from(number))),
        sought: [Sought {
            names: names(number),
            direction: None,
        }]
        .into_iter()
        .collect(),
    };
    tables.find(&lookup, at, SETTINGS).unwrap()
}

#[test]
fn the_later_state_of_an_authorization_stays_whatever_comes_after_it() {
    let tables = Tables::over(InMemoryBackend::new()).unwrap();
    let recalled = Authorization {
        recalled_at: Some(day(5)),
        changes: 1,
        ..closed(1, day(1), 70)
    };
    for (one, posted_minor) in [
        (closed(1, day(1), 50), 50),
        (recalled, 70),
        (closed(1, day(1), 50), 70),
    ] {
        tables.keep([forgotten(one)].iter()).unwrap();
        let found = find(&tables, 1, day(9)).authorizations;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].posted.account_minor, posted_minor);
    }
    assert!(find(&tables, 2, day(9)).authorizations.is_empty());
}

#[test]
fn what_is_past_its_days_is_not_found_and_is_removed_in_small_steps() {
    let tables = Tables::over(InMemoryBackend::new()).unwrap();
    let many = PRUNED_AT_ONCE as u64 + 10;
    let old: Vec<Forgotten> = (1..=many)
        .map(|id| forgotten(closed(id, day(1), 5)))
        .collect();
    let answers: Vec<Forgotten> = (1..=20).map(|key| answer(key, day(1))).collect();
    tables.keep(old.iter().chain(&answers)).unwrap();
    // One of them was needed since.
    let needed = Authorization {
        recalled_at: Some(day(20)),
        changes: 1,
        ..closed(1, day(1), 5)
    };
    tables.keep([forgotten(needed)].iter()).unwrap();
    for (at, has_answer, known) in [
        (day(7), true, 1),
        (day(8), false, 1),
        (day(30), false, 1),
        (day(31), false, 0),
    ] {
        let found = find(&tables, 3, at);
        assert_eq!(
            (found.first_answer.is_some(), found.authorizations.len()),
            (has_answer, known),
            "{at}"
        );
    }
    assert_eq!(
        tables.sync(day(8), SETTINGS).unwrap(),
        0,
        "the day is not over everywhere"
    );
    assert_eq!(tables.sync(day(9), SETTINGS).unwrap(), 20);
    let steps = [day(31), day(32), day(33), day(34)].map(|at| tables.sync(at, SETTINGS).unwrap());
    assert_eq!(steps, [0, PRUNED_AT_ONCE, 10, 0]);
    assert!(find(&tables, 3, day(20)).authorizations.is_empty());
    assert_eq!(find(&tables, 1, day(34)).authorizations.len(), 1);
    assert_eq!(tables.sync(day(60), SETTINGS).unwrap(), 1);
    assert!(find(&tables, 1, day(20)).authorizations.is_empty());
}

#[test]
fn an_archive_of_another_journal_or_ahead_of_this_one_is_emptied() {
    let tables = Tables::over(InMemoryBackend::new()).unwrap();
    let fill = || {
        tables
            .keep([forgotten(closed(1, day(1), 5))].iter())
            .unwrap()
    };
    let known = || find(&tables, 1, day(2)).authorizations.len();
    fill();
    assert!(tables.claim(7, 100).unwrap());
    tables.set_complete_through(90).unwrap();
    assert!(tables.claim(7, 100).unwrap());
    assert_eq!((known(), tables.complete_through().unwrap()), (1, 90));
    // The journal was put back to an earlier time.
    assert!(!tables.claim(7, 80).unwrap());
    assert_eq!((known(), tables.complete_through().unwrap()), (0, 0));
    fill();
    assert!(!tables.claim(8, 100).unwrap());
    assert_eq!(known(), 0);
    assert!(tables.claim(8, 100).unwrap());
}

#[test]
fn a_file_that_is_none_is_begun_anew_and_one_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let open = || super::super::Archive::open(folder.path(), SETTINGS);
    std::fs::write(folder.path().join("archive.redb"), b"something else").unwrap();
    let archive = open().unwrap();
    let opening = archive.opening().unwrap();
    let items = [forgotten(closed(1, day(1), 5))];
    archive.keep(opening, &items).unwrap();
    archive.complete(opening, 0, 5).unwrap();
    let refused = open().err().unwrap().to_string();
    assert!(refused.contains("is in use by another"), "{refused}");
    drop(archive);
    // The thread that looks up lets go of the file when it has heard of it.
    let mut again = open();
    while again
        .as_ref()
        .err()
        .is_some_and(|error| error.to_string().contains("in use"))
    {
        std::thread::yield_now();
        again = open();
    }
    assert_eq!(again.unwrap().complete_through().unwrap(), 5);
}

/// What another journal left is not found by this one, however late the file can be opened.
#[test]
fn a_file_that_opens_late_is_held_against_the_journal_then() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("archive");
    // No folder can be made where a file lies.
    std::fs::write(&place, b"in the way").unwrap();
    let archive = super::super::Archive::open(&place, SETTINGS).unwrap();
    assert!(archive.claim(7, 100).is_err());
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    let of_another = Tables::open(&place.join("archive.redb")).unwrap();
    assert!(of_another.claim(8, 900).unwrap());
    of_another.set_complete_through(800).unwrap();
    drop(of_another);
    assert_eq!(archive.complete_through().unwrap(), 0);
    // It is claimed once: its tables go past the record where the journal ended at the start.
    let opening = archive.opening().unwrap();
    archive.complete(opening, 0, 150).unwrap();
    assert_eq!(archive.complete_through().unwrap(), 150);
}

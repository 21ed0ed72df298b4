//! The tables of the archive in their file: authorizations by id and by name, first answers by the identity of their
//! message, and what is due to be removed, by day. When anything is written or looked up does not live here.

use super::ArchiveSettings;
use crate::engine::authorizations::{Authorization, names_of};
use crate::engine::facts::{MatchKey, RepeatKey};
use crate::engine::first_answer::FirstAnswer;
use crate::engine::ids::{AuthorizationId, CardId};
use crate::engine::recall::{Forgotten, Found, Lookup};
use crate::engine::snapshot;
use crate::engine::time::Timestamp;
use crate::journal::Sequence;
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, Table, TableDefinition,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

const AUTHORIZATIONS: TableDefinition<u64, &[u8]> = TableDefinition::new("authorizations");
/// Card, name, authorization.
const NAMES: TableDefinition<(u64, u64, u64), ()> = TableDefinition::new("names");
const ANSWERS: TableDefinition<u128, &[u8]> = TableDefinition::new("first_answers");
/// What it is, the day from which it was remembered last, and its key.
const DAYS: TableDefinition<(u8, i64, u128), ()> = TableDefinition::new("days");
const ABOUT: TableDefinition<&str, u128> = TableDefinition::new("about");

const LAYOUT: &str = "layout";
const JOURNAL_ID: &str = "journal_id";
const COMPLETE_THROUGH: &str = "complete_through";

/// Raised when the tables or what is in them change; those of another layout are filled anew. Authorizations are
/// stored as in a snapshot.
const LAYOUT_NOW: u128 = (snapshot::LAYOUT as u128) << 16 | 1;

const AN_AUTHORIZATION: u8 = 0;
const AN_ANSWER: u8 = 1;

const DAY_MS: i64 = 86_400_000;

/// Of each name the latest that have it: nobody names more of one card alike.
const PER_NAME_MAX: usize = 16;

/// Memory for pages of the file.
const CACHE_BYTES: usize = 64 << 20;

/// Entries of each kind that one step removes at the most.
pub(super) const PRUNED_AT_ONCE: usize = 1_000;

#[derive(Serialize, Deserialize)]
struct StoredAnswer {
    at: Timestamp,
    first: FirstAnswer,
}

#[derive(Debug)]
pub(super) struct Tables {
    database: Database,
}

impl Tables {
    pub fn open(file: &Path) -> Result<Tables, redb::Error> {
        let mut builder = Database::builder();
        Tables::of(builder.set_cache_size(CACHE_BYTES).create(file)?)
    }

    pub fn over(backend: impl StorageBackend) -> Result<Tables, redb::Error> {
        let mut builder = Database::builder();
        let builder = builder.set_cache_size(CACHE_BYTES);
        Tables::of(builder.create_with_backend(backend)?)
    }

    fn of(database: Database) -> Result<Tables, redb::Error> {
        let tables = Tables { database };
        let write = tables.begin(Durability::Immediate)?;
        let layout = about(&write, LAYOUT)?;
        if layout != Some(LAYOUT_NOW) {
            begin_anew(&write, 0)?;
        }
        write.commit()?;
        Ok(tables)
    }

    /// Notes whose archive it is. What is another journal's, or ahead of this one, is removed: false then.
    pub fn claim(&self, journal_id: u128, durable: Sequence) -> Result<bool, redb::Error> {
        let write = self.begin(Durability::Immediate)?;
        let known = about(&write, JOURNAL_ID)?.unwrap_or(0);
        let through = about(&write, COMPLETE_THROUGH)?.unwrap_or(0);
        let is_ours = (known == 0 || known == journal_id) && through <= u128::from(durable);
        match is_ours {
            true => drop(write.open_table(ABOUT)?.insert(JOURNAL_ID, journal_id)?),
            false => begin_anew(&write, journal_id)?,
        }
        write.commit()?;
        Ok(is_ours)
    }

    fn begin(&self, durability: Durability) -> Result<WriteTransaction, redb::Error> {
        let mut write = self.database.begin_write()?;
        write
            .set_durability(durability)
            .map_err(redb::Error::from)?;
        // After a crash the file is used at once, and not read from end to end first.
        write.set_quick_repair(matches!(durability, Durability::Immediate));
        Ok(write)
    }

    /// Keeps all of this; what is kept already in a later state stays. Not durable before the next `sync`.
    pub fn keep<'a>(&self, items: impl Iterator<Item = &'a Forgotten>) -> Result<(), redb::Error> {
        let write = self.begin(Durability::None)?;
        {
            let mut writer = Writer {
                authorizations: write.open_table(AUTHORIZATIONS)?,
                names: write.open_table(NAMES)?,
                answers: write.open_table(ANSWERS)?,
                days: write.open_table(DAYS)?,
            };
            for item in items {
                match item {
                    Forgotten::Authorization(authorization) => {
                        writer.keep_authorization(authorization)?;
                    }
                    Forgotten::FirstAnswer { key, at, first } => {
                        writer.keep_answer(*key, *at, *first)?;
                    }
                }
            }
        }
        Ok(write.commit()?)
    }

    /// Makes durable all that is kept, and removes some of what is due at `now`; gives how much.
    pub fn sync(&self, now: Timestamp, settings: ArchiveSettings) -> Result<usize, redb::Error> {
        let write = self.begin(Durability::Immediate)?;
        let pruned = prune(&write, now, settings)?;
        write.commit()?;
        Ok(pruned)
    }

    /// Up to which record everything is in here that a fold of the journal had forgotten by then.
    pub fn complete_through(&self) -> Result<Sequence, redb::Error> {
        let about = self.database.begin_read()?.open_table(ABOUT)?;
        let through = about.get(COMPLETE_THROUGH)?;
        Ok(through.map_or(0, |through| through.value() as Sequence))
    }

    /// Durable with all that is kept.
    pub fn set_complete_through(&self, through: Sequence) -> Result<(), redb::Error> {
        let write = self.begin(Durability::Immediate)?;
        write
            .open_table(ABOUT)?
            .insert(COMPLETE_THROUGH, u128::from(through))?;
        Ok(write.commit()?)
    }

    /// The authorizations that share a name with what is looked up, and the first answer, unless they are older than
    /// they are kept for.
    pub fn find(
        &self,
        lookup: &Lookup,
        at: Timestamp,
        settings: ArchiveSettings,
    ) -> Result<Found, redb::Error> {
        let read = self.database.begin_read()?;
        let mut found = Found::default();
        let answers = read.open_table(ANSWERS)?;
        let stored = lookup
            .repeat_key
            .map(|key| answers.get(key.0))
            .transpose()?;
        if let Some(stored) = stored.flatten() {
            let stored = postcard::from_bytes::<StoredAnswer>(stored.value()).ok();
            let oldest = oldest(at, settings.first_answers_on_disk_days);
            let stored = stored.filter(|stored| stored.at > oldest);
            found.first_answer = stored.map(|stored| stored.first);
        }
        let (names, authorizations) = (read.open_table(NAMES)?, read.open_table(AUTHORIZATIONS)?);
        let mut ids: Vec<u64> = Vec::new();
        for name in lookup.names() {
            let of_name = names.range(every_of(lookup.card_id, name))?;
            for entry in of_name.rev().take(PER_NAME_MAX) {
                ids.push(entry?.0.value().2);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        let oldest = oldest(at, settings.closed_on_disk_days);
        for id in ids {
            let stored = authorizations.get(id)?;
            let known = stored.and_then(|stored| decode(stored.value()));
            let counts = |known: &Authorization| known.remembered_from() > Some(oldest);
            found.authorizations.extend(known.filter(counts));
        }
        Ok(found)
    }
}

fn about(write: &WriteTransaction, what: &str) -> Result<Option<u128>, redb::Error> {
    let about = write.open_table(ABOUT)?;
    let value = about.get(what)?;
    Ok(value.map(|value| value.value()))
}

/// Leaves empty tables.
fn begin_anew(write: &WriteTransaction, journal_id: u128) -> Result<(), redb::Error> {
    write.delete_table(AUTHORIZATIONS)?;
    write.delete_table(NAMES)?;
    write.delete_table(ANSWERS)?;
    write.delete_table(DAYS)?;
    write.open_table(AUTHORIZATIONS)?;
    write.open_table(NAMES)?;
    write.open_table(ANSWERS)?;
    write.open_table(DAYS)?;
    let mut about = write.open_table(ABOUT)?;
    about.insert(LAYOUT, LAYOUT_NOW)?;
    about.insert(JOURNAL_ID, journal_id)?;
    about.insert(COMPLETE_THROUGH, 0)?;
    Ok(())
}

fn every_of(card_id: CardId, name: MatchKey) -> std::ops::RangeInclusive<(u64, u64, u64)> {
    (card_id.0, name.0, 0)..=(card_id.0, name.0, u64::MAX)
}

/// What is from then or before is not kept any more.
fn oldest(now: Timestamp, days: u32) -> Timestamp {
    now.plus_ms(-i64::from(days) * DAY_MS)
}

fn day_of(at: Timestamp) -> i64 {
    at.0.div_euclid(DAY_MS)
}

/// `None` where it cannot be read: then it is not known, as if it had never been kept.
fn decode(stored: &[u8]) -> Option<Authorization> {
    postcard::from_bytes(stored).ok()
}

struct Writer<'a> {
    authorizations: Table<'a, u64, &'static [u8]>,
    names: Table<'a, (u64, u64, u64), ()>,
    answers: Table<'a, u128, &'static [u8]>,
    days: Table<'a, (u8, i64, u128), ()>,
}

impl Writer<'_> {
    fn keep_authorization(&mut self, authorization: &Authorization) -> Result<(), redb::Error> {
        let AuthorizationId(id) = authorization.id;
        // Only closed ones are forgotten.
        let Some(from) = authorization.remembered_from() else {
            return Ok(());
        };
        let known = self.authorizations.get(id)?;
        let known = known.and_then(|stored| decode(stored.value()));
        if known.is_some_and(|known| known.changes > authorization.changes) {
            return Ok(());
        }
        let bytes = encode(authorization);
        self.authorizations.insert(id, &bytes[..])?;
        for name in names_of(authorization) {
            self.names
                .insert((authorization.card_id.0, name.0, id), ())?;
        }
        let day = (AN_AUTHORIZATION, day_of(from), u128::from(id));
        self.days.insert(day, ())?;
        Ok(())
    }

    fn keep_answer(
        &mut self,
        key: RepeatKey,
        at: Timestamp,
        first: FirstAnswer,
    ) -> Result<(), redb::Error> {
        let bytes = encode(&StoredAnswer { at, first });
        self.answers.insert(key.0, &bytes[..])?;
        self.days.insert((AN_ANSWER, day_of(at), key.0), ())?;
        Ok(())
    }
}

fn encode(item: &impl Serialize) -> Vec<u8> {
    // Writing to a vector fails only for types without a known length, and these have one.
    postcard::to_allocvec(item).unwrap_or_else(|error| panic!("an item of the archive: {error}"))
}

/// Removes what was remembered last before the days that it is kept for, the oldest first; gives how much.
fn prune(
    write: &WriteTransaction,
    now: Timestamp,
    settings: ArchiveSettings,
) -> Result<usize, redb::Error> {
    let mut days = write.open_table(DAYS)?;
    let mut pruned = 0;
    for (what, kept_days) in [
        (AN_ANSWER, settings.first_answers_on_disk_days),
        (AN_AUTHORIZATION, settings.closed_on_disk_days),
    ] {
        // A whole day has to be past.
        let end = day_of(oldest(now, kept_days));
        let due = days.range((what, i64::MIN, 0)..(what, end, 0))?;
        let mut keys = Vec::new();
        for entry in due.take(PRUNED_AT_ONCE) {
            keys.push(entry?.0.value());
        }
        pruned += keys.len();
        for (what, day, key) in keys {
            match what {
                AN_ANSWER => remove_answer(write, day, key)?,
                _ => remove_authorization(write, day, key as u64)?,
            }
            days.remove((what, day, key))?;
        }
    }
    Ok(pruned)
}

fn remove_answer(write: &WriteTransaction, day: i64, key: u128) -> Result<(), redb::Error> {
    let mut answers = write.open_table(ANSWERS)?;
    let of_day = answers.get(key)?.is_some_and(|stored| {
        let stored = postcard::from_bytes::<StoredAnswer>(stored.value());
        stored.is_ok_and(|stored| day_of(stored.at) <= day)
    });
    if of_day {
        answers.remove(key)?;
    }
    Ok(())
}

/// One that was recalled since has a later day.
fn remove_authorization(write: &WriteTransaction, day: i64, id: u64) -> Result<(), redb::Error> {
    let mut authorizations = write.open_table(AUTHORIZATIONS)?;
    let known = authorizations
        .get(id)?
        .and_then(|stored| decode(stored.value()));
    let of_day = |known: &Authorization| {
        known
            .remembered_from()
            .is_none_or(|from| day_of(from) <= day)
    };
    if let Some(known) = known.filter(of_day) {
        let mut names = write.open_table(NAMES)?;
        for name in names_of(&known) {
            names.remove((known.card_id.0, name.0, id))?;
        }
        authorizations.remove(id)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;

//! What a run of journal records does to the tables, summed: new rows, and one change per row that
//! was there before. How it gets into a database does not live here.

use super::error::StoreError;
use super::from_record;
use super::rows::{
    AccountRow, AuthorizationRow, AuthorizationStatus, CardLinkRow, CardRevealRow, CardRow,
    LedgerEntryRow, ProgramRow, ReversalRow, Sequence, TopUpRow,
};
use crate::engine::command::{Action, Command};
use crate::engine::event::{Event, LedgerAccount};
use crate::engine::ids::{AccountId, AuthorizationId, CardId};
use crate::engine::money::Currency;
use crate::engine::record::Record;
use crate::engine::registry::{RegistryAction, RegistryCommand, RegistryEvent};
use crate::engine::state::{AccountStatus, CardStatus};
use crate::engine::time::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// What is added to an account's sums.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Move {
    pub posted_minor: i64,
    pub held_minor: i64,
}

#[derive(Debug, Default)]
pub(super) struct Batch {
    pub last: Sequence,
    /// The latest time of any record so far.
    pub through: Timestamp,
    pub programs: Vec<ProgramRow>,
    pub accounts: Vec<AccountRow>,
    pub cards: Vec<CardRow>,
    pub card_links: Vec<CardLinkRow>,
    pub authorizations: Vec<AuthorizationRow>,
    pub reversals: Vec<ReversalRow>,
    pub top_ups: Vec<TopUpRow>,
    pub ledger_entries: Vec<LedgerEntryRow>,
    pub card_reveals: Vec<CardRevealRow>,
    /// Authorizations of earlier batches that were reversed, with what that released. Whose account
    /// it is the database knows.
    pub reversed: BTreeMap<AuthorizationId, i64>,
    pub moves: BTreeMap<AccountId, Move>,
    pub card_statuses: BTreeMap<CardId, CardStatus>,
    pub account_statuses: BTreeMap<AccountId, AccountStatus>,
    pub authorization_statuses: BTreeMap<AuthorizationId, AuthorizationStatus>,
    places: Places,
}

/// Where the rows that are new in this batch are.
#[derive(Debug, Default)]
struct Places {
    accounts: HashMap<AccountId, usize>,
    cards: HashMap<CardId, usize>,
    authorizations: HashMap<AuthorizationId, usize>,
}

/// The accounts whose currency the rows of these records need and that the records do not open.
pub(super) fn accounts_needed(
    records: &[(Sequence, Record)],
    known: &HashMap<AccountId, Currency>,
) -> Vec<AccountId> {
    let mut needed: Vec<AccountId> = records
        .iter()
        .filter_map(|(_, record)| from_record::authorization_of(record)?.1.account_id)
        .filter(|id| !known.contains_key(id))
        .collect();
    needed.sort_unstable();
    needed.dedup();
    needed
}

/// Notes the currencies of accounts that the records open.
pub(super) fn note_opened(
    records: &[(Sequence, Record)],
    known: &mut HashMap<AccountId, Currency>,
) {
    for (_, record) in records {
        if let Record::Shard { command, event, .. } = record
            && let (Action::OpenAccount(open), Event::AccountOpened) = (&command.action, event)
        {
            known.insert(open.account_id, open.currency);
        }
    }
}

impl Batch {
    /// Folds the records, which must follow one another. `through` is the latest time before them.
    pub fn fold(
        records: &[(Sequence, Record)],
        through: Timestamp,
        currencies: &HashMap<AccountId, Currency>,
    ) -> Result<Batch, StoreError> {
        let mut batch = Batch {
            through,
            ..Batch::default()
        };
        for (sequence, record) in records {
            batch.last = *sequence;
            batch.through = batch.through.max(from_record::taken(record).0);
            let added = if let Some(row) =
                from_record::authorization_row(*sequence, record, |id| currencies.get(&id).copied())
            {
                batch.authorize(row, record);
                true
            } else if let Some(row) = from_record::reversal_row(*sequence, record) {
                batch.reverse(row, record);
                true
            } else if let Some((id, account_id, amount_minor)) = from_record::released_hold(record)
            {
                batch.release(id, record);
                batch.move_account(account_id, 0, -amount_minor);
                true
            } else {
                match record {
                    Record::Shard { command, event, .. } => batch.shard(*sequence, command, event),
                    Record::Registry { command, event, .. } => {
                        batch.registry(*sequence, command, event)
                    }
                }
            };
            if !added {
                return Err(StoreError::Mismatch {
                    sequence: *sequence,
                });
            }
        }
        Ok(batch)
    }

    fn authorize(&mut self, row: AuthorizationRow, record: &Record) {
        let hold = from_record::authorization_of(record).and_then(|(_, event)| event.hold.as_ref());
        if let (Some(hold), Some(account_id)) = (hold, row.account_id) {
            self.move_account(account_id, 0, hold.amount_minor);
        }
        self.places
            .authorizations
            .insert(row.id, self.authorizations.len());
        self.authorizations.push(row);
    }

    fn reverse(&mut self, row: ReversalRow, record: &Record) {
        if let Some(id) = row.authorization_id {
            match self.places.authorizations.get(&id) {
                None => *self.reversed.entry(id).or_default() += row.amount_minor,
                Some(place) => {
                    let original = &mut self.authorizations[*place];
                    from_record::apply_to_authorization(original, record);
                    if let Some(account_id) = original.account_id {
                        self.move_account(account_id, 0, -row.amount_minor);
                    }
                }
            }
        }
        self.reversals.push(row);
    }

    fn release(&mut self, id: AuthorizationId, record: &Record) {
        match self.places.authorizations.get(&id) {
            Some(place) => {
                from_record::apply_to_authorization(&mut self.authorizations[*place], record);
            }
            None => {
                let expired = AuthorizationStatus::Expired;
                self.authorization_statuses.insert(id, expired);
            }
        }
    }

    /// False where the event cannot come of the command.
    fn shard(&mut self, sequence: Sequence, command: &Command, event: &Event) -> bool {
        let at = command.at;
        match (event, &command.action) {
            (Event::AccountOpened, Action::OpenAccount(open)) => {
                self.places
                    .accounts
                    .insert(open.account_id, self.accounts.len());
                let row = from_record::account_row(sequence, command.root, at, open);
                self.accounts.push(row);
            }
            (Event::AccountStatusChanged { to, .. }, Action::ChangeAccountStatus(change)) => {
                match self.places.accounts.get(&change.account_id) {
                    Some(place) => self.accounts[*place].status = *to,
                    None => drop(self.account_statuses.insert(change.account_id, *to)),
                }
            }
            (Event::Posted(postings), Action::TopUp(top_up)) => {
                self.top_ups
                    .push(from_record::top_up_row(sequence, at, top_up));
                for (leg, posting) in postings.iter().enumerate() {
                    let row = from_record::ledger_entry_row(sequence, at, leg, top_up, posting);
                    self.ledger_entries.push(row);
                    if let LedgerAccount::Customer(id) = posting.ledger_account {
                        self.move_account(id, posting.amount_minor, 0);
                    }
                }
            }
            (Event::CardOpened { status }, Action::OpenCard(open)) => {
                self.set_card_status(open.card_id, *status);
            }
            (Event::CardStatusChanged { to, .. }, Action::ChangeCardStatus(change)) => {
                self.set_card_status(change.card_id, *to);
            }
            // Controls are read from memory; their history is the journal's.
            (Event::CardControlsChanged, Action::ChangeCardControls(_)) => {}
            // So are cardholders.
            (Event::CardHolderChanged, Action::ChangeCardHolder(_)) => {}
            // A new kind of event must be given its rows here.
            (
                Event::Authorized(_)
                | Event::Reversed(_)
                | Event::AccountOpened
                | Event::AccountStatusChanged { .. }
                | Event::Posted(_)
                | Event::CardOpened { .. }
                | Event::CardStatusChanged { .. }
                | Event::CardControlsChanged
                | Event::CardHolderChanged
                | Event::HoldReleased { .. },
                _,
            ) => return false,
        }
        true
    }

    fn registry(
        &mut self,
        sequence: Sequence,
        command: &RegistryCommand,
        event: &RegistryEvent,
    ) -> bool {
        match (event, &command.action) {
            (RegistryEvent::ProgramCreated { .. }, RegistryAction::CreateProgram(program)) => {
                self.programs
                    .push(from_record::program_row(sequence, program));
            }
            (RegistryEvent::CardIssued { .. }, RegistryAction::IssueCard(issue)) => {
                self.places.cards.insert(issue.card_id, self.cards.len());
                self.cards
                    .push(from_record::card_row(sequence, command.at, issue));
                self.card_links.extend(from_record::card_link_rows(issue));
            }
            (RegistryEvent::CardRevealed, RegistryAction::RevealCard(reveal)) => {
                let row = from_record::card_reveal_row(sequence, command.at, reveal);
                self.card_reveals.push(row);
            }
            // Nothing of these is a row.
            (
                RegistryEvent::SettingsChanged { .. }
                | RegistryEvent::GroupsChanged { .. }
                | RegistryEvent::CardholderCreated
                | RegistryEvent::CardholderVerified { .. }
                | RegistryEvent::IdempotentBegun
                | RegistryEvent::IdempotentCompleted,
                _,
            ) => {}
            (
                RegistryEvent::ProgramCreated { .. }
                | RegistryEvent::CardIssued { .. }
                | RegistryEvent::CardRevealed
                | RegistryEvent::Authorized(_)
                | RegistryEvent::Reversed(_),
                _,
            ) => return false,
        }
        true
    }

    /// Adds to the sums of an account, in its new row or as a change to its old one.
    pub fn move_account(&mut self, id: AccountId, posted_minor: i64, held_minor: i64) {
        if let Some(place) = self.places.accounts.get(&id) {
            let row = &mut self.accounts[*place];
            row.posted_minor += posted_minor;
            row.held_minor += held_minor;
        } else {
            let sums = self.moves.entry(id).or_default();
            sums.posted_minor += posted_minor;
            sums.held_minor += held_minor;
        }
    }

    /// The new statuses of rows of earlier batches, by table, as they are written.
    pub fn statuses(&self) -> [(&'static str, Vec<(String, &'static str)>); 3] {
        let accounts = self.account_statuses.iter();
        let cards = self.card_statuses.iter();
        let authorizations = self.authorization_statuses.iter();
        [
            (
                "authorizations",
                authorizations
                    .map(|(id, to)| (id.to_string(), to.name()))
                    .collect(),
            ),
            (
                "accounts",
                accounts
                    .map(|(id, to)| (id.to_string(), to.name()))
                    .collect(),
            ),
            (
                "cards",
                cards.map(|(id, to)| (id.to_string(), to.name())).collect(),
            ),
        ]
    }

    fn set_card_status(&mut self, id: CardId, status: CardStatus) {
        match self.places.cards.get(&id) {
            Some(place) => self.cards[*place].status = status,
            None => drop(self.card_statuses.insert(id, status)),
        }
    }
}

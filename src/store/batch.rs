//! What a run of journal records does to the tables, summed: new rows, and one change per row that
//! was there before. How it gets into a database does not live here.

use super::database::{Position, RowChange, Value};
use super::effect::{self, Change};
use super::error::StoreError;
use super::exception_uses::{self, ExceptionUseRow};
use super::from_cardholder::CardholderRow;
use super::from_fees::{self, charges_of};
use super::from_message;
use super::from_posting::{self, Purchase};
use super::from_record::{self, LedgerSource};
use super::merchants::MerchantNameRow;
use super::rows::{
    AccountFacts, AccountRow, AuditRow, AuthorizationRow, CardLinkRow, CardRevealRow, CardRow,
    FeeRow, LedgerEntryRow, ProgramRow, ReversalRow, Sequence, TokenRow, TopUpRow, TransactionRow,
    TransferRow,
};
use super::times::RecordTimeRow;
use crate::engine::command::{Action, Command};
use crate::engine::event::{Event, LedgerAccount, Posting};
use crate::engine::ids::{AccountId, AuthorizationId, CardId, LinkId};
use crate::engine::record::Record;
use crate::engine::registry::IssueCard;
use crate::engine::state::{AccountStatus, CardStatus};
use crate::engine::time::{Expiry, Timestamp};
use std::collections::{BTreeMap, HashMap};

/// What is added to an account's sums.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Move {
    pub posted_minor: i64,
    pub held_minor: i64,
}

#[derive(Debug, Default)]
pub(super) struct Batch {
    /// After the last record.
    pub position: Position,
    pub programs: Vec<ProgramRow>,
    pub accounts: Vec<AccountRow>,
    pub cards: Vec<CardRow>,
    pub card_links: Vec<CardLinkRow>,
    pub authorizations: Vec<AuthorizationRow>,
    pub exception_uses: Vec<ExceptionUseRow>,
    pub reversals: Vec<ReversalRow>,
    pub transactions: Vec<TransactionRow>,
    pub top_ups: Vec<TopUpRow>,
    pub ledger_entries: Vec<LedgerEntryRow>,
    pub card_reveals: Vec<CardRevealRow>,
    /// One for each request, in place of what is there of it.
    pub audit_log: Vec<AuditRow>,
    pub transfers: Vec<TransferRow>,
    pub fees: Vec<FeeRow>,
    pub tokens: Vec<TokenRow>,
    pub cardholders: Vec<CardholderRow>,
    pub record_times: Vec<RecordTimeRow>,
    pub merchant_names: Vec<MerchantNameRow>,
    /// To rows of this batch and of earlier ones, in order; made when all new rows are there.
    pub row_changes: Vec<RowChange>,
    /// Accounts of earlier batches that a card of this one was opened for.
    pub owned_late: Vec<AccountId>,
    /// To authorizations of earlier batches.
    pub changes: BTreeMap<AuthorizationId, Change>,
    pub moves: BTreeMap<AccountId, Move>,
    pub card_statuses: BTreeMap<CardId, CardStatus>,
    pub account_statuses: BTreeMap<AccountId, AccountStatus>,
    pub card_expiries: BTreeMap<CardId, Expiry>,
    places: Places,
}

/// Where the rows that are new in this batch are.
#[derive(Debug, Default)]
struct Places {
    accounts: HashMap<AccountId, usize>,
    cards: HashMap<CardId, usize>,
    authorizations: HashMap<AuthorizationId, usize>,
    /// By the request's id.
    audit_log: HashMap<String, usize>,
}

/// What the rows of records need to know of rows that were there before.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub accounts: HashMap<AccountId, AccountFacts>,
    /// Of authorizations that were reversed after money was posted for them.
    pub purchases: HashMap<AuthorizationId, Purchase>,
}

impl Known {
    fn facts_of(&self, id: AccountId) -> Option<AccountFacts> {
        self.accounts.get(&id).copied()
    }
}

/// The accounts that the rows of these records need and that the records do not open.
pub(super) fn accounts_needed(
    records: &[(Sequence, Record)],
    known: &HashMap<AccountId, AccountFacts>,
) -> Vec<AccountId> {
    let mut needed: Vec<AccountId> = records
        .iter()
        .filter_map(|(_, record)| from_message::account_of(record))
        .filter(|id| !known.contains_key(id))
        .collect();
    needed.sort_unstable();
    needed.dedup();
    needed
}

/// The authorizations that reversals of these records give money back for, and that are not among the records.
pub(super) fn originals_needed(records: &[(Sequence, Record)]) -> Vec<AuthorizationId> {
    let originals = records
        .iter()
        .filter_map(|(_, record)| from_posting::original_needed(record));
    let mut needed: Vec<AuthorizationId> = originals.collect();
    if needed.is_empty() {
        return needed;
    }
    needed.sort_unstable();
    needed.dedup();
    for (_, record) in records {
        if let Some(id) = from_message::authorization_id_of(record)
            && let Ok(place) = needed.binary_search(&id)
        {
            needed.remove(place);
        }
    }
    needed
}

/// Notes the accounts that the records open.
pub(super) fn note_opened(
    records: &[(Sequence, Record)],
    known: &mut HashMap<AccountId, AccountFacts>,
) {
    for (_, record) in records {
        if let Record::Shard { command, event, .. } = record
            && let (Action::OpenAccount(open), Event::AccountOpened { .. }) =
                (&command.action, event)
        {
            let facts = AccountFacts {
                currency: open.currency,
                program_id: open.program_id,
            };
            known.insert(open.account_id, facts);
        }
    }
}

impl Batch {
    /// Folds the records, which must follow one another and what is at `position`.
    pub fn fold(
        records: &[(Sequence, Record)],
        position: Position,
        known: &Known,
    ) -> Result<Batch, StoreError> {
        let mut batch = Batch {
            position,
            ..Batch::default()
        };
        for (sequence, record) in records {
            let sequence = *sequence;
            let (at, _) = from_record::taken(record);
            let mark = batch.position.go_on(sequence, at);
            batch.record_times.extend(mark);
            let added = batch.message(sequence, record, known)
                || match record {
                    Record::Shard { command, event, .. } => batch.shard(sequence, command, event),
                    Record::Registry { command, event, .. } => {
                        batch.registry(sequence, command, event)
                    }
                };
            // What is done in the background is told by the request that it is done for.
            let requester = record.requester();
            if let Some(requester) = requester.filter(|requester| !requester.in_background) {
                let (at, _) = from_record::taken(record);
                batch.audit(from_record::begun_row(sequence, at, requester));
            }
            if !added {
                return Err(StoreError::Mismatch { sequence });
            }
            batch.charge(sequence, record);
        }
        Ok(batch)
    }

    /// A message or the end of a hold: its own rows, then what it moves. False for any other record, and for one
    /// that leaves no row and moves nothing.
    fn message(&mut self, sequence: Sequence, record: &Record, known: &Known) -> bool {
        let facts_of = |id| known.facts_of(id);
        let row = from_message::authorization_row(sequence, record, facts_of);
        let reversal = from_message::reversal_row(sequence, record);
        let effect = effect::effect_of(record);
        let is_one = row.is_some() || reversal.is_some() || effect.is_some();
        if let Some(row) = row {
            let place = self.authorizations.len();
            self.places.authorizations.insert(row.id, place);
            self.exception_uses.extend(exception_uses::rows_of(&row));
            self.authorizations.push(row);
        }
        self.reversals.extend(reversal);
        if let Some(effect) = effect {
            if effect.held_minor != 0 {
                self.move_account(effect.account_id, 0, effect.held_minor);
            }
            for (id, change) in effect.changes() {
                self.change_authorization(id, change);
            }
            if !effect.postings.is_empty() {
                self.transact(sequence, record, known);
            }
        }
        is_one
    }

    fn change_authorization(&mut self, id: AuthorizationId, change: Change) {
        match self.places.authorizations.get(&id) {
            Some(place) => change.apply(&mut self.authorizations[*place]),
            None => self.changes.entry(id).or_default().then(change),
        }
    }

    /// The latest record of a request says how it stands; its entry keeps the id and the place of the first.
    pub(super) fn audit(&mut self, row: AuditRow) {
        let end = self.audit_log.len();
        let place = *self
            .places
            .audit_log
            .entry(row.request_id.clone())
            .or_insert(end);
        match self.audit_log.get_mut(place) {
            Some(first) => {
                *first = AuditRow {
                    sequence: first.sequence,
                    id: first.id,
                    created_at_ms: first.created_at_ms,
                    ..row
                }
            }
            None => self.audit_log.push(row),
        }
    }

    /// What a message posts, as a transaction with its legs.
    fn transact(&mut self, sequence: Sequence, record: &Record, known: &Known) {
        let original_of = |id: AuthorizationId| match self.places.authorizations.get(&id) {
            Some(place) => Some(Purchase::of(&self.authorizations[*place])),
            None => known.purchases.get(&id).cloned(),
        };
        let facts_of = |id| known.facts_of(id);
        let row = from_posting::transaction_row(sequence, record, facts_of, original_of);
        if let Some(row) = row {
            let source = LedgerSource::transaction(&row);
            self.transactions.push(row);
            let (at, _) = from_record::taken(record);
            self.post(sequence, at, &source, effect::postings_of(record));
        }
    }

    /// What a record charges, with the legs that are not those of its payment.
    fn charge(&mut self, sequence: Sequence, record: &Record) {
        let rows = from_fees::fee_rows(sequence, record);
        let booked = charges_of(record).iter();
        let booked = booked.filter(|charge| !charge.out_of_range);
        for (row, charge) in rows.into_iter().zip(booked) {
            if charge.is_posted_by_itself() {
                let source = LedgerSource::fee(&row, record);
                self.post(sequence, row.created_at_ms, &source, &charge.legs());
            }
            self.fees.push(row);
        }
    }

    pub(super) fn post(
        &mut self,
        sequence: Sequence,
        at: Timestamp,
        source: &LedgerSource,
        legs: &[Posting],
    ) {
        let before = self.ledger_entries.iter().rev();
        let before = before.take_while(|row| row.sequence == sequence).count();
        for (leg, posting) in legs.iter().enumerate() {
            let leg = before + leg;
            let row = from_record::ledger_entry_row(sequence, at, leg, source, posting);
            self.ledger_entries.push(row);
            if let LedgerAccount::Customer(id) = posting.ledger_account {
                self.move_account(id, posting.amount_minor, 0);
            }
        }
    }

    /// False where the event cannot come of the command.
    fn shard(&mut self, sequence: Sequence, command: &Command, event: &Event) -> bool {
        let at = command.at;
        match (event, &command.action) {
            (Event::AccountOpened { .. }, Action::OpenAccount(open)) => {
                let row = from_record::account_row(sequence, command.root, at, open);
                self.places.accounts.insert(row.id, self.accounts.len());
                self.accounts.push(row);
            }
            (Event::AccountStatusChanged { to, .. }, Action::ChangeAccountStatus(change)) => {
                self.set_account_status(change.account_id, *to);
            }
            (Event::Posted { postings, .. }, Action::TopUp(top_up)) => {
                self.top_up(sequence, at, top_up, postings);
            }
            // A double of an earlier advice, or one that moved nothing: its row is there where it has one.
            (Event::Advised(_), Action::Advise(_)) => {}
            // Nothing of it was left.
            (Event::Withheld(_), Action::Withhold(_)) => {}
            // Nothing waited for it.
            (Event::Resolved(_), Action::Resolve(_)) => {}
            (
                Event::TopUpAnnounced
                | Event::TopUpEnded(_)
                | Event::Transferred(_)
                | Event::AutoToppedUp(_)
                | Event::AccountChanged
                | Event::BalanceLow { .. }
                | Event::MonthlyFeeCharged { .. },
                action,
            ) => return self.money(sequence, at, action, event),
            (
                Event::CardOpened { .. }
                | Event::CardStatusChanged { .. }
                | Event::CardReplaced(_)
                | Event::CardRenewed(_)
                | Event::CardControlsChanged
                | Event::CardHolderChanged { .. }
                | Event::TokenOpened { .. }
                | Event::TokenStatusChanged { .. }
                | Event::ShippingChanged { .. },
                _,
            ) => return self.card(sequence, command, event),
            // An event for those who listen: the tables have the expiry.
            (Event::CardExpired, Action::ExpireCard(_)) => {}
            // Tries are read from memory.
            (Event::VerificationTriesReset { .. }, Action::ResetVerificationTries(_)) => {}
            // It is in its tables since it came first.
            (Event::Recalled, Action::Recall(_)) => {}
            // A new kind of event must be given its rows here.
            (
                Event::Authorized(_)
                | Event::Reversed(_)
                | Event::AccountOpened { .. }
                | Event::AccountStatusChanged { .. }
                | Event::Posted { .. }
                | Event::HoldReleased { .. }
                | Event::Advised(_)
                | Event::Withheld(_)
                | Event::Resolved(_)
                | Event::CardExpired
                | Event::VerificationTriesReset { .. }
                | Event::Recalled,
                _,
            ) => return false,
        }
        true
    }

    fn set_account_status(&mut self, id: AccountId, status: AccountStatus) {
        match self.places.accounts.get(&id) {
            Some(place) => self.accounts[*place].status = status,
            None => drop(self.account_statuses.insert(id, status)),
        }
    }

    pub(super) fn issue(
        &mut self,
        sequence: Sequence,
        at: Timestamp,
        issue: &IssueCard,
        links: &[LinkId],
        replacement_for: Option<CardId>,
    ) {
        if issue.account_id.opened_for() == issue.card_id {
            self.row_changes.push(RowChange {
                table: "accounts",
                id: issue.account_id.to_string(),
                columns: vec![("card_id", Value::Text(issue.card_id.to_string()))],
            });
        }
        self.places.cards.insert(issue.card_id, self.cards.len());
        self.cards.push(CardRow {
            replacement_for,
            ..from_record::card_row(sequence, at, issue)
        });
        self.card_links
            .extend(from_record::card_link_rows(issue, links));
    }

    pub(super) fn set_card_expiry(&mut self, id: CardId, expiry: Expiry) {
        match self.places.cards.get(&id) {
            Some(place) => {
                let row = &mut self.cards[*place];
                (row.exp_month, row.exp_year) = (expiry.month(), expiry.year());
            }
            None => drop(self.card_expiries.insert(id, expiry)),
        }
    }

    /// Adds to the sums of an account, in its new row or as a change to its old one.
    fn move_account(&mut self, id: AccountId, posted_minor: i64, held_minor: i64) {
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
    pub fn statuses(&self) -> [(&'static str, Vec<(String, &'static str)>); 2] {
        let accounts = self.account_statuses.iter();
        let cards = self.card_statuses.iter();
        [
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

    pub(super) fn set_card_status(&mut self, id: CardId, status: CardStatus) {
        match self.places.cards.get(&id) {
            Some(place) => self.cards[*place].status = status,
            None => drop(self.card_statuses.insert(id, status)),
        }
        if status.is_blocked() || status.is_closed() {
            let reason = status.reason().unwrap_or_default().to_owned();
            self.row_changes.push(RowChange {
                table: "cards",
                id: id.to_string(),
                columns: vec![("status_reason", Value::Text(reason))],
            });
        }
    }
}

//! Many cards ordered in one request: what was ordered, how far the issuing has come, and what could not be issued. The
//! registry keeps it, so that it goes on after a restart; who issues the cards lives in `api`. The id of each card is
//! fixed by its row, so that no row is issued twice.

use super::api_keys::Bounds;
use super::audit::Requester;
use super::command::CardType;
use super::controls::Controls;
use super::ids::{AccountId, ApiKeyId, CardBatchId, CardId, CardholderId};
use super::issued_cards::IssuedCards;
use super::programs::Bin;
use super::registry::{RegistryEvent, RegistryOutcome, RegistryRefusal};
use super::shares::{self, ShareBounds, Shares};
use super::shipping::ShippingOrder;
use super::time::Timestamp;
use super::wallet::Wallet;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};

/// Rows of one batch.
pub const ROWS_MAX: usize = 10_000;

/// Batches that are remembered; beyond it the oldest that is over is forgotten.
pub const CARD_BATCHES_MAX: usize = 1_000;

/// Batches that are not over: their rows are in memory.
pub const CARD_BATCHES_UNFINISHED_MAX: usize = 20;
pub const CARD_BATCHES_UNFINISHED_OF_TENANT_MAX: usize = 5;
const SHARES: ShareBounds = ShareBounds::new(
    CARD_BATCHES_UNFINISHED_MAX,
    CARD_BATCHES_UNFINISHED_OF_TENANT_MAX,
);

/// Rows that are issued at once, and told of in one record.
pub const ROWS_AT_ONCE: u32 = 32;

/// Ids that belong to each row: its card, its sub-account, its controls.
pub const IDS_PER_ROW: u64 = 64;

/// A card as it was ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardOrder {
    /// The card's own, or the parent of its sub-account.
    pub account_id: AccountId,
    pub card_type: CardType,
    /// On a sub-account of its own.
    pub has_own_account: bool,
    /// Types and ids.
    pub links: SmallVec<[(Box<str>, Box<str>); 2]>,
    pub controls: Controls,
    /// Further accounts.
    pub wallet: Option<Box<Wallet>>,
    pub cardholder_id: Option<CardholderId>,
    /// One of its program's; the first of them where none is named.
    pub bin: Option<Bin>,
    pub shipping: Option<Box<ShippingOrder>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BatchRow {
    Order(Box<CardOrder>),
    /// It could not be read.
    Wrong(Box<RowError>),
}

/// Why a row got no card, in the words of the interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowError {
    pub code: Box<str>,
    pub message: Box<str>,
    pub param: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BatchState {
    /// Not all of its rows are here.
    Receiving,
    Running,
    Done,
    Cancelled,
}

impl BatchState {
    pub fn name(self) -> &'static str {
        match self {
            BatchState::Receiving => "receiving",
            BatchState::Running => "running",
            BatchState::Done => "done",
            BatchState::Cancelled => "cancelled",
        }
    }

    fn is_over(self) -> bool {
        matches!(self, BatchState::Done | BatchState::Cancelled)
    }
}

/// A batch as it begins, without rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCardBatch {
    pub id: CardBatchId,
    /// Ids from here on belong to its rows.
    pub first_row_id: u64,
    pub total: u32,
    /// Of the key that ordered it: no card comes to be outside of them.
    pub bounds: Option<Bounds>,
    pub created_at: Timestamp,
    /// In whose name its cards are issued.
    pub requester: Option<Box<Requester>>,
    /// Whose share it takes of while it is under way.
    pub tenant: Option<ApiKeyId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardBatch {
    pub order: NewCardBatch,
    pub state: BatchState,
    /// The rows before this one are done, in this order.
    pub next: u32,
    /// The others, as far as they are here.
    pub rows: VecDeque<BatchRow>,
    pub errors: BTreeMap<u32, RowError>,
    pub finished_at: Option<Timestamp>,
}

/// What a batch is changed by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BatchChange {
    Create(Box<NewCardBatch>),
    /// `from` is the number of rows that came before.
    AddRows {
        id: CardBatchId,
        from: u32,
        rows: Vec<BatchRow>,
    },
    /// The rows from `from` to before `to` are done; those with errors got no card.
    Note {
        id: CardBatchId,
        from: u32,
        to: u32,
        errors: Vec<(u32, RowError)>,
    },
    Cancel(CardBatchId),
}

impl BatchChange {
    pub fn id(&self) -> CardBatchId {
        match self {
            BatchChange::Create(order) => order.id,
            BatchChange::AddRows { id, .. }
            | BatchChange::Note { id, .. }
            | BatchChange::Cancel(id) => *id,
        }
    }
}

/// What came of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowResult {
    Pending,
    Issued(CardId),
    Failed(RowError),
    Cancelled,
}

impl RowResult {
    pub fn name(&self) -> &'static str {
        match self {
            RowResult::Pending => "pending",
            RowResult::Issued(_) => "issued",
            RowResult::Failed(_) => "failed",
            RowResult::Cancelled => "cancelled",
        }
    }
}

/// A batch in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchProgress {
    pub order: NewCardBatch,
    pub state: BatchState,
    pub issued: u32,
    pub failed: u32,
    pub finished_at: Option<Timestamp>,
}

/// Rows to be issued now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPortion {
    pub order: NewCardBatch,
    pub from: u32,
    pub rows: Vec<BatchRow>,
}

#[derive(Debug, Clone, Default)]
pub struct CardBatches(BTreeMap<CardBatchId, CardBatch>);

impl NewCardBatch {
    pub fn first_id_of(&self, row: u32) -> u64 {
        self.first_row_id + u64::from(row) * IDS_PER_ROW
    }

    pub fn card_id_of(&self, row: u32) -> CardId {
        CardId(self.first_id_of(row))
    }
}

impl CardBatch {
    fn new(order: NewCardBatch) -> CardBatch {
        CardBatch {
            order,
            state: BatchState::Receiving,
            next: 0,
            rows: VecDeque::new(),
            errors: BTreeMap::new(),
            finished_at: None,
        }
    }

    fn received(&self) -> u32 {
        self.next + self.rows.len() as u32
    }

    /// A row that is being issued has its card before the batch is told.
    pub fn result_of(&self, row: u32, issued: &IssuedCards) -> RowResult {
        let card_id = self.order.card_id_of(row);
        match self.errors.get(&row) {
            Some(error) => RowResult::Failed(error.clone()),
            None if issued.get(card_id).is_some() => RowResult::Issued(card_id),
            None if self.state == BatchState::Cancelled => RowResult::Cancelled,
            None => RowResult::Pending,
        }
    }

    pub fn progress(&self, issued: &IssuedCards) -> BatchProgress {
        let failed = self.errors.len() as u32;
        let under_way = self.next..self.order.total.min(self.next + ROWS_AT_ONCE);
        let under_way = under_way.filter(|row| issued.get(self.order.card_id_of(*row)).is_some());
        BatchProgress {
            order: self.order.clone(),
            state: self.state,
            issued: self.next - failed + under_way.count() as u32,
            failed,
            finished_at: self.finished_at,
        }
    }
}

impl CardBatches {
    pub fn get(&self, id: CardBatchId) -> Option<&CardBatch> {
        self.0.get(&id)
    }

    /// In the order of their ids.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &CardBatch> {
        self.0.values()
    }

    pub(super) fn insert(&mut self, batch: CardBatch) {
        self.0.insert(batch.order.id, batch);
    }

    /// What is to be issued next, of the oldest batch that is not over.
    pub fn next_portion(&self) -> Option<BatchPortion> {
        let batch = self.iter().find(|b| b.state == BatchState::Running)?;
        let rows = batch.rows.iter().take(ROWS_AT_ONCE as usize);
        Some(BatchPortion {
            order: batch.order.clone(),
            from: batch.next,
            rows: rows.cloned().collect(),
        })
    }

    /// The rows that are here of a batch whose request has not brought all of them.
    pub fn taken_in(&self, id: CardBatchId) -> Option<BatchPortion> {
        let batch = self.get(id)?;
        (batch.state == BatchState::Receiving).then(|| BatchPortion {
            order: batch.order.clone(),
            from: batch.next,
            rows: batch.rows.iter().cloned().collect(),
        })
    }

    fn has_room(&self, order: &NewCardBatch) -> bool {
        let unfinished = self.iter().filter(|batch| !batch.state.is_over());
        let taken = Shares::of(unfinished.map(|batch| batch.order.tenant));
        taken.check(order.tenant, 1, &SHARES).is_ok()
    }
}

pub(super) fn decide(batches: &CardBatches, change: &BatchChange) -> RegistryOutcome {
    let id = change.id();
    let changed = RegistryOutcome::Event(RegistryEvent::CardBatchChanged);
    let refused = RegistryOutcome::Refused;
    let known = match (batches.get(id), change) {
        (None, BatchChange::Create(order)) if batches.has_room(order) => return changed,
        (None, BatchChange::Create(_)) => return refused(RegistryRefusal::TooManyCardBatches),
        (None, _) => return refused(RegistryRefusal::CardBatchNotFound(id)),
        (Some(known), _) => known,
    };
    match change {
        BatchChange::Create(_) => RegistryOutcome::AlreadyDone,
        BatchChange::AddRows { from, rows, .. } => match known.state {
            BatchState::Receiving if *from == known.received() && !rows.is_empty() => {
                let fits = known.order.total as usize >= known.rows.len() + rows.len();
                match fits {
                    true => changed,
                    false => refused(RegistryRefusal::CardBatchStateForbids(known.state)),
                }
            }
            // They are here since an earlier try.
            _ if *from < known.received() || known.state.is_over() => RegistryOutcome::AlreadyDone,
            state => refused(RegistryRefusal::CardBatchStateForbids(state)),
        },
        BatchChange::Note { from, to, .. } => {
            let is_next = *from == known.next && from < to && *to <= known.order.total;
            match known.state {
                BatchState::Running if is_next && *to <= known.received() => changed,
                // What was under way when it was cancelled.
                BatchState::Cancelled if is_next => changed,
                _ => RegistryOutcome::AlreadyDone,
            }
        }
        BatchChange::Cancel(_) => match known.state {
            BatchState::Cancelled => RegistryOutcome::AlreadyDone,
            BatchState::Done => refused(RegistryRefusal::CardBatchStateForbids(known.state)),
            BatchState::Receiving | BatchState::Running => changed,
        },
    }
}

pub(super) fn apply(batches: &mut CardBatches, at: Timestamp, change: &BatchChange) {
    if let BatchChange::Create(order) = change {
        forget_oldest(batches);
        batches.insert(CardBatch::new((**order).clone()));
        return;
    }
    let Some(known) = batches.0.get_mut(&change.id()) else {
        panic!("card batch {} of an event is not here", change.id());
    };
    match change {
        BatchChange::Create(_) => {}
        BatchChange::AddRows { rows, .. } => {
            known.rows.extend(rows.iter().cloned());
            if known.received() == known.order.total {
                known.state = BatchState::Running;
            }
        }
        BatchChange::Note {
            from, to, errors, ..
        } => {
            let done = (to - from) as usize;
            known.rows.drain(..done.min(known.rows.len()));
            known.next = *to;
            known.errors.extend(errors.iter().cloned());
            if known.next == known.order.total && known.state == BatchState::Running {
                known.state = BatchState::Done;
                known.finished_at = Some(at);
            }
        }
        BatchChange::Cancel(_) => {
            known.state = BatchState::Cancelled;
            known.finished_at = Some(at);
            known.rows.clear();
        }
    }
}

fn forget_oldest(batches: &mut CardBatches) {
    if batches.0.len() < CARD_BATCHES_MAX {
        return;
    }
    let over = batches.iter().filter(|batch| batch.state.is_over());
    let oldest = shares::first_of_most(over.map(|batch| (batch.order.tenant, batch.order.id)));
    if let Some(id) = oldest {
        batches.0.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp(5);

    fn order(id: u64, total: u32) -> BatchChange {
        BatchChange::Create(Box::new(NewCardBatch {
            id: CardBatchId(id),
            first_row_id: 1_000 * id,
            total,
            bounds: None,
            created_at: AT,
            requester: None,
            tenant: None,
        }))
    }

    fn wrong() -> RowError {
        RowError {
            code: "account_not_found".into(),
            message: "there is no account with this id".into(),
            param: Some("account_id".into()),
        }
    }

    fn rows(id: u64, from: u32, count: usize) -> BatchChange {
        BatchChange::AddRows {
            id: CardBatchId(id),
            from,
            rows: vec![BatchRow::Wrong(Box::new(wrong())); count],
        }
    }

    fn note(id: u64, from: u32, to: u32, errors: Vec<(u32, RowError)>) -> BatchChange {
        BatchChange::Note {
            id: CardBatchId(id),
            from,
            to,
            errors,
        }
    }

    /// What is decided, and carried out.
    fn change(batches: &mut CardBatches, change: &BatchChange) -> &'static str {
        match decide(batches, change) {
            RegistryOutcome::Event(_) => {
                apply(batches, AT, change);
                "changed"
            }
            RegistryOutcome::AlreadyDone => "already done",
            RegistryOutcome::Refused(_) => "refused",
            _ => "something else",
        }
    }

    fn state(batches: &CardBatches) -> (BatchState, u32, usize) {
        let batch = batches.get(CardBatchId(1)).unwrap();
        (batch.state, batch.next, batch.rows.len())
    }

    #[test]
    fn a_batch_runs_when_all_rows_are_there_and_ends_with_the_last() {
        let mut batches = CardBatches::default();
        let all = &mut batches;
        assert_eq!(change(all, &rows(1, 0, 1)), "refused");
        assert_eq!(change(all, &order(1, 3)), "changed");
        assert_eq!(change(all, &order(1, 3)), "already done");
        assert_eq!(change(all, &rows(1, 0, 2)), "changed");
        assert_eq!(change(all, &rows(1, 0, 2)), "already done");
        assert_eq!(change(all, &rows(1, 2, 2)), "refused");
        assert!(all.next_portion().is_none());
        assert_eq!(change(all, &note(1, 0, 1, vec![])), "already done");
        assert_eq!(change(all, &rows(1, 2, 1)), "changed");
        assert_eq!(all.next_portion().unwrap().rows.len(), 3);
        assert_eq!(change(all, &note(1, 1, 2, vec![])), "already done");
        assert_eq!(change(all, &note(1, 0, 4, vec![])), "already done");
        assert_eq!(change(all, &note(1, 0, 2, vec![(1, wrong())])), "changed");
        assert_eq!(change(all, &note(1, 0, 2, vec![])), "already done");
        assert_eq!(state(all), (BatchState::Running, 2, 1));
        assert_eq!(change(all, &note(1, 2, 3, vec![])), "changed");
        assert_eq!(state(all), (BatchState::Done, 3, 0));
        assert_eq!(change(all, &BatchChange::Cancel(CardBatchId(1))), "refused");
        let batch = all.get(CardBatchId(1)).unwrap();
        let progress = batch.progress(&IssuedCards::default());
        assert_eq!((progress.issued, progress.failed), (2, 1));
    }

    #[test]
    fn what_was_under_way_when_it_was_cancelled_is_still_told() {
        let mut batches = CardBatches::default();
        let all = &mut batches;
        change(all, &order(1, 3));
        change(all, &rows(1, 0, 3));
        let cancel = BatchChange::Cancel(CardBatchId(1));
        assert_eq!(change(all, &cancel), "changed");
        assert_eq!(change(all, &cancel), "already done");
        assert!(all.next_portion().is_none());
        assert_eq!(change(all, &note(1, 0, 2, vec![(0, wrong())])), "changed");
        assert_eq!(state(all), (BatchState::Cancelled, 2, 0));
        let batch = all.get(CardBatchId(1)).unwrap();
        let results = [0, 1, 2].map(|row| batch.result_of(row, &IssuedCards::default()).name());
        assert_eq!(results, ["failed", "cancelled", "cancelled"]);
    }

    #[test]
    fn so_many_wait_and_so_many_are_remembered() {
        let mut batches = CardBatches::default();
        let all = &mut batches;
        for id in 1..=CARD_BATCHES_UNFINISHED_MAX as u64 {
            assert_eq!(change(all, &order(id, 1)), "changed");
        }
        assert_eq!(change(all, &order(9_999, 1)), "refused");
        for id in 1..=CARD_BATCHES_MAX as u64 + 5 {
            change(all, &BatchChange::Cancel(CardBatchId(id)));
            change(all, &order(id + 20, 1));
        }
        assert_eq!(all.0.len(), CARD_BATCHES_MAX);
        assert!(all.get(CardBatchId(1)).is_none());
    }
}

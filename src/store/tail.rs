//! Read-your-write over a projection that lags: folds the records behind the projection's position
//! over a stored row, with the same functions that build the rows. Reading the journal does not live
//! here.

use super::effect::{Effect, effect_of};
use super::from_message;
use super::from_posting;
use super::rows::{AccountFacts, AuthorizationRow, Sequence};
use crate::engine::ids::{AccountId, AuthorizationId, TransactionId};
use crate::engine::record::Record;

/// The row of one authorization as the journal's tail leaves it. To be started with what
/// `Store::authorization_at` says, and given every record after that position, in order.
pub struct TailFold<F> {
    id: AuthorizationId,
    row: Option<AuthorizationRow>,
    transactions: Vec<TransactionId>,
    facts_of: F,
}

impl<F: Fn(AccountId) -> Option<AccountFacts>> TailFold<F> {
    /// `facts_of` knows accounts.
    pub fn new(id: AuthorizationId, stored: Option<AuthorizationRow>, facts_of: F) -> TailFold<F> {
        TailFold {
            id,
            row: stored,
            transactions: Vec::new(),
            facts_of,
        }
    }

    pub fn fold(&mut self, sequence: Sequence, record: &Record) {
        if let Some((id, of)) = from_posting::transaction_of(record)
            && of == self.id
        {
            self.transactions.push(id);
        }
        match &mut self.row {
            Some(row) => {
                let changes = effect_of(record).into_iter().flat_map(Effect::changes);
                for (_, change) in changes.filter(|(id, _)| *id == self.id) {
                    change.apply(row);
                }
            }
            None if from_message::authorization_id_of(record) == Some(self.id) => {
                self.row = from_message::authorization_row(sequence, record, &self.facts_of);
            }
            None => {}
        }
    }

    /// The row, and the transactions that the records added to it.
    pub fn row_and_transactions(self) -> (Option<AuthorizationRow>, Vec<TransactionId>) {
        (self.row, self.transactions)
    }

    pub fn row(self) -> Option<AuthorizationRow> {
        self.row
    }

    /// All at once: the row after these records.
    pub fn authorization<'a>(
        id: AuthorizationId,
        stored: Option<AuthorizationRow>,
        records: impl IntoIterator<Item = &'a (Sequence, Record)>,
        facts_of: F,
    ) -> Option<AuthorizationRow> {
        let mut tail = TailFold::new(id, stored, facts_of);
        for (sequence, record) in records {
            tail.fold(*sequence, record);
        }
        tail.row()
    }
}

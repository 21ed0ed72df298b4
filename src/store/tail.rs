//! Read-your-write over a projection that lags: folds the records behind the projection's position
//! over a stored row, with the same functions that build the rows. Reading the journal does not live
//! here.

use super::from_record;
use super::rows::{AuthorizationRow, Sequence};
use crate::engine::ids::{AccountId, AuthorizationId};
use crate::engine::money::Currency;
use crate::engine::record::Record;

/// The row of one authorization as the journal's tail leaves it. To be started with what
/// `Store::authorization_at` says, and given every record after that position, in order.
pub struct TailFold<F> {
    id: AuthorizationId,
    row: Option<AuthorizationRow>,
    currency_of: F,
}

impl<F: Fn(AccountId) -> Option<Currency>> TailFold<F> {
    /// `currency_of` knows the currency of an account.
    pub fn new(
        id: AuthorizationId,
        stored: Option<AuthorizationRow>,
        currency_of: F,
    ) -> TailFold<F> {
        TailFold {
            id,
            row: stored,
            currency_of,
        }
    }

    pub fn fold(&mut self, sequence: Sequence, record: &Record) {
        match &mut self.row {
            Some(row) => from_record::apply_to_authorization(row, record),
            None => {
                let ours = from_record::authorization_of(record)
                    .is_some_and(|(authorize, _)| authorize.authorization_id == self.id);
                if ours {
                    self.row = from_record::authorization_row(sequence, record, &self.currency_of);
                }
            }
        }
    }

    pub fn row(self) -> Option<AuthorizationRow> {
        self.row
    }

    /// All at once: the row after these records.
    pub fn authorization<'a>(
        id: AuthorizationId,
        stored: Option<AuthorizationRow>,
        records: impl IntoIterator<Item = &'a (Sequence, Record)>,
        currency_of: F,
    ) -> Option<AuthorizationRow> {
        let mut tail = TailFold::new(id, stored, currency_of);
        for (sequence, record) in records {
            tail.fold(*sequence, record);
        }
        tail.row()
    }
}

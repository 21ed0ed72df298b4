//! How records of transfers become rows, and what later steps change in them.

use super::database::{RowChange, Value};
use super::from_record::{LedgerSource, lettered};
use super::rows::{Sequence, TransferRow};
use crate::engine::command::Action;
use crate::engine::event::Event;
use crate::engine::ids::{AccountId, TransferId};
use crate::engine::record::Record;
use crate::engine::time::Timestamp;
use crate::engine::transfers::{EndTransfer, Transfer, TransferStatus, Transferred};

pub(super) fn transfer_row(
    sequence: Sequence,
    at: Timestamp,
    transfer: &Transfer,
    event: &Transferred,
) -> TransferRow {
    let is_over = event.status != TransferStatus::InTransit;
    TransferRow {
        id: transfer.id,
        sequence,
        from_account_id: transfer.from_account_id,
        to_account_id: transfer.to_account_id,
        amount_minor: transfer.amount.amount_minor,
        currency: lettered(transfer.amount.currency),
        status: event.status,
        return_reason: event.return_reason,
        created_at_ms: at,
        ended_at_ms: is_over.then_some(at),
    }
}

/// What the last step changes in the row.
pub(super) fn transfer_end(at: Timestamp, end: &EndTransfer, event: &Transferred) -> RowChange {
    let mut columns = vec![
        ("status", Value::Text(event.status.name().to_owned())),
        ("ended_at_ms", Value::Int(at.0)),
    ];
    if let Some(reason) = event.return_reason {
        columns.push(("return_reason", Value::Text(reason.name().to_owned())));
    }
    RowChange {
        table: "transfers",
        id: end.transfer.id.to_string(),
        columns,
    }
}

impl LedgerSource {
    /// What a transfer posts in the tree of this account.
    pub fn transfer(transfer: &Transfer, account_id: AccountId) -> LedgerSource {
        LedgerSource {
            account_id,
            currency: lettered(transfer.amount.currency),
            source_type: "transfer",
            source_id: transfer.id.to_string(),
        }
    }
}

/// The row of one transfer as the journal's tail leaves it.
pub struct TransferTail {
    id: TransferId,
    row: Option<TransferRow>,
}

impl TransferTail {
    pub fn new(id: TransferId, stored: Option<TransferRow>) -> TransferTail {
        TransferTail { id, row: stored }
    }

    pub fn fold(&mut self, sequence: Sequence, record: &Record) {
        let Record::Shard { command, event, .. } = record else {
            return;
        };
        let Event::Transferred(event) = event else {
            return;
        };
        match &command.action {
            Action::Transfer(transfer) if transfer.id == self.id => {
                self.row = Some(transfer_row(sequence, command.at, transfer, event));
            }
            Action::EndTransfer(end) if end.transfer.id == self.id => {
                if let Some(row) = &mut self.row {
                    (row.status, row.return_reason) = (event.status, event.return_reason);
                    row.ended_at_ms = Some(command.at);
                }
            }
            _ => {}
        }
    }

    pub fn row(self) -> Option<TransferRow> {
        self.row
    }
}

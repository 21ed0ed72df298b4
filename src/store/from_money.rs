//! How records of transfers and top-ups become rows, and what later steps change in them.

use super::database::{RowChange, Value};
use super::from_record::{LedgerSource, clean, lettered};
use super::rows::{Sequence, TopUpRow, TransferRow};
use crate::engine::command::{Action, TopUp};
use crate::engine::event::{Event, LedgerAccount, Posting};
use crate::engine::ids::{AccountId, TopUpId, TransferId};
use crate::engine::money::Money;
use crate::engine::record::Record;
use crate::engine::time::Timestamp;
use crate::engine::top_ups::{EndTopUp, TopUpEnd, TopUpEnded, TopUpStatus, credited_currency};
use crate::engine::transfers::{EndTransfer, Transfer, TransferStatus, Transferred};
use crate::engine::watch::ChangeAccount;

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

/// Of what may be changed, the tables have the name only.
pub(super) fn account_change(change: &ChangeAccount) -> Option<RowChange> {
    let name = change.name.as_deref()?;
    Some(RowChange {
        table: "accounts",
        id: change.account_id.to_string(),
        columns: vec![("name", Value::Text(clean(name)))],
    })
}

impl LedgerSource {
    /// What a transfer posts in the tree of this account.
    pub fn transfer(transfer: &Transfer, account_id: AccountId) -> LedgerSource {
        LedgerSource {
            account_id,
            currency: lettered(transfer.amount.currency),
            source_type: "transfer",
            source_id: transfer.id.to_string(),
            card_id: None,
            authorization_id: None,
        }
    }
}

/// What posted the legs of a top-up; nothing where they do not touch the account.
fn credited(legs: &[Posting]) -> i64 {
    let customers = legs
        .iter()
        .filter(|leg| leg.ledger_account != LedgerAccount::FundsReceived);
    customers.map(|leg| leg.amount_minor).sum()
}

impl LedgerSource {
    pub fn top_up(
        top_up_id: TopUpId,
        account_id: AccountId,
        arrived: Money,
        legs: &[Posting],
    ) -> LedgerSource {
        LedgerSource {
            account_id,
            currency: lettered(credited_currency(arrived, credited(legs))),
            source_type: "top_up",
            source_id: top_up_id.to_string(),
            card_id: None,
            authorization_id: None,
        }
    }
}

/// One that waits for its money.
pub(super) fn top_up_row(sequence: Sequence, at: Timestamp, top_up: &TopUp) -> TopUpRow {
    TopUpRow {
        id: top_up.top_up_id,
        sequence,
        account_id: top_up.account_id,
        amount_minor: top_up.amount.amount_minor,
        currency: lettered(top_up.amount.currency),
        method: clean(&top_up.method),
        external_reference: top_up.external_reference.as_deref().map(clean),
        status: TopUpStatus::Pending,
        created_at_ms: at,
        settled_minor: None,
        settled_currency: None,
        arrived_minor: None,
        arrived_currency: None,
        rest_minor: None,
        received_on: None,
        failure_reason: None,
        ended_at_ms: None,
    }
}

/// One that was settled at once.
pub(super) fn settled_top_up_row(
    sequence: Sequence,
    at: Timestamp,
    top_up: &TopUp,
    legs: &[Posting],
) -> TopUpRow {
    let credited_minor = credited(legs);
    let currency = credited_currency(top_up.amount, credited_minor);
    TopUpRow {
        status: TopUpStatus::Settled,
        settled_minor: Some(credited_minor),
        settled_currency: Some(lettered(currency)),
        arrived_minor: Some(top_up.amount.amount_minor),
        arrived_currency: Some(lettered(top_up.amount.currency)),
        rest_minor: Some(0),
        ended_at_ms: Some(at),
        ..top_up_row(sequence, at, top_up)
    }
}

/// How one ended, as its row has it.
pub(super) fn end_top_up_row(
    row: &mut TopUpRow,
    at: Timestamp,
    end: &EndTopUp,
    ended: &TopUpEnded,
) {
    row.ended_at_ms = Some(at);
    match &end.end {
        TopUpEnd::Failed { reason } => {
            row.status = TopUpStatus::Failed;
            row.failure_reason = Some(clean(reason));
        }
        TopUpEnd::Settled {
            arrived,
            received_on,
        } => {
            let credited_minor = ended.credit.credited_minor;
            row.status = TopUpStatus::Settled;
            row.settled_minor = Some(credited_minor);
            row.settled_currency = Some(lettered(credited_currency(*arrived, credited_minor)));
            row.arrived_minor = Some(arrived.amount_minor);
            row.arrived_currency = Some(lettered(arrived.currency));
            row.rest_minor = Some(ended.credit.rest_minor);
            row.received_on = received_on.as_deref().map(clean);
        }
    }
}

pub(super) fn top_up_end(at: Timestamp, end: &EndTopUp, ended: &TopUpEnded) -> RowChange {
    let text = |text: &str| Value::Text(clean(text));
    let mut columns = vec![("ended_at_ms", Value::Int(at.0))];
    match &end.end {
        TopUpEnd::Failed { reason } => {
            columns.push(("status", text(TopUpStatus::Failed.name())));
            columns.push(("failure_reason", text(reason)));
        }
        TopUpEnd::Settled {
            arrived,
            received_on,
        } => {
            let credit = ended.credit;
            let currency = credited_currency(*arrived, credit.credited_minor);
            columns.push(("status", text(TopUpStatus::Settled.name())));
            columns.push(("settled_minor", Value::Int(credit.credited_minor)));
            columns.push(("settled_currency", text(currency.alpha())));
            columns.push(("arrived_minor", Value::Int(arrived.amount_minor)));
            columns.push(("arrived_currency", text(arrived.currency.alpha())));
            columns.push(("rest_minor", Value::Int(credit.rest_minor)));
            let received_on = received_on.as_deref();
            columns.extend(received_on.map(|day| ("received_on", text(day))));
        }
    }
    RowChange {
        table: "top_ups",
        id: end.top_up_id.to_string(),
        columns,
    }
}

/// The row of one top-up as the journal's tail leaves it.
pub struct TopUpTail {
    id: TopUpId,
    row: Option<TopUpRow>,
}

impl TopUpTail {
    pub fn new(id: TopUpId, stored: Option<TopUpRow>) -> TopUpTail {
        TopUpTail { id, row: stored }
    }

    pub fn fold(&mut self, sequence: Sequence, record: &Record) {
        let Record::Shard { command, event, .. } = record else {
            return;
        };
        let at = command.at;
        match (&command.action, event) {
            (Action::TopUp(top_up), Event::Posted { postings: legs, .. })
                if top_up.top_up_id == self.id =>
            {
                self.row = Some(settled_top_up_row(sequence, at, top_up, legs));
            }
            (Action::AnnounceTopUp(top_up), _) if top_up.top_up_id == self.id => {
                self.row = Some(top_up_row(sequence, at, top_up));
            }
            (Action::EndTopUp(end), Event::TopUpEnded(ended)) if end.top_up_id == self.id => {
                if let Some(row) = &mut self.row {
                    end_top_up_row(row, at, end, ended);
                }
            }
            _ => {}
        }
    }

    pub fn row(self) -> Option<TopUpRow> {
        self.row
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
        let event = match event {
            Event::Transferred(event) => event,
            Event::AutoToppedUp(done) => {
                if done.transfer.id == self.id {
                    let (transfer, event) = (&done.transfer, &done.transferred);
                    self.row = Some(transfer_row(sequence, command.at, transfer, event));
                }
                return;
            }
            _ => return,
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

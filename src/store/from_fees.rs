//! How what a record charges becomes rows, each with its cause.

use super::from_posting::transaction_of;
use super::from_record::{LedgerSource, lettered};
use super::rows::{FeeRow, Sequence};
use crate::engine::command::Action;
use crate::engine::fees::charge::Charge;
use crate::engine::ids::FeeId;
use crate::engine::record::Record;

/// What a record charges; nothing for most.
pub(super) fn charges_of(record: &Record) -> &[Charge] {
    match record {
        Record::Shard { event, .. } => event.charges(),
        Record::Registry { .. } => &[],
    }
}

/// A row for each that was booked.
pub(super) fn fee_rows(sequence: Sequence, record: &Record) -> Vec<FeeRow> {
    let Record::Shard { command, event, .. } = record else {
        return Vec::new();
    };
    let charges = event.charges().iter();
    let row = |(place, charge): (u64, &Charge)| {
        let (cause_type, cause_id) = cause(&command.action, record, charge);
        FeeRow {
            id: FeeId::of_record(sequence, place),
            sequence,
            kind: charge.kind,
            account_id: charge.account_id,
            card_id: charge.card_id,
            program_id: charge.program_id,
            fee_schedule_id: charge.schedule.id,
            fee_schedule_version: charge.schedule.version,
            amount_minor: charge.amount_minor(),
            fee_minor: charge.fee_minor,
            reseller_mark_up_minor: charge.reseller_mark_up_minor,
            basis_minor: charge.basis_minor,
            currency: lettered(charge.currency),
            month: charge.month.map(|month| month.to_string()),
            overdrawn: charge.overdrawn,
            cause_type: cause_type.to_owned(),
            cause_id,
            created_at_ms: command.at,
        }
    };
    let booked = (0..)
        .zip(charges)
        .filter(|(_, charge)| !charge.out_of_range);
    booked.map(row).collect()
}

/// The object that was charged for.
fn cause(action: &Action, record: &Record, charge: &Charge) -> (&'static str, String) {
    match action {
        Action::OpenAccount(open) => ("account", open.account_id.to_string()),
        Action::TopUp(top_up) => ("top_up", top_up.top_up_id.to_string()),
        Action::EndTopUp(end) => ("top_up", end.top_up_id.to_string()),
        Action::Authorize(authorize) if charge.is_posted_by_itself() => {
            ("authorization", authorize.authorization_id.to_string())
        }
        Action::Resolve(resolve) if charge.is_posted_by_itself() => {
            ("authorization", resolve.authorization_id.to_string())
        }
        _ => match (transaction_of(record), charge.card_id) {
            (Some((id, _)), _) => ("transaction", id.to_string()),
            (None, Some(id)) => ("card", id.to_string()),
            (None, None) => ("account", charge.account_id.to_string()),
        },
    }
}

impl LedgerSource {
    pub fn fee(row: &FeeRow, record: &Record) -> LedgerSource {
        let authorization_id = match row.cause_type.as_str() {
            "authorization" => row.cause_id.parse().ok(),
            "transaction" => transaction_of(record).map(|(_, id)| id),
            _ => None,
        };
        LedgerSource {
            account_id: row.account_id,
            currency: row.currency,
            source_type: "fee",
            source_id: row.id.to_string(),
            card_id: row.card_id,
            authorization_id,
        }
    }
}

/// The row of one charge as the journal's tail has it.
pub struct FeeTail {
    id: FeeId,
    row: Option<FeeRow>,
}

impl FeeTail {
    pub fn new(id: FeeId, stored: Option<FeeRow>) -> FeeTail {
        FeeTail { id, row: stored }
    }

    pub fn fold(&mut self, sequence: Sequence, record: &Record) {
        let mut rows = fee_rows(sequence, record).into_iter();
        self.row = rows.find(|row| row.id == self.id).or(self.row.take());
    }

    pub fn row(self) -> Option<FeeRow> {
        self.row
    }
}

//! How records of cardholders become rows, and what later ones change in them.

use super::database::{RowChange, Value};
use super::from_record::clean;
use super::rows::{Sequence, table};
use crate::engine::cardholders::{Cardholder, ChangeCardholder, SetCardholder};
use crate::engine::facts::Country;
use crate::engine::ids::{CardholderId, ProgramId};
use crate::engine::time::Timestamp;

table! {
    CardholderRow in "cardholders" {
        id: CardholderId,
        sequence: Sequence,
        program_id: ProgramId,
        name: Option<String>,
        home_country: Country,
        verified: bool,
        created_at_ms: Timestamp,
    }
}

pub(super) fn row(sequence: Sequence, cardholder: &Cardholder) -> CardholderRow {
    CardholderRow {
        id: cardholder.id,
        sequence,
        program_id: cardholder.program_id,
        name: cardholder.name.as_deref().map(clean),
        home_country: cardholder.home_country,
        verified: cardholder.verified,
        created_at_ms: cardholder.created_at,
    }
}

pub(super) fn verified(id: CardholderId) -> RowChange {
    RowChange {
        table: "cardholders",
        id: id.to_string(),
        columns: vec![("verified", Value::Int(1))],
    }
}

/// Of a card.
pub(super) fn set(set: &SetCardholder) -> RowChange {
    let cardholder_id = Value::Text(set.cardholder_id.to_string());
    RowChange {
        table: "cards",
        id: set.card_id.to_string(),
        columns: vec![("cardholder_id", cardholder_id)],
    }
}

pub(super) fn change(change: &ChangeCardholder) -> Option<RowChange> {
    let name = change.name.as_deref();
    let home_country = change.home_country;
    let columns = [
        ("name", name.map(|name| Value::Text(clean(name)))),
        (
            "home_country",
            home_country.map(|country| Value::Text(country.alpha2().to_string())),
        ),
        (
            "verified",
            change.verified.map(|verified| Value::Int(verified.into())),
        ),
    ];
    let columns = columns.into_iter();
    let columns: Vec<_> = columns
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    (!columns.is_empty()).then(|| RowChange {
        table: "cardholders",
        id: change.id.to_string(),
        columns,
    })
}

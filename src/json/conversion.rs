//! `conversion` of an authorization as JSON. What it means is in `engine::conversion`.

use crate::engine::conversion::Conversion;
use serde_json::{Value, json};

pub fn to_json(conversion: &Conversion) -> Value {
    json!({
        "source": conversion.source.name(),
        "from_currency": conversion.from.alpha(),
        "rate": conversion.rate.to_string(),
        "version": conversion.table_version,
        "mark_up_basis_points": conversion.mark_up_basis_points,
        "network_amount": conversion.network_minor,
        "mark_up": conversion.mark_up_minor,
        "rounding": conversion.rounding_minor,
    })
}

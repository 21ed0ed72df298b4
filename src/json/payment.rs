//! What authorizations and transactions tell alike: the merchant, the network's names of the message, flags.

use super::text::mcc_text;
use crate::engine::event::Flags;
use crate::engine::facts::Country;
use serde_json::{Value, json};

pub fn merchant(id: &str, name: &str, city: &str, mcc: u16, country: Country) -> Value {
    json!({
        "id": present(id),
        "name": present(name),
        "city": present(city),
        "mcc": (mcc != 0).then(|| mcc_text(mcc)),
        "country": (country != Country::UNKNOWN).then(|| country.alpha2().to_owned()),
    })
}

pub fn network(name: &str, stan: u32, rrn: &str, acquirer_id: &str, terminal_id: &str) -> Value {
    json!({
        "name": present(name),
        "stan": format!("{stan:06}"),
        "rrn": present(rrn),
        "acquirer_id": present(acquirer_id),
        "terminal_id": present(terminal_id),
    })
}

pub fn flags(flags: Flags) -> Vec<&'static str> {
    flags.names().collect()
}

/// Text of a message, without the blanks that fill its field; nothing where it has none.
fn present(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty()).then_some(text)
}

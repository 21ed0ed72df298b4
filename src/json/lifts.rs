//! What an exception lifts, as JSON, with the groups and merchants that lists name.

use super::text::mcc_text;
use crate::engine::exceptions::{Lifts, RaisedLimit};
use crate::engine::groups::MccGroupRef;
use crate::engine::merchants::MerchantEntry;
use serde_json::{Map, Value, json};

pub fn to_json(lifts: &Lifts) -> Value {
    let mut json = Map::new();
    let mut put = |name: &str, values: Vec<Value>| {
        if !values.is_empty() {
            json.insert(name.into(), values.into());
        }
    };
    let limit = |raised: &RaisedLimit| {
        json!({
            "id": raised.limit_id.to_string(),
            "amount": raised.amount_minor,
            "count": raised.count,
        })
    };
    put("limits", lifts.limits.iter().map(limit).collect());
    let codes = lifts.mccs.iter().map(|mcc| mcc_text(*mcc));
    let groups = lifts.mcc_groups.iter().map(group_text);
    put("mcc", codes.chain(groups).map(Value::from).collect());
    let text = |text: &str| Value::from(text);
    let countries = lifts.countries.iter();
    put("countries", countries.map(|c| text(c.alpha2())).collect());
    let currencies = lifts.currencies.iter();
    put("currencies", currencies.map(|c| text(c.alpha())).collect());
    let merchants = lifts.merchants.iter();
    let merchants = merchants.map(merchant);
    put("merchants", merchants.collect());
    let channels = lifts.channels.iter();
    put("channels", channels.map(|c| text(c.name())).collect());
    let entry_modes = lifts.entry_modes.iter();
    put(
        "entry_modes",
        entry_modes.map(|mode| text(mode.name())).collect(),
    );
    Value::Object(json)
}

pub fn group_text(group: &MccGroupRef) -> String {
    match group {
        MccGroupRef::Builtin(builtin) => builtin.name().into(),
        MccGroupRef::Own(id) => id.to_string(),
    }
}

pub fn merchant(entry: &MerchantEntry) -> Value {
    match entry {
        MerchantEntry::Id {
            id,
            acquirer_id: None,
        } => json!({ "id": id }),
        MerchantEntry::Id { id, acquirer_id } => json!({ "id": id, "acquirer_id": acquirer_id }),
        MerchantEntry::Name(name) => json!({ "name": name }),
        MerchantEntry::Shared(id) => json!({ "list": id.to_string() }),
    }
}

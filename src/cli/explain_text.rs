//! What `cardswitch explain` prints for people, from the JSON that it prints for programs.

use crate::engine::money::Currency;
use serde_json::{Value, json};
use std::fmt::Write;

/// Every part in its own lines.
pub fn text(explained: &Value) -> String {
    let mut out = String::new();
    let record = &explained["record"];
    asked(&mut out, record);
    came(&mut out, &record["event"], &explained["account_currency"]);
    steps(&mut out, &record["event"]["trace"]);
    again(&mut out, record, &explained["decided_again"]);
    later(&mut out, &explained["later"]);
    out
}

/// Adds a line. Writing to a string cannot fail.
macro_rules! line {
    ($out:expr, $($text:tt)*) => {
        let _ = writeln!($out, $($text)*);
    };
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An amount as people write it; the number where no currency is stated.
fn money(money: &Value) -> String {
    let amount_minor = money["amount"].as_i64().unwrap_or(0);
    let currency = money["currency"].as_str().and_then(Currency::from_alpha);
    match currency {
        Some(currency) => format!("{} {}", currency.decimal(amount_minor), currency.alpha()),
        None => format!("{amount_minor} (minor units of the account's currency)"),
    }
}

fn asked(out: &mut String, record: &Value) {
    let command = &record["command"];
    let merchant_name = match command["merchant"]["name"].as_str().map(str::trim) {
        None | Some("") => String::new(),
        Some(name) => format!("{name} "),
    };
    let (merchant, network) = (&command["merchant"], &command["network"]);
    let single = match command["posts"].as_bool() {
        Some(true) => ", posted at once",
        _ => "",
    };
    line!(
        out,
        "{}: {} {} of {}{single}",
        word(&command["authorization_id"]),
        word(&command["type"]),
        word(&command["kind"]),
        money(&command["transaction"])
    );
    if !command["billing"].is_null() {
        line!(out, "  billed as {}", money(&command["billing"]));
    }
    line!(
        out,
        "  at {merchant_name}({}), MCC {}, {} · {} · {}",
        word(&merchant["id"]),
        word(&merchant["mcc"]),
        word(&merchant["country"]),
        word(&command["channel"]),
        word(&command["entry_mode"])
    );
    line!(
        out,
        "  card {} · network {}, STAN {}, RRN {}",
        word(&command["card_id"]),
        word(&network["name"]),
        word(&network["stan"]),
        word(&network["rrn"])
    );
    line!(
        out,
        "  record {} of the journal, {}; engine version {}, registry version {}",
        record["sequence"],
        word(&record["at"]),
        record["engine_version"],
        record["event"]["registry_version"]
    );
}

/// The decision of a request, or the outcome of an advice, with amounts in the account's currency.
fn came(out: &mut String, event: &Value, currency: &Value) {
    let in_account = |amount: &Value| money(&json!({ "amount": amount, "currency": currency }));
    let decision = &event["decision"];
    let head = match decision["result"].as_str() {
        Some("declined") => format!(
            "declined: {} (step {}, rule {})",
            word(&decision["reason"]),
            word(&decision["step"]),
            word(&decision["rule_id"])
        ),
        Some(result) if !event["waits_until"].is_null() => format!(
            "{result} by the switch, approval code {}; its customer decides until {}",
            word(&decision["approval_code"]),
            word(&event["waits_until"])
        ),
        Some(result) => format!(
            "{result}, approval code {}",
            word(&decision["approval_code"])
        ),
        None => {
            let flags = event["flags"].as_array().into_iter().flatten().map(word);
            let flags: Vec<String> = flags.collect();
            let breach = &event["breach"]["reason"];
            let mut head = word(&event["outcome"]["type"]);
            if !flags.is_empty() {
                let _ = write!(head, "; flags: {}", flags.join(", "));
            }
            if !breach.is_null() {
                let _ = write!(
                    head,
                    "; a request would have been declined: {}",
                    word(breach)
                );
            }
            head
        }
    };
    line!(out, "\n{head}");
    line!(
        out,
        "  account {}: {} asked, {} available after it",
        word(&event["account_id"]),
        in_account(&event["amount"]),
        in_account(&event["available"])
    );
    let hold = &event["hold"];
    let is_posted = event["postings"]
        .as_array()
        .is_some_and(|legs| !legs.is_empty());
    if !hold.is_null() && !is_posted {
        line!(
            out,
            "  {} held until {}",
            in_account(&hold["amount"]),
            word(&hold["expires_at"])
        );
    }
    if !event["conversion"].is_null() {
        line!(out, "  conversion: {}", members(&event["conversion"]));
    }
    moved(out, event, &in_account);
}

/// What it posted, and what was charged.
fn moved(out: &mut String, event: &Value, in_account: &dyn Fn(&Value) -> String) {
    for leg in event["postings"].as_array().into_iter().flatten() {
        let (account, amount) = (word(&leg["ledger_account"]), &leg["amount"]);
        line!(out, "  posted to {account}: {}", in_account(amount));
    }
    for fee in event["charges"].as_array().into_iter().flatten() {
        line!(
            out,
            "  charged for {}: {} and {} for the reseller, by {} version {}",
            word(&fee["kind"]),
            in_account(&fee["fee_amount"]),
            in_account(&fee["reseller_mark_up_amount"]),
            word(&fee["fee_schedule_id"]),
            fee["fee_schedule_version"]
        );
    }
}

fn members(object: &Value) -> String {
    let members = object.as_object().into_iter().flatten();
    let members = members.map(|(name, value)| format!("{name}={}", word(value)));
    members.collect::<Vec<_>>().join(" ")
}

fn steps(out: &mut String, trace: &Value) {
    line!(out, "");
    for step in trace.as_array().into_iter().flatten() {
        let text = format!(
            "  {:18} {:8} {}",
            word(&step["step"]),
            word(&step["result"]),
            members(&step["detail"])
        );
        line!(out, "{}", text.trim_end());
    }
}

fn again(out: &mut String, record: &Value, again: &Value) {
    let version = &again["engine_version"];
    let head = format!(
        "\ndecided again on the state before record {}",
        record["sequence"]
    );
    if again["result"] == "same" {
        line!(out, "{head}, by engine version {version}: the same");
        return;
    }
    line!(out, "{head}, by engine version {version}: DIFFERENT");
    for difference in again["differences"].as_array().into_iter().flatten() {
        line!(
            out,
            "  {}: recorded {}, again {}",
            word(&difference["what"]),
            difference["recorded"],
            difference["again"]
        );
    }
}

fn later(out: &mut String, later: &Value) {
    let records = later.as_array().map_or(&[][..], Vec::as_slice);
    if records.is_empty() {
        return;
    }
    line!(out, "\nafterwards");
    for record in records {
        let event = &record["event"];
        let told = match event["type"].as_str() {
            Some("hold_released") => format!(
                "{} released ({})",
                event["amount"],
                word(&record["command"]["cause"])
            ),
            Some("reversed") => format!("reversed: {}", members(&event["undone"])),
            Some("advised") => format!("advice: {}", members(&event["outcome"])),
            Some("withheld") => format!(
                "the approval was late, and taken back: {}",
                members(&event["undone"])
            ),
            Some("resolved") => format!(
                "the customer ({}, after {} ms): {}",
                word(&record["command"]["call_outcome"]),
                record["command"]["duration_ms"],
                members(&event["decision"])
            ),
            Some("authorized") => {
                let mut increased = event["increased"].clone();
                // Which limits count it is in the trace of the increment.
                if let Some(told) = increased.as_object_mut() {
                    told.remove("limit_uses");
                }
                format!("increment: {}", members(&increased))
            }
            _ => members(event),
        };
        line!(
            out,
            "  record {}, {}: {told}",
            record["sequence"],
            word(&record["at"])
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merchant_without_a_name_is_told_by_its_id_alone() {
        let told = |name: Value| {
            let merchant = json!({ "name": name, "id": "M1", "mcc": "5411", "country": "US" });
            text(&json!({ "record": { "command": { "merchant": merchant } } }))
        };
        for none in [json!(""), json!("   "), Value::Null] {
            assert!(told(none).contains("\n  at (M1), MCC 5411, US"));
        }
        assert!(told(json!("SHOP")).contains("\n  at SHOP (M1), MCC"));
    }
}

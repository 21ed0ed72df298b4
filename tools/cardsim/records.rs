//! What the switch has on record of a message of `cardsim talk`: asked over REST, and printed. What is said to the switch
//! is in `talk`.

use cardswitch::engine::money::Currency;
use cardswitch::sim::talk::Sent;
use serde_json::Value;
use std::time::Duration;

/// How often the record of a message is asked for before it is given up, and how long it waits in between.
const LOOKS: usize = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// The REST interface of the switch.
pub struct Api {
    pub base: String,
    pub key: String,
}

impl Api {
    /// Prints what became of a message: its authorization with the checks, and what it posted. A completion or a
    /// reversal has no authorization of its own; then it is the one that it was about.
    pub fn explain(&self, sent: &Sent) {
        let is_reversal = sent.mti / 100 == 4;
        let stan = match is_reversal {
            true => sent.original_stan,
            false => Some(sent.stan),
        };
        let Some(stan) = stan else {
            return println!("       (it names no earlier message)");
        };
        for _ in 0..LOOKS {
            if let Some(id) = self.authorization_id(stan) {
                return self.print(&id, sent);
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        println!("       (no record of it came up)");
    }

    /// Of the message with this STAN, among the newest: its own, or that of what it posted.
    fn authorization_id(&self, stan: u32) -> Option<String> {
        let stan = format!("{stan:06}");
        let find = |list: &str, id: &str| {
            let page = self.get(&format!("{list}?limit=100"))?;
            let mut records = page["data"].as_array()?.iter();
            let found = records.find(|record| record["network"]["stan"] == stan.as_str())?;
            Some(found[id].as_str()?.to_owned())
        };
        find("authorizations", "id").or_else(|| find("transactions", "authorization_id"))
    }

    fn get(&self, path: &str) -> Option<Value> {
        let url = format!("{}/v1/{path}", self.base);
        let request = ureq::get(&url).header("authorization", format!("Bearer {}", self.key));
        request.call().ok()?.body_mut().read_json().ok()
    }

    fn print(&self, id: &str, sent: &Sent) {
        let Some(record) = self.get(&format!("authorizations/{id}")) else {
            return println!("       (no record of it came up)");
        };
        print_authorization(&record);
        let stan = format!("{:06}", sent.stan);
        let is_own = record["network"]["stan"] == stan.as_str();
        if is_own {
            print_checks(&record);
        }
        let transactions = record["transactions"].as_array();
        for id in transactions.into_iter().flatten().filter_map(Value::as_str) {
            let transaction = self.get(&format!("transactions/{id}"));
            let posted = transaction.filter(|posted| posted["network"]["stan"] == stan.as_str());
            if let Some(posted) = posted {
                print_transaction(&posted);
            }
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An amount of a record as people write it.
fn decimal(record: &Value, name: &str) -> String {
    let currency = record["currency"].as_str().and_then(Currency::from_alpha);
    match (currency, record[name].as_i64()) {
        (Some(currency), Some(amount_minor)) => currency.decimal(amount_minor),
        _ => text(&record[name]),
    }
}

fn print_authorization(record: &Value) {
    let decision = &record["decision"];
    let reason = match &decision["reason"] {
        Value::Null => String::new(),
        reason => format!(" ({})", text(reason)),
    };
    println!(
        "       {}: {} {}{reason}, status {}, {} {}, posted {}; flags {}",
        text(&record["id"]),
        text(&record["kind"]),
        text(&decision["result"]),
        text(&record["status"]),
        decimal(record, "amount"),
        text(&record["currency"]),
        decimal(record, "posted"),
        text(&record["flags"])
    );
}

/// Those that compared something.
fn print_checks(record: &Value) {
    for step in record["trace"].as_array().into_iter().flatten() {
        let detail = step["detail"].as_object();
        if let Some(detail) = detail.filter(|detail| !detail.is_empty()) {
            let members = detail.iter();
            let members = members.map(|(key, value)| format!("{key}={}", text(value)));
            let members: Vec<String> = members.collect();
            println!(
                "         {:14} {:7} {}",
                text(&step["step"]),
                text(&step["result"]),
                members.join(" ")
            );
        }
    }
}

fn print_transaction(record: &Value) {
    println!(
        "       {}: {} {} {} {}, of {}",
        text(&record["id"]),
        text(&record["kind"]),
        text(&record["type"]),
        decimal(record, "amount"),
        text(&record["currency"]),
        text(&record["authorization_id"])
    );
}

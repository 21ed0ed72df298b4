//! What a customer is told of an authorization, and what it may say. Amounts are in minor units.

use crate::engine::command::CustomerSays;
use crate::engine::time::Timestamp;
use crate::shard::reply::DecisionCall;
use serde::Deserialize;
use serde_json::{Value, json};

pub fn request(call: &DecisionCall, now: Timestamp) -> Value {
    let payment = &call.payment;
    let (merchant, transaction) = (&payment.merchant, payment.amounts.transaction);
    let reference = &payment.reference;
    let answer_by = call.decided_at.plus_ms(i64::from(call.endpoint.timeout_ms));
    json!({
        "type": "authorization.requested",
        "timestamp": now.to_string(),
        "data": {
            "authorization_id": payment.authorization_id.to_string(),
            "card_id": payment.card_id.to_string(),
            "account_id": call.account_id.to_string(),
            "token_id": payment.token.id().map(|id| id.to_string()),
            "program_id": call.endpoint.program_id.to_string(),
            "kind": payment.kind.name(),
            "amount": call.amount_minor,
            "currency": call.currency.alpha(),
            "available": call.available_minor,
            "transaction_amount": transaction.amount_minor,
            "transaction_currency": transaction.currency.alpha(),
            "partial_approval_supported": payment.partial_approval_supported,
            "merchant": {
                "id": merchant.id.trim_end(),
                "name": merchant.name.trim_end(),
                "city": merchant.city.trim_end(),
                "mcc": format!("{:04}", merchant.mcc),
                "country": merchant.country.alpha2(),
            },
            "entry_mode": payment.entry_mode.name(),
            "channel": payment.channel.name(),
            "initiated_by_merchant": payment.initiated_by_merchant,
            "network": {
                "name": reference.network.as_str(),
                "stan": format!("{:06}", reference.stan),
                "rrn": reference.rrn.as_str(),
            },
            "created_at": call.decided_at.to_string(),
            "answer_by": answer_by.to_string(),
        },
    })
}

/// A call that asks for nothing: whether the endpoint is there.
pub fn ping_body(now: Timestamp) -> Value {
    json!({ "type": "ping", "timestamp": now.to_string(), "data": {} })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    decision: Word,
    amount: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Approve,
}

/// `{"decision":"approve"}`, with an `amount` for less than was asked, or `{"decision":"decline"}`; `None` for anything
/// else. A no is heard whatever stands beside it: what is not understood must not let a payment through.
pub fn said(body: &[u8]) -> Option<CustomerSays> {
    if says_no(body) {
        return Some(CustomerSays::Decline);
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // In other letters of JSON.
    let whole: Option<Value> = serde_json::from_slice(body).ok();
    let decision = whole.as_ref().and_then(|whole| whole.get("decision"));
    if decision.is_some_and(|word| word == "decline") {
        return Some(CustomerSays::Decline);
    }
    let Approval {
        decision: Word::Approve,
        amount: amount_minor,
    } = serde_json::from_slice(body).ok()?;
    Some(CustomerSays::Approve { amount_minor })
}

/// Whether `"decision":"decline"` stands anywhere in it, be it JSON or not.
pub fn says_no(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let mut named = text.match_indices("\"decision\"");
    named.any(|(at, name)| {
        let rest = text[at + name.len()..].trim_start();
        let value = rest.strip_prefix(':').map(str::trim_start);
        value.is_some_and(|value| value.starts_with("\"decline\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_less_and_no_are_understood_and_nothing_else() {
        let no = Some(CustomerSays::Decline);
        let approve = |amount_minor| Some(CustomerSays::Approve { amount_minor });
        for (text, expected) in [
            (r#"{"decision":"approve"}"#, approve(None)),
            (r#"{"decision":"approve","amount":500}"#, approve(Some(500))),
            (r#"{"decision":"decline"}"#, Some(CustomerSays::Decline)),
            (r#"{"decision":"decline","amount":5}"#, no),
            (r#"{"reason":"fraud","decision":"decline"}"#, no),
            ("\u{feff}{\"decision\":\"decline\"}", no),
            (r#"{"decision":"approve","decision":"decline"}"#, no),
            (r#"{"decision":"decline","decision":"approve"}"#, no),
            (r#"{ "decision" : "decline" }x"#, no),
            (r#"{"data":{"decision":"decline"}}"#, no),
            (r#"{"decision":"decline", "#, no),
            (r#"{"decision":"declined"}"#, None),
            (r#"{"d\u0065cision":"decl\u0069ne"}"#, no),
            (r#"["decline"]"#, None),
            (r#"{"decision":"maybe"}"#, None),
            (r#"{"decision":"approve","amount":"500"}"#, None),
            (r#"{"decision":"approve","ammount":500}"#, None),
            ("{}", None),
            ("", None),
        ] {
            assert_eq!(said(text.as_bytes()), expected, "{text}");
        }
    }
}

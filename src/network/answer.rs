//! From a decision back to bytes: the answer to a request, and our own network management messages.

use super::dialect_map::{DialectMap, ResponseCode};
use crate::engine::event::{
    AdviceResult, Answer, AnswerResult, ApprovalCode, Balances, ReversalResult,
};
use crate::engine::ids::AuthorizationId;
use crate::engine::money::{Currency, Money};
use crate::engine::reason::DeclineReason;
use crate::iso8583::{EncodeError, Encoder, Message, Mti};
use crate::shard::reply::{Reply, Unavailable};
use arrayvec::ArrayString;
use bytes::BytesMut;

const AMOUNT: u8 = 4;
const BILLING_AMOUNT: u8 = 6;
const APPROVAL_CODE: u8 = 38;
const RESPONSE_CODE: u8 = 39;

/// What an answer carries beside the fields that it repeats.
#[derive(Debug, Clone, Copy)]
pub struct Verdict {
    pub response_code: ResponseCode,
    pub approval_code: Option<ApprovalCode>,
    /// Amounts that the answer states for itself.
    pub amounts: AnswerAmounts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerAmounts {
    AsAsked,
    /// A part, in the transaction's currency.
    Approved(Money),
    Balances(Balances),
}

impl Verdict {
    pub fn code(response_code: ResponseCode) -> Verdict {
        Verdict {
            response_code,
            approval_code: None,
            amounts: AnswerAmounts::AsAsked,
        }
    }
}

/// The verdict that a reply of the loops comes to.
pub fn verdict(map: &DialectMap, reply: &Reply) -> Verdict {
    match reply {
        Reply::Message(Answer::Authorization {
            authorization_id,
            result,
        }) => authorization_verdict(map, *authorization_id, result),
        Reply::Message(Answer::Reversal { result, .. }) => Verdict::code(match result {
            ReversalResult::Accepted => map.reversal_accepted,
            ReversalResult::OriginalUnknown => map.unknown_reversal,
            ReversalResult::Duplicate => map.declined(DeclineReason::DuplicateTransmission),
        }),
        Reply::Message(Answer::Advice { result, .. }) => Verdict::code(match result {
            AdviceResult::Accepted | AdviceResult::Recorded => map.advice_accepted,
            AdviceResult::Duplicate => map.declined(DeclineReason::DuplicateTransmission),
        }),
        Reply::Unavailable(Unavailable::Overloaded) => {
            Verdict::code(map.declined(DeclineReason::Overloaded))
        }
        // Asked for its first answer, and there is none.
        Reply::NotFound => Verdict::code(map.signed_off),
        _ => Verdict::code(map.declined(DeclineReason::InternalError)),
    }
}

fn authorization_verdict(
    map: &DialectMap,
    authorization_id: AuthorizationId,
    result: &AnswerResult,
) -> Verdict {
    let (response_code, approval_code, amounts) = match result {
        AnswerResult::Approved { approval_code, .. } => {
            (map.approved, *approval_code, AnswerAmounts::AsAsked)
        }
        AnswerResult::PartiallyApproved {
            approval_code,
            approved,
        } => {
            let amounts = AnswerAmounts::Approved(*approved);
            (map.partially_approved, *approval_code, amounts)
        }
        AnswerResult::Balances(balances) => {
            let approval_code = ApprovalCode::of(authorization_id);
            let amounts = AnswerAmounts::Balances(*balances);
            (map.approved, approval_code, amounts)
        }
        AnswerResult::Declined(reason) => return Verdict::code(map.declined(*reason)),
        // No shard lets it out.
        AnswerResult::Waiting => return Verdict::code(map.declined(DeclineReason::InternalError)),
    };
    Verdict {
        response_code,
        approval_code: Some(approval_code),
        amounts,
    }
}

/// What is repeated of a message whose class the dialect says nothing about: by these it is known again.
const REPEATED_ALWAYS: &[u8] = &[7, 11, 12, 32, 33, 37, 41];

/// Appends the answer to `request`: the fields that the dialect repeats, DE38 and DE39. False for a
/// message that is never answered.
pub fn encode_answer(
    map: &DialectMap,
    request: &Message,
    verdict: Verdict,
    out: &mut BytesMut,
) -> Result<bool, EncodeError> {
    let Some(mti) = request.mti().response() else {
        return Ok(false);
    };
    let mut encoder = Encoder::new(&map.dialect, out, mti);
    let repeated = match map.dialect.mirrored_fields(mti.class()) {
        [] => REPEATED_ALWAYS,
        fields => fields,
    };
    let mut done = 0;
    let mut own = |field: u8, value: &str| {
        let until = repeated.partition_point(|repeated| *repeated < field);
        encoder.mirror_all(request, &repeated[done..until.max(done)])?;
        done = repeated.partition_point(|repeated| *repeated <= field);
        encoder.text(field, value).map(drop)
    };
    let additional = additional_amounts(request, verdict.amounts);
    if let AnswerAmounts::Approved(approved) = verdict.amounts {
        let approved_minor = approved.amount_minor;
        own(AMOUNT, &format!("{approved_minor:012}"))?;
        if let Some(billed_minor) = billed_minor(request, approved_minor)
            && repeated.contains(&BILLING_AMOUNT)
        {
            own(BILLING_AMOUNT, &format!("{billed_minor:012}"))?;
        }
    }
    if let Some(code) = verdict.approval_code {
        own(APPROVAL_CODE, code.as_str())?;
    }
    own(RESPONSE_CODE, &verdict.response_code)?;
    if let (Some(field), false) = (map.additional_amounts, additional.is_empty()) {
        own(field, &additional)?;
    }
    encoder.mirror_all(request, &repeated[done..])?;
    encoder.finish();
    Ok(true)
}

/// DE6 of a part, at the rate between the request's DE4 and DE6; rounded up, as it was when the account was
/// charged for it.
fn billed_minor(request: &Message, approved_minor: i64) -> Option<u64> {
    let (asked, billed) = (request.digits(AMOUNT)?, request.digits(BILLING_AMOUNT)?);
    let part = u128::from(billed) * approved_minor.unsigned_abs() as u128;
    let asked = u128::from(asked);
    u64::try_from((asked > 0).then(|| part.div_ceil(asked))?).ok()
}

/// What stands for more: an amount of a message has no room for it.
const TWELVE_DIGITS_MAX: u64 = 999_999_999_999;

/// DE54: each amount as account type, amount type, currency, C or D, and twelve digits (ISO 8583:1987, and
/// 1993, data element 54; 57 is what both large networks call the original amount).
fn additional_amounts(request: &Message, amounts: AnswerAmounts) -> ArrayString<120> {
    let mut text = ArrayString::new();
    let mut add = |amount_type: &str, currency: Currency, amount_minor: i64| {
        let sign = if amount_minor < 0 { 'D' } else { 'C' };
        let amount_minor = amount_minor.unsigned_abs().min(TWELVE_DIGITS_MAX);
        let amount = format!("00{amount_type}{:03}{sign}{amount_minor:012}", currency.0);
        // A currency of ours has no number of three digits.
        if amount.len() == 20 {
            text.push_str(&amount);
        }
    };
    match amounts {
        AnswerAmounts::AsAsked => {}
        AnswerAmounts::Approved(approved) => {
            let asked_minor = request.digits(AMOUNT).unwrap_or(0) as i64;
            add("57", approved.currency, asked_minor);
        }
        AnswerAmounts::Balances(balances) => {
            add("01", balances.currency, balances.posted_minor);
            add("02", balances.currency, balances.available_minor);
        }
    }
    text
}

/// Appends a network management request of ours.
///
/// `sent` is the moment of sending in UTC as `YYMMDDhhmmss`; DE7 takes all but the year.
pub fn encode_management_request(
    map: &DialectMap,
    code: &str,
    stan: u32,
    sent: &str,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let dialect = &map.dialect;
    let is_1993 = dialect.version() == 1;
    let mti = if is_1993 {
        Mti::new(1804)
    } else {
        Mti::new(800)
    };
    let mut encoder = Encoder::new(dialect, out, mti);
    encoder.text(7, &sent[2..])?;
    encoder.digits(11, u64::from(stan))?;
    if is_1993 {
        encoder.text(12, sent)?;
    }
    encoder.text(dialect.network_management_field(), code)?;
    encoder.finish();
    Ok(())
}

//! From a decision back to bytes: the answer to a request, and our own network management messages.

use super::dialect_map::{DialectMap, ResponseCode};
use crate::engine::event::{Answer, AnswerResult, ApprovalCode, ReversalResult};
use crate::engine::reason::DeclineReason;
use crate::iso8583::{EncodeError, Encoder, Message, Mti};
use crate::shard::reply::{Reply, Unavailable};
use bytes::BytesMut;

const APPROVAL_CODE: u8 = 38;
const RESPONSE_CODE: u8 = 39;

/// What an answer carries beside the fields that it repeats.
#[derive(Debug, Clone, Copy)]
pub struct Verdict {
    pub response_code: ResponseCode,
    pub approval_code: Option<ApprovalCode>,
}

impl Verdict {
    pub fn code(response_code: ResponseCode) -> Verdict {
        Verdict {
            response_code,
            approval_code: None,
        }
    }
}

/// The verdict that a reply of the loops comes to.
pub fn verdict(map: &DialectMap, reply: &Reply) -> Verdict {
    match reply {
        Reply::Message(Answer::Authorization { result, .. }) => match result {
            AnswerResult::Approved { approval_code, .. } => Verdict {
                response_code: map.approved,
                approval_code: Some(*approval_code),
            },
            AnswerResult::Declined(reason) => Verdict::code(map.declined(*reason)),
        },
        Reply::Message(Answer::Reversal { result, .. }) => Verdict::code(match result {
            ReversalResult::Accepted => map.reversal_accepted,
            ReversalResult::OriginalUnknown => map.unknown_reversal,
            ReversalResult::Duplicate => map.declined(DeclineReason::DuplicateTransmission),
        }),
        Reply::Unavailable(Unavailable::Overloaded) => {
            Verdict::code(map.declined(DeclineReason::Overloaded))
        }
        // Asked for its first answer, and there is none.
        Reply::NotFound => Verdict::code(map.signed_off),
        _ => Verdict::code(map.declined(DeclineReason::InternalError)),
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
    let before = repeated.partition_point(|field| *field < RESPONSE_CODE);
    let behind = repeated.partition_point(|field| *field <= RESPONSE_CODE);
    encoder.mirror_all(request, &repeated[..before])?;
    if let Some(code) = verdict.approval_code {
        encoder.text(APPROVAL_CODE, code.as_str())?;
    }
    encoder.text(RESPONSE_CODE, &verdict.response_code)?;
    encoder.mirror_all(request, &repeated[behind..])?;
    encoder.finish();
    Ok(true)
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

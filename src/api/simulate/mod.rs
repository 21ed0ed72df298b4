//! `/v1/simulate/…`: what a network would send, where the sandbox is on. Each route makes a message, sends it as bytes
//! through the code that serves the network's own connections, and tells what came of it. What a body may say lives
//! in `asked.rs`, which authorization it is about in `about.rs`, what a message is made of in `draft.rs`, its numbers in `numbers.rs`.

mod about;
mod asked;
mod draft;
mod numbers;

use super::body::WriteRequest;
use super::error::{ApiError, ErrorType};
use super::idempotency::{Success, Write, once};
use super::{ApiState, Gate, ask, authorizations, transactions};
use crate::engine::event::{AdviceResult, Answer, AnswerResult, ReversalResult};
use crate::engine::ids::{AuthorizationId, TransactionId};
use crate::engine::reason::DeclineReason;
use crate::network::loopback::{Loopback, LoopbackError, Said};
use crate::network::outgoing::{Outgoing, Unsayable};
use crate::shard::reply::{Reply, Unavailable};
use asked::Asked;
pub use asked::{AMOUNT_MAX_MINOR, TOKEN_PLACES};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use draft::Draft;
use serde_json::{Value, json};
use std::sync::Arc;

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Authorization,
    Increment,
    Advice,
    Reversal,
    Clearing,
    Refund,
    ForcePost,
    BalanceInquiry,
}

pub async fn create(
    State(gate): State<Gate>,
    request: WriteRequest,
    what: What,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    if !state.sandbox {
        let message = "nothing is simulated without the sandbox; set sandbox.enabled = true where no card is anybody's";
        let (status, not_supported) = (StatusCode::NOT_FOUND, ErrorType::NotSupported);
        return Err(ApiError::new(status, not_supported, "sandbox_off", message));
    }
    let work = |write| carry_out(write, what);
    once(state, request, work).await
}

async fn carry_out(write: Write, what: What) -> Result<Success, ApiError> {
    let Write {
        state,
        mut fields,
        mut ids,
        ..
    } = write;
    let asked = Asked::take(&mut fields, what)?;
    fields.finish()?;
    let draft = Draft::of(&state, what, asked, ids.next()).await?;
    let loopback = draft.loopback(&state)?;
    let outgoing = &draft.outgoing;
    let message = outgoing.encode(loopback.map());
    let message = message.map_err(|error| unsayable(loopback, error))?;
    let heard = loopback.ask(&message).await.map_err(unheard)?;
    let said = loopback.read(&heard.body).map_err(unheard)?;
    let mut body = match &heard.reply {
        Some(Reply::Message(answer)) => told(&state, &draft, answer, &said).await?,
        Some(Reply::Unavailable(why)) => return Err(unavailable(*why)),
        Some(reply) => return Err(ask::unexpected(reply)),
        None => return Err(undecided(&said)),
    };
    body["simulated"] = simulated(loopback, outgoing, &heard.reply, &said);
    Ok(Success::created(body))
}

/// The object that came of it.
async fn told(
    state: &Arc<ApiState>,
    draft: &Draft,
    answer: &Answer,
    said: &Said,
) -> Result<Value, ApiError> {
    match answer {
        Answer::Authorization {
            authorization_id,
            result,
        } => match (
            authorizations::current(state, *authorization_id).await,
            result,
        ) {
            // The identity of another message, and no record of its own.
            (Err(error), AnswerResult::Declined(DeclineReason::DuplicateTransmission))
                if error.status == StatusCode::NOT_FOUND =>
            {
                Err(duplicate(said))
            }
            (found, _) => found,
        },
        Answer::Advice {
            result: AdviceResult::Duplicate,
            ..
        }
        | Answer::Reversal {
            result: ReversalResult::Duplicate,
            ..
        } => Err(duplicate(said)),
        Answer::Advice {
            authorization_id, ..
        } => posted_or_recorded(state, *authorization_id).await,
        // It has no record that the interface shows: what it is about tells what came of it.
        Answer::Reversal { .. } => match draft.original_id {
            Some(id) => authorizations::current(state, id).await,
            None => Err(ApiError::internal(&"a reversal without an original")),
        },
    }
}

/// A posting is a transaction under the number of its message; what posts nothing is an authorization.
async fn posted_or_recorded(state: &Arc<ApiState>, id: AuthorizationId) -> Result<Value, ApiError> {
    match transactions::find(state, TransactionId(id.0)).await {
        Ok(row) => transactions::to_json(state, &row).await,
        Err(error) if error.status == StatusCode::NOT_FOUND => {
            authorizations::current(state, id).await
        }
        Err(error) => Err(error),
    }
}

/// How it went on the wire.
fn simulated(
    loopback: &Loopback,
    outgoing: &Outgoing,
    reply: &Option<Reply>,
    said: &Said,
) -> Value {
    let original_unknown = matches!(
        reply,
        Some(Reply::Message(Answer::Reversal {
            result: ReversalResult::OriginalUnknown,
            ..
        }))
    );
    let amounts = said.additional_amounts.iter().map(|(amount_type, money)| {
        json!({
            "type": amount_type.as_str(),
            "amount": money.amount_minor,
            "currency": money.currency.alpha(),
        })
    });
    json!({
        "network": loopback.network(),
        "dialect": loopback.map().dialect.name(),
        "request_mti": format!("{:04}", outgoing.mti(loopback.map())),
        "mti": said.mti,
        "response_code": said.response_code.as_str(),
        "approval_code": said.approval_code.map(|code| code.to_string()),
        "additional_amounts": amounts.collect::<Vec<_>>(),
        "original_unknown": original_unknown,
        "stan": format!("{:06}", outgoing.names.stan),
        "rrn": outgoing.names.rrn.as_str(),
        "sent_at": outgoing.names.sent_at.to_string(),
    })
}

fn unsayable(loopback: &Loopback, error: Unsayable) -> ApiError {
    let network = loopback.network();
    match error {
        Unsayable::Fact { fact, .. } => {
            let message = format!(
                "{error}; network `{network}` speaks it: leave `{fact}` out, or name another network"
            );
            ApiError::invalid("network_cannot_say", fact, message)
        }
        Unsayable::Field { .. } => {
            let message = format!("{error}; network `{network}` speaks it: give a value that fits");
            ApiError::invalid("network_cannot_say", "network", message)
        }
    }
}

fn unheard(error: LoopbackError) -> ApiError {
    match error {
        LoopbackError::Silent { .. } | LoopbackError::Ended { .. } => {
            let message = format!(
                "{error}, so it is not known what came of this: repeat it with the same Idempotency-Key"
            );
            ApiError::unavailable("outcome_unknown", message)
        }
        LoopbackError::SignOn { .. } => {
            ApiError::conflict("sign_on_declined", error.to_string()).with_param("network")
        }
        LoopbackError::Frame { .. } | LoopbackError::Unreadable { .. } => {
            ApiError::internal(&error)
        }
    }
}

fn unavailable(why: Unavailable) -> ApiError {
    let message = match why {
        Unavailable::Overloaded => "too much is waiting to be decided; repeat this in a second",
        Unavailable::DiskFull => {
            "the journal has no room for its next file (as a rule the disk is full, and the log has the cause) and takes reversals \
             only; free space, then repeat this"
        }
    };
    ApiError::unavailable("not_decided", message)
}

/// An answer that no decision stands behind: nothing was journalled.
fn undecided(said: &Said) -> ApiError {
    let message = format!(
        "the network got {} with DE39 {}, and nothing was decided; docs/dialects.md says which messages are not",
        said.mti, said.response_code
    );
    ApiError::conflict("not_decided", message)
}

fn duplicate(said: &Said) -> ApiError {
    let message = format!(
        "the network got {} with DE39 {}: a message with these numbers came before, about something else; leave `stan`, `rrn` and `sent_at` out",
        said.mti, said.response_code
    );
    ApiError::conflict("duplicate_transmission", message)
}

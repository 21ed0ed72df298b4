//! What goes back to who asked, and is kept for repeats. What came of a command in full lives in `event.rs`.

use super::event::{ApprovalCode, Balances};
use super::ids::{AuthorizationId, ReversalId};
use super::money::Money;
use super::reason::DeclineReason;
use serde::{Deserialize, Serialize};

/// What a network or an API caller gets to know of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Authorization {
        authorization_id: AuthorizationId,
        result: AnswerResult,
    },
    Reversal {
        reversal_id: ReversalId,
        result: ReversalResult,
    },
    Advice {
        authorization_id: AuthorizationId,
        result: AdviceResult,
    },
}

impl Answer {
    pub fn is_approval_of(&self, id: AuthorizationId) -> bool {
        matches!(self, Answer::Authorization { authorization_id, .. } if *authorization_id == id)
            && self.is_approval()
    }

    pub fn declined(&self) -> Option<DeclineReason> {
        match self {
            Answer::Authorization {
                result: AnswerResult::Declined(reason),
                ..
            } => Some(*reason),
            _ => None,
        }
    }

    /// What was approved, where that is less than what was asked.
    pub fn approved_part(&self) -> Option<Money> {
        match self {
            Answer::Authorization {
                result: AnswerResult::PartiallyApproved { approved, .. },
                ..
            } => Some(*approved),
            _ => None,
        }
    }

    /// The authorization that this is no answer to yet.
    pub fn waits_for(&self) -> Option<AuthorizationId> {
        match self {
            Answer::Authorization {
                authorization_id,
                result: AnswerResult::Waiting,
            } => Some(*authorization_id),
            _ => None,
        }
    }

    /// Whether money may move because of it, or would have.
    pub fn is_approval(&self) -> bool {
        match self {
            Answer::Authorization { result, .. } => {
                !matches!(result, AnswerResult::Declined(_) | AnswerResult::Waiting)
            }
            Answer::Reversal { .. } | Answer::Advice { .. } => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdviceResult {
    /// Money is held or posted by it.
    Accepted,
    /// Taken note of.
    Recorded,
    Duplicate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnswerResult {
    Approved {
        approval_code: ApprovalCode,
        available_minor: i64,
    },
    Declined(DeclineReason),
    PartiallyApproved {
        approval_code: ApprovalCode,
        /// In the transaction's currency; the account's where the message names none.
        approved: Money,
    },
    /// Of an approved balance inquiry.
    Balances(Balances),
    /// None yet: the customer is being asked.
    Waiting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReversalResult {
    Accepted,
    OriginalUnknown,
    Duplicate,
}

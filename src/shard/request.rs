//! What a shard or the registry may be asked, and the batches in which it is asked.

use super::reply::ReplySink;
use crate::engine::audit::Requester;
use crate::engine::command::Action;
use crate::engine::exceptions_page::ExceptionFilter;
use crate::engine::ids::{
    AccountId, ApprovalId, CardBatchId, CardId, CardholderId, ExceptionId, ProgramId, RiskRuleId,
    TokenId, WebhookEndpointId,
};
use crate::engine::registry::{RegistryAction, RegistryView};
use crate::engine::spend::SpendOf;
use crate::engine::top_ups::StatedReference;
use std::sync::Arc;
use std::time::Instant;

/// Names a request among those of one sink; the answer carries it back.
pub type Token = u32;

#[derive(Debug)]
pub enum ShardRequest {
    Command {
        root: AccountId,
        action: Action,
    },
    /// What an earlier message of the same identity was answered; nothing is decided.
    FirstAnswer {
        root: AccountId,
        action: Action,
    },
    Account(AccountId),
    Card(CardId),
    /// A card that draws on the account, first or later, and is not this one; or an account below it.
    UsedBy(AccountId, CardId),
    Token(TokenId),
    /// What is used of limits.
    Spend(SpendOf),
    /// What a command would come to now: `Done`, what it was about where it was done before, or a refusal.
    Outlook {
        root: AccountId,
        action: Action,
    },
}

impl ShardRequest {
    pub fn is_authorization(&self) -> bool {
        matches!(
            self,
            ShardRequest::Command {
                action: Action::Authorize(_),
                ..
            }
        )
    }
}

#[derive(Debug)]
pub enum RegistryRequest {
    Command(RegistryAction),
    /// As a shard's.
    FirstAnswer(RegistryAction),
    Card(CardId),
    /// The number of a token, sealed.
    Token(TokenId),
    Program(ProgramId),
    RiskRule(RiskRuleId),
    /// What shards decide by, as it is now.
    View,
    Cardholder(CardholderId),
    /// The linked objects of this type and id, one of each program that has it.
    Links {
        link_type: Box<str>,
        id: Box<str>,
    },
    Exception(ExceptionId),
    ExceptionsPage(Box<ExceptionFilter>),
    /// One, or all of them.
    Approvals(Option<ApprovalId>),
    WebhookProgress(WebhookEndpointId),
    CardBatch(CardBatchId),
    CardBatches,
    /// As many as `limit` from this row on, or of those that stand so.
    CardBatchRows {
        id: CardBatchId,
        from: u32,
        status: Option<Box<str>>,
        limit: usize,
    },
    /// What is to be issued next.
    CardBatchPortion,
    /// What is there of a batch that is still being taken in.
    CardBatchTakenIn(CardBatchId),
    /// The top-ups that this external reference is of, by their methods, `REFERENCED_MAX` at most.
    Reference(StatedReference),
}

/// Of the top-ups of one reference, those that are told: who asks looks at each of them.
pub const REFERENCED_MAX: usize = 100;

/// All requests of one read, on their way to one queue.
pub struct Batch<Request> {
    pub items: Vec<(Token, Request)>,
    pub reply_to: Arc<dyn ReplySink>,
    /// When an answer is of no use any more: a request that is not decided by then is not decided.
    pub deadline: Option<Instant>,
    /// Who asks over the interface; it stands in the records that come of it.
    pub requester: Option<Arc<Requester>>,
}

/// What travels in a shard's queue.
pub enum ShardMessage {
    Batch(Batch<ShardRequest>),
    /// A new version of the registry, in its place among the commands.
    Adopt(Arc<RegistryView>),
    Stop,
}

/// What travels in the registry's queue.
pub enum RegistryMessage {
    Batch(Batch<RegistryRequest>),
    Stop,
}

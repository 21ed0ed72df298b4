//! Answers of shards and registry, and how they get back to whoever asked.

use super::request::Token;
use crate::engine::approvals::Approval;
use crate::engine::card_batches::{BatchPortion, BatchProgress, RowResult};
use crate::engine::cardholders::KnownCardholder;
use crate::engine::command::Authorize;
use crate::engine::decision_endpoints::DecisionEndpoint;
use crate::engine::event::{Answer, Refusal};
use crate::engine::exceptions_page::{ExceptionsPage, KnownException};
use crate::engine::ids::{AccountId, AuthorizationId};
use crate::engine::links::KnownLink;
use crate::engine::money::Currency;
use crate::engine::registry::{
    IdempotencyEntry, IssuedCard, LinkKey, Program, RegistryRefusal, RegistryView,
};
use crate::engine::risk::rule::RiskRule;
use crate::engine::spend::Spent;
use crate::engine::state::{Account, Card};
use crate::engine::time::Timestamp;
use crate::engine::token_numbers::TokenNumber;
use crate::engine::tokens::Token as WalletToken;
use crate::engine::top_ups::Referenced;
use crate::engine::transfers::KnownTransfer;
use crate::engine::webhook_endpoints::WebhookProgress;
use crate::journal::Release;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub enum Reply {
    /// The decision on a network's message, or the first answer to a repeat of it.
    Message(Answer),
    /// Could not decide: the queue is full or the disk nearly so. Never a policy "no".
    Unavailable(Unavailable),
    Account(Box<Account>),
    Card(Box<Card>),
    /// As of this moment.
    Spend(Timestamp, Vec<Spent>),
    Done,
    Refused(Refusal),
    RegistryRefused(RegistryRefusal),
    IssuedCard(Box<(IssuedCard, Vec<LinkKey>)>),
    Program(Arc<Program>),
    RiskRule(Box<RiskRule>),
    View(Arc<RegistryView>),
    IdempotencyKnown(Box<IdempotencyEntry>),
    NotFound,
    Cardholder(Box<KnownCardholder>),
    Links(Vec<KnownLink>),
    /// One, or none where there is none of the id.
    Exception(Option<Box<KnownException>>),
    ExceptionsPage(ExceptionsPage),
    /// In the order of their ids.
    Approvals(Vec<Arc<Approval>>),
    /// For the one who asks customers: an authorization that waits.
    DecisionCall(Box<DecisionCall>),
    /// Nothing, where nothing was noted yet.
    WebhookProgress(Option<Box<WebhookProgress>>),
    /// Newest first.
    CardBatches(Vec<BatchProgress>),
    CardBatchRows(Vec<(u32, RowResult)>),
    CardBatchPortion(Option<Box<BatchPortion>>),
    Transfer(Box<KnownTransfer>),
    /// Each with its method.
    References(Vec<Referenced>),
    Token(Box<WalletToken>),
    TokenNumber(Box<TokenNumber>),
}

impl Reply {
    /// The authorization that this is no answer to yet.
    pub fn waits_for(&self) -> Option<AuthorizationId> {
        match self {
            Reply::Message(answer) => answer.waits_for(),
            _ => None,
        }
    }
}

/// What a customer is asked: whether this may be approved.
#[derive(Debug, Clone)]
pub struct DecisionCall {
    pub endpoint: Arc<DecisionEndpoint>,
    pub root: AccountId,
    pub account_id: AccountId,
    pub payment: Authorize,
    /// Held for it, and what is available beside that, in minor units of the account's currency.
    pub amount_minor: i64,
    pub available_minor: i64,
    pub currency: Currency,
    pub decided_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    Overloaded,
    DiskFull,
}

/// Answers to requests of one sink, each with its token.
pub type Replies = Vec<(Token, Reply)>;

/// Where the answers of a batch go. Called on the journal's thread, so it must not wait.
pub trait ReplySink: Send + Sync {
    fn deliver(&self, replies: Replies);
}

/// The answers of one turn of a loop, held back until what they rest on is durable.
#[derive(Default)]
pub struct HeldReplies(pub Vec<(Arc<dyn ReplySink>, Replies)>);

impl Release for HeldReplies {
    fn release(self: Box<Self>, _durable: u64) {
        for (sink, replies) in self.0 {
            sink.deliver(replies);
        }
    }
}

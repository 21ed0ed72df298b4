//! The registry: programs, issued cards, links, settings, idempotency keys, and messages for cards
//! that nobody issued. One writer; its changes reach the shards as a numbered view.
//! Money does not live here.

use super::api_keys::{API_KEYS_MAX, API_KEYS_OF_TENANT_MAX, ApiKey, ApiKeyState, ApiKeys};
use super::approvals::{
    APPROVALS_PENDING_MAX, APPROVALS_PENDING_OF_FAMILY_MAX, Approval, ApprovalPlace, ApprovalState,
    Approvals, ChangeApproval,
};
use super::audit::AuditEntry;
use super::card_batches::{
    BatchChange, BatchState, CARD_BATCHES_UNFINISHED_MAX, CARD_BATCHES_UNFINISHED_OF_TENANT_MAX,
    CardBatches,
};
use super::cardholders::{Cardholder, ChangeCardholder, Holder, KnownCardholder, SetCardholder};
use super::command::{Advise, Authorize, Reverse};
use super::decision_endpoints::{DecisionEndpoint, DecisionEndpoints};
pub use super::engine_settings::EngineSettings;
use super::event::{Advised, Answer, Authorized, Reversed};
use super::exceptions::{
    ChangeException, ControlException, EXCEPTIONS_MAX, EXCEPTIONS_OF_TENANT_MAX, ExceptionState,
    LiveExceptions,
};
use super::facts::RepeatKey;
use super::failed_references::FailReference;
use super::fees::schedule::{FeeSchedules, FeesRefusal, PutFeeSchedule};
use super::first_answer::FirstAnswer;
use super::groups::{Groups, MccGroup, SharedMerchantList};
use super::idempotency::IdempotencyKeys;
pub use super::idempotency::{IdempotencyEntry, IdempotencyKey, IdempotentRequest};
use super::ids::{
    AccountId, ApiKeyId, ApprovalId, CardBatchId, CardId, CardholderId, DecisionEndpointId,
    ExceptionId, LimitId, LinkId, ProgramId, RiskRuleId, TopUpId, WebhookEndpointId,
};
use super::issued_cards::IssuedCards;
pub use super::issued_cards::{IssueCard, IssuedCard, SealedPan};
use super::kept_text::KeptText;
use super::known_exceptions::KnownExceptions;
use super::link_states::{ChangeLinkStatus, LinkStates, TellCardsOfLink};
use super::links::{
    CARDS_OF_LINK_MAX, LINKS_WITH_CONTROLS_MAX, LINKS_WITH_CONTROLS_OF_TENANT_MAX, LinkControls,
    LinkFacts, SetLinkControls,
};
pub use super::programs::Program;
use super::programs::{Bin, ChangeProgram};
use super::rates::{ExchangeRate, Rates, RatesError};
use super::recent::Recent;
use super::reissue::{CARDS_OF_CHAIN_MAX, ReissueCard, RenewCard};
use super::risk::compile::ExpressionError;
use super::risk::rule::{RiskRule, RiskRules, RuleChange, RuleState};
use super::shares::Full;
use super::time::Timestamp;
use super::token_numbers::{RequestToken, TOKENS_OF_CARD_MAX, TokenNumbers};
use super::top_ups::{References, ReserveReference};
use super::webhook_endpoints::{
    MoveWebhook, NoteWebhookProgress, WEBHOOK_ENDPOINTS_MAX, WEBHOOK_ENDPOINTS_OF_TENANT_MAX,
    WebhookEndpoint, WebhookEndpoints, WebhookProgress, WebhookState,
};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What shards decide by. A new version whenever any of it changes.
#[derive(Debug, Clone, Default)]
pub struct RegistryView {
    pub version: u64,
    pub settings: EngineSettings,
    pub programs: HashMap<ProgramId, Arc<Program>>,
    pub rates: Arc<Rates>,
    pub risk_rules: RiskRules,
    pub groups: Groups,
    /// Controls of linked objects.
    pub links: LinkControls,
    pub exceptions: LiveExceptions,
    pub decision_endpoints: DecisionEndpoints,
    pub api_keys: ApiKeys,
    pub link_states: LinkStates,
    pub webhook_endpoints: WebhookEndpoints,
    pub fee_schedules: FeeSchedules,
}

/// An object of the customer's product that cards belong to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkKey {
    pub program_id: ProgramId,
    pub link_type: Box<str>,
    pub id: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryCommand {
    pub at: Timestamp,
    pub action: RegistryAction,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistryAction {
    ChangeSettings(Box<EngineSettings>),
    CreateProgram(Box<Program>),
    IssueCard(Box<IssueCard>),
    /// A message for a card that nobody issued; `bin_known` says whether a program has its BIN.
    AuthorizeUnknownCard {
        authorize: Authorize,
        bin_known: bool,
    },
    ReverseUnknownCard(Reverse),
    /// Before a card number leaves to somebody who asked for it.
    RevealCard(Box<RevealCard>),
    BeginIdempotent(IdempotentRequest),
    CompleteIdempotent {
        key: IdempotencyKey,
        status: u16,
        body: KeptText,
    },
    AdviseUnknownCard(Box<Advise>),
    /// A whole new table in place of the one before.
    SetExchangeRates(Box<SetExchangeRates>),
    CreateRiskRule(Box<RiskRule>),
    ChangeRiskRule {
        rule_id: RiskRuleId,
        change: RuleChange,
    },
    CreateMccGroup(Box<MccGroup>),
    /// As a whole.
    ChangeMccGroup(Box<MccGroup>),
    CreateMerchantList(Box<SharedMerchantList>),
    /// As a whole.
    ChangeMerchantList(Box<SharedMerchantList>),
    CreateCardholder(Box<Cardholder>),
    VerifyCardholder(CardholderId),
    SetLinkControls(Box<SetLinkControls>),
    RequestException(Box<ControlException>),
    ChangeException(Box<ChangeException>),
    /// Creates it, or changes it as a whole.
    PutDecisionEndpoint(Box<DecisionEndpoint>),
    CreateApiKey(Box<ApiKey>),
    /// From this moment on.
    RevokeApiKey {
        id: ApiKeyId,
        at: Timestamp,
        /// All that were made with it too, however far down.
        children: bool,
    },
    /// What a caller of the interface has changed.
    Audit(Box<AuditEntry>),
    ChangeLinkStatus(Box<ChangeLinkStatus>),
    /// Creates it, or changes it as a whole.
    PutWebhookEndpoint(Box<WebhookEndpoint>),
    DeleteWebhookEndpoint(WebhookEndpointId),
    /// By us, with the reason as its state.
    DisableWebhookEndpoint {
        id: WebhookEndpointId,
        state: WebhookState,
    },
    NoteWebhookProgress(Box<NoteWebhookProgress>),
    MoveWebhook(MoveWebhook),
    ReissueCard(Box<ReissueCard>),
    RenewCard(RenewCard),
    ChangeCardBatch(Box<BatchChange>),
    /// For a top-up that the shard is asked for next.
    ReserveReference(Box<ReserveReference>),
    /// Creates it, or changes it as a whole.
    PutFeeSchedule(Box<PutFeeSchedule>),
    ChangeProgram(Box<ChangeProgram>),
    RequestToken(Box<RequestToken>),
    RequestApproval(Box<Approval>),
    ChangeApproval(Box<ChangeApproval>),
    FailReference(Box<FailReference>),
    TellCardsOfLink(TellCardsOfLink),
    /// Its time is over.
    ExpireException(ExceptionId),
    ChangeCardholder(Box<ChangeCardholder>),
    /// Of a card that was issued.
    SetCardholder(SetCardholder),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetExchangeRates {
    /// Where the rates come from.
    pub source: Box<str>,
    pub rates: Vec<ExchangeRate>,
}

/// Who gets to see a card number, and why. The number is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevealCard {
    pub card_id: CardId,
    pub reason: Box<str>,
    /// The API key that asked: its id, or `root`.
    pub api_key_id: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistryEvent {
    SettingsChanged {
        version: u64,
    },
    ProgramCreated {
        version: u64,
    },
    /// The links of the card, numbered; new ones become known with it.
    CardIssued {
        links: SmallVec<[LinkId; 2]>,
        holder: Option<Holder>,
    },
    Authorized(Authorized),
    Reversed(Reversed),
    CardRevealed,
    IdempotentBegun,
    IdempotentCompleted,
    Advised(Box<Advised>),
    ExchangeRatesSet {
        version: u64,
    },
    RiskRuleCreated {
        version: u64,
    },
    RiskRuleChanged {
        version: u64,
        from: RuleState,
        to: RuleState,
        program_id: ProgramId,
    },
    GroupsChanged {
        version: u64,
    },
    CardholderCreated,
    CardholderVerified {
        holder: Holder,
        /// Those that have to hear of it, with their trees.
        cards: SmallVec<[(CardId, AccountId); 1]>,
    },
    LinkControlsSet {
        version: u64,
        /// Its number, a new one where it was not known.
        link: LinkId,
    },
    ExceptionRequested {
        link: Option<LinkKey>,
    },
    ExceptionChanged {
        version: u64,
        to: ExceptionState,
        subject: super::exceptions::Subject,
        link: Option<LinkKey>,
        /// The exception as it was.
        of: Box<ControlException>,
    },
    DecisionEndpointPut {
        version: u64,
    },
    ApiKeyChanged {
        version: u64,
    },
    Audited,
    LinkStatusChanged {
        version: u64,
        /// Its number, a new one where it was not known.
        link: LinkId,
    },
    WebhookEndpointPut {
        version: u64,
    },
    WebhookEndpointDeleted {
        version: u64,
    },
    WebhookEndpointDisabled {
        version: u64,
        state: WebhookState,
    },
    WebhookProgressNoted,
    WebhookMoved {
        version: u64,
    },
    CardRenewed {
        /// The tree that has to hear of it.
        root: AccountId,
    },
    CardBatchChanged,
    ReferenceReserved,
    FeeSchedulePut {
        version: u64,
        /// Of the schedule.
        schedule_version: u32,
    },
    ProgramChanged {
        version: u64,
    },
    TokenRequested,
    ApprovalChanged {
        to: ApprovalState,
        place: Box<ApprovalPlace>,
    },
    ReferenceFailed,
    CardsOfLinkTold,
    ExceptionExpired {
        link: Option<LinkKey>,
        /// The exception as it was.
        of: Box<ControlException>,
    },
    CardholderChanged {
        holder: Holder,
        /// Those that have to hear of it, with their trees.
        cards: SmallVec<[(CardId, AccountId); 1]>,
    },
    CardholderSet {
        /// The tree of the card, which has to hear of it.
        root: AccountId,
        holder: Holder,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryOutcome {
    Event(RegistryEvent),
    /// A repeat of a message: its first answer.
    FirstAnswer(Answer),
    /// The key is in use: what it stands for.
    Known(IdempotencyEntry),
    /// It is as the command wants it. Nothing changes.
    AlreadyDone,
    Refused(RegistryRefusal),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryRefusal {
    #[error("the id of this object is taken by another one")]
    IdTaken,
    #[error("this card number is issued already")]
    PanTaken,
    #[error("two limits of these controls have the id {0}; give each its own")]
    LimitIdTwice(LimitId),
    #[error("program {0} does not exist")]
    ProgramNotFound(ProgramId),
    #[error("card {0} does not exist")]
    CardNotFound(CardId),
    #[error(transparent)]
    ExchangeRates(#[from] RatesError),
    #[error("a mark-up is 10,000 basis points (100 %) at most")]
    MarkUpTooHigh,
    #[error("{0}")]
    RuleInvalid(ExpressionError),
    #[error("rule {0} does not exist")]
    RuleNotFound(RiskRuleId),
    #[error("rule {0} is retired, for good; create it anew")]
    RuleRetired(RiskRuleId),
    #[error("a program may have {0} rules that are draft or active; retire one first")]
    TooManyRulesOfProgram(usize),
    #[error("there may be {0} rules, retired ones among them, and there are")]
    TooManyRules(usize),
    #[error(
        "there are {GROUPS_MAX} of these already, and none goes away; change one that is not used"
    )]
    TooManyGroups,
    #[error("nothing has this id, so it cannot be changed")]
    GroupNotFound,
    #[error("cardholder {0} does not exist")]
    CardholderNotFound(CardholderId),
    #[error("cardholder {0} belongs to another program than the card")]
    CardholderOfOtherProgram(CardholderId),
    #[error("the card has got another cardholder meanwhile")]
    CardholderReplaced,
    #[error("cardholder {0} is verified already")]
    AlreadyVerified(CardholderId),
    #[error(
        "the {link_type} `{id}` has limits, which the cards of one account tree share; a card of another tree cannot be linked to it"
    )]
    LinkOfOtherTree { link_type: Box<str>, id: Box<str> },
    #[error(
        "cards of several account trees are linked to this object, so it cannot have limits; give them to the accounts"
    )]
    LinkOfSeveralTrees,
    #[error("limit {0} is one of another linked object; give this one an id of its own, or none")]
    LimitOfOtherLink(LimitId),
    #[error(
        "{LINKS_WITH_CONTROLS_MAX} linked objects may have controls, {LINKS_WITH_CONTROLS_OF_TENANT_MAX} by one tenant, and have; \
         take those of one away (`\"controls\": {{}}`), which makes room at once"
    )]
    TooManyLinksWithControls,
    #[error("exception {0} does not exist")]
    ExceptionNotFound(ExceptionId),
    #[error("the exception is {}, which forbids this", .0.name())]
    ExceptionStateForbids(ExceptionState),
    #[error("the time of the exception is over before it begins; ask for another one")]
    ExceptionOver,
    #[error(
        "whoever asked cannot approve, nor a key of the same family (made or rolled with it, or both with a third); have \
         somebody else do so"
    )]
    ApproverIsRequester,
    #[error(
        "there may be {EXCEPTIONS_MAX} exceptions, {EXCEPTIONS_OF_TENANT_MAX} of one tenant, and there are; those that are over are forgotten in time"
    )]
    TooManyExceptions,
    #[error("the program has decision endpoint {0} already; change that one")]
    DecisionEndpointTaken(DecisionEndpointId),
    #[error(
        "there may be {API_KEYS_MAX} API keys made with the root key, half as many made with other keys, and of these {API_KEYS_OF_TENANT_MAX} of one tenant or made with one key; there are. Those that ended are forgotten in time"
    )]
    TooManyApiKeys,
    #[error("the {link_type} `{id}` is closed, for good")]
    LinkClosed { link_type: Box<str>, id: Box<str> },
    #[error("API key {0} does not exist")]
    ApiKeyNotFound(ApiKeyId),
    #[error("webhook endpoint {0} does not exist")]
    WebhookEndpointNotFound(WebhookEndpointId),
    #[error(
        "there may be {WEBHOOK_ENDPOINTS_MAX} webhook endpoints, {WEBHOOK_ENDPOINTS_OF_TENANT_MAX} of one tenant, and there are; delete one"
    )]
    TooManyWebhookEndpoints,
    #[error("too many deliveries to this endpoint wait already; replay from an earlier event")]
    TooManyDeliveriesWait,
    #[error("the card was replaced by {0} already")]
    CardReplaced(CardId),
    #[error("card batch {0} does not exist")]
    CardBatchNotFound(CardBatchId),
    #[error(
        "{CARD_BATCHES_UNFINISHED_MAX} card batches may be under way, {CARD_BATCHES_UNFINISHED_OF_TENANT_MAX} of one tenant, and are; wait for one, or cancel it"
    )]
    TooManyCardBatches,
    #[error("the card batch is {} already", .0.name())]
    CardBatchStateForbids(BatchState),
    #[error(
        "this external reference is that of top-up {0}; each is used once for a method and an account tree"
    )]
    ReferenceTaken(TopUpId),
    #[error(transparent)]
    Fees(FeesRefusal),
    #[error("cards of BIN {0} may have been issued; a BIN of a program is not taken away")]
    BinRemoved(Bin),
    #[error("this number is that of a card or of another token already")]
    TokenNumberTaken,
    #[error("{TOKENS_OF_CARD_MAX} tokens were asked for with this card and those that it replaced")]
    TooManyTokens,
    #[error("approval {0} does not exist")]
    ApprovalNotFound(ApprovalId),
    #[error("the approval is {} already", .0.name())]
    ApprovalStateForbids(ApprovalState),
    #[error(
        "the API key that asked for this was revoked or has expired; reject it, and have it asked for anew"
    )]
    RequesterRevoked,
    #[error("only who asked cancels; reject it")]
    CancelledByOther,
    #[error(
        "{APPROVALS_PENDING_MAX} writes may wait for approval, {APPROVALS_PENDING_OF_FAMILY_MAX} of one tenant or family of keys, and do"
    )]
    TooManyApprovals,
    #[error("an API key that is {} is not rolled; make a new one", .0.name())]
    ApiKeyNotActive(ApiKeyState),
    #[error("there is no room for another Idempotency-Key until some of them are over")]
    IdempotencyKeysFull(Full),
    #[error("{CARDS_OF_CHAIN_MAX} cards replaced one another; issue a new one, and close this")]
    TooManyReissues,
    #[error("{CARDS_OF_LINK_MAX} cards are linked to this object; link further ones to another")]
    TooManyCardsOfLink,
}

/// MCC groups, and as many merchant lists: each change copies the table of them.
pub const GROUPS_MAX: usize = 1_000;

/// The registry's own state.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    pub view: Arc<RegistryView>,
    pub now: Timestamp,
    pub issued_cards: IssuedCards,
    pub link_ids: HashMap<LinkKey, LinkId>,
    pub link_keys: Vec<LinkKey>,
    pub idempotency: IdempotencyKeys,
    pub first_answers: Recent<RepeatKey, FirstAnswer>,
    pub cardholders: HashMap<CardholderId, KnownCardholder>,
    pub link_facts: LinkFacts,
    pub exceptions: KnownExceptions,
    pub card_batches: CardBatches,
    pub webhook_progress: BTreeMap<WebhookEndpointId, WebhookProgress>,
    /// External references of top-ups.
    pub references: References,
    pub token_numbers: TokenNumbers,
    pub approvals: Approvals,
}

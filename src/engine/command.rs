//! What a shard is asked to do, with every fact that it needs to decide. Who asked, over which
//! wire, does not live here.

use super::authorizations::Authorization;
use super::card_expiry::ExpireCard;
use super::cardholders::Holder;
use super::controls::Controls;
use super::event::ApprovalCode;
use super::facts::{
    Amounts, Channel, EntryMode, Kind, MatchKeys, Merchant, NamedToken, NetworkReference,
    RepeatKey, Verification,
};
use super::fees::monthly::ChargeMonthlyFee;
use super::first_answer::FirstAnswer;
use super::ids::{
    AccountId, ApiKeyId, AuthorizationId, CardId, LinkId, ProgramId, ReversalId, TopUpId,
};
use super::money::{Currency, Money};
use super::reissue::{RenewCard, ReplaceCard};
use super::shipping::{ChangeShipping, ShippingOrder};
use super::three_ds::ThreeDs;
use super::time::{Expiry, Timestamp};
use super::tokens::{ChangeTokenStatus, OpenToken};
use super::top_ups::EndTopUp;
use super::transfers::{EndTransfer, ReceiveTransfer, Transfer};
use super::verification_tries::ResetVerificationTries;
use super::wallet::Wallet;
use super::watch::{AutoTopUp, ChangeAccount, NoteLowBalance};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// A command to the shard that owns the account tree `root`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The root account of the tree, which chooses the shard.
    pub root: AccountId,
    /// The shard's clock when it took the command; never goes back within a shard.
    pub at: Timestamp,
    pub action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    Authorize(Authorize),
    Reverse(Reverse),
    OpenAccount(Box<OpenAccount>),
    ChangeAccountStatus(ChangeAccountStatus),
    TopUp(Box<TopUp>),
    OpenCard(Box<OpenCard>),
    ChangeCardStatus(ChangeCardStatus),
    ChangeCardControls(Box<ChangeCardControls>),
    ReleaseHold(ReleaseHold),
    Advise(Advise),
    /// The registry knows something new of who holds a card.
    ChangeCardHolder(ChangeCardHolder),
    /// The answer to this request was an approval, and came too late for its network.
    Withhold(Box<Withhold>),
    Resolve(Resolve),
    Recall(Box<Recall>),
    /// A card that the registry issued in place of another one.
    ReplaceCard(Box<ReplaceCard>),
    RenewCard(RenewCard),
    Transfer(Box<Transfer>),
    /// The second step of a transfer between trees.
    ReceiveTransfer(Box<ReceiveTransfer>),
    /// And the last.
    EndTransfer(Box<EndTransfer>),
    /// Money that is to arrive.
    AnnounceTopUp(Box<TopUp>),
    EndTopUp(Box<EndTopUp>),
    ChangeAccount(Box<ChangeAccount>),
    /// These two follow from the state of an account that is watched.
    NoteLowBalance(NoteLowBalance),
    AutoTopUp(AutoTopUp),
    /// So does this, from the time and what a card was charged before.
    ChargeMonthlyFee(ChargeMonthlyFee),
    /// A token that the registry knows the number of.
    OpenToken(Box<OpenToken>),
    ChangeTokenStatus(ChangeTokenStatus),
    ChangeShipping(Box<ChangeShipping>),
    /// Follows from the time, as a month ends.
    ExpireCard(ExpireCard),
    ResetVerificationTries(ResetVerificationTries),
}

/// A request to reserve money (1987: 0100, 0101), or to take it at once (0200, 0201).
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorize {
    pub authorization_id: AuthorizationId,
    pub card_id: CardId,
    pub kind: Kind,
    pub amounts: Amounts,
    pub merchant: Merchant,
    pub entry_mode: EntryMode,
    pub channel: Channel,
    pub verification: Verification,
    /// The terminal can take less than it asked for.
    pub partial_approval_supported: bool,
    pub reference: NetworkReference,
    pub repeat_key: RepeatKey,
    /// How a reversal, an increment or a completion may name this authorization.
    pub match_keys: MatchKeys,
    /// A single message: what is approved is posted at once.
    pub posts: bool,
    /// How an increment names the authorization that it adds to, and a refund its purchase.
    pub original_keys: MatchKeys,
    pub three_ds: ThreeDs,
    /// Without the cardholder, on an agreement made before.
    pub initiated_by_merchant: bool,
    /// The message says that it came before (1987: 0101, 0121, 0201, 0221).
    pub is_marked_repeat: bool,
    pub token: NamedToken,
}

/// What was decided or done already, without asking us (1987: 0120, 0121, 0220, 0221).
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advise {
    /// What it says of the payment. Its `original_keys` lead to the authorization that it is about; its
    /// id becomes that of a new authorization, where it is about none that is known.
    pub payment: Authorize,
    /// The network declined in our place.
    pub was_declined: bool,
    /// Nothing more will follow of the same authorization.
    pub is_final: bool,
    /// DE38, as the network or an earlier answer of ours gave it.
    pub approval_code: Option<ApprovalCode>,
}

/// A request to undo an authorization or what was posted for it, whole or in part (1987: 0400, 0401, 0420, 0421).
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reverse {
    pub reversal_id: ReversalId,
    pub card_id: CardId,
    pub amount: Money,
    pub reference: NetworkReference,
    pub repeat_key: RepeatKey,
    /// How the message names its original.
    pub original_keys: MatchKeys,
    /// What is to stay of it, in the transaction's currency; nothing, where the whole is reversed.
    pub stays: Option<Money>,
    /// The message says that it came before (1987: 0401, 0421).
    pub is_marked_repeat: bool,
    pub token: NamedToken,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAccount {
    pub account_id: AccountId,
    /// The account that this one is a sub-account of, in the same tree.
    pub parent_id: Option<AccountId>,
    pub program_id: ProgramId,
    pub currency: Currency,
    pub name: Option<Box<str>>,
    pub controls: Controls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountStatusChange {
    Freeze,
    Unfreeze,
    /// For good.
    Close,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeAccountStatus {
    pub account_id: AccountId,
    pub change: AccountStatusChange,
}

/// Money that arrived for an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopUp {
    pub top_up_id: TopUpId,
    pub account_id: AccountId,
    pub amount: Money,
    pub method: Box<str>,
    pub external_reference: Option<Box<str>>,
    /// Whose share it takes of while it is pending.
    pub tenant: Option<ApiKeyId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CardType {
    Virtual,
    Physical,
}

/// The card as the registry issued it; what the shard needs of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCard {
    pub card_id: CardId,
    pub account_id: AccountId,
    pub card_type: CardType,
    pub first6: u32,
    pub last4: u16,
    pub expiry: Expiry,
    pub links: SmallVec<[LinkId; 2]>,
    pub controls: Controls,
    /// Further accounts to draw on.
    pub wallet: Option<Box<Wallet>>,
    pub holder: Option<Holder>,
    /// Who pays for the card, where that is not its account.
    pub paid_by: Option<AccountId>,
    /// Of a physical one that is to be made and sent.
    pub shipping: Option<Box<ShippingOrder>>,
    /// By the registry: the card is as old as that, wherever it is told.
    pub issued_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StatusChange {
    Activate,
    Freeze,
    Unfreeze,
    Close,
    /// For good, by the issuer; only closing comes after it, or another reason.
    Block,
    BlockLost,
    BlockStolen,
    BlockFraud,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCardStatus {
    pub card_id: CardId,
    pub change: StatusChange,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCardControls {
    pub card_id: CardId,
    pub controls: Controls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCardHolder {
    pub card_id: CardId,
    pub holder: Holder,
    /// The card gets this one, whoever held it. Else it hears what is new of it only where it has it still.
    pub is_set: bool,
}

/// What came of asking the customer about an authorization that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolve {
    pub authorization_id: AuthorizationId,
    pub says: CustomerSays,
    /// What the call came to, for the record.
    pub call: CallOutcome,
    /// From the decision of the switch to this one.
    pub duration_ms: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CustomerSays {
    /// For all of it, or for this much, in minor units of the account's currency.
    Approve {
        amount_minor: Option<i64>,
    },
    Decline,
    /// Nothing that counts: the fallback decides.
    Nothing,
    /// An answer that cannot be read: the fallback decides.
    Nonsense,
    /// The process that asked is gone, and the time is over.
    Lost,
}

/// Takes back an approval that its network did not get in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withhold {
    /// Of what takes it back.
    pub reversal_id: ReversalId,
    /// As it came, with the id under which it was approved.
    pub payment: Authorize,
}

/// Gives back what an authorization set aside, without a message of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseHold {
    pub authorization_id: AuthorizationId,
    pub cause: ReleaseCause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReleaseCause {
    /// Its time is over.
    Expired,
    /// Somebody asked for it.
    Manual,
}

macro_rules! call_outcomes {
    ($($name:ident = $text:literal,)*) => {
        /// How a call to a customer's endpoint ended.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum CallOutcome { $($name,)* }

        impl CallOutcome {
            pub const ALL: &'static [CallOutcome] = &[$(CallOutcome::$name,)*];

            pub fn name(self) -> &'static str {
                match self { $(CallOutcome::$name => $text,)* }
            }
        }
    };
}

call_outcomes! {
    Answered = "answered",
    TimedOut = "timed_out",
    // The connection broke.
    Failed = "failed",
    // A body that says neither yes nor no.
    Invalid = "invalid",
    // Not tried, as the last calls had failed.
    CircuitOpen = "circuit_open",
    // Not tried, as too many others waited.
    TooMany = "too_many",
    // The process ended before it was over.
    Lost = "lost",
    // The name leads nowhere, or nobody takes a connection there.
    NotConnected = "not_connected",
    // No TLS there, or no certificate that is trusted.
    TlsFailed = "tls_failed",
    // Another status than 200, without a no.
    WrongStatus = "wrong_status",
}

impl ReleaseCause {
    pub fn name(self) -> &'static str {
        match self {
            ReleaseCause::Expired => "expired",
            ReleaseCause::Manual => "manual",
        }
    }
}

/// Brings back what was forgotten, for the message that follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    /// Closed ones, as they stand.
    pub authorizations: Vec<Authorization>,
    pub first_answer: Option<(RepeatKey, FirstAnswer)>,
}

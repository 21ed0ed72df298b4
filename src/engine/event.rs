//! What came of a command. An event says everything that `apply` needs beside the command; nothing
//! is decided again when it is applied.

use super::card_use::CardUseMade;
use super::counters::CountedIn;
use super::ids::{AccountId, AuthorizationId, CardId, LimitId, ReversalId};
use super::money::{Currency, Money};
use super::packed_uses;
use super::reason::DeclineReason;
use super::rolling::{Bucket, BucketWidth};
use super::scope::{ACCOUNT_LEVELS_MAX, Scope};
use super::state::{AccountStatus, CardStatus};
use super::time::Timestamp;
use super::trace::{Step, Trace};
use super::window::WindowEnd;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    Authorized(Authorized),
    Reversed(Reversed),
    AccountOpened,
    AccountStatusChanged {
        from: AccountStatus,
        to: AccountStatus,
    },
    Posted(SmallVec<[Posting; 2]>),
    CardOpened {
        status: CardStatus,
    },
    CardStatusChanged {
        from: CardStatus,
        to: CardStatus,
    },
    CardControlsChanged,
    /// The hold is gone, and the use of limits with it; the amount in minor units of the account's currency.
    HoldReleased {
        account_id: AccountId,
        amount_minor: i64,
    },
    CardHolderChanged,
}

/// The decision on a request, approved or declined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorized {
    /// The registry version whose programs, links and settings decided.
    pub registry_version: u64,
    /// The account that the card draws on; absent where the card is not known.
    pub account_id: Option<AccountId>,
    /// What was asked, in the account's currency; zero where that could not be said.
    pub amount_minor: i64,
    /// What the account has available after the decision.
    pub available_minor: i64,
    pub decision: Decision,
    pub hold: Option<HoldPlaced>,
    /// What a balance inquiry gets to know.
    pub balances: Option<Balances>,
    pub trace: Trace,
}

/// The balances of an account, in minor units of its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balances {
    pub posted_minor: i64,
    pub available_minor: i64,
    pub currency: Currency,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    Approved {
        approval_code: ApprovalCode,
    },
    Declined(Decline),
    /// For less than was asked.
    PartiallyApproved {
        approval_code: ApprovalCode,
        /// In the transaction's currency; the account's where the message names none.
        approved: Money,
    },
}

impl Decision {
    pub fn decline(&self) -> Option<&Decline> {
        match self {
            Decision::Approved { .. } | Decision::PartiallyApproved { .. } => None,
            Decision::Declined(decline) => Some(decline),
        }
    }

    pub fn approval_code(&self) -> Option<ApprovalCode> {
        match self {
            Decision::Approved { approval_code }
            | Decision::PartiallyApproved { approval_code, .. } => Some(*approval_code),
            Decision::Declined(_) => None,
        }
    }
}

/// Why not: the first check that failed. All others are in the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decline {
    pub reason: DeclineReason,
    pub step: Step,
    /// The limit or list that said no.
    pub rule: Option<RuleId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleId {
    Limit(LimitId),
    Control(super::ids::ControlId),
}

/// DE38: six letters or digits.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalCode(pub [u8; 6]);

impl ApprovalCode {
    /// Digits and capital letters spread over the authorization id: unique enough to match a
    /// clearing record together with card and amount.
    pub fn of(authorization_id: AuthorizationId) -> ApprovalCode {
        const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let mixed = authorization_id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 34;
        ApprovalCode(std::array::from_fn(|place| {
            LETTERS[(mixed >> (5 * place) & 31) as usize]
        }))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("000000")
    }
}

/// Money set aside, and the limit use that goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldPlaced {
    /// In minor units of the account's currency.
    pub amount_minor: i64,
    pub expires_at: Timestamp,
    #[serde(with = "packed_uses")]
    pub uses: LimitUses,
    pub card_use: CardUseMade,
}

/// The uses of one authorization, in the order of its trace.
pub type LimitUses = SmallVec<[LimitUse; 8]>;

/// One use of one windowed limit, which a reversal gives back to the same window. Open holds keep these,
/// so the two ways in which one counts share their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitUse {
    pub scope: Scope,
    pub limit_id: LimitId,
    /// The end of the window, or the number of the bucket.
    pub(super) window: u32,
    /// Of a window that rolls.
    pub(super) bucket_width: Option<BucketWidth>,
}

impl LimitUse {
    pub fn new(scope: Scope, limit_id: LimitId, counted_in: CountedIn) -> LimitUse {
        let (window, bucket_width) = match counted_in {
            CountedIn::Window(end) => (end.0, None),
            CountedIn::Bucket(bucket) => (bucket.number, Some(bucket.width)),
        };
        LimitUse {
            scope,
            limit_id,
            window,
            bucket_width,
        }
    }

    pub fn counted_in(&self) -> CountedIn {
        let number = self.window;
        match self.bucket_width {
            None => CountedIn::Window(WindowEnd(number)),
            Some(width) => CountedIn::Bucket(Bucket { width, number }),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reversed {
    pub registry_version: u64,
    pub outcome: ReversalOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReversalOutcome {
    /// The hold is released; the amount in minor units of the account's currency.
    Released {
        authorization_id: AuthorizationId,
        amount_minor: i64,
    },
    /// Remembered: the original will be declined, should it still come.
    OriginalUnknown,
    /// The original was reversed before.
    AlreadyReversed,
    /// The same identity as an earlier reversal but another amount.
    Duplicate,
}

/// One leg of a posting. The legs of an event sum to zero in each currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    pub ledger_account: LedgerAccount,
    pub amount_minor: i64,
}

/// Where money is, as double entry sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerAccount {
    Customer(AccountId),
    /// The other side of money that customers sent us.
    FundsReceived,
}

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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReversalResult {
    Accepted,
    OriginalUnknown,
    Duplicate,
}

/// Why a command of the API was not carried out. A refusal changes nothing and is not journalled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("account {0} does not exist")]
    AccountNotFound(AccountId),
    #[error("card {0} does not exist")]
    CardNotFound(CardId),
    #[error("the id of this object is taken by another one")]
    IdTaken,
    #[error("the account is in {account}, the amount in {given}", account = .account.alpha(), given = .given.alpha())]
    CurrencyMismatch {
        account: super::money::Currency,
        given: super::money::Currency,
    },
    #[error("the amount must be above zero and the balance stay within range")]
    AmountOutOfRange,
    #[error("two limits of these controls have the id {0}; give each its own")]
    LimitIdTwice(LimitId),
    #[error("a card that is {} cannot do that", .0.name())]
    StatusForbids(CardStatus),
    #[error("an account that is {} cannot do that", .0.name())]
    AccountStatusForbids(AccountStatus),
    #[error(
        "the account cannot be closed while {posted_minor} are posted and {held_minor} held (minor units)"
    )]
    AccountNotEmpty { posted_minor: i64, held_minor: i64 },
    #[error("the account cannot be closed before its {0} sub-accounts")]
    SubAccountsOpen(u32),
    #[error("authorization {0} holds nothing")]
    HoldNotFound(AuthorizationId),
    #[error("the hold of authorization {authorization_id} lasts until {expires_at}")]
    HoldLasts {
        authorization_id: AuthorizationId,
        expires_at: Timestamp,
    },
    #[error("an account tree has at most {ACCOUNT_LEVELS_MAX} levels, the root among them")]
    TooDeep,
}

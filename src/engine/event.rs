//! What came of a command. An event says everything that `apply` needs beside the command; nothing
//! is decided again when it is applied.

pub use super::answer::{AdviceResult, Answer, AnswerResult, ReversalResult};
pub use super::approval_code::ApprovalCode;
use super::authorizations::InBoth;
use super::card_use::CardUseMade;
use super::conversion::Conversion;
use super::fees::charge::Charges;
use super::ids::{AccountId, AuthorizationId, CardId, CardholderId, LimitId, TokenId};
use super::limit_uses::{LimitUse, LimitUses};
use super::money::{Currency, Money};
use super::packed_uses;
use super::reason::DeclineReason;
use super::refunds::GivesBack;
pub use super::refusal::Refusal;
use super::reissue::{CardRenewed, CardReplaced};
use super::shipping::ShippingStatus;
use super::state::{AccountStatus, CardStatus};
use super::time::Timestamp;
use super::tokens::TokenStatus;
use super::top_ups::TopUpEnded;
use super::trace::{Step, Trace};
use super::transfers::Transferred;
use super::watch::AutoToppedUp;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    Authorized(Authorized),
    Reversed(Reversed),
    AccountOpened {
        charges: Charges,
    },
    AccountStatusChanged {
        from: AccountStatus,
        to: AccountStatus,
    },
    Posted {
        postings: SmallVec<[Posting; 2]>,
        charges: Charges,
    },
    /// Closed, and nothing is charged, where the account could not pay for it any more.
    CardOpened {
        status: CardStatus,
        charges: Charges,
    },
    CardStatusChanged {
        from: CardStatus,
        to: CardStatus,
        /// Of a card that is closed: those that are deleted with it.
        tokens: Box<[TokenId]>,
        /// And nobody is to make it any more.
        cancels_shipping: bool,
    },
    CardControlsChanged,
    /// The hold is gone, and the use of limits with it; the amount in minor units of the account's currency.
    HoldReleased {
        account_id: AccountId,
        amount_minor: i64,
        standing: Standing,
    },
    Advised(Box<Advised>),
    CardHolderChanged {
        /// Who held it before.
        from: Option<CardholderId>,
    },
    Withheld(Box<Withheld>),
    Resolved(Box<Resolved>),
    Recalled,
    CardReplaced(CardReplaced),
    CardRenewed(CardRenewed),
    /// One step of a transfer.
    Transferred(Box<Transferred>),
    TopUpAnnounced,
    TopUpEnded(Box<TopUpEnded>),
    AccountChanged,
    BalanceLow {
        available_minor: i64,
        below_minor: i64,
    },
    AutoToppedUp(Box<AutoToppedUp>),
    MonthlyFeeCharged {
        charges: Charges,
    },
    TokenOpened {
        /// For which it stands: the one that it was asked for with, or the last in the place of that.
        card_id: CardId,
        status: TokenStatus,
    },
    TokenStatusChanged {
        from: TokenStatus,
        to: TokenStatus,
    },
    ShippingChanged {
        from: ShippingStatus,
        to: ShippingStatus,
    },
    CardExpired,
    VerificationTriesReset {
        /// How many had failed on that day.
        failed: u16,
    },
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
    /// Of a single message that was approved.
    pub postings: Postings,
    /// Of an increment that was approved.
    pub increased: Option<Increased>,
    /// How what was approved, or else asked, came into the account's currency from another one.
    pub conversion: Option<Box<Conversion>>,
    /// The card's history is kept, and this is part of it.
    pub keeps_history: bool,
    /// Of a refund: the payment that its names lead to.
    pub refund_of: Option<AuthorizationId>,
    /// Of a refund that is posted.
    pub gives_back: GivesBack,
    /// Approved by the switch; the customer decides until then. What is to be posted is held so long.
    pub waits_until: Option<Timestamp>,
    /// For the decline, or on the conversion of what is posted.
    pub charges: Charges,
}

/// What became of an authorization that waited for its customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    pub registry_version: u64,
    pub account_id: Option<AccountId>,
    pub to: ResolvedTo,
    /// What the network gets, where it still waits.
    pub answer: Option<Answer>,
    pub fallback_used: bool,
    pub postings: Postings,
    pub charges: Charges,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResolvedTo {
    Approved {
        /// What is held no more.
        released: InBoth,
        /// Of a single message.
        posted: InBoth,
    },
    Declined {
        reason: DeclineReason,
        undone: Undone,
    },
    /// It was decided before: by the time, a reversal, or the network.
    NothingWaits,
}

/// The end of an approval that its network did not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    pub registry_version: u64,
    /// Nothing, where nothing of it was left.
    pub undone: Option<Undone>,
    /// What goes back of what was posted.
    pub postings: Postings,
    /// What of fees goes back with it.
    pub charges: Charges,
}

/// The legs of one posting; none where no money moves.
pub type Postings = Box<[Posting]>;

/// The authorization that an increment added to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Increased {
    pub authorization_id: AuthorizationId,
    /// What was added to its hold, in minor units of the account's currency.
    pub amount_minor: i64,
    pub expires_at: Timestamp,
    /// Of limits, in the windows of now.
    pub uses: Box<[LimitUse]>,
}

/// What an advice came to. It is never declined: where a request would have been, it says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advised {
    pub registry_version: u64,
    pub account_id: Option<AccountId>,
    /// What it is about, in the account's currency; zero where that cannot be said.
    pub amount_minor: i64,
    /// What the account has available after it; below zero where the network went further than we would.
    pub available_minor: i64,
    pub outcome: AdviceOutcome,
    pub flags: Flags,
    /// The first check that the same request would have failed.
    pub breach: Option<Decline>,
    pub postings: Postings,
    pub trace: Trace,
    /// How the amount came into the account's currency from another one.
    pub conversion: Option<Box<Conversion>>,
    /// Of a refund: the payment that its names lead to.
    pub refund_of: Option<AuthorizationId>,
    /// Of a refund that is posted.
    pub gives_back: GivesBack,
    /// The closed authorization in whose place the new one is: what names that means this one from now on.
    pub stands_in_for: Option<AuthorizationId>,
    /// It ends the wait for a customer, and what waited is approved in part: this much of the transaction's amount.
    pub approved_part_minor: Option<i64>,
    pub charges: Charges,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdviceOutcome {
    /// Nothing moves; the flags say why.
    Recorded,
    /// The same identity as an earlier advice, but another amount.
    Duplicate,
    /// A new authorization, with a hold.
    Placed(HoldPlaced),
    /// A new authorization, posted at once; its uses of limits are those of the amount posted.
    ForcePosted(HoldPlaced),
    /// An open authorization holds another amount now, in minor units of the account's currency.
    Amended {
        authorization_id: AuthorizationId,
        before_minor: i64,
        after_minor: i64,
        expires_at: Timestamp,
        standing: Standing,
    },
    /// Posted against an authorization.
    Completed {
        authorization_id: AuthorizationId,
        /// What its hold is smaller by.
        released_minor: i64,
        standing: Standing,
    },
}

/// Where an authorization stands after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Open, with nothing posted.
    Pending,
    /// Open, with a part posted.
    PartiallyCleared,
    Cleared,
    /// Its hold ended with nothing posted.
    Expired,
    Reversed,
}

impl Standing {
    pub fn name(self) -> &'static str {
        match self {
            Standing::Pending => "pending",
            Standing::PartiallyCleared => "partially_cleared",
            Standing::Cleared => "cleared",
            Standing::Expired => "expired",
            Standing::Reversed => "reversed",
        }
    }
}

macro_rules! flags {
    ($($name:ident = $bit:literal $text:literal,)*) => {
        /// What was not as it should be, and was carried out all the same.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Flags(u16);

        impl Flags {
            $(pub const $name: Flags = Flags(1 << $bit);)*
            pub const ALL: &'static [(Flags, &'static str)] = &[$((Flags::$name, $text),)*];
        }
    };
}

flags! {
    // The account has less than nothing available.
    OVERDRAWN = 0 "overdrawn",
    // Posted without an authorization of ours.
    FORCE_POST = 1 "force_post",
    // More than was held for it.
    EXCEEDS_HOLD = 2 "exceeds_hold",
    AFTER_EXPIRY = 3 "after_expiry",
    AFTER_COMPLETION = 4 "after_completion",
    AFTER_REVERSAL = 5 "after_reversal",
    // Its reversal came first: nothing is held or posted.
    REVERSED_BEFORE = 6 "reversed_before",
    // The network declined in our place.
    STAND_IN_DECLINE = 7 "stand_in_decline",
    // The amount cannot be put into the account's currency, or takes the balance out of its range.
    NOT_POSTABLE = 8 "not_postable",
    // A kind that moves no money, or none that is known.
    MOVES_NOTHING = 9 "moves_nothing",
    UNKNOWN_CARD = 10 "unknown_card",
    // The same message as one carried out before, come again after its first answer was forgotten.
    REPEATED = 11 "repeated",
}

impl Flags {
    pub fn contains(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    pub fn raise(&mut self, flag: Flags, raised: bool) {
        if raised {
            self.0 |= flag.0;
        }
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = Flags::ALL.iter();
        all.filter(move |(flag, _)| self.contains(*flag))
            .map(|(_, name)| *name)
    }
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
    RiskRule(super::ids::RiskRuleId),
}

/// What an approval takes of an account: set aside, or posted at once where the message does that; with the use of
/// limits and of the card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldPlaced {
    /// In minor units of the account's currency.
    pub amount_minor: i64,
    pub expires_at: Timestamp,
    #[serde(with = "packed_uses")]
    pub uses: LimitUses,
    pub card_use: CardUseMade,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reversed {
    pub registry_version: u64,
    pub outcome: ReversalOutcome,
    /// What goes back of what was posted.
    pub postings: Postings,
    /// What of fees goes back with it.
    pub charges: Charges,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReversalOutcome {
    /// An authorization is undone, or a part of it.
    Undone(Undone),
    /// Remembered: the original will be declined, should it still come.
    OriginalUnknown,
    /// The original was reversed before, or is an increment that an amendment took in.
    AlreadyReversed,
    /// The same identity as an earlier reversal but another amount.
    Duplicate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    pub authorization_id: AuthorizationId,
    pub account_id: AccountId,
    pub what: UndoneWhat,
    /// What is held no more.
    pub released: InBoth,
    /// What was posted and goes back to the customer; below zero for a credit.
    pub returned: InBoth,
    pub standing: Standing,
    pub flags: Flags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UndoneWhat {
    /// All of the authorization, with everything posted for it.
    Whole,
    /// As much of it as is above what stays.
    Above,
    /// One increment or completion, by its place among the parts of the authorization; the whole of it, or
    /// as much as is above what stays.
    Part { place: u16, is_whole: bool },
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
    /// What the card networks have to get for payments, or to give for refunds.
    NetworkSettlement,
    /// What rounding leaves of conversions.
    Rounding,
    /// What programs add to conversions.
    MarkUp,
    /// On its way from one tree to another.
    InTransit,
    /// What we charge.
    Fees,
    /// What the reseller adds to it.
    ResellerMarkUp,
}

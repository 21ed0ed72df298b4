//! Why a command of the API was not carried out. A refusal changes nothing and is not journalled.

use super::ids::{AccountId, AuthorizationId, CardId, LimitId, TokenId, TopUpId};
use super::money::Currency;
use super::scope::ACCOUNT_LEVELS_MAX;
use super::shipping::ShippingStatus;
use super::state::{AccountStatus, CardStatus};
use super::time::Timestamp;
use super::tokens::TokenStatus;
use super::top_ups::{PENDING_TOP_UPS_MAX, PENDING_TOP_UPS_OF_TENANT_MAX};
use super::transfers::{IN_TRANSIT_MAX, ReturnReason};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("account {0} does not exist")]
    AccountNotFound(AccountId),
    #[error("card {0} does not exist")]
    CardNotFound(CardId),
    #[error("the id of this object is taken by another one")]
    IdTaken,
    #[error("the account is in {account}, the amount in {given}", account = .account.alpha(), given = .given.alpha())]
    CurrencyMismatch { account: Currency, given: Currency },
    #[error("the amount must be above zero and the balance stay within range")]
    AmountOutOfRange,
    #[error("two limits of these controls have the id {0}; give each its own")]
    LimitIdTwice(LimitId),
    #[error("the card is {}, which forbids this", .0.name())]
    StatusForbids(CardStatus),
    #[error("the account is {}, which forbids this", .0.name())]
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
    #[error("account {0} stands twice among the accounts of the card; name it once")]
    WalletAccountTwice(AccountId),
    #[error("the card was replaced by {0}; change that one")]
    CardReplaced(CardId),
    #[error("a transfer is from one account to another one")]
    SameAccount,
    #[error(
        "the account has {available_minor} available, less than {requested_minor} (minor units)"
    )]
    InsufficientFunds {
        available_minor: i64,
        requested_minor: i64,
    },
    #[error("the account that is to get the money takes none: {}", .0.name())]
    ReceiverRefuses(ReturnReason),
    #[error(
        "{in_transit_minor} (minor units) are in transit from the account and may come back; wait for that"
    )]
    TransfersInTransit { in_transit_minor: i64 },
    #[error(
        "{IN_TRANSIT_MAX} transfers are on their way to other account trees; repeat this later"
    )]
    TooManyInTransit,
    #[error(
        "{PENDING_TOP_UPS_MAX} top-ups of a shard may wait for their money, {PENDING_TOP_UPS_OF_TENANT_MAX} of one tenant, and do; settle some, or fail them"
    )]
    TooManyPendingTopUps,
    #[error("top-up {0} does not wait for money: it was settled or failed before")]
    TopUpNotPending(TopUpId),
    #[error(
        "an auto top-up takes from another account of the same tree: the parent, or one that is named"
    )]
    NoSourceOfAutoTopUp,
    #[error(
        "the account would be topped up from one that is topped up from it, directly or by others (or that has more than 1,000 above it); \
         take the rule of one of them away"
    )]
    AutoTopUpCircular,
    #[error("token {0} does not exist")]
    TokenNotFound(TokenId),
    #[error("the token is {}, which forbids this", .0.name())]
    TokenStatusForbids(TokenStatus),
    #[error("nobody told that this card is to be made and sent, so nothing is known of that")]
    NothingToShip,
    #[error("a card whose shipping is {} comes to {} next", .0.name(), .0.next_names())]
    ShippingStatusForbids(ShippingStatus),
    #[error("the card has not left for its holder: its shipping is {}", .0.name())]
    NotShipped(ShippingStatus),
    #[error("top-up {0} was settled before with as much, by another payment or by hand")]
    TopUpSettledBefore(TopUpId),
    #[error("account {account_id} is {}, so no money leaves it or what is below it", .status.name())]
    SenderStopped {
        /// The sender, or the first one above it that stops it.
        account_id: AccountId,
        status: AccountStatus,
    },
}

//! The types of events, each with the scope that a key needs to hear of it. New ones are no break: the list is open.

use crate::engine::api_keys::Scope;
use crate::engine::webhook_endpoints::pattern_fits;

macro_rules! event_types {
    ($($name:ident = $text:literal, $scope:ident, $when:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum EventType { $($name,)* }

        impl EventType {
            pub const ALL: &'static [EventType] = &[$(EventType::$name,)*];

            pub fn name(self) -> &'static str {
                match self { $(EventType::$name => $text,)* }
            }

            pub fn from_name(name: &str) -> Option<EventType> {
                match name { $($text => Some(EventType::$name),)* _ => None }
            }

            /// What lets a key hear of it.
            pub fn scope(self) -> Scope {
                match self { $(EventType::$name => Scope::$scope,)* }
            }

            /// Whether some of them name a payment.
            pub fn may_name_payment(self) -> bool {
                use EventType::*;
                let of_payments = [
                    Scope::AuthorizationsRead,
                    Scope::AlertsDeclines,
                    Scope::TransactionsRead,
                ];
                of_payments.contains(&self.scope())
                    || matches!(
                        self,
                        BalanceUpdated | FeeCharged | LimitThresholdReached | CardVerificationTriesExceeded
                    )
            }

            /// When it comes, in one line, for people.
            pub fn when(self) -> &'static str {
                match self { $(EventType::$name => $when,)* }
            }
        }
    };
}

event_types! {
    CardCreated = "card.created", CardsRead, "a card was issued";
    CardActivated = "card.activated", CardsRead, "a card was activated";
    CardFrozen = "card.frozen", CardsRead, "a card was frozen, by itself or with what it is linked to";
    CardUnfrozen = "card.unfrozen", CardsRead, "a card was unfrozen";
    CardBlocked = "card.blocked", CardsRead, "a card was blocked, for good";
    CardClosed = "card.closed", CardsRead, "a card was closed, by itself or with what it is linked to";
    CardRevealed = "card.revealed", CardsRead, "somebody saw a card's number, or was given a link that shows it once";
    CardReissued = "card.reissued", CardsRead, "a card got another one in its place: `replaced_by`; `card.created` tells of that one";
    CardRenewed = "card.renewed", CardsRead, "a card has a new expiry";
    CardCardholderChanged = "card.cardholder_changed", CardsRead, "a card got a cardholder, or another one than `previous_id`";
    CardExpired = "card.expired", CardsRead, "the expiry of a card that was not closed has passed: the month that it is good through ended, in UTC";
    CardShippingUpdated = "card.shipping_updated", CardsRead, "the making or sending of a card came further, or ended: `shipping_status` of the card";
    CardVerificationTriesExceeded = "card.verification_tries_exceeded", CardsRead, "what was stated of a card was wrong as often as it may be in a day: until that ends, or tries are given back, nothing that is stated of it is looked at";
    LimitUpdated = "limit.updated", CardsRead, "the controls of a card, an account, a linked object or a program were changed: `owner`";
    TokenRequested = "token.requested", CardsRead, "a token was asked for, with a card";
    TokenActivated = "token.activated", CardsRead, "a token was activated: it may pay";
    TokenSuspended = "token.suspended", CardsRead, "a token was suspended";
    TokenResumed = "token.resumed", CardsRead, "a token that was suspended may pay again";
    TokenDeleted = "token.deleted", CardsRead, "a token was deleted, for good, by itself or with its card";
    LimitThresholdReached = "limit.threshold_reached", CardsRead, "an approval brought what is used of a limit to a threshold of its program: 80 % of what is allowed, or others";
    AccountCreated = "account.created", AccountsRead, "an account was opened";
    AccountFrozen = "account.frozen", AccountsRead, "an account was frozen";
    AccountUnfrozen = "account.unfrozen", AccountsRead, "an account was unfrozen";
    AccountClosed = "account.closed", AccountsRead, "an account was closed";
    TopUpSettled = "topup.settled", AccountsRead, "money that arrived was posted to an account";
    TopUpCreated = "topup.created", AccountsRead, "a top-up waits for its money";
    TopUpFailed = "topup.failed", AccountsRead, "the money of a top-up will not come";
    TransferSettled = "transfer.settled", AccountsRead, "money arrived that was moved from one account to another; each account hears of it";
    TransferReturned = "transfer.returned", AccountsRead, "money that another account does not take came back to the one that sent it";
    TransferFailed = "transfer.failed", AccountsRead, "an auto top-up found no money to move";
    BalanceUpdated = "balance.updated", AccountsRead, "what is posted or held of an account changed: one for each account and record";
    BalanceLow = "balance.low", AccountsRead, "less is available than the account's threshold; once until there is enough again";
    AuthorizationRequested = "authorization.requested", AuthorizationsRead, "a payment waits for the customer's own decision: what came of it is told with `authorization.approved`, `authorization.partially_approved` or `authorization.declined`";
    AuthenticationSucceeded = "authentication.succeeded", AuthorizationsRead, "beside what came of the payment: its request says that its cardholder was authenticated (3-D Secure), whatever its `cryptogram` is";
    AuthenticationFailed = "authentication.failed", AuthorizationsRead, "beside what came of the payment: its request says that its cardholder was not who they said (3-D Secure)";
    AuthorizationApproved = "authorization.approved", AuthorizationsRead, "a payment was approved, by us or by the network in our place";
    AuthorizationPartiallyApproved = "authorization.partially_approved", AuthorizationsRead, "a payment was approved for less than was asked";
    AuthorizationDeclined = "authorization.declined", AlertsDeclines, "a payment was declined: its reason, step and rule are in `decision`";
    AuthorizationIncremented = "authorization.incremented", AuthorizationsRead, "more was approved for a payment that was authorized before";
    AuthorizationUpdated = "authorization.updated", AuthorizationsRead, "the network changed what is held, or did not get our approval in time";
    AuthorizationExpired = "authorization.expired", AuthorizationsRead, "a hold ended by its time or by hand";
    ReversalCreated = "reversal.created", TransactionsRead, "a payment was reversed, whole or in part";
    TransactionSettled = "transaction.settled", TransactionsRead, "money was posted";
    TransactionForcePosted = "transaction.force_posted", TransactionsRead, "beside `transaction.settled`: money was posted without an authorization";
    TransactionOverCleared = "transaction.over_cleared", TransactionsRead, "beside `transaction.settled`: more was posted than was held";
    TransactionRefunded = "transaction.refunded", TransactionsRead, "beside `transaction.settled`: money came back from a merchant";
    FeeCharged = "fee.charged", FeesRead, "an account was charged a fee, or one went back with a payment";
    RulePromoted = "rule.promoted", RulesRead, "a risk rule came into force";
    ExceptionRequested = "exception.requested", ExceptionsRead, "somebody asked for an exception from controls";
    ExceptionApproved = "exception.approved", ExceptionsRead, "an exception was approved";
    ExceptionRejected = "exception.rejected", ExceptionsRead, "an exception was rejected";
    ExceptionEnded = "exception.ended", ExceptionsRead, "an exception was ended by hand";
    ExceptionExpired = "exception.expired", ExceptionsRead, "the time of an exception that was approved is over";
    ApprovalRequested = "approval.requested", ApprovalsRead, "a write waits for a second person";
    ApprovalApproved = "approval.approved", ApprovalsRead, "somebody approved what waited";
    ApprovalRejected = "approval.rejected", ApprovalsRead, "somebody rejected what waited";
    ApprovalCancelled = "approval.cancelled", ApprovalsRead, "who asked took it back";
    ApprovalFailed = "approval.failed", ApprovalsRead, "what was approved had become impossible";
    WebhookEndpointDisabled = "webhook_endpoint.disabled", WebhooksRead, "an endpoint took nothing for days, or said that it is gone: it is called no more";
}

/// A name that can be subscribed to and that nothing tells yet: it comes with the work that makes what it is about.
#[derive(Debug)]
pub struct NamedType {
    /// A type, or a whole family.
    pub name: &'static str,
    pub scope: Scope,
    /// With what it comes.
    pub comes_with: &'static str,
}

const fn named(name: &'static str, scope: Scope, comes_with: &'static str) -> NamedType {
    NamedType {
        name,
        scope,
        comes_with,
    }
}

pub const NOT_TOLD_YET: &[NamedType] = &[
    named("chargeback.opened", Scope::DisputesRead, "disputes"),
    named("chargeback.submitted", Scope::DisputesRead, "disputes"),
    named("chargeback.represented", Scope::DisputesRead, "disputes"),
    named("chargeback.won", Scope::DisputesRead, "disputes"),
    named("chargeback.lost", Scope::DisputesRead, "disputes"),
    named("dispute.*", Scope::DisputesRead, "disputes"),
    named(
        "settlement_report.ready",
        Scope::ReportsRead,
        "clearing files and reports that are closed",
    ),
    named(
        "authentication.created",
        Scope::AuthorizationsRead,
        "an access control server for 3-D Secure",
    ),
    named(
        "authentication.challenged",
        Scope::AuthorizationsRead,
        "an access control server for 3-D Secure",
    ),
    named(
        "rule.backtest_completed",
        Scope::RulesRead,
        "a record of backtests, which are kept in memory",
    ),
];

/// What of a pattern nothing tells yet: one that names it, alone or as a family.
pub fn not_told_yet(pattern: &str) -> impl Iterator<Item = &'static NamedType> {
    let all = NOT_TOLD_YET.iter();
    // All of what is told are `*`.
    all.filter(move |named| pattern != "*" && pattern_fits(pattern, named.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_families_with_a_dot_and_lead_back() {
        for event_type in EventType::ALL {
            let name = event_type.name();
            assert_eq!(name.split('.').count(), 2, "{name}");
            assert_eq!(EventType::from_name(name), Some(*event_type));
        }
        assert_eq!(EventType::from_name("card.melted"), None);
    }

    #[test]
    fn the_documents_list_them_all() {
        let document = include_str!("../../../docs/webhooks.md");
        for event_type in EventType::ALL {
            let (name, scope) = (event_type.name(), event_type.scope().name());
            let line = format!("| `{name}` | `{scope}` | {} |", event_type.when());
            assert!(document.contains(&line), "docs/webhooks.md lacks: {line}");
        }
        for NamedType {
            name,
            scope,
            comes_with,
        } in NOT_TOLD_YET
        {
            let line = format!("| `{name}` | `{}` | {comes_with} |", scope.name());
            assert!(document.contains(&line), "docs/webhooks.md lacks: {line}");
        }
    }

    #[test]
    fn what_nothing_tells_yet_is_known_by_its_name_and_its_family_and_is_no_type_that_is_told() {
        let known = |pattern| not_told_yet(pattern).count();
        assert_eq!(known("chargeback.opened"), 1);
        assert_eq!(known("chargeback.*"), 5);
        assert_eq!(known("dispute.*"), 1);
        let unknown = [
            "*",
            "dispute.melted",
            "chargeback",
            "chargeback.melted",
            "card.*",
        ];
        assert_eq!(unknown.map(known), [0; 5]);
        for named in NOT_TOLD_YET {
            assert_eq!(EventType::from_name(named.name), None, "{}", named.name);
        }
    }
}

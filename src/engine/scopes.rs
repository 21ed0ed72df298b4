//! What an API key may let its bearer do. Which of it each route needs is in `api`.

use serde::{Deserialize, Serialize};

macro_rules! scopes {
    ($($name:ident = $text:literal, $lets:literal;)*) => {
        /// What a key may let its bearer do. New ones at the end: their places are in the journal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Scope { $($name,)* }

        impl Scope {
            pub const ALL: &'static [Scope] = &[$(Scope::$name,)*];

            pub fn name(self) -> &'static str {
                match self { $(Scope::$name => $text,)* }
            }

            /// In one line, for people.
            pub fn lets(self) -> &'static str {
                match self { $(Scope::$name => $lets,)* }
            }
        }
    };
}

scopes! {
    ProgramsRead = "programs:read", "see programs";
    ProgramsWrite = "programs:write", "create, change and suspend programs";
    AccountsRead = "accounts:read", "see accounts, balances and ledger entries";
    AccountsWrite = "accounts:write", "open accounts and sub-accounts";
    AccountsFreeze = "accounts:freeze", "freeze accounts";
    AccountsUnfreeze = "accounts:unfreeze", "unfreeze accounts";
    AccountsClose = "accounts:close", "close accounts, for good";
    FundsTopUp = "funds:topup", "record money that arrived";
    FundsTransfer = "funds:transfer", "move money between accounts";
    CardsRead = "cards:read", "see cards, their numbers masked, and where physical ones are sent: name, address and phone";
    CardsIssue = "cards:issue", "issue, activate, reissue and renew cards";
    CardsFreeze = "cards:freeze", "freeze cards, one or all of a linked object";
    CardsUnfreeze = "cards:unfreeze", "unfreeze cards";
    CardsBlock = "cards:block", "block cards that are lost, stolen or used for fraud";
    CardsClose = "cards:close", "close cards, for good";
    CardsReveal = "cards:reveal", "see card numbers and CVV2, with a reason that is kept";
    LimitsWrite = "limits:write", "tighten controls and limits";
    LimitsRaise = "limits:raise", "loosen controls and raise limits";
    CardholdersRead = "cardholders:read", "see cardholders";
    CardholdersWrite = "cardholders:write", "create, change and verify cardholders";
    RulesRead = "rules:read", "see risk rules, MCC groups and merchant lists";
    RulesWrite = "rules:write", "change MCC groups and merchant lists";
    RulesDraft = "rules:draft", "write risk rules as drafts";
    RulesPromote = "rules:promote", "put risk rules into force, and out of it";
    ExceptionsRead = "exceptions:read", "see exceptions from controls";
    ExceptionsRequest = "exceptions:request", "ask for exceptions";
    ExceptionsApprove = "exceptions:approve", "approve, reject and end exceptions";
    RatesRead = "rates:read", "see exchange rates";
    RatesWrite = "rates:write", "set exchange rates";
    DecisionEndpointsRead = "decision_endpoints:read", "see decision endpoints";
    DecisionEndpointsWrite = "decision_endpoints:write", "set decision endpoints and their secrets";
    AuthorizationsRead = "authorizations:read", "see authorizations and why they were declined";
    AuthorizationsExpire = "authorizations:expire", "end holds by hand";
    TransactionsRead = "transactions:read", "see transactions";
    ReportsRead = "reports:read", "read settlement reports";
    AlertsDeclines = "alerts:declines", "receive alerts of declines";
    WebhooksRead = "webhooks:read", "see webhook endpoints, events and deliveries";
    WebhooksWrite = "webhooks:write", "set webhook endpoints, resend and replay";
    DisputesRead = "disputes:read", "see disputes";
    DisputesWrite = "disputes:write", "open disputes and add evidence";
    DisputesSubmit = "disputes:submit", "submit, withdraw and accept disputes";
    FeesRead = "fees:read", "see fees and preview them";
    FeesWrite = "fees:write", "set fee schedules, and what programs charge by";
    TokensWrite = "tokens:write", "activate, suspend and delete wallet tokens";
    KeysRead = "keys:read", "see API keys, never the keys themselves";
    KeysWrite = "keys:write", "make and revoke API keys that may do no more than the one that makes them";
    AuditRead = "audit:read", "read the audit log";
    SandboxWrite = "sandbox:write", "simulate what a network does, where the sandbox is on";
    FundsSettle = "funds:settle", "say that money arrived, or that it will not";
    CardsShip = "cards:ship", "say how far the making and sending of cards is";
    ApprovalsRead = "approvals:read", "see what waits for a second person, and cancel what one asked for";
    ApprovalsWrite = "approvals:write", "approve and reject what waits for a second person";
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes(u64);

const _: () = assert!(Scope::ALL.len() <= 64, "scopes no longer fit their set");

impl Scopes {
    pub const ALL: Scopes = Scopes(u64::MAX >> (64 - Scope::ALL.len()));

    pub fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u32) != 0
    }

    pub fn with(self, scope: Scope) -> Scopes {
        Scopes(self.0 | 1 << scope as u32)
    }

    /// Those that `other` does not have.
    pub fn without(self, other: Scopes) -> Scopes {
        Scopes(self.0 & !other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .iter()
            .copied()
            .filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Scopes {
        scopes.into_iter().fold(Scopes::default(), Scopes::with)
    }
}

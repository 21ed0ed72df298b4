//! Whose controls are looked at: the program's, an account's, a linked object's or the card's. What
//! controls are does not live here (see `controls.rs`).

use super::ids::{AccountId, LinkId};
use serde::{Deserialize, Serialize};

/// Levels of an account tree: a root, and as many below it as a scope can name above an account.
pub const ACCOUNT_LEVELS_MAX: usize = 1 + Scope::ABOVE.len();

/// One place that has controls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    Program,
    /// The account that the card draws on.
    Account,
    Link,
    Card,
    /// The account so many levels above it.
    Above1,
    Above2,
    Above3,
    Above4,
    /// An exception from the controls of all of these: it has uses, and no controls.
    Exception,
}

impl Scope {
    pub const ALL: [Scope; 9] = [
        Scope::Program,
        Scope::Account,
        Scope::Link,
        Scope::Card,
        Scope::Above1,
        Scope::Above2,
        Scope::Above3,
        Scope::Above4,
        Scope::Exception,
    ];
    pub const ABOVE: [Scope; 4] = [Scope::Above1, Scope::Above2, Scope::Above3, Scope::Above4];

    pub fn name(self) -> &'static str {
        match self {
            Scope::Program => "program",
            Scope::Account => "account",
            Scope::Link => "link",
            Scope::Card => "card",
            Scope::Above1 | Scope::Above2 | Scope::Above3 | Scope::Above4 => "parent_account",
            Scope::Exception => "exception",
        }
    }

    /// How far above the card's account; 0 for everything else.
    pub fn levels_above(self) -> usize {
        match self {
            Scope::Exception => 0,
            scope => (scope as usize).saturating_sub(Scope::Card as usize),
        }
    }
}

/// Whose controls they are: the place, and which one it is where there are several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub scope: Scope,
    /// Of the linked object or the account; 0 of the program and the card, as there is but one.
    pub(super) id: u64,
}

impl Owner {
    pub const PROGRAM: Owner = Owner {
        scope: Scope::Program,
        id: 0,
    };
    pub const CARD: Owner = Owner {
        scope: Scope::Card,
        id: 0,
    };

    pub fn link(id: LinkId) -> Owner {
        let (scope, id) = (Scope::Link, id.0);
        Owner { scope, id }
    }

    /// The card's, or the one so many levels above it.
    pub fn account(scope: Scope, id: AccountId) -> Owner {
        Owner { scope, id: id.0 }
    }

    pub fn link_id(self) -> Option<LinkId> {
        (self.scope == Scope::Link).then_some(LinkId(self.id))
    }

    pub fn account_id(self) -> Option<AccountId> {
        let is_account = self.scope == Scope::Account || self.scope.levels_above() > 0;
        is_account.then_some(AccountId(self.id))
    }
}

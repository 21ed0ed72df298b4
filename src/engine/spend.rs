//! What is used of every limit that binds a card or an account, or that a linked object has, and what is left. Nothing is
//! decided by it.

use super::controls::{Controls, Limit};
use super::counters::Counters;
use super::ids::{AccountId, CardId, LinkId};
use super::looked_at::LookedAt;
use super::rules::limits::Counting;
use super::scope::{Owner, Scope};
use super::state::State;
use super::time::Timestamp;
use super::window::WindowEnd;
use std::sync::Arc;

/// Whose limits are looked at.
#[derive(Debug, Clone)]
pub enum SpendOf {
    /// All that bind it, on its first account.
    Card(CardId),
    /// Its own, those of the accounts above it, and its program's.
    Account(AccountId),
    /// Its own, which count in the tree of its cards.
    Link {
        link: LinkId,
        root: AccountId,
        controls: Arc<Controls>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Whose limit it is.
    pub owner: Owner,
    pub limit: Limit,
    pub used_minor: i64,
    pub used_count: u32,
    /// The end of its window, or of one that rolls when a use of now would have left it.
    pub resets: WindowEnd,
}

/// In the order in which limits are checked. `None` where there is no such card or account.
pub fn of(state: &State, of: &SpendOf, at: Timestamp) -> Option<Vec<Spent>> {
    match of {
        SpendOf::Card(id) => {
            let card = state.card(*id)?;
            let looked_at = LookedAt::of(state, card, state.account_of(card))?;
            Some(of_all(&looked_at, at))
        }
        SpendOf::Account(id) => {
            let looked_at = LookedAt::of_account(state, state.account(*id)?)?;
            Some(of_all(&looked_at, at))
        }
        SpendOf::Link {
            link,
            root,
            controls,
        } => {
            let counters =
                |limit: &Limit| state.shared_counters.get((*root, Scope::Link, limit.id));
            Some(of_link(*link, controls, counters, at))
        }
    }
}

/// Of a linked object that no card is linked to yet.
pub fn of_unused_link(link: LinkId, controls: &Controls, at: Timestamp) -> Vec<Spent> {
    of_link(link, controls, |_| None, at)
}

fn of_link<'a>(
    link: LinkId,
    controls: &Controls,
    counters: impl Fn(&Limit) -> Option<&'a Counters>,
    at: Timestamp,
) -> Vec<Spent> {
    let limits = controls.limits.iter();
    let spent = limits.map(|limit| Spent::of(Owner::link(link), limit, counters(limit), at));
    spent.collect()
}

fn of_all(looked_at: &LookedAt, at: Timestamp) -> Vec<Spent> {
    let spent = looked_at.limits().map(|(owner, limit)| {
        let counters = looked_at.counters_of(owner.scope, limit);
        Spent::of(owner, limit, counters, at)
    });
    spent.collect()
}

impl Spent {
    fn of(owner: Owner, limit: &Limit, counters: Option<&Counters>, at: Timestamp) -> Spent {
        let counting = Counting::of(limit, counters, at);
        Spent {
            owner,
            limit: limit.clone(),
            used_minor: counting.used.0,
            used_count: counting.used.1,
            resets: counting.ends,
        }
    }
}

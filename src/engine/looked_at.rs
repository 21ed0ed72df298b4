//! The controls that bind a card or an account, and where their limits count, as they are looked at without a payment. Deciding on one
//! has a context of its own (`checks.rs`).

use super::checks::{AccountsAbove, ControlsInOrder, controls_of, controls_of_account};
use super::controls::Limit;
use super::counters::Counters;
use super::scope::{Owner, Scope};
use super::state::{Account, Card, State};

/// The controls that bind a card on one account, or whatever draws on that, and where their limits count.
pub(super) struct LookedAt<'a> {
    state: &'a State,
    /// The first of its chain, where it is of a card.
    card: Option<&'a Card>,
    account: &'a Account,
    above: AccountsAbove<'a>,
    controls: ControlsInOrder<'a>,
}

impl<'a> LookedAt<'a> {
    pub fn of(state: &'a State, card: &'a Card, account: &'a Account) -> Option<LookedAt<'a>> {
        let above: AccountsAbove = state.above(account).take(Scope::ABOVE.len()).collect();
        let program = state.registry.programs.get(&account.program_id)?;
        let card = state.kept_on(card);
        Some(LookedAt {
            state,
            card: Some(card),
            account,
            controls: controls_of(&state.registry, program, &above, account, card),
            above,
        })
    }

    pub fn of_account(state: &'a State, account: &'a Account) -> Option<LookedAt<'a>> {
        let above: AccountsAbove = state.above(account).take(Scope::ABOVE.len()).collect();
        let program = state.registry.programs.get(&account.program_id)?;
        Some(LookedAt {
            state,
            card: None,
            account,
            controls: controls_of_account(program, &above, account),
            above,
        })
    }

    /// Every limit, on whoever has it.
    pub fn limits(&self) -> impl Iterator<Item = (Owner, &'a Limit)> {
        self.controls.iter().flat_map(|(owner, controls)| {
            let limits = controls.limits.iter();
            limits.map(|limit| (*owner, limit))
        })
    }

    pub fn counters_of(&self, scope: Scope, limit: &Limit) -> Option<&'a Counters> {
        let root = self.above.last().unwrap_or(&self.account);
        match scope {
            Scope::Card => Some(&self.card?.counters),
            Scope::Account => Some(&self.account.counters),
            Scope::Program => Some(&root.program_counters),
            Scope::Link | Scope::Exception => {
                self.state.shared_counters.get((root.id, scope, limit.id))
            }
            Scope::Above1 | Scope::Above2 | Scope::Above3 | Scope::Above4 => {
                Some(&self.above[scope.levels_above() - 1].counters)
            }
        }
    }
}

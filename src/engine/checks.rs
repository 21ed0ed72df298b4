//! What the checks of one authorization look at, and what they have found so far.
//! The checks themselves do not live here (see `rules/`).

use super::authorizations::Authorization;
use super::command::Authorize;
use super::controls::Controls;
use super::conversion::Conversion;
use super::event::{Decline, RuleId};
use super::kinds::{Direction, Treatment};
use super::limit_uses::LimitUses;
use super::money::{Currency, Money};
use super::reason::DeclineReason;
use super::registry::{Program, RegistryView};
use super::risk::rule::ProgramRules;
use super::scope::{Owner, Scope};
use super::state::{Account, Card, State};
use super::time::Timestamp;
use super::trace::{Detail, Step, StepResult, Trace};
use arrayvec::ArrayVec;
use smallvec::SmallVec;

/// The facts and the state that every check may read.
pub struct Context<'a> {
    pub state: &'a State,
    pub registry: &'a RegistryView,
    pub at: Timestamp,
    pub command: &'a Authorize,
    pub card: &'a Card,
    pub account: &'a Account,
    /// The accounts above it, from its parent to the root.
    pub above: AccountsAbove<'a>,
    /// The root account of the tree, on which program-wide limits count.
    pub root: &'a Account,
    pub program: &'a Program,
    pub controls: ControlsInOrder<'a>,
    /// How requests of this kind are treated; absent for a kind that is not decided.
    pub treatment: Option<&'static Treatment>,
    /// What is asked, in the account's currency, if the message lets us say.
    pub asked_minor: Option<i64>,
    /// What may be approved of it: less where the account has less and the terminal can take that.
    pub amount_minor: Option<i64>,
    /// The open authorization that an increment adds to.
    pub original: Option<&'a Authorization>,
    /// The part of the transaction's amount that may be approved, where it is not all.
    pub part: Option<Money>,
    /// How the amount that may be approved came into the account's currency.
    pub conversion: Option<Box<Conversion>>,
    /// Those of the program, where it has any.
    pub risk_rules: Option<&'a ProgramRules>,
    /// The first card of the card's chain, most often itself: it has the controls, what was used of them, and the history.
    pub kept_on: &'a Card,
}

/// Those of the program, of each account above, of the account, of what the card is linked to and of the card, where they
/// have any.
pub type ControlsInOrder<'a> = SmallVec<[(Owner, &'a Controls); 8]>;

pub type AccountsAbove<'a> = ArrayVec<&'a Account, { Scope::ABOVE.len() }>;

impl<'a> Context<'a> {
    /// What the account has to have, limits count, and a hold is to keep; nothing where the request takes
    /// no money.
    pub fn taken_minor(&self) -> Option<i64> {
        self.amount_minor
            .filter(|amount_minor| self.takes_money() && *amount_minor > 0)
    }

    /// Whether a later message may be about it: a credit too, with nothing held. An increment becomes a part of
    /// another authorization.
    pub fn stays_open(&self) -> bool {
        self.direction() != Direction::Nowhere
            && self.original.is_none()
            && self.amount_minor.is_some_and(|amount| amount > 0)
    }

    pub fn direction(&self) -> Direction {
        self.treatment
            .map_or(Direction::Debit, |treatment| treatment.direction)
    }

    /// What posting it takes from the account; below zero for what it gives.
    pub fn charged_minor(&self) -> i64 {
        let amount_minor = self.amount_minor.unwrap_or(0);
        match self.direction() {
            Direction::Debit => amount_minor,
            Direction::Credit => -amount_minor,
            Direction::Nowhere => 0,
        }
    }

    /// The transaction's currency; the account's, where the message names none.
    pub fn currency_asked(&self) -> Currency {
        match self.command.amounts.transaction.currency {
            Currency::ABSENT => self.account.currency,
            stated => stated,
        }
    }

    /// The currencies between which a rate is needed, and none is there.
    pub fn rate_missing(&self) -> Option<(Currency, Currency)> {
        let amounts = &self.command.amounts;
        let from = amounts.billing.unwrap_or(amounts.transaction).currency;
        let to = self.account.currency;
        let is_missing = from != to && self.registry.rates.find(from, to).is_none();
        is_missing.then_some((from, to))
    }

    /// A kind that is not decided is looked at as if it took money, for the trace.
    pub fn takes_money(&self) -> bool {
        self.treatment.is_none_or(|treatment| treatment.takes_money)
    }

    /// Every set of controls that applies, from the widest to the card's own.
    pub fn controls(&self) -> impl Iterator<Item = (Owner, &'a Controls)> {
        self.controls.iter().copied()
    }
}

/// Gathered once: every rule goes through them. The card is the first of its chain.
pub fn controls_of<'a>(
    registry: &'a RegistryView,
    program: &'a Program,
    above: &[&'a Account],
    account: &'a Account,
    card: &'a Card,
) -> ControlsInOrder<'a> {
    let links = registry.links.of_card(card);
    let links = links.map(|(id, controls)| (Owner::link(id), controls));
    let own = card.controls.as_deref();
    let own = own.map(|controls| (Owner::CARD, controls));
    let mut controls = controls_of_account(program, above, account);
    controls.extend(links.chain(own));
    controls
}

/// Those that bind whatever draws on the account.
pub fn controls_of_account<'a>(
    program: &'a Program,
    above: &[&'a Account],
    account: &'a Account,
) -> ControlsInOrder<'a> {
    let above = Scope::ABOVE.into_iter().zip(above).rev();
    let of_account = |scope, account: &'a Account| {
        let owner = Owner::account(scope, account.id);
        (owner, account.controls.as_deref())
    };
    let above = above.map(|(scope, account)| of_account(scope, account));
    let program = (!program.controls.is_empty()).then_some(&program.controls);
    std::iter::once((Owner::PROGRAM, program))
        .chain(above)
        .chain([of_account(Scope::Account, account)])
        .filter_map(|(owner, controls)| Some((owner, controls?)))
        .collect()
}

/// The trace so far, the first failure, and the limit use that an approval brings.
#[derive(Debug, Default)]
pub struct Checks {
    pub trace: Trace,
    pub decline: Option<Decline>,
    pub uses: LimitUses,
    /// A risk rule asks for a cardholder who is authenticated.
    pub three_ds_required: bool,
}

impl Checks {
    pub fn pass(&mut self, step: Step, detail: Detail) {
        self.trace.push(step, StepResult::Pass, detail);
    }

    pub fn skip(&mut self, step: Step) {
        self.trace.push(step, StepResult::Skipped, Detail::None);
    }

    /// By controls of this owner: a linked object is named, as a card may have several; the rest goes without saying.
    pub fn pass_of(&mut self, step: Step, owner: Owner, detail: Detail) {
        let named = (owner.scope == Scope::Link).then_some(owner);
        self.trace.push_of(step, StepResult::Pass, named, detail);
    }

    /// Notes a failure; the first one decides.
    pub fn fail(&mut self, step: Step, reason: DeclineReason, detail: Detail) {
        self.note_failure(step, reason, None, detail);
    }

    /// The same by controls of this owner.
    pub fn fail_of(&mut self, step: Step, reason: DeclineReason, owner: Owner, detail: Detail) {
        self.note_failure(step, reason, Some(owner), detail);
    }

    fn note_failure(
        &mut self,
        step: Step,
        reason: DeclineReason,
        owner: Option<Owner>,
        detail: Detail,
    ) {
        self.trace.push_of(step, StepResult::Fail, owner, detail);
        self.decline.get_or_insert(Decline {
            reason,
            step,
            rule: rule_of(detail),
        });
    }
}

fn rule_of(detail: Detail) -> Option<RuleId> {
    match detail {
        Detail::LimitAmount { limit_id, .. } | Detail::LimitCount { limit_id, .. } => {
            Some(RuleId::Limit(limit_id))
        }
        Detail::List { control_id, .. } => Some(RuleId::Control(control_id)),
        Detail::RiskRule { rule_id, .. } => Some(RuleId::RiskRule(rule_id)),
        _ => None,
    }
}

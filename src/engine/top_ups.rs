//! Money that comes in from outside, in two steps: announced, then settled with what arrived, or failed. What waits, what
//! is decided on it, and what it changes. External references, which are unique within an account tree, are the registry's.

use super::apply::post;
use super::command::{Action, Command, TopUp};
use super::decide::Outcome;
use super::event::{Event, LedgerAccount, Posting, Refusal};
use super::failed_references::{self, FailedReferences};
use super::fees::charge::{self, Charges};
use super::ids::{AccountId, ApiKeyId, ProgramId, TopUpId};
use super::money::{Currency, Money};
use super::recent::Recent;
use super::registry::{RegistryAction, RegistryEvent, RegistryOutcome, RegistryRefusal};
use super::shares::{ShareBounds, Shares};
use super::state::{Account, AccountStatus, State};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};
use std::collections::BTreeMap;

/// Top-ups of one shard that wait for their money; above it further ones are refused.
pub const PENDING_TOP_UPS_MAX: usize = 100_000;
pub const PENDING_TOP_UPS_OF_TENANT_MAX: usize = 10_000;
const SHARES: ShareBounds = ShareBounds::new(PENDING_TOP_UPS_MAX, PENDING_TOP_UPS_OF_TENANT_MAX);

/// The ways in which money comes in.
pub const METHODS: [&str; 4] = ["swift", "sepa", USDT_METHOD, "internal"];

/// The method whose money is taken one to one for dollars.
pub const USDT_METHOD: &str = "usdt";

/// USDT counts millionths, USD hundredths.
const USDT_PER_CENT: i64 = 10_000;

/// How a top-up that was announced ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndTopUp {
    pub top_up_id: TopUpId,
    pub account_id: AccountId,
    pub end: TopUpEnd,
    /// The payment that was told, where one was: what it has settled it settles again in no other name.
    pub payment: Option<IncomingPayment>,
}

/// One payment of those that a request tells: the same where the request is repeated under its Idempotency-Key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncomingPayment {
    /// The first id of the write.
    pub write_id: u64,
    /// In its file; 0 where it is no file.
    pub line: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopUpEnd {
    Settled {
        /// Which may be more or less than was announced.
        arrived: Money,
        /// The day on which it did, as the rail says it.
        received_on: Option<Box<str>>,
    },
    Failed {
        reason: Box<str>,
    },
}

impl TopUpEnd {
    /// As much arrived, on the same day as far as both say one.
    fn is_told_again_by(&self, other: &TopUpEnd) -> bool {
        let settled = |end: &TopUpEnd| match end {
            TopUpEnd::Settled {
                arrived,
                received_on,
            } => Some((*arrived, received_on.clone())),
            TopUpEnd::Failed { .. } => None,
        };
        match (settled(self), settled(other)) {
            (Some((arrived, day)), Some((told, day_told))) => {
                arrived == told && (day == day_told || day.is_none() || day_told.is_none())
            }
            _ => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopUpStatus {
    Pending,
    Settled,
    Failed,
}

impl TopUpStatus {
    pub const ALL: &'static [(TopUpStatus, &'static str)] = &[
        (TopUpStatus::Pending, "pending"),
        (TopUpStatus::Settled, "settled"),
        (TopUpStatus::Failed, "failed"),
    ];

    pub fn name(self) -> &'static str {
        match self {
            TopUpStatus::Pending => "pending",
            TopUpStatus::Settled => "settled",
            TopUpStatus::Failed => "failed",
        }
    }
}

/// What came of the end of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopUpEnded {
    /// As it was announced, and when.
    pub top_up: TopUp,
    pub announced_at: Timestamp,
    pub postings: SmallVec<[Posting; 2]>,
    pub credit: Credit,
    /// On what arrived.
    pub charges: Charges,
}

/// What an amount that arrives is worth on an account.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// In the account's currency.
    pub credited_minor: i64,
    /// Less than one minor unit of that, in the currency in which it arrived; not credited.
    pub rest_minor: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingTopUp {
    pub top_up: TopUp,
    pub announced_at: Timestamp,
}

/// The top-ups that a shard knows beside those that were settled at once.
#[derive(Debug, Clone, Default)]
pub struct TopUps {
    pending: BTreeMap<TopUpId, PendingTopUp>,
    taken: Shares,
    /// Those that are over, with how they ended.
    pub ended: Recent<TopUpId, EndTopUp>,
}

impl TopUps {
    /// In the order of their ids.
    pub fn pending(&self) -> impl Iterator<Item = &PendingTopUp> {
        self.pending.values()
    }

    /// Puts one, new or restored, in its place.
    pub(super) fn insert_pending(&mut self, pending: PendingTopUp) {
        self.taken.add(pending.top_up.tenant, 1);
        self.pending.insert(pending.top_up.top_up_id, pending);
    }

    fn remove_pending(&mut self, id: TopUpId) {
        if let Some(pending) = self.pending.remove(&id) {
            self.taken.remove(pending.top_up.tenant, 1);
        }
    }
}

/// What so much of this method is worth on the account: one for one in its own currency, and dollars for USDT.
pub fn credit_of(account_currency: Currency, method: &str, arrived: Money) -> Option<Credit> {
    let Money {
        amount_minor,
        currency,
    } = arrived;
    if currency == account_currency {
        return Some(Credit {
            credited_minor: amount_minor,
            rest_minor: 0,
        });
    }
    let is_for_dollars =
        method == USDT_METHOD && currency == Currency::USDT && account_currency == Currency::USD;
    is_for_dollars.then_some(Credit {
        credited_minor: amount_minor / USDT_PER_CENT,
        rest_minor: amount_minor % USDT_PER_CENT,
    })
}

/// The currency in which an amount was credited: another number is another currency, as a cent is no millionth.
pub fn credited_currency(arrived: Money, credited_minor: i64) -> Currency {
    match credited_minor == arrived.amount_minor {
        true => arrived.currency,
        false => Currency::USD,
    }
}

/// What is credited of money that arrives for this account, or why nothing is.
pub fn credit(account: &Account, method: &str, arrived: Money) -> Result<Credit, Refusal> {
    if account.status == AccountStatus::Closed {
        return Err(Refusal::AccountStatusForbids(account.status));
    }
    let Some(credit) = credit_of(account.currency, method, arrived) else {
        let (account, given) = (account.currency, arrived.currency);
        return Err(Refusal::CurrencyMismatch { account, given });
    };
    match credit.credited_minor > 0 && account.can_receive_funds(credit.credited_minor) {
        true => Ok(credit),
        false => Err(Refusal::AmountOutOfRange),
    }
}

pub(super) fn legs(account_id: AccountId, credited_minor: i64) -> SmallVec<[Posting; 2]> {
    smallvec![
        Posting {
            ledger_account: LedgerAccount::Customer(account_id),
            amount_minor: credited_minor
        },
        Posting {
            ledger_account: LedgerAccount::FundsReceived,
            amount_minor: -credited_minor
        },
    ]
}

pub(super) fn decide_announce(state: &State, command: &Command, top_up: &TopUp) -> Outcome {
    let (id, account_id) = (top_up.top_up_id, top_up.account_id);
    let retention_ms = state.registry.settings.idempotency_retention_ms;
    let pending = state.announced.pending.get(&id);
    let ended = state.announced.ended.find(id, command.at, retention_ms);
    let known = pending.map(|pending| pending.top_up.account_id);
    let known = known.or(ended.map(|ended| ended.account_id));
    let known = known.or(state.top_ups.find(id, command.at, retention_ms).copied());
    if let Some(known) = known {
        return match known == account_id {
            true => Outcome::AlreadyDone,
            false => Outcome::Refused(Refusal::IdTaken),
        };
    }
    let Some(account) = state.account_of_tree(command.root, account_id) else {
        return Outcome::Refused(Refusal::AccountNotFound(account_id));
    };
    if let Err(refusal) = credit(account, &top_up.method, top_up.amount) {
        return Outcome::Refused(refusal);
    }
    match state.announced.taken.check(top_up.tenant, 1, &SHARES) {
        Ok(()) => Outcome::Event(Event::TopUpAnnounced),
        Err(_) => Outcome::Refused(Refusal::TooManyPendingTopUps),
    }
}

pub(super) fn decide_end(state: &State, command: &Command, end: &EndTopUp) -> Outcome {
    let id = end.top_up_id;
    let Some(pending) = state.announced.pending.get(&id) else {
        let retention_ms = state.registry.settings.idempotency_retention_ms;
        let ended = state.announced.ended.find(id, command.at, retention_ms);
        return match ended {
            Some(ended) if ended == end => Outcome::AlreadyDone,
            Some(ended) if ended.end.is_told_again_by(&end.end) => {
                Outcome::Refused(Refusal::TopUpSettledBefore(id))
            }
            _ => Outcome::Refused(Refusal::TopUpNotPending(id)),
        };
    };
    let account_id = pending.top_up.account_id;
    let account = state.account_of_tree(command.root, account_id);
    let Some(account) = account.filter(|account| account.id == end.account_id) else {
        return Outcome::Refused(Refusal::AccountNotFound(end.account_id));
    };
    let ended = |postings, credit: Credit| {
        let credited_minor = credit.credited_minor;
        Outcome::Event(Event::TopUpEnded(Box::new(TopUpEnded {
            top_up: pending.top_up.clone(),
            announced_at: pending.announced_at,
            postings,
            credit,
            charges: match credited_minor {
                0 => Charges::default(),
                _ => charge::of_top_up(&state.registry, account, credited_minor),
            },
        })))
    };
    match &end.end {
        TopUpEnd::Failed { .. } => ended(SmallVec::new(), Credit::default()),
        TopUpEnd::Settled { arrived, .. } => {
            match credit(account, &pending.top_up.method, *arrived) {
                Ok(credit) => ended(legs(account_id, credit.credited_minor), credit),
                Err(refusal) => Outcome::Refused(refusal),
            }
        }
    }
}

pub(super) fn apply_announce(state: &mut State, command: &Command, top_up: &TopUp) {
    let pending = PendingTopUp {
        top_up: top_up.clone(),
        announced_at: command.at,
    };
    state.announced.insert_pending(pending);
}

pub(super) fn apply_end(state: &mut State, command: &Command, end: &EndTopUp, ended: &TopUpEnded) {
    state.announced.remove_pending(end.top_up_id);
    if !ended.postings.is_empty() {
        post(state, end.account_id, &ended.postings);
    }
    let all = &mut state.announced.ended;
    all.remember(end.top_up_id, command.at, end.clone());
}

/// A reference that a payer states, with the top-up that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReserveReference {
    pub root: AccountId,
    /// As its shard is asked to carry it out.
    pub top_up: TopUp,
    /// At once, where nothing has to arrive.
    pub settles: bool,
    pub program_id: ProgramId,
    /// The top-up that had this reference and was never made, as its shard refused it; it is not made any more.
    pub in_place_of: Option<TopUpId>,
}

impl ReserveReference {
    pub fn action(&self) -> Action {
        let top_up = Box::new(self.top_up.clone());
        match self.settles {
            true => Action::TopUp(top_up),
            false => Action::AnnounceTopUp(top_up),
        }
    }
}

/// What a reference stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referenced {
    pub top_up_id: TopUpId,
    pub account_id: AccountId,
    /// Of the account's tree.
    pub root: AccountId,
    pub program_id: ProgramId,
    /// Who announced it.
    pub tenant: Option<ApiKeyId>,
    /// Its top-up has.
    pub has_failed: bool,
}

/// What is known of a payment: the reference that its payer stated, and what else was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedReference {
    pub reference: Box<str>,
    pub method: Option<Box<str>>,
    /// The account, or the root of its tree.
    pub account_id: Option<AccountId>,
    pub program_id: Option<ProgramId>,
}

impl StatedReference {
    fn fits(&self, method: &str, known: &Referenced) -> bool {
        let is_of = |id: AccountId| id == known.account_id || id == known.root;
        self.method.as_deref().is_none_or(|said| said == method)
            && self.account_id.is_none_or(is_of)
            && self.program_id.is_none_or(|id| id == known.program_id)
    }
}

/// A reference, its method and the tree of its account.
pub(super) type ReferenceKey = (Box<str>, Box<str>, AccountId);

/// External references, each with its method and the tree of its account, within which it is used once and for good; those of
/// top-ups that failed, as long as they are among the last of those. Whoever announces something does not know what others
/// have announced, and does not stop them.
#[derive(Debug, Clone, Default)]
pub struct References {
    by_key: BTreeMap<ReferenceKey, Referenced>,
    failed: FailedReferences,
}

impl References {
    pub(super) fn get(&self, key: &ReferenceKey) -> Option<Referenced> {
        self.by_key.get(key).copied()
    }

    /// What fits, of whatever trees.
    pub fn of(&self, stated: &StatedReference) -> impl Iterator<Item = Referenced> {
        let first = (stated.reference.clone(), "".into(), AccountId(0));
        let same = self.by_key.range(first..);
        let same = same.take_while(|((reference, ..), _)| *reference == stated.reference);
        let fitting = same.filter(|((_, method, _), known)| stated.fits(method, known));
        fitting.map(|(_, known)| *known)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Referenced)> {
        let all = self.by_key.iter();
        all.map(|((reference, method, _), known)| (&**method, &**reference, *known))
    }

    pub(super) fn insert(&mut self, method: &str, reference: &str, known: Referenced) {
        let key = (reference.into(), method.into(), known.root);
        if let Some(before) = self.by_key.get(&key) {
            self.failed.remove(before);
        }
        self.by_key.insert(key.clone(), known);
        if known.has_failed {
            for forgotten in self.failed.insert(&known, key) {
                self.by_key.remove(&forgotten);
            }
        }
    }
}

pub(super) fn decide_reference(
    references: &References,
    action: &RegistryAction,
) -> RegistryOutcome {
    match action {
        RegistryAction::ReserveReference(reserve) => decide_reserve(references, reserve),
        RegistryAction::FailReference(failed) => failed_references::decide(references, failed),
        action => panic!("no reference changes by this command: {action:?}"),
    }
}

fn decide_reserve(references: &References, reserve: &ReserveReference) -> RegistryOutcome {
    let top_up = &reserve.top_up;
    let reference = top_up.external_reference.as_deref().unwrap_or_default();
    match references.get(&(reference.into(), top_up.method.clone(), reserve.root)) {
        None => RegistryOutcome::Event(RegistryEvent::ReferenceReserved),
        Some(known) if known.top_up_id == top_up.top_up_id => RegistryOutcome::AlreadyDone,
        Some(known) if Some(known.top_up_id) == reserve.in_place_of => {
            RegistryOutcome::Event(RegistryEvent::ReferenceReserved)
        }
        Some(known) => RegistryOutcome::Refused(RegistryRefusal::ReferenceTaken(known.top_up_id)),
    }
}

pub(super) fn apply_reserve(references: &mut References, reserve: &ReserveReference) {
    let top_up = &reserve.top_up;
    let known = Referenced {
        top_up_id: top_up.top_up_id,
        account_id: top_up.account_id,
        root: reserve.root,
        program_id: reserve.program_id,
        tenant: top_up.tenant,
        has_failed: false,
    };
    let reference = top_up.external_reference.as_deref().unwrap_or_default();
    references.insert(&top_up.method, reference, known);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EUR: Currency = Currency(978);

    fn money(amount_minor: i64, currency: Currency) -> Money {
        Money {
            amount_minor,
            currency,
        }
    }

    proptest! {
        #[test]
        fn whole_cents_of_usdt_are_credited_and_nothing_is_lost_of_the_rest(amount in 0i64..i64::MAX) {
            let credit = credit_of(Currency::USD, "usdt", money(amount, Currency::USDT)).unwrap();
            prop_assert!((0..10_000).contains(&credit.rest_minor));
            let again = i128::from(credit.credited_minor) * 10_000 + i128::from(credit.rest_minor);
            prop_assert_eq!(again, i128::from(amount));
        }
    }

    #[test]
    fn only_usdt_is_taken_for_another_currency_and_only_for_dollars() {
        let of = |account, method, amount_minor, currency| {
            let credit = credit_of(account, method, money(amount_minor, currency));
            credit.map(|credit| (credit.credited_minor, credit.rest_minor))
        };
        let usdt = Currency::USDT;
        assert_eq!(of(Currency::USD, "usdt", 1_000_000, usdt), Some((100, 0)));
        assert_eq!(
            of(Currency::USD, "usdt", 1_009_999, usdt),
            Some((100, 9_999))
        );
        assert_eq!(
            of(Currency::USD, "usdt", 100, Currency::USD),
            Some((100, 0))
        );
        assert_eq!(of(usdt, "usdt", 1, usdt), Some((1, 0)));
        assert_eq!(of(Currency::USD, "sepa", 1_000_000, usdt), None);
        assert_eq!(of(EUR, "usdt", 1_000_000, usdt), None);
        assert_eq!(of(Currency::USD, "usdt", 100, EUR), None);
        assert_eq!(of(usdt, "usdt", 100, Currency::USD), None);
    }
}

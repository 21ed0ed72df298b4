//! Programs: what cards of one kind share, and what of it can be changed. What their controls mean is in `controls.rs`.

use super::approvals::SecondApprover;
use super::controls::Controls;
use super::conversion::BASIS_POINTS;
use super::fees::schedule::{self, ProgramFees};
use super::hold_expiry::HoldExpiry;
use super::ids::{AccountId, ProgramId};
use super::money::Currency;
use super::registry::{RegistryEvent, RegistryOutcome, RegistryRefusal, RegistryView};
use super::time::Timestamp;
use arrayvec::ArrayString;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// BINs of one program.
pub const BINS_MAX: usize = 50;

/// A bank identification number: six or eight digits.
pub type Bin = ArrayString<8>;

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    pub id: ProgramId,
    pub name: Box<str>,
    /// The card network's name, as the program states it.
    pub network: Box<str>,
    /// The first of its BINs: cards have it unless their order names another one.
    pub bin: Bin,
    pub currency: Currency,
    pub controls: Controls,
    pub hold_expiry: HoldExpiry,
    pub created_at: Timestamp,
    /// What is added to each conversion for cards of this program.
    pub foreign_exchange_mark_up_basis_points: u16,
    pub status: ProgramStatus,
    /// After the first.
    pub further_bins: Vec<Bin>,
    /// Of its BINs, those that are not in all as it is.
    pub bin_facts: Vec<BinFacts>,
    /// As in `prepaid`; any word.
    pub product_type: Option<Box<str>>,
    /// Where its BINs are of, as in `US`; any word.
    pub region: Option<Box<str>>,
    /// What it charges, if it does.
    pub fees: Option<ProgramFees>,
    /// What of it needs two people.
    pub second_approver: SecondApprover,
    pub limit_threshold_percents: LimitThresholds,
    /// On which cards draw that are ordered for it without an account. A root account of it, in its currency, as it was
    /// named; it may be closed since.
    pub master_account_id: Option<AccountId>,
}

/// What a program says of one of its BINs; what it does not say of it is the program's own.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinFacts {
    pub bin: Bin,
    pub network: Option<Box<str>>,
    pub region: Option<Box<str>>,
    pub product_type: Option<Box<str>>,
}

/// What holds for a BIN of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BinDetails<'a> {
    pub bin: Bin,
    pub network: &'a str,
    pub region: Option<&'a str>,
    pub product_type: Option<&'a str>,
}

/// Thresholds of all limits on its cards and accounts in one program.
pub const LIMIT_THRESHOLDS_MAX: usize = 10;

/// From which parts of what is allowed on a limit is told of, each for itself: percents, 1 to 100, from the least on, none
/// twice. No decision looks at them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitThresholds(Box<[u8]>);

impl Default for LimitThresholds {
    fn default() -> LimitThresholds {
        LimitThresholds(Box::new([80]))
    }
}

impl LimitThresholds {
    /// Of these in any order; nothing where one is out of range or twice there, or they are too many.
    pub fn of(percents: &[u8]) -> Option<LimitThresholds> {
        let mut sorted = percents.to_vec();
        sorted.sort_unstable();
        let is_within = sorted.iter().all(|percent| (1..=100).contains(percent));
        let is_once = sorted.windows(2).all(|two| two[0] < two[1]);
        let fits = is_within && is_once && sorted.len() <= LIMIT_THRESHOLDS_MAX;
        fits.then(|| LimitThresholds(sorted.into()))
    }

    pub fn percents(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProgramStatus {
    #[default]
    Active,
    /// Its cards do not pay.
    Suspended,
}

impl ProgramStatus {
    pub fn name(self) -> &'static str {
        match self {
            ProgramStatus::Active => "active",
            ProgramStatus::Suspended => "suspended",
        }
    }
}

impl Program {
    pub fn bins(&self) -> impl Iterator<Item = &Bin> {
        std::iter::once(&self.bin).chain(&self.further_bins)
    }

    /// What is said of it, where anything is.
    pub fn facts_of(&self, bin: &Bin) -> Option<&BinFacts> {
        self.bin_facts.iter().find(|facts| facts.bin == *bin)
    }

    /// What holds for it.
    pub fn details_of(&self, bin: &Bin) -> BinDetails<'_> {
        let said = self.facts_of(bin);
        let network = said.and_then(|facts| facts.network.as_deref());
        let region = said.and_then(|facts| facts.region.as_deref());
        let product_type = said.and_then(|facts| facts.product_type.as_deref());
        BinDetails {
            bin: *bin,
            network: network.unwrap_or(&self.network),
            region: region.or(self.region.as_deref()),
            product_type: product_type.or(self.product_type.as_deref()),
        }
    }

    /// The BIN that a card number begins with, the longest where several fit.
    pub fn bin_of(&self, digits: &str) -> Option<&Bin> {
        let fitting = self.bins().filter(|bin| digits.starts_with(bin.as_str()));
        fitting.max_by_key(|bin| bin.len())
    }
}

/// New values; what is absent stays as it is.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeProgram {
    pub id: ProgramId,
    pub name: Option<Box<str>>,
    pub controls: Option<Controls>,
    pub hold_expiry: Option<HoldExpiry>,
    pub foreign_exchange_mark_up_basis_points: Option<u16>,
    pub status: Option<ProgramStatus>,
    /// All of them, the first one first. None goes away.
    pub bins: Option<Vec<Bin>>,
    /// With `bins`: all that is said of them from now on.
    pub bin_facts: Vec<BinFacts>,
    pub product_type: Option<Box<str>>,
    pub region: Option<Box<str>>,
    /// Nothing inside ends it.
    pub fees: Option<Option<ProgramFees>>,
    pub second_approver: Option<SecondApprover>,
    pub limit_threshold_percents: Option<LimitThresholds>,
    /// Nothing inside ends it.
    pub master_account_id: Option<Option<AccountId>>,
}

impl ChangeProgram {
    pub fn nothing(id: ProgramId) -> ChangeProgram {
        ChangeProgram {
            id,
            ..ChangeProgram::default()
        }
    }
}

pub(super) fn decide_create(view: &RegistryView, program: &Program) -> RegistryOutcome {
    if view.programs.contains_key(&program.id) {
        return RegistryOutcome::Refused(RegistryRefusal::IdTaken);
    }
    match refusal(view, program) {
        Some(refusal) => RegistryOutcome::Refused(refusal),
        None => RegistryOutcome::Event(RegistryEvent::ProgramCreated {
            version: view.version + 1,
        }),
    }
}

pub(super) fn decide_change(view: &RegistryView, change: &ChangeProgram) -> RegistryOutcome {
    let Some(before) = view.programs.get(&change.id) else {
        return RegistryOutcome::Refused(RegistryRefusal::ProgramNotFound(change.id));
    };
    let now = changed(before, change);
    if now == **before {
        return RegistryOutcome::AlreadyDone;
    }
    let mut gone = before.bins().filter(|bin| !now.bins().any(|b| b == *bin));
    let refusal = match gone.next() {
        Some(bin) => Some(RegistryRefusal::BinRemoved(*bin)),
        None => refusal(view, &now),
    };
    match refusal {
        Some(refusal) => RegistryOutcome::Refused(refusal),
        None => RegistryOutcome::Event(RegistryEvent::ProgramChanged {
            version: view.version + 1,
        }),
    }
}

fn refusal(view: &RegistryView, program: &Program) -> Option<RegistryRefusal> {
    if program.foreign_exchange_mark_up_basis_points > BASIS_POINTS {
        return Some(RegistryRefusal::MarkUpTooHigh);
    }
    let twice = program.controls.limit_id_twice();
    let twice = twice.map(RegistryRefusal::LimitIdTwice);
    let of_fees = || schedule::refusal_of_program(view, program);
    twice.or_else(|| of_fees().map(RegistryRefusal::Fees))
}

fn changed(before: &Program, change: &ChangeProgram) -> Program {
    let mut now = before.clone();
    let change = change.clone();
    now.name = change.name.unwrap_or(now.name);
    now.controls = change.controls.unwrap_or(now.controls);
    now.hold_expiry = change.hold_expiry.unwrap_or(now.hold_expiry);
    let mark_up = change.foreign_exchange_mark_up_basis_points;
    now.foreign_exchange_mark_up_basis_points =
        mark_up.unwrap_or(now.foreign_exchange_mark_up_basis_points);
    now.status = change.status.unwrap_or(now.status);
    now.product_type = change.product_type.or(now.product_type);
    now.region = change.region.or(now.region);
    if let Some(fees) = change.fees {
        let id = |fees: Option<ProgramFees>| fees.map(|fees| fees.fee_schedule_id);
        // The same one goes on since when it did.
        now.fees = if id(fees) == id(now.fees) {
            now.fees
        } else {
            fees
        };
    }
    now.second_approver = change.second_approver.unwrap_or(now.second_approver);
    let thresholds = change.limit_threshold_percents;
    now.limit_threshold_percents = thresholds.unwrap_or(now.limit_threshold_percents);
    if let Some((first, further)) = change.bins.as_deref().and_then(<[Bin]>::split_first) {
        now.bin = *first;
        now.further_bins = further.to_vec();
        now.bin_facts = change.bin_facts;
    }
    now.master_account_id = change.master_account_id.unwrap_or(now.master_account_id);
    now
}

pub(super) fn apply_change(view: &mut RegistryView, change: &ChangeProgram) {
    if let Some(program) = view.programs.get_mut(&change.id) {
        *program = Arc::new(changed(program, change));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::controls::{Limit, Window};
    use crate::engine::ids::LimitId;

    fn bin(text: &str) -> Bin {
        Bin::from(text).unwrap()
    }

    fn view() -> RegistryView {
        let program = Program {
            id: ProgramId(1),
            name: "Ads".into(),
            bin: bin("411111"),
            further_bins: vec![bin("41111122")],
            ..Program::default()
        };
        let mut view = RegistryView::default();
        view.programs.insert(program.id, Arc::new(program));
        view
    }

    fn change(of: impl FnOnce(&mut ChangeProgram)) -> ChangeProgram {
        let mut change = ChangeProgram::nothing(ProgramId(1));
        of(&mut change);
        change
    }

    #[test]
    fn what_is_named_is_replaced_and_the_rest_stays() {
        let mut view = view();
        let wanted = change(|c| {
            c.name = Some("Travel".into());
            c.bins = Some(vec![bin("41111122"), bin("555555"), bin("411111")]);
            c.region = Some("US".into());
        });
        let event = RegistryEvent::ProgramChanged { version: 1 };
        assert_eq!(decide_change(&view, &wanted), RegistryOutcome::Event(event));
        apply_change(&mut view, &wanted);
        let now = view.programs[&ProgramId(1)].clone();
        let bins: Vec<&str> = now.bins().map(|bin| bin.as_str()).collect();
        assert_eq!((&*now.name, now.status), ("Travel", ProgramStatus::Active));
        assert_eq!(bins, ["41111122", "555555", "411111"]);
        assert_eq!(now.bin_of("4111112200000000"), Some(&bin("41111122")));
        assert_eq!(now.bin_of("4111113300000000"), Some(&bin("411111")));
        assert_eq!(now.bin_of("5100000000000000"), None);
        // The same once more changes nothing.
        assert_eq!(decide_change(&view, &wanted), RegistryOutcome::AlreadyDone);
    }

    #[test]
    fn what_is_said_of_a_bin_holds_for_it_and_the_rest_is_the_programs_own() {
        let mut view = view();
        let said = |of: &str, network: Option<&str>, region: Option<&str>| BinFacts {
            bin: bin(of),
            network: network.map(Into::into),
            region: region.map(Into::into),
            product_type: None,
        };
        let first = change(|c| {
            c.bins = Some(vec![bin("411111"), bin("41111122"), bin("555555")]);
            c.bin_facts = vec![
                said("555555", Some("mastercard"), None),
                said("41111122", None, Some("EU")),
            ];
            c.region = Some("US".into());
            c.product_type = Some("prepaid".into());
        });
        // The same BINs with less said of them are another program; a change of other things leaves them.
        let later = change(|c| c.region = Some("UK".into()));
        let less = change(|c| c.bins.clone_from(&first.bins));
        let own = ("", "UK");
        for (wanted, of_555555, of_41111122) in [
            (&first, ("mastercard", "US"), ("", "EU")),
            (&later, ("mastercard", "UK"), ("", "EU")),
            (&less, own, own),
        ] {
            let event = RegistryOutcome::Event(RegistryEvent::ProgramChanged { version: 1 });
            assert_eq!(decide_change(&view, wanted), event);
            apply_change(&mut view, wanted);
            assert_eq!(decide_change(&view, wanted), RegistryOutcome::AlreadyDone);
            let program = &view.programs[&ProgramId(1)];
            let of = |of: &str| {
                let details = program.details_of(&bin(of));
                assert_eq!(details.product_type, Some("prepaid"));
                (details.network, details.region.unwrap_or_default())
            };
            assert_eq!([of("555555"), of("41111122")], [of_555555, of_41111122]);
            assert_eq!(of("411111"), ("", program.region.as_deref().unwrap()));
        }
    }

    #[test]
    fn a_master_account_is_named_and_taken_back() {
        let mut view = view();
        let master = |id: Option<u64>| change(|c| c.master_account_id = Some(id.map(AccountId)));
        for id in [Some(7), Some(8), None] {
            let event = RegistryOutcome::Event(RegistryEvent::ProgramChanged { version: 1 });
            assert_eq!(decide_change(&view, &master(id)), event);
            apply_change(&mut view, &master(id));
            apply_change(&mut view, &change(|c| c.name = Some("x".into())));
            let now = view.programs[&ProgramId(1)].master_account_id;
            assert_eq!(now, id.map(AccountId));
            assert_eq!(
                decide_change(&view, &master(id)),
                RegistryOutcome::AlreadyDone
            );
        }
    }

    #[test]
    fn thresholds_are_percents_in_order_and_each_once() {
        let of = |percents: &[u8]| LimitThresholds::of(percents).map(|of| of.percents().to_vec());
        assert_eq!(LimitThresholds::default().percents(), [80]);
        assert_eq!(of(&[100, 1, 50]), Some(vec![1, 50, 100]));
        assert_eq!(of(&[]), Some(vec![]));
        for wrong in [&[0][..], &[101], &[80, 80], &[1; 11]] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let limit = Limit {
            id: LimitId(7),
            window: Window::Day,
            amount_minor: Some(1),
            count: None,
            time_zone: "UTC".into(),
            filter: None,
            refunds_restore: false,
        };
        let twice = Controls {
            limits: vec![limit.clone(), limit],
            ..Controls::default()
        };
        for (wanted, refusal) in [
            (
                change(|c| c.bins = Some(vec![bin("411111")])),
                RegistryRefusal::BinRemoved(bin("41111122")),
            ),
            (
                change(|c| c.foreign_exchange_mark_up_basis_points = Some(10_001)),
                RegistryRefusal::MarkUpTooHigh,
            ),
            (
                change(|c| c.controls = Some(twice)),
                RegistryRefusal::LimitIdTwice(LimitId(7)),
            ),
            (
                ChangeProgram::nothing(ProgramId(2)),
                RegistryRefusal::ProgramNotFound(ProgramId(2)),
            ),
        ] {
            let refused = RegistryOutcome::Refused(refusal);
            assert_eq!(decide_change(&view(), &wanted), refused);
        }
    }
}

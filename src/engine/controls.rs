//! What a customer allows: limits, lists, and what else binds, on a program, an account, a linked object or a card.
//! Checking them does not live here (see `rules/`), nor does counting (see `counters.rs`).

use super::facts::{Channel, Country, EntryMode};
use super::groups::MccGroupRef;
use super::ids::{ControlId, LimitId};
use super::limit_filter::LimitFilter;
use super::merchants::MerchantList;
use super::money::Currency;
use super::rolling::RollingWindow;
use super::three_ds::ThreeDsPolicy;
use super::time_windows::TimeWindow;
use serde::{Deserialize, Serialize};

/// All controls of one program, account, linked object or card. All that apply to a card must pass.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Controls {
    pub limits: Vec<Limit>,
    pub mcc: Option<List<u16>>,
    pub countries: Option<List<Country>>,
    pub currencies: Option<List<Currency>>,
    pub merchants: Option<MerchantList>,
    pub channels: Option<List<Channel>>,
    pub entry_modes: Option<List<EntryMode>>,
    /// When it may be used, within one of these; empty: at any time.
    pub time_windows: Vec<TimeWindow>,
    /// The first approved request for money is the last.
    pub single_use: bool,
    /// The first approved merchant is the only one.
    pub merchant_lock: bool,
    /// None: nothing is said, as `off`.
    pub three_ds: Option<ThreeDsPolicy>,
    /// Groups that the list `mcc` names beside its codes.
    pub mcc_groups: Vec<MccGroupRef>,
    /// Only where the cardholder is at home.
    pub home_country_only: bool,
}

impl Controls {
    pub fn is_empty(&self) -> bool {
        *self == Controls::default()
    }

    /// Whether an id stands for two lists or windows: a decline could not say which of them it was.
    pub fn control_id_twice(&self) -> bool {
        let lists = [
            self.mcc.as_ref().map(|list| list.id),
            self.countries.as_ref().map(|list| list.id),
            self.currencies.as_ref().map(|list| list.id),
            self.merchants.as_ref().map(|list| list.id),
            self.channels.as_ref().map(|list| list.id),
            self.entry_modes.as_ref().map(|list| list.id),
        ];
        let windows = self.time_windows.iter().map(|window| window.id);
        let mut ids: Vec<_> = lists.into_iter().flatten().chain(windows).collect();
        ids.sort_unstable();
        ids.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// Whether nothing that `before` forbade would be allowed now, and nothing counted anew. In doubt it is not.
    pub fn are_within(&self, before: &Controls) -> bool {
        let kept = |was: &Limit| self.limits.iter().any(|limit| limit.is_within(was));
        let fixed = |now: bool, was: bool| now || !was;
        before.limits.iter().all(kept)
            && within(&self.mcc, &before.mcc)
            && self.mcc_groups_within(before)
            && within(&self.countries, &before.countries)
            && within(&self.currencies, &before.currencies)
            && within(&self.channels, &before.channels)
            && within(&self.entry_modes, &before.entry_modes)
            && (before.merchants.is_none() || self.merchants == before.merchants)
            && (before.time_windows.is_empty() || self.time_windows == before.time_windows)
            && (before.three_ds.is_none() || self.three_ds == before.three_ds)
            && fixed(self.single_use, before.single_use)
            && fixed(self.merchant_lock, before.merchant_lock)
            && fixed(self.home_country_only, before.home_country_only)
    }

    fn mcc_groups_within(&self, before: &Controls) -> bool {
        let named = |all: &[MccGroupRef], of: &MccGroupRef| all.contains(of);
        let (now, was) = (&self.mcc_groups, &before.mcc_groups);
        let mode = |controls: &Controls| controls.mcc.as_ref().map(|list| list.mode);
        match mode(before) {
            None => true,
            was_mode if mode(self) != was_mode => was.is_empty() && now.is_empty(),
            Some(ListMode::Allow) => now.iter().all(|group| named(was, group)),
            Some(ListMode::Block) => was.iter().all(|group| named(now, group)),
        }
    }

    /// A limit id that stands for two limits; they would count as one.
    pub fn limit_id_twice(&self) -> Option<LimitId> {
        let mut ids: Vec<_> = self.limits.iter().map(|limit| limit.id).collect();
        ids.sort_unstable();
        let twice = ids.windows(2).find(|pair| pair[0] == pair[1])?;
        Some(twice[0])
    }
}

/// Whether a list lets through no more than another did.
fn within<T: Ord + Copy>(now: &Option<List<T>>, before: &Option<List<T>>) -> bool {
    let (Some(now), Some(before)) = (now, before) else {
        return before.is_none();
    };
    match (now.mode, before.mode) {
        (ListMode::Allow, _) => now.values.iter().all(|value| before.passes(*value)),
        (ListMode::Block, ListMode::Block) => before.values.iter().all(|value| now.names(*value)),
        (ListMode::Block, ListMode::Allow) => false,
    }
}

/// An allow list or a block list, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct List<T> {
    pub id: ControlId,
    pub mode: ListMode,
    values: Vec<T>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ListMode {
    /// Only what is listed passes.
    Allow,
    /// What is listed does not pass.
    Block,
}

impl<T: Ord + Copy> List<T> {
    pub fn new(id: ControlId, mode: ListMode, mut values: Vec<T>) -> List<T> {
        values.sort_unstable();
        values.dedup();
        List { id, mode, values }
    }

    pub fn passes(&self, value: T) -> bool {
        self.passes_if(self.names(value))
    }

    pub fn names(&self, value: T) -> bool {
        self.values.binary_search(&value).is_ok()
    }

    /// What becomes of a value that the list names, or does not.
    pub fn passes_if(&self, is_named: bool) -> bool {
        is_named == (self.mode == ListMode::Allow)
    }

    pub fn values(&self) -> &[T] {
        &self.values
    }
}

/// A bound on an amount, a count or both, in one window.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limit {
    pub id: LimitId,
    pub window: Window,
    /// In minor units of the account's currency.
    pub amount_minor: Option<i64>,
    pub count: Option<u32>,
    /// IANA name of the zone in which days, weeks, months and years begin.
    pub time_zone: Box<str>,
    /// Counts only what this lets through; none: everything.
    pub filter: Option<Box<LimitFilter>>,
    /// What a refund posts is given back to what was used.
    pub refunds_restore: bool,
}

impl Limit {
    /// Whether it counts as that one does, and lets through no more.
    fn is_within(&self, before: &Limit) -> bool {
        let at_most = |now: Option<i64>, was: Option<i64>| {
            was.is_none_or(|was| now.is_some_and(|now| now <= was))
        };
        let counts = (self.count.map(i64::from), before.count.map(i64::from));
        let bounds = Limit {
            amount_minor: before.amount_minor,
            count: before.count,
            ..self.clone()
        };
        bounds == *before
            && at_most(self.amount_minor, before.amount_minor)
            && at_most(counts.0, counts.1)
    }
}

/// The stretch of time over which a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Window {
    Transaction,
    Day,
    /// From Monday.
    Week,
    Month,
    Year,
    Lifetime,
    /// The time up to now, of a fixed length.
    Rolling(RollingWindow),
}

impl Window {
    pub const ROLLING: &'static str = "rolling";

    /// Those that their name says; a rolling one has a length beside it.
    pub const NAMED: &'static [(Window, &'static str)] = &[
        (Window::Transaction, "transaction"),
        (Window::Day, "day"),
        (Window::Week, "week"),
        (Window::Month, "month"),
        (Window::Year, "year"),
        (Window::Lifetime, "lifetime"),
    ];

    pub fn name(self) -> &'static str {
        Window::NAMED
            .iter()
            .find(|(known, _)| *known == self)
            .map_or(Window::ROLLING, |(_, name)| name)
    }

    pub fn from_name(name: &str) -> Option<Window> {
        Window::NAMED
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(window, _)| *window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allow_list_passes_what_it_names_and_a_block_list_the_rest() {
        let allow = List::new(ControlId(1), ListMode::Allow, vec![7311, 5411]);
        let block = List::new(ControlId(2), ListMode::Block, vec![7995]);
        assert_eq!(
            [5411, 7311, 7995].map(|mcc| allow.passes(mcc)),
            [true, true, false]
        );
        assert_eq!([5411, 7995].map(|mcc| block.passes(mcc)), [true, false]);
    }
}

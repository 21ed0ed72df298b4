//! Named sets that controls refer to, kept once for all who use them: groups of merchant category codes and
//! lists of merchants. The registry has them; a change counts from the next decision. Which controls refer to
//! them does not live here (see `controls.rs`, `limit_filter.rs`, `merchants.rs`).

use super::controls::Controls;
use super::facts::{Merchant, NetworkReference};
use super::ids::{MccGroupId, MerchantListId};
use super::merchants::MerchantEntry;
use super::time::Timestamp;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What the registry has of both; a part of its view.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    pub mcc_groups: HashMap<MccGroupId, Arc<MccGroup>>,
    pub merchant_lists: HashMap<MerchantListId, Arc<SharedMerchantList>>,
}

/// A group that a customer made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MccGroup {
    pub id: MccGroupId,
    pub name: Box<str>,
    mccs: Vec<u16>,
    pub created_at: Timestamp,
}

/// A list of merchants that many controls may name: ids first, in order, then names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedMerchantList {
    pub id: MerchantListId,
    pub name: Box<str>,
    entries: Vec<MerchantEntry>,
    pub created_at: Timestamp,
}

/// How controls name a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MccGroupRef {
    Builtin(BuiltinMccGroup),
    Own(MccGroupId),
}

/// Groups that come with the program. The journal stores the place in the list: new ones go to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BuiltinMccGroup {
    Gambling,
    Cash,
    QuasiCash,
    Travel,
    Fuel,
    Restaurants,
    Groceries,
    Advertising,
}

impl BuiltinMccGroup {
    pub const ALL: &'static [(BuiltinMccGroup, &'static str)] = &[
        (BuiltinMccGroup::Gambling, "gambling"),
        (BuiltinMccGroup::Cash, "cash"),
        (BuiltinMccGroup::QuasiCash, "quasi_cash"),
        (BuiltinMccGroup::Travel, "travel"),
        (BuiltinMccGroup::Fuel, "fuel"),
        (BuiltinMccGroup::Restaurants, "restaurants"),
        (BuiltinMccGroup::Groceries, "groceries"),
        (BuiltinMccGroup::Advertising, "advertising"),
    ];

    pub fn name(self) -> &'static str {
        super::facts::name_of(BuiltinMccGroup::ALL, self)
    }

    /// Codes and their meanings are those of ISO 18245, with the ranges that it leaves to airlines, car
    /// rental and lodging; 7800 to 7802, 5552, 6050 and 9406 are what networks added to it.
    pub fn mccs(self) -> &'static [RangeInclusive<u16>] {
        match self {
            // Lotteries, online casinos, horse and dog racing (7800 to 7802); betting; lotteries abroad.
            BuiltinMccGroup::Gambling => &[7800..=7802, 7995..=7995, 9406..=9406],
            // At the counter of a financial institution; at a machine.
            BuiltinMccGroup::Cash => &[6010..=6011],
            // Money transfer; quasi cash of institutions and merchants; stored value.
            BuiltinMccGroup::QuasiCash => &[4829..=4829, 6050..=6051, 6540..=6540],
            // Airlines (3000 to 3350), car rental (3351 to 3441), hotels (3501 to 3999), each by name; railways,
            // buses, cruise lines, other airlines, travel agencies, other lodging, timeshares, other rentals.
            BuiltinMccGroup::Travel => &[
                3000..=3350,
                3351..=3441,
                3501..=3999,
                4112..=4112,
                4131..=4131,
                4411..=4411,
                4511..=4511,
                4722..=4722,
                7011..=7012,
                7512..=7513,
                7519..=7519,
            ],
            // Service stations, automated dispensers, charging of vehicles.
            BuiltinMccGroup::Fuel => &[5541..=5542, 5552..=5552],
            // Caterers, eating places, bars, fast food.
            BuiltinMccGroup::Restaurants => &[5811..=5814],
            // Supermarkets, meat, sweets, dairy, bakeries, other food.
            BuiltinMccGroup::Groceries => &[
                5411..=5411,
                5422..=5422,
                5441..=5441,
                5451..=5451,
                5462..=5462,
                5499..=5499,
            ],
            BuiltinMccGroup::Advertising => &[7311..=7311],
        }
    }
}

impl MccGroup {
    pub fn new(
        id: MccGroupId,
        name: Box<str>,
        mut mccs: Vec<u16>,
        created_at: Timestamp,
    ) -> MccGroup {
        mccs.sort_unstable();
        mccs.dedup();
        MccGroup {
            id,
            name,
            mccs,
            created_at,
        }
    }

    pub fn mccs(&self) -> &[u16] {
        &self.mccs
    }
}

impl SharedMerchantList {
    pub fn new(
        id: MerchantListId,
        name: Box<str>,
        mut entries: Vec<MerchantEntry>,
        created_at: Timestamp,
    ) -> SharedMerchantList {
        entries.sort_unstable();
        entries.dedup();
        SharedMerchantList {
            id,
            name,
            entries,
            created_at,
        }
    }

    pub fn entries(&self) -> &[MerchantEntry] {
        &self.entries
    }

    /// Looks among the ids, which are in order, and then at each name.
    pub fn names(&self, merchant: &Merchant, reference: &NetworkReference) -> bool {
        let is_same = |entry: &&MerchantEntry| match entry {
            MerchantEntry::Id { id, .. } => **id == *merchant.id,
            _ => false,
        };
        let before = |entry: &MerchantEntry| match entry {
            MerchantEntry::Id { id, .. } => **id < *merchant.id,
            _ => false,
        };
        let first = self.entries.partition_point(before);
        let same = self.entries[first..].iter().take_while(is_same);
        let is_id = |entry: &MerchantEntry| matches!(entry, MerchantEntry::Id { .. });
        let patterns = &self.entries[self.entries.partition_point(is_id)..];
        same.chain(patterns)
            .any(|entry| entry.names(merchant, reference))
    }
}

impl Groups {
    pub fn has_mcc(&self, group: MccGroupRef, mcc: u16) -> bool {
        match group {
            MccGroupRef::Builtin(builtin) => {
                builtin.mccs().iter().any(|range| range.contains(&mcc))
            }
            MccGroupRef::Own(id) => {
                let group = self.mcc_groups.get(&id);
                group.is_some_and(|group| group.mccs.binary_search(&mcc).is_ok())
            }
        }
    }

    pub fn any_has_mcc(&self, groups: &[MccGroupRef], mcc: u16) -> bool {
        groups.iter().any(|group| self.has_mcc(*group, mcc))
    }

    pub fn list_names(
        &self,
        id: MerchantListId,
        merchant: &Merchant,
        reference: &NetworkReference,
    ) -> bool {
        let list = self.merchant_lists.get(&id);
        list.is_some_and(|list| list.names(merchant, reference))
    }

    /// Whether all that these controls name is there.
    pub fn has_all_of(&self, controls: &Controls) -> bool {
        let filters = || controls.limits.iter().flat_map(|limit| &limit.filter);
        let groups = filters().flat_map(|filter| &filter.mcc_groups);
        let mut groups = groups.chain(&controls.mcc_groups);
        let lists = filters().flat_map(|filter| filter.merchant_lists.iter().copied());
        let entries = controls.merchants.iter().flat_map(|list| &list.entries);
        let shared = entries.filter_map(|entry| match entry {
            MerchantEntry::Shared(id) => Some(*id),
            _ => None,
        });
        groups.all(|group| match group {
            MccGroupRef::Builtin(_) => true,
            MccGroupRef::Own(id) => self.mcc_groups.contains_key(id),
        }) && lists
            .chain(shared)
            .all(|id| self.merchant_lists.contains_key(&id))
    }

    pub fn mcc_groups_in_order(&self) -> Vec<&MccGroup> {
        let mut groups: Vec<_> = self.mcc_groups.values().map(Arc::as_ref).collect();
        groups.sort_unstable_by_key(|group| group.id);
        groups
    }

    pub fn merchant_lists_in_order(&self) -> Vec<&SharedMerchantList> {
        let mut lists: Vec<_> = self.merchant_lists.values().map(Arc::as_ref).collect();
        lists.sort_unstable_by_key(|list| list.id);
        lists
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::merchants::tests::at;

    #[test]
    fn builtin_groups_have_codes_of_four_digits_in_order_and_none_twice() {
        for (group, name) in BuiltinMccGroup::ALL {
            assert_eq!(group.name(), *name);
            let ranges = group.mccs();
            assert!(!ranges.is_empty() && *ranges[ranges.len() - 1].end() <= 9_999);
            assert!(ranges.iter().all(|range| range.start() <= range.end()));
            let in_order = |pair: &[RangeInclusive<u16>]| pair[0].end() < pair[1].start();
            assert!(ranges.windows(2).all(in_order), "{name}");
        }
        let groups = Groups::default();
        let has = |group, mcc| groups.has_mcc(MccGroupRef::Builtin(group), mcc);
        assert!(has(BuiltinMccGroup::Travel, 3_058) && has(BuiltinMccGroup::Gambling, 7_995));
        assert!(!has(BuiltinMccGroup::Travel, 3_500) && !has(BuiltinMccGroup::Cash, 0));
    }

    #[test]
    fn a_group_or_list_that_is_not_there_has_nothing_in_it() {
        let groups = Groups::default();
        assert!(!groups.has_mcc(MccGroupRef::Own(MccGroupId(1)), 5_411));
        let (merchant, reference) = at("M1", "SHOP", "7");
        assert!(!groups.list_names(MerchantListId(1), &merchant, &reference));
    }

    #[test]
    fn a_long_list_finds_ids_of_any_acquirer_and_names() {
        let id = |id: &str, acquirer_id: Option<&str>| MerchantEntry::Id {
            id: id.into(),
            acquirer_id: acquirer_id.map(Into::into),
        };
        let mut entries = vec![
            MerchantEntry::Name("AMAZON*".into()),
            id("M5", Some("7")),
            id("M5", Some("8")),
            id("A", None),
            id("Z", Some("9")),
            MerchantEntry::Name("*CASINO*".into()),
            id("A", None),
        ];
        entries.extend((0..500).map(|number| id(&format!("N{number}"), None)));
        let list = SharedMerchantList::new(MerchantListId(1), "all".into(), entries, Timestamp(0));
        assert_eq!(list.entries().len(), 506);
        for (id, name, acquirer_id, named) in [
            ("M5", "SHOP", "7", true),
            ("M5", "SHOP", "00008", true),
            ("M5", "SHOP", "9", false),
            ("M5", "SHOP", "", false),
            ("A", "SHOP", "", true),
            ("Z", "SHOP", "9", true),
            ("N499", "SHOP", "9", true),
            ("N500", "SHOP", "9", false),
            ("", "SHOP", "9", false),
            ("", "AMAZON DE", "9", true),
            ("N500", "LUCKY CASINO", "", true),
        ] {
            let (merchant, reference) = at(id, name, acquirer_id);
            assert_eq!(list.names(&merchant, &reference), named, "{id} {name}");
        }
    }
}

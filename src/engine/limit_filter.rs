//! What a limit counts, where it does not count everything. What it allows of it does not live here
//! (see `controls.rs`).

use super::command::Authorize;
use super::facts::{Channel, Country, Kind};
use super::groups::{Groups, MccGroupRef};
use super::ids::MerchantListId;
use super::state::Card;
use serde::{Deserialize, Serialize};

/// All parts that are stated must match; one that is empty matches everything.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LimitFilter {
    pub mccs: Vec<u16>,
    pub countries: Vec<Country>,
    pub channels: Vec<Channel>,
    pub kinds: Vec<Kind>,
    pub merchant_ids: Vec<Box<str>>,
    /// Beside the MCCs: a request with one of those, or of one of these groups.
    pub mcc_groups: Vec<MccGroupRef>,
    /// Beside the merchant ids.
    pub merchant_lists: Vec<MerchantListId>,
    /// Only as long as the cardholder is not verified.
    pub until_verified: bool,
}

impl LimitFilter {
    pub fn is_empty(&self) -> bool {
        *self == LimitFilter::default()
    }

    pub fn matches(&self, authorize: &Authorize, groups: &Groups) -> bool {
        self.matches_mcc(authorize, groups)
            && self.matches_merchant(authorize, groups)
            && any_or_empty(&self.countries, |country| {
                *country == authorize.merchant.country
            })
            && any_or_empty(&self.channels, |channel| *channel == authorize.channel)
            && any_or_empty(&self.kinds, |kind| *kind == authorize.kind)
    }

    fn matches_mcc(&self, authorize: &Authorize, groups: &Groups) -> bool {
        let mcc = authorize.merchant.mcc;
        (self.mccs.is_empty() && self.mcc_groups.is_empty())
            || self.mccs.contains(&mcc)
            || groups.any_has_mcc(&self.mcc_groups, mcc)
    }

    fn matches_merchant(&self, authorize: &Authorize, groups: &Groups) -> bool {
        let (merchant, reference) = (&authorize.merchant, &authorize.reference);
        let mut lists = self.merchant_lists.iter();
        (self.merchant_ids.is_empty() && self.merchant_lists.is_empty())
            || self.merchant_ids.iter().any(|id| **id == *merchant.id)
            || lists.any(|id| groups.list_names(*id, merchant, reference))
    }

    /// Whether it is about a card at all, whatever is asked of it.
    pub fn is_of(&self, card: &Card) -> bool {
        !(self.until_verified && card.is_verified())
    }

    /// Whether it counts nothing but cash.
    pub fn is_of_cash(&self) -> bool {
        !self.kinds.is_empty() && self.kinds.iter().all(|kind| kind.is_cash())
    }
}

fn any_or_empty<T>(values: &[T], matches: impl Fn(&T) -> bool) -> bool {
    values.is_empty() || values.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::facts::Merchant;
    use crate::engine::groups::BuiltinMccGroup;

    fn request() -> Authorize {
        Authorize {
            kind: Kind::CashWithdrawal,
            channel: Channel::Atm,
            merchant: Merchant {
                id: arrayvec::ArrayString::from("M1").unwrap(),
                country: Country(*b"DE"),
                mcc: 6011,
                ..Merchant::default()
            },
            ..Authorize::default()
        }
    }

    #[test]
    fn every_part_that_is_stated_must_match() {
        let all = LimitFilter {
            mccs: vec![5411, 6011],
            countries: vec![Country(*b"DE")],
            channels: vec![Channel::Atm],
            kinds: vec![Kind::CashWithdrawal, Kind::QuasiCash],
            merchant_ids: vec!["M1".into(), "M2".into()],
            ..LimitFilter::default()
        };
        let groups = Groups::default();
        let matches = |filter: &LimitFilter, request: &Authorize| filter.matches(request, &groups);
        assert!(matches(&all, &request()) && matches(&LimitFilter::default(), &request()));
        let others: [fn(&mut Authorize); 5] = [
            |request| request.merchant.mcc = 0,
            |request| request.merchant.country = Country::UNKNOWN,
            |request| request.channel = Channel::Unknown,
            |request| request.kind = Kind::Purchase,
            |request| request.merchant.id.clear(),
        ];
        for change in others {
            let mut other = request();
            change(&mut other);
            assert!(!matches(&all, &other), "{other:?}");
        }
    }

    #[test]
    fn codes_and_groups_of_them_are_one_part_and_so_are_ids_and_lists() {
        let groups = Groups::default();
        let of = |mccs: &[u16], builtin| LimitFilter {
            mccs: mccs.to_vec(),
            mcc_groups: vec![MccGroupRef::Builtin(builtin)],
            ..LimitFilter::default()
        };
        assert!(of(&[], BuiltinMccGroup::Cash).matches(&request(), &groups));
        assert!(of(&[6_011], BuiltinMccGroup::Fuel).matches(&request(), &groups));
        assert!(!of(&[5_411], BuiltinMccGroup::Fuel).matches(&request(), &groups));
        let nobody = LimitFilter {
            merchant_lists: vec![MerchantListId(1)],
            ..LimitFilter::default()
        };
        assert!(!nobody.matches(&request(), &groups));
        let by_id = LimitFilter {
            merchant_ids: vec!["M1".into()],
            ..nobody
        };
        assert!(by_id.matches(&request(), &groups));
    }

    #[test]
    fn it_is_of_cash_if_it_names_no_other_kind() {
        let of = |kinds: &[Kind]| LimitFilter {
            kinds: kinds.to_vec(),
            ..LimitFilter::default()
        };
        assert!(of(&[Kind::CashWithdrawal, Kind::QuasiCash]).is_of_cash());
        assert!(!of(&[Kind::CashWithdrawal, Kind::Purchase]).is_of_cash());
        assert!(!of(&[]).is_of_cash());
    }
}

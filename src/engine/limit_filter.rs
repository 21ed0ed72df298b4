//! What a limit counts, where it does not count everything. What it allows of it does not live here
//! (see `controls.rs`).

use super::command::Authorize;
use super::facts::{Channel, Country, Kind};
use serde::{Deserialize, Serialize};

/// All parts that are stated must match; one that is empty matches everything.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LimitFilter {
    pub mccs: Vec<u16>,
    pub countries: Vec<Country>,
    pub channels: Vec<Channel>,
    pub kinds: Vec<Kind>,
    pub merchant_ids: Vec<Box<str>>,
}

impl LimitFilter {
    pub fn is_empty(&self) -> bool {
        *self == LimitFilter::default()
    }

    pub fn matches(&self, authorize: &Authorize) -> bool {
        let merchant = &authorize.merchant;
        any_or_empty(&self.mccs, |mcc| *mcc == merchant.mcc)
            && any_or_empty(&self.countries, |country| *country == merchant.country)
            && any_or_empty(&self.channels, |channel| *channel == authorize.channel)
            && any_or_empty(&self.kinds, |kind| *kind == authorize.kind)
            && any_or_empty(&self.merchant_ids, |id| **id == *merchant.id)
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
        };
        assert!(all.matches(&request()) && LimitFilter::default().matches(&request()));
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
            assert!(!all.matches(&other), "{other:?}");
        }
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

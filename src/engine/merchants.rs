//! Lists of merchants, by id or by name. Whether a merchant passes does not live here (see
//! `rules/merchant.rs`).

use super::controls::ListMode;
use super::facts::{Merchant, NetworkReference};
use super::groups::Groups;
use super::ids::{ControlId, MerchantListId};
use serde::{Deserialize, Serialize};

/// An allow list or a block list, in the order in which it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MerchantList {
    pub id: ControlId,
    pub mode: ListMode,
    pub entries: Vec<MerchantEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MerchantEntry {
    /// An id is unique to its acquirer only; without one, it is the merchant of any.
    Id {
        id: Box<str>,
        acquirer_id: Option<Box<str>>,
    },
    /// Any name that this pattern describes.
    Name(Box<str>),
    /// Any on a list that the registry has; none where it has no such list.
    Shared(MerchantListId),
}

impl MerchantList {
    /// The place of the first entry that names this merchant.
    pub fn find(
        &self,
        merchant: &Merchant,
        reference: &NetworkReference,
        groups: &Groups,
    ) -> Option<usize> {
        let mut entries = self.entries.iter();
        entries.position(|entry| entry.is_of(merchant, reference, groups))
    }
}

impl MerchantEntry {
    /// Whether it names this merchant, by itself or by the list that it stands for.
    pub fn is_of(
        &self,
        merchant: &Merchant,
        reference: &NetworkReference,
        groups: &Groups,
    ) -> bool {
        match self {
            MerchantEntry::Shared(id) => groups.list_names(*id, merchant, reference),
            entry => entry.names(merchant, reference),
        }
    }

    pub(super) fn names(&self, merchant: &Merchant, reference: &NetworkReference) -> bool {
        match self {
            MerchantEntry::Id { id, acquirer_id } => {
                **id == *merchant.id
                    && acquirer_id.as_deref().is_none_or(|acquirer_id| {
                        same_acquirer(acquirer_id, &reference.acquirer_id)
                    })
            }
            MerchantEntry::Name(pattern) => matches_pattern(pattern, &merchant.name),
            // A list is no part of a list.
            MerchantEntry::Shared(_) => false,
        }
    }
}

/// Acquirers are numbers, which some networks write with zeros before them.
pub fn same_acquirer(one: &str, other: &str) -> bool {
    one.trim_start_matches('0') == other.trim_start_matches('0')
}

/// Whether a pattern describes all of a text, whatever the case of its Latin letters; `*` stands for any
/// run of characters. A text that is not stated is described by none.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.trim().as_bytes());
    let (mut at, mut place) = (0, 0);
    // Where the last star is, and where the text was when it stood for nothing.
    let mut star: Option<(usize, usize)> = None;
    if text.is_empty() {
        return false;
    }
    while place < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(byte) if byte.eq_ignore_ascii_case(&text[place]) => {
                at += 1;
                place += 1;
            }
            _ => {
                let Some((star_at, from)) = star else {
                    return false;
                };
                // The star stands for one byte more.
                star = Some((star_at, from + 1));
                at = star_at + 1;
                place = from + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use arrayvec::ArrayString;
    use proptest::prelude::*;

    pub fn at(id: &str, name: &str, acquirer_id: &str) -> (Merchant, NetworkReference) {
        let merchant = Merchant {
            id: ArrayString::from(id).unwrap(),
            name: ArrayString::from(name).unwrap(),
            ..Merchant::default()
        };
        let reference = NetworkReference {
            acquirer_id: ArrayString::from(acquirer_id).unwrap(),
            ..NetworkReference::default()
        };
        (merchant, reference)
    }

    #[test]
    fn a_merchant_is_named_by_id_with_or_without_acquirer_or_by_name() {
        let id = |id: &str, acquirer_id: Option<&str>| MerchantEntry::Id {
            id: id.into(),
            acquirer_id: acquirer_id.map(Into::into),
        };
        let list = MerchantList {
            id: ControlId(1),
            mode: ListMode::Allow,
            entries: vec![
                id("M1", Some("412345")),
                id("M2", None),
                MerchantEntry::Name("amazon*".into()),
            ],
        };
        for (merchant, found) in [
            (at("M1", "", "412345"), Some(0)),
            (at("M1", "", "00000412345"), Some(0)),
            (at("M1", "", "412346"), None),
            (at("M1", "", ""), None),
            (at("M2", "", "7"), Some(1)),
            (at("m2", "", "7"), None),
            (at("", "", ""), None),
            (at("M9", "AMAZON MKTPLACE", ""), Some(2)),
            (at("M9", "NOT AMAZON", ""), None),
        ] {
            assert_eq!(
                list.find(&merchant.0, &merchant.1, &Groups::default()),
                found,
                "{merchant:?}"
            );
        }
    }

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, text, matches) in [
            ("UBER", "uber", true),
            ("UBER", "uber eats", false),
            ("UBER*", "UBER", true),
            ("*EATS", "UBER EATS", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxxb", true),
            ("*a*b", "xxaxxbxx", false),
            ("**", "x", true),
            ("*", "", false),
            ("*", "  ", false),
            ("UBER", " UBER  ", true),
        ] {
            assert_eq!(matches_pattern(pattern, text), matches, "{pattern} {text}");
        }
    }

    /// The same by trying everything.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some(b'*'), _) => {
                naive(&pattern[1..], text) || (!text.is_empty() && naive(pattern, &text[1..]))
            }
            (Some(one), Some(other)) if one.eq_ignore_ascii_case(other) => {
                naive(&pattern[1..], &text[1..])
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_match_as_trying_everything_says(pattern in "[aAb*]{0,8}", text in "[abB]{1,10}") {
            prop_assert_eq!(
                matches_pattern(&pattern, &text),
                naive(pattern.as_bytes(), text.as_bytes())
            );
        }
    }
}

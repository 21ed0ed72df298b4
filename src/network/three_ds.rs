//! What a message says of 3-D Secure, from where its dialect has it. Whether a cryptogram is right is told by
//! the network only: to compute one takes keys that the switch does not have.

use super::dialect_map::{CodeTable, DialectMap};
use crate::engine::three_ds::{Authentication, Cryptogram, Exemption, ThreeDs};
use crate::iso8583::Message;
use crate::iso8583::mapping::{CodeMap, Location, Mappings};

/// Where a dialect has the facts, and what its codes mean.
pub struct ThreeDsMap {
    eci: Option<Location>,
    cavv: Option<Location>,
    authentication: Vec<CodeTable<Authentication>>,
    cavv_result: Vec<CodeTable<Cryptogram>>,
    exemption: Vec<CodeTable<Exemption>>,
}

impl ThreeDsMap {
    pub(super) fn compile(mappings: &Mappings) -> ThreeDsMap {
        fn tables<T: Copy>(maps: &[CodeMap], meaning: fn(&str) -> Option<T>) -> Vec<CodeTable<T>> {
            let tables = maps.iter().map(|map| CodeTable::compile(map, meaning));
            tables.collect()
        }
        ThreeDsMap {
            eci: mappings.eci.clone(),
            cavv: mappings.cavv.clone(),
            authentication: tables(&mappings.three_ds, authentication_of),
            cavv_result: tables(&mappings.cavv_result, cavv_result_of),
            exemption: tables(&mappings.exemption, exemption_of),
        }
    }
}

impl DialectMap {
    pub fn three_ds(&self, message: &Message) -> ThreeDs {
        fn first<T: Copy>(tables: &[CodeTable<T>], message: &Message) -> Option<T> {
            tables.iter().find_map(|table| table.find(message))
        }
        let map = &self.three_ds;
        let eci = map.eci.as_ref().and_then(|at| message.locate::<4>(at));
        let result = first(&map.cavv_result, message);
        let cryptogram = match result.unwrap_or_default() {
            // What was found is known, even if the value itself was not sent on.
            checked @ (Cryptogram::Valid | Cryptogram::Invalid) => checked,
            _ if has_cavv(map, message) => Cryptogram::Present,
            _ => Cryptogram::Absent,
        };
        ThreeDs {
            eci: eci.and_then(|eci| eci.parse().ok()),
            authentication: first(&map.authentication, message).unwrap_or_default(),
            cryptogram,
            exemption: first(&map.exemption, message).unwrap_or_default(),
        }
    }

    pub fn is_initiated_by_merchant(&self, message: &Message) -> bool {
        self.is_up(message, "merchant_initiated")
    }
}

/// Blanks and zeros are what fills the place where there is none.
fn has_cavv(map: &ThreeDsMap, message: &Message) -> bool {
    let value = map.cavv.as_ref().and_then(|at| message.locate::<128>(at));
    value.is_some_and(|value| value.bytes().any(|byte| !matches!(byte, b' ' | b'0')))
}

pub(super) fn authentication_of(word: &str) -> Option<Authentication> {
    match word {
        "none" => Some(Authentication::Absent),
        word => {
            let found = Authentication::ALL.iter().find(|(_, name)| *name == word);
            found.map(|(value, _)| *value)
        }
    }
}

pub(super) fn cavv_result_of(word: &str) -> Option<Cryptogram> {
    match word {
        "unchecked" => Some(Cryptogram::Present),
        word => {
            let found = Cryptogram::ALL.iter().find(|(_, name)| *name == word);
            found.map(|(value, _)| *value)
        }
    }
}

pub(super) fn exemption_of(word: &str) -> Option<Exemption> {
    let found = Exemption::ALL.iter().find(|(_, name)| *name == word);
    found.map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso8583::mapping::{CAVV_RESULTS, EXEMPTIONS, THREE_DS_RESULTS};

    #[test]
    fn every_word_of_the_mappings_means_something() {
        for word in THREE_DS_RESULTS {
            assert!(authentication_of(word).is_some(), "{word}");
        }
        for word in CAVV_RESULTS {
            assert!(cavv_result_of(word).is_some(), "{word}");
        }
        for word in EXEMPTIONS {
            assert!(exemption_of(word).is_some(), "{word}");
        }
    }
}

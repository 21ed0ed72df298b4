//! How each fact of a message may be said in a dialect, and whether a message says it. A fact may have several ways,
//! because dialects find one in several places; the first that leaves all facts before it as they are is taken.

use super::dialect_map::{DialectMap, channel_of};
use super::merchant::merchant;
use super::outgoing::{MessageType, Outgoing, StandIn};
use super::outgoing_fields::{Fields, Setting};
use super::three_ds::{authentication_of, cavv_result_of, exemption_of};
use crate::engine::facts::{Country, EntryMode, Kind};
use crate::engine::three_ds::{Authentication, Cryptogram, Exemption};
use crate::iso8583::mapping::{CodeMap, Sign};
use crate::iso8583::{Message, Mti};
use crate::security::Pan;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    Kind,
    Merchant,
    EntryMode,
    Authentication,
    Cryptogram,
    Exemption,
    InitiatedByMerchant,
    PartialApprovalSupported,
    Final,
    StandIn,
    Channel,
    Token,
}

/// In the order in which they are said: those with the fewest ways first.
pub const FACTS: &[Fact] = &[
    Fact::Kind,
    Fact::Merchant,
    Fact::Token,
    Fact::EntryMode,
    Fact::Authentication,
    Fact::Cryptogram,
    Fact::Exemption,
    Fact::InitiatedByMerchant,
    Fact::PartialApprovalSupported,
    Fact::Final,
    Fact::StandIn,
    Fact::Channel,
];

/// Invented: base64 of 20 bytes, and their hexadecimal digits.
const CRYPTOGRAMS: [&str; 2] = [
    "AAABBEg0VhI0VniQEjRWAAAAAAA=",
    "0000010448345612345678901234560000000000",
];

/// Settings that say something together.
type Way = Vec<Setting>;

impl Fact {
    /// As the interface calls it.
    pub fn name(self) -> &'static str {
        match self {
            Fact::Kind => "kind",
            Fact::Merchant => "merchant",
            Fact::EntryMode => "entry_mode",
            Fact::Authentication => "three_ds.authentication",
            Fact::Cryptogram => "three_ds.cryptogram",
            Fact::Exemption => "three_ds.exemption",
            Fact::InitiatedByMerchant => "merchant_initiated",
            Fact::PartialApprovalSupported => "partial_approval_supported",
            Fact::Final => "final",
            Fact::StandIn => "declined_as",
            Fact::Channel => "channel",
            Fact::Token => "token_in",
        }
    }

    pub fn ways(self, map: &DialectMap, outgoing: &Outgoing) -> Vec<Way> {
        let mappings = map.dialect.mappings();
        let three_ds = &outgoing.three_ds;
        match self {
            Fact::Kind => kind_ways(map, outgoing),
            Fact::Merchant | Fact::StandIn => vec![Vec::new()],
            Fact::EntryMode => {
                let code = mappings
                    .entry_mode
                    .code(entry_mode_word(outgoing.entry_mode));
                let way = |code: &str| vec![(mappings.entry_mode.at.clone(), code.to_owned())];
                let mut ways: Vec<Way> = code.map(way).into_iter().collect();
                ways.extend(Some(Vec::new()).filter(|_| outgoing.entry_mode == EntryMode::Unknown));
                ways
            }
            Fact::Authentication => {
                let wanted = three_ds.authentication;
                // The later tables are what most networks have: the indicator.
                let tables = mappings.three_ds.iter().rev();
                let ways = tables.flat_map(|table| {
                    ways_of(table, |word| authentication_of(word) == Some(wanted))
                });
                nothing_if(wanted == Authentication::Absent, ways.collect())
            }
            Fact::Cryptogram => cryptogram_ways(map, three_ds.cryptogram),
            Fact::Exemption => {
                let wanted = three_ds.exemption;
                let tables = mappings.exemption.iter();
                let ways = tables
                    .flat_map(|table| ways_of(table, |word| exemption_of(word) == Some(wanted)));
                nothing_if(wanted == Exemption::None, ways.collect())
            }
            Fact::InitiatedByMerchant => {
                let ways = flag_ways(map, "merchant_initiated");
                nothing_if(!outgoing.initiated_by_merchant, ways)
            }
            Fact::PartialApprovalSupported => {
                let ways = flag_ways(map, "partial_approval_supported");
                nothing_if(!outgoing.partial_approval_supported, ways)
            }
            Fact::Final => match outgoing.is_final {
                true => vec![Vec::new()],
                false => not_final_ways(map),
            },
            Fact::Token => token_ways(map, outgoing.token.as_ref()),
            Fact::Channel => {
                let tables = mappings.channel.iter();
                let wanted = outgoing.channel;
                let ways = tables
                    .flat_map(|table| ways_of(table, |word| Some(channel_of(word)) == wanted));
                // Mostly it follows from the entry mode.
                [Vec::new()].into_iter().chain(ways).collect()
            }
        }
    }

    fn holds(self, map: &DialectMap, message: &Message, outgoing: &Outgoing) -> bool {
        match self {
            // A reversal is of whatever its original is.
            Fact::Kind if outgoing.message_type.is_reversal() => true,
            Fact::Kind => map.kind(message) == plain_kind(outgoing),
            Fact::Merchant => {
                let (said, meant) = (merchant(message, ""), &outgoing.merchant);
                let is_there = meant.country == Country::UNKNOWN || said.country == meant.country;
                said.mcc == meant.mcc && is_there
            }
            Fact::EntryMode => map.entry_mode(message) == outgoing.entry_mode,
            Fact::Authentication => {
                map.three_ds(message).authentication == outgoing.three_ds.authentication
            }
            Fact::Cryptogram => map.three_ds(message).cryptogram == outgoing.three_ds.cryptogram,
            Fact::Exemption => map.three_ds(message).exemption == outgoing.three_ds.exemption,
            // What is not asked for may follow from the rest: an increment, for some networks.
            Fact::InitiatedByMerchant => {
                !outgoing.initiated_by_merchant || map.is_initiated_by_merchant(message)
            }
            Fact::PartialApprovalSupported => {
                map.is_partial_approval_supported(message) == outgoing.partial_approval_supported
            }
            Fact::Final => {
                let is_told = outgoing.message_type == MessageType::FinancialAdvice;
                !is_told || map.is_final(message) == outgoing.is_final
            }
            Fact::StandIn => {
                let declined = matches!(outgoing.stand_in, Some(StandIn::Declined(_)));
                map.was_declined(message) == declined
            }
            Fact::Token => {
                let said = map.token(message);
                said.as_deref() == outgoing.token.as_ref().map(Pan::digits)
            }
            Fact::Channel => outgoing
                .channel
                .is_none_or(|channel| map.channel(message) == channel),
        }
    }
}

impl Outgoing {
    /// Whether a message of these fields says all of these facts.
    pub(super) fn says(&self, facts: &[Fact], fields: &Fields, map: &DialectMap, mti: Mti) -> bool {
        let Ok(bytes) = fields.encode(&map.dialect, mti) else {
            return false;
        };
        let Ok(message) = Message::parse(&map.dialect, &bytes) else {
            return false;
        };
        facts.iter().all(|fact| fact.holds(map, &message, self))
    }
}

fn nothing_if(is_nothing: bool, ways: Vec<Way>) -> Vec<Way> {
    match is_nothing {
        true => vec![Vec::new()],
        false => ways,
    }
}

/// Each code of a table that has this meaning.
fn ways_of<'m>(
    table: &'m CodeMap,
    means: impl Fn(&str) -> bool + 'm,
) -> impl Iterator<Item = Way> + 'm {
    let codes = table.codes.iter().filter(move |(_, word)| means(word));
    codes.map(|(code, _)| vec![(table.at.clone(), code.to_string())])
}

/// The number, and the mark that it is a token's where the dialect has one.
fn token_ways(map: &DialectMap, number: Option<&Pan>) -> Vec<Way> {
    let Some(number) = number else {
        return vec![Vec::new()];
    };
    let Some(at) = &map.dialect.mappings().token else {
        return Vec::new();
    };
    let mut marks = flag_ways(map, "tokenized");
    if map.dialect.mappings().flag("tokenized").is_none() {
        marks.push(Vec::new());
    }
    let digits = || (at.clone(), number.digits().to_owned());
    // Last, as the mark may stand in the same place.
    marks.iter_mut().for_each(|way| way.push(digits()));
    marks
}

fn flag_ways(map: &DialectMap, flag: &str) -> Vec<Way> {
    let flag = map.dialect.mappings().flag(flag);
    let signs = flag.into_iter().flat_map(|flag| &flag.any_of);
    signs.flat_map(sign_ways).collect()
}

fn sign_ways(sign: &Sign) -> Vec<Way> {
    let values = sign.values.iter().map(|value| {
        let mut way = vec![(sign.at.clone(), value.to_string())];
        let mut and = sign.and.as_deref();
        while let Some(sign) = and {
            let value = sign.values.first().map(|value| value.to_string());
            way.push((sign.at.clone(), value.unwrap_or_default()));
            and = sign.and.as_deref();
        }
        way
    });
    values.collect()
}

/// As a processing code tells it: a flag or a function code makes it more, an MCC a fuel pump.
fn plain_kind(outgoing: &Outgoing) -> Kind {
    match (outgoing.kind, outgoing.message_type) {
        (Kind::FuelDispenser, _) => Kind::Purchase,
        // Only a request asks for an increment.
        (Kind::PreAuthorization | Kind::Incremental, message_type)
            if message_type != MessageType::Request =>
        {
            Kind::Purchase
        }
        (kind, _) => kind,
    }
}

fn kind_ways(map: &DialectMap, outgoing: &Outgoing) -> Vec<Way> {
    let table = &map.dialect.mappings().kind;
    let kind = plain_kind(outgoing);
    let (word, flag) = match kind {
        Kind::PreAuthorization => ("purchase", Some("pre_authorization")),
        Kind::Incremental => ("purchase", Some("incremental_authorization")),
        kind => (kind.name(), None),
    };
    let Some(code) = table.code(word) else {
        return Vec::new();
    };
    let code = (table.at.clone(), code.to_owned());
    // The function code may have said it already, or that there is an original.
    let ways = flag.map_or_else(Vec::new, |flag| flag_ways(map, flag));
    let ways = [Vec::new()].into_iter().chain(ways);
    let ways = ways.filter(|way| way.iter().all(|(at, _)| at.field != 90));
    ways.map(|way| [vec![code.clone()], way].concat()).collect()
}

/// The network's word on a cryptogram goes with the cryptogram itself.
fn cryptogram_ways(map: &DialectMap, wanted: Cryptogram) -> Vec<Way> {
    let mappings = map.dialect.mappings();
    let Some(at) = mappings
        .cavv
        .as_ref()
        .filter(|_| wanted != Cryptogram::Absent)
    else {
        return nothing_if(wanted == Cryptogram::Absent, Vec::new());
    };
    let tables = mappings.cavv_result.iter();
    let results =
        tables.flat_map(|table| ways_of(table, |word| cavv_result_of(word) == Some(wanted)));
    let results: Vec<Way> = match wanted {
        Cryptogram::Present => vec![Vec::new()],
        _ => results.collect(),
    };
    let with = |cryptogram: &str| vec![(at.clone(), cryptogram.to_owned())];
    let ways = results.iter().flat_map(|result| {
        CRYPTOGRAMS
            .iter()
            .map(|text| [with(text), result.clone()].concat())
    });
    ways.collect()
}

/// The place of the flag, with what does not raise it: these marks are one digit.
fn not_final_ways(map: &DialectMap) -> Vec<Way> {
    let flag = map.dialect.mappings().flag("final_authorization");
    let signs = flag.into_iter().flat_map(|flag| &flag.any_of);
    signs
        .map(|sign| vec![(sign.at.clone(), "0".to_owned())])
        .collect()
}

/// The words of dialect files.
fn entry_mode_word(mode: EntryMode) -> &'static str {
    match mode {
        EntryMode::Fallback => "magnetic_stripe_fallback",
        mode => mode.name(),
    }
}

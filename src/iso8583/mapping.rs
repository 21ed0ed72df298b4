//! How domain facts sit in the fields of a dialect: read from its file, checked, and kept as data.
//! What a kind or a reason does is not known here; module `network` compiles these.

use super::spec::{Place, Section, SpecError, Value};

/// Words that dialect files may use for the kind of a transaction.
pub const KINDS: &[&str] = &[
    "purchase",
    "purchase_with_cash_back",
    "cash_withdrawal",
    "quasi_cash",
    "refund",
    "deposit",
    "original_credit",
    "balance_inquiry",
    "account_verification",
    "account_transfer",
    "account_funding",
    "pin_change",
    "pin_unblock",
    "debit_adjustment",
    "credit_adjustment",
];

/// Words for what a function code (DE24 of ISO 8583:1993) makes of a message.
pub const FUNCTIONS: &[&str] = &[
    "original_authorization",
    "pre_authorization",
    "incremental_authorization",
    "final_authorization",
    "replacement_authorization",
    "resubmission",
    "account_verification",
    "balance_inquiry",
    "original_financial",
    "previously_approved",
    "representment",
    "full_reversal",
    "partial_reversal",
    "final_reconciliation",
    "checkpoint_reconciliation",
];

/// Words for how the card data came in.
pub const ENTRY_MODES: &[&str] = &[
    "unknown",
    "manual",
    "magnetic_stripe",
    "magnetic_stripe_fallback",
    "barcode",
    "ocr",
    "chip",
    "chip_unreliable",
    "contactless",
    "contactless_magnetic_stripe",
    "ecommerce",
    "credential_on_file",
];

/// Words for where a transaction takes place.
pub const CHANNELS: &[&str] = &[
    "pos",
    "atm",
    "ecommerce",
    "moto",
    "recurring",
    "installment",
    "unattended",
    "unknown",
];

/// Words for the outcome of cardholder authentication over 3-D Secure.
pub const THREE_DS_RESULTS: &[&str] = &[
    "authenticated",
    "attempted",
    "not_authenticated",
    "failed",
    "none",
];

/// Words for what the network found when it checked the cardholder authentication verification value.
pub const CAVV_RESULTS: &[&str] = &["valid", "invalid", "unchecked"];

/// Words for why no cardholder authentication is claimed to be needed.
pub const EXEMPTIONS: &[&str] = &[
    "low_value",
    "transaction_risk_analysis",
    "recurring",
    "secure_corporate",
    "trusted_beneficiary",
    "delegated_authentication",
    "authentication_outage",
];

/// Words for a flag that a dialect finds in a field.
pub const FLAGS: &[&str] = &[
    "partial_approval_supported",
    "pre_authorization",
    "incremental_authorization",
    "final_authorization",
    "merchant_initiated",
    "card_present",
    "cardholder_present",
    "pin_capable",
    "tokenized",
    "stand_in",
    "approved",
];

/// A field, or a sub-field of it by name or tag, or characters of it: `"62.2"`, `"22[1-2]"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Field number.
    pub field: u8,
    /// Names or tags inside the field, joined by dots; empty for the whole field.
    pub path: Box<str>,
    /// Characters of it, counted from 1, first and last: `"22[1-2]"`; none for all.
    pub positions: Option<(u8, u8)>,
}

/// Codes found at a place and what they mean.
#[derive(Clone, Debug)]
pub struct CodeMap {
    /// Where the code stands.
    pub at: Location,
    /// Code (or its beginning) and word.
    pub codes: Vec<(Box<str>, Box<str>)>,
}

impl CodeMap {
    /// The word of the longest code that `value` begins with.
    pub fn word(&self, value: &str) -> Option<&str> {
        let matching = self
            .codes
            .iter()
            .filter(|(code, _)| value.starts_with(&**code));
        matching
            .max_by_key(|(code, _)| code.len())
            .map(|(_, word)| &**word)
    }

    /// The first code that stands for this word.
    pub fn code(&self, word: &str) -> Option<&str> {
        self.codes
            .iter()
            .find(|(_, known)| **known == *word)
            .map(|(code, _)| &**code)
    }
}

/// A flag that is up when one of its signs is there.
#[derive(Clone, Debug)]
pub struct Flag {
    /// One of [`FLAGS`].
    pub name: Box<str>,
    /// At least one.
    pub any_of: Vec<Sign>,
}

/// A place that holds a value that begins with one of these, and, where it says so, another one as well.
#[derive(Clone, Debug)]
pub struct Sign {
    /// Where to look.
    pub at: Location,
    /// Values that raise the flag.
    pub values: Vec<Box<str>>,
    /// What has to be there too.
    pub and: Option<Box<Sign>>,
}

/// How local date and time stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateTimeLayout {
    /// ISO 8583:1987: DE12 `hhmmss`, DE13 `MMDD`.
    De12HhmmssDe13Mmdd,
    /// ISO 8583:1993: DE12 `YYMMDDhhmmss`.
    De12Yymmddhhmmss,
}

/// Where a reversal or an advice names its original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginalData {
    /// ISO 8583:1987 DE90, n 42: MTI 4, STAN 6, DE7 10, acquirer 11, forwarder 11.
    De90,
    /// ISO 8583:1993 DE56, n ..35 LLVAR: MTI 4, STAN 6, DE12 12, acquirer LLVAR 11.
    De56,
}

/// Where the amount stands that replaces the original's, and its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplacementAmount {
    /// ISO 8583:1987 DE95, an 42: the *actual* amount in its first 12 digits.
    De95,
    /// ISO 8583:1993 DE30, n 24: the *original* amount in its first 12 digits; DE4 has the new one.
    De30,
}

/// Where domain facts sit. `None` where a dialect has no such thing.
#[derive(Clone, Debug)]
pub struct Mappings {
    /// Local date and time.
    pub date_time: DateTimeLayout,
    /// Data of the original.
    pub original_data: OriginalData,
    /// Replacement amount.
    pub replacement_amount: ReplacementAmount,
    /// Processing code to kind.
    pub kind: CodeMap,
    /// Function code (DE24 of 1993) to function.
    pub function: Option<CodeMap>,
    /// Entry mode of the card data.
    pub entry_mode: CodeMap,
    /// Channel: asked in this order, the first that knows the code decides.
    pub channel: Vec<CodeMap>,
    /// Outcome of 3-D Secure: asked in this order, the first that knows the code decides.
    pub three_ds: Vec<CodeMap>,
    /// Whether the network found the cardholder authentication verification value right.
    pub cavv_result: Vec<CodeMap>,
    /// Exemption from cardholder authentication.
    pub exemption: Vec<CodeMap>,
    /// Flags.
    pub flags: Vec<Flag>,
    /// Name of the merchant.
    pub merchant_name: Location,
    /// City of the merchant.
    pub merchant_city: Option<Location>,
    /// Country of the merchant: alpha-2, alpha-3 or numeric, told by its form.
    pub merchant_country: Option<Location>,
    /// Card verification value 2 as keyed by the cardholder.
    pub cvv2: Option<Location>,
    /// Cardholder authentication verification value.
    pub cavv: Option<Location>,
    /// Electronic commerce indicator.
    pub eci: Option<Location>,
    /// Token number in place of which the PAN stands.
    pub token: Option<Location>,
    /// Token requestor.
    pub token_requestor: Option<Location>,
    /// Identifier that the network gives a transaction and all that follows from it.
    pub network_transaction_id: Option<Location>,
    /// Settlement date, `MMDD`.
    pub settlement_date: Option<Location>,
    /// Additional amounts: account type 2, amount type 2, currency 3, sign 1, amount 12, repeated.
    pub additional_amounts: Option<Location>,
    /// Why a message came: reversal or advice reason.
    pub message_reason: Option<Location>,
}

const DATE_TIMES: &[(&str, DateTimeLayout)] = &[
    ("de12_hhmmss_de13_mmdd", DateTimeLayout::De12HhmmssDe13Mmdd),
    ("de12_yymmddhhmmss", DateTimeLayout::De12Yymmddhhmmss),
];
const ORIGINALS: &[(&str, OriginalData)] =
    &[("de90", OriginalData::De90), ("de56", OriginalData::De56)];
const REPLACEMENTS: &[(&str, ReplacementAmount)] = &[
    ("de95", ReplacementAmount::De95),
    ("de30", ReplacementAmount::De30),
];

/// Says whether a location exists in the dialect that is being read.
pub(super) type Exists<'a> = &'a dyn Fn(&Location) -> bool;

impl Mappings {
    pub(super) fn read(mut section: Section, exists: Exists) -> Result<Mappings, SpecError> {
        let place = section.place.clone();
        let lacks = |key: &str| place.error(format!("`mappings` lacks the key `{key}`"));
        let s = &mut section;
        let mappings = Mappings {
            date_time: s
                .choice("date_time", DATE_TIMES)?
                .ok_or_else(|| lacks("date_time"))?,
            original_data: s
                .choice("original_data", ORIGINALS)?
                .ok_or_else(|| lacks("original_data"))?,
            replacement_amount: s
                .choice("replacement_amount", REPLACEMENTS)?
                .ok_or_else(|| lacks("replacement_amount"))?,
            kind: code_map(s, "kind", KINDS, exists)?.ok_or_else(|| lacks("kind"))?,
            function: code_map(s, "function", FUNCTIONS, exists)?,
            entry_mode: code_map(s, "entry_mode", ENTRY_MODES, exists)?
                .ok_or_else(|| lacks("entry_mode"))?,
            channel: code_maps(s, "channel", CHANNELS, exists)?,
            three_ds: code_maps(s, "three_ds", THREE_DS_RESULTS, exists)?,
            cavv_result: code_maps(s, "cavv_result", CAVV_RESULTS, exists)?,
            exemption: code_maps(s, "exemption", EXEMPTIONS, exists)?,
            flags: flags(s, exists)?,
            merchant_name: location(s, "merchant_name", exists)?
                .ok_or_else(|| lacks("merchant_name"))?,
            merchant_city: location(s, "merchant_city", exists)?,
            merchant_country: location(s, "merchant_country", exists)?,
            cvv2: location(s, "cvv2", exists)?,
            cavv: location(s, "cavv", exists)?,
            eci: location(s, "eci", exists)?,
            token: location(s, "token", exists)?,
            token_requestor: location(s, "token_requestor", exists)?,
            network_transaction_id: location(s, "network_transaction_id", exists)?,
            settlement_date: location(s, "settlement_date", exists)?,
            additional_amounts: location(s, "additional_amounts", exists)?,
            message_reason: location(s, "message_reason", exists)?,
        };
        section.done()?;
        Ok(mappings)
    }

    /// The flag of this name, if the dialect has it.
    pub fn flag(&self, name: &str) -> Option<&Flag> {
        self.flags.iter().find(|flag| *flag.name == *name)
    }
}

fn location(
    section: &mut Section,
    key: &str,
    exists: Exists,
) -> Result<Option<Location>, SpecError> {
    match section.text(key)? {
        // An overlay says `""` where its network has no such field.
        Some((text, _)) if text.is_empty() => Ok(None),
        Some((text, place)) => parse_location(&text, &place, exists).map(Some),
        None => Ok(None),
    }
}

fn parse_location(text: &str, place: &Place, exists: Exists) -> Result<Location, SpecError> {
    let wrong = || {
        let expected =
            "a location is a field number, a sub-field, or characters: \"4\", \"62.2\", \"22[3]\"";
        place.error(format!("{text:?}: {expected}"))
    };
    let (place_of, positions) = match text.split_once('[') {
        None => (text, None),
        Some((before, range)) => (before, Some(positions(range).ok_or_else(wrong)?)),
    };
    let (field, path) = place_of.split_once('.').unwrap_or((place_of, ""));
    let location = Location {
        field: field.parse().map_err(|_| wrong())?,
        path: path.into(),
        positions,
    };
    if !exists(&location) {
        return Err(place.error(format!(
            "{text:?} names no field or sub-field of this dialect"
        )));
    }
    Ok(location)
}

/// `3]` or `1-2]`.
fn positions(range: &str) -> Option<(u8, u8)> {
    let range = range.strip_suffix(']')?;
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (1 <= first && first <= last).then_some((first, last))
}

fn code_map(
    section: &mut Section,
    key: &str,
    words: &[&str],
    exists: Exists,
) -> Result<Option<CodeMap>, SpecError> {
    let Some(section) = section.section(key)? else {
        return Ok(None);
    };
    read_code_map(section, words, exists).map(Some)
}

fn read_code_map(
    mut section: Section,
    words: &[&str],
    exists: Exists,
) -> Result<CodeMap, SpecError> {
    let (text, place) = section.required_text("at")?;
    let at = parse_location(&text, &place, exists)?;
    let codes = section.section("codes")?;
    let Some(codes) = codes else {
        return Err(section
            .place
            .error(format!("`{}` lacks the key `codes`", section.path)));
    };
    let pairs = codes.into_texts()?.into_iter().map(|(code, word, place)| {
        known(&word, words, &place)?;
        Ok((code.into(), word.into()))
    });
    let codes = pairs.collect::<Result<_, _>>()?;
    section.done()?;
    Ok(CodeMap { at, codes })
}

fn known(word: &str, words: &[&str], place: &Place) -> Result<(), SpecError> {
    if words.contains(&word) {
        return Ok(());
    }
    Err(place.error(format!(
        "{word:?} is not known; use one of: {}",
        words.join(", ")
    )))
}

/// `[[mappings.channel]]` and the like.
fn code_maps(
    section: &mut Section,
    key: &str,
    words: &[&str],
    exists: Exists,
) -> Result<Vec<CodeMap>, SpecError> {
    let items = section.list(key)?.unwrap_or_default();
    let maps = items.into_iter().map(|item| {
        let section = Section::from_node(format!("mappings.{key}"), item)?;
        read_code_map(section, words, exists)
    });
    maps.collect()
}

/// `[mappings.flags]`: `name = { at = "60.8", values = ["1"] }`, or a list of those.
fn flags(section: &mut Section, exists: Exists) -> Result<Vec<Flag>, SpecError> {
    let Some(section) = section.section("flags")? else {
        return Ok(Vec::new());
    };
    let path = section.path.clone();
    let flags = section.keys.into_iter().map(|(name, node)| {
        known(&name, FLAGS, &node.place)?;
        let path = format!("{path}.{name}");
        let place = node.place.clone();
        let signs = match node.value {
            Value::List(signs) => signs,
            _ => vec![node],
        };
        if signs.is_empty() {
            return Err(
                place.error("a flag needs a place, as in `{ at = \"60.8\", values = [\"1\"] }`")
            );
        }
        let signs = signs
            .into_iter()
            .map(|node| sign(Section::from_node(path.clone(), node)?, exists));
        Ok(Flag {
            name: name.into(),
            any_of: signs.collect::<Result<_, _>>()?,
        })
    });
    flags.collect()
}

fn sign(mut section: Section, exists: Exists) -> Result<Sign, SpecError> {
    let (text, place) = section.required_text("at")?;
    let at = parse_location(&text, &place, exists)?;
    let values = section.list("values")?.unwrap_or_default();
    let values = values.into_iter().map(|value| match value.value {
        Value::Text(text) => Ok(text.into()),
        _ => Err(value.place.error("a flag's values are texts in quotes")),
    });
    let values = values.collect::<Result<_, _>>()?;
    let and = section.section("and")?;
    let and = and.map(|and| sign(and, exists)).transpose()?.map(Box::new);
    section.done()?;
    Ok(Sign { at, values, and })
}

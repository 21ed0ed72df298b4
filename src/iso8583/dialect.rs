//! A dialect: a specification file compiled once into flat tables that parsing and encoding use.
//! How a field is described is in `field`, the maps to domain facts in `mapping`.

use std::collections::BTreeMap;

use super::identity::{Identity, NameKind};
use super::{
    field::{Encoding, FieldSpec, Filler, Layout},
    field_spec::{Defaults, encodings},
    mapping::{Location, Mappings},
    spec::{Section, SpecError, Value, overlay, read},
};

/// Highest field number: three bitmaps of 64.
pub const MAX_FIELD: u8 = 192;

/// Why a message is answered the way it is: every key that `[response_codes]` must have. The
/// decline reasons in the order in which they are checked, then the outcomes that are no decline.
pub const RESPONSE_REASONS: &[&str] = &[
    "format_error",
    "invalid_transaction",
    "invalid_amount",
    "unsupported_function",
    "duplicate_transmission",
    "reversed_before_original",
    "original_not_found",
    "invalid_merchant",
    "terminal_not_permitted",
    "card_not_found",
    "unknown_bin",
    "verification_tries_exceeded",
    "cvv_mismatch",
    "cryptogram_invalid",
    "expiry_mismatch",
    "pin_incorrect",
    "pin_tries_exceeded",
    "pin_required",
    "avs_mismatch",
    "security_violation",
    "card_expired",
    "card_not_activated",
    "card_frozen",
    "card_blocked",
    "card_lost",
    "card_stolen",
    "card_closed",
    "card_used",
    "token_not_found",
    "token_mismatch",
    "token_not_active",
    "token_suspended",
    "token_expired",
    "account_frozen",
    "account_closed",
    "program_suspended",
    "cardholder_unverified",
    "insufficient_funds",
    "funding_source_unavailable",
    "per_transaction_limit_exceeded",
    "daily_limit_exceeded",
    "weekly_limit_exceeded",
    "monthly_limit_exceeded",
    "yearly_limit_exceeded",
    "lifetime_limit_exceeded",
    "rolling_limit_exceeded",
    "velocity_count_exceeded",
    "cash_limit_exceeded",
    "mcc_blocked",
    "mcc_not_allowed",
    "country_blocked",
    "country_not_allowed",
    "currency_blocked",
    "currency_not_allowed",
    "exchange_rate_missing",
    "merchant_blocked",
    "merchant_not_allowed",
    "merchant_lock_mismatch",
    "entry_mode_blocked",
    "channel_blocked",
    "outside_time_window",
    "suspected_fraud",
    "rule_declined",
    "sanctions_blocked",
    "three_ds_failed",
    "three_ds_required",
    "cavv_invalid",
    "dynamic_linking_mismatch",
    "decision_declined",
    "decision_timeout",
    "decision_invalid_response",
    "stand_in_declined",
    "internal_error",
    "overloaded",
    "answer_too_late",
    "capacity_exceeded",
    "signed_off",
    "approved",
    "partially_approved",
    "reversal_accepted",
    "unknown_reversal",
    "advice_accepted",
    "network_management_accepted",
    "network_management_declined",
    "reconciliation_in_balance",
    "reconciliation_out_of_balance",
];

/// What a network management message asks for: keys of `[network_management]`.
pub const NETWORK_FUNCTIONS: &[&str] = &[
    "sign_on",
    "sign_off",
    "echo",
    "cut_over",
    "key_exchange",
    "advice_recovery_start",
    "advice_recovery_stop",
];

const BUILTIN: &[(&str, &str)] = &[
    (
        "iso8583-1987-ascii",
        include_str!("../../specs/iso8583-1987-ascii.toml"),
    ),
    (
        "iso8583-1987-binary",
        include_str!("../../specs/iso8583-1987-binary.toml"),
    ),
    (
        "iso8583-1993-ascii",
        include_str!("../../specs/iso8583-1993-ascii.toml"),
    ),
    (
        "iso8583-1993-binary",
        include_str!("../../specs/iso8583-1993-binary.toml"),
    ),
    ("visa-base1", include_str!("../../specs/visa-base1.toml")),
    (
        "mastercard-ebcdic",
        include_str!("../../specs/mastercard-ebcdic.toml"),
    ),
];
const BUILTIN_NAMES: &[&str] = &[
    "iso8583-1987-ascii",
    "iso8583-1987-binary",
    "iso8583-1993-ascii",
    "iso8583-1993-binary",
    "visa-base1",
    "mastercard-ebcdic",
];

/// A compiled dialect.
#[derive(Clone, Debug)]
pub struct Dialect {
    name: Box<str>,
    pub(super) envelope: Envelope,
    layouts: Box<[Option<Layout>; 193]>,
    fields: Box<[Option<FieldSpec>; 193]>,
    response_codes: BTreeMap<Box<str>, Box<str>>,
    network_management: Vec<(Box<str>, Box<str>)>,
    network_management_field: u8,
    mirrored: [Vec<u8>; 10],
    identity: Identity,
    mappings: Mappings,
}

/// What stands before the fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    pub version: u8,
    pub mti: Encoding,
    pub bitmap: Encoding,
    pub secondary: Secondary,
    /// Bit 65 announces a third bitmap, which follows the second.
    pub tertiary: bool,
}

/// When the second bitmap is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secondary {
    /// When a field above 64 is there; bit 1 announces it.
    OnDemand,
    /// In every message, with bit 1 set.
    Always,
    /// In every message, with bit 1 clear.
    AlwaysUnannounced,
}

impl Dialect {
    /// A dialect that comes with the program, by its name.
    pub fn builtin(name: &str) -> Option<Dialect> {
        let (name, text) = BUILTIN.iter().find(|(known, _)| *known == name)?;
        // A test compiles every builtin, so this cannot fail in a build that passed its tests.
        let compiled = Dialect::from_toml(&format!("specs/{name}.toml"), text);
        Some(compiled.unwrap_or_else(|error| panic!("{error}")))
    }

    /// The names that [`Dialect::builtin`] knows.
    pub fn builtin_names() -> &'static [&'static str] {
        BUILTIN_NAMES
    }

    /// Compiles a dialect file. `extends` in it names a builtin dialect.
    pub fn from_toml(file_name: &str, text: &str) -> Result<Dialect, SpecError> {
        compile(with_base(read(file_name, text)?, 0)?)
    }

    /// As its file names it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// First digit of the MTI: 0 is ISO 8583:1987, 1 is 1993.
    pub fn version(&self) -> u8 {
        self.envelope.version
    }

    /// What the dialect says about a field.
    pub fn field(&self, number: u8) -> Option<&FieldSpec> {
        self.fields.get(usize::from(number))?.as_ref()
    }

    /// The wire layout of a field.
    #[inline]
    pub fn layout(&self, number: u8) -> Option<&Layout> {
        self.layouts.get(usize::from(number))?.as_ref()
    }

    /// DE39 for a reason; see [`RESPONSE_REASONS`].
    pub fn response_code(&self, reason: &str) -> Option<&str> {
        self.response_codes.get(reason).map(|code| &**code)
    }

    /// The field that says what a network management message is about: DE70, in 1993 DE24.
    pub fn network_management_field(&self) -> u8 {
        self.network_management_field
    }

    /// The code of a network management function; see [`NETWORK_FUNCTIONS`].
    pub fn network_management_code(&self, function: &str) -> Option<&str> {
        let mut pairs = self.network_management.iter();
        pairs
            .find(|(known, _)| **known == *function)
            .map(|(_, code)| &**code)
    }

    /// The function that a network management code stands for.
    pub fn network_management_function(&self, code: &str) -> Option<&str> {
        let mut pairs = self.network_management.iter();
        pairs
            .find(|(_, known)| **known == *code)
            .map(|(function, _)| &**function)
    }

    /// The fields of a request that its answer repeats, ascending, by the second digit of the MTI.
    pub fn mirrored_fields(&self, class: u8) -> &[u8] {
        self.mirrored
            .get(usize::from(class))
            .map_or(&[], Vec::as_slice)
    }

    /// By what a message names an earlier one, from the name that is trusted most: see [`NameKind`].
    pub fn match_keys(&self) -> &[NameKind] {
        &self.identity.match_keys
    }

    /// The fields that, with MTI class and function, tell one request from another.
    pub fn repeat_key_fields(&self) -> &[u8] {
        &self.identity.repeat_key
    }

    /// Where domain facts sit.
    pub fn mappings(&self) -> &Mappings {
        &self.mappings
    }
}

fn with_base(mut section: Section, depth: usize) -> Result<Section, SpecError> {
    let Some((base, place)) = section.text("extends")? else {
        return Ok(section);
    };
    let Some((name, text)) = BUILTIN.iter().find(|(name, _)| *name == base) else {
        let known = BUILTIN_NAMES.join(", ");
        return Err(place.error(format!(
            "`extends` = {base:?} is not builtin; use one of: {known}"
        )));
    };
    if depth == 4 {
        return Err(place.error("`extends` goes round in circles or too deep"));
    }
    let mut merged = with_base(read(&format!("specs/{name}.toml"), text)?, depth + 1)?;
    replace_whole(&mut merged, &section);
    overlay(&mut merged.keys, section.keys);
    merged.place = section.place;
    Ok(merged)
}

/// Tables merge key by key, but half of one structure or code map with half of another makes no
/// sense: what the overlay names there, it replaces.
fn replace_whole(base: &mut Section, top: &Section) {
    for table in ["structure", "mappings"] {
        let (Some(below), Some(above)) = (base.keys.get_mut(table), top.keys.get(table)) else {
            continue;
        };
        if let (Value::Table(below), Value::Table(above)) = (&mut below.value, &above.value) {
            below.retain(|key, _| !above.contains_key(key));
        }
    }
}

fn compile(mut file: Section) -> Result<Dialect, SpecError> {
    let (name, _) = file.required_text("name")?;
    // For readers of the file only.
    file.text("description")?;
    let start = file.place.clone();
    let lacks = |key: &str| start.error(format!("the file lacks the table `{key}`"));
    let defaults = match file.section("defaults")? {
        Some(section) => Defaults::read(section)?,
        None => return Err(lacks("defaults")),
    };
    let message = file.section("message")?.ok_or_else(|| lacks("message"))?;
    let (envelope, identity) = envelope(message, &defaults)?;
    let mut field = file.section("field")?.ok_or_else(|| lacks("field"))?;
    if let Some(structures) = file.section("structure")? {
        nest(&mut field, structures)?;
    }
    let fields = fields(field, &defaults, envelope.tertiary)?;
    let layouts = std::array::from_fn(|number| fields[number].as_ref().map(|field| field.layout));
    let exists = |location: &Location| {
        let field = fields.get(usize::from(location.field));
        field
            .and_then(Option::as_ref)
            .is_some_and(|field| has_path(field, &location.path))
    };
    let section = file.section("mappings")?.ok_or_else(|| lacks("mappings"))?;
    let mappings = Mappings::read(section, &exists)?;
    let codes = file
        .section("response_codes")?
        .ok_or_else(|| lacks("response_codes"))?;
    let response_codes = response_codes(codes)?;
    let management = file.section("network_management")?;
    let management = management.ok_or_else(|| lacks("network_management"))?;
    let (network_management_field, network_management) = network_management(management)?;
    let mirrored = mirrored(file.section("mirrored")?.ok_or_else(|| lacks("mirrored"))?)?;
    file.done()?;
    Ok(Dialect {
        name: name.into(),
        envelope,
        layouts: Box::new(layouts),
        fields: Box::new(fields),
        response_codes,
        network_management,
        network_management_field,
        mirrored,
        identity,
        mappings,
    })
}

/// Puts `[structure.48]` into `[field.48]`.
fn nest(field: &mut Section, structures: Section) -> Result<(), SpecError> {
    for (number, node) in structures.keys {
        match field.keys.get_mut(&number).map(|field| &mut field.value) {
            Some(Value::Table(keys)) => drop(keys.insert("structure".to_owned(), node)),
            _ => {
                let problem = format!("`structure.{number}` belongs to no field of this dialect");
                return Err(node.place.error(problem));
            }
        }
    }
    Ok(())
}

fn has_path(field: &FieldSpec, path: &str) -> bool {
    let mut field = field;
    for key in path.split('.').filter(|key| !key.is_empty()) {
        match field
            .structure
            .as_ref()
            .and_then(|structure| structure.part(key))
        {
            Some(part) => field = part,
            None => return false,
        }
    }
    true
}

/// `[message]`.
fn envelope(mut section: Section, defaults: &Defaults) -> Result<(Envelope, Identity), SpecError> {
    let words = encodings(Filler::LeftZero, defaults.page);
    let mti_words = &words[..3];
    let bitmap_words = &words[3..];
    let version = section.number("version", 0..=9)?.unwrap_or(0) as u8;
    let secondary = [
        ("on-demand", Secondary::OnDemand),
        ("always", Secondary::Always),
        ("always-unannounced", Secondary::AlwaysUnannounced),
    ];
    let envelope = Envelope {
        version,
        mti: section.choice("mti", mti_words)?.unwrap_or(Encoding::Ascii),
        bitmap: section
            .choice("bitmap", bitmap_words)?
            .unwrap_or(Encoding::Raw),
        secondary: section
            .choice("secondary_bitmap", &secondary)?
            .unwrap_or(Secondary::OnDemand),
        tertiary: section.flag("tertiary_bitmap")?.unwrap_or(false),
    };
    let identity = Identity::read(&mut section)?;
    section.done()?;
    Ok((envelope, identity))
}

fn fields(
    section: Section,
    defaults: &Defaults,
    tertiary: bool,
) -> Result<[Option<FieldSpec>; 193], SpecError> {
    let mut fields = [const { None }; 193];
    for (key, node) in section.keys {
        let number = match key.parse::<u8>() {
            Ok(number @ 2..=MAX_FIELD) => number,
            _ => {
                let problem = format!("`{key}` is no field number; they run from 2 to {MAX_FIELD}");
                return Err(node.place.error(problem));
            }
        };
        let place = node.place.clone();
        let section = Section::from_node(format!("field.{number}"), node)?;
        let spec = FieldSpec::read(section, defaults, false)?;
        match number {
            65 if tertiary && spec.is_some() => {
                let problem = "bit 65 announces the third bitmap here: make the field absent";
                return Err(place.error(problem));
            }
            129.. if !tertiary && spec.is_some() => {
                let problem = "fields above 128 need `tertiary_bitmap = true` in `message`";
                return Err(place.error(problem));
            }
            _ => fields[usize::from(number)] = spec,
        }
    }
    Ok(fields)
}

fn response_codes(section: Section) -> Result<BTreeMap<Box<str>, Box<str>>, SpecError> {
    let start = section.place.clone();
    let mut codes = BTreeMap::new();
    for (reason, code, place) in section.into_texts()? {
        if !RESPONSE_REASONS.contains(&reason.as_str()) {
            return Err(place.error(format!("`{reason}` is no known reason of an answer")));
        }
        codes.insert(reason.into(), code.into());
    }
    for reason in RESPONSE_REASONS {
        if !codes.contains_key(*reason) {
            return Err(start.error(format!("`response_codes` lacks the reason `{reason}`")));
        }
    }
    Ok(codes)
}

type Pairs = Vec<(Box<str>, Box<str>)>;

fn network_management(mut section: Section) -> Result<(u8, Pairs), SpecError> {
    let field = section
        .number("field", 2..=i64::from(MAX_FIELD))?
        .unwrap_or(70) as u8;
    let mut pairs = Pairs::new();
    for (function, code, place) in section.into_texts()? {
        if !NETWORK_FUNCTIONS.contains(&function.as_str()) {
            let known = NETWORK_FUNCTIONS.join(", ");
            return Err(place.error(format!("`{function}` is not known; use one of: {known}")));
        }
        pairs.push((function.into(), code.into()));
    }
    Ok((field, pairs))
}

/// `[mirrored]`: `authorization = [2, 3, …]`.
fn mirrored(mut section: Section) -> Result<[Vec<u8>; 10], SpecError> {
    let classes = [
        ("authorization", 1),
        ("financial", 2),
        ("file_action", 3),
        ("reversal", 4),
        ("reconciliation", 5),
        ("administrative", 6),
        ("network_management", 8),
    ];
    let mut mirrored: [Vec<u8>; 10] = Default::default();
    for (class, digit) in classes {
        mirrored[digit] = section.field_numbers(class)?.unwrap_or_default();
    }
    section.done()?;
    Ok(mirrored)
}

#[cfg(test)]
#[path = "dialect_tests.rs"]
mod tests;

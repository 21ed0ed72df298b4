//! A dialect's words compiled into domain values: kinds, entry modes, channels, response codes. Made once
//! when a network starts, so that a message costs table look-ups only.

use super::session::Function;
use super::three_ds::ThreeDsMap;
use crate::engine::facts::{Channel, EntryMode, Kind};
use crate::engine::reason::DeclineReason;
use crate::iso8583::dialect::RESPONSE_REASONS;
use crate::iso8583::mapping::{CodeMap, Location, OriginalData, Sign};
use crate::iso8583::{Dialect, Encoder, Message, Mti};
use arrayvec::ArrayString;
use bytes::BytesMut;
use std::sync::Arc;

pub type ResponseCode = ArrayString<3>;

#[derive(Debug, thiserror::Error)]
#[error("dialect `{dialect}`: {what}")]
pub struct DialectMapError {
    dialect: String,
    what: String,
}

/// What a dialect says, in the domain's terms.
pub struct DialectMap {
    pub dialect: Arc<Dialect>,
    pub approved: ResponseCode,
    pub partially_approved: ResponseCode,
    /// The field that holds amounts beside the one asked for, DE54, if the dialect has it.
    pub additional_amounts: Option<u8>,
    pub reversal_accepted: ResponseCode,
    pub unknown_reversal: ResponseCode,
    pub advice_accepted: ResponseCode,
    /// What a new request gets outside a session.
    pub signed_off: ResponseCode,
    pub management_accepted: ResponseCode,
    pub management_declined: ResponseCode,
    declined: Vec<ResponseCode>,
    kind: CodeTable<Kind>,
    function: Option<CodeTable<Kind>>,
    entry_mode: CodeTable<EntryMode>,
    channel: Vec<CodeTable<Channel>>,
    pub(super) three_ds: ThreeDsMap,
    management: Vec<(Function, ArrayString<3>)>,
}

/// Codes that begin a value at some place, longest first.
pub(super) struct CodeTable<T> {
    at: Location,
    codes: Vec<(Box<str>, T)>,
}

impl<T: Copy> CodeTable<T> {
    pub(super) fn compile(map: &CodeMap, meaning: impl Fn(&str) -> Option<T>) -> CodeTable<T> {
        let mut codes: Vec<(Box<str>, T)> = map
            .codes
            .iter()
            .filter_map(|(code, word)| Some((code.clone(), meaning(word)?)))
            .collect();
        codes.sort_by_key(|(code, _)| std::cmp::Reverse(code.len()));
        CodeTable {
            at: map.at.clone(),
            codes,
        }
    }

    pub(super) fn find(&self, message: &Message) -> Option<T> {
        let value = message.locate::<12>(&self.at)?;
        self.codes
            .iter()
            .find(|(code, _)| value.starts_with(&**code))
            .map(|(_, meaning)| *meaning)
    }
}

impl DialectMap {
    pub fn compile(dialect: Arc<Dialect>) -> Result<DialectMap, DialectMapError> {
        let code = |reason: &str| {
            let text = dialect
                .response_code(reason)
                .ok_or_else(|| lacks(&dialect, reason))?;
            ResponseCode::from(text).map_err(|_| lacks(&dialect, reason))
        };
        let declined = DeclineReason::ALL.iter().map(|reason| code(reason.name()));
        let declined = declined.collect::<Result<Vec<_>, _>>()?;
        check_answerable(&dialect)?;
        let mappings = dialect.mappings();
        let management = Function::ALL.iter().filter_map(|(function, name)| {
            Some((
                *function,
                ArrayString::from(dialect.network_management_code(name)?).ok()?,
            ))
        });
        Ok(DialectMap {
            approved: code("approved")?,
            partially_approved: code("partially_approved")?,
            additional_amounts: mappings.additional_amounts.as_ref().map(|at| at.field),
            reversal_accepted: code("reversal_accepted")?,
            unknown_reversal: code("unknown_reversal")?,
            advice_accepted: code("advice_accepted")?,
            signed_off: code("signed_off")?,
            management_accepted: code("network_management_accepted")?,
            management_declined: code("network_management_declined")?,
            declined,
            kind: CodeTable::compile(&mappings.kind, |word| Some(kind_of(word))),
            function: mappings
                .function
                .as_ref()
                .map(|map| CodeTable::compile(map, kind_of_function)),
            entry_mode: CodeTable::compile(&mappings.entry_mode, |word| Some(entry_mode_of(word))),
            channel: mappings
                .channel
                .iter()
                .map(|map| CodeTable::compile(map, |word| Some(channel_of(word))))
                .collect(),
            three_ds: ThreeDsMap::compile(mappings),
            management: management.collect(),
            dialect,
        })
    }

    pub fn declined(&self, reason: DeclineReason) -> ResponseCode {
        self.declined[reason as usize]
    }

    /// What is asked for: the processing code, and what function code and flags make of a purchase. An advice
    /// that names its original is no increment for that alone, and nothing that is posted is one.
    pub fn kind(&self, message: &Message) -> Kind {
        match self.stated_kind(message) {
            Kind::Incremental if message.mti().class() == 2 => Kind::Purchase,
            Kind::Incremental if message.mti().function() == 2 && self.tells_by_original() => {
                Kind::Purchase
            }
            kind => kind,
        }
    }

    fn tells_by_original(&self) -> bool {
        let mappings = self.dialect.mappings();
        let original_field = match mappings.original_data {
            OriginalData::De90 => 90,
            OriginalData::De56 => 56,
        };
        let flag = mappings.flag("incremental_authorization");
        flag.is_some_and(|flag| {
            flag.any_of
                .iter()
                .any(|sign| sign.at.field == original_field)
        })
    }

    fn stated_kind(&self, message: &Message) -> Kind {
        let kind = self.kind.find(message).unwrap_or(Kind::Other);
        let function = self.function.as_ref().and_then(|table| table.find(message));
        match (kind, function) {
            (Kind::Purchase, Some(refined)) => refined,
            (Kind::Purchase, None) if self.is_up(message, "incremental_authorization") => {
                Kind::Incremental
            }
            (Kind::Purchase, None) if self.is_up(message, "pre_authorization") => {
                Kind::PreAuthorization
            }
            _ => kind,
        }
    }

    pub fn entry_mode(&self, message: &Message) -> EntryMode {
        self.entry_mode.find(message).unwrap_or_default()
    }

    pub fn channel(&self, message: &Message) -> Channel {
        self.channel
            .iter()
            .find_map(|table| table.find(message))
            .unwrap_or_default()
    }

    /// The code by which the dialect names a network management function.
    pub fn management_code(&self, function: Function) -> Option<&str> {
        self.management
            .iter()
            .find(|(known, _)| *known == function)
            .map(|(_, code)| code.as_str())
    }

    /// The function that a network management message names.
    pub fn management_function(&self, message: &Message) -> Option<Function> {
        let code = message.text::<3>(self.dialect.network_management_field())?;
        self.management
            .iter()
            .find(|(_, known)| **known == *code)
            .map(|(function, _)| *function)
    }

    pub fn is_partial_approval_supported(&self, message: &Message) -> bool {
        self.is_up(message, "partial_approval_supported")
    }

    /// Whether an advice says that the network declined in our place. One without DE39 reports a payment.
    pub fn was_declined(&self, message: &Message) -> bool {
        self.is_stated(message, "approved") && !self.is_up(message, "approved")
    }

    /// Whether nothing more follows of the same authorization; so it is where the message does not say.
    pub fn is_final(&self, message: &Message) -> bool {
        !self.is_stated(message, "final_authorization")
            || self.is_up(message, "final_authorization")
    }

    /// The number of a token, where the message has one beside the card's: a dialect whose field may hold other
    /// numbers says by a flag when it is one. Blanks and zeros are what fills the place where there is none.
    pub fn token(&self, message: &Message) -> Option<ArrayString<19>> {
        let mappings = self.dialect.mappings();
        let number = message.locate::<19>(mappings.token.as_ref()?)?;
        let is_one = mappings.flag("tokenized").is_none() || self.is_up(message, "tokenized");
        let is_stated = number.bytes().any(|digit| !matches!(digit, b' ' | b'0'));
        (is_one && is_stated).then_some(number)
    }

    pub(super) fn is_up(&self, message: &Message, flag: &str) -> bool {
        let flag = self.dialect.mappings().flag(flag);
        flag.is_some_and(|flag| flag.any_of.iter().any(|sign| is_there(message, sign)))
    }

    /// Whether the message has what a flag is read from, up or not.
    fn is_stated(&self, message: &Message, flag: &str) -> bool {
        let flag = self.dialect.mappings().flag(flag);
        let has = |sign: &Sign| message.locate::<12>(&sign.at).is_some();
        flag.is_some_and(|flag| flag.any_of.iter().any(has))
    }
}

fn is_there(message: &Message, sign: &Sign) -> bool {
    let value = message.locate::<12>(&sign.at);
    let there =
        value.is_some_and(|value| sign.values.iter().any(|known| value.starts_with(&**known)));
    there && sign.and.as_ref().is_none_or(|and| is_there(message, and))
}

/// Whether a message of this dialect can be known again and answered: what cannot be is found out here, and
/// not when a hold is placed already.
fn check_answerable(dialect: &Dialect) -> Result<(), DialectMapError> {
    let refuse = |what: String| DialectMapError {
        dialect: dialect.name().into(),
        what,
    };
    for field in [2, 11, 38, 39] {
        if dialect.field(field).is_none() {
            return Err(refuse(format!(
                "DE{field} is missing, and no message can do without"
            )));
        }
    }
    let key = dialect.repeat_key_fields();
    if !key.contains(&2) || !(key.contains(&11) || key.contains(&37)) {
        return Err(refuse(
            "`repeat_key` needs DE2, and DE11 or DE37: by less, two purchases would be taken for one".into(),
        ));
    }
    let answer = Mti::new(u16::from(dialect.version()) * 1000 + 110);
    let mut out = BytesMut::new();
    let codes = RESPONSE_REASONS.iter().filter_map(|reason| {
        let code = dialect.response_code(reason)?;
        Some((39, *reason, code))
    });
    for (field, name, value) in codes.chain([(38, "approval code", "A1B2C3")]) {
        let written = Encoder::new(dialect, &mut out, answer)
            .text(field, value)
            .map(drop);
        written.map_err(|error| refuse(format!("{name} `{value}` cannot be written: {error}")))?;
    }
    Ok(())
}

fn lacks(dialect: &Dialect, reason: &str) -> DialectMapError {
    let what = format!("[response_codes] needs `{reason}`, a code of up to three characters");
    DialectMapError {
        dialect: dialect.name().into(),
        what,
    }
}

fn kind_of(word: &str) -> Kind {
    Kind::from_name(word).unwrap_or(Kind::Other)
}

fn kind_of_function(word: &str) -> Option<Kind> {
    match word {
        "pre_authorization" => Some(Kind::PreAuthorization),
        "incremental_authorization" => Some(Kind::Incremental),
        "account_verification" => Some(Kind::AccountVerification),
        "balance_inquiry" => Some(Kind::BalanceInquiry),
        _ => None,
    }
}

fn entry_mode_of(word: &str) -> EntryMode {
    match word {
        "manual" | "ocr" | "barcode" => EntryMode::Manual,
        "magnetic_stripe" => EntryMode::MagneticStripe,
        "magnetic_stripe_fallback" => EntryMode::Fallback,
        "chip" | "chip_unreliable" => EntryMode::Chip,
        "contactless" | "contactless_magnetic_stripe" => EntryMode::Contactless,
        "ecommerce" => EntryMode::Ecommerce,
        "credential_on_file" => EntryMode::CredentialOnFile,
        _ => EntryMode::Unknown,
    }
}

pub(super) fn channel_of(word: &str) -> Channel {
    match word {
        "pos" | "unattended" => Channel::PointOfSale,
        "atm" => Channel::Atm,
        "ecommerce" => Channel::Ecommerce,
        "moto" => Channel::MailOrTelephone,
        "recurring" | "installment" => Channel::Recurring,
        _ => Channel::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso8583::mapping::{CHANNELS, ENTRY_MODES};

    #[test]
    fn every_dialect_has_a_response_code_for_every_reason() {
        for name in Dialect::builtin_names() {
            let dialect = Dialect::builtin(name).unwrap();
            if let Err(error) = DialectMap::compile(Arc::new(dialect)) {
                panic!("{error}");
            }
        }
    }

    /// Soft declines (`1A`, `65`) ask the merchant to come again with 3-D Secure.
    #[test]
    fn what_3_d_secure_declines_has_the_code_of_each_network() {
        let mut seen = 0;
        for (name, [required, failed, invalid]) in [
            ("iso8583-1987-ascii", ["05", "05", "05"]),
            ("iso8583-1987-binary", ["05", "05", "05"]),
            ("iso8583-1993-ascii", ["100", "100", "100"]),
            ("iso8583-1993-binary", ["100", "100", "100"]),
            ("visa-base1", ["1A", "05", "05"]),
            ("mastercard-ebcdic", ["65", "05", "05"]),
        ] {
            let dialect = Arc::new(Dialect::builtin(name).unwrap());
            let map = DialectMap::compile(dialect).unwrap();
            for (reason, code) in [
                (DeclineReason::ThreeDsRequired, required),
                (DeclineReason::ThreeDsFailed, failed),
                (DeclineReason::CavvInvalid, invalid),
            ] {
                assert_eq!(map.declined(reason).as_str(), code, "{name} {reason:?}");
            }
            seen += 1;
        }
        assert_eq!(seen, Dialect::builtin_names().len());
    }

    #[test]
    fn a_dialect_that_cannot_answer_is_refused() {
        for (change, said) in [
            (
                "[response_codes]\ninsufficient_funds = \"511\"",
                "insufficient_funds `511`",
            ),
            ("[field]\n39 = { absent = true }", "\"39\" names no field"),
            (
                "[field]\n39 = { absent = true }\n[mappings.flags]\napproved = { at = \"3\", values = [] }",
                "DE39 is missing",
            ),
            ("[field]\n38 = { length = 2 }", "approval code"),
            ("[field]\n2 = { absent = true }", "DE2 is missing"),
            ("[message]\nrepeat_key = []", "`repeat_key`"),
            ("[message]\nmatch_keys = []", "`match_keys` is empty"),
            ("[message]\nmatch_keys = [\"rrn\", \"rrn\"]", "twice"),
            (
                "[message]\nmatch_keys = [\"stan\"]",
                "use: network_transaction_id, rrn",
            ),
        ] {
            let text = format!("name = \"own\"\nextends = \"iso8583-1987-ascii\"\n{change}\n");
            let error = match Dialect::from_toml("own.toml", &text) {
                Ok(dialect) => DialectMap::compile(Arc::new(dialect))
                    .err()
                    .map(|e| e.to_string()),
                Err(error) => Some(error.to_string()),
            };
            assert!(
                error.as_ref().is_some_and(|error| error.contains(said)),
                "{change}: {error:?}"
            );
        }
    }

    #[test]
    fn every_word_of_the_mappings_means_something() {
        let unknown = |word: &&&str| **word != "unknown";
        for word in ENTRY_MODES.iter().filter(unknown) {
            assert_ne!(entry_mode_of(word), EntryMode::Unknown, "{word}");
        }
        for word in CHANNELS.iter().filter(unknown) {
            assert_ne!(channel_of(word), Channel::Unknown, "{word}");
        }
    }
}

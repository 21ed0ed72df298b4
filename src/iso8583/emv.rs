//! Names and masking of the EMV data objects that DE55 carries (EMV 4.4 Book 3 annex A).
//! Their content is not interpreted here.

use std::collections::BTreeMap;

use super::{
    field::{Content, Encoding, FieldSpec, Mask},
    structure::open_spec,
};

/// Tag, name, masking. Values are shown as they stand, in hexadecimal digits.
const TAGS: &[(&str, &str, Mask)] = &[
    ("42", "Issuer identification number", Mask::Show),
    ("4F", "Application dedicated file name", Mask::Show),
    ("50", "Application label", Mask::Show),
    ("56", "Track 1 data", Mask::Hide),
    ("57", "Track 2 equivalent data", Mask::Hide),
    ("5A", "Application primary account number", Mask::Pan),
    ("5F20", "Cardholder name", Mask::Hide),
    ("5F24", "Application expiration date", Mask::Show),
    ("5F25", "Application effective date", Mask::Show),
    ("5F28", "Issuer country code", Mask::Show),
    ("5F2A", "Transaction currency code", Mask::Show),
    ("5F2D", "Language preference", Mask::Show),
    ("5F30", "Service code", Mask::Show),
    (
        "5F34",
        "Application primary account number sequence number",
        Mask::Show,
    ),
    ("5F36", "Transaction currency exponent", Mask::Show),
    ("6F", "File control information template", Mask::Show),
    ("70", "Record template", Mask::Show),
    ("71", "Issuer script template 1", Mask::Show),
    ("72", "Issuer script template 2", Mask::Show),
    ("77", "Response message template format 2", Mask::Show),
    ("80", "Response message template format 1", Mask::Show),
    ("81", "Amount, authorised (binary)", Mask::Show),
    ("82", "Application interchange profile", Mask::Show),
    ("84", "Dedicated file name", Mask::Show),
    ("86", "Issuer script command", Mask::Show),
    ("87", "Application priority indicator", Mask::Show),
    ("89", "Authorisation code", Mask::Show),
    ("8A", "Authorisation response code", Mask::Show),
    ("8C", "Card risk management data object list 1", Mask::Show),
    ("8D", "Card risk management data object list 2", Mask::Show),
    ("8E", "Cardholder verification method list", Mask::Show),
    ("8F", "Certification authority public key index", Mask::Show),
    ("91", "Issuer authentication data", Mask::Show),
    ("94", "Application file locator", Mask::Show),
    ("95", "Terminal verification results", Mask::Show),
    ("98", "Transaction certificate hash value", Mask::Show),
    (
        "99",
        "Transaction personal identification number data",
        Mask::Hide,
    ),
    ("9A", "Transaction date", Mask::Show),
    ("9B", "Transaction status information", Mask::Show),
    ("9C", "Transaction type", Mask::Show),
    ("9F01", "Acquirer identifier", Mask::Show),
    ("9F02", "Amount, authorised", Mask::Show),
    ("9F03", "Amount, other", Mask::Show),
    ("9F06", "Application identifier, terminal", Mask::Show),
    ("9F07", "Application usage control", Mask::Show),
    ("9F08", "Application version number, card", Mask::Show),
    ("9F09", "Application version number, terminal", Mask::Show),
    ("9F0B", "Cardholder name, extended", Mask::Hide),
    ("9F0D", "Issuer action code, default", Mask::Show),
    ("9F0E", "Issuer action code, denial", Mask::Show),
    ("9F0F", "Issuer action code, online", Mask::Show),
    ("9F10", "Issuer application data", Mask::Show),
    ("9F11", "Issuer code table index", Mask::Show),
    ("9F12", "Application preferred name", Mask::Show),
    ("9F15", "Merchant category code", Mask::Show),
    ("9F16", "Merchant identifier", Mask::Show),
    (
        "9F17",
        "Personal identification number try counter",
        Mask::Show,
    ),
    ("9F1A", "Terminal country code", Mask::Show),
    ("9F1B", "Terminal floor limit", Mask::Show),
    ("9F1C", "Terminal identification", Mask::Show),
    ("9F1E", "Interface device serial number", Mask::Show),
    ("9F1F", "Track 1 discretionary data", Mask::Hide),
    ("9F20", "Track 2 discretionary data", Mask::Hide),
    ("9F21", "Transaction time", Mask::Show),
    ("9F24", "Payment account reference", Mask::Show),
    ("9F26", "Application cryptogram", Mask::Show),
    ("9F27", "Cryptogram information data", Mask::Show),
    ("9F33", "Terminal capabilities", Mask::Show),
    ("9F34", "Cardholder verification method results", Mask::Show),
    ("9F35", "Terminal type", Mask::Show),
    ("9F36", "Application transaction counter", Mask::Show),
    ("9F37", "Unpredictable number", Mask::Show),
    ("9F39", "Point of service entry mode", Mask::Show),
    ("9F40", "Additional terminal capabilities", Mask::Show),
    ("9F41", "Transaction sequence counter", Mask::Show),
    ("9F42", "Application currency code", Mask::Show),
    ("9F45", "Data authentication code", Mask::Show),
    ("9F4C", "Integrated circuit card dynamic number", Mask::Show),
    ("9F4E", "Merchant name and location", Mask::Show),
    ("9F53", "Transaction category code", Mask::Show),
    ("9F5B", "Issuer script results", Mask::Show),
    ("9F66", "Terminal transaction qualifiers", Mask::Show),
    ("9F6B", "Track 2 data, contactless", Mask::Hide),
    ("9F6C", "Card transaction qualifiers", Mask::Show),
    ("9F6E", "Form factor indicator", Mask::Show),
    ("9F7C", "Customer exclusive data", Mask::Show),
];

pub(super) fn tags() -> BTreeMap<Box<str>, FieldSpec> {
    TAGS.iter()
        .map(|(key, name, mask)| ((*key).into(), tag(name, Content::B, *mask)))
        .collect()
}

pub(super) fn tag(name: &str, content: Content, mask: Mask) -> FieldSpec {
    FieldSpec {
        name: name.into(),
        mask,
        ..open_spec(content, Encoding::Raw)
    }
}

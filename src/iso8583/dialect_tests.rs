//! The builtin dialects, and what is said about a bad file.

use super::*;
use crate::iso8583::field::Mask;

fn all() -> impl Iterator<Item = Dialect> {
    Dialect::builtin_names()
        .iter()
        .map(|name| Dialect::builtin(name).unwrap())
}

#[test]
fn every_builtin_compiles_under_its_own_name() {
    for (dialect, name) in all().zip(Dialect::builtin_names()) {
        assert_eq!(dialect.name(), *name);
        for number in (2..=128).filter(|number| *number != 65) {
            assert!(dialect.field(number).is_some(), "{name} DE{number}");
        }
    }
    assert!(Dialect::builtin("iso8583-2003").is_none());
}

#[test]
fn every_reason_has_a_code_that_fits_the_response_field() {
    for dialect in all() {
        for reason in RESPONSE_REASONS {
            let code = dialect.response_code(reason).unwrap();
            let length = if dialect.version() == 1 { 3 } else { 2 };
            assert_eq!(code.len(), length, "{} {reason}", dialect.name());
        }
        for function in NETWORK_FUNCTIONS {
            let code = dialect.network_management_code(function).unwrap();
            assert_eq!(dialect.network_management_function(code), Some(*function));
        }
    }
}

#[test]
fn only_networks_depart_from_the_codes_of_the_standard() {
    let code = |dialect: &str, reason| {
        Dialect::builtin(dialect)
            .unwrap()
            .response_code(reason)
            .unwrap()
            .to_owned()
    };
    let table = [
        ("insufficient_funds", "51", "51", "51", "116"),
        ("card_frozen", "62", "62", "62", "104"),
        ("mcc_blocked", "57", "9G", "57", "119"),
        ("cvv_mismatch", "05", "N7", "05", "100"),
        ("verification_tries_exceeded", "75", "75", "75", "106"),
        ("three_ds_required", "05", "1A", "65", "100"),
        ("card_closed", "14", "46", "14", "118"),
        ("format_error", "30", "30", "30", "904"),
        ("partially_approved", "10", "10", "10", "002"),
        ("reversal_accepted", "00", "00", "00", "400"),
        ("overloaded", "91", "91", "91", "907"),
        ("answer_too_late", "91", "91", "91", "911"),
    ];
    for (reason, base, visa, mastercard, newer) in table {
        assert_eq!(code("iso8583-1987-ascii", reason), base, "{reason}");
        assert_eq!(code("iso8583-1987-binary", reason), base, "{reason}");
        assert_eq!(code("visa-base1", reason), visa, "{reason}");
        assert_eq!(code("mastercard-ebcdic", reason), mastercard, "{reason}");
        assert_eq!(code("iso8583-1993-ascii", reason), newer, "{reason}");
        assert_eq!(code("iso8583-1993-binary", reason), newer, "{reason}");
    }
}

#[test]
fn mirrored_and_repeat_key_fields_exist() {
    for dialect in all() {
        let mirrored = (0..10).flat_map(|class| dialect.mirrored_fields(class));
        for number in mirrored.chain(dialect.repeat_key_fields()) {
            assert!(
                dialect.field(*number).is_some(),
                "{} DE{number}",
                dialect.name()
            );
        }
        assert!(dialect.repeat_key_fields().contains(&11));
        assert!(!dialect.repeat_key_fields().contains(&7), "never DE7 alone");
    }
}

#[test]
fn card_data_is_masked_in_every_dialect() {
    for dialect in all() {
        for (number, mask) in [
            (2, Mask::Pan),
            (35, Mask::Hide),
            (36, Mask::Hide),
            (45, Mask::Hide),
            (52, Mask::Hide),
        ] {
            assert_eq!(
                dialect.field(number).unwrap().mask,
                mask,
                "{} DE{number}",
                dialect.name()
            );
        }
    }
}

#[test]
fn no_answer_repeats_what_verifies_a_card() {
    for dialect in all() {
        let cvv2 = dialect.mappings().cvv2.as_ref().unwrap().field;
        for number in (0..10).flat_map(|class| dialect.mirrored_fields(class)) {
            // Tracks and PIN blocks are hidden as a whole; DE55 has the cryptogram.
            let hidden = dialect.field(*number).unwrap().mask == Mask::Hide;
            let verifies = hidden || [cvv2, 55].contains(number);
            assert!(!verifies, "{} DE{number}", dialect.name());
        }
    }
}

/// What stands behind the first two lines; the line, text and problem that the error names.
const BAD: &[(&str, usize, &str, &str)] = &[
    (
        "[field.48]\ncontnet = \"n\"",
        4,
        "contnet = \"n\"",
        "unknown key `contnet` in `field.48`",
    ),
    (
        "[field.48]\ncontent = \"q\"",
        4,
        "content = \"q\"",
        "use one of: n, a, an",
    ),
    (
        "[field.200]\nname = \"x\"",
        3,
        "[field.200]",
        "they run from 2 to 192",
    ),
    (
        "[field.130]\nname = \"x\"",
        3,
        "[field.130]",
        "lacks the key `content`",
    ),
    (
        "[field.2]\nlength = \"LL\"\nmax = 120",
        3,
        "[field.2]",
        "the length prefix holds at most 99",
    ),
    (
        "[field.2]\nlength = true",
        4,
        "length = true",
        "`length` must be a number",
    ),
    (
        "[response_codes]\napprovd = \"00\"",
        4,
        "approvd = \"00\"",
        "no known reason",
    ),
    (
        "[network_management]\nsing_on = \"001\"",
        4,
        "sing_on = \"001\"",
        "use one of: sign_on",
    ),
    (
        "[mirrored]\nreversal = [2, 999]",
        4,
        "reversal = [2, 999]",
        "from 2 to 192",
    ),
    (
        "[mappings]\ncvv2 = \"48.93\"",
        4,
        "cvv2 = \"48.93\"",
        "names no field or sub-field",
    ),
    (
        "[mappings]\ncvv2 = \"x\"",
        4,
        "cvv2 = \"x\"",
        "a location is",
    ),
    (
        "[mappings.kind]\nat = \"3\"\ncodes = { 00 = \"purchas\" }",
        5,
        "codes = { 00 = \"purchas\" }",
        "use one of: purchase",
    ),
    (
        "[structure.48]\nkind = \"tvl\"",
        4,
        "kind = \"tvl\"",
        "positional, delimited",
    ),
    (
        "[structure.199]\nkind = \"ber-tlv\"",
        3,
        "[structure.199]",
        "belongs to no field",
    ),
    (
        "[field.3]\nlength = 1.5",
        4,
        "length = 1.5",
        "whole numbers",
    ),
    ("[field.3\nlength = 6", 3, "[field.3", "file.toml:3: "),
    (
        "[message]\nmti = \"raw\"",
        4,
        "mti = \"raw\"",
        "use one of: ascii, ebcdic, bcd",
    ),
    ("[odd]\nx = 1", 3, "[odd]", "unknown key `odd`"),
];

#[test]
fn a_bad_file_is_told_by_file_line_and_text() {
    let base = "extends = \"iso8583-1987-ascii\"\nname = \"mine\"\n";
    for (text, line, offending, problem) in BAD {
        let error = Dialect::from_toml("file.toml", &format!("{base}{text}")).unwrap_err();
        assert_eq!(
            (error.line, error.text.as_str()),
            (*line, *offending),
            "{text}: {error}"
        );
        assert!(error.to_string().contains(problem), "{text}: {error}");
        assert_eq!(error.file, "file.toml");
    }
    let error = Dialect::from_toml("x", "extends = \"y\"\nname = \"z\"").unwrap_err();
    assert!(error.problem.contains("\"y\" is not builtin"), "{error}");
}

#[test]
fn an_overlay_changes_only_what_it_names() {
    let text = "extends = \"iso8583-1987-ascii\"\nname = \"mine\"\n[field.48]\nmax = 120\n\
                [field.60]\nabsent = true\n[response_codes]\nmcc_blocked = \"05\"\n";
    let mine = Dialect::from_toml("mine.toml", text).unwrap();
    assert_eq!(
        (mine.name(), mine.field(48).unwrap().layout.max),
        ("mine", 120)
    );
    assert!(mine.field(60).is_none());
    assert_eq!(mine.response_code("mcc_blocked"), Some("05"));
    assert_eq!(mine.response_code("card_frozen"), Some("62"));
}

#[test]
fn code_maps_take_the_longest_match() {
    let dialect = Dialect::builtin("iso8583-1987-ascii").unwrap();
    let mappings = dialect.mappings();
    assert_eq!(mappings.kind.word("000000"), Some("purchase"));
    assert_eq!(mappings.kind.word("313000"), Some("balance_inquiry"));
    assert_eq!(mappings.kind.word("770000"), None);
    assert_eq!(mappings.kind.code("refund"), Some("20"));
    assert_eq!(mappings.entry_mode.word("812"), Some("ecommerce"));
}

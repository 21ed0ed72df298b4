//! Finding and writing parts in every kind of structure.

use super::*;
use crate::iso8583::{Dialect, EncodeError, Encoder, Mti};
use bytes::BytesMut;

fn dialect(name: &str) -> Dialect {
    Dialect::builtin(name).unwrap()
}

fn encoded(dialect: &Dialect, field: u8, parts: &[(&str, &str)]) -> BytesMut {
    let mut out = BytesMut::new();
    let mti = Mti::new(u16::from(dialect.version()) * 1000 + 100);
    let mut encoder = Encoder::new(dialect, &mut out, mti);
    encoder.parts(field, parts).unwrap();
    encoder.finish();
    out
}

fn part(dialect: &Dialect, bytes: &[u8], field: u8, path: &str) -> Option<String> {
    let message = Message::parse(dialect, bytes).unwrap();
    message
        .subfield::<64>(field, path)
        .map(|text| text.to_string())
}

#[test]
fn parts_are_found_by_name_tag_and_number() {
    let table = [
        ("iso8583-1987-ascii", 43, "name", "A SHOP"),
        ("iso8583-1987-ascii", 48, "92", "123"),
        ("iso8583-1987-ascii", 55, "9F36", "001E"),
        ("iso8583-1987-binary", 55, "9F36", "001E"),
        ("iso8583-1987-binary", 48, "92", "123"),
        ("iso8583-1987-binary", 90, "stan", "000123"),
        ("mastercard-ebcdic", 48, "92", "123"),
        ("mastercard-ebcdic", 43, "city", "TALLINN"),
        ("visa-base1", 62, "2", "386328123456789"),
        ("visa-base1", 63, "3", "3900"),
        ("visa-base1", 60, "electronic_commerce_indicator", "05"),
        ("visa-base1", 126, "13", "C"),
        ("iso8583-1993-ascii", 56, "stan", "000123"),
    ];
    for (name, field, path, value) in table {
        let dialect = dialect(name);
        let bytes = encoded(&dialect, field, &[(path, value)]);
        assert_eq!(
            part(&dialect, &bytes, field, path).as_deref(),
            Some(value),
            "{name} {field}.{path}"
        );
        assert_eq!(part(&dialect, &bytes, field, "nothing"), None);
    }
}

#[test]
fn parts_nest() {
    let mastercard = dialect("mastercard-ebcdic");
    let bytes = encoded(
        &mastercard,
        48,
        &[("transaction_category_code", "T"), ("42", "0103212")],
    );
    assert_eq!(
        part(&mastercard, &bytes, 48, "42.01").as_deref(),
        Some("212")
    );
    assert_eq!(
        part(&mastercard, &bytes, 48, "transaction_category_code").as_deref(),
        Some("T")
    );
    let visa = dialect("visa-base1");
    let bytes = encoded(&visa, 126, &[("10", "11 987")]);
    assert_eq!(part(&visa, &bytes, 126, "10.cvv2").as_deref(), Some("987"));
    let bytes = encoded(&visa, 55, &[("01", "9F3602001E")]);
    assert_eq!(part(&visa, &bytes, 55, "01.9F36").as_deref(), Some("001E"));
    let newer = dialect("iso8583-1993-binary");
    let bytes = encoded(
        &newer,
        43,
        &[
            ("name", "SHOP"),
            ("city", "TARTU"),
            ("place", "51003     TRTEST"),
        ],
    );
    assert_eq!(
        part(&newer, &bytes, 43, "place.country").as_deref(),
        Some("EST")
    );
}

#[test]
fn every_location_that_a_dialect_names_can_be_read() {
    // Where a location is a range of characters, only those are given.
    let dialect = dialect("iso8583-1987-ascii");
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new(&dialect, &mut out, Mti::new(100));
    encoder
        .text(22, "051")
        .unwrap()
        .parts(48, &[("61", "10001")])
        .unwrap();
    encoder.finish();
    let message = Message::parse(&dialect, &out).unwrap();
    let flag = |name| {
        let flag = dialect.mappings().flag(name).unwrap();
        flag.any_of.iter().any(|sign| {
            let text = message.locate::<16>(&sign.at);
            text.is_some_and(|text| sign.values.iter().any(|value| text.starts_with(&**value)))
        })
    };
    assert!(flag("pin_capable") && flag("partial_approval_supported"));
    assert!(flag("final_authorization") && !flag("merchant_initiated"));
}

#[test]
fn a_field_that_does_not_parse_has_no_parts() {
    let dialect = dialect("iso8583-1987-ascii");
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new(&dialect, &mut out, Mti::new(100));
    encoder
        .text(48, "free text that is no TLV")
        .unwrap()
        .text(55, "9F36")
        .unwrap();
    encoder.finish();
    assert_eq!(part(&dialect, &out, 48, "92"), None);
    assert_eq!(part(&dialect, &out, 55, "9F36"), None);
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let visa = dialect("visa-base1");
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new(&visa, &mut out, Mti::new(100));
    let refused = EncodeError::UnknownPart { field: 62 };
    for parts in [&[("99", "1")][..], &[("1", "TOO LONG")], &[("x", "")]] {
        assert_eq!(encoder.parts(62, parts).err(), Some(refused.clone()));
    }
    assert_eq!(
        encoder.parts(2, &[("x", "")]).err(),
        Some(EncodeError::UnknownPart { field: 2 })
    );
    drop(encoder);
    assert!(out.is_empty());
}

//! Parsing one message by hand, and every kind of error.

use super::*;

fn dialect() -> Dialect {
    Dialect::builtin("iso8583-1987-ascii").unwrap()
}

/// An authorization request of 16 fields, written out by hand.
pub(crate) const REQUEST: &[u8] = b"0100\
    723C448108C08000\
    164111111111111111\
    000000\
    000000001200\
    1124020530\
    000123\
    020530\
    1124\
    2912\
    5812\
    051\
    00\
    06123456\
    432812000123\
    TERM0001\
    MERCHANT0000001\
    840";

#[test]
fn a_message_is_cut_into_its_fields() {
    let dialect = dialect();
    let message = Message::parse(&dialect, REQUEST).unwrap();
    assert_eq!(message.mti(), Mti::new(100));
    assert_eq!(message.raw(2).unwrap(), b"4111111111111111");
    assert_eq!(message.text::<19>(2).unwrap().as_str(), "4111111111111111");
    assert_eq!(message.digits(4), Some(1200));
    assert_eq!(message.text::<6>(11).unwrap().as_str(), "000123");
    assert_eq!(message.text::<8>(41).unwrap().as_str(), "TERM0001");
    assert_eq!(message.digits(41), None);
    assert_eq!(message.text::<8>(2), None, "longer than asked for");
    assert!(!message.has(39) && message.raw(39).is_none() && !message.has(0) && !message.has(255));
    let numbers: Vec<_> = message.fields().map(|field| field.number).collect();
    assert_eq!(
        numbers,
        [2, 3, 4, 7, 11, 12, 13, 14, 18, 22, 25, 32, 37, 41, 42, 49]
    );
}

#[test]
fn secondary_fields_follow_a_second_bitmap() {
    let dialect = dialect();
    let bytes = b"08008220000000000000040000000000000011240205300001233\x30\x31";
    let message = Message::parse(&dialect, bytes).unwrap();
    assert_eq!(message.text::<3>(70).unwrap().as_str(), "301");
    assert_eq!(message.digits(7), Some(1_124_020_530));
}

#[track_caller]
fn fails(bytes: &[u8], field: u8, offset: usize, expected: Expected) -> ParseError {
    let dialect = dialect();
    let error = Message::parse(&dialect, bytes)
        .err()
        .expect("must not parse");
    assert_eq!(
        (error.field, error.offset, error.expected),
        (field, offset, expected),
        "{error}"
    );
    error
}

#[test]
fn errors_name_field_offset_expected_and_found() {
    fails(b"01", 0, 0, Expected::Bytes(4, 2));
    fails(b"01x0", 0, 0, Expected::MtiDigits);
    fails(b"1100", 0, 0, Expected::Version(0));
    fails(b"0100723C", 1, 4, Expected::Bytes(16, 4));
    fails(b"0100723C448128C0800G", 1, 4, Expected::BitmapDigits);
    fails(
        b"01004000000000000000ab",
        2,
        20,
        Expected::Prefix(super::super::field::PrefixEncoding::Ascii),
    );
    let error = fails(b"0100400000000000000020411", 2, 20, Expected::Length(0, 19));
    assert_eq!(
        error.to_string(),
        "DE2 at offset 20: expected a length from 0 to 19, found `20`"
    );
    fails(
        b"0100400000000000000016411111",
        2,
        20,
        Expected::Bytes(16, 6),
    );
    let error = fails(
        b"01004000000000000000164111x1111111111 ",
        2,
        20,
        Expected::Class(Content::N),
    );
    assert_eq!(error.found.as_str(), "9999A9999999999\\x99");
    let error = fails(
        b"010040000000000000000241zz",
        AFTER_LAST_FIELD,
        24,
        Expected::EndOfMessage,
    );
    assert!(
        error
            .to_string()
            .starts_with("after the last field at offset 24"),
        "{error}"
    );
}

#[test]
fn a_wrong_value_does_not_hide_the_fields_behind_it() {
    let dialect = dialect();
    let mut bytes = REQUEST.to_vec();
    let amount = REQUEST
        .windows(12)
        .position(|window| window == b"000000001200")
        .unwrap();
    bytes[amount] = b'x';
    let Partial { message, error } = Message::parse_partial(&dialect, &bytes);
    assert_eq!(error.unwrap().field, 4);
    assert!(!message.has(4));
    assert_eq!(message.text::<12>(37).unwrap().as_str(), "432812000123");
    let Partial { message, error } = Message::parse_partial(&dialect, &REQUEST[..74]);
    assert_eq!(error.unwrap().field, 12);
    assert!(message.has(11) && !message.has(12) && !message.has(37));
}

#[test]
fn no_error_shows_digits_of_a_value() {
    let dialect = dialect();
    for cut in 0..REQUEST.len() {
        let error = Message::parse(&dialect, &REQUEST[..cut])
            .err()
            .expect("cut short");
        assert!(!error.found.contains("411"), "{error}");
    }
}

#[test]
fn parsing_again_and_neighbours_in_one_piece_agree_with_single_fields() {
    let dialect = dialect();
    let message = Message::parse(&dialect, REQUEST).unwrap();
    let again = Message::parse_again(&dialect, REQUEST).unwrap();
    assert_eq!(again.bitmap(), message.bitmap());
    for field in message.fields() {
        assert_eq!(again.raw(field.number), Some(field.raw));
        let range = message.range(field.number).unwrap();
        assert!(REQUEST[range].ends_with(field.raw));
    }
    assert_eq!(message.range(49).unwrap().end, REQUEST.len());
    // DE3 to DE12 are neighbours, DE18 stands alone, DE49 is the last, DE5 and DE70 are not there.
    let wanted = [3, 4, 5, 7, 11, 12, 18, 49].map(|field| 1_u64 << (64 - field));
    let wanted = [wanted.iter().fold(0, |all, bit| all | bit), 1 << 58, 0];
    let runs: Vec<_> = message.runs(wanted).map(|run| &REQUEST[run]).collect();
    let runs: Vec<_> = runs
        .iter()
        .map(|run| str::from_utf8(run).unwrap())
        .collect();
    let first = "0000000000000012001124020530000123020530";
    assert_eq!(runs, [first, "5812", "840"]);
}

#[test]
fn a_field_behind_one_with_wrong_characters_keeps_its_place() {
    let dialect = dialect();
    let mut bytes = REQUEST.to_vec();
    let at = Message::parse(&dialect, REQUEST)
        .unwrap()
        .range(11)
        .unwrap();
    bytes[at.start] = b'X';
    let Partial { message, error } = Message::parse_partial(&dialect, &bytes);
    assert_eq!(error.unwrap().field, 11);
    assert!(!message.has(11) && message.raw(7).unwrap() == b"1124020530");
    let mut out = bytes::BytesMut::new();
    let mut encoder = crate::iso8583::Encoder::new(&dialect, &mut out, Mti::new(110));
    encoder.mirror_all(&message, &[7, 11, 12]).unwrap();
    encoder.finish();
    let answer = Message::parse(&dialect, &out).unwrap();
    assert_eq!(answer.raw(7), message.raw(7));
    assert_eq!(answer.raw(12), message.raw(12));
    assert!(!answer.has(11));
}

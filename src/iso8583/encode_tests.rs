//! Answers, bitmaps, padding, and what is refused.

use super::*;
use crate::iso8583::message::tests::REQUEST;

fn dialect() -> Dialect {
    Dialect::builtin("iso8583-1987-ascii").unwrap()
}

#[test]
fn an_answer_mirrors_its_request() {
    let dialect = dialect();
    let request = Message::parse(&dialect, REQUEST).unwrap();
    let mut out = BytesMut::from(&b"before"[..]);
    let mut answer = Encoder::new(&dialect, &mut out, request.mti().response().unwrap());
    for field in [2, 3, 4, 7, 11, 12, 13, 15, 32, 37] {
        answer.mirror(&request, field).unwrap();
    }
    answer.text(38, "A1B2C3").unwrap().text(39, "00").unwrap();
    answer.mirror(&request, 41).unwrap();
    let length = answer.finish();
    assert_eq!(&out[..6], b"before");
    let expected = b"0110723800010E800000164111111111111111000000000000001200\
        1124020530000123020530112406123456432812000123A1B2C300TERM0001";
    assert_eq!(&out[6..], expected);
    assert_eq!(length, expected.len());
}

#[test]
fn a_late_field_makes_room_for_the_second_bitmap() {
    let dialect = dialect();
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new(&dialect, &mut out, Mti::new(800));
    encoder
        .digits(7, 1_124_020_530)
        .unwrap()
        .digits(11, 7)
        .unwrap();
    encoder
        .text(70, "301")
        .unwrap()
        .bytes(128, &[0xab; 8])
        .unwrap();
    encoder.finish();
    assert_eq!(
        &out[..],
        b"080082200000000000000400000000000001\
        1124020530000007301ABABABABABABABAB"
    );
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_nothing_behind() {
    let dialect = dialect();
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new(&dialect, &mut out, Mti::new(100));
    let length = |error| matches!(error, Err(EncodeError::Length { .. }));
    let class = |error| matches!(error, Err(EncodeError::Class { .. }));
    assert!(length(encoder.text(2, "41111111111111111111").map(drop)));
    assert!(class(encoder.text(2, "4111x").map(drop)));
    assert!(length(encoder.digits(3, 1_234_567).map(drop)));
    assert!(length(encoder.bytes(52, &[0; 7]).map(drop)));
    encoder.digits(4, 0).unwrap();
    assert_eq!(
        encoder.digits(4, 0).err(),
        Some(EncodeError::NotAscending { field: 4, after: 4 })
    );
    assert_eq!(
        encoder.text(129, "").err(),
        Some(EncodeError::UnknownField { field: 129 })
    );
    drop(encoder);
    assert!(out.is_empty());
}

#[test]
fn short_values_are_padded_and_read_back_without_padding() {
    let dialect = dialect();
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new(&dialect, &mut out, Mti::new(100));
    encoder
        .digits(4, 99)
        .unwrap()
        .digits(32, 0)
        .unwrap()
        .text(42, "SHOP 1")
        .unwrap();
    encoder.text(52, "0123456789abcdef").unwrap();
    encoder.finish();
    let message = Message::parse(&dialect, &out).unwrap();
    assert_eq!(message.raw(4).unwrap(), b"000000000099");
    assert_eq!(message.raw(32).unwrap(), b"0");
    assert_eq!(message.raw(42).unwrap(), b"SHOP 1         ");
    assert_eq!(message.text::<15>(42).unwrap().as_str(), "SHOP 1");
    assert_eq!(message.raw(52).unwrap(), b"0123456789ABCDEF");
    assert_eq!(
        message.bytes::<8>(52).unwrap()[..],
        [1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]
    );
}

#[test]
fn a_dialect_may_always_send_the_second_bitmap() {
    let of = |secondary: &str| {
        let text = format!(
            "extends = \"iso8583-1987-ascii\"\nname = \"x\"\n\
             [message]\nsecondary_bitmap = \"{secondary}\"\n"
        );
        let dialect = Dialect::from_toml("x.toml", &text).unwrap();
        let mut out = BytesMut::new();
        let mut encoder = Encoder::new(&dialect, &mut out, Mti::new(100));
        encoder.digits(11, 7).unwrap();
        encoder.finish();
        assert_eq!(Message::parse(&dialect, &out).unwrap().digits(11), Some(7));
        String::from_utf8(out.to_vec()).unwrap()
    };
    assert_eq!(of("on-demand"), "01000020000000000000000007");
    assert_eq!(of("always"), "010080200000000000000000000000000000000007");
    assert_eq!(
        of("always-unannounced"),
        "010000200000000000000000000000000000000007"
    );
}

#[test]
fn field_65_is_a_field_where_there_is_no_third_bitmap() {
    let dialect = dialect();
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new(&dialect, &mut out, Mti::new(100));
    encoder
        .digits(4, 5)
        .unwrap()
        .text(65, "0123456789ABCDEF")
        .unwrap();
    encoder.finish();
    let message = Message::parse(&dialect, &out).unwrap();
    assert_eq!(message.digits(4), Some(5));
    assert_eq!(message.text::<16>(65).unwrap().as_str(), "0123456789ABCDEF");
}

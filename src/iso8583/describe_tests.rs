//! Masking, broken messages, pasted input, annotations.

use bytes::BytesMut;

use super::*;
use crate::iso8583::Encoder;

fn dialect() -> Dialect {
    Dialect::builtin("iso8583-1987-ascii").unwrap()
}

fn with_field(field: u8, text: &str) -> BytesMut {
    let mut out = BytesMut::new();
    let dialect = dialect();
    let mut encoder = Encoder::new(&dialect, &mut out, Mti::new(100));
    encoder.text(field, text).unwrap();
    encoder.finish();
    out
}

#[test]
fn what_must_not_be_shown_is_not_shown() {
    let table = [
        (2, "4111111111111111", "411111******1111"),
        (2, "41111111", "****1111"),
        (2, "4111", "****"),
        (35, "4111111111111111=2912", "*********************"),
        (
            45,
            "B4111111111111111^DOE/JANE^2912",
            "*******************************",
        ),
        (52, "0123456789ABCDEF", "****************"),
        (102, "4111111111111111", "411111******1111"),
        // An account number in free text, which no specification could know of.
        (44, "card 4111111111111111!", "card 411111******1111!"),
        (44, "4111111111111112", "4111111111111112"),
        // May hold a verification value and does not parse: all of it is hidden.
        (48, "cvv is 123", "**********"),
    ];
    for (field, text, shown) in table {
        let bytes = with_field(field, text);
        let json = describe_json(&dialect(), &bytes);
        assert_eq!(json["fields"][field.to_string()], shown, "DE{field} {text}");
        let line = describe_text(&dialect(), &bytes);
        assert!(line.contains(&format!("DE{field:<6}{shown}")), "{line}");
    }
}

#[test]
fn chip_data_is_masked_by_tag_also_when_nested() {
    let chip =
        "57114111111111111111D2912101000000000F5A0841111111111111115F200444 4F45209F3602001E";
    let bytes = with_field(55, &chip.replace(' ', ""));
    let json = describe_json(&dialect(), &bytes);
    let fields = &json["fields"]["55"];
    assert_eq!(fields["57"], "*".repeat(34));
    assert_eq!(fields["5A"], "411111******1111");
    assert_eq!(fields["5F20"], "********");
    assert_eq!(fields["9F36"], "001E");
    let nested = with_field(55, "700A5A084111111111111111");
    let json = describe_json(&dialect(), &nested);
    assert_eq!(json["fields"]["55"]["70"]["5A"], "411111******1111");
}

#[test]
fn a_broken_message_is_shown_up_to_the_break() {
    let bytes = &crate::iso8583::message::tests::REQUEST[..80];
    let text = describe_text(&dialect(), bytes);
    assert!(text.contains("DE11    000123"), "{text}");
    assert!(
        text.contains("does not parse: DE14 at offset 82") || text.contains("does not parse: DE13"),
        "{text}"
    );
    let json = describe_json(&dialect(), bytes);
    assert_eq!(json["fields"]["11"], "000123");
    assert_eq!(json["error"]["field"], 13);
    assert_eq!(describe_json(&dialect(), b"")["mti"], Json::Null);
}

#[test]
fn pasted_messages_are_recognized() {
    let raw = with_field(2, "4111111111111111");
    let hex: String = raw.iter().map(|byte| format!("{byte:02X}")).collect();
    let spaced: String = raw.iter().map(|byte| format!("{byte:02x} ")).collect();
    let mut with_line_end = raw.to_vec();
    with_line_end.extend(b"\r\n");
    for input in [&raw[..], hex.as_bytes(), spaced.as_bytes(), &with_line_end] {
        assert_eq!(sniff(&dialect(), input), raw);
    }
    let prefixed = format!("0x{hex}\n");
    assert_eq!(sniff(&dialect(), prefixed.as_bytes()), raw);
    // An ASCII message made of hexadecimal digits only is a message, not hexadecimal text.
    let echo = b"0800822000000000000004000000000000001124020530000123301";
    assert_eq!(sniff(&dialect(), echo), echo);
}

#[test]
fn codes_are_explained() {
    let bytes = with_field(39, "51");
    assert!(describe_text(&dialect(), &bytes).contains("51 = insufficient_funds"));
    let bytes = b"0800822000000000000004000000000000001124020530000123301";
    let text = describe_text(&dialect(), bytes);
    assert!(
        text.contains("network management request") && text.contains("301 = echo"),
        "{text}"
    );
}

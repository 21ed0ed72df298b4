//! The wire format held against bytes that we did not produce: messages that pyiso8583 encodes,
//! messages from public documentation; and golden prints of one rich message per dialect.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use bytes::BytesMut;
use cardswitch::iso8583::{
    Dialect, Encoder, Message, Mti,
    describe::{describe_json, describe_text, sniff},
};

fn dialect(name: &str) -> Dialect {
    Dialect::builtin(name).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Parses, compares every field, and encodes the same fields to the same bytes.
#[track_caller]
fn agrees(dialect: &Dialect, bytes: &[u8], mti: &str, fields: &BTreeMap<u8, String>) {
    let name = dialect.name();
    let message = Message::parse(dialect, bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(message.mti().to_string(), mti, "{name}");
    let present: Vec<u8> = message.fields().map(|field| field.number).collect();
    assert_eq!(
        present,
        fields.keys().copied().collect::<Vec<_>>(),
        "{name}"
    );
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new(dialect, &mut out, message.mti());
    for (number, expected) in fields {
        let text = message.text::<2048>(*number).unwrap();
        assert_eq!(text.trim_end(), expected.trim_end(), "{name} DE{number}");
        encoder
            .text(*number, expected)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    encoder.finish();
    assert_eq!(hex(&out), hex(bytes), "{name}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn pyiso8583_encodes_what_we_parse_and_encode() {
    let (seed, count) = ("20261124", "60");
    let script = "tests/oracles/pyiso8583_messages.py";
    let output = Command::new("python3").args([script, seed, count]).output();
    let output = output.expect("python3 must be installed to run the pyiso8583 oracle");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let dialects: BTreeMap<_, _> = Dialect::builtin_names()
        .iter()
        .map(|name| (*name, dialect(name)))
        .collect();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let (name, dialect) = dialects
            .get_key_value(text(&message["dialect"]).as_str())
            .unwrap();
        let fields = message["fields"].as_object().unwrap().iter();
        let fields = fields
            .map(|(number, value)| (number.parse().unwrap(), text(value)))
            .collect();
        agrees(
            dialect,
            &unhex(&text(&message["hex"])),
            &text(&message["mti"]),
            &fields,
        );
        *seen.entry(name).or_default() += 1;
    }
    assert_eq!(seen.len(), 6);
    assert!(seen.values().all(|count| *count == 60), "{seen:?}");
}

/// Dialect, bytes (ASCII, or hexadecimal after `x`), MTI, fields, where it was published.
type Published = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(u8, &'static str)],
    &'static str,
);

const PUBLISHED: &[Published] = &[
    (
        "iso8583-1987-binary",
        "x0800 2020000000800000 000000 000001 3239313130303031",
        "0800",
        &[(3, "000000"), (11, "000001"), (41, "29110001")],
        "Wikipedia, ISO 8583, and the Code Project article that it cites",
    ),
    (
        "iso8583-1987-ascii",
        "02003220000000808000000010000000001500120604120000000112340001840",
        "0200",
        &[
            (3, "000010"),
            (4, "000000001500"),
            (7, "1206041200"),
            (11, "000001"),
            (41, "12340001"),
            (49, "840"),
        ],
        "lirul, A brief introduction to ISO 8583; j8583's documentation",
    ),
    (
        "visa-base1",
        "x0810 8220000002000000 0400000000000000 0501130427 000005 F0F0 0001",
        "0810",
        &[(7, "0501130427"), (11, "000005"), (39, "00"), (70, "001")],
        "Stack Overflow 11421574, sign-on reply: BCD digits and EBCDIC text",
    ),
    (
        "iso8583-1987-binary",
        "x01007020000000000000150378282246310005000000000000001000123456",
        "0100",
        &[
            (2, "378282246310005"),
            (3, "000000"),
            (4, "000000001000"),
            (11, "123456"),
        ],
        "iso8583sim, tests of its wire formats",
    ),
    (
        "iso8583-1987-binary",
        "x080082200000000000000400000010000001121514302200000103010301230011223344556677",
        "0800",
        &[
            (7, "1215143022"),
            (11, "000001"),
            (70, "301"),
            (100, "123"),
            (128, "0011223344556677"),
        ],
        "iso8583sim, tests of its wire formats",
    ),
    (
        "mastercard-ebcdic",
        "xF0F1F0F07020000000000000F1F5F3F7F8F2F8F2F2F4F6F3F1F0F0F0F5F0F0F0F0F0F0F0F0F0F0F0F0F0F0\
         F1F0F0F0F1F2F3F4F5F6",
        "0100",
        &[
            (2, "378282246310005"),
            (3, "000000"),
            (4, "000000001000"),
            (11, "123456"),
        ],
        "iso8583sim, tests of its wire formats",
    ),
    (
        "iso8583-1993-ascii",
        "1200F230040102A0000000000000040000001048468112122012340000100000001107221800000001161204\
         171926FABCDE123ABD06414243000termid1210Community11112341234234",
        "1200",
        &[
            (2, "4846811212"),
            (3, "201234"),
            (4, "000010000000"),
            (7, "1107221800"),
            (11, "000001"),
            (12, "161204171926"),
            (22, "FABCDE123ABD"),
            (32, "414243"),
            (39, "000"),
            (41, "termid12"),
            (43, "Community1"),
            (102, "12341234234"),
        ],
        "fluidpay/iso8583, message_test.go",
    ),
    (
        "iso8583-1993-ascii",
        "1110E23000010200040000000000040000001400000000000000312000010820450600753095010814450011\
         101111111180000402001840C0000007000002002840C0000006000001400000012456184",
        "1110",
        &[
            (2, "00000000000000"),
            (3, "312000"),
            (7, "0108204506"),
            (11, "007530"),
            (12, "950108144500"),
            (32, "10111111118"),
            (39, "000"),
            (54, "2001840C0000007000002002840C000000600000"),
            (102, "00000012456184"),
        ],
        "fluidpay/iso8583, message_test.go: answer to a balance inquiry",
    ),
];

#[test]
fn published_messages_parse_and_encode_back() {
    for (name, bytes, mti, fields, source) in PUBLISHED {
        let bytes = match bytes.strip_prefix('x') {
            Some(digits) => unhex(digits),
            None => bytes.as_bytes().to_vec(),
        };
        let fields = fields
            .iter()
            .map(|(number, text)| (*number, (*text).to_owned()))
            .collect();
        println!("{source}");
        agrees(&dialect(name), &bytes, mti, &fields);
    }
}

/// The bitmap that Wikipedia's article on ISO 8583 takes apart.
#[test]
fn the_bitmap_of_the_encyclopedia_names_its_fields() {
    let bytes = b"02004210001102C04804";
    let message = Message::parse_partial(&dialect("iso8583-1987-ascii"), bytes)
        .error
        .unwrap();
    assert_eq!(
        (message.field, message.offset),
        (2, 20),
        "field 2 is the first one announced"
    );
}

/// A capture that somebody asked about on Stack Overflow (541700): a header of ten digits, then an
/// ASCII message with raw bitmaps. No dialect of ours, but a file of six lines describes it.
#[test]
fn a_dialect_of_its_own_reads_a_capture_from_the_wild() {
    let text = "extends = \"iso8583-1987-ascii\"\nname = \"wild\"\n\n[message]\nbitmap = \"raw\"\n";
    let wild = Dialect::from_toml("wild.toml", text).unwrap();
    let bytes = unhex(
        "30383230 8038000000810000 0400000000000000 333632393130 313032393537 31303331
         3130303030303035 303331 53553230313131303331313032393537323031313130333131303239353733
         303031",
    );
    let fields = [
        (11, "362910"),
        (12, "102957"),
        (13, "1031"),
        (41, "10000005"),
        (48, "SU20111031102957201110311029573"),
        (70, "001"),
    ];
    let fields = fields
        .iter()
        .map(|(number, text)| (*number, (*text).to_owned()))
        .collect();
    agrees(&wild, &bytes, "0820", &fields);
}

/// The file control information that jPOS issue 596 asks how to parse, in DE55.
#[test]
fn nested_chip_data_is_found_by_its_path() {
    let dialect = dialect("iso8583-1987-binary");
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new(&dialect, &mut out, Mti::new(100));
    let data = unhex("6F1A840E315041592E5359532E4444463031A5088801025F2D02656E");
    encoder.bytes(55, &data).unwrap();
    encoder.finish();
    let message = Message::parse(&dialect, &out).unwrap();
    let name = message.subfield_bytes::<16>(55, "6F.84").unwrap();
    assert_eq!(&name[..], b"1PAY.SYS.DDF01");
    assert_eq!(
        message.subfield::<8>(55, "6F.A5.5F2D").unwrap().as_str(),
        "656E"
    );
    let json = describe_json(&dialect, &out);
    assert_eq!(json["fields"]["55"]["6F"]["A5"]["88"], "02");
}

/// One rich authorization request per dialect, from `golden/<dialect>.hex`, printed as
/// `golden/<dialect>.txt` and `.json` say. `UPDATE_GOLDEN=1` writes them anew.
#[test]
fn golden_prints() {
    let folder = Path::new("tests/oracles/golden");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for name in Dialect::builtin_names() {
        let dialect = dialect(name);
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        if update {
            fs::write(file("hex"), hex(&rich_request(&dialect)) + "\n").unwrap();
        }
        let pasted = fs::read(file("hex")).unwrap();
        let bytes = sniff(&dialect, &pasted);
        assert_eq!(
            hex(&bytes),
            hex(&rich_request(&dialect)),
            "{name}: bytes on the wire changed"
        );
        let text = describe_text(&dialect, &bytes);
        let json = serde_json::to_string_pretty(&describe_json(&dialect, &bytes)).unwrap() + "\n";
        if update {
            fs::write(file("txt"), &text).unwrap();
            fs::write(file("json"), &json).unwrap();
        }
        assert_eq!(text, fs::read_to_string(file("txt")).unwrap(), "{name}");
        assert_eq!(json, fs::read_to_string(file("json")).unwrap(), "{name}");
        for secret in ["4761739001010119", "29122010000012300000", "7391"] {
            assert!(
                !text.contains(secret) && !json.contains(secret),
                "{name} shows {secret}"
            );
        }
    }
}

/// The same purchase with chip data, card verification value and 3-D Secure in every dialect.
fn rich_request(dialect: &Dialect) -> Vec<u8> {
    let newer = dialect.version() == 1;
    let mut out = BytesMut::new();
    let mut e = Encoder::new(dialect, &mut out, Mti::new(if newer { 1100 } else { 100 }));
    e.text(2, "4761739001010119")
        .unwrap()
        .digits(3, 0)
        .unwrap()
        .digits(4, 12_345)
        .unwrap();
    e.digits(7, 1_124_020_530).unwrap().digits(11, 123).unwrap();
    match newer {
        true => e.text(12, "261124020530").unwrap(),
        false => e.text(12, "020530").unwrap().text(13, "1124").unwrap(),
    };
    e.text(14, "2912").unwrap().text(18, "5812").unwrap();
    let entry_mode = match dialect.name() {
        "visa-base1" => "0510",
        _ if newer => "510101511340",
        _ => "051",
    };
    e.text(22, entry_mode).unwrap().text(23, "001").unwrap();
    match newer {
        true => e
            .text(24, "100")
            .unwrap()
            .text(25, "1503")
            .unwrap()
            .text(26, "5812")
            .unwrap(),
        false => e.text(25, "59").unwrap(),
    };
    e.text(32, "123456")
        .unwrap()
        .text(35, "4761739001010119=29122010000012300000")
        .unwrap();
    e.text(37, "632802000123")
        .unwrap()
        .text(41, "TERM0001")
        .unwrap();
    e.text(42, "MERCHANT 1").unwrap();
    private_data(dialect, &mut e);
    e.finish();
    out.to_vec()
}

const CHIP: &str =
    "9F2608AABBCCDDEEFF00119F2701809F3602001E5A0847617390010101195F3401019F0206000000012345";

/// DE43 and above: where dialects differ most.
fn private_data(dialect: &Dialect, e: &mut Encoder<'_, '_>) {
    let mastercard = dialect.name() == "mastercard-ebcdic";
    let visa = dialect.name() == "visa-base1";
    if dialect.version() == 1 {
        e.text(43, "COFFEE & CAKE\\VIRU 1\\TALLINN\\10111     HAREST")
            .unwrap();
    } else {
        let country = if mastercard { "EST" } else { "EE" };
        let parts = [
            ("name", "COFFEE & CAKE"),
            ("city", "TALLINN"),
            ("country", country),
        ];
        e.parts(43, &parts).unwrap();
    }
    if mastercard {
        let parts = [
            ("transaction_category_code", "T"),
            ("42", "0103212"),
            ("43", "jKk8Mb6C1YvNBREAAAAIA4QAAAA="),
            ("61", "10000"),
            ("92", "7391"),
        ];
        e.parts(48, &parts).unwrap();
    } else if !visa {
        e.parts(48, &[("42", "05"), ("61", "10000"), ("92", "7391")])
            .unwrap();
    }
    e.text(49, "978")
        .unwrap()
        .text(52, "0123456789ABCDEF")
        .unwrap();
    e.text(54, "2040978D000000005000").unwrap();
    if visa {
        return visa_data(e);
    }
    e.text(55, CHIP).unwrap();
    if mastercard {
        e.text(61, "00000040003002331011100000").unwrap();
        let parts = [
            ("financial_network_code", "MCC"),
            ("banknet_reference_number", "ABC123XYZ"),
        ];
        e.parts(63, &parts).unwrap();
    }
}

fn visa_data(e: &mut Encoder<'_, '_>) {
    e.parts(55, &[("01", CHIP)]).unwrap();
    let parts = [
        ("electronic_commerce_indicator", "05"),
        ("additional_authorization_indicators", "1"),
    ];
    e.parts(60, &parts).unwrap();
    e.parts(62, &[("1", "Y"), ("2", "386328123456789"), ("23", "A ")])
        .unwrap();
    e.parts(63, &[("1", "0002"), ("3", "3900")]).unwrap();
    e.parts(
        126,
        &[("9", &"AB".repeat(20)), ("10", "117391"), ("13", "C")],
    )
    .unwrap();
}

//! What is not decided, over real sockets: garbage, message types and dates that are none, and whatever
//! comes before a sign-on or after a sign-off.

mod support;

use bytes::{BufMut, BytesMut};
use cardswitch::iso8583::Dialect;
use std::sync::atomic::Ordering;
use support::client::{Client, Language};
use support::messages::{Fields, Naming, Purchase, borrowed};
use support::rig::Rig;
use support::{MASTERCARD, Received, VISA};

/// A frame around these bytes, behind the header that the dialect goes with.
fn framed(language: &Language, header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    let open = language.codec.begin_frame(&mut out, header);
    out.put_slice(body);
    language.codec.end_frame(&mut out, open).unwrap();
    out.to_vec()
}

fn language_of(dialect: &str) -> Language {
    let header = match dialect {
        "visa-base1" => "base1",
        "iso8583-1987-binary" => "tpdu",
        _ => "none",
    };
    Language::new(dialect, "length-2-be", header)
}

/// The body of a message, without frame and header.
fn body_of(client: &Client, mti: u16, fields: &Fields) -> Vec<u8> {
    let frame = client
        .language
        .frame(&client.header, mti, &borrowed(fields));
    frame[2 + client.header.len()..].to_vec()
}

#[test]
fn a_frame_that_holds_no_message_ends_its_connection_and_no_other() {
    for dialect in Dialect::builtin_names() {
        let rig = Rig::start();
        rig.issue(VISA, 10_000);
        let language = language_of(dialect);
        let (peer, address) = rig.listen(&language, "");
        let mut other = Client::speaking(language.clone(), address);
        let fields = language.authorization(Purchase::of(1, 100));
        let body = body_of(&other, language.mti(100), &fields);
        let mti_length = match *dialect {
            "iso8583-1987-binary" | "iso8583-1993-binary" | "visa-base1" => 2,
            _ => 4,
        };
        let mut not_digits = body.clone();
        not_digits[0] = 0xfe;
        let mut cases = vec![
            ("nothing", Vec::new()),
            ("an MTI cut short", body[..mti_length - 1].to_vec()),
            ("an MTI of letters", not_digits),
            ("a bitmap cut short", body[..mti_length + 7].to_vec()),
        ];
        if dialect.ends_with("ascii") {
            let mut bad_bitmap = body.clone();
            bad_bitmap[mti_length + 3] = b'g';
            cases.push(("a bitmap that is not hexadecimal", bad_bitmap.clone()));
            bad_bitmap[0] = b'7';
            cases.push(("another version, and no bitmap", bad_bitmap));
        }
        for (number, (what, garbage)) in cases.iter().enumerate() {
            let case = format!("{dialect}: {what}");
            let mut client = Client::speaking(language.clone(), address);
            let mut bytes = framed(&language, &client.header, &body);
            // An empty frame is a keep-alive, so there has to be a header at least.
            if garbage.is_empty() && client.header.is_empty() {
                continue;
            }
            let before = peer.stats.frame_errors.load(Ordering::Relaxed);
            bytes.extend(framed(&language, &client.header, garbage));
            bytes.extend(framed(&language, &client.header, &body));
            client.send_bytes(&bytes);
            // What came before it is answered, what comes behind it is not.
            assert_eq!(client.receive().field(11), "000001", "{case}");
            assert!(client.next_frame().unwrap().is_none(), "{case}");
            let errors = peer.stats.frame_errors.load(Ordering::Relaxed);
            assert_eq!(errors, before + 1, "{case}");
            let echo = other.manage("echo", 100 + number as u32);
            assert_eq!(echo.mti, language.mti(810), "{case}");
        }
    }
}

fn told(answer: &Received) -> (u16, &str, &str) {
    (answer.mti, answer.field(11), answer.field(39))
}

#[test]
fn a_message_of_another_version_is_told_that_its_format_is_wrong() {
    for (dialect, other_version, code) in [
        ("iso8583-1987-ascii", 1100, "30"),
        ("iso8583-1987-binary", 2100, "30"),
        ("iso8583-1993-ascii", 100, "904"),
        ("iso8583-1993-binary", 2100, "904"),
        ("visa-base1", 1100, "30"),
        ("mastercard-ebcdic", 1100, "30"),
    ] {
        let rig = Rig::start();
        let card = rig.issue(VISA, 10_000);
        let (peer, mut client) = rig.connected(&language_of(dialect), "");
        let fields = client.language.authorization(Purchase::of(7, 100));
        client.send(other_version, &borrowed(&fields));
        // The answer has the version of the question, so that this client would not read it.
        let frame = client.next_frame().unwrap().unwrap();
        let cardswitch::iso8583::Frame::Message { body, .. } = frame else {
            panic!("{dialect}: {frame:?}");
        };
        let message = cardswitch::iso8583::Message::parse_partial(&client.language.dialect, &body);
        let message = message.message;
        assert_eq!(message.mti().number(), other_version + 10, "{dialect}");
        assert_eq!(message.digits(11), Some(7), "{dialect}");
        assert_eq!(&*message.text::<3>(39).unwrap(), code, "{dialect}");
        assert_eq!(rig.money(card).1, 0, "{dialect}");
        assert_eq!(peer.stats.format_errors.load(Ordering::Relaxed), 1);
        // The connection goes on.
        assert_eq!(client.manage("echo", 8).field(11), "000008", "{dialect}");
    }
}

#[test]
fn no_message_type_is_taken_for_another() {
    let rig = Rig::start();
    let card = rig.issue(VISA, 10_000);
    let (peer, mut client) = rig.connected(&Language::default(), "");
    let purchase = Purchase::of(7, 100);
    assert_eq!(client.authorize(purchase).field(39), "00");
    let unsupported = [
        // From a card issuer, or somebody else, and their repeats; 0402 and 0422 are chargebacks.
        (102, 112),
        (103, 112),
        (104, 114),
        (105, 114),
        (402, 412),
        (422, 432),
        (423, 432),
        // Not decided here.
        (122, 132),
        (304, 314),
        (700, 710),
    ];
    let no_type = [(106, 116), (107, 117), (409, 419), (0, 10), (900, 910)];
    let reversal = client.language.reversal(purchase, 8, Naming::OriginalData);
    for (mti, response) in unsupported {
        let answer = client.exchange(mti, &borrowed(&reversal));
        assert_eq!(told(&answer), (response, "000008", "40"), "{mti:04}");
    }
    for (mti, response) in no_type {
        let answer = client.exchange(mti, &borrowed(&reversal));
        assert_eq!(told(&answer), (response, "000008", "30"), "{mti:04}");
    }
    let sign_off = client.language.management("sign_off", 9);
    let answer = client.exchange(806, &borrowed(&sign_off));
    assert_eq!(told(&answer), (816, "000009", "30"));
    // Functions without an answer: the next to come is the answer to the echo.
    for function in 5..=9 {
        client.send(100 + function * 10, &borrowed(&reversal));
        client.send(800 + function * 10, &borrowed(&sign_off));
    }
    assert_eq!(client.manage("echo", 10).field(11), "000010");
    assert_eq!(peer.stats.format_errors.load(Ordering::Relaxed), 5 + 1 + 10);
    assert_eq!(rig.money(card).1, 100);
}

#[test]
fn a_date_or_time_that_is_none_is_a_format_error() {
    for dialect in ["iso8583-1987-ascii", "iso8583-1993-binary", "visa-base1"] {
        let rig = Rig::start();
        let card = rig.issue(VISA, 10_000);
        let (_, mut client) = rig.connected(&language_of(dialect), "");
        let (code, cases): (_, &[(u8, &str)]) = match client.language.is_1993() {
            true => (
                "904",
                &[
                    (7, "1324031500"),
                    (12, "261324031500"),
                    (12, "270229031500"),
                    (12, "261124250000"),
                ],
            ),
            false => (
                "30",
                &[
                    (7, "1324031500"),
                    (7, "1124256000"),
                    (12, "250000"),
                    (12, "126000"),
                    (13, "1301"),
                    (13, "0431"),
                ],
            ),
        };
        for (field, text) in cases {
            let with = |mut fields: Fields| {
                let (_, value) = fields
                    .iter_mut()
                    .find(|(number, _)| number == field)
                    .unwrap();
                *value = (*text).to_owned();
                fields
            };
            let language = client.language.clone();
            let purchase = Purchase::of(7, 100);
            let authorization = with(language.authorization(purchase));
            let answer = client.exchange(language.mti(100), &borrowed(&authorization));
            let case = format!("{dialect} DE{field} {text}");
            assert_eq!(told(&answer), (language.mti(110), "000007", code), "{case}");
            let reversal = with(language.reversal(purchase, 8, Naming::OriginalData));
            let answer = client.exchange(language.mti(400), &borrowed(&reversal));
            assert_eq!(told(&answer), (language.mti(410), "000008", code), "{case}");
        }
        assert_eq!(rig.money(card).1, 0, "{dialect}");
    }
}

/// Signed on, signed off, and what was answered in between.
#[test]
fn outside_a_session_nothing_new_is_decided_and_nothing_else_is_told_of_what_was() {
    for (dialect, approved, unknown_bin, signed_off) in [
        ("iso8583-1987-ascii", "00", "15", "91"),
        ("iso8583-1993-ascii", "000", "908", "910"),
    ] {
        let rig = Rig::start();
        let card = rig.issue(VISA, 10_000);
        let language = language_of(dialect);
        let (_, address) = rig.listen(&language, "sign_on = \"required\"");
        let mut client = Client::speaking(language.clone(), address);
        let purchase = Purchase::of(1, 100);
        let unknown = Purchase {
            pan: MASTERCARD,
            ..Purchase::of(2, 100)
        };
        let [new, of_unknown_card] = [purchase, unknown].map(|one| client.authorize(one));
        assert_eq!(told(&new), (language.mti(110), "000001", signed_off));
        assert_eq!(of_unknown_card.field(39), signed_off);

        client.manage("sign_on", 3);
        let [first, of_unknown_card] = [purchase, unknown].map(|one| client.authorize(one));
        assert_eq!((first.field(39), first.field(38).len()), (approved, 6));
        assert_eq!(of_unknown_card.field(39), unknown_bin);
        client.manage("sign_off", 4);

        let mut elsewhere = Client::speaking(language.clone(), address);
        for client in [&mut client, &mut elsewhere] {
            assert_eq!(client.authorize(purchase), first, "{dialect}");
            let marked = language.authorization(purchase);
            let repeat = client.exchange(language.mti(101), &borrowed(&marked));
            assert_eq!(repeat, first, "{dialect}");
            assert_eq!(client.authorize(unknown), of_unknown_card, "{dialect}");
            let new = client.authorize(Purchase::of(5, 100));
            assert_eq!(new.field(39), signed_off, "{dialect}");
        }
        assert_eq!(rig.money(card), (10_000, 100), "{dialect}");

        // Reversals are not answered: the next to come is the answer to the echo.
        for (stan, mti) in [(6, 400), (7, 420)] {
            let reversal = language.reversal(purchase, stan, Naming::OriginalData);
            client.send(language.mti(mti), &borrowed(&reversal));
        }
        assert_eq!(client.manage("echo", 8).field(11), "000008", "{dialect}");
        assert_eq!(rig.money(card).1, 100, "{dialect}");
        // The network repeats them, once it has signed on again.
        client.manage("sign_on", 9);
        client.reverse(purchase, 6, Naming::OriginalData);
        assert_eq!(rig.money(card).1, 0, "{dialect}");
        assert_eq!(client.authorize(Purchase::of(5, 100)).field(39), approved);
    }
}

#[test]
fn no_fact_holds_a_card_number_that_stood_in_free_text() {
    let rig = Rig::start();
    rig.issue(VISA, 10_000);
    let (_, mut client) = rig.connected(&Language::default(), "");
    let mut fields = client.language.authorization(Purchase::of(1, 100));
    for (field, text) in &mut fields {
        match field {
            42 => *text = VISA[..15].into(),
            43 => *text = format!("{:22}{:16}DE", format!("SHOP {VISA}"), "5555 5555555 444"),
            _ => {}
        }
    }
    assert_eq!(client.exchange(100, &borrowed(&fields)).field(39), "00");
    let content = rig.journal_content();
    let holds = |text: &str| {
        content
            .windows(text.len())
            .any(|bytes| bytes == text.as_bytes())
    };
    assert!(holds("SHOP 411111******1111") && holds("411111*****1111"));
    assert!(!holds(VISA) && !holds(&VISA[..15]));
}

//! The way in and out over real sockets, with the loops inside the test: dialects, framings, headers,
//! repeats, order, bounds, overload, sessions and drain.

mod support;

use cardswitch::engine::controls::Controls;
use cardswitch::engine::three_ds::{Exemption, ThreeDsMode, ThreeDsPolicy};
use cardswitch::iso8583::{Dialect, Framing};
use cardswitch::shard::inbox::QueueSettings;
use std::net::{Shutdown, TcpListener};
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::client::{Client, Language};
use support::messages::{Fields, Naming, Purchase, borrowed, with};
use support::rig::Rig;
use support::{VISA, wait_until};

/// Dialect, framing, header.
const LANGUAGES: &[(&str, &str, &str)] = &[
    ("iso8583-1987-ascii", "length-2-be", "none"),
    ("iso8583-1987-ascii", "ascii-4", "none"),
    ("iso8583-1987-ascii", "hex-4", "tpdu"),
    ("iso8583-1987-binary", "length-2-be", "tpdu"),
    ("iso8583-1987-binary", "length-2-bcd", "none"),
    ("iso8583-1987-binary", "length-2-be-etx", "none"),
    ("iso8583-1993-ascii", "length-4-be", "none"),
    ("iso8583-1993-ascii", "length-2-be-inclusive", "none"),
    ("iso8583-1993-binary", "length-2-le", "tpdu"),
    ("iso8583-1993-binary", "length-3-be", "none"),
    ("visa-base1", "length-2-be-zeros", "base1"),
    ("mastercard-ebcdic", "zeros-length-2-be", "none"),
    ("mastercard-ebcdic", "length-2-be", "none"),
];

/// A header as it comes, and as its answer must have it.
fn header_and_answer(header: &str, answer_length: u16) -> (Vec<u8>, Vec<u8>) {
    match header {
        "tpdu" => (vec![0x60, 0, 1, 0, 9], vec![0x60, 0, 9, 0, 1]),
        "base1" => {
            let tail = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
            let sent = [
                &[22, 1, 2, 0, 99, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66],
                &tail[..],
            ];
            let [high, low] = answer_length.to_be_bytes();
            let swapped = [22, 1, 2, high, low, 0x44, 0x55, 0x66, 0x11, 0x22, 0x33];
            (sent.concat(), [&swapped, &tail[..]].concat())
        }
        _ => (Vec::new(), Vec::new()),
    }
}

#[test]
fn no_dialect_framing_or_header_is_left_out() {
    for dialect in Dialect::builtin_names() {
        assert!(LANGUAGES.iter().any(|row| row.0 == *dialect), "{dialect}");
    }
    for framing in Framing::names() {
        assert!(LANGUAGES.iter().any(|row| row.1 == framing), "{framing}");
    }
    for header in ["none", "tpdu", "base1"] {
        assert!(LANGUAGES.iter().any(|row| row.2 == header), "{header}");
    }
}

/// All of them are open at once: several peers and dialects on one switch.
#[test]
fn each_dialect_framing_and_header_does_an_echo_an_authorization_and_a_reversal() {
    let rig = Rig::with(2, QueueSettings::default(), 1 << 20);
    let card = rig.issue(VISA, 10_000);
    let mut clients: Vec<Client> = LANGUAGES
        .iter()
        .enumerate()
        .map(|(number, (dialect, framing, header))| {
            let language = Language::new(dialect, framing, header);
            let name = format!("name = \"net{number}\"");
            rig.connected(&language, &name).1
        })
        .collect();
    for (client, (dialect, framing, header)) in clients.iter_mut().zip(LANGUAGES) {
        let case = format!("{dialect} {framing} {header}");
        let language = client.language.clone();
        client.header = header_and_answer(header, 0).0;

        let echo = client.manage("echo", 1);
        let accepted = if language.is_1993() { "800" } else { "00" };
        assert_eq!(
            (echo.mti, echo.field(39)),
            (language.mti(810), accepted),
            "{case}"
        );
        assert_eq!(echo.field(11), "000001", "{case}");

        let purchase = Purchase::of(2, 1_250);
        let answer = client.authorize(purchase);
        assert_eq!(answer.mti, language.mti(110), "{case}");
        assert_eq!(answer.field(39), language.code("00"), "{case}");
        assert_eq!(answer.field(38).len(), 6, "{case}");
        let request = language.authorization(purchase);
        for (field, text) in request
            .iter()
            .filter(|(field, _)| [2, 4, 11, 32, 37, 41].contains(field))
        {
            assert_eq!(answer.field(*field), text, "{case} DE{field}");
        }
        // Not what is the request's alone.
        assert_eq!((answer.field(14), answer.field(43)), ("", ""), "{case}");
        assert_eq!(rig.money(card), (10_000, 1_250), "{case}");
        let body = answer_length(&language, &answer);
        assert_eq!(answer.header, header_and_answer(header, body).1, "{case}");

        let declined = client.authorize(Purchase::of(3, 100_000));
        assert_eq!(declined.field(39), language.code("51"), "{case}");
        assert_eq!(declined.field(38), "", "{case}");

        let reversal = client.reverse(purchase, 4, Naming::OriginalData);
        let accepted = if language.is_1993() { "400" } else { "00" };
        assert_eq!(
            (reversal.mti, reversal.field(39)),
            (language.mti(410), accepted),
            "{case}"
        );
        assert_eq!(
            (reversal.field(11), reversal.field(38)),
            ("000004", ""),
            "{case}"
        );
        assert_eq!(rig.money(card), (10_000, 0), "{case}");
    }
}

/// Header and message of an answer, in bytes: encoded anew from what was read of it.
fn answer_length(language: &Language, answer: &support::Received) -> u16 {
    let fields: Vec<(u8, &str)> = answer
        .fields
        .iter()
        .map(|(n, text)| (*n, &**text))
        .collect();
    let frame = language.frame(&answer.header, answer.mti, &fields);
    let mut bytes = bytes::BytesMut::from(&frame[..]);
    match language.codec.cut(&mut bytes).unwrap() {
        Some(cardswitch::iso8583::Frame::Message { header, body }) => {
            (header.len() + body.len()) as u16
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reversal_finds_its_original_by_each_name_that_it_may_give() {
    for dialect in Dialect::builtin_names() {
        let rig = Rig::start();
        let card = rig.issue(VISA, 10_000);
        let header = if *dialect == "visa-base1" {
            "base1"
        } else {
            "none"
        };
        let (_, mut client) = rig.connected(&Language::new(dialect, "length-2-be", header), "");
        let namings = [Naming::OriginalData, Naming::Rrn, Naming::StanAndLocalTime];
        for (stan, naming) in (100..).step_by(10).zip(namings) {
            let purchase = Purchase::of(stan, 100);
            let other = Purchase::of(stan + 1, 200);
            client.authorize(purchase);
            client.authorize(other);
            assert_eq!(rig.money(card).1, 300, "{dialect} {naming:?}");
            client.reverse(purchase, stan + 5, naming);
            assert_eq!(rig.money(card).1, 200, "{dialect} {naming:?}");
            client.reverse(other, stan + 6, naming);
            assert_eq!(rig.money(card).1, 0, "{dialect} {naming:?}");
        }
    }
}

#[test]
fn each_dialect_carries_a_part_the_balances_and_a_credit() {
    for dialect in Dialect::builtin_names() {
        let rig = Rig::start();
        let card = rig.issue(VISA, 10_000);
        let header = match *dialect {
            "visa-base1" => "base1",
            _ => "none",
        };
        let language = Language::new(dialect, "length-2-be", header);
        let (_, mut client) = rig.connected(&language, "");
        let mti = language.mti(100);
        let purchase = Purchase::of(2, 12_500);
        let whole = language.authorization(purchase);
        let in_part = with(whole, &[language.partial_approval_supported()]);
        let repeat = mti + 1;
        for mti in [mti, repeat] {
            let answer = client.exchange(mti, &borrowed(&in_part));
            let told = [39, 4, 54].map(|field| answer.field(field));
            let part = language.code("10");
            assert_eq!(
                told,
                [part, "000000010000", "0057840C000000012500"],
                "{dialect}"
            );
            assert_eq!(answer.field(38).len(), 6, "{dialect}");
            assert_eq!(rig.money(card), (10_000, 10_000), "{dialect}");
        }
        client.reverse(purchase, 3, Naming::OriginalData);
        assert_eq!(rig.money(card), (10_000, 0), "{dialect}");

        client.authorize(Purchase::of(4, 2_500));
        let asks = language.authorization(Purchase::of(5, 0));
        let asks = with(asks, &[(3, "300000")]);
        let answer = client.exchange(mti, &borrowed(&asks));
        let told = [39, 54].map(|field| answer.field(field));
        let balances = "0001840C0000000100000002840C000000007500";
        assert_eq!(told, [language.code("00"), balances], "{dialect}");

        let credit = language.authorization(Purchase::of(6, 99_999));
        let credit = with(credit, &[(3, "200000")]);
        let answer = client.exchange(mti, &borrowed(&credit));
        assert_eq!(answer.field(39), language.code("00"), "{dialect}");
        assert_eq!(rig.money(card), (10_000, 2_500), "{dialect}");
        let reversed = client.reverse(Purchase::of(6, 99_999), 7, Naming::OriginalData);
        let accepted = if language.is_1993() { "400" } else { "00" };
        assert_eq!(reversed.field(39), accepted, "{dialect}");
    }
}

/// A pre-authorization with an increment, two completions and reversals of parts; a single message; stand-in; a force
/// post and a refund: what the network has done is carried out, and told as its dialect tells it.
#[test]
fn each_dialect_carries_every_message_of_a_payment() {
    for dialect in Dialect::builtin_names() {
        let rig = Rig::start();
        let card = rig.issue(VISA, 100_000);
        let header = match *dialect {
            "visa-base1" => "base1",
            _ => "none",
        };
        let language = Language::new(dialect, "length-2-be", header);
        let (_, mut client) = rig.connected(&language, "");
        let mut say = |mti, fields: &Fields| {
            let fields = with(fields.clone(), &[]);
            let answer = client.exchange(language.mti(mti), &borrowed(&fields));
            answer.field(39).to_owned()
        };
        let approved = language.code("00");
        let advice_accepted = if language.is_1993() { "900" } else { "00" };
        let reversal_accepted = if language.is_1993() { "400" } else { "00" };
        let original = Purchase::of(1, 10_000);
        let about = |stan, amount_minor, of: Purchase| {
            let message = language.authorization(Purchase::of(stan, amount_minor));
            language.about(message, of)
        };

        assert_eq!(say(100, &language.authorization(original)), approved);
        let increment = language.increment(about(2, 2_500, original));
        assert_eq!(say(100, &increment), approved, "{dialect}");
        assert_eq!(rig.money(card), (100_000, 12_500), "{dialect}");
        let not_final = language.not_final();
        let first = with(about(3, 4_000, original), not_final.as_slice());
        assert_eq!(say(220, &first), advice_accepted, "{dialect}");
        assert_eq!(say(221, &first), advice_accepted, "{dialect}");
        let held = if not_final.is_empty() { 0 } else { 8_500 };
        assert_eq!(rig.money(card), (96_000, held), "{dialect}");
        let last = about(4, 8_000, original);
        assert_eq!(say(220, &last), advice_accepted, "{dialect}");
        assert_eq!(rig.money(card), (88_000, 0), "{dialect}");
        // Reversed to 6,000 in all.
        let part = language.partial_reversal(original, 5, 6_000, 12_000);
        assert_eq!(say(420, &part), reversal_accepted, "{dialect}");
        assert_eq!(rig.money(card), (94_000, 0), "{dialect}");
        assert_eq!(say(420, &part), reversal_accepted, "{dialect}");
        let all = language.reversal(original, 6, Naming::OriginalData);
        assert_eq!(say(420, &all), reversal_accepted, "{dialect}");
        assert_eq!(rig.money(card), (100_000, 0), "{dialect}");

        let single = Purchase::of(10, 7_000);
        assert_eq!(say(200, &language.authorization(single)), approved);
        assert_eq!(rig.money(card), (93_000, 0), "{dialect}");
        let single_reversed = language.reversal(single, 11, Naming::OriginalData);
        assert_eq!(say(400, &single_reversed), reversal_accepted, "{dialect}");
        assert_eq!(rig.money(card), (100_000, 0), "{dialect}");

        let stand_in = language.authorization(Purchase::of(20, 3_000));
        let declined = language.code("51");
        let reported = with(stand_in.clone(), &[(39, declined)]);
        assert_eq!(say(120, &reported), advice_accepted, "{dialect}");
        assert_eq!(rig.money(card), (100_000, 0), "{dialect}");
        let stand_in = language.authorization(Purchase::of(21, 3_000));
        let stand_in = with(stand_in, &[(39, approved), (38, "S1A2N3")]);
        assert_eq!(say(120, &stand_in), advice_accepted, "{dialect}");
        assert_eq!(rig.money(card), (100_000, 3_000), "{dialect}");
        let amended = about(22, 2_000, Purchase::of(21, 3_000));
        assert_eq!(say(120, &amended), advice_accepted, "{dialect}");
        assert_eq!(rig.money(card), (100_000, 2_000), "{dialect}");

        let forced = language.authorization(Purchase::of(30, 150_000));
        assert_eq!(say(220, &forced), advice_accepted, "{dialect}");
        assert_eq!(rig.money(card), (-50_000, 2_000), "{dialect}");
        let refund = language.authorization(Purchase::of(31, 60_000));
        let refund = with(refund, &[(3, "200000")]);
        assert_eq!(say(220, &refund), advice_accepted, "{dialect}");
        assert_eq!(rig.money(card), (10_000, 2_000), "{dialect}");
        let nobody = with(forced, &[(2, "4111111111119999"), (11, "000040")]);
        assert_eq!(say(220, &nobody), advice_accepted, "{dialect}");
    }
}

/// Without authentication, with it, with a value that the network found wrong, and by the merchant.
#[test]
fn each_dialect_carries_three_d_secure_and_gets_its_soft_decline() {
    for dialect in Dialect::builtin_names() {
        let rig = Rig::start();
        let policy = ThreeDsPolicy {
            mode: ThreeDsMode::Required,
            above_minor: Some(1_000),
            accepted_exemptions: vec![Exemption::LowValue],
        };
        let controls = Controls {
            three_ds: Some(policy),
            ..Controls::default()
        };
        let card = rig.issue_with(VISA, 10_000, controls);
        let header = match *dialect {
            "visa-base1" => "base1",
            _ => "none",
        };
        let language = Language::new(dialect, "length-2-be", header);
        let (_, mut client) = rig.connected(&language, "");
        let (soft, declined) = match *dialect {
            "visa-base1" => ("1A", "05"),
            "mastercard-ebcdic" => ("65", "05"),
            _ if language.is_1993() => ("100", "100"),
            _ => ("05", "05"),
        };
        let approved = language.code("00");
        for (stan, (amount_minor, said, expected)) in [
            (1_001, "", soft),
            (1_000, "", approved),
            (1_001, "attempted", soft),
            (1_001, "authenticated", approved),
            (1_001, "invalid", declined),
            (1_001, "low_value", approved),
            (1_001, "merchant", approved),
        ]
        .into_iter()
        .enumerate()
        {
            let purchase = Purchase::of(stan as u32 + 1, amount_minor);
            let bought = language.authorization(purchase);
            let bought = with(bought, &borrowed(&language.bought_online(said)));
            let answer = client.exchange(language.mti(100), &borrowed(&bought));
            assert_eq!(answer.field(39), expected, "{dialect} {said}");
        }
        assert_eq!(rig.money(card), (10_000, 4_003), "{dialect}");
    }
}

#[test]
fn a_reversal_before_its_original_wins_over_it() {
    let rig = Rig::start();
    let card = rig.issue(VISA, 10_000);
    let (_, mut client) = rig.connected(&Language::default(), "");
    let purchase = Purchase::of(1, 500);
    assert_eq!(
        client.reverse(purchase, 2, Naming::OriginalData).field(39),
        "00"
    );
    assert_eq!(client.authorize(purchase).field(39), "05");
    assert_eq!(rig.money(card), (10_000, 0));
}

#[test]
fn a_repeat_over_another_connection_gets_the_first_answer() {
    let rig = Rig::start();
    let card = rig.issue(VISA, 10_000);
    let language = Language::default();
    let (_, address) = rig.listen(&language, "");
    let purchase = Purchase::of(1, 3_000);
    let first = Client::connect(address).authorize(purchase);
    assert_eq!((first.field(39), first.field(38).len()), ("00", 6));

    let mut other = Client::connect(address);
    assert_eq!(other.authorize(purchase), first);
    let marked = language.authorization(purchase);
    assert_eq!(other.exchange(101, &borrowed(&marked)), first);
    assert_eq!(rig.money(card).1, 3_000);

    let another_amount = other.authorize(Purchase::of(1, 3_100));
    assert_eq!(
        (another_amount.field(39), another_amount.field(38)),
        ("94", "")
    );
    assert_eq!(rig.money(card).1, 3_000);
}

/// One write with many frames; the bound lets two be in flight. No byte comes after them.
#[test]
fn frames_behind_a_full_in_flight_bound_are_answered_without_new_bytes_and_in_order() {
    let rig = Rig::start();
    rig.issue(VISA, 10_000);
    let (peer, mut client) = rig.connected(&Language::default(), "in_flight_max = 2");
    client.send_bytes(&authorizations(&client.language, 1..=60));
    for stan in 1..=60 {
        let answer = client.receive();
        assert_eq!(
            (answer.field(11), answer.field(39)),
            (&*format!("{stan:06}"), "00")
        );
    }
    wait_until("all are counted", || {
        peer.stats.messages_answered.load(Ordering::Relaxed) == 60
    });
    assert_eq!(peer.stats.messages_received.load(Ordering::Relaxed), 60);
    assert_eq!(peer.stats.latency().0.iter().sum::<u64>(), 60);
}

fn authorizations(language: &Language, stans: std::ops::RangeInclusive<u32>) -> Vec<u8> {
    let frames = stans.map(|stan| {
        let fields = language.authorization(Purchase::of(stan, 1));
        language.frame(&[], 100, &borrowed(&fields))
    });
    frames.collect::<Vec<_>>().concat()
}

/// Nothing gets durable and the queue is small: first requests wait, then the queue is full.
#[test]
fn overload_gets_a_quick_91_while_reversals_have_room_of_their_own() {
    let queues = QueueSettings {
        ordinary_max: 4,
        reserved: 2,
    };
    let rig = Rig::with(1, queues, 8 << 10);
    rig.issue(VISA, 10_000);
    let (peer, mut client) = rig.connected(&Language::default(), "in_flight_max = 100");
    rig.gate.close();
    // One refused may be the shard being slow; twenty in a row, and it waits for the disk.
    let (mut sent, mut refused, mut in_a_row) = (0, 0, 0);
    while in_a_row < 20 {
        sent += 1;
        assert!(sent < 90 + refused, "the queue never fills");
        let fields = client.language.authorization(Purchase::of(sent, 1));
        client.send(100, &borrowed(&fields));
        match client.receive_within(Duration::from_millis(10)) {
            None => in_a_row = 0,
            Some(answer) => {
                assert_eq!((answer.field(39), answer.field(38)), ("91", ""));
                (refused, in_a_row) = (refused + 1, in_a_row + 1);
            }
        }
    }

    // One read with more frames than there is room for in flight: each gets its 91, down to the last.
    client.send_bytes(&authorizations(&client.language, 1_000..=1_299));
    for stan in 1_000..=1_299 {
        // What was refused before may come later than it was waited for.
        let answer = loop {
            let answer = client.receive();
            if answer.field(11) >= "001000" {
                break answer;
            }
            assert_eq!(answer.field(39), "91");
        };
        assert_eq!(
            (answer.field(11), answer.field(39)),
            (&*format!("{stan:06}"), "91")
        );
    }

    let depth = rig.switchboard.queue_depths()[0];
    for stan in 1..=3 {
        let fields =
            client
                .language
                .reversal(Purchase::of(stan, 1), 500 + stan, Naming::OriginalData);
        client.send(400, &borrowed(&fields));
        let taken = stan.min(2) as usize;
        wait_until("the reversal is in the queue", || {
            rig.switchboard.queue_depths()[0] == depth + taken
        });
    }
    // The third found no room and is not told 91: the answer to this echo is the next to come.
    assert_eq!(client.manage("echo", 9).mti, 810);

    rig.gate.open();
    let answers: Vec<_> = (0..sent - refused + 2).map(|_| client.receive()).collect();
    assert!(answers.iter().all(|answer| answer.field(39) == "00"));
    assert_eq!(answers.iter().filter(|answer| answer.mti == 410).count(), 2);
    let refused = u64::from(refused) + 300;
    assert_eq!(
        peer.stats.overload_refusals.load(Ordering::Relaxed),
        refused
    );
}

#[test]
fn a_drain_answers_what_is_in_flight_then_signs_off() {
    let rig = Rig::start();
    rig.issue(VISA, 10_000);
    let (peer, mut client) = rig.connected(&Language::default(), "sign_on = \"send\"");
    let sign_on = client.receive();
    assert_eq!((sign_on.mti, sign_on.field(70)), (800, "001"));
    answer_management(&mut client, &sign_on, "00");
    assert_eq!(client.authorize(Purchase::of(1, 100)).field(39), "00");

    rig.gate.close();
    client.send_bytes(&authorizations(&client.language, 2..=4));
    wait_until("all have been read", || {
        peer.stats.messages_received.load(Ordering::Relaxed) == 5
    });
    rig.drain();
    wait_until("the connection has heard of it", || {
        client.manage("sign_on", 9).field(39) == DECLINED
    });
    // Nothing new is taken, but a repeat of the first gets its answer.
    client.send_bytes(&authorizations(&client.language, 5..=5));
    let first = client.language.authorization(Purchase::of(1, 100));
    client.send(101, &borrowed(&first));
    assert_eq!(client.receive_within(Duration::from_millis(20)), None);
    rig.gate.open();
    for (stan, code) in [
        ("000002", "00"),
        ("000003", "00"),
        ("000004", "00"),
        ("000005", "91"),
        ("000001", "00"),
    ] {
        let answer = client.receive();
        assert_eq!((answer.field(11), answer.field(39)), (stan, code));
    }
    let sign_off = client.receive();
    assert_eq!((sign_off.mti, sign_off.field(70)), (800, "002"));
    answer_management(&mut client, &sign_off, "00");
    client.wait_for_close();
    rig.wait_for_connections();
    assert_eq!(peer.stats.sessions_open.load(Ordering::Relaxed), 0);
}

fn answer_management(client: &mut Client, request: &support::Received, code: &str) {
    let fields = [
        (7, request.field(7)),
        (11, request.field(11)),
        (39, code),
        (70, request.field(70)),
    ];
    client.send(810, &fields);
}

#[test]
fn a_peer_that_has_said_its_last_word_still_gets_its_answers() {
    let rig = Rig::start();
    rig.issue(VISA, 10_000);
    let (_, mut client) = rig.connected(&Language::default(), "");
    client.send_bytes(&authorizations(&client.language, 1..=20));
    client.stream.shutdown(Shutdown::Write).unwrap();
    for _ in 1..=20 {
        assert_eq!(client.receive().field(39), "00");
    }
    assert!(client.next_frame().unwrap().is_none());
}

#[test]
fn messages_before_a_bad_frame_are_answered_before_the_connection_is_closed() {
    let rig = Rig::start();
    rig.issue(VISA, 10_000);
    let language = Language::new("iso8583-1987-ascii", "ascii-4", "none");
    let (peer, mut client) = rig.connected(&language, "");
    let mut bytes = authorizations(&language, 1..=2);
    bytes.extend(b"GET / HTTP/1.1\r\n\r\n");
    client.send_bytes(&bytes);
    assert_eq!(client.receive().field(11), "000001");
    assert_eq!(client.receive().field(11), "000002");
    client.wait_for_close();
    assert_eq!(peer.stats.frame_errors.load(Ordering::Relaxed), 1);
}

#[test]
fn a_malformed_request_is_answered_30_and_what_is_no_request_is_not_answered() {
    let rig = Rig::start();
    let (peer, mut client) = rig.connected(&Language::default(), "");
    let good = client.language.authorization(Purchase::of(7, 1));
    let without = |field: u8| -> Vec<(u8, &str)> {
        let fields = borrowed(&good).into_iter();
        fields.filter(|(number, _)| *number != field).collect()
    };
    let framed = |body: &[u8]| [&(body.len() as u16).to_be_bytes(), body].concat();
    let body = client.language.frame(&[], 100, &borrowed(&good))[2..].to_vec();
    let cut_short = body[..body.len() - 20].to_vec();
    let too_long = [&body[..], b"more"].concat();
    // The amount begins behind MTI 4, bitmap 16, DE2 2 + 16, DE3 6.
    let mut bad_amount = body.clone();
    bad_amount[44] = b'x';
    for (what, frame) in [
        ("cut short", framed(&cut_short)),
        ("too long", framed(&too_long)),
        ("letters in the amount", framed(&bad_amount)),
        ("no amount", client.language.frame(&[], 100, &without(4))),
        (
            "no processing code",
            client.language.frame(&[], 100, &without(3)),
        ),
        ("no card", client.language.frame(&[], 100, &without(2))),
    ] {
        client.send_bytes(&frame);
        let answer = client.receive();
        let told = (
            answer.mti,
            answer.field(11),
            answer.field(39),
            answer.field(38),
        );
        assert_eq!(told, (110, "000007", "30", ""), "{what}");
    }
    let mut unknown_month = good.clone();
    unknown_month.iter_mut().for_each(|(field, text)| {
        if *field == 14 {
            *text = "3113".into();
        }
    });
    assert_eq!(
        client.exchange(100, &borrowed(&unknown_month)).field(39),
        "30"
    );

    client.send_bytes(&client.language.frame(&[], 100, &without(11)));
    for never_answered in [110, 130, 140, 410, 430, 440, 810, 840] {
        client.send(never_answered, &borrowed(&good));
    }
    assert_eq!(client.manage("echo", 8).field(11), "000008");
    assert_eq!(peer.stats.format_errors.load(Ordering::Relaxed), 8);
}

#[test]
fn a_message_that_is_not_decided_here_is_declined_and_can_be_matched() {
    let rig = Rig::start();
    let (_, mut client) = rig.connected(&Language::default(), "");
    let fields = client.language.authorization(Purchase::of(7, 1));
    for (mti, response) in [(302, 312), (320, 330), (620, 630)] {
        let answer = client.exchange(mti, &borrowed(&fields));
        let told = (
            answer.mti,
            answer.field(39),
            answer.field(11),
            answer.field(37),
        );
        assert_eq!(told, (response, "40", "000007", "632800000007"));
    }
}

#[test]
fn network_management_that_we_do_not_do_is_declined() {
    let rig = Rig::start();
    let (_, mut client) = rig.connected(&Language::default(), "sign_on = \"none\"");
    for function in ["key_exchange", "advice_recovery_start", "sign_on"] {
        assert_eq!(client.manage(function, 1).field(39), DECLINED, "{function}");
    }
    let unknown = client.exchange(800, &[(7, "1124031500"), (11, "000002"), (70, "999")]);
    assert_eq!(unknown.field(39), DECLINED);
    let nothing = client.exchange(800, &[(7, "1124031500"), (11, "000003")]);
    assert_eq!(nothing.field(39), DECLINED);
    assert_eq!(client.manage("cut_over", 4).field(39), "00");
}

/// DE39 for a network management function that is not carried out.
const DECLINED: &str = "12";

#[test]
fn a_declined_sign_on_ends_the_connection() {
    let rig = Rig::start();
    let (_, mut client) = rig.connected(&Language::default(), "sign_on = \"send\"");
    let sign_on = client.receive();
    // A notification, and an answer to something that we never asked, change nothing.
    client.send(
        840,
        &[(7, "1124031500"), (11, sign_on.field(11)), (70, "001")],
    );
    client.send(
        810,
        &[(7, "1124031500"), (11, "999999"), (39, "05"), (70, "001")],
    );
    assert_eq!(client.manage("echo", 1).field(39), "00");
    answer_management(&mut client, &sign_on, "05");
    client.wait_for_close();
}

#[test]
fn an_empty_frame_is_answered_once_where_configured_and_else_never() {
    let rig = Rig::start();
    for framing in [
        "length-2-be",
        "length-2-be-etx",
        "ascii-4",
        "length-2-be-inclusive",
    ] {
        let language = Language::new("iso8583-1987-ascii", framing, "none");
        let mut empty = bytes::BytesMut::new();
        language.codec.put_keep_alive(&mut empty);
        let name = format!("name = \"{}\"", framing.trim_start_matches("length-"));
        let (_, mut silent) = rig.connected(&language, &name);
        silent.send_bytes(&empty.repeat(3));
        assert_eq!(silent.manage("echo", 1).mti, 810, "{framing}");

        let (_, mut polite) =
            rig.connected(&language, &format!("{name}\nanswer_keep_alive = true"));
        polite.send_bytes(&empty.repeat(3));
        for _ in 0..3 {
            let frame = polite.next_frame().unwrap().unwrap();
            assert_eq!(frame, cardswitch::iso8583::Frame::KeepAlive, "{framing}");
        }
        assert_eq!(polite.manage("echo", 1).mti, 810, "{framing}");
    }
}

#[test]
fn a_message_that_the_network_gave_back_is_not_answered() {
    let rig = Rig::start();
    let language = Language::new("visa-base1", "length-2-be-zeros", "base1");
    let (peer, mut client) = rig.connected(&language, "");
    let usual = client.header.clone();
    let mut reject = vec![26, 1, 2];
    reject.resize(26, 0);
    client.header = [&reject[..], &usual].concat();
    let echo = language.management("echo", 1);
    client.send(800, &borrowed(&echo));
    client.header = usual;
    assert_eq!(client.manage("echo", 2).field(11), "000002");
    assert_eq!(peer.stats.format_errors.load(Ordering::Relaxed), 1);
}

#[test]
fn a_connector_connects_again_and_signs_on_again() {
    let rig = Rig::start();
    rig.issue(VISA, 10_000);
    let network = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = network.local_addr().unwrap();
    let (peer, _) = rig.open(&format!(
        "name = \"out\"\nconnect = \"{address}\"\nsign_on = \"send\""
    ));
    for round in 1..=3 {
        let (stream, _) = network.accept().unwrap();
        let mut client = Client::over(Language::default(), stream);
        let sign_on = client.receive();
        assert_eq!((sign_on.mti, sign_on.field(70)), (800, "001"));
        assert_eq!(client.authorize(Purchase::of(round, 1)).field(39), "91");
        answer_management(&mut client, &sign_on, "00");
        assert_eq!(client.authorize(Purchase::of(round, 1)).field(39), "00");
    }
    // The port is closed for a while, and open again.
    drop(network);
    wait_until("the last connection has ended", || {
        peer.stats.sessions_open.load(Ordering::Relaxed) == 0
    });
    let network = TcpListener::bind(address).unwrap();
    let (stream, _) = network.accept().unwrap();
    assert_eq!(
        Client::over(Language::default(), stream)
            .receive()
            .field(70),
        "001"
    );
    assert_eq!(peer.stats.sessions_total.load(Ordering::Relaxed), 4);
}

#[test]
fn a_network_that_has_signed_off_is_signed_on_again() {
    let rig = Rig::start();
    rig.issue(VISA, 10_000);
    let settings = "sign_on = \"send\"\nsign_on_again_s = 2";
    let (peer, mut client) = rig.connected(&Language::default(), settings);
    let signed_off = || peer.stats.sessions_signed_off.load(Ordering::Relaxed);
    let sign_on = client.receive();
    wait_until("it is counted", || signed_off() == 1);
    answer_management(&mut client, &sign_on, "00");
    assert_eq!(client.authorize(Purchase::of(1, 1)).field(39), "00");
    assert_eq!(signed_off(), 0);
    assert_eq!(client.manage("sign_off", 2).field(39), "00");
    assert_eq!(client.authorize(Purchase::of(3, 1)).field(39), "91");
    assert_eq!(signed_off(), 1);
    let sign_on = client.receive();
    assert_eq!((sign_on.mti, sign_on.field(70)), (800, "001"));
    answer_management(&mut client, &sign_on, "00");
    assert_eq!(client.authorize(Purchase::of(3, 1)).field(39), "00");
    assert_eq!(signed_off(), 0);
    assert_eq!(peer.stats.sign_offs.load(Ordering::Relaxed), 1);
    // The connection that is gone is none that is signed off.
    client.manage("sign_off", 4);
    drop(client);
    wait_until("it is gone", || signed_off() == 0);
}

/// Without business it would take half a minute.
#[test]
fn a_network_that_sends_business_after_its_sign_off_is_signed_on_at_once() {
    let rig = Rig::start();
    rig.issue(VISA, 10_000);
    let (_, mut client) = rig.connected(&Language::default(), "sign_on = \"send\"");
    let sign_on = client.receive();
    answer_management(&mut client, &sign_on, "00");
    assert_eq!(client.manage("sign_off", 1).field(39), "00");
    std::thread::sleep(Duration::from_millis(1_100));
    client.send_bytes(&authorizations(&client.language, 1..=1));
    // Whichever comes first.
    let mut told = [client.receive(), client.receive()];
    told.sort_by_key(|received| received.mti);
    let [answer, sign_on] = told;
    assert_eq!((answer.mti, answer.field(39)), (110, "91"));
    assert_eq!((sign_on.mti, sign_on.field(70)), (800, "001"));
    answer_management(&mut client, &sign_on, "00");
    assert_eq!(client.authorize(Purchase::of(1, 1)).field(39), "00");
}

#[test]
fn a_sign_on_that_nobody_answers_ends_the_connection_and_is_tried_again() {
    let rig = Rig::start();
    let network = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = network.local_addr().unwrap();
    rig.open(&format!(
        "name = \"out\"\nconnect = \"{address}\"\nsign_on = \"send\"\nresponse_timeout_s = 1"
    ));
    let mut deaf = Client::over(Language::default(), network.accept().unwrap().0);
    assert_eq!(deaf.receive().field(70), "001");
    deaf.wait_for_close();
    let mut client = Client::over(Language::default(), network.accept().unwrap().0);
    let sign_on = client.receive();
    answer_management(&mut client, &sign_on, "00");
    assert_eq!(client.manage("echo", 1).field(39), "00");
}

#[test]
fn a_drain_waits_no_longer_than_configured_for_the_answer_to_a_sign_off() {
    let rig = Rig::start();
    let settings = "sign_on = \"send\"\nresponse_timeout_s = 1";
    let (_, mut client) = rig.connected(&Language::default(), settings);
    let sign_on = client.receive();
    answer_management(&mut client, &sign_on, "00");
    assert_eq!(client.manage("echo", 1).field(39), "00");
    rig.drain();
    assert_eq!(client.receive().field(70), "002");
    client.wait_for_close();
    rig.wait_for_connections();
}

#[test]
fn a_peer_that_reads_slowly_gets_every_answer() {
    const MESSAGES: u32 = 3_000;
    let rig = Rig::start();
    rig.issue(VISA, 1_000_000);
    let (_, address) = rig.listen(&Language::default(), "in_flight_max = 16");
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // Set before connecting, so that the window is as small from the start.
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut client = Client::over(Language::default(), socket.into());
    let mut writing = client.stream.try_clone().unwrap();
    let bytes = authorizations(&client.language, 1..=MESSAGES);
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut writing, &bytes));
    client.read_bytes_max = 64;
    for stan in 1..=MESSAGES {
        let answer = client.receive();
        let told = (answer.field(11), answer.field(39));
        assert_eq!(told, (&*format!("{stan:06}"), "00"));
    }
    writer.join().unwrap().unwrap();
}

#[test]
fn a_peer_that_ends_in_the_middle_of_a_frame_leaves_nothing_behind() {
    let rig = Rig::start();
    let card = rig.issue(VISA, 10_000);
    let (peer, mut client) = rig.connected(&Language::default(), "");
    let whole = authorizations(&client.language, 1..=2);
    client.send_bytes(&whole[..whole.len() - 1]);
    assert_eq!(client.receive().field(11), "000001");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.next_frame().unwrap().is_none());
    wait_until("the connection is gone", || {
        peer.stats.sessions_open.load(Ordering::Relaxed) == 0
    });
    assert_eq!(rig.money(card).1, 1);
}

#[test]
fn a_connector_keeps_as_many_connections_as_it_is_told() {
    let rig = Rig::start();
    let network = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = network.local_addr().unwrap();
    rig.open(&format!(
        "name = \"out\"\nconnect = \"{address}\"\nconnections = 3"
    ));
    let mut clients: Vec<Client> = (0..3)
        .map(|_| Client::over(Language::default(), network.accept().unwrap().0))
        .collect();
    for client in &mut clients {
        assert_eq!(client.manage("echo", 1).field(39), "00");
    }
}

#[test]
fn no_more_connections_are_taken_than_configured() {
    let rig = Rig::start();
    let (peer, address) = rig.listen(&Language::default(), "connections_max = 2");
    let mut first = Client::connect(address);
    let mut second = Client::connect(address);
    assert_eq!(first.manage("echo", 1).mti, 810);
    assert_eq!(second.manage("echo", 1).mti, 810);
    Client::connect(address).wait_for_close();
    assert_eq!(peer.stats.sessions_refused.load(Ordering::Relaxed), 1);
    assert_eq!(peer.stats.sessions_open.load(Ordering::Relaxed), 2);
    drop(first);
    wait_until("a place is free again", || {
        peer.stats.sessions_open.load(Ordering::Relaxed) == 1
    });
    assert_eq!(Client::connect(address).manage("echo", 1).mti, 810);
}

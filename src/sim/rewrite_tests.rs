//! Tests of `rewrite.rs`.
use super::*;
use crate::iso8583::Mti;

fn dialect() -> Arc<Dialect> {
    Arc::new(Dialect::builtin("iso8583-1987-ascii").unwrap())
}

struct Facts<'a> {
    mti: u16,
    stan: u64,
    at: u64,
    rrn: &'a str,
    original: Option<&'a str>,
}

fn message(dialect: &Dialect, facts: &Facts) -> BytesMut {
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new(dialect, &mut out, Mti::new(facts.mti));
    encoder
        .text(2, "4111111111111111")
        .unwrap()
        .digits(4, 1200)
        .unwrap();
    encoder
        .digits(7, facts.at)
        .unwrap()
        .digits(11, facts.stan)
        .unwrap();
    encoder
        .digits(12, 20_530)
        .unwrap()
        .digits(13, 1124)
        .unwrap();
    encoder
        .text(37, facts.rrn)
        .unwrap()
        .text(41, "TERM0001")
        .unwrap();
    if let Some(original) = facts.original {
        encoder.text(90, original).unwrap();
    }
    encoder.finish();
    out
}

fn rewrite(rewriter: &mut Rewriter, bytes: &[u8], second: u64) -> BytesMut {
    let dialect = rewriter.dialect.clone();
    let mut out = BytesMut::new();
    let message = Message::parse(&dialect, bytes).unwrap();
    rewriter
        .rewrite(&message, Stamp::from_unix(1_795_487_130 + second), &mut out)
        .unwrap();
    out
}

const REVERSED: &str = "010000012311240205300645320100000000000";

fn original_data() -> String {
    format!("{REVERSED:0<42}")
}

#[test]
fn a_reversal_names_its_rewritten_original() {
    let dialect = dialect();
    let mut rewriter = Rewriter::new(dialect.clone(), Keys::new(1, 0));
    let facts = |mti, stan, at, original| Facts {
        mti,
        stan,
        at,
        rrn: "432812000123",
        original,
    };
    let data = original_data();
    let request = message(&dialect, &facts(100, 123, 1_124_020_530, None));
    let repeat = message(&dialect, &facts(101, 123, 1_124_020_540, None));
    let reversal = message(&dialect, &facts(400, 124, 1_124_020_600, Some(&data)));
    let new = [
        rewrite(&mut rewriter, &request, 0),
        rewrite(&mut rewriter, &repeat, 5),
        rewrite(&mut rewriter, &reversal, 9),
    ];
    let [request, repeat, reversal] =
        [0, 1, 2].map(|at| Message::parse(&dialect, &new[at]).unwrap());
    let text = |message: &Message, field| message.text::<42>(field).unwrap();
    for field in [11, 12, 13, 37, 41] {
        assert_eq!(
            request.raw(field),
            repeat.raw(field),
            "DE{field} of the repeat"
        );
    }
    assert_ne!(request.raw(37).unwrap(), b"432812000123");
    assert_eq!(
        request.raw(37),
        reversal.raw(37),
        "the reversal is about the same payment"
    );
    assert_ne!(
        request.raw(11),
        reversal.raw(11),
        "and has a STAN of its own"
    );
    assert_eq!(&*text(&request, 7), "1124022530");
    assert_eq!(&*text(&reversal, 7), "1124022539");
    let named = text(&reversal, 90);
    assert_eq!(&named[..4], "0100");
    assert_eq!(named[4..10], *text(&request, 11));
    assert_eq!(named[10..20], *text(&request, 7));
    assert_eq!(named[20..], data[20..], "acquirer and forwarder stay");
    assert_eq!(request.raw(2), reversal.raw(2));
    assert_eq!(request.digits(4), Some(1200));
}

/// The same in every dialect of 1987 layout, with and without an RRN in common.
#[test]
fn a_reversal_before_its_original_names_what_that_will_be_called() {
    let dialect = dialect();
    let data = original_data();
    for original_rrn in ["432812000123", "432812000999"] {
        let mut rewriter = Rewriter::new(dialect.clone(), Keys::new(1, 0));
        let facts = |mti, stan, at, rrn, original| Facts {
            mti,
            stan,
            at,
            rrn,
            original,
        };
        let of = Some(&*data);
        let reversal = facts(400, 124, 1_124_020_530, "432812000123", of);
        let request = facts(100, 123, 1_124_020_530, original_rrn, None);
        let repeat = facts(101, 123, 1_124_020_535, original_rrn, None);
        let again = facts(401, 124, 1_124_020_540, "432812000123", of);
        let messages = [reversal, request, repeat, again].map(|facts| message(&dialect, &facts));
        for bytes in &messages {
            rewriter.announce(&Message::parse(&dialect, bytes).unwrap());
        }
        for round in 0..2 {
            let mut second = 100 * round;
            let new = messages.each_ref().map(|bytes| {
                second += 7;
                rewrite(&mut rewriter, bytes, second)
            });
            let [reversal, request, repeat, again] = new
                .each_ref()
                .map(|bytes| Message::parse(&dialect, bytes).unwrap());
            let named = reversal.text::<42>(90).unwrap();
            assert_eq!(named[4..10], *request.text::<42>(11).unwrap());
            assert_eq!(named[10..20], *request.text::<42>(7).unwrap());
            assert_ne!(request.raw(11), reversal.raw(11));
            assert_eq!(request.raw(11), repeat.raw(11), "a repeat stays one");
            assert_eq!(again.raw(90), reversal.raw(90), "and so does a double");
            assert_eq!(again.raw(11), reversal.raw(11));
            assert_ne!(named[4..10], *"000123", "the key is a fresh one");
            rewriter.restart();
        }
    }
}

#[test]
fn an_unknown_original_and_other_payments_stay_apart() {
    let dialect = dialect();
    let mut rewriter = Rewriter::new(dialect.clone(), Keys::new(1, 0));
    let data = original_data();
    let facts = |rrn, original| Facts {
        mti: 400,
        stan: 5,
        at: 1_124_020_530,
        rrn,
        original,
    };
    let first = message(&dialect, &facts("432812000001", Some(&data)));
    let second = message(&dialect, &facts("432812000002", Some(&data)));
    let first = rewrite(&mut rewriter, &first, 0);
    let second = rewrite(&mut rewriter, &second, 0);
    let [first, second] = [&first, &second].map(|bytes| Message::parse(&dialect, bytes).unwrap());
    assert_eq!(first.text::<42>(90).unwrap().as_str(), data);
    assert_ne!(first.raw(11), second.raw(11));
    assert_ne!(first.raw(37), second.raw(37));
}

#[test]
fn playing_again_draws_new_keys() {
    let dialect = dialect();
    let mut rewriter = Rewriter::new(dialect.clone(), Keys::new(1, 0));
    let facts = Facts {
        mti: 100,
        stan: 5,
        at: 1_124_020_530,
        rrn: "432812000001",
        original: None,
    };
    let bytes = message(&dialect, &facts);
    let first = rewrite(&mut rewriter, &bytes, 0);
    assert_eq!(first, rewrite(&mut rewriter, &bytes, 0));
    rewriter.restart();
    assert_ne!(first, rewrite(&mut rewriter, &bytes, 0));
}

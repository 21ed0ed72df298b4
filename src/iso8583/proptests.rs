//! Properties that hold for every dialect: what is encoded parses to the same values and encodes to
//! the same bytes; no bytes make parsing, walking or printing panic.

use std::sync::LazyLock;

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*, sample::subsequence};

use super::{
    Dialect, Encoder, Message, Mti,
    describe::{describe_json, describe_text, sniff},
    field::{Content, FieldSpec, Length},
    framing::{FrameCodec, Framing, Header},
};

pub(super) static DIALECTS: LazyLock<Vec<Dialect>> = LazyLock::new(|| {
    Dialect::builtin_names()
        .iter()
        .map(|name| Dialect::builtin(name).unwrap())
        .collect()
});

/// Canonical text that fits the field, without the padding that would be taken off again.
fn value(spec: &FieldSpec) -> BoxedStrategy<String> {
    let layout = spec.layout;
    let max = usize::from(layout.max);
    let (min, max) = match layout.length {
        Length::Fixed => (max, max),
        _ => (usize::from(layout.min), max.min(60)),
    };
    let exactly = |class: &str| {
        proptest::string::string_regex(&format!("{class}{{{min},{max}}}"))
            .unwrap()
            .boxed()
    };
    match layout.content {
        Content::N => exactly("[0-9]"),
        Content::A => exactly("[A-Z]"),
        Content::An => exactly("[A-Za-z0-9]"),
        Content::Ans => exactly("[!-~]"),
        Content::Z => exactly("[0-9=]"),
        Content::Xn => {
            let digits = max - 1;
            proptest::string::string_regex(&format!("[CD][0-9]{{{digits}}}"))
                .unwrap()
                .boxed()
        }
        Content::B => vec(any::<u8>(), min..=max)
            .prop_map(|bytes| bytes.iter().map(|byte| format!("{byte:02X}")).collect())
            .boxed(),
    }
}

pub(super) fn fields(dialect: &'static Dialect) -> impl Strategy<Value = Vec<(u8, String)>> {
    let numbers: Vec<u8> = (2..=192)
        .filter(|number| dialect.field(*number).is_some())
        .collect();
    // A counted-in-bytes BCD value has an even number of digits: one odd digit cannot come back.
    subsequence(numbers, 1..40).prop_flat_map(move |chosen| {
        let pairs = chosen.into_iter().map(move |number| {
            value(dialect.field(number).unwrap()).prop_map(move |text| (number, text))
        });
        pairs.collect::<Vec<_>>()
    })
}

pub(super) fn even_if_counted_in_bytes(dialect: &Dialect, number: u8, text: &mut String) {
    let layout = dialect.layout(number).unwrap();
    let counted = layout.count == super::field::Count::Bytes
        && layout.length != Length::Fixed
        && matches!(layout.encoding, super::field::Encoding::Bcd(_));
    if counted && !text.len().is_multiple_of(2) {
        text.pop();
    }
}

fn round_trip(dialect: &Dialect, mti: Mti, mut fields: Vec<(u8, String)>) -> BytesMut {
    for (number, text) in &mut fields {
        even_if_counted_in_bytes(dialect, *number, text);
    }
    let mut first = BytesMut::new();
    let mut encoder = Encoder::new(dialect, &mut first, mti);
    for (number, text) in &fields {
        encoder.text(*number, text).unwrap();
    }
    encoder.finish();
    let message = Message::parse(dialect, &first).unwrap();
    assert_eq!(message.mti(), mti);
    let mut again = BytesMut::new();
    let mut mirrored = BytesMut::new();
    let mut encoder = Encoder::new(dialect, &mut again, mti);
    let mut mirror = Encoder::new(dialect, &mut mirrored, mti);
    for (number, text) in &fields {
        let parsed = message.text::<600>(*number).unwrap();
        assert_eq!(parsed.as_str(), text, "{} DE{number}", dialect.name());
        encoder.text(*number, &parsed).unwrap();
        assert!(mirror.mirror(&message, *number).unwrap());
    }
    encoder.finish();
    mirror.finish();
    let mut at_once = BytesMut::new();
    let mut mirror = Encoder::new(dialect, &mut at_once, mti);
    mirror
        .mirror_all(
            &message,
            &(2..=64)
                .filter(|n| dialect.field(*n).is_some())
                .collect::<Vec<_>>(),
        )
        .unwrap();
    mirror
        .mirror_all(
            &message,
            &(65..=192)
                .filter(|n| dialect.field(*n).is_some())
                .collect::<Vec<_>>(),
        )
        .unwrap();
    mirror.finish();
    assert_eq!(first, at_once);
    assert_eq!(first, again);
    assert_eq!(first, mirrored);
    first
}

fn print_all(dialect: &Dialect, bytes: &[u8]) {
    describe_text(dialect, bytes);
    describe_json(dialect, bytes);
    sniff(dialect, bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_encoded_parses_and_encodes_again(
        (dialect, fields, repeat) in (0..DIALECTS.len()).prop_flat_map(|at| {
            (Just(&DIALECTS[at]), fields(&DIALECTS[at]), any::<bool>())
        }),
        hits in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mti = Mti::new(u16::from(dialect.version()) * 1000 + 100 + u16::from(repeat));
        let mut bytes = round_trip(dialect, mti, fields);
        print_all(dialect, &bytes);
        // A message with a few wrong bytes is where parsers break.
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        print_all(dialect, &bytes);
    }

    #[test]
    fn no_bytes_make_it_panic(at in 0..6_usize, bytes in vec(any::<u8>(), 0..400)) {
        print_all(&DIALECTS[at], &bytes);
    }

    #[test]
    fn frames_come_back_however_they_are_cut(
        framing in 0..11_usize,
        bodies in vec(vec(any::<u8>(), 1..300), 1..5),
        piece in 1..50_usize,
    ) {
        let name = Framing::names().nth(framing).unwrap();
        let codec = FrameCodec {
            framing: name.parse().unwrap(),
            header: Header::None,
            max_frame_len: 1000,
        };
        let mut wire = BytesMut::new();
        for body in &bodies {
            let open = codec.begin_frame(&mut wire, &[]);
            wire.extend_from_slice(body);
            codec.end_frame(&mut wire, open).unwrap();
        }
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        for part in wire.chunks(piece) {
            buffer.extend_from_slice(part);
            while let Some(super::Frame::Message { body, .. }) = codec.cut(&mut buffer).unwrap() {
                found.push(body.to_vec());
            }
        }
        prop_assert_eq!(found, bodies);
    }

    #[test]
    fn no_stream_makes_framing_panic(
        framing in 0..11_usize,
        header in 0..3_usize,
        bytes in vec(any::<u8>(), 0..200),
    ) {
        let codec = FrameCodec {
            framing: Framing::names().nth(framing).unwrap().parse().unwrap(),
            header: [Header::None, Header::Tpdu, Header::Base1][header],
            max_frame_len: 64,
        };
        let mut buffer = BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = codec.cut(&mut buffer) {}
    }

    #[test]
    fn no_text_makes_a_dialect_panic(line in 0..400_usize, noise in "[ -~]{0,40}") {
        let text = include_str!("../../specs/visa-base1.toml");
        let mut lines: Vec<&str> = text.lines().collect();
        let at = line % lines.len();
        lines[at] = &noise;
        let _ = Dialect::from_toml("noise.toml", &lines.join("\n"));
    }
}

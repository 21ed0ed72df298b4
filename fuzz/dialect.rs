//! What every dialect must stand: no bytes make parsing, walking or printing panic, and a message
//! that parses is encoded to the same bytes again when its fields are mirrored, singly or in runs.

use bytes::BytesMut;
use cardswitch::iso8583::{
    Dialect, Encoder, Message,
    describe::{describe_json, describe_text},
};

pub fn run(dialect: &Dialect, bytes: &[u8]) {
    describe_text(dialect, bytes);
    describe_json(dialect, bytes);
    mirror(&Message::parse_partial(dialect, bytes).message);
    let again = Message::parse_again(dialect, bytes);
    if let Ok(message) = &again {
        mirror(message);
    }
    let Ok(message) = Message::parse(dialect, bytes) else {
        return;
    };
    same_fields(&message, &again.expect("what parsed parses again"));
    let numbers: Vec<u8> = message.fields().map(|field| field.number).collect();
    let out = one_by_one(&message, &numbers);
    // The second bitmap may have been there without a field in it, so bytes may differ; fields not.
    let again = Message::parse(dialect, &out).expect("what we encode parses");
    same_fields(&message, &again);
}

fn same_fields(message: &Message, again: &Message) {
    assert_eq!(again.bitmap(), message.bitmap());
    for field in message.fields() {
        assert_eq!(again.raw(field.number), Some(field.raw));
    }
}

/// All fields and some of them: in runs it comes to the same as singly.
fn mirror(message: &Message) {
    let all: Vec<u8> = message.fields().map(|field| field.number).collect();
    let wire = message.wire();
    let chosen = |field: &u8| wire[usize::from(*field) % wire.len()] % 4 > 0;
    let some: Vec<u8> = all.iter().copied().filter(chosen).collect();
    for wanted in [all, some] {
        let mut out = BytesMut::new();
        let mut encoder = Encoder::new(message.dialect(), &mut out, message.mti());
        encoder.mirror_all(message, &wanted).expect("in order");
        encoder.finish();
        assert_eq!(out, one_by_one(message, &wanted));
    }
}

fn one_by_one(message: &Message, wanted: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new(message.dialect(), &mut out, message.mti());
    for field in wanted {
        encoder
            .mirror(message, *field)
            .expect("a field that was parsed can be mirrored");
    }
    encoder.finish();
    out
}

//! What every dialect must stand: no bytes make parsing, walking or printing panic, and a message
//! that parses is encoded to the same bytes again when its fields are mirrored.

use bytes::BytesMut;
use cardswitch::iso8583::{
    Dialect, Encoder, Message,
    describe::{describe_json, describe_text},
};

pub fn run(dialect: &Dialect, bytes: &[u8]) {
    describe_text(dialect, bytes);
    describe_json(dialect, bytes);
    let Ok(message) = Message::parse(dialect, bytes) else {
        return;
    };
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new(dialect, &mut out, message.mti());
    for field in message.fields() {
        encoder
            .mirror(&message, field.number)
            .expect("a field that was parsed can be mirrored");
    }
    encoder.finish();
    let again = Message::parse(dialect, &out).expect("what we encode parses");
    // The second bitmap may have been there without a field in it, so bytes may differ; fields not.
    assert_eq!(again.bitmap(), message.bitmap());
    for field in message.fields() {
        assert_eq!(again.raw(field.number), Some(field.raw));
    }
}

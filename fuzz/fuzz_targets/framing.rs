//! Any stream against any framing and header; the first two bytes choose which.
#![no_main]

use bytes::BytesMut;
use cardswitch::iso8583::{Frame, FrameCodec, Framing, Header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (framing, header, bytes) = input;
    let names: Vec<_> = Framing::names().collect();
    let codec = FrameCodec {
        framing: names[usize::from(framing) % names.len()].parse().unwrap(),
        header: [Header::None, Header::Tpdu, Header::Base1][usize::from(header) % 3],
        max_frame_len: 512,
    };
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(frame)) = codec.cut(&mut buffer) {
        let Frame::Message { header, body } = frame else {
            continue;
        };
        let mut out = BytesMut::new();
        let open = codec.begin_frame(&mut out, &codec.header.answer(&header));
        out.extend_from_slice(&body);
        // A reject header is longer than the one of an answer, so the answer always fits.
        codec
            .end_frame(&mut out, open)
            .expect("an answer fits where the request did");
        let Ok(Some(Frame::Message { body: again, .. })) = codec.cut(&mut out) else {
            panic!("a frame of ours can be cut");
        };
        assert_eq!(again, body);
    }
});

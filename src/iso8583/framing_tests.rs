//! Every framing and header on the wire, garbage, answers.

use super::*;

fn codec(framing: Framing, header: Header) -> FrameCodec {
    FrameCodec {
        framing,
        header,
        max_frame_len: 4096,
    }
}

fn body(frame: Frame) -> Bytes {
    match frame {
        Frame::Message { body, .. } => body,
        Frame::KeepAlive => panic!("a keep-alive"),
    }
}

#[test]
fn lengths_stand_as_each_framing_says() {
    let table: &[(&str, &[u8])] = &[
        ("length-2-be", b"\x00\x05hello"),
        ("length-2-le", b"\x05\x00hello"),
        ("length-2-be-inclusive", b"\x00\x07hello"),
        ("length-2-bcd", b"\x00\x05hello"),
        ("length-2-be-etx", b"\x00\x06hello\x03"),
        ("length-2-be-zeros", b"\x00\x05\x00\x00hello"),
        ("zeros-length-2-be", b"\x00\x00\x00\x05hello"),
        ("length-3-be", b"\x00\x00\x05hello"),
        ("length-4-be", b"\x00\x00\x00\x05hello"),
        ("ascii-4", b"0005hello"),
        ("hex-4", b"0005hello"),
    ];
    assert_eq!(table.len(), Framing::names().count());
    for (name, wire) in table {
        let codec = codec(name.parse().unwrap(), Header::None);
        assert_eq!(codec.framing.to_string(), *name);
        let mut out = BytesMut::new();
        let open = codec.begin_frame(&mut out, &[]);
        out.put_slice(b"hello");
        codec.end_frame(&mut out, open).unwrap();
        assert_eq!(&out[..], *wire, "{name}");
        for cut in 0..wire.len() {
            let mut part = BytesMut::from(&wire[..cut]);
            assert!(codec.cut(&mut part).unwrap().is_none(), "{name} {cut}");
            assert_eq!(
                part.len(),
                cut,
                "{name}: nothing is taken before all is there"
            );
        }
        out.extend_from_slice(wire);
        codec.put_keep_alive(&mut out);
        assert_eq!(&body(codec.cut(&mut out).unwrap().unwrap())[..], b"hello");
        assert_eq!(&body(codec.cut(&mut out).unwrap().unwrap())[..], b"hello");
        assert_eq!(
            codec.cut(&mut out).unwrap(),
            Some(Frame::KeepAlive),
            "{name}"
        );
        assert!(out.is_empty() && codec.cut(&mut out).unwrap().is_none());
    }
}

#[test]
fn numbers_above_a_byte_use_their_own_digits() {
    let table: &[(&str, &[u8])] = &[
        ("length-2-bcd", &[0x12, 0x34]),
        ("ascii-4", b"1234"),
        ("hex-4", b"04D2"),
        ("length-2-le", &[0xd2, 0x04]),
        ("length-3-be", &[0, 0x04, 0xd2]),
    ];
    for (name, prefix) in table {
        let codec = codec(name.parse().unwrap(), Header::None);
        let mut out = BytesMut::new();
        let open = codec.begin_frame(&mut out, &[]);
        out.put_bytes(7, 1234);
        codec.end_frame(&mut out, open).unwrap();
        assert_eq!(&out[..prefix.len()], *prefix, "{name}");
        assert_eq!(
            body(codec.cut(&mut out).unwrap().unwrap()).len(),
            1234,
            "{name}"
        );
    }
}

#[test]
fn garbage_and_overlong_frames_are_errors() {
    let table: &[(&str, &[u8], &str)] = &[
        (
            "length-2-be",
            b"HTTP",
            "frame of 18516 bytes, at most 4096 are taken",
        ),
        ("ascii-4", b"12x4", "expected four ASCII digits"),
        ("hex-4", b"12g4", "expected four hexadecimal characters"),
        ("length-2-bcd", b"\x1a\x00", "expected four BCD digits"),
        (
            "length-2-be-etx",
            b"\x00\x02a\x04",
            "expected 0x03 at the end",
        ),
        ("length-2-be-zeros", b"\x00\x02\x00\x01", "two zero bytes"),
        ("zeros-length-2-be", b"\x01\x00\x00\x01", "two zero bytes"),
        (
            "length-2-be-inclusive",
            b"\x00\x01",
            "counts its own two bytes",
        ),
        ("length-4-be", b"\xff\xff\xff\xff", "at most 4096"),
    ];
    for (name, wire, problem) in table {
        let codec = codec(name.parse().unwrap(), Header::None);
        let error = codec
            .cut(&mut BytesMut::from(*wire))
            .unwrap_err()
            .to_string();
        assert!(error.contains(problem), "{name}: {error}");
    }
    let error = "length-2".parse::<Framing>().unwrap_err().to_string();
    assert!(
        error.contains("\"length-2\" is no framing; use one of: length-2-be, "),
        "{error}"
    );
}

#[test]
fn a_frame_too_long_to_send_is_taken_out_again() {
    let codec = codec(Framing::Ascii4, Header::None);
    let mut out = BytesMut::from(&b"kept"[..]);
    let open = codec.begin_frame(&mut out, &[]);
    out.put_bytes(0, 5000);
    assert!(codec.end_frame(&mut out, open).is_err());
    assert_eq!(&out[..], b"kept");
}

#[test]
fn an_answer_goes_back_where_the_request_came_from() {
    let codec = codec(Framing::Length2Be, Header::Tpdu);
    let mut wire = BytesMut::from(&b"\x00\x07\x60\x00\x11\x80\x22hi"[..]);
    let Some(Frame::Message { header, body }) = codec.cut(&mut wire).unwrap() else {
        panic!("a message");
    };
    assert_eq!(
        (&header[..], &body[..]),
        (&b"\x60\x00\x11\x80\x22"[..], &b"hi"[..])
    );
    let mut out = BytesMut::new();
    let open = codec.begin_frame(&mut out, &Header::Tpdu.answer(&header));
    out.put_slice(b"yo!");
    codec.end_frame(&mut out, open).unwrap();
    assert_eq!(&out[..], b"\x00\x08\x60\x80\x22\x00\x11yo!");
    let short = codec
        .cut(&mut BytesMut::from(&b"\x00\x02hi"[..]))
        .unwrap_err();
    assert!(
        short.to_string().contains("shorter than five bytes"),
        "{short}"
    );
}

#[test]
fn a_base1_header_is_swapped_and_its_length_recomputed() {
    let codec = codec(Framing::Length2BeZeros, Header::Base1);
    let mut header = BASE1_EMPTY;
    header[3..5].copy_from_slice(&24_u16.to_be_bytes());
    header[5..8].copy_from_slice(&[1, 2, 3]);
    header[8..11].copy_from_slice(&[4, 5, 6]);
    let mut wire = BytesMut::from(&b"\x00\x18\x00\x00"[..]);
    wire.put_slice(&header);
    wire.put_slice(b"hi");
    let Some(Frame::Message { header, .. }) = codec.cut(&mut wire).unwrap() else {
        panic!("a message");
    };
    let mut out = BytesMut::new();
    let open = codec.begin_frame(&mut out, &Header::Base1.answer(&header));
    out.put_slice(b"answer");
    codec.end_frame(&mut out, open).unwrap();
    assert_eq!(out[4..15], [22, 1, 2, 0, 28, 4, 5, 6, 1, 2, 3]);
    let bad = codec
        .cut(&mut BytesMut::from(&b"\x00\x02\x00\x00\x10\x00"[..]))
        .unwrap_err();
    assert!(bad.to_string().contains("22 or 26"), "{bad}");
}

#[test]
fn it_is_a_tokio_codec() {
    use tokio_util::codec::{Decoder, Encoder};
    let mut codec = codec(Framing::Length2Be, Header::None);
    let mut out = BytesMut::new();
    let message = Frame::Message {
        header: HeaderBytes::new(),
        body: Bytes::from_static(b"x"),
    };
    codec.encode(message.clone(), &mut out).unwrap();
    codec.encode(Frame::KeepAlive, &mut out).unwrap();
    assert_eq!(codec.decode(&mut out).unwrap(), Some(message));
    assert_eq!(codec.decode(&mut out).unwrap(), Some(Frame::KeepAlive));
}

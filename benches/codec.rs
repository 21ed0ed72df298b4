//! What one message costs: parsing a request of 17 fields, taking the values that a decision needs,
//! and encoding its answer; the same in BCD and EBCDIC; framing. Target: parse and encode in ASCII
//! together at most 200 ns.

use std::hint::black_box;

use arrayvec::ArrayString;
use bytes::{BufMut, BytesMut};
use cardswitch::iso8583::{Dialect, Encoder, FrameCodec, Framing, Header, Message, Mti};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// 17 fields of an ordinary purchase.
fn request(dialect: &Dialect) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut e = Encoder::new(dialect, &mut out, Mti::new(100));
    e.text(2, "4111111111111111")
        .unwrap()
        .digits(3, 0)
        .unwrap()
        .digits(4, 1200)
        .unwrap();
    e.digits(7, 1_124_020_530).unwrap().digits(11, 123).unwrap();
    e.text(12, "020530")
        .unwrap()
        .text(13, "1124")
        .unwrap()
        .text(14, "2912")
        .unwrap();
    e.text(18, "5812")
        .unwrap()
        .digits(22, 51)
        .unwrap()
        .text(25, "00")
        .unwrap();
    e.text(32, "123456")
        .unwrap()
        .text(37, "432812000123")
        .unwrap();
    e.text(41, "TERM0001")
        .unwrap()
        .text(42, "MERCHANT0000001")
        .unwrap();
    e.text(43, "COFFEE AND CAKE       TALLINN         EE")
        .unwrap()
        .text(49, "978")
        .unwrap();
    e.finish();
    out.to_vec()
}

fn answer(dialect: &Dialect, request: &Message<'_>, out: &mut BytesMut) -> usize {
    let mut e = Encoder::new(dialect, out, Mti::new(110));
    e.mirror_all(request, &[2, 3, 4, 7, 11, 12, 13, 32, 37])
        .unwrap();
    e.text(38, "A1B2C3").unwrap().text(39, "00").unwrap();
    e.mirror_all(request, &[41, 42, 49]).unwrap();
    e.finish()
}

/// The values that a decision asks for.
fn facts(message: &Message<'_>) -> u64 {
    let pan: ArrayString<19> = message.text(2).unwrap();
    let terminal: ArrayString<8> = message.text(41).unwrap();
    let merchant: ArrayString<15> = message.text(42).unwrap();
    let rrn: ArrayString<12> = message.text(37).unwrap();
    let numbers = [3, 4, 7, 11, 12, 13, 14, 18, 22, 32, 49].map(|field| message.digits(field));
    let sum: u64 = numbers.iter().flatten().sum();
    sum + (pan.len() + terminal.len() + merchant.len() + rrn.len()) as u64
}

fn codec(criterion: &mut Criterion) {
    for name in [
        "iso8583-1987-ascii",
        "iso8583-1987-binary",
        "visa-base1",
        "mastercard-ebcdic",
    ] {
        let dialect = Dialect::builtin(name).unwrap();
        let bytes = request(&dialect);
        let message = Message::parse(&dialect, &bytes).unwrap();
        let mut out = BytesMut::with_capacity(4096);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        group.bench_function("parse", |bencher| {
            bencher.iter(|| Message::parse(&dialect, black_box(&bytes)).unwrap().has(49));
        });
        group.bench_function("facts", |bencher| {
            bencher.iter(|| facts(black_box(&message)))
        });
        group.bench_function("encode", |bencher| {
            bencher.iter(|| {
                out.clear();
                answer(&dialect, black_box(&message), &mut out)
            });
        });
        group.bench_function("parse_and_encode", |bencher| {
            bencher.iter(|| {
                out.clear();
                let message = Message::parse(&dialect, black_box(&bytes)).unwrap();
                answer(&dialect, &message, &mut out)
            });
        });
    }
}

fn framing(criterion: &mut Criterion) {
    let codec = FrameCodec {
        framing: Framing::Length2Be,
        header: Header::None,
        max_frame_len: 4096,
    };
    let mut wire = BytesMut::new();
    for _ in 0..64 {
        let open = codec.begin_frame(&mut wire, &[]);
        wire.put_bytes(7, 180);
        codec.end_frame(&mut wire, open).unwrap();
    }
    let mut group = criterion.benchmark_group("framing");
    group.throughput(Throughput::Elements(64));
    group.bench_function("cut 64 frames of one read", |bencher| {
        bencher.iter(|| {
            let mut buffer = BytesMut::from(&wire[..]);
            let mut frames = 0;
            while codec.cut(black_box(&mut buffer)).unwrap().is_some() {
                frames += 1;
            }
            frames
        });
    });
}

criterion_group!(benches, codec, framing);
criterion_main!(benches);

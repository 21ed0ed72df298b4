//! From bytes on a socket to a durable answer and back: one message at a time, and 256 in flight, over one
//! connection on loopback. The client is in the same process and takes its share of the machine.

use bytes::BytesMut;
use cardswitch::cli::node::{self, Start};
use cardswitch::config::Config;
use cardswitch::iso8583::{Dialect, Encoder, Frame, FrameCodec, Framing, Header, Mti};
use cardswitch::sim::{SimCard, seed};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

const KEY: &str = "end-to-end-bench-key";

struct Client {
    stream: TcpStream,
    dialect: Dialect,
    codec: FrameCodec,
    cards: Vec<SimCard>,
    outbound: BytesMut,
    inbound: BytesMut,
    sent: u64,
}

impl Client {
    fn exchange(&mut self, count: usize) {
        self.outbound.clear();
        for _ in 0..count {
            self.put_authorization();
        }
        self.stream.write_all(&self.outbound).unwrap();
        let mut answered = 0;
        while answered < count {
            let mut bytes = [0; 64 * 1024];
            let read = self.stream.read(&mut bytes).unwrap();
            assert!(read > 0, "the switch closed the connection");
            self.inbound.extend_from_slice(&bytes[..read]);
            while let Some(Frame::Message { .. }) = self.codec.cut(&mut self.inbound).unwrap() {
                answered += 1;
            }
        }
    }

    fn put_authorization(&mut self) {
        self.sent += 1;
        let card = &self.cards[self.sent as usize % self.cards.len()];
        let open = self.codec.begin_frame(&mut self.outbound, &[]);
        let mut encoder = Encoder::new(&self.dialect, &mut self.outbound, Mti::new(100));
        let stan = self.sent % 1_000_000;
        let rrn = format!("{:012}", self.sent);
        encoder
            .text(2, &card.pan)
            .unwrap()
            .text(3, "000000")
            .unwrap()
            .digits(4, 100)
            .unwrap();
        encoder
            .text(7, "1124010203")
            .unwrap()
            .digits(11, stan)
            .unwrap()
            .text(12, "010203")
            .unwrap();
        encoder
            .text(13, "1124")
            .unwrap()
            .digits(18, 7311)
            .unwrap()
            .text(22, "812")
            .unwrap();
        encoder
            .text(32, "123456")
            .unwrap()
            .text(37, &rrn)
            .unwrap()
            .text(41, "TERM0001")
            .unwrap();
        encoder
            .text(42, "MERCHANT0000001")
            .unwrap()
            .text(49, "840")
            .unwrap();
        encoder.finish();
        self.codec.end_frame(&mut self.outbound, open).unwrap();
    }
}

fn benches(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let text = format!(
        "[data]\ndir = {data:?}\n[http]\nlisten = \"127.0.0.1:0\"\n[sandbox]\nenabled = true\n\
         [[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n"
    );
    let config = Config::parse(Path::new("bench.toml"), &text, std::iter::empty()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let node = runtime
        .block_on(node::start(
            &config,
            Start {
                root_key: Some(KEY.into()),
            },
        ))
        .unwrap();
    let options = seed::SeedOptions {
        count: 200,
        ..seed::SeedOptions::default()
    };
    let cards = seed::seed(
        &format!("http://{}", node.http_address()),
        KEY,
        &options,
        |_| {},
    )
    .unwrap();
    let stream = TcpStream::connect(node.network_address("visa").unwrap()).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut client = Client {
        stream,
        dialect: Dialect::builtin("iso8583-1987-ascii").unwrap(),
        codec: FrameCodec {
            framing: "length-2-be".parse::<Framing>().unwrap(),
            header: Header::None,
            max_frame_len: 8_192,
        },
        cards,
        outbound: BytesMut::new(),
        inbound: BytesMut::new(),
        sent: 0,
    };
    let mut group = criterion.benchmark_group("end_to_end");
    for in_flight in [1, 256] {
        group.throughput(Throughput::Elements(in_flight as u64));
        group.bench_function(format!("{in_flight} in flight"), |bencher| {
            bencher.iter(|| client.exchange(in_flight))
        });
    }
    group.finish();
    drop(client);
    runtime.block_on(node.stop()).unwrap();
}

criterion_group!(all, benches);
criterion_main!(all);

//! Tests of `client.rs`.
use std::sync::Arc;

use tokio::io::duplex;

use super::*;
use crate::{
    iso8583::{Frame, Framing, Header, Mti},
    sim::pace::Bell,
};

/// Sends echoes 1, 2, 3, ...
struct Echoes {
    dialect: Arc<Dialect>,
    next: u32,
    answered: Vec<u32>,
}

impl Script for Echoes {
    type Ticket = u32;

    fn next(&mut self, now: Stamp, out: &mut BytesMut) -> Result<Option<Sent<u32>>, SimError> {
        self.next += 1;
        request(&self.dialect, 800, self.next, now, out);
        Ok(Some(Sent {
            ticket: self.next,
            key: Some((8, self.next, [0; 12])),
        }))
    }

    fn answered(
        &mut self,
        ticket: u32,
        request: &Message<'_>,
        answer: &Message<'_>,
        _: &mut Findings,
    ) {
        assert_eq!(request.raw(11), answer.raw(11));
        self.answered.push(ticket);
    }
}

fn request(dialect: &Dialect, mti: u16, stan: u32, now: Stamp, out: &mut BytesMut) {
    let mut encoder = Encoder::new(dialect, out, Mti::new(mti));
    encoder
        .digits(7, now.mmddhhmmss())
        .unwrap()
        .digits(11, u64::from(stan))
        .unwrap();
    if mti == 810 {
        encoder.text(39, "00").unwrap();
    }
    encoder.text(70, "301").unwrap();
    encoder.finish();
}

const CODEC: FrameCodec = FrameCodec {
    framing: Framing::Length2Be,
    header: Header::None,
    max_frame_len: 1024,
};

fn dialect() -> Arc<Dialect> {
    Arc::new(Dialect::builtin("iso8583-1987-ascii").unwrap())
}

fn client(pace: Pace, in_flight: usize, count: u64) -> Client<Echoes> {
    let plan = Plan {
        codec: CODEC,
        pace,
        in_flight,
        count: Some(count),
        until: None,
        grace: Duration::from_secs(2),
        stop: CancellationToken::new(),
        answer_keep_alives: true,
        echo: false,
    };
    let script = Echoes {
        dialect: dialect(),
        next: 0,
        answered: Vec::new(),
    };
    Client::new(script, dialect(), plan, BytesMut::new())
}

/// Ten messages a second.
fn ten_per_second() -> Pace {
    Pace::Open {
        start: Instant::now(),
        first: Duration::ZERO,
        every_ns: 1e8,
        bell: Bell::Timer,
    }
}

/// Answers everything, but reads nothing for a while first.
async fn stalled_peer(mut stream: tokio::io::DuplexStream, stall: Duration) {
    tokio::time::sleep(stall).await;
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    while stream.read_buf(&mut input).await.is_ok_and(|read| read > 0) {
        while let Some(Frame::Message { body, .. }) = CODEC.cut(&mut input).unwrap() {
            let dialect = dialect();
            let message = Message::parse(&dialect, &body).unwrap();
            let open = CODEC.begin_frame(&mut output, &[]);
            answer_management(&message, &mut output).unwrap();
            CODEC.end_frame(&mut output, open).unwrap();
        }
        if stream.write_all_buf(&mut output).await.is_err() {
            return;
        }
    }
}

async fn run(mut client: Client<Echoes>, stall: Duration) -> Client<Echoes> {
    let (near, far) = duplex(64 * 1024);
    let peer = tokio::spawn(stalled_peer(far, stall));
    let (mut reader, mut writer) = tokio::io::split(near);
    client
        .run(&mut reader, &mut writer, |_, _, _, _| {})
        .await
        .unwrap();
    drop((reader, writer));
    peer.await.unwrap();
    client
}

fn milliseconds(value_ns: u64) -> u64 {
    (value_ns + 500_000) / 1_000_000
}

/// Ten messages, one each 100 ms from 0 to 900 ms; the peer does nothing for a second. Each waits from
/// when it was due, so that latencies run from 1000 down to 100 ms.
#[tokio::test(start_paused = true)]
async fn open_loop_latency_counts_the_wait() {
    let client = run(client(ten_per_second(), 32, 10), Duration::from_secs(1)).await;
    let latency = &client.tally.latency_ns;
    assert_eq!((client.tally.sent, client.tally.answered), (10, 10));
    assert!(
        (995..=1_005).contains(&milliseconds(latency.max())),
        "{}",
        latency.max()
    );
    assert!(
        (95..=105).contains(&milliseconds(latency.min())),
        "{}",
        latency.min()
    );
    assert!(milliseconds(client.tally.lateness_ns.max()) <= 2);
}

/// With room for one only, the sender itself is held up: the wait counts all the same.
#[tokio::test(start_paused = true)]
async fn a_sender_held_up_by_its_own_bound_still_counts_from_the_schedule() {
    let client = run(client(ten_per_second(), 1, 10), Duration::from_secs(1)).await;
    let tally = &client.tally;
    assert_eq!(tally.answered, 10);
    assert!((995..=1_005).contains(&milliseconds(tally.latency_ns.max())));
    assert!((895..=905).contains(&milliseconds(tally.lateness_ns.max())));
    // The second message was due at 100 ms and could leave at 1000 ms.
    let above = tally.latency_ns.count_between(850_000_000, 910_000_000);
    assert_eq!(above, 1);
}

/// A closed loop never sends what it has no room for, so its latency hides the wait of the others.
#[tokio::test(start_paused = true)]
async fn closed_loop_latency_does_not() {
    let client = run(client(Pace::Closed, 1, 10), Duration::from_secs(1)).await;
    let latency = &client.tally.latency_ns;
    assert_eq!(client.tally.answered, 10);
    assert_eq!(latency.count_between(900_000_000, 2_000_000_000), 1);
    assert_eq!(client.script.answered, (1..=10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_answered_in_time_is_told() {
    let client = run(client(Pace::Closed, 4, 10), Duration::from_secs(60)).await;
    assert_eq!((client.tally.sent, client.tally.answered), (4, 0));
    assert_eq!(client.tally.unanswered, 4);
}

#[tokio::test(start_paused = true)]
async fn the_peer_may_ask_too() {
    let (near, mut far) = duplex(64 * 1024);
    let mut client = client(Pace::Closed, 1, 1);
    let peer = tokio::spawn(async move {
        let mut out = BytesMut::new();
        CODEC.put_keep_alive(&mut out);
        for mti in [800, 810] {
            let open = CODEC.begin_frame(&mut out, &[]);
            request(
                &dialect(),
                mti,
                if mti == 800 { 77 } else { 1 },
                Stamp::default(),
                &mut out,
            );
            CODEC.end_frame(&mut out, open).unwrap();
        }
        far.write_all_buf(&mut out).await.unwrap();
        let (mut input, mut frames) = (BytesMut::new(), Vec::new());
        while far.read_buf(&mut input).await.unwrap() > 0 {
            while let Some(frame) = CODEC.cut(&mut input).unwrap() {
                frames.push(frame);
            }
        }
        frames
    });
    let (mut reader, mut writer) = tokio::io::split(near);
    client
        .run(&mut reader, &mut writer, |_, _, _, _| {})
        .await
        .unwrap();
    drop((reader, writer));
    let frames = peer.await.unwrap();
    assert!(frames.contains(&Frame::KeepAlive));
    let answers: Vec<_> = frames
        .iter()
        .filter_map(|frame| match frame {
            Frame::Message { body, .. } if body.starts_with(b"0810") => Some(body),
            _ => None,
        })
        .collect();
    let dialect = dialect();
    let answer = Message::parse(&dialect, answers[0]).unwrap();
    assert_eq!(
        (answer.digits(11), answer.text::<2>(39).unwrap().as_str()),
        (Some(77), "00")
    );
    assert_eq!(client.tally.asked, 1);
}

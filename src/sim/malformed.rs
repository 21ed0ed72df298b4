//! Malformed messages on demand, on a connection of their own: the peer may refuse them, ignore them
//! or close the connection, but never approve one.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use super::{
    NetworkOptions, SimCard,
    check::{Codes, Findings, Verdict},
    keys::Stamp,
    line::{Line, Peer},
    mix::Mix,
    random::Random,
    report::Malformed,
    traffic::{Generator, Outgoing},
    wall_clock::unix_time,
};
use crate::iso8583::{Frame, Message};

/// A way to spoil a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoil {
    TruncatedField,
    BadBitmap,
    Garbage,
    OverLongFrame,
    WrongMti,
}

const SPOILS: [Spoil; 5] = [
    Spoil::TruncatedField,
    Spoil::BadBitmap,
    Spoil::Garbage,
    Spoil::OverLongFrame,
    Spoil::WrongMti,
];

/// How long an answer to a malformed message is waited for.
const PATIENCE: Duration = Duration::from_millis(250);

/// Sends `rate` malformed messages a second until stopped.
pub async fn run(
    options: NetworkOptions,
    peer: Peer,
    cards: Arc<[SimCard]>,
    rate: f64,
) -> (Malformed, Findings) {
    let (mut counts, mut findings) = (Malformed::default(), Findings::default());
    let codes = Codes::new(peer.wire.dialect());
    let mut random = Random::new(options.seed ^ 0xbad);
    let run = unix_time().as_millis() as u64;
    // The last connection number: no other connection draws the same keys.
    let mut generator = Generator::new(cards, Mix::purchases(), options.seed, run, 1295);
    let start = Instant::now();
    let end = start
        + options
            .duration
            .unwrap_or(Duration::from_secs(86_400 * 365));
    let mut line = None;
    for number in 0_u64.. {
        let due = start + Duration::from_secs_f64(number as f64 / rate);
        tokio::select! {
            () = options.stop.cancelled() => break,
            () = tokio::time::sleep_until(due.min(end)) => {}
        }
        if Instant::now() >= end {
            break;
        }
        if line.is_none() {
            line = Line::open(&peer, 998).await.ok();
        }
        let Some(open) = &mut line else {
            findings.add("malformed_connection", || "cannot connect again".to_owned());
            break;
        };
        let spoil = SPOILS[random.below(SPOILS.len() as u64) as usize];
        let outgoing = generator.next(Stamp::from_unix(unix_time().as_secs())).0;
        let frame = spoiled_frame(spoil, &outgoing, &peer, &mut random);
        counts.sent += 1;
        let answer = exchange(open, &frame, &peer).await;
        match answer {
            Answer::Code(code) if codes.verdict(&code) == Verdict::Approved => {
                findings.add("malformed_approved", || {
                    format!("{spoil:?} answered {code}")
                });
            }
            Answer::Code(_) => counts.refused += 1,
            Answer::None => counts.ignored += 1,
            Answer::Closed => {
                counts.closed += 1;
                line = None;
            }
        }
    }
    (counts, findings)
}

enum Answer {
    Code(super::check::Code),
    None,
    Closed,
}

async fn exchange(line: &mut Line, frame: &[u8], peer: &Peer) -> Answer {
    let (stream, input) = (&mut line.stream, &mut line.input);
    let answer = async {
        if stream.write_all(frame).await.is_err() {
            return Answer::Closed;
        }
        loop {
            match peer.codec.cut(input) {
                Ok(Some(Frame::Message { body, .. })) => {
                    let message = Message::parse(peer.wire.dialect(), &body).ok();
                    let response = message.filter(|message| message.mti().is_response());
                    if let Some(code) = response.and_then(|answer| answer.text::<3>(39)) {
                        return Answer::Code(code);
                    }
                }
                Ok(Some(Frame::KeepAlive)) => {}
                Ok(None) => match stream.read_buf(input).await {
                    Ok(read) if read > 0 => {}
                    _ => return Answer::Closed,
                },
                Err(_) => return Answer::Closed,
            }
        }
    };
    tokio::time::timeout(PATIENCE, answer)
        .await
        .unwrap_or(Answer::None)
}

/// A frame with something wrong in it.
fn spoiled_frame(spoil: Spoil, outgoing: &Outgoing, peer: &Peer, random: &mut Random) -> BytesMut {
    let codec = peer.codec;
    let mut body = BytesMut::new();
    // What fails to encode would have failed on the other connections before.
    let _ = peer.wire.write(outgoing, &mut body);
    match spoil {
        Spoil::TruncatedField => {
            let cut = random.between(1, 8) as usize;
            body.truncate(body.len().saturating_sub(cut));
        }
        // Every field is announced, few are there.
        Spoil::BadBitmap => body[4..12].fill(b'F'),
        Spoil::Garbage => body
            .iter_mut()
            .for_each(|byte| *byte = random.next() as u8 | 0x80),
        Spoil::WrongMti => body[..2].fill(b'9'),
        Spoil::OverLongFrame => {
            let mut long = BytesMut::zeroed(9_999);
            long[..body.len()].copy_from_slice(&body);
            body = long;
        }
    }
    let mut frame = BytesMut::new();
    let open = codec.begin_frame(&mut frame, &codec.header.answer(&[]));
    frame.extend_from_slice(&body);
    if codec.end_frame(&mut frame, open).is_err() {
        // Too long even for the framing: send the body alone, whose first bytes are no length.
        frame.clear();
        frame.extend_from_slice(&body);
    }
    frame
}

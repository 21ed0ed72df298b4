//! One connection: the socket, its timers, and how it ends. All frames of a read are handled in one
//! wake-up, and all ready answers go out in one write. What a message comes to lives in `exchange.rs`.

use super::bad_frame::BadFrame;
use super::exchange::Exchange;
use super::listener::Peer;
use super::session::Millis;
use super::stats::SignedOff;
use crate::shard::reply::{Replies, Reply, ReplySink};
use bytes::BytesMut;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{Sleep, timeout};

/// Bytes taken from the socket in one read: what an idle connection holds, and the most.
const READ_BYTES: (usize, usize) = (4 * 1024, 256 * 1024);

/// A buffer that grew beyond this for one burst of answers is given back.
const OUTBOUND_BYTES_KEPT: usize = 256 * 1024;

/// How long a peer gets to close its side, so that no reset overtakes our last answers.
const LINGER: Duration = Duration::from_millis(500);

/// Where the loops leave the answers of a connection. As long as the in-flight bound holds, no more than
/// that many wait here.
struct ConnectionSink(UnboundedSender<Replies>);

impl ReplySink for ConnectionSink {
    fn deliver(&self, replies: Replies) {
        // A connection that is gone does not read its answers; its peer will repeat.
        let _ = self.0.send(replies);
    }
}

/// Why a connection ended; logged, and nothing else.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    #[error("the peer closed the connection")]
    ByPeer,
    #[error("{0}")]
    BySession(&'static str),
    #[error("drained")]
    Drained,
    #[error("{0}")]
    BadFrame(#[from] BadFrame),
    #[error("the peer does not read its answers")]
    SlowReader,
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// What a wake-up was for.
enum Woken {
    Read(std::io::Result<usize>),
    Answers,
    Timer,
    Drain,
}

struct Connection<'p> {
    exchange: Exchange<'p>,
    started: Instant,
    draining: bool,
    /// Nothing more is read; what is in flight is answered until then, at the latest.
    ending: Option<(Ended, Millis)>,
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    peer: Arc<Peer>,
    mut stream: TcpStream,
    drain: watch::Receiver<bool>,
) -> Ended {
    let (reader, writer) = stream.split();
    let ended = converse(&peer, reader, writer, drain, None).await;
    hang_up(stream, &ended).await;
    ended
}

/// The conversation of a connection, whatever carries its bytes. `listener` hears each reply before its answer is written.
pub(super) async fn converse(
    peer: &Peer,
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    drain: watch::Receiver<bool>,
    listener: Option<UnboundedSender<Reply>>,
) -> Ended {
    let (sender, replies) = unbounded_channel();
    let mut exchange = Exchange::new(peer, Arc::new(ConnectionSink(sender)));
    exchange.listener = listener;
    let mut connection = Connection {
        exchange,
        started: Instant::now(),
        draining: false,
        ending: None,
    };
    connection.run(reader, writer, replies, drain).await
}

async fn hang_up(mut stream: TcpStream, ended: &Ended) {
    match ended {
        Ended::ByPeer | Ended::Io(_) => {}
        // What it does not read is not worth the kernel's memory either.
        Ended::SlowReader => {
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        Ended::BySession(_) | Ended::Drained | Ended::BadFrame(_) => {
            let discard = async {
                stream.shutdown().await?;
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
            };
            // However it goes, the connection is over.
            let _ = timeout(LINGER, discard).await;
        }
    }
}

impl Connection<'_> {
    fn now(&self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }

    async fn run(
        &mut self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
        mut replies: UnboundedReceiver<Replies>,
        mut drain: watch::Receiver<bool>,
    ) -> Ended {
        let mut signed_off = SignedOff::new(&self.exchange.peer.stats);
        let mut inbound = BytesMut::new();
        let mut ready: Vec<Replies> = Vec::new();
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        let mut armed = true;
        loop {
            let reads = self.ending.is_none() && !self.exchange.flights.is_full();
            inbound.reserve(READ_BYTES.0);
            // Each of these may be dropped half-way without losing anything.
            let woken = tokio::select! {
                _ = replies.recv_many(&mut ready, 256) => Woken::Answers,
                read = reader.read_buf(&mut inbound), if reads => Woken::Read(read),
                () = &mut timer, if armed => Woken::Timer,
                _ = drain.wait_for(|drain| *drain), if !self.draining => Woken::Drain,
            };
            match woken {
                Woken::Read(Ok(0)) => self.end(Ended::ByPeer),
                Woken::Read(Ok(_)) => {
                    self.exchange.session.heard(self.now());
                    if inbound.len() == inbound.capacity() {
                        inbound.reserve(READ_BYTES.1.min(inbound.capacity() * 2));
                    }
                }
                Woken::Read(Err(error)) => return error.into(),
                Woken::Answers => self.exchange.put_answers(&mut ready),
                Woken::Timer => {}
                Woken::Drain => {
                    self.draining = true;
                    self.exchange.session.drain();
                }
            }
            self.advance(&mut inbound);
            // What is simulated has no connection.
            if self.exchange.listener.is_none() {
                signed_off.set(!self.exchange.session.is_signed_on());
            }
            if let Err(ended) = self.flush(&mut writer).await {
                return ended;
            }
            if let Some(ended) = self.ended() {
                return ended;
            }
            armed = self.set_timer(timer.as_mut());
        }
    }

    /// Takes what can be taken of the bytes that are here, then does what the session has due.
    fn advance(&mut self, inbound: &mut BytesMut) {
        if self.ending.is_some() {
            return;
        }
        if let Err(error) = self.exchange.take_frames(inbound) {
            return self.end(error.into());
        }
        if self.exchange.flights.is_full() {
            // Nothing is read now, so the peer's silence is of our making.
            self.exchange.session.heard(self.now());
            return;
        }
        let answered = self.exchange.flights.is_empty();
        if self.draining && answered && !self.exchange.session.sign_off() {
            return self.end(Ended::Drained);
        }
        if let Err(reason) = self.exchange.poll_session(self.now()) {
            self.end(Ended::BySession(reason));
        }
    }

    fn end(&mut self, ended: Ended) {
        let latest = self.now() + self.exchange.peer.settings.response_timeout_ms();
        self.ending = Some((ended, latest));
    }

    /// The end, once nothing is in flight or it has waited for long enough.
    fn ended(&mut self) -> Option<Ended> {
        let (_, latest) = self.ending.as_ref()?;
        if !self.exchange.flights.is_empty() && self.now() < *latest {
            return None;
        }
        self.ending.take().map(|(ended, _)| ended)
    }

    /// Moves the timer when it has fired or something is due sooner. False if there is nothing to
    /// wait for: a timer that has fired is not to be asked again.
    fn set_timer(&self, timer: Pin<&mut Sleep>) -> bool {
        let next = match &self.ending {
            Some((_, latest)) => Some(*latest),
            None if self.exchange.flights.is_full() => None,
            None => self.exchange.session.next_poll(),
        };
        let Some(next) = next else {
            return false;
        };
        let due = tokio::time::Instant::from_std(self.started + Duration::from_millis(next));
        if timer.is_elapsed() || due < timer.deadline() {
            timer.reset(due);
        }
        true
    }

    async fn flush(&mut self, writer: &mut (impl AsyncWrite + Unpin)) -> Result<(), Ended> {
        let exchange = &mut self.exchange;
        if exchange.outbound.is_empty() {
            return Ok(());
        }
        let settings = &exchange.peer.settings;
        match timeout(
            settings.write_timeout(),
            writer.write_all(&exchange.outbound),
        )
        .await
        {
            Ok(written) => written?,
            Err(_) => return Err(Ended::SlowReader),
        }
        if exchange.outbound.capacity() > OUTBOUND_BYTES_KEPT {
            exchange.outbound = BytesMut::new();
        }
        exchange.outbound.clear();
        exchange.peer.stats.count_answers(&mut exchange.answered);
        let now = self.now();
        self.exchange.session.said(now);
        Ok(())
    }
}

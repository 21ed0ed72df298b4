//! One connection: bytes in, frames cut, requests to the loops, answers out. All frames of a read are
//! handled in one wake-up, and all ready answers go out in one write.

use super::answer::{Verdict, encode_answer, encode_management_request, verdict};
use super::flight::{Flights, InFlight};
use super::listener::Peer;
use super::session::{self, Action, Millis, Session};
use super::stats::NetworkStats;
use super::translate::{Translated, Untranslatable};
use crate::engine::reason::DeclineReason;
use crate::iso8583::{Frame, HeaderBytes, Message, Mti};
use crate::shard::inbox::Priority;
use crate::shard::reply::{Replies, Reply, ReplySink, Unavailable};
use crate::shard::request::{Batch, RegistryRequest, ShardRequest, Token};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

/// Bytes taken from the socket in one read at the most.
const READ_BYTES: usize = 256 * 1024;

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
    BadFrame(#[from] crate::iso8583::FrameError),
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

pub(super) struct Connection {
    peer: Arc<Peer>,
    session: Session,
    started: Instant,
    flights: Flights,
    sink: Arc<ConnectionSink>,
    outbound: BytesMut,
    /// Requests of this read, by shard; the registry's last.
    for_shards: Vec<Vec<(Token, ShardRequest)>>,
    for_registry: Vec<(Token, RegistryRequest)>,
    stan: u32,
    warned: bool,
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    peer: Arc<Peer>,
    stream: TcpStream,
    mut drain: watch::Receiver<bool>,
) -> Ended {
    let (sender, replies) = unbounded_channel();
    let mut connection = Connection::new(peer, sender);
    match connection.run(stream, replies, &mut drain).await {
        Ok(ended) => ended,
        Err(ended) => ended,
    }
}

impl Connection {
    fn new(peer: Arc<Peer>, sender: UnboundedSender<Replies>) -> Connection {
        let shards = peer.switchboard.shard_count();
        Connection {
            session: Session::new(&peer.settings, 0),
            started: Instant::now(),
            flights: Flights::new(peer.settings.in_flight_max),
            sink: Arc::new(ConnectionSink(sender)),
            outbound: BytesMut::new(),
            for_shards: (0..shards).map(|_| Vec::new()).collect(),
            for_registry: Vec::new(),
            stan: 0,
            warned: false,
            peer,
        }
    }

    fn now(&self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }

    async fn run(
        &mut self,
        mut stream: TcpStream,
        mut replies: UnboundedReceiver<Replies>,
        drain: &mut watch::Receiver<bool>,
    ) -> Result<Ended, Ended> {
        let (mut reader, mut writer) = stream.split();
        let mut inbound = BytesMut::new();
        let mut ready: Vec<Replies> = Vec::new();
        let mut draining = false;
        let timer = tokio::time::sleep(std::time::Duration::ZERO);
        tokio::pin!(timer);
        loop {
            let room = !self.flights.is_full();
            inbound.reserve(4_096);
            let woken = tokio::select! {
                _ = replies.recv_many(&mut ready, 256) => Woken::Answers,
                read = reader.read_buf(&mut inbound), if room => Woken::Read(read),
                () = &mut timer => Woken::Timer,
                _ = drain.wait_for(|drain| *drain), if !draining => Woken::Drain,
            };
            match woken {
                Woken::Read(read) => {
                    if read? == 0 {
                        return Ok(Ended::ByPeer);
                    }
                    self.session.heard(self.now());
                    if inbound.len() == inbound.capacity() {
                        inbound.reserve(READ_BYTES.min(inbound.capacity() * 2));
                    }
                }
                Woken::Answers => self.put_answers(&mut ready),
                Woken::Timer => {}
                Woken::Drain => {
                    draining = true;
                    self.session.drain();
                }
            }
            self.take_frames(&mut inbound)?;
            let due = self.poll_session();
            self.flush(&mut writer).await?;
            due?;
            if draining && self.flights.is_empty() && !self.session.is_signing_off() {
                return Ok(Ended::Drained);
            }
            self.set_timer(timer.as_mut());
        }
    }

    /// The timer only ever moves here, when it has fired or something is due sooner.
    fn set_timer(&self, timer: std::pin::Pin<&mut tokio::time::Sleep>) {
        let Some(next) = self.session.next_poll() else {
            return;
        };
        let due =
            tokio::time::Instant::from_std(self.started + std::time::Duration::from_millis(next));
        if timer.is_elapsed() || due < timer.deadline() {
            timer.reset(due);
        }
    }

    /// Cuts every whole frame there is room for, and hands on what they ask.
    fn take_frames(&mut self, inbound: &mut BytesMut) -> Result<(), Ended> {
        let received = Instant::now();
        let mut cut = 0;
        let result = loop {
            if self.flights.is_full() {
                break Ok(());
            }
            match self.peer.codec.cut(inbound) {
                Ok(Some(Frame::KeepAlive)) => self.answer_keep_alive(),
                Ok(Some(Frame::Message { header, body })) => {
                    cut += 1;
                    self.take_message(header, body, received);
                }
                Ok(None) => break Ok(()),
                Err(error) => {
                    NetworkStats::add(&self.peer.stats.frame_errors, 1);
                    break Err(error.into());
                }
            }
        };
        if cut > 0 {
            NetworkStats::add(&self.peer.stats.messages_received, cut);
            self.hand_over();
        }
        result
    }

    fn answer_keep_alive(&mut self) {
        if self.peer.settings.answer_keep_alive {
            self.peer.codec.put_keep_alive(&mut self.outbound);
        }
    }

    fn take_message(&mut self, header: HeaderBytes, body: Bytes, received: Instant) {
        let peer = self.peer.clone();
        let dialect = &peer.translator.map.dialect;
        let message = match Message::parse(dialect, &body) {
            Ok(message) => message,
            Err(_) => return self.refuse_malformed(&header, &body),
        };
        let mti = message.mti();
        if mti.class() == 8 {
            return self.manage(&header, &message);
        }
        if mti.response().is_none() {
            return;
        }
        if !self.session.takes_business() {
            return self.refuse(&header, &message, DeclineReason::Overloaded);
        }
        let translated = peer.translator.translate(
            &message,
            peer.switchboard.ids.one(),
            &peer.switchboard.view(),
        );
        match translated {
            Ok(translated) => {
                let token = self.flights.depart(InFlight {
                    header,
                    body: body.clone(),
                    received,
                });
                match translated {
                    Translated::Shard { root, action } => {
                        let shard = peer.switchboard.shard_of(root);
                        self.for_shards[shard]
                            .push((token, ShardRequest::Command { root, action }));
                    }
                    Translated::Registry(action) => {
                        self.for_registry
                            .push((token, RegistryRequest::Command(action)));
                    }
                }
            }
            Err(Untranslatable::Field(field)) => {
                self.note_format_error(&format_args!("DE{field} is missing or not usable"));
                self.refuse(&header, &message, DeclineReason::FormatError);
            }
            Err(Untranslatable::Unsupported) => {
                self.refuse(&header, &message, DeclineReason::UnsupportedFunction);
            }
        }
    }

    /// Hands the requests of this read to the loops: one batch for each that has any.
    fn hand_over(&mut self) {
        let peer = self.peer.clone();
        for shard in 0..self.for_shards.len() {
            let items = std::mem::take(&mut self.for_shards[shard]);
            let offer = |batch, priority| peer.switchboard.offer_shard(shard, batch, priority);
            self.offer(items, is_reversal, offer);
        }
        let items = std::mem::take(&mut self.for_registry);
        let is_reversal = |request: &RegistryRequest| {
            use crate::engine::registry::RegistryAction::ReverseUnknownCard;
            matches!(request, RegistryRequest::Command(ReverseUnknownCard(_)))
        };
        self.offer(items, is_reversal, |batch, priority| {
            peer.switchboard.offer_registry(batch, priority)
        });
    }

    /// Where there is no room, ordinary requests get a quick 91; reversals go into the reserved room,
    /// and should that be full too they stay unanswered, and the network repeats them.
    fn offer<Request>(
        &mut self,
        items: Vec<(Token, Request)>,
        is_reversal: impl Fn(&Request) -> bool,
        offer: impl Fn(Batch<Request>, Priority) -> Result<(), Batch<Request>>,
    ) {
        if items.is_empty() {
            return;
        }
        let batch = Batch {
            items,
            reply_to: self.sink.clone(),
        };
        let Err(batch) = offer(batch, Priority::Ordinary) else {
            return;
        };
        let (reversals, others): (Vec<_>, Vec<_>) = batch
            .items
            .into_iter()
            .partition(|(_, request)| is_reversal(request));
        NetworkStats::add(&self.peer.stats.overload_refusals, others.len());
        for (token, _) in others {
            self.put_answer(token, &Reply::Unavailable(Unavailable::Overloaded));
        }
        if reversals.is_empty() {
            return;
        }
        let batch = Batch {
            items: reversals,
            reply_to: batch.reply_to,
        };
        if let Err(batch) = offer(batch, Priority::Reserved) {
            batch
                .items
                .iter()
                .for_each(|(token, _)| drop(self.flights.land(*token)));
        }
    }

    fn put_answers(&mut self, ready: &mut Vec<Replies>) {
        let mut answered = 0;
        for (token, reply) in ready.drain(..).flatten() {
            answered += usize::from(self.put_answer(token, &reply));
        }
        NetworkStats::add(&self.peer.stats.messages_answered, answered);
    }

    fn put_answer(&mut self, token: Token, reply: &Reply) -> bool {
        let Some(flight) = self.flights.land(token) else {
            return false;
        };
        let peer = self.peer.clone();
        let map = &peer.translator.map;
        // It parsed when it came.
        let Ok(request) = Message::parse(&map.dialect, &flight.body) else {
            return false;
        };
        self.put(&flight.header, &request, verdict(map, reply));
        peer.stats
            .observe_latency_us(flight.received.elapsed().as_micros() as u64);
        true
    }

    fn refuse(&mut self, header: &[u8], request: &Message, reason: DeclineReason) {
        let code = self.peer.translator.map.declined(reason);
        self.put(header, request, Verdict::code(code));
    }

    fn put(&mut self, header: &[u8], request: &Message, verdict: Verdict) {
        let peer = &self.peer;
        let open = peer
            .codec
            .begin_frame(&mut self.outbound, &peer.codec.header.answer(header));
        let start = self.outbound.len();
        let encoded = encode_answer(&peer.translator.map, request, verdict, &mut self.outbound);
        match encoded.map_err(|error| error.to_string()) {
            Ok(()) if self.outbound.len() > start => {
                if let Err(error) = peer.codec.end_frame(&mut self.outbound, open) {
                    tracing::error!(network = %peer.settings.name, %error, "an answer does not fit its frame");
                }
            }
            Ok(()) => peer.codec.abandon_frame(&mut self.outbound, open),
            Err(error) => {
                peer.codec.abandon_frame(&mut self.outbound, open);
                tracing::error!(network = %peer.settings.name, %error, "an answer cannot be written");
            }
        }
    }

    /// A message whose MTI, bitmap and match key can be read is answered 30; any other is dropped.
    fn refuse_malformed(&mut self, header: &[u8], body: &[u8]) {
        let peer = self.peer.clone();
        let partial = Message::parse_partial(&peer.translator.map.dialect, body);
        if let Some(error) = &partial.error {
            self.note_format_error(error);
        }
        let message = partial.message;
        let answerable =
            message.mti() != Mti::new(0) && message.mti().response().is_some() && message.has(11);
        if answerable {
            self.refuse(header, &message, DeclineReason::FormatError);
        }
    }

    /// Counts, and writes a line for the first one of a connection only.
    fn note_format_error(&mut self, what: &dyn std::fmt::Display) {
        NetworkStats::add(&self.peer.stats.format_errors, 1);
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(network = %self.peer.settings.name, "malformed message: {what} (further ones are counted only)");
        }
    }

    fn manage(&mut self, header: &[u8], message: &Message) {
        let peer = self.peer.clone();
        let map = &peer.translator.map;
        let function = map.management_function(message);
        if message.mti().response().is_none() {
            let accepted = message
                .text::<3>(39)
                .is_some_and(|code| code == map.management_accepted);
            return self.session.on_response(function, accepted);
        }
        let code = match self.session.on_request(function) {
            session::Verdict::Accepted => map.management_accepted,
            session::Verdict::Declined => map.management_declined,
        };
        self.put(header, message, Verdict::code(code));
    }

    fn poll_session(&mut self) -> Result<(), Ended> {
        while let Some(action) = self.session.poll(self.now()) {
            match action {
                Action::Close(reason) => return Err(Ended::BySession(reason)),
                Action::Send(function) => {
                    let Some(code) = self.peer.translator.map.management_code(function) else {
                        continue;
                    };
                    self.stan = self.stan % 999_999 + 1;
                    let sent = self.peer.utc_now();
                    let open = self
                        .peer
                        .codec
                        .begin_frame(&mut self.outbound, &self.peer.codec.header.answer(&[]));
                    let map = &self.peer.translator.map;
                    let encoded =
                        encode_management_request(map, code, self.stan, &sent, &mut self.outbound);
                    if encoded.is_ok() {
                        self.peer.codec.end_frame(&mut self.outbound, open)?;
                    } else {
                        self.peer.codec.abandon_frame(&mut self.outbound, open);
                    }
                }
            }
        }
        Ok(())
    }

    async fn flush(&mut self, writer: &mut (impl AsyncWriteExt + Unpin)) -> Result<(), Ended> {
        if self.outbound.is_empty() {
            return Ok(());
        }
        let write = writer.write_all(&self.outbound);
        match tokio::time::timeout(self.peer.settings.write_timeout(), write).await {
            Ok(written) => written?,
            Err(_) => return Err(Ended::SlowReader),
        }
        self.outbound.clear();
        self.session.said(self.now());
        Ok(())
    }
}

fn is_reversal(request: &ShardRequest) -> bool {
    use crate::engine::command::Action::Reverse;
    matches!(
        request,
        ShardRequest::Command {
            action: Reverse(_),
            ..
        }
    )
}

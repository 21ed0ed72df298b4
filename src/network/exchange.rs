//! What a connection does with messages: frames to requests for the loops, replies to answers. Sockets,
//! waiting and timers live in `connection.rs`.

use super::answer::{Verdict, encode_answer, encode_management_request, verdict};
use super::flight::{Flights, InFlight};
use super::listener::Peer;
use super::session::{self, Action, Function, Millis, Session};
use super::stats::NetworkStats;
use super::translate::{Translated, Untranslatable};
use crate::engine::command;
use crate::engine::reason::DeclineReason;
use crate::engine::registry::{RegistryAction, RegistryView};
use crate::iso8583::{Frame, FrameError, HeaderBytes, Message, Mti};
use crate::shard::inbox::Priority;
use crate::shard::reply::{Replies, Reply, ReplySink, Unavailable};
use crate::shard::request::{Batch, RegistryRequest, ShardRequest, Token};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::time::Instant;

/// Messages handed over at once at the most, so that the records of one turn of a loop fit the journal.
const MESSAGES_PER_BATCH: usize = 1_024;

/// A frame whose header is this long carries back a message that the network would not take.
const BASE1_REJECT_BYTES: usize = 48;

pub(super) struct Exchange<'p> {
    pub peer: &'p Peer,
    pub session: Session,
    pub flights: Flights,
    /// What is to be written next.
    pub outbound: BytesMut,
    /// When the messages came whose answers are in `outbound`.
    pub answered: Vec<Instant>,
    sink: Arc<dyn ReplySink>,
    /// Frames of this read, until each is looked at.
    frames: Vec<(HeaderBytes, Bytes)>,
    /// Requests of this read, by shard; the registry's last.
    for_shards: Vec<Vec<(Token, ShardRequest)>>,
    for_registry: Vec<(Token, RegistryRequest)>,
    stan: u32,
    warned: bool,
}

impl<'p> Exchange<'p> {
    pub fn new(peer: &'p Peer, sink: Arc<dyn ReplySink>) -> Exchange<'p> {
        let shards = peer.switchboard.shard_count();
        Exchange {
            peer,
            session: Session::new(&peer.settings, 0),
            flights: Flights::new(peer.settings.in_flight_max),
            outbound: BytesMut::new(),
            answered: Vec::new(),
            sink,
            frames: Vec::new(),
            for_shards: (0..shards).map(|_| Vec::new()).collect(),
            for_registry: Vec::new(),
            stan: 0,
            warned: false,
        }
    }

    /// Cuts every whole frame there is room for, and hands on what they ask: one batch for each loop
    /// that is asked anything. Frames before one that cannot be cut are taken still.
    pub fn take_frames(&mut self, inbound: &mut BytesMut) -> Result<(), FrameError> {
        if inbound.is_empty() || self.flights.is_full() {
            return Ok(());
        }
        let received = Instant::now();
        let mut frames = std::mem::take(&mut self.frames);
        let result = loop {
            // Not every message takes a place, and a full queue gives places back at once.
            let room = self.flights.room().min(MESSAGES_PER_BATCH);
            let cut = self.cut_frames(inbound, room, &mut frames);
            let count = frames.len();
            if count > 0 {
                NetworkStats::add(&self.peer.stats.messages_received, count);
                let first_id = self.peer.switchboard.ids.reserve(count as u64);
                let view = self.peer.switchboard.view();
                for (id, (header, body)) in (first_id..).zip(frames.drain(..)) {
                    self.take_message(header, body, received, id, &view);
                }
                self.hand_over();
            }
            if cut.is_err() || count < room || room == 0 {
                break cut;
            }
        };
        self.frames = frames;
        result
    }

    fn cut_frames(
        &mut self,
        inbound: &mut BytesMut,
        room: usize,
        frames: &mut Vec<(HeaderBytes, Bytes)>,
    ) -> Result<(), FrameError> {
        while frames.len() < room {
            match self.peer.codec.cut(inbound) {
                Ok(Some(Frame::Message { header, body })) => frames.push((header, body)),
                Ok(Some(Frame::KeepAlive)) if self.peer.settings.answer_keep_alive => {
                    self.peer.codec.put_keep_alive(&mut self.outbound);
                }
                Ok(Some(Frame::KeepAlive)) => {}
                Ok(None) => break,
                Err(error) => {
                    NetworkStats::add(&self.peer.stats.frame_errors, 1);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn take_message(
        &mut self,
        header: HeaderBytes,
        body: Bytes,
        received: Instant,
        id: u64,
        view: &RegistryView,
    ) {
        let peer = self.peer;
        if header.len() == BASE1_REJECT_BYTES {
            return self.note_format_error(&"the network rejected a message of ours");
        }
        let message = match Message::parse(&peer.translator.map.dialect, &body) {
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
        if !message.has(11) {
            // Whoever asked could not tell what an answer is for.
            return self.note_format_error(&"DE11 is missing");
        }
        if !self.session.takes_business() {
            // A reversal or an advice is never told 91: unanswered, the network repeats it.
            if mti.class() != 4 && mti.function() != 2 {
                self.refuse(&header, &message, DeclineReason::Overloaded);
            }
            return;
        }
        match peer.translator.translate(&message, id, view) {
            Ok(translated) => {
                let token = self.flights.depart(InFlight {
                    header,
                    body,
                    received,
                });
                self.sort(token, translated);
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

    fn sort(&mut self, token: Token, translated: Translated) {
        match translated {
            Translated::Shard { root, action } => {
                let shard = self.peer.switchboard.shard_of(root);
                self.for_shards[shard].push((token, ShardRequest::Command { root, action }));
            }
            Translated::Registry(action) => {
                self.for_registry
                    .push((token, RegistryRequest::Command(action)));
            }
        }
    }

    fn hand_over(&mut self) {
        let switchboard = &self.peer.switchboard;
        for shard in 0..self.for_shards.len() {
            let items = std::mem::take(&mut self.for_shards[shard]);
            let offer = |batch, priority| switchboard.offer_shard(shard, batch, priority);
            self.offer(items, is_reversal, offer);
        }
        let items = std::mem::take(&mut self.for_registry);
        self.offer(items, is_unknown_reversal, |batch, priority| {
            switchboard.offer_registry(batch, priority)
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
            for (token, _) in batch.items {
                self.flights.land(token);
            }
        }
    }

    pub fn put_answers(&mut self, ready: &mut Vec<Replies>) {
        for (token, reply) in ready.drain(..).flatten() {
            self.put_answer(token, &reply);
        }
    }

    fn put_answer(&mut self, token: Token, reply: &Reply) {
        let Some(flight) = self.flights.land(token) else {
            return;
        };
        let map = &self.peer.translator.map;
        // It parsed when it came.
        let Ok(request) = Message::parse(&map.dialect, &flight.body) else {
            return;
        };
        self.put(&flight.header, &request, verdict(map, reply));
        self.answered.push(flight.received);
    }

    fn refuse(&mut self, header: &[u8], request: &Message, reason: DeclineReason) {
        let code = self.peer.translator.map.declined(reason);
        self.put(header, request, Verdict::code(code));
    }

    fn put(&mut self, header: &[u8], request: &Message, verdict: Verdict) {
        let (codec, map) = (&self.peer.codec, &self.peer.translator.map);
        let header = codec.header.answer(header);
        let open = codec.begin_frame(&mut self.outbound, &header);
        let network = &self.peer.settings.name;
        match encode_answer(map, request, verdict, &mut self.outbound) {
            Ok(true) => {
                if let Err(error) = codec.end_frame(&mut self.outbound, open) {
                    tracing::error!(%network, %error, "an answer does not fit its frame");
                }
            }
            Ok(false) => codec.abandon_frame(&mut self.outbound, open),
            Err(error) => {
                codec.abandon_frame(&mut self.outbound, open);
                tracing::error!(%network, %error, "an answer cannot be written");
            }
        }
    }

    /// A message whose MTI, bitmap and STAN can be read is answered 30; any other is dropped.
    fn refuse_malformed(&mut self, header: &[u8], body: &[u8]) {
        let partial = Message::parse_partial(&self.peer.translator.map.dialect, body);
        if let Some(error) = &partial.error {
            self.note_format_error(error);
        }
        let message = partial.message;
        let is_request = message.mti() != Mti::new(0) && message.mti().response().is_some();
        if is_request && message.has(11) {
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
        let map = &self.peer.translator.map;
        let function = map.management_function(message);
        if message.mti().is_response() {
            let is_ours = message
                .digits(11)
                .is_none_or(|stan| stan == u64::from(self.stan));
            let code = message.text::<3>(39).unwrap_or_default();
            let accepted = code == map.management_accepted || code == map.approved;
            if is_ours {
                self.session.on_response(function, accepted);
            }
            return;
        }
        if message.mti().response().is_none() {
            return;
        }
        let code = match self.session.on_request(function) {
            session::Verdict::Accepted => map.management_accepted,
            session::Verdict::Declined => map.management_declined,
        };
        self.put(header, message, Verdict::code(code));
    }

    /// Does what the session has due. An error says why the connection has to end.
    pub fn poll_session(&mut self, now: Millis) -> Result<(), &'static str> {
        while let Some(action) = self.session.poll(now) {
            match action {
                Action::Close(reason) => return Err(reason),
                Action::Send(function) => self.send(function),
            }
        }
        Ok(())
    }

    fn send(&mut self, function: Function) {
        let (codec, map) = (&self.peer.codec, &self.peer.translator.map);
        let Some(code) = map.management_code(function) else {
            // The dialect has no such message, so nobody will answer one.
            return self.session.on_response(Some(function), true);
        };
        self.stan = self.stan % 999_999 + 1;
        let sent = self.peer.utc_now();
        let open = codec.begin_frame(&mut self.outbound, &codec.header.answer(&[]));
        let encoded = encode_management_request(map, code, self.stan, &sent, &mut self.outbound)
            .map_err(|error| error.to_string());
        let ended = encoded.and_then(|()| {
            let ended = codec.end_frame(&mut self.outbound, open);
            ended.map_err(|error| error.to_string())
        });
        if let Err(error) = ended {
            codec.abandon_frame(&mut self.outbound, open);
            tracing::error!(network = %self.peer.settings.name, function = function.name(), %error, "a request of ours cannot be written");
        }
    }
}

fn is_reversal(request: &ShardRequest) -> bool {
    let ShardRequest::Command { action, .. } = request else {
        return false;
    };
    matches!(action, command::Action::Reverse(_))
}

fn is_unknown_reversal(request: &RegistryRequest) -> bool {
    let RegistryRequest::Command(action) = request else {
        return false;
    };
    matches!(action, RegistryAction::ReverseUnknownCard(_))
}

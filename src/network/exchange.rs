//! What a connection does with messages: frames to requests for the loops, replies to answers. Sockets,
//! waiting and timers live in `connection.rs`.

use super::answer::{Verdict, encode_answer, encode_management_request, verdict};
use super::bad_frame::BadFrame;
use super::flight::{Flights, InFlight};
use super::listener::Peer;
use super::session::{self, Function, Millis, Session};
use super::settings::SignOnPolicy;
use super::stats::NetworkStats;
use super::translate::{Translated, Untranslatable};
use crate::engine::command::Action;
use crate::engine::reason::DeclineReason;
use crate::engine::registry::{RegistryAction, RegistryView};
use crate::iso8583::{Frame, FrameError, HeaderBytes, Message, Mti, ParseError};
use crate::shard::inbox::Priority;
use crate::shard::reply::{Replies, Reply, ReplySink, Unavailable};
use crate::shard::request::{Batch, RegistryRequest, ShardRequest, Token};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// Messages handed over at once at the most, so that the records of one turn of a loop fit the journal.
const MESSAGES_PER_BATCH: usize = 1_024;

/// How long nothing more is said of sign-offs on a connection.
const SIGN_OFF_TOLD: Duration = Duration::from_secs(10);

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
    pub(super) sink: Arc<dyn ReplySink>,
    /// Frames of this read, until each is looked at.
    frames: Vec<(HeaderBytes, Bytes)>,
    /// Requests of this read, by shard; the registry's last.
    for_shards: Vec<Vec<(Token, ShardRequest)>>,
    for_registry: Vec<(Token, RegistryRequest)>,
    stan: u32,
    warned: bool,
    sign_off_told: Option<Instant>,
    /// Of a loopback: who hears what the loops replied, beside the answer that is made of it.
    pub listener: Option<UnboundedSender<Reply>>,
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
            sign_off_told: None,
            listener: None,
        }
    }

    /// Cuts every whole frame there is room for, and hands on what they ask: one batch for each loop
    /// that is asked anything. Frames before a bad one are taken still.
    pub fn take_frames(&mut self, inbound: &mut BytesMut) -> Result<(), BadFrame> {
        if inbound.is_empty() || self.flights.is_full() {
            return Ok(());
        }
        let received = Instant::now();
        let mut frames = std::mem::take(&mut self.frames);
        let result = loop {
            // Not every message takes a place, and a full queue gives places back at once.
            let room = self.flights.room().min(MESSAGES_PER_BATCH);
            let mut taken = self
                .cut_frames(inbound, room, &mut frames)
                .map_err(BadFrame::from);
            let count = frames.len();
            if count > 0 {
                NetworkStats::add(&self.peer.stats.messages_received, count);
                let first_id = self.peer.switchboard.ids.reserve(count as u64);
                let view = self.peer.switchboard.view();
                for (id, (header, body)) in (first_id..).zip(frames.drain(..)) {
                    if let Err(garbage) = self.take_message(header, body, received, id, &view) {
                        taken = Err(garbage.into());
                        break;
                    }
                }
                self.hand_over(received);
            }
            if taken.is_err() || count < room || room == 0 {
                break taken;
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

    /// Takes a message, or says why it is none.
    fn take_message(
        &mut self,
        header: HeaderBytes,
        body: Bytes,
        received: Instant,
        id: u64,
        view: &RegistryView,
    ) -> Result<(), ParseError> {
        let peer = self.peer;
        if header.len() == BASE1_REJECT_BYTES {
            self.note_format_error(&"the network rejected a message of ours");
            return Ok(());
        }
        let message = match Message::parse(&peer.translator.map.dialect, &body) {
            Ok(message) => message,
            Err(_) => return self.refuse_malformed(&header, &body),
        };
        let mti = message.mti();
        if mti.class() == 8 {
            self.manage(&header, &message);
        } else if mti.response().is_none() {
            self.ignore(mti);
        } else if !message.has(11) {
            // Whoever asked could not tell what an answer is for.
            self.note_format_error(&"DE11 is missing");
        } else {
            match peer.translator.translate(&message, id, view) {
                Ok(translated) => {
                    let flight = InFlight {
                        header,
                        body,
                        received,
                        id,
                        is_withheld: false,
                    };
                    self.depart(flight, translated);
                }
                Err(error) => self.refuse_untranslatable(&header, &message, error),
            }
        }
        Ok(())
    }

    /// Outside a session nothing new is decided: what was answered before gets that answer again, and
    /// reversals and advices stay unanswered, so that the network repeats them.
    fn depart(&mut self, flight: InFlight, translated: Translated) {
        if self.session.takes_business() {
            let token = self.flights.depart(flight);
            return self.sort(token, translated);
        }
        self.session.on_business();
        match translated {
            Translated::Shard { root, action } if matches!(action, Action::Authorize(_)) => {
                let token = self.flights.depart(flight);
                let shard = self.peer.switchboard.shard_of(root);
                self.for_shards[shard].push((token, ShardRequest::FirstAnswer { root, action }));
            }
            Translated::Registry(action @ RegistryAction::AuthorizeUnknownCard { .. }) => {
                let token = self.flights.depart(flight);
                self.for_registry
                    .push((token, RegistryRequest::FirstAnswer(action)));
            }
            _ => {}
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

    fn hand_over(&mut self, received: Instant) {
        let switchboard = &self.peer.switchboard;
        let deadline = received + self.peer.settings.answer_within();
        for shard in 0..self.for_shards.len() {
            let items = std::mem::take(&mut self.for_shards[shard]);
            let offer = |batch, priority| switchboard.offer_shard(shard, batch, priority);
            self.offer(items, deadline, has_happened, offer);
        }
        let items = std::mem::take(&mut self.for_registry);
        let offer = |batch, priority| switchboard.offer_registry(batch, priority);
        self.offer(items, deadline, has_happened_to_unknown, offer);
    }

    /// Where there is no room, ordinary requests get a quick 91; reversals and advices go into the reserved room,
    /// and should that be full too they stay unanswered, and the network repeats them.
    fn offer<Request>(
        &mut self,
        items: Vec<(Token, Request)>,
        deadline: Instant,
        has_happened: impl Fn(&Request) -> bool,
        offer: impl Fn(Batch<Request>, Priority) -> Result<(), Batch<Request>>,
    ) {
        if items.is_empty() {
            return;
        }
        let batch = Batch {
            items,
            reply_to: self.sink.clone(),
            deadline: Some(deadline),
            requester: None,
        };
        let Err(batch) = offer(batch, Priority::Ordinary) else {
            return;
        };
        let (happened, others): (Vec<_>, Vec<_>) = batch
            .items
            .into_iter()
            .partition(|(_, request)| has_happened(request));
        NetworkStats::add(&self.peer.stats.overload_refusals, others.len());
        for (token, _) in others {
            self.put_answer(token, &Reply::Unavailable(Unavailable::Overloaded));
        }
        if happened.is_empty() {
            return;
        }
        let batch = Batch {
            items: happened,
            reply_to: batch.reply_to,
            deadline: batch.deadline,
            requester: None,
        };
        if let Err(batch) = offer(batch, Priority::Reserved) {
            for (token, _) in batch.items {
                self.flights.land(token);
            }
        }
    }

    pub fn put_answers(&mut self, ready: &mut Vec<Replies>) {
        let now = Instant::now();
        for (token, reply) in ready.drain(..).flatten() {
            if self.is_late_approval(token, &reply, now) {
                self.withhold(token);
            } else {
                self.put_answer(token, &reply);
            }
        }
    }

    fn put_answer(&mut self, token: Token, reply: &Reply) {
        let Some(flight) = self.flights.land(token) else {
            return;
        };
        if let Some(listener) = &self.listener {
            // Who does not wait any more does not hear.
            let _ = listener.send(reply.clone());
        }
        let map = &self.peer.translator.map;
        // It parsed when it came.
        let Ok(request) = Message::parse_again(&map.dialect, &flight.body) else {
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

    fn refuse_untranslatable(&mut self, header: &[u8], request: &Message, error: Untranslatable) {
        let reason = match error {
            Untranslatable::Field(field) => {
                self.note_format_error(&format_args!("DE{field} is missing or not usable"));
                DeclineReason::FormatError
            }
            Untranslatable::MessageType => {
                let mti = request.mti();
                self.note_format_error(&format_args!("there is no message type {mti}"));
                DeclineReason::FormatError
            }
            Untranslatable::Unsupported => DeclineReason::UnsupportedFunction,
        };
        self.refuse(header, request, reason);
    }

    /// A request or advice whose MTI, bitmap and STAN can be read is answered 30. Without MTI and bitmap
    /// it is no message at all.
    fn refuse_malformed(&mut self, header: &[u8], body: &[u8]) -> Result<(), ParseError> {
        let partial = Message::parse_partial(&self.peer.translator.map.dialect, body);
        if let Some(error) = partial.error {
            if error.is_garbage() {
                NetworkStats::add(&self.peer.stats.frame_errors, 1);
                return Err(error);
            }
            self.note_format_error(&error);
        }
        if partial.message.has(11) {
            self.refuse(header, &partial.message, DeclineReason::FormatError);
        }
        Ok(())
    }

    /// Responses and notifications are never answered, nor is what has a function that nobody knows.
    fn ignore(&mut self, mti: Mti) {
        if mti.function() > 4 {
            self.note_format_error(&format_args!("there is no message type {mti}"));
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
            return self.ignore(message.mti());
        }
        if !message.mti().is_defined() {
            return self.refuse_untranslatable(header, message, Untranslatable::MessageType);
        }
        let was_signed_on = self.session.is_signed_on();
        let code = match self.session.on_request(function) {
            session::Verdict::Accepted => map.management_accepted,
            session::Verdict::Declined => map.management_declined,
        };
        self.put(header, message, Verdict::code(code));
        if was_signed_on && !self.session.is_signed_on() {
            self.note_sign_off();
        }
    }

    /// Counts, and writes a line, but not more often than a peer has reason to sign off.
    fn note_sign_off(&mut self) {
        NetworkStats::add(&self.peer.stats.sign_offs, 1);
        let told = self.sign_off_told;
        if told.is_some_and(|told| told.elapsed() < SIGN_OFF_TOLD) {
            return;
        }
        self.sign_off_told = Some(Instant::now());
        let settings = &self.peer.settings;
        let network = &settings.name;
        match settings.sign_on {
            SignOnPolicy::Send => {
                let sign_on_again_s = settings.sign_on_again_s;
                tracing::warn!(%network, sign_on_again_s, "the peer has signed off: its authorizations are answered `signed_off` until one side signs on");
            }
            // Whoever signs on signs off when it is done.
            _ => tracing::info!(%network, "the peer has signed off"),
        }
    }

    /// Does what the session has due. An error says why the connection has to end.
    pub fn poll_session(&mut self, now: Millis) -> Result<(), &'static str> {
        while let Some(action) = self.session.poll(now) {
            match action {
                session::Action::Close(reason) => return Err(reason),
                session::Action::Send(function) => self.send(function),
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

/// What tells of something that has happened: a reversal or an advice. It must not be refused.
fn has_happened(request: &ShardRequest) -> bool {
    let ShardRequest::Command { action, .. } = request else {
        return false;
    };
    matches!(action, Action::Reverse(_) | Action::Advise(_))
}

fn has_happened_to_unknown(request: &RegistryRequest) -> bool {
    let RegistryRequest::Command(action) = request else {
        return false;
    };
    matches!(
        action,
        RegistryAction::ReverseUnknownCard(_) | RegistryAction::AdviseUnknownCard(_)
    )
}

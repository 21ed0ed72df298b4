//! A connection of a network that stays inside the process: one message goes in as bytes, through the code that serves
//! a TCP connection, and its answer comes out as bytes. What the messages say lives in `outgoing.rs`.

use super::answer::{Verdict, encode_answer, encode_management_request};
use super::connection::{Ended, converse};
use super::dialect_map::{DialectMap, ResponseCode};
use super::listener::Peer;
use super::session::Function;
use super::settings::SignOnPolicy;
use crate::engine::money::{Currency, Money};
use crate::iso8583::{Frame, FrameError, Message};
use crate::shard::reply::Reply;
use arrayvec::ArrayString;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;
use tokio::time::timeout;

/// Bytes that either side may have written and the other not read.
const ON_THE_WAY_BYTES: usize = 64 * 1024;

/// How long an answer may take: longer than any customer is asked.
const PATIENCE: Duration = Duration::from_secs(20);

/// STAN of our sign-on; a connection has one.
const SIGN_ON_STAN: u32 = 1;

/// One network, and the way to it.
pub struct Loopback {
    peer: Arc<Peer>,
    drain: watch::Receiver<bool>,
}

/// What came back.
pub struct Heard {
    /// The answer, without its frame.
    pub body: Bytes,
    /// What it was made of; nothing, where nothing was decided.
    pub reply: Option<Reply>,
}

/// What an answer says.
#[derive(Debug, Clone)]
pub struct Said {
    /// As it stands in the answer, as in `0110`.
    pub mti: String,
    pub response_code: ResponseCode,
    pub approval_code: Option<ArrayString<6>>,
    /// Of DE54: the amount type and the amount.
    pub additional_amounts: Vec<(ArrayString<2>, Money)>,
}

#[derive(Debug, thiserror::Error)]
pub enum LoopbackError {
    #[error("network `{network}` gave no answer within {} s", PATIENCE.as_secs())]
    Silent { network: String },
    #[error("network `{network}` declined the sign-on with `{code}`; see `sign_on` of its section")]
    SignOn { network: String, code: String },
    #[error("network `{network}` ended the connection: {ended}")]
    Ended { network: String, ended: String },
    #[error("network `{network}`: {error}; see `framing` and `header` of its section")]
    Frame { network: String, error: FrameError },
    #[error("network `{network}`: the answer cannot be read: {error}")]
    Unreadable { network: String, error: String },
}

impl Loopback {
    pub fn new(peer: Arc<Peer>, drain: watch::Receiver<bool>) -> Loopback {
        Loopback { peer, drain }
    }

    pub fn network(&self) -> &str {
        &self.peer.settings.name
    }

    pub fn map(&self) -> &DialectMap {
        &self.peer.translator.map
    }

    /// Says one message over a connection of its own, which begins and ends as the network's do.
    pub async fn ask(&self, message: &[u8]) -> Result<Heard, LoopbackError> {
        let (ours, theirs) = duplex(ON_THE_WAY_BYTES);
        let (listener, mut replies) = unbounded_channel();
        let (peer, drain) = (self.peer.clone(), self.drain.clone());
        let served = tokio::spawn(async move {
            let (reader, writer) = split(theirs);
            converse(&peer, reader, writer, drain, Some(listener)).await
        });
        let mut line = Line {
            peer: &self.peer,
            stream: ours,
            input: BytesMut::new(),
        };
        let network = || self.network().to_owned();
        let answer = timeout(PATIENCE, line.talk(message)).await;
        drop(line);
        let body = match answer {
            Err(_) => return Err(LoopbackError::Silent { network: network() }),
            Ok(Err(Failed::Hung)) => {
                let ended = served.await;
                let ended = ended.map_or_else(|error| error.to_string(), |e: Ended| e.to_string());
                return Err(LoopbackError::Ended {
                    network: network(),
                    ended,
                });
            }
            Ok(Err(Failed::With(error))) => return Err(error),
            Ok(Ok(body)) => body,
        };
        Ok(Heard {
            body,
            reply: replies.try_recv().ok(),
        })
    }

    /// Reads an answer.
    pub fn read(&self, body: &[u8]) -> Result<Said, LoopbackError> {
        let message =
            Message::parse(&self.map().dialect, body).map_err(|error| self.unreadable(error))?;
        let response_code = message.text(39);
        let response_code = response_code.ok_or_else(|| self.unreadable("DE39 is missing"))?;
        Ok(Said {
            mti: message.mti().to_string(),
            response_code,
            approval_code: message.text(38),
            additional_amounts: additional_amounts(&message),
        })
    }

    fn unreadable(&self, error: impl std::fmt::Display) -> LoopbackError {
        LoopbackError::Unreadable {
            network: self.network().to_owned(),
            error: error.to_string(),
        }
    }
}

/// Why there is no answer.
enum Failed {
    /// The other side has hung up, and knows why.
    Hung,
    With(LoopbackError),
}

/// The acquirer's end.
struct Line<'l> {
    peer: &'l Peer,
    stream: DuplexStream,
    input: BytesMut,
}

impl Line<'_> {
    async fn talk(&mut self, message: &[u8]) -> Result<Bytes, Failed> {
        self.sign_on().await?;
        self.say(|out| out.extend_from_slice(message)).await?;
        loop {
            let body = self.next().await?;
            let mti = self.parse(&body)?.mti();
            if mti.is_response() && mti.class() != 8 {
                return Ok(body);
            }
        }
    }

    /// Whoever has to sign on does.
    async fn sign_on(&mut self) -> Result<(), Failed> {
        let map = &self.peer.translator.map;
        let Some(code) = map.management_code(Function::SignOn) else {
            return Ok(());
        };
        match self.peer.settings.sign_on {
            SignOnPolicy::Optional | SignOnPolicy::None => Ok(()),
            SignOnPolicy::Required => {
                let mut request = BytesMut::new();
                let sent = self.peer.utc_now();
                encode_management_request(map, code, SIGN_ON_STAN, &sent, &mut request)
                    .map_err(|error| self.failed(error))?;
                self.say(|out| out.extend_from_slice(&request)).await?;
                let body = self.next().await?;
                let code: ResponseCode = self.parse(&body)?.text(39).unwrap_or_default();
                match code == map.management_accepted {
                    true => Ok(()),
                    false => Err(Failed::With(LoopbackError::SignOn {
                        network: self.peer.settings.name.clone(),
                        code: code.to_string(),
                    })),
                }
            }
            SignOnPolicy::Send => {
                let body = self.next().await?;
                let mut answer = BytesMut::new();
                let request = self.parse(&body)?;
                let verdict = Verdict::code(map.management_accepted);
                encode_answer(map, &request, verdict, &mut answer)
                    .map_err(|error| self.failed(error))?;
                self.say(|out| out.extend_from_slice(&answer)).await
            }
        }
    }

    async fn say(&mut self, put: impl FnOnce(&mut BytesMut)) -> Result<(), Failed> {
        let codec = &self.peer.codec;
        let mut out = BytesMut::new();
        let open = codec.begin_frame(&mut out, &codec.header.answer(&[]));
        put(&mut out);
        codec
            .end_frame(&mut out, open)
            .map_err(|error| self.misframed(error))?;
        let written = self.stream.write_all(&out).await;
        written.map_err(|_| Failed::Hung)
    }

    /// The next message.
    async fn next(&mut self) -> Result<Bytes, Failed> {
        loop {
            let cut = self.peer.codec.cut(&mut self.input);
            match cut.map_err(|error| self.misframed(error))? {
                Some(Frame::Message { body, .. }) => return Ok(body),
                Some(Frame::KeepAlive) => {}
                None => match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => return Err(Failed::Hung),
                    Ok(_) => {}
                },
            }
        }
    }

    fn parse<'b>(&'b self, body: &'b [u8]) -> Result<Message<'b>, Failed> {
        let dialect = &self.peer.translator.map.dialect;
        Message::parse(dialect, body).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: impl std::fmt::Display) -> Failed {
        Failed::With(LoopbackError::Unreadable {
            network: self.peer.settings.name.clone(),
            error: error.to_string(),
        })
    }

    fn misframed(&self, error: FrameError) -> Failed {
        Failed::With(LoopbackError::Frame {
            network: self.peer.settings.name.clone(),
            error,
        })
    }
}

/// DE54: account type, amount type, currency, C or D, and twelve digits, again and again.
fn additional_amounts(message: &Message) -> Vec<(ArrayString<2>, Money)> {
    let text: ArrayString<240> = message.text(54).unwrap_or_default();
    let amount = |at: usize| {
        let group = text.get(at..at + 20)?;
        let amount_minor: i64 = group[8..].parse().ok()?;
        let money = Money {
            amount_minor: if &group[7..8] == "D" {
                -amount_minor
            } else {
                amount_minor
            },
            currency: Currency::from_numeric(group[4..7].parse().ok()?)?,
        };
        Some((ArrayString::from(&group[2..4]).ok()?, money))
    };
    (0..text.len()).step_by(20).map_while(amount).collect()
}

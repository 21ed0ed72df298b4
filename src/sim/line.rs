//! A connection to the peer: opened and signed on, played, signed off. What is sent over it is a
//! script's business, how it is sent the client's.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::{
    SimError,
    client::{Client, Plan, Script, Tally},
    keys::Stamp,
    run::Board,
    wall_clock::unix_time,
    wire::Wire,
};
use crate::iso8583::{Frame, FrameCodec, Message};

/// Whom to connect to, and how.
#[derive(Clone)]
pub struct Peer {
    /// Host and port.
    pub target: String,
    /// Framing.
    pub codec: FrameCodec,
    /// Writes network management.
    pub wire: Arc<Wire>,
    /// Sign on first and off last.
    pub sign_on: bool,
}

/// A connection that is up and signed on.
pub struct Line {
    pub stream: TcpStream,
    /// What was read beyond the answer to the sign-on.
    pub input: BytesMut,
    peer: Peer,
}

const MANAGEMENT_TIMEOUT: Duration = Duration::from_secs(5);

impl Line {
    /// Connects and signs on; `number` tells the sign-ons of several lines apart.
    pub async fn open(peer: &Peer, number: usize) -> Result<Line, SimError> {
        let mut line = Line {
            stream: connect(&peer.target).await?,
            input: BytesMut::new(),
            peer: peer.clone(),
        };
        if peer.sign_on {
            line.manage("sign_on", number as u32).await?;
        }
        Ok(line)
    }

    /// Plays a script to its end and signs off; gives what was counted and the script.
    pub async fn play<S: Script>(
        mut self,
        script: S,
        plan: Plan,
        board: &Board,
    ) -> Result<(Tally, S), SimError> {
        let input = std::mem::take(&mut self.input);
        let dialect = self.peer.wire.dialect().clone();
        let mut client = Client::new(script, dialect, plan, input);
        let mut board = board.writer();
        let (mut reader, mut writer) = self.stream.split();
        client
            .run(&mut reader, &mut writer, |now, tally, script, in_flight| {
                board.look(now, tally, script, in_flight);
            })
            .await?;
        board.show(Instant::now(), &client.tally, &client.script, 0);
        if self.peer.sign_on && client.tally.lost.is_none() {
            // A peer that does not answer a sign-off any more is no finding.
            let _ = self.manage("sign_off", 0).await;
        }
        Ok((client.tally, client.script))
    }

    /// Sends a network management request and waits for its answer, answering nothing else meanwhile.
    async fn manage(&mut self, function: &'static str, number: u32) -> Result<(), SimError> {
        let (codec, wire) = (self.peer.codec, self.peer.wire.clone());
        let dialect = wire.dialect();
        let stamp = Stamp::from_unix(unix_time().as_secs());
        let mut out = BytesMut::new();
        let stan = unix_time().subsec_micros() % 999_000 + number % 999 + 1;
        let open = codec.begin_frame(&mut out, &codec.header.answer(&[]));
        wire.management(function, stan, stamp, &mut out)
            .map_err(|source| SimError::Encode {
                dialect: dialect.name().to_owned(),
                what: "network management",
                source,
            })?;
        codec.end_frame(&mut out, open)?;
        let answer = self.management_answer(&out, stan);
        let code = tokio::time::timeout(MANAGEMENT_TIMEOUT, answer)
            .await
            .map_err(|_| failed("was not answered within 5 s"))??;
        match dialect.response_code("network_management_accepted") == Some(&*code) {
            true => Ok(()),
            false => Err(failed(format!("was answered with DE39 {code}"))),
        }
    }

    /// Sends the request and waits for the answer with its STAN; gives DE39.
    async fn management_answer(&mut self, request: &[u8], stan: u32) -> Result<String, SimError> {
        let sent = self.stream.write_all(request).await;
        sent.map_err(|error| failed(error.to_string()))?;
        loop {
            while let Some(frame) = self.peer.codec.cut(&mut self.input)? {
                let Frame::Message { body, .. } = frame else {
                    continue;
                };
                let message = Message::parse(self.peer.wire.dialect(), &body)
                    .map_err(|error| failed(format!("was answered with garbage: {error}")))?;
                if message.mti().is_response() && message.digits(11) == Some(u64::from(stan)) {
                    return Ok(message.text::<3>(39).unwrap_or_default().to_string());
                }
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) => return Err(failed("was answered by closing the connection")),
                Ok(_) => {}
                Err(error) => return Err(failed(error.to_string())),
            }
        }
    }
}

fn failed(what: impl Into<String>) -> SimError {
    SimError::SignOn(what.into())
}

/// Connects, trying again for two seconds while nobody listens.
async fn connect(target: &str) -> Result<TcpStream, SimError> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match TcpStream::connect(target).await {
            Ok(stream) => {
                // Fails only on a socket that is gone, which the first write will say.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error)
                if error.kind() == std::io::ErrorKind::ConnectionRefused
                    && Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(source) => {
                let target = target.to_owned();
                return Err(SimError::Connect { target, source });
            }
        }
    }
}

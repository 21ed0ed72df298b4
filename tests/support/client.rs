//! A card network in miniature: one blocking connection that speaks a dialect over a framing.

use super::DEADLINE;
use super::messages::{Naming, Purchase, borrowed};
use bytes::BytesMut;
use cardswitch::iso8583::{Dialect, Encoder, Frame, FrameCodec, Message, Mti};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// How the two sides speak.
#[derive(Clone)]
pub struct Language {
    pub dialect: Arc<Dialect>,
    pub codec: FrameCodec,
}

impl Language {
    /// By the names of the configuration.
    pub fn new(dialect: &str, framing: &str, header: &str) -> Language {
        let codec = FrameCodec {
            framing: framing.parse().unwrap(),
            header: header.parse().unwrap(),
            max_frame_len: 8_192,
        };
        let dialect = Arc::new(Dialect::builtin(dialect).unwrap());
        Language { dialect, codec }
    }

    /// A frame with this message in it; fields in ascending order, as canonical text.
    pub fn frame(&self, header: &[u8], mti: u16, fields: &[(u8, &str)]) -> Vec<u8> {
        let mut out = BytesMut::new();
        let open = self.codec.begin_frame(&mut out, header);
        let mut encoder = Encoder::new(&self.dialect, &mut out, Mti::new(mti));
        for (field, text) in fields {
            if let Err(error) = encoder.text(*field, text) {
                panic!("DE{field} = {text:?} in {}: {error}", self.dialect.name());
            }
        }
        encoder.finish();
        self.codec.end_frame(&mut out, open).unwrap();
        out.to_vec()
    }
}

impl Default for Language {
    /// That of a configuration which names none.
    fn default() -> Language {
        Language::new("iso8583-1987-ascii", "length-2-be", "none")
    }
}

/// A message as it came, each field as canonical text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub mti: u16,
    pub header: Vec<u8>,
    pub fields: BTreeMap<u8, String>,
}

impl Received {
    /// A field's text; nothing where it is not there.
    pub fn field(&self, number: u8) -> &str {
        self.fields.get(&number).map_or("", |text| text)
    }
}

pub struct Client {
    pub stream: TcpStream,
    pub language: Language,
    /// Sent before every message.
    pub header: Vec<u8>,
    /// Bytes taken in one read.
    pub read_bytes_max: usize,
    inbound: BytesMut,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::speaking(Language::default(), address)
    }

    pub fn speaking(language: Language, address: SocketAddr) -> Client {
        Client::over(language, TcpStream::connect(address).unwrap())
    }

    pub fn over(language: Language, stream: TcpStream) -> Client {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let header = language.codec.header.answer(&[]).to_vec();
        Client {
            stream,
            language,
            header,
            read_bytes_max: 16 * 1024,
            inbound: BytesMut::new(),
        }
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn send(&mut self, mti: u16, fields: &[(u8, &str)]) {
        let frame = self.language.frame(&self.header, mti, fields);
        self.send_bytes(&frame);
    }

    /// Sends a message and gives the next one that comes.
    pub fn exchange(&mut self, mti: u16, fields: &[(u8, &str)]) -> Received {
        self.send(mti, fields);
        self.receive()
    }

    /// Authorizes a purchase.
    pub fn authorize(&mut self, purchase: Purchase) -> Received {
        let fields = self.language.authorization(purchase);
        self.exchange(self.language.mti(100), &borrowed(&fields))
    }

    /// Reverses it, under a STAN of the reversal's own.
    pub fn reverse(&mut self, purchase: Purchase, stan: u32, naming: Naming) -> Received {
        let fields = self.language.reversal(purchase, stan, naming);
        self.exchange(self.language.mti(400), &borrowed(&fields))
    }

    /// Asks for a network management function.
    pub fn manage(&mut self, function: &str, stan: u32) -> Received {
        let fields = self.language.management(function, stan);
        self.exchange(self.language.mti(800), &borrowed(&fields))
    }

    /// The next message; panics when none comes.
    pub fn receive(&mut self) -> Received {
        match self.next_frame() {
            Ok(Some(Frame::Message { header, body })) => self.read(&header, &body),
            other => panic!("expected a message, got {other:?}"),
        }
    }

    /// The next message, should one come within `wait`.
    pub fn receive_within(&mut self, wait: Duration) -> Option<Received> {
        self.stream.set_read_timeout(Some(wait)).unwrap();
        let frame = self.next_frame();
        self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        match frame {
            Ok(Some(Frame::Message { header, body })) => Some(self.read(&header, &body)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                None
            }
            other => panic!("expected a message or none, got {other:?}"),
        }
    }

    /// The next frame; nothing at the end of the stream.
    pub fn next_frame(&mut self) -> std::io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.language.codec.cut(&mut self.inbound).unwrap() {
                return Ok(Some(frame));
            }
            let mut bytes = vec![0; self.read_bytes_max];
            match self.stream.read(&mut bytes)? {
                0 => return Ok(None),
                count => self.inbound.extend_from_slice(&bytes[..count]),
            }
        }
    }

    /// Waits for the other side to close; what comes before that is thrown away.
    pub fn wait_for_close(&mut self) {
        loop {
            match self.next_frame() {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => panic!("the connection was not closed: {error}"),
            }
        }
    }

    /// What a frame's body says.
    pub fn read(&self, header: &[u8], body: &[u8]) -> Received {
        let message = Message::parse(&self.language.dialect, body).unwrap();
        let text = |number| Some((number, message.text::<999>(number)?.to_string()));
        Received {
            mti: message.mti().number(),
            header: header.to_vec(),
            fields: (2..=192).filter_map(text).collect(),
        }
    }
}

//! `cardsim talk`: says a conversation to a switch, one message after another, and prints what it hears. Reading the
//! file and writing messages live in `cardswitch::sim`, what the switch has on record in `records`.

use super::key_or_environment;
use super::options::Talk;
use super::records::Api;
use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use cardswitch::iso8583::{Dialect, Frame, FrameCodec, Message};
use cardswitch::sim::SimCard;
use cardswitch::sim::conversation::{Saying, read};
use cardswitch::sim::keys::Stamp;
use cardswitch::sim::talk::{Sent, Speaker, rehearse};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

impl Talk {
    pub fn run(self) -> Result<bool> {
        let text = std::fs::read_to_string(&self.file)
            .with_context(|| format!("cannot read {}", self.file.display()))?;
        let dialect = self.wire.dialect()?;
        let file = || self.file.display().to_string();
        let sayings = read(&text, &dialect).with_context(file)?;
        rehearse(&sayings, &dialect).with_context(file)?;
        let (card, api) = self.card_and_api()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let mut speaker = Speaker {
            dialect: &dialect,
            card: &card,
            stan: now.subsec_micros() % 900_000,
            at: Stamp::from_unix(now.as_secs()),
        };
        let mut line = Line::open(&self.target, self.wire.codec())?;
        if self.sign_on {
            line.manage(&mut speaker, "sign_on")?;
        }
        let mut sent: BTreeMap<String, Sent> = BTreeMap::new();
        let mut as_expected = true;
        for saying in &sayings {
            let composed = speaker.compose(saying, &sent);
            let mut message = composed.map_err(|problem| saying.wrong(problem));
            let message = message
                .as_mut()
                .map_err(|error| anyhow::anyhow!("{}: {error}", self.file.display()))?;
            let heard = line.say(&speaker, message)?;
            as_expected &= told(&dialect, saying, message, &heard);
            if let Some(api) = &api {
                api.explain(message);
            }
            message.approval_code = heard.get(&38).cloned();
            sent.entry(saying.name.clone()).or_insert(message.clone());
        }
        if self.sign_on {
            line.manage(&mut speaker, "sign_off")?;
        }
        Ok(as_expected)
    }

    fn card_and_api(&self) -> Result<(SimCard, Option<Api>)> {
        let cards = self.source.cards(1)?;
        let card = cards.into_iter().next().context("there is no card")?;
        let Some(base) = &self.source.api else {
            return Ok((card, None));
        };
        let api = Api {
            base: base.trim_end_matches('/').to_owned(),
            key: key_or_environment(self.source.key.as_deref())?,
        };
        Ok((card, Some(api)))
    }
}

/// Prints what was said and heard; false where something else was expected.
fn told(dialect: &Dialect, saying: &Saying, sent: &Sent, heard: &BTreeMap<u8, String>) -> bool {
    let words = saying.words.iter();
    let words: Vec<String> = words.map(|(key, value)| format!("{key}={value}")).collect();
    let code = heard.get(&39).map_or("", String::as_str);
    let expected = saying.expected.as_deref();
    let expected = expected.map(|word| dialect.response_code(word).unwrap_or(word));
    let wrong = expected.filter(|expected| *expected != code);
    let extras = [(38, "approval code"), (4, "amount"), (54, "amounts")];
    let extras = extras.iter().filter_map(|(field, name)| {
        let value = heard.get(field)?;
        let repeated = sent.fields.get(field) == Some(value);
        (!repeated && !value.trim().is_empty()).then(|| format!(", {name} {value}"))
    });
    println!(
        "{:6} {:04} STAN {:06} {}\n       -> {code}{}{}",
        saying.name,
        sent.mti,
        sent.stan,
        words.join(" "),
        extras.collect::<String>(),
        wrong.map_or(String::new(), |expected| format!("   EXPECTED {expected}")),
    );
    wrong.is_none()
}

/// One connection, blocking.
struct Line {
    stream: TcpStream,
    codec: FrameCodec,
    input: BytesMut,
}

impl Line {
    fn open(target: &str, codec: FrameCodec) -> Result<Line> {
        let stream = TcpStream::connect(target).with_context(|| {
            format!("cannot connect to {target}; is the switch listening there?")
        })?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Line {
            stream,
            codec,
            input: BytesMut::new(),
        })
    }

    fn say(&mut self, speaker: &Speaker, sent: &Sent) -> Result<BTreeMap<u8, String>> {
        let mut message = BytesMut::new();
        speaker.encode(sent, &mut message)?;
        self.exchange(speaker.dialect, sent.stan, &message)
    }

    /// Signs on or off.
    fn manage(&mut self, speaker: &mut Speaker, function: &str) -> Result<()> {
        let mut message = BytesMut::new();
        let stan = speaker.manage(function, &mut message)?;
        let heard = self.exchange(speaker.dialect, stan, &message)?;
        let code = heard.get(&39).map_or("", String::as_str);
        println!("{function} STAN {stan:06}\n       -> {code}");
        let accepted = speaker.dialect.response_code("network_management_accepted");
        if accepted != Some(code) {
            bail!("the switch answered {code} to the {function}");
        }
        Ok(())
    }

    /// Sends a message and waits for the answer with its STAN; gives the answer's fields.
    fn exchange(
        &mut self,
        dialect: &Dialect,
        stan: u32,
        message: &[u8],
    ) -> Result<BTreeMap<u8, String>> {
        let mut out = BytesMut::new();
        let header = self.codec.header.answer(&[]);
        let open = self.codec.begin_frame(&mut out, &header);
        out.extend_from_slice(message);
        self.codec.end_frame(&mut out, open)?;
        self.stream.write_all(&out)?;
        loop {
            while let Some(frame) = self.codec.cut(&mut self.input)? {
                let Frame::Message { body, .. } = frame else {
                    continue;
                };
                let answer = Message::parse(dialect, &body)?;
                if answer.mti().is_response() && answer.digits(11) == Some(u64::from(stan)) {
                    return Ok(fields_of(dialect, &answer));
                }
            }
            let mut bytes = [0u8; 4_096];
            let count = self.stream.read(&mut bytes);
            let count = count.context("no answer came within five seconds")?;
            if count == 0 {
                bail!("the switch closed the connection");
            }
            self.input.extend_from_slice(&bytes[..count]);
        }
    }
}

fn fields_of(dialect: &Dialect, message: &Message) -> BTreeMap<u8, String> {
    let numbers =
        (3..=128u8).filter(|field| message.has(*field) && dialect.field(*field).is_some());
    let texts = numbers.filter_map(|field| Some((field, message.text::<120>(field)?.to_string())));
    texts.collect()
}

//! `cardsim talk`: says a conversation to a switch, one message after another, and prints what it hears. Reading the
//! file and writing messages live in `cardswitch::sim::talk`.

use super::key_or_environment;
use super::options::Talk;
use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use cardswitch::iso8583::{Dialect, Frame, FrameCodec, Message};
use cardswitch::sim::SimCard;
use cardswitch::sim::keys::Stamp;
use cardswitch::sim::talk::{Saying, Sent, Speaker, read};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the record of a payment is asked for before it is given up.
const LOOKS: usize = 100;

impl Talk {
    pub fn run(self) -> Result<bool> {
        let text = std::fs::read_to_string(&self.file)
            .with_context(|| format!("cannot read {}", self.file.display()))?;
        let sayings = read(&text).with_context(|| self.file.display().to_string())?;
        let dialect = self.wire.dialect()?;
        let (card, api) = self.card_and_api()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let mut speaker = Speaker {
            dialect: &dialect,
            card: &card,
            stan: now.subsec_micros() % 900_000,
            at: Stamp::from_unix(now.as_secs()),
        };
        let mut line = Line::open(&self.target, self.wire.codec())?;
        let mut sent: BTreeMap<String, Sent> = BTreeMap::new();
        let mut as_expected = true;
        for saying in &sayings {
            let composed = speaker.compose(saying, &sent);
            let mut message = composed.map_err(|problem| {
                anyhow::anyhow!("{}: {}: {problem}", self.file.display(), saying.name)
            })?;
            let heard = line.exchange(&speaker, &message)?;
            as_expected &= told(&dialect, saying, &message, &heard);
            if let Some(api) = &api
                && saying.mti / 100 != 4
            {
                api.explain(&message);
            }
            message.approval_code = heard.get(&38).cloned();
            sent.entry(saying.name.clone()).or_insert(message);
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

    /// Sends a message and waits for the answer with its STAN; gives the answer's fields.
    fn exchange(&mut self, speaker: &Speaker, sent: &Sent) -> Result<BTreeMap<u8, String>> {
        let mut out = BytesMut::new();
        let header = self.codec.header.answer(&[]);
        let open = self.codec.begin_frame(&mut out, &header);
        speaker.encode(sent, &mut out)?;
        self.codec.end_frame(&mut out, open)?;
        self.stream.write_all(&out)?;
        loop {
            while let Some(frame) = self.codec.cut(&mut self.input)? {
                let Frame::Message { body, .. } = frame else {
                    continue;
                };
                let answer = Message::parse(speaker.dialect, &body)?;
                if answer.mti().is_response() && answer.digits(11) == Some(u64::from(sent.stan)) {
                    return Ok(fields_of(speaker.dialect, &answer));
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

/// Where payments are explained.
struct Api {
    base: String,
    key: String,
}

impl Api {
    /// Prints what became of a payment: its record among the newest, by STAN and RRN.
    fn explain(&self, sent: &Sent) {
        for _ in 0..LOOKS {
            for list in ["authorizations", "transactions"] {
                if let Some(record) = self.find(list, sent) {
                    return print_record(list, &record);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("       (no record of it came up)");
    }

    fn find(&self, list: &str, sent: &Sent) -> Option<Value> {
        let url = format!("{}/v1/{list}?limit=20", self.base);
        let request = ureq::get(&url).header("authorization", format!("Bearer {}", self.key));
        let page: Value = request.call().ok()?.body_mut().read_json().ok()?;
        let stan = format!("{:06}", sent.stan);
        let records = page["data"].as_array()?;
        let found = records
            .iter()
            .find(|record| record["network"]["stan"] == stan.as_str());
        found.cloned()
    }
}

fn print_record(list: &str, record: &Value) {
    let text = |value: &Value| match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let decision = &record["decision"];
    if list == "transactions" {
        println!(
            "       {}: {} {} {}, of {}",
            text(&record["id"]),
            text(&record["type"]),
            record["amount"],
            text(&record["currency"]),
            text(&record["authorization_id"])
        );
        return;
    }
    let reason = match &decision["reason"] {
        Value::Null => String::new(),
        reason => format!(" ({})", text(reason)),
    };
    println!(
        "       {}: {}{reason}, status {}, {} {}; flags {}",
        text(&record["id"]),
        text(&decision["result"]),
        text(&record["status"]),
        record["amount"],
        text(&record["currency"]),
        text(&record["flags"])
    );
    for step in record["trace"].as_array().into_iter().flatten() {
        let detail = step["detail"]
            .as_object()
            .filter(|detail| !detail.is_empty());
        if let Some(detail) = detail {
            let members = detail
                .iter()
                .map(|(key, value)| format!("{key}={}", text(value)));
            let members: Vec<String> = members.collect();
            println!(
                "         {:14} {:7} {}",
                text(&step["step"]),
                text(&step["result"]),
                members.join(" ")
            );
        }
    }
}

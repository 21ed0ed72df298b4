//! A real `cardswitch serve` in a folder of the test's own, its REST interface, and a plain client for
//! its network port. Shared by the tests that drive the binary.
#![allow(dead_code)]

use cardswitch::iso8583::{Dialect, Encoder, Message, Mti};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const ROOT_KEY: &str = "root-key-of-a-test-0123";

/// A running switch; killed when dropped.
pub struct Switch {
    child: Child,
    pub http: String,
    pub network: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Switch {
    /// Starts on `folder`, with ports that the system chooses. `sections` is added to the configuration;
    /// `network_keys` to its only `[[network]]`.
    pub fn start(folder: &Path, sections: &str, network_keys: &str) -> Switch {
        let config = folder.join("cardswitch.toml");
        let data = folder.join("data");
        let text = format!(
            "[data]\ndir = {data:?}\n[http]\nlisten = \"127.0.0.1:0\"\n[sandbox]\nenabled = true\n\
             [log]\nformat = \"json\"\n{sections}\n\
             [[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n{network_keys}\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_cardswitch"))
            .args(["serve", "--config"])
            .arg(&config)
            .env("CARDSWITCH_ROOT_KEY", ROOT_KEY)
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = follow(child.stderr.take().unwrap(), log.clone());
        let (mut http, mut network) = (None, None);
        while http.is_none() || network.is_none() {
            let Ok(line) = lines.recv_timeout(PATIENCE) else {
                panic!(
                    "the switch did not start:\n{}",
                    log.lock().unwrap().join("\n")
                );
            };
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            let address = || line["fields"]["address"].as_str().map(str::to_owned);
            match line["fields"]["message"].as_str() {
                Some("HTTP listening") => http = address(),
                Some("listening") => network = address(),
                _ => {}
            }
        }
        let switch = Switch {
            child,
            http: http.unwrap(),
            network: network.unwrap(),
            log,
        };
        switch.wait_until_ready();
        switch
    }

    fn wait_until_ready(&self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.api("GET", "/readyz", &Value::Null).0 != 200 {
            assert!(std::time::Instant::now() < deadline, "never ready");
            std::thread::yield_now();
        }
    }

    /// As a power cut would end it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As an operator would: SIGTERM; gives the exit code.
    pub fn stop(mut self) -> Option<i32> {
        let status = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
        self.child.wait().unwrap().code()
    }

    /// Everything that it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Status and body of a request with the root key.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.http))
            .header("authorization", format!("Bearer {ROOT_KEY}"))
            .header("content-type", "application/json");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut response = agent.run(request.body(body).unwrap()).unwrap();
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().unwrap();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    /// As `api`, for what has to succeed.
    pub fn good(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.api(method, path, body);
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        answer
    }

    /// A program in USD, an account with money, and cards on it.
    pub fn account_with_cards(&self, funds_minor: i64, cards: usize) -> (String, Vec<TestCard>) {
        let program = json!({"name": "Ads", "network": "visa", "bin": "411111", "currency": "USD"});
        let program = self.good("POST", "/v1/programs", &program);
        let account = json!({"program_id": program["id"], "currency": "USD", "name": "test"});
        let account = self.good("POST", "/v1/accounts", &account)["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let top_up = json!({"amount": funds_minor, "currency": "USD", "method": "internal"});
        self.good("POST", &format!("/v1/accounts/{account}/top_ups"), &top_up);
        let cards = (0..cards)
            .map(|_| self.card(&json!({"account_id": account, "type": "virtual"})))
            .collect();
        (account, cards)
    }

    pub fn card(&self, body: &Value) -> TestCard {
        let id = self.good("POST", "/v1/cards", body)["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let shown = self.good(
            "POST",
            &format!("/v1/cards/{id}/reveal"),
            &json!({"reason": "test"}),
        );
        let text = |name: &str| shown[name].as_str().unwrap().to_owned();
        let (year, month) = (
            shown["exp_year"].as_u64().unwrap(),
            shown["exp_month"].as_u64().unwrap(),
        );
        TestCard {
            id,
            pan: text("pan"),
            cvv2: text("cvv2"),
            expiry: format!("{:02}{month:02}", year % 100),
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(stderr: impl Read + Send + 'static, log: Arc<Mutex<Vec<String>>>) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            log.lock().unwrap().push(line.clone());
            let _ = sender.send(line);
        }
    });
    lines
}

pub struct TestCard {
    pub id: String,
    pub pan: String,
    pub cvv2: String,
    /// YYMM.
    pub expiry: String,
}

/// One field of a message.
pub type Field<'a> = (u8, &'a str);

/// An unframed message of the 1987 ASCII dialect; fields in any order.
pub fn message(dialect: &Dialect, mti: u16, fields: &[Field]) -> Vec<u8> {
    let mut fields = fields.to_vec();
    fields.sort_by_key(|(field, _)| *field);
    let mut out = bytes::BytesMut::new();
    let mut encoder = Encoder::new(dialect, &mut out, Mti::new(mti));
    for (field, text) in fields {
        encoder.text(field, text).unwrap();
    }
    encoder.finish();
    out.to_vec()
}

/// A connection that speaks `length-2-be`.
pub struct Peer {
    pub stream: TcpStream,
}

impl Peer {
    pub fn connect(address: &str) -> Peer {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer { stream }
    }

    pub fn send(&mut self, message: &[u8]) -> std::io::Result<()> {
        let mut frame = (message.len() as u16).to_be_bytes().to_vec();
        frame.extend_from_slice(message);
        self.stream.write_all(&frame)
    }

    pub fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 2];
        self.stream.read_exact(&mut length)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.stream.read_exact(&mut message)?;
        Ok(message)
    }

    /// Sends and waits for the answer's text fields.
    pub fn ask(&mut self, dialect: &Dialect, mti: u16, fields: &[Field]) -> Answer {
        self.send(&message(dialect, mti, fields)).unwrap();
        Answer::of(dialect, &self.receive().unwrap())
    }
}

/// What tests look at in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub mti: u16,
    pub stan: String,
    pub response_code: String,
    pub approval_code: Option<String>,
}

impl Answer {
    pub fn of(dialect: &Dialect, bytes: &[u8]) -> Answer {
        let message = Message::parse(dialect, bytes).unwrap();
        let text = |field| message.text::<12>(field).map(|text| text.to_string());
        Answer {
            mti: message.mti().number(),
            stan: text(11).unwrap_or_default(),
            response_code: text(39).unwrap_or_default(),
            approval_code: text(38),
        }
    }
}

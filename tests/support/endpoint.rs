//! A customer's endpoint: answers each call as it is told to, and keeps what came.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// A call that came, headers in lower case.
#[derive(Debug, Clone)]
pub struct Call {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Call {
    pub fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value)
    }
}

pub struct Endpoint {
    pub address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    answers: Sender<String>,
    /// What every call gets at once, where that was said.
    always: Arc<Mutex<Option<String>>>,
}

impl Endpoint {
    /// Listens. Each call waits for an answer to be given with one of the functions below.
    pub fn start() -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answers, to_give) = channel();
        let (calls, to_give) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(Mutex::new(to_give)),
        );
        let (kept, always) = (calls.clone(), Arc::new(Mutex::new(None)));
        let said = always.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (calls, to_give, said) = (kept.clone(), to_give.clone(), said.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &calls, &to_give, &said));
            }
        });
        Endpoint {
            address,
            calls,
            answers,
            always,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/decide?of=test", self.address)
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The next call that waits gets this body.
    pub fn say(&self, body: &str) {
        self.respond("200 OK", body);
    }

    pub fn respond(&self, status: &str, body: &str) {
        self.answers.send(response(status, body)).unwrap();
    }

    /// The next call that waits gets these bytes, and nothing more.
    pub fn respond_with(&self, bytes: &str) {
        self.answers.send(format!("{bytes}{CUT}")).unwrap();
    }

    /// Every call from now on gets this.
    pub fn always(&self, status: &str, body: &str) {
        *self.always.lock().unwrap() = Some(response(status, body));
    }

    /// The next call that waits is cut off.
    pub fn hang_up(&self) {
        self.answers.send(String::new()).unwrap();
    }
}

/// Ends what is cut off behind it.
const CUT: char = '\u{4}';

fn response(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn serve(
    stream: TcpStream,
    calls: &Mutex<Vec<Call>>,
    answers: &Mutex<Receiver<String>>,
    always: &Mutex<Option<String>>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(call) = read(&mut reader) {
        calls.lock().unwrap().push(call);
        let said = always.lock().unwrap().clone();
        let waited_for = said.map_or_else(|| answers.lock().unwrap().recv(), Ok);
        let Ok(answer) = waited_for else {
            return;
        };
        let (answer, is_cut) = match answer.strip_suffix(CUT) {
            Some(answer) => (answer, true),
            None => (&*answer, false),
        };
        if answer.is_empty() || writer.write_all(answer.as_bytes()).is_err() || is_cut {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Call> {
    let mut line = String::new();
    reader
        .read_line(&mut line)
        .ok()
        .filter(|length| *length > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).unwrap();
    Some(Call {
        path,
        headers,
        body,
    })
}

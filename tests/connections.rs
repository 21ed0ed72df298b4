//! Connections of the real program: who asks nothing, or sends half of what he asks, keeps nobody waiting, and a small
//! limit of open files costs no payment.

mod support;

use rustix::process::{Resource, Rlimit, getrlimit, prlimit, setrlimit};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};
use support::client::Client;
use support::messages::{Purchase, borrowed};
use support::told::told;
use support::{Switch, wait_until};

const NETWORK: &str =
    "[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n";

/// Longer than anything here may take, and shorter than any time-out that would end it.
const SOON: Duration = Duration::from_secs(5);

const HALF_A_BODY: &[u8] =
    b"POST /v1/programs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test-root-key-0123456789\r\n\
      Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";

/// From an address of this machine.
fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn other(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

/// The status line's code of what is answered, 0 where the connection ends without any.
fn ask(stream: &mut TcpStream, path: &str) -> u16 {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test-root-key-0123456789\r\n\r\n"
    );
    let _ = stream.write_all(request.as_bytes());
    status(stream)
}

fn status(stream: &mut TcpStream) -> u16 {
    let mut answer = [0; 4_096];
    let length = stream.read(&mut answer).unwrap_or_default();
    let answer = String::from_utf8_lossy(&answer[..length]);
    let code = answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    code.map_or(0, |code| code.parse().unwrap())
}

fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut byte = [0; 1];
    let read = stream.peek(&mut byte);
    stream.set_nonblocking(false).unwrap();
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

fn open_ones(streams: &[TcpStream]) -> usize {
    streams.iter().filter(|stream| is_open(stream)).count()
}

#[test]
fn idle_connections_give_way_to_those_that_ask() {
    let bounds = "connections_max = 40\nconnections_per_address_max = 30\n";
    let mut switch = Switch::start(&format!("{bounds}{NETWORK}"));
    switch.wait_until_ready();
    let to = switch.http_address();
    let began = Instant::now();
    let mut asks_now_and_then = connect(other(3), to);
    assert_eq!(ask(&mut asks_now_and_then, "/v1/programs"), 200);
    // Its newest ones stay, and it can be told so itself.
    let flood: Vec<TcpStream> = (0..200).map(|_| connect(other(2), to)).collect();
    wait_until("the idlest are closed", || open_ones(&flood) == 30);
    assert_eq!(open_ones(&flood[170..]), 30);
    assert_eq!(ask(&mut connect(other(2), to), "/readyz"), 200);
    assert_eq!(ask(&mut asks_now_and_then, "/v1/programs"), 200);
    // Of many addresses: all places are taken, and the one idle for longest goes, whosever it is.
    let many: Vec<TcpStream> = (10..210).map(|last| connect(other(last), to)).collect();
    wait_until("the idlest are closed", || {
        open_ones(&flood) + open_ones(&many) <= 40
    });
    assert_eq!(open_ones(&flood), 0);
    assert!(!is_open(&asks_now_and_then));
    for path in ["/healthz", "/readyz", "/v1/programs"] {
        assert_eq!(ask(&mut connect(other(4), to), path), 200, "{path}");
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(switch.stop().success());
}

/// A body of a card batch, or a part of one.
fn send_batch(stream: &mut TcpStream, body: &[u8], length: usize) {
    let head = format!(
        "POST /v1/card_batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test-root-key-0123456789\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
}

#[test]
fn large_bodies_that_do_not_end_take_some_memory_and_no_more() {
    let mut switch = Switch::start(NETWORK);
    switch.wait_until_ready();
    let to = switch.http_address();
    let mut body = b"{\"rows\":[]}".to_vec();
    body.resize(300_000, b' ');
    let answered = || {
        let mut stream = connect(other(3), to);
        send_batch(&mut stream, &body, body.len());
        status(&mut stream)
    };
    assert_eq!(answered(), 400);
    let half = || {
        let mut stream = connect(other(2), to);
        send_batch(&mut stream, &body, 2 * body.len());
        stream
    };
    let mut halves = Vec::from([(); 7].map(|()| half()));
    wait_until("all places are taken", || {
        // One that came while we had a place got none.
        halves.push(half());
        answered() == 503
    });
    assert_eq!(ask(&mut connect(other(3), to), "/v1/programs"), 200);
    drop(halves);
    wait_until("they are free again", || answered() == 400);
    assert!(switch.stop().success());
}

#[test]
fn where_something_is_asked_on_all_connections_health_is_told() {
    let bounds = "connections_max = 8\nconnections_per_address_max = 4\n";
    let mut switch = Switch::start(&format!("{bounds}{NETWORK}"));
    switch.wait_until_ready();
    let to = switch.http_address();
    let began = Instant::now();
    let half = |last: u8| {
        let mut half = connect(other(last), to);
        half.write_all(HALF_A_BODY).unwrap();
        half
    };
    let addresses = [2, 2, 2, 2, 3, 3, 3, 3];
    let mut halves = Vec::from(addresses.map(half));
    let answers = |path: &str| ask(&mut connect(other(4), to), path);
    wait_until("all places are taken", || {
        // One whose head had not been read yet may have given way.
        for (one, last) in halves.iter_mut().zip(addresses) {
            if !is_open(one) {
                *one = half(last);
            }
        }
        answers("/v1/programs") == 503
    });
    // Others that hold still as well.
    let _idle: Vec<TcpStream> = (0..200).map(|_| connect(other(2), to)).collect();
    for _ in 0..20 {
        assert_eq!((answers("/healthz"), answers("/readyz")), (200, 200));
    }
    assert_eq!(open_ones(&halves), 8);
    let (status, body) = switch.api("GET", "/v1/programs", &Value::Null);
    assert_eq!(
        (status, &body["error"]["code"]),
        (503, &json!("connections_taken")),
        "{body}"
    );
    // One that asks nothing there is closed within a moment.
    let mut spare = connect(other(5), to);
    assert_eq!(spare.read(&mut [0]).unwrap(), 0);
    halves.truncate(6);
    wait_until("there is a place again", || answers("/v1/programs") == 200);
    assert!(began.elapsed() < 2 * SOON, "{:?}", began.elapsed());
    assert!(switch.stop().success());
}

#[test]
fn a_stop_waits_for_nobody_who_sent_half_a_request() {
    let mut switch = Switch::start(NETWORK);
    switch.wait_until_ready();
    let to = switch.http_address();
    let mut streams = Vec::new();
    for half in [&b"GET /hea"[..], HALF_A_BODY, b""] {
        let mut stream = connect(other(2), to);
        stream.write_all(half).unwrap();
        streams.push(stream);
    }
    let mut between = connect(other(2), to);
    assert_eq!(ask(&mut between, "/healthz"), 200);
    let began = Instant::now();
    switch.ask_to_stop();
    wait_until("a head that is not there is not waited for", || {
        !is_open(&streams[0]) && !is_open(&streams[2]) && !is_open(&between)
    });
    assert!(is_open(&streams[1]), "a body has a moment to come");
    assert!(switch.wait_for_end().success());
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

/// As a container may have it: fewer files than the connections of the default configuration.
#[test]
fn a_small_limit_of_open_files_costs_no_payment() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let under = ["prlimit".to_owned(), "--nofile=1024:1024".to_owned()];
    let config = format!(
        "{NETWORK}[journal]\nsegment_size_bytes = 1228800\npending_limit_bytes = 1048576\nreserve_bytes = 1228800\n"
    );
    let mut switch = Switch::start_under(&under, tempfile::tempdir().unwrap(), &config);
    switch.wait_until_ready();
    let lowered = "`calls_at_once_max` of webhooks, are lowered to what fits";
    assert!(switch.has_logged(lowered), "{:?}", switch.log());
    let account = switch.account(100_000_000);
    let card = switch.card(&account, &json!({}));
    let (http, visa) = (switch.http_address(), switch.address("visa"));
    let mut payer = Client::connect(visa);
    let _idle: Vec<TcpStream> = (0..1_500)
        .map(|number| match number % 2 {
            0 => connect(other(2 + (number % 50) as u8), http),
            _ => connect(other(2), visa),
        })
        .collect();
    let journal = switch.folder().join("data/journal");
    let number = |name: &std::ffi::OsStr| {
        let digits = name.to_str()?.strip_prefix("journal-")?.get(..10)?;
        digits.parse::<u32>().ok()
    };
    let segments = || {
        let entries = std::fs::read_dir(&journal).unwrap().flatten();
        entries.filter_map(|entry| number(&entry.file_name())).max()
    };
    let before = segments().unwrap();
    let mut stans = 1..100_000;
    // Four more segments are opened meanwhile.
    while segments() < Some(before + 4) {
        for stan in stans.by_ref().take(64) {
            let mut fields = payer.language.authorization(Purchase::of(stan, 100));
            for (number, text) in &mut fields {
                match number {
                    2 => *text = card.pan.clone(),
                    14 => *text = card.expiry.clone(),
                    _ => {}
                }
            }
            payer.send(100, &borrowed(&fields));
        }
        for _ in 0..64 {
            assert_eq!(payer.receive().field(39), "00");
        }
    }
    assert_eq!(ask(&mut connect(other(100), http), "/readyz"), 200);
    let trouble = ["too many files are open", "the disk is full"];
    assert!(!trouble.iter().any(|text| switch.has_logged(text)));
    assert!(switch.stop().success());
}

fn under_open_files(most: u64) -> [String; 2] {
    ["prlimit".to_owned(), format!("--nofile={most}:{most}")]
}

#[test]
fn with_the_fewest_open_files_it_works_and_with_less_it_does_not_start() {
    let switch = Switch::start_under(&under_open_files(96), tempfile::tempdir().unwrap(), NETWORK);
    switch.wait_until_ready();
    let (http, visa) = (switch.http_address(), switch.address("visa"));
    let _idle: Vec<TcpStream> = (0..100)
        .map(|number| connect(other(2), if number % 2 == 0 { http } else { visa }))
        .collect();
    let account = switch.account(100_000);
    switch.card(&account, &json!({}));
    assert_eq!(ask(&mut connect(other(3), http), "/readyz"), 200);

    let folder = switch.into_folder();
    let [program, limit] = under_open_files(95);
    let refused = told(
        Command::new(program)
            .args([&*limit, env!("CARGO_BIN_EXE_cardswitch")])
            .args(["serve", "--config", "cardswitch.toml"])
            .current_dir(folder.path()),
    );
    assert_eq!(refused.code, Some(1), "{}", refused.error);
    let sentence =
        "this process may open 95 files and sockets (ulimit -n), and the switch needs 96";
    assert!(refused.error.contains(sentence), "{}", refused.error);
}

#[test]
fn where_the_system_gives_no_connection_idle_ones_end_for_it() {
    let mut switch = Switch::start(NETWORK);
    switch.wait_until_ready();
    let (id, http) = (switch.process_id(), switch.http_address());
    let open = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap();
    let number = |name: &std::ffi::OsStr| name.to_str()?.parse::<u64>().ok();
    let open = open.filter_map(|entry| number(&entry.unwrap().file_name()));
    let open: Vec<u64> = open.collect();
    let scarce = Rlimit {
        current: Some(open.iter().max().unwrap() + 4),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    let before = prlimit(Some(id), Resource::Nofile, scarce).unwrap();
    let more_than_fit = scarce.current.unwrap() as usize - open.len() + 8;
    let idle = (0..more_than_fit).map(|_| connect(other(2), http));
    let idle: Vec<TcpStream> = idle.collect();
    // Sooner than those that ask nothing end by themselves.
    assert_eq!(ask(&mut connect(other(3), http), "/healthz"), 200);
    assert!(open_ones(&idle) < idle.len());
    prlimit(Some(id), Resource::Nofile, before).unwrap();
    assert!(switch.stop().success());
}

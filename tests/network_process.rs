//! The real binary against peers that misbehave, vanish, or are very many; and how it starts and ends.

mod support;

use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use support::client::{Client, Language};
use support::messages::{Purchase, borrowed};
use support::{Switch, wait_until};

const VISA_NETWORK: &str = "[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n";

fn start(settings: &str) -> Switch {
    Switch::start(&format!("{VISA_NETWORK}{settings}"))
}

/// Does business, though of a card that nobody issued.
fn does_business(client: &mut Client, stan: u32) {
    let answer = client.authorize(Purchase::of(stan, 100));
    let told = (answer.mti, answer.field(39), &*answer.field(11).to_owned());
    assert_eq!(told, (110, "15", &*format!("{stan:06}")));
}

#[test]
fn garbage_and_over_long_frames_close_their_connection_with_a_logged_reason() {
    let switch = start("framing = \"ascii-4\"\n");
    let language = Language::new("iso8583-1987-ascii", "ascii-4", "none");
    let address = switch.address("visa");
    let mut other = Client::speaking(language.clone(), address);
    does_business(&mut other, 1);

    let mut browser = Client::speaking(language.clone(), address);
    browser.send_bytes(b"GET / HTTP/1.1\r\nHost: switch\r\n\r\n");
    browser.wait_for_close();
    switch.wait_for_log("disconnected: expected four ASCII digits at the start of a frame");

    let mut over_long = Client::speaking(language, address);
    over_long.send_bytes(b"9999");
    over_long.wait_for_close();
    switch.wait_for_log("disconnected: frame of 9999 bytes, at most 8192 are taken");

    let mut telnet = Client::speaking(other.language.clone(), address);
    telnet.send_bytes(b"0012HELLO SWITCH");
    telnet.wait_for_close();
    switch.wait_for_log(
        "disconnected: a frame that holds no message: MTI at offset 0: expected four digits, found `AAAA`",
    );

    let mut cut_short = Client::speaking(other.language.clone(), address);
    cut_short.send_bytes(b"001001007234F0");
    cut_short.wait_for_close();
    switch.wait_for_log("bitmap at offset 4: expected 16 bytes where 6 are left");

    does_business(&mut other, 2);
}

#[test]
fn a_peer_that_writes_one_byte_at_a_time_is_answered() {
    let switch = start("");
    let mut slow = Client::connect(switch.address("visa"));
    let mut other = Client::connect(switch.address("visa"));
    let purchase = slow.language.authorization(Purchase::of(1, 100));
    let frame = slow.language.frame(&[], 100, &borrowed(&purchase));
    for (at, byte) in frame.iter().enumerate() {
        slow.send_bytes(&[*byte]);
        if at % 50 == 0 {
            does_business(&mut other, 100 + at as u32);
        }
    }
    assert_eq!(slow.receive().field(11), "000001");
}

#[test]
fn a_peer_that_never_reads_is_closed_and_others_do_not_notice() {
    let switch = start("write_timeout_s = 1\n");
    let mut deaf = Client::connect(switch.address("visa"));
    SockRef::from(&deaf.stream)
        .set_recv_buffer_size(4_096)
        .unwrap();
    deaf.stream
        .set_write_timeout(Some(support::DEADLINE))
        .unwrap();
    let echo = deaf.language.management("echo", 1);
    let many = deaf
        .language
        .frame(&[], 800, &borrowed(&echo))
        .repeat(1_000);
    // It writes and writes, until the switch has had enough.
    let writer = std::thread::spawn(move || {
        while deaf.stream.write_all(&many).is_ok() {}
        deaf
    });
    let mut other = Client::connect(switch.address("visa"));
    let mut stan = 0;
    wait_until("the slow reader is closed", || {
        stan += 1;
        does_business(&mut other, stan);
        switch.has_logged("disconnected: the peer does not read its answers")
    });
    let mut deaf = writer.join().unwrap();
    deaf.wait_for_close();
    does_business(&mut other, stan + 1);
}

#[test]
fn a_peer_that_is_gone_without_a_word_is_found_out() {
    let switch = start("idle_echo_s = 1\nresponse_timeout_s = 1\n");
    let mut gone = Client::connect(switch.address("visa"));
    does_business(&mut gone, 1);
    // It hears the echo request as little as if its machine were off.
    let echo = gone.receive();
    assert_eq!((echo.mti, echo.field(70)), (800, "301"));
    gone.wait_for_close();
    switch.wait_for_log("the peer did not answer a network management request");

    let mut there = Client::connect(switch.address("visa"));
    for _ in 0..2 {
        let echo = there.receive();
        let fields = [
            (7, echo.field(7)),
            (11, echo.field(11)),
            (39, "00"),
            (70, "301"),
        ];
        there.send(810, &fields);
    }
    does_business(&mut there, 2);
}

#[test]
fn a_peer_that_stops_in_the_middle_of_a_frame_is_found_out() {
    let switch = start("idle_echo_s = 1\nresponse_timeout_s = 1\n");
    let mut gone = Client::connect(switch.address("visa"));
    gone.send_bytes(&[0, 200, b'0', b'1']);
    assert_eq!(gone.receive().field(70), "301");
    gone.wait_for_close();
    switch.wait_for_log("the peer did not answer a network management request");
}

#[test]
fn a_peer_that_is_silent_for_too_long_is_closed() {
    let switch = start("idle_echo_s = 0\nidle_close_s = 1\n");
    let mut silent = Client::connect(switch.address("visa"));
    does_business(&mut silent, 1);
    silent.wait_for_close();
    switch.wait_for_log("the peer has been silent for too long");
}

#[test]
fn a_peer_that_resets_with_answers_on_their_way_harms_nobody() {
    let switch = start("");
    let mut other = Client::connect(switch.address("visa"));
    for round in 0..20 {
        let mut rude = Client::connect(switch.address("visa"));
        for stan in 0..20 {
            let purchase = rude
                .language
                .authorization(Purchase::of(round * 20 + stan, 1));
            rude.send(100, &borrowed(&purchase));
        }
        SockRef::from(&rude.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(rude);
        does_business(&mut other, 1_000 + round);
    }
}

#[test]
fn a_connection_with_nothing_to_wait_for_takes_no_processor_time() {
    let switch = start("idle_echo_s = 0\nidle_close_s = 0\n");
    let mut idle = Client::connect(switch.address("visa"));
    does_business(&mut idle, 1);
    let before = switch.processor_ticks();
    // Not for something to happen: the stretch of time over which nothing must.
    std::thread::sleep(Duration::from_secs(1));
    let used = switch.processor_ticks() - before;
    assert!(used < 30, "{used} hundredths of a second");
    does_business(&mut idle, 2);
}

/// The switch starts with a soft limit of 1,024 open files and raises it itself.
#[test]
fn ten_thousand_idle_connections_leave_room_for_business() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        allowed >= 10_500,
        "needs `ulimit -Hn` of 10500, not {allowed}"
    );

    let mut switch = start("");
    let address = switch.address("visa");
    let mut idle: Vec<TcpStream> = (0..10_000)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let mut busy = Client::connect(address);
    for stan in 1..=200 {
        does_business(&mut busy, stan);
    }
    // None of them was dropped: each would have something to read then.
    for stream in &mut idle {
        stream.set_nonblocking(true).unwrap();
        let read = stream.read(&mut [0]);
        assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    // And each is served still.
    for stream in idle.drain(..).step_by(1_000) {
        stream.set_nonblocking(false).unwrap();
        let mut client = Client::over(Language::default(), stream);
        assert_eq!(client.manage("echo", 1).field(39), "00");
    }
    assert!(switch.is_running());
    assert!(switch.stop().success());
}

#[test]
fn a_busy_port_ends_the_start_with_one_clear_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = format!("[[network]]\nname = \"visa\"\nlisten = \"{address}\"\n");
    let mut switch = Switch::spawn(tempfile::TempDir::new().unwrap(), &config);
    assert_eq!(switch.wait_for_end().code(), Some(1));
    let sentence = format!(
        "cardswitch: network `visa`: cannot listen on {address}: Address already in use (os error 98); is another process using it?"
    );
    let log = switch.log();
    let plain: Vec<&str> = log.iter().filter_map(|entry| entry.as_str()).collect();
    assert_eq!(plain, [sentence]);
}

#[test]
fn told_to_stop_it_answers_what_is_in_flight_and_ends_well() {
    let mut switch = start("");
    let mut client = Client::connect(switch.address("visa"));
    does_business(&mut client, 1);
    let mut idle = Client::connect(switch.address("visa"));
    assert_eq!(idle.manage("echo", 1).field(39), "00");
    switch.ask_to_stop();
    client.wait_for_close();
    idle.wait_for_close();
    assert_eq!(switch.wait_for_end().code(), Some(0));
    switch.wait_for_log("stopping");
}

#[test]
fn killed_and_started_again_it_gives_a_repeat_its_first_answer() {
    let switch = start("");
    let mut client = Client::connect(switch.address("visa"));
    let purchase = Purchase::of(1, 100);
    let first = client.authorize(purchase);
    assert_eq!(first.field(39), "15");

    let switch = switch.kill_and_restart();
    let recovered = |switch: &Switch| switch.logged_number("recovered", "records").unwrap();
    let records = recovered(&switch);
    let mut client = Client::connect(switch.address("visa"));
    assert_eq!(client.authorize(purchase), first);
    let fields = client.language.authorization(purchase);
    assert_eq!(client.exchange(101, &borrowed(&fields)), first);
    assert_eq!(client.authorize(Purchase::of(1, 200)).field(39), "94");

    // The repeats decided nothing anew: only the other amount left a record.
    let switch = switch.kill_and_restart();
    assert_eq!(recovered(&switch), records + 1);
}

#[test]
fn the_log_names_the_dialect_that_is_spoken() {
    let folder = tempfile::TempDir::new().unwrap();
    let dialect = "name = \"my-acquirer\"\nextends = \"iso8583-1987-ascii\"\n";
    std::fs::write(folder.path().join("mine.toml"), dialect).unwrap();
    let network =
        "[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\ndialect_file = \"mine.toml\"\n";
    let switch = Switch::start_in(folder, network);
    let log = switch.log();
    let listening = |entry: &&serde_json::Value| entry["fields"]["network"] == "visa";
    let line = log.iter().find(listening).unwrap();
    assert_eq!(line["fields"]["dialect"], "my-acquirer", "{line}");
}

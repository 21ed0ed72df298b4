//! `kill -9` in the middle of full load, again and again on one data folder: every answered approval is
//! still held afterwards, a repeat gets the very answer that was given, and no balance moved otherwise.
//!
//! Three rounds by default; `CARDSWITCH_CRASH_ROUNDS=20 cargo test --release --test kill_recovery` for more.

mod support;

use cardswitch::iso8583::Frame;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use support::api::TestCard;
use support::client::Received;
use support::{Client, Switch};

const FUNDS_MINOR: i64 = 500_000_000;
const CONNECTIONS: u32 = 4;
const IN_FLIGHT: usize = 64;
/// Each connection of each round has its own.
const STANS_PER_RUN: u32 = 12_000;

/// Small segments and frequent snapshots, so that the kills meet every kind of moment.
const CONFIG: &str = r#"
[sandbox]
enabled = true
[shards]
count = 2
[snapshots]
every_records = 5000
[journal]
segment_size_bytes = 4194304
pending_limit_bytes = 1048576
reserve_bytes = 4194304
# A machine busy with builds may hang in a sync: here everything waits for it.
stall_refuse_ms = 0
[[network]]
name = "visa"
listen = "127.0.0.1:0"
"#;

/// A message as it was sent, and its answer if one came.
#[derive(Clone)]
struct Sent {
    card: usize,
    amount_minor: i64,
    /// The STAN of the authorization that this one reverses.
    reverses: Option<u32>,
    answer: Option<Received>,
}

struct Load {
    cards: Vec<TestCard>,
}

impl Load {
    fn frame(&self, stan: u32, sent: &Sent, repeat: bool) -> Vec<u8> {
        let card = &self.cards[sent.card];
        let class = if sent.reverses.is_some() { 400 } else { 100 };
        let original = sent.reverses.map(|stan| (100, stan));
        let mti = class + u16::from(repeat);
        card.frame(mti, stan, sent.amount_minor, original)
    }

    /// Sends until the connection breaks; gives everything that was sent.
    fn run(&self, mut peer: Client, first_stan: u32) -> HashMap<u32, Sent> {
        let mut sent: HashMap<u32, Sent> = HashMap::new();
        let mut stan = first_stan;
        let mut approved = Vec::new();
        let mut waiting = 0;
        loop {
            while waiting < IN_FLIGHT && stan < first_stan + STANS_PER_RUN - 1 {
                stan += 1;
                let reverses = if stan.is_multiple_of(5) {
                    approved.pop()
                } else {
                    None
                };
                let next = match reverses
                    .and_then(|original: u32| Some((original, sent.get(&original)?.clone())))
                {
                    Some((original, of)) => Sent {
                        reverses: Some(original),
                        answer: None,
                        ..of
                    },
                    None => {
                        let amount_minor = i64::from(stan % 997 + 1);
                        Sent {
                            card: stan as usize % self.cards.len(),
                            amount_minor,
                            reverses: None,
                            answer: None,
                        }
                    }
                };
                let frame = self.frame(stan, &next, false);
                sent.insert(stan, next);
                if peer.stream.write_all(&frame).is_err() {
                    return sent;
                }
                waiting += 1;
            }
            let answer = match peer.next_frame() {
                Ok(Some(Frame::Message { header, body })) => peer.read(&header, &body),
                Ok(_) => return sent,
                Err(error) => {
                    assert_ne!(error.kind(), ErrorKind::WouldBlock, "no answer in time");
                    return sent;
                }
            };
            waiting -= 1;
            let stan: u32 = answer.field(11).parse().unwrap();
            if answer.mti == 110 && answer.field(39) == "00" {
                approved.push(stan);
            }
            sent.get_mut(&stan).unwrap().answer = Some(answer);
        }
    }

    /// Repeats every message: what was answered gets that answer again, the rest gets one now.
    fn settle(&self, address: SocketAddr, sent: &mut HashMap<u32, Sent>) -> usize {
        let mut peer = Client::connect(address);
        let mut order: Vec<u32> = sent.keys().copied().collect();
        order.sort_unstable();
        let mut unanswered = 0;
        for stan in order {
            let entry = sent.get_mut(&stan).unwrap();
            peer.send_bytes(&self.frame(stan, entry, true));
            let again = peer.receive();
            match &entry.answer {
                Some(first) => assert_eq!(*first, again, "the repeat of {stan} got another answer"),
                None => {
                    unanswered += 1;
                    entry.answer = Some(again);
                }
            }
        }
        unanswered
    }
}

/// What must be held after all of this.
fn held_minor(sent: &HashMap<u32, Sent>) -> i64 {
    let approved = |entry: &&Sent| {
        entry
            .answer
            .as_ref()
            .is_some_and(|answer| answer.field(39) == "00")
    };
    let signed = |entry: &Sent| {
        if entry.reverses.is_some() {
            -entry.amount_minor
        } else {
            entry.amount_minor
        }
    };
    sent.values().filter(approved).map(signed).sum()
}

#[test]
fn what_was_answered_survives_kill_9_under_full_load() {
    let rounds =
        std::env::var("CARDSWITCH_CRASH_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    let mut switch = Switch::start(CONFIG);
    switch.wait_until_ready();
    let account = switch.account(FUNDS_MINOR);
    let cards = (0..8).map(|_| switch.card(&account, &json!({}))).collect();
    let load = Arc::new(Load { cards });
    let (mut held, mut messages, mut cut_off) = (0, 0, 0);
    for round in 0..rounds {
        let runs: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                // Before the time of the load begins: a busy machine may start the thread late.
                let (load, peer) = (load.clone(), Client::connect(switch.address("visa")));
                let first_stan = (round % 20 * CONNECTIONS + connection) * STANS_PER_RUN;
                std::thread::spawn(move || load.run(peer, first_stan))
            })
            .collect();
        // Not a wait for something to happen: the length of the load before the cut.
        std::thread::sleep(Duration::from_millis(150 + u64::from(round * 71 % 200)));
        switch = switch.kill_and_restart();
        switch.wait_until_ready();
        let mut sent = HashMap::new();
        runs.into_iter()
            .for_each(|run| sent.extend(run.join().unwrap()));
        messages += sent.len();
        cut_off += load.settle(switch.address("visa"), &mut sent);
        held += held_minor(&sent);
        let now = switch.good("GET", &format!("/v1/accounts/{account}"), &Value::Null);
        assert_eq!(now["held"], held, "round {round}");
        assert_eq!(now["posted"], FUNDS_MINOR, "round {round}");
        assert_eq!(now["available"], FUNDS_MINOR - held, "round {round}");
    }
    println!(
        "{rounds} kills, {messages} messages, {cut_off} of them without an answer at the kill"
    );
    assert!(cut_off > 0, "the kills came when nothing was under way");
    assert!(switch.stop().success());
}

//! How fast webhooks are told, to a receiver on this machine that answers at once: many endpoints that each want a little
//! of everything, and few that want all. As a test it is small and shows that nothing is lost; with `CARDSWITCH_SOAK` it
//! is large and prints what it measures (`--nocapture`).

mod support;

use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::api::TestCard;
use support::{Client, Switch};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

const CONFIG: &str = "[store]\nurl = \"sqlite\"\n[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n";

/// How long a measurement may take before it has failed.
const PATIENCE: Duration = Duration::from_secs(900);

/// Messages under way in a burst.
const IN_FLIGHT: u32 = 64;

fn is_soak() -> bool {
    std::env::var_os("CARDSWITCH_SOAK").is_some()
}

/// What came, by endpoint and STAN: when first.
type Received = Arc<Mutex<HashMap<(u32, u32), Instant>>>;

/// Takes every call at once. Endpoints are told apart by the last part of their path.
struct Receiver {
    address: SocketAddr,
    received: Received,
}

impl Receiver {
    fn start() -> Receiver {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let received = Received::default();
        let kept = received.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, kept.clone()));
                }
            });
        });
        Receiver { address, received }
    }

    fn url(&self, endpoint: u32) -> String {
        format!("http://{}/{endpoint}", self.address)
    }

    fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// Waits until so many different events came; gives when the last did.
    fn wait_for(&self, count: usize, since: Instant) -> Instant {
        let mut told = Instant::now();
        while self.count() < count {
            assert!(since.elapsed() < PATIENCE, "{} of {count}", self.count());
            if is_soak() && told.elapsed() > Duration::from_secs(20) {
                told = Instant::now();
                let (so_far, after) = (self.count(), since.elapsed().as_secs());
                println!("  {so_far} of {count} after {after} s");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        *self.received.lock().unwrap().values().max().unwrap()
    }
}

async fn serve(stream: tokio::net::TcpStream, received: Received) {
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    let (mut line, mut body) = (String::new(), Vec::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let path = line.split(' ').nth(1).unwrap();
        let endpoint: u32 = path[1..].parse().unwrap();
        let mut length = 0;
        loop {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            match line.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        body.resize(length, 0);
        stream.read_exact(&mut body).await.unwrap();
        let now = Instant::now();
        let text = std::str::from_utf8(&body).unwrap();
        let place = text.find("\"stan\":\"").unwrap() + 8;
        let stan: u32 = text[place..place + 6].parse().unwrap();
        received
            .lock()
            .unwrap()
            .entry((endpoint, stan))
            .or_insert(now);
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        stream.get_mut().write_all(answer).await.unwrap();
    }
}

/// A switch with cards to pay with, each linked to a project of its own.
struct Scene {
    switch: Switch,
    receiver: Receiver,
    cards: Vec<TestCard>,
    client: Client,
    stan: u32,
}

impl Scene {
    fn new(cards: u32) -> Scene {
        let switch = Switch::start(CONFIG);
        switch.wait_until_ready();
        let account = switch.account(1_000_000_000);
        let card = |project| card(&switch, &account, project);
        let cards = (0..cards).map(card).collect();
        let client = Client::connect(switch.address("visa"));
        let receiver = Receiver::start();
        Scene {
            switch,
            receiver,
            cards,
            client,
            stan: 0,
        }
    }

    /// Endpoints from 0 on that hear of approvals; of one project each, or of all.
    fn subscribe(&self, endpoints: u32, of_project: bool) {
        for endpoint in 0..endpoints {
            let mut body = json!({
                "url": self.receiver.url(endpoint), "events": ["authorization.approved"],
            });
            if of_project {
                body["links"] = json!([{"type": "project", "id": endpoint.to_string()}]);
            }
            self.switch.good("POST", "/v1/webhook_endpoints", &body);
        }
    }

    fn send(&mut self) {
        self.stan += 1;
        let card = &self.cards[self.stan as usize % self.cards.len()];
        self.client.send_bytes(&card.frame(100, self.stan, 1, None));
    }

    /// Pays so often, as fast as answers come; gives when the first one came.
    fn burst(&mut self, payments: u32) -> Instant {
        let mut first = None;
        for sent in 0..payments + IN_FLIGHT {
            if sent < payments {
                self.send();
            }
            if sent >= IN_FLIGHT {
                assert_eq!(self.client.receive().field(39), "00");
                first.get_or_insert_with(Instant::now);
            }
        }
        first.unwrap()
    }

    /// Pays so often, one payment each `every`; gives when each STAN was answered.
    fn paced(&mut self, payments: u32, every: Duration) -> BTreeMap<u32, Instant> {
        let start = Instant::now();
        let mut answered = BTreeMap::new();
        for place in 0..payments {
            let due = every * place;
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            self.send();
            assert_eq!(self.client.receive().field(39), "00");
            answered.insert(self.stan, Instant::now());
        }
        answered
    }

    /// Rows of events that were read to be told.
    fn events_read(&self) -> u64 {
        self.metric("cardswitch_webhook_events_read_total")
    }

    fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.switch.api("GET", "/metrics", &Value::Null);
        let text = text.as_str().unwrap();
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let line = lines.find(|(known, _)| *known == name);
        line.unwrap().1.parse().unwrap()
    }
}

fn card(switch: &Switch, account: &str, project: u32) -> TestCard {
    let body = json!({
        "account_id": account, "type": "virtual",
        "links": [{"type": "project", "id": project.to_string()}],
    });
    let id = switch.good("POST", "/v1/cards", &body)["id"].clone();
    let path = format!("/v1/cards/{}/reveal", id.as_str().unwrap());
    let shown = switch.good("POST", &path, &json!({"reason": "test"}));
    let text = |name: &str| shown[name].as_str().unwrap().to_owned();
    let expiry = |name: &str| shown[name].as_u64().unwrap() % 100;
    TestCard {
        id: id.as_str().unwrap().to_owned(),
        pan: text("pan"),
        cvv2: text("cvv2"),
        expiry: format!("{:02}{:02}", expiry("exp_year"), expiry("exp_month")),
    }
}

/// Half, 99 of a hundred, and the longest, in microseconds.
fn spread(mut latencies: Vec<Duration>) -> (u128, u128, u128) {
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_micros();
    (at(50), at(99), at(100))
}

/// Each of many endpoints wants a little of what happens, and hears of that and nothing else. The rows are read once for
/// all of them.
#[test]
fn many_endpoints_that_each_want_a_little() {
    let (endpoints, payments) = if is_soak() {
        (1_000, 10_000)
    } else {
        (60, 600)
    };
    let mut scene = Scene::new(endpoints);
    scene.subscribe(endpoints, true);
    let before = scene.events_read();
    let start = scene.burst(payments);
    let answered = start.elapsed();
    let last = scene.receiver.wait_for(payments as usize, start) - start;
    let read = scene.events_read() - before;
    println!(
        "{endpoints} endpoints that want one project each, {payments} events: answered in {answered:.1?}, told in {last:.1?} \
         ({:.0} deliveries/s), {read} rows read",
        f64::from(payments) / last.as_secs_f64()
    );
    let events = u64::from(payments);
    assert!((events..2 * events).contains(&read), "{read} rows read");
    for (endpoint, stan) in scene.receiver.received.lock().unwrap().keys() {
        assert_eq!(stan % endpoints, *endpoint);
    }
}

/// Deliveries a second of a burst, and how long after its answer a payment is heard of.
fn all_hear_all(endpoints: u32, burst: u32, paced: u32) {
    let mut scene = Scene::new(8);
    scene.subscribe(endpoints, false);
    let start = scene.burst(burst);
    let deliveries = (burst * endpoints) as usize;
    let last = scene.receiver.wait_for(deliveries, start) - start;
    let read = scene.events_read();
    println!(
        "{endpoints} endpoints that want all, {burst} events: told in {last:.1?} ({:.0} deliveries/s), {read} rows read",
        deliveries as f64 / last.as_secs_f64()
    );
    let answered = scene.paced(paced, Duration::from_millis(20));
    let deliveries = deliveries + (paced * endpoints) as usize;
    scene.receiver.wait_for(deliveries, Instant::now());
    let received = scene.receiver.received.lock().unwrap();
    let latencies = received.iter().filter_map(|((_, stan), at)| {
        let answered = answered.get(stan)?;
        Some(at.saturating_duration_since(*answered))
    });
    let (p50, p99, max) = spread(latencies.collect());
    println!(
        "{endpoints} endpoints that want all, 50 payments/s, answer to receipt: p50 {p50} us, p99 {p99} us, max {max} us"
    );
}

#[test]
fn one_endpoint_that_wants_all() {
    let (burst, paced) = if is_soak() { (10_000, 500) } else { (200, 10) };
    all_hear_all(1, burst, paced);
}

#[test]
fn a_hundred_endpoints_that_want_all() {
    let (burst, paced) = if is_soak() { (500, 200) } else { (10, 3) };
    all_hear_all(100, burst, paced);
}

//! The real program on a small disk that fills up: authorizations are refused in the words of each dialect,
//! reversals are taken, every message is answered, and it goes on, tables included, when there is room.

mod support;

use serde_json::{Value, json};
use std::collections::HashMap;
use support::api::TestCard;
use support::client::{Client, Language, Received};
use support::small_disk::SmallDisk;
use support::{Switch, wait_until};
use tempfile::TempDir;

const FUNDS_MINOR: i64 = 100_000_000;
const AMOUNT_MINOR: i64 = 100;
const IN_FLIGHT: u32 = 64;

/// One segment of 2 MiB ahead.
const CONFIG: &str = r#"
[sandbox]
enabled = true
[journal]
segment_size_bytes = 2097152
pending_limit_bytes = 1048576
reserve_bytes = 2097152
[[network]]
name = "visa"
listen = "127.0.0.1:0"
[[network]]
name = "visa1993"
listen = "127.0.0.1:0"
dialect = "iso8583-1993-ascii"
"#;

/// A switch on a disk of its own, with an account and a card.
struct Scene {
    switch: Switch,
    disk: SmallDisk,
    account: String,
    card: TestCard,
    language: Language,
    /// Authorizations by STAN, as they were answered.
    answers: HashMap<u32, Received>,
    reversed: i64,
}

impl Scene {
    fn set() -> Scene {
        let folder = TempDir::new().unwrap();
        let disk = SmallDisk::over(&folder.path().join("data"), 32);
        let switch = Switch::start_under(&disk.under(), folder, CONFIG);
        switch.wait_until_ready();
        let account = switch.account(FUNDS_MINOR);
        let card = switch.card(&account, &json!({}));
        Scene {
            switch,
            disk,
            account,
            card,
            language: Language::default(),
            answers: HashMap::new(),
            reversed: 0,
        }
    }

    fn frame(&self, mti: u16, stan: u32, original: u32) -> Vec<u8> {
        let (stan_text, rrn) = (format!("{stan:06}"), format!("{original:012}"));
        let amount = format!("{AMOUNT_MINOR:012}");
        let original_data = format!("0100{original:06}1124010203{:011}{:011}", 123_456, 0);
        let mut fields = vec![
            (2, self.card.pan.as_str()),
            (3, "000000"),
            (4, amount.as_str()),
            (7, "1124010203"),
            (11, stan_text.as_str()),
            (12, "010203"),
            (13, "1124"),
            (14, self.card.expiry.as_str()),
            (18, "7311"),
            (22, "812"),
            (32, "123456"),
            (37, rrn.as_str()),
            (41, "TERM0001"),
            (42, "MERCHANT0000001"),
            (49, "840"),
        ];
        if mti == 400 {
            fields.push((90, original_data.as_str()));
        }
        self.language.frame(&[], mti, &fields)
    }

    /// Authorizes with these STANs, many in flight, until one is answered with `code`; none goes unanswered.
    fn authorize_until(&mut self, code: &str, mut stans: std::ops::Range<u32>) {
        let mut peer = Client::connect(self.switch.address("visa"));
        let (mut waiting, mut met) = (0, false);
        while waiting > 0 || !met {
            while waiting < IN_FLIGHT && !met {
                let Some(stan) = stans.next() else { break };
                peer.send_bytes(&self.frame(100, stan, stan));
                waiting += 1;
            }
            assert!(waiting > 0, "no {code} came");
            let answer = peer.receive();
            waiting -= 1;
            let known = ["00", "96"].contains(&answer.field(39));
            assert!(known && answer.mti == 110, "{answer:?}");
            met |= answer.field(39) == code;
            let stan = answer.field(11).parse().unwrap();
            assert!(
                self.answers.insert(stan, answer).is_none(),
                "answered twice"
            );
        }
    }

    /// Reverses `originals` under STANs from `first` on; gives how many were answered before the end.
    fn reverse(&mut self, originals: &[u32], first: u32) -> usize {
        let mut peer = Client::connect(self.switch.address("visa"));
        let (mut sent, mut answered) = (0, 0);
        while answered < originals.len() {
            while sent < originals.len() && sent - answered < IN_FLIGHT as usize {
                let frame = self.frame(400, first + sent as u32, originals[sent]);
                if std::io::Write::write_all(&mut peer.stream, &frame).is_err() {
                    return answered;
                }
                sent += 1;
            }
            let Ok(Some(cardswitch::iso8583::Frame::Message { header, body })) = peer.next_frame()
            else {
                return answered;
            };
            let answer = peer.read(&header, &body);
            assert_eq!((answer.mti, answer.field(39)), (410, "00"), "{answer:?}");
            answered += 1;
        }
        answered
    }

    fn approved(&self) -> Vec<u32> {
        let mut stans: Vec<u32> = self.answers.keys().copied().collect();
        stans.retain(|stan| self.answers[stan].field(39) == "00");
        stans.sort_unstable();
        stans
    }

    /// What is held is what was approved and not reversed, to the cent.
    fn check_money(&self) {
        let path = format!("/v1/accounts/{}", self.account);
        let now = self.switch.good("GET", &path, &Value::Null);
        let held = (self.approved().len() as i64 - self.reversed) * AMOUNT_MINOR;
        assert_eq!(
            (&now["held"], &now["posted"]),
            (&json!(held), &json!(FUNDS_MINOR))
        );
    }

    /// A repeat of each gets the answer that was given.
    fn check_repeats(&self, stans: &[u32]) {
        let mut peer = Client::connect(self.switch.address("visa"));
        for stan in stans {
            peer.send_bytes(&self.frame(101, *stan, *stan));
            assert_eq!(peer.receive(), self.answers[stan], "{stan}");
        }
    }

    fn metric(&self, name: &str) -> String {
        let (_, text) = self.switch.api("GET", "/metrics", &Value::Null);
        let text = text.as_str().unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_default().to_owned()
    }

    fn projection_is(&self, state: &str) -> bool {
        let name = format!("cardswitch_projection_state{{state=\"{state}\"}}");
        self.metric(&name) == "1"
    }
}

#[test]
fn a_full_disk_refuses_authorizations_takes_reversals_and_loses_nothing() {
    let mut scene = Scene::set();
    scene.authorize_until("00", 1..2);
    assert_eq!(scene.metric("cardswitch_journal_disk_full"), "0");
    wait_until("the reserve is whole", || {
        scene.metric("cardswitch_journal_reserve_bytes") == "2097152"
    });
    scene.disk.fill();
    scene.authorize_until("96", 2..40_000);
    scene.switch.wait_for_log("the disk is full");
    assert_eq!(scene.metric("cardswitch_journal_disk_full"), "1");
    // In the words of the other dialect, and of the REST interface.
    let mut of_1993 = Client::speaking(
        Language::new("iso8583-1993-ascii", "length-2-be", "none"),
        scene.switch.address("visa1993"),
    );
    let refused = of_1993.authorize(support::messages::Purchase::of(1, 100));
    assert_eq!((refused.mti, refused.field(39)), (1110, "909"));
    let top_up = json!({"amount": 1, "currency": "USD", "method": "internal"});
    let path = format!("/v1/accounts/{}/top_ups", scene.account);
    let (status, body) = scene.switch.api("POST", &path, &top_up);
    assert_eq!(
        (status, &body["error"]["code"]),
        (503, &json!("disk_full")),
        "{body}"
    );
    // Reversals are taken, and repeats answered.
    let approved = scene.approved();
    let (reversed, kept) = approved.split_at(100);
    scene.reversed = scene.reverse(reversed, 100_000) as i64;
    assert_eq!(scene.reversed, 100);
    scene.check_repeats(&kept[..50]);
    wait_until("the tables cannot be written", || {
        scene.projection_is("refused")
    });

    scene.disk.free();
    scene
        .switch
        .wait_for_log("the journal's reserve is whole again");
    assert_eq!(scene.metric("cardswitch_journal_disk_full"), "0");
    scene.authorize_until("00", 50_000..50_500);
    wait_until("the tables have caught up", || {
        scene.projection_is("following")
            && scene.metric("cardswitch_projection_behind_records") == "0"
    });
    scene.check_money();
    assert!(scene.switch.is_running());
    scene.switch = scene.switch.kill_and_restart();
    scene.switch.wait_until_ready();
    scene.check_money();
    scene.check_repeats(&kept[50..150]);
    assert!(scene.switch.stop().success());
}

#[test]
fn a_reserve_that_ends_stops_the_switch_and_loses_nothing() {
    let mut scene = Scene::set();
    scene.disk.fill();
    scene.authorize_until("96", 1..40_000);
    let approved = scene.approved();
    // More reversals than the reserve has room for: of originals that are there, and of unknown ones.
    let unknown = (200_000..260_000).collect::<Vec<_>>();
    let originals = [&approved[..100], &unknown].concat();
    let answered = scene.reverse(&originals, 300_000);
    assert!(
        (1_000..originals.len()).contains(&answered),
        "{answered} answered"
    );
    assert_eq!(scene.switch.wait_for_end().code(), Some(3));
    assert!(scene.switch.has_logged("the journal has failed"));
    let why = format!("{:?}", scene.switch.log());
    assert!(
        why.contains("reserve is used up (no space left); free space there"),
        "{why}"
    );
    scene.disk.free();
    scene.switch = scene.switch.restart();
    scene.switch.wait_until_ready();
    scene.reversed = 100;
    scene.check_money();
    scene.check_repeats(&approved[100..200]);
    assert!(scene.switch.stop().success());
}

/// SQL and the archive are copies: neither keeps the switch from starting.
#[test]
fn a_start_on_a_full_disk_takes_reversals_and_goes_on_when_there_is_room() {
    for archive in ["there", "gone"] {
        let mut scene = Scene::set();
        scene.authorize_until("00", 1..200);
        wait_until("the reserve is whole", || {
            scene.metric("cardswitch_journal_reserve_bytes") == "2097152"
        });
        // An orderly stop: what SQLite keeps beside its file while it is open is gone.
        assert!(scene.switch.stop().success());
        if archive == "gone" {
            std::fs::remove_dir_all(scene.disk.folder().join("archive")).unwrap();
        }
        scene.disk.fill();
        scene.switch = scene.switch.restart();
        scene.switch.wait_until_ready();
        let approved = scene.approved();
        scene.reversed = scene.reverse(&approved[..20], 100_000) as i64;
        assert_eq!(scene.reversed, 20);
        scene.check_money();
        scene.check_repeats(&approved[20..30]);
        wait_until("the tables say no", || scene.projection_is("refused"));
        let (status, body) = scene.switch.api("GET", "/v1/authorizations", &Value::Null);
        assert_eq!(
            (status, &body["error"]["code"]),
            (503, &json!("store_unavailable")),
            "{archive}: {body}"
        );
        assert!(
            scene
                .switch
                .has_logged("decisions go on without the tables")
        );
        // One that is there may need a little room too, to be opened.
        let opens_late = scene.switch.has_logged("the archive cannot be opened now");
        assert!(opens_late || archive == "there");

        scene.disk.free();
        wait_until("the tables have caught up", || {
            scene.projection_is("following")
                && scene.metric("cardswitch_projection_behind_records") == "0"
        });
        if archive == "gone" {
            scene.switch.wait_for_log("the archive is complete again");
        }
        scene.authorize_until("00", 50_000..50_100);
        scene.check_money();
        assert!(scene.switch.stop().success());
    }
}

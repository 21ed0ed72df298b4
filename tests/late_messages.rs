//! Messages that come long after their payment was forgotten, through the real program: after `kill -9`, without the
//! archive, and with one that is no archive at all.

mod support;

use serde_json::{Value, json};
use support::api::TestCard;
use support::{Client, Switch};

const FUNDS_MINOR: i64 = 1_000_000;

/// Memory has room for one closed authorization, and snapshots come often.
const CONFIG: &str = r#"
[sandbox]
enabled = true
[shards]
count = 2
[limits]
closed_per_shard_max = 1
[snapshots]
every_records = 10
[[network]]
name = "visa"
listen = "127.0.0.1:0"
"#;

struct Conversation {
    switch: Switch,
    account: String,
    card: TestCard,
}

impl Conversation {
    /// Sends a message and gives its DE39.
    fn send(&self, mti: u16, stan: u32, of: u32) -> String {
        let mut peer = Client::connect(self.switch.address("visa"));
        let original = (mti / 100 == 4).then_some((200, of));
        peer.send_bytes(&self.card.frame(mti, stan, 1_000, original));
        peer.receive().field(39).to_owned()
    }

    fn posted(&self) -> Value {
        let path = format!("/v1/accounts/{}", self.account);
        self.switch.good("GET", &path, &Value::Null)["posted"].clone()
    }

    fn reverse(&self, stan: u32, of: u32, left: i64) {
        assert_eq!(self.send(420, stan, of), "00", "reversal of {of}");
        assert_eq!(
            self.posted(),
            FUNDS_MINOR - left,
            "after the reversal of {of}"
        );
    }

    fn restart(mut self, before: impl FnOnce(&std::path::Path)) -> Conversation {
        assert!(self.switch.stop().success());
        before(&self.switch.folder().join("data/archive"));
        self.switch = self.switch.restart();
        self.switch.wait_until_ready();
        self
    }
}

#[test]
fn a_late_reversal_finds_its_payment_after_a_kill_without_the_archive_and_with_a_damaged_one() {
    let switch = Switch::start(CONFIG);
    switch.wait_until_ready();
    let account = switch.account(FUNDS_MINOR);
    let card = switch.card(&account, &json!({}));
    let mut talk = Conversation {
        switch,
        account,
        card,
    };
    for stan in 1..=8 {
        assert_eq!(talk.send(200, stan, stan), "00");
    }
    assert_eq!(talk.posted(), FUNDS_MINOR - 8_000);

    talk.switch = talk.switch.kill_and_restart();
    talk.switch.wait_until_ready();
    talk.reverse(101, 1, 7_000);
    let (_, metrics) = talk.switch.api("GET", "/metrics", &Value::Null);
    let mut metrics = metrics.as_str().unwrap().lines();
    let found = metrics.find(|line| line.starts_with("cardswitch_archive_found_total"));
    assert_eq!(found, Some("cardswitch_archive_found_total 1"));

    talk = talk.restart(|archive| std::fs::remove_dir_all(archive).unwrap());
    talk.switch.wait_for_log("the archive is complete again");
    talk.reverse(103, 3, 6_000);

    talk = talk.restart(|archive| {
        std::fs::write(archive.join("archive.redb"), b"this is no archive").unwrap();
    });
    talk.switch
        .wait_for_log("the archive cannot be read and is begun anew");
    talk.switch.wait_for_log("the archive is complete again");
    talk.reverse(104, 4, 5_000);
    // Once more, by another message: it was reversed already.
    talk.reverse(105, 1, 5_000);
    assert!(talk.switch.stop().success());
}

/// The token stands for another card by then: what it paid for is under the card of that time.
#[test]
fn a_late_reversal_by_token_finds_its_payment_in_the_archive_after_a_reissue_and_a_kill() {
    let switch = Switch::start(CONFIG);
    switch.wait_until_ready();
    let account = switch.account(FUNDS_MINOR);
    let card = switch.card(&account, &json!({}));
    let number = "5555555555554444";
    let wanted = json!({"card_id": card.id, "wallet": "apple_pay", "token_number": number});
    let token = switch.good("POST", "/v1/tokens", &wanted);
    let token = format!("/v1/tokens/{}", token["id"].as_str().unwrap());
    switch.good("POST", &format!("{token}/activate"), &json!({}));
    let by_token = TestCard {
        pan: number.into(),
        ..card
    };
    let mut talk = Conversation {
        switch,
        account,
        card: by_token,
    };
    for stan in 1..=3 {
        assert_eq!(talk.send(200, stan, stan), "00");
    }
    let path = format!("/v1/cards/{}/reissue", talk.card.id);
    let new = talk.switch.good("POST", &path, &json!({"reason": "lost"}));
    assert_eq!(
        talk.switch.good("GET", &token, &Value::Null)["card_id"],
        new["id"]
    );
    for stan in 4..=6 {
        assert_eq!(talk.send(200, stan, stan), "00", "by the new card");
    }
    assert_eq!(talk.posted(), FUNDS_MINOR - 6_000);
    talk.switch = talk.switch.kill_and_restart();
    talk.switch.wait_until_ready();
    talk.reverse(101, 1, 5_000);
    talk.reverse(105, 5, 4_000);
    let (_, metrics) = talk.switch.api("GET", "/metrics", &Value::Null);
    let mut metrics = metrics.as_str().unwrap().lines();
    let found = metrics.find(|line| line.starts_with("cardswitch_archive_found_total"));
    assert_eq!(found, Some("cardswitch_archive_found_total 2"));
    // What came back does so once.
    talk.reverse(106, 1, 4_000);
    assert!(talk.switch.stop().success());
}

//! Somebody who has a card's number tries its CVV2 over a real connection: after ten wrong ones of a day the right one is
//! answered as they are, also after a restart from a snapshot and one from the journal alone; and who may gives tries back.

mod support;

use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::api::TestCard;
use support::client::{Client, Language};
use support::{Switch, wait_until};

const CONFIG: &str = r#"
[sandbox]
enabled = true
[snapshots]
every_records = 5
[[network]]
name = "visa"
listen = "127.0.0.1:0"
"#;

/// One peer of the switch, and the messages that it has sent.
struct Merchant {
    client: Client,
    stan: u32,
}

impl Merchant {
    fn at(switch: &Switch, stan: u32) -> Merchant {
        Merchant {
            client: Client::connect(switch.address("visa")),
            stan,
        }
    }

    /// DE39 for a purchase of 1.00 that states these.
    fn asks(&mut self, card: &TestCard, cvv2: Option<&str>, expiry: Option<&str>) -> String {
        self.stan += 1;
        let (stan, rrn) = (format!("{:06}", self.stan), format!("{:012}", self.stan));
        let de48 = cvv2.map(|cvv2| format!("9203{cvv2}"));
        let mut fields = vec![
            (2, card.pan.as_str()),
            (3, "000000"),
            (4, "000000000100"),
            (7, "1124010203"),
            (11, &stan),
            (12, "010203"),
            (13, "1124"),
        ];
        fields.extend(expiry.map(|expiry| (14, expiry)));
        fields.extend([
            (18, "7311"),
            (22, "812"),
            (32, "123456"),
            (37, &rrn),
            (41, "TERM0001"),
            (42, "MERCHANT0000001"),
        ]);
        fields.extend(de48.as_deref().map(|de48| (48, de48)));
        fields.push((49, "840"));
        let frame = Language::default().frame(&[], 100, &fields);
        self.client.send_bytes(&frame);
        self.client.receive().field(39).to_owned()
    }
}

fn wrong(cvv2: &str, by: u32) -> String {
    format!("{:03}", (cvv2.parse::<u32>().unwrap() + by) % 1_000)
}

fn has_snapshot(switch: &Switch) -> bool {
    switch.has_logged("made a snapshot")
}

/// What the merchant hears; the same, whatever is right. The day must not end meanwhile.
fn attack() {
    let switch = Switch::start(CONFIG);
    switch.wait_until_ready();
    let account = switch.account(100_000);
    let card = switch.card(&account, &json!({}));
    let (right, expiry) = (card.cvv2.clone(), card.expiry.clone());
    let (right, expiry) = (Some(right.as_str()), Some(expiry.as_str()));
    let mut merchant = Merchant::at(&switch, 0);
    for by in 1..=10 {
        let tried = wrong(&card.cvv2, by);
        assert_eq!(merchant.asks(&card, Some(&tried), expiry), "05", "{by}");
    }
    let tried = wrong(&card.cvv2, 11);
    let all_alike = |merchant: &mut Merchant| {
        let answers = [
            merchant.asks(&card, right, expiry),
            merchant.asks(&card, Some(&tried), expiry),
            merchant.asks(&card, right, None),
            merchant.asks(&card, None, expiry),
            merchant.asks(&card, None, Some("2801")),
        ];
        assert_eq!(answers, ["75"; 5].map(String::from));
        // What states nothing tells nothing.
        assert_eq!(merchant.asks(&card, None, None), "00");
    };
    all_alike(&mut merchant);

    wait_until("there is a snapshot", || has_snapshot(&switch));
    let mut switch = switch;
    assert!(switch.stop().success());
    let switch = switch.restart();
    switch.wait_until_ready();
    let mut merchant = Merchant::at(&switch, 100);
    all_alike(&mut merchant);

    // Nothing but the journal.
    let mut switch = switch;
    assert!(switch.stop().success());
    let data = switch.folder().join("data");
    let removed = remove_snapshots(&data);
    assert!(removed > 0, "no snapshot was in {}", data.display());
    let switch = switch.restart();
    switch.wait_until_ready();
    let mut merchant = Merchant::at(&switch, 200);
    all_alike(&mut merchant);

    assert_told(&switch, &card);
    given_back(&switch, &card);
    assert_eq!(merchant.asks(&card, right, expiry), "00");
    assert_eq!(merchant.asks(&card, Some(&tried), expiry), "05");
    assert_eq!(merchant.asks(&card, right, expiry), "00");
}

/// Every file that is a snapshot, wherever they lie.
fn remove_snapshots(folder: &std::path::Path) -> usize {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            removed += remove_snapshots(&path);
        } else if name.starts_with("snapshot-") {
            std::fs::remove_file(&path).unwrap();
            removed += 1;
        }
    }
    removed
}

/// The customer sees why, and how many there were.
fn assert_told(switch: &Switch, card: &TestCard) {
    let path = format!(
        "/v1/authorizations?card_id={}&reason=verification_tries_exceeded&limit=1",
        card.id
    );
    let mut list = Value::Null;
    wait_until("the declines are in the list", || {
        list = switch.good("GET", &path, &Value::Null);
        list["data"].as_array().is_some_and(|data| !data.is_empty())
    });
    let declined = &list["data"][0];
    assert_eq!(declined["decision"]["response_code"], "75", "{declined}");
    assert_eq!(declined["decision"]["step"], "verification");
    let trace = declined["trace"].as_array().unwrap();
    let step = trace.iter().find(|step| step["step"] == "verification");
    let step = step.unwrap();
    assert_eq!(step["result"], "fail");
    assert_eq!(
        (&step["detail"]["failed"], &step["detail"]["allowed"]),
        (&json!(10), &json!(10)),
        "{step}"
    );
    assert!(step["detail"]["resets_at"].is_string(), "{step}");
    let shown = switch.good("GET", &format!("/v1/cards/{}", card.id), &Value::Null);
    assert_eq!(shown["failed_verifications_today"], 10);
}

/// Twice is as good as once.
fn given_back(switch: &Switch, card: &TestCard) {
    let path = format!("/v1/cards/{}/reset_verification_tries", card.id);
    for _ in 0..2 {
        let shown = switch.good("POST", &path, &json!({}));
        assert_eq!(shown["failed_verifications_today"], 0);
        assert_eq!(shown["status"], "active");
    }
    let unknown = "/v1/cards/card_0000000000001/reset_verification_tries";
    let (status, answer) = switch.api("POST", unknown, &json!({}));
    assert_eq!(
        (status, &answer["error"]["code"]),
        (404, &json!("card_not_found"))
    );
}

#[test]
fn after_ten_wrong_cvv2s_the_right_one_is_answered_as_a_wrong_one() {
    let seconds_of_day = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        since.as_secs() % (24 * 3_600)
    };
    // With the end of the day all may be tried again.
    while seconds_of_day() > 24 * 3_600 - 120 {
        std::thread::sleep(Duration::from_secs(1));
    }
    attack();
}

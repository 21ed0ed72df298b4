//! `/v1/simulate/…` against the running program: every kind of message in every dialect, framed and signed on as each
//! network asks, and what it comes to.

mod support;

use cardswitch::iso8583::Dialect;
use serde_json::{Value, json};
use support::client::Client;
use support::switch::Switch;
use support::waiting::wait_until;

/// Framing, header and sign-on of the network of each dialect, in the order of the dialects: n0, n1 and so on.
const LINES: [(&str, &str, &str); 6] = [
    ("length-2-be", "none", "required"),
    ("length-2-be", "tpdu", "send"),
    ("ascii-4", "none", "optional"),
    ("length-4-be", "tpdu", "none"),
    ("length-2-be-zeros", "base1", "required"),
    ("length-2-be", "none", "send"),
];

/// Of the dialect in which messages are simulated, and the card that they are about.
struct Simulator<'s> {
    switch: &'s Switch,
    network: String,
    dialect: &'static str,
    account: String,
    card: String,
}

fn switch() -> Switch {
    let mut config = String::from("[sandbox]\nenabled = true\n");
    let dialects = Dialect::builtin_names();
    assert_eq!(dialects.len(), LINES.len());
    for (at, (dialect, (framing, header, sign_on))) in dialects.iter().zip(LINES).enumerate() {
        config += &format!(
            "[[network]]\nname = \"n{at}\"\nlisten = \"127.0.0.1:0\"\ndialect = \"{dialect}\"\n\
             framing = \"{framing}\"\nheader = \"{header}\"\nsign_on = \"{sign_on}\"\n"
        );
    }
    let switch = Switch::start(&config);
    switch.wait_until_ready();
    switch
}

/// One for each dialect, with 1,000.00 behind its card.
fn simulators(switch: &Switch) -> Vec<Simulator<'_>> {
    let dialects = Dialect::builtin_names().iter().enumerate();
    let simulators = dialects.map(|(at, dialect)| {
        let network = format!("n{at}");
        let program =
            json!({"name": "Ads", "network": network, "bin": "411111", "currency": "USD"});
        let program = switch.good("POST", "/v1/programs", &program);
        let account = json!({"program_id": program["id"]});
        let account = switch.good("POST", "/v1/accounts", &account);
        let account = account["id"].as_str().unwrap().to_owned();
        let top_up = json!({"amount": 100_000, "currency": "USD", "method": "internal"});
        switch.good("POST", &format!("/v1/accounts/{account}/top_ups"), &top_up);
        let body = json!({"account_id": account, "type": "virtual"});
        let card = switch.good("POST", "/v1/cards", &body);
        Simulator {
            switch,
            network,
            dialect,
            account,
            card: card["id"].as_str().unwrap().to_owned(),
        }
    });
    simulators.collect()
}

impl Simulator<'_> {
    fn sent(&self, what: &str, body: Value) -> (u16, Value) {
        self.switch
            .api("POST", &format!("/v1/simulate/{what}"), &body)
    }

    #[track_caller]
    fn send(&self, what: &str, body: Value) -> Value {
        let (status, told) = self.sent(what, body);
        assert_eq!(status, 201, "{} {what}: {told}", self.dialect);
        assert_eq!(told["simulated"]["dialect"], self.dialect);
        told
    }

    /// Of the card, over the network of its program.
    #[track_caller]
    fn of_card(&self, what: &str, mut body: Value) -> Value {
        body["card_id"] = json!(self.card);
        self.send(what, body)
    }

    #[track_caller]
    fn pay(&self, body: Value) -> Value {
        let paid = self.of_card("authorizations", body);
        assert_eq!(
            paid["decision"]["result"], "approved",
            "{}: {paid}",
            self.dialect
        );
        paid
    }

    fn authorization(&self, id: &Value) -> Value {
        let path = format!("/v1/authorizations/{}", id.as_str().unwrap());
        self.switch.good("GET", &path, &Value::Null)
    }

    fn available(&self) -> i64 {
        let path = format!("/v1/accounts/{}", self.account);
        let account = self.switch.good("GET", &path, &Value::Null);
        account["available"].as_i64().unwrap()
    }

    /// Message types of this dialect: of 1987 as they are, of 1993 a thousand more.
    fn mti(&self, number: u16) -> String {
        let is_1993 = self.dialect.contains("1993");
        format!("{:04}", number + if is_1993 { 1_000 } else { 0 })
    }
}

#[test]
fn a_card_an_amount_and_a_currency_are_enough() {
    let switch = switch();
    for simulator in simulators(&switch) {
        let mut body = json!({"amount": 1200, "currency": "USD"});
        let paid = simulator.pay(body.clone());
        let dialect = simulator.dialect;
        let id = &paid["id"];
        // The same as is read back, but for what was on the wire.
        let mut without = paid.clone();
        let on_the_wire = without
            .as_object_mut()
            .unwrap()
            .remove("simulated")
            .unwrap();
        assert_eq!(without, simulator.authorization(id), "{dialect}");
        assert_eq!(on_the_wire["request_mti"], simulator.mti(100));
        assert_eq!(on_the_wire["mti"], simulator.mti(110));
        assert_eq!(
            on_the_wire["response_code"],
            paid["decision"]["response_code"]
        );
        assert_eq!(on_the_wire["approval_code"], paid["approval_code"]);
        assert_eq!(on_the_wire["stan"], paid["network"]["stan"]);
        assert_eq!(on_the_wire["rrn"], paid["network"]["rrn"]);
        for (name, expected) in [
            ("status", json!("pending")),
            ("kind", json!("purchase")),
            ("amount", json!(1200)),
            ("entry_mode", json!("ecommerce")),
            ("channel", json!("ecommerce")),
        ] {
            assert_eq!(paid[name], expected, "{dialect} {name}");
        }
        let merchant = &paid["merchant"];
        assert_eq!(
            (&merchant["country"], &merchant["mcc"]),
            (&json!("US"), &json!("5999"))
        );
        // CVV2 and expiry were there, and right.
        let verified = paid["trace"].as_array().unwrap().iter();
        let mut verified = verified.filter(|step| step["step"] == "verification");
        assert_eq!(verified.next().unwrap()["result"], "pass", "{paid}");
        assert_eq!(simulator.available(), 98_800);
        // Without its currency it is the account's.
        body.as_object_mut().unwrap().remove("currency");
        assert_eq!(simulator.pay(body)["transaction_currency"], "USD");
    }
}

#[test]
fn what_is_to_be_wrong_is_declined_for_it() {
    let switch = switch();
    for simulator in simulators(&switch) {
        for (body, reason) in [
            (json!({"cvv2": "wrong"}), "cvv_mismatch"),
            (json!({"expiry": "wrong"}), "expiry_mismatch"),
            (json!({"amount": 100_001}), "insufficient_funds"),
            (
                json!({"kind": "cash_withdrawal", "amount": 0}),
                "invalid_amount",
            ),
        ] {
            let mut body = body;
            if body["amount"].is_null() {
                body["amount"] = json!(100);
            }
            let told = simulator.of_card("authorizations", body);
            assert_eq!(
                told["decision"]["reason"], reason,
                "{}: {told}",
                simulator.dialect
            );
            assert_eq!(told["status"], "declined");
            let (on_the_wire, code) = (&told["simulated"], &told["decision"]["response_code"]);
            assert_eq!(&on_the_wire["response_code"], code);
            assert_eq!(on_the_wire["approval_code"], Value::Null);
        }
        let absent = json!({"amount": 100, "cvv2": "absent", "expiry": "absent"});
        simulator.pay(absent);
    }
}

#[test]
fn every_kind_and_fact_reaches_the_decision_in_every_dialect() {
    let switch = switch();
    let kinds = [
        "purchase",
        "cash_withdrawal",
        "purchase_with_cash_back",
        "pre_authorization",
        "refund",
        "original_credit",
        "account_funding",
        "quasi_cash",
        "fuel_dispenser",
        "debit_adjustment",
        "credit_adjustment",
        "deposit",
    ];
    for simulator in simulators(&switch) {
        for kind in kinds {
            for message in ["request", "financial_request"] {
                // Nothing that is posted at once is a pre-authorization.
                if (kind, message) == ("pre_authorization", "financial_request") {
                    continue;
                }
                let paid = simulator.pay(json!({"amount": 100, "kind": kind, "message": message}));
                assert_eq!(
                    (&paid["kind"], &paid["message"]),
                    (&json!(kind), &json!(message))
                );
            }
        }
        let verified = simulator.pay(json!({"kind": "account_verification"}));
        assert_eq!(
            (&verified["kind"], &verified["status"]),
            (&json!("account_verification"), &json!("recorded"))
        );
        let said = json!({
            "amount": 1_000_000, "currency": "USD", "partial_approval_supported": true, "entry_mode": "chip",
            "channel": "point_of_sale", "acquirer_id": "412345", "terminal_id": "T-77",
            "merchant": {"id": "SHOP 1", "name": "A SHOP", "city": "RIO", "country": "BR", "mcc": "5732"},
            "stan": "004711", "rrn": "RRN000000001",
        });
        let part = simulator.of_card("authorizations", said);
        let dialect = simulator.dialect;
        assert_eq!(
            part["decision"]["result"], "partially_approved",
            "{dialect}: {part}"
        );
        assert_eq!(part["amount"], simulator_left(&part), "{dialect}");
        assert_eq!(
            (
                &part["approved_transaction_amount"],
                &part["decision"]["response_code"]
            ),
            (&part["amount"], &part["simulated"]["response_code"]),
            "{dialect}"
        );
        assert_eq!(
            part["simulated"]["additional_amounts"][0]["amount"],
            1_000_000
        );
        assert_eq!(
            (&part["entry_mode"], &part["channel"]),
            (&json!("chip"), &json!("point_of_sale"))
        );
        let merchant = json!({"id": "SHOP 1", "name": "A SHOP", "city": "RIO", "country": "BR", "mcc": "5732"});
        assert_eq!(part["merchant"], merchant, "{dialect}");
        let network = json!({"name": simulator.network, "stan": "004711", "rrn": "RRN000000001",
                             "acquirer_id": "412345", "terminal_id": "T-77"});
        assert_eq!(part["network"], network, "{dialect}");
    }
}

/// What the trace says was available.
fn simulator_left(told: &Value) -> Value {
    let steps = told["trace"].as_array().unwrap().iter();
    let mut steps = steps.filter(|step| step["step"] == "balance");
    steps.next().unwrap()["detail"]["available"].clone()
}

#[test]
fn three_d_secure_is_told_in_every_dialect() {
    let switch = switch();
    for simulator in simulators(&switch) {
        let controls = json!({"controls": {"three_ds": "required"}});
        let path = format!("/v1/cards/{}", simulator.card);
        simulator.switch.good("PATCH", &path, &controls);
        for (three_ds, reason) in [
            (json!("authenticated"), Value::Null),
            (
                json!({"authentication": "authenticated", "cryptogram": "valid"}),
                Value::Null,
            ),
            (
                json!({"authentication": "authenticated", "cryptogram": "invalid"}),
                json!("cavv_invalid"),
            ),
            (json!("not_authenticated"), json!("three_ds_required")),
            (Value::Null, json!("three_ds_required")),
        ] {
            let body = json!({"amount": 100, "three_ds": three_ds});
            let told = simulator.of_card("authorizations", body);
            assert_eq!(
                told["decision"]["reason"], reason,
                "{} {three_ds}: {told}",
                simulator.dialect
            );
        }
        let by_merchant = json!({"amount": 100, "merchant_initiated": true});
        let told = simulator.pay(by_merchant);
        let steps = told["trace"].as_array().unwrap().iter();
        let mut steps = steps.filter(|step| step["step"] == "three_ds");
        assert_eq!(steps.next().unwrap()["detail"]["initiated_by"], "merchant");
        let failed = json!({"amount": 100, "three_ds": "failed", "card_id": simulator.card});
        let (status, told) = simulator.sent("authorizations", failed);
        // The two networks send none of these on.
        match simulator.dialect.starts_with("iso") {
            true => assert_eq!(told["decision"]["reason"], "three_ds_failed"),
            false => {
                assert_eq!(
                    (status, &told["error"]["code"]),
                    (400, &json!("network_cannot_say"))
                );
                assert_eq!(told["error"]["param"], "three_ds.authentication");
            }
        }
    }
}

#[test]
fn what_follows_of_an_authorization_finds_it_in_every_dialect() {
    let switch = switch();
    for simulator in simulators(&switch) {
        let dialect = simulator.dialect;
        let held = simulator.pay(json!({"amount": 10_000, "kind": "pre_authorization"}));
        let id = held["id"].clone();
        let of = |what: &str, mut body: Value| {
            body["authorization_id"] = id.clone();
            simulator.send(what, body)
        };
        // Added, stated anew, and lowered.
        let added = of("increments", json!({"amount": 2_500}));
        assert_eq!(
            (&added["kind"], &added["status"]),
            (&json!("incremental"), &json!("merged")),
            "{dialect}"
        );
        assert_eq!(added["original_authorization_id"], id);
        assert_eq!(simulator.authorization(&id)["amount"], 12_500, "{dialect}");
        let stated = of("advices", json!({"amount": 11_000}));
        assert_eq!(
            (&stated["message"], &stated["status"]),
            (&json!("advice"), &json!("merged")),
            "{dialect}"
        );
        assert_eq!(simulator.authorization(&id)["amount"], 11_000, "{dialect}");
        let lowered = of(
            "reversals",
            json!({"remaining_amount": 9_000, "advice": true}),
        );
        assert_eq!(
            (&lowered["id"], &lowered["amount"]),
            (&id, &json!(9_000)),
            "{dialect}"
        );
        assert_eq!(lowered["simulated"]["mti"], simulator.mti(430));
        // Taken in two parts, where the dialect can say that more will follow.
        if dialect != "visa-base1" {
            let part = of("clearings", json!({"amount": 4_000, "final": false}));
            assert_eq!(
                (&part["object"], &part["amount"]),
                (&json!("transaction"), &json!(-4_000)),
                "{dialect}"
            );
            assert_eq!(
                simulator.authorization(&id)["status"],
                "partially_cleared",
                "{dialect}"
            );
        }
        let rest = of("clearings", json!({}));
        assert_eq!(
            (&rest["type"], &rest["authorization_id"]),
            (&json!("payment"), &id),
            "{dialect}"
        );
        assert_eq!(rest["merchant"], held["merchant"]);
        let cleared = simulator.authorization(&id);
        assert_eq!(
            (&cleared["status"], &cleared["posted"]),
            (&json!("cleared"), &json!(9_000)),
            "{dialect}"
        );
        assert_eq!(simulator.available(), 91_000);
        // Given back in part, and the rest undone.
        let back = of("refunds", json!({"amount": 1_000}));
        assert_eq!(
            (&back["type"], &back["amount"]),
            (&json!("refund"), &json!(1_000)),
            "{dialect}"
        );
        let undone = of("reversals", json!({}));
        assert_eq!(
            (&undone["status"], &undone["id"]),
            (&json!("reversed"), &id),
            "{dialect}"
        );
        assert_eq!(undone["simulated"]["original_unknown"], false);
        assert_eq!(simulator.available(), 101_000, "{dialect}");
    }
}

#[test]
fn advices_without_an_authorization_tell_what_the_network_did() {
    let switch = switch();
    for simulator in simulators(&switch) {
        let dialect = simulator.dialect;
        let approved = simulator.of_card("advices", json!({"amount": 300}));
        assert_eq!(
            (&approved["status"], &approved["approval_code"]),
            (&json!("pending"), &json!("SIMSTI")),
            "{dialect}"
        );
        let body = json!({"amount": 300, "declined_as": "insufficient_funds"});
        let declined = simulator.of_card("advices", body);
        assert_eq!(
            declined["decision"]["reason"], "stand_in_declined",
            "{dialect}"
        );
        for advice in [approved, declined] {
            assert_eq!(
                advice["decision"]["response_code"], advice["simulated"]["response_code"],
                "{dialect}"
            );
        }
        let forced = simulator.of_card("force_posts", json!({"amount": 700}));
        assert_eq!(
            (&forced["amount"], &forced["flags"]),
            (&json!(-700), &json!(["force_post"])),
            "{dialect}"
        );
        assert_eq!(forced["simulated"]["mti"], simulator.mti(230));
        let given = simulator.of_card("refunds", json!({"amount": 50}));
        assert_eq!(
            (&given["type"], &given["amount"]),
            (&json!("refund"), &json!(50)),
            "{dialect}"
        );
        let asked = simulator.of_card("balance_inquiries", json!({}));
        assert_eq!(
            (&asked["kind"], &asked["status"]),
            (&json!("balance_inquiry"), &json!("recorded"))
        );
        // Nothing of it is open.
        let id = asked["id"].as_str().unwrap();
        let expire = format!("/v1/authorizations/{id}/expire");
        let (status, refused) = simulator.switch.api("POST", &expire, &json!({}));
        assert_eq!(status, 409, "{dialect}: {refused}");
        assert_eq!(refused["error"]["code"], "nothing_held", "{dialect}");
        let amounts = json!([{"type": "01", "amount": 99_350, "currency": "USD"},
                             {"type": "02", "amount": 99_050, "currency": "USD"}]);
        assert_eq!(
            asked["simulated"]["additional_amounts"], amounts,
            "{dialect}"
        );
    }
}

#[test]
fn a_repeat_gets_the_first_answer_and_other_facts_under_its_numbers_none() {
    let switch = switch();
    for simulator in simulators(&switch) {
        let dialect = simulator.dialect;
        let first = simulator.pay(json!({"amount": 1_000}));
        let again = simulator.send("authorizations", json!({"repeat_of": first["id"]}));
        assert_eq!(again["id"], first["id"], "{dialect}");
        assert_eq!(again["simulated"]["request_mti"], simulator.mti(101));
        assert_eq!(again["approval_code"], first["approval_code"]);
        assert_eq!(simulator.available(), 99_000, "{dialect}: held once");
        let other = json!({"repeat_of": first["id"], "amount": 2_000});
        let (_, told) = simulator.sent("authorizations", other);
        let reason = (&told["decision"]["reason"], &told["error"]["code"]);
        assert!(
            reason.0 == "duplicate_transmission" || reason.1 == "duplicate_transmission",
            "{dialect}: {told}"
        );
        assert_eq!(simulator.available(), 99_000, "{dialect}: held once");
        // With all its numbers given, the same message can be sent again by saying it again.
        let body = json!({"amount": 500, "stan": "000009", "rrn": "ABCDEF123456", "sent_at": "2026-11-28T10:00:00Z"});
        let first = simulator.pay(body.clone());
        let mut body = body;
        body["repeat"] = json!(true);
        assert_eq!(simulator.pay(body)["id"], first["id"], "{dialect}");
        let (status, told) = simulator.sent("authorizations", json!({"repeat_of": first["id"]}));
        assert_eq!(
            (status, &told["error"]["param"]),
            (400, &json!("sent_at")),
            "{dialect}"
        );
    }
}

/// The numbers of a message come from the write, so that one that was cut off is the same when it is done again.
#[test]
fn a_key_gets_the_same_simulation_again() {
    let switch = switch();
    let simulator = &simulators(&switch)[0];
    let body = json!({"card_id": simulator.card, "amount": 100, "network": "n0"}).to_string();
    let send = || {
        let request = ureq::http::Request::builder()
            .method("POST")
            .uri(format!(
                "http://{}/v1/simulate/authorizations",
                switch.http_address()
            ))
            .header(
                "authorization",
                format!("Bearer {}", support::api::ROOT_KEY),
            )
            .header("idempotency-key", "one");
        let mut response = ureq::run(request.body(body.clone()).unwrap()).unwrap();
        response.body_mut().read_to_string().unwrap()
    };
    assert_eq!(send(), send());
    assert_eq!(simulator.available(), 99_900);
}

#[test]
fn a_token_pays_in_every_dialect_in_place_of_its_card_and_beside_it() {
    let switch = switch();
    for simulator in simulators(&switch) {
        let dialect = simulator.dialect;
        let wanted = json!({"card_id": simulator.card, "wallet": "apple_pay"});
        let token = switch.good("POST", "/v1/tokens", &wanted);
        let id = token["id"].as_str().unwrap();
        let change =
            |action: &str| switch.good("POST", &format!("/v1/tokens/{id}/{action}"), &json!({}));
        let both = ["pan_field", "token_field"];
        let asked = |place: &str| json!({"token_id": id, "token_in": place, "amount": 500});
        for (action, reason) in [
            ("", json!("token_not_active")),
            ("activate", Value::Null),
            ("suspend", json!("token_suspended")),
            ("resume", Value::Null),
        ] {
            if !action.is_empty() {
                change(action);
            }
            for place in both {
                let told = simulator.send("authorizations", asked(place));
                let named = [&told["card_id"], &told["token_id"]];
                assert_eq!(
                    named,
                    [&json!(simulator.card), &json!(id)],
                    "{dialect} {place}"
                );
                assert_eq!(
                    told["decision"]["reason"], reason,
                    "{dialect} {place}: {told}"
                );
                let code = &told["simulated"]["response_code"];
                assert_eq!(
                    code, &told["decision"]["response_code"],
                    "{dialect} {place}"
                );
            }
        }
        // What follows a payment names the token again, in either way, and finds it.
        for place in both {
            let paid = simulator.send("authorizations", asked(place));
            let of_it = |what: &str| {
                let body = json!({"authorization_id": paid["id"], "token_in": place});
                simulator.send(what, body)
            };
            let posted = of_it("clearings");
            assert_eq!(
                posted["authorization_id"], paid["id"],
                "{dialect} {place}: {posted}"
            );
            let refunded = of_it("refunds");
            assert_eq!(refunded["type"], "refund", "{dialect} {place}: {refunded}");
            let paid = simulator.send("authorizations", asked(place));
            let body = json!({"authorization_id": paid["id"], "token_in": place});
            let reversed = simulator.send("reversals", body);
            assert_eq!(
                reversed["status"], "reversed",
                "{dialect} {place}: {reversed}"
            );
            // The same message again gets the first answer, though the token may not pay any more.
            let paid = simulator.send("authorizations", asked(place));
            change("suspend");
            let again = json!({"repeat_of": paid["id"], "token_in": place});
            let again = simulator.send("authorizations", again);
            assert_eq!(again["id"], paid["id"], "{dialect} {place}");
            assert_eq!(
                again["simulated"]["response_code"],
                paid["simulated"]["response_code"]
            );
            change("resume");
        }
    }
}

/// Its numbers are those of the payment that came first, and so a message that names it would be about that one.
#[test]
fn what_was_declined_as_a_duplicate_is_not_named() {
    let switch = switch();
    for simulator in simulators(&switch) {
        let dialect = simulator.dialect;
        let first = simulator.pay(json!({"amount": 1_000}));
        let other = json!({"repeat_of": first["id"], "amount": 2_000});
        let (status, told) = simulator.sent("authorizations", other);
        if status != 201 {
            // It has no record of its own.
            assert_eq!(told["error"]["code"], "duplicate_transmission");
            continue;
        }
        assert_eq!(told["decision"]["reason"], "duplicate_transmission");
        for (what, more) in [
            ("reversals", json!({})),
            ("reversals", json!({"advice": true})),
            ("increments", json!({"amount": 500})),
            ("advices", json!({"amount": 500})),
            ("clearings", json!({"amount": 500})),
            ("refunds", json!({"amount": 500})),
        ] {
            let mut body = more;
            body["authorization_id"] = told["id"].clone();
            let (status, refused) = simulator.sent(what, body);
            let error = &refused["error"];
            assert_eq!(
                (status, &error["code"], &error["param"]),
                (
                    409,
                    &json!("duplicate_transmission"),
                    &json!("authorization_id")
                ),
                "{dialect} {what}: {refused}"
            );
        }
        assert_eq!(simulator.available(), 99_000, "{dialect}");
        let reversed = simulator.send("reversals", json!({"authorization_id": first["id"]}));
        assert_eq!(reversed["status"], "reversed", "{dialect}");
    }
}

/// What came with a processing code that no kind of ours has.
#[test]
fn what_no_simulated_message_can_say_is_refused_by_what_names_it() {
    let config =
        "[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n";
    let switch = Switch::start(config);
    switch.wait_until_ready();
    let account = switch.account(10_000);
    let card = switch.card(&account, &json!({}));
    let mut network = Client::connect(switch.address("visa"));
    let answer = network.exchange(
        100,
        &[
            (2, &card.pan),
            (3, "400000"),
            (4, "000000001000"),
            (7, "1124010203"),
            (11, "000001"),
            (12, "010203"),
            (13, "1124"),
            (14, &card.expiry),
            (18, "5999"),
            (22, "812"),
            (32, "123456"),
            (37, "000000000001"),
            (41, "TERM0001"),
            (42, "MERCHANT0000001"),
            (49, "840"),
        ],
    );
    assert_ne!(answer.field(39), "00");
    let path = format!("/v1/authorizations?card_id={}", card.id);
    let mut listed = Value::Null;
    wait_until("it is listed", || {
        listed = switch.good("GET", &path, &Value::Null)["data"][0].clone();
        listed["kind"] == "other"
    });
    let id = &listed["id"];
    for (what, body, param) in [
        (
            "reversals",
            json!({"authorization_id": id}),
            "authorization_id",
        ),
        (
            "clearings",
            json!({"authorization_id": id}),
            "authorization_id",
        ),
        (
            "advices",
            json!({"authorization_id": id, "amount": 5}),
            "authorization_id",
        ),
        (
            "authorizations",
            json!({"repeat_of": id, "sent_at": "2026-11-24T01:02:03Z"}),
            "repeat_of",
        ),
    ] {
        let (status, refused) = switch.api("POST", &format!("/v1/simulate/{what}"), &body);
        let error = &refused["error"];
        assert_eq!(
            (status, &error["param"]),
            (400, &json!(param)),
            "{what}: {refused}"
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("this one is `other`"), "{what}: {message}");
    }
}

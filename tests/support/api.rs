//! The REST interface of a running switch, as far as tests need it to set a scene.

use super::client::Language;
use super::event_data::check_answer;
use super::{DEADLINE, Switch, wait_until};
use cardswitch::api::error_codes::is_known;
use serde_json::{Value, json};

pub const ROOT_KEY: &str = "test-root-key-0123456789";

/// A card with what its holder knows.
pub struct TestCard {
    pub id: String,
    pub pan: String,
    pub cvv2: String,
    /// YYMM.
    pub expiry: String,
}

impl TestCard {
    /// A message of a payment online, framed: a request, or a reversal that names the message type and STAN of its
    /// original. Those of one payment have one RRN.
    pub fn frame(
        &self,
        mti: u16,
        stan: u32,
        amount_minor: i64,
        original: Option<(u16, u32)>,
    ) -> Vec<u8> {
        let (amount, stan_text) = (format!("{amount_minor:012}"), format!("{stan:06}"));
        let rrn = format!("{:012}", original.map_or(stan, |(_, of)| of));
        let of = original.unwrap_or_default();
        let original_data = format!("{:04}{:06}1124010203{:011}{:011}", of.0, of.1, 123_456, 0);
        let mut fields = vec![
            (2, self.pan.as_str()),
            (3, "000000"),
            (4, amount.as_str()),
            (7, "1124010203"),
            (11, stan_text.as_str()),
            (12, "010203"),
            (13, "1124"),
            (14, self.expiry.as_str()),
            (18, "7311"),
            (22, "812"),
            (32, "123456"),
            (37, rrn.as_str()),
            (41, "TERM0001"),
            (42, "MERCHANT0000001"),
            (49, "840"),
        ];
        if original.is_some() {
            fields.push((90, original_data.as_str()));
        }
        Language::default().frame(&[], mti, &fields)
    }
}

impl Switch {
    /// Waits until the REST interface takes requests.
    pub fn wait_until_ready(&self) {
        wait_until("the switch is ready", || {
            self.api("GET", "/readyz", &Value::Null).0 == 200
        });
    }

    /// Status and body of a request with the root key.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.api_as(ROOT_KEY, method, path, body)
    }

    /// As `api`, with another key.
    pub fn api_as(&self, key: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(DEADLINE))
            .build()
            .into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.http_address()))
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut response = agent.run(request.body(body).unwrap()).unwrap();
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().unwrap();
        let answer = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let word = |name: &str| answer["error"][name].as_str().unwrap_or_default();
        assert!(
            status < 400 || is_known(status, word("type"), word("code")),
            "not in src/api/error_codes.rs: {status} {answer}"
        );
        check_answer(path, &answer);
        (status, answer)
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

    /// A program in USD and an account with money; the account's id. Needs the sandbox.
    pub fn account(&self, funds_minor: i64) -> String {
        let program = json!({"name": "Ads", "network": "visa", "bin": "411111", "currency": "USD"});
        let program = self.good("POST", "/v1/programs", &program);
        let account = json!({"program_id": program["id"], "currency": "USD", "name": "test"});
        let account = self.good("POST", "/v1/accounts", &account)["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let top_up = json!({"amount": funds_minor, "currency": "USD", "method": "internal"});
        self.good("POST", &format!("/v1/accounts/{account}/top_ups"), &top_up);
        account
    }

    /// A virtual card on the account, revealed.
    pub fn card(&self, account: &str, controls: &Value) -> TestCard {
        let body = json!({"account_id": account, "type": "virtual", "controls": controls});
        let id = self.good("POST", "/v1/cards", &body)["id"]
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

//! The REST interface of a running switch, as far as tests need it to set a scene.

use super::{DEADLINE, Switch, wait_until};
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

impl Switch {
    /// Waits until the REST interface takes requests.
    pub fn wait_until_ready(&self) {
        wait_until("the switch is ready", || {
            self.api("GET", "/readyz", &Value::Null).0 == 200
        });
    }

    /// Status and body of a request with the root key.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(DEADLINE))
            .build()
            .into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.http_address()))
            .header("authorization", format!("Bearer {ROOT_KEY}"))
            .header("content-type", "application/json");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut response = agent.run(request.body(body).unwrap()).unwrap();
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().unwrap();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
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

//! Obtains cards over the REST API: a program, a master account with money, cards with assorted controls,
//! some of them frozen, all revealed. Blocking; for the simulator and the demo.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    cards::{
        BLOCKED_COUNTRY, BLOCKED_CURRENCY, BLOCKED_MCC, LOW_FUNDS_MINOR, Profile, SimCard,
        TRANSACTION_LIMIT_MINOR,
    },
    wall_clock::unix_time,
};

/// What to create.
#[derive(Clone, Debug)]
pub struct SeedOptions {
    /// How many cards.
    pub count: usize,
    /// Network of the program, such as `visa`.
    pub network: String,
    /// BIN of the program.
    pub bin: String,
    /// ISO 4217 code of program and accounts.
    pub currency: String,
    /// Money on the master account, in minor units.
    pub funds_minor: u64,
    /// Once cancelled, no further card is created.
    pub stop: CancellationToken,
}

impl Default for SeedOptions {
    fn default() -> SeedOptions {
        SeedOptions {
            count: 20,
            network: "visa".to_owned(),
            bin: "411111".to_owned(),
            currency: "USD".to_owned(),
            funds_minor: 10_000_000_000,
            stop: CancellationToken::new(),
        }
    }
}

/// Why cards could not be obtained. Never carries card data.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The API was not reached.
    #[error("{method} {path}: {problem}; is the API listening there?")]
    Transport {
        /// HTTP method.
        method: &'static str,
        /// Path.
        path: String,
        /// What the client said.
        problem: String,
    },
    /// The API refused.
    #[error("{method} {path}: {status}: {message}")]
    Refused {
        /// HTTP method.
        method: &'static str,
        /// Path.
        path: String,
        /// HTTP status.
        status: u16,
        /// Its error message.
        message: String,
    },
    /// The switch takes no top-ups.
    #[error(
        "the switch at {base} settles no top-ups, so its cards would have no money; set \
         `[sandbox] enabled = true` in its configuration and start it again"
    )]
    NoSandbox {
        /// Address of its API.
        base: String,
    },
    /// The answer lacks something, or it has another shape.
    #[error("POST {path}: the answer lacks `{field}`")]
    Shape {
        /// Path.
        path: String,
        /// The field.
        field: &'static str,
    },
}

struct Api<'a> {
    agent: ureq::Agent,
    base: &'a str,
    key: &'a str,
    run: u128,
    requests: u64,
}

/// The profile of card number `at`: four in ten without anything special.
fn profile(at: usize) -> Profile {
    match at % 10 {
        1 => Profile::Frozen,
        3 => Profile::MccBlock,
        4 => Profile::TransactionLimit,
        6 => Profile::CountryBlock,
        7 => Profile::CurrencyBlock,
        9 => Profile::LowFunds,
        5 => Profile::WindowLimit,
        _ => Profile::Ok,
    }
}

/// Controls in the shape of the API.
fn controls(profile: Profile) -> Value {
    let limit = |window: &str, amount: u64| {
        json!({"limits": [{
            "window": window, "amount": amount, "time_zone": "UTC",
        }]})
    };
    match profile {
        Profile::MccBlock => json!({"mcc": {"block": [format!("{BLOCKED_MCC:04}")]}}),
        Profile::CountryBlock => json!({"countries": {"block": [BLOCKED_COUNTRY]}}),
        Profile::CurrencyBlock => json!({"currencies": {"block": [BLOCKED_CURRENCY]}}),
        Profile::TransactionLimit => limit("transaction", TRANSACTION_LIMIT_MINOR),
        Profile::WindowLimit => limit("day", 500_000),
        _ => json!({}),
    }
}

/// Creates what the options ask for at `base` (such as `http://127.0.0.1:8080`); `progress` hears how
/// many cards there are.
pub fn seed(
    base: &str,
    key: &str,
    options: &SeedOptions,
    progress: impl Fn(usize),
) -> Result<Vec<SimCard>, SeedError> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .build();
    let mut api = Api {
        agent: config.into(),
        base: base.trim_end_matches('/'),
        key,
        run: unix_time().as_nanos(),
        requests: 0,
    };
    let program = api.create(
        "/v1/programs",
        json!({
            "name": "Simulated", "network": options.network, "bin": options.bin,
            "currency": options.currency,
        }),
    )?;
    let master = api.account(&program, "master", options, options.funds_minor)?;
    let mut poor = None;
    let mut cards = Vec::with_capacity(options.count);
    for at in (0..options.count).take_while(|_| !options.stop.is_cancelled()) {
        let profile = profile(at);
        let account = match (profile, &poor) {
            (Profile::LowFunds, Some(poor)) => poor,
            (Profile::LowFunds, None) => {
                let funds = LOW_FUNDS_MINOR / 2;
                &*poor.insert(api.account(&program, "nearly empty", options, funds)?)
            }
            _ => &master,
        };
        cards.push(api.card(account, at, profile, options)?);
        progress(cards.len());
    }
    Ok(cards)
}

impl Api<'_> {
    fn account(
        &mut self,
        program: &str,
        name: &str,
        options: &SeedOptions,
        funds_minor: u64,
    ) -> Result<String, SeedError> {
        let currency = &options.currency;
        let account = self.create(
            "/v1/accounts",
            json!({"program_id": program, "currency": currency, "parent_id": null, "name": name}),
        )?;
        self.post(
            &format!("/v1/accounts/{account}/top_ups"),
            json!({
                "amount": funds_minor, "currency": currency, "method": "internal", "settle": true,
                "external_reference": format!("cardsim-{}-{}", self.run, self.requests),
            }),
        )?;
        Ok(account)
    }

    fn card(
        &mut self,
        account: &str,
        at: usize,
        profile: Profile,
        options: &SeedOptions,
    ) -> Result<SimCard, SeedError> {
        let links = json!([
            {"type": "user", "id": format!("user{}", at % 7)},
            {"type": "project", "id": format!("project{}", at % 3)},
        ]);
        let card = self.create(
            "/v1/cards",
            json!({
                "account_id": account, "type": "virtual", "links": links,
                "controls": controls(profile),
            }),
        )?;
        let path = format!("/v1/cards/{card}/reveal");
        let secrets = self.post(&path, json!({"reason": "simulated network"}))?;
        if profile == Profile::Frozen {
            self.post(&format!("/v1/cards/{card}/freeze"), json!({}))?;
        }
        let lacks = |field| SeedError::Shape {
            path: path.clone(),
            field,
        };
        let text = |field: &'static str| secrets[field].as_str().ok_or_else(|| lacks(field));
        let number = |field: &'static str| secrets[field].as_u64().ok_or_else(|| lacks(field));
        let currency = options.currency.parse().map_err(|_| lacks("currency"))?;
        Ok(SimCard {
            pan: text("pan")?.parse().map_err(|_| lacks("pan"))?,
            exp_month: number("exp_month")? as u8,
            exp_year: number("exp_year")? as u16,
            cvv2: Some(text("cvv2")?.parse().map_err(|_| lacks("cvv2"))?),
            currency,
            profile,
        })
    }

    /// Posts and gives the id of what was created.
    fn create(&mut self, path: &str, body: Value) -> Result<String, SeedError> {
        let created = self.post(path, body)?;
        match created["id"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => Err(SeedError::Shape {
                path: path.to_owned(),
                field: "id",
            }),
        }
    }

    fn post(&mut self, path: &str, body: Value) -> Result<Value, SeedError> {
        self.requests += 1;
        let transport = |error: ureq::Error| SeedError::Transport {
            method: "POST",
            path: path.to_owned(),
            problem: error.to_string(),
        };
        let mut response = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("Authorization", format!("Bearer {}", self.key))
            .header(
                "Idempotency-Key",
                format!("cardsim-{}-{}", self.run, self.requests),
            )
            .send_json(&body)
            .map_err(transport)?;
        let status = response.status().as_u16();
        let answer: Result<Value, _> = response.body_mut().read_json();
        if !(200..300).contains(&status) {
            let code = answer.as_ref().map(|answer| &answer["error"]["code"]);
            if path.ends_with("/top_ups") && code.is_ok_and(|code| code == "not_supported") {
                let base = self.base.to_owned();
                return Err(SeedError::NoSandbox { base });
            }
            let message = answer.ok().and_then(|answer| {
                let error = &answer["error"];
                error["message"]
                    .as_str()
                    .or(error["code"].as_str())
                    .map(str::to_owned)
            });
            return Err(SeedError::Refused {
                method: "POST",
                path: path.to_owned(),
                status,
                message: message.unwrap_or_else(|| "no message".to_owned()),
            });
        }
        answer.map_err(transport)
    }
}

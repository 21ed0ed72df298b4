//! The configuration file: typed, then checked, with one clear sentence for what is wrong. What a key
//! means lives with the module that uses it and in `config/cardswitch.toml`.

use crate::engine::registry::EngineSettings;
use crate::journal::Settings as JournalSettings;
use crate::network::settings::NetworkSettings;
use crate::network::threads::ThreadSettings;
use crate::security::VaultSettings;
use crate::shard::inbox::QueueSettings;
use crate::shard::snapshots::SnapshotSettings;
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {file}: {error}")]
    Unreadable {
        file: PathBuf,
        error: std::io::Error,
    },
    #[error("{file}:{line}:{column}: {what}")]
    Invalid {
        file: PathBuf,
        line: usize,
        column: usize,
        what: String,
    },
    #[error("{variable}: {what}")]
    Variable { variable: String, what: String },
    #[error("{file}: {what}")]
    Inconsistent { file: PathBuf, what: String },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    pub data: Data,
    #[serde(default)]
    pub http: Http,
    #[serde(default)]
    pub store: Store,
    #[serde(default)]
    pub sandbox: Sandbox,
    #[serde(default)]
    pub journal: JournalSettings,
    #[serde(default)]
    pub snapshots: SnapshotSettings,
    #[serde(default)]
    pub shards: Shards,
    #[serde(default)]
    pub connections: ThreadSettings,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub vault: VaultSettings,
    #[serde(default)]
    pub log: Log,
    #[serde(default)]
    pub network: Vec<NetworkSettings>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    pub dir: PathBuf,
}

impl Default for Data {
    fn default() -> Data {
        Data {
            dir: "./data".into(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    pub listen: String,
}

impl Default for Http {
    fn default() -> Http {
        Http {
            listen: "127.0.0.1:8080".into(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// `sqlite`, `sqlite:FILE` or `postgres://user@host/database`.
    pub url: String,
}

impl Default for Store {
    fn default() -> Store {
        Store {
            url: "sqlite".into(),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    pub enabled: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shards {
    /// Threads that own account trees; may change at any start.
    pub count: usize,
    pub ordinary_max: usize,
    pub reserved: usize,
}

impl Default for Shards {
    fn default() -> Shards {
        let queues = QueueSettings::default();
        Shards {
            count: 1,
            ordinary_max: queues.ordinary_max,
            reserved: queues.reserved,
        }
    }
}

impl Shards {
    pub fn queues(&self) -> QueueSettings {
        QueueSettings {
            ordinary_max: self.ordinary_max,
            reserved: self.reserved,
        }
    }
}

/// Bounds and times that decisions depend on; a change is journalled at the next start.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub first_answer_minutes: u32,
    pub reversal_hours: u32,
    pub idempotency_hours: u32,
    pub hold_days: u32,
    pub open_holds_per_account_max: u32,
    pub open_holds_per_shard_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        let settings = EngineSettings::default();
        Limits {
            first_answer_minutes: 15,
            reversal_hours: 24,
            idempotency_hours: 24,
            hold_days: 7,
            open_holds_per_account_max: settings.open_holds_per_account_max,
            open_holds_per_shard_max: settings.open_holds_per_shard_max,
        }
    }
}

impl Limits {
    pub fn engine_settings(&self) -> EngineSettings {
        const MINUTE_MS: i64 = 60_000;
        EngineSettings {
            first_answer_retention_ms: i64::from(self.first_answer_minutes) * MINUTE_MS,
            reversal_retention_ms: i64::from(self.reversal_hours) * 60 * MINUTE_MS,
            idempotency_retention_ms: i64::from(self.idempotency_hours) * 60 * MINUTE_MS,
            hold_expiry_ms: i64::from(self.hold_days) * 24 * 60 * MINUTE_MS,
            open_holds_per_account_max: self.open_holds_per_account_max,
            open_holds_per_shard_max: self.open_holds_per_shard_max,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// As `RUST_LOG`: `info`, or `warn,cardswitch::network=debug`.
    pub filter: String,
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            filter: "info".into(),
            format: LogFormat::Text,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// Room for the largest piece that a shard hands to the journal, with some to spare.
const PENDING_LIMIT_BYTES_MIN: u64 = 1 << 20;

/// What the name of an overriding variable begins with: `CARDSWITCH__STORE__URL`.
const PREFIX: &str = "CARDSWITCH__";

impl Config {
    /// Reads the file and lets environment variables override keys outside `[[network]]`.
    pub fn load(
        file: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| ConfigError::Unreadable {
            file: file.to_owned(),
            error,
        })?;
        Config::parse(file, &text, environment)
    }

    /// As `load`, of a text that stands in for the file of that name.
    pub fn parse(
        file: &Path,
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let mut config: Config =
            toml::from_str(text).map_err(|error| invalid(file, text, &error))?;
        let mut overrides: Vec<_> = environment
            .filter(|(variable, _)| variable.starts_with(PREFIX))
            .collect();
        overrides.sort();
        if !overrides.is_empty() {
            let mut table: toml::Table =
                toml::from_str(text).map_err(|error| invalid(file, text, &error))?;
            for (variable, value) in overrides {
                set(&mut table, &variable, &value)?;
                let what = |error: toml::de::Error| error.message().to_owned();
                config = toml::Value::Table(table.clone())
                    .try_into()
                    .map_err(|error| ConfigError::Variable {
                        variable: variable.clone(),
                        what: what(error),
                    })?;
            }
        }
        config.check(file)?;
        Ok(config)
    }

    fn check(&self, file: &Path) -> Result<(), ConfigError> {
        let wrong = |what: String| {
            Err(ConfigError::Inconsistent {
                file: file.to_owned(),
                what,
            })
        };
        if self.shards.count == 0 || self.shards.count > 256 {
            return wrong("[shards] `count` must be 1 to 256".into());
        }
        if self.shards.ordinary_max == 0 || self.shards.reserved == 0 {
            return wrong("[shards] `ordinary_max` and `reserved` must be above 0".into());
        }
        if let Err(error) = self.journal.check() {
            return wrong(format!("[journal] {error}"));
        }
        if self.journal.pending_limit_bytes < PENDING_LIMIT_BYTES_MIN {
            return wrong(format!(
                "[journal] `pending_limit_bytes` must be at least {PENDING_LIMIT_BYTES_MIN}"
            ));
        }
        for (place, network) in self.network.iter().enumerate() {
            if let Err(error) = network.frame_codec() {
                return wrong(error.to_string());
            }
            if self.network[..place]
                .iter()
                .any(|earlier| earlier.name == network.name)
            {
                return wrong(format!(
                    "two [[network]] sections have the name `{}`",
                    network.name
                ));
            }
        }
        Ok(())
    }
}

/// Puts the value of `CARDSWITCH__SECTION__KEY` into the table, as the type that it reads as.
fn set(table: &mut toml::Table, variable: &str, value: &str) -> Result<(), ConfigError> {
    let error = |what: &str| ConfigError::Variable {
        variable: variable.into(),
        what: what.into(),
    };
    let path = variable[PREFIX.len()..].to_lowercase();
    let (section, key) = path
        .split_once("__")
        .ok_or_else(|| error("give a section and a key: CARDSWITCH__SECTION__KEY"))?;
    if section == "network" {
        return Err(error(
            "[[network]] sections cannot be overridden; edit the file",
        ));
    }
    let value = match value.parse::<toml::Value>() {
        Ok(toml::Value::Integer(number)) => toml::Value::Integer(number),
        Ok(toml::Value::Boolean(flag)) => toml::Value::Boolean(flag),
        _ => toml::Value::String(value.to_owned()),
    };
    let section = table
        .entry(section.to_owned())
        .or_insert_with(|| toml::Value::Table(toml::Table::new()));
    let section = section
        .as_table_mut()
        .ok_or_else(|| error("this section is not a table"))?;
    section.insert(key.to_owned(), value);
    Ok(())
}

/// Line, column and sentence; never the line's text, which may hold a key.
fn invalid(file: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let offset = error.span().map_or(0, |span| span.start).min(text.len());
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |last| last.chars().count())
        + 1;
    ConfigError::Invalid {
        file: file.to_owned(),
        line,
        column,
        what: error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let environment = environment
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        Config::parse(Path::new("c.toml"), text, environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_empty_file_has_the_defaults() {
        let config = parse("", &[]).unwrap();
        assert_eq!(config.http.listen, "127.0.0.1:8080");
        assert_eq!(config.store.url, "sqlite");
        assert!(!config.sandbox.enabled && config.network.is_empty());
        assert_eq!(config.limits.engine_settings(), EngineSettings::default());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            ("[data]\ndri = \"x\"", "c.toml:2:1: unknown field `dri`"),
            ("[http]\nlisten = 5", "c.toml:2:10: invalid type"),
            ("[shards]\ncount = 0", "[shards] `count` must be 1 to 256"),
            (
                "[[network]]\nname = \"a\"",
                "network `a`: give either `listen` or `connect`",
            ),
            (
                "[[network]]\nname = \"a\"\nlisten = \"x:1\"\nframing = \"no\"",
                "network `a`: `framing`",
            ),
            ("[data", "c.toml:1:"),
        ];
        for (text, expected) in cases {
            let error = parse(text, &[]).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn variables_override_the_file() {
        let config = parse(
            "[store]\nurl = \"sqlite\"",
            &[
                ("CARDSWITCH__STORE__URL", "postgres://u@h/d"),
                ("CARDSWITCH__SANDBOX__ENABLED", "true"),
                ("OTHER", "1"),
            ],
        );
        let config = config.unwrap();
        assert_eq!(config.store.url, "postgres://u@h/d");
        assert!(config.sandbox.enabled);
        let error = parse("", &[("CARDSWITCH__STORE__UR", "x")]).unwrap_err();
        assert!(
            error.starts_with("CARDSWITCH__STORE__UR: unknown field"),
            "{error}"
        );
        assert!(
            parse("", &[("CARDSWITCH__NETWORK__NAME", "x")])
                .unwrap_err()
                .contains("edit the file")
        );
    }

    #[test]
    fn an_error_does_not_show_a_key() {
        let error = parse("[vault]\nkey = secret\n", &[]).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}

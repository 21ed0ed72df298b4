//! The configuration file: typed, then checked, with one clear sentence for what is wrong. What a key
//! means lives with the module that uses it and in `config/cardswitch.toml`.

use crate::journal::Settings as JournalSettings;
use crate::network::settings::NetworkSettings;
use crate::network::threads::ThreadSettings;
use crate::security::VaultSettings;
use crate::shard::archive::ArchiveSettings;
use crate::shard::inbox::QueueSettings;
use crate::shard::snapshots::SnapshotSettings;
use address::{clash, has_port, no_port};
pub use limits::Limits;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use variables::Variable;

mod address;
mod limits;
mod place;
mod variables;

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
}

/// A key whose value was read and is not one: the way to it, as `["network", "0", "framing"]`, and a
/// sentence.
#[derive(Debug)]
pub struct WrongKey {
    pub path: Vec<String>,
    pub what: String,
}

impl WrongKey {
    pub fn new(path: &[&str], what: impl ToString) -> WrongKey {
        WrongKey {
            path: path.iter().map(|step| step.to_string()).collect(),
            what: what.to_string(),
        }
    }

    /// A key of the network section of this number, from 0.
    pub fn of_network(number: usize, key: &str, what: impl ToString) -> WrongKey {
        WrongKey::new(&["network", &number.to_string(), key], what)
    }

    /// Names the variable that has set the key, or else its place in the file.
    fn placed(self, file: &Path, text: &str, variables: &[Variable]) -> ConfigError {
        if let Some(by) = variables.iter().find(|by| by.path == self.path) {
            return ConfigError::Variable {
                variable: by.name.clone(),
                what: self.what,
            };
        }
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let (line, column) = place::of_key(text, &path).unwrap_or((1, 1));
        ConfigError::Invalid {
            file: file.to_owned(),
            line,
            column,
            what: self.what,
        }
    }
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
    pub archive: ArchiveSettings,
    #[serde(default)]
    pub shards: Shards,
    #[serde(default)]
    pub connections: ThreadSettings,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub vault: VaultSettings,
    #[serde(default)]
    pub webhooks: Webhooks,
    #[serde(default)]
    pub log: Log,
    #[serde(default)]
    pub network: Vec<NetworkSettings>,
}

/// `[webhooks]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhooks {
    /// How long events and the log of their deliveries are kept.
    pub retain_days: u32,
    /// Calls to customers' endpoints at once: those of webhooks, and as many that ask for decisions.
    pub calls_at_once_max: usize,
}

impl Default for Webhooks {
    fn default() -> Webhooks {
        Webhooks {
            retain_days: 30,
            calls_at_once_max: 2_048,
        }
    }
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
    /// What one API key may ask; 0 is no limit.
    pub requests_per_second: u32,
    /// What all keys of one tenant may ask together; 0 is no limit.
    pub requests_per_second_of_tenant: u32,
    pub connections_max: usize,
    /// Of one address.
    pub connections_per_address_max: usize,
}

impl Default for Http {
    fn default() -> Http {
        Http {
            listen: "127.0.0.1:8080".into(),
            requests_per_second: 5_000,
            requests_per_second_of_tenant: 10_000,
            connections_max: 1_000,
            connections_per_address_max: 256,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// `sqlite`, `sqlite:FILE` (a relative one is below `data.dir`) or `postgres://user@host/database`.
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

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// As `RUST_LOG`, by level and module: `info`, or `warn,cardswitch::network=debug`.
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

impl Config {
    /// Reads the file and lets environment variables override its keys.
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
        let mut table: toml::Table =
            toml::from_str(text).map_err(|error| invalid(file, text, &error))?;
        let mut found = Vec::new();
        for (name, value) in variables::overriding(environment) {
            let variable = variables::find(&table, name)?;
            variables::set(&mut table, &variable, &value)?;
            let what = |error: toml::de::Error| error.message().to_owned();
            config = toml::Value::Table(table.clone())
                .try_into()
                .map_err(|error| ConfigError::Variable {
                    variable: variable.name.clone(),
                    what: what(error),
                })?;
            found.push(variable);
        }
        config.find_files_beside(file, &found);
        match config.check() {
            Ok(()) => Ok(config),
            Err(wrong) => Err(wrong.placed(file, text, &found)),
        }
    }

    /// What `load` would have said, had it known what is wrong with this key.
    pub fn wrong_key(
        file: &Path,
        environment: impl Iterator<Item = (String, String)>,
        wrong: WrongKey,
    ) -> ConfigError {
        // It was read a moment ago; should it be gone, the sentence is right all the same.
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let table = toml::from_str(&text).unwrap_or_default();
        let found: Vec<Variable> = variables::overriding(environment)
            .filter_map(|(name, _)| variables::find(&table, name).ok())
            .collect();
        wrong.placed(file, &text, &found)
    }

    /// Checks what the types do not.
    fn check(&self) -> Result<(), WrongKey> {
        let wrong = |path: &[&str], what: &str| Err(WrongKey::new(path, what));
        if !has_port(&self.http.listen) {
            return wrong(&["http", "listen"], &no_port("[http] `listen`"));
        }
        let per_address_max = self.http.connections_per_address_max;
        for (key, bound) in [
            ("connections_max", self.http.connections_max),
            ("connections_per_address_max", per_address_max),
        ] {
            if !(1..=65_536).contains(&bound) {
                let what = format!("[http] `{key}` must be 1 to 65536");
                return wrong(&["http", key], &what);
            }
        }
        if !(1..=65_536).contains(&self.webhooks.calls_at_once_max) {
            let what = "[webhooks] `calls_at_once_max` must be 1 to 65536";
            return wrong(&["webhooks", "calls_at_once_max"], what);
        }
        if self.shards.count == 0 || self.shards.count > 256 {
            return wrong(&["shards", "count"], "[shards] `count` must be 1 to 256");
        }
        for (key, bound) in [
            ("ordinary_max", self.shards.ordinary_max),
            ("reserved", self.shards.reserved),
        ] {
            if bound == 0 {
                let what = format!("[shards] `{key}` must be above 0");
                return wrong(&["shards", key], &what);
            }
        }
        self.limits.check()?;
        if let Err(error) = self.journal.check() {
            let key = error.setting().unwrap_or_default();
            return wrong(&["journal", key], &error.to_string());
        }
        if self.journal.pending_limit_bytes < PENDING_LIMIT_BYTES_MIN {
            let what = format!(
                "[journal] `pending_limit_bytes` must be at least {PENDING_LIMIT_BYTES_MIN}"
            );
            return wrong(&["journal", "pending_limit_bytes"], &what);
        }
        self.check_networks()
    }

    fn check_networks(&self) -> Result<(), WrongKey> {
        for (number, network) in self.network.iter().enumerate() {
            if let Err(error) = network.frame_codec() {
                return Err(WrongKey::of_network(number, error.key, error));
            }
            for (key, address) in [("listen", &network.listen), ("connect", &network.connect)] {
                if address.as_ref().is_some_and(|address| !has_port(address)) {
                    let what = no_port(&format!("network `{}`: `{key}`", network.name));
                    return Err(WrongKey::of_network(number, key, what));
                }
            }
            let is_taken = |earlier: &NetworkSettings| earlier.name == network.name;
            if self.network[..number].iter().any(is_taken) {
                let name = &network.name;
                let what = format!("another [[network]] section has the name `{name}` already");
                return Err(WrongKey::of_network(number, "name", what));
            }
            if let Some(taken_by) = self.listens_already(number) {
                let name = &network.name;
                let what = format!(
                    "network `{name}`: {taken_by} listens on that address and port already; give each its own"
                );
                return Err(WrongKey::of_network(number, "listen", what));
            }
        }
        Ok(())
    }

    /// What listens where this network is to listen: the REST interface, or a network before it.
    fn listens_already(&self, number: usize) -> Option<String> {
        let listen = self.network[number].listen.as_ref()?;
        if clash(listen, &self.http.listen) {
            return Some(format!("[http] (`{}`)", self.http.listen));
        }
        let mut earlier = self.network[..number].iter();
        let taken = |earlier: &&NetworkSettings| {
            let other = earlier.listen.as_ref();
            other.is_some_and(|other| clash(listen, other))
        };
        Some(format!("network `{}`", earlier.find(taken)?.name))
    }

    /// Takes the files that the configuration names as lying beside it, wherever the program was started.
    /// What a variable names is relative to where it was set, and so is the data folder, see
    /// `config/cardswitch.toml`.
    fn find_files_beside(&mut self, file: &Path, variables: &[Variable]) {
        let folder = file.parent().unwrap_or(Path::new(""));
        let by_variable = |path: &[&str]| variables.iter().any(|by| by.path == path);
        for (number, network) in self.network.iter_mut().enumerate() {
            let by_variable = by_variable(&["network", &number.to_string(), "dialect_file"]);
            if let (Some(dialect_file), false) = (&mut network.dialect_file, by_variable) {
                let path = folder.join(&*dialect_file);
                *dialect_file = path.to_string_lossy().into_owned();
            }
        }
        let by_variable = by_variable(&["vault", "key_file"]);
        if let (Some(key_file), false) = (&mut self.vault.key_file, by_variable) {
            *key_file = folder.join(&*key_file);
        }
    }
}

/// Line, column and sentence; never the line's text, which may hold a key.
fn invalid(file: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let offset = error.span().map_or(0, |span| span.start);
    let (line, column) = place::of_offset(text, offset);
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
    use crate::engine::registry::EngineSettings;

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
            (
                "\n[shards]\ncount = 0",
                "c.toml:3:1: [shards] `count` must be 1 to 256",
            ),
            (
                "[limits]\nhold_days = 0",
                "c.toml:2:1: [limits] `hold_days` must be 1 to 366",
            ),
            (
                "[limits]\nended_api_key_days = 6",
                "c.toml:2:1: [limits] `ended_api_key_days` must be 7 (as long as approvals wait) to 36600",
            ),
            (
                "[journal]\nsegment_size_bytes = 7",
                "c.toml:2:1: journal.segment_size_bytes: must be",
            ),
            (
                "[http]\nlisten = \"localhost\"",
                "c.toml:2:1: [http] `listen` takes a host and a port",
            ),
            (
                "[[network]]\nname = \"a\"",
                "c.toml:1:1: network `a`: give either `listen` or `connect`",
            ),
            (
                "[[network]]\nname = \"a\"\nlisten = \"x:1\"\nconnect = \"y:1\"",
                "c.toml:4:1: network `a`: give either `listen` or `connect`",
            ),
            (
                "[[network]]\nname = \"a\"\nlisten = \"x:1\"\nframing = \"no\"",
                "c.toml:4:1: network `a`: `framing`",
            ),
            (
                "[[network]]\nname = \"a\"\nconnect = \"host\"",
                "c.toml:3:1: network `a`: `connect` takes a host and a port",
            ),
            (
                "[[network]]\nname = \"a\"\nlisten = \"x:1\"\n[[network]]\nlisten = \"x:2\"\nname = \"a\"",
                "c.toml:6:1: another [[network]] section has the name `a` already",
            ),
            (
                "[[network]]\nname = \"a\"\nlisten = \"localhost:8080\"",
                "c.toml:3:1: network `a`: [http] (`127.0.0.1:8080`) listens on that address and port already",
            ),
            (
                "[[network]]\nname = \"a\"\nlisten = \"x:1\"\n[[network]]\nname = \"b\"\nlisten = \"0.0.0.0:1\"",
                "c.toml:6:1: network `b`: network `a` listens on that address and port already",
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
        let count = parse("[shards]\ncount = 1", &[("CARDSWITCH__SHARDS__COUNT", "0")]);
        assert!(
            count
                .unwrap_err()
                .starts_with("CARDSWITCH__SHARDS__COUNT: [shards] `count` must be")
        );
        assert_eq!(
            parse("", &[("CARDSWITCH__NETWORK__NAME", "x")]).unwrap_err(),
            "CARDSWITCH__NETWORK__NAME: the name of such a variable is as CARDSWITCH__NETWORK__NAME__KEY"
        );
    }

    #[test]
    fn a_network_is_overridden_by_its_name() {
        let text = "[[network]]\nname = \"visa\"\nlisten = \"x:1\"\n\
                    [[network]]\nname = \"Master-Card 2\"\nlisten = \"x:2\"";
        let listen = |variable, value| {
            let config = parse(text, &[(variable, value)])?;
            let all = config.network.into_iter();
            Ok(all
                .map(|network| network.listen.unwrap())
                .collect::<Vec<_>>())
        };
        let visa = "CARDSWITCH__NETWORK__VISA__LISTEN";
        let other = "CARDSWITCH__NETWORK__MASTER_CARD_2__LISTEN";
        assert_eq!(listen(visa, "x:3"), Ok(vec!["x:3".into(), "x:2".into()]));
        assert_eq!(listen(other, "x:3"), Ok(vec!["x:1".into(), "x:3".into()]));
        let amex = "CARDSWITCH__NETWORK__AMEX__LISTEN";
        for (variable, value, wrong) in [
            (visa, "x", "CARDSWITCH__NETWORK__VISA__LISTEN: "),
            (other, "x:1", "CARDSWITCH__NETWORK__MASTER_CARD_2__LISTEN: "),
            (
                amex,
                "x:1",
                "CARDSWITCH__NETWORK__AMEX__LISTEN: no [[network]] section",
            ),
        ] {
            let error: String = listen(variable, value).unwrap_err();
            assert!(error.starts_with(wrong), "{error}");
        }
    }

    #[test]
    fn files_lie_beside_the_configuration_and_the_data_where_the_program_was_started() {
        let text = "[data]\ndir = \"d\"\n[vault]\nkey_file = \"k\"\n[[network]]\nname = \"a\"\n\
                    listen = \"x:1\"\ndialect_file = \"own.toml\"";
        let read = |variables: &[(&str, &str)], text: &str| {
            let variables = variables
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()));
            let config = Config::parse(Path::new("etc/c.toml"), text, variables).unwrap();
            let dialect_file = config.network[0].dialect_file.clone().unwrap();
            let key_file = config.vault.key_file.clone().unwrap();
            [config.data.dir, key_file, dialect_file.into()]
        };
        let paths = |paths: [&str; 3]| paths.map(PathBuf::from);
        assert_eq!(read(&[], text), paths(["d", "etc/k", "etc/own.toml"]));
        let absolute = text.replace("\"k\"", "\"/k\"").replace("own", "/own");
        assert_eq!(read(&[], &absolute), paths(["d", "/k", "/own.toml"]));
        let by_variable = [("CARDSWITCH__VAULT__KEY_FILE", "k")];
        assert_eq!(read(&by_variable, text), paths(["d", "k", "etc/own.toml"]));
    }

    #[test]
    fn an_error_does_not_show_a_key() {
        let error = parse("[vault]\nkey = secret\n", &[]).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}

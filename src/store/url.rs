//! Where `store.url` points to, and how to show it without its password.

use super::error::StoreError;
use sqlx::postgres::PgConnectOptions;
use std::path::{Path, PathBuf};

const FILE_NAME: &str = "cardswitch.sqlite";

#[derive(Debug, Clone)]
pub(super) enum Target {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

/// Reads a `store.url`; a relative file lies in the data folder.
pub(super) fn parse(url: &str, data_dir: &Path) -> Result<Target, StoreError> {
    let bad = |reason: &str| StoreError::BadUrl {
        reason: reason.to_owned(),
    };
    if url == "sqlite" {
        return Ok(Target::Sqlite(data_dir.join(FILE_NAME)));
    }
    if let Some(file) = url.strip_prefix("sqlite:") {
        let file = file.strip_prefix("//").unwrap_or(file);
        if file.is_empty() {
            return Err(bad("it names no file"));
        }
        return Ok(Target::Sqlite(data_dir.join(file)));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let options: Result<PgConnectOptions, sqlx::Error> = url.parse();
        // The parser's own words may quote the address, password included.
        let options = options.map_err(|_| bad("it is not a well-formed Postgres address"))?;
        return Ok(Target::Postgres(Box::new(options)));
    }
    Err(bad("it names neither SQLite nor Postgres"))
}

impl Target {
    /// For people: never with a password.
    pub fn shown(&self) -> String {
        match self {
            Target::Sqlite(path) => format!("sqlite:{}", path.display()),
            Target::Postgres(options) => {
                let user = options.get_username();
                let database = options.get_database().unwrap_or(user);
                match options.get_socket() {
                    Some(socket) => format!(
                        "postgres://{user}@/{database}?host={}&port={}",
                        socket.display(),
                        options.get_port()
                    ),
                    None => format!(
                        "postgres://{user}@{}:{}/{database}",
                        options.get_host(),
                        options.get_port()
                    ),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        parse(url, Path::new("data")).map_or_else(|error| error.to_string(), |t| t.shown())
    }

    #[test]
    fn urls_are_shown_without_their_password() {
        for (url, expected) in [
            ("sqlite", "sqlite:data/cardswitch.sqlite"),
            ("sqlite:other.db", "sqlite:data/other.db"),
            ("sqlite:/srv/x.db", "sqlite:/srv/x.db"),
            (
                "postgres://ann:s3cret@db.example:5433/cards",
                "postgres://ann@db.example:5433/cards",
            ),
            (
                "postgresql:///?host=/run/pg&port=5432&dbname=cards&user=ann&password=s3cret",
                "postgres://ann@/cards?host=/run/pg&port=5432",
            ),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_in_a_sentence_without_its_password() {
        for url in [
            "",
            "sqlite:",
            "mysql://ann:s3cret@db/cards",
            "postgres://ann:s3cret@db:port/cards",
        ] {
            let sentence = shown(url);
            assert!(sentence.contains("postgres://user@host/database"), "{url}");
            assert!(!sentence.contains("s3cret"), "{sentence}");
        }
    }
}

//! The cards that the simulator pays with, and what it knows about them: read from and written to a
//! JSON-lines file. Obtaining them over the REST API is in `seed`.

use std::{fmt, io::Write, path::Path};

use arrayvec::ArrayString;
use serde::{Deserialize, Serialize};

use super::merchants::Currency;

/// What the owner of a card knows about it, so that the simulator can say which answers are wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Active, funded, without controls that its payments could hit.
    #[default]
    Ok,
    /// Frozen: every payment is declined.
    Frozen,
    /// Closed: every payment is declined.
    Closed,
    /// Its account has less than [`LOW_FUNDS_MINOR`].
    LowFunds,
    /// MCC [`BLOCKED_MCC`] is blocked.
    MccBlock,
    /// Country [`BLOCKED_COUNTRY`] is blocked.
    CountryBlock,
    /// Transaction currency [`BLOCKED_CURRENCY`] is blocked.
    CurrencyBlock,
    /// A limit per transaction of [`TRANSACTION_LIMIT_MINOR`].
    TransactionLimit,
    /// A limit per day, week, month or a count, which traffic may or may not reach.
    WindowLimit,
}

/// A [`Profile::LowFunds`] card cannot pay this much.
pub const LOW_FUNDS_MINOR: u64 = 1_000;
/// See [`Profile::MccBlock`]: gambling.
pub const BLOCKED_MCC: u16 = 7995;
/// See [`Profile::CountryBlock`].
pub const BLOCKED_COUNTRY: &str = "BR";
/// See [`Profile::CurrencyBlock`].
pub const BLOCKED_CURRENCY: &str = "GBP";
/// See [`Profile::TransactionLimit`].
pub const TRANSACTION_LIMIT_MINOR: u64 = 5_000;

/// One card. Its `Debug` shows no card data.
#[derive(Clone, Serialize, Deserialize)]
pub struct SimCard {
    /// 12 to 19 digits.
    pub pan: ArrayString<19>,
    /// 1 to 12.
    pub exp_month: u8,
    /// Four digits.
    pub exp_year: u16,
    /// Three or four digits; without it no CVV2 is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cvv2: Option<ArrayString<4>>,
    /// ISO 4217 code that the card is billed in.
    pub currency: ArrayString<3>,
    /// What is known about it.
    #[serde(default)]
    pub profile: Profile,
}

/// Why a file of cards cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CardFileError {
    /// The system's word.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A line that is no card.
    #[error(
        "{path}, line {line}: {problem}; expected \
         {{\"pan\":\"…\",\"exp_month\":12,\"exp_year\":2029,\"cvv2\":\"123\",\"currency\":\"USD\",\"profile\":\"ok\"}}"
    )]
    Line {
        /// The file.
        path: String,
        /// From 1.
        line: usize,
        /// What is wrong; without values.
        problem: String,
    },
    /// A file without a card.
    #[error("{path} holds no card")]
    Empty {
        /// The file.
        path: String,
    },
}

impl SimCard {
    /// DE14, `YYMM`.
    pub fn yymm(&self) -> u64 {
        u64::from(self.exp_year % 100) * 100 + u64::from(self.exp_month)
    }

    /// Reads a JSON-lines file.
    pub fn load(path: &Path) -> Result<Vec<SimCard>, CardFileError> {
        let text = std::fs::read_to_string(path).map_err(|source| CardFileError::File {
            path: path.display().to_string(),
            source,
        })?;
        SimCard::parse_lines(&path.display().to_string(), &text)
    }

    /// Reads the text of a JSON-lines file; `path` is for messages only.
    pub fn parse_lines(path: &str, text: &str) -> Result<Vec<SimCard>, CardFileError> {
        let mut cards = Vec::new();
        for (at, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
        {
            let card = parse_line(line).map_err(|problem| CardFileError::Line {
                path: path.to_owned(),
                line: at + 1,
                problem,
            })?;
            cards.push(card);
        }
        match cards.is_empty() {
            true => Err(CardFileError::Empty {
                path: path.to_owned(),
            }),
            false => Ok(cards),
        }
    }

    /// Writes a JSON-lines file that only its owner can read.
    pub fn save(path: &Path, cards: &[SimCard]) -> Result<(), CardFileError> {
        write_private(path, cards).map_err(|source| CardFileError::File {
            path: path.display().to_string(),
            source,
        })
    }
}

fn parse_line(line: &str) -> Result<SimCard, String> {
    // serde's message may quote the value, which may be card data: keep its category and column.
    let card: SimCard = serde_json::from_str(line)
        .map_err(|error| format!("{:?} error at column {}", error.classify(), error.column()))?;
    if card.pan.len() < 12 || !card.pan.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("`pan` must have 12 to 19 digits".to_owned());
    }
    if !(1..=12).contains(&card.exp_month) || !(2000..=2255).contains(&card.exp_year) {
        return Err("`exp_month` or `exp_year` is out of range".to_owned());
    }
    if Currency::find(&card.currency).is_none() {
        return Err(format!(
            "the simulator does not know the currency {}",
            card.currency
        ));
    }
    let digits =
        |cvv2: &ArrayString<4>| cvv2.len() >= 3 && cvv2.bytes().all(|byte| byte.is_ascii_digit());
    if card.cvv2.as_ref().is_some_and(|cvv2| !digits(cvv2)) {
        return Err("`cvv2` must have three or four digits".to_owned());
    }
    Ok(card)
}

fn write_private(path: &Path, cards: &[SimCard]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = std::io::BufWriter::new(options.open(path)?);
    for card in cards {
        serde_json::to_writer(&mut out, card)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

impl fmt::Debug for SimCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimCard({:?}, {})", self.profile, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"pan":"4111111111111111","exp_month":12,"exp_year":2029,"cvv2":"123","currency":"USD","profile":"mcc_block"}"#;

    #[test]
    fn cards_go_to_a_file_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cards.jsonl");
        let cards = SimCard::parse_lines("x", &format!("{LINE}\n\n{LINE}\n")).unwrap();
        SimCard::save(&path, &cards).unwrap();
        let again = SimCard::load(&path).unwrap();
        assert_eq!(again.len(), 2);
        assert_eq!(again[1].profile, Profile::MccBlock);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            format!("{LINE}\n{LINE}\n")
        );
    }

    #[test]
    fn a_wrong_line_is_named_and_shows_no_card_data() {
        let table = [
            ("{\"pan\":\"4111111111111111\"", "line 1"),
            (
                &LINE.replace("4111111111111111", "411111111111111x"),
                "12 to 19 digits",
            ),
            (&LINE.replace(":12", ":13"), "exp_month"),
            (&LINE.replace("USD", "XXX"), "currency XXX"),
            (&LINE.replace("mcc_block", "4111111111111111"), "column"),
            ("", "no card"),
        ];
        for (text, expected) in table {
            let error = SimCard::parse_lines("cards.jsonl", text)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(expected) && !error.contains("41111"),
                "{error}"
            );
        }
        let card = SimCard::parse_lines("x", LINE).unwrap();
        assert!(!format!("{card:?}").contains("4111"));
    }
}

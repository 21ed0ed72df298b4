//! The values of facts, read from a request, its card and its account. What each means is said in
//! `docs/risk-rules.md`; which exist, in `fact_list.rs`.

use super::expression::{Facts, Fault};
use super::fact_list::{NumberFact, TextFact, TruthFact};
use crate::engine::card_history::{CardHistory, Counted, DAY, HOUR};
use crate::engine::command::{Authorize, CardType};
use crate::engine::engine_settings::EngineSettings;
use crate::engine::facts::{Channel, Check, Country, EntryMode, Kind};
use crate::engine::money::Currency;
use crate::engine::rolling::RollingWindow;
use crate::engine::state::{Account, Card};
use crate::engine::time::Timestamp;
use crate::engine::time_windows::Days;
use arrayvec::ArrayString;

/// The facts of one request. What has to be written as text is, once, before any rule is looked at.
pub struct FactValues<'a> {
    at: Timestamp,
    command: &'a Authorize,
    card: &'a Card,
    account: &'a Account,
    asked_minor: Option<i64>,
    history: Option<&'a CardHistory>,
    /// Nothing that is stated of the card is looked at any more today.
    tries_are_exceeded: bool,
    mcc: [u8; 4],
    /// In capital letters.
    merchant_name: ArrayString<40>,
}

impl<'a> FactValues<'a> {
    /// The history is that of the card's chain. What is asked, in the account's currency, is absent where it cannot be said.
    pub fn of(
        at: Timestamp,
        command: &'a Authorize,
        (card, history): (&'a Card, Option<&'a CardHistory>),
        account: &'a Account,
        asked_minor: Option<i64>,
        settings: &EngineSettings,
    ) -> FactValues<'a> {
        let mut merchant_name = command.merchant.name;
        merchant_name.make_ascii_uppercase();
        FactValues {
            at,
            command,
            card,
            account,
            asked_minor,
            history,
            tries_are_exceeded: card.verification_tries.are_exceeded(settings, at),
            mcc: four_digits(command.merchant.mcc),
            merchant_name,
        }
    }
}

/// Longer ago than any approval: a hundred years of 365 days.
const NEVER_SECONDS: i64 = 100 * 365 * 86_400;

impl FactValues<'_> {
    fn used(&self, counted: Counted, window: RollingWindow) -> (i64, i64) {
        let used = self
            .history
            .map(|history| history.used(counted, window, self.at));
        let (amount_minor, count) = used.unwrap_or((0, 0));
        (amount_minor, i64::from(count))
    }

    /// Whether a rule matches tells nobody what the checks do not tell.
    fn check_name(&self, check: Check) -> &'static str {
        match check {
            Check::Absent => CHECKS[0],
            _ if self.tries_are_exceeded => CHECKS[3],
            Check::Match => CHECKS[1],
            Check::Mismatch => CHECKS[2],
        }
    }

    fn home_country(&self) -> &str {
        let holder = self.card.holder.as_ref();
        holder.map_or("ZZ", |holder| holder.home_country.alpha2())
    }
}

fn four_digits(mcc: u16) -> [u8; 4] {
    [1_000, 100, 10, 1].map(|worth| b'0' + (mcc / worth % 10) as u8)
}

fn seconds_between(earlier: Timestamp, later: Timestamp) -> i64 {
    later.0.saturating_sub(earlier.0).div_euclid(1_000)
}

const CARD_TYPES: [&str; 2] = ["virtual", "physical"];
const CHECKS: [&str; 4] = ["absent", "match", "mismatch", "not_compared"];

impl TextFact {
    /// Whether a text is among those that the fact can come to.
    pub fn can_be(self, text: &str) -> bool {
        match self {
            TextFact::Country | TextFact::HomeCountry => {
                text == "ZZ" || Country::from_alpha2(text).is_some()
            }
            TextFact::AccountCurrency | TextFact::Currency => Currency::from_alpha(text).is_some(),
            TextFact::Mcc => text.len() == 4 && text.bytes().all(|digit| digit.is_ascii_digit()),
            _ => self.words().is_none_or(|words| words.contains(&text)),
        }
    }

    /// What it can be, in a sentence.
    pub fn can_only_be(self) -> String {
        match self {
            TextFact::Country | TextFact::HomeCountry => {
                "countries are two letters of ISO 3166-1, as in 'DE'".into()
            }
            TextFact::AccountCurrency | TextFact::Currency => {
                "currencies are letters of ISO 4217, as in 'EUR', or 'USDT'".into()
            }
            TextFact::Mcc => "an MCC is text of four digits, as in '5411'".into(),
            _ => format!(
                "it is one of {}",
                self.words().unwrap_or_default().join(", ")
            ),
        }
    }

    /// All that it can be, where those are few.
    fn words(self) -> Option<Vec<&'static str>> {
        fn names<T>(all: &[(T, &'static str)]) -> Vec<&'static str> {
            all.iter().map(|(_, name)| *name).collect()
        }
        Some(match self {
            TextFact::CardType => CARD_TYPES.to_vec(),
            TextFact::Channel => names(Channel::ALL),
            TextFact::EntryMode => names(EntryMode::ALL),
            TextFact::Kind => names(Kind::ALL),
            TextFact::Cryptogram | TextFact::Cvv | TextFact::Pin => CHECKS.to_vec(),
            TextFact::WeekdayUtc => Days::NAMES.to_vec(),
            _ => return None,
        })
    }
}

impl Facts for FactValues<'_> {
    fn number(&self, fact: NumberFact) -> Result<i64, Fault> {
        Ok(match fact {
            NumberFact::Amount => return self.asked_minor.ok_or(Fault::Unknown(fact)),
            NumberFact::TransactionAmount => self.command.amounts.transaction.amount_minor,
            NumberFact::Available => self.account.available_minor(),
            NumberFact::Posted => self.account.posted_minor,
            NumberFact::Held => self.account.held_minor,
            NumberFact::OpenHolds => i64::from(self.account.open_holds),
            NumberFact::CardAgeSeconds => seconds_between(self.card.created_at, self.at),
            NumberFact::AccountAgeSeconds => seconds_between(self.account.created_at, self.at),
            NumberFact::HourUtc => self.at.0.div_euclid(3_600_000).rem_euclid(24),
            NumberFact::SecondsSinceLastApproval => {
                let last = self.history.and_then(|history| history.last_approved_at);
                last.map_or(NEVER_SECONDS, |last| seconds_between(last, self.at))
            }
            NumberFact::ApprovalsLastHour => self.used(Counted::Approvals, HOUR).1,
            NumberFact::ApprovalsLastDay => self.used(Counted::Approvals, DAY).1,
            NumberFact::ApprovedAmountLastHour => self.used(Counted::Approvals, HOUR).0,
            NumberFact::ApprovedAmountLastDay => self.used(Counted::Approvals, DAY).0,
            NumberFact::DeclinesLastHour => self.used(Counted::Declines, HOUR).1,
            NumberFact::DeclinesLastDay => self.used(Counted::Declines, DAY).1,
        })
    }

    fn text(&self, fact: TextFact) -> &str {
        let merchant = &self.command.merchant;
        let reference = &self.command.reference;
        let verification = &self.command.verification;
        match fact {
            TextFact::AccountCurrency => self.account.currency.alpha(),
            TextFact::AcquirerId => stated(&reference.acquirer_id),
            TextFact::CardType => match self.card.card_type {
                CardType::Virtual => CARD_TYPES[0],
                CardType::Physical => CARD_TYPES[1],
            },
            TextFact::Channel => self.command.channel.name(),
            TextFact::Country => merchant.country.alpha2(),
            TextFact::Cryptogram => self.check_name(verification.cryptogram),
            TextFact::Currency => match self.command.amounts.transaction.currency {
                Currency::ABSENT => self.account.currency.alpha(),
                currency => currency.alpha(),
            },
            TextFact::Cvv => self.check_name(verification.cvv),
            TextFact::EntryMode => self.command.entry_mode.name(),
            TextFact::HomeCountry => self.home_country(),
            TextFact::Kind => self.command.kind.name(),
            // Digits are UTF-8.
            TextFact::Mcc => std::str::from_utf8(&self.mcc).unwrap_or("0000"),
            TextFact::MerchantCity => stated(&merchant.city),
            TextFact::MerchantId => stated(&merchant.id),
            TextFact::MerchantName => stated(&self.merchant_name),
            TextFact::Network => &reference.network,
            TextFact::Pin => self.check_name(verification.pin),
            TextFact::TerminalId => stated(&reference.terminal_id),
            TextFact::WeekdayUtc => weekday(self.at),
        }
    }

    fn truth(&self, fact: TruthFact) -> bool {
        match fact {
            TruthFact::CountryIsAcquirers => self.command.merchant.country_is_acquirers,
            TruthFact::FirstUseOfMerchant => {
                let known = |history: &CardHistory| history.knows_merchant_of(self.command);
                !self.history.is_some_and(known)
            }
            TruthFact::FirstUseOfMcc => {
                let known = |history: &CardHistory| history.knows_mcc_of(self.command);
                !self.history.is_some_and(known)
            }
            TruthFact::PartialApprovalSupported => self.command.partial_approval_supported,
        }
    }
}

/// Without the blanks that fill its field.
fn stated(text: &str) -> &str {
    text.trim_matches(' ')
}

/// 1970-01-01 was a Thursday.
fn weekday(at: Timestamp) -> &'static str {
    let days = at.0.div_euclid(86_400_000);
    Days::NAMES[(days + 3).rem_euclid(7) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_codes_are_written_as_in_controls() {
        let at = |text: &str| Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        assert_eq!(weekday(at("2026-11-23T00:00:00Z")), "mon");
        assert_eq!(weekday(at("2026-11-29T23:59:59.999Z")), "sun");
        assert_eq!(weekday(at("1969-12-31T23:00:00Z")), "wed");
        assert_eq!(&four_digits(742), b"0742");
        assert_eq!(&four_digits(9_999), b"9999");
    }
}

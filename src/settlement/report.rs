//! The settlement report of one business date. Until clearing comes, from the networks' messages: what was posted
//! that day, and what was authorized that day and is still open. Money that is posted is counted where it was
//! posted, and no longer where it was authorized. How it prints lives in `render.rs`.

use crate::engine::facts::Kind;
use crate::engine::kinds::{Direction, Treatment};
use crate::engine::time::Timestamp;
use crate::store::rows::SumPart;
use crate::store::settlement_sums::SettlementSum;
use crate::store::{Store, StoreError};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("the report needs the tables: {0}")]
    Store(#[from] StoreError),
    #[error(
        "no network is called `{named}`, neither in the configuration nor in the tables; configured: {configured}"
    )]
    Network { named: String, configured: String },
    #[error("{0} is not a business date that a calendar knows; write it as 2026-11-24")]
    Date(Date),
    #[error(
        "the amounts of {currency} {kind} are too large to add up; ask for one network at a time"
    )]
    TooLarge {
        currency: &'static str,
        kind: String,
    },
}

/// Which report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRequest {
    pub business_date: Date,
    /// The `name` of one `[[network]]`; all of them together where absent.
    pub network: Option<String>,
    /// When a business date ends, in UTC; midnight is the midnight at its end.
    pub cut_over: Time,
    /// The time of the caller's clock, which says whether the date is over.
    pub now: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportStatus {
    /// The business date is not over.
    Open,
    Closed,
    /// Compared with what the network reported. Needs clearing.
    Reconciled,
}

impl ReportStatus {
    pub fn name(self) -> &'static str {
        match self {
            ReportStatus::Open => "open",
            ReportStatus::Closed => "closed",
            ReportStatus::Reconciled => "reconciled",
        }
    }
}

/// Amounts in minor units of `currency`, as we owe them to the network: purchases above zero, refunds
/// below, what a reversal returned the other way. `net` is `gross + interchange + fees`, `gross` is
/// `posted + authorized`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportLine {
    pub currency: &'static str,
    /// The kind of transaction: `purchase`, `refund`, ...; of what was posted and returned `purchase_reversal`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// Postings, and authorizations that are open.
    pub count: u64,
    pub gross: i64,
    pub interchange: i64,
    pub fees: i64,
    pub net: i64,
    /// What was posted on this date.
    pub posted: i64,
    /// What was authorized on this date, is open, and is not posted yet.
    pub authorized: i64,
}

/// The lines of one currency, added up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportTotal {
    pub currency: &'static str,
    pub count: u64,
    pub gross: i64,
    pub interchange: i64,
    pub fees: i64,
    pub net: i64,
    pub posted: i64,
    pub authorized: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettlementReport {
    pub business_date: Date,
    pub network: Option<String>,
    pub status: ReportStatus,
    /// What the figures come from: `messages` (no interchange and no fees are known then).
    pub basis: &'static str,
    /// The span of the business date, RFC 3339; the end is not part of it.
    pub from: String,
    pub until: String,
    /// The last journal record that the figures hold.
    pub projected_through: u64,
    pub lines: Vec<ReportLine>,
    pub totals: Vec<ReportTotal>,
}

/// Refuses a network that is neither configured nor, from a time when it was, in the tables.
///
/// # Errors
/// [`ReportError`]; the tables may be away.
pub async fn check_network(
    store: &Store,
    named: Option<&str>,
    configured: &[String],
) -> Result<(), ReportError> {
    let Some(named) = named.filter(|named| !configured.iter().any(|known| known == named)) else {
        return Ok(());
    };
    if store.has_network(named).await? {
        return Ok(());
    }
    Err(ReportError::Network {
        named: named.to_owned(),
        configured: match configured {
            [] => "none".to_owned(),
            configured => configured.join(", "),
        },
    })
}

/// The figures of a business date, as far as the projection has come.
///
/// # Errors
/// [`ReportError`]; the tables may be away.
pub async fn settlement_report(
    store: &Store,
    request: &ReportRequest,
) -> Result<SettlementReport, ReportError> {
    let (from, until) = span(request.business_date, request.cut_over)?;
    let network = request.network.as_deref();
    let (projected_through, sums) = store.settlement_sums(from, until, network).await?;
    let lines = lines(&sums)?;
    Ok(SettlementReport {
        business_date: request.business_date,
        network: request.network.clone(),
        status: if request.now < until {
            ReportStatus::Open
        } else {
            ReportStatus::Closed
        },
        basis: "messages",
        from: from.to_string(),
        until: until.to_string(),
        projected_through,
        totals: totals(&lines)?,
        lines,
    })
}

/// A business date ends at its cut-over and begins at that of the day before.
fn span(date: Date, cut_over: Time) -> Result<(Timestamp, Timestamp), ReportError> {
    let out_of_range = |_| ReportError::Date(date);
    let last_day = if cut_over == Time::midnight() {
        date.tomorrow().map_err(out_of_range)?
    } else {
        date
    };
    let first_day = last_day.yesterday().map_err(out_of_range)?;
    let at = |day: Date| -> Result<Timestamp, ReportError> {
        let zoned = day.to_datetime(cut_over).to_zoned(TimeZone::UTC);
        let instant = zoned.map_err(out_of_range)?.timestamp();
        Ok(Timestamp(instant.as_millisecond()))
    };
    Ok((at(first_day)?, at(last_day)?))
}

/// Which way the money goes: 1 from us to the network, -1 to us; 0 where none moves.
fn direction(kind: Kind) -> i64 {
    match Treatment::of(kind).map_or(Direction::Nowhere, |treatment| treatment.direction) {
        Direction::Debit => 1,
        Direction::Credit => -1,
        Direction::Nowhere => 0,
    }
}

/// By currency, then type.
fn lines(sums: &[SettlementSum]) -> Result<Vec<ReportLine>, ReportError> {
    let mut lines: BTreeMap<(&'static str, String), ReportLine> = BTreeMap::new();
    for sum in sums {
        let (currency, direction) = (sum.currency.alpha(), direction(sum.kind));
        let owed_minor = match sum.part {
            SumPart::Authorized => sum.amount_minor * i128::from(direction),
            _ => -sum.amount_minor,
        };
        if direction == 0 {
            continue;
        }
        let kind = match sum.part {
            SumPart::Reversal => format!("{}_reversal", sum.kind.name()),
            SumPart::Payment | SumPart::Refund | SumPart::Authorized => sum.kind.name().to_owned(),
        };
        let too_large = || ReportError::TooLarge {
            currency,
            kind: kind.clone(),
        };
        let owed_minor = i64::try_from(owed_minor).map_err(|_| too_large())?;
        let (posted, authorized) = match sum.part {
            SumPart::Authorized => (0, owed_minor),
            _ => (owed_minor, 0),
        };
        let line = lines.entry((currency, kind.clone()));
        let line = line.or_insert_with(|| nothing_of(currency, kind.clone()));
        let add = |sum: i64, further: i64| sum.checked_add(further).ok_or_else(too_large);
        line.count += sum.count;
        line.posted = add(line.posted, posted)?;
        line.authorized = add(line.authorized, authorized)?;
        line.gross = add(line.posted, line.authorized)?;
        line.net = add(add(line.gross, line.interchange)?, line.fees)?;
    }
    Ok(lines.into_values().collect())
}

fn nothing_of(currency: &'static str, kind: String) -> ReportLine {
    ReportLine {
        currency,
        kind,
        count: 0,
        gross: 0,
        interchange: 0,
        fees: 0,
        net: 0,
        posted: 0,
        authorized: 0,
    }
}

fn totals(lines: &[ReportLine]) -> Result<Vec<ReportTotal>, ReportError> {
    let mut totals: Vec<ReportTotal> = Vec::new();
    for line in lines {
        let currency = line.currency;
        if totals.last().is_none_or(|total| total.currency != currency) {
            totals.push(ReportTotal {
                currency,
                count: 0,
                gross: 0,
                interchange: 0,
                fees: 0,
                net: 0,
                posted: 0,
                authorized: 0,
            });
        }
        let Some(total) = totals.last_mut() else {
            continue;
        };
        let too_large = || ReportError::TooLarge {
            currency,
            kind: "total".to_owned(),
        };
        let add = |sum: i64, further: i64| sum.checked_add(further).ok_or_else(too_large);
        total.count += line.count;
        total.gross = add(total.gross, line.gross)?;
        total.interchange = add(total.interchange, line.interchange)?;
        total.fees = add(total.fees, line.fees)?;
        total.net = add(total.net, line.net)?;
        total.posted = add(total.posted, line.posted)?;
        total.authorized = add(total.authorized, line.authorized)?;
    }
    Ok(totals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::money::Currency;

    #[test]
    fn a_business_date_ends_at_its_cut_over() {
        let date = jiff::civil::date(2026, 11, 24);
        for (hour, from, until) in [
            (0, "2026-11-24T00:00:00.000Z", "2026-11-25T00:00:00.000Z"),
            (22, "2026-11-23T22:00:00.000Z", "2026-11-24T22:00:00.000Z"),
        ] {
            let span = span(date, jiff::civil::time(hour, 0, 0, 0)).unwrap();
            assert_eq!(
                (span.0.to_string(), span.1.to_string()),
                (from.to_owned(), until.to_owned())
            );
        }
    }

    fn sum(
        currency: u16,
        kind: Kind,
        part: SumPart,
        count: u64,
        amount_minor: i128,
    ) -> SettlementSum {
        SettlementSum {
            currency: Currency(currency),
            kind,
            part,
            count,
            amount_minor,
        }
    }

    #[test]
    fn what_is_posted_and_what_is_open_are_one_line_and_what_was_returned_another() {
        let lines = lines(&[
            sum(840, Kind::Purchase, SumPart::Authorized, 3, 1_000),
            sum(840, Kind::Purchase, SumPart::Payment, 2, -700),
            sum(840, Kind::Purchase, SumPart::Reversal, 1, 50),
            sum(840, Kind::Refund, SumPart::Refund, 1, 20),
            sum(840, Kind::Refund, SumPart::Authorized, 1, 250),
            sum(840, Kind::Refund, SumPart::Reversal, 1, -20),
        ]);
        let lines = lines.unwrap();
        let shown = lines.iter();
        let shown = shown.map(|l| (&*l.kind, l.count, l.posted, l.authorized, l.gross, l.net));
        let expected = [
            ("purchase", 5, 700, 1_000, 1_700, 1_700),
            ("purchase_reversal", 1, -50, 0, -50, -50),
            ("refund", 2, -20, -250, -270, -270),
            ("refund_reversal", 1, 20, 0, 20, 20),
        ];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn lines_of_a_currency_add_up_to_its_total() {
        let lines = lines(&[
            sum(978, Kind::Purchase, SumPart::Authorized, 2, 500),
            sum(840, Kind::AccountVerification, SumPart::Authorized, 9, 0),
            sum(840, Kind::Purchase, SumPart::Authorized, 3, 1_000),
            sum(840, Kind::Refund, SumPart::Refund, 1, 250),
        ]);
        let lines = lines.unwrap();
        assert_eq!(lines.len(), 3);
        let totals = totals(&lines).unwrap();
        let shown = totals.iter();
        let shown = shown.map(|t| (t.currency, t.count, t.posted, t.authorized, t.net));
        let expected = [("EUR", 2, 0, 500, 500), ("USD", 4, -250, 1_000, 750)];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        let huge = [
            lines[0].clone(),
            ReportLine {
                gross: i64::MAX,
                ..lines[0].clone()
            },
        ];
        assert!(super::totals(&huge).is_err());
        let most = i128::from(i64::MAX);
        for (part, amounts, fits) in [
            (SumPart::Payment, [-most, 0], true),
            (SumPart::Payment, [-most - 1, 0], false),
            (SumPart::Payment, [i128::from(u64::MAX), 0], false),
            (SumPart::Authorized, [most, 0], true),
            (SumPart::Authorized, [most, 1], false),
            (SumPart::Payment, [-most, -1], false),
        ] {
            let sums = amounts.map(|amount| sum(840, Kind::Purchase, part, 1, amount));
            assert_eq!(super::lines(&sums).is_ok(), fits, "{part:?} {amounts:?}");
        }
    }
}

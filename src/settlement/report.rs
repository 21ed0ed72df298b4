//! The settlement report of one business date. Until clearing comes, from authorizations: what was
//! approved that day and not reversed since. How it prints lives in `render.rs`.

use crate::engine::facts::Kind;
use crate::engine::kinds::{Direction, Treatment};
use crate::engine::time::Timestamp;
use crate::store::query::ApprovedSum;
use crate::store::{Store, StoreError};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::Serialize;

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("the report needs the tables: {0}")]
    Store(#[from] StoreError),
    #[error("{0} is not a business date that a calendar knows; write it as 2026-11-24")]
    Date(Date),
    #[error("the amounts of {currency} {kind} are too large to add up")]
    TooLarge {
        currency: &'static str,
        kind: &'static str,
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
/// below. `net` is `gross + interchange + fees`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportLine {
    pub currency: &'static str,
    /// The kind of transaction: `purchase`, `refund`, ...
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub count: u64,
    pub gross: i64,
    pub interchange: i64,
    pub fees: i64,
    pub net: i64,
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
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettlementReport {
    pub business_date: Date,
    pub network: Option<String>,
    pub status: ReportStatus,
    /// What the figures come from: `authorizations` (no interchange and no fees are known then).
    pub basis: &'static str,
    /// The span of the business date, RFC 3339; the end is not part of it.
    pub from: String,
    pub until: String,
    /// The last journal record that the figures hold.
    pub projected_through: u64,
    pub lines: Vec<ReportLine>,
    pub totals: Vec<ReportTotal>,
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
    let (projected_through, sums) = store.approved_sums(from, until, network).await?;
    let mut lines = Vec::new();
    for sum in &sums {
        lines.extend(line(sum)?);
    }
    Ok(SettlementReport {
        business_date: request.business_date,
        network: request.network.clone(),
        status: if request.now < until {
            ReportStatus::Open
        } else {
            ReportStatus::Closed
        },
        basis: "authorizations",
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

fn line(sum: &ApprovedSum) -> Result<Option<ReportLine>, ReportError> {
    let (currency, kind) = (sum.currency.alpha(), sum.kind.name());
    let direction = direction(sum.kind);
    if direction == 0 {
        return Ok(None);
    }
    let too_large = ReportError::TooLarge { currency, kind };
    let gross = sum.amount_minor.checked_mul(direction).ok_or(too_large)?;
    let (interchange, fees) = (0, 0);
    Ok(Some(ReportLine {
        currency,
        kind,
        count: sum.count,
        gross,
        interchange,
        fees,
        net: gross + interchange + fees,
    }))
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
            });
        }
        let Some(total) = totals.last_mut() else {
            continue;
        };
        let too_large = || ReportError::TooLarge {
            currency,
            kind: "total",
        };
        let add = |sum: i64, further: i64| sum.checked_add(further).ok_or_else(too_large);
        total.count += line.count;
        total.gross = add(total.gross, line.gross)?;
        total.interchange = add(total.interchange, line.interchange)?;
        total.fees = add(total.fees, line.fees)?;
        total.net = add(total.net, line.net)?;
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

    #[test]
    fn lines_of_a_currency_add_up_to_its_total() {
        let sum = |currency, kind, count, amount_minor| ApprovedSum {
            currency: Currency(currency),
            kind,
            count,
            amount_minor,
        };
        let sums = [
            sum(978, Kind::Purchase, 2, 500),
            sum(840, Kind::AccountVerification, 9, 0),
            sum(840, Kind::Purchase, 3, 1_000),
            sum(840, Kind::Refund, 1, 250),
        ];
        let lines: Vec<ReportLine> = sums.iter().filter_map(|s| line(s).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        let totals = totals(&lines).unwrap();
        let shown: Vec<_> = totals
            .iter()
            .map(|t| (t.currency, t.count, t.net))
            .collect();
        assert_eq!(shown, [("EUR", 2, 500), ("USD", 4, 750)]);
        let huge = [
            lines[0].clone(),
            ReportLine {
                gross: i64::MAX,
                ..lines[0].clone()
            },
        ];
        assert!(super::totals(&huge).is_err());
    }
}

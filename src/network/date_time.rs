//! Whether the dates and times of a message are any: DE7, DE12 and DE13 as ISO 8583 writes them.

use crate::iso8583::Message;
use crate::iso8583::mapping::DateTimeLayout;

/// The first of DE7, DE12 and DE13 that is there and is no date and time.
pub fn wrong_date_time(message: &Message, layout: DateTimeLayout) -> Option<u8> {
    let wrong = |field, holds: fn(u64) -> bool| {
        let digits = message.digits(field)?;
        (!holds(digits)).then_some(field)
    };
    // DE7, n10: MMDDhhmmss.
    let sent = wrong(7, |digits| {
        is_month_and_day(digits / 1_000_000, None) && is_time(digits % 1_000_000)
    });
    sent.or_else(|| match layout {
        // DE12, n6: hhmmss; DE13, n4: MMDD.
        DateTimeLayout::De12HhmmssDe13Mmdd => {
            wrong(12, is_time).or_else(|| wrong(13, |digits| is_month_and_day(digits, None)))
        }
        // DE12, n12: YYMMDDhhmmss. DE13 is a date of the card, which nothing here looks at.
        DateTimeLayout::De12Yymmddhhmmss => wrong(12, |digits| {
            let date = digits / 1_000_000;
            is_month_and_day(date % 10_000, Some(2000 + date / 10_000))
                && is_time(digits % 1_000_000)
        }),
    })
}

fn is_time(hhmmss: u64) -> bool {
    hhmmss / 10_000 < 24 && hhmmss / 100 % 100 < 60 && hhmmss % 100 < 60
}

/// Where the year is not said, 29 February may be.
fn is_month_and_day(mmdd: u64, year: Option<u64>) -> bool {
    let days = match mmdd / 100 {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        // Every fourth year of this century.
        2 if year.is_none_or(|year| year.is_multiple_of(4)) => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&(mmdd % 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_minutes_and_seconds_end_where_they_end() {
        for time in [0, 235_959, 120_000] {
            assert!(is_time(time), "{time}");
        }
        for time in [240_000, 236_000, 235_960, 999_999] {
            assert!(!is_time(time), "{time}");
        }
    }

    #[test]
    fn months_have_their_days() {
        for (mmdd, year) in [
            (101, None),
            (1231, None),
            (430, None),
            (229, None),
            (229, Some(2028)),
        ] {
            assert!(is_month_and_day(mmdd, year), "{mmdd} {year:?}");
        }
        for (mmdd, year) in [
            (0, None),
            (100, None),
            (1, None),
            (1301, None),
            (132, None),
            (431, None),
            (230, None),
            (229, Some(2027)),
        ] {
            assert!(!is_month_and_day(mmdd, year), "{mmdd} {year:?}");
        }
    }
}

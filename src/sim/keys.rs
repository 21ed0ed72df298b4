//! What tells one message from another: STAN, RRN and times, drawn from counters per connection and
//! run so that no two messages share a key by accident. The clock is read elsewhere.

/// Date and time of day as messages carry them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    pub year: u8,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
}

impl Stamp {
    /// UTC date and time of a Unix time in seconds, from 1970 to 2255.
    pub fn from_unix(seconds: u64) -> Stamp {
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        Stamp {
            year: (year % 100) as u8,
            month,
            day,
            hour: (of_day / 3600) as u8,
            minute: (of_day / 60 % 60) as u8,
            second: (of_day % 60) as u8,
        }
    }

    /// DE13, `MMDD`.
    pub fn mmdd(self) -> u64 {
        u64::from(self.month) * 100 + u64::from(self.day)
    }

    /// DE12 of 1987, `hhmmss`.
    pub fn hhmmss(self) -> u64 {
        (u64::from(self.hour) * 100 + u64::from(self.minute)) * 100 + u64::from(self.second)
    }

    /// DE7, `MMDDhhmmss`.
    pub fn mmddhhmmss(self) -> u64 {
        self.mmdd() * 1_000_000 + self.hhmmss()
    }

    /// DE12 of 1993, `YYMMDDhhmmss`.
    pub fn yymmddhhmmss(self) -> u64 {
        u64::from(self.year) * 10_000_000_000 + self.mmddhhmmss()
    }
}

/// Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar.
fn civil(days: u64) -> (u64, u8, u8) {
    // Years that begin on 1 March, so that the leap day comes last.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * shifted_month + 2) / 5 + 1) as u8;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    } as u8;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// Retrieval reference number, an 12.
pub type Rrn = [u8; 12];

/// Counters of one connection of one run.
#[derive(Clone, Debug)]
pub struct Keys {
    run: u64,
    connection: u64,
    /// Messages drawn so far.
    drawn: u64,
    rrn: Rrn,
}

const BASE_36: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const FIVE_DIGITS: u64 = 36_u64.pow(5);
const TWO_DIGITS: u64 = 36 * 36;

impl Keys {
    /// `run` differs between runs that share local date and time: milliseconds of the start do.
    /// At most 1,296 connections stay apart.
    pub fn new(run: u64, connection: usize) -> Keys {
        let (run, connection) = (run % FIVE_DIGITS, connection as u64 % TWO_DIGITS);
        let mut rrn = [b'0'; 12];
        let mut left = run * TWO_DIGITS + connection;
        for digit in rrn[..7].iter_mut().rev() {
            *digit = BASE_36[(left % 36) as usize];
            left /= 36;
        }
        Keys {
            run,
            connection,
            drawn: 0,
            rrn,
        }
    }

    /// A STAN from 1 to 999,999 and an RRN: five base-36 digits of the run, two of the connection,
    /// five of the message, which come round after 60 million messages; the local time in the key
    /// has then moved on.
    #[inline]
    pub fn draw(&mut self) -> (u32, Rrn) {
        self.drawn += 1;
        // One more, digit by digit: nothing is divided.
        for digit in self.rrn[7..].iter_mut().rev() {
            *digit = match *digit {
                b'9' => b'A',
                b'Z' => b'0',
                other => other + 1,
            };
            if *digit != b'0' {
                break;
            }
        }
        ((self.drawn % 999_999 + 1) as u32, self.rrn)
    }

    /// The RRN of the message drawn last where only digits are allowed: three of the run, two of the
    /// connection, seven of the message.
    pub fn numeric_rrn(&self) -> Rrn {
        let serial = self.drawn % 10_000_000;
        let number = (self.run % 1000 * 100 + self.connection % 100) * 10_000_000 + serial;
        let mut rrn = [0; 12];
        let mut left = number;
        for digit in rrn.iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
        rrn
    }
}

/// The check digit (ISO/IEC 7812-1 annex B) that belongs behind these digits.
pub fn luhn_digit(digits: &[u8]) -> u8 {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let value = u32::from(digit - b'0') * if at % 2 == 0 { 2 } else { 1 };
            value / 10 + value % 10
        })
        .sum();
    b'0' + ((10 - sum % 10) % 10) as u8
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn stamps_are_utc_dates() {
        let table = [
            (0, 700_101_000_000),
            (951_782_399, 228_235_959),
            (951_782_400, 229_000_000),
            (1_795_487_130, 261_124_022_530),
            (4_102_444_799, 991_231_235_959),
        ];
        for (seconds, expected) in table {
            assert_eq!(
                Stamp::from_unix(seconds).yymmddhhmmss(),
                expected,
                "{seconds}"
            );
        }
    }

    #[test]
    fn keys_differ_between_messages_connections_and_runs() {
        let mut seen = HashSet::new();
        for run in [1_795_487_130_000, 1_795_487_130_001] {
            for connection in 0..40 {
                let mut keys = Keys::new(run, connection);
                for _ in 0..2_000 {
                    let (stan, rrn) = keys.draw();
                    assert!((1..=999_999).contains(&stan));
                    assert!(seen.insert((stan, rrn)));
                }
            }
        }
    }

    #[test]
    fn check_digits_of_test_cards() {
        for pan in [
            &b"4111111111111111"[..],
            b"4761739001010119",
            b"371449635398431",
        ] {
            let (last, digits) = pan.split_last().unwrap();
            assert_eq!(luhn_digit(digits), *last);
        }
    }
}

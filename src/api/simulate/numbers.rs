//! The numbers of simulated messages: STAN, RRN and time. All come from the id of the write that asks for a message, so
//! that doing it again after a crash sends the very same message, and so that the RRN of a simulated payment leads back
//! to the time at which it was sent.

use crate::engine::time::Timestamp;
use crate::network::outgoing::Names;
use crate::shard::clock::IdSource;
use crate::store::rows::AuthorizationRow;
use arrayvec::ArrayString;

const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// In front of an RRN that says nothing of the time.
const TIME_IS_GIVEN: &str = "Z";

/// What a caller gives of these.
#[derive(Debug, Clone, Copy, Default)]
pub struct GivenNumbers {
    pub stan: Option<u32>,
    pub rrn: Option<ArrayString<12>>,
    pub sent_at: Option<Timestamp>,
}

/// The numbers of a message of its own.
pub fn of(write_id: u64, given: GivenNumbers) -> Names {
    let at = given.sent_at.unwrap_or(IdSource::time_of(write_id));
    let mut rrn = rrn_of(write_id);
    if given.sent_at.is_some() || given.stan.is_some() {
        let own = rrn;
        rrn = ArrayString::new();
        rrn.push_str(TIME_IS_GIVEN);
        rrn.push_str(&own[1..]);
    }
    Names {
        stan: given.stan.unwrap_or(stan_of(write_id)),
        rrn: given.rrn.unwrap_or(rrn),
        sent_at: at,
        local_at: at,
    }
}

/// When a simulated payment was sent; nothing for another one, whose time only its network knows.
pub fn sent_at(row: &AuthorizationRow) -> Option<Timestamp> {
    let id = row.rrn.bytes().try_fold(0_u64, |id, digit| {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        id.checked_mul(36)?.checked_add(value as u64)
    })?;
    (stan_of(id) == row.stan && rrn_of(id) == row.rrn).then(|| IdSource::time_of(id))
}

/// Writes that follow each other within a millisecond are 64 apart.
fn stan_of(write_id: u64) -> u32 {
    (write_id % 999_999 + 1) as u32
}

fn rrn_of(write_id: u64) -> ArrayString<12> {
    let mut rrn = ArrayString::new();
    for place in (0..12).rev() {
        let digit = write_id / 36_u64.pow(place) % 36;
        rrn.push(char::from(DIGITS[digit as usize]));
    }
    rrn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rrn_leads_back_to_its_write_unless_its_time_was_given() {
        for id in [1, 36, 250_000_000_000_000_064, 36_u64.pow(12) - 1] {
            let names = of(id, GivenNumbers::default());
            assert_eq!(names.rrn.len(), 12);
            let back = names.rrn.bytes().fold(0_u64, |id, digit| {
                id * 36 + DIGITS.iter().position(|known| *known == digit).unwrap() as u64
            });
            assert_eq!(back, id);
            assert!((1..=999_999).contains(&names.stan));
            assert_eq!(names.sent_at, IdSource::time_of(id));
        }
        let given = GivenNumbers {
            sent_at: Some(Timestamp(0)),
            ..GivenNumbers::default()
        };
        let names = of(250_000_000_000_000_064, given);
        assert!(names.rrn.starts_with('Z'), "{}", names.rrn);
        assert_eq!(
            (names.sent_at, names.local_at),
            (Timestamp(0), Timestamp(0))
        );
    }
}

//! When an event that was not taken is told again. Pure: whoever asks brings the time.

use crate::engine::ids::EventId;
use crate::engine::time::Timestamp;
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// What lies between one call for an event and the next, in seconds, a tenth more or less: ten calls over three days
/// (the schedule that Standard Webhooks 1.0.0 gives as its example).
pub const DELAYS_S: [u64; 9] = [
    5,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
];

/// The longest wait that an endpoint may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * HOUR);

/// An endpoint that has taken nothing for so long is called no more.
pub const DISABLED_AFTER_MS: i64 = 5 * 24 * 3_600_000;

/// The next call after `attempts` of them; nothing after the last.
pub fn next_at(
    event_id: EventId,
    attempts: u8,
    now: Timestamp,
    retry_after: Option<Duration>,
) -> Option<Timestamp> {
    let place = usize::from(attempts).checked_sub(1)?;
    let delay_ms = *DELAYS_S.get(place)? * 1_000;
    let delay_ms = delay_ms * permille(event_id, attempts) / 1_000;
    let asked_ms = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
    let delay_ms = delay_ms.max(asked_ms.as_millis() as u64);
    Some(now.plus_ms(delay_ms as i64))
}

/// From 900 to 1,100, spread over events, so that what failed together does not come again together.
fn permille(event_id: EventId, attempts: u8) -> u64 {
    let mixed = event_id.0.wrapping_add(u64::from(attempts) << 56);
    900 + (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 201
}

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
pub fn retry_after(header: Option<&str>, now: Timestamp) -> Option<Duration> {
    let header = header?.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let at = jiff::fmt::rfc2822::parse(header).ok()?.timestamp();
    let ms = at.as_millisecond().saturating_sub(now.0);
    Some(Duration::from_millis(u64::try_from(ms).ok()?).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_calls_each_a_tenth_around_its_time() {
        let now = Timestamp(1_000_000);
        for event in [1, 77 << 20, u64::MAX >> 8] {
            for (attempts, delay_s) in (1..).zip(DELAYS_S) {
                let at = next_at(EventId(event), attempts, now, None).unwrap();
                let waited_ms = (at.0 - now.0) as u64;
                assert!(waited_ms >= delay_s * 900 && waited_ms <= delay_s * 1_100);
            }
            assert_eq!(next_at(EventId(event), 10, now, None), None);
            assert_eq!(next_at(EventId(event), 0, now, None), None);
        }
    }

    #[test]
    fn an_endpoint_may_ask_for_more_time_not_for_less() {
        let now = Timestamp(0);
        let minute = Some(Duration::from_secs(60));
        assert_eq!(next_at(EventId(1), 1, now, minute), Some(Timestamp(60_000)));
        let second_call = next_at(EventId(1), 2, now, minute).unwrap();
        assert!(second_call.0 > 250_000);
        for (header, seconds) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Thu, 01 Jan 1970 00:01:00 GMT", Some(60)),
            ("Wed, 31 Dec 1969 00:01:00 GMT", None),
            ("soon", None),
            ("99999999999", Some(86_400)),
        ] {
            let found = retry_after(Some(header), now);
            assert_eq!(found, seconds.map(Duration::from_secs), "{header}");
        }
    }
}

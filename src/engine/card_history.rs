//! What a card did lately, as far as risk rules may ask: bounded, and kept only where they do. What a rule
//! makes of it does not live here (see `risk/`).

use super::command::Authorize;
use super::counters::{CountedIn, Counters};
use super::ids::LimitId;
use super::rolling::RollingWindow;
use super::time::Timestamp;
use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// So many different merchants, and as many MCCs, are remembered: those used last.
pub const REMEMBERED_MAX: usize = 16;

pub const HOUR: RollingWindow = RollingWindow { seconds: 3_600 };
pub const DAY: RollingWindow = RollingWindow { seconds: 86_400 };

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardHistory {
    pub last_approved_at: Option<Timestamp>,
    /// By a hash, the one used last at the end.
    merchants: ArrayVec<u32, REMEMBERED_MAX>,
    mccs: ArrayVec<u16, REMEMBERED_MAX>,
    /// Counted as limits count; the numbers of these are the `Counted` below.
    counters: Counters,
}

/// What is counted, in each window apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Approvals,
    Declines,
}

/// A request that was noted while its customer decides on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecided {
    at: Timestamp,
    set_aside_minor: i64,
    /// By a hash; none where it is not stated.
    merchant: Option<u32>,
    mcc: u16,
}

impl Undecided {
    pub fn of(at: Timestamp, authorize: &Authorize, set_aside_minor: i64) -> Undecided {
        Undecided {
            at,
            set_aside_minor,
            merchant: merchant_hash(authorize),
            mcc: authorize.merchant.mcc,
        }
    }
}

impl CardHistory {
    /// Notes a decision; `approved_minor` is what was set aside, none of a request that was declined.
    pub fn note(&mut self, at: Timestamp, authorize: &Authorize, approved_minor: Option<i64>) {
        match approved_minor {
            Some(set_aside_minor) => {
                let undecided = Undecided::of(at, authorize, set_aside_minor);
                self.note_undecided(&undecided);
                self.note_approved(at, &undecided, set_aside_minor);
            }
            None => self.count(Counted::Declines, at, 0),
        }
    }

    /// Counts it with the approvals, as limits do: many at once must not pass while the customer is asked. Nothing else is
    /// known of the card by it yet.
    pub fn note_undecided(&mut self, undecided: &Undecided) {
        self.count(Counted::Approvals, undecided.at, undecided.set_aside_minor);
    }

    /// It was approved at this time, for so much.
    pub fn note_approved(&mut self, at: Timestamp, undecided: &Undecided, approved_minor: i64) {
        self.adjust(undecided, approved_minor - undecided.set_aside_minor, 0);
        self.last_approved_at = Some(at);
        if let Some(merchant) = undecided.merchant {
            remember(&mut self.merchants, merchant);
        }
        if undecided.mcc != 0 {
            remember(&mut self.mccs, undecided.mcc);
        }
    }

    /// It was declined at this time, and so never was an approval.
    pub fn note_declined(&mut self, at: Timestamp, undecided: &Undecided) {
        self.adjust(undecided, -undecided.set_aside_minor, -1);
        self.count(Counted::Declines, at, 0);
    }

    fn count(&mut self, counted: Counted, at: Timestamp, amount_minor: i64) {
        for window in [HOUR, DAY] {
            let bucket = CountedIn::Bucket(window.bucket_at(at));
            self.counters
                .add(counter(counted, window), bucket, amount_minor, 1);
        }
    }

    fn adjust(&mut self, undecided: &Undecided, amount_minor: i64, count: i32) {
        for window in [HOUR, DAY] {
            let bucket = CountedIn::Bucket(window.bucket_at(undecided.at));
            let approvals = counter(Counted::Approvals, window);
            self.counters.adjust(approvals, bucket, amount_minor, count);
        }
    }

    /// Amount in minor units, and number.
    pub fn used(&self, counted: Counted, window: RollingWindow, at: Timestamp) -> (i64, u32) {
        self.counters
            .used_rolling(counter(counted, window), window, at)
    }

    /// Whether the merchant of a request is among those remembered; one that is not stated never is.
    pub fn knows_merchant_of(&self, authorize: &Authorize) -> bool {
        merchant_hash(authorize).is_some_and(|hash| self.merchants.contains(&hash))
    }

    pub fn knows_mcc_of(&self, authorize: &Authorize) -> bool {
        self.mccs.contains(&authorize.merchant.mcc)
    }
}

fn counter(counted: Counted, window: RollingWindow) -> LimitId {
    LimitId(2 * u64::from(window == DAY) + counted as u64)
}

/// Of the id and its acquirer, to which alone it is unique.
fn merchant_hash(authorize: &Authorize) -> Option<u32> {
    let id = &authorize.merchant.id;
    if id.is_empty() {
        return None;
    }
    let mut hasher = SipHasher13::new();
    let acquirer = authorize.reference.acquirer_id.trim_start_matches('0');
    hasher.write(acquirer.as_bytes());
    hasher.write_u8(0);
    hasher.write(id.as_bytes());
    Some(hasher.finish() as u32)
}

/// Puts a value at the end; where there is no room, the first goes.
fn remember<T: PartialEq, const N: usize>(list: &mut ArrayVec<T, N>, value: T) {
    list.retain(|known| *known != value);
    if list.is_full() {
        list.remove(0);
    }
    list.push(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrayvec::ArrayString;

    const AT: Timestamp = Timestamp(1_800_000_000_000);

    fn at_merchant(id: &str, acquirer_id: &str, mcc: u16) -> Authorize {
        let mut authorize = Authorize::default();
        authorize.merchant.id = ArrayString::from(id).unwrap();
        authorize.reference.acquirer_id = ArrayString::from(acquirer_id).unwrap();
        authorize.merchant.mcc = mcc;
        authorize
    }

    #[test]
    fn the_merchants_and_mccs_used_last_are_known() {
        let mut history = CardHistory::default();
        let merchant = |number: u16| at_merchant(&format!("M{number}"), "7", 5_000 + number);
        for number in 1..=16 {
            history.note(AT, &merchant(number), Some(1));
        }
        history.note(AT, &merchant(1), Some(1));
        history.note(AT, &merchant(17), Some(1));
        let knows = |authorize: &Authorize| {
            (
                history.knows_merchant_of(authorize),
                history.knows_mcc_of(authorize),
            )
        };
        for (number, known) in [(1, true), (2, false), (3, true), (17, true), (18, false)] {
            assert_eq!(knows(&merchant(number)), (known, known), "{number}");
        }
        assert_eq!(knows(&at_merchant("M1", "8", 5_001)), (false, true));
        assert_eq!(knows(&at_merchant("M1", "007", 1)), (true, false));
    }

    #[test]
    fn what_is_not_stated_is_never_known() {
        let mut history = CardHistory::default();
        let unstated = at_merchant("", "7", 0);
        history.note(AT, &unstated, Some(1));
        assert!(!history.knows_merchant_of(&unstated) && !history.knows_mcc_of(&unstated));
    }

    #[test]
    fn approvals_and_declines_count_apart_for_an_hour_and_for_a_day() {
        let mut history = CardHistory::default();
        let request = at_merchant("M1", "7", 5_411);
        history.note(AT, &request, Some(500));
        history.note(AT.plus_ms(60_000), &request, Some(0));
        history.note(AT.plus_ms(120_000), &request, None);
        let used = |counted, window, minutes: i64| {
            history.used(counted, window, AT.plus_ms(minutes * 60_000))
        };
        assert_eq!(used(Counted::Approvals, HOUR, 3), (500, 2));
        assert_eq!(used(Counted::Declines, HOUR, 3), (0, 1));
        assert_eq!(used(Counted::Approvals, HOUR, 70), (0, 0));
        assert_eq!(used(Counted::Approvals, DAY, 70), (500, 2));
        assert_eq!(used(Counted::Declines, DAY, 70), (0, 1));
        assert_eq!(used(Counted::Declines, DAY, 25 * 60), (0, 0));
        assert_eq!(history.last_approved_at, Some(AT.plus_ms(60_000)));
    }

    #[test]
    fn what_its_customer_decides_on_is_what_was_answered_in_the_end() {
        let mut history = CardHistory::default();
        let [first, second] = ["M1", "M2"].map(|id| at_merchant(id, "7", 5_411));
        let later = AT.plus_ms(60_000);
        let [no, yes] = [(&first, 500), (&second, 300)]
            .map(|(request, minor)| Undecided::of(AT, request, minor));
        history.note_undecided(&no);
        history.note_undecided(&yes);
        assert_eq!(history.used(Counted::Approvals, HOUR, AT), (800, 2));
        assert_eq!(history.last_approved_at, None);
        assert!(!history.knows_merchant_of(&first) && !history.knows_mcc_of(&first));
        history.note_declined(later, &no);
        history.note_approved(later, &yes, 200);
        for window in [HOUR, DAY] {
            assert_eq!(history.used(Counted::Approvals, window, later), (200, 1));
            assert_eq!(history.used(Counted::Declines, window, later), (0, 1));
        }
        assert_eq!(history.last_approved_at, Some(later));
        assert!(!history.knows_merchant_of(&first) && history.knows_merchant_of(&second));
    }

    #[test]
    fn a_decline_makes_no_merchant_known() {
        let mut history = CardHistory::default();
        let request = at_merchant("M1", "7", 5_411);
        history.note(AT, &request, None);
        assert!(!history.knows_merchant_of(&request) && !history.knows_mcc_of(&request));
        assert_eq!(history.last_approved_at, None);
    }
}

//! The packed trace: each step's result and the numbers compared, as bytes that go into the journal
//! with the decision. How it prints does not live here.
//!
//! A step is one byte (5 bits step, 2 bits result, 1 bit "detail follows"). A detail is one byte for
//! its shape (3 bits), the scope (2 bits) and three flags for what need not be repeated (before it, one
//! byte more where the scope is an account above), and then variable-length integers (7 bits a byte,
//! least significant first, zig-zag where signed): ids as the difference from the one before of the
//! same scope, window ends from the one before. The seventh shape has no scope of its own: its other five
//! bits say how far above the account is, or, from 8 on, which of the rarer shapes it is.

use super::ids::{ControlId, LimitId, RiskRuleId};
use super::scope::Scope;
use super::window::WindowEnd;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

macro_rules! steps {
    ($($name:ident = $number:literal $text:literal,)*) => {
        /// The checks, in the order in which they decide. The number is what the journal stores.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Step { $($name = $number,)* }

        impl Step {
            pub const ALL: &'static [Step] = &[$(Step::$name,)*];

            pub fn name(self) -> &'static str {
                match self { $(Step::$name => $text,)* }
            }
        }
    };
}

steps! {
    Message = 0 "message",
    Repeat = 1 "repeat",
    CardLookup = 2 "card_lookup",
    CardStatus = 3 "card_status",
    AccountStatus = 4 "account_status",
    Verification = 5 "verification",
    Balance = 6 "balance",
    Limits = 7 "limits",
    Mcc = 8 "mcc",
    Country = 9 "country",
    Currency = 10 "currency",
    Merchant = 11 "merchant",
    Channel = 12 "channel",
    EntryMode = 13 "entry_mode",
    TimeWindow = 14 "time_window",
    RiskRules = 15 "risk_rules",
    ThreeDs = 16 "three_ds",
    Reserve = 17 "reserve",
    CustomerDecision = 18 "customer_decision",
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepResult {
    Pass,
    Fail,
    Skipped,
}

impl StepResult {
    pub fn name(self) -> &'static str {
        match self {
            StepResult::Pass => "pass",
            StepResult::Fail => "fail",
            StepResult::Skipped => "skipped",
        }
    }
}

/// The numbers that a step compared. Amounts in minor units of the account's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    None,
    Balance {
        available_minor: i64,
        requested_minor: i64,
    },
    LimitAmount {
        scope: Scope,
        limit_id: LimitId,
        allowed_minor: i64,
        used_minor: i64,
        requested_minor: i64,
        resets: WindowEnd,
    },
    LimitCount {
        scope: Scope,
        limit_id: LimitId,
        allowed: u32,
        used: u32,
        resets: WindowEnd,
    },
    /// What the message leaves out, and was taken to be: a currency number.
    Assumed {
        value: u32,
    },
    /// A list and the code looked up in it: an MCC, a currency number, country letters, the place of a
    /// channel or entry mode; which entry names a merchant, from 1; the minute of the week.
    List {
        scope: Scope,
        control_id: ControlId,
        value: u32,
    },
    /// The card's and the message's expiry, as months since 2000-01.
    Expiry {
        card: u16,
        message: u16,
    },
    /// Open holds counted against their ceiling.
    Capacity {
        open: u64,
        allowed: u64,
    },
    /// A risk rule that matched, or could not be evaluated; bits as `rules/risk_rules.rs` gives them.
    RiskRule {
        rule_id: RiskRuleId,
        version: u32,
        outcome: u8,
    },
    /// What the message says of 3-D Secure, and what is asked of it; numbers as `three_ds.rs` gives them.
    ThreeDs {
        /// Electronic commerce indicator.
        eci: u8,
        authentication: u8,
        exemption: u8,
        policy: u8,
    },
    /// The cardholder's country and the merchant's, by their letters; `ZZ` where there is none.
    HomeCountry {
        home: u16,
        country: u16,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceStep {
    pub step: Step,
    pub result: StepResult,
    pub detail: Detail,
}

/// Steps packed in the order in which they ran.
#[derive(Debug, Default, Clone)]
pub struct Trace {
    bytes: SmallVec<[u8; 160]>,
    before: Before,
    /// `before` does not stand for `bytes`, because they were read, not packed.
    was_read: bool,
}

impl PartialEq for Trace {
    fn eq(&self, other: &Trace) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Trace {}

/// The numbers that the steps so far named last.
#[derive(Debug, Default, Clone, Copy)]
struct Before {
    /// Of a limit or list, per scope.
    ids: [u64; 8],
    requested_minor: i64,
    value: u32,
    resets: u32,
}

const SAME_NUMBER: u8 = 1 << 5;
const SAME_WINDOW: u8 = 1 << 6;
const NEXT_ID: u8 = 1 << 7;
/// The shape of the byte before the head of an account above; its other bits say how far.
const ABOVE: u8 = 7;
/// The rarer shapes: that of an account farther above than any.
const RISK_RULE: u8 = ABOVE | 8 << 3;
const THREE_DS: u8 = ABOVE | 9 << 3;
const HOME_COUNTRY: u8 = ABOVE | 10 << 3;

impl Trace {
    pub fn push(&mut self, step: Step, result: StepResult, detail: Detail) {
        if self.was_read {
            self.before = self.read_through();
            self.was_read = false;
        }
        let head = step as u8 | (result as u8) << 5;
        if detail == Detail::None {
            return self.bytes.push(head);
        }
        let mut packed = Packed::default();
        packed.byte(head | 0x80);
        packed.detail(detail, &mut self.before);
        self.bytes
            .extend_from_slice(&packed.bytes[..packed.length.min(PACKED_MAX)]);
    }

    fn read_through(&self) -> Before {
        let mut unpacking = Unpacking::of(&self.bytes);
        while unpacking.step().is_some() {}
        unpacking.before
    }

    /// The steps, unpacked; stops at bytes that no version of ours wrote.
    pub fn steps(&self) -> impl Iterator<Item = TraceStep> + '_ {
        let mut unpacking = Unpacking::of(&self.bytes);
        std::iter::from_fn(move || unpacking.step())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Trace {
        Trace {
            bytes: SmallVec::from_slice(bytes),
            before: Before::default(),
            was_read: true,
        }
    }
}

/// Three heads and at most five numbers of ten bytes; a power of two, so that a place is cheap to bound.
const PACKED_MAX: usize = 64;

/// The bytes of one step.
struct Packed {
    bytes: [u8; PACKED_MAX],
    length: usize,
}

impl Default for Packed {
    fn default() -> Packed {
        Packed {
            bytes: [0; PACKED_MAX],
            length: 0,
        }
    }
}

impl Packed {
    fn byte(&mut self, byte: u8) {
        self.bytes[self.length % PACKED_MAX] = byte;
        self.length += 1;
    }

    fn number(&mut self, number: u64) {
        let mut rest = number;
        while rest >= 0x80 {
            self.byte(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.byte(rest as u8);
    }

    fn flag(&mut self, head: usize, flag: u8) {
        self.bytes[head % PACKED_MAX] |= flag;
    }

    /// The head of a detail of this scope, and its place.
    fn scoped(&mut self, shape: u8, scope: Scope) -> usize {
        let mut bits = scope as u8;
        if scope.levels_above() > 0 {
            self.byte(ABOVE | (scope.levels_above() as u8) << 3);
            bits = Scope::Account as u8;
        }
        self.byte(shape | bits << 3);
        self.length - 1
    }

    fn detail(&mut self, detail: Detail, before: &mut Before) {
        match detail {
            Detail::None => {}
            Detail::Balance {
                available_minor,
                requested_minor,
            } => {
                let head = self.length;
                self.byte(0);
                self.number(zigzag(available_minor));
                self.requested(head, requested_minor, before);
            }
            Detail::LimitAmount {
                scope,
                limit_id,
                allowed_minor,
                used_minor,
                requested_minor,
                resets,
            } => {
                let head = self.scoped(1, scope);
                self.id(head, scope, limit_id.0, before);
                self.number(zigzag(allowed_minor));
                self.number(zigzag(used_minor));
                self.requested(head, requested_minor, before);
                self.window(head, resets, before);
            }
            Detail::LimitCount {
                scope,
                limit_id,
                allowed,
                used,
                resets,
            } => {
                let head = self.scoped(2, scope);
                self.id(head, scope, limit_id.0, before);
                self.number(u64::from(allowed));
                self.number(u64::from(used));
                self.window(head, resets, before);
            }
            Detail::List {
                scope,
                control_id,
                value,
            } => {
                let head = self.scoped(3, scope);
                self.id(head, scope, control_id.0, before);
                if value == before.value {
                    self.flag(head, SAME_NUMBER);
                } else {
                    self.number(u64::from(value));
                    before.value = value;
                }
            }
            Detail::Expiry { card, message } => {
                self.byte(4);
                self.number(u64::from(card));
                self.number(u64::from(message));
            }
            Detail::Capacity { open, allowed } => {
                self.byte(5);
                self.number(open);
                self.number(allowed);
            }
            Detail::Assumed { value } => {
                self.byte(6);
                self.number(u64::from(value));
            }
            Detail::RiskRule {
                rule_id,
                version,
                outcome,
            } => {
                self.byte(RISK_RULE);
                self.number(rule_id.0);
                self.number(u64::from(version));
                self.byte(outcome);
            }
            Detail::ThreeDs {
                eci,
                authentication,
                exemption,
                policy,
            } => {
                self.byte(THREE_DS);
                [eci, authentication, exemption, policy]
                    .into_iter()
                    .for_each(|byte| self.byte(byte));
            }
            Detail::HomeCountry { home, country } => {
                self.byte(HOME_COUNTRY);
                self.number(u64::from(home));
                self.number(u64::from(country));
            }
        }
    }

    fn id(&mut self, head: usize, scope: Scope, id: u64, before: &mut Before) {
        let last = std::mem::replace(&mut before.ids[scope as usize], id);
        match id.wrapping_sub(last) {
            1 => self.flag(head, NEXT_ID),
            difference => self.number(zigzag(difference as i64)),
        }
    }

    fn requested(&mut self, head: usize, requested_minor: i64, before: &mut Before) {
        if requested_minor == before.requested_minor {
            self.flag(head, SAME_NUMBER);
        } else {
            self.number(zigzag(requested_minor));
            before.requested_minor = requested_minor;
        }
    }

    fn window(&mut self, head: usize, resets: WindowEnd, before: &mut Before) {
        if resets == WindowEnd::NEVER {
            self.number(0);
        } else if resets.0 == before.resets {
            self.flag(head, SAME_WINDOW);
        } else {
            let difference = i64::from(resets.0) - i64::from(before.resets);
            self.number(zigzag(difference) + 1);
            before.resets = resets.0;
        }
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// What is left of packed bytes.
struct Unpacking<'a> {
    rest: &'a [u8],
    before: Before,
}

impl<'a> Unpacking<'a> {
    fn of(bytes: &'a [u8]) -> Unpacking<'a> {
        Unpacking {
            rest: bytes,
            before: Before::default(),
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn step(&mut self) -> Option<TraceStep> {
        let head = self.byte()?;
        let step = *Step::ALL.get(usize::from(head & 31))?;
        let results = [StepResult::Pass, StepResult::Fail, StepResult::Skipped];
        let result = *results.get(usize::from(head >> 5 & 3))?;
        let detail = if head & 0x80 == 0 {
            Detail::None
        } else {
            self.detail()?
        };
        Some(TraceStep {
            step,
            result,
            detail,
        })
    }

    fn detail(&mut self) -> Option<Detail> {
        let mut head = self.byte()?;
        let mut scope = Scope::ALL[usize::from(head >> 3 & 3)];
        if let RISK_RULE | THREE_DS | HOME_COUNTRY = head {
            return self.rarer(head);
        }
        if head & 7 == ABOVE {
            scope = *Scope::ABOVE.get(usize::from(head >> 3).checked_sub(1)?)?;
            head = self.byte()?;
        }
        Some(match head & 7 {
            0 => Detail::Balance {
                available_minor: unzigzag(self.number()?),
                requested_minor: self.requested(head)?,
            },
            1 => Detail::LimitAmount {
                scope,
                limit_id: LimitId(self.id(head, scope)?),
                allowed_minor: unzigzag(self.number()?),
                used_minor: unzigzag(self.number()?),
                requested_minor: self.requested(head)?,
                resets: self.window(head)?,
            },
            2 => Detail::LimitCount {
                scope,
                limit_id: LimitId(self.id(head, scope)?),
                allowed: self.number()? as u32,
                used: self.number()? as u32,
                resets: self.window(head)?,
            },
            3 => Detail::List {
                scope,
                control_id: ControlId(self.id(head, scope)?),
                value: self.value(head)?,
            },
            4 => Detail::Expiry {
                card: self.number()? as u16,
                message: self.number()? as u16,
            },
            5 => Detail::Capacity {
                open: self.number()?,
                allowed: self.number()?,
            },
            6 => Detail::Assumed {
                value: self.number()? as u32,
            },
            _ => return None,
        })
    }

    fn rarer(&mut self, head: u8) -> Option<Detail> {
        Some(match head {
            RISK_RULE => Detail::RiskRule {
                rule_id: RiskRuleId(self.number()?),
                version: self.number()? as u32,
                outcome: self.byte()?,
            },
            HOME_COUNTRY => Detail::HomeCountry {
                home: self.number()? as u16,
                country: self.number()? as u16,
            },
            _ => Detail::ThreeDs {
                eci: self.byte()?,
                authentication: self.byte()?,
                exemption: self.byte()?,
                policy: self.byte()?,
            },
        })
    }

    fn id(&mut self, head: u8, scope: Scope) -> Option<u64> {
        let difference = if head & NEXT_ID != 0 {
            1
        } else {
            unzigzag(self.number()?) as u64
        };
        let last = &mut self.before.ids[scope as usize];
        *last = last.wrapping_add(difference);
        Some(*last)
    }

    fn requested(&mut self, head: u8) -> Option<i64> {
        if head & SAME_NUMBER == 0 {
            self.before.requested_minor = unzigzag(self.number()?);
        }
        Some(self.before.requested_minor)
    }

    fn value(&mut self, head: u8) -> Option<u32> {
        if head & SAME_NUMBER == 0 {
            self.before.value = self.number()? as u32;
        }
        Some(self.before.value)
    }

    fn window(&mut self, head: u8) -> Option<WindowEnd> {
        if head & SAME_WINDOW == 0 {
            let Some(difference) = self.number()?.checked_sub(1) else {
                return Some(WindowEnd::NEVER);
            };
            let difference = unzigzag(difference) as u32;
            self.before.resets = self.before.resets.wrapping_add(difference);
        }
        Some(WindowEnd(self.before.resets))
    }
}

impl Serialize for Trace {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

impl<'de> Deserialize<'de> for Trace {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Trace::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ids as they come: given out together or far apart.
    fn any_id() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), 7u64..12]
    }

    fn any_end() -> impl Strategy<Value = u32> {
        prop_oneof![
            any::<u32>(),
            Just(u32::MAX),
            Just(0),
            29_000_000u32..29_000_003
        ]
    }

    fn any_step() -> impl Strategy<Value = TraceStep> {
        let results = prop_oneof![
            Just(StepResult::Pass),
            Just(StepResult::Fail),
            Just(StepResult::Skipped)
        ];
        let scope = (0usize..8).prop_map(|index| Scope::ALL[index]);
        let amount = || prop_oneof![any::<i64>(), Just(500)];
        let amounts = [amount(), amount(), amount()];
        let detail = prop_oneof![
            Just(Detail::None),
            (any::<i64>(), any::<i64>()).prop_map(|(available_minor, requested_minor)| {
                Detail::Balance {
                    available_minor,
                    requested_minor,
                }
            }),
            (scope.clone(), any_id(), amounts, any_end()).prop_map(|(scope, id, amounts, end)| {
                let [allowed_minor, used_minor, requested_minor] = amounts;
                let (limit_id, resets) = (LimitId(id), WindowEnd(end));
                Detail::LimitAmount {
                    scope,
                    limit_id,
                    allowed_minor,
                    used_minor,
                    requested_minor,
                    resets,
                }
            }),
            (scope.clone(), any_id(), any::<[u32; 2]>(), any_end()).prop_map(
                |(scope, id, [allowed, used], end)| {
                    Detail::LimitCount {
                        scope,
                        limit_id: LimitId(id),
                        allowed,
                        used,
                        resets: WindowEnd(end),
                    }
                }
            ),
            (scope, any_id(), any_end()).prop_map(|(scope, id, value)| Detail::List {
                scope,
                control_id: ControlId(id),
                value
            }),
            any::<[u16; 2]>().prop_map(|[card, message]| Detail::Expiry { card, message }),
            any::<[u64; 2]>().prop_map(|[open, allowed]| Detail::Capacity { open, allowed }),
            any::<u32>().prop_map(|value| Detail::Assumed { value }),
            any::<[u16; 2]>().prop_map(|[home, country]| Detail::HomeCountry { home, country }),
            (any::<u64>(), any::<u32>(), any::<u8>()).prop_map(|(id, version, outcome)| {
                let rule_id = RiskRuleId(id);
                Detail::RiskRule {
                    rule_id,
                    version,
                    outcome,
                }
            }),
            any::<[u8; 4]>().prop_map(|[eci, authentication, exemption, policy]| {
                Detail::ThreeDs {
                    eci,
                    authentication,
                    exemption,
                    policy,
                }
            }),
        ];
        (0usize..Step::ALL.len(), results, detail).prop_map(|(index, result, detail)| TraceStep {
            step: Step::ALL[index],
            result,
            detail,
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_unpacks(
            steps in proptest::collection::vec(any_step(), 0..40), cut in 0usize..40
        ) {
            let mut trace = Trace::default();
            for (place, step) in steps.iter().enumerate() {
                if place == cut {
                    trace = Trace::from_bytes(trace.as_bytes());
                }
                trace.push(step.step, step.result, step.detail);
            }
            prop_assert_eq!(trace.steps().collect::<Vec<_>>(), steps);
        }

        #[test]
        fn any_bytes_unpack_without_panic(bytes: Vec<u8>) {
            let _ = Trace::from_bytes(&bytes).steps().count();
        }
    }
}

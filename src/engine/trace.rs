//! The packed trace: each step's result and the numbers compared, as bytes that go into the journal
//! with the decision. How it prints does not live here.
//!
//! A step is one byte (5 bits step, 2 bits result, 1 bit "detail follows"); a detail is one byte for
//! its shape and then variable-length integers (7 bits a byte, least significant first, zig-zag).

use super::ids::{ControlId, LimitId};
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

/// Whose controls a step looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    Program,
    Account,
    Link,
    Card,
}

impl Scope {
    const ALL: [Scope; 4] = [Scope::Program, Scope::Account, Scope::Link, Scope::Card];

    pub fn name(self) -> &'static str {
        match self {
            Scope::Program => "program",
            Scope::Account => "account",
            Scope::Link => "link",
            Scope::Card => "card",
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
    /// A list and the code looked up in it: an MCC, a currency number, or two country letters.
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceStep {
    pub step: Step,
    pub result: StepResult,
    pub detail: Detail,
}

/// Steps packed in the order in which they ran.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Trace(SmallVec<[u8; 160]>);

impl Trace {
    pub fn push(&mut self, step: Step, result: StepResult, detail: Detail) {
        let has_detail = u8::from(detail != Detail::None);
        self.0
            .push(step as u8 | (result as u8) << 5 | has_detail << 7);
        match detail {
            Detail::None => {}
            Detail::Balance {
                available_minor,
                requested_minor,
            } => {
                self.detail(0, None, &[zigzag(available_minor), zigzag(requested_minor)]);
            }
            Detail::LimitAmount {
                scope,
                limit_id,
                allowed_minor,
                used_minor,
                requested_minor,
                resets,
            } => {
                let amounts = [allowed_minor, used_minor, requested_minor].map(zigzag);
                let [allowed, used, requested] = amounts;
                self.detail(
                    1,
                    Some(scope),
                    &[limit_id.0, allowed, used, requested, u64::from(resets.0)],
                );
            }
            Detail::LimitCount {
                scope,
                limit_id,
                allowed,
                used,
                resets,
            } => {
                let numbers = [
                    limit_id.0,
                    u64::from(allowed),
                    u64::from(used),
                    u64::from(resets.0),
                ];
                self.detail(2, Some(scope), &numbers);
            }
            Detail::List {
                scope,
                control_id,
                value,
            } => {
                self.detail(3, Some(scope), &[control_id.0, u64::from(value)]);
            }
            Detail::Expiry { card, message } => {
                self.detail(4, None, &[u64::from(card), u64::from(message)]);
            }
            Detail::Capacity { open, allowed } => self.detail(5, None, &[open, allowed]),
        }
    }

    fn detail(&mut self, shape: u8, scope: Option<Scope>, numbers: &[u64]) {
        self.0
            .push(shape | scope.map_or(0, |scope| (scope as u8) << 4));
        for number in numbers {
            let mut rest = *number;
            while rest >= 0x80 {
                self.0.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            self.0.push(rest as u8);
        }
    }

    /// The steps, unpacked; stops at bytes that no version of ours wrote.
    pub fn steps(&self) -> impl Iterator<Item = TraceStep> + '_ {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (step, after) = unpack(rest)?;
            rest = after;
            Some(step)
        })
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn from_bytes(bytes: &[u8]) -> Trace {
        Trace(SmallVec::from_slice(bytes))
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn unpack(bytes: &[u8]) -> Option<(TraceStep, &[u8])> {
    let (head, rest) = bytes.split_first()?;
    let step = *Step::ALL.iter().find(|step| **step as u8 == head & 31)?;
    let result = [StepResult::Pass, StepResult::Fail, StepResult::Skipped]
        [usize::from(head >> 5 & 3).min(2)];
    let (detail, rest) = if head & 0x80 == 0 {
        (Detail::None, rest)
    } else {
        unpack_detail(rest)?
    };
    Some((
        TraceStep {
            step,
            result,
            detail,
        },
        rest,
    ))
}

fn unpack_detail(bytes: &[u8]) -> Option<(Detail, &[u8])> {
    let (head, mut rest) = bytes.split_first()?;
    let scope = Scope::ALL[usize::from(head >> 4 & 3)];
    let mut number = || -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, after) = rest.split_first()?;
            rest = after;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    let detail = match head & 15 {
        0 => Detail::Balance {
            available_minor: unzigzag(number()?),
            requested_minor: unzigzag(number()?),
        },
        1 => Detail::LimitAmount {
            scope,
            limit_id: LimitId(number()?),
            allowed_minor: unzigzag(number()?),
            used_minor: unzigzag(number()?),
            requested_minor: unzigzag(number()?),
            resets: WindowEnd(number()? as u32),
        },
        2 => Detail::LimitCount {
            scope,
            limit_id: LimitId(number()?),
            allowed: number()? as u32,
            used: number()? as u32,
            resets: WindowEnd(number()? as u32),
        },
        3 => Detail::List {
            scope,
            control_id: ControlId(number()?),
            value: number()? as u32,
        },
        4 => Detail::Expiry {
            card: number()? as u16,
            message: number()? as u16,
        },
        5 => Detail::Capacity {
            open: number()?,
            allowed: number()?,
        },
        _ => return None,
    };
    Some((detail, rest))
}

impl Serialize for Trace {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
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

    fn any_step() -> impl Strategy<Value = TraceStep> {
        let results = prop_oneof![
            Just(StepResult::Pass),
            Just(StepResult::Fail),
            Just(StepResult::Skipped)
        ];
        let scope = (0usize..4).prop_map(|index| Scope::ALL[index]);
        let detail = prop_oneof![
            Just(Detail::None),
            (any::<i64>(), any::<i64>()).prop_map(|(available_minor, requested_minor)| {
                Detail::Balance {
                    available_minor,
                    requested_minor,
                }
            }),
            (scope.clone(), any::<u64>(), any::<[i64; 3]>(), any::<u32>()).prop_map(
                |(scope, id, amounts, end)| {
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
                }
            ),
            (scope.clone(), any::<u64>(), any::<[u32; 3]>()).prop_map(
                |(scope, id, [allowed, used, end])| {
                    Detail::LimitCount {
                        scope,
                        limit_id: LimitId(id),
                        allowed,
                        used,
                        resets: WindowEnd(end),
                    }
                }
            ),
            (scope, any::<u64>(), any::<u32>()).prop_map(|(scope, id, value)| Detail::List {
                scope,
                control_id: ControlId(id),
                value
            }),
            any::<[u16; 2]>().prop_map(|[card, message]| Detail::Expiry { card, message }),
            any::<[u64; 2]>().prop_map(|[open, allowed]| Detail::Capacity { open, allowed }),
        ];
        (0usize..Step::ALL.len(), results, detail).prop_map(|(index, result, detail)| TraceStep {
            step: Step::ALL[index],
            result,
            detail,
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_unpacks(steps in proptest::collection::vec(any_step(), 0..40)) {
            let mut trace = Trace::default();
            for step in &steps {
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

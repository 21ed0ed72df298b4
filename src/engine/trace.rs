//! The packed trace: each step's result and the numbers compared, as bytes that go into the journal
//! with the decision. How it prints does not live here.

use super::ids::{AccountId, AuthorizationId, ControlId, ExceptionId, LimitId, LinkId, RiskRuleId};
use super::scope::{Owner, Scope};
use super::trace_packing::{Before, Packed};
use super::trace_unpacking::Unpacking;
use super::window::WindowEnd;
use arrayvec::ArrayString;
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
    // Decides right after the look-up of the card.
    Original = 19 "original",
    // Not a check of the request: whether its answer left in time.
    Answer = 20 "answer",
    // Decides right after the status of the card.
    Token = 21 "token",
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
    /// By which exception the step before came out as it did.
    Exception {
        exception_id: ExceptionId,
    },
    /// Whose state it is that the card has: a link's, not its own.
    Link {
        link_id: LinkId,
    },
    /// Whose state it is that the account has: its own, or that of one above it.
    Account {
        account_id: AccountId,
    },
    /// Currency numbers between which there is no rate.
    NoRate {
        from: u16,
        to: u16,
    },
    /// The merchant that the card was locked to; both empty where it was to none yet.
    LockedTo {
        id: ArrayString<15>,
        acquirer_id: ArrayString<11>,
    },
    /// By which the card was used up.
    UsedBy {
        authorization_id: AuthorizationId,
    },
    /// Requests of the day that failed verification before this one, with how many may.
    Tries {
        failed: u16,
        allowed: u32,
        resets: WindowEnd,
    },
    /// As `Expiry`, both 0 where none was compared, with the others that did not match.
    Mismatch {
        card: u16,
        message: u16,
        cvv: bool,
        pin: bool,
        cryptogram: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceStep {
    pub step: Step,
    pub result: StepResult,
    pub detail: Detail,
    /// Whose controls it was by: of what failed, and of what is a linked object's.
    pub owner: Option<Owner>,
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

impl Trace {
    pub fn push(&mut self, step: Step, result: StepResult, detail: Detail) {
        self.push_of(step, result, None, detail);
    }

    /// By controls of this owner, which is named beside a detail only.
    pub fn push_of(
        &mut self,
        step: Step,
        result: StepResult,
        owner: Option<Owner>,
        detail: Detail,
    ) {
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
        if let Some(owner) = owner {
            packed.owner(owner);
        }
        packed.detail(detail, &mut self.before);
        self.bytes.extend_from_slice(packed.as_bytes());
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
            (any::<[u16; 2]>(), any::<[bool; 3]>()).prop_map(
                |([card, message], [cvv, pin, cryptogram])| Detail::Mismatch {
                    card,
                    message,
                    cvv,
                    pin,
                    cryptogram,
                }
            ),
            any::<[u64; 2]>().prop_map(|[open, allowed]| Detail::Capacity { open, allowed }),
            any::<u32>().prop_map(|value| Detail::Assumed { value }),
            any::<u64>().prop_map(|id| Detail::Exception {
                exception_id: ExceptionId(id)
            }),
            any::<u64>().prop_map(|id| Detail::Link {
                link_id: LinkId(id)
            }),
            any::<u64>().prop_map(|id| Detail::Account {
                account_id: AccountId(id)
            }),
            any::<[u16; 2]>().prop_map(|[from, to]| Detail::NoRate { from, to }),
            ("[0-9a-zä]{0,7}", "[0-9]{0,11}").prop_map(|(id, acquirer_id)| Detail::LockedTo {
                id: ArrayString::from(&id).unwrap(),
                acquirer_id: ArrayString::from(&acquirer_id).unwrap(),
            }),
            any::<u64>().prop_map(|id| Detail::UsedBy {
                authorization_id: AuthorizationId(id)
            }),
            (any::<u16>(), any::<[u32; 2]>()).prop_map(|(failed, [allowed, end])| Detail::Tries {
                failed,
                allowed,
                resets: WindowEnd(end),
            }),
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
        let owner = (0..Scope::ALL.len(), any::<u64>()).prop_map(|(place, id)| Owner {
            scope: Scope::ALL[place],
            id,
        });
        let owner = proptest::option::of(owner);
        let steps = (0usize..Step::ALL.len(), results, detail, owner);
        steps.prop_map(|(index, result, detail, owner)| TraceStep {
            step: Step::ALL[index],
            result,
            detail,
            owner: owner.filter(|_| detail != Detail::None),
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
                trace.push_of(step.step, step.result, step.owner, step.detail);
            }
            prop_assert_eq!(trace.steps().collect::<Vec<_>>(), steps);
        }

        #[test]
        fn any_bytes_unpack_without_panic(bytes: Vec<u8>) {
            let _ = Trace::from_bytes(&bytes).steps().count();
        }
    }
}

//! The steps of a trace out of their bytes, whose layout is in `trace_packing.rs`.

use super::ids::{AccountId, AuthorizationId, ControlId, ExceptionId, LimitId, LinkId, RiskRuleId};
use super::scope::{Owner, Scope};
use super::trace::{Detail, Step, StepResult, TraceStep};
use super::trace_packing::{
    ABOVE, ACCOUNT, Before, EXCEPTION, HOME_COUNTRY, LINK, LOCKED_TO, MISMATCH, NEXT_ID, NO_RATE,
    OWNER, RISK_RULE, SAME_NUMBER, SAME_WINDOW, THREE_DS, TRIES, USED_BY,
};
use super::window::WindowEnd;
use arrayvec::ArrayString;

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// What is left of packed bytes.
pub(super) struct Unpacking<'a> {
    rest: &'a [u8],
    pub(super) before: Before,
}

impl<'a> Unpacking<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Unpacking<'a> {
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

    fn owner(&mut self) -> Option<Owner> {
        let head = *self.rest.first()?;
        let place = (head >> 3).checked_sub(OWNER)?;
        let scope = *Scope::ALL.get(usize::from(place))?;
        (head & 7 == ABOVE).then(|| self.byte())?;
        let id = self.number()?;
        Some(Owner { scope, id })
    }

    fn text<const LENGTH: usize>(&mut self) -> Option<ArrayString<LENGTH>> {
        let length = usize::from(self.byte()?);
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        ArrayString::from(std::str::from_utf8(text).ok()?).ok()
    }

    pub(super) fn step(&mut self) -> Option<TraceStep> {
        let head = self.byte()?;
        let step = *Step::ALL.get(usize::from(head & 31))?;
        let results = [StepResult::Pass, StepResult::Fail, StepResult::Skipped];
        let result = *results.get(usize::from(head >> 5 & 3))?;
        let (owner, detail) = if head & 0x80 == 0 {
            (None, Detail::None)
        } else {
            (self.owner(), self.detail()?)
        };
        Some(TraceStep {
            step,
            result,
            detail,
            owner,
        })
    }

    fn detail(&mut self) -> Option<Detail> {
        let mut head = self.byte()?;
        let mut scope = Scope::ALL[usize::from(head >> 3 & 3)];
        if let RISK_RULE | THREE_DS | HOME_COUNTRY | EXCEPTION | LINK | ACCOUNT | NO_RATE
        | LOCKED_TO | USED_BY | TRIES | MISMATCH = head
        {
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
            EXCEPTION => Detail::Exception {
                exception_id: ExceptionId(self.number()?),
            },
            LINK => Detail::Link {
                link_id: LinkId(self.number()?),
            },
            ACCOUNT => Detail::Account {
                account_id: AccountId(self.number()?),
            },
            NO_RATE => Detail::NoRate {
                from: self.number()? as u16,
                to: self.number()? as u16,
            },
            LOCKED_TO => Detail::LockedTo {
                id: self.text()?,
                acquirer_id: self.text()?,
            },
            USED_BY => Detail::UsedBy {
                authorization_id: AuthorizationId(self.number()?),
            },
            TRIES => Detail::Tries {
                failed: self.number()? as u16,
                allowed: self.number()? as u32,
                resets: WindowEnd(self.number()? as u32),
            },
            MISMATCH => {
                let bits = self.byte()?;
                Detail::Mismatch {
                    card: self.number()? as u16,
                    message: self.number()? as u16,
                    cvv: bits & 1 != 0,
                    pin: bits & 2 != 0,
                    cryptogram: bits & 4 != 0,
                }
            }
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

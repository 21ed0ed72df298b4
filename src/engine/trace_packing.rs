//! How the steps of a trace are packed into bytes and unpacked. What they say is in `trace.rs`.
//!
//! A step is one byte (5 bits step, 2 bits result, 1 bit "detail follows"). A detail is one byte for
//! its shape (3 bits), the scope (2 bits) and three flags for what need not be repeated (before it, one
//! byte more where the scope is an account above), and then variable-length integers (7 bits a byte,
//! least significant first, zig-zag where signed): ids as the difference from the one before of the
//! same scope, window ends from the one before. The seventh shape has no scope of its own: its other five
//! bits say how far above the account is, or, from 8 on, which of the rarer shapes it is. Before the head of any
//! detail there may be whose controls it is by: such a byte for each scope, and the number of the link or account.

use super::ids::{AccountId, AuthorizationId, ControlId, ExceptionId, LimitId, LinkId, RiskRuleId};
use super::scope::{Owner, Scope};
use super::trace::{Detail, Step, StepResult, TraceStep};
use super::window::WindowEnd;
use arrayvec::ArrayString;

/// The numbers that the steps so far named last.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Before {
    /// Of a limit or list, per scope.
    ids: [u64; Scope::ALL.len()],
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
const EXCEPTION: u8 = ABOVE | 11 << 3;
const LINK: u8 = ABOVE | 12 << 3;
const ACCOUNT: u8 = ABOVE | 13 << 3;
const NO_RATE: u8 = ABOVE | 14 << 3;
/// The first of those that say whose controls a detail is by, in the order of the scopes.
const OWNER: u8 = 15;
const LOCKED_TO: u8 = ABOVE | 24 << 3;
const USED_BY: u8 = ABOVE | 25 << 3;
const TRIES: u8 = ABOVE | 26 << 3;
const _: () = assert!(OWNER + Scope::ALL.len() as u8 == LOCKED_TO >> 3);

/// Four heads and at most six numbers of ten bytes; a power of two, so that a place is cheap to bound.
const PACKED_MAX: usize = 64;

/// The bytes of one step.
pub(super) struct Packed {
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
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length.min(PACKED_MAX)]
    }

    pub(super) fn byte(&mut self, byte: u8) {
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

    pub(super) fn owner(&mut self, owner: Owner) {
        self.byte(ABOVE | (OWNER + owner.scope as u8) << 3);
        self.number(owner.id);
    }

    fn text(&mut self, text: &str) {
        self.byte(text.len() as u8);
        text.bytes().for_each(|byte| self.byte(byte));
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

    pub(super) fn detail(&mut self, detail: Detail, before: &mut Before) {
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
            other => self.plain(other),
        }
    }

    /// What has no scope and leaves nothing to the next.
    fn plain(&mut self, detail: Detail) {
        match detail {
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
            Detail::Exception { exception_id } => {
                self.byte(EXCEPTION);
                self.number(exception_id.0);
            }
            Detail::Link { link_id } => {
                self.byte(LINK);
                self.number(link_id.0);
            }
            Detail::Account { account_id } => {
                self.byte(ACCOUNT);
                self.number(account_id.0);
            }
            Detail::NoRate { from, to } => {
                self.byte(NO_RATE);
                self.number(u64::from(from));
                self.number(u64::from(to));
            }
            other => self.of_card_use(other),
        }
    }

    /// What use has made of the card.
    fn of_card_use(&mut self, detail: Detail) {
        match detail {
            Detail::LockedTo { id, acquirer_id } => {
                self.byte(LOCKED_TO);
                self.text(&id);
                self.text(&acquirer_id);
            }
            Detail::UsedBy { authorization_id } => {
                self.byte(USED_BY);
                self.number(authorization_id.0);
            }
            Detail::Tries {
                failed,
                allowed,
                resets,
            } => {
                self.byte(TRIES);
                self.number(u64::from(failed));
                self.number(u64::from(allowed));
                self.number(u64::from(resets.0));
            }
            // The others are written above.
            _ => {}
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
        | LOCKED_TO | USED_BY | TRIES = head
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

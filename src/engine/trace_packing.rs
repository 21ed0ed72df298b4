//! How the steps of a trace are packed into bytes. What they say is in `trace.rs`; they are unpacked in `trace_unpacking.rs`.
//!
//! A step is one byte (5 bits step, 2 bits result, 1 bit "detail follows"). A detail is one byte for
//! its shape (3 bits), the scope (2 bits) and three flags for what need not be repeated (before it, one
//! byte more where the scope is an account above), and then variable-length integers (7 bits a byte,
//! least significant first, zig-zag where signed): ids as the difference from the one before of the
//! same scope, window ends from the one before. The seventh shape has no scope of its own: its other five
//! bits say how far above the account is, or, from 8 on, which of the rarer shapes it is. Before the head of any
//! detail there may be whose controls it is by: such a byte for each scope, and the number of the link or account.

use super::scope::{Owner, Scope};
use super::trace::Detail;
use super::window::WindowEnd;

/// The numbers that the steps so far named last.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Before {
    /// Of a limit or list, per scope.
    pub ids: [u64; Scope::ALL.len()],
    pub requested_minor: i64,
    pub value: u32,
    pub resets: u32,
}

pub(super) const SAME_NUMBER: u8 = 1 << 5;
pub(super) const SAME_WINDOW: u8 = 1 << 6;
pub(super) const NEXT_ID: u8 = 1 << 7;
/// The shape of the byte before the head of an account above; its other bits say how far.
pub(super) const ABOVE: u8 = 7;
/// The rarer shapes: that of an account farther above than any.
pub(super) const RISK_RULE: u8 = ABOVE | 8 << 3;
pub(super) const THREE_DS: u8 = ABOVE | 9 << 3;
pub(super) const HOME_COUNTRY: u8 = ABOVE | 10 << 3;
pub(super) const EXCEPTION: u8 = ABOVE | 11 << 3;
pub(super) const LINK: u8 = ABOVE | 12 << 3;
pub(super) const ACCOUNT: u8 = ABOVE | 13 << 3;
pub(super) const NO_RATE: u8 = ABOVE | 14 << 3;
/// The first of those that say whose controls a detail is by, in the order of the scopes.
pub(super) const OWNER: u8 = 15;
pub(super) const LOCKED_TO: u8 = ABOVE | 24 << 3;
pub(super) const USED_BY: u8 = ABOVE | 25 << 3;
pub(super) const TRIES: u8 = ABOVE | 26 << 3;
pub(super) const MISMATCH: u8 = ABOVE | 27 << 3;
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
            Detail::Mismatch {
                card,
                message,
                cvv,
                pin,
                cryptogram,
            } => {
                self.byte(MISMATCH);
                self.byte(u8::from(cvv) | u8::from(pin) << 1 | u8::from(cryptogram) << 2);
                self.number(u64::from(card));
                self.number(u64::from(message));
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

//! 3-D Secure in an authorization: what the message says of it, and what a customer asks of it. How they are
//! compared does not live here (see `rules/three_ds.rs`), nor does authenticating anybody.

use super::facts::name_of;
use super::scope::Scope;
use super::trace::Detail;
use serde::{Deserialize, Serialize};

/// What a message says of the cardholder's authentication.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreeDs {
    /// Electronic commerce indicator, as the network numbers it.
    pub eci: Option<u8>,
    pub authentication: Authentication,
    pub cryptogram: Cryptogram,
    pub exemption: Exemption,
}

/// How the cardholder was authenticated.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authentication {
    /// The message says nothing of it.
    #[default]
    Absent,
    Authenticated,
    /// The merchant tried, and the issuer or the cardholder could not take part.
    Attempted,
    NotAuthenticated,
    /// It took place and was refused.
    Failed,
}

/// The cardholder authentication verification value, and what the network found when it checked it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cryptogram {
    #[default]
    Absent,
    /// It is there, and nobody said whether it is right.
    Present,
    Valid,
    Invalid,
}

/// Why the merchant or its acquirer claims that no authentication is needed.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Exemption {
    #[default]
    None,
    LowValue,
    TransactionRiskAnalysis,
    Recurring,
    SecureCorporate,
    TrustedBeneficiary,
    DelegatedAuthentication,
    AuthenticationOutage,
}

/// What is asked of 3-D Secure, from the least to the most.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum ThreeDsMode {
    /// What the message says is not looked at.
    #[default]
    Off,
    /// Declines what failed, and asks for nothing.
    Silent,
    /// Also declines what the cardholder buys online without full authentication.
    Required,
}

/// What the controls of a program, an account or a card ask.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ThreeDsPolicy {
    pub mode: ThreeDsMode,
    /// Required above this amount only, in minor units of the account's currency.
    pub above_minor: Option<i64>,
    /// Exemptions that stand in for authentication, sorted; recurring payments need not be named.
    pub accepted_exemptions: Vec<Exemption>,
}

impl Authentication {
    pub const ALL: &'static [(Authentication, &'static str)] = &[
        (Authentication::Absent, "absent"),
        (Authentication::Authenticated, "authenticated"),
        (Authentication::Attempted, "attempted"),
        (Authentication::NotAuthenticated, "not_authenticated"),
        (Authentication::Failed, "failed"),
    ];

    pub fn name(self) -> &'static str {
        name_of(Authentication::ALL, self)
    }
}

impl Cryptogram {
    pub const ALL: &'static [(Cryptogram, &'static str)] = &[
        (Cryptogram::Absent, "absent"),
        (Cryptogram::Present, "present"),
        (Cryptogram::Valid, "valid"),
        (Cryptogram::Invalid, "invalid"),
    ];

    pub fn name(self) -> &'static str {
        name_of(Cryptogram::ALL, self)
    }
}

impl Exemption {
    pub const ALL: &'static [(Exemption, &'static str)] = &[
        (Exemption::None, "none"),
        (Exemption::LowValue, "low_value"),
        (
            Exemption::TransactionRiskAnalysis,
            "transaction_risk_analysis",
        ),
        (Exemption::Recurring, "recurring"),
        (Exemption::SecureCorporate, "secure_corporate"),
        (Exemption::TrustedBeneficiary, "trusted_beneficiary"),
        (
            Exemption::DelegatedAuthentication,
            "delegated_authentication",
        ),
        (Exemption::AuthenticationOutage, "authentication_outage"),
    ];

    pub fn name(self) -> &'static str {
        name_of(Exemption::ALL, self)
    }
}

impl ThreeDsMode {
    pub const ALL: &'static [(ThreeDsMode, &'static str)] = &[
        (ThreeDsMode::Off, "off"),
        (ThreeDsMode::Silent, "silent"),
        (ThreeDsMode::Required, "required"),
    ];

    pub fn name(self) -> &'static str {
        name_of(ThreeDsMode::ALL, self)
    }
}

impl ThreeDs {
    /// Somebody authenticated the cardholder, and there is proof of it that nobody found wrong. A claim
    /// without a cryptogram is no proof.
    pub fn is_fully_authenticated(&self) -> bool {
        let has_proof = matches!(self.cryptogram, Cryptogram::Present | Cryptogram::Valid);
        self.authentication == Authentication::Authenticated && has_proof
    }
}

/// A policy and whose it is; without a scope a risk rule's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    pub mode: ThreeDsMode,
    pub scope: Option<Scope>,
}

/// What the trace of one authorization says of 3-D Secure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    pub three_ds: ThreeDs,
    pub initiated_by_merchant: bool,
    pub asked: Asked,
}

/// In the trace: no indicator. No network has one of this number.
const NO_ECI: u8 = u8::MAX;
/// In the trace: the place of the cryptogram above that of the authentication.
const CRYPTOGRAM_SHIFT: u8 = 4;
const INITIATED_BY_MERCHANT: u8 = 1 << 7;
/// In the trace: the scope of a policy, from 1, above its mode; 0 for a risk rule's.
const SCOPE_SHIFT: u8 = 4;

impl Told {
    pub fn detail(&self) -> Detail {
        let ThreeDs {
            eci,
            authentication,
            cryptogram,
            exemption,
        } = self.three_ds;
        let merchant = match self.initiated_by_merchant {
            true => INITIATED_BY_MERCHANT,
            false => 0,
        };
        let scope = self.asked.scope.map_or(0, |scope| scope as u8 + 1);
        Detail::ThreeDs {
            eci: eci.unwrap_or(NO_ECI),
            authentication: authentication as u8 | (cryptogram as u8) << CRYPTOGRAM_SHIFT,
            exemption: exemption as u8 | merchant,
            policy: self.asked.mode as u8 | scope << SCOPE_SHIFT,
        }
    }

    /// Back from the bytes of the trace; nothing where no version of ours wrote them.
    pub fn of(eci: u8, authentication: u8, exemption: u8, policy: u8) -> Option<Told> {
        let three_ds = ThreeDs {
            eci: (eci != NO_ECI).then_some(eci),
            authentication: at(Authentication::ALL, authentication & 0xf)?,
            cryptogram: at(Cryptogram::ALL, authentication >> CRYPTOGRAM_SHIFT)?,
            exemption: at(Exemption::ALL, exemption & !INITIATED_BY_MERCHANT)?,
        };
        let scope = match policy >> SCOPE_SHIFT {
            0 => None,
            place => Some(*Scope::ALL.get(usize::from(place) - 1)?),
        };
        Some(Told {
            three_ds,
            initiated_by_merchant: exemption & INITIATED_BY_MERCHANT != 0,
            asked: Asked {
                mode: at(ThreeDsMode::ALL, policy & 0xf)?,
                scope,
            },
        })
    }
}

/// The lists above are in the order of their values; a test walks them.
fn at<T: Copy>(all: &[(T, &'static str)], place: u8) -> Option<T> {
    all.get(usize::from(place)).map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_trace_keeps_comes_back_whatever_it_is() {
        let mut understood = [0; 4];
        for byte in 0..=u8::MAX {
            let cases = [
                (byte, 0, 0, 0),
                (5, byte, 0, 0),
                (5, 0, byte, 0),
                (5, 0, 0, byte),
            ];
            for (place, (eci, authentication, exemption, policy)) in cases.into_iter().enumerate() {
                let Some(told) = Told::of(eci, authentication, exemption, policy) else {
                    continue;
                };
                understood[place] += 1;
                let detail = Detail::ThreeDs {
                    eci,
                    authentication,
                    exemption,
                    policy,
                };
                assert_eq!(told.detail(), detail);
            }
        }
        // Each authentication with each cryptogram, each exemption by merchant and cardholder, each mode
        // of each scope and of a rule.
        assert_eq!(understood, [256, 5 * 4, 8 * 2, 3 * (Scope::ALL.len() + 1)]);
    }

    #[test]
    fn a_claim_without_proof_or_with_a_wrong_one_is_no_authentication() {
        let of = |authentication, cryptogram| ThreeDs {
            authentication,
            cryptogram,
            ..ThreeDs::default()
        };
        for (cryptogram, full) in [
            (Cryptogram::Absent, false),
            (Cryptogram::Present, true),
            (Cryptogram::Valid, true),
            (Cryptogram::Invalid, false),
        ] {
            let claimed = of(Authentication::Authenticated, cryptogram);
            assert_eq!(claimed.is_fully_authenticated(), full, "{cryptogram:?}");
            let attempted = of(Authentication::Attempted, cryptogram);
            assert!(!attempted.is_fully_authenticated());
        }
    }
}

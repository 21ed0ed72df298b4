//! How long the holds of a program last, by kind and merchant category, and which of a shard's holds is the
//! next to end. Ending one lives in `decide.rs` and `apply.rs`, the clock in the shard's loop.

use super::facts::Kind;
use super::ids::AuthorizationId;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Longer than any network keeps an authorization.
pub const HOLD_HOURS_MAX: u32 = 366 * 24;

/// Of one program. What it says nothing of lasts as long as the switch's settings say.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldExpiry {
    /// For what no rule below is about.
    pub hours: Option<u32>,
    /// The first that fits decides.
    pub rules: Vec<HoldExpiryRule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldExpiryRule {
    /// Of requests of one of these kinds; empty: of all.
    pub kinds: Vec<Kind>,
    /// At merchants of one of these categories; empty: at all.
    pub mcc: Vec<u16>,
    pub hours: u32,
}

impl HoldExpiry {
    /// In milliseconds, if the program says anything.
    pub fn of(&self, kind: Kind, mcc: u16) -> Option<i64> {
        let fits = |rule: &&HoldExpiryRule| {
            (rule.kinds.is_empty() || rule.kinds.contains(&kind))
                && (rule.mcc.is_empty() || rule.mcc.contains(&mcc))
        };
        let by_rule = self.rules.iter().find(fits).map(|rule| rule.hours);
        let hours = by_rule.or(self.hours)?;
        Some(i64::from(hours) * 3_600_000)
    }
}

/// Open holds in the order in which they end.
#[derive(Debug, Clone, Default)]
pub(super) struct ByExpiry(BTreeSet<(Timestamp, AuthorizationId)>);

impl ByExpiry {
    pub fn insert(&mut self, expires_at: Timestamp, id: AuthorizationId) {
        self.0.insert((expires_at, id));
    }

    pub fn remove(&mut self, expires_at: Timestamp, id: AuthorizationId) {
        self.0.remove(&(expires_at, id));
    }

    pub fn first(&self) -> Option<(Timestamp, AuthorizationId)> {
        self.0.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rule = |kinds: &[Kind], mcc: &[u16], hours| HoldExpiryRule {
            kinds: kinds.to_vec(),
            mcc: mcc.to_vec(),
            hours,
        };
        let expiry = HoldExpiry {
            hours: Some(100),
            rules: vec![
                rule(&[Kind::PreAuthorization], &[7011, 3501], 744),
                rule(&[], &[7011], 240),
                rule(&[Kind::FuelDispenser], &[], 2),
            ],
        };
        for (kind, mcc, hours) in [
            (Kind::PreAuthorization, 7011, 744),
            (Kind::Purchase, 7011, 240),
            (Kind::PreAuthorization, 5411, 100),
            (Kind::FuelDispenser, 5542, 2),
        ] {
            let expected = Some(hours * 3_600_000);
            assert_eq!(expiry.of(kind, mcc), expected, "{kind:?} {mcc}");
        }
        assert_eq!(HoldExpiry::default().of(Kind::Purchase, 5411), None);
    }
}

//! The code of an approval, as the network and the merchant know it (DE38).

use super::ids::AuthorizationId;
use serde::{Deserialize, Serialize};

/// DE38: six letters or digits.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalCode(pub [u8; 6]);

impl ApprovalCode {
    /// Digits and capital letters spread over the authorization id: unique enough to match a
    /// clearing record together with card and amount.
    pub fn of(authorization_id: AuthorizationId) -> ApprovalCode {
        const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let mixed = authorization_id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 34;
        ApprovalCode(std::array::from_fn(|place| {
            LETTERS[(mixed >> (5 * place) & 31) as usize]
        }))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("000000")
    }
}

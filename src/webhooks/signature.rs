//! Signatures of calls, as Standard Webhooks 1.0.0 has them: HMAC-SHA-256 over id, time and body. The secrets come from
//! the vault (`security`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The three headers of a signed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub id: String,
    /// Seconds since 1970.
    pub timestamp: String,
    pub signature: String,
}

impl Signed {
    /// With each of the secrets: while one is changed, two are good.
    pub fn new(secrets: &[[u8; 32]], id: String, timestamp_s: i64, body: &[u8]) -> Signed {
        let timestamp = timestamp_s.to_string();
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        let signatures: Vec<_> = secrets.iter().map(|secret| of(secret, signed)).collect();
        let signature = signatures.join(" ");
        Signed {
            id,
            timestamp,
            signature,
        }
    }
}

fn of(secret: &[u8; 32], signed: [&[u8]; 5]) -> String {
    // Any length of key will do.
    let mut mac = match <Hmac<Sha256> as KeyInit>::new_from_slice(secret) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes keys of any length"),
    };
    signed.iter().for_each(|part| mac.update(part));
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's hmac over the same text.
    #[test]
    fn a_signature_is_the_one_that_others_compute() {
        let signed = Signed::new(&[[7; 32]], "auth_1".into(), 1_700_000_000, b"{}");
        assert_eq!(signed.timestamp, "1700000000");
        assert_eq!(
            signed.signature,
            "v1,1rd9+KWqDHRwP4+YXi9fWCtxPAuDo/13gLos3AGy2MA="
        );
    }
}

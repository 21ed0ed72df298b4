//! Keyed hashes: of PANs (look-up), of the fields that identify a message (repeats), of API keys.
//!
//! The keys come from the vault and stay the same for its life, because hashes are in the journal.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::{fmt, hash::Hasher};

use arrayvec::ArrayVec;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use siphasher::sip128::{Hasher128, SipHasher24};

/// HMAC-SHA-256 (RFC 2104, FIPS 180-4) with the key block already absorbed, so that a hash costs
/// two compressions.
///
/// Clone one for each connection task.
#[derive(Clone)]
pub struct PanHasher(Hmac<Sha256>);

impl PanHasher {
    /// A hasher for this key; running systems take theirs from [`Vault`](super::Vault).
    pub fn new(key: &[u8; 32]) -> PanHasher {
        PanHasher(keyed_hmac(key))
    }

    /// The hash of the ASCII digits of a PAN, cut to its first 128 bits.
    ///
    /// Without the key the few possible PANs of a BIN cannot be tried one by one.
    pub fn pan_hash(&self, pan_digits: &[u8]) -> u128 {
        let hash = self.0.clone().chain_update(pan_digits).finalize();
        let (first, _) = hash.as_bytes().split_at(16);
        u128::from_be_bytes(first.try_into().expect("split at 16"))
    }
}

/// HMAC-SHA-256 of API keys, which are stored only as this hash.
#[derive(Clone)]
pub struct ApiKeyHasher(Hmac<Sha256>);

impl ApiKeyHasher {
    /// A hasher for this key; running systems take theirs from [`Vault`](super::Vault).
    pub fn new(key: &[u8; 32]) -> ApiKeyHasher {
        ApiKeyHasher(keyed_hmac(key))
    }

    /// The hash under which an API key is stored and looked up.
    pub fn api_key_hash(&self, api_key: &[u8]) -> [u8; 32] {
        let hash = self.0.clone().chain_update(api_key).finalize();
        hash.into_bytes().into()
    }
}

/// The system gave no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no randomness; see what its log says of it")]
pub struct RandomnessError;

/// A new API key: `csk_` and 256 random bits.
pub fn new_api_key() -> Result<String, RandomnessError> {
    Ok(format!("csk_{}", new_token()?))
}

/// 256 random bits in base64url: who has them is let in, and nobody guesses them.
pub fn new_token() -> Result<String, RandomnessError> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).map_err(|_| RandomnessError)?;
    Ok(URL_SAFE_NO_PAD.encode(bits))
}

/// The secrets shared with customers' endpoints: made of the vault's key, so that none is stored anywhere.
#[derive(Clone)]
pub struct EndpointSecrets(Hmac<Sha256>);

impl EndpointSecrets {
    /// Of this key; running systems take theirs from [`Vault`](super::Vault).
    pub fn new(key: &[u8; 32]) -> EndpointSecrets {
        EndpointSecrets(keyed_hmac(key))
    }

    /// The secret of an endpoint, another one for each version.
    pub fn secret(&self, endpoint_id: u64, version: u32) -> [u8; 32] {
        let named = self.0.clone().chain_update(endpoint_id.to_be_bytes());
        let hash = named.chain_update(version.to_be_bytes()).finalize();
        hash.into_bytes().into()
    }
}

/// SipHash-2-4 with 128 bits of output, for the key under which a message finds its repeat.
///
/// Keyed so that a peer cannot construct two messages that collide. The same parts give the same
/// hash on every machine, build and start (as long as the vault is the same).
#[derive(Clone)]
pub struct MatchKeyHasher(SipHasher24);

impl MatchKeyHasher {
    /// A hasher for this key; running systems take theirs from [`Vault`](super::Vault).
    pub fn new(key: &[u8; 16]) -> MatchKeyHasher {
        MatchKeyHasher(SipHasher24::new_with_key(key))
    }

    /// Starts one key; feed it the parts in a fixed order.
    pub fn hasher(&self) -> MatchKey {
        MatchKey {
            hasher: self.0,
            gathered: ArrayVec::new(),
        }
    }
}

/// A match key under construction. Each part goes in with its length, so `"ab", "c"` and
/// `"a", "bc"` differ.
pub struct MatchKey {
    hasher: SipHasher24,
    /// What the hasher has not seen yet: it takes one long piece far faster than many short ones.
    gathered: ArrayVec<u8, 256>,
}

impl MatchKey {
    /// Adds one part, which may be empty.
    pub fn part(&mut self, bytes: &[u8]) -> &mut MatchKey {
        self.length(bytes.len() as u32);
        self.gather(bytes);
        self
    }

    /// Adds a part that the message may lack; lacking differs from empty.
    pub fn optional_part(&mut self, bytes: Option<&[u8]>) -> &mut MatchKey {
        match bytes {
            Some(bytes) => self.part(bytes),
            None => {
                self.length(u32::MAX);
                self
            }
        }
    }

    /// The hash of the parts so far.
    pub fn finish(&self) -> u128 {
        let mut hasher = self.hasher;
        hasher.write(&self.gathered);
        hasher.finish128().into()
    }

    fn length(&mut self, length: u32) {
        self.gather(&length.to_le_bytes());
    }

    fn gather(&mut self, bytes: &[u8]) {
        if self.gathered.try_extend_from_slice(bytes).is_err() {
            self.hasher.write(&self.gathered);
            self.hasher.write(bytes);
            self.gathered.clear();
        }
    }
}

fn keyed_hmac(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// Hashers hold key material, so `Debug` names the type only.
macro_rules! opaque_debug {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}
opaque_debug!(PanHasher, ApiKeyHasher, MatchKeyHasher, MatchKey);

#[cfg(test)]
mod tests {
    use super::*;

    /// 0, 1, 2, ...: the key of the published SipHash vectors.
    fn counting_key<const N: usize>() -> [u8; N] {
        std::array::from_fn(|at| at as u8)
    }

    fn match_key(parts: &[Option<&[u8]>]) -> u128 {
        let mut key = MatchKeyHasher::new(&counting_key()).hasher();
        for part in parts {
            key.optional_part(*part);
        }
        key.finish()
    }

    /// Journals hold these hashes: a change of this test is a change of format.
    #[test]
    fn hashes_stay_what_they_are() {
        let pans = PanHasher::new(&counting_key());
        let hash = 0x0622241201382a45912fb22828b3f7db;
        assert_eq!(pans.pan_hash(b"4111111111111111"), hash);
        assert_eq!(pans.clone().pan_hash(b"4111111111111111"), hash);

        let api_key_hash = ApiKeyHasher::new(&counting_key()).api_key_hash(b"sk_test_1");
        assert_eq!(api_key_hash[..4], [0x63, 0xbd, 0x7a, 0x61]);
        assert_eq!(api_key_hash[28..], [0xf8, 0xa7, 0x48, 0xcc]);

        // The published vector for no input is a3817f04ba25a8e66df67214c7550293.
        assert_eq!(match_key(&[]), 0x930255c71472f66de6a825ba047f81a3);
        let parts = [Some(&b"0100"[..]), Some(b"ab"), Some(b"c")];
        assert_eq!(match_key(&parts), 0xed42d269b2394ff5094371f85c1b0cbb);
        let parts = [Some(&b"0100"[..]), None, Some(b"")];
        assert_eq!(match_key(&parts), 0xf74b372a86f2c4bfc2f6b2fd5a90144f);
    }

    #[test]
    fn parts_are_kept_apart() {
        let keys = [
            match_key(&[Some(b"ab"), Some(b"c")]),
            match_key(&[Some(b"a"), Some(b"bc")]),
            match_key(&[Some(b"abc")]),
            match_key(&[Some(b"abc"), Some(b"")]),
            match_key(&[Some(b"abc"), None]),
            match_key(&[None, Some(b"abc")]),
            match_key(&[Some(b""), Some(b"abc")]),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "case {at} repeats another");
        }
    }

    #[test]
    fn another_key_gives_another_hash() {
        let pan = b"4111111111111111";
        let (one, other) = (PanHasher::new(&[1; 32]), PanHasher::new(&[2; 32]));
        assert_ne!(one.pan_hash(pan), other.pan_hash(pan));
        let (one, other) = (MatchKeyHasher::new(&[1; 16]), MatchKeyHasher::new(&[2; 16]));
        assert_ne!(one.hasher().finish(), other.hasher().finish());
    }
}

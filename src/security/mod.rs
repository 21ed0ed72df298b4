//! Card data in its types, the keys that protect it, and what is computed with those keys.
//!
//! Lives here: [`Pan`] and [`Cvv2`] (which nothing can print by accident), the [`Vault`] folder of
//! wrapped keys, keyed hashes, the CVV algorithm, card numbers in free text, and the index from PAN hash to card. Does not
//! live here: cards, ISO 8583 fields, and any decision about a verification result.
//!
//! A hardware security module may hold the vault's key-encryption key: a trait with two
//! implementations, in software and over PKCS#11. The keys that it wraps are used in software: a round
//! trip to a device for each message would be on the hot path. Verification values ([`Cvk`]) would be
//! the next to move there.

mod cvv;
mod hash;
mod index;
mod pan;
mod pan_in_text;
mod vault;

pub use cvv::{Cvk, Cvv2};
pub use hash::{
    ApiKeyHasher, EndpointSecrets, MatchKey, MatchKeyHasher, PanHasher, RandomnessError,
    new_api_key, new_token,
};
pub use index::{CardRoute, PanIndex};
pub use pan::{Pan, PanError, allocate_pan, allocate_pan_from_os};
pub use pan_in_text::{holds_pan, mask_number, mask_pans};
pub use vault::{KeyText, SealedPan, Vault, VaultError, VaultSettings};

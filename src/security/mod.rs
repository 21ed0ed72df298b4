//! Card data in its types, the keys that protect it, and what is computed with those keys.
//!
//! Lives here: [`Pan`] and [`Cvv2`] (which nothing can print by accident), the [`Vault`] folder of
//! wrapped keys, keyed hashes, the CVV algorithm, card numbers in free text, and the index from PAN hash to card. Does not
//! live here: cards, ISO 8583 fields, and any decision about a verification result.
//!
//! The seam for a hardware security module is two structs, not a trait: [`Cvk`] (verification
//! values) and the vault's key-encryption key (wrap, unwrap). With one software implementation a
//! trait would only add dynamic calls; PKCS#11 becomes a second variant inside those two structs,
//! and no caller changes. PAN hashing and the match key stay in software in any case, because a
//! round trip to a device per message would be on the hot path.

mod cvv;
mod hash;
mod index;
mod pan;
mod pan_in_text;
mod vault;

pub use cvv::{Cvk, Cvv2};
pub use hash::{
    ApiKeyHasher, EndpointSecrets, MatchKey, MatchKeyHasher, PanHasher, RandomnessError,
    new_api_key,
};
pub use index::{CardRoute, PanIndex};
pub use pan::{Pan, PanError, allocate_pan, allocate_pan_from_os};
pub use pan_in_text::{holds_pan, mask_number, mask_pans};
pub use vault::{KeyText, SealedPan, Vault, VaultError, VaultSettings};

//! The vault folder: every key of the switch, wrapped; sealing and opening of PANs; rotation.
//!
//! `vault.json` holds the keys, each wrapped with AES-256-GCM under one key-encryption key (KEK).
//! The KEK comes from the settings (it may lie in a hardware security module), or else from a file
//! `kek-<check value>.key` that the first start creates in the same folder. Since sealed PANs are in the journal, which never changes,
//! PAN data keys are only ever added; a new one seals, and all of them open.
//!
//! What hashing and verification values do with the keys is in `hash` and `cvv`.

mod file;
mod kek;
mod pkcs11;
mod sealed;
#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use aes_gcm::{Aes256Gcm, KeyInit};
use thiserror::Error;
use zeroize::Zeroizing;

use self::{
    file::{KeyUse, VaultFile},
    kek::Kek,
};
use super::{ApiKeyHasher, Cvk, EndpointSecrets, MatchKeyHasher, Pan, PanHasher};

pub use self::{
    kek::{KeyText, VaultSettings},
    sealed::SealedPan,
};

/// The opened vault. Reading from it needs `&self` only, so share it behind an `Arc`.
pub struct Vault {
    dir: PathBuf,
    kek: Kek,
    created_key: bool,
    data_keys: Vec<DataKey>,
    pan_hasher: PanHasher,
    match_key_hasher: MatchKeyHasher,
    cvk: Cvk,
    api_key_hasher: ApiKeyHasher,
    endpoint_secrets: EndpointSecrets,
}

/// A key that seals PANs, with its schedule ready.
struct DataKey {
    id: u32,
    cipher: Aes256Gcm,
}

impl Vault {
    /// Opens the vault in `dir`, or creates it there if there is none.
    ///
    /// Of several processes that start at once on an empty folder one creates the vault and the
    /// others open that one.
    pub fn open(dir: &Path, settings: &VaultSettings) -> Result<Vault, VaultError> {
        let configured = Kek::configured(settings)?;
        match VaultFile::read(dir)? {
            Some(file) => {
                let kek = match configured {
                    Some(kek) => kek,
                    None => Kek::beside_vault(dir, &file.key_check)?,
                };
                Vault::load(dir, kek, &file)
            }
            None if settings.must_exist => Err(VaultError::Missing {
                path: VaultFile::path(dir),
            }),
            None => Vault::create(dir, configured, settings),
        }
    }

    /// Opens the vault in `dir` to see whether that works, where there is one; makes nothing.
    pub fn check(dir: &Path, settings: &VaultSettings) -> Result<(), VaultError> {
        if VaultFile::read(dir)?.is_none() {
            return Ok(());
        }
        let settings = VaultSettings {
            must_exist: true,
            ..settings.clone()
        };
        Vault::open(dir, &settings).map(|_| ())
    }

    fn create(
        dir: &Path,
        configured: Option<Kek>,
        settings: &VaultSettings,
    ) -> Result<Vault, VaultError> {
        file::create_dir(dir)?;
        let created_key = configured.is_none();
        let kek = match configured {
            Some(kek) => kek,
            None => Kek::create(dir)?,
        };
        let file = VaultFile::generate(&kek)?;
        if !file.create(dir)? {
            // Another process was first; its vault counts, and our key file is for nothing.
            if created_key {
                kek.remove_file(dir)?;
            }
            return Vault::open(dir, settings);
        }
        let mut vault = Vault::load(dir, kek, &file)?;
        vault.created_key = created_key;
        Ok(vault)
    }

    fn load(dir: &Path, kek: Kek, file: &VaultFile) -> Result<Vault, VaultError> {
        file.check_kek(dir, &kek)?;
        let mut data_keys = Vec::new();
        for (id, key) in file.unwrap_all(dir, &kek, KeyUse::PanData)? {
            let cipher = Aes256Gcm::new(&(*key).into());
            data_keys.push(DataKey { id, cipher });
        }
        data_keys.sort_by_key(|key| key.id);
        Ok(Vault {
            pan_hasher: PanHasher::new(&*file.unwrap_one(dir, &kek, KeyUse::PanHash)?),
            match_key_hasher: MatchKeyHasher::new(&*file.unwrap_one(
                dir,
                &kek,
                KeyUse::MatchKey,
            )?),
            cvk: Cvk::new(&*file.unwrap_one(dir, &kek, KeyUse::Cvk)?),
            api_key_hasher: ApiKeyHasher::new(&*file.unwrap_one(dir, &kek, KeyUse::ApiKeyHash)?),
            endpoint_secrets: EndpointSecrets::new(&*file.unwrap_one(
                dir,
                &kek,
                KeyUse::EndpointSecret,
            )?),
            dir: dir.to_owned(),
            kek,
            created_key: false,
            data_keys,
        })
    }

    /// Whether this call of [`Vault::open`] created the key-encryption key, so that the binary can
    /// warn that the key lies beside the data it protects.
    pub fn created_key(&self) -> bool {
        self.created_key
    }

    /// The check value of the key that wraps all others, and where it comes from.
    pub fn key_encryption_key(&self) -> (&str, &str) {
        (&self.kek.check, &self.kek.origin)
    }

    /// The keys that open sealed PANs; the last one seals.
    pub fn data_key_ids(&self) -> Vec<u32> {
        self.data_keys.iter().map(|key| key.id).collect()
    }

    /// The hasher for PAN look-ups; clone one for each task.
    pub fn pan_hasher(&self) -> &PanHasher {
        &self.pan_hasher
    }

    /// The hasher for match keys of repeats; clone one for each task.
    pub fn match_key_hasher(&self) -> &MatchKeyHasher {
        &self.match_key_hasher
    }

    /// The hasher for API keys.
    pub fn api_key_hasher(&self) -> &ApiKeyHasher {
        &self.api_key_hasher
    }

    /// The secrets with which calls to customers are signed.
    pub fn endpoint_secrets(&self) -> &EndpointSecrets {
        &self.endpoint_secrets
    }

    /// The key pair for verification values; clone one for each task.
    pub fn cvk(&self) -> &Cvk {
        &self.cvk
    }

    /// Seals a PAN for one card under the newest data key; only that card id opens it again.
    ///
    /// The 96-bit nonces are random, which NIST SP 800-38D (8.3) allows for 2^32 seals under one
    /// key: rotate the data key before four billion cards.
    pub fn seal_pan(&self, pan: &Pan, card_id: u64) -> Result<SealedPan, VaultError> {
        let newest = self.data_keys.last().expect("load lets no empty list pass");
        sealed::seal(&newest.cipher, newest.id, pan, card_id)
    }

    /// Opens a PAN that was sealed for this card under any data key of this vault.
    pub fn open_pan(&self, sealed: &SealedPan, card_id: u64) -> Result<Pan, VaultError> {
        let key_id = sealed
            .key_id()
            .ok_or(VaultError::PanNotOpened { card_id })?;
        let key = self.data_keys.iter().find(|key| key.id == key_id);
        let key = key.ok_or(VaultError::UnknownDataKey { card_id, key_id })?;
        sealed::open(&key.cipher, sealed, card_id)
    }

    /// Adds a PAN data key, which seals from now on, and gives its id. Other processes that have
    /// the vault open need to open it again before they can read what it seals.
    pub fn rotate_data_key(&mut self) -> Result<u32, VaultError> {
        let _lock = file::lock(&self.dir)?;
        let mut file = self.reread()?;
        let id = file.add_data_key(&self.kek)?;
        file.replace(&self.dir)?;
        *self = Vault::load(&self.dir, self.kek.clone(), &file)?;
        file::remove_leftovers(&self.dir)?;
        Ok(id)
    }

    /// Wraps all keys under another key-encryption key: the one in `new`, or, if `new` names none,
    /// a fresh one in the vault folder. Sealed PANs and hashes stay as they are.
    ///
    /// A crash leaves either the old state or the new one. The file of an old created key goes last, with all other
    /// leftovers, whose names are given; where a crash kept it, the next start or change of the vault removes it. Keep the
    /// old key for as long as backups of the old vault file are kept.
    pub fn rewrap(&mut self, new: &VaultSettings) -> Result<Vec<String>, VaultError> {
        let _lock = file::lock(&self.dir)?;
        let old_file = self.reread()?;
        let new_kek = match Kek::configured(new)? {
            Some(kek) => kek,
            None => Kek::create(&self.dir)?,
        };
        let file = old_file.rewrapped(&self.dir, &self.kek, &new_kek)?;
        file.replace(&self.dir)?;
        *self = Vault::load(&self.dir, new_kek, &file)?;
        file::remove_leftovers(&self.dir)
    }

    /// Removes what changes of the vault that were cut off have left in its folder: drafts, and created keys that wrap
    /// nothing any more. Gives their names.
    pub fn remove_leftovers(&self) -> Result<Vec<String>, VaultError> {
        let _lock = file::lock(&self.dir)?;
        file::remove_leftovers(&self.dir)
    }

    /// The file as it is now: another process may have changed it since this one read it.
    fn reread(&self) -> Result<VaultFile, VaultError> {
        let file = VaultFile::read(&self.dir)?.ok_or_else(|| VaultError::Missing {
            path: VaultFile::path(&self.dir),
        })?;
        file.check_kek(&self.dir, &self.kek)?;
        Ok(file)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Vault")
            .field("dir", &self.dir)
            .field("data_keys", &self.data_keys.len())
            .finish_non_exhaustive()
    }
}

/// What can go wrong with the vault. Names files and ids, never keys or card data.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as in "read".
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A key-encryption key that is not 32 bytes in hex or base64.
    #[error(
        "the vault key in {origin} is neither 64 hex digits nor the base64 of 32 bytes; \
         `head -c 32 /dev/urandom | base64` prints a good new one"
    )]
    KeyFormat {
        /// The setting or file it came from.
        origin: String,
    },
    /// Two sources for one key.
    #[error(
        "of vault.key, vault.key_file and vault.pkcs11_module more than one is set; keep one of them"
    )]
    TwoKeys,
    /// A key in a module is named by four settings.
    #[error(
        "vault.pkcs11_module is set, and vault.{key} is not: it takes pkcs11_token, pkcs11_key and pkcs11_pin too"
    )]
    ModuleSetting {
        /// What is missing.
        key: &'static str,
    },
    /// A hardware security module refused, or is not what the settings say.
    #[error("cannot {action} the PKCS#11 module {} ({detail}); look at the vault.pkcs11_… settings", module.display())]
    Module {
        /// The manufacturer's library.
        module: PathBuf,
        /// What was tried, as in "log in to".
        action: &'static str,
        /// What it said.
        detail: String,
    },
    /// No vault where there must be one.
    #[error(
        "there is no vault at {}, and new keys could not read the existing data: restore the \
         vault folder from a backup",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// No key configured, and none beside the vault.
    #[error(
        "no vault key is configured and {} does not exist: name the key that this vault was wrapped \
         with (vault.key, vault.key_file or vault.pkcs11_module), or restore that file",
        path.display()
    )]
    KeyMissing {
        /// Where a created key would be.
        path: PathBuf,
    },
    /// Another key than the one that wrapped the vault; the vault itself is fine.
    #[error(
        "the vault key in {origin} is not the one that {} was wrapped with (its check value is \
         {expected}, this key's is {actual}): configure the right key",
        path.display()
    )]
    WrongKey {
        /// The vault file.
        path: PathBuf,
        /// The setting or file the key came from.
        origin: String,
        /// Check value in the vault file.
        expected: String,
        /// Check value of the key given.
        actual: String,
    },
    /// The vault file is not what was written.
    #[error("the vault file {} is damaged ({detail}): restore it from a backup", path.display())]
    Damaged {
        /// The vault file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// A key file that other users can read.
    #[error(
        "the key file {} has mode {mode:03o}, so other users can reach it: `chmod 600` it, and \
         rewrap the vault if they may have read it",
        path.display()
    )]
    OpenToOthers {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(getrandom::Error),
    /// A data key that this vault does not have.
    #[error(
        "the PAN of card {card_id} is sealed under data key {key_id}, which this vault does not \
         have: it is older than the data, or another vault; restore the newest one"
    )]
    UnknownDataKey {
        /// The card.
        card_id: u64,
        /// The missing key.
        key_id: u32,
    },
    /// Authentication failed, or the bytes have no known form.
    #[error(
        "the sealed PAN of card {card_id} does not open: it is damaged, or belongs to another \
         card or vault"
    )]
    PanNotOpened {
        /// The card.
        card_id: u64,
    },
}

/// Random bytes from the operating system, wiped on drop.
fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, VaultError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).map_err(VaultError::Randomness)?;
    Ok(bytes)
}

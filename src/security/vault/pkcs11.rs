//! A key-encryption key that never leaves its hardware security module, used through PKCS#11 (OASIS PKCS #11 v3.0). Which
//! key it is, and the file of keys that it wraps, do not live here.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    types::AuthPin,
};
use zeroize::Zeroizing;

use super::{
    VaultError,
    kek::{KeyEncryption, TAG_BYTES, to_hex},
};

/// A key in a module, as the settings name it.
pub(super) struct KeyInModule<'a> {
    /// The manufacturer's library, as in `/usr/lib/softhsm/libsofthsm2.so`.
    pub module: &'a Path,
    /// Label of the token (`CKA_LABEL` of its key is `key`).
    pub token: &'a str,
    pub key: &'a str,
    /// Of the token's user.
    pub pin: &'a str,
}

/// An AES-256 key in a token, with a session that is logged in.
pub(super) struct ModuleKey {
    module: PathBuf,
    /// A session serves one thread at a time.
    session: Mutex<Session>,
    key: ObjectHandle,
}

/// What is encrypted to tell one key from another. Only its first half is shown; GCM encrypts counters that begin
/// with a random nonce, so that it is none of them.
const CHECK_BLOCK: &[u8; 16] = b"cardswitch check";

const TAG_BITS: u64 = 8 * TAG_BYTES as u64;

/// Modules that this process has initialised: PKCS#11 allows it once.
static MODULES: Mutex<Vec<(PathBuf, Pkcs11)>> = Mutex::new(Vec::new());

impl ModuleKey {
    /// Logs in and finds the key.
    pub(super) fn open(named: &KeyInModule<'_>) -> Result<ModuleKey, VaultError> {
        let module = named.module;
        let failed = |action| move |error: Error| module_error(module, action, &error);
        let not_found = |what: String| VaultError::Module {
            module: module.to_owned(),
            action: "use",
            detail: what,
        };
        let pkcs11 = initialised(module)?;
        let slots = pkcs11.get_slots_with_initialized_token();
        let mut slots = slots.map_err(failed("list the tokens of"))?.into_iter();
        let slot = slots.find(|slot| {
            let token = pkcs11.get_token_info(*slot);
            token.is_ok_and(|token| token.label() == named.token)
        });
        let slot =
            slot.ok_or_else(|| not_found(format!("no token has the label {}", named.token)))?;
        let session = pkcs11.open_ro_session(slot);
        let session = session.map_err(failed("open a session with"))?;
        match session.login(UserType::User, Some(&AuthPin::from(named.pin))) {
            // Another session of this process was first.
            Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            logged_in => logged_in.map_err(failed("log in to"))?,
        }
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(named.key.as_bytes().to_vec()),
        ];
        let keys = session.find_objects(&template);
        let key = match keys.map_err(failed("look for the key in"))?[..] {
            [key] => key,
            [] => return Err(not_found(format!("no AES key has the label {}", named.key))),
            _ => {
                return Err(not_found(format!(
                    "several AES keys have the label {}",
                    named.key
                )));
            }
        };
        Ok(ModuleKey {
            module: module.to_owned(),
            session: Mutex::new(session),
            key,
        })
    }

    /// Sixteen hex digits that name the key.
    pub(super) fn check_value(&self) -> Result<String, VaultError> {
        let block =
            self.with_session(|session| session.encrypt(&Mechanism::AesEcb, self.key, CHECK_BLOCK));
        let block = block.map_err(|error| self.error("encrypt with", &error))?;
        Ok(to_hex(block.get(..8).unwrap_or(&block)))
    }

    fn with_session<T>(&self, work: impl FnOnce(&Session) -> T) -> T {
        work(&self.session.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn error(&self, action: &'static str, error: &Error) -> VaultError {
        module_error(&self.module, action, error)
    }
}

impl KeyEncryption for ModuleKey {
    fn encrypt(&self, nonce: &[u8; 12], label: &[u8], key: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = *nonce;
        let sealed = GcmParams::new(&mut nonce, label, TAG_BITS.into()).and_then(|params| {
            self.with_session(|session| session.encrypt(&Mechanism::AesGcm(params), self.key, key))
        });
        sealed.map_err(|error| self.error("encrypt with", &error))
    }

    fn decrypt(
        &self,
        nonce: &[u8; 12],
        label: &[u8],
        sealed: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let mut nonce = *nonce;
        let opened = GcmParams::new(&mut nonce, label, TAG_BITS.into()).and_then(|params| {
            self.with_session(|session| {
                session.decrypt(&Mechanism::AesGcm(params), self.key, sealed)
            })
        });
        match opened {
            Ok(key) => Ok(Some(Zeroizing::new(key))),
            Err(Error::Pkcs11(
                RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange,
                _,
            )) => Ok(None),
            Err(error) => Err(self.error("decrypt with", &error)),
        }
    }
}

fn initialised(module: &Path) -> Result<Pkcs11, VaultError> {
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, pkcs11)) = modules.iter().find(|(path, _)| path == module) {
        return Ok(pkcs11.clone());
    }
    let pkcs11 = Pkcs11::new(module).map_err(|error| module_error(module, "load", &error))?;
    let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    let initialised = pkcs11.initialize(arguments);
    initialised.map_err(|error| module_error(module, "initialise", &error))?;
    modules.push((module.to_owned(), pkcs11.clone()));
    Ok(pkcs11)
}

fn module_error(module: &Path, action: &'static str, error: &Error) -> VaultError {
    VaultError::Module {
        module: module.to_owned(),
        action,
        detail: error.to_string(),
    }
}

impl fmt::Debug for ModuleKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ModuleKey")
            .field("module", &self.module)
            .finish_non_exhaustive()
    }
}

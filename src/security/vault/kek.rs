//! The key-encryption key: where it comes from, its check value, wrapping and unwrapping.

use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Deserializer};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    VaultError, file,
    pkcs11::{KeyInModule, ModuleKey},
    random,
};

/// Where the key-encryption key comes from. With none set, the first start creates one in the vault
/// folder (mode 0600).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VaultSettings {
    /// The key itself: 32 bytes as 64 hex digits or base64. Meant to come from the environment.
    pub key: Option<KeyText>,
    /// A file with the key in the same form. Its mode is not checked, since mounted secrets often
    /// are group-readable.
    pub key_file: Option<PathBuf>,
    /// The PKCS#11 library of a hardware security module. The key is an AES-256 key in it that may
    /// encrypt and decrypt, and need not be extractable.
    pub pkcs11_module: Option<PathBuf>,
    /// Labels of the token and of the key in it.
    pub pkcs11_token: Option<String>,
    pub pkcs11_key: Option<String>,
    /// Of the token's user. Meant to come from the environment.
    pub pkcs11_pin: Option<KeyText>,
    /// Refuse to create a vault: the caller sets it when the journal already holds records, which
    /// new keys could not read.
    #[serde(skip)]
    pub must_exist: bool,
}

impl VaultSettings {
    /// Says whether the key that they name, if they name one, is a key.
    pub fn check(&self) -> Result<(), VaultError> {
        Kek::configured(self).map(|_| ())
    }
}

/// The text of a key or PIN, which `Debug` does not show and drop wipes.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct KeyText(String);

/// A PIN that is a number may be written as one.
impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeyText, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a text")]
        enum Given {
            Text(String),
            Number(u64),
        }
        Ok(match Given::deserialize(deserializer)? {
            Given::Text(text) => KeyText(text),
            Given::Number(number) => KeyText(number.to_string()),
        })
    }
}

impl From<String> for KeyText {
    fn from(text: String) -> KeyText {
        KeyText(text)
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("KeyText(***)")
    }
}

pub(super) const TAG_BYTES: usize = 16;

/// AES-256-GCM (NIST SP 800-38D) under the key-encryption key, wherever that is: in this process, or in a
/// hardware security module that does not give it out.
pub(super) trait KeyEncryption: Send + Sync {
    /// The ciphertext with its tag behind it. `label` is authenticated with it.
    fn encrypt(&self, nonce: &[u8; 12], label: &[u8], key: &[u8]) -> Result<Vec<u8>, VaultError>;

    /// The reverse; `None` if anything was changed.
    fn decrypt(
        &self,
        nonce: &[u8; 12],
        label: &[u8],
        sealed: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError>;
}

impl KeyEncryption for Aes256Gcm {
    fn encrypt(&self, nonce: &[u8; 12], label: &[u8], key: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut sealed = key.to_vec();
        let tag = self
            .encrypt_inout_detached(&(*nonce).into(), label, sealed.as_mut_slice().into())
            .expect("a key is far below the limit of GCM");
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    fn decrypt(
        &self,
        nonce: &[u8; 12],
        label: &[u8],
        sealed: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let Some((sealed_key, tag)) = sealed.split_last_chunk::<TAG_BYTES>() else {
            return Ok(None);
        };
        let mut key = Zeroizing::new(sealed_key.to_vec());
        let (nonce, tag) = ((*nonce).into(), (*tag).into());
        let opened = self.decrypt_inout_detached(&nonce, label, key.as_mut_slice().into(), &tag);
        Ok(opened.ok().map(|()| key))
    }
}

/// As it is to be named in a configuration, which lies in another folder than the one that a command is given in.
fn whole_path(path: &Path) -> String {
    let whole = std::path::absolute(path);
    whole.as_deref().unwrap_or(path).display().to_string()
}

/// The key that wraps all others.
#[derive(Clone)]
pub(super) struct Kek {
    encryption: Arc<dyn KeyEncryption>,
    /// Sixteen hex digits that name this key without telling anything about it.
    pub(super) check: String,
    /// For error messages: the setting or file it came from.
    pub(super) origin: String,
}

impl Kek {
    /// The key that the settings name, if they name one.
    pub(super) fn configured(settings: &VaultSettings) -> Result<Option<Kek>, VaultError> {
        match (&settings.key, &settings.key_file, &settings.pkcs11_module) {
            (Some(text), None, None) => Kek::from_text(&text.0, "vault.key".to_owned()).map(Some),
            (None, Some(path), None) => Kek::from_file(path).map(Some),
            (None, None, Some(module)) => Kek::in_module(module, settings).map(Some),
            (None, None, None) => Ok(None),
            _ => Err(VaultError::TwoKeys),
        }
    }

    fn in_module(module: &Path, settings: &VaultSettings) -> Result<Kek, VaultError> {
        let missing = |key| VaultError::ModuleSetting { key };
        let token = settings.pkcs11_token.as_deref();
        let key = settings.pkcs11_key.as_deref();
        let pin = settings.pkcs11_pin.as_ref();
        let named = KeyInModule {
            module,
            token: token.ok_or_else(|| missing("pkcs11_token"))?,
            key: key.ok_or_else(|| missing("pkcs11_key"))?,
            pin: &pin.ok_or_else(|| missing("pkcs11_pin"))?.0,
        };
        let module_key = ModuleKey::open(&named)?;
        Ok(Kek {
            check: module_key.check_value()?,
            origin: format!("{} of token {}", named.key, named.token),
            encryption: Arc::new(module_key),
        })
    }

    /// The key that was created in the vault folder under this check value.
    pub(super) fn beside_vault(dir: &Path, check: &str) -> Result<Kek, VaultError> {
        let path = created_key_path(dir, check);
        let mode = match fs::metadata(&path) {
            Ok(metadata) => metadata.permissions().mode() & 0o777,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(VaultError::KeyMissing { path });
            }
            Err(error) => return Err(file::io_error("read", &path, error)),
        };
        if mode & 0o077 != 0 {
            return Err(VaultError::OpenToOthers { path, mode });
        }
        Kek::from_file(&path)
    }

    /// Creates a key and its file in the vault folder, durably.
    pub(super) fn create(dir: &Path) -> Result<Kek, VaultError> {
        let key = random::<32>()?;
        let mut text = Zeroizing::new(to_hex(&*key));
        text.push('\n');
        let kek = Kek::from_bytes(&key, String::new());
        let path = created_key_path(dir, &kek.check);
        file::write(&path, text.as_bytes())?;
        let origin = whole_path(&path);
        Ok(Kek { origin, ..kek })
    }

    /// Removes the file of a created key; does nothing for a configured one.
    pub(super) fn remove_file(&self, dir: &Path) -> Result<(), VaultError> {
        let path = created_key_path(dir, &self.check);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(file::io_error("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    /// Nonce, ciphertext and tag in hex. `label` binds the result to its place.
    pub(super) fn wrap(&self, label: &str, key: &[u8]) -> Result<String, VaultError> {
        let nonce = random::<12>()?;
        let sealed = self.encryption.encrypt(&nonce, label.as_bytes(), key)?;
        Ok([to_hex(&*nonce), to_hex(&sealed)].concat())
    }

    /// The reverse of [`Kek::wrap`]; `None` if anything was changed or the length is not `N`.
    pub(super) fn unwrap<const N: usize>(
        &self,
        label: &str,
        wrapped: &str,
    ) -> Result<Option<Zeroizing<[u8; N]>>, VaultError> {
        let bytes = from_hex(wrapped);
        let Some((nonce, sealed)) = bytes.as_ref().and_then(|bytes| bytes.split_first_chunk())
        else {
            return Ok(None);
        };
        let key = self.encryption.decrypt(nonce, label.as_bytes(), sealed)?;
        Ok(key.and_then(|key| Some(Zeroizing::new(key.as_slice().try_into().ok()?))))
    }

    pub(super) fn from_file(path: &Path) -> Result<Kek, VaultError> {
        let text = fs::read_to_string(path);
        let text = Zeroizing::new(text.map_err(|error| file::io_error("read", path, error))?);
        Kek::from_text(&text, whole_path(path))
    }

    fn from_text(text: &str, origin: String) -> Result<Kek, VaultError> {
        match parse_key(text.trim()) {
            Some(key) => Ok(Kek::from_bytes(&key, origin)),
            None => Err(VaultError::KeyFormat { origin }),
        }
    }

    fn from_bytes(key: &[u8; 32], origin: String) -> Kek {
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key);
        let mac = mac.expect("HMAC takes keys of any length");
        let check = mac.chain_update(b"cardswitch vault key check").finalize();
        Kek {
            encryption: Arc::new(Aes256Gcm::new(&(*key).into())),
            check: to_hex(&check.as_bytes()[..8]),
            origin,
        }
    }
}

fn created_key_path(dir: &Path, check: &str) -> PathBuf {
    dir.join(format!("kek-{check}.key"))
}

fn parse_key(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = match text.len() {
        64 => from_hex(text)?,
        _ => from_base64(text)?,
    };
    let key = <[u8; 32]>::try_from(&bytes[..]).ok()?;
    Some(Zeroizing::new(key))
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    for pair in text.as_bytes().chunks(2) {
        let &[high, low] = pair else { return None };
        let digit = |ascii: u8| char::from(ascii).to_digit(16);
        bytes.push((digit(high)? << 4 | digit(low)?) as u8);
    }
    Some(bytes)
}

/// Standard alphabet (RFC 4648, section 4); the padding may be missing.
fn from_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut pending, mut bits) = (0u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        pending = pending << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((pending >> bits) as u8);
            pending &= (1 << bits) - 1;
        }
    }
    (pending == 0).then_some(bytes)
}

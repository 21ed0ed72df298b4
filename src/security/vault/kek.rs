//! The key-encryption key: where it comes from, its check value, wrapping and unwrapping.

use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{VaultError, file, random};

/// Where the key-encryption key comes from. With neither key set, the first start creates one in
/// the vault folder (mode 0600).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VaultSettings {
    /// The key itself: 32 bytes as 64 hex digits or base64. Meant to come from the environment.
    pub key: Option<KeyText>,
    /// A file with the key in the same form. Its mode is not checked, since mounted secrets often
    /// are group-readable.
    pub key_file: Option<PathBuf>,
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

/// The text of a key, which `Debug` does not show and drop wipes.
#[derive(Clone, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct KeyText(String);

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

/// The key that wraps all others. The place where a hardware module would come in.
#[derive(Clone)]
pub(super) struct Kek {
    cipher: Aes256Gcm,
    /// Sixteen hex digits that name this key without telling anything about it.
    pub(super) check: String,
    /// For error messages: the setting or file it came from.
    pub(super) origin: String,
}

impl Kek {
    /// The key that the settings name, if they name one.
    pub(super) fn configured(settings: &VaultSettings) -> Result<Option<Kek>, VaultError> {
        match (&settings.key, &settings.key_file) {
            (Some(_), Some(_)) => Err(VaultError::TwoKeys),
            (Some(text), None) => Kek::from_text(&text.0, "vault.key".to_owned()).map(Some),
            (None, Some(path)) => Kek::from_file(path).map(Some),
            (None, None) => Ok(None),
        }
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
        let origin = path.display().to_string();
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

    pub(super) fn is_same(&self, other: &Kek) -> bool {
        self.check == other.check
    }

    /// Nonce, ciphertext and tag in hex. `label` binds the result to its place.
    pub(super) fn wrap(&self, label: &str, key: &[u8]) -> Result<String, VaultError> {
        let nonce = random::<12>()?;
        let mut bytes = Zeroizing::new(key.to_vec());
        let tag = self
            .cipher
            .encrypt_inout_detached(
                &(*nonce).into(),
                label.as_bytes(),
                bytes.as_mut_slice().into(),
            )
            .expect("a key is far below the limit of GCM");
        Ok([to_hex(&*nonce), to_hex(&bytes), to_hex(&tag)].concat())
    }

    /// The reverse of [`Kek::wrap`]; `None` if anything was changed or the length is not `N`.
    pub(super) fn unwrap<const N: usize>(
        &self,
        label: &str,
        wrapped: &str,
    ) -> Option<Zeroizing<[u8; N]>> {
        let bytes = from_hex(wrapped)?;
        let (nonce, rest) = bytes.split_first_chunk::<12>()?;
        let (wrapped_key, tag) = rest.split_last_chunk::<16>()?;
        let wrapped_key: [u8; N] = wrapped_key.try_into().ok()?;
        let mut key = Zeroizing::new(wrapped_key);
        let (nonce, tag) = ((*nonce).into(), (*tag).into());
        let label = label.as_bytes();
        let opened =
            self.cipher
                .decrypt_inout_detached(&nonce, label, key.as_mut_slice().into(), &tag);
        opened.ok().map(|()| key)
    }

    fn from_file(path: &Path) -> Result<Kek, VaultError> {
        let text = fs::read_to_string(path);
        let text = Zeroizing::new(text.map_err(|error| file::io_error("read", path, error))?);
        Kek::from_text(&text, path.display().to_string())
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
            cipher: Aes256Gcm::new(&(*key).into()),
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

//! The files of the vault folder: the form of `vault.json`, and writes that survive a crash.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    VaultError,
    kek::{Kek, to_hex},
    random,
};

const FILE_NAME: &str = "vault.json";
const FORMAT: &str = "cardswitch-vault-1";

/// What a wrapped key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyUse {
    PanData,
    PanHash,
    MatchKey,
    Cvk,
    ApiKeyHash,
    EndpointSecret,
}

/// The content of `vault.json`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VaultFile {
    format: String,
    /// Check value of the key-encryption key, which tells a wrong key from damage.
    pub(super) key_check: String,
    keys: Vec<WrappedKey>,
    /// SHA-256 over the rest; against damage, not against an attacker (the wrapping is).
    checksum: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrappedKey {
    #[serde(rename = "use")]
    key_use: KeyUse,
    id: u32,
    wrapped: String,
}

/// A key by its id.
type Unwrapped<const N: usize> = (u32, Zeroizing<[u8; N]>);

impl WrappedKey {
    fn wrap(kek: &Kek, key_use: KeyUse, id: u32, key: &[u8]) -> Result<WrappedKey, VaultError> {
        let wrapped = kek.wrap(&label(key_use, id), key)?;
        Ok(WrappedKey {
            key_use,
            id,
            wrapped,
        })
    }
}

impl VaultFile {
    pub(super) fn path(dir: &Path) -> PathBuf {
        dir.join(FILE_NAME)
    }

    /// A new set of random keys.
    pub(super) fn generate(kek: &Kek) -> Result<VaultFile, VaultError> {
        let mut cvk = random::<16>()?;
        // DES ignores the parity bits, but hardware modules refuse keys without odd parity.
        for byte in cvk.iter_mut() {
            *byte ^= u8::from(byte.count_ones() % 2 == 0);
        }
        let keys = vec![
            WrappedKey::wrap(kek, KeyUse::PanData, 1, &*random::<32>()?)?,
            WrappedKey::wrap(kek, KeyUse::PanHash, 1, &*random::<32>()?)?,
            WrappedKey::wrap(kek, KeyUse::MatchKey, 1, &*random::<16>()?)?,
            WrappedKey::wrap(kek, KeyUse::Cvk, 1, &*cvk)?,
            WrappedKey::wrap(kek, KeyUse::ApiKeyHash, 1, &*random::<32>()?)?,
            WrappedKey::wrap(kek, KeyUse::EndpointSecret, 1, &*random::<32>()?)?,
        ];
        Ok(VaultFile::sealed(kek, keys))
    }

    fn sealed(kek: &Kek, keys: Vec<WrappedKey>) -> VaultFile {
        let mut file = VaultFile {
            format: FORMAT.to_owned(),
            key_check: kek.check.clone(),
            keys,
            checksum: String::new(),
        };
        file.checksum = file.computed_checksum();
        file
    }

    /// Reads and checks the file; `None` if there is none.
    pub(super) fn read(dir: &Path) -> Result<Option<VaultFile>, VaultError> {
        let path = VaultFile::path(dir);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &path, error)),
        };
        let file: VaultFile = serde_json::from_slice(&text)
            .map_err(|error| damaged(dir, format!("it is not the expected JSON: {error}")))?;
        if file.format != FORMAT {
            let detail = format!("its format is not {FORMAT}, the one this version reads");
            return Err(damaged(dir, detail));
        }
        if file.checksum != file.computed_checksum() {
            return Err(damaged(dir, "its checksum does not fit".to_owned()));
        }
        Ok(Some(file))
    }

    pub(super) fn check_kek(&self, dir: &Path, kek: &Kek) -> Result<(), VaultError> {
        if self.key_check == kek.check {
            return Ok(());
        }
        Err(VaultError::WrongKey {
            path: VaultFile::path(dir),
            origin: kek.origin.clone(),
            expected: self.key_check.clone(),
            actual: kek.check.clone(),
        })
    }

    /// All keys of one use, of which there is at least one.
    pub(super) fn unwrap_all<const N: usize>(
        &self,
        dir: &Path,
        kek: &Kek,
        key_use: KeyUse,
    ) -> Result<Vec<Unwrapped<N>>, VaultError> {
        let mut keys = Vec::new();
        for entry in self.keys.iter().filter(|entry| entry.key_use == key_use) {
            let label = label(key_use, entry.id);
            let key = kek.unwrap(&label, &entry.wrapped)?;
            let key = key.ok_or_else(|| damaged(dir, format!("the key {label} does not open")))?;
            keys.push((entry.id, key));
        }
        match keys.is_empty() {
            true => Err(damaged(dir, format!("it has no {key_use:?} key"))),
            false => Ok(keys),
        }
    }

    /// The only key of one use.
    pub(super) fn unwrap_one<const N: usize>(
        &self,
        dir: &Path,
        kek: &Kek,
        key_use: KeyUse,
    ) -> Result<Zeroizing<[u8; N]>, VaultError> {
        let mut keys = self.unwrap_all(dir, kek, key_use)?;
        match (keys.pop(), keys.is_empty()) {
            (Some((_, key)), true) => Ok(key),
            _ => Err(damaged(dir, format!("it has several {key_use:?} keys"))),
        }
    }

    /// Adds a PAN data key under the next id.
    pub(super) fn add_data_key(&mut self, kek: &Kek) -> Result<u32, VaultError> {
        let data_keys = self
            .keys
            .iter()
            .filter(|key| key.key_use == KeyUse::PanData);
        let id = data_keys.map(|key| key.id).max().unwrap_or(0) + 1;
        let mut keys = std::mem::take(&mut self.keys);
        keys.push(WrappedKey::wrap(
            kek,
            KeyUse::PanData,
            id,
            &*random::<32>()?,
        )?);
        *self = VaultFile::sealed(kek, keys);
        Ok(id)
    }

    /// The same keys under another key-encryption key.
    pub(super) fn rewrapped(
        &self,
        dir: &Path,
        old: &Kek,
        new: &Kek,
    ) -> Result<VaultFile, VaultError> {
        let mut keys = Vec::new();
        for key_use in [
            KeyUse::PanData,
            KeyUse::PanHash,
            KeyUse::ApiKeyHash,
            KeyUse::EndpointSecret,
        ] {
            for (id, key) in self.unwrap_all::<32>(dir, old, key_use)? {
                keys.push(WrappedKey::wrap(new, key_use, id, &*key)?);
            }
        }
        for key_use in [KeyUse::MatchKey, KeyUse::Cvk] {
            for (id, key) in self.unwrap_all::<16>(dir, old, key_use)? {
                keys.push(WrappedKey::wrap(new, key_use, id, &*key)?);
            }
        }
        Ok(VaultFile::sealed(new, keys))
    }

    /// Writes the file if there is none yet; `false` if another process was first.
    pub(super) fn create(&self, dir: &Path) -> Result<bool, VaultError> {
        let path = VaultFile::path(dir);
        let draft = write_draft(&path, &self.to_json())?;
        // Unlike a rename, a link never replaces, so exactly one process can succeed.
        let linked = fs::hard_link(&draft, &path);
        fs::remove_file(&draft).map_err(|error| io_error("remove", &draft, error))?;
        match linked {
            Ok(()) => sync_dir(dir).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(io_error("create", &path, error)),
        }
    }

    /// Writes the file in place of the old one; needs the [`lock`].
    pub(super) fn replace(&self, dir: &Path) -> Result<(), VaultError> {
        write(&VaultFile::path(dir), &self.to_json())
    }

    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("strings and numbers always serialize")
    }

    fn computed_checksum(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{}\n{}\n", self.format, self.key_check));
        for key in &self.keys {
            hash.update(format!("{}\n{}\n", label(key.key_use, key.id), key.wrapped));
        }
        to_hex(&hash.finalize())
    }
}

/// Binds a wrapped key to its use and id, so that two entries cannot be swapped.
fn label(key_use: KeyUse, id: u32) -> String {
    let key_use = match key_use {
        KeyUse::PanData => "pan_data",
        KeyUse::PanHash => "pan_hash",
        KeyUse::MatchKey => "match_key",
        KeyUse::Cvk => "cvk",
        KeyUse::ApiKeyHash => "api_key_hash",
        KeyUse::EndpointSecret => "endpoint_secret",
    };
    format!("{FORMAT}/{key_use}/{id}")
}

/// Makes the folder with mode 0700, or sets that mode if it is there.
pub(super) fn create_dir(dir: &Path) -> Result<(), VaultError> {
    let made = DirBuilder::new().mode(0o700).recursive(true).create(dir);
    made.map_err(|error| io_error("create", dir, error))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
        .map_err(|error| io_error("set the mode of", dir, error))?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Keeps two processes from changing the vault at once; released on drop.
pub(super) fn lock(dir: &Path) -> Result<File, VaultError> {
    let path = dir.join("vault.lock");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600);
    let file = file
        .open(&path)
        .map_err(|error| io_error("open", &path, error))?;
    give_to_owner_of(dir, &file).map_err(|error| io_error("give its owner to", &path, error))?;
    file.lock()
        .map_err(|error| io_error("lock", &path, error))?;
    Ok(file)
}

/// Writes a file durably and at once: a crash leaves the old one or the new one.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), VaultError> {
    let draft = write_draft(path, content)?;
    if let Err(error) = fs::rename(&draft, path) {
        let _ = fs::remove_file(&draft);
        return Err(io_error("replace", path, error));
    }
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Removes what writes that were cut off have left: drafts, and created key-encryption keys that the vault file is not
/// wrapped under. Needs the [`lock`]. Gives their names.
pub(super) fn remove_leftovers(dir: &Path) -> Result<Vec<String>, VaultError> {
    let Some(file) = VaultFile::read(dir)? else {
        return Ok(Vec::new());
    };
    // The file that counts is there for good before the key of another one goes.
    sync_dir(dir)?;
    let read = |error| io_error("read", dir, error);
    let mut removed = Vec::new();
    for entry in fs::read_dir(dir).map_err(read)? {
        let entry = entry.map_err(read)?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if is_leftover(&entry.path(), &name, &file.key_check) {
            fs::remove_file(entry.path())
                .map_err(|error| io_error("remove", &entry.path(), error))?;
            removed.push(name);
        }
    }
    removed.sort();
    Ok(removed)
}

fn is_leftover(path: &Path, name: &str, key_check: &str) -> bool {
    let hex = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some((of, number)) = name
        .strip_suffix(".draft")
        .and_then(|name| name.rsplit_once('.'))
    {
        return hex(number) && (of == FILE_NAME || of.starts_with("kek-"));
    }
    let named = name
        .strip_prefix("kek-")
        .and_then(|name| name.strip_suffix(".key"));
    // The key that counts may lie here under another name, put there by hand.
    named.is_some_and(|check| hex(check) && check != key_check)
        && Kek::from_file(path).is_ok_and(|kek| kek.check != key_check)
}

/// Root may work on the vault of the user that the switch runs as, who has to read it afterwards.
fn give_to_owner_of(dir: &Path, file: &File) -> io::Result<()> {
    let (owner, now) = (fs::metadata(dir)?, file.metadata()?);
    match owner.uid() == now.uid() {
        true => Ok(()),
        false => fchown(file, Some(owner.uid()), Some(owner.gid())),
    }
}

/// A synced file of mode 0600 beside `path`, under a name that nobody else has, of the folder's owner.
fn write_draft(path: &Path, content: &[u8]) -> Result<PathBuf, VaultError> {
    let mut draft = path.to_owned().into_os_string();
    draft.push(format!(".{}.draft", to_hex(&*random::<8>()?)));
    let draft = PathBuf::from(draft);
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft);
    let written = file.and_then(|mut file| {
        give_to_owner_of(path.parent().unwrap_or(Path::new(".")), &file)?;
        file.write_all(content)?;
        file.sync_all()
    });
    if let Err(error) = written {
        let _ = fs::remove_file(&draft);
        return Err(io_error("write", &draft, error));
    }
    Ok(draft)
}

fn sync_dir(dir: &Path) -> Result<(), VaultError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| io_error("sync", dir, error))
}

fn damaged(dir: &Path, detail: String) -> VaultError {
    let path = VaultFile::path(dir);
    VaultError::Damaged { path, detail }
}

pub(super) fn io_error(action: &'static str, path: &Path, source: io::Error) -> VaultError {
    let path = path.to_owned();
    VaultError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Someone who can write the file, but lacks the key, can fix its checksum too.
    #[test]
    fn a_wrapped_key_opens_only_in_its_own_place() {
        let dir = tempfile::tempdir().unwrap();
        let kek = Kek::create(dir.path()).unwrap();
        let mut file = VaultFile::generate(&kek).unwrap();
        let place = |file: &VaultFile, key_use| {
            let mut keys = file.keys.iter();
            keys.position(|key| key.key_use == key_use).unwrap()
        };
        let (pan, api) = (
            place(&file, KeyUse::PanHash),
            place(&file, KeyUse::ApiKeyHash),
        );
        let moved = file.keys[pan].wrapped.clone();
        file.keys[api].wrapped = moved;
        file.checksum = file.computed_checksum();
        assert!(file.create(dir.path()).unwrap());

        let file = VaultFile::read(dir.path()).unwrap().unwrap();
        let pan_hash = file.unwrap_one::<32>(dir.path(), &kek, KeyUse::PanHash);
        assert!(pan_hash.is_ok());
        let api_key_hash = file.unwrap_one::<32>(dir.path(), &kek, KeyUse::ApiKeyHash);
        let error = api_key_hash.unwrap_err().to_string();
        assert!(
            error.contains("cardswitch-vault-1/api_key_hash/1 does not open"),
            "{error}"
        );
    }

    #[test]
    fn a_vault_file_is_never_created_over_another() {
        let dir = tempfile::tempdir().unwrap();
        let kek = Kek::create(dir.path()).unwrap();
        let (first, second) = (VaultFile::generate(&kek), VaultFile::generate(&kek));
        assert!(first.as_ref().unwrap().create(dir.path()).unwrap());
        assert!(!second.unwrap().create(dir.path()).unwrap());
        let there = VaultFile::read(dir.path()).unwrap().unwrap();
        assert_eq!(there.checksum, first.unwrap().checksum);
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            2,
            "no draft stays behind"
        );
    }
}

//! The vault as its callers see it, on real folders.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use tempfile::TempDir;

use super::*;
use crate::security::{MatchKey, PanError, PanIndex};

const PAN: &str = "4111111111111111";
const PANS: [&str; 5] = [
    PAN,
    "4761739001010119",
    "5555555555554444",
    "5413330089604111",
    "371449635398431",
];
const HEX_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// The same 32 bytes as [`HEX_KEY`].
const BASE64_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn created() -> VaultSettings {
    VaultSettings::default()
}

fn with_key(text: &str) -> VaultSettings {
    VaultSettings {
        key: Some(text.to_owned().into()),
        ..created()
    }
}

fn new_vault(settings: &VaultSettings) -> (TempDir, Vault) {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(&dir.path().join("vault"), settings).unwrap();
    (dir, vault)
}

fn pan(text: &str) -> Pan {
    Pan::parse(text).unwrap()
}

fn file_names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn open_error(dir: &Path, settings: &VaultSettings) -> VaultError {
    Vault::open(dir, settings).unwrap_err()
}

/// A sealed PAN with one byte changed, by way of its stored form.
fn tampered(sealed: &SealedPan, at: usize, flip: u8) -> SealedPan {
    let mut stored = postcard::to_allocvec(sealed).unwrap();
    stored[1 + at] ^= flip;
    postcard::from_bytes(&stored).unwrap()
}

#[test]
fn sealed_pans_open_for_their_card_and_no_other() {
    let (_dir, vault) = new_vault(&created());
    for (card_id, text) in (1..).zip(PANS) {
        let sealed = vault.seal_pan(&pan(text), card_id).unwrap();
        let opened = vault.open_pan(&sealed, card_id).unwrap();
        assert_eq!(opened.digits(), text);
        assert_eq!(sealed.as_bytes().len(), 43, "whatever the PAN's length");
        for other in [0, card_id + 1, u64::MAX] {
            let error = vault.open_pan(&sealed, other).unwrap_err();
            assert!(matches!(error, VaultError::PanNotOpened { card_id } if card_id == other));
        }
    }
}

#[test]
fn pans_of_every_length_survive() {
    let (_dir, vault) = new_vault(&created());
    for length in 12..=19 {
        let drawn = crate::security::allocate_pan_from_os("411111", length).unwrap();
        let sealed = vault.seal_pan(&drawn, 5).unwrap();
        assert_eq!(vault.open_pan(&sealed, 5).unwrap().digits(), drawn.digits());
    }
}

#[test]
fn any_changed_byte_is_noticed() {
    let (_dir, vault) = new_vault(&created());
    let sealed = vault.seal_pan(&pan(PAN), 9).unwrap();
    for at in 0..sealed.as_bytes().len() {
        for flip in [1, 0x80, 0xff] {
            let changed = tampered(&sealed, at, flip);
            assert!(vault.open_pan(&changed, 9).is_err(), "byte {at} ^ {flip}");
        }
    }
    let short: SealedPan = postcard::from_bytes(&[0]).unwrap();
    assert!(matches!(
        vault.open_pan(&short, 9),
        Err(VaultError::PanNotOpened { card_id: 9 })
    ));
}

#[test]
fn the_same_pan_never_seals_to_the_same_bytes() {
    let (_dir, vault) = new_vault(&created());
    let (one, other) = (vault.seal_pan(&pan(PAN), 1), vault.seal_pan(&pan(PAN), 1));
    assert_ne!(one.unwrap(), other.unwrap());
}

#[test]
fn sealed_pans_are_stored_as_bytes() {
    let (_dir, vault) = new_vault(&created());
    let sealed = vault.seal_pan(&pan(PAN), 1).unwrap();
    let stored = postcard::to_allocvec(&sealed).unwrap();
    assert_eq!(stored.len(), 44);
    assert_eq!(postcard::from_bytes::<SealedPan>(&stored).unwrap(), sealed);
    let json = serde_json::to_string(&sealed).unwrap();
    assert_eq!(serde_json::from_str::<SealedPan>(&json).unwrap(), sealed);
    let too_long = vec![0u8; 49];
    let json = serde_json::to_string(&too_long).unwrap();
    assert!(serde_json::from_str::<SealedPan>(&json).is_err());
    let postcard = postcard::to_allocvec(&too_long).unwrap();
    assert!(postcard::from_bytes::<SealedPan>(&postcard).is_err());
}

#[test]
fn a_second_start_finds_the_same_keys() {
    let (dir, first) = new_vault(&created());
    assert!(first.created_key());
    let sealed = first.seal_pan(&pan(PAN), 3).unwrap();
    let again = Vault::open(&dir.path().join("vault"), &created()).unwrap();
    assert!(!again.created_key());
    assert_eq!(again.open_pan(&sealed, 3).unwrap().digits(), PAN);
    assert_same_hashes(&first, &again);
}

fn assert_same_hashes(one: &Vault, other: &Vault) {
    let digits = PAN.as_bytes();
    let pan_hash = |vault: &Vault| vault.pan_hasher().pan_hash(digits);
    let match_key = |vault: &Vault| vault.match_key_hasher().hasher().part(b"a").finish();
    let api_key = |vault: &Vault| vault.api_key_hasher().api_key_hash(b"key");
    let cvv2 = |vault: &Vault| vault.cvk().cvv2(&pan(PAN), 2030, 1).digits().to_owned();
    assert_eq!(pan_hash(one), pan_hash(other));
    assert_eq!(match_key(one), match_key(other));
    assert_eq!(api_key(one), api_key(other));
    assert_eq!(cvv2(one), cvv2(other));
}

#[test]
fn two_vaults_share_nothing() {
    let (_one_dir, one) = new_vault(&with_key(HEX_KEY));
    let (_other_dir, other) = new_vault(&with_key(HEX_KEY));
    let hash = |vault: &Vault| vault.pan_hasher().pan_hash(PAN.as_bytes());
    assert_ne!(hash(&one), hash(&other));
    let sealed = one.seal_pan(&pan(PAN), 1).unwrap();
    assert!(other.open_pan(&sealed, 1).is_err());
}

#[test]
fn only_the_owner_can_reach_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let vault_dir = dir.path().join("vault");
    fs::create_dir(&vault_dir).unwrap();
    fs::set_permissions(&vault_dir, fs::Permissions::from_mode(0o755)).unwrap();
    let mut vault = Vault::open(&vault_dir, &created()).unwrap();
    vault.rotate_data_key().unwrap();
    vault.rewrap(&created()).unwrap();
    assert_eq!(mode(&vault_dir), 0o700);
    let names = file_names(&vault_dir);
    let [key, vault_json, vault_lock] = &names[..] else {
        panic!("unexpected files: {names:?}");
    };
    assert!(key.starts_with("kek-") && key.ends_with(".key"), "{key}");
    assert_eq!(
        (&vault_json[..], &vault_lock[..]),
        ("vault.json", "vault.lock")
    );
    for name in &names {
        assert_eq!(mode(&vault_dir.join(name)), 0o600, "{name}");
    }
    let key = vault_dir.join(key);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = open_error(&vault_dir, &created());
    assert!(
        matches!(error, VaultError::OpenToOthers { mode: 0o640, .. }),
        "{error}"
    );
}

#[test]
fn a_configured_key_leaves_none_in_the_folder() {
    let (dir, vault) = new_vault(&with_key(HEX_KEY));
    assert!(!vault.created_key());
    let vault_dir = dir.path().join("vault");
    assert_eq!(file_names(&vault_dir), ["vault.json"]);

    Vault::open(&vault_dir, &with_key(BASE64_KEY)).unwrap();
    Vault::open(&vault_dir, &with_key(BASE64_KEY.trim_end_matches('='))).unwrap();
    Vault::open(
        &vault_dir,
        &with_key(&format!(" {}\n", HEX_KEY.to_uppercase())),
    )
    .unwrap();
    let key_file = dir.path().join("key");
    fs::write(&key_file, format!("{HEX_KEY}\n")).unwrap();
    let settings = VaultSettings {
        key_file: Some(key_file),
        ..created()
    };
    Vault::open(&vault_dir, &settings).unwrap();
}

#[test]
fn settings_read_from_toml() {
    let text = format!("key = \"{HEX_KEY}\"");
    let settings: VaultSettings = toml::from_str(&text).unwrap();
    new_vault(&settings);
    let settings: VaultSettings = toml::from_str("key_file = \"vault.key\"").unwrap();
    assert_eq!(settings.key_file.as_deref(), Some(Path::new("vault.key")));
    assert!(toml::from_str::<VaultSettings>("").unwrap().key.is_none());
    assert!(toml::from_str::<VaultSettings>("must_exist = true").is_err());
}

#[test]
fn keys_that_are_none_say_what_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let odd = &HEX_KEY[1..];
    let not_hex = HEX_KEY.replace('0', "g");
    for text in [
        "",
        "secret",
        odd,
        &not_hex,
        "AAECAw==",
        "ÄÖÜ",
        &BASE64_KEY[4..],
    ] {
        let error = open_error(dir.path(), &with_key(text)).to_string();
        assert!(error.contains("vault.key"), "{error}");
        assert!(
            error.contains("64 hex digits") && error.contains("base64"),
            "{error}"
        );
        assert!(text.is_empty() || !error.contains(text), "{error}");
    }
    let missing = VaultSettings {
        key_file: Some(dir.path().join("nowhere")),
        ..created()
    };
    let error = open_error(dir.path(), &missing).to_string();
    assert!(
        error.contains("cannot read") && error.contains("nowhere"),
        "{error}"
    );
    let both = VaultSettings {
        key: Some(HEX_KEY.to_owned().into()),
        ..missing
    };
    assert!(matches!(open_error(dir.path(), &both), VaultError::TwoKeys));
    assert!(file_names(dir.path()).is_empty(), "nothing was created");
}

#[test]
fn a_wrong_key_is_told_apart_from_damage() {
    let (dir, vault) = new_vault(&with_key(HEX_KEY));
    let vault_dir = dir.path().join("vault");
    let error = open_error(&vault_dir, &with_key(OTHER_KEY));
    assert!(matches!(error, VaultError::WrongKey { .. }), "{error}");
    assert!(error.to_string().contains("vault.json"), "{error}");
    let error = open_error(&vault_dir, &created());
    assert!(matches!(error, VaultError::KeyMissing { .. }), "{error}");

    let path = vault_dir.join("vault.json");
    let intact = fs::read(&path).unwrap();
    for at in 0..intact.len() {
        let mut damaged = intact.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let error = open_error(&vault_dir, &with_key(HEX_KEY));
        assert!(
            matches!(error, VaultError::Damaged { .. }),
            "byte {at}: {error}"
        );
    }
    fs::write(&path, &intact[..intact.len() / 2]).unwrap();
    let error = open_error(&vault_dir, &with_key(HEX_KEY)).to_string();
    assert!(
        error.contains("vault.json") && error.contains("backup"),
        "{error}"
    );
    fs::write(&path, &intact).unwrap();
    assert_same_hashes(
        &vault,
        &Vault::open(&vault_dir, &with_key(HEX_KEY)).unwrap(),
    );
}

#[test]
fn lost_files_are_never_replaced_by_new_keys() {
    let (dir, _vault) = new_vault(&created());
    let vault_dir = dir.path().join("vault");
    let key = vault_dir.join(&file_names(&vault_dir)[0]);
    fs::rename(&key, dir.path().join("elsewhere")).unwrap();
    let error = open_error(&vault_dir, &created());
    assert!(
        matches!(&error, VaultError::KeyMissing { path } if *path == key),
        "{error}"
    );

    fs::remove_file(vault_dir.join("vault.json")).unwrap();
    let must_exist = VaultSettings {
        must_exist: true,
        ..created()
    };
    let error = open_error(&vault_dir, &must_exist);
    assert!(matches!(error, VaultError::Missing { .. }), "{error}");
    assert!(file_names(&vault_dir).is_empty());
}

#[test]
fn a_crash_before_the_vault_file_starts_over() {
    let dir = tempfile::tempdir().unwrap();
    Kek::create(dir.path()).unwrap();
    let vault = Vault::open(dir.path(), &created()).unwrap();
    assert!(vault.created_key());
    Vault::open(dir.path(), &created()).unwrap();
}

#[test]
fn old_pans_stay_readable_through_rotation_and_rewrapping() {
    let (dir, mut vault) = new_vault(&created());
    let vault_dir = dir.path().join("vault");
    let before = vault.pan_hasher().pan_hash(PAN.as_bytes());
    let mut sealed = vec![vault.seal_pan(&pan(PAN), 1).unwrap()];
    assert_eq!(vault.rotate_data_key().unwrap(), 2);
    sealed.push(vault.seal_pan(&pan(PAN), 2).unwrap());
    vault.rewrap(&with_key(HEX_KEY)).unwrap();
    assert_eq!(file_names(&vault_dir), ["vault.json", "vault.lock"]);
    assert_eq!(vault.rotate_data_key().unwrap(), 3);
    sealed.push(vault.seal_pan(&pan(PAN), 3).unwrap());
    vault.rewrap(&with_key(OTHER_KEY)).unwrap();
    vault.rewrap(&created()).unwrap();
    sealed.push(vault.seal_pan(&pan(PAN), 4).unwrap());
    let ids: Vec<_> = sealed
        .iter()
        .map(|sealed| sealed.key_id().unwrap())
        .collect();
    assert_eq!(ids, [1, 2, 3, 3]);

    let again = Vault::open(&vault_dir, &created()).unwrap();
    for (vault, what) in [(&vault, "rotated"), (&again, "opened again")] {
        for (card_id, sealed) in (1..).zip(&sealed) {
            let opened = vault.open_pan(sealed, card_id).unwrap();
            assert_eq!(opened.digits(), PAN, "{what}, card {card_id}");
        }
        assert_eq!(
            vault.pan_hasher().pan_hash(PAN.as_bytes()),
            before,
            "{what}"
        );
    }
    for old in [HEX_KEY, OTHER_KEY] {
        let error = open_error(&vault_dir, &with_key(old));
        assert!(matches!(error, VaultError::WrongKey { .. }), "{error}");
    }
}

#[test]
fn rewrapping_under_the_same_key_keeps_its_file() {
    let (dir, mut vault) = new_vault(&created());
    let vault_dir = dir.path().join("vault");
    let key = vault_dir.join(&file_names(&vault_dir)[0]);
    let same = VaultSettings {
        key_file: Some(key),
        ..created()
    };
    vault.rewrap(&same).unwrap();
    Vault::open(&vault_dir, &created()).unwrap();
}

/// A draft and two keys, as killed rewraps leave them.
fn leave_leftovers(vault_dir: &Path) -> [String; 3] {
    let draft = "vault.json.66f5239ce87f1956.draft".to_owned();
    fs::write(vault_dir.join(&draft), "{").unwrap();
    let old = Kek::create(vault_dir).unwrap();
    let key = format!("kek-{}.key", old.check);
    let key_draft = format!("{key}.0123456789abcdef.draft");
    fs::copy(vault_dir.join(&key), vault_dir.join(&key_draft)).unwrap();
    let mut left = [draft, key, key_draft];
    left.sort();
    left
}

#[test]
fn what_cut_off_changes_left_is_removed_and_nothing_else() {
    let (dir, mut vault) = new_vault(&created());
    let vault_dir = dir.path().join("vault");
    let ours = ["notes.txt", "kek-mine.key", "vault.json.draft"];
    for name in ours {
        fs::write(vault_dir.join(name), "ours").unwrap();
    }
    let counts = format!("kek-{}.key", vault.key_encryption_key().0);
    // The key that counts, once more, under the name of another.
    let copied = "kek-0000000000000000.key";
    fs::copy(vault_dir.join(&counts), vault_dir.join(copied)).unwrap();
    let kept = file_names(&vault_dir);
    let left = leave_leftovers(&vault_dir);
    assert_eq!(vault.remove_leftovers().unwrap(), left);
    let with_lock = [&kept[..], &["vault.lock".to_owned()]].concat();
    assert_eq!(file_names(&vault_dir), with_lock);

    leave_leftovers(&vault_dir);
    vault.rotate_data_key().unwrap();
    assert_eq!(file_names(&vault_dir), with_lock);

    // Moved to a key outside, none stays.
    let left = leave_leftovers(&vault_dir);
    let removed = vault.rewrap(&with_key(HEX_KEY)).unwrap();
    let gone = |name: &str| removed.iter().any(|removed| removed == name);
    assert!(gone(&counts) && gone(copied), "{removed:?}");
    assert!(left.iter().all(|name| gone(name)), "{removed:?}");
    let mut only_ours = [&ours[..], &["vault.json", "vault.lock"]].concat();
    only_ours.sort_unstable();
    assert_eq!(file_names(&vault_dir), only_ours);
    Vault::open(&vault_dir, &with_key(HEX_KEY)).unwrap();
}

/// Only root can show it; another user finds the folder its own.
#[test]
fn what_root_writes_belongs_to_the_owner_of_the_folder() {
    use std::os::unix::fs::{MetadataExt, chown};
    let (dir, mut vault) = new_vault(&created());
    let vault_dir = dir.path().join("vault");
    let of = |name: &str| fs::metadata(vault_dir.join(name)).unwrap().uid();
    let me = of("vault.json");
    let owner = if me == 0 { 65_534 } else { me };
    chown(&vault_dir, Some(owner), None).unwrap();
    vault.rotate_data_key().unwrap();
    vault.rewrap(&created()).unwrap();
    for name in file_names(&vault_dir) {
        assert_eq!(of(&name), owner, "{name}");
    }
}

#[test]
fn two_processes_that_rotate_lose_no_key() {
    let (dir, mut one) = new_vault(&created());
    let mut other = Vault::open(&dir.path().join("vault"), &created()).unwrap();
    assert_eq!(one.rotate_data_key().unwrap(), 2);
    let sealed = one.seal_pan(&pan(PAN), 1).unwrap();
    let error = other.open_pan(&sealed, 1).unwrap_err();
    assert!(
        matches!(error, VaultError::UnknownDataKey { key_id: 2, .. }),
        "{error}"
    );
    assert_eq!(other.rotate_data_key().unwrap(), 3);
    assert_eq!(other.open_pan(&sealed, 1).unwrap().digits(), PAN);

    one.rewrap(&with_key(HEX_KEY)).unwrap();
    let error = other.rotate_data_key().unwrap_err();
    assert!(matches!(error, VaultError::WrongKey { .. }), "{error}");
}

#[test]
fn no_type_shows_card_data_or_keys() {
    let (dir, vault) = new_vault(&with_key(HEX_KEY));
    let pan = pan(PAN);
    let cvv2 = vault.cvk().cvv2(&pan, 2030, 1);
    let sealed = vault.seal_pan(&pan, 1).unwrap();
    let index = PanIndex::new();
    let pan_hash = vault.pan_hasher().pan_hash(PAN.as_bytes());
    let route = crate::security::CardRoute {
        expiry: 0,
        card_id: 1,
        root_account_id: 2,
        token_id: None,
    };
    index.insert(pan_hash, route);
    let mut match_key: MatchKey = vault.match_key_hasher().hasher();
    match_key.part(PAN.as_bytes());
    let wrong_card = vault.open_pan(&sealed, 2).unwrap_err();
    let wrong_key = open_error(&dir.path().join("vault"), &with_key(OTHER_KEY));
    let bad_key = open_error(dir.path(), &with_key(&HEX_KEY[2..]));
    let bad_pan: PanError = Pan::parse("4111111111111112").unwrap_err();
    let shown = [
        format!("{pan:?} {:#?} {}", pan, pan.masked()),
        format!("{cvv2:?} {cvv2:#?}"),
        format!("{sealed:?} {vault:?} {vault:#?} {:?}", with_key(HEX_KEY)),
        format!("{:?} {:?}", vault.pan_hasher(), vault.match_key_hasher()),
        format!("{:?} {:?}", vault.api_key_hasher(), vault.cvk()),
        format!("{match_key:?} {index:?} {route:?}"),
        format!("{wrong_card} {wrong_card:?} {wrong_key} {wrong_key:?}"),
        format!("{bad_key} {bad_key:?} {bad_pan} {bad_pan:?}"),
    ];
    let shown = shown.join("\n");
    // The middle of the PAN, a part of the key, and the CVV2 where its type was printed.
    for secret in ["1111111", &HEX_KEY[2..20], &OTHER_KEY[2..20]] {
        assert!(!shown.contains(secret), "{secret} in\n{shown}");
    }
    assert_eq!(format!("{cvv2:?}"), "Cvv2(***)");
    assert_eq!(format!("{:?}", with_key(HEX_KEY).key), "Some(KeyText(***))");
}

//! `cardswitch vault`, and a key that stays in a hardware security module: the real binary, with SoftHSM 2 as the module.

mod support;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::Switch;
use support::told::{Told, told};
use tempfile::TempDir;

const NETWORK: &str =
    "[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n";
const PIN: &str = "271828";

/// A token with an AES-256 key, in a folder of its own.
struct Module {
    folder: TempDir,
    library: PathBuf,
}

impl Module {
    fn new() -> Module {
        let places = [
            "/usr/lib/softhsm/libsofthsm2.so",
            "/usr/lib64/pkcs11/libsofthsm2.so",
            "/opt/homebrew/lib/softhsm/libsofthsm2.so",
        ];
        let library = places.iter().map(PathBuf::from).find(|path| path.exists());
        let library = library.expect("this test needs SoftHSM 2 (`apt-get install softhsm2`)");
        let folder = TempDir::new().unwrap();
        let tokens = folder.path().join("tokens");
        std::fs::create_dir(&tokens).unwrap();
        let settings = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\n",
            tokens.display()
        );
        std::fs::write(folder.path().join("softhsm2.conf"), settings).unwrap();
        let module = Module { folder, library };
        module.token(&["--init-token", "--free", "--so-pin", "314159"]);
        let key = module.folder.path().join("key");
        std::fs::write(&key, [7; 32]).unwrap();
        let key = key.to_str().unwrap();
        module.token(&["--import", key, "--aes", "--label", "kek", "--id", "01"]);
        module
    }

    fn token(&self, arguments: &[&str]) {
        let label = match arguments[0] {
            "--init-token" => ["--label", "bank"],
            _ => ["--token", "bank"],
        };
        let done = Command::new("softhsm2-util")
            .args(arguments)
            .args(label)
            .args(["--pin", PIN])
            .env("SOFTHSM2_CONF", self.folder.path().join("softhsm2.conf"))
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    fn variables(&self) -> [(String, String); 2] {
        let settings = self.folder.path().join("softhsm2.conf");
        [
            (
                "SOFTHSM2_CONF".to_owned(),
                settings.to_str().unwrap().to_owned(),
            ),
            ("CARDSWITCH__VAULT__PKCS11_PIN".to_owned(), PIN.to_owned()),
        ]
    }

    fn section(&self, key: &str) -> String {
        format!(
            "[vault]\npkcs11_module = {:?}\npkcs11_token = \"bank\"\npkcs11_key = \"{key}\"\n",
            self.library
        )
    }

    /// Starts the switch with this key.
    fn start(&self, folder: TempDir) -> Switch {
        let variables = self
            .variables()
            .map(|(name, value)| format!("{name}={value}"));
        let [settings, pin] = variables;
        let under = ["env".to_owned(), settings, pin];
        Switch::start_under(&under, folder, &format!("{}{NETWORK}", self.section("kek")))
    }
}

fn vault(command: &[&str], config: &Path, variables: &[(String, String)]) -> Told {
    told(
        Command::new(env!("CARGO_BIN_EXE_cardswitch"))
            .arg("vault")
            .args(command)
            .arg("--config")
            .arg(config)
            .envs(variables.iter().cloned()),
    )
}

fn check(config: &Path, variables: &[(String, String)]) -> Told {
    told(
        Command::new(env!("CARGO_BIN_EXE_cardswitch"))
            .args(["check", "--config"])
            .arg(config)
            .envs(variables.iter().cloned()),
    )
}

fn status(config: &Path, variables: &[(String, String)]) -> Value {
    let told = vault(&["status", "--json"], config, variables);
    assert_eq!(told.code, Some(0), "{}", told.error);
    serde_json::from_str(&told.out).unwrap()
}

/// Issues a card and gives its number.
fn issue(switch: &Switch) -> (String, Value) {
    switch.wait_until_ready();
    let account = switch.account(1);
    let card = switch.good("POST", "/v1/cards", &json!({ "account_id": account }));
    let id = card["id"].as_str().unwrap().to_owned();
    let revealed = reveal(switch, &id);
    (id, revealed)
}

fn reveal(switch: &Switch, id: &str) -> Value {
    switch.wait_until_ready();
    switch.good(
        "POST",
        &format!("/v1/cards/{id}/reveal"),
        &json!({"reason": "a test"}),
    )
}

/// What is printed can be written into the configuration, which lies elsewhere, as it is.
#[test]
fn what_is_said_of_keys_holds_beside_a_running_switch_and_in_other_folders() {
    let switch = Switch::start(NETWORK);
    switch.wait_until_ready();
    let config = switch.folder().join("cardswitch.toml");
    assert_eq!(vault(&["rotate-data-key"], &config, &[]).code, Some(0));
    let status = vault(&["status"], &config, &[]);
    let sentence = "a switch that starts now seals card numbers under data key 2, the newest of 2; one that runs goes on";
    assert!(status.out.contains(sentence), "{}", status.out);

    let elsewhere = TempDir::new().unwrap();
    std::fs::write(elsewhere.path().join("new-key"), "ab".repeat(32)).unwrap();
    let rewrap = |arguments: &[&str]| {
        told(
            Command::new(env!("CARGO_BIN_EXE_cardswitch"))
                .args(["vault", "rewrap", "--config"])
                .arg(&config)
                .args(arguments)
                .current_dir(elsewhere.path()),
        )
    };
    let wrapped = rewrap(&["--new-key-file", "new-key"]);
    assert_eq!(wrapped.code, Some(0), "{}", wrapped.error);
    let named = format!(
        "\nbefore the next start name it alone in [vault]: key_file = {:?}\n",
        elsewhere.path().join("new-key")
    );
    assert!(wrapped.out.contains(&named), "{}", wrapped.out);
    let removed = format!(
        "removed {}/kek-",
        switch.folder().join("data/vault").display()
    );
    assert!(wrapped.out.contains(&removed), "{}", wrapped.out);

    // Whoever asks before the next start is told that it would fail.
    let refused = check(&config, &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    let missing = "no vault key is configured and ";
    assert!(refused.error.contains(missing), "{}", refused.error);
    let named = |name: &str, key: &str| {
        let file = elsewhere.path().join(name);
        std::fs::write(&file, key.repeat(32)).unwrap();
        let file = file.display().to_string();
        [("CARDSWITCH__VAULT__KEY_FILE".to_owned(), file)]
    };
    let refused = check(&config, &named("other-key", "cd"));
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    let place = "cardswitch: CARDSWITCH__VAULT__KEY_FILE: the vault key in ";
    assert!(refused.error.starts_with(place), "{}", refused.error);
    let good = check(&config, &named("new-key", "ab"));
    assert_eq!(good.code, Some(0), "{}", good.error);

    let variables = [(
        "CARDSWITCH__VAULT__KEY_FILE".to_owned(),
        elsewhere.path().join("new-key").display().to_string(),
    )];
    let beside = vault(&["rewrap", "--new-key-beside-vault"], &config, &variables);
    assert_eq!(beside.code, Some(0), "{}", beside.error);
    assert!(
        beside
            .out
            .contains("take the key that was named so far out of [vault]"),
        "{}",
        beside.out
    );
    assert_eq!(vault(&["status"], &config, &[]).code, Some(0));
}

#[test]
fn keys_rotate_and_are_wrapped_anew_and_every_card_number_still_opens() {
    let switch = Switch::start(NETWORK);
    let (first, first_number) = issue(&switch);
    let config = switch.folder().join("cardswitch.toml");
    let before = status(&config, &[]);
    assert_eq!(before["data_keys"], json!([1]));

    // Beside the running switch, which goes on with the keys that it has.
    let rotated = vault(&["rotate-data-key"], &config, &[]);
    assert_eq!(rotated.code, Some(0), "{}", rotated.error);
    let new_key = switch.folder().join("new-key");
    std::fs::write(&new_key, "ab".repeat(32)).unwrap();
    let new_key = new_key.to_str().unwrap();
    let rewrapped = vault(&["rewrap", "--new-key-file", new_key], &config, &[]);
    assert_eq!(rewrapped.code, Some(0), "{}", rewrapped.error);
    let (second, second_number) = issue(&switch);

    // The old key opens nothing any more, and it says why.
    let refused = vault(&["status"], &config, &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.error);
    assert!(
        refused.error.contains("no vault key is configured"),
        "{}",
        refused.error
    );

    let folder = switch.into_folder();
    let named = format!("[vault]\nkey_file = {new_key:?}\n{NETWORK}");
    let switch = Switch::start_in(folder, &named);
    let after = status(&config, &[]);
    assert_eq!(after["data_keys"], json!([1, 2]));
    assert_ne!(after["key_check"], before["key_check"]);
    assert_eq!(reveal(&switch, &first), first_number);
    assert_eq!(reveal(&switch, &second), second_number);
    let (third, third_number) = issue(&switch);
    assert_eq!(reveal(&switch, &third), third_number);

    // A variable that names the old key says nothing of the new one.
    let by_variable = ("CARDSWITCH__VAULT__KEY_FILE".to_owned(), new_key.to_owned());
    let elsewhere = switch.folder().join("elsewhere.toml");
    std::fs::write(switch.folder().join("other-key"), "cd".repeat(32)).unwrap();
    std::fs::write(&elsewhere, "[vault]\nkey_file = \"other-key\"\n").unwrap();
    let to = elsewhere.to_str().unwrap();
    let rewrapped = vault(&["rewrap", "--new-config", to], &config, &[by_variable]);
    assert_eq!(rewrapped.code, Some(0), "{}", rewrapped.error);
    let refused = vault(&["status"], &config, &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.error);
}

#[test]
fn the_key_may_stay_in_a_hardware_security_module() {
    let module = Module::new();
    let variables = module.variables();
    let switch = module.start(TempDir::new().unwrap());
    let (card, number) = issue(&switch);
    let config = switch.folder().join("cardswitch.toml");
    assert_eq!(
        status(&config, &variables)["key_origin"],
        "kek of token bank"
    );
    let key_files = std::fs::read_dir(switch.folder().join("data/vault")).unwrap();
    let names = key_files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.starts_with("kek-")));

    let switch = module.start(switch.into_folder());
    assert_eq!(reveal(&switch, &card), number);

    // Out of the module and back into it.
    let folder = switch.folder().to_owned();
    let elsewhere = folder.join("elsewhere.toml");
    let out = folder.join("out.toml");
    std::fs::write(&elsewhere, module.section("kek")).unwrap();
    std::fs::copy(&config, &out).unwrap();
    let rewrapped = vault(&["rewrap", "--new-key-beside-vault"], &config, &variables);
    assert_eq!(rewrapped.code, Some(0), "{}", rewrapped.error);
    let software = std::fs::read_to_string(&config).unwrap();
    let software = software.replace(&module.section("kek"), "");
    std::fs::write(&out, software).unwrap();
    let origin = status(&out, &[])["key_origin"].as_str().unwrap().to_owned();
    assert!(origin.ends_with(".key"), "{origin}");
    let elsewhere = elsewhere.to_str().unwrap();
    // The PIN is that of the new key: the old one has none.
    std::fs::write(
        elsewhere,
        format!("{}pkcs11_pin = {PIN}\n", module.section("kek")),
    )
    .unwrap();
    let only_settings = &variables[..1];
    let back = vault(&["rewrap", "--new-config", elsewhere], &out, only_settings);
    assert_eq!(back.code, Some(0), "{}", back.error);
    let switch = module.start(switch.into_folder());
    assert_eq!(reveal(&switch, &card), number);

    for (section, said) in [
        (module.section("other"), "no AES key has the label other"),
        (
            module.section("kek").replace("bank", "shop"),
            "no token has the label shop",
        ),
        (
            module.section("kek").replace("pkcs11_key", "# pkcs11_key"),
            "vault.pkcs11_key is not",
        ),
        (
            "[vault]\npkcs11_module = \"/nowhere.so\"\npkcs11_token = \"a\"\npkcs11_key = \"b\"\n"
                .into(),
            "cannot load the PKCS#11 module /nowhere.so",
        ),
    ] {
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&out, text.replace(&module.section("kek"), &section)).unwrap();
        let refused = vault(&["status"], &out, &variables);
        assert_eq!(refused.code, Some(1), "{}", refused.error);
        assert!(refused.error.contains(said), "{}", refused.error);
        assert!(!refused.error.contains(PIN), "{}", refused.error);
    }
    let mut wrong_pin = variables.clone();
    wrong_pin[1].1 = "1".repeat(6);
    let refused = vault(&["status"], &config, &wrong_pin);
    assert!(
        refused
            .error
            .contains("cannot log in to the PKCS#11 module"),
        "{}",
        refused.error
    );
}

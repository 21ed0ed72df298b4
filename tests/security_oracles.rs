//! What `security` computes, against other people's implementations; and the start of several
//! processes at once. Needs `python3` with the packages `psec` and `standardwebhooks` (`pip install psec standardwebhooks`).

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    process::{Command, Stdio},
    sync::Barrier,
    thread,
};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cardswitch::security::{
    Cvk, EndpointSecrets, MatchKeyHasher, Pan, PanHasher, Vault, VaultSettings,
};
use cardswitch::webhooks::Signed;
use serde_json::json;

const PANS: [&str; 5] = [
    "4111111111111111",
    "4761739001010119",
    "5555555555554444",
    "5413330089604111",
    "371449635398431",
];

/// One answer per line of `input`.
fn ask(oracle: &str, input: &str) -> Vec<String> {
    let script = format!("{}/tests/oracles/{oracle}", env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new("python3")
        .arg(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the oracles need python3 in the PATH");
    let mut stdin = python.stdin.take().unwrap();
    let input_copy = input.to_owned();
    // Its own thread, since both pipes can fill up; an oracle that gave up reads nothing.
    let writer = thread::spawn(move || stdin.write_all(input_copy.as_bytes()));
    let output = python.wait_with_output().unwrap();
    let written = writer.join().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}", complaint.trim());
    written.unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<_> = answers.lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), input.lines().count(), "{complaint}");
    answers
}

/// A fixed sequence of bytes without a pattern (xorshift, 64 bits).
fn byte_sequence() -> impl FnMut() -> u8 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn verification_values_agree_with_psec() {
    let mut next = byte_sequence();
    let (mut input, mut cases) = (String::new(), Vec::new());
    for round in 0..100 {
        let pair: [u8; 16] = std::array::from_fn(|_| next());
        let (year, month) = (2000 + u16::from(next() % 100), 1 + next() % 12);
        let service_code = [0, 201, 999, u16::from(next()) * 3][round % 4];
        for pan in PANS {
            let yy = year % 100;
            writeln!(
                input,
                "{} {pan} {yy:02}{month:02} {service_code:03}",
                hex(&pair)
            )
            .unwrap();
            cases.push((pair, Pan::parse(pan).unwrap(), year, month, service_code));
        }
    }
    for ((pair, pan, year, month, service_code), expected) in
        cases.iter().zip(ask("security_cvv.py", &input))
    {
        let cvk = Cvk::new(pair);
        // psec leaves out the letters that fill up a value with fewer than three decimals (rare).
        assert_eq!(expected.len(), 3, "choose another sequence");
        let verify = |given: &str| cvk.verify_cvv(pan, *year, *month, *service_code, given);
        let place = format!("{pan:?} {year}-{month} {service_code}");
        assert!(verify(&expected), "{place}: psec says {expected}");
        let other = (expected.parse::<u16>().unwrap() + 1) % 1000;
        assert!(!verify(&format!("{other:03}")), "{place}");
        if *service_code == 0 {
            assert!(cvk.verify_cvv2(pan, *year, *month, &expected), "{place}");
        }
    }
}

#[test]
fn hashes_agree_with_an_independent_implementation() {
    let mut next = byte_sequence();
    let (mut input, mut hashes) = (String::new(), Vec::new());
    for round in 0..100 {
        let key: [u8; 32] = std::array::from_fn(|_| next());
        let pan = PANS[round % PANS.len()];
        writeln!(input, "pan {} {pan}", hex(&key)).unwrap();
        hashes.push(PanHasher::new(&key).pan_hash(pan.as_bytes()));

        let key: [u8; 16] = std::array::from_fn(|_| next());
        let mut match_key = MatchKeyHasher::new(&key).hasher();
        write!(input, "match {}", hex(&key)).unwrap();
        for part in 0..next() % 10 {
            let bytes: Vec<u8> = (0..next() % 40).map(|_| next()).collect();
            let bytes = (part != 3).then_some(&bytes[..]);
            match_key.optional_part(bytes);
            match bytes {
                Some(bytes) => write!(input, " ={}", hex(bytes)).unwrap(),
                None => write!(input, " -").unwrap(),
            }
        }
        input.push('\n');
        hashes.push(match_key.finish());
    }
    let expected = ask("security_hash.py", &input);
    for (line, (hash, expected)) in hashes.iter().zip(expected).enumerate() {
        assert_eq!(format!("{hash:032x}"), expected, "line {}", line + 1);
    }
}

/// The vault is created by one link in the file system, so threads stand in for processes here.
#[test]
fn a_first_start_of_many_at_once_makes_one_vault() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("vault");
        let start = Barrier::new(8);
        let open = || {
            start.wait();
            Vault::open(&dir, &VaultSettings::default()).unwrap()
        };
        let vaults: Vec<Vault> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let created = vaults.iter().filter(|vault| vault.created_key()).count();
        assert_eq!(created, 1, "exactly one warns");
        let hash = |vault: &Vault| vault.pan_hasher().pan_hash(PANS[0].as_bytes());
        assert!(vaults.iter().all(|vault| hash(vault) == hash(&vaults[0])));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "one key, one vault");
    }
}

#[test]
fn signatures_are_those_of_standard_webhooks() {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let secrets = EndpointSecrets::new(&[9; 32]);
    let (mut input, mut expected) = (String::new(), Vec::new());
    for (endpoint, version, body, told) in [
        (1, 1, r#"{"type":"authorization.requested"}"#, 1),
        (1, 2, "{}", 2),
        (2, 1, r#"{"merchant":"Café 東京"}"#, 1),
        // The secret of another version opens nothing.
        (1, 1, "{}", 2),
    ] {
        let signed = Signed::new(
            &[secrets.secret(endpoint, version)],
            "auth_1".into(),
            now,
            body.as_bytes(),
        );
        let secret = STANDARD.encode(secrets.secret(endpoint, told));
        let line = json!({
            "secret": format!("whsec_{secret}"),
            "headers": {
                "webhook-id": signed.id,
                "webhook-timestamp": signed.timestamp,
                "webhook-signature": signed.signature,
            },
            "body": body,
        });
        writeln!(input, "{line}").unwrap();
        expected.push(version == told);
    }
    let answers = ask("webhook_signature.py", &input);
    let verified: Vec<bool> = answers.iter().map(|answer| answer == "ok").collect();
    assert_eq!(verified, expected, "{answers:?}");
}

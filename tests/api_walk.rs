//! The walk with curl in `docs/api.md`, as a reader types it, against a running switch.

mod support;

use std::process::Command;
use support::api::ROOT_KEY;
use support::switch::Switch;
use support::told::told;

/// The ```sh block of the page.
fn walk() -> String {
    let page = std::fs::read_to_string("docs/api.md").unwrap();
    let (_, rest) = page.split_once("```sh\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_walk_of_the_api_page_ends_as_it_says() {
    let config =
        "[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n";
    let switch = Switch::start(config);
    switch.wait_until_ready();
    let mut script = walk();
    for (stands, here) in [
        ("change-me-0123456789", ROOT_KEY),
        ("127.0.0.1:8080", &switch.http_address().to_string()),
        ("127.0.0.1:8583", &switch.address("visa").to_string()),
        ("./target/release/cardsim", env!("CARGO_BIN_EXE_cardsim")),
    ] {
        assert!(script.contains(stands), "docs/api.md has lost {stands}");
        script = script.replace(stands, here);
    }
    let mut command = Command::new("sh");
    let heard = told(
        command
            .args(["-e", "-u", "-c", &script])
            .current_dir(switch.folder()),
    );
    assert_eq!(heard.code, Some(0), "{}{}", heard.out, heard.error);
    let mut last = heard.out.lines().rev();
    assert_eq!(last.next(), Some("\"available\":48750"), "{}", heard.out);
    let decision = last.next().unwrap();
    let (before, rule) = decision.split_once("ctl_").unwrap();
    let rule = rule.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric());
    let page = std::fs::read_to_string("docs/api.md").unwrap();
    let shown = format!("\n{before}ctl_…{rule}\n");
    assert!(
        page.contains(&shown),
        "docs/api.md does not show {decision}"
    );
}

//! `cardswitch backtest`, as an operator runs it on a data folder.

mod engine_support;
mod support;

use cardswitch::engine::command::Action;
use cardswitch::engine::controls::Controls;
use cardswitch::engine::groups::MccGroup;
use cardswitch::engine::ids::{AccountId, CardId, MccGroupId};
use cardswitch::engine::money::Money;
use cardswitch::engine::registry::RegistryAction;
use engine_support::*;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use support::told::{Told, told};
use tempfile::TempDir;

/// Twelve purchases on two days, of 1 to 12 dollars; the last is more than what is left.
fn history() -> TempDir {
    let mut switch = Switch::new(2);
    switch.open_account(1, Controls::default());
    switch.top_up(1, 1, 1, usd(7_000));
    switch.open_card(NewCard::of(11, 1, 1));
    let group = MccGroup::new(MccGroupId(71), "food".into(), vec![5411], switch.at);
    switch.registry(RegistryAction::CreateMccGroup(Box::new(group)));
    for number in 1..=12 {
        if number == 7 {
            switch.at = time("2026-11-25T10:00:00Z");
        }
        let amount = Money {
            amount_minor: number as i64 * 100,
            ..usd(0)
        };
        let mut request = purchase(number, 11, amount, &number.to_string());
        request.merchant.mcc = if number % 2 == 0 { 7995 } else { 5411 };
        switch.command(AccountId(1), Action::Authorize(request));
    }
    folder_of(&switch.records)
}

fn backtest(data: &Path, file: &str, options: &[&str]) -> Told {
    let path = data.join("rule.toml");
    std::fs::write(&path, file).unwrap();
    told(
        Command::new(env!("CARGO_BIN_EXE_cardswitch"))
            .arg("backtest")
            .arg(path)
            .arg("--data")
            .arg(data)
            .args(options),
    )
}

fn found(data: &Path, file: &str, options: &[&str]) -> Value {
    let options = [options, &["--json"]].concat();
    let told = backtest(data, file, &options);
    assert_eq!((told.code, &*told.error), (Some(0), ""), "{}", told.out);
    serde_json::from_str(&told.out).unwrap()
}

const LARGE: &str =
    "[rule]\nexpression = \"amount > 500 && mcc == '7995'\"\naction = \"decline\"\n";

#[test]
fn a_rule_says_what_it_would_have_declined() {
    let data = history();
    let found = found(data.path(), LARGE, &[]);
    assert_eq!(found["decisions"], 12);
    // 6, 8 and 10 dollars; the one of 12 was declined as it was.
    assert_eq!(
        found["newly_declined"],
        json!({"count": 3, "amounts": {"USD": 2_400}})
    );
    assert_eq!(found["newly_approved"], json!({"count": 0, "amounts": {}}));
    assert_eq!(found["declined_anyway"], 1);
    assert_eq!(
        found["evaluation_errors"],
        json!({"count": 0, "first": null})
    );
    assert_eq!(found["reasons"], json!({"rule_declined": 3}));
    assert_eq!(
        found["merchants"],
        json!([{"id": "MERCHANT1", "name": "EXAMPLE STORE", "count": 3}])
    );
    let examples = found["examples"].as_array().unwrap();
    let amounts: Vec<_> = examples
        .iter()
        .map(|example| example["amount"].as_i64().unwrap())
        .collect();
    assert_eq!(amounts, [600, 800, 1_000]);
    assert_eq!(examples[0]["authorization_id"], "auth_0000000000006");
    assert_eq!(examples[0]["card_id"], CardId(11).to_string());
    assert_eq!(examples[0]["change"], "newly_declined");
}

#[test]
fn days_and_examples_are_bounded() {
    let data = history();
    let first_day = found(data.path(), LARGE, &["--to", "2026-11-24"]);
    assert_eq!(
        (
            &first_day["decisions"],
            &first_day["newly_declined"]["count"]
        ),
        (&json!(6), &json!(1))
    );
    let options = [
        "--from",
        "2026-11-25",
        "--to",
        "2026-11-25",
        "--examples",
        "1",
    ];
    let second_day = found(data.path(), LARGE, &options);
    assert_eq!(
        (
            &second_day["decisions"],
            &second_day["newly_declined"]["count"]
        ),
        (&json!(6), &json!(2))
    );
    assert_eq!(second_day["examples"].as_array().unwrap().len(), 1);
    // Days beyond any calendar are days like others.
    let always = ["--from", "0000-01-01", "--to", "9999-12-31"];
    assert_eq!(found(data.path(), LARGE, &always)["decisions"], 12);
}

/// What the rule reads was not kept when this was lived.
#[test]
fn a_rule_over_history_and_one_that_fails_are_held_against_all() {
    let data = history();
    let flag = "[rule]\nexpression = 'approvals_last_day == 5'\naction = 'flag'\n";
    let flagged = found(data.path(), flag, &[]);
    assert_eq!(
        flagged["newly_flagged"],
        json!({"count": 1, "amounts": {"USD": 600}})
    );
    let failing = "[rule]\nexpression = '1 / (amount - 300) == 5'\naction = 'decline'\n";
    let failed = found(data.path(), failing, &[]);
    assert_eq!(
        failed["evaluation_errors"],
        json!({"count": 1, "first": "a number was divided by zero"})
    );
}

#[test]
fn other_controls_say_what_they_would_have_changed() {
    let data = history();
    let card = CardId(11);
    let file = format!(
        "card_id = \"{card}\"\n[controls]\nlimits = [{{ window = \"day\", amount = 1000 }}]\n"
    );
    let found = found(data.path(), &file, &[]);
    // Of 1 to 6 dollars fits what adds up to 10; of 7 to 12 the first, and what was declined is then affordable.
    assert_eq!(found["newly_declined"]["count"], 6);
    assert_eq!(found["reasons"], json!({"daily_limit_exceeded": 6}));
}

#[test]
fn other_controls_may_name_groups_that_the_journal_has() {
    let data = history();
    let card = CardId(11);
    for (group, declined) in [
        // 2, 4, 6, 8 and 10 dollars; the one of 12 was declined as it was.
        ("gambling".to_owned(), 5),
        (MccGroupId(71).to_string(), 6),
    ] {
        let file = format!("card_id = '{card}'\n[controls]\nmcc = {{ block = ['{group}'] }}\n");
        let found = found(data.path(), &file, &[]);
        assert_eq!(found["newly_declined"]["count"], declined, "{group}");
        assert_eq!(found["reasons"]["mcc_blocked"], declined);
    }
}

#[test]
fn it_is_told_in_words_too() {
    let data = history();
    let told = backtest(data.path(), LARGE, &[]);
    assert_eq!((told.code, &*told.error), (Some(0), ""));
    for words in [
        "decline when amount > 500 && mcc == '7995' (in every program)",
        "12 requests in records 1 to ",
        "24.00 USD",
        "matched, and were declined anyway: 1",
        "EXAMPLE STORE MERCHANT1",
        "auth_0000000000006",
    ] {
        assert!(told.out.contains(words), "{words}\n{}", told.out);
    }
}

#[test]
fn what_is_wrong_with_a_file_is_told_in_one_sentence() {
    let data = history();
    let id = "prog_0000000000009";
    let card = CardId(11);
    for (file, words) in [
        (
            "[rule]\nexpression = 'amout > 5'\naction = 'flag'\n".to_owned(),
            "rule.expression: column 1: there is no fact `amout`",
        ),
        (
            "[rule]\nexpression = 'true'\naction = 'refer'\n".into(),
            "rule.action must be one of: decline, flag, require_three_ds",
        ),
        (
            "[rule]\nexpression = 'true'\n".into(),
            "missing field `action`",
        ),
        (
            "[rule]\nexpression = 'true'\naction = 'flag'\nprogram_id = 'x'\n".into(),
            "rule.program_id: `x` is not an id",
        ),
        ("colour = 'red'\n".into(), "unknown field `colour`"),
        (String::new(), "the file needs either [rule], or [controls]"),
        (
            "[controls]\n".into(),
            "or [controls] and the `card_id`, `account_id`, `program_id` or `link`",
        ),
        (
            format!("program_id = '{id}'\nlink = {{ type = 'project', id = 'p9' }}\n[controls]\n"),
            "more than one of `card_id`, `account_id`, `program_id` and `link`",
        ),
        (
            "link = { type = 'project', id = 'p9' }\n[controls]\n".into(),
            "the journal has nothing of what the file names: other controls of project p9",
        ),
        (
            format!("program_id = '{id}'\n[controls]\nmcc = {{}}\n"),
            "controls.mcc needs either `allow` or `block`",
        ),
        (
            format!("program_id = '{id}'\n[controls]\nsingle_use = true\n"),
            "the journal has nothing of what the file names: other controls of program prog_0000000000009",
        ),
        (
            format!("card_id = '{card}'\n[controls]\nmcc = {{ block = ['mccg_0000000000009'] }}\n"),
            "the file's controls name an MCC group or a merchant list that the journal does not have",
        ),
        (
            format!(
                "card_id = '{card}'\n[controls]\nmerchants = {{ allow = [{{ list = 'mlst_0000000000009' }}] }}\n"
            ),
            "the file's controls name an MCC group or a merchant list that the journal does not have",
        ),
        (
            format!("[rule]\nexpression = 'true'\naction = 'flag'\nprogram_id = '{id}'\n"),
            "the journal has nothing of what the file names",
        ),
    ] {
        let told = backtest(data.path(), &file, &[]);
        assert_eq!((told.code, &*told.out), (Some(1), ""), "{file}");
        assert!(told.error.contains(words), "{file}\n{}", told.error);
    }
    let backwards = backtest(
        data.path(),
        LARGE,
        &["--from", "2026-11-25", "--to", "2026-11-24"],
    );
    assert_eq!(backwards.code, Some(1));
    assert!(
        backwards.error.contains("--from must not be after --to"),
        "{}",
        backwards.error
    );
}

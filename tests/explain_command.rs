//! `cardswitch explain`, as support runs it on a data folder: why, whether the same comes out again, and what became
//! of it.

mod engine_support;
mod support;

use cardswitch::engine::command::{
    Action, CallOutcome, CustomerSays, ReleaseCause, Resolve, Withhold,
};
use cardswitch::engine::controls::{Controls, Window};
use cardswitch::engine::event::{Decision, Event};
use cardswitch::engine::ids::{AccountId, AuthorizationId, ReversalId};
use cardswitch::engine::record::{self, Record};
use cardswitch::engine::registry::{LinkKey, RegistryAction};
use engine_support::*;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use support::told::{Told, told};

fn explain(data: &Path, id: u64, options: &[&str]) -> Told {
    told(
        Command::new(env!("CARGO_BIN_EXE_cardswitch"))
            .arg("explain")
            .arg(AuthorizationId(id).to_string())
            .arg("--data")
            .arg(data)
            .args(options),
    )
}

/// One payment with all that can come after it, a declined one, one of a card that nobody issued, and advices.
fn story() -> Switch {
    let mut switch = Switch::new(2);
    switch.open_account(1, limits([limit(9, Window::Day, Some(9_000), None)]));
    switch.top_up(1, 1, 1, usd(20_000));
    switch.open_card(NewCard::of(11, 1, 1));
    let root = AccountId(1);
    let mut send = |action| drop(switch.command(root, action));
    send(Action::Authorize(purchase(101, 11, usd(4_000), "a")));
    let mut increment = purchase(102, 11, usd(500), "b");
    increment.kind = cardswitch::engine::facts::Kind::Incremental;
    increment.original_keys = names_of("a");
    send(Action::Authorize(increment));
    send(Action::Authorize(purchase(103, 11, usd(6_000), "c")));
    let mut completion = advice(104, 11, usd(1_000), "d");
    completion.payment.posts = true;
    completion.payment.original_keys = names_of("a");
    completion.is_final = false;
    send(Action::Advise(completion));
    let mut part = reversal(201, 11, usd(4_500), "ra", "a");
    part.stays = Some(usd(3_000));
    send(Action::Reverse(part));
    let mut forced = advice(105, 11, usd(30_000), "e");
    forced.payment.posts = true;
    send(Action::Advise(forced));
    switch.release(root, AuthorizationId(101), ReleaseCause::Manual);
    switch.registry(RegistryAction::AuthorizeUnknownCard {
        authorize: purchase(301, 0, usd(1), "nobody"),
        bin_known: false,
    });
    switch
}

#[test]
fn a_payment_is_told_from_its_request_to_its_end() {
    let data = folder_of(&story().records);
    let told = explain(data.path(), 101, &[]);
    assert_eq!((told.code, &*told.error), (Some(0), ""), "{}", told.out);
    for part in [
        "auth_0000000000035: authorize purchase of 40.00 USD",
        "at EXAMPLE STORE (MERCHANT1), MCC 5411, US",
        "approved, approval code",
        "account acct_0000000000001: 40.00 USD asked, 160.00 USD available after it",
        "40.00 USD held until 20",
        "balance            pass     available=20000 requested=4000",
        "limits             pass     limit_id=lim_0000000000009 unit=amount allowed=9000 used=0",
        ": the same\n",
        "increment: authorization_id=auth_0000000000035 amount=500",
        "advice: type=completed authorization_id=auth_0000000000035 released=1000 status=partially_cleared",
        "reversed: authorization_id=auth_0000000000035 account_id=acct_0000000000001 what=above_what_stays released=1500 returned=0",
        "2000 released (manual)",
    ] {
        assert!(told.out.contains(part), "{part:?} is not in\n{}", told.out);
    }
}

#[test]
fn a_decline_a_card_of_nobody_and_an_advice_are_explained_too() {
    let data = folder_of(&story().records);
    for (id, part) in [
        (
            103,
            "declined: daily_limit_exceeded (step limits, rule lim_",
        ),
        (102, "increased"),
        (
            105,
            "force_posted; flags: overdrawn, force_post; a request would have been declined: ",
        ),
        (301, "declined: unknown_bin (step card_lookup, rule none)"),
    ] {
        let told = explain(data.path(), id, &["--json"]);
        assert_eq!((told.code, &*told.error), (Some(0), ""), "{}", told.out);
        let json: Value = serde_json::from_str(&told.out).unwrap();
        assert_eq!(json["decided_again"]["result"], "same", "{id}");
        let text = match id {
            102 => told.out,
            _ => explain(data.path(), id, &[]).out,
        };
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_decline_names_the_link_and_the_account_by_whose_controls_it_was() {
    let mut switch = Switch::new(1);
    let day = |id, amount_minor| limits([limit(id, Window::Day, Some(amount_minor), None)]);
    switch.open_account(1, day(9, 500));
    for (id, parent) in [(2, 1), (3, 2)] {
        let funds = 10_000;
        let (none, parent) = (Controls::default(), Some(parent));
        switch.open_sub_account(id, 1, parent, none);
        switch.top_up(id, 1, id, usd(funds));
    }
    let mut card = NewCard::of(11, 1, 3);
    let key = |id: &str| LinkKey {
        program_id: PROGRAM,
        link_type: "project".into(),
        id: id.into(),
    };
    card.links = [key("p1"), key("p2")].into_iter().collect();
    switch.open_card(card);
    switch.set_link_controls(key("p1"), day(7, 400));
    switch.set_link_controls(key("p2"), day(8, 300));
    for (id, amount_minor) in [(101, 350), (102, 600)] {
        let payment = purchase(id, 11, usd(amount_minor), &id.to_string());
        switch.command(AccountId(1), Action::Authorize(payment));
    }
    let data = folder_of(&switch.records);
    let above = "limits fail {account} link=null";
    let by_p1 = "limits fail null link=project/p1";
    let by_p2 = "limits fail null link=project/p2";
    let (pass_above, pass_p1) = (
        "limits pass null link=null",
        "limits pass null link=project/p1",
    );
    for (id, expected) in [
        (101, [pass_above, pass_p1, by_p2]),
        (102, [above, by_p1, by_p2]),
    ] {
        let told = explain(data.path(), id, &["--json"]);
        assert_eq!((told.code, &*told.error), (Some(0), ""), "{}", told.out);
        let json: Value = serde_json::from_str(&told.out).unwrap();
        let trace = json["record"]["event"]["trace"].as_array().unwrap().iter();
        let limits = trace.filter(|step| step["step"] == "limits");
        let limits = limits.map(|step| {
            let detail = &step["detail"];
            assert!(detail["link_id"].is_null(), "{detail}");
            let text = |value: &Value| value.to_string().replace('"', "");
            let (account, link) = (text(&detail["account_id"]), text(&detail["link"]));
            format!("limits {} {account} link={link}", text(&step["result"]))
        });
        let account = AccountId(1).to_string();
        let expected = expected.map(|text| text.replace("{account}", &account));
        assert_eq!(limits.collect::<Vec<_>>(), expected, "{id}");
    }
    let text = explain(data.path(), 102, &[]).out;
    assert!(text.contains("scope=link link=project/p2"), "{text}");
}

/// The record says that it was declined, and nothing in the state before it says why: as if an older engine had
/// decided.
#[test]
fn what_would_be_decided_otherwise_is_told_and_ends_with_3() {
    let mut records = story().records;
    let of_101 = |bytes: &Vec<u8>| match record::read(bytes) {
        Ok(Record::Shard { command, .. }) => matches!(
            &command.action,
            Action::Authorize(authorize) if authorize.authorization_id == AuthorizationId(101)
        ),
        _ => false,
    };
    let place = records.iter().position(of_101).unwrap();
    let Ok(Record::Shard { command, event, .. }) = record::read(&records[place]) else {
        panic!("a shard's record");
    };
    let Event::Authorized(mut authorized) = event else {
        panic!("a decision");
    };
    authorized.available_minor += 1;
    assert!(matches!(authorized.decision, Decision::Approved { .. }));
    records[place].clear();
    record::write_shard(
        &mut records[place],
        &command,
        &Event::Authorized(authorized),
        None,
    );
    let data = folder_of(&records);
    let told = explain(data.path(), 101, &[]);
    assert_eq!(told.code, Some(3), "{}", told.out);
    let difference = "available: recorded 16001, again 16000";
    assert!(told.out.contains(difference), "{}", told.out);
}

#[test]
fn what_is_not_there_is_told() {
    let data = folder_of(&story().records);
    let told = explain(data.path(), 999, &[]);
    assert_eq!(told.code, Some(1));
    assert!(
        told.error.contains("there is no authorization auth_"),
        "{}",
        told.error
    );
}

#[test]
fn what_the_customer_said_and_what_was_too_late_is_told() {
    let mut switch = Switch::new(2);
    switch.open_account(1, limits([]));
    switch.top_up(1, 1, 1, usd(20_000));
    switch.open_card(NewCard::of(11, 1, 1));
    let (root, late) = (AccountId(1), purchase(101, 11, usd(700), "late"));
    switch.command(root, Action::Authorize(late.clone()));
    let withhold = Withhold {
        reversal_id: ReversalId(201),
        payment: late,
    };
    switch.command(root, Action::Withhold(Box::new(withhold)));
    switch.ask_customers(2_000, None);
    switch.command(
        root,
        Action::Authorize(purchase(102, 11, usd(900), "asked")),
    );
    let resolve = Resolve {
        authorization_id: AuthorizationId(102),
        says: CustomerSays::Decline,
        call: CallOutcome::Answered,
        duration_ms: 31,
    };
    switch.command(root, Action::Resolve(resolve));
    let data = folder_of(&switch.records);
    for (id, parts) in [
        (
            101,
            [
                "approved, approval code",
                "the approval was late, and taken back: authorization_id=auth_0000000000035",
            ],
        ),
        (
            102,
            [
                "approved by the switch, approval code",
                "the customer (answered, after 31 ms): result=declined reason=decision_declined",
            ],
        ),
    ] {
        let told = explain(data.path(), id, &[]);
        assert_eq!((told.code, &*told.error), (Some(0), ""), "{}", told.out);
        for part in parts {
            assert!(told.out.contains(part), "{part:?} is not in\n{}", told.out);
        }
    }
}

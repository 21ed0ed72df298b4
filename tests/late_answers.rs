//! Answers that are late for their network: approvals taken back and answered 91, requests that waited for too long not
//! decided at all. What taking back does to money in every case: `scenarios/24_late_answers.txt`.

mod support;

use cardswitch::engine::command::{Action, Authorize};
use cardswitch::shard::reply::{Reply, Unavailable};
use cardswitch::shard::request::ShardRequest;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use support::client::{Client, Language};
use support::messages::{Naming, Purchase, borrowed};
use support::rig::Rig;
use support::{VISA, wait_until};

/// Long enough for the shard to decide in, and then for the test to wait.
const ANSWER_WITHIN: Duration = Duration::from_millis(2_000);

fn send(client: &mut Client, mti: u16, purchase: Purchase) {
    let fields = client.language.authorization(purchase);
    client.send(client.language.mti(mti), &borrowed(&fields));
}

/// Sends a request that is approved, and whose answer the disk holds back until it is late.
fn late(rig: &Rig, client: &mut Client, mti: u16, purchase: Purchase) {
    let approved = || rig.switchboard.stats[0].approved();
    let (before, sent) = (approved(), Instant::now());
    rig.gate.close();
    send(client, mti, purchase);
    wait_until("it is approved", || approved() == before + 1);
    wait_until("its time is over", || sent.elapsed() > ANSWER_WITHIN);
    rig.gate.open();
}

#[test]
fn a_late_approval_is_taken_back_and_answered_91_and_so_are_its_repeats() {
    let rig = Rig::start();
    let card = rig.issue(VISA, 10_000);
    let within = format!("answer_within_ms = {}", ANSWER_WITHIN.as_millis());
    for (name, dialect, late_code, accepted) in [
        ("net", "iso8583-1987-ascii", "91", "00"),
        ("net1993", "iso8583-1993-ascii", "911", "400"),
    ] {
        let language = Language::new(dialect, "length-2-be", "none");
        let (peer, mut client) = rig.connected(&language, &format!("name = \"{name}\"\n{within}"));
        let purchase = Purchase::of(1, 700);
        late(&rig, &mut client, 100, purchase);
        let answer = client.receive();
        assert_eq!(
            (answer.field(39), answer.field(38), answer.field(11)),
            (late_code, "", "000001")
        );
        assert_eq!(rig.money(card), (10_000, 0));
        assert_eq!(peer.stats.late_approvals.load(Ordering::Relaxed), 1);
        let fields = client.language.authorization(purchase);
        let repeat = client.exchange(client.language.mti(101), &borrowed(&fields));
        assert_eq!(repeat.field(39), late_code);
        // The network gives up on it: nothing is left to undo.
        let reversed = client.reverse(purchase, 2, Naming::OriginalData);
        assert_eq!(reversed.field(39), accepted);
        // A single message is given back.
        late(&rig, &mut client, 200, Purchase::of(3, 900));
        assert_eq!(client.receive().field(39), late_code);
        assert_eq!(rig.money(card), (10_000, 0));
    }
}

#[test]
fn an_approval_that_a_repeat_was_told_in_time_stays() {
    let rig = Rig::start();
    let card = rig.issue(VISA, 10_000);
    let within = format!("answer_within_ms = {}", ANSWER_WITHIN.as_millis());
    let (peer, address) = rig.listen(&Language::default(), &within);
    let [mut one, mut other] = [(); 2].map(|()| Client::speaking(Language::default(), address));
    let purchase = Purchase::of(1, 700);
    late_with_repeat(&rig, &mut one, &mut other, purchase);
    let answers = [one.receive(), other.receive()];
    let codes = answers.each_ref().map(|answer| answer.field(39));
    assert_eq!(codes, ["00", "00"]);
    assert_eq!(rig.money(card), (10_000, 700));
    assert_eq!(peer.stats.late_approvals.load(Ordering::Relaxed), 1);
}

/// The repeat comes when the first message is late already, and is in time itself.
fn late_with_repeat(rig: &Rig, one: &mut Client, other: &mut Client, purchase: Purchase) {
    let (before, sent) = (rig.switchboard.stats[0].approved(), Instant::now());
    rig.gate.close();
    send(one, 100, purchase);
    wait_until("it is approved", || {
        rig.switchboard.stats[0].approved() == before + 1
    });
    wait_until("its time is over", || sent.elapsed() > ANSWER_WITHIN);
    send(other, 101, purchase);
    wait_until("the repeat is looked up", || {
        rig.switchboard.stats[0].repeats() == 1
    });
    rig.gate.open();
}

#[test]
fn where_the_connection_is_gone_the_hold_stays_and_a_repeat_elsewhere_gets_the_approval() {
    let rig = Rig::start();
    let card = rig.issue(VISA, 10_000);
    let (peer, address) = rig.listen(&Language::default(), "");
    let [mut one, mut other] = [(); 2].map(|()| Client::speaking(Language::default(), address));
    let purchase = Purchase::of(1, 700);
    rig.gate.close();
    send(&mut one, 100, purchase);
    wait_until("it is approved", || {
        rig.switchboard.stats[0].approved() == 1
    });
    drop(one);
    rig.gate.open();
    wait_until("one connection is left", || {
        peer.stats.sessions_open.load(Ordering::Relaxed) == 1
    });
    assert_eq!(rig.money(card), (10_000, 700));
    let fields = other.language.authorization(purchase);
    let repeat = other.exchange(101, &borrowed(&fields));
    assert_eq!(repeat.field(39), "00");
    assert_eq!(rig.money(card), (10_000, 700));
}

#[test]
fn what_has_waited_for_too_long_is_not_decided_and_its_repeat_is() {
    let rig = Rig::start();
    let card = rig.issue(VISA, 10_000);
    let root = rig.account_of(card).root;
    let mut payment = Authorize {
        card_id: card,
        ..Authorize::default()
    };
    payment.amounts.transaction.amount_minor = 500;
    payment.repeat_key.0 = 7;
    payment.authorization_id.0 = 1;
    let request = || ShardRequest::Command {
        root,
        action: Action::Authorize(payment.clone()),
    };
    let (over, open) = (Some(Instant::now()), None);
    let reply = rig.ask_by(0, request(), over);
    assert!(
        matches!(reply, Reply::Unavailable(Unavailable::Overloaded)),
        "{reply:?}"
    );
    assert_eq!(rig.money(card), (10_000, 0));
    let decided = rig.ask_by(0, request(), open);
    let Reply::Message(answer) = decided else {
        panic!("{decided:?}");
    };
    assert!(answer.is_approval());
    assert_eq!(rig.money(card), (10_000, 500));
    // What was answered is told again, however long it waited.
    let again = rig.ask_by(0, request(), over);
    assert!(matches!(again, Reply::Message(first) if first == answer));
    assert_eq!(rig.money(card), (10_000, 500));
}

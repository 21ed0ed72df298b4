//! A disk that hangs and a disk that is full, under the loops and sockets inside the test: what is refused, what
//! is taken, and that it goes on when the disk does. The real program on a full disk: `full_disk.rs`.

mod support;

use cardswitch::journal::Settings;
use cardswitch::shard::inbox::QueueSettings;
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::client::{Client, Language};
use support::messages::{Naming, Purchase, borrowed};
use support::rig::Rig;
use support::{VISA, wait_until};

#[test]
fn while_a_sync_hangs_new_authorizations_get_a_quick_91_and_reversals_are_taken() {
    let rig = Rig::start();
    let card = rig.issue(VISA, 10_000);
    let (peer, mut client) = rig.connected(&Language::default(), "");
    rig.gate.close();
    let (first, refused) = (Purchase::of(1, 100), Purchase::of(2, 200));
    send(&mut client, first);
    wait_until("its group hangs in the sync", || {
        // More than the bound of `[journal] stall_refuse_ms` in all, by the disk's own clock.
        rig.gate.advance(Duration::from_millis(400));
        rig.journal.is_stalled()
    });
    // Refused at once, though nothing gets durable; and nothing of them is in the journal.
    let answer = client.authorize(refused);
    assert_eq!(
        (answer.mti, answer.field(39), answer.field(38)),
        (110, "91", "")
    );
    let mut stranger = refused;
    (stranger.pan, stranger.stan) = ("4222222222222222", 3);
    assert_eq!(client.authorize(stranger).field(39), "91");
    assert_eq!(peer.stats.overload_refusals.load(Ordering::Relaxed), 2);
    // A reversal waits for the disk like the purchase before it: the echo overtakes it.
    let fields = client.language.reversal(first, 4, Naming::OriginalData);
    client.send(400, &borrowed(&fields));
    assert_eq!(client.manage("echo", 9).mti, 810);

    rig.gate.open();
    let answers = [client.receive(), client.receive()];
    let told: Vec<_> = answers.iter().map(|a| (a.mti, a.field(39))).collect();
    assert_eq!(told, [(110, "00"), (410, "00")]);
    // What was refused left no first answer behind: its repeat is decided.
    let fields = client.language.authorization(refused);
    assert_eq!(client.exchange(101, &borrowed(&fields)).field(39), "00");
    assert_eq!(rig.money(card), (10_000, 200));
}

fn send(client: &mut Client, purchase: Purchase) {
    let fields = client.language.authorization(purchase);
    client.send(100, &borrowed(&fields));
}

#[test]
fn a_hanging_sync_refuses_nothing_before_the_bound_or_without_one() {
    for (stall_refuse_ms, advance_ms) in [(1_000, 1_000), (0, 1_000_000)] {
        let settings = Settings {
            stall_refuse_ms,
            ..small_segments()
        };
        let rig = Rig::over(1, QueueSettings::default(), settings);
        rig.issue(VISA, 10_000);
        let (peer, mut client) = rig.connected(&Language::default(), "");
        rig.gate.close();
        send(&mut client, Purchase::of(1, 100));
        wait_until("its group is on its way to the disk", || {
            rig.gate.advance(Duration::from_millis(1));
            !rig.journal.commit_time().is_zero()
        });
        let so_far = rig.journal.commit_time();
        rig.gate.advance(Duration::from_millis(advance_ms) - so_far);
        send(&mut client, Purchase::of(2, 100));
        wait_until("it is taken", || {
            peer.stats.messages_received.load(Ordering::Relaxed) == 2
        });
        assert_eq!(client.manage("echo", 9).mti, 810);
        rig.gate.open();
        assert_eq!(client.receive().field(39), "00");
        assert_eq!(client.receive().field(39), "00");
    }
}

fn small_segments() -> Settings {
    Settings {
        segment_size_bytes: 64 << 10,
        pending_limit_bytes: 32 << 10,
        reserve_bytes: 64 << 10,
        ..Settings::default()
    }
}

#[test]
fn a_full_disk_refuses_authorizations_takes_reversals_and_goes_on_when_there_is_room() {
    let rig = Rig::over(1, QueueSettings::default(), small_segments());
    let card = rig.issue(VISA, 1_000_000);
    let (_, mut client) = rig.connected(&Language::default(), "");
    let (_, mut of_1993) = rig.connected(
        &Language::new("iso8583-1993-ascii", "length-2-be", "none"),
        "name = \"net1993\"",
    );
    let whole = rig.journal.reserve_bytes();
    wait_until("the reserve is whole", || {
        rig.journal.reserve_bytes() == 64 << 10
    });
    assert!(whole <= 64 << 10);
    let purchase = |stan| Purchase::of(stan, 10);
    let first = client.authorize(purchase(1));
    rig.memory.set_capacity(0);
    let mut stan = 1;
    let refused = loop {
        stan += 1;
        let answer = client.authorize(purchase(stan));
        if answer.field(39) != "00" {
            break answer;
        }
        assert!(stan < 5_000, "the disk never gets full");
    };
    let mut held_minor = i64::from(stan - 1) * 10;
    assert_eq!(
        (refused.mti, refused.field(39), refused.field(38)),
        (110, "96", "")
    );
    assert_eq!(of_1993.authorize(purchase(9_000)).field(39), "909");
    let mut stranger = purchase(9_001);
    stranger.pan = "4222222222222222";
    assert_eq!(client.authorize(stranger).field(39), "96");
    // What needs no record is answered; what must be taken is taken.
    assert_eq!(client.authorize(purchase(1)), first);
    for (original, stan) in (2..20).zip(10_000..) {
        let reversed = client.reverse(purchase(original), stan, Naming::OriginalData);
        assert_eq!(reversed.field(39), "00");
        held_minor -= 10;
    }
    assert_eq!(rig.money(card), (1_000_000, held_minor));

    rig.memory.set_capacity(u64::MAX);
    wait_until("authorizations are taken again", || {
        stan += 1;
        let approved = client.authorize(purchase(stan)).field(39) == "00";
        held_minor += if approved { 10 } else { 0 };
        approved
    });
    assert_eq!(rig.money(card), (1_000_000, held_minor));
}

//! The making and sending of physical cards.

mod engine_support;

use cardswitch::engine::command::*;
use cardswitch::engine::controls::Controls;
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::event::*;
use cardswitch::engine::facts::Country;
use cardswitch::engine::hash::state_hash;
use cardswitch::engine::ids::*;
use cardswitch::engine::reissue::ReissueReason;
use cardswitch::engine::shipping::*;
use cardswitch::engine::snapshot;
use cardswitch::engine::state::CardStatus;
use cardswitch::engine::time::Expiry;
use engine_support::*;

const ROOT: u64 = 10;

fn order() -> ShippingOrder {
    ShippingOrder {
        address: ShippingAddress {
            name: "Ann Example".into(),
            line1: "1 Main Street".into(),
            line2: None,
            city: "New York".into(),
            region: Some("NY".into()),
            postal_code: "10001".into(),
            country: Country(*b"US"),
            phone: None,
        },
        method: "express".into(),
    }
}

/// Cards 1 and 2 are made and sent, card 3 is physical and made by somebody who tells nothing, card 4 is virtual.
fn switch() -> Switch {
    let mut switch = Switch::new(2);
    switch.open_account(ROOT, Controls::default());
    for id in 1..=4 {
        let card_type = match id {
            4 => CardType::Virtual,
            _ => CardType::Physical,
        };
        switch.open_card(NewCard {
            card_type,
            shipping: (id < 3).then(|| Box::new(order())),
            ..NewCard::of(id, ROOT, ROOT)
        });
    }
    switch
}

fn change(switch: &mut Switch, card: u64, to: ShippingStatus, carrier: Option<&str>) -> Outcome {
    let change = ChangeShipping {
        card_id: CardId(card),
        to,
        parcel: Parcel {
            carrier: carrier.map(Into::into),
            ..Parcel::default()
        },
    };
    switch.command(AccountId(ROOT), Action::ChangeShipping(Box::new(change)))
}

fn shipping(switch: &Switch, card: u64) -> Shipping {
    let card = switch
        .world
        .shard(AccountId(ROOT))
        .card(CardId(card))
        .unwrap();
    (**card.shipping.as_ref().unwrap()).clone()
}

#[test]
fn a_card_is_activated_once_it_has_left() {
    use ShippingStatus::*;
    let activate =
        |switch: &mut Switch, card| switch.change_status(ROOT, card, StatusChange::Activate);
    for (steps, activates) in [
        (&[][..], Err(Ordered)),
        (&[InProduction], Err(InProduction)),
        (&[InProduction, Produced], Err(Produced)),
        (&[Shipped], Ok(())),
        (&[Produced, Shipped, Delivered], Ok(())),
        (&[Shipped, Returned], Err(Returned)),
        (&[Shipped, Returned, Shipped], Ok(())),
        (&[Shipped, Failed], Err(Failed)),
        (&[Cancelled], Err(Cancelled)),
    ] {
        let mut switch = switch();
        for to in steps {
            assert!(
                matches!(change(&mut switch, 1, *to, None), Outcome::Event(_)),
                "{steps:?}"
            );
        }
        let outcome = activate(&mut switch, 1);
        match activates {
            Ok(()) => assert!(matches!(outcome, Outcome::Event(_)), "{steps:?}"),
            Err(status) => assert_eq!(outcome, Outcome::Refused(Refusal::NotShipped(status))),
        }
        // What somebody else makes is activated as ever.
        assert!(matches!(activate(&mut switch, 3), Outcome::Event(_)));
    }
}

#[test]
fn moves_are_those_of_the_table() {
    let mut allowed = 0;
    for (from, _) in ShippingStatus::NAMED {
        for (to, _) in ShippingStatus::NAMED {
            let mut switch = switch();
            if *from == ShippingStatus::Delivered || *from == ShippingStatus::Returned {
                change(&mut switch, 1, ShippingStatus::Shipped, None);
            }
            if *from != ShippingStatus::Ordered {
                change(&mut switch, 1, *from, None);
            }
            assert_eq!(shipping(&switch, 1).status, *from);
            match change(&mut switch, 1, *to, None) {
                Outcome::Event(event) => {
                    let expected = Event::ShippingChanged {
                        from: *from,
                        to: *to,
                    };
                    assert_eq!(event, expected);
                    assert_eq!(shipping(&switch, 1).status, *to);
                    allowed += 1;
                }
                Outcome::AlreadyDone => assert_eq!(from, to),
                outcome => {
                    let refusal = Refusal::ShippingStatusForbids(*from);
                    assert_eq!(outcome, Outcome::Refused(refusal));
                }
            }
        }
    }
    assert_eq!(allowed, 5 + 4 + 3 + 3 + 2);
}

#[test]
fn what_is_sent_says_with_whom_and_may_say_so_again() {
    let mut switch = switch();
    change(&mut switch, 1, ShippingStatus::Shipped, Some("DHL"));
    let again = change(&mut switch, 1, ShippingStatus::Shipped, Some("DHL"));
    assert_eq!(again, Outcome::AlreadyDone);
    let other = change(&mut switch, 1, ShippingStatus::Shipped, Some("UPS"));
    assert!(matches!(other, Outcome::Event(_)));
    change(&mut switch, 1, ShippingStatus::Delivered, None);
    assert_eq!(shipping(&switch, 1).parcel.carrier.as_deref(), Some("UPS"));
    for card in [3, 4] {
        let refused = change(&mut switch, card, ShippingStatus::Shipped, None);
        assert_eq!(refused, Outcome::Refused(Refusal::NothingToShip));
    }
    let unknown = change(&mut switch, 9, ShippingStatus::Shipped, None);
    assert_eq!(unknown, Outcome::Refused(Refusal::CardNotFound(CardId(9))));
}

#[test]
fn closing_a_card_stops_what_has_not_left() {
    for (steps, after) in [
        (&[][..], ShippingStatus::Cancelled),
        (&[ShippingStatus::Produced], ShippingStatus::Cancelled),
        (&[ShippingStatus::Shipped], ShippingStatus::Shipped),
        (&[ShippingStatus::Failed], ShippingStatus::Failed),
    ] {
        let mut switch = switch();
        for card in [1, 2] {
            for to in steps {
                change(&mut switch, card, *to, None);
            }
        }
        switch.change_status(ROOT, 1, StatusChange::Close);
        assert_eq!(shipping(&switch, 1).status, after, "{steps:?}");
        let expiry = Expiry::new(2032, 1).unwrap();
        switch
            .reissue(5, 2, ReissueReason::Damaged, expiry)
            .unwrap();
        assert_eq!(shipping(&switch, 2).status, after, "{steps:?}");
        // The new one is ordered anew, to where the old one went.
        let new = shipping(&switch, 5);
        assert_eq!((new.status, new.order), (ShippingStatus::Ordered, order()));
        let state = switch.world.shard(AccountId(ROOT));
        assert_eq!(state.card(CardId(5)).unwrap().status, CardStatus::Inactive);

        let mut bytes = Vec::new();
        snapshot::write(&switch.world, &mut bytes).unwrap();
        let restored = snapshot::read(&mut &*bytes, 3).unwrap();
        assert_eq!(state_hash(&restored), state_hash(&switch.world));
        assert_eq!(state_hash(&switch.replayed(1)), state_hash(&switch.world));
    }
}

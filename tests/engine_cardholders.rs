//! What a shard has not heard of a cardholder yet: it is kept until it has, through replays and snapshots.

mod engine_support;

use cardswitch::engine::cardholders::{ChangeCardholder, Holder, SetCardholder};
use cardswitch::engine::command::{Action, ChangeCardHolder};
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::facts::Country;
use cardswitch::engine::hash::state_hash;
use cardswitch::engine::ids::*;
use cardswitch::engine::registry::{RegistryAction, RegistryOutcome, RegistryRefusal};
use cardswitch::engine::reissue::ReissueReason;
use cardswitch::engine::snapshot;
use cardswitch::engine::time::Expiry;
use cardswitch::engine::world::World;
use engine_support::*;

fn through_snapshot(world: &World, shards: usize) -> World {
    let mut bytes = Vec::new();
    snapshot::write(world, &mut bytes).unwrap();
    snapshot::read(&mut &bytes[..], shards).unwrap()
}

#[test]
fn a_verification_that_a_shard_has_not_heard_of_is_pending_until_it_has() {
    let mut switch = Switch::new(2);
    switch.cardholder(81, "DE", false);
    for root in [1, 2] {
        switch.open_account(root, Default::default());
        let mut card = NewCard::of(root * 100 + 1, root, root);
        card.cardholder_id = Some(CardholderId(81));
        switch.open_card(card);
    }
    let verified = RegistryAction::VerifyCardholder(CardholderId(81));
    assert!(matches!(
        switch.registry(verified),
        RegistryOutcome::Event(_)
    ));
    for told in [0, 1, 2] {
        let pending = |world: &World| world.pending_holders.clone();
        let left = pending(&switch.world);
        assert_eq!(left.len(), 2 - told);
        for shards in [1, 2, 8] {
            assert_eq!(pending(&switch.replayed(shards)), left);
            let restored = through_snapshot(&switch.world, shards);
            assert_eq!(pending(&restored), left);
            assert_eq!(state_hash(&restored), state_hash(&switch.world));
            let known = &restored.registry.cardholders[&CardholderId(81)];
            assert_eq!((known.cards.len(), known.cardholder.verified), (2, true));
        }
        let Some((card_id, next)) = left.into_iter().next() else {
            return;
        };
        let change = ChangeCardHolder {
            card_id,
            holder: next.holder,
            is_set: false,
        };
        let card = |switch: &Switch| switch.world.shard(next.root).card(card_id).cloned();
        assert!(!card(&switch).unwrap().is_verified());
        for expected_event in [true, false] {
            let outcome = switch.command(next.root, Action::ChangeCardHolder(change));
            assert_eq!(matches!(outcome, Outcome::Event(_)), expected_event);
        }
        assert!(card(&switch).unwrap().is_verified());
    }
    unreachable!("two cards were told");
}

#[test]
fn a_change_of_what_cards_know_is_pending_until_they_have_heard_and_a_name_is_none() {
    let mut switch = Switch::new(2);
    switch.cardholder(81, "DE", true);
    switch.open_account(1, Default::default());
    let mut card = NewCard::of(101, 1, 1);
    card.cardholder_id = Some(CardholderId(81));
    switch.open_card(card);
    let unchanged = ChangeCardholder {
        id: CardholderId(81),
        name: Some("Ann".into()),
        home_country: None,
        verified: Some(true),
    };
    let moved = ChangeCardholder {
        name: None,
        home_country: Country::from_alpha2("IE"),
        verified: Some(false),
        ..unchanged.clone()
    };
    for (change, pending) in [(unchanged, 0), (moved, 1)] {
        let change = RegistryAction::ChangeCardholder(Box::new(change));
        let outcome = switch.registry(change);
        assert!(matches!(outcome, RegistryOutcome::Event(_)));
        assert_eq!(switch.world.pending_holders.len(), pending);
        for world in [switch.replayed(3), through_snapshot(&switch.world, 1)] {
            assert_eq!(world.pending_holders, switch.world.pending_holders);
            assert_eq!(state_hash(&world), state_hash(&switch.world));
        }
    }
    let known = &switch.world.registry.cardholders[&CardholderId(81)];
    let holder = known.cardholder.holder();
    assert_eq!(known.cardholder.name.as_deref(), Some("Ann"));
    assert_eq!(
        (holder.home_country.alpha2(), holder.verified),
        ("IE", false)
    );
    let card_id = CardId(101);
    let told = Action::ChangeCardHolder(ChangeCardHolder {
        card_id,
        holder,
        is_set: false,
    });
    switch.command(AccountId(1), told);
    assert!(switch.world.pending_holders.is_empty());
    let card = switch.world.shard(AccountId(1)).card(card_id);
    assert_eq!(card.unwrap().holder, Some(holder));
    let nobody = ChangeCardholder {
        id: CardholderId(82),
        name: None,
        home_country: None,
        verified: None,
    };
    let nobody = RegistryAction::ChangeCardholder(Box::new(nobody));
    assert!(matches!(
        switch.registry(nobody),
        RegistryOutcome::Refused(_)
    ));
}

#[test]
fn a_card_that_heard_of_an_earlier_change_last_is_told_of_the_latest_again() {
    let mut switch = Switch::new(2);
    switch.cardholder(81, "DE", false);
    switch.open_account(1, Default::default());
    let mut card = NewCard::of(101, 1, 1);
    card.cardholder_id = Some(CardholderId(81));
    switch.open_card(card);
    let holders = ["IE", "FR"].map(|country| {
        let change = ChangeCardholder {
            id: CardholderId(81),
            name: None,
            home_country: Country::from_alpha2(country),
            verified: None,
        };
        switch.registry(RegistryAction::ChangeCardholder(Box::new(change)));
        let known = &switch.world.registry.cardholders[&CardholderId(81)];
        known.cardholder.holder()
    });
    let card_id = CardId(101);
    for (holder, pending) in [(holders[0], 1), (holders[1], 0)] {
        let told = Action::ChangeCardHolder(ChangeCardHolder {
            card_id,
            holder,
            is_set: false,
        });
        switch.command(AccountId(1), told);
        for world in [&switch.world, &switch.replayed(3)] {
            let left = world.pending_holders.values();
            assert!(left.clone().all(|left| left.holder == holders[1]));
            assert_eq!(left.count(), pending);
        }
    }
}

/// A card in a tree of its own, and two cardholders: one abroad, one at home.
fn card_and_two_holders() -> Switch {
    let mut switch = Switch::new(2);
    switch.cardholder(81, "DE", false);
    switch.cardholder(82, "IE", true);
    switch.open_account(1, Default::default());
    switch.open_card(NewCard::of(101, 1, 1));
    switch
}

fn holder_of(world: &World, card: u64) -> Option<Holder> {
    let card = world.shard(AccountId(1)).card(CardId(card));
    card.unwrap().holder
}

fn known(world: &World, id: u64) -> (Holder, usize) {
    let known = &world.registry.cardholders[&CardholderId(id)];
    (known.cardholder.holder(), known.cards.len())
}

#[test]
fn a_card_has_the_cardholder_that_was_set_last_and_hears_of_no_other() {
    let mut switch = card_and_two_holders();
    let set = |switch: &mut Switch, id: u64| {
        let set = SetCardholder {
            card_id: CardId(101),
            cardholder_id: CardholderId(id),
        };
        switch.registry(RegistryAction::SetCardholder(set))
    };
    let tell = |switch: &mut Switch, holder: Holder, is_set: bool| {
        let change = ChangeCardHolder {
            card_id: CardId(101),
            holder,
            is_set,
        };
        let told = switch.command(AccountId(1), Action::ChangeCardHolder(change));
        matches!(told, Outcome::Event(_))
    };
    for (id, cards) in [(81, [1, 0]), (82, [0, 1]), (81, [1, 0])] {
        assert!(matches!(set(&mut switch, id), RegistryOutcome::Event(_)));
        assert_eq!(set(&mut switch, id), RegistryOutcome::AlreadyDone);
        // What its shard has not heard is kept until it has.
        for world in [switch.replayed(3), through_snapshot(&switch.world, 1)] {
            assert_eq!(state_hash(&world), state_hash(&switch.world));
            assert_eq!(world.pending_holders.len(), 1);
            assert_eq!([81, 82].map(|id| known(&world, id).1), cards);
        }
        let holder = known(&switch.world, id).0;
        assert!(tell(&mut switch, holder, true));
        assert!(!tell(&mut switch, holder, true), "once more");
        assert!(switch.world.pending_holders.is_empty());
        let other = Holder {
            verified: !known(&switch.world, 163 - id).0.verified,
            ..known(&switch.world, 163 - id).0
        };
        assert!(!tell(&mut switch, other, false), "what is new of another");
        assert_eq!(holder_of(&switch.world, 101), Some(holder));
    }
    let verified = RegistryAction::VerifyCardholder(CardholderId(81));
    switch.registry(verified);
    let holder = known(&switch.world, 81).0;
    assert!(tell(&mut switch, holder, false), "what is new of its own");
    assert_eq!(holder_of(&switch.world, 101), Some(holder));
    for (card, id) in [(102, 81), (101, 83)] {
        let set = SetCardholder {
            card_id: CardId(card),
            cardholder_id: CardholderId(id),
        };
        let refused = switch.registry(RegistryAction::SetCardholder(set));
        assert!(
            matches!(refused, RegistryOutcome::Refused(_)),
            "{card} {id}"
        );
    }
}

#[test]
fn a_card_in_place_of_one_has_the_cardholder_that_the_registry_knows() {
    let mut switch = card_and_two_holders();
    switch.set_cardholder(101, 81);
    // Its shard has not heard of it when it replaces the card.
    let set = SetCardholder {
        card_id: CardId(101),
        cardholder_id: CardholderId(82),
    };
    switch.registry(RegistryAction::SetCardholder(set));
    let expiry = Expiry::new(2030, 12).unwrap();
    let replaced = switch.reissue(102, 101, ReissueReason::Damaged, expiry);
    replaced.unwrap();
    let holder = known(&switch.world, 82).0;
    assert_eq!(holder_of(&switch.world, 102), Some(holder));
    assert_eq!([81, 82].map(|id| known(&switch.world, id).1), [0, 2]);
    let refused = switch.set_cardholder(101, 81);
    let expected = RegistryRefusal::CardReplaced(CardId(102));
    assert_eq!(refused, RegistryOutcome::Refused(expected));
}

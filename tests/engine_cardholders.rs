//! What a shard has not heard of a cardholder yet: it is kept until it has, through replays and snapshots.

mod engine_support;

use cardswitch::engine::cardholders::ChangeCardholder;
use cardswitch::engine::command::{Action, ChangeCardHolder};
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::facts::Country;
use cardswitch::engine::hash::state_hash;
use cardswitch::engine::ids::*;
use cardswitch::engine::registry::{RegistryAction, RegistryOutcome};
use cardswitch::engine::snapshot;
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

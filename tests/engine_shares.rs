//! Shares of what all have in common, where they are decided: what is full for one tenant is not for another, and a world
//! that is restored knows as much of it as the one that lived.

mod engine_support;

use cardswitch::engine::api_keys::Bounds;
use cardswitch::engine::card_batches::{BatchChange, NewCardBatch};
use cardswitch::engine::command::*;
use cardswitch::engine::controls::Controls;
use cardswitch::engine::controls::Window;
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::event::Refusal;
use cardswitch::engine::exceptions::*;
use cardswitch::engine::failed_references::{FAILED_REFERENCES_OF_TENANT_MAX, FailReference};
use cardswitch::engine::hash::state_hash;
use cardswitch::engine::ids::*;
use cardswitch::engine::kept_text::KeptText;
use cardswitch::engine::links::{
    self, LIMITS_GIVEN_UP_MAX, LINKS_WITH_CONTROLS_OF_TENANT_MAX, SetLinkControls,
};
use cardswitch::engine::registry::*;
use cardswitch::engine::snapshot;
use cardswitch::engine::time::Timestamp;
use cardswitch::engine::top_ups::*;
use cardswitch::engine::webhook_endpoints::{
    WEBHOOK_ENDPOINTS_MAX, WEBHOOK_ENDPOINTS_OF_TENANT_MAX, WebhookEndpoint, WebhookState,
};
use cardswitch::engine::world::World;
use engine_support::*;

const ROOT: u64 = 10;
const DAY_MS: i64 = 24 * 3_600_000;

/// As a snapshot and as the journal have it, with another number of shards.
fn assert_restored(switch: &Switch) -> World {
    let mut bytes = Vec::new();
    snapshot::write(&switch.world, &mut bytes).unwrap();
    let restored = snapshot::read(&mut bytes.as_slice(), 3).unwrap();
    assert_eq!(state_hash(&restored), state_hash(&switch.world));
    assert_eq!(state_hash(&switch.replayed(1)), state_hash(&switch.world));
    restored
}

fn announce(switch: &mut Switch, id: u64, tenant: Option<u64>) -> Outcome {
    let top_up = TopUp {
        top_up_id: TopUpId(id),
        account_id: AccountId(ROOT),
        amount: usd(1),
        method: "swift".into(),
        external_reference: None,
        tenant: tenant.map(ApiKeyId),
    };
    switch.command(AccountId(ROOT), Action::AnnounceTopUp(Box::new(top_up)))
}

#[test]
fn a_tenant_that_announces_no_end_of_top_ups_stops_no_other() {
    let mut switch = Switch::new(2);
    switch.open_account(ROOT, Controls::default());
    let share = PENDING_TOP_UPS_OF_TENANT_MAX as u64;
    for id in 1..=share {
        assert!(matches!(
            announce(&mut switch, id, Some(1)),
            Outcome::Event(_)
        ));
    }
    let full = Outcome::Refused(Refusal::TooManyPendingTopUps);
    assert_eq!(announce(&mut switch, 20_000, Some(1)), full);
    switch.world = assert_restored(&switch);
    assert_eq!(announce(&mut switch, 20_000, Some(1)), full);
    for (id, tenant) in [(20_001, Some(2)), (20_002, None)] {
        let outcome = announce(&mut switch, id, tenant);
        assert!(matches!(outcome, Outcome::Event(_)), "{tenant:?}");
    }
    // One that ends makes room.
    let end = EndTopUp {
        top_up_id: TopUpId(1),
        account_id: AccountId(ROOT),
        end: TopUpEnd::Failed {
            reason: "did not come".into(),
        },
        payment: None,
    };
    switch.command(AccountId(ROOT), Action::EndTopUp(Box::new(end)));
    assert!(matches!(
        announce(&mut switch, 20_003, Some(1)),
        Outcome::Event(_)
    ));
    assert_eq!(announce(&mut switch, 20_004, Some(1)), full);
}

#[test]
fn a_tenant_has_five_batches_under_way_and_a_quarter_is_the_operators() {
    let mut switch = Switch::new(1);
    let order = |switch: &mut Switch, id: u64, tenant: Option<u64>| {
        let order = NewCardBatch {
            id: CardBatchId(id),
            first_row_id: 100_000 * id,
            total: 1,
            bounds: None,
            created_at: switch.at,
            requester: None,
            tenant: tenant.map(ApiKeyId),
        };
        switch.registry(change(BatchChange::Create(Box::new(order))))
    };
    let full = RegistryOutcome::Refused(RegistryRefusal::TooManyCardBatches);
    for tenant in 1..=3 {
        for number in 0..5 {
            let made = order(&mut switch, 10 * tenant + number, Some(tenant));
            assert!(matches!(made, RegistryOutcome::Event(_)));
        }
        assert_eq!(order(&mut switch, 10 * tenant + 9, Some(tenant)), full);
    }
    // Fifteen of all tenants.
    assert_eq!(order(&mut switch, 40, Some(4)), full);
    for number in 50..55 {
        assert!(matches!(
            order(&mut switch, number, None),
            RegistryOutcome::Event(_)
        ));
    }
    assert_eq!(order(&mut switch, 55, None), full);
    switch.registry(change(BatchChange::Cancel(CardBatchId(10))));
    assert!(matches!(
        order(&mut switch, 19, Some(1)),
        RegistryOutcome::Event(_)
    ));
    assert_restored(&switch);
}

fn change(change: BatchChange) -> RegistryAction {
    RegistryAction::ChangeCardBatch(Box::new(change))
}

#[test]
fn webhook_endpoints_are_shared_by_tenant() {
    let mut switch = Switch::new(1);
    let put = |switch: &mut Switch, id: u64, tenant: Option<u64>| {
        let endpoint = WebhookEndpoint {
            id: WebhookEndpointId(id),
            name: None,
            url: None,
            events: ["*".into()].into(),
            filter: Bounds::default(),
            bounds: Bounds::default(),
            in_order: false,
            thin: false,
            state: WebhookState::Enabled,
            secret_version: 1,
            previous_secret_until: None,
            created_at: switch.at,
            created_by: None,
            tenant: tenant.map(ApiKeyId),
        };
        switch.registry(RegistryAction::PutWebhookEndpoint(Box::new(endpoint)))
    };
    let full = RegistryOutcome::Refused(RegistryRefusal::TooManyWebhookEndpoints);
    let share = WEBHOOK_ENDPOINTS_OF_TENANT_MAX as u64;
    let of_tenants = 3 * WEBHOOK_ENDPOINTS_MAX as u64 / 4;
    for id in 0..of_tenants {
        let tenant = 1 + id / share;
        let made = put(&mut switch, id, Some(tenant));
        assert!(matches!(made, RegistryOutcome::Event(_)), "{id}");
        if id % share == share - 1 {
            assert_eq!(put(&mut switch, 10_000, Some(tenant)), full);
        }
    }
    assert_eq!(put(&mut switch, 10_000, Some(99)), full);
    assert!(matches!(
        put(&mut switch, 10_000, None),
        RegistryOutcome::Event(_)
    ));
    let delete = RegistryAction::DeleteWebhookEndpoint(WebhookEndpointId(0));
    switch.registry(delete);
    assert!(matches!(
        put(&mut switch, 0, Some(1)),
        RegistryOutcome::Event(_)
    ));
    assert_restored(&switch);
}

/// Takes a reference, and says whether it was free.
fn reserve(switch: &mut Switch, id: u64, reference: &str, tenant: Option<u64>) -> bool {
    let reserve = ReserveReference {
        root: AccountId(ROOT),
        top_up: TopUp {
            top_up_id: TopUpId(id),
            account_id: AccountId(ROOT),
            amount: usd(1),
            method: "swift".into(),
            external_reference: Some(reference.into()),
            tenant: tenant.map(ApiKeyId),
        },
        settles: false,
        program_id: PROGRAM,
        in_place_of: None,
    };
    let action = RegistryAction::ReserveReference(Box::new(reserve));
    matches!(switch.registry(action), RegistryOutcome::Event(_))
}

fn fail_reference(switch: &mut Switch, id: u64, reference: &str) -> RegistryOutcome {
    let failed = FailReference {
        top_up_id: TopUpId(id),
        root: AccountId(ROOT),
        method: "swift".into(),
        reference: reference.into(),
    };
    switch.registry(RegistryAction::FailReference(Box::new(failed)))
}

#[test]
fn references_of_failed_top_ups_are_known_up_to_a_number_of_each_tenant() {
    let mut switch = Switch::new(2);
    switch.open_account(ROOT, Controls::default());
    let most = FAILED_REFERENCES_OF_TENANT_MAX as u64;
    let of_other = most + 10;
    assert!(reserve(&mut switch, of_other, "other", Some(2)));
    fail_reference(&mut switch, of_other, "other");
    assert!(reserve(&mut switch, of_other + 1, "waits", Some(1)));
    for id in 1..=most + 2 {
        let reference = format!("INV-{id}");
        assert!(reserve(&mut switch, id, &reference, Some(1)));
        let noted = fail_reference(&mut switch, id, &reference);
        assert!(matches!(noted, RegistryOutcome::Event(_)), "{noted:?}");
    }
    let again = fail_reference(&mut switch, most + 2, &format!("INV-{}", most + 2));
    assert_eq!(again, RegistryOutcome::AlreadyDone);
    let known = |switch: &Switch| switch.world.registry.references.iter().count() as u64;
    assert_eq!(
        known(&switch),
        most + 2,
        "with the one that waits and another's"
    );
    let restored = assert_restored(&switch);
    let restored = Switch {
        world: restored,
        at: switch.at,
        records: Vec::new(),
    };
    for mut switch in [restored, switch] {
        // The oldest two are forgotten, the others taken.
        let mut id = 20_000;
        let mut is_free = |switch: &mut Switch, reference: &str| {
            id += 1;
            reserve(switch, id, reference, Some(1))
        };
        let told = ["INV-1", "INV-2", "INV-3", "other", "waits"];
        let told = told.map(|reference| is_free(&mut switch, reference));
        assert_eq!(told, [true, true, false, false, false]);
        // One more makes room again, as if nothing had been restored.
        fail_reference(&mut switch, 20_001, "INV-1");
        assert!(is_free(&mut switch, "INV-3"));
    }
}

fn ask_for_exception(switch: &mut Switch, id: u64, ends_at: Timestamp) {
    let exception = ControlException {
        id: ExceptionId(id),
        subject: Subject::Account(AccountId(ROOT)),
        lifts: Lifts::default(),
        starts_at: switch.at,
        ends_at,
        uses_max: None,
        reason: "trip".into(),
        requested_by: signer("ann"),
        created_at: switch.at,
        state: ExceptionState::Requested,
        decided: None,
        ended: None,
        tenant: Some(ApiKeyId(1)),
        program_id: PROGRAM,
        account_ids: [AccountId(ROOT)].into(),
    };
    switch.registry(RegistryAction::RequestException(Box::new(exception)));
}

#[test]
fn an_exception_that_is_over_for_long_is_forgotten_by_all_alike() {
    let mut switch = Switch::new(2);
    switch.open_account(ROOT, Controls::default());
    let ask = ask_for_exception;
    let start = switch.at;
    for (id, days) in [(1, 1), (2, 1), (3, 200)] {
        ask(&mut switch, id, start.plus_ms(days * DAY_MS));
    }
    let known = |world: &World| {
        let known = world.registry.exceptions.iter();
        known.map(|exception| exception.id.0).collect::<Vec<_>>()
    };
    let retention_ms = switch
        .world
        .registry
        .view
        .settings
        .past_exception_retention_ms;
    switch.at = start.plus_ms(DAY_MS + retention_ms - 1);
    ask(&mut switch, 4, start.plus_ms(300 * DAY_MS));
    assert_eq!(known(&switch.world), [1, 2, 3, 4]);
    // What no longer counts is not compared, reclaimed or not.
    let before = assert_restored(&switch);
    switch.at = start.plus_ms(DAY_MS + retention_ms);
    ask(&mut switch, 5, start.plus_ms(300 * DAY_MS));
    assert_eq!(known(&switch.world), [3, 4, 5]);
    assert_eq!(known(&assert_restored(&switch)), [3, 4, 5]);
    let replayed = fold(
        before,
        switch.records.last().map(std::slice::from_ref).unwrap(),
    );
    assert_eq!(state_hash(&replayed), state_hash(&switch.world));
    // Nobody approves it any more.
    let approve = ChangeException {
        id: ExceptionId(1),
        change: ExceptionChange::Approve,
        by: signer("bob"),
        note: None,
    };
    let outcome = switch.registry(RegistryAction::ChangeException(Box::new(approve)));
    let gone = RegistryRefusal::ExceptionNotFound(ExceptionId(1));
    assert_eq!(outcome, RegistryOutcome::Refused(gone));
}

/// Until then it is not forgotten either, however long ago its time was over.
#[test]
fn that_the_time_of_an_exception_is_over_is_recorded_once() {
    let mut switch = Switch::new(2);
    switch.open_account(ROOT, Controls::default());
    let start = switch.at;
    for id in 1..=3 {
        ask_for_exception(&mut switch, id, start.plus_ms(DAY_MS));
    }
    let change = |switch: &mut Switch, id: u64, change: ExceptionChange| {
        let change = ChangeException {
            id: ExceptionId(id),
            change,
            by: signer("bob"),
            note: None,
        };
        switch.registry(RegistryAction::ChangeException(Box::new(change)))
    };
    for id in [1, 2] {
        change(&mut switch, id, ExceptionChange::Approve);
    }
    change(&mut switch, 2, ExceptionChange::End);
    let expire = |switch: &mut Switch, id: u64| {
        let came = switch.registry(RegistryAction::ExpireException(ExceptionId(id)));
        matches!(
            came,
            RegistryOutcome::Event(RegistryEvent::ExceptionExpired { .. })
        )
    };
    let next = |world: &World| world.registry.exceptions.first_to_expire();
    let due = Some((start.plus_ms(DAY_MS), ExceptionId(1)));
    assert_eq!(next(&switch.world), due);
    switch.at = start.plus_ms(DAY_MS - 1);
    assert!(!expire(&mut switch, 1), "it is not over");
    switch.at = start.plus_ms(200 * DAY_MS);
    for id in [10, 11] {
        ask_for_exception(&mut switch, id, start.plus_ms(300 * DAY_MS));
    }
    assert_eq!(next(&assert_restored(&switch)), due);
    let expired = [1, 1, 2, 3, 9].map(|id| expire(&mut switch, id));
    // One ended before, one was never approved, and of one nothing is known.
    assert_eq!(expired, [true, false, false, false, false]);
    let of_hand = change(&mut switch, 1, ExceptionChange::End);
    let unknown = RegistryRefusal::ExceptionNotFound(ExceptionId(1));
    assert_eq!(
        of_hand,
        RegistryOutcome::Refused(unknown),
        "it is forgotten now"
    );
    assert_eq!(next(&assert_restored(&switch)), None);
}

#[test]
fn idempotency_keys_are_restored_with_their_responses_and_what_they_take() {
    let mut switch = Switch::new(1);
    let long = r#"{"id":"lim_0h2","window":"day"}"#.repeat(1_000);
    for (key, body) in [(1, "{}"), (2, long.as_str()), (3, "")] {
        let request = IdempotentRequest {
            key: IdempotencyKey(key),
            request_hash: 8,
            first_id: 9,
            tenant: Some(ApiKeyId(key as u64)),
            request_number: 10,
        };
        switch.registry(RegistryAction::BeginIdempotent(request));
        if !body.is_empty() {
            let (key, status, body) = (request.key, 201, KeptText::of(body));
            switch.registry(RegistryAction::CompleteIdempotent { key, status, body });
        }
    }
    let bytes = switch.world.registry.idempotency.bytes();
    assert!((3 * 256 + 2..3 * 256 + 2_000).contains(&bytes), "{bytes}");
    for world in [assert_restored(&switch), switch.replayed(2)] {
        let keys = &world.registry.idempotency;
        assert_eq!((keys.len(), keys.bytes()), (3, bytes));
        let bodies = keys.iter().map(|(_, _, entry)| {
            let response = entry.response.as_ref();
            response
                .and_then(|(_, body)| body.text())
                .unwrap_or_default()
        });
        assert_eq!(
            bodies.collect::<Vec<_>>(),
            ["{}".to_owned(), long.clone(), String::new()]
        );
    }
}

#[test]
fn a_tenant_gives_controls_to_so_many_linked_objects_and_taking_them_away_makes_room() {
    let mut switch = Switch::new(1);
    let set = |switch: &mut Switch, id: u64, tenant: Option<u64>, has_any: bool| {
        let controls = Controls {
            merchant_lock: has_any,
            ..Controls::default()
        };
        let set = SetLinkControls {
            key: LinkKey {
                program_id: PROGRAM,
                link_type: "project".into(),
                id: id.to_string().into(),
            },
            controls,
            tenant: tenant.map(ApiKeyId),
        };
        switch.registry(RegistryAction::SetLinkControls(Box::new(set)))
    };
    let is_done = |outcome: RegistryOutcome| matches!(outcome, RegistryOutcome::Event(_));
    let full = RegistryOutcome::Refused(RegistryRefusal::TooManyLinksWithControls);
    let share = LINKS_WITH_CONTROLS_OF_TENANT_MAX as u64;
    for id in 1..=share {
        assert!(is_done(set(&mut switch, id, Some(1), true)), "{id}");
    }
    let assert_full = |switch: &mut Switch| {
        assert_eq!(set(switch, 20_001, Some(1), true), full);
        // What has controls is changed as ever, and what gets none takes nothing.
        assert!(is_done(set(switch, 1, Some(1), true)));
        assert!(is_done(set(switch, 20_001, Some(1), false)));
    };
    assert_full(&mut switch);
    switch.world = assert_restored(&switch);
    assert_full(&mut switch);
    assert!(is_done(set(&mut switch, 30_000, Some(2), true)));
    assert!(is_done(set(&mut switch, 30_001, None, true)));
    // Whoever changes them, the object stays in the share of who gave it controls.
    assert!(is_done(set(&mut switch, 30_000, Some(1), true)));
    assert!(is_done(set(&mut switch, 2, None, true)));
    assert_full(&mut switch);
    // Whoever takes them away, it makes room for one.
    assert!(is_done(set(&mut switch, 2, None, false)));
    assert!(is_done(set(&mut switch, 20_000, Some(1), true)));
    assert_full(&mut switch);
    assert_restored(&switch);
}

#[test]
fn limits_that_a_linked_object_gave_up_stay_its_own_for_a_while() {
    let mut switch = Switch::new(1);
    let key = |id: &str| LinkKey {
        program_id: PROGRAM,
        link_type: "project".into(),
        id: id.into(),
    };
    let with = |id: u64| limits([limit(id, Window::Day, Some(500), None)]);
    let given_up = LIMITS_GIVEN_UP_MAX as u64;
    for id in 1..=given_up + 2 {
        switch.set_link_controls(key("p1"), with(id));
    }
    switch.world = assert_restored(&switch);
    let p1 = links::find(&switch.world.registry, "project", "p1");
    let known = (0..=given_up + 3).filter(|id| p1[0].knows_limit(LimitId(*id)));
    assert_eq!(
        known.collect::<Vec<_>>(),
        (2..=given_up + 2).collect::<Vec<_>>()
    );
    let taken = RegistryRefusal::LimitOfOtherLink(LimitId(2));
    let refused = switch.set_link_controls(key("p2"), with(2));
    assert_eq!(refused, RegistryOutcome::Refused(taken));
    // What is taken up again is not given up; beyond so many the first is forgotten.
    for controls in [with(2), Controls::default(), with(given_up + 2)] {
        switch.set_link_controls(key("p1"), controls);
        assert_restored(&switch);
    }
    let p1 = links::find(&switch.world.registry, "project", "p1");
    let given_up_now: Vec<u64> = p1[0].given_up.iter().map(|id| id.0).collect();
    assert_eq!(
        given_up_now,
        (4..given_up + 2).chain([2]).collect::<Vec<_>>()
    );
}

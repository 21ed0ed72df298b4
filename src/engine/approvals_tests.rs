//! Who may approve, what a state forbids, and what is remembered.

use super::*;
use crate::engine::api_keys::{ApiKey, Bounds, KeyOrigin, Scopes};
use crate::engine::ids::ApiKeyId;
use crate::engine::registry_decide;

const AT: Timestamp = Timestamp(1_000);

/// Keys 1 and 2 are the root key's; 1 made 3, which is bound to nothing, and the tenants 4 and 5; 4 made 6.
fn registry() -> Registry {
    let mut registry = Registry::default();
    let bounds = |id| Bounds {
        account_ids: match id {
            4.. => [AccountId(1)].into(),
            _ => Box::default(),
        },
        ..Bounds::default()
    };
    for (id, created_by) in [
        (1, None),
        (2, None),
        (3, Some(1)),
        (4, Some(1)),
        (5, Some(1)),
        (6, Some(4)),
    ] {
        let key = ApiKey {
            id: ApiKeyId(id),
            name: "key".into(),
            key_hash: [id as u8; 32],
            scopes: Scopes::default(),
            bounds: bounds(id),
            allowed_ips: Box::default(),
            expires_at: None,
            created_at: Timestamp(0),
            created_by: created_by.map(ApiKeyId),
            revoked_at: None,
            rolled_from: None,
            origin: KeyOrigin::default(),
        };
        done(
            &mut registry,
            AT,
            RegistryAction::CreateApiKey(Box::new(key)),
        );
    }
    registry
}

fn by(id: u64) -> Signer {
    Signer {
        api_key_id: (id != 0).then_some(ApiKeyId(id)),
        name: "key".into(),
    }
}

fn wanted(id: u64, asked: u64) -> Approval {
    Approval {
        id: ApprovalId(id),
        program_id: ProgramId(1),
        write: GuardedWrite::ChangeCard(CardId(9)),
        body: "{}".into(),
        first_id: 100,
        replaces: None,
        requested_by: by(asked),
        created_at: AT,
        expires_at: AT.plus_ms(APPROVAL_VALID_MS),
        state: ApprovalState::Pending,
        decided: None,
        outcome: None,
        approving_request_id: None,
    }
}

fn ask(registry: &mut Registry, at: Timestamp, action: RegistryAction) -> RegistryOutcome {
    let command = RegistryCommand { at, action };
    let outcome = registry_decide::decide(registry, &command);
    if let RegistryOutcome::Event(event) = &outcome {
        registry_decide::apply(registry, &command, event);
    }
    outcome
}

#[track_caller]
fn done(registry: &mut Registry, at: Timestamp, action: RegistryAction) {
    let outcome = ask(registry, at, action);
    assert!(matches!(outcome, RegistryOutcome::Event(_)), "{outcome:?}");
}

fn request(id: u64, asked: u64) -> RegistryAction {
    RegistryAction::RequestApproval(Box::new(wanted(id, asked)))
}

fn change(id: u64, change: ApprovalChange) -> RegistryAction {
    let id = ApprovalId(id);
    RegistryAction::ChangeApproval(Box::new(ChangeApproval { id, change }))
}

fn approved(by: Signer, note: Option<Box<str>>) -> ApprovalChange {
    ApprovalChange::Approve {
        by,
        note,
        request_id: "req_1".into(),
    }
}

fn approve(id: u64, who: u64) -> RegistryAction {
    let (by, note) = (by(who), None);
    change(id, approved(by, note))
}

fn reject(id: u64, who: u64) -> RegistryAction {
    let (by, note) = (by(who), None);
    change(id, ApprovalChange::Reject { by, note })
}

fn cancel(id: u64, who: u64) -> RegistryAction {
    let (by, note) = (by(who), None);
    change(id, ApprovalChange::Cancel { by, note })
}

fn finish(id: u64, status: u16) -> RegistryAction {
    let body = "{}".into();
    change(id, ApprovalChange::Finish(ApprovalOutcome { status, body }))
}

#[track_caller]
fn refused(outcome: RegistryOutcome, refusal: RegistryRefusal) {
    assert_eq!(outcome, RegistryOutcome::Refused(refusal));
}

#[test]
fn another_person_approves_and_who_asked_cancels() {
    for (asked, approver, may) in [
        (1, 2, true),
        (1, 1, false),
        (1, 3, false),
        (3, 1, false),
        (1, 0, true),
        (0, 1, true),
        (0, 0, false),
    ] {
        let mut registry = registry();
        done(&mut registry, AT, request(50, asked));
        match may {
            true => done(&mut registry, AT, approve(50, approver)),
            false => {
                let told = ask(&mut registry, AT, approve(50, approver));
                refused(told, RegistryRefusal::ApproverIsRequester);
                done(&mut registry, AT, cancel(50, approver));
            }
        }
        if may {
            done(&mut registry, AT, request(51, asked));
            let told = ask(&mut registry, AT, cancel(51, approver));
            refused(told, RegistryRefusal::CancelledByOther);
            done(&mut registry, AT, reject(51, approver));
        }
    }
}

#[test]
fn each_state_has_its_end_and_nothing_after_it() {
    let mut registry = registry();
    for id in [50, 51, 52, 53] {
        done(&mut registry, AT, request(id, 1));
    }
    let end = AT.plus_ms(APPROVAL_VALID_MS);
    let told = ask(&mut registry, AT, request(50, 1));
    refused(told, RegistryRefusal::IdTaken);
    done(&mut registry, AT, approve(50, 2));
    assert!(registry.approvals[&ApprovalId(50)].is_unfinished());
    // Doing the same once more changes nothing.
    let again = ask(&mut registry, AT, approve(50, 2));
    assert_eq!(again, RegistryOutcome::AlreadyDone);
    let forbids = RegistryRefusal::ApprovalStateForbids;
    refused(
        ask(&mut registry, AT, reject(50, 2)),
        forbids(ApprovalState::Approved),
    );
    done(&mut registry, AT, finish(50, 200));
    assert!(!registry.approvals[&ApprovalId(50)].is_unfinished());
    let again = ask(&mut registry, AT, finish(50, 409));
    assert_eq!(again, RegistryOutcome::AlreadyDone);

    done(&mut registry, AT, approve(51, 2));
    done(&mut registry, AT, finish(51, 409));
    refused(
        ask(&mut registry, AT, approve(51, 2)),
        forbids(ApprovalState::Failed),
    );
    done(&mut registry, AT, reject(52, 2));
    refused(
        ask(&mut registry, AT, approve(52, 2)),
        forbids(ApprovalState::Rejected),
    );
    // One moment before its end it is still good, and at its end it is not.
    let before_end = ask(&mut registry.clone(), Timestamp(end.0 - 1), approve(53, 2));
    assert!(matches!(before_end, RegistryOutcome::Event(_)));
    refused(
        ask(&mut registry, end, approve(53, 2)),
        forbids(ApprovalState::Expired),
    );
    refused(
        ask(&mut registry, end, approve(99, 2)),
        RegistryRefusal::ApprovalNotFound(ApprovalId(99)),
    );
}

#[test]
fn what_a_revoked_key_asked_for_is_not_approved() {
    let mut registry = registry();
    done(&mut registry, AT, request(50, 1));
    let id = ApiKeyId(1);
    done(
        &mut registry,
        AT,
        RegistryAction::RevokeApiKey {
            id,
            at: AT,
            children: false,
        },
    );
    let told = ask(&mut registry, AT, approve(50, 2));
    refused(told, RegistryRefusal::RequesterRevoked);
    done(&mut registry, AT, reject(50, 2));
}

#[test]
fn only_so_many_wait_and_the_oldest_that_is_over_is_forgotten() {
    let mut registry = registry();
    let of_family = APPROVALS_PENDING_OF_FAMILY_MAX as u64;
    for id in 0..of_family {
        // Of one family, whichever of its keys asks.
        done(&mut registry, AT, request(id, 1 + 2 * (id % 2)));
    }
    let told = ask(&mut registry, AT, request(of_family, 3));
    refused(told, RegistryRefusal::TooManyApprovals);
    done(&mut registry, AT, request(of_family, 2));
    // Tenants have a share of their own each, though the same key has made them.
    for id in 0..of_family {
        done(&mut registry, AT, request(1_000 + id, 4 + 2 * (id % 2)));
    }
    let told = ask(&mut registry, AT, request(2_000, 6));
    refused(told, RegistryRefusal::TooManyApprovals);
    done(&mut registry, AT, request(2_000, 5));
    // What time has ended does not wait.
    let later = AT.plus_ms(APPROVAL_VALID_MS);
    done(&mut registry, later, request(of_family + 1, 1));

    let mut approvals = Approvals::new();
    for id in 0..APPROVALS_MAX as u64 {
        let mut known = wanted(id, 1);
        known.state = match id {
            0 => ApprovalState::Pending,
            1 => ApprovalState::Approved,
            _ => ApprovalState::Rejected,
        };
        approvals.insert(known.id, Arc::new(known));
    }
    make_room(&mut approvals, AT);
    let gone: Vec<u64> = (0..4)
        .filter(|id| !approvals.contains_key(&ApprovalId(*id)))
        .collect();
    assert_eq!((gone, approvals.len()), (vec![2], APPROVALS_MAX - 1));
}

#[test]
fn a_policy_is_as_strict_as_another_where_nothing_that_needed_two_needs_one() {
    let policy = |above: Option<i64>, limit_raises| SecondApprover {
        top_ups_above_minor: above,
        limit_raises,
    };
    for (now, before, is_as_strict) in [
        (policy(None, false), policy(None, false), true),
        (policy(Some(5), true), policy(None, false), true),
        (policy(Some(5), true), policy(Some(5), true), true),
        (policy(Some(4), true), policy(Some(5), true), true),
        (policy(Some(6), true), policy(Some(5), true), false),
        (policy(None, true), policy(Some(5), true), false),
        (policy(Some(5), false), policy(Some(5), true), false),
        (policy(Some(0), false), policy(None, true), false),
    ] {
        assert_eq!(
            now.is_as_strict_as(&before),
            is_as_strict,
            "{now:?} {before:?}"
        );
    }
    let above_five = policy(Some(5), false);
    let needs = [5, 6].map(|credited| above_five.is_for_top_up(credited));
    assert_eq!(needs, [false, true]);
    assert!(!policy(None, true).is_for_top_up(i64::MAX));
}

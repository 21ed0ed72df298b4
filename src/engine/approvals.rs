//! Writes that wait for a second person: what was asked for and by whom, who approved it, and what came of it. Which writes
//! these are, a program's `SecondApprover` says; carrying one out lives in `api`. Its ids are fixed when it is asked for, so
//! that it is carried out once.

use super::ids::{AccountId, ApprovalId, CardId, ProgramId, TopUpId};
use super::registry::{
    Registry, RegistryAction, RegistryCommand, RegistryEvent, RegistryOutcome, RegistryRefusal,
};
use super::shares::{self, ShareBounds, Shares};
use super::signers::{Signed, Signer};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Approvals that are remembered; beyond it the oldest that waits for nothing is forgotten, of the program that has most.
pub const APPROVALS_MAX: usize = 2_000;

/// Approvals that wait, and those of them that the keys of one family asked for.
pub const APPROVALS_PENDING_MAX: usize = 1_000;
pub const APPROVALS_PENDING_OF_FAMILY_MAX: usize = 100;
/// A tenant has as many, however its keys were made.
const SHARES: ShareBounds =
    ShareBounds::new(APPROVALS_PENDING_MAX, APPROVALS_PENDING_OF_FAMILY_MAX);

/// How long one waits.
pub const APPROVAL_VALID_MS: i64 = 7 * 24 * 3_600_000;

/// Longest body of a request that waits, as JSON.
pub const APPROVAL_BODY_MAX_BYTES: usize = 64 * 1024;

/// What of a program needs two people. By default nothing does.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondApprover {
    /// Top-ups of more than this, in minor units of the account's currency.
    pub top_ups_above_minor: Option<i64>,
    /// Whatever lets more through: looser controls, a larger credit line.
    pub limit_raises: bool,
}

impl SecondApprover {
    pub fn is_none(&self) -> bool {
        *self == SecondApprover::default()
    }

    pub fn is_for_top_up(&self, credited_minor: i64) -> bool {
        self.top_ups_above_minor
            .is_some_and(|above| credited_minor > above)
    }

    /// Whether everything that needed two people before does now.
    pub fn is_as_strict_as(&self, before: &SecondApprover) -> bool {
        let top_ups = before
            .top_ups_above_minor
            .is_none_or(|was| self.top_ups_above_minor.is_some_and(|now| now <= was));
        top_ups && (self.limit_raises || !before.limit_raises)
    }
}

/// A write of the interface that may have to wait, with the object that its path names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardedWrite {
    TopUp(AccountId),
    /// Of more than was announced.
    SettleTopUp(TopUpId),
    /// With a credit line.
    OpenAccount,
    ChangeAccount(AccountId),
    ChangeCard(CardId),
    ChangeProgram(ProgramId),
    SetLinkControls {
        link_type: Box<str>,
        id: Box<str>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub id: ApprovalId,
    pub program_id: ProgramId,
    pub write: GuardedWrite,
    /// The body of the request, as JSON.
    pub body: Box<str>,
    /// Ids from here on belong to the write.
    pub first_id: u64,
    /// A hash of what it would replace, as it was; nothing where it replaces nothing.
    pub replaces: Option<Box<str>>,
    pub requested_by: Signer,
    pub created_at: Timestamp,
    /// Not part of its time.
    pub expires_at: Timestamp,
    pub state: ApprovalState,
    /// Who approved, rejected or cancelled it.
    pub decided: Option<Signed>,
    /// Of one that is approved, once it is carried out.
    pub outcome: Option<ApprovalOutcome>,
    /// The id of the request that approved it, which the write is carried out in the name of.
    pub approving_request_id: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApprovalState {
    Pending,
    /// To be carried out, or carried out.
    Approved,
    Rejected,
    Cancelled,
    /// Approved, and not possible any more.
    Failed,
    /// By its time; that is not written down.
    Expired,
}

impl ApprovalState {
    pub const ALL: &'static [(ApprovalState, &'static str)] = &[
        (ApprovalState::Pending, "pending"),
        (ApprovalState::Approved, "approved"),
        (ApprovalState::Rejected, "rejected"),
        (ApprovalState::Cancelled, "cancelled"),
        (ApprovalState::Failed, "failed"),
        (ApprovalState::Expired, "expired"),
    ];

    pub fn name(self) -> &'static str {
        let mut all = ApprovalState::ALL.iter();
        let known = all.find(|(state, _)| *state == self);
        // The list names every state.
        known.map_or("pending", |(_, name)| name)
    }
}

/// What the write was answered: its status, and the body as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalOutcome {
    pub status: u16,
    pub body: Box<str>,
}

impl ApprovalOutcome {
    pub fn is_success(&self) -> bool {
        self.status < 300
    }
}

impl Approval {
    pub fn state_at(&self, at: Timestamp) -> ApprovalState {
        match self.state {
            ApprovalState::Pending if at >= self.expires_at => ApprovalState::Expired,
            state => state,
        }
    }

    /// Somebody has approved it, and what came of it is not known yet.
    pub fn is_unfinished(&self) -> bool {
        self.state == ApprovalState::Approved && self.outcome.is_none()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeApproval {
    pub id: ApprovalId,
    pub change: ApprovalChange,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApprovalChange {
    Approve {
        by: Signer,
        note: Option<Box<str>>,
        request_id: Box<str>,
    },
    Reject {
        by: Signer,
        note: Option<Box<str>>,
    },
    /// By who asked.
    Cancel {
        by: Signer,
        note: Option<Box<str>>,
    },
    /// What came of one that was approved.
    Finish(ApprovalOutcome),
}

/// What an approval is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalPlace {
    pub program_id: ProgramId,
    pub write: GuardedWrite,
}

impl Approval {
    pub fn place(&self) -> ApprovalPlace {
        ApprovalPlace {
            program_id: self.program_id,
            write: self.write.clone(),
        }
    }
}

pub type Approvals = BTreeMap<ApprovalId, Arc<Approval>>;

pub(super) fn decide(registry: &Registry, command: &RegistryCommand) -> RegistryOutcome {
    let (decided, place) = match &command.action {
        RegistryAction::RequestApproval(wanted) => {
            let refusal = refusal_of_request(registry, command.at, wanted);
            let decided = refusal.map_or(Ok(Some(ApprovalState::Pending)), Err);
            (decided, Some(wanted.place()))
        }
        RegistryAction::ChangeApproval(change) => {
            let known = registry.approvals.get(&change.id);
            let decided = decide_change(registry, command.at, change);
            (decided, known.map(|known| known.place()))
        }
        action => panic!("no approval changes by this command: {action:?}"),
    };
    match (decided, place) {
        (Ok(Some(to)), Some(place)) => {
            let place = Box::new(place);
            RegistryOutcome::Event(RegistryEvent::ApprovalChanged { to, place })
        }
        (Ok(_), _) => RegistryOutcome::AlreadyDone,
        (Err(refusal), _) => RegistryOutcome::Refused(refusal),
    }
}

fn refusal_of_request(
    registry: &Registry,
    at: Timestamp,
    wanted: &Approval,
) -> Option<RegistryRefusal> {
    let keys = &registry.view.api_keys;
    let asked = wanted.requested_by.api_key_id;
    let is_pending = |known: &&Arc<Approval>| known.state_at(at) == ApprovalState::Pending;
    let pending = || registry.approvals.values().filter(is_pending);
    let tenant_of = |known: &Approval| keys.tenant(known.requested_by.api_key_id);
    let tenant = tenant_of(wanted);
    let taken = Shares::of(pending().map(|known| tenant_of(known)));
    // The operator's keys are told apart by whose they are, as of no tenant they have no share.
    let of_family = |known: &&Arc<Approval>| {
        tenant_of(known).is_none() && keys.are_of_one_family(known.requested_by.api_key_id, asked)
    };
    let has_share = match tenant {
        Some(_) => true,
        None => pending().filter(of_family).count() < APPROVALS_PENDING_OF_FAMILY_MAX,
    };
    if registry.approvals.contains_key(&wanted.id) {
        Some(RegistryRefusal::IdTaken)
    } else if !has_share || taken.check(tenant, 1, &SHARES).is_err() {
        Some(RegistryRefusal::TooManyApprovals)
    } else {
        None
    }
}

/// The state that it comes to; nothing, where it is so already.
fn decide_change(
    registry: &Registry,
    at: Timestamp,
    change: &ChangeApproval,
) -> Result<Option<ApprovalState>, RegistryRefusal> {
    let known = registry.approvals.get(&change.id);
    let known = known.ok_or(RegistryRefusal::ApprovalNotFound(change.id))?;
    let to = match &change.change {
        ApprovalChange::Approve { .. } => ApprovalState::Approved,
        ApprovalChange::Reject { .. } => ApprovalState::Rejected,
        ApprovalChange::Cancel { .. } => ApprovalState::Cancelled,
        ApprovalChange::Finish(outcome) => {
            return match (known.is_unfinished(), outcome.is_success()) {
                (false, _) => Ok(None),
                (true, true) => Ok(Some(ApprovalState::Approved)),
                (true, false) => Ok(Some(ApprovalState::Failed)),
            };
        }
    };
    let keys = &registry.view.api_keys;
    let asked = known.requested_by.api_key_id;
    let is_same = |by: &Signer| keys.are_of_one_family(by.api_key_id, asked);
    let state = known.state_at(at);
    match &change.change {
        _ if state != to && state != ApprovalState::Pending => {
            Err(RegistryRefusal::ApprovalStateForbids(state))
        }
        // Also of what another has approved meanwhile: it was not the one who asked.
        ApprovalChange::Approve { by, .. } if is_same(by) => {
            Err(RegistryRefusal::ApproverIsRequester)
        }
        _ if state == to => Ok(None),
        ApprovalChange::Approve { .. } if !keys.is_good_or_rolled(asked, at) => {
            Err(RegistryRefusal::RequesterRevoked)
        }
        ApprovalChange::Cancel { by, .. } if !is_same(by) => Err(RegistryRefusal::CancelledByOther),
        _ => Ok(Some(to)),
    }
}

/// What the command makes of the approvals.
pub(super) fn apply(approvals: &mut Approvals, command: &RegistryCommand, to: ApprovalState) {
    match &command.action {
        RegistryAction::RequestApproval(wanted) => {
            make_room(approvals, command.at);
            approvals.insert(wanted.id, Arc::new((**wanted).clone()));
        }
        RegistryAction::ChangeApproval(change) => {
            let Some(known) = approvals.get_mut(&change.id) else {
                panic!("approval {} of an event is not here", change.id)
            };
            let known = Arc::make_mut(known);
            known.state = to;
            match &change.change {
                ApprovalChange::Approve { by, note, .. }
                | ApprovalChange::Reject { by, note }
                | ApprovalChange::Cancel { by, note } => {
                    known.decided = Some(Signed {
                        by: by.clone(),
                        at: command.at,
                        note: note.clone(),
                    });
                }
                ApprovalChange::Finish(outcome) => known.outcome = Some(outcome.clone()),
            }
            if let ApprovalChange::Approve { request_id, .. } = &change.change {
                known.approving_request_id = Some(request_id.clone());
            }
        }
        action => panic!("no approval changes by this command: {action:?}"),
    }
}

fn make_room(approvals: &mut Approvals, at: Timestamp) {
    let waits =
        |known: &Approval| known.is_unfinished() || known.state_at(at) == ApprovalState::Pending;
    while approvals.len() >= APPROVALS_MAX {
        let over = approvals.values().filter(|known| !waits(known));
        let oldest = shares::first_of_most(over.map(|known| (known.program_id, known.id)));
        let Some(id) = oldest else {
            break;
        };
        approvals.remove(&id);
    }
}

#[cfg(test)]
#[path = "approvals_tests.rs"]
mod tests;

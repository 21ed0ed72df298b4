//! Exceptions from controls: who asked for one and who approved it, whose it is, what it lifts, and when. How a check
//! makes use of one lives in `rules/exceptions.rs`; what was used of one is in `shared_counters.rs`.

use super::facts::{Channel, Country, EntryMode};
use super::groups::MccGroupRef;
use super::ids::{AccountId, ApiKeyId, CardId, ExceptionId, LimitId, LinkId, ProgramId};
use super::merchants::MerchantEntry;
use super::money::Currency;
use super::registry::{
    LinkKey, Registry, RegistryAction, RegistryCommand, RegistryEvent, RegistryOutcome,
    RegistryRefusal,
};
use super::signers::{Signed, Signer};
use super::time::Timestamp;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// All that are known, past ones among them.
pub const EXCEPTIONS_MAX: usize = 100_000;
pub const EXCEPTIONS_OF_TENANT_MAX: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlException {
    pub id: ExceptionId,
    pub subject: Subject,
    pub lifts: Lifts,
    pub starts_at: Timestamp,
    /// Not part of it.
    pub ends_at: Timestamp,
    /// Approved payments that it may let through, in each account tree.
    pub uses_max: Option<u32>,
    pub reason: Box<str>,
    pub requested_by: Signer,
    pub created_at: Timestamp,
    pub state: ExceptionState,
    /// Who approved or rejected it.
    pub decided: Option<Signed>,
    /// Who ended it before its time.
    pub ended: Option<Signed>,
    /// Whose share it takes of.
    pub tenant: Option<ApiKeyId>,
    /// Where its subject is, which says who sees it.
    pub program_id: ProgramId,
    /// The account that a card draws on first, or the one itself, and those above it; none of a link.
    pub account_ids: Box<[AccountId]>,
}

/// Whose requests an exception is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Subject {
    Card(CardId),
    /// What is drawn on it, or on an account below it.
    Account(AccountId),
    /// Every card that is linked to it.
    Link(LinkId),
}

/// What does not decline any more. A list that is empty lifts nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifts {
    pub limits: Vec<RaisedLimit>,
    pub mccs: Vec<u16>,
    pub mcc_groups: Vec<MccGroupRef>,
    pub countries: Vec<Country>,
    pub currencies: Vec<Currency>,
    pub merchants: Vec<MerchantEntry>,
    pub channels: Vec<Channel>,
    pub entry_modes: Vec<EntryMode>,
}

/// What a limit allows in place of what it says, where that is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaisedLimit {
    pub limit_id: LimitId,
    /// In minor units of the account's currency.
    pub amount_minor: Option<i64>,
    pub count: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExceptionState {
    Requested,
    Approved,
    Rejected,
    /// By hand; one whose time is over stays approved until that is recorded.
    Ended,
    /// Its time is over, and that is recorded.
    Expired,
}

impl ExceptionState {
    pub fn name(self) -> &'static str {
        match self {
            ExceptionState::Requested => "requested",
            ExceptionState::Approved => "approved",
            ExceptionState::Rejected => "rejected",
            ExceptionState::Ended | ExceptionState::Expired => "ended",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeException {
    pub id: ExceptionId,
    pub change: ExceptionChange,
    pub by: Signer,
    pub note: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExceptionChange {
    Approve,
    Reject,
    End,
}

impl ExceptionChange {
    pub fn name(self) -> &'static str {
        match self {
            ExceptionChange::Approve => "approve",
            ExceptionChange::Reject => "reject",
            ExceptionChange::End => "end",
        }
    }

    fn to(self) -> ExceptionState {
        match self {
            ExceptionChange::Approve => ExceptionState::Approved,
            ExceptionChange::Reject => ExceptionState::Rejected,
            ExceptionChange::End => ExceptionState::Ended,
        }
    }
}

impl Lifts {
    pub fn is_empty(&self) -> bool {
        *self == Lifts::default()
    }
}

impl ControlException {
    pub fn is_live_at(&self, at: Timestamp) -> bool {
        self.state == ExceptionState::Approved && self.starts_at <= at && at < self.ends_at
    }

    /// Its state at a time: one that time has ended is ended.
    pub fn state_at(&self, at: Timestamp) -> ExceptionState {
        match self.state {
            ExceptionState::Approved if at >= self.ends_at => ExceptionState::Ended,
            ExceptionState::Expired => ExceptionState::Ended,
            state => state,
        }
    }

    /// When nothing of it counts any more, or will: by hand, or by its time.
    pub fn over_at(&self) -> Timestamp {
        let by_hand = match self.state {
            ExceptionState::Rejected => self.decided.as_ref(),
            ExceptionState::Ended => self.ended.as_ref(),
            ExceptionState::Requested | ExceptionState::Approved | ExceptionState::Expired => None,
        };
        by_hand.map_or(self.ends_at, |signed| signed.at.min(self.ends_at))
    }

    /// Under which its uses are counted, like those of a limit.
    pub fn counter_id(&self) -> LimitId {
        LimitId(self.id.0)
    }
}

/// The approved exceptions whose time is not over, by whose they are.
#[derive(Debug, Clone, Default)]
pub struct LiveExceptions(Arc<HashMap<Subject, Vec<Arc<ControlException>>>>);

impl LiveExceptions {
    /// Those of a subject, in the order of their ids.
    pub fn of(&self, subject: Subject) -> &[Arc<ControlException>] {
        self.0.get(&subject).map_or(&[], Vec::as_slice)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One as it is now, under the one whose it is: of a card, the first of its chain. Those that time has ended go.
    pub(super) fn put(
        &mut self,
        subject: Subject,
        exception: &Arc<ControlException>,
        now: Timestamp,
    ) {
        let all = Arc::make_mut(&mut self.0);
        let of_subject = all.entry(subject).or_default();
        of_subject.retain(|other| other.id != exception.id);
        if exception.state == ExceptionState::Approved {
            let place = of_subject.partition_point(|other| other.id < exception.id);
            of_subject.insert(place, Arc::clone(exception));
        }
        all.retain(|_, of_subject| {
            of_subject.retain(|exception| exception.ends_at > now);
            !of_subject.is_empty()
        });
    }
}

pub(super) fn decide(registry: &Registry, command: &RegistryCommand) -> RegistryOutcome {
    match &command.action {
        RegistryAction::RequestException(wanted) => decide_request(registry, command.at, wanted),
        RegistryAction::ChangeException(change) => decide_change(registry, command.at, change),
        RegistryAction::ExpireException(id) => decide_expire(registry, command.at, *id),
        action => panic!("no exception changes by this command: {action:?}"),
    }
}

fn decide_request(
    registry: &Registry,
    at: Timestamp,
    wanted: &ControlException,
) -> RegistryOutcome {
    let settings = &registry.view.settings;
    let refusal = match wanted.subject {
        _ if registry.exceptions.get(wanted.id).is_some() => RegistryRefusal::IdTaken,
        _ if !registry.exceptions.has_room(wanted.tenant, at, settings) => {
            RegistryRefusal::TooManyExceptions
        }
        _ if wanted.ends_at <= wanted.starts_at.max(at) => RegistryRefusal::ExceptionOver,
        Subject::Card(id) if registry.issued_cards.get(id).is_none() => {
            RegistryRefusal::CardNotFound(id)
        }
        subject => {
            let link = link_of(registry, subject);
            return RegistryOutcome::Event(RegistryEvent::ExceptionRequested { link });
        }
    };
    RegistryOutcome::Refused(refusal)
}

fn decide_change(registry: &Registry, at: Timestamp, change: &ChangeException) -> RegistryOutcome {
    let Some(known) = registry.exceptions.get(change.id) else {
        return RegistryOutcome::Refused(RegistryRefusal::ExceptionNotFound(change.id));
    };
    let to = change.change.to();
    let from = match change.change {
        ExceptionChange::Approve | ExceptionChange::Reject => ExceptionState::Requested,
        ExceptionChange::End => ExceptionState::Approved,
    };
    let approves = change.change == ExceptionChange::Approve;
    let keys = &registry.view.api_keys;
    let is_same =
        |one: &Signer, other: &Signer| keys.are_of_one_family(one.api_key_id, other.api_key_id);
    let is_so = known.state == to || known.state_at(at) == to;
    // Also of what another has approved meanwhile: it was not the one who asked.
    let refusal = if known.state != from && !is_so {
        RegistryRefusal::ExceptionStateForbids(known.state)
    } else if approves && is_same(&change.by, &known.requested_by) {
        RegistryRefusal::ApproverIsRequester
    } else if is_so && known.state != from {
        return RegistryOutcome::AlreadyDone;
    } else if approves && !keys.is_good_or_rolled(known.requested_by.api_key_id, at) {
        RegistryRefusal::RequesterRevoked
    } else if approves && known.ends_at <= at {
        RegistryRefusal::ExceptionOver
    } else {
        let version = registry.view.version + 1;
        return RegistryOutcome::Event(RegistryEvent::ExceptionChanged {
            version,
            to,
            subject: known.subject,
            link: link_of(registry, known.subject),
            of: Box::new((**known).clone()),
        });
    };
    RegistryOutcome::Refused(refusal)
}

/// Once: from then on it is known that its time is over.
fn decide_expire(registry: &Registry, at: Timestamp, id: ExceptionId) -> RegistryOutcome {
    let known = registry.exceptions.get(id);
    let due = known.filter(|known| known.state == ExceptionState::Approved && known.ends_at <= at);
    let Some(known) = due else {
        return RegistryOutcome::AlreadyDone;
    };
    RegistryOutcome::Event(RegistryEvent::ExceptionExpired {
        link: link_of(registry, known.subject),
        of: Box::new((**known).clone()),
    })
}

/// Nothing counts otherwise than before: its time was looked at.
pub(super) fn apply_expired(registry: &mut Registry, id: ExceptionId) {
    if let Some(known) = registry.exceptions.get(id) {
        let mut known = (**known).clone();
        known.state = ExceptionState::Expired;
        registry.exceptions.put(Arc::new(known));
    }
}

/// The linked object that an exception is about, for who hears of it.
fn link_of(registry: &Registry, subject: Subject) -> Option<LinkKey> {
    match subject {
        Subject::Link(id) => registry.link_key(id).cloned(),
        Subject::Card(_) | Subject::Account(_) => None,
    }
}

/// The exception as it is after the change.
pub(super) fn apply_change(
    registry: &mut Registry,
    at: Timestamp,
    change: &ChangeException,
    to: ExceptionState,
) -> Arc<ControlException> {
    let Some(known) = registry.exceptions.get(change.id) else {
        panic!("exception {} of an event is not here", change.id)
    };
    let mut known = (**known).clone();
    known.state = to;
    let signed = Signed {
        by: change.by.clone(),
        at,
        note: change.note.clone(),
    };
    match change.change {
        ExceptionChange::Approve | ExceptionChange::Reject => known.decided = Some(signed),
        ExceptionChange::End => known.ended = Some(signed),
    }
    let known = Arc::new(known);
    registry.exceptions.put(Arc::clone(&known));
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approved(id: u64, ends_at: i64) -> ControlException {
        ControlException {
            id: ExceptionId(id),
            subject: Subject::Card(CardId(1)),
            lifts: Lifts::default(),
            starts_at: Timestamp(10),
            ends_at: Timestamp(ends_at),
            uses_max: None,
            reason: "trip".into(),
            requested_by: Signer {
                api_key_id: None,
                name: "root".into(),
            },
            created_at: Timestamp(1),
            state: ExceptionState::Approved,
            decided: None,
            ended: None,
            tenant: None,
            program_id: ProgramId(1),
            account_ids: Box::default(),
        }
    }

    #[test]
    fn only_what_is_approved_and_not_over_is_live() {
        let exception = approved(1, 20);
        let live = [9, 10, 19, 20].map(|at| exception.is_live_at(Timestamp(at)));
        assert_eq!(live, [false, true, true, false]);
        let requested = ControlException {
            state: ExceptionState::Requested,
            ..exception.clone()
        };
        assert!(!requested.is_live_at(Timestamp(15)));
        assert_eq!(exception.state_at(Timestamp(20)), ExceptionState::Ended);
    }

    #[test]
    fn what_ended_goes_with_the_next_change() {
        let mut live = LiveExceptions::default();
        for (id, ends_at) in [(2, 20), (1, 40)] {
            live.put(
                Subject::Card(CardId(1)),
                &Arc::new(approved(id, ends_at)),
                Timestamp(5),
            );
        }
        let ids = |live: &LiveExceptions| {
            let all = live.of(Subject::Card(CardId(1))).iter();
            all.map(|exception| exception.id.0).collect::<Vec<_>>()
        };
        assert_eq!(ids(&live), [1, 2]);
        live.put(
            Subject::Card(CardId(1)),
            &Arc::new(approved(3, 30)),
            Timestamp(20),
        );
        assert_eq!(ids(&live), [1, 3]);
        let ended = Arc::new(ControlException {
            state: ExceptionState::Ended,
            ..approved(1, 40)
        });
        live.put(ended.subject, &ended, Timestamp(21));
        assert_eq!(ids(&live), [3]);
        live.put(ended.subject, &ended, Timestamp(30));
        assert!(live.is_empty());
    }
}

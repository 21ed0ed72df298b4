//! What a record of a message, or of the end of a hold, does to rows that are there already: to its account, to
//! the authorization that it changes, and the money that it posts. The rows of its own are made in
//! `from_message.rs`.

use super::from_message::{advice_of, request_of, resolved_of, undoing_of, withheld_of};
use super::rows::{AuthorizationResult, AuthorizationRow, AuthorizationStatus};
use crate::engine::authorizations::ClosedBy;
use crate::engine::command::{Action, Advise, Authorize, CallOutcome, Resolve};
use crate::engine::event::{
    AdviceOutcome, Advised, Authorized, Event, Flags, LedgerAccount, Posting, Resolved, ResolvedTo,
    Standing, Undone,
};
use crate::engine::ids::{AccountId, AuthorizationId};
use crate::engine::kinds::{Direction, Treatment};
use crate::engine::reason::DeclineReason;
use crate::engine::record::Record;
use crate::engine::time::Timestamp;
use crate::engine::trace::Step;

/// What is done to the row of an authorization. Several after one another come to one.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// In place of the amount that it has.
    pub amount_minor: Option<i64>,
    /// Added to that.
    pub added_minor: i64,
    /// Added to what is posted.
    pub posted_minor: i64,
    pub status: Option<AuthorizationStatus>,
    pub expires_at: Option<Timestamp>,
    /// It is declined after all: the check that fails then, and why.
    pub declined: Option<(Step, DeclineReason)>,
    /// What the customer made of it.
    pub result: Option<AuthorizationResult>,
    pub call: Option<Call>,
    /// Of what is approved in part now.
    pub approved_transaction_minor: Option<i64>,
    /// What becomes of it where the customer has not decided yet.
    pub if_waiting: Option<IfWaiting>,
}

/// What somebody else than the customer made of what waited. The numbers are those of the statements in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfWaiting {
    Declined = 0,
    Approved = 1,
    PartiallyApproved = 2,
}

impl IfWaiting {
    /// An advice, after which nothing or something stands.
    fn advised(advised: &Advised, stands: bool) -> IfWaiting {
        match (stands, advised.approved_part_minor) {
            (false, _) => IfWaiting::Declined,
            (true, Some(_)) => IfWaiting::PartiallyApproved,
            (true, None) => IfWaiting::Approved,
        }
    }
}

/// How the customer was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    pub outcome: CallOutcome,
    pub duration_ms: u32,
    pub fallback_used: bool,
}

impl Change {
    pub(super) fn then(&mut self, later: Change) {
        if later.amount_minor.is_some() {
            (self.amount_minor, self.added_minor) = (later.amount_minor, 0);
        }
        self.added_minor = self.added_minor.saturating_add(later.added_minor);
        self.posted_minor = self.posted_minor.saturating_add(later.posted_minor);
        self.status = later.status.or(self.status);
        self.expires_at = later.expires_at.or(self.expires_at);
        self.declined = later.declined.or(self.declined);
        self.result = later.result.or(self.result);
        self.call = later.call.or(self.call);
        let approved_minor = later.approved_transaction_minor;
        self.approved_transaction_minor = approved_minor.or(self.approved_transaction_minor);
        self.if_waiting = self.if_waiting.or(later.if_waiting);
    }

    /// Neither the customer nor the time decided.
    pub(super) fn is_undecided(&self) -> bool {
        self.result.is_none() && self.declined.is_none()
    }

    pub(super) fn apply(self, row: &mut AuthorizationRow) {
        let amount_minor = self.amount_minor.unwrap_or(row.amount_minor);
        row.amount_minor = amount_minor.saturating_add(self.added_minor);
        row.posted_minor = row.posted_minor.saturating_add(self.posted_minor);
        row.status = self.status.unwrap_or(row.status);
        row.expires_at_ms = self.expires_at.or(row.expires_at_ms);
        let ends = self
            .if_waiting
            .filter(|_| row.result == AuthorizationResult::Waiting && self.is_undecided());
        let declined = match ends {
            Some(IfWaiting::Declined) => Some(DECLINED_WAITING),
            _ => self.declined,
        };
        row.result = match ends {
            Some(IfWaiting::Approved) => AuthorizationResult::Approved,
            Some(IfWaiting::PartiallyApproved) => AuthorizationResult::PartiallyApproved,
            Some(IfWaiting::Declined) | None => row.result,
        };
        row.result = self.result.unwrap_or(row.result);
        let approved_minor = self.approved_transaction_minor;
        row.approved_transaction_minor = approved_minor.or(row.approved_transaction_minor);
        if let Some(call) = self.call {
            row.decision_call_outcome = Some(call.outcome);
            row.decision_call_ms = Some(call.duration_ms);
            row.decision_call_fallback_used = Some(call.fallback_used);
        }
        if let Some((step, reason)) = declined {
            row.result = AuthorizationResult::Declined;
            (row.step, row.reason) = (Some(step), Some(reason));
            (row.approval_code, row.approved_transaction_minor) = (None, None);
        }
    }
}

/// What ended before the customer had decided.
pub(super) const DECLINED_WAITING: (Step, DeclineReason) = (
    Step::CustomerDecision,
    DeclineReason::ReversedBeforeOriginal,
);

/// What a record moves.
#[derive(Debug, Clone, Copy)]
pub struct Effect<'a> {
    pub account_id: AccountId,
    /// Added to what the account holds.
    pub held_minor: i64,
    pub postings: &'a [Posting],
    /// To an authorization that was there before.
    pub change: Option<(AuthorizationId, Change)>,
    /// To the request whose answer it took back.
    pub answered: Option<(AuthorizationId, Change)>,
}

impl Effect<'_> {
    /// To rows that were there before.
    pub fn changes(self) -> impl Iterator<Item = (AuthorizationId, Change)> {
        self.change.into_iter().chain(self.answered)
    }
}

/// What a posting takes from the customer; below zero for what it gives.
pub(super) fn charged(postings: &[Posting]) -> i64 {
    let is_customers = |leg: &&Posting| matches!(leg.ledger_account, LedgerAccount::Customer(_));
    let legs = postings.iter().filter(is_customers);
    -legs.map(|leg| leg.amount_minor).sum::<i64>()
}

/// What of a posting the network gets, signed as the customer's account sees it.
pub(super) fn settled(postings: &[Posting]) -> i64 {
    let is_networks = |leg: &&Posting| leg.ledger_account == LedgerAccount::NetworkSettlement;
    let legs = postings.iter().filter(is_networks);
    -legs.map(|leg| leg.amount_minor).sum::<i64>()
}

/// The legs that a message posts; none for any other record.
pub(super) fn postings_of(record: &Record) -> &[Posting] {
    if let Some((_, authorized)) = request_of(record) {
        return &authorized.postings;
    }
    if let Some((_, advised)) = advice_of(record) {
        return &advised.postings;
    }
    if let Some((_, resolved)) = resolved_of(record) {
        return &resolved.postings;
    }
    undoing_of(record).map_or(&[], |undoing| undoing.postings)
}

/// `None` for a record that is not of a message or the end of a hold, and for one that moves nothing.
pub fn effect_of(record: &Record) -> Option<Effect<'_>> {
    if let Some((authorize, authorized)) = request_of(record) {
        return of_request(authorize, authorized);
    }
    if let Some((advise, advised)) = advice_of(record) {
        return of_advice(advise, advised);
    }
    if let Some((resolve, resolved)) = resolved_of(record) {
        return of_resolved(resolve, resolved);
    }
    let answered = declined_late(record);
    if let Some(undoing) = undoing_of(record) {
        let undone = undoing.undone;
        return Some(Effect {
            account_id: undone.account_id,
            held_minor: -undone.released.account_minor,
            postings: undoing.postings,
            change: Some((undone.authorization_id, of_undone(undone))),
            answered,
        });
    }
    if answered.is_some() {
        // It held nothing, so no account is moved.
        return Some(Effect {
            account_id: AccountId::default(),
            held_minor: 0,
            postings: &[],
            change: None,
            answered,
        });
    }
    of_release(record)
}

fn of_request<'a>(authorize: &Authorize, authorized: &'a Authorized) -> Option<Effect<'a>> {
    // What waits for its customer is held, also where it is to be posted.
    let is_held = !authorize.posts || authorized.waits_until.is_some();
    let hold = authorized.hold.as_ref().filter(|_| is_held);
    let change = authorized.increased.as_ref().map(|increased| {
        let change = Change {
            added_minor: increased.amount_minor,
            expires_at: Some(increased.expires_at),
            ..Change::default()
        };
        (increased.authorization_id, change)
    });
    let added_minor = change.map_or(0, |(_, change)| change.added_minor);
    Some(Effect {
        account_id: authorized.account_id?,
        held_minor: hold.map_or(0, |hold| hold.amount_minor) + added_minor,
        postings: &authorized.postings,
        change,
        answered: None,
    })
}

fn of_advice<'a>(advise: &Advise, advised: &'a Advised) -> Option<Effect<'a>> {
    let (held_minor, change) = match &advised.outcome {
        AdviceOutcome::Recorded | AdviceOutcome::Duplicate => return None,
        AdviceOutcome::Placed(hold) => (hold.amount_minor, None),
        AdviceOutcome::ForcePosted(_) => (0, None),
        AdviceOutcome::Amended {
            authorization_id,
            before_minor,
            after_minor,
            ..
        } => {
            let change = of_amendment(advise, advised);
            (
                after_minor - before_minor,
                Some((*authorization_id, change)),
            )
        }
        AdviceOutcome::Completed {
            authorization_id,
            released_minor,
            ..
        } => {
            let change = of_completion(advise, advised);
            (-released_minor, Some((*authorization_id, change)))
        }
    };
    Some(Effect {
        account_id: advised.account_id?,
        held_minor,
        postings: &advised.postings,
        change,
        answered: None,
    })
}

/// Of one that ended without anything, the row keeps what it stood at before.
fn ends_with_nothing(standing: Standing) -> bool {
    matches!(standing, Standing::Expired | Standing::Reversed)
}

fn is_credit(advise: &Advise) -> bool {
    let treatment = Treatment::of(advise.payment.kind);
    treatment.is_some_and(|treatment| treatment.direction == Direction::Credit)
}

fn of_amendment(advise: &Advise, advised: &Advised) -> Change {
    let AdviceOutcome::Amended {
        before_minor,
        after_minor,
        expires_at,
        standing,
        ..
    } = advised.outcome
    else {
        return Change::default();
    };
    // A credit holds nothing; what it is for changes all the same.
    let amount_minor = is_credit(advise).then_some(advised.amount_minor);
    Change {
        amount_minor,
        added_minor: match amount_minor {
            None if !ends_with_nothing(standing) => after_minor - before_minor,
            _ => 0,
        },
        posted_minor: 0,
        status: Some(standing.into()),
        expires_at: Some(expires_at),
        approved_transaction_minor: advised.approved_part_minor,
        if_waiting: Some(IfWaiting::advised(advised, standing != Standing::Expired)),
        ..Change::default()
    }
}

fn of_completion(advise: &Advise, advised: &Advised) -> Change {
    let AdviceOutcome::Completed {
        released_minor,
        standing,
        ..
    } = advised.outcome
    else {
        return Change::default();
    };
    let posted_minor = charged(&advised.postings);
    let stands = posted_minor != 0 || standing != Standing::Cleared;
    // What it stood at is history: what ended stands at nothing, and so does a credit that nothing is posted for.
    let stood_at_nothing = advised.flags.contains(Flags::AFTER_EXPIRY)
        || advised.flags.contains(Flags::AFTER_REVERSAL)
        || is_credit(advise) && !advised.flags.contains(Flags::AFTER_COMPLETION);
    Change {
        amount_minor: stood_at_nothing.then_some(0),
        added_minor: posted_minor.saturating_abs() - released_minor,
        posted_minor,
        // One over nothing that does not end it leaves it as it was, whether a part was posted before or not.
        status: (posted_minor != 0 || standing != Standing::PartiallyCleared)
            .then(|| standing.into()),
        approved_transaction_minor: advised.approved_part_minor,
        if_waiting: Some(IfWaiting::advised(advised, stands)),
        ..Change::default()
    }
}

fn of_undone(undone: &Undone) -> Change {
    let (released, returned) = (undone.released, undone.returned);
    Change {
        amount_minor: None,
        added_minor: match ends_with_nothing(undone.standing) {
            true => 0,
            false => -released.account_minor - returned.account_minor.saturating_abs(),
        },
        posted_minor: -returned.account_minor,
        status: Some(undone.standing.into()),
        if_waiting: ClosedBy::of(undone.standing).map(|_| IfWaiting::Declined),
        ..Change::default()
    }
}

/// `None` where nothing waited.
fn of_resolved<'a>(resolve: &Resolve, resolved: &'a Resolved) -> Option<Effect<'a>> {
    let call = Some(Call {
        outcome: resolve.call,
        duration_ms: resolve.duration_ms,
        fallback_used: resolved.fallback_used,
    });
    let (released, change) = match &resolved.to {
        ResolvedTo::NothingWaits => return None,
        ResolvedTo::Declined { reason, undone } => {
            let change = Change {
                status: Some(AuthorizationStatus::Declined),
                declined: Some((Step::CustomerDecision, *reason)),
                call,
                ..Change::default()
            };
            (undone.released, change)
        }
        ResolvedTo::Approved { released, posted } => {
            let is_posted = !resolved.postings.is_empty();
            let part = resolved.answer.and_then(|answer| answer.approved_part());
            let change = Change {
                added_minor: posted.account_minor - released.account_minor,
                posted_minor: posted.account_minor,
                status: is_posted.then_some(AuthorizationStatus::Cleared),
                result: Some(match part {
                    Some(_) => AuthorizationResult::PartiallyApproved,
                    None => AuthorizationResult::Approved,
                }),
                approved_transaction_minor: part.map(|approved| approved.amount_minor),
                call,
                ..Change::default()
            };
            (*released, change)
        }
    };
    Some(Effect {
        account_id: resolved.account_id?,
        held_minor: -released.account_minor,
        postings: &resolved.postings,
        change: Some((resolve.authorization_id, change)),
        answered: None,
    })
}

/// What the request's own row says of an approval that the network did not get.
fn declined_late(record: &Record) -> Option<(AuthorizationId, Change)> {
    let (withhold, _) = withheld_of(record)?;
    let change = Change {
        status: Some(AuthorizationStatus::Declined),
        declined: Some((Step::Answer, DeclineReason::AnswerTooLate)),
        ..Change::default()
    };
    Some((withhold.payment.authorization_id, change))
}

/// The end of a hold without a message of the network.
fn of_release(record: &Record) -> Option<Effect<'_>> {
    let Record::Shard { command, event, .. } = record else {
        return None;
    };
    let (
        Action::ReleaseHold(release),
        Event::HoldReleased {
            account_id,
            amount_minor,
            standing,
        },
    ) = (&command.action, event)
    else {
        return None;
    };
    let change = Change {
        added_minor: match ends_with_nothing(*standing) {
            true => 0,
            false => -amount_minor,
        },
        status: Some((*standing).into()),
        if_waiting: Some(IfWaiting::Declined),
        ..Change::default()
    };
    Some(Effect {
        account_id: *account_id,
        held_minor: -amount_minor,
        postings: &[],
        change: Some((release.authorization_id, change)),
        answered: None,
    })
}

impl From<Standing> for AuthorizationStatus {
    fn from(standing: Standing) -> AuthorizationStatus {
        match standing {
            Standing::Pending => AuthorizationStatus::Pending,
            Standing::PartiallyCleared => AuthorizationStatus::PartiallyCleared,
            Standing::Cleared => AuthorizationStatus::Cleared,
            Standing::Expired => AuthorizationStatus::Expired,
            Standing::Reversed => AuthorizationStatus::Reversed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_after_one_another_come_to_one() {
        let change = |amount_minor, added_minor, status| Change {
            amount_minor,
            added_minor,
            posted_minor: 1,
            status,
            expires_at: Some(Timestamp(added_minor)),
            ..Change::default()
        };
        let (cleared, none) = (Some(AuthorizationStatus::Cleared), None);
        let mut sum = change(None, 5, cleared);
        sum.then(change(None, 7, none));
        assert_eq!((sum.amount_minor, sum.added_minor), (None, 12));
        assert_eq!((sum.status, sum.posted_minor), (cleared, 2));
        sum.then(change(Some(100), 3, none));
        assert_eq!((sum.amount_minor, sum.added_minor), (Some(100), 3));
        sum.then(Change::default());
        assert_eq!(sum.expires_at, Some(Timestamp(3)));
    }
}

//! Whether an exception lets through what a limit or a list would decline. What exceptions are, and who approves them,
//! lives in `engine::exceptions`.

use crate::engine::checks::{Checks, Context};
use crate::engine::controls::Limit;
use crate::engine::counters::CountedIn;
use crate::engine::exceptions::{ControlException, RaisedLimit, Subject};
use crate::engine::limit_uses::LimitUse;
use crate::engine::reason::DeclineReason;
use crate::engine::scope::{Owner, Scope};
use crate::engine::trace::{Detail, Step, StepResult};
use crate::engine::window::WindowEnd;

/// What an exception allows of a limit.
pub struct Raised<'a> {
    pub by: &'a ControlException,
    pub allowed: i64,
}

/// The most that any exception allows of a limit, if that is more than it allows itself. `of` says whether it is about
/// the amount or the count.
pub fn raised<'a>(
    context: &Context<'a>,
    limit: &Limit,
    allowed: i64,
    of: impl Fn(&RaisedLimit) -> Option<i64>,
) -> Option<Raised<'a>> {
    let raised = live(context).flat_map(|by| {
        let limits = by.lifts.limits.iter();
        let same = limits.filter(|raised| raised.limit_id == limit.id);
        same.filter_map(&of)
            .map(move |allowed| Raised { by, allowed })
    });
    let more = raised.filter(|raised| raised.allowed > allowed);
    more.reduce(|best, other| {
        if other.allowed > best.allowed {
            other
        } else {
            best
        }
    })
}

/// A list, or the rule of the home country, says no; an exception may say otherwise.
pub fn fail_unless_lifted(
    context: &Context,
    checks: &mut Checks,
    step: Step,
    reason: DeclineReason,
    (owner, detail): (Owner, Detail),
) {
    match live(context).find(|exception| lifts(context, exception, step)) {
        Some(exception) => {
            checks.pass_of(step, owner, detail);
            note(context, checks, (step, StepResult::Pass), exception);
        }
        None => checks.fail_of(step, reason, owner, detail),
    }
}

/// Names the exception by which the step before came out as it did, and counts its use, once for a request that takes
/// money. An increment is part of the use of its original.
pub fn note(
    context: &Context,
    checks: &mut Checks,
    (step, result): (Step, StepResult),
    exception: &ControlException,
) {
    let exception_id = exception.id;
    checks
        .trace
        .push(step, result, Detail::Exception { exception_id });
    let counts = exception.uses_max.is_some()
        && result == StepResult::Pass
        && context.taken_minor().is_some()
        && context.original.is_none();
    let in_all = CountedIn::Window(WindowEnd::NEVER);
    let one_use = LimitUse::new(Scope::Exception, exception.counter_id(), in_all);
    if counts && !checks.uses.contains(&one_use) {
        checks.uses.push(one_use);
    }
}

/// The exceptions for this request, in a fixed order: the card's, those of what it is linked to, and those of its
/// account and the ones above.
fn live<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a ControlException> {
    let exceptions = &context.registry.exceptions;
    let (at, card) = (context.at, context.card);
    let none = exceptions.is_empty();
    let links = card.links.iter().map(|id| Subject::Link(*id));
    let above = context
        .above
        .iter()
        .map(|account| Subject::Account(account.id));
    let subjects = std::iter::once(Subject::Card(card.first_of_chain()))
        .chain(links)
        .chain([Subject::Account(context.account.id)])
        .chain(above);
    let subjects = subjects.take(if none { 0 } else { usize::MAX });
    let all = subjects.flat_map(|subject| exceptions.of(subject));
    let live = all.filter(move |exception| exception.is_live_at(at));
    live.map(|exception| exception.as_ref())
        .filter(|exception| has_use_left(context, exception))
}

/// An increment is part of the use of its original, and has none where that has none.
fn has_use_left(context: &Context, exception: &ControlException) -> bool {
    let Some(uses_max) = exception.uses_max else {
        return true;
    };
    let id = exception.counter_id();
    if let Some(original) = context.original {
        return original.uses.are_of(Scope::Exception, id);
    }
    let counters = context
        .state
        .shared_counters
        .get((context.root.id, Scope::Exception, id));
    let (_, used) = counters.map_or((0, 0), |counters| counters.used(id, WindowEnd::NEVER));
    used < uses_max
}

fn lifts(context: &Context, exception: &ControlException, step: Step) -> bool {
    let lifts = &exception.lifts;
    let command = context.command;
    let (merchant, groups) = (&command.merchant, &context.registry.groups);
    match step {
        Step::Mcc => {
            lifts.mccs.contains(&merchant.mcc)
                || groups.any_has_mcc(&lifts.mcc_groups, merchant.mcc)
        }
        Step::Country => lifts.countries.contains(&merchant.country),
        Step::Currency => lifts.currencies.contains(&context.currency_asked()),
        Step::Merchant => {
            let mut entries = lifts.merchants.iter();
            entries.any(|entry| entry.is_of(merchant, &command.reference, groups))
        }
        Step::Channel => lifts.channels.contains(&command.channel),
        Step::EntryMode => lifts.entry_modes.contains(&command.entry_mode),
        _ => false,
    }
}

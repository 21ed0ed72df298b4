//! Limits on amount and count, per transaction and per window, on program, accounts, linked objects and card.

use crate::engine::checks::{Checks, Context};
use crate::engine::controls::{Limit, Window};
use crate::engine::counters::{CountedIn, Counters};
use crate::engine::ids::LimitId;
use crate::engine::limit_uses::LimitUse;
use crate::engine::reason::DeclineReason;
use crate::engine::rolling::RollingWindow;
use crate::engine::rules::exceptions::{self, Raised};
use crate::engine::scope::{Owner, Scope};
use crate::engine::time::Timestamp;
use crate::engine::trace::{Detail, Step, StepResult};
use crate::engine::window::{WindowEnd, window_end};

pub fn check(context: &Context, checks: &mut Checks) {
    let Some(requested_minor) = context.taken_minor() else {
        return checks.skip(Step::Limits);
    };
    let mut any = false;
    for (owner, controls) in context.controls() {
        let counts = |limit: &&Limit| {
            let filter = limit.filter.as_ref();
            let groups = &context.registry.groups;
            let original = context.original;
            filter.is_none_or(|filter| {
                filter.is_of(context.card) && filter.matches(context.command, groups)
            }) || original.is_some_and(|known| known.uses.are_of(owner.scope, limit.id))
        };
        for limit in controls.limits.iter().filter(counts) {
            any = true;
            let counters = counters(context, owner.scope, limit.id);
            check_limit(context, checks, owner, limit, counters, requested_minor);
        }
    }
    if !any {
        checks.pass(Step::Limits, Detail::None);
    }
}

/// Where a limit of a scope counts: on what has it, one of a program on the root account of each tree, and one of a
/// linked object for itself; nowhere, as long as the latter was not used.
fn counters<'a>(context: &Context<'a>, scope: Scope, limit_id: LimitId) -> Option<&'a Counters> {
    Some(match scope {
        Scope::Card => &context.kept_on.counters,
        Scope::Account => &context.account.counters,
        Scope::Program => &context.root.program_counters,
        Scope::Link | Scope::Exception => {
            let shared = &context.state.shared_counters;
            return shared.get((context.root.id, scope, limit_id));
        }
        Scope::Above1 | Scope::Above2 | Scope::Above3 | Scope::Above4 => {
            &context.above[scope.levels_above() - 1].counters
        }
    })
}

fn check_limit(
    context: &Context,
    checks: &mut Checks,
    owner: Owner,
    limit: &Limit,
    counters: Option<&Counters>,
    requested_minor: i64,
) {
    let (scope, limit_id) = (owner.scope, limit.id);
    let counting = Counting::of(limit, counters, context.at);
    let (mut used_minor, used) = counting.used;
    // An increment is one transaction with what it adds to. Of a window it counts in the one of now, as no other payment.
    if let (Window::Transaction, Some(original)) = (limit.window, context.original) {
        used_minor = original.stands_at().account_minor;
    }
    if let Some(allowed_minor) = limit.amount_minor {
        let exceeds = |allowed_minor| used_minor.saturating_add(requested_minor) > allowed_minor;
        let raised = match exceeds(allowed_minor) {
            true => exceptions::raised(context, limit, allowed_minor, |to| to.amount_minor),
            false => None,
        };
        let allowed_minor = raised.as_ref().map_or(allowed_minor, |to| to.allowed);
        let exceeded = exceeds(allowed_minor);
        let most_minor = allowed_minor.saturating_sub(requested_minor);
        let detail = Detail::LimitAmount {
            scope,
            limit_id,
            allowed_minor,
            used_minor,
            requested_minor,
            resets: counting.resets(exceeded, |used_minor, _| used_minor <= most_minor),
        };
        let reason = exceeded.then(|| amount_reason(limit));
        note(context, checks, (owner, detail), reason, raised);
    }
    if let Some(allowed) = limit.count.filter(|_| context.original.is_none()) {
        let raised = match used >= allowed {
            true => exceptions::raised(context, limit, i64::from(allowed), |to| {
                to.count.map(i64::from)
            }),
            false => None,
        };
        let raised_to = raised
            .as_ref()
            .and_then(|to| u32::try_from(to.allowed).ok());
        let allowed = raised_to.unwrap_or(allowed);
        let exceeded = used >= allowed;
        let detail = Detail::LimitCount {
            scope,
            limit_id,
            allowed,
            used,
            resets: counting.resets(exceeded, |_, used| used < allowed),
        };
        let reason = exceeded.then_some(DeclineReason::VelocityCountExceeded);
        note(context, checks, (owner, detail), reason, raised);
    }
    if let Some(counted_in) = counting.counted_in {
        checks.uses.push(LimitUse::new(scope, limit_id, counted_in));
    }
}

/// Notes how a limit came out, and after it the exception that raised what it allows.
fn note(
    context: &Context,
    checks: &mut Checks,
    (owner, detail): (Owner, Detail),
    reason: Option<DeclineReason>,
    raised: Option<Raised>,
) {
    let result = match reason {
        Some(reason) => {
            checks.fail_of(Step::Limits, reason, owner, detail);
            StepResult::Fail
        }
        None => {
            checks.pass_of(Step::Limits, owner, detail);
            StepResult::Pass
        }
    };
    if let Some(raised) = raised {
        exceptions::note(context, checks, (Step::Limits, result), raised.by);
    }
}

/// What was used of a limit, and where a use of now counts.
pub(in crate::engine) struct Counting<'a> {
    limit_id: LimitId,
    counters: Option<&'a Counters>,
    at: Timestamp,
    pub used: (i64, u32),
    /// The end of the window, or of a rolling one when a use of now has left it.
    pub ends: WindowEnd,
    rolling: Option<RollingWindow>,
    counted_in: Option<CountedIn>,
}

impl<'a> Counting<'a> {
    pub fn of(limit: &Limit, counters: Option<&'a Counters>, at: Timestamp) -> Counting<'a> {
        let mut counting = Counting {
            limit_id: limit.id,
            counters,
            at,
            used: (0, 0),
            ends: WindowEnd::NEVER,
            rolling: None,
            counted_in: None,
        };
        if let Window::Rolling(window) = limit.window {
            let bucket = window.bucket_at(at);
            let used = counters.map(|counters| counters.used_rolling(limit.id, window, at));
            counting.used = used.unwrap_or_default();
            counting.ends = WindowEnd::not_before(window.left_by(bucket));
            counting.rolling = Some(window);
            counting.counted_in = Some(CountedIn::Bucket(bucket));
        } else if let Some(end) = window_end(limit.window, &limit.time_zone, at) {
            let used = counters.map(|counters| counters.used(limit.id, end));
            counting.used = used.unwrap_or_default();
            counting.ends = end;
            counting.counted_in = Some(CountedIn::Window(end));
        }
        counting
    }

    /// When a window is over. For one that rolls: when what passed now has left it, and after a failure
    /// when the same request `fits` again, should nothing else be used.
    fn resets(&self, exceeded: bool, fits: impl Fn(i64, u32) -> bool) -> WindowEnd {
        match self.rolling.filter(|_| exceeded) {
            None => self.ends,
            Some(window) => {
                let fits_at = self
                    .counters
                    .and_then(|c| c.fits_at(self.limit_id, window, self.at, fits));
                fits_at.map_or(WindowEnd::NEVER, WindowEnd::not_before)
            }
        }
    }
}

fn amount_reason(limit: &Limit) -> DeclineReason {
    if limit
        .filter
        .as_ref()
        .is_some_and(|filter| filter.is_of_cash())
    {
        return DeclineReason::CashLimitExceeded;
    }
    match limit.window {
        Window::Transaction => DeclineReason::PerTransactionLimitExceeded,
        Window::Day => DeclineReason::DailyLimitExceeded,
        Window::Week => DeclineReason::WeeklyLimitExceeded,
        Window::Month => DeclineReason::MonthlyLimitExceeded,
        Window::Year => DeclineReason::YearlyLimitExceeded,
        Window::Lifetime => DeclineReason::LifetimeLimitExceeded,
        Window::Rolling(_) => DeclineReason::RollingLimitExceeded,
    }
}

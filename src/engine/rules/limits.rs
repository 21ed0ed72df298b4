//! Limits on amount and count, per transaction and per window, on program, accounts and card.

use crate::engine::checks::{Checks, Context};
use crate::engine::controls::{Limit, Window};
use crate::engine::event::LimitUse;
use crate::engine::reason::DeclineReason;
use crate::engine::scope::Scope;
use crate::engine::state::Counters;
use crate::engine::trace::{Detail, Step};
use crate::engine::window::{WindowEnd, window_end};

pub fn check(context: &Context, checks: &mut Checks) {
    let Some(requested_minor) = context.taken_minor() else {
        return checks.skip(Step::Limits);
    };
    let mut any = false;
    for (scope, controls) in context.controls() {
        let counters = counters(context, scope);
        for limit in controls
            .limits
            .iter()
            .filter(|limit| limit.counts_mcc(context.command.merchant.mcc))
        {
            any = true;
            check_limit(context, checks, scope, limit, counters, requested_minor);
        }
    }
    if !any {
        checks.pass(Step::Limits, Detail::None);
    }
}

/// Where the limits of a scope count: on what has them, and those of a program on the root account of
/// each tree.
fn counters<'a>(context: &Context<'a>, scope: Scope) -> &'a Counters {
    match scope {
        Scope::Card => &context.card.counters,
        Scope::Account => &context.account.counters,
        Scope::Program | Scope::Link => &context.root.program_counters,
        Scope::Above1 | Scope::Above2 | Scope::Above3 | Scope::Above4 => {
            &context.above[scope.levels_above() - 1].counters
        }
    }
}

fn check_limit(
    context: &Context,
    checks: &mut Checks,
    scope: Scope,
    limit: &Limit,
    counters: &Counters,
    requested_minor: i64,
) {
    let window = window_end(limit.window, &limit.time_zone, context.at);
    let (used_minor, used) = window.map_or((0, 0), |window| counters.used(limit.id, window));
    let resets = window.unwrap_or(WindowEnd::NEVER);
    if let Some(allowed_minor) = limit.amount_minor {
        let limit_id = limit.id;
        let detail = Detail::LimitAmount {
            scope,
            limit_id,
            allowed_minor,
            used_minor,
            requested_minor,
            resets,
        };
        if used_minor.saturating_add(requested_minor) > allowed_minor {
            checks.fail(Step::Limits, reason(limit.window), detail);
        } else {
            checks.pass(Step::Limits, detail);
        }
    }
    if let Some(allowed) = limit.count {
        let detail = Detail::LimitCount {
            scope,
            limit_id: limit.id,
            allowed,
            used,
            resets,
        };
        if used >= allowed {
            checks.fail(Step::Limits, DeclineReason::VelocityCountExceeded, detail);
        } else {
            checks.pass(Step::Limits, detail);
        }
    }
    if let Some(window) = window {
        checks.uses.push(LimitUse {
            scope,
            limit_id: limit.id,
            window,
        });
    }
}

fn reason(window: Window) -> DeclineReason {
    match window {
        Window::Transaction => DeclineReason::PerTransactionLimitExceeded,
        Window::Day => DeclineReason::DailyLimitExceeded,
        Window::Week => DeclineReason::WeeklyLimitExceeded,
        Window::Month => DeclineReason::MonthlyLimitExceeded,
        Window::Year => DeclineReason::YearlyLimitExceeded,
        Window::Lifetime => DeclineReason::LifetimeLimitExceeded,
    }
}

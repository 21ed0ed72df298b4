//! When a card may be used: within one of the time windows of each who states any.

use crate::engine::checks::{Checks, Context};
use crate::engine::reason::DeclineReason;
use crate::engine::trace::{Detail, Step};
use crate::engine::window::local_minute_of_week;

/// The trace says which window is open, or the first of those that are not, and what its clock shows, as
/// minutes since Monday 00:00.
pub fn check(context: &Context, checks: &mut Checks) {
    let mut any = false;
    for (owner, controls) in context.controls() {
        let mut first_closed = None;
        let mut open = None;
        for window in &controls.time_windows {
            let minute = local_minute_of_week(&window.time_zone, context.at);
            let detail = Detail::List {
                scope: owner.scope,
                control_id: window.id,
                value: u32::from(minute),
            };
            if window.contains(minute) {
                open = Some(detail);
                break;
            }
            first_closed.get_or_insert(detail);
        }
        any |= open.or(first_closed).is_some();
        match (open, first_closed) {
            (Some(detail), _) => checks.pass_of(Step::TimeWindow, owner, detail),
            (None, Some(detail)) => {
                let reason = DeclineReason::OutsideTimeWindow;
                checks.fail_of(Step::TimeWindow, reason, owner, detail);
            }
            (None, None) => {}
        }
    }
    if !any {
        checks.pass(Step::TimeWindow, Detail::None);
    }
}

//! What the random conversations are worth for what we take back, and for customers: they come to every way of it.

use super::*;
use std::collections::BTreeSet;

const WAYS: &[&str] = &[
    "withheld, a hold",
    "withheld, a posting",
    "withheld, an increment",
    "withheld, a refund",
    "withheld, what a customer confirmed",
    "withheld, and nothing was left",
    "not withheld, as it was a no",
    "not withheld, as the network has gone on",
    "a repeat of what was taken back, later than its first answer",
    "a reversal of what was taken back",
    "a second reversal of what was taken back",
    "an advice stands in for what was taken back",
    "no advice stands in, as it was reversed",
    "posted all the same",
    "waits",
    "waits, in part",
    "a repeat of what waits",
    "an increment of what waits",
    "yes",
    "yes, and posted",
    "yes, to a part",
    "yes, to a part that is posted",
    "yes, to what a reversal left",
    "yes, by the fallback",
    "no",
    "no, of nobody in time",
    "no, as it cannot be read",
    "no, as it was too much for the fallback",
    "nothing waits",
    "time was over",
    "a reversal wins",
    "a release wins",
    "an amendment wins",
    "a completion wins",
    "an advice posts a single message",
    "released by hand",
];

#[test]
fn the_conversations_come_to_every_way_of_taking_back_and_to_all_that_customers_say() {
    let mut runner = TestRunner::deterministic();
    let mut missing: BTreeSet<&str> = WAYS.iter().copied().collect();
    for round in 0..20_000 {
        if missing.is_empty() {
            return;
        }
        let steps = match round % 3 {
            0 => any_conversation().new_tree(&mut runner).unwrap().current(),
            _ => any_short_conversation()
                .new_tree(&mut runner)
                .unwrap()
                .current(),
        };
        follow(&steps, false, |view, step, came, lines| {
            for way in ways(view, step, came, lines) {
                assert!(WAYS.contains(&way), "{way}");
                missing.remove(way);
            }
        });
    }
    panic!("never: {missing:?}");
}

/// Has the naive decision maker go through these steps, and looks at each as it is decided.
pub fn follow(
    steps: &[Step],
    has_archive: bool,
    mut look: impl FnMut(&View, &Step, &Came, &[Line]),
) {
    let mut naive = Naive {
        at: time("2026-11-24T10:00:00Z"),
        has_rules: true,
        has_archive,
        ..Naive::default()
    };
    for step in steps {
        let step = &naive.resent(step);
        naive.recall(step);
        let view = naive.view();
        let (came, lines) = view.decide(step);
        look(&view, step, &came, &lines);
        naive.note(step, came, lines);
        if let Step::Wait { minutes } = step {
            naive.at = naive.at.plus_ms(minutes * MINUTE_MS);
        }
    }
}

#[test]
fn the_long_conversations_come_to_every_way_of_coming_back() {
    let mut runner = TestRunner::deterministic();
    let mut missing = BTreeSet::from([
        "reversed",
        "reversed by a part of it",
        "reversed already",
        "completed",
        "advised after its end",
        "a refund of it is asked for",
        "a refund of it is advised",
        "a repeat, approved",
        "a repeat, declined",
        "a repeat of an advice",
        "a repeat of a reversal",
        "a repeat of an increment",
    ]);
    for _ in 0..4_000 {
        if missing.is_empty() {
            return;
        }
        let steps = any_long_conversation();
        let steps = steps.new_tree(&mut runner).unwrap().current();
        follow(&steps, true, |view, step, came, lines| {
            missing.remove(way_back(view, step, came, lines));
        });
    }
    panic!("never: {missing:?}");
}

/// What came of something that had been forgotten for days.
fn way_back(view: &View, step: &Step, came: &Came, lines: &[Line]) -> &'static str {
    let now = view
        .recalled
        .iter()
        .filter(|recalled| recalled.at == view.at);
    let is_old = |known: &Known| {
        let closed = known.closed;
        closed.is_some_and(|(since, _)| since.plus_ms(REVERSAL_MS) <= view.at)
    };
    let mut places = now.clone().filter_map(|recalled| match &recalled.what {
        Recall::Authorization(place) => Some(*place),
        Recall::Answer(_) => None,
    });
    let back = places.find(|place| is_old(view.of(*place)));
    let is_answer = |recalled: &Recalled| matches!(recalled.what, Recall::Answer(_));
    let is_answered = now.clone().any(is_answer);
    let changes = back.is_some_and(|back| lines.iter().any(|line| line.of == back));
    let is_refunded = back.is_some() && view.refund_of(step) == back;
    match (step, came) {
        (Step::Reverse { .. }, Came::Undone(undoing)) if changes => match undoing.what {
            Undid::Part => "reversed by a part of it",
            _ => "reversed",
        },
        (Step::Reverse { .. }, Came::AlreadyReversed) if back.is_some() => "reversed already",
        (Step::Advise { .. }, Came::Advised(_)) if changes => "completed",
        (Step::Authorize(_), Came::Approved { .. }) if is_refunded => "a refund of it is asked for",
        (Step::Advise { .. }, Came::Advised(_)) if is_refunded => "a refund of it is advised",
        (Step::Advise { .. }, Came::Advised(_)) if back.is_some() => "advised after its end",
        (Step::Authorize(payment), Came::First(_)) if payment.kind == Kind::Incremental => {
            match back.is_some() || is_answered {
                true => "a repeat of an increment",
                false => "in memory",
            }
        }
        (Step::Authorize(_), Came::First(_)) if back.is_some() => "a repeat, approved",
        (Step::Authorize(_), Came::First(Heard::Declined(_))) if is_answered => {
            "a repeat, declined"
        }
        (Step::Advise { .. }, Came::First(_)) if is_answered => "a repeat of an advice",
        (Step::Reverse { .. }, Came::First(_)) if is_answered => "a repeat of a reversal",
        _ => "in memory",
    }
}

#[test]
fn the_excepted_days_come_to_the_highest_raise_and_to_increments_of_what_used_one_up() {
    let mut runner = TestRunner::deterministic();
    let (mut raised, mut added) = (0, 0);
    for _ in 0..3_000 {
        if raised > 10 && added > 10 {
            return;
        }
        let steps = any_excepted_days();
        let steps = steps.new_tree(&mut runner).unwrap().current();
        follow(&steps, false, |view, step, came, _| {
            let Step::Authorize(payment) = step else {
                return;
            };
            let sought = |about| Sought {
                card: payment.card,
                account: account_of_card(payment.card),
                about,
            };
            let lets_pass = |lifts: &Lifts| lifts.mccs.contains(&payment.mcc);
            let lifted = |about| view.lifted(sought(about), lets_pass).is_some();
            match came {
                Came::Increased { of, .. } => {
                    let is_blocked = view.mcc(payment.card, payment.mcc).is_some();
                    added += u32::from(is_blocked && lifted(Some(*of)) && !lifted(None));
                }
                Came::Approved { .. } => {
                    let limits = view.controls(payment.card).limits;
                    let daily = limits.iter().find(|limit| limit.id.0 == 1);
                    // Above what all others raise it to.
                    raised += u32::from(daily.is_some_and(|limit| {
                        let (used, _) = view.used(Owner::Card, payment.card, limit);
                        used + payment.amount > 800
                    }));
                }
                _ => {}
            }
        });
    }
    panic!("{raised} {added}");
}

fn ways(view: &View, step: &Step, came: &Came, lines: &[Line]) -> Vec<&'static str> {
    let about = lines.iter().find_map(|line| view.known_at(line.of));
    let waited = about.is_some_and(|known| known.waits);
    let mut ways = Vec::new();
    match (step, came) {
        (Step::Withhold { .. }, came) => ways.extend(withheld(came, about)),
        (_, Came::Waiting { part, .. }) => {
            ways.push(if part.is_some() {
                "waits, in part"
            } else {
                "waits"
            });
        }
        (_, Came::First(Heard::Waiting)) => ways.push("a repeat of what waits"),
        (Step::Authorize(payment), came) => ways.extend(requested(view, payment, came)),
        (Step::Customer { says, .. }, Came::Resolved(one)) => {
            ways.extend(resolved(*says, one, about.unwrap()));
        }
        (_, Came::NothingWaits) => ways.push("nothing waits"),
        (_, Came::TimedOut(all)) if !all.is_empty() => ways.push("time was over"),
        (Step::Reverse { .. }, Came::Undone(_)) if waited && lines[0].end.is_some() => {
            ways.push("a reversal wins");
        }
        (Step::Reverse { card, names, .. }, Came::Unknown | Came::AlreadyReversed) => {
            let meant = view.meant(*card, *names, None);
            let whole = match meant {
                Meant::Whole(place) => Some(view.of(place)),
                _ => None,
            };
            if whole.is_some_and(|known| known.is_taken_back) {
                ways.push(match came {
                    Came::Unknown => "a reversal of what was taken back",
                    _ => "a second reversal of what was taken back",
                });
            }
        }
        (_, Came::Released { .. }) if waited => ways.push("a release wins"),
        (_, Came::Released { .. }) => ways.push("released by hand"),
        (Step::Advise { payment, .. }, Came::Advised(advice)) => {
            ways.extend(advised(view, payment, advice, about));
        }
        _ => {}
    }
    ways
}

fn withheld(came: &Came, about: Option<&Known>) -> Vec<&'static str> {
    let way = match (came, about) {
        (Came::Withheld(None), _) => "withheld, and nothing was left",
        (Came::Withheld(Some(undoing)), Some(known)) => match undoing.what {
            Undid::Part => "withheld, an increment",
            _ if known.payment.is_credit() => "withheld, a refund",
            _ if known.posted_at_once => "withheld, a posting",
            _ => "withheld, a hold",
        },
        (Came::First(heard), _) if heard.is_approval() => {
            "not withheld, as the network has gone on"
        }
        (Came::First(Heard::Declined(_)), _) => "not withheld, as it was a no",
        _ => return vec![],
    };
    let is_confirmed = about.is_some_and(|known| known.lines.iter().any(|(_, l)| l.confirms));
    let confirmed = "withheld, what a customer confirmed";
    match is_confirmed {
        true => vec![way, confirmed],
        false => vec![way],
    }
}

fn requested(view: &View, payment: &Payment, came: &Came) -> Option<&'static str> {
    let late = Came::First(Heard::Declined(DeclineReason::AnswerTooLate));
    if *came == late {
        let same = |step: &Step| {
            matches!(step, Step::Authorize(first)
                if (first.card, first.name, first.posts) == (payment.card, payment.name, payment.posts))
        };
        let is_remembered = view.first_answer(same).is_some();
        return (!is_remembered)
            .then_some("a repeat of what was taken back, later than its first answer");
    }
    let meant = view.meant(payment.card, payment.of, Some(false)).place();
    let waits = meant.is_some_and(|place| view.of(place).waits);
    let adds = payment.kind == Kind::Incremental && waits;
    let is_declined = *came == Came::Declined(DeclineReason::OriginalNotFound);
    (adds && is_declined).then_some("an increment of what waits")
}

fn resolved(says: Says, one: &Resolution, known: &Known) -> Option<&'static str> {
    let is_part = one.released > one.posted;
    Some(match (&one.heard, says) {
        (Heard::Approved { .. } | Heard::Partial { .. }, says) => match says {
            _ if one.by_fallback => "yes, by the fallback",
            Says::YesTo(_) if is_part && one.posted > 0 => "yes, to a part that is posted",
            Says::YesTo(_) if is_part => "yes, to a part",
            Says::YesTo(100) if known.held != known.approved => "yes, to what a reversal left",
            _ if one.posted > 0 => "yes, and posted",
            _ => "yes",
        },
        (Heard::Declined(DeclineReason::DecisionDeclined), _) => "no",
        (Heard::Declined(DeclineReason::DecisionTimeout), _) => "no, of nobody in time",
        (Heard::Declined(DeclineReason::DecisionInvalidResponse), _) => "no, as it cannot be read",
        (Heard::Declined(DeclineReason::StandInDeclined), _) => {
            "no, as it was too much for the fallback"
        }
        _ => return None,
    })
}

fn advised(
    view: &View,
    payment: &Payment,
    advice: &Advice,
    about: Option<&Known>,
) -> Option<&'static str> {
    let is_credit = Some(payment.is_credit());
    let meant = view.meant(payment.card, payment.of, is_credit).place();
    let taken_back = meant.filter(|place| view.of(*place).is_taken_back);
    match advice.what {
        What::Placed { .. } if taken_back.is_some() => {
            Some("an advice stands in for what was taken back")
        }
        What::Recorded if taken_back.is_some() && advice.flags == ["reversed_before"] => {
            Some("no advice stands in, as it was reversed")
        }
        What::Completed { .. } if taken_back.is_some() => Some("posted all the same"),
        What::Amended { .. } if about?.waits => Some("an amendment wins"),
        What::Completed { .. } if about?.waits && !payment.posts => {
            Some("an advice posts a single message")
        }
        What::Completed { .. } if about?.waits => Some("a completion wins"),
        _ => None,
    }
}

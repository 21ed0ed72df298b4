//! Decides a reversal: what it is about, and what of that is undone. Changes nothing.

use super::authorizations::{Authorization, ClosedBy, InBoth, Part, PartKind};
use super::command::{Command, Reverse};
use super::decide::Outcome;
use super::event::{Event, Flags, Postings, ReversalOutcome, Reversed, Undone, UndoneWhat};
use super::fees::charge::{self, Charges};
use super::first_answer::{Answered, Asked};
use super::matching::{self, Original};
use super::money::{Currency, Money};
use super::postings::{self, Kept, can_be_charged};
use super::state::State;

pub(super) fn decide(state: &State, command: &Command, reverse: &Reverse) -> Outcome {
    let settings = &state.registry.settings;
    let first = state.first_answers.find(
        reverse.repeat_key,
        command.at,
        settings.first_answer_retention_ms,
    );
    let outcome = match first.filter(|first| first.root == command.root) {
        Some(first) if first.asked == Asked::of_reversal(reverse) => {
            return Outcome::FirstAnswer(first.answer);
        }
        Some(_) => ReversalOutcome::Duplicate,
        None => outcome(state, command, reverse),
    };
    let (postings, charges) = match &outcome {
        ReversalOutcome::Undone(undone) => returned(state, undone),
        _ => Default::default(),
    };
    Outcome::Event(Event::Reversed(Reversed {
        registry_version: state.registry.version,
        outcome,
        postings,
        charges,
    }))
}

fn outcome(state: &State, command: &Command, reverse: &Reverse) -> ReversalOutcome {
    let card_id = reverse.card_id;
    if state.card_of_tree(command.root, card_id).is_none() {
        return ReversalOutcome::OriginalUnknown;
    }
    let keys = &reverse.original_keys;
    let (authorization, place) = match matching::original(state, command, card_id, keys, None) {
        Original::Unknown => return ReversalOutcome::OriginalUnknown,
        Original::ReversedEarly => return ReversalOutcome::AlreadyReversed,
        Original::Known {
            authorization,
            part,
        } => (authorization, part),
    };
    if place.is_none() && authorization.was_taken_back() {
        // The network was told no, so this is about an authorization that we never gave: as of any other decline.
        return match matching::is_reversed_early(state, command, card_id, keys) {
            true => ReversalOutcome::AlreadyReversed,
            false => ReversalOutcome::OriginalUnknown,
        };
    }
    if authorization.is_closed_by(ClosedBy::Reversal) {
        return ReversalOutcome::AlreadyReversed;
    }
    // A rest that was stated before is not stated again by the same message, whatever has changed it since.
    let mut parts = authorization.parts.iter();
    let by = |known: &Answered| known.repeat_key == reverse.repeat_key;
    if parts.any(|part| part.kind == PartKind::Rest && part.answered.as_ref().is_some_and(by)) {
        return ReversalOutcome::AlreadyReversed;
    }
    let stays_minor = match reverse.stays.filter(|stays| stays.amount_minor > 0) {
        None => 0,
        Some(stays) => stays_minor(state, authorization, stays),
    };
    let part = place.and_then(|place| Some((place, authorization.parts.get(usize::from(place))?)));
    let mut undone = match part {
        None => undo_whole(authorization, stays_minor),
        Some((_, part)) if part.is_undone || part.is_superseded => {
            return ReversalOutcome::AlreadyReversed;
        }
        Some((place, part)) => undo_part(authorization, place, part, stays_minor),
    };
    let account = state.account(authorization.account_id);
    let returned_minor = undone.returned.account_minor;
    if account.is_some_and(|account| !can_be_charged(account, -returned_minor)) {
        // No network means it: a balance at the end of its range takes nothing back, rather than wrong.
        return ReversalOutcome::OriginalUnknown;
    }
    if let Some(account) = account {
        let moved_minor = undone.released.account_minor + undone.returned.account_minor;
        let overdrawn = account.available_minor().saturating_add(moved_minor) < 0;
        undone
            .flags
            .raise(Flags::OVERDRAWN, overdrawn && moved_minor < 0);
    }
    ReversalOutcome::Undone(undone)
}

/// What is to stay, in the authorization's own currency. Stated in the account's, it is converted at the rate of then;
/// of what is in a third currency nothing can be said, and all of it stays.
fn stays_minor(state: &State, authorization: &Authorization, stays: Money) -> i64 {
    let account = state.account(authorization.account_id);
    let of_account = account.map(|account| account.currency);
    let known = [
        Some(Currency::ABSENT),
        Some(authorization.currency),
        of_account,
    ];
    match known.contains(&Some(stays.currency)) {
        true => authorization.in_its_currency(stays, stays.amount_minor),
        false => i64::MAX,
    }
}

pub(super) fn undo_whole(authorization: &Authorization, stays_minor: i64) -> Undone {
    let moved = above(authorization.stands_at(), stays_minor);
    // What is held goes first: what was posted is with the merchant already.
    let released = of_held(moved, authorization.held);
    let what = match stays_minor {
        0 => UndoneWhat::Whole,
        _ => UndoneWhat::Above,
    };
    undone(authorization, what, released, moved.minus(released))
}

pub(super) fn undo_part(
    authorization: &Authorization,
    place: u16,
    part: &Part,
    stays_minor: i64,
) -> Undone {
    let moved = above(part.left(), stays_minor);
    let (released, returned) = match part.kind {
        // What of it was completed since stays posted.
        PartKind::Increment => (of_held(moved, authorization.held), InBoth::default()),
        // A reversal of the whole may have returned some of it before.
        PartKind::Completion => (InBoth::default(), of_posted(moved, authorization.posted)),
        PartKind::Rest => Default::default(),
    };
    let is_whole = stays_minor == 0;
    let what = UndoneWhat::Part { place, is_whole };
    undone(authorization, what, released, returned)
}

fn undone(
    authorization: &Authorization,
    what: UndoneWhat,
    released: InBoth,
    returned: InBoth,
) -> Undone {
    let held_minor = authorization.held.minus(released).account_minor;
    let posted_minor = authorization.posted.minus(returned).account_minor;
    let before = authorization.closed.map(|closed| closed.by);
    let closed = match before {
        _ if what == UndoneWhat::Whole => Some(ClosedBy::Reversal),
        // All that was left of it is undone, part by part.
        Some(ClosedBy::Completion) if posted_minor == 0 => Some(ClosedBy::Reversal),
        None if held_minor == 0 && posted_minor != 0 => Some(ClosedBy::Completion),
        None if held_minor == 0 && released.account_minor > 0 => Some(ClosedBy::Reversal),
        before => before,
    };
    Undone {
        authorization_id: authorization.id,
        account_id: authorization.account_id,
        what,
        released,
        returned,
        standing: Authorization::standing(closed, posted_minor),
        flags: after(authorization),
    }
}

fn after(authorization: &Authorization) -> Flags {
    let mut flags = Flags::default();
    let (expired, completed) = (ClosedBy::Release, ClosedBy::Completion);
    flags.raise(Flags::AFTER_EXPIRY, authorization.is_closed_by(expired));
    let is_completed = authorization.is_closed_by(completed);
    flags.raise(Flags::AFTER_COMPLETION, is_completed);
    flags
}

/// What of an amount is above what stays of it in the transaction's currency. In the account's currency what
/// stays is rounded up: it must cover what the merchant keeps. Of a credit it is the other way round.
fn above(amount: InBoth, stays_minor: i64) -> InBoth {
    let transaction_minor = amount.transaction_minor.abs();
    if stays_minor == 0 {
        return amount;
    }
    if stays_minor >= transaction_minor {
        return InBoth::default();
    }
    let account = i128::from(amount.account_minor.abs());
    let (stays, of) = (i128::from(stays_minor), i128::from(transaction_minor));
    let is_credit = amount.transaction_minor < 0;
    let share = match is_credit {
        false => (account * stays + of - 1) / of,
        true => account * stays / of,
    };
    // Not above the amount, since what stays is less than all.
    let sign = if is_credit { -1 } else { 1 };
    InBoth {
        account_minor: sign * (account - share) as i64,
        transaction_minor: sign * (transaction_minor - stays_minor),
    }
}

/// As much of what is undone as is held. Of a credit nothing is.
fn of_held(moved: InBoth, held: InBoth) -> InBoth {
    InBoth {
        account_minor: moved.account_minor.min(held.account_minor).max(0),
        transaction_minor: moved.transaction_minor.min(held.transaction_minor).max(0),
    }
}

/// The posting by which money goes back, and with it its share of what we kept; what of that is a fee.
pub(super) fn returned(state: &State, undone: &Undone) -> (Postings, Charges) {
    let returned_minor = undone.returned.account_minor;
    let known = state.authorizations.get(undone.authorization_id);
    let kept = known.map_or(Kept::default(), |known| {
        known
            .kept
            .returned(returned_minor, known.posted.account_minor)
    });
    let postings = postings::payment(undone.account_id, -returned_minor, kept);
    let of_account = state.account(undone.account_id);
    let both = known.zip(of_account);
    let charges = both.map(|(known, account)| {
        charge::of_payment(account, known.card_id, &postings, kept.schedule)
    });
    (postings, charges.unwrap_or_default())
}

/// As much of what is undone as is still posted, of a credit too.
fn of_posted(moved: InBoth, posted: InBoth) -> InBoth {
    let within = |moved: i64, posted: i64| moved.clamp(posted.min(0), posted.max(0));
    InBoth {
        account_minor: within(moved.account_minor, posted.account_minor),
        transaction_minor: within(moved.transaction_minor, posted.transaction_minor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_both(account_minor: i64, transaction_minor: i64) -> InBoth {
        InBoth {
            account_minor,
            transaction_minor,
        }
    }

    #[test]
    fn what_is_above_what_stays_is_undone() {
        for (amount, stays_minor, expected) in [
            (in_both(100, 100), 0, in_both(100, 100)),
            (in_both(100, 100), 30, in_both(70, 70)),
            (in_both(100, 100), 100, in_both(0, 0)),
            (in_both(100, 100), 130, in_both(0, 0)),
            // 10 of 3 units: 2 units need 7.
            (in_both(10, 3), 2, in_both(3, 1)),
            (in_both(-10, -3), 2, in_both(-4, -1)),
            (in_both(-100, -100), 0, in_both(-100, -100)),
        ] {
            assert_eq!(
                above(amount, stays_minor),
                expected,
                "{amount:?} {stays_minor}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_stays_covers_what_the_merchant_keeps(
            account in 1i64..1_000_000_000_000, transaction in 1i64..1_000_000_000_000, share in 0f64..1.2
        ) {
            let stays_minor = (transaction as f64 * share) as i64;
            let undone = above(in_both(account, transaction), stays_minor);
            prop_assert!((0..=account).contains(&undone.account_minor));
            let kept = i128::from(account - undone.account_minor) * i128::from(transaction);
            if stays_minor > 0 && stays_minor < transaction {
                prop_assert!(kept >= i128::from(stays_minor) * i128::from(account));
            }
        }
    }
}

//! What the engine says, in the words of the naive decision maker.

use super::*;

pub fn came_of(outcome: &Outcome) -> Came {
    match outcome {
        Outcome::Event(Event::Authorized(authorized)) => authorized_came(authorized),
        Outcome::Event(Event::Advised(advised)) => advised_came(advised),
        Outcome::Event(Event::Reversed(reversed)) => match &reversed.outcome {
            ReversalOutcome::Undone(undone) => Came::Undone(undone_came(undone)),
            ReversalOutcome::OriginalUnknown => Came::Unknown,
            ReversalOutcome::AlreadyReversed => Came::AlreadyReversed,
            ReversalOutcome::Duplicate => Came::Duplicate,
        },
        Outcome::Event(Event::Withheld(withheld)) => {
            // Flags are for what the network sent.
            let undone = withheld.undone.as_ref().map(undone_came);
            Came::Withheld(undone.map(|undoing| Undoing {
                flags: vec![],
                ..undoing
            }))
        }
        Outcome::Event(Event::Transferred(transferred)) => Came::Moved(transferred.status),
        Outcome::Event(_) => Came::Done,
        Outcome::FirstAnswer(answer) => Came::First(heard_again(answer)),
        Outcome::AlreadyDone => Came::AlreadyDone,
        Outcome::Refused(_) => Came::Refused,
    }
}

pub fn authorized_came(authorized: &Authorized) -> Came {
    let available = authorized.available_minor;
    let charged = charged(&authorized.postings);
    if authorized.waits_until.is_some() {
        assert_eq!(charged, 0);
        return Came::Waiting {
            part: match &authorized.decision {
                Decision::PartiallyApproved { approved, .. } => Some(approved.amount_minor),
                _ => None,
            },
            taken: authorized.hold.as_ref().unwrap().amount_minor,
            available,
        };
    }
    match &authorized.decision {
        Decision::Approved { .. } => match (authorized.balances, &authorized.increased) {
            (Some(balances), _) => Came::Balances {
                posted: balances.posted_minor,
                available: balances.available_minor,
            },
            (None, Some(increased)) => Came::Increased {
                of: place_of(increased.authorization_id),
                available,
            },
            (None, None) => Came::Approved { available },
        },
        Decision::PartiallyApproved { approved, .. } => {
            let taken = authorized.hold.as_ref().unwrap().amount_minor;
            assert!([0, taken].contains(&charged));
            Came::Partial {
                approved: approved.amount_minor,
                taken,
                available,
            }
        }
        Decision::Declined(decline) => {
            assert!(authorized.hold.is_none() && authorized.increased.is_none() && charged == 0);
            Came::Declined(decline.reason)
        }
    }
}

pub fn advised_came(advised: &Advised) -> Came {
    let charged = charged(&advised.postings);
    let what = match &advised.outcome {
        AdviceOutcome::Duplicate => return Came::Duplicate,
        AdviceOutcome::Recorded => What::Recorded,
        AdviceOutcome::Placed(placed) => What::Placed {
            held: placed.amount_minor,
        },
        AdviceOutcome::ForcePosted(_) => What::ForcePosted { charged },
        AdviceOutcome::Amended {
            authorization_id,
            before_minor,
            after_minor,
            standing,
            ..
        } => What::Amended {
            of: place_of(*authorization_id),
            before: *before_minor,
            after: *after_minor,
            standing: *standing,
        },
        AdviceOutcome::Completed {
            authorization_id,
            released_minor,
            standing,
        } => What::Completed {
            of: place_of(*authorization_id),
            charged,
            released: *released_minor,
            standing: *standing,
        },
    };
    Came::Advised(Advice {
        what,
        available: advised.available_minor,
        flags: advised.flags.names().collect(),
        breach: advised.breach.map(|breach| breach.reason),
    })
}

pub fn undone_came(undone: &Undone) -> Undoing {
    Undoing {
        of: place_of(undone.authorization_id),
        what: match undone.what {
            UndoneWhat::Whole => Undid::Whole,
            UndoneWhat::Above => Undid::Above,
            UndoneWhat::Part { .. } => Undid::Part,
        },
        released: undone.released.account_minor,
        returned: undone.returned.account_minor,
        standing: undone.standing,
        flags: undone.flags.names().collect(),
    }
}

/// What these legs take from the account.
pub fn charged(postings: &Postings) -> i64 {
    let legs = postings.iter();
    let customer = legs.filter(|leg| matches!(leg.ledger_account, LedgerAccount::Customer(_)));
    -customer.map(|leg| leg.amount_minor).sum::<i64>()
}

pub fn heard_again(answer: &Answer) -> Heard {
    match answer {
        Answer::Authorization { result, .. } => match result {
            AnswerResult::Waiting => Heard::Waiting,
            AnswerResult::Approved {
                available_minor, ..
            } => Heard::Approved {
                available: *available_minor,
            },
            AnswerResult::Declined(reason) => Heard::Declined(*reason),
            AnswerResult::PartiallyApproved { approved, .. } => Heard::Partial {
                approved: approved.amount_minor,
            },
            AnswerResult::Balances(balances) => Heard::Balances {
                posted: balances.posted_minor,
                available: balances.available_minor,
            },
        },
        Answer::Advice { result, .. } => match result {
            AdviceResult::Accepted => Heard::Accepted,
            AdviceResult::Recorded => Heard::Recorded,
            AdviceResult::Duplicate => unreachable!("a clash is not remembered"),
        },
        Answer::Reversal { result, .. } => match result {
            ReversalResult::Accepted => Heard::Accepted,
            ReversalResult::OriginalUnknown => Heard::Unknown,
            ReversalResult::Duplicate => unreachable!("a clash is not remembered"),
        },
    }
}

pub fn resolution(of: usize, resolved: &Resolved) -> Came {
    let Some(answer) = &resolved.answer else {
        assert_eq!(resolved.to, ResolvedTo::NothingWaits);
        return Came::NothingWaits;
    };
    let (released, posted) = match &resolved.to {
        ResolvedTo::Approved { released, posted } => (released.account_minor, posted.account_minor),
        ResolvedTo::Declined { undone, .. } => (undone.released.account_minor, 0),
        ResolvedTo::NothingWaits => unreachable!("nobody is answered where nothing waits"),
    };
    assert_eq!(charged(&resolved.postings), posted);
    Came::Resolved(Resolution {
        of,
        released,
        posted,
        by_fallback: resolved.fallback_used,
        heard: heard_again(answer),
    })
}

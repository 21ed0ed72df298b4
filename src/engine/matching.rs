//! Which authorization a message is about: those that share a name with it, and the best of them. What
//! follows from it is decided elsewhere.
//!
//! Names are trusted in the order of `MatchKeys::by_authority`. The first that both a message and an
//! authorization state must be the same in both, and so must the acquirer and, of a reversal that says which message
//! it reverses, the STAN, or they are strangers.
//! Among those left, the one that agrees best wins, compared name by name in the same order. Of those that
//! agree alike, a whole authorization comes before a part of one, and then the latest wins. A closed
//! authorization stands in the way of others like an open one, so that the double of a reversal finds what
//! was reversed, and not another hold. Where the network has opened one anew in the place of one that was over, that is
//! the one that is meant.

use super::authorizations::{Authorization, ClosedBy, InBoth, PartKind};
use super::command::{Authorize, Command};
use super::facts::{Kind, MatchKey, MatchKeys, RepeatKey};
use super::first_answer::Answered;
use super::ids::{AuthorizationId, CardId};
use super::kinds::Direction;
use super::reversals::Reversal;
use super::state::State;
use super::time::Timestamp;

/// What the names of a message lead to.
#[derive(Debug, Clone, Copy)]
pub enum Original<'a> {
    Unknown,
    Known {
        authorization: &'a Authorization,
        /// The place of an increment or completion that is meant, and not the whole.
        part: Option<u16>,
    },
    /// Reversed before it came.
    ReversedEarly,
}

/// How two statements of the same thing compare; the better, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Differs,
    /// One of them does not state it.
    Open,
    Agrees,
}

impl Fit {
    fn of(one: u64, other: u64) -> Fit {
        match (one, other) {
            (0, _) | (_, 0) => Fit::Open,
            _ if one == other => Fit::Agrees,
            _ => Fit::Differs,
        }
    }
}

/// How well two sets of names agree: name by name, and the acquirer last.
type Agreement = ([Fit; MatchKeys::NAMES_MAX], Fit);

/// `None` for strangers.
fn agreement(one: &MatchKeys, other: &MatchKeys) -> Option<Agreement> {
    let (names, others) = (one.by_authority, other.by_authority);
    let fits = std::array::from_fn(|place| Fit::of(names[place].0, others[place].0));
    let acquirer = Fit::of(one.acquirer_id, other.acquirer_id);
    let decisive = fits.iter().find(|fit| **fit != Fit::Open)?;
    let stan = Fit::of(u64::from(one.stan), u64::from(other.stan));
    let same = *decisive == Fit::Agrees && ![acquirer, stan].contains(&Fit::Differs);
    same.then_some((fits, acquirer))
}

/// By what candidates are compared: of those that agree alike the whole, the latest, what is reversed; the id
/// makes any two differ.
type Rank = (Agreement, bool, Timestamp, bool, u64);

/// What a message of this card with these names is about, in the tree of the command. With a direction, only
/// what goes the same way.
pub fn original<'a>(
    state: &'a State,
    command: &Command,
    card_id: CardId,
    asked: &MatchKeys,
    direction: Option<Direction>,
) -> Original<'a> {
    let mut best: Option<(Rank, Original)> = None;
    let mut consider = |rank: Rank, original| {
        if best.is_none_or(|(best, _)| rank > best) {
            best = Some((rank, original));
        }
    };
    for key in asked.stated() {
        for authorization in authorizations(state, command, card_id, key) {
            if direction.is_some_and(|direction| direction != authorization.direction) {
                continue;
            }
            if let Some((rank, part)) = rank(authorization, asked) {
                consider(
                    rank,
                    Original::Known {
                        authorization,
                        part,
                    },
                );
            }
        }
        for reversal in early_reversals(state, command, card_id, key) {
            if let Some(agreement) = agreement(&reversal.match_keys, asked) {
                consider(
                    (agreement, true, reversal.at, true, 0),
                    Original::ReversedEarly,
                );
            }
        }
    }
    let best = best.map_or(Original::Unknown, |(_, original)| original);
    standing_in(state, command.at, best)
}

/// What is over, and was opened anew by the network, means the new one.
fn standing_in<'a>(state: &'a State, at: Timestamp, mut original: Original<'a>) -> Original<'a> {
    while let Original::Known {
        authorization,
        part: None,
    } = original
    {
        let next = authorization.stood_in_by;
        let next = next.and_then(|id| state.authorizations.get(id));
        match next.filter(|next| still_counts(state, at, next)) {
            Some(authorization) => {
                original = Original::Known {
                    authorization,
                    part: None,
                };
            }
            None => break,
        }
    }
    original
}

/// The best that an authorization offers to these names: itself or a part of it. `None` for a stranger.
fn rank(authorization: &Authorization, asked: &MatchKeys) -> Option<(Rank, Option<u16>)> {
    let reversed = authorization.is_closed_by(ClosedBy::Reversal);
    let id = authorization.id.0;
    let ranks = names_of(authorization).filter_map(|(part, keys, at)| {
        let agreement = agreement(keys, asked)?;
        Some(((agreement, part.is_none(), at, reversed, id), part))
    });
    // Of parts that are all alike the first.
    ranks.reduce(|best, next| if next.0 > best.0 { next } else { best })
}

/// The one of these that a message with these names is about; with a direction, only what goes the same way.
pub fn best<'a>(
    candidates: &'a [Authorization],
    asked: &MatchKeys,
    direction: Option<Direction>,
) -> Option<&'a Authorization> {
    let way = |known: &&Authorization| direction.is_none_or(|way| way == known.direction);
    let candidates = candidates.iter().filter(way);
    let ranked = candidates.filter_map(|known| Some((rank(known, asked)?.0, known)));
    ranked.max_by_key(|(rank, _)| *rank).map(|(_, known)| known)
}

/// What became of a request before it came this time.
#[derive(Debug, Clone, Copy)]
pub enum Before<'a> {
    Nothing,
    /// It was approved, or approved and taken back by us, and this is what is kept of it.
    Answered(&'a Answered),
    /// It was reversed: before it came, or after it came first.
    Reversed,
}

/// What is known of a request whose first answer is forgotten. An increment that was reversed alone is known by all
/// its names only: it may share one with its authorization. What came back for another message is nothing to a request
/// that does not say that it came before.
pub fn before<'a>(state: &'a State, command: &Command, request: &Authorize) -> Before<'a> {
    let (card_id, names) = (request.card_id, &request.match_keys);
    if is_reversed_early(state, command, card_id, names) {
        return Before::Reversed;
    }
    let mut reversed = false;
    // A no of ours before any yes, and of several the latest: whatever order they are found in.
    let mut answered: Option<((bool, AuthorizationId), &Answered)> = None;
    for key in names.stated() {
        for known in authorizations(state, command, card_id, key) {
            if !request.is_marked_repeat && is_only_recalled(state, command.at, known) {
                continue;
            }
            let mut parts = known.parts.iter();
            reversed |= known.is_closed_by(ClosedBy::Reversal)
                && !known.was_taken_back()
                && agreement(&known.match_keys, names).is_some()
                || parts.any(|part| part.is_undone && part.match_keys == *names);
            let mut of_key = known
                .answered()
                .filter(|of| of.repeat_key == request.repeat_key);
            if let Some(found) = of_key.next() {
                let rank = (!found.answer.is_approval(), known.id);
                if answered.is_none_or(|(best, _)| best < rank) {
                    answered = Some((rank, found));
                }
            }
        }
    }
    match answered {
        // Nobody reversed it: it was taken back, and that was answered.
        Some((_, no)) if !no.answer.is_approval() => Before::Answered(no),
        _ if reversed => Before::Reversed,
        Some((_, yes)) => Before::Answered(yes),
        None => Before::Nothing,
    }
}

/// Whether it, or an increment of it, is the request with this identity.
pub fn answers(known: &Authorization, key: RepeatKey) -> bool {
    known.answered().any(|of| of.repeat_key == key)
}

/// Whether an advice under exactly these names was carried out before, by a posting or an increment of this
/// amount: the same message, come again after its first answer was forgotten. One name alone says too little.
pub fn is_repeated(
    state: &State,
    command: &Command,
    payment: &Authorize,
    amount_minor: i64,
) -> bool {
    let names = &payment.match_keys;
    let kind = match (payment.posts, payment.kind) {
        (true, _) => PartKind::Completion,
        (false, Kind::Incremental) => PartKind::Increment,
        // Another amount for the same hold: to set it twice changes nothing.
        _ => return false,
    };
    if names.stated().count() < 2 {
        return false;
    }
    let is_same = |keys: &MatchKeys, amount: InBoth| {
        keys == names && amount.account_minor.unsigned_abs() == amount_minor.unsigned_abs()
    };
    names.stated().any(|key| {
        authorizations(state, command, payment.card_id, key).any(|known| {
            let mut parts = known.parts.iter().filter(|part| part.kind == kind);
            parts.any(|part| is_same(&part.match_keys, part.amount))
                || payment.posts && known.posted_at_once && is_same(&known.match_keys, known.opened)
        })
    })
}

/// Whether a reversal of a message with these names came before it.
pub fn is_reversed_early(
    state: &State,
    command: &Command,
    card_id: CardId,
    names: &MatchKeys,
) -> bool {
    names.stated().any(|key| {
        early_reversals(state, command, card_id, key)
            .any(|reversal| agreement(&reversal.match_keys, names).is_some())
    })
}

/// The names of the whole and of each part, with when it came.
fn names_of(
    authorization: &Authorization,
) -> impl Iterator<Item = (Option<u16>, &MatchKeys, Timestamp)> {
    let whole = (None, &authorization.match_keys, authorization.latest());
    let parts = authorization.parts.iter().enumerate();
    let parts = parts.map(|(place, part)| (Some(place as u16), &part.match_keys, part.at));
    std::iter::once(whole).chain(parts)
}

/// Open ones with this name, and closed ones that still count.
fn authorizations<'a>(
    state: &'a State,
    command: &Command,
    card_id: CardId,
    key: MatchKey,
) -> impl Iterator<Item = &'a Authorization> {
    let known = state.authorizations.named(card_id, key);
    let at = command.at;
    known.filter(move |known| still_counts(state, at, known))
}

fn still_counts(state: &State, at: Timestamp, known: &Authorization) -> bool {
    let retention_ms = state.registry.settings.closed_retention_ms;
    let from = known.remembered_from();
    from.is_none_or(|from| from.plus_ms(retention_ms) > at)
}

/// It would be forgotten by now, had no message needed it.
pub(super) fn is_only_recalled(state: &State, at: Timestamp, known: &Authorization) -> bool {
    let retention_ms = state.registry.settings.closed_retention_ms;
    let closed = known.closed;
    closed.is_some_and(|closed| closed.at.plus_ms(retention_ms) <= at)
}

/// The early reversals with this name that still count in the tree of the command.
fn early_reversals<'a>(
    state: &'a State,
    command: &Command,
    card_id: CardId,
    key: MatchKey,
) -> impl Iterator<Item = &'a Reversal> {
    let (root, at) = (command.root, command.at);
    let retention_ms = state.registry.settings.reversal_retention_ms;
    state
        .early_reversals
        .find(card_id, key)
        .filter(move |reversal| reversal.root == root && reversal.at.plus_ms(retention_ms) > at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(rrn: u64, sent: u64, local: u64, acquirer_id: u64) -> MatchKeys {
        let mut keys = MatchKeys {
            acquirer_id,
            ..MatchKeys::default()
        };
        for (place, name) in [rrn, sent, local].into_iter().enumerate() {
            keys.by_authority[place] = MatchKey(name);
        }
        keys
    }

    #[test]
    fn the_most_trusted_name_that_both_state_decides_and_so_does_the_acquirer() {
        let known = names(1, 2, 3, 4);
        for (asked, fits) in [
            (names(1, 2, 3, 4), true),
            (names(1, 9, 9, 4), true),
            (names(1, 0, 0, 0), true),
            (names(0, 2, 9, 4), true),
            (names(0, 0, 3, 0), true),
            (names(9, 2, 3, 4), false),
            (names(0, 9, 3, 4), false),
            (names(0, 0, 0, 4), false),
            (names(1, 2, 3, 9), false),
        ] {
            assert_eq!(agreement(&known, &asked).is_some(), fits, "{asked:?}");
            assert_eq!(agreement(&asked, &known), agreement(&known, &asked));
        }
    }

    #[test]
    fn a_trusted_name_outweighs_all_others_and_saying_nothing_beats_differing() {
        let asked = names(1, 2, 3, 4);
        let from_worst = [
            names(0, 0, 3, 0),
            names(0, 2, 9, 4),
            names(0, 2, 0, 4),
            names(0, 2, 3, 4),
            names(1, 9, 9, 4),
            names(1, 9, 3, 4),
            names(1, 0, 9, 4),
            names(1, 2, 3, 0),
            names(1, 2, 3, 4),
        ];
        let agreements = from_worst.map(|known| agreement(&known, &asked).unwrap());
        assert!(agreements.is_sorted(), "{agreements:?}");
    }
}

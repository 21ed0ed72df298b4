//! Which authorization a message is about: those that share a name with it, and the best of them. What
//! follows from it is decided elsewhere.
//!
//! Names are trusted in the order of `MatchKeys::by_authority`. The first that both a message and an
//! authorization state must be the same in both, and so must the acquirer, or they are strangers.
//! Among those left, the one that agrees best wins, compared name by name in the same order; of those
//! that agree alike, the latest. A reversal stands here for what it reversed, so that its double finds
//! it, and not another hold.

use super::command::Command;
use super::facts::{MatchKey, MatchKeys};
use super::holds::Hold;
use super::ids::CardId;
use super::reversals::Reversal;
use super::state::State;
use super::time::Timestamp;

/// What the names of a message lead to.
#[derive(Debug, Clone, Copy)]
pub enum Original<'a> {
    Unknown,
    Open(&'a Hold),
    /// Reversed already, whether it had come or not.
    Reversed,
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
type Agreement = ([Fit; 3], Fit);

/// `None` for strangers.
fn agreement(one: &MatchKeys, other: &MatchKeys) -> Option<Agreement> {
    let (names, others) = (one.by_authority(), other.by_authority());
    let fits: [Fit; 3] = std::array::from_fn(|place| Fit::of(names[place].0, others[place].0));
    let acquirer = Fit::of(one.acquirer_id, other.acquirer_id);
    let decisive = fits.iter().find(|fit| **fit != Fit::Open)?;
    let same = *decisive == Fit::Agrees && acquirer != Fit::Differs;
    same.then_some((fits, acquirer))
}

/// By what candidates are compared. Of a reversal and a hold of the same moment the reversal wins;
/// the id makes any two holds differ.
type Rank = (Agreement, Timestamp, bool, u64);

/// What a message of this card with these names is about, in the tree of the command.
pub fn original<'a>(
    state: &'a State,
    command: &Command,
    card_id: CardId,
    asked: &MatchKeys,
) -> Original<'a> {
    let mut best: Option<(Rank, Original)> = None;
    let mut consider = |rank: Rank, original| {
        if best.is_none_or(|(best, _)| rank > best) {
            best = Some((rank, original));
        }
    };
    for key in asked.stated() {
        for hold in state.holds.named(card_id, key) {
            if let Some(agreement) = agreement(&hold.match_keys, asked) {
                let rank = (agreement, hold.placed_at, false, hold.authorization_id.0);
                consider(rank, Original::Open(hold));
            }
        }
        for reversal in reversals(state, command, card_id, key) {
            if let Some(agreement) = agreement(&reversal.match_keys, asked) {
                consider((agreement, reversal.at, true, 0), Original::Reversed);
            }
        }
    }
    best.map_or(Original::Unknown, |(_, original)| original)
}

/// Whether an authorization with these names was reversed before it came.
pub fn is_reversed(state: &State, command: &Command, card_id: CardId, names: &MatchKeys) -> bool {
    names.stated().any(|key| {
        reversals(state, command, card_id, key)
            .any(|reversal| agreement(&reversal.match_keys, names).is_some())
    })
}

/// The reversals with this name that still count in the tree of the command.
fn reversals<'a>(
    state: &'a State,
    command: &Command,
    card_id: CardId,
    key: MatchKey,
) -> impl Iterator<Item = &'a Reversal> {
    let (root, at) = (command.root, command.at);
    let retention_ms = state.registry.settings.reversal_retention_ms;
    state
        .reversed
        .find(card_id, key)
        .filter(move |reversal| reversal.root == root && reversal.at.plus_ms(retention_ms) > at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(rrn: u64, sent: u64, local: u64, acquirer_id: u64) -> MatchKeys {
        MatchKeys {
            rrn: MatchKey(rrn),
            sent: MatchKey(sent),
            local: MatchKey(local),
            acquirer_id,
        }
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

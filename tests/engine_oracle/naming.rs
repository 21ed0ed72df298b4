//! Which authorization the names of a message lead to, and which messages were there before.

use super::*;

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Meant {
    Unknown,
    /// Reversed before it came.
    Early,
    /// The authorization that was opened at this place in the past.
    Whole(usize),
    /// And the part of it that came at the second.
    Part(usize, usize),
}

impl Meant {
    pub fn place(self) -> Option<usize> {
        match self {
            Meant::Whole(place) | Meant::Part(place, _) => Some(place),
            Meant::Unknown | Meant::Early => None,
        }
    }
}

impl View<'_> {
    /// The names of reversals of this card that came before their original, with their time.
    pub fn early_reversals(&self, of: u64) -> impl Iterator<Item = (Names, Timestamp)> {
        self.past.iter().filter_map(move |past| match past.step {
            // One that leaves a part standing must not refuse the whole.
            Step::Reverse {
                card,
                names,
                stays: 0,
                ..
            } => {
                let live = past.at.plus_ms(REVERSAL_MS) > self.at && card == of;
                (live && past.came == Came::Unknown).then_some((names, past.at))
            }
            _ => None,
        })
    }

    pub fn names_at(&self, place: usize) -> Names {
        match self.past[place].step {
            Step::Authorize(payment) | Step::Advise { payment, .. } => payment.names,
            Step::Reverse { names, .. } => names,
            _ => unreachable!("step {place} has no names"),
        }
    }

    /// The best that these names lead to. What agrees alike: the whole before a part, then the latest, then
    /// what is reversed.
    pub fn meant(&self, card: u64, asked: Names, is_credit: Option<bool>) -> Meant {
        let mut meant = self.meant_among(card, asked, is_credit, false);
        // What was opened anew is meant in the place of what was over.
        while let Meant::Whole(place) = meant {
            match self
                .opened_anew(place)
                .filter(|known| !self.is_forgotten(known))
            {
                Some(known) => meant = Meant::Whole(known.place),
                None => break,
            }
        }
        meant
    }

    /// The latest that was opened in the place of another.
    pub fn opened_anew(&self, place: usize) -> Option<&Known<'_>> {
        let stands_in = |known: &&Known| known.lines[0].1.stands_in_for == Some(place);
        self.known.iter().rfind(stands_in)
    }

    /// The same, or the best of what is forgotten.
    pub fn meant_among(
        &self,
        card: u64,
        asked: Names,
        is_credit: Option<bool>,
        forgotten: bool,
    ) -> Meant {
        let mut candidates = Vec::new();
        for known in &self.known {
            if known.payment.card != card || self.is_forgotten(known) != forgotten {
                continue;
            }
            if is_credit.is_some_and(|is_credit| is_credit != known.payment.is_credit()) {
                continue;
            }
            let (place, reversed) = (known.place, known.ended(End::Reversed));
            let since = known.closed.map_or(known.opened, |(since, _)| since);
            if let Some(alike) = known.payment.names.alike(asked) {
                let rank = (alike, true, since, reversed, place);
                candidates.push((rank, Meant::Whole(place)));
            }
            for (part, line) in &known.lines {
                let alike = line.part.and_then(|_| self.names_at(*part).alike(asked));
                if let Some(alike) = alike {
                    let rank = (alike, false, self.past[*part].at, reversed, place);
                    candidates.push((rank, Meant::Part(place, *part)));
                }
            }
        }
        for (names, at) in self.early_reversals(card).filter(|_| !forgotten) {
            let alike = names.alike(asked);
            candidates.extend(alike.map(|alike| ((alike, true, at, true, 0), Meant::Early)));
        }
        let best = candidates.iter().map(|(rank, _)| *rank).max();
        let first = candidates.into_iter().find(|(rank, _)| Some(*rank) == best);
        first.map_or(Meant::Unknown, |(_, meant)| meant)
    }

    pub fn is_reversed_early(&self, card: u64, names: Names) -> bool {
        let mut reversals = self.early_reversals(card);
        reversals.any(|(reversed, _)| reversed.alike(names).is_some())
    }

    pub fn is_reversed(&self, request: &Payment) -> bool {
        let (card, names) = (request.card, request.names);
        let is_undone = |known: &Known| {
            let mut lines = known.lines.iter();
            lines.any(|(place, line)| {
                line.part.is_some() && known.is_undone(*place) && self.names_at(*place) == names
            })
        };
        let mut known = self.nameable_to(request);
        // What we took back ourselves, nobody reversed.
        self.is_reversed_early(card, names)
            || known.any(|known| {
                let alike = known.payment.names.alike(names).is_some();
                let by_network = known.ended(End::Reversed) && !known.is_taken_back;
                (alike && by_network) || (names.stated() > 0 && is_undone(known))
            })
    }

    /// Whether the same advice was carried out before: a posting, or an increment, of all its names and of what it
    /// comes to, whatever was given back or completed since.
    pub fn is_repeated(&self, payment: &Payment, amount: i64) -> bool {
        let part = match (payment.posts, payment.kind) {
            (true, _) => Part::Completion,
            (false, Kind::Incremental) => Part::Increment,
            _ => return false,
        };
        let is_same = |(place, line): &(usize, Line)| {
            let came_to = match line.part {
                Some(Part::Increment) => line.held.account,
                _ => line.posted.account,
            };
            line.part == Some(part)
                && self.names_at(*place) == payment.names
                && came_to.abs() == amount
        };
        let is_whole = |known: &Known| {
            payment.posts
                && known.posted_at_once
                && known.payment.names == payment.names
                && known.approved.account.abs() == amount
        };
        let mut known = self.nameable(payment.card);
        payment.names.stated() > 1
            && known.any(|known| is_whole(known) || known.lines.iter().any(is_same))
    }
}

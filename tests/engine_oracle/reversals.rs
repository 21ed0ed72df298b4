//! Decides reversals of a whole, of a part, and down to what stays.

use super::*;

impl View<'_> {
    pub fn reverse(
        &self,
        identity: (u64, u8),
        names: Names,
        asked: (i64, i64),
    ) -> (Came, Vec<Line>) {
        let first = self.first_answer(|step| match step {
            Step::Reverse { card, name, .. } => (*card, *name) == identity,
            _ => false,
        });
        match first {
            Some((Step::Reverse { amount, stays, .. }, heard)) if (*amount, *stays) == asked => {
                return (Came::First(heard), vec![]);
            }
            Some(_) => return (Came::Duplicate, vec![]),
            None => {}
        }
        let meant = self.meant(identity.0, names, None);
        let Some(place) = meant.place() else {
            let came = match meant {
                Meant::Early => Came::AlreadyReversed,
                _ => Came::Unknown,
            };
            return (came, vec![]);
        };
        let known = self.of(place);
        if known.is_taken_back && meant == Meant::Whole(place) {
            // Its network was told no: it is as of an original that never was.
            let came = match self.is_reversed_early(identity.0, names) {
                true => Came::AlreadyReversed,
                false => Came::Unknown,
            };
            return (came, vec![]);
        }
        let is_done = match meant {
            Meant::Part(_, part) => known.is_undone(part) || known.is_in_what_was_stated(part),
            _ => false,
        };
        let stated_before = known.lines.iter().any(|(place, line)| {
            let by = &self.past[*place].step;
            line.states_all
                && matches!(by, Step::Reverse { card, name, .. } if (*card, *name) == identity)
        });
        if is_done || stated_before || known.ended(End::Reversed) {
            return (Came::AlreadyReversed, vec![]);
        }
        self.undo(known, meant, asked.1)
    }

    pub fn undo(&self, known: &Known, meant: Meant, stays: i64) -> (Came, Vec<Line>) {
        let part = match meant {
            Meant::Part(_, part) => Some(part),
            _ => None,
        };
        // Reversals state dollars, which is case 0.
        let stays = match stays {
            0 => 0,
            stays => known.local_of(0, stays, stays),
        };
        let stands_at = known.held.plus(known.posted);
        let moved = part.map_or(stands_at, |part| known.left(part)).above(stays);
        let is_increment = part.is_some_and(|part| known.is_increment(part));
        // What is held goes first. No more goes back than there is.
        let nothing = Both::default();
        let (released, returned) = match part {
            None => (moved.of(known.held), moved.minus(moved.of(known.held))),
            Some(_) if is_increment => (moved.of(known.held), nothing),
            Some(_) => (nothing, moved.of(known.posted)),
        };
        let held = known.held.minus(released).account;
        let posted = known.posted.minus(returned).account;
        let end = match known.closed.map(|(_, how)| how) {
            _ if part.is_none() && stays == 0 => Some(End::Reversed),
            Some(End::Completed) if posted == 0 => Some(End::Reversed),
            None if held == 0 && posted != 0 => Some(End::Completed),
            None if held == 0 && released.account > 0 => Some(End::Reversed),
            how => how,
        };
        let moved = released.plus(returned).account;
        let mut flags = vec![];
        if moved < 0 && self.available(known.account) + moved < 0 {
            flags.push("overdrawn");
        }
        flags.extend(known.closed.and_then(|(_, how)| match how {
            End::Released => Some("after_expiry"),
            End::Completed => Some("after_completion"),
            End::Reversed => None,
        }));
        let undoing = Undoing {
            of: known.place,
            what: match part {
                Some(_) => Undid::Part,
                None if stays == 0 => Undid::Whole,
                None => Undid::Above,
            },
            released: released.account,
            returned: returned.account,
            standing: known.standing(end, posted),
            flags,
        };
        let line = Line {
            of: known.place,
            held: released.negative(),
            posted: returned.negative(),
            kept: known.kept.share(-returned.account, known.posted.account),
            end,
            undoes: part.map(|part| (part, stays == 0)),
            states_all: part.is_none() && stays != 0,
            ..Line::default()
        };
        (Came::Undone(undoing), vec![line])
    }
}

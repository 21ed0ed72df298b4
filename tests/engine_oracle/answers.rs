//! What the network hears, and hears again when it repeats a message: the answer of then, or what became of it.

use super::*;

impl View<'_> {
    /// What a step tells the network, of messages by where in the past they are.
    pub fn answers(&self, step: &Step, came: &Came, lines: &[Line]) -> Vec<(usize, Heard)> {
        let waited = || {
            let known = lines.iter().filter_map(|line| self.known_at(line.of));
            known.filter(|known| known.waits).map(|known| known.place)
        };
        // What it was of is not to be, whoever ended it before its customer could decide.
        let ended = || {
            let is_ended = |of: &usize| {
                lines
                    .iter()
                    .any(|line| line.of == *of && line.end.is_some())
            };
            let reason = DeclineReason::ReversedBeforeOriginal;
            waited()
                .filter(is_ended)
                .map(move |of| (of, Heard::Declined(reason)))
        };
        let own = match (step, came) {
            (_, Came::First(_) | Came::Duplicate)
            | (_, Came::Declined(DeclineReason::DuplicateTransmission)) => None,
            (Step::Authorize(_) | Step::Advise { .. } | Step::Reverse { .. }, came) => {
                Some((self.here(), heard(came)))
            }
            _ => None,
        };
        let others: Vec<(usize, Heard)> = match (step, came) {
            (Step::Withhold { back }, Came::Withheld(_)) => {
                let late = Heard::Declined(DeclineReason::AnswerTooLate);
                self.approval(*back)
                    .map(|of| (of, late))
                    .into_iter()
                    .collect()
            }
            (_, Came::Resolved(resolution)) => vec![(resolution.of, resolution.heard.clone())],
            (_, Came::TimedOut(all)) => {
                let heard = all.iter().map(|one| (one.of, one.heard.clone()));
                heard.collect()
            }
            // The network has decided.
            (_, Came::Advised(advice)) => {
                let available = advice.available;
                waited()
                    .map(|of| (of, Heard::Approved { available }))
                    .collect()
            }
            _ => ended().collect(),
        };
        own.into_iter().chain(others).collect()
    }

    /// The first of these messages, if it is not forgotten: itself, and what was heard of it.
    pub fn first_answer(&self, same: impl Fn(&Step) -> bool) -> Option<(&Step, Heard)> {
        let answers = self.past.iter().rev().flat_map(|past| {
            let answers = past.answers.iter();
            answers.map(|(of, heard)| (past.at, *of, heard))
        });
        let mut of_message = answers.filter(|(_, of, _)| same(&self.past[*of].step));
        let (at, of, heard) = of_message.next()?;
        let live = at.plus_ms(FIRST_ANSWER_MS) > self.at;
        live.then(|| (&self.past[of].step, heard.clone()))
    }

    /// What was last said of a message.
    pub fn answer_to(&self, place: usize) -> Option<&Heard> {
        let mut answers = self.past.iter().rev().flat_map(|past| &past.answers);
        answers.find(|(of, _)| *of == place).map(|(_, heard)| heard)
    }

    /// The same request, known by what it opened or added to still: it gets the same answer. A no of ours comes
    /// first; a yes is none any more once it `is_reversed`; of several the one opened last.
    pub fn answered_before(
        &self,
        payment: &Payment,
        is_reversed: bool,
    ) -> Option<(&Payment, Heard)> {
        let shares = |place: usize| {
            let (one, other) = (self.names_at(place), payment.names);
            let pairs = [
                (one.rrn, other.rrn),
                (one.sent, other.sent),
                (one.local, other.local),
            ];
            pairs
                .into_iter()
                .any(|(one, other)| one > 0 && one == other)
        };
        let is_named = |(_, line): &&(usize, Line)| line.opens_on.is_some() || line.part.is_some();
        let of_card = self.nameable(payment.card);
        let candidates = of_card.filter(|known| {
            known
                .lines
                .iter()
                .filter(is_named)
                .any(|(place, _)| shares(*place))
        });
        let found = candidates.filter_map(|known| {
            let mut lines = known.lines.iter().filter(is_named);
            lines.find_map(|(place, _)| match &self.past[*place].step {
                Step::Authorize(first)
                    if (first.name, first.posts) == (payment.name, payment.posts) =>
                {
                    Some((first, self.answer_to(*place)?.clone()))
                }
                _ => None,
            })
        });
        let found: Vec<_> = found
            .filter(|(_, heard)| *heard != Heard::Waiting)
            .collect();
        let is_early = self.is_reversed_early(payment.card, payment.names);
        let noes = found.iter().rfind(|(_, heard)| !heard.is_approval());
        let answer = match noes {
            Some(no) => Some(no).filter(|_| !is_early),
            None => found.last().filter(|_| !is_reversed),
        };
        answer.cloned()
    }

    /// Where the approval was that came so many before the last one.
    pub fn approval(&self, back: usize) -> Option<usize> {
        let approvals = self.past.iter().enumerate().rev().filter(|(_, past)| {
            let came = &past.came;
            matches!(past.step, Step::Authorize(_))
                && (matches!(came, Came::Waiting { .. } | Came::Increased { .. })
                    || matches!(
                        came,
                        Came::Approved { .. } | Came::Partial { .. } | Came::Balances { .. }
                    ))
        });
        let mut places = approvals.map(|(place, _)| place);
        places.nth(back)
    }

    /// The same, if somebody may still wait for an answer.
    pub fn recent_approval(&self, back: usize) -> Option<usize> {
        let place = self.approval(back)?;
        let recent = self.past[place].at.plus_ms(FIRST_ANSWER_MS) > self.at;
        recent.then_some(place)
    }
}

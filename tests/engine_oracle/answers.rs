//! What the network hears, and hears again when it repeats a message: the answer of then, or what became of it.

use super::*;

impl View<'_> {
    /// What a step tells the network.
    pub fn answers(&self, step: &Step, came: &Came, lines: &[Line]) -> Vec<Told> {
        let own = match (step, came) {
            (_, Came::First(_) | Came::Duplicate)
            | (_, Came::Declined(DeclineReason::DuplicateTransmission)) => None,
            (Step::Authorize(_) | Step::Advise { .. } | Step::Reverse { .. }, came) => Some(Told {
                of: self.here(),
                heard: heard(came),
                is_with_it: matches!(step, Step::Authorize(_))
                    && !matches!(came, Came::Waiting { .. })
                    && lines.iter().any(|line| line.opens_on.is_some()),
            }),
            _ => None,
        };
        let others = self.answers_to_others(step, came, lines);
        own.into_iter().chain(others).collect()
    }

    /// To what waited, and to what came too late.
    fn answers_to_others(&self, step: &Step, came: &Came, lines: &[Line]) -> Vec<Told> {
        let told = |of, heard| Told {
            of,
            heard,
            is_with_it: true,
        };
        let waited = lines.iter().filter(|line| {
            let known = self.known_at(line.of);
            known.is_some_and(|known| known.waits)
        });
        let one = |one: &Resolution| told(one.of, one.heard.clone());
        match (step, came) {
            (Step::Withhold { back }, Came::Withheld(undone)) => {
                let of = self.approval(*back).unwrap();
                vec![Told {
                    is_with_it: undone.is_some(),
                    ..told(of, Heard::Declined(DeclineReason::AnswerTooLate))
                }]
            }
            (_, Came::Resolved(resolution)) => vec![one(resolution)],
            (_, Came::TimedOut(all)) => all.iter().map(one).collect(),
            // The network has decided.
            (_, Came::Advised(advice)) => {
                let available = advice.available;
                let heard = |line: &Line| self.heard_after(line, available);
                waited.map(|line| told(line.of, heard(line))).collect()
            }
            // What it was of is not to be, whoever ended it before its customer could decide.
            _ => {
                let reason = DeclineReason::ReversedBeforeOriginal;
                let ended = waited.filter(|line| line.end.is_some());
                ended
                    .map(|line| told(line.of, Heard::Declined(reason)))
                    .collect()
            }
        }
    }

    /// What is heard of what waited, once the network has gone on: nothing of what does not stand, of a single
    /// message what was posted if its terminal takes parts, of others what was decided.
    fn heard_after(&self, line: &Line, available: i64) -> Heard {
        let known = self.of(line.of);
        let (held, posted) = (known.held.plus(line.held), known.posted.plus(line.posted));
        if held.plus(posted) == Both::default() {
            return Heard::Declined(DeclineReason::ReversedBeforeOriginal);
        }
        let takes_part = known.payment.posts && known.payment.can_be_in_part();
        if takes_part && posted.local < known.approved.local {
            let approved = posted.local;
            return Heard::Partial { approved };
        }
        match self.past[line.of].came {
            Came::Waiting {
                part: Some(approved),
                ..
            } => Heard::Partial { approved },
            _ => Heard::Approved { available },
        }
    }

    /// The first of these messages, if it is not forgotten: itself, and what was heard of it.
    pub fn first_answer(&self, same: impl Fn(&Step) -> bool) -> Option<(&Step, Heard)> {
        let (at, told) = self.last_answer(&same)?;
        let recalled = self
            .recalled
            .iter()
            .rev()
            .find_map(|recalled| match &recalled.what {
                Recall::Answer(told) if same(&self.past[told.of].step) => Some((recalled.at, told)),
                _ => None,
            });
        let (at, told) = recalled
            .filter(|(then, _)| *then >= at)
            .unwrap_or((at, told));
        let live = at.plus_ms(FIRST_ANSWER_MS) > self.at;
        live.then(|| (&self.past[told.of].step, told.heard.clone()))
    }

    /// What was last said of these messages, and when.
    pub fn last_answer(&self, same: impl Fn(&Step) -> bool) -> Option<(Timestamp, &Told)> {
        let mut answers = self.past.iter().rev().flat_map(|past| {
            let answers = past.answers.iter();
            answers.map(|told| (past.at, told))
        });
        answers.find(|(_, told)| same(&self.past[told.of].step))
    }

    /// What was last said of a message.
    pub fn answer_to(&self, place: usize) -> Option<&Heard> {
        let mut answers = self.past.iter().rev().flat_map(|past| &past.answers);
        let told = answers.find(|told| told.of == place);
        told.map(|told| &told.heard)
    }

    /// What is kept of it with what it opened or added to. What the network had reversed before we took it back keeps
    /// its answer.
    fn kept_answer(&self, place: usize) -> Option<&Heard> {
        let late = Heard::Declined(DeclineReason::AnswerTooLate);
        let mut answers = self.past.iter().rev().flat_map(|past| &past.answers);
        let kept = |told: &&Told| told.of == place && (told.is_with_it || told.heard != late);
        answers.find(kept).map(|told| &told.heard)
    }

    /// The same request, known by what it opened or added to still: it gets the same answer. A no of ours comes
    /// first; a yes is none any more once it `is_reversed`; of several the one opened last.
    pub fn answered_before(
        &self,
        payment: &Payment,
        is_reversed: bool,
    ) -> Option<(&Payment, Heard)> {
        let shares = |place: usize| self.names_at(place).share(payment.names);
        let is_named = |(_, line): &&(usize, Line)| line.opens_on.is_some() || line.part.is_some();
        let of_card = self.nameable_to(payment);
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
                    Some((first, self.kept_answer(*place)?.clone()))
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

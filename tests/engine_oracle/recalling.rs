//! What is kept of the forgotten, and comes back for a message that is about it. Messages with an odd name say that they
//! came before, whether they did or not.

use super::*;

pub fn is_marked(name: u8) -> bool {
    name % 2 == 1
}

/// What came back, and when.
#[derive(Debug, Clone)]
pub struct Recalled {
    pub at: Timestamp,
    pub what: Recall,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Recall {
    Authorization(usize),
    Answer(Told),
}

impl Engine {
    pub fn with_archive() -> Engine {
        let mut engine = Engine::new(1);
        engine.kept = Some(engine_support::kept::Kept::of(&mut engine.switch));
        engine
    }

    /// What the command needs of the forgotten is recalled before it.
    pub fn command(&mut self, root: AccountId, action: Action) -> Outcome {
        match &mut self.kept {
            Some(kept) => {
                kept.take(&mut self.switch.world);
                kept.command(&mut self.switch, root, action)
            }
            None => self.switch.command(root, action),
        }
    }
}

impl Naive {
    /// Brings back what a step needs.
    pub fn recall(&mut self, step: &Step) {
        let at = self.at;
        let needed = match self.has_archive {
            true => self.view().needed(step),
            false => vec![],
        };
        let recalled = needed.into_iter().map(|what| Recalled { at, what });
        self.recalled.extend(recalled);
    }
}

/// What a message is looked up by where nothing counts any more that it is about.
struct Lookup {
    /// By names, and which way it goes.
    sought: Vec<(Names, Option<bool>)>,
    /// Its first answer too.
    answer: bool,
}

impl View<'_> {
    fn needed(&self, step: &Step) -> Vec<Recall> {
        if self
            .first_answer(|other| is_same_message(step, other))
            .is_some()
        {
            return vec![];
        }
        let (changed, lookup) = match step {
            Step::Withhold { back } => {
                let place = self.recent_approval(*back);
                (place.and_then(|place| self.known_at(place)), None)
            }
            Step::Authorize(request) => (None, self.lookup_of_request(request)),
            Step::Reverse {
                card, name, names, ..
            } => self.lookup_of_reversal(*card, *name, *names),
            Step::Advise { payment, .. } => self.lookup_of_advice(payment),
            _ => return vec![],
        };
        // What is closed comes back also from where it is known still, before it is changed.
        let changed = changed.filter(|known| !known.is_open());
        let mut places: Vec<usize> = changed.map(|known| known.place).into_iter().collect();
        let mut needed = Vec::new();
        if let Some(lookup) = lookup {
            let card = card_of(step);
            for (names, is_credit) in &lookup.sought {
                let found = self.meant_among(card, *names, *is_credit, true).place();
                let Some(found) = found.filter(|place| !places.contains(place)) else {
                    continue;
                };
                places.push(found);
                let anew = self.opened_anew(found);
                let shares = anew.filter(|anew| {
                    self.is_forgotten(anew)
                        && !places.contains(&anew.place)
                        && self.is_among(anew, &lookup.sought)
                });
                places.extend(shares.map(|anew| anew.place));
            }
            let last = self.last_answer(|other| is_same_message(step, other));
            let alone = last.filter(|(_, told)| !told.is_with_it);
            let alone = alone.filter(|_| lookup.answer);
            needed.extend(alone.map(|(_, told)| Recall::Answer(told.clone())));
        }
        needed.extend(places.into_iter().map(Recall::Authorization));
        needed
    }

    /// Whether it or a part of it shares a name with one of these.
    fn is_among(&self, known: &Known, all: &[(Names, Option<bool>)]) -> bool {
        let mut lines = known
            .lines
            .iter()
            .filter(|(_, line)| line.opens_on.is_some() || line.part.is_some());
        lines.any(|(place, _)| {
            let own = self.names_at(*place);
            all.iter().any(|(names, _)| names.share(own))
        })
    }

    /// A request that says it is a repeat, and is not known as one; a refund of what is not known any more.
    fn lookup_of_request(&self, request: &Payment) -> Option<Lookup> {
        let is_reversed = self.is_reversed(request);
        let is_known = is_reversed || self.answered_before(request, is_reversed).is_some();
        if is_known {
            return None;
        }
        let answer = is_marked(request.name);
        let mut sought = vec![];
        sought.extend(answer.then_some((request.names, None)));
        sought.extend(self.purchase_sought(request));
        (!sought.is_empty()).then_some(Lookup { sought, answer })
    }

    fn purchase_sought(&self, refund: &Payment) -> Option<(Names, Option<bool>)> {
        let purchase = Some(false);
        let is_unknown = self.meant(refund.card, refund.of, purchase) == Meant::Unknown;
        (refund.kind == Kind::Refund && is_unknown).then_some((refund.of, purchase))
    }

    fn lookup_of_reversal(
        &self,
        card: u64,
        name: u8,
        names: Names,
    ) -> (Option<&Known<'_>>, Option<Lookup>) {
        let meant = self.meant(card, names, None);
        let known = meant.place().map(|place| self.of(place));
        let is_unknown = meant == Meant::Unknown;
        let lookup = (is_marked(name) || is_unknown).then(|| Lookup {
            sought: is_unknown.then_some((names, None)).into_iter().collect(),
            answer: true,
        });
        (known.filter(|known| !known.ended(End::Reversed)), lookup)
    }

    fn lookup_of_advice(&self, advice: &Payment) -> (Option<&Known<'_>>, Option<Lookup>) {
        let is_credit = (advice.kind != Kind::Other).then_some(advice.is_credit());
        let meant = match advice.asks_only() {
            // It goes the way of no payment.
            true if self.is_reversed_early(advice.card, advice.of) => Meant::Early,
            true => Meant::Unknown,
            false => self.meant(advice.card, advice.of, is_credit),
        };
        let known = meant.place().map(|place| self.of(place));
        let is_unknown = meant == Meant::Unknown;
        let mut sought = vec![];
        if is_unknown && !advice.asks_only() {
            sought.push((advice.of, is_credit));
            sought.extend((advice.names != advice.of).then_some((advice.names, is_credit)));
        }
        if known.is_none_or(|known| known.posted_at_once) {
            sought.extend(self.purchase_sought(advice));
        }
        let is_wanted = is_marked(advice.name) || is_unknown || !sought.is_empty();
        let answer = true;
        let lookup = is_wanted.then_some(Lookup { sought, answer });
        let changes =
            |known: &&Known| advice.posts || known.ended(End::Released) || known.is_taken_back;
        (known.filter(changes), lookup)
    }
}

fn card_of(step: &Step) -> u64 {
    match step {
        Step::Authorize(payment) | Step::Advise { payment, .. } => payment.card,
        Step::Reverse { card, .. } => *card,
        _ => unreachable!("nothing else is about a card"),
    }
}

/// Whether two messages have one identity.
fn is_same_message(one: &Step, other: &Step) -> bool {
    match (one, other) {
        (Step::Authorize(one), Step::Authorize(other)) => {
            (one.card, one.name, one.posts) == (other.card, other.name, other.posts)
        }
        (Step::Advise { payment: one, .. }, Step::Advise { payment: other, .. }) => {
            (one.card, one.name, one.posts) == (other.card, other.name, other.posts)
        }
        (
            Step::Reverse { card, name, .. },
            Step::Reverse {
                card: of,
                name: same,
                ..
            },
        ) => (card, name) == (of, same),
        _ => false,
    }
}

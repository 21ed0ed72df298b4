//! What happened, in order, and what it adds up to: authorizations, balances, states. What is decided on it does
//! not live here.

use super::*;

/// How an authorization ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    Released,
    Completed,
    Reversed,
}

/// An amount in the account's currency and in that of the message; of a credit, only what is posted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Both {
    pub account: i64,
    pub local: i64,
}

impl Both {
    pub fn each(self, other: Both, of: impl Fn(i64, i64) -> i64) -> Both {
        Both {
            account: of(self.account, other.account),
            local: of(self.local, other.local),
        }
    }

    pub fn plus(self, other: Both) -> Both {
        self.each(other, |one, other| one + other)
    }

    pub fn minus(self, other: Both) -> Both {
        self.each(other, |one, other| one - other)
    }

    pub fn negative(self) -> Both {
        Both::default().minus(self)
    }

    /// As much of it as there is.
    pub fn of(self, there: Both) -> Both {
        self.each(there, |one, there| one.clamp(there.min(0), there.max(0)))
    }

    /// What is more than what stays, in the currency of the message. What stays is rounded for the network: up of
    /// what it is owed, down of what it owes.
    pub fn above(self, stays: i64) -> Both {
        let size = self.local.abs();
        if stays == 0 {
            return self;
        }
        if stays >= size {
            return Both::default();
        }
        let exact = i128::from(self.account) * i128::from(stays);
        let share = exact.div_euclid(size.into()) + i128::from(exact.rem_euclid(size.into()) > 0);
        self.minus(Both {
            account: share as i64,
            local: self.local.signum() * stays,
        })
    }
}

/// What one message, or the end of its time, did to an authorization.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line {
    /// Where in the past the authorization was opened.
    pub of: usize,
    /// It opens it, on this account.
    pub opens_on: Option<u64>,
    /// Added to what it holds, to what is posted for it, and to what is kept of that.
    pub held: Both,
    pub posted: Both,
    pub kept: Kept,
    /// How it stands closed; also where it was before, and is remembered anew.
    pub end: Option<End>,
    /// It has a name of its own, and can be reversed alone.
    pub part: Option<Part>,
    /// Where the part is that this reverses, and whether it reverses the whole of it.
    pub undoes: Option<(usize, bool)>,
    /// The time of the hold begins anew.
    pub renews: bool,
    /// It says what all of the hold is: what was added before has no amount of its own any more.
    pub states_all: bool,
    /// Its customer said yes: what it stands at now is what was approved.
    pub confirms: bool,
    /// It ends it as something that the network was never given.
    pub takes_back: bool,
    /// It opens anew what was over, and was opened there.
    pub stands_in_for: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part {
    Increment,
    Completion,
}

/// What happened, in order. Everything else is added up from here.
#[derive(Debug, Clone)]
pub struct Happened {
    pub at: Timestamp,
    pub step: Step,
    pub came: Came,
    /// The controls of the card, for what is counted.
    pub controls: Controls,
    pub lines: Vec<Line>,
    /// It is part of the history of its card.
    pub in_history: bool,
    /// What a refund gave back of limits, or was taken again of it.
    pub given: Vec<Given>,
    /// The exceptions that what is opened here needs, of those with a number of uses.
    pub excepted: Vec<usize>,
    /// What it charged for declines.
    pub fees: Vec<OnDecline>,
    /// What the network is told from now on about messages, mostly about this one.
    pub answers: Vec<Told>,
}

impl Happened {
    /// The message at a place, approved or waiting before, is declined with this after all.
    pub fn tells_no_to(&self, place: usize) -> bool {
        let mut answers = self.answers.iter();
        answers.any(|told| told.of == place && matches!(told.heard, Heard::Declined(_)))
    }
}

/// What is told of the message at a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub of: usize,
    pub heard: Heard,
    /// What the message opened keeps it too, and nobody else does.
    pub is_with_it: bool,
}

#[derive(Debug, Default)]
pub struct Naive {
    pub at: Timestamp,
    pub has_rules: bool,
    /// Declines cost.
    pub has_fees: bool,
    pub past: Vec<Happened>,
    /// What is forgotten is kept elsewhere, and comes back.
    pub has_archive: bool,
    pub recalled: Vec<Recalled>,
}

/// An authorization, added up from its lines.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    /// Where in the past it was opened.
    pub place: usize,
    pub opened: Timestamp,
    pub payment: Payment,
    pub account: u64,
    pub controls: &'a Controls,
    pub held: Both,
    pub posted: Both,
    pub kept: Kept,
    /// What it was approved for.
    pub approved: Both,
    /// A single message, posted when it was approved.
    pub posted_at_once: bool,
    /// Its customer has not decided yet.
    pub waits: bool,
    /// When it last changed its standing since it is closed, and how it stands.
    pub closed: Option<(Timestamp, End)>,
    /// We ended it ourselves, and told the network that it never was.
    pub is_taken_back: bool,
    pub due: Timestamp,
    /// Each with its place in the past.
    pub lines: Vec<(usize, Line)>,
}

impl Known<'_> {
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    pub fn ended(&self, end: End) -> bool {
        self.closed.is_some_and(|(_, how)| how == end)
    }

    /// What was approved of it at first; of a credit nothing.
    pub fn taken(&self) -> i64 {
        self.approved.account.max(0)
    }

    /// An amount in the currency of this one, of a message in its own: as much as the cents were worth at first.
    pub fn local_of(&self, case: u8, local: i64, cents: i64) -> i64 {
        match self.approved.account {
            0 => local,
            _ if case == self.payment.case => local,
            of => {
                let exact = i128::from(cents.abs()) * i128::from(self.approved.local.abs());
                let of = i128::from(of.abs());
                (exact / of + i128::from(exact % of > 0)) as i64
            }
        }
    }

    /// What is left of a part.
    pub fn left(&self, place: usize) -> Both {
        let own = self.lines.iter().filter(|(of, line)| {
            (*of == place && line.part.is_some())
                || line.undoes.is_some_and(|(part, _)| part == place)
        });
        // A completion also gives back of the hold, which is not its own.
        own.map(|(_, line)| match self.is_increment(place) {
            true => line.held,
            false => line.posted,
        })
        .fold(Both::default(), Both::plus)
    }

    /// Whether the message of this place added to it.
    pub fn is_increment(&self, place: usize) -> bool {
        let mut lines = self.lines.iter();
        lines.any(|(of, line)| *of == place && line.part == Some(Part::Increment))
    }

    pub fn is_undone(&self, place: usize) -> bool {
        let mut lines = self.lines.iter();
        lines.any(|(_, line)| line.undoes == Some((place, true)))
    }

    /// Whether a part was added to the hold before it was stated as a whole.
    pub fn is_in_what_was_stated(&self, place: usize) -> bool {
        let mut later = self.lines.iter().filter(|(of, _)| *of > place);
        self.is_increment(place) && later.any(|(_, line)| line.states_all)
    }

    pub fn standing(&self, end: Option<End>, posted: i64) -> Standing {
        match end.or(self.closed.map(|(_, how)| how)) {
            None if posted == 0 => Standing::Pending,
            None => Standing::PartiallyCleared,
            Some(End::Released) => Standing::Expired,
            Some(End::Completed) => Standing::Cleared,
            Some(End::Reversed) => Standing::Reversed,
        }
    }
}

/// The past, and the authorizations as they stand after it.
pub struct View<'a> {
    pub at: Timestamp,
    pub has_rules: bool,
    pub has_fees: bool,
    pub recalled: &'a [Recalled],
    pub past: &'a [Happened],
    pub known: Vec<Known<'a>>,
}

#[derive(Debug, Clone, Copy)]
pub struct CardState {
    pub activated: bool,
    pub frozen: bool,
    /// What a network hears of it.
    pub closed: Option<DeclineReason>,
}

impl Naive {
    pub fn view(&self) -> View<'_> {
        let mut known: Vec<Known> = Vec::new();
        for (place, past) in self.past.iter().enumerate() {
            for line in &past.lines {
                if line.of == place {
                    let payment = match past.step {
                        Step::Authorize(payment) | Step::Advise { payment, .. } => payment,
                        _ => unreachable!("only payments open authorizations"),
                    };
                    known.push(Known {
                        place,
                        opened: past.at,
                        payment,
                        account: line.opens_on.expect("it opens on an account"),
                        controls: &past.controls,
                        held: Both::default(),
                        posted: Both::default(),
                        kept: Kept::default(),
                        approved: line.held.plus(line.posted),
                        posted_at_once: line.end == Some(End::Completed),
                        waits: false,
                        closed: None,
                        is_taken_back: false,
                        due: past.at.plus_ms(HOLD_MS),
                        lines: Vec::new(),
                    });
                }
                let found = known.iter_mut().find(|known| known.place == line.of);
                let found = found.expect("a line is of what was opened");
                found.held = found.held.plus(line.held);
                found.posted = found.posted.plus(line.posted);
                found.kept = found.kept.plus(line.kept);
                if line.renews {
                    found.due = past.at.plus_ms(HOLD_MS);
                }
                if let Some(end) = line.end {
                    found.closed = Some((past.at, end));
                    found.is_taken_back = line.takes_back;
                }
                if line.confirms {
                    found.approved = found.held.plus(found.posted);
                    found.posted_at_once = line.end == Some(End::Completed);
                }
                found.lines.push((place, *line));
            }
            for told in &past.answers {
                let waiting = known.iter_mut().find(|known| known.place == told.of);
                if let Some(waiting) = waiting {
                    waiting.waits = told.heard == Heard::Waiting;
                }
            }
        }
        View {
            at: self.at,
            has_rules: self.has_rules,
            has_fees: self.has_fees,
            recalled: &self.recalled,
            past: &self.past,
            known,
        }
    }

    pub fn decide(&self, step: &Step) -> (Came, Vec<Line>) {
        self.view().decide(step)
    }

    pub fn note(&mut self, step: &Step, came: Came, lines: Vec<Line>) {
        let controls = match step {
            Step::Authorize(payment) | Step::Advise { payment, .. } => {
                self.view().controls(payment.card)
            }
            _ => Controls::default(),
        };
        let fees = self.view().charges(step, &came);
        let in_history = self.view().notes_history(step, &came);
        let answers = self.view().answers(step, &came, &lines);
        let given = self.view().given(step, &lines);
        let opens = lines.iter().find_map(|line| {
            let taken = line.held.plus(line.posted).account;
            line.opens_on.filter(|_| taken > 0).map(|on| (on, taken))
        });
        let excepted = match (step, opens) {
            (Step::Authorize(payment) | Step::Advise { payment, .. }, Some((account, taken))) => {
                self.view().excepted(payment, account, taken)
            }
            _ => Vec::new(),
        };
        let (at, step) = (self.at, step.clone());
        self.past.push(Happened {
            at,
            step,
            came,
            controls,
            lines,
            in_history,
            given,
            excepted,
            fees,
            answers,
        });
    }
}

/// How the time of a hold ends it.
pub fn ends_by(known: &Known) -> End {
    match known.posted.account {
        0 => End::Released,
        _ => End::Completed,
    }
}

impl View<'_> {
    /// The place of what is decided now.
    pub fn here(&self) -> usize {
        self.past.len()
    }

    pub fn of(&self, place: usize) -> &Known<'_> {
        let mut known = self.known.iter();
        known.find(|known| known.place == place).unwrap()
    }

    /// What was opened at a place, if anything was.
    pub fn known_at(&self, place: usize) -> Option<&Known<'_>> {
        self.known.iter().find(|known| known.place == place)
    }

    pub fn posted(&self, account: u64) -> i64 {
        let top_ups = self
            .past
            .iter()
            .filter_map(|past| match (&past.step, &past.came) {
                (
                    Step::TopUp {
                        account: to,
                        amount,
                        ..
                    },
                    Came::Done,
                ) if *to == account => Some(*amount),
                _ => None,
            });
        let (ours, resellers) = self.fees(account);
        top_ups.sum::<i64>() + self.moved(account) - self.charged(account) - ours - resellers
    }

    pub fn of_account(&self, account: u64) -> impl Iterator<Item = &Known<'_>> {
        let known = self.known.iter();
        known.filter(move |known| known.account == account)
    }

    /// What payments and refunds took from an account.
    pub fn charged(&self, account: u64) -> i64 {
        let known = self.of_account(account);
        known.map(|known| known.posted.account).sum()
    }

    pub fn kept(&self, account: u64) -> Kept {
        let known = self.of_account(account);
        known.fold(Kept::default(), |kept, known| kept.plus(known.kept))
    }

    pub fn held(&self, account: u64) -> i64 {
        let known = self.of_account(account);
        known.map(|known| known.held.account).sum()
    }

    pub fn open_holds(&self, account: u64) -> usize {
        let known = self.of_account(account);
        known.filter(|known| known.is_open()).count()
    }

    pub fn available(&self, account: u64) -> i64 {
        self.posted(account) - self.held(account) + self.credit_line(account)
    }

    /// What a message of this card may still name: what is open, and what was closed, or came back, within a day.
    pub fn nameable(&self, card: u64) -> impl Iterator<Item = &Known<'_>> {
        let of_card = self.known.iter();
        let of_card = of_card.filter(move |known| known.payment.card == card);
        of_card.filter(|known| !self.is_forgotten(known))
    }

    /// The same for a request: what came back for others is nothing to one that does not say that it came before.
    pub fn nameable_to(&self, request: &Payment) -> impl Iterator<Item = &Known<'_>> {
        let is_marked = is_marked(request.name);
        self.nameable(request.card).filter(move |known| {
            let lasts = |(since, _): (Timestamp, _)| since.plus_ms(REVERSAL_MS) > self.at;
            is_marked || known.closed.is_none_or(lasts)
        })
    }

    pub fn is_forgotten(&self, known: &Known) -> bool {
        let recalls = self.recalled.iter();
        let recalls =
            recalls.filter(|recalled| recalled.what == Recall::Authorization(known.place));
        let last = recalls.map(|recalled| recalled.at).max();
        known.closed.is_some_and(|(since, _)| {
            let from = last.map_or(since, |at| at.max(since));
            from.plus_ms(REVERSAL_MS) <= self.at
        })
    }

    /// Where the authorizations were opened whose holds have lasted as long as they may, in order.
    pub fn due(&self) -> Vec<usize> {
        let open = self.known.iter().filter(|known| known.is_open());
        let due = open.filter(|known| known.due <= self.at);
        let mut due: Vec<_> = due.map(|known| (known.due, known.place)).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, place)| place).collect()
    }

    pub fn card_state(&self, card: u64) -> CardState {
        self.card_state_before(card, self.here())
    }

    pub fn card_state_before(&self, card: u64, place: usize) -> CardState {
        let mut state = self.begins(card);
        for past in self.past[..place]
            .iter()
            .filter(|past| past.came == Came::Done)
        {
            match past.step {
                Step::Status { card: of, change } if of == card => match change {
                    StatusChange::Activate => state.activated = true,
                    StatusChange::Freeze => state.frozen = true,
                    StatusChange::Unfreeze => state.frozen = false,
                    _ => state.closed = Some(DeclineReason::CardClosed),
                },
                Step::Reissue { card: of, reason } if of == card => {
                    state.closed = Some(heard_of(reason));
                }
                _ => {}
            }
        }
        // Once it is closed nobody unfreezes it.
        state.frozen &= state.closed.is_none();
        state
    }

    /// What was last done to an account; freeing it where nothing was.
    pub fn account_state(&self, account: u64) -> AccountStatusChange {
        let changes = self.past.iter().rev().find_map(|past| match &past.step {
            Step::AccountStatus {
                account: of,
                change,
            } if *of == account && past.came == Came::Done => Some(*change),
            _ => None,
        });
        changes.unwrap_or(AccountStatusChange::Unfreeze)
    }

    pub fn controls(&self, card: u64) -> Controls {
        let changes = self.past.iter().rev().find_map(|past| match &past.step {
            Step::Controls { card: of, choice }
                if is_of_chain(*of, card) && past.came == Came::Done =>
            {
                Some(controls_of(*choice))
            }
            _ => None,
        });
        changes.unwrap_or_default()
    }
}

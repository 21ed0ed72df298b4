//! Decides advices and completions: what the network has done is carried out, whatever the rules say.

use super::*;

/// An advice, the account that it is about, and what it comes to.
#[derive(Debug, Clone, Copy)]
pub struct Carried<'a> {
    pub payment: &'a Payment,
    pub account: u64,
    pub amount: Both,
}

impl Carried<'_> {
    /// The amount with its second part in the currency of an authorization.
    fn amount_for(&self, known: &Known) -> Both {
        let Both { account, local } = self.amount;
        Both {
            account,
            local: known.local_of(self.payment.case, local, account),
        }
    }
}

impl View<'_> {
    /// What the network has done is carried out, whatever the rules say.
    pub fn advise(
        &self,
        payment: &Payment,
        was_declined: bool,
        is_final: bool,
    ) -> (Came, Vec<Line>) {
        let first = self.first_answer(|step| match step {
            Step::Advise { payment: first, .. } => {
                (first.card, first.name, first.posts) == (payment.card, payment.name, payment.posts)
            }
            _ => false,
        });
        let asked = (payment.asks(), was_declined);
        match first {
            Some((
                Step::Advise {
                    payment: first,
                    was_declined,
                    ..
                },
                heard,
            )) if (first.asks(), *was_declined) == asked => {
                return (Came::First(heard), vec![]);
            }
            Some(_) => return (Came::Duplicate, vec![]),
            None => {}
        }
        // It is about the account of its original, or else the card's first.
        let is_credit = (payment.kind != Kind::Other).then_some(payment.is_credit());
        let meant = self.meant(payment.card, payment.of, is_credit);
        let known = meant.place().filter(|_| !payment.asks_only());
        let known = known.map(|place| self.of(place));
        let account = known.map_or(account_of_card(payment.card), |known| known.account);
        let comes_to = payment.comes_to().filter(|amount| *amount >= 0);
        let is_early = self.is_reversed_early(payment.card, payment.names);
        let is_repeated = comes_to.is_some_and(|amount| self.is_repeated(payment, amount));
        for (raised, flag) in [
            (was_declined, "stand_in_decline"),
            (comes_to.is_none(), "not_postable"),
            (payment.moves_nothing(), "moves_nothing"),
            (is_early, "reversed_before"),
            (is_repeated, "repeated"),
        ] {
            if raised {
                return self.recorded(account, flag);
            }
        }
        let amount = Both {
            account: comes_to.unwrap(),
            local: payment.amount,
        };
        let told = Carried {
            payment,
            account,
            amount,
        };
        let how = known.and_then(|known| known.closed.map(|(_, how)| how));
        match (payment.posts, known, how) {
            // A second refund under the name of the first is one of its own.
            (true, Some(known), _) if known.payment.is_credit() && known.posted_at_once => {
                self.open(&told, None)
            }
            (true, Some(known), _) => {
                let nothing_more = known.waits && known.payment.posts;
                self.complete(&told, known, is_final || nothing_more)
            }
            (true, None, _) if meant == Meant::Early => self.open(&told, Some("after_reversal")),
            (_, None, _) if meant == Meant::Early => self.recorded(account, "reversed_before"),
            (_, None, _) => self.open(&told, None),
            // A single message has no later posting of its own, and nothing is added to it.
            (false, Some(known), None) if known.waits && known.payment.posts => {
                match payment.kind {
                    Kind::Incremental => self.open(&told, None),
                    _ => self.complete(&told, known, true),
                }
            }
            (false, Some(known), None) => self.amend(&told, known),
            (false, _, Some(End::Completed)) => self.recorded(account, "after_completion"),
            // Where we said no, the network may stand in.
            (false, Some(known), Some(End::Reversed))
                if known.is_taken_back && !self.is_reversed_early(payment.card, payment.of) =>
            {
                self.open_anew(&told, known, None)
            }
            (false, _, Some(End::Reversed)) => self.recorded(account, "reversed_before"),
            (false, Some(known), Some(End::Released)) => {
                self.open_anew(&told, known, Some("after_expiry"))
            }
        }
    }

    pub fn recorded(&self, account: u64, flag: &'static str) -> (Came, Vec<Line>) {
        let advice = Advice {
            what: What::Recorded,
            available: self.available(account),
            flags: vec![flag],
            breach: None,
        };
        (Came::Advised(advice), vec![])
    }

    /// What an advice came to, with one line; completes the flags.
    pub fn advised(
        &self,
        told: &Carried,
        (what, line): (What, Line),
        mut flags: Vec<&'static str>,
        breach: Option<DeclineReason>,
    ) -> (Came, Vec<Line>) {
        let before = self.available(told.account);
        let available = before - line.held.plus(line.posted).account;
        let takes = told.payment.takes_money() && told.amount.account > 0;
        if takes && available < 0 {
            flags.push("overdrawn");
        }
        let named: Vec<_> = Flags::ALL.iter().map(|(_, name)| *name).collect();
        flags.sort_by_key(|flag| named.iter().position(|name| name == flag));
        let advice = Advice {
            what,
            available,
            flags,
            breach,
        };
        (Came::Advised(advice), vec![line])
    }

    fn open_anew(
        &self,
        told: &Carried,
        known: &Known,
        flag: Option<&'static str>,
    ) -> (Came, Vec<Line>) {
        let (came, mut lines) = self.open(told, flag);
        for line in &mut lines {
            line.stands_in_for = Some(known.place);
        }
        (came, lines)
    }

    pub fn open(&self, told: &Carried, flag: Option<&'static str>) -> (Came, Vec<Line>) {
        let (payment, account) = (told.payment, told.account);
        if told.amount.account == 0 {
            let (came, lines) = self.recorded(account, "moves_nothing");
            return match (came, flag) {
                (Came::Advised(mut advice), Some(flag)) => {
                    advice.flags.insert(0, flag);
                    advice.flags.sort_unstable();
                    (Came::Advised(advice), lines)
                }
                (came, _) => (came, lines),
            };
        }
        let mut flags: Vec<_> = flag.into_iter().collect();
        if payment.posts && !payment.is_credit() && flag != Some("after_reversal") {
            flags.push("force_post");
        }
        let line = self.opening(payment, account, told.amount, payment.kept(None));
        let what = match payment.posts {
            true => What::ForcePosted {
                charged: line.posted.account,
            },
            false => What::Placed {
                held: line.held.account,
            },
        };
        let taken = Some(told.amount.account);
        let breach = sanity(payment).or_else(|| self.rules(payment, account, None, taken));
        self.advised(told, (what, line), flags, breach)
    }

    /// Gives what is open another amount, or adds to it.
    pub fn amend(&self, told: &Carried, known: &Known) -> (Came, Vec<Line>) {
        let (of, payment, before) = (known.place, told.payment, known.held);
        let adds = payment.kind == Kind::Incremental;
        let amount = told.amount_for(known);
        let after = match adds {
            _ if payment.is_credit() => Both::default(),
            true => before.plus(amount),
            false => amount,
        };
        let ends = before.account > 0 && after.account == 0;
        let end = ends.then(|| ends_by(known));
        let line = Line {
            of,
            held: after.minus(before),
            end,
            part: adds.then_some(Part::Increment),
            renews: true,
            states_all: !adds,
            ..Line::default()
        };
        let what = What::Amended {
            of,
            before: before.account,
            after: after.account,
            standing: known.standing(end, known.posted.account),
        };
        let breach = self.short_of(told, before.account);
        self.advised(told, (what, line), vec![], breach)
    }

    /// Posts against an authorization, whatever became of it.
    pub fn complete(&self, told: &Carried, known: &Known, is_final: bool) -> (Came, Vec<Line>) {
        let (of, payment, held) = (known.place, told.payment, known.held);
        let mut flags = vec![];
        if payment.takes_money() && told.amount.account > held.account {
            flags.push("exceeds_hold");
        }
        flags.extend(known.closed.map(|(_, how)| match how {
            End::Released => "after_expiry",
            End::Completed => "after_completion",
            End::Reversed => "after_reversal",
        }));
        let amount = told.amount_for(known);
        let charged = payment.charge(amount.account, amount.local);
        let ends = is_final || amount.account >= held.account;
        let released = if ends { held } else { amount.of(held) };
        let line = Line {
            of,
            held: released.negative(),
            posted: charged,
            kept: match charged.account {
                0 => Kept::default(),
                _ => payment.kept(None),
            },
            end: ends.then_some(End::Completed),
            part: Some(Part::Completion),
            ..Line::default()
        };
        let what = What::Completed {
            of,
            charged: charged.account,
            released: released.account,
            // One that stays open is cleared in part, but not by nothing.
            standing: match ends {
                true => Standing::Cleared,
                false => known.standing(None, known.posted.account + charged.account),
            },
        };
        let breach = self.short_of(told, held.account);
        self.advised(told, (what, line), flags, breach)
    }

    /// What was authorized is held against the money alone, and its own hold is part of that.
    pub fn short_of(&self, told: &Carried, held: i64) -> Option<DeclineReason> {
        let available = self.available(told.account) + held;
        (told.payment.takes_money() && told.amount.account > available)
            .then_some(DeclineReason::InsufficientFunds)
    }
}

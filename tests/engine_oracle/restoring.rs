//! What counts of limits, window by window: payments, and what refunds give back of them.

use super::*;
use std::collections::BTreeMap;

/// The limits of whoever has them, and what of a payment is counted under them.
pub type Limits = Vec<(Owner, Controls)>;

/// What a refund gave back to one window or bucket; below zero what was taken again when it was reversed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Given {
    /// Where in the past the refund was opened.
    pub of: usize,
    pub owner: Owner,
    pub card: u64,
    pub tree: u64,
    pub limit: u64,
    pub window: Window,
    /// A time at which it counted.
    pub counted: Timestamp,
    pub amount: i64,
}

/// Windows are told apart by their number, and buckets by theirs.
fn slot(limit: &Limit, at: Timestamp) -> i64 {
    match limit.window {
        Window::Rolling(window) => at.0 / (bucket_seconds(window) * 1_000),
        window => window_end(window, "UTC", at).map_or(0, |end| i64::from(end.0)),
    }
}

impl View<'_> {
    /// Whoever has limits that bind a card on an account: in the order in which they are looked at.
    pub fn limits_of(&self, card: u64, account: u64) -> Limits {
        let tree = root_of_account(account);
        let mut all = vec![(Owner::Program, program_controls())];
        for account in line_of(account) {
            all.push((Owner::Account(account), account_controls(account)));
        }
        if is_linked(card) {
            all.push((Owner::Link(tree), link_controls(tree)));
        }
        all.push((Owner::Card, self.controls(card)));
        all
    }

    /// Whether this is where an owner counts: on its own account, in its own tree, or on one card.
    fn is_of(owner: Owner, card: u64, known: &Known) -> bool {
        let tree = root_of_account(account_of_card(card));
        match owner {
            Owner::Card => is_of_chain(known.payment.card, card),
            Owner::Account(account) => line_of(known.account).contains(&account),
            Owner::Program => root_of_account(known.account) == tree,
            Owner::Link(of) => {
                is_linked(known.payment.card) && root_of_account(known.account) == of
            }
        }
    }

    /// Whether a payment is one that the limit counts, by the controls of then.
    pub fn is_counted(&self, owner: Owner, card: u64, limit: &Limit, known: &Known) -> bool {
        let same = |l: &Limit| {
            let is_same = l.id == limit.id && l.window == limit.window;
            is_same && self.counts(l, &known.payment, known.place)
        };
        let counted = match owner {
            Owner::Card => known.controls.limits.iter().any(same),
            _ => same(limit),
        };
        known.taken() > 0 && counted && View::is_of(owner, card, known)
    }

    /// When a limit counts how much of an authorization: when it was opened first, if it counts that, and then each time of
    /// another slot at which a request added to it. What is taken off it goes from the latest of those first.
    pub fn counted(
        &self,
        owner: Owner,
        card: u64,
        limit: &Limit,
        known: &Known,
    ) -> Vec<(Timestamp, i64)> {
        if limit.window == Window::Transaction || !View::is_of(owner, card, known) {
            return vec![];
        }
        let is_opening = self.is_counted(owner, card, limit, known);
        let mut counted = vec![];
        if is_opening {
            counted.push((known.opened, 0));
        }
        for (place, line) in &known.lines {
            let amount = line.held.plus(line.posted).account;
            let at = self.past[*place].at;
            let adds = self.counts_increment(owner, limit, *place, line, !counted.is_empty());
            if adds && amount > 0 {
                let same =
                    |(then, _): &&mut (Timestamp, i64)| slot(limit, *then) == slot(limit, at);
                match counted.iter_mut().find(same) {
                    Some((_, there)) => *there += amount,
                    None => counted.push((at, amount)),
                }
                continue;
            }
            let mut left = amount;
            for (_, there) in counted[usize::from(is_opening)..].iter_mut().rev() {
                let taken = (-left).clamp(0, *there);
                *there -= taken;
                left += taken;
            }
            if is_opening {
                counted[0].1 += left;
            }
            let mut place = 0;
            counted.retain(|(_, there)| {
                place += 1;
                *there > 0 || is_opening && place == 1
            });
        }
        counted
    }

    /// Whether a line is a request for more that this limit counts by itself: by what it says, or because it counts what
    /// it adds to.
    fn counts_increment(
        &self,
        owner: Owner,
        limit: &Limit,
        place: usize,
        line: &Line,
        counts_original: bool,
    ) -> bool {
        let past = &self.past[place];
        let Step::Authorize(payment) = past.step else {
            return false;
        };
        let is_there = match owner {
            Owner::Card => past.controls.limits.iter().any(|l| l.id == limit.id),
            _ => true,
        };
        let is_increment = line.part == Some(Part::Increment);
        is_increment && is_there && (counts_original || self.counts(limit, &payment, place))
    }

    /// What counts of a limit now, slot by slot, each with a time of its own. What was given back is gone; a
    /// payment that is undone after that may leave less than nothing, which is nothing.
    pub fn slots(&self, owner: Owner, card: u64, limit: &Limit) -> BTreeMap<i64, (Timestamp, i64)> {
        let tree = root_of_account(account_of_card(card));
        let known = self.known.iter();
        let counted = known.flat_map(|known| self.counted(owner, card, limit, known));
        let counted = counted.filter(|(at, _)| in_window(limit, *at, self.at));
        let is_given = |given: &&Given| {
            let same_owner = match owner {
                Owner::Card => given.owner == Owner::Card && is_of_chain(given.card, card),
                Owner::Program => given.owner == Owner::Program && given.tree == tree,
                owner => given.owner == owner,
            };
            let same = given.limit == limit.id.0 && given.window == limit.window;
            same_owner && same && in_window(limit, given.counted, self.at)
        };
        let given = self.past.iter().flat_map(|past| &past.given);
        let given = given.filter(is_given);
        let given = given.map(|given| (given.counted, -given.amount));
        let mut slots: BTreeMap<i64, (Timestamp, i64)> = BTreeMap::new();
        for (at, amount) in counted.chain(given) {
            let (_, used) = slots.entry(slot(limit, at)).or_insert((at, 0));
            *used += amount;
        }
        slots
    }

    /// What counts of a limit in the window of now: amount and number. An authorization counts in the window
    /// it was opened in, with what it holds and what was posted for it, but what requests added to it in another.
    pub fn used(&self, owner: Owner, card: u64, limit: &Limit) -> (i64, u32) {
        if limit.window == Window::Transaction {
            return (0, 0);
        }
        let amount = self
            .slots(owner, card, limit)
            .values()
            .map(|(_, used)| used)
            .sum::<i64>()
            .max(0);
        let counted = self.known.iter().filter(|known| {
            let stands_at = known.held.plus(known.posted).account;
            (known.is_open() || stands_at > 0)
                && self.is_counted(owner, card, limit, known)
                && in_window(limit, known.opened, self.at)
        });
        (amount, counted.count() as u32)
    }

    /// What a step gives back of limits, or takes again.
    pub fn given(&self, step: &Step, lines: &[Line]) -> Vec<Given> {
        let payment = match step {
            Step::Authorize(payment) | Step::Advise { payment, .. } => Some(payment),
            _ => None,
        };
        let refund = payment.filter(|payment| payment.kind == Kind::Refund);
        match (refund, lines) {
            (Some(refund), [line]) if line.posted.account < 0 => {
                self.given_by(refund, line.of, -line.posted.account)
            }
            (None, lines) => {
                let back = lines
                    .iter()
                    .filter(|line| line.posted.account > 0 && line.of < self.here());
                back.flat_map(|line| self.taken_again(line)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The place of the purchase that a step is a refund of.
    pub fn refund_of(&self, step: &Step) -> Option<usize> {
        match step {
            Step::Authorize(payment) | Step::Advise { payment, .. }
                if payment.kind == Kind::Refund =>
            {
                self.meant(payment.card, payment.of, Some(false)).place()
            }
            _ => None,
        }
    }

    fn given_by(&self, refund: &Payment, of: usize, amount: i64) -> Vec<Given> {
        let card = refund.card;
        let purchase = match self.meant(card, refund.of, Some(false)) {
            Meant::Early => return Vec::new(),
            meant => meant.place().map(|place| self.of(place)),
        };
        let account = purchase.map_or(account_of_card(card), |known| known.account);
        let as_purchase = Payment {
            kind: Kind::Purchase,
            ..*refund
        };
        let mut given = Vec::new();
        for (owner, controls) in self.limits_of(card, account) {
            for limit in controls.limits.iter().filter(|limit| limit.refunds_restore) {
                let mut left = amount;
                for (counted, used) in self.slots(owner, card, limit).into_values() {
                    let most = match purchase {
                        Some(known) => self.gives_back(owner, card, limit, known, counted),
                        None if self.counts(limit, &as_purchase, self.here()) => i64::MAX,
                        None => 0,
                    };
                    let amount = used.min(left).min(most);
                    if amount > 0 {
                        left -= amount;
                        given.push(Given {
                            of,
                            owner,
                            card,
                            tree: root_of_account(account),
                            limit: limit.id.0,
                            window: limit.window,
                            counted,
                            amount,
                        });
                    }
                }
            }
        }
        given
    }

    /// The most that a refund of a purchase gives back to a slot: all that is used where it was opened, and elsewhere
    /// what was added to it there.
    fn gives_back(
        &self,
        owner: Owner,
        card: u64,
        limit: &Limit,
        purchase: &Known,
        counted: Timestamp,
    ) -> i64 {
        if self.is_counted(owner, card, limit, purchase)
            && slot(limit, purchase.opened) == slot(limit, counted)
        {
            return i64::MAX;
        }
        let added = self.counted(owner, card, limit, purchase);
        let mut added = added.iter();
        let same = added.find(|(then, _)| slot(limit, *then) == slot(limit, counted));
        same.map_or(0, |(_, amount)| *amount)
    }

    /// A refund that stands at less has given back no more than that; what it gave last goes first.
    fn taken_again(&self, line: &Line) -> Vec<Given> {
        let refund = self.of(line.of);
        let stands_at = -(refund.posted.account + line.posted.account);
        let gave = self.past.iter().flat_map(|past| &past.given);
        let mut all: Vec<Given> = Vec::new();
        for given in gave.filter(|given| given.of == line.of) {
            let same = |other: &&mut Given| {
                let slot = |given: &Given| {
                    let limit = limit(given.limit, given.window, None, None);
                    (given.owner, given.limit, slot(&limit, given.counted))
                };
                slot(other) == slot(given)
            };
            match all.iter_mut().find(same) {
                Some(other) => other.amount += given.amount,
                None => all.push(*given),
            }
        }
        let mut taken = Vec::new();
        for place in (0..all.len()).rev() {
            let same =
                |given: &&Given| (given.owner, given.limit) == (all[place].owner, all[place].limit);
            let total: i64 = all.iter().filter(same).map(|given| given.amount).sum();
            let excess = (total - stands_at).clamp(0, all[place].amount);
            if excess > 0 {
                all[place].amount -= excess;
                taken.push(Given {
                    amount: -excess,
                    ..all[place]
                });
            }
        }
        taken
    }
}

/// What the random days are worth: refunds give back to everybody's limits, by the name of their purchase and without,
/// bucket by bucket, no more than there is, and it is taken again.
#[test]
fn random_days_come_to_every_way_in_which_a_refund_gives_back() {
    let mut runner = TestRunner::deterministic();
    let mut missing = std::collections::BTreeSet::from([
        "by its name",
        "to nobody in particular",
        "to two buckets",
        "less than was refunded",
        "taken again",
        "program",
        "account",
        "link",
        "card",
    ]);
    for round in 0..2_000 {
        if missing.is_empty() {
            return;
        }
        let steps = match round % 2 {
            0 => any_steps().new_tree(&mut runner).unwrap().current(),
            _ => any_conversation().new_tree(&mut runner).unwrap().current(),
        };
        let mut naive = Naive {
            at: time("2026-11-24T10:00:00Z"),
            has_rules: true,
            ..Naive::default()
        };
        for step in &steps {
            if let Step::Wait { minutes } = step {
                naive.at = naive.at.plus_ms(minutes * MINUTE_MS);
            }
            let step = &naive.resent(step);
            let (came, lines) = naive.decide(step);
            let by_name = match step {
                Step::Authorize(refund)
                | Step::Advise {
                    payment: refund, ..
                } => {
                    let meant = naive.view().meant(refund.card, refund.of, Some(false));
                    meant.place().is_some()
                }
                _ => false,
            };
            naive.note(step, came, lines);
            let last = naive.past.last().unwrap();
            note_ways(last, by_name, &mut missing);
        }
    }
    panic!("no refund gave back {missing:?}");
}

fn note_ways(
    last: &Happened,
    by_name: bool,
    missing: &mut std::collections::BTreeSet<&'static str>,
) {
    let refunded: i64 = last.lines.iter().map(|line| -line.posted.account).sum();
    for given in &last.given {
        missing.remove(match given.owner {
            Owner::Program => "program",
            Owner::Account(_) => "account",
            Owner::Link(_) => "link",
            Owner::Card => "card",
        });
        if given.amount < 0 {
            missing.remove("taken again");
            continue;
        }
        missing.remove(if by_name {
            "by its name"
        } else {
            "to nobody in particular"
        });
        let same = |other: &&Given| (other.owner, other.limit) == (given.owner, given.limit);
        let of_limit: Vec<_> = last.given.iter().filter(same).collect();
        if of_limit.len() > 1 {
            missing.remove("to two buckets");
        }
        if of_limit.iter().map(|given| given.amount).sum::<i64>() < refunded {
            missing.remove("less than was refunded");
        }
    }
}

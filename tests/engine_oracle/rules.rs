//! The checks of a payment, in their order: states, money, limits, lists, risk rules and 3-D Secure.

use super::*;

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Owner {
    Program,
    Account(u64),
    /// The team of a tree.
    Link(u64),
    Card,
}

/// A request in the history of its card, as it was answered in the end.
pub struct OfHistory<'a> {
    pub payment: &'a Payment,
    pub asked_at: Timestamp,
    /// Nothing where its customer has not decided.
    pub answered_at: Option<Timestamp>,
    pub is_no: bool,
    /// And its customer was asked before.
    pub is_waited_no: bool,
    pub set_aside: i64,
}

/// Whether a purchase of then still counts now.
pub fn in_window(limit: &Limit, then: Timestamp, now: Timestamp) -> bool {
    match limit.window {
        Window::Transaction => false,
        Window::Rolling(window) => {
            let bucket_ms = bucket_seconds(window) * 1_000;
            let leaves_ms =
                (then.0 / bucket_ms + 1) * bucket_ms + i64::from(window.seconds) * 1_000;
            now.0 < leaves_ms
        }
        window => window_end(window, "UTC", then) == window_end(window, "UTC", now),
    }
}

/// The acquirer counts where both state it.
fn is_merchant_of(locked: Place, place: Place) -> bool {
    let acquirers = [locked.acquirer_id, place.acquirer_id];
    locked.merchant_id == place.merchant_id
        && (acquirers[0] == acquirers[1] || acquirers.contains(&""))
}

/// Whether what is asked makes sense at all.
pub fn sanity(payment: &Payment) -> Option<DeclineReason> {
    let amount = payment.amount;
    let fits = match payment.kind {
        Kind::Purchase => amount >= 0,
        _ if payment.asks_only() => amount == 0,
        _ => amount > 0,
    };
    match payment.kind {
        _ if amount < 0 => Some(DeclineReason::InvalidAmount),
        Kind::Other => Some(DeclineReason::UnsupportedFunction),
        _ if !fits => Some(DeclineReason::InvalidAmount),
        _ => None,
    }
}

impl View<'_> {
    /// Where the card was first used since it is locked. What its merchant was told no to in the end was no use.
    pub fn locked_to(&self, of: u64) -> Option<Place> {
        let (mut lock, mut locked) = (false, None);
        let mut used_there: Vec<usize> = Vec::new();
        for (place, past) in self.past.iter().enumerate() {
            match past.step {
                Step::Controls { card, choice }
                    if is_of_chain(card, of) && past.came == Came::Done =>
                {
                    let before = std::mem::replace(&mut lock, controls_of(choice).merchant_lock);
                    if before && !lock {
                        locked = None;
                    }
                }
                Step::Authorize(payment) | Step::Advise { payment, .. }
                    if is_of_chain(payment.card, of) && lock =>
                {
                    let mut opened = self.known.iter().filter(|known| known.place == place);
                    if opened.any(|known| known.taken() > 0) {
                        let here = PLACES[usize::from(payment.place)];
                        if locked.is_none() {
                            used_there.clear();
                        }
                        if is_merchant_of(*locked.get_or_insert(here), here) {
                            used_there.push(place);
                        }
                    }
                }
                _ => {}
            }
            let before = used_there.len();
            used_there.retain(|place| !past.tells_no_to(*place));
            if used_there.is_empty() && before > 0 {
                locked = None;
            }
        }
        locked
    }

    /// The authorization that a card was used for, the first one while it was good for one. That all of it is
    /// reversed makes the card good again for whatever comes later.
    pub fn used_by(&self, card: u64) -> Option<usize> {
        let mut used_by = None;
        for (place, past) in self.past.iter().enumerate() {
            for line in &past.lines {
                let known = self.of(line.of);
                let marks = is_of_chain(known.payment.card, card)
                    && known.taken() > 0
                    && known.controls.single_use;
                if line.of == place && marks {
                    used_by = used_by.or(Some(place));
                }
                if line.end == Some(End::Reversed) && used_by == Some(line.of) {
                    used_by = None;
                }
            }
            used_by = used_by.filter(|place| !past.tells_no_to(*place));
        }
        used_by
    }

    /// What comes after limits and MCCs: merchant, channel, entry mode and hours.
    pub fn elsewhere(&self, sought: Sought, place: Place) -> Option<DeclineReason> {
        let card = sought.card;
        let own = self.controls(card);
        let locked_to = self.locked_to(card);
        let elsewhere = locked_to.is_some_and(|locked| !is_merchant_of(locked, place));
        // MCC and country were looked at before.
        let [_, _, merchant, channel, entry_mode] = self.listed(sought, 0, place);
        let no =
            |(reason, fails, lifted): (_, bool, Option<usize>)| (fails && lifted.is_none(), reason);
        let failed = [
            no(merchant),
            (
                own.merchant_lock && elsewhere,
                DeclineReason::MerchantLockMismatch,
            ),
            no(channel),
            no(entry_mode),
            (
                !own.time_windows.is_empty() && !is_open(self.at),
                DeclineReason::OutsideTimeWindow,
            ),
        ];
        let first = failed.into_iter().find(|(failed, _)| *failed);
        first.map(|(_, reason)| reason)
    }

    /// The accounts on level 1 are `silent`; the choice 9 of a card is `required`. What there is no rate for counts as
    /// above; an increment asks nobody but where it brings what was not above, and nobody was asked for, to be above.
    pub fn three_ds(
        &self,
        payment: &Payment,
        account: u64,
        about: Option<usize>,
    ) -> Option<DeclineReason> {
        let place = PLACES[usize::from(payment.place)];
        let required = self.controls(payment.card).three_ds.is_some();
        let silent = account > 10;
        let asked = payment.comes_to();
        let is_above = match about.map(|of| self.of(of)) {
            None => asked.is_none_or(|asked| asked > REQUIRED_ABOVE),
            Some(known) if PLACES[usize::from(known.payment.place)].said == Said::Authenticated => {
                false
            }
            Some(known) => {
                let stands = known.held.account + known.posted.account;
                known.approved.account <= REQUIRED_ABOVE
                    && asked.is_none_or(|asked| stands + asked > REQUIRED_ABOVE)
            }
        };
        let must_authenticate =
            required && is_above && payment.takes_money() && place.channel == Channel::Ecommerce;
        match place.said {
            Said::Failed if required || silent => Some(DeclineReason::ThreeDsFailed),
            Said::Wrong if required || silent => Some(DeclineReason::CavvInvalid),
            Said::Nothing if must_authenticate => Some(DeclineReason::ThreeDsRequired),
            _ => None,
        }
    }

    pub fn rule_state(&self, of: usize) -> RuleState {
        let changes = self.past.iter().rev().find_map(|past| match past.step {
            Step::Rule { rule, change } if rule == of && past.came == Came::Done => {
                Some(change.to())
            }
            _ => None,
        });
        changes.unwrap_or(RuleState::Draft)
    }

    /// Whether it will be part of its card's history: a request of its own, while a rule asks for history.
    pub fn notes_history(&self, step: &Step, came: &Came) -> bool {
        let asks = |rule| rule < 3 && self.rule_state(rule) != RuleState::Retired;
        let is_request = matches!(step, Step::Authorize(_))
            && !matches!(
                came,
                Came::First(_)
                    | Came::Increased { .. }
                    | Came::Declined(DeclineReason::DuplicateTransmission)
            );
        self.has_rules && is_request && (0..RULES.len()).any(asks)
    }

    /// The requests that are the history of a card.
    pub fn history(&self, of: u64) -> impl Iterator<Item = OfHistory<'_>> {
        let past = self.past.iter().enumerate();
        past.filter_map(move |(place, past)| match &past.step {
            Step::Authorize(payment) if is_of_chain(payment.card, of) && past.in_history => {
                Some(self.of_history(place, payment))
            }
            _ => None,
        })
    }

    fn of_history<'a>(&'a self, place: usize, payment: &'a Payment) -> OfHistory<'a> {
        let asked = &self.past[place];
        let in_history = |by: usize, is_no| {
            let known = self.known_at(place);
            let lines = known.iter().flat_map(|known| &known.lines);
            let lines = lines.filter(|(at, _)| *at <= by);
            let stands = lines.map(|(_, line)| line.held.plus(line.posted).account);
            OfHistory {
                payment,
                asked_at: asked.at,
                answered_at: Some(self.past[by].at),
                is_no,
                is_waited_no: is_no && by > place,
                set_aside: stands.sum::<i64>().max(0),
            }
        };
        if !matches!(asked.came, Came::Waiting { .. }) {
            return in_history(place, matches!(asked.came, Came::Declined(_)));
        }
        let mut later = self.past.iter().enumerate().skip(place);
        let answer = later.find_map(|(by, past)| {
            let mut answers = past.answers.iter();
            let is_answer = |told: &&Told| told.of == place && told.heard != Heard::Waiting;
            answers.find(is_answer).map(|told| (by, &told.heard))
        });
        match answer {
            Some((by, heard)) => in_history(by, matches!(heard, Heard::Declined(_))),
            None => OfHistory {
                answered_at: None,
                ..in_history(place, false)
            },
        }
    }

    /// A condition on an amount that is not known is none that holds.
    pub fn matches(&self, rule: usize, payment: &Payment) -> bool {
        let amount = abroad::comes_to(payment.case, payment.amount, payment.is_credit());
        let amount_is = |holds: fn(i64) -> bool| amount.is_some_and(holds);
        let place = PLACES[usize::from(payment.place)];
        let history = || self.history(payment.card);
        // What its customer has not decided on counts with them.
        let approvals = || history().filter(|of| !of.is_no);
        let approved = || approvals().filter(|of| of.answered_at.is_some());
        let is_within = |window, at| in_window(&limit(0, window, None, None), at, self.at);
        match rule {
            0 => {
                let lately = approvals().filter(|of| is_within(HOUR, of.asked_at));
                lately.count() >= 2 && amount_is(|amount| amount > 300)
            }
            1 => {
                let merchant = |place: Place| (place.merchant_id, place.acquirer_id);
                let is_known = approved()
                    .any(|of| merchant(PLACES[usize::from(of.payment.place)]) == merchant(place));
                !is_known && amount_is(|amount| amount % 7 == 0 && amount > 0)
            }
            2 => {
                let declines = history().filter(|of| of.is_no);
                let declines = declines.filter_map(|of| of.answered_at);
                let of_day = approvals().filter(|of| is_within(ROLLING_DAY, of.asked_at));
                let spent: i64 = of_day.map(|of| of.set_aside).sum();
                let last = approved().filter_map(|of| of.answered_at).max();
                declines.filter(|at| is_within(ROLLING_DAY, *at)).count() >= 3
                    || last.is_some_and(|last| last.plus_ms(MINUTE_MS) > self.at) && spent > 600
            }
            3 => place.entry_mode == EntryMode::Manual && amount_is(|amount| amount > 60),
            _ => {
                let abroad = [7995, 6011].contains(&payment.mcc) && place.country != "US";
                abroad || amount_is(|amount| amount != 5 && 100 / (amount - 5) > 30)
            }
        }
    }

    pub fn card_forbids(&self, card: u64) -> Option<DeclineReason> {
        let state = self.card_state(card);
        let other = [
            (state.frozen, DeclineReason::CardFrozen),
            (!state.activated, DeclineReason::CardNotActivated),
        ];
        let mut other = other.into_iter().filter(|(is, _)| *is);
        state
            .closed
            .or_else(|| other.next().map(|(_, reason)| reason))
    }

    /// By itself, or by one above it.
    pub fn account_forbids(&self, account: u64) -> Option<DeclineReason> {
        let line = line_of(account);
        let any_is = |wanted| {
            let mut line = line.iter();
            line.any(|account| self.account_state(*account) == wanted)
        };
        if any_is(AccountStatusChange::Close) {
            return Some(DeclineReason::AccountClosed);
        }
        any_is(AccountStatusChange::Freeze).then_some(DeclineReason::AccountFrozen)
    }

    /// Card, account, money, limits and lists; `about` is what an increment adds to, and what is taken is not known
    /// where there is no rate.
    pub fn rules(
        &self,
        payment: &Payment,
        account: u64,
        about: Option<usize>,
        taken: Option<i64>,
    ) -> Option<DeclineReason> {
        let card = payment.card;
        let own = self.controls(card);
        if let Some(reason) = self.card_forbids(card) {
            return Some(reason);
        }
        let used_by = self.used_by(card);
        if own.single_use && !payment.is_credit() && used_by.is_some() && used_by != about {
            return Some(DeclineReason::CardUsed);
        }
        if let Some(reason) = self.token(payment) {
            return Some(reason);
        }
        if let Some(reason) = self.account_forbids(account) {
            return Some(reason);
        }
        if let Some(reason) = self.proof(payment) {
            return Some(reason);
        }
        if let Some(taken) = taken.filter(|taken| payment.takes_money() && *taken > 0) {
            if taken > self.available(account) {
                return Some(DeclineReason::InsufficientFunds);
            }
            let limit = self.limits(payment, (account, about), taken);
            if limit.is_some() {
                return limit;
            }
        }
        let sought = Sought {
            card,
            account,
            about,
        };
        let place = PLACES[usize::from(payment.place)];
        let [mcc, country, ..] = self.listed(sought, payment.mcc, place);
        let mut lists = [mcc, country].into_iter();
        if let Some((reason, ..)) = lists.find(|(_, fails, lifted)| *fails && lifted.is_none()) {
            return Some(reason);
        }
        if taken.is_none() {
            return Some(DeclineReason::ExchangeRateMissing);
        }
        let elsewhere = self.elsewhere(sought, place);
        elsewhere
            .or_else(|| self.risk(payment))
            .or_else(|| self.three_ds(payment, account, about))
    }

    pub fn risk(&self, payment: &Payment) -> Option<DeclineReason> {
        let declines =
            |rule| self.rule_state(rule) == RuleState::Active && self.matches(rule, payment);
        let mut rules = 0..RULES.len();
        rules.any(declines).then_some(DeclineReason::RuleDeclined)
    }

    /// An increment is a part of the transaction that it adds to, and counts as no payment; limits that count that look at it
    /// too.
    pub fn limits(
        &self,
        payment: &Payment,
        (account, about): (u64, Option<usize>),
        taken: i64,
    ) -> Option<DeclineReason> {
        let card = payment.card;
        let sought = Sought {
            card,
            account,
            about,
        };
        let stands = about
            .map(|of| self.of(of))
            .map_or(0, |known| known.held.account + known.posted.account);
        for (owner, controls) in self.limits_of(card, account) {
            let looks_at = |limit: &&Limit| {
                let counts_original = about.is_some_and(|of| {
                    let counted = self.counted(owner, card, limit, self.of(of));
                    !counted.is_empty()
                });
                counts_original || self.counts(limit, payment, self.here())
            };
            for limit in controls.limits.iter().filter(looks_at) {
                let (mut used, count) = self.used(owner, card, limit);
                if limit.window == Window::Transaction {
                    used = stands;
                }
                let exceeded = limit.amount_minor.filter(|allowed| used + taken > *allowed);
                let exceeded = exceeded.filter(|allowed| {
                    let raised = self.raised(sought, limit, *allowed, |r| r.amount_minor);
                    raised.is_none_or(|(_, allowed)| used + taken > allowed)
                });
                if exceeded.is_some() {
                    return Some(match limit.window {
                        _ if limit.id.0 == 21 => DeclineReason::CashLimitExceeded,
                        Window::Rolling(_) => DeclineReason::RollingLimitExceeded,
                        Window::Transaction => DeclineReason::PerTransactionLimitExceeded,
                        Window::Day => DeclineReason::DailyLimitExceeded,
                        Window::Week => DeclineReason::WeeklyLimitExceeded,
                        _ => DeclineReason::MonthlyLimitExceeded,
                    });
                }
                let count = i64::from(count);
                let exceeded = limit
                    .count
                    .filter(|_| about.is_none())
                    .map(i64::from)
                    .filter(|allowed| count >= *allowed);
                let exceeded = exceeded.filter(|allowed| {
                    let raised = self.raised(sought, limit, *allowed, |r| r.count.map(i64::from));
                    raised.is_none_or(|(_, allowed)| count >= allowed)
                });
                if exceeded.is_some() {
                    return Some(DeclineReason::VelocityCountExceeded);
                }
            }
        }
        None
    }
}

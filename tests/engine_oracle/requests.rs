//! Decides requests, and what is not of the network: top-ups, states, the end of time.

use super::*;

/// What is left of a hold goes back.
fn ended(known: &Known) -> Line {
    Line {
        of: known.place,
        held: known.held.negative(),
        end: Some(ends_by(known)),
        ..Line::default()
    }
}

impl View<'_> {
    pub fn decide(&self, step: &Step) -> (Came, Vec<Line>) {
        let came = match step {
            Step::Authorize(payment) => return self.authorize(payment),
            Step::Advise {
                payment,
                was_declined,
                is_final,
            } => return self.advise(payment, *was_declined, *is_final),
            Step::Reverse {
                card,
                name,
                names,
                amount,
                stays,
            } => return self.reverse((*card, *name), *names, (*amount, *stays)),
            Step::Expire => return self.expire(),
            Step::Wait { minutes } => return self.times_out(*minutes),
            Step::Withhold { back } => return self.withhold(*back),
            Step::Release { back } => return self.release(*back),
            Step::Customer { back, says } => return self.customer(*back, *says),
            Step::Endpoint { .. } | Step::Repeat { .. } => Came::Done,
            Step::TopUp { id, account, .. } => self.top_up(*id, *account),
            Step::Transfer {
                id,
                from,
                to,
                amount,
            } => self.transfer(*id, (*from, *to), *amount),
            Step::Carry => self.carry(),
            Step::CreditLine { account, .. } => self.set_credit_line(*account),
            Step::Status { card, change } => self.change_card_status(*card, *change),
            Step::AccountStatus { account, change } => {
                self.change_account_status(*account, *change)
            }
            Step::Controls { card, .. } => match self.reissued(*card) {
                Some(_) => Came::Refused,
                None => Came::Done,
            },
            Step::Reissue { card, .. } => self.reissue(*card),
            Step::OpenToken { token, .. } => self.open_token(*token),
            Step::ChangeToken { token, change } => self.change_token(*token, *change),
            Step::Group { .. } | Step::List { .. } => Came::Done,
            Step::Verify { holder } => self.verify(*holder),
            Step::Rule { rule, change } => self.change_rule(*rule, *change),
            Step::Exception { which, change } => self.change_exception(*which, *change),
        };
        (came, vec![])
    }

    pub fn expire(&self) -> (Came, Vec<Line>) {
        let due = self.due();
        let lines = due.iter().map(|place| ended(self.of(*place))).collect();
        (Came::Expired(due), lines)
    }

    /// A hold that ends by hand.
    pub fn release(&self, back: usize) -> (Came, Vec<Line>) {
        let known = self.approval(back).map(|place| self.known_at(place));
        match known {
            None => (Came::Done, vec![]),
            Some(Some(known)) if known.is_open() => {
                let line = ended(known);
                let came = Came::Released {
                    of: known.place,
                    amount: known.held.account,
                    standing: known.standing(line.end, known.posted.account),
                };
                (came, vec![line])
            }
            Some(_) => (Came::Refused, vec![]),
        }
    }

    pub fn top_up(&self, id: u64, account: u64) -> Came {
        let same = |past: &&Happened| {
            let live = past.at.plus_ms(REVERSAL_MS) > self.at && past.came == Came::Done;
            live && matches!(past.step, Step::TopUp { id: of, .. } if of == id)
        };
        let closed = self.account_state(account) == AccountStatusChange::Close;
        match self.past.iter().find(same).map(|past| &past.step) {
            Some(Step::TopUp { account: of, .. }) if *of == account => Came::AlreadyDone,
            Some(_) => Came::Refused,
            None if closed => Came::Refused,
            None => Came::Done,
        }
    }

    pub fn change_card_status(&self, card: u64, change: StatusChange) -> Came {
        let state = self.card_state(card);
        match change {
            StatusChange::Close if state.closed.is_some() => Came::AlreadyDone,
            StatusChange::Close => Came::Done,
            _ if state.closed.is_some() => Came::Refused,
            StatusChange::Activate if state.frozen => Came::Refused,
            StatusChange::Activate if state.activated => Came::AlreadyDone,
            StatusChange::Freeze if state.frozen => Came::AlreadyDone,
            StatusChange::Unfreeze if !state.frozen => Came::AlreadyDone,
            _ => Came::Done,
        }
    }

    pub fn change_account_status(&self, account: u64, change: AccountStatusChange) -> Came {
        let before = self.account_state(account);
        let below = account + 10;
        let below_open =
            below <= 20 + TREES && self.account_state(below) != AccountStatusChange::Close;
        match (before, change) {
            (before, change) if before == change => Came::AlreadyDone,
            (AccountStatusChange::Close, _) => Came::Refused,
            (_, AccountStatusChange::Close)
                if below_open
                    || self.posted(account) != 0
                    || self.held(account) != 0
                    || self.in_transit(account) != 0 =>
            {
                Came::Refused
            }
            _ => Came::Done,
        }
    }

    pub fn change_rule(&self, rule: usize, change: RuleChange) -> Came {
        match self.rule_state(rule) {
            state if state == change.to() => Came::AlreadyDone,
            RuleState::Retired => Came::Refused,
            _ => Came::Done,
        }
    }

    pub fn authorize(&self, payment: &Payment) -> (Came, Vec<Line>) {
        let first = self.first_answer(|step| match step {
            Step::Authorize(first) => {
                (first.card, first.name, first.posts) == (payment.card, payment.name, payment.posts)
            }
            _ => false,
        });
        match first {
            Some((Step::Authorize(first), heard)) if first.asks() == payment.asks() => {
                return (Came::First(heard), vec![]);
            }
            Some(_) => {
                return (Came::Declined(DeclineReason::DuplicateTransmission), vec![]);
            }
            None => {}
        }
        let is_reversed = self.is_reversed(payment);
        match self.answered_before(payment, is_reversed) {
            Some((first, heard)) if first.asks() == payment.asks() => {
                return (Came::First(heard), vec![]);
            }
            Some(_) => {
                return (Came::Declined(DeclineReason::DuplicateTransmission), vec![]);
            }
            None => {}
        }
        let adds = payment.kind == Kind::Incremental;
        let about = self.adds_to(payment);
        let account = match about {
            Some(place) => self.of(place).account,
            None => self.payer(payment),
        };
        let taken = self.payable(payment, account);
        let no = sanity(payment).or_else(|| {
            if is_reversed {
                Some(DeclineReason::ReversedBeforeOriginal)
            } else if adds && about.is_none() {
                Some(DeclineReason::OriginalNotFound)
            } else {
                self.rules(payment, account, about, taken.map(|taken| taken.account))
            }
        });
        match (no, taken) {
            (Some(reason), _) => (Came::Declined(reason), vec![]),
            (None, Some(taken)) => self.approve(payment, account, about, taken),
            (None, None) => unreachable!("without a rate it is declined"),
        }
    }

    /// The authorization that an increment adds to.
    pub fn adds_to(&self, payment: &Payment) -> Option<usize> {
        let about = match payment.kind {
            Kind::Incremental => self.meant(payment.card, payment.of, Some(false)).place(),
            _ => None,
        };
        about.filter(|place| {
            let known = self.of(*place);
            known.is_open() && !known.waits
        })
    }

    /// The first of the card's accounts that could pay all of it, or a part, or the first of them.
    pub fn payer(&self, payment: &Payment) -> u64 {
        let mut accounts = accounts_of_card(payment.card);
        let first = accounts[0];
        let Some(whole) = payment.comes_to().filter(|_| payment.takes_money()) else {
            return first;
        };
        accounts.retain(|account| {
            let mut line = line_of(*account).into_iter();
            line.all(|account| self.account_state(account) == AccountStatusChange::Unfreeze)
        });
        let has = |account: &&u64| whole <= self.available(**account);
        let has_some = |account: &&u64| {
            let taken = self.payable(payment, **account);
            taken.is_some_and(|taken| taken.local < payment.amount)
        };
        let of_some = accounts.iter().find(has_some);
        *accounts.iter().find(has).or(of_some).unwrap_or(&first)
    }

    /// What may be approved from an account: all, or a part of it. The account's currency is rounded apart.
    pub fn payable(&self, payment: &Payment, account: u64) -> Option<Both> {
        let (available, whole) = (self.available(account), payment.comes_to()?);
        let part = match (1..whole).contains(&available) && payment.can_be_in_part() {
            true => abroad::part(payment.case, payment.amount, available),
            false => None,
        };
        let (local, account) = part.unwrap_or((payment.amount, whole));
        Some(Both { account, local })
    }

    pub fn approve(
        &self,
        payment: &Payment,
        account: u64,
        about: Option<usize>,
        taken: Both,
    ) -> (Came, Vec<Line>) {
        let available = self.available(account);
        if let Some(of) = about {
            let held = Both {
                account: taken.account,
                local: self
                    .of(of)
                    .local_of(payment.case, taken.local, taken.account),
            };
            let line = Line {
                of,
                held,
                part: Some(Part::Increment),
                renews: true,
                ..Line::default()
            };
            let available = available - taken.account;
            return (Came::Increased { of, available }, vec![line]);
        }
        let part = (taken.local < payment.amount).then_some(taken.local);
        let waits = self.asks_customers() && payment.takes_money() && taken.account > 0;
        let line = match waits {
            // A single message is held until its customer has decided.
            true => self.opening(&payment.held(), account, taken, Kept::default()),
            false => self.opening(payment, account, taken, payment.kept(part)),
        };
        let opens = !payment.asks_only() && taken.account > 0;
        let lines: Vec<Line> = opens.then_some(line).into_iter().collect();
        let moved: i64 = lines
            .iter()
            .map(|line| line.held.plus(line.posted).account)
            .sum();
        let available = available - moved;
        let came = match payment.kind {
            _ if waits => Came::Waiting {
                part,
                taken: taken.account,
                available,
            },
            Kind::BalanceInquiry => Came::Balances {
                posted: self.posted(account),
                available,
            },
            _ if part.is_some() => Came::Partial {
                approved: taken.local,
                taken: taken.account,
                available,
            },
            _ => Came::Approved { available },
        };
        (came, lines)
    }

    /// A new authorization, posted at once or held; a credit holds nothing.
    pub fn opening(&self, payment: &Payment, account: u64, taken: Both, kept: Kept) -> Line {
        let charged = payment.charge(taken.account, taken.local);
        let nothing = Both::default();
        let (held, posted, kept) = match payment.posts {
            true => (nothing, charged, kept),
            false if payment.is_credit() => (nothing, nothing, Kept::default()),
            false => (taken, nothing, Kept::default()),
        };
        Line {
            of: self.here(),
            opens_on: Some(account),
            held,
            posted,
            kept,
            end: payment.posts.then_some(End::Completed),
            ..Line::default()
        }
    }
}

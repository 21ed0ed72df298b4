//! Customers who decide themselves: what waits for them, what they say, and what holds when they say nothing.

use super::*;

/// What comes from a customer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Says {
    Yes,
    /// Yes to so many hundredths of what was asked.
    YesTo(i64),
    No,
    Nothing,
    Nonsense,
    /// Nobody waits for it any more.
    Lost,
}

impl Says {
    fn in_engine(self, asked: i64) -> CustomerSays {
        match self {
            Says::Yes => CustomerSays::Approve { amount_minor: None },
            Says::YesTo(share) => CustomerSays::Approve {
                amount_minor: Some(asked * share / 100),
            },
            Says::No => CustomerSays::Decline,
            Says::Nothing => CustomerSays::Nothing,
            Says::Nonsense => CustomerSays::Nonsense,
            Says::Lost => CustomerSays::Lost,
        }
    }
}

impl Engine {
    pub fn customer(&mut self, back: usize, says: Says) -> Came {
        let Some(payment) = self.recent_approval(back) else {
            return Came::Done;
        };
        let (id, card) = (payment.authorization_id, payment.card_id);
        let root = AccountId(root_of_account(account_of_card(card.0)));
        let known = self.switch.world.shard(root).authorizations.get(id);
        let asked = known.map_or(0, |known| known.opened.account_minor);
        self.resolve(root, id, says.in_engine(asked))
    }

    fn resolve(&mut self, root: AccountId, id: AuthorizationId, says: CustomerSays) -> Came {
        let resolve = Resolve {
            authorization_id: id,
            says,
            call: CallOutcome::Answered,
            duration_ms: 1,
        };
        match self.switch.command(root, Action::Resolve(resolve)) {
            Outcome::Event(Event::Resolved(resolved)) => resolution(place_of(id), &resolved),
            other => unreachable!("{other:?}"),
        }
    }

    /// Nobody is asked for longer than some seconds: the shards end that before the minutes go by.
    pub fn wait(&mut self, minutes: i64) -> Came {
        let mut timed_out = Vec::new();
        while let Some((root, id)) = self.next_to_time_out().filter(|_| minutes > 0) {
            match self.resolve(root, id, CustomerSays::Nothing) {
                Came::Resolved(resolution) => timed_out.push(resolution),
                other => unreachable!("it waits, and yet: {other:?}"),
            }
        }
        self.switch.at = self.switch.at.plus_ms(minutes * MINUTE_MS);
        Came::TimedOut(timed_out)
    }

    fn next_to_time_out(&self) -> Option<(AccountId, AuthorizationId)> {
        let first = self.switch.world.shards.iter().filter_map(|state| {
            let (until, waiting) = state.authorizations.first_to_resolve()?;
            let root = state.account(waiting.account_id)?.root;
            Some((until, waiting.id, root))
        });
        first.min().map(|(_, id, root)| (root, id))
    }
}

/// Of a part of the account's money, in the currency of the message: rounded down.
fn share_of(known: &Known, amount: i64) -> i64 {
    known.held.local * amount / known.held.account
}

impl View<'_> {
    fn endpoint(&self) -> Option<(bool, Option<i64>)> {
        let mut past = self.past.iter().rev();
        past.find_map(|past| match past.step {
            Step::Endpoint { asks, up_to } => Some((asks, up_to)),
            _ => None,
        })
    }

    pub fn asks_customers(&self) -> bool {
        self.endpoint().is_some_and(|(asks, _)| asks)
    }

    pub fn customer(&self, back: usize, says: Says) -> (Came, Vec<Line>) {
        let Some(place) = self.recent_approval(back) else {
            return (Came::Done, vec![]);
        };
        match self.known_at(place).filter(|known| known.waits) {
            None => (Came::NothingWaits, vec![]),
            Some(known) => {
                let available = self.available(known.account);
                let (resolution, line) = self.resolve(known, says, available);
                (Came::Resolved(resolution), vec![line])
            }
        }
    }

    /// Time passes, and whoever was asked has said nothing.
    pub fn times_out(&self, minutes: i64) -> (Came, Vec<Line>) {
        let waiting = self.known.iter().filter(|known| known.waits && minutes > 0);
        let (mut resolutions, mut lines): (Vec<Resolution>, Vec<Line>) = (vec![], vec![]);
        for known in waiting {
            let of_account = |line: &&Line| self.of(line.of).account == known.account;
            let moved = lines
                .iter()
                .filter(of_account)
                .map(|line| line.held.plus(line.posted).account);
            let fees = self.charges_of(&resolutions).into_iter();
            let fees = fees
                .filter(|(_, account)| *account == known.account)
                .count() as i64;
            let fees = fees * (DECLINE_FEE.0 + DECLINE_FEE.1);
            let available = self.available(known.account) - moved.sum::<i64>() - fees;
            let (resolution, line) = self.resolve(known, Says::Nothing, available);
            resolutions.push(resolution);
            lines.push(line);
        }
        (Came::TimedOut(resolutions), lines)
    }

    /// How much of what is held is approved, or why nothing. Nobody approves what card, token or account forbid by now.
    fn verdict(&self, known: &Known, says: Says) -> Result<i64, DeclineReason> {
        let amount = self.said(known, says)?;
        let by_card = self.card_forbids(known.payment.card);
        let forbidden = by_card
            .or_else(|| self.token_forbids(&known.payment))
            .or_else(|| self.account_forbids(known.account));
        forbidden.map_or(Ok(amount), Err)
    }

    fn said(&self, known: &Known, says: Says) -> Result<i64, DeclineReason> {
        let (held, asked) = (known.held.account, known.approved.account);
        let fallback = |reason| match self.endpoint().and_then(|(_, up_to)| up_to) {
            None => Err(reason),
            Some(most) if held <= most => Ok(held),
            Some(_) => Err(DeclineReason::StandInDeclined),
        };
        match says {
            Says::Yes => Ok(held),
            Says::No => Err(DeclineReason::DecisionDeclined),
            Says::Lost => Err(DeclineReason::DecisionTimeout),
            Says::Nothing => fallback(DeclineReason::DecisionTimeout),
            Says::Nonsense => fallback(DeclineReason::DecisionInvalidResponse),
            Says::YesTo(share) => match asked * share / 100 {
                // A reversal may have taken some of what was asked about.
                amount if amount == held || amount == asked => Ok(held),
                amount
                    if (1..held).contains(&amount)
                        && known.payment.can_be_in_part()
                        && share_of(known, amount) > 0 =>
                {
                    Ok(amount)
                }
                _ => Err(DeclineReason::DecisionInvalidResponse),
            },
        }
    }

    fn resolve(&self, known: &Known, says: Says, available: i64) -> (Resolution, Line) {
        let by_fallback = matches!(says, Says::Nothing | Says::Nonsense);
        let of = known.place;
        let amount = match self.verdict(known, says) {
            Ok(amount) => amount,
            Err(reason) => {
                let resolution = Resolution {
                    of,
                    released: known.held.account,
                    posted: 0,
                    by_fallback,
                    heard: Heard::Declined(reason),
                };
                let line = Line {
                    of,
                    held: known.held.negative(),
                    end: Some(End::Reversed),
                    takes_back: true,
                    ..Line::default()
                };
                return (resolution, line);
            }
        };
        let stays = Both {
            account: amount,
            local: match amount == known.held.account {
                true => known.held.local,
                false => share_of(known, amount),
            },
        };
        let part_at_first = match self.past[of].came {
            Came::Waiting { part, .. } => part,
            _ => unreachable!("it waited"),
        };
        let part = match amount < known.held.account {
            true => Some(stays.local),
            false => part_at_first,
        };
        let posts = known.payment.posts;
        let line = Line {
            of,
            held: match posts {
                true => known.held.negative(),
                false => stays.minus(known.held),
            },
            posted: if posts { stays } else { Both::default() },
            kept: match posts {
                true => known
                    .payment
                    .kept(part_at_first)
                    .share(amount, known.approved.account),
                false => Kept::default(),
            },
            end: posts.then_some(End::Completed),
            confirms: true,
            ..Line::default()
        };
        let resolution = Resolution {
            of,
            released: -line.held.account,
            posted: line.posted.account,
            by_fallback,
            heard: match part {
                Some(approved) => Heard::Partial { approved },
                None => Heard::Approved { available },
            },
        };
        (resolution, line)
    }
}

/// Days of one card whose customer is asked: with a merchant lock most often, rules that read its history, and somebody who
/// freezes it, its token or its account while a payment waits.
pub fn any_days_of_a_customer() -> impl Strategy<Value = Vec<Step>> {
    let card = || any_newest(101);
    let amount = || 1i64..400;
    let money = Step::TopUp {
        id: 1,
        account: 1,
        amount: 100_000,
    };
    let by_token = [
        ByToken::Nothing,
        ByToken::Nothing,
        ByToken::BesideCard(0),
        ByToken::InPlaceOfCard(0),
    ];
    let by_token = proptest::sample::select(by_token.to_vec());
    let request = (
        card(),
        0u8..40,
        amount(),
        any::<bool>(),
        any::<bool>(),
        by_token,
    );
    let request = request.prop_map(|(card, name, amount, posts, in_part, token)| Payment {
        place: name % 4,
        posts,
        in_part,
        token,
        ..Payment::purchase(card, name, Names::all(name), amount)
    });
    let of_token = prop_oneof![12 => Just(TokenChange::Suspend), 12 => Just(TokenChange::Resume), 1 => Just(TokenChange::Delete)];
    let status = prop_oneof![1 => Just(StatusChange::Freeze), 2 => Just(StatusChange::Unfreeze)];
    let of_account = prop_oneof![1 => Just(AccountStatusChange::Freeze), 3 => Just(AccountStatusChange::Unfreeze)];
    let choice = || proptest::sample::select(&[8usize, 8, 8, 7, 0][..]);
    let controls = |(card, choice)| Step::Controls { card, choice };
    let step = prop_oneof![
        14 => request.prop_map(Step::Authorize),
        10 => any_customer(),
        2 => any_taking_back(),
        1 => any_advice(any_payment(card(), amount())),
        2 => (card(), 0u8..40).prop_map(|(card, name)| {
            Step::Reverse { card, name, names: Names::all(name), amount: 1, stays: 0 }
        }),
        4 => (card(), status).prop_map(|(card, change)| Step::Status { card, change }),
        4 => of_account.prop_map(|change| Step::AccountStatus { account: 1, change }),
        1 => (card(), choice()).prop_map(controls),
        2 => any_reissue(card()),
        9 => of_token.prop_map(|change| Step::ChangeToken { token: 0, change }),
        1 => any_rule_change(),
        1 => (0i64..60).prop_map(|minutes| Step::Wait { minutes }),
    ];
    let up_to = proptest::option::weighted(0.8, 200i64..400);
    let steps = proptest::collection::vec(step, 1..80);
    (up_to, choice(), any::<bool>(), steps).prop_map(move |(up_to, choice, has_rules, steps)| {
        let promoted = (0..3).filter(|_| has_rules).map(|rule| Step::Rule {
            rule,
            change: RuleChange::Promote,
        });
        let begun = [
            money.clone(),
            Step::Endpoint { asks: true, up_to },
            controls((101, choice)),
        ];
        let begun = begun.into_iter().chain(tokens_at_first());
        begun.chain(promoted).chain(steps).collect()
    })
}

/// What they are worth.
#[test]
fn days_of_a_customer_come_to_locks_that_go_and_to_all_that_forbids_a_yes() {
    let mut runner = TestRunner::deterministic();
    let mut came_to: std::collections::BTreeMap<&str, u32> = Default::default();
    for _ in 0..600 {
        let steps = any_days_of_a_customer();
        let steps = steps.new_tree(&mut runner).unwrap().current();
        let mut told_no = None;
        ways::follow(&steps, false, |view, step, came, lines| {
            let mut count = |what| *came_to.entry(what).or_default() += 1;
            if let Some(card) = told_no.take() {
                match view.locked_to(card) {
                    None => count("a lock goes with a no"),
                    Some(_) => count("a lock stays after a no"),
                }
            }
            let answers = view.answers(step, came, lines);
            told_no = answers.iter().find_map(|told| {
                let known = view.known_at(told.of)?;
                let is_no = matches!(told.heard, Heard::Declined(_));
                let card = known.payment.card;
                (is_no && view.locked_to(card).is_some()).then_some(card)
            });
            let resolutions = match came {
                Came::Resolved(resolution) => std::slice::from_ref(resolution),
                Came::TimedOut(resolutions) => resolutions,
                _ => &[],
            };
            for resolution in resolutions {
                match (&resolution.heard, resolution.by_fallback) {
                    (Heard::Declined(DeclineReason::AccountFrozen), _) => {
                        count("an account forbids")
                    }
                    (Heard::Declined(DeclineReason::CardFrozen), true) => {
                        count("a card forbids the fallback");
                    }
                    (Heard::Declined(DeclineReason::CardFrozen), false) => count("a card forbids"),
                    (Heard::Declined(DeclineReason::TokenSuspended), _) => {
                        count("a token is suspended")
                    }
                    (Heard::Declined(DeclineReason::TokenNotActive), _) => {
                        count("a token is deleted")
                    }
                    (Heard::Declined(DeclineReason::CardLost), _) => {
                        count("it was replaced as lost")
                    }
                    _ => {}
                }
            }
            if let (Step::Authorize(payment), Came::Declined(DeclineReason::RuleDeclined)) =
                (step, came)
            {
                let reads = |of: OfHistory| of.is_waited_no;
                if view.history(payment.card).any(reads) {
                    count("a rule declines after a customer's no");
                }
            }
        });
    }
    let least = came_to.values().min();
    assert!(
        came_to.len() == 9 && least.is_some_and(|least| *least >= 3),
        "{came_to:?}"
    );
}

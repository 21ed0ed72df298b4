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

    /// How much of what is held is approved, or why nothing. Nobody approves what card or account forbid by now.
    fn verdict(&self, known: &Known, says: Says) -> Result<i64, DeclineReason> {
        let amount = self.said(known, says)?;
        let by_card = self.card_forbids(known.payment.card);
        let forbidden = by_card.or_else(|| self.account_forbids(known.account));
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

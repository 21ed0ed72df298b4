//! Approvals that were answered too late for their network, and are taken back.

use super::*;

/// A request that was approved, as it was sent.
pub struct Approval {
    pub at: Timestamp,
    pub request: Authorize,
    pub payment: Payment,
}

impl Engine {
    pub fn approval(&self, back: usize) -> Option<&Authorize> {
        let approval = self.approvals.iter().rev().nth(back);
        approval.map(|approval| &approval.request)
    }

    /// Whoever has waited for a quarter of an hour is told nothing any more.
    pub fn recent_approval(&self, back: usize) -> Option<&Authorize> {
        let approval = self.approvals.iter().rev().nth(back)?;
        let is_recent = approval.at.plus_ms(FIRST_ANSWER_MS) > self.switch.at;
        is_recent.then_some(&approval.request)
    }

    /// A repeat is the request itself once more; a card is one that was issued.
    pub fn resent(&self, step: &Step) -> Step {
        let approval = match step {
            Step::Repeat { back } => self.approvals.iter().rev().nth(*back),
            _ => None,
        };
        let resent = approval.map(|approval| Step::Authorize(approval.payment));
        resent.unwrap_or_else(|| self.at_hand(step))
    }

    pub fn withhold(&mut self, back: usize) -> Came {
        let Some(payment) = self.recent_approval(back).cloned() else {
            return Came::Done;
        };
        let root = AccountId(root_of_account(account_of_card(payment.card_id.0)));
        let withhold = Withhold {
            reversal_id: ReversalId(self.next_id),
            payment,
        };
        let action = Action::Withhold(Box::new(withhold));
        came_of(&self.command(root, action))
    }

    pub fn release(&mut self, back: usize) -> Came {
        let Some(payment) = self.approval(back) else {
            return Came::Done;
        };
        let id = payment.authorization_id;
        let root = AccountId(root_of_account(account_of_card(payment.card_id.0)));
        match self.switch.release(root, id, ReleaseCause::Manual) {
            Outcome::Event(Event::HoldReleased {
                amount_minor,
                standing,
                ..
            }) => Came::Released {
                of: place_of(id),
                amount: amount_minor,
                standing,
            },
            Outcome::Refused(_) => Came::Refused,
            other => unreachable!("{other:?}"),
        }
    }
}

impl Naive {
    pub fn resent(&self, step: &Step) -> Step {
        let view = self.view();
        let place = match step {
            Step::Repeat { back } => view.approval(*back),
            _ => None,
        };
        let resent = place.map(|place| self.past[place].step.clone());
        resent.unwrap_or_else(|| self.at_hand(step))
    }
}

impl View<'_> {
    /// What an approval did is undone, unless the network has gone on from it. What it hears from now on is a no.
    pub fn withhold(&self, back: usize) -> (Came, Vec<Line>) {
        let Some(place) = self.recent_approval(back) else {
            return (Came::Done, vec![]);
        };
        let heard = self.answer_to(place).unwrap().clone();
        if !heard.is_approval() {
            return (Came::First(heard), vec![]);
        }
        let Some((known, meant)) = self.left_of(place) else {
            return (Came::Withheld(None), vec![]);
        };
        if self.has_gone_on(known, meant) {
            return (Came::First(heard), vec![]);
        }
        let (came, mut lines) = self.undo(known, meant, 0);
        let Came::Undone(undoing) = came else {
            unreachable!("it was approved and is there");
        };
        lines[0].takes_back = meant == Meant::Whole(known.place);
        let undoing = Undoing {
            flags: vec![],
            ..undoing
        };
        (Came::Withheld(Some(undoing)), lines)
    }

    /// What a request opened, or added to, if that is not undone.
    fn left_of(&self, place: usize) -> Option<(&Known<'_>, Meant)> {
        let whole = self.known_at(place);
        if let Some(known) = whole.filter(|known| !known.ended(End::Reversed)) {
            return Some((known, Meant::Whole(place)));
        }
        // Without a name it cannot be found again.
        let is_named = self.names_at(place).stated() > 0;
        let mut known = self.known.iter();
        let added_to = known.find(|known| known.is_increment(place) && !known.is_undone(place))?;
        is_named.then_some((added_to, Meant::Part(added_to.place, place)))
    }

    /// A completion, an amendment, an increment, a reversal of some of it: whoever sends one has heard of the approval.
    fn has_gone_on(&self, known: &Known, meant: Meant) -> bool {
        if let Meant::Part(_, part) = meant {
            return !known.is_open() || known.is_in_what_was_stated(part);
        }
        let (_, last) = known.lines.last().unwrap();
        let is_as_approved = last.opens_on.is_some() || last.confirms;
        !is_as_approved
    }
}

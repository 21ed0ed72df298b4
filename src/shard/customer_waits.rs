//! What the loop of a shard does for authorizations that wait for their customer: has the customer asked, keeps the
//! time, and answers those who waited. What becomes of the authorization is decided in `engine/resolve.rs`.

use super::reply::{DecisionCall, Replies, Reply, ReplySink, Unavailable};
use super::request::Token;
use super::worker::{ENDS_PER_TURN, Worker};
use crate::engine::changed::changed;
use crate::engine::command::{Action, Authorize, CallOutcome, Command, CustomerSays, Resolve};
use crate::engine::event::{Authorized, Event};
use crate::engine::ids::AuthorizationId;
use crate::engine::time::Timestamp;
use crate::journal::{RecordBatch, Space};
use std::sync::Arc;

impl Worker {
    /// Ends the waits for customers whose time is over, in order.
    pub(super) fn resolve_overdue(
        &mut self,
        at: Timestamp,
        space: Space,
        records: &mut RecordBatch,
    ) {
        for _ in 0..ENDS_PER_TURN {
            let Some((until, known)) = self.state.authorizations.first_to_resolve() else {
                return;
            };
            let (authorization_id, asked_at) = (known.id, known.placed_at);
            let Some(account) = self.state.account(known.account_id) else {
                return;
            };
            if until > at {
                return;
            }
            let root = account.root;
            let (says, call) = match self.waiters.is_asked(authorization_id) {
                true => (CustomerSays::Nothing, CallOutcome::TimedOut),
                false => (CustomerSays::Lost, CallOutcome::Lost),
            };
            let duration_ms = at.0.saturating_sub(asked_at.0);
            let action = Action::Resolve(Resolve {
                authorization_id,
                says,
                call,
                duration_ms: u32::try_from(duration_ms).unwrap_or(u32::MAX),
            });
            self.carry_out(Command { root, at, action }, None, space, records);
        }
    }

    /// The answer to this message comes when its customer has decided.
    pub(super) fn wait(
        &mut self,
        id: AuthorizationId,
        (reply_to, token): (&Arc<dyn ReplySink>, Token),
        replies: &mut Replies,
    ) {
        let known = self.state.authorizations.get(id);
        let waiting = known.and_then(|known| known.waiting.as_deref());
        let added = waiting.is_some_and(|waiting| {
            let who = (reply_to.clone(), token);
            self.waiters.add(id, waiting.repeat_key, who)
        });
        if !added {
            replies.push((token, Reply::Unavailable(Unavailable::Overloaded)));
        }
    }

    /// Has the customer asked about what waits for it, and answers those who waited for what does so no more.
    pub(super) fn follow_waits(&mut self, command: &Command, event: &Event) {
        if let (Action::Authorize(payment), Event::Authorized(authorized)) =
            (&command.action, event)
            && let Some(call) = self.call_of(command, payment, authorized)
        {
            let id = payment.authorization_id;
            self.waiters.note_asked(id, payment.repeat_key);
            let call = vec![(0, Reply::DecisionCall(Box::new(call)))];
            self.resolved.push((self.decision_calls.clone(), call));
            return;
        }
        if self.waiters.is_empty() {
            return;
        }
        let Some(id) = changed(&command.action, event) else {
            return;
        };
        let known = self.state.authorizations.get(id);
        if known.is_some_and(|known| known.waiting.is_some()) {
            return;
        }
        let retention_ms = self.state.registry.settings.first_answer_retention_ms;
        let answer_of = |repeat_key| {
            let first = self
                .state
                .first_answers
                .find(repeat_key, command.at, retention_ms);
            first.map(|first| first.answer)
        };
        if self.waiters.has_repeats(id) {
            // However late the first message is answered: a repeat is told the same.
            self.told_again.note(id);
        }
        self.resolved.extend(self.waiters.resolve(id, answer_of));
    }

    fn call_of(
        &self,
        command: &Command,
        payment: &Authorize,
        authorized: &Authorized,
    ) -> Option<DecisionCall> {
        authorized.waits_until?;
        let account_id = authorized.account_id?;
        let account = self.state.account(account_id)?;
        let endpoints = &self.state.registry.decision_endpoints;
        Some(DecisionCall {
            endpoint: endpoints.enabled_of(account.program_id)?.clone(),
            root: command.root,
            account_id,
            payment: payment.clone(),
            amount_minor: authorized.hold.as_ref()?.amount_minor,
            available_minor: authorized.available_minor,
            currency: account.currency,
            decided_at: command.at,
        })
    }
}

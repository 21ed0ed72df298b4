//! The loop of the registry: like a shard's, and it tells the shards of each new version and of each
//! card that they have to open.

use super::clock::Clock;
use super::inbox::{Inbox, Outlet, Priority};
use super::reply::{HeldReplies, Reply, ReplySink, Unavailable};
use super::request::{Batch, RegistryMessage, RegistryRequest, ShardMessage, ShardRequest, Token};
use super::stats::ShardStats;
use super::worker::Nobody;
use crate::engine::command::{Action, ChangeCardHolder};
use crate::engine::exceptions::{ControlException, Subject};
use crate::engine::ids::{CardId, CardholderId, ExceptionId, ProgramId, RiskRuleId};
use crate::engine::links;
use crate::engine::record;
use crate::engine::registry::{
    IssueCard, Registry, RegistryAction, RegistryCommand, RegistryEvent, RegistryOutcome,
    RegistryView,
};
use crate::engine::registry_decide::{answer, apply, decide};
use crate::engine::top_ups::METHODS;
use crate::engine::world::{PendingCard, PendingHolder, open_card_of, shard_of};
use crate::journal::{Handle, JournalError, RecordBatch, Sequence, Space};
use std::sync::{Arc, RwLock};

/// Told of each card as it is issued.
pub type CardIssuedHook = Box<dyn Fn(&IssueCard) + Send>;

pub struct RegistryWorker {
    pub registry: Registry,
    pub outlet: Outlet<RegistryMessage>,
    pub shards: Vec<Inbox<ShardMessage>>,
    pub journal: Handle,
    pub clock: Clock,
    pub stats: Arc<ShardStats>,
    /// The newest view, for those who only read.
    pub published: Arc<RwLock<Arc<RegistryView>>>,
    pub on_card_issued: CardIssuedHook,
    pub last_sequence: Sequence,
}

/// What has to be passed on to shards once the turn's records are in the journal.
#[derive(Default)]
struct Forward {
    new_view: bool,
    open_cards: Vec<(Token, Arc<dyn ReplySink>, PendingCard)>,
}

impl RegistryWorker {
    pub fn run(mut self) -> Registry {
        let mut records = RecordBatch::new();
        while let RegistryMessage::Batch(batch) = self.outlet.wait() {
            let requests = batch.items.len();
            if self.serve_batch(batch, &mut records).is_err() {
                // The journal has failed: it says so itself and ends the process.
                break;
            }
            self.outlet.served(requests);
        }
        self.registry
    }

    fn serve_batch(
        &mut self,
        batch: Batch<RegistryRequest>,
        records: &mut RecordBatch,
    ) -> Result<(), JournalError> {
        let mut forward = Forward::default();
        let mut replies = Vec::with_capacity(batch.items.len());
        for (token, request) in batch.items {
            let reply = match request {
                RegistryRequest::Card(id) => Some(self.card(id)),
                RegistryRequest::Program(id) => Some(self.program(id)),
                RegistryRequest::RiskRule(id) => Some(self.risk_rule(id)),
                RegistryRequest::Cardholder(id) => Some(self.cardholder(id)),
                RegistryRequest::Exceptions(id) => Some(self.exceptions(id)),
                RegistryRequest::Links { link_type, id } => {
                    Some(Reply::Links(links::find(&self.registry, &link_type, &id)))
                }
                RegistryRequest::WebhookProgress(id) => {
                    let progress = self.registry.webhook_progress.get(&id);
                    Some(Reply::WebhookProgress(progress.cloned().map(Box::new)))
                }
                RegistryRequest::Reference(reference) => Some(self.references(&reference)),
                RegistryRequest::View => Some(Reply::View(self.registry.view.clone())),
                RegistryRequest::FirstAnswer(action) => Some(self.first_answer(action)),
                RegistryRequest::Command(action) => {
                    self.carry_out(token, action, records, &batch.reply_to, &mut forward)
                }
            };
            replies.extend(reply.map(|reply| (token, reply)));
        }
        self.stats.count_turn(records.len());
        if !records.is_empty() {
            let nothing = Box::new(HeldReplies(Vec::new()));
            self.last_sequence = self.journal.append(records, nothing)?.last;
        }
        self.pass_on(forward);
        // Last, so that whoever hears of a change finds it in every shard.
        let held = Box::new(HeldReplies(vec![(batch.reply_to, replies)]));
        self.journal.release_after(self.last_sequence, held)
    }

    fn first_answer(&self, action: RegistryAction) -> Reply {
        let at = self.clock.now().max(self.registry.now);
        match decide(&self.registry, &RegistryCommand { at, action }) {
            RegistryOutcome::FirstAnswer(answer) => {
                self.stats.count_repeat();
                Reply::Message(answer)
            }
            _ => Reply::NotFound,
        }
    }

    /// The reply, or none where a shard gives it.
    fn carry_out(
        &mut self,
        token: Token,
        action: RegistryAction,
        records: &mut RecordBatch,
        reply_to: &Arc<dyn ReplySink>,
        forward: &mut Forward,
    ) -> Option<Reply> {
        if self.journal.space() == Space::Reserve
            && !matches!(
                action,
                RegistryAction::ReverseUnknownCard(_) | RegistryAction::AdviseUnknownCard(_)
            )
        {
            return Some(Reply::Unavailable(Unavailable::DiskFull));
        }
        let command = RegistryCommand {
            at: self.clock.now().max(self.registry.now),
            action,
        };
        let event = match decide(&self.registry, &command) {
            RegistryOutcome::Event(event) => event,
            RegistryOutcome::FirstAnswer(answer) => {
                self.stats.count_repeat();
                return Some(Reply::Message(answer));
            }
            RegistryOutcome::Known(entry) => return Some(Reply::IdempotencyKnown(Box::new(entry))),
            RegistryOutcome::AlreadyDone => return Some(self.object_of(&command.action)),
            RegistryOutcome::Refused(refusal) => return Some(Reply::RegistryRefused(refusal)),
        };
        records.push_with(|bytes| record::write_registry(bytes, &command, &event));
        forward.new_view |= apply(&mut self.registry, &command, &event);
        self.reply_of(token, &command, &event, reply_to, forward)
    }

    fn reply_of(
        &self,
        token: Token,
        command: &RegistryCommand,
        event: &RegistryEvent,
        reply_to: &Arc<dyn ReplySink>,
        forward: &mut Forward,
    ) -> Option<Reply> {
        match &command.action {
            RegistryAction::IssueCard(issue) => {
                (self.on_card_issued)(issue);
                let pending = open_card_of(issue, event);
                forward
                    .open_cards
                    .extend(pending.map(|pending| (token, reply_to.clone(), pending)));
                None
            }
            action @ (RegistryAction::CreateProgram(_)
            | RegistryAction::CreateRiskRule(_)
            | RegistryAction::ChangeRiskRule { .. }
            | RegistryAction::CreateCardholder(_)
            | RegistryAction::VerifyCardholder(_)
            | RegistryAction::SetLinkControls(_)
            | RegistryAction::RequestException(_)
            | RegistryAction::ChangeException(_)) => Some(self.object_of(action)),
            _ => Some(match answer(command, event) {
                Some(answer) => {
                    self.stats.count_decision(&answer);
                    Reply::Message(answer)
                }
                None => Reply::Done,
            }),
        }
    }

    /// What a command made or changed, as it is now.
    fn object_of(&self, action: &RegistryAction) -> Reply {
        match action {
            RegistryAction::CreateProgram(program) => self.program(program.id),
            RegistryAction::CreateRiskRule(rule) => self.risk_rule(rule.id),
            RegistryAction::ChangeRiskRule { rule_id, .. } => self.risk_rule(*rule_id),
            RegistryAction::CreateCardholder(cardholder) => self.cardholder(cardholder.id),
            RegistryAction::VerifyCardholder(id) => self.cardholder(*id),
            RegistryAction::RequestException(wanted) => self.exceptions(Some(wanted.id)),
            RegistryAction::ChangeException(change) => self.exceptions(Some(change.id)),
            RegistryAction::SetLinkControls(set) => {
                let mut known = links::find(&self.registry, &set.key.link_type, &set.key.id);
                known.retain(|link| link.key == set.key);
                Reply::Links(known)
            }
            _ => Reply::Done,
        }
    }

    fn references(&self, reference: &str) -> Reply {
        let of = |method: &&'static str| {
            let known = self.registry.references.get(method, reference);
            known.map(|known| (*method, known))
        };
        Reply::References(METHODS.iter().filter_map(of).collect())
    }

    fn program(&self, id: ProgramId) -> Reply {
        let program = self.registry.view.programs.get(&id);
        program.map_or(Reply::NotFound, |program| Reply::Program(program.clone()))
    }

    fn risk_rule(&self, id: RiskRuleId) -> Reply {
        let rule = self.registry.view.risk_rules.get(id);
        rule.map_or(Reply::NotFound, |loaded| {
            Reply::RiskRule(Box::new(loaded.rule.clone()))
        })
    }

    fn pass_on(&self, forward: Forward) {
        if forward.new_view {
            let view = &self.registry.view;
            // The lock is held for an assignment only, so it cannot be poisoned.
            *self
                .published
                .write()
                .unwrap_or_else(|poisoned| poisoned.into_inner()) = view.clone();
            for shard in &self.shards {
                shard.insist(ShardMessage::Adopt(view.clone()));
            }
        }
        for (token, reply_to, pending) in forward.open_cards {
            open_in_shard(&self.shards, token, reply_to, pending);
        }
    }

    fn cardholder(&self, id: CardholderId) -> Reply {
        let known = self.registry.cardholders.get(&id).cloned();
        known.map_or(Reply::NotFound, |known| Reply::Cardholder(Box::new(known)))
    }

    /// This one, or all.
    fn exceptions(&self, id: Option<ExceptionId>) -> Reply {
        let known = |exception: &Arc<ControlException>| {
            let link = match exception.subject {
                Subject::Link(id) => self.registry.link_key(id).cloned(),
                Subject::Card(_) | Subject::Account(_) => None,
            };
            (Arc::clone(exception), link)
        };
        let all = &self.registry.exceptions;
        Reply::Exceptions(match id {
            Some(id) => all.get(&id).map(known).into_iter().collect(),
            None => all.values().map(known).collect(),
        })
    }

    fn card(&self, id: CardId) -> Reply {
        let Some(issued) = self.registry.issued_cards.get(id) else {
            return Reply::NotFound;
        };
        let links = issued
            .links
            .iter()
            .filter_map(|link| self.registry.link_key(*link).cloned());
        Reply::IssuedCard(Box::new((issued.clone(), links.collect())))
    }
}

/// Tells the shard of a card again what is new of its holder; nobody waits for it.
pub fn tell_shard(shards: &[Inbox<ShardMessage>], card_id: CardId, pending: PendingHolder) {
    let holder = pending.holder;
    let request = ShardRequest::Command {
        root: pending.root,
        action: Action::ChangeCardHolder(ChangeCardHolder { card_id, holder }),
    };
    let batch = Batch {
        items: vec![(0, request)],
        reply_to: Arc::new(Nobody),
        deadline: None,
    };
    let shard = &shards[shard_of(pending.root, shards.len())];
    let _ = shard.offer(ShardMessage::Batch(batch), 1, Priority::Reserved);
}

/// Asks the shard of a card to open it; where its queue is full, the caller hears so and the card is
/// opened at the next start.
pub fn open_in_shard(
    shards: &[Inbox<ShardMessage>],
    token: Token,
    reply_to: Arc<dyn ReplySink>,
    pending: PendingCard,
) {
    let request = ShardRequest::Command {
        root: pending.root,
        action: Action::OpenCard(Box::new(pending.open)),
    };
    let batch = Batch {
        items: vec![(token, request)],
        reply_to: reply_to.clone(),
        deadline: None,
    };
    let shard = &shards[shard_of(pending.root, shards.len())];
    if shard
        .offer(ShardMessage::Batch(batch), 1, Priority::Reserved)
        .is_err()
    {
        reply_to.deliver(vec![(token, Reply::Unavailable(Unavailable::Overloaded))]);
    }
}

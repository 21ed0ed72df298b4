//! The loop of the registry: like a shard's, and it tells the shards of each new version and of each
//! card that they have to open.

use super::clock::Clock;
use super::inbox::{Inbox, Outlet, Priority};
use super::reply::{HeldReplies, Reply, ReplySink, Unavailable};
use super::request::{
    Batch, REFERENCED_MAX, RegistryMessage, RegistryRequest, ShardMessage, ShardRequest, Token,
};
use super::stats::ShardStats;
use super::worker::Nobody;
use crate::engine::audit::Requester;
use crate::engine::command::{Action, ChangeCardHolder};
use crate::engine::exceptions_page;
use crate::engine::ids::{
    AccountId, ApprovalId, CardId, CardholderId, ExceptionId, ProgramId, RiskRuleId, TokenId,
};
use crate::engine::links;
use crate::engine::record;
use crate::engine::registry::{
    IssuedCard, Registry, RegistryAction, RegistryCommand, RegistryEvent, RegistryOutcome,
    RegistryRefusal, RegistryView,
};
use crate::engine::registry_decide::{answer, apply, decide};
use crate::engine::reissue::RenewCard;
use crate::engine::token_numbers::TokenNumber;
use crate::engine::top_ups::StatedReference;
use crate::engine::world::{PendingHolder, open_card_of, shard_of};
use crate::journal::{Handle, JournalError, RecordBatch, Sequence, Space};
use std::sync::{Arc, RwLock};

/// Told of each card as it is issued or renewed.
pub type CardIssuedHook = Box<dyn Fn(CardId, &IssuedCard) + Send>;

/// Told of each token as it is asked for.
pub type TokenRequestedHook = Box<dyn Fn(TokenId, &TokenNumber) + Send>;

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
    pub on_token_requested: TokenRequestedHook,
    pub last_sequence: Sequence,
}

/// What has to be passed on to shards once the turn's records are in the journal.
#[derive(Default)]
pub(super) struct Forward {
    new_view: bool,
    to_shards: Vec<ToShard>,
    /// For whom all of it is.
    requester: Option<Arc<Requester>>,
}

impl RegistryWorker {
    pub fn run(mut self) -> Registry {
        let mut records = RecordBatch::new();
        self.stats.note_idempotency(&self.registry.idempotency);
        // A journal that has failed says so itself and ends the process.
        while self.expire_exceptions(&mut records).is_ok() {
            let message = match self.patience() {
                Some(patience) => self.outlet.wait_at_most(patience),
                None => Some(self.outlet.wait()),
            };
            let batch = match message {
                Some(RegistryMessage::Batch(batch)) => batch,
                Some(RegistryMessage::Stop) => break,
                None => continue,
            };
            let requests = batch.items.len();
            if self.serve_batch(batch, &mut records).is_err() {
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
        let mut forward = Forward {
            requester: batch.requester,
            ..Forward::default()
        };
        let mut replies = Vec::with_capacity(batch.items.len());
        for (token, request) in batch.items {
            let reply = match request {
                RegistryRequest::Card(id) => Some(self.card(id)),
                RegistryRequest::Token(id) => {
                    let number = self.registry.token_numbers.get(id).cloned();
                    let found = number.map(|number| Reply::TokenNumber(Box::new(number)));
                    Some(found.unwrap_or(Reply::NotFound))
                }
                RegistryRequest::Program(id) => Some(self.program(id)),
                RegistryRequest::RiskRule(id) => Some(self.risk_rule(id)),
                RegistryRequest::Cardholder(id) => Some(self.cardholder(id)),
                RegistryRequest::Exception(id) => Some(self.exception(id)),
                RegistryRequest::ExceptionsPage(filter) => {
                    let now = self.clock.now().max(self.registry.now);
                    let page = exceptions_page::page(&self.registry, &filter, now);
                    Some(Reply::ExceptionsPage(page))
                }
                RegistryRequest::Approvals(id) => Some(self.approvals(id)),
                RegistryRequest::Links { link_type, id } => {
                    Some(Reply::Links(links::find(&self.registry, &link_type, &id)))
                }
                RegistryRequest::WebhookProgress(id) => {
                    let progress = self.registry.webhook_progress.get(&id);
                    Some(Reply::WebhookProgress(progress.cloned().map(Box::new)))
                }
                RegistryRequest::CardBatch(_)
                | RegistryRequest::CardBatches
                | RegistryRequest::CardBatchRows { .. }
                | RegistryRequest::CardBatchTakenIn(_)
                | RegistryRequest::CardBatchPortion => Some(self.card_batch(request)),
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
        self.stats.note_idempotency(&self.registry.idempotency);
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
    pub(super) fn carry_out(
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
            RegistryOutcome::AlreadyDone => {
                let again = self.told_of_card(&command.action, (token, reply_to));
                return match again {
                    Some(again) => {
                        forward.to_shards.push(again);
                        None
                    }
                    None => Some(self.object_of(&command.action)),
                };
            }
            RegistryOutcome::Refused(refusal) => {
                if let RegistryRefusal::IdempotencyKeysFull(_) = refusal {
                    // No decision depends on it, so that it is in no record.
                    let retention_ms = self.registry.view.settings.idempotency_retention_ms;
                    let keys = &mut self.registry.idempotency;
                    keys.reclaim(command.at, retention_ms);
                }
                return Some(Reply::RegistryRefused(refusal));
            }
        };
        let requester = forward.requester.as_deref();
        records.push_with(|bytes| record::write_registry(bytes, &command, &event, requester));
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
            RegistryAction::IssueCard(_) | RegistryAction::ReissueCard(_) => {
                let pending = open_card_of(command, event)?;
                self.note_route(pending.open.card_id);
                forward.to_shards.push(ToShard {
                    token,
                    reply_to: reply_to.clone(),
                    root: pending.root,
                    action: pending.into_action(),
                });
                None
            }
            action @ RegistryAction::RenewCard(renew) => {
                self.note_route(renew.card_id);
                let renewal = self.told_of_card(action, (token, reply_to));
                forward.to_shards.extend(renewal);
                None
            }
            action @ RegistryAction::SetCardholder(_) => {
                let holder = self.told_of_card(action, (token, reply_to));
                forward.to_shards.extend(holder);
                None
            }
            RegistryAction::RequestToken(request) => {
                let pending = request.pending();
                let id = pending.open.token_id;
                if let Some(number) = self.registry.token_numbers.get(id) {
                    (self.on_token_requested)(id, number);
                }
                forward.to_shards.push(ToShard {
                    token,
                    reply_to: reply_to.clone(),
                    root: pending.root,
                    action: pending.into_action(),
                });
                None
            }
            action @ (RegistryAction::CreateProgram(_)
            | RegistryAction::ChangeProgram(_)
            | RegistryAction::CreateRiskRule(_)
            | RegistryAction::ChangeRiskRule { .. }
            | RegistryAction::CreateCardholder(_)
            | RegistryAction::VerifyCardholder(_)
            | RegistryAction::ChangeCardholder(_)
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

    fn note_route(&self, card_id: CardId) {
        if let Some(issued) = self.registry.issued_cards.get(card_id) {
            (self.on_card_issued)(card_id, issued);
        }
    }

    /// What the shard of a card has to hear that was renewed or got a cardholder, also where it was so before.
    fn told_of_card(
        &self,
        action: &RegistryAction,
        (token, reply_to): (Token, &Arc<dyn ReplySink>),
    ) -> Option<ToShard> {
        let card_id = match action {
            RegistryAction::RenewCard(renew) => renew.card_id,
            RegistryAction::SetCardholder(set) => set.card_id,
            _ => return None,
        };
        let issued = self.registry.issued_cards.get(card_id)?;
        let action = match action {
            RegistryAction::SetCardholder(set) => {
                let known = self.registry.cardholders.get(&set.cardholder_id)?;
                Action::ChangeCardHolder(ChangeCardHolder {
                    card_id,
                    holder: known.cardholder.holder(),
                    is_set: true,
                })
            }
            _ => Action::RenewCard(RenewCard {
                card_id,
                expiry: issued.expiry,
            }),
        };
        Some(ToShard {
            token,
            reply_to: reply_to.clone(),
            root: issued.root,
            action,
        })
    }

    /// What a command made or changed, as it is now.
    fn object_of(&self, action: &RegistryAction) -> Reply {
        match action {
            RegistryAction::CreateProgram(program) => self.program(program.id),
            RegistryAction::ChangeProgram(change) => self.program(change.id),
            RegistryAction::CreateRiskRule(rule) => self.risk_rule(rule.id),
            RegistryAction::ChangeRiskRule { rule_id, .. } => self.risk_rule(*rule_id),
            RegistryAction::CreateCardholder(cardholder) => self.cardholder(cardholder.id),
            RegistryAction::VerifyCardholder(id) => self.cardholder(*id),
            RegistryAction::ChangeCardholder(change) => self.cardholder(change.id),
            RegistryAction::RequestException(wanted) => self.exception(wanted.id),
            RegistryAction::ChangeException(change) => self.exception(change.id),
            RegistryAction::SetLinkControls(set) => {
                let mut known = links::find(&self.registry, &set.key.link_type, &set.key.id);
                known.retain(|link| link.key == set.key);
                Reply::Links(known)
            }
            _ => Reply::Done,
        }
    }

    /// What the reference may stand for; two are enough to say that it is not clear. However many failed with it, first those
    /// that did not.
    fn references(&self, stated: &StatedReference) -> Reply {
        let of_state = |has_failed| {
            let all = self.registry.references.of(stated);
            all.filter(move |known| known.has_failed == has_failed)
        };
        let known = of_state(false).chain(of_state(true));
        Reply::References(known.take(REFERENCED_MAX).collect())
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
        for to_shard in forward.to_shards {
            ask_shard(&self.shards, to_shard, forward.requester.clone());
        }
    }

    fn card_batch(&self, request: RegistryRequest) -> Reply {
        let (batches, issued) = (&self.registry.card_batches, &self.registry.issued_cards);
        match request {
            RegistryRequest::CardBatch(id) => {
                let found = batches.get(id).map(|batch| batch.progress(issued));
                Reply::CardBatches(found.into_iter().collect())
            }
            RegistryRequest::CardBatches => {
                let all = batches.iter().rev();
                Reply::CardBatches(all.map(|batch| batch.progress(issued)).collect())
            }
            RegistryRequest::CardBatchRows {
                id,
                from,
                status,
                limit,
            } => match batches.get(id) {
                Some(batch) => {
                    let rows = from..batch.order.total;
                    let rows = rows.map(|row| (row, batch.result_of(row, issued)));
                    let is_so = |name: &str| status.as_deref().is_none_or(|status| status == name);
                    let rows = rows.filter(|(_, result)| is_so(result.name()));
                    Reply::CardBatchRows(rows.take(limit).collect())
                }
                None => Reply::NotFound,
            },
            RegistryRequest::CardBatchPortion => {
                Reply::CardBatchPortion(batches.next_portion().map(Box::new))
            }
            RegistryRequest::CardBatchTakenIn(id) => {
                Reply::CardBatchPortion(batches.taken_in(id).map(Box::new))
            }
            _ => Reply::NotFound,
        }
    }

    fn cardholder(&self, id: CardholderId) -> Reply {
        let known = self.registry.cardholders.get(&id).cloned();
        known.map_or(Reply::NotFound, |known| Reply::Cardholder(Box::new(known)))
    }

    /// This one, or all.
    fn approvals(&self, id: Option<ApprovalId>) -> Reply {
        let all = &self.registry.approvals;
        Reply::Approvals(match id {
            Some(id) => all.get(&id).cloned().into_iter().collect(),
            None => all.values().cloned().collect(),
        })
    }

    fn exception(&self, id: ExceptionId) -> Reply {
        let found = exceptions_page::find(&self.registry, id);
        Reply::Exception(found.map(Box::new))
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
    ask_shard(
        shards,
        ToShard {
            token: 0,
            reply_to: Arc::new(Nobody),
            root: pending.root,
            // The latest that the registry knows of the card.
            action: Action::ChangeCardHolder(ChangeCardHolder {
                card_id,
                holder,
                is_set: true,
            }),
        },
        None,
    );
}

/// A command to a shard that the registry gives on.
pub struct ToShard {
    pub token: Token,
    pub reply_to: Arc<dyn ReplySink>,
    pub root: AccountId,
    pub action: Action,
}

/// Asks a shard for what the registry has journalled; where its queue is full, the caller hears so and it is asked again
/// at the next start.
pub fn ask_shard(
    shards: &[Inbox<ShardMessage>],
    to_shard: ToShard,
    requester: Option<Arc<Requester>>,
) {
    let ToShard {
        token,
        reply_to,
        root,
        action,
    } = to_shard;
    let batch = Batch {
        items: vec![(token, ShardRequest::Command { root, action })],
        reply_to: reply_to.clone(),
        deadline: None,
        requester,
    };
    let shard = &shards[shard_of(root, shards.len())];
    if shard
        .offer(ShardMessage::Batch(batch), 1, Priority::Reserved)
        .is_err()
    {
        reply_to.deliver(vec![(token, Reply::Unavailable(Unavailable::Overloaded))]);
    }
}

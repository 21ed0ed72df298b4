//! The whole: the registry and all shards as the fold of the journal. For recovery, snapshots,
//! replays and tests; live, each part is on a thread of its own (see `shard`).

use super::apply::{self, apply};
use super::cardholders::Holder;
use super::command::{Action, OpenCard};
use super::event::Event;
use super::ids::{AccountId, CardId, TokenId, TopUpId, TransferId};
use super::record::Record;
use super::registry::{Registry, RegistryAction, RegistryCommand, RegistryEvent};
use super::registry_decide;
use super::reissue::{ReissueReason, ReplaceCard};
use super::slot_index::hash_of_id;
use super::state::State;
use super::time::{Expiry, Timestamp};
use super::token_numbers::PendingToken;
use super::top_ups::ReserveReference;
use super::transfers::{self, NextStep};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Clone, Default)]
pub struct World {
    pub registry: Registry,
    pub shards: Vec<State>,
    /// Cards that the registry issued and whose shard has not opened them yet; done again on start.
    pub pending_cards: BTreeMap<CardId, PendingCard>,
    /// Cards whose shard has not heard yet what is new of their holder; told again on start.
    pub pending_holders: BTreeMap<CardId, PendingHolder>,
    /// Cards that the registry renewed and whose shard has not heard of it yet; told again on start.
    pub pending_renewals: BTreeMap<CardId, PendingRenewal>,
    /// What transfers between trees wait for; done again on start.
    pub pending_transfers: BTreeMap<TransferId, NextStep>,
    /// Top-ups whose reference is reserved and that their shard has not heard of; told again on start.
    pub pending_top_ups: BTreeMap<TopUpId, ReserveReference>,
    /// Tokens whose number the registry knows and whose shard has not opened them yet; done again on start.
    pub pending_tokens: BTreeMap<TokenId, PendingToken>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PendingHolder {
    pub root: AccountId,
    pub holder: Holder,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PendingCard {
    pub root: AccountId,
    pub open: OpenCard,
    /// The card in whose place it is.
    pub replaces: Option<(CardId, ReissueReason)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PendingRenewal {
    pub root: AccountId,
    pub expiry: Expiry,
}

impl PendingCard {
    /// What the shard is asked for.
    pub fn into_action(self) -> Action {
        let open = self.open;
        match self.replaces {
            None => Action::OpenCard(Box::new(open)),
            Some((replaces, reason)) => Action::ReplaceCard(Box::new(ReplaceCard {
                card_id: open.card_id,
                replaces,
                reason,
                first6: open.first6,
                last4: open.last4,
                expiry: open.expiry,
                holder: open.holder,
                shipping: open.shipping,
                issued_at: open.issued_at,
            })),
        }
    }
}

/// Which of `shards` shards owns the tree of a root account.
pub fn shard_of(root: AccountId, shards: usize) -> usize {
    (hash_of_id(root.0) % shards as u64) as usize
}

/// What the shard has to open for a card that the registry issued.
pub fn open_card_of(command: &RegistryCommand, event: &RegistryEvent) -> Option<PendingCard> {
    let RegistryEvent::CardIssued { links, holder } = event else {
        return None;
    };
    let (issue, replaces) = match &command.action {
        RegistryAction::IssueCard(issue) => (issue.as_ref(), None),
        RegistryAction::ReissueCard(reissue) => {
            let replaces = (reissue.replaces, reissue.reason);
            (&reissue.issue, Some(replaces))
        }
        _ => return None,
    };
    let open = OpenCard {
        card_id: issue.card_id,
        account_id: issue.account_id,
        card_type: issue.card_type,
        first6: issue.first6,
        last4: issue.last4,
        expiry: issue.expiry,
        links: links.clone(),
        controls: issue.controls.clone(),
        wallet: issue.wallet.clone(),
        holder: *holder,
        paid_by: issue.paid_by,
        shipping: issue.shipping.clone(),
        issued_at: command.at,
    };
    Some(PendingCard {
        root: issue.root,
        open,
        replaces,
    })
}

impl World {
    pub fn new(shards: usize) -> World {
        World {
            shards: vec![State::default(); shards],
            ..World::default()
        }
    }

    pub fn shard(&self, root: AccountId) -> &State {
        &self.shards[shard_of(root, self.shards.len())]
    }

    pub fn shard_mut(&mut self, root: AccountId) -> &mut State {
        let shard = shard_of(root, self.shards.len());
        &mut self.shards[shard]
    }

    /// Applies one record of the journal, in journal order.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Shard { command, event, .. } => {
                apply(self.shard_mut(command.root), command, event);
                self.note_told(&command.action, event);
                if let Action::TopUp(top_up) | Action::AnnounceTopUp(top_up) = &command.action {
                    self.pending_top_ups.remove(&top_up.top_up_id);
                }
                if let Some(next) = transfers::next_step(command, event) {
                    self.pending_transfers.insert(next.transfer_id, next);
                }
                if let Action::EndTransfer(end) = &command.action {
                    self.pending_transfers.remove(&end.transfer.id);
                }
            }
            Record::Registry { command, event, .. } => {
                if registry_decide::apply(&mut self.registry, command, event) {
                    self.adopt_view();
                }
                if let RegistryEvent::CardholderVerified { holder, cards }
                | RegistryEvent::CardholderChanged { holder, cards } = event
                {
                    let holder = *holder;
                    let pending = cards.iter().copied();
                    let pending = pending.map(|(id, root)| (id, PendingHolder { root, holder }));
                    self.pending_holders.extend(pending);
                }
                if let (
                    RegistryAction::SetCardholder(set),
                    RegistryEvent::CardholderSet { root, holder },
                ) = (&command.action, event)
                {
                    let (root, holder) = (*root, *holder);
                    let pending = PendingHolder { root, holder };
                    self.pending_holders.insert(set.card_id, pending);
                }
                if let RegistryAction::ReserveReference(reserve) = &command.action {
                    let id = reserve.top_up.top_up_id;
                    if let Some(refused) = reserve.in_place_of {
                        self.pending_top_ups.remove(&refused);
                    }
                    self.pending_top_ups.insert(id, (**reserve).clone());
                }
                if let RegistryAction::RequestToken(request) = &command.action {
                    let pending = request.pending();
                    self.pending_tokens.insert(pending.open.token_id, pending);
                }
                let opens = open_card_of(command, event);
                let opens = opens.map(|pending| (pending.open.card_id, pending));
                self.pending_cards.extend(opens);
                if let (RegistryAction::RenewCard(renew), RegistryEvent::CardRenewed { root }) =
                    (&command.action, event)
                {
                    let (root, expiry) = (*root, renew.expiry);
                    let pending = PendingRenewal { root, expiry };
                    self.pending_renewals.insert(renew.card_id, pending);
                }
            }
        }
    }

    /// A shard has done what the registry had for it.
    fn note_told(&mut self, action: &Action, event: &Event) {
        match (action, event) {
            (Action::OpenCard(open), Event::CardOpened { .. }) => {
                self.pending_cards.remove(&open.card_id);
            }
            (Action::ReplaceCard(replace), Event::CardReplaced(_)) => {
                self.pending_cards.remove(&replace.card_id);
            }
            (Action::OpenToken(open), _) => {
                self.pending_tokens.remove(&open.token_id);
            }
            (Action::ChangeCardHolder(change), _) => {
                let pending = self.pending_holders.get(&change.card_id);
                // An earlier change is not the last one.
                if pending.is_some_and(|pending| pending.holder == change.holder) {
                    self.pending_holders.remove(&change.card_id);
                }
            }
            (Action::RenewCard(renew), Event::CardRenewed(_)) => {
                let pending = self.pending_renewals.get(&renew.card_id);
                // An earlier renewal is not the last one.
                if pending.is_some_and(|pending| pending.expiry == renew.expiry) {
                    self.pending_renewals.remove(&renew.card_id);
                }
            }
            _ => {}
        }
    }

    /// The latest time of any command.
    pub fn latest(&self) -> Timestamp {
        let shards = self.shards.iter().map(|state| state.now);
        shards.fold(self.registry.now, Timestamp::max)
    }

    /// The shard that has this account, if any has.
    pub(super) fn shard_with(&mut self, account_id: AccountId) -> Option<&mut State> {
        let mut shards = self.shards.iter_mut();
        shards.find(|state| state.account_slot(account_id).is_some())
    }

    pub(super) fn adopt_view(&mut self) {
        for shard in &mut self.shards {
            shard.registry = Arc::clone(&self.registry.view);
        }
    }
}

/// The answer for a record of a message, as it went out.
pub fn answer(record: &Record) -> Option<super::event::Answer> {
    match record {
        Record::Shard { command, event, .. } => apply::answer(command, event),
        Record::Registry { command, event, .. } => registry_decide::answer(command, event),
    }
}

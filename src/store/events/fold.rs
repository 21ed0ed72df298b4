//! Records become events: what they need to know is kept here as the records change it, who wants them is asked, and
//! each is numbered among the events of its object.

use super::about::{About, Subject};
use super::balances;
use super::cards::owner_names;
use super::derive;
use super::links::Piece;
use super::row::{EventCountRow, EventRow, EventRows, LinkStateRow, PlaceJson, WebhookEndpointRow};
use super::tokens;
use super::types::EventType;
use crate::engine::command::Action;
use crate::engine::event::Event;
use crate::engine::ids::{
    AccountId, AuthorizationId, CardId, EventId, LinkId, ProgramId, TokenId, TransactionId,
    WebhookEndpointId,
};
use crate::engine::link_states::LinkStatus;
use crate::engine::record::Record;
use crate::engine::registry::{LinkKey, RegistryAction, RegistryCommand, RegistryEvent};
use crate::engine::webhook_endpoints::WebhookEndpoint;
use crate::store::effect::{Effect, effect_of};
use crate::store::from_message;
use crate::store::from_posting::transaction_of;
use crate::store::from_record;
use crate::store::row_json;
use crate::store::rows::{AccountFacts, AccountRow, AuthorizationRow, CardRow, Sequence, TokenRow};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

pub(super) type Content = Vec<(&'static str, Value)>;

/// An event before it is known where it happened.
pub(super) struct Draft {
    pub event_type: EventType,
    pub subject: Subject,
    pub content: Content,
}

/// What events need to know of rows: as the tables have them, and as the records before leave them.
#[derive(Debug, Default)]
pub struct EventContext {
    /// Who has subscribed.
    pub endpoints: BTreeMap<WebhookEndpointId, (Sequence, WebhookEndpoint)>,
    pub cards: HashMap<CardId, CardRow>,
    /// The card that was issued in the place of one.
    pub replaced_by: HashMap<CardId, CardId>,
    /// Types and ids.
    pub links: HashMap<CardId, Vec<(String, String)>>,
    /// Of the links of those cards.
    pub link_names: HashMap<LinkId, (String, String)>,
    /// With those above them.
    pub accounts: HashMap<AccountId, AccountRow>,
    pub authorizations: HashMap<AuthorizationId, AuthorizationRow>,
    pub tokens: HashMap<TokenId, TokenRow>,
    /// What was posted for authorizations, in the order in which it came.
    pub transactions: HashMap<AuthorizationId, Vec<TransactionId>>,
    /// Events that objects have had.
    pub counts: HashMap<String, u64>,
    /// The objects whose count is known: all that these records can be about.
    pub learned: HashSet<String>,
    /// Of programs, in percents.
    pub limit_thresholds: HashMap<ProgramId, Vec<u8>>,
    /// By their keys (see [`link_text`]), with the record of their last change; what is not here is active.
    pub link_states: HashMap<String, (LinkStatus, Sequence)>,
    /// The cards that the one record tells of.
    pub piece: Option<Piece>,
}

/// A linked object as one text.
pub fn link_text(program_id: ProgramId, link_type: &str, id: &str) -> String {
    format!("{program_id}/{link_type}/{id}")
}

pub(super) fn text_of(key: &LinkKey) -> String {
    link_text(key.program_id, &key.link_type, &key.id)
}

impl EventContext {
    pub fn facts_of(&self, id: AccountId) -> Option<AccountFacts> {
        let account = self.accounts.get(&id)?;
        Some(AccountFacts {
            currency: account.currency,
            program_id: account.program_id,
        })
    }

    pub(super) fn authorization_json(&self, row: &AuthorizationRow) -> Value {
        let posted = self.transactions.get(&row.id);
        let posted = posted.map_or(&[][..], Vec::as_slice);
        // The response code is put in where it is told: it is the dialect's.
        let links = self.links_json(row.card_id);
        let link = |id| self.link_json(id);
        row_json::authorization(row, links, &owner_names(&link), posted, None)
    }

    pub(super) fn links_json(&self, id: CardId) -> Vec<Value> {
        let links = self.links.get(&id).map_or(&[][..], Vec::as_slice);
        let json = |(link_type, id): &(String, String)| row_json::link(link_type, id);
        links.iter().map(json).collect()
    }

    pub(super) fn about_card(&self, id: CardId, event_type: EventType) -> Option<Draft> {
        self.about_card_with(id, event_type, self.worst_link(id, None, None))
    }

    /// The same, with its links at the worst of these.
    pub(super) fn about_card_with(
        &self,
        id: CardId,
        event_type: EventType,
        of_links: LinkStatus,
    ) -> Option<Draft> {
        let row = self.cards.get(&id)?;
        let card = row_json::card(row, self.links_json(id), of_links);
        Some(Draft {
            event_type,
            subject: Subject::Card(id),
            content: vec![("card", card)],
        })
    }

    pub(super) fn about_account(&self, id: AccountId, event_type: EventType) -> Option<Draft> {
        let row = self.accounts.get(&id)?;
        let account = json!({
            "id": id.to_string(),
            "object": "account",
            "program_id": row.program_id.to_string(),
            "parent_id": row.parent_id.map(|id| id.to_string()),
            "name": row.name,
            "currency": row.currency.alpha(),
            "status": row.status.name(),
            "created_at": row.created_at_ms.to_string(),
        });
        Some(Draft {
            event_type,
            subject: Subject::Account(id),
            content: vec![("account", account)],
        })
    }

    pub(super) fn accounts_above(&self, id: AccountId) -> Vec<AccountId> {
        let mut chain = vec![id];
        let mut at = id;
        while let Some(parent) = self.accounts.get(&at).and_then(|row| row.parent_id) {
            // A tree has few levels; a row that names itself is none of ours.
            if chain.contains(&parent) {
                break;
            }
            chain.push(parent);
            at = parent;
        }
        chain
    }
}

/// The events of a run of records.
pub struct EventFold<'a> {
    context: &'a mut EventContext,
    /// Somebody has subscribed, or does in these records: then all of them are taken in, also those before.
    learns: bool,
    pub rows: Vec<EventRow>,
    counted: BTreeSet<String>,
    endpoints_changed: BTreeSet<WebhookEndpointId>,
    link_states_changed: BTreeSet<String>,
}

impl<'a> EventFold<'a> {
    pub fn new(context: &'a mut EventContext, learns: bool) -> EventFold<'a> {
        EventFold {
            context,
            learns,
            rows: Vec::new(),
            counted: BTreeSet::new(),
            endpoints_changed: BTreeSet::new(),
            link_states_changed: BTreeSet::new(),
        }
    }

    pub fn record(&mut self, sequence: Sequence, record: &Record) {
        if self.learns {
            self.take_in(sequence, record);
        }
        if let Record::Registry { command, event, .. } = record {
            self.take_in_registry(sequence, command, event);
        }
        if self.context.endpoints.is_empty() {
            return;
        }
        let drafts = derive::of_record(self.context, sequence, record);
        for (place, draft) in (0..).zip(drafts) {
            self.emit(EventId::of_record(sequence, place), record, draft);
        }
    }

    /// What the record makes and changes.
    fn take_in(&mut self, sequence: Sequence, record: &Record) {
        let context = &mut *self.context;
        let accounts: HashMap<_, _> = from_message::account_of(record)
            .and_then(|id| Some((id, context.facts_of(id)?)))
            .into_iter()
            .collect();
        let row =
            from_message::authorization_row(sequence, record, |id| accounts.get(&id).copied());
        if let Some(row) = row {
            context.authorizations.insert(row.id, row);
        }
        for (id, change) in effect_of(record).into_iter().flat_map(Effect::changes) {
            if let Some(row) = context.authorizations.get_mut(&id) {
                change.apply(row);
            }
        }
        // Before what it is charged is taken.
        if let Record::Shard { command, .. } = record
            && let Action::OpenAccount(open) = &command.action
        {
            let row = from_record::account_row(sequence, command.root, command.at, open);
            context.accounts.insert(row.id, row);
        }
        for (id, (posted_minor, held_minor)) in balances::moves_of(record) {
            if let Some(row) = context.accounts.get_mut(&id) {
                row.posted_minor += posted_minor;
                row.held_minor += held_minor;
            }
        }
        if let Some((id, of)) = transaction_of(record) {
            context.transactions.entry(of).or_default().push(id);
        }
        let Record::Shard { command, event, .. } = record else {
            return;
        };
        tokens::take_in(context, sequence, command, event);
        context.take_in_card_change(command, event);
        if let (Action::ChangeAccountStatus(change), Event::AccountStatusChanged { to, .. }) =
            (&command.action, event)
            && let Some(row) = context.accounts.get_mut(&change.account_id)
        {
            row.status = *to;
        }
    }

    fn take_in_registry(
        &mut self,
        sequence: Sequence,
        command: &RegistryCommand,
        event: &RegistryEvent,
    ) {
        let context = &mut *self.context;
        balances::take_in_thresholds(context, &command.action);
        match (&command.action, event) {
            (RegistryAction::IssueCard(issue), RegistryEvent::CardIssued { links, .. }) => {
                let row = from_record::card_row(sequence, command.at, issue);
                context.take_in_card(row, issue, links);
            }
            (RegistryAction::ReissueCard(reissue), RegistryEvent::CardIssued { links, .. }) => {
                let row = CardRow {
                    replacement_for: Some(reissue.replaces),
                    ..from_record::card_row(sequence, command.at, &reissue.issue)
                };
                context.take_in_card(row, &reissue.issue, links);
            }
            (RegistryAction::RenewCard(renew), RegistryEvent::CardRenewed { .. }) => {
                if let Some(row) = context.cards.get_mut(&renew.card_id) {
                    row.exp_month = renew.expiry.month();
                    row.exp_year = renew.expiry.year();
                }
            }
            (RegistryAction::SetCardholder(set), RegistryEvent::CardholderSet { .. }) => {
                if let Some(row) = context.cards.get_mut(&set.card_id) {
                    row.cardholder_id = Some(set.cardholder_id);
                }
            }
            (
                RegistryAction::PutWebhookEndpoint(endpoint),
                RegistryEvent::WebhookEndpointPut { .. },
            ) => {
                let since = context.endpoints.get(&endpoint.id);
                let since = since.map_or(sequence, |(since, _)| *since);
                let known = (since, (**endpoint).clone());
                context.endpoints.insert(endpoint.id, known);
                self.endpoints_changed.insert(endpoint.id);
            }
            (
                RegistryAction::DeleteWebhookEndpoint(id),
                RegistryEvent::WebhookEndpointDeleted { .. },
            ) => {
                context.endpoints.remove(id);
                self.endpoints_changed.insert(*id);
            }
            (
                RegistryAction::DisableWebhookEndpoint { id, .. },
                RegistryEvent::WebhookEndpointDisabled { state, .. },
            ) => {
                if let Some((_, endpoint)) = context.endpoints.get_mut(id) {
                    endpoint.state = *state;
                }
                self.endpoints_changed.insert(*id);
            }
            (RegistryAction::ChangeLinkStatus(change), RegistryEvent::LinkStatusChanged { .. }) => {
                let text = text_of(&change.key);
                let state = (change.to, sequence);
                context.link_states.insert(text.clone(), state);
                self.link_states_changed.insert(text);
            }
            _ => {}
        }
    }

    fn emit(&mut self, id: EventId, record: &Record, draft: Draft) {
        let context = &mut *self.context;
        let About {
            card_id,
            account_id,
            seen_at,
            program_id,
            object_id,
            links,
            seen_by,
        } = About::of(draft.subject, context);
        let accounts = seen_at.map_or_else(Vec::new, |id| context.accounts_above(id));
        let place = PlaceJson {
            accounts: accounts.iter().map(ToString::to_string).collect(),
            links: seen_by,
        };
        let name = draft.event_type.name();
        let mut endpoints = context.endpoints.values();
        let wanted = match program_id {
            Some(program_id) => place.with(program_id, |place| {
                endpoints.any(|(_, endpoint)| endpoint.wants(name, Some(place)))
            }),
            None => endpoints.any(|(_, endpoint)| endpoint.wants(name, None)),
        };
        if !wanted {
            return;
        }
        // Else it would be numbered from 1 again; `Needs::note` has to name it.
        debug_assert!(
            context.learned.contains(&object_id),
            "{name} of {object_id}"
        );
        let count = context.counts.entry(object_id.clone()).or_default();
        *count += 1;
        let object_sequence = *count;
        let mut data = flat_links(&links);
        let mut put = |name: &str, value: Value| drop(data.insert(name.to_owned(), value));
        put("card_id", json!(card_id.map(|id| id.to_string())));
        put("balance_id", json!(account_id.map(|id| id.to_string())));
        put("program_id", json!(program_id.map(|id| id.to_string())));
        put("links", links_json(&links));
        put("object_id", json!(object_id));
        put("sequence", object_sequence.into());
        let authorization_id = authorization_of(&draft.content);
        let content = draft.content.into_iter();
        content.for_each(|(name, value)| put(name, value));
        self.counted.insert(object_id.clone());
        self.rows.push(EventRow {
            number: id.0,
            event_type: name.to_owned(),
            program_id,
            account_id,
            card_id,
            object_id,
            object_sequence,
            place_json: program_id.map(|_| place.text()),
            data_json: Value::Object(data).to_string(),
            created_at_ms: from_record::taken(record).0,
            authorization_id,
            seen_at_account_id: seen_at,
        });
    }

    /// The rows to put in the place of those of the same keys: counts, endpoints, states of links. Endpoints that are
    /// gone, and links that are active again, have none.
    pub fn finish(self) -> EventRows {
        let context = &*self.context;
        let counts = self.counted.iter().map(|object_id| EventCountRow {
            object_id: object_id.clone(),
            events: context.counts.get(object_id).copied().unwrap_or_default(),
        });
        let endpoints = self.endpoints_changed.iter().filter_map(|id| {
            let (sequence, endpoint) = context.endpoints.get(id)?;
            Some(WebhookEndpointRow {
                id: id.to_string(),
                sequence: *sequence,
                definition_json: json!(endpoint).to_string(),
            })
        });
        let link_states = self.link_states_changed.iter().filter_map(|text| {
            let (status, sequence) = *context.link_states.get(text)?;
            (status != LinkStatus::Active).then(|| LinkStateRow {
                link_key: text.clone(),
                status: status.name().to_owned(),
                sequence,
            })
        });
        let piece = context.piece.as_ref();
        EventRows {
            untold_link_changes: piece.and_then(Piece::rest).into_iter().collect(),
            untold_changed: piece
                .map(|piece| piece.change.id.clone())
                .into_iter()
                .collect(),
            counts: counts.collect(),
            endpoints: endpoints.collect(),
            link_states: link_states.collect(),
            counted: self.counted.into_iter().collect(),
            endpoints_changed: self
                .endpoints_changed
                .iter()
                .map(ToString::to_string)
                .collect(),
            link_states_changed: self.link_states_changed.into_iter().collect(),
            events: self.rows,
        }
    }
}

/// The payment that an event names, by whatever it tells.
fn authorization_of(content: &Content) -> Option<AuthorizationId> {
    let id_in = |(name, value): &(&str, Value)| {
        let id = match *name {
            "authorization" => &value["id"],
            "authorization_id" => value,
            "fee" if value["cause"]["type"] == "authorization" => &value["cause"]["id"],
            _ => &value["authorization_id"],
        };
        id.as_str()?.parse().ok()
    };
    content.iter().find_map(id_in)
}

fn links_json(links: &[(String, String)]) -> Value {
    let links = links.iter();
    links.map(|(kind, id)| row_json::link(kind, id)).collect()
}

/// Each link as `<type>_id`; the first of a type, where there are several.
fn flat_links(links: &[(String, String)]) -> Map<String, Value> {
    let mut flat = Map::new();
    flat.insert("user_id".to_owned(), Value::Null);
    for (link_type, id) in links.iter().rev() {
        flat.insert(format!("{link_type}_id"), id.as_str().into());
    }
    flat
}

//! What the events of a run of records need to know of rows that were there before, and reading it.

use super::balances;
use super::fold::{EventContext, link_text, text_of};
use super::links::{Piece, link_status};
use super::row::{EventCountRow, LinkStateRow, UntoldLinkChangeRow, WebhookEndpointRow};
use crate::engine::approvals::{ApprovalPlace, GuardedWrite};
use crate::engine::command::Action;
use crate::engine::event::Event;
use crate::engine::exceptions::Subject;
use crate::engine::ids::{AccountId, AuthorizationId, CardId, EventId, TokenId};
use crate::engine::record::Record;
use crate::engine::registry::{LinkKey, RegistryAction, RegistryEvent};
use crate::engine::transfers::Transfer;
use crate::store::columns::{Column, TableRow};
use crate::store::database::{Store, Value};
use crate::store::effect::{Effect, effect_of};
use crate::store::error::StoreError;
use crate::store::from_fees::charges_of;
use crate::store::from_message::{
    account_of, advice_of, request_of, resolved_of, undoing_of, withheld_of,
};
use crate::store::from_posting::transaction_of;
use crate::store::rows::{
    AccountRow, AuthorizationRow, CardLinkRow, CardRow, ProgramRow, Sequence, TokenRow,
};
use std::collections::BTreeSet;

/// Keys that one query asks about.
const ASK_MAX: usize = 500;

/// Cards of a linked object that one record tells of are fewer (see `store/fan_out.rs`).
const CARDS_MAX: usize = 1 << 20;

/// The cards of a linked object.
const LINKED_TO: &str = "FROM card_links WHERE link_type = $1 AND link_id = $2 AND program_id = $3";

#[derive(Debug, Default)]
pub(in crate::store) struct Needs {
    cards: BTreeSet<CardId>,
    accounts: BTreeSet<AccountId>,
    authorizations: BTreeSet<AuthorizationId>,
    tokens: BTreeSet<TokenId>,
    links: Vec<LinkKey>,
    /// Of cards that are issued meanwhile.
    link_states: Vec<LinkKey>,
    /// Ids of objects that are neither.
    others: BTreeSet<String>,
}

/// Whether somebody subscribes in these records.
pub(in crate::store) fn subscribe(records: &[(Sequence, Record)]) -> bool {
    records.iter().any(|(_, record)| {
        matches!(record, Record::Registry { command, .. }
            if matches!(command.action, RegistryAction::PutWebhookEndpoint(_)))
    })
}

/// `None` where nobody has subscribed, nor does in these records.
pub(in crate::store) fn needs(records: &[(Sequence, Record)], subscribed: bool) -> Option<Needs> {
    if !subscribed && !subscribe(records) {
        return None;
    }
    let mut needs = Needs::default();
    needs.others.insert("unknown_card".to_owned());
    for (_, record) in records {
        needs.note(record);
    }
    needs.cards.remove(&CardId::default());
    Some(needs)
}

/// Of what a linked object does to these cards of it.
pub(in crate::store) fn needs_of_piece(piece: &Piece) -> Needs {
    Needs {
        cards: piece.cards.iter().copied().collect(),
        link_states: vec![piece.key()],
        ..Needs::default()
    }
}

impl Needs {
    fn note(&mut self, record: &Record) {
        self.accounts.extend(account_of(record));
        self.accounts.extend(balances::moves_of(record).keys());
        let changes = effect_of(record).into_iter().flat_map(Effect::changes);
        self.authorizations.extend(changes.map(|(id, _)| id));
        self.authorizations
            .extend(transaction_of(record).map(|(_, id)| id));
        let requested = request_of(record).map(|(authorize, _)| authorize.card_id);
        let advised = advice_of(record).map(|(advise, _)| advise.payment.card_id);
        self.cards.extend(requested.or(advised));
        if let Some((resolve, _)) = resolved_of(record) {
            self.authorizations.insert(resolve.authorization_id);
        }
        if let Some((withhold, _)) = withheld_of(record) {
            self.cards.insert(withhold.payment.card_id);
            self.authorizations
                .insert(withhold.payment.authorization_id);
        }
        if let Some(undoing) = undoing_of(record) {
            self.cards.insert(undoing.card_id);
            self.authorizations.insert(undoing.undone.authorization_id);
        }
        for charge in charges_of(record) {
            self.accounts.insert(charge.account_id);
            self.cards.extend(charge.card_id);
        }
        match record {
            Record::Shard { command, event, .. } => {
                self.note_action(&command.action);
                self.note_tokens(&command.action, event);
                // Of one that failed too, which moves nothing.
                if let Event::AutoToppedUp(done) = event {
                    let Transfer {
                        from_account_id,
                        to_account_id,
                        ..
                    } = &done.transfer;
                    self.accounts.extend([from_account_id, to_account_id]);
                }
            }
            Record::Registry { command, event, .. } => {
                self.note_registry(&command.action);
                match event {
                    RegistryEvent::ExceptionChanged { of, .. }
                    | RegistryEvent::ExceptionExpired { of, .. } => self.note_exception(of.subject),
                    RegistryEvent::ApprovalChanged { place, .. } => self.note_approval(place),
                    _ => {}
                }
            }
        }
    }

    fn note_action(&mut self, action: &Action) {
        match action {
            Action::OpenAccount(open) => {
                self.accounts.insert(open.account_id);
                self.accounts.extend(open.parent_id);
            }
            Action::ChangeAccountStatus(change) => drop(self.accounts.insert(change.account_id)),
            Action::TopUp(top_up) | Action::AnnounceTopUp(top_up) => {
                self.accounts.insert(top_up.account_id);
            }
            Action::EndTopUp(end) => drop(self.accounts.insert(end.account_id)),
            Action::Transfer(transfer) => {
                let ids = [transfer.from_account_id, transfer.to_account_id];
                self.accounts.extend(ids);
            }
            Action::ReceiveTransfer(receive) => {
                self.accounts.insert(receive.transfer.to_account_id);
            }
            Action::NoteLowBalance(low) => drop(self.accounts.insert(low.account_id)),
            Action::EndTransfer(end) => {
                self.accounts.insert(end.transfer.from_account_id);
            }
            Action::OpenCard(open) => drop(self.cards.insert(open.card_id)),
            Action::ReplaceCard(replace) => self.cards.extend([replace.card_id, replace.replaces]),
            Action::RenewCard(renew) => drop(self.cards.insert(renew.card_id)),
            Action::ExpireCard(expire) => drop(self.cards.insert(expire.card_id)),
            Action::ChangeCardStatus(change) => drop(self.cards.insert(change.card_id)),
            Action::ChangeShipping(change) => drop(self.cards.insert(change.card_id)),
            Action::ChangeCardControls(change) => drop(self.cards.insert(change.card_id)),
            Action::ChangeCardHolder(change) => drop(self.cards.insert(change.card_id)),
            Action::ChangeAccount(change) => drop(self.accounts.insert(change.account_id)),
            _ => {}
        }
    }

    fn note_tokens(&mut self, action: &Action, event: &Event) {
        match (action, event) {
            (Action::OpenToken(_), Event::TokenOpened { card_id, .. }) => {
                self.cards.insert(*card_id);
            }
            (Action::ChangeTokenStatus(change), _) => drop(self.tokens.insert(change.token_id)),
            (_, Event::CardStatusChanged { tokens, .. }) => self.tokens.extend(tokens),
            (_, Event::CardReplaced(replaced)) => self.tokens.extend(&replaced.tokens),
            _ => {}
        }
    }

    fn note_exception(&mut self, subject: Subject) {
        match subject {
            Subject::Card(id) => drop(self.cards.insert(id)),
            Subject::Account(id) => drop(self.accounts.insert(id)),
            Subject::Link(_) => {}
        }
    }

    fn note_approval(&mut self, place: &ApprovalPlace) {
        match place.write {
            GuardedWrite::ChangeCard(id) => drop(self.cards.insert(id)),
            GuardedWrite::TopUp(id) | GuardedWrite::ChangeAccount(id) => {
                self.accounts.insert(id);
            }
            _ => {}
        }
    }

    fn note_registry(&mut self, action: &RegistryAction) {
        match action {
            RegistryAction::IssueCard(issue) => {
                self.cards.insert(issue.card_id);
                self.accounts.insert(issue.account_id);
                self.link_states.extend(issue.links.iter().cloned());
            }
            RegistryAction::ReissueCard(reissue) => {
                self.cards.extend([reissue.issue.card_id, reissue.replaces]);
                self.accounts.insert(reissue.issue.account_id);
                let links = reissue.issue.links.iter();
                self.link_states.extend(links.cloned());
            }
            RegistryAction::RenewCard(renew) => drop(self.cards.insert(renew.card_id)),
            RegistryAction::RevealCard(reveal) => drop(self.cards.insert(reveal.card_id)),
            RegistryAction::ChangeLinkStatus(change) => self.links.push(change.key.clone()),
            RegistryAction::ChangeRiskRule { rule_id, .. } => {
                self.others.insert(rule_id.to_string());
            }
            RegistryAction::RequestException(wanted) => {
                self.others.insert(wanted.id.to_string());
                self.note_exception(wanted.subject);
            }
            RegistryAction::ChangeException(change) => {
                self.others.insert(change.id.to_string());
            }
            RegistryAction::ExpireException(id) => drop(self.others.insert(id.to_string())),
            RegistryAction::SetLinkControls(set) => drop(self.others.insert(text_of(&set.key))),
            RegistryAction::ChangeProgram(change) => {
                self.others.insert(change.id.to_string());
            }
            RegistryAction::RequestApproval(wanted) => {
                self.others.insert(wanted.id.to_string());
            }
            RegistryAction::ChangeApproval(change) => {
                self.others.insert(change.id.to_string());
            }
            RegistryAction::DisableWebhookEndpoint { id, .. } => {
                self.others.insert(id.to_string());
            }
            _ => {}
        }
    }
}

impl Store {
    /// Who had subscribed at the projection's position.
    pub(in crate::store) async fn event_endpoints(&self) -> Result<EventContext, StoreError> {
        let sql = format!(
            "SELECT {} FROM webhook_endpoints ORDER BY id",
            WebhookEndpointRow::select()
        );
        let rows = self
            .fetch(sql, &[], |row| WebhookEndpointRow::take(row, 0))
            .await?;
        let mut context = EventContext::default();
        for row in rows {
            let endpoint = serde_json::from_str(&row.definition_json);
            let endpoint: crate::engine::webhook_endpoints::WebhookEndpoint =
                endpoint.map_err(|error| {
                    let error = sqlx::Error::Decode(Box::new(error));
                    self.error("read who has subscribed to events", error)
                })?;
            context
                .endpoints
                .insert(endpoint.id, (row.sequence, endpoint));
        }
        Ok(context)
    }

    /// Puts into the context what these records need, in place of what those before them needed.
    pub(in crate::store) async fn learn_for_events(
        &self,
        context: &mut EventContext,
        mut needs: Needs,
    ) -> Result<(), StoreError> {
        let endpoints = std::mem::take(&mut context.endpoints);
        *context = EventContext {
            endpoints,
            ..EventContext::default()
        };
        let ids = texts(&needs.authorizations);
        for row in self.rows_of::<AuthorizationRow>("id", &ids).await? {
            needs.cards.insert(row.card_id);
            context.authorizations.insert(row.id, row);
        }
        let ids = texts(&needs.tokens);
        for row in self.rows_of::<TokenRow>("id", &ids).await? {
            needs.cards.insert(row.card_id);
            context.tokens.insert(row.id, row);
        }
        let ids: Vec<AuthorizationId> = context.authorizations.keys().copied().collect();
        for (of, id) in self.transactions_of(&ids, None).await? {
            context.transactions.entry(of).or_default().push(id);
        }
        for key in &needs.links {
            let cards = self.cards_linked_to(key, CardId::default(), CARDS_MAX);
            needs.cards.extend(cards.await?);
        }
        let firsts = needs.accounts.iter().map(|id| id.opened_for());
        needs.cards.extend(firsts);
        needs.cards.remove(&CardId::default());
        let of_own = std::mem::take(&mut needs.accounts);
        self.learn_cards(context, &mut needs, &of_own).await?;
        needs.accounts.extend(of_own);
        let ids = texts(&needs.cards);
        for row in self.rows_of::<CardLinkRow>("card_id", &ids).await? {
            let link = (row.link_type, row.link_id);
            context.link_names.insert(row.number, link.clone());
            context.links.entry(row.card_id).or_default().push(link);
        }
        context.links.values_mut().for_each(|links| links.sort());
        self.learn_accounts(context, &needs.accounts).await?;
        self.learn_limit_thresholds(context).await?;
        let of_issued = needs.link_states.iter();
        let mut keys: BTreeSet<String> = of_issued.chain(&needs.links).map(text_of).collect();
        for (id, links) in &context.links {
            if let Some(card) = context.cards.get(id) {
                let own = links
                    .iter()
                    .map(|(link_type, id)| link_text(card.program_id, link_type, id));
                keys.extend(own);
            }
        }
        let keys: Vec<String> = keys.into_iter().collect();
        for row in self.rows_of::<LinkStateRow>("link_key", &keys).await? {
            let state = (link_status(&row.status), row.sequence);
            context.link_states.insert(row.link_key, state);
        }
        let mut objects = ids;
        objects.extend(needs.accounts.iter().map(ToString::to_string));
        objects.extend(needs.others);
        for row in self.rows_of::<EventCountRow>("object_id", &objects).await? {
            context.counts.insert(row.object_id, row.events);
        }
        context.learned = objects.into_iter().collect();
        Ok(())
    }

    /// Cards, and of the first ones of these accounts those that were issued in their place.
    async fn learn_cards(
        &self,
        context: &mut EventContext,
        needs: &mut Needs,
        of_own: &BTreeSet<AccountId>,
    ) -> Result<(), StoreError> {
        let (mut key, mut ids) = ("id", texts(&needs.cards));
        while !ids.is_empty() {
            let mut of_chains = Vec::new();
            for row in self.rows_of::<CardRow>(key, &ids).await? {
                let is_first = row.account_id.opened_for() == row.id;
                // Later cards have greater ids: it comes to an end.
                let is_later = row.replacement_for.is_some_and(|before| before < row.id);
                let is_next = key != "id" && is_later;
                if is_next || is_first && of_own.contains(&row.account_id) {
                    of_chains.push(row.id.to_string());
                }
                needs.cards.insert(row.id);
                needs.accounts.insert(row.account_id);
                context.links.entry(row.id).or_default();
                context.note_card(row);
            }
            (key, ids) = ("replacement_for", of_chains);
        }
        Ok(())
    }

    /// Accounts with all that are above them.
    async fn learn_accounts(
        &self,
        context: &mut EventContext,
        accounts: &BTreeSet<AccountId>,
    ) -> Result<(), StoreError> {
        let mut wanted = texts(accounts);
        while !wanted.is_empty() {
            let rows = self.rows_of::<AccountRow>("id", &wanted).await?;
            let parents: BTreeSet<AccountId> =
                rows.iter().filter_map(|row| row.parent_id).collect();
            context
                .accounts
                .extend(rows.into_iter().map(|row| (row.id, row)));
            let known = |id: &&AccountId| !context.accounts.contains_key(*id);
            wanted = parents
                .iter()
                .filter(known)
                .map(ToString::to_string)
                .collect();
        }
        Ok(())
    }

    /// Of the programs that these accounts are of.
    async fn learn_limit_thresholds(&self, context: &mut EventContext) -> Result<(), StoreError> {
        let programs = context.accounts.values().map(|row| row.program_id);
        let ids = texts(&programs.collect());
        for row in self.rows_of::<ProgramRow>("id", &ids).await? {
            let percents = row.limit_threshold_percents.split(' ');
            let percents = percents.filter_map(|percent| percent.parse().ok());
            context.limit_thresholds.insert(row.id, percents.collect());
        }
        Ok(())
    }

    /// At most so many are counted.
    pub(in crate::store) async fn count_cards_linked_to(
        &self,
        key: &LinkKey,
        at_most: usize,
    ) -> Result<usize, StoreError> {
        let sql = format!("SELECT COUNT(*) FROM (SELECT 1 {LINKED_TO} LIMIT {at_most}) AS counted");
        let counts: Vec<i64> = self.of_link(sql, key).await?;
        Ok(counts.first().map_or(0, |count| *count as usize))
    }

    /// In the order of their ids, those after one, so many at most.
    pub(in crate::store) async fn cards_linked_to(
        &self,
        key: &LinkKey,
        after: CardId,
        at_most: usize,
    ) -> Result<Vec<CardId>, StoreError> {
        let sql = format!(
            "SELECT card_id {LINKED_TO} AND card_id > '{after}' ORDER BY card_id LIMIT {at_most}"
        );
        self.of_link(sql, key).await
    }

    /// The change that this record made, as far as its cards are not told of yet.
    pub(in crate::store) async fn untold_link_change(
        &self,
        changed_at: Sequence,
    ) -> Result<Option<UntoldLinkChangeRow>, StoreError> {
        let id = EventId::of_record(changed_at, 0).to_string();
        let mut rows = self.rows_of::<UntoldLinkChangeRow>("id", &[id]).await?;
        Ok(rows.pop())
    }

    /// The oldest of each program, in the order of the programs.
    pub async fn untold_link_changes(&self) -> Result<Vec<UntoldLinkChangeRow>, StoreError> {
        let (columns, table) = (UntoldLinkChangeRow::select(), UntoldLinkChangeRow::TABLE);
        let sql = format!(
            "SELECT {columns} FROM {table} WHERE sequence IN \
             (SELECT MIN(sequence) FROM {table} GROUP BY program_id) ORDER BY program_id"
        );
        self.fetch(sql, &[], |row| UntoldLinkChangeRow::take(row, 0))
            .await
    }

    /// One column of what is asked of an object's cards by `LINKED_TO`.
    async fn of_link<T: Column>(&self, sql: String, key: &LinkKey) -> Result<Vec<T>, StoreError> {
        let values = [
            Value::Text(key.link_type.to_string()),
            Value::Text(key.id.to_string()),
            Value::Text(key.program_id.to_string()),
        ];
        self.fetch(sql, &values, |row| T::take(row, 0)).await
    }

    /// The rows with one of these keys, as far as there are any.
    async fn rows_of<R: TableRow>(&self, key: &str, keys: &[String]) -> Result<Vec<R>, StoreError> {
        let (columns, table) = (R::select(), R::TABLE);
        let mut rows = Vec::new();
        for keys in keys.chunks(ASK_MAX) {
            let places: Vec<String> = (1..=keys.len()).map(|place| format!("${place}")).collect();
            let places = places.join(", ");
            let sql = format!("SELECT {columns} FROM {table} WHERE {key} IN ({places})");
            let values: Vec<Value> = keys.iter().cloned().map(Value::Text).collect();
            rows.extend(self.fetch(sql, &values, |row| R::take(row, 0)).await?);
        }
        Ok(rows)
    }
}

fn texts<Id: ToString>(ids: &BTreeSet<Id>) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fold::link_text;
    use super::*;
    use crate::engine::ids::ProgramId;

    #[test]
    fn nobody_subscribed_needs_nothing() {
        assert!(needs(&[], false).is_none());
        assert!(needs(&[], true).is_some());
        assert_eq!(
            link_text(ProgramId(1), "project", "p/1"),
            "prog_0000000000001/project/p/1"
        );
    }
}

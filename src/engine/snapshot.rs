//! A world as a stream of items, and back: registry, trees, and what is remembered. Files, checksums
//! and when to write one live in `journal`.
//!
//! Each item is a 32-bit little-endian length and that many bytes (postcard). The items are those
//! of the trees, not of the shards, so that a snapshot restores to any number of shards.

use super::api_keys::ApiKey;
use super::apply::{insert_account, insert_card};
use super::approvals::Approval;
use super::authorizations::Authorization;
use super::card_batches::CardBatch;
use super::cardholders::Cardholder;
use super::controls::Controls;
use super::counters::Counters;
use super::decision_endpoints::DecisionEndpoint;
use super::exceptions::ControlException;
use super::facts::RepeatKey;
use super::fees::schedule::{self, FeeSchedule};
use super::first_answer::FirstAnswer;
use super::groups::{MccGroup, SharedMerchantList};
use super::ids::{
    AccountId, ApiKeyId, CardId, LimitId, LinkId, TokenId, TopUpId, TransferId, WebhookEndpointId,
};
use super::link_states::LinkStatus;
use super::rates::Rates;
use super::registry::{
    EngineSettings, IdempotencyEntry, IdempotencyKey, IssuedCard, LinkKey, Program, RegistryView,
};
use super::reversals::Reversal;
use super::risk::rule::RiskRule;
use super::shared_counters::SharedKey;
use super::snapshot_bytes::{Writer, read_item};
pub use super::snapshot_error::SnapshotError;
use super::state::{Account, Card, State};
use super::time::Timestamp;
use super::token_numbers::{PendingToken, TokenNumber};
use super::tokens::Token;
use super::top_ups::{EndTopUp, PendingTopUp, Referenced, ReserveReference};
use super::transfers::{KnownTransfer, NextStep, Received};
use super::webhook_endpoints::{WebhookEndpoint, WebhookProgress};
use super::world::{PendingCard, PendingHolder, PendingRenewal, World};
use super::{snapshot_money, snapshot_remembered, snapshot_tokens};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::{Read, Write};
use std::sync::Arc;

/// The layout of the items below; a snapshot of another layout is refused, and the journal replayed.
pub const LAYOUT: u16 = 9;

/// One part of a world. The order matters: what an item names comes before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotItem<'a> {
    /// First of all.
    Header {
        layout: u16,
        now: Timestamp,
        registry_now: Timestamp,
        registry_version: u64,
    },
    Settings(Cow<'a, EngineSettings>),
    Program(Cow<'a, Program>),
    /// Links in the order of their numbers.
    Link(Cow<'a, LinkKey>),
    IssuedCard(CardId, Cow<'a, IssuedCard>),
    Idempotency(IdempotencyKey, Timestamp, Cow<'a, IdempotencyEntry>),
    /// A first answer of the registry's own.
    UnknownCardAnswer(RepeatKey, Timestamp, FirstAnswer),
    PendingCard(CardId, Cow<'a, PendingCard>),
    /// Controls that accounts and cards after it name by their place among these items.
    Controls(Cow<'a, Controls>),
    Account(Cow<'a, Account>, Option<u32>),
    Card(Cow<'a, Card>, Option<u32>),
    Authorization(Cow<'a, Authorization>),
    FirstAnswer(RepeatKey, Timestamp, FirstAnswer),
    Reversal(Reversal),
    TopUp(TopUpId, Timestamp, AccountId),
    /// Last of all: how many items came before.
    End(u64),
    ExchangeRates(Cow<'a, Rates>),
    /// After the programs.
    RiskRule(Cow<'a, RiskRule>),
    MccGroup(Cow<'a, MccGroup>),
    MerchantList(Cow<'a, SharedMerchantList>),
    Cardholder(Cow<'a, Cardholder>),
    PendingHolder(CardId, PendingHolder),
    /// After the links; with whose share it takes of.
    LinkControls(LinkId, Cow<'a, Controls>, Option<ApiKeyId>),
    /// After the accounts.
    SharedCounters(SharedKey, Cow<'a, Counters>),
    /// After the issued cards.
    Exception(Cow<'a, ControlException>),
    /// After the programs.
    DecisionEndpoint(Cow<'a, DecisionEndpoint>),
    ApiKey(Cow<'a, ApiKey>),
    /// After the links.
    LinkStatus(LinkId, LinkStatus),
    /// With the number of times that it was moved.
    WebhookEndpoint(Cow<'a, WebhookEndpoint>, u32),
    WebhookProgress(WebhookEndpointId, Cow<'a, WebhookProgress>),
    PendingRenewal(CardId, PendingRenewal),
    CardBatch(Cow<'a, CardBatch>),
    /// After the accounts: in transit, ended, received, and what has to be done next.
    TransferInTransit(KnownTransfer),
    TransferEnded(Timestamp, KnownTransfer),
    TransferReceived(TransferId, Timestamp, Received),
    PendingTransfer(Cow<'a, NextStep>),
    TopUpAnnounced(Cow<'a, PendingTopUp>),
    TopUpEnded(Timestamp, Cow<'a, EndTopUp>),
    Reference(Cow<'a, str>, Cow<'a, str>, Referenced),
    PendingReference(Cow<'a, ReserveReference>),
    FeeSchedule(Cow<'a, FeeSchedule>),
    /// After the issued cards.
    TokenNumber(TokenId, Cow<'a, TokenNumber>),
    /// After the cards.
    Token(Cow<'a, Token>),
    PendingToken(Cow<'a, PendingToken>),
    Approval(Cow<'a, Approval>),
    /// After the links.
    LimitsGivenUp(LinkId, Cow<'a, Vec<LimitId>>),
}

pub fn write(world: &World, to: &mut dyn Write) -> Result<(), SnapshotError> {
    let mut writer = Writer {
        to,
        items: 0,
        bytes: Vec::new(),
    };
    writer.put(&SnapshotItem::Header {
        layout: LAYOUT,
        now: world.latest(),
        registry_now: world.registry.now,
        registry_version: world.registry.view.version,
    })?;
    write_registry(&mut writer, world)?;
    let mut controls = NumberedControls::default();
    for state in &world.shards {
        write_shard(&mut writer, state, &mut controls)?;
    }
    let items = writer.items;
    writer.put(&SnapshotItem::End(items))?;
    Ok(to.flush()?)
}

fn write_registry(writer: &mut Writer, world: &World) -> Result<(), SnapshotError> {
    let registry = &world.registry;
    let (settings, rates) = (&registry.view.settings, &registry.view.rates);
    writer.put(&SnapshotItem::Settings(Cow::Borrowed(settings)))?;
    writer.put(&SnapshotItem::ExchangeRates(Cow::Borrowed(rates)))?;
    for schedule in registry.view.fee_schedules.values() {
        writer.put(&SnapshotItem::FeeSchedule(Cow::Borrowed(schedule)))?;
    }
    for program in registry.view.programs_in_order() {
        writer.put(&SnapshotItem::Program(Cow::Borrowed(program)))?;
    }
    for loaded in registry.view.risk_rules.iter() {
        writer.put(&SnapshotItem::RiskRule(Cow::Borrowed(&loaded.rule)))?;
    }
    for endpoint in registry.view.decision_endpoints.iter() {
        let endpoint = Cow::Borrowed(endpoint.as_ref());
        writer.put(&SnapshotItem::DecisionEndpoint(endpoint))?;
    }
    for key in registry.view.api_keys.iter() {
        writer.put(&SnapshotItem::ApiKey(Cow::Borrowed(key)))?;
    }
    for known in registry.view.webhook_endpoints.iter() {
        let endpoint = Cow::Borrowed(known.endpoint.as_ref());
        writer.put(&SnapshotItem::WebhookEndpoint(endpoint, known.generation))?;
    }
    for (id, progress) in &registry.webhook_progress {
        writer.put(&SnapshotItem::WebhookProgress(*id, Cow::Borrowed(progress)))?;
    }
    for group in registry.view.groups.mcc_groups_in_order() {
        writer.put(&SnapshotItem::MccGroup(Cow::Borrowed(group)))?;
    }
    for list in registry.view.groups.merchant_lists_in_order() {
        writer.put(&SnapshotItem::MerchantList(Cow::Borrowed(list)))?;
    }
    for key in &registry.link_keys {
        writer.put(&SnapshotItem::Link(Cow::Borrowed(key)))?;
    }
    for (id, status) in registry.view.link_states.in_order() {
        writer.put(&SnapshotItem::LinkStatus(id, status))?;
    }
    for (id, controls) in registry.view.links.in_order() {
        let (controls, giver) = (Cow::Borrowed(controls), registry.link_facts.giver(id));
        writer.put(&SnapshotItem::LinkControls(id, controls, giver))?;
    }
    for (id, limits) in registry.link_facts.given_up() {
        writer.put(&SnapshotItem::LimitsGivenUp(id, Cow::Borrowed(limits)))?;
    }
    write_issued(writer, world)
}

/// Cards, who holds them, and what is remembered.
fn write_issued(writer: &mut Writer, world: &World) -> Result<(), SnapshotError> {
    let registry = &world.registry;
    let mut cardholders: Vec<_> = registry.cardholders.values().collect();
    cardholders.sort_unstable_by_key(|known| known.cardholder.id);
    for known in cardholders {
        writer.put(&SnapshotItem::Cardholder(Cow::Borrowed(&known.cardholder)))?;
    }
    let mut issued: Vec<_> = registry.issued_cards.iter().collect();
    issued.sort_unstable_by_key(|(id, _)| *id);
    for (id, card) in issued {
        writer.put(&SnapshotItem::IssuedCard(id, Cow::Borrowed(card)))?;
    }
    for exception in registry.exceptions.iter() {
        writer.put(&SnapshotItem::Exception(Cow::Borrowed(exception)))?;
    }
    for approval in registry.approvals.values() {
        writer.put(&SnapshotItem::Approval(Cow::Borrowed(approval)))?;
    }
    for batch in registry.card_batches.iter() {
        writer.put(&SnapshotItem::CardBatch(Cow::Borrowed(batch)))?;
    }
    for (key, at, entry) in registry.idempotency.iter() {
        writer.put(&SnapshotItem::Idempotency(key, at, Cow::Borrowed(entry)))?;
    }
    for (key, at, first) in registry.first_answers.iter() {
        writer.put(&SnapshotItem::UnknownCardAnswer(key, at, *first))?;
    }
    for (id, pending) in &world.pending_cards {
        writer.put(&SnapshotItem::PendingCard(*id, Cow::Borrowed(pending)))?;
    }
    for (id, pending) in &world.pending_holders {
        writer.put(&SnapshotItem::PendingHolder(*id, *pending))?;
    }
    snapshot_tokens::write_numbers(writer, world)?;
    snapshot_money::write_pending(writer, world)
}

/// Which controls were written, and as which.
#[derive(Default)]
struct NumberedControls(hashbrown::HashMap<Arc<Controls>, u32>);

impl NumberedControls {
    fn number(
        &mut self,
        writer: &mut Writer,
        controls: Option<&Arc<Controls>>,
    ) -> Result<Option<u32>, SnapshotError> {
        let Some(controls) = controls else {
            return Ok(None);
        };
        if let Some(number) = self.0.get(controls) {
            return Ok(Some(*number));
        }
        writer.put(&SnapshotItem::Controls(Cow::Borrowed(controls)))?;
        let number = self.0.len() as u32;
        self.0.insert(Arc::clone(controls), number);
        Ok(Some(number))
    }
}

fn write_shard(
    writer: &mut Writer,
    state: &State,
    controls: &mut NumberedControls,
) -> Result<(), SnapshotError> {
    for account in state.accounts.iter() {
        let number = controls.number(writer, account.controls.as_ref())?;
        writer.put(&SnapshotItem::Account(Cow::Borrowed(account), number))?;
    }
    for (key, counters) in state.shared_counters.iter() {
        let counters = Cow::Borrowed(counters);
        writer.put(&SnapshotItem::SharedCounters(key, counters))?;
    }
    for card in state.cards.iter() {
        let number = controls.number(writer, card.controls.as_ref())?;
        writer.put(&SnapshotItem::Card(Cow::Borrowed(card), number))?;
    }
    let mut authorizations: Vec<_> = state.authorizations.iter().collect();
    // Closed ones in the order in which they are forgotten.
    authorizations.sort_unstable_by_key(|known| (known.remembered_from(), known.id));
    for authorization in authorizations {
        writer.put(&SnapshotItem::Authorization(Cow::Borrowed(authorization)))?;
    }
    snapshot_tokens::write(writer, state)?;
    snapshot_remembered::write(writer, state)?;
    snapshot_money::write(writer, state)
}

/// The world of a snapshot, spread over `shards` shards.
pub fn read(from: &mut dyn Read, shards: usize) -> Result<World, SnapshotError> {
    let mut reader = Reader {
        world: World::new(shards),
        view: RegistryView::default(),
        controls: Vec::new(),
        items: 0,
    };
    let mut bytes = Vec::new();
    loop {
        let item_number = reader.items;
        read_item(from, item_number, &mut bytes)?;
        let item = match postcard::from_bytes(&bytes) {
            Ok(item) => item,
            Err(cause) => {
                check_layout(item_number, &bytes)?;
                return Err(SnapshotError::Unreadable {
                    item: item_number,
                    cause,
                });
            }
        };
        check_layout(item_number, &bytes)?;
        match item {
            SnapshotItem::End(items) if items == item_number => break,
            item => reader
                .take(item)
                .ok_or(SnapshotError::OutOfPlace { item: item_number })?,
        }
        reader.items += 1;
    }
    Ok(reader.finish())
}

/// The first item's kind and layout stand before everything that another layout may have changed.
fn check_layout(item: u64, bytes: &[u8]) -> Result<(), SnapshotError> {
    if item > 0 {
        return Ok(());
    }
    match postcard::take_from_bytes::<(u8, u16)>(bytes) {
        Ok(((0, LAYOUT), _)) => Ok(()),
        Ok(((0, found), _)) => Err(SnapshotError::OtherLayout { found }),
        _ => Err(SnapshotError::OutOfPlace { item }),
    }
}

struct Reader {
    world: World,
    view: RegistryView,
    controls: Vec<Controls>,
    items: u64,
}

impl Reader {
    /// Puts an item in its place; `None` where it has none.
    fn take(&mut self, item: SnapshotItem) -> Option<()> {
        let world = &mut self.world;
        let registry = &mut world.registry;
        match item {
            SnapshotItem::Header {
                now,
                registry_now,
                registry_version,
                ..
            } => {
                (self.items == 0).then_some(())?;
                registry.now = registry_now;
                self.view.version = registry_version;
                for state in &mut world.shards {
                    state.now = now;
                }
            }
            SnapshotItem::Settings(settings) => self.view.settings = settings.into_owned(),
            SnapshotItem::ExchangeRates(rates) => self.view.rates = Arc::new(rates.into_owned()),
            SnapshotItem::Program(program) => {
                let program = Arc::new(program.into_owned());
                self.view.programs.insert(program.id, program);
            }
            SnapshotItem::FeeSchedule(known) => {
                schedule::insert(&mut self.view.fee_schedules, known.into_owned());
            }
            SnapshotItem::RiskRule(rule) => self.view.risk_rules.put(rule.into_owned()),
            SnapshotItem::DecisionEndpoint(endpoint) => {
                self.view.decision_endpoints.put(endpoint.into_owned());
            }
            SnapshotItem::ApiKey(key) => self.view.api_keys.put(key.into_owned()),
            SnapshotItem::MccGroup(group) => {
                let group = Arc::new(group.into_owned());
                self.view.groups.mcc_groups.insert(group.id, group);
            }
            SnapshotItem::MerchantList(list) => {
                let list = Arc::new(list.into_owned());
                self.view.groups.merchant_lists.insert(list.id, list);
            }
            SnapshotItem::Link(key) => registry.insert_link(key.into_owned()),
            SnapshotItem::IssuedCard(id, issued) => {
                registry.insert_issued(id, issued.into_owned());
            }
            SnapshotItem::Idempotency(_, at, entry) => {
                registry.idempotency.insert(at, entry.into_owned());
            }
            SnapshotItem::UnknownCardAnswer(key, at, first) => {
                registry.first_answers.remember(key, at, first);
            }
            SnapshotItem::PendingCard(id, pending) => {
                world.pending_cards.insert(id, pending.into_owned());
            }
            SnapshotItem::Cardholder(cardholder) => {
                registry.insert_cardholder(cardholder.into_owned());
            }
            SnapshotItem::PendingHolder(id, pending) => {
                world.pending_holders.insert(id, pending);
            }
            SnapshotItem::PendingRenewal(id, pending) => {
                world.pending_renewals.insert(id, pending);
            }
            SnapshotItem::Controls(controls) => self.controls.push(controls.into_owned()),
            SnapshotItem::End(_) => return None,
            item => return self.take_control(item),
        }
        Some(())
    }

    fn take_control(&mut self, item: SnapshotItem) -> Option<()> {
        let registry = &mut self.world.registry;
        match item {
            SnapshotItem::LinkControls(id, controls, giver) => {
                registry.link_key(id)?;
                let controls = controls.into_owned();
                registry.link_facts.set_limits(id, None, &controls);
                let has_any = !controls.is_empty();
                registry.link_facts.set_giver(id, has_any, giver);
                self.view.links.set(id, controls);
            }
            SnapshotItem::LinkStatus(id, status) => {
                registry.link_key(id)?;
                self.view.link_states.set(id, status);
            }
            SnapshotItem::LimitsGivenUp(id, limits) => {
                registry.link_facts.set_given_up(id, limits.into_owned());
            }
            SnapshotItem::Exception(exception) => {
                let exception = Arc::new(exception.into_owned());
                let subject = registry.subject_of_chain(exception.subject);
                self.view.exceptions.put(subject, &exception, registry.now);
                registry.exceptions.put(exception);
            }
            SnapshotItem::Approval(approval) => {
                let approval = Arc::new(approval.into_owned());
                registry.approvals.insert(approval.id, approval);
            }
            SnapshotItem::CardBatch(batch) => registry.card_batches.insert(batch.into_owned()),
            SnapshotItem::WebhookEndpoint(endpoint, generation) => {
                let endpoint = endpoint.into_owned();
                self.view.webhook_endpoints.put(endpoint, generation);
            }
            SnapshotItem::WebhookProgress(id, progress) => {
                registry.webhook_progress.insert(id, progress.into_owned());
            }
            item => return self.take_of_tree(item),
        }
        Some(())
    }

    fn take_of_tree(&mut self, item: SnapshotItem) -> Option<()> {
        let world = &mut self.world;
        match item {
            SnapshotItem::Account(account, controls) => {
                let mut account = account.into_owned();
                let state = world.shard_mut(account.root);
                account.controls = share(&self.controls, state, controls)?;
                insert_account(state, account);
            }
            SnapshotItem::SharedCounters(key, counters) => {
                let state = world.shard_mut(key.0);
                *state.shared_counters.entry(key) = counters.into_owned();
            }
            SnapshotItem::Card(card, controls) => {
                let mut card = card.into_owned();
                let state = world.shard_with(card.account_id)?;
                card.controls = share(&self.controls, state, controls)?;
                insert_card(state, card);
            }
            SnapshotItem::Authorization(authorization) => {
                let state = world.shard_with(authorization.account_id)?;
                state.authorizations.insert(authorization.into_owned());
            }
            item => return snapshot_remembered::take(world, item),
        }
        Some(())
    }

    fn finish(mut self) -> World {
        self.world.registry.view = Arc::new(self.view);
        self.world.adopt_view();
        self.world
    }
}

/// The shared copy of the controls with this number; `None` where no such controls were written.
fn share(
    controls: &[Controls],
    state: &mut State,
    number: Option<u32>,
) -> Option<Option<Arc<Controls>>> {
    let Some(number) = number else {
        return Some(None);
    };
    let controls = controls.get(number as usize)?;
    Some(state.shared_controls.share(controls))
}

//! Fingerprints of a world and of each account tree in it, by which two folds of one journal are
//! compared. The same whatever the number of shards, the order of slots, and when memory was
//! reclaimed.

use super::authorizations::Authorization;
use super::ids::AccountId;
use super::registry::{IdempotencyEntry, IdempotencyKey};
use super::snapshot::SnapshotItem;
use super::state::State;
use super::time::Timestamp;
use super::transfers::KnownTransfer;
use super::world::World;
use serde::Serialize;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::Hasher;

/// A hash per tree: the sum of the hashes of its accounts, cards, holds, counters, and of the first
/// answers, reversals and top-ups that still count at the world's latest time.
pub fn tree_hashes(world: &World) -> BTreeMap<AccountId, u128> {
    let mut hashes = BTreeMap::new();
    for state in &world.shards {
        add_accounts(state, &mut hashes);
        add_remembered(world, state, &mut hashes);
        add_transfers(world, state, &mut hashes);
        add_top_ups(world, state, &mut hashes);
    }
    hashes
}

/// The trees, the registry and the latest time in one hash.
pub fn state_hash(world: &World) -> u128 {
    let trees = tree_hashes(world);
    let trees = trees
        .iter()
        .map(|tree| hash_of(&tree))
        .fold(0u128, u128::wrapping_add);
    let pending = world.pending_cards.iter();
    let pending = pending
        .map(|(id, pending)| hash_of(&SnapshotItem::PendingCard(*id, Cow::Borrowed(pending))))
        .fold(0u128, u128::wrapping_add);
    let holders = world.pending_holders.iter();
    let pending = holders
        .map(|(id, pending)| hash_of(&SnapshotItem::PendingHolder(*id, *pending)))
        .fold(pending, u128::wrapping_add);
    let renewals = world.pending_renewals.iter();
    let pending = renewals
        .map(|(id, pending)| hash_of(&SnapshotItem::PendingRenewal(*id, *pending)))
        .fold(pending, u128::wrapping_add);
    let transfers = world.pending_transfers.values();
    let pending = transfers
        .map(|next| hash_of(&SnapshotItem::PendingTransfer(Cow::Borrowed(next))))
        .fold(pending, u128::wrapping_add);
    let top_ups = world.pending_top_ups.values();
    let pending = top_ups
        .map(|reserve| hash_of(&SnapshotItem::PendingReference(Cow::Borrowed(reserve))))
        .fold(pending, u128::wrapping_add);
    let tokens = world.pending_tokens.values();
    let pending = tokens
        .map(|pending| hash_of(&SnapshotItem::PendingToken(Cow::Borrowed(pending))))
        .fold(pending, u128::wrapping_add);
    hash_of(&(registry_hash(world), trees, pending, world.latest()))
}

fn registry_hash(world: &World) -> u128 {
    let registry = &world.registry;
    let settings = &registry.view.settings;
    let mut sum = hash_of(&(registry.view.version, settings));
    let mut add = |hash: u128| sum = sum.wrapping_add(hash);
    add(hash_of(&SnapshotItem::ExchangeRates(Cow::Borrowed(
        &registry.view.rates,
    ))));
    for schedule in registry.view.fee_schedules.values() {
        add(hash_of(&SnapshotItem::FeeSchedule(Cow::Borrowed(schedule))));
    }
    for program in registry.view.programs.values() {
        add(hash_of(&SnapshotItem::Program(Cow::Borrowed(program))));
    }
    for loaded in registry.view.risk_rules.iter() {
        add(hash_of(&SnapshotItem::RiskRule(Cow::Borrowed(
            &loaded.rule,
        ))));
    }
    for endpoint in registry.view.decision_endpoints.iter() {
        add(hash_of(&SnapshotItem::DecisionEndpoint(Cow::Borrowed(
            endpoint,
        ))));
    }
    for key in registry.view.api_keys.iter() {
        add(hash_of(&SnapshotItem::ApiKey(Cow::Borrowed(key))));
    }
    for group in registry.view.groups.mcc_groups.values() {
        add(hash_of(&SnapshotItem::MccGroup(Cow::Borrowed(group))));
    }
    for list in registry.view.groups.merchant_lists.values() {
        add(hash_of(&SnapshotItem::MerchantList(Cow::Borrowed(list))));
    }
    for known in registry.cardholders.values() {
        add(hash_of(&SnapshotItem::Cardholder(Cow::Borrowed(
            &known.cardholder,
        ))));
    }
    for (id, status) in registry.view.link_states.in_order() {
        add(hash_of(&SnapshotItem::LinkStatus(id, status)));
    }
    for (id, controls) in registry.view.links.in_order() {
        let controls = Cow::Borrowed(controls);
        let giver = registry.link_facts.giver(id);
        add(hash_of(&SnapshotItem::LinkControls(id, controls, giver)));
    }
    for (id, limits) in registry.link_facts.given_up() {
        let limits = Cow::Borrowed(limits);
        add(hash_of(&SnapshotItem::LimitsGivenUp(id, limits)));
    }
    for exception in registry.exceptions.iter() {
        let retention_ms = settings.past_exception_retention_ms;
        if counts(exception.over_at(), retention_ms, world.latest()) {
            let exception = Cow::Borrowed(exception.as_ref());
            add(hash_of(&SnapshotItem::Exception(exception)));
        }
    }
    for (method, reference, known) in registry.references.iter() {
        let (method, reference) = (Cow::Borrowed(method), Cow::Borrowed(reference));
        add(hash_of(&SnapshotItem::Reference(method, reference, known)));
    }
    sum.wrapping_add(issued_hash(world))
}

/// Of the cards and what is remembered.
fn issued_hash(world: &World) -> u128 {
    let registry = &world.registry;
    let settings = &registry.view.settings;
    let mut sum = 0u128;
    let mut add = |hash: u128| sum = sum.wrapping_add(hash);
    for batch in registry.card_batches.iter() {
        add(hash_of(&SnapshotItem::CardBatch(Cow::Borrowed(batch))));
    }
    for approval in registry.approvals.values() {
        add(hash_of(&SnapshotItem::Approval(Cow::Borrowed(approval))));
    }
    for (place, key) in registry.link_keys.iter().enumerate() {
        add(hash_of(&(place as u64, key)));
    }
    for (id, card) in registry.issued_cards.iter() {
        add(hash_of(&SnapshotItem::IssuedCard(id, Cow::Borrowed(card))));
    }
    for (id, number) in registry.token_numbers.iter() {
        let number = Cow::Borrowed(number);
        add(hash_of(&SnapshotItem::TokenNumber(id, number)));
    }
    for (key, at, first) in registry.first_answers.iter() {
        if counts(at, settings.first_answer_retention_ms, world.latest()) {
            add(hash_of(&SnapshotItem::UnknownCardAnswer(key, at, *first)));
        }
    }
    for (key, at, entry) in registry.idempotency.iter() {
        if counts(at, settings.idempotency_retention_ms, world.latest()) {
            add(idempotency_hash(key, at, entry));
        }
    }
    sum.wrapping_add(webhooks_hash(world))
}

fn webhooks_hash(world: &World) -> u128 {
    let registry = &world.registry;
    let endpoints = registry.view.webhook_endpoints.iter().map(|known| {
        let endpoint = Cow::Borrowed(known.endpoint.as_ref());
        hash_of(&SnapshotItem::WebhookEndpoint(endpoint, known.generation))
    });
    let progress = registry.webhook_progress.iter();
    let progress = progress.map(|(id, progress)| {
        hash_of(&SnapshotItem::WebhookProgress(*id, Cow::Borrowed(progress)))
    });
    endpoints.chain(progress).fold(0, u128::wrapping_add)
}

fn idempotency_hash(key: IdempotencyKey, at: Timestamp, entry: &IdempotencyEntry) -> u128 {
    hash_of(&SnapshotItem::Idempotency(key, at, Cow::Borrowed(entry)))
}

fn add_accounts(state: &State, hashes: &mut BTreeMap<AccountId, u128>) {
    for account in state.accounts.iter() {
        let item = SnapshotItem::Account(Cow::Borrowed(account), None);
        add(hashes, account.root, &(item, account.controls.as_deref()));
    }
    for (key, counters) in state.shared_counters.iter() {
        let item = SnapshotItem::SharedCounters(key, Cow::Borrowed(counters));
        add(hashes, key.0, &item);
    }
    for card in state.cards.iter() {
        let root = state.account_of(card).root;
        let item = SnapshotItem::Card(Cow::Borrowed(card), None);
        add(hashes, root, &(item, card.controls.as_deref()));
    }
    for token in state.tokens.iter() {
        if let Some(card) = state.card(token.card_id) {
            let root = state.account_of(card).root;
            add(hashes, root, &SnapshotItem::Token(Cow::Borrowed(token)));
        }
    }
    for authorization in state.authorizations.open() {
        add_authorization(state, hashes, authorization);
    }
}

fn add_authorization(
    state: &State,
    hashes: &mut BTreeMap<AccountId, u128>,
    authorization: &Authorization,
) {
    if let Some(account) = state.account(authorization.account_id) {
        let item = SnapshotItem::Authorization(Cow::Borrowed(authorization));
        add(hashes, account.root, &item);
    }
}

fn add_remembered(world: &World, state: &State, hashes: &mut BTreeMap<AccountId, u128>) {
    let settings = &world.registry.view.settings;
    let latest = world.latest();
    for (key, at, first) in state.first_answers.iter() {
        if counts(at, settings.first_answer_retention_ms, latest) {
            add(
                hashes,
                first.root,
                &SnapshotItem::FirstAnswer(key, at, *first),
            );
        }
    }
    for authorization in state.authorizations.iter() {
        let from = authorization.remembered_from();
        if from.is_some_and(|at| counts(at, settings.closed_retention_ms, latest)) {
            add_authorization(state, hashes, authorization);
        }
    }
    for reversal in state.early_reversals.iter() {
        if counts(reversal.at, settings.reversal_retention_ms, latest) {
            add(hashes, reversal.root, &SnapshotItem::Reversal(*reversal));
        }
    }
    for (id, at, account_id) in state.top_ups.iter() {
        let account = state.account(*account_id);
        let live = counts(at, settings.idempotency_retention_ms, latest);
        if let Some(account) = account.filter(|_| live) {
            add(
                hashes,
                account.root,
                &SnapshotItem::TopUp(id, at, *account_id),
            );
        }
    }
}

fn add_transfers(world: &World, state: &State, hashes: &mut BTreeMap<AccountId, u128>) {
    let retention_ms = world.registry.view.settings.idempotency_retention_ms;
    let live = |at| counts(at, retention_ms, world.latest());
    let transfers = &state.transfers;
    let root_of = |known: &KnownTransfer| {
        let account = state.account(known.transfer.from_account_id);
        account.map_or(known.transfer.from_account_id, |account| account.root)
    };
    for known in transfers.in_transit.values() {
        let item = SnapshotItem::TransferInTransit(*known);
        add(hashes, root_of(known), &item);
    }
    for (_, at, known) in transfers.ended.iter().filter(|(_, at, _)| live(*at)) {
        add(
            hashes,
            root_of(known),
            &SnapshotItem::TransferEnded(at, *known),
        );
    }
    for (id, at, received) in transfers.received.iter().filter(|(_, at, _)| live(*at)) {
        let item = SnapshotItem::TransferReceived(id, at, *received);
        add(hashes, received.root, &item);
    }
}

fn add_top_ups(world: &World, state: &State, hashes: &mut BTreeMap<AccountId, u128>) {
    let retention_ms = world.registry.view.settings.idempotency_retention_ms;
    let root_of = |id| state.account(id).map_or(id, |account| account.root);
    for pending in state.announced.pending() {
        let item = SnapshotItem::TopUpAnnounced(Cow::Borrowed(pending));
        add(hashes, root_of(pending.top_up.account_id), &item);
    }
    for (_, at, ended) in state.announced.ended.iter() {
        if counts(at, retention_ms, world.latest()) {
            let item = SnapshotItem::TopUpEnded(at, Cow::Borrowed(ended));
            add(hashes, root_of(ended.account_id), &item);
        }
    }
}

fn counts(remembered_at: Timestamp, retention_ms: i64, latest: Timestamp) -> bool {
    remembered_at.plus_ms(retention_ms) > latest
}

fn add(hashes: &mut BTreeMap<AccountId, u128>, root: AccountId, item: &impl Serialize) {
    let sum = hashes.entry(root).or_default();
    *sum = sum.wrapping_add(hash_of(item));
}

/// Takes the bytes of an item as they come.
struct HashingFlavor(SipHasher13);

impl postcard::ser_flavors::Flavor for HashingFlavor {
    type Output = u128;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.write(&[byte]);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.write(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<u128> {
        Ok(self.0.finish128().as_u128())
    }
}

fn hash_of(item: &impl Serialize) -> u128 {
    let hashing = HashingFlavor(SipHasher13::new());
    let hash = postcard::serialize_with_flavor(item, hashing);
    // Taking bytes never fails, and every item has a known length.
    hash.unwrap_or_else(|error| panic!("an item could not be hashed: {error}"))
}

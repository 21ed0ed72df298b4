//! The links of cards, in what is told of a card's payments, tokens, fees and ledger entries. What is done to the objects that
//! cards are linked to is in `links.rs`.

use super::error::ApiError;
use super::list::store_error;
use super::{ApiState, ask, bounds};
use crate::engine::api_keys::Bounds;
use crate::engine::ids::{AccountId, CardId, LinkId};
use crate::engine::registry::LinkKey;
use crate::shard::reply::Reply;
use crate::shard::request::{RegistryRequest, ShardRequest};
use crate::store::row_json;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The links of one card as JSON, each under the number by which traces name it, in the order of their types and ids.
#[derive(Debug, Clone, Default)]
pub struct CardLinks(Vec<(LinkId, Value)>);

impl CardLinks {
    /// Keys and numbers in the same order, as the registry has them.
    pub fn of(numbers: &[LinkId], keys: &[LinkKey]) -> CardLinks {
        let mut links: Vec<_> = numbers.iter().copied().zip(keys).collect();
        links.sort_by_key(|(_, key)| (&key.link_type, &key.id));
        let json = |key: &LinkKey| row_json::link(&key.link_type, &key.id);
        let links = links.into_iter();
        CardLinks(links.map(|(number, key)| (number, json(key))).collect())
    }

    pub fn to_json(&self) -> Vec<Value> {
        self.0.iter().map(|(_, link)| link.clone()).collect()
    }

    pub fn by_number(&self, wanted: LinkId) -> Option<Value> {
        let mut links = self.0.iter();
        let (_, link) = links.find(|(number, _)| *number == wanted)?;
        Some(link.clone())
    }
}

/// As memory has them; none of a card that nobody issued.
pub async fn of_card(state: &ApiState, id: CardId) -> Result<CardLinks, ApiError> {
    match ask::registry(state, RegistryRequest::Card(id)).await? {
        Reply::IssuedCard(issued) => Ok(CardLinks::of(&issued.0.links, &issued.1)),
        _ => Ok(CardLinks::default()),
    }
}

/// Those of the cards that the rows of a page are of.
pub struct LinksOfCards(HashMap<CardId, CardLinks>);

/// As SQL has them.
pub async fn of_cards(
    state: &ApiState,
    ids: impl IntoIterator<Item = CardId>,
) -> Result<LinksOfCards, ApiError> {
    let ids: Vec<CardId> = ids
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let mut links: HashMap<CardId, CardLinks> = HashMap::new();
    // In the order of their types and ids.
    for link in state.store.card_links(&ids).await.map_err(store_error)? {
        let json = row_json::link(&link.link_type, &link.link_id);
        let of_card = links.entry(link.card_id).or_default();
        of_card.0.push((link.number, json));
    }
    Ok(LinksOfCards(links))
}

impl LinksOfCards {
    pub fn of(&self, id: CardId) -> CardLinks {
        self.0.get(&id).cloned().unwrap_or_default()
    }

    pub fn json_of(&self, id: Option<CardId>) -> Vec<Value> {
        id.map_or_else(Vec::new, |id| self.of(id).to_json())
    }
}

/// Which of these cards the key does not see. One that is bound by account is told what money of its accounts does, also where
/// that was a payment by a card of another account (`wallet_account_ids`), of which it is told nothing.
pub async fn unseen(
    state: &ApiState,
    bounds: Option<&Bounds>,
    ids: impl IntoIterator<Item = CardId>,
) -> Result<BTreeSet<CardId>, ApiError> {
    let Some(bounds) = bounds.filter(|bounds| !bounds.account_ids.is_empty()) else {
        return Ok(BTreeSet::new());
    };
    let mut unseen: BTreeSet<CardId> = ids.into_iter().collect();
    for id in unseen.clone() {
        if bounds::card(state, id).await?.is_within(bounds) {
            unseen.remove(&id);
        }
    }
    Ok(unseen)
}

/// The card that an account was opened for, if it was for one.
pub async fn owner(
    state: &ApiState,
    root: AccountId,
    id: AccountId,
) -> Result<Option<CardId>, ApiError> {
    let card_id = id.opened_for();
    match ask::shard(state, root, ShardRequest::Card(card_id)).await? {
        Reply::Card(card) if card.account_id == id => Ok(Some(card_id)),
        _ => Ok(None),
    }
}

/// The links of cards with accounts of their own, by those accounts.
#[derive(Default)]
pub struct LinksOfOwnAccounts(BTreeMap<AccountId, CardLinks>);

/// Of one object, as memory has them.
pub async fn of_own_accounts(
    state: &ApiState,
    bounds: Option<&Bounds>,
    ids: impl IntoIterator<Item = AccountId>,
) -> Result<LinksOfOwnAccounts, ApiError> {
    let mut links = LinksOfOwnAccounts::default();
    for id in ids {
        let root = state.switchboard.directory.root_of(id);
        if let Some(card_id) = owner(state, root, id).await? {
            links.0.insert(id, of_card(state, card_id).await?);
        }
    }
    links.seen_by(state, bounds).await
}

/// Of the rows of a page, as SQL has them.
pub async fn of_listed_accounts(
    state: &ApiState,
    bounds: Option<&Bounds>,
    ids: impl IntoIterator<Item = AccountId>,
) -> Result<LinksOfOwnAccounts, ApiError> {
    let owners: BTreeSet<CardId> = ids.into_iter().map(AccountId::opened_for).collect();
    let owners: Vec<CardId> = owners.into_iter().collect();
    let accounts = state.store.accounts_of_cards(&owners).await;
    let mut accounts = accounts.map_err(store_error)?;
    accounts.retain(|(card_id, account_id)| account_id.opened_for() == *card_id);
    let of_cards = of_cards(state, accounts.iter().map(|(id, _)| *id)).await?;
    let links = accounts.into_iter();
    let links = links.map(|(card_id, account_id)| (account_id, of_cards.of(card_id)));
    let links = LinksOfOwnAccounts(links.collect());
    links.seen_by(state, bounds).await
}

impl LinksOfOwnAccounts {
    /// A transfer is told to whoever sees one of its two accounts: the card of the other one is no business of theirs.
    async fn seen_by(
        mut self,
        state: &ApiState,
        bounds: Option<&Bounds>,
    ) -> Result<LinksOfOwnAccounts, ApiError> {
        let Some(bounds) = bounds else {
            return Ok(self);
        };
        let ids: Vec<AccountId> = self.0.keys().copied().collect();
        for id in ids {
            if !bounds::account(state, id).await?.is_within(bounds) {
                self.0.remove(&id);
            }
        }
        Ok(self)
    }

    /// The card that an account was opened for.
    pub fn card_of(&self, id: AccountId) -> Option<CardId> {
        self.0.contains_key(&id).then(|| id.opened_for())
    }

    /// Each link once, in the order of their types and ids.
    pub fn json_of(&self, ids: &[AccountId]) -> Vec<Value> {
        let links = ids.iter().filter_map(|id| self.0.get(id));
        let mut links: Vec<Value> = links.flat_map(CardLinks::to_json).collect();
        links.sort_by_key(|link| {
            ["type", "id"].map(|name| link[name].as_str().unwrap_or_default().to_owned())
        });
        links.dedup();
        links
    }
}

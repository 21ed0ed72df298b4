//! The links of cards, in what is told of a card's payments, tokens, fees and ledger entries. What is done to the objects that
//! cards are linked to is in `links.rs`.

use super::error::ApiError;
use super::list::store_error;
use super::{ApiState, ask};
use crate::engine::ids::{CardId, LinkId};
use crate::engine::registry::LinkKey;
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
use crate::store::row_json;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

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

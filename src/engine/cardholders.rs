//! Who holds cards: as much as controls need to know. The registry has them all; a shard has, on each of its
//! cards, what decisions depend on. How that gets there after a change lives in `world.rs` and `api`.

use super::facts::Country;
use super::ids::{AccountId, CardId, CardholderId, ProgramId};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cardholder {
    pub id: CardholderId,
    pub program_id: ProgramId,
    pub name: Option<Box<str>>,
    pub home_country: Country,
    /// Who it is was established, by whatever means the customer has.
    pub verified: bool,
    pub created_at: Timestamp,
}

/// What a card knows of its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub id: CardholderId,
    pub home_country: Country,
    pub verified: bool,
}

/// A cardholder of the registry, with the cards that were issued to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCardholder {
    pub cardholder: Cardholder,
    pub cards: SmallVec<[(CardId, AccountId); 1]>,
}

impl Cardholder {
    pub fn holder(&self) -> Holder {
        Holder {
            id: self.id,
            home_country: self.home_country,
            verified: self.verified,
        }
    }
}

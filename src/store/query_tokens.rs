//! The reads of tokens.

use super::bounds::Of;
use super::database::Store;
use super::error::StoreError;
use super::query::{Conditions, Page};
use super::rows::TokenRow;
use crate::engine::api_keys::Bounds;
use crate::engine::ids::{CardId, TokenId};
use crate::engine::tokens::TokenStatus;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenFilter {
    /// That it stands for now.
    pub card_id: Option<CardId>,
    pub status: Option<TokenStatus>,
    pub wallet: Option<String>,
    /// Only what these cover.
    pub bounds: Option<Bounds>,
}

impl Store {
    /// Tokens, newest first, from behind `starting_after` on.
    pub async fn tokens(
        &self,
        filter: &TokenFilter,
        starting_after: Option<TokenId>,
        limit: u32,
    ) -> Result<Page<TokenRow>, StoreError> {
        let after = starting_after.map(|id| id.to_string());
        let before = self.cursor::<TokenRow>(after).await?;
        let mut conditions = Conditions::default();
        conditions.equal("card_id", filter.card_id.map(|id| id.to_string()));
        let status = filter.status.map(|status| status.name().to_owned());
        conditions.equal("status", status);
        conditions.equal("wallet", filter.wallet.clone());
        conditions.within(filter.bounds.as_ref(), &Of::CARDS_MONEY);
        conditions.before(before);
        self.page(conditions, "sequence DESC", limit).await
    }
}

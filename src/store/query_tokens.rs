//! The reads of tokens.

use super::bounds;
use super::columns::TableRow;
use super::database::Store;
use super::error::StoreError;
use super::filters::{Gathered, filters};
use super::query::Page;
use super::rows::TokenRow;
use super::seek::Filter;
use crate::engine::api_keys::Bounds;
use crate::engine::ids::{AccountId, CardId, ProgramId, TokenId};
use crate::engine::time::Timestamp;
use crate::engine::tokens::TokenStatus;

filters! {
    TokenFilter {
        /// That it stands for now.
        card_id: CardId,
        status: TokenStatus,
        wallet: String,
        /// Of cards with any link of this type, or with this very one together with `link_id`.
        link_type: String,
        link_id: String,
        /// These are of that card.
        account_id: AccountId,
        program_id: ProgramId,
        /// Not before this, and before that.
        created_from: Timestamp,
        created_until: Timestamp,
        /// Only what these cover.
        bounds: Bounds,
    }
}

impl TokenFilter {
    fn gathered(&self) -> Vec<Filter> {
        let mut of = Gathered::of(TokenRow::TABLE);
        of.equal("card_id", self.card_id);
        of.equal("status", self.status.map(TokenStatus::name));
        of.equal("wallet", self.wallet.as_ref());
        let (link_type, link_id) = (self.link_type.as_deref(), self.link_id.as_deref());
        of.linked("card_id", link_type, link_id);
        of.of_card_with("account_id", self.account_id);
        of.of_card_with("program_id", self.program_id);
        of.created(self.created_from, self.created_until);
        of.filters.extend(bounds::of_tokens(self.bounds.as_ref()));
        of.filters
    }
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
        let times = (filter.created_from, filter.created_until);
        self.newest(filter.gathered(), times, after, limit).await
    }
}

//! The reads of cardholders.

use super::bounds::{self, Of};
use super::columns::TableRow;
use super::database::Store;
use super::error::StoreError;
use super::filters::{Gathered, filters};
use super::from_cardholder::CardholderRow;
use super::query::Page;
use super::seek::Filter;
use crate::engine::api_keys::Bounds;
use crate::engine::facts::Country;
use crate::engine::ids::{CardholderId, ProgramId};

filters! {
    CardholderFilter {
        program_id: ProgramId,
        home_country: Country,
        verified: bool,
        /// Only what these cover.
        bounds: Bounds,
    }
}

impl CardholderFilter {
    fn gathered(&self) -> Vec<Filter> {
        let mut of = Gathered::of(CardholderRow::TABLE);
        of.equal("program_id", self.program_id);
        of.equal(
            "home_country",
            self.home_country
                .map(|country| country.alpha2().to_string()),
        );
        of.number("verified", self.verified.map(i64::from));
        let bounds = bounds::of_rows(self.bounds.as_ref(), &Of::CARDHOLDERS);
        of.filters.extend(bounds);
        of.filters
    }
}

impl Store {
    /// Cardholders, newest first, from behind `starting_after` on.
    pub async fn cardholders(
        &self,
        filter: &CardholderFilter,
        starting_after: Option<CardholderId>,
        limit: u32,
    ) -> Result<Page<CardholderRow>, StoreError> {
        let after = starting_after.map(|id| id.to_string());
        self.newest(filter.gathered(), (None, None), after, limit)
            .await
    }
}

//! Whether the tables and the journal tell one history. Tables that know other records than the journal prove that answered
//! ones are lost. What is done then is up to the caller.

use super::database::Store;
use super::error::StoreError;
use super::follow::{RecordSource, SourceError};
use super::projection::{ProjectionState, journal_text};
use super::rows::Sequence;
use crate::journal::ChainHash;

impl Store {
    /// Holds the tables, as they are, against the journal, which ended at `ended_at` when this process began.
    ///
    /// # Errors
    /// [`StoreError::OtherJournal`], [`StoreError::AheadOfJournal`], [`StoreError::OtherHistory`] where they do not fit;
    /// [`StoreError::Source`], and what SQL says.
    pub async fn check_fit<S: RecordSource>(
        &self,
        source: &mut S,
        ended_at: Sequence,
    ) -> Result<(), StoreError> {
        let state = self.projection().await?;
        let journal_id = source.journal_id();
        self.check_state(&state, journal_id, ended_at, |at| source.chain_at(at))
    }

    /// The same of tables that are so far.
    ///
    /// # Errors
    /// As [`Store::check_fit`].
    pub fn check_state(
        &self,
        state: &ProjectionState,
        journal_id: u128,
        ended_at: Sequence,
        chain_at: impl FnOnce(Sequence) -> Result<Option<ChainHash>, SourceError>,
    ) -> Result<(), StoreError> {
        self.check_journal(state, journal_id)?;
        let (url, position) = (self.url().to_owned(), state.position);
        if position > ended_at {
            return Err(StoreError::AheadOfJournal {
                url,
                position,
                durable: ended_at,
            });
        }
        let Some(of_tables) = &state.chain else {
            return Ok(());
        };
        // The journal may have let go of that record: it can tell nothing of it then.
        match chain_at(position)? {
            Some(chain) if chain.to_string() != *of_tables => {
                Err(StoreError::OtherHistory { url, position })
            }
            _ => Ok(()),
        }
    }

    /// The journal's id as it is written, where the tables are of this journal or of none yet.
    pub(super) fn check_journal(
        &self,
        state: &ProjectionState,
        journal_id: u128,
    ) -> Result<String, StoreError> {
        let journal = journal_text(journal_id);
        match &state.journal_id {
            Some(stored) if *stored != journal => Err(StoreError::OtherJournal {
                url: self.url().to_owned(),
                stored: stored.clone(),
                journal,
            }),
            _ => Ok(journal),
        }
    }
}

//! Of which card the money is that is on an account of a card's own (`funding: own`): of the one that the account was opened for, also
//! where what moved it (a top-up, a transfer, a monthly fee) names no card.

use super::batch::Batch;
use super::database::Store;
use super::error::StoreError;
use super::rows::{LedgerAccountName, LedgerEntryRow, Sequence};
use crate::engine::ids::{AccountId, CardId};
use std::collections::{BTreeMap, BTreeSet};

/// Names it in the entries and fees of a batch. A card is there from its own record on, however the records are cut into batches.
pub(super) async fn name_cards(store: &Store, batch: &mut Batch) -> Result<(), StoreError> {
    let entries = batch.ledger_entries.iter();
    let entries = entries.filter(|row| names_no_card(row));
    let fees = batch.fees.iter().filter(|row| row.card_id.is_none());
    let accounts = entries.map(|row| row.account_id);
    let owners: BTreeSet<CardId> = accounts
        .chain(fees.map(|row| row.account_id))
        .map(AccountId::opened_for)
        .collect();
    if owners.is_empty() {
        return Ok(());
    }
    let mut opened: BTreeMap<AccountId, Sequence> = BTreeMap::new();
    for card in &batch.cards {
        if card.account_id.opened_for() == card.id {
            opened.insert(card.account_id, card.sequence);
        }
    }
    let owners: Vec<CardId> = owners.into_iter().collect();
    for (card_id, account_id) in store.accounts_of_cards(&owners).await? {
        if account_id.opened_for() == card_id {
            opened.insert(account_id, 0);
        }
    }
    let owner = |account_id: AccountId, at: Sequence| {
        let since = opened.get(&account_id);
        since
            .filter(|since| **since < at)
            .map(|_| account_id.opened_for())
    };
    let entries = batch.ledger_entries.iter_mut();
    for row in entries.filter(|row| names_no_card(row)) {
        row.card_id = owner(row.account_id, row.sequence);
    }
    for row in batch.fees.iter_mut().filter(|row| row.card_id.is_none()) {
        row.card_id = owner(row.account_id, row.sequence);
    }
    Ok(())
}

fn names_no_card(row: &LedgerEntryRow) -> bool {
    row.card_id.is_none() && row.ledger_account == LedgerAccountName::Customer
}

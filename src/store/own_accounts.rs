//! Of which card the money is that is on an account of a card's own (`funding: own`): of the one that the account was opened for, also
//! where what moved it (a top-up, a transfer, a monthly fee) names no card.

use super::batch::Batch;
use super::database::{Store, Value};
use super::error::StoreError;
use super::rows::{LedgerAccountName, LedgerEntryRow};
use crate::engine::ids::{AccountId, CardId};
use std::collections::BTreeSet;

/// Names it in the entries and fees of a batch, and notes of which accounts there may be some from before their card was there.
pub(super) async fn name_cards(store: &Store, batch: &mut Batch) -> Result<(), StoreError> {
    let mut own: BTreeSet<AccountId> = BTreeSet::new();
    for card in &batch.cards {
        if card.account_id.opened_for() == card.id {
            own.insert(card.account_id);
            let mut opened = batch.accounts.iter();
            if opened.all(|account| account.id != card.account_id) {
                batch.owned_late.push(card.account_id);
            }
        }
    }
    let entries = batch.ledger_entries.iter();
    let entries = entries.filter(|row| names_no_card(row));
    let fees = batch.fees.iter().filter(|row| row.card_id.is_none());
    let accounts = entries.map(|row| row.account_id);
    let owners: BTreeSet<CardId> = accounts
        .chain(fees.map(|row| row.account_id))
        .map(AccountId::opened_for)
        .collect();
    let owners: Vec<CardId> = owners.into_iter().collect();
    let known = store.accounts_of_cards(&owners).await?;
    let known = known.into_iter();
    let known = known.filter(|(card_id, account_id)| account_id.opened_for() == *card_id);
    own.extend(known.map(|(_, account_id)| account_id));
    let owner = |id: AccountId| own.contains(&id).then(|| id.opened_for());
    let entries = batch.ledger_entries.iter_mut();
    for row in entries.filter(|row| names_no_card(row)) {
        row.card_id = owner(row.account_id);
    }
    for row in batch.fees.iter_mut().filter(|row| row.card_id.is_none()) {
        row.card_id = owner(row.account_id);
    }
    Ok(())
}

/// What names the card in rows of an earlier batch.
pub(super) fn late_names(account_id: AccountId) -> [(&'static str, [Value; 2]); 2] {
    let values = [
        Value::Text(account_id.to_string()),
        Value::Text(account_id.opened_for().to_string()),
    ];
    [
        (
            "UPDATE ledger_entries SET card_id = $2 \
             WHERE account_id = $1 AND ledger_account = 'customer' AND card_id IS NULL",
            values.clone(),
        ),
        (
            "UPDATE fees SET card_id = $2 WHERE account_id = $1 AND card_id IS NULL",
            values,
        ),
    ]
}

fn names_no_card(row: &LedgerEntryRow) -> bool {
    row.card_id.is_none() && row.ledger_account == LedgerAccountName::Customer
}

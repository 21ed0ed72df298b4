//! The further accounts of a card: in which order it draws on which accounts of its tree. Which of them pays
//! for a request lives in `funding.rs`.

use super::command::OpenCard;
use super::event::Refusal;
use super::ids::{AccountId, CardId};
use super::state::{Card, State};
use arrayvec::ArrayVec;

/// Accounts of a card beside the first.
pub const FURTHER_ACCOUNTS_MAX: usize = 7;

/// The accounts that a card draws on after its first one, in this order.
pub type Wallet = ArrayVec<AccountId, FURTHER_ACCOUNTS_MAX>;

/// A card that draws on an account, first or later, and is not this one. All cards are looked through, so it is for what is seldom
/// asked.
pub fn drawn_on_by(state: &State, account_id: AccountId, other_than: CardId) -> Option<&Card> {
    let mut cards = state.cards.iter();
    cards.find(|card| {
        let further = card.wallet.iter().flat_map(|wallet| wallet.iter());
        let mut draws = further.chain([&card.account_id]);
        card.id != other_than && draws.any(|id| *id == account_id)
    })
}

/// Why a card with this wallet cannot be opened, if it cannot. One that is closed by then is no reason: it is
/// passed over, as one that is closed later is.
pub(super) fn refusal(state: &State, root: AccountId, open: &OpenCard) -> Option<Refusal> {
    let wallet = open.wallet.as_deref()?;
    let mut before = vec![open.account_id];
    for account_id in wallet {
        if before.contains(account_id) {
            return Some(Refusal::WalletAccountTwice(*account_id));
        }
        match state.account_of_tree(root, *account_id) {
            None => return Some(Refusal::AccountNotFound(*account_id)),
            Some(_) => before.push(*account_id),
        }
    }
    None
}

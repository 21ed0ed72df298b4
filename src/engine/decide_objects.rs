//! Decides what the interface asks of accounts and cards: opening, statuses, controls, top-ups. Changes nothing. Messages
//! of the network are decided in `decide.rs` and its neighbours.

use super::command::{
    AccountStatusChange, ChangeAccountStatus, ChangeCardControls, ChangeCardStatus, Command,
    OpenAccount, OpenCard, StatusChange, TopUp,
};
use super::decide::Outcome;
use super::event::{Event, Refusal};
use super::fees::charge::{self, Charges};
use super::scope::ACCOUNT_LEVELS_MAX;
use super::state::{AccountStatus, CardStatus, State};
use super::{top_ups, wallet};

pub(super) fn open_account(state: &State, command: &Command, open: &OpenAccount) -> Outcome {
    if let Some(account) = state.account(open.account_id) {
        let same = account.root == command.root
            && account.parent_id == open.parent_id
            && account.program_id == open.program_id
            && account.currency == open.currency;
        return if same {
            Outcome::AlreadyDone
        } else {
            Outcome::Refused(Refusal::IdTaken)
        };
    }
    if let Some(limit_id) = open.controls.limit_id_twice() {
        return Outcome::Refused(Refusal::LimitIdTwice(limit_id));
    }
    let Some(parent_id) = open.parent_id else {
        if open.account_id != command.root {
            return Outcome::Refused(Refusal::AccountNotFound(command.root));
        }
        let charges = charge::of_account(&state.registry, open);
        return Outcome::Event(Event::AccountOpened { charges });
    };
    match state.account_of_tree(command.root, parent_id) {
        None => Outcome::Refused(Refusal::AccountNotFound(parent_id)),
        Some(parent) if parent.status == AccountStatus::Closed => {
            Outcome::Refused(Refusal::AccountStatusForbids(parent.status))
        }
        Some(parent) if state.above(parent).count() + 2 > ACCOUNT_LEVELS_MAX => {
            Outcome::Refused(Refusal::TooDeep)
        }
        // A program's limits count over the whole tree, which takes one currency.
        Some(parent) if parent.currency != open.currency => {
            Outcome::Refused(Refusal::CurrencyMismatch {
                account: parent.currency,
                given: open.currency,
            })
        }
        Some(_) => Outcome::Event(Event::AccountOpened {
            charges: Charges::default(),
        }),
    }
}

pub(super) fn change_account_status(
    state: &State,
    command: &Command,
    change: &ChangeAccountStatus,
) -> Outcome {
    let Some(account) = state.account_of_tree(command.root, change.account_id) else {
        return Outcome::Refused(Refusal::AccountNotFound(change.account_id));
    };
    let from = account.status;
    let to = match change.change {
        AccountStatusChange::Freeze => AccountStatus::Frozen,
        AccountStatusChange::Unfreeze => AccountStatus::Active,
        AccountStatusChange::Close => AccountStatus::Closed,
    };
    if to == from {
        return Outcome::AlreadyDone;
    }
    if from == AccountStatus::Closed {
        return Outcome::Refused(Refusal::AccountStatusForbids(from));
    }
    if to == AccountStatus::Closed {
        let (posted_minor, held_minor) = (account.posted_minor, account.held_minor);
        if (posted_minor, held_minor) != (0, 0) {
            return Outcome::Refused(Refusal::AccountNotEmpty {
                posted_minor,
                held_minor,
            });
        }
        if account.in_transit_minor != 0 {
            let in_transit_minor = account.in_transit_minor;
            return Outcome::Refused(Refusal::TransfersInTransit { in_transit_minor });
        }
        if account.open_sub_accounts > 0 {
            return Outcome::Refused(Refusal::SubAccountsOpen(account.open_sub_accounts));
        }
    }
    Outcome::Event(Event::AccountStatusChanged { from, to })
}

pub(super) fn decide_top_up(state: &State, command: &Command, top_up: &TopUp) -> Outcome {
    let retention_ms = state.registry.settings.idempotency_retention_ms;
    let before = state
        .top_ups
        .find(top_up.top_up_id, command.at, retention_ms);
    if let Some(account_id) = before {
        return if *account_id == top_up.account_id {
            Outcome::AlreadyDone
        } else {
            Outcome::Refused(Refusal::IdTaken)
        };
    }
    let Some(account) = state.account_of_tree(command.root, top_up.account_id) else {
        return Outcome::Refused(Refusal::AccountNotFound(top_up.account_id));
    };
    match top_ups::credit(account, &top_up.method, top_up.amount) {
        Ok(credit) => Outcome::Event(Event::Posted {
            postings: top_ups::legs(account.id, credit.credited_minor),
            charges: charge::of_top_up(&state.registry, account, credit.credited_minor),
        }),
        Err(refusal) => Outcome::Refused(refusal),
    }
}

pub(super) fn open_card(state: &State, command: &Command, open: &OpenCard) -> Outcome {
    if let Some(card) = state.card(open.card_id) {
        let same = card.account_id == open.account_id
            && card.wallet == open.wallet
            && (card.first6, card.last4) == (open.first6, open.last4);
        return if same {
            Outcome::AlreadyDone
        } else {
            Outcome::Refused(Refusal::IdTaken)
        };
    }
    if state
        .account_of_tree(command.root, open.account_id)
        .is_none()
    {
        return Outcome::Refused(Refusal::AccountNotFound(open.account_id));
    }
    if let Some(limit_id) = open.controls.limit_id_twice() {
        return Outcome::Refused(Refusal::LimitIdTwice(limit_id));
    }
    if let Some(refusal) = wallet::refusal(state, command.root, open) {
        return Outcome::Refused(refusal);
    }
    let status = match open.card_type {
        super::command::CardType::Virtual => CardStatus::Active,
        super::command::CardType::Physical => CardStatus::Inactive,
    };
    let payer_id = open.paid_by.unwrap_or(open.account_id);
    let Some(payer) = state.account_of_tree(command.root, payer_id) else {
        return Outcome::Refused(Refusal::AccountNotFound(payer_id));
    };
    let charge = charge::of_issue(&state.registry, payer, open.card_id, open.card_type);
    Outcome::Event(match charge {
        // The registry has issued it, so it ends here, and is not opened by a later try.
        Some(charge) if charge.overdrawn => Event::CardOpened {
            status: CardStatus::Closed,
            charges: Charges::default(),
        },
        charge => Event::CardOpened {
            status,
            charges: charge.into_iter().collect(),
        },
    })
}

pub(super) fn change_card_controls(
    state: &State,
    command: &Command,
    change: &ChangeCardControls,
) -> Outcome {
    let Some(card) = state.card_of_tree(command.root, change.card_id) else {
        return Outcome::Refused(Refusal::CardNotFound(change.card_id));
    };
    // They are those of the whole chain.
    if let Some(by) = card.replaced_by() {
        return Outcome::Refused(Refusal::CardReplaced(by));
    }
    match change.controls.limit_id_twice() {
        Some(limit_id) => Outcome::Refused(Refusal::LimitIdTwice(limit_id)),
        None => Outcome::Event(Event::CardControlsChanged),
    }
}

pub(super) fn change_card_status(
    state: &State,
    command: &Command,
    change: &ChangeCardStatus,
) -> Outcome {
    let Some(card) = state.card_of_tree(command.root, change.card_id) else {
        return Outcome::Refused(Refusal::CardNotFound(change.card_id));
    };
    let to = match (change.change, card.status) {
        (StatusChange::Activate, CardStatus::Inactive | CardStatus::Active) => CardStatus::Active,
        (StatusChange::Freeze, CardStatus::Active | CardStatus::Frozen) => CardStatus::Frozen,
        (StatusChange::Freeze, CardStatus::Inactive | CardStatus::FrozenInactive) => {
            CardStatus::FrozenInactive
        }
        (StatusChange::Unfreeze, CardStatus::Frozen | CardStatus::Active) => CardStatus::Active,
        (StatusChange::Unfreeze, CardStatus::FrozenInactive | CardStatus::Inactive) => {
            CardStatus::Inactive
        }
        (StatusChange::Close, status) if status.is_closed() => status,
        // Why it was blocked stays, for who asks and for the network.
        (StatusChange::Close, CardStatus::BlockedLost) => CardStatus::ClosedLost,
        (StatusChange::Close, CardStatus::BlockedStolen) => CardStatus::ClosedStolen,
        (StatusChange::Close, CardStatus::BlockedFraud) => CardStatus::ClosedFraud,
        (StatusChange::Close, _) => CardStatus::Closed,
        (StatusChange::Block, status) if !status.is_closed() => CardStatus::Blocked,
        (StatusChange::BlockLost, status) if !status.is_closed() => CardStatus::BlockedLost,
        (StatusChange::BlockStolen, status) if !status.is_closed() => CardStatus::BlockedStolen,
        (StatusChange::BlockFraud, status) if !status.is_closed() => CardStatus::BlockedFraud,
        (_, status) => return Outcome::Refused(Refusal::StatusForbids(status)),
    };
    if to == card.status {
        return Outcome::AlreadyDone;
    }
    if let (StatusChange::Activate, Some(status)) = (change.change, card.not_shipped()) {
        return Outcome::Refused(Refusal::NotShipped(status));
    }
    let tokens = match to.is_closed() {
        true => state.tokens.not_deleted(card.id),
        false => Box::default(),
    };
    Outcome::Event(Event::CardStatusChanged {
        from: card.status,
        to,
        tokens,
        cancels_shipping: to.is_closed() && card.has_cancellable_shipping(),
    })
}

//! Issuing one card: its sub-account where it has one, a number that nobody has, the registry's
//! entry, the shard's card. Every step may be done again with the same ids.

use super::cards::{self, FullCard};
use super::error::ApiError;
use super::links::{self, LinkPair};
use super::{ApiState, accounts, ask, card_links, cardholders, fees, programs, reveal};
use crate::engine::card_batches::CardOrder;
use crate::engine::command::{
    AccountStatusChange, Action, ChangeAccountStatus, OpenAccount, OpenCard,
};
use crate::engine::controls::Controls;
use crate::engine::ids::{AccountId, CardId, CardholderId, ProgramId};
use crate::engine::programs::{Bin, Program};
use crate::engine::registry::{IssueCard, LinkKey, RegistryAction, RegistryRefusal, SealedPan};
use crate::engine::state::{Account, AccountStatus};
use crate::engine::time::{Expiry, Timestamp};
use crate::security::{Pan, SealedPan as SealedNumber, allocate_pan_from_os};
use crate::shard::reply::Reply;
use crate::shard::request::ShardRequest;
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::value::{BytesDeserializer, Error as BytesError};

/// Cards are good for three years and the rest of the month.
const VALID_YEARS: u16 = 3;

/// Numbers drawn before a BIN counts as full. At 90 % use of it, one card in 10^11 fails.
pub const DRAWS_MAX: usize = 256;

/// What `once` and batches reserve for a card: its own id first, then that of its sub-account.
pub fn ids_of(first_id: u64) -> (CardId, AccountId) {
    (CardId(first_id), AccountId(first_id + 1))
}

/// A card as asked for, with the ids that it is to have.
pub struct Wanted {
    pub card_id: CardId,
    /// Of the sub-account, should there be one.
    pub sub_account_id: AccountId,
    pub order: CardOrder,
}

pub async fn issue(state: &ApiState, wanted: Wanted) -> Result<FullCard, ApiError> {
    let own = wanted.order.has_own_account;
    let ids = (wanted.card_id, wanted.sub_account_id);
    let issued = match issue_once(state, &wanted).await {
        // By a try that was cut off: what has changed since refuses it no more.
        Err(error) if is_final(&error) && is_issued(state, wanted.card_id).await => {
            again(state, &wanted).await
        }
        issued => issued,
    };
    if own && issued.as_ref().is_err_and(is_final) {
        close_unused(state, ids).await;
    }
    issued
}

/// Whether a repeat would be refused as well.
pub fn is_final(error: &ApiError) -> bool {
    error.status.is_client_error() && error.status != StatusCode::BAD_REQUEST
}

async fn issue_once(state: &ApiState, wanted: &Wanted) -> Result<FullCard, ApiError> {
    let named = accounts::find(state, wanted.order.account_id).await;
    let named = named.map_err(|error| error.with_param("account_id"))?;
    if named.status == AccountStatus::Closed {
        let error = ApiError::conflict("account_closed", "the account is closed");
        return Err(error.with_param("account_id"));
    }
    check_is_shared(state, &named, "account_id").await?;
    check_wallet(state, wanted, &named).await?;
    let program = programs::find(state, named.program_id).await?;
    let bin = bin_of_order(&wanted.order, &program)?;
    if let Some(id) = wanted.order.cardholder_id {
        check_cardholder(state, id, &program).await?;
    }
    check_links(state, wanted, &named).await?;
    fees::check_issue(state, wanted.card_id, &named, wanted.order.card_type).await?;
    if wanted.order.has_own_account {
        check_is_unused(state, wanted, named.root).await?;
    }
    let account = match wanted.order.has_own_account {
        false => named,
        true => open_sub_account(state, &named, wanted.sub_account_id).await?,
    };
    draw_and_issue(state, wanted, &account, (&program, &bin)).await
}

async fn draw_and_issue(
    state: &ApiState,
    wanted: &Wanted,
    account: &Account,
    (program, bin): (&Program, &Bin),
) -> Result<FullCard, ApiError> {
    for _ in 0..DRAWS_MAX {
        let issue = command(state, wanted, account, (program, bin))?;
        let links = issue.links.to_vec();
        let action = RegistryAction::IssueCard(Box::new(issue));
        match ask::registry_command(state, action).await? {
            Reply::Card(card) if card.status.is_closed() => return Err(fees::not_opened()),
            Reply::Card(card) => {
                return Ok(FullCard {
                    card: *card,
                    program_id: program.id,
                    root: account.root,
                    links,
                    bin: *bin,
                });
            }
            Reply::RegistryRefused(RegistryRefusal::PanTaken) => {}
            // Issued before under the same Idempotency-Key.
            Reply::RegistryRefused(RegistryRefusal::IdTaken) => return again(state, wanted).await,
            Reply::RegistryRefused(
                refusal @ (RegistryRefusal::LinkOfOtherTree { .. }
                | RegistryRefusal::LinkClosed { .. }
                | RegistryRefusal::TooManyCardsOfLink),
            ) => {
                return Err(links::refused(refusal));
            }
            reply => return Err(ask::unexpected(&reply)),
        }
    }
    Err(bin_exhausted(bin))
}

/// The one that it names, which must be the program's, or the program's first.
fn bin_of_order(order: &CardOrder, program: &Program) -> Result<Bin, ApiError> {
    match order.bin {
        None => Ok(program.bin),
        Some(bin) if program.bins().any(|known| *known == bin) => Ok(bin),
        Some(bin) => {
            let message = format!("BIN {bin} is not one of the program's `bins`");
            Err(ApiError::conflict("bin_of_other_program", message).with_param("bin"))
        }
    }
}

pub fn bin_exhausted(bin: &Bin) -> ApiError {
    let message = format!("no free card number was found in BIN {bin}; issue with another BIN");
    ApiError::conflict("bin_exhausted", message)
}

/// The further accounts are there, in the tree of the first, and open.
async fn check_wallet(state: &ApiState, wanted: &Wanted, named: &Account) -> Result<(), ApiError> {
    let wallet = wanted.order.wallet.iter().flat_map(|wallet| wallet.iter());
    for (place, account_id) in wallet.enumerate() {
        let path = format!("wallet_account_ids[{place}]");
        let account = accounts::find(state, *account_id).await;
        let account = account.map_err(|error| error.with_param(&path))?;
        if account.root != named.root {
            let message = format!("{path} is not in the account tree of account_id");
            return Err(ApiError::conflict("account_of_other_tree", message).with_param(path));
        }
        check_is_shared(state, &account, &path).await?;
        if account.status == AccountStatus::Closed {
            let message = format!("{path} is closed");
            return Err(ApiError::conflict("account_closed", message).with_param(path));
        }
    }
    Ok(())
}

/// What was opened for a card is that card's alone: what moves on it is told to whoever sees the card.
pub(super) async fn check_is_shared(
    state: &ApiState,
    account: &Account,
    param: &str,
) -> Result<(), ApiError> {
    match card_links::owner(state, account.root, account.id).await? {
        None => Ok(()),
        Some(_) => {
            let message = "the account was opened for a card, which alone draws on it: name the account above it";
            Err(ApiError::conflict("account_of_card", message).with_param(param))
        }
    }
}

/// An order that was cut off may have left the account without its card, and somebody may have put other cards on it since,
/// or accounts below it.
async fn check_is_unused(
    state: &ApiState,
    wanted: &Wanted,
    root: AccountId,
) -> Result<(), ApiError> {
    let (card_id, account_id) = (wanted.card_id, wanted.sub_account_id);
    let left = match accounts::find(state, account_id).await {
        Err(error) if error.status == StatusCode::NOT_FOUND => return Ok(()),
        found => found?,
    };
    if left.status == AccountStatus::Closed {
        let message = format!(
            "this order was cut off, and the account {account_id} that was opened for its card was closed: order it anew"
        );
        return Err(ApiError::conflict("account_closed", message).with_param("funding"));
    }
    let used_by = ShardRequest::UsedBy(account_id, card_id);
    match ask::shard(state, root, used_by).await? {
        Reply::NotFound => Ok(()),
        Reply::Card(_) | Reply::Account(_) => {
            let message = format!(
                "this order was cut off, and other cards or accounts were put on the account {account_id} that was opened for its card: order it anew"
            );
            Err(ApiError::conflict("account_of_card", message).with_param("funding"))
        }
        reply => Err(ask::unexpected(&reply)),
    }
}

/// What it is linked to takes a card of this tree. The registry sees to it; this is so that no sub-account is left
/// behind.
async fn check_links(state: &ApiState, wanted: &Wanted, named: &Account) -> Result<(), ApiError> {
    if !wanted.order.has_own_account {
        return Ok(());
    }
    for pair in &wanted.order.links {
        let known = links::find(state, pair).await?;
        let mut known = known.iter();
        let known = known.find(|link| link.key.program_id == named.program_id);
        if let Some(link) = known.filter(|link| !link.takes_card_of(named.root)) {
            return Err(links::refused(link.other_tree()));
        }
    }
    Ok(())
}

async fn check_cardholder(
    state: &ApiState,
    id: CardholderId,
    program: &Program,
) -> Result<(), ApiError> {
    let known = cardholders::find(state, id).await;
    let known = known.map_err(|error| error.with_param("cardholder_id"))?;
    match known.cardholder.program_id == program.id {
        true => Ok(()),
        false => {
            let message = "the cardholder belongs to another program than the account";
            let error = ApiError::conflict("program_mismatch", message);
            Err(error.with_param("cardholder_id"))
        }
    }
}

async fn open_sub_account(
    state: &ApiState,
    parent: &Account,
    account_id: AccountId,
) -> Result<Account, ApiError> {
    let open = OpenAccount {
        account_id,
        parent_id: Some(parent.id),
        program_id: parent.program_id,
        currency: parent.currency,
        name: None,
        controls: Controls::default(),
    };
    accounts::open_account(state, parent.root, open).await
}

/// The sub-account that this try or one before it has opened for a card which is not there, or was closed at once: it would
/// keep its parent from being closed. Whether it can be done now changes no answer.
pub async fn close_unused(state: &ApiState, (card_id, account_id): (CardId, AccountId)) {
    let (root, is_open) = match accounts::find(state, account_id).await {
        Ok(account) => (account.root, account.status != AccountStatus::Closed),
        Err(_) => return,
    };
    let draws = match cards::find_full(state, card_id).await {
        Ok(known) => !known.card.status.is_closed(),
        Err(error) => error.status != StatusCode::NOT_FOUND || is_issued(state, card_id).await,
    };
    if !is_open || draws {
        return;
    }
    let change = AccountStatusChange::Close;
    let close = Action::ChangeAccountStatus(ChangeAccountStatus { account_id, change });
    if let Err(error) = ask::shard_command(state, root, close).await {
        tracing::warn!(%account_id, error = %error.message, "the account of a card that was not issued stays open");
    }
}

/// The registry knows it, whether its shard has opened it yet or not.
async fn is_issued(state: &ApiState, card_id: CardId) -> bool {
    let issued = cards::issued(state, card_id).await;
    !issued.is_err_and(|error| error.status == StatusCode::NOT_FOUND)
}

/// A number of this BIN that begins with no longer one of the program: that one has its own numbers.
pub fn draw(state: &ApiState, program_id: ProgramId, bin: &Bin) -> Result<Pan, ApiError> {
    let view = state.switchboard.view();
    let program = view.programs.get(&program_id);
    for _ in 0..DRAWS_MAX {
        let pan = draw_any(bin)?;
        let longest = program.and_then(|program| program.bin_of(pan.digits()));
        if longest.is_none_or(|longest| longest == bin) {
            return Ok(pan);
        }
    }
    Err(bin_exhausted(bin))
}

fn draw_any(bin: &Bin) -> Result<Pan, ApiError> {
    // American Express numbers (34 and 37) have 15 digits, all others that we issue 16.
    let short = bin.starts_with("34") || bin.starts_with("37");
    let length = if short { 15 } else { 16 };
    allocate_pan_from_os(bin, length).map_err(|error| ApiError::internal(&error))
}

fn command(
    state: &ApiState,
    wanted: &Wanted,
    account: &Account,
    (program, bin): (&Program, &Bin),
) -> Result<IssueCard, ApiError> {
    let number = number(state, (program.id, bin), wanted.card_id)?;
    let key = |(link_type, id): &LinkPair| LinkKey {
        program_id: program.id,
        link_type: link_type.clone(),
        id: id.clone(),
    };
    Ok(IssueCard {
        card_id: wanted.card_id,
        root: account.root,
        account_id: account.id,
        program_id: program.id,
        card_type: wanted.order.card_type,
        pan_hash: number.pan_hash,
        sealed_pan: number.sealed_pan,
        first6: number.first6,
        last4: number.last4,
        expiry: expiry(state.switchboard.clock.now()),
        links: wanted.order.links.iter().map(key).collect(),
        controls: wanted.order.controls.clone(),
        wallet: wanted.order.wallet.clone(),
        cardholder_id: wanted.order.cardholder_id,
        paid_by: paid_by(wanted),
        shipping: wanted.order.shipping.clone(),
    })
}

/// An account of its own has nothing yet: whoever it is below pays for the card.
fn paid_by(wanted: &Wanted) -> Option<AccountId> {
    let order = &wanted.order;
    order.has_own_account.then_some(order.account_id)
}

/// A card number as the registry keeps it.
pub struct Number {
    pub pan_hash: u128,
    pub sealed_pan: SealedPan,
    pub first6: u32,
    pub last4: u16,
}

/// Draws a number for a card. Whether somebody has it already, the registry says.
pub fn number(
    state: &ApiState,
    (program_id, bin): (ProgramId, &Bin),
    card_id: CardId,
) -> Result<Number, ApiError> {
    sealed(state, &draw(state, program_id, bin)?, card_id.0)
}

/// The number of the card or token of this id, as the registry keeps it.
pub fn sealed(state: &ApiState, pan: &Pan, id: u64) -> Result<Number, ApiError> {
    let sealed = state.vault.seal_pan(pan, id);
    let sealed = sealed.map_err(|error| ApiError::internal(&error))?;
    let too_long = |_| ApiError::internal(&"a sealed card number is longer than the engine's");
    let (first6, last4) = shown_digits(pan);
    Ok(Number {
        pan_hash: state.vault.pan_hasher().pan_hash(pan.digits().as_bytes()),
        sealed_pan: sealed.as_bytes().try_into().map_err(too_long)?,
        first6,
        last4,
    })
}

/// The number that was sealed for this id, opened with the vault's key.
pub fn unsealed(state: &ApiState, sealed: &SealedPan, id: u64) -> Result<Pan, ApiError> {
    let bytes = BytesDeserializer::<BytesError>::new(sealed);
    let sealed = SealedNumber::deserialize(bytes).map_err(|error| ApiError::internal(&error))?;
    let pan = state.vault.open_pan(&sealed, id);
    pan.map_err(|error| ApiError::internal(&error))
}

pub fn shown_digits(pan: &Pan) -> (u32, u16) {
    // A PAN holds digits only, so these cannot fail.
    let (first6, last4) = (pan.first6().parse(), pan.last4().parse());
    (first6.unwrap_or_default(), last4.unwrap_or_default())
}

pub fn expiry(now: Timestamp) -> Expiry {
    let (year, month) = now.year_month();
    let year = u16::try_from(year).unwrap_or_default() + VALID_YEARS;
    // A clock outside this century gives the last month of it.
    let last = Expiry(12 * 100 - 1);
    Expiry::new(year, u8::try_from(month).unwrap_or_default()).unwrap_or(last)
}

/// The card that an earlier try issued. Should its shard not have opened it, it is asked to again.
async fn again(state: &ApiState, wanted: &Wanted) -> Result<FullCard, ApiError> {
    let (order, paid_by) = (wanted.order.clone(), paid_by(wanted));
    let (issued, links) = cards::issued(state, wanted.card_id).await?;
    let pan = reveal::open_pan(state, wanted.card_id, &issued)?;
    let (first6, last4) = shown_digits(&pan);
    let open = OpenCard {
        card_id: wanted.card_id,
        account_id: match order.has_own_account {
            false => order.account_id,
            true => wanted.sub_account_id,
        },
        card_type: order.card_type,
        first6,
        last4,
        expiry: issued.expiry,
        links: issued.links.clone(),
        controls: order.controls,
        wallet: order.wallet,
        holder: cardholders::holder(state, issued.cardholder_id).await?,
        paid_by,
        shipping: order.shipping,
        // Of one that its shard has opened, which is nearly always, nothing is changed.
        issued_at: state.switchboard.clock.now(),
    };
    let action = Action::OpenCard(Box::new(open));
    match ask::shard_command(state, issued.root, action).await? {
        Reply::Card(card) if card.status.is_closed() => Err(fees::not_opened()),
        Reply::Card(card) => cards::full(state, *card, issued, links),
        reply => Err(ask::unexpected(&reply)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_good_for_three_years_and_the_rest_of_the_month() {
        let at = |text: &str| Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        let expiry_at = |text| expiry(at(text));
        assert_eq!(
            expiry_at("2026-11-24T00:00:00Z"),
            Expiry::new(2029, 11).unwrap()
        );
        assert_eq!(
            expiry_at("2099-11-24T00:00:00Z"),
            Expiry::new(2099, 12).unwrap()
        );
    }
}

//! A card in place of another one, and a card that goes on under its number with a new expiry. A chain is a card with
//! all that replaced it, one after the other. What is the chain's, not the card's, is kept on its first card: controls,
//! the use of their limits, what use has made of it, and its history. So what was spent yesterday with the card before
//! counts today, and a late message of that card still counts where the next purchase is looked at.

use super::apply::insert_card;
use super::card_use::CardUse;
use super::cardholders::Holder;
use super::command::{Action, CardType, Command};
use super::counters::Counters;
use super::decide::Outcome;
use super::event::{Event, Refusal};
use super::fees::charge::{self, Charges};
use super::ids::{CardId, TokenId};
use super::issuing::issue_card;
use super::registry::{IssueCard, Registry, RegistryEvent, RegistryOutcome, RegistryRefusal};
use super::shipping::{self, ShippingOrder};
use super::state::{Card, CardStatus, State};
use super::time::{Expiry, Timestamp};
use super::verification_tries::VerificationTries;
use serde::{Deserialize, Serialize};

/// Where a card stands among those that replaced one another. A card that neither replaced nor was replaced has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// On which is kept what is common to all of them.
    pub first: CardId,
    pub replacement_for: Option<CardId>,
    pub replaced_by: Option<CardId>,
    /// How many cards came before it.
    pub before: u16,
}

/// Cards of one chain: late messages that name a token look for theirs in all of them.
pub const CARDS_OF_CHAIN_MAX: usize = 200;

impl Chain {
    fn of_first(id: CardId) -> Chain {
        Chain {
            first: id,
            replacement_for: None,
            replaced_by: None,
            before: 0,
        }
    }

    /// Of a new card in place of one with `before`, which had the id `replaced`.
    fn next(before: Option<&Chain>, replaced: CardId) -> Chain {
        Chain {
            first: before.map_or(replaced, |chain| chain.first),
            replacement_for: Some(replaced),
            replaced_by: None,
            before: before.map_or(0, |chain| chain.before).saturating_add(1),
        }
    }
}

macro_rules! reissue_reasons {
    ($($name:ident = $text:literal,)*) => {
        /// Why a card gets another one in its place.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum ReissueReason { $($name,)* }

        impl ReissueReason {
            pub const NAMED: &'static [(ReissueReason, &'static str)] =
                &[$((ReissueReason::$name, $text),)*];

            pub fn name(self) -> &'static str {
                match self { $(ReissueReason::$name => $text,)* }
            }
        }
    };
}

reissue_reasons! {
    Damaged = "damaged",
    Expired = "expired",
    Lost = "lost",
    Stolen = "stolen",
    Fraud = "fraud",
    // What was made or sent is not what it should be.
    FulfillmentError = "fulfillment_error",
}

impl ReissueReason {
    /// What was our mistake costs nothing.
    pub fn is_free(self) -> bool {
        self == ReissueReason::FulfillmentError
    }
}

/// To the registry: issues a card in place of another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReissueCard {
    pub replaces: CardId,
    pub reason: ReissueReason,
    /// The new card, with the account, the links and the holder of the old one. Its controls are left empty: the chain has
    /// them.
    pub issue: IssueCard,
}

/// To the shard: opens the new card and ends the old one, in one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplaceCard {
    pub card_id: CardId,
    pub replaces: CardId,
    pub reason: ReissueReason,
    pub first6: u32,
    pub last4: u16,
    pub expiry: Expiry,
    /// Of both cards, as the registry had it.
    pub holder: Option<Holder>,
    /// Of the new card.
    pub shipping: Option<Box<ShippingOrder>>,
    pub issued_at: Timestamp,
}

/// To the registry, and from it to the shard: the same number, with another expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewCard {
    pub card_id: CardId,
    pub expiry: Expiry,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardReplaced {
    /// Of the new card.
    pub status: CardStatus,
    /// Of the old one.
    pub from: CardStatus,
    pub to: CardStatus,
    /// What the new card costs.
    pub charges: Charges,
    /// Those that stand for the new card from now on.
    pub tokens: Box<[TokenId]>,
    /// Nobody is to make the old one any more.
    pub cancels_shipping: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardRenewed {
    /// The expiry before.
    pub from: Expiry,
}

pub(super) fn decide_reissue(registry: &Registry, reissue: &ReissueCard) -> RegistryOutcome {
    let (replaces, issue) = (reissue.replaces, &reissue.issue);
    let refusal = match registry.issued_cards.get(replaces) {
        None => RegistryRefusal::CardNotFound(replaces),
        Some(old) if (old.root, old.program_id) != (issue.root, issue.program_id) => {
            RegistryRefusal::CardNotFound(replaces)
        }
        Some(old) => match old.chain.and_then(|chain| chain.replaced_by) {
            None if !has_room(old.chain.as_ref()) => RegistryRefusal::TooManyReissues,
            None if old.cardholder_id != issue.cardholder_id => RegistryRefusal::CardholderReplaced,
            None => return issue_card(registry, issue),
            Some(by) if by == issue.card_id => RegistryRefusal::IdTaken,
            Some(by) => RegistryRefusal::CardReplaced(by),
        },
    };
    RegistryOutcome::Refused(refusal)
}

fn has_room(chain: Option<&Chain>) -> bool {
    chain.map_or(0, |chain| usize::from(chain.before)) + 1 < CARDS_OF_CHAIN_MAX
}

/// Ties the two together, once the new one is there.
pub(super) fn apply_reissue(registry: &mut Registry, reissue: &ReissueCard) {
    let (replaces, card_id) = (reissue.replaces, reissue.issue.card_id);
    let mut before = None;
    if let Some(old) = registry.issued_cards.get_mut(replaces) {
        before = old.chain;
        let chain = old.chain.get_or_insert(Chain::of_first(replaces));
        chain.replaced_by = Some(card_id);
    }
    if let Some(new) = registry.issued_cards.get_mut(card_id) {
        new.chain = Some(Chain::next(before.as_ref(), replaces));
    }
}

pub(super) fn decide_renewal(registry: &Registry, renew: &RenewCard) -> RegistryOutcome {
    let Some(card) = registry.issued_cards.get(renew.card_id) else {
        return RegistryOutcome::Refused(RegistryRefusal::CardNotFound(renew.card_id));
    };
    match card.chain.and_then(|chain| chain.replaced_by) {
        Some(by) => RegistryOutcome::Refused(RegistryRefusal::CardReplaced(by)),
        // It is good for as long already.
        None if renew.expiry <= card.expiry => RegistryOutcome::AlreadyDone,
        None => RegistryOutcome::Event(RegistryEvent::CardRenewed { root: card.root }),
    }
}

pub(super) fn apply_renewal(registry: &mut Registry, renew: &RenewCard) {
    if let Some(card) = registry.issued_cards.get_mut(renew.card_id) {
        card.expiry = renew.expiry;
    }
}

/// What the registry issued is opened whatever the old card's status became meanwhile; where that was closed, the new one is
/// closed from the start: nobody knows of it who could close it, too.
pub(super) fn decide_replace(state: &State, command: &Command, replace: &ReplaceCard) -> Outcome {
    if let Some(card) = state.card(replace.card_id) {
        return match card.replacement_for() == Some(replace.replaces) {
            true => Outcome::AlreadyDone,
            false => Outcome::Refused(Refusal::IdTaken),
        };
    }
    match state.card_of_tree(command.root, replace.replaces) {
        None => Outcome::Refused(Refusal::CardNotFound(replace.replaces)),
        Some(old) => match old.replaced_by() {
            Some(by) => Outcome::Refused(Refusal::CardReplaced(by)),
            None => Outcome::Event(Event::CardReplaced(CardReplaced {
                status: status_of_new(old.card_type, old.status),
                from: old.status,
                to: ended(old.status, replace.reason),
                charges: charges(state, old, replace),
                tokens: state.tokens.of_card(old.id).map(|token| token.id).collect(),
                cancels_shipping: old.has_cancellable_shipping(),
            })),
        },
    }
}

/// What was asked for and checked before; the registry has tied the cards together, so that it is charged even where something
/// else was faster and it takes what is available below zero.
fn charges(state: &State, old: &Card, replace: &ReplaceCard) -> Charges {
    if replace.reason.is_free() || old.status.is_closed() {
        return Charges::default();
    }
    let account = state.account_of(old);
    let charge = charge::of_issue(&state.registry, account, replace.card_id, old.card_type);
    charge.into_iter().collect()
}

/// A card that somebody froze stays frozen under its new number.
fn status_of_new(old: CardType, status: CardStatus) -> CardStatus {
    match (old, status) {
        (_, closed) if closed.is_closed() => CardStatus::Closed,
        (CardType::Virtual, CardStatus::Frozen | CardStatus::FrozenInactive) => CardStatus::Frozen,
        (CardType::Virtual, _) => CardStatus::Active,
        (CardType::Physical, CardStatus::Frozen | CardStatus::FrozenInactive) => {
            CardStatus::FrozenInactive
        }
        (CardType::Physical, _) => CardStatus::Inactive,
    }
}

/// Closed; a network that asks for a lost or stolen card still hears that it is.
fn ended(before: CardStatus, reason: ReissueReason) -> CardStatus {
    match (reason, before) {
        (ReissueReason::Lost, _) => CardStatus::ClosedLost,
        (ReissueReason::Stolen, _) => CardStatus::ClosedStolen,
        (ReissueReason::Fraud, _) => CardStatus::ClosedFraud,
        (_, CardStatus::BlockedLost) => CardStatus::ClosedLost,
        (_, CardStatus::BlockedStolen) => CardStatus::ClosedStolen,
        (_, CardStatus::BlockedFraud) => CardStatus::ClosedFraud,
        (_, before) if before.is_closed() => before,
        _ => CardStatus::Closed,
    }
}

/// Applies either event of a shard.
pub(super) fn apply(state: &mut State, command: &Command, event: &Event) {
    match (&command.action, event) {
        (Action::ReplaceCard(replace), Event::CardReplaced(replaced)) => {
            apply_replace(state, command, replace, replaced);
        }
        (Action::RenewCard(renew), Event::CardRenewed(_)) => {
            if let Some(card) = state.card_mut(renew.card_id) {
                card.expiry = renew.expiry;
                card.is_expired = false;
            }
        }
        (action, event) => panic!("an event {event:?} cannot come of this command: {action:?}"),
    }
}

fn apply_replace(
    state: &mut State,
    command: &Command,
    replace: &ReplaceCard,
    replaced: &CardReplaced,
) {
    let Some(old) = state.card_mut(replace.replaces) else {
        panic!("card {} of an event is not in this shard", replace.replaces);
    };
    old.status = replaced.to;
    if replaced.cancels_shipping {
        old.cancel_shipping(command.at);
    }
    let chain = Chain::next(old.chain.as_deref(), replace.replaces);
    let first = Chain::of_first(replace.replaces);
    let of_old = old.chain.get_or_insert_with(|| Box::new(first));
    of_old.replaced_by = Some(replace.card_id);
    let card = Card {
        id: replace.card_id,
        account_id: old.account_id,
        account_slot: old.account_slot,
        first6: replace.first6,
        last4: replace.last4,
        expiry: replace.expiry,
        status: replaced.status,
        card_type: old.card_type,
        created_at: replace.issued_at,
        links: old.links.clone(),
        controls: None,
        counters: Counters::default(),
        card_use: None,
        wallet: old.wallet.clone(),
        history: None,
        holder: replace.holder,
        chain: Some(Box::new(chain)),
        // It is one card to whoever pays for months.
        fees_through: old.fees_through,
        shipping: shipping::ordered(replace.shipping.as_deref(), replace.issued_at),
        is_expired: false,
        decline_fees: None,
        verification_tries: VerificationTries::default(),
    };
    let card = match card.status.is_closed() {
        true => with_shipping_cancelled(card, command.at),
        false => card,
    };
    insert_card(state, card);
    state.tokens.move_to(replace.replaces, replace.card_id);
}

fn with_shipping_cancelled(mut card: Card, at: Timestamp) -> Card {
    card.cancel_shipping(at);
    card
}

pub(super) fn decide_renew(state: &State, command: &Command, renew: &RenewCard) -> Outcome {
    match state.card_of_tree(command.root, renew.card_id) {
        None => Outcome::Refused(Refusal::CardNotFound(renew.card_id)),
        Some(card) if renew.expiry <= card.expiry => Outcome::AlreadyDone,
        Some(card) => {
            let from = card.expiry;
            Outcome::Event(Event::CardRenewed(CardRenewed { from }))
        }
    }
}

impl Card {
    /// The card on which is kept what is its chain's.
    pub fn first_of_chain(&self) -> CardId {
        self.chain.as_ref().map_or(self.id, |chain| chain.first)
    }

    pub fn replacement_for(&self) -> Option<CardId> {
        self.chain.as_ref()?.replacement_for
    }

    pub fn replaced_by(&self) -> Option<CardId> {
        self.chain.as_ref()?.replaced_by
    }
}

impl State {
    /// The first card of its chain, most often itself: on it is kept what is the chain's.
    pub fn kept_on<'a>(&'a self, card: &'a Card) -> &'a Card {
        match &card.chain {
            Some(chain) if chain.first != card.id => self.card(chain.first).unwrap_or(card),
            _ => card,
        }
    }

    /// The same, by the id of any card of the chain, to change it.
    pub(super) fn kept_on_mut(&mut self, id: CardId) -> Option<&mut Card> {
        let first = self.card(id)?.first_of_chain();
        self.card_mut(first)
    }

    /// A card with what is its chain's, as it is shown.
    pub fn shown(&self, card: &Card) -> Card {
        let kept = self.kept_on(card);
        let card_use: Option<Box<CardUse>> = kept.card_use.clone();
        Card {
            controls: kept.controls.clone(),
            card_use,
            ..card.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_or_stolen_stays_so_when_it_is_closed() {
        use CardStatus::*;
        for (before, reason, after) in [
            (Active, ReissueReason::Damaged, Closed),
            (Frozen, ReissueReason::Expired, Closed),
            (Blocked, ReissueReason::FulfillmentError, Closed),
            (Active, ReissueReason::Lost, ClosedLost),
            (BlockedLost, ReissueReason::Stolen, ClosedStolen),
            (BlockedStolen, ReissueReason::Damaged, ClosedStolen),
            (BlockedFraud, ReissueReason::Expired, ClosedFraud),
            (Active, ReissueReason::Fraud, ClosedFraud),
            (ClosedLost, ReissueReason::Damaged, ClosedLost),
        ] {
            assert_eq!(ended(before, reason), after, "{before:?} {reason:?}");
        }
    }

    #[test]
    fn a_new_card_is_as_good_as_the_old_one_and_no_better() {
        use CardStatus::*;
        for (old, before, new) in [
            (CardType::Virtual, Active, Active),
            (CardType::Virtual, BlockedLost, Active),
            (CardType::Virtual, Frozen, Frozen),
            (CardType::Physical, Active, Inactive),
            (CardType::Physical, FrozenInactive, FrozenInactive),
            (CardType::Virtual, Closed, Closed),
            (CardType::Physical, ClosedStolen, Closed),
        ] {
            assert_eq!(status_of_new(old, before), new, "{old:?} {before:?}");
        }
    }

    #[test]
    fn a_chain_takes_so_many_cards() {
        let mut chain = None;
        let mut cards = 1;
        while has_room(chain.as_ref()) {
            chain = Some(Chain::next(chain.as_ref(), CardId(cards as u64)));
            cards += 1;
        }
        assert_eq!(cards, CARDS_OF_CHAIN_MAX);
    }

    #[test]
    fn a_chain_has_one_first_card_however_long_it_is() {
        let second = Chain::next(None, CardId(1));
        let third = Chain::next(Some(&second), CardId(2));
        assert_eq!((second.first, third.first), (CardId(1), CardId(1)));
        assert_eq!(third.replacement_for, Some(CardId(2)));
        assert_eq!((second.before, third.before), (1, 2));
    }
}

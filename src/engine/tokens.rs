//! Tokens: numbers that a network's token service gives out in place of a card's, for a wallet or a merchant. Here is what a
//! shard knows of them: for which card each stands, and whether it may pay. Their numbers are in `token_numbers.rs`, the
//! check of a payment is in `rules/token.rs`.

use super::authorizations::Authorization;
use super::command::{Action, Command};
use super::decide::Outcome;
use super::event::{Event, Refusal};
use super::facts::{MatchKeys, NamedToken, RepeatKey};
use super::ids::{AccountId, CardId, TokenId};
use super::long_list::LongList;
use super::matching;
use super::slot_index::{Slot, SlotIndex, hash_of_id};
use super::state::{Card, State};
use super::time::{Expiry, Timestamp};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

macro_rules! token_statuses {
    ($($name:ident = $text:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum TokenStatus { $($name,)* }

        impl TokenStatus {
            pub const NAMED: &'static [(TokenStatus, &'static str)] =
                &[$((TokenStatus::$name, $text),)*];

            pub fn name(self) -> &'static str {
                match self { $(TokenStatus::$name => $text,)* }
            }

            pub fn from_name(name: &str) -> Option<TokenStatus> {
                match name { $($text => Some(TokenStatus::$name),)* _ => None }
            }
        }
    };
}

token_statuses! {
    // Asked for; it may not pay yet.
    Requested = "requested",
    Active = "active",
    Suspended = "suspended",
    // For good.
    Deleted = "deleted",
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenChange {
    Activate,
    Suspend,
    Resume,
    Delete,
}

impl TokenChange {
    pub fn name(self) -> &'static str {
        match self {
            TokenChange::Activate => "activate",
            TokenChange::Suspend => "suspend",
            TokenChange::Resume => "resume",
            TokenChange::Delete => "delete",
        }
    }

    /// What a token of this status becomes; nothing, where it cannot.
    fn of(self, status: TokenStatus) -> Option<TokenStatus> {
        use TokenStatus::{Active, Deleted, Requested, Suspended};
        Some(match (self, status) {
            (TokenChange::Activate, Requested | Active) => Active,
            (TokenChange::Suspend, Active | Suspended) => Suspended,
            (TokenChange::Resume, Suspended | Active) => Active,
            (TokenChange::Delete, _) => Deleted,
            _ => return None,
        })
    }
}

/// What holds a token, as far as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenDevice {
    /// `phone`, `watch` and the like.
    pub device_type: Option<Box<str>>,
    pub name: Option<Box<str>>,
}

/// To the shard: a token whose number the registry knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenToken {
    pub token_id: TokenId,
    pub card_id: CardId,
    pub first6: u32,
    pub last4: u16,
    /// Its own, where it is told.
    pub expiry: Option<Expiry>,
    /// `apple_pay`, `google_pay` and the like.
    pub wallet: Box<str>,
    pub device: Option<TokenDevice>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeTokenStatus {
    pub token_id: TokenId,
    pub change: TokenChange,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub id: TokenId,
    /// The card for which it stands; after a reissue, the one in the place of it.
    pub card_id: CardId,
    pub status: TokenStatus,
    pub first6: u32,
    pub last4: u16,
    pub expiry: Option<Expiry>,
    pub wallet: Box<str>,
    pub device: Option<TokenDevice>,
    pub created_at: Timestamp,
}

/// Every token of the cards of a shard, deleted ones too: late messages still name them.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    all: LongList<Token>,
    by_id: SlotIndex,
    by_card: HashMap<CardId, Vec<Slot>>,
}

impl Tokens {
    pub fn get(&self, id: TokenId) -> Option<&Token> {
        self.slot(id).map(|slot| &self.all[slot])
    }

    fn slot(&self, id: TokenId) -> Option<Slot> {
        let hash = hash_of_id(id.0);
        self.by_id.find(hash, |slot| self.all[slot].id == id)
    }

    /// Those that stand for this card, in the order in which they were opened.
    pub fn of_card(&self, id: CardId) -> impl Iterator<Item = &Token> {
        let slots = self.by_card.get(&id).into_iter().flatten();
        slots.map(|slot| &self.all[*slot])
    }

    pub(super) fn not_deleted(&self, id: CardId) -> Box<[TokenId]> {
        let left = self.of_card(id);
        let left = left.filter(|token| token.status != TokenStatus::Deleted);
        left.map(|token| token.id).collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.all.iter()
    }

    /// Puts a token, new or restored, in its place.
    pub(super) fn insert(&mut self, token: Token) {
        let (id, card_id) = (token.id, token.card_id);
        let slot = self.all.push(token);
        self.by_id.insert(hash_of_id(id.0), slot);
        self.by_card.entry(card_id).or_default().push(slot);
    }

    fn set_status(&mut self, id: TokenId, status: TokenStatus) {
        if let Some(slot) = self.slot(id) {
            self.all[slot].status = status;
        }
    }

    pub(super) fn delete_all(&mut self, ids: &[TokenId]) {
        for id in ids {
            self.set_status(*id, TokenStatus::Deleted);
        }
    }

    /// All tokens of one card stand for another one from now on.
    pub(super) fn move_to(&mut self, from: CardId, to: CardId) {
        let Some(slots) = self.by_card.remove(&from) else {
            return;
        };
        for slot in &slots {
            self.all[*slot].card_id = to;
        }
        self.by_card.insert(to, slots);
    }
}

/// A token whose card is closed meanwhile is opened too, and deleted like the others of that card: the registry has its
/// number already.
pub(super) fn decide_open(state: &State, command: &Command, open: &OpenToken) -> Outcome {
    if let Some(token) = state.tokens.get(open.token_id) {
        let same = (token.first6, token.last4) == (open.first6, open.last4);
        return match same && token.wallet == open.wallet {
            true => Outcome::AlreadyDone,
            false => Outcome::Refused(Refusal::IdTaken),
        };
    }
    let Some(card) = state.card_of_tree(command.root, open.card_id) else {
        return Outcome::Refused(Refusal::CardNotFound(open.card_id));
    };
    let card = state.last_of_chain(card);
    let status = match card.status.is_closed() {
        true => TokenStatus::Deleted,
        false => TokenStatus::Requested,
    };
    let card_id = card.id;
    Outcome::Event(Event::TokenOpened { card_id, status })
}

pub(super) fn decide_change(
    state: &State,
    command: &Command,
    change: &ChangeTokenStatus,
) -> Outcome {
    let token = state.token_of_tree(command.root, change.token_id);
    let Some(token) = token else {
        return Outcome::Refused(Refusal::TokenNotFound(change.token_id));
    };
    let from = token.status;
    match change.change.of(from) {
        None => Outcome::Refused(Refusal::TokenStatusForbids(from)),
        Some(to) if to == from => Outcome::AlreadyDone,
        Some(to) => Outcome::Event(Event::TokenStatusChanged { from, to }),
    }
}

/// Applies either event.
pub(super) fn apply(state: &mut State, command: &Command, event: &Event) {
    match (&command.action, event) {
        (Action::OpenToken(open), Event::TokenOpened { card_id, status }) => {
            state.tokens.insert(Token {
                id: open.token_id,
                card_id: *card_id,
                status: *status,
                first6: open.first6,
                last4: open.last4,
                expiry: open.expiry,
                wallet: open.wallet.clone(),
                device: open.device.clone(),
                created_at: command.at,
            });
        }
        (Action::ChangeTokenStatus(change), Event::TokenStatusChanged { to, .. }) => {
            state.tokens.set_status(change.token_id, *to);
        }
        (action, event) => panic!("an event {event:?} cannot come of this command: {action:?}"),
    }
}

impl State {
    /// A token of a card of this tree.
    pub fn token_of_tree(&self, root: AccountId, id: TokenId) -> Option<&Token> {
        let token = self.tokens.get(id)?;
        self.card_of_tree(root, token.card_id).map(|_| token)
    }

    /// The card in the place of this one, through all that replaced one another; most often itself.
    fn last_of_chain<'a>(&'a self, card: &'a Card) -> &'a Card {
        let next = |card: &&'a Card| self.card(card.replaced_by()?);
        std::iter::successors(Some(card), next)
            .last()
            .unwrap_or(card)
    }
}

/// Puts the card into a message that names a token in its place: its number led to the tree, and the shard knows for
/// which card it stands at this moment. Before the message is decided, so that its record has the card.
pub fn name_card(state: &State, command: &mut Command) {
    let Some(ByToken { id, earlier, .. }) = by_token(&mut command.action) else {
        return;
    };
    if let Some(token) = state.token_of_tree(command.root, id) {
        let earlier = card_of_earlier(state, command, token.card_id, &earlier);
        set_card(&mut command.action, earlier.unwrap_or(token.card_id));
    }
}

/// A message that names a token in place of its card.
struct ByToken<'a> {
    id: TokenId,
    card_id: &'a mut CardId,
    earlier: Earlier,
}

/// The earlier message that one is about, or that came again.
#[derive(Clone, Copy)]
struct Earlier {
    names: MatchKeys,
    /// It is that very one, and not another with one of its names.
    is: Option<RepeatKey>,
    /// Its own names, where a reversal may have come before it.
    own: Option<MatchKeys>,
    /// It says that it is about an earlier one. Of one that does not, the last card knows by itself.
    says_so: bool,
}

impl Earlier {
    fn with(names: MatchKeys) -> Earlier {
        Earlier {
            names,
            is: None,
            own: None,
            says_so: true,
        }
    }
}

fn by_token(action: &mut Action) -> Option<ByToken<'_>> {
    let (token, card_id, earlier) = match action {
        Action::Authorize(authorize) => {
            let earlier = Earlier {
                names: authorize.match_keys,
                is: Some(authorize.repeat_key),
                own: Some(authorize.match_keys),
                says_so: authorize.is_marked_repeat,
            };
            (authorize.token, &mut authorize.card_id, earlier)
        }
        Action::Withhold(withhold) => {
            let payment = &mut withhold.payment;
            let earlier = Earlier::with(payment.match_keys);
            (payment.token, &mut payment.card_id, earlier)
        }
        Action::Advise(advise) => {
            let payment = &mut advise.payment;
            let earlier = Earlier {
                own: Some(payment.match_keys),
                ..Earlier::with(payment.original_keys)
            };
            (payment.token, &mut payment.card_id, earlier)
        }
        Action::Reverse(reverse) => {
            let earlier = Earlier::with(reverse.original_keys);
            (reverse.token, &mut reverse.card_id, earlier)
        }
        _ => return None,
    };
    match token {
        NamedToken::InPlaceOfCard(id) => Some(ByToken {
            id,
            card_id,
            earlier,
        }),
        _ => None,
    }
}

/// Where a message names a token in place of its card and is about an earlier one: the other cards of the chain, the
/// latest first.
pub(super) fn other_cards(state: &State, root: AccountId, action: &Action) -> Vec<CardId> {
    let mut action = action.clone();
    let Some(ByToken {
        id,
        card_id,
        earlier: Earlier { says_so: true, .. },
    }) = by_token(&mut action)
    else {
        return Vec::new();
    };
    let last = state.token_of_tree(root, id).map(|token| token.card_id);
    let chain = last.into_iter().flat_map(|last| chain_from(state, last));
    let chain = chain.map(|card| card.id);
    chain.filter(|other| *other != *card_id).collect()
}

/// A message that names a token becomes one of this card.
pub(super) fn set_card(action: &mut Action, id: CardId) {
    if let Some(ByToken { card_id, .. }) = by_token(action) {
        *card_id = id;
    }
}

/// A card and those before it, the latest first.
fn chain_from(state: &State, last: CardId) -> impl Iterator<Item = &Card> {
    let before = |card: &&Card| state.card(card.replacement_for()?);
    std::iter::successors(state.card(last), before)
}

/// The card of this chain, from the last one back, that has what an earlier message was about.
fn card_of_earlier(
    state: &State,
    command: &Command,
    last: CardId,
    earlier: &Earlier,
) -> Option<CardId> {
    let mut chain = chain_from(state, last).skip(usize::from(!earlier.says_so));
    let counts = |known: &Authorization| {
        earlier.says_so || !matching::is_only_recalled(state, command.at, known)
    };
    let has = |card: &&Card| {
        let known = earlier.names.stated();
        let mut known = known.flat_map(|name| state.authorizations.named(card.id, name));
        let is_it = |known: &Authorization| {
            let is = earlier.is;
            counts(known) && is.is_none_or(|key| matching::answers(known, key))
        };
        let own = earlier.own.as_ref();
        let is_reversed = |own| matching::is_reversed_early(state, command, card.id, own);
        known.any(is_it) || own.is_some_and(is_reversed)
    };
    chain.find(has).map(|card| card.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_every_status() {
        use TokenChange::*;
        use TokenStatus::*;
        for (from, [activate, suspend, resume, delete]) in [
            (Requested, [Some(Active), None, None, Some(Deleted)]),
            (
                Active,
                [Some(Active), Some(Suspended), Some(Active), Some(Deleted)],
            ),
            (
                Suspended,
                [None, Some(Suspended), Some(Active), Some(Deleted)],
            ),
            (Deleted, [None, None, None, Some(Deleted)]),
        ] {
            assert_eq!(Activate.of(from), activate, "{from:?}");
            assert_eq!(Suspend.of(from), suspend, "{from:?}");
            assert_eq!(Resume.of(from), resume, "{from:?}");
            assert_eq!(Delete.of(from), delete, "{from:?}");
        }
    }

    #[test]
    fn names_lead_back() {
        for (status, name) in TokenStatus::NAMED {
            assert_eq!(TokenStatus::from_name(name), Some(*status));
        }
    }
}

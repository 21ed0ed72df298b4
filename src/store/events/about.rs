//! What an event is about: its card, its account, what it is numbered among the events of, and who sees it.

use super::fold::EventContext;
use crate::engine::ids::{AccountId, CardId, ProgramId};
use crate::engine::registry::LinkKey;

/// The object of payments with cards that nobody issued.
pub const UNKNOWN_CARD: &str = "unknown_card";

/// What an event is about.
pub(super) enum Subject {
    Card(CardId),
    /// Of a card, on this account; the card may be nobody's.
    Payment(CardId, Option<AccountId>),
    Account(AccountId),
    /// An account whose money a card moved.
    Moved(AccountId, CardId),
    /// What belongs to no program, by its id.
    Other(String),
    /// What is of a program, or of a linked object, and of no card or account.
    OfProgram(ProgramId, String),
    OfLink(LinkKey, String),
}

type Links = Vec<(String, String)>;

/// Where an event happened.
pub(super) struct About {
    pub card_id: Option<CardId>,
    pub account_id: Option<AccountId>,
    /// By which somebody sees it: of a payment the first account of its card, whichever paid.
    pub seen_at: Option<AccountId>,
    pub program_id: Option<ProgramId>,
    /// What it is numbered among the events of.
    pub object_id: String,
    /// What it names.
    pub links: Links,
    /// Those by which somebody sees it: of the card that moved money of an account that others draw on too, none.
    pub seen_by: Links,
}

impl About {
    pub fn of(subject: Subject, context: &EventContext) -> About {
        let (of_program, of_link) = subject.of_no_card();
        // Others are told of in the name of their card.
        let own_card_id = match &subject {
            Subject::Account(id) | Subject::Moved(id, _) => Some(context.card_of_own_account(*id)),
            _ => None,
        };
        let is_of_card = own_card_id.is_none();
        let (card_id, account_id, object_id) = subject.ids(context);
        let card = card_id
            .filter(|_| is_of_card)
            .and_then(|id| context.cards.get(&id));
        let seen_at = card.map(|card| card.account_id).or(account_id);
        let program_of_account = || account_id.and_then(|id| context.accounts.get(&id));
        let program_id = match card {
            Some(card) => Some(card.program_id),
            None => program_of_account().map(|account| account.program_id),
        };
        let links_of = |id: Option<CardId>| id.and_then(|id| context.links.get(&id)).cloned();
        let links = links_of(card_id).unwrap_or_else(|| of_link.into_iter().collect());
        let seen_by = match own_card_id {
            Some(own_card_id) => links_of(own_card_id).unwrap_or_default(),
            None => links.clone(),
        };
        About {
            card_id,
            account_id,
            seen_at,
            program_id: program_id.or(of_program),
            object_id,
            links,
            seen_by,
        }
    }
}

impl Subject {
    /// Its card, its account, and the id of the object among whose events it is numbered.
    fn ids(self, context: &EventContext) -> (Option<CardId>, Option<AccountId>, String) {
        match self {
            Subject::Card(id) => {
                let account_id = context.cards.get(&id).map(|card| card.account_id);
                (Some(id), account_id, id.to_string())
            }
            Subject::Payment(card_id, account_id) if card_id != CardId::default() => {
                (Some(card_id), account_id, card_id.to_string())
            }
            Subject::Payment(_, account_id) => (None, account_id, UNKNOWN_CARD.to_owned()),
            Subject::Account(id) => (context.card_of_own_account(id), Some(id), id.to_string()),
            Subject::Moved(id, card_id) => (Some(card_id), Some(id), id.to_string()),
            Subject::Other(object_id)
            | Subject::OfProgram(_, object_id)
            | Subject::OfLink(_, object_id) => (None, None, object_id),
        }
    }

    /// The program and the link of what is of no card or account.
    fn of_no_card(&self) -> (Option<ProgramId>, Option<(String, String)>) {
        match self {
            Subject::OfProgram(program_id, _) => (Some(*program_id), None),
            Subject::OfLink(link, _) => {
                let named = (link.link_type.to_string(), link.id.to_string());
                (Some(link.program_id), Some(named))
            }
            _ => (None, None),
        }
    }
}

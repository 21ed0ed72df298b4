//! Messages of the network for cards that nobody issued: decided by the registry, because no shard has them.

use super::apply::{advice_answer, authorization_answer, reversal_answer};
use super::checks::Checks;
use super::command::{Advise, Authorize};
use super::decide::{cardless, message_and_repeat};
use super::decide_advice;
use super::event::{AdviceOutcome, Answer, Flags, Postings, ReversalOutcome, Reversed};
use super::facts::RepeatKey;
use super::first_answer::{Asked, FirstAnswer};
use super::ids::AccountId;
use super::reason::DeclineReason;
use super::registry::{Registry, RegistryAction, RegistryCommand, RegistryEvent, RegistryOutcome};
use super::rules::repeat::Found;
use super::time::Timestamp;
use super::trace::{Detail, Step};

/// Who a message is, and what it asks.
struct Identity {
    repeat_key: RepeatKey,
    asked: Asked,
}

impl Identity {
    fn of(action: &RegistryAction) -> Option<Identity> {
        let (repeat_key, asked) = match action {
            RegistryAction::AuthorizeUnknownCard { authorize, .. } => {
                (authorize.repeat_key, Asked::of_authorization(authorize))
            }
            RegistryAction::ReverseUnknownCard(reverse) => {
                (reverse.repeat_key, Asked::of_reversal(reverse))
            }
            RegistryAction::AdviseUnknownCard(advise) => {
                (advise.payment.repeat_key, Asked::of_advice(advise))
            }
            _ => return None,
        };
        Some(Identity { repeat_key, asked })
    }

    fn find(&self, registry: &Registry, at: Timestamp) -> Found {
        let retention_ms = registry.view.settings.first_answer_retention_ms;
        let first = registry
            .first_answers
            .find(self.repeat_key, at, retention_ms);
        match first {
            Some(first) if first.asked == self.asked => Found::First(first.answer),
            Some(_) => Found::Clash,
            None => Found::Nothing,
        }
    }
}

/// `None` for what is no message.
pub(super) fn decide(registry: &Registry, command: &RegistryCommand) -> Option<RegistryOutcome> {
    let found = Identity::of(&command.action)?.find(registry, command.at);
    if let Found::First(answer) = found {
        return Some(RegistryOutcome::FirstAnswer(answer));
    }
    let event = match &command.action {
        RegistryAction::AuthorizeUnknownCard {
            authorize,
            bin_known,
        } => authorize_unknown(registry, authorize, *bin_known, found),
        RegistryAction::ReverseUnknownCard(_) => reverse_unknown(registry, found),
        RegistryAction::AdviseUnknownCard(advise) => advise_unknown(registry, advise, found),
        _ => return None,
    };
    Some(RegistryOutcome::Event(event))
}

fn authorize_unknown(
    registry: &Registry,
    authorize: &Authorize,
    bin_known: bool,
    found: Found,
) -> RegistryEvent {
    let mut checks = Checks::default();
    message_and_repeat(authorize, found, &mut checks);
    let reason = match bin_known {
        true => DeclineReason::CardNotFound,
        false => DeclineReason::UnknownBin,
    };
    checks.fail(Step::CardLookup, reason, Detail::None);
    RegistryEvent::Authorized(cardless(registry.view.version, checks))
}

fn reverse_unknown(registry: &Registry, found: Found) -> RegistryEvent {
    RegistryEvent::Reversed(Reversed {
        registry_version: registry.view.version,
        outcome: match found {
            Found::Clash => ReversalOutcome::Duplicate,
            _ => ReversalOutcome::OriginalUnknown,
        },
        postings: Postings::default(),
        charges: Default::default(),
    })
}

fn advise_unknown(registry: &Registry, advise: &Advise, found: Found) -> RegistryEvent {
    let version = registry.view.version;
    let advised = match found {
        Found::Clash => {
            decide_advice::nothing(version, AdviceOutcome::Duplicate, Flags::UNKNOWN_CARD)
        }
        _ => decide_advice::unknown_card(version, advise),
    };
    RegistryEvent::Advised(Box::new(advised))
}

/// Remembers the answer of a message. False for what is none.
pub(super) fn apply(
    registry: &mut Registry,
    command: &RegistryCommand,
    event: &RegistryEvent,
) -> bool {
    let (Some(answer), Some(identity)) = (answer(command, event), Identity::of(&command.action))
    else {
        return false;
    };
    if !is_clash(event) {
        let first = FirstAnswer {
            root: AccountId::default(),
            asked: identity.asked,
            answer,
            is_with_authorization: false,
        };
        registry
            .first_answers
            .remember(identity.repeat_key, command.at, first);
    }
    true
}

/// What came under the identity of another message leaves that one's answer alone.
fn is_clash(event: &RegistryEvent) -> bool {
    match event {
        RegistryEvent::Authorized(authorized) => {
            let decline = authorized.decision.decline();
            decline.is_some_and(|decline| decline.reason == DeclineReason::DuplicateTransmission)
        }
        RegistryEvent::Reversed(reversed) => reversed.outcome == ReversalOutcome::Duplicate,
        RegistryEvent::Advised(advised) => advised.outcome == AdviceOutcome::Duplicate,
        _ => false,
    }
}

/// The answer that goes back for a message.
pub(super) fn answer(command: &RegistryCommand, event: &RegistryEvent) -> Option<Answer> {
    match (&command.action, event) {
        (
            RegistryAction::AuthorizeUnknownCard { authorize, .. },
            RegistryEvent::Authorized(authorized),
        ) => Some(authorization_answer(authorize, authorized)),
        (RegistryAction::ReverseUnknownCard(reverse), RegistryEvent::Reversed(reversed)) => {
            Some(reversal_answer(reverse, reversed))
        }
        (RegistryAction::AdviseUnknownCard(advise), RegistryEvent::Advised(advised)) => {
            Some(advice_answer(advise, advised))
        }
        _ => None,
    }
}

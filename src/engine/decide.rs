//! Decides a command on the state as it is: an event, a first answer, or a refusal. Changes nothing;
//! what an event changes lives in `apply.rs`, what the checks check in `rules/`.

use super::checks::{Checks, Context};
use super::command::{
    Action, Authorize, ChangeCardStatus, Command, OpenAccount, OpenCard, Reverse, StatusChange,
    TopUp,
};
use super::event::{
    Answer, ApprovalCode, Authorized, Decision, Decline, Event, HoldPlaced, LedgerAccount, Posting,
    Refusal, ReversalOutcome, Reversed,
};
use super::reason::DeclineReason;
use super::rules;
use super::state::{CardStatus, State};
use super::time::Timestamp;
use super::trace::{Detail, Step};
use smallvec::smallvec;

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// To be journalled with its command and applied.
    Event(Event),
    /// A repeat of a message: the answer that the first one got. Nothing changes.
    FirstAnswer(Answer),
    /// The command was carried out before, under the same id. Nothing changes.
    AlreadyDone,
    Refused(Refusal),
}

pub fn decide(state: &State, command: &Command) -> Outcome {
    match &command.action {
        Action::Authorize(authorize) => decide_authorization(state, command, authorize),
        Action::Reverse(reverse) => decide_reversal(state, command, reverse),
        Action::OpenAccount(open) => open_account(state, command, open),
        Action::TopUp(top_up) => decide_top_up(state, command.at, top_up),
        Action::OpenCard(open) => open_card(state, open),
        Action::ChangeCardStatus(change) => change_card_status(state, change),
        Action::ChangeCardControls(change) => match state.card(change.card_id) {
            Some(_) => Outcome::Event(Event::CardControlsChanged),
            None => Outcome::Refused(Refusal::CardNotFound(change.card_id)),
        },
    }
}

fn decide_authorization(state: &State, command: &Command, authorize: &Authorize) -> Outcome {
    let mut checks = Checks::default();
    rules::message::check(authorize, &mut checks);
    match rules::repeat::find(state, command.at, authorize) {
        rules::repeat::Found::First(answer) => return Outcome::FirstAnswer(answer),
        found => rules::repeat::note(found, &mut checks),
    }
    let Some(card) = state.card(authorize.card_id) else {
        checks.fail(Step::CardLookup, DeclineReason::CardNotFound, Detail::None);
        return Outcome::Event(Event::Authorized(cardless(state.registry.version, checks)));
    };
    checks.pass(Step::CardLookup, Detail::None);
    let account = state.account_of(card);
    let (Some(root), Some(program)) = (
        state.account(account.root),
        state.registry.programs.get(&account.program_id),
    ) else {
        checks.fail(
            Step::AccountStatus,
            DeclineReason::InternalError,
            Detail::None,
        );
        return Outcome::Event(Event::Authorized(cardless(state.registry.version, checks)));
    };
    let amount_minor = authorize.amounts.in_currency(account.currency);
    let registry = &state.registry;
    let at = command.at;
    let context = Context {
        state,
        registry,
        at,
        command: authorize,
        card,
        account,
        root,
        program,
        amount_minor,
    };
    for check in rules::IN_ORDER {
        check(&context, &mut checks);
    }
    Outcome::Event(Event::Authorized(conclude(&context, checks)))
}

/// A declined message of a card that is not here.
pub(super) fn cardless(registry_version: u64, checks: Checks) -> Authorized {
    let unknown = Decline {
        reason: DeclineReason::CardNotFound,
        step: Step::CardLookup,
        rule: None,
    };
    Authorized {
        registry_version,
        account_id: None,
        amount_minor: 0,
        available_minor: 0,
        decision: Decision::Declined(checks.decline.unwrap_or(unknown)),
        hold: None,
        trace: checks.trace,
    }
}

fn conclude(context: &Context, checks: Checks) -> Authorized {
    let authorize = context.command;
    let amount_minor = context.amount_minor.unwrap_or(0);
    let available_minor = context.account.available_minor();
    let approved = checks.decline.is_none();
    let hold = (approved && amount_minor > 0).then(|| HoldPlaced {
        amount_minor,
        expires_at: context.at.plus_ms(context.registry.settings.hold_expiry_ms),
        uses: checks.uses,
    });
    let decision = match checks.decline {
        Some(decline) => Decision::Declined(decline),
        None => Decision::Approved {
            approval_code: ApprovalCode::of(authorize.authorization_id),
        },
    };
    Authorized {
        registry_version: context.registry.version,
        account_id: Some(context.account.id),
        amount_minor,
        available_minor: available_minor - hold.as_ref().map_or(0, |hold| hold.amount_minor),
        decision,
        hold,
        trace: checks.trace,
    }
}

fn decide_reversal(state: &State, command: &Command, reverse: &Reverse) -> Outcome {
    let settings = &state.registry.settings;
    let first = state.first_answers.find(
        reverse.repeat_key,
        command.at,
        settings.first_answer_retention_ms,
    );
    let outcome = match first {
        Some(first) if first.amount == reverse.amount => return Outcome::FirstAnswer(first.answer),
        Some(_) => ReversalOutcome::Duplicate,
        None => reversal_outcome(state, command.at, reverse),
    };
    Outcome::Event(Event::Reversed(Reversed {
        registry_version: state.registry.version,
        outcome,
    }))
}

fn reversal_outcome(state: &State, at: Timestamp, reverse: &Reverse) -> ReversalOutcome {
    for key in &reverse.original_keys {
        let hold = state
            .open_by_match_key
            .get(key)
            .and_then(|id| state.holds.get(id));
        if let Some(hold) = hold.filter(|hold| hold.card_id == reverse.card_id) {
            let (authorization_id, amount_minor) = (hold.authorization_id, hold.amount_minor);
            return ReversalOutcome::Released {
                authorization_id,
                amount_minor,
            };
        }
    }
    let retention_ms = state.registry.settings.reversal_retention_ms;
    let reversed_before = reverse.original_keys.iter().any(|key| {
        let mark = state.reversed.find(*key, at, retention_ms);
        mark.is_some_and(|mark| mark.card_id == reverse.card_id)
    });
    if reversed_before {
        ReversalOutcome::AlreadyReversed
    } else {
        ReversalOutcome::OriginalUnknown
    }
}

fn open_account(state: &State, command: &Command, open: &OpenAccount) -> Outcome {
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
    match open.parent_id {
        None if open.account_id != command.root => {
            Outcome::Refused(Refusal::AccountNotFound(command.root))
        }
        Some(parent_id)
            if state
                .account(parent_id)
                .is_none_or(|parent| parent.root != command.root) =>
        {
            Outcome::Refused(Refusal::AccountNotFound(parent_id))
        }
        _ => Outcome::Event(Event::AccountOpened),
    }
}

fn decide_top_up(state: &State, at: Timestamp, top_up: &TopUp) -> Outcome {
    if state
        .top_ups
        .find(
            top_up.top_up_id,
            at,
            state.registry.settings.idempotency_retention_ms,
        )
        .is_some()
    {
        return Outcome::AlreadyDone;
    }
    let Some(account) = state.account(top_up.account_id) else {
        return Outcome::Refused(Refusal::AccountNotFound(top_up.account_id));
    };
    if account.currency != top_up.amount.currency {
        let (account, given) = (account.currency, top_up.amount.currency);
        return Outcome::Refused(Refusal::CurrencyMismatch { account, given });
    }
    let amount_minor = top_up.amount.amount_minor;
    if amount_minor <= 0 || account.posted_minor.checked_add(amount_minor).is_none() {
        return Outcome::Refused(Refusal::AmountOutOfRange);
    }
    Outcome::Event(Event::Posted(smallvec![
        Posting {
            ledger_account: LedgerAccount::Customer(account.id),
            amount_minor
        },
        Posting {
            ledger_account: LedgerAccount::FundsReceived,
            amount_minor: -amount_minor
        },
    ]))
}

fn open_card(state: &State, open: &OpenCard) -> Outcome {
    if let Some(card) = state.card(open.card_id) {
        let same = card.account_id == open.account_id && card.last4 == open.last4;
        return if same {
            Outcome::AlreadyDone
        } else {
            Outcome::Refused(Refusal::IdTaken)
        };
    }
    if state.account(open.account_id).is_none() {
        return Outcome::Refused(Refusal::AccountNotFound(open.account_id));
    }
    let status = match open.card_type {
        super::command::CardType::Virtual => CardStatus::Active,
        super::command::CardType::Physical => CardStatus::Inactive,
    };
    Outcome::Event(Event::CardOpened { status })
}

fn change_card_status(state: &State, change: &ChangeCardStatus) -> Outcome {
    let Some(card) = state.card(change.card_id) else {
        return Outcome::Refused(Refusal::CardNotFound(change.card_id));
    };
    let to = match (change.change, card.status) {
        (StatusChange::Activate, CardStatus::Inactive | CardStatus::Active) => CardStatus::Active,
        (StatusChange::Freeze, CardStatus::Active | CardStatus::Frozen) => CardStatus::Frozen,
        (StatusChange::Unfreeze, CardStatus::Frozen | CardStatus::Active) => CardStatus::Active,
        (StatusChange::Close, _) => CardStatus::Closed,
        (_, status) => return Outcome::Refused(Refusal::StatusForbids(status)),
    };
    if to == card.status {
        return Outcome::AlreadyDone;
    }
    Outcome::Event(Event::CardStatusChanged {
        from: card.status,
        to,
    })
}

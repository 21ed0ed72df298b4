//! Decides what becomes of an authorization that waited for its customer: approved, approved for less, or declined.
//! Changes nothing. When an authorization waits is decided in `decide.rs`; who asks the customer is `decision_call`.

use super::answer::{Answer, AnswerResult};
use super::authorizations::{Authorization, InBoth};
use super::card_history::Undecided;
use super::checks::AccountsAbove;
use super::command::{Command, CustomerSays, Resolve};
use super::decide::Outcome;
use super::decide_reversal::undo_whole;
use super::decision_endpoints::Fallback;
use super::event::{Event, Postings, Resolved, ResolvedTo};
use super::facts::RepeatKey;
use super::fees::charge::{self, Charges, Declined, Payer};
use super::first_answer::Asked;
use super::ids::TokenId;
use super::money::Money;
use super::postings::{self, Kept};
use super::reason::DeclineReason;
use super::rules::{self, account_status, card_status};
use super::scope::Scope;
use super::state::{Account, State};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What it takes to answer an authorization once its customer has decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub until: Timestamp,
    pub repeat_key: RepeatKey,
    pub asked: Asked,
    /// A single message: posted once it is approved.
    pub posts: bool,
    /// The terminal can take less than it asked for.
    pub in_part: bool,
    /// What the switch approved, where that is less than was asked.
    pub part: Option<Money>,
    /// What we keep of a conversion.
    pub kept: Kept,
    /// What the history of its card has of it, where one is kept.
    pub undecided: Option<Undecided>,
    /// That it is paid by.
    pub token_id: Option<TokenId>,
}

pub(super) fn decide(state: &State, command: &Command, resolve: &Resolve) -> Outcome {
    let known = state.authorizations.get(resolve.authorization_id);
    let waits = known.and_then(|known| {
        let account = state.account_of_tree(command.root, known.account_id)?;
        Some((known, account, known.waiting.as_deref()?))
    });
    let resolved = match waits {
        Some((known, account, waiting)) => {
            let (verdict, fallback_used) = verdict(state, known, account, waiting, resolve.says);
            let verdict = match verdict {
                Verdict::Declined(_) => verdict,
                _ => forbidden(state, known, account, waiting).map_or(verdict, Verdict::Declined),
            };
            let resolved = resolved(state, known, account, waiting, verdict, fallback_used);
            let charges = charges(state, known, account, (command.at, resolve.says), &resolved);
            Resolved {
                charges,
                ..resolved
            }
        }
        None => Resolved {
            registry_version: state.registry.version,
            account_id: known.map(|known| known.account_id),
            to: ResolvedTo::NothingWaits,
            answer: None,
            fallback_used: false,
            postings: Postings::default(),
            charges: Charges::default(),
        },
    };
    Outcome::Event(Event::Resolved(Box::new(resolved)))
}

/// For a no that somebody said, or on the conversion of what is posted.
fn charges(
    state: &State,
    known: &Authorization,
    account: &Account,
    (at, says): (Timestamp, CustomerSays),
    resolved: &Resolved,
) -> Charges {
    let waiting = known.waiting.as_deref();
    match resolved.to {
        // Nobody asked any more, which was our doing.
        ResolvedTo::Declined { .. } if says == CustomerSays::Lost => Charges::default(),
        ResolvedTo::Declined { reason, undone } => {
            let payer = Payer::of(account, Some(known.card_id));
            let payer = payer.after_release(undone.released.account_minor);
            let Some(card) = state.card(known.card_id) else {
                return Charges::default();
            };
            let declined = Declined {
                card,
                account_status: account.status,
                reason,
                at,
            };
            charge::of_declined(&state.registry, payer, &declined)
        }
        _ => {
            let schedule = waiting.and_then(|waiting| waiting.kept.schedule);
            charge::of_payment(account, known.card_id, &resolved.postings, schedule)
        }
    }
}

/// What is done with it.
enum Verdict {
    Whole,
    /// This much of the account's money.
    Part(i64),
    Declined(DeclineReason),
}

/// And whether the fallback made it.
fn verdict(
    state: &State,
    known: &Authorization,
    account: &Account,
    waiting: &Waiting,
    says: CustomerSays,
) -> (Verdict, bool) {
    let held_minor = known.held.account_minor;
    let invalid = Verdict::Declined(DeclineReason::DecisionInvalidResponse);
    match says {
        CustomerSays::Approve { amount_minor: None } => (Verdict::Whole, false),
        CustomerSays::Approve {
            amount_minor: Some(amount_minor),
        } => match amount_minor {
            // All that was asked about; a reversal may have taken some of it since.
            _ if [held_minor, known.opened.account_minor].contains(&amount_minor) => {
                (Verdict::Whole, false)
            }
            _ if !(1..held_minor).contains(&amount_minor) => (invalid, false),
            // Nothing that the merchant could be told.
            _ if part_of(known, amount_minor).transaction_minor == 0 => (invalid, false),
            _ if waiting.in_part => (Verdict::Part(amount_minor), false),
            _ => (invalid, false),
        },
        CustomerSays::Decline => (Verdict::Declined(DeclineReason::DecisionDeclined), false),
        // Nobody asks any more, so nobody may approve.
        CustomerSays::Lost => (Verdict::Declined(DeclineReason::DecisionTimeout), false),
        CustomerSays::Nothing => fallback(state, known, account, DeclineReason::DecisionTimeout),
        CustomerSays::Nonsense => fallback(
            state,
            known,
            account,
            DeclineReason::DecisionInvalidResponse,
        ),
    }
}

/// Why nobody may approve it any more: what became of its card, of what that is linked to, of its token, or of its account
/// while it waited.
fn forbidden(
    state: &State,
    known: &Authorization,
    account: &Account,
    waiting: &Waiting,
) -> Option<DeclineReason> {
    let card = state.card(known.card_id)?;
    // A card that expired meanwhile was good when it was asked for; a token too.
    let of_card = card_status::forbids(&state.registry, card, known.placed_at);
    let token = waiting.token_id.and_then(|id| state.tokens.get(id));
    let of_token = || rules::token::forbids(token?, known.placed_at);
    of_card.or_else(of_token).or_else(|| {
        let above: AccountsAbove = state.above(account).take(Scope::ABOVE.len()).collect();
        let program = state.registry.programs.get(&account.program_id)?;
        let (reason, ..) = account_status::forbids(account, &above, program)?;
        Some(reason)
    })
}

fn fallback(
    state: &State,
    known: &Authorization,
    account: &Account,
    reason: DeclineReason,
) -> (Verdict, bool) {
    let endpoints = &state.registry.decision_endpoints;
    let endpoint = endpoints.of_program(account.program_id);
    let verdict = match endpoint.map(|endpoint| endpoint.fallback) {
        Some(Fallback::ApproveUpTo { amount_minor }) => {
            match known.held.account_minor <= amount_minor {
                true => Verdict::Whole,
                false => Verdict::Declined(DeclineReason::StandInDeclined),
            }
        }
        Some(Fallback::Decline) | None => Verdict::Declined(reason),
    };
    (verdict, true)
}

fn resolved(
    state: &State,
    known: &Authorization,
    account: &Account,
    waiting: &Waiting,
    verdict: Verdict,
    fallback_used: bool,
) -> Resolved {
    let available_minor = account.available_minor();
    let (to, result, postings) = match verdict {
        Verdict::Declined(reason) => {
            let to = ResolvedTo::Declined {
                reason,
                undone: undo_whole(known, 0),
            };
            (to, AnswerResult::Declined(reason), Postings::default())
        }
        Verdict::Whole => {
            let result = AnswerResult::Approved {
                approval_code: known.approval_code,
                available_minor,
            };
            let part = waiting.part;
            let result = part.map_or(result, |approved| AnswerResult::PartiallyApproved {
                approval_code: known.approval_code,
                approved,
            });
            let (to, postings) = approved(known, waiting, known.held);
            (to, result, postings)
        }
        Verdict::Part(amount_minor) => {
            let stays = part_of(known, amount_minor);
            let result = AnswerResult::PartiallyApproved {
                approval_code: known.approval_code,
                approved: Money {
                    amount_minor: stays.transaction_minor,
                    currency: known.currency,
                },
            };
            let (to, postings) = approved(known, waiting, stays);
            (to, result, postings)
        }
    };
    Resolved {
        registry_version: state.registry.version,
        account_id: Some(known.account_id),
        to,
        answer: Some(Answer::Authorization {
            authorization_id: known.id,
            result,
        }),
        fallback_used,
        postings,
        charges: Charges::default(),
    }
}

/// In the transaction's currency rounded down: what the merchant gets is never more than what is held for it.
fn part_of(known: &Authorization, amount_minor: i64) -> InBoth {
    let held = known.held;
    let share = i128::from(held.transaction_minor) * i128::from(amount_minor);
    // Below what is held, and that is above zero.
    let transaction_minor = share / i128::from(held.account_minor);
    InBoth {
        account_minor: amount_minor,
        transaction_minor: transaction_minor as i64,
    }
}

/// A single message is posted now; all else stays held.
fn approved(known: &Authorization, waiting: &Waiting, stays: InBoth) -> (ResolvedTo, Postings) {
    if !waiting.posts {
        let to = ResolvedTo::Approved {
            released: known.held.minus(stays),
            posted: InBoth::default(),
        };
        return (to, Postings::default());
    }
    // A reversal may have taken some of what was asked about, and its share of what we keep with it.
    let kept = waiting
        .kept
        .share(stays.account_minor, known.opened.account_minor);
    let postings = postings::payment(known.account_id, stays.account_minor, kept);
    let to = ResolvedTo::Approved {
        released: known.held,
        posted: stays,
    };
    (to, postings)
}

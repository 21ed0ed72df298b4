//! Decides a command on the state as it is: an event, a first answer, or a refusal. Changes nothing;
//! what an event changes lives in `apply.rs`, what the checks check in `rules/`.

use super::authorizations::{Authorization, PARTS_MAX};
use super::card_expiry;
use super::card_use::CardUseMade;
use super::checks::{AccountsAbove, Checks, Context, controls_of};
use super::command::{Action, Authorize, ChangeCardHolder, Command, ReleaseCause, ReleaseHold};
use super::event::{
    Answer, ApprovalCode, Authorized, Balances, Decision, Decline, Event, HoldPlaced, Increased,
    Postings, Refusal,
};
use super::facts::Kind;
use super::fees::{charge, monthly};
use super::funding::{self, Funds};
use super::kinds::{Direction, Treatment};
use super::matching::{self, Original};
use super::postings::{self, Kept};
use super::reason::DeclineReason;
use super::recall;
use super::refunds;
use super::registry::{Program, RegistryView};
use super::reissue;
use super::rules;
use super::rules::repeat::Found;
use super::scope::Scope;
use super::state::{Account, Card, State};
use super::time::Timestamp;
use super::trace::{Detail, Step};
use super::{decide_advice, decide_objects, decide_reversal};
use super::{resolve, shipping, tokens, top_ups, transfers, verification_tries, watch, withhold};

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
        Action::Reverse(reverse) => decide_reversal::decide(state, command, reverse),
        Action::Advise(advise) => decide_advice::decide(state, command, advise),
        Action::OpenAccount(open) => decide_objects::open_account(state, command, open),
        Action::ChangeAccountStatus(change) => {
            decide_objects::change_account_status(state, command, change)
        }
        Action::TopUp(top_up) => decide_objects::decide_top_up(state, command, top_up),
        Action::OpenCard(open) => decide_objects::open_card(state, command, open),
        Action::ChangeCardStatus(change) => {
            decide_objects::change_card_status(state, command, change)
        }
        Action::ChangeCardControls(change) => {
            decide_objects::change_card_controls(state, command, change)
        }
        Action::ReleaseHold(release) => release_hold(state, command, release),
        Action::Resolve(resolve) => resolve::decide(state, command, resolve),
        Action::Recall(recall) => recall::decide(state, command, recall),
        Action::ReplaceCard(replace) => reissue::decide_replace(state, command, replace),
        Action::RenewCard(renew) => reissue::decide_renew(state, command, renew),
        Action::Transfer(transfer) => transfers::decide_transfer(state, command, transfer),
        Action::ReceiveTransfer(receive) => transfers::decide_receive(state, command, receive),
        Action::EndTransfer(end) => transfers::decide_end(state, end),
        Action::ChangeAccount(change) => watch::decide_change(state, command, change),
        Action::NoteLowBalance(low) => watch::decide_low(state, command, low),
        Action::AutoTopUp(auto) => watch::decide_auto(state, command, auto),
        Action::ChargeMonthlyFee(due) => monthly::decide(state, command, due),
        Action::AnnounceTopUp(top_up) => top_ups::decide_announce(state, command, top_up),
        Action::EndTopUp(end) => top_ups::decide_end(state, command, end),
        Action::OpenToken(open) => tokens::decide_open(state, command, open),
        Action::ChangeTokenStatus(change) => tokens::decide_change(state, command, change),
        Action::ChangeShipping(change) => shipping::decide(state, command, change),
        Action::ExpireCard(expire) => card_expiry::decide(state, command, expire),
        Action::ResetVerificationTries(reset) => {
            verification_tries::decide_reset(state, command, reset)
        }
        Action::Withhold(withhold) => withhold::decide(state, command, &withhold.payment),
        Action::ChangeCardHolder(change) => {
            match state.card_of_tree(command.root, change.card_id) {
                None => Outcome::Refused(Refusal::CardNotFound(change.card_id)),
                Some(card) => decide_holder(card, change),
            }
        }
    }
}

fn decide_holder(card: &Card, change: &ChangeCardHolder) -> Outcome {
    let from = card.holder.map(|holder| holder.id);
    let is_anothers = !change.is_set && from != Some(change.holder.id);
    match is_anothers || card.holder == Some(change.holder) {
        true => Outcome::AlreadyDone,
        false => Outcome::Event(Event::CardHolderChanged { from }),
    }
}

fn decide_authorization(state: &State, command: &Command, authorize: &Authorize) -> Outcome {
    let mut checks = Checks::default();
    let found = rules::repeat::find(state, command, authorize);
    if let Found::First(answer) = found {
        return Outcome::FirstAnswer(answer);
    }
    message_and_repeat(authorize, found, &mut checks);
    let Some(card) = state.card_of_tree(command.root, authorize.card_id) else {
        checks.fail(Step::CardLookup, DeclineReason::CardNotFound, Detail::None);
        return Outcome::Event(Event::Authorized(cardless(state.registry.version, checks)));
    };
    checks.pass(Step::CardLookup, Detail::None);
    let original = match authorize.kind {
        Kind::Incremental => increased_by(state, command, authorize, &mut checks),
        _ => None,
    };
    let of_original = original.and_then(|original| state.account(original.account_id));
    let account = of_original.unwrap_or_else(|| {
        let treatment = Treatment::of(authorize.kind);
        funding::account(state, authorize, treatment, card)
    });
    let Some(context) = context(state, command, authorize, (card, account), original) else {
        checks.fail(
            Step::AccountStatus,
            DeclineReason::InternalError,
            Detail::None,
        );
        return Outcome::Event(Event::Authorized(cardless(state.registry.version, checks)));
    };
    for check in rules::IN_ORDER {
        check(&context, &mut checks);
    }
    let authorized = conclude(&context, checks);
    Outcome::Event(refunds::decided(state, command, authorize, authorized))
}

/// The open authorization that an increment adds to.
fn increased_by<'a>(
    state: &'a State,
    command: &Command,
    authorize: &Authorize,
    checks: &mut Checks,
) -> Option<&'a Authorization> {
    let (card_id, keys) = (authorize.card_id, &authorize.original_keys);
    let original = matching::original(state, command, card_id, keys, Some(Direction::Debit));
    let found = match original {
        Original::Known { authorization, .. } => Some(authorization),
        Original::Unknown | Original::ReversedEarly => None,
    };
    // What its customer has not decided on yet cannot grow.
    let found = found.filter(|known| known.is_open() && known.waiting.is_none());
    match found {
        // Beyond that many it could not be taken back by itself.
        Some(known) if known.parts.len() >= PARTS_MAX => checks.fail(
            Step::Original,
            DeclineReason::CapacityExceeded,
            Detail::None,
        ),
        Some(_) => checks.pass(Step::Original, Detail::None),
        None => checks.fail(
            Step::Original,
            DeclineReason::OriginalNotFound,
            Detail::None,
        ),
    }
    found
}

/// What the checks of a payment by this card from this account look at; `None` where its program is not there.
pub(super) fn context<'a>(
    state: &'a State,
    command: &Command,
    authorize: &'a Authorize,
    (card, account): (&'a Card, &'a Account),
    original: Option<&'a Authorization>,
) -> Option<Context<'a>> {
    let treatment = Treatment::of(authorize.kind);
    let above: AccountsAbove = state.above(account).take(Scope::ABOVE.len()).collect();
    let root = *above.last().unwrap_or(&account);
    let program = state.registry.programs.get(&account.program_id)?;
    let funds = Funds::of(&state.registry, program, account, authorize, treatment);
    let kept_on = state.kept_on(card);
    let controls = controls_of(&state.registry, program, &above, account, kept_on);
    Some(Context {
        state,
        registry: &state.registry,
        at: command.at,
        command: authorize,
        card,
        account,
        above,
        root,
        program,
        controls,
        treatment,
        asked_minor: funds.asked_minor(),
        amount_minor: funds.approvable_minor(),
        original,
        part: funds.part(),
        conversion: funds.into_conversion(),
        risk_rules: state.registry.risk_rules.of_program(program.id),
        kept_on,
    })
}

/// The first two checks, for every message whether its card is known or not.
pub(super) fn message_and_repeat(authorize: &Authorize, found: Found, checks: &mut Checks) {
    match found {
        // Another message has this identity: what this one says is not looked at.
        Found::Clash => checks.skip(Step::Message),
        _ => rules::message::check(authorize, checks),
    }
    rules::repeat::note(found, checks);
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
        balances: None,
        trace: checks.trace,
        postings: Postings::default(),
        increased: None,
        conversion: None,
        keeps_history: false,
        refund_of: None,
        gives_back: Box::default(),
        waits_until: None,
        charges: Default::default(),
    }
}

fn conclude(context: &Context, checks: Checks) -> Authorized {
    let authorize = context.command;
    let account = context.account;
    let approved = checks.decline.is_none();
    let taken_minor = context.taken_minor().filter(|_| approved).unwrap_or(0);
    let expires_at = context.at.plus_ms(hold_expiry_ms(
        context.registry,
        Some(context.program),
        authorize,
    ));
    let increased = context.original.filter(|_| approved);
    let increased = increased.map(|original| Increased {
        authorization_id: original.id,
        amount_minor: taken_minor,
        expires_at: expires_at.max(original.expires_at),
        uses: checks.uses.as_slice().into(),
    });
    let hold = (approved && context.stays_open()).then(|| HoldPlaced {
        amount_minor: taken_minor,
        expires_at,
        uses: checks.uses,
        card_use: match taken_minor {
            0 => CardUseMade::default(),
            _ => rules::merchant::card_use_made(context),
        },
    });
    let waits_until = match approved && taken_minor > 0 && increased.is_none() {
        true => waits_until(context),
        false => None,
    };
    let posts = authorize.posts && increased.is_none() && waits_until.is_none();
    let charged_minor = match approved && posts {
        true => context.charged_minor(),
        false => 0,
    };
    let kept = Kept::of(context.conversion.as_deref());
    let inquires = approved && authorize.kind == Kind::BalanceInquiry;
    let moved_minor = match charged_minor {
        0 => taken_minor,
        charged_minor => charged_minor,
    };
    let postings = postings::payment(account.id, charged_minor, kept);
    let charges = match checks.decline {
        Some(decline) => charge::of_decline(context, decline.reason),
        None => charge::of_payment(account, context.card.id, &postings, kept.schedule),
    };
    let available_minor = account.available_minor() - moved_minor - charge::own_minor(&charges);
    Authorized {
        registry_version: context.registry.version,
        account_id: Some(account.id),
        amount_minor: context.asked_minor.unwrap_or(0),
        available_minor,
        decision: decision(context, checks.decline),
        hold,
        balances: inquires.then_some(Balances {
            posted_minor: account.posted_minor,
            available_minor,
            currency: account.currency,
        }),
        trace: checks.trace,
        postings,
        increased,
        conversion: context.conversion.clone(),
        keeps_history: context.risk_rules.is_some_and(|rules| rules.read_history),
        refund_of: None,
        gives_back: Box::default(),
        waits_until,
        charges,
    }
}

fn decision(context: &Context, decline: Option<Decline>) -> Decision {
    let approval_code = ApprovalCode::of(context.command.authorization_id);
    match (decline, context.part) {
        (Some(decline), _) => Decision::Declined(decline),
        (None, Some(approved)) => Decision::PartiallyApproved {
            approval_code,
            approved,
        },
        (None, None) => Decision::Approved { approval_code },
    }
}

/// Until when the customer may decide, where it is to be asked.
fn waits_until(context: &Context) -> Option<Timestamp> {
    let endpoints = &context.registry.decision_endpoints;
    let endpoint = endpoints.enabled_of(context.program.id)?;
    Some(context.at.plus_ms(i64::from(endpoint.timeout_ms)))
}

/// What the program says, or else the switch's own settings.
pub(super) fn hold_expiry_ms(
    registry: &RegistryView,
    program: Option<&Program>,
    authorize: &Authorize,
) -> i64 {
    let of = |program: &Program| {
        let by_program = &program.hold_expiry;
        by_program.of(authorize.kind, authorize.merchant.mcc)
    };
    let by_program = program.and_then(of);
    by_program.unwrap_or(registry.settings.hold_expiry_ms)
}

fn release_hold(state: &State, command: &Command, release: &ReleaseHold) -> Outcome {
    let authorization_id = release.authorization_id;
    let known = state.authorizations.get(authorization_id);
    let open_in_tree = |known: &&Authorization| {
        let account = state.account_of_tree(command.root, known.account_id);
        account.is_some() && known.is_open()
    };
    let Some(known) = known.filter(open_in_tree) else {
        return Outcome::Refused(Refusal::HoldNotFound(authorization_id));
    };
    if release.cause == ReleaseCause::Expired && known.expires_at > command.at {
        return Outcome::Refused(Refusal::HoldLasts {
            authorization_id,
            expires_at: known.expires_at,
        });
    }
    Outcome::Event(Event::HoldReleased {
        account_id: known.account_id,
        amount_minor: known.held.account_minor,
        standing: Authorization::standing(Some(known.ends_by()), known.posted.account_minor),
    })
}

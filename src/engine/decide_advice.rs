//! Decides an advice: what the network has done already is carried out and never declined. Where a request
//! would have been, a flag or the first failed check says so. Changes nothing.

use super::authorizations::{Authorization, ClosedBy};
use super::checks::{Checks, Context};
use super::command::{Advise, Command};
use super::conversion::Conversion;
use super::decide::{self, Outcome};
use super::event::{AdviceOutcome, Advised, Event, Flags, HoldPlaced, Postings, Standing};
use super::facts::Kind;
use super::fees::charge;
use super::first_answer::Asked;
use super::funding::Funds;
use super::ids::AuthorizationId;
use super::kinds::{Direction, Treatment};
use super::matching::{self, Original};
use super::postings::{self, Kept};
use super::reason::DeclineReason;
use super::refunds;
use super::rules;
use super::state::{Account, Card, State};
use super::time::Timestamp;
use super::trace::{Detail, Step};

pub(super) fn decide(state: &State, command: &Command, advise: &Advise) -> Outcome {
    let settings = &state.registry.settings;
    let repeat_key = advise.payment.repeat_key;
    let retention_ms = settings.first_answer_retention_ms;
    let first = state
        .first_answers
        .find(repeat_key, command.at, retention_ms);
    let registry_version = state.registry.version;
    let advised = match first.filter(|first| first.root == command.root) {
        Some(first) if first.asked == Asked::of_advice(advise) => {
            return Outcome::FirstAnswer(first.answer);
        }
        Some(_) => nothing(registry_version, AdviceOutcome::Duplicate, Flags::default()),
        None => match state.card_of_tree(command.root, advise.payment.card_id) {
            None => unknown_card(registry_version, advise),
            Some(card) => of_card(state, command, advise, card),
        },
    };
    Outcome::Event(Event::Advised(Box::new(advised)))
}

/// An advice about a card that nobody issued: there is no account to post it to.
pub(super) fn unknown_card(registry_version: u64, advise: &Advise) -> Advised {
    let mut flags = Flags::UNKNOWN_CARD;
    flags.raise(Flags::STAND_IN_DECLINE, advise.was_declined);
    nothing(registry_version, AdviceOutcome::Recorded, flags)
}

pub(super) fn nothing(registry_version: u64, outcome: AdviceOutcome, flags: Flags) -> Advised {
    Advised {
        registry_version,
        account_id: None,
        amount_minor: 0,
        available_minor: 0,
        outcome,
        flags,
        breach: None,
        postings: Postings::default(),
        trace: Checks::default().trace,
        conversion: None,
        refund_of: None,
        gives_back: Box::default(),
        stands_in_for: None,
        approved_part_minor: None,
        charges: Default::default(),
    }
}

/// An advice about a card and the account that it is posted to.
struct Known<'a> {
    state: &'a State,
    command: &'a Command,
    advise: &'a Advise,
    card: &'a Card,
    account: &'a Account,
    direction: Direction,
    amount_minor: i64,
    conversion: Option<Box<Conversion>>,
    flags: Flags,
    /// What is over, and is opened anew.
    stands_in_for: Option<AuthorizationId>,
    approved_part_minor: Option<i64>,
}

fn of_card(state: &State, command: &Command, advise: &Advise, card: &Card) -> Advised {
    let payment = &advise.payment;
    let keys = &payment.original_keys;
    let treatment = Treatment::of(payment.kind);
    let direction = treatment.map(|treatment| treatment.direction);
    let original = matching::original(state, command, card.id, keys, direction);
    let account = match original {
        Original::Known { authorization, .. } => state.account(authorization.account_id),
        _ => None,
    };
    let account = account.unwrap_or(state.account_of(card));
    let program = state.registry.programs.get(&account.program_id);
    let converted = program.and_then(|program| {
        let registry = &state.registry;
        Funds::of(registry, program, account, payment, treatment).into_asked()
    });
    let amount_minor = converted.as_ref().map(|converted| converted.amount_minor);
    let mut known = Known {
        state,
        command,
        advise,
        card,
        account,
        direction: direction.unwrap_or(Direction::Nowhere),
        amount_minor: amount_minor.unwrap_or(0),
        conversion: converted.and_then(|converted| converted.conversion),
        flags: Flags::default(),
        stands_in_for: None,
        approved_part_minor: None,
    };
    if let Some(flag) = hindrance(&known, amount_minor) {
        known.flags.raise(flag, true);
        return known.recorded();
    }
    match payment.posts {
        true => known.posted(original),
        false => known.held(original),
    }
}

/// Why an advice moves nothing, whatever it is about.
fn hindrance(known: &Known, amount_minor: Option<i64>) -> Option<Flags> {
    let Known {
        state,
        command,
        advise,
        card,
        ..
    } = known;
    let payment = &advise.payment;
    if advise.was_declined {
        return Some(Flags::STAND_IN_DECLINE);
    }
    let Some(amount_minor) = amount_minor.filter(|amount_minor| *amount_minor >= 0) else {
        return Some(Flags::NOT_POSTABLE);
    };
    let charged_minor = known.charged_minor(amount_minor);
    let names = &payment.match_keys;
    // Ids are given out once; to open one twice would lose the first.
    let is_known = state.authorizations.contains(payment.authorization_id);
    let is_repeated = is_known || matching::is_repeated(state, command, payment, amount_minor);
    let reasons = [
        (Flags::MOVES_NOTHING, known.direction == Direction::Nowhere),
        (
            Flags::NOT_POSTABLE,
            match payment.posts {
                true => !postings::can_be_charged(known.account, charged_minor),
                false => !postings::can_be_held(known.account, amount_minor),
            },
        ),
        (
            Flags::REVERSED_BEFORE,
            matching::is_reversed_early(state, command, card.id, names),
        ),
        (Flags::REPEATED, is_repeated),
    ];
    let raised = reasons.into_iter().find(|(_, raised)| *raised);
    raised.map(|(flag, _)| flag)
}

impl Known<'_> {
    /// An advice that posts: against the authorization that it is about, whatever became of that, or by itself.
    fn posted(mut self, original: Original) -> Advised {
        match original {
            // A second refund for one purchase, under the name of that. It is no part of the first.
            Original::Known { authorization, .. }
                if authorization.direction == Direction::Credit && authorization.posted_at_once =>
            {
                self.open()
            }
            Original::Known { authorization, .. } => self.complete(authorization),
            Original::ReversedEarly => {
                self.flags.raise(Flags::AFTER_REVERSAL, true);
                self.open()
            }
            Original::Unknown => self.open(),
        }
    }

    /// An advice that holds: it amends what is open, and opens anew what is over without the network's doing.
    fn held(mut self, original: Original) -> Advised {
        let authorization = match original {
            Original::Known { authorization, .. } => authorization,
            Original::Unknown => return self.open(),
            Original::ReversedEarly => return self.recorded_as(Flags::REVERSED_BEFORE),
        };
        match authorization.closed.map(|closed| closed.by) {
            None => self.amend_open(authorization),
            Some(ClosedBy::Completion) => self.recorded_as(Flags::AFTER_COMPLETION),
            Some(ClosedBy::Release) => {
                self.flags.raise(Flags::AFTER_EXPIRY, true);
                self.stands_in_for = Some(authorization.id);
                self.open()
            }
            // The network went on where we had declined: it stands in, unless it has reversed that since.
            Some(ClosedBy::Reversal)
                if authorization.was_taken_back() && !self.is_reversed_early() =>
            {
                self.stands_in_for = Some(authorization.id);
                self.open()
            }
            Some(ClosedBy::Reversal) => self.recorded_as(Flags::REVERSED_BEFORE),
        }
    }

    fn amend_open(self, authorization: &Authorization) -> Advised {
        let is_increment = self.advise.payment.kind == Kind::Incremental;
        match authorization.waiting.as_deref() {
            // A single message has no later posting of its own, and nothing can be added to it.
            Some(waiting) if waiting.posts && is_increment => self.open(),
            Some(waiting) if waiting.posts => self.complete(authorization),
            _ => self.amend(authorization),
        }
    }

    fn is_reversed_early(&self) -> bool {
        let keys = &self.advise.payment.original_keys;
        matching::is_reversed_early(self.state, self.command, self.card.id, keys)
    }

    fn recorded_as(mut self, flag: Flags) -> Advised {
        self.flags.raise(flag, true);
        self.recorded()
    }

    /// What a posting takes from the account; below zero for what it gives.
    fn charged_minor(&self, amount_minor: i64) -> i64 {
        match self.direction {
            Direction::Debit => amount_minor,
            Direction::Credit => -amount_minor,
            Direction::Nowhere => 0,
        }
    }

    fn recorded(self) -> Advised {
        let available_minor = self.account.available_minor();
        self.advised(AdviceOutcome::Recorded, available_minor, Checks::default())
    }

    fn advised(mut self, outcome: AdviceOutcome, available_minor: i64, checks: Checks) -> Advised {
        let moves_money = outcome != AdviceOutcome::Recorded;
        let takes = self.direction == Direction::Debit && self.amount_minor > 0;
        let overdrawn = moves_money && takes && available_minor < 0;
        self.flags.raise(Flags::OVERDRAWN, overdrawn);
        let charged_minor = match outcome {
            AdviceOutcome::ForcePosted(_) | AdviceOutcome::Completed { .. } => {
                self.charged_minor(self.amount_minor)
            }
            _ => 0,
        };
        let kept = Kept::of(self.conversion.as_deref());
        let postings = postings::payment(self.account.id, charged_minor, kept);
        let charges = charge::of_payment(self.account, self.card.id, &postings, kept.schedule);
        let payment = &self.advise.payment;
        let purchase = refunds::purchase(self.state, self.command, payment);
        let gives_back =
            refunds::gives_back(self.state, self.command, payment, purchase, &postings);
        Advised {
            registry_version: self.state.registry.version,
            account_id: Some(self.account.id),
            amount_minor: self.amount_minor,
            available_minor,
            outcome,
            flags: self.flags,
            breach: checks.decline,
            postings,
            trace: checks.trace,
            conversion: self.conversion,
            refund_of: refunds::id_of(purchase),
            gives_back,
            stands_in_for: self.stands_in_for,
            approved_part_minor: self.approved_part_minor,
            charges,
        }
    }

    /// Posts against an authorization, whatever became of it.
    fn complete(mut self, authorization: &Authorization) -> Advised {
        self.approved_part_minor = self.ends_wait_in_part(authorization);
        let held_minor = authorization.held.account_minor;
        let amount_minor = self.amount_minor;
        for (flag, by) in [
            (Flags::AFTER_EXPIRY, ClosedBy::Release),
            (Flags::AFTER_COMPLETION, ClosedBy::Completion),
            (Flags::AFTER_REVERSAL, ClosedBy::Reversal),
        ] {
            self.flags.raise(flag, authorization.is_closed_by(by));
        }
        let exceeds = self.direction == Direction::Debit && amount_minor > held_minor;
        self.flags.raise(Flags::EXCEEDS_HOLD, exceeds);
        let waiting = authorization.waiting.as_deref();
        // Of a single message nothing more is to come.
        let is_single = waiting.is_some_and(|waiting| waiting.posts);
        let closes = self.advise.is_final || amount_minor >= held_minor || is_single;
        let released_minor = if closes { held_minor } else { amount_minor };
        let outcome = AdviceOutcome::Completed {
            authorization_id: authorization.id,
            released_minor,
            standing: match closes {
                true => Standing::Cleared,
                false => Authorization::standing(
                    None,
                    authorization.posted.account_minor + self.charged_minor(amount_minor),
                ),
            },
        };
        let available_minor = self.account.available_minor();
        let checks = self.balance_only(available_minor.saturating_add(held_minor));
        let moved_minor = released_minor - self.charged_minor(amount_minor);
        self.advised(outcome, available_minor.saturating_add(moved_minor), checks)
    }

    /// What is told of it, where what waited is told that it was approved in part (see `apply_resolve.rs`).
    fn ends_wait_in_part(&self, authorization: &Authorization) -> Option<i64> {
        let waiting = authorization.waiting.as_deref()?;
        let transaction = self.advise.payment.amounts.transaction;
        let stated_minor = authorization.in_its_currency(transaction, self.amount_minor);
        let is_less = stated_minor < authorization.opened.transaction_minor;
        match waiting.posts && waiting.in_part && is_less {
            true => Some(stated_minor),
            false => waiting.part.map(|approved| approved.amount_minor),
        }
    }

    /// Gives an open authorization another amount, or adds to it.
    fn amend(mut self, authorization: &Authorization) -> Advised {
        self.approved_part_minor = self.ends_wait_in_part(authorization);
        let before_minor = authorization.held.account_minor;
        let after_minor = match (self.direction, self.advise.payment.kind) {
            (Direction::Credit, _) => 0,
            (_, Kind::Incremental) => before_minor.saturating_add(self.amount_minor),
            _ => self.amount_minor,
        };
        let expires_at = self.expires_at().max(authorization.expires_at);
        let ends = after_minor == 0 && before_minor > 0;
        let ended = ends.then(|| authorization.ends_by());
        let outcome = AdviceOutcome::Amended {
            authorization_id: authorization.id,
            before_minor,
            after_minor,
            expires_at,
            standing: Authorization::standing(ended, authorization.posted.account_minor),
        };
        let available_minor = self.account.available_minor();
        let checks = self.balance_only(available_minor.saturating_add(before_minor));
        let moved_minor = before_minor - after_minor;
        self.advised(outcome, available_minor.saturating_add(moved_minor), checks)
    }

    /// Opens a new authorization, posted at once or with a hold.
    fn open(mut self) -> Advised {
        if self.amount_minor == 0 {
            self.flags.raise(Flags::MOVES_NOTHING, true);
            return self.recorded();
        }
        let posts = self.advise.payment.posts;
        let is_first = !self.flags.contains(Flags::AFTER_REVERSAL);
        self.flags.raise(
            Flags::FORCE_POST,
            posts && is_first && self.direction == Direction::Debit,
        );
        let (placed, checks) = self.checked();
        let charged_minor = self.charged_minor(self.amount_minor);
        let taken_minor = if posts {
            charged_minor
        } else {
            placed.amount_minor
        };
        let available_minor = self.account.available_minor().saturating_sub(taken_minor);
        let outcome = match posts {
            true => AdviceOutcome::ForcePosted(placed),
            false => AdviceOutcome::Placed(placed),
        };
        self.advised(outcome, available_minor, checks)
    }

    /// The checks of a request, for what they find and for the limits that the payment uses.
    fn checked(&self) -> (HoldPlaced, Checks) {
        let mut checks = Checks::default();
        let payment = &self.advise.payment;
        rules::message::check(payment, &mut checks);
        checks.pass(Step::CardLookup, Detail::None);
        let mut placed = HoldPlaced {
            amount_minor: match self.direction {
                Direction::Debit => self.amount_minor,
                _ => 0,
            },
            expires_at: self.expires_at(),
            uses: Default::default(),
            card_use: Default::default(),
        };
        // What is posted to an account uses the limits of that one, whatever else the card could draw on.
        let of = (self.card, self.account);
        let context = decide::context(self.state, self.command, payment, of, None);
        let Some(context) = context else {
            return (placed, checks);
        };
        // All of it is taken, whatever the terminal could do with.
        let context = Context {
            amount_minor: context.asked_minor,
            part: None,
            ..context
        };
        for check in rules::IN_ORDER {
            check(&context, &mut checks);
        }
        placed.uses = std::mem::take(&mut checks.uses);
        if placed.amount_minor > 0 {
            placed.card_use = rules::merchant::card_use_made(&context);
        }
        (placed, checks)
    }

    fn expires_at(&self) -> Timestamp {
        let payment = &self.advise.payment;
        let program = self.state.registry.programs.get(&self.account.program_id);
        let expiry_ms =
            decide::hold_expiry_ms(&self.state.registry, program.map(|p| &**p), payment);
        self.command.at.plus_ms(expiry_ms)
    }

    /// What a payment that was authorized before is compared with: the money alone.
    fn balance_only(&self, available_minor: i64) -> Checks {
        let mut checks = Checks::default();
        checks.pass(Step::CardLookup, Detail::None);
        checks.pass(Step::Original, Detail::None);
        let detail = Detail::Balance {
            available_minor,
            requested_minor: self.amount_minor,
        };
        if self.direction == Direction::Debit && self.amount_minor > available_minor {
            checks.fail(Step::Balance, DeclineReason::InsufficientFunds, detail);
        } else {
            checks.pass(Step::Balance, detail);
        }
        checks
    }
}

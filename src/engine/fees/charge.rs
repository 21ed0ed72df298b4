//! One charge: what an account pays for one thing, by which schedule, and the legs that post it.

use super::price::FeeParts;
use super::schedule::{self, FeeKind, FeeSchedule, ScheduleVersion};
use crate::engine::apply::post;
use crate::engine::checks::Context;
use crate::engine::command::{CardType, OpenAccount};
use crate::engine::controls::Window;
use crate::engine::event::{Event, LedgerAccount, Posting};
use crate::engine::ids::{AccountId, CardId, ProgramId};
use crate::engine::money::{BALANCE_MAX_MINOR, BOOKS_MAX_MINOR, Currency};
use crate::engine::reason::DeclineReason;
use crate::engine::registry::RegistryView;
use crate::engine::state::{Account, AccountStatus, Card, State};
use crate::engine::time::Timestamp;
use crate::engine::window::window_end;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::monthly::Month;

/// Amounts in minor units of the account's currency; below zero where they go back with a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    pub kind: FeeKind,
    /// Who pays.
    pub account_id: AccountId,
    pub card_id: Option<CardId>,
    pub program_id: ProgramId,
    pub currency: Currency,
    pub schedule: ScheduleVersion,
    pub fee_minor: i64,
    pub reseller_mark_up_minor: i64,
    /// What a share was taken of: what arrived, or what the network gets of a conversion.
    pub basis_minor: Option<i64>,
    /// For which month.
    pub month: Option<Month>,
    /// It took what is available below zero.
    pub overdrawn: bool,
    /// Of one on a decline, where the schedule has a most of them: until when it counts, the end of its day.
    pub counts_until: Option<Timestamp>,
    /// The balance, or the sum of all that the account ever paid, would leave its range: nothing is taken. The record, a log
    /// line and a metric say so.
    pub out_of_range: bool,
}

/// What one record charges; most charge nothing.
pub type Charges = Box<[Charge]>;

impl Charge {
    /// What it takes.
    pub fn amount_minor(&self) -> i64 {
        match self.out_of_range {
            true => 0,
            false => self.fee_minor + self.reseller_mark_up_minor,
        }
    }

    /// Whether its legs are its own, and not among those of a payment.
    pub fn is_posted_by_itself(&self) -> bool {
        self.kind != FeeKind::ForeignExchange
    }

    /// From the account to us and to the reseller.
    pub fn legs(&self) -> SmallVec<[Posting; 3]> {
        if self.out_of_range {
            return SmallVec::new();
        }
        let legs = [
            (
                LedgerAccount::Customer(self.account_id),
                -self.amount_minor(),
            ),
            (LedgerAccount::Fees, self.fee_minor),
            (LedgerAccount::ResellerMarkUp, self.reseller_mark_up_minor),
        ];
        let legs = legs
            .into_iter()
            .filter(|(_, amount_minor)| *amount_minor != 0);
        legs.map(|(ledger_account, amount_minor)| Posting {
            ledger_account,
            amount_minor,
        })
        .collect()
    }
}

impl Event {
    /// What it charges.
    pub fn charges(&self) -> &[Charge] {
        match self {
            Event::Authorized(authorized) => &authorized.charges,
            Event::Advised(advised) => &advised.charges,
            Event::Resolved(resolved) => &resolved.charges,
            Event::Reversed(reversed) => &reversed.charges,
            Event::Withheld(withheld) => &withheld.charges,
            Event::AccountOpened { charges }
            | Event::Posted { charges, .. }
            | Event::CardOpened { charges, .. }
            | Event::MonthlyFeeCharged { charges } => charges,
            Event::CardReplaced(replaced) => &replaced.charges,
            Event::TopUpEnded(ended) => &ended.charges,
            _ => &[],
        }
    }
}

/// Who is to pay, as it will be when all else of the record is done.
#[derive(Debug, Clone, Copy)]
pub struct Payer {
    pub account_id: AccountId,
    pub card_id: Option<CardId>,
    pub program_id: ProgramId,
    pub currency: Currency,
    pub available_minor: i64,
    pub posted_minor: i64,
    /// All that it ever paid.
    pub paid_minor: i64,
}

impl Payer {
    pub fn of(account: &Account, card_id: Option<CardId>) -> Payer {
        Payer {
            account_id: account.id,
            card_id,
            program_id: account.program_id,
            currency: account.currency,
            available_minor: account.available_minor(),
            posted_minor: account.posted_minor,
            paid_minor: account
                .fees_minor
                .saturating_add(account.reseller_mark_up_minor),
        }
    }

    fn of_new(open: &OpenAccount) -> Payer {
        Payer {
            account_id: open.account_id,
            card_id: None,
            program_id: open.program_id,
            currency: open.currency,
            available_minor: 0,
            posted_minor: 0,
            paid_minor: 0,
        }
    }

    /// After so much is held no more.
    pub(in crate::engine) fn after_release(self, released_minor: i64) -> Payer {
        Payer {
            available_minor: self.available_minor.saturating_add(released_minor),
            ..self
        }
    }

    /// After so much came in.
    fn with(self, credited_minor: i64) -> Payer {
        Payer {
            available_minor: self.available_minor.saturating_add(credited_minor),
            posted_minor: self.posted_minor.saturating_add(credited_minor),
            ..self
        }
    }

    /// Its balance, and the sum of all that it paid, stay within their ranges.
    fn can_be_booked(&self, amount_minor: i64) -> bool {
        let paid_minor = self.paid_minor.saturating_abs();
        self.posted_minor.saturating_sub(amount_minor) >= -BALANCE_MAX_MINOR
            && paid_minor.saturating_add(amount_minor) <= BOOKS_MAX_MINOR
    }
}

/// What is charged for this, by the schedule of the payer's program; nothing where it has none, or it comes to nothing.
pub fn charge(
    view: &RegistryView,
    kind: FeeKind,
    payer: Payer,
    basis_minor: Option<i64>,
) -> Option<Charge> {
    let (_, schedule) = schedule::of_program(view, payer.program_id)?;
    by_schedule(schedule, kind, payer, basis_minor)
}

/// The same by this schedule: what previews show is what is charged.
pub fn by_schedule(
    schedule: &FeeSchedule,
    kind: FeeKind,
    payer: Payer,
    basis_minor: Option<i64>,
) -> Option<Charge> {
    let parts: FeeParts = schedule.parts(kind, payer.currency, basis_minor.unwrap_or(0));
    let amount_minor = parts.sum_minor();
    (amount_minor > 0).then_some(Charge {
        kind,
        account_id: payer.account_id,
        card_id: payer.card_id,
        program_id: payer.program_id,
        currency: payer.currency,
        schedule: schedule.at_version(),
        fee_minor: parts.fee_minor,
        reseller_mark_up_minor: parts.reseller_mark_up_minor,
        basis_minor,
        month: None,
        overdrawn: payer.available_minor < amount_minor,
        counts_until: None,
        out_of_range: !payer.can_be_booked(amount_minor),
    })
}

fn charges(one: Option<Charge>) -> Charges {
    one.into_iter().collect()
}

/// A root account is opened; one below it costs nothing.
pub(in crate::engine) fn of_account(view: &RegistryView, open: &OpenAccount) -> Charges {
    match open.parent_id {
        Some(_) => Charges::default(),
        None => charges(charge(view, FeeKind::SetUp, Payer::of_new(open), None)),
    }
}

pub fn issue_kind(card_type: CardType) -> FeeKind {
    match card_type {
        CardType::Virtual => FeeKind::IssueVirtual,
        CardType::Physical => FeeKind::IssuePhysical,
    }
}

/// What a card of this type costs the account.
pub fn of_issue(
    view: &RegistryView,
    account: &Account,
    card_id: CardId,
    card_type: CardType,
) -> Option<Charge> {
    let payer = Payer::of(account, Some(card_id));
    charge(view, issue_kind(card_type), payer, None)
}

/// So much was credited.
pub(in crate::engine) fn of_top_up(
    view: &RegistryView,
    account: &Account,
    credited_minor: i64,
) -> Charges {
    let payer = Payer::of(account, None).with(credited_minor);
    charges(charge(view, FeeKind::TopUp, payer, Some(credited_minor)))
}

/// A payment that would have taken money is declined, for a reason that is not the network's or ours.
pub(in crate::engine) fn of_decline(context: &Context, reason: DeclineReason) -> Charges {
    let takes_money = context.treatment.is_some_and(|kind| kind.takes_money);
    let asked_minor = context.command.amounts.transaction.amount_minor;
    if context.program.fees.is_none() || !takes_money || asked_minor <= 0 {
        return Charges::default();
    }
    let payer = Payer::of(context.account, Some(context.card.id));
    let declined = Declined {
        card: context.card,
        account_status: context.account.status,
        reason,
        at: context.at,
    };
    of_declined(context.registry, payer, &declined)
}

/// What its fee depends on.
pub(in crate::engine) struct Declined<'a> {
    pub card: &'a Card,
    pub account_status: AccountStatus,
    pub reason: DeclineReason,
    pub at: Timestamp,
}

/// The same of one that is known to take money.
pub(in crate::engine) fn of_declined(
    view: &RegistryView,
    payer: Payer,
    declined: &Declined,
) -> Charges {
    let at = declined.at;
    let Some((_, schedule)) = schedule::of_program(view, payer.program_id) else {
        return Charges::default();
    };
    if is_free(declined.reason) || declined.account_status == AccountStatus::Closed {
        return Charges::default();
    }
    let counted = declined.card.decline_fees;
    let counted = counted.filter(|counted| counted.until > at);
    let so_far = counted.map_or(0, |counted| counted.charged);
    if !schedule.charges_decline(so_far) {
        return Charges::default();
    }
    let counts_until = schedule.decline_fees_per_card_per_day_max.and_then(|_| {
        let day = || window_end(Window::Day, &schedule.time_zone, at)?.resets_at();
        counted.map(|counted| counted.until).or_else(day)
    });
    let charge = by_schedule(schedule, FeeKind::Decline, payer, None);
    charges(charge.map(|charge| Charge {
        counts_until,
        ..charge
    }))
}

/// How many fees on declines a card was charged in a day that a schedule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclineFees {
    /// The end of that day.
    pub until: Timestamp,
    pub charged: u16,
}

/// Declines that are nobody's doing who pays: messages that are wrong in themselves or come twice, cards that are not
/// there, what could not be decided; and cards, tokens, accounts and programs that are closed, blocked, expired, suspended or
/// not activated, which whoever found the number may try for ever; and what was stated of a card and is wrong.
pub fn is_free(reason: DeclineReason) -> bool {
    use DeclineReason::*;
    matches!(
        reason,
        FormatError
            | InvalidTransaction
            | InvalidAmount
            | InvalidMerchant
            | TerminalNotPermitted
            | UnsupportedFunction
            | DuplicateTransmission
            | ReversedBeforeOriginal
            | OriginalNotFound
            | CardNotFound
            | UnknownBin
            | CardExpired
            | CardNotActivated
            | CardBlocked
            | CardLost
            | CardStolen
            | CardClosed
            | TokenNotFound
            | TokenMismatch
            | TokenNotActive
            | TokenSuspended
            | TokenExpired
            | AccountFrozen
            | AccountClosed
            | VerificationTriesExceeded
            | ExpiryMismatch
            | CvvMismatch
            | CryptogramInvalid
            | PinIncorrect
            | ExchangeRateMissing
            | ProgramSuspended
            | InternalError
            | Overloaded
            | AnswerTooLate
            | CapacityExceeded
    )
}

/// What the legs of a payment have of a fee on conversions.
pub(in crate::engine) fn of_payment(
    account: &Account,
    card_id: CardId,
    postings: &[Posting],
    schedule: Option<ScheduleVersion>,
) -> Charges {
    let Some(schedule) = schedule else {
        return Charges::default();
    };
    let of = |account: LedgerAccount| {
        let own = postings.iter().filter(|leg| leg.ledger_account == account);
        own.map(|leg| leg.amount_minor).sum::<i64>()
    };
    let fee_minor = of(LedgerAccount::Fees);
    let reseller_mark_up_minor = of(LedgerAccount::ResellerMarkUp);
    if (fee_minor, reseller_mark_up_minor) == (0, 0) {
        return Charges::default();
    }
    charges(Some(Charge {
        kind: FeeKind::ForeignExchange,
        account_id: account.id,
        card_id: Some(card_id),
        program_id: account.program_id,
        currency: account.currency,
        schedule,
        fee_minor,
        reseller_mark_up_minor,
        basis_minor: Some(of(LedgerAccount::NetworkSettlement).saturating_abs()),
        month: None,
        overdrawn: false,
        counts_until: None,
        out_of_range: false,
    }))
}

/// What is taken beside the legs of a payment.
pub(in crate::engine) fn own_minor(charges: &[Charge]) -> i64 {
    let own = charges.iter().filter(|charge| charge.is_posted_by_itself());
    own.map(Charge::amount_minor).sum()
}

/// Posts what an event charges beside its own legs.
pub(in crate::engine) fn apply(state: &mut State, charges: &[Charge]) {
    let own = charges.iter().filter(|charge| charge.is_posted_by_itself());
    for charge in own {
        post(state, charge.account_id, &charge.legs());
        if let (Some(card_id), Some(until)) = (charge.card_id, charge.counts_until)
            && let Some(card) = state.card_mut(card_id)
        {
            let before = card.decline_fees.filter(|counted| counted.until == until);
            let charged = before
                .map_or(0, |counted| counted.charged)
                .saturating_add(1);
            card.decline_fees = Some(DeclineFees { until, charged });
        }
    }
}

//! Which account pays for a request, what the request comes to in its currency, and how much of that there
//! is. The arithmetic lives in `conversion.rs`, that of parts in `partial.rs`.

use super::command::Authorize;
use super::conversion::{Conversion, Converted, MarkUp, Terms, convert};
use super::fees::schedule;
use super::kinds::{Direction, Treatment};
use super::money::{Currency, Money};
use super::partial::{self, Part};
use super::registry::{Program, RegistryView};
use super::state::{Account, AccountStatus, Card, State};

/// The account that pays for a request: of a card with several, the first that is active and has enough for
/// all of it, or else the first that has enough for a part, or else the card's first. What takes no money is
/// about the card's first account.
pub(super) fn account<'a>(
    state: &'a State,
    authorize: &Authorize,
    treatment: Option<&Treatment>,
    card: &'a Card,
) -> &'a Account {
    let first = state.account_of(card);
    let takes_money = treatment.is_none_or(|treatment| treatment.takes_money);
    let Some(wallet) = card.wallet.as_deref().filter(|_| takes_money) else {
        return first;
    };
    let further = wallet.iter().filter_map(|id| state.account(*id));
    let mut can_pay_a_part = None;
    for account in std::iter::once(first).chain(further) {
        let registry = &state.registry;
        let Some(program) = registry.programs.get(&account.program_id) else {
            continue;
        };
        if !is_active(state, account) {
            continue;
        }
        let funds = Funds::of(registry, program, account, authorize, treatment);
        let asked_minor = funds.asked_minor();
        if asked_minor.is_some_and(|asked_minor| asked_minor <= account.available_minor()) {
            return account;
        }
        if funds.part.is_some() {
            can_pay_a_part.get_or_insert(account);
        }
    }
    can_pay_a_part.unwrap_or(first)
}

/// Neither the account nor one above it is frozen or closed.
pub(super) fn is_active(state: &State, account: &Account) -> bool {
    let mut line = std::iter::once(account).chain(state.above(account));
    line.all(|account| account.status == AccountStatus::Active)
}

/// What the program adds to a conversion: by its schedule, where that says so, or else by itself. Of what is not converted
/// nothing is looked up.
fn mark_up(
    registry: &RegistryView,
    program: &Program,
    account: &Account,
    authorize: &Authorize,
) -> MarkUp {
    let by_program = MarkUp::of_program(program.foreign_exchange_mark_up_basis_points);
    let stated = authorize.amounts.transaction.currency;
    if program.fees.is_none() || [Currency::ABSENT, account.currency].contains(&stated) {
        return by_program;
    }
    let of_program = schedule::of_program(registry, program.id);
    let by_schedule = of_program.and_then(|(_, schedule)| schedule.mark_up());
    by_schedule.unwrap_or(by_program)
}

/// A request in an account's currency.
pub(super) struct Funds {
    /// Absent where it cannot be said.
    asked: Option<Converted>,
    /// What may be approved where it is not all.
    part: Option<Part>,
}

impl Funds {
    pub fn of(
        registry: &RegistryView,
        program: &Program,
        account: &Account,
        authorize: &Authorize,
        treatment: Option<&Treatment>,
    ) -> Funds {
        let terms = Terms {
            account_currency: account.currency,
            rates: &registry.rates,
            mark_up: mark_up(registry, program, account, authorize),
            // A kind that is not decided is looked at as if it took money, for the trace.
            direction: treatment.map_or(Direction::Debit, |treatment| treatment.direction),
        };
        let asked = convert(&authorize.amounts, &terms);
        let in_part = authorize.partial_approval_supported
            && treatment.is_some_and(|treatment| treatment.in_part);
        let part = asked.as_ref().filter(|_| in_part).and_then(|asked| {
            partial::part(&authorize.amounts, asked, account.available_minor(), &terms)
        });
        Funds { asked, part }
    }

    /// All that is asked.
    pub fn asked_minor(&self) -> Option<i64> {
        self.asked.as_ref().map(|asked| asked.amount_minor)
    }

    /// What may be approved: all of it, or what there is.
    pub fn approvable_minor(&self) -> Option<i64> {
        match &self.part {
            Some(part) => Some(part.converted.amount_minor),
            None => self.asked_minor(),
        }
    }

    /// The part in the transaction's currency; `None` where it is all.
    pub fn part(&self) -> Option<Money> {
        self.part.as_ref().map(|part| part.approved)
    }

    pub fn into_asked(self) -> Option<Converted> {
        self.asked
    }

    /// Of what may be approved.
    pub fn into_conversion(self) -> Option<Box<Conversion>> {
        match self.part {
            Some(part) => part.converted.conversion,
            None => self.asked?.conversion,
        }
    }
}

//! Fee schedules: for what a program charges, and how much. A schedule is changed as a whole, and each change is a version
//! of its own, which every charge names. The registry keeps them.

use super::price::{FeeParts, Price, PriceError};
use crate::engine::conversion::{BASIS_POINTS, MarkUp};
use crate::engine::ids::{FeeScheduleId, ProgramId};
use crate::engine::money::Currency;
use crate::engine::programs::Program;
use crate::engine::registry::{RegistryEvent, RegistryOutcome, RegistryRefusal, RegistryView};
use crate::engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Each change copies the table of them.
pub const FEE_SCHEDULES_MAX: usize = 1_000;

macro_rules! fee_kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// For what a fee is charged.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum FeeKind { $($(#[$doc])* $name,)* }

        impl FeeKind {
            pub const ALL: &'static [(FeeKind, &'static str)] = &[$((FeeKind::$name, $text),)*];

            pub fn name(self) -> &'static str {
                match self { $(FeeKind::$name => $text,)* }
            }

            pub fn from_name(name: &str) -> Option<FeeKind> {
                match name { $($text => Some(FeeKind::$name),)* _ => None }
            }
        }
    };
}

fee_kinds! {
    /// A root account is opened.
    SetUp = "set_up",
    IssueVirtual = "issue_virtual",
    IssuePhysical = "issue_physical",
    /// A card is active in a calendar month.
    Monthly = "monthly",
    /// Money arrives.
    TopUp = "top_up",
    /// A payment is converted.
    ForeignExchange = "foreign_exchange",
    /// A payment is declined.
    Decline = "decline",
}

impl FeeKind {
    /// Whether there is an amount that it may be a share of.
    pub fn has_basis(self) -> bool {
        matches!(self, FeeKind::TopUp | FeeKind::ForeignExchange)
    }
}

/// What is charged for one kind: ours, and what the reseller adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeItem {
    pub kind: FeeKind,
    pub fee: Price,
    pub reseller_mark_up: Price,
}

/// A schedule at one of its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ScheduleVersion {
    pub id: FeeScheduleId,
    pub version: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeSchedule {
    pub id: FeeScheduleId,
    /// From 1 on.
    pub version: u32,
    pub name: Box<str>,
    /// Of its amounts.
    pub currency: Currency,
    /// In which months begin.
    pub time_zone: Box<str>,
    /// Each kind once at the most.
    pub items: Vec<FeeItem>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Since when it has a monthly fee without a break.
    pub monthly_since: Option<Timestamp>,
    /// Of one card in one day of `time_zone`; as many as there are where none is stated.
    pub decline_fees_per_card_per_day_max: Option<u16>,
}

impl FeeSchedule {
    pub fn at_version(&self) -> ScheduleVersion {
        ScheduleVersion {
            id: self.id,
            version: self.version,
        }
    }

    /// Whether another decline of a card is charged that was charged for so many in its day.
    pub fn charges_decline(&self, charged_today: u16) -> bool {
        let max = self.decline_fees_per_card_per_day_max;
        max.is_none_or(|max| charged_today < max)
    }

    pub fn item(&self, kind: FeeKind) -> Option<&FeeItem> {
        self.items.iter().find(|item| item.kind == kind)
    }

    /// What it adds to conversions, if it does.
    pub fn mark_up(&self) -> Option<MarkUp> {
        let item = self.item(FeeKind::ForeignExchange)?;
        let reseller = item.reseller_mark_up.basis_points;
        Some(MarkUp {
            // No more than 10,000 together, which was checked.
            basis_points: item.fee.basis_points.saturating_add(reseller),
            fee: Some((self.at_version(), reseller)),
        })
    }

    /// What is charged to an account of this currency. Nothing where the schedule has no such fee, and where it has amounts
    /// that are in another currency.
    pub fn parts(&self, kind: FeeKind, currency: Currency, basis_minor: i64) -> FeeParts {
        if kind == FeeKind::ForeignExchange {
            return self.parts_of_conversion(basis_minor);
        }
        let is_same = currency == self.currency;
        let fits = |price: &Price| is_same || price.is_share_alone();
        let item = self.item(kind);
        let item = item.filter(|item| fits(&item.fee) && fits(&item.reseller_mark_up));
        item.map_or_else(FeeParts::default, |item| FeeParts {
            fee_minor: item.fee.of(basis_minor),
            reseller_mark_up_minor: item.reseller_mark_up.of(basis_minor),
        })
    }

    /// As conversions have it, which charge it (see `conversion.rs`).
    fn parts_of_conversion(&self, basis_minor: i64) -> FeeParts {
        let on = self.mark_up().and_then(|mark_up| mark_up.on(basis_minor));
        on.map_or_else(FeeParts::default, |(all, reseller)| FeeParts {
            fee_minor: all - reseller,
            reseller_mark_up_minor: reseller,
        })
    }
}

/// Creates a schedule, or changes it as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutFeeSchedule {
    pub id: FeeScheduleId,
    pub name: Box<str>,
    pub currency: Currency,
    pub time_zone: Box<str>,
    pub items: Vec<FeeItem>,
    pub decline_fees_per_card_per_day_max: Option<u16>,
}

impl PutFeeSchedule {
    pub fn check(&self) -> Result<(), FeeItemError> {
        for (place, item) in self.items.iter().enumerate() {
            let kind = item.kind;
            for price in [&item.fee, &item.reseller_mark_up] {
                let checked = price.check(kind);
                checked.map_err(|error| FeeItemError::Price(kind, error))?;
            }
            let share = item.fee.basis_points + item.reseller_mark_up.basis_points;
            if kind == FeeKind::ForeignExchange && share > BASIS_POINTS {
                let error = PriceError::TooManyBasisPoints;
                return Err(FeeItemError::Price(kind, error));
            }
            if self.items[..place].iter().any(|before| before.kind == kind) {
                return Err(FeeItemError::Twice(kind));
            }
        }
        Ok(())
    }

    fn is_same_as(&self, known: &FeeSchedule) -> bool {
        let names = (&self.name, &self.time_zone, self.currency);
        let max = self.decline_fees_per_card_per_day_max;
        names == (&known.name, &known.time_zone, known.currency)
            && self.items == known.items
            && max == known.decline_fees_per_card_per_day_max
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeeItemError {
    #[error("{kind}: {error}", kind = .0.name(), error = .1)]
    Price(FeeKind, PriceError),
    #[error("{} stands twice in the schedule; name it once", .0.name())]
    Twice(FeeKind),
}

/// Why a schedule, or a program's use of one, is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeesRefusal {
    #[error(transparent)]
    Item(FeeItemError),
    #[error("fee schedule {0} does not exist")]
    ScheduleNotFound(FeeScheduleId),
    #[error("there may be {FEE_SCHEDULES_MAX} fee schedules, and there are; change one")]
    TooManySchedules,
    #[error("the currency of a fee schedule stays what it is; create another schedule")]
    CurrencyChanged,
    #[error("fee schedule {0} is in another currency than the program")]
    OtherCurrency(FeeScheduleId),
    #[error(
        "program {0} has foreign_exchange_mark_up_basis_points of its own, and its fee schedule foreign_exchange: only one of the two can be"
    )]
    MarkUpTwice(ProgramId),
}

/// Of a program: by which schedule it charges, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramFees {
    pub fee_schedule_id: FeeScheduleId,
    pub since: Timestamp,
}

/// All schedules. A change puts another table in the place of this one.
pub type FeeSchedules = Arc<BTreeMap<FeeScheduleId, Arc<FeeSchedule>>>;

/// The schedule of a program, if it has one.
pub fn of_program(view: &RegistryView, program_id: ProgramId) -> Option<(&Program, &FeeSchedule)> {
    let program = view.programs.get(&program_id)?;
    let fees = program.fees?;
    let schedule = view.fee_schedules.get(&fees.fee_schedule_id)?;
    Some((program, schedule))
}

pub(in crate::engine) fn decide_put(view: &RegistryView, put: &PutFeeSchedule) -> RegistryOutcome {
    let refused = |refusal| RegistryOutcome::Refused(RegistryRefusal::Fees(refusal));
    if let Err(error) = put.check() {
        return refused(FeesRefusal::Item(error));
    }
    let known = view.fee_schedules.get(&put.id);
    let schedule_version = match known {
        None if view.fee_schedules.len() >= FEE_SCHEDULES_MAX => {
            return refused(FeesRefusal::TooManySchedules);
        }
        None => 1,
        Some(known) if put.is_same_as(known) => return RegistryOutcome::AlreadyDone,
        Some(known) if put.currency != known.currency => {
            return refused(FeesRefusal::CurrencyChanged);
        }
        Some(known) => known.version + 1,
    };
    let is_of_items = |item: &FeeItem| item.kind == FeeKind::ForeignExchange;
    let mut programs = view.programs_in_order().into_iter();
    let both = programs.find(|program| {
        let fees = program.fees.map(|fees| fees.fee_schedule_id);
        fees == Some(put.id) && program.foreign_exchange_mark_up_basis_points > 0
    });
    match both.filter(|_| put.items.iter().any(is_of_items)) {
        Some(program) => refused(FeesRefusal::MarkUpTwice(program.id)),
        None => RegistryOutcome::Event(RegistryEvent::FeeSchedulePut {
            version: view.version + 1,
            schedule_version,
        }),
    }
}

/// Whether a program may have the schedule that it names.
pub(in crate::engine) fn refusal_of_program(
    view: &RegistryView,
    program: &Program,
) -> Option<FeesRefusal> {
    let id = program.fees?.fee_schedule_id;
    let Some(schedule) = view.fee_schedules.get(&id) else {
        return Some(FeesRefusal::ScheduleNotFound(id));
    };
    if schedule.currency != program.currency {
        return Some(FeesRefusal::OtherCurrency(id));
    }
    let has_item = schedule.item(FeeKind::ForeignExchange).is_some();
    let has_both = has_item && program.foreign_exchange_mark_up_basis_points > 0;
    has_both.then_some(FeesRefusal::MarkUpTwice(program.id))
}

/// Puts one, new or restored, in its place, in a table of its own.
pub(in crate::engine) fn insert(schedules: &mut FeeSchedules, schedule: FeeSchedule) {
    Arc::make_mut(schedules).insert(schedule.id, Arc::new(schedule));
}

pub(in crate::engine) fn apply_put(
    schedules: &mut FeeSchedules,
    at: Timestamp,
    put: &PutFeeSchedule,
    version: u32,
) {
    let known = schedules.get(&put.id);
    let is_monthly = put.items.iter().any(|item| item.kind == FeeKind::Monthly);
    let before = known.and_then(|known| known.monthly_since);
    let schedule = FeeSchedule {
        id: put.id,
        version,
        name: put.name.clone(),
        currency: put.currency,
        time_zone: put.time_zone.clone(),
        items: put.items.clone(),
        created_at: known.map_or(at, |known| known.created_at),
        updated_at: at,
        monthly_since: is_monthly.then(|| before.unwrap_or(at)),
        decline_fees_per_card_per_day_max: put.decline_fees_per_card_per_day_max,
    };
    insert(schedules, schedule);
}

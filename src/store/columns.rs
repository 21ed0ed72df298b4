//! How a value of the domain becomes a column and comes back, whatever the database. Which columns
//! a table has does not live here (see `rows.rs`).

use crate::engine::command::{CallOutcome, CardType};
use crate::engine::conversion::RateSource;
use crate::engine::event::{ApprovalCode, Flags, RuleId};
use crate::engine::facts::{Channel, Country, EntryMode, Kind};
use crate::engine::fees::schedule::FeeKind;
use crate::engine::ids::{
    AccountId, AuditId, AuthorizationId, CardId, CardholderId, ControlId, DeliveryId, EventId,
    ExceptionId, FeeId, FeeScheduleId, LimitId, LinkId, ProgramId, ReversalId, RiskRuleId, TokenId,
    TopUpId, TransactionId, TransferId, WebhookEndpointId,
};
use crate::engine::money::Currency;
use crate::engine::programs::ProgramStatus;
use crate::engine::rates::Rate;
use crate::engine::reason::DeclineReason;
use crate::engine::shipping::ShippingStatus;
use crate::engine::state::{AccountStatus, CardStatus};
use crate::engine::time::Timestamp;
use crate::engine::tokens::TokenStatus;
use crate::engine::top_ups::TopUpStatus;
use crate::engine::trace::{Step, Trace};
use crate::engine::transfers::{ReturnReason, TransferStatus};
use arrayvec::ArrayString;

/// Takes the columns of a row, in order.
pub(super) trait Sink {
    fn null(&mut self);
    fn int(&mut self, value: i64);
    fn text(&mut self, value: &str);
    fn bytes(&mut self, value: &[u8]);
}

/// A row as a database gives it, columns by their place.
pub(super) trait Source {
    fn is_null(&self, at: usize) -> Result<bool, sqlx::Error>;
    fn int(&self, at: usize) -> Result<i64, sqlx::Error>;
    fn text(&self, at: usize) -> Result<&str, sqlx::Error>;
    fn bytes(&self, at: usize) -> Result<&[u8], sqlx::Error>;
}

/// A type that one column holds.
pub(super) trait Column: Sized {
    fn put(&self, sink: &mut impl Sink);
    fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error>;
}

/// One row of one table.
pub(super) trait TableRow: Sized {
    const TABLE: &'static str;
    const COLUMNS: &'static [&'static str];

    fn put(&self, sink: &mut impl Sink);

    /// From the columns that begin at `at`.
    fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error>;

    /// The columns for a SELECT.
    fn select() -> String {
        Self::COLUMNS.join(", ")
    }
}

pub(super) fn unreadable(at: usize, text: &str) -> sqlx::Error {
    let shown: String = text.chars().take(40).collect();
    sqlx::Error::ColumnDecode {
        index: at.to_string(),
        source: format!("`{shown}` is not a value of this column").into(),
    }
}

impl<T: Column> Column for Option<T> {
    fn put(&self, sink: &mut impl Sink) {
        match self {
            None => sink.null(),
            Some(value) => value.put(sink),
        }
    }

    fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error> {
        if source.is_null(at)? {
            return Ok(None);
        }
        T::take(source, at).map(Some)
    }
}

macro_rules! int_columns {
    ($($type:ty),*) => {$(
        impl Column for $type {
            fn put(&self, sink: &mut impl Sink) {
                // Journal sequences and registry versions stay far below 2^63.
                sink.int(*self as i64);
            }

            fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error> {
                let value = source.int(at)?;
                <$type>::try_from(value).map_err(|_| unreadable(at, &value.to_string()))
            }
        }
    )*};
}

int_columns!(i64, u64, u32, u16, u8);

impl Column for bool {
    fn put(&self, sink: &mut impl Sink) {
        sink.int(i64::from(*self));
    }

    fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error> {
        source.int(at).map(|value| value != 0)
    }
}

impl Column for Timestamp {
    fn put(&self, sink: &mut impl Sink) {
        sink.int(self.0);
    }

    fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error> {
        source.int(at).map(Timestamp)
    }
}

impl Column for String {
    fn put(&self, sink: &mut impl Sink) {
        sink.text(self);
    }

    fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error> {
        source.text(at).map(str::to_owned)
    }
}

impl<const N: usize> Column for ArrayString<N> {
    fn put(&self, sink: &mut impl Sink) {
        sink.text(self);
    }

    fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error> {
        let text = source.text(at)?;
        ArrayString::from(text).map_err(|_| unreadable(at, text))
    }
}

impl Column for Trace {
    fn put(&self, sink: &mut impl Sink) {
        sink.bytes(self.as_bytes());
    }

    fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error> {
        source.bytes(at).map(Trace::from_bytes)
    }
}

impl Column for ApprovalCode {
    fn put(&self, sink: &mut impl Sink) {
        sink.text(self.as_str());
    }

    fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error> {
        let text = source.text(at)?;
        let bytes = text.as_bytes().try_into();
        bytes.map(ApprovalCode).map_err(|_| unreadable(at, text))
    }
}

impl Column for Currency {
    fn put(&self, sink: &mut impl Sink) {
        sink.text(self.alpha());
    }

    fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error> {
        // `XXX` is what a number without a name prints as.
        Ok(Currency::from_alpha(source.text(at)?).unwrap_or_default())
    }
}

impl Column for Rate {
    fn put(&self, sink: &mut impl Sink) {
        sink.text(&self.to_string());
    }

    fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error> {
        let text = source.text(at)?;
        Rate::kept(text).ok_or_else(|| unreadable(at, text))
    }
}

impl Column for Country {
    fn put(&self, sink: &mut impl Sink) {
        sink.text(self.alpha2());
    }

    fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error> {
        Ok(Country::from_alpha2(source.text(at)?).unwrap_or(Country::UNKNOWN))
    }
}

impl Column for RuleId {
    fn put(&self, sink: &mut impl Sink) {
        match self {
            RuleId::Limit(id) => sink.text(&id.to_string()),
            RuleId::Control(id) => sink.text(&id.to_string()),
            RuleId::RiskRule(id) => sink.text(&id.to_string()),
        }
    }

    fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error> {
        let text = source.text(at)?;
        let limit = text.parse::<LimitId>().map(RuleId::Limit);
        limit
            .or_else(|_| text.parse::<ControlId>().map(RuleId::Control))
            .or_else(|_| text.parse::<RiskRuleId>().map(RuleId::RiskRule))
            .map_err(|_| unreadable(at, text))
    }
}

/// Names with commas between them.
impl Column for Flags {
    fn put(&self, sink: &mut impl Sink) {
        let names: Vec<&str> = self.names().collect();
        sink.text(&names.join(","));
    }

    fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error> {
        let text = source.text(at)?;
        let mut flags = Flags::default();
        for name in text.split(',').filter(|name| !name.is_empty()) {
            let known = Flags::ALL.iter().find(|(_, known)| *known == name);
            let (flag, _) = known.ok_or_else(|| unreadable(at, text))?;
            flags.raise(*flag, true);
        }
        Ok(flags)
    }
}

macro_rules! id_columns {
    ($($type:ty),*) => {$(
        impl Column for $type {
            fn put(&self, sink: &mut impl Sink) {
                sink.text(&self.to_string());
            }

            fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error> {
                let text = source.text(at)?;
                text.parse().map_err(|_| unreadable(at, text))
            }
        }
    )*};
}

id_columns!(
    AccountId,
    AuditId,
    AuthorizationId,
    CardId,
    CardholderId,
    ExceptionId,
    DeliveryId,
    EventId,
    LinkId,
    ProgramId,
    ReversalId,
    TokenId,
    TopUpId,
    TransactionId,
    WebhookEndpointId,
    TransferId,
    FeeId,
    FeeScheduleId
);

/// Types that are stored by their public name: how to write it and how to find it again.
macro_rules! named_columns {
    ($($type:ty: $name:expr, $from_name:expr;)*) => {$(
        impl $crate::store::columns::Column for $type {
            fn put(&self, sink: &mut impl $crate::store::columns::Sink) {
                let name: fn($type) -> &'static str = $name;
                sink.text(name(*self));
            }

            fn take(source: &dyn $crate::store::columns::Source, at: usize) -> Result<Self, sqlx::Error> {
                let from_name: fn(&str) -> Option<$type> = $from_name;
                let text = source.text(at)?;
                from_name(text).ok_or_else(|| $crate::store::columns::unreadable(at, text))
            }
        }
    )*};
}
pub(super) use named_columns;

named_columns! {
    Kind: Kind::name, Kind::from_name;
    EntryMode: EntryMode::name, EntryMode::from_name;
    Channel: Channel::name, Channel::from_name;
    DeclineReason: DeclineReason::name, DeclineReason::from_name;
    TopUpStatus: TopUpStatus::name, |text| {
        let mut all = TopUpStatus::ALL.iter();
        all.find(|(_, name)| *name == text).map(|(status, _)| *status)
    };
    FeeKind: FeeKind::name, FeeKind::from_name;
    ShippingStatus: ShippingStatus::name, ShippingStatus::from_name;
    TokenStatus: TokenStatus::name, TokenStatus::from_name;
    TransferStatus: TransferStatus::name, TransferStatus::from_name;
    ReturnReason: ReturnReason::name, ReturnReason::from_name;
    RateSource: RateSource::name, RateSource::from_name;
    CallOutcome: CallOutcome::name, |text| {
        CallOutcome::ALL.iter().copied().find(|outcome| outcome.name() == text)
    };
    Step: Step::name, |text| Step::ALL.iter().copied().find(|step| step.name() == text);
    AccountStatus: AccountStatus::name, |text| {
        let all = [AccountStatus::Active, AccountStatus::Frozen, AccountStatus::Closed];
        all.into_iter().find(|status| status.name() == text)
    };
    ProgramStatus: ProgramStatus::name, |text| {
        let all = [ProgramStatus::Active, ProgramStatus::Suspended];
        all.into_iter().find(|status| status.name() == text)
    };
    CardStatus: CardStatus::name, |text| {
        let all = [
            CardStatus::Active,
            CardStatus::Inactive,
            CardStatus::Frozen,
            CardStatus::Blocked,
            CardStatus::Closed,
        ];
        all.into_iter().find(|status| status.name() == text)
    };
    CardType: card_type_name, |text| {
        let all = [CardType::Virtual, CardType::Physical];
        all.into_iter().find(|card_type| card_type_name(*card_type) == text)
    };
}

pub(super) fn card_type_name(card_type: CardType) -> &'static str {
    match card_type {
        CardType::Virtual => "virtual",
        CardType::Physical => "physical",
    }
}

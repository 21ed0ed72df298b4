//! Every reason for a no, in the order in which checks run. Which response code a network gets
//! for a reason does not live here: that is in its dialect file.

use serde::{Deserialize, Serialize};

macro_rules! decline_reasons {
    ($($name:ident = $text:literal,)*) => {
        /// Why a message was declined. Open: later versions add reasons, each in its step's group.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DeclineReason { $($name,)* }

        impl DeclineReason {
            pub const ALL: &'static [DeclineReason] = &[$(DeclineReason::$name,)*];

            /// The public name, snake_case.
            pub fn name(self) -> &'static str {
                match self { $(DeclineReason::$name => $text,)* }
            }
        }
    };
}

decline_reasons! {
    FormatError = "format_error",
    InvalidTransaction = "invalid_transaction",
    InvalidAmount = "invalid_amount",
    InvalidMerchant = "invalid_merchant",
    TerminalNotPermitted = "terminal_not_permitted",
    UnsupportedFunction = "unsupported_function",
    DuplicateTransmission = "duplicate_transmission",
    ReversedBeforeOriginal = "reversed_before_original",
    OriginalNotFound = "original_not_found",
    CardNotFound = "card_not_found",
    UnknownBin = "unknown_bin",
    CardExpired = "card_expired",
    CardNotActivated = "card_not_activated",
    CardFrozen = "card_frozen",
    CardBlocked = "card_blocked",
    CardLost = "card_lost",
    CardStolen = "card_stolen",
    CardClosed = "card_closed",
    CardUsed = "card_used",
    TokenNotFound = "token_not_found",
    TokenMismatch = "token_mismatch",
    TokenNotActive = "token_not_active",
    TokenSuspended = "token_suspended",
    TokenExpired = "token_expired",
    AccountFrozen = "account_frozen",
    AccountClosed = "account_closed",
    ProgramSuspended = "program_suspended",
    CardholderUnverified = "cardholder_unverified",
    VerificationTriesExceeded = "verification_tries_exceeded",
    ExpiryMismatch = "expiry_mismatch",
    CvvMismatch = "cvv_mismatch",
    CryptogramInvalid = "cryptogram_invalid",
    PinIncorrect = "pin_incorrect",
    PinTriesExceeded = "pin_tries_exceeded",
    PinRequired = "pin_required",
    AvsMismatch = "avs_mismatch",
    SecurityViolation = "security_violation",
    InsufficientFunds = "insufficient_funds",
    FundingSourceUnavailable = "funding_source_unavailable",
    PerTransactionLimitExceeded = "per_transaction_limit_exceeded",
    DailyLimitExceeded = "daily_limit_exceeded",
    WeeklyLimitExceeded = "weekly_limit_exceeded",
    MonthlyLimitExceeded = "monthly_limit_exceeded",
    YearlyLimitExceeded = "yearly_limit_exceeded",
    LifetimeLimitExceeded = "lifetime_limit_exceeded",
    RollingLimitExceeded = "rolling_limit_exceeded",
    VelocityCountExceeded = "velocity_count_exceeded",
    CashLimitExceeded = "cash_limit_exceeded",
    MccBlocked = "mcc_blocked",
    MccNotAllowed = "mcc_not_allowed",
    CountryBlocked = "country_blocked",
    CountryNotAllowed = "country_not_allowed",
    CurrencyBlocked = "currency_blocked",
    CurrencyNotAllowed = "currency_not_allowed",
    ExchangeRateMissing = "exchange_rate_missing",
    MerchantBlocked = "merchant_blocked",
    MerchantNotAllowed = "merchant_not_allowed",
    MerchantLockMismatch = "merchant_lock_mismatch",
    EntryModeBlocked = "entry_mode_blocked",
    ChannelBlocked = "channel_blocked",
    OutsideTimeWindow = "outside_time_window",
    SuspectedFraud = "suspected_fraud",
    RuleDeclined = "rule_declined",
    SanctionsBlocked = "sanctions_blocked",
    ThreeDsFailed = "three_ds_failed",
    ThreeDsRequired = "three_ds_required",
    CavvInvalid = "cavv_invalid",
    DynamicLinkingMismatch = "dynamic_linking_mismatch",
    DecisionDeclined = "decision_declined",
    DecisionTimeout = "decision_timeout",
    DecisionInvalidResponse = "decision_invalid_response",
    StandInDeclined = "stand_in_declined",
    InternalError = "internal_error",
    Overloaded = "overloaded",
    AnswerTooLate = "answer_too_late",
    CapacityExceeded = "capacity_exceeded",
}

impl DeclineReason {
    pub fn from_name(name: &str) -> Option<DeclineReason> {
        DeclineReason::ALL
            .iter()
            .copied()
            .find(|reason| reason.name() == name)
    }
}

// The journal stores the name, not the place in the list, so that a reason may be added anywhere.
impl Serialize for DeclineReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.name().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DeclineReason {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <&str>::deserialize(deserializer)?;
        let unknown = || serde::de::Error::custom(format!("unknown decline reason `{name}`"));
        DeclineReason::from_name(name).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_name() {
        for reason in DeclineReason::ALL {
            assert_eq!(DeclineReason::from_name(reason.name()), Some(*reason));
        }
    }
}

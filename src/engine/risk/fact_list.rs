//! The facts that a rule may name, each with its type. `docs/risk-rules.md` has the same list with what
//! each means, and a test holds the two together. Where their values come from does not live here.

/// What an expression, or a part of one, comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Number,
    Text,
    Truth,
}

impl Type {
    /// As CEL calls it.
    pub fn name(self) -> &'static str {
        match self {
            Type::Number => "int",
            Type::Text => "string",
            Type::Truth => "bool",
        }
    }
}

macro_rules! facts {
    ($enum:ident: $($name:ident = $text:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $enum { $($name,)* }

        impl $enum {
            pub const ALL: &'static [$enum] = &[$($enum::$name,)*];

            pub fn name(self) -> &'static str {
                match self { $($enum::$name => $text,)* }
            }
        }
    };
}

facts! { NumberFact:
    Amount = "amount",
    TransactionAmount = "transaction_amount",
    Available = "available",
    Posted = "posted",
    Held = "held",
    OpenHolds = "open_holds",
    CardAgeSeconds = "card_age_seconds",
    AccountAgeSeconds = "account_age_seconds",
    HourUtc = "hour_utc",
    SecondsSinceLastApproval = "seconds_since_last_approval",
    ApprovalsLastHour = "approvals_last_hour",
    ApprovalsLastDay = "approvals_last_day",
    ApprovedAmountLastHour = "approved_amount_last_hour",
    ApprovedAmountLastDay = "approved_amount_last_day",
    DeclinesLastHour = "declines_last_hour",
    DeclinesLastDay = "declines_last_day",
}

facts! { TextFact:
    AccountCurrency = "account_currency",
    AcquirerId = "acquirer_id",
    CardType = "card_type",
    Channel = "channel",
    Country = "country",
    Cryptogram = "cryptogram",
    Currency = "currency",
    Cvv = "cvv",
    EntryMode = "entry_mode",
    HomeCountry = "home_country",
    Kind = "kind",
    Mcc = "mcc",
    MerchantCity = "merchant_city",
    MerchantId = "merchant_id",
    MerchantName = "merchant_name",
    Network = "network",
    Pin = "pin",
    TerminalId = "terminal_id",
    WeekdayUtc = "weekday_utc",
}

facts! { TruthFact:
    CountryIsAcquirers = "country_is_acquirers",
    FirstUseOfMerchant = "first_use_of_merchant",
    FirstUseOfMcc = "first_use_of_mcc",
    PartialApprovalSupported = "partial_approval_supported",
}

/// A fact by its name in an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    Number(NumberFact),
    Text(TextFact),
    Truth(TruthFact),
}

impl Fact {
    pub fn all() -> impl Iterator<Item = Fact> {
        let numbers = NumberFact::ALL.iter().copied().map(Fact::Number);
        let texts = TextFact::ALL.iter().copied().map(Fact::Text);
        let truths = TruthFact::ALL.iter().copied().map(Fact::Truth);
        numbers.chain(texts).chain(truths)
    }

    pub fn from_name(name: &str) -> Option<Fact> {
        Fact::all().find(|fact| fact.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Fact::Number(fact) => fact.name(),
            Fact::Text(fact) => fact.name(),
            Fact::Truth(fact) => fact.name(),
        }
    }

    /// Whether it takes a card's history, which is kept only where a rule asks for it.
    pub fn is_of_history(self) -> bool {
        match self {
            Fact::Number(fact) => matches!(
                fact,
                NumberFact::SecondsSinceLastApproval
                    | NumberFact::ApprovalsLastHour
                    | NumberFact::ApprovalsLastDay
                    | NumberFact::ApprovedAmountLastHour
                    | NumberFact::ApprovedAmountLastDay
                    | NumberFact::DeclinesLastHour
                    | NumberFact::DeclinesLastDay
            ),
            Fact::Text(_) => false,
            Fact::Truth(fact) => {
                matches!(
                    fact,
                    TruthFact::FirstUseOfMerchant | TruthFact::FirstUseOfMcc
                )
            }
        }
    }

    pub fn type_of(self) -> Type {
        match self {
            Fact::Number(_) => Type::Number,
            Fact::Text(_) => Type::Text,
            Fact::Truth(_) => Type::Truth,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_these_facts_and_no_others() {
        let text = include_str!("../../../docs/risk-rules.md");
        let rows = text.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let (name, type_name, meaning) = (cells.next()?, cells.next()?, cells.next()?);
            Some((
                name.trim_matches('`'),
                type_name,
                meaning.starts_with("*history*"),
            ))
        });
        let of_facts =
            rows.filter(|(_, type_name, _)| ["int", "string", "bool"].contains(type_name));
        let own =
            Fact::all().map(|fact| (fact.name(), fact.type_of().name(), fact.is_of_history()));
        assert_eq!(of_facts.collect::<Vec<_>>(), own.collect::<Vec<_>>());
    }
}

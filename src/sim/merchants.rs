//! Invented merchants, countries and currencies for believable traffic. Codes are those of ISO 18245
//! (MCC), ISO 3166-1 and ISO 4217.

/// How a merchant takes cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Over the internet.
    Ecommerce,
    /// At a counter.
    Pos,
    /// At a cash machine.
    Atm,
}

/// One merchant.
#[derive(Clone, Copy, Debug)]
pub struct Merchant {
    /// As on the statement, at most 22 characters.
    pub name: &'static str,
    /// ISO 18245.
    pub mcc: u16,
    /// At most 13 characters.
    pub city: &'static str,
    /// ISO 3166-1 alpha-2, one of [`COUNTRIES`].
    pub country: &'static str,
    /// ISO 4217, one of [`CURRENCIES`].
    pub currency: &'static str,
    /// Typical amounts in hundredths of a US dollar, or of whatever the card is billed in.
    pub amount: (u64, u64),
    /// Where the card is.
    pub channel: Channel,
}

/// ISO 4217 currency.
#[derive(Clone, Copy, Debug)]
pub struct Currency {
    /// Alphabetic code.
    pub code: &'static str,
    /// Numeric code.
    pub number: &'static str,
    /// Decimal places.
    pub exponent: u8,
    /// Made-up rate: units of this currency for one US dollar, times 10,000.
    pub per_dollar_e4: u64,
}

/// The currencies that the simulator speaks.
pub const CURRENCIES: &[Currency] = &[
    currency("USD", "840", 2, 10_000),
    currency("EUR", "978", 2, 9_200),
    currency("GBP", "826", 2, 7_900),
    currency("JPY", "392", 0, 1_500_000),
    currency("BRL", "986", 2, 54_000),
    currency("INR", "356", 2, 840_000),
    currency("SGD", "702", 2, 13_400),
    currency("CHF", "756", 2, 8_800),
    currency("AUD", "036", 2, 15_200),
    currency("CAD", "124", 2, 13_700),
    currency("MXN", "484", 2, 190_000),
    currency("PLN", "985", 2, 39_500),
    currency("AED", "784", 2, 36_700),
    currency("KWD", "414", 3, 3_070),
];

const fn currency(
    code: &'static str,
    number: &'static str,
    exponent: u8,
    per_dollar_e4: u64,
) -> Currency {
    Currency {
        code,
        number,
        exponent,
        per_dollar_e4,
    }
}

/// ISO 3166-1 alpha-2 and numeric.
pub const COUNTRIES: &[(&str, &str)] = &[
    ("US", "840"),
    ("GB", "826"),
    ("IE", "372"),
    ("DE", "276"),
    ("FR", "250"),
    ("ES", "724"),
    ("NL", "528"),
    ("CH", "756"),
    ("PL", "616"),
    ("SG", "702"),
    ("JP", "392"),
    ("IN", "356"),
    ("AU", "036"),
    ("CA", "124"),
    ("MX", "484"),
    ("BR", "076"),
    ("AE", "784"),
    ("KW", "414"),
    ("MT", "470"),
    ("IT", "380"),
];

/// The merchants.
#[rustfmt::skip]
pub const MERCHANTS: &[Merchant] = &[
    shop("ADHARBOR MEDIA", 7311, "DUBLIN", "IE", "EUR", (2_000, 90_000), Channel::Ecommerce),
    shop("CLICKLANTERN ADS", 7311, "MENLO PARK", "US", "USD", (2_500, 75_000), Channel::Ecommerce),
    shop("BIDFALCON DSP", 7311, "NEW YORK", "US", "USD", (5_000, 120_000), Channel::Ecommerce),
    shop("SOCIALORCHARD ADS", 7311, "SINGAPORE", "SG", "USD", (1_000, 60_000), Channel::Ecommerce),
    shop("VIDEOREEF CAMPAIGNS", 7311, "LONDON", "GB", "GBP", (3_000, 50_000), Channel::Ecommerce),
    shop("PIXELMOOSE NETWORK", 7311, "TORONTO", "CA", "CAD", (1_500, 30_000), Channel::Ecommerce),
    shop("SEARCHKITE CREDITS", 7311, "BERLIN", "DE", "EUR", (1_000, 40_000), Channel::Ecommerce),
    shop("AFFILIMARE", 7311, "MADRID", "ES", "EUR", (500, 25_000), Channel::Ecommerce),
    shop("CLOUDWICK HOSTING", 4816, "SEATTLE", "US", "USD", (500, 45_000), Channel::Ecommerce),
    shop("NORTHRACK SERVERS", 4816, "AMSTERDAM", "NL", "EUR", (900, 30_000), Channel::Ecommerce),
    shop("MAILFERRY", 5734, "AUSTIN", "US", "USD", (900, 9_900), Channel::Ecommerce),
    shop("BOARDSMITH SAAS", 5734, "SYDNEY", "AU", "AUD", (700, 14_000), Channel::Ecommerce),
    shop("DESIGNTANK PRO", 5734, "SAN JOSE", "US", "USD", (1_500, 8_000), Channel::Ecommerce),
    shop("CODENEST TEAMS", 5734, "ZURICH", "CH", "CHF", (400, 20_000), Channel::Ecommerce),
    shop("LEDGERLEAF BOOKS", 5734, "MANCHESTER", "GB", "GBP", (1_200, 6_000), Channel::Ecommerce),
    shop("TRANSLATEFOX", 7399, "WARSAW", "PL", "PLN", (2_000, 18_000), Channel::Ecommerce),
    shop("PHONEBRIDGE VOIP", 4814, "DALLAS", "US", "USD", (300, 12_000), Channel::Ecommerce),
    shop("DOMAINDOCK", 4816, "PHOENIX", "US", "USD", (900, 4_000), Channel::Ecommerce),
    shop("STREAMCOVE", 4899, "LOS ANGELES", "US", "USD", (799, 2_299), Channel::Ecommerce),
    shop("TUNEPOND MUSIC", 5815, "PARIS", "FR", "EUR", (999, 1_699), Channel::Ecommerce),
    shop("QUESTFORGE GAMES", 5816, "TOKYO", "JP", "JPY", (200, 9_000), Channel::Ecommerce),
    shop("BOXVINE MARKET", 5999, "CHICAGO", "US", "USD", (800, 40_000), Channel::Ecommerce),
    shop("PAPERMILL OFFICE", 5943, "DENVER", "US", "USD", (600, 30_000), Channel::Ecommerce),
    shop("VOLTBARN ELECTRONICS", 5732, "MUNICH", "DE", "EUR", (1_900, 180_000), Channel::Ecommerce),
    shop("THREADLARK", 5651, "MILAN", "IT", "EUR", (1_500, 35_000), Channel::Ecommerce),
    shop("SOLESTAG SHOES", 5661, "LONDON", "GB", "GBP", (3_000, 22_000), Channel::Ecommerce),
    shop("GREENROW GROCERS", 5411, "PORTLAND", "US", "USD", (400, 22_000), Channel::Pos),
    shop("MERCADO DEL SOL", 5411, "MEXICO CITY", "MX", "MXN", (300, 15_000), Channel::Pos),
    shop("FRISCHHOF MARKT", 5411, "HAMBURG", "DE", "EUR", (300, 14_000), Channel::Pos),
    shop("LITTLE BASKET", 5411, "LEEDS", "GB", "GBP", (200, 9_000), Channel::Pos),
    shop("SPICEYARD FOODS", 5411, "MUMBAI", "IN", "INR", (200, 7_000), Channel::Pos),
    shop("CORNERSTONE BAKERY", 5462, "LYON", "FR", "EUR", (150, 2_500), Channel::Pos),
    shop("TIDEWATER COFFEE", 5814, "BOSTON", "US", "USD", (250, 1_800), Channel::Pos),
    shop("NOODLE HARBOUR", 5812, "SINGAPORE", "SG", "SGD", (700, 9_000), Channel::Pos),
    shop("OSTERIA DEL MOLO", 5812, "GENOA", "IT", "EUR", (1_800, 16_000), Channel::Pos),
    shop("BLUE ANVIL GRILL", 5812, "HOUSTON", "US", "USD", (1_500, 14_000), Channel::Pos),
    shop("QUAYSIDE TAPHOUSE", 5813, "DUBLIN", "IE", "EUR", (600, 8_000), Channel::Pos),
    shop("MAPLELINE FUEL", 5541, "CALGARY", "CA", "CAD", (2_000, 12_000), Channel::Pos),
    shop("HIGHWAY STAR FUEL", 5542, "TULSA", "US", "USD", (1_000, 15_000), Channel::Pos),
    shop("WOODBINE PHARMACY", 5912, "ATLANTA", "US", "USD", (300, 12_000), Channel::Pos),
    shop("HARTLEY HARDWARE", 5251, "BRISTOL", "GB", "GBP", (500, 40_000), Channel::Pos),
    shop("KINOWELT PALAST", 7832, "COLOGNE", "DE", "EUR", (900, 6_000), Channel::Pos),
    shop("IRONHOUSE FITNESS", 7997, "MIAMI", "US", "USD", (2_900, 12_000), Channel::Pos),
    shop("PEREGRINE AIRWAYS", 4511, "DALLAS", "US", "USD", (9_000, 180_000), Channel::Ecommerce),
    shop("ALBATROSS AIR", 4511, "DUBAI", "AE", "AED", (12_000, 250_000), Channel::Ecommerce),
    shop("RAILWREN TICKETS", 4112, "PARIS", "FR", "EUR", (900, 30_000), Channel::Ecommerce),
    shop("CITYPONY RIDES", 4121, "SAN FRANCISCO", "US", "USD", (500, 9_000), Channel::Ecommerce),
    shop("TUK TUK GO", 4121, "DELHI", "IN", "INR", (100, 2_000), Channel::Ecommerce),
    shop("HOTEL MERIDIANA", 7011, "ROME", "IT", "EUR", (9_000, 120_000), Channel::Pos),
    shop("LANTERN INN", 7011, "KYOTO", "JP", "JPY", (6_000, 90_000), Channel::Pos),
    shop("GULF PEARL SUITES", 7011, "KUWAIT CITY", "KW", "KWD", (10_000, 150_000), Channel::Pos),
    shop("HARBORLIGHT HOTELS", 7011, "SEATTLE", "US", "USD", (12_000, 100_000), Channel::Pos),
    shop("ROADRUNNER RENTALS", 7512, "LAS VEGAS", "US", "USD", (6_000, 80_000), Channel::Pos),
    shop("PRAIA RENT A CAR", 7512, "RIO", "BR", "BRL", (4_000, 50_000), Channel::Pos),
    shop("PADARIA SAO BENTO", 5462, "SAO PAULO", "BR", "BRL", (150, 2_000), Channel::Pos),
    shop("LOJA TUCANO", 5999, "RECIFE", "BR", "BRL", (900, 20_000), Channel::Ecommerce),
    shop("LUCKY HERON CASINO", 7995, "VALLETTA", "MT", "EUR", (1_000, 80_000), Channel::Ecommerce),
    shop("DESERT CROWN CASINO", 7995, "LAS VEGAS", "US", "USD", (2_000, 150_000), Channel::Pos),
    shop("BETTING BADGER", 7995, "LONDON", "GB", "GBP", (500, 30_000), Channel::Ecommerce),
    shop("COINHERON EXCHANGE", 6051, "UTRECHT", "NL", "EUR", (5_000, 200_000), Channel::Ecommerce),
    shop("FIRST PLAINS BANK ATM", 6011, "OMAHA", "US", "USD", (2_000, 40_000), Channel::Atm),
    shop("BANCO DEL PUERTO ATM", 6011, "BARCELONA", "ES", "EUR", (2_000, 30_000), Channel::Atm),
    shop("HIGH STREET BANK ATM", 6011, "LONDON", "GB", "GBP", (1_000, 30_000), Channel::Atm),
];

const fn shop(
    name: &'static str,
    mcc: u16,
    city: &'static str,
    country: &'static str,
    currency: &'static str,
    amount: (u64, u64),
    channel: Channel,
) -> Merchant {
    Merchant {
        name,
        mcc,
        city,
        country,
        currency,
        amount,
        channel,
    }
}

impl Currency {
    /// By alphabetic code.
    pub fn find(code: &str) -> Option<&'static Currency> {
        CURRENCIES.iter().find(|currency| currency.code == code)
    }

    /// Minor units of this currency for an amount in minor units of `from`, truncated, at least 1.
    pub fn convert(&self, amount_minor: u64, from: &Currency) -> u64 {
        let scale = |exponent: u8| 10_u128.pow(u32::from(exponent));
        let numerator =
            u128::from(amount_minor) * u128::from(self.per_dollar_e4) * scale(self.exponent);
        let denominator = u128::from(from.per_dollar_e4) * scale(from.exponent);
        ((numerator / denominator) as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merchants_fit_the_field_and_name_known_codes() {
        for merchant in MERCHANTS {
            assert!(
                merchant.name.len() <= 22 && merchant.city.len() <= 13,
                "{}",
                merchant.name
            );
            assert!(
                Currency::find(merchant.currency).is_some(),
                "{}",
                merchant.name
            );
            assert!(
                COUNTRIES
                    .iter()
                    .any(|(alpha, _)| *alpha == merchant.country)
            );
            assert!(merchant.amount.0 > 0 && merchant.amount.0 <= merchant.amount.1);
        }
        for mcc in [7995, 6011, 7011] {
            assert!(MERCHANTS.iter().any(|merchant| merchant.mcc == mcc));
        }
        assert!(MERCHANTS.len() >= 60);
    }

    #[test]
    fn money_is_converted_across_exponents() {
        let [dollar, yen, dinar] = ["USD", "JPY", "KWD"].map(|code| Currency::find(code).unwrap());
        assert_eq!(yen.convert(1_000, dollar), 1_500);
        assert_eq!(dollar.convert(1_500, yen), 1_000);
        assert_eq!(dinar.convert(10_000, dollar), 30_700);
    }
}

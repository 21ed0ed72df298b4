//! The accounts and cards of the oracle, the places they are used at, their controls and the risk rules.

use super::*;

/// Trees 1 to 4; account 10 + tree is below account tree, and 20 + tree below that; each account has two
/// cards, of which the second of the lowest has to be activated.
pub const TREES: u64 = 4;

pub fn root_of_account(account: u64) -> u64 {
    account % 10
}

/// An account and those above it, the root first.
pub fn line_of(account: u64) -> Vec<u64> {
    (root_of_account(account)..=account).step_by(10).collect()
}

pub fn is_physical(card: u64) -> bool {
    account_of_card(card) > 20 && card % 10 == 2
}

/// Cards 100·account + 1 and 2; those that replaced them have tens too (`reissuing.rs`).
pub fn account_of_card(card: u64) -> u64 {
    card / 100
}

/// Where a card looks for money, in this order: the second card of the account in the middle on the lowest
/// one and on the root too.
pub fn accounts_of_card(card: u64) -> Vec<u64> {
    let account = account_of_card(card);
    match (account / 10, card % 10) {
        (1, 2) => vec![account, account + 10, account - 10],
        _ => vec![account],
    }
}

/// Where and what for a purchase is, and what is said of its cardholder.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub channel: Channel,
    pub entry_mode: EntryMode,
    pub country: &'static str,
    pub merchant_id: &'static str,
    pub merchant_name: &'static str,
    pub acquirer_id: &'static str,
    pub said: Said,
}

/// What a message says of 3-D Secure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Said {
    Nothing,
    Authenticated,
    LowValue,
    Failed,
    /// By the merchant, with a cryptogram that the network found wrong.
    Wrong,
}

pub const ONLINE: Place = Place {
    channel: Channel::Ecommerce,
    entry_mode: EntryMode::Ecommerce,
    country: "US",
    merchant_id: "M1",
    merchant_name: "EXAMPLE STORE",
    acquirer_id: "",
    said: Said::Nothing,
};

pub const PLACES: [Place; 8] = [
    ONLINE,
    Place {
        channel: Channel::Atm,
        entry_mode: EntryMode::Chip,
        country: "DE",
        merchant_id: "M2",
        merchant_name: "BANK",
        acquirer_id: "412345",
        said: Said::Nothing,
    },
    Place {
        channel: Channel::PointOfSale,
        entry_mode: EntryMode::Contactless,
        country: "FR",
        merchant_id: "M3",
        merchant_name: "AMAZON MKTPLACE",
        acquirer_id: "7",
        said: Said::Nothing,
    },
    Place {
        channel: Channel::MailOrTelephone,
        entry_mode: EntryMode::Manual,
        country: "DE",
        merchant_id: "M2",
        merchant_name: "HOTEL",
        acquirer_id: "7",
        said: Said::Nothing,
    },
    Place {
        said: Said::Authenticated,
        ..ONLINE
    },
    Place {
        said: Said::LowValue,
        ..ONLINE
    },
    Place {
        said: Said::Failed,
        ..ONLINE
    },
    Place {
        said: Said::Wrong,
        ..ONLINE
    },
];

pub const HOUR: Window = Window::Rolling(RollingWindow { seconds: 3_600 });
pub const ROLLING_DAY: Window = Window::Rolling(RollingWindow { seconds: 86_400 });
pub const ROLLING_WEEK: Window = Window::Rolling(RollingWindow { seconds: 604_800 });

/// Seconds of the buckets of the three.
pub fn bucket_seconds(window: RollingWindow) -> i64 {
    match window.seconds {
        3_600 => 120,
        86_400 => 1_800,
        604_800 => 21_600,
        other => unreachable!("no control has a window of {other} seconds"),
    }
}

pub fn filtered(mut limit: Limit, filter: LimitFilter) -> Limit {
    limit.filter = Some(Box::new(filter));
    limit
}

/// Of two limits: cash, and what is bought in person in two countries.
pub fn filtered_limits() -> [Limit; 2] {
    let cash = LimitFilter {
        kinds: vec![Kind::CashWithdrawal, Kind::QuasiCash],
        ..LimitFilter::default()
    };
    let abroad = LimitFilter {
        countries: vec![Country(*b"DE"), Country(*b"FR")],
        channels: vec![Channel::Atm, Channel::PointOfSale],
        ..LimitFilter::default()
    };
    [
        filtered(limit(21, Window::Day, Some(400), None), cash),
        filtered(limit(22, HOUR, Some(600), Some(3)), abroad),
    ]
}

pub fn hours(days: Days, from: u16, to: u16) -> TimeWindow {
    TimeWindow {
        id: ControlId(31),
        days,
        from_minute: from * 60,
        to_minute: to * 60,
        time_zone: "Europe/Berlin".into(),
    }
}

/// The same as those of choice 7, from the calendar.
pub fn is_open(at: Timestamp) -> bool {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap();
    let at = at.in_tz("Europe/Berlin").unwrap();
    match at.weekday() {
        Weekday::Saturday => at.hour() >= 22,
        Weekday::Sunday => at.hour() < 2,
        _ => (8..18).contains(&at.hour()),
    }
}

/// How many there are.
pub const CHOICES: usize = 13;

pub fn controls_of(choice: usize) -> Controls {
    match choice {
        0 => Controls::default(),
        1 => limits([restoring(limit(1, Window::Day, Some(500), None))]),
        2 => limits([
            limit(1, Window::Day, Some(800), Some(3)),
            restoring(limit(2, Window::Month, Some(1_500), None)),
        ]),
        3 => Controls {
            mcc: Some(List::new(ControlId(9), ListMode::Block, vec![7995])),
            ..limits([limit(3, Window::Transaction, Some(300), None)])
        },
        4 => Controls {
            channels: Some(List::new(
                ControlId(32),
                ListMode::Block,
                vec![Channel::Atm],
            )),
            entry_modes: Some(List::new(
                ControlId(33),
                ListMode::Allow,
                vec![EntryMode::Ecommerce, EntryMode::Chip],
            )),
            ..Controls::default()
        },
        5 => Controls {
            merchants: Some(MerchantList {
                id: ControlId(34),
                mode: ListMode::Allow,
                entries: vec![
                    MerchantEntry::Id {
                        id: "M2".into(),
                        acquirer_id: Some("412345".into()),
                    },
                    MerchantEntry::Name("*mktplace".into()),
                ],
            }),
            ..limits([restoring(limit(20, ROLLING_DAY, Some(900), Some(4)))])
        },
        6 => limits(filtered_limits()),
        7 => Controls {
            // Office hours, and Saturday night into Sunday.
            time_windows: vec![
                hours(Days::of([0, 1, 2, 3, 4]), 8, 18),
                hours(Days::of([5]), 22, 2),
            ],
            single_use: true,
            ..Controls::default()
        },
        8 => Controls {
            merchant_lock: true,
            ..limits([limit(23, ROLLING_WEEK, None, Some(4))])
        },
        9 => three_ds(ThreeDsMode::Required, Some(REQUIRED_ABOVE)),
        choice => groups::grouped(choice),
    }
}

pub const REQUIRED_ABOVE: i64 = 50;

pub fn three_ds(mode: ThreeDsMode, above_minor: Option<i64>) -> Controls {
    let accepts = mode == ThreeDsMode::Required;
    Controls {
        three_ds: Some(ThreeDsPolicy {
            mode,
            above_minor,
            accepted_exemptions: accepts.then_some(Exemption::LowValue).into_iter().collect(),
        }),
        ..Controls::default()
    }
}

pub fn program_controls() -> Controls {
    limits([
        limit(50, Window::Week, Some(4_000), Some(12)),
        restoring(limit(51, ROLLING_DAY, Some(2_500), None)),
    ])
}

/// Refunds give back to it.
pub fn restoring(mut limit: Limit) -> Limit {
    limit.refunds_restore = true;
    limit
}

/// The first card of each account is linked to the team of its tree.
pub fn is_linked(card: u64) -> bool {
    card % 10 == 1
}

pub fn team(tree: u64) -> LinkKey {
    LinkKey {
        program_id: PROGRAM,
        link_type: "team".into(),
        id: tree.to_string().into(),
    }
}

/// Shared by the cards of a team; limits of links have ids of their own.
pub fn link_controls(tree: u64) -> Controls {
    limits([
        restoring(limit(70 + tree, Window::Month, Some(3_500), None)),
        limit(80 + tree, ROLLING_DAY, Some(1_900), Some(9)),
    ])
}

/// Of one id on two levels.
pub fn account_controls(account: u64) -> Controls {
    match account / 10 {
        0 => limits([restoring(limit(61, Window::Month, Some(5_000), None))]),
        1 => Controls {
            limits: vec![
                limit(60, Window::Day, Some(1_200), None),
                groups::until_verified(limit(62, Window::Week, Some(1_500), None)),
            ],
            ..three_ds(ThreeDsMode::Silent, None)
        },
        _ => limits([limit(60, Window::Day, Some(900), Some(4))]),
    }
}

/// Risk rules, all of which decline; drafts at first. The last two ask for nothing of the card's history.
pub const RULES: [&str; 5] = [
    "approvals_last_hour >= 2 && amount > 300",
    "first_use_of_merchant && amount % 7 == 0 && amount > 0",
    "declines_last_day >= 3 || seconds_since_last_approval < 60 && approved_amount_last_day > 600",
    "entry_mode == 'manual' && amount > 60",
    "100 / (amount - 5) > 30 || mcc in ['7995', '6011'] && country != 'US'",
];

//! A second, naive decision maker that keeps nothing but the list of what happened and adds it up
//! anew each time, against the engine: over random days, over random conversations about a few payments
//! whose names collide, and over every order of the five things that can happen to one purchase.

#[path = "engine_oracle/abroad.rs"]
mod abroad;
mod engine_support;

use abroad::Kept;
use arrayvec::ArrayString;
use cardswitch::engine::authorizations::{Authorization, InBoth};
use cardswitch::engine::command::{
    AccountStatusChange, Action, Advise, Authorize, CardType, StatusChange,
};
use cardswitch::engine::controls::{Controls, Limit, List, ListMode, Window};
use cardswitch::engine::counters::Counters;
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::event::*;
use cardswitch::engine::facts::{Channel, Country, EntryMode, Kind, MatchKey, MatchKeys};
use cardswitch::engine::hash::{state_hash, tree_hashes};
use cardswitch::engine::ids::*;
use cardswitch::engine::limit_filter::LimitFilter;
use cardswitch::engine::merchants::{MerchantEntry, MerchantList};
use cardswitch::engine::money::Money;
use cardswitch::engine::reason::DeclineReason;
use cardswitch::engine::registry::{RegistryAction, RegistryOutcome};
use cardswitch::engine::risk::rule::{RiskRule, RuleAction, RuleChange, RuleState};
use cardswitch::engine::rolling::RollingWindow;
use cardswitch::engine::snapshot;
use cardswitch::engine::state::{Account, State};
use cardswitch::engine::three_ds::{
    Authentication, Cryptogram, Exemption, ThreeDs, ThreeDsMode, ThreeDsPolicy,
};
use cardswitch::engine::time::Timestamp;
use cardswitch::engine::time_windows::{Days, TimeWindow};
use cardswitch::engine::window::window_end;
use cardswitch::engine::world::World;
use engine_support::*;
use jiff::civil::Weekday;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

const MINUTE_MS: i64 = 60_000;
const FIRST_ANSWER_MS: i64 = 15 * MINUTE_MS;
const REVERSAL_MS: i64 = 24 * 60 * MINUTE_MS;
const HOLD_MS: i64 = 7 * 24 * 60 * MINUTE_MS;

/// Trees 1 to 4; account 10 + tree is below account tree, and 20 + tree below that; each account has two
/// cards, of which the second of the lowest has to be activated.
const TREES: u64 = 4;

/// How a message names an authorization; 0 where it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Names {
    rrn: u8,
    sent: u8,
    local: u8,
    acquirer: u8,
}

impl Names {
    fn all(name: u8) -> Names {
        Names {
            rrn: name,
            sent: name,
            local: name,
            acquirer: 1,
        }
    }

    fn keys(self) -> MatchKeys {
        let key = |name: u8, of: fn(&str) -> MatchKey| match name {
            0 => MatchKey::UNSTATED,
            name => of(&name.to_string()),
        };
        MatchKeys {
            by_authority: [
                key(self.rrn, rrn),
                key(self.sent, sent),
                key(self.local, local),
                MatchKey::UNSTATED,
                MatchKey::UNSTATED,
            ],
            acquirer_id: u64::from(self.acquirer),
        }
    }

    /// How alike these are to others; `None` where they cannot be of one authorization. Each name is
    /// worth more than all below it together, and one that is not said half as much as the same one.
    fn alike(self, other: Names) -> Option<u32> {
        let both = |one, other| one > 0 && other > 0;
        let same = if both(self.rrn, other.rrn) {
            self.rrn == other.rrn
        } else if both(self.sent, other.sent) {
            self.sent == other.sent
        } else {
            both(self.local, other.local) && self.local == other.local
        };
        let strangers = both(self.acquirer, other.acquirer) && self.acquirer != other.acquirer;
        let worth = |one, other, worth| match both(one, other) {
            true if one == other => 2 * worth,
            true => 0,
            false => worth,
        };
        let worth = worth(self.rrn, other.rrn, 27)
            + worth(self.sent, other.sent, 9)
            + worth(self.local, other.local, 3)
            + worth(self.acquirer, other.acquirer, 1);
        (same && !strangers).then_some(worth)
    }

    /// How many it says.
    fn stated(self) -> usize {
        let names = [self.rrn, self.sent, self.local];
        names.into_iter().filter(|name| *name > 0).count()
    }
}

/// What a message says of a payment.
#[derive(Debug, Clone, Copy)]
struct Payment {
    card: u64,
    /// The identity of the message, by which a repeat of it is known.
    name: u8,
    names: Names,
    /// How it names the authorization that it is about.
    of: Names,
    amount: i64,
    mcc: u16,
    kind: Kind,
    in_part: bool,
    /// One of `PLACES`.
    place: u8,
    /// A financial message.
    posts: bool,
    /// One of the cases of `abroad`; the amount is in its currency.
    case: u8,
}

impl Payment {
    fn purchase(card: u64, name: u8, names: Names, amount: i64) -> Payment {
        Payment {
            card,
            name,
            names,
            of: names,
            amount,
            mcc: 5411,
            kind: Kind::Purchase,
            in_part: false,
            place: 0,
            posts: false,
            case: 0,
        }
    }

    fn is_credit(&self) -> bool {
        matches!(self.kind, Kind::Refund | Kind::OriginalCredit)
    }

    /// Whether the account must have the money.
    fn takes_money(&self) -> bool {
        !self.is_credit() && !self.asks_only()
    }

    /// What tells a repeat from another message of the same identity.
    fn asks(&self) -> (i64, u8, Kind) {
        (self.amount, self.case, self.kind)
    }

    fn moves_nothing(&self) -> bool {
        self.asks_only() || self.kind == Kind::Other
    }

    fn asks_only(&self) -> bool {
        let kinds = [Kind::AccountVerification, Kind::BalanceInquiry];
        kinds.contains(&self.kind)
    }

    /// What it comes to in the account's currency; `None` where there is no rate.
    fn comes_to(&self) -> Option<i64> {
        abroad::comes_to(self.case, self.amount, self.is_credit())
    }

    /// What is kept of it by the program, of all or of a part.
    fn kept(&self, part: Option<i64>) -> Kept {
        abroad::kept(self.case, self.amount, part, self.is_credit())
    }

    fn can_be_in_part(&self) -> bool {
        let kinds = [Kind::Purchase, Kind::PreAuthorization, Kind::FuelDispenser];
        self.in_part && kinds.contains(&self.kind)
    }

    /// What posting it takes from the account, where so much is in its currency.
    fn charge(&self, account: i64, local: i64) -> Both {
        let sign = if self.is_credit() { -1 } else { 1 };
        match account {
            0 => Both::default(),
            _ => Both {
                account: sign * account,
                local: sign * local,
            },
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Authorize(Payment),
    Advise {
        payment: Payment,
        was_declined: bool,
        is_final: bool,
    },
    Reverse {
        card: u64,
        name: u8,
        names: Names,
        amount: i64,
        /// What is to stay; 0 where all is reversed.
        stays: i64,
    },
    TopUp {
        id: u64,
        account: u64,
        amount: i64,
    },
    Status {
        card: u64,
        change: StatusChange,
    },
    AccountStatus {
        account: u64,
        change: AccountStatusChange,
    },
    Controls {
        card: u64,
        choice: usize,
    },
    Wait {
        minutes: i64,
    },
    /// The time of some holds is over.
    Expire,
    /// Of `RULES`, by its place.
    Rule {
        rule: usize,
        change: RuleChange,
    },
}

#[derive(Debug, Clone, PartialEq)]
enum Came {
    Approved {
        available: i64,
    },
    /// By an increment of the authorization at this place in the past.
    Increased {
        of: usize,
        available: i64,
    },
    /// For as much of it as there was money for, and what that comes to.
    Partial {
        approved: i64,
        taken: i64,
        available: i64,
    },
    Balances {
        posted: i64,
        available: i64,
    },
    Declined(DeclineReason),
    Advised(Advice),
    Undone(Undoing),
    First(Heard),
    Unknown,
    AlreadyReversed,
    Duplicate,
    Done,
    AlreadyDone,
    Refused,
    /// Which ended, in order.
    Expired(Vec<usize>),
}

#[derive(Debug, Clone, PartialEq)]
struct Advice {
    what: What,
    available: i64,
    flags: Vec<&'static str>,
    breach: Option<DeclineReason>,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Recorded,
    Placed {
        held: i64,
    },
    ForcePosted {
        charged: i64,
    },
    Amended {
        of: usize,
        before: i64,
        after: i64,
        standing: Standing,
    },
    Completed {
        of: usize,
        charged: i64,
        released: i64,
        standing: Standing,
    },
}

/// What a reversal took back.
#[derive(Debug, Clone, PartialEq)]
struct Undoing {
    of: usize,
    what: Undid,
    released: i64,
    returned: i64,
    standing: Standing,
    flags: Vec<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Undid {
    Whole,
    Above,
    Part,
}

/// What the network hears, and hears again.
#[derive(Debug, Clone, PartialEq)]
enum Heard {
    Approved { available: i64 },
    Partial { approved: i64 },
    Balances { posted: i64, available: i64 },
    Declined(DeclineReason),
    Accepted,
    Recorded,
    Unknown,
}

/// How an authorization ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Released,
    Completed,
    Reversed,
}

/// An amount in the account's currency and in that of the message; of a credit, only what is posted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Both {
    account: i64,
    local: i64,
}

impl Both {
    fn each(self, other: Both, of: impl Fn(i64, i64) -> i64) -> Both {
        Both {
            account: of(self.account, other.account),
            local: of(self.local, other.local),
        }
    }

    fn plus(self, other: Both) -> Both {
        self.each(other, |one, other| one + other)
    }

    fn minus(self, other: Both) -> Both {
        self.each(other, |one, other| one - other)
    }

    fn negative(self) -> Both {
        Both::default().minus(self)
    }

    /// As much of it as there is.
    fn of(self, there: Both) -> Both {
        self.each(there, |one, there| one.clamp(there.min(0), there.max(0)))
    }

    /// What is more than what stays, in the currency of the message. What stays is rounded for the network: up of
    /// what it is owed, down of what it owes.
    fn above(self, stays: i64) -> Both {
        let size = self.local.abs();
        if stays == 0 {
            return self;
        }
        if stays >= size {
            return Both::default();
        }
        let exact = i128::from(self.account) * i128::from(stays);
        let share = exact.div_euclid(size.into()) + i128::from(exact.rem_euclid(size.into()) > 0);
        self.minus(Both {
            account: share as i64,
            local: self.local.signum() * stays,
        })
    }
}

/// What one message, or the end of its time, did to an authorization.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    /// Where in the past the authorization was opened.
    of: usize,
    /// It opens it, on this account.
    opens_on: Option<u64>,
    /// Added to what it holds, to what is posted for it, and to what is kept of that.
    held: Both,
    posted: Both,
    kept: Kept,
    /// How it stands closed; also where it was before, and is remembered anew.
    end: Option<End>,
    /// It has a name of its own, and can be reversed alone.
    part: Option<Part>,
    /// Where the part is that this reverses, and whether it reverses the whole of it.
    undoes: Option<(usize, bool)>,
    /// The time of the hold begins anew.
    renews: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Increment,
    Completion,
}

/// What happened, in order. Everything else is added up from here.
#[derive(Debug, Clone)]
struct Happened {
    at: Timestamp,
    step: Step,
    came: Came,
    /// The controls of the card, for what is counted.
    controls: Controls,
    lines: Vec<Line>,
    /// It is part of the history of its card.
    in_history: bool,
}

#[derive(Debug, Default)]
struct Naive {
    at: Timestamp,
    has_rules: bool,
    past: Vec<Happened>,
}

/// An authorization, added up from its lines.
#[derive(Debug, Clone)]
struct Known<'a> {
    /// Where in the past it was opened.
    place: usize,
    opened: Timestamp,
    payment: Payment,
    account: u64,
    controls: &'a Controls,
    held: Both,
    posted: Both,
    kept: Kept,
    /// When it last changed its standing since it is closed, and how it stands.
    closed: Option<(Timestamp, End)>,
    due: Timestamp,
    /// Each with its place in the past.
    lines: Vec<(usize, Line)>,
}

impl Known<'_> {
    fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    fn ended(&self, end: End) -> bool {
        self.closed.is_some_and(|(_, how)| how == end)
    }

    /// What was approved of it at first; of a credit nothing.
    fn taken(&self) -> i64 {
        let (_, first) = self.lines[0];
        (first.held.account + first.posted.account).max(0)
    }

    /// What is left of a part.
    fn left(&self, place: usize) -> Both {
        let own = self.lines.iter().filter(|(of, line)| {
            (*of == place && line.part.is_some())
                || line.undoes.is_some_and(|(part, _)| part == place)
        });
        let is_increment = |place| {
            let mut lines = self.lines.iter();
            lines.any(|(of, line)| *of == place && line.part == Some(Part::Increment))
        };
        // A completion also gives back of the hold, which is not its own.
        own.map(|(_, line)| match is_increment(place) {
            true => line.held,
            false => line.posted,
        })
        .fold(Both::default(), Both::plus)
    }

    fn is_undone(&self, place: usize) -> bool {
        let mut lines = self.lines.iter();
        lines.any(|(_, line)| line.undoes == Some((place, true)))
    }

    fn standing(&self, end: Option<End>, posted: i64) -> Standing {
        match end.or(self.closed.map(|(_, how)| how)) {
            None if posted == 0 => Standing::Pending,
            None => Standing::PartiallyCleared,
            Some(End::Released) => Standing::Expired,
            Some(End::Completed) => Standing::Cleared,
            Some(End::Reversed) => Standing::Reversed,
        }
    }
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meant {
    Unknown,
    /// Reversed before it came.
    Early,
    /// The authorization that was opened at this place in the past.
    Whole(usize),
    /// And the part of it that came at the second.
    Part(usize, usize),
}

impl Meant {
    fn place(self) -> Option<usize> {
        match self {
            Meant::Whole(place) | Meant::Part(place, _) => Some(place),
            Meant::Unknown | Meant::Early => None,
        }
    }
}

/// An advice, the account that it is about, and what it comes to.
#[derive(Debug, Clone, Copy)]
struct Told<'a> {
    payment: &'a Payment,
    account: u64,
    amount: Both,
}

/// The past, and the authorizations as they stand after it.
struct View<'a> {
    at: Timestamp,
    has_rules: bool,
    past: &'a [Happened],
    known: Vec<Known<'a>>,
}

fn root_of_account(account: u64) -> u64 {
    account % 10
}

/// An account and those above it, the root first.
fn line_of(account: u64) -> Vec<u64> {
    (root_of_account(account)..=account).step_by(10).collect()
}

fn is_physical(card: u64) -> bool {
    account_of_card(card) > 20 && card % 100 == 2
}

/// Cards 100·account + 1 and 2.
fn account_of_card(card: u64) -> u64 {
    card / 100
}

/// Where a card looks for money, in this order: the second card of the account in the middle on the lowest
/// one and on the root too.
fn accounts_of_card(card: u64) -> Vec<u64> {
    let account = account_of_card(card);
    match (account / 10, card % 100) {
        (1, 2) => vec![account, account + 10, account - 10],
        _ => vec![account],
    }
}

/// Where and what for a purchase is, and what is said of its cardholder.
#[derive(Debug, Clone, Copy)]
struct Place {
    channel: Channel,
    entry_mode: EntryMode,
    country: &'static str,
    merchant_id: &'static str,
    merchant_name: &'static str,
    acquirer_id: &'static str,
    said: Said,
}

/// What a message says of 3-D Secure.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Said {
    Nothing,
    Authenticated,
    LowValue,
    Failed,
    /// By the merchant, with a cryptogram that the network found wrong.
    Wrong,
}

const ONLINE: Place = Place {
    channel: Channel::Ecommerce,
    entry_mode: EntryMode::Ecommerce,
    country: "US",
    merchant_id: "M1",
    merchant_name: "EXAMPLE STORE",
    acquirer_id: "",
    said: Said::Nothing,
};

const PLACES: [Place; 8] = [
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

const HOUR: Window = Window::Rolling(RollingWindow { seconds: 3_600 });
const ROLLING_DAY: Window = Window::Rolling(RollingWindow { seconds: 86_400 });
const ROLLING_WEEK: Window = Window::Rolling(RollingWindow { seconds: 604_800 });

/// Seconds of the buckets of the three.
fn bucket_seconds(window: RollingWindow) -> i64 {
    match window.seconds {
        3_600 => 120,
        86_400 => 1_800,
        604_800 => 21_600,
        other => unreachable!("no control has a window of {other} seconds"),
    }
}

fn filtered(mut limit: Limit, filter: LimitFilter) -> Limit {
    limit.filter = Some(Box::new(filter));
    limit
}

/// Of two limits: cash, and what is bought in person in two countries.
fn filtered_limits() -> [Limit; 2] {
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

fn hours(days: Days, from: u16, to: u16) -> TimeWindow {
    TimeWindow {
        id: ControlId(31),
        days,
        from_minute: from * 60,
        to_minute: to * 60,
        time_zone: "Europe/Berlin".into(),
    }
}

/// The same as those of choice 7, from the calendar.
fn is_open(at: Timestamp) -> bool {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap();
    let at = at.in_tz("Europe/Berlin").unwrap();
    match at.weekday() {
        Weekday::Saturday => at.hour() >= 22,
        Weekday::Sunday => at.hour() < 2,
        _ => (8..18).contains(&at.hour()),
    }
}

/// How many there are.
const CHOICES: usize = 10;

fn controls_of(choice: usize) -> Controls {
    match choice {
        0 => Controls::default(),
        1 => limits([limit(1, Window::Day, Some(500), None)]),
        2 => limits([
            limit(1, Window::Day, Some(800), Some(3)),
            limit(2, Window::Month, Some(1_500), None),
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
            ..limits([limit(20, ROLLING_DAY, Some(900), Some(4))])
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
        _ => three_ds(ThreeDsMode::Required, Some(REQUIRED_ABOVE)),
    }
}

const REQUIRED_ABOVE: i64 = 50;

fn three_ds(mode: ThreeDsMode, above_minor: Option<i64>) -> Controls {
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

fn program_controls() -> Controls {
    limits([
        limit(50, Window::Week, Some(4_000), Some(12)),
        limit(51, ROLLING_DAY, Some(2_500), None),
    ])
}

/// Of one id on two levels.
fn account_controls(account: u64) -> Controls {
    match account / 10 {
        0 => limits([limit(61, Window::Month, Some(5_000), None)]),
        1 => Controls {
            limits: vec![limit(60, Window::Day, Some(1_200), None)],
            ..three_ds(ThreeDsMode::Silent, None)
        },
        _ => limits([limit(60, Window::Day, Some(900), Some(4))]),
    }
}

/// Risk rules, all of which decline; drafts at first. The last two ask for nothing of the card's history.
const RULES: [&str; 5] = [
    "approvals_last_hour >= 2 && amount > 300",
    "first_use_of_merchant && amount % 7 == 0 && amount > 0",
    "declines_last_day >= 3 || seconds_since_last_approval < 60 && approved_amount_last_day > 600",
    "entry_mode == 'manual' && amount > 60",
    "100 / (amount - 5) > 30 || mcc in ['7995', '6011'] && country != 'US'",
];

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Owner {
    Program,
    Account(u64),
    Card,
}

#[derive(Debug, Clone, Copy)]
struct CardState {
    activated: bool,
    frozen: bool,
    closed: bool,
}

/// Whether a limit counts a payment.
fn counts(limit: &Limit, payment: &Payment) -> bool {
    let place = PLACES[usize::from(payment.place)];
    let abroad = ["DE", "FR"].contains(&place.country)
        && [Channel::Atm, Channel::PointOfSale].contains(&place.channel);
    match limit.id.0 {
        21 => payment.kind == Kind::CashWithdrawal,
        22 => abroad,
        _ => {
            assert!(limit.filter.is_none() && payment.mcc > 0);
            true
        }
    }
}

/// Whether a purchase of then still counts now.
fn in_window(limit: &Limit, then: Timestamp, now: Timestamp) -> bool {
    match limit.window {
        Window::Transaction => false,
        Window::Rolling(window) => {
            let bucket_ms = bucket_seconds(window) * 1_000;
            let leaves_ms =
                (then.0 / bucket_ms + 1) * bucket_ms + i64::from(window.seconds) * 1_000;
            now.0 < leaves_ms
        }
        window => window_end(window, "UTC", then) == window_end(window, "UTC", now),
    }
}

impl Naive {
    fn view(&self) -> View<'_> {
        let mut known: Vec<Known> = Vec::new();
        for (place, past) in self.past.iter().enumerate() {
            for line in &past.lines {
                if line.of == place {
                    let payment = match past.step {
                        Step::Authorize(payment) | Step::Advise { payment, .. } => payment,
                        _ => unreachable!("only payments open authorizations"),
                    };
                    known.push(Known {
                        place,
                        opened: past.at,
                        payment,
                        account: line.opens_on.expect("it opens on an account"),
                        controls: &past.controls,
                        held: Both::default(),
                        posted: Both::default(),
                        kept: Kept::default(),
                        closed: None,
                        due: past.at.plus_ms(HOLD_MS),
                        lines: Vec::new(),
                    });
                }
                let found = known.iter_mut().find(|known| known.place == line.of);
                let found = found.expect("a line is of what was opened");
                found.held = found.held.plus(line.held);
                found.posted = found.posted.plus(line.posted);
                found.kept = found.kept.plus(line.kept);
                if line.renews {
                    found.due = past.at.plus_ms(HOLD_MS);
                }
                if let Some(end) = line.end {
                    found.closed = Some((past.at, end));
                }
                found.lines.push((place, *line));
            }
        }
        View {
            at: self.at,
            has_rules: self.has_rules,
            past: &self.past,
            known,
        }
    }

    fn decide(&self, step: &Step) -> (Came, Vec<Line>) {
        self.view().decide(step)
    }

    fn note(&mut self, step: &Step, came: Came, lines: Vec<Line>) {
        let controls = match step {
            Step::Authorize(payment) | Step::Advise { payment, .. } => {
                self.view().controls(payment.card)
            }
            _ => Controls::default(),
        };
        let in_history = self.view().notes_history(step, &came);
        let (at, step) = (self.at, step.clone());
        self.past.push(Happened {
            at,
            step,
            came,
            controls,
            lines,
            in_history,
        });
    }
}

impl View<'_> {
    /// The place of what is decided now.
    fn here(&self) -> usize {
        self.past.len()
    }

    fn of(&self, place: usize) -> &Known<'_> {
        let mut known = self.known.iter();
        known.find(|known| known.place == place).unwrap()
    }

    fn posted(&self, account: u64) -> i64 {
        let top_ups = self
            .past
            .iter()
            .filter_map(|past| match (&past.step, &past.came) {
                (
                    Step::TopUp {
                        account: to,
                        amount,
                        ..
                    },
                    Came::Done,
                ) if *to == account => Some(*amount),
                _ => None,
            });
        top_ups.sum::<i64>() - self.charged(account)
    }

    fn of_account(&self, account: u64) -> impl Iterator<Item = &Known<'_>> {
        let known = self.known.iter();
        known.filter(move |known| known.account == account)
    }

    /// What payments and refunds took from an account.
    fn charged(&self, account: u64) -> i64 {
        let known = self.of_account(account);
        known.map(|known| known.posted.account).sum()
    }

    fn kept(&self, account: u64) -> Kept {
        let known = self.of_account(account);
        known.fold(Kept::default(), |kept, known| kept.plus(known.kept))
    }

    fn held(&self, account: u64) -> i64 {
        let known = self.of_account(account);
        known.map(|known| known.held.account).sum()
    }

    fn open_holds(&self, account: u64) -> usize {
        let known = self.of_account(account);
        known.filter(|known| known.is_open()).count()
    }

    fn available(&self, account: u64) -> i64 {
        self.posted(account) - self.held(account)
    }

    /// What a message of this card may still name: what is open, and what was closed within a day.
    fn nameable(&self, card: u64) -> impl Iterator<Item = &Known<'_>> {
        let counts = move |known: &&Known| {
            let closed = known.closed;
            known.payment.card == card
                && closed.is_none_or(|(since, _)| since.plus_ms(REVERSAL_MS) > self.at)
        };
        self.known.iter().filter(counts)
    }

    /// The names of reversals of this card that came before their original, with their time.
    fn early_reversals(&self, of: u64) -> impl Iterator<Item = (Names, Timestamp)> {
        self.past.iter().filter_map(move |past| match past.step {
            Step::Reverse { card, names, .. } => {
                let live = past.at.plus_ms(REVERSAL_MS) > self.at && card == of;
                (live && past.came == Came::Unknown).then_some((names, past.at))
            }
            _ => None,
        })
    }

    fn names_at(&self, place: usize) -> Names {
        match self.past[place].step {
            Step::Authorize(payment) | Step::Advise { payment, .. } => payment.names,
            Step::Reverse { names, .. } => names,
            _ => unreachable!("step {place} has no names"),
        }
    }

    /// The best that these names lead to. What agrees alike: the whole before a part, then the latest, then
    /// what is reversed.
    fn meant(&self, card: u64, asked: Names, is_credit: Option<bool>) -> Meant {
        let mut candidates = Vec::new();
        for known in self.nameable(card) {
            if is_credit.is_some_and(|is_credit| is_credit != known.payment.is_credit()) {
                continue;
            }
            let (place, reversed) = (known.place, known.ended(End::Reversed));
            let since = known.closed.map_or(known.opened, |(since, _)| since);
            if let Some(alike) = known.payment.names.alike(asked) {
                let rank = (alike, true, since, reversed, place);
                candidates.push((rank, Meant::Whole(place)));
            }
            for (part, line) in &known.lines {
                let alike = line.part.and_then(|_| self.names_at(*part).alike(asked));
                if let Some(alike) = alike {
                    let rank = (alike, false, self.past[*part].at, reversed, place);
                    candidates.push((rank, Meant::Part(place, *part)));
                }
            }
        }
        for (names, at) in self.early_reversals(card) {
            let alike = names.alike(asked);
            candidates.extend(alike.map(|alike| ((alike, true, at, true, 0), Meant::Early)));
        }
        let best = candidates.iter().map(|(rank, _)| *rank).max();
        let first = candidates.into_iter().find(|(rank, _)| Some(*rank) == best);
        first.map_or(Meant::Unknown, |(_, meant)| meant)
    }

    fn is_reversed_early(&self, card: u64, names: Names) -> bool {
        let mut reversals = self.early_reversals(card);
        reversals.any(|(reversed, _)| reversed.alike(names).is_some())
    }

    fn is_reversed(&self, card: u64, names: Names) -> bool {
        let is_undone = |known: &Known| {
            let mut lines = known.lines.iter();
            lines.any(|(place, line)| {
                line.part.is_some() && known.is_undone(*place) && self.names_at(*place) == names
            })
        };
        let mut known = self.nameable(card);
        self.is_reversed_early(card, names)
            || known.any(|known| {
                let alike = known.payment.names.alike(names).is_some();
                (alike && known.ended(End::Reversed)) || (names.stated() > 0 && is_undone(known))
            })
    }

    /// Whether the same advice was carried out before: a posting, or an increment, of all its names and of what it
    /// comes to, whatever was given back or completed since.
    fn is_repeated(&self, payment: &Payment, amount: i64) -> bool {
        let part = match (payment.posts, payment.kind) {
            (true, _) => Part::Completion,
            (false, Kind::Incremental) => Part::Increment,
            _ => return false,
        };
        let is_same = |(place, line): &(usize, Line)| {
            let came_to = match line.part {
                Some(Part::Increment) => line.held.account,
                _ => line.posted.account,
            };
            let opens = line.opens_on.is_some() && payment.posts && came_to != 0;
            (opens || line.part == Some(part))
                && self.names_at(*place) == payment.names
                && came_to.abs() == amount
        };
        let mut known = self.nameable(payment.card);
        payment.names.stated() > 1 && known.any(|known| known.lines.iter().any(is_same))
    }

    /// Where the authorizations were opened whose holds have lasted as long as they may, in order.
    fn due(&self) -> Vec<usize> {
        let open = self.known.iter().filter(|known| known.is_open());
        let due = open.filter(|known| known.due <= self.at);
        let mut due: Vec<_> = due.map(|known| (known.due, known.place)).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, place)| place).collect()
    }

    fn card_state(&self, card: u64) -> CardState {
        let mut state = CardState {
            activated: !is_physical(card),
            frozen: false,
            closed: false,
        };
        for past in self.past {
            if let (Step::Status { card: of, change }, Came::Done) = (&past.step, &past.came)
                && *of == card
            {
                match change {
                    StatusChange::Activate => state.activated = true,
                    StatusChange::Freeze => state.frozen = true,
                    StatusChange::Unfreeze => state.frozen = false,
                    _ => state.closed = true,
                }
            }
        }
        state
    }

    fn change_card_status(&self, card: u64, change: StatusChange) -> Came {
        let state = self.card_state(card);
        match change {
            StatusChange::Close if state.closed => Came::AlreadyDone,
            StatusChange::Close => Came::Done,
            _ if state.closed => Came::Refused,
            StatusChange::Activate if state.frozen => Came::Refused,
            StatusChange::Activate if state.activated => Came::AlreadyDone,
            StatusChange::Freeze if state.frozen => Came::AlreadyDone,
            StatusChange::Unfreeze if !state.frozen => Came::AlreadyDone,
            _ => Came::Done,
        }
    }

    /// What was last done to an account; freeing it where nothing was.
    fn account_state(&self, account: u64) -> AccountStatusChange {
        let changes = self.past.iter().rev().find_map(|past| match &past.step {
            Step::AccountStatus {
                account: of,
                change,
            } if *of == account && past.came == Came::Done => Some(*change),
            _ => None,
        });
        changes.unwrap_or(AccountStatusChange::Unfreeze)
    }

    fn change_account_status(&self, account: u64, change: AccountStatusChange) -> Came {
        let before = self.account_state(account);
        let below = account + 10;
        let below_open =
            below <= 20 + TREES && self.account_state(below) != AccountStatusChange::Close;
        match (before, change) {
            (before, change) if before == change => Came::AlreadyDone,
            (AccountStatusChange::Close, _) => Came::Refused,
            (_, AccountStatusChange::Close)
                if below_open || self.posted(account) != 0 || self.held(account) != 0 =>
            {
                Came::Refused
            }
            _ => Came::Done,
        }
    }

    fn controls(&self, card: u64) -> Controls {
        let changes = self.past.iter().rev().find_map(|past| match &past.step {
            Step::Controls { card: of, choice } if *of == card => Some(controls_of(*choice)),
            _ => None,
        });
        changes.unwrap_or_default()
    }

    /// What counts of a limit in the window of now: amount and number. An authorization counts in the window
    /// it was opened in, with what it holds and what was posted for it.
    fn used(&self, owner: Owner, card: u64, limit: &Limit) -> (i64, u32) {
        let root = root_of_account(account_of_card(card));
        let (mut amount, mut count) = (0, 0);
        for known in self.known.iter().filter(|known| known.taken() > 0) {
            let same = match owner {
                Owner::Card => known.payment.card == card,
                Owner::Account(account) => line_of(known.account).contains(&account),
                Owner::Program => root_of_account(known.account) == root,
            };
            let counted = |l: &Limit| {
                l.id == limit.id && l.window == limit.window && counts(l, &known.payment)
            };
            let counted = match owner {
                Owner::Card => known.controls.limits.iter().any(counted),
                _ => counted(limit),
            };
            if same && counted && in_window(limit, known.opened, self.at) {
                let stands_at = known.held.plus(known.posted).account;
                amount += stands_at;
                count += u32::from(known.is_open() || stands_at > 0);
            }
        }
        (amount, count)
    }

    /// Where the card was first used since it is locked.
    fn locked_to(&self, of: u64) -> Option<Place> {
        let (mut lock, mut locked) = (false, None);
        for (place, past) in self.past.iter().enumerate() {
            match past.step {
                Step::Controls { card, choice } if card == of => {
                    let before = std::mem::replace(&mut lock, controls_of(choice).merchant_lock);
                    if before && !lock {
                        locked = None;
                    }
                }
                Step::Authorize(payment) | Step::Advise { payment, .. }
                    if payment.card == of && lock =>
                {
                    let mut opened = self.known.iter().filter(|known| known.place == place);
                    if opened.any(|known| known.taken() > 0) {
                        locked = locked.or(Some(PLACES[usize::from(payment.place)]));
                    }
                }
                _ => {}
            }
        }
        locked
    }

    /// The authorization that a card was used for, the first one while it was good for one. That all of it is
    /// reversed makes the card good again for whatever comes later.
    fn used_by(&self, card: u64) -> Option<usize> {
        let mut used_by = None;
        for (place, past) in self.past.iter().enumerate() {
            for line in &past.lines {
                let known = self.of(line.of);
                let marks =
                    known.payment.card == card && known.taken() > 0 && known.controls.single_use;
                if line.of == place && marks {
                    used_by = used_by.or(Some(place));
                }
                if line.end == Some(End::Reversed) && used_by == Some(line.of) {
                    used_by = None;
                }
            }
        }
        used_by
    }

    /// What comes after limits and MCCs: merchant, channel, entry mode and hours.
    fn elsewhere(&self, card: u64, place: Place) -> Option<DeclineReason> {
        let own = self.controls(card);
        let listed = (place.merchant_id == "M2" && place.acquirer_id == "412345")
            || place.merchant_name.ends_with("MKTPLACE");
        let elsewhere = self.locked_to(card).is_some_and(|locked| {
            let acquirers = [locked.acquirer_id, place.acquirer_id];
            locked.merchant_id != place.merchant_id
                || (acquirers[0] != acquirers[1] && !acquirers.contains(&""))
        });
        let entries = [EntryMode::Ecommerce, EntryMode::Chip];
        let failed = [
            (
                own.merchants.is_some() && !listed,
                DeclineReason::MerchantNotAllowed,
            ),
            (
                own.merchant_lock && elsewhere,
                DeclineReason::MerchantLockMismatch,
            ),
            (
                own.channels.is_some() && place.channel == Channel::Atm,
                DeclineReason::ChannelBlocked,
            ),
            (
                own.entry_modes.is_some() && !entries.contains(&place.entry_mode),
                DeclineReason::EntryModeBlocked,
            ),
            (
                !own.time_windows.is_empty() && !is_open(self.at),
                DeclineReason::OutsideTimeWindow,
            ),
        ];
        let first = failed.into_iter().find(|(failed, _)| *failed);
        first.map(|(_, reason)| reason)
    }

    /// The accounts on level 1 are `silent`; the choice 9 of a card is `required`. What there is no rate for counts as
    /// above; an increment asks nobody.
    fn three_ds(
        &self,
        payment: &Payment,
        account: u64,
        about: Option<usize>,
    ) -> Option<DeclineReason> {
        let place = PLACES[usize::from(payment.place)];
        let required = self.controls(payment.card).three_ds.is_some();
        let silent = account > 10;
        let asked = payment.comes_to();
        let must_authenticate = required
            && about.is_none()
            && payment.takes_money()
            && asked.is_none_or(|asked| asked > REQUIRED_ABOVE)
            && place.channel == Channel::Ecommerce;
        match place.said {
            Said::Failed if required || silent => Some(DeclineReason::ThreeDsFailed),
            Said::Wrong if required || silent => Some(DeclineReason::CavvInvalid),
            Said::Nothing if must_authenticate => Some(DeclineReason::ThreeDsRequired),
            _ => None,
        }
    }

    fn rule_state(&self, of: usize) -> RuleState {
        let changes = self.past.iter().rev().find_map(|past| match past.step {
            Step::Rule { rule, change } if rule == of && past.came == Came::Done => {
                Some(change.to())
            }
            _ => None,
        });
        changes.unwrap_or(RuleState::Draft)
    }

    fn change_rule(&self, rule: usize, change: RuleChange) -> Came {
        match self.rule_state(rule) {
            state if state == change.to() => Came::AlreadyDone,
            RuleState::Retired => Came::Refused,
            _ => Came::Done,
        }
    }

    /// Whether it will be part of its card's history: a request of its own, while a rule asks for history.
    fn notes_history(&self, step: &Step, came: &Came) -> bool {
        let asks = |rule| rule < 3 && self.rule_state(rule) != RuleState::Retired;
        let is_request = matches!(step, Step::Authorize(_))
            && !matches!(
                came,
                Came::First(_)
                    | Came::Increased { .. }
                    | Came::Declined(DeclineReason::DuplicateTransmission)
            );
        self.has_rules && is_request && (0..RULES.len()).any(asks)
    }

    /// The requests that are the history of a card, with what was set aside for them.
    fn history(&self, of: u64) -> impl Iterator<Item = (&Happened, &Payment, i64)> {
        self.past.iter().filter_map(move |past| match &past.step {
            Step::Authorize(payment) if payment.card == of && past.in_history => {
                let lines = past.lines.iter();
                let taken = lines.map(|line| line.held.plus(line.posted).account.max(0));
                Some((past, payment, taken.sum()))
            }
            _ => None,
        })
    }

    /// A condition on an amount that is not known is none that holds.
    fn matches(&self, rule: usize, payment: &Payment) -> bool {
        let amount = abroad::stated_in_dollars(payment.case, payment.amount);
        let amount_is = |holds: fn(i64) -> bool| amount.is_some_and(holds);
        let place = PLACES[usize::from(payment.place)];
        let history = || self.history(payment.card);
        let is_declined = |past: &Happened| matches!(past.came, Came::Declined(_));
        let approvals = || history().filter(move |(past, ..)| !is_declined(past));
        let is_within =
            |window, past: &Happened| in_window(&limit(0, window, None, None), past.at, self.at);
        match rule {
            0 => {
                let lately = approvals().filter(|(past, ..)| is_within(HOUR, past));
                lately.count() >= 2 && amount_is(|amount| amount > 300)
            }
            1 => {
                let merchant = |place: Place| (place.merchant_id, place.acquirer_id);
                let is_known = approvals().any(|(_, then, _)| {
                    merchant(PLACES[usize::from(then.place)]) == merchant(place)
                });
                !is_known && amount_is(|amount| amount % 7 == 0 && amount > 0)
            }
            2 => {
                let of_day = |(past, ..): &(&Happened, _, _)| is_within(ROLLING_DAY, past);
                let declines = history().filter(|(past, ..)| is_declined(past));
                let spent: i64 = approvals().filter(of_day).map(|(.., taken)| taken).sum();
                let last = approvals().last();
                declines.filter(of_day).count() >= 3
                    || last.is_some_and(|(last, ..)| last.at.plus_ms(MINUTE_MS) > self.at)
                        && spent > 600
            }
            3 => place.entry_mode == EntryMode::Manual && amount_is(|amount| amount > 60),
            _ => {
                let abroad = [7995, 6011].contains(&payment.mcc) && place.country != "US";
                abroad || amount_is(|amount| amount != 5 && 100 / (amount - 5) > 30)
            }
        }
    }

    /// The first of these messages, if it is not forgotten: itself, and what was heard of it.
    fn first_answer(&self, same: impl Fn(&Step) -> bool) -> Option<(&Step, Heard)> {
        let found = self.past.iter().rev().find(|past| {
            let first = !matches!(
                past.came,
                Came::First(_)
                    | Came::Duplicate
                    | Came::Declined(DeclineReason::DuplicateTransmission)
            );
            first && same(&past.step)
        })?;
        let live = found.at.plus_ms(FIRST_ANSWER_MS) > self.at;
        live.then(|| (&found.step, heard(&found.came)))
    }

    fn decide(&self, step: &Step) -> (Came, Vec<Line>) {
        let came = match step {
            Step::Authorize(payment) => return self.authorize(payment),
            Step::Advise {
                payment,
                was_declined,
                is_final,
            } => return self.advise(payment, *was_declined, *is_final),
            Step::Reverse {
                card,
                name,
                names,
                amount,
                stays,
            } => return self.reverse((*card, *name), *names, (*amount, *stays)),
            Step::Expire => return self.expire(),
            Step::TopUp { id, account, .. } => self.top_up(*id, *account),
            Step::Status { card, change } => self.change_card_status(*card, *change),
            Step::AccountStatus { account, change } => {
                self.change_account_status(*account, *change)
            }
            Step::Controls { .. } | Step::Wait { .. } => Came::Done,
            Step::Rule { rule, change } => self.change_rule(*rule, *change),
        };
        (came, vec![])
    }

    fn expire(&self) -> (Came, Vec<Line>) {
        let due = self.due();
        let ended = |place: &usize| {
            let known = self.of(*place);
            Line {
                of: *place,
                held: known.held.negative(),
                end: Some(ends_by(known)),
                ..Line::default()
            }
        };
        let lines = due.iter().map(ended).collect();
        (Came::Expired(due), lines)
    }

    fn top_up(&self, id: u64, account: u64) -> Came {
        let same = |past: &&Happened| {
            let live = past.at.plus_ms(REVERSAL_MS) > self.at && past.came == Came::Done;
            live && matches!(past.step, Step::TopUp { id: of, .. } if of == id)
        };
        let closed = self.account_state(account) == AccountStatusChange::Close;
        match self.past.iter().find(same).map(|past| &past.step) {
            Some(Step::TopUp { account: of, .. }) if *of == account => Came::AlreadyDone,
            Some(_) => Came::Refused,
            None if closed => Came::Refused,
            None => Came::Done,
        }
    }

    fn authorize(&self, payment: &Payment) -> (Came, Vec<Line>) {
        let first = self.first_answer(|step| match step {
            Step::Authorize(first) => {
                (first.card, first.name, first.posts) == (payment.card, payment.name, payment.posts)
            }
            _ => false,
        });
        match first {
            Some((Step::Authorize(first), heard)) if first.asks() == payment.asks() => {
                return (Came::First(heard), vec![]);
            }
            Some(_) => {
                return (Came::Declined(DeclineReason::DuplicateTransmission), vec![]);
            }
            None => {}
        }
        let adds = payment.kind == Kind::Incremental;
        let about = match adds {
            true => self.meant(payment.card, payment.of, Some(false)).place(),
            false => None,
        };
        let about = about.filter(|place| self.of(*place).is_open());
        let account = match about {
            Some(place) => self.of(place).account,
            None => self.payer(payment),
        };
        let taken = self.payable(payment, account);
        let no = sanity(payment).or_else(|| {
            if self.is_reversed(payment.card, payment.names) {
                Some(DeclineReason::ReversedBeforeOriginal)
            } else if adds && about.is_none() {
                Some(DeclineReason::OriginalNotFound)
            } else {
                self.rules(payment, account, about, taken.map(|taken| taken.account))
            }
        });
        match (no, taken) {
            (Some(reason), _) => (Came::Declined(reason), vec![]),
            (None, Some(taken)) => self.approve(payment, account, about, taken),
            (None, None) => unreachable!("without a rate it is declined"),
        }
    }

    /// The first of the card's accounts that could pay all of it, or a part, or the first of them.
    fn payer(&self, payment: &Payment) -> u64 {
        let mut accounts = accounts_of_card(payment.card);
        let first = accounts[0];
        let Some(whole) = payment.comes_to().filter(|_| payment.takes_money()) else {
            return first;
        };
        accounts.retain(|account| {
            let mut line = line_of(*account).into_iter();
            line.all(|account| self.account_state(account) == AccountStatusChange::Unfreeze)
        });
        let has = |account: &&u64| whole <= self.available(**account);
        let has_some = |account: &&u64| {
            let taken = self.payable(payment, **account);
            taken.is_some_and(|taken| taken.local < payment.amount)
        };
        let of_some = accounts.iter().find(has_some);
        *accounts.iter().find(has).or(of_some).unwrap_or(&first)
    }

    /// What may be approved from an account: all, or a part of it. The account's currency is rounded apart.
    fn payable(&self, payment: &Payment, account: u64) -> Option<Both> {
        let (available, whole) = (self.available(account), payment.comes_to()?);
        let part = match (1..whole).contains(&available) && payment.can_be_in_part() {
            true => abroad::part(payment.case, payment.amount, available),
            false => None,
        };
        let (local, account) = part.unwrap_or((payment.amount, whole));
        Some(Both { account, local })
    }

    fn approve(
        &self,
        payment: &Payment,
        account: u64,
        about: Option<usize>,
        taken: Both,
    ) -> (Came, Vec<Line>) {
        let available = self.available(account);
        if let Some(of) = about {
            let line = Line {
                of,
                held: taken,
                part: Some(Part::Increment),
                renews: true,
                ..Line::default()
            };
            let available = available - taken.account;
            return (Came::Increased { of, available }, vec![line]);
        }
        let part = (taken.local < payment.amount).then_some(taken.local);
        let line = self.opening(payment, account, taken, payment.kept(part));
        let opens = !payment.asks_only() && taken.account > 0;
        let lines: Vec<Line> = opens.then_some(line).into_iter().collect();
        let moved: i64 = lines
            .iter()
            .map(|line| line.held.plus(line.posted).account)
            .sum();
        let available = available - moved;
        let came = match payment.kind {
            Kind::BalanceInquiry => Came::Balances {
                posted: self.posted(account),
                available,
            },
            _ if part.is_some() => Came::Partial {
                approved: taken.local,
                taken: taken.account,
                available,
            },
            _ => Came::Approved { available },
        };
        (came, lines)
    }

    /// A new authorization, posted at once or held; a credit holds nothing.
    fn opening(&self, payment: &Payment, account: u64, taken: Both, kept: Kept) -> Line {
        let charged = payment.charge(taken.account, taken.local);
        let nothing = Both::default();
        let (held, posted, kept) = match payment.posts {
            true => (nothing, charged, kept),
            false if payment.is_credit() => (nothing, nothing, Kept::default()),
            false => (taken, nothing, Kept::default()),
        };
        Line {
            of: self.here(),
            opens_on: Some(account),
            held,
            posted,
            kept,
            end: payment.posts.then_some(End::Completed),
            ..Line::default()
        }
    }

    /// Card, account, money, limits and lists; `about` is what an increment adds to, and what is taken is not known
    /// where there is no rate.
    fn rules(
        &self,
        payment: &Payment,
        account: u64,
        about: Option<usize>,
        taken: Option<i64>,
    ) -> Option<DeclineReason> {
        let card = payment.card;
        let own = self.controls(card);
        match self.card_state(card) {
            CardState { closed: true, .. } => return Some(DeclineReason::CardClosed),
            CardState { frozen: true, .. } => return Some(DeclineReason::CardFrozen),
            CardState {
                activated: false, ..
            } => return Some(DeclineReason::CardNotActivated),
            _ => {}
        }
        let used_by = self.used_by(card);
        if own.single_use && !payment.is_credit() && used_by.is_some() && used_by != about {
            return Some(DeclineReason::CardUsed);
        }
        let line = line_of(account);
        let any_is = |wanted| {
            let mut line = line.iter();
            line.any(|account| self.account_state(*account) == wanted)
        };
        if any_is(AccountStatusChange::Close) {
            return Some(DeclineReason::AccountClosed);
        }
        if any_is(AccountStatusChange::Freeze) {
            return Some(DeclineReason::AccountFrozen);
        }
        if let Some(taken) = taken.filter(|taken| payment.takes_money() && *taken > 0) {
            if taken > self.available(account) {
                return Some(DeclineReason::InsufficientFunds);
            }
            let limit = self.limits(payment, account, taken);
            if limit.is_some() && about.is_none() {
                return limit;
            }
        }
        if own.mcc.is_some_and(|list| !list.passes(payment.mcc)) {
            return Some(DeclineReason::MccBlocked);
        }
        if taken.is_none() {
            return Some(DeclineReason::CurrencyNotAllowed);
        }
        let elsewhere = self.elsewhere(card, PLACES[usize::from(payment.place)]);
        elsewhere
            .or_else(|| self.risk(payment))
            .or_else(|| self.three_ds(payment, account, about))
    }

    fn risk(&self, payment: &Payment) -> Option<DeclineReason> {
        let declines =
            |rule| self.rule_state(rule) == RuleState::Active && self.matches(rule, payment);
        let mut rules = 0..RULES.len();
        rules.any(declines).then_some(DeclineReason::RuleDeclined)
    }

    fn limits(&self, payment: &Payment, account: u64, taken: i64) -> Option<DeclineReason> {
        let card = payment.card;
        let mut all = vec![(Owner::Program, program_controls())];
        for account in line_of(account) {
            all.push((Owner::Account(account), account_controls(account)));
        }
        all.push((Owner::Card, self.controls(card)));
        for (owner, controls) in all {
            for limit in controls.limits.iter().filter(|l| counts(l, payment)) {
                let (used, count) = self.used(owner, card, limit);
                if limit
                    .amount_minor
                    .is_some_and(|allowed| used + taken > allowed)
                {
                    return Some(match limit.window {
                        _ if limit.id.0 == 21 => DeclineReason::CashLimitExceeded,
                        Window::Rolling(_) => DeclineReason::RollingLimitExceeded,
                        Window::Transaction => DeclineReason::PerTransactionLimitExceeded,
                        Window::Day => DeclineReason::DailyLimitExceeded,
                        Window::Week => DeclineReason::WeeklyLimitExceeded,
                        _ => DeclineReason::MonthlyLimitExceeded,
                    });
                }
                if limit.count.is_some_and(|allowed| count >= allowed) {
                    return Some(DeclineReason::VelocityCountExceeded);
                }
            }
        }
        None
    }

    /// What the network has done is carried out, whatever the rules say.
    fn advise(&self, payment: &Payment, was_declined: bool, is_final: bool) -> (Came, Vec<Line>) {
        let first = self.first_answer(|step| match step {
            Step::Advise { payment: first, .. } => {
                (first.card, first.name, first.posts) == (payment.card, payment.name, payment.posts)
            }
            _ => false,
        });
        let asked = (payment.asks(), was_declined);
        match first {
            Some((
                Step::Advise {
                    payment: first,
                    was_declined,
                    ..
                },
                heard,
            )) if (first.asks(), *was_declined) == asked => {
                return (Came::First(heard), vec![]);
            }
            Some(_) => return (Came::Duplicate, vec![]),
            None => {}
        }
        // It is about the account of its original, or else the card's first.
        let is_credit = (payment.kind != Kind::Other).then_some(payment.is_credit());
        let meant = self.meant(payment.card, payment.of, is_credit);
        let known = meant.place().filter(|_| !payment.asks_only());
        let known = known.map(|place| self.of(place));
        let account = known.map_or(account_of_card(payment.card), |known| known.account);
        let comes_to = payment.comes_to().filter(|amount| *amount >= 0);
        let is_early = self.is_reversed_early(payment.card, payment.names);
        let is_repeated = comes_to.is_some_and(|amount| self.is_repeated(payment, amount));
        for (raised, flag) in [
            (was_declined, "stand_in_decline"),
            (comes_to.is_none(), "not_postable"),
            (payment.moves_nothing(), "moves_nothing"),
            (is_early, "reversed_before"),
            (is_repeated, "repeated"),
        ] {
            if raised {
                return self.recorded(account, flag);
            }
        }
        let amount = Both {
            account: comes_to.unwrap(),
            local: payment.amount,
        };
        let told = Told {
            payment,
            account,
            amount,
        };
        let how = known.and_then(|known| known.closed.map(|(_, how)| how));
        match (payment.posts, known, how) {
            (true, Some(known), _) => self.complete(&told, known, is_final),
            (true, None, _) if meant == Meant::Early => self.open(&told, Some("after_reversal")),
            (_, None, _) if meant == Meant::Early => self.recorded(account, "reversed_before"),
            (_, None, _) => self.open(&told, None),
            (false, Some(known), None) => self.amend(&told, known),
            (false, _, Some(End::Completed)) => self.recorded(account, "after_completion"),
            (false, _, Some(End::Reversed)) => self.recorded(account, "reversed_before"),
            (false, _, Some(End::Released)) => self.open(&told, Some("after_expiry")),
        }
    }

    fn recorded(&self, account: u64, flag: &'static str) -> (Came, Vec<Line>) {
        let advice = Advice {
            what: What::Recorded,
            available: self.available(account),
            flags: vec![flag],
            breach: None,
        };
        (Came::Advised(advice), vec![])
    }

    /// What an advice came to, with one line; completes the flags.
    fn advised(
        &self,
        told: &Told,
        (what, line): (What, Line),
        mut flags: Vec<&'static str>,
        breach: Option<DeclineReason>,
    ) -> (Came, Vec<Line>) {
        let before = self.available(told.account);
        let available = before - line.held.plus(line.posted).account;
        let takes = told.payment.takes_money() && told.amount.account > 0;
        if takes && available < 0 {
            flags.push("overdrawn");
        }
        let named: Vec<_> = Flags::ALL.iter().map(|(_, name)| *name).collect();
        flags.sort_by_key(|flag| named.iter().position(|name| name == flag));
        let advice = Advice {
            what,
            available,
            flags,
            breach,
        };
        (Came::Advised(advice), vec![line])
    }

    fn open(&self, told: &Told, flag: Option<&'static str>) -> (Came, Vec<Line>) {
        let (payment, account) = (told.payment, told.account);
        if told.amount.account == 0 {
            let (came, lines) = self.recorded(account, "moves_nothing");
            return match (came, flag) {
                (Came::Advised(mut advice), Some(flag)) => {
                    advice.flags.insert(0, flag);
                    advice.flags.sort_unstable();
                    (Came::Advised(advice), lines)
                }
                (came, _) => (came, lines),
            };
        }
        let mut flags: Vec<_> = flag.into_iter().collect();
        if payment.posts && !payment.is_credit() && flag != Some("after_reversal") {
            flags.push("force_post");
        }
        let line = self.opening(payment, account, told.amount, payment.kept(None));
        let what = match payment.posts {
            true => What::ForcePosted {
                charged: line.posted.account,
            },
            false => What::Placed {
                held: line.held.account,
            },
        };
        let taken = Some(told.amount.account);
        let breach = sanity(payment).or_else(|| self.rules(payment, account, None, taken));
        self.advised(told, (what, line), flags, breach)
    }

    /// Gives what is open another amount, or adds to it.
    fn amend(&self, told: &Told, known: &Known) -> (Came, Vec<Line>) {
        let (of, payment, before) = (known.place, told.payment, known.held);
        let adds = payment.kind == Kind::Incremental;
        let after = match adds {
            _ if payment.is_credit() => Both::default(),
            true => before.plus(told.amount),
            false => told.amount,
        };
        let ends = before.account > 0 && after.account == 0;
        let end = ends.then(|| ends_by(known));
        let line = Line {
            of,
            held: after.minus(before),
            end,
            part: adds.then_some(Part::Increment),
            renews: true,
            ..Line::default()
        };
        let what = What::Amended {
            of,
            before: before.account,
            after: after.account,
            standing: known.standing(end, known.posted.account),
        };
        let breach = self.short_of(told, before.account);
        self.advised(told, (what, line), vec![], breach)
    }

    /// Posts against an authorization, whatever became of it.
    fn complete(&self, told: &Told, known: &Known, is_final: bool) -> (Came, Vec<Line>) {
        let (of, payment, held) = (known.place, told.payment, known.held);
        let mut flags = vec![];
        if payment.takes_money() && told.amount.account > held.account {
            flags.push("exceeds_hold");
        }
        flags.extend(known.closed.map(|(_, how)| match how {
            End::Released => "after_expiry",
            End::Completed => "after_completion",
            End::Reversed => "after_reversal",
        }));
        let charged = payment.charge(told.amount.account, told.amount.local);
        let ends = is_final || told.amount.account >= held.account;
        let released = if ends { held } else { told.amount.of(held) };
        let line = Line {
            of,
            held: released.negative(),
            posted: charged,
            kept: match charged.account {
                0 => Kept::default(),
                _ => payment.kept(None),
            },
            end: ends.then_some(End::Completed),
            part: Some(Part::Completion),
            ..Line::default()
        };
        let what = What::Completed {
            of,
            charged: charged.account,
            released: released.account,
            // One that stays open is cleared in part, be it by nothing.
            standing: match ends {
                true => Standing::Cleared,
                false => Standing::PartiallyCleared,
            },
        };
        let breach = self.short_of(told, held.account);
        self.advised(told, (what, line), flags, breach)
    }

    /// What was authorized is held against the money alone, and its own hold is part of that.
    fn short_of(&self, told: &Told, held: i64) -> Option<DeclineReason> {
        let available = self.available(told.account) + held;
        (told.payment.takes_money() && told.amount.account > available)
            .then_some(DeclineReason::InsufficientFunds)
    }

    fn reverse(&self, identity: (u64, u8), names: Names, asked: (i64, i64)) -> (Came, Vec<Line>) {
        let first = self.first_answer(|step| match step {
            Step::Reverse { card, name, .. } => (*card, *name) == identity,
            _ => false,
        });
        match first {
            Some((Step::Reverse { amount, stays, .. }, heard)) if (*amount, *stays) == asked => {
                return (Came::First(heard), vec![]);
            }
            Some(_) => return (Came::Duplicate, vec![]),
            None => {}
        }
        let meant = self.meant(identity.0, names, None);
        let Some(place) = meant.place() else {
            let came = match meant {
                Meant::Early => Came::AlreadyReversed,
                _ => Came::Unknown,
            };
            return (came, vec![]);
        };
        let known = self.of(place);
        let is_done = match meant {
            Meant::Part(_, part) => known.is_undone(part),
            _ => false,
        };
        if is_done || known.ended(End::Reversed) {
            return (Came::AlreadyReversed, vec![]);
        }
        self.undo(known, meant, asked.1)
    }

    fn undo(&self, known: &Known, meant: Meant, stays: i64) -> (Came, Vec<Line>) {
        let part = match meant {
            Meant::Part(_, part) => Some(part),
            _ => None,
        };
        let stands_at = known.held.plus(known.posted);
        let moved = part.map_or(stands_at, |part| known.left(part)).above(stays);
        let is_increment = part.is_some_and(|part| {
            let mut lines = known.lines.iter();
            lines.any(|(of, line)| *of == part && line.part == Some(Part::Increment))
        });
        // What is held goes first. No more goes back than there is.
        let nothing = Both::default();
        let (released, returned) = match part {
            None => (moved.of(known.held), moved.minus(moved.of(known.held))),
            Some(_) if is_increment => (moved.of(known.held), nothing),
            Some(_) => (nothing, moved.of(known.posted)),
        };
        let held = known.held.minus(released).account;
        let posted = known.posted.minus(returned).account;
        let end = match known.closed.map(|(_, how)| how) {
            _ if part.is_none() && stays == 0 => Some(End::Reversed),
            Some(End::Completed) if posted == 0 => Some(End::Reversed),
            None if held == 0 && posted != 0 => Some(End::Completed),
            None if held == 0 && released.account > 0 => Some(End::Reversed),
            how => how,
        };
        let moved = released.plus(returned).account;
        let mut flags = vec![];
        if moved < 0 && self.available(known.account) + moved < 0 {
            flags.push("overdrawn");
        }
        flags.extend(known.closed.and_then(|(_, how)| match how {
            End::Released => Some("after_expiry"),
            End::Completed => Some("after_completion"),
            End::Reversed => None,
        }));
        let undoing = Undoing {
            of: known.place,
            what: match part {
                Some(_) => Undid::Part,
                None if stays == 0 => Undid::Whole,
                None => Undid::Above,
            },
            released: released.account,
            returned: returned.account,
            standing: known.standing(end, posted),
            flags,
        };
        let line = Line {
            of: known.place,
            held: released.negative(),
            posted: returned.negative(),
            kept: known.kept.share(-returned.account, known.posted.account),
            end,
            undoes: part.map(|part| (part, stays == 0)),
            ..Line::default()
        };
        (Came::Undone(undoing), vec![line])
    }
}

/// How the time of a hold ends it.
fn ends_by(known: &Known) -> End {
    match known.posted.account {
        0 => End::Released,
        _ => End::Completed,
    }
}

/// Whether what is asked makes sense at all.
fn sanity(payment: &Payment) -> Option<DeclineReason> {
    let amount = payment.amount;
    let fits = match payment.kind {
        Kind::Purchase => amount >= 0,
        _ if payment.asks_only() => amount == 0,
        _ => amount > 0,
    };
    match payment.kind {
        _ if amount < 0 => Some(DeclineReason::InvalidAmount),
        Kind::Other => Some(DeclineReason::UnsupportedFunction),
        _ if !fits => Some(DeclineReason::InvalidAmount),
        _ => None,
    }
}

/// What the network heard of it, whatever it did.
fn heard(came: &Came) -> Heard {
    match came {
        Came::Approved { available } | Came::Increased { available, .. } => Heard::Approved {
            available: *available,
        },
        Came::Partial { approved, .. } => Heard::Partial {
            approved: *approved,
        },
        Came::Balances { posted, available } => Heard::Balances {
            posted: *posted,
            available: *available,
        },
        Came::Declined(reason) => Heard::Declined(*reason),
        Came::Advised(advice) => match advice.what {
            What::Recorded => Heard::Recorded,
            _ => Heard::Accepted,
        },
        Came::Undone(_) | Came::AlreadyReversed => Heard::Accepted,
        Came::Unknown => Heard::Unknown,
        other => unreachable!("the network does not hear of {other:?}"),
    }
}

/// The engine, driven by the same steps.
struct Engine {
    switch: Switch,
    next_id: u64,
    /// The risk rule that the last request was declined by.
    declined_by: Option<RuleId>,
}

/// What opened at this place in the past; each step takes one id, from 2.
fn place_of(id: AuthorizationId) -> usize {
    id.0 as usize - 2
}

fn id_of(place: usize) -> AuthorizationId {
    AuthorizationId(place as u64 + 2)
}

fn rule_id(place: usize) -> RiskRuleId {
    RiskRuleId(500 + place as u64)
}

impl Engine {
    fn of(switch: Switch, next_id: u64) -> Engine {
        Engine {
            switch,
            next_id,
            declined_by: None,
        }
    }

    fn new(shards: usize) -> Engine {
        let mut switch =
            Switch::with_program_and_mark_up(shards, program_controls(), abroad::MARK_UP);
        switch.set_rates(&abroad::rates());
        for (place, expression) in RULES.iter().enumerate() {
            let rule = RiskRule {
                id: rule_id(place),
                program_id: PROGRAM,
                name: "rule".into(),
                expression: (*expression).into(),
                action: RuleAction::Decline,
                state: RuleState::Draft,
                version: 1,
                created_at: switch.at,
            };
            switch.registry(RegistryAction::CreateRiskRule(Box::new(rule)));
        }
        for tree in 1..=TREES {
            for account in line_of(tree + 20) {
                let parent = (account > 10).then(|| account - 10);
                switch.open_sub_account(account, tree, parent, account_controls(account));
            }
            for account in line_of(tree + 20) {
                for card in 1..=2 {
                    let mut card = NewCard::of(account * 100 + card, tree, account);
                    let further = accounts_of_card(card.id).into_iter().skip(1);
                    card.wallet = further.map(AccountId).collect();
                    if is_physical(card.id) {
                        card.card_type = CardType::Physical;
                    }
                    switch.open_card(card);
                }
            }
        }
        Engine::of(switch, 1)
    }

    fn step(&mut self, step: &Step) -> Came {
        self.next_id += 1;
        let (id, switch) = (self.next_id, &mut self.switch);
        let root_of = |card: u64| root_of_account(account_of_card(card));
        let outcome = match step {
            Step::Wait { minutes } => {
                switch.at = switch.at.plus_ms(minutes * MINUTE_MS);
                return Came::Done;
            }
            Step::Expire => {
                let expired = switch.expire().into_iter();
                return Came::Expired(expired.map(place_of).collect());
            }
            Step::Rule { rule, change } => {
                let (rule_id, change) = (rule_id(*rule), *change);
                let change = RegistryAction::ChangeRiskRule { rule_id, change };
                return match switch.registry(change) {
                    RegistryOutcome::Event(_) => Came::Done,
                    RegistryOutcome::AlreadyDone => Came::AlreadyDone,
                    _ => Came::Refused,
                };
            }
            Step::Authorize(payment) => {
                let request = request_of(purchase, id, payment);
                let root = root_of(payment.card);
                switch.command(AccountId(root), Action::Authorize(request))
            }
            Step::Advise {
                payment,
                was_declined,
                is_final,
            } => {
                let of_advice =
                    |id, card, amount, name: &str| advice(id, card, amount, name).payment;
                let advise = Advise {
                    payment: request_of(of_advice, id, payment),
                    was_declined: *was_declined,
                    is_final: *is_final,
                    approval_code: None,
                };
                let root = root_of(payment.card);
                switch.command(AccountId(root), Action::Advise(advise))
            }
            Step::Reverse {
                card,
                name,
                names,
                amount,
                stays,
            } => {
                let name = format!("{card}-{name}");
                let mut request = reversal(id, *card, usd(*amount), &name, "");
                request.original_keys = names.keys();
                request.stays = (*stays > 0).then(|| usd(*stays));
                switch.command(AccountId(root_of(*card)), Action::Reverse(request))
            }
            Step::TopUp {
                id,
                account,
                amount,
            } => switch.top_up(*id, root_of_account(*account), *account, usd(*amount)),
            Step::Status { card, change } => switch.change_status(root_of(*card), *card, *change),
            Step::AccountStatus { account, change } => {
                switch.change_account_status(root_of_account(*account), *account, *change)
            }
            Step::Controls { card, choice } => {
                switch.change_controls(root_of(*card), *card, controls_of(*choice))
            }
        };
        assert_conversion(&outcome, step);
        self.declined_by = match &outcome {
            Outcome::Event(Event::Authorized(authorized)) => {
                let decline = authorized.decision.decline();
                decline.and_then(|decline| decline.rule)
            }
            _ => None,
        };
        came_of(&outcome)
    }

    /// What must hold after every step, whatever came before it.
    fn assert_sound(&self, naive: &Naive) {
        let view = naive.view();
        for tree in 1..=TREES {
            let state = self.switch.world.shard(AccountId(tree));
            for account in line_of(tree + 20) {
                let found = state.account(AccountId(account)).unwrap();
                assert_account(found, &view);
                self.assert_counters(&view, account);
            }
        }
        for known in &view.known {
            let root = AccountId(root_of_account(known.account));
            let state = self.switch.world.shard(root);
            assert_authorization(state, known, view.at);
        }
    }

    fn assert_counters(&self, view: &View, account: u64) {
        let root = root_of_account(account);
        let state = self.switch.world.shard(AccountId(root));
        let found = state.account(AccountId(account)).unwrap();
        let card = account * 100 + 1;
        let check = |owner, counters: &Counters, card, controls: Controls| {
            for limit in controls.limits {
                let found = match limit.window {
                    Window::Transaction => continue,
                    Window::Rolling(window) => counters.used_rolling(limit.id, window, view.at),
                    window => {
                        let end = window_end(window, "UTC", view.at).unwrap();
                        counters.used(limit.id, end)
                    }
                };
                let expected = view.used(owner, card, &limit);
                assert_eq!(found, expected, "{owner:?} {limit:?}");
            }
        };
        check(
            Owner::Account(account),
            &found.counters,
            card,
            account_controls(account),
        );
        let root = state.account(AccountId(root)).unwrap();
        check(
            Owner::Program,
            &root.program_counters,
            card,
            program_controls(),
        );
        for card in [card, card + 1] {
            let counters = &state.card(CardId(card)).unwrap().counters;
            check(Owner::Card, counters, card, view.controls(card));
        }
    }
}

fn assert_account(found: &Account, view: &View) {
    let account = found.id.0;
    let charged = view.charged(account);
    assert_eq!(found.posted_minor, view.posted(account), "{account}");
    assert_eq!(found.held_minor, view.held(account), "{account}");
    assert_eq!(found.available_minor(), view.available(account));
    let kept = view.kept(account);
    let sums = (found.mark_up_minor, found.rounding_minor);
    assert_eq!(sums, (kept.mark_up, kept.rounding), "{account}");
    let network = charged - kept.mark_up - kept.rounding;
    assert_eq!(found.network_settlement_minor, network, "{account}");
    let in_all = found.posted_minor + found.funds_received_minor + charged;
    assert_eq!(in_all, 0, "the books of {account} do not add up");
    assert_eq!(found.open_holds as usize, view.open_holds(account));
}

/// A closed one may be forgotten after its day.
fn assert_authorization(state: &State, known: &Known, at: Timestamp) {
    let found = state.authorizations.get(id_of(known.place));
    let since = known.closed.map(|(since, _)| since);
    let Some(found) = found else {
        let is_old = since.is_some_and(|since| since.plus_ms(REVERSAL_MS) <= at);
        assert!(is_old, "authorization {} is forgotten", known.place);
        return;
    };
    assert_eq!(found.account_id.0, known.account, "{known:?}");
    let both = |both: &InBoth| (both.account_minor, both.transaction_minor);
    let held = (known.held.account, known.held.local);
    match known.payment.is_credit() {
        true => assert_eq!(found.held.account_minor, 0, "{known:?}"),
        false => assert_eq!(both(&found.held), held, "{known:?}"),
    }
    let posted = (known.posted.account, known.posted.local);
    assert_eq!(both(&found.posted), posted, "{known:?}");
    let kept = (found.kept.mark_up_minor, found.kept.rounding_minor);
    let expected = (known.kept.mark_up, known.kept.rounding);
    assert_eq!(kept, expected, "{known:?}");
    assert_eq!(found.closed.map(|closed| closed.at), since, "{known:?}");
    if known.is_open() {
        assert_eq!(found.expires_at, known.due, "{known:?}");
    }
    let posted = known.posted.account;
    let ended = Authorization::standing(found.closed.map(|closed| closed.by), posted);
    assert_eq!(ended, known.standing(None, posted), "{known:?}");
}

fn request_of(
    make: impl Fn(u64, u64, Money, &str) -> Authorize,
    id: u64,
    payment: &Payment,
) -> Authorize {
    // A single message and an authorization are of different classes: neither repeats the other.
    let class = if payment.posts { "posted " } else { "" };
    let name = format!("{class}{}-{}", payment.card, payment.name);
    let mut request = make(id, payment.card, usd(payment.amount), &name);
    request.amounts = abroad::amounts(payment.case, payment.amount);
    request.match_keys = payment.names.keys();
    request.original_keys = payment.of.keys();
    request.merchant.mcc = payment.mcc;
    set_place(&mut request, PLACES[usize::from(payment.place)]);
    request.kind = payment.kind;
    request.partial_approval_supported = payment.in_part;
    request.posts = payment.posts;
    request
}

fn set_place(request: &mut Authorize, place: Place) {
    request.channel = place.channel;
    request.entry_mode = place.entry_mode;
    request.merchant.country = Country::from_alpha2(place.country).unwrap();
    request.merchant.id = ArrayString::from(place.merchant_id).unwrap();
    request.merchant.name = ArrayString::from(place.merchant_name).unwrap();
    request.reference.acquirer_id = ArrayString::from(place.acquirer_id).unwrap();
    let (authentication, cryptogram, exemption) = match place.said {
        Said::Nothing => Default::default(),
        Said::Authenticated => (
            Authentication::Authenticated,
            Cryptogram::Present,
            Exemption::None,
        ),
        Said::LowValue => (
            Authentication::NotAuthenticated,
            Cryptogram::Absent,
            Exemption::LowValue,
        ),
        Said::Failed => (
            Authentication::Failed,
            Cryptogram::Absent,
            Exemption::LowValue,
        ),
        Said::Wrong => (
            Authentication::Authenticated,
            Cryptogram::Invalid,
            Exemption::None,
        ),
    };
    request.initiated_by_merchant = place.said == Said::Wrong;
    request.three_ds = ThreeDs {
        eci: None,
        authentication,
        cryptogram,
        exemption,
    };
}

/// Of what was carried out everything is kept of how its amount came about.
fn assert_conversion(outcome: &Outcome, step: &Step) {
    let (payment, conversion, part) = match (step, outcome) {
        (Step::Authorize(payment), Outcome::Event(Event::Authorized(authorized))) => {
            let part = match &authorized.decision {
                Decision::Declined(_) => return,
                Decision::Approved { .. } => None,
                Decision::PartiallyApproved { approved, .. } => Some(approved.amount_minor),
            };
            (payment, authorized.conversion.as_deref(), part)
        }
        (Step::Advise { payment, .. }, Outcome::Event(Event::Advised(advised))) => {
            match advised.outcome {
                AdviceOutcome::Recorded | AdviceOutcome::Duplicate => return,
                _ => (payment, advised.conversion.as_deref(), None),
            }
        }
        _ => return,
    };
    let (case, amount) = (payment.case, payment.amount);
    abroad::assert_kept(case, amount, part, payment.is_credit(), conversion);
}

fn came_of(outcome: &Outcome) -> Came {
    match outcome {
        Outcome::Event(Event::Authorized(authorized)) => authorized_came(authorized),
        Outcome::Event(Event::Advised(advised)) => advised_came(advised),
        Outcome::Event(Event::Reversed(reversed)) => match &reversed.outcome {
            ReversalOutcome::Undone(undone) => undone_came(undone),
            ReversalOutcome::OriginalUnknown => Came::Unknown,
            ReversalOutcome::AlreadyReversed => Came::AlreadyReversed,
            ReversalOutcome::Duplicate => Came::Duplicate,
        },
        Outcome::Event(_) => Came::Done,
        Outcome::FirstAnswer(answer) => Came::First(heard_again(answer)),
        Outcome::AlreadyDone => Came::AlreadyDone,
        Outcome::Refused(_) => Came::Refused,
    }
}

fn authorized_came(authorized: &Authorized) -> Came {
    let available = authorized.available_minor;
    let charged = charged(&authorized.postings);
    match &authorized.decision {
        Decision::Approved { .. } => match (authorized.balances, authorized.increased) {
            (Some(balances), _) => Came::Balances {
                posted: balances.posted_minor,
                available: balances.available_minor,
            },
            (None, Some(increased)) => Came::Increased {
                of: place_of(increased.authorization_id),
                available,
            },
            (None, None) => Came::Approved { available },
        },
        Decision::PartiallyApproved { approved, .. } => {
            let taken = authorized.hold.as_ref().unwrap().amount_minor;
            assert!([0, taken].contains(&charged));
            Came::Partial {
                approved: approved.amount_minor,
                taken,
                available,
            }
        }
        Decision::Declined(decline) => {
            assert!(authorized.hold.is_none() && authorized.increased.is_none() && charged == 0);
            Came::Declined(decline.reason)
        }
    }
}

fn advised_came(advised: &Advised) -> Came {
    let charged = charged(&advised.postings);
    let what = match &advised.outcome {
        AdviceOutcome::Duplicate => return Came::Duplicate,
        AdviceOutcome::Recorded => What::Recorded,
        AdviceOutcome::Placed(placed) => What::Placed {
            held: placed.amount_minor,
        },
        AdviceOutcome::ForcePosted(_) => What::ForcePosted { charged },
        AdviceOutcome::Amended {
            authorization_id,
            before_minor,
            after_minor,
            standing,
            ..
        } => What::Amended {
            of: place_of(*authorization_id),
            before: *before_minor,
            after: *after_minor,
            standing: *standing,
        },
        AdviceOutcome::Completed {
            authorization_id,
            released_minor,
            standing,
        } => What::Completed {
            of: place_of(*authorization_id),
            charged,
            released: *released_minor,
            standing: *standing,
        },
    };
    Came::Advised(Advice {
        what,
        available: advised.available_minor,
        flags: advised.flags.names().collect(),
        breach: advised.breach.map(|breach| breach.reason),
    })
}

fn undone_came(undone: &Undone) -> Came {
    Came::Undone(Undoing {
        of: place_of(undone.authorization_id),
        what: match undone.what {
            UndoneWhat::Whole => Undid::Whole,
            UndoneWhat::Above => Undid::Above,
            UndoneWhat::Part { .. } => Undid::Part,
        },
        released: undone.released.account_minor,
        returned: undone.returned.account_minor,
        standing: undone.standing,
        flags: undone.flags.names().collect(),
    })
}

/// What these legs take from the account.
fn charged(postings: &Postings) -> i64 {
    let legs = postings.iter();
    let customer = legs.filter(|leg| matches!(leg.ledger_account, LedgerAccount::Customer(_)));
    -customer.map(|leg| leg.amount_minor).sum::<i64>()
}

fn heard_again(answer: &Answer) -> Heard {
    match answer {
        Answer::Authorization { result, .. } => match result {
            AnswerResult::Approved {
                available_minor, ..
            } => Heard::Approved {
                available: *available_minor,
            },
            AnswerResult::Declined(reason) => Heard::Declined(*reason),
            AnswerResult::PartiallyApproved { approved, .. } => Heard::Partial {
                approved: approved.amount_minor,
            },
            AnswerResult::Balances(balances) => Heard::Balances {
                posted: balances.posted_minor,
                available: balances.available_minor,
            },
        },
        Answer::Advice { result, .. } => match result {
            AdviceResult::Accepted => Heard::Accepted,
            AdviceResult::Recorded => Heard::Recorded,
            AdviceResult::Duplicate => unreachable!("a clash is not remembered"),
        },
        Answer::Reversal { result, .. } => match result {
            ReversalResult::Accepted => Heard::Accepted,
            ReversalResult::OriginalUnknown => Heard::Unknown,
            ReversalResult::Duplicate => unreachable!("a clash is not remembered"),
        },
    }
}

/// Runs the steps through both; gives the engine for a closer look.
fn run_both(steps: &[Step], shards: usize) -> Engine {
    let mut engine = Engine::new(shards);
    let mut naive = Naive {
        has_rules: true,
        ..Naive::default()
    };
    for (place, step) in steps.iter().enumerate() {
        naive.at = engine.switch.at;
        let (expected, lines) = naive.decide(step);
        let came = engine.step(step);
        assert_eq!(came, expected, "step {place} of {steps:#?}");
        naive.note(step, expected, lines);
        naive.at = engine.switch.at;
        engine.assert_sound(&naive);
    }
    engine
}

fn any_card() -> impl Strategy<Value = u64> {
    (any_account(), 1u64..=2).prop_map(|(account, card)| account * 100 + card)
}

fn any_account() -> impl Strategy<Value = u64> {
    (1..=TREES, 0u64..3).prop_map(|(tree, level)| tree + 10 * level)
}

/// Few enough that they clash.
fn any_names() -> impl Strategy<Value = Names> {
    (0u8..4, 0u8..4, 0u8..4, 0u8..3).prop_map(|(rrn, sent, local, acquirer)| Names {
        rrn,
        sent,
        local,
        acquirer,
    })
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        8 => Just(Kind::Purchase),
        2 => Just(Kind::CashWithdrawal),
        2 => Just(Kind::PreAuthorization),
        1 => Just(Kind::Refund),
        1 => Just(Kind::BalanceInquiry),
        1 => Just(Kind::AccountVerification),
        1 => Just(Kind::Incremental),
        1 => Just(Kind::Other),
    ]
}

/// Names of one text, names that share the RRN only, and any.
fn any_colliding_names() -> impl Strategy<Value = Names> {
    let sharing = (1u8..3, 1u8..6).prop_map(|(rrn, name)| Names {
        rrn,
        ..Names::all(name)
    });
    prop_oneof![5 => (1u8..5).prop_map(Names::all), 2 => sharing, 1 => any_names()]
}

fn any_payment(
    card: impl Strategy<Value = u64>,
    amount: impl Strategy<Value = i64>,
) -> impl Strategy<Value = Payment> {
    let names = (any_colliding_names(), any_colliding_names(), any::<bool>());
    let rest = (0u8..8, any_kind(), any::<bool>(), 0u8..4, any_case());
    (card, 0u8..8, names, amount, rest).prop_map(|(card, name, names, amount, rest)| {
        let ((names, of, about_itself), (place, kind, in_part, posts, case)) = (names, rest);
        // Most ask as they should.
        let amount = match payment_asks_only(kind) && amount % 8 != 0 {
            true => 0,
            false => abroad::local(case, amount),
        };
        let payment = Payment::purchase(card, name, names, amount);
        Payment {
            of: if about_itself { names } else { of },
            case,
            kind,
            in_part,
            place,
            // No network adds to an authorization with a single message.
            posts: posts == 0 && kind != Kind::Incremental,
            ..payment
        }
    })
}

fn any_case() -> impl Strategy<Value = u8> {
    prop_oneof![6 => Just(0u8), 5 => 1..abroad::CASES]
}

fn payment_asks_only(kind: Kind) -> bool {
    matches!(kind, Kind::AccountVerification | Kind::BalanceInquiry)
}

fn any_advice(payment: impl Strategy<Value = Payment>) -> impl Strategy<Value = Step> {
    let posts = proptest::bool::weighted(0.7);
    let marks = (posts, proptest::bool::weighted(0.1), any::<bool>());
    (payment, marks).prop_map(|(payment, (posts, was_declined, is_final))| Step::Advise {
        payment: Payment {
            posts: posts && payment.kind != Kind::Incremental,
            ..payment
        },
        was_declined,
        is_final,
    })
}

fn any_reversal(card: impl Strategy<Value = u64>) -> impl Strategy<Value = Step> {
    let stays = prop_oneof![2 => Just(0i64), 1 => 1i64..200];
    let asked = (1i64..4, stays);
    (card, 0u8..8, any_colliding_names(), asked).prop_map(|(card, name, names, asked)| {
        Step::Reverse {
            card,
            name,
            names,
            amount: asked.0,
            stays: asked.1,
        }
    })
}

/// Conversations about the payments of four cards on three accounts, with few names.
fn any_conversation() -> impl Strategy<Value = Vec<Step>> {
    let card = || prop_oneof![4 => Just(101u64), 1 => Just(102), 1 => Just(1101), 1 => Just(1102)];
    let amount = || prop_oneof![1 => Just(-5i64), 4 => Just(0), 24 => 1i64..150, 2 => 300i64..500];
    let kind = prop_oneof![6 => Just(Kind::Purchase), 2 => Just(Kind::PreAuthorization), 2 => Just(Kind::Refund)];
    let payment = || any_payment(card(), amount());
    let minutes = prop_oneof![
        4 => 0i64..3,
        4 => 14i64..20,
        3 => 300i64..800,
        2 => 1_400i64..1_500,
        1 => 10_000i64..10_200
    ];
    let step = prop_oneof![
        6 => (payment(), kind).prop_map(|(payment, kind)| Step::Authorize(Payment { kind, ..payment })),
        2 => payment().prop_map(|payment| Step::Authorize(Payment {
            kind: Kind::Incremental,
            posts: false,
            ..payment
        })),
        8 => any_advice(payment()),
        1 => payment().prop_map(|payment| Step::Advise {
            payment: Payment {
                kind: Kind::Purchase,
                amount: 0,
                posts: false,
                ..payment
            },
            was_declined: false,
            is_final: true,
        }),
        6 => any_reversal(card()),
        1 => (1u64..40, 1i64..200).prop_map(|(id, amount)| Step::TopUp { id: id * 10 + 1, account: 1, amount }),
        1 => (card(), 0usize..4).prop_map(|(card, choice)| Step::Controls {
            card,
            choice: [0, 2, 7, 9][choice],
        }),
        1 => any_rule_change(),
        4 => minutes.prop_map(|minutes| Step::Wait { minutes }),
        2 => Just(Step::Expire),
    ];
    let money =
        [(1, 1, 600), (2, 11, 300), (3, 21, 150)].map(|(id, account, amount)| Step::TopUp {
            id: id * 10 + 1,
            account,
            amount,
        });
    proptest::collection::vec(step, 1..70)
        .prop_map(move |steps| money.iter().cloned().chain(steps).collect())
}

fn any_rule_change() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        6 => Just(RuleChange::Promote),
        2 => Just(RuleChange::Demote),
        1 => Just(RuleChange::Retire),
    ];
    (0..RULES.len(), change).prop_map(|(rule, change)| Step::Rule { rule, change })
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let amount = || prop_oneof![1 => Just(0i64), 1 => Just(-5), 20 => 1i64..700];
    let status = prop_oneof![
        4 => Just(StatusChange::Freeze),
        8 => Just(StatusChange::Unfreeze),
        4 => Just(StatusChange::Activate),
        1 => Just(StatusChange::Close),
    ];
    let account_status = prop_oneof![
        2 => Just(AccountStatusChange::Freeze),
        4 => Just(AccountStatusChange::Unfreeze),
        3 => Just(AccountStatusChange::Close),
    ];
    let minutes = prop_oneof![
        0i64..3,
        10i64..20,
        300i64..900,
        1_400i64..1_500,
        9_000i64..50_000
    ];
    let mcc = prop_oneof![4 => Just(5411u16), 1 => Just(7995)];
    let step = prop_oneof![
        10 => (any_payment(any_card(), amount()), mcc).prop_map(|(payment, mcc)| {
            Step::Authorize(Payment { mcc, ..payment })
        }),
        2 => any_advice(any_payment(any_card(), amount())),
        5 => any_reversal(any_card()),
        4 => (0u64..12, any_account(), 1i64..3_000).prop_map(|(id, account, amount)| {
            // Ids of top-ups are given out once for all trees.
            Step::TopUp { id: id * 10 + root_of_account(account), account, amount }
        }),
        1 => (any_card(), status).prop_map(|(card, change)| Step::Status { card, change }),
        1 => (any_account(), account_status)
            .prop_map(|(account, change)| Step::AccountStatus { account, change }),
        1 => (any_card(), 0usize..CHOICES).prop_map(|(card, choice)| Step::Controls { card, choice }),
        3 => minutes.prop_map(|minutes| Step::Wait { minutes }),
        2 => Just(Step::Expire),
        1 => any_rule_change(),
    ];
    proptest::collection::vec(step, 1..120)
}

/// Many more where there is time.
fn cases(some: u32) -> u32 {
    match std::env::var_os("CARDSWITCH_SOAK") {
        Some(_) => 40 * some,
        None => some,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(200), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_decides_as_the_naive_one_does(steps in any_steps()) {
        run_both(&steps, 2);
    }

    #[test]
    fn conversations_with_few_names_go_as_the_naive_ones_do(steps in any_conversation()) {
        run_both(&steps, 1);
    }

    #[test]
    fn shards_replays_and_snapshots_make_no_difference(steps in any_steps(), cut in 0usize..200) {
        let engines = [1, 2, 8].map(|shards| {
            let mut engine = Engine::new(shards);
            let came: Vec<_> = steps.iter().map(|step| engine.step(step)).collect();
            (engine, came)
        });
        let (first, came) = &engines[0];
        let (trees, all) = (tree_hashes(&first.switch.world), state_hash(&first.switch.world));
        prop_assert_eq!(trees.len() as u64, TREES);
        for (engine, other) in &engines {
            prop_assert_eq!(other, came);
            prop_assert_eq!(&tree_hashes(&engine.switch.world), &trees);
            prop_assert_eq!(&engine.switch.records, &first.switch.records);
        }
        for shards in [1, 2, 8] {
            let records = &first.switch.records;
            prop_assert_eq!(state_hash(&first.switch.replayed(shards)), all);
            let (before, after) = records.split_at(cut.min(records.len()));
            let half = fold(World::new(2), before);
            let restored = through_snapshot(&half, shards);
            prop_assert_eq!(state_hash(&restored), state_hash(&half));
            prop_assert_eq!(state_hash(&fold(restored, after)), all);
        }
    }

    #[test]
    fn a_restored_world_goes_on_as_the_one_that_was_never_stopped(steps in any_steps(), cut in 0usize..120) {
        let (before, after) = steps.split_at(cut.min(steps.len()));
        let mut engine = Engine::new(2);
        before.iter().for_each(|step| drop(engine.step(step)));
        for shards in [1, 3] {
            let restored = through_snapshot(&engine.switch.world, shards);
            let switch = Switch { world: restored, at: engine.switch.at, records: vec![] };
            let mut other = Engine::of(switch, engine.next_id);
            let world = engine.switch.world.clone();
            let mut same = Engine::of(Switch { world, at: engine.switch.at, records: vec![] }, engine.next_id);
            for step in after {
                prop_assert_eq!(other.step(step), same.step(step));
            }
            prop_assert_eq!(state_hash(&other.switch.world), state_hash(&same.switch.world));
        }
    }
}

/// Days of one card with money enough, whose controls are what stands in its way.
fn any_days_of_one_card() -> impl Strategy<Value = Vec<Step>> {
    let card = 101;
    let money = Step::TopUp {
        id: 1,
        account: 1,
        amount: 100_000,
    };
    let amount = prop_oneof![4 => 1i64..120, 1 => 200i64..700];
    let minutes = prop_oneof![0i64..40, 20i64..50, 600i64..900, 1_300i64..1_500];
    let mcc = prop_oneof![9 => Just(5411u16), 1 => Just(7995)];
    let step = prop_oneof![
        12 => (0u8..40, amount, mcc, any_case()).prop_map(move |(name, amount, mcc, case)| {
            let place = name % 8;
            let kinds = [Kind::Purchase, Kind::CashWithdrawal, Kind::Purchase, Kind::PreAuthorization];
            let kind = kinds[usize::from(place % 4)];
            let amount = abroad::local(case, amount);
            let payment = Payment::purchase(card, name, Names::all(name), amount);
            Step::Authorize(Payment { mcc, kind, place, case, ..payment })
        }),
        3 => (0u8..40).prop_map(move |name| {
            Step::Reverse { card, name, names: Names::all(name), amount: 1, stays: 0 }
        }),
        1 => (0..CHOICES).prop_map(move |choice| Step::Controls { card, choice }),
        1 => any_rule_change(),
        3 => minutes.prop_map(|minutes| Step::Wait { minutes }),
    ];
    proptest::collection::vec(step, 1..100)
        .prop_map(move |steps| std::iter::once(money.clone()).chain(steps).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_controls_of_one_card_decide_as_the_naive_ones_do(steps in any_days_of_one_card()) {
        run_both(&steps, 1);
    }
}

/// What these days are worth: that they come to each of these noes.
#[test]
fn the_days_of_one_card_come_to_every_reason_of_the_controls() {
    let mut runner = TestRunner::deterministic();
    let mut found = std::collections::BTreeSet::new();
    let mut rules = std::collections::BTreeSet::new();
    for _ in 0..150 {
        let steps = any_days_of_one_card();
        let steps = steps.new_tree(&mut runner).unwrap().current();
        let mut engine = Engine::new(1);
        for step in &steps {
            if let Came::Declined(reason) = engine.step(step) {
                found.insert(reason);
            }
            if let Some(RuleId::RiskRule(id)) = engine.declined_by {
                rules.insert(id);
            }
        }
    }
    for reason in [
        DeclineReason::CardUsed,
        DeclineReason::PerTransactionLimitExceeded,
        DeclineReason::DailyLimitExceeded,
        DeclineReason::RollingLimitExceeded,
        DeclineReason::VelocityCountExceeded,
        DeclineReason::CashLimitExceeded,
        DeclineReason::MccBlocked,
        DeclineReason::MerchantNotAllowed,
        DeclineReason::MerchantLockMismatch,
        DeclineReason::ChannelBlocked,
        DeclineReason::EntryModeBlocked,
        DeclineReason::OutsideTimeWindow,
        DeclineReason::RuleDeclined,
        DeclineReason::ThreeDsRequired,
        DeclineReason::ThreeDsFailed,
        DeclineReason::CavvInvalid,
    ] {
        assert!(found.contains(&reason), "{reason:?} is not among {found:?}");
    }
    assert_eq!(rules.len(), RULES.len(), "only {rules:?} ever declined");
}

/// Nor are conversions and wallets only in the naive decision maker: all and a part of an amount of each case
/// are approved, a currency without a rate is declined, and each account of a wallet pays.
#[test]
fn random_days_come_to_every_case_of_a_conversion_and_to_every_account_of_a_wallet() {
    let mut runner = TestRunner::deterministic();
    let cases = 0..abroad::CASES - 1;
    let ways = ["whole", "refund", "part", "advised", "reversed in part"];
    let ways = cases.flat_map(|case| ways.map(|way| (way, case)));
    let mut missing: std::collections::BTreeSet<_> = ways.collect();
    missing.insert(("declined", abroad::CASES - 1));
    missing.insert(("not postable", abroad::CASES - 1));
    missing.extend((0..3).map(|place| ("account of a wallet", place)));
    for round in 0..2_000 {
        if missing.is_empty() {
            break;
        }
        let steps = match round % 2 {
            0 => any_steps().new_tree(&mut runner).unwrap().current(),
            _ => any_conversation().new_tree(&mut runner).unwrap().current(),
        };
        let mut engine = Engine::new(1);
        for step in &steps {
            let came = engine.step(step);
            if let Some(found) = case_of(step, &came, &steps) {
                missing.remove(&found);
            }
        }
        for known in engine.switch.world.shards[0].authorizations.iter() {
            let mut accounts = accounts_of_card(known.card_id.0).into_iter();
            let place = accounts.position(|account| account == known.account_id.0);
            missing.remove(&("account of a wallet", place.unwrap() as u8));
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

/// What came of an amount in the currency of a case, in a word.
fn case_of(step: &Step, came: &Came, steps: &[Step]) -> Option<(&'static str, u8)> {
    match (step, came) {
        (Step::Authorize(payment), came) => {
            let way = match came {
                Came::Approved { .. } if payment.is_credit() => "refund",
                Came::Approved { .. } if payment.takes_money() => "whole",
                Came::Partial { .. } => "part",
                Came::Declined(DeclineReason::CurrencyNotAllowed) => "declined",
                _ => return None,
            };
            Some((way, payment.case))
        }
        (Step::Advise { payment, .. }, Came::Advised(advice)) => match advice.what {
            What::Recorded if advice.flags.contains(&"not_postable") => {
                Some(("not postable", payment.case))
            }
            What::Recorded => None,
            _ => Some(("advised", payment.case)),
        },
        (Step::Reverse { stays: 1.., .. }, Came::Undone(undoing)) => match &steps[undoing.of] {
            Step::Authorize(payment) | Step::Advise { payment, .. } if undoing.returned != 0 => {
                Some(("reversed in part", payment.case))
            }
            _ => None,
        },
        _ => None,
    }
}

#[test]
fn the_rates_are_part_of_the_state() {
    let with = |rate| {
        let mut switch = Switch::new(1);
        switch.set_rates(&[(abroad::currency("EUR"), USD, rate)]);
        state_hash(&switch.world)
    };
    assert_eq!(with("1.10"), with("1.1"));
    assert_ne!(with("1.10"), with("1.11"));
}

/// What these conversations are worth: that they come to each outcome, flag and standing.
#[test]
fn the_conversations_come_to_everything_that_messages_can_come_to() {
    let mut runner = TestRunner::deterministic();
    let mut found = std::collections::BTreeSet::new();
    let flags = Flags::ALL.iter().map(|(_, flag)| *flag);
    let flags = flags.filter(|flag| *flag != "unknown_card");
    let wanted: Vec<&str> = WORDS_OF_CONVERSATIONS
        .iter()
        .copied()
        .chain(flags)
        .collect();
    for _ in 0..3_000 {
        if wanted.iter().all(|word| found.contains(*word)) {
            return;
        }
        let steps = any_conversation().new_tree(&mut runner).unwrap().current();
        let mut engine = Engine::new(1);
        for step in &steps {
            note_words(&engine.step(step), &mut found);
        }
    }
    let missing = wanted.iter().filter(|word| !found.contains(**word));
    panic!("{:?} are not among {found:?}", missing.collect::<Vec<_>>());
}

const WORDS_OF_CONVERSATIONS: &[&str] = &[
    "approved",
    "increased",
    "partial",
    "first",
    "unknown",
    "already_reversed",
    "duplicate",
    "expired",
    "recorded",
    "placed",
    "force_posted",
    "force_refunded",
    "breach",
    "amended pending",
    "amended partially_cleared",
    "amended cleared",
    "amended expired",
    "completed partially_cleared",
    "completed cleared",
    "completed a refund",
    "Whole reversed",
    "Above pending",
    "Above partially_cleared",
    "Above cleared",
    "Above reversed",
    "Part pending",
    "Part partially_cleared",
    "Part cleared",
    "Part reversed",
    "Part expired",
    "released",
    "returned",
    "returned a refund",
    "released and returned",
    "card_used",
    "original_not_found",
    "reversed_before_original",
    "insufficient_funds",
];

fn note_words(came: &Came, found: &mut std::collections::BTreeSet<String>) {
    let mut note = |words: &str| {
        found.insert(words.to_owned());
    };
    match came {
        Came::Approved { .. } => note("approved"),
        Came::Increased { .. } => note("increased"),
        Came::Partial { .. } => note("partial"),
        Came::Declined(reason) => note(reason.name()),
        Came::First(_) => note("first"),
        Came::Unknown => note("unknown"),
        Came::AlreadyReversed => note("already_reversed"),
        Came::Duplicate => note("duplicate"),
        Came::Expired(which) if !which.is_empty() => note("expired"),
        Came::Advised(advice) => {
            advice.flags.iter().for_each(|flag| note(flag));
            if advice.breach.is_some() {
                note("breach");
            }
            match &advice.what {
                What::Recorded => note("recorded"),
                What::Placed { .. } => note("placed"),
                What::ForcePosted { charged } if *charged < 0 => note("force_refunded"),
                What::ForcePosted { .. } => note("force_posted"),
                What::Amended { standing, .. } => note(&format!("amended {}", standing.name())),
                What::Completed { charged, .. } if *charged < 0 => note("completed a refund"),
                What::Completed { standing, .. } => note(&format!("completed {}", standing.name())),
            }
        }
        Came::Undone(undoing) => {
            undoing.flags.iter().for_each(|flag| note(flag));
            note(&format!("{:?} {}", undoing.what, undoing.standing.name()));
            match (undoing.released, undoing.returned) {
                (1.., 1..) => note("released and returned"),
                (_, 1..) => note("returned"),
                (_, ..=-1) => note("returned a refund"),
                (1.., _) => note("released"),
                _ => {}
            }
        }
        _ => {}
    }
}

fn through_snapshot(world: &World, shards: usize) -> World {
    let mut bytes = Vec::new();
    snapshot::write(world, &mut bytes).unwrap();
    let restored = snapshot::read(&mut &bytes[..], shards).unwrap();
    let mut again = Vec::new();
    snapshot::write(&restored, &mut again).unwrap();
    if world.shards.len() == shards {
        assert_eq!(bytes, again, "a snapshot of a restored world differs");
    }
    restored
}

/// The longest sequence of what can happen to a purchase or two of one card.
const ORDERS_LENGTH: usize = 6;

#[test]
fn every_order_of_purchase_repeat_reversals_and_freeze() {
    let card = 101;
    let authorize = |amount| Step::Authorize(Payment::purchase(card, 1, Names::all(1), amount));
    let reverse = |name| Step::Reverse {
        card,
        name,
        names: Names::all(1),
        amount: 300,
        stays: 0,
    };
    let kinds = [
        authorize(300),
        authorize(301),
        reverse(1),
        reverse(2),
        Step::Status {
            card,
            change: StatusChange::Freeze,
        },
        Step::Wait { minutes: 16 },
    ];
    // Longer ones of more messages are in `engine_orders.rs`.
    run_every_order(&kinds, ORDERS_LENGTH - 1);
}

/// Two purchases with the same STAN and times, which only the RRN tells apart; their reversals, one of
/// them doubled, and a repeat of the first.
#[test]
fn every_order_of_two_purchases_that_the_rrn_tells_apart_and_their_reversals() {
    let card = 101;
    let names = |rrn| Names {
        rrn,
        ..Names::all(1)
    };
    let authorize =
        |name, amount| Step::Authorize(Payment::purchase(card, name, names(name), amount));
    let reverse = |name, rrn| Step::Reverse {
        card,
        name,
        names: names(rrn),
        amount: 300,
        stays: 0,
    };
    let kinds = [
        authorize(1, 300),
        authorize(2, 200),
        reverse(1, 1),
        reverse(2, 1),
        reverse(3, 2),
        Step::Wait { minutes: 16 },
    ];
    run_every_order(&kinds, ORDERS_LENGTH - 1);
}

/// All sequences of these kinds up to a length, on an account with money.
fn run_every_order(kinds: &[Step; 6], length_max: usize) {
    let mut orders = 0;
    for length in 1..=length_max {
        for number in 0..kinds.len().pow(length as u32) {
            let mut rest = number;
            let mut steps = vec![MONEY];
            for _ in 0..length {
                steps.push(kinds[rest % kinds.len()].clone());
                rest /= kinds.len();
            }
            run_order(&steps);
            orders += 1;
        }
    }
    assert_eq!(orders, (6usize.pow(length_max as u32 + 1) - 6) / 5);
}

const MONEY: Step = Step::TopUp {
    id: 1,
    account: 1,
    amount: 1_000,
};

/// Two purchases, a reversal of each, a double of each, and repeats, whatever names they share.
fn any_order_of_two_purchases() -> impl Strategy<Value = Vec<Step>> {
    let names = proptest::collection::vec(any_names(), 4);
    let order = proptest::collection::vec(0usize..8, 1..=ORDERS_LENGTH);
    (names, order).prop_map(|(names, order)| {
        let authorize = |place: usize, amount| {
            Step::Authorize(Payment::purchase(101, place as u8, names[place], amount))
        };
        let reverse = |name, place: usize| Step::Reverse {
            card: 101,
            name,
            names: names[place],
            amount: 1,
            stays: 0,
        };
        let kinds = [
            authorize(0, 300),
            authorize(1, 200),
            reverse(0, 0),
            reverse(1, 0),
            reverse(2, 1),
            reverse(3, 2),
            reverse(4, 3),
            Step::Wait { minutes: 16 },
        ];
        let steps = order.into_iter().map(|kind| kinds[kind].clone());
        std::iter::once(MONEY).chain(steps).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_purchases_that_share_names_in_any_order(steps in any_order_of_two_purchases()) {
        run_order(&steps);
    }
}

/// As `run_both`, in one small world per order.
fn run_order(steps: &[Step]) {
    let mut switch = Switch::new(1);
    switch.open_account(1, Controls::default());
    switch.open_card(NewCard::of(101, 1, 1));
    let mut engine = Engine::of(switch, 1);
    let mut naive = Naive::default();
    for step in steps {
        naive.at = engine.switch.at;
        let (expected, lines) = naive.decide(step);
        assert_eq!(engine.step(step), expected, "{steps:#?}");
        naive.note(step, expected, lines);
        let account = engine.switch.world.shards[0].account(AccountId(1)).unwrap();
        assert_account(account, &naive.view());
    }
}

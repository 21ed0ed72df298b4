//! A second, naive decision maker that keeps nothing but the list of what happened and adds it up
//! anew each time, against the engine: over random days, and over every order of the five things
//! that can happen to one purchase.

mod engine_support;

use arrayvec::ArrayString;
use cardswitch::engine::command::{AccountStatusChange, Action, Authorize, CardType, StatusChange};
use cardswitch::engine::controls::{Controls, Limit, List, ListMode, Window};
use cardswitch::engine::counters::Counters;
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::event::*;
use cardswitch::engine::facts::{Channel, Country, EntryMode, Kind, MatchKey, MatchKeys};
use cardswitch::engine::groups::{BuiltinMccGroup, MccGroup, MccGroupRef};
use cardswitch::engine::hash::{state_hash, tree_hashes};
use cardswitch::engine::ids::*;
use cardswitch::engine::limit_filter::LimitFilter;
use cardswitch::engine::merchants::{MerchantEntry, MerchantList};
use cardswitch::engine::reason::DeclineReason;
use cardswitch::engine::registry::RegistryAction;
use cardswitch::engine::rolling::RollingWindow;
use cardswitch::engine::snapshot;
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
            rrn: key(self.rrn, rrn),
            sent: key(self.sent, sent),
            local: key(self.local, local),
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

    /// What these do not say, as the other says it.
    fn completed_by(self, other: Names) -> Names {
        let said = |own: u8, other: u8| if own > 0 { own } else { other };
        Names {
            rrn: said(self.rrn, other.rrn),
            sent: said(self.sent, other.sent),
            local: said(self.local, other.local),
            acquirer: said(self.acquirer, other.acquirer),
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// `name` is the identity of the message, by which a repeat of it is known.
    Authorize {
        card: u64,
        name: u8,
        names: Names,
        amount: i64,
        mcc: u16,
        kind: Kind,
        in_part: bool,
        /// One of `PLACES`.
        place: u8,
    },
    Reverse {
        card: u64,
        name: u8,
        names: Names,
        amount: i64,
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
    /// The group 71 has these codes from now on: of `GROUPS`.
    Group {
        choice: usize,
    },
    /// The cardholder 81, at home in the US, who has the first card of every account.
    Verify,
    /// The time of some holds is over.
    Expire,
}

#[derive(Debug, Clone, PartialEq)]
enum Came {
    Approved {
        available: i64,
    },
    /// For what there was, all of it.
    Partial {
        approved: i64,
    },
    Balances {
        posted: i64,
        available: i64,
    },
    Declined(DeclineReason),
    First(Box<Came>),
    Released(i64),
    Unknown,
    AlreadyReversed,
    Duplicate,
    Done,
    AlreadyDone,
    Refused,
    Expired(usize),
}

/// What happened, in order. Everything else is added up from here.
#[derive(Debug, Clone)]
struct Happened {
    at: Timestamp,
    step: Step,
    came: Came,
    /// The controls of the card, for what is counted.
    controls: Controls,
    then: Then,
    /// Where in the past the purchases are that a reversal, or the end of their time, released.
    released: Vec<usize>,
}

/// What limits depended on then.
#[derive(Debug, Clone, Copy)]
struct Then {
    /// What the group 71 had in it.
    group: &'static [u16],
    /// Whether the holder of the first cards was verified.
    verified: bool,
}

/// What a reversal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Meant {
    /// The purchase at this place in the past.
    Open(usize),
    Reversed,
}

#[derive(Debug, Default)]
struct Naive {
    at: Timestamp,
    past: Vec<Happened>,
}

fn root_of_account(account: u64) -> u64 {
    account % 10
}

/// An account and those above it, the root first.
fn line_of(account: u64) -> Vec<u64> {
    (root_of_account(account)..=account).step_by(10).collect()
}

/// Whether the card is of the cardholder 81.
fn has_holder(card: u64) -> bool {
    card % 100 == 1
}

fn is_physical(card: u64) -> bool {
    account_of_card(card) > 20 && card % 100 == 2
}

/// Whether a request of this kind sets money aside.
fn takes_money(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Purchase | Kind::CashWithdrawal | Kind::PreAuthorization
    )
}

/// Cards 100·account + 1 and 2.
fn account_of_card(card: u64) -> u64 {
    card / 100
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
const CHOICES: usize = 12;

/// What the group 71 may have in it; the first is what it begins with.
const GROUPS: [&[u16]; 3] = [&[7995], &[5411], &[5411, 7995]];

fn group(choice: usize, at: Timestamp) -> Box<MccGroup> {
    let codes = GROUPS[choice].to_vec();
    Box::new(MccGroup::new(MccGroupId(71), "ours".into(), codes, at))
}

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
        9 => three_ds(ThreeDsMode::Required, Some(REQUIRED_ABOVE)),
        10 => {
            let ours = vec![MccGroupRef::Own(MccGroupId(71))];
            let of_ours = LimitFilter {
                mcc_groups: ours.clone(),
                ..LimitFilter::default()
            };
            Controls {
                mcc: Some(List::new(ControlId(35), ListMode::Allow, vec![])),
                mcc_groups: vec![ours[0], MccGroupRef::Builtin(BuiltinMccGroup::Gambling)],
                ..limits([filtered(limit(24, Window::Day, Some(150), None), of_ours)])
            }
        }
        _ => {
            let low = LimitFilter {
                until_verified: true,
                ..LimitFilter::default()
            };
            Controls {
                home_country_only: true,
                ..limits([filtered(limit(25, Window::Day, Some(200), None), low)])
            }
        }
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

/// What tells a repeat from another message of the same identity.
type Asked = (i64, Option<Kind>);

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

impl Happened {
    fn is_refund(&self) -> bool {
        let approved = matches!(self.came, Came::Approved { .. });
        approved
            && matches!(
                &self.step,
                Step::Authorize {
                    kind: Kind::Refund,
                    ..
                }
            )
    }

    /// What was set aside.
    fn held(&self) -> i64 {
        match (&self.step, &self.came) {
            (Step::Authorize { amount, kind, .. }, Came::Approved { .. }) if takes_money(*kind) => {
                *amount
            }
            (_, Came::Partial { approved }) => *approved,
            _ => 0,
        }
    }
}

/// Whether a limit counts a purchase.
fn counts(limit: &Limit, step: &Step, then: Then) -> bool {
    let Step::Authorize {
        mcc,
        place,
        kind,
        card,
        ..
    } = step
    else {
        return false;
    };
    let place = PLACES[usize::from(*place)];
    let abroad = ["DE", "FR"].contains(&place.country)
        && [Channel::Atm, Channel::PointOfSale].contains(&place.channel);
    match limit.id.0 {
        21 => *kind == Kind::CashWithdrawal,
        22 => abroad,
        24 => then.group.contains(mcc),
        25 => !(has_holder(*card) && then.verified),
        _ => {
            assert!(limit.filter.is_none() && *mcc > 0);
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
        top_ups.sum()
    }

    /// Requests that a later message may be about, each with the place in the past where it was closed, if it was.
    fn holds(&self) -> Vec<(usize, &Happened, Option<usize>)> {
        let mut closed = vec![None; self.past.len()];
        for (place, past) in self.past.iter().enumerate() {
            for released in &past.released {
                closed[*released] = Some(place);
            }
        }
        let past = self.past.iter().enumerate();
        past.filter(|(_, past)| past.held() > 0 || past.is_refund())
            .map(|(place, past)| (place, past, closed[place]))
            .collect()
    }

    /// The names of what was reversed on this card and is still remembered, each with its time.
    fn reversals(&self, of: u64) -> Vec<(Names, Timestamp)> {
        let reversals = self.past.iter().filter_map(|past| {
            let Step::Reverse { card, names, .. } = past.step else {
                return None;
            };
            let live = past.at.plus_ms(REVERSAL_MS) > self.at && card == of;
            let names = match (&past.came, &past.released[..]) {
                (Came::Released(_), [place]) => match self.past[*place].step {
                    Step::Authorize { names: own, .. } => names.completed_by(own),
                    _ => unreachable!("only purchases are released"),
                },
                (Came::Unknown, _) => names,
                _ => return None,
            };
            live.then_some((names, past.at))
        });
        reversals.collect()
    }

    fn meant(&self, of: u64, asked: Names) -> Option<Meant> {
        let mut candidates = Vec::new();
        for (place, past, closed) in self.holds() {
            if let Step::Authorize { card, names, .. } = past.step
                && closed.is_none()
                && card == of
            {
                let alike = names.alike(asked);
                candidates.extend(alike.map(|alike| (alike, past.at, Meant::Open(place))));
            }
        }
        for (names, at) in self.reversals(of) {
            let alike = names.alike(asked);
            candidates.extend(alike.map(|alike| (alike, at, Meant::Reversed)));
        }
        candidates.into_iter().max().map(|(_, _, meant)| meant)
    }

    /// Where the purchases are whose holds have lasted as long as they may.
    fn due(&self) -> Vec<usize> {
        let holds = self.holds().into_iter();
        holds
            .filter(|(_, past, closed)| closed.is_none() && past.at.plus_ms(HOLD_MS) <= self.at)
            .map(|(place, ..)| place)
            .collect()
    }

    fn held(&self, account: u64) -> i64 {
        let open = self
            .holds()
            .into_iter()
            .filter(|(.., closed)| closed.is_none());
        let amounts = open.filter_map(|(_, past, _)| match past.step {
            Step::Authorize { card, .. } if account_of_card(card) == account => Some(past.held()),
            _ => None,
        });
        amounts.sum()
    }

    fn open_holds(&self, account: u64) -> usize {
        let open = self
            .holds()
            .into_iter()
            .filter(|(.., closed)| closed.is_none());
        open.filter(|(_, past, _)| {
            matches!(past.step, Step::Authorize { card, .. } if account_of_card(card) == account)
        })
        .count()
    }

    fn available(&self, account: u64) -> i64 {
        self.posted(account) - self.held(account)
    }

    fn card_state(&self, card: u64) -> CardState {
        let mut state = CardState {
            activated: !is_physical(card),
            frozen: false,
            closed: false,
        };
        for past in &self.past {
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

    /// What counts of a limit in the window of now: amount and number.
    fn used(&self, owner: Owner, card: u64, limit: &Limit) -> (i64, u32) {
        let account = account_of_card(card);
        let (mut amount, mut count) = (0, 0);
        for (_, past, closed) in self.holds() {
            let Step::Authorize { card: of, .. } = past.step else {
                continue;
            };
            let same = match owner {
                Owner::Card => of == card,
                Owner::Account(account) => line_of(account_of_card(of)).contains(&account),
                Owner::Program => root_of_account(account_of_card(of)) == root_of_account(account),
            };
            let as_then = |l: &Limit| {
                l.id == limit.id && l.window == limit.window && counts(l, &past.step, past.then)
            };
            let counted = match owner {
                Owner::Card => past.controls.limits.iter().any(as_then),
                _ => counts(limit, &past.step, past.then),
            };
            let counted = counted && past.held() > 0;
            if same && counted && closed.is_none() && in_window(limit, past.at, self.at) {
                amount += past.held();
                count += 1;
            }
        }
        (amount, count)
    }

    fn then(&self) -> Then {
        let mut past = self.past.iter();
        Then {
            group: self.group(),
            verified: past.any(|past| matches!(past.step, Step::Verify)),
        }
    }

    fn group(&self) -> &'static [u16] {
        let changes = self.past.iter().rev().find_map(|past| match past.step {
            Step::Group { choice } => Some(GROUPS[choice]),
            _ => None,
        });
        changes.unwrap_or(GROUPS[0])
    }

    /// Where the card was first used since it is locked.
    fn locked_to(&self, of: u64) -> Option<Place> {
        let (mut lock, mut locked) = (false, None);
        for past in &self.past {
            match past.step {
                Step::Controls { card, choice } if card == of => {
                    let before = std::mem::replace(&mut lock, controls_of(choice).merchant_lock);
                    if before && !lock {
                        locked = None;
                    }
                }
                Step::Authorize { card, place, .. } if card == of && lock && past.held() > 0 => {
                    locked = locked.or(Some(PLACES[usize::from(place)]));
                }
                _ => {}
            }
        }
        locked
    }

    fn is_used_up(&self, of: u64) -> bool {
        let marked = |past: &Happened| {
            matches!(past.step, Step::Authorize { card, .. } if card == of)
                && past.held() > 0
                && past.controls.single_use
        };
        // A hold that has ended was a use; one that was reversed was none.
        let is_reversal = |place: usize| matches!(self.past[place].step, Step::Reverse { .. });
        let mut holds = self.holds().into_iter();
        self.controls(of).single_use
            && holds.any(|(_, past, closed)| marked(past) && !closed.is_some_and(is_reversal))
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

    /// The account on level 1 is `silent`; the choice 9 of a card is `required`.
    fn three_ds(&self, card: u64, place: Place, kind: Kind, amount: i64) -> Option<DeclineReason> {
        let required = self.controls(card).three_ds.is_some();
        let silent = account_of_card(card) > 10;
        let must_authenticate = required
            && takes_money(kind)
            && amount > REQUIRED_ABOVE
            && place.channel == Channel::Ecommerce;
        match place.said {
            Said::Failed if required || silent => Some(DeclineReason::ThreeDsFailed),
            Said::Wrong if required || silent => Some(DeclineReason::CavvInvalid),
            Said::Nothing if must_authenticate => Some(DeclineReason::ThreeDsRequired),
            _ => None,
        }
    }

    fn first_answer(&self, key: &str, retention_ms: i64) -> Option<(Asked, Came)> {
        let found = self.past.iter().rev().find(|past| {
            let own = match &past.step {
                Step::Authorize { card, name, .. } => format!("a{card}-{name}"),
                Step::Reverse { card, name, .. } => format!("r{card}-{name}"),
                _ => String::new(),
            };
            let first = !matches!(
                past.came,
                Came::First(_)
                    | Came::Duplicate
                    | Came::Declined(DeclineReason::DuplicateTransmission)
            );
            own == key && first
        })?;
        let asked = match found.step {
            Step::Authorize { amount, kind, .. } => (amount, Some(kind)),
            Step::Reverse { amount, .. } => (amount, None),
            _ => (0, None),
        };
        let live = found.at.plus_ms(retention_ms) > self.at;
        live.then(|| (asked, found.came.clone()))
    }

    fn reversed(&self, card: u64, names: Names) -> bool {
        let mut reversals = self.reversals(card).into_iter();
        reversals.any(|(reversed, _)| reversed.alike(names).is_some())
    }

    fn decide(&self, step: &Step) -> Came {
        match step {
            Step::Authorize {
                card,
                name,
                names,
                amount,
                mcc,
                kind,
                in_part,
                place,
            } => {
                let asked = (*amount, Some(*kind));
                self.authorize(*card, *name, *names, asked, (*mcc, *place), *in_part)
            }
            Step::Reverse {
                card,
                name,
                names,
                amount,
            } => self.reverse(*card, *name, *names, *amount),
            Step::TopUp { id, account, .. } => {
                let same = |past: &&Happened| {
                    let live = past.at.plus_ms(REVERSAL_MS) > self.at && past.came == Came::Done;
                    live && matches!(past.step, Step::TopUp { id: of, .. } if of == *id)
                };
                let closed = self.account_state(*account) == AccountStatusChange::Close;
                match self.past.iter().find(same).map(|past| &past.step) {
                    Some(Step::TopUp { account: of, .. }) if of == account => Came::AlreadyDone,
                    Some(_) => Came::Refused,
                    None if closed => Came::Refused,
                    None => Came::Done,
                }
            }
            Step::Status { card, change } => self.change_card_status(*card, *change),
            Step::AccountStatus { account, change } => {
                self.change_account_status(*account, *change)
            }
            Step::Controls { .. } | Step::Wait { .. } | Step::Group { .. } | Step::Verify => {
                Came::Done
            }
            Step::Expire => Came::Expired(self.due().len()),
        }
    }

    fn authorize(
        &self,
        card: u64,
        name: u8,
        names: Names,
        asked: Asked,
        (mcc, place): (u16, u8),
        in_part: bool,
    ) -> Came {
        match self.first_answer(&format!("a{card}-{name}"), FIRST_ANSWER_MS) {
            Some((first, came)) if first == asked => return Came::First(Box::new(came)),
            Some(_) => return Came::Declined(DeclineReason::DuplicateTransmission),
            None => {}
        }
        let (amount, kind) = (asked.0, asked.1.unwrap_or_default());
        let asks_only = matches!(kind, Kind::AccountVerification | Kind::BalanceInquiry);
        if amount < 0 {
            return Came::Declined(DeclineReason::InvalidAmount);
        }
        if kind == Kind::Incremental {
            return Came::Declined(DeclineReason::UnsupportedFunction);
        }
        if asks_only != (amount == 0) {
            return Came::Declined(DeclineReason::InvalidAmount);
        }
        if self.reversed(card, names) {
            return Came::Declined(DeclineReason::ReversedBeforeOriginal);
        }
        match self.card_state(card) {
            CardState { closed: true, .. } => return Came::Declined(DeclineReason::CardClosed),
            CardState { frozen: true, .. } => return Came::Declined(DeclineReason::CardFrozen),
            CardState {
                activated: false, ..
            } => return Came::Declined(DeclineReason::CardNotActivated),
            _ if kind != Kind::Refund && self.is_used_up(card) => {
                return Came::Declined(DeclineReason::CardUsed);
            }
            _ => {}
        }
        let account = account_of_card(card);
        let line = line_of(account);
        let any_is = |wanted| {
            let mut line = line.iter();
            line.any(|account| self.account_state(*account) == wanted)
        };
        if any_is(AccountStatusChange::Close) {
            return Came::Declined(DeclineReason::AccountClosed);
        }
        if any_is(AccountStatusChange::Freeze) {
            return Came::Declined(DeclineReason::AccountFrozen);
        }
        let (available, mut taken) = (self.available(account), amount);
        if takes_money(kind) && amount > available {
            let whole_only = !in_part || kind == Kind::CashWithdrawal;
            if whole_only || available <= 0 {
                return Came::Declined(DeclineReason::InsufficientFunds);
            }
            taken = available;
        }
        let own = self.controls(card);
        let mut all = vec![(Owner::Program, program_controls())];
        all.extend(
            line.iter()
                .map(|account| (Owner::Account(*account), account_controls(*account))),
        );
        all.push((Owner::Card, own.clone()));
        for (owner, controls) in all.iter().filter(|_| takes_money(kind)) {
            let asked = Step::Authorize {
                card,
                name,
                names,
                amount,
                mcc,
                place,
                kind,
                in_part,
            };
            for limit in controls
                .limits
                .iter()
                .filter(|l| counts(l, &asked, self.then()))
            {
                let (used, count) = self.used(*owner, card, limit);
                if limit
                    .amount_minor
                    .is_some_and(|allowed| used + taken > allowed)
                {
                    return Came::Declined(match limit.window {
                        _ if limit.id.0 == 21 => DeclineReason::CashLimitExceeded,
                        Window::Rolling(_) => DeclineReason::RollingLimitExceeded,
                        Window::Transaction => DeclineReason::PerTransactionLimitExceeded,
                        Window::Day => DeclineReason::DailyLimitExceeded,
                        Window::Week => DeclineReason::WeeklyLimitExceeded,
                        _ => DeclineReason::MonthlyLimitExceeded,
                    });
                }
                if limit.count.is_some_and(|allowed| count >= allowed) {
                    return Came::Declined(DeclineReason::VelocityCountExceeded);
                }
            }
        }
        // Choice 10: our group, and all of gambling.
        let groups_named = !own.mcc_groups.is_empty();
        if groups_named && mcc != 7995 && !self.group().contains(&mcc) {
            return Came::Declined(DeclineReason::MccNotAllowed);
        }
        if own
            .mcc
            .is_some_and(|list| !groups_named && !list.passes(mcc))
        {
            return Came::Declined(DeclineReason::MccBlocked);
        }
        let at_home = has_holder(card) && PLACES[usize::from(place)].country == "US";
        if own.home_country_only && !at_home {
            return Came::Declined(DeclineReason::CountryNotAllowed);
        }
        if let Some(reason) = self.elsewhere(card, PLACES[usize::from(place)]) {
            return Came::Declined(reason);
        }
        if let Some(reason) = self.three_ds(card, PLACES[usize::from(place)], kind, amount) {
            return Came::Declined(reason);
        }
        match kind {
            Kind::BalanceInquiry => Came::Balances {
                posted: self.posted(account),
                available,
            },
            _ if taken < amount => Came::Partial { approved: taken },
            _ if takes_money(kind) => Came::Approved {
                available: available - taken,
            },
            _ => Came::Approved { available },
        }
    }

    fn reverse(&self, card: u64, name: u8, names: Names, amount: i64) -> Came {
        match self.first_answer(&format!("r{card}-{name}"), FIRST_ANSWER_MS) {
            Some((first, came)) if first == (amount, None) => return Came::First(Box::new(came)),
            Some(_) => return Came::Duplicate,
            None => {}
        }
        match self.meant(card, names) {
            Some(Meant::Open(place)) => Came::Released(self.past[place].held()),
            Some(Meant::Reversed) => Came::AlreadyReversed,
            None => Came::Unknown,
        }
    }

    fn note(&mut self, step: &Step, came: Came) {
        let controls = match step {
            Step::Authorize { card, .. } => self.controls(*card),
            _ => Controls::default(),
        };
        let released = match (step, &came) {
            (Step::Reverse { card, names, .. }, Came::Released(_)) => {
                match self.meant(*card, *names) {
                    Some(Meant::Open(place)) => vec![place],
                    _ => vec![],
                }
            }
            (Step::Expire, _) => self.due(),
            _ => vec![],
        };
        let (at, step, then) = (self.at, step.clone(), self.then());
        self.past.push(Happened {
            at,
            step,
            came,
            controls,
            then,
            released,
        });
    }
}

/// The engine, driven by the same steps.
struct Engine {
    switch: Switch,
    next_id: u64,
}

impl Engine {
    fn new(shards: usize) -> Engine {
        let mut switch = Switch::with_program(shards, program_controls());
        let at = switch.at;
        switch.registry(RegistryAction::CreateMccGroup(group(0, at)));
        switch.cardholder(81, "US", false);
        for tree in 1..=TREES {
            for account in line_of(tree + 20) {
                let parent = (account > 10).then(|| account - 10);
                switch.open_sub_account(account, tree, parent, account_controls(account));
                for card in 1..=2 {
                    let mut card = NewCard::of(account * 100 + card, tree, account);
                    card.cardholder_id = has_holder(card.id).then_some(CardholderId(81));
                    if is_physical(card.id) {
                        card.card_type = CardType::Physical;
                    }
                    switch.open_card(card);
                }
            }
        }
        Engine { switch, next_id: 1 }
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
                return Came::Expired(switch.expire().len());
            }
            Step::Verify => {
                switch.verify(81);
                return Came::Done;
            }
            Step::Group { choice } => {
                let changed = group(*choice, switch.at);
                switch.registry(RegistryAction::ChangeMccGroup(changed));
                return Came::Done;
            }
            Step::Authorize {
                card,
                name,
                names,
                amount,
                mcc,
                kind,
                in_part,
                place,
            } => {
                let mut request = purchase(id, *card, usd(*amount), &format!("{card}-{name}"));
                request.match_keys = names.keys();
                request.merchant.mcc = *mcc;
                set_place(&mut request, PLACES[usize::from(*place)]);
                request.kind = *kind;
                request.partial_approval_supported = *in_part;
                switch.command(AccountId(root_of(*card)), Action::Authorize(request))
            }
            Step::Reverse {
                card,
                name,
                names,
                amount,
            } => {
                let name = format!("{card}-{name}");
                let mut request = reversal(id, *card, usd(*amount), &name, "");
                request.original_keys = names.keys();
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
        came_of(&outcome)
    }

    /// What must hold after every step, whatever came before it.
    fn assert_sound(&self, naive: &Naive) {
        for tree in 1..=TREES {
            let state = self.switch.world.shard(AccountId(tree));
            let mut posted_of_tree = 0;
            for account in line_of(tree + 20) {
                let found = state.account(AccountId(account)).unwrap();
                assert_eq!(found.posted_minor, naive.posted(account));
                assert_eq!(found.held_minor, naive.held(account));
                assert_eq!(found.open_holds as usize, naive.open_holds(account));
                assert!(found.available_minor() >= 0);
                let holds = state.holds.iter().filter(|h| h.account_id == found.id);
                assert_eq!(holds.map(|h| h.amount_minor).sum::<i64>(), found.held_minor);
                posted_of_tree += found.posted_minor + found.funds_received_minor;
                self.assert_counters(naive, account);
            }
            assert_eq!(posted_of_tree, 0);
        }
    }

    fn assert_counters(&self, naive: &Naive, account: u64) {
        let root = root_of_account(account);
        let state = self.switch.world.shard(AccountId(root));
        let found = state.account(AccountId(account)).unwrap();
        let card = account * 100 + 1;
        let check = |owner, counters: &Counters, card, controls: Controls| {
            for limit in controls.limits {
                let found = match limit.window {
                    Window::Transaction => continue,
                    Window::Rolling(window) => counters.used_rolling(limit.id, window, naive.at),
                    window => {
                        let end = window_end(window, "UTC", naive.at).unwrap();
                        counters.used(limit.id, end)
                    }
                };
                let expected = naive.used(owner, card, &limit);
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
            check(Owner::Card, counters, card, naive.controls(card));
        }
    }
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

fn came_of(outcome: &Outcome) -> Came {
    match outcome {
        Outcome::Event(Event::Authorized(authorized)) => match &authorized.decision {
            Decision::Approved { .. } => match authorized.balances {
                Some(balances) => balances_of(&balances),
                None => Came::Approved {
                    available: authorized.available_minor,
                },
            },
            Decision::PartiallyApproved { approved, .. } => {
                let hold = authorized.hold.as_ref().map(|hold| hold.amount_minor);
                assert_eq!(
                    (hold, authorized.available_minor),
                    (Some(approved.amount_minor), 0)
                );
                Came::Partial {
                    approved: approved.amount_minor,
                }
            }
            Decision::Declined(decline) => Came::Declined(decline.reason),
        },
        Outcome::Event(Event::Reversed(reversed)) => match reversed.outcome {
            ReversalOutcome::Released { amount_minor, .. } => Came::Released(amount_minor),
            ReversalOutcome::OriginalUnknown => Came::Unknown,
            ReversalOutcome::AlreadyReversed => Came::AlreadyReversed,
            ReversalOutcome::Duplicate => Came::Duplicate,
        },
        Outcome::Event(_) => Came::Done,
        Outcome::FirstAnswer(Answer::Authorization { result, .. }) => {
            Came::First(Box::new(match result {
                AnswerResult::Approved {
                    available_minor, ..
                } => Came::Approved {
                    available: *available_minor,
                },
                AnswerResult::Declined(reason) => Came::Declined(*reason),
                AnswerResult::PartiallyApproved { approved, .. } => Came::Partial {
                    approved: approved.amount_minor,
                },
                AnswerResult::Balances(balances) => balances_of(balances),
            }))
        }
        // The network hears the same for a release now and one before.
        Outcome::FirstAnswer(Answer::Reversal { result, .. }) => {
            Came::First(Box::new(match result {
                ReversalResult::Accepted => Came::AlreadyReversed,
                ReversalResult::OriginalUnknown => Came::Unknown,
                ReversalResult::Duplicate => Came::Duplicate,
            }))
        }
        Outcome::AlreadyDone => Came::AlreadyDone,
        Outcome::Refused(_) => Came::Refused,
    }
}

fn balances_of(balances: &Balances) -> Came {
    Came::Balances {
        posted: balances.posted_minor,
        available: balances.available_minor,
    }
}

fn as_heard(came: Came) -> Came {
    match came {
        Came::First(first) => Came::First(Box::new(match *first {
            Came::Released(_) => Came::AlreadyReversed,
            other => other,
        })),
        other => other,
    }
}

/// Runs the steps through both; gives the engine for a closer look.
fn run_both(steps: &[Step], shards: usize) -> Engine {
    let mut engine = Engine::new(shards);
    let mut naive = Naive::default();
    for (place, step) in steps.iter().enumerate() {
        naive.at = engine.switch.at;
        let expected = naive.decide(step);
        let came = engine.step(step);
        assert_eq!(
            came,
            as_heard(expected.clone()),
            "step {place} of {steps:#?}"
        );
        naive.note(step, expected);
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
    ]
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
        10 => (any_card(), 0u8..6, any_names(), amount(), mcc, 0u8..8, any_kind(), any::<bool>()).prop_map(
            |(card, name, names, amount, mcc, place, kind, in_part)| {
                let amount = match kind {
                    // Most ask as they should.
                    Kind::AccountVerification | Kind::BalanceInquiry if amount % 8 != 0 => 0,
                    // A purchase over nothing is a verification, told apart in the scenarios.
                    _ if amount == 0 => -1,
                    _ => amount,
                };
                Step::Authorize { card, name, names, amount, mcc, kind, in_part, place }
            }
        ),
        5 => (any_card(), 0u8..4, any_names(), 1i64..4)
            .prop_map(|(card, name, names, amount)| Step::Reverse { card, name, names, amount }),
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
        1 => (0..GROUPS.len()).prop_map(|choice| Step::Group { choice }),
        1 => Just(Step::Verify),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_decides_as_the_naive_one_does(steps in any_steps()) {
        run_both(&steps, 2);
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
            let mut other = Engine { switch, next_id: engine.next_id };
            let mut same = Engine {
                switch: Switch { world: engine.switch.world.clone(), at: engine.switch.at, records: vec![] },
                next_id: engine.next_id,
            };
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
    let amount = prop_oneof![4 => 1i64..120, 1 => 200i64..700, 1 => Just(REQUIRED_ABOVE)];
    let minutes = prop_oneof![0i64..40, 20i64..50, 600i64..900, 1_300i64..1_500];
    let mcc = prop_oneof![9 => Just(5411u16), 1 => Just(7995)];
    let step = prop_oneof![
        12 => (0u8..40, amount, mcc).prop_map(move |(name, amount, mcc)| {
            let place = name % 8;
            let kinds = [Kind::Purchase, Kind::CashWithdrawal, Kind::Purchase, Kind::PreAuthorization];
            let kind = kinds[usize::from(place % 4)];
            Step::Authorize { card, name, names: Names::all(name), amount, mcc, kind, in_part: false, place }
        }),
        3 => (0u8..40).prop_map(move |name| {
            Step::Reverse { card, name, names: Names::all(name), amount: 1 }
        }),
        1 => (0..CHOICES).prop_map(move |choice| Step::Controls { card, choice }),
        2 => (0..GROUPS.len() * 2).prop_map(|choice| match choice {
            0 => Step::Verify,
            choice => Step::Group { choice: choice % GROUPS.len() },
        }),
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
    for _ in 0..150 {
        let steps = any_days_of_one_card();
        let steps = steps.new_tree(&mut runner).unwrap().current();
        let mut engine = Engine::new(1);
        for step in &steps {
            if let Came::Declined(reason) = engine.step(step) {
                found.insert(reason);
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
        DeclineReason::MccNotAllowed,
        DeclineReason::CountryNotAllowed,
        DeclineReason::MerchantNotAllowed,
        DeclineReason::MerchantLockMismatch,
        DeclineReason::ChannelBlocked,
        DeclineReason::EntryModeBlocked,
        DeclineReason::OutsideTimeWindow,
        DeclineReason::ThreeDsRequired,
        DeclineReason::ThreeDsFailed,
        DeclineReason::CavvInvalid,
    ] {
        assert!(found.contains(&reason), "{reason:?} is not among {found:?}");
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
    let authorize = |amount| Step::Authorize {
        card,
        name: 1,
        names: Names::all(1),
        amount,
        mcc: 5411,
        kind: Kind::Purchase,
        in_part: false,
        place: 0,
    };
    let reverse = |name| Step::Reverse {
        card,
        name,
        names: Names::all(1),
        amount: 300,
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
    run_every_order(&kinds, ORDERS_LENGTH);
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
    let authorize = |name, amount| Step::Authorize {
        card,
        name,
        names: names(name),
        amount,
        mcc: 5411,
        kind: Kind::Purchase,
        in_part: false,
        place: 0,
    };
    let reverse = |name, rrn| Step::Reverse {
        card,
        name,
        names: names(rrn),
        amount: 300,
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
        let authorize = |place: usize, amount| Step::Authorize {
            card: 101,
            name: place as u8,
            names: names[place],
            amount,
            mcc: 5411,
            kind: Kind::Purchase,
            in_part: false,
            place: 0,
        };
        let reverse = |name, place: usize| Step::Reverse {
            card: 101,
            name,
            names: names[place],
            amount: 1,
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
    let mut engine = Engine { switch, next_id: 1 };
    let mut naive = Naive::default();
    for step in steps {
        naive.at = engine.switch.at;
        let expected = naive.decide(step);
        assert_eq!(engine.step(step), as_heard(expected.clone()), "{steps:#?}");
        naive.note(step, expected);
        let account = engine.switch.world.shards[0].account(AccountId(1)).unwrap();
        assert_eq!(account.held_minor, naive.held(1), "{steps:#?}");
        assert_eq!(account.open_holds as usize, naive.open_holds(1));
    }
}

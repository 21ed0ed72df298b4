//! Every order in which the messages of a payment can come, against models of a handful of numbers: all
//! sequences of a few letters up to a length, each letter a message or the passing of time. And what no
//! sequence may do to money, whatever the messages say. Random conversations against a model of everything
//! live in `engine_oracle.rs`.

mod engine_support;

use cardswitch::engine::command::*;
use cardswitch::engine::controls::{Controls, Window};
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::event::*;
use cardswitch::engine::facts::{Kind, MatchKeys, RepeatKey};
use cardswitch::engine::hash::state_hash;
use cardswitch::engine::ids::*;
use cardswitch::engine::kinds::Direction;
use cardswitch::engine::money::{Currency, Money};
use cardswitch::engine::record::{self, Record};
use cardswitch::engine::registry::RegistryAction;
use cardswitch::engine::state::{Account, State};
use cardswitch::engine::world::World;
use engine_support::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

const MINUTE_MS: i64 = 60_000;
const HOLD_MINUTES: i64 = 60;
const ANSWER_MINUTES: i64 = 15;
const ROOT: AccountId = AccountId(1);
const CARD: u64 = 101;
const FUNDS: i64 = 100;

/// Longer, and with all that takes its time.
fn soak() -> bool {
    std::env::var_os("CARDSWITCH_SOAK").is_some()
}

/// One account with money, one card, and holds that last for an hour.
fn one_card() -> Switch {
    let mut switch = Switch::new(1);
    let mut settings = switch.world.registry.view.settings.clone();
    settings.hold_expiry_ms = HOLD_MINUTES * MINUTE_MS;
    switch.registry(RegistryAction::ChangeSettings(Box::new(settings)));
    switch.open_account(1, Controls::default());
    switch.open_card(NewCard::of(CARD, 1, 1));
    switch.top_up(1, 1, 1, usd(FUNDS));
    switch
}

fn copy_of(switch: &Switch) -> Switch {
    Switch {
        world: switch.world.clone(),
        at: switch.at,
        records: switch.records.clone(),
    }
}

/// A model that decides one letter at a time, and says what came of it in the words of `told`.
trait Model: Clone {
    type Letter: Copy + std::fmt::Debug + 'static;
    const LETTERS: &'static [Self::Letter];

    fn step(&mut self, letter: Self::Letter, id: u64) -> String;
    fn payments(&self) -> &[Payment];
    /// The same by the engine.
    fn carry_out(&self, switch: &mut Switch, letter: Self::Letter, id: u64) -> String;
}

/// An authorization of a model.
#[derive(Debug, Clone, PartialEq)]
struct Payment {
    id: u64,
    /// Whose names it has.
    named: usize,
    held: i64,
    posted: i64,
    standing: Standing,
    /// The minute in which it was opened, or closed.
    since: i64,
}

impl Payment {
    fn is_open(&self) -> bool {
        matches!(
            self.standing,
            Standing::Pending | Standing::PartiallyCleared
        )
    }

    fn close(&mut self, standing: Standing, minute: i64) {
        if self.is_open() {
            self.since = minute;
        }
        self.standing = standing;
    }
}

fn held(payments: &[Payment]) -> i64 {
    payments.iter().map(|payment| payment.held).sum()
}

fn posted(payments: &[Payment]) -> i64 {
    let charged = payments.iter().map(|payment| payment.posted);
    FUNDS - charged.sum::<i64>()
}

fn available(payments: &[Payment]) -> i64 {
    posted(payments) - held(payments)
}

/// Of those with the same names the one that changed its standing last; of two in one minute the reversed
/// one, and then the later.
fn meant(payments: &[Payment], named: usize) -> Option<usize> {
    let all = payments.iter().enumerate();
    let same = all.filter(|(_, payment)| payment.named == named);
    let latest = same.max_by_key(|(_, payment)| {
        let reversed = payment.standing == Standing::Reversed;
        (payment.since, reversed, payment.id)
    });
    latest.map(|(place, _)| place)
}

fn is_reversed(payments: &[Payment], named: usize) -> bool {
    let mut payments = payments.iter();
    payments.any(|payment| payment.named == named && payment.standing == Standing::Reversed)
}

/// All sequences of letters up to a length that begin with those so far; how many there are.
fn all_orders<M: Model>(
    before: (&Switch, &M),
    so_far: &mut Vec<M::Letter>,
    length_max: usize,
) -> usize {
    // What follows the last letter is one record more, which is applied as it was read.
    if so_far.len() + usize::from(!soak()) == length_max {
        let switch = before.0;
        let folded = fold(World::new(2), &switch.records);
        assert_eq!(
            state_hash(&folded),
            state_hash(&switch.world),
            "the records of {so_far:?} fold to another state"
        );
    }
    if so_far.len() == length_max {
        return 0;
    }
    let mut orders = 0;
    for letter in M::LETTERS {
        so_far.push(*letter);
        let (mut switch, mut model) = (copy_of(before.0), before.1.clone());
        let id = so_far.len() as u64;
        let came = before.1.carry_out(&mut switch, *letter, id);
        let expected = model.step(*letter, id);
        assert_eq!(came, expected, "after {so_far:?}");
        assert_same(&switch.world.shards[0], model.payments(), so_far);
        orders += 1 + all_orders((&switch, &model), so_far, length_max);
        so_far.pop();
    }
    orders
}

fn assert_same(state: &State, payments: &[Payment], so_far: &dyn std::fmt::Debug) {
    let account = state.account(ROOT).unwrap();
    let found = (
        account.posted_minor,
        account.held_minor,
        account.available_minor(),
        account.network_settlement_minor,
        account.open_holds as usize,
    );
    let open = payments.iter().filter(|payment| payment.is_open()).count();
    let (posted, held) = (posted(payments), held(payments));
    let expected = (posted, held, posted - held, FUNDS - posted, open);
    assert_eq!(found, expected, "after {so_far:?}");
    for payment in payments {
        let found = state.authorizations.get(AuthorizationId(payment.id));
        let found = found.unwrap_or_else(|| panic!("{payment:?} is not there after {so_far:?}"));
        let closed = found.closed.map(|closed| closed.by);
        let standing = cardswitch::engine::authorizations::Authorization::standing(
            closed,
            found.posted.account_minor,
        );
        assert_eq!(
            (
                found.held.account_minor,
                found.posted.account_minor,
                standing
            ),
            (payment.held, payment.posted, payment.standing),
            "after {so_far:?}"
        );
    }
    assert_eq!(state.authorizations.iter().count(), payments.len());
}

/// An outcome in a few words.
fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Event(Event::Authorized(authorized)) => match &authorized.decision {
            Decision::Declined(decline) => format!("declined {}", decline.reason.name()),
            _ => format!("approved, {} left", authorized.available_minor),
        },
        Outcome::Event(Event::Reversed(reversed)) => match &reversed.outcome {
            ReversalOutcome::Undone(undone) => format!(
                "released {} returned {}{}",
                undone.released.account_minor,
                undone.returned.account_minor,
                flags(undone.flags)
            ),
            ReversalOutcome::OriginalUnknown => "unknown".into(),
            ReversalOutcome::AlreadyReversed => "already reversed".into(),
            ReversalOutcome::Duplicate => "duplicate".into(),
        },
        Outcome::Event(Event::Advised(advised)) => told_advice(advised),
        Outcome::FirstAnswer(answer) => told_again(answer),
        other => format!("{other:?}"),
    }
}

fn told_advice(advised: &Advised) -> String {
    let what = match &advised.outcome {
        AdviceOutcome::Recorded => "recorded".into(),
        AdviceOutcome::Duplicate => "duplicate".into(),
        AdviceOutcome::Placed(placed) => format!("placed {}", placed.amount_minor),
        AdviceOutcome::ForcePosted(_) => "posted".into(),
        AdviceOutcome::Amended {
            before_minor,
            after_minor,
            ..
        } => format!("amended {before_minor} to {after_minor}"),
        AdviceOutcome::Completed { released_minor, .. } => {
            format!("completed, {released_minor} released")
        }
    };
    let breach = advised.breach.map_or(String::new(), |breach| {
        format!(" in spite of {}", breach.reason.name())
    });
    format!("{what}{breach}{}", flags(advised.flags))
}

fn flags(flags: Flags) -> String {
    flags.names().map(|name| format!(" {name}")).collect()
}

fn told_again(answer: &Answer) -> String {
    let answer = match answer {
        Answer::Authorization { result, .. } => match result {
            AnswerResult::Declined(reason) => format!("declined {}", reason.name()),
            AnswerResult::Approved {
                available_minor, ..
            } => format!("approved, {available_minor} left"),
            other => format!("{other:?}"),
        },
        Answer::Reversal { result, .. } => format!("{result:?}").to_lowercase(),
        Answer::Advice { result, .. } => format!("{result:?}").to_lowercase(),
    };
    format!("again: {answer}")
}

/// What an advice of an amount says beside what it did.
fn marks(amount: i64, spare: i64, left: i64, mut flags: Vec<&str>) -> String {
    let mut marks = String::new();
    if amount > 0 && amount > spare {
        marks.push_str(" in spite of insufficient_funds");
    }
    if amount > 0 && left < 0 {
        flags.insert(0, "overdrawn");
    }
    for flag in flags {
        marks.push(' ');
        marks.push_str(flag);
    }
    marks
}

fn after(standing: Standing) -> Option<&'static str> {
    match standing {
        Standing::Pending | Standing::PartiallyCleared => None,
        Standing::Expired => Some("after_expiry"),
        Standing::Cleared => Some("after_completion"),
        Standing::Reversed => Some("after_reversal"),
    }
}

/// What a reversal of the whole does.
fn reverse(payment: &mut Payment, minute: i64) -> String {
    let flag = after(payment.standing).map_or(String::new(), |flag| format!(" {flag}"));
    let came = format!(
        "released {} returned {}{flag}",
        payment.held, payment.posted
    );
    payment.close(Standing::Reversed, minute);
    (payment.held, payment.posted) = (0, 0);
    came
}

/// What can happen to a payment. The authorization is a new one each time; all others are about the latest
/// one that was sent, or about the first before that comes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Letter {
    Authorization,
    Increment,
    Reversal,
    /// The latest authorization once more.
    Repeat,
    /// For less than was authorized, and more may come.
    Completion,
    Expiry,
}

const AUTHORIZED: i64 = 40;
const ADDED: i64 = 25;
const COMPLETED: i64 = 20;

/// The names of what nothing is about.
const NOBODY: usize = 0;

#[derive(Debug, Clone, Default)]
struct Orders {
    minute: i64,
    /// How many authorizations were sent.
    sent: usize,
    payments: Vec<Payment>,
    /// Of each authorization, with its minute.
    answers: Vec<(usize, i64, String)>,
    /// The authorization whose reversal came first.
    reversed_early: Option<usize>,
}

impl Model for Orders {
    type Letter = Letter;
    const LETTERS: &'static [Letter] = &[
        Letter::Authorization,
        Letter::Increment,
        Letter::Reversal,
        Letter::Repeat,
        Letter::Completion,
        Letter::Expiry,
    ];

    fn step(&mut self, letter: Letter, id: u64) -> String {
        self.minute += 1;
        let about = self.sent.max(1);
        match letter {
            Letter::Authorization => self.authorize(self.sent + 1, id),
            Letter::Repeat => self.authorize(about, id),
            Letter::Increment => self.increase(about),
            Letter::Reversal => self.reverse(about),
            Letter::Completion => self.complete(about, id),
            Letter::Expiry => self.expire(),
        }
    }

    fn payments(&self) -> &[Payment] {
        &self.payments
    }

    fn carry_out(&self, switch: &mut Switch, letter: Letter, id: u64) -> String {
        switch.at = switch.at.plus_ms(MINUTE_MS);
        let about = format!("p{}", self.sent.max(1));
        let own = format!("own {id}");
        let action = match letter {
            Letter::Authorization => {
                let name = format!("p{}", self.sent + 1);
                Action::Authorize(purchase(id, CARD, usd(AUTHORIZED), &name))
            }
            Letter::Repeat => Action::Authorize(purchase(id, CARD, usd(AUTHORIZED), &about)),
            Letter::Increment => Action::Authorize(Authorize {
                kind: Kind::Incremental,
                original_keys: names_of(&about),
                ..purchase(id, CARD, usd(ADDED), &own)
            }),
            Letter::Reversal => Action::Reverse(reversal(id, CARD, usd(1), &own, &about)),
            Letter::Completion => {
                let mut advise = advice(id, CARD, usd(COMPLETED), &own);
                advise.payment.posts = true;
                advise.payment.original_keys = names_of(&about);
                advise.is_final = false;
                Action::Advise(advise)
            }
            Letter::Expiry => {
                switch.at = switch.at.plus_ms(HOLD_MINUTES * MINUTE_MS);
                return format!("{} expired", switch.expire().len());
            }
        };
        told(&switch.command(ROOT, action))
    }
}

impl Orders {
    fn authorize(&mut self, named: usize, id: u64) -> String {
        self.sent = named;
        let mut answers = self.answers.iter().rev();
        let first =
            answers.find(|(of, minute, _)| *of == named && self.minute - minute < ANSWER_MINUTES);
        if let Some((.., answer)) = first {
            return format!("again: {answer}");
        }
        let left = available(&self.payments) - AUTHORIZED;
        let is_reversed = self.reversed_early == Some(named) || is_reversed(&self.payments, named);
        // What was approved is known by its authorization, however late it comes again.
        let is_approved = |(of, _, answer): &&(usize, i64, String)| {
            *of == named && answer.starts_with("approved")
        };
        if let (false, Some((.., answer))) = (is_reversed, self.answers.iter().find(is_approved)) {
            return format!("again: {answer}");
        }
        let answer = if is_reversed {
            "declined reversed_before_original".into()
        } else if left < 0 {
            "declined insufficient_funds".into()
        } else {
            self.payments.push(Payment {
                id,
                named,
                held: AUTHORIZED,
                posted: 0,
                standing: Standing::Pending,
                since: self.minute,
            });
            format!("approved, {left} left")
        };
        self.answers.push((named, self.minute, answer.clone()));
        answer
    }

    fn increase(&mut self, about: usize) -> String {
        let left = available(&self.payments) - ADDED;
        let meant = meant(&self.payments, about).map(|place| &mut self.payments[place]);
        match meant.filter(|payment| payment.is_open()) {
            None => "declined original_not_found".into(),
            Some(_) if left < 0 => "declined insufficient_funds".into(),
            Some(payment) => {
                payment.held += ADDED;
                format!("approved, {left} left")
            }
        }
    }

    fn reverse(&mut self, about: usize) -> String {
        let meant = meant(&self.payments, about).map(|place| &mut self.payments[place]);
        match meant {
            Some(payment) if payment.standing != Standing::Reversed => {
                reverse(payment, self.minute)
            }
            None if self.reversed_early != Some(about) => {
                self.reversed_early = Some(about);
                "unknown".into()
            }
            _ => "already reversed".into(),
        }
    }

    fn complete(&mut self, about: usize, id: u64) -> String {
        let before = available(&self.payments);
        let Some(place) = meant(&self.payments, about) else {
            self.payments.push(Payment {
                id,
                named: NOBODY,
                held: 0,
                posted: COMPLETED,
                standing: Standing::Cleared,
                since: self.minute,
            });
            let flag = match self.reversed_early == Some(about) {
                true => "after_reversal",
                false => "force_post",
            };
            let marks = marks(COMPLETED, before, before - COMPLETED, vec![flag]);
            return format!("posted{marks}");
        };
        let payment = &mut self.payments[place];
        let spare = before + payment.held;
        let mut flags = vec![];
        if COMPLETED > payment.held {
            flags.push("exceeds_hold");
        }
        flags.extend(after(payment.standing));
        let released = match COMPLETED >= payment.held {
            true => payment.held,
            false => COMPLETED,
        };
        match released == payment.held {
            true => payment.close(Standing::Cleared, self.minute),
            false => payment.standing = Standing::PartiallyCleared,
        }
        payment.held -= released;
        payment.posted += COMPLETED;
        let left = available(&self.payments);
        let marks = marks(COMPLETED, spare, left, flags);
        format!("completed, {released} released{marks}")
    }

    /// By then the time of every hold is over.
    fn expire(&mut self) -> String {
        self.minute += HOLD_MINUTES;
        let mut expired = 0;
        for payment in self.payments.iter_mut().filter(|payment| payment.is_open()) {
            let standing = match payment.posted {
                0 => Standing::Expired,
                _ => Standing::Cleared,
            };
            payment.close(standing, self.minute);
            payment.held = 0;
            expired += 1;
        }
        format!("{expired} expired")
    }
}

#[test]
fn every_order_of_authorization_increment_reversal_repeat_completion_and_expiry() {
    let length_max = 6 + usize::from(soak());
    let model = Orders::default();
    let orders = all_orders((&one_card(), &model), &mut vec![], length_max);
    assert_eq!(orders, (6usize.pow(length_max as u32 + 1) - 6) / 5);
}

/// Messages that stand for themselves: each is the same message whenever it comes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Message {
    /// 0200.
    Single = 1,
    /// 0120.
    StandIn,
    /// 0220.
    ForcePost,
    /// 0220, from the merchant.
    Refund,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Sent {
    Now(Message),
    /// When its first answer is forgotten.
    Late(Message),
    Reversal(Message),
}

impl Message {
    fn amount(self) -> i64 {
        match self {
            Message::Single => 30,
            Message::StandIn => 20,
            Message::ForcePost => 85,
            Message::Refund => 10,
        }
    }

    fn charged(self) -> i64 {
        match self {
            Message::Refund => -self.amount(),
            _ => self.amount(),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Singles {
    minute: i64,
    payments: Vec<Payment>,
    /// What a repeat is answered, of each letter with its minute.
    answers: Vec<(Sent, i64, String)>,
    reversed_early: Vec<Message>,
}

impl Model for Singles {
    type Letter = Sent;
    const LETTERS: &'static [Sent] = {
        use Message::{ForcePost, Refund, Single, StandIn};
        use Sent::{Late, Now, Reversal};
        &[
            Now(Single),
            Now(StandIn),
            Now(ForcePost),
            Now(Refund),
            Late(Single),
            Late(StandIn),
            Late(ForcePost),
            Late(Refund),
            Reversal(Single),
            Reversal(StandIn),
            Reversal(ForcePost),
            Reversal(Refund),
        ]
    };

    fn step(&mut self, sent: Sent, id: u64) -> String {
        self.minute += 1;
        let sent = match sent {
            Sent::Late(message) => {
                self.minute += ANSWER_MINUTES;
                Sent::Now(message)
            }
            other => other,
        };
        let mut answers = self.answers.iter().rev();
        let first =
            answers.find(|(of, minute, _)| *of == sent && self.minute - minute < ANSWER_MINUTES);
        if let Some((.., answer)) = first {
            return format!("again: {answer}");
        }
        let (came, answer) = match sent {
            Sent::Reversal(message) => self.reverse(message),
            Sent::Now(Message::Single) => self.authorize(id),
            Sent::Now(message) | Sent::Late(message) => self.advise(message, id),
        };
        // What is told again begins no new time.
        if !came.starts_with("again") {
            self.answers.push((sent, self.minute, answer));
        }
        came
    }

    fn payments(&self) -> &[Payment] {
        &self.payments
    }

    fn carry_out(&self, switch: &mut Switch, sent: Sent, id: u64) -> String {
        switch.at = switch.at.plus_ms(MINUTE_MS);
        if let Sent::Late(_) = sent {
            switch.at = switch.at.plus_ms(ANSWER_MINUTES * MINUTE_MS);
        }
        let (Sent::Now(message) | Sent::Late(message) | Sent::Reversal(message)) = sent;
        let (name, amount) = (format!("{message:?}"), usd(message.amount()));
        let action = match sent {
            Sent::Reversal(_) => Action::Reverse(reversal(id, CARD, amount, &name, &name)),
            _ if message == Message::Single => Action::Authorize(Authorize {
                posts: true,
                ..purchase(id, CARD, amount, &name)
            }),
            _ => {
                let mut advise = advice(id, CARD, amount, &name);
                advise.payment.posts = message != Message::StandIn;
                if message == Message::Refund {
                    advise.payment.kind = Kind::Refund;
                }
                Action::Advise(advise)
            }
        };
        told(&switch.command(ROOT, action))
    }
}

impl Singles {
    fn open(&mut self, message: Message, id: u64) {
        let posts = message != Message::StandIn;
        let amount = message.charged();
        self.payments.push(Payment {
            id,
            named: message as usize,
            held: if posts { 0 } else { amount },
            posted: if posts { amount } else { 0 },
            standing: match posts {
                true => Standing::Cleared,
                false => Standing::Pending,
            },
            since: self.minute,
        });
    }

    /// What came of it, and what a repeat is answered.
    fn authorize(&mut self, id: u64) -> (String, String) {
        let message = Message::Single;
        let left = available(&self.payments) - message.amount();
        let is_reversed =
            self.reversed_early.contains(&message) || is_reversed(&self.payments, message as usize);
        let mut answers = self.answers.iter();
        let approved = answers
            .find(|(of, _, answer)| *of == Sent::Now(message) && answer.starts_with("approved"));
        let came = if is_reversed {
            "declined reversed_before_original".into()
        } else if let Some((.., answer)) = approved {
            return (format!("again: {answer}"), answer.clone());
        } else if left < 0 {
            "declined insufficient_funds".into()
        } else {
            self.open(message, id);
            format!("approved, {left} left")
        };
        (came.clone(), came)
    }

    fn advise(&mut self, message: Message, id: u64) -> (String, String) {
        let recorded = |flag| (format!("recorded {flag}"), "recorded".into());
        if self.reversed_early.contains(&message) {
            return recorded("reversed_before");
        }
        let before = available(&self.payments);
        let posts = message != Message::StandIn;
        let meant = meant(&self.payments, message as usize);
        let Some(payment) = meant.map(|place| &mut self.payments[place]) else {
            self.open(message, id);
            let flag = (message == Message::ForcePost).then_some("force_post");
            let left = available(&self.payments);
            let flags = flag.into_iter().collect();
            let marks = marks(message.charged(), before, left, flags);
            let what = match posts {
                true => "posted".into(),
                false => format!("placed {}", message.amount()),
            };
            return (format!("{what}{marks}"), "accepted".into());
        };
        if posts {
            return recorded("repeated");
        }
        if payment.standing == Standing::Reversed {
            return recorded("reversed_before");
        }
        let held = payment.held;
        let marks = marks(message.charged(), before + held, before, vec![]);
        (
            format!("amended {held} to {held}{marks}"),
            "accepted".into(),
        )
    }

    fn reverse(&mut self, message: Message) -> (String, String) {
        let meant = meant(&self.payments, message as usize);
        let left = available(&self.payments);
        let Some(payment) = meant.map(|place| &mut self.payments[place]) else {
            if self.reversed_early.contains(&message) {
                return ("already reversed".into(), "accepted".into());
            }
            self.reversed_early.push(message);
            return ("unknown".into(), "originalunknown".into());
        };
        if payment.standing == Standing::Reversed {
            return ("already reversed".into(), "accepted".into());
        }
        let overdraws = payment.posted < 0 && left + payment.posted < 0;
        let mut came = reverse(payment, self.minute);
        if overdraws {
            came = came.replace(" after", " overdrawn after");
        }
        (came, "accepted".into())
    }
}

#[test]
fn every_order_of_single_messages_advices_their_repeats_and_reversals() {
    let length_max = 4 + usize::from(soak());
    let model = Singles::default();
    let orders = all_orders((&one_card(), &model), &mut vec![], length_max);
    assert_eq!(orders, (12usize.pow(length_max as u32 + 1) - 12) / 11);
}

/// A message of random content, or time that passes.
#[derive(Debug, Clone)]
enum Any {
    Authorize(Content),
    Advise {
        content: Content,
        was_declined: bool,
        is_final: bool,
    },
    Reverse {
        content: Content,
        stays: Option<i64>,
    },
    TopUp(i64),
    Wait {
        minutes: i64,
    },
    Expire,
}

#[derive(Debug, Clone, Copy)]
struct Content {
    card: u64,
    /// Its own names, and those of what it is about: so few that they meet.
    named: u8,
    about: u8,
    amount: i64,
    /// What a hundred of the transaction's currency are in the account's; the same currency where none.
    rate: Option<i64>,
    kind: Kind,
    posts: bool,
    in_part: bool,
}

fn any_content() -> impl Strategy<Value = Content> {
    let kind = prop_oneof![
        8 => Just(Kind::Purchase),
        3 => Just(Kind::Incremental),
        3 => Just(Kind::Refund),
        1 => Just(Kind::BalanceInquiry),
        1 => Just(Kind::DebitAdjustment),
        1 => Just(Kind::CreditAdjustment),
        1 => Just(Kind::Deposit),
        1 => Just(Kind::Other),
    ];
    let amount = prop_oneof![1 => -1i64..1, 20 => 1i64..90, 1 => 200i64..400];
    let rate = proptest::option::weighted(0.3, 30i64..250);
    let card = CARD..CARD + 2;
    let marks = (kind, any::<bool>(), any::<bool>());
    (card, 1u8..7, 1u8..7, amount, rate, marks).prop_map(
        |(card, named, about, amount, rate, (kind, posts, in_part))| Content {
            card,
            named,
            about,
            amount,
            rate,
            kind,
            // No network adds to an authorization with a single message.
            posts: posts && kind != Kind::Incremental,
            in_part,
        },
    )
}

fn any_messages() -> impl Strategy<Value = Vec<Any>> {
    let minutes = prop_oneof![4 => 1i64..4, 2 => 14i64..62, 1 => 1_300i64..1_500];
    let stays = proptest::option::of(0i64..60);
    let advise = (any_content(), proptest::bool::weighted(0.1), any::<bool>());
    let message = prop_oneof![
        6 => any_content().prop_map(Any::Authorize),
        6 => advise.prop_map(|(content, was_declined, is_final)| Any::Advise {
            content,
            was_declined,
            is_final,
        }),
        5 => (any_content(), stays).prop_map(|(content, stays)| Any::Reverse { content, stays }),
        1 => (1i64..100).prop_map(Any::TopUp),
        3 => minutes.prop_map(|minutes| Any::Wait { minutes }),
        1 => Just(Any::Expire),
    ];
    proptest::collection::vec(message, 1..80)
}

/// Six texts of which two share an RRN each.
fn few_names(number: u8) -> MatchKeys {
    let mut names = names_of(&number.to_string());
    names.by_authority[0] = rrn(&(number / 2).to_string());
    names
}

fn payment_of(id: u64, content: &Content) -> Authorize {
    let mut payment = purchase(id, content.card, usd(content.amount), "");
    let amounts = &mut payment.amounts;
    if let Some(rate) = content.rate {
        amounts.transaction.currency = Currency(978);
        amounts.billing = Some(usd((content.amount * rate + 99) / 100));
    }
    payment.kind = content.kind;
    payment.posts = content.posts;
    payment.partial_approval_supported = content.in_part;
    payment.match_keys = few_names(content.named);
    payment.original_keys = few_names(content.about);
    payment
}

fn carry_out(switch: &mut Switch, any: &Any, id: u64) {
    let identity = |class: &str, content: &Content| {
        let Content { card, named, .. } = content;
        RepeatKey(key_of(&format!("{class} {card} {named} {}", content.posts)))
    };
    let action = match any {
        Any::Wait { minutes } => {
            switch.at = switch.at.plus_ms(minutes * MINUTE_MS);
            return;
        }
        Any::Expire => {
            switch.expire();
            return;
        }
        Any::TopUp(amount) => {
            switch.top_up(id + 1, 1, 1, usd(*amount));
            return;
        }
        Any::Authorize(content) => Action::Authorize(Authorize {
            repeat_key: identity("request", content),
            ..payment_of(id, content)
        }),
        Any::Advise {
            content,
            was_declined,
            is_final,
        } => Action::Advise(Advise {
            payment: Authorize {
                repeat_key: identity("advice", content),
                ..payment_of(id, content)
            },
            was_declined: *was_declined,
            is_final: *is_final,
            approval_code: None,
        }),
        Any::Reverse { content, stays } => {
            let payment = payment_of(id, content);
            let transaction = payment.amounts.transaction;
            Action::Reverse(Reverse {
                repeat_key: identity("reversal", content),
                original_keys: payment.original_keys,
                stays: stays.map(|amount_minor| Money {
                    amount_minor,
                    ..transaction
                }),
                ..reversal(id, content.card, transaction, "", "")
            })
        }
    };
    switch.command(ROOT, action);
}

fn legs_of(event: &Event) -> &[Posting] {
    match event {
        Event::Authorized(authorized) => &authorized.postings,
        Event::Advised(advised) => &advised.postings,
        Event::Reversed(reversed) => &reversed.postings,
        Event::Posted { postings, .. } => postings,
        _ => &[],
    }
}

/// Whether the event owns up to leaving the account with less than nothing.
fn says_overdrawn(event: &Event) -> bool {
    match event {
        Event::Advised(advised) => advised.flags.contains(Flags::OVERDRAWN),
        Event::Reversed(reversed) => match &reversed.outcome {
            ReversalOutcome::Undone(undone) => undone.flags.contains(Flags::OVERDRAWN),
            _ => false,
        },
        _ => false,
    }
}

/// What an event may do to the money of an account; tells whether it overdrew it.
fn assert_money(before: &Account, after: &Account, event: &Event) -> bool {
    let legs = legs_of(event);
    let total: i64 = legs.iter().map(|leg| leg.amount_minor).sum();
    assert_eq!(total, 0, "{event:?}");
    let own = legs
        .iter()
        .filter(|leg| leg.ledger_account == LedgerAccount::Customer(ROOT));
    let own: i64 = own.map(|leg| leg.amount_minor).sum();
    assert_eq!(after.posted_minor - before.posted_minor, own, "{event:?}");
    let books = after.posted_minor + after.funds_received_minor + after.network_settlement_minor;
    assert_eq!(books, 0, "{event:?}");
    if let Event::Authorized(authorized) = event
        && let Decision::Declined(_) = authorized.decision
    {
        assert_eq!(before, after, "a decline moved something: {event:?}");
        assert!(legs.is_empty() && authorized.hold.is_none() && authorized.increased.is_none());
    }
    let (had, has) = (before.available_minor(), after.available_minor());
    let overdraws = has < 0 && has < had;
    assert!(
        !overdraws || says_overdrawn(event),
        "{had} to {has}: {event:?}"
    );
    overdraws
}

/// No authorization holds or has posted what its direction does not allow, and the account is their sum.
fn assert_sums(state: &State) {
    let account = state.account(ROOT).unwrap();
    let mut held = 0;
    for known in state.authorizations.iter() {
        let in_both = [known.held, known.posted];
        let minor = in_both.map(|amount| amount.account_minor);
        match known.direction {
            Direction::Credit => assert!(minor[0] == 0 && minor[1] <= 0, "{known:?}"),
            _ => assert!(minor[0] >= 0 && minor[1] >= 0, "{known:?}"),
        }
        assert!(known.is_open() || minor[0] == 0, "{known:?}");
        held += minor[0];
    }
    assert_eq!(held, account.held_minor);
    assert_eq!(
        state.authorizations.open().count() as u32,
        account.open_holds
    );
}

/// A day's limit, and two cards on the account.
fn two_cards() -> Switch {
    let mut switch = one_card();
    switch.open_card(NewCard::of(CARD + 1, 1, 1));
    let controls = limits([limit(1, Window::Day, Some(300), Some(20))]);
    switch.change_controls(1, CARD + 1, controls);
    switch
}

/// How many events overdrew the account.
fn overdrafts(messages: &[Any]) -> usize {
    let mut switch = two_cards();
    let mut overdrafts = 0;
    for (place, any) in messages.iter().enumerate() {
        let mut world = switch.world.clone();
        let known = switch.records.len();
        carry_out(&mut switch, any, place as u64 + 1);
        for bytes in &switch.records[known..] {
            let record = record::read(bytes).unwrap();
            let before = world.shards[0].account(ROOT).unwrap().clone();
            world.apply(&record);
            let Record::Shard { event, .. } = &record else {
                panic!("messages of known cards are no business of the registry: {record:?}");
            };
            let after = world.shards[0].account(ROOT).unwrap();
            overdrafts += usize::from(assert_money(&before, after, event));
            assert_sums(&world.shards[0]);
        }
    }
    overdrafts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_overdraws_an_account_but_what_the_network_did_and_that_says_so(messages in any_messages()) {
        overdrafts(&messages);
    }
}

#[test]
fn these_messages_do_overdraw() {
    let mut runner = TestRunner::deterministic();
    let mut all = 0;
    for _ in 0..50 {
        let messages = any_messages().new_tree(&mut runner).unwrap().current();
        all += overdrafts(&messages);
    }
    assert!(all > 20, "{all} overdrafts");
}

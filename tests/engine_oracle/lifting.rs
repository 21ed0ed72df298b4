//! Exceptions from controls: a few that may be approved and ended, and what they lift.

use super::*;

/// Asked for at the beginning; the state of each is what was done with it last.
pub fn exceptions(start: Timestamp) -> Vec<ControlException> {
    let raised = |id, amount_minor, count| RaisedLimit {
        limit_id: LimitId(id),
        amount_minor,
        count,
    };
    let made = |place: usize, subject, (from, to): (i64, i64), uses_max, lifts| ControlException {
        id: ExceptionId(600 + place as u64),
        subject,
        lifts,
        starts_at: start.plus_ms(from * MINUTE_MS),
        ends_at: start.plus_ms(to * MINUTE_MS),
        uses_max,
        reason: "trip".into(),
        requested_by: signer("ann"),
        created_at: start,
        state: ExceptionState::Requested,
        decided: None,
        ended: None,
        tenant: None,
        program_id: PROGRAM,
        account_ids: Box::default(),
    };
    let always = (0, 10_000_000);
    let of_card = Lifts {
        limits: vec![raised(1, Some(650), None), raised(3, Some(400), None)],
        mccs: vec![7995],
        channels: vec![Channel::Atm],
        ..Lifts::default()
    };
    let of_root = Lifts {
        limits: vec![
            raised(60, Some(1_500), Some(6)),
            raised(20, Some(1_500), None),
        ],
        entry_modes: vec![EntryMode::Manual],
        ..Lifts::default()
    };
    let of_team = Lifts {
        limits: vec![
            raised(50, None, Some(14)),
            raised(81, Some(2_500), Some(11)),
            raised(1, Some(800), None),
        ],
        merchants: vec![MerchantEntry::Id {
            id: "M1".into(),
            acquirer_id: None,
        }],
        ..Lifts::default()
    };
    let of_one_day = Lifts {
        limits: vec![
            // Neither the first nor the last that raises it, and the highest.
            raised(1, Some(1_100), None),
            raised(2, Some(1_000), Some(9)),
            raised(21, Some(800), None),
            raised(22, Some(1_200), Some(5)),
        ],
        entry_modes: vec![EntryMode::Contactless],
        ..Lifts::default()
    };
    let of_middle = Lifts {
        limits: vec![raised(60, Some(1_300), Some(5))],
        mccs: vec![7995],
        ..Lifts::default()
    };
    vec![
        made(0, Subject::Card(CardId(101)), always, Some(2), of_card),
        made(
            1,
            Subject::Account(AccountId(1)),
            (600, 20_000),
            None,
            of_root,
        ),
        // The first link that was ever named.
        made(2, Subject::Link(LinkId(1)), always, Some(1), of_team),
        made(3, Subject::Card(CardId(101)), (0, 1_500), None, of_one_day),
        made(
            4,
            Subject::Account(AccountId(11)),
            always,
            Some(3),
            of_middle,
        ),
    ]
}

pub const EXCEPTIONS: usize = 5;

/// A request as exceptions see it.
#[derive(Debug, Clone, Copy)]
pub struct Sought {
    pub card: u64,
    pub account: u64,
    /// What an increment adds to.
    pub about: Option<usize>,
}

pub fn any_exception_change() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        8 => Just(ExceptionChange::Approve),
        2 => Just(ExceptionChange::End),
        1 => Just(ExceptionChange::Reject),
    ];
    (0..EXCEPTIONS, change).prop_map(|(which, change)| Step::Exception { which, change })
}

impl View<'_> {
    fn exception_state(&self, of: usize) -> Option<ExceptionChange> {
        self.past.iter().rev().find_map(|past| match past.step {
            Step::Exception { which, change } if which == of && past.came == Came::Done => {
                Some(change)
            }
            _ => None,
        })
    }

    pub fn change_exception(&self, which: usize, change: ExceptionChange) -> Came {
        let over = self.exceptions()[which].ends_at <= self.at;
        match (self.exception_state(which), change) {
            (Some(before), change) if before == change => Came::AlreadyDone,
            (None, ExceptionChange::Approve) if over => Came::Refused,
            (None, ExceptionChange::Approve | ExceptionChange::Reject) => Came::Done,
            (Some(ExceptionChange::Approve), ExceptionChange::End) => Came::Done,
            _ => Came::Refused,
        }
    }

    fn exceptions(&self) -> Vec<ControlException> {
        exceptions(time("2026-11-24T10:00:00Z"))
    }

    /// Those that are in force for a request, the nearest first, by their places.
    fn in_force(&self, sought: Sought) -> Vec<(usize, ControlException)> {
        let Sought {
            card,
            account,
            about,
        } = sought;
        let mut subjects = vec![Subject::Card(CardId(first_of(card)))];
        if is_linked(card) {
            subjects.push(Subject::Link(LinkId(root_of_account(account))));
        }
        let line = line_of(account).into_iter().rev();
        subjects.extend(line.map(|account| Subject::Account(AccountId(account))));
        let all: Vec<_> = self.exceptions().into_iter().enumerate().collect();
        let of = |subject: Subject| {
            all.iter()
                .filter(move |(_, e)| e.subject == subject)
                .cloned()
        };
        let mut found: Vec<_> = subjects.into_iter().flat_map(of).collect();
        found.retain(|(place, exception)| {
            let approved = self.exception_state(*place) == Some(ExceptionChange::Approve);
            let now = exception.starts_at <= self.at && self.at < exception.ends_at;
            let uses = self.known.iter().filter(|known| {
                let stands_at = known.held.plus(known.posted).account;
                let counts = known.is_open() || stands_at > 0;
                counts && self.past[known.place].excepted.contains(place)
            });
            // An increment is part of the use of what it adds to.
            let has_left = exception.uses_max.is_none_or(|max| match about {
                Some(of) => self.past[of].excepted.contains(place),
                None => (uses.count() as u32) < max,
            });
            approved && now && has_left
        });
        found
    }

    /// The first exception that lets something pass.
    pub fn lifted(&self, sought: Sought, lets_pass: impl Fn(&Lifts) -> bool) -> Option<usize> {
        let found = self.in_force(sought);
        let mut found = found
            .iter()
            .filter(|(_, exception)| lets_pass(&exception.lifts));
        found.next().map(|(place, _)| *place)
    }

    /// The most that a limit allows by an exception, and by which; nothing where that is no more than it allows.
    pub fn raised(
        &self,
        sought: Sought,
        limit: &Limit,
        allowed: i64,
        of: fn(&RaisedLimit) -> Option<i64>,
    ) -> Option<(usize, i64)> {
        let mut best: Option<(usize, i64)> = None;
        for (place, exception) in self.in_force(sought) {
            for raised in exception
                .lifts
                .limits
                .iter()
                .filter(|raised| raised.limit_id == limit.id)
            {
                let amount =
                    of(raised).filter(|amount| *amount > best.map_or(allowed, |(_, most)| most));
                best = amount.map(|amount| (place, amount)).or(best);
            }
        }
        best
    }

    /// Which exceptions with a number of uses a payment needs that is opened now, for so much.
    pub fn excepted(&self, payment: &Payment, account: u64, taken: i64) -> Vec<usize> {
        let sought = Sought {
            card: payment.card,
            account,
            about: None,
        };
        let place = PLACES[usize::from(payment.place)];
        let mut needed = Vec::new();
        for (owner, controls) in self.limits_of(payment.card, account) {
            for limit in controls
                .limits
                .iter()
                .filter(|l| self.counts(l, payment, self.here()))
            {
                let (used, count) = self.used(owner, payment.card, limit);
                let amount = limit.amount_minor.filter(|allowed| used + taken > *allowed);
                let raised =
                    amount.and_then(|to| self.raised(sought, limit, to, |r| r.amount_minor));
                needed.extend(raised.filter(|(_, to)| used + taken <= *to));
                let number = limit
                    .count
                    .filter(|allowed| count >= *allowed)
                    .map(i64::from);
                let raised = number
                    .and_then(|to| self.raised(sought, limit, to, |r| r.count.map(i64::from)));
                needed.extend(raised.filter(|(_, to)| i64::from(count) < *to));
            }
        }
        let mut needed: Vec<usize> = needed.into_iter().map(|(place, _)| place).collect();
        for (_, fails, by) in self.listed(sought, payment.mcc, place) {
            needed.extend(by.filter(|_| fails));
        }
        let all = self.exceptions();
        needed.retain(|place| all[*place].uses_max.is_some());
        needed
    }

    /// What the card's lists say of a payment at a place: the reason for a no, whether it is one, and the exception that
    /// would make it a yes.
    pub fn listed(
        &self,
        sought: Sought,
        mcc: u16,
        place: Place,
    ) -> [(DeclineReason, bool, Option<usize>); 5] {
        let own = self.controls(sought.card);
        let is_named = (place.merchant_id == "M2" && place.acquirer_id == "412345")
            || place.merchant_name.ends_with("MKTPLACE");
        let entries = [EntryMode::Ecommerce, EntryMode::Chip];
        let by_mcc = self.mcc(sought.card, mcc);
        let (by_merchant, is_refused) = match own.merchants.as_ref().map(|list| list.mode) {
            Some(ListMode::Block) => (
                DeclineReason::MerchantBlocked,
                self.is_at_listed_merchant(place),
            ),
            Some(ListMode::Allow) => (DeclineReason::MerchantNotAllowed, !is_named),
            None => (DeclineReason::MerchantNotAllowed, false),
        };
        let told = |reason, fails: bool, lets_pass: &dyn Fn(&Lifts) -> bool| {
            let by = match fails {
                true => self.lifted(sought, lets_pass),
                false => None,
            };
            (reason, fails, by)
        };
        [
            told(
                by_mcc.unwrap_or(DeclineReason::MccBlocked),
                by_mcc.is_some(),
                &|lifts| lifts.mccs.contains(&mcc),
            ),
            told(
                DeclineReason::CountryNotAllowed,
                self.not_at_home(sought.card, place),
                &|lifts| !lifts.countries.is_empty(),
            ),
            told(by_merchant, is_refused, &|lifts| {
                !lifts.merchants.is_empty() && place.merchant_id == "M1"
            }),
            told(
                DeclineReason::ChannelBlocked,
                own.channels.is_some() && place.channel == Channel::Atm,
                &|lifts| lifts.channels.contains(&place.channel),
            ),
            told(
                DeclineReason::EntryModeBlocked,
                own.entry_modes.is_some() && !entries.contains(&place.entry_mode),
                &|lifts| lifts.entry_modes.contains(&place.entry_mode),
            ),
        ]
    }
}

/// What the random days are worth: each exception lets something pass, and each with a number of uses runs out of them.
#[test]
fn random_days_come_to_the_use_of_every_exception() {
    let mut runner = TestRunner::deterministic();
    let mut missing: std::collections::BTreeSet<_> = (0..EXCEPTIONS)
        .map(|place| ExceptionId(600 + place as u64))
        .collect();
    let mut steps_with_uses = 0;
    for round in 0..2_000 {
        if missing.is_empty() && steps_with_uses > 20 {
            return;
        }
        let steps = match round % 2 {
            0 => any_days_of_one_card()
                .new_tree(&mut runner)
                .unwrap()
                .current(),
            _ => any_steps().new_tree(&mut runner).unwrap().current(),
        };
        let approve = |which| Step::Exception {
            which,
            change: ExceptionChange::Approve,
        };
        let mut engine = Engine::new(1);
        for step in (0..EXCEPTIONS).map(approve).chain(steps) {
            engine.step(&step);
        }
        let bytes = engine.switch.records.iter();
        for record in bytes.map(|bytes| cardswitch::engine::record::read(bytes).unwrap()) {
            if let cardswitch::engine::record::Record::Shard {
                event: Event::Authorized(authorized),
                ..
            } = record
            {
                let approved = authorized.decision.decline().is_none();
                for step in authorized.trace.steps().filter(|_| approved) {
                    if let Detail::Exception { exception_id } = step.detail {
                        missing.remove(&exception_id);
                    }
                }
                let uses = authorized.hold.iter().flat_map(|hold| &hold.uses);
                steps_with_uses += uses.filter(|used| used.scope == Scope::Exception).count();
            }
        }
    }
    panic!("never used: {missing:?}; {steps_with_uses} uses were counted");
}

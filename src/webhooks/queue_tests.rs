//! Queues against a simulated endpoint: nothing is lost, nothing is told out of order where order was asked for, and a
//! restart from what was noted tells what was under way again.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const START: Timestamp = Timestamp(1_000_000);

fn queue(in_order: bool) -> Queue {
    Queue::restore(&WebhookProgress::default(), EventId(0), in_order)
}

fn failed() -> Outcome {
    Outcome::Failed { retry_after: None }
}

/// Events 1, 2, 3… of these cards.
fn take(queue: &mut Queue, from: u64, cards: &[u64]) {
    let last = EventId(from + cards.len() as u64 - 1);
    let events = (from..).zip(cards);
    let events = events.map(|(event, card)| (EventId(event), Some(CardId(*card))));
    queue.take(events, last);
}

#[test]
fn what_fails_waits_and_does_not_hold_up_the_others() {
    let mut queue = queue(false);
    take(&mut queue, 1, &[1, 1, 1]);
    assert_eq!(queue.first_new(), Some(EventId(1)));
    let calls: Vec<Call> = std::iter::from_fn(|| queue.next(START)).collect();
    assert_eq!((calls.len(), queue.first_new()), (3, None));
    assert!(matches!(queue.ended(calls[0], failed(), START), Then::Again(at) if at > START));
    assert_eq!(queue.ended(calls[1], Outcome::Taken, START), Then::Over);
    assert_eq!(queue.ended(calls[2], Outcome::Taken, START), Then::Over);
    assert_eq!((queue.waiting(), queue.is_failing()), (1, false));
    let progress = queue.progress();
    assert_eq!(progress.after, Some(EventId(3)));
    assert_eq!(progress.waiting.len(), 1);
    assert_eq!(queue.next(START), None);
    let later = queue.wakes_at().unwrap();
    assert_eq!(
        queue.next(later),
        Some(Call {
            event_id: EventId(1),
            attempt: 2
        })
    );
}

#[test]
fn a_burst_that_fails_at_once_is_one_step_and_each_probe_another() {
    for in_order in [false, true] {
        let mut queue = queue(in_order);
        let cards: Vec<u64> = (1..=100).collect();
        take(&mut queue, 1, &cards);
        let burst: Vec<Call> = std::iter::from_fn(|| queue.next(START)).collect();
        assert_eq!(burst.len(), CONCURRENT_MAX);
        for call in burst {
            queue.ended(call, failed(), START);
        }
        let mut now = START;
        for pause_ms in [5_000, 10_000, 20_000, 40_000] {
            assert_eq!(queue.paused_until(), now.plus_ms(pause_ms), "{in_order}");
            now = now.plus_ms(pause_ms);
            let probe = queue.next(now).unwrap();
            assert_eq!(queue.next(now), None);
            queue.ended(probe, failed(), now);
        }
        // It is back: the next failure is the first one again.
        now = queue.paused_until();
        let probe = queue.next(now).unwrap();
        queue.ended(probe, Outcome::Taken, now);
        let next = queue.next(now).unwrap();
        queue.ended(next, failed(), now);
        assert!(!queue.is_down() && queue.paused_until() <= now);
    }
}

#[test]
fn who_asks_for_resends_without_end_holds_up_no_new_events() {
    for in_order in [false, true] {
        let mut queue = queue(in_order);
        let cards: Vec<u64> = (100..150).collect();
        take(&mut queue, 1_000, &cards);
        let mut told = BTreeSet::new();
        // Ten resends before each call, of events that were over long ago.
        for round in 0..100 {
            let mut asked = queue.noted.clone();
            asked.waiting = (0..10)
                .map(|event| WaitingDelivery {
                    event_id: EventId(1 + event),
                    card_id: in_order.then_some(CardId(event)),
                    attempts: 0,
                    next_at: START.plus_ms(round),
                })
                .collect();
            let now = START.plus_ms(round);
            assert!(queue.take_resends(&asked));
            let call = queue.next(now).unwrap();
            told.insert(call.event_id);
            assert_eq!(queue.ended(call, Outcome::Taken, now), Then::Over);
        }
        let new = told.iter().filter(|event_id| event_id.0 >= 1_000).count();
        assert_eq!(new, 50, "in order: {in_order}");
        assert!(told.len() > new, "what was asked for is told too");
    }
}

#[test]
fn a_resend_is_taken_in_beside_what_was_heard_and_another_place_is_not() {
    let mut queue = queue(false);
    take(&mut queue, 5, &[1, 2]);
    let call = queue.next(START).unwrap();
    queue.ended(call, Outcome::Taken, START);
    // What the journal has is older than that.
    let mut moved = queue.noted.clone();
    moved.waiting.push(WaitingDelivery {
        event_id: EventId(2),
        card_id: None,
        attempts: 0,
        next_at: START,
    });
    assert!(queue.take_resends(&moved));
    let called: Vec<EventId> = std::iter::from_fn(|| queue.next(START))
        .map(|call| call.event_id)
        .collect();
    assert_eq!(called.len(), 2);
    assert!(called.contains(&EventId(2)) && called.contains(&EventId(6)));
    moved.after = Some(EventId(1));
    assert!(!queue.take_resends(&moved));
}

#[test]
fn in_order_a_card_waits_for_its_first_and_other_cards_go_on() {
    let mut queue = queue(true);
    take(&mut queue, 1, &[7, 7, 8]);
    let first = queue.next(START).unwrap();
    let other = queue.next(START).unwrap();
    assert_eq!((first.event_id, other.event_id), (EventId(1), EventId(3)));
    assert_eq!(queue.next(START), None);
    queue.ended(first, failed(), START);
    queue.ended(other, Outcome::Taken, START);
    assert_eq!(queue.next(START), None);
    let later = queue.progress().waiting[0].next_at;
    let again = queue.next(later).unwrap();
    assert_eq!((again.event_id, again.attempt), (EventId(1), 2));
    queue.ended(again, Outcome::Taken, later);
    assert_eq!(queue.next(later).unwrap().event_id, EventId(2));
}

#[test]
fn an_endpoint_that_is_down_is_called_once_at_a_time_and_wakes_up_with_all_that_came() {
    let mut queue = queue(false);
    take(&mut queue, 1, &[1; 40]);
    let mut now = START;
    let calls: Vec<Call> = std::iter::from_fn(|| queue.next(now)).collect();
    assert_eq!(calls.len(), CONCURRENT_MAX);
    calls
        .iter()
        .for_each(|call| assert_ne!(queue.ended(*call, failed(), now), Then::Over));
    assert!(queue.is_down());
    for _ in 0..10 {
        now = queue.wakes_at().unwrap().max(now);
        let call = queue.next(now).unwrap();
        assert_eq!(queue.next(now), None, "one at a time");
        queue.ended(call, failed(), now);
    }
    now = queue.wakes_at().unwrap().max(now);
    let call = queue.next(now).unwrap();
    queue.ended(call, Outcome::Taken, now);
    assert!(!queue.is_down());
    assert!(std::iter::from_fn(|| queue.next(now)).count() > 1);
}

/// An endpoint that refuses the events of one card for their own sake gets the others all the same.
#[test]
fn what_is_refused_for_its_own_sake_stands_for_nothing_else() {
    let mut queue = queue(false);
    take(&mut queue, 1, &[1; 40]);
    let mut now = START;
    while let Some(call) = queue.next(now) {
        queue.ended(call, failed(), now);
    }
    assert!(queue.is_down());
    let next = queue.read_to().0 + 1;
    take(&mut queue, next, &[2; 60]);
    let mut taken = 0;
    while taken < 60 {
        now = queue.wakes_at().unwrap().max(now);
        let Some(call) = queue.next(now) else {
            continue;
        };
        let is_good = call.event_id.0 >= next;
        let outcome = if is_good { Outcome::Taken } else { failed() };
        queue.ended(call, outcome, now);
        taken += u64::from(is_good);
        assert_eq!(queue.gives_up(outcome, now), None);
    }
    assert!(now.0 - START.0 < 3_600_000, "within an hour");
}

#[test]
fn after_five_days_of_failure_or_at_once_when_gone_it_is_given_up() {
    let mut queue = queue(false);
    take(&mut queue, 1, &[1]);
    let (mut now, mut calls) = (START, 0);
    let state = loop {
        let Some(call) = queue.next(now) else {
            // All ten calls for the first event are made long before: another one comes.
            match queue.wakes_at() {
                Some(at) => now = at.max(now),
                None => {
                    let next = queue.read_to().0 + 1;
                    take(&mut queue, next, &[1]);
                }
            }
            continue;
        };
        calls += 1;
        queue.ended(call, failed(), now);
        if let Some(state) = queue.gives_up(failed(), now) {
            break state;
        }
        assert!(calls < 1_000);
    };
    assert_eq!(state, WebhookState::Failing);
    assert!(now.0 - START.0 >= schedule::DISABLED_AFTER_MS);
    assert_eq!(
        queue.gives_up(Outcome::Gone, START),
        Some(WebhookState::Gone)
    );
}

#[test]
fn what_was_asked_for_before_holds_a_queue_that_is_loaded_anew() {
    let mut queue = queue(false);
    queue.pause_until(START.plus_ms(60_000));
    // An earlier moment takes nothing back.
    queue.pause_until(START);
    assert_eq!(queue.paused_until(), START.plus_ms(60_000));
    take(&mut queue, 1, &[7]);
    assert_eq!(queue.next(START.plus_ms(59_999)), None);
    assert!(queue.next(START.plus_ms(60_000)).is_some());
}

#[test]
fn retry_after_holds_all_calls() {
    let mut queue = queue(false);
    take(&mut queue, 1, &[1, 2]);
    let call = queue.next(START).unwrap();
    let minute = Some(Duration::from_secs(60));
    queue.ended(
        call,
        Outcome::Failed {
            retry_after: minute,
        },
        START,
    );
    assert_eq!(queue.next(START.plus_ms(59_999)), None);
    assert!(queue.next(START.plus_ms(60_000)).is_some());
}

#[test]
fn with_all_places_taken_new_events_stay_where_they_are() {
    let mut queue = queue(false);
    let mut next = 1;
    let mut now = START;
    // Half of the calls fail: the endpoint is never down, and what waits grows.
    for round in 0..WAITING_MAX * 4 {
        if queue.room() > 0 {
            take(&mut queue, next, &[1; 64]);
            next += 64;
        }
        let Some(call) = queue.next(now) else { break };
        let outcome = if round % 2 == 0 {
            failed()
        } else {
            Outcome::Taken
        };
        queue.ended(call, outcome, now);
    }
    assert_eq!(queue.waiting(), WAITING_MAX);
    let after = queue.progress().after;
    assert_eq!(queue.next(now), None);
    now = queue.wakes_at().unwrap();
    assert!(queue.next(now).is_some());
    assert_eq!(queue.progress().after, after);
}

proptest! {
    /// Crashes at any moment; each event is taken in the end, or was given up after ten calls; in order, no event
    /// of a card is taken for the first time before an earlier one of it is over.
    #[test]
    fn nothing_is_lost(
        in_order: bool,
        cards in prop::collection::vec(1u64..5, 1..120),
        steps in prop::collection::vec(0u8..20, 0..600),
    ) {
        let mut queue = queue(in_order);
        let (mut now, mut fed, mut noted) = (START, 0usize, queue.progress());
        let mut under_way: Vec<Call> = Vec::new();
        let mut over: BTreeSet<u64> = BTreeSet::new();
        let mut steps = steps.into_iter();
        let mut idle = 0;
        let last = Some(EventId(cards.len() as u64));
        while over.len() < cards.len() || queue.progress().after != last || queue.waiting() > 0 {
            let step = steps.next().unwrap_or(0);
            if fed < cards.len() && queue.room() > 0 && queue.read_to().0 as usize == fed {
                let many = 10.min(cards.len() - fed);
                take(&mut queue, fed as u64 + 1, &cards[fed..fed + many]);
                fed += many;
            }
            while let Some(call) = queue.next(now) {
                under_way.push(call);
            }
            match step {
                // Noted.
                17 => noted = queue.progress(),
                // Killed.
                18 => {
                    queue = Queue::restore(&noted, EventId(0), in_order);
                    fed = queue.read_to().0 as usize;
                    under_way.clear();
                }
                _ => {}
            }
            let Some(call) = under_way.pop() else {
                now = queue.wakes_at().unwrap_or(now).max(now);
                idle += 1;
                prop_assert!(idle < 10_000, "it stands still");
                continue;
            };
            let outcome = if (1..9).contains(&step) { failed() } else { Outcome::Taken };
            let then = queue.ended(call, outcome, now);
            if matches!(then, Then::Over | Then::GivenUp) {
                let event = call.event_id.0;
                if in_order && over.insert(event) {
                    let card = cards[event as usize - 1];
                    let earlier = (1..event).filter(|e| cards[*e as usize - 1] == card);
                    for before in earlier {
                        prop_assert!(over.contains(&before), "{event} before {before}");
                    }
                }
                over.insert(event);
            }
        }
    }
}

#[test]
fn what_comes_to_nothing_counts_until_it_is_noted() {
    let record = EventId::end_of;
    let mut queue = Queue::restore(&WebhookProgress::default(), record(7), false);
    assert_eq!(queue.unnoted_records(), 0);
    queue.take(std::iter::empty(), record(20_007));
    assert_eq!((queue.unnoted_records(), queue.is_changed), (20_000, false));
    let progress = queue.progress();
    assert_eq!(progress.after, Some(record(20_007)));
    // What came meanwhile is not in the note.
    queue.take(std::iter::empty(), record(20_010));
    queue.is_noted(progress.clone());
    assert_eq!(queue.unnoted_records(), 3);
    // Behind what is not over yet a restart does not begin.
    let event = (EventId::of_record(20_011, 0), None);
    queue.take([event].into_iter(), record(50_000));
    assert_eq!(queue.unnoted_records(), 3);
    let restored = Queue::restore(&progress, record(7), false);
    assert_eq!(
        (restored.unnoted_records(), restored.read_to()),
        (0, record(20_007))
    );
}

#[test]
fn a_good_ping_ends_the_pause_and_tells_what_waits_at_once() {
    for in_order in [false, true] {
        let mut queue = queue(in_order);
        let cards: Vec<u64> = (1..=40).collect();
        take(&mut queue, 1, &cards);
        while let Some(call) = queue.next(START) {
            queue.ended(call, failed(), START);
        }
        assert!(queue.is_down() && queue.waiting() > 0);
        let now = START.plus_ms(1);
        assert_eq!(queue.next(now), None, "in order: {in_order}");
        queue.is_back(now);
        assert!(queue.is_changed && queue.is_failing() && !queue.is_down());
        // All of them, old and new, as many at once as ever.
        let mut told = BTreeSet::new();
        while told.len() < 40 {
            let calls: Vec<Call> = std::iter::from_fn(|| queue.next(now)).collect();
            assert!(!calls.is_empty(), "{} of 40 were told", told.len());
            for call in calls {
                told.insert(call.event_id);
                queue.ended(call, Outcome::Taken, now);
            }
        }
        assert_eq!(queue.waiting(), 0);
        assert!(!queue.is_failing());
    }
}

#[test]
fn pings_use_up_no_more_than_half_of_the_tries() {
    let mut queue = queue(false);
    take(&mut queue, 1, &[1]);
    let mut now = START;
    let mut tries = 0;
    for _ in 0..40 {
        while let Some(call) = queue.next(now) {
            tries += 1;
            assert_ne!(queue.ended(call, failed(), now), Then::GivenUp);
        }
        now = now.plus_ms(700);
        queue.is_back(now);
    }
    assert_eq!(tries, 5);
    assert!(queue.is_failing(), "it is given up after days all the same");
}

#[test]
fn a_good_ping_ends_a_pause_that_outlived_a_change_of_the_endpoint() {
    let mut queue = queue(false);
    take(&mut queue, 1, &[1]);
    let call = queue.next(START).unwrap();
    let retry_after = Some(Duration::from_secs(3_600));
    queue.ended(call, Outcome::Failed { retry_after }, START);
    let mut progress = queue.progress();
    progress.failing_since = None;
    let now = START.plus_ms(1_000);
    for is_paused in [true, false] {
        let mut anew = Queue::restore(&progress, EventId::default(), false);
        if is_paused {
            anew.pause_until(queue.paused_until());
        }
        assert_eq!(anew.next(now), None);
        anew.is_back(now);
        let again = anew.next(now).unwrap();
        assert_eq!(
            (again.event_id, again.attempt),
            (call.event_id, 2),
            "paused: {is_paused}"
        );
    }
}

#[test]
fn a_ping_says_nothing_of_what_was_refused_for_its_own_sake() {
    let mut queue = queue(false);
    take(&mut queue, 1, &[1, 2]);
    let (refused, taken) = (queue.next(START).unwrap(), queue.next(START).unwrap());
    queue.ended(refused, failed(), START);
    queue.ended(taken, Outcome::Taken, START);
    let waits_until = queue.wakes_at();
    queue.is_back(START);
    assert_eq!(queue.wakes_at(), waits_until);
    assert!(waits_until > Some(START));
}

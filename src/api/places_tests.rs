//! Tests of who has to go.

use super::*;

fn places(connections_max: usize, connections_per_address_max: usize) -> Arc<Places> {
    Places::new(Bounds {
        connections_max,
        connections_per_address_max,
    })
}

fn address(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn open(places: &[Place]) -> Vec<bool> {
    places
        .iter()
        .map(|place| !place.closed.is_cancelled())
        .collect()
}

fn answer(place: &Place) {
    place.end();
    place.all_is_sent();
}

#[test]
fn the_one_of_the_address_that_is_idle_for_longest_goes() {
    let places = places(10, 3);
    let of_other = places.take(address(2));
    let taken = [1, 1, 1].map(|last| places.take(address(last)));
    // The first one has asked since, and the third is asking.
    assert!(taken[0].begin(false));
    answer(&taken[0]);
    assert!(taken[2].begin(true));
    let fourth = places.take(address(1));
    assert_eq!(open(&taken), [true, false, true]);
    assert!(!taken[1].begin(false), "it is not carried out any more");
    let fifth = places.take(address(1));
    assert_eq!(open(&taken), [false, false, true]);
    assert!(!fourth.is_spare() && !fifth.is_spare());
    assert_eq!(open(&[of_other, fourth, fifth]), [true; 3]);
}

#[test]
fn where_all_places_are_taken_the_idlest_of_all_goes() {
    let places = places(3, 2);
    let taken = [1, 1, 2].map(|last| places.take(address(last)));
    assert!(taken[0].begin(false));
    let next = places.take(address(3));
    assert_eq!(open(&taken), [true, false, true]);
    assert!(!next.is_spare());
    // What leaves makes room.
    drop(next);
    assert!(!places.take(address(4)).is_spare());
    assert_eq!(open(&taken), [true, false, true]);
}

#[test]
fn where_something_is_asked_on_all_of_them_there_are_spare_places() {
    for (connections_max, per_address_max) in [(3, 100), (100, 3)] {
        let places = places(connections_max, per_address_max);
        let taken: Vec<Place> = (0..3).map(|_| places.take(address(1))).collect();
        assert!(taken.iter().all(|place| place.begin(true)));
        let spare: Vec<Place> = (0..SPARE_PLACES).map(|_| places.take(address(1))).collect();
        assert!(spare.iter().all(Place::is_spare));
        // It may be asking: its time is over.
        assert!(spare[0].begin(false));
        let next = places.take(address(1));
        assert!(next.is_spare());
        let still_open = open(&spare);
        assert_eq!((still_open[0], still_open[1]), (false, true));
        assert_eq!(open(&taken), [true; 3]);
        answer(&taken[1]);
        assert!(!places.take(address(1)).is_spare());
        assert_eq!(open(&taken), [true, false, true]);
    }
}

#[test]
fn at_the_end_those_go_first_on_which_nothing_is_asked() {
    let places = places(10, 10);
    let taken = [(); 4].map(|()| places.take(address(1)));
    assert!(taken[1].begin(true) && taken[2].begin(true) && taken[3].begin(false));
    taken[2].body_has_come();
    places.close_idle();
    assert_eq!(open(&taken), [false, true, true, true]);
    places.close_sending();
    assert_eq!(open(&taken), [false, false, true, true]);
    // The body of an answered request that nobody wanted.
    answer(&taken[3]);
    taken[3].body_has_come();
    places.close_idle();
    assert_eq!(open(&taken), [false, false, true, false]);
}

#[test]
fn an_answer_that_is_still_sent_is_not_idle() {
    let places = places(2, 2);
    let taken = [(); 2].map(|()| places.take(address(1)));
    for place in &taken {
        // All of what came before.
        place.all_is_sent();
        assert!(place.begin(false));
        place.all_is_sent();
        place.end();
    }
    assert!(places.take(address(1)).is_spare());
    places.close_idle();
    assert_eq!(open(&taken), [true, true]);
    taken[1].all_is_sent();
    assert!(!places.take(address(1)).is_spare());
    assert_eq!(open(&taken), [true, false]);
    // Nobody has to wait for ever for who does not read.
    let idle = places.take(address(1));
    let late = Instant::now() + ANSWER_GIVES_WAY_AFTER;
    drop(places.take_at(address(1), late));
    assert_eq!(open(&[idle]), [false], "the idle one goes first");
}

#[test]
fn who_takes_his_time_gives_way_where_nobody_is_idle() {
    let places = places(3, 3);
    let taken = [(); 3].map(|()| places.take(address(1)));
    let began = Instant::now();
    assert!(taken[1].begin(true) && taken[0].begin(true) && taken[2].begin(true));
    taken[2].body_has_come();
    assert!(places.take_at(address(1), began).is_spare());
    assert_eq!(open(&taken), [true; 3]);
    let late = Instant::now() + BODY_GIVES_WAY_AFTER;
    let next = places.take_at(address(2), late);
    assert!(!next.is_spare() && next.begin(false));
    assert_eq!(open(&taken), [true, false, true], "the oldest");
    assert!(!taken[1].begin(true));
    let next = [next, places.take_at(address(2), late)];
    assert_eq!(open(&taken), [false, false, true]);
    assert!(next[1].begin(false));
    // Whose answer is being made is waited for, and whose is sent, for a while.
    next.iter().for_each(Place::end);
    assert!(places.take_at(address(3), late).is_spare());
    let late = Instant::now() + ANSWER_GIVES_WAY_AFTER;
    assert!(!places.take_at(address(3), late).is_spare());
    assert_eq!(open(&taken), [false, false, true]);
    assert_eq!(open(&next), [false, true]);
}

#[test]
fn hosts_of_one_network_of_ipv6_count_as_one() {
    let same = |one: &str, other: &str| {
        let read = |text: &str| counted_as(text.parse().unwrap());
        read(one) == read(other)
    };
    assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::"));
    assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
    assert!(same("::ffff:10.0.0.1", "10.0.0.1"));
    assert!(!same("::ffff:10.0.0.1", "10.0.0.2"));
}

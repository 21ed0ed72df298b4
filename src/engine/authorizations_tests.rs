//! Tests of `authorizations.rs`: they are held against a map.

use super::*;
use crate::engine::slot_index::hash_of_id;
use proptest::prelude::*;
use std::collections::BTreeMap;

const CARD: CardId = CardId(1);

fn name(number: u64) -> MatchKey {
    MatchKey(hash_of_id(number).max(1))
}

fn keys(names: [u64; 2]) -> MatchKeys {
    let mut keys = MatchKeys::default();
    for (place, number) in names.into_iter().enumerate() {
        if number > 0 {
            keys.by_authority[place] = name(number);
        }
    }
    keys
}

fn authorization(id: u64, at_ms: i64, names: [u64; 2]) -> Authorization {
    Authorization {
        waiting: None,
        id: AuthorizationId(id),
        card_id: CARD,
        account_id: AccountId(1),
        direction: Direction::Debit,
        held: InBoth::default(),
        posted: InBoth::default(),
        kept: Kept::default(),
        placed_at: Timestamp(at_ms),
        expires_at: Timestamp(at_ms + 100),
        approval_code: ApprovalCode::default(),
        match_keys: keys(names),
        uses: Uses::default(),
        parts: Box::default(),
        closed: None,
        opened: InBoth::default(),
        posted_at_once: false,
        currency: Currency(840),
        answered: None,
        recalled_at: None,
        changes: 0,
        stood_in_by: None,
        lock: 0,
        is_authenticated: false,
        gave_back: Box::default(),
        is_amended: false,
    }
}

#[derive(Debug, Clone)]
enum Act {
    Insert { id: u64, names: [u64; 2] },
    Close { id: u64, by: ClosedBy },
    AddPart { id: u64, names: [u64; 2] },
    SetExpiry { id: u64, later_ms: i64 },
}

fn any_act() -> impl Strategy<Value = Act> {
    let names = || [0u64..5, 0u64..5];
    let by = prop_oneof![
        Just(ClosedBy::Release),
        Just(ClosedBy::Completion),
        Just(ClosedBy::Reversal)
    ];
    prop_oneof![
        (0u64..8, names()).prop_map(|(id, names)| Act::Insert { id, names }),
        (0u64..8, by).prop_map(|(id, by)| Act::Close { id, by }),
        (0u64..8, names()).prop_map(|(id, names)| Act::AddPart { id, names }),
        (0u64..8, 0i64..90).prop_map(|(id, later_ms)| Act::SetExpiry { id, later_ms }),
    ]
}

const RETENTION_MS: i64 = 30;
const CLOSED_MAX: usize = 4;

/// What the same comes to in a map, which forgets at once.
#[derive(Default)]
struct Naive {
    known: BTreeMap<u64, Authorization>,
    closed: Vec<u64>,
}

impl Naive {
    fn act(&mut self, act: &Act, at: Timestamp) {
        match act {
            Act::Insert { id, names } => {
                let fresh = authorization(*id, at.0, *names);
                self.known.entry(*id).or_insert(fresh);
            }
            Act::Close { id, by } => {
                let Some(known) = self.known.get_mut(id) else {
                    return;
                };
                known.closed = Some(Closed { at, by: *by });
                known.changes += 1;
                self.closed.retain(|other| other != id);
                self.closed.push(*id);
            }
            Act::AddPart { id, names } => {
                if let Some(known) = self.known.get_mut(id) {
                    let mut parts = known.parts.to_vec();
                    parts.push(part(at, *names));
                    known.parts = parts.into();
                    known.changes += 1;
                }
            }
            Act::SetExpiry { id, later_ms } => {
                if let Some(known) = self.known.get_mut(id).filter(|known| known.is_open()) {
                    known.expires_at = known.expires_at.plus_ms(*later_ms);
                }
            }
        }
    }

    fn forget(&mut self, now: Timestamp) {
        while let Some(first) = self.closed.first().copied() {
            let closed_at = self.known[&first].closed.unwrap().at;
            if closed_at.plus_ms(RETENTION_MS) > now && self.closed.len() <= CLOSED_MAX {
                break;
            }
            self.closed.remove(0);
            self.known.remove(&first);
        }
    }

    fn named(&self, number: u64) -> Vec<u64> {
        let has = |known: &&Authorization| {
            let parts = known.parts.iter().map(|part| &part.match_keys);
            let mut all = std::iter::once(&known.match_keys).chain(parts);
            all.any(|keys| keys.by_authority.contains(&name(number)))
        };
        self.known
            .values()
            .filter(has)
            .map(|known| known.id.0)
            .collect()
    }
}

fn part(at: Timestamp, names: [u64; 2]) -> Part {
    Part {
        kind: PartKind::Completion,
        amount: InBoth::default(),
        match_keys: keys(names),
        at,
        is_undone: false,
        undone: InBoth::default(),
        is_superseded: false,
        answered: None,
    }
}

fn act_on(all: &mut Authorizations, act: &Act, at: Timestamp) {
    match act {
        Act::Insert { id, names } => {
            if !all.contains(AuthorizationId(*id)) {
                all.insert(authorization(*id, at.0, *names));
            }
        }
        Act::Close { id, by } => all.close(AuthorizationId(*id), at, *by),
        Act::AddPart { id, names } => all.add_part(AuthorizationId(*id), part(at, *names)),
        Act::SetExpiry { id, later_ms } => {
            if let Some(known) = all.get(AuthorizationId(*id)) {
                let expires_at = known.expires_at.plus_ms(*later_ms);
                all.set_expiry(AuthorizationId(*id), expires_at);
            }
        }
    }
}

proptest! {
    #[test]
    fn they_are_a_map_by_id_and_by_name(acts in proptest::collection::vec(any_act(), 0..120)) {
        let (mut all, mut naive) = (Authorizations::default(), Naive::default());
        for (step, act) in acts.iter().enumerate() {
            let at = Timestamp(step as i64 * 3);
            act_on(&mut all, act, at);
            naive.act(act, at);
            for _ in 0..200 {
                all.forget(at, RETENTION_MS, CLOSED_MAX as u64, |_| {});
            }
            naive.forget(at);
            for id in 0..8 {
                prop_assert_eq!(all.get(AuthorizationId(id)), naive.known.get(&id));
            }
            for number in 1..5 {
                let mut found: Vec<u64> = all.named(CARD, name(number)).map(|known| known.id.0).collect();
                found.sort_unstable();
                prop_assert_eq!(found, naive.named(number));
            }
            let open = naive.known.values().filter(|known| known.is_open());
            let first = open.clone().map(|known| (known.expires_at, known.id)).min();
            prop_assert_eq!(all.first_to_expire().map(|(at, known)| (at, known.id)), first);
            prop_assert_eq!((all.open_len(), all.closed_len()), (open.count(), naive.closed.len()));
            prop_assert!(all.slots.len() <= 8);
        }
        let cut = |all: &mut Authorizations| {
            for id in 0..8 {
                all.close(AuthorizationId(id), Timestamp(1_000), ClosedBy::Release);
            }
            for _ in 0..200 {
                all.forget(Timestamp(9_000), RETENTION_MS, 0, |forgotten| {
                    assert!(!forgotten.is_open());
                });
            }
        };
        cut(&mut all);
        prop_assert!(all.by_name.is_empty() && all.by_id.is_empty());
    }
}

#[test]
fn parts_beyond_the_bound_have_no_names() {
    let mut all = Authorizations::default();
    all.insert(authorization(1, 0, [1, 0]));
    for number in 0..PARTS_MAX as u64 + 5 {
        all.add_part(AuthorizationId(1), part(Timestamp(1), [100 + number, 0]));
    }
    assert_eq!(all.get(AuthorizationId(1)).unwrap().parts.len(), PARTS_MAX);
    assert_eq!(all.named(CARD, name(100)).count(), 1);
    assert_eq!(all.named(CARD, name(100 + PARTS_MAX as u64)).count(), 0);
}

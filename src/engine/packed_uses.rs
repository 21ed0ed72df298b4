//! How the uses of limits are stored: differences from one use to the next, because ids are given
//! out together and windows end together. A use is one number for scope and id and one for the window.

use super::event::{LimitUse, LimitUses};
use super::ids::LimitId;
use super::scope::Scope;
use super::window::WindowEnd;
use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserializer, Serializer};
use std::fmt;

pub fn serialize<S: Serializer>(uses: &LimitUses, to: S) -> Result<S::Ok, S::Error> {
    let mut sequence = to.serialize_seq(Some(uses.len()))?;
    let (mut id, mut window) = (0u64, 0u32);
    for limit_use in uses {
        // 128 bits, because the scope takes three beside the whole of an id.
        let difference = limit_use.limit_id.0.wrapping_sub(id) as i64;
        let zigzag = ((difference << 1) ^ (difference >> 63)) as u64;
        let head = u128::from(zigzag) << 3 | limit_use.scope as u128;
        let window_difference = limit_use.window.0.wrapping_sub(window) as i32;
        sequence.serialize_element(&(head, window_difference))?;
        (id, window) = (limit_use.limit_id.0, limit_use.window.0);
    }
    sequence.end()
}

pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<LimitUses, D::Error> {
    from.deserialize_seq(Uses)
}

struct Uses;

impl<'de> Visitor<'de> for Uses {
    type Value = LimitUses;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("uses of limits")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<LimitUses, A::Error> {
        let mut uses = LimitUses::new();
        let (mut id, mut window) = (0u64, 0u32);
        while let Some((head, window_difference)) = sequence.next_element::<(u128, i32)>()? {
            let zigzag = u64::try_from(head >> 3).map_err(A::Error::custom)?;
            let difference = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
            id = id.wrapping_add(difference as u64);
            window = window.wrapping_add(window_difference as u32);
            uses.push(LimitUse {
                scope: Scope::ALL[(head & 7) as usize],
                limit_id: LimitId(id),
                window: WindowEnd(window),
            });
        }
        Ok(uses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::HoldPlaced;
    use crate::engine::time::Timestamp;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_stored_is_read(raw in proptest::collection::vec(any::<(usize, u64, u32)>(), 0..12)) {
            let uses = raw.iter().map(|(scope, id, window)| LimitUse {
                scope: Scope::ALL[scope % 8],
                limit_id: LimitId(*id),
                window: WindowEnd(*window),
            });
            let (amount_minor, expires_at) = (1, Timestamp(2));
            let hold = HoldPlaced { amount_minor, expires_at, uses: uses.collect() };
            let bytes = postcard::to_allocvec(&hold).unwrap();
            prop_assert_eq!(postcard::from_bytes::<HoldPlaced>(&bytes), Ok(hold));
        }
    }
}

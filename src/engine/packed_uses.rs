//! How the uses of limits are stored: differences from one use to the next, because ids are given
//! out together and windows end together. A use is one number for scope and id and one for the window;
//! the code of a bucket's width is in the latter, above the 32 bits of the bucket's number.

use super::ids::LimitId;
use super::limit_uses::{LimitUse, LimitUses};
use super::rolling::BucketWidth;
use super::scope::Scope;
use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserializer, Serializer};
use std::fmt;

pub fn serialize<S: Serializer>(uses: &LimitUses, to: S) -> Result<S::Ok, S::Error> {
    let mut sequence = to.serialize_seq(Some(uses.len()))?;
    let (mut id, mut window) = (0u64, 0i64);
    for limit_use in uses {
        // 128 bits, because the scope takes four beside the whole of an id.
        let difference = limit_use.limit_id.0.wrapping_sub(id) as i64;
        let zigzag = ((difference << 1) ^ (difference >> 63)) as u64;
        let head = u128::from(zigzag) << 4 | limit_use.scope as u128;
        let width = limit_use.bucket_width.map_or(0, BucketWidth::code);
        let counted_in = i64::from(width) << 32 | i64::from(limit_use.window);
        sequence.serialize_element(&(head, counted_in - window))?;
        (id, window) = (limit_use.limit_id.0, counted_in);
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
        let (mut id, mut window) = (0u64, 0i64);
        while let Some((head, window_difference)) = sequence.next_element::<(u128, i64)>()? {
            let zigzag = u64::try_from(head >> 4).map_err(A::Error::custom)?;
            let difference = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
            id = id.wrapping_add(difference as u64);
            window = window.wrapping_add(window_difference);
            let bucket_width = match u8::try_from(window >> 32).map_err(A::Error::custom)? {
                0 => None,
                code => Some(BucketWidth::from_code(code).ok_or_else(|| {
                    A::Error::custom(format!(
                        "no bucket of a rolling window has the width {code}"
                    ))
                })?),
            };
            let scope = Scope::ALL.get((head & 15) as usize).copied();
            let scope = scope.ok_or_else(|| A::Error::custom("there is no such scope"))?;
            uses.push(LimitUse {
                scope,
                limit_id: LimitId(id),
                window: window as u32,
                bucket_width,
            });
        }
        Ok(uses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::card_use::CardUseMade;
    use crate::engine::event::HoldPlaced;
    use crate::engine::time::Timestamp;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_stored_is_read(raw in proptest::collection::vec(any::<(usize, u64, u32, u8)>(), 0..12)) {
            let uses = raw.iter().map(|(scope, id, window, width)| LimitUse {
                scope: Scope::ALL[scope % Scope::ALL.len()],
                limit_id: LimitId(*id),
                window: *window,
                bucket_width: BucketWidth::from_code(width % 19),
            });
            let (amount_minor, expires_at) = (1, Timestamp(2));
            let card_use = CardUseMade::default();
            let hold = HoldPlaced { amount_minor, expires_at, uses: uses.collect(), card_use };
            let bytes = postcard::to_allocvec(&hold).unwrap();
            prop_assert_eq!(postcard::from_bytes::<HoldPlaced>(&bytes), Ok(hold));
        }
    }
}

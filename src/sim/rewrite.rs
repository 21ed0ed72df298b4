//! Fresh keys for recorded messages: STAN, RRN, DE7, DE12 and DE13 are drawn anew, so that a capture can
//! be played many times. What belonged together still does: repeats stay repeats, and a reversal names
//! its rewritten original in DE90 or DE56.

use std::{collections::HashMap, sync::Arc};

use arrayvec::ArrayString;
use bytes::BytesMut;

use super::{
    client::rrn_of,
    keys::{Keys, Rrn, Stamp},
};
use crate::iso8583::{
    Dialect, EncodeError, Encoder, Message,
    field::Content,
    mapping::{DateTimeLayout, OriginalData},
};

/// Old STAN, and old DE7 (or DE12, where DE56 names that).
type OriginalKey = (u64, u64);

/// Rewrites the messages of one capture in their order.
pub struct Rewriter {
    dialect: Arc<Dialect>,
    keys: Keys,
    numeric_rrn: bool,
    /// By the old RRN and terminal; without an RRN by the old STAN.
    groups: HashMap<Vec<u8>, Group>,
    originals: HashMap<OriginalKey, Original>,
}

/// The messages about one payment.
struct Group {
    rrn: Rrn,
    local: Stamp,
    /// Old STAN, and the new one.
    stans: Vec<(u64, u32)>,
}

#[derive(Clone, Copy)]
struct Original {
    stan: u32,
    /// DE7, or DE12 where DE56 names that.
    time: u64,
}

impl Rewriter {
    /// Keys come from `keys`.
    pub fn new(dialect: Arc<Dialect>, keys: Keys) -> Rewriter {
        let rrn = dialect.layout(37).map(|layout| layout.content);
        Rewriter {
            numeric_rrn: rrn == Some(Content::N),
            dialect,
            keys,
            groups: HashMap::new(),
            originals: HashMap::new(),
        }
    }

    /// Forgets what belonged together: the capture is played again.
    pub fn restart(&mut self) {
        self.groups.clear();
        self.originals.clear();
    }

    /// Appends the message with fresh keys; gives its new STAN and RRN.
    pub fn rewrite(
        &mut self,
        message: &Message<'_>,
        now: Stamp,
        out: &mut BytesMut,
    ) -> Result<(u32, Rrn), EncodeError> {
        let (stan, rrn, local) = self.fresh(message, now);
        let maps = self.dialect.mappings();
        let (own_time, original_field) = match maps.original_data {
            OriginalData::De90 => (now.mmddhhmmss(), 90),
            OriginalData::De56 => (local.yymmddhhmmss(), 56),
        };
        let short_times = maps.date_time == DateTimeLayout::De12HhmmssDe13Mmdd;
        let dialect = self.dialect.clone();
        let mut encoder = Encoder::new(&dialect, out, message.mti());
        for field in message.fields() {
            match field.number {
                7 => encoder.digits(7, now.mmddhhmmss())?,
                11 => encoder.digits(11, u64::from(stan))?,
                12 if short_times => encoder.digits(12, local.hhmmss())?,
                12 => encoder.digits(12, local.yymmddhhmmss())?,
                13 if short_times => encoder.digits(13, local.mmdd())?,
                // The RRN is ASCII letters and digits.
                37 => encoder.text(37, std::str::from_utf8(&rrn).unwrap_or_default())?,
                number => match self.original(message, number, original_field) {
                    Some(text) => encoder.text(number, &text)?,
                    None => {
                        encoder.mirror(message, number)?;
                        continue;
                    }
                },
            };
        }
        encoder.finish();
        if let Some(key) = original_key(message, original_field) {
            let original = Original {
                stan,
                time: own_time,
            };
            self.originals.insert(key, original);
        }
        let has_rrn = message.has(37);
        Ok((stan, if has_rrn { rrn } else { [0; 12] }))
    }

    /// New STAN, RRN and local time of a message: those of the payment that it is about.
    fn fresh(&mut self, message: &Message<'_>, now: Stamp) -> (u32, Rrn, Stamp) {
        let old_stan = message.digits(11).unwrap_or(0);
        let mut name = Vec::with_capacity(32);
        match message.raw(37) {
            Some(rrn) => {
                name.extend_from_slice(rrn);
                name.extend_from_slice(message.raw(41).unwrap_or_default());
            }
            None => {
                name.push(message.mti().class());
                name.extend_from_slice(&old_stan.to_be_bytes());
            }
        }
        let (stan, rrn) = match self.groups.get(&name) {
            Some(group) => match group.stans.iter().find(|(old, _)| *old == old_stan) {
                Some((_, stan)) => return (*stan, group.rrn, group.local),
                None => self.keys.draw(),
            },
            None => self.keys.draw(),
        };
        let rrn = if self.numeric_rrn {
            self.keys.numeric_rrn()
        } else {
            rrn
        };
        let group = self.groups.entry(name).or_insert(Group {
            rrn,
            local: now,
            stans: Vec::new(),
        });
        group.stans.push((old_stan, stan));
        (stan, group.rrn, group.local)
    }

    /// DE90 or DE56 with the new keys of the original, if that was rewritten before.
    fn original(
        &self,
        message: &Message<'_>,
        field: u8,
        original_field: u8,
    ) -> Option<ArrayString<64>> {
        if field != original_field {
            return None;
        }
        let text: ArrayString<64> = message.text(field)?;
        let width = if field == 90 { 10 } else { 12 };
        let stan = text.get(4..10)?.parse().ok()?;
        let time = text.get(10..10 + width)?.parse().ok()?;
        let original = self.originals.get(&(stan, time))?;
        let mut new = ArrayString::new();
        let (mti, rest) = (text.get(..4)?, text.get(10 + width..)?);
        let Original { stan, time } = original;
        let written = format_args!("{mti}{stan:06}{time:0width$}{rest}");
        std::fmt::Write::write_fmt(&mut new, written).ok()?;
        Some(new)
    }
}

/// What a reversal would call this message.
fn original_key(message: &Message<'_>, original_field: u8) -> Option<OriginalKey> {
    let time = message.digits(if original_field == 90 { 7 } else { 12 })?;
    Some((message.digits(11)?, time))
}

/// STAN and RRN of a message as it is.
pub fn kept_key(message: &Message<'_>) -> (u32, Rrn) {
    let stan = message.digits(11).unwrap_or(0) as u32;
    (stan, rrn_of(message).unwrap_or([0; 12]))
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;

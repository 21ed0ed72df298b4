//! Fresh keys for recorded messages: STAN, RRN, DE7, DE12 and DE13 are drawn anew, so that a capture can
//! be played many times. What belonged together still does: repeats stay repeats, and a reversal names
//! its rewritten original in DE90 or DE56, also one that comes only after it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

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
    /// All messages of the capture, whether they were rewritten yet or not.
    announced: HashSet<OriginalKey>,
    /// What reversals called their originals, of those that come after them.
    promised: HashMap<OriginalKey, Original>,
}

/// The messages about one payment.
struct Group {
    rrn: Rrn,
    local: Stamp,
    /// Old STAN, and the new one.
    stans: Vec<(u64, u32)>,
}

/// What a reversal calls its original by.
#[derive(Clone, Copy)]
struct Original {
    stan: u32,
    /// Of DE7, or of DE12 where DE56 names that.
    at: Stamp,
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
            announced: HashSet::new(),
            promised: HashMap::new(),
        }
    }

    /// Tells of a message that will be rewritten, so that one that names it before can name it by its new keys.
    pub fn announce(&mut self, message: &Message<'_>) {
        self.announced
            .extend(original_key(message, self.original_field()));
    }

    /// Forgets what belonged together: the capture is played again.
    pub fn restart(&mut self) {
        self.groups.clear();
        self.originals.clear();
        self.promised.clear();
    }

    fn original_field(&self) -> u8 {
        match self.dialect.mappings().original_data {
            OriginalData::De90 => 90,
            OriginalData::De56 => 56,
        }
    }

    /// Appends the message with fresh keys; gives its new STAN and RRN.
    pub fn rewrite(
        &mut self,
        message: &Message<'_>,
        now: Stamp,
        out: &mut BytesMut,
    ) -> Result<(u32, Rrn), EncodeError> {
        let original_field = self.original_field();
        let key = original_key(message, original_field);
        let promised = key.and_then(|key| self.promised.get(&key).copied());
        let group = group_name(message);
        let old_stan = message.digits(11).unwrap_or(0);
        let promised_stan = promised.map(|promised| promised.stan);
        let (stan, rrn, local) = self.fresh(&group, old_stan, promised_stan, now);
        // One that was named already goes by the time that it was named with.
        let (sent, local) = match (promised, original_field) {
            (Some(promised), 90) => (promised.at, local),
            (Some(promised), _) => (now, promised.at),
            (None, _) => (now, local),
        };
        let named = self.named(message, &group, now);
        let maps = self.dialect.mappings();
        let short_times = maps.date_time == DateTimeLayout::De12HhmmssDe13Mmdd;
        let dialect = self.dialect.clone();
        let mut encoder = Encoder::new(&dialect, out, message.mti());
        for field in message.fields() {
            match field.number {
                7 => encoder.digits(7, sent.mmddhhmmss())?,
                11 => encoder.digits(11, u64::from(stan))?,
                12 if short_times => encoder.digits(12, local.hhmmss())?,
                12 => encoder.digits(12, local.yymmddhhmmss())?,
                13 if short_times => encoder.digits(13, local.mmdd())?,
                // The RRN is ASCII letters and digits.
                37 => encoder.text(37, std::str::from_utf8(&rrn).unwrap_or_default())?,
                number => match named.filter(|_| number == original_field) {
                    Some(text) => encoder.text(number, &text)?,
                    None => {
                        encoder.mirror(message, number)?;
                        continue;
                    }
                },
            };
        }
        encoder.finish();
        if let Some(key) = key {
            let at = if original_field == 90 { sent } else { local };
            self.originals.insert(key, Original { stan, at });
        }
        let has_rrn = message.has(37);
        Ok((stan, if has_rrn { rrn } else { [0; 12] }))
    }

    /// New STAN, RRN and local time of a message of this group: those of the payment that it is about.
    fn fresh(
        &mut self,
        group: &[u8],
        old_stan: u64,
        promised_stan: Option<u32>,
        now: Stamp,
    ) -> (u32, Rrn, Stamp) {
        let known = self.groups.get(group);
        let of_stan = known.and_then(|group| {
            let mut stans = group.stans.iter();
            let (_, stan) = stans.find(|(old, _)| *old == old_stan)?;
            Some((*stan, group.rrn, group.local))
        });
        if let Some(found) = of_stan {
            return found;
        }
        let (stan, rrn) = self.keys.draw();
        let stan = promised_stan.unwrap_or(stan);
        let rrn = if self.numeric_rrn {
            self.keys.numeric_rrn()
        } else {
            rrn
        };
        let group = self.groups.entry(group.to_vec()).or_insert(Group {
            rrn,
            local: now,
            stans: Vec::new(),
        });
        group.stans.push((old_stan, stan));
        (stan, group.rrn, group.local)
    }

    /// DE90 or DE56 with the new keys of the original; nothing where the capture has no such message. One that
    /// is yet to come gets its keys here.
    fn named(
        &mut self,
        message: &Message<'_>,
        group: &[u8],
        now: Stamp,
    ) -> Option<ArrayString<64>> {
        let field = self.original_field();
        let text: ArrayString<64> = message.text(field)?;
        let width = if field == 90 { 10 } else { 12 };
        let old_stan = text.get(4..10)?.parse().ok()?;
        let key = (old_stan, text.get(10..10 + width)?.parse().ok()?);
        let named = self.originals.get(&key).or(self.promised.get(&key));
        let original = match named.copied() {
            Some(original) => original,
            None if self.announced.contains(&key) => {
                let (stan, _, local) = self.fresh(group, old_stan, None, now);
                let at = if field == 90 { now } else { local };
                *self.promised.entry(key).or_insert(Original { stan, at })
            }
            None => return None,
        };
        let time = match field {
            90 => original.at.mmddhhmmss(),
            _ => original.at.yymmddhhmmss(),
        };
        let mut new = ArrayString::new();
        let (mti, rest) = (text.get(..4)?, text.get(10 + width..)?);
        let written = format_args!("{mti}{:06}{time:0width$}{rest}", original.stan);
        std::fmt::Write::write_fmt(&mut new, written).ok()?;
        Some(new)
    }
}

/// What tells the payments of a capture apart.
fn group_name(message: &Message<'_>) -> Vec<u8> {
    let mut name = Vec::with_capacity(32);
    match message.raw(37) {
        Some(rrn) => {
            name.extend_from_slice(rrn);
            name.extend_from_slice(message.raw(41).unwrap_or_default());
        }
        None => {
            name.push(message.mti().class());
            name.extend_from_slice(&message.digits(11).unwrap_or(0).to_be_bytes());
        }
    }
    name
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

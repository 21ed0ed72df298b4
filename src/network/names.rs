//! The names by which messages know one another: a message's own, and those of the original that it is about.
//! Which authorization they lead to is told by the engine (see `engine/matching.rs`).

use super::translate::Translator;
use crate::engine::event::ApprovalCode;
use crate::engine::facts::{MatchKey, MatchKeys, NetworkReference};
use crate::engine::ids::AuthorizationId;
use crate::iso8583::Message;
use crate::iso8583::identity::NameKind;
use crate::iso8583::mapping::{DateTimeLayout, OriginalData};
use arrayvec::ArrayString;

/// Whose names are made: a message's own, or its original's.
struct Names {
    stan: u32,
    sent: Option<ArrayString<12>>,
    /// What we will have answered with; else the code that the message states.
    approval_code: Option<ArrayString<6>>,
    acquirer_id: u64,
}

/// What a later message says of an earlier one.
struct Original {
    stan: u32,
    /// DE7 of the original (1987), or its DE12 (1993).
    sent: Option<ArrayString<12>>,
    /// 0 where it is not known.
    acquirer_id: u64,
}

/// Local time of the transaction; in 1993 with its date.
const LOCAL_TIME: u8 = 12;

fn sent_field(original: OriginalData) -> u8 {
    match original {
        OriginalData::De90 => 7,
        OriginalData::De56 => 12,
    }
}

impl Translator {
    /// The names by which later messages know this one. What we approve gets an approval code of ours, which an
    /// advice brings with it.
    pub(super) fn own_keys(
        &self,
        message: &Message,
        reference: &NetworkReference,
        id: AuthorizationId,
    ) -> MatchKeys {
        let is_request = message.mti().function() == 0;
        let given = ApprovalCode::of(id);
        let approval_code = is_request.then(|| given.as_str());
        let names = Names {
            stan: reference.stan,
            sent: message.text(sent_field(self.original_data())),
            approval_code: approval_code.and_then(|code| ArrayString::from(code).ok()),
            acquirer_id: message.digits(32).unwrap_or(0),
        };
        MatchKeys {
            stan: reference.stan,
            ..self.match_keys(message, names)
        }
    }

    /// How a reversal names its original, and which message of that payment it means, if it says so.
    pub(super) fn reversed_keys(
        &self,
        message: &Message,
        reference: &NetworkReference,
    ) -> MatchKeys {
        MatchKeys {
            stan: self.original(message).map_or(0, |original| original.stan),
            ..self.original_keys(message, reference)
        }
    }

    /// How a reversal, an advice or an increment names its original. Where it has no original data elements, it
    /// repeats the original's STAN and local time; its time of transmission is its own then, and is taken for
    /// the original's only where there is no local time.
    pub(super) fn original_keys(
        &self,
        message: &Message,
        reference: &NetworkReference,
    ) -> MatchKeys {
        let own_acquirer_id = message.digits(32).unwrap_or(0);
        let Some(original) = self.original(message) else {
            let sent_field = sent_field(self.original_data());
            let sent = match sent_field != LOCAL_TIME && message.has(LOCAL_TIME) {
                true => None,
                false => message.text(sent_field),
            };
            let names = Names {
                stan: reference.stan,
                sent,
                approval_code: None,
                acquirer_id: own_acquirer_id,
            };
            return self.match_keys(message, names);
        };
        let acquirer_id = match (original.acquirer_id, own_acquirer_id) {
            (0, id) | (id, 0) => id,
            (id, own) if id == own => id,
            // Which of the two it is, the other names have to say.
            _ => 0,
        };
        let names = Names {
            stan: original.stan,
            sent: original.sent,
            approval_code: None,
            acquirer_id,
        };
        self.match_keys(message, names)
    }

    fn match_keys(&self, message: &Message, names: Names) -> MatchKeys {
        let mut keys = MatchKeys {
            acquirer_id: names.acquirer_id,
            ..MatchKeys::default()
        };
        let listed = self.map.dialect.match_keys().iter();
        for (place, kind) in listed.take(MatchKeys::NAMES_MAX).enumerate() {
            keys.by_authority[place] = self.match_key(message, *kind, &names);
        }
        keys
    }

    /// One name of a message, of one of the kinds that dialect files list.
    fn match_key(&self, message: &Message, kind: NameKind, names: &Names) -> MatchKey {
        let stan = names.stan.to_le_bytes();
        let name = |parts: [&[u8]; 3]| {
            let mut key = self.match_key_hasher.hasher();
            key.part(&[kind as u8]).part(self.network.as_bytes());
            parts.into_iter().for_each(|part| {
                key.part(part);
            });
            // 0 is for what is not stated.
            MatchKey((key.finish() as u64).max(1))
        };
        let is_known =
            |text: &ArrayString<40>| text.bytes().any(|letter| letter != b'0' && letter != b' ');
        let mappings = self.map.dialect.mappings();
        let found = match kind {
            NameKind::NetworkTransactionId => {
                let at = mappings.network_transaction_id.as_ref();
                let id = at.and_then(|at| message.locate::<40>(at));
                id.filter(is_known)
                    .map(|id| name([id.as_bytes(), &[], &[]]))
            }
            NameKind::Rrn => {
                let rrn = message.text::<40>(37);
                rrn.filter(is_known)
                    .map(|rrn| name([rrn.as_bytes(), &[], &[]]))
            }
            NameKind::Sent => names.sent.map(|sent| name([&stan, sent.as_bytes(), &[]])),
            NameKind::Local => {
                // Where the time of transmission is the local time, one name says both.
                let names_local = sent_field(self.original_data()) != LOCAL_TIME;
                let time = message.raw(LOCAL_TIME).filter(|_| names_local);
                let date = match mappings.date_time {
                    DateTimeLayout::De12HhmmssDe13Mmdd => message.raw(13).unwrap_or_default(),
                    // The date is part of DE12, and DE13 is a date of the card.
                    DateTimeLayout::De12Yymmddhhmmss => &[],
                };
                time.map(|time| name([&stan, time, date]))
            }
            NameKind::ApprovalCode => {
                let stated = message.text::<6>(38).filter(|code| !code.trim().is_empty());
                let code = names.approval_code.or(stated);
                code.map(|code| name([code.as_bytes(), &[], &[]]))
            }
        };
        found.unwrap_or(MatchKey::UNSTATED)
    }

    fn original_data(&self) -> OriginalData {
        self.map.dialect.mappings().original_data
    }

    /// What a reversal says of its original, in DE90 (1987) or DE56 (1993).
    fn original(&self, message: &Message) -> Option<Original> {
        let (field, sent_length) = match self.original_data() {
            OriginalData::De90 => (90, 10),
            OriginalData::De56 => (56, 12),
        };
        let text = message.text::<42>(field)?;
        // Each part is zeros where the sender does not know it.
        let stan = text.get(4..10)?.parse().ok().filter(|stan| *stan != 0)?;
        let sent = text.get(10..10 + sent_length)?;
        let acquirer = match self.original_data() {
            OriginalData::De90 => text.get(20..31)?,
            // An LLVAR within the field: two digits of length come first.
            OriginalData::De56 => text.get(24..).unwrap_or_default(),
        };
        let is_known = |text: &&str| text.bytes().any(|digit| digit != b'0');
        let sent = Some(sent).filter(is_known);
        Some(Original {
            stan,
            sent: sent.and_then(|sent| ArrayString::from(sent).ok()),
            acquirer_id: acquirer.parse().unwrap_or(0),
        })
    }
}

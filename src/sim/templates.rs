//! Messages that are the same but for a few values are written once and then patched in place: what a
//! sender costs is what it takes from the peer that it measures, where both share a machine.

use bytes::BytesMut;
use hashbrown::HashMap;

use super::{
    keys::Stamp,
    traffic::{Kind, Outgoing, Payment, ThreeDs, Twist},
    values::Value,
    wire::{Item, Role, Wire},
};
use crate::iso8583::{EncodeError, Message, Patch};

/// What two messages of one template have in common: the fields that they have, their lengths, and the
/// values that are not patched.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    merchant: u16,
    kind: Kind,
    repeat: bool,
    /// Of the card, as its number in [`CURRENCIES`](super::merchants::CURRENCIES).
    currency: u8,
    pan_length: u8,
    cvv2_length: u8,
}

/// A message that was sent before, and where its values stand.
struct Template {
    bytes: Vec<u8>,
    pan: Option<Patch>,
    amount: Option<Patch>,
    stan: Option<Patch>,
    expiry: Option<Patch>,
    rrn: Option<Patch>,
    cvv2: Option<Patch>,
    /// What changes with the clock only, and the time that it shows.
    times: Vec<(Patch, Item)>,
    at: Stamp,
}

/// The templates of one connection, made as they are needed.
#[derive(Default)]
pub struct Templates {
    known: HashMap<Shape, Template>,
}

impl Templates {
    /// Writes one message, from its template where there is one.
    #[inline]
    pub fn write(
        &mut self,
        wire: &Wire,
        outgoing: &Outgoing,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let (payment, repeat) = match outgoing {
            Outgoing::Request(payment) => (payment, false),
            Outgoing::Repeat(payment) => (payment, true),
            // Too seldom to be worth a template.
            Outgoing::Reversal { .. }
            | Outgoing::FollowUp { .. }
            | Outgoing::ForcePost(_)
            | Outgoing::Echo { .. } => return wire.write(outgoing, out),
        };
        let is_special = payment.twist != Twist::None || payment.three_ds != ThreeDs::None;
        if is_special || payment.foreign {
            return wire.write(outgoing, out);
        }
        let shape = shape(wire, payment, repeat);
        if let Some(template) = self.known.get_mut(&shape) {
            template.patch(wire, payment)?;
            out.extend_from_slice(&template.bytes);
            return Ok(());
        }
        let start = out.len();
        wire.write(outgoing, out)?;
        let template = Template::of(wire, payment, &out[start..]);
        self.known
            .extend(template.map(|template| (shape, template)));
        Ok(())
    }
}

#[inline]
fn shape(wire: &Wire, payment: &Payment, repeat: bool) -> Shape {
    let card = &wire.cards[payment.card as usize];
    Shape {
        merchant: payment.merchant,
        kind: payment.kind,
        repeat,
        currency: card.currency_number,
        pan_length: card.card.pan.len() as u8,
        cvv2_length: card.right_cvv2.len() as u8,
    }
}

impl Template {
    fn of(wire: &Wire, payment: &Payment, bytes: &[u8]) -> Option<Template> {
        // What was encoded with a dialect parses with it.
        let message = Message::parse(wire.dialect(), bytes).ok()?;
        let patch = |wanted| {
            let (field, _) = wire.items.iter().find(|(_, item)| *item == wanted)?;
            Patch::of(&message, *field)
        };
        let cvv2 = wire.dialect().mappings().cvv2.as_ref().map(|at| at.field);
        let times = [
            Item::Transmission,
            Item::LocalTime,
            Item::LocalDate,
            Item::LocalDateTime,
        ];
        let times = times.map(|item| patch(item).map(|patch| (patch, item)));
        Some(Template {
            bytes: bytes.to_vec(),
            pan: patch(Item::Pan),
            amount: patch(Item::Amount),
            stan: patch(Item::Stan),
            expiry: patch(Item::Expiry),
            rrn: patch(Item::Rrn),
            cvv2: cvv2.and_then(|field| patch(Item::CardVerification(field))),
            times: times.into_iter().flatten().collect(),
            at: payment.at,
        })
    }

    /// Makes it the message of this payment.
    #[inline]
    fn patch(&mut self, wire: &Wire, payment: &Payment) -> Result<(), EncodeError> {
        let (dialect, bytes) = (&**wire.dialect(), &mut self.bytes);
        let card = &wire.cards[payment.card as usize];
        if let Some(pan) = &self.pan {
            pan.text(dialect, bytes, card.card.pan.as_bytes())?;
        }
        if let Some(expiry) = &self.expiry {
            expiry.digits(dialect, bytes, card.card.yymm())?;
        }
        if let Some(cvv2) = &self.cvv2 {
            cvv2.wire(bytes, &card.right_cvv2)?;
        }
        if let Some(amount) = &self.amount {
            amount.digits(dialect, bytes, payment.billing_minor)?;
        }
        if let Some(stan) = &self.stan {
            stan.digits(dialect, bytes, u64::from(payment.stan))?;
        }
        if let Some(rrn) = &self.rrn {
            rrn.text(dialect, bytes, &payment.rrn)?;
        }
        if self.at != payment.at {
            self.at = payment.at;
            for (patch, item) in &self.times {
                if let Some(Value::Number(number)) = wire.value(*item, payment, Role::Request) {
                    patch.digits(dialect, bytes, number)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        iso8583::Dialect,
        sim::{Profile, SimCard, random::Random, traffic::Generator},
    };
    use std::sync::Arc;

    /// Cards that differ in everything that a shape depends on.
    fn cards() -> Arc<[SimCard]> {
        let pans = ["4111111111111111", "371449635398431", "4761739001010119"];
        let cards = pans.iter().enumerate().map(|(at, pan)| SimCard {
            pan: pan.parse().unwrap(),
            exp_month: at as u8 + 1,
            exp_year: 2029 + at as u16,
            cvv2: [Some("123"), Some("4321"), None][at].map(|cvv2| cvv2.parse().unwrap()),
            currency: ["USD", "JPY", "KWD"][at].parse().unwrap(),
            profile: Profile::Ok,
        });
        cards.collect()
    }

    #[test]
    fn a_patched_message_is_the_one_that_encoding_gives() {
        for name in Dialect::builtin_names() {
            let dialect = Arc::new(Dialect::builtin(name).unwrap());
            let wire = Wire::new(dialect, &cards()).unwrap();
            let mix = "purchase=4,cash=2,pre_authorization=2,verification=1,foreign=3,repeat=2,\
                       wrong_cvv2=1,reversal=1,increment=1,amendment=1,completion=1,force_post=1,three_ds=2";
            let mut generator = Generator::new(cards(), mix.parse().unwrap(), 1, 2, 3);
            let (mut templates, mut random) = (Templates::default(), Random::new(4));
            for second in 0..3_000 {
                let (outgoing, _) = generator.next(Stamp::from_unix(1_795_000_000 + second / 3));
                let (mut written, mut patched) = (BytesMut::new(), BytesMut::new());
                wire.write(&outgoing, &mut written).unwrap();
                templates.write(&wire, &outgoing, &mut patched).unwrap();
                assert_eq!(written, patched, "{name}: {outgoing:?}");
                if let (Outgoing::Request(payment), true) = (outgoing, random.below(2) == 0) {
                    generator.answered(payment, Default::default(), true);
                }
            }
            assert!(templates.known.len() > 100);
        }
    }
}

//! The script of a simulated network: a generator's messages, each answer checked and counted.

use std::sync::Arc;

use bytes::BytesMut;

use super::{
    Progress, SimError,
    check::{Codes, Expectation, Findings, FirstAnswer, Verdict, check, compare_repeat},
    client::{Script, Sent},
    keys::{Rrn, Stamp},
    templates::Templates,
    traffic::{Generator, Outgoing, Payment},
    wire::Wire,
};
use crate::iso8583::Message;

/// Sends a generator's messages and checks the answers.
pub struct Player {
    wire: Arc<Wire>,
    generator: Generator,
    templates: Templates,
    codes: Codes,
    /// Repeats sent before the first answer came: its key, and the answer once it is here.
    early_repeats: Vec<(u32, Rrn, Option<FirstAnswer>)>,
    pub(super) approved: u64,
    pub(super) declined: u64,
    pub(super) undecided: u64,
    pub(super) reversals: u64,
    pub(super) repeats: u64,
    pub(super) echoes: u64,
}

impl Player {
    pub(super) fn new(wire: Arc<Wire>, generator: Generator) -> Player {
        Player {
            codes: Codes::new(wire.dialect()),
            wire,
            generator,
            templates: Templates::default(),
            early_repeats: Vec::new(),
            approved: 0,
            declined: 0,
            undecided: 0,
            reversals: 0,
            repeats: 0,
            echoes: 0,
        }
    }

    fn first_answer(&mut self, payment: &Payment, answer: FirstAnswer) {
        let verdict = self.codes.verdict(&answer.code);
        match verdict {
            Verdict::Approved => self.approved += 1,
            Verdict::Declined => self.declined += 1,
            Verdict::Undecided => self.undecided += 1,
        }
        self.generator
            .answered(*payment, answer, verdict == Verdict::Approved);
        for (stan, rrn, first) in &mut self.early_repeats {
            if (*stan, *rrn) == (payment.stan, payment.rrn) {
                *first = Some(answer);
            }
        }
    }
}

impl Script for Player {
    type Ticket = (Outgoing, Expectation);

    fn show(&self, progress: &mut Progress) {
        progress.approved = self.approved;
        progress.declined = self.declined;
        progress.reversals = self.reversals;
        progress.repeats = self.repeats;
    }

    fn next(
        &mut self,
        now: Stamp,
        out: &mut BytesMut,
    ) -> Result<Option<Sent<Self::Ticket>>, SimError> {
        let (outgoing, expectation) = self.generator.next(now);
        self.templates
            .write(&self.wire, &outgoing, out)
            .map_err(|source| SimError::Encode {
                dialect: self.wire.dialect().name().to_owned(),
                what: "a payment",
                source,
            })?;
        match outgoing {
            Outgoing::Request(_) => {}
            Outgoing::Repeat(payment) => {
                self.repeats += 1;
                if expectation == Expectation::SameAsFirst {
                    self.early_repeats.push((payment.stan, payment.rrn, None));
                }
            }
            Outgoing::Reversal { .. } => self.reversals += 1,
            Outgoing::Echo { .. } => self.echoes += 1,
        }
        let key = self.wire.key(&outgoing);
        Ok(Some(Sent {
            ticket: (outgoing, expectation),
            key: Some(key),
        }))
    }

    fn answered(
        &mut self,
        (outgoing, expectation): Self::Ticket,
        request: &Message<'_>,
        answer: &Message<'_>,
        findings: &mut Findings,
    ) {
        let Some(answer) = check(&self.codes, expectation, request, answer, findings) else {
            return;
        };
        match outgoing {
            Outgoing::Request(payment) => self.first_answer(&payment, answer),
            Outgoing::Repeat(payment) if expectation == Expectation::SameAsFirst => {
                let key = (payment.stan, payment.rrn);
                let found = self
                    .early_repeats
                    .iter()
                    .position(|(s, r, _)| (*s, *r) == key);
                if let Some(at) = found
                    && let (_, _, Some(first)) = self.early_repeats.swap_remove(at)
                {
                    compare_repeat(&self.codes, request, first, answer, findings);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod lab {
    use super::*;
    #[test]
    fn lab_cost() {
        use crate::sim::*;
        let cards = SimCard::load(std::path::Path::new("/tmp/base/cards.jsonl")).unwrap();
        let dialect = Arc::new(crate::iso8583::Dialect::builtin("iso8583-1987-ascii").unwrap());
        let wire = Arc::new(Wire::new(dialect.clone(), &cards).unwrap());
        let generator = Generator::new(cards.into(), "purchases".parse().unwrap(), 1, 2, 3);
        let mut player = Player::new(wire.clone(), generator);
        let mut out = BytesMut::new();
        let now = std::time::Instant::now;
        let mut best = [u128::MAX; 4];
        for _ in 0..1000 {
            let n = 500u128;
            let t = now();
            for _ in 0..n {
                std::hint::black_box(player.generator.next(Stamp::default()));
            }
            best[0] = best[0].min(t.elapsed().as_nanos() / n);
            let mut made = Vec::new();
            for _ in 0..n {
                made.push(player.generator.next(Stamp::default()).0);
            }
            let t = now();
            for o in &made {
                out.clear();
                wire.write(o, &mut out).unwrap();
            }
            best[1] = best[1].min(t.elapsed().as_nanos() / n);
            let t = now();
            for o in &made {
                out.clear();
                player.templates.write(&wire, o, &mut out).unwrap();
            }
            best[2] = best[2].min(t.elapsed().as_nanos() / n);
            let t = now();
            for _ in 0..n {
                out.clear();
                std::hint::black_box(player.next(Stamp::default(), &mut out).unwrap());
            }
            best[3] = best[3].min(t.elapsed().as_nanos() / n);
        }
        // receive
        let (outgoing, _) = player.generator.next(Stamp::default());
        out.clear();
        wire.write(&outgoing, &mut out).unwrap();
        let request = out.to_vec();
        let r = Message::parse(&dialect, &request).unwrap();
        let mut a = BytesMut::new();
        let mut e = crate::iso8583::Encoder::new(&dialect, &mut a, r.mti().response().unwrap());
        let m = dialect.mirrored_fields(1);
        let at = m.partition_point(|f| *f < 38);
        e.mirror_all(&r, &m[..at]).unwrap();
        e.text(38, "123456").unwrap().text(39, "00").unwrap();
        e.mirror_all(&r, &m[at..]).unwrap();
        e.finish();
        println!("mirrored {m:?}");
        let mut best2 = [u128::MAX; 5];
        let mut findings = Findings::default();
        let answer = Message::parse(&dialect, &a).unwrap();
        for _ in 0..1000 {
            let n = 500u128;
            let t = now();
            for _ in 0..n {
                std::hint::black_box(
                    Message::parse(&dialect, std::hint::black_box(&a))
                        .unwrap()
                        .has(3),
                );
            }
            best2[0] = best2[0].min(t.elapsed().as_nanos() / n);
            let t = now();
            for _ in 0..n {
                std::hint::black_box(
                    Message::parse(&dialect, std::hint::black_box(&request))
                        .unwrap()
                        .has(3),
                );
            }
            best2[1] = best2[1].min(t.elapsed().as_nanos() / n);
            let t = now();
            for _ in 0..n {
                std::hint::black_box(check(
                    &player.codes,
                    Expectation::KnownCard,
                    std::hint::black_box(&r),
                    &answer,
                    &mut findings,
                ));
            }
            best2[2] = best2[2].min(t.elapsed().as_nanos() / n);
            let t = now();
            for _ in 0..n {
                player.answered(
                    (outgoing, Expectation::KnownCard),
                    &r,
                    std::hint::black_box(&answer),
                    &mut findings,
                );
            }
            best2[3] = best2[3].min(t.elapsed().as_nanos() / n);
            let t = now();
            for _ in 0..n {
                std::hint::black_box((
                    answer.digits(11),
                    crate::sim::client::rrn_of(&answer),
                    answer.text::<3>(39),
                ));
            }
            best2[4] = best2[4].min(t.elapsed().as_nanos() / n);
        }
        println!(
            "parse answer {} parse request {} check {} answered {} keys {}",
            best2[0], best2[1], best2[2], best2[3], best2[4]
        );
        println!(
            "generator {} encode {} template {} player.next {}",
            best[0], best[1], best[2], best[3]
        );
    }
}

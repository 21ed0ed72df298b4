//! The script of a simulated network: a generator's messages, each answer checked and counted.

use std::sync::Arc;

use bytes::BytesMut;

use super::{
    Progress, SimError,
    check::{Codes, Expectation, Findings, FirstAnswer, Verdict, check, compare_repeat},
    client::{Script, Sent},
    keys::{Rrn, Stamp},
    templates::Templates,
    traffic::{FollowUp, Generator, Outgoing, Payment},
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
    pub(super) increments: u64,
    pub(super) advices: u64,
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
            increments: 0,
            advices: 0,
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
        progress.undecided = self.undecided;
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
            Outgoing::FollowUp { what, .. } => match what {
                FollowUp::Increment => self.increments += 1,
                FollowUp::Amendment | FollowUp::Completion { .. } => self.advices += 1,
            },
            Outgoing::ForcePost(_) => self.advices += 1,
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

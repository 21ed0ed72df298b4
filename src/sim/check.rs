//! Whether an answer is right: its MTI, the fields that it must repeat, DE39, DE38, and what is known
//! about the card. Findings never carry card data beyond first six and last four.

use std::collections::BTreeMap;

use arrayvec::ArrayString;
use serde::Serialize;

use crate::iso8583::{Dialect, Message, dialect::RESPONSE_REASONS};

/// DE39, two or three characters.
pub type Code = ArrayString<3>;

/// What a repeat must be answered with again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstAnswer {
    /// DE39.
    pub code: Code,
    /// DE38, empty when absent.
    pub approval: ArrayString<6>,
}

/// Why the simulator knows that a payment must be declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decline {
    /// No such card or BIN.
    UnknownCard,
    /// DE14 is not the card's.
    WrongExpiry,
    /// The CVV2 is not the card's.
    WrongCvv2,
    /// The card is frozen.
    Frozen,
    /// The card is closed.
    Closed,
    /// More than there is.
    Funds,
    /// More than one payment may be.
    Limit,
    /// The merchant's category is blocked.
    Mcc,
    /// The merchant's country is blocked.
    Country,
    /// The currency is blocked.
    Currency,
    /// Its reversal came first.
    ReversedBefore,
}

/// Reasons (keys of a dialect's response codes) that a decline may be answered with. The balance is
/// looked at before the controls, so that a drained account may hide those.
const DECLINES: &[(Decline, &[&str])] = &[
    (Decline::UnknownCard, &["card_not_found", "unknown_bin"]),
    (
        Decline::WrongExpiry,
        &["expiry_mismatch", "verification_tries_exceeded"],
    ),
    (
        Decline::WrongCvv2,
        &["cvv_mismatch", "verification_tries_exceeded"],
    ),
    (Decline::Frozen, &["card_frozen"]),
    (Decline::Closed, &["card_closed"]),
    (Decline::Funds, &["insufficient_funds"]),
    (
        Decline::Limit,
        &["per_transaction_limit_exceeded", "insufficient_funds"],
    ),
    (Decline::Mcc, &["mcc_blocked", "insufficient_funds"]),
    (Decline::Country, &["country_blocked", "insufficient_funds"]),
    (
        Decline::Currency,
        &["currency_blocked", "insufficient_funds"],
    ),
    (Decline::ReversedBefore, &["reversed_before_original"]),
];

/// What an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Any decision.
    Any,
    /// Any decision, except that the card is unknown or its expiry is wrong.
    KnownCard,
    /// This decline.
    Declined(Decline),
    /// A reversal is accepted, known or not.
    Reversed,
    /// An advice is taken, whatever is known about its card: nobody asks.
    Taken,
    /// Network management is accepted.
    Accepted,
    /// The first answer again.
    SameAs(FirstAnswer),
    /// The first answer again, which had not come when the repeat was sent.
    SameAsFirst,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Approved, in full or in part.
    Approved,
    /// A policy "no".
    Declined,
    /// The issuer says that it could not decide.
    Undecided,
}

/// One thing that was wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which rule was broken.
    pub kind: &'static str,
    /// What was expected and what came, masked.
    pub detail: String,
}

/// What was wrong in a run: counted by kind, and the first ones in full.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Findings {
    /// How often each rule was broken.
    pub by_kind: BTreeMap<&'static str, u64>,
    /// The first [`LISTED`].
    pub first: Vec<Finding>,
}

/// How many findings are kept in full.
pub const LISTED: usize = 50;

impl Findings {
    /// Counts one; `detail` is called only while the list has room.
    #[cold]
    pub fn add(&mut self, kind: &'static str, detail: impl FnOnce() -> String) {
        *self.by_kind.entry(kind).or_default() += 1;
        if self.first.len() < LISTED {
            let detail = detail();
            self.first.push(Finding { kind, detail });
        }
    }

    /// All of them.
    pub fn count(&self) -> u64 {
        self.by_kind.values().sum()
    }

    /// Adds those of another connection.
    pub fn merge(&mut self, other: Findings) {
        for (kind, count) in other.by_kind {
            *self.by_kind.entry(kind).or_default() += count;
        }
        let room = LISTED - self.first.len();
        self.first.extend(other.first.into_iter().take(room));
    }
}

/// The response codes of a dialect, looked up once.
#[derive(Clone, Debug)]
pub struct Codes {
    approved: [Code; 2],
    reversed: [Code; 2],
    taken: Code,
    accepted: Code,
    unknown_card: [Code; 3],
    undecided: Vec<Code>,
    known: Vec<Code>,
    declines: Vec<(Decline, Vec<Code>)>,
}

impl Codes {
    /// Of a dialect.
    pub fn new(dialect: &Dialect) -> Codes {
        // Every dialect has a code for every reason, which its compilation checks, and DE39 has at
        // most three characters.
        let code = |reason: &str| {
            let code = dialect.response_code(reason).unwrap_or_default();
            Code::from(code).unwrap_or_default()
        };
        // Looked through for each answer: every code once, the commonest first.
        let mut known = vec![code("approved")];
        for code in RESPONSE_REASONS.iter().map(|reason| code(reason)) {
            if !known.contains(&code) {
                known.push(code);
            }
        }
        Codes {
            approved: ["approved", "partially_approved"].map(code),
            reversed: ["reversal_accepted", "unknown_reversal"].map(code),
            taken: code("advice_accepted"),
            accepted: code("network_management_accepted"),
            unknown_card: ["card_not_found", "unknown_bin", "expiry_mismatch"].map(code),
            undecided: [
                "overloaded",
                "internal_error",
                "capacity_exceeded",
                "signed_off",
            ]
            .map(code)
            .into(),
            known,
            declines: DECLINES
                .iter()
                .map(|(decline, reasons)| {
                    (
                        *decline,
                        reasons.iter().map(|reason| code(reason)).collect(),
                    )
                })
                .collect(),
        }
    }

    /// What a code says about a payment.
    pub fn verdict(&self, code: &Code) -> Verdict {
        if self.approved.contains(code) {
            Verdict::Approved
        } else if self.undecided.contains(code) {
            Verdict::Undecided
        } else {
            Verdict::Declined
        }
    }

    fn decline(&self, decline: Decline) -> &[Code] {
        let found = self.declines.iter().find(|(known, _)| *known == decline);
        found.map_or(&[], |(_, codes)| codes)
    }
}

/// Checks one answer; gives what it says, as far as it says it.
#[inline]
pub fn check(
    codes: &Codes,
    expectation: Expectation,
    request: &Message<'_>,
    answer: &Message<'_>,
    findings: &mut Findings,
) -> Option<FirstAnswer> {
    if request.mti().response() != Some(answer.mti()) {
        findings.add("wrong_mti", || {
            format!("{}: answered with {}", name(request), answer.mti())
        });
    }
    for field in request.dialect().mirrored_fields(request.mti().class()) {
        let (sent, came) = (request.raw(*field), answer.raw(*field));
        if sent.is_some() && sent != came {
            let how = if came.is_none() {
                "is missing"
            } else {
                "differs"
            };
            findings.add("mirrored_field", || {
                format!("{}: DE{field} of the answer {how}", name(request))
            });
        }
    }
    let Some(code) = answer.text::<3>(39) else {
        findings.add("no_response_code", || {
            format!("{}: DE39 is missing", name(request))
        });
        return None;
    };
    let approval: ArrayString<6> = answer.text(38).unwrap_or_default();
    let first = FirstAnswer { code, approval };
    if !codes.known.contains(&code) {
        findings.add("unknown_response_code", || {
            format!("{}: DE39 {code} is none of the dialect's", name(request))
        });
    }
    // Who tells what was done brings its approval code along.
    let asks = request.mti().function() == 0;
    if asks && matches!(request.mti().class(), 1 | 2) {
        check_approval(codes, request, answer, &first, findings);
    }
    check_expectation(codes, expectation, request, &first, findings);
    Some(first)
}

fn check_approval(
    codes: &Codes,
    request: &Message<'_>,
    answer: &Message<'_>,
    first: &FirstAnswer,
    findings: &mut Findings,
) {
    let length = answer.text::<6>(38).map(|approval| approval.len());
    match (codes.verdict(&first.code), length) {
        (Verdict::Approved, Some(6)) | (Verdict::Declined | Verdict::Undecided, None) => {}
        (Verdict::Approved, found) => findings.add("approval_code", || {
            let found = found.unwrap_or(0);
            format!(
                "{}: approved with a DE38 of {found} characters, not 6",
                name(request)
            )
        }),
        (_, Some(_)) => findings.add("approval_code", || {
            format!("{}: DE38 on a decline ({})", name(request), first.code)
        }),
    }
}

fn check_expectation(
    codes: &Codes,
    expectation: Expectation,
    request: &Message<'_>,
    first: &FirstAnswer,
    findings: &mut Findings,
) {
    let code = first.code;
    let mut wrong = |kind, expected: &str| {
        findings.add(kind, || {
            format!("{}: DE39 {code}, expected {expected}", name(request))
        });
    };
    match expectation {
        Expectation::Any | Expectation::SameAsFirst => {}
        Expectation::Accepted if code == codes.accepted => {}
        Expectation::Accepted => wrong("not_accepted", &codes.accepted),
        Expectation::Taken if code == codes.taken => {}
        Expectation::Taken => wrong("advice_refused", &codes.taken),
        Expectation::Reversed if codes.reversed.contains(&code) => {}
        Expectation::Reversed => wrong("reversal_refused", &codes.reversed[0]),
        Expectation::KnownCard if codes.unknown_card.contains(&code) => {
            wrong(
                "good_card_refused",
                "any answer of a card that is there and good",
            );
        }
        Expectation::KnownCard => {}
        Expectation::Declined(_) if codes.undecided.contains(&code) => {}
        Expectation::Declined(decline) => {
            let expected = codes.decline(decline);
            if !expected.contains(&code) {
                wrong(
                    "wrong_decision",
                    &format!("{} ({decline:?})", expected.join(" or ")),
                );
            }
        }
        Expectation::SameAs(earlier) => compare_repeat(codes, request, earlier, *first, findings),
    }
}

/// A repeat gets the first answer. An overload refusal is no first answer: after one, and instead of
/// one, anything may come.
pub fn compare_repeat(
    codes: &Codes,
    request: &Message<'_>,
    first: FirstAnswer,
    again: FirstAnswer,
    findings: &mut Findings,
) {
    let undecided = |answer: &FirstAnswer| codes.verdict(&answer.code) == Verdict::Undecided;
    if first != again && !undecided(&first) && !undecided(&again) {
        findings.add("repeat_differs", || {
            let (code, approval) = (again.code, again.approval);
            format!(
                "{}: first answer {} {:?}, now {code} {approval:?}",
                name(request),
                first.code,
                first.approval
            )
        });
    }
}

/// A message for a finding: MTI, STAN, RRN and the masked card.
pub fn name(message: &Message<'_>) -> String {
    let text = |field| message.text::<19>(field).unwrap_or_default();
    let (stan, rrn, pan) = (text(11), text(37), text(2));
    let mut name = format!("{} STAN {stan}", message.mti());
    if !rrn.is_empty() {
        name += &format!(" RRN {rrn}");
    }
    if pan.len() >= 12 {
        name += &format!(" card {}…{}", &pan[..6], &pan[pan.len() - 4..]);
    }
    name
}

//! What the random days are worth: that they come to everything that the tests are about.

use super::*;

/// What these days are worth: that they come to each of these noes.
#[test]
fn the_days_of_one_card_come_to_every_reason_of_the_controls() {
    let mut runner = TestRunner::deterministic();
    let mut found = std::collections::BTreeSet::new();
    let mut rules = std::collections::BTreeSet::new();
    for _ in 0..150 {
        let steps = any_days_of_one_card();
        let steps = steps.new_tree(&mut runner).unwrap().current();
        let mut engine = Engine::new(1);
        for step in &steps {
            if let Came::Declined(reason) = engine.step(step) {
                found.insert(reason);
            }
            if let Some(RuleId::RiskRule(id)) = engine.declined_by {
                rules.insert(id);
            }
        }
    }
    for reason in [
        DeclineReason::CardUsed,
        DeclineReason::PerTransactionLimitExceeded,
        DeclineReason::DailyLimitExceeded,
        DeclineReason::RollingLimitExceeded,
        DeclineReason::VelocityCountExceeded,
        DeclineReason::CashLimitExceeded,
        DeclineReason::MccBlocked,
        DeclineReason::MccNotAllowed,
        DeclineReason::CountryNotAllowed,
        DeclineReason::MerchantBlocked,
        DeclineReason::MonthlyLimitExceeded,
        DeclineReason::MerchantNotAllowed,
        DeclineReason::MerchantLockMismatch,
        DeclineReason::ChannelBlocked,
        DeclineReason::EntryModeBlocked,
        DeclineReason::OutsideTimeWindow,
        DeclineReason::RuleDeclined,
        DeclineReason::ThreeDsRequired,
        DeclineReason::ThreeDsFailed,
        DeclineReason::CavvInvalid,
    ] {
        assert!(found.contains(&reason), "{reason:?} is not among {found:?}");
    }
    assert_eq!(rules.len(), RULES.len(), "only {rules:?} ever declined");
}

/// Nor are conversions and wallets only in the naive decision maker: all and a part of an amount of each case
/// are approved, a currency without a rate is declined, and each account of a wallet pays.
#[test]
fn random_days_come_to_every_case_of_a_conversion_and_to_every_account_of_a_wallet() {
    let mut runner = TestRunner::deterministic();
    let cases = 0..abroad::CASES - 1;
    let ways = ["whole", "refund", "part", "advised", "reversed in part"];
    let ways = cases.flat_map(|case| ways.map(|way| (way, case)));
    let mut missing: std::collections::BTreeSet<_> = ways.collect();
    missing.insert(("declined", abroad::CASES - 1));
    missing.insert(("not postable", abroad::CASES - 1));
    missing.extend((0..3).map(|place| ("account of a wallet", place)));
    for round in 0..2_000 {
        if missing.is_empty() {
            break;
        }
        let steps = match round % 2 {
            0 => any_steps().new_tree(&mut runner).unwrap().current(),
            _ => any_conversation().new_tree(&mut runner).unwrap().current(),
        };
        let mut engine = Engine::new(1);
        for step in &steps {
            let came = engine.step(step);
            if let Some(found) = case_of(step, &came, &steps) {
                missing.remove(&found);
            }
        }
        for known in engine.switch.world.shards[0].authorizations.iter() {
            let mut accounts = accounts_of_card(known.card_id.0).into_iter();
            let place = accounts.position(|account| account == known.account_id.0);
            missing.remove(&("account of a wallet", place.unwrap() as u8));
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

/// What came of an amount in the currency of a case, in a word.
pub fn case_of(step: &Step, came: &Came, steps: &[Step]) -> Option<(&'static str, u8)> {
    match (step, came) {
        (Step::Authorize(payment), came) => {
            let way = match came {
                Came::Approved { .. } if payment.is_credit() => "refund",
                Came::Approved { .. } if payment.takes_money() => "whole",
                Came::Partial { .. } => "part",
                Came::Declined(DeclineReason::ExchangeRateMissing) => "declined",
                _ => return None,
            };
            Some((way, payment.case))
        }
        (Step::Advise { payment, .. }, Came::Advised(advice)) => match advice.what {
            What::Recorded if advice.flags.contains(&"not_postable") => {
                Some(("not postable", payment.case))
            }
            What::Recorded => None,
            _ => Some(("advised", payment.case)),
        },
        (Step::Reverse { stays: 1.., .. }, Came::Undone(undoing)) => match &steps[undoing.of] {
            Step::Authorize(payment) | Step::Advise { payment, .. } if undoing.returned != 0 => {
                Some(("reversed in part", payment.case))
            }
            _ => None,
        },
        _ => None,
    }
}

/// What these conversations are worth: that they come to each outcome, flag and standing.
#[test]
fn the_conversations_come_to_everything_that_messages_can_come_to() {
    let mut runner = TestRunner::deterministic();
    let mut found = std::collections::BTreeSet::new();
    let flags = Flags::ALL.iter().map(|(_, flag)| *flag);
    let flags = flags.filter(|flag| *flag != "unknown_card");
    let wanted: Vec<&str> = WORDS_OF_CONVERSATIONS
        .iter()
        .copied()
        .chain(flags)
        .collect();
    for round in 0..6_000 {
        if wanted.iter().all(|word| found.contains(*word)) {
            return;
        }
        let steps = match round % 4 {
            0 => any_conversation().new_tree(&mut runner).unwrap().current(),
            _ => any_short_conversation()
                .new_tree(&mut runner)
                .unwrap()
                .current(),
        };
        let mut engine = Engine::new(1);
        for step in &steps {
            note_words(&engine.step(step), &mut found);
        }
    }
    let missing = wanted.iter().filter(|word| !found.contains(**word));
    panic!("{:?} are not among {found:?}", missing.collect::<Vec<_>>());
}

pub const WORDS_OF_CONVERSATIONS: &[&str] = &[
    "approved",
    "increased",
    "partial",
    "first",
    "unknown",
    "already_reversed",
    "duplicate",
    "expired",
    "recorded",
    "placed",
    "force_posted",
    "force_refunded",
    "breach",
    "amended pending",
    "amended partially_cleared",
    "amended cleared",
    "amended expired",
    "completed partially_cleared",
    "completed cleared",
    "completed a refund",
    "Whole reversed",
    "Above pending",
    "Above partially_cleared",
    "Above cleared",
    "Above reversed",
    "Part pending",
    "Part partially_cleared",
    "Part cleared",
    "Part reversed",
    "Part expired",
    "released",
    "returned",
    "returned a refund",
    "released and returned",
    "card_used",
    "original_not_found",
    "reversed_before_original",
    "insufficient_funds",
];

pub fn note_words(came: &Came, found: &mut std::collections::BTreeSet<String>) {
    let mut note = |words: &str| {
        found.insert(words.to_owned());
    };
    match came {
        Came::Approved { .. } => note("approved"),
        Came::Increased { .. } => note("increased"),
        Came::Partial { .. } => note("partial"),
        Came::Declined(reason) => note(reason.name()),
        Came::First(_) => note("first"),
        Came::Unknown => note("unknown"),
        Came::AlreadyReversed => note("already_reversed"),
        Came::Duplicate => note("duplicate"),
        Came::Expired(which) if !which.is_empty() => note("expired"),
        Came::Advised(advice) => {
            advice.flags.iter().for_each(|flag| note(flag));
            if advice.breach.is_some() {
                note("breach");
            }
            match &advice.what {
                What::Recorded => note("recorded"),
                What::Placed { .. } => note("placed"),
                What::ForcePosted { charged } if *charged < 0 => note("force_refunded"),
                What::ForcePosted { .. } => note("force_posted"),
                What::Amended { standing, .. } => note(&format!("amended {}", standing.name())),
                What::Completed { charged, .. } if *charged < 0 => note("completed a refund"),
                What::Completed { standing, .. } => note(&format!("completed {}", standing.name())),
            }
        }
        Came::Undone(undoing) => {
            undoing.flags.iter().for_each(|flag| note(flag));
            note(&format!("{:?} {}", undoing.what, undoing.standing.name()));
            match (undoing.released, undoing.returned) {
                (1.., 1..) => note("released and returned"),
                (_, 1..) => note("returned"),
                (_, ..=-1) => note("returned a refund"),
                (1.., _) => note("released"),
                _ => {}
            }
        }
        _ => {}
    }
}

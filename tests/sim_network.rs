//! The simulated network against an issuer that is right, and against one that is wrong in each way
//! that the simulator claims to notice.

#[path = "sim_responder/mod.rs"]
mod responder;

use std::{sync::Arc, time::Duration};

use cardswitch::{
    iso8583::{Dialect, Framing, Header},
    sim::{Mix, NetworkOptions, NetworkReport, Progress, run_network},
};
use responder::{Fault, cards, codec};

fn dialect(name: &str) -> Arc<Dialect> {
    Arc::new(Dialect::builtin(name).unwrap())
}

async fn play(fault: Fault, change: impl FnOnce(&mut NetworkOptions)) -> NetworkReport {
    let dialect = dialect("iso8583-1987-ascii");
    let target = responder::start(
        dialect.clone(),
        codec(Framing::Length2Be, Header::None),
        fault,
    )
    .await;
    let mut options = NetworkOptions::new(&target, dialect, Framing::Length2Be);
    options.count = Some(400);
    options.in_flight = 8;
    options.grace = Duration::from_millis(300);
    change(&mut options);
    run_network(options, cards(), |_: Progress| {})
        .await
        .unwrap()
}

#[tokio::test]
async fn a_right_issuer_is_found_right() {
    let report = play(Fault::None, |options| {
        options.connections = 3;
        options.count = Some(5_000);
        options.mix = "purchase=40,cash=5,pre_authorization=5,verification=5,foreign=5,\
            wrong_expiry=5,wrong_cvv2=5,unknown_card=5,unknown_bin=5,control=20,reversal=10,\
            early_reversal=5,doubled_reversal=5,repeat=10,quick_repeat=5,increment=5,amendment=5,completion=10,\
            force_post=5,three_ds=5,echo=2"
            .parse()
            .unwrap();
    })
    .await;
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.totals.sent, report.totals.answered), (5_000, 5_000));
    assert!(report.approved > 1_000 && report.declined > 500, "{report}");
    assert!(
        report.reversals > 100 && report.repeats > 100 && report.echoes > 10,
        "{report}"
    );
    assert!(report.increments > 50 && report.advices > 200, "{report}");
    for code in ["00", "05", "14", "54", "57", "61", "62"] {
        assert!(
            report.totals.by_response_code.contains_key(code),
            "{code}: {report}"
        );
    }
}

#[tokio::test]
async fn each_kind_of_wrong_answer_is_found() {
    let table = [
        (Fault::UnknownCode, "unknown_response_code"),
        (Fault::ApprovesFrozen, "wrong_decision"),
        (Fault::RefusesGoodCard, "good_card_refused"),
        (Fault::DropsField37, "mirrored_field"),
        (Fault::WrongMirroredField, "mirrored_field"),
        (Fault::NoResponseCode, "no_response_code"),
        (Fault::AnswersTwice, "answered_twice"),
        (Fault::NeverAnswers, "unanswered"),
        (Fault::GarbageMessage, "garbage_answer"),
        (Fault::GarbageFrame, "garbage_frame"),
        (Fault::WrongMti, "wrong_mti"),
        (Fault::ForgetsFirstAnswers, "repeat_differs"),
        (Fault::RefusesReversals, "reversal_refused"),
        (Fault::RefusesAdvices, "advice_refused"),
        (Fault::Closes, "connection_lost"),
    ];
    for (fault, expected) in table {
        let report = play(fault, |_| {}).await;
        let found = &report.totals.findings.by_kind;
        assert!(found.contains_key(expected), "{fault:?}: {report}");
        assert!(!report.is_clean());
        let text = report.to_string();
        for pan in responder::TEST_PANS {
            assert!(!text.contains(pan), "a report shows card data: {text}");
        }
    }
}

#[tokio::test]
async fn approval_codes_belong_to_approvals() {
    let only = |mix: &str| {
        let mix: Mix = mix.parse().unwrap();
        move |options: &mut NetworkOptions| options.mix = mix
    };
    for (fault, mix) in [
        (Fault::NoApprovalCode, "purchase=1"),
        (Fault::ApprovalCodeOnDecline, "unknown_card=1"),
    ] {
        let report = play(fault, only(mix)).await;
        assert_eq!(
            report.totals.findings.by_kind.get("approval_code"),
            Some(&1),
            "{fault:?}: {report}"
        );
        assert_eq!(report.totals.findings.count(), 1, "{fault:?}: {report}");
    }
}

#[tokio::test]
async fn malformed_messages_are_sent_on_their_own_line() {
    let report = play(Fault::None, |options| {
        options.count = None;
        options.duration = Some(Duration::from_millis(700));
        options.rate = Some(500.0);
        options.malformed_rate = Some(50.0);
    })
    .await;
    assert!(report.is_clean(), "{report}");
    let malformed = report.malformed;
    assert!(
        malformed.sent > 0 && malformed.ignored + malformed.closed > 0,
        "{report}"
    );
    assert!(report.totals.sent > 0 && report.totals.sent <= 350);
}

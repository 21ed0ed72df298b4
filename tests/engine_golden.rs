//! Records that were written once: `tests/golden/records-v2.hex`, one record a line, and on its first line the
//! hash of the world that they fold to. Before a release `CARDSWITCH_REGENERATE_GOLDEN=1` writes it anew; from then
//! on it stays, and other bytes get a file of their own. Records of a format that was never released
//! (`records-v1.hex`) are refused by name.

mod engine_support;

use cardswitch::engine::approvals::*;
use cardswitch::engine::card_batches::{BatchChange, BatchRow, CardOrder, NewCardBatch, RowError};
use cardswitch::engine::command::*;
use cardswitch::engine::controls::{Controls, List, ListMode, Window};
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::event::Event;
use cardswitch::engine::exceptions::{
    ChangeException, ControlException, ExceptionChange, ExceptionState, Lifts, RaisedLimit, Subject,
};
use cardswitch::engine::facts::{Check, Country, Kind, NamedToken};
use cardswitch::engine::failed_references::FailReference;
use cardswitch::engine::fees::schedule::{FeeKind, ProgramFees, PutFeeSchedule};
use cardswitch::engine::groups::{BuiltinMccGroup, MccGroup, MccGroupRef, SharedMerchantList};
use cardswitch::engine::hash::state_hash;
use cardswitch::engine::hold_expiry::HoldExpiry;
use cardswitch::engine::ids::*;
use cardswitch::engine::kept_text::KeptText;
use cardswitch::engine::link_states::TellCardsOfLink;
use cardswitch::engine::merchants::MerchantEntry;
use cardswitch::engine::money::{Currency, Money};
use cardswitch::engine::programs::*;
use cardswitch::engine::reason::DeclineReason;
use cardswitch::engine::record;
use cardswitch::engine::registry::*;
use cardswitch::engine::reissue::ReissueReason;
use cardswitch::engine::risk::rule::{RiskRule, RuleAction, RuleChange, RuleState};
use cardswitch::engine::three_ds::{
    Authentication, Cryptogram, Exemption, ThreeDs, ThreeDsMode, ThreeDsPolicy,
};
use cardswitch::engine::time::Expiry;
use cardswitch::engine::token_numbers::RequestToken;
use cardswitch::engine::tokens::{
    ChangeTokenStatus, OpenToken, TokenChange, TokenDevice, TokenStatus, name_card,
};
use cardswitch::engine::top_ups::{EndTopUp, ReserveReference, TopUpEnd};
use cardswitch::engine::verification_tries::ResetVerificationTries;
use cardswitch::engine::watch::{AutoTopUpRule, ChangeAccount};
use cardswitch::engine::world::World;
use engine_support::*;
use std::collections::BTreeSet;

const FILE: &str = "tests/golden/records-v2.hex";

#[test]
fn old_records_are_read_and_fold_to_the_world_of_then() {
    let text = std::fs::read_to_string(FILE).unwrap();
    let mut lines = text.lines();
    let hash = u128::from_str_radix(lines.next().unwrap(), 16).unwrap();
    let records: Vec<_> = lines.map(bytes_of).collect();
    assert!(records.len() >= 25);
    for shards in [1, 4] {
        assert_eq!(state_hash(&fold(World::new(shards), &records)), hash);
    }
}

#[test]
fn the_same_story_is_written_in_the_same_bytes() {
    let switch = story();
    let mut text = format!("{:032x}\n", state_hash(&switch.world));
    for record in &switch.records {
        text.extend(record.iter().map(|byte| format!("{byte:02x}")));
        text.push('\n');
    }
    if std::env::var_os("CARDSWITCH_REGENERATE_GOLDEN").is_some() {
        std::fs::write(FILE, &text).unwrap();
    }
    let written = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(text == written, "the story is now written as\n{text}");
}

#[test]
fn the_story_charges_every_kind_of_fee_and_comes_to_every_end_of_a_token() {
    let mut kinds = BTreeSet::new();
    let (mut statuses, mut reasons) = (BTreeSet::new(), BTreeSet::new());
    for bytes in &story().records {
        let record::Record::Shard { event, .. } = record::read(bytes).unwrap() else {
            continue;
        };
        kinds.extend(event.charges().iter().map(|charge| charge.kind));
        match event {
            Event::TokenOpened { status, .. } => drop(statuses.insert(status.name())),
            Event::TokenStatusChanged { to, .. } => drop(statuses.insert(to.name())),
            Event::Authorized(authorized) => {
                let decline = authorized.decision.decline();
                reasons.extend(decline.map(|decline| decline.reason.name()));
            }
            _ => {}
        }
    }
    assert_eq!(kinds.len(), FeeKind::ALL.len(), "{kinds:?}");
    assert_eq!(statuses.len(), TokenStatus::NAMED.len(), "{statuses:?}");
    for reason in ["token_not_active", "token_not_found", "token_suspended"] {
        assert!(reasons.contains(reason), "{reason} is not in {reasons:?}");
    }
}

#[test]
fn records_of_another_format_are_refused_by_name() {
    let text = std::fs::read_to_string("tests/golden/records-v1.hex").unwrap();
    for line in text.lines().skip(1) {
        let error = record::read(&bytes_of(line)).unwrap_err();
        let told =
            "the record has format 1, this program reads format 11; use the version that wrote it";
        assert_eq!(error.to_string(), told);
    }
}

fn bytes_of(line: &str) -> Vec<u8> {
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    line.as_bytes().chunks(2).map(digits).collect()
}

fn risk_rule(switch: &mut Switch) {
    let rule = RiskRule {
        id: RiskRuleId(81),
        program_id: PROGRAM,
        name: "new and large".into(),
        expression: "first_use_of_merchant && amount > 100".into(),
        action: RuleAction::Flag,
        state: RuleState::Draft,
        version: 1,
        created_at: switch.at,
    };
    switch.registry(RegistryAction::CreateRiskRule(Box::new(rule)));
    switch.registry(RegistryAction::ChangeRiskRule {
        rule_id: RiskRuleId(81),
        change: RuleChange::Promote,
    });
}

/// Two rows, of which one could not be read.
fn card_batch(switch: &mut Switch) {
    let id = CardBatchId(70);
    let order = CardOrder {
        account_id: AccountId(1),
        card_type: CardType::Virtual,
        has_own_account: false,
        links: smallvec::smallvec![("project".into(), "p1".into())],
        controls: Controls::default(),
        wallet: None,
        cardholder_id: None,
        bin: None,
        shipping: None,
    };
    let wrong = RowError {
        code: "type_invalid".into(),
        message: "rows[1] must be an object".into(),
        param: Some("rows[1]".into()),
    };
    let wrong_row = BatchRow::Wrong(Box::new(wrong.clone()));
    let begun = NewCardBatch {
        id,
        first_row_id: 5_000,
        total: 2,
        bounds: None,
        created_at: switch.at,
        requester: None,
        tenant: None,
    };
    for change in [
        BatchChange::Create(Box::new(begun)),
        BatchChange::AddRows {
            id,
            from: 0,
            rows: vec![BatchRow::Order(Box::new(order)), wrong_row],
        },
        BatchChange::Note {
            id,
            from: 0,
            to: 1,
            errors: vec![(0, wrong)],
        },
        BatchChange::Cancel(id),
    ] {
        let outcome = switch.registry(RegistryAction::ChangeCardBatch(Box::new(change)));
        assert!(matches!(outcome, RegistryOutcome::Event(_)), "{outcome:?}");
    }
}

/// At least one record of every kind of command and event.
fn story() -> Switch {
    let mut switch = Switch::with_program(1, limits([limit(90, Window::Week, Some(9_000), None)]));
    switch.registry(RegistryAction::ChangeSettings(Box::default()));
    with_groups(&mut switch);
    switch.open_account(1, limits([limit(91, Window::Lifetime, None, Some(50))]));
    switch.open_sub_account(2, 1, Some(1), Controls::default());
    switch.open_sub_account(3, 1, Some(2), Controls::default());
    for change in [
        AccountStatusChange::Freeze,
        AccountStatusChange::Unfreeze,
        AccountStatusChange::Close,
    ] {
        switch.change_account_status(1, 3, change);
    }
    switch.top_up(1, 1, 1, usd(10_000));
    switch.top_up(2, 1, 2, usd(500));
    let mut card = NewCard::of(11, 1, 1);
    card.cardholder_id = Some(CardholderId(81));
    card.links.push(LinkKey {
        program_id: PROGRAM,
        link_type: "project".into(),
        id: "p1".into(),
    });
    card.controls = Controls {
        mcc: Some(List::new(ControlId(1), ListMode::Block, vec![7995])),
        countries: Some(List::new(
            ControlId(2),
            ListMode::Allow,
            vec![Country(*b"US")],
        )),
        currencies: Some(List::new(ControlId(3), ListMode::Allow, vec![USD])),
        three_ds: Some(ThreeDsPolicy {
            mode: ThreeDsMode::Required,
            above_minor: Some(4_000),
            accepted_exemptions: vec![Exemption::LowValue],
        }),
        mcc_groups: vec![
            MccGroupRef::Builtin(BuiltinMccGroup::Gambling),
            MccGroupRef::Own(MccGroupId(71)),
        ],
        ..limits([
            limit(92, Window::Transaction, Some(4_000), None),
            limit(93, Window::Day, Some(5_000), Some(3)),
            limit(94, Window::Month, Some(8_000), None),
            limit(95, Window::Year, Some(8_000), None),
        ])
    };
    switch.open_card(card);
    let mut on_two_accounts = NewCard::of(12, 1, 2);
    on_two_accounts.wallet.push(AccountId(1));
    switch.open_card(on_two_accounts);
    switch.open_card(NewCard {
        card_type: CardType::Physical,
        ..NewCard::of(13, 1, 2)
    });
    risk_rule(&mut switch);
    messages(&mut switch);
    later_messages(&mut switch);
    for change in [
        StatusChange::Freeze,
        StatusChange::Unfreeze,
        StatusChange::Block,
    ] {
        switch.change_status(1, 12, change);
    }
    switch.change_status(1, 12, StatusChange::Close);
    for change in [
        StatusChange::Freeze,
        StatusChange::Unfreeze,
        StatusChange::Activate,
    ] {
        switch.change_status(1, 13, change);
    }
    switch.change_controls(1, 11, Controls::default());
    abroad(&mut switch);
    late_and_asked(&mut switch);
    of_a_project(&mut switch);
    switch.verify(81);
    of_nobody(&mut switch);
    switch.renew(11, Expiry::new(2031, 1).unwrap()).unwrap();
    let expiry = Expiry::new(2030, 6).unwrap();
    switch.reissue(19, 11, ReissueReason::Lost, expiry).unwrap();
    card_batch(&mut switch);
    money(&mut switch);
    fees(&mut switch);
    tokens(&mut switch);
    tries(&mut switch);
    switch
}

/// A wrong CVV2, a right one that is not looked at any more, and tries that are given back.
fn tries(switch: &mut Switch) {
    let set = |switch: &mut Switch, verification_tries_per_day_max| {
        let settings = EngineSettings {
            verification_tries_per_day_max,
            ..EngineSettings::default()
        };
        switch.registry(RegistryAction::ChangeSettings(Box::new(settings)));
    };
    set(switch, 1);
    let root = AccountId(20);
    switch.open_card(NewCard::of(24, 20, 20));
    for (id, cvv, reason) in [
        (511, Check::Mismatch, DeclineReason::CvvMismatch),
        (512, Check::Match, DeclineReason::VerificationTriesExceeded),
    ] {
        let mut tried = purchase(id, 24, usd(100), &format!("tried {id}"));
        tried.verification.cvv = cvv;
        let outcome = switch.command(root, Action::Authorize(tried));
        let Outcome::Event(Event::Authorized(authorized)) = &outcome else {
            panic!("{outcome:?}");
        };
        let decline = authorized.decision.decline().unwrap();
        assert_eq!(decline.reason, reason);
    }
    let card_id = CardId(24);
    let reset = Action::ResetVerificationTries(ResetVerificationTries { card_id });
    let outcome = switch.command(root, reset);
    let expected = Event::VerificationTriesReset { failed: 1 };
    assert_eq!(outcome, Outcome::Event(expected));
    set(switch, 10);
}

/// A schedule with a fee of every kind, and one charge of each.
fn fees(switch: &mut Switch) {
    let put = PutFeeSchedule {
        id: FEES,
        name: "standard".into(),
        currency: USD,
        time_zone: "Europe/Berlin".into(),
        items: all_fees(),
        decline_fees_per_card_per_day_max: Some(1),
    };
    switch.registry(RegistryAction::PutFeeSchedule(Box::new(put)));
    let change = ChangeProgram {
        status: Some(ProgramStatus::Active),
        foreign_exchange_mark_up_basis_points: Some(0),
        fees: Some(Some(ProgramFees {
            fee_schedule_id: FEES,
            since: switch.at,
        })),
        ..ChangeProgram::nothing(PROGRAM)
    };
    switch.registry(RegistryAction::ChangeProgram(Box::new(change)));
    let root = AccountId(20);
    switch.open_account(20, Controls::default());
    switch.top_up(401, 20, 20, usd(100_000));
    switch.open_card(NewCard::of(21, 20, 20));
    switch.open_card(NewCard {
        card_type: CardType::Physical,
        ..NewCard::of(22, 20, 20)
    });
    // The second decline of the day costs nothing.
    for id in [501, 502] {
        let too_much = purchase(id, 21, usd(1_000_000), &format!("too much {id}"));
        switch.command(root, Action::Authorize(too_much));
    }
    let mut euros = purchase(503, 21, usd(1_000), "euros with a fee");
    euros.amounts.transaction.currency = Currency(978);
    euros.posts = true;
    switch.command(root, Action::Authorize(euros));
    let back = reversal(601, 21, usd(1_000), "back with its fee", "euros with a fee");
    switch.command(root, Action::Reverse(back));
    switch.at = time("2026-12-02T10:00:00Z");
    switch.charge_months();
}

/// One that is asked for, pays, is suspended, stands for another card, and ends.
fn tokens(switch: &mut Switch) {
    let root = AccountId(20);
    let request = RequestToken {
        root,
        number_hash: key_of("number of a token"),
        sealed_number: SealedPan::from_iter([9u8; 40]),
        open: OpenToken {
            token_id: TokenId(31),
            card_id: CardId(21),
            first6: 489_537,
            last4: 3_478,
            expiry: Some(Expiry::new(2028, 6).unwrap()),
            wallet: "apple_pay".into(),
            device: Some(TokenDevice {
                device_type: Some("phone".into()),
                name: Some("of Ann".into()),
            }),
        },
    };
    let pending = request.pending();
    switch.registry(RegistryAction::RequestToken(Box::new(request)));
    switch.command(root, pending.into_action());
    let change = |switch: &mut Switch, change| {
        let token_id = TokenId(31);
        let action = Action::ChangeTokenStatus(ChangeTokenStatus { token_id, change });
        switch.command(root, action);
    };
    let pay = |switch: &mut Switch, id: u64, token| {
        let mut payment = purchase(id, 21, usd(70), &format!("by token {id}"));
        payment.token = token;
        let (at, action) = (switch.at, Action::Authorize(payment));
        let mut command = Command { root, at, action };
        name_card(switch.world.shard(root), &mut command);
        switch.command(root, command.action);
    };
    let in_place = NamedToken::InPlaceOfCard(TokenId(31));
    pay(switch, 511, in_place);
    change(switch, TokenChange::Activate);
    pay(switch, 512, in_place);
    pay(switch, 513, NamedToken::BesideCard(TokenId(31)));
    pay(switch, 514, NamedToken::Unknown);
    change(switch, TokenChange::Suspend);
    pay(switch, 515, in_place);
    change(switch, TokenChange::Resume);
    let expiry = Expiry::new(2030, 6).unwrap();
    switch
        .reissue(23, 21, ReissueReason::Damaged, expiry)
        .unwrap();
    pay(switch, 516, in_place);
    let mut undo = reversal(602, 0, usd(70), "undo by token", "by token 512");
    undo.token = in_place;
    let (at, action) = (switch.at, Action::Reverse(undo));
    let mut undo = Command { root, at, action };
    name_card(switch.world.shard(root), &mut undo);
    switch.command(root, undo.action);
    change(switch, TokenChange::Delete);
    switch.change_status(20, 23, StatusChange::Close);
}

/// By our table and by the network, with a mark-up; in whole and in part.
fn abroad(switch: &mut Switch) {
    let eur = Currency(978);
    switch.program_with_mark_up(ProgramId(2), Controls::default(), 150);
    switch.set_rates(&[(eur, USD, "1.0833"), (USD, Currency(392), "151.25")]);
    let mut by_table = purchase(111, 11, usd(1_000), "euros");
    by_table.amounts.transaction.currency = eur;
    switch.command(AccountId(1), Action::Authorize(by_table.clone()));
    let mut in_part = purchase(112, 11, usd(0), "more euros");
    in_part.amounts = by_table.amounts;
    in_part.amounts.transaction.amount_minor = 100_000;
    in_part.amounts.billing = Some(usd(110_000));
    in_part.partial_approval_supported = true;
    switch.command(AccountId(1), Action::Authorize(in_part));
}

/// An approval that was late for its network, and customers who decide themselves: yes, no, less, and too late.
fn late_and_asked(switch: &mut Switch) {
    let root = AccountId(1);
    let late = purchase(141, 11, usd(10), "late");
    switch.command(root, Action::Authorize(late.clone()));
    let withhold = Withhold {
        reversal_id: ReversalId(241),
        payment: late,
    };
    switch.command(root, Action::Withhold(Box::new(withhold)));
    switch.ask_customers(2_000, Some(50));
    let ids = [142, 143, 144, 145];
    for id in ids {
        let mut asked = purchase(id, 11, usd(20), &format!("asked {id}"));
        asked.posts = id == 142;
        asked.partial_approval_supported = id == 144;
        switch.command(root, Action::Authorize(asked));
    }
    let says = [
        CustomerSays::Approve { amount_minor: None },
        CustomerSays::Decline,
        CustomerSays::Approve {
            amount_minor: Some(5),
        },
        CustomerSays::Lost,
    ];
    for (id, says) in ids
        .into_iter()
        .zip(says)
        .chain([(142, CustomerSays::Nothing)])
    {
        let resolve = Resolve {
            authorization_id: AuthorizationId(id),
            says,
            call: CallOutcome::Answered,
            duration_ms: 7,
        };
        switch.command(root, Action::Resolve(resolve));
    }
    switch.ask_customers_no_more();
}

/// A budget that refunds give back to, and an exception from it.
fn of_a_project(switch: &mut Switch) {
    let key = LinkKey {
        program_id: PROGRAM,
        link_type: "project".into(),
        id: "p1".into(),
    };
    let mut budget = limit(96, Window::Day, Some(1_000), None);
    budget.refunds_restore = true;
    switch.set_link_controls(key, limits([budget]));
    let exception = |id, subject| ControlException {
        id: ExceptionId(id),
        subject,
        lifts: Lifts {
            limits: vec![RaisedLimit {
                limit_id: LimitId(96),
                amount_minor: Some(2_000),
                count: None,
            }],
            countries: vec![Country(*b"JP")],
            ..Lifts::default()
        },
        starts_at: switch.at,
        ends_at: switch.at.plus_ms(86_400_000),
        uses_max: Some(1),
        reason: "business trip".into(),
        requested_by: signer("Ann"),
        created_at: switch.at,
        state: ExceptionState::Requested,
        decided: None,
        ended: None,
        tenant: None,
        program_id: PROGRAM,
        account_ids: Box::default(),
    };
    let of_card = exception(61, Subject::Card(CardId(11)));
    let of_project = exception(62, Subject::Link(LinkId(1)));
    for exception in [of_card, of_project] {
        switch.registry(RegistryAction::RequestException(Box::new(exception)));
    }
    for (id, change) in [
        (61, ExceptionChange::Approve),
        (62, ExceptionChange::Reject),
    ] {
        let change = ChangeException {
            id: ExceptionId(id),
            change,
            by: signer("Bob"),
            note: Some("as agreed".into()),
        };
        switch.registry(RegistryAction::ChangeException(Box::new(change)));
    }
    let root = AccountId(1);
    let mut send = |action| drop(switch.command(root, action));
    send(Action::Authorize(purchase(131, 11, usd(900), "project")));
    send(Action::Authorize(purchase(132, 11, usd(200), "trip")));
    send(Action::Authorize(purchase(133, 11, usd(1), "over")));
    let mut refund = purchase(134, 11, usd(300), "back");
    refund.kind = Kind::Refund;
    refund.posts = true;
    send(Action::Authorize(refund));
    send(Action::Reverse(reversal(
        231,
        11,
        usd(300),
        "rback",
        "back",
    )));
}

/// Transfers within a tree and to another one, top-ups in two steps, and an account that is watched.
fn money(switch: &mut Switch) {
    switch.open_account(7, Controls::default());
    switch.open_sub_account(8, 7, Some(7), Controls::default());
    switch.open_account(9, Controls::default());
    let account_id = AccountId(7);
    let top_up = |id, reference: &str| TopUp {
        top_up_id: TopUpId(id),
        account_id,
        amount: usd(1_000),
        method: "usdt".into(),
        external_reference: Some(reference.into()),
        tenant: None,
    };
    for (id, reference) in [(71, "W1"), (72, "W2")] {
        let reserve = ReserveReference {
            root: account_id,
            top_up: top_up(id, reference),
            settles: false,
            program_id: PROGRAM,
            in_place_of: None,
        };
        let action = reserve.action();
        switch.registry(RegistryAction::ReserveReference(Box::new(reserve)));
        switch.command(account_id, action);
    }
    let arrived = Money {
        amount_minor: 10_009_999,
        currency: Currency::USDT,
    };
    let settled = TopUpEnd::Settled {
        arrived,
        received_on: Some("2026-11-28".into()),
    };
    let failed = TopUpEnd::Failed {
        reason: "recalled".into(),
    };
    for (id, end) in [(71, settled), (72, failed)] {
        let end = EndTopUp {
            top_up_id: TopUpId(id),
            account_id,
            end,
            payment: None,
        };
        switch.command(account_id, Action::EndTopUp(Box::new(end)));
    }
    let failed = FailReference {
        top_up_id: TopUpId(72),
        root: account_id,
        method: "usdt".into(),
        reference: "W2".into(),
    };
    switch.registry(RegistryAction::FailReference(Box::new(failed)));
    let tell = TellCardsOfLink { changed_at: 1 };
    switch.registry(RegistryAction::TellCardsOfLink(tell));
    switch.transfer(301, (7, 7), (8, 7), usd(300));
    for _ in [302, 303] {
        switch.transfer(302, (7, 7), (9, 9), usd(100));
        switch.carry();
        switch.carry();
        switch.change_account_status(9, 9, AccountStatusChange::Freeze);
    }
    switch.transfer(304, (7, 7), (9, 9), usd(50));
    let mut change = ChangeAccount::nothing(AccountId(8));
    change.name = Some("topped up".into());
    change.credit_line_minor = Some(100);
    change.low_below_minor = Some(Some(2_000));
    change.auto_top_up = Some(Some(AutoTopUpRule {
        below_minor: 500,
        amount_minor: 200,
        per_day_max: 1,
        from_account_id: None,
    }));
    switch.change_account(7, change);
    for id in [305, 306] {
        switch.look_after(7, id);
    }
}

fn messages(switch: &mut Switch) {
    let root = AccountId(1);
    let mut send = |action| drop(switch.command(root, action));
    send(Action::Authorize(purchase(101, 11, usd(3_000), "a")));
    send(Action::Authorize(purchase(102, 11, usd(3_000), "b")));
    send(Action::Authorize(purchase(103, 11, usd(2_999), "a")));
    send(Action::Authorize(purchase(104, 12, usd(501), "c")));
    let mut gambling = purchase(105, 11, usd(100), "d");
    gambling.merchant.mcc = 7995;
    send(Action::Authorize(gambling));
    send(Action::Reverse(reversal(201, 11, usd(3_000), "ra", "a")));
    send(Action::Reverse(reversal(202, 11, usd(3_000), "rb", "a")));
    send(Action::Reverse(reversal(203, 11, usd(2_000), "rb", "a")));
    send(Action::Reverse(reversal(204, 11, usd(700), "re", "e")));
    send(Action::Authorize(purchase(106, 11, usd(700), "e")));
    send(Action::Authorize(purchase(107, 11, usd(800), "f")));
    send(Action::ReleaseHold(ReleaseHold {
        authorization_id: AuthorizationId(107),
        cause: ReleaseCause::Manual,
    }));
    let mut inquiry = purchase(108, 12, usd(0), "g");
    inquiry.kind = Kind::BalanceInquiry;
    send(Action::Authorize(inquiry));
    let mut in_part = purchase(109, 12, usd(600), "h");
    in_part.partial_approval_supported = true;
    in_part.initiated_by_merchant = true;
    in_part.three_ds = ThreeDs {
        eci: Some(5),
        authentication: Authentication::Authenticated,
        cryptogram: Cryptogram::Valid,
        exemption: Exemption::LowValue,
    };
    send(Action::Authorize(in_part));
}

/// One that is carried out, one that is rejected, one that waits.
fn approvals(switch: &mut Switch) {
    let writes = [
        GuardedWrite::TopUp(AccountId(1)),
        GuardedWrite::ChangeCard(CardId(11)),
        GuardedWrite::SetLinkControls {
            link_type: "project".into(),
            id: "p1".into(),
        },
    ];
    for (id, write) in (90..).zip(writes) {
        switch.registry(RegistryAction::RequestApproval(Box::new(Approval {
            id: ApprovalId(id),
            program_id: PROGRAM,
            write,
            body: "{\"amount\":1}".into(),
            first_id: 6_000,
            replaces: Some("hash".into()),
            requested_by: signer("Ann"),
            created_at: switch.at,
            expires_at: switch.at.plus_ms(APPROVAL_VALID_MS),
            state: ApprovalState::Pending,
            decided: None,
            outcome: None,
            approving_request_id: None,
        })));
    }
    let (by, note) = (signer("Bob"), Some("as agreed".into()));
    let outcome = ApprovalOutcome {
        status: 409,
        body: "{}".into(),
    };
    for (id, change) in [
        (
            90,
            ApprovalChange::Approve {
                by,
                note,
                request_id: "req_1".into(),
            },
        ),
        (90, ApprovalChange::Finish(outcome)),
        (
            91,
            ApprovalChange::Reject {
                by: signer("Bob"),
                note: None,
            },
        ),
    ] {
        let id = ApprovalId(id);
        let change = Box::new(ChangeApproval { id, change });
        switch.registry(RegistryAction::ChangeApproval(change));
    }
}

/// Single messages, increments, advices of every outcome, reversals of a part.
fn later_messages(switch: &mut Switch) {
    let root = AccountId(1);
    let mut send = |action| drop(switch.command(root, action));
    let posts = |mut payment: cardswitch::engine::command::Authorize| {
        payment.posts = true;
        payment
    };
    send(Action::Authorize(posts(purchase(111, 11, usd(40), "s"))));
    send(Action::Authorize(purchase(112, 11, usd(50), "t")));
    let mut increment = purchase(113, 11, usd(5), "u");
    increment.kind = Kind::Incremental;
    increment.original_keys = names_of("t");
    send(Action::Authorize(increment));
    let of = |id, amount, name, original, posts: bool| {
        let mut advice = advice(id, 11, usd(amount), name);
        advice.payment.original_keys = names_of(original);
        advice.payment.posts = posts;
        advice
    };
    send(Action::Advise(of(114, 60, "v", "t", false)));
    let mut first = of(115, 20, "w", "t", true);
    first.is_final = false;
    send(Action::Advise(first));
    let mut reverse = reversal(205, 11, usd(60), "rt", "t");
    reverse.stays = Some(usd(30));
    send(Action::Reverse(reverse));
    send(Action::Reverse(reversal(206, 11, usd(20), "rw", "w")));
    send(Action::Advise(of(116, 10, "x", "x", false)));
    send(Action::Advise(of(117, 10, "y", "y", true)));
    send(Action::Advise(of(118, 11, "y", "y", true)));
    let mut declined = of(119, 10, "z", "z", false);
    declined.was_declined = true;
    send(Action::Advise(declined));
    send(Action::Reverse(reversal(207, 11, usd(40), "rs", "s")));
    let nobody = advice(303, 0, usd(1), "nobody");
    switch.registry(RegistryAction::AdviseUnknownCard(Box::new(nobody)));
}

fn with_groups(switch: &mut Switch) {
    switch.cardholder(81, "US", false);
    let at = switch.at;
    let group = |codes: &[u16]| {
        let group = MccGroup::new(MccGroupId(71), "ads".into(), codes.to_vec(), at);
        Box::new(group)
    };
    let list = |entries| {
        let list = SharedMerchantList::new(MerchantListId(72), "banned".into(), entries, at);
        Box::new(list)
    };
    let name = || MerchantEntry::Name("*CASINO*".into());
    let id = MerchantEntry::Id {
        id: "M1".into(),
        acquirer_id: Some("412345".into()),
    };
    switch.registry(RegistryAction::CreateMccGroup(group(&[7311])));
    switch.registry(RegistryAction::ChangeMccGroup(group(&[7311, 7333])));
    switch.registry(RegistryAction::CreateMerchantList(list(vec![name()])));
    switch.registry(RegistryAction::ChangeMerchantList(list(vec![name(), id])));
}

fn of_nobody(switch: &mut Switch) {
    switch.registry(RegistryAction::AuthorizeUnknownCard {
        authorize: purchase(301, 0, usd(1), "nobody"),
        bin_known: true,
    });
    let reverse = reversal(302, 0, usd(1), "nobody", "nobody");
    switch.registry(RegistryAction::ReverseUnknownCard(reverse));
    let reveal = RevealCard {
        card_id: CardId(11),
        reason: "support call".into(),
        api_key_id: "root".into(),
    };
    switch.registry(RegistryAction::RevealCard(Box::new(reveal)));
    switch.cardholder(82, "IE", true);
    switch.set_cardholder(11, 82);
    let request = IdempotentRequest {
        key: IdempotencyKey(7),
        request_hash: 8,
        first_id: 9,
        tenant: None,
        request_number: 10,
    };
    switch.registry(RegistryAction::BeginIdempotent(request));
    switch.registry(RegistryAction::CompleteIdempotent {
        key: request.key,
        status: 201,
        body: KeptText::of("{}"),
    });
    switch.registry(RegistryAction::ChangeProgram(Box::new(ChangeProgram {
        name: Some("Travel".into()),
        controls: Some(Controls::default()),
        hold_expiry: Some(HoldExpiry {
            hours: Some(48),
            rules: Vec::new(),
        }),
        foreign_exchange_mark_up_basis_points: Some(15),
        status: Some(ProgramStatus::Suspended),
        bins: Some(vec![
            Bin::from("411111").unwrap(),
            Bin::from("42222222").unwrap(),
        ]),
        bin_facts: vec![BinFacts {
            bin: Bin::from("42222222").unwrap(),
            network: Some("mastercard".into()),
            region: Some("EU".into()),
            product_type: None,
        }],
        product_type: Some("prepaid".into()),
        region: Some("US".into()),
        master_account_id: Some(Some(AccountId(1))),
        second_approver: Some(SecondApprover {
            top_ups_above_minor: Some(100_000),
            limit_raises: true,
        }),
        ..ChangeProgram::nothing(PROGRAM)
    })));
    approvals(switch);
}

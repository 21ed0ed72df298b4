//! What accounts are charged: each fee once, in the record that causes it, by the schedule of then, in legs that sum to
//! zero; and what a preview says is what is charged.

mod engine_support;

use cardswitch::engine::apply::answer;
use cardswitch::engine::command::*;
use cardswitch::engine::controls::Controls;
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::event::{Answer, AnswerResult, Decision, Event, LedgerAccount};
use cardswitch::engine::facts::{Check, Kind, Verification};
use cardswitch::engine::fees::charge::{self, Charge, Payer};
use cardswitch::engine::fees::monthly::{ChargeMonthlyFee, Month};
use cardswitch::engine::fees::price::Price;
use cardswitch::engine::fees::schedule::{FeeItem, FeeKind, FeesRefusal, PutFeeSchedule};
use cardswitch::engine::hash::state_hash;
use cardswitch::engine::ids::*;
use cardswitch::engine::link_states::{ChangeLinkStatus, LinkStatus};
use cardswitch::engine::money::{BALANCE_MAX_MINOR, Currency, Money};
use cardswitch::engine::programs::ChangeProgram;
use cardswitch::engine::reason::DeclineReason;
use cardswitch::engine::registry::{LinkKey, RegistryAction, RegistryOutcome, RegistryRefusal};
use cardswitch::engine::reissue::ReissueReason;
use cardswitch::engine::snapshot;
use cardswitch::engine::state::{Account, CardStatus};
use cardswitch::engine::time::Expiry;
use engine_support::*;
use proptest::prelude::*;

const EUR: Currency = Currency(978);
const ROOT: AccountId = AccountId(1);

fn euros(amount_minor: i64) -> Money {
    Money {
        amount_minor,
        currency: EUR,
    }
}

fn event(outcome: Outcome) -> Event {
    match outcome {
        Outcome::Event(event) => event,
        other => panic!("no event: {other:?}"),
    }
}

fn account(switch: &Switch, id: u64) -> Account {
    let id = AccountId(id);
    let mut shards = switch.world.shards.iter();
    shards.find_map(|state| state.account(id)).unwrap().clone()
}

/// Kind, ours, the reseller's, and whether it went below zero.
fn charged(event: &Event) -> Vec<(FeeKind, i64, i64, bool)> {
    let charges = event.charges().iter();
    let told = |charge: &Charge| {
        (
            charge.kind,
            charge.fee_minor,
            charge.reseller_mark_up_minor,
            charge.overdrawn,
        )
    };
    charges.map(told).collect()
}

/// A funded account with card 11, with all fees; 96,000 were left of 100,000, less what else it paid.
fn world() -> Switch {
    let mut switch = Switch::with_fees(2, Controls::default(), all_fees());
    switch.set_rates(&[(EUR, USD, "1.1")]);
    switch.open_account(1, Controls::default());
    switch.top_up(1, 1, 1, usd(100_000));
    switch.open_card(NewCard::of(11, 1, 1));
    switch
}

fn ask(switch: &mut Switch, payment: Authorize) -> Outcome {
    switch.command(ROOT, Action::Authorize(payment))
}

/// Posted and all its other sides are zero together, on every account.
fn books_balance(switch: &Switch) {
    for account in switch.world.shards.iter().flat_map(|s| s.accounts.iter()) {
        let contra = account.funds_received_minor
            + account.network_settlement_minor
            + account.rounding_minor
            + account.mark_up_minor
            + account.transfers_minor
            + account.fees_minor
            + account.reseller_mark_up_minor;
        assert_eq!(account.posted_minor + contra, 0, "{account:?}");
    }
}

#[test]
fn each_fee_is_in_the_record_that_causes_it() {
    let mut switch = Switch::with_fees(2, Controls::default(), all_fees());
    let opened = event(switch.open_account(1, Controls::default()));
    assert_eq!(charged(&opened), [(FeeKind::SetUp, 1_000, 500, true)]);
    assert_eq!(account(&switch, 1).posted_minor, -1_500);
    let below = event(switch.open_sub_account(2, 1, Some(1), Controls::default()));
    assert_eq!(charged(&below), [], "a sub-account costs nothing");
    let credited = event(switch.top_up(1, 1, 1, usd(10_050)));
    // 301.5 and 100.5: half to even.
    assert_eq!(charged(&credited), [(FeeKind::TopUp, 302, 100, false)]);
    assert_eq!(account(&switch, 1).posted_minor, 10_050 - 402 - 1_500);
    let issued = event(switch.open_card(NewCard::of(11, 1, 1)));
    assert_eq!(charged(&issued), [(FeeKind::IssueVirtual, 200, 50, false)]);
    let mut physical = NewCard::of(12, 1, 1);
    physical.card_type = CardType::Physical;
    let issued = event(switch.open_card(physical));
    assert_eq!(
        charged(&issued),
        [(FeeKind::IssuePhysical, 1_000, 350, false)]
    );
    let declined = event(ask(&mut switch, purchase(1, 11, usd(1_000_000), "a")));
    assert_eq!(charged(&declined), [(FeeKind::Decline, 30, 5, false)]);
    let Event::Authorized(authorized) = &declined else {
        panic!("{declined:?}");
    };
    let left = account(&switch, 1);
    assert_eq!(authorized.available_minor, left.available_minor());
    assert_eq!(left.fees_minor, 1_000 + 302 + 200 + 1_000 + 30);
    assert_eq!(left.reseller_mark_up_minor, 500 + 100 + 50 + 350 + 5);
    let charge = declined.charges()[0];
    assert_eq!((charge.schedule.id, charge.schedule.version), (FEES, 1));
    assert_eq!(
        (charge.card_id, charge.program_id),
        (Some(CardId(11)), PROGRAM)
    );
    books_balance(&switch);
    // What is restored has paid the same.
    let mut bytes = Vec::new();
    snapshot::write(&switch.world, &mut bytes).unwrap();
    let restored = snapshot::read(&mut &bytes[..], 3).unwrap();
    assert_eq!(state_hash(&restored), state_hash(&switch.world));
    assert_eq!(state_hash(&switch.replayed(1)), state_hash(&switch.world));
}

#[test]
fn a_card_that_cannot_be_paid_for_is_closed_at_once_and_costs_nothing() {
    let mut switch = Switch::with_fees(
        1,
        Controls::default(),
        vec![fee(FeeKind::IssueVirtual, 200, 50)],
    );
    switch.open_account(1, Controls::default());
    switch.top_up(1, 1, 1, usd(499));
    let status = |outcome| match event(outcome) {
        Event::CardOpened { status, charges } => (status, charges.len()),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        status(switch.open_card(NewCard::of(11, 1, 1))),
        (CardStatus::Active, 1)
    );
    assert_eq!(account(&switch, 1).posted_minor, 249);
    assert_eq!(
        status(switch.open_card(NewCard::of(12, 1, 1))),
        (CardStatus::Closed, 0)
    );
    assert_eq!(account(&switch, 1).posted_minor, 249);
    assert!(
        switch.world.pending_cards.is_empty(),
        "it would be opened at the next start"
    );
    // Its own account is empty, so the one above pays.
    switch.open_sub_account(2, 1, Some(1), Controls::default());
    switch.top_up(2, 1, 1, usd(1));
    let at = switch.at;
    let open = |paid_by| OpenCard {
        card_id: CardId(13),
        account_id: AccountId(2),
        card_type: CardType::Virtual,
        first6: 411_111,
        last4: 13,
        expiry: Expiry::new(2029, 12).unwrap(),
        links: Default::default(),
        controls: Controls::default(),
        wallet: None,
        holder: None,
        paid_by,
        shipping: None,
        issued_at: at,
    };
    let action = Action::OpenCard(Box::new(open(Some(ROOT))));
    assert_eq!(
        status(switch.command(ROOT, action)),
        (CardStatus::Active, 1)
    );
    assert_eq!(
        (
            account(&switch, 1).posted_minor,
            account(&switch, 2).posted_minor
        ),
        (0, 0)
    );
    books_balance(&switch);
}

#[test]
fn a_reissue_costs_what_issuing_does_unless_it_was_our_mistake() {
    let mut switch = world();
    let expiry = Expiry::new(2030, 1).unwrap();
    let lost = event(switch.reissue(12, 11, ReissueReason::Lost, expiry).unwrap());
    assert_eq!(charged(&lost), [(FeeKind::IssueVirtual, 200, 50, false)]);
    let ours = switch.reissue(13, 12, ReissueReason::FulfillmentError, expiry);
    assert_eq!(charged(&event(ours.unwrap())), []);
}

#[test]
fn declines_cost_once_and_only_where_somebody_who_pays_had_a_part_in_them() {
    let mut switch = world();
    let before = account(&switch, 1).posted_minor;
    let too_much = purchase(1, 11, usd(1_000_000), "a");
    event(ask(&mut switch, too_much.clone()));
    assert!(matches!(
        ask(&mut switch, too_much),
        Outcome::FirstAnswer(_)
    ));
    assert_eq!(
        account(&switch, 1).posted_minor,
        before - 35,
        "a repeat is not charged"
    );
    let mut free = vec![
        // Of nobody's card.
        purchase(2, 99, usd(5), "b"),
        // The identity of another message.
        purchase(3, 11, usd(7), "a"),
    ];
    let mut inquiry = purchase(4, 11, usd(0), "c");
    inquiry.kind = Kind::BalanceInquiry;
    let mut refund = purchase(5, 11, usd(0), "d");
    refund.kind = Kind::Refund;
    let mut unsupported = purchase(6, 11, usd(5), "e");
    unsupported.kind = Kind::Other;
    free.extend([inquiry, refund, unsupported]);
    for payment in free {
        let decided = event(ask(&mut switch, payment.clone()));
        assert_eq!(charged(&decided), [], "{payment:?}");
    }
    switch.change_status(1, 11, StatusChange::Freeze);
    let frozen = event(ask(&mut switch, purchase(7, 11, usd(5), "f")));
    assert_eq!(charged(&frozen), [(FeeKind::Decline, 30, 5, false)]);
    books_balance(&switch);
}

#[test]
fn what_a_customer_declines_costs_and_what_nobody_decided_does_not() {
    for (says, fees) in [
        (
            CustomerSays::Decline,
            vec![(FeeKind::Decline, 30, 5, false)],
        ),
        (
            CustomerSays::Nothing,
            vec![(FeeKind::Decline, 30, 5, false)],
        ),
        (CustomerSays::Lost, vec![]),
        (CustomerSays::Approve { amount_minor: None }, vec![]),
    ] {
        let mut switch = world();
        switch.ask_customers(2_000, None);
        event(ask(&mut switch, purchase(1, 11, usd(100), "a")));
        let resolve = Resolve {
            authorization_id: AuthorizationId(1),
            says,
            call: CallOutcome::Answered,
            duration_ms: 1,
        };
        let resolved = event(switch.command(ROOT, Action::Resolve(resolve)));
        assert_eq!(charged(&resolved), fees, "{says:?}");
        books_balance(&switch);
    }
}

#[test]
fn a_fee_on_a_conversion_is_in_its_posting_and_goes_back_with_it() {
    let mut switch = world();
    let before = account(&switch, 1);
    let mut payment = purchase(1, 11, euros(10_000), "a");
    payment.posts = true;
    // 11,000 for the network, 165 and 55 on top.
    let paid = event(ask(&mut switch, payment));
    assert_eq!(charged(&paid), [(FeeKind::ForeignExchange, 165, 55, false)]);
    let Event::Authorized(authorized) = &paid else {
        panic!("{paid:?}");
    };
    let leg = |of: LedgerAccount| {
        let mut legs = authorized.postings.iter();
        legs.find(|leg| leg.ledger_account == of)
            .map(|leg| leg.amount_minor)
    };
    assert_eq!(leg(LedgerAccount::Customer(ROOT)), Some(-11_220));
    assert_eq!(leg(LedgerAccount::NetworkSettlement), Some(11_000));
    assert_eq!(
        (leg(LedgerAccount::Fees), leg(LedgerAccount::ResellerMarkUp)),
        (Some(165), Some(55))
    );
    assert_eq!(leg(LedgerAccount::MarkUp), None);
    books_balance(&switch);
    // Half of it goes back.
    let mut half = reversal(1, 11, euros(10_000), "r", "a");
    half.stays = Some(euros(5_000));
    let reversed = event(switch.command(ROOT, Action::Reverse(half)));
    assert_eq!(
        charged(&reversed),
        [(FeeKind::ForeignExchange, -82, -27, false)]
    );
    assert_eq!(reversed.charges()[0].schedule.version, 1);
    let rest = reversal(2, 11, euros(10_000), "s", "a");
    event(switch.command(ROOT, Action::Reverse(rest)));
    let after = account(&switch, 1);
    assert_eq!(
        (after.fees_minor, after.reseller_mark_up_minor),
        (before.fees_minor, before.reseller_mark_up_minor)
    );
    assert_eq!(after.posted_minor, before.posted_minor);
    books_balance(&switch);
}

#[test]
fn a_clearing_pays_the_fee_of_the_version_of_its_day() {
    let mut switch = world();
    event(ask(&mut switch, purchase(1, 11, euros(10_000), "a")));
    assert_eq!(
        account(&switch, 1).held_minor,
        11_220,
        "the fee is held with it"
    );
    switch.put_fees(vec![share(FeeKind::ForeignExchange, 100, 0)]);
    let mut cleared = advice(2, 11, euros(10_000), "a");
    cleared.payment.posts = true;
    let cleared = event(switch.command(ROOT, Action::Advise(cleared)));
    assert_eq!(
        charged(&cleared),
        [(FeeKind::ForeignExchange, 110, 0, false)]
    );
    assert_eq!(cleared.charges()[0].schedule.version, 2);
    books_balance(&switch);
}

#[test]
fn a_card_pays_for_each_month_once_from_the_one_after_it_was_issued() {
    let mut switch = world();
    assert_eq!(switch.charge_months(), 0, "the month of its issue is free");
    switch.at = time("2026-11-30T23:59:59.999Z");
    assert_eq!(switch.charge_months(), 0);
    switch.at = time("2026-12-01T00:00:00Z");
    assert_eq!((switch.charge_months(), switch.charge_months()), (1, 0));
    // Nobody was there in January: it is not made good.
    switch.at = time("2027-02-20T12:00:00Z");
    assert_eq!((switch.charge_months(), switch.charge_months()), (1, 0));
    let month = |text: &str| Month::at("UTC", time(text));
    for (wanted, in_month) in [
        ("2027-02-20T12:00:00Z", "again"),
        ("2027-01-20T12:00:00Z", "late"),
    ] {
        let action = Action::ChargeMonthlyFee(ChargeMonthlyFee {
            card_id: CardId(11),
            month: month(wanted),
        });
        assert_eq!(
            switch.command(ROOT, action),
            Outcome::AlreadyDone,
            "{in_month}"
        );
    }
    let paid = account(&switch, 1).fees_minor - account(&world(), 1).fees_minor;
    assert_eq!(paid, 200);
    let card = switch.world.shard(ROOT).card(CardId(11)).unwrap();
    assert_eq!(card.fees_through.unwrap().to_string(), "2027-02");
    books_balance(&switch);
}

#[test]
fn who_is_not_active_in_a_month_does_not_pay_for_it() {
    let mut switch = world();
    let mut physical = NewCard::of(12, 1, 1);
    physical.card_type = CardType::Physical;
    switch.open_card(physical);
    let mut expired = NewCard::of(13, 1, 1);
    expired.expiry = Expiry::new(2026, 11).unwrap();
    switch.open_card(expired);
    switch.change_status(1, 11, StatusChange::Close);
    switch.at = time("2026-12-03T00:00:00Z");
    assert_eq!(switch.charge_months(), 0);
    switch.change_status(1, 12, StatusChange::Activate);
    assert_eq!((switch.charge_months(), switch.charge_months()), (1, 0));
    switch.change_status(1, 12, StatusChange::Freeze);
    switch.at = time("2027-01-03T00:00:00Z");
    assert_eq!(switch.charge_months(), 0);
    switch.change_status(1, 12, StatusChange::Unfreeze);
    assert_eq!(switch.charge_months(), 1);
}

#[test]
fn a_reissue_makes_no_month_free_and_none_double() {
    let mut switch = world();
    let expiry = Expiry::new(2030, 1).unwrap();
    let reissue = |switch: &mut Switch, id, replaces| {
        let reason = ReissueReason::FulfillmentError;
        event(switch.reissue(id, replaces, reason, expiry).unwrap());
    };
    // Frozen at the turn of the month, reissued for nothing, and unfrozen.
    switch.change_status(1, 11, StatusChange::Freeze);
    switch.at = time("2026-12-03T00:00:00Z");
    assert_eq!(switch.charge_months(), 0);
    reissue(&mut switch, 12, 11);
    switch.change_status(1, 12, StatusChange::Unfreeze);
    assert_eq!(
        switch.charge_months(),
        1,
        "the first of its chain was issued in November"
    );
    reissue(&mut switch, 13, 12);
    assert_eq!(switch.charge_months(), 0, "December is charged");
    switch.at = time("2027-01-03T00:00:00Z");
    assert_eq!(switch.charge_months(), 1);
    books_balance(&switch);
}

#[test]
fn a_card_that_is_frozen_by_its_link_owes_no_more_than_one_that_is_frozen_itself() {
    let mut switch = world();
    let key = LinkKey {
        program_id: PROGRAM,
        link_type: "project".into(),
        id: "p".into(),
    };
    let mut linked = NewCard::of(12, 1, 1);
    linked.links = [key.clone()].into_iter().collect();
    switch.open_card(linked);
    let set = |switch: &mut Switch, to| {
        let key = key.clone();
        let change = Box::new(ChangeLinkStatus { key, to });
        switch.registry(RegistryAction::ChangeLinkStatus(change));
    };
    set(&mut switch, LinkStatus::Frozen);
    switch.change_status(1, 11, StatusChange::Freeze);
    switch.at = time("2026-12-03T00:00:00Z");
    assert_eq!(switch.charge_months(), 0, "both are frozen");
    set(&mut switch, LinkStatus::Active);
    assert_eq!((switch.charge_months(), switch.charge_months()), (1, 0));
    switch.change_status(1, 11, StatusChange::Unfreeze);
    assert_eq!(switch.charge_months(), 1);
    switch.at = time("2027-01-03T00:00:00Z");
    set(&mut switch, LinkStatus::Closed);
    assert_eq!(switch.charge_months(), 1, "of the one without a link");
}

/// What a decline of a card in such a state costs.
fn decline_of(prepare: impl Fn(&mut Switch)) -> (DeclineReason, usize) {
    decline_stating(prepare, |_| {})
}

/// The same of a request that proves something, or does not.
fn decline_stating(
    prepare: impl Fn(&mut Switch),
    state: impl Fn(&mut Verification),
) -> (DeclineReason, usize) {
    let mut switch = world();
    prepare(&mut switch);
    let mut request = purchase(7, 12, usd(5_000_000), "f");
    state(&mut request.verification);
    let declined = event(ask(&mut switch, request));
    let Event::Authorized(authorized) = &declined else {
        panic!("{declined:?}");
    };
    let Decision::Declined(decline) = &authorized.decision else {
        panic!("{declined:?}");
    };
    books_balance(&switch);
    (decline.reason, declined.charges().len())
}

#[test]
fn declines_of_cards_that_nobody_can_use_cost_nothing() {
    use DeclineReason::*;
    let open = |switch: &mut Switch| drop(switch.open_card(NewCard::of(12, 1, 1)));
    let change = |change| {
        move |switch: &mut Switch| {
            open(switch);
            switch.change_status(1, 12, change);
        }
    };
    for (found, expected) in [
        (decline_of(open), (InsufficientFunds, 1)),
        (decline_of(change(StatusChange::Freeze)), (CardFrozen, 1)),
        (decline_of(change(StatusChange::Close)), (CardClosed, 0)),
        (decline_of(change(StatusChange::BlockLost)), (CardLost, 0)),
        (
            decline_of(change(StatusChange::BlockStolen)),
            (CardStolen, 0),
        ),
        (
            decline_of(change(StatusChange::BlockFraud)),
            (CardBlocked, 0),
        ),
        (
            decline_of(|switch| {
                let mut physical = NewCard::of(12, 1, 1);
                physical.card_type = CardType::Physical;
                switch.open_card(physical);
            }),
            (CardNotActivated, 0),
        ),
        (
            decline_of(|switch| {
                let mut expired = NewCard::of(12, 1, 1);
                expired.expiry = Expiry::new(2026, 10).unwrap();
                switch.open_card(expired);
            }),
            (CardExpired, 0),
        ),
        (
            decline_of(|switch| {
                open(switch);
                switch.change_account_status(1, 1, AccountStatusChange::Freeze);
            }),
            (AccountFrozen, 0),
        ),
    ] {
        assert_eq!(found, expected);
    }
}

/// Whoever found the number may state anything of it.
#[test]
fn what_is_stated_of_a_card_and_is_wrong_costs_nothing() {
    use DeclineReason::*;
    let open = |switch: &mut Switch| drop(switch.open_card(NewCard::of(12, 1, 1)));
    let tried = |switch: &mut Switch| {
        open(switch);
        let mut settings = switch.world.registry.view.settings.clone();
        settings.verification_tries_per_day_max = 1;
        switch.registry(RegistryAction::ChangeSettings(Box::new(settings)));
        let mut wrong = purchase(6, 12, usd(1), "w");
        wrong.verification.cvv = Check::Mismatch;
        ask(switch, wrong);
    };
    for (found, expected) in [
        (
            decline_stating(open, |stated| stated.expiry = Expiry::new(2027, 1)),
            (ExpiryMismatch, 0),
        ),
        (
            decline_stating(open, |stated| stated.cvv = Check::Mismatch),
            (CvvMismatch, 0),
        ),
        (
            decline_stating(open, |stated| stated.pin = Check::Mismatch),
            (PinIncorrect, 0),
        ),
        (
            decline_stating(open, |stated| stated.cryptogram = Check::Mismatch),
            (CryptogramInvalid, 0),
        ),
        (
            decline_stating(tried, |stated| stated.cvv = Check::Match),
            (VerificationTriesExceeded, 0),
        ),
        // What is right is declined for the money, and that costs.
        (
            decline_stating(open, |stated| stated.cvv = Check::Match),
            (InsufficientFunds, 1),
        ),
        (decline_stating(tried, |_| {}), (InsufficientFunds, 1)),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn so_many_declines_of_a_card_are_charged_in_a_day_of_the_schedule_and_no_more() {
    let mut switch = world();
    let put = PutFeeSchedule {
        id: FEES,
        name: "standard".into(),
        currency: USD,
        time_zone: "Asia/Tokyo".into(),
        items: all_fees(),
        decline_fees_per_card_per_day_max: Some(2),
    };
    switch.registry(RegistryAction::PutFeeSchedule(Box::new(put)));
    switch.open_card(NewCard::of(12, 1, 1));
    let mut next = 10;
    let mut decline = |switch: &mut Switch, card: u64| {
        next += 1;
        let payment = purchase(next, card, usd(5_000_000), &format!("p{next}"));
        charged(&event(ask(switch, payment))).len()
    };
    let of_a_day = |switch: &mut Switch, decline: &mut dyn FnMut(&mut Switch, u64) -> usize| {
        [(); 4].map(|()| decline(switch, 11))
    };
    assert_eq!(of_a_day(&mut switch, &mut decline), [1, 1, 0, 0]);
    assert_eq!(decline(&mut switch, 12), 1, "another card has its own");
    // It is still the same day in Tokyo, also after a restart.
    switch.at = time("2026-11-24T14:59:59.999Z");
    let mut bytes = Vec::new();
    snapshot::write(&switch.world, &mut bytes).unwrap();
    switch.world = snapshot::read(&mut &bytes[..], 2).unwrap();
    assert_eq!(decline(&mut switch, 11), 0);
    switch.at = time("2026-11-24T15:00:00Z");
    assert_eq!(of_a_day(&mut switch, &mut decline), [1, 1, 0, 0]);
    assert_eq!(state_hash(&switch.replayed(1)), state_hash(&switch.world));
    // None at all, and then as many as there are.
    for (max, expected) in [(Some(0), [0; 4]), (None, [1; 4])] {
        let schedule = &switch.world.registry.view.fee_schedules[&FEES];
        let put = PutFeeSchedule {
            id: FEES,
            name: schedule.name.clone(),
            currency: USD,
            time_zone: schedule.time_zone.clone(),
            items: all_fees(),
            decline_fees_per_card_per_day_max: max,
        };
        switch.registry(RegistryAction::PutFeeSchedule(Box::new(put)));
        assert_eq!(of_a_day(&mut switch, &mut decline), expected);
    }
    books_balance(&switch);
}

#[test]
fn a_fee_that_does_not_fit_the_books_is_told_and_not_taken() {
    let switch = world();
    let left = account(&switch, 1);
    let payer = Payer {
        posted_minor: -BALANCE_MAX_MINOR,
        ..Payer::of(&left, Some(CardId(11)))
    };
    let view = &switch.world.registry.view;
    let charge = charge::charge(view, FeeKind::Decline, payer, None).unwrap();
    assert!(charge.out_of_range);
    assert_eq!((charge.amount_minor(), charge.legs().len()), (0, 0));
    assert_eq!(charge.fee_minor, 30, "what it would have been is said");
}

#[test]
fn a_fee_that_begins_later_is_not_charged_for_what_was_before() {
    let mut switch = world();
    let without: Vec<FeeItem> = all_fees()
        .into_iter()
        .filter(|item| item.kind != FeeKind::Monthly)
        .collect();
    switch.put_fees(without);
    switch.at = time("2027-03-05T00:00:00Z");
    assert_eq!(switch.charge_months(), 0);
    switch.put_fees(all_fees());
    assert_eq!(switch.charge_months(), 0, "it began in March");
    switch.at = time("2027-04-01T00:00:00Z");
    assert_eq!(switch.charge_months(), 1);
    // And ends where the program has no schedule any more.
    let change = ChangeProgram {
        fees: Some(None),
        ..ChangeProgram::nothing(PROGRAM)
    };
    switch.registry(RegistryAction::ChangeProgram(Box::new(change)));
    switch.at = time("2027-05-01T00:00:00Z");
    assert_eq!(switch.charge_months(), 0);
}

#[test]
fn a_month_is_charged_below_zero_where_nothing_is_left() {
    let mut switch = world();
    let left = account(&switch, 1).available_minor();
    let mut all = purchase(1, 11, usd(left), "a");
    all.posts = true;
    event(ask(&mut switch, all));
    switch.at = time("2026-12-01T00:00:00Z");
    assert_eq!(switch.charge_months(), 1);
    assert_eq!(account(&switch, 1).available_minor(), -125);
    // And what asks about nothing is answered all the same.
    let mut check = purchase(2, 11, usd(0), "b");
    check.kind = Kind::AccountVerification;
    let command = Command {
        root: ROOT,
        at: switch.at,
        action: Action::Authorize(check.clone()),
    };
    let decided = event(ask(&mut switch, check));
    assert!(matches!(
        answer(&command, &decided),
        Some(Answer::Authorization {
            result: AnswerResult::Approved { .. },
            ..
        })
    ));
}

#[test]
fn a_schedule_is_refused_that_cannot_be() {
    let mut switch = world();
    let refusal = |outcome| match outcome {
        RegistryOutcome::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let twice = vec![fee(FeeKind::Decline, 1, 0), fee(FeeKind::Decline, 2, 0)];
    assert!(matches!(
        refusal(switch.put_fees(twice)),
        RegistryRefusal::Fees(FeesRefusal::Item(_))
    ));
    let all = vec![share(FeeKind::ForeignExchange, 6_000, 6_000)];
    assert!(matches!(
        refusal(switch.put_fees(all)),
        RegistryRefusal::Fees(FeesRefusal::Item(_))
    ));
    assert_eq!(switch.put_fees(all_fees()), RegistryOutcome::AlreadyDone);
    let both = switch.create_program(ProgramId(2), Controls::default(), 150, Some(FEES));
    assert_eq!(
        refusal(both),
        RegistryRefusal::Fees(FeesRefusal::MarkUpTwice(ProgramId(2)))
    );
    let none = switch.create_program(ProgramId(2), Controls::default(), 0, Some(FeeScheduleId(9)));
    assert_eq!(
        refusal(none),
        RegistryRefusal::Fees(FeesRefusal::ScheduleNotFound(FeeScheduleId(9)))
    );
    let mark_up = ChangeProgram {
        foreign_exchange_mark_up_basis_points: Some(150),
        ..ChangeProgram::nothing(PROGRAM)
    };
    let both = switch.registry(RegistryAction::ChangeProgram(Box::new(mark_up)));
    assert_eq!(
        refusal(both),
        RegistryRefusal::Fees(FeesRefusal::MarkUpTwice(PROGRAM))
    );
}

fn any_price(kind: FeeKind) -> impl Strategy<Value = Price> {
    let bound = || proptest::option::of(0i64..5_000);
    (0i64..5_000, 0u16..=5_000, bound(), bound()).prop_map(
        move |(amount_minor, basis_points, one, other)| {
            let price = Price {
                amount_minor,
                ..Price::default()
            };
            match kind {
                FeeKind::TopUp => Price {
                    basis_points,
                    min_minor: one.min(other),
                    max_minor: one.max(other).filter(|_| one.is_some() && other.is_some()),
                    ..price
                },
                FeeKind::ForeignExchange => Price {
                    basis_points,
                    ..Price::default()
                },
                _ => price,
            }
        },
    )
}

fn any_items() -> impl Strategy<Value = Vec<FeeItem>> {
    let item = |(kind, _): (FeeKind, &str)| {
        let item =
            (any_price(kind), any_price(kind)).prop_map(move |(fee, reseller_mark_up)| FeeItem {
                kind,
                fee,
                reseller_mark_up,
            });
        proptest::option::of(item)
    };
    let all: Vec<_> = FeeKind::ALL.iter().copied().map(item).collect();
    all.prop_map(|items| items.into_iter().flatten().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is charged is what the preview says, kind by kind, and moves so much and no more.
    #[test]
    fn a_preview_is_what_is_charged(items in any_items(), arrives in 10_000i64..10_000_000, pays in 1i64..4_000) {
        let mut switch = Switch::with_fees(2, Controls::default(), items);
        switch.set_rates(&[(EUR, USD, "1")]);
        let mut events = vec![
            event(switch.open_account(1, Controls::default())),
            event(switch.top_up(1, 1, 1, usd(arrives + 20_000_000))),
            event(switch.open_card(NewCard::of(11, 1, 1))),
        ];
        let mut physical = NewCard::of(12, 1, 1);
        physical.card_type = CardType::Physical;
        events.push(event(switch.open_card(physical)));
        let mut abroad = purchase(1, 11, euros(pays), "a");
        abroad.posts = true;
        events.push(event(ask(&mut switch, abroad)));
        events.push(event(ask(&mut switch, purchase(2, 11, usd(1 << 40), "b"))));
        switch.at = time("2026-12-01T00:00:00Z");
        let before = account(&switch, 1);
        switch.charge_months();
        let month = before.posted_minor - account(&switch, 1).posted_minor;
        let view = switch.world.registry.view.clone();
        let schedule = &view.fee_schedules[&FEES];
        let preview = |kind, basis| schedule.parts(kind, USD, basis);
        let mut expected = vec![
            (FeeKind::SetUp, preview(FeeKind::SetUp, 0)),
            (FeeKind::TopUp, preview(FeeKind::TopUp, arrives + 20_000_000)),
            (FeeKind::IssueVirtual, preview(FeeKind::IssueVirtual, 0)),
            (FeeKind::IssuePhysical, preview(FeeKind::IssuePhysical, 0)),
            (FeeKind::ForeignExchange, preview(FeeKind::ForeignExchange, pays)),
            (FeeKind::Decline, preview(FeeKind::Decline, 0)),
        ];
        expected.retain(|(_, parts)| parts.sum_minor() > 0);
        let charges: Vec<Charge> = events.iter().flat_map(|event| event.charges().to_vec()).collect();
        let found: Vec<_> = charges.iter().map(|c| (c.kind, c.fee_minor, c.reseller_mark_up_minor)).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(kind, parts)| (*kind, parts.fee_minor, parts.reseller_mark_up_minor))
            .collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(month, preview(FeeKind::Monthly, 0).sum_minor());
        for charge in charges {
            prop_assert_eq!(charge.legs().iter().map(|leg| leg.amount_minor).sum::<i64>(), 0);
            prop_assert!(charge.fee_minor >= 0 && charge.reseller_mark_up_minor >= 0);
        }
        books_balance(&switch);
        prop_assert_eq!(state_hash(&switch.replayed(3)), state_hash(&switch.world));
    }
}

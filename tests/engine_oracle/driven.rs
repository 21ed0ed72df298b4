//! The engine, driven by the same steps, and what must hold after every step. What it says is put into the words of
//! the naive decision maker in `told.rs`.

use super::*;

/// The engine, driven by the same steps.
pub struct Engine {
    pub switch: Switch,
    pub next_id: u64,
    /// The risk rule that the last request was declined by.
    pub declined_by: Option<RuleId>,
    /// The place of the purchase that the last step is a refund of, where its account was looked at.
    pub refund_of: Option<Option<usize>>,
    /// The requests that were approved, in order, each as it was sent.
    pub approvals: Vec<Approval>,
    /// What was forgotten, where that is kept.
    pub kept: Option<engine_support::kept::Kept>,
}

/// What opened at this place in the past; each step takes one id, from 2.
pub fn place_of(id: AuthorizationId) -> usize {
    id.0 as usize - 2
}

pub fn id_of(place: usize) -> AuthorizationId {
    AuthorizationId(place as u64 + 2)
}

pub fn rule_id(place: usize) -> RiskRuleId {
    RiskRuleId(500 + place as u64)
}

impl Engine {
    pub fn of(switch: Switch, next_id: u64) -> Engine {
        Engine {
            switch,
            next_id,
            declined_by: None,
            refund_of: None,
            approvals: Vec::new(),
            kept: None,
        }
    }

    pub fn new(shards: usize) -> Engine {
        Engine::with(Switch::with_program_and_mark_up(
            shards,
            program_controls(),
            abroad::MARK_UP,
        ))
    }

    /// The same mark-up as a fee of a schedule, and declines cost.
    pub fn with_fees(shards: usize) -> Engine {
        let items = vec![
            share(FeeKind::ForeignExchange, 100, 50),
            fee(FeeKind::Decline, DECLINE_FEE.0, DECLINE_FEE.1),
        ];
        let mut switch = Switch::with_fees(shards, program_controls(), items.clone());
        let put = PutFeeSchedule {
            id: FEES,
            name: "standard".into(),
            currency: USD,
            time_zone: "UTC".into(),
            items,
            decline_fees_per_card_per_day_max: Some(DECLINES_PER_DAY),
        };
        switch.registry(RegistryAction::PutFeeSchedule(Box::new(put)));
        Engine::with(switch)
    }

    fn with(mut switch: Switch) -> Engine {
        switch.set_rates(&abroad::rates());
        bound_tries(&mut switch);
        for (place, expression) in RULES.iter().enumerate() {
            let rule = RiskRule {
                id: rule_id(place),
                program_id: PROGRAM,
                name: "rule".into(),
                expression: (*expression).into(),
                action: RuleAction::Decline,
                state: RuleState::Draft,
                version: 1,
                created_at: switch.at,
            };
            switch.registry(RegistryAction::CreateRiskRule(Box::new(rule)));
        }
        Engine::create_cardholders(&mut switch);
        for tree in 1..=TREES {
            switch.set_link_controls(team(tree), link_controls(tree));
            for account in line_of(tree + 20) {
                let parent = (account > 10).then(|| account - 10);
                switch.open_sub_account(account, tree, parent, account_controls(account));
            }
            for account in line_of(tree + 20) {
                for card in 1..=2 {
                    let mut card = NewCard::of(account * 100 + card, tree, account);
                    card.cardholder_id =
                        holder_of(card.id).map(|(holder, _)| cardholder_id(holder));
                    let further = accounts_of_card(card.id).into_iter().skip(1);
                    card.wallet = further.map(AccountId).collect();
                    if is_linked(card.id) {
                        card.links = [team(tree)].into_iter().collect();
                    }
                    if is_physical(card.id) {
                        card.card_type = CardType::Physical;
                    }
                    switch.open_card(card);
                }
            }
        }
        for exception in exceptions(switch.at) {
            let request = RegistryAction::RequestException(Box::new(exception));
            let outcome = switch.registry(request);
            assert!(matches!(outcome, RegistryOutcome::Event(_)), "{outcome:?}");
        }
        Engine::of(switch, 1)
    }

    pub fn step(&mut self, step: &Step) -> Came {
        let step = &self.resent(step);
        self.refund_of = None;
        self.next_id += 1;
        let (id, switch) = (self.next_id, &mut self.switch);
        let root_of = |card: u64| root_of_account(account_of_card(card));
        let outcome = match step {
            Step::Repeat { .. } => return Came::Done,
            Step::Wait { minutes } => return self.wait(*minutes),
            Step::Withhold { back } => return self.withhold(*back),
            Step::Release { back } => return self.release(*back),
            Step::Customer { back, says } => return self.customer(*back, *says),
            Step::Endpoint { asks, up_to } => {
                switch.ask_customers(2_000, *up_to);
                if !asks {
                    switch.ask_customers_no_more();
                }
                return Came::Done;
            }
            Step::Expire => {
                let expired = switch.expire().into_iter();
                return Came::Expired(expired.map(place_of).collect());
            }
            Step::Group { .. } | Step::List { .. } | Step::Verify { .. } => {
                return self.change_group(step);
            }
            Step::Rule { rule, change } => {
                let (rule_id, change) = (rule_id(*rule), *change);
                let change = RegistryAction::ChangeRiskRule { rule_id, change };
                return match switch.registry(change) {
                    RegistryOutcome::Event(_) => Came::Done,
                    RegistryOutcome::AlreadyDone => Came::AlreadyDone,
                    _ => Came::Refused,
                };
            }
            Step::Exception { which, change } => {
                let change = ChangeException {
                    id: ExceptionId(600 + *which as u64),
                    change: *change,
                    by: signer("bob"),
                    note: None,
                };
                let change = RegistryAction::ChangeException(Box::new(change));
                return match switch.registry(change) {
                    RegistryOutcome::Event(_) => Came::Done,
                    RegistryOutcome::AlreadyDone => Came::AlreadyDone,
                    _ => Came::Refused,
                };
            }
            Step::Authorize(payment) => {
                let request = request_of(purchase, id, payment);
                let root = AccountId(root_of(payment.card));
                let outcome = self.command(root, Action::Authorize(request.clone()));
                if is_approval(&outcome) {
                    let at = self.switch.at;
                    let payment = *payment;
                    self.approvals.push(Approval {
                        at,
                        request,
                        payment,
                    });
                }
                outcome
            }
            Step::Advise {
                payment,
                was_declined,
                is_final,
            } => {
                let of_advice =
                    |id, card, amount, name: &str| advice(id, card, amount, name).payment;
                let advise = Advise {
                    payment: request_of(of_advice, id, payment),
                    was_declined: *was_declined,
                    is_final: *is_final,
                    approval_code: None,
                };
                let root = root_of(payment.card);
                self.command(AccountId(root), Action::Advise(advise))
            }
            Step::Reverse {
                card,
                name,
                names,
                amount,
                stays,
            } => {
                let name_of_message = *name;
                let name = format!("{card}-{name}");
                let mut request = reversal(id, *card, usd(*amount), &name, "");
                request.original_keys = names.keys();
                request.is_marked_repeat = is_marked(name_of_message);
                request.stays = (*stays > 0).then(|| usd(*stays));
                self.command(AccountId(root_of(*card)), Action::Reverse(request))
            }
            Step::TopUp {
                id,
                account,
                amount,
            } => switch.top_up(*id, root_of_account(*account), *account, usd(*amount)),
            Step::Carry => return self.carry(),
            Step::CreditLine { account, line } => {
                let mut change = ChangeAccount::nothing(AccountId(*account));
                change.credit_line_minor = Some(*line);
                switch.change_account(root_of_account(*account), change)
            }
            Step::Transfer {
                id,
                from,
                to,
                amount,
            } => {
                let side = |account: u64| (account, root_of_account(account));
                switch.transfer(*id, side(*from), side(*to), usd(*amount))
            }
            Step::Status { card, change } => switch.change_status(root_of(*card), *card, *change),
            Step::AccountStatus { account, change } => {
                switch.change_account_status(root_of_account(*account), *account, *change)
            }
            Step::OpenToken { token, card } => return self.open_token(*token, *card),
            Step::ChangeToken { token, change } => return self.change_token(*token, *change),
            Step::Reissue { card, reason } => return self.reissue(*card, *reason),
            Step::Controls { card, choice } => {
                switch.change_controls(root_of(*card), *card, controls_of(*choice))
            }
        };
        assert_conversion(&outcome, step);
        self.refund_of = refund_of(&outcome);
        self.declined_by = match &outcome {
            Outcome::Event(Event::Authorized(authorized)) => {
                let decline = authorized.decision.decline();
                decline.and_then(|decline| decline.rule)
            }
            _ => None,
        };
        came_of(&outcome)
    }

    /// What must hold after every step, whatever came before it.
    pub fn assert_sound(&self, naive: &Naive) {
        let view = naive.view();
        let is_fee = self.switch.world.registry.view.programs[&PROGRAM].fees;
        let is_fee = is_fee.is_some();
        for tree in 1..=TREES {
            let state = self.switch.world.shard(AccountId(tree));
            for account in line_of(tree + 20) {
                let found = state.account(AccountId(account)).unwrap();
                assert_account(found, &view, is_fee);
                self.assert_counters(&view, account);
            }
        }
        for known in &view.known {
            let root = AccountId(root_of_account(known.account));
            let state = self.switch.world.shard(root);
            assert_authorization(state, known, view.at, is_fee);
        }
    }

    pub fn assert_counters(&self, view: &View, account: u64) {
        let root = root_of_account(account);
        let state = self.switch.world.shard(AccountId(root));
        let found = state.account(AccountId(account)).unwrap();
        let card = account * 100 + 1;
        let check = |owner, counters: &Counters, card, controls: Controls| {
            for limit in controls.limits {
                let found = match limit.window {
                    Window::Transaction => continue,
                    Window::Rolling(window) => counters.used_rolling(limit.id, window, view.at),
                    window => {
                        let end = window_end(window, "UTC", view.at).unwrap();
                        counters.used(limit.id, end)
                    }
                };
                let expected = view.used(owner, card, &limit);
                assert_eq!(found, expected, "{owner:?} {limit:?}");
            }
        };
        check(
            Owner::Account(account),
            &found.counters,
            card,
            account_controls(account),
        );
        let root = state.account(AccountId(root)).unwrap();
        check(
            Owner::Program,
            &root.program_counters,
            card,
            program_controls(),
        );
        if account < 10 {
            self.assert_link_counters(view, account);
        }
        for card in [card, card + 1] {
            let counters = &state.card(CardId(card)).unwrap().counters;
            check(Owner::Card, counters, card, view.controls(card));
        }
    }
}

impl Engine {
    /// A limit that was never used has no counters.
    fn assert_link_counters(&self, view: &View, tree: u64) {
        let state = self.switch.world.shard(AccountId(tree));
        for limit in link_controls(tree).limits {
            let key = (AccountId(tree), Scope::Link, limit.id);
            let counters = state.shared_counters.get(key);
            let found = counters.map_or((0, 0), |counters| match limit.window {
                Window::Rolling(window) => counters.used_rolling(limit.id, window, view.at),
                window => counters.used(limit.id, window_end(window, "UTC", view.at).unwrap()),
            });
            let card = tree * 100 + 1;
            assert_eq!(
                found,
                view.used(Owner::Link(tree), card, &limit),
                "{limit:?}"
            );
        }
    }
}

pub fn assert_account(found: &Account, view: &View, is_fee: bool) {
    let account = found.id.0;
    let charged = view.charged(account);
    assert_eq!(found.posted_minor, view.posted(account), "{account}");
    assert_eq!(found.held_minor, view.held(account), "{account}");
    assert_eq!(found.available_minor(), view.available(account));
    let kept = view.kept(account);
    let (fees, resellers) = (found.fees_minor, found.reseller_mark_up_minor);
    let (on_declines, resellers_on_declines) = view.fees(account);
    let sums = [
        found.mark_up_minor,
        found.rounding_minor,
        fees - on_declines,
        resellers - resellers_on_declines,
    ];
    assert_eq!(sums, kept.booked(is_fee), "{account}");
    let network = charged - kept.booked(is_fee).iter().sum::<i64>();
    assert_eq!(found.network_settlement_minor, network, "{account}");
    let in_transit = view.in_transit(account);
    assert_eq!(found.in_transit_minor, in_transit, "{account}");
    assert_eq!(-found.transfers_minor, view.moved(account), "{account}");
    let on_declines = on_declines + resellers_on_declines;
    let paid = charged + on_declines;
    let in_all = found.posted_minor + found.funds_received_minor + found.transfers_minor + paid;
    assert_eq!(in_all, 0, "the books of {account} do not add up");
    assert_eq!(found.open_holds as usize, view.open_holds(account));
}

fn is_approval(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Event(Event::Authorized(authorized)) if authorized.decision.decline().is_none())
}

/// A closed one may be forgotten after its day.
pub fn assert_authorization(state: &State, known: &Known, at: Timestamp, is_fee: bool) {
    let found = state.authorizations.get(id_of(known.place));
    let since = known.closed.map(|(since, _)| since);
    let Some(found) = found else {
        let is_old = since.is_some_and(|since| since.plus_ms(REVERSAL_MS) <= at);
        assert!(is_old, "authorization {} is forgotten", known.place);
        return;
    };
    assert_eq!(found.account_id.0, known.account, "{known:?}");
    let both = |both: &InBoth| (both.account_minor, both.transaction_minor);
    let held = (known.held.account, known.held.local);
    match known.payment.is_credit() {
        true => assert_eq!(found.held.account_minor, 0, "{known:?}"),
        false => assert_eq!(both(&found.held), held, "{known:?}"),
    }
    let posted = (known.posted.account, known.posted.local);
    assert_eq!(both(&found.posted), posted, "{known:?}");
    let kept = &found.kept;
    let (fees, resellers) = (kept.fee_minor, kept.reseller_mark_up_minor);
    let kept = [kept.mark_up_minor, kept.rounding_minor, fees, resellers];
    assert_eq!(kept, known.kept.booked(is_fee), "{known:?}");
    assert_eq!(found.closed.map(|closed| closed.at), since, "{known:?}");
    if known.is_open() {
        assert_eq!(found.expires_at, known.due, "{known:?}");
    }
    let posted = known.posted.account;
    assert_eq!(found.waiting.is_some(), known.waits, "{known:?}");
    let ended = Authorization::standing(found.closed.map(|closed| closed.by), posted);
    assert_eq!(ended, known.standing(None, posted), "{known:?}");
}

pub fn request_of(
    make: impl Fn(u64, u64, Money, &str) -> Authorize,
    id: u64,
    payment: &Payment,
) -> Authorize {
    // A single message and an authorization are of different classes: neither repeats the other.
    let class = if payment.posts { "posted " } else { "" };
    let name = format!("{class}{}-{}", payment.card, payment.name);
    let mut request = make(id, payment.card, usd(payment.amount), &name);
    request.amounts = abroad::amounts(payment.case, payment.amount);
    request.match_keys = payment.names.keys();
    request.original_keys = payment.of.keys();
    request.merchant.mcc = payment.mcc;
    set_place(&mut request, PLACES[usize::from(payment.place)]);
    request.kind = payment.kind;
    request.partial_approval_supported = payment.in_part;
    request.posts = payment.posts;
    request.is_marked_repeat = is_marked(payment.name);
    request.token = payment.token.in_engine();
    request.verification = payment.proof.in_engine();
    request
}

pub fn set_place(request: &mut Authorize, place: Place) {
    request.channel = place.channel;
    request.entry_mode = place.entry_mode;
    request.merchant.country = Country::from_alpha2(place.country).unwrap();
    request.merchant.id = ArrayString::from(place.merchant_id).unwrap();
    request.merchant.name = ArrayString::from(place.merchant_name).unwrap();
    request.reference.acquirer_id = ArrayString::from(place.acquirer_id).unwrap();
    let (authentication, cryptogram, exemption) = match place.said {
        Said::Nothing => Default::default(),
        Said::Authenticated => (
            Authentication::Authenticated,
            Cryptogram::Present,
            Exemption::None,
        ),
        Said::LowValue => (
            Authentication::NotAuthenticated,
            Cryptogram::Absent,
            Exemption::LowValue,
        ),
        Said::Failed => (
            Authentication::Failed,
            Cryptogram::Absent,
            Exemption::LowValue,
        ),
        Said::Wrong => (
            Authentication::Authenticated,
            Cryptogram::Invalid,
            Exemption::None,
        ),
    };
    request.initiated_by_merchant = place.said == Said::Wrong;
    request.three_ds = ThreeDs {
        eci: None,
        authentication,
        cryptogram,
        exemption,
    };
}

/// The place of the purchase that a payment is a refund of, where its account was looked at.
fn refund_of(outcome: &Outcome) -> Option<Option<usize>> {
    let (account, refund_of) = match outcome {
        Outcome::Event(Event::Authorized(authorized)) => {
            (authorized.account_id, authorized.refund_of)
        }
        Outcome::Event(Event::Advised(advised)) => (advised.account_id, advised.refund_of),
        _ => return None,
    };
    account.map(|_| refund_of.map(place_of))
}

/// Of what was carried out everything is kept of how its amount came about.
pub fn assert_conversion(outcome: &Outcome, step: &Step) {
    let (payment, conversion, part) = match (step, outcome) {
        (Step::Authorize(payment), Outcome::Event(Event::Authorized(authorized))) => {
            let part = match &authorized.decision {
                Decision::Declined(_) => return,
                Decision::Approved { .. } => None,
                Decision::PartiallyApproved { approved, .. } => Some(approved.amount_minor),
            };
            (payment, authorized.conversion.as_deref(), part)
        }
        (Step::Advise { payment, .. }, Outcome::Event(Event::Advised(advised))) => {
            match advised.outcome {
                AdviceOutcome::Recorded | AdviceOutcome::Duplicate => return,
                _ => (payment, advised.conversion.as_deref(), None),
            }
        }
        _ => return,
    };
    let (case, amount) = (payment.case, payment.amount);
    abroad::assert_kept(case, amount, part, payment.is_credit(), conversion);
}

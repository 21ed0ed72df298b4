//! Whatever is asked, sensible or not, `apply` can take what `decide` made of it, the books add up,
//! and a snapshot of the result can be read. What is decided is looked at elsewhere.

mod engine_support;

use cardswitch::engine::authorizations::{Authorization, Closed, ClosedBy, InBoth};
use cardswitch::engine::card_expiry::ExpireCard;
use cardswitch::engine::cardholders::Holder;
use cardswitch::engine::command::*;
use cardswitch::engine::controls::{Controls, Window};
use cardswitch::engine::event::{Answer, AnswerResult, ReversalResult};
use cardswitch::engine::facts::*;
use cardswitch::engine::fees::monthly::{ChargeMonthlyFee, Month};
use cardswitch::engine::fees::schedule::{FeeItem, FeeKind};
use cardswitch::engine::first_answer::{Asked, FirstAnswer};
use cardswitch::engine::hash::state_hash;
use cardswitch::engine::ids::*;
use cardswitch::engine::kinds::Direction;
use cardswitch::engine::money::{Currency, Money};
use cardswitch::engine::rates::{ExchangeRate, Rate};
use cardswitch::engine::reason::DeclineReason;
use cardswitch::engine::registry::{
    EngineSettings, RegistryAction, RegistryOutcome, SetExchangeRates,
};
use cardswitch::engine::reissue::{ReissueReason, RenewCard, ReplaceCard};
use cardswitch::engine::risk::rule::{RiskRule, RuleAction, RuleState};
use cardswitch::engine::rolling::RollingWindow;
use cardswitch::engine::shipping::{
    ChangeShipping, Parcel, ShippingAddress, ShippingOrder, ShippingStatus,
};
use cardswitch::engine::snapshot;
use cardswitch::engine::three_ds::{Exemption, ThreeDsMode, ThreeDsPolicy};
use cardswitch::engine::time::{Expiry, Timestamp};
use cardswitch::engine::time_windows::{Days, TimeWindow};
use cardswitch::engine::tokens::{ChangeTokenStatus, OpenToken, TokenChange, name_card};
use cardswitch::engine::top_ups::{EndTopUp, TopUpEnd};
use cardswitch::engine::touch::touch;
use cardswitch::engine::transfers::{EndTransfer, ReceiveTransfer, ReturnReason, Transfer};
use cardswitch::engine::verification_tries::ResetVerificationTries;
use cardswitch::engine::watch::{AutoTopUp, AutoTopUpRule, ChangeAccount, NoteLowBalance};
use engine_support::*;
use proptest::prelude::*;

fn any_amount() -> impl Strategy<Value = Money> {
    let edges = [
        0,
        1,
        -1,
        i64::MAX,
        i64::MIN,
        1_000_000_000_000_000,
        1_000_000_000_000_000_000,
    ];
    let amount = prop_oneof![
        proptest::sample::select(edges.to_vec()),
        1i64..5_000,
        any::<i64>()
    ];
    let currency = prop_oneof![6 => Just(USD), 1 => Just(Currency(978))];
    (amount, currency).prop_map(|(amount_minor, currency)| Money {
        amount_minor,
        currency,
    })
}

fn any_controls() -> impl Strategy<Value = Controls> {
    let rolling = prop_oneof![any::<u32>(), 60u32..100_000]
        .prop_map(|seconds| Window::Rolling(RollingWindow { seconds }));
    let window = prop_oneof![
        3 => (0..Window::NAMED.len()).prop_map(|place| Window::NAMED[place].0),
        2 => rolling,
    ];
    let amount = proptest::option::of(prop_oneof![0i64..9_000, any::<i64>()]);
    let count = proptest::option::of(prop_oneof![0u32..4, Just(u32::MAX)]);
    let zone = prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("No/Where")];
    let one =
        (0u64..4, window, amount, count, zone).prop_map(|(id, window, amount, count, zone)| {
            let mut one = limit(id, window, amount, count);
            one.time_zone = zone.into();
            one.refunds_restore = id % 2 == 0;
            one
        });
    let marks = (
        any::<bool>(),
        any::<bool>(),
        proptest::option::of(0u16..1_500),
    );
    (proptest::collection::vec(one, 0..4), marks).prop_map(|(all, (single, lock, to_minute))| {
        Controls {
            single_use: single && lock,
            merchant_lock: lock,
            three_ds: to_minute.map(|to_minute| ThreeDsPolicy {
                mode: ThreeDsMode::ALL[usize::from(to_minute % 3)].0,
                above_minor: lock.then_some(i64::from(to_minute)),
                accepted_exemptions: vec![Exemption::LowValue],
            }),
            time_windows: to_minute.map_or(vec![], |to_minute| {
                vec![TimeWindow {
                    id: ControlId(8),
                    days: Days::ALL,
                    from_minute: 60,
                    to_minute,
                    time_zone: "America/Havana".into(),
                }]
            }),
            ..limits(all)
        }
    })
}

/// Whatever can leave 64 bits, and whatever is kept of a card.
fn risk_rules(switch: &mut Switch) {
    let rules = [
        "-amount * 3 - transaction_amount > available + posted || held / (open_holds - 1) == 0",
        "approved_amount_last_day + approved_amount_last_hour + amount < 0 || declines_last_hour > 3",
        "seconds_since_last_approval * card_age_seconds > 5 && !first_use_of_merchant && first_use_of_mcc",
        "hour_utc in [0, 5] || weekday_utc == 'mon' || merchant_name.contains('STORE') && size(network) > 0",
    ];
    for (place, expression) in rules.into_iter().enumerate() {
        let rule = RiskRule {
            id: RiskRuleId(place as u64),
            program_id: PROGRAM,
            name: "rule".into(),
            expression: expression.into(),
            action: RuleAction::ALL[place % 3].0,
            state: RuleState::ALL[place % 2].0,
            version: 1,
            created_at: switch.at,
        };
        let outcome = switch.registry(RegistryAction::CreateRiskRule(Box::new(rule)));
        assert!(matches!(outcome, RegistryOutcome::Event(_)), "{outcome:?}");
    }
}

fn any_keys() -> impl Strategy<Value = (RepeatKey, MatchKeys)> {
    (0u128..6, any::<[u8; 4]>()).prop_map(|(repeat, names)| {
        let name = |place: usize| MatchKey(u64::from(names[place] % 6));
        let none = MatchKey::UNSTATED;
        let keys = MatchKeys {
            by_authority: [name(0), name(1), name(2), none, none],
            acquirer_id: u64::from(names[3] % 3),
            stan: u32::from(names[3] / 3 % 3),
        };
        (RepeatKey(repeat), keys)
    })
}

fn any_payment(kind: impl Strategy<Value = Kind>) -> impl Strategy<Value = Authorize> {
    let keys = (any_keys(), any_keys());
    (
        0u64..30,
        0u64..8,
        kind,
        any_amount(),
        proptest::option::of(any_amount()),
        keys,
        any::<bool>(),
    )
        .prop_map(|(id, card, kind, transaction, billing, keys, posts)| {
            let ((repeat_key, match_keys), (_, original_keys)) = keys;
            Authorize {
                authorization_id: AuthorizationId(id),
                card_id: CardId(card),
                kind,
                channel: Channel::ALL[id as usize % Channel::ALL.len()].0,
                partial_approval_supported: id % 2 == 0,
                amounts: Amounts {
                    transaction,
                    billing,
                },
                repeat_key,
                match_keys,
                original_keys,
                posts,
                token: match id % 4 {
                    0 => NamedToken::InPlaceOfCard(TokenId(id % 8)),
                    1 => NamedToken::BesideCard(TokenId(id % 8)),
                    2 => NamedToken::Unknown,
                    _ => NamedToken::Absent,
                },
                ..Authorize::default()
            }
        })
}

fn any_action() -> impl Strategy<Value = Action> {
    let kind = (0..Kind::ALL.len() * 3).prop_map(|place| {
        Kind::ALL
            .get(place)
            .map_or(Kind::Purchase, |(kind, _)| *kind)
    });
    let authorize = any_payment(kind.clone()).prop_map(Action::Authorize);
    let withhold = any_payment(kind.clone()).prop_map(|payment| {
        Action::Withhold(Box::new(Withhold {
            reversal_id: ReversalId(payment.authorization_id.0),
            payment,
        }))
    });
    let advise = (any_payment(kind), any::<[bool; 3]>()).prop_map(
        |(payment, [was_declined, is_final, own_code])| {
            Action::Advise(Advise {
                payment,
                was_declined: was_declined && is_final,
                is_final,
                approval_code: own_code
                    .then_some(cardswitch::engine::event::ApprovalCode(*b"ABC123")),
            })
        },
    );
    let reverse = (
        0u64..8,
        any_amount(),
        proptest::option::of(any_amount()),
        any_keys(),
    )
        .prop_map(|(card, amount, stays, (repeat_key, original_keys))| {
            Action::Reverse(Reverse {
                card_id: CardId(card),
                amount,
                repeat_key,
                original_keys,
                stays,
                ..Reverse::default()
            })
        });
    let open_account = (
        0u64..6,
        proptest::option::of(0u64..6),
        0u64..3,
        any_amount(),
        any_controls(),
    )
        .prop_map(|(id, parent, program, amount, controls)| {
            Action::OpenAccount(Box::new(OpenAccount {
                account_id: AccountId(id),
                parent_id: parent.map(AccountId),
                program_id: ProgramId(program),
                currency: amount.currency,
                name: None,
                controls,
            }))
        });
    let changes = [
        AccountStatusChange::Freeze,
        AccountStatusChange::Unfreeze,
        AccountStatusChange::Unfreeze,
        AccountStatusChange::Close,
    ];
    let account_status =
        (0u64..6, proptest::sample::select(changes.to_vec())).prop_map(|(account, change)| {
            Action::ChangeAccountStatus(ChangeAccountStatus {
                account_id: AccountId(account),
                change,
            })
        });
    let top_up = (0u64..40, 0u64..4, any_amount()).prop_map(|(id, account, amount)| {
        Action::TopUp(Box::new(TopUp {
            top_up_id: TopUpId(id),
            account_id: AccountId(account),
            amount,
            method: "internal".into(),
            external_reference: None,
            tenant: None,
        }))
    });
    let minor = || any_amount().prop_map(|money| money.amount_minor);
    let rule = (minor(), minor(), 0u16..200, proptest::option::of(0u64..4)).prop_map(
        |(below_minor, amount_minor, per_day_max, from)| AutoTopUpRule {
            below_minor,
            amount_minor,
            per_day_max,
            from_account_id: from.map(AccountId),
        },
    );
    let watched = (
        proptest::option::of(proptest::option::of(minor())),
        proptest::option::of(proptest::option::of(rule)),
    );
    let change_account = (
        0u64..4,
        proptest::option::of(minor()),
        watched,
        any_controls(),
    )
        .prop_map(|(id, credit_line_minor, (low, rule), controls)| {
            Action::ChangeAccount(Box::new(ChangeAccount {
                account_id: AccountId(id),
                name: Some("other".into()),
                controls: credit_line_minor.is_none().then_some(controls),
                credit_line_minor,
                low_below_minor: low,
                auto_top_up: rule,
            }))
        });
    let low = (0u64..4).prop_map(|id| {
        let account_id = AccountId(id);
        Action::NoteLowBalance(NoteLowBalance { account_id })
    });
    let auto = (0u64..4, 0u64..40).prop_map(|(id, transfer)| {
        Action::AutoTopUp(AutoTopUp {
            transfer_id: TransferId(transfer),
            account_id: AccountId(id),
        })
    });
    let announce = (0u64..40, 0u64..4, any_amount(), any::<bool>()).prop_map(
        |(id, account, amount, is_usdt)| {
            Action::AnnounceTopUp(Box::new(TopUp {
                top_up_id: TopUpId(id),
                account_id: AccountId(account),
                amount,
                method: if is_usdt { "usdt" } else { "sepa" }.into(),
                external_reference: None,
                tenant: (id % 3 > 0).then_some(ApiKeyId(id % 3)),
            }))
        },
    );
    let arrives = proptest::option::weighted(0.8, any_amount());
    let end_top_up = (0u64..40, 0u64..4, arrives).prop_map(|(id, account, arrived)| {
        let end = match arrived {
            Some(arrived) => TopUpEnd::Settled {
                arrived,
                received_on: None,
            },
            None => TopUpEnd::Failed {
                reason: "no".into(),
            },
        };
        Action::EndTopUp(Box::new(EndTopUp {
            top_up_id: TopUpId(id),
            account_id: AccountId(account),
            end,
            payment: None,
        }))
    });
    let transfer = || {
        let accounts = (0u64..4, 0u64..40, 0u64..4);
        (0u64..40, accounts, any_amount()).prop_map(|(id, (from, to, to_tree), amount)| Transfer {
            id: TransferId(id),
            from_account_id: AccountId(from),
            to_account_id: AccountId(to),
            to_root: AccountId(to_tree * 10),
            amount,
        })
    };
    let send = transfer().prop_map(|transfer| Action::Transfer(Box::new(transfer)));
    let receive = (transfer(), 0u64..4).prop_map(|(transfer, tree)| {
        Action::ReceiveTransfer(Box::new(ReceiveTransfer {
            transfer,
            from_root: AccountId(tree * 10),
        }))
    });
    let reason = proptest::sample::select(ReturnReason::ALL.to_vec());
    let end = (transfer(), proptest::option::of(reason)).prop_map(|(transfer, reason)| {
        Action::EndTransfer(Box::new(EndTransfer {
            transfer,
            returned: reason.map(|(reason, _)| reason),
        }))
    });
    let open_card = (0u64..8, 0u64..4, any::<u16>(), any_controls()).prop_map(
        |(id, account, expiry, controls)| {
            Action::OpenCard(Box::new(OpenCard {
                card_id: CardId(id),
                account_id: AccountId(account),
                card_type: if id % 3 == 0 {
                    CardType::Physical
                } else {
                    CardType::Virtual
                },
                first6: 411_111,
                last4: 1,
                expiry: Expiry(expiry),
                links: Default::default(),
                controls,
                wallet: (id % 2 == 0).then(|| {
                    let further = [AccountId(id % 5), AccountId(id % 3)];
                    Box::new(further.into_iter().collect())
                }),
                holder: None,
                paid_by: None,
                shipping: (id % 3 == 0).then(|| {
                    Box::new(ShippingOrder {
                        address: ShippingAddress {
                            name: "A".into(),
                            line1: "B".into(),
                            line2: None,
                            city: "C".into(),
                            region: None,
                            postal_code: "D".into(),
                            country: Country::default(),
                            phone: None,
                        },
                        method: "standard".into(),
                    })
                }),
                issued_at: Timestamp(i64::from(expiry)),
            }))
        },
    );
    let changes = [
        StatusChange::Activate,
        StatusChange::Freeze,
        StatusChange::Unfreeze,
        StatusChange::Block,
        StatusChange::Close,
    ];
    let status =
        (0u64..8, proptest::sample::select(changes.to_vec())).prop_map(|(card, change)| {
            Action::ChangeCardStatus(ChangeCardStatus {
                card_id: CardId(card),
                change,
            })
        });
    let change_controls = (0u64..8, any_controls()).prop_map(|(card, controls)| {
        Action::ChangeCardControls(Box::new(ChangeCardControls {
            card_id: CardId(card),
            controls,
        }))
    });
    let release = (0u64..20, any::<bool>()).prop_map(|(id, expired)| {
        Action::ReleaseHold(ReleaseHold {
            authorization_id: AuthorizationId(id),
            cause: match expired {
                true => ReleaseCause::Expired,
                false => ReleaseCause::Manual,
            },
        })
    });
    let says = prop_oneof![
        3 => Just(CustomerSays::Approve { amount_minor: None }),
        2 => any::<i64>().prop_map(|amount| CustomerSays::Approve { amount_minor: Some(amount) }),
        2 => (0i64..300).prop_map(|amount| CustomerSays::Approve { amount_minor: Some(amount) }),
        2 => Just(CustomerSays::Decline),
        1 => Just(CustomerSays::Nothing),
        1 => Just(CustomerSays::Nonsense),
        1 => Just(CustomerSays::Lost),
    ];
    let resolve = (0u64..20, says).prop_map(|(id, says)| {
        Action::Resolve(Resolve {
            authorization_id: AuthorizationId(id),
            says,
            call: CallOutcome::Answered,
            duration_ms: 1,
        })
    });
    let change_holder = (0u64..8, any::<bool>()).prop_map(|(card, verified)| {
        Action::ChangeCardHolder(ChangeCardHolder {
            card_id: CardId(card),
            holder: Holder {
                id: CardholderId(1),
                home_country: Country(*b"DE"),
                verified,
            },
            is_set: verified,
        })
    });
    let reasons: Vec<_> = ReissueReason::NAMED
        .iter()
        .map(|(reason, _)| *reason)
        .collect();
    let reason = proptest::sample::select(reasons);
    let replace =
        (0u64..8, 0u64..8, reason, any::<u16>()).prop_map(|(card, replaces, reason, expiry)| {
            Action::ReplaceCard(Box::new(ReplaceCard {
                card_id: CardId(card),
                replaces: CardId(replaces),
                reason,
                first6: 411_111,
                last4: 2,
                expiry: Expiry(expiry),
                holder: None,
                shipping: None,
                issued_at: Timestamp(i64::from(expiry)),
            }))
        });
    let renew = (0u64..8, any::<u16>()).prop_map(|(card, expiry)| {
        Action::RenewCard(RenewCard {
            card_id: CardId(card),
            expiry: Expiry(expiry),
        })
    });
    let month = (0u64..8, 320u16..326).prop_map(|(card, month)| {
        Action::ChargeMonthlyFee(ChargeMonthlyFee {
            card_id: CardId(card),
            month: Month(month),
        })
    });
    let expire = (0u64..8, 300u16..330).prop_map(|(card, expiry)| {
        Action::ExpireCard(ExpireCard {
            card_id: CardId(card),
            expiry: Expiry(expiry),
        })
    });
    let reset = (0u64..8).prop_map(|card| {
        Action::ResetVerificationTries(ResetVerificationTries {
            card_id: CardId(card),
        })
    });
    let open_token = (0u64..8, 0u64..8, 0u16..400).prop_map(|(id, card, expiry)| {
        Action::OpenToken(Box::new(OpenToken {
            token_id: TokenId(id),
            card_id: CardId(card),
            first6: 411_111,
            last4: id as u16,
            expiry: Some(Expiry(expiry)).filter(|_| id % 2 == 0),
            wallet: "apple_pay".into(),
            device: None,
        }))
    });
    let changes = [
        TokenChange::Activate,
        TokenChange::Suspend,
        TokenChange::Resume,
        TokenChange::Delete,
    ];
    let statuses = proptest::sample::select(ShippingStatus::NAMED.to_vec());
    let ship = (0u64..8, statuses).prop_map(|(card, (to, _))| {
        Action::ChangeShipping(Box::new(ChangeShipping {
            card_id: CardId(card),
            to,
            parcel: Parcel::default(),
        }))
    });
    let token_status = (0u64..8, 0usize..4).prop_map(move |(id, change)| {
        Action::ChangeTokenStatus(ChangeTokenStatus {
            token_id: TokenId(id),
            change: changes[change],
        })
    });
    prop_oneof![
        2 => replace, 1 => renew, 1 => month, 1 => expire, 1 => reset,
        3 => any_recall(),
        3 => change_account, 2 => low, 2 => auto, 2 => announce, 2 => end_top_up, 4 => send, 3 => receive, 2 => end,
        1 => change_holder, 8 => resolve, 4 => withhold, 3 => release, 12 => authorize, 6 => advise, 5 => reverse, 4 => open_account, 6 => top_up, 4 => open_card,
        1 => status, 1 => account_status, 2 => change_controls, 2 => open_token, 2 => token_status, 2 => ship
    ]
}

/// Ids are given out once for all trees and keys of messages differ by card, so objects come into
/// being under ids of their tree. Messages may stray into another tree than their card's.
fn in_tree(action: Action, tree: u64, stray: bool) -> Action {
    let named = |id: u64| (if stray { tree + 1 } else { tree }) * 10 + id;
    let account = |id: AccountId| AccountId(named(id.0));
    let card = |id: CardId| CardId(named(id.0));
    let key = |key: RepeatKey| RepeatKey(u128::from(tree) * 10 + key.0);
    let move_payment = |payment: &mut Authorize| {
        payment.card_id = card(payment.card_id);
        payment.authorization_id.0 += tree * 100;
        if let NamedToken::InPlaceOfCard(id) | NamedToken::BesideCard(id) = &mut payment.token {
            *id = TokenId(named(id.0));
        }
        payment.repeat_key = key(payment.repeat_key);
    };
    match action {
        Action::OpenToken(mut of) => {
            of.token_id.0 += tree * 10;
            of.card_id = card(of.card_id);
            Action::OpenToken(of)
        }
        Action::ResetVerificationTries(mut of) => {
            of.card_id = card(of.card_id);
            Action::ResetVerificationTries(of)
        }
        Action::ExpireCard(mut of) => {
            of.card_id = card(of.card_id);
            Action::ExpireCard(of)
        }
        Action::ChangeShipping(mut of) => {
            of.card_id = card(of.card_id);
            Action::ChangeShipping(of)
        }
        Action::ChangeTokenStatus(mut of) => {
            of.token_id = TokenId(named(of.token_id.0));
            Action::ChangeTokenStatus(of)
        }
        Action::ChangeCardHolder(mut of) => {
            of.card_id = card(of.card_id);
            Action::ChangeCardHolder(of)
        }
        Action::Authorize(mut of) => {
            move_payment(&mut of);
            Action::Authorize(of)
        }
        Action::Advise(mut of) => {
            move_payment(&mut of.payment);
            Action::Advise(of)
        }
        Action::Resolve(mut of) => {
            of.authorization_id.0 += tree * 100;
            Action::Resolve(of)
        }
        Action::Withhold(mut of) => {
            move_payment(&mut of.payment);
            Action::Withhold(of)
        }
        Action::Reverse(mut of) => {
            of.card_id = card(of.card_id);
            of.repeat_key = key(of.repeat_key);
            Action::Reverse(of)
        }
        Action::OpenAccount(mut of) => {
            of.account_id.0 += tree * 10;
            of.parent_id = of.parent_id.map(account);
            Action::OpenAccount(of)
        }
        Action::ChangeAccountStatus(mut of) => {
            of.account_id = account(of.account_id);
            Action::ChangeAccountStatus(of)
        }
        Action::TopUp(mut of) => {
            of.account_id = account(of.account_id);
            of.top_up_id.0 += of.account_id.0 * 100;
            Action::TopUp(of)
        }
        Action::ChangeAccount(mut of) => {
            of.account_id = account(of.account_id);
            if let Some(Some(rule)) = &mut of.auto_top_up {
                rule.from_account_id = rule.from_account_id.map(account);
            }
            Action::ChangeAccount(of)
        }
        Action::NoteLowBalance(mut of) => {
            of.account_id = account(of.account_id);
            Action::NoteLowBalance(of)
        }
        Action::AutoTopUp(mut of) => {
            of.account_id = account(of.account_id);
            of.transfer_id.0 += 100_000;
            Action::AutoTopUp(of)
        }
        Action::AnnounceTopUp(mut of) => {
            of.account_id = account(of.account_id);
            of.top_up_id.0 += of.account_id.0 * 100;
            Action::AnnounceTopUp(of)
        }
        Action::EndTopUp(mut of) => {
            of.account_id = account(of.account_id);
            of.top_up_id.0 += of.account_id.0 * 100;
            Action::EndTopUp(of)
        }
        Action::Transfer(mut of) => {
            let from = of.from_account_id;
            of.id.0 += tree * 100;
            of.from_account_id = account(from);
            Action::Transfer(of)
        }
        Action::ReceiveTransfer(mut of) => {
            of.transfer.id.0 += tree * 100;
            of.transfer.to_account_id = account(of.transfer.to_account_id);
            Action::ReceiveTransfer(of)
        }
        Action::EndTransfer(mut of) => {
            of.transfer.id.0 += tree * 100;
            Action::EndTransfer(of)
        }
        Action::OpenCard(mut of) => {
            for further in of.wallet.iter_mut().flat_map(|wallet| wallet.iter_mut()) {
                *further = account(*further);
            }
            of.card_id.0 += tree * 10;
            of.account_id = account(of.account_id);
            Action::OpenCard(of)
        }
        Action::ChangeCardStatus(mut of) => {
            of.card_id = card(of.card_id);
            Action::ChangeCardStatus(of)
        }
        Action::ReplaceCard(mut of) => {
            of.card_id.0 += tree * 10;
            of.replaces = card(of.replaces);
            Action::ReplaceCard(of)
        }
        Action::RenewCard(mut of) => {
            of.card_id = card(of.card_id);
            Action::RenewCard(of)
        }
        Action::ChargeMonthlyFee(mut of) => {
            of.card_id = card(of.card_id);
            Action::ChargeMonthlyFee(of)
        }
        Action::ChangeCardControls(mut of) => {
            of.card_id = card(of.card_id);
            Action::ChangeCardControls(of)
        }
        Action::ReleaseHold(mut of) => {
            of.authorization_id.0 += tree * 100;
            Action::ReleaseHold(of)
        }
        Action::Recall(mut of) => {
            for known in &mut of.authorizations {
                known.id.0 += tree * 100;
                known.card_id = card(known.card_id);
                known.account_id = account(known.account_id);
            }
            if let Some((repeat_key, first)) = &mut of.first_answer {
                *repeat_key = key(*repeat_key);
                first.root = AccountId(tree * 10);
            }
            Action::Recall(of)
        }
    }
}

/// Of what was forgotten, of what is known, and of what never was.
fn any_recall() -> impl Strategy<Value = Action> {
    let ends_of_range = vec![1_000_000_000_000_000_000, -1_000_000_000_000_000_000];
    let amount = || {
        let far = proptest::sample::select(ends_of_range.clone());
        prop_oneof![Just(0i64), -2_000i64..2_000, far]
    };
    let ends = [
        None,
        Some(ClosedBy::Release),
        Some(ClosedBy::Completion),
        Some(ClosedBy::Reversal),
    ];
    let authorization = (
        (0u64..20, 0u64..8, 0u64..4, any_keys()),
        (
            amount(),
            amount(),
            prop_oneof![9 => Just(0i64), 1 => any::<i64>()],
        ),
        proptest::sample::select(ends.to_vec()),
        any::<bool>(),
    );
    let known = authorization.prop_map(
        |((id, card, account, (_, match_keys)), (posted, opened, held), end, is_credit)| {
            let both = |minor| InBoth {
                account_minor: minor,
                transaction_minor: minor,
            };
            Authorization {
                gave_back: Box::default(),
                is_amended: false,
                id: AuthorizationId(id),
                card_id: CardId(card),
                account_id: AccountId(account),
                direction: if is_credit {
                    Direction::Credit
                } else {
                    Direction::Debit
                },
                held: both(held),
                posted: both(posted),
                kept: Default::default(),
                placed_at: Timestamp(1),
                expires_at: Timestamp(2),
                approval_code: Default::default(),
                match_keys,
                uses: Default::default(),
                is_authenticated: false,
                parts: Box::default(),
                closed: end.map(|by| Closed {
                    at: Timestamp(3),
                    by,
                }),
                opened: both(opened),
                posted_at_once: false,
                currency: USD,
                answered: None,
                recalled_at: None,
                changes: 0,
                stood_in_by: None,
                lock: 0,
                waiting: None,
            }
        },
    );
    let answer = (0u64..8, any::<bool>()).prop_map(|(id, of_reversal)| {
        let first = FirstAnswer {
            root: AccountId(0),
            asked: Asked::of_reversal(&Reverse::default()),
            answer: match of_reversal {
                true => Answer::Reversal {
                    reversal_id: ReversalId(id),
                    result: ReversalResult::Accepted,
                },
                false => Answer::Authorization {
                    authorization_id: AuthorizationId(id),
                    result: AnswerResult::Declined(DeclineReason::InsufficientFunds),
                },
            },
            is_with_authorization: false,
        };
        (RepeatKey(u128::from(id)), first)
    });
    let known = proptest::collection::vec(known, 0..3);
    (known, proptest::option::of(answer)).prop_map(|(authorizations, first_answer)| {
        Action::Recall(Box::new(Recall {
            authorizations,
            first_answer,
        }))
    })
}

/// Of euros, or the other way round, whatever its digits: a command may come from another version.
fn any_rate() -> impl Strategy<Value = ExchangeRate> {
    let digits = prop_oneof![0u64..3, 1u64..1_000_000, any::<u64>()];
    let scale = prop_oneof![0u8..10, any::<u8>()];
    (digits, scale, any::<bool>()).prop_map(|(digits, scale, inverse)| {
        let (from, to) = match inverse {
            false => (Currency(978), USD),
            true => (USD, Currency(978)),
        };
        let rate = Rate { digits, scale };
        ExchangeRate { from, to, rate }
    })
}

/// Some of all kinds, from nothing to more than anybody has.
fn any_fees() -> impl Strategy<Value = Vec<FeeItem>> {
    let amount = || prop_oneof![2 => 0i64..300, 1 => Just(1_000_000_000_000)];
    let item = move |(kind, _): (FeeKind, &str)| {
        let parts = (amount(), amount(), 0u16..=5_000, 0u16..=5_000);
        let item =
            parts.prop_map(
                move |(amount_minor, more_minor, part, more)| match kind.has_basis() {
                    true => share(kind, part, more),
                    false => fee(kind, amount_minor, more_minor),
                },
            );
        proptest::option::of(item)
    };
    let all: Vec<_> = FeeKind::ALL.iter().copied().map(item).collect();
    all.prop_map(|items| items.into_iter().flatten().collect())
}

fn any_settings() -> impl Strategy<Value = EngineSettings> {
    let retention = || prop_oneof![any::<i64>(), 0i64..100_000, Just(i64::MAX)];
    (
        [
            retention(),
            retention(),
            retention(),
            retention(),
            retention(),
        ],
        0u32..9,
        0u64..9,
    )
        .prop_map(|(retentions, account, shard)| {
            let [first, reversal, closed, idempotency, hold] = retentions;
            EngineSettings {
                first_answer_retention_ms: first,
                reversal_retention_ms: reversal,
                closed_retention_ms: closed,
                idempotency_retention_ms: idempotency,
                hold_expiry_ms: hold,
                open_holds_per_account_max: account,
                open_holds_per_shard_max: shard,
                // Which are the oldest of a shard depends on how many shards there are.
                closed_per_shard_max: u64::MAX,
                ..EngineSettings::default()
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_asked_breaks_the_state(
        first_at in prop_oneof![Just(0i64), 0i64..4_000_000_000_000, any::<i64>()],
        settings in proptest::option::of(any_settings()),
        rate in proptest::option::of(any_rate()),
        asks in proptest::option::of(prop_oneof![Just(None), (0i64..300).prop_map(Some)]),
        mark_up in 0u16..=10_000,
        items in proptest::option::of(any_fees()),
        asked in proptest::collection::vec(
            (0u64..4, 0u8..12, 0i64..90_000_000, any_action()), 1..150
        ),
    ) {
        let controls = limits([limit(2, Window::Day, Some(50_000), None)]);
        let mut switch = match items {
            None => Switch::with_program_and_mark_up(2, controls, mark_up),
            Some(items) => Switch::with_fees(2, controls, items),
        };
        risk_rules(&mut switch);
        switch.at = Timestamp(first_at);
        if let Some(settings) = settings {
            switch.registry(RegistryAction::ChangeSettings(Box::new(settings)));
        }
        if let Some(approve_up_to) = asks {
            switch.ask_customers(2_000, approve_up_to);
        }
        if let Some(rate) = rate {
            let set = SetExchangeRates { source: "any".into(), rates: vec![rate] };
            switch.registry(RegistryAction::SetExchangeRates(Box::new(set)));
        }
        for (tree, stray, wait_ms, action) in asked {
            switch.at = switch.at.plus_ms(wait_ms);
            let root = AccountId(tree * 10);
            let action = in_tree(action, tree, stray == 0);
            let mut command = Command { root, at: switch.at, action };
            name_card(switch.world.shard(root), &mut command);
            touch(switch.world.shard(root), &command);
            switch.command(root, command.action);
        }
        for state in &switch.world.shards {
            for account in state.accounts.iter() {
                let contra = account.funds_received_minor
                    + account.network_settlement_minor
                    + account.rounding_minor
                    + account.mark_up_minor
                    + account.transfers_minor
                    + account.fees_minor
                    + account.reseller_mark_up_minor;
                prop_assert_eq!(account.posted_minor + contra, 0);
                let own = state.authorizations.iter().filter(|known| known.account_id == account.id);
                prop_assert_eq!(own.map(|known| known.held.account_minor).sum::<i64>(), account.held_minor);
            }
        }
        let mut bytes = Vec::new();
        snapshot::write(&switch.world, &mut bytes).unwrap();
        let restored = snapshot::read(&mut &bytes[..], 3).unwrap();
        prop_assert_eq!(state_hash(&restored), state_hash(&switch.world));
    }

    #[test]
    fn any_bytes_are_a_snapshot_or_an_error(bytes: Vec<u8>, cut in 0usize..4_000, flip in 0usize..4_000) {
        let _ = snapshot::read(&mut &bytes[..], 1);
        let mut switch = Switch::new(1);
        switch.open_account(1, limits([limit(1, Window::Day, Some(5), None)]));
        switch.top_up(1, 1, 1, usd(100));
        switch.open_card(NewCard::of(1, 1, 1));
        switch.command(AccountId(1), Action::Authorize(purchase(1, 1, usd(5), "a")));
        let mut bytes = Vec::new();
        snapshot::write(&switch.world, &mut bytes).unwrap();
        prop_assert!(snapshot::read(&mut &bytes[..cut.min(bytes.len() - 1)], 1).is_err());
        let place = flip % bytes.len();
        bytes[place] ^= 0x55;
        let _ = snapshot::read(&mut &bytes[..], 1);
    }
}

#[test]
fn a_snapshot_of_another_layout_is_refused_with_a_way_out() {
    let mut bytes = Vec::new();
    snapshot::write(&Switch::new(1).world, &mut bytes).unwrap();
    // Length, the header's number, and then its layout.
    bytes[5] = 99;
    let error = snapshot::read(&mut &bytes[..], 1).unwrap_err().to_string();
    assert!(
        error.contains("layout 99") && error.contains("remove it"),
        "{error}"
    );
}

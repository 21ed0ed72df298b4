//! Every filter of every list, alone and with every other one: what it finds is what it names, and no statement that it
//! comes to looks at many rows in vain. A filter that is added and is not here fails; so does one without an index.

use crate::fixture::{Fixture, assert_same, expected_dump, project};
use crate::history::History;
use crate::on_both;
use crate::projecting::{expected_rows, history};
use cardswitch::engine::api_keys::{BoundLink, Bounds};
use cardswitch::engine::command::CardType;
use cardswitch::engine::event::RuleId;
use cardswitch::engine::ids::{AccountId, AuthorizationId, CardId, ExceptionId, ProgramId};
use cardswitch::engine::shipping::ShippingStatus;
use cardswitch::engine::tokens::TokenStatus;
use cardswitch::engine::trace::{Detail, TraceStep};
use cardswitch::store::Store;
use cardswitch::store::card_status::{StatusAt, ToldStatus};
use cardswitch::store::deliveries::{DeliveryFilter, DeliveryOutcome};
use cardswitch::store::events::EventFilter;
use cardswitch::store::filters::AmountFilter;
use cardswitch::store::from_cardholder::CardholderRow;
use cardswitch::store::query::{AccountFilter, CardFilter};
use cardswitch::store::query_audit::AuditFilter;
use cardswitch::store::query_cardholders::CardholderFilter;
use cardswitch::store::query_fees::FeeFilter;
use cardswitch::store::query_ledger::{EntryCursor, LedgerFilter};
use cardswitch::store::query_money::{TopUpFilter, TransferFilter};
use cardswitch::store::query_payments::{AuthorizationFilter, TransactionFilter};
use cardswitch::store::query_tokens::TokenFilter;
use cardswitch::store::rows::{
    AuthorizationRow, CardLinkRow, CardRow, FeeRow, LedgerEntryRow, TokenRow, TransactionRow,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

on_both! {
    filters_of_payments_find_what_they_name_alone_and_in_pairs,
    filters_of_fees_and_tokens_find_what_they_name_alone_and_in_pairs,
    filters_of_own_money_find_what_is_of_its_card,
    filters_of_ledger_entries_find_what_they_name_alone_and_in_pairs,
    filters_of_cardholders_find_them_as_they_are_now,
    no_filter_looks_at_many_rows_in_vain,
}

/// What rows are held against.
struct Known {
    authorizations: BTreeMap<AuthorizationId, AuthorizationRow>,
    transactions: Vec<TransactionRow>,
    links: Vec<CardLinkRow>,
    cards: Vec<CardRow>,
    bounds: Bounds,
    parents: BTreeMap<AccountId, Option<AccountId>>,
    programs: BTreeMap<AccountId, ProgramId>,
}

impl Known {
    async fn of(fixture: &Fixture, store: &Store, history: &History) -> Known {
        let holder =
            "UPDATE cards SET cardholder_id = 'holder_0000000000007' WHERE card_type = 'physical'";
        fixture.sql(holder).await;
        let accounts = store.accounts(&AccountFilter::default(), None, 1000).await;
        let accounts = accounts.unwrap().data;
        let parents = accounts
            .iter()
            .map(|account| (account.id, account.parent_id))
            .collect();
        let programs = accounts
            .iter()
            .map(|account| (account.id, account.program_id));
        let programs = programs.collect();
        let ids: Vec<CardId> = history.cards.iter().map(|(id, _)| *id).collect();
        let cards = store.cards(&CardFilter::default(), None, 1000).await;
        let link = BoundLink {
            link_type: "project".into(),
            id: "project1".into(),
        };
        let all = TransactionFilter::default();
        let transactions = store.transactions(&all, None, 1000).await.unwrap().data;
        let authorizations = expected_rows(history).into_iter();
        Known {
            authorizations: authorizations.map(|row| (row.id, row)).collect(),
            transactions,
            programs,
            parents,
            links: store.card_links(&ids).await.unwrap(),
            cards: cards.unwrap().data,
            bounds: Bounds {
                program_ids: Box::default(),
                account_ids: Box::new([history.accounts[0].0]),
                links: Box::new([link]),
            },
        }
    }

    fn is_linked(&self, card_id: CardId, link_type: Option<&str>, id: Option<&str>) -> bool {
        self.links.iter().any(|link| {
            link.card_id == card_id
                && link_type.is_none_or(|link_type| link.link_type == link_type)
                && id.is_none_or(|id| link.link_id == id)
        })
    }

    /// The cards that replaced one another, of which this is one.
    fn chain(&self, id: CardId) -> Vec<CardId> {
        let mut first = id;
        while let Some(before) = self.card(first).and_then(|card| card.replacement_for) {
            first = before;
        }
        let mut chain = vec![first];
        let next = |id| {
            self.cards
                .iter()
                .find(|card| card.replacement_for == Some(id))
        };
        while let Some(card) = chain.last().and_then(|last| next(*last)) {
            chain.push(card.id);
        }
        chain
    }

    /// A card that another one replaced, where the history has one: a look for its chain is the same for any.
    fn replaced(&self) -> CardId {
        let mut of_reissues = self.cards.iter().filter_map(|card| card.replacement_for);
        of_reissues.next().unwrap_or(self.cards[0].id)
    }

    fn posted(&self, id: &str) -> Option<&TransactionRow> {
        let mut posted = self.transactions.iter();
        posted.find(|row| row.id.to_string() == id)
    }

    fn authorization(&self, id: AuthorizationId) -> &AuthorizationRow {
        &self.authorizations[&id]
    }

    fn card(&self, id: CardId) -> Option<&CardRow> {
        self.cards.iter().find(|card| card.id == id)
    }

    fn covers(&self, bounds: &Bounds, card_id: CardId) -> bool {
        let mut at = self.card(card_id).map(|card| card.account_id);
        while let Some(id) = at.filter(|id| !bounds.account_ids.contains(id)) {
            at = self.parents[&id];
        }
        at.is_some() && self.is_linked(card_id, Some("project"), Some("project1"))
    }
}

/// One filter set as this row fits it.
macro_rules! of_payment {
    ($filter:ident, $name:ident, $row:ident, $known:ident, { $($own:pat => $set:expr,)* }) => {
        match $name {
            $($own => $set,)*
            "card_id" => $filter.card_id = Some($row.card_id),
            "card_chain_id" => $filter.card_chain_id = Some($row.card_id),
            "program_id" => $filter.program_id = $row.program_id,
            "cardholder_id" => {
                let held = $known.cards.iter().find_map(|card| card.cardholder_id);
                $filter.cardholder_id = held;
            }
            "kind" => $filter.kind = Some($row.kind),
            "merchant_id" => $filter.merchant_id = Some($row.merchant_id.to_string()),
            "merchant_name" => $filter.merchant_name = Some($row.merchant_name[..3].to_owned()),
            "mcc" => $filter.mcc = Some($row.mcc),
            "merchant_country" => $filter.merchant_country = Some($row.merchant_country),
            "stan" => $filter.stan = Some($row.stan),
            "rrn" => $filter.rrn = Some($row.rrn.to_string()),
            "currency" => $filter.currency = Some($row.currency),
            "amount_from" => {
                $filter.currency = Some($row.currency);
                $filter.amount_from = Some($row.amount_minor);
            }
            "amount_until" => {
                $filter.currency = Some($row.currency);
                $filter.amount_until = Some($row.amount_minor + 1);
            }
            "created_from" => $filter.created_from = Some($row.created_at_ms),
            "created_until" => $filter.created_until = Some($row.created_at_ms.plus_ms(1)),
            "link_type" => $filter.link_type = Some("user".to_owned()),
            "link_id" => {
                $filter.link_type = Some("project".to_owned());
                $filter.link_id = Some("project1".to_owned());
            }
            "bounds" => $filter.bounds = Some($known.bounds.clone()),
            unknown => panic!("{unknown} is a filter that no test knows"),
        }
    };
}

macro_rules! fits_payment {
    ($filter:ident, $row:ident, $known:ident) => {{
        let merchant_name = $filter.merchant_name.as_deref();
        $filter.card_id.is_none_or(|id| $row.card_id == id)
            && $filter
                .card_chain_id
                .is_none_or(|id| $known.chain(id).contains(&$row.card_id))
            && $filter
                .program_id
                .is_none_or(|id| $row.program_id == Some(id))
            && $filter.cardholder_id.is_none_or(|id| {
                let card = $known.card($row.card_id);
                card.is_some_and(|card| card.cardholder_id == Some(id))
            })
            && $filter.kind.is_none_or(|kind| $row.kind == kind)
            && $filter
                .merchant_id
                .as_deref()
                .is_none_or(|id| *$row.merchant_id == *id)
            && merchant_name.is_none_or(|name| $row.merchant_name.starts_with(name))
            && $filter.mcc.is_none_or(|mcc| $row.mcc == mcc)
            && $filter
                .merchant_country
                .is_none_or(|country| $row.merchant_country == country)
            && $filter.stan.is_none_or(|stan| $row.stan == stan)
            && $filter.rrn.as_deref().is_none_or(|rrn| *$row.rrn == *rrn)
            && $filter
                .currency
                .is_none_or(|currency| $row.currency == currency)
            && $filter
                .amount_from
                .is_none_or(|from| $row.amount_minor >= from)
            && $filter
                .amount_until
                .is_none_or(|until| $row.amount_minor < until)
            && $filter
                .created_from
                .is_none_or(|from| $row.created_at_ms >= from)
            && $filter
                .created_until
                .is_none_or(|until| $row.created_at_ms < until)
            && ($filter.link_type.is_none()
                || $known.is_linked(
                    $row.card_id,
                    $filter.link_type.as_deref(),
                    $filter.link_id.as_deref(),
                ))
            && $filter
                .bounds
                .as_ref()
                .is_none_or(|bounds| $known.covers(bounds, $row.card_id))
    }};
}

fn set_authorization(
    filter: &mut AuthorizationFilter,
    name: &str,
    row: &AuthorizationRow,
    known: &Known,
) {
    of_payment!(filter, name, row, known, {
        "account_id" => filter.account_id = row.account_id,
        "original_authorization_id" => filter.original_authorization_id = row.original_authorization_id,
        "token_id" => filter.token_id = row.token_id,
        "transaction_id" => {
            let of_row = known.transactions.iter().find(|posted| posted.authorization_id == row.id);
            filter.transaction_id = of_row.map(|posted| posted.id);
        },
        "rule_id" => filter.rule_id = rule_of(row),
        "exception_id" => filter.exception_id = exceptions_of(row).first().copied(),
        "status" => filter.status = Some(row.status),
        "result" => filter.result = Some(row.result),
        "reason" => filter.reason = row.reason,
        "step" => filter.step = row.step,
        "message" => filter.message = Some(row.message),
        "approval_code" => {
            filter.approval_code = row.approval_code.map(|code| code.as_str().to_owned());
        },
    });
}

fn fits_authorization(filter: &AuthorizationFilter, row: &AuthorizationRow, known: &Known) -> bool {
    let approval_code = filter.approval_code.as_deref();
    fits_payment!(filter, row, known)
        && (filter.account_id.is_none() || row.account_id == filter.account_id)
        && (filter.original_authorization_id.is_none()
            || row.original_authorization_id == filter.original_authorization_id)
        && (filter.token_id.is_none() || row.token_id == filter.token_id)
        && filter.transaction_id.is_none_or(|id| {
            let posted = known.transactions.iter().find(|posted| posted.id == id);
            posted.is_some_and(|posted| posted.authorization_id == row.id)
        })
        && (filter.rule_id.is_none() || rule_of(row) == filter.rule_id)
        && filter
            .exception_id
            .is_none_or(|id| exceptions_of(row).contains(&id))
        && filter.status.is_none_or(|status| row.status == status)
        && filter.result.is_none_or(|result| row.result == result)
        && (filter.reason.is_none() || row.reason == filter.reason)
        && (filter.step.is_none() || row.step == filter.step)
        && filter.message.is_none_or(|message| row.message == message)
        && approval_code.is_none_or(|code| row.approval_code.is_some_and(|c| c.as_str() == code))
}

fn rule_of(row: &AuthorizationRow) -> Option<String> {
    row.rule_id.map(|rule| match rule {
        RuleId::Limit(id) => id.to_string(),
        RuleId::Control(id) => id.to_string(),
        RuleId::RiskRule(id) => id.to_string(),
    })
}

fn exceptions_of(row: &AuthorizationRow) -> Vec<ExceptionId> {
    let of_step = |step: TraceStep| match step.detail {
        Detail::Exception { exception_id } => Some(exception_id),
        _ => None,
    };
    row.trace.steps().filter_map(of_step).collect()
}

fn set_transaction(
    filter: &mut TransactionFilter,
    name: &str,
    row: &TransactionRow,
    known: &Known,
) {
    of_payment!(filter, name, row, known, {
        "account_id" => filter.account_id = Some(row.account_id),
        "authorization_id" => filter.authorization_id = Some(row.authorization_id),
        "token_id" => filter.token_id = known.authorization(row.authorization_id).token_id,
        "approval_code" => {
            let code = known.authorization(row.authorization_id).approval_code;
            filter.approval_code = code.map(|code| code.as_str().to_owned());
        },
        "transaction_type" => filter.transaction_type = Some(row.transaction_type),
    });
}

fn fits_transaction(filter: &TransactionFilter, row: &TransactionRow, known: &Known) -> bool {
    fits_payment!(filter, row, known)
        && filter.account_id.is_none_or(|id| row.account_id == id)
        && filter
            .authorization_id
            .is_none_or(|id| row.authorization_id == id)
        && (filter.token_id.is_none()
            || known.authorization(row.authorization_id).token_id == filter.token_id)
        && filter.approval_code.as_deref().is_none_or(|code| {
            let of_row = known.authorization(row.authorization_id).approval_code;
            of_row.is_some_and(|of_row| of_row.as_str() == code)
        })
        && filter
            .transaction_type
            .is_none_or(|kind| row.transaction_type == kind)
}

async fn filters_of_payments_find_what_they_name_alone_and_in_pairs(fixture: Fixture) {
    let mut history = history(22, 600);
    history.lift_gambling();
    (0..120).for_each(|_| history.token());
    let store = fixture.store().await;
    project(&store, &history.records, 200).await;
    let known = Known::of(&fixture, &store, &history).await;
    assert!(known.cards.iter().any(|card| card.cardholder_id.is_some()));
    let mut rows = expected_rows(&history);
    rows.reverse();
    // A row that has everything that this filter names, and of whose kind there are not too many.
    let sample = |name: &str| {
        let found = rows.iter().rev().find(|row| {
            row.account_id.is_some()
                && match name {
                    "original_authorization_id" => row.original_authorization_id.is_some(),
                    "token_id" => row.token_id.is_some(),
                    "transaction_id" => row.posted_minor != 0 && row.sequence > 300,
                    "rule_id" => row.rule_id.is_some(),
                    "exception_id" => !exceptions_of(row).is_empty(),
                    "reason" | "step" => row.reason.is_some(),
                    "kind" => row.kind.name() != "purchase",
                    "result" => row.result.name() != "approved",
                    "message" => row.message.name() != "request",
                    _ => row.approval_code.is_some() && row.sequence > 300,
                }
        });
        found.unwrap_or_else(|| panic!("no row has {name}"))
    };
    let names = AuthorizationFilter::NAMES;
    let mut seen = 0;
    for (one, two) in alone_and_in_pairs(names) {
        let mut filter = AuthorizationFilter::default();
        set_authorization(&mut filter, one, sample(one), &known);
        set_authorization(&mut filter, two, sample(two), &known);
        let expected = rows
            .iter()
            .filter(|row| fits_authorization(&filter, row, &known));
        let expected: Vec<_> = expected.map(|row| row.id).collect();
        let page = store.authorizations(&filter, None, 1000).await.unwrap();
        let found: Vec<_> = page.data.iter().map(|row| row.id).collect();
        assert_eq!(found, expected, "{one} and {two}: {filter:?}");
        assert!(one != two || !found.is_empty(), "nothing fits {one}");
        seen += found.len();
        if let [_, .., _] = &expected[..] {
            let after = Some(expected[0]);
            let page = store.authorizations(&filter, after, 1).await.unwrap();
            assert_eq!(page.data[0].id, expected[1], "{one} and {two}");
            assert_eq!(page.has_more, expected.len() > 2);
        }
    }
    assert!(seen > 1_000, "{seen}");
    let all = TransactionFilter::default();
    let rows = store.transactions(&all, None, 1000).await.unwrap().data;
    let sample = &rows[rows.len() / 2];
    let names = TransactionFilter::NAMES;
    for (one, two) in alone_and_in_pairs(names) {
        let mut filter = TransactionFilter::default();
        set_transaction(&mut filter, one, sample, &known);
        set_transaction(&mut filter, two, sample, &known);
        let expected = rows
            .iter()
            .filter(|row| fits_transaction(&filter, row, &known));
        let expected: Vec<_> = expected.map(|row| row.id).collect();
        let page = store.transactions(&filter, None, 1000).await.unwrap();
        let found: Vec<_> = page.data.iter().map(|row| row.id).collect();
        assert_eq!(found, expected, "{one} and {two}: {filter:?}");
    }
}

/// Each name with itself and with each that comes after it.
fn alone_and_in_pairs(
    names: &[&'static str],
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let behind = move |place: usize| names[place..].iter().map(move |two| (names[place], *two));
    (0..names.len()).flat_map(behind)
}

fn history_of_tokens_and_fees() -> History {
    let mut history = history(22, 600);
    (0..120).for_each(|_| history.token());
    history.charge_months();
    history
}

/// Bounds of one kind each, and both together.
fn some_bounds(known: &Known) -> [Bounds; 4] {
    let all = &known.bounds;
    let nothing = Bounds::default();
    [
        all.clone(),
        Bounds {
            program_ids: Box::new([ProgramId(1)]),
            ..nothing.clone()
        },
        Bounds {
            account_ids: all.account_ids.clone(),
            ..nothing.clone()
        },
        Bounds {
            links: all.links.clone(),
            ..nothing
        },
    ]
}

impl Known {
    fn is_below(&self, account_id: AccountId, bounds: &Bounds) -> bool {
        let mut at = Some(account_id);
        while let Some(id) = at.filter(|id| !bounds.account_ids.contains(id)) {
            at = self.parents[&id];
        }
        bounds.account_ids.is_empty() || at.is_some()
    }

    fn has_link_of(&self, card_id: Option<CardId>, bounds: &Bounds) -> bool {
        let mut links = bounds.links.iter();
        bounds.links.is_empty()
            || links.any(|link| {
                card_id.is_some_and(|id| self.is_linked(id, Some(&link.link_type), Some(&link.id)))
            })
    }
}

fn set_fee(filter: &mut FeeFilter, name: &str, row: &FeeRow, known: &Known) {
    match name {
        "account_id" => filter.account_id = Some(row.account_id),
        "card_id" => filter.card_id = row.card_id,
        "card_chain_id" => filter.card_chain_id = row.card_id,
        "program_id" => filter.program_id = Some(row.program_id),
        "kind" => filter.kind = Some(row.kind),
        "cause_id" => filter.cause_id = Some(row.cause_id.clone()),
        "currency" | "amount_from" => {
            filter.currency = Some(row.currency);
            filter.amount_from = Some(row.amount_minor);
        }
        "amount_until" => {
            filter.currency = Some(row.currency);
            filter.amount_until = Some(row.amount_minor + 1);
        }
        "created_from" => filter.created_from = Some(row.created_at_ms),
        "created_until" => filter.created_until = Some(row.created_at_ms.plus_ms(1)),
        "link_type" => filter.link_type = Some("user".to_owned()),
        "link_id" => {
            filter.link_type = Some("project".to_owned());
            filter.link_id = Some("project1".to_owned());
        }
        "bounds" => filter.bounds = Some(known.bounds.clone()),
        unknown => panic!("{unknown} is a filter that no test knows"),
    }
}

fn fits_fee(filter: &FeeFilter, row: &FeeRow, known: &Known) -> bool {
    let at = row.created_at_ms;
    filter.account_id.is_none_or(|id| row.account_id == id)
        && (filter.card_id.is_none() || row.card_id == filter.card_id)
        && filter.card_chain_id.is_none_or(|id| {
            let chain = known.chain(id);
            row.card_id.is_some_and(|card_id| chain.contains(&card_id))
        })
        && filter.program_id.is_none_or(|id| row.program_id == id)
        && filter.kind.is_none_or(|kind| row.kind == kind)
        && filter
            .cause_id
            .as_ref()
            .is_none_or(|id| row.cause_id == *id)
        && filter
            .currency
            .is_none_or(|currency| row.currency == currency)
        && filter
            .amount_from
            .is_none_or(|from| row.amount_minor >= from)
        && filter
            .amount_until
            .is_none_or(|until| row.amount_minor < until)
        && filter.created_from.is_none_or(|from| at >= from)
        && filter.created_until.is_none_or(|until| at < until)
        && (filter.link_type.is_none()
            || row.card_id.is_some_and(|id| {
                known.is_linked(id, filter.link_type.as_deref(), filter.link_id.as_deref())
            }))
        && filter.bounds.as_ref().is_none_or(|bounds| {
            known.is_below(row.account_id, bounds) && known.has_link_of(row.card_id, bounds)
        })
}

fn set_token(filter: &mut TokenFilter, name: &str, row: &TokenRow, known: &Known) {
    match name {
        "card_id" => filter.card_id = Some(row.card_id),
        "status" => filter.status = Some(row.status),
        "wallet" => filter.wallet = Some(row.wallet.clone()),
        "link_type" => filter.link_type = Some("user".to_owned()),
        "link_id" => {
            filter.link_type = Some("project".to_owned());
            filter.link_id = Some("project1".to_owned());
        }
        "account_id" => filter.account_id = known.card(row.card_id).map(|card| card.account_id),
        "program_id" => filter.program_id = known.card(row.card_id).map(|card| card.program_id),
        "created_from" => filter.created_from = Some(row.created_at_ms),
        "created_until" => filter.created_until = Some(row.created_at_ms.plus_ms(1)),
        "bounds" => filter.bounds = Some(known.bounds.clone()),
        unknown => panic!("{unknown} is a filter that no test knows"),
    }
}

fn fits_token(filter: &TokenFilter, row: &TokenRow, known: &Known) -> bool {
    filter.card_id.is_none_or(|id| row.card_id == id)
        && filter.status.is_none_or(|status| row.status == status)
        && filter
            .wallet
            .as_deref()
            .is_none_or(|wallet| row.wallet == wallet)
        && (filter.link_type.is_none()
            || known.is_linked(
                row.card_id,
                filter.link_type.as_deref(),
                filter.link_id.as_deref(),
            ))
        && filter
            .account_id
            .is_none_or(|id| known.card(row.card_id).unwrap().account_id == id)
        && filter
            .program_id
            .is_none_or(|id| known.card(row.card_id).unwrap().program_id == id)
        && filter
            .created_from
            .is_none_or(|from| row.created_at_ms >= from)
        && filter
            .created_until
            .is_none_or(|until| row.created_at_ms < until)
        && filter.bounds.as_ref().is_none_or(|bounds| {
            let card = known.card(row.card_id).unwrap();
            known.is_below(card.account_id, bounds) && known.has_link_of(Some(card.id), bounds)
        })
}

async fn filters_of_fees_and_tokens_find_what_they_name_alone_and_in_pairs(fixture: Fixture) {
    let mut history = history_of_tokens_and_fees();
    history.pay_abroad_and_give_back();
    let store = fixture.store().await;
    project(&store, &history.records, 200).await;
    let known = Known::of(&fixture, &store, &history).await;
    let rows = store.fees(&FeeFilter::default(), None, 1000).await.unwrap();
    let rows = rows.data;
    assert!(rows.len() > 50 && rows.len() < 1000, "{}", rows.len());
    let within =
        |row: &&FeeRow| row.card_id.is_some() && known.covers(&known.bounds, row.card_id.unwrap());
    let sample = rows.iter().find(within).unwrap();
    let names = FeeFilter::NAMES;
    let mut seen = 0;
    for (one, two) in alone_and_in_pairs(names) {
        let mut filter = FeeFilter::default();
        set_fee(&mut filter, one, sample, &known);
        set_fee(&mut filter, two, sample, &known);
        seen += find_fees(&store, &filter, &rows, &known).await;
    }
    for bounds in some_bounds(&known) {
        let filter = FeeFilter {
            bounds: Some(bounds),
            ..FeeFilter::default()
        };
        seen += find_fees(&store, &filter, &rows, &known).await;
    }
    assert!(seen > 1_000, "{seen}");

    let rows = store.tokens(&TokenFilter::default(), None, 1000).await;
    let rows = rows.unwrap().data;
    let within = |row: &&TokenRow| known.covers(&known.bounds, row.card_id);
    let sample = rows.iter().find(within).unwrap();
    let names = TokenFilter::NAMES;
    let mut seen = 0;
    for (one, two) in alone_and_in_pairs(names) {
        let mut filter = TokenFilter::default();
        set_token(&mut filter, one, sample, &known);
        set_token(&mut filter, two, sample, &known);
        seen += find_tokens(&store, &filter, &rows, &known).await;
    }
    for bounds in some_bounds(&known) {
        let filter = TokenFilter {
            bounds: Some(bounds),
            ..TokenFilter::default()
        };
        seen += find_tokens(&store, &filter, &rows, &known).await;
    }
    assert!(seen > 100, "{seen}");
}

fn set_entry(filter: &mut LedgerFilter, name: &str, row: &LedgerEntryRow, known: &Known) {
    match name {
        "account_id" => filter.account_id = Some(row.account_id),
        "card_id" => filter.card_id = row.card_id,
        "card_chain_id" => filter.card_chain_id = row.card_id,
        "authorization_id" => filter.authorization_id = row.authorization_id,
        "program_id" => {
            let card = row.card_id.and_then(|id| known.card(id));
            filter.program_id = card.map(|card| card.program_id);
        }
        "cardholder_id" => {
            let held = known.cards.iter().find_map(|card| card.cardholder_id);
            filter.cardholder_id = held;
        }
        "merchant_id" => {
            let posted = known.posted(&row.source_id);
            filter.merchant_id = posted.map(|posted| posted.merchant_id.to_string());
        }
        "currency" => filter.currency = Some(row.currency),
        "source_type" => filter.source_type = Some(row.source_type.clone()),
        "source_id" => filter.source_id = Some(row.source_id.clone()),
        "amount_from" => filter.amount_from = Some(row.amount_minor),
        "amount_until" => filter.amount_until = Some(row.amount_minor + 1),
        "created_from" => filter.created_from = Some(row.created_at_ms),
        "created_until" => filter.created_until = Some(row.created_at_ms.plus_ms(1)),
        "link_type" => filter.link_type = Some("user".to_owned()),
        "link_id" => {
            filter.link_type = Some("project".to_owned());
            filter.link_id = Some("project1".to_owned());
        }
        "bounds" => filter.bounds = Some(known.bounds.clone()),
        unknown => panic!("{unknown} is a filter that no test knows"),
    }
}

fn fits_entry(filter: &LedgerFilter, row: &LedgerEntryRow, known: &Known) -> bool {
    let at = row.created_at_ms;
    let of_card = |fits: &dyn Fn(CardId) -> bool| row.card_id.is_some_and(fits);
    filter.account_id.is_none_or(|id| row.account_id == id)
        && (filter.card_id.is_none() || row.card_id == filter.card_id)
        && filter
            .card_chain_id
            .is_none_or(|id| of_card(&|card_id| known.chain(id).contains(&card_id)))
        && (filter.authorization_id.is_none() || row.authorization_id == filter.authorization_id)
        && filter
            .program_id
            .is_none_or(|id| known.programs[&row.account_id] == id)
        && (filter.cardholder_id.is_none()
            || of_card(&|id| known.card(id).unwrap().cardholder_id == filter.cardholder_id))
        && filter.merchant_id.as_ref().is_none_or(|id| {
            let posted = known.posted(&row.source_id);
            posted.is_some_and(|posted| posted.merchant_id == id[..])
        })
        && filter
            .currency
            .is_none_or(|currency| row.currency == currency)
        && filter
            .source_type
            .as_ref()
            .is_none_or(|of| row.source_type == *of)
        && filter
            .source_id
            .as_ref()
            .is_none_or(|id| row.source_id == *id)
        && filter
            .amount_from
            .is_none_or(|from| row.amount_minor >= from)
        && filter
            .amount_until
            .is_none_or(|until| row.amount_minor < until)
        && filter.created_from.is_none_or(|from| at >= from)
        && filter.created_until.is_none_or(|until| at < until)
        && (filter.link_type.is_none()
            || of_card(&|id| {
                known.is_linked(id, filter.link_type.as_deref(), filter.link_id.as_deref())
            }))
        && filter.bounds.as_ref().is_none_or(|bounds| {
            let by_card = filter.card_id.is_some()
                || filter.card_chain_id.is_some()
                || filter.authorization_id.is_some()
                || filter.cardholder_id.is_some()
                || filter.merchant_id.is_some()
                || filter.link_type.is_some();
            let account_id = row
                .card_id
                .and_then(|id| known.card(id))
                .map(|card| card.account_id);
            known.is_below(row.account_id, bounds)
                && known.has_link_of(row.card_id, bounds)
                && (!by_card || account_id.is_some_and(|id| known.is_below(id, bounds)))
        })
}

async fn filters_of_ledger_entries_find_what_they_name_alone_and_in_pairs(fixture: Fixture) {
    let mut history = history(22, 600);
    (0..20).for_each(|_| history.reissue_or_renew());
    (0..120).for_each(|_| history.token());
    history.charge_months();
    history.pay_abroad_and_give_back();
    history.own_accounts(8);
    let store = fixture.store().await;
    project(&store, &history.records, 200).await;
    let known = Known::of(&fixture, &store, &history).await;
    let any = LedgerFilter::default();
    let rows = store.ledger_entries(&any, None, 1000).await.unwrap().data;
    assert!(rows.len() > 100 && rows.len() < 1000, "{}", rows.len());
    let within = |row: &&LedgerEntryRow| {
        row.authorization_id.is_some() && known.covers(&known.bounds, row.card_id.unwrap())
    };
    let sample = rows.iter().find(within).unwrap();
    let mut seen = 0;
    let of_pairs = alone_and_in_pairs(LedgerFilter::NAMES).map(|(one, two)| {
        let mut filter = LedgerFilter::default();
        set_entry(&mut filter, one, sample, &known);
        set_entry(&mut filter, two, sample, &known);
        filter
    });
    let of_bounds = some_bounds(&known).map(|bounds| LedgerFilter {
        bounds: Some(bounds),
        ..LedgerFilter::default()
    });
    for filter in of_pairs.chain(of_bounds) {
        let expected = rows.iter().filter(|row| fits_entry(&filter, row, &known));
        let expected: Vec<_> = expected.cloned().collect();
        let found = store
            .ledger_entries(&filter, None, 1000)
            .await
            .unwrap()
            .data;
        assert_eq!(found, expected, "{filter:?}");
        assert!(!found.is_empty(), "nothing fits {filter:?}");
        let LedgerEntryRow { sequence, leg, .. } = found[0];
        let after = Some(EntryCursor { sequence, leg });
        let rest = store.ledger_entries(&filter, after, 1000).await.unwrap();
        assert_eq!(rest.data[..], expected[1..], "{filter:?}");
        seen += found.len();
    }
    assert!(seen > 1_000, "{seen}");
    let mut longest = 0;
    for card in &known.cards {
        let filter = CardFilter {
            card_chain_id: Some(card.id),
            ..CardFilter::default()
        };
        let found = store.cards(&filter, None, 1000).await.unwrap().data;
        let mut found: Vec<CardId> = found.iter().map(|card| card.id).collect();
        let mut chain = known.chain(card.id);
        longest = longest.max(chain.len());
        found.sort();
        chain.sort();
        assert_eq!(found, chain, "{}", card.id);
    }
    assert!(longest > 1, "no card of the history was reissued");
}

/// What is on an account that was opened for a card is found by that card, by its chain and by its links, and by no other.
async fn filters_of_own_money_find_what_is_of_its_card(fixture: Fixture) {
    let mut history = history(23, 300);
    let own = history.own_accounts(6);
    let store = fixture.store().await;
    project(&store, &history.records, 7).await;
    let rebuilt = expected_dump(&fixture, &history.records).await;
    assert_same(&fixture.dump().await, &rebuilt);
    let one_by_one = match fixture.url.as_str() {
        "sqlite" => Fixture::sqlite(),
        _ => Fixture::postgres(),
    };
    project(&one_by_one.store().await, &history.records, 1).await;
    assert_same(&one_by_one.dump().await, &rebuilt);
    let known = Known::of(&fixture, &store, &history).await;
    let all = store.accounts(&AccountFilter::default(), None, 1000).await;
    let accounts = all.unwrap().data;
    let top_ups = store.top_ups(&TopUpFilter::default(), None, 1000).await;
    let top_ups = top_ups.unwrap().data;
    let transfers = store
        .transfers(&TransferFilter::default(), None, 1000)
        .await;
    let transfers = transfers.unwrap().data;
    let opened_for: BTreeMap<AccountId, CardId> = own.iter().copied().collect();
    for row in &accounts {
        assert_eq!(row.card_id, opened_for.get(&row.id).copied(), "{}", row.id);
    }
    let asked = own.iter().map(|(_, card_id)| (Some(*card_id), None, None));
    let linked = [
        (None, Some("project"), None),
        (None, Some("project"), Some("project1")),
        (None, Some("project"), Some("project9")),
        (None, Some("user"), Some("user1")),
    ];
    let mut seen = [0; 4];
    for (card_id, link_type, link_id) in asked.chain(linked) {
        let is_of = |id: AccountId| {
            opened_for.get(&id).is_some_and(|owner| match card_id {
                Some(card_id) => *owner == card_id,
                None => known.is_linked(*owner, link_type, link_id),
            })
        };
        for by_chain in [false, true] {
            let (one, chain) = match by_chain {
                false => (card_id, None),
                true => (None, card_id),
            };
            let (link_type, link_id) = (link_type.map(str::to_owned), link_id.map(str::to_owned));
            let filter = AccountFilter {
                card_id: one,
                card_chain_id: chain,
                link_type: link_type.clone(),
                link_id: link_id.clone(),
                ..AccountFilter::default()
            };
            let found = store.accounts(&filter, None, 1000).await.unwrap().data;
            let expected: Vec<_> = accounts
                .iter()
                .filter(|row| is_of(row.id))
                .cloned()
                .collect();
            assert_eq!(found, expected, "{filter:?}");
            seen[0] += found.len();
            let filter = TopUpFilter {
                card_id: one,
                card_chain_id: chain,
                link_type: link_type.clone(),
                link_id: link_id.clone(),
                ..TopUpFilter::default()
            };
            let found = store.top_ups(&filter, None, 1000).await.unwrap().data;
            let expected = top_ups.iter().filter(|row| is_of(row.account_id));
            assert_eq!(found, expected.cloned().collect::<Vec<_>>(), "{filter:?}");
            seen[1] += found.len();
            let filter = TransferFilter {
                card_id: one,
                card_chain_id: chain,
                link_type: link_type.clone(),
                link_id: link_id.clone(),
                ..TransferFilter::default()
            };
            let found = store.transfers(&filter, None, 1000).await.unwrap().data;
            let expected = transfers.iter();
            let expected =
                expected.filter(|row| is_of(row.from_account_id) || is_of(row.to_account_id));
            assert_eq!(found, expected.cloned().collect::<Vec<_>>(), "{filter:?}");
            seen[2] += found.len();
            let filter = LedgerFilter {
                card_id: one,
                card_chain_id: chain,
                link_type,
                link_id,
                ..LedgerFilter::default()
            };
            let found = store.ledger_entries(&filter, None, 1000).await.unwrap();
            let of_own = found.data.iter().filter(|row| is_of(row.account_id));
            let of_own = of_own.filter(|row| row.source_type != "transaction");
            let mut posted = 0;
            for (id, card_id) in &own {
                if is_of(*id) {
                    let of_account = LedgerFilter {
                        account_id: Some(*id),
                        ..LedgerFilter::default()
                    };
                    let page = store.ledger_entries(&of_account, None, 1000).await.unwrap();
                    let not_paid = page
                        .data
                        .iter()
                        .filter(|row| row.source_type != "transaction");
                    posted += not_paid
                        .inspect(|row| assert_eq!(row.card_id, Some(*card_id)))
                        .count();
                }
            }
            assert_eq!(of_own.count(), posted, "{filter:?}");
            seen[3] += posted;
        }
    }
    assert!(seen.iter().all(|seen| *seen > 20), "{seen:?}");
}

/// How many there are, each once, and the same behind the first.
async fn find_fees(store: &Store, filter: &FeeFilter, rows: &[FeeRow], known: &Known) -> usize {
    let expected = rows.iter().filter(|row| fits_fee(filter, row, known));
    let expected: Vec<_> = expected.cloned().collect();
    let found = store.fees(filter, None, 1000).await.unwrap().data;
    let ids = |rows: &[FeeRow]| rows.iter().map(|row| row.id).collect::<Vec<_>>();
    let differ =
        |row: &&FeeRow| !ids(&found).contains(&row.id) || !ids(&expected).contains(&row.id);
    let differing: Vec<_> = found.iter().chain(&expected).filter(differ).collect();
    assert!(
        differing.is_empty(),
        "{filter:?}: {} found, {} expected of {}, they differ in {:?}",
        found.len(),
        expected.len(),
        rows.len(),
        differing[0]
    );
    assert_eq!(ids(&found), ids(&expected), "{filter:?}");
    assert!(!found.is_empty(), "nothing fits {filter:?}");
    let rest = store.fees(filter, Some(found[0].id), 1000).await.unwrap();
    assert_eq!(rest.data[..], expected[1..], "{filter:?}");
    found.len()
}

async fn find_tokens(
    store: &Store,
    filter: &TokenFilter,
    rows: &[TokenRow],
    known: &Known,
) -> usize {
    let expected = rows.iter().filter(|row| fits_token(filter, row, known));
    let expected: Vec<_> = expected.cloned().collect();
    let found = store.tokens(filter, None, 1000).await.unwrap().data;
    assert_eq!(found, expected, "{filter:?}");
    assert!(!found.is_empty(), "nothing fits {filter:?}");
    let rest = store.tokens(filter, Some(found[0].id), 1000).await.unwrap();
    assert_eq!(rest.data[..], expected[1..], "{filter:?}");
    found.len()
}

fn set_cardholder(filter: &mut CardholderFilter, name: &str, row: &CardholderRow) {
    match name {
        "program_id" => filter.program_id = Some(row.program_id),
        "home_country" => filter.home_country = Some(row.home_country),
        "verified" => filter.verified = Some(row.verified),
        "bounds" => {
            filter.bounds = Some(Bounds {
                program_ids: Box::new([row.program_id]),
                ..Bounds::default()
            });
        }
        unknown => panic!("{unknown} is a filter that no test knows"),
    }
}

async fn filters_of_cardholders_find_them_as_they_are_now(fixture: Fixture) {
    let mut history = History::new(7, 2, 2);
    history.cardholders(60);
    let store = fixture.store().await;
    project(&store, &history.records, 7).await;
    let all = CardholderFilter::default();
    let rows = store.cardholders(&all, None, 1000).await.unwrap().data;
    let mut known: Vec<_> = history.world.registry.cardholders.values().collect();
    known.sort_unstable_by_key(|known| std::cmp::Reverse(known.cardholder.id));
    let of_memory = known.iter().map(|known| {
        let one = &known.cardholder;
        let name = one.name.as_deref().map(str::to_owned);
        (one.id, name, one.home_country, one.verified)
    });
    let of_rows = rows
        .iter()
        .map(|row| (row.id, row.name.clone(), row.home_country, row.verified));
    assert!(of_memory.eq(of_rows));
    assert!(rows.iter().any(|row| row.verified) && rows.iter().any(|row| !row.verified));
    for (one, two) in alone_and_in_pairs(CardholderFilter::NAMES) {
        let mut filter = CardholderFilter::default();
        set_cardholder(&mut filter, one, &rows[7]);
        set_cardholder(&mut filter, two, &rows[7]);
        let fits = |row: &&CardholderRow| {
            filter
                .home_country
                .is_none_or(|home| row.home_country == home)
                && filter.verified.is_none_or(|is| row.verified == is)
        };
        let expected: Vec<_> = rows.iter().filter(fits).cloned().collect();
        let found = store.cardholders(&filter, None, 1000).await.unwrap().data;
        assert_eq!(found, expected, "{filter:?}");
        let rest = store.cardholders(&filter, Some(found[0].id), 1000).await;
        assert_eq!(rest.unwrap().data[..], expected[1..], "{filter:?}");
    }
    let of_others = [
        Bounds {
            program_ids: Box::new([ProgramId(2)]),
            ..Bounds::default()
        },
        Bounds {
            account_ids: history.accounts.iter().map(|(id, ..)| *id).collect(),
            ..Bounds::default()
        },
    ];
    for bounds in of_others {
        let filter = CardholderFilter {
            bounds: Some(bounds),
            ..CardholderFilter::default()
        };
        let found = store.cardholders(&filter, None, 1000).await.unwrap().data;
        assert_eq!(found, [], "{filter:?}");
    }
}

type Noted = Arc<Mutex<Vec<String>>>;

/// Copies of the rows of a table: as many as make a plan that reads them all a bad one.
async fn multiply(fixture: &Fixture, table: &str, key: &str) {
    let id = "id = substr(id, 1, length(id) - 12) || 'COPY' || substr(id, length(id) - 8)";
    let (originals, set) = match (table, key) {
        ("deliveries", _) => ("id = 'dlv_0000000000000'".to_owned(), id.to_owned()),
        (_, "number") => (
            "number < 100000000000".to_owned(),
            "number = number + COPY * 100000000000".to_owned(),
        ),
        _ => {
            // What comes later is later.
            let set = "sequence = sequence + COPY * 100000, created_at_ms = created_at_ms + COPY * 10000000";
            let set = match table {
                "ledger_entries" => set.to_owned(),
                _ => format!("{set}, {id}"),
            };
            ("sequence < 100000".to_owned(), set)
        }
    };
    let columns = fixture.columns(table).await;
    for copy in 100..140 {
        let set = set.replace("COPY", &copy.to_string());
        fixture
            .sql(&format!(
                "CREATE TEMP TABLE more AS SELECT {columns} FROM {table} WHERE {originals}; \
                 UPDATE more SET {set}; INSERT INTO {table} ({columns}) SELECT {columns} FROM more; \
                 DROP TABLE more"
            ))
            .await;
    }
}

async fn no_filter_looks_at_many_rows_in_vain(fixture: Fixture) {
    let mut history = history_of_tokens_and_fees();
    history.cardholders(200);
    history.lift_gambling();
    history.own_accounts(4);
    let store = fixture.store().await;
    project(&store, &history.records, 200).await;
    fixture
        .sql(
            "INSERT INTO deliveries VALUES ('dlv_0000000000000', 'evt_0000000000001', 'card.frozen', \
             'we_0000000000001', 1, 'succeeded', 200, NULL, NULL, 5, NULL, 1, 'prog_0000000000009', \
             'acct_0000000000009', 'card_0000000000009', 'auth_0000000000009', 'card_0000000000009', 'card_0000000000009')",
        )
        .await;
    let known = Known::of(&fixture, &store, &history).await;
    // The history closes another one.
    let key = format!("{}/user/user1", known.cards[0].program_id);
    fixture
        .sql(&format!(
            "INSERT INTO link_states (link_key, status, sequence) VALUES ('{key}', 'frozen', 1)"
        ))
        .await;
    let rows = expected_rows(&history);
    let keyed = [
        ("authorizations", "sequence"),
        ("transactions", "sequence"),
        ("cards", "sequence"),
        ("accounts", "sequence"),
        ("top_ups", "sequence"),
        ("transfers", "sequence"),
        ("ledger_entries", "sequence"),
        ("fees", "sequence"),
        ("tokens", "sequence"),
        ("cardholders", "sequence"),
        ("audit_log", "sequence"),
        ("events", "number"),
        ("deliveries", "id"),
    ];
    for (table, key) in keyed {
        multiply(&fixture, table, key).await;
    }
    if fixture.url != "sqlite" {
        fixture.sql("ANALYZE").await;
    }
    let (store, noted) = store.with_statements_noted();
    let sample = |name: &str| {
        let found = rows.iter().find(|row| match name {
            "original_authorization_id" => row.original_authorization_id.is_some(),
            "token_id" => row.token_id.is_some(),
            "transaction_id" => row.posted_minor != 0 && row.sequence > 300,
            "rule_id" => row.rule_id.is_some(),
            "exception_id" => !exceptions_of(row).is_empty(),
            "reason" | "step" => row.reason.is_some(),
            "kind" => row.kind.name() != "purchase",
            "result" => row.result.name() != "approved",
            "message" => row.message.name() != "request",
            _ => row.approval_code.is_some() && row.account_id.is_some() && row.sequence > 300,
        });
        found.unwrap()
    };
    for name in AuthorizationFilter::NAMES {
        let mut filter = AuthorizationFilter::default();
        set_authorization(&mut filter, name, sample(name), &known);
        store.authorizations(&filter, None, 20).await.unwrap();
        check(&fixture, &noted, "authorizations", name).await;
    }
    // Held against what a rarer filter finds, any link of a type is looked for among those of each card.
    let mut filter = AuthorizationFilter::default();
    for name in ["stan", "link_type"] {
        set_authorization(&mut filter, name, sample(name), &known);
    }
    store.authorizations(&filter, None, 20).await.unwrap();
    check(&fixture, &noted, "authorizations", "stan and link_type").await;
    let all = TransactionFilter::default();
    let posted = store.transactions(&all, None, 1000).await.unwrap().data;
    noted.lock().unwrap().clear();
    for name in TransactionFilter::NAMES {
        let mut filter = TransactionFilter::default();
        // What nearly all rows have is found without an index.
        let sample = posted.iter().find(|row| match *name {
            "transaction_type" => row.transaction_type.name() != "payment",
            "kind" => row.kind.name() != "purchase",
            _ => row.sequence % 100_000 < 400,
        });
        set_transaction(&mut filter, name, sample.unwrap(), &known);
        store.transactions(&filter, None, 20).await.unwrap();
        check(&fixture, &noted, "transactions", name).await;
    }
    objects(&fixture, &store, &noted, &known).await;
    money(&fixture, &store, &noted, &known).await;
    told(&fixture, &store, &noted, &known).await;
    charged(&fixture, &store, &noted, &known).await;
}

async fn objects(fixture: &Fixture, store: &Store, noted: &Noted, known: &Known) {
    let row = known
        .cards
        .iter()
        .rev()
        .find(|card| card.cardholder_id.is_some());
    let row = row.unwrap();
    for name in CardFilter::NAMES {
        let mut filter = CardFilter::default();
        match *name {
            "account_id" => filter.account_id = Some(row.account_id),
            "program_id" => filter.program_id = Some(row.program_id),
            "cardholder_id" => filter.cardholder_id = row.cardholder_id,
            "status" | "own_status" => {
                told_statuses(fixture, store, noted).await;
                continue;
            }
            "status_reason" => filter.status_reason = Some("stolen".into()),
            "card_type" => filter.card_type = Some(CardType::Physical),
            "last4" => filter.last4 = Some(row.last4.to_string()),
            "link_type" => filter.link_type = Some("user".into()),
            "link_id" => {
                filter.link_type = Some("project".into());
                filter.link_id = Some("project1".into());
            }
            "created_from" => filter.created_from = Some(row.created_at_ms),
            "created_until" => filter.created_until = Some(row.created_at_ms.plus_ms(1)),
            "bounds" => filter.bounds = Some(known.bounds.clone()),
            "replacement_for" => filter.replacement_for = Some(row.id),
            "card_chain_id" => filter.card_chain_id = Some(known.replaced()),
            "shipping_status" => filter.shipping_status = Some(ShippingStatus::Ordered),
            "first6" => filter.first6 = Some(row.first6.to_string()),
            "exp_year" => filter.exp_year = Some(row.exp_year),
            "exp_month" => {
                filter.exp_year = Some(row.exp_year);
                filter.exp_month = Some(row.exp_month);
            }
            "replaced_by" => filter.replaced_by = Some(row.id),
            unknown => panic!("{unknown} is a filter that no test knows"),
        }
        store.cards(&filter, None, 20).await.unwrap();
        check(fixture, noted, "cards", name).await;
    }
    for name in AccountFilter::NAMES {
        let mut filter = AccountFilter::default();
        let id = row.account_id;
        match *name {
            "program_id" => filter.program_id = Some(row.program_id),
            "parent_id" => filter.parent_id = Some(id),
            "root_account_id" => filter.root_account_id = Some(id),
            "status" => filter.status = Some(cardswitch::engine::state::AccountStatus::Frozen),
            "currency" => filter.currency = cardswitch::engine::money::Currency::from_alpha("JPY"),
            "card_id" => filter.card_id = Some(row.id),
            "card_chain_id" => filter.card_chain_id = Some(known.replaced()),
            "link_type" => filter.link_type = Some("user".into()),
            "link_id" => {
                filter.link_type = Some("project".into());
                filter.link_id = Some("project1".into());
            }
            "name" => filter.name = Some("mas".into()),
            "created_from" => filter.created_from = Some(row.created_at_ms),
            "created_until" => filter.created_until = Some(row.created_at_ms.plus_ms(1)),
            "bounds" => filter.bounds = Some(known.bounds.clone()),
            unknown => panic!("{unknown} is a filter that no test knows"),
        }
        store.accounts(&filter, None, 20).await.unwrap();
        check(fixture, noted, "accounts", name).await;
    }
}

/// Each comes to other statements. The cards of a few links are held by those.
async fn told_statuses(fixture: &Fixture, store: &Store, noted: &Noted) {
    for (status, _) in ToldStatus::ALL {
        // By then some have expired.
        let at = cardswitch::engine::time::Expiry(12 * 29).ends_at();
        let told = Some(StatusAt {
            status: *status,
            at,
        });
        let mut filter = CardFilter {
            status: told,
            ..CardFilter::default()
        };
        store.cards(&filter, None, 20).await.unwrap();
        check(fixture, noted, "cards", "status").await;
        (filter.status, filter.own_status) = (None, told);
        store.cards(&filter, None, 20).await.unwrap();
        check(fixture, noted, "cards", "own_status").await;
    }
}

async fn money(fixture: &Fixture, store: &Store, noted: &Noted, known: &Known) {
    let id = known.cards[0].account_id;
    let at = known.cards[0].created_at_ms;
    for name in TopUpFilter::NAMES {
        let mut filter = TopUpFilter::default();
        match *name {
            "account_id" => filter.account_id = Some(id),
            "program_id" => filter.program_id = Some(known.cards[0].program_id),
            "card_id" => filter.card_id = Some(known.cards[0].id),
            "card_chain_id" => filter.card_chain_id = Some(known.replaced()),
            "link_type" => filter.link_type = Some("user".into()),
            "link_id" => {
                filter.link_type = Some("project".into());
                filter.link_id = Some("project1".into());
            }
            "status" => filter.status = Some(cardswitch::engine::top_ups::TopUpStatus::Failed),
            "method" => filter.method = Some("usdt"),
            "external_reference" => filter.external_reference = Some("W1".into()),
            "currency" | "amount_from" => {
                filter.currency = Some(crate::history::EUR);
                filter.amount_from = Some(900_000);
            }
            "amount_until" => {
                filter.currency = Some(crate::history::EUR);
                filter.amount_until = Some(2);
            }
            "created_from" => filter.created_from = Some(at),
            "created_until" => filter.created_until = Some(at.plus_ms(1)),
            "bounds" => filter.bounds = Some(known.bounds.clone()),
            unknown => panic!("{unknown} is a filter that no test knows"),
        }
        store.top_ups(&filter, None, 20).await.unwrap();
        check(fixture, noted, "top_ups", name).await;
    }
    for name in TransferFilter::NAMES {
        let mut filter = TransferFilter::default();
        match *name {
            "account_id" => filter.account_id = Some(id),
            "from_account_id" => filter.from_account_id = Some(id),
            "to_account_id" => filter.to_account_id = Some(id),
            "program_id" => filter.program_id = Some(known.cards[0].program_id),
            "card_id" => filter.card_id = Some(known.cards[0].id),
            "card_chain_id" => filter.card_chain_id = Some(known.replaced()),
            "link_type" => filter.link_type = Some("user".into()),
            "link_id" => {
                filter.link_type = Some("project".into());
                filter.link_id = Some("project1".into());
            }
            "status" => {
                filter.status = Some(cardswitch::engine::transfers::TransferStatus::Failed);
            }
            "currency" | "amount_from" => {
                filter.currency = Some(crate::history::EUR);
                filter.amount_from = Some(900_000);
            }
            "amount_until" => {
                filter.currency = Some(crate::history::EUR);
                filter.amount_until = Some(2);
            }
            "created_from" => filter.created_from = Some(at),
            "created_until" => filter.created_until = Some(at.plus_ms(1)),
            "bounds" => filter.bounds = Some(known.bounds.clone()),
            unknown => panic!("{unknown} is a filter that no test knows"),
        }
        store.transfers(&filter, None, 20).await.unwrap();
        check(fixture, noted, "transfers", name).await;
    }
    entries(fixture, store, noted, known).await;
}

async fn entries(fixture: &Fixture, store: &Store, noted: &Noted, known: &Known) {
    let any = LedgerFilter::default();
    let rows = store.ledger_entries(&any, None, 1000).await.unwrap().data;
    noted.lock().unwrap().clear();
    let of_card = rows.iter().rev().find(|row| row.authorization_id.is_some());
    let sample = of_card.unwrap();
    for name in LedgerFilter::NAMES {
        let mut filter = LedgerFilter::default();
        if matches!(*name, "amount_from" | "amount_until") {
            // Only with others, as an account: rows are told apart by it.
            continue;
        }
        set_entry(&mut filter, name, sample, known);
        if *name == "source_type" {
            filter.source_type = Some("top_up".into());
            let of_account = LedgerFilter {
                account_id: Some(sample.account_id),
                ..filter.clone()
            };
            store.ledger_entries(&of_account, None, 20).await.unwrap();
        }
        store.ledger_entries(&filter, None, 20).await.unwrap();
        check(fixture, noted, "ledger_entries", name).await;
    }
    for bounds in some_bounds(known) {
        let filter = LedgerFilter {
            bounds: Some(bounds),
            ..LedgerFilter::default()
        };
        store.ledger_entries(&filter, None, 20).await.unwrap();
        check(fixture, noted, "ledger_entries", "bounds").await;
    }
}

/// By what their payments are.
fn events_of_payments(known: &Known) -> [(&'static str, EventFilter); 5] {
    let any = EventFilter::default();
    let row = known
        .authorizations
        .values()
        .find(|row| row.reason.is_some());
    let row = row.unwrap();
    let cardholder = EventFilter {
        cardholder_id: known.cards.iter().find_map(|card| card.cardholder_id),
        ..any.clone()
    };
    let reason = EventFilter {
        reason: row.reason,
        ..any.clone()
    };
    let merchant = EventFilter {
        merchant_id: Some(row.merchant_id.to_string()),
        ..any.clone()
    };
    let amount = EventFilter {
        amount: AmountFilter {
            currency: Some(row.currency),
            from: Some(row.amount_minor),
            until: None,
        },
        ..any.clone()
    };
    let currency = EventFilter {
        amount: AmountFilter {
            currency: cardswitch::engine::money::Currency::from_alpha("JPY"),
            ..AmountFilter::default()
        },
        ..any
    };
    [
        ("currency", currency),
        ("cardholder_id", cardholder),
        ("reason", reason),
        ("merchant_id", merchant),
        ("amount", amount),
    ]
}

async fn told(fixture: &Fixture, store: &Store, noted: &Noted, known: &Known) {
    let card = &known.cards[0];
    let at = card.created_at_ms;
    let any = EventFilter::default();
    let filters = [
        (
            "types",
            EventFilter {
                types: vec!["card.frozen".into(), "x.y".into()],
                ..any.clone()
            },
        ),
        (
            "program_id",
            EventFilter {
                program_id: Some(card.program_id),
                ..any.clone()
            },
        ),
        (
            "card_id",
            EventFilter {
                card_id: Some(card.id),
                ..any.clone()
            },
        ),
        (
            "card_chain_id",
            EventFilter {
                card_chain_id: Some(known.replaced()),
                ..any.clone()
            },
        ),
        (
            "account_id",
            EventFilter {
                account_id: Some(card.account_id),
                ..any.clone()
            },
        ),
        (
            "object_id",
            EventFilter {
                object_id: Some(card.id.to_string()),
                ..any.clone()
            },
        ),
        (
            "created_from",
            EventFilter {
                created_from: Some(at),
                ..any.clone()
            },
        ),
        (
            "bounds",
            EventFilter {
                bounds: Some(known.bounds.clone()),
                ..any.clone()
            },
        ),
        (
            "link_type",
            EventFilter {
                link_type: Some("user".into()),
                ..any.clone()
            },
        ),
        (
            "link_id",
            EventFilter {
                link_type: Some("project".into()),
                link_id: Some("project1".into()),
                ..any.clone()
            },
        ),
    ];
    let of_payment = EventFilter {
        authorization_id: "auth_0000000000005".parse().ok(),
        ..any.clone()
    };
    for (name, filter) in filters
        .into_iter()
        .chain([("authorization_id", of_payment)])
        .chain(events_of_payments(known))
    {
        store.events(&filter, None, 20).await.unwrap();
        check(fixture, noted, "events", name).await;
    }
    for name in DeliveryFilter::NAMES {
        let mut filter = DeliveryFilter::default();
        match *name {
            "endpoint_id" => filter.endpoint_id = "we_0000000000002".parse().ok(),
            "event_id" => filter.event_id = "evt_0000000000002".parse().ok(),
            "event_type" => filter.event_type = Some("card.blocked".into()),
            "outcome" => filter.outcome = Some(DeliveryOutcome::Failed),
            "created_from" => filter.created_from = Some(at),
            "created_until" => filter.created_until = Some(cardswitch::engine::time::Timestamp(0)),
            "program_id" => filter.program_id = Some(card.program_id),
            "account_id" => filter.account_id = Some(card.account_id),
            "card_id" => filter.card_id = Some(card.id),
            "card_chain_id" => filter.card_chain_id = Some(known.replaced()),
            "object_id" => filter.object_id = Some("rule_0000000000002".into()),
            "authorization_id" => filter.authorization_id = "auth_0000000000005".parse().ok(),
            "cardholder_id" => {
                filter.cardholder_id = known.cards.iter().find_map(|card| card.cardholder_id);
            }
            "reason" => {
                filter.reason = cardswitch::engine::reason::DeclineReason::from_name("card_lost")
            }
            "merchant_id" => filter.merchant_id = Some("M1".into()),
            "currency" => filter.currency = cardswitch::engine::money::Currency::from_alpha("JPY"),
            "amount_from" => {
                filter.currency = Some(crate::history::EUR);
                filter.amount_from = Some(900_000);
            }
            "amount_until" => {
                filter.currency = Some(crate::history::EUR);
                filter.amount_until = Some(2);
            }
            "link_type" => filter.link_type = Some("user".into()),
            "link_id" => {
                filter.link_type = Some("project".into());
                filter.link_id = Some("project1".into());
            }
            "endpoint_ids" => filter.endpoint_ids = Some(vec!["we_0000000000002".parse().unwrap()]),
            unknown => panic!("{unknown} is a filter that no test knows"),
        }
        store.deliveries(&filter, None, 20).await.unwrap();
        check(fixture, noted, "deliveries", name).await;
    }
    for name in AuditFilter::NAMES {
        let mut filter = AuditFilter::default();
        match *name {
            "api_key_id" => filter.api_key_id = Some("key_0000000000001".into()),
            "object_id" => filter.object_id = Some("card_0000000000001".into()),
            "link_type" => filter.link_type = Some("user".into()),
            "link_id" => {
                filter.link_type = Some("user".into());
                filter.link_id = Some("zz".into());
            }
            "action" => filter.action = Some("x".into()),
            "program_id" => filter.program_id = Some(card.program_id),
            "request_id" => filter.request_id = Some("req_00000000000000a1".into()),
            "outcome" => filter.outcome = Some("failed"),
            "created_from" => filter.created_from = Some(at),
            "created_until" => filter.created_until = Some(at.plus_ms(1)),
            "program_ids" => filter.program_ids = Some(Box::new([card.program_id])),
            unknown => panic!("{unknown} is a filter that no test knows"),
        }
        store.audit_log(&filter, None, 20).await.unwrap();
        check(fixture, noted, "audit_log", name).await;
    }
}

async fn charged(fixture: &Fixture, store: &Store, noted: &Noted, known: &Known) {
    let rows = store.fees(&FeeFilter::default(), None, 1000).await.unwrap();
    let fee = rows.data.iter().rev().find(|row| row.card_id.is_some());
    let tokens = store.tokens(&TokenFilter::default(), None, 1000).await;
    let tokens = tokens.unwrap().data;
    let token = tokens
        .iter()
        .find(|row| row.status == TokenStatus::Suspended);
    noted.lock().unwrap().clear();
    for name in FeeFilter::NAMES {
        let mut filter = FeeFilter::default();
        set_fee(&mut filter, name, fee.unwrap(), known);
        store.fees(&filter, None, 20).await.unwrap();
        check(fixture, noted, "fees", name).await;
    }
    for name in TokenFilter::NAMES {
        let mut filter = TokenFilter::default();
        set_token(&mut filter, name, token.unwrap(), known);
        store.tokens(&filter, None, 20).await.unwrap();
        check(fixture, noted, "tokens", name).await;
    }
    let all = CardholderFilter::default();
    let holders = store.cardholders(&all, None, 1000).await.unwrap().data;
    noted.lock().unwrap().clear();
    for name in CardholderFilter::NAMES {
        let mut filter = CardholderFilter::default();
        set_cardholder(&mut filter, name, &holders[7]);
        store.cardholders(&filter, None, 20).await.unwrap();
        check(fixture, noted, "cardholders", name).await;
    }
    for bounds in some_bounds(known) {
        let of = FeeFilter {
            bounds: Some(bounds.clone()),
            ..FeeFilter::default()
        };
        store.fees(&of, None, 20).await.unwrap();
        check(fixture, noted, "fees", "bounds").await;
        let of = TokenFilter {
            bounds: Some(bounds),
            ..TokenFilter::default()
        };
        store.tokens(&of, None, 20).await.unwrap();
        check(fixture, noted, "tokens", "bounds").await;
    }
}

/// Rows that one statement may look at without need: portions of 512 rows for each of the nine cards that a link has here,
/// of which none may be within the key's other bounds, and what one database's plan adds.
const IN_VAIN_MAX: i64 = 5_000;

async fn check(fixture: &Fixture, noted: &Noted, table: &str, name: &str) {
    let statements = std::mem::take(&mut *noted.lock().unwrap());
    assert!(!statements.is_empty());
    for statement in statements {
        let plan = fixture.plan(&statement).await;
        let scans = match fixture.url.as_str() {
            // A portion of all keys in their order is no scan of the table.
            "sqlite" => {
                let is_in_order = [
                    "WHERE 1 = 1 ORDER BY",
                    "WHERE 1 = 1 AND ledger_account = 'customer' ORDER BY",
                ];
                let is_in_order = is_in_order.iter().any(|order| statement.contains(order));
                let scans = plan.contains(&format!("SCAN {table}")) && !is_in_order;
                // Nor does it go through all links of a type for each row.
                let tells_links_apart = statement.contains("EXISTS (SELECT 1 FROM card_links");
                scans || (tells_links_apart && plan.contains("(link_type=?)"))
            }
            _ => {
                let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
                scans_whole(&plan[0]["Plan"], table)
            }
        };
        assert!(!scans, "{name} of {table} scans it:\n{statement}\n{plan}");
        if fixture.url != "sqlite" {
            let plan_json: serde_json::Value = serde_json::from_str(&plan).unwrap();
            let vain = in_vain(&plan_json[0]["Plan"]);
            assert!(
                vain <= IN_VAIN_MAX,
                "{name} of {table}: {vain} rows in vain:\n{statement}\n{plan}"
            );
        }
    }
}

fn children(plan: &serde_json::Value) -> impl Iterator<Item = &serde_json::Value> {
    plan["Plans"].as_array().into_iter().flatten()
}

fn scans_whole(plan: &serde_json::Value, table: &str) -> bool {
    plan["Node Type"] == "Seq Scan" && plan["Relation Name"] == table
        || children(plan).any(|plan| scans_whole(plan, table))
}

fn in_vain(plan: &serde_json::Value) -> i64 {
    let number = |name: &str| plan[name].as_f64().unwrap_or_default() as i64;
    let removed = number("Rows Removed by Filter") + number("Rows Removed by Join Filter");
    removed * number("Actual Loops").max(1) + children(plan).map(in_vain).sum::<i64>()
}

//! What a refund gives back of limits with `refunds: "restore"`: how much, and to which window. That refunds give
//! nothing back of other limits needs no code, and nothing of this is about money.

use super::apply::counters;
use super::apply_messages::expect_authorization;
use super::authorizations::Authorization;
use super::command::{Authorize, Command};
use super::controls::{Limit, Window};
use super::counters::{CountedIn, Counters};
use super::event::{Authorized, Event, LedgerAccount, Postings};
use super::facts::Kind;
use super::ids::{AccountId, AuthorizationId};
use super::kinds::Direction;
use super::limit_uses::{LimitUse, Uses};
use super::looked_at::LookedAt;
use super::matching::{self, Original};
use super::scope::Scope;
use super::state::{Card, State};
use super::time::Timestamp;
use super::window::window_end;
use serde::{Deserialize, Serialize};

/// What a refund gives back of limits, in the order in which it is given.
pub type GivesBack = Box<[UseGivenBack]>;

/// A part of what was used of a limit, given back by a refund to the window or bucket that counted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseGivenBack {
    /// The account that the use was made from.
    pub account_id: AccountId,
    pub limit_use: LimitUse,
    /// In minor units of the account's currency; above zero.
    pub amount_minor: i64,
}

/// The decision on a request, with what it is a refund of, and what its posting gives back.
pub(super) fn decided(
    state: &State,
    command: &Command,
    payment: &Authorize,
    authorized: Authorized,
) -> Event {
    let purchase = purchase(state, command, payment);
    let gives_back = gives_back(state, command, payment, purchase, &authorized.postings);
    Event::Authorized(Authorized {
        refund_of: id_of(purchase),
        gives_back,
        ..authorized
    })
}

/// What the names of a refund lead to among the payments of its card; `None` for what is no refund.
pub(super) fn purchase<'a>(
    state: &'a State,
    command: &Command,
    payment: &Authorize,
) -> Option<Original<'a>> {
    let (card_id, keys) = (payment.card_id, &payment.original_keys);
    let is_refund = payment.kind == Kind::Refund;
    is_refund.then(|| matching::original(state, command, card_id, keys, Some(Direction::Debit)))
}

pub(super) fn id_of(purchase: Option<Original>) -> Option<AuthorizationId> {
    match purchase {
        Some(Original::Known { authorization, .. }) => Some(authorization.id),
        _ => None,
    }
}

/// What these postings give back of a payment that is a refund of this purchase: nothing, unless it is one.
pub(super) fn gives_back(
    state: &State,
    command: &Command,
    payment: &Authorize,
    purchase: Option<Original>,
    postings: &Postings,
) -> GivesBack {
    let refunded_minor = refunded(postings);
    let Some(purchase) = purchase.filter(|_| refunded_minor > 0) else {
        return GivesBack::default();
    };
    let Some(card) = state.card_of_tree(command.root, payment.card_id) else {
        return GivesBack::default();
    };
    let given = match purchase {
        Original::Known { authorization, .. } => {
            of_purchase(state, command.at, card, authorization)
        }
        Original::Unknown => of_now(state, command.at, payment, card),
        // It was reversed before it came, and never counted.
        Original::ReversedEarly => Vec::new(),
    };
    within(refunded_minor, given)
}

/// What comes to the customer.
fn refunded(postings: &Postings) -> i64 {
    let customer = |account| matches!(account, LedgerAccount::Customer(_));
    let own = postings.iter().filter(|leg| customer(leg.ledger_account));
    own.map(|leg| leg.amount_minor).sum()
}

/// Everything that is used where this purchase counted, of the limits that restore and whose window is not over: from where
/// it was opened to where it was added to last.
fn of_purchase(
    state: &State,
    at: Timestamp,
    card: &Card,
    purchase: &Authorization,
) -> Vec<UseGivenBack> {
    let Some(looked_at) = state
        .account(purchase.account_id)
        .and_then(|account| LookedAt::of(state, card, account))
    else {
        return Vec::new();
    };
    let given = |limit_use: &LimitUse, most_minor: i64| {
        let counters = looked_at.counters_of_use(limit_use, at)?;
        let used_minor = counters.used_in(limit_use.limit_id, limit_use.counted_in());
        Some(UseGivenBack {
            account_id: purchase.account_id,
            limit_use: *limit_use,
            amount_minor: used_minor.min(most_minor),
        })
    };
    let Uses { opened, added } = &purchase.uses;
    let of_opening = opened.iter().filter_map(|opened| given(opened, i64::MAX));
    // No more than increments of this purchase added there.
    let of_added = added.iter();
    let of_added = of_added.filter_map(|added| given(&added.limit_use, added.amount_minor));
    of_opening.chain(of_added).collect()
}

/// Everything that is used now of the limits that restore and would count such a purchase; of a rolling window from
/// its oldest bucket, so that what is given back makes room for the shortest time.
fn of_now(state: &State, at: Timestamp, refund: &Authorize, card: &Card) -> Vec<UseGivenBack> {
    let account = state.account_of(card);
    let Some(looked_at) = LookedAt::of(state, card, account) else {
        return Vec::new();
    };
    // What kind of purchase it was, the refund does not say.
    let purchase = Authorize {
        kind: Kind::Purchase,
        ..refund.clone()
    };
    let groups = &state.registry.groups;
    let counts = |limit: &Limit| {
        let filter = limit.filter.as_ref();
        filter.is_none_or(|filter| filter.is_of(card) && filter.matches(&purchase, groups))
    };
    let mut given = Vec::new();
    for (scope, limit) in looked_at.restoring().filter(|(_, limit)| counts(limit)) {
        let mut give = |(counted_in, amount_minor)| {
            given.push(UseGivenBack {
                account_id: account.id,
                limit_use: LimitUse::new(scope, limit.id, counted_in),
                amount_minor,
            });
        };
        let Some(counters) = looked_at.counters_of(scope, limit) else {
            continue;
        };
        if let Window::Rolling(window) = limit.window {
            counters.used_by_bucket(limit.id, window, at).for_each(give);
        } else if let Some(end) = window_end(limit.window, &limit.time_zone, at) {
            give((CountedIn::Window(end), counters.used(limit.id, end).0));
        }
    }
    given
}

/// As much of each limit as was refunded, in order.
fn within(refunded_minor: i64, mut given: Vec<UseGivenBack>) -> GivesBack {
    for place in 0..given.len() {
        let left_minor = refunded_minor.saturating_sub(before(&given, place));
        let amount_minor = &mut given[place].amount_minor;
        *amount_minor = (*amount_minor).clamp(0, left_minor.max(0));
    }
    given.retain(|given| given.amount_minor > 0);
    given.into_boxed_slice()
}

/// What is given back of the same limit before this place.
fn before(given: &[UseGivenBack], place: usize) -> i64 {
    let of = |given: &UseGivenBack| {
        let LimitUse {
            scope, limit_id, ..
        } = given.limit_use;
        (given.account_id, scope, limit_id)
    };
    let same = given[..place].iter().filter(|g| of(g) == of(&given[place]));
    same.map(|given| given.amount_minor).sum()
}

impl<'a> LookedAt<'a> {
    fn restoring(&self) -> impl Iterator<Item = (Scope, &'a Limit)> {
        let limits = self.limits().map(|(owner, limit)| (owner.scope, limit));
        limits.filter(|(_, limit)| limit.refunds_restore)
    }

    /// Nothing, where its limit is not there any more, does not restore, or counts in another window now.
    fn counters_of_use(&self, limit_use: &LimitUse, at: Timestamp) -> Option<&'a Counters> {
        let mut limits = self.restoring();
        let same = |(scope, limit): &(Scope, &Limit)| {
            *scope == limit_use.scope && limit.id == limit_use.limit_id
        };
        let (scope, limit) = limits.find(same)?;
        self.counters_of(scope, limit)
            .filter(|_| still_counts(limit, limit_use.counted_in(), at))
    }
}

fn still_counts(limit: &Limit, counted_in: CountedIn, at: Timestamp) -> bool {
    match (limit.window, counted_in) {
        (Window::Rolling(window), CountedIn::Bucket(bucket)) => window.counts(bucket, at),
        (window, CountedIn::Window(end)) => window_end(window, &limit.time_zone, at) == Some(end),
        (_, CountedIn::Bucket(_)) => false,
    }
}

/// Gives back what a refund gives, and notes it with the refund.
pub(super) fn apply(state: &mut State, id: AuthorizationId, gives_back: &GivesBack) {
    if gives_back.is_empty() {
        return;
    }
    let card_id = expect_authorization(state, id).card_id;
    for given in gives_back {
        let limit_use = &given.limit_use;
        if let Some(counters) = counters(state, limit_use, given.account_id, card_id) {
            let counted_in = limit_use.counted_in();
            counters.adjust(limit_use.limit_id, counted_in, -given.amount_minor, 0);
        }
    }
    let refund = expect_authorization(state, id);
    let mut gave_back = std::mem::take(&mut refund.gave_back).into_vec();
    for given in gives_back {
        match gave_back.iter_mut().find(|before| same(before, given)) {
            Some(before) => {
                before.amount_minor = before.amount_minor.saturating_add(given.amount_minor);
            }
            None => gave_back.push(*given),
        }
    }
    refund.gave_back = gave_back.into_boxed_slice();
}

fn same(one: &UseGivenBack, other: &UseGivenBack) -> bool {
    (one.account_id, one.limit_use) == (other.account_id, other.limit_use)
}

/// A refund that was reversed, whole or in part, has given back no more than what of it still stands.
pub(super) fn take_again(state: &mut State, id: AuthorizationId) {
    let refund = expect_authorization(state, id);
    if refund.gave_back.is_empty() {
        return;
    }
    let stands_minor = -refund.posted.account_minor;
    let card_id = refund.card_id;
    let before = std::mem::take(&mut refund.gave_back);
    let after = within(stands_minor, before.to_vec());
    for given in &before {
        let stays = after.iter().find(|stays| same(stays, given));
        let stays_minor = stays.map_or(0, |stays| stays.amount_minor);
        let limit_use = &given.limit_use;
        if let Some(counters) = counters(state, limit_use, given.account_id, card_id) {
            let taken_minor = given.amount_minor - stays_minor;
            let counted_in = limit_use.counted_in();
            counters.adjust(limit_use.limit_id, counted_in, taken_minor, 0);
        }
    }
    expect_authorization(state, id).gave_back = after;
}

//! Allow and block lists of merchant category codes, countries and currencies.

use crate::engine::checks::{Checks, Context};
use crate::engine::controls::{Controls, List, ListMode};
use crate::engine::money::Currency;
use crate::engine::reason::DeclineReason;
use crate::engine::trace::{Detail, Step};

pub fn check_mcc(context: &Context, checks: &mut Checks) {
    let mcc = context.command.merchant.mcc;
    let reasons = (DeclineReason::MccNotAllowed, DeclineReason::MccBlocked);
    check(
        context,
        checks,
        Step::Mcc,
        |controls| controls.mcc.as_ref(),
        mcc,
        u32::from(mcc),
        reasons,
    );
}

pub fn check_country(context: &Context, checks: &mut Checks) {
    let country = context.command.merchant.country;
    let reasons = (
        DeclineReason::CountryNotAllowed,
        DeclineReason::CountryBlocked,
    );
    let shown = u32::from(u16::from_be_bytes(country.0));
    check(
        context,
        checks,
        Step::Country,
        |controls| controls.countries.as_ref(),
        country,
        shown,
        reasons,
    );
}

pub fn check_currency(context: &Context, checks: &mut Checks) {
    if context.amount_minor.is_none() {
        // Nothing here can put the amount into the account's currency.
        return checks.fail(
            Step::Currency,
            DeclineReason::CurrencyNotAllowed,
            Detail::None,
        );
    }
    let currency = match context.command.amounts.transaction.currency {
        Currency::ABSENT => context.account.currency,
        stated => stated,
    };
    let reasons = (
        DeclineReason::CurrencyNotAllowed,
        DeclineReason::CurrencyBlocked,
    );
    let shown = u32::from(currency.0);
    check(
        context,
        checks,
        Step::Currency,
        |controls| controls.currencies.as_ref(),
        currency,
        shown,
        reasons,
    );
}

fn check<T: Ord + Copy>(
    context: &Context,
    checks: &mut Checks,
    step: Step,
    list_of: impl Fn(&Controls) -> Option<&List<T>>,
    value: T,
    shown: u32,
    (not_allowed, blocked): (DeclineReason, DeclineReason),
) {
    let mut any = false;
    for (scope, controls) in context.controls() {
        let Some(list) = list_of(controls) else {
            continue;
        };
        any = true;
        let detail = Detail::List {
            scope,
            control_id: list.id,
            value: shown,
        };
        if list.passes(value) {
            checks.pass(step, detail);
        } else {
            checks.fail(
                step,
                if list.mode == ListMode::Allow {
                    not_allowed
                } else {
                    blocked
                },
                detail,
            );
        }
    }
    if !any {
        checks.pass(step, Detail::None);
    }
}

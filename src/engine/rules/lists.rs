//! Allow and block lists of merchant category codes, countries, currencies, channels and entry modes.

use crate::engine::checks::{Checks, Context};
use crate::engine::controls::{Controls, List, ListMode};
use crate::engine::facts::Country;
use crate::engine::money::Currency;
use crate::engine::reason::DeclineReason;
use crate::engine::rules::exceptions::fail_unless_lifted;
use crate::engine::scope::Owner;
use crate::engine::trace::{Detail, Step};

pub fn check_mcc(context: &Context, checks: &mut Checks) {
    let mcc = context.command.merchant.mcc;
    let reasons = (DeclineReason::MccNotAllowed, DeclineReason::MccBlocked);
    let groups = &context.registry.groups;
    let mut any = false;
    for (owner, controls) in context.controls() {
        let Some(list) = &controls.mcc else {
            continue;
        };
        any = true;
        let named = list.names(mcc) || groups.any_has_mcc(&controls.mcc_groups, mcc);
        let detail = Detail::List {
            scope: owner.scope,
            control_id: list.id,
            value: u32::from(mcc),
        };
        note(
            context,
            checks,
            (Step::Mcc, owner, detail),
            list.passes_if(named),
            (list.mode, reasons),
        );
    }
    if !any {
        checks.pass(Step::Mcc, Detail::None);
    }
}

pub fn check_country(context: &Context, checks: &mut Checks) {
    let country = context.command.merchant.country;
    let reasons = (
        DeclineReason::CountryNotAllowed,
        DeclineReason::CountryBlocked,
    );
    let looked_up = (country, u16::from_be_bytes(country.0));
    let listed = look_up(
        context,
        checks,
        Step::Country,
        |of| of.countries.as_ref(),
        looked_up,
        reasons,
    );
    let mut all = context.controls();
    match all.find(|(_, controls)| controls.home_country_only) {
        Some((owner, _)) => check_home(context, checks, owner),
        None if !listed => checks.pass(Step::Country, Detail::None),
        None => {}
    }
}

/// By the first who asks for it. A country that is not known is nobody's home, and a card without a cardholder is at home nowhere.
fn check_home(context: &Context, checks: &mut Checks, owner: Owner) {
    let country = context.command.merchant.country;
    let home = context.card.holder.map(|holder| holder.home_country);
    let detail = Detail::HomeCountry {
        home: u16::from_be_bytes(home.unwrap_or_default().0),
        country: u16::from_be_bytes(country.0),
    };
    if country != Country::UNKNOWN && home == Some(country) {
        checks.pass_of(Step::Country, owner, detail);
    } else {
        let reason = DeclineReason::CountryNotAllowed;
        fail_unless_lifted(context, checks, Step::Country, reason, (owner, detail));
    }
}

pub fn check_currency(context: &Context, checks: &mut Checks) {
    if context.amount_minor.is_none() {
        // Nothing here can put the amount into the account's currency.
        let (reason, detail) = match context.rate_missing() {
            Some((from, to)) => {
                let (from, to) = (from.0, to.0);
                let detail = Detail::NoRate { from, to };
                (DeclineReason::ExchangeRateMissing, detail)
            }
            None => (DeclineReason::InvalidAmount, Detail::None),
        };
        return checks.fail(Step::Currency, reason, detail);
    }
    let stated = context.command.amounts.transaction.currency;
    let assumed = stated == Currency::ABSENT;
    let currency = context.currency_asked();
    if assumed {
        let value = u32::from(currency.0);
        checks.pass(Step::Currency, Detail::Assumed { value });
    }
    let reasons = (
        DeclineReason::CurrencyNotAllowed,
        DeclineReason::CurrencyBlocked,
    );
    let looked_up = (currency, currency.0);
    if !look_up(
        context,
        checks,
        Step::Currency,
        |controls| controls.currencies.as_ref(),
        looked_up,
        reasons,
    ) && !assumed
    {
        checks.pass(Step::Currency, Detail::None);
    }
}

pub fn check_channel(context: &Context, checks: &mut Checks) {
    let channel = context.command.channel;
    let reasons = (DeclineReason::ChannelBlocked, DeclineReason::ChannelBlocked);
    let looked_up = (channel, channel as u16);
    check(
        context,
        checks,
        Step::Channel,
        |of| of.channels.as_ref(),
        looked_up,
        reasons,
    );
}

pub fn check_entry_mode(context: &Context, checks: &mut Checks) {
    let entry_mode = context.command.entry_mode;
    let reasons = (
        DeclineReason::EntryModeBlocked,
        DeclineReason::EntryModeBlocked,
    );
    let looked_up = (entry_mode, entry_mode as u16);
    check(
        context,
        checks,
        Step::EntryMode,
        |of| of.entry_modes.as_ref(),
        looked_up,
        reasons,
    );
}

/// Looks a value up in every list of its kind, and passes where there is none.
fn check<T: Ord + Copy>(
    context: &Context,
    checks: &mut Checks,
    step: Step,
    list_of: impl Fn(&Controls) -> Option<&List<T>>,
    looked_up: (T, u16),
    reasons: (DeclineReason, DeclineReason),
) {
    if !look_up(context, checks, step, list_of, looked_up, reasons) {
        checks.pass(step, Detail::None);
    }
}

/// Looks a value up in every list of its kind, and notes each under the value's code. A value that the
/// message does not state is looked up like any other, as `0000`, `ZZ` or `unknown`. False where there is no list.
fn look_up<T: Ord + Copy>(
    context: &Context,
    checks: &mut Checks,
    step: Step,
    list_of: impl Fn(&Controls) -> Option<&List<T>>,
    (value, code): (T, u16),
    reasons: (DeclineReason, DeclineReason),
) -> bool {
    let mut any = false;
    for (owner, controls) in context.controls() {
        let Some(list) = list_of(controls) else {
            continue;
        };
        any = true;
        let detail = Detail::List {
            scope: owner.scope,
            control_id: list.id,
            value: u32::from(code),
        };
        let passes = list.passes(value);
        note(
            context,
            checks,
            (step, owner, detail),
            passes,
            (list.mode, reasons),
        );
    }
    any
}

fn note(
    context: &Context,
    checks: &mut Checks,
    (step, owner, detail): (Step, Owner, Detail),
    passes: bool,
    (mode, (not_allowed, blocked)): (ListMode, (DeclineReason, DeclineReason)),
) {
    let reason = match mode {
        ListMode::Allow => not_allowed,
        ListMode::Block => blocked,
    };
    match passes {
        true => checks.pass_of(step, owner, detail),
        false => fail_unless_lifted(context, checks, step, reason, (owner, detail)),
    }
}

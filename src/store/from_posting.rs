//! How what a message posts becomes a transaction. Its legs are made in `from_record.rs`.

use super::effect::{self, charged, settled};
use super::from_message::{account_of, advice_of, named_or, request_of, resolved_of, undoing_of};
use super::from_record::{clean_array, lettered, taken};
use super::rows::{AccountFacts, AuthorizationRow, Sequence, TransactionRow, TransactionType};
use crate::engine::authorizations::InBoth;
use crate::engine::command::Authorize;
use crate::engine::event::{AdviceOutcome, Decision, Flags, ResolvedTo};
use crate::engine::facts::{Country, Kind, NetworkReference};
use crate::engine::ids::{AccountId, AuthorizationId, CardId, TransactionId};
use crate::engine::money::Currency;
use crate::engine::record::Record;
use arrayvec::ArrayString;

/// The transaction of a record that posts money for a message, with the authorization that it is of.
pub fn transaction_of(record: &Record) -> Option<(TransactionId, AuthorizationId)> {
    if effect::postings_of(record).is_empty() {
        return None;
    }
    if let Some((authorize, _)) = request_of(record) {
        let id = authorize.authorization_id;
        return Some((TransactionId(id.0), id));
    }
    if let Some((advise, advised)) = advice_of(record) {
        let own_id = advise.payment.authorization_id;
        let of = match advised.outcome {
            AdviceOutcome::Completed {
                authorization_id, ..
            } => authorization_id,
            _ => own_id,
        };
        return Some((TransactionId(own_id.0), of));
    }
    if let Some((resolve, _)) = resolved_of(record) {
        let id = resolve.authorization_id;
        return Some((TransactionId(id.0), id));
    }
    let undoing = undoing_of(record)?;
    Some((TransactionId(undoing.id.0), undoing.undone.authorization_id))
}

/// The authorization that the transaction of a reversal, or of a customer's yes, takes its kind and merchant from.
pub fn original_needed(record: &Record) -> Option<AuthorizationId> {
    if let Some((resolve, resolved)) = resolved_of(record) {
        return (!resolved.postings.is_empty()).then_some(resolve.authorization_id);
    }
    let undoing = undoing_of(record)?;
    (!undoing.postings.is_empty()).then_some(undoing.undone.authorization_id)
}

/// What was paid for, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchase {
    pub kind: Kind,
    pub transaction_currency: Currency,
    pub merchant_id: ArrayString<15>,
    pub merchant_name: ArrayString<40>,
    pub merchant_city: ArrayString<16>,
    pub merchant_country: Country,
    pub mcc: u16,
    pub card_id: CardId,
    pub reference: NetworkReference,
}

impl Purchase {
    pub fn of(row: &AuthorizationRow) -> Purchase {
        Purchase {
            kind: row.kind,
            transaction_currency: row.transaction_currency,
            merchant_id: row.merchant_id,
            merchant_name: row.merchant_name,
            merchant_city: row.merchant_city,
            merchant_country: row.merchant_country,
            mcc: row.mcc,
            card_id: row.card_id,
            reference: NetworkReference {
                network: row.network,
                acquirer_id: row.acquirer_id,
                terminal_id: row.terminal_id,
                rrn: row.rrn,
                stan: row.stan,
            },
        }
    }

    fn of_message(payment: &Authorize, account_currency: Currency) -> Purchase {
        let (merchant, named) = (&payment.merchant, payment.amounts.transaction.currency);
        Purchase {
            kind: payment.kind,
            transaction_currency: lettered(named_or(named, account_currency)),
            merchant_id: clean_array(&merchant.id),
            merchant_name: clean_array(&merchant.name),
            merchant_city: clean_array(&merchant.city),
            merchant_country: merchant.country,
            mcc: merchant.mcc,
            card_id: payment.card_id,
            reference: payment.reference.clone(),
        }
    }
}

/// The row of what a record posts for a message; `None` where it posts nothing, and where `original_of` does not
/// know the authorization of a reversal.
pub fn transaction_row(
    sequence: Sequence,
    record: &Record,
    facts_of: impl Fn(AccountId) -> Option<AccountFacts>,
    original_of: impl FnOnce(AuthorizationId) -> Option<Purchase>,
) -> Option<TransactionRow> {
    let (id, authorization_id) = transaction_of(record)?;
    let account_id = account_of(record)?;
    let amount_minor = -charged(effect::postings_of(record));
    let account = facts_of(account_id);
    let currency = account.map_or_else(Currency::default, |account| account.currency);
    let asked = match (request_of(record), advice_of(record)) {
        (Some((authorize, _)), _) => Some(authorize),
        (None, Some((advise, _))) => Some(&advise.payment),
        (None, None) => None,
    };
    let undoing = undoing_of(record);
    let purchase = match asked {
        Some(payment) => Purchase::of_message(payment, currency),
        None => original_of(authorization_id)?,
    };
    let (reference, card_id) = match &undoing {
        Some(undoing) => (undoing.reference, undoing.card_id),
        None => (&purchase.reference, purchase.card_id),
    };
    let flags = match (advice_of(record), &undoing) {
        (Some((_, advised)), _) => advised.flags,
        (None, Some(undoing)) => undoing.undone.flags,
        (None, None) => Flags::default(),
    };
    Some(TransactionRow {
        sequence,
        id,
        authorization_id,
        card_id,
        account_id,
        transaction_type: match undoing {
            Some(_) => TransactionType::Reversal,
            None if amount_minor > 0 => TransactionType::Refund,
            None => TransactionType::Payment,
        },
        kind: purchase.kind,
        amount_minor,
        currency: lettered(currency),
        transaction_minor: transaction_minor(record, amount_minor),
        transaction_currency: purchase.transaction_currency,
        merchant_id: purchase.merchant_id,
        merchant_name: purchase.merchant_name,
        merchant_city: purchase.merchant_city,
        merchant_country: purchase.merchant_country,
        mcc: purchase.mcc,
        network: clean_array(&reference.network),
        acquirer_id: clean_array(&reference.acquirer_id),
        terminal_id: clean_array(&reference.terminal_id),
        rrn: clean_array(&reference.rrn),
        stan: reference.stan,
        flags,
        network_minor: settled(effect::postings_of(record)),
        created_at_ms: taken(record).0,
        program_id: account.map(|account| account.program_id),
    })
}

/// What was posted in the merchant's currency, signed like the amount in the account's.
fn transaction_minor(record: &Record, amount_minor: i64) -> i64 {
    let asked_minor = |payment: &Authorize| payment.amounts.transaction.amount_minor;
    let magnitude_minor = if let Some((authorize, authorized)) = request_of(record) {
        match &authorized.decision {
            Decision::PartiallyApproved { approved, .. } => approved.amount_minor,
            _ => asked_minor(authorize),
        }
    } else if let Some((advise, _)) = advice_of(record) {
        asked_minor(&advise.payment)
    } else {
        let posted = resolved_of(record).map(|(_, resolved)| match resolved.to {
            ResolvedTo::Approved { posted, .. } => posted,
            _ => InBoth::default(),
        });
        let returned = undoing_of(record).map(|undoing| undoing.undone.returned);
        let returned = posted.or(returned);
        returned.map_or(0, |returned| returned.transaction_minor.saturating_abs())
    };
    amount_minor.signum() * magnitude_minor
}

//! Events of top-ups and transfers.

use super::about::Subject;
use super::fold::Draft;
use super::types::EventType;
use crate::engine::command::{Action, Command};
use crate::engine::event::Event;
use crate::engine::ids::AccountId;
use crate::engine::transfers::{Transfer, TransferStatus, Transferred};
use crate::store::from_money;
use crate::store::row_json;
use crate::store::rows::{Sequence, TopUpRow, TransferRow};
use serde_json::json;

pub(super) fn of_shard(sequence: Sequence, command: &Command, event: &Event) -> Vec<Draft> {
    let at = command.at;
    match (&command.action, event) {
        (Action::TopUp(top_up), Event::Posted { postings: legs, .. }) => {
            let row = from_money::settled_top_up_row(sequence, at, top_up, legs);
            vec![about_top_up(&row, EventType::TopUpSettled)]
        }
        (Action::AnnounceTopUp(top_up), Event::TopUpAnnounced) => {
            let row = from_money::top_up_row(sequence, at, top_up);
            vec![about_top_up(&row, EventType::TopUpCreated)]
        }
        (Action::EndTopUp(end), Event::TopUpEnded(ended)) => {
            let mut row = from_money::top_up_row(sequence, at, &ended.top_up);
            row.created_at_ms = ended.announced_at;
            from_money::end_top_up_row(&mut row, at, end, ended);
            let event_type = match ended.postings.is_empty() {
                true => EventType::TopUpFailed,
                false => EventType::TopUpSettled,
            };
            vec![about_top_up(&row, event_type)]
        }
        (action, Event::Transferred(transferred)) => {
            let Some((transfer, account_ids)) = ended(action, transferred) else {
                return Vec::new();
            };
            let row = from_money::transfer_row(sequence, at, transfer, transferred);
            let drafts = account_ids.into_iter();
            drafts.filter_map(|id| about_transfer(&row, id)).collect()
        }
        (Action::AutoTopUp(_), Event::AutoToppedUp(done)) => {
            let (transfer, event) = (&done.transfer, &done.transferred);
            let row = from_money::transfer_row(sequence, at, transfer, event);
            let both = [transfer.from_account_id, transfer.to_account_id];
            let drafts = both.into_iter();
            drafts.filter_map(|id| about_transfer(&row, id)).collect()
        }
        (
            Action::NoteLowBalance(low),
            Event::BalanceLow {
                available_minor,
                below_minor,
            },
        ) => {
            let account_id = low.account_id;
            let balance = json!({
                "account_id": account_id.to_string(),
                "available": available_minor,
                "below": below_minor,
            });
            vec![Draft {
                event_type: EventType::BalanceLow,
                subject: Subject::Account(account_id),
                content: vec![("balance", balance)],
            }]
        }
        _ => Vec::new(),
    }
}

fn about_top_up(row: &TopUpRow, event_type: EventType) -> Draft {
    Draft {
        event_type,
        subject: Subject::Account(row.account_id),
        content: vec![("top_up", row_json::top_up(row))],
    }
}

/// The transfer that this step ends, and the accounts that hear of it here. Within a tree one record is both ends; the
/// receiver of another tree hears of it with its own step.
fn ended<'a>(action: &'a Action, event: &Transferred) -> Option<(&'a Transfer, Vec<AccountId>)> {
    let settles = event.status == TransferStatus::Settled;
    match action {
        Action::Transfer(transfer) => {
            let both = vec![transfer.from_account_id, transfer.to_account_id];
            Some((transfer, both))
        }
        Action::ReceiveTransfer(receive) if settles => {
            let transfer = &receive.transfer;
            Some((transfer, vec![transfer.to_account_id]))
        }
        Action::EndTransfer(end) => Some((&end.transfer, vec![end.transfer.from_account_id])),
        _ => None,
    }
}

/// Nothing of one that is in transit.
fn about_transfer(row: &TransferRow, account_id: AccountId) -> Option<Draft> {
    let event_type = match row.status {
        TransferStatus::Settled => EventType::TransferSettled,
        TransferStatus::Returned => EventType::TransferReturned,
        TransferStatus::Failed => EventType::TransferFailed,
        TransferStatus::InTransit => return None,
    };
    Some(Draft {
        event_type,
        subject: Subject::Account(account_id),
        content: vec![("transfer", row_json::transfer(row))],
    })
}

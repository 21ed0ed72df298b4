//! What records of shards do to top-ups and transfers in the tables. All else is in `batch.rs`.

use super::batch::Batch;
use super::from_money;
use super::from_record::LedgerSource;
use super::rows::Sequence;
use crate::engine::command::{Action, TopUp};
use crate::engine::event::{Event, Posting};
use crate::engine::time::Timestamp;
use crate::engine::top_ups::{EndTopUp, TopUpEnd, TopUpEnded};
use crate::engine::transfers::Transferred;

impl Batch {
    /// One that is settled at once.
    pub(super) fn top_up(
        &mut self,
        sequence: Sequence,
        at: Timestamp,
        top_up: &TopUp,
        legs: &[Posting],
    ) {
        let row = from_money::settled_top_up_row(sequence, at, top_up, legs);
        self.top_ups.push(row);
        let (id, account_id) = (top_up.top_up_id, top_up.account_id);
        let source = LedgerSource::top_up(id, account_id, top_up.amount, legs);
        self.post(sequence, at, &source, legs);
    }

    fn end_top_up(
        &mut self,
        sequence: Sequence,
        at: Timestamp,
        end: &EndTopUp,
        ended: &TopUpEnded,
    ) {
        let change = from_money::top_up_end(at, end, ended);
        self.row_changes.push(change);
        if let TopUpEnd::Settled { arrived, .. } = &end.end {
            let (id, account_id, legs) = (end.top_up_id, end.account_id, &ended.postings);
            let source = LedgerSource::top_up(id, account_id, *arrived, legs);
            self.post(sequence, at, &source, legs);
        }
    }

    /// Top-ups in two steps, and transfers. False where the event cannot come of the command.
    pub(super) fn money(
        &mut self,
        sequence: Sequence,
        at: Timestamp,
        action: &Action,
        event: &Event,
    ) -> bool {
        match (event, action) {
            (Event::TopUpAnnounced, Action::AnnounceTopUp(top_up)) => {
                let row = from_money::top_up_row(sequence, at, top_up);
                self.top_ups.push(row);
            }
            (Event::TopUpEnded(ended), Action::EndTopUp(end)) => {
                self.end_top_up(sequence, at, end, ended);
            }
            (Event::Transferred(event), action) => {
                return self.transfer(sequence, at, action, event);
            }
            (Event::AutoToppedUp(done), Action::AutoTopUp(_)) => {
                let (transfer, event) = (&done.transfer, &done.transferred);
                let row = from_money::transfer_row(sequence, at, transfer, event);
                self.transfers.push(row);
                let source = LedgerSource::transfer(transfer, transfer.to_account_id);
                self.post(sequence, at, &source, &event.postings);
            }
            (Event::AccountChanged, Action::ChangeAccount(change)) => {
                self.row_changes.extend(from_money::account_change(change));
            }
            // An event for those who listen; the tables have the balance.
            (Event::BalanceLow { .. }, Action::NoteLowBalance(_)) => {}
            // Its row is made with those of all charges.
            (Event::MonthlyFeeCharged { .. }, Action::ChargeMonthlyFee(_)) => {}
            _ => return false,
        }
        true
    }

    fn transfer(
        &mut self,
        sequence: Sequence,
        at: Timestamp,
        action: &Action,
        event: &Transferred,
    ) -> bool {
        let (transfer, account_id) = match action {
            Action::Transfer(transfer) => {
                let row = from_money::transfer_row(sequence, at, transfer, event);
                self.transfers.push(row);
                (&**transfer, transfer.from_account_id)
            }
            Action::ReceiveTransfer(receive) => {
                let transfer = &receive.transfer;
                (transfer, transfer.to_account_id)
            }
            Action::EndTransfer(end) => {
                let change = from_money::transfer_end(at, end, event);
                self.row_changes.push(change);
                (&end.transfer, end.transfer.from_account_id)
            }
            _ => return false,
        };
        let source = LedgerSource::transfer(transfer, account_id);
        self.post(sequence, at, &source, &event.postings);
        true
    }
}

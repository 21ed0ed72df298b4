//! What records of the registry do to the tables. Those of shards are in `batch.rs`.

use super::batch::Batch;
use super::rows::Sequence;
use super::{from_cardholder, from_record};
use crate::engine::registry::{RegistryAction, RegistryCommand, RegistryEvent};

impl Batch {
    /// False where the event cannot come of the command.
    pub(super) fn registry(
        &mut self,
        sequence: Sequence,
        command: &RegistryCommand,
        event: &RegistryEvent,
    ) -> bool {
        match (event, &command.action) {
            (RegistryEvent::ProgramCreated { .. }, RegistryAction::CreateProgram(program)) => {
                let row = from_record::program_row(sequence, program);
                self.programs.push(row);
            }
            (RegistryEvent::ProgramChanged { .. }, RegistryAction::ChangeProgram(change)) => {
                self.row_changes.extend(from_record::program_change(change));
            }
            (RegistryEvent::CardIssued { links, .. }, RegistryAction::IssueCard(issue)) => {
                self.issue(sequence, command.at, issue, links, None);
            }
            (RegistryEvent::CardIssued { links, .. }, RegistryAction::ReissueCard(reissue)) => {
                let replaces = Some(reissue.replaces);
                self.issue(sequence, command.at, &reissue.issue, links, replaces);
            }
            (RegistryEvent::CardRenewed { .. }, RegistryAction::RenewCard(renew)) => {
                self.set_card_expiry(renew.card_id, renew.expiry);
            }
            (RegistryEvent::CardRevealed, RegistryAction::RevealCard(reveal)) => {
                let row = from_record::card_reveal_row(sequence, command.at, reveal);
                self.card_reveals.push(row);
            }
            (RegistryEvent::Audited, RegistryAction::Audit(entry)) => {
                let row = from_record::audit_row(sequence, command.at, entry);
                self.audit(row);
            }
            (RegistryEvent::CardholderCreated, RegistryAction::CreateCardholder(cardholder)) => {
                let row = from_cardholder::row(sequence, cardholder);
                self.cardholders.push(row);
            }
            (RegistryEvent::CardholderVerified { .. }, RegistryAction::VerifyCardholder(id)) => {
                self.row_changes.push(from_cardholder::verified(*id));
            }
            (RegistryEvent::CardholderChanged { .. }, RegistryAction::ChangeCardholder(change)) => {
                self.row_changes.extend(from_cardholder::change(change));
            }
            (RegistryEvent::CardholderSet { .. }, RegistryAction::SetCardholder(set)) => {
                self.row_changes.push(from_cardholder::set(set));
            }
            // A double of an earlier advice.
            (RegistryEvent::Advised(_), RegistryAction::AdviseUnknownCard(_)) => {}
            _ => return !has_row(event),
        }
        true
    }
}

/// A new kind of event must be given its rows above, or said to have none. The row of a token comes with its shard's
/// record.
fn has_row(event: &RegistryEvent) -> bool {
    match event {
        RegistryEvent::SettingsChanged { .. }
        | RegistryEvent::ApprovalChanged { .. }
        | RegistryEvent::GroupsChanged { .. }
        | RegistryEvent::DecisionEndpointPut { .. }
        | RegistryEvent::ApiKeyChanged { .. }
        | RegistryEvent::LinkStatusChanged { .. }
        | RegistryEvent::CardBatchChanged
        | RegistryEvent::WebhookEndpointPut { .. }
        | RegistryEvent::WebhookEndpointDeleted { .. }
        | RegistryEvent::WebhookEndpointDisabled { .. }
        | RegistryEvent::WebhookProgressNoted
        | RegistryEvent::WebhookMoved { .. }
        | RegistryEvent::IdempotentBegun
        | RegistryEvent::IdempotentCompleted
        | RegistryEvent::ExchangeRatesSet { .. }
        | RegistryEvent::RiskRuleCreated { .. }
        | RegistryEvent::RiskRuleChanged { .. }
        | RegistryEvent::LinkControlsSet { .. }
        | RegistryEvent::ExceptionRequested { .. }
        | RegistryEvent::ReferenceReserved
        | RegistryEvent::ReferenceFailed
        | RegistryEvent::CardsOfLinkTold
        | RegistryEvent::TokenRequested
        | RegistryEvent::FeeSchedulePut { .. }
        | RegistryEvent::ExceptionChanged { .. }
        | RegistryEvent::ExceptionExpired { .. } => false,
        RegistryEvent::ProgramCreated { .. }
        | RegistryEvent::ProgramChanged { .. }
        | RegistryEvent::CardIssued { .. }
        | RegistryEvent::CardRenewed { .. }
        | RegistryEvent::CardRevealed
        | RegistryEvent::Audited
        | RegistryEvent::CardholderCreated
        | RegistryEvent::CardholderVerified { .. }
        | RegistryEvent::CardholderChanged { .. }
        | RegistryEvent::CardholderSet { .. }
        | RegistryEvent::Authorized(_)
        | RegistryEvent::Reversed(_)
        | RegistryEvent::Advised(_) => true,
    }
}

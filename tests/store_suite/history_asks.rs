//! More of histories: accounts that are topped up by rule, and writes that wait for a second person.

use super::history::History;
use cardswitch::engine::approvals::{
    Approval, ApprovalChange, ApprovalOutcome, ApprovalState, ChangeApproval, GuardedWrite,
};
use cardswitch::engine::command::Action;
use cardswitch::engine::ids::{AccountId, ApprovalId, TransferId};
use cardswitch::engine::registry::RegistryAction;
use cardswitch::engine::signers::Signer;
use cardswitch::engine::watch::{AutoTopUp, AutoTopUpRule, ChangeAccount};

impl History {
    /// An account has a rule that takes from any other of its tree, or is topped up by the one that it has.
    pub fn watch(&mut self) {
        let (account_id, root) = self.any_account();
        let others: Vec<AccountId> = self
            .accounts
            .iter()
            .filter(|(id, of)| *of == root && *id != account_id)
            .map(|(id, _)| *id)
            .collect();
        if others.is_empty() || self.below(3) > 0 {
            let transfer_id = TransferId(self.id());
            let auto = AutoTopUp {
                transfer_id,
                account_id,
            };
            self.shard(root, Action::AutoTopUp(auto));
            return;
        }
        let from = others[self.below(others.len() as u64) as usize];
        let mut change = ChangeAccount::nothing(account_id);
        change.auto_top_up = Some(Some(AutoTopUpRule {
            below_minor: 10_000_000,
            amount_minor: 500,
            per_day_max: 20,
            from_account_id: Some(from),
        }));
        self.shard(root, Action::ChangeAccount(Box::new(change)));
    }

    /// Somebody asks for a write to an account or a card, or another decides.
    pub fn ask_or_decide(&mut self) {
        let name = |name: &str| Signer {
            api_key_id: None,
            name: name.into(),
        };
        let pending = self.world.registry.approvals.values();
        let pending = pending
            .filter(|known| known.is_unfinished() || known.state == ApprovalState::Pending)
            .map(|known| (known.id, known.is_unfinished()))
            .next();
        let (by, note) = (name("Bob"), None);
        let change = match pending {
            Some((id, true)) => {
                let status = if self.below(2) == 0 { 201 } else { 409 };
                let body = "{}".into();
                let outcome = ApprovalOutcome { status, body };
                (id, ApprovalChange::Finish(outcome))
            }
            Some((id, false)) if self.below(3) > 0 => (id, ApprovalChange::Cancel { by, note }),
            Some((id, false)) => (id, ApprovalChange::Reject { by, note }),
            None => {
                let (account_id, _) = self.any_account();
                let card = self.below(self.cards.len() as u64) as usize;
                let (card_id, _) = self.cards[card];
                let all = [
                    GuardedWrite::TopUp(account_id),
                    GuardedWrite::ChangeAccount(account_id),
                    GuardedWrite::ChangeCard(card_id),
                    GuardedWrite::OpenAccount,
                ];
                let write = all[self.below(4) as usize].clone();
                let wanted = Approval {
                    id: ApprovalId(self.id()),
                    program_id: *self.world.registry.view.programs.keys().next().unwrap(),
                    write,
                    body: "{}".into(),
                    first_id: self.id(),
                    replaces: None,
                    requested_by: name("Ann"),
                    created_at: self.at,
                    expires_at: self.at.plus_ms(86_400_000),
                    state: ApprovalState::Pending,
                    decided: None,
                    outcome: None,
                    approving_request_id: None,
                };
                self.registry(RegistryAction::RequestApproval(Box::new(wanted)));
                return;
            }
        };
        let (id, change) = change;
        let change = ChangeApproval { id, change };
        self.registry(RegistryAction::ChangeApproval(Box::new(change)));
    }

    fn any_account(&mut self) -> (AccountId, AccountId) {
        let place = self.below(self.accounts.len() as u64) as usize;
        self.accounts[place]
    }
}

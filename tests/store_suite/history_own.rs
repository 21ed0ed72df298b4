//! More of histories: cards with accounts of their own, and exceptions.

use super::history::{History, USD};
use cardswitch::engine::command::{Action, CardType, OpenAccount};
use cardswitch::engine::controls::Controls;
use cardswitch::engine::exceptions::{
    ChangeException, ControlException, ExceptionChange, ExceptionState, Lifts, Subject,
};
use cardswitch::engine::facts::Kind;
use cardswitch::engine::ids::{AccountId, ApiKeyId, CardId, ExceptionId, ProgramId, TransferId};
use cardswitch::engine::money::Money;
use cardswitch::engine::registry::{IssueCard, LinkKey, RegistryAction};
use cardswitch::engine::signers::Signer;
use cardswitch::engine::time::Expiry;
use cardswitch::engine::transfers::Transfer;

/// Ann has the root key.
fn signer(name: &str) -> Signer {
    Signer {
        api_key_id: (name != "ann").then_some(ApiKeyId(1)),
        name: name.into(),
    }
}

impl History {
    /// Cards with accounts of their own in one tree, with top-ups, and transfers between them and from the root. Gives the
    /// accounts with their cards.
    pub fn own_accounts(&mut self, count: u64) -> Vec<(AccountId, CardId)> {
        let root = self.roots[0];
        let currency = self.currency_of(root).unwrap();
        let mut own = Vec::new();
        for number in 0..count {
            // The number of the account ends in other letters, up to how many.
            let card_id = CardId(self.id() + [0, 7, 31, 1023][number as usize % 4]);
            let account_id = AccountId(card_id.0 + 1);
            let open = OpenAccount {
                account_id,
                parent_id: Some(root),
                program_id: ProgramId(1),
                currency,
                name: None,
                controls: Controls::default(),
            };
            assert!(self.shard(root, Action::OpenAccount(Box::new(open))));
            self.accounts.push((account_id, root));
            // Of some the card comes after money: its order was cut off.
            if number % 3 == 2 {
                self.top_up(self.accounts.len() - 1, 70);
            }
            let link = |link_type: &str, id: u64| LinkKey {
                program_id: ProgramId(1),
                link_type: link_type.into(),
                id: format!("{link_type}{id}").into(),
            };
            let issue = IssueCard {
                card_id,
                root,
                account_id,
                program_id: ProgramId(1),
                card_type: CardType::Virtual,
                pan_hash: u128::from(card_id.0) << 64,
                sealed_pan: [0xAA; 40].into_iter().collect(),
                first6: 411111,
                last4: 1,
                expiry: Expiry::new(2030, 12).unwrap(),
                links: [link("project", number % 2), link("user", number)]
                    .into_iter()
                    .collect(),
                controls: Controls::default(),
                wallet: None,
                cardholder_id: None,
                paid_by: None,
                shipping: None,
            };
            self.registry(RegistryAction::IssueCard(Box::new(issue)));
            let pending = self.world.pending_cards.get(&card_id).cloned();
            let pending = pending.expect("the card is issued");
            assert!(self.shard(root, pending.into_action()));
            self.cards.push((card_id, root));
            own.push((account_id, card_id));
            for _ in 0..3 {
                self.top_up(self.accounts.len() - 1, 1_000_000);
            }
            for from_account_id in [root, own[0].0] {
                let transfer = Transfer {
                    id: TransferId(self.id()),
                    from_account_id,
                    to_account_id: account_id,
                    to_root: root,
                    amount: Money {
                        amount_minor: 100 + number as i64,
                        currency,
                    },
                };
                self.shard(root, Action::Transfer(Box::new(transfer)));
            }
            let payment = self.payment(card_id, 500, Kind::Purchase, 5411);
            self.send(root, payment);
        }
        own
    }

    /// Some new cards may pay at casinos for a while, and do.
    pub fn lift_gambling(&mut self) {
        for (_, card_id) in self.own_accounts(4) {
            let root = self.roots[0];
            let id = ExceptionId(self.id());
            let exception = ControlException {
                id,
                subject: Subject::Card(card_id),
                lifts: Lifts {
                    mccs: vec![7995],
                    ..Lifts::default()
                },
                starts_at: self.at,
                ends_at: self.at.plus_ms(86_400_000),
                uses_max: None,
                reason: "trip".into(),
                requested_by: signer("ann"),
                created_at: self.at,
                state: ExceptionState::Requested,
                decided: None,
                ended: None,
                tenant: None,
                program_id: ProgramId(1),
                account_ids: Box::default(),
            };
            self.registry(RegistryAction::RequestException(Box::new(exception)));
            self.registry(RegistryAction::ChangeException(Box::new(ChangeException {
                id,
                change: ExceptionChange::Approve,
                by: signer("bob"),
                note: None,
            })));
            for _ in 0..3 {
                let mut payment = self.payment(card_id, 100, Kind::Purchase, 7995);
                payment.amounts.transaction.currency = USD;
                payment.amounts.billing = None;
                self.send(root, payment);
            }
        }
    }
}

//! Histories for the tests: the engine itself decides on a random stream of commands.

use arrayvec::ArrayString;
use cardswitch::engine::api_keys::Bounds;
use cardswitch::engine::command::{
    AccountStatusChange, Action, Advise, Authorize, CardType, ChangeAccountStatus,
    ChangeCardStatus, Command, OpenAccount, ReleaseCause, ReleaseHold, Reverse, StatusChange,
    TopUp,
};
use cardswitch::engine::controls::{Controls, List, ListMode};
use cardswitch::engine::decide::{Outcome, decide};
use cardswitch::engine::facts::{
    Amounts, Channel, Country, EntryMode, Kind, MatchKey, MatchKeys, Merchant, NetworkReference,
    RepeatKey,
};
use cardswitch::engine::ids::{
    AccountId, AuthorizationId, CardId, ControlId, ProgramId, ReversalId, TopUpId, TransferId,
    WebhookEndpointId,
};
use cardswitch::engine::link_states::{ChangeLinkStatus, LinkStatus};
use cardswitch::engine::money::{Currency, Money};
use cardswitch::engine::rates::ExchangeRate;
use cardswitch::engine::record::{ENGINE_VERSION, Record};
use cardswitch::engine::registry::{
    IssueCard, LinkKey, Program, RegistryAction, RegistryCommand, RegistryOutcome, RevealCard,
    SetExchangeRates,
};
use cardswitch::engine::registry_decide;
use cardswitch::engine::reissue::{ReissueCard, ReissueReason, RenewCard};
use cardswitch::engine::time::{Expiry, Timestamp};
use cardswitch::engine::top_ups::{EndTopUp, TopUpEnd};
use cardswitch::engine::transfers::Transfer;
use cardswitch::engine::webhook_endpoints::{WebhookEndpoint, WebhookState};
use cardswitch::engine::world::World;
use cardswitch::store::rows::AccountFacts;
use cardswitch::store::rows::Sequence;

pub const USD: Currency = Currency(840);
pub const EUR: Currency = Currency(978);
/// 2026-11-24T00:00:00Z.
pub const START: Timestamp = Timestamp(1_795_478_400_000);

/// Two names of the message with this number. Names are hashes.
pub fn named(number: u64) -> MatchKeys {
    let mut keys = MatchKeys::default();
    for place in [1, 2] {
        let hashed = (number + place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        keys.by_authority[place] = MatchKey(hashed | 1);
    }
    keys
}

/// A journal in the making, with the state that it folds to.
pub struct History {
    pub records: Vec<(Sequence, Record)>,
    pub world: World,
    pub at: Timestamp,
    pub roots: Vec<AccountId>,
    /// Every account with its root.
    pub accounts: Vec<(AccountId, AccountId)>,
    pub cards: Vec<(CardId, AccountId)>,
    pub authorizations: Vec<(AuthorizationId, CardId, AccountId, Money)>,
    /// Increments and completions, which reversals may name by themselves.
    pub parts: Vec<(u64, CardId, AccountId, Money)>,
    pub posted: Option<Advise>,
    /// Every request with its tree.
    pub sent: Vec<(AccountId, Authorize)>,
    random: u64,
    next_id: u64,
}

impl History {
    /// One program, some accounts with money, some cards.
    pub fn new(seed: u64, accounts: usize, cards: usize) -> History {
        let mut history = History {
            records: Vec::new(),
            world: World::new(3),
            at: START,
            roots: Vec::new(),
            accounts: Vec::new(),
            cards: Vec::new(),
            authorizations: Vec::new(),
            parts: Vec::new(),
            posted: None,
            sent: Vec::new(),
            random: seed,
            next_id: 1,
        };
        history.create_program();
        for _ in 0..accounts.max(1) {
            history.open_account();
        }
        for _ in 0..cards.max(1) {
            history.issue_card();
        }
        history
    }

    pub fn last(&self) -> Sequence {
        self.records.len() as Sequence
    }

    /// A number below `bound` (splitmix64).
    pub fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }

    pub fn facts_of(&self, id: AccountId) -> Option<AccountFacts> {
        let mut shards = self.world.shards.iter();
        let account = shards.find_map(|shard| shard.account(id))?;
        Some(AccountFacts {
            currency: account.currency,
            program_id: account.program_id,
        })
    }

    pub fn currency_of(&self, id: AccountId) -> Option<Currency> {
        let mut shards = self.world.shards.iter();
        shards.find_map(|shard| Some(shard.account(id)?.currency))
    }

    pub fn id(&mut self) -> u64 {
        self.next_id += 1;
        // Spread, as ids of several shards are, and above 2^63 at times.
        self.next_id << 20 | self.next_id << 55 & 1 << 63
    }

    fn push(&mut self, record: Record) {
        self.world.apply(&record);
        self.records.push((self.last() + 1, record));
    }

    pub fn shard(&mut self, root: AccountId, action: Action) -> bool {
        let at = self.at;
        let command = Command { root, at, action };
        let Outcome::Event(event) = decide(self.world.shard(root), &command) else {
            return false;
        };
        let engine_version = ENGINE_VERSION;
        self.push(Record::Shard {
            engine_version,
            command,
            event,
        });
        true
    }

    pub fn registry(&mut self, action: RegistryAction) {
        let command = RegistryCommand {
            at: self.at,
            action,
        };
        if let RegistryOutcome::Event(event) =
            registry_decide::decide(&self.world.registry, &command)
        {
            let engine_version = ENGINE_VERSION;
            self.push(Record::Registry {
                engine_version,
                command,
                event,
            });
        }
    }

    fn create_program(&mut self) {
        let controls = Controls {
            mcc: Some(List::new(ControlId(7), ListMode::Block, vec![7995])),
            ..Controls::default()
        };
        self.registry(RegistryAction::CreateProgram(Box::new(Program {
            id: ProgramId(1),
            name: "Ads".into(),
            network: "visa".into(),
            bin: ArrayString::from("411111").unwrap(),
            currency: USD,
            controls,
            hold_expiry: Default::default(),
            created_at: START,
            foreign_exchange_mark_up_basis_points: 150,
        })));
        let rate = "1.0833".parse().unwrap();
        let (from, to) = (EUR, USD);
        self.registry(RegistryAction::SetExchangeRates(Box::new(
            SetExchangeRates {
                source: "test".into(),
                rates: vec![ExchangeRate { from, to, rate }],
            },
        )));
    }

    /// Somebody hears of everything from now on.
    pub fn subscribe(&mut self) {
        let endpoint = WebhookEndpoint {
            id: WebhookEndpointId(self.id()),
            name: None,
            url: None,
            events: ["*".into()].into(),
            filter: Bounds::default(),
            bounds: Bounds::default(),
            in_order: false,
            thin: false,
            state: WebhookState::Enabled,
            secret_version: 1,
            previous_secret_until: None,
            created_at: self.at,
            created_by: None,
        };
        self.registry(RegistryAction::PutWebhookEndpoint(Box::new(endpoint)));
    }

    pub fn change_link(&mut self, link_type: &str, number: u64, to: LinkStatus) {
        let key = LinkKey {
            program_id: ProgramId(1),
            link_type: link_type.into(),
            id: format!("{link_type}{number}").into(),
        };
        let change = ChangeLinkStatus { key, to };
        self.registry(RegistryAction::ChangeLinkStatus(Box::new(change)));
    }

    pub fn open_account(&mut self) {
        let account_id = AccountId(self.id());
        let (root, parent_id) = match self.roots.first().copied() {
            Some(root) if self.below(4) == 0 => (root, Some(root)),
            _ => (account_id, None),
        };
        let currency = match parent_id {
            Some(parent) => self.currency_of(parent).unwrap(),
            None if self.below(3) == 0 => EUR,
            None => USD,
        };
        let opened = self.shard(
            root,
            Action::OpenAccount(Box::new(OpenAccount {
                account_id,
                parent_id,
                program_id: ProgramId(1),
                currency,
                name: self
                    .next_id
                    .is_multiple_of(2)
                    .then(|| "a \u{1F642} name".into()),
                controls: Controls::default(),
            })),
        );
        assert!(opened);
        if parent_id.is_none() {
            self.roots.push(account_id);
        }
        self.accounts.push((account_id, root));
        self.top_up(self.accounts.len() - 1, 5_000_000);
    }

    pub fn top_up(&mut self, account: usize, amount_minor: i64) {
        let (account_id, root) = self.accounts[account];
        let currency = self.world.shard(root).account(account_id).unwrap().currency;
        let top_up_id = TopUpId(self.id());
        self.shard(
            root,
            Action::TopUp(Box::new(TopUp {
                top_up_id,
                account_id,
                amount: Money {
                    amount_minor,
                    currency,
                },
                method: "swift".into(),
                external_reference: Some("W\0 1".into()),
            })),
        );
    }

    /// In two steps; half of them wait for ever, some fail.
    pub fn announce(&mut self) {
        let place = self.below(self.accounts.len() as u64) as usize;
        let (account_id, root) = self.accounts[place];
        let currency = self.currency_of(account_id).unwrap();
        let (top_up_id, amount_minor) = (TopUpId(self.id()), 1 + self.below(5_000) as i64);
        let top_up = TopUp {
            top_up_id,
            account_id,
            amount: Money {
                amount_minor,
                currency,
            },
            method: "usdt".into(),
            external_reference: self
                .below(2)
                .eq(&0)
                .then(|| format!("W\0{top_up_id}").into()),
        };
        if !self.shard(root, Action::AnnounceTopUp(Box::new(top_up))) {
            return;
        }
        let arrived = match currency {
            USD => Money {
                amount_minor: 12_345 + 10_000 * amount_minor,
                currency: Currency::USDT,
            },
            currency => Money {
                amount_minor,
                currency,
            },
        };
        let end = match self.below(4) {
            0 => TopUpEnd::Failed {
                reason: "no\0money".into(),
            },
            1 => TopUpEnd::Settled {
                arrived,
                received_on: Some("2026-11-28".into()),
            },
            _ => return,
        };
        let end = EndTopUp {
            top_up_id,
            account_id,
            end,
        };
        self.shard(root, Action::EndTopUp(Box::new(end)));
    }

    /// Between any two accounts; what has to come next comes later.
    pub fn transfer(&mut self) {
        let (from, to) = [(); 2]
            .map(|()| self.below(self.accounts.len() as u64) as usize)
            .into();
        let ((from_account_id, root), (to_account_id, to_root)) =
            (self.accounts[from], self.accounts[to]);
        let transfer = Transfer {
            id: TransferId(self.id()),
            from_account_id,
            to_account_id,
            to_root,
            amount: Money {
                // Much, so that some accounts come to have little.
                amount_minor: 1 + self.below(3_000_000) as i64,
                currency: self.currency_of(from_account_id).unwrap(),
            },
        };
        self.shard(root, Action::Transfer(Box::new(transfer)));
    }

    /// The next step of a transfer between trees.
    pub fn carry(&mut self) {
        let pending = self.world.pending_transfers.values().next().cloned();
        if let Some(next) = pending {
            assert!(self.shard(next.root, next.action));
        }
    }

    pub fn issue_card(&mut self) {
        let (account_id, root) = self.accounts[self.cards.len() % self.accounts.len()];
        let (card_id, number) = (CardId(self.id()), self.cards.len() as u64);
        let link = |link_type: &str, id: u64| LinkKey {
            program_id: ProgramId(1),
            link_type: link_type.into(),
            id: format!("{link_type}{id}").into(),
        };
        let (project, user) = (link("project", number % 3), link("user", number));
        let issue = IssueCard {
            card_id,
            root,
            account_id,
            program_id: ProgramId(1),
            card_type: if number % 5 == 4 {
                CardType::Physical
            } else {
                CardType::Virtual
            },
            pan_hash: u128::from(number) + 1,
            sealed_pan: [0xAA; 40].into_iter().collect(),
            first6: 411111,
            last4: (number % 10_000) as u16,
            expiry: Expiry::new(2030, 12).unwrap(),
            // One named twice.
            links: [project.clone(), user, project].into_iter().collect(),
            controls: Controls::default(),
            wallet: None,
            cardholder_id: None,
        };
        self.registry(RegistryAction::IssueCard(Box::new(issue.clone())));
        self.cards.push((card_id, root));
        // Now and then the shard hears of it later.
        if number % 7 != 3 {
            self.open_card(card_id);
        }
    }

    /// Of a card that its shard has, and that was not replaced.
    fn reissue_or_renew(&mut self) {
        let place = self.below(self.cards.len() as u64) as usize;
        let (replaces, root) = self.cards[place];
        let (card_id, reissues) = (CardId(self.id()), self.below(3) == 0);
        let registry = &self.world.registry;
        let issued = registry.issued_cards.get(replaces).unwrap().clone();
        let Some(card) = self.world.shard(root).card(replaces).cloned() else {
            return;
        };
        if issued
            .chain
            .is_some_and(|chain| chain.replaced_by.is_some())
        {
            return;
        }
        let expiry = Expiry(issued.expiry.0 + 1);
        if !reissues {
            let renew = RenewCard {
                card_id: replaces,
                expiry,
            };
            self.registry(RegistryAction::RenewCard(renew));
            self.shard(root, Action::RenewCard(renew));
            return;
        }
        let links = issued.links.iter();
        let links = links.map(|link| registry.link_key(*link).unwrap().clone());
        let issue = IssueCard {
            card_id,
            root,
            account_id: card.account_id,
            program_id: ProgramId(1),
            card_type: card.card_type,
            pan_hash: u128::from(card_id.0) << 64,
            sealed_pan: [0xAA; 40].into_iter().collect(),
            first6: 411111,
            last4: (card_id.0 % 10_000) as u16,
            expiry,
            links: links.collect(),
            controls: Controls::default(),
            wallet: None,
            cardholder_id: None,
        };
        let reissue = ReissueCard {
            replaces,
            reason: ReissueReason::Lost,
            issue,
        };
        self.registry(RegistryAction::ReissueCard(Box::new(reissue)));
        self.cards.push((card_id, root));
        self.open_card(card_id);
    }

    fn open_card(&mut self, card_id: CardId) {
        if let Some(pending) = self.world.pending_cards.get(&card_id).cloned() {
            assert_eq!(pending.open.card_id, card_id);
            self.shard(pending.root, pending.into_action());
        }
    }

    /// One authorization of a random card.
    pub fn authorize(&mut self, amount_minor: i64, kind: Kind, mcc: u16) {
        let place = self.below(self.cards.len() as u64) as usize;
        let authorize = self.payment(self.cards[place].0, amount_minor, kind, mcc);
        self.send(self.cards[place].1, authorize);
    }

    /// A request; what opens no authorization of its own is not kept for later messages.
    pub fn send(&mut self, root: AccountId, authorize: Authorize) {
        let (id, card_id) = (authorize.authorization_id, authorize.card_id);
        let (transaction, kind) = (authorize.amounts.transaction, authorize.kind);
        self.sent.push((root, authorize.clone()));
        let sent = self.shard(root, Action::Authorize(authorize));
        if sent && kind == Kind::Incremental {
            self.parts.push((id.0, card_id, root, transaction));
        } else if sent {
            self.authorizations.push((id, card_id, root, transaction));
        }
    }

    /// What a message of a card says of a payment.
    pub fn payment(
        &mut self,
        card_id: CardId,
        amount_minor: i64,
        kind: Kind,
        mcc: u16,
    ) -> Authorize {
        let id = AuthorizationId(self.id());
        let currency = if self.below(10) == 0 { EUR } else { USD };
        let transaction = Money {
            amount_minor,
            currency,
        };
        let billing = (self.below(2) == 0).then_some(Money {
            amount_minor,
            currency: if currency == USD { EUR } else { USD },
        });
        Authorize {
            authorization_id: id,
            card_id,
            kind,
            amounts: Amounts {
                transaction,
                billing,
            },
            merchant: Merchant {
                id: ArrayString::from("MERCHANT0000001").unwrap(),
                name: ArrayString::from("CAF\u{c9} \0 'x\" <b>").unwrap(),
                city: ArrayString::from("SPRINGFIELD").unwrap(),
                country: Country::from_alpha2("US").unwrap(),
                country_is_acquirers: false,
                mcc,
            },
            entry_mode: EntryMode::Chip,
            channel: Channel::PointOfSale,
            partial_approval_supported: self.below(4) == 0,
            reference: self.reference(id.0),
            repeat_key: RepeatKey(u128::from(id.0) << 1),
            match_keys: named(id.0),
            ..Authorize::default()
        }
    }

    pub fn reference(&self, id: u64) -> NetworkReference {
        let network = if id >> 20 & 3 == 0 {
            "mastercard"
        } else {
            "visa"
        };
        NetworkReference {
            network: ArrayString::from(network).unwrap(),
            acquirer_id: ArrayString::from("12345678901").unwrap(),
            terminal_id: ArrayString::from("TERM0001").unwrap(),
            rrn: ArrayString::from(&format!("{:012}", id >> 20 & 0xff_ffff)).unwrap(),
            stan: (id >> 20) as u32 % 1_000_000,
        }
    }

    fn authorize_unknown_card(&mut self) {
        let id = AuthorizationId(self.id());
        let authorize = Authorize {
            authorization_id: id,
            card_id: CardId(id.0),
            amounts: Amounts {
                transaction: Money {
                    amount_minor: 100,
                    // No such currency.
                    currency: Currency(1),
                },
                billing: None,
            },
            reference: self.reference(id.0),
            repeat_key: RepeatKey(u128::from(id.0) << 1),
            ..Authorize::default()
        };
        let bin_known = self.below(2) == 0;
        self.registry(RegistryAction::AuthorizeUnknownCard {
            authorize,
            bin_known,
        });
    }

    /// Reverses the authorization at this place (again, perhaps).
    pub fn reverse(&mut self, place: usize) {
        let (original, card_id, root, amount) = self.authorizations[place];
        self.reverse_named(original.0, card_id, root, amount, None);
    }

    /// Ends the hold of the authorization at this place, if it still has one.
    pub fn release(&mut self, place: usize) {
        let (authorization_id, _, root, _) = self.authorizations[place];
        let cause = ReleaseCause::Manual;
        self.shard(
            root,
            Action::ReleaseHold(ReleaseHold {
                authorization_id,
                cause,
            }),
        );
    }

    /// Reverses what this number names, but for what is to stay of it.
    pub fn reverse_named(
        &mut self,
        number: u64,
        card_id: CardId,
        root: AccountId,
        amount: Money,
        stays_minor: Option<i64>,
    ) {
        let id = self.id();
        let reverse = Reverse {
            reversal_id: ReversalId(id),
            card_id,
            amount,
            reference: self.reference(id),
            repeat_key: RepeatKey(u128::from(id) << 1 | 1),
            original_keys: named(number),
            stays: stays_minor.map(|amount_minor| Money {
                amount_minor,
                ..amount
            }),
            is_marked_repeat: false,
        };
        self.shard(root, Action::Reverse(reverse));
    }

    fn change_status(&mut self) {
        let place = self.below(self.cards.len() as u64) as usize;
        let (card_id, root) = self.cards[place];
        let change = match self.below(12) {
            0..3 => StatusChange::Freeze,
            3..8 => StatusChange::Unfreeze,
            _ => StatusChange::Activate,
        };
        let change = ChangeCardStatus { card_id, change };
        self.shard(root, Action::ChangeCardStatus(change));
    }

    fn change_account_status(&mut self) {
        let place = self.below(self.accounts.len() as u64) as usize;
        let (account_id, root) = self.accounts[place];
        let change = match self.below(12) {
            0..2 => AccountStatusChange::Freeze,
            2..11 => AccountStatusChange::Unfreeze,
            _ => AccountStatusChange::Close,
        };
        let change = ChangeAccountStatus { account_id, change };
        self.shard(root, Action::ChangeAccountStatus(change));
    }

    fn reveal(&mut self) {
        let place = self.below(self.cards.len() as u64) as usize;
        let reveal = RevealCard {
            card_id: self.cards[place].0,
            reason: "a \0 call".into(),
            api_key_id: "root".into(),
        };
        self.registry(RegistryAction::RevealCard(Box::new(reveal)));
    }

    /// `count` further commands of all kinds; repeats and refusals leave no record.
    pub fn go_on(&mut self, count: usize) {
        const KINDS: [Kind; 4] = [
            Kind::Purchase,
            Kind::CashWithdrawal,
            Kind::Refund,
            Kind::AccountVerification,
        ];
        for _ in 0..count {
            self.at = self.at.plus_ms(self.below(20_000) as i64);
            match self.below(112) {
                108..112 => self.announce(),
                100..104 => self.transfer(),
                104..108 => self.carry(),
                0..35 => self.message(),
                35..60 => {
                    let kind = KINDS[self.below(20).saturating_sub(16) as usize];
                    let amount_minor = 1 + self.below(90_000) as i64;
                    let mcc = if self.below(8) == 0 { 7995 } else { 5411 };
                    self.authorize(amount_minor, kind, mcc);
                }
                60..66 if !self.authorizations.is_empty() => {
                    let age = self.below(60) as usize;
                    let place = self.authorizations.len().saturating_sub(1 + age);
                    self.release(place);
                }
                66..80 if !self.authorizations.is_empty() => {
                    // Young ones rather, so that they fall into the same batch now and then.
                    let age = self.below(30) as usize;
                    let place = self.authorizations.len().saturating_sub(1 + age);
                    self.reverse(place);
                }
                80..84 => {
                    let (card_id, root) = self.cards[0];
                    let rrn = self.id();
                    let amount = Money {
                        amount_minor: 5,
                        currency: USD,
                    };
                    self.reverse_named(rrn, card_id, root, amount, None);
                }
                84..87 => self.authorize_unknown_card(),
                87..90 => {
                    let account = self.below(self.accounts.len() as u64) as usize;
                    let amount_minor = 1 + self.below(1_000) as i64;
                    self.top_up(account, amount_minor);
                }
                90..92 => self.open_account(),
                92..94 => self.issue_card(),
                94..95 => {
                    let pending = self.world.pending_cards.keys().next().copied();
                    pending
                        .into_iter()
                        .for_each(|card_id| self.open_card(card_id));
                }
                95..97 => self.change_account_status(),
                97..98 => self.reveal(),
                98..=98 => self.reissue_or_renew(),
                _ => self.change_status(),
            }
        }
    }
}

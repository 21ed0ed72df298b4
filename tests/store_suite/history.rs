//! Histories for the tests: the engine itself decides on a random stream of commands.

use arrayvec::ArrayString;
use cardswitch::engine::api_keys::Bounds;
use cardswitch::engine::audit::{AuditEntry, Requester};
use cardswitch::engine::card_expiry::ExpireCard;
use cardswitch::engine::cardholders::{Cardholder, ChangeCardholder};
use cardswitch::engine::command::{
    AccountStatusChange, Action, Advise, Authorize, CardType, ChangeAccountStatus,
    ChangeCardStatus, Command, OpenAccount, ReleaseCause, ReleaseHold, Reverse, StatusChange,
    TopUp,
};
use cardswitch::engine::controls::{Controls, List, ListMode};
use cardswitch::engine::decide::{Outcome, decide};
use cardswitch::engine::facts::{
    Amounts, Channel, Country, EntryMode, Kind, MatchKey, MatchKeys, Merchant, NamedToken,
    NetworkReference, RepeatKey,
};
use cardswitch::engine::fees::monthly::{self, ChargeMonthlyFee};
use cardswitch::engine::fees::price::Price;
use cardswitch::engine::fees::schedule::{FeeItem, FeeKind, ProgramFees, PutFeeSchedule};
use cardswitch::engine::ids::{
    AccountId, AuthorizationId, CardId, CardholderId, ControlId, FeeScheduleId, ProgramId,
    ReversalId, TokenId, TopUpId, TransferId, WebhookEndpointId,
};
use cardswitch::engine::link_states::{ChangeLinkStatus, LinkStatus};
use cardswitch::engine::money::{Currency, Money};
use cardswitch::engine::programs::{Bin, ChangeProgram, ProgramStatus};
use cardswitch::engine::rates::ExchangeRate;
use cardswitch::engine::record::{ENGINE_VERSION, Record};
use cardswitch::engine::registry::{
    IssueCard, LinkKey, Program, RegistryAction, RegistryCommand, RegistryOutcome, RevealCard,
    SetExchangeRates,
};
use cardswitch::engine::registry_decide;
use cardswitch::engine::reissue::{ReissueCard, ReissueReason, RenewCard};
use cardswitch::engine::shipping::{
    ChangeShipping, Parcel, ShippingAddress, ShippingOrder, ShippingStatus,
};
use cardswitch::engine::time::{Expiry, Timestamp};
use cardswitch::engine::token_numbers::RequestToken;
use cardswitch::engine::tokens::{ChangeTokenStatus, OpenToken, TokenChange, TokenDevice};
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

fn shipping_order() -> ShippingOrder {
    ShippingOrder {
        address: ShippingAddress {
            name: "Ann Example".into(),
            line1: "Main St 1".into(),
            line2: None,
            city: "Berlin".into(),
            region: None,
            postal_code: "10115".into(),
            country: Country::from_alpha2("DE").unwrap(),
            phone: None,
        },
        method: "standard".into(),
    }
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

    /// Who asked for the next record: mostly nobody, at times the request of the one before too.
    fn requester(&self) -> Option<Box<Requester>> {
        let request = self.last() / 2;
        request.is_multiple_of(3).then(|| {
            Box::new(Requester {
                api_key_id: None,
                action: "POST /v1/cards".into(),
                object_id: None,
                request_id: format!("req_{request}").into(),
                address: None,
                in_background: false,
            })
        })
    }

    /// Says how the request of an earlier record ended.
    pub fn end_request(&mut self) {
        let asked = self.records.iter().rev();
        let asked = asked.filter_map(|(_, record)| record.requester());
        let Some(requester) = asked.take(3).last().cloned() else {
            return;
        };
        let error_code = self.last().is_multiple_of(3).then(|| "conflict".into());
        self.registry(RegistryAction::Audit(Box::new(AuditEntry {
            requester,
            object_id: Some("card_1".into()),
            program_id: None,
            before: None,
            after: Some("{}".into()),
            error_code,
        })));
    }

    pub fn shard(&mut self, root: AccountId, action: Action) -> bool {
        let at = self.at;
        let command = Command { root, at, action };
        let Outcome::Event(event) = decide(self.world.shard(root), &command) else {
            return false;
        };
        let engine_version = ENGINE_VERSION;
        let requester = self.requester();
        self.push(Record::Shard {
            engine_version,
            command,
            event,
            requester,
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
            let requester = match command.action {
                RegistryAction::Audit(_) => None,
                _ => self.requester(),
            };
            self.push(Record::Registry {
                engine_version,
                command,
                event,
                requester,
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
            ..Program::default()
        })));
        self.registry(RegistryAction::ChangeProgram(Box::new(ChangeProgram {
            name: Some("Travel".into()),
            status: Some(ProgramStatus::Suspended),
            bins: Some(
                ["422222", "411111"]
                    .map(|bin| Bin::from(bin).unwrap())
                    .into(),
            ),
            product_type: Some("prepaid".into()),
            region: Some("US".into()),
            ..ChangeProgram::nothing(ProgramId(1))
        })));
        self.registry(RegistryAction::ChangeProgram(Box::new(ChangeProgram {
            status: Some(ProgramStatus::Active),
            ..ChangeProgram::nothing(ProgramId(1))
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

    /// From a mark-up of its own to a schedule of fees, and back.
    fn change_fees(&mut self) {
        let price = |amount_minor, basis_points| Price {
            amount_minor,
            basis_points,
            ..Price::default()
        };
        let more = self.below(50) as u16;
        let item = |(kind, _): &(FeeKind, &str)| FeeItem {
            kind: *kind,
            fee: match kind.has_basis() {
                true => price(0, 150 + more),
                false => price(20, 0),
            },
            reseller_mark_up: match kind.has_basis() {
                true => price(0, more),
                false => price(i64::from(more), 0),
            },
        };
        let put = PutFeeSchedule {
            decline_fees_per_card_per_day_max: None,
            id: FeeScheduleId(1),
            name: "standard".into(),
            currency: USD,
            time_zone: "Europe/Berlin".into(),
            items: FeeKind::ALL.iter().map(item).collect(),
        };
        self.registry(RegistryAction::PutFeeSchedule(Box::new(put)));
        let program = &self.world.registry.view.programs[&ProgramId(1)];
        let charges = program.fees.is_none();
        let fees = ProgramFees {
            fee_schedule_id: FeeScheduleId(1),
            since: self.at,
        };
        self.registry(RegistryAction::ChangeProgram(Box::new(ChangeProgram {
            foreign_exchange_mark_up_basis_points: Some(if charges { 0 } else { 150 }),
            fees: Some(charges.then_some(fees)),
            ..ChangeProgram::nothing(ProgramId(1))
        })));
    }

    /// A schedule of fees from now on, if there is none.
    pub fn have_fees(&mut self) {
        let program = &self.world.registry.view.programs[&ProgramId(1)];
        if program.fees.is_none() {
            self.change_fees();
        }
    }

    /// A month later.
    pub fn charge_months(&mut self) {
        self.have_fees();
        self.at = self.at.plus_ms(31 * 24 * 3_600_000);
        for (card_id, root) in self.cards.clone() {
            let state = self.world.shard(root);
            let card = state.card(card_id);
            let month = card.and_then(|card| monthly::due(state, card, self.at));
            if let Some(month) = month {
                let due = ChargeMonthlyFee { card_id, month };
                assert!(self.shard(root, Action::ChargeMonthlyFee(due)));
            }
        }
    }

    /// The cards' expiry passes, and it is recorded of those that it is told of. No payment after it is approved.
    pub fn expire_cards(&mut self) -> usize {
        self.at = Expiry::new(2030, 12).unwrap().ends_at();
        let mut expired = 0;
        for (card_id, root) in self.cards.clone() {
            if let Some(card) = self.world.shard(root).card(card_id) {
                let expiry = card.expiry;
                let expire = ExpireCard { card_id, expiry };
                expired += usize::from(self.shard(root, Action::ExpireCard(expire)));
            }
        }
        expired
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
            tenant: None,
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
                tenant: None,
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
            tenant: None,
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
            payment: None,
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

    /// Cardholders, of whom some are verified, and some of those no more.
    pub fn cardholders(&mut self, count: u64) {
        for place in 0..count {
            let id = CardholderId(self.id());
            let country = ["DE", "IE", "FR"][place as usize % 3];
            let country = Country::from_alpha2(country).unwrap();
            self.registry(RegistryAction::CreateCardholder(Box::new(Cardholder {
                id,
                program_id: ProgramId(1),
                name: (place % 2 == 0).then(|| format!("Holder {place}").into()),
                home_country: country,
                verified: place % 5 == 0,
                created_at: self.at,
            })));
            if place % 3 == 0 {
                self.registry(RegistryAction::VerifyCardholder(id));
            }
            if place % 4 == 0 {
                let change = ChangeCardholder {
                    id,
                    name: (place % 8 == 0).then(|| "Another".into()),
                    home_country: Country::from_alpha2("US"),
                    verified: Some(false),
                };
                self.registry(RegistryAction::ChangeCardholder(Box::new(change)));
            }
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
            paid_by: None,
            shipping: (number % 10 == 4).then(|| Box::new(shipping_order())),
        };
        self.registry(RegistryAction::IssueCard(Box::new(issue.clone())));
        self.cards.push((card_id, root));
        // Now and then the shard hears of it later.
        if number % 7 != 3 {
            self.open_card(card_id);
        }
    }

    /// Of a card that its shard has, and that was not replaced.
    pub fn reissue_or_renew(&mut self) {
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
            paid_by: None,
            shipping: card
                .shipping
                .as_ref()
                .map(|known| Box::new(known.order.clone())),
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

    /// What comes next of a card that is made and sent.
    fn ship(&mut self) {
        let shipped = self.cards.iter().copied().filter(|(card_id, root)| {
            let card = self.world.shard(*root).card(*card_id);
            card.is_some_and(|card| card.shipping.is_some())
        });
        let shipped: Vec<_> = shipped.collect();
        if shipped.is_empty() {
            return;
        }
        let place = self.below(shipped.len() as u64) as usize;
        let (card_id, root) = shipped[place];
        let statuses = ShippingStatus::NAMED;
        let (to, _) = statuses[self.below(statuses.len() as u64) as usize];
        let change = ChangeShipping {
            card_id,
            to,
            parcel: Parcel {
                carrier: Some("DHL\0".into()),
                ..Parcel::default()
            },
        };
        self.shard(root, Action::ChangeShipping(Box::new(change)));
    }

    /// A new token, another status of one, or a payment that names one.
    pub fn token(&mut self) {
        let place = self.below(self.cards.len() as u64) as usize;
        let (card_id, root) = self.cards[place];
        let (token_id, choice) = (TokenId(self.id()), self.below(4));
        let of_card = self.world.shard(root).tokens.of_card(card_id).last();
        match of_card.map(|token| token.id) {
            Some(token_id) if choice < 2 => {
                let changes = [
                    TokenChange::Activate,
                    TokenChange::Suspend,
                    TokenChange::Resume,
                    TokenChange::Delete,
                ];
                let change = changes[self.below(4) as usize];
                let change = ChangeTokenStatus { token_id, change };
                self.shard(root, Action::ChangeTokenStatus(change));
            }
            Some(token_id) if choice == 2 => {
                let mut payment = self.payment(card_id, 700, Kind::Purchase, 5411);
                payment.token = NamedToken::BesideCard(token_id);
                self.send(root, payment);
            }
            _ => {
                let request = RequestToken {
                    root,
                    number_hash: u128::from(token_id.0) << 64 | 1,
                    sealed_number: [0xAA; 40].into_iter().collect(),
                    open: OpenToken {
                        token_id,
                        card_id,
                        first6: 411111,
                        last4: (token_id.0 % 10_000) as u16,
                        expiry: (choice == 0).then(|| Expiry::new(2031, 1).unwrap()),
                        wallet: "apple\0pay".into(),
                        device: (choice == 1).then(|| TokenDevice {
                            device_type: Some("phone".into()),
                            name: Some("Ann\0's".into()),
                        }),
                    },
                };
                let open = request.pending().into_action();
                self.registry(RegistryAction::RequestToken(Box::new(request)));
                self.shard(root, open);
            }
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
            ..Reverse::default()
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
            if self.last().is_multiple_of(7) {
                self.end_request();
            }
            match self.below(125) {
                119..122 => self.watch(),
                122..125 => self.ask_or_decide(),
                116..119 => self.ship(),
                112..116 => self.token(),
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
                99..=99 => self.change_fees(),
                _ => self.change_status(),
            }
        }
    }
}

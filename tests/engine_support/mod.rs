//! A world with one program, driven command by command as shards and registry would, with every
//! record kept. What is tested does not live here.
#![allow(dead_code)]

pub mod kept;

use arrayvec::ArrayString;
use cardswitch::engine::cardholders::{Cardholder, SetCardholder};
use cardswitch::engine::command::*;
use cardswitch::engine::controls::{Controls, Limit, Window};
use cardswitch::engine::decide::{Outcome, decide};
use cardswitch::engine::decision_endpoints::{DecisionEndpoint, Fallback};
use cardswitch::engine::facts::*;
use cardswitch::engine::fees::monthly::{self, ChargeMonthlyFee};
use cardswitch::engine::fees::price::Price;
use cardswitch::engine::fees::schedule::{FeeItem, FeeKind, ProgramFees, PutFeeSchedule};
use cardswitch::engine::ids::*;
use cardswitch::engine::links::SetLinkControls;
use cardswitch::engine::money::{Currency, Money};
use cardswitch::engine::rates::ExchangeRate;
use cardswitch::engine::record::{self, Record};
use cardswitch::engine::registry::*;
use cardswitch::engine::registry_decide;
use cardswitch::engine::reissue::{ReissueCard, ReissueReason, RenewCard};
use cardswitch::engine::shipping::ShippingOrder;
use cardswitch::engine::signers::Signer;
use cardswitch::engine::time::{Expiry, Timestamp};
use cardswitch::engine::transfers::Transfer;
use cardswitch::engine::wallet::Wallet;
use cardswitch::engine::watch::{self, AutoTopUp, ChangeAccount, Due, Look, NoteLowBalance};
use cardswitch::engine::world::{World, open_card_of};
use cardswitch::journal::{FileStorage, Journal, RecordBatch, Settings};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use tempfile::TempDir;

pub const USD: Currency = Currency(840);
pub const PROGRAM: ProgramId = ProgramId(1);
pub const FEES: FeeScheduleId = FeeScheduleId(1);

fn assert_matches_event(outcome: &RegistryOutcome) {
    assert!(matches!(outcome, RegistryOutcome::Event(_)), "{outcome:?}");
}

/// A fee of a fixed amount, with what the reseller adds.
pub fn fee(kind: FeeKind, amount_minor: i64, reseller_minor: i64) -> FeeItem {
    let price = |amount_minor| Price {
        amount_minor,
        ..Price::default()
    };
    FeeItem {
        kind,
        fee: price(amount_minor),
        reseller_mark_up: price(reseller_minor),
    }
}

/// A fee that is a share, with what the reseller adds; in basis points.
pub fn share(kind: FeeKind, basis_points: u16, reseller_basis_points: u16) -> FeeItem {
    let price = |basis_points| Price {
        basis_points,
        ..Price::default()
    };
    FeeItem {
        kind,
        fee: price(basis_points),
        reseller_mark_up: price(reseller_basis_points),
    }
}

pub fn usd(amount_minor: i64) -> Money {
    Money {
        amount_minor,
        currency: USD,
    }
}

pub fn time(text: &str) -> Timestamp {
    let parsed: jiff::Timestamp = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
    Timestamp(parsed.as_millisecond())
}

/// As the network side makes keys: a hash of the fields that name a message.
pub fn key_of(text: &str) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    hasher.finish128().as_u128()
}

pub fn match_key(text: &str) -> MatchKey {
    MatchKey(key_of(text) as u64)
}

pub fn rrn(text: &str) -> MatchKey {
    match_key(&format!("rrn {text}"))
}

pub fn sent(text: &str) -> MatchKey {
    match_key(&format!("sent {text}"))
}

pub fn local(text: &str) -> MatchKey {
    match_key(&format!("local {text}"))
}

/// An approval code.
pub fn code(text: &str) -> MatchKey {
    match_key(&format!("code {text}"))
}

/// A name of each kind, all from one text, and no acquirer.
pub fn names_of(text: &str) -> MatchKeys {
    let none = MatchKey::UNSTATED;
    MatchKeys {
        by_authority: [rrn(text), sent(text), local(text), none, none],
        ..MatchKeys::default()
    }
}

pub struct Switch {
    pub world: World,
    pub at: Timestamp,
    pub records: Vec<Vec<u8>>,
}

/// One of every kind.
#[allow(dead_code)]
pub fn all_fees() -> Vec<FeeItem> {
    vec![
        fee(FeeKind::SetUp, 1_000, 500),
        fee(FeeKind::IssueVirtual, 200, 50),
        fee(FeeKind::IssuePhysical, 1_000, 350),
        fee(FeeKind::Monthly, 100, 25),
        share(FeeKind::TopUp, 300, 100),
        share(FeeKind::ForeignExchange, 150, 50),
        fee(FeeKind::Decline, 30, 5),
    ]
}

/// Somebody with a key of this name; each name is another person, and Ann, who asks, has the root key: what a key asked for
/// that is not there is not approved.
#[allow(dead_code)]
pub fn signer(name: &str) -> Signer {
    let id = name.bytes().fold(1, |id, byte| id * 257 + u64::from(byte));
    Signer {
        api_key_id: (!name.eq_ignore_ascii_case("ann")).then_some(ApiKeyId(id)),
        name: name.into(),
    }
}

impl Switch {
    /// A world with program 1 in US dollars.
    pub fn new(shards: usize) -> Switch {
        Switch::with_program(shards, Controls::default())
    }

    pub fn with_program(shards: usize, controls: Controls) -> Switch {
        Switch::with_program_and_mark_up(shards, controls, 0)
    }

    pub fn with_program_and_mark_up(
        shards: usize,
        controls: Controls,
        mark_up_basis_points: u16,
    ) -> Switch {
        let mut switch = Switch {
            world: World::new(shards),
            at: time("2026-11-24T10:00:00Z"),
            records: Vec::new(),
        };
        switch.program_with_mark_up(PROGRAM, controls, mark_up_basis_points);
        switch
    }

    /// With a program that charges these fees, in dollars and months of UTC.
    pub fn with_fees(shards: usize, controls: Controls, items: Vec<FeeItem>) -> Switch {
        let mut switch = Switch {
            world: World::new(shards),
            at: time("2026-11-24T10:00:00Z"),
            records: Vec::new(),
        };
        assert_matches_event(&switch.put_fees(items));
        let outcome = switch.create_program(PROGRAM, controls, 0, Some(FEES));
        assert_matches_event(&outcome);
        switch
    }

    pub fn put_fees(&mut self, items: Vec<FeeItem>) -> RegistryOutcome {
        let put = PutFeeSchedule {
            decline_fees_per_card_per_day_max: None,
            id: FEES,
            name: "standard".into(),
            currency: USD,
            time_zone: "UTC".into(),
            items,
        };
        self.registry(RegistryAction::PutFeeSchedule(Box::new(put)))
    }

    /// Charges every card that owes a month, as the loops of the shards do.
    pub fn charge_months(&mut self) -> usize {
        let mut due = Vec::new();
        for state in &self.world.shards {
            for card in state.cards.iter() {
                let root = state.account_of(card).root;
                let month = monthly::due(state, card, self.at);
                due.extend(month.map(|month| (card.id, root, month)));
            }
        }
        due.sort_unstable_by_key(|(card_id, _, _)| *card_id);
        for (card_id, root, month) in &due {
            let (card_id, month) = (*card_id, *month);
            let action = Action::ChargeMonthlyFee(ChargeMonthlyFee { card_id, month });
            let outcome = self.command(*root, action);
            assert!(matches!(outcome, Outcome::Event(_)), "{outcome:?}");
        }
        due.len()
    }

    pub fn program(&mut self, id: ProgramId, controls: Controls) -> RegistryOutcome {
        self.program_with_mark_up(id, controls, 0)
    }

    pub fn program_with_mark_up(
        &mut self,
        id: ProgramId,
        controls: Controls,
        foreign_exchange_mark_up_basis_points: u16,
    ) -> RegistryOutcome {
        self.create_program(id, controls, foreign_exchange_mark_up_basis_points, None)
    }

    pub fn create_program(
        &mut self,
        id: ProgramId,
        controls: Controls,
        foreign_exchange_mark_up_basis_points: u16,
        fee_schedule_id: Option<FeeScheduleId>,
    ) -> RegistryOutcome {
        let since = self.at;
        self.registry(RegistryAction::CreateProgram(Box::new(Program {
            id,
            name: "Ads".into(),
            network: "visa".into(),
            bin: ArrayString::from("411111").unwrap(),
            currency: USD,
            controls,
            hold_expiry: Default::default(),
            created_at: self.at,
            foreign_exchange_mark_up_basis_points,
            fees: fee_schedule_id.map(|fee_schedule_id| ProgramFees {
                fee_schedule_id,
                since,
            }),
            ..Program::default()
        })))
    }

    /// Has the customer of the program asked about every payment; without an answer it is approved up to so much, or
    /// declined.
    pub fn ask_customers(&mut self, timeout_ms: u32, approve_up_to: Option<i64>) {
        let endpoint = DecisionEndpoint {
            id: DecisionEndpointId(1),
            program_id: PROGRAM,
            url: "https://example.com/decide".into(),
            timeout_ms,
            fallback: match approve_up_to {
                Some(amount_minor) => Fallback::ApproveUpTo { amount_minor },
                None => Fallback::Decline,
            },
            enabled: true,
            secret_version: 1,
            created_at: self.at,
            tenant: None,
        };
        self.registry(RegistryAction::PutDecisionEndpoint(Box::new(endpoint)));
    }

    /// Customers are not asked any more.
    pub fn ask_customers_no_more(&mut self) {
        let view = &self.world.registry.view;
        let endpoint = view.decision_endpoints.of_program(PROGRAM);
        let nobody = DecisionEndpoint {
            enabled: false,
            ..(**endpoint.expect("somebody was asked")).clone()
        };
        self.registry(RegistryAction::PutDecisionEndpoint(Box::new(nobody)));
    }

    pub fn set_rates(&mut self, rates: &[(Currency, Currency, &str)]) -> RegistryOutcome {
        let rate = |(from, to, rate): &(Currency, Currency, &str)| ExchangeRate {
            from: *from,
            to: *to,
            rate: rate.parse().unwrap_or_else(|e| panic!("{rate}: {e}")),
        };
        let set = SetExchangeRates {
            source: "test".into(),
            rates: rates.iter().map(rate).collect(),
        };
        self.registry(RegistryAction::SetExchangeRates(Box::new(set)))
    }

    pub fn registry(&mut self, action: RegistryAction) -> RegistryOutcome {
        let at = self.at.max(self.world.registry.now);
        let command = RegistryCommand { at, action };
        let outcome = registry_decide::decide(&self.world.registry, &command);
        if let RegistryOutcome::Event(event) = &outcome {
            let mut bytes = Vec::new();
            record::write_registry(&mut bytes, &command, event, None);
            self.journal(bytes);
        }
        outcome
    }

    /// Decides a command for the tree of `root`; its event is journalled and applied.
    pub fn command(&mut self, root: AccountId, action: Action) -> Outcome {
        let at = self.at;
        let command = Command { root, at, action };
        let outcome = decide(self.world.shard(root), &command);
        if let Outcome::Event(event) = &outcome {
            let mut bytes = Vec::new();
            record::write_shard(&mut bytes, &command, event, None);
            self.journal(bytes);
        }
        outcome
    }

    /// Releases the holds whose time is over, as the loops of the shards do; in one order over all of them,
    /// so that the number of shards makes no difference to the records.
    pub fn expire(&mut self) -> Vec<AuthorizationId> {
        let mut released = Vec::new();
        while let Some((root, authorization_id)) = self.next_due() {
            released.push(authorization_id);
            let outcome = self.release(root, authorization_id, ReleaseCause::Expired);
            assert!(matches!(outcome, Outcome::Event(_)), "{outcome:?}");
        }
        released
    }

    fn next_due(&self) -> Option<(AccountId, AuthorizationId)> {
        let first = self.world.shards.iter().filter_map(|state| {
            let (expires_at, open) = state.authorizations.first_to_expire()?;
            let root = state.account(open.account_id)?.root;
            Some((expires_at, open.id, root))
        });
        let (expires_at, authorization_id, root) = first.min()?;
        (expires_at <= self.at).then_some((root, authorization_id))
    }

    pub fn release(
        &mut self,
        root: AccountId,
        authorization_id: AuthorizationId,
        cause: ReleaseCause,
    ) -> Outcome {
        let release = ReleaseHold {
            authorization_id,
            cause,
        };
        self.command(root, Action::ReleaseHold(release))
    }

    /// What is applied is what was written, so that every test is one of the record format too.
    fn journal(&mut self, bytes: Vec<u8>) {
        let record: Record = record::read(&bytes).unwrap();
        self.world.apply(&record);
        self.records.push(bytes);
    }

    pub fn open_account(&mut self, id: u64, controls: Controls) -> Outcome {
        self.open_sub_account(id, id, None, controls)
    }

    pub fn open_sub_account(
        &mut self,
        id: u64,
        root: u64,
        parent: Option<u64>,
        controls: Controls,
    ) -> Outcome {
        let open = OpenAccount {
            account_id: AccountId(id),
            parent_id: parent.map(AccountId),
            program_id: PROGRAM,
            currency: USD,
            name: None,
            controls,
        };
        self.command(AccountId(root), Action::OpenAccount(Box::new(open)))
    }

    pub fn top_up(&mut self, id: u64, root: u64, account: u64, amount: Money) -> Outcome {
        let top_up = TopUp {
            top_up_id: TopUpId(id),
            account_id: AccountId(account),
            amount,
            method: "internal".into(),
            external_reference: None,
            tenant: None,
        };
        self.command(AccountId(root), Action::TopUp(Box::new(top_up)))
    }

    /// From one account to another, each with its tree.
    pub fn transfer(
        &mut self,
        id: u64,
        (from, from_root): (u64, u64),
        (to, to_root): (u64, u64),
        amount: Money,
    ) -> Outcome {
        let transfer = Transfer {
            id: TransferId(id),
            from_account_id: AccountId(from),
            to_account_id: AccountId(to),
            to_root: AccountId(to_root),
            amount,
        };
        self.command(AccountId(from_root), Action::Transfer(Box::new(transfer)))
    }

    /// What follows from the state of a tree, as its shard does it: one thing.
    pub fn look_after(&mut self, root: u64, id: u64) -> Option<Outcome> {
        let (root, at) = (AccountId(root), self.at);
        let state = self.world.shard_mut(root);
        let (root, due) = loop {
            match watch::look(state, at) {
                Look::Over => return None,
                Look::Nothing => {}
                Look::Due(root, due) => break (root, due),
            }
        };
        let action = match due {
            Due::LowBalance(account_id) => Action::NoteLowBalance(NoteLowBalance { account_id }),
            Due::AutoTopUp(account_id) => Action::AutoTopUp(AutoTopUp {
                transfer_id: TransferId(id),
                account_id,
            }),
        };
        Some(self.command(root, action))
    }

    pub fn change_account(&mut self, root: u64, change: ChangeAccount) -> Outcome {
        self.command(AccountId(root), Action::ChangeAccount(Box::new(change)))
    }

    /// The next step of the oldest transfer that waits for one, as shards hand it on.
    pub fn carry(&mut self) -> Option<Outcome> {
        let (_, next) = self.world.pending_transfers.first_key_value()?;
        let next = next.clone();
        Some(self.command(next.root, next.action))
    }

    /// Issues a card and opens it in its shard.
    pub fn open_card(&mut self, card: NewCard) -> Outcome {
        let id = card.id;
        let outcome = self.issue_card(card);
        outcome.unwrap_or_else(|other| panic!("card {id} was not issued: {other:?}"))
    }

    /// Or what the registry says against it.
    pub fn issue_card(&mut self, card: NewCard) -> Result<Outcome, Box<RegistryOutcome>> {
        let issue = IssueCard {
            card_id: CardId(card.id),
            root: AccountId(card.root),
            account_id: AccountId(card.account),
            program_id: PROGRAM,
            card_type: card.card_type,
            pan_hash: key_of(&format!("pan of {}", card.id)),
            sealed_pan: SealedPan::from_iter([7u8; 40]),
            first6: 411_111,
            last4: (card.id % 10_000) as u16,
            expiry: card.expiry,
            links: card.links,
            controls: card.controls,
            wallet: match card.wallet.is_empty() {
                true => None,
                false => Some(Box::new(card.wallet)),
            },
            cardholder_id: card.cardholder_id,
            paid_by: None,
            shipping: card.shipping,
        };
        self.issue_and_open(RegistryAction::IssueCard(Box::new(issue)))
    }

    /// The registry's part, and then the shard's.
    fn issue_and_open(&mut self, action: RegistryAction) -> Result<Outcome, Box<RegistryOutcome>> {
        let at = self.at.max(self.world.registry.now);
        let outcome = self.registry(action.clone());
        let RegistryOutcome::Event(event) = outcome else {
            return Err(Box::new(outcome));
        };
        let command = RegistryCommand { at, action };
        let pending = open_card_of(&command, &event).unwrap();
        Ok(self.command(pending.root, pending.into_action()))
    }

    /// Issues a card in place of another one, as the interface does: with the account, links and holder of that one.
    pub fn reissue(
        &mut self,
        id: u64,
        replaces: u64,
        reason: ReissueReason,
        expiry: Expiry,
    ) -> Result<Outcome, Box<RegistryOutcome>> {
        let replaces = CardId(replaces);
        let registry = &self.world.registry;
        let issued = registry.issued_cards.get(replaces).unwrap().clone();
        let links = issued.links.iter();
        let links = links.map(|link| registry.link_key(*link).unwrap().clone());
        let links = links.collect();
        let old = self.world.shard(issued.root).card(replaces).unwrap();
        let issue = IssueCard {
            card_id: CardId(id),
            root: issued.root,
            account_id: old.account_id,
            program_id: issued.program_id,
            card_type: old.card_type,
            pan_hash: key_of(&format!("pan of {id}")),
            sealed_pan: SealedPan::from_iter([7u8; 40]),
            first6: 411_111,
            last4: (id % 10_000) as u16,
            expiry,
            links,
            controls: Controls::default(),
            wallet: old.wallet.clone(),
            cardholder_id: issued.cardholder_id,
            paid_by: None,
            shipping: {
                let known = old.shipping.as_ref();
                known.map(|known| Box::new(known.order.clone()))
            },
        };
        let reissue = ReissueCard {
            replaces,
            reason,
            issue,
        };
        self.issue_and_open(RegistryAction::ReissueCard(Box::new(reissue)))
    }

    pub fn renew(&mut self, card: u64, expiry: Expiry) -> Result<Outcome, Box<RegistryOutcome>> {
        let card_id = CardId(card);
        let renew = RenewCard { card_id, expiry };
        match self.registry(RegistryAction::RenewCard(renew)) {
            RegistryOutcome::Event(RegistryEvent::CardRenewed { root }) => {
                Ok(self.command(root, Action::RenewCard(renew)))
            }
            outcome => Err(Box::new(outcome)),
        }
    }

    pub fn change_status(&mut self, root: u64, card: u64, change: StatusChange) -> Outcome {
        let card_id = CardId(card);
        let change = ChangeCardStatus { card_id, change };
        self.command(AccountId(root), Action::ChangeCardStatus(change))
    }

    pub fn change_account_status(
        &mut self,
        root: u64,
        account: u64,
        change: AccountStatusChange,
    ) -> Outcome {
        let account_id = AccountId(account);
        let change = ChangeAccountStatus { account_id, change };
        self.command(AccountId(root), Action::ChangeAccountStatus(change))
    }

    pub fn cardholder(&mut self, id: u64, home: &str, verified: bool) -> RegistryOutcome {
        let cardholder = Cardholder {
            id: CardholderId(id),
            program_id: PROGRAM,
            name: None,
            home_country: Country::from_alpha2(home).unwrap(),
            verified,
            created_at: self.at,
        };
        self.registry(RegistryAction::CreateCardholder(Box::new(cardholder)))
    }

    /// Also tells the shard of the card, as the registry does.
    pub fn set_cardholder(&mut self, card: u64, id: u64) -> RegistryOutcome {
        let (card_id, cardholder_id) = (CardId(card), CardholderId(id));
        let set = SetCardholder {
            card_id,
            cardholder_id,
        };
        let outcome = self.registry(RegistryAction::SetCardholder(set));
        if let RegistryOutcome::Event(RegistryEvent::CardholderSet { root, holder }) = &outcome {
            let (root, holder) = (*root, *holder);
            let change = ChangeCardHolder {
                card_id,
                holder,
                is_set: true,
            };
            self.command(root, Action::ChangeCardHolder(change));
        }
        outcome
    }

    /// Also tells the shards of the cards, as the API does.
    pub fn verify(&mut self, id: u64) -> RegistryOutcome {
        let outcome = self.registry(RegistryAction::VerifyCardholder(CardholderId(id)));
        if let RegistryOutcome::Event(RegistryEvent::CardholderVerified { holder, cards }) =
            &outcome
        {
            for (card_id, root) in cards {
                let (card_id, holder) = (*card_id, *holder);
                let is_set = false;
                let change = ChangeCardHolder {
                    card_id,
                    holder,
                    is_set,
                };
                self.command(*root, Action::ChangeCardHolder(change));
            }
        }
        outcome
    }

    pub fn set_link_controls(&mut self, key: LinkKey, controls: Controls) -> RegistryOutcome {
        let set = SetLinkControls {
            key,
            controls,
            tenant: None,
        };
        self.registry(RegistryAction::SetLinkControls(Box::new(set)))
    }

    pub fn change_controls(&mut self, root: u64, card: u64, controls: Controls) -> Outcome {
        let card_id = CardId(card);
        let change = ChangeCardControls { card_id, controls };
        self.command(
            AccountId(root),
            Action::ChangeCardControls(Box::new(change)),
        )
    }

    /// The world as the records so far make it, over so many shards.
    pub fn replayed(&self, shards: usize) -> World {
        fold(World::new(shards), &self.records)
    }
}

pub fn fold(mut world: World, records: &[Vec<u8>]) -> World {
    for bytes in records {
        world.apply(&record::read(bytes).unwrap());
    }
    world
}

pub struct NewCard {
    pub id: u64,
    pub root: u64,
    pub account: u64,
    pub card_type: CardType,
    pub expiry: Expiry,
    pub links: smallvec::SmallVec<[LinkKey; 2]>,
    pub controls: Controls,
    /// Further accounts.
    pub wallet: Wallet,
    pub cardholder_id: Option<CardholderId>,
    pub shipping: Option<Box<ShippingOrder>>,
}

impl NewCard {
    pub fn of(id: u64, root: u64, account: u64) -> NewCard {
        NewCard {
            id,
            root,
            account,
            card_type: CardType::Virtual,
            expiry: Expiry::new(2029, 12).unwrap(),
            links: Default::default(),
            controls: Controls::default(),
            wallet: Wallet::new(),
            cardholder_id: None,
            shipping: None,
        }
    }
}

/// A purchase; `name` is its identity, by which repeats and reversals know it.
pub fn purchase(id: u64, card: u64, amount: Money, name: &str) -> Authorize {
    Authorize {
        authorization_id: AuthorizationId(id),
        card_id: CardId(card),
        amounts: Amounts {
            transaction: amount,
            billing: None,
        },
        merchant: Merchant {
            id: ArrayString::from("MERCHANT1").unwrap(),
            name: ArrayString::from("EXAMPLE STORE").unwrap(),
            city: ArrayString::from("NEW YORK").unwrap(),
            country: Country(*b"US"),
            country_is_acquirers: false,
            mcc: 5411,
        },
        entry_mode: EntryMode::Ecommerce,
        repeat_key: RepeatKey(key_of(&format!("request {name}"))),
        match_keys: names_of(name),
        ..Authorize::default()
    }
}

/// A reversal of the message `original`; `name` is its own identity.
pub fn reversal(id: u64, card: u64, amount: Money, name: &str, original: &str) -> Reverse {
    Reverse {
        reversal_id: ReversalId(id),
        card_id: CardId(card),
        amount,
        reference: NetworkReference::default(),
        repeat_key: RepeatKey(key_of(&format!("reversal {name}"))),
        original_keys: names_of(original),
        stays: None,
        is_marked_repeat: false,
        token: NamedToken::Absent,
    }
}

/// An advice of an approved payment; `name` is its own identity.
pub fn advice(id: u64, card: u64, amount: Money, name: &str) -> Advise {
    let mut payment = purchase(id, card, amount, name);
    payment.repeat_key = RepeatKey(key_of(&format!("advice {name}")));
    payment.original_keys = payment.match_keys;
    Advise {
        payment,
        is_final: true,
        ..Advise::default()
    }
}

pub fn limit(id: u64, window: Window, amount_minor: Option<i64>, count: Option<u32>) -> Limit {
    Limit {
        id: LimitId(id),
        window,
        amount_minor,
        count,
        time_zone: "UTC".into(),
        filter: None,
        refunds_restore: false,
    }
}

pub fn limits(limits: impl IntoIterator<Item = Limit>) -> Controls {
    Controls {
        limits: limits.into_iter().collect(),
        ..Controls::default()
    }
}

/// A data folder with these records.
pub fn folder_of(records: &[Vec<u8>]) -> TempDir {
    let data = TempDir::new().unwrap();
    let storage = FileStorage::create(&data.path().join("journal")).unwrap();
    let settings = Settings {
        segment_size_bytes: 1 << 20,
        pending_limit_bytes: 1 << 19,
        reserve_bytes: 0,
        ..Settings::default()
    };
    let (journal, _) = Journal::open(storage, &settings, 7).unwrap();
    let journal = journal.start(Box::new(|error| panic!("{error}"))).unwrap();
    let mut batch = RecordBatch::new();
    for record in records {
        batch.push(record);
    }
    journal
        .handle()
        .append(&mut batch, Box::new(|_| {}))
        .unwrap();
    journal.close().unwrap();
    data
}

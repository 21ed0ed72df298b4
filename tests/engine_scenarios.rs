//! Plays the scenarios in `tests/scenarios/*.txt`: what a network or a product asks, line by line,
//! and after `->` what comes of it. Each scenario runs over one shard and over three, and its records
//! must fold to the same world again.
//!
//! Words after `->` must all be in what came out; the first must be its first. Ids are names. An
//! authorization's name is its identity: `repeat NAME` sends the same message once more, `reverse
//! NAME` names it as the original, in all ways. `rrn=`, `sent=`, `local=`, `code=` and `acquirer=` say otherwise
//! how a message names an authorization; `-` leaves a name out. `rates EUR:USD=1.10` sets the whole table
//! of rates; a program has `mark_up=150` basis points. A card has `wallet=B,C`, further accounts to draw on,
//! and `links=TYPE/ID`, whose controls `link TYPE/ID` sets. `carry` carries out the next step of the oldest transfer
//! between trees that waits for one.
//! how a message names an authorization; `-` leaves a name out. `rule NAME decline when EXPRESSION` makes
//! an active risk rule of the program (`draft`: a draft; `program=P` of another).

mod engine_support;

use arrayvec::ArrayString;
use cardswitch::engine::command::*;
use cardswitch::engine::controls::{Controls, Limit, List, ListMode, Window};
use cardswitch::engine::conversion::Conversion;
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::event::*;
use cardswitch::engine::exceptions::*;
use cardswitch::engine::facts::*;
use cardswitch::engine::groups::*;
use cardswitch::engine::hash::state_hash;
use cardswitch::engine::ids::*;
use cardswitch::engine::limit_filter::LimitFilter;
use cardswitch::engine::link_states::{ChangeLinkStatus, LinkStatus};
use cardswitch::engine::merchants::{MerchantEntry, MerchantList};
use cardswitch::engine::money::{Currency, Money};
use cardswitch::engine::programs::{ChangeProgram, ProgramStatus};
use cardswitch::engine::reason::DeclineReason;
use cardswitch::engine::refunds::UseGivenBack;
use cardswitch::engine::registry::*;
use cardswitch::engine::reissue::ReissueReason;
use cardswitch::engine::risk::rule::{RiskRule, RuleAction, RuleChange, RuleState};
use cardswitch::engine::rolling::RollingWindow;
use cardswitch::engine::rules::risk_rules::RuleOutcome;
use cardswitch::engine::scope::Scope;
use cardswitch::engine::three_ds::*;
use cardswitch::engine::time::Expiry;
use cardswitch::engine::time_windows::{Days, TimeWindow};
use cardswitch::engine::top_ups::{EndTopUp, TopUpEnd};
use cardswitch::engine::trace::{Detail, TraceStep};
use cardswitch::engine::verification_tries::ResetVerificationTries;
use cardswitch::engine::watch::{AutoTopUpRule, ChangeAccount};
use engine_support::kept::Kept;
use engine_support::*;
use std::collections::{BTreeMap, BTreeSet};

/// Every reason that today's commands can lead to.
const REACHABLE: &[DeclineReason] = &[
    DeclineReason::InvalidAmount,
    DeclineReason::UnsupportedFunction,
    DeclineReason::DuplicateTransmission,
    DeclineReason::ReversedBeforeOriginal,
    DeclineReason::OriginalNotFound,
    DeclineReason::CardNotFound,
    DeclineReason::UnknownBin,
    DeclineReason::CardExpired,
    DeclineReason::CardNotActivated,
    DeclineReason::CardFrozen,
    DeclineReason::CardBlocked,
    DeclineReason::CardLost,
    DeclineReason::CardStolen,
    DeclineReason::CardClosed,
    DeclineReason::CardUsed,
    DeclineReason::AccountFrozen,
    DeclineReason::ProgramSuspended,
    DeclineReason::AccountClosed,
    DeclineReason::VerificationTriesExceeded,
    DeclineReason::ExpiryMismatch,
    DeclineReason::CvvMismatch,
    DeclineReason::CryptogramInvalid,
    DeclineReason::PinIncorrect,
    DeclineReason::InsufficientFunds,
    DeclineReason::PerTransactionLimitExceeded,
    DeclineReason::DailyLimitExceeded,
    DeclineReason::WeeklyLimitExceeded,
    DeclineReason::MonthlyLimitExceeded,
    DeclineReason::YearlyLimitExceeded,
    DeclineReason::LifetimeLimitExceeded,
    DeclineReason::RollingLimitExceeded,
    DeclineReason::VelocityCountExceeded,
    DeclineReason::CashLimitExceeded,
    DeclineReason::MccBlocked,
    DeclineReason::MccNotAllowed,
    DeclineReason::CountryBlocked,
    DeclineReason::CountryNotAllowed,
    DeclineReason::CurrencyBlocked,
    DeclineReason::CurrencyNotAllowed,
    DeclineReason::ExchangeRateMissing,
    DeclineReason::MerchantBlocked,
    DeclineReason::MerchantNotAllowed,
    DeclineReason::MerchantLockMismatch,
    DeclineReason::EntryModeBlocked,
    DeclineReason::ChannelBlocked,
    DeclineReason::OutsideTimeWindow,
    DeclineReason::ThreeDsFailed,
    DeclineReason::ThreeDsRequired,
    DeclineReason::CavvInvalid,
    DeclineReason::RuleDeclined,
    DeclineReason::InternalError,
    DeclineReason::CapacityExceeded,
];

#[test]
fn the_scenarios_come_out_as_written() {
    let mut files: Vec<_> = std::fs::read_dir("tests/scenarios")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let (mut wrong, mut reasons, mut checked) = (Vec::new(), BTreeSet::new(), 0);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for shards in [1, 3] {
            let mut play = Play::new(shards);
            for (number, line) in text.lines().enumerate() {
                if line.starts_with("scenario") {
                    play.end();
                    play = Play::new(shards);
                } else if let Some(found) = play.line(line) {
                    wrong.push(format!("{}:{}: {found}", file.display(), number + 1));
                }
                checked += usize::from(line.contains("->"));
                reasons.extend(play.reasons.iter().copied());
            }
            play.end();
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(checked > 200, "only {checked} lines were checked");
    let missing: Vec<_> = REACHABLE.iter().filter(|r| !reasons.contains(r)).collect();
    assert!(missing.is_empty(), "no scenario ends in {missing:?}");
    let unlisted: Vec<_> = reasons.iter().filter(|r| !REACHABLE.contains(r)).collect();
    assert!(unlisted.is_empty(), "not listed as reachable: {unlisted:?}");
}

/// One scenario under way.
struct Play {
    switch: Switch,
    ids: BTreeMap<String, u64>,
    roots: BTreeMap<String, u64>,
    sent: BTreeMap<String, Authorize>,
    last_trace: Vec<TraceStep>,
    reasons: BTreeSet<DeclineReason>,
    next_id: u64,
    /// Once `archive` was said.
    kept: Option<Kept>,
}

/// `key=value` words of a line, and those without `=` in order.
struct Words<'a> {
    plain: Vec<&'a str>,
    named: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Words<'a> {
        let (mut plain, mut named) = (Vec::new(), Vec::new());
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some(pair) => named.push(pair),
                None => plain.push(word),
            }
        }
        Words { plain, named }
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        let found = self.named.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }

    fn plain(&self, place: usize) -> &'a str {
        self.plain.get(place).copied().unwrap_or_default()
    }
}

impl Play {
    fn new(shards: usize) -> Play {
        Play {
            switch: Switch::new(shards),
            ids: BTreeMap::new(),
            roots: BTreeMap::new(),
            sent: BTreeMap::new(),
            last_trace: Vec::new(),
            reasons: BTreeSet::new(),
            next_id: 1_000,
            kept: None,
        }
    }

    fn end(&self) {
        let hash = state_hash(&self.switch.world);
        for shards in [1, 2, 8] {
            assert_eq!(state_hash(&self.switch.replayed(shards)), hash);
        }
    }

    /// Plays a line; what is wrong with it, if anything.
    fn line(&mut self, line: &str) -> Option<String> {
        let line = line.split('#').next().unwrap().trim();
        if line.is_empty() {
            return None;
        }
        let (asked, expected) = match line.split_once("->") {
            Some((asked, expected)) => (asked, expected.trim()),
            None => (line, ""),
        };
        let came = self.carry_out(&Words::of(asked), asked);
        let expected_words: Vec<_> = expected.split_whitespace().collect();
        let came_words: Vec<_> = came.split_whitespace().map(without_comma).collect();
        let first_differs = expected_words.first() != came_words.first();
        let mut expected_all = expected_words.iter().map(|word| without_comma(word));
        let missing = expected_all.any(|word| !came_words.contains(&word));
        let wrong = !expected.is_empty() && (first_differs || missing);
        wrong.then(|| format!("{line}\n    came: {came}"))
    }

    fn carry_out(&mut self, words: &Words, asked: &str) -> String {
        match words.plain(0) {
            "at" => {
                self.switch.at = time(words.plain(1));
                "now".into()
            }
            "expire" => self.expire(),
            "release" => self.release(words.plain(1)),
            "settings" => self.settings(words),
            "archive" => {
                self.kept = Some(Kept::of(&mut self.switch));
                "done".into()
            }
            "lookups" => {
                let kept = self.kept.as_ref().expect("`archive` comes first");
                format!("are {}", kept.lookups)
            }
            "rule" => self.rule(words, asked),
            "promote" => self.change_rule(words.plain(1), RuleChange::Promote),
            "demote" => self.change_rule(words.plain(1), RuleChange::Demote),
            "retire" => self.change_rule(words.plain(1), RuleChange::Retire),
            "program" => {
                let (id, controls) = (self.id(words.plain(1)), self.controls(words));
                let mark_up = words
                    .value("mark_up")
                    .map_or(0, |text| text.parse().unwrap());
                registry_told(
                    &self
                        .switch
                        .program_with_mark_up(ProgramId(id), controls, mark_up),
                )
            }
            // `program_now P suspended` or `active`; with controls, those as well. `-` is the program of accounts that name none.
            "program_now" => {
                let mut change = ChangeProgram::nothing(match words.plain(1) {
                    "-" => PROGRAM,
                    name => ProgramId(self.id(name)),
                });
                change.status = Some(match words.plain(2) {
                    "suspended" => ProgramStatus::Suspended,
                    "active" => ProgramStatus::Active,
                    other => panic!("no program is {other}"),
                });
                let controls = self.controls(words);
                change.controls = (!controls.is_empty()).then_some(controls);
                self.registry_told(RegistryAction::ChangeProgram(Box::new(change)))
            }
            "link" => {
                let key = link(words.plain(1));
                let controls = self.controls(words);
                registry_told(&self.switch.set_link_controls(key, controls))
            }
            "links" => {
                let key = link(words.plain(2));
                let to = match words.plain(1) {
                    "freeze" => LinkStatus::Frozen,
                    "unfreeze" => LinkStatus::Active,
                    "close" => LinkStatus::Closed,
                    other => panic!("links do not {other}"),
                };
                let change = Box::new(ChangeLinkStatus { key, to });
                let outcome = self
                    .switch
                    .registry(RegistryAction::ChangeLinkStatus(change));
                registry_told(&outcome)
            }
            "exception" => self.exception(words),
            "approve" => self.change_exception(words, ExceptionChange::Approve),
            "reject" => self.change_exception(words, ExceptionChange::Reject),
            "end" => self.change_exception(words, ExceptionChange::End),
            "rates" => {
                let rates = words.named.iter().map(|(pair, rate)| {
                    let (from, to) = pair.split_once(':').expect("FROM:TO=rate");
                    (currency(from), currency(to), *rate)
                });
                registry_told(&self.switch.set_rates(&rates.collect::<Vec<_>>()))
            }
            "account" => self.account(words),
            "card" => self.card(words),
            "controls" => {
                let (root, card) = self.card_named(words.plain(1));
                let controls = self.controls(words);
                told(&self.switch.change_controls(root, card, controls))
            }
            "cardholder" => {
                let (id, home) = (self.id(words.plain(1)), words.value("home").unwrap());
                let verified = words.plain.contains(&"verified");
                match self.switch.cardholder(id, home, verified) {
                    RegistryOutcome::Event(_) => "done".into(),
                    other => format!("{other:?}"),
                }
            }
            "verify" => {
                let id = self.id(words.plain(1));
                match self.switch.verify(id) {
                    RegistryOutcome::Event(_) => "done".into(),
                    RegistryOutcome::Refused(refusal) => format!("refused {refusal}"),
                    other => format!("{other:?}"),
                }
            }
            "mcc_group" => self.mcc_group(words),
            "merchant_list" => self.merchant_list(words),
            "top_up" => {
                let (name, id) = (
                    words.plain(1),
                    self.id(words.value("id").unwrap_or("topup")),
                );
                let (root, account) = (self.roots[name], self.ids[name]);
                told(&self.switch.top_up(id, root, account, money(words.plain(2))))
            }
            "set" => self.set_account(words),
            "look_after" => self.look_after(words.plain(1)),
            "announce" => self.announce(words),
            "settle" | "fail" => self.end_top_up(words),
            "transfer" => self.transfer(words),
            "carry" => match self.switch.carry() {
                Some(outcome) => transfer_told(&outcome),
                None => "nothing_to_carry".into(),
            },
            "balance" => self.balance(words.plain(1)),
            "authorize" => self.authorize(words),
            "repeat" => self.repeat(words),
            "reverse" => self.reverse(words),
            "withhold" => self.withhold(words.plain(1)),
            "customers" => self.customers(words),
            "customer" => self.customer(words.plain(1), words.plain(2)),
            "increment" => self.increment(words),
            "advise" => self.advise(words),
            "trace" => self.trace(asked),
            "no_trace" => self.no_trace(asked),
            "reissue" => self.reissue(words),
            "reset_tries" => self.reset_tries(words.plain(1)),
            "renew" => self.renew(words),
            "shown" => self.card_shown(words.plain(1)),
            change if words.plain(1) == "account" => {
                self.change_account_status(change, words.plain(2))
            }
            change => self.change_status(change, words.plain(1)),
        }
    }

    /// `exception NAME card=C|account=A|link=TYPE/ID from=TIME to=TIME uses=N by=WHO`, and what it lifts:
    /// `mcc=`, `country=`, `currency=`, `merchant=`, `channel=`, `entry=`, `raises.LIMIT=AMOUNT/COUNT`.
    fn exception(&mut self, words: &Words) -> String {
        let at = |name: &str, otherwise| words.value(name).map_or(otherwise, time);
        let now = self.switch.at;
        let subject = if let Some(card) = words.value("card") {
            Subject::Card(CardId(self.ids[card]))
        } else if let Some(account) = words.value("account") {
            Subject::Account(AccountId(self.ids[account]))
        } else {
            let key = link(words.value("link").expect("whose it is"));
            Subject::Link(self.switch.world.registry.link_ids[&key])
        };
        let id = ExceptionId(self.id(words.plain(1)));
        let exception = ControlException {
            id,
            subject,
            lifts: self.lifts(words),
            starts_at: at("from", now),
            ends_at: at("to", now.plus_ms(86_400_000)),
            uses_max: words.value("uses").map(|uses| uses.parse().unwrap()),
            reason: "business trip".into(),
            requested_by: signer(words.value("by").unwrap_or("ann")),
            created_at: now,
            state: ExceptionState::Requested,
            decided: None,
            ended: None,
            tenant: None,
            program_id: PROGRAM,
            account_ids: Box::default(),
        };
        let action = RegistryAction::RequestException(Box::new(exception));
        registry_told(&self.switch.registry(action))
    }

    fn lifts(&mut self, words: &Words) -> Lifts {
        let of = |name: &str| words.value(name).unwrap_or_default().split(',');
        let of = |name: &str| of(name).filter(|text| !text.is_empty()).collect::<Vec<_>>();
        let (groups, codes): (Vec<_>, Vec<_>) = of("mcc")
            .into_iter()
            .partition(|code| code.starts_with("group/"));
        let country = |code: &str| Country::from_alpha2(code).unwrap_or(Country::UNKNOWN);
        let mut lifts = Lifts {
            mccs: codes.iter().map(|code| code.parse().unwrap()).collect(),
            mcc_groups: groups.into_iter().map(|name| self.group(name)).collect(),
            countries: of("country").into_iter().map(country).collect(),
            currencies: of("currency").into_iter().map(currency).collect(),
            merchants: of("merchant").into_iter().map(merchant_entry).collect(),
            channels: of("channel")
                .into_iter()
                .map(|c| Channel::from_name(c).unwrap())
                .collect(),
            entry_modes: of("entry")
                .into_iter()
                .map(|e| EntryMode::from_name(e).unwrap())
                .collect(),
            limits: Vec::new(),
        };
        for (key, value) in &words.named {
            if let Some(limit) = key.strip_prefix("raises.") {
                let (amount, count) = value.split_once('/').unwrap_or((value, ""));
                lifts.limits.push(RaisedLimit {
                    limit_id: LimitId(self.id(limit)),
                    amount_minor: (!amount.is_empty()).then(|| money(amount).amount_minor),
                    count: (!count.is_empty()).then(|| count.parse().unwrap()),
                });
            }
        }
        lifts
    }

    fn change_exception(&mut self, words: &Words, change: ExceptionChange) -> String {
        let id = ExceptionId(self.id(words.plain(1)));
        let change = ChangeException {
            id,
            change,
            by: signer(words.value("by").unwrap_or("bob")),
            note: None,
        };
        let action = RegistryAction::ChangeException(Box::new(change));
        told_by_registry(&self.switch.registry(action))
    }

    fn settings(&mut self, words: &Words) -> String {
        let mut settings = self.switch.world.registry.view.settings.clone();
        for (name, value) in &words.named {
            let number: i64 = value.parse().unwrap();
            match *name {
                "open_holds_per_account" => settings.open_holds_per_account_max = number as u32,
                "open_holds_per_shard" => settings.open_holds_per_shard_max = number as u64,
                "hold_hours" => settings.hold_expiry_ms = number * 3_600_000,
                "closed_per_shard" => settings.closed_per_shard_max = number as u64,
                "first_answer_minutes" => settings.first_answer_retention_ms = number * 60_000,
                "verification_tries_per_day" => {
                    settings.verification_tries_per_day_max = number as u32;
                }
                other => panic!("no setting {other}"),
            }
        }
        self.switch
            .registry(RegistryAction::ChangeSettings(Box::new(settings)));
        "done".into()
    }

    fn rule(&mut self, words: &Words, asked: &str) -> String {
        let (_, expression) = asked.split_once(" when ").expect("a rule has a `when`");
        let action = RuleAction::ALL
            .iter()
            .find(|(_, name)| *name == words.plain(2));
        let program = words.value("program").map(|program| self.id(program));
        let rule = RiskRule {
            id: RiskRuleId(self.id(words.plain(1))),
            program_id: program.map_or(PROGRAM, ProgramId),
            name: words.plain(1).into(),
            expression: expression.trim().into(),
            action: action.expect("an action").0,
            state: match words.plain(3) {
                "draft" => RuleState::Draft,
                _ => RuleState::Active,
            },
            version: 1,
            created_at: self.switch.at,
        };
        let outcome = self
            .switch
            .registry(RegistryAction::CreateRiskRule(Box::new(rule)));
        told_by_registry(&outcome)
    }

    fn change_rule(&mut self, name: &str, change: RuleChange) -> String {
        let rule_id = RiskRuleId(self.id(name));
        let change = RegistryAction::ChangeRiskRule { rule_id, change };
        told_by_registry(&self.switch.registry(change))
    }

    /// Made, or changed as a whole.
    fn mcc_group(&mut self, words: &Words) -> String {
        let name = words.plain(1);
        let id = MccGroupId(self.id(name));
        let codes = words.plain(2).split(',').map(|code| code.parse().unwrap());
        let group = MccGroup::new(id, name.into(), codes.collect(), self.switch.at);
        let known = &self.switch.world.registry.view.groups.mcc_groups;
        let action = match known.contains_key(&id) {
            true => RegistryAction::ChangeMccGroup(Box::new(group)),
            false => RegistryAction::CreateMccGroup(Box::new(group)),
        };
        self.registry_told(action)
    }

    fn merchant_list(&mut self, words: &Words) -> String {
        let name = words.plain(1);
        let id = MerchantListId(self.id(name));
        let entries = words.plain(2).split(',').map(merchant_entry).collect();
        let list = SharedMerchantList::new(id, name.into(), entries, self.switch.at);
        let known = &self.switch.world.registry.view.groups.merchant_lists;
        let action = match known.contains_key(&id) {
            true => RegistryAction::ChangeMerchantList(Box::new(list)),
            false => RegistryAction::CreateMerchantList(Box::new(list)),
        };
        self.registry_told(action)
    }

    fn registry_told(&mut self, action: RegistryAction) -> String {
        match self.switch.registry(action) {
            RegistryOutcome::Event(_) => "done".into(),
            other => format!("{other:?}"),
        }
    }

    /// What the loops of the shards do when time has passed: the names of what ended, in order.
    fn expire(&mut self) -> String {
        let released = self.switch.expire();
        let names = released.iter().map(|id| {
            let mut sent = self.sent.iter();
            let found = sent.find(|(_, authorize)| authorize.authorization_id == *id);
            found.map_or("unnamed", |(name, _)| name)
        });
        let names: Vec<&str> = names.collect();
        match names.is_empty() {
            true => "nothing".into(),
            false => format!("expired {}", names.join(" ")),
        }
    }

    fn release(&mut self, name: &str) -> String {
        let sent = self.sent[name].clone();
        let root = self.root_of_card(sent.card_id);
        let (id, cause) = (sent.authorization_id, ReleaseCause::Manual);
        match self.switch.release(AccountId(root), id, cause) {
            Outcome::Event(Event::HoldReleased { amount_minor, .. }) => {
                format!("released {}", decimal(amount_minor))
            }
            Outcome::Refused(Refusal::HoldNotFound(_)) => "nothing_held".into(),
            other => format!("{other:?}"),
        }
    }

    fn account(&mut self, words: &Words) -> String {
        let name = words.plain(1);
        let id = self.id(name);
        let parent = words.value("parent");
        let root = parent.map_or(id, |parent| self.roots[parent]);
        let controls = self.controls(words);
        let open = OpenAccount {
            account_id: AccountId(id),
            parent_id: parent.map(|parent| AccountId(self.ids[parent])),
            program_id: words
                .value("program")
                .map_or(PROGRAM, |program| ProgramId(self.ids[program])),
            currency: words.value("currency").map_or(USD, currency),
            name: None,
            controls,
        };
        let action = Action::OpenAccount(Box::new(open));
        let outcome = self.command(AccountId(root), action);
        self.roots.insert(name.into(), root);
        if let Some(posted) = words.value("posted") {
            let top_up = self.fresh();
            self.switch.top_up(top_up, root, id, money(posted));
        }
        told(&outcome)
    }

    fn card(&mut self, words: &Words) -> String {
        let account = words.value("account").expect("a card has an account");
        let (root, account) = (self.roots[account], self.ids[account]);
        let mut card = NewCard::of(self.id(words.plain(1)), root, account);
        self.roots.insert(words.plain(1).into(), root);
        if words.value("type") == Some("physical") {
            card.card_type = CardType::Physical;
        }
        if let Some(text) = words.value("expires") {
            card.expiry = expiry(text);
        }
        card.controls = self.controls(words);
        let wallet = words.value("wallet").unwrap_or_default().split(',');
        let wallet = wallet.filter(|name| !name.is_empty());
        card.wallet = wallet.map(|name| AccountId(self.ids[name])).collect();
        let holder = words.value("holder");
        card.cardholder_id = holder.map(|name| CardholderId(self.id(name)));
        let links = words.value("links").unwrap_or_default().split(',');
        card.links = links.filter(|name| !name.is_empty()).map(link).collect();
        match self.switch.issue_card(card) {
            Ok(outcome) => told(&outcome),
            Err(outcome) => registry_told(&outcome),
        }
    }

    /// `reissue OLD as=NEW reason=lost`, with `expires=`.
    fn reissue(&mut self, words: &Words) -> String {
        let (root, old) = self.card_named(words.plain(1));
        let name = words.value("as").expect("a new card has a name");
        let new = self.id(name);
        self.roots.insert(name.into(), root);
        let reason = words.value("reason").unwrap_or("damaged");
        let mut known = ReissueReason::NAMED.iter();
        let reason = known.find(|(_, text)| *text == reason).expect("a reason").0;
        let expiry = expiry(words.value("expires").unwrap_or("2029-12"));
        match self.switch.reissue(new, old, reason, expiry) {
            Ok(outcome) => told(&outcome),
            Err(outcome) => registry_told(&outcome),
        }
    }

    fn reset_tries(&mut self, name: &str) -> String {
        let (root, card) = self.card_named(name);
        let reset = ResetVerificationTries {
            card_id: CardId(card),
        };
        told(
            &self
                .switch
                .command(AccountId(root), Action::ResetVerificationTries(reset)),
        )
    }

    fn renew(&mut self, words: &Words) -> String {
        let (_, card) = self.card_named(words.plain(1));
        let expiry = expiry(words.value("expires").expect("a new expiry"));
        match self.switch.renew(card, expiry) {
            Ok(outcome) => told(&outcome),
            Err(outcome) => told_by_registry(&outcome),
        }
    }

    /// A card as the interface shows it, with its place in its chain by the names of the cards.
    fn card_shown(&self, card: &str) -> String {
        let state = self.switch.world.shard(AccountId(self.roots[card]));
        let card = state
            .card(CardId(self.ids[card]))
            .expect("the card is there");
        let card = state.shown(card);
        let name = |id: Option<CardId>| {
            let mut ids = self.ids.iter();
            let found = ids.find(|(_, known)| Some(CardId(**known)) == id);
            found.map_or("none", |(name, _)| name.as_str())
        };
        format!(
            "{} reason={} replaces={} replaced_by={} limits={} used={} expires={:04}-{:02}",
            card.status.name(),
            card.status.reason().unwrap_or("none"),
            name(card.replacement_for()),
            name(card.replaced_by()),
            card.controls
                .as_ref()
                .map_or(0, |controls| controls.limits.len()),
            card.used_by().is_some(),
            card.expiry.year(),
            card.expiry.month(),
        )
    }

    fn change_status(&mut self, change: &str, card: &str) -> String {
        let change = match change {
            "activate" => StatusChange::Activate,
            "freeze" => StatusChange::Freeze,
            "unfreeze" => StatusChange::Unfreeze,
            "block" => StatusChange::Block,
            "block_lost" => StatusChange::BlockLost,
            "block_stolen" => StatusChange::BlockStolen,
            "block_fraud" => StatusChange::BlockFraud,
            "close" => StatusChange::Close,
            other => panic!("no such word: {other}"),
        };
        let (root, card) = self.card_named(card);
        told(&self.switch.change_status(root, card, change))
    }

    fn change_account_status(&mut self, change: &str, account: &str) -> String {
        let change = match change {
            "freeze" => AccountStatusChange::Freeze,
            "unfreeze" => AccountStatusChange::Unfreeze,
            "close" => AccountStatusChange::Close,
            other => panic!("no such word: {other}"),
        };
        let (root, id) = (self.roots[account], self.ids[account]);
        told(&self.switch.change_account_status(root, id, change))
    }

    fn balance(&self, account: &str) -> String {
        let (root, id) = (self.roots[account], self.ids[account]);
        let account = self.switch.world.shard(AccountId(root));
        let account = account.account(AccountId(id)).unwrap();
        format!(
            "is posted={} held={} available={} open_holds={} owed={} in_transit={}",
            decimal_in(account.currency, account.posted_minor),
            decimal_in(account.currency, account.held_minor),
            decimal_in(account.currency, account.available_minor()),
            account.open_holds,
            decimal_in(account.currency, account.network_settlement_minor),
            decimal_in(account.currency, account.in_transit_minor)
        )
    }

    /// `set ACCOUNT credit_line=1.00 low=5.00 auto=BELOW/AMOUNT/PER_DAY[/FROM]`, `low=-`, `auto=-`
    fn set_account(&mut self, words: &Words) -> String {
        let (root, id) = (self.roots[words.plain(1)], self.ids[words.plain(1)]);
        let mut change = ChangeAccount::nothing(AccountId(id));
        let minor = |text: &str| money(text).amount_minor;
        change.credit_line_minor = words.value("credit_line").map(minor);
        change.low_below_minor = words
            .value("low")
            .map(|text| (text != "-").then(|| minor(text)));
        change.auto_top_up = words.value("auto").map(|text| {
            let parts: Vec<_> = text.split('/').collect();
            (text != "-").then(|| AutoTopUpRule {
                below_minor: minor(parts[0]),
                amount_minor: minor(parts[1]),
                per_day_max: parts[2].parse().unwrap(),
                from_account_id: parts.get(3).map(|name| AccountId(self.ids[*name])),
            })
        });
        told(&self.switch.change_account(root, change))
    }

    /// The first thing that follows from the state of the account's tree.
    fn look_after(&mut self, account: &str) -> String {
        let (root, id) = (self.roots[account], self.fresh());
        match self.switch.look_after(root, id) {
            None => "nothing_due".into(),
            Some(Outcome::Event(Event::BalanceLow {
                available_minor, ..
            })) => {
                format!("low available={}", decimal(available_minor))
            }
            Some(Outcome::Event(Event::AutoToppedUp(done))) => format!(
                "topped_up {} amount={}",
                done.transferred.status.name(),
                decimal(done.transfer.amount.amount_minor)
            ),
            Some(outcome) => told(&outcome),
        }
    }

    /// `announce NAME ACCOUNT AMOUNT method=sepa`
    fn announce(&mut self, words: &Words) -> String {
        let (id, account) = (self.id(words.plain(1)), words.plain(2));
        let (root, account_id) = (self.roots[account], AccountId(self.ids[account]));
        let top_up = TopUp {
            top_up_id: TopUpId(id),
            account_id,
            amount: money(words.plain(3)),
            method: words.value("method").unwrap_or("swift").into(),
            external_reference: None,
            tenant: None,
        };
        let action = Action::AnnounceTopUp(Box::new(top_up));
        told(&self.switch.command(AccountId(root), action))
    }

    /// `settle NAME ACCOUNT AMOUNT`, `fail NAME ACCOUNT`
    fn end_top_up(&mut self, words: &Words) -> String {
        let (id, account) = (self.id(words.plain(1)), words.plain(2));
        let (root, account_id) = (self.roots[account], AccountId(self.ids[account]));
        let end = match words.plain(0) {
            "settle" => TopUpEnd::Settled {
                arrived: money(words.plain(3)),
                received_on: None,
            },
            _ => TopUpEnd::Failed {
                reason: "it never came".into(),
            },
        };
        let end = EndTopUp {
            top_up_id: TopUpId(id),
            account_id,
            end,
            payment: None,
        };
        let action = Action::EndTopUp(Box::new(end));
        match self.switch.command(AccountId(root), action) {
            Outcome::Event(Event::TopUpEnded(ended)) => format!(
                "ended credited={} rest={}",
                decimal(ended.credit.credited_minor),
                ended.credit.rest_minor
            ),
            outcome => told(&outcome),
        }
    }

    /// `transfer [NAME] from=A to=B amount=1.00`
    fn transfer(&mut self, words: &Words) -> String {
        let id = match words.plain(1) {
            "" => self.fresh(),
            name => self.id(name),
        };
        let amount = money(words.value("amount").expect("an amount"));
        let side = |name: &str| {
            let account = words.value(name).unwrap();
            (self.ids[account], self.roots[account])
        };
        let (from, to) = (side("from"), side("to"));
        transfer_told(&self.switch.transfer(id, from, to, amount))
    }

    fn authorize(&mut self, words: &Words) -> String {
        let name = match words.plain(1) {
            "" => format!("unnamed {}", self.fresh()),
            name => name.to_owned(),
        };
        let amount = money(words.value("amount").expect("an amount"));
        let (root, card) = self.card_named(words.value("card").unwrap_or_default());
        let mut authorize = purchase(self.fresh(), card, amount, &name);
        for (key, value) in &words.named {
            set(&mut authorize, key, value);
        }
        if let Some(original) = self.original_of(words) {
            authorize.original_keys = original.match_keys;
        }
        if let Some(id) = words.value("id") {
            authorize.authorization_id = AuthorizationId(self.id(id));
        }
        self.sent.insert(name, authorize.clone());
        match words.value("bin") {
            None => self.send(root, authorize),
            Some(bin) => self.send_unknown(authorize, bin == "known"),
        }
    }

    fn repeat(&mut self, words: &Words) -> String {
        let mut authorize = self.sent[words.plain(1)].clone();
        authorize.authorization_id = AuthorizationId(self.fresh());
        if let Some(original) = self.original_of(words) {
            authorize.original_keys = original.match_keys;
        }
        for (key, value) in &words.named {
            set(&mut authorize, key, value);
        }
        if let Some(bin) = words.value("bin") {
            return self.send_unknown(authorize, bin == "known");
        }
        let root = self.root_of_card(authorize.card_id);
        self.send(root, authorize)
    }

    fn command(&mut self, root: AccountId, action: Action) -> Outcome {
        match &mut self.kept {
            None => self.switch.command(root, action),
            Some(kept) => kept.command(&mut self.switch, root, action),
        }
    }

    fn send(&mut self, root: u64, authorize: Authorize) -> String {
        let action = Action::Authorize(authorize);
        match self.command(AccountId(root), action) {
            Outcome::Event(Event::Authorized(authorized)) => self.authorized(&authorized),
            Outcome::FirstAnswer(answer) => first_answer(&answer),
            other => told(&other),
        }
    }

    fn send_unknown(&mut self, authorize: Authorize, bin_known: bool) -> String {
        let action = RegistryAction::AuthorizeUnknownCard {
            authorize,
            bin_known,
        };
        match self.switch.registry(action) {
            RegistryOutcome::Event(RegistryEvent::Authorized(authorized)) => {
                self.authorized(&authorized)
            }
            RegistryOutcome::FirstAnswer(answer) => first_answer(&answer),
            other => format!("{other:?}"),
        }
    }

    fn authorized(&mut self, authorized: &Authorized) -> String {
        self.last_trace = authorized.trace.steps().collect();
        let currency = authorized.account_id.map_or(USD, |id| self.currency_of(id));
        let decimal = |amount_minor| decimal_in(currency, amount_minor);
        let drawn_on = authorized.account_id.map_or(String::new(), |id| {
            format!(" account={}", self.name_of(id.0))
        });
        let available = decimal(authorized.available_minor);
        match &authorized.decision {
            Decision::Approved { .. } | Decision::PartiallyApproved { .. } => {
                let part = match authorized.decision {
                    Decision::PartiallyApproved { approved, .. } => {
                        let part = decimal_in(approved.currency, approved.amount_minor);
                        format!(" part={part}")
                    }
                    _ => String::new(),
                };
                let conversion = authorized.conversion.as_deref();
                let conversion =
                    conversion.map_or(String::new(), |found| conversion_shown(found, currency));
                let balances = authorized.balances.map_or(String::new(), |balances| {
                    format!(" ledger={}", decimal(balances.posted_minor))
                });
                let held = authorized.hold.as_ref();
                let held = held.filter(|_| authorized.postings.is_empty());
                let hold = decimal(held.map_or(0, |hold| hold.amount_minor));
                let posted = match authorized.postings.first() {
                    Some(leg) => format!(" posted={}", decimal(-leg.amount_minor)),
                    None => String::new(),
                };
                let added = authorized
                    .increased
                    .as_ref()
                    .map_or(String::new(), |increased| {
                        format!(" added={}", decimal(increased.amount_minor))
                    });
                let said = match authorized.waits_until {
                    Some(_) => "waiting",
                    None => "approved",
                };
                format!(
                    "{said} hold={hold} available={available}{part}{balances}{conversion}{drawn_on}{posted}{added}{}",
                    self.given_back(&authorized.gives_back)
                )
            }
            Decision::Declined(decline) => {
                assert_eq!(authorized.hold, None);
                self.reasons.insert(decline.reason);
                let rule = match decline.rule {
                    Some(RuleId::Limit(id)) => format!(" rule={}", self.name_of(id.0)),
                    Some(RuleId::Control(id)) => format!(" rule={}", self.name_of(id.0)),
                    Some(RuleId::RiskRule(id)) => format!(" rule={}", self.name_of(id.0)),
                    None => String::new(),
                };
                let (reason, step) = (decline.reason.name(), decline.step.name());
                format!("declined {reason} step={step} available={available}{rule}{drawn_on}")
            }
        }
    }

    fn currency_of(&self, id: AccountId) -> Currency {
        let mut shards = self.switch.world.shards.iter();
        let found = shards.find_map(|state| state.account(id));
        found.map_or(USD, |account| account.currency)
    }

    fn reverse(&mut self, words: &Words) -> String {
        self.next_id += 1;
        let original = words.plain(1);
        let sent = self.sent.get(original);
        let amount = words.value("amount").map(money);
        let amount = amount.or(sent.map(|sent| sent.amounts.transaction));
        let card = words.value("card").map(|card| self.ids[card]);
        let card = card.or(sent.map(|sent| sent.card_id.0)).expect("a card");
        let identity = words.value("as").unwrap_or(original);
        let amount = amount.expect("an amount");
        let mut reverse = reversal(self.next_id, card, amount, identity, original);
        if let Some(sent) = sent {
            reverse.original_keys = sent.match_keys;
        }
        for (key, value) in &words.named {
            name(&mut reverse.original_keys, key, value);
        }
        reverse.stays = words.value("stays").map(money);
        reverse.is_marked_repeat = words.value("marked").is_some();
        let root = match words.value("tree") {
            Some(account) => self.roots[account],
            None => self.root_of_card(CardId(card)),
        };
        match self.command(AccountId(root), Action::Reverse(reverse)) {
            Outcome::Event(Event::Reversed(reversed)) => match reversed.outcome {
                ReversalOutcome::Undone(undone) => undone_words(&undone),
                ReversalOutcome::OriginalUnknown => "original_unknown".into(),
                ReversalOutcome::AlreadyReversed => "already_reversed".into(),
                ReversalOutcome::Duplicate => "duplicate".into(),
            },
            Outcome::FirstAnswer(answer) => first_answer(&answer),
            other => told(&other),
        }
    }

    /// `customers asked [timeout=MS] [fallback=AMOUNT]`: whoever pays is asked from now on.
    fn customers(&mut self, words: &Words) -> String {
        let timeout_ms = words
            .value("timeout")
            .map_or(2_000, |ms| ms.parse().unwrap());
        let fallback = words.value("fallback").map(|text| money(text).amount_minor);
        self.switch.ask_customers(timeout_ms, fallback);
        "done".into()
    }

    /// What came of asking about NAME.
    fn customer(&mut self, name: &str, said: &str) -> String {
        let sent = self.sent[name].clone();
        let (says, call) = match said.split_once(':') {
            Some(("approve", amount)) => {
                let amount_minor = Some(money(amount).amount_minor);
                (
                    CustomerSays::Approve { amount_minor },
                    CallOutcome::Answered,
                )
            }
            _ => match said {
                "approve" => (
                    CustomerSays::Approve { amount_minor: None },
                    CallOutcome::Answered,
                ),
                "decline" => (CustomerSays::Decline, CallOutcome::Answered),
                "nothing" => (CustomerSays::Nothing, CallOutcome::TimedOut),
                "nonsense" => (CustomerSays::Nonsense, CallOutcome::Invalid),
                "lost" => (CustomerSays::Lost, CallOutcome::Lost),
                other => panic!("no customer says {other}"),
            },
        };
        let action = Action::Resolve(Resolve {
            authorization_id: sent.authorization_id,
            says,
            call,
            duration_ms: 1,
        });
        let root = self.root_of_card(sent.card_id);
        match self.switch.command(AccountId(root), action) {
            Outcome::Event(Event::Resolved(resolved)) => resolved_words(&resolved),
            other => told(&other),
        }
    }

    /// The answer to NAME was too late for its network.
    fn withhold(&mut self, name: &str) -> String {
        self.next_id += 1;
        let withhold = Withhold {
            reversal_id: ReversalId(self.next_id),
            payment: self.sent[name].clone(),
        };
        let root = self.root_of_card(withhold.payment.card_id);
        let action = Action::Withhold(Box::new(withhold));
        match self.switch.command(AccountId(root), action) {
            Outcome::Event(Event::Withheld(withheld)) => match withheld.undone {
                Some(undone) => undone_words(&undone),
                None => "nothing_left".into(),
            },
            other => told(&other),
        }
    }

    /// `increment NAME of=ORIGINAL amount=…`: a request that adds to what another one reserved.
    fn increment(&mut self, words: &Words) -> String {
        let own_name = words.plain(1).to_owned();
        let amount = money(words.value("amount").expect("an amount"));
        let original = self.original_of(words);
        let card = match words.value("card") {
            Some(card) => self.ids[card],
            None => original.as_ref().expect("a known original").card_id.0,
        };
        let mut authorize = purchase(self.fresh(), card, amount, &own_name);
        authorize.kind = Kind::Incremental;
        let original = original.map_or(names_of("nothing"), |original| original.match_keys);
        authorize.original_keys = original;
        for (key, value) in &words.named {
            set(&mut authorize, key, value);
        }
        self.sent.insert(own_name, authorize.clone());
        self.send(self.root_of_card(CardId(card)), authorize)
    }

    /// `advise NAME card=… amount=… [of=ORIGINAL] [posts=yes] [final=no] [declined=yes]`.
    fn advise(&mut self, words: &Words) -> String {
        let own_name = words.plain(1).to_owned();
        let amount = money(words.value("amount").expect("an amount"));
        let original = self.original_of(words);
        let card = match words.value("card") {
            Some(card) => self.ids[card],
            None => original.as_ref().expect("a known original").card_id.0,
        };
        let known = self.sent.get(&own_name).map(|sent| sent.match_keys);
        let mut advise = advice(self.fresh(), card, amount, &own_name);
        // The advice of a message that was sent before has that one's names.
        advise.payment.match_keys = known.unwrap_or(advise.payment.match_keys);
        for (key, value) in &words.named {
            set(&mut advise.payment, key, value);
        }
        advise.payment.original_keys = match original {
            Some(original) => original.match_keys,
            None => advise.payment.match_keys,
        };
        advise.was_declined = words.value("declined") == Some("yes");
        advise.is_final = words.value("final") != Some("no");
        if words.value("as").is_none() {
            self.sent.insert(own_name, advise.payment.clone());
        }
        let root = self.root_of_card(CardId(card));
        match self.command(AccountId(root), Action::Advise(advise)) {
            Outcome::Event(Event::Advised(advised)) => self.advised(&advised),
            Outcome::FirstAnswer(answer) => first_answer(&answer),
            other => told(&other),
        }
    }

    fn original_of(&self, words: &Words) -> Option<Authorize> {
        self.sent.get(words.value("of")?).cloned()
    }

    fn advised(&mut self, advised: &Advised) -> String {
        self.last_trace = advised.trace.steps().collect();
        let posted = advised.postings.first();
        let posted = decimal(posted.map_or(0, |leg| -leg.amount_minor));
        let head = match &advised.outcome {
            AdviceOutcome::Recorded => "recorded".to_owned(),
            AdviceOutcome::Duplicate => "duplicate".to_owned(),
            AdviceOutcome::Placed(placed) => {
                format!("placed hold={}", decimal(placed.amount_minor))
            }
            AdviceOutcome::ForcePosted(_) => format!("force_posted posted={posted}"),
            AdviceOutcome::Amended {
                before_minor,
                after_minor,
                standing,
                ..
            } => format!(
                "amended before={} after={} status={}",
                decimal(*before_minor),
                decimal(*after_minor),
                standing.name()
            ),
            AdviceOutcome::Completed {
                released_minor,
                standing,
                ..
            } => format!(
                "completed posted={posted} released={} status={}",
                decimal(*released_minor),
                standing.name()
            ),
        };
        let breach = advised.breach.map(|breach| breach.reason.name());
        format!(
            "{head} available={}{} breach={}{}",
            decimal(advised.available_minor),
            flag_words(advised.flags),
            breach.unwrap_or("none"),
            self.given_back(&advised.gives_back)
        )
    }

    /// What a refund gives back, as `gives/LIMIT=AMOUNT`, or that it gives nothing.
    fn given_back(&self, given: &[UseGivenBack]) -> String {
        let word = |given: &UseGivenBack| {
            let limit = self.name_of(given.limit_use.limit_id.0);
            format!(" gives/{limit}={}", decimal(given.amount_minor))
        };
        match given.is_empty() {
            true => " gives_nothing".into(),
            false => given.iter().map(word).collect(),
        }
    }

    /// `trace STEP word word …`: a step of the last decision with all these words.
    fn trace(&self, asked: &str) -> String {
        match self.find_in_trace(asked) {
            (true, _) => "found".into(),
            (false, shown) => panic!("{asked}\nthe trace has\n    {shown}"),
        }
    }

    fn no_trace(&self, asked: &str) -> String {
        match self.find_in_trace(asked) {
            (false, _) => "not found".into(),
            (true, shown) => panic!("{asked}\nthe trace has\n    {shown}"),
        }
    }

    /// Whether a step has all these words, and all that there are.
    fn find_in_trace(&self, asked: &str) -> (bool, String) {
        let wanted: Vec<_> = asked.split_whitespace().skip(1).collect();
        let steps = self.last_trace.iter();
        let shown: Vec<_> = steps.map(|step| self.shown(step)).collect();
        let has = |step: &String| {
            let words: Vec<_> = step.split_whitespace().collect();
            words.first() == wanted.first() && wanted.iter().all(|word| words.contains(word))
        };
        (shown.iter().any(has), shown.join("\n    "))
    }

    fn shown(&self, step: &TraceStep) -> String {
        let head = format!("{} {}", step.step.name(), step.result.name());
        let detail = match step.detail {
            Detail::None => String::new(),
            Detail::Balance {
                available_minor,
                requested_minor,
            } => {
                let (available, requested) = (decimal(available_minor), decimal(requested_minor));
                format!("available={available} requested={requested}")
            }
            Detail::LimitAmount {
                scope,
                limit_id,
                allowed_minor,
                used_minor,
                requested_minor,
                resets,
            } => format!(
                "scope={} limit={} allowed={} used={} requested={} left={} resets_at={}",
                scope_name(scope),
                self.name_of(limit_id.0),
                decimal(allowed_minor),
                decimal(used_minor),
                decimal(requested_minor),
                decimal((allowed_minor - used_minor).max(0)),
                resets
                    .resets_at()
                    .map_or("never".into(), |at| at.to_string()),
            ),
            Detail::LimitCount {
                scope,
                limit_id,
                allowed,
                used,
                resets,
            } => format!(
                "scope={} limit={} allowed={allowed} used={used} left={} resets_at={}",
                scope_name(scope),
                self.name_of(limit_id.0),
                allowed.saturating_sub(used),
                resets
                    .resets_at()
                    .map_or("never".into(), |at| at.to_string()),
            ),
            Detail::List {
                scope,
                control_id,
                value,
            } => {
                let list = self.name_of(control_id.0);
                format!("scope={} list={list} value={value}", scope_name(scope))
            }
            Detail::Assumed { value } => format!("assumed={value}"),
            Detail::Exception { exception_id } => {
                format!("exception={}", self.name_of(exception_id.0))
            }
            Detail::Account { account_id } => format!("account={}", self.name_of(account_id.0)),
            Detail::Link { link_id } => self.link_shown(link_id),
            Detail::NoRate { from, to } => {
                let letters = |number| Currency(number).alpha();
                format!("from={} to={}", letters(from), letters(to))
            }
            Detail::HomeCountry { home, country } => {
                let letters = |code: u16| Country(code.to_be_bytes()).alpha2().to_owned();
                format!("home={} country={}", letters(home), letters(country))
            }
            Detail::Expiry { card, message } => format!("card={card} message={message}"),
            Detail::Mismatch {
                card,
                message,
                cvv,
                pin,
                cryptogram,
            } => {
                let names = [("cvv", cvv), ("pin", pin), ("cryptogram", cryptogram)];
                let names = names.iter().filter(|(_, unmatched)| *unmatched);
                let names: String = names.map(|(name, _)| format!(" {name}=mismatch")).collect();
                format!("card={card} message={message}{names}")
            }
            Detail::Capacity { open, allowed } => format!("open={open} allowed={allowed}"),
            Detail::RiskRule {
                rule_id,
                version,
                outcome,
            } => {
                let rule = self.name_of(rule_id.0);
                let outcome = RuleOutcome::from_bits(outcome).unwrap();
                let action = outcome.action.name();
                let went = if outcome.failed { "failed" } else { "matched" };
                let shadow = if outcome.in_shadow { " in_shadow" } else { "" };
                format!("rule={rule} version={version} {went} action={action}{shadow}")
            }
            Detail::ThreeDs {
                eci,
                authentication,
                exemption,
                policy,
            } => shown_three_ds(Told::of(eci, authentication, exemption, policy).unwrap()),
            Detail::LockedTo { id, acquirer_id } => {
                format!("locked_to={id} acquirer={acquirer_id}")
            }
            Detail::UsedBy { authorization_id } => {
                format!("used_by={}", self.name_of(authorization_id.0))
            }
            Detail::Tries {
                failed,
                allowed,
                resets,
            } => {
                let resets = resets.resets_at().map(|at| at.to_string());
                format!(
                    "failed={failed} allowed={allowed} resets_at={}",
                    resets.unwrap_or("never".into())
                )
            }
        };
        let owner = step.owner.map_or(String::new(), |owner| {
            let link = owner.link_id().map(|id| self.link_shown(id));
            let account = owner.account_id().map(|id| self.name_of(id.0));
            let account = account.map(|name| format!("account={name}"));
            let which = link.or(account).unwrap_or_default();
            format!("by={} {which}", scope_name(owner.scope))
        });
        format!("{head} {detail} {owner}")
    }

    fn link_shown(&self, link_id: LinkId) -> String {
        let key = &self.switch.world.registry.link_keys[link_id.0 as usize - 1];
        format!("link={}/{}", key.link_type, key.id)
    }

    /// `limit.NAME=day:50.00/3@Zone[5411,5812]` (amount, count, zone and filter all optional; `rolling3600`
    /// rolls over so many seconds; a filter names MCCs, countries, channels, kinds and `merchant/ID`), and
    /// `mcc.block=`, `country.allow=`, `currency.block=`, `channel.block=`, `entry.allow=` and the like with
    /// lists, `merchant.allow=` with ids, `ID/ACQUIRER` and `~NAME*` (`_` for a space). `hours.NAME=
    /// mon,tue:08:00-18:00@Zone` is a time window; `single_use`, `merchant_lock` and `home_country_only` are
    /// words of their own; `until_verified` is one of a filter.
    /// `group/NAME` among MCCs is a group, `list/NAME` among merchants a list, both also in filters.
    /// `three_ds=required,above/50.00,low_value` is a policy, with the exemptions that it accepts.
    fn controls(&mut self, words: &Words) -> Controls {
        let mut controls = Controls {
            single_use: words.plain.contains(&"single_use"),
            merchant_lock: words.plain.contains(&"merchant_lock"),
            home_country_only: words.plain.contains(&"home_country_only"),
            ..Controls::default()
        };
        for (key, value) in &words.named {
            let (kind, rest) = key.split_once('.').unwrap_or((key, "limit"));
            let mode = match rest {
                "allow" => ListMode::Allow,
                _ => ListMode::Block,
            };
            let values = value.split(',');
            let id = ControlId(match kind {
                "mcc" | "country" | "currency" | "channel" | "entry" | "merchant"
                    if key.contains('.') =>
                {
                    self.id(&format!("{}.{key}", words.plain(1)))
                }
                _ => 0,
            });
            match kind {
                "limit" => {
                    let name = if *key == "limit" { value } else { &rest };
                    let id = LimitId(self.id(name));
                    let limit = parse_limit(id, value, &mut |name| self.id(name));
                    controls.limits.push(limit);
                }
                "mcc" => {
                    let (groups, codes): (Vec<_>, Vec<_>) =
                        values.partition(|code| code.starts_with("group/"));
                    let codes = codes.iter().map(|code| code.parse().unwrap());
                    controls.mcc = Some(List::new(id, mode, codes.collect()));
                    let groups = groups.into_iter().map(|name| self.group(name));
                    controls.mcc_groups = groups.collect();
                }
                "country" => {
                    let country = |code| Country::from_alpha2(code).unwrap_or(Country::UNKNOWN);
                    let codes = values.map(country);
                    controls.countries = Some(List::new(id, mode, codes.collect()));
                }
                "currency" if key.contains('.') => {
                    let codes = values.map(currency).collect();
                    controls.currencies = Some(List::new(id, mode, codes));
                }
                "channel" if key.contains('.') => {
                    let names = values.map(|name| Channel::from_name(name).unwrap());
                    controls.channels = Some(List::new(id, mode, names.collect()));
                }
                "entry" if key.contains('.') => {
                    let names = values.map(|name| EntryMode::from_name(name).unwrap());
                    controls.entry_modes = Some(List::new(id, mode, names.collect()));
                }
                "merchant" if key.contains('.') => {
                    let entries = values.map(|text| match text.strip_prefix("list/") {
                        Some(name) => MerchantEntry::Shared(MerchantListId(self.id(name))),
                        None => merchant_entry(text),
                    });
                    let entries = entries.collect();
                    controls.merchants = Some(MerchantList { id, mode, entries });
                }
                "hours" => {
                    let id = ControlId(self.id(rest));
                    controls.time_windows.push(time_window(id, value));
                }
                "three_ds" => controls.three_ds = Some(three_ds_policy(value)),
                _ => {}
            }
        }
        controls
    }

    /// `group/gambling` of the program, or `group/NAME` of the scenario.
    fn group(&mut self, text: &str) -> MccGroupRef {
        group_ref(text, &mut |name| self.id(name))
    }

    fn fresh(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn id(&mut self, name: &str) -> u64 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.fresh();
        self.ids.insert(name.to_owned(), id);
        id
    }

    fn name_of(&self, id: u64) -> &str {
        let found = self.ids.iter().find(|(_, known)| **known == id);
        found.map_or("?", |(name, _)| name)
    }

    /// The root and the id of a card; of one that was never issued, another tree's.
    fn card_named(&self, name: &str) -> (u64, u64) {
        let root = self.roots.get(name).copied().unwrap_or(77);
        (root, self.ids.get(name).copied().unwrap_or(99))
    }

    fn root_of_card(&self, id: CardId) -> u64 {
        let name = self.name_of(id.0);
        self.roots.get(name).copied().unwrap_or(77)
    }
}

fn conversion_shown(conversion: &Conversion, currency: Currency) -> String {
    let decimal = |amount_minor| decimal_in(currency, amount_minor);
    let version = conversion
        .table_version
        .map_or("none".into(), |version| version.to_string());
    format!(
        " source={} from={} rate={} table={version} network={} mark_up={} rounding={}",
        conversion.source.name(),
        conversion.from.alpha(),
        conversion.rate,
        decimal(conversion.network_minor),
        decimal(conversion.mark_up_minor),
        decimal(conversion.rounding_minor),
    )
}

fn registry_told(outcome: &RegistryOutcome) -> String {
    match outcome {
        RegistryOutcome::Event(_) => "done".into(),
        RegistryOutcome::Refused(refusal) => format!("refused {refusal}"),
        other => format!("{other:?}"),
    }
}

/// `account`, or of an account above `parent_account-2` and the like.
fn scope_name(scope: Scope) -> String {
    match scope.levels_above() {
        0 => scope.name().into(),
        levels => format!("{}-{levels}", scope.name()),
    }
}

fn set(authorize: &mut Authorize, key: &str, value: &str) {
    let check = |value: &str| match value {
        "match" => Check::Match,
        "mismatch" => Check::Mismatch,
        _ => Check::Absent,
    };
    match key {
        "amount" => authorize.amounts.transaction = money(value),
        "currency" => {
            assert_eq!(value, "absent");
            authorize.amounts.transaction.currency = Currency::ABSENT;
        }
        "marked" => authorize.is_marked_repeat = value == "yes",
        "billing" => authorize.amounts.billing = Some(money(value)),
        "mcc" => authorize.merchant.mcc = value.parse().unwrap(),
        "country" => {
            authorize.merchant.country = Country::from_alpha2(value).unwrap_or(Country::UNKNOWN)
        }
        "channel" => authorize.channel = Channel::from_name(value).unwrap(),
        "entry" => authorize.entry_mode = EntryMode::from_name(value).unwrap(),
        "merchant" => {
            let id = if value == "-" { "" } else { value };
            authorize.merchant.id = ArrayString::from(id).unwrap();
        }
        "merchant_name" => {
            authorize.merchant.name = ArrayString::from(&value.replace('_', " ")).unwrap();
        }
        "merchant_acquirer" => authorize.reference.acquirer_id = ArrayString::from(value).unwrap(),
        "kind" => authorize.kind = Kind::from_name(value).unwrap(),
        "cvv" => authorize.verification.cvv = check(value),
        "pin" => authorize.verification.pin = check(value),
        "cryptogram" => authorize.verification.cryptogram = check(value),
        "expiry" => authorize.verification.expiry = Some(expiry(value)),
        "partial" => authorize.partial_approval_supported = value == "supported",
        "posts" => authorize.posts = value == "yes",
        "card" | "id" | "bin" | "of" | "final" | "declined" | "as" => {}
        "eci" => authorize.three_ds.eci = Some(value.parse().unwrap()),
        "authentication" => authorize.three_ds.authentication = named(Authentication::ALL, value),
        "cavv" => authorize.three_ds.cryptogram = named(Cryptogram::ALL, value),
        "exemption" => authorize.three_ds.exemption = named(Exemption::ALL, value),
        "initiated_by" => authorize.initiated_by_merchant = value == "merchant",
        other if name(&mut authorize.match_keys, other, value) => {}
        other => panic!("an authorization has no {other}"),
    }
}

/// Sets a name of a message, with `-` to none; false where `key` is none of them.
fn name(keys: &mut MatchKeys, key: &str, value: &str) -> bool {
    let stated = |name: fn(&str) -> MatchKey| match value {
        "-" => MatchKey::UNSTATED,
        text => name(text),
    };
    match key {
        "rrn" => keys.by_authority[0] = stated(rrn),
        "sent" => keys.by_authority[1] = stated(sent),
        "local" => keys.by_authority[2] = stated(local),
        "code" => keys.by_authority[3] = stated(code),
        "acquirer" => keys.acquirer_id = value.parse().unwrap(),
        "stan" => keys.stan = value.parse().unwrap(),
        _ => return false,
    }
    true
}

fn resolved_words(resolved: &Resolved) -> String {
    let fallback = if resolved.fallback_used {
        " fallback"
    } else {
        ""
    };
    match &resolved.to {
        ResolvedTo::NothingWaits => "nothing_waits".into(),
        ResolvedTo::Declined { reason, undone } => format!(
            "declined {} released={}{fallback}",
            reason.name(),
            decimal(undone.released.account_minor)
        ),
        ResolvedTo::Approved { released, posted } => {
            let part = match resolved.answer {
                Some(Answer::Authorization {
                    result: AnswerResult::PartiallyApproved { approved, .. },
                    ..
                }) => format!(
                    " part={}",
                    decimal_in(approved.currency, approved.amount_minor)
                ),
                _ => String::new(),
            };
            format!(
                "approved released={} posted={}{part}{fallback}",
                decimal(released.account_minor),
                decimal(posted.account_minor)
            )
        }
    }
}

fn undone_words(undone: &Undone) -> String {
    let what = match undone.what {
        UndoneWhat::Whole => "whole",
        UndoneWhat::Above => "above",
        UndoneWhat::Part { .. } => "part",
    };
    format!(
        "released {} returned={} what={what} status={}{}",
        decimal(undone.released.account_minor),
        decimal(undone.returned.account_minor),
        undone.standing.name(),
        flag_words(undone.flags)
    )
}

/// Every flag as a word of its own, or that there is none.
fn flag_words(flags: Flags) -> String {
    match flags.names().next() {
        None => " no_flags".to_owned(),
        Some(_) => flags.names().map(|name| format!(" {name}")).collect(),
    }
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Event(_) => "done".into(),
        Outcome::AlreadyDone => "already_done".into(),
        Outcome::Refused(refusal) => format!("refused {refusal}"),
        Outcome::FirstAnswer(answer) => first_answer(answer),
    }
}

fn transfer_told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Event(Event::Transferred(transferred)) => {
            let reason = transferred.return_reason.map_or("", |reason| reason.name());
            format!("{} {reason}", transferred.status.name())
        }
        outcome => told(outcome),
    }
}

fn told_by_registry(outcome: &RegistryOutcome) -> String {
    match outcome {
        RegistryOutcome::Event(_) => "done".into(),
        RegistryOutcome::AlreadyDone => "already_done".into(),
        RegistryOutcome::Refused(refusal) => format!("refused {refusal}"),
        other => format!("{other:?}"),
    }
}

fn first_answer(answer: &Answer) -> String {
    match answer {
        Answer::Authorization { result, .. } => match result {
            AnswerResult::Approved { .. } => "first_answer approved".into(),
            AnswerResult::Waiting => "first_answer waiting".into(),
            AnswerResult::Declined(reason) => format!("first_answer declined {}", reason.name()),
            AnswerResult::PartiallyApproved { approved, .. } => {
                format!("first_answer part={}", decimal(approved.amount_minor))
            }
            AnswerResult::Balances(balances) => {
                format!("first_answer ledger={}", decimal(balances.posted_minor))
            }
        },
        Answer::Reversal { result, .. } => match result {
            ReversalResult::Accepted => "first_answer accepted".into(),
            ReversalResult::OriginalUnknown => "first_answer original_unknown".into(),
            ReversalResult::Duplicate => "first_answer duplicate".into(),
        },
        Answer::Advice { result, .. } => match result {
            AdviceResult::Accepted => "first_answer accepted".into(),
            AdviceResult::Recorded => "first_answer recorded".into(),
            AdviceResult::Duplicate => "first_answer duplicate".into(),
        },
    }
}

/// Gives a name its number.
type Numbering<'a> = &'a mut dyn FnMut(&str) -> u64;

fn group_ref(text: &str, number: Numbering) -> MccGroupRef {
    let name = text.trim_start_matches("group/");
    let mut builtin = BuiltinMccGroup::ALL.iter();
    match builtin.find(|(_, known)| *known == name) {
        Some((group, _)) => MccGroupRef::Builtin(*group),
        None => MccGroupRef::Own(MccGroupId(number(name))),
    }
}

fn parse_limit(id: LimitId, text: &str, number: Numbering) -> Limit {
    let (text, filter) = text.split_once('[').unwrap_or((text, ""));
    let refunds_restore = filter.contains("refunds_restore");
    let filter = filter.replace("refunds_restore", "");
    let filter = parse_filter(filter.trim_end_matches(']'), number);
    let (text, zone) = text.split_once('@').unwrap_or((text, "UTC"));
    let (window, amounts) = text.split_once(':').expect("a window, a colon and a bound");
    let (amount, count) = amounts.split_once('/').unwrap_or((amounts, ""));
    Limit {
        id,
        window: parse_window(window),
        amount_minor: (!amount.is_empty()).then(|| money(amount).amount_minor),
        count: (!count.is_empty()).then(|| count.parse().unwrap()),
        time_zone: zone.into(),
        filter: (!filter.is_empty()).then(|| Box::new(filter)),
        refunds_restore,
    }
}

/// `project/p1`.
fn link(text: &str) -> LinkKey {
    let (link_type, id) = text.split_once('/').expect("a type, a slash and an id");
    LinkKey {
        program_id: PROGRAM,
        link_type: link_type.into(),
        id: id.into(),
    }
}

fn parse_window(text: &str) -> Window {
    if let Some(seconds) = text.strip_prefix(Window::ROLLING) {
        let seconds = seconds.parse().unwrap();
        return Window::Rolling(RollingWindow { seconds });
    }
    Window::from_name(text).unwrap_or_else(|| panic!("no window {text}"))
}

fn parse_filter(text: &str, number: Numbering) -> LimitFilter {
    let mut filter = LimitFilter::default();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        if let Ok(mcc) = word.parse() {
            filter.mccs.push(mcc);
        } else if word.starts_with("group/") {
            filter.mcc_groups.push(group_ref(word, number));
        } else if word == "until_verified" {
            filter.until_verified = true;
        } else if let Some(name) = word.strip_prefix("list/") {
            filter.merchant_lists.push(MerchantListId(number(name)));
        } else if let Some(id) = word.strip_prefix("merchant/") {
            filter.merchant_ids.push(id.into());
        } else if let Some(country) = Country::from_alpha2(word) {
            filter.countries.push(country);
        } else if let Some(kind) = Kind::from_name(word) {
            filter.kinds.push(kind);
        } else {
            let channel = Channel::from_name(word);
            let channel = channel.unwrap_or_else(|| panic!("a filter has no {word}"));
            filter.channels.push(channel);
        }
    }
    filter
}

fn merchant_entry(text: &str) -> MerchantEntry {
    if let Some(name) = text.strip_prefix('~') {
        return MerchantEntry::Name(name.replace('_', " ").into());
    }
    let (id, acquirer_id) = match text.split_once('/') {
        Some((id, acquirer_id)) => (id, Some(acquirer_id.into())),
        None => (text, None),
    };
    let id = id.into();
    MerchantEntry::Id { id, acquirer_id }
}

fn time_window(id: ControlId, text: &str) -> TimeWindow {
    let (text, zone) = text.split_once('@').unwrap_or((text, "UTC"));
    let (days, hours) = text.split_once(':').expect("days, a colon and hours");
    let day = |name| Days::NAMES.iter().position(|known| *known == name);
    let days = match days {
        "all" => Days::ALL,
        days => Days::of(days.split(',').map(|name| day(name).unwrap() as u8)),
    };
    let minute = |text: &str| -> u16 {
        let (hours, minutes) = text.split_once(':').expect("hours and minutes");
        hours.parse::<u16>().unwrap() * 60 + minutes.parse::<u16>().unwrap()
    };
    let (from, to) = hours.split_once('-').expect("from and to");
    TimeWindow {
        id,
        days,
        from_minute: minute(from),
        to_minute: minute(to),
        time_zone: zone.into(),
    }
}

/// `required,above/50.00,low_value`.
fn three_ds_policy(text: &str) -> ThreeDsPolicy {
    let mut words = text.split(',');
    let mut policy = ThreeDsPolicy {
        mode: named(ThreeDsMode::ALL, words.next().unwrap_or_default()),
        ..ThreeDsPolicy::default()
    };
    for word in words {
        match word.strip_prefix("above/") {
            Some(amount) => policy.above_minor = Some(money(amount).amount_minor),
            None => policy.accepted_exemptions.push(named(Exemption::ALL, word)),
        }
    }
    policy.accepted_exemptions.sort_unstable();
    policy
}

fn named<T: Copy>(all: &[(T, &str)], name: &str) -> T {
    let found = all.iter().find(|(_, known)| *known == name);
    found.unwrap_or_else(|| panic!("no such word: {name}")).0
}

fn shown_three_ds(told: Told) -> String {
    let ThreeDs {
        eci,
        authentication,
        cryptogram,
        exemption,
    } = told.three_ds;
    format!(
        "eci={} authentication={} cavv={} exemption={} initiated_by={} policy={} scope={}",
        eci.map_or("none".into(), |eci| eci.to_string()),
        authentication.name(),
        cryptogram.name(),
        exemption.name(),
        ["cardholder", "merchant"][usize::from(told.initiated_by_merchant)],
        told.asked.mode.name(),
        told.asked.scope.map_or("none".into(), scope_name),
    )
}

fn expiry(text: &str) -> Expiry {
    let (year, month) = text.split_once('-').expect("YYYY-MM");
    Expiry::new(year.parse().unwrap(), month.parse().unwrap()).unwrap()
}

fn currency(letters: &str) -> Currency {
    Currency::from_alpha(letters).unwrap_or_else(|| panic!("no currency {letters}"))
}

/// `50.00`, in US dollars, or `50.00EUR`.
fn money(text: &str) -> Money {
    let letters = text.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
    let number = &text[..text.len() - letters.len()];
    let currency = if letters.is_empty() {
        USD
    } else {
        currency(letters)
    };
    let exponent = usize::from(currency.exponent());
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{part:0<exponent$}");
    Money {
        amount_minor: digits
            .parse()
            .unwrap_or_else(|_| panic!("no amount: {text}")),
        currency,
    }
}

/// In dollars.
fn decimal(amount_minor: i64) -> String {
    decimal_in(USD, amount_minor)
}

fn decimal_in(currency: Currency, amount_minor: i64) -> String {
    let sign = if amount_minor < 0 { "-" } else { "" };
    let (amount, places) = (amount_minor.unsigned_abs(), currency.exponent());
    let one = 10u64.pow(places.into());
    match places {
        0 => format!("{sign}{amount}"),
        places => {
            let places = usize::from(places);
            format!("{sign}{}.{:0places$}", amount / one, amount % one)
        }
    }
}

fn without_comma(word: &str) -> &str {
    word.trim_end_matches(',')
}

//! API keys: what their bearers may do, and on what. Telling who a bearer is and asking each route what it needs lives in
//! `api`; the keys themselves are kept nowhere, only what they hash to.

use super::ids::{AccountId, ApiKeyId, ProgramId};
use super::registry::{
    RegistryAction, RegistryCommand, RegistryEvent, RegistryOutcome, RegistryRefusal, RegistryView,
};
use super::shares::ShareBounds;
use super::time::Timestamp;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Keys that are known and made with the root key. All of these bounds are for making; rolling goes on up to twice each,
/// and ends there, as each change copies the table of all.
pub const API_KEYS_MAX: usize = 10_000;

/// With other keys half as many are made, of which the last quarter is for keys that are bound to nothing.
const BY_OTHER_KEYS: ShareBounds = ShareBounds::new(API_KEYS_MAX / 2, API_KEYS_OF_TENANT_MAX);

/// Those of one tenant, and those that one key which is bound to nothing made.
pub const API_KEYS_OF_TENANT_MAX: usize = 200;

macro_rules! scopes {
    ($($name:ident = $text:literal, $lets:literal;)*) => {
        /// What a key may let its bearer do. New ones at the end: their places are in the journal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Scope { $($name,)* }

        impl Scope {
            pub const ALL: &'static [Scope] = &[$(Scope::$name,)*];

            pub fn name(self) -> &'static str {
                match self { $(Scope::$name => $text,)* }
            }

            /// In one line, for people.
            pub fn lets(self) -> &'static str {
                match self { $(Scope::$name => $lets,)* }
            }
        }
    };
}

scopes! {
    ProgramsRead = "programs:read", "see programs";
    ProgramsWrite = "programs:write", "create, change and suspend programs";
    AccountsRead = "accounts:read", "see accounts, balances and ledger entries";
    AccountsWrite = "accounts:write", "open accounts and sub-accounts";
    AccountsFreeze = "accounts:freeze", "freeze accounts";
    AccountsUnfreeze = "accounts:unfreeze", "unfreeze accounts";
    AccountsClose = "accounts:close", "close accounts, for good";
    FundsTopUp = "funds:topup", "record money that arrived";
    FundsTransfer = "funds:transfer", "move money between accounts";
    CardsRead = "cards:read", "see cards, their numbers masked, and where physical ones are sent: name, address and phone";
    CardsIssue = "cards:issue", "issue, activate, reissue and renew cards";
    CardsFreeze = "cards:freeze", "freeze cards, one or all of a linked object";
    CardsUnfreeze = "cards:unfreeze", "unfreeze cards";
    CardsBlock = "cards:block", "block cards that are lost, stolen or used for fraud";
    CardsClose = "cards:close", "close cards, for good";
    CardsReveal = "cards:reveal", "see card numbers and CVV2, with a reason that is kept";
    LimitsWrite = "limits:write", "tighten controls and limits";
    LimitsRaise = "limits:raise", "loosen controls and raise limits";
    CardholdersRead = "cardholders:read", "see cardholders";
    CardholdersWrite = "cardholders:write", "create, change and verify cardholders";
    RulesRead = "rules:read", "see risk rules, MCC groups and merchant lists";
    RulesWrite = "rules:write", "change MCC groups and merchant lists";
    RulesDraft = "rules:draft", "write risk rules as drafts";
    RulesPromote = "rules:promote", "put risk rules into force, and out of it";
    ExceptionsRead = "exceptions:read", "see exceptions from controls";
    ExceptionsRequest = "exceptions:request", "ask for exceptions";
    ExceptionsApprove = "exceptions:approve", "approve, reject and end exceptions";
    RatesRead = "rates:read", "see exchange rates";
    RatesWrite = "rates:write", "set exchange rates";
    DecisionEndpointsRead = "decision_endpoints:read", "see decision endpoints";
    DecisionEndpointsWrite = "decision_endpoints:write", "set decision endpoints and their secrets";
    AuthorizationsRead = "authorizations:read", "see authorizations and why they were declined";
    AuthorizationsExpire = "authorizations:expire", "end holds by hand";
    TransactionsRead = "transactions:read", "see transactions";
    ReportsRead = "reports:read", "read settlement reports";
    AlertsDeclines = "alerts:declines", "receive alerts of declines";
    WebhooksRead = "webhooks:read", "see webhook endpoints, events and deliveries";
    WebhooksWrite = "webhooks:write", "set webhook endpoints, resend and replay";
    DisputesRead = "disputes:read", "see disputes";
    DisputesWrite = "disputes:write", "open disputes and add evidence";
    DisputesSubmit = "disputes:submit", "submit, withdraw and accept disputes";
    FeesRead = "fees:read", "see fees and preview them";
    FeesWrite = "fees:write", "set fee schedules, and what programs charge by";
    TokensWrite = "tokens:write", "activate, suspend and delete wallet tokens";
    KeysRead = "keys:read", "see API keys, never the keys themselves";
    KeysWrite = "keys:write", "make and revoke API keys that may do no more than the one that makes them";
    AuditRead = "audit:read", "read the audit log";
    SandboxWrite = "sandbox:write", "simulate what a network does, where the sandbox is on";
    FundsSettle = "funds:settle", "say that money arrived, or that it will not";
    CardsShip = "cards:ship", "say how far the making and sending of cards is";
    ApprovalsRead = "approvals:read", "see what waits for a second person, and cancel what one asked for";
    ApprovalsWrite = "approvals:write", "approve and reject what waits for a second person";
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes(u64);

const _: () = assert!(Scope::ALL.len() <= 64, "scopes no longer fit their set");

impl Scopes {
    pub const ALL: Scopes = Scopes(u64::MAX >> (64 - Scope::ALL.len()));

    pub fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u32) != 0
    }

    pub fn with(self, scope: Scope) -> Scopes {
        Scopes(self.0 | 1 << scope as u32)
    }

    /// Those that `other` does not have.
    pub fn without(self, other: Scopes) -> Scopes {
        Scopes(self.0 & !other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .iter()
            .copied()
            .filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Scopes {
        scopes.into_iter().fold(Scopes::default(), Scopes::with)
    }
}

/// What of all there is a key sees. Of each kind that is named something must fit; what is not named binds nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    pub program_ids: Box<[ProgramId]>,
    /// With everything below them.
    pub account_ids: Box<[AccountId]>,
    pub links: Box<[BoundLink]>,
}

/// A linked object, of whatever program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundLink {
    pub link_type: Box<str>,
    pub id: Box<str>,
}

/// Where an object is: what bounds are held against.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub program_id: ProgramId,
    /// The account and those above it; none of what belongs to a program alone.
    pub accounts: &'a [AccountId],
    /// Types and ids of what it is linked to.
    pub links: &'a [(&'a str, &'a str)],
}

impl Bounds {
    pub fn is_unbound(&self) -> bool {
        *self == Bounds::default()
    }

    pub fn cover(&self, place: &Place) -> bool {
        let is_linked = |bound: &BoundLink| {
            let mut links = place.links.iter();
            links.any(|(link_type, id)| (*link_type, *id) == (&*bound.link_type, &*bound.id))
        };
        let is_below = |id: &AccountId| place.accounts.contains(id);
        (self.program_ids.is_empty() || self.program_ids.contains(&place.program_id))
            && (self.account_ids.is_empty() || self.account_ids.iter().any(is_below))
            && (self.links.is_empty() || self.links.iter().any(is_linked))
    }

    /// What belongs to a program, and to none of its accounts.
    pub fn cover_program(&self, program_id: ProgramId) -> bool {
        self.cover(&Place {
            program_id,
            accounts: &[],
            links: &[],
        })
    }
}

/// A key as it was made. Only its state changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub name: Box<str>,
    /// Keyed (see `security`).
    pub key_hash: [u8; 32],
    pub scopes: Scopes,
    pub bounds: Bounds,
    /// From where it may be used, as addresses or `address/bits`; from everywhere, where none is named.
    pub allowed_ips: Box<[Box<str>]>,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// The key that made it; `None` for the root key.
    pub created_by: Option<ApiKeyId>,
    pub revoked_at: Option<Timestamp>,
    /// The key in whose place it was made.
    pub rolled_from: Option<ApiKeyId>,
    /// What the registry notes when it puts the key on record.
    pub origin: KeyOrigin,
}

/// Where a key comes from, in so far as that outlives the keys that it comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyOrigin {
    /// Of a bound key: whose share it takes of, see `shares.rs`.
    pub tenant: Option<ApiKeyId>,
    /// The keys that it comes from, made or rolled, which were made with the root key and through no other; none of one
    /// that was so itself.
    heads: Box<[ApiKeyId]>,
    /// The key that made it, or, once that is forgotten, the one that made that.
    maker: Option<ApiKeyId>,
    first_of_rolled: Option<ApiKeyId>,
}

impl ApiKey {
    /// The first of the keys that were rolled, one to the next, up to this one: by it a client is counted and remembered.
    pub fn first_id(&self) -> ApiKeyId {
        self.origin.first_of_rolled.unwrap_or(self.id)
    }

    pub fn state_at(&self, at: Timestamp) -> ApiKeyState {
        match (self.revoked_at, self.expires_at) {
            (Some(revoked_at), _) if revoked_at <= at => ApiKeyState::Revoked,
            (_, Some(expires_at)) if expires_at <= at => ApiKeyState::Expired,
            _ => ApiKeyState::Active,
        }
    }

    /// It ended so long ago that it is forgotten with the next change of a key.
    fn is_past(&self, at: Timestamp, retention_ms: i64) -> bool {
        let ends = self.revoked_at.into_iter().chain(self.expires_at);
        ends.min()
            .is_some_and(|ended_at| ended_at.plus_ms(retention_ms) <= at)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiKeyState {
    Active,
    Expired,
    Revoked,
}

impl ApiKeyState {
    pub fn name(self) -> &'static str {
        match self {
            ApiKeyState::Active => "active",
            ApiKeyState::Expired => "expired",
            ApiKeyState::Revoked => "revoked",
        }
    }
}

/// All keys, without those that ended long ago.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys {
    by_id: BTreeMap<ApiKeyId, Arc<ApiKey>>,
    by_hash: HashMap<[u8; 32], ApiKeyId>,
}

impl ApiKeys {
    pub fn of_hash(&self, key_hash: &[u8; 32]) -> Option<&Arc<ApiKey>> {
        self.get(*self.by_hash.get(key_hash)?)
    }

    pub fn get(&self, id: ApiKeyId) -> Option<&Arc<ApiKey>> {
        self.by_id.get(&id)
    }

    /// In the order of their ids.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<ApiKey>> {
        self.by_id.values()
    }

    /// Whose share a key takes of; `None` of one that is bound to nothing.
    pub fn tenant(&self, id: Option<ApiKeyId>) -> Option<ApiKeyId> {
        self.get(id?)?.origin.tenant
    }

    /// Who a key is, in so far as whoever made or rolled a key has seen it; `None` is the root key.
    fn heads(&self, id: Option<ApiKeyId>) -> Vec<Option<ApiKeyId>> {
        let key = id.and_then(|id| self.get(id));
        match key.filter(|key| !key.origin.heads.is_empty()) {
            Some(key) => key.origin.heads.iter().copied().map(Some).collect(),
            None => vec![id],
        }
    }

    /// Of a new key. What it comes from is known, as it is good.
    fn origin_of(&self, key: &ApiKey) -> KeyOrigin {
        let from = [key.rolled_from, key.created_by].into_iter().flatten();
        let heads: BTreeSet<ApiKeyId> = from
            .clone()
            .flat_map(|id| self.heads(Some(id)))
            .flatten()
            .collect();
        let first_of = |id| self.get(id).map_or(id, |key| key.first_id());
        let mut tenants = from.filter_map(|id| self.tenant(Some(id)));
        let tenant = match key.bounds.is_unbound() {
            true => None,
            false => tenants.next().or(Some(key.id)),
        };
        KeyOrigin {
            tenant,
            heads: heads.into_iter().collect(),
            maker: key.created_by,
            first_of_rolled: key.rolled_from.map(first_of),
        }
    }

    /// Whether one person may hold both: they are the same, one was made or rolled with the other, however far down, or
    /// both with a third. Keys made with the root key are each of a family of their own, and so is the root key.
    pub fn are_of_one_family(&self, one: Option<ApiKeyId>, other: Option<ApiKeyId>) -> bool {
        let heads = self.heads(one);
        self.heads(other).iter().any(|head| heads.contains(head))
    }

    /// Keys that were made with this one, and with those, however far down; those that it was rolled to by itself among them.
    fn made_with(&self, id: ApiKeyId) -> Vec<ApiKeyId> {
        let mut makers = BTreeSet::from([id]);
        let mut found = Vec::new();
        // Whoever makes a key was made before it.
        for key in self.by_id.range(id..).map(|(_, key)| key) {
            let maker = key.origin.maker;
            if maker.is_some_and(|maker| makers.contains(&maker)) && makers.insert(key.id) {
                found.push(key.id);
            }
        }
        found
    }

    /// This one, with those that were made with it if so asked, as far as they are not revoked by then. From a moment on,
    /// which may lie ahead; an earlier one stays.
    fn to_revoke(&self, id: ApiKeyId, at: Timestamp, children: bool) -> Vec<ApiKeyId> {
        let mut ids = vec![id];
        if children {
            ids.extend(self.made_with(id));
        }
        let is_earlier = |key: &Arc<ApiKey>| key.revoked_at.is_some_and(|earlier| earlier <= at);
        ids.retain(|id| !self.get(*id).is_some_and(is_earlier));
        ids
    }

    /// The key is good, or one that it was rolled to is, in so far as it and those between them are known: of one that is
    /// forgotten nobody can say who must not approve what it asked for.
    pub fn is_good_or_rolled(&self, id: Option<ApiKeyId>, at: Timestamp) -> bool {
        let Some(mut id) = id else {
            return true;
        };
        if self.get(id).is_none() {
            return false;
        }
        // Who comes after whom is made once and in order, so this ends.
        loop {
            let is_good = |key: &Arc<ApiKey>| key.state_at(at) == ApiKeyState::Active;
            if self.get(id).is_some_and(is_good) {
                return true;
            }
            let mut all = self.by_id.values();
            match all.rfind(|key| key.rolled_from == Some(id) && key.id > id) {
                Some(next) => id = next.id,
                None => return false,
            }
        }
    }

    /// Forgets those that ended long ago. What was made with one goes on as made with its maker.
    fn forget(&mut self, at: Timestamp, retention_ms: i64) {
        let past = self.by_id.values();
        let past = past.filter(|key| key.is_past(at, retention_ms));
        let past: Vec<Arc<ApiKey>> = past.cloned().collect();
        if past.is_empty() {
            return;
        }
        // Whoever makes a key was made before it, so that its own maker is settled already.
        let mut makers: BTreeMap<ApiKeyId, Option<ApiKeyId>> = BTreeMap::new();
        let known = |makers: &BTreeMap<_, _>, maker: Option<ApiKeyId>| match maker {
            Some(id) => makers.get(&id).copied().unwrap_or(maker),
            None => None,
        };
        for key in past {
            makers.insert(key.id, known(&makers, key.origin.maker));
            self.by_id.remove(&key.id);
            self.by_hash.remove(&key.key_hash);
        }
        for key in self.by_id.values_mut() {
            let maker = known(&makers, key.origin.maker);
            if maker != key.origin.maker {
                Arc::make_mut(key).origin.maker = maker;
            }
        }
    }

    pub(super) fn put(&mut self, key: ApiKey) {
        self.by_hash.insert(key.key_hash, key.id);
        self.by_id.insert(key.id, Arc::new(key));
    }
}

pub(super) fn decide(view: &RegistryView, command: &RegistryCommand) -> RegistryOutcome {
    let decided = match &command.action {
        RegistryAction::CreateApiKey(key) => refusal(view, key, command.at),
        RegistryAction::RevokeApiKey { id, at, children } => match view.api_keys.get(*id) {
            None => Some(RegistryRefusal::ApiKeyNotFound(*id)),
            Some(_) if view.api_keys.to_revoke(*id, *at, *children).is_empty() => {
                return RegistryOutcome::AlreadyDone;
            }
            Some(_) => None,
        },
        action => panic!("no API key changes by this command: {action:?}"),
    };
    match decided {
        Some(refusal) => RegistryOutcome::Refused(refusal),
        None => RegistryOutcome::Event(RegistryEvent::ApiKeyChanged {
            version: view.version + 1,
        }),
    }
}

fn refusal(view: &RegistryView, key: &ApiKey, at: Timestamp) -> Option<RegistryRefusal> {
    let keys = &view.api_keys;
    if keys.get(key.id).is_some() {
        return Some(RegistryRefusal::IdTaken);
    }
    // What a key asked for would otherwise be approved again, and who is revoked would stay by those that he makes meanwhile.
    for id in [key.rolled_from, key.created_by].into_iter().flatten() {
        let state = keys.get(id).map(|known| known.state_at(at));
        if let Some(state) = state.filter(|state| *state != ApiKeyState::Active) {
            return Some(RegistryRefusal::ApiKeyNotActive(state));
        }
    }
    if is_full(view, key, at) {
        return Some(RegistryRefusal::TooManyApiKeys);
    }
    let mut programs = key.bounds.program_ids.iter();
    let unknown = programs.find(|id| !view.programs.contains_key(*id));
    unknown.map(|id| RegistryRefusal::ProgramNotFound(*id))
}

/// No room for one more, those that are to be forgotten aside. Whom the root key makes takes nothing of the room of others.
/// A roll has room where making has none: the new key takes the place of the old one, which is only known on, beside it.
fn is_full(view: &RegistryView, key: &ApiKey, at: Timestamp) -> bool {
    let most_times = match key.rolled_from {
        Some(_) => 2,
        None => 1,
    };
    let has_room = |taken: usize, most: u64| (taken as u64) < most * most_times;
    let retention_ms = view.settings.ended_api_key_retention_ms;
    let known = view.api_keys.by_id.values();
    let known = known.filter(|known| !known.is_past(at, retention_ms));
    let of_root = known.clone().filter(|known| known.created_by.is_none());
    let of_others = known.clone().filter(|known| known.created_by.is_some());
    let Some(maker) = key.created_by else {
        return !has_room(of_root.count(), API_KEYS_MAX as u64);
    };
    let tenant = view.api_keys.tenant(Some(maker));
    let (own, most_of_others) = match tenant {
        Some(_) => {
            let own = known.filter(|known| known.origin.tenant == tenant);
            (own.count(), BY_OTHER_KEYS.of_tenants())
        }
        None => {
            let own = known.filter(|known| known.created_by == Some(maker));
            (own.count(), BY_OTHER_KEYS.all)
        }
    };
    !has_room(own, BY_OTHER_KEYS.of_tenant) || !has_room(of_others.count(), most_of_others)
}

pub(super) fn apply(keys: &mut ApiKeys, command: &RegistryCommand, retention_ms: i64) {
    match &command.action {
        RegistryAction::CreateApiKey(key) => keys.put(ApiKey {
            origin: keys.origin_of(key),
            ..(**key).clone()
        }),
        RegistryAction::RevokeApiKey { id, at, children } => {
            for id in keys.to_revoke(*id, *at, *children) {
                if let Some(known) = keys.by_id.get_mut(&id) {
                    Arc::make_mut(known).revoked_at = Some(*at);
                }
            }
        }
        action => panic!("no API key changes by this command: {action:?}"),
    }
    keys.forget(command.at, retention_ms);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_the_set_has_all() {
        let names: std::collections::HashSet<_> = Scope::ALL.iter().map(|s| s.name()).collect();
        assert_eq!(names.len(), Scope::ALL.len());
        assert_eq!(Scopes::ALL.iter().count(), Scope::ALL.len());
        let two: Scopes = [Scope::CardsRead, Scope::AuditRead].into_iter().collect();
        assert!(two.has(Scope::AuditRead) && !two.has(Scope::CardsIssue));
        assert!(two.without(Scopes::ALL).is_empty());
        assert_eq!(
            Scopes::ALL.without(two).iter().count(),
            Scope::ALL.len() - 2
        );
    }

    fn keys(all: &[(u64, Option<u64>, Option<u64>)]) -> ApiKeys {
        let mut keys = ApiKeys::default();
        for (id, created_by, rolled_from) in all {
            let key = ApiKey {
                id: ApiKeyId(*id),
                name: "key".into(),
                key_hash: [*id as u8; 32],
                scopes: Scopes::default(),
                bounds: Bounds::default(),
                allowed_ips: Box::default(),
                expires_at: None,
                created_at: Timestamp(0),
                created_by: created_by.map(ApiKeyId),
                revoked_at: None,
                rolled_from: rolled_from.map(ApiKeyId),
                origin: KeyOrigin::default(),
            };
            let origin = keys.origin_of(&key);
            keys.put(ApiKey { origin, ..key });
        }
        keys
    }

    #[test]
    fn one_key_makes_so_many_and_all_of_them_half_of_what_the_root_key_does() {
        let made = |from: u64, count: u64, by: u64| {
            (from..from + count).map(move |id| (id, Some(by), None))
        };
        let decided = |all: &[(u64, Option<u64>, Option<u64>)], by: Option<u64>| {
            let view = RegistryView {
                api_keys: keys(all),
                ..RegistryView::default()
            };
            let one = keys(&[(1_000_000, by, None)]);
            let key = one.by_id.values().next().unwrap().as_ref().clone();
            let command = RegistryCommand {
                at: Timestamp(0),
                action: RegistryAction::CreateApiKey(Box::new(key)),
            };
            let outcome = decide(&view, &command);
            matches!(outcome, RegistryOutcome::Event(_))
        };
        let of_key = API_KEYS_OF_TENANT_MAX as u64;
        let mut all: Vec<_> = [(1, None, None), (2, None, None)].into();
        all.extend(made(10, of_key - 1, 1));
        assert!(decided(&all, Some(1)));
        all.extend(made(10 + of_key, 1, 1));
        assert!(!decided(&all, Some(1)), "the 201st of one key");
        assert!(decided(&all, Some(2)) && decided(&all, None));
        // Made by whomever but the root key, which made two so far.
        let half = API_KEYS_MAX / 2;
        let left = (half + 2 - all.len()) as u64;
        all.extend((0..left).map(|more| (10_000 + more, Some(100 + more / of_key), None)));
        assert!(!decided(&all, Some(2)) && decided(&all, None));
        all.truncate(half + 1);
        assert!(decided(&all, Some(2)));
        let left = API_KEYS_MAX as u64 - 2;
        all.extend((0..left).map(|more| (20_000 + more, None, None)));
        assert!(!decided(&all, None) && decided(&all, Some(2)));
    }

    #[test]
    fn a_family_is_whom_one_person_may_hold() {
        // 1 and 2 are the root key's; 1 made 3, and 3 made 4 and 5; 2 was rolled by the root key to 6, and by 1 to 7.
        let keys = keys(&[
            (1, None, None),
            (2, None, None),
            (3, Some(1), None),
            (4, Some(3), None),
            (5, Some(3), None),
            (6, None, Some(2)),
            (7, Some(1), Some(2)),
            (8, Some(8), None),
        ]);
        let id = |id: u64| (id != 0).then_some(ApiKeyId(id));
        for (one, other, is_one) in [
            (0, 0, true),
            (0, 1, false),
            (1, 2, false),
            (1, 1, true),
            (1, 3, true),
            (3, 1, true),
            (1, 4, true),
            (4, 5, true),
            (4, 2, false),
            (2, 6, true),
            (6, 1, false),
            // Who rolled it has seen it.
            (7, 2, true),
            (7, 1, true),
            (7, 5, true),
            (7, 6, true),
        ] {
            let told = keys.are_of_one_family(id(one), id(other));
            assert_eq!(told, is_one, "{one} and {other}");
            assert_eq!(keys.are_of_one_family(id(other), id(one)), is_one);
        }
    }

    /// 1 was rolled to 2, 2 to 3 and to 4; 1 and 2 end, and are forgotten, before 3 is rolled to 5.
    #[test]
    fn a_key_stays_the_first_of_those_that_were_rolled() {
        let mut keys = keys(&[
            (1, None, None),
            (2, Some(1), Some(1)),
            (3, None, Some(2)),
            (4, None, Some(2)),
            (9, Some(1), None),
        ]);
        let firsts = |keys: &ApiKeys| -> Vec<u64> {
            let firsts = keys.iter().map(|key| key.first_id().0);
            firsts.collect()
        };
        assert_eq!(firsts(&keys), [1, 1, 1, 1, 9]);
        let children = false;
        for (id, at) in [(1, 10), (2, 10)].map(|(id, at)| (ApiKeyId(id), Timestamp(at))) {
            let revoke = RegistryAction::RevokeApiKey { id, at, children };
            change(&mut keys, at, revoke);
        }
        let third = keys.get(ApiKeyId(3)).unwrap();
        let rolled = ApiKey {
            id: ApiKeyId(5),
            rolled_from: Some(ApiKeyId(3)),
            key_hash: [5; 32],
            ..(**third).clone()
        };
        keys.forget(Timestamp(10 + RETENTION_MS), RETENTION_MS);
        let make = RegistryAction::CreateApiKey(Box::new(rolled));
        change(&mut keys, Timestamp(2_000), make);
        assert_eq!(firsts(&keys), [1, 1, 1, 9]);
        assert!(keys.get(ApiKeyId(1)).is_none());
    }

    #[test]
    fn what_was_made_with_a_key_goes_all_the_way_down() {
        let keys = keys(&[
            (1, None, None),
            (2, Some(1), None),
            (3, Some(2), None),
            (4, Some(9), None),
            (5, Some(1), Some(1)),
        ]);
        let made = |id| keys.made_with(ApiKeyId(id));
        assert_eq!(made(1), [2, 3, 5].map(ApiKeyId));
        assert_eq!((made(3), made(7)), (vec![], vec![]));
    }

    const RETENTION_MS: i64 = 1_000;

    fn change(keys: &mut ApiKeys, at: Timestamp, action: RegistryAction) {
        apply(keys, &RegistryCommand { at, action }, RETENTION_MS);
    }

    #[test]
    fn all_that_was_made_with_a_key_is_revoked_at_once() {
        let mut keys = keys(&[(1, None, None), (2, Some(1), None), (3, Some(2), None)]);
        let (id, at, children) = (ApiKeyId(1), Timestamp(5), true);
        assert_eq!(keys.to_revoke(id, at, false), [id]);
        change(
            &mut keys,
            at,
            RegistryAction::RevokeApiKey { id, at, children },
        );
        assert!(keys.iter().all(|key| key.revoked_at == Some(at)));
        assert!(keys.to_revoke(id, at, children).is_empty());
    }

    /// 1 made 2, 2 made 3 and was rolled to 4 by the root key, 3 made 5. 2 and 3 end, and are forgotten.
    #[test]
    fn a_key_that_ended_is_forgotten_and_what_comes_from_it_stays_whose_it_was() {
        let mut keys = keys(&[
            (1, None, None),
            (2, Some(1), None),
            (3, Some(2), None),
            (4, None, Some(2)),
            (5, Some(3), None),
        ]);
        let children = false;
        for (id, at) in [(2, 10), (3, 20)].map(|(id, at)| (ApiKeyId(id), Timestamp(at))) {
            change(
                &mut keys,
                at,
                RegistryAction::RevokeApiKey { id, at, children },
            );
        }
        let revoke = |keys: &mut ApiKeys, id, at, children| {
            let (id, at) = (ApiKeyId(id), Timestamp(at));
            change(keys, at, RegistryAction::RevokeApiKey { id, at, children });
        };
        let known = |keys: &ApiKeys| keys.iter().map(|key| key.id.0).collect::<Vec<_>>();
        revoke(&mut keys, 4, 20 + RETENTION_MS - 1, false);
        assert_eq!(known(&keys), [1, 3, 4, 5]);
        assert!(keys.of_hash(&[2; 32]).is_none());
        keys.forget(Timestamp(20 + RETENTION_MS), RETENTION_MS);
        assert_eq!(known(&keys), [1, 4, 5]);
        let id = |id| Some(ApiKeyId(id));
        for other in [1, 4] {
            assert!(keys.are_of_one_family(id(5), id(other)), "{other}");
        }
        assert_eq!(
            keys.get(ApiKeyId(5)).unwrap().created_by,
            id(3),
            "as it was told"
        );
        assert_eq!(keys.made_with(ApiKeyId(1)), [ApiKeyId(5)]);
        revoke(&mut keys, 1, 3_000, true);
        assert_eq!(
            keys.get(ApiKeyId(5)).unwrap().revoked_at,
            Some(Timestamp(3_000))
        );
    }

    #[test]
    fn a_tenant_is_a_bound_key_with_all_that_comes_from_it() {
        // 1 is bound to nothing and made 2 and 3, which are bound; 3 made 4, 4 rolled itself to 5, and the root key 5 to 6.
        let mut all = ApiKeys::default();
        let bounds = Bounds {
            program_ids: [ProgramId(1)].into(),
            ..Bounds::default()
        };
        for (id, created_by, rolled_from) in [
            (1, None, None),
            (2, Some(1), None),
            (3, Some(1), None),
            (4, Some(3), None),
            (5, Some(4), Some(4)),
            (6, None, Some(5)),
        ] {
            let made = keys(&[(id, created_by, rolled_from)]);
            let key = ApiKey {
                bounds: match id {
                    1 => Bounds::default(),
                    _ => bounds.clone(),
                },
                ..(**made.get(ApiKeyId(id)).unwrap()).clone()
            };
            change(
                &mut all,
                Timestamp(0),
                RegistryAction::CreateApiKey(Box::new(key)),
            );
        }
        let tenant = |id| all.get(ApiKeyId(id)).unwrap().origin.tenant.map(|id| id.0);
        let tenants = [1, 2, 3, 4, 5, 6].map(tenant);
        assert_eq!(tenants, [None, Some(2), Some(3), Some(3), Some(3), Some(3)]);
        // All that come from one are refused together.
        let mut view = RegistryView {
            api_keys: all,
            ..RegistryView::default()
        };
        let next = |id: u64, by: u64| ApiKey {
            id: ApiKeyId(id),
            key_hash: [0; 32],
            created_by: Some(ApiKeyId(by)),
            rolled_from: None,
            ..(**view.api_keys.get(ApiKeyId(6)).unwrap()).clone()
        };
        let made: Vec<ApiKey> = (100..296).map(|id| next(id, 4 + id % 3)).collect();
        let [of_it, of_other, of_first] = [6, 2, 1].map(|by| next(1_000, by));
        for key in made {
            assert!(!is_full(&view, &key, Timestamp(0)));
            let action = RegistryAction::CreateApiKey(Box::new(key));
            change(&mut view.api_keys, Timestamp(0), action);
        }
        assert!(
            is_full(&view, &of_it, Timestamp(0)),
            "the 201st of a tenant"
        );
        assert!(!is_full(&view, &of_other, Timestamp(0)));
        assert!(!is_full(&view, &of_first, Timestamp(0)));
        // What ended long ago is no part of the share.
        let (id, at, children) = (ApiKeyId(100), Timestamp(0), false);
        change(
            &mut view.api_keys,
            at,
            RegistryAction::RevokeApiKey { id, at, children },
        );
        let retention_ms = view.settings.ended_api_key_retention_ms;
        assert!(is_full(&view, &of_it, Timestamp(retention_ms - 1)));
        assert!(!is_full(&view, &of_it, Timestamp(retention_ms)));
    }

    #[test]
    fn the_root_keys_take_nothing_of_the_tenants_room_and_a_full_share_still_rolls() {
        let mut view = RegistryView::default();
        let key = |id: u64, created_by: Option<u64>, rolled_from: Option<u64>| {
            let made = keys(&[(id, created_by, rolled_from)]);
            ApiKey {
                bounds: Bounds {
                    program_ids: [ProgramId(1)].into(),
                    ..Bounds::default()
                },
                ..(**made.get(ApiKeyId(id)).unwrap()).clone()
            }
        };
        let put = |view: &mut RegistryView, key: ApiKey| {
            let origin = view.api_keys.origin_of(&key);
            view.api_keys.put(ApiKey { origin, ..key });
        };
        let by_root = 1..=API_KEYS_MAX as u64;
        by_root.for_each(|id| put(&mut view, key(id, None, None)));
        assert!(is_full(&view, &key(100_000, None, None), Timestamp(0)));
        let rolled = key(10_001, None, Some(2));
        assert!(!is_full(&view, &rolled, Timestamp(0)));
        put(&mut view, rolled);
        // The tenant of key 1 has that one as well.
        let mut ids = 20_000..;
        let share = API_KEYS_OF_TENANT_MAX as u64;
        for id in ids.by_ref().take(share as usize - 1) {
            put(&mut view, key(id, Some(1), None));
        }
        let leaked = key(100_000, Some(1), Some(20_000));
        assert!(is_full(&view, &key(100_000, Some(1), None), Timestamp(0)));
        // Over and over, and not for ever.
        for id in ids.take(share as usize) {
            assert!(!is_full(&view, &leaked, Timestamp(0)));
            put(&mut view, key(id, Some(1), Some(id - 1)));
        }
        assert!(is_full(&view, &leaked, Timestamp(0)));
        assert!(!is_full(&view, &key(100_000, Some(3), None), Timestamp(0)));
        // All tenants together.
        let tenants = (3..).flat_map(|tenant| vec![tenant; 199]);
        let room = BY_OTHER_KEYS.of_tenants() - (2 * share - 1);
        for (id, tenant) in (30_000..30_000 + room).zip(tenants) {
            put(&mut view, key(id, Some(tenant), None));
        }
        assert!(is_full(&view, &key(100_000, Some(50), None), Timestamp(0)));
        let leaked = key(100_000, Some(50), Some(50));
        assert!(!is_full(&view, &leaked, Timestamp(0)));
    }

    #[test]
    fn a_rolled_key_is_good_as_long_as_the_last_of_its_line() {
        let mut keys = keys(&[(1, None, None), (2, Some(1), Some(1)), (3, Some(1), None)]);
        let at = Timestamp(5);
        let revoke = |keys: &mut ApiKeys, id| {
            let id = ApiKeyId(id);
            let children = false;
            change(keys, at, RegistryAction::RevokeApiKey { id, at, children });
        };
        revoke(&mut keys, 1);
        assert!(keys.is_good_or_rolled(Some(ApiKeyId(1)), at));
        assert!(keys.is_good_or_rolled(None, at));
        revoke(&mut keys, 2);
        for id in [1, 2] {
            assert!(!keys.is_good_or_rolled(Some(ApiKeyId(id)), at));
        }
        assert!(keys.is_good_or_rolled(Some(ApiKeyId(3)), at));
        // Nobody knows any more whose it was, so that whoever comes after it could approve what it asked for.
        keys.forget(at.plus_ms(RETENTION_MS), RETENTION_MS);
        assert!(keys.get(ApiKeyId(1)).is_none());
        assert!(!keys.is_good_or_rolled(Some(ApiKeyId(1)), at));
    }

    #[test]
    fn of_each_kind_that_is_named_something_must_fit() {
        let link = |link_type: &str, id: &str| BoundLink {
            link_type: link_type.into(),
            id: id.into(),
        };
        let bounds = |programs: &[u64], accounts: &[u64], links: &[BoundLink]| Bounds {
            program_ids: programs.iter().copied().map(ProgramId).collect(),
            account_ids: accounts.iter().copied().map(AccountId).collect(),
            links: links.into(),
        };
        let (p1, p2) = (link("project", "1"), link("project", "2"));
        // A card of program 1, on account 12 below 11, linked to project 1.
        let place = Place {
            program_id: ProgramId(1),
            accounts: &[AccountId(12), AccountId(11)],
            links: &[("user", "u"), ("project", "1")],
        };
        for (bounds, covers) in [
            (bounds(&[], &[], &[]), true),
            (bounds(&[1], &[], &[]), true),
            (bounds(&[2, 1], &[], &[]), true),
            (bounds(&[2], &[], &[]), false),
            (bounds(&[], &[12], &[]), true),
            (bounds(&[], &[11], &[]), true),
            (bounds(&[], &[13], &[]), false),
            (bounds(&[], &[], std::slice::from_ref(&p1)), true),
            (bounds(&[], &[], std::slice::from_ref(&p2)), false),
            (bounds(&[], &[], &[p2.clone(), p1.clone()]), true),
            (bounds(&[1], &[11], std::slice::from_ref(&p1)), true),
            (bounds(&[1], &[13], std::slice::from_ref(&p1)), false),
            (bounds(&[2], &[11], &[p1]), false),
            (bounds(&[1], &[11], &[p2]), false),
        ] {
            assert_eq!(bounds.cover(&place), covers, "{bounds:?}");
        }
        assert!(bounds(&[1], &[], &[]).cover_program(ProgramId(1)));
        assert!(!bounds(&[1], &[11], &[]).cover_program(ProgramId(1)));
    }
}

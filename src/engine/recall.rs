//! What a shard has forgotten and what comes back: the outbox of what leaves memory, which messages need something
//! that left, and the command that puts it back. Where it is kept meanwhile does not live here: not in the engine.
//!
//! A recall is journalled with all that it brings, before the message that needs it. So a replay needs nothing but
//! the journal, however much it has forgotten itself by then: what a message changes of a closed authorization stands
//! in the journal right before it.

use super::authorizations::{Authorization, ClosedBy, InBoth};
use super::command::{Action, Advise, Authorize, Command, Recall, Reverse};
use super::decide::Outcome;
use super::event::Event;
use super::facts::{Kind, MatchKey, MatchKeys, RepeatKey};
use super::first_answer::FirstAnswer;
use super::ids::{AccountId, AuthorizationId, CardId};
use super::kinds::{Direction, Treatment};
use super::matching::{self, Before, Original};
use super::refunds;
use super::state::State;
use super::time::Timestamp;
use super::tokens;
use arrayvec::ArrayVec;

/// What a state forgets is put here, where somebody takes it out again.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Option<Vec<Forgotten>>);

/// What left memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forgotten {
    Authorization(Box<Authorization>),
    FirstAnswer {
        key: RepeatKey,
        at: Timestamp,
        first: FirstAnswer,
    },
}

impl Outbox {
    /// From now on what is forgotten is kept for `take`.
    pub fn open(&mut self) {
        self.0.get_or_insert_default();
    }

    /// What is in it now, the oldest first.
    pub fn items(&self) -> &[Forgotten] {
        self.0.as_deref().unwrap_or_default()
    }

    pub fn take(&mut self) -> Vec<Forgotten> {
        self.0.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn put_authorization(&mut self, authorization: Authorization) {
        if let Some(forgotten) = &mut self.0 {
            forgotten.push(Forgotten::Authorization(Box::new(authorization)));
        }
    }

    pub(super) fn put_answer(&mut self, key: RepeatKey, at: Timestamp, first: FirstAnswer) {
        if let Some(forgotten) = &mut self.0
            && !first.is_with_authorization
        {
            forgotten.push(Forgotten::FirstAnswer { key, at, first });
        }
    }
}

/// What a message needs before it is decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    /// Closed ones of memory that it may change.
    pub known: Vec<Authorization>,
    /// What has to be looked up where the forgotten is kept.
    pub lookup: Option<Lookup>,
    /// What of that still is in memory, and does not count there any more.
    pub past: Found,
    /// What of that counts in memory: it was looked at, and what is kept elsewhere of it may be old.
    pub live: Vec<AuthorizationId>,
}

/// What to look up: a first answer, and authorizations of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    pub card_id: CardId,
    /// Absent where the message is a new one, whatever was answered long ago.
    pub repeat_key: Option<RepeatKey>,
    pub sought: SoughtAll,
}

/// What one message seeks at the most: what it is about, itself, and the payment that it is a refund of.
pub type SoughtAll = ArrayVec<Sought, 3>;

/// An authorization that shares a name with these, and agrees best with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sought {
    pub names: MatchKeys,
    /// Only what goes this way.
    pub direction: Option<Direction>,
}

impl Lookup {
    /// Every name that something is sought by.
    pub fn names(&self) -> impl Iterator<Item = MatchKey> {
        let sought = self.sought.iter();
        sought.flat_map(|sought| sought.names.stated())
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub first_answer: Option<FirstAnswer>,
    pub authorizations: Vec<Authorization>,
}

/// What a command needs. A new request needs nothing but the payment that it is a refund of, and what memory can tell by
/// itself needs nothing.
pub fn need(state: &State, command: &Command) -> Need {
    let (card_id, repeat_key) = match &command.action {
        Action::Authorize(request) if request.is_marked_repeat || request.kind == Kind::Refund => {
            (request.card_id, request.repeat_key)
        }
        Action::Reverse(reverse) => (reverse.card_id, reverse.repeat_key),
        Action::Advise(advise) => (advise.payment.card_id, advise.payment.repeat_key),
        Action::Withhold(withhold) => return of_withheld(state, &withhold.payment),
        _ => return Need::default(),
    };
    let retention_ms = state.registry.settings.first_answer_retention_ms;
    let first = state
        .first_answers
        .find(repeat_key, command.at, retention_ms);
    if first.is_some() || state.card_of_tree(command.root, card_id).is_none() {
        return Need::default();
    }
    let mut need = match &command.action {
        Action::Authorize(request) => of_request(state, command, request),
        Action::Reverse(reverse) => of_reversal(state, command, reverse),
        Action::Advise(advise) => of_advice(state, command, advise),
        _ => Need::default(),
    };
    if let Some(lookup) = &need.lookup {
        (need.past, need.live) = in_memory(state, command, lookup);
    }
    need
}

/// What no longer counts, as memory is reclaimed some time after that, and what does.
fn in_memory(state: &State, command: &Command, lookup: &Lookup) -> (Found, Vec<AuthorizationId>) {
    let settings = &state.registry.settings;
    let counts = |known: &Authorization| {
        let from = known.remembered_from();
        from.is_none_or(|from| from.plus_ms(settings.closed_retention_ms) > command.at)
    };
    let mut past = Found::default();
    let mut live = Vec::new();
    for name in lookup.names() {
        for known in state.authorizations.named(lookup.card_id, name) {
            let mut others = past.authorizations.iter();
            if counts(known) {
                live.push(known.id);
            } else if others.all(|other| other.id != known.id) {
                past.authorizations.push(known.clone());
            }
        }
    }
    let first = lookup.repeat_key;
    let first = first.and_then(|key| state.first_answers.find(key, command.at, i64::MAX));
    // One that its authorization keeps too is told by that, whatever became of it since.
    let alone = first.filter(|first| !first.is_with_authorization);
    past.first_answer = alone.copied();
    (past, live)
}

/// Of one that says it came before, and of a refund.
fn of_request(state: &State, command: &Command, request: &Authorize) -> Need {
    let Before::Nothing = matching::before(state, command, request) else {
        return Need::default();
    };
    let mut sought = SoughtAll::new();
    if request.is_marked_repeat {
        sought.push(Sought {
            names: request.match_keys,
            direction: None,
        });
    }
    sought.extend(purchase_of(state, command, request));
    let lookup = (!sought.is_empty()).then_some(Lookup {
        card_id: request.card_id,
        repeat_key: request.is_marked_repeat.then_some(request.repeat_key),
        sought,
    });
    Need {
        lookup,
        ..Need::default()
    }
}

/// The payment that this is a refund of, where memory does not know it.
fn purchase_of(state: &State, command: &Command, payment: &Authorize) -> Option<Sought> {
    let purchase = refunds::purchase(state, command, payment)?;
    let is_named = payment.original_keys.stated().next().is_some();
    (is_named && matches!(purchase, Original::Unknown)).then_some(Sought {
        names: payment.original_keys,
        direction: Some(Direction::Debit),
    })
}

fn of_reversal(state: &State, command: &Command, reverse: &Reverse) -> Need {
    let keys = &reverse.original_keys;
    let original = matching::original(state, command, reverse.card_id, keys, None);
    let mut sought = SoughtAll::new();
    if let Original::Unknown = original {
        sought.push(Sought {
            names: *keys,
            direction: None,
        });
    }
    let lookup = (reverse.is_marked_repeat || !sought.is_empty()).then_some(Lookup {
        card_id: reverse.card_id,
        repeat_key: Some(reverse.repeat_key),
        sought,
    });
    // What was reversed before stays as it is.
    let mut known = closed(original);
    known.retain(|known| !known.is_closed_by(ClosedBy::Reversal));
    Need {
        known,
        lookup,
        ..Need::default()
    }
}

fn of_advice(state: &State, command: &Command, advise: &Advise) -> Need {
    let payment = &advise.payment;
    let direction = Treatment::of(payment.kind).map(|treatment| treatment.direction);
    let keys = &payment.original_keys;
    let original = matching::original(state, command, payment.card_id, keys, direction);
    let mut sought = SoughtAll::new();
    if let Original::Unknown = original {
        let mut seek = |names| sought.push(Sought { names, direction });
        seek(*keys);
        // By its own names it is known where it came before.
        if payment.match_keys != *keys {
            seek(payment.match_keys);
        }
    }
    if opens_refund(original) {
        sought.extend(purchase_of(state, command, payment));
    }
    let lookup = (payment.is_marked_repeat || !sought.is_empty()).then_some(Lookup {
        card_id: payment.card_id,
        repeat_key: Some(payment.repeat_key),
        sought,
    });
    let mut known = closed(original);
    if !payment.posts {
        // What holds leaves a closed one as it is, unless it stands in for it.
        known.retain(|known| known.is_closed_by(ClosedBy::Release) || known.was_taken_back());
    }
    Need {
        known,
        lookup,
        ..Need::default()
    }
}

/// What completes a refund that was asked for before is a part of that one, and not looked up by what it paid back.
fn opens_refund(original: Original) -> bool {
    match original {
        Original::Known { authorization, .. } => authorization.posted_at_once,
        _ => true,
    }
}

/// A single message is closed when it is approved, and is taken back all the same.
fn of_withheld(state: &State, payment: &Authorize) -> Need {
    let known = state.authorizations.get(payment.authorization_id);
    let known = known.filter(|known| !known.is_open());
    Need {
        known: known.cloned().into_iter().collect(),
        ..Need::default()
    }
}

fn closed(original: Original) -> Vec<Authorization> {
    match original {
        Original::Known { authorization, .. } if !authorization.is_open() => {
            vec![authorization.clone()]
        }
        _ => Vec::new(),
    }
}

/// The command that brings what a message needs, as `find` finds it; `None` where that is nothing. A message that names a
/// token in place of its card, and that the card has nothing for, is looked up under the others of its chain: it
/// becomes a message of the card that paid.
pub fn look_up(
    state: &State,
    command: &mut Command,
    mut find: impl FnMut(&Lookup) -> Found,
) -> Option<Command> {
    let (root, at) = (command.root, command.at);
    let wanted = need(state, command);
    let Some(lookup) = wanted.lookup.clone() else {
        return recall(root, at, wanted, Found::default());
    };
    let brought = recall(root, at, wanted, find(&lookup));
    if lookup.sought.is_empty() || brings_what_it_is_about(command, brought.as_ref()) {
        return brought;
    }
    for card_id in tokens::other_cards(state, root, &command.action) {
        let mut earlier = command.clone();
        tokens::set_card(&mut earlier.action, card_id);
        let wanted = need(state, &earlier);
        let Some(lookup) = wanted.lookup.clone() else {
            continue;
        };
        let of_earlier = recall(root, at, wanted, find(&lookup));
        if brings_what_it_is_about(command, of_earlier.as_ref()) {
            *command = earlier;
            return of_earlier;
        }
    }
    brought
}

/// Of a request only the very same one counts: a refund has names of its purchase, and is one of the card that is paid back.
fn brings_what_it_is_about(command: &Command, recall: Option<&Command>) -> bool {
    let Some(Action::Recall(recall)) = recall.map(|recall| &recall.action) else {
        return false;
    };
    let mut brought = recall.authorizations.iter();
    match &command.action {
        Action::Authorize(request) => {
            brought.any(|known| matching::answers(known, request.repeat_key))
        }
        _ => brought.next().is_some(),
    }
}

/// The command that brings what a message needs, given what was found; `None` where that is nothing.
pub fn recall(root: AccountId, at: Timestamp, need: Need, found: Found) -> Option<Command> {
    let Need {
        known,
        lookup,
        past,
        live,
    } = need;
    let mut candidates = latest_of(past.authorizations, found.authorizations);
    candidates.retain(|known| !live.contains(&known.id));
    let first_answer = past.first_answer.or(found.first_answer);
    let mut recall = Recall {
        authorizations: known,
        first_answer: None,
    };
    if let Some(lookup) = lookup {
        let of_tree = first_answer.filter(|first| first.root == root);
        recall.first_answer = lookup.repeat_key.zip(of_tree);
        for Sought { names, direction } in &lookup.sought {
            let best = matching::best(&candidates, names, *direction);
            let is_new = |best: &&Authorization| {
                let mut chosen = recall.authorizations.iter();
                chosen.all(|chosen| chosen.id != best.id)
            };
            let best = best.filter(is_new).cloned();
            let next = best.as_ref().and_then(|best| best.stood_in_by);
            let next = candidates.iter().find(|known| Some(known.id) == next);
            recall.authorizations.extend(best);
            let mut chosen = recall.authorizations.iter();
            if let Some(next) = next.filter(|next| chosen.all(|chosen| chosen.id != next.id)) {
                recall.authorizations.push(next.clone());
            }
        }
    }
    let nothing = recall.authorizations.is_empty() && recall.first_answer.is_none();
    let action = Action::Recall(Box::new(recall));
    (!nothing).then_some(Command { root, at, action })
}

/// Those of memory, and others that it does not have.
fn latest_of(memory: Vec<Authorization>, found: Vec<Authorization>) -> Vec<Authorization> {
    let mut all = memory;
    for known in found {
        if all.iter().all(|other| other.id != known.id) {
            all.push(known);
        }
    }
    all
}

pub(super) fn decide(state: &State, command: &Command, recall: &Recall) -> Outcome {
    let fits = |authorization: &Authorization| {
        let account = state.account_of_tree(command.root, authorization.account_id);
        let known = state.authorizations.get(authorization.id);
        account.is_some()
            && !authorization.is_open()
            && authorization.waiting.is_none()
            && authorization.held == InBoth::default()
            && known.is_none_or(|known| is_same(known, authorization))
    };
    let answers_fit = recall.first_answer.iter().all(|(key, first)| {
        let retention_ms = state.registry.settings.first_answer_retention_ms;
        let known = state.first_answers.find(*key, command.at, retention_ms);
        first.root == command.root && known.is_none()
    });
    match recall.authorizations.iter().all(fits) && answers_fit {
        true => Outcome::Event(Event::Recalled),
        false => Outcome::AlreadyDone,
    }
}

/// The same content, whenever it was recalled.
fn is_same(one: &Authorization, other: &Authorization) -> bool {
    let mut same_time = other.clone();
    same_time.recalled_at = one.recalled_at;
    same_time.changes = one.changes;
    *one == same_time
}

pub(super) fn apply(state: &mut State, command: &Command, recall: &Recall) {
    for authorization in &recall.authorizations {
        state.authorizations.recall(authorization, command.at);
    }
    if let Some((key, first)) = recall.first_answer {
        state.first_answers.remember(key, command.at, first);
    }
}

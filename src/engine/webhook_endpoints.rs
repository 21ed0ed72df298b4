//! Who hears of what happens, and how far each has heard. Which events there are, and what they say, lives in
//! `store/events`; calling endpoints in `webhooks`.

use super::api_keys::{Bounds, Place};
use super::ids::{ApiKeyId, CardId, EventId, WebhookEndpointId};
use super::registry::{
    Registry, RegistryAction, RegistryEvent, RegistryOutcome, RegistryRefusal, RegistryView,
};
use super::shares::{ShareBounds, Shares};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Endpoints at once: each change copies the table of them.
pub const WEBHOOK_ENDPOINTS_MAX: usize = 1_000;
pub const WEBHOOK_ENDPOINTS_OF_TENANT_MAX: usize = 100;
const SHARES: ShareBounds =
    ShareBounds::new(WEBHOOK_ENDPOINTS_MAX, WEBHOOK_ENDPOINTS_OF_TENANT_MAX);

/// Deliveries that wait for another try, for one endpoint; with as many, new events wait behind them.
pub const WAITING_MAX: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEndpoint {
    pub id: WebhookEndpointId,
    pub name: Option<Box<str>>,
    /// Without one nobody is called: its events are there to be read.
    pub url: Option<Box<str>>,
    /// Types of events; `card.*` for all that begin so, `*` for all.
    pub events: Box<[Box<str>]>,
    /// What it wants to hear of.
    pub filter: Bounds,
    /// What the key that made it sees: it never hears of more.
    pub bounds: Bounds,
    /// Events of one card one after another.
    pub in_order: bool,
    /// Ids and reasons only.
    pub thin: bool,
    pub state: WebhookState,
    /// How often the secret was changed; the secret itself is made by the vault.
    pub secret_version: u32,
    /// Until when the secret before this one is signed with as well.
    pub previous_secret_until: Option<Timestamp>,
    pub created_at: Timestamp,
    /// `None` for the root key.
    pub created_by: Option<ApiKeyId>,
    /// Whose share it takes of.
    pub tenant: Option<ApiKeyId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebhookState {
    Enabled,
    /// By its owner.
    Disabled,
    /// By us: nothing was taken for days.
    Failing,
    /// By us: it said that it is gone (HTTP 410).
    Gone,
}

impl WebhookState {
    pub fn name(self) -> &'static str {
        match self {
            WebhookState::Enabled => "enabled",
            WebhookState::Disabled => "disabled",
            WebhookState::Failing => "failing",
            WebhookState::Gone => "gone",
        }
    }
}

/// Where something happened; nothing where that has no program.
pub type EventPlace<'a> = Option<Place<'a>>;

impl WebhookEndpoint {
    /// Whether it is to hear of an event. One that is disabled still is: it hears of it once it is enabled again.
    pub fn wants(&self, event_type: &str, place: EventPlace) -> bool {
        self.wants_type(event_type)
            && [&self.filter, &self.bounds]
                .iter()
                .all(|bounds| match &place {
                    Some(place) => bounds.cover(place),
                    None => bounds.is_unbound(),
                })
    }

    pub fn wants_type(&self, event_type: &str) -> bool {
        self.events
            .iter()
            .any(|wanted| pattern_fits(wanted, event_type))
    }

    pub fn is_called(&self) -> bool {
        self.url.is_some() && self.state == WebhookState::Enabled
    }
}

/// Whether an event type is one of those that a pattern names.
pub fn pattern_fits(pattern: &str, event_type: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(family) => family.ends_with('.') && event_type.starts_with(family),
        None => pattern == event_type,
    }
}

/// How far an endpoint has heard. Everything up to `after` is delivered, given up, or waits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookProgress {
    /// `None`: from where it was made.
    pub after: Option<EventId>,
    /// In the order of their events.
    pub waiting: Vec<WaitingDelivery>,
    /// Since when every call has failed.
    pub failing_since: Option<Timestamp>,
}

/// An event that was not taken yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingDelivery {
    pub event_id: EventId,
    /// Of the card whose events come in order.
    pub card_id: Option<CardId>,
    /// Calls that were made.
    pub attempts: u8,
    pub next_at: Timestamp,
}

/// What was heard since the last note. Overtaken by whoever moved the endpoint meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteWebhookProgress {
    pub endpoint_id: WebhookEndpointId,
    pub generation: u32,
    pub progress: WebhookProgress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveWebhook {
    pub endpoint_id: WebhookEndpointId,
    pub to: WebhookMove,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebhookMove {
    /// Everything behind this event, once more.
    After(EventId),
    /// This event once more, now.
    Resend(EventId, Option<CardId>),
}

/// An endpoint with the number of times that somebody moved it.
#[derive(Debug, Clone)]
pub struct KnownWebhook {
    pub endpoint: Arc<WebhookEndpoint>,
    pub generation: u32,
}

/// All that there are.
#[derive(Debug, Clone, Default)]
pub struct WebhookEndpoints(BTreeMap<WebhookEndpointId, KnownWebhook>);

impl WebhookEndpoints {
    pub fn get(&self, id: WebhookEndpointId) -> Option<&KnownWebhook> {
        self.0.get(&id)
    }

    /// In the order of their ids.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &KnownWebhook> {
        self.0.values()
    }

    pub(super) fn put(&mut self, endpoint: WebhookEndpoint, generation: u32) {
        let id = endpoint.id;
        let endpoint = Arc::new(endpoint);
        let known = KnownWebhook {
            endpoint,
            generation,
        };
        self.0.insert(id, known);
    }
}

pub(super) fn decide(registry: &Registry, action: &RegistryAction) -> RegistryOutcome {
    let view = &registry.view;
    let version = view.version + 1;
    let known = |id| view.webhook_endpoints.get(id);
    let not_found = |id| RegistryOutcome::Refused(RegistryRefusal::WebhookEndpointNotFound(id));
    match action {
        RegistryAction::PutWebhookEndpoint(endpoint) => decide_put(view, endpoint),
        RegistryAction::DeleteWebhookEndpoint(id) => match known(*id) {
            Some(_) => RegistryOutcome::Event(RegistryEvent::WebhookEndpointDeleted { version }),
            None => not_found(*id),
        },
        RegistryAction::DisableWebhookEndpoint { id, state } => match known(*id) {
            Some(known) if known.endpoint.state == WebhookState::Enabled => {
                RegistryOutcome::Event(RegistryEvent::WebhookEndpointDisabled {
                    version,
                    state: *state,
                })
            }
            Some(_) => RegistryOutcome::AlreadyDone,
            None => not_found(*id),
        },
        RegistryAction::NoteWebhookProgress(note) => match known(note.endpoint_id) {
            Some(known) if known.generation == note.generation => {
                RegistryOutcome::Event(RegistryEvent::WebhookProgressNoted)
            }
            _ => RegistryOutcome::AlreadyDone,
        },
        RegistryAction::MoveWebhook(moved) => match known(moved.endpoint_id) {
            None => not_found(moved.endpoint_id),
            Some(_) if is_full(registry, moved) => {
                RegistryOutcome::Refused(RegistryRefusal::TooManyDeliveriesWait)
            }
            Some(_) => RegistryOutcome::Event(RegistryEvent::WebhookMoved { version }),
        },
        action => panic!("no webhook endpoint changes by this command: {action:?}"),
    }
}

fn decide_put(view: &RegistryView, endpoint: &WebhookEndpoint) -> RegistryOutcome {
    let endpoints = &view.webhook_endpoints;
    let programs = endpoint.filter.program_ids.iter();
    let mut programs = programs.chain(endpoint.bounds.program_ids.iter());
    if let Some(unknown) = programs.find(|id| !view.programs.contains_key(*id)) {
        return RegistryOutcome::Refused(RegistryRefusal::ProgramNotFound(*unknown));
    }
    match endpoints.get(endpoint.id) {
        Some(known) if *known.endpoint == *endpoint => RegistryOutcome::AlreadyDone,
        None if has_no_room(endpoints, endpoint.tenant) => {
            RegistryOutcome::Refused(RegistryRefusal::TooManyWebhookEndpoints)
        }
        _ => RegistryOutcome::Event(RegistryEvent::WebhookEndpointPut {
            version: view.version + 1,
        }),
    }
}

fn has_no_room(endpoints: &WebhookEndpoints, tenant: Option<ApiKeyId>) -> bool {
    let taken = Shares::of(endpoints.iter().map(|known| known.endpoint.tenant));
    taken.check(tenant, 1, &SHARES).is_err()
}

/// No room for one more that waits.
fn is_full(registry: &Registry, moved: &MoveWebhook) -> bool {
    let WebhookMove::Resend(event_id, _) = moved.to else {
        return false;
    };
    let progress = registry.webhook_progress.get(&moved.endpoint_id);
    progress.is_some_and(|progress| {
        let waits = progress.waiting.iter().any(|w| w.event_id == event_id);
        !waits && progress.waiting.len() >= 2 * WAITING_MAX
    })
}

/// What changes beside the view.
pub(super) fn apply(registry: &mut Registry, at: Timestamp, action: &RegistryAction) {
    match action {
        RegistryAction::NoteWebhookProgress(note) => {
            let progress = note.progress.clone();
            registry.webhook_progress.insert(note.endpoint_id, progress);
        }
        RegistryAction::DeleteWebhookEndpoint(id) => drop(registry.webhook_progress.remove(id)),
        RegistryAction::PutWebhookEndpoint(endpoint) => {
            // Its days of failure are over.
            if let Some(progress) = registry.webhook_progress.get_mut(&endpoint.id) {
                progress.failing_since = None;
            }
        }
        RegistryAction::MoveWebhook(moved) => {
            let progress = registry.webhook_progress.entry(moved.endpoint_id);
            apply_move(progress.or_default(), at, moved.to);
        }
        _ => {}
    }
}

fn apply_move(progress: &mut WebhookProgress, at: Timestamp, to: WebhookMove) {
    match to {
        WebhookMove::After(event_id) => {
            progress.after = Some(event_id);
            progress.waiting.retain(|w| w.event_id <= event_id);
        }
        WebhookMove::Resend(event_id, card_id) => {
            let again = WaitingDelivery {
                event_id,
                card_id,
                attempts: 0,
                next_at: at,
            };
            let waiting = &mut progress.waiting;
            match waiting.binary_search_by_key(&event_id, |w| w.event_id) {
                Ok(place) => waiting[place] = again,
                Err(place) => waiting.insert(place, again),
            }
        }
    }
}

/// What changes in the view.
pub(super) fn apply_to_view(view: &mut RegistryView, action: &RegistryAction) {
    let endpoints = &mut view.webhook_endpoints;
    let generation = |id| endpoints.get(id).map_or(0, |known| known.generation);
    match action {
        RegistryAction::PutWebhookEndpoint(endpoint) => {
            let generation = generation(endpoint.id);
            endpoints.put((**endpoint).clone(), generation);
        }
        RegistryAction::DeleteWebhookEndpoint(id) => drop(endpoints.0.remove(id)),
        RegistryAction::DisableWebhookEndpoint { id, state } => {
            if let Some(known) = endpoints.0.get_mut(id) {
                Arc::make_mut(&mut known.endpoint).state = *state;
            }
        }
        RegistryAction::MoveWebhook(moved) => {
            if let Some(known) = endpoints.0.get_mut(&moved.endpoint_id) {
                known.generation += 1;
            }
        }
        action => panic!("no webhook endpoint changes by this command: {action:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ids::ProgramId;

    #[test]
    fn patterns_name_a_type_a_family_or_all() {
        for (pattern, event_type, fits) in [
            ("*", "card.frozen", true),
            ("card.*", "card.frozen", true),
            ("card.frozen", "card.frozen", true),
            ("card.frozen", "card.unfrozen", false),
            ("card.*", "cardholder.created", false),
            ("card*", "card.frozen", false),
            ("", "card.frozen", false),
        ] {
            assert_eq!(
                pattern_fits(pattern, event_type),
                fits,
                "{pattern} {event_type}"
            );
        }
    }

    #[test]
    fn an_endpoint_hears_what_both_its_filter_and_its_makers_bounds_cover() {
        let of_program = |id| Bounds {
            program_ids: [ProgramId(id)].into(),
            ..Bounds::default()
        };
        let mut endpoint = example();
        let place = Some(Place {
            program_id: ProgramId(1),
            accounts: &[],
            links: &[],
        });
        assert!(endpoint.wants("card.created", place) && endpoint.wants("card.created", None));
        endpoint.filter = of_program(1);
        assert!(endpoint.wants("card.created", place) && !endpoint.wants("card.created", None));
        endpoint.bounds = of_program(2);
        assert!(!endpoint.wants("card.created", place));
        endpoint.bounds = of_program(1);
        assert!(endpoint.wants("card.created", place));
        endpoint.events = ["authorization.*".into()].into();
        assert!(!endpoint.wants("card.created", place));
    }

    #[test]
    fn to_replay_forgets_what_waits_behind_and_to_resend_starts_anew() {
        let waiting = |event: u64, attempts| WaitingDelivery {
            event_id: EventId(event),
            card_id: None,
            attempts,
            next_at: Timestamp(99),
        };
        let mut progress = WebhookProgress {
            after: Some(EventId(50)),
            waiting: vec![waiting(10, 3), waiting(40, 2)],
            failing_since: None,
        };
        apply_move(
            &mut progress,
            Timestamp(7),
            WebhookMove::Resend(EventId(40), None),
        );
        assert_eq!(progress.waiting[1].attempts, 0);
        assert_eq!(progress.waiting[1].next_at, Timestamp(7));
        apply_move(
            &mut progress,
            Timestamp(7),
            WebhookMove::Resend(EventId(30), None),
        );
        let ids: Vec<u64> = progress.waiting.iter().map(|w| w.event_id.0).collect();
        assert_eq!(ids, [10, 30, 40]);
        apply_move(&mut progress, Timestamp(7), WebhookMove::After(EventId(20)));
        assert_eq!(progress.after, Some(EventId(20)));
        assert_eq!(progress.waiting, [waiting(10, 3)]);
    }

    fn example() -> WebhookEndpoint {
        WebhookEndpoint {
            id: WebhookEndpointId(1),
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
            created_at: Timestamp(0),
            created_by: None,
            tenant: None,
        }
    }
}

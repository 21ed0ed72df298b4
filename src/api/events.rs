//! `/v1/events`: what has happened, oldest first, for those who would rather ask than be called; and as a stream.

use super::auth::Caller;
use super::body::WriteRequest;
use super::error::{ApiError, json_response, shown};
use super::fields::Fields;
use super::idempotency::{Write, once};
use super::list::{self, ListQuery, store_error};
use super::{ApiState, Gate, audit, filters, webhook_moves};
use crate::engine::api_keys::Scope;
use crate::engine::ids::{
    AccountId, ApiKeyId, ApprovalId, AuthorizationId, CardId, CardholderId, EventId, ExceptionId,
    ProgramId, RiskRuleId, WebhookEndpointId,
};
use crate::engine::shares::{ShareBounds, Shares};
use crate::engine::webhook_endpoints::pattern_fits;
use crate::store::events::types::{EventType, not_told_yet};
use crate::store::events::{EventFilter, EventRow, PlaceJson, UNKNOWN_CARD};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Streams at once, and of them those of one tenant.
const STREAMS_MAX: usize = 64;
const STREAMS_OF_TENANT_MAX: usize = 8;
const SHARES: ShareBounds = ShareBounds::new(STREAMS_MAX, STREAMS_OF_TENANT_MAX);
/// And of one key.
const STREAMS_OF_KEY_MAX: usize = 8;

/// Events that a stream reads at a time.
const READ_AT_ONCE: u32 = 100;

/// A comment goes out when nothing else has, so that both sides know that the other is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a stream waits for the projection before it looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_secs(5);

pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let mut filter = filter(&caller, &mut query)?;
    (filter.created_from, filter.created_until) = filters::created(&mut query)?;
    let after = query.id("starting_after", EventId::PREFIX)?;
    let limit = list::limit(&mut query)?;
    query.finish()?;
    list::check_store(&state)?;
    let page = state.store.events(&filter, after, limit).await;
    let page = page.map_err(store_error)?;
    let data = page.data.iter().map(|row| body(&state, &caller, row));
    Ok(list::page(data, page.has_more, page.projected_through))
}

/// What a list and a stream may both be asked for. A caller hears of nothing that it may not see.
fn filter(caller: &Caller, query: &mut Fields) -> Result<EventFilter, ApiError> {
    let wanted = query.text("type", 64)?.unwrap_or_else(|| "*".to_owned());
    let all = EventType::ALL.iter();
    let known = all.filter(|event_type| pattern_fits(&wanted, event_type.name()));
    let known: Vec<EventType> = known.copied().collect();
    let mut later = not_told_yet(&wanted);
    let first = known.first().map(|event_type| event_type.scope());
    let first = first.or_else(|| later.next().map(|named| named.scope));
    let Some(first) = first else {
        let message = format!(
            "`{}` is no type of event; one is, as an example, `card.frozen`, a family is `card.*`",
            shown(&wanted)
        );
        return Err(ApiError::invalid("event_type_unknown", "type", message));
    };
    let scopes = caller.scopes();
    let may = known
        .iter()
        .filter(|event_type| scopes.has(event_type.scope()));
    let types: Vec<String> = may.map(|event_type| event_type.name().to_owned()).collect();
    if types.is_empty() && wanted != "*" {
        caller.require(first)?;
    }
    filters::check_scopes_of_told(caller, query)?;
    let (link_type, link_id) = list::link(query)?;
    Ok(EventFilter {
        // All types are no condition; none are one that nothing meets.
        types: match types.len() {
            0 => vec![String::new()],
            all if all == EventType::ALL.len() => Vec::new(),
            _ => types,
        },
        program_id: query.id("program_id", ProgramId::PREFIX)?,
        card_id: query.id("card_id", CardId::PREFIX)?,
        card_chain_id: query.id("card_chain_id", CardId::PREFIX)?,
        account_id: query.id("account_id", AccountId::PREFIX)?,
        object_id: object_id(query)?,
        link_type,
        link_id,
        authorization_id: query.id("authorization_id", AuthorizationId::PREFIX)?,
        cardholder_id: query.id("cardholder_id", CardholderId::PREFIX)?,
        reason: filters::reason(query)?,
        merchant_id: query.text("merchant_id", 15)?,
        amount: filters::amounts(query)?,
        created_from: None,
        created_until: None,
        bounds: caller.bounds().cloned(),
    })
}

/// What `sequence` counts the events of: of all else there are none.
pub fn object_id(query: &mut Fields) -> Result<Option<String>, ApiError> {
    let Some(id) = query.text("object_id", OBJECT_ID_MAX)? else {
        return Ok(None);
    };
    let counts = id.parse::<CardId>().is_ok()
        || id.parse::<AccountId>().is_ok()
        || id.parse::<RiskRuleId>().is_ok()
        || id.parse::<ExceptionId>().is_ok()
        || id.parse::<ApprovalId>().is_ok()
        || id.parse::<WebhookEndpointId>().is_ok()
        || id.parse::<ProgramId>().is_ok()
        || is_of_link(&id)
        || id == UNKNOWN_CARD;
    match counts {
        true => Ok(Some(id)),
        false => Err(ApiError::invalid("id_malformed", "object_id", NO_OBJECT)),
    }
}

/// Program, type and id.
fn is_of_link(id: &str) -> bool {
    let program_id = id.split_once('/').map(|(program_id, _)| program_id);
    program_id.is_some_and(|id| id.parse::<ProgramId>().is_ok())
}

/// What this filter finds is told to who may read the object.
pub fn scope_of_object(id: &str) -> Scope {
    let scopes = [
        (id.parse::<AccountId>().is_ok(), Scope::AccountsRead),
        (id.parse::<RiskRuleId>().is_ok(), Scope::RulesRead),
        (id.parse::<ExceptionId>().is_ok(), Scope::ExceptionsRead),
        (id.parse::<ApprovalId>().is_ok(), Scope::ApprovalsRead),
        (id.parse::<ProgramId>().is_ok(), Scope::ProgramsRead),
        (id.parse::<WebhookEndpointId>().is_ok(), Scope::WebhooksRead),
    ];
    let scope = scopes.into_iter().find(|(is, _)| *is);
    // A card, or a linked object, of which the cards tell.
    scope.map_or(Scope::CardsRead, |(_, scope)| scope)
}

/// Of a linked object: a program's id, a type and an id of its own.
pub const OBJECT_ID_MAX: usize = 18 + 1 + audit::OBJECT_ID_MAX;

const NO_OBJECT: &str = "object_id must be the id of a card, an account, a rule, an exception of a linked object, an approval, a webhook endpoint, a program \
    or (with its program and type) a linked object: the events of all else are counted with its card or account; those of a payment are found by authorization_id";

/// Declines are alerts for those who may not see authorizations.
pub fn body(state: &ApiState, caller: &Caller, row: &EventRow) -> Value {
    let scopes = caller.scopes();
    let is_decline = row.event_type == EventType::AuthorizationDeclined.name();
    row.body(
        is_decline && !scopes.has(Scope::AuthorizationsRead),
        &state.response_codes,
    )
}

pub async fn one(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let row = find(&state, &caller, &id).await?;
    Ok(json_response(
        StatusCode::OK,
        body(&state, &caller, &row).to_string(),
    ))
}

/// An event that the caller may see.
pub async fn find(state: &ApiState, caller: &Caller, id: &str) -> Result<EventRow, ApiError> {
    let not_found = || {
        let message =
            "there is no event with this id; one that nobody had subscribed to is not kept";
        ApiError::not_found("event_not_found", message)
    };
    let id: EventId = id.parse().map_err(|_| not_found())?;
    list::check_store(state)?;
    let row = state.store.event(id).await.map_err(store_error)?;
    let row = row.filter(|row| may_see(caller, row));
    row.ok_or_else(not_found)
}

pub fn may_see(caller: &Caller, row: &EventRow) -> bool {
    let event_type = EventType::from_name(&row.event_type);
    let has_scope = event_type.is_none_or(|known| caller.scopes().has(known.scope()));
    let Some(bounds) = caller.bounds() else {
        return has_scope;
    };
    let place = row.place_json.as_deref();
    let place: Option<PlaceJson> = place.and_then(|text| serde_json::from_str(text).ok());
    let covered = match (row.program_id, place) {
        (Some(program_id), Some(place)) => place.with(program_id, |place| bounds.cover(&place)),
        _ => false,
    };
    has_scope && covered
}

/// Once more, to one endpoint.
pub async fn resend(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            caller,
            mut fields,
            ..
        } = write;
        let endpoint_id = fields.text("webhook_endpoint_id", 64)?;
        let endpoint_id = endpoint_id.ok_or_else(|| fields.missing("webhook_endpoint_id"))?;
        fields.finish()?;
        let row = find(&state, &caller, &id).await?;
        webhook_moves::resend(&state, &caller, &endpoint_id, &row).await
    };
    once(gate.state()?, request, work).await
}

/// Server-sent events (WHATWG HTML, 9.2): from behind `starting_after`, or the header `Last-Event-ID`, or from now on.
pub async fn stream(
    State(gate): State<Gate>,
    caller: Caller,
    headers: HeaderMap,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let filter = filter(&caller, &mut query)?;
    let after: Option<EventId> = query.id("starting_after", EventId::PREFIX)?;
    query.finish()?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let last = last.and_then(|id| id.parse().ok());
    let now = EventId::end_of(state.lag.projected_through());
    let place = Place::take(&state, &caller)?;
    let reading = Reading {
        after: last.or(after).unwrap_or(now),
        state,
        caller,
        filter,
        rows: VecDeque::new(),
        _place: place,
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events_of(reading))
        .keep_alive(keep_alive)
        .into_response())
}

/// One of the streams that there may be, until dropped.
struct Place {
    taken: Arc<Taken>,
    of: Option<ApiKeyId>,
    tenant: Option<ApiKeyId>,
}

/// The streams that there are.
pub type Taken = Mutex<Streams>;

#[derive(Debug, Default)]
pub struct Streams {
    shares: Shares,
    by_key: HashMap<Option<ApiKeyId>, usize>,
}

impl Place {
    fn take(state: &ApiState, caller: &Caller) -> Result<Place, ApiError> {
        let (taken, of) = (state.event_streams.clone(), caller.first_key_id());
        let tenant = caller.tenant();
        let refused = {
            let mut streams = taken.lock().unwrap_or_else(PoisonError::into_inner);
            let own = streams.by_key.get(&of).copied().unwrap_or_default();
            match streams.shares.check(tenant, 1, &SHARES) {
                Err(_) => Some(format!(
                    "there are {STREAMS_MAX} streams already, or {STREAMS_OF_TENANT_MAX} of one tenant"
                )),
                Ok(()) if own >= STREAMS_OF_KEY_MAX => Some(format!(
                    "this API key has {STREAMS_OF_KEY_MAX} streams already"
                )),
                Ok(()) => {
                    streams.shares.add(tenant, 1);
                    streams.by_key.insert(of, own + 1);
                    None
                }
            }
        };
        match refused {
            None => Ok(Place { taken, of, tenant }),
            Some(why) => {
                let message = format!("{why}; read /v1/events instead");
                Err(ApiError::unavailable("too_many_streams", message))
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut streams = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        streams.shares.remove(self.tenant, 1);
        if let Some(own) = streams.by_key.get_mut(&self.of) {
            *own -= 1;
            if *own == 0 {
                streams.by_key.remove(&self.of);
            }
        }
    }
}

struct Reading {
    state: Arc<ApiState>,
    caller: Caller,
    filter: EventFilter,
    after: EventId,
    rows: VecDeque<EventRow>,
    _place: Place,
}

fn events_of(reading: Reading) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(reading, |mut reading| async move {
        let row = reading.next().await?;
        let json = body(&reading.state, &reading.caller, &row).to_string();
        let event = Event::default().id(row.id().to_string());
        let event = event.event(&row.event_type).data(json);
        Some((Ok(event), reading))
    })
}

impl Reading {
    /// Waits for the next one; `None` where the caller's key is good no more, or the switch stops.
    async fn next(&mut self) -> Option<EventRow> {
        let mut projected = self.state.lag.subscribe();
        loop {
            if let Some(row) = self.rows.pop_front() {
                self.after = row.id();
                return Some(row);
            }
            if self.state.stop_streams.is_cancelled() || !self.caller.is_still_good(&self.state) {
                return None;
            }
            projected.borrow_and_update();
            let page = self
                .state
                .store
                .events(&self.filter, Some(self.after), READ_AT_ONCE)
                .await;
            match page {
                Ok(page) if !page.data.is_empty() => self.rows.extend(page.data),
                // A database that is away comes back.
                _ => {
                    tokio::select! {
                        _ = tokio::time::timeout(LOOK_EVERY, projected.changed()) => {}
                        () = self.state.stop_streams.cancelled() => return None,
                    }
                }
            }
        }
    }
}

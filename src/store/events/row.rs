//! The rows of events, and what an endpoint is held against.

use crate::engine::api_keys::Place;
use crate::engine::ids::{AccountId, AuthorizationId, CardId, EventId, ProgramId};
use crate::engine::reason::DeclineReason;
use crate::engine::time::Timestamp;
use crate::engine::webhook_endpoints::WebhookEndpoint;
use crate::store::rows::{AuthorizationResult, MessageName, Sequence, table};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;

table! {
    /// Something that happened.
    EventRow in "events" {
        number: u64,
        event_type: String,
        program_id: Option<ProgramId>,
        account_id: Option<AccountId>,
        card_id: Option<CardId>,
        /// What `object_sequence` counts the events of.
        object_id: String,
        object_sequence: u64,
        /// A [`PlaceJson`]; absent where it has no program.
        place_json: Option<String>,
        data_json: String,
        created_at_ms: Timestamp,
        /// Of a payment, or of what came of one.
        authorization_id: Option<AuthorizationId>,
        /// Keys that are bound to this account, or to one above it, see it: of a payment the first account of its card.
        seen_at_account_id: Option<AccountId>,
    }
}

table! {
    /// How many events an object has had.
    EventCountRow in "event_counts" {
        object_id: String,
        events: u64,
    }
}

table! {
    /// Who had subscribed at the projection's position.
    WebhookEndpointRow in "webhook_endpoints" {
        id: String,
        sequence: Sequence,
        definition_json: String,
    }
}

table! {
    /// The status of a linked object that is not active.
    LinkStateRow in "link_states" {
        /// Program, type and id.
        link_key: String,
        status: String,
        /// The record of the change.
        sequence: Sequence,
    }
}

table! {
    /// A change of a linked object that not all of its cards are told of yet.
    UntoldLinkChangeRow in "untold_link_changes" {
        /// That of the first event of its record.
        id: String,
        /// Of its record.
        sequence: Sequence,
        program_id: ProgramId,
        link_type: String,
        link_id: String,
        status: String,
        /// The last that is told of.
        after_card_id: CardId,
    }
}

/// What a message came to, so far as that makes the response code (DE39) of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    pub message: MessageName,
    pub result: AuthorizationResult,
    pub reason: Option<DeclineReason>,
}

/// The response code that a network gets; nothing while there is no answer, and for a network that is not configured.
pub type ResponseCodes = Arc<dyn Fn(&str, Answered) -> Option<String> + Send + Sync>;

/// Where an event happened, as its row keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceJson {
    /// The account and those above it.
    pub accounts: Vec<String>,
    /// Types and ids.
    pub links: Vec<(String, String)>,
}

impl EventRow {
    pub fn id(&self) -> EventId {
        EventId(self.number)
    }

    /// What is sent, in the shape of Standard Webhooks. The response code is that of the dialect as it is now, as it is of
    /// an authorization that is asked for.
    pub fn body(&self, thin: bool, codes: &ResponseCodes) -> Value {
        let mut data: Value = serde_json::from_str(&self.data_json).unwrap_or_default();
        match thin {
            true => make_thin(&mut data),
            false => put_response_codes(&mut data, codes),
        }
        json!({
            "id": self.id().to_string(),
            "type": self.event_type,
            "timestamp": self.created_at_ms.to_string(),
            "data": data,
        })
    }
}

/// An event with its place, which is parsed once for all endpoints that it is held against.
#[derive(Debug, PartialEq, Eq)]
pub struct PlacedEvent {
    pub row: EventRow,
    /// Nothing where it has no program.
    place: Option<KnownPlace>,
}

#[derive(Debug, PartialEq, Eq)]
struct KnownPlace {
    program_id: ProgramId,
    accounts: Vec<AccountId>,
    /// Types and ids.
    links: Vec<(String, String)>,
}

impl PlacedEvent {
    pub fn of(row: EventRow) -> PlacedEvent {
        let place = row.program_id.zip(row.place_json.as_ref());
        let place = place.map(|(program_id, place)| {
            let place: PlaceJson = serde_json::from_str(place).unwrap_or_default();
            let accounts = place.accounts.iter().filter_map(|id| id.parse().ok());
            KnownPlace {
                program_id,
                accounts: accounts.collect(),
                links: place.links,
            }
        });
        PlacedEvent { row, place }
    }

    /// Whether an endpoint is to hear of it.
    pub fn is_for(&self, endpoint: &WebhookEndpoint) -> bool {
        // Most are of no interest by their type alone.
        if !endpoint.wants_type(&self.row.event_type) {
            return false;
        }
        let Some(known) = &self.place else {
            return endpoint.wants(&self.row.event_type, None);
        };
        let links = known.links.iter();
        let links: Vec<_> = links
            .map(|(kind, id)| (kind.as_str(), id.as_str()))
            .collect();
        let place = Place {
            program_id: known.program_id,
            accounts: &known.accounts,
            links: &links,
        };
        endpoint.wants(&self.row.event_type, Some(place))
    }

    /// By which a link finds it: the card, also where that only has the account to itself; else the object.
    pub fn place_id(&self) -> String {
        let row = &self.row;
        let is_seen = self
            .place
            .as_ref()
            .is_some_and(|known| !known.links.is_empty());
        let card_id = row.card_id.filter(|_| is_seen);
        card_id.map_or_else(|| row.object_id.clone(), |id| id.to_string())
    }

    /// What it takes of memory, about.
    pub fn bytes(&self) -> usize {
        let row = &self.row;
        let texts = [&row.event_type, &row.object_id, &row.data_json];
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        // The place is there as text and parsed.
        let place = row.place_json.as_ref().map_or(0, |place| 3 * place.len());
        size_of::<PlacedEvent>() + texts + place
    }
}

impl PlaceJson {
    pub fn text(&self) -> String {
        json!(self).to_string()
    }

    /// The text of what is of a linked object, and of no account.
    pub fn of_link(link_type: &str, id: &str) -> String {
        let links = vec![(link_type.to_owned(), id.to_owned())];
        let accounts = Vec::new();
        PlaceJson { accounts, links }.text()
    }

    /// How the texts of all linked objects of a type begin, and no other.
    pub fn start_of_links(link_type: &str) -> String {
        let of_link = PlaceJson::of_link(link_type, "");
        // A quotation mark in a name has a stroke before it.
        of_link.trim_end_matches("\"]]}").to_owned()
    }

    pub fn with<T>(&self, program_id: ProgramId, of: impl FnOnce(Place) -> T) -> T {
        let accounts = self.accounts.iter().filter_map(|id| id.parse().ok());
        let accounts: Vec<AccountId> = accounts.collect();
        let links = self.links.iter();
        let links: Vec<_> = links
            .map(|(kind, id)| (kind.as_str(), id.as_str()))
            .collect();
        of(Place {
            program_id,
            accounts: &accounts,
            links: &links,
        })
    }
}

/// What a run of records adds to the tables of events.
#[derive(Debug, Default)]
pub struct EventRows {
    pub events: Vec<EventRow>,
    pub counts: Vec<EventCountRow>,
    pub endpoints: Vec<WebhookEndpointRow>,
    pub link_states: Vec<LinkStateRow>,
    pub untold_link_changes: Vec<UntoldLinkChangeRow>,
    /// Keys of the rows that those above take the place of.
    pub counted: Vec<String>,
    pub endpoints_changed: Vec<String>,
    pub link_states_changed: Vec<String>,
    pub untold_changed: Vec<String>,
}

fn put_response_codes(data: &mut Value, codes: &ResponseCodes) {
    let objects = data.as_object_mut().into_iter().flat_map(Map::values_mut);
    for object in objects.filter(|object| object["object"] == "authorization") {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let decision = &object["decision"];
        let (message, result) = (word(&object["message"]), word(&decision["result"]));
        let answered = Answered {
            message: MessageName::from_name(&message).unwrap_or(MessageName::Request),
            result: AuthorizationResult::from_name(&result)
                .unwrap_or(AuthorizationResult::Approved),
            reason: DeclineReason::from_name(&word(&decision["reason"])),
        };
        let code = codes(&word(&object["network"]["name"]), answered);
        object["decision"]["response_code"] = json!(code);
    }
}

/// What a thin body keeps of an object: nothing that says who paid where, or how much.
const KEPT: &[&str] = &[
    "id",
    "object",
    "type",
    "status",
    "state",
    "authorization_id",
    "limit_id",
    "percent",
];

fn make_thin(data: &mut Value) {
    let Value::Object(fields) = data else {
        return;
    };
    for value in fields.values_mut().filter(|value| value.is_object()) {
        let mut thin = json!({});
        for name in KEPT {
            if let Some(kept) = value.get(*name) {
                thin[*name] = kept.clone();
            }
        }
        if let Some(decision) = value.get("decision") {
            thin["decision"] =
                json!({ "result": decision["result"], "reason": decision["reason"] });
        }
        *value = thin;
    }
    fields.retain(|_, value| value.as_object().is_none_or(|object| !object.is_empty()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thin_body_has_ids_and_reasons_only() {
        let row = EventRow {
            number: 5 << 20,
            event_type: "authorization.declined".to_owned(),
            program_id: None,
            account_id: None,
            card_id: None,
            object_id: "card_1".to_owned(),
            object_sequence: 3,
            place_json: None,
            data_json: json!({
                "card_id": "card_1", "sequence": 3, "links": [{"type": "user", "id": "u"}],
                "authorization": {
                    "id": "auth_1", "object": "authorization", "amount": 5, "merchant": {"name": "Shop"},
                    "status": "declined",
                    "decision": {"result": "declined", "reason": "card_frozen", "step": "card_status"},
                },
            })
            .to_string(),
            created_at_ms: Timestamp(0),
            authorization_id: None,
            seen_at_account_id: None,
        };
        let codes: ResponseCodes = Arc::new(|_, _| Some("62".to_owned()));
        let body = row.body(true, &codes);
        assert_eq!(
            body["data"]["authorization"],
            json!({
                "id": "auth_1", "object": "authorization", "status": "declined",
                "decision": {"result": "declined", "reason": "card_frozen"},
            })
        );
        assert_eq!(body["data"]["links"][0]["id"], "u");
        assert_eq!(body["id"], "evt_0000000050000");
        let full = row.body(false, &codes);
        let decision = &full["data"]["authorization"]["decision"];
        assert_eq!(decision["response_code"], "62");
        assert_eq!(
            row.body(false, &codes)["data"]["authorization"]["amount"],
            5
        );
    }
}

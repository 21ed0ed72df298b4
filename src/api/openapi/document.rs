//! The whole document: every route of the table with its scope, what is said of all of them alike, and the schemas.

use super::operation::{Body, Content, Operation, get};
use super::schema::{self, answer, example, id, named, or_null, pattern, said, text, with};
use super::{
    approvals, backtests, calls, card_batches, cards, controls, deciding, events, fees, keys,
    money, objects, payments, programs, simulate, tokens, told, unguarded,
};
use crate::api::bounds::About;
use crate::api::error_codes::{self, CODES};
use crate::api::routes::{Route, table};
use crate::engine::ids::{
    AccountId, ApiKeyId, ApprovalId, AuthorizationId, BacktestId, CardBatchId, CardId,
    CardholderId, DecisionEndpointId, DeliveryId, EventId, ExceptionId, MccGroupId, MerchantListId,
    ProgramId, RiskRuleId, TokenId, TopUpId, TransactionId, TransferId, WebhookEndpointId,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const ABOUT: &str = "An issuer-side authorization switch with a card-issuing control plane. How its parts go together is in \
    docs/api.md of the source; a first walk is in docs/quickstart.md. Requests are strict: what is not described is refused. \
    `null` counts as absent. Answers are open: expect new fields, and new values where a text says so.";

/// What a status other than success means, and an error that has it: type and code.
const ERRORS: &[(u16, &str, &str, &str)] = &[
    (
        400,
        "The request cannot be taken as it is.",
        "invalid_request",
        "field_unknown",
    ),
    (
        401,
        "No API key that is good.",
        "authentication",
        "api_key_missing",
    ),
    (
        403,
        "The API key may not do this.",
        "permission",
        "scope_missing",
    ),
    (
        404,
        "It is not there, or not for this key.",
        "not_found",
        "card_not_found",
    ),
    (
        408,
        "The body did not arrive in time.",
        "invalid_request",
        "body_timeout",
    ),
    (
        409,
        "What is there forbids it.",
        "conflict",
        "card_status_forbids",
    ),
    (
        410,
        "It was there, and can be had no more.",
        "not_found",
        "reveal_used",
    ),
    (
        412,
        "Somebody has changed it since the version that `If-Match` names.",
        "conflict",
        "precondition_failed",
    ),
    (
        413,
        "The body is too large.",
        "invalid_request",
        "body_too_large",
    ),
    (
        415,
        "The body says that it is something other than JSON.",
        "invalid_request",
        "media_type_unsupported",
    ),
    (
        429,
        "Too many requests: repeat this after `Retry-After` seconds.",
        "rate_limited",
        "too_many_requests",
    ),
    (
        503,
        "Not now: repeat it with the same `Idempotency-Key`.",
        "unavailable",
        "store_unavailable",
    ),
];

/// Everything that is described, in the order of the files of their groups.
pub fn operations() -> Vec<Operation> {
    let groups = [
        approvals::operations,
        programs::operations,
        objects::operations,
        fees::operations,
        money::operations,
        cards::operations,
        tokens::operations,
        card_batches::operations,
        payments::operations,
        deciding::operations,
        backtests::operations,
        keys::operations,
        told::operations,
        simulate::operations,
    ];
    groups.iter().flat_map(|group| group()).collect()
}

fn schemas() -> Map<String, Value> {
    let groups = [
        controls::schemas,
        approvals::schemas,
        programs::schemas,
        objects::schemas,
        fees::schemas,
        money::schemas,
        cards::schemas,
        tokens::schemas,
        card_batches::schemas,
        payments::schemas,
        deciding::schemas,
        backtests::schemas,
        keys::schemas,
        told::schemas,
        events::schemas,
        simulate::schemas,
    ];
    let all = groups.iter().flat_map(|group| group());
    let mut schemas: Map<String, Value> = all
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    schemas.insert("Error".into(), error());
    schemas
}

/// OpenAPI 3.1. A route without a description is left out, and a test finds it.
pub fn document() -> Value {
    let schemas = schemas();
    let (routes, operations) = (table(), operations());
    let mut paths = Map::new();
    for (path, what) in unguarded::routes() {
        paths.insert(path.into(), json!({ "get": what }));
    }
    for route in &routes {
        let mut described = operations.iter();
        let is_same = |one: &&Operation| (one.method, one.path) == (route.method, route.path);
        if let Some(operation) = described.find(is_same) {
            let of_path = paths.entry(route.path).or_insert_with(|| json!({}));
            of_path[route.method.to_lowercase()] = described_as(route, operation, &schemas);
        }
    }
    let responses: Map<String, Value> = ERRORS
        .iter()
        .map(|error| (format!("Error{}", error.0), error_response(error)))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "cardswitch", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "webhooks": calls::webhooks(),
        "components": {
            "securitySchemes": { "api_key": {
                "type": "http", "scheme": "bearer",
                "description": "An API key, or the root key, which has every scope.",
            } },
            "headers": headers(),
            "responses": responses,
            "schemas": schemas,
        },
    })
}

fn described_as(route: &Route, operation: &Operation, schemas: &Map<String, Value>) -> Value {
    let mut parameters = path_parameters(operation);
    for parameter in &operation.query {
        parameters.push(json!({
            "name": parameter.name, "in": "query", "required": parameter.required, "schema": parameter.schema,
        }));
    }
    let is_write = route.method != "GET";
    if is_write {
        parameters.push(idempotency_key());
    }
    if replaces(route) {
        parameters.push(if_match());
    }
    let mut described = json!({
        "operationId": operation_id(route),
        "tags": [resource(route.path)],
        "summary": operation.summary,
        "x-scope": route.scope.name(),
        "security": [{ "api_key": [route.scope.name()] }],
        "parameters": parameters,
    });
    if let Some(body) = &operation.body {
        described["requestBody"] = request_body(body);
    }
    let mut responses = Map::new();
    responses.insert(
        operation.status.to_string(),
        success(operation, is_write, schemas),
    );
    if operation.may_wait {
        let waits = Operation {
            status: 202,
            ..get(operation.path, "", "Approval")
        };
        responses.insert("202".into(), success(&waits, is_write, schemas));
    }
    for status in errors_of(route) {
        let reference = format!("#/components/responses/Error{status}");
        responses.insert(status.to_string(), json!({ "$ref": reference }));
    }
    described["responses"] = Value::Object(responses);
    described
}

fn request_body(body: &Body) -> Value {
    let needed = body.schema["required"].as_array();
    let json = json!({ "schema": body.schema, "example": body.example });
    let mut content = json!({ "application/json": json });
    if let Some((media_type, example)) = body.file {
        content[media_type] = json!({ "schema": { "type": "string" }, "example": example });
    }
    json!({ "required": needed.is_some_and(|names| !names.is_empty()), "content": content })
}

fn success(operation: &Operation, is_write: bool, schemas: &Map<String, Value>) -> Value {
    let mut names = vec![
        "Request-Id",
        "RateLimit-Limit",
        "RateLimit-Remaining",
        "RateLimit-Reset",
    ];
    match (is_write, &operation.content) {
        (true, _) => names.push("Idempotent-Replayed"),
        (false, Content::Json(_)) => names.push("ETag"),
        (false, Content::Text(..)) => {}
    }
    let content = match &operation.content {
        Content::Json(schema) => {
            let example = example(schema, schemas);
            json!({ "application/json": { "schema": schema, "example": example } })
        }
        Content::Text(media_type, begin) => {
            json!({ *media_type: { "schema": { "type": "string" }, "example": begin } })
        }
    };
    json!({ "description": operation.summary, "headers": refer(&names), "content": content })
}

pub(super) fn refer(headers: &[&str]) -> Value {
    let reference = |name: &&str| json!({ "$ref": format!("#/components/headers/{name}") });
    let headers = headers
        .iter()
        .map(|name| ((*name).to_owned(), reference(name)));
    Value::Object(headers.collect())
}

/// `freeze` in `POST /v1/cards/{id}/freeze` is `post_cards_id_freeze`.
fn operation_id(route: &Route) -> String {
    let place = route.path.trim_start_matches("/v1/");
    let place = place.replace(['/', '.'], "_").replace(['{', '}'], "");
    format!("{}_{place}", route.method.to_lowercase())
}

fn resource(path: &str) -> &str {
    let resource = path.split('/').nth(2).unwrap_or_default();
    resource.split('.').next().unwrap_or_default()
}

fn path_parameters(operation: &Operation) -> Vec<Value> {
    let mut parameters = Vec::new();
    let mut add = |name: &str, schema: Value| {
        let place = format!("{{{name}}}");
        if operation.path.contains(&place) {
            parameters
                .push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
        }
    };
    add("type", pattern("^[a-z0-9_]{1,32}$", "project"));
    add("backtest_id", id(BacktestId::PREFIX));
    let known = operation.path_id.clone();
    add(
        "id",
        known.unwrap_or_else(|| id_of(resource(operation.path))),
    );
    parameters
}

/// What names an object of a resource in a path.
fn id_of(resource: &str) -> Value {
    id(match resource {
        "programs" => ProgramId::PREFIX,
        "accounts" => AccountId::PREFIX,
        "top_ups" => TopUpId::PREFIX,
        "transfers" => TransferId::PREFIX,
        "cardholders" => CardholderId::PREFIX,
        "cards" => CardId::PREFIX,
        "card_batches" => CardBatchId::PREFIX,
        "tokens" => TokenId::PREFIX,
        "authorizations" => AuthorizationId::PREFIX,
        "transactions" => TransactionId::PREFIX,
        "rules" => RiskRuleId::PREFIX,
        "mcc_groups" => MccGroupId::PREFIX,
        "merchant_lists" => MerchantListId::PREFIX,
        "exceptions" => ExceptionId::PREFIX,
        "approvals" => ApprovalId::PREFIX,
        "decision_endpoints" => DecisionEndpointId::PREFIX,
        "api_keys" => ApiKeyId::PREFIX,
        "webhook_endpoints" => WebhookEndpointId::PREFIX,
        "events" => EventId::PREFIX,
        "deliveries" => DeliveryId::PREFIX,
        // Whatever a customer calls an object.
        _ => return text(128, "p1"),
    })
}

fn idempotency_key() -> Value {
    let schema = pattern("^[!-~]{1,255}$", "order-4711");
    json!({
        "name": "Idempotency-Key", "in": "header", "required": false, "schema": schema,
        "description": "A repeat under the same key gets the first response, for 24 hours.",
    })
}

/// What changes an object that can be read under the same path.
fn replaces(route: &Route) -> bool {
    ["PATCH", "PUT"].contains(&route.method)
}

fn if_match() -> Value {
    json!({
        "name": "If-Match", "in": "header", "required": false, "schema": text(1_000, "*"),
        "description": "The `ETag` of what is to be changed; 412 where it is another one by now.",
    })
}

/// What names an object in its body, though it is about none in particular.
const NAMING: [(&str, &str); 1] = [("POST", "/v1/programs")];

/// The statuses other than success that a route can have.
fn errors_of(route: &Route) -> Vec<u16> {
    let is_write = route.method != "GET";
    let is_named = is_write && route.about != About::Everything;
    let names_something =
        route.path.contains('{') || is_named || NAMING.contains(&(route.method, route.path));
    let can_have = |status: &u16| match status {
        404 => names_something,
        410 => false,
        412 => replaces(route),
        408 | 409 | 413 | 415 => is_write,
        _ => true,
    };
    let all = ERRORS.iter().map(|(status, ..)| *status);
    all.filter(can_have).collect()
}

fn error() -> Value {
    let mut types: Vec<&str> = Vec::new();
    for group in CODES {
        let name = group.error_type.name();
        if !types.contains(&name) {
            types.push(name);
        }
    }
    let code = "Those of a status are its response's `x-codes`; docs/errors.md has all. Open: new values may come.";
    let error = answer(
        vec![
            ("type", schema::open_word(&types)),
            ("code", schema::noted(said("field_unknown"), code)),
            (
                "message",
                said("nmae is not a field here; remove it or correct its name"),
            ),
            ("param", or_null(said("nmae"))),
            ("request_id", said("req_00000000000000a1")),
        ],
        Vec::new(),
    );
    answer(vec![("error", error)], Vec::new())
}

fn error_response((status, meaning, error_type, code): &(u16, &str, &str, &str)) -> Value {
    let mut headers = vec!["Request-Id"];
    match status {
        401 => headers.push("WWW-Authenticate"),
        429 | 503 => headers.push("Retry-After"),
        _ => {}
    }
    let example = json!({ "error": {
        "type": error_type, "code": code, "message": meaning, "param": null, "request_id": "req_00000000000000a1",
    } });
    let codes = error_codes::of_status(*status).map(|(code, meaning)| (*code, *meaning));
    json!({
        "description": meaning,
        "headers": refer(&headers),
        "content": { "application/json": { "schema": named("Error"), "example": example } },
        "x-codes": BTreeMap::from_iter(codes),
    })
}

fn headers() -> Value {
    let header = |note: &str, schema: Value| json!({ "description": note, "schema": schema });
    let count = || json!({ "type": "integer", "minimum": 0 });
    let request_id = header(
        "Also in errors, and in the log.",
        said("req_00000000000000a1"),
    );
    json!({
        "Request-Id": with(request_id, "required", json!(true)),
        "ETag": header("Of what a change would replace, for `If-Match`.", said("\"5d41402abc4b2a76b9719d911017c592\"")),
        "RateLimit-Limit": header("Requests a second of this key; absent where there is no limit.", count()),
        "RateLimit-Remaining": header("How many more may come now.", count()),
        "RateLimit-Reset": header("Seconds until all are there again.", count()),
        "Retry-After": header("Seconds.", count()),
        "WWW-Authenticate": header("RFC 6750.", said("Bearer")),
        "Idempotent-Replayed": header("`true` where a response is repeated.", said("true")),
    })
}

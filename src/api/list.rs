//! Lists: what their callers may ask for, and the form in which a page goes out.

use super::ApiState;
use super::error::{ApiError, json_response};
use super::fields::Fields;
use crate::store::StoreError;
use crate::store::lag::FollowState;
use axum::extract::{FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

/// Entries of a page, where the caller does not say.
const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;

/// Bytes of a page, but for its last entry: one whose entries are longer has fewer of them, and says that there are more.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// The query of a list, each name once, to be taken like the fields of a body.
pub struct ListQuery(pub Fields);

impl<S: Sync> FromRequestParts<S> for ListQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<ListQuery, ApiError> {
        let query: Query<Vec<(String, String)>> =
            Query::try_from_uri(&parts.uri).map_err(|_| {
                let message = "the query must have the form name=value&name=value, percent-encoded";
                ApiError::invalid("query_malformed", "query", message)
            })?;
        let mut map = Map::new();
        for (name, value) in query.0 {
            let path = super::error::shown(&name);
            if map.insert(name, Value::String(value)).is_some() {
                let message = format!("{path} may occur once in the query");
                return Err(ApiError::invalid("parameter_repeated", path, message));
            }
        }
        Fields::of("", Value::Object(map)).map(ListQuery)
    }
}

/// Before every route that is no list: a parameter that nobody reads is an error, not a wish granted.
pub async fn refuse_query(query: ListQuery, request: Request, next: Next) -> Response {
    match query.0.finish() {
        Ok(()) => next.run(request).await,
        Err(error) if request.method().is_safe() => error.into_response(),
        Err(mut error) => {
            let name = error.param.as_deref().unwrap_or_default();
            let method = request.method();
            error.message = format!(
                "{name} is not read from the query of a {method}: what a {method} takes goes into its body, as JSON"
            );
            error.into_response()
        }
    }
}

/// One page of what memory has, after the entry whose id is `starting_after`: entries by their ids, made into JSON where
/// they are of the page.
pub fn page_of_memory<Entry: FnOnce() -> Value>(
    ListQuery(mut query): ListQuery,
    mut all: impl Iterator<Item = (String, Entry)>,
) -> Result<Response, ApiError> {
    let after = query.text("starting_after", 64)?;
    let limit = limit(&mut query)? as usize;
    query.finish()?;
    if let Some(after) = after {
        all.find(|(id, _)| *id == after).ok_or_else(|| {
            let message = "starting_after must be the id of an entry of this list";
            ApiError::invalid("cursor_unknown", "starting_after", message)
        })?;
    }
    let data = all.by_ref().take(limit).map(|(_, entry)| entry());
    let (data, are_all) = entries(data);
    let has_more = !are_all || all.next().is_some();
    Ok(page_of(&data, has_more))
}

/// One page of what memory has, its first entries.
pub fn page_of_known(data: Vec<Value>, has_more: bool) -> Response {
    let (data, are_all) = entries(data);
    page_of(&data, has_more || !are_all)
}

fn page_of(entries: &str, has_more: bool) -> Response {
    let body = format!(r#"{{"object":"list","data":[{entries}],"has_more":{has_more}}}"#);
    json_response(StatusCode::OK, body)
}

/// The entries of a page as JSON, as far as it takes them, and whether it took all.
fn entries(data: impl IntoIterator<Item = Value>) -> (String, bool) {
    let mut text = String::new();
    let mut data = data.into_iter();
    while text.len() < PAGE_BYTES_MAX {
        let Some(entry) = data.next() else {
            return (text, true);
        };
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&entry.to_string());
    }
    (text, data.next().is_none())
}

/// Takes `limit`, 1 to 100.
pub fn limit(query: &mut Fields) -> Result<u32, ApiError> {
    let Some(value) = query.take("limit") else {
        return Ok(LIMIT_DEFAULT);
    };
    let limit = value.as_str().and_then(|text| text.parse::<u32>().ok());
    limit
        .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        .ok_or_else(|| {
            let message = format!("limit must be a whole number from 1 to {LIMIT_MAX}");
            ApiError::invalid("number_invalid", "limit", message)
        })
}

/// Takes `link_type` and `link_id`; an id needs its type.
pub fn link(query: &mut Fields) -> Result<(Option<String>, Option<String>), ApiError> {
    let (link_type, link_id) = (query.text("link_type", 32)?, query.text("link_id", 128)?);
    if link_id.is_some() && link_type.is_none() {
        return Err(query.missing("link_type"));
    }
    Ok((link_type, link_id))
}

/// One page, newest first.
pub fn page(
    data: impl IntoIterator<Item = Value>,
    has_more: bool,
    projected_through: u64,
) -> Response {
    let (data, are_all) = entries(data);
    let has_more = has_more || !are_all;
    let body = format!(
        r#"{{"object":"list","data":[{data}],"has_more":{has_more},"projected_through":{projected_through}}}"#
    );
    json_response(StatusCode::OK, body)
}

/// Refuses at once where the database is known to be away, instead of waiting for it, and where its tables are empty only
/// because they could not be filled.
pub fn check_store(state: &ApiState) -> Result<(), ApiError> {
    let lag = &state.lag;
    match lag.state() {
        FollowState::Away => Err(store_unavailable()),
        FollowState::Failed | FollowState::Refused if lag.projected_through() == 0 => {
            Err(never_filled())
        }
        _ => Ok(()),
    }
}

fn never_filled() -> ApiError {
    let message = "lists come from the SQL tables, which are empty and cannot be filled from the journal; the log of the switch \
        says why; decisions go on without them";
    ApiError::unavailable("store_unavailable", message)
}

fn store_unavailable() -> ApiError {
    let message = "lists come from the SQL database, and it cannot be read now; decisions and single \
        objects go on without it; repeat this later";
    ApiError::unavailable("store_unavailable", message)
}

/// What SQL's refusal means to a caller.
pub fn store_error(error: StoreError) -> ApiError {
    match error {
        StoreError::UnknownCursor(_) => ApiError::invalid(
            "cursor_unknown",
            "starting_after",
            "starting_after must be the id of an entry of this list; one made a moment ago may not be in it yet",
        ),
        StoreError::TooWide => ApiError::invalid(
            "filters_too_wide",
            "query",
            "these filters fit few among very many entries, and not all of those could be looked at in time: add one that fits \
             fewer (a card, an account, a merchant, a number of the network), or a shorter span between created_from and \
             created_until",
        ),
        StoreError::TooSlow { .. } => {
            let message = "the SQL database took too long for this list: repeat it, or ask for less, as by a card, an account, \
                or a shorter span of time";
            ApiError::unavailable("list_too_slow", message)
        }
        error if error.is_passing() => {
            tracing::warn!(%error, "a list could not be read");
            store_unavailable()
        }
        error => ApiError::internal(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_where_it_is_long_and_is_never_empty() {
        let long = |letters| Value::String("x".repeat(letters));
        assert_eq!(entries([]), (String::new(), true));
        assert_eq!(entries([long(1), long(2)]), (r#""x","xx""#.into(), true));
        let (text, are_all) = entries([long(PAGE_BYTES_MAX), long(1)]);
        assert_eq!((text.len(), are_all), (PAGE_BYTES_MAX + 2, false));
        assert!(entries([long(PAGE_BYTES_MAX)]).1);
        let (text, are_all) = entries((0..100).map(|_| long(100_000)));
        assert!((1..1_200_000).contains(&text.len()) && !are_all);
    }
}

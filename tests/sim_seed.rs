//! Cards over the REST API, against a stand-in that answers in the shapes of the design.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::Path, http::HeaderMap, http::StatusCode, routing::post};
use cardswitch::sim::{Profile, SeedOptions, seed};
use serde_json::{Value, json};

/// What was posted: path and body.
type Posts = Arc<Mutex<Vec<(String, Value)>>>;

async fn answer(
    posts: Posts,
    path: String,
    headers: HeaderMap,
    body: Value,
) -> (StatusCode, Json<Value>) {
    if headers["authorization"] == "Bearer no-sandbox" && path.ends_with("/top_ups") {
        let error = json!({"error": {"type": "not_supported", "code": "not_supported"}});
        return (StatusCode::BAD_REQUEST, Json(error));
    }
    let known = ["Bearer secret", "Bearer no-sandbox"];
    if !known.iter().any(|key| headers["authorization"] == *key)
        || !headers.contains_key("idempotency-key")
    {
        let error = json!({"error": {"type": "auth", "code": "unauthorized", "message": "no key"}});
        return (StatusCode::UNAUTHORIZED, Json(error));
    }
    let number = {
        let mut posts = posts.lock().unwrap();
        posts.push((path.clone(), body));
        posts.len()
    };
    let answer = match path.as_str() {
        path if path.ends_with("/reveal") => json!({
            "pan": "4111111111111111", "cvv2": "123", "exp_month": 12, "exp_year": 2029,
        }),
        _ => json!({"id": format!("id_{number}")}),
    };
    (StatusCode::CREATED, Json(answer))
}

async fn start() -> (String, Posts) {
    let posts = Posts::default();
    let seen = posts.clone();
    let route = post(
        move |Path(path): Path<String>, headers: HeaderMap, Json(body)| {
            answer(seen.clone(), path, headers, body)
        },
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/v1/{*path}", route);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (address, posts)
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_are_created_controlled_frozen_and_revealed() {
    let (address, posts) = start().await;
    let options = SeedOptions {
        count: 10,
        ..SeedOptions::default()
    };
    let cards = tokio::task::spawn_blocking(move || seed(&address, "secret", &options, |_| {}));
    let cards = cards.await.unwrap().unwrap();
    assert_eq!(cards.len(), 10);
    assert!(cards.iter().any(|card| card.profile == Profile::LowFunds));
    let posts = posts.lock().unwrap();
    let count =
        |wanted: &dyn Fn(&str) -> bool| posts.iter().filter(|(path, _)| wanted(path)).count();
    assert_eq!(count(&|path| path == "programs"), 1);
    assert_eq!(
        count(&|path| path == "accounts"),
        2,
        "a master account and a nearly empty one"
    );
    assert_eq!(count(&|path| path.ends_with("/top_ups")), 2);
    assert_eq!(count(&|path| path == "cards"), 10);
    assert_eq!(count(&|path| path.ends_with("/reveal")), 10);
    assert_eq!(count(&|path| path.ends_with("/freeze")), 1);
    let bodies: Vec<_> = posts.iter().map(|(_, body)| body.to_string()).collect();
    let blocks_gambling = |body: &String| body.contains(r#""mcc":{"block":["7995"]}"#);
    assert!(bodies.iter().any(blocks_gambling), "{bodies:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_with_the_message_of_the_api() {
    let (address, _) = start().await;
    let seeding = move || seed(&address, "wrong", &SeedOptions::default(), |_| {}).unwrap_err();
    let error = tokio::task::spawn_blocking(seeding).await.unwrap();
    assert_eq!(error.to_string(), "POST /v1/programs: 401: no key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_without_the_sandbox_is_told_what_it_needs() {
    let (address, _) = start().await;
    let named = address.clone();
    let seeding = move || seed(&address, "no-sandbox", &SeedOptions::default(), |_| {});
    let error = tokio::task::spawn_blocking(seeding).await.unwrap();
    let told = error.unwrap_err().to_string();
    assert!(
        told.contains(&named) && told.contains("`[sandbox] enabled = true`"),
        "{told}"
    );
}

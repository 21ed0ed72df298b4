//! Any bytes as the body of a write, against a whole switch in this process: whatever comes, the answer is
//! a success or a refusal in our form. The first byte chooses the route.
#![no_main]

use std::{path::Path, sync::LazyLock};

use cardswitch::{
    cli::node::{self, Node, Start},
    config::Config,
};
use libfuzzer_sys::fuzz_target;

const KEY: &str = "a root key for fuzzing";

struct Switch {
    http: ureq::Agent,
    address: String,
    /// With the ids of an account and a card that are there.
    routes: Vec<(&'static str, String)>,
    /// These keep it running.
    _node: (tokio::runtime::Runtime, Node, tempfile::TempDir),
}

static SWITCH: LazyLock<Switch> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[data]\ndir = {:?}\n[http]\nlisten = \"127.0.0.1:0\"\n[sandbox]\nenabled = true\n\
         [journal]\nsync = false\n[snapshots]\nevery_records = 100000000\n",
        folder.path().join("data")
    );
    let config = Config::parse(Path::new("fuzz.toml"), &text, std::iter::empty()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let start = Start {
        root_key: Some(KEY.into()),
    };
    let node = runtime.block_on(node::start(&config, start)).unwrap();
    let settings = ureq::Agent::config_builder().http_status_as_error(false);
    let mut switch = Switch {
        http: settings.build().into(),
        address: format!("http://{}", node.http_address()),
        routes: Vec::new(),
        _node: (runtime, node, folder),
    };
    switch.routes = routes(&switch);
    switch
});

fn routes(switch: &Switch) -> Vec<(&'static str, String)> {
    let program_id = switch.create(
        "/v1/programs",
        r#"{"name":"A","network":"visa","bin":"411111","currency":"USD"}"#,
    );
    let account = format!(r#"{{"program_id":"{program_id}","currency":"USD","name":"a"}}"#);
    let account_id = switch.create("/v1/accounts", &account);
    let card = format!(r#"{{"account_id":"{account_id}","type":"virtual"}}"#);
    let card_id = switch.create("/v1/cards", &card);
    // Ids do not depend on chance, so that the bodies of the corpus can name them.
    vec![
        ("POST", "/v1/programs".to_owned()),
        ("POST", "/v1/accounts".to_owned()),
        ("POST", "/v1/cards".to_owned()),
        ("POST", format!("/v1/accounts/{account_id}/top_ups")),
        ("PATCH", format!("/v1/cards/{card_id}")),
        ("POST", format!("/v1/cards/{card_id}/freeze")),
        ("POST", format!("/v1/cards/{card_id}/activate")),
        ("POST", format!("/v1/cards/{card_id}/reveal")),
    ]
}

impl Switch {
    fn send(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.address))
            .header("authorization", format!("Bearer {KEY}"))
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        let mut answer = self.http.run(request).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), text)
    }

    fn create(&self, path: &str, body: &str) -> String {
        let (status, text) = self.send("POST", path, body.as_bytes());
        assert!(status < 300, "{text}");
        let id = text.split("\"id\":\"").nth(1).unwrap();
        id[..id.find('"').unwrap()].to_owned()
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((route, body)) = input.split_first() else {
        return;
    };
    let switch = &*SWITCH;
    let (method, path) = &switch.routes[usize::from(*route) % switch.routes.len()];
    let (status, text) = switch.send(method, path, body);
    assert!(status < 500, "{method} {path}: {status} {text}");
    if status >= 400 {
        assert!(text.starts_with("{\"error\":{\"type\":"), "{text}");
    }
});

//! MCP over WebSocket towards clients: `GET /ws`.

use portcullis_tests::gateway::{Gateway, Home, standard};
use portcullis_tests::http::Request;
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{json, upstream};

/// What the SDKs' WebSocket clients can do without a credential.
const GUESTS: &str = "auth: {anonymous: {roles: [tester]}}\n";

fn gateway() -> Gateway {
    let entry = format!("{{url: \"{}\"}}", upstream::everything());
    let upstreams = [("demo", "{builtin: demo}"), ("all", entry.as_str())];
    Home::open().serve(&standard(&upstreams, GUESTS)).listing(&["all__echo".to_owned()])
}

/// A request for a WebSocket (RFC 6455 §1.3).
fn upgrade() -> Request {
    Request::new("GET", "/ws")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

#[test]
fn clients_call_and_are_asked_over_a_websocket() {
    let gateway = gateway();
    let url = gateway.url("/ws").replace("http://", "ws://");
    for sdk in [Sdk::Python1, Sdk::TypeScript1] {
        let calls = json!([
            {"name": "demo__add", "arguments": {"a": 1, "b": 2}},
            {"name": "all__trigger-sampling-request", "arguments": {"prompt": "hello", "maxTokens": 10}},
            {"op": "prompt", "name": "all__args-prompt", "arguments": {"city": "Bern"}},
        ]);
        let answers = json!({"sampling": "forty-two"});
        let script = json!({"transport": "ws", "url": url, "headers": {}, "calls": calls, "answers": answers});
        let report = sdk.perform(&script).unwrap_or_else(|said| panic!("{sdk:?} gave up: {said}"));
        let call = |index: usize| &report["calls"][index];
        assert_eq!(call(0)["result"]["content"][0]["text"], "3", "{sdk:?}: {report}");
        assert!(call(1)["result"].to_string().contains("forty-two"), "{sdk:?}: {report}");
        let message = &call(2)["result"]["messages"][0];
        assert_eq!(message["content"]["text"], "What's weather in Bern?", "{sdk:?}: {report}");
    }
}

#[test]
fn what_is_no_upgrade_or_comes_from_a_foreign_page_is_refused() {
    let gateway = gateway();
    assert_eq!(gateway.client().at("/ws").get().status, 400);
    assert_eq!(gateway.client().at("/ws").post("{}").status, 405);
    let request = upgrade().header("Origin", "https://evil.example");
    assert_eq!(request.send(gateway.main).status, 403);
}

#[test]
fn nobody_unknown_gets_a_websocket() {
    let gateway = Gateway::over(&[]);
    let request = upgrade();
    assert_eq!(request.send(gateway.main).status, 401);
}

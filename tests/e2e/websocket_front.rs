//! MCP over WebSocket towards clients: `GET /ws`.

use portcullis_tests::gateway::Gateway;
use portcullis_tests::http::Request;
use portcullis_tests::json;
use portcullis_tests::sdk::Sdk;

use crate::fronts::{assert_served, gateway};

/// What the SDKs' WebSocket clients can do without a credential.
const GUESTS: &str = "auth: {anonymous: {roles: [tester]}}\n";

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
    let gateway = gateway(GUESTS);
    let url = gateway.url("/ws").replace("http://", "ws://");
    for sdk in [Sdk::Python1, Sdk::TypeScript1] {
        assert_served(sdk, "ws", &url, &json!({}));
    }
}

#[test]
fn what_is_no_upgrade_or_comes_from_a_foreign_page_is_refused() {
    let gateway = gateway(GUESTS);
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

//! Clients with a handshake: sessions, revisions, notifications.

use super::*;
use crate::mcp::session::Bearer;

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

#[tokio::test]
async fn calls_without_a_session_are_served_for_themselves() {
    let front = Front::new();
    assert_eq!(front.post(&[], PING).await.status, 200);
    let request = front.passed();
    assert_eq!((request.version, request.session.is_none()), (Version::ASSUMED, true));
}

#[tokio::test]
async fn a_session_says_the_revision_and_the_header_may_say_another() {
    let front = Front::new();
    let id = front.session("apiKey:ci", Version::V2025_11_25);
    front.post(&[("mcp-session-id", &id)], PING).await;
    let request = front.passed();
    assert_eq!((request.version, request.session.is_some()), (Version::V2025_11_25, true));
    front.post(&[("mcp-session-id", &id), ("mcp-protocol-version", "2025-06-18")], PING).await;
    assert_eq!(front.passed().version, Version::V2025_06_18);
}

#[tokio::test]
async fn a_session_is_nobody_elses() {
    let front = Front::new();
    let theirs = front.session("apiKey:other", Version::NEWEST_LEGACY);
    for id in [&*theirs, "nonsense", "", "\u{e9}"] {
        for body in [PING, INITIALIZED] {
            let answered = front.post(&[("mcp-session-id", id)], body).await;
            assert_eq!((answered.status, answered.code()), (404, -31404), "{id}");
        }
        assert_eq!(front.send(Method::DELETE, "/mcp", &[("mcp-session-id", id)], "").await.status, 404);
    }
    assert!(front.nothing_passed());
    assert!(front.sessions.get(&theirs, Bearer { principal: "apiKey:other", server: None }).is_some());
}

#[tokio::test]
async fn a_session_is_of_no_use_at_another_path() {
    let front = Front::new();
    let at = |server| front.session_at(server, "apiKey:ci", Version::NEWEST_LEGACY);
    for (id, path) in [(at(None), "/servers/crm/mcp"), (at(Some("crm")), "/mcp"), (at(Some("erp")), "/servers/crm/mcp")]
    {
        for method in [Method::POST, Method::DELETE] {
            assert_eq!(front.send(method, path, &[("mcp-session-id", &id)], PING).await.status, 404, "{path}");
        }
    }
    assert!(front.nothing_passed());
}

#[tokio::test]
async fn a_session_ends_when_its_client_says_so() {
    let front = Front::new();
    for (server, path) in [(None, "/mcp"), (Some("crm"), "/servers/crm/mcp")] {
        let id = front.session_at(server, "apiKey:ci", Version::NEWEST_LEGACY);
        let ended = front.send(Method::DELETE, path, &[("mcp-session-id", &id)], "").await;
        assert_eq!((ended.status, ended.body.as_str()), (204, ""));
        let request = front.passed();
        assert_eq!((request.operation, &request.session.unwrap().id), (Operation::SessionEnded, &id));
        assert_eq!(front.send(Method::DELETE, path, &[("mcp-session-id", &id)], "").await.status, 404);
        assert_eq!(front.send(Method::DELETE, path, &[], "").await.status, 400);
    }
}

#[tokio::test]
async fn a_revision_we_do_not_serve_is_refused_except_to_initialize() {
    for version in ["1999-01-01", "2024-10-07", "", "2027-01-01"] {
        let front = Front::new();
        let answered = front.post(&[("mcp-protocol-version", version)], PING).await;
        assert_eq!((answered.status, answered.code()), (400, -32600), "{version}");
        let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
        assert_eq!(front.post(&[("mcp-protocol-version", version)], initialize).await.status, 200);
        assert_eq!(front.passed().operation, Operation::Initialize);
    }
}

#[tokio::test]
async fn notifications_and_responses_are_accepted() {
    let front = Front::new();
    for (body, operation) in [
        (INITIALIZED, Operation::Notified),
        (r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#, Operation::Cancelled),
        (r#"{"jsonrpc":"2.0","method":"notifications/of/tomorrow"}"#, Operation::Notified),
    ] {
        let answered = front.post(&[], body).await;
        assert_eq!((answered.status, answered.body.as_str()), (202, ""));
        assert_eq!(front.passed().operation, operation);
    }
    for body in [r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, r#"{"jsonrpc":"2.0","id":1,"error":{}}"#] {
        assert_eq!(front.post(&[], body).await.status, 202);
    }
    assert!(front.nothing_passed());
}

#[tokio::test]
async fn a_request_without_an_id_is_none() {
    for method in ["tools/call", "ping", "initialize"] {
        let front = Front::new();
        let answered = front.post(&[], &format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#)).await;
        assert_eq!((answered.status, answered.code()), (400, -32600));
        assert!(front.nothing_passed());
    }
}

#[tokio::test]
async fn unknown_methods_are_refused_with_200() {
    for method in ["server/discover", "subscriptions/listen", "tasks/update", "TOOLS/CALL", ""] {
        let answered = Front::new().post(&[], &format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#)).await;
        assert_eq!((answered.status, answered.code(), &answered.json()["id"]), (200, -32601, &Value::from(1)));
    }
}

#[tokio::test]
async fn a_progress_token_is_no_longer_than_an_id() {
    let call = |length: usize| {
        let token = "t".repeat(length);
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"crm__find","_meta":{{"progressToken":"{token}"}}}}}}"#
        )
    };
    assert_eq!(Front::new().post(&[], &call(1022)).await.status, 200);
    let refused = Front::new().post(&[], &call(1023)).await;
    assert_eq!((refused.status, refused.code()), (200, -32602));
}

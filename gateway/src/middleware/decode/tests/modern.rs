//! Stateless clients: the ladder of checks, each rung over the next.

use super::*;

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
const VERSION: (&str, &str) = ("mcp-protocol-version", "2026-07-28");
const CALL: (&str, &str) = ("mcp-method", "tools/call");

fn call() -> String {
    format!(r#"{{"jsonrpc":"2.0","id":"q","method":"tools/call","params":{{"name":"crm__find",{META}}}}}"#)
}

fn with_meta(method: &str, meta: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":"q","method":"{method}","params":{{"name":"crm__find","_meta":{meta}}}}}"#)
}

#[tokio::test]
async fn a_whole_request_passes_without_a_session() {
    let front = Front::new();
    let headers = [
        VERSION,
        CALL,
        ("mcp-name", "crm__find"),
        ("mcp-session-id", "ignored"),
        ("mcp-param-region", "eu"),
        ("x-other", "1"),
    ];
    assert_eq!(front.post(&headers, &call()).await.status, 200);
    let request = front.passed();
    assert_eq!((request.version, request.session.is_none()), (Version::MODERN, true));
    assert_eq!(
        request.mirrored.as_ref().unwrap().keys().map(http::HeaderName::as_str).collect::<Vec<_>>(),
        ["mcp-param-region"]
    );
}

#[tokio::test]
async fn an_encoded_name_is_compared_decoded() {
    let front = Front::new();
    let headers = [VERSION, CALL, ("mcp-name", "=?base64?Y3JtX19maW5k?=")];
    assert_eq!(front.post(&headers, &call()).await.status, 200);
}

/// Each rung is tried with the faults of all rungs below it as well.
#[tokio::test]
async fn each_rung_is_refused_before_those_below_it() {
    const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
    const CAPABILITIES: &str = r#""io.modelcontextprotocol/clientCapabilities":{}"#;
    let unknown = "no/such";
    let meta = |version: &str| format!(r#"{{"{VERSION_KEY}":{version},{CAPABILITIES}}}"#);
    let only_version = format!(r#"{{"{VERSION_KEY}":"1999"}}"#);
    for (what, headers, body, code) in [
        ("no JSON", vec![VERSION], "{".to_owned(), -32700),
        ("an array", vec![VERSION], format!("[{}]", call()), -32600),
        ("a response", vec![VERSION], r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(), -32600),
        ("no _meta", vec![VERSION], r#"{"jsonrpc":"2.0","id":"q","method":"no/such"}"#.to_owned(), -32602),
        ("a malformed _meta", vec![VERSION], with_meta(unknown, "7"), -32602),
        ("a version that is no string", vec![], with_meta(unknown, &meta("7")), -32602),
        ("no capabilities", vec![VERSION], with_meta(unknown, &only_version), -32602),
        ("the header differs", vec![VERSION], with_meta(unknown, &meta("\"1999\"")), -32020),
        ("not served", vec![("mcp-protocol-version", "1999")], with_meta(unknown, &meta("\"1999\"")), -32022),
        ("not served, no header", vec![], with_meta(unknown, &meta("\"1999\"")), -32022),
        ("a legacy one", vec![], with_meta(unknown, &meta("\"2025-06-18\"")), -32022),
        ("no version header", vec![], with_meta(unknown, &meta("\"2026-07-28\"")), -32020),
        ("the header twice", vec![VERSION, VERSION], call(), -32020),
        ("no method header", vec![VERSION], with_meta(unknown, &meta("\"2026-07-28\"")), -32020),
        ("another method", vec![VERSION, ("mcp-method", "tools/list")], call(), -32020),
        ("the case differs", vec![VERSION, ("mcp-method", "Tools/Call")], call(), -32020),
        ("no name header", vec![VERSION, CALL], call(), -32020),
        ("another name", vec![VERSION, CALL, ("mcp-name", "crm__drop")], call(), -32020),
        ("bad padding", vec![VERSION, CALL, ("mcp-name", "=?base64?Y3JtX19maW5kYQ?=")], call(), -32020),
    ] {
        let front = Front::new();
        let answered = front.post(&headers, &body).await;
        assert_eq!((answered.status, answered.code()), (400, code), "{what}: {}", answered.body);
        assert!(front.nothing_passed());
        if body.contains("\"q\"") && !body.starts_with('[') {
            assert_eq!(answered.json()["id"], "q", "{what}");
        }
        if code == -32022 {
            assert_eq!(answered.json()["error"]["data"]["supported"][0], "2026-07-28");
        }
    }
}

#[tokio::test]
async fn methods_that_were_removed_are_unknown_with_404() {
    for method in ["initialize", "ping", "logging/setLevel", "no/such"] {
        let body = with_meta(method, META.strip_prefix("\"_meta\":").unwrap());
        let answered = Front::new().post(&[VERSION, ("mcp-method", method)], &body).await;
        assert_eq!(
            (answered.status, answered.code(), &answered.json()["id"]),
            (404, -32601, &Value::from("q")),
            "{method}"
        );
    }
}

#[tokio::test]
async fn bad_parameters_are_answered_with_200() {
    let body = format!(r#"{{"jsonrpc":"2.0","id":"q","method":"tools/call","params":{{{META}}}}}"#);
    let answered = Front::new().post(&[VERSION, CALL], &body).await;
    assert_eq!((answered.status, answered.code()), (200, -32602));
}

#[tokio::test]
async fn a_notification_follows_its_header() {
    let front = Front::new();
    let body = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    const METHOD: (&str, &str) = ("mcp-method", "notifications/cancelled");
    assert_eq!(front.post(&[VERSION, METHOD, ("mcp-session-id", "ignored")], body).await.status, 202);
    assert_eq!(front.passed().version, Version::MODERN);
    let of = |version: &str| {
        body.replace("7", &format!(r#"7,"_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}"}}"#))
    };
    let later = ("mcp-protocol-version", "2099-01-01");
    for (headers, body, expected) in [
        (&[VERSION, METHOD][..], of("2026-07-28"), None),
        (&[VERSION], body.to_owned(), Some(-32020)),
        (&[VERSION, CALL], body.to_owned(), Some(-32020)),
        (&[METHOD], of("2026-07-28"), Some(-32020)),
        (&[VERSION, METHOD], of("2025-11-25"), Some(-32020)),
        (&[later, METHOD], of("2099-01-01"), Some(-32022)),
    ] {
        let answered = Front::new().post(headers, &body).await;
        match expected {
            None => assert_eq!(answered.status, 202, "{body}"),
            Some(code) => assert_eq!((answered.status, answered.code()), (400, code), "{headers:?} {body}"),
        }
    }
}

#[tokio::test]
async fn initialize_without_the_reserved_key_begins_a_handshake_whatever_the_header_says() {
    let front = Front::new();
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2026-07-28"}}"#;
    assert_eq!(front.post(&[VERSION], body).await.status, 200);
    assert_eq!(front.passed().operation, Operation::Initialize);
}

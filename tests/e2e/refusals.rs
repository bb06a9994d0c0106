//! Bad input: each gets a bounded, clear refusal, and the gateway goes on.
//! Authentication, limits and the ladder of 2026-07-28 have their own modules.

mod hostile;

use portcullis_tests::client::message;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::http::{Reply, Request};
use portcullis_tests::json;
use portcullis_tests::scripted::Scripted;

fn over(upstream: &Scripted) -> Gateway {
    Gateway::over(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))])
}

/// Posts a body and expects this status and JSON-RPC code, and an answer that says what to do.
fn assert_refused(gateway: &Gateway, body: impl Into<Vec<u8>>, status: u16, code: i64) -> Reply {
    let reply = gateway.client().post(body);
    assert_eq!(reply.status, status, "{}", reply.text());
    let error = reply.json()["error"].clone();
    assert_eq!(error["code"], code, "{}", reply.text());
    assert!(error["message"].as_str().is_some_and(|message| message.len() > 3), "{error}");
    reply
}

#[test]
fn what_is_not_json_is_refused() {
    let gateway = Gateway::over(&[]);
    for body in ["", "{", "hello", "{\"jsonrpc\": \"2.0\",}", "{\"a\": 01}"] {
        assert_refused(&gateway, body, 400, -32700);
    }
}

#[test]
fn what_is_not_json_rpc_is_refused() {
    let gateway = Gateway::over(&[]);
    let bodies = [
        "{}",
        "1",
        "null",
        "\"text\"",
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":3}"#,
    ];
    for body in bodies {
        assert_refused(&gateway, body, 400, -32600);
    }
}

#[test]
fn an_id_of_null_is_refused() {
    let gateway = Gateway::over(&[]);
    assert_refused(&gateway, r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, 400, -32600);
}

#[test]
fn duplicate_keys_are_refused() {
    let gateway = Gateway::over(&[]);
    assert_refused(&gateway, r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}"#, 400, -32600);
}

#[test]
fn invalid_utf_8_is_refused() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let mut body =
        message("tools/call", &json!({"name": "up__echo", "arguments": {"text": "?"}})).to_string().into_bytes();
    let mark = body.iter().position(|byte| *byte == b'?').unwrap();
    body[mark] = 0xFF;
    assert_refused(&gateway, body, 400, -32700);
    assert!(upstream.executed("echo").is_empty());
}

#[test]
fn an_unknown_method_is_named_as_such() {
    let gateway = Gateway::over(&[]);
    let reply = assert_refused(&gateway, message("tools/destroy", &json!({})).to_string(), 200, -32601);
    assert_eq!(reply.json()["id"], 1);
}

#[test]
fn an_unknown_tool_is_named_as_such() {
    let gateway = Gateway::over(&[]);
    let call = message("tools/call", &json!({"name": "nobody__knows", "arguments": {}}));
    assert_refused(&gateway, call.to_string(), 200, -32602);
}

#[test]
fn a_call_without_a_name_is_refused() {
    let gateway = Gateway::over(&[]);
    for params in [json!({}), json!({"name": 3}), json!({"name": ""}), json!({"name": "up__echo", "arguments": []})] {
        assert_refused(&gateway, message("tools/call", &params).to_string(), 200, -32602);
    }
}

#[test]
fn arguments_that_do_not_fit_the_schema_are_named() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    gateway.client().tools();
    for arguments in [json!({}), json!({"count": "three"})] {
        let reply = gateway.client().call("up__strict", &arguments);
        assert_eq!(reply.status, 200);
        let result = reply.json()["result"].clone();
        assert_eq!(result["isError"], true, "{}", reply.text());
        assert!(result["content"][0]["text"].as_str().is_some_and(|text| text.contains("count")), "{result}");
    }
    assert!(upstream.executed("strict").is_empty(), "the upstream never saw them");
    assert!(gateway.client().text_of("up__strict", &json!({"count": 3})).contains('3'));
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let gateway = Gateway::over_with(&[], "limits: {maxBody: 64KiB, drainTimeout: 1s}");
    let padded = |bytes: usize| message("ping", &json!({"padding": "x".repeat(bytes)})).to_string();
    assert_eq!(gateway.client().post(padded(60 * 1024)).status, 200);
    assert_eq!(gateway.client().post(padded(70 * 1024)).status, 413);
}

#[test]
fn a_chunked_body_over_the_limit_is_refused_too() {
    let gateway = Gateway::over_with(&[], "limits: {maxBody: 64KiB, drainTimeout: 1s}");
    let mut body = Vec::new();
    for _ in 0..20 {
        body.extend_from_slice(format!("{:x}\r\n{}\r\n", 8192, "x".repeat(8192)).as_bytes());
    }
    body.extend_from_slice(b"0\r\n\r\n");
    let request = gateway.client().prepare(body).header("Transfer-Encoding", "chunked");
    assert_eq!(gateway.client().send(&request).status, 413);
}

#[test]
fn a_content_type_other_than_json_is_refused() {
    let gateway = Gateway::over(&[]);
    let ping = message("ping", &json!({})).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        assert_eq!(gateway.client().with("Content-Type", kind).post(ping.as_str()).status, 415, "{kind}");
    }
    for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        assert_eq!(gateway.client().with("Content-Type", kind).post(ping.as_str()).status, 200, "{kind}");
    }
}

#[test]
fn an_accept_header_that_excludes_every_answer_is_refused() {
    let gateway = Gateway::over(&[]);
    assert_eq!(gateway.client().with("Accept", "text/html").request("ping", &json!({})).status, 406);
}

#[test]
fn an_unknown_path_is_not_found() {
    let gateway = Gateway::over(&[]);
    for path in ["/", "/mcp/nothing", "/servers/none/mcp", "/../etc/passwd"] {
        assert_eq!(gateway.client().at(path).request("ping", &json!({})).status, 404, "{path}");
    }
}

#[test]
fn an_address_outside_the_allowlist_is_refused_everywhere_but_health() {
    let gateway = Gateway::over_with(&[], "network: {allow: [10.0.0.0/8]}");
    assert_eq!(gateway.client().request("ping", &json!({})).status, 403);
    assert_eq!(gateway.client().at("/health").get().status, 200);
}

#[test]
fn only_a_trusted_proxy_may_say_where_a_call_came_from() {
    let ping = |gateway: &Gateway, from: &str| {
        gateway.client().with("X-Forwarded-For", from).request("ping", &json!({})).status
    };
    let trusting = Gateway::over_with(&[], "network: {allow: [10.0.0.0/8], trustedProxies: [127.0.0.1]}");
    assert_eq!(ping(&trusting, "10.1.2.3"), 200);
    assert_eq!(ping(&trusting, "192.0.2.1"), 403);
    // What the client wrote before the proxy's own entry counts for nothing.
    assert_eq!(ping(&trusting, "10.1.2.3, 192.0.2.1"), 403);
    let wary = Gateway::over_with(&[], "network: {allow: [10.0.0.0/8]}");
    assert_eq!(ping(&wary, "10.1.2.3"), 403);
}

#[test]
fn a_denied_address_is_refused_although_its_network_is_allowed() {
    let gateway = Gateway::over_with(&[], "network: {allow: [127.0.0.0/8], deny: [127.0.0.1]}");
    assert_eq!(gateway.client().request("ping", &json!({})).status, 403);
}

#[test]
fn an_origin_that_is_not_allowed_is_refused() {
    let gateway = Gateway::over_with(&[], "allowedOrigins: [\"https://console.example.com\"]");
    let ping = |origin: &str| gateway.client().with("Origin", origin).request("ping", &json!({})).status;
    assert_eq!(ping("https://evil.example.com"), 403);
    assert_eq!(ping("null"), 403);
    assert_eq!(ping("https://console.example.com"), 200);
}

#[test]
fn a_page_of_an_allowed_origin_may_read_the_answers() {
    let gateway = Gateway::over_with(&[], "allowedOrigins: [\"https://console.example.com\"]");
    let page = |origin: &str| gateway.client().with("Origin", origin).request("ping", &json!({}));
    assert_eq!(
        page("https://console.example.com").header("Access-Control-Allow-Origin"),
        "https://console.example.com"
    );
    assert_eq!(page("https://evil.example.com").header("Access-Control-Allow-Origin"), "");

    let preflight = Request::new("OPTIONS", "/mcp")
        .header("Origin", "https://console.example.com")
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "x-api-key, content-type")
        .send(gateway.main);
    assert_eq!(preflight.header("Access-Control-Allow-Origin"), "https://console.example.com");
    assert!(preflight.header("Access-Control-Allow-Headers").contains("x-api-key"), "{preflight:?}");
}

#[test]
fn a_foreign_host_on_loopback_is_refused() {
    // Otherwise a web page could reach us by a name of its own that resolves to loopback.
    let gateway = Gateway::over(&[]);
    let rebound = gateway.client().with("Host", "evil.example.com").request("ping", &json!({}));
    assert_eq!(rebound.status, 403);
    assert!(rebound.text().contains("localhost"), "{}", rebound.text());
}

#[test]
fn refusals_carry_the_request_id() {
    let gateway = Gateway::over(&[]);
    let request = Request::new("POST", "/mcp").header("X-Request-ID", "find-me").body("{}");
    assert_eq!(gateway.client().send(&request).header("X-Request-ID"), "find-me");
}

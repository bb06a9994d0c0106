//! The stateless revision, 2026-07-28: what works, and every step of the ladder
//! of checks that a request climbs first.

use portcullis_tests::client::{MODERN, modern, names};
use portcullis_tests::gateway::Gateway;
use portcullis_tests::http::{Reply, Request};
use portcullis_tests::scripted::Scripted;
use portcullis_tests::{Value, json};

fn over(upstream: &Scripted) -> Gateway {
    Gateway::over(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))])
}

fn echo() -> Value {
    json!({"name": "up__echo", "arguments": {"text": "hello"}})
}

fn assert_refused(reply: &Reply, status: u16, code: i64) {
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (status, &json!(code)), "{}", reply.text());
}

/// A proper `tools/call`, changed before it is sent.
fn changed(gateway: &Gateway, change: impl FnOnce(&mut Request)) -> Reply {
    let mut request = gateway.client().prepare_modern("tools/call", &echo());
    change(&mut request);
    gateway.client().send(&request)
}

/// A proper `tools/call` whose metadata is changed before it is sent.
fn with_meta(gateway: &Gateway, change: impl FnOnce(&mut Value)) -> Reply {
    let mut body = modern("tools/call", &echo());
    change(&mut body["params"]["_meta"]);
    gateway.client().send(&gateway.client().prepare_modern_body(&body))
}

#[test]
fn a_tool_of_an_upstream_of_either_era_is_called() {
    for upstream in [Scripted::legacy(), Scripted::modern()] {
        let gateway = over(&upstream);
        let reply = gateway.client().modern("tools/call", &echo());
        assert_eq!(reply.status, 200, "{}", reply.text());
        let result = reply.json()["result"].clone();
        assert!(result["content"][0]["text"].as_str().is_some_and(|text| text.contains("hello")), "{result}");
        assert_eq!(result["resultType"], "complete");
        assert_eq!(reply.json()["id"], 1);
    }
}

#[test]
fn no_session_is_minted() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let reply = changed(&gateway, |request| request.headers.set("Mcp-Session-Id", "ignored"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.headers.get("Mcp-Session-Id"), None);
}

#[test]
fn a_list_says_how_long_it_may_be_kept() {
    let upstream = Scripted::modern();
    let gateway = over(&upstream);
    let reply = gateway.client().modern("tools/list", &json!({}));
    assert!(names(&reply).contains(&"up__echo".to_owned()));
    let result = reply.json()["result"].clone();
    assert_eq!(result["resultType"], "complete");
    assert!(result["ttlMs"].is_u64(), "{result}");
    assert_eq!(result["cacheScope"], "private", "it is filtered for this caller");
}

#[test]
fn discovery_names_the_revisions_newest_first() {
    let gateway = Gateway::over(&[]);
    let reply = gateway.client().modern("server/discover", &json!({}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let result = reply.json()["result"].clone();
    assert_eq!(result["supportedVersions"][0], MODERN);
    assert!(result["capabilities"]["tools"].is_object(), "{result}");
    assert!(result["ttlMs"].is_u64() && result["cacheScope"].is_string(), "{result}");
    assert_eq!(result["resultType"], "complete");
}

#[test]
fn a_modern_upstream_gets_the_headers_that_mirror_its_own_body() {
    let upstream = Scripted::modern();
    let gateway = over(&upstream);
    assert_eq!(gateway.client().modern("tools/call", &echo()).status, 200);
    let seen = upstream.executed("echo").remove(0);
    assert_eq!(seen.headers.get("MCP-Protocol-Version"), Some(MODERN));
    assert_eq!(seen.headers.get("Mcp-Method"), Some("tools/call"));
    assert_eq!(seen.headers.get("Mcp-Name"), Some("echo"));
    assert_eq!(seen.body["params"]["name"], "echo");
    assert_eq!(seen.body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], MODERN);
}

#[test]
fn a_legacy_upstream_gets_none_of_the_modern_metadata() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    assert_eq!(gateway.client().modern("tools/call", &echo()).status, 200);
    let seen = upstream.executed("echo").remove(0);
    assert!(!seen.body.to_string().contains("io.modelcontextprotocol/clientCapabilities"), "{}", seen.body);
}

#[test]
fn missing_metadata_is_refused() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    assert_refused(
        &with_meta(&gateway, |meta| meta["io.modelcontextprotocol/clientCapabilities"] = json!(3)),
        400,
        -32602,
    );
    let remove = |meta: &mut Value, key: &str| meta.as_object_mut().unwrap().remove(key);
    let reply = with_meta(&gateway, |meta| drop(remove(meta, "io.modelcontextprotocol/clientCapabilities")));
    assert_refused(&reply, 400, -32602);
    // The header alone says which revision is spoken.
    let reply = with_meta(&gateway, |meta| drop(remove(meta, "io.modelcontextprotocol/protocolVersion")));
    assert_refused(&reply, 400, -32602);
    assert_refused(&with_meta(&gateway, |meta| *meta = json!({})), 400, -32602);
    assert!(upstream.executed("echo").is_empty());
}

#[test]
fn a_version_header_that_differs_from_the_body_is_refused() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    assert_refused(
        &changed(&gateway, |request| request.headers.set("MCP-Protocol-Version", "2025-11-25")),
        400,
        -32020,
    );
    assert_refused(&changed(&gateway, |request| request.headers.remove("MCP-Protocol-Version")), 400, -32020);
}

#[test]
fn a_version_that_is_not_served_is_refused_with_those_that_are() {
    let gateway = Gateway::over(&[]);
    for version in ["2099-01-01", "2025-06-18"] {
        let mut body = modern("tools/list", &json!({}));
        body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = version.into();
        let mut request = gateway.client().prepare_modern_body(&body);
        request.headers.set("MCP-Protocol-Version", version);
        let reply = gateway.client().send(&request);
        assert_refused(&reply, 400, -32022);
        let data = reply.json()["error"]["data"].clone();
        assert_eq!(data["requested"], version);
        assert!(data["supported"].as_array().is_some_and(|known| known.contains(&json!(MODERN))), "{data}");
    }
}

#[test]
fn a_header_that_names_another_method_is_refused() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    assert_refused(&changed(&gateway, |request| request.headers.set("Mcp-Method", "tools/list")), 400, -32020);
    assert_refused(&changed(&gateway, |request| request.headers.remove("Mcp-Method")), 400, -32020);
    assert_refused(&changed(&gateway, |request| request.headers.push("Mcp-Method", "tools/call")), 400, -32020);
}

#[test]
fn a_header_that_names_another_tool_is_refused() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    for name in ["up__fail", "UP__ECHO", "=?base64?!!!?="] {
        assert_refused(&changed(&gateway, |request| request.headers.set("Mcp-Name", name)), 400, -32020);
    }
    assert_refused(&changed(&gateway, |request| request.headers.remove("Mcp-Name")), 400, -32020);
    assert!(upstream.executed("echo").is_empty() && upstream.executed("fail").is_empty());
}

#[test]
fn a_name_in_base64_is_decoded_before_it_is_compared() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    // "up__echo"
    let reply = changed(&gateway, |request| request.headers.set("Mcp-Name", "=?base64?dXBfX2VjaG8=?="));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn an_argument_that_a_header_mirrors_must_be_mirrored() {
    let upstream = Scripted::modern();
    let gateway = over(&upstream);
    gateway.client().tools();
    let call = json!({"name": "up__mirrored", "arguments": {"region": "eu"}});
    let mirrored = |value: Option<&str>| {
        let mut request = gateway.client().prepare_modern("tools/call", &call);
        if let Some(value) = value {
            request.headers.set("Mcp-Param-Region", value);
        }
        gateway.client().send(&request)
    };
    assert_refused(&mirrored(None), 400, -32020);
    assert_refused(&mirrored(Some("us")), 400, -32020);
    assert!(upstream.executed("mirrored").is_empty());
    assert_eq!(mirrored(Some("eu")).status, 200);
    let seen = upstream.executed("mirrored").remove(0);
    assert_eq!(seen.headers.get("Mcp-Param-Region"), Some("eu"));
}

#[test]
fn an_old_client_needs_no_mirror_of_its_arguments() {
    let upstream = Scripted::modern();
    let gateway = over(&upstream);
    gateway.client().text_of("up__mirrored", &json!({"region": "eu"}));
    let seen = upstream.executed("mirrored").remove(0);
    assert_eq!(seen.headers.get("Mcp-Param-Region"), Some("eu"));
}

#[test]
fn a_tool_with_an_impossible_mirror_is_left_out_of_the_list() {
    let upstream = Scripted::modern();
    let gateway = over(&upstream);
    let tools = names(&gateway.client().modern("tools/list", &json!({})));
    assert!(tools.contains(&"up__mirrored".to_owned()), "{tools:?}");
    assert!(!tools.contains(&"up__mirrored_badly".to_owned()), "{tools:?}");
}

#[test]
fn a_posted_response_is_refused() {
    let gateway = Gateway::over(&[]);
    let client = gateway.client().with("MCP-Protocol-Version", MODERN);
    assert_refused(&client.post(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), 400, -32600);
}

#[test]
fn unknown_and_removed_methods_are_not_found() {
    let gateway = Gateway::over(&[]);
    for method in ["tools/destroy", "initialize", "ping", "logging/setLevel"] {
        assert_refused(&gateway.client().modern(method, &json!({})), 404, -32601);
    }
}

#[test]
fn an_unknown_tool_is_an_error_of_parameters() {
    let gateway = Gateway::over(&[]);
    let reply = gateway.client().modern("tools/call", &json!({"name": "nobody__knows", "arguments": {}}));
    assert_refused(&reply, 200, -32602);
}

#[test]
fn errors_echo_the_request_id_with_its_type() {
    let gateway = Gateway::over(&[]);
    for id in [json!("seven"), json!(7), json!(0)] {
        let mut body = modern("tools/destroy", &json!({}));
        body["id"] = id.clone();
        let reply = gateway.client().send(&gateway.client().prepare_modern_body(&body));
        assert_eq!(reply.json()["id"], id);
    }
}

#[test]
fn a_batch_is_refused() {
    let gateway = Gateway::over(&[]);
    let mut request = gateway.client().prepare_modern("tools/list", &json!({}));
    request.body = format!("[{}]", modern("tools/list", &json!({}))).into_bytes();
    assert_refused(&gateway.client().send(&request), 400, -32600);
}

#[test]
fn an_accepted_notification_gets_an_empty_202() {
    let gateway = Gateway::over(&[]);
    let mut body = modern("notifications/cancelled", &json!({"requestId": 99}));
    body.as_object_mut().unwrap().remove("id");
    let reply = gateway.client().send(&gateway.client().prepare_modern_body(&body));
    assert_eq!((reply.status, reply.body.len()), (202, 0));
}

#[test]
fn get_and_delete_are_not_allowed() {
    let gateway = Gateway::over(&[]);
    let client = gateway.client().with("MCP-Protocol-Version", MODERN);
    for method in ["GET", "DELETE"] {
        let mut request = client.prepare("");
        request.method = method.to_owned();
        let reply = client.send(&request);
        assert_eq!(reply.status, 405, "{method}");
        assert!(reply.header("Allow").contains("POST"));
    }
}

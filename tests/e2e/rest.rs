//! The REST flavour of lists and calls, for those who speak no JSON-RPC.

use portcullis_tests::client::Client;
use portcullis_tests::gateway::{Gateway, Home, standard};
use portcullis_tests::scripted::Scripted;
use portcullis_tests::{Value, json};

const VERSIONS: [&str; 2] = ["v1", "v2"];

fn over(upstream: &Scripted) -> Gateway {
    Gateway::over(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))])
}

fn invoke(client: &Client, version: &str, body: &Value) -> (u16, Value) {
    let reply = client.clone().at(&format!("/mcp/{version}/tools/invoke")).post(body.to_string());
    (reply.status, reply.json())
}

#[test]
fn tools_are_listed_with_their_schemas() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    for version in VERSIONS {
        let reply = gateway.client().at(&format!("/mcp/{version}/tools")).get();
        assert_eq!(reply.status, 200, "{}", reply.text());
        let tools = reply.json()["tools"].as_array().unwrap().clone();
        let strict = tools.iter().find(|tool| tool["name"] == "up__strict").expect("the upstream's tool");
        assert_eq!(strict["description"], "scripted: strict");
        assert_eq!(strict["input_schema"]["required"], json!(["count"]));
    }
}

#[test]
fn a_tool_is_invoked() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    for version in VERSIONS {
        let (status, answer) = invoke(&gateway.client(), version, &json!({"name": "up__echo", "arguments": {"a": 1}}));
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["success"], true, "{answer}");
        assert!(answer["result"].to_string().contains("\\\"a\\\":1"), "{answer}");
        assert!(answer.get("error").is_none_or(Value::is_null), "{answer}");
    }
}

#[test]
fn a_tool_that_fails_is_no_success() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let (status, answer) = invoke(&gateway.client(), "v1", &json!({"name": "up__fail", "arguments": {}}));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["success"], false, "{answer}");
    assert!(answer["error"].to_string().contains("failed as asked"), "{answer}");
}

#[test]
fn a_denied_tool_is_neither_listed_nor_invoked() {
    let upstream = Scripted::legacy();
    let policies = "policies:\n  - {name: one, subjects: {roles: [tester]}, tools: {allow: [\"up__echo\"]}}\n";
    let entry = format!("{{url: \"{}\"}}", upstream.url());
    let gateway = Home::with_policies(policies).serve(&standard(&[("up", &entry)], ""));
    let listed = gateway.client().at("/mcp/v1/tools").get().json();
    assert_eq!(listed["tools"].as_array().map(Vec::len), Some(1), "{listed}");
    let (_, answer) = invoke(&gateway.client(), "v1", &json!({"name": "up__fail", "arguments": {}}));
    assert_eq!(answer["success"], false, "{answer}");
    assert!(upstream.executed("fail").is_empty());
}

#[test]
fn a_body_that_is_no_call_is_refused() {
    let gateway = Gateway::over(&[]);
    for body in ["{", "[]", "{}", r#"{"name": 3}"#, r#"{"name":"a__b","name":"c__d"}"#] {
        let reply = gateway.client().at("/mcp/v1/tools/invoke").post(body);
        assert!(reply.status == 400 || reply.json()["success"] == false, "{body} → {} {}", reply.status, reply.text());
    }
}

#[test]
fn an_unreachable_upstream_is_named() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    assert!(!gateway.client().tools().is_empty());
    drop(upstream);
    let (_, answer) = invoke(&gateway.client(), "v1", &json!({"name": "up__echo", "arguments": {}}));
    assert_eq!(answer["success"], false, "{answer}");
    assert!(answer["error"].to_string().contains("up"), "{answer}");
}

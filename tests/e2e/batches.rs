//! Several messages at once, as clients of 2025-03-26 may send them.

use portcullis_tests::client::Client;
use portcullis_tests::gateway::{Gateway, Home, KEY, sha256, standard};
use portcullis_tests::http::Reply;
use portcullis_tests::patience::wait_until;
use portcullis_tests::scripted::Scripted;
use portcullis_tests::{Value, json};

const POLICIES: &str =
    "policies:\n  - {name: p, subjects: {roles: [tester]}, tools: {allow: [\"*\"], deny: [up__fail]}}\n";

fn over(upstream: &Scripted) -> Gateway {
    upstream.open_gate();
    let keys = format!(
        "auth:\n  apiKeys:\n    keys:\n      - {{name: tester, sha256: \"{}\", roles: [tester]}}\n",
        sha256(KEY)
    );
    let gateway =
        Home::with_policies(POLICIES).serve(&standard(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))], &keys));
    wait_until("the upstream's tools", || gateway.client().tools().contains(&"up__echo".to_owned()));
    gateway
}

fn session(gateway: &Gateway) -> Client {
    gateway.client().initialize("2025-03-26").1.without("MCP-Protocol-Version")
}

fn call(id: &Value, tool: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": tool, "arguments": {"said": id}, "_meta": {"progressToken": id}}})
}

fn send(client: &Client, messages: &Value) -> Reply {
    client.post(messages.to_string())
}

/// The answer to the message of an id.
fn to<'a>(answers: &'a [Value], id: &Value) -> &'a Value {
    let found: Vec<_> = answers.iter().filter(|answer| answer["id"] == *id && answer["method"].is_null()).collect();
    assert_eq!(found.len(), 1, "{id} in {answers:?}");
    found[0]
}

/// A batch of everything that a client may say.
fn mixed() -> Value {
    json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        call(&json!("two"), "up__echo"),
        call(&json!(3), "up__fail"),
        {"jsonrpc": "2.0", "id": 4, "method": "initialize", "params": {}},
        {"jsonrpc": "2.0", "id": "never-asked", "result": {}},
        {"jsonrpc": "2.0", "id": 5, "method": "no/such/method"},
        call(&json!(6), "up__progress"),
    ])
}

fn assert_answers(answers: &[Value]) {
    assert_eq!(to(answers, &json!(1))["result"], json!({}));
    let echoed = to(answers, &json!("two"))["result"]["content"][0]["text"].to_string();
    assert!(echoed.contains("two"), "{echoed}");
    for (id, code) in [(3, -32602), (4, -32600), (5, -32601)] {
        assert_eq!(to(answers, &json!(id))["error"]["code"], code, "{id}");
    }
    assert_eq!(to(answers, &json!(6))["result"]["content"][0]["text"], "done");
    assert_eq!(answers.iter().filter(|answer| answer["method"].is_null()).count(), 6);
}

#[test]
fn each_message_of_a_batch_is_answered_as_if_it_came_alone() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let client = session(&gateway).with("Accept", "application/json");
    let reply = send(&client, &mixed());
    assert_eq!(reply.status, 200);
    assert_answers(reply.json().as_array().unwrap());
    assert!(upstream.executed("fail").is_empty());
    for (tool, status) in [("up__echo", "success"), ("up__fail", "denied"), ("up__progress", "success")] {
        let labels = [("tool_name", tool), ("status", status)];
        assert_eq!(gateway.metric("mcp_tool_invocations_total", &labels), 1.0, "{tool}");
    }
}

#[test]
fn who_takes_a_stream_has_each_answer_as_it_comes() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let client = session(&gateway);
    let mut stream = client.open_prepared(&client.prepare(mixed().to_string()));
    assert_eq!(stream.headers.get("Content-Type"), Some("text/event-stream"));
    let mut answers = Vec::new();
    while let Some(message) = stream.next_event().unwrap() {
        answers.push(message);
    }
    assert_answers(&answers);
    let progress: Vec<_> = answers.iter().filter(|answer| answer["method"] == "notifications/progress").collect();
    assert!(!progress.is_empty() && progress.iter().all(|told| told["params"]["progressToken"] == 6), "{answers:?}");
}

#[test]
fn what_asks_for_nothing_is_accepted() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let told =
        json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}, {"jsonrpc": "2.0", "id": 9, "result": {}}]);
    let reply = send(&session(&gateway), &told);
    assert_eq!((reply.status, reply.text().as_str()), (202, ""));
}

#[test]
fn malformed_batches_and_those_of_other_revisions_are_refused() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let client = session(&gateway);
    assert_eq!(send(&client, &json!([])).json()["error"]["code"], -32600);
    assert_eq!(send(&client, &json!(vec![ping.clone(); 65])).json()["error"]["code"], -32600);
    assert_eq!(client.post("[{]").json()["error"]["code"], -32700);
    let odd = send(&client.with("Accept", "application/json"), &json!([7, ping])).json();
    assert_eq!((&odd[0]["error"]["code"], &odd[1]["result"]), (&json!(-32600), &json!({})), "{odd}");
    for revision in ["2025-06-18", "2025-11-25"] {
        let client = gateway.client().initialize(revision).1;
        let refused = send(&client, &json!([ping]));
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (400, &json!(-32600)), "{revision}");
    }
}

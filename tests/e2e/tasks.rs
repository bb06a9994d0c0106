//! Tasks: work that goes on when its call has been answered, by the core of
//! 2025-11-25 and by the extension of 2026-07-28. A task is its caller's alone.

mod bridged;
mod told;

use portcullis_tests::client::{Client, modern};
use portcullis_tests::gateway::{Gateway, KEY, sha256};
use portcullis_tests::http::{Reply, Request};
use portcullis_tests::patience::wait_until;
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{Value, json, upstream};

use crate::questions::pinned;

const OTHER_KEY: &str = "another-key";
pub(crate) const RESEARCH: &str = "all__simulate-research-query";
const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// A gateway that lets two callers in.
fn gateway(name: &str, url: &str) -> Gateway {
    let auth = format!(
        "auth:\n  apiKeys:\n    keys:\n      - {{name: tester, sha256: \"{}\", roles: [tester]}}\n      \
         - {{name: other, sha256: \"{}\", roles: [tester]}}\n",
        sha256(KEY),
        sha256(OTHER_KEY)
    );
    let gateway = Gateway::over_with(&[(name, &format!("{{url: \"{url}\"}}"))], &auth);
    wait_until("the upstream's tools", || !gateway.client().tools().is_empty());
    gateway
}

/// A session of 2025-11-25, and what it was offered.
fn session(client: &Client, capabilities: &Value) -> (Client, Value) {
    let info = json!({"name": "tests", "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": info});
    let reply = client.request("initialize", &params);
    let session = reply.header("Mcp-Session-Id").to_owned();
    let client = client.clone().with("MCP-Protocol-Version", "2025-11-25").with("Mcp-Session-Id", &session);
    client.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    (client, reply.json()["result"]["capabilities"].clone())
}

/// Begins a task of some seconds; its id.
fn research(client: &Client, tool: &str, arguments: &Value) -> String {
    let params = json!({"name": tool, "arguments": arguments, "task": {"ttl": 60_000}});
    let made = client.request("tools/call", &params).json();
    let task = &made["result"]["task"];
    assert!(["working", "input_required"].contains(&task["status"].as_str().unwrap_or_default()), "{made}");
    task["taskId"].as_str().unwrap().to_owned()
}

fn code(reply: &Reply) -> Value {
    reply.json()["error"]["code"].clone()
}

#[test]
fn a_core_task_is_made_listed_watched_and_waited_for() {
    let gateway = gateway("all", &upstream::everything());
    let (client, offered) = session(&gateway.client(), &json!({}));
    assert_eq!(offered["tasks"], json!({"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}));
    let id = research(&client, RESEARCH, &json!({"topic": "otters"}));
    let about = json!({"taskId": id});
    let state = client.request("tasks/get", &about).json();
    assert_eq!(state["result"]["taskId"], id.as_str(), "{state}");
    let listed = client.request("tasks/list", &json!({})).json();
    assert_eq!(listed["result"]["tasks"][0]["taskId"], id.as_str(), "{listed}");
    assert_eq!(listed["result"]["tasks"].as_array().unwrap().len(), 1);
    // It blocks until the task has ended.
    let result = client.request("tasks/result", &about).json();
    assert!(result["result"]["content"][0]["text"].as_str().unwrap().contains("otters"), "{result}");
    let related = &result["result"]["_meta"]["io.modelcontextprotocol/related-task"]["taskId"];
    assert!(related.is_null() || *related == id.as_str(), "{result}");
    assert_eq!(client.request("tasks/get", &about).json()["result"]["status"], "completed");
    assert_eq!(code(&client.request("tasks/cancel", &about)), -32602, "it has ended");
    let calls = gateway.metric("mcp_tool_invocations_total", &[("tool_name", RESEARCH)]);
    assert_eq!(calls, 1.0, "looking at a task is no call");

    let cancelled = research(&client, RESEARCH, &json!({"topic": "voles"}));
    let state = client.request("tasks/cancel", &json!({"taskId": cancelled})).json();
    assert_eq!((&state["result"]["status"], &state["result"]["taskId"]), (&json!("cancelled"), &json!(cancelled)));
}

#[test]
fn a_task_asks_the_client_that_waits_for_it() {
    let gateway = gateway("all", &upstream::everything());
    let (client, _) = session(&gateway.client(), &json!({"elicitation": {}}));
    let id = research(&client, RESEARCH, &json!({"topic": "python", "ambiguous": true}));
    let mut waiting = client.open("tasks/result", &json!({"taskId": id}));
    let question = waiting.next_event().unwrap().expect("a question");
    assert_eq!(question["method"], "elicitation/create", "{question}");
    let meta = &question["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/related-task"]["taskId"], id.as_str(), "{question}");
    let content = json!({"interpretation": "snake"});
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": content, "_meta": meta}});
    assert_eq!(client.post(answer.to_string()).status, 202);
    let result = waiting.next_event().unwrap().expect("the result");
    assert!(result["result"]["content"][0]["text"].as_str().unwrap().contains("snake"), "{result}");
}

#[test]
fn a_core_task_is_of_no_use_to_anybody_else() {
    let gateway = gateway("all", &upstream::everything());
    let (client, _) = session(&gateway.client(), &json!({}));
    let id = research(&client, RESEARCH, &json!({"topic": "otters"}));
    let (other, _) = session(&gateway.client().key(OTHER_KEY), &json!({}));
    let (alone, _) = session(&gateway.client().at("/servers/all/mcp"), &json!({}));
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        for stranger in [&other, &alone] {
            assert_eq!(code(&stranger.request(method, &json!({"taskId": id}))), -32602, "{method}");
        }
        for id in [json!(format!("{id}x")), json!(&id[1..]), json!("7"), json!(""), json!(7), Value::Null] {
            assert_eq!(code(&client.request(method, &json!({"taskId": id}))), -32602, "{method} {id}");
        }
    }
    assert_eq!(other.request("tasks/list", &json!({})).json()["result"]["tasks"], json!([]));
    assert_eq!(code(&client.request("tasks/list", &json!({"cursor": "x"}))), -32602);
    assert_eq!(code(&client.request("tasks/update", &json!({"taskId": id}))), -32601);
    assert_eq!(client.request("tasks/get", &json!({"taskId": id})).json()["result"]["status"], "working");
}

/// A request of 2026-07-28 by a client that knows tasks, or not.
pub(crate) fn ask(client: &Client, knows: bool, method: &str, params: &Value) -> Reply {
    client.send(&asked(client, knows, method, params))
}

fn asked(client: &Client, knows: bool, method: &str, params: &Value) -> Request {
    let mut body = modern(method, params);
    let mut able = json!({"elicitation": {}});
    if knows {
        able["extensions"] = json!({EXTENSION: {}});
    }
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = able;
    client.prepare_modern_body(&body)
}

#[test]
fn a_task_of_the_extension_is_of_no_use_to_anybody_else() {
    let gateway = gateway("new", &pinned("modern"));
    let client = gateway.client();
    let offered = ask(&client, true, "server/discover", &json!({})).json()["result"]["capabilities"].clone();
    assert_eq!(offered["extensions"][EXTENSION], json!({}), "{offered}");
    let call = json!({"name": "new__slow_compute", "arguments": {"seconds": 60}});
    let made = ask(&client, true, "tools/call", &call).json();
    assert_eq!(made["result"]["resultType"], "task", "{made}");
    let about = json!({"taskId": made["result"]["taskId"]});
    let get = |client: &Client, about: &Value| ask(client, true, "tasks/get", about);
    assert_eq!(get(&client, &about).json()["result"]["taskId"], about["taskId"]);

    let id = about["taskId"].as_str().unwrap();
    let other = client.clone().key(OTHER_KEY);
    let alone = client.clone().at("/servers/new/mcp");
    for stranger in [&other, &alone] {
        assert_eq!(code(&get(stranger, &about)), -32602);
        assert_eq!(code(&ask(stranger, true, "tasks/cancel", &about)), -32602);
    }
    for id in [format!("{id}x"), id[1..].to_owned(), "7".to_owned()] {
        assert_eq!(code(&get(&client, &json!({"taskId": id}))), -32602);
    }
    let undeclared = ask(&client, false, "tasks/get", &about);
    assert_eq!((undeclared.status, code(&undeclared)), (400, json!(-32021)));
    let required = &undeclared.json()["error"]["data"]["requiredCapabilities"];
    assert_eq!(*required, json!({"extensions": {EXTENSION: {}}}));
    for removed in ["tasks/result", "tasks/list"] {
        let reply = ask(&client, true, removed, &json!({}));
        assert_eq!((reply.status, code(&reply)), (404, json!(-32601)), "{removed}");
    }
    assert_eq!(get(&client, &about).json()["result"]["status"], "working");
    assert_eq!(ask(&client, true, "tasks/cancel", &about).json()["result"]["resultType"], "complete");
    wait_until("the task's end", || get(&client, &about).json()["result"]["status"] == "cancelled");
}

/// The newer server makes tasks of these calls; the older clients know none.
#[test]
fn a_client_with_a_handshake_waits_for_tasks_by_calling() {
    let gateway = gateway("new", &pinned("modern"));
    for sdk in [Sdk::Python1, Sdk::TypeScript1] {
        let calls = json!([
            {"name": "new__slow_compute", "arguments": {"seconds": 1}},
            {"name": "new__failing_job", "arguments": {}},
            {"name": "new__confirm_delete", "arguments": {"filename": "a.txt"}},
            {"name": "new__protocol_error_job", "arguments": {}},
        ]);
        let answers = json!({"elicitation": {"action": "accept", "content": {"confirm": true}}});
        let report = sdk.run_with(&gateway.url("/mcp"), KEY, &calls, &answers);
        let text = |index: usize| report["calls"][index]["result"]["content"][0]["text"].as_str().unwrap_or_default();
        assert_eq!(text(0), "computed for 1 s", "{sdk:?}: {report}");
        assert_eq!(text(1), "This job intentionally fails", "{sdk:?}: {report}");
        assert_eq!(report["calls"][1]["result"]["isError"], true, "{sdk:?}: {report}");
        assert_eq!(text(2), "confirmed: true", "{sdk:?}: {report}");
        assert_eq!(report["calls"][3]["error"]["code"], -32603, "{sdk:?}: {report}");
    }
}

//! What a server asks in the midst of a call: sampling, elicitation and roots
//! reach the client whatever the two speak, and nobody else.

mod faults;

use std::process::Command;
use std::sync::OnceLock;

use portcullis_tests::client::Client;
use portcullis_tests::gateway::{Gateway, KEY, sha256};
use portcullis_tests::http::Reply;
use portcullis_tests::patience::wait_until;
use portcullis_tests::peer::Peer;
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{Value, json, upstream};

/// The conformance suite's upstream, pinned to one era: its URL.
pub(crate) fn pinned(era: &'static str) -> String {
    static LEGACY: OnceLock<Peer> = OnceLock::new();
    static MODERN: OnceLock<Peer> = OnceLock::new();
    let peer = if era == "legacy" { &LEGACY } else { &MODERN };
    peer.get_or_init(|| started(era)).url()
}

/// The same server for one test alone.
pub(crate) fn started(era: &str) -> Peer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conformance-upstream"));
    command.args(["--era", era]);
    Peer::start(command)
}

fn gateway(upstreams: &[(&str, String)]) -> Gateway {
    let entries: Vec<_> = upstreams.iter().map(|(name, url)| (*name, format!("{{url: \"{url}\"}}"))).collect();
    over(&entries)
}

/// A gateway over upstreams (name, configuration entry) that are there already.
pub(crate) fn over(upstreams: &[(&str, String)]) -> Gateway {
    let entries: Vec<_> = upstreams.iter().map(|(name, entry)| (*name, entry.as_str())).collect();
    let gateway = Gateway::over(&entries);
    wait_until("every upstream's tools", || {
        // While none of them answers, that is an error.
        let listed = gateway.client().request("tools/list", &json!({})).json();
        let tools: Vec<_> = listed["result"]["tools"].as_array().into_iter().flatten().collect();
        let has =
            |name: &str| tools.iter().any(|tool| tool["name"].as_str().is_some_and(|tool| tool.starts_with(name)));
        upstreams.iter().all(|(name, _)| has(&format!("{name}__")))
    });
    gateway
}

pub(crate) fn answers() -> Value {
    json!({
        "elicitation": {"action": "accept", "content": {"username": "ada", "user_name": "ada", "name": "ada",
            "email": "ada@example.com"}},
        "sampling": "the answer is 42",
        "roots": ["file:///srv/ada"],
    })
}

pub(crate) fn text(call: &Value) -> String {
    call["result"]["content"].as_array().map_or_else(String::new, |content| {
        content.iter().filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join("\n")
    })
}

pub(crate) fn assert_asks(sdk: Sdk, url: &str, prefix: &str) {
    let call = |tool: &str, arguments: Value| json!({"name": format!("{prefix}{tool}"), "arguments": arguments});
    let calls = json!([
        call("test_elicitation", json!({"message": "Who are you?"})),
        call("test_sampling", json!({"prompt": "6 times 7?"})),
        call("test_input_required_result_list_roots", json!({})),
        call("test_input_required_result_multiple_inputs", json!({})),
        call("test_input_required_result_multi_round", json!({})),
        call("test_simple_text", json!({})),
    ]);
    let report = sdk.run_with(url, KEY, &calls, &answers());
    let calls = report["calls"].as_array().unwrap();
    for (index, expected) in [(0, "ada"), (1, "the answer is 42"), (2, "file:///srv/ada")] {
        assert!(text(&calls[index]).contains(expected), "{sdk:?} at {url}, call {index}: {}", calls[index]);
    }
    for (index, call) in calls.iter().enumerate() {
        assert!(call["error"].is_null() && call["result"]["isError"] != true, "{sdk:?} at {url}, call {index}: {call}");
    }
}

#[test]
fn every_client_is_asked_by_servers_of_either_era() {
    let gateway = gateway(&[("old", pinned("legacy")), ("new", pinned("modern"))]);
    for sdk in Sdk::ALL {
        for (path, prefix) in [("/mcp", "old__"), ("/mcp", "new__"), ("/servers/old/mcp", ""), ("/servers/new/mcp", "")]
        {
            assert_asks(sdk, &gateway.url(path), prefix);
        }
    }
}

/// The reference server shows some tools only to clients that can be asked.
#[test]
fn tools_for_clients_that_can_be_asked_are_shown_to_them_and_to_nobody_else() {
    let gateway = gateway(&[("all", upstream::everything())]);
    for sdk in Sdk::ALL {
        let calls = json!([
            {"name": "all__trigger-elicitation-request", "arguments": {}},
            {"name": "all__trigger-sampling-request", "arguments": {"prompt": "hello", "maxTokens": 10}},
        ]);
        let report = sdk.run_with(&gateway.url("/mcp"), KEY, &calls, &answers());
        assert!(text(&report["calls"][1]).contains("the answer is 42"), "{sdk:?}: {report}");
        assert!(text(&report["calls"][0]).contains("ada"), "{sdk:?}: {report}");
        let report = sdk.run(&gateway.url("/mcp"), KEY, &calls);
        assert!(!report["tools"].as_array().unwrap().contains(&json!("all__trigger-sampling-request")), "{sdk:?}");
        assert_eq!(report["calls"][1]["error"]["code"], -32602, "{sdk:?}: {report}");
    }
}

#[test]
fn a_client_that_declines_is_heard() {
    let gateway = gateway(&[("old", pinned("legacy")), ("new", pinned("modern"))]);
    for sdk in Sdk::ALL {
        for prefix in ["old", "new"] {
            let calls = json!([{"name": format!("{prefix}__test_elicitation"), "arguments": {"message": "?"}}]);
            let declines = json!({"elicitation": {"action": "decline"}});
            let report = sdk.run_with(&gateway.url("/mcp"), KEY, &calls, &declines);
            assert_eq!(text(&report["calls"][0]), "User response: null", "{sdk:?} → {prefix}: {report}");
        }
    }
}

/// A call of 2026-07-28 by a client that can be asked for forms.
pub(crate) fn asking(client: &Client, name: &str, arguments: &Value, more: &Value) -> Reply {
    let mut params = json!({"name": name, "arguments": arguments});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut body = portcullis_tests::client::modern("tools/call", &params);
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {}});
    client.send(&client.prepare_modern_body(&body))
}

/// A stateless client's call that waits, and what brings it back.
pub(crate) fn parked(client: &Client, tool: &str, arguments: &Value) -> Value {
    let asked = asking(client, tool, arguments, &json!({})).json();
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    retry(&asked)
}

/// What the client brings back: its answers to everything, and the state.
fn retry(asked: &Value) -> Value {
    let questions = asked["result"]["inputRequests"].as_object().unwrap();
    let answer = answers()["elicitation"].clone();
    let responses: portcullis_tests::Map<String, Value> =
        questions.keys().map(|key| (key.clone(), answer.clone())).collect();
    json!({"inputResponses": responses, "requestState": asked["result"]["requestState"]})
}

const TWO: &str = "auth:\n  apiKeys:\n    keys:\n      - {name: tester, sha256: \"SHA1\", roles: [tester]}\n      \
                   - {name: other, sha256: \"SHA2\", roles: [tester]}\n";

#[test]
fn a_parked_call_is_its_callers_alone_and_goes_on_once() {
    let auth = TWO.replace("SHA1", &sha256(KEY)).replace("SHA2", &sha256("another-key"));
    let entry = format!("{{url: \"{}\"}}", pinned("legacy"));
    let gateway = Gateway::over_with(&[("old", &entry)], &auth);
    let client = gateway.client();
    wait_until("the upstream's tools", || !client.tools().is_empty());
    let arguments = json!({"message": "Who are you?"});
    let ask = || parked(&client, "old__test_elicitation", &arguments);
    let code = |reply: Reply| reply.json()["error"]["code"].clone();
    let again = ask();
    // Nobody else, nowhere else, nothing else.
    let other = client.clone().key("another-key");
    assert_eq!(code(asking(&other, "old__test_elicitation", &arguments, &again)), -32602);
    let alone = client.clone().at("/servers/old/mcp");
    assert_eq!(code(asking(&alone, "test_elicitation", &arguments, &again)), -32602);
    assert_eq!(code(asking(&client, "old__test_simple_text", &arguments, &again)), -32602);
    let mut tampered = again.clone();
    tampered["requestState"] = format!("{}x", again["requestState"].as_str().unwrap()).into();
    assert_eq!(code(asking(&client, "old__test_elicitation", &arguments, &tampered)), -32602);
    assert_eq!(code(asking(&client, "old__test_elicitation", &json!({"message": "other"}), &again)), -32602);
    // All that left the call where it was.
    let ended = asking(&client, "old__test_elicitation", &arguments, &again).json();
    assert!(text(&ended).contains("ada"), "{ended}");
    assert_eq!(code(asking(&client, "old__test_elicitation", &arguments, &again)), -32603);
    // Of two at the same time one gets it.
    let again = ask();
    let both: Vec<Value> = std::thread::scope(|scope| {
        let call = || asking(&client, "old__test_elicitation", &arguments, &again).json();
        let threads = [scope.spawn(call), scope.spawn(call)];
        threads.map(|thread| thread.join().unwrap()).into()
    });
    assert_eq!(both.iter().filter(|answer| text(answer).contains("ada")).count(), 1, "{both:?}");
    assert_eq!(both.iter().filter(|answer| answer["error"]["code"] == -32603).count(), 1, "{both:?}");
}

#[test]
fn a_client_without_the_capability_is_told_which() {
    let gateway = gateway(&[("old", pinned("legacy"))]);
    let client = gateway.client();
    let refused = asking(&client, "old__test_missing_capability", &json!({}), &json!({}));
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(refused.json()["error"]["code"], -32021);
    assert_eq!(refused.json()["error"]["data"]["requiredCapabilities"], json!({"sampling": {}}));
}

#[test]
fn an_answer_to_nothing_is_taken_and_forgotten() {
    let gateway = gateway(&[("old", pinned("legacy"))]);
    let (_, client) = gateway.client().initialize("2025-11-25");
    for body in [
        r#"{"jsonrpc":"2.0","id":"portcullis-1","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"m"}}"#,
    ] {
        assert_eq!(client.post(body).status, 202, "{body}");
        assert_eq!(gateway.client().post(body).status, 202, "without a session: {body}");
    }
}

//! Sampling by a model of the gateway, for clients that cannot.

use portcullis_tests::gateway::{Gateway, Home, KEY, standard};
use portcullis_tests::patience::wait_until;
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{Value, json, upstream};

use crate::piped_questions::conformance_stdio;
use crate::questions::pinned;

const MODELS: &str = "models:\n  chat: {path: builtin, device: cpu}\n";

fn gateway(policies: &str) -> Gateway {
    let sampled = |entry: &str| format!("{}, sampling: {{answerWith: chat}}}}", entry.trim_end_matches('}'));
    let entry = |url: String| sampled(&format!("{{url: \"{url}\"}}"));
    let entries = [
        ("old", entry(pinned("legacy"))),
        ("new", entry(pinned("modern"))),
        ("all", entry(upstream::everything())),
        ("child", sampled(&conformance_stdio("legacy"))),
    ];
    let upstreams: Vec<_> = entries.iter().map(|(name, entry)| (*name, entry.as_str())).collect();
    let gateway = Home::with_policies(policies).serve(&standard(&upstreams, MODELS));
    wait_until("every upstream's tools", || {
        let tools = gateway.client().tools();
        upstreams.iter().all(|(name, _)| tools.iter().any(|tool| tool.starts_with(&format!("{name}__"))))
    });
    gateway
}

fn calls() -> Value {
    let prompt = json!({"prompt": "hello"});
    json!([
        {"name": "old__test_sampling", "arguments": prompt},
        {"name": "new__test_sampling", "arguments": prompt},
        {"name": "all__trigger-sampling-request", "arguments": {"prompt": "hello", "maxTokens": 20}},
        {"name": "child__test_sampling", "arguments": prompt},
    ])
}

const EVERYTHING: &str = "policies: [{name: all, subjects: {roles: [tester]}, tools: {allow: [\"*\"]}}]";
const NO_MODEL: &str = "policies: [{name: all, subjects: {roles: [tester]}, tools: {allow: [\"*\"], deny: [chat]}}]";

#[test]
fn the_model_answers_where_the_client_cannot() {
    let gateway = gateway(EVERYTHING);
    for sdk in Sdk::ALL {
        let before = gateway.metric("mcp_tool_invocations_total", &[("tool_name", "chat"), ("status", "success")]);
        let report = sdk.run(&gateway.url("/mcp"), KEY, &calls());
        for (index, call) in report["calls"].as_array().unwrap().iter().enumerate() {
            let text = call["result"]["content"].to_string();
            assert!(text.len() > 60 && call["result"]["isError"] != true, "{sdk:?}, call {index}: {call}");
        }
        // Each is a call of the model's tool, metered as the caller's own.
        let after = gateway.metric("mcp_tool_invocations_total", &[("tool_name", "chat"), ("status", "success")]);
        assert_eq!(after - before, 4.0, "{sdk:?}: {report}");
    }
}

#[test]
fn a_client_that_can_is_asked_itself() {
    let gateway = gateway(EVERYTHING);
    for sdk in Sdk::ALL {
        let answers = json!({"sampling": "from the client"});
        let report = sdk.run_with(&gateway.url("/mcp"), KEY, &calls(), &answers);
        for call in report["calls"].as_array().unwrap() {
            assert!(call["result"]["content"].to_string().contains("from the client"), "{sdk:?}: {call}");
        }
        assert_eq!(gateway.metric("mcp_tool_invocations_total", &[("tool_name", "chat")]), 0.0);
    }
}

#[test]
fn who_may_not_use_the_model_does_not_by_this_way_either() {
    let gateway = gateway(NO_MODEL);
    let report = Sdk::Python1.run(&gateway.url("/mcp"), KEY, &calls());
    for call in report["calls"].as_array().unwrap() {
        assert!(
            call["error"].is_object()
                || call["result"]["isError"] == true
                || !call.to_string().contains("model\":\"chat"),
            "{call}"
        );
    }
    assert_eq!(gateway.metric("mcp_tool_invocations_total", &[("tool_name", "chat"), ("status", "success")]), 0.0);
    assert!(gateway.metric("mcp_tool_invocations_total", &[("tool_name", "chat"), ("status", "denied")]) > 0.0);
}

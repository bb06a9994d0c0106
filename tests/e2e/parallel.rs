//! Many calls of one client at the same time: each gets its own answer and its
//! own progress, whatever stands behind the gateway.

use portcullis_tests::gateway::{Gateway, KEY};
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{Value, json, upstream};

/// Calls at each upstream.
const CALLS: usize = 50;

/// Servers of both eras, over HTTP and as child processes.
fn upstreams() -> [(&'static str, String); 4] {
    let http = |url: String| format!("{{url: \"{url}\"}}");
    [
        ("py1", http(upstream::python_1())),
        ("py2", http(upstream::python_2())),
        ("pyio1", upstream::python_stdio("mcp-1")),
        ("pyio2", upstream::python_stdio("mcp-2")),
    ]
}

fn steps(index: usize) -> usize {
    1 + index % 4
}

/// Every other call reports progress, and how much is its own.
fn call(upstream: &str, index: usize) -> Value {
    if index.is_multiple_of(2) {
        json!({"name": format!("{upstream}__echo"), "arguments": {"text": format!("{upstream} {index}")}})
    } else {
        json!({"name": format!("{upstream}__count"), "arguments": {"steps": steps(index)}})
    }
}

fn assert_own_answer(sdk: Sdk, upstream: &str, index: usize, call: &Value) {
    let text = call["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{sdk:?} → {upstream}: {call}"));
    if index.is_multiple_of(2) {
        assert_eq!(text, format!("{upstream} {index}"), "{sdk:?}");
    } else {
        assert_eq!(text, format!("counted to {}", steps(index)), "{sdk:?} → {upstream}");
        let progress: Vec<usize> =
            call["progress"].as_array().unwrap().iter().filter_map(Value::as_f64).map(|step| step as usize).collect();
        assert_eq!(progress, (1..=steps(index)).collect::<Vec<_>>(), "{sdk:?} → {upstream}");
    }
}

fn assert_each_gets_its_own(sdk: Sdk) {
    let upstreams = upstreams();
    let entries = upstreams.each_ref().map(|(name, entry)| (*name, entry.as_str()));
    let tools = entries.map(|(name, _)| format!("{name}__echo"));
    let gateway = Gateway::over(&entries).listing(&tools);
    // Interleaved, so that all servers are busy at the same time.
    let all = (0..CALLS).flat_map(|index| entries.map(|(name, _)| (name, index)));
    let calls: Vec<Value> = all.clone().map(|(name, index)| call(name, index)).collect();
    let script = json!({"url": gateway.url("/mcp"), "headers": {"X-API-Key": KEY}, "calls": calls, "parallel": true});
    let report = sdk.perform(&script).unwrap_or_else(|said| panic!("{sdk:?} gave up: {said}"));
    assert_eq!(report["protocolVersion"], sdk.newest_revision());
    let came = report["calls"].as_array().unwrap();
    assert_eq!(came.len(), entries.len() * CALLS);
    for ((name, index), call) in all.zip(came) {
        assert_own_answer(sdk, name, index, call);
    }
}

#[test]
fn the_python_client_1_gets_each_answer_to_its_own_call() {
    assert_each_gets_its_own(Sdk::Python1);
}

#[test]
fn the_python_client_2_gets_each_answer_to_its_own_call() {
    assert_each_gets_its_own(Sdk::Python2);
}

#[test]
fn the_typescript_client_1_gets_each_answer_to_its_own_call() {
    assert_each_gets_its_own(Sdk::TypeScript1);
}

#[test]
fn the_typescript_client_2_gets_each_answer_to_its_own_call() {
    assert_each_gets_its_own(Sdk::TypeScript2);
}

#[test]
fn the_rust_clients_get_each_answer_to_its_own_call() {
    assert_each_gets_its_own(Sdk::Rust);
    assert_each_gets_its_own(Sdk::RustHandshake);
}

//! What clients of any front do that gives them a connection of their own.

use portcullis_tests::gateway::{Gateway, Home, standard};
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{Value, json, upstream};

/// A gateway before the demonstration upstream and the reference server, with
/// more of a configuration.
pub(crate) fn gateway(more: &str) -> Gateway {
    let entry = format!("{{url: \"{}\"}}", upstream::everything());
    let upstreams = [("demo", "{builtin: demo}"), ("all", entry.as_str())];
    Home::open().serve(&standard(&upstreams, more)).listing(&["all__echo".to_owned()])
}

/// Has a client call, be asked, take a prompt and be refused.
pub(crate) fn assert_served(sdk: Sdk, transport: &str, url: &str, headers: &Value) {
    let calls = json!([
        {"name": "demo__add", "arguments": {"a": 1, "b": 2}},
        {"name": "all__trigger-sampling-request", "arguments": {"prompt": "hello", "maxTokens": 10}},
        {"op": "prompt", "name": "all__args-prompt", "arguments": {"city": "Bern"}},
        {"name": "none", "arguments": {}},
    ]);
    let answers = json!({"sampling": "forty-two"});
    let script = json!({"transport": transport, "url": url, "headers": headers, "calls": calls, "answers": answers});
    let report = sdk.perform(&script).unwrap_or_else(|said| panic!("{sdk:?} gave up: {said}"));
    let call = |index: usize| &report["calls"][index];
    assert_eq!(call(0)["result"]["content"][0]["text"], "3", "{sdk:?}: {report}");
    assert!(call(1)["result"].to_string().contains("forty-two"), "{sdk:?}: {report}");
    let message = &call(2)["result"]["messages"][0];
    assert_eq!(message["content"]["text"], "What's weather in Bern?", "{sdk:?}: {report}");
    assert_eq!(call(3)["error"]["code"], -32602, "{sdk:?}: {report}");
}

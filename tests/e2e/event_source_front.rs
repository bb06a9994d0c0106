//! HTTP+SSE of 2024-11-05 towards clients: `GET /sse` and `POST /messages`.

use portcullis_tests::client::message;
use portcullis_tests::gateway::{Gateway, Home, KEY, sha256, standard};
use portcullis_tests::patience::wait_until;
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{json, upstream};

fn gateway(more: &str) -> Gateway {
    let entry = format!("{{url: \"{}\"}}", upstream::everything());
    let upstreams = [("demo", "{builtin: demo}"), ("all", entry.as_str())];
    Home::open().serve(&standard(&upstreams, more)).listing(&["all__echo".to_owned()])
}

#[test]
fn clients_call_and_are_asked_over_the_oldest_transport() {
    let gateway = gateway("");
    for sdk in [Sdk::Python1, Sdk::TypeScript1, Sdk::Python2] {
        let calls = json!([
            {"name": "demo__add", "arguments": {"a": 1, "b": 2}},
            {"name": "all__trigger-sampling-request", "arguments": {"prompt": "hello", "maxTokens": 10}},
            {"op": "prompt", "name": "all__args-prompt", "arguments": {"city": "Bern"}},
            {"name": "none", "arguments": {}},
        ]);
        let script = json!({
            "transport": "sse", "url": gateway.url("/sse"), "headers": {"X-API-Key": KEY}, "calls": calls,
            "answers": {"sampling": "forty-two"},
        });
        let report = sdk.perform(&script).unwrap_or_else(|said| panic!("{sdk:?} gave up: {said}"));
        let call = |index: usize| &report["calls"][index];
        assert_eq!(call(0)["result"]["content"][0]["text"], "3", "{sdk:?}: {report}");
        assert!(call(1)["result"].to_string().contains("forty-two"), "{sdk:?}: {report}");
        let message = &call(2)["result"]["messages"][0];
        assert_eq!(message["content"]["text"], "What's weather in Bern?", "{sdk:?}: {report}");
        assert_eq!(call(3)["error"]["code"], -32602, "{sdk:?}: {report}");
    }
}

#[test]
fn where_a_client_posts_is_of_use_to_it_alone_and_while_its_stream_is_open() {
    let keys = format!(
        "auth:\n  apiKeys:\n    keys:\n      - {{name: tester, sha256: \"{}\", roles: [tester]}}\n      - {{name: other, sha256: \
         \"{}\", roles: [tester]}}\n",
        sha256(KEY),
        sha256("another-key")
    );
    let gateway = gateway(&keys);
    let mut stream = gateway.client().at("/sse").open_stream(None);
    assert_eq!(stream.status, 200);
    let endpoint = stream.next_raw_event().unwrap().expect("the first event").data;
    assert!(endpoint.starts_with("/messages?session="), "{endpoint}");
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(gateway.client().at(&endpoint).key("another-key").post(ping).status, 404);
    assert_eq!(gateway.client().at(&format!("{endpoint}x")).post(ping).status, 404);
    assert_eq!(gateway.client().at("/messages").post(ping).status, 404);
    assert_eq!(gateway.client().at(&endpoint).post(ping).status, 202);
    let answer = stream.next_event().unwrap().expect("the answer");
    assert_eq!(answer, json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    drop(stream);
    wait_until("the stream to be forgotten", || gateway.client().at(&endpoint).post(ping).status == 404);
}

#[test]
fn a_stream_that_outlives_reloads_goes_on_to_tell() {
    let gateway = gateway("");
    let mut stream = gateway.client().at("/sse").open_stream(None);
    let endpoint = stream.next_raw_event().unwrap().expect("the first event").data;
    let hello =
        json!({"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    gateway.client().at(&endpoint).post(message("initialize", &hello).to_string());
    assert_eq!(stream.next_event().unwrap().expect("the answer")["result"]["protocolVersion"], "2024-11-05");
    for reload in 0..2 {
        let more = format!(
            "policies:\n  - {{name: more-{reload}, subjects: {{roles: [nobody]}}, tools: {{allow: [none]}}}}\n"
        );
        gateway.home.write("policies/more.yaml", &more);
        let told = std::iter::from_fn(|| stream.next_event().unwrap());
        let kinds = ["tools", "prompts", "resources"].map(|list| format!("notifications/{list}/list_changed"));
        // A reload is a change of every list.
        let told: Vec<_> =
            told.take(kinds.len()).map(|message| message["method"].as_str().unwrap().to_owned()).collect();
        assert_eq!(told, kinds, "reload {reload}");
    }
}

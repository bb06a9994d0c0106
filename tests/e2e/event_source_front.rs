//! HTTP+SSE of 2024-11-05 towards clients: `GET /sse` and `POST /messages`.

use portcullis_tests::client::message;
use portcullis_tests::gateway::{KEY, sha256};
use portcullis_tests::json;
use portcullis_tests::patience::wait_until;
use portcullis_tests::sdk::Sdk;

use crate::fronts::{assert_served, gateway};

#[test]
fn clients_call_and_are_asked_over_the_oldest_transport() {
    let gateway = gateway("");
    for sdk in [Sdk::Python1, Sdk::TypeScript1, Sdk::Python2] {
        assert_served(sdk, "sse", &gateway.url("/sse"), &json!({"X-API-Key": KEY}));
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

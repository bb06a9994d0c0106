//! Answers pass through as they arrive.

use portcullis_tests::client::Client;
use portcullis_tests::gateway::{Gateway, KEY};
use portcullis_tests::http::Answer;
use portcullis_tests::patience::wait_until;
use portcullis_tests::scripted::{Era, Scripted};
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{Value, json, upstream};

fn over(upstream: &Scripted) -> Gateway {
    Gateway::over(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))])
}

/// Calls the tool that stops halfway; the answer has begun when this returns.
fn begin(client: &Client, token: &Value) -> Answer {
    client.open_call("up__progress", &json!({}), token)
}

#[test]
fn progress_is_relayed_before_the_upstream_has_finished() {
    for upstream in [Scripted::legacy(), Scripted::modern()] {
        let gateway = over(&upstream);
        let mut answer = begin(&gateway.client(), &json!("mine"));
        assert!(answer.headers.get("Content-Type").is_some_and(|kind| kind.starts_with("text/event-stream")));
        let first = answer.next_event().unwrap().expect("the first half");
        assert_eq!(first["method"], "notifications/progress");
        assert_eq!(first["params"]["progress"], 1);

        upstream.open_gate();
        assert_eq!(answer.next_event().unwrap().unwrap()["params"]["progress"], 2);
        let response = answer.next_event().unwrap().unwrap();
        assert_eq!(response["id"], 1);
        assert_eq!(response["result"]["content"][0]["text"], "done");
        assert_eq!(answer.next_event().unwrap(), None, "the stream ends with the response");
    }
}

#[test]
fn a_client_of_the_stateless_revision_gets_its_stream_too() {
    for upstream in [Scripted::legacy(), Scripted::modern()] {
        let gateway = over(&upstream);
        let params = json!({"name": "up__progress", "arguments": {}, "_meta": {"progressToken": 5}});
        let mut answer = gateway.client().prepare_modern("tools/call", &params).open(gateway.main).unwrap();
        let first = answer.next_event().unwrap().expect("the first half");
        assert_eq!(first["params"]["progressToken"], 5);
        assert_eq!(answer.headers.get("X-Accel-Buffering"), Some("no"));
        upstream.open_gate();
        let rest = answer.finish().unwrap();
        assert_eq!(rest.status, 200);
        assert!(rest.text().contains("\"resultType\":\"complete\""), "{}", rest.text());
    }
}

#[test]
fn progress_bears_the_callers_token_and_its_type() {
    let upstream = Scripted::legacy();
    upstream.open_gate();
    let gateway = over(&upstream);
    for token in [json!("text"), json!(17), json!("17")] {
        let mut answer = begin(&gateway.client(), &token);
        assert_eq!(answer.next_event().unwrap().unwrap()["params"]["progressToken"], token);
    }
}

#[test]
fn two_callers_with_the_same_token_and_id_get_their_own_answers() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let mut answers = [(); 2].map(|()| begin(&gateway.client(), &json!("same")));
    upstream.wait_executed("progress", 2);
    upstream.open_gate();
    for answer in &mut answers {
        let mut events = Vec::new();
        while let Some(event) = answer.next_event().unwrap() {
            events.push(event);
        }
        assert_eq!(events.len(), 3, "{events:?}");
        assert!(events[..2].iter().all(|event| event["params"]["progressToken"] == "same"));
    }
}

#[test]
fn a_caller_who_asked_for_no_progress_gets_none() {
    let upstream = Scripted::legacy();
    upstream.open_gate();
    let gateway = over(&upstream);
    let messages = gateway.client().call("up__progress", &json!({})).messages();
    let response = messages.last().unwrap();
    assert_eq!(response["result"]["content"][0]["text"], "done");
}

#[test]
fn a_large_result_arrives_whole() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let text = gateway.client().text_of("up__large", &json!({"bytes": 1 << 20}));
    assert_eq!(text.len(), 1 << 20);
    assert!(text.bytes().all(|byte| byte == b'x'));
}

#[test]
fn a_client_that_goes_away_ends_a_stateless_call_upstream() {
    let upstream = Scripted::modern();
    let gateway = over(&upstream);
    let params = json!({"name": "up__progress", "arguments": {}, "_meta": {"progressToken": 5}});
    let mut answer = gateway.client().prepare_modern("tools/call", &params).open(gateway.main).unwrap();
    answer.next_event().unwrap().expect("the first half");
    drop(answer);
    wait_until("the call to be counted", || {
        gateway.metric("mcp_tool_invocations_total", &[("tool_name", "up__progress")]) >= 1.0
    });
    assert_eq!(gateway.client().call("up__echo", &json!({})).status, 200);
}

/// The stateless client closes the stream, that of the handshake says so; the
/// upstream hears it as its own era has it.
#[test]
fn a_client_that_cancels_ends_the_call_upstream() {
    for sdk in [Sdk::Rust, Sdk::RustHandshake] {
        for upstream in [Scripted::legacy(), Scripted::modern()] {
            let gateway = over(&upstream).listing(&["up__progress".to_owned()]);
            let calls = json!([
                {"name": "up__progress", "cancel": true},
                {"name": "up__echo", "arguments": {"after": "that"}},
            ]);
            let report = sdk.run(&gateway.url("/mcp"), KEY, &calls);
            assert_eq!(report["calls"][0]["cancelled"], true, "{sdk:?}: {report}");
            assert!(report["calls"][1]["result"].is_object(), "{sdk:?}: {report}");
            wait_until("the end of the call", || {
                gateway.metric("mcp_tool_invocations_total", &[("tool_name", "up__progress")]) >= 1.0
            });
            if upstream.era() == Era::Legacy {
                wait_until("the cancellation", || upstream.seen("notifications/cancelled").len() == 1);
            }
            assert_eq!(upstream.executed("progress").len(), 1);
        }
    }
}

#[test]
fn a_real_server_over_stdio_streams_its_progress() {
    let gateway = Gateway::over(&[("up", &upstream::everything_stdio())]);
    let tool = "up__trigger-long-running-operation";
    wait_until("the upstream's tools", || gateway.client().tools().iter().any(|known| known == tool));
    let mut answer = gateway.client().open_call(tool, &json!({"duration": 0.3, "steps": 3}), &json!("t"));
    let mut progress = Vec::new();
    let response = loop {
        let event = answer.next_event().unwrap().expect("the response comes last");
        if event.get("result").is_some() {
            break event;
        }
        assert_eq!(event["params"]["progressToken"], "t");
        progress.push(event["params"]["progress"].as_u64().unwrap());
    };
    assert_eq!(progress, [1, 2, 3]);
    assert!(response["result"]["content"][0]["text"].as_str().unwrap().contains("completed"));
}

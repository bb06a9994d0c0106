//! The public clients behind the round-robin: everything they do before one
//! gateway they do before two.

use portcullis_tests::sdk::Sdk;
use portcullis_tests::upstream;

use super::*;
use crate::questions::answers;

fn pair() -> Pair {
    let upstreams = [
        ("old", pinned("legacy")),
        ("new", pinned("modern")),
        ("all", upstream::everything()),
        ("py", upstream::python_1()),
    ];
    Pair::over(&upstreams)
}

fn perform(sdk: Sdk, pair: &Pair, calls: &Value, parallel: bool) -> Vec<Value> {
    let script = json!({
        "url": pair.balancer.url("/mcp"), "headers": {"X-API-Key": KEY}, "calls": calls, "parallel": parallel,
        "answers": answers(),
    });
    let mut report = sdk.perform(&script).unwrap_or_else(|said| panic!("{sdk:?} gave up: {said}"));
    assert_eq!(report["protocolVersion"], sdk.newest_revision());
    let Value::Array(calls) = report["calls"].take() else { panic!("{sdk:?}: {report}") };
    for call in &calls {
        assert!(call["error"].is_null() && call["result"]["isError"] != true, "{sdk:?}: {call}");
    }
    calls
}

fn assert_does_everything(sdk: Sdk) {
    let pair = pair();
    let steps = json!([
        {"name": "old__test_elicitation", "arguments": {"message": "Who are you?"}},
        {"name": "new__test_elicitation", "arguments": {"message": "Who are you?"}},
        {"name": "old__test_sampling", "arguments": {"prompt": "6 times 7?"}},
        {"name": "new__test_sampling", "arguments": {"prompt": "6 times 7?"}},
        {"name": "old__test_input_required_result_list_roots", "arguments": {}},
        {"name": "new__test_input_required_result_list_roots", "arguments": {}},
        {"name": "old__test_input_required_result_multi_round", "arguments": {}},
        {"name": "new__test_input_required_result_multi_round", "arguments": {}},
        {"name": "all__get-sum", "arguments": {"a": 1, "b": 2}},
        {"name": "py__count", "arguments": {"steps": 3}},
        {"op": "prompts"},
        {"op": "prompt", "name": "all__args-prompt", "arguments": {"city": "Bern"}},
        {"op": "resources"},
        {"op": "templates"},
        {"op": "read", "uri": "old+test://static-text"},
        {"op": "read", "uri": "py+note://today"},
        {"op": "complete", "ref": {"type": "ref/prompt", "name": "py__greet"}, "argument": {"name": "name", "value": "m"}},
    ]);
    // Twice, so that each comes in at either.
    for _ in 0..2 {
        let calls = perform(sdk, &pair, &steps, false);
        let expected = [
            "ada",
            "ada",
            "the answer is 42",
            "the answer is 42",
            "file:///srv/ada",
            "file:///srv/ada",
            "",
            "",
            "The sum of 1 and 2 is 3.",
            "counted to 3",
            "all__args-prompt",
            "Bern",
            "old+test://static-text",
            "uriTemplate",
            "contents",
            "nothing",
            "mary",
        ];
        for (call, expected) in calls.iter().zip(expected) {
            assert!(call["result"].to_string().contains(expected), "{sdk:?}, not {expected}: {call}");
        }
        let progress: Vec<f64> = calls[9]["progress"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        assert_eq!(progress, [1.0, 2.0, 3.0], "{sdk:?}");
        // One more, so that what came to one comes to the other next.
        pair.client().tools();
    }
    assert_eq!(pair.forwarded("unreached") + pair.forwarded("lost"), 0.0);
    assert!(pair.forwarded("answered") > 0.0, "{sdk:?} needed no other replica");
    let handed = pair.gateways.each_ref().map(|gateway| pair.balancer.handed(gateway.main, "POST"));
    assert!(handed.iter().all(|requests| *requests > 10), "{sdk:?}: {handed:?}");
}

#[test]
fn the_python_client_1_does_everything() {
    assert_does_everything(Sdk::Python1);
}

#[test]
fn the_python_client_2_does_everything() {
    assert_does_everything(Sdk::Python2);
}

#[test]
fn the_typescript_client_1_does_everything() {
    assert_does_everything(Sdk::TypeScript1);
}

#[test]
fn the_typescript_client_2_does_everything() {
    assert_does_everything(Sdk::TypeScript2);
}

#[test]
fn every_client_makes_fifty_calls_at_once() {
    let (old, new) = (Scripted::legacy(), Scripted::modern());
    let pair = Pair::over(&[("old", old.url()), ("new", new.url())]);
    let calls: Vec<Value> = (0..50)
        .map(|at| json!({"name": if at % 2 == 0 { "old__echo" } else { "new__echo" }, "arguments": {"at": at}}))
        .collect();
    for sdk in Sdk::ALL {
        let made = perform(sdk, &pair, &json!(calls), true);
        for (at, call) in made.iter().enumerate() {
            assert_eq!(call["result"]["content"][0]["text"], format!("{{\"at\":{at}}}"), "{sdk:?}: {call}");
        }
    }
    assert_eq!(old.executed("echo").len() + new.executed("echo").len(), 50 * Sdk::ALL.len(), "none twice");
    assert_eq!(pair.forwarded("unreached") + pair.forwarded("lost"), 0.0);
}

/// The clients that open a stream by themselves hear there what changed.
#[test]
fn clients_hear_of_changes_on_the_stream_they_leave_open() {
    for sdk in [Sdk::Python1, Sdk::TypeScript1] {
        let upstream = Scripted::legacy();
        upstream.offer_streams();
        let pair = Pair::over(&[("up", upstream.url())]);
        let calls = json!([{"op": "told", "method": TOOLS}]);
        let report = std::thread::scope(|threads| {
            let client = threads.spawn(|| sdk.run(&pair.balancer.url("/mcp"), KEY, &calls));
            wait_until("a stream", || pair.metric("portcullis_standing_streams", &[]) >= 1.0);
            upstream.announce(TOOLS);
            client.join().unwrap()
        });
        assert_eq!(report["calls"][0]["result"]["told"], true, "{sdk:?}: {report}");
    }
}

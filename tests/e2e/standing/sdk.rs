//! The public clients, which open their streams by themselves.

use portcullis_tests::cutter::Cutter;
use portcullis_tests::gateway::{Gateway, KEY};
use portcullis_tests::json;
use portcullis_tests::patience::wait_until;
use portcullis_tests::scripted::Scripted;
use portcullis_tests::sdk::Sdk;

use super::{PROMPTS, TOOLS, over, standing, telling};

fn listening(gateway: &Gateway, sdk: Sdk) {
    wait_until(&format!("{sdk:?} to listen"), || standing(gateway) >= 1.0);
}

/// A change reaches the client's handler, also after a reload ended its stream.
fn assert_hears_of_changes(sdk: Sdk) {
    let upstream = telling();
    let gateway = over(&[("up", &upstream)]);
    let calls = json!([{"op": "told", "method": TOOLS}, {"op": "told", "method": PROMPTS}]);
    let report = std::thread::scope(|threads| {
        let client = threads.spawn(|| sdk.run(&gateway.url("/mcp"), KEY, &calls));
        listening(&gateway, sdk);
        upstream.announce(TOOLS);
        let policies = std::fs::read_to_string(gateway.home.file("policies/policies.yaml")).unwrap();
        gateway.home.write("policies/policies.yaml", &format!("{policies}\n# Changed.\n"));
        client.join().unwrap()
    });
    for call in report["calls"].as_array().unwrap() {
        assert_eq!(call["result"]["told"], true, "{sdk:?}: {report}");
    }
}

#[test]
fn the_python_client_hears_of_changes() {
    assert_hears_of_changes(Sdk::Python1);
}

#[test]
fn the_typescript_client_hears_of_changes() {
    assert_hears_of_changes(Sdk::TypeScript1);
}

#[test]
fn the_rust_client_hears_of_changes() {
    assert_hears_of_changes(Sdk::RustHandshake);
}

/// A call whose connection is cut in its midst has its answer all the same.
fn assert_takes_up_an_answer(sdk: Sdk) {
    let upstream = Scripted::legacy();
    let gateway = over(&[("up", &upstream)]);
    let wire = Cutter::to(gateway.main);
    let calls = json!([{"name": "up__progress", "arguments": {}}]);
    let report = std::thread::scope(|threads| {
        let client = threads.spawn(|| sdk.run(&wire.url(), KEY, &calls));
        wire.wait_passed("step 1");
        wire.cut();
        upstream.open_gate();
        client.join().unwrap()
    });
    let call = &report["calls"][0];
    assert_eq!(call["result"]["content"][0]["text"], "done", "{sdk:?}: {report}");
    assert_eq!(upstream.executed("progress").len(), 1, "{sdk:?} called again");
}

#[test]
fn the_python_client_takes_up_an_answer_that_broke_off() {
    assert_takes_up_an_answer(Sdk::Python1);
}

#[test]
fn the_typescript_client_takes_up_an_answer_that_broke_off() {
    assert_takes_up_an_answer(Sdk::TypeScript1);
}

#[test]
fn the_rust_client_takes_up_an_answer_that_broke_off() {
    assert_takes_up_an_answer(Sdk::RustHandshake);
}

//! How long processes of single clients live, and how many there are.

use nix::sys::signal::{Signal, kill};
use portcullis_tests::patience::wait_until;

use super::*;

/// Processes of single clients at one upstream.
const MAX: usize = 32;

fn name(gateway: &Gateway) -> Client {
    let client = able(gateway);
    assert_eq!(client.text_of("old__test_simple_text", &json!({})), "This is a simple text response for testing.");
    client
}

/// Whether the client is asked what the tool asks of it.
fn is_asked(client: &Client) -> bool {
    let call = json!({"name": "old__test_elicitation", "arguments": {"message": "?"}});
    let mut answer = client.open("tools/call", &call);
    if !answer.headers.get("Content-Type").unwrap_or_default().starts_with("text/event-stream") {
        return false;
    }
    let first = answer.next_event().unwrap().unwrap();
    if first["method"] != "elicitation/create" {
        return false;
    }
    reply(client, &first, "ada");
    let last = answer.next_event().unwrap().unwrap();
    assert!(text(&last).contains("ada"), "{last}");
    true
}

#[test]
fn a_process_is_for_clients_that_can_be_asked_and_ends_with_their_session() {
    let gateway = over(&[("old", conformance_stdio("legacy"))]);
    let (_, plain) = gateway.client().initialize(REVISION);
    assert!(!plain.text_of("old__test_simple_text", &json!({})).is_empty());
    let shared = gateway.children();
    assert_eq!(shared.len(), 1);
    let (one, other) = (name(&gateway), name(&gateway));
    assert!(is_asked(&one) && is_asked(&other));
    // And one that shows what such clients see.
    let before = gateway.children();
    assert_eq!(before.len(), 4);
    one.end_session();
    wait_until("its process to end", || gateway.children().len() == 3);
    assert!(is_asked(&other));
    assert!(gateway.children().contains(&shared[0]));
}

#[test]
fn a_process_ends_when_its_client_goes_away() {
    let everybody = "auth: {anonymous: {roles: [tester]}}\n";
    for sdk in [Sdk::Python1, Sdk::TypeScript1] {
        let gateway = Gateway::over_with(&[("old", &conformance_stdio("legacy"))], everybody);
        wait_until("the upstream's process", || gateway.children().len() == 1);
        let url = gateway.url("/ws").replace("http://", "ws://");
        let calls = json!([{"name": "old__test_elicitation", "arguments": {"message": "?"}}]);
        let script = json!({"transport": "ws", "url": url, "headers": {}, "calls": calls, "answers": answers()});
        let report = sdk.perform(&script).unwrap_or_else(|said| panic!("{sdk:?} gave up: {said}"));
        assert!(text(&report["calls"][0]).contains("ada"), "{sdk:?}: {report}");
        // That of all, and the one that shows what such clients see.
        wait_until("its process to end", || gateway.children().len() == 2);
    }
}

#[test]
fn a_process_that_crashes_is_its_clients_trouble_alone() {
    let gateway = over(&[("old", conformance_stdio("legacy"))]);
    let one = name(&gateway);
    let others = gateway.children();
    let other = name(&gateway);
    let crashing = gateway.children().into_iter().find(|child| !others.contains(child)).unwrap();
    let call = json!({"name": "old__test_elicitation", "arguments": {"message": "?"}});
    let mut answer = other.open("tools/call", &call);
    assert_eq!(answer.next_event().unwrap().unwrap()["method"], "elicitation/create");
    kill(crashing, Signal::SIGKILL).unwrap();
    let failed = answer.next_event().unwrap().unwrap();
    assert_eq!(failed["error"]["code"], -31502, "{failed}");
    assert!(is_asked(&one));
    assert_eq!(gateway.client().text_of("old__test_simple_text", &json!({})).len(), 43);
    // Its next call starts another, after the pause.
    assert!(is_asked(&other));
    assert!(others.iter().all(|child| gateway.children().contains(child)));
}

#[test]
fn processes_are_bounded_and_who_finds_no_place_is_served_unasked() {
    let gateway = over(&[("old", conformance_stdio("legacy"))]);
    let clients: Vec<Client> = (0..MAX + 2).map(|_| name(&gateway)).collect();
    assert_eq!(gateway.children().len(), MAX + 1);
    assert!(is_asked(&clients[0]));
    let last = &clients[MAX + 1];
    assert!(!is_asked(last));
    clients[0].end_session();
    wait_until("a place", || is_asked(last));
    assert!(gateway.children().len() <= MAX + 1);
}

#[test]
fn processes_end_with_their_upstream() {
    let mut gateway = over(&[("old", conformance_stdio("legacy")), ("demo", "{builtin: demo}".to_owned())]);
    let client = name(&gateway);
    assert!(gateway.children().len() > 1);
    let config = std::fs::read_to_string(gateway.home.file("portcullis.yaml")).unwrap();
    let without: Vec<&str> = config.lines().filter(|line| !line.trim_start().starts_with("old:")).collect();
    gateway.home.write("portcullis.yaml", &without.join("\n"));
    wait_until("all processes to end", || gateway.children().is_empty());
    assert!(gateway.is_running());
    drop(client);
}

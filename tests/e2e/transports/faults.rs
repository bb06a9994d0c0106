//! What a server on a pipe can do wrong.

use std::time::{Duration, Instant};

use portcullis_tests::gateway::Gateway;
use portcullis_tests::http::Reply;
use portcullis_tests::json;
use portcullis_tests::patience::wait_until;
use portcullis_tests::piped::{Piped, Wire};

use super::{WIRES, over};

fn assert_upstream_failed(reply: &Reply) {
    let error = &reply.json()["error"];
    assert_eq!((reply.status, &error["code"], &error["data"]["upstream"]), (200, &json!(-31502), &json!("up")));
}

fn works(gateway: &Gateway) -> bool {
    gateway.client().call("up__echo", &json!({"a": 1})).json()["result"]["content"][0]["text"] == "{\"a\":1}"
}

/// Calls a tool that ends the pipe: the call fails once and in time, and the
/// next one works over another pipe.
fn assert_ends_the_pipe(tool: &str) {
    for wire in WIRES {
        let server = Piped::start(wire);
        let gateway = over(&server.url());
        let pipes = server.pipes();
        let started = Instant::now();
        assert_upstream_failed(&gateway.client().call(&format!("up__{tool}"), &json!({})));
        assert!(started.elapsed() < Duration::from_secs(5), "{wire:?}: {:?}", started.elapsed());
        wait_until("recovery", || works(&gateway));
        assert_eq!(server.pipes(), pipes + 1, "{wire:?}");
        let calls = server.seen("tools/call");
        assert_eq!(calls.iter().filter(|call| call["params"]["name"] == tool).count(), 1, "{wire:?}");
    }
}

#[test]
fn a_server_that_dies_during_a_call_is_contained() {
    assert_ends_the_pipe("die");
}

#[test]
fn a_server_that_sends_too_much_is_contained() {
    assert_ends_the_pipe("oversized");
}

#[test]
fn a_server_that_only_babbles_is_contained() {
    assert_ends_the_pipe("babble");
}

#[test]
fn garbage_between_messages_is_passed_over() {
    for wire in WIRES {
        let server = Piped::start(wire);
        let gateway = over(&server.url());
        assert_eq!(gateway.client().text_of("up__garbage", &json!({})), "after garbage", "{wire:?}");
        assert_eq!(server.pipes(), 1);
    }
}

#[test]
fn a_server_that_never_answers_holds_up_nobody_else() {
    for wire in WIRES {
        let server = Piped::start(wire);
        let gateway = over(&server.url());
        std::thread::scope(|threads| {
            threads.spawn(|| assert_upstream_failed(&gateway.client().call("up__hang", &json!({}))));
            server.wait_called("hang", 1);
            let started = Instant::now();
            assert!((0..5).all(|_| works(&gateway)));
            assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        });
        assert_eq!(server.pipes(), 1, "one silent call ends no pipe");
        // It is told that nobody waits any more.
        wait_until("the cancellation", || server.seen("notifications/cancelled").len() == 1);
    }
}

#[test]
fn questions_of_a_server_are_answered() {
    for wire in WIRES {
        let server = Piped::start(wire);
        let gateway = over(&server.url());
        assert_eq!(gateway.client().text_of("up__ask", &json!({})), "asked");
        wait_until("both answers", || server.seen("").len() == 2);
        let answers = server.seen("");
        let answer = |id: &str| answers.iter().find(|answer| answer["id"] == id).unwrap();
        assert_eq!(answer("ping")["result"], json!({}));
        assert_eq!(answer("roots")["error"]["code"], -32601);
    }
}

#[test]
fn a_cut_pipe_is_opened_again_by_itself() {
    for wire in WIRES {
        let server = Piped::start(wire);
        let gateway = over(&server.url());
        server.cut();
        wait_until("another pipe", || server.pipes() == 2);
        wait_until("recovery", || works(&gateway));
        // What it says on the new one is heard.
        let lists = server.seen("tools/list").len();
        server.say(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
        wait_until("the list to be fetched", || server.seen("tools/list").len() > lists);
    }
}

#[test]
fn messages_are_posted_to_no_other_origin() {
    let other = Piped::start(Wire::Sse);
    let foreign = other.url().replace("/sse", "/messages?session=1");
    for endpoint in [foreign.as_str(), "//evil.example.com/messages", "https://127.0.0.1/messages"] {
        let server = Piped::start_with_endpoint(Wire::Sse, endpoint);
        let entry = format!("{{type: sse, url: \"{}\", retry: {{initial: 50ms, max: 200ms}}}}", server.url());
        let gateway = Gateway::over(&[("up", &entry)]);
        wait_until("several attempts", || server.pipes() >= 2);
        assert_upstream_failed(&gateway.client().call("up__echo", &json!({})));
        assert!(gateway.log.text().contains("another origin"));
        assert!(!gateway.log.text().contains("session=1"), "where it is posted names the session");
    }
    assert_eq!(other.pipes(), 0);
    assert!(other.seen("initialize").is_empty());
}

#[test]
fn a_server_that_is_no_event_stream_fails_as_what_it_is() {
    // Refuses every POST, and opens a stream that never says where to post.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let entry = format!("{{type: sse, url: \"http://{}/sse\", timeout: 1s}}", mute.local_addr().unwrap());
    let alive = Piped::start(Wire::Sse);
    let gateway = Gateway::over(&[("mute", &entry), ("alive", &format!("{{url: \"{}\"}}", alive.url()))]);
    let started = Instant::now();
    wait_until("the other's tools", || gateway.client().tools().iter().any(|tool| tool == "alive__echo"));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

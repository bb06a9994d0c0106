//! Upstreams fail in every way there is. The caller hears of it in time, nobody
//! else notices, and nothing is ever executed twice.

mod child_processes;
mod probing;

use std::time::{Duration, Instant};

use portcullis_tests::gateway::Gateway;
use portcullis_tests::http::Reply;
use portcullis_tests::json;
use portcullis_tests::patience::wait_until;
use portcullis_tests::scripted::{Era, Scripted};

fn over(upstream: &Scripted) -> Gateway {
    let quick = "timeout: 1s, retry: {maxAttempts: 3, initial: 50ms, max: 200ms}";
    Gateway::over(&[("up", &format!("{{url: \"{}\", {quick}}}", upstream.url()))])
}

/// The refusal for an upstream that failed: the upstream is named, its inside is not.
fn assert_upstream_failed(reply: &Reply) {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let error = reply.json()["error"].clone();
    assert_eq!(error["code"], -31502, "{}", reply.text());
    assert_eq!(error["data"]["upstream"], "up");
    assert!(error["data"]["retryAfterSeconds"].is_number(), "{error}");
    for inside in ["127.", "Traceback", "hyper", "os error"] {
        assert!(!reply.text().contains(inside), "{inside} in {}", reply.text());
    }
}

/// Calls a faulty tool: it fails within the timeout, was executed once, and the next call works.
fn assert_contained(upstream: &Scripted, tool: &str) {
    let gateway = over(upstream);
    let started = Instant::now();
    assert_upstream_failed(&gateway.client().call(&format!("up__{tool}"), &json!({})));
    assert!(started.elapsed() < Duration::from_secs(5), "{tool} took {:?}", started.elapsed());
    assert_eq!(upstream.executed(tool).len(), 1, "{tool} may have run: it must not run again");
    wait_until("recovery", || gateway.client().call("up__echo", &json!({})).json()["result"].is_object());
}

#[test]
fn an_upstream_that_dies_mid_answer_is_contained() {
    assert_contained(&Scripted::legacy(), "die");
    assert_contained(&Scripted::modern(), "die");
}

#[test]
fn an_upstream_that_answers_garbage_is_contained() {
    assert_contained(&Scripted::legacy(), "garbage");
}

#[test]
fn an_upstream_that_answers_a_web_page_is_contained() {
    assert_contained(&Scripted::legacy(), "html");
}

#[test]
fn an_upstream_that_answers_somebody_else_is_contained() {
    assert_contained(&Scripted::legacy(), "wrong_id");
}

#[test]
fn an_upstream_that_hangs_is_contained() {
    assert_contained(&Scripted::legacy(), "hang");
    assert_contained(&Scripted::modern(), "hang");
}

#[test]
fn an_upstream_whose_stream_stays_silent_is_contained() {
    assert_contained(&Scripted::legacy(), "silent_stream");
}

#[test]
fn an_upstream_that_ends_its_stream_without_an_answer_is_contained() {
    assert_contained(&Scripted::legacy(), "cut_stream");
}

#[test]
fn an_upstream_that_fails_inside_is_contained() {
    assert_contained(&Scripted::legacy(), "crash");
}

#[test]
fn an_upstream_that_is_unavailable_is_contained() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let reply = gateway.client().call("up__unavailable", &json!({}));
    assert_upstream_failed(&reply);
    assert!(reply.text().contains("is busy"), "it was reached: {}", reply.text());
    assert!(gateway.metric("portcullis_upstream_requests_total", &[("outcome", "busy")]) > 0.5);
    wait_until("recovery", || gateway.client().call("up__echo", &json!({})).json()["result"].is_object());
}

#[test]
fn a_stream_that_breaks_off_ends_with_the_error() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let mut answer = gateway.client().open_call("up__die_in_stream", &json!({}), &json!("t"));
    assert_eq!(answer.next_event().unwrap().unwrap()["params"]["progress"], 1);
    let end = answer.next_event().unwrap().expect("an error, not just silence");
    assert_eq!((&end["id"], &end["error"]["code"]), (&json!(1), &json!(-31502)), "{end}");
    assert_eq!(upstream.executed("die_in_stream").len(), 1);
}

#[test]
fn an_upstreams_own_error_passes_unchanged() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let reply = gateway.client().call("up__reject", &json!({}));
    assert_eq!(reply.json()["error"], json!({"code": 4711, "message": "rejected as asked"}));
}

#[test]
fn a_hanging_call_holds_up_nobody_else() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    std::thread::scope(|threads| {
        threads.spawn(|| assert_upstream_failed(&gateway.client().call("up__hang", &json!({}))));
        upstream.wait_executed("hang", 1);
        let started = Instant::now();
        for _ in 0..5 {
            assert_eq!(gateway.client().call("up__echo", &json!({})).status, 200);
        }
        assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
    });
}

#[test]
fn an_expired_session_is_opened_again_unseen() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let (_, client) = gateway.client().initialize("2025-11-25");
    client.text_of("up__echo", &json!({"n": 1}));
    upstream.forget_sessions();
    client.text_of("up__echo", &json!({"n": 2}));
    assert_eq!(upstream.executed("echo").len(), 2);
}

#[test]
fn many_callers_share_one_new_session_handshake() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    gateway.client().text_of("up__echo", &json!({}));
    let before = upstream.seen("initialize").len();
    upstream.forget_sessions();
    std::thread::scope(|threads| {
        for _ in 0..10 {
            threads.spawn(|| gateway.client().text_of("up__echo", &json!({})));
        }
    });
    assert_eq!(upstream.executed("echo").len(), 11);
    let handshakes = upstream.seen("initialize").len() - before;
    assert!(handshakes <= 3, "{handshakes} handshakes for ten callers");
}

#[test]
fn an_upstream_that_refuses_the_handshake_for_a_while_is_asked_again() {
    let upstream = Scripted::legacy();
    upstream.refuse_next(3);
    let gateway = over(&upstream);
    wait_until("the upstream to be used", || {
        gateway.client().call("up__echo", &json!({})).json()["result"].is_object()
    });
    assert_eq!(upstream.executed("echo").len(), 1);
}

#[test]
fn an_upstream_that_cannot_be_reached_is_named() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    gateway.client().text_of("up__echo", &json!({}));
    drop(upstream);
    assert_upstream_failed(&gateway.client().call("up__echo", &json!({})));
}

#[test]
fn an_upstream_that_comes_back_is_used_again() {
    let upstream = Scripted::legacy();
    let address = upstream.address();
    let gateway = over(&upstream);
    gateway.client().text_of("up__echo", &json!({}));
    drop(upstream);
    assert_upstream_failed(&gateway.client().call("up__echo", &json!({})));
    let again = Scripted::listen(Era::Legacy, address);
    wait_until("recovery", || gateway.client().call("up__echo", &json!({})).json()["result"].is_object());
    assert_eq!(again.executed("echo").len(), 1);
}

#[test]
fn an_upstream_that_comes_back_in_another_era_is_understood() {
    let upstream = Scripted::legacy();
    let address = upstream.address();
    let gateway = over(&upstream);
    gateway.client().text_of("up__echo", &json!({}));
    drop(upstream);
    let upgraded = Scripted::listen(Era::Modern, address);
    wait_until("the new era", || gateway.client().call("up__echo", &json!({})).json()["result"].is_object());
    assert_eq!(upgraded.executed("echo").len(), 1);
}

#[test]
fn a_call_whose_tool_cannot_be_looked_up_is_counted() {
    let gone = Scripted::legacy();
    let entry = format!("{{url: \"{}\", timeout: 1s, retry: {{maxAttempts: 2, initial: 50ms, max: 30s}}}}", gone.url());
    drop(gone);
    let gateway = Gateway::over(&[("up", &entry)]);
    for _ in 0..5 {
        assert_upstream_failed(&gateway.client().call("up__echo", &json!({})));
    }
    let counted = gateway.metric("portcullis_upstream_requests_total", &[("upstream", "up")]);
    assert!((counted - 5.0).abs() < 0.1, "{counted} were counted");
}

#[test]
fn what_an_upstream_does_is_counted() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    gateway.client().text_of("up__echo", &json!({}));
    assert_upstream_failed(&gateway.client().call("up__garbage", &json!({})));
    let count = |tool: &str, status: &str| {
        gateway.metric("mcp_tool_invocations_total", &[("tool_name", tool), ("status", status), ("upstream", "up")])
    };
    assert!((count("up__echo", "success") - 1.0).abs() < 0.1);
    assert!((count("up__garbage", "upstream_error") - 1.0).abs() < 0.1);
}

//! SIGTERM: nobody new, everybody finishes, exit 0.

use nix::sys::signal::Signal;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::json;
use portcullis_tests::patience::wait_until;
use portcullis_tests::scripted::Scripted;

fn over(upstream: &Scripted, drain: &str) -> Gateway {
    let entry = format!("{{url: \"{}\"}}", upstream.url());
    Gateway::over_with(&[("up", &entry)], &format!("limits: {{drainTimeout: {drain}}}"))
}

#[test]
fn an_idle_gateway_ends_at_once_and_well() {
    let mut gateway = Gateway::over_with(&[], "limits: {drainTimeout: 30s}");
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn an_interrupt_from_the_keyboard_does_the_same() {
    let mut gateway = Gateway::over(&[]);
    gateway.signal(Signal::SIGINT);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn a_running_call_finishes_while_readiness_is_gone() {
    let upstream = Scripted::legacy();
    let mut gateway = over(&upstream, "30s");
    std::thread::scope(|threads| {
        let call = threads.spawn(|| gateway.client().text_of("up__wait", &json!({})));
        upstream.wait_executed("wait", 1);
        gateway.signal(Signal::SIGTERM);
        wait_until("readiness to go", || gateway.ready_status() == Some(503));
        upstream.open_gate();
        assert_eq!(call.join().unwrap(), "waited");
    });
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn a_running_stream_finishes_too() {
    let upstream = Scripted::legacy();
    let mut gateway = over(&upstream, "30s");
    let mut answer = gateway.client().open_call("up__progress", &json!({}), &json!("t"));
    answer.next_event().unwrap().expect("the first half");
    gateway.signal(Signal::SIGTERM);
    wait_until("readiness to go", || gateway.ready_status() == Some(503));
    upstream.open_gate();
    assert!(answer.finish().unwrap().text().contains("\"done\""));
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn a_call_that_does_not_end_does_not_hold_the_gateway_for_ever() {
    let upstream = Scripted::legacy();
    let mut gateway = over(&upstream, "500ms");
    std::thread::scope(|threads| {
        threads.spawn(|| drop(gateway.client().prepare(call()).open(gateway.main)));
        upstream.wait_executed("hang", 1);
        gateway.signal(Signal::SIGTERM);
    });
    gateway.wait_exit();
}

fn call() -> String {
    portcullis_tests::client::message("tools/call", &json!({"name": "up__hang", "arguments": {}})).to_string()
}

//! Input that is meant to hurt: the refusal is cheap, and everybody else is still served.

use std::io::{Read, Write};
use std::time::Duration;

use portcullis_tests::client::message;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::http::{connect, connect_impatient};
use portcullis_tests::json;
use portcullis_tests::patience::wait_until;
use portcullis_tests::scripted::Scripted;

fn assert_still_serving(gateway: &Gateway) {
    assert_eq!(gateway.client().request("ping", &json!({})).status, 200);
}

#[test]
fn a_hundred_thousand_open_brackets_are_refused() {
    let gateway = Gateway::over(&[]);
    for bracket in ["[", "{\"a\":"] {
        assert_eq!(gateway.client().post(bracket.repeat(100_000)).status, 400);
        let deep = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"x","arguments":{{"a":{}"#,
            bracket.repeat(100_000)
        );
        assert_eq!(gateway.client().post(deep).status, 400);
    }
    assert_still_serving(&gateway);
}

#[test]
fn deep_but_whole_arguments_do_no_harm() {
    let upstream = Scripted::legacy();
    let gateway = super::over(&upstream);
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"up__echo","arguments":{{"a":{nested}}}}}}}"#
    );
    let reply = gateway.client().post(body);
    assert!([200, 400].contains(&reply.status), "{}", reply.status);
    assert_still_serving(&gateway);
}

#[test]
fn a_head_over_the_limit_is_refused() {
    let gateway = Gateway::over(&[]);
    let huge = gateway.client().with("X-Padding", &"x".repeat(1 << 20));
    let mut connection = connect(gateway.main).unwrap();
    // The gateway may close while we still write; then the answer was given before.
    let _ = connection.write_all(&huge.prepare("{}").head("127.0.0.1"));
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_still_serving(&gateway);
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let gateway = Gateway::over_with(&[], "limits: {requestTimeout: 1s, drainTimeout: 1s}");
    let mut connection = connect(gateway.main).unwrap();
    let request = gateway.client().prepare("").header("Content-Length", "100");
    connection.write_all(&request.head("127.0.0.1")).unwrap();
    connection.write_all(b"{\"jsonrpc\"").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("the gateway ends the wait");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let gateway = Gateway::over_with(&[], "limits: {requestTimeout: 1s, drainTimeout: 1s}");
    let mut connection = connect(gateway.main).unwrap();
    connection.write_all(b"POST /mcp HTTP/1.1\r\nHost: 127").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("the gateway ends the wait");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn a_body_without_a_credential_is_not_read() {
    let gateway = Gateway::over(&[]);
    let mut connection = connect(gateway.main).unwrap();
    let request = gateway.client().without("X-API-Key").prepare("").header("Content-Length", "4000000");
    connection.write_all(&request.head("127.0.0.1")).unwrap();
    let mut start = [0; 12];
    connection.read_exact(&mut start).expect("an answer before the body");
    assert_eq!(&start, b"HTTP/1.1 401");
}

#[test]
fn clients_that_never_read_do_not_fill_the_memory() {
    let upstream = Scripted::legacy();
    let gateway = super::over(&upstream);
    assert_eq!(gateway.client().call("up__large", &json!({"bytes": 1 << 20})).status, 200);
    let before = gateway.resident_kib();

    let call = message("tools/call", &json!({"name": "up__large", "arguments": {"bytes": 3 << 20}}));
    let request = gateway.client().prepare(call.to_string());
    let silent: Vec<_> = (0..40)
        .map(|_| {
            let mut connection = connect_impatient(gateway.main, Duration::from_millis(1)).unwrap();
            connection.write_all(&request.head("127.0.0.1")).unwrap();
            connection.write_all(&request.body).unwrap();
            connection
        })
        .collect();
    upstream.wait_executed("large", 41);
    assert_still_serving(&gateway);
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 60 * 1024, "{grown} KiB for {} answers of 3 MiB", silent.len());
}

#[test]
fn a_thousand_idle_connections_do_not_keep_others_out() {
    let gateway = Gateway::over(&[]);
    let idle: Vec<_> = (0..1000).filter_map(|_| connect(gateway.main).ok()).collect();
    assert_eq!(idle.len(), 1000);
    assert_still_serving(&gateway);
}

#[test]
fn calls_over_the_limit_of_concurrency_are_refused_not_queued() {
    let upstream = Scripted::legacy();
    let gateway = Gateway::over_with(
        &[("up", &format!("{{url: \"{}\"}}", upstream.url()))],
        "limits: {maxConcurrentRequests: 2, drainTimeout: 1s}",
    );
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| assert_eq!(gateway.client().text_of("up__wait", &json!({})), "waited"));
        }
        upstream.wait_executed("wait", 2);
        assert_eq!(gateway.client().request("ping", &json!({})).status, 503);
        upstream.open_gate();
    });
    wait_until("room again", || gateway.client().request("ping", &json!({})).status == 200);
}

#[test]
fn a_header_that_smuggles_a_second_request_is_refused() {
    let gateway = Gateway::over(&[]);
    let mut connection = connect(gateway.main).unwrap();
    connection
        .write_all(
            b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nContent-Length: 40\r\nConnection: close\r\n\r\n{}{}",
        )
        .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

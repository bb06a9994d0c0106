//! Many conversations at once, and clients that do not do their part.

use std::thread;

use nix::sys::signal::Signal;
use portcullis_tests::client::message;
use portcullis_tests::command::portcullis;
use portcullis_tests::gateway::{Gateway, Home, standard};
use portcullis_tests::http::Answer;
use portcullis_tests::patience::wait_until;
use portcullis_tests::{Value, json};

use super::{question, result};

/// Conversations at once.
const CROWD: usize = 32;
/// What the process may grow by once it has served a crowd, in KiB.
const GROWTH_KIB: u64 = 48 * 1024;

/// Something to talk about for a long time.
fn lecture(tokens: usize) -> Value {
    let mut arguments = question("Tell me all you know.");
    (arguments["maxTokens"], arguments["temperature"]) = (json!(tokens), json!(2));
    arguments
}

fn running(gateway: &Gateway) -> f64 {
    gateway.metric("portcullis_model_requests", &[])
}

fn cancelled(gateway: &Gateway) -> f64 {
    gateway.metric("portcullis_model_answers_total", &[("outcome", "cancelled")])
}

#[test]
fn a_client_that_stops_reading_holds_nobody_up() {
    let gateway = Gateway::over_with(&[], "models: {chat: {path: builtin, maxConcurrent: 2}}\n");
    let mut stalled = gateway.client().open_call("chat", &lecture(2000), &json!("t"));
    stalled.next_event().unwrap().expect("the beginning");
    // It reads no further; others are answered as if it were not there.
    for _ in 0..3 {
        result(&gateway.client(), &question("hello"));
    }
    drop(stalled);
    wait_until("the model to be free", || running(&gateway) == 0.0);
}

#[test]
fn a_client_that_cancels_stops_the_model() {
    let gateway = Gateway::over_with(&[], "models: {chat: {path: builtin, maxConcurrent: 1}}\n");
    let (_, client) = gateway.client().initialize("2025-11-25");
    let mut answer = client.open_call("chat", &lecture(4000), &json!("t"));
    answer.next_event().unwrap().expect("the beginning");
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    assert_eq!(client.post(notification.to_string()).status, 202);
    wait_until("the model to be free", || cancelled(&gateway) == 1.0 && running(&gateway) == 0.0);
    let rest = answer.finish().unwrap();
    assert!(rest.text().contains("-31499"), "the stream ends and says why");
}

/// One of a crowd: reads to the end, leaves in the midst, or cancels.
fn join(gateway: &Gateway, number: usize) {
    let ends = |mut answer: Answer| while answer.next_event().unwrap().is_some() {};
    let (_, client) = gateway.client().initialize("2025-11-25");
    match number % 4 {
        0 | 1 => ends(client.open_call("chat", &lecture(24 + number), &json!("t"))),
        2 => {
            let mut answer = client.open_call("chat", &lecture(2000), &json!("t"));
            answer.next_event().unwrap().expect("the beginning");
        }
        _ => {
            let answer = client.open_call("chat", &lecture(2000), &json!("t"));
            let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
            client.post(cancel.to_string());
            ends(answer);
        }
    }
    client.request("ping", &json!({}));
}

#[test]
fn crowds_come_and_go_and_leave_nothing_behind() {
    let models =
        format!("models: {{chat: {{path: builtin, maxConcurrent: 8, maxQueue: {CROWD}, contextLength: 512}}}}\n");
    let gateway = Gateway::over_with(&[], &models);
    let crowd = || {
        thread::scope(|scope| {
            for number in 0..CROWD {
                let gateway = &gateway;
                scope.spawn(move || join(gateway, number));
            }
        });
        wait_until("the crowd to be gone", || running(&gateway) == 0.0);
        gateway.resident_kib()
    };
    let after_one = crowd();
    let most = [(); 3].map(|()| crowd()).into_iter().max().unwrap();
    assert!(most < after_one + GROWTH_KIB, "{after_one} KiB, then {most} KiB");
    result(&gateway.client(), &question("hello"));
}

#[test]
fn a_machine_that_lacks_what_a_model_asks_for_is_said_before_anything_listens() {
    let home = Home::open();
    let models = "models: {chat: {path: builtin, device: no-such-adapter}}\n";
    home.configure(&standard(&[], models));
    let told = portcullis(home.path(), &["serve", "-c", "portcullis.yaml"]);
    assert_eq!(told.code, 2, "{told:?}");
    assert!(told.stderr.contains("models.chat: ") && told.stderr.contains("adapter"), "{told:?}");
    assert!(!told.stderr.contains("listening"), "{told:?}");
}

#[test]
fn a_model_that_failed_is_tried_again_when_the_operator_says_so() {
    let home = Home::open();
    for (name, content) in [("config.json", "{}"), ("tokenizer.json", "{}"), ("model.safetensors", "no weights")] {
        home.write(&format!("model/{name}"), content);
    }
    let gateway = home.serve(&standard(&[], "models: {chat: {path: model}}\n"));
    assert_eq!(gateway.client().call("chat", &question("hello")).status, 503);
    let checkpoint = concat!(env!("CARGO_MANIFEST_DIR"), "/../inference/builtin");
    for file in std::fs::read_dir(checkpoint).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), gateway.home.file("model").join(file.file_name())).unwrap();
    }
    gateway.signal(Signal::SIGHUP);
    wait_until("the model", || gateway.metric("portcullis_model_up", &[("model", "chat")]) == 1.0);
    result(&gateway.client(), &question("hello"));
}

#[test]
fn a_wrong_request_at_openais_door_is_counted_as_a_call() {
    let gateway = super::chatting();
    let body = json!({"model": "chat", "messages": [], "temperature": 9});
    let reply = gateway.client().at("/v1/chat/completions").post(body.to_string());
    assert_eq!(reply.status, 400, "{}", reply.text());
    let calls = [("tool_name", "chat"), ("upstream", "chat"), ("status", "error")];
    assert_eq!(gateway.metric("mcp_tool_invocations_total", &calls), 1.0);
    assert_eq!(gateway.client().at("/v1/models/chat").get().json()["id"], "chat");
    assert_eq!(gateway.client().at("/v1/embeddings").post("{}").json()["error"]["code"], "unknown_url");
    let long = json!({"name": "chat", "arguments": question("hello"), "_meta": {"progressToken": "t".repeat(2000)}});
    let refused = gateway.client().post(message("tools/call", &long).to_string()).json();
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
}

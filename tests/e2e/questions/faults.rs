//! What goes wrong while a question is open: nothing hangs, nobody else hears
//! of it, and no tool runs twice.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portcullis_tests::client::Client;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::http::{Answer, Reply};
use portcullis_tests::patience::wait_until;
use portcullis_tests::scripted::{Era, Scripted};
use portcullis_tests::{Value, json};

use super::{asking, parked, text};

/// Longer than the upstream's timeout, much shorter than a person may take.
const SOON: Duration = Duration::from_secs(8);

fn over(upstream: &Scripted) -> Gateway {
    with_timeout(upstream, "1s")
}

fn with_timeout(upstream: &Scripted, timeout: &str) -> Gateway {
    let quick = "retry: {maxAttempts: 3, initial: 50ms, max: 200ms}";
    let entry = format!("{{url: \"{}\", timeout: {timeout}, {quick}}}", upstream.url());
    Gateway::over(&[("up", &entry)]).listing(&["up__ask".to_owned()])
}

/// A client with a session that can be asked, and the question it was asked
/// in the midst of a call.
fn asked(gateway: &Gateway, tool: &str) -> (Client, Answer, Value) {
    let (_, client) = gateway.client().initialize_able("2025-11-25", &json!({"elicitation": {}}));
    let mut answer = client.open("tools/call", &json!({"name": tool, "arguments": {}}));
    let question = answer.next_event().unwrap().expect("a question");
    assert_eq!(question["method"], "elicitation/create", "{question}");
    (client, answer, question)
}

fn reply_to(question: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}}).to_string()
}

fn code(reply: &Reply) -> Value {
    reply.json()["error"]["code"].clone()
}

fn works(gateway: &Gateway) -> bool {
    gateway.client().call("up__echo", &json!({})).json()["result"].is_object()
}

#[test]
fn a_reply_reaches_its_question_and_the_call_goes_on() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let (client, mut answer, question) = asked(&gateway, "up__ask");
    assert_eq!(client.post(reply_to(&question)).status, 202);
    let response = answer.next_event().unwrap().expect("the response");
    assert!(text(&response).contains("decline"), "{response}");
    let again = parked(&gateway.client(), "up__ask", &json!({}));
    let response = asking(&gateway.client(), "up__ask", &json!({}), &again).json();
    assert!(text(&response).contains("ada"), "{response}");
    assert_eq!((upstream.executed("ask").len(), upstream.replies().len()), (2, 2));
}

#[test]
fn a_session_that_ends_with_a_question_open_ends_the_call() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let (client, mut answer, question) = asked(&gateway, "up__ask");
    upstream.forget_sessions();
    let begun = Instant::now();
    assert_eq!(client.post(reply_to(&question)).status, 202);
    let end = answer.next_event().unwrap().expect("an end");
    assert_eq!((&end["id"], &end["error"]["code"]), (&json!(1), &json!(-31502)), "{end}");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(upstream.executed("ask").len(), 1, "it ran, and must not run again");
    client.text_of("up__echo", &json!({}));
}

#[test]
fn a_session_that_ends_under_a_parked_call_ends_the_call() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let client = gateway.client();
    let again = parked(&client, "up__ask", &json!({}));
    upstream.forget_sessions();
    let begun = Instant::now();
    assert_eq!(code(&asking(&client, "up__ask", &json!({}), &again)), -31502);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(code(&asking(&client, "up__ask", &json!({}), &again)), -32603, "it ended");
    assert_eq!(upstream.executed("ask").len(), 1);
    assert!(works(&gateway));
}

#[test]
fn a_server_that_breaks_off_with_a_question_open_ends_the_call() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let (client, mut answer, question) = asked(&gateway, "up__ask_and_die");
    upstream.open_gate();
    let end = answer.next_event().unwrap().expect("an end");
    assert_eq!((&end["id"], &end["error"]["code"]), (&json!(1), &json!(-31502)), "{end}");
    assert_eq!(client.post(reply_to(&question)).status, 202, "nobody waits for it");
    assert!(upstream.replies().is_empty());
    assert_eq!(upstream.executed("ask_and_die").len(), 1);
}

#[test]
fn a_server_of_another_era_takes_the_place_of_one_with_a_parked_call() {
    let upstream = Scripted::legacy();
    let address = upstream.address();
    let gateway = over(&upstream);
    let client = gateway.client();
    let again = parked(&client, "up__ask", &json!({}));
    drop(upstream);
    let upgraded = Scripted::listen(Era::Modern, address);
    let begun = Instant::now();
    assert_eq!(code(&asking(&client, "up__ask", &json!({}), &again)), -31502);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(upgraded.executed("ask").is_empty(), "it ran elsewhere");
    wait_until("the new era", || works(&gateway));
}

#[test]
fn a_question_that_belongs_to_no_call_is_refused_and_nobody_hears_it() {
    let upstream = Scripted::legacy();
    upstream.offer_streams();
    let gateway = with_timeout(&upstream, "20s");
    let [one, other] = [(); 2].map(|()| gateway.client().initialize_able("2025-11-25", &json!({"elicitation": {}})).1);
    std::thread::scope(|threads| {
        let calls = [&one, &other].map(|client| threads.spawn(|| client.call("up__wait", &json!({})).messages()));
        upstream.wait_executed("wait", 2);
        upstream.ask_listeners("whose");
        wait_until("the refusal", || !upstream.replies().is_empty());
        upstream.open_gate();
        for call in calls {
            let messages = call.join().unwrap();
            assert_eq!(messages.len(), 1, "{messages:?}");
            assert_eq!(text(&messages[0]), "waited");
        }
    });
    let refused = &upstream.replies()[0].body;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!("whose"), &json!(-32601)));
}

#[test]
fn a_response_to_another_call_reaches_nobody() {
    let upstream = Scripted::legacy();
    let gateway = with_timeout(&upstream, "20s");
    let (_, client) = gateway.client().initialize("2025-11-25");
    std::thread::scope(|threads| {
        let waiting = threads.spawn(|| client.call("up__wait", &json!({})).json());
        upstream.wait_executed("wait", 1);
        let id = &upstream.executed("wait")[0].body["id"];
        assert_eq!(code(&client.call("up__misdelivered", &json!({"id": id}))), -31502);
        upstream.open_gate();
        assert_eq!(text(&waiting.join().unwrap()), "waited");
    });
}

#[test]
fn a_client_that_goes_away_with_its_answers_ends_the_call() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let client = gateway.client();
    let again = parked(&client, "up__ask_then_wait", &json!({}));
    let mut body = portcullis_tests::client::modern("tools/call", &json!({"name": "up__ask_then_wait"}));
    body["params"]["arguments"] = json!({});
    body["params"]["inputResponses"] = again["inputResponses"].clone();
    body["params"]["requestState"] = again["requestState"].clone();
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {}});
    let request = client.prepare_modern_body(&body);
    let mut connection = portcullis_tests::http::connect(gateway.main).unwrap();
    let wire = [request.head(&gateway.main.to_string()), request.body].concat();
    std::io::Write::write_all(&mut connection, &wire).unwrap();
    wait_until("the answers", || !upstream.replies().is_empty());
    drop(connection);
    wait_until("the cancellation", || upstream.seen("notifications/cancelled").len() == 1);
    assert_eq!(code(&asking(&client, "up__ask_then_wait", &json!({}), &again)), -32603);
    assert_eq!(upstream.executed("ask_then_wait").len(), 1);
}

#[test]
fn a_call_whose_client_never_comes_back_holds_up_nothing() {
    let upstream = Scripted::legacy();
    let mut gateway = over(&upstream);
    parked(&gateway.client(), "up__ask", &json!({}));
    assert!(works(&gateway));
    let begun = Instant::now();
    gateway.signal(Signal::SIGTERM);
    assert!(gateway.wait_exit().success());
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

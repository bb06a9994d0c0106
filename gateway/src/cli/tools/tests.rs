use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use clap::Parser;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;
use crate::body::Body;
use crate::cli::{Cli, Command, Question};

type Seen = Arc<Mutex<Vec<(http::request::Parts, Value)>>>;

/// An answer: status, headers, body.
type Scripted = (u16, Vec<(&'static str, &'static str)>, String);

fn json_rpc(id: u64, result: &Value) -> Scripted {
    let body = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
    (200, vec![("content-type", "application/json"), ("mcp-session-id", "s1")], body)
}

fn handshake() -> [Scripted; 2] {
    [json_rpc(1, &json!({"protocolVersion": "2025-06-18"})), (202, vec![], String::new())]
}

fn command(cli: Cli) -> ToolsCommand {
    let Command::Question(Question::Tools(command)) = cli.command else { panic!("not `tools`") };
    command
}

/// Runs a command against an endpoint that gives these answers, one by one.
/// Gives the answer and what the endpoint saw.
fn run_against(script: impl IntoIterator<Item = Scripted>, arguments: &[&str]) -> (Answer, Seen) {
    let script: VecDeque<Scripted> = script.into_iter().collect();
    let script = Arc::new(Mutex::new(script));
    let seen = Seen::default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let server = {
        let seen = Arc::clone(&seen);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        seen.lock().unwrap().push((parts, serde_json::from_slice(&body).unwrap_or_default()));
                        let next = script.lock().unwrap().pop_front();
                        let (status, headers, body) = next.unwrap_or((204, vec![], String::new()));
                        let mut response = Response::builder().status(status);
                        for (name, value) in headers {
                            response = response.header(name, value);
                        }
                        Ok::<_, hyper::Error>(response.body(Body::from(body)).unwrap())
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        runtime
    };
    let mut line = vec!["portcullis", "tools"];
    line.extend(arguments);
    line.extend(["--url", &url]);
    let cli = Cli::try_parse_from(line).unwrap();
    let output = cli.output;
    let answer = run(command(cli), output).unwrap();
    server.shutdown_background();
    (answer, seen)
}

#[test]
fn a_call_shakes_hands_and_prints_the_text() {
    let result = json!({"content": [{"type": "text", "text": "5"}, {"type": "image", "data": "x"}]});
    let [first, second] = handshake();
    let (answer, seen) = run_against(
        [first, second, json_rpc(2, &result)],
        &["call", "demo__add", "--arg", "a=2", "--arg", "b=x y", "--key", "pcl_k"],
    );
    assert_eq!(answer, Answer::ok("5\n{\"type\":\"image\",\"data\":\"x\"}"));
    let seen = seen.lock().unwrap();
    let methods: Vec<_> = seen.iter().map(|(_, body)| body["method"].as_str()).collect();
    assert_eq!(methods, [Some("initialize"), Some("notifications/initialized"), Some("tools/call"), None]);
    assert!(seen.iter().all(|(parts, _)| parts.headers["authorization"] == "Bearer pcl_k"));
    assert_eq!(seen[2].1["params"], json!({"name": "demo__add", "arguments": {"a": 2, "b": "x y"}}));
    assert_eq!(seen[2].0.headers["mcp-session-id"], "s1");
    assert_eq!(seen[2].0.headers["mcp-protocol-version"], "2025-06-18");
    assert_eq!(seen[3].0.method, "DELETE", "the session is ended");
}

#[test]
fn a_streamed_answer_is_found_among_what_else_is_said() {
    let [first, second] = handshake();
    let stream = concat!(
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"isError\":true,\"content\":[{\"type\":\"text\",\"text\":\"no\"}]}}\n\n",
    );
    let streamed = (200, vec![("content-type", "text/event-stream")], stream.to_owned());
    let (answer, _) = run_against([first, second, streamed], &["call", "t", "--args", "{}"]);
    assert_eq!(answer, Answer::new("no", Exit::Failed));
}

#[test]
fn every_page_of_a_list_is_printed() {
    let page = |name: &str| json!({"name": name, "description": "one\u{1b}[2J\ntwo"});
    let [first, second] = handshake();
    let pages =
        [json_rpc(2, &json!({"tools": [page("a")], "nextCursor": "c"})), json_rpc(3, &json!({"tools": [page("b")]}))];
    let (answer, seen) = run_against([first, second].into_iter().chain(pages), &["list"]);
    let expected: String = ["a", "b"].map(|name| format!("{name:<32} one[2J\n")).concat();
    assert_eq!(answer, Answer::ok(expected), "control characters are taken out");
    assert_eq!(seen.lock().unwrap()[3].1["params"]["cursor"], "c");
}

#[test]
fn refusals_say_what_to_do() {
    let refusal = |status: u16| [(status, vec![("retry-after", "7")], String::new())];
    for (status, arguments, part) in [
        (401, &["list"][..], "pass --key or set PORTCULLIS_KEY"),
        (401, &["list", "--key", "k"][..], "the key is not accepted"),
        (403, &["list"][..], "access is denied"),
        (429, &["list"][..], "the rate limit is reached, try again in 7 s"),
        (502, &["list"][..], "502"),
    ] {
        let (answer, _) = run_against(refusal(status), arguments);
        assert_eq!(answer.exit, Exit::Failed);
        assert!(answer.remarks.contains(part) && answer.text.is_empty(), "{status}: {answer:?}");
    }
}

#[test]
fn a_json_rpc_error_is_told_to_people_and_to_programs() {
    let error = || {
        let [first, second] = handshake();
        let body = json!({"jsonrpc": "2.0", "id": 2, "error": {"code": -32602, "message": "unknown tool"}});
        [first, second, (200, vec![("content-type", "application/json")], body.to_string())]
    };
    let (answer, _) = run_against(error(), &["call", "t"]);
    assert_eq!(answer, Answer::none("unknown tool (JSON-RPC error -32602)", Exit::Failed));
    let (answer, _) = run_against(error(), &["call", "t", "--output", "json"]);
    assert_eq!(answer.exit, Exit::Failed);
    assert_eq!(serde_json::from_str::<Value>(&answer.text).unwrap()["error"]["code"], -32602);
}

#[test]
fn an_endpoint_that_is_not_there_and_one_that_is_not_mcp_are_told_apart() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cli = Cli::try_parse_from(["portcullis", "tools", "list", "--url", &format!("http://{unused}/mcp")]);
    let answer = run(command(cli.unwrap()), Output::Text).unwrap();
    assert!(answer.remarks.contains("cannot be reached"), "{answer:?}");
    let (answer, _) = run_against([(200, vec![], "<html>".to_owned())], &["list"]);
    assert!(answer.remarks.contains("not MCP"), "{answer:?}");
}

//! The gateway as a client's child process: `serve --stdio`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_tests::command::binary;
use portcullis_tests::gateway::{Home, KEY, standard};
use portcullis_tests::scripted::Scripted;
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{Value, json, upstream};

/// A directory with a gateway's files, and the script's `process` that starts it.
fn process(home: &Home, upstreams: &[(&str, &str)]) -> Value {
    home.configure(&standard(upstreams, ""));
    let config = home.file("portcullis.yaml");
    json!({
        "command": binary(),
        "args": ["serve", "--stdio", "-c", config],
        "env": {"PORTCULLIS_KEY": KEY},
    })
}

#[test]
fn every_client_starts_the_gateway_and_uses_what_is_behind_it() {
    let home = Home::open();
    let entry = format!("{{url: \"{}\"}}", upstream::everything());
    let process = process(&home, &[("demo", "{builtin: demo}"), ("all", &entry)]);
    let answers = json!({"sampling": "forty-two", "elicitation": {"action": "decline"}});
    for sdk in Sdk::ALL {
        let calls = json!([
            {"name": "demo__add", "arguments": {"a": 1, "b": 2}},
            {"name": "all__trigger-long-running-operation", "arguments": {"duration": 0.1, "steps": 2}},
            {"name": "all__trigger-sampling-request", "arguments": {"prompt": "hello", "maxTokens": 10}},
            {"op": "prompt", "name": "all__args-prompt", "arguments": {"city": "Bern"}},
            {"name": "none", "arguments": {}},
        ]);
        let script = json!({"transport": "stdio", "process": process, "calls": calls, "answers": answers});
        let report = sdk.perform(&script).unwrap_or_else(|said| panic!("{sdk:?} gave up: {said}"));
        assert_eq!(report["protocolVersion"], sdk.newest_revision());
        let call = |index: usize| &report["calls"][index];
        assert_eq!(call(0)["result"]["content"][0]["text"], "3", "{sdk:?}: {report}");
        let progress: Vec<f64> = call(1)["progress"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        // The last may be read at once with the response, and clients differ in which they take first.
        assert!(progress.starts_with(&[1.0]), "{sdk:?}: {report}");
        assert!(call(2)["result"].to_string().contains("forty-two"), "{sdk:?}: {report}");
        let message = &call(3)["result"]["messages"][0];
        assert_eq!(message["content"]["text"], "What's weather in Bern?", "{sdk:?}: {report}");
        assert_eq!(call(4)["error"]["code"], -32602, "{sdk:?}: {report}");
    }
}

fn start(home: &Home, key: &str) -> std::process::Child {
    let mut command = Command::new(binary());
    command.args(["serve", "--stdio", "-c"]).arg(home.file("portcullis.yaml")).env("PORTCULLIS_KEY", key);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn nothing_but_messages_goes_to_standard_output_and_it_ends_with_its_client() {
    let home = Home::open();
    process(&home, &[("demo", "{builtin: demo}")]);
    let mut child = start(&home, KEY);
    let (mut input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let hostile = ["garbage", "[]", "{}", "\u{0}", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no/such\"}"];
    for line in hostile {
        writeln!(input, "{line}").unwrap();
    }
    writeln!(input, r#"{{"jsonrpc":"2.0","id":"last","method":"tools/list"}}"#).unwrap();
    let mut heard = 0;
    for line in output.lines() {
        let message: Value = serde_json_of(&line.unwrap());
        assert_eq!(message["jsonrpc"], "2.0", "{message}");
        heard += 1;
        if message["id"] == "last" {
            break;
        }
    }
    assert!(heard <= hostile.len() + 1);
    drop(input);
    let begun = Instant::now();
    assert!(child.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(10), "it lingered for {:?}", begun.elapsed());
}

#[test]
fn what_was_asked_before_the_end_of_input_is_answered() {
    let home = Home::open();
    process(&home, &[("demo", "{builtin: demo}")]);
    let mut child = start(&home, KEY);
    let mut input = child.stdin.take().unwrap();
    let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let list = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;
    let call =
        r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"demo__add","arguments":{"a":2,"b":3}}}"#;
    write!(input, "{hello}\n{list}\n{call}\n").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    let mut answered: Vec<u64> = output
        .lines()
        .map(serde_json_of)
        .filter(|said| said["result"].is_object())
        .filter_map(|said| said["id"].as_u64())
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, [1, 2, 3], "{output}");
}

/// Listens, and reads on until that stands.
fn listen(input: &mut impl Write, lines: &mut impl Iterator<Item = Value>) {
    let listen = stateless("l", "subscriptions/listen", &json!({"notifications": {"toolsListChanged": true}}));
    writeln!(input, "{listen}").unwrap();
    assert!(lines.any(|message| message["method"] == "notifications/subscriptions/acknowledged"));
}

fn stateless(id: &str, method: &str, params: &Value) -> Value {
    let mut params = params.clone();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

#[test]
fn what_a_client_listens_to_neither_holds_it_nor_cuts_a_call() {
    let home = Home::open();
    process(&home, &[("all", &format!("{{url: \"{}\"}}", upstream::everything()))]);
    let open = || {
        let mut child = start(&home, KEY);
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        (child, input, output.lines().map(|line| serde_json_of(&line.unwrap())))
    };
    let (mut child, mut input, mut lines) = open();
    listen(&mut input, &mut lines);
    writeln!(input, r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":"l"}}}}"#).unwrap();
    let slow = json!({"name": "all__trigger-long-running-operation", "arguments": {"duration": 1, "steps": 1}});
    writeln!(input, "{}", stateless("c", "tools/call", &slow)).unwrap();
    drop(input);
    let answer = lines.find(|message| message["id"] == "c");
    assert!(answer.as_ref().is_some_and(|answer| answer["result"]["content"].is_array()), "{answer:?}");
    assert!(child.wait().unwrap().success());

    let (mut child, mut input, mut lines) = open();
    listen(&mut input, &mut lines);
    drop(input);
    let begun = Instant::now();
    assert!(child.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(5), "it lingered for {:?}", begun.elapsed());
}

fn serde_json_of(line: &str) -> Value {
    line.parse().unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn a_wrong_key_ends_it_at_once() {
    let home = Home::open();
    process(&home, &[("demo", "{builtin: demo}")]);
    let mut child = start(&home, "wrong");
    assert!(!child.wait().unwrap().success());
}

#[test]
fn its_client_is_told_of_changed_lists_also_after_a_reload() {
    let upstream = Scripted::legacy();
    upstream.offer_streams();
    let home = Home::open();
    process(&home, &[("up", &format!("{{url: \"{}\"}}", upstream.url()))]);
    let mut child = start(&home, KEY);
    let (mut input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut lines = output.lines().map(|line| serde_json_of(&line.unwrap()));
    writeln!(input, r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{}}}}"#).unwrap();
    let hello = lines.find(|message| message["id"] == 0).unwrap();
    assert_eq!(hello["result"]["capabilities"]["tools"]["listChanged"], true);
    upstream.announce("notifications/tools/list_changed");
    assert!(lines.any(|message| message["method"] == "notifications/tools/list_changed"));
    let policies = std::fs::read_to_string(home.file("policies/policies.yaml")).unwrap();
    home.write("policies/policies.yaml", &format!("{policies}\n# Changed.\n"));
    assert!(lines.any(|message| message["method"] == "notifications/prompts/list_changed"));
    drop(input);
    assert!(child.wait().unwrap().success());
}

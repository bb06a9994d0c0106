//! No file at all: what a newcomer gets. The ports are fixed, so one test at a
//! time holds them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use portcullis_tests::client::Client;
use portcullis_tests::command::shell;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::json;

fn start() -> (MutexGuard<'static, ()>, Gateway) {
    static PORTS: Mutex<()> = Mutex::new(());
    let turn = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    (turn, Gateway::built_in_default())
}

/// The lines that a user reads, wherever they were written.
fn printed(gateway: &Gateway) -> Vec<String> {
    gateway.answers.wait_for("curl ");
    gateway.answers.lines()
}

/// The `curl` command as printed, with the lines that a backslash continues.
fn curl_line(lines: &[String]) -> String {
    let from = lines.iter().position(|line| line.trim_start().starts_with("curl ")).unwrap();
    let mut command = String::new();
    for line in &lines[from..] {
        command.push_str(line);
        command.push('\n');
        if !line.ends_with('\\') {
            break;
        }
    }
    command
}

#[test]
fn the_printed_curl_line_gets_an_answer_when_pasted() {
    let (_turn, gateway) = start();
    let pasted = shell(&curl_line(&printed(&gateway)));
    assert_eq!(pasted.code, 0, "{}", pasted.stderr);
    assert!(pasted.stdout.contains("\"jsonrpc\""), "{}", pasted.stdout);
    assert!(pasted.stdout.contains("\"result\""), "{}", pasted.stdout);
}

#[test]
fn the_printed_line_for_the_model_gets_an_answer_when_pasted() {
    let (_turn, gateway) = start();
    let lines = printed(&gateway);
    let line = lines.iter().find(|line| line.contains("/v1/chat/completions")).expect("a line for the model");
    let pasted = shell(line);
    assert_eq!(pasted.code, 0, "{}", pasted.stderr);
    assert!(pasted.stdout.contains("\"chat.completion\""), "{}", pasted.stdout);
}

#[test]
fn nobody_enters_without_the_printed_key() {
    let (_turn, gateway) = start();
    assert_eq!(Client::new(gateway.main).request("tools/list", &json!({})).status, 401);
}

#[test]
fn the_printed_key_opens_the_demo_tools() {
    let (_turn, gateway) = start();
    let client = Client::new(gateway.main).key(&key(&printed(&gateway)));
    let tools = client.tools();
    for tool in ["demo__echo", "demo__add", "demo__time"] {
        assert!(tools.iter().any(|known| known == tool), "{tool} is not in {tools:?}");
    }
    assert!(client.text_of("demo__add", &json!({"a": 2, "b": 3})).contains('5'));
}

#[test]
fn each_run_has_another_key() {
    let first = {
        let (_turn, gateway) = start();
        key(&printed(&gateway))
    };
    let (_turn, gateway) = start();
    assert_ne!(key(&printed(&gateway)), first);
}

#[test]
fn it_prints_how_to_add_it_to_a_client() {
    let (_turn, gateway) = start();
    let lines = printed(&gateway);
    let url = "http://127.0.0.1:8080/mcp";
    let key = key(&lines);
    let adds = |line: &&String| !line.contains("curl") && line.contains("mcp add") && line.contains(url);
    let line = lines.iter().find(adds).unwrap_or_else(|| panic!("no such line in {lines:#?}"));
    assert!(line.contains(&key), "{line}");
}

/// The key as the `curl` line presents it.
fn key(lines: &[String]) -> String {
    let curl = curl_line(lines).replace("Authorization: Bearer ", "X-API-Key: ").replace("x-api-key", "X-API-Key");
    let from = curl.split("X-API-Key: ").nth(1).unwrap_or_else(|| panic!("no key in {curl}"));
    from.split(['\'', '"', ' ']).next().unwrap().to_owned()
}

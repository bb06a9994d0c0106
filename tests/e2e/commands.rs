//! The commands beside `serve`: answers on standard output, exit codes that scripts can trust.

use portcullis_tests::client::Client;
use portcullis_tests::command::portcullis;
use portcullis_tests::gateway::{Gateway, Home, KEY, standard};
use portcullis_tests::scripted::Scripted;
use portcullis_tests::{Value, json};

#[test]
fn check_is_content_with_a_good_configuration() {
    let home = Home::open();
    home.configure(&standard(&[("up", "{url: \"http://127.0.0.1:9/mcp\"}")], ""));
    let finished = portcullis(home.path(), &["check", "-c", "portcullis.yaml"]);
    assert_eq!(finished.code, 0, "{finished:?}");
}

#[test]
fn check_answers_in_json_when_asked() {
    let home = Home::open();
    home.configure("listn: 1\n");
    let finished = portcullis(home.path(), &["check", "-c", "portcullis.yaml", "--output", "json"]);
    assert_eq!(finished.code, 2, "{finished:?}");
    assert!(finished.json().to_string().contains("listn"), "{finished:?}");
}

#[test]
fn check_finds_a_rule_that_can_never_match() {
    let home = Home::with_policies(
        "policies:\n  - {name: p, subjects: {roles: [tester]}, tools: {allow: [\"nowhere__*\"]}}\n",
    );
    home.configure(&standard(&[("up", "{url: \"http://127.0.0.1:9/mcp\"}")], ""));
    let finished = portcullis(home.path(), &["check", "-c", "portcullis.yaml"]);
    assert!(finished.said().contains("nowhere"), "{finished:?}");
}

#[test]
fn a_generated_key_works_when_its_entry_is_pasted() {
    let made = portcullis(Home::empty().path(), &["keygen", "--name", "fresh", "--role", "tester", "--output", "json"]);
    assert_eq!(made.code, 0, "{made:?}");
    let key = made.json()["key"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned();

    let made = portcullis(Home::empty().path(), &["keygen", "--name", "fresh", "--role", "tester"]);
    let entry: Vec<&str> = made.stdout.lines().skip_while(|line| !line.trim_start().starts_with("- ")).collect();
    let indent = entry[0].len() - entry[0].trim_start().len();
    let entry: String = entry
        .iter()
        .take_while(|line| !line.trim().is_empty())
        .map(|line| format!("      {}\n", line.get(indent..).unwrap_or_default()))
        .collect();
    assert!(!entry.contains(&key), "every run makes another key");
    let gateway = Home::open().serve(&standard(&[], &format!("auth:\n  apiKeys:\n    keys:\n{entry}")));
    // The key is the one word outside the entry that opens the door.
    let words = made.stdout.lines().flat_map(str::split_whitespace).filter(|word| word.len() >= 32);
    let opened = words
        .map(|word| word.trim_matches(['"', '\'', '`']))
        .any(|word| word.is_ascii() && Client::new(gateway.main).key(word).request("ping", &json!({})).status == 200);
    assert!(opened, "no key in {}", made.stdout);
}

#[test]
fn tools_are_listed_from_the_command_line() {
    let upstream = Scripted::legacy();
    let gateway = Gateway::over(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))]);
    let url = gateway.url("/mcp");
    let finished = portcullis(gateway.home.path(), &["tools", "list", "--url", &url, "--key", KEY]);
    assert_eq!(finished.code, 0, "{finished:?}");
    assert!(finished.stdout.contains("up__echo"), "{finished:?}");
    let finished = portcullis(gateway.home.path(), &["tools", "list", "--url", &url, "--key", KEY, "--output", "json"]);
    assert!(finished.json().to_string().contains("\"up__echo\""));
}

#[test]
fn a_tool_is_called_from_the_command_line() {
    let upstream = Scripted::legacy();
    let gateway = Gateway::over(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))]);
    let url = gateway.url("/mcp");
    let call = |tool: &str| {
        portcullis(
            gateway.home.path(),
            &["tools", "call", "--url", &url, "--key", KEY, tool, "--args", "{\"word\": \"portcullis\"}"],
        )
    };
    let finished = call("up__echo");
    assert_eq!(finished.code, 0, "{finished:?}");
    assert!(finished.stdout.contains("portcullis"), "{finished:?}");
    assert_ne!(call("up__fail").code, 0);
    assert_ne!(call("up__none").code, 0);
}

#[test]
fn the_command_line_client_says_when_it_is_not_let_in() {
    let gateway = Gateway::over(&[]);
    let finished = portcullis(gateway.home.path(), &["tools", "list", "--url", &gateway.url("/mcp"), "--key", "wrong"]);
    assert_ne!(finished.code, 0);
    assert!(finished.stderr.contains("401") || finished.stderr.contains("credential"), "{finished:?}");
    assert!(finished.stdout.is_empty(), "{finished:?}");

    let arguments = ["tools", "list", "--url", &gateway.url("/mcp"), "--key", "wrong", "--output", "json"];
    let finished = portcullis(gateway.home.path(), &arguments);
    assert_ne!(finished.code, 0);
    assert!(
        finished.json()["error"]["message"].as_str().is_some_and(|message| message.contains("401")),
        "{finished:?}"
    );
}

#[test]
fn completions_are_made_for_the_common_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let finished = portcullis(Home::empty().path(), &["completions", shell]);
        assert_eq!(finished.code, 0, "{finished:?}");
        assert!(finished.stdout.contains("keygen"), "{shell}");
    }
}

#[test]
fn every_command_explains_itself() {
    for command in ["serve", "check", "policy", "keygen", "schema", "tools", "audit", "models"] {
        let finished = portcullis(Home::empty().path(), &[command, "--help"]);
        assert_eq!(finished.code, 0, "{finished:?}");
        assert!(finished.stdout.contains("Usage"), "{command}");
    }
    assert_ne!(portcullis(Home::empty().path(), &["srve"]).code, 0);
}

#[test]
fn the_json_of_a_key_holds_its_hash() {
    let made = portcullis(Home::empty().path(), &["keygen", "--name", "n", "--output", "json"]).json();
    let key = made["key"].as_str().unwrap();
    assert!(key.len() >= 32, "a key is not guessed");
    let hash = portcullis_tests::gateway::sha256(key);
    let holds = |value: &Value| value.to_string().contains(&hash);
    assert!(holds(&made), "{made}");
}

//! Clients that are started from a command line: `mcp-remote`, by which hosts
//! that know child processes alone reach servers over HTTP, and the Inspector.

use std::process::Command;

use portcullis_tests::command::binary;
use portcullis_tests::gateway::{Gateway, Home, KEY, standard};
use portcullis_tests::peer::{installed, node, tests_directory};
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{Value, json, upstream};

use crate::questions::{answers, pinned, text};

const REMOTE: &str = "peers/commands/node_modules/mcp-remote/dist/proxy.js";
const INSPECTOR: &str = "peers/commands/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js";

/// Servers of both eras, over HTTP and as a child process.
fn upstreams() -> Vec<(&'static str, String)> {
    let http = |url: String| format!("{{url: \"{url}\"}}");
    vec![
        ("all", http(upstream::everything())),
        ("io", upstream::everything_stdio()),
        ("old", http(pinned("legacy"))),
        ("new", http(pinned("modern"))),
    ]
}

fn configuration() -> String {
    let upstreams = upstreams();
    let entries: Vec<_> = upstreams.iter().map(|(name, entry)| (*name, entry.as_str())).collect();
    standard(&entries, "")
}

fn gateway() -> Gateway {
    let tools = ["all__get-sum", "io__get-sum", "old__test_simple_text", "new__test_simple_text"];
    Home::open().serve(&configuration()).listing(&tools.map(str::to_owned))
}

// === mcp-remote ===

/// What a host uses through `mcp-remote`, which is started with these options.
fn assert_bridges(sdk: Sdk, gateway: &Gateway, path: &str, options: &[&str]) {
    let mut arguments = vec![json!(installed(REMOTE)), json!(gateway.url(path))];
    arguments.extend(["--header", &format!("X-API-Key:{KEY}"), "--silent"].map(|option| json!(option)));
    arguments.extend(options.iter().map(|option| json!(option)));
    let process = json!({
        "command": node().get_program().to_str(), "args": arguments,
        "env": {"MCP_REMOTE_CONFIG_DIR": gateway.home.file("mcp-remote")},
    });
    let tool = |name: &str, arguments: Value| json!({"name": name, "arguments": arguments});
    let calls = json!([
        tool("all__get-sum", json!({"a": 1, "b": 2})),
        tool("io__get-sum", json!({"a": 3, "b": 4})),
        tool("all__trigger-long-running-operation", json!({"duration": 0.2, "steps": 2})),
        {"op": "prompt", "name": "all__args-prompt", "arguments": {"city": "Bern"}},
        {"op": "read", "uri": "old+test://static-text"},
        {"op": "read", "uri": "new+test://static-text"},
        tool("old__test_elicitation", json!({"message": "Who are you?"})),
        tool("new__test_elicitation", json!({"message": "Who are you?"})),
        tool("old__test_sampling", json!({"prompt": "6 times 7?"})),
        tool("new__test_input_required_result_list_roots", json!({})),
        tool("none", json!({})),
    ]);
    let script = json!({"transport": "stdio", "process": process, "calls": calls, "answers": answers()});
    let report = sdk.perform(&script).unwrap_or_else(|said| panic!("{sdk:?} at {path} {options:?}: {said}"));
    let call = |index: usize| &report["calls"][index];
    let said = |index: usize| text(call(index));
    assert_eq!((said(0), said(1)), ("The sum of 1 and 2 is 3.".to_owned(), "The sum of 3 and 4 is 7.".to_owned()));
    assert_eq!(call(2)["progress"][0], 1.0, "{options:?}: {report}");
    let message = &call(3)["result"]["messages"][0];
    assert_eq!(message["content"]["text"], "What's weather in Bern?", "{options:?}: {report}");
    for index in [4, 5] {
        let content = &call(index)["result"]["contents"][0]["text"];
        assert_eq!(content, "This is the content of the static text resource.", "{options:?}: {report}");
    }
    for (index, expected) in [(6, "ada"), (7, "ada"), (8, "the answer is 42"), (9, "file:///srv/ada")] {
        assert!(said(index).contains(expected), "{sdk:?} {options:?}, call {index}: {report}");
    }
    assert_eq!(call(10)["error"]["code"], -32602, "{options:?}: {report}");
}

#[test]
fn mcp_remote_bridges_to_streamable_http() {
    let gateway = gateway();
    assert_bridges(Sdk::TypeScript1, &gateway, "/mcp", &["--transport", "http-only"]);
    assert_bridges(Sdk::RustHandshake, &gateway, "/mcp", &["--transport", "http-only"]);
}

#[test]
fn mcp_remote_bridges_to_the_oldest_transport() {
    assert_bridges(Sdk::Python1, &gateway(), "/sse", &["--transport", "sse-only"]);
}

#[test]
fn mcp_remote_bridges_a_host_with_a_handshake_to_the_stateless_revision() {
    assert_bridges(Sdk::RustHandshake, &gateway(), "/mcp", &["--transport", "http-only", "--protocol", "auto"]);
}

// === The Inspector ===

/// What the Inspector prints for these options.
fn inspect(home: &Home, options: &[&str]) -> Value {
    let mut command = Command::new(node().get_program());
    command.arg(installed(INSPECTOR)).args(["--cli", "--format", "json", "--quiet"]).args(options);
    command.env("HOME", home.path()).current_dir(tests_directory());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    said.parse().unwrap_or_else(|_| panic!("{options:?}: {said}{}", String::from_utf8_lossy(&output.stderr)))
}

/// What the Inspector shows of a gateway that these options reach.
fn assert_inspects(home: &Home, server: &[&str]) {
    let inspect = |method: &str, options: &[&str]| {
        let result = inspect(home, &[&["--method", method], options, server].concat());
        result.get("result").cloned().unwrap_or(result)
    };
    let named = |list: &Value, member: &str, value: &str| {
        list.as_array().is_some_and(|items| items.iter().any(|item| item[member] == value))
    };
    let tools = inspect("tools/list", &[]);
    assert!(named(&tools["tools"], "name", "io__get-sum"), "{tools}");
    assert!(named(&tools["tools"], "name", "new__test_simple_text"), "{tools}");
    for (tool, sum) in [("all__get-sum", "The sum of 1 and 2 is 3."), ("io__get-sum", "The sum of 1 and 2 is 3.")] {
        let options = ["--tool-name", tool, "--tool-args-json", r#"{"a":1,"b":2}"#];
        let result = inspect("tools/call", &options);
        assert_eq!(result["content"][0]["text"], sum, "{result}");
    }
    let prompt = inspect("prompts/get", &["--prompt-name", "all__args-prompt", "--prompt-args", "city=Bern"]);
    assert_eq!(prompt["messages"][0]["content"]["text"], "What's weather in Bern?", "{prompt}");
    let resources = inspect("resources/list", &[]);
    assert!(named(&resources["resources"], "uri", "old+test://static-text"), "{resources}");
    let read = inspect("resources/read", &["--uri", "new+test://static-text"]);
    assert_eq!(read["contents"][0]["text"], "This is the content of the static text resource.", "{read}");
}

#[test]
fn the_inspector_shows_what_is_behind_the_gateway() {
    let gateway = gateway();
    let (url, header) = (gateway.url("/mcp"), format!("X-API-Key: {KEY}"));
    for era in ["legacy", "modern"] {
        let server = ["--protocol-era", era, "--transport", "http", "--server-url", &url, "--header", &header];
        assert_inspects(&gateway.home, &server);
    }
}

#[test]
fn the_inspector_starts_the_gateway_itself() {
    let home = Home::open();
    home.configure(&configuration());
    let (program, config) = (binary(), home.file("portcullis.yaml"));
    let key = format!("PORTCULLIS_KEY={KEY}");
    let server = ["-e", &key, "--", program.to_str().unwrap(), "serve", "--stdio", "-c", config.to_str().unwrap()];
    assert_inspects(&home, &server);
}

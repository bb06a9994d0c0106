//! Every public client against every kind of upstream, through the gateway.

use portcullis_tests::gateway::{Gateway, KEY};
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{Value, json, upstream};

/// One call that adds and one that reports progress, as a server names them.
struct Server {
    name: &'static str,
    entry: String,
    add: &'static str,
    sum: &'static str,
    slow: (&'static str, Value),
}

fn everything(name: &'static str, entry: String) -> Server {
    let slow = ("trigger-long-running-operation", json!({"duration": 0.1, "steps": 2}));
    Server { name, entry, add: "get-sum", sum: "The sum of 1 and 2 is 3.", slow }
}

fn python(name: &'static str, entry: String) -> Server {
    Server { name, entry, add: "add", sum: "3", slow: ("count", json!({"steps": 2})) }
}

fn servers() -> Vec<Server> {
    let http = |url: String| format!("{{url: \"{url}\"}}");
    vec![
        everything("http", http(upstream::everything())),
        everything("stdio", upstream::everything_stdio()),
        python("py1", http(upstream::python_1())),
        python("py2", http(upstream::python_2())),
        python("pyio", upstream::python_stdio("mcp-2")),
    ]
}

/// A gateway over all servers, once each of them has shown its tools.
fn gateway(servers: &[Server]) -> Gateway {
    let upstreams: Vec<_> = servers.iter().map(|server| (server.name, server.entry.as_str())).collect();
    let tools: Vec<_> = servers.iter().map(|server| format!("{}__{}", server.name, server.add)).collect();
    Gateway::over(&upstreams).listing(&tools)
}

fn assert_calls_every_server(sdk: Sdk) {
    let servers = servers();
    let gateway = gateway(&servers);
    let calls: Vec<Value> = servers
        .iter()
        .flat_map(|server| {
            let name = |tool: &str| format!("{}__{tool}", server.name);
            [
                json!({"name": name(server.add), "arguments": {"a": 1, "b": 2}}),
                json!({"name": name(server.slow.0), "arguments": server.slow.1}),
            ]
        })
        .collect();
    let report = sdk.run(&gateway.url("/mcp"), KEY, &json!(calls));
    assert_eq!(report["protocolVersion"], sdk.newest_revision());
    for (server, calls) in servers.iter().zip(report["calls"].as_array().unwrap().chunks(2)) {
        let text = |call: &Value| call["result"]["content"][0]["text"].clone();
        assert_eq!(text(&calls[0]), server.sum, "{sdk:?} → {}: {}", server.name, calls[0]);
        assert!(text(&calls[1]).is_string(), "{sdk:?} → {}: {}", server.name, calls[1]);
        let progress: Vec<f64> = calls[1]["progress"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        assert_eq!(progress, [1.0, 2.0], "{sdk:?} → {}", server.name);
    }
}

#[test]
fn the_python_client_1_calls_every_server() {
    assert_calls_every_server(Sdk::Python1);
}

#[test]
fn the_python_client_2_calls_every_server() {
    assert_calls_every_server(Sdk::Python2);
}

#[test]
fn the_typescript_client_1_calls_every_server() {
    assert_calls_every_server(Sdk::TypeScript1);
}

#[test]
fn the_typescript_client_2_calls_every_server() {
    assert_calls_every_server(Sdk::TypeScript2);
}

#[test]
fn the_rust_clients_call_every_server() {
    assert_calls_every_server(Sdk::Rust);
    assert_calls_every_server(Sdk::RustHandshake);
}

#[test]
fn every_client_sees_one_server_alone() {
    let servers = [python("py2", format!("{{url: \"{}\"}}", upstream::python_2()))];
    let gateway = gateway(&servers);
    for sdk in Sdk::ALL {
        let calls = json!([{"name": "echo", "arguments": {"text": "alone"}}]);
        let report = sdk.run(&gateway.url("/servers/py2/mcp"), KEY, &calls);
        assert!(report["tools"].as_array().unwrap().contains(&json!("add")), "{sdk:?}: {report}");
        assert_eq!(report["calls"][0]["result"]["content"][0]["text"], "alone", "{sdk:?}: {report}");
    }
}

#[test]
fn every_client_understands_a_failing_tool_and_a_refusal() {
    let servers = [python("py1", format!("{{url: \"{}\"}}", upstream::python_1()))];
    let gateway = gateway(&servers);
    for sdk in Sdk::ALL {
        let calls = json!([{"name": "py1__fail", "arguments": {}}, {"name": "py1__none", "arguments": {}}]);
        let report = sdk.run(&gateway.url("/mcp"), KEY, &calls);
        assert_eq!(report["calls"][0]["result"]["isError"], true, "{sdk:?}: {report}");
        assert_eq!(report["calls"][1]["error"]["code"], -32602, "{sdk:?}: {report}");
    }
}

#[test]
fn no_client_gets_in_without_the_key() {
    let gateway = Gateway::over(&[]);
    for sdk in Sdk::ALL {
        let refused = || gateway.metric("portcullis_http_requests_total", &[("code", "401")]);
        let before = refused();
        sdk.try_run(&gateway.url("/mcp"), "wrong", &json!([])).unwrap_err();
        assert!(refused() > before, "{sdk:?} gave up for another reason");
    }
}

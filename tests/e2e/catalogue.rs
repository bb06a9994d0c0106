//! Prompts, resources, templates and completions: every public client against
//! every kind of upstream, under the names and URIs the gateway gives them.

use portcullis_tests::client::Client;
use portcullis_tests::gateway::{Gateway, Home, KEY, standard};
use portcullis_tests::http::Reply;
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{Value, json, upstream};

/// What one server has, by its own names.
struct Server {
    name: &'static str,
    entry: String,
    tool: &'static str,
    prompt: (&'static str, Value, &'static str),
    resource: (&'static str, &'static str),
    template: &'static str,
    /// A completion of the prompt's or template's variable, and one value of it.
    completion: (Value, Value, &'static str),
}

fn everything(name: &'static str, entry: String) -> Server {
    Server {
        name,
        entry,
        tool: "echo",
        prompt: ("args-prompt", json!({"city": "Bern"}), "What's weather in Bern?"),
        resource: ("demo://resource/dynamic/text/7", "Resource 7"),
        template: "demo://resource/dynamic/text/{resourceId}",
        completion: (
            json!({"type": "ref/prompt", "name": "completable-prompt"}),
            json!({"name": "department", "value": "S"}),
            "Sales",
        ),
    }
}

fn python(name: &'static str, entry: String) -> Server {
    Server {
        name,
        entry,
        tool: "add",
        prompt: ("greet", json!({"name": "Ada"}), "Say hello to Ada."),
        resource: ("note://monday/tasks", "the tasks of monday"),
        template: "note://{day}/tasks",
        completion: (
            json!({"type": "ref/resource", "uri": "note://{day}/tasks"}),
            json!({"name": "day", "value": "t"}),
            "tuesday",
        ),
    }
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
    let tools: Vec<_> = servers.iter().map(|server| format!("{}__{}", server.name, server.tool)).collect();
    Gateway::over(&upstreams).listing(&tools)
}

/// The completion's reference by the names that clients of all servers know.
fn named(server: &Server, reference: &Value) -> Value {
    let mut reference = reference.clone();
    if let Some(name) = reference["name"].as_str() {
        reference["name"] = format!("{}__{name}", server.name).into();
    }
    if let Some(uri) = reference["uri"].as_str() {
        reference["uri"] = format!("{}+{uri}", server.name).into();
    }
    reference
}

fn has(list: &Value, member: &str, value: &str) -> bool {
    list.as_array().unwrap().iter().any(|item| item[member] == value)
}

fn assert_serves_every_server(sdk: Sdk) {
    let servers = servers();
    let gateway = gateway(&servers);
    let mut calls = vec![json!({"op": "prompts"}), json!({"op": "resources"}), json!({"op": "templates"})];
    for server in &servers {
        let (prompt, arguments, _) = &server.prompt;
        let (reference, argument, _) = &server.completion;
        calls.push(json!({"op": "prompt", "name": format!("{}__{prompt}", server.name), "arguments": arguments}));
        calls.push(json!({"op": "read", "uri": format!("{}+{}", server.name, server.resource.0)}));
        calls.push(json!({"op": "complete", "ref": named(server, reference), "argument": argument}));
    }
    let report = sdk.run(&gateway.url("/mcp"), KEY, &json!(calls));
    let results: Vec<&Value> = report["calls"].as_array().unwrap().iter().map(|call| &call["result"]).collect();
    for (index, server) in servers.iter().enumerate() {
        let context = format!("{sdk:?} → {}: {report}", server.name);
        assert!(has(&results[0]["prompts"], "name", &format!("{}__{}", server.name, server.prompt.0)), "{context}");
        let template = format!("{}+{}", server.name, server.template);
        assert!(has(&results[2]["resourceTemplates"], "uriTemplate", &template), "{context}");
        let [prompt, read, completion] = results[3 + 3 * index..][..3] else { unreachable!() };
        assert_eq!(prompt["messages"][0]["content"]["text"], server.prompt.2, "{context}");
        let contents = &read["contents"][0];
        assert_eq!(contents["uri"], format!("{}+{}", server.name, server.resource.0), "{context}");
        assert!(contents["text"].as_str().unwrap().contains(server.resource.1), "{context}");
        let values = completion["completion"]["values"].as_array().unwrap();
        assert!(values.contains(&json!(server.completion.2)), "{context}");
    }
    assert!(has(&results[1]["resources"], "uri", "py2+note://today"), "{sdk:?}: {report}");
}

#[test]
fn the_python_client_1_has_what_every_server_has() {
    assert_serves_every_server(Sdk::Python1);
}

#[test]
fn the_python_client_2_has_what_every_server_has() {
    assert_serves_every_server(Sdk::Python2);
}

#[test]
fn the_typescript_client_1_has_what_every_server_has() {
    assert_serves_every_server(Sdk::TypeScript1);
}

#[test]
fn the_typescript_client_2_has_what_every_server_has() {
    assert_serves_every_server(Sdk::TypeScript2);
}

#[test]
fn the_rust_clients_have_what_every_server_has() {
    assert_serves_every_server(Sdk::Rust);
    assert_serves_every_server(Sdk::RustHandshake);
}

#[test]
fn one_server_alone_keeps_its_own_names_and_uris() {
    let servers = [everything("http", format!("{{url: \"{}\"}}", upstream::everything()))];
    let gateway = gateway(&servers);
    for sdk in Sdk::ALL {
        let calls = json!([
            {"op": "prompt", "name": "args-prompt", "arguments": {"city": "Bern"}},
            {"op": "read", "uri": "demo://resource/dynamic/text/7"},
            {"op": "templates"},
            {"name": "get-resource-reference", "arguments": {"resourceType": "Text", "resourceId": 1}},
        ]);
        let report = sdk.run(&gateway.url("/servers/http/mcp"), KEY, &calls);
        let result = |index: usize| &report["calls"][index]["result"];
        assert_eq!(result(0)["messages"][0]["content"]["text"], "What's weather in Bern?", "{sdk:?}: {report}");
        assert_eq!(result(1)["contents"][0]["uri"], "demo://resource/dynamic/text/7", "{sdk:?}: {report}");
        let templates = &result(2)["resourceTemplates"];
        assert!(has(templates, "uriTemplate", "demo://resource/dynamic/text/{resourceId}"), "{sdk:?}: {report}");
        assert_eq!(result(3)["content"][1]["resource"]["uri"], "demo://resource/dynamic/text/1", "{sdk:?}: {report}");
        assert!(report["instructions"].as_str().unwrap().contains("Everything"), "{sdk:?}: {report}");
    }
}

/// Whatever a tool or prompt refers to can be read under the URI it gives.
#[test]
fn resources_in_content_bear_uris_that_can_be_read() {
    let servers = [everything("My_Files", format!("{{url: \"{}\"}}", upstream::everything()))];
    let gateway = gateway(&servers);
    for sdk in Sdk::ALL {
        let calls = json!([
            {"name": "My_Files__get-resource-links", "arguments": {"count": 2}},
            {"name": "My_Files__get-resource-reference", "arguments": {"resourceType": "Text", "resourceId": 3}},
            {"op": "prompt", "name": "My_Files__resource-prompt", "arguments": {"resourceType": "Text", "resourceId": "4"}},
        ]);
        let report = sdk.run(&gateway.url("/mcp"), KEY, &calls);
        let result = |index: usize| &report["calls"][index]["result"];
        let uris = [
            &result(0)["content"][1]["uri"],
            &result(1)["content"][1]["resource"]["uri"],
            &result(2)["messages"][1]["content"]["resource"]["uri"],
        ];
        let reads: Vec<Value> = uris.iter().map(|uri| json!({"op": "read", "uri": uri})).collect();
        let read = sdk.run(&gateway.url("/mcp"), KEY, &json!(reads));
        for (uri, call) in uris.iter().zip(read["calls"].as_array().unwrap()) {
            assert!(uri.as_str().unwrap().starts_with("my.files+demo://"), "{sdk:?}: {report}");
            assert_eq!(call["result"]["contents"][0]["uri"], **uri, "{sdk:?}: {read}");
        }
    }
}

#[test]
fn what_does_not_exist_is_said_in_the_clients_own_codes() {
    let servers = [python("py2", format!("{{url: \"{}\"}}", upstream::python_2()))];
    let gateway = gateway(&servers);
    for sdk in Sdk::ALL {
        let calls = json!([
            {"op": "prompt", "name": "py2__none"},
            {"op": "prompt", "name": "none"},
            {"op": "read", "uri": "nowhere+note://today"},
            {"op": "read", "uri": "http://127.0.0.1/none"},
        ]);
        let report = sdk.run(&gateway.url("/mcp"), KEY, &calls);
        let not_found = if sdk.newest_revision() == "2026-07-28" { -32602 } else { -32002 };
        for (call, code) in report["calls"].as_array().unwrap().iter().zip([-32602, -32602, not_found, not_found]) {
            assert_eq!(call["error"]["code"], code, "{sdk:?}: {report}");
        }
        assert_eq!(report["calls"][2]["error"]["data"]["uri"], "nowhere+note://today", "{sdk:?}: {report}");
    }
}

const POLICIES: &str = r#"
policies:
  - name: reader
    subjects: {roles: [tester]}
    tools: {allow: ["*"]}
    prompts: {allow: ["py1__greet"]}
    resources: {allow: ["note://*"], deny: ["*secret*", "py2+*"]}
"#;

#[test]
fn policies_decide_about_prompts_and_resources_by_either_of_their_names() {
    let servers = [
        python("py1", format!("{{url: \"{}\"}}", upstream::python_1())),
        python("py2", format!("{{url: \"{}\"}}", upstream::python_2())),
    ];
    let gateway = restricted(&servers);
    let client = gateway.client();
    let list = |client: &Client, method: &str, member: &str| {
        client.request(method, &json!({})).json()["result"][member].clone()
    };
    assert_eq!(list(&client, "prompts/list", "prompts").as_array().unwrap().len(), 1);
    assert_eq!(list(&client, "resources/list", "resources").as_array().unwrap().len(), 1);
    assert!(has(
        &list(&client, "resources/templates/list", "resourceTemplates"),
        "uriTemplate",
        "py1+note://{day}/tasks"
    ));
    let alone = client.clone().at("/servers/py2/mcp");
    assert_eq!(list(&alone, "resources/list", "resources"), json!([]));
    let code = |reply: Reply| reply.json()["error"]["code"].clone();
    for (client, method, params, refused) in [
        (&client, "prompts/get", json!({"name": "py1__greet", "arguments": {"name": "x"}}), None),
        (&client, "prompts/get", json!({"name": "py2__greet", "arguments": {"name": "x"}}), Some(-32602)),
        (&client, "resources/read", json!({"uri": "py1+note://today"}), None),
        (&client, "resources/read", json!({"uri": "py1+note://secret/tasks"}), Some(-32002)),
        (&client, "resources/read", json!({"uri": "py2+note://today"}), Some(-32002)),
        (&alone, "resources/read", json!({"uri": "note://today"}), Some(-32002)),
        (
            &client,
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "py2__greet"},
            "argument": {"name": "name", "value": "m"}}),
            Some(-32602),
        ),
        (
            &client,
            "completion/complete",
            json!({"ref": {"type": "ref/resource", "uri": "py1+note://{day}/tasks"},
            "argument": {"name": "day", "value": "m"}}),
            None,
        ),
    ] {
        let expected = refused.map_or(Value::Null, Value::from);
        assert_eq!(code(client.request(method, &params)), expected, "{method} {params}");
    }
}

/// A gateway over these servers where the standard key may do what
/// [`POLICIES`] say.
fn restricted(servers: &[Server]) -> Gateway {
    let upstreams: Vec<_> = servers.iter().map(|server| (server.name, server.entry.as_str())).collect();
    let tools: Vec<_> = servers.iter().map(|server| format!("{}__{}", server.name, server.tool)).collect();
    Home::with_policies(POLICIES).serve(&standard(&upstreams, "")).listing(&tools)
}

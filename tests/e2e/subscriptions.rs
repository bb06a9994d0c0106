//! What clients hear of their own accord: resources they subscribed to, what
//! they asked for by listening, and as much of servers' logs as they want.

use portcullis_tests::client::{Client, modern};
use portcullis_tests::gateway::{Gateway, Home, KEY, sha256, standard};
use portcullis_tests::http::Answer;
use portcullis_tests::patience::wait_until;
use portcullis_tests::peer::Peer;
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{Value, json};

use crate::questions::started;

const WATCHED: &str = "test://watched-resource";
const UPDATED: &str = "notifications/resources/updated";
const TOOLS: &str = "notifications/tools/list_changed";
const PROMPTS: &str = "notifications/prompts/list_changed";
const LOGGED: &str = "notifications/message";
const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// A gateway over a server of either era, once both are up. The servers are the
/// test's own, because all their clients hear of what changes.
fn gateway() -> (Gateway, [Peer; 2]) {
    with_policies(
        "policies:\n  - {name: all, subjects: {roles: [tester]}, tools: {allow: [\"*\"]}, resources: {allow: [\"*\"]}}\n",
    )
}

fn with_policies(policies: &str) -> (Gateway, [Peer; 2]) {
    let keys = format!(
        "auth:\n  apiKeys:\n    keys:\n      - {{name: tester, sha256: \"{}\", roles: [tester]}}\n",
        sha256(KEY)
    );
    let servers = ["legacy", "modern"].map(started);
    let entries = [&servers[0], &servers[1]].map(|server| format!("{{url: \"{}\"}}", server.url()));
    let gateway = Home::with_policies(policies).serve(&standard(&[("old", &entries[0]), ("new", &entries[1])], &keys));
    wait_until("both servers", || {
        let tools = gateway.client().tools();
        ["old", "new"].iter().all(|name| tools.contains(&format!("{name}__test_simple_text")))
    });
    (gateway, servers)
}

/// The ways to both servers: a path, what precedes tools there, and the URI of
/// the watched resource.
fn ways() -> [(&'static str, &'static str, String); 4] {
    [
        ("/mcp", "old__", format!("old+{WATCHED}")),
        ("/mcp", "new__", format!("new+{WATCHED}")),
        ("/servers/old/mcp", "", WATCHED.to_owned()),
        ("/servers/new/mcp", "", WATCHED.to_owned()),
    ]
}

fn session(gateway: &Gateway, path: &str) -> Client {
    let (hello, client) = gateway.client().at(path).initialize("2025-11-25");
    assert_eq!(hello.json()["result"]["capabilities"]["resources"]["subscribe"], true, "{path}");
    client
}

fn next(stream: &mut Answer) -> Value {
    stream.next_event().unwrap().expect("another message")
}

/// What is said up to the first message of a method, which is the last here.
fn until(stream: &mut Answer, method: &str) -> Vec<Value> {
    let mut heard = vec![next(stream)];
    while heard[heard.len() - 1]["method"] != method {
        heard.push(next(stream));
    }
    heard
}

fn count(heard: &[Value], method: &str) -> usize {
    heard.iter().filter(|message| message["method"] == method).count()
}

/// Opens a stream of a stateless client.
fn listen(client: &Client, id: &Value, notifications: &Value) -> Answer {
    let mut body = modern("subscriptions/listen", &json!({"notifications": notifications}));
    body["id"] = id.clone();
    client.open_prepared(&client.prepare_modern_body(&body))
}

fn code(reply: &Value) -> &Value {
    &reply["error"]["code"]
}

#[test]
fn a_session_hears_of_what_it_subscribed_to() {
    let (gateway, _servers) = gateway();
    for (path, prefix, uri) in ways() {
        let client = session(&gateway, path);
        let mut stream = client.open_stream(None);
        let subscribed = client.request("resources/subscribe", &json!({"uri": uri})).json();
        assert_eq!(subscribed["result"], json!({}), "{path} {uri}: {subscribed}");
        client.text_of(&format!("{prefix}test_trigger_resource_change"), &json!({}));
        let heard = until(&mut stream, UPDATED).pop().unwrap();
        assert_eq!(heard["params"]["uri"], json!(uri), "{path}");
        assert!(heard["params"]["_meta"][SUBSCRIPTION_ID].is_null(), "{path}: {heard}");
        let unsubscribed = client.request("resources/unsubscribe", &json!({"uri": uri})).json();
        assert_eq!(unsubscribed["result"], json!({}), "{path} {uri}");
        client.text_of(&format!("{prefix}test_trigger_resource_change"), &json!({}));
        client.text_of(&format!("{prefix}test_trigger_prompt_change"), &json!({}));
        assert_eq!(count(&until(&mut stream, PROMPTS), UPDATED), 0, "{path} {uri}");
    }
}

#[test]
fn what_changed_before_the_stream_was_opened_is_heard_on_it() {
    let (gateway, _servers) = gateway();
    for (path, prefix, uri) in ways() {
        let client = session(&gateway, path);
        client.request("resources/subscribe", &json!({"uri": uri}));
        client.text_of(&format!("{prefix}test_trigger_resource_change"), &json!({}));
        let mut stream = client.open_stream(None);
        assert_eq!(until(&mut stream, UPDATED).pop().unwrap()["params"]["uri"], json!(uri), "{path}");
    }
}

#[test]
fn one_that_unsubscribes_takes_nothing_from_another() {
    let (gateway, _servers) = gateway();
    for (path, prefix, uri) in ways() {
        let [stays, goes] = [session(&gateway, path), session(&gateway, path)];
        for client in [&stays, &goes] {
            assert_eq!(client.request("resources/subscribe", &json!({"uri": uri})).json()["result"], json!({}));
        }
        goes.request("resources/unsubscribe", &json!({"uri": uri}));
        stays.text_of(&format!("{prefix}test_trigger_resource_change"), &json!({}));
        let heard = until(&mut stays.open_stream(None), UPDATED).pop().unwrap();
        assert_eq!(heard["params"]["uri"], json!(uri), "{path}");
    }
}

#[test]
fn a_stateless_client_hears_what_it_asked_for_and_nothing_else() {
    let (gateway, _servers) = gateway();
    for (path, prefix, uri) in ways() {
        let client = gateway.client().at(path);
        let wanted = json!({"toolsListChanged": true, "resourceSubscriptions": [uri]});
        let mut both = listen(&client, &json!("both"), &wanted);
        let mut prompts = listen(&client, &json!(7), &json!({"promptsListChanged": true}));
        let first = next(&mut both);
        assert_eq!((&first["method"], &first["params"]["notifications"]), (&json!(ACKNOWLEDGED), &wanted), "{path}");
        assert_eq!(next(&mut prompts)["params"]["notifications"], json!({"promptsListChanged": true}));
        for change in ["resource", "prompt", "tool"] {
            let call = json!({"name": format!("{prefix}test_trigger_{change}_change"), "arguments": {}});
            assert_eq!(client.modern("tools/call", &call).json()["result"]["content"][0]["text"], "done");
        }
        let tagged = |id: Value, more: Value| {
            let mut params = json!({"_meta": {SUBSCRIPTION_ID: id}});
            params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            params
        };
        let mut heard = vec![next(&mut both)];
        while count(&heard, UPDATED) * count(&heard, TOOLS) == 0 {
            heard.push(next(&mut both));
        }
        for message in heard {
            let more = if message["method"] == UPDATED { json!({"uri": uri}) } else { json!({}) };
            assert!([UPDATED, TOOLS].contains(&message["method"].as_str().unwrap()), "{path}: {message}");
            assert_eq!(message["params"], tagged(json!("both"), more), "{path}");
        }
        let prompt = next(&mut prompts);
        assert_eq!((&prompt["method"], &prompt["params"]), (&json!(PROMPTS), &tagged(json!(7), json!({}))));
    }
}

#[test]
fn policies_decide_what_is_heard() {
    let (gateway, _servers) = with_policies(&format!(
        "policies:\n  - {{name: p, subjects: {{roles: [tester]}}, tools: {{allow: [\"*\"]}}, \
         resources: {{allow: [\"*\"], deny: [\"{WATCHED}\"]}}}}\n"
    ));
    for (path, _, uri) in ways() {
        let client = session(&gateway, path);
        let refused = client.request("resources/subscribe", &json!({"uri": uri})).json();
        let unknown = client.request("resources/read", &json!({"uri": uri})).json();
        assert_eq!(code(&refused), code(&unknown), "{path}: {refused}");
        let open = uri.replace("watched-resource", "static-text");
        let wanted = json!({"resourceSubscriptions": [uri, open]});
        let mut stream = listen(&gateway.client().at(path), &json!(1), &wanted);
        assert_eq!(next(&mut stream)["params"]["notifications"], json!({"resourceSubscriptions": [open]}), "{path}");
    }
}

#[test]
fn a_configuration_that_changes_ends_listening_and_keeps_subscriptions() {
    let (gateway, _servers) = gateway();
    let uri = format!("old+{WATCHED}");
    let client = session(&gateway, "/mcp");
    let mut own = client.open_stream(None);
    client.request("resources/subscribe", &json!({"uri": uri}));
    let mut listening = listen(&gateway.client(), &json!("l"), &json!({"toolsListChanged": true}));
    assert_eq!(next(&mut listening)["method"], ACKNOWLEDGED);
    let more = "policies:\n  - {name: more, subjects: {roles: [nobody]}, tools: {allow: [\"none\"]}}\n";
    gateway.home.write("policies/more.yaml", more);
    let mut last = next(&mut listening);
    while last["method"] == TOOLS {
        last = next(&mut listening);
    }
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!("l"), &json!("complete")), "{last}");
    assert_eq!(last["result"]["_meta"][SUBSCRIPTION_ID], "l");
    assert!(listening.next_event().unwrap().is_none());
    while own.next_event().unwrap().is_some() {}
    let mut own = client.open_stream(None);
    client.text_of("old__test_trigger_resource_change", &json!({}));
    assert_eq!(until(&mut own, UPDATED).pop().unwrap()["params"]["uri"], json!(uri));
    // What policy takes away is not heard any longer.
    let deny =
        format!("policies:\n  - {{name: more, subjects: {{roles: [tester]}}, resources: {{deny: [\"{WATCHED}\"]}}}}\n");
    gateway.home.write("policies/more.yaml", &deny);
    while own.next_event().unwrap().is_some() {}
    let mut own = client.open_stream(None);
    client.text_of("old__test_trigger_resource_change", &json!({}));
    client.text_of("old__test_trigger_prompt_change", &json!({}));
    // A changed configuration is one of all lists: that one comes first.
    until(&mut own, PROMPTS);
    assert_eq!(count(&until(&mut own, PROMPTS), UPDATED), 0);
}

#[test]
fn what_cannot_be_subscribed_to_is_refused() {
    let (gateway, _servers) = gateway();
    let without_session = gateway.client().request("resources/subscribe", &json!({"uri": format!("old+{WATCHED}")}));
    assert_eq!(code(&without_session.json()), -32600);
    let client = session(&gateway, "/mcp");
    for (method, params) in [
        ("resources/subscribe", json!({})),
        ("resources/subscribe", json!({"uri": 7})),
        ("logging/setLevel", json!({"level": "loud"})),
        ("logging/setLevel", json!({})),
    ] {
        assert_eq!(code(&client.request(method, &params).json()), -32602, "{method} {params}");
    }
    assert_eq!(code(&client.request("resources/subscribe", &json!({"uri": "nobody+a:b"})).json()), -32002);
    assert_eq!(code(&client.request("subscriptions/listen", &json!({"notifications": {}})).json()), -32601);
    let stateless = gateway.client();
    for params in [json!({}), json!({"notifications": []}), json!({"notifications": {"toolsListChanged": "yes"}})] {
        assert_eq!(code(&stateless.modern("subscriptions/listen", &params).json()), -32602, "{params}");
    }
    for method in ["resources/subscribe", "logging/setLevel"] {
        let reply = stateless.modern(method, &json!({"uri": "a:b", "level": "info"}));
        assert_eq!((reply.status, code(&reply.json())), (404, &json!(-32601)));
    }
    let loud = json!({"name": "old__test_simple_text", "_meta": {"io.modelcontextprotocol/logLevel": "loud"}});
    assert_eq!(code(&stateless.modern("tools/call", &loud).json()), -32602);
}

/// How many messages of a server's log came with an answer.
fn logged(mut answer: Answer) -> usize {
    let messages: Vec<_> = std::iter::from_fn(|| answer.next_event().unwrap()).collect();
    count(&messages, LOGGED)
}

/// The servers log once as information three times.
const LEVELS: [(&str, usize); 4] = [("debug", 3), ("error", 0), ("info", 3), ("notice", 0)];

#[test]
fn as_much_is_logged_to_a_session_as_it_wants() {
    let (gateway, _servers) = gateway();
    for (path, prefix, _) in ways() {
        let client = session(&gateway, path);
        let mut own = client.open_stream(None);
        for (level, expected) in LEVELS {
            assert_eq!(client.request("logging/setLevel", &json!({"level": level})).json()["result"], json!({}));
            let tool = format!("{prefix}test_tool_with_logging");
            // The one server logs beside its answer, the other with it.
            let with_answer = logged(client.open("tools/call", &json!({"name": tool, "arguments": {}})));
            client.text_of(&format!("{prefix}test_trigger_prompt_change"), &json!({}));
            let beside = count(&until(&mut own, PROMPTS), LOGGED);
            assert_eq!(with_answer + beside, expected, "{path} {prefix} {level}");
        }
    }
}

#[test]
fn as_much_is_logged_to_a_stateless_client_as_it_asks_for() {
    let (gateway, _servers) = gateway();
    for path in ["/mcp", "/servers/new/mcp"] {
        let client = gateway.client().at(path);
        let name = if path == "/mcp" { "new__test_tool_with_logging" } else { "test_tool_with_logging" };
        for (level, expected) in LEVELS.map(|(level, expected)| (Some(level), expected)).into_iter().chain([(None, 0)])
        {
            let meta = level.map_or_else(|| json!({}), |level| json!({"io.modelcontextprotocol/logLevel": level}));
            let body = modern("tools/call", &json!({"name": name, "arguments": {}, "_meta": meta}));
            let heard = logged(client.open_prepared(&client.prepare_modern_body(&body)));
            assert_eq!(heard, expected, "{path} {level:?}");
        }
    }
}

#[test]
fn sdk_clients_subscribe_and_listen() {
    let (gateway, _servers) = gateway();
    for sdk in Sdk::ALL {
        for (path, prefix, uri) in ways() {
            let trigger = format!("{prefix}test_trigger_resource_change");
            let calls = match sdk {
                Sdk::Python1 | Sdk::TypeScript1 | Sdk::RustHandshake => json!([
                    {"op": "level", "level": "error"},
                    {"op": "subscribe", "uri": uri},
                    {"name": trigger},
                    {"op": "told", "method": UPDATED},
                    {"op": "unsubscribe", "uri": uri},
                ]),
                Sdk::Python2 | Sdk::TypeScript2 | Sdk::Rust => json!([
                    {"op": "listen", "tools": false, "uris": [uri], "name": trigger},
                    {"op": "listen", "tools": true, "uris": [], "name": format!("{prefix}test_trigger_tool_change")},
                ]),
            };
            let report = sdk.run(&gateway.url(path), KEY, &calls);
            let calls = report["calls"].as_array().unwrap();
            assert!(calls.iter().all(|call| call["error"].is_null()), "{sdk:?} at {path} {prefix}: {report}");
            if matches!(sdk, Sdk::Python2 | Sdk::TypeScript2 | Sdk::Rust) {
                let heard = [&calls[0]["result"]["heard"], &calls[1]["result"]["heard"]];
                assert_eq!(heard, [&json!(uri), &json!("tools")], "{sdk:?} at {path}");
            }
        }
    }
}

#[test]
fn a_stream_that_was_cancelled_is_gone() {
    let (gateway, _servers) = gateway();
    let standing = || gateway.metric("portcullis_standing_streams", &[]);
    let stream = listen(&gateway.client(), &json!(1), &json!({"resourceSubscriptions": [format!("new+{WATCHED}")]}));
    wait_until("the stream", || standing() >= 1.0);
    drop(stream);
    wait_until("its end", || standing() < 1.0);
}

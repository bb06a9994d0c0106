//! Several upstreams behind one endpoint: names, selection, and lists that stay true.

use std::time::{Duration, Instant};

use portcullis_tests::gateway::Gateway;
use portcullis_tests::json;
use portcullis_tests::patience::{wait_for, wait_until};
use portcullis_tests::scripted::{Era, Scripted};
use portcullis_tests::upstream;
use tempfile::TempDir;

fn entry(upstream: &Scripted) -> String {
    format!("{{url: \"{}\"}}", upstream.url())
}

fn with_tools(upstream: &Scripted, tools: &str) -> Gateway {
    Gateway::over(&[("up", &format!("{{url: \"{}\", tools: {tools}}}", upstream.url()))])
}

fn has(tools: &[String], tool: &str) -> bool {
    tools.iter().any(|known| known == tool)
}

#[test]
fn tools_bear_the_name_of_their_upstream() {
    let (first, second) = (Scripted::legacy(), Scripted::modern());
    let gateway = Gateway::over(&[("one", &entry(&first)), ("two", &entry(&second))]);
    let tools = gateway.client().tools();
    assert!(has(&tools, "one__echo") && has(&tools, "two__echo") && !has(&tools, "echo"), "{tools:?}");
    assert!(gateway.client().text_of("two__echo", &json!({"to": 2})).contains("\"to\":2"));
    assert_eq!((first.executed("echo").len(), second.executed("echo").len()), (0, 1));
}

#[test]
fn a_list_keeps_the_order_of_the_file() {
    let (first, second) = (Scripted::legacy(), Scripted::legacy());
    let gateway = Gateway::over(&[("zebra", &entry(&first)), ("ant", &entry(&second))]);
    let tools = gateway.client().tools();
    let last_zebra = tools.iter().rposition(|tool| tool.starts_with("zebra__")).unwrap();
    let first_ant = tools.iter().position(|tool| tool.starts_with("ant__")).unwrap();
    assert!(last_zebra < first_ant, "{tools:?}");
    assert_eq!(gateway.client().tools(), tools);
}

#[test]
fn one_server_alone_keeps_its_own_names() {
    let (first, second) = (Scripted::legacy(), Scripted::legacy());
    let gateway = Gateway::over(&[("one", &entry(&first)), ("two", &entry(&second))]);
    let client = gateway.client().at("/servers/two/mcp");
    let tools = client.tools();
    assert!(has(&tools, "echo") && !tools.iter().any(|tool| tool.contains("__")), "{tools:?}");
    assert!(client.text_of("echo", &json!({})).contains("{}"));
    assert_eq!((first.executed("echo").len(), second.executed("echo").len()), (0, 1));
}

#[test]
fn only_included_tools_exist() {
    let upstream = Scripted::legacy();
    let gateway = with_tools(&upstream, "{include: [echo, \"f*\"]}");
    assert_eq!(gateway.client().tools(), ["up__echo", "up__fail"]);
    assert_eq!(gateway.client().call("up__large", &json!({})).json()["error"]["code"], -32602);
    assert!(upstream.executed("large").is_empty());
}

#[test]
fn excluded_tools_do_not_exist() {
    let upstream = Scripted::legacy();
    let gateway = with_tools(&upstream, "{exclude: [\"die*\", crash]}");
    let tools = gateway.client().tools();
    assert!(has(&tools, "up__echo") && !has(&tools, "up__die") && !has(&tools, "up__crash"), "{tools:?}");
    assert_eq!(gateway.client().call("up__crash", &json!({})).json()["error"]["code"], -32602);
    assert!(upstream.executed("crash").is_empty());
}

#[test]
fn a_renamed_tool_answers_to_its_new_name_alone() {
    let upstream = Scripted::legacy();
    let gateway = with_tools(&upstream, "{rename: {echo: repeat}}");
    let tools = gateway.client().tools();
    assert!(has(&tools, "up__repeat") && !has(&tools, "up__echo"), "{tools:?}");
    assert!(gateway.client().text_of("up__repeat", &json!({"a": 1})).contains("\"a\":1"));
    assert_eq!(gateway.client().call("up__echo", &json!({})).json()["error"]["code"], -32602);
    assert_eq!(upstream.executed("echo").len(), 1);
}

#[test]
fn a_dead_upstream_hides_nobody_else() {
    let (alive, dead) = (Scripted::legacy(), Scripted::legacy());
    let address = entry(&dead);
    drop(dead);
    let gateway = Gateway::over(&[("dead", &address), ("alive", &entry(&alive))]);
    let started = Instant::now();
    let tools = gateway.client().tools();
    assert!(has(&tools, "alive__echo") && !has(&tools, "dead__echo"), "{tools:?}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn a_silent_upstream_hides_nobody_else() {
    let alive = Scripted::legacy();
    // Accepts connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = format!("{{url: \"http://{}/mcp\", timeout: 1s}}", silent.local_addr().unwrap());
    let gateway = Gateway::over(&[("mute", &mute), ("alive", &entry(&alive))]);
    let started = Instant::now();
    assert!(has(&gateway.client().tools(), "alive__echo"));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn an_upstream_that_comes_up_later_appears_by_itself() {
    let (alive, first) = (Scripted::legacy(), Scripted::legacy());
    let address = first.address();
    let late = format!("{{url: \"{}\", retry: {{initial: 100ms, max: 200ms}}}}", first.url());
    drop(first);
    let gateway = Gateway::over(&[("late", &late), ("alive", &entry(&alive))]);
    assert!(!has(&gateway.client().tools(), "late__echo"));
    let _second = Scripted::listen(Era::Legacy, address);
    wait_until("the upstream's tools", || has(&gateway.client().tools(), "late__echo"));
    assert!(gateway.client().text_of("late__echo", &json!({})).contains("{}"));
}

#[test]
fn a_list_without_any_upstream_left_is_an_error_and_not_empty() {
    let dead = Scripted::legacy();
    let address = entry(&dead);
    drop(dead);
    let gateway = Gateway::over(&[("dead", &address)]);
    let reply = gateway.client().request("tools/list", &json!({}));
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (200, &json!(-31502)), "{}", reply.text());
}

#[test]
fn a_list_follows_what_the_upstream_says_has_changed() {
    let gateway = Gateway::over(&[("py", &upstream::python_stdio("mcp-1"))]);
    let client = gateway.client();
    wait_until("the upstream's tools", || has(&client.tools(), "py__grow"));
    assert!(!has(&client.tools(), "py__sprout"));
    assert_eq!(client.text_of("py__grow", &json!({"name": "sprout"})), "sprout");
    wait_until("the new tool", || has(&client.tools(), "py__sprout"));
    assert_eq!(client.text_of("py__sprout", &json!({})), "grown");
}

#[test]
fn a_list_is_not_fetched_for_every_caller() {
    let upstream = Scripted::legacy();
    let gateway = Gateway::over(&[("up", &entry(&upstream))]);
    for _ in 0..10 {
        assert!(has(&gateway.client().tools(), "up__echo"));
    }
    assert!(upstream.seen("tools/list").len() <= 2, "{}", upstream.seen("tools/list").len());
}

#[test]
fn connections_to_an_upstream_are_reused() {
    let upstream = Scripted::modern();
    let gateway = Gateway::over(&[("up", &entry(&upstream))]);
    for call in 0..20 {
        assert_eq!(
            gateway.client().modern("tools/call", &json!({"name": "up__echo", "arguments": {"n": call}})).status,
            200
        );
    }
    assert!(upstream.connections() <= 4, "{} connections", upstream.connections());
}

#[test]
fn an_upstream_gets_the_headers_of_the_file_and_not_the_callers_credential() {
    let upstream = Scripted::legacy();
    let own =
        format!("{{url: \"{}\", headers: {{X-Team: sales}}, auth: {{bearer: \"our-own-token\"}}}}", upstream.url());
    let gateway = Gateway::over(&[("up", &own)]);
    let client = gateway.client().with("Cookie", "session=private").with("X-Stray", "1");
    client.text_of("up__echo", &json!({}));
    let seen = upstream.executed("echo").remove(0);
    assert_eq!(seen.headers.get("X-Team"), Some("sales"));
    assert_eq!(seen.headers.get("Authorization"), Some("Bearer our-own-token"));
    for name in ["X-API-Key", "Cookie", "X-Stray"] {
        assert_eq!(seen.headers.get(name), None, "{name}");
    }
}

#[test]
fn numbers_and_unknown_members_arrive_as_they_were_written() {
    let upstream = Scripted::legacy();
    let gateway = Gateway::over(&[("up", &entry(&upstream))]);
    let arguments =
        r#"{"big": 12345678901234567890123, "exact": 1.10, "exp": 1E2, "esc": "\u00e9\/", "nested": {"b":1,"a":2}}"#;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"up__echo","arguments":{arguments},"x-other":[1.0]}}}}"#
    );
    assert_eq!(gateway.client().post(body).status, 200);
    let raw = String::from_utf8(upstream.executed("echo").remove(0).raw).unwrap();
    assert!(raw.contains(arguments), "{raw}");
    assert!(raw.contains(r#""x-other":[1.0]"#), "{raw}");
}

#[test]
fn files_are_served_by_the_filesystem_server() {
    let root = TempDir::new().unwrap();
    std::fs::write(root.path().join("note.txt"), "kept behind the portcullis").unwrap();
    let gateway = Gateway::over(&[("files", &upstream::filesystem_stdio(root.path()))]);
    let read = || {
        let path = root.path().join("note.txt");
        let reply = gateway.client().call("files__read_text_file", &json!({"path": path}));
        reply.json()["result"]["content"][0]["text"].as_str().map(str::to_owned)
    };
    assert_eq!(wait_for("the file", read), "kept behind the portcullis");
}

#[test]
fn every_kind_of_upstream_stands_behind_one_endpoint() {
    let gateway = Gateway::over(&[
        ("http", &format!("{{url: \"{}\"}}", upstream::everything())),
        ("stdio", &upstream::everything_stdio()),
        ("py1", &format!("{{url: \"{}\"}}", upstream::python_1())),
        ("py2", &format!("{{url: \"{}\"}}", upstream::python_2())),
        ("py2io", &upstream::python_stdio("mcp-2")),
    ]);
    let client = gateway.client();
    wait_until("every upstream's tools", || {
        let tools = client.tools();
        ["http__get-sum", "stdio__get-sum", "py1__add", "py2__add", "py2io__add"].iter().all(|tool| has(&tools, tool))
    });
    for server in ["http", "stdio"] {
        assert_eq!(
            client.text_of(&format!("{server}__get-sum"), &json!({"a": 2, "b": 40})),
            "The sum of 2 and 40 is 42."
        );
    }
    for server in ["py1", "py2", "py2io"] {
        assert_eq!(client.text_of(&format!("{server}__add"), &json!({"a": 2, "b": 40})), "42");
        let modern =
            client.modern("tools/call", &json!({"name": format!("{server}__add"), "arguments": {"a": 1, "b": 1}}));
        assert_eq!(modern.json()["result"]["content"][0]["text"], "2", "{}", modern.text());
    }
}

#[test]
fn a_pasted_block_of_mcp_servers_works_as_it_is() {
    let pasted = format!(
        "auth: {{anonymous: {{roles: [tester]}}}}\npolicies: [policies/*.yaml]\nmcpServers: {{\"up\": {{\"type\": \"http\", \"url\": \"{}\"}}}}\n",
        upstream::everything()
    );
    let gateway = portcullis_tests::gateway::Home::open().serve(&pasted);
    let client = portcullis_tests::client::Client::new(gateway.main);
    wait_until("the upstream's tools", || has(&client.tools(), "up__echo"));
}

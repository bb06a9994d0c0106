//! Who may call what: the decisions that callers feel, and the ones explained.

use portcullis_tests::client::Client;
use portcullis_tests::command::portcullis;
use portcullis_tests::gateway::{Gateway, Home, sha256, standard};
use portcullis_tests::scripted::Scripted;
use portcullis_tests::{Value, json};

const ROLES: [&str; 3] = ["tester", "analyst", "nobody"];

const POLICIES: &str = r#"
policies:
  - name: testers
    subjects: {roles: [tester]}
    tools: {allow: ["up__*"], deny: ["up__fail"]}
  - name: no-crashes
    subjects: {roles: [tester, analyst]}
    tools: {deny: ["up__cr*"]}
  - name: analysts
    subjects: {roles: [analyst]}
    tools: {allow: ["up__echo"]}
    when: 'args.limit <= 100'
"#;

/// One key per role, named after it.
fn keys() -> String {
    let entry = |role: &str| format!("      - {{name: {role}, sha256: \"{}\", roles: [{role}]}}\n", sha256(role));
    format!("auth:\n  apiKeys:\n    keys:\n{}", ROLES.map(entry).concat())
}

fn gateway(upstream: &Scripted, policies: &str) -> Gateway {
    let entry = format!("{{url: \"{}\"}}", upstream.url());
    Home::with_policies(policies).serve(&standard(&[("up", &entry)], &keys()))
}

fn as_role(gateway: &Gateway, role: &str) -> Client {
    Client::new(gateway.main).key(role)
}

/// The JSON-RPC code of a refusal, which is never an HTTP status of its own.
fn code(client: &Client, tool: &str, arguments: &Value) -> Value {
    let reply = client.call(tool, arguments);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["error"]["code"].clone()
}

#[test]
fn an_allowed_tool_is_called() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, POLICIES);
    assert!(as_role(&gateway, "tester").text_of("up__echo", &json!({"a": 1})).contains("\"a\":1"));
}

#[test]
fn without_an_allow_a_call_is_denied() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, POLICIES);
    assert_eq!(code(&as_role(&gateway, "nobody"), "up__echo", &json!({})), -32602);
    assert!(upstream.executed("echo").is_empty());
}

#[test]
fn a_deny_wins_over_an_allow_of_the_same_policy() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, POLICIES);
    assert_eq!(code(&as_role(&gateway, "tester"), "up__fail", &json!({})), -32602);
}

#[test]
fn a_deny_wins_over_an_allow_of_another_policy() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, POLICIES);
    assert_eq!(code(&as_role(&gateway, "tester"), "up__crash", &json!({})), -32602);
    assert!(upstream.executed("crash").is_empty());
}

#[test]
fn a_denied_tool_and_an_unknown_one_look_the_same() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, POLICIES);
    let client = as_role(&gateway, "tester");
    let denied = client.call("up__fail", &json!({})).text().replace("up__fail", "X");
    let unknown = client.call("up__none", &json!({})).text().replace("up__none", "X");
    assert_eq!(denied, unknown);
}

#[test]
fn a_list_holds_what_the_caller_may_call_and_nothing_else() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, POLICIES);
    let tester = as_role(&gateway, "tester").tools();
    assert!(tester.contains(&"up__echo".to_owned()) && !tester.contains(&"up__fail".to_owned()), "{tester:?}");
    assert!(!tester.contains(&"up__crash".to_owned()));
    assert_eq!(as_role(&gateway, "analyst").tools(), ["up__echo"]);
    assert_eq!(as_role(&gateway, "nobody").tools(), Vec::<String>::new());
}

#[test]
fn a_condition_on_arguments_decides_each_call() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, POLICIES);
    let analyst = as_role(&gateway, "analyst");
    assert!(analyst.text_of("up__echo", &json!({"limit": 100})).contains("100"));
    assert_eq!(code(&analyst, "up__echo", &json!({"limit": 101})), -32602);
}

#[test]
fn a_condition_that_cannot_be_evaluated_denies() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, POLICIES);
    let analyst = as_role(&gateway, "analyst");
    assert_eq!(code(&analyst, "up__echo", &json!({})), -32602);
    assert_eq!(code(&analyst, "up__echo", &json!({"limit": "many"})), -32602);
    assert!(upstream.executed("echo").is_empty());
}

#[test]
fn a_policy_for_one_principal_fits_nobody_else() {
    let upstream = Scripted::legacy();
    let policies =
        "policies:\n  - {name: one, subjects: {principals: [\"apiKey:tester\"]}, tools: {allow: [\"up__echo\"]}}\n";
    let gateway = gateway(&upstream, policies);
    assert_eq!(as_role(&gateway, "tester").tools(), ["up__echo"]);
    assert_eq!(code(&as_role(&gateway, "analyst"), "up__echo", &json!({})), -32602);
}

#[test]
fn a_policy_bound_to_a_network_allows_only_from_there() {
    let upstream = Scripted::legacy();
    let bound = |network: &str| {
        format!(
            "policies:\n  - {{name: n, subjects: {{roles: [tester]}}, tools: {{allow: [\"*\"]}}, network: {{allow: [{network}]}}}}\n"
        )
    };
    let inside = gateway(&upstream, &bound("127.0.0.0/8"));
    assert!(as_role(&inside, "tester").text_of("up__echo", &json!({})).contains("{}"));
    let outside = gateway(&upstream, &bound("10.0.0.0/8"));
    assert_eq!(code(&as_role(&outside, "tester"), "up__echo", &json!({})), -32602);
}

#[test]
fn a_tool_name_given_twice_is_refused() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, POLICIES);
    let bodies = [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"up__echo","name":"up__fail","arguments":{}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"up__echo","arguments":{},"\u006eame":"up__fail"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"up__echo"},"params":{"name":"up__fail"}}"#,
    ];
    for body in bodies {
        let reply = as_role(&gateway, "tester").post(body);
        assert!(reply.json()["error"]["code"].is_i64(), "{body} → {}", reply.text());
    }
    assert!(upstream.executed("fail").is_empty() && upstream.executed("echo").is_empty());
}

#[test]
fn arguments_given_twice_are_refused() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, POLICIES);
    let bodies = [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"up__echo","arguments":{"limit":1},"arguments":{"limit":999}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"up__echo","arguments":{"limit":1,"limit":999}}}"#,
    ];
    for body in bodies {
        let reply = as_role(&gateway, "analyst").post(body);
        assert!(reply.json()["error"]["code"].is_i64(), "{body} → {}", reply.text());
    }
    assert!(upstream.executed("echo").is_empty());
}

#[test]
fn one_server_alone_is_guarded_by_the_same_policies() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, POLICIES);
    let client = as_role(&gateway, "tester").at("/servers/up/mcp");
    assert!(client.text_of("echo", &json!({})).contains("{}"));
    assert_eq!(code(&client, "fail", &json!({})), -32602);
    assert!(!client.tools().contains(&"fail".to_owned()));
}

/// A directory with the policies above, for the commands that need no gateway running.
fn explained(arguments: &[&str]) -> (i32, String) {
    let home = Home::with_policies(POLICIES);
    home.configure(&standard(&[("up", "{url: \"http://127.0.0.1:9/mcp\"}")], &keys()));
    let line = [&["policy", "explain", "-c", "portcullis.yaml"], arguments].concat();
    let finished = portcullis(home.path(), &line);
    (finished.code, finished.said())
}

#[test]
fn explain_says_which_policy_allows() {
    let (code, said) = explained(&["--principal", "apiKey:tester", "--role", "tester", "--tool", "up__echo"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("testers"), "{said}");
}

#[test]
fn explain_says_which_policy_denies() {
    let (code, said) = explained(&["--principal", "apiKey:tester", "--role", "tester", "--tool", "up__crash"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("no-crashes"), "{said}");
}

#[test]
fn explain_evaluates_conditions() {
    let ask = |limit: &str| {
        explained(&[
            "--principal",
            "x",
            "--role",
            "analyst",
            "--tool",
            "up__echo",
            "--args",
            &format!("{{\"limit\": {limit}}}"),
        ])
    };
    assert_eq!(ask("5").0, 0);
    assert_eq!(ask("500").0, 3);
}

#[test]
fn explain_answers_in_json_when_asked() {
    let (code, said) = explained(&["--principal", "x", "--role", "nobody", "--tool", "up__echo", "--output", "json"]);
    assert_eq!(code, 3);
    let answer: Value =
        serde_json::from_str(said.lines().find(|line| line.contains('{')).map_or(&said, |_| &said)).unwrap();
    assert!(answer.is_object(), "{said}");
}

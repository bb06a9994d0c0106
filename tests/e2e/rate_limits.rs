//! How often: counted per tool call and caller, and said plainly when it is too often.

use portcullis_tests::client::{Client, message, names};
use portcullis_tests::gateway::{Gateway, Home, sha256, standard};
use portcullis_tests::http::Reply;
use portcullis_tests::json;
use portcullis_tests::scripted::Scripted;

/// Two callers of the role `tester`, each named like its key.
fn keys() -> String {
    let entry = |name: &str| format!("      - {{name: {name}, sha256: \"{}\", roles: [tester]}}\n", sha256(name));
    format!("auth:\n  apiKeys:\n    keys:\n{}{}", entry("alice"), entry("bob"))
}

fn gateway(upstream: &Scripted, limits: &str) -> Gateway {
    let policies = format!(
        "policies:\n  - name: limited\n    subjects: {{roles: [tester]}}\n    tools: {{allow: [\"*\"]}}\n    rateLimits: [{limits}]\n"
    );
    let entry = format!("{{url: \"{}\"}}", upstream.url());
    Home::with_policies(&policies).serve(&standard(&[("up", &entry)], &keys()))
}

fn alice(gateway: &Gateway) -> Client {
    Client::new(gateway.main).key("alice")
}

fn echo(client: &Client) -> Reply {
    client.call("up__echo", &json!({}))
}

#[test]
fn a_call_over_the_limit_is_refused_with_the_time_to_wait() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, "{tools: [\"up__echo\"], limit: 2/hour}");
    let client = alice(&gateway);
    assert_eq!([echo(&client).status, echo(&client).status], [200, 200]);

    let refused = echo(&client);
    assert_eq!(refused.status, 429, "{}", refused.text());
    let error = refused.json()["error"].clone();
    assert_eq!(error["code"], -31429);
    let header: f64 = refused.header("Retry-After").parse().expect("whole seconds");
    let seconds = error["data"]["retryAfterSeconds"].as_f64().expect("a number");
    assert!((1.0..=3600.0).contains(&header), "{header}");
    assert!((header - seconds).abs() <= 1.0, "{header} and {seconds} disagree");
    assert_eq!(refused.json()["id"], 1, "the refusal names the request");
    assert_eq!(upstream.executed("echo").len(), 2);
}

#[test]
fn a_burst_is_allowed_before_the_rate_holds() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, "{tools: [\"up__echo\"], limit: 1/hour, burst: 5}");
    let statuses: Vec<u16> = (0..7).map(|_| echo(&alice(&gateway)).status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429]);
}

#[test]
fn quota_comes_back_with_time() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, "{tools: [\"up__echo\"], limit: 4/second, burst: 1}");
    assert_eq!(echo(&alice(&gateway)).status, 200);
    portcullis_tests::patience::wait_until("the quota to refill", || echo(&alice(&gateway)).status == 200);
}

#[test]
fn one_caller_does_not_spend_anothers_quota() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, "{tools: [\"*\"], limit: 1/hour, per: principal}");
    assert_eq!([echo(&alice(&gateway)).status, echo(&alice(&gateway)).status], [200, 429]);
    assert_eq!(echo(&Client::new(gateway.main).key("bob")).status, 200);
}

#[test]
fn a_quota_per_policy_is_shared_by_all_callers() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, "{tools: [\"*\"], limit: 1/hour, per: policy}");
    assert_eq!(echo(&alice(&gateway)).status, 200);
    assert_eq!(echo(&Client::new(gateway.main).key("bob")).status, 429);
}

#[test]
fn a_quota_per_address_is_shared_by_all_callers_there() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, "{tools: [\"*\"], limit: 1/hour, per: ip}");
    assert_eq!(echo(&alice(&gateway)).status, 200);
    assert_eq!(echo(&Client::new(gateway.main).key("bob")).status, 429);
}

#[test]
fn a_limit_on_one_tool_leaves_the_others_free() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, "{tools: [\"up__echo\"], limit: 1/hour}");
    let client = alice(&gateway);
    assert_eq!([echo(&client).status, echo(&client).status], [200, 429]);
    assert_eq!(client.call("up__fail", &json!({})).status, 200);
}

#[test]
fn only_tool_calls_spend_quota() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, "{tools: [\"*\"], limit: 1/hour}");
    let client = alice(&gateway);
    for _ in 0..5 {
        assert_eq!(client.initialize("2025-11-25").0.status, 200);
        assert!(!client.tools().is_empty());
        assert_eq!(client.request("ping", &json!({})).status, 200);
    }
    assert_eq!(echo(&client).status, 200);
}

#[test]
fn a_denied_call_spends_no_quota() {
    let upstream = Scripted::legacy();
    let policies = "policies:\n  - name: limited\n    subjects: {roles: [tester]}\n    tools: {allow: [\"up__echo\"]}\n    \
                    rateLimits: [{tools: [\"*\"], limit: 1/hour}]\n";
    let entry = format!("{{url: \"{}\"}}", upstream.url());
    let gateway = Home::with_policies(policies).serve(&standard(&[("up", &entry)], &keys()));
    let client = alice(&gateway);
    for _ in 0..3 {
        assert_eq!(client.call("up__fail", &json!({})).status, 200);
    }
    assert_eq!(echo(&client).status, 200);
}

#[test]
fn a_call_is_counted_by_the_name_in_the_body() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, "{tools: [\"up__echo\"], limit: 1/hour}");
    let client = alice(&gateway).with("Mcp-Name", "up__fail");
    assert_eq!([echo(&client).status, echo(&client).status], [200, 429]);
}

#[test]
fn the_quota_is_the_same_behind_every_door() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, "{tools: [\"up__echo\"], limit: 3/hour}");
    let client = alice(&gateway);
    assert_eq!(client.clone().at("/servers/up/mcp").call("echo", &json!({})).status, 200);
    let rest = client.clone().at("/mcp/v1/tools/invoke").post(r#"{"name": "up__echo", "arguments": {}}"#);
    assert_eq!(rest.status, 200, "{}", rest.text());
    assert_eq!(client.modern("tools/call", &json!({"name": "up__echo", "arguments": {}})).status, 200);
    assert_eq!(echo(&client).status, 429);
}

#[test]
fn an_upstream_has_a_limit_of_its_own() {
    let upstream = Scripted::legacy();
    let entry = format!("{{url: \"{}\", rateLimits: [{{tools: [\"*\"], limit: 1/hour}}]}}", upstream.url());
    let gateway = Gateway::over(&[("up", &entry)]);
    let statuses = [(); 2].map(|()| gateway.client().call("up__echo", &json!({})).status);
    assert_eq!(statuses, [200, 429]);
}

#[test]
fn a_list_still_shows_a_tool_whose_quota_is_spent() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream, "{tools: [\"up__echo\"], limit: 1/hour}");
    let client = alice(&gateway);
    assert_eq!([echo(&client).status, echo(&client).status], [200, 429]);
    let listed = client.post(message("tools/list", &json!({})).to_string());
    assert!(names(&listed).contains(&"up__echo".to_owned()));
}

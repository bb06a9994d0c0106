//! What an operator sees: metrics, the access log, request ids, the audit log.

mod audit;

use portcullis_tests::client::Client;
use portcullis_tests::gateway::{Gateway, Home, KEY, standard};
use portcullis_tests::json;
use portcullis_tests::patience::wait_until;
use portcullis_tests::scripted::Scripted;

/// An argument that must turn up nowhere.
const PRIVATE: &str = "private-argument-4711";

fn over(upstream: &Scripted) -> Gateway {
    Gateway::over(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))])
}

fn is(value: f64, wanted: f64) -> bool {
    (value - wanted).abs() < 0.1
}

#[test]
fn the_metrics_bear_their_documented_names() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    gateway.client().text_of("up__echo", &json!({}));
    let reply = gateway.admin_get("/metrics");
    assert_eq!(reply.status, 200);
    assert!(reply.header("Content-Type").starts_with("text/plain"));
    let text = reply.text();
    let families = [
        "mcp_tool_invocations_total counter",
        "mcp_tool_duration_seconds histogram",
        "portcullis_http_requests_total counter",
        "portcullis_authentications_total counter",
        "portcullis_policy_decisions_total counter",
        "portcullis_upstream_up gauge",
        "portcullis_upstream_requests_total counter",
        "portcullis_sessions gauge",
        "portcullis_build_info gauge",
    ];
    for family in families {
        assert!(text.contains(&format!("# TYPE {family}")), "{family} is missing in\n{text}");
    }
}

#[test]
fn a_call_is_counted_with_its_outcome() {
    let upstream = Scripted::legacy();
    let policies = "policies:\n  - name: p\n    subjects: {roles: [tester]}\n    tools: {allow: [\"*\"], deny: [\"up__crash\"]}\n    \
                    rateLimits: [{tools: [\"up__large\"], limit: 1/hour}]\n";
    let entry = format!("{{url: \"{}\"}}", upstream.url());
    let gateway = Home::with_policies(policies).serve(&standard(&[("up", &entry)], ""));
    for tool in ["up__echo", "up__fail", "up__crash", "up__large", "up__large", "up__html"] {
        gateway.client().call(tool, &json!({}));
    }
    let counted = |tool: &str, status: &str| {
        let labels = [("tool_name", tool), ("status", status), ("upstream", "up")];
        wait_until(&format!("{tool} counted as {status}"), || {
            is(gateway.metric("mcp_tool_invocations_total", &labels), 1.0)
        });
    };
    counted("up__echo", "success");
    counted("up__fail", "error");
    counted("up__crash", "denied");
    counted("up__large", "success");
    counted("up__large", "rate_limited");
    counted("up__html", "upstream_error");
    assert!(is(gateway.metric("mcp_tool_duration_seconds_count", &[("tool_name", "up__echo")]), 1.0));
    assert!(is(gateway.metric("portcullis_rate_limit_rejections_total", &[("tool_name", "up__large")]), 1.0));
}

#[test]
fn what_a_caller_invents_becomes_no_label() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    for call in 0..20 {
        gateway.client().call(&format!("up__invented-{call}"), &json!({}));
        gateway.client().call(&format!("invented-{call}__x"), &json!({}));
        gateway.client().request(&format!("invented/{call}"), &json!({}));
        gateway.client().at(&format!("/invented-{call}")).get();
        let mut odd = gateway.client().prepare("");
        odd.method = format!("INVENTED{call}");
        gateway.client().send(&odd);
    }
    let text = gateway.admin_get("/metrics").text();
    assert!(!text.to_lowercase().contains("invented"), "{text}");
    assert!(is(gateway.metric("mcp_tool_invocations_total", &[("tool_name", "unknown")]), 40.0));
}

#[test]
fn requests_and_authentications_are_counted() {
    let gateway = Gateway::over(&[]);
    gateway.client().request("ping", &json!({}));
    Client::new(gateway.main).request("ping", &json!({}));
    let requests = |code: &str| {
        let labels = [("path", "/mcp"), ("method", "POST"), ("code", code)];
        gateway.metric("portcullis_http_requests_total", &labels)
    };
    wait_until("both requests", || is(requests("200"), 1.0) && is(requests("401"), 1.0));
    assert!(gateway.metric("portcullis_authentications_total", &[]) >= 2.0);
}

#[test]
fn an_upstream_is_seen_to_go_down() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let up = || gateway.metric("portcullis_upstream_up", &[("upstream", "up")]);
    gateway.client().text_of("up__echo", &json!({}));
    wait_until("the upstream to be up", || is(up(), 1.0));
    drop(upstream);
    gateway.client().call("up__echo", &json!({}));
    wait_until("the upstream to be down", || is(up(), 0.0));
}

#[test]
fn the_build_is_named() {
    let gateway = Gateway::over(&[]);
    let text = gateway.admin_get("/metrics").text();
    let line = text.lines().find(|line| line.starts_with("portcullis_build_info{")).unwrap();
    assert!(line.contains("version=\"") && line.contains("revision=\"") && line.ends_with(" 1"), "{line}");
}

#[test]
fn a_call_writes_one_access_line() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    gateway.client().with("X-Request-ID", "one-line").text_of("up__echo", &json!({}));
    let line = gateway.access_line("one-line").to_string();
    for part in ["apiKey:tester", "up__echo", "tools/call"] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
    // A later line proves that no second one is still to come.
    gateway.client().with("X-Request-ID", "later").request("ping", &json!({}));
    gateway.access_line("later");
    let lines = gateway.log.events().into_iter().filter(|line| line["request_id"] == "one-line");
    assert_eq!(lines.filter(|line| line["message"] == "request").count(), 1);
}

#[test]
fn no_log_holds_a_credential_or_an_argument() {
    let upstream = Scripted::legacy();
    let gateway = Gateway::over_with(
        &[("up", &format!("{{url: \"{}\", auth: {{bearer: upstream-token-0815}}}}", upstream.url()))],
        "telemetry: {log: {level: trace}, audit: {file: audit.jsonl}}",
    );
    let client = gateway.client();
    for tool in ["up__echo", "up__garbage", "up__crash", "up__none"] {
        client.call(tool, &json!({"secret": PRIVATE}));
    }
    client.clone().bearer("wrong-token-0816").call("up__echo", &json!({"secret": PRIVATE}));
    client.post(format!("{{\"broken\": \"{PRIVATE}\""));
    client.with("X-Request-ID", "last").request("ping", &json!({}));
    gateway.access_line("last");
    let written = gateway.log.text() + &std::fs::read_to_string(gateway.home.file("audit.jsonl")).unwrap();
    for secret in [KEY, PRIVATE, "upstream-token-0815", "wrong-token-0816"] {
        assert!(!written.contains(secret), "{secret} in {written}");
    }
}

#[test]
fn a_request_id_is_kept_answered_and_passed_on() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let reply = gateway.client().with("X-Request-ID", "trace-me-7").call("up__echo", &json!({}));
    assert_eq!(reply.header("X-Request-ID"), "trace-me-7");
    assert_eq!(upstream.executed("echo")[0].headers.get("X-Request-ID"), Some("trace-me-7"));
}

#[test]
fn a_request_without_an_id_gets_one() {
    let gateway = Gateway::over(&[]);
    let ids = [(); 2].map(|()| gateway.client().request("ping", &json!({})).header("X-Request-ID").to_owned());
    assert!(ids[0].len() >= 16 && ids[0] != ids[1], "{ids:?}");
}

#[test]
fn a_request_id_that_would_forge_a_log_line_is_replaced() {
    let gateway = Gateway::over(&[]);
    let long = "x".repeat(5000);
    let reply = gateway.client().with("X-Request-ID", &long).request("ping", &json!({}));
    assert!(reply.header("X-Request-ID").len() < 300, "{}", reply.header("X-Request-ID").len());
}

#[test]
fn a_trace_context_is_passed_on() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    gateway.client().with("traceparent", parent).text_of("up__echo", &json!({}));
    let passed = upstream.executed("echo")[0].headers.get("traceparent").map(str::to_owned).unwrap_or_default();
    assert!(passed.contains("0af7651916cd43dd8448eb211c80319c"), "{passed}");
}

#[test]
fn metrics_are_not_served_to_clients() {
    let gateway = Gateway::over(&[]);
    assert_eq!(gateway.client().at("/metrics").get().status, 404);
}

#[test]
fn logs_are_text_when_asked() {
    let gateway = Gateway::over_with(&[], "telemetry: {log: {format: text}}");
    gateway.client().with("X-Request-ID", "readable").request("ping", &json!({}));
    let line = gateway.log.wait_for("readable");
    assert!(!line.trim_start().starts_with('{'), "{line}");
}

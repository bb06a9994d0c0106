//! Changed files are taken whole while calls go on, or not at all.

use nix::sys::signal::Signal;
use portcullis_tests::client::{Client, message};
use portcullis_tests::gateway::{Gateway, KEY, sha256, standard};
use portcullis_tests::json;
use portcullis_tests::patience::{wait_for, wait_until};
use portcullis_tests::scripted::Scripted;

fn policy(tools: &str) -> String {
    format!("policies:\n  - {{name: p, subjects: {{roles: [tester]}}, tools: {{allow: [{tools}]}}}}\n")
}

fn over(upstream: &Scripted) -> Gateway {
    Gateway::over(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))])
}

fn reloads(gateway: &Gateway, outcome: &str) -> f64 {
    gateway.metric("portcullis_config_reloads_total", &[("outcome", outcome)])
}

#[test]
fn a_changed_policy_file_is_taken() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    assert!(gateway.client().tools().len() > 1);
    gateway.home.write("policies/policies.yaml", &policy("up__echo"));
    wait_until("the new policy", || gateway.client().tools() == ["up__echo"]);
    assert_eq!(gateway.client().call("up__fail", &json!({})).json()["error"]["code"], -32602);
}

#[test]
fn a_new_policy_file_is_taken() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let deny = "policies:\n  - {name: d, subjects: {roles: [tester]}, tools: {deny: [\"up__fail\"]}}\n";
    gateway.home.write("policies/more.yaml", deny);
    wait_until("the new policy", || !gateway.client().tools().contains(&"up__fail".to_owned()));
}

#[test]
fn an_invalid_policy_file_leaves_the_last_good_one() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    gateway.home.write("policies/policies.yaml", &policy("up__echo"));
    wait_until("the good policy", || gateway.client().tools() == ["up__echo"]);
    gateway.home.write("policies/policies.yaml", "policies:\n  - {name: p, subjekts: {}}\n");
    wait_until("the refusal", || reloads(&gateway, "failure") >= 1.0);
    assert_eq!(gateway.client().tools(), ["up__echo"]);
    gateway.log.wait_for("subjekts");
    gateway.home.write("policies/policies.yaml", &policy("up__fail"));
    wait_until("the repaired policy", || gateway.client().tools() == ["up__fail"]);
}

#[test]
fn a_signal_makes_the_gateway_look_at_what_it_cannot_watch() {
    let gateway = Gateway::over(&[]);
    let elsewhere = tempfile::TempDir::new().unwrap();
    let folder = elsewhere.path().join("later");
    let entry = format!("{{command: \"true\", cwd: \"{}\"}}", folder.display());
    gateway.home.configure(&standard(&[("late", &entry)], ""));
    wait_until("the refusal", || reloads(&gateway, "failure") >= 1.0);
    std::fs::create_dir(folder).unwrap();
    gateway.signal(Signal::SIGHUP);
    wait_until("the reload", || reloads(&gateway, "success") >= 1.0);
}

#[test]
fn a_new_key_enters_and_an_old_one_is_shut_out() {
    let gateway = Gateway::over(&[]);
    let ping = |key: &str| Client::new(gateway.main).key(key).request("ping", &json!({})).status;
    assert_eq!((ping(KEY), ping("new")), (200, 401));
    let auth = format!(
        "auth:\n  apiKeys:\n    keys:\n      - {{name: tester, sha256: \"{}\", roles: [tester]}}\n",
        sha256("new")
    );
    gateway.home.configure(&standard(&[], &auth));
    wait_until("the new key", || ping("new") == 200);
    assert_eq!(ping(KEY), 401);
}

#[test]
fn a_new_upstream_appears_and_a_removed_one_goes() {
    let (first, second) = (Scripted::legacy(), Scripted::legacy());
    let gateway = over(&first);
    assert!(gateway.client().tools().contains(&"up__echo".to_owned()));
    gateway.home.configure(&standard(&[("other", &format!("{{url: \"{}\"}}", second.url()))], ""));
    wait_until("the new upstream", || gateway.client().tools().contains(&"other__echo".to_owned()));
    assert!(!gateway.client().tools().contains(&"up__echo".to_owned()));
    assert!(gateway.client().text_of("other__echo", &json!({})).contains("{}"));
}

#[test]
fn an_invalid_configuration_leaves_the_last_good_one() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    gateway.home.configure("upstrems: {}\n");
    gateway.signal(Signal::SIGHUP);
    wait_until("the refusal", || reloads(&gateway, "failure") >= 1.0);
    assert!(gateway.client().text_of("up__echo", &json!({})).contains("{}"));
}

#[test]
fn what_is_only_questionable_is_no_fault() {
    let gateway = Gateway::over(&[]);
    gateway.home.configure("upstrems: {}\n");
    gateway.log.wait_for("upstrems");
    let lines: Vec<_> = ["upstrems", "no policy file is named"]
        .map(|fault| {
            wait_for("the line", || {
                gateway.log.find(|line| line["fault"].as_str().is_some_and(|text| text.contains(fault)))
            })
        })
        .into();
    assert_eq!((&lines[0]["level"], &lines[1]["level"]), (&json!("error"), &json!("warn")), "{lines:?}");
}

#[test]
fn a_running_call_survives_a_reload() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    std::thread::scope(|threads| {
        let call = threads.spawn(|| gateway.client().text_of("up__wait", &json!({})));
        upstream.wait_executed("wait", 1);
        gateway.home.write("policies/policies.yaml", &policy("up__echo"));
        wait_until("the new policy", || gateway.client().tools() == ["up__echo"]);
        upstream.open_gate();
        assert_eq!(call.join().unwrap(), "waited");
    });
}

#[test]
fn a_changed_drain_timeout_is_taken() {
    let upstream = Scripted::legacy();
    let entry = format!("{{url: \"{}\"}}", upstream.url());
    let limits = |drain: &str| format!("limits: {{drainTimeout: {drain}, maxConcurrentRequests: 9}}");
    let mut gateway = Gateway::over_with(&[("up", &entry)], &limits("24h").replace('9', "8"));
    gateway.home.configure(&standard(&[("up", &entry)], &limits("100ms")));
    wait_until("the reload", || reloads(&gateway, "success") >= 1.0);
    gateway.log.wait_for("the number of connections changes with a restart only");
    std::thread::scope(|threads| {
        threads.spawn(|| gateway.client().prepare(call("up__hang")).open(gateway.main).is_ok());
        upstream.wait_executed("hang", 1);
        gateway.signal(Signal::SIGTERM);
    });
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

fn call(tool: &str) -> String {
    message("tools/call", &json!({"name": tool, "arguments": {}})).to_string()
}

#[test]
fn quotas_survive_a_reload_that_does_not_touch_them() {
    let upstream = Scripted::legacy();
    let limited = |name: &str| {
        format!(
            "policies:\n  - {{name: p, subjects: {{roles: [tester]}}, tools: {{allow: [\"*\"]}}, rateLimits: [{{tools: [\"*\"], limit: 1/hour}}]}}\n  - {{name: {name}, subjects: {{roles: [x]}}, tools: {{allow: [\"*\"]}}}}\n"
        )
    };
    let gateway = over(&upstream);
    gateway.home.write("policies/policies.yaml", &limited("first"));
    wait_until("the reload", || reloads(&gateway, "success") >= 1.0);
    assert_eq!(gateway.client().call("up__echo", &json!({})).status, 200);
    assert_eq!(gateway.client().call("up__echo", &json!({})).status, 429);
    let before = reloads(&gateway, "success");
    gateway.home.write("policies/policies.yaml", &limited("second"));
    wait_until("the reload", || reloads(&gateway, "success") > before);
    assert_eq!(gateway.client().call("up__echo", &json!({})).status, 429);
}

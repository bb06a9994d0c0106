//! The audit log: who did what, decided how, and proof that nobody changed it.

use std::path::Path;

use nix::sys::signal::Signal;
use portcullis_tests::command::portcullis;
use portcullis_tests::gateway::{Gateway, Home, standard};
use portcullis_tests::patience::{wait_for, wait_until};
use portcullis_tests::scripted::Scripted;
use portcullis_tests::{Value, json};

const POLICIES: &str = "\
policies:
  - {name: most, subjects: {roles: [tester]}, tools: {allow: [\"*\"], deny: [\"up__crash\"]}}
";

fn gateway(upstream: &Scripted) -> Gateway {
    let entry = format!("{{url: \"{}\"}}", upstream.url());
    let audit = "telemetry: {audit: {file: audit.jsonl}}";
    Home::with_policies(POLICIES).serve(&standard(&[("up", &entry)], audit))
}

/// The calls in the log once it has so many.
fn calls(gateway: &Gateway, count: usize) -> Vec<Value> {
    wait_for("the audit log", || {
        let text = std::fs::read_to_string(gateway.home.file("audit.jsonl")).ok()?;
        let entries = text.lines().map_while(|line| serde_json::from_str::<Value>(line).ok());
        let calls: Vec<Value> = entries.filter(|entry| entry.get("tool").is_some()).collect();
        (calls.len() >= count).then_some(calls)
    })
}

fn verify(directory: &Path) -> i32 {
    portcullis(directory, &["audit", "verify", "audit.jsonl"]).code
}

/// A log of three calls, written by a gateway that has ended since.
fn written() -> Home {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream);
    for tool in ["up__echo", "up__crash", "up__fail"] {
        gateway.client().call(tool, &json!({"n": 1}));
    }
    calls(&gateway, 3);
    let kept = Home::empty();
    kept.write("audit.jsonl", &std::fs::read_to_string(gateway.home.file("audit.jsonl")).unwrap());
    kept
}

#[test]
fn an_entry_says_who_what_and_how_it_was_decided() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream);
    gateway.client().with("X-Request-ID", "audited").text_of("up__echo", &json!({"n": 1}));
    gateway.client().call("up__crash", &json!({}));
    let entries = calls(&gateway, 2);
    let (allowed, denied) = (entries[0].to_string(), entries[1].to_string());
    for part in ["apiKey:tester", "up__echo", "most", "allow", "success", "audited"] {
        assert!(allowed.contains(part), "{part} is missing in {allowed}");
    }
    for part in ["apiKey:tester", "up__crash", "most", "deny"] {
        assert!(denied.contains(part), "{part} is missing in {denied}");
    }
}

#[test]
fn a_tool_that_does_not_exist_is_not_named() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream);
    gateway.client().with("X-Request-ID", "invented").call("up__invented", &json!({}));
    let text = || std::fs::read_to_string(gateway.home.file("audit.jsonl")).unwrap_or_default();
    let entry = wait_for("the entry", || {
        text()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|entry| entry["request_id"] == "invented")
    });
    assert_eq!((entry.get("tool"), &entry["outcome"]), (None, &json!("denied")), "{entry}");
    assert_eq!(gateway.access_line("invented").get("tool"), None);
}

#[test]
fn without_its_log_nothing_is_started() {
    let home = Home::with_policies(POLICIES);
    let entry = "{command: touch, args: [started]}";
    home.configure(&standard(&[("up", entry)], "telemetry: {audit: {file: /dev/full}}"));
    let finished = portcullis(home.path(), &["serve", "-c", "portcullis.yaml"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains("/dev/full"), "{finished:?}");
    assert!(!finished.stderr.contains("process started"), "{finished:?}");
    assert!(!home.file("started").exists(), "{finished:?}");
}

#[test]
fn an_untouched_log_is_verified() {
    assert_eq!(verify(written().path()), 0);
}

#[test]
fn a_changed_entry_is_found() {
    let home = written();
    let text = std::fs::read_to_string(home.file("audit.jsonl")).unwrap();
    let changed = text.replacen("apiKey:tester", "apiKey:nobody", 1);
    assert_ne!(changed, text);
    home.write("audit.jsonl", &changed);
    assert_ne!(verify(home.path()), 0);
}

#[test]
fn a_removed_entry_is_found() {
    let home = written();
    let text = std::fs::read_to_string(home.file("audit.jsonl")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.remove(1);
    home.write("audit.jsonl", &(lines.join("\n") + "\n"));
    assert_ne!(verify(home.path()), 0);
}

#[test]
fn swapped_entries_are_found() {
    let home = written();
    let text = std::fs::read_to_string(home.file("audit.jsonl")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.swap(1, 2);
    home.write("audit.jsonl", &(lines.join("\n") + "\n"));
    assert_ne!(verify(home.path()), 0);
}

#[test]
fn the_chain_goes_on_after_a_restart() {
    let upstream = Scripted::legacy();
    let first = gateway(&upstream);
    first.client().text_of("up__echo", &json!({}));
    calls(&first, 1);
    let log = std::fs::read_to_string(first.home.file("audit.jsonl")).unwrap();
    drop(first);
    let home = Home::with_policies(POLICIES);
    home.write("audit.jsonl", &log);
    let entry = format!("{{url: \"{}\"}}", upstream.url());
    let second = home.serve(&standard(&[("up", &entry)], "telemetry: {audit: {file: audit.jsonl}}"));
    second.client().text_of("up__echo", &json!({}));
    calls(&second, 2);
    assert_eq!(verify(second.home.path()), 0);
}

#[test]
fn a_log_that_was_moved_away_is_begun_anew_after_the_signal() {
    let upstream = Scripted::legacy();
    let gateway = gateway(&upstream);
    gateway.client().text_of("up__echo", &json!({}));
    calls(&gateway, 1);
    std::fs::rename(gateway.home.file("audit.jsonl"), gateway.home.file("audit.1.jsonl")).unwrap();
    gateway.signal(Signal::SIGHUP);
    wait_until("a new log", || gateway.home.file("audit.jsonl").exists());
    gateway.client().text_of("up__echo", &json!({}));
    calls(&gateway, 1);
    for log in ["audit.1.jsonl", "audit.jsonl"] {
        let verified = portcullis(gateway.home.path(), &["audit", "verify", log]);
        assert_eq!(verified.code, 0, "{log}: {verified:?}");
    }
}

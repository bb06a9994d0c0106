use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use http::HeaderValue;
use portcullis_policies::{Decision, Outcome, Principal};
use serde_json::{Value, json};

use super::*;
use crate::metrics::CallStatus;
use crate::record::CallRecord;

mod failures;
mod verification;

fn settings(folder: &Path) -> AuditSettings {
    AuditSettings { file: folder.join("audit.jsonl"), include_arguments: true }
}

fn entry(id: &'static str, arguments: Option<&[u8]>) -> AuditEntry {
    let record = CallRecord::new(HeaderValue::from_static(id), None);
    let principal = Principal::new("apiKey:ci").with_roles(["ci".to_owned()]);
    record.principal.set(Arc::new(principal)).unwrap();
    record.client_ip.set("192.0.2.1".parse().unwrap()).unwrap();
    record.rpc_method.set("tools/call").unwrap();
    record.tool.set(Arc::from("crm__search")).unwrap();
    record.upstream.set(Arc::from("crm")).unwrap();
    record.set_status(CallStatus::Success);
    let allowed =
        Decision { outcome: Outcome::Allow, policy: Some(Arc::from("analysts")), ..Decision::no_policy_allows() };
    record.decision.set(allowed).unwrap();
    AuditEntry::new(Arc::new(record), arguments)
}

/// Records calls and closes the log.
fn record(settings: &AuditSettings, ids: &[&'static str]) {
    let log = AuditLog::open(settings).unwrap();
    for id in ids {
        log.append(entry(id, None)).now_or_never().expect("there is room");
    }
}

fn lines(settings: &AuditSettings) -> Vec<Value> {
    let text = std::fs::read_to_string(&settings.file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_line_says_who_did_what_and_why_it_was_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let log = AuditLog::open(&settings).unwrap();
    log.append(entry("r-1", Some(b"{\"q\":\n \"a\\nb\"}"))).now_or_never().unwrap();
    drop(log);

    let mut lines = lines(&settings);
    assert_eq!(lines[0]["event"], "opened");
    let line = lines[1].as_object_mut().unwrap();
    for member in ["time", "prev", "hash", "duration_ms"] {
        assert!(line.remove(member).is_some(), "{member}");
    }
    assert_eq!(
        lines[1],
        json!({
            "seq": 2, "request_id": "r-1", "principal": "apiKey:ci", "roles": ["ci"], "method": "tools/call",
            "tool": "crm__search", "upstream": "crm", "outcome": "success", "client_ip": "192.0.2.1",
            "decision": {"outcome": "allow", "policy": "analysts", "rule": "no policy allows it"},
            "arguments": {"q": "a\nb"},
        })
    );
    let mode = std::fs::metadata(&settings.file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn long_arguments_and_what_is_no_json_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let log = AuditLog::open(&settings).unwrap();
    let long = format!("\"{}\"", "x".repeat(20_000));
    log.append(entry("long", Some(long.as_bytes()))).now_or_never().unwrap();
    log.append(entry("broken", Some(b"{},\"hash\":1"))).now_or_never().unwrap();
    drop(log);
    let lines = lines(&settings);
    assert_eq!((lines[1].get("arguments"), &lines[1]["arguments_omitted_bytes"]), (None, &json!(20_002)));
    assert_eq!(lines[2].get("arguments"), None);
    verify(&settings.file).unwrap();
}

#[test]
fn a_chain_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    record(&settings, &["a", "b"]);
    record(&settings, &["c"]);
    let summary = verify(&settings.file).unwrap();
    assert_eq!((summary.entries, summary.last_seq, summary.torn_lines, summary.continues), (4, 4, 0, None));
}

#[test]
fn a_torn_last_line_is_kept_and_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    record(&settings, &["a", "b"]);
    let whole = std::fs::read(&settings.file).unwrap();
    // Torn within the last line, and in the very first one.
    for keep in [whole.len() - 30, 40] {
        std::fs::write(&settings.file, &whole[..keep]).unwrap();
        assert!(matches!(verify(&settings.file), Err(VerifyError::Line { fault: Fault::Torn, .. })));
        record(&settings, &["c"]);
        assert_eq!(verify(&settings.file).unwrap().torn_lines, 1);
        assert!(std::fs::read(&settings.file).unwrap().starts_with(&whole[..keep]));
    }
}

#[test]
fn a_file_that_is_no_chain_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    for content in ["hello\n".to_owned(), "{}\n".to_owned(), "x".repeat(600_000)] {
        std::fs::write(&settings.file, &content).unwrap();
        assert!(matches!(AuditLog::open(&settings), Err(AuditError::NotAChain { .. })));
        assert_eq!(std::fs::read_to_string(&settings.file).unwrap(), content);
    }
}

#[test]
fn two_writers_do_not_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let first = AuditLog::open(&settings).unwrap();
    assert!(matches!(AuditLog::open(&settings), Err(AuditError::InUse { .. })));
    drop(first);
    AuditLog::open(&settings).unwrap();
}

#[test]
fn a_rotated_log_continues_in_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let old = folder.path().join("audit.jsonl.1");
    record(&settings, &["a"]);
    let log = AuditLog::open(&settings).unwrap();
    // Still in its place: nothing happens.
    log.reopen();
    std::fs::rename(&settings.file, &old).unwrap();
    log.reopen();
    // The new file appears once the writer has gone over to it.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !settings.file.exists() {
        assert!(std::time::Instant::now() < deadline, "the new file never appears");
        std::thread::yield_now();
    }
    log.append(entry("b", None)).now_or_never().unwrap();
    drop(log);

    let (before, after) = (verify(&old).unwrap(), verify(&settings.file).unwrap());
    assert_eq!((before.entries, before.last_seq), (2, 2));
    assert_eq!((after.entries, after.last_seq), (2, 4));
    assert_eq!(after.continues, Some(before.last_hash));
}

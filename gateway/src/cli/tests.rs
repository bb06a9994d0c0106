use std::fs;
use std::path::Path;

use super::output::Exit;
use super::*;
use crate::config::{Config, Source};

/// What a command line answers.
fn answered(line: &[&str]) -> Answer {
    let cli = Cli::try_parse_from([&["portcullis"], line].concat()).unwrap_or_else(|error| panic!("{error}"));
    let Command::Question(question) = cli.command else { panic!("no answer ever comes") };
    answer(question, cli.output).unwrap()
}

const CONFIG: &str = "\
auth:
  apiKeys:
    keys:
      - {name: ci, sha256: \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\", roles: [ci]}
policies: [policy.yaml]
upstreams:
  crm: {url: http://crm/mcp}
";

const POLICY: &str = "\
policies:
  - name: ci
    subjects: {roles: [ci]}
    tools: {allow: [\"crm__*\"], deny: [\"crm__delete_*\"]}
    network: {allow: [10.0.0.0/8]}
    when: args.limit <= 100
";

fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portcullis.yaml");
    fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
    fs::write(&path, CONFIG).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn check_exits_with_0_or_2_and_names_every_fault() {
    let (folder, path) = folder();
    let sound = answered(&["check", "-c", &path]);
    assert_eq!(sound, Answer::ok(format!("{path}: all is well")));

    fs::write(&path, format!("{CONFIG}  files: {{comand: x}}\nlisten: here\n")).unwrap();
    let faulty = answered(&["check", "-c", &path]);
    assert_eq!(faulty.exit, Exit::Misconfigured);
    assert!(faulty.text.contains(&format!("{path}:8: upstreams.files.comand: unknown key; did you mean `command`?")));
    assert!(faulty.text.contains(&format!("{path}:9: listen: `here` is not")), "{}", faulty.text);
    assert!(faulty.text.ends_with("2 faults"), "{}", faulty.text);

    let listed = answered(&["check", "-c", &path, "--output", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.text).unwrap();
    assert_eq!((&listed["valid"], &listed["faults"][0]["line"]), (&false.into(), &8.into()));
    assert_eq!(listed["faults"][0]["suggestion"], "command");
    drop(folder);
}

#[test]
fn check_counts_warnings_and_passes() {
    let (_folder, path) = folder();
    fs::write(&path, CONFIG.replace("crm:", "cmr:")).unwrap();
    let answer = answered(&["check", "-c", &path]);
    assert_eq!(answer.exit, Exit::Ok);
    assert!(answer.text.contains("warning: ") && answer.text.contains("can be used, "), "{}", answer.text);
}

#[test]
fn explain_exits_with_0_for_allowed_3_for_denied_and_2_for_bad_configuration() {
    let (folder, path) = folder();
    let explain =
        |rest: &[&str]| answered(&[&["policy", "explain", "-c", &path, "--principal", "apiKey:ci"], rest].concat());
    let ip = ["--ip", "10.0.0.1"];
    let small = ["--tool", "crm__search", "--args", r#"{"limit": 5}"#];

    assert_eq!(explain(&[small, ["--ip", "10.0.0.1", "--role", "ci"]].concat()).exit, Exit::Ok);
    let allowed = explain(&[&small[..], &ip].concat());
    assert_eq!(allowed.exit, Exit::Ok, "the key's own roles count: {}", allowed.text);
    assert!(allowed.text.contains("allowed by ci"), "{}", allowed.text);
    for denied in [
        &["--tool", "crm__search", "--args", r#"{"limit": 5}"#, "--ip", "10.0.0.1", "--role", "other"][..],
        &["--tool", "crm__search", "--args", r#"{"limit": 500}"#, "--ip", "10.0.0.1"],
        &["--tool", "crm__delete_all", "--args", r#"{"limit": 5}"#, "--ip", "10.0.0.1"],
        &["--tool", "crm__search", "--args", r#"{"limit": 5}"#, "--ip", "192.168.0.1"],
        &["--tool", "crm__search", "--ip", "10.0.0.1"],
    ] {
        assert_eq!(explain(denied).exit, Exit::Denied, "{denied:?}");
    }
    let listed = explain(&[&small[..], &ip, &["--output", "json"]].concat());
    let listed: serde_json::Value = serde_json::from_str(&listed.text).unwrap();
    assert_eq!(listed["policies"][0]["counts"], true);

    assert_eq!(explain(&["--tool", "x", "--args", "[]"]).exit, Exit::Misconfigured);
    fs::write(folder.path().join("policy.yaml"), "policy: []").unwrap();
    let broken = explain(&small);
    assert_eq!((broken.exit, broken.text.as_str()), (Exit::Misconfigured, ""));
    assert!(broken.remarks.contains("policy.yaml:1: "), "{}", broken.remarks);
}

#[test]
fn explain_remarks_on_what_the_configuration_does_not_have() {
    let (_folder, path) = folder();
    let remarks = |principal: &str, tool: &str| {
        answered(&["policy", "explain", "-c", &path, "--principal", principal, "--tool", tool]).remarks
    };
    assert_eq!(remarks("apiKey:ci", "crm__search"), "");
    assert_eq!(remarks("jwt:x#a", "crm__search"), "");
    assert_eq!(
        remarks("apiKey:cj", "cmr__search"),
        "the configuration has no API key `cj`; did you mean `ci`?\n\
         the configuration has no upstream `cmr`; did you mean `crm`?\n"
    );
    assert_eq!(remarks("anonymous", "search"), "the configuration has no upstream `search`\n");
}

#[test]
fn explain_takes_claims_as_json_or_text() {
    let (folder, path) = folder();
    let policy = "policies:\n  - name: finance\n    subjects: {claims: {department: finance, level: 3}}\n    tools: {allow: [\"*\"]}\n";
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    let explain = |claims: &[&str]| {
        answered(&[&["policy", "explain", "-c", &path, "--principal", "jwt:x#a", "--tool", "t"], claims].concat()).exit
    };
    assert_eq!(explain(&["--claim", "department=finance", "--claim", "level=3"]), Exit::Ok);
    assert_eq!(explain(&["--claim", "department=finance", "--claim", "level=\"3\""]), Exit::Denied);
    assert!(
        Cli::try_parse_from(["portcullis", "policy", "explain", "--principal", "a", "--tool", "t", "--claim", "x"])
            .is_err()
    );
}

#[test]
fn the_entry_that_keygen_prints_loads_and_holds_the_hash_of_the_key() {
    let (_folder, path) = folder();
    for name in ["ci", "0", "true", "a: b", "x\"y", "team.one"] {
        let answer = answered(&["keygen", "--name", name, "--role", "ci", "--role", "on call"]);
        let (key, entry) = answer.text.split_once("\n\n").unwrap();
        fs::write(&path, entry).unwrap();
        let keys =
            Config::load(Path::new(&path)).unwrap_or_else(|faults| panic!("{faults:?}")).auth.api_keys.unwrap().keys;
        assert_eq!(
            (keys[0].name.as_str(), keys[0].roles.as_slice()),
            (name, &["ci".to_owned(), "on call".to_owned()][..])
        );
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
        assert_eq!(keys[0].sha256, digest.as_ref());
        assert!(key.starts_with("pcl_") && !entry.contains(key));
    }
}

#[test]
fn keygen_for_programs_is_one_value() {
    let answer = answered(&["keygen", "--name", "ci", "--output", "json"]);
    let value: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
    assert!(value["key"].as_str().unwrap().starts_with("pcl_"));
    assert_eq!(value["entry"]["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn schemas_are_json_schemas() {
    for (of, member) in [("config", "upstreams"), ("policy", "policies")] {
        let schema: serde_json::Value = serde_json::from_str(&answered(&["schema", of]).text).unwrap();
        assert!(schema["properties"][member].is_object(), "{of}");
        assert!(jsonschema::validator_for(&schema).is_ok());
    }
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(answered(&["completions", shell]).text.contains("keygen"), "{shell}");
    }
}

#[test]
fn what_is_typed_wrong_is_refused() {
    for line in [
        &["serve", "--prot", "1"][..],
        &["policy", "explain", "--tool", "t"],
        &["tools", "call", "t", "--args", "[]"],
        &["tools", "call", "t", "--args", "{}", "--arg", "a=b"],
        &["tools", "list", "--timeout", "0"],
        &["keygen", "--name", ""],
        &["keygen", "--role", ""],
        &["tools", "list", "--url", "localhost"],
        &["tools", "list", "--url", "ftp://localhost/mcp"],
    ] {
        let error = Cli::try_parse_from([&["portcullis"], line].concat()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line:?}");
    }
}

#[test]
fn a_key_on_the_command_line_is_not_shown_by_debug() {
    let cli = Cli::try_parse_from(["portcullis", "tools", "list", "--key", "pcl_secret"]).unwrap();
    assert!(!format!("{cli:?}").contains("pcl_secret"));
    let source = Source::BuiltIn { key: crate::config::NewKey::generate().unwrap(), banner: banner::banner };
    let Source::BuiltIn { key, .. } = &source else { panic!() };
    assert!(!format!("{source:?}").contains(key.text.expose()));
}

#[test]
fn audit_verify_exits_with_0_for_a_whole_chain_and_1_for_a_broken_one() {
    use crate::audit::{AuditLog, AuditSettings};
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let path = file.to_str().unwrap();
    let settings = AuditSettings { file: file.clone(), include_arguments: false };
    drop(AuditLog::open(&settings).unwrap());
    let whole = answered(&["audit", "verify", path]);
    assert_eq!(whole.exit, Exit::Ok, "{}", whole.text);
    assert!(whole.text.contains("entries: 1, the chain is whole"), "{}", whole.text);

    let lines = fs::read_to_string(&file).unwrap();
    fs::write(&file, lines.replacen("opened", "closed", 1)).unwrap();
    let broken = answered(&["audit", "verify", path, "--output", "json"]);
    let told: serde_json::Value = serde_json::from_str(&broken.text).unwrap();
    assert_eq!((broken.exit, &told["valid"], &told["line"]), (Exit::Failed, &false.into(), &1.into()));
    assert_eq!(answered(&["audit", "verify", "/nonexistent"]).exit, Exit::Failed);
}

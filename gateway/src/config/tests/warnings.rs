//! What is taken with a warning.

use super::*;

fn warnings(text: &str, linting: bool) -> Vec<String> {
    let folder = Folder::new();
    let loaded = folder.load(text, linting);
    let config = loaded.outcome.unwrap_or_else(|faults| panic!("{faults:#?}\n{text}"));
    assert!(!config.warnings.iter().any(is_error));
    config.warnings.iter().map(|fault| said(&folder, fault)).collect()
}

/// With this nothing is warned of.
const SOUND: &str = "policies: [policies/all.yaml]\nauth: {anonymous: {roles: [guest]}}\n";

#[track_caller]
fn assert_warning(rest: &str, beginning: &str) {
    let warnings = warnings(&format!("{SOUND}{rest}"), false);
    let [warning] = warnings.as_slice() else { panic!("not one warning: {warnings:#?}\n{rest}") };
    assert!(warning.starts_with(beginning), "{warning}\ndoes not begin with\n{beginning}");
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    assert_eq!(warnings(SOUND, true), [] as [&str; 0]);
    for (rest, warning) in [
        ("admin: {listen: 0.0.0.0:9090}", "3:admin.listen: 0.0.0.0:9090 can be reached from other machines"),
        (
            "upstreams: {a: {url: http://a/, auth: {bearer: x}}}",
            "3:upstreams.a.auth.bearer: a secret stands in the file",
        ),
        (
            "upstreams: {a: {url: http://a/, headers: {X-Api-Key: x}}}",
            "3:upstreams.a.headers.X-Api-Key: a secret stands",
        ),
        ("mcpServers: {a: {command: a, env: {GITHUB_TOKEN: x}}}", "3:mcpServers.a.env.GITHUB_TOKEN: a secret stands"),
        (&format!("sessions: {{keys: [\"{DIGEST}\"]}}"), "3:sessions.keys[0]: a secret stands in the file"),
        ("mcpServers: {a: {command: a, autoApprove: [x]}}", "3:mcpServers.a.autoApprove: means nothing here"),
        ("mcpServers: {a: {command: a, alwaysAllow: []}}", "3:mcpServers.a.alwaysAllow: means nothing here"),
        ("mcpServers: {a: {command: a, env: {X: \"${X}\"}}}", "3:mcpServers.a.env.X: `${…}` is not expanded here"),
    ] {
        assert_warning(rest, warning);
    }
    let none = warnings("", false);
    assert_eq!(none.len(), 2, "{none:?}");
    assert!(none.iter().any(|said| said.contains("every call will be denied")));
    assert!(none.iter().any(|said| said.contains("every call will be refused")));
}

#[test]
fn an_expired_key_and_keys_fetched_in_the_open_are_warned_of() {
    let auth = |auth: &str| warnings(&format!("policies: [policies/all.yaml]\nauth: {auth}"), false);
    let expired =
        auth(&format!("{{apiKeys: {{keys: [{{name: a, sha256: \"{DIGEST}\", expires: 2020-01-01T00:00:00Z}}]}}}}"));
    assert_eq!(expired, ["2:auth.apiKeys.keys[0].expires: the key `a` expired at 2020-01-01T00:00:00Z"]);
    let jwt = |url: &str| auth(&format!("{{jwt: [{{issuer: a, audiences: [x], jwks: {{url: \"{url}\"}}}}]}}"));
    assert_eq!(jwt("http://idp.example.com/jwks").len(), 1);
    assert_eq!(jwt("http://127.0.0.1:9/jwks"), [] as [&str; 0]);
    assert_eq!(jwt("https://idp.example.com/jwks"), [] as [&str; 0]);
}

#[test]
fn the_closer_look_holds_policies_and_configuration_against_each_other() {
    let folder = Folder::new();
    let policy = "policies:\n  - name: sales\n    subjects: {roles: [sale]}\n    tools: {allow: [\"cmr__*\"]}\n";
    fs::write(folder.path().join("policies/all.yaml"), policy).unwrap();
    let text = "policies: [policies/all.yaml]\nauth: {anonymous: {roles: [sales]}}\nupstreams:\n  crm: {url: http://crm/mcp, timeout: 2m}\n";
    let warnings = folder.load(text, true).outcome.unwrap().warnings;
    let said: Vec<_> = warnings.iter().map(|fault| (fault.path.as_str(), fault.suggestion.as_deref())).collect();
    assert_eq!(
        said,
        [
            ("upstreams.crm", None),
            ("upstreams.crm.timeout", None),
            ("policies[0].subjects.roles[0]", Some("sales")),
            ("policies[0].tools.allow[0]", Some("crm__*")),
        ],
        "{warnings:#?}"
    );
    assert_eq!(folder.load(text, false).outcome.unwrap().warnings, [], "only on request");
}

#[test]
fn only_times_that_are_written_are_said_to_be_out_of_reach() {
    let limits = "limits: {requestTimeout: 5s}\nupstreams:\n  a: {builtin: demo";
    let said = warnings(&format!("{SOUND}{limits}}}"), true);
    assert!(!said.iter().any(|said| said.contains("timeout")), "{said:?}");
    let said = warnings(&format!("{SOUND}{limits}, timeout: 6s}}"), true);
    assert!(said.iter().any(|said| said.starts_with("5:upstreams.a.timeout: is never reached")), "{said:?}");
}

//! One fault hides no other, and none is the mere consequence of another.

use super::*;

/// What is said of `text`: the line and path of each fault, and whether it is one.
fn places(text: &str) -> Vec<String> {
    let folder = Folder::new();
    let faults = folder.load(text, true).outcome.err().unwrap_or_else(|| panic!("accepted: {text}"));
    assert!(faults.iter().all(|fault| fault.file.starts_with(folder.path().to_str().unwrap())), "{faults:#?}");
    faults.iter().filter(|fault| is_error(fault)).map(|fault| format!("{}:{}", fault.line, fault.path)).collect()
}

#[test]
fn a_value_of_the_wrong_form_hides_nothing_elsewhere() {
    for (wrong, place) in [
        ("limits: {maxBody: 4XB}", "1:limits.maxBody"),
        ("limits: 5", "1:limits"),
        ("limits: {max_body: 4MiB}", "1:limits.max_body"),
        ("limits: {maxConcurrentRequests: 99999999999}", "1:limits.maxConcurrentRequests"),
        ("limits: {maxConcurrentRequests: 1.5}", "1:limits.maxConcurrentRequests"),
        ("limits: {maxConcurrentRequests: 99999999999999999999999}", "1:limits.maxConcurrentRequests"),
        ("network: {allow: [10.0.0.0/8, ten]}", "1:network.allow[1]"),
        ("tls: {cert: server.crt}", "1:tls"),
        ("telemetry: {log: {level: loud}}", "1:telemetry.log.level"),
        ("policies: all.yaml", "1:policies"),
        ("colour: red", "1:colour"),
    ] {
        let text = format!(
            "{wrong}\nupstreams:\n  crm: {{url: \"gopher://x\"}}\n  Bad Name: {{url: \"http://x/\"}}\n  b: {{timeout: 1s}}\n"
        );
        assert_eq!(
            places(&text),
            [place, "3:upstreams.crm.url", "4:upstreams[\"Bad Name\"]", "5:upstreams.b"],
            "{wrong}"
        );
    }
}

#[test]
fn every_fault_of_one_entry_is_told() {
    let text = "\
upstreams:
  a b:
    url: 5
    type: stdio
    timeout: 0s
    headers:
      A B: {env: NOPE}
      Host: x
    auth: {bearer: {env: NOPE}}
    retry: {initial: 1m, max: 1s, maxAttempts: 0}
    tools: {include: [\"\"], rename: {a: x y}}
    colour: red
";
    let expected = [
        "2:upstreams[\"a b\"]",
        "3:upstreams[\"a b\"].url",
        "4:upstreams[\"a b\"].type",
        "5:upstreams[\"a b\"].timeout",
        "7:upstreams[\"a b\"].headers[\"A B\"]",
        "7:upstreams[\"a b\"].headers[\"A B\"].env",
        "8:upstreams[\"a b\"].headers.Host",
        "9:upstreams[\"a b\"].auth.bearer.env",
        "10:upstreams[\"a b\"].retry.max",
        "10:upstreams[\"a b\"].retry.maxAttempts",
        "11:upstreams[\"a b\"].tools.include[0]",
        "11:upstreams[\"a b\"].tools.rename.a",
        "12:upstreams[\"a b\"].colour",
    ];
    assert_eq!(places(text), expected);
}

#[test]
fn entries_keep_their_number_where_one_before_them_is_wrong() {
    let text = format!(
        "auth:\n  apiKeys:\n    keys:\n      - 5\n      - {{name: a, sha256: \"{DIGEST}\"}}\n      - {{name: a, sha256: no}}\n"
    );
    let expected = ["4:auth.apiKeys.keys[0]", "6:auth.apiKeys.keys[2].name", "6:auth.apiKeys.keys[2].sha256"];
    assert_eq!(places(&text), expected);
    assert_eq!(places("policies: [5, no.yaml]"), ["1:policies[0]", "1:policies[1]"]);
}

#[test]
fn what_is_wrong_is_not_missed_elsewhere() {
    for (text, place) in [
        // An upstream says how it is reached, though wrongly.
        ("upstreams: {a: {url: 5, type: http, headers: {A: b}}}", "1:upstreams.a.url"),
        ("upstreams: {a: {command: [a], type: stdio, args: [b]}}", "1:upstreams.a.command"),
        ("upstreams: {a: {ulr: http://a/}}", "1:upstreams.a.ulr"),
        ("upstreams: {a: http://a/}", "1:upstreams.a"),
        ("upstreams: {a: {command: a, cwd: 5}}", "1:upstreams.a.cwd"),
        ("upstreams: {a: {command: a, retry: {initial: soon, max: 500ms}}}", "1:upstreams.a.retry.initial"),
        ("upstreams: {a: {command: a, retry: {initial: 2m, max: late}}}", "1:upstreams.a.retry.max"),
        ("naming: {separator: 5}\nupstreams: {a__b: {builtin: demo}}", "1:naming.separator"),
        ("limits: {requestTimeout: soon}\nupstreams: {a: {builtin: demo}}", "1:limits.requestTimeout"),
        // Somebody guards the door, though it is not said whom it lets in.
        ("auth: 5\nlisten: 0.0.0.0:1", "1:auth"),
        ("auth: {jwt: {issuer: a}}\nlisten: 0.0.0.0:1", "1:auth.jwt"),
        ("auth: {apikeys: {}}\nlisten: 0.0.0.0:1", "1:auth.apikeys"),
        ("auth: {apiKeys: {keys: []}}\nlisten: 0.0.0.0:1", "1:auth.apiKeys.keys"),
        ("publicUrl: here\nauth: {jwt: [{issuer: https://a.example}]}", "1:publicUrl"),
        ("auth: {jwt: [{issuer: joe, audiences: [x], jwks: 5}]}", "1:auth.jwt[0].jwks"),
        ("auth: {jwt: [{issuer: joe, audiences: [x], jwks: {ulr: http://a/}}]}", "1:auth.jwt[0].jwks.ulr"),
        ("listen: nowhere\nadmin: {listen: 127.0.0.1:8080}", "1:listen"),
        ("admin: 5\nlisten: 127.0.0.1:9090", "1:admin"),
        ("tls: {cert: 5, key: server.key}", "1:tls.cert"),
        ("- a", "1:"),
    ] {
        assert_eq!(places(text), [place], "{text}");
    }
}

#[test]
fn a_policy_file_tells_all_its_faults_beside_those_of_the_configuration() {
    let folder = Folder::new();
    let policies = "policies:\n  - {name: a, tool: {}}\n  - {name: a, when: 'args.limit <'}\n";
    fs::write(folder.path().join("policies/all.yaml"), policies).unwrap();
    let text =
        "limits: {maxBody: 4XB}\nupstreams: {crm: {url: \"gopher://x\"}}\npolicies: [policies/*.yaml, 5, no.yaml]\n";
    let faults = folder.load(text, true).outcome.unwrap_err();
    let places = faults.iter().filter(|fault| is_error(fault)).map(|fault| (fault.line, fault.path.as_str()));
    let expected = [
        (1, "limits.maxBody"),
        (2, "upstreams.crm.url"),
        (3, "policies[1]"),
        (3, "policies[2]"),
        (2, "policies[0].tool"),
        (3, "policies[1].name"),
        (3, "policies[1].when"),
    ];
    assert_eq!(places.collect::<Vec<_>>(), expected, "{faults:#?}");
    assert_eq!(
        faults.iter().find(|fault| fault.path == "policies[0].tool").unwrap().suggestion.as_deref(),
        Some("tools")
    );
}

#[test]
fn the_closer_look_draws_no_conclusions_from_what_is_wrong() {
    let folder = Folder::new();
    let policies = "policies:\n  - {name: a, subjects: {roles: [guest]}, tools: {allow: [\"crm__*\"]}}\n";
    fs::write(folder.path().join("policies/all.yaml"), policies).unwrap();
    for wrong in ["upstreams: {crm: {url: \"gopher://x\"}}", "upstreams: {crm: 5}", "upstreams: 5"] {
        let text = format!("policies: [policies/all.yaml]\nauth: {{anonymous: {{roles: [guest]}}}}\n{wrong}\n");
        assert_eq!(folder.load(&text, true).outcome.unwrap_err().len(), 1, "{wrong}");
    }
}

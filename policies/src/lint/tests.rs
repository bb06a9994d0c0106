use super::*;

fn warnings(text: &str, surroundings: &Surroundings) -> Vec<String> {
    let document = Document::parse(text, "a.yaml").unwrap();
    lint(&[document], surroundings).iter().map(ToString::to_string).collect()
}

fn alone(text: &str) -> Vec<String> {
    warnings(text, &Surroundings::default())
}

fn known() -> Surroundings {
    let names = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect());
    Surroundings {
        separator: "__".to_owned(),
        upstreams: names(&["crm", "my__files"]),
        models: names(&["chat"]),
        roles: names(&["analyst"]),
        principals: names(&["apiKey:ci", "anonymous", "jwt:https://idp.example.com#"]),
    }
}

#[test]
fn allow_that_is_denied_altogether_never_matches() {
    let text = r#"
policies:
  - name: a
    tools:
      allow: ["crm__delete_x", "crm__*"]
      deny: ["crm__delete_*"]
    prompts: {allow: [x], deny: ["*"]}
  - name: b
    tools: {allow: [chat]}
  - name: c
    tools: {deny: ["c*t"]}
  - name: d
    subjects: {roles: [x]}
    tools: {deny: ["*"]}
"#;
    assert_eq!(
        alone(text),
        [
            "a.yaml:5: policies[0].tools.allow[0]: never matches: `crm__delete_*` is denied by `a`",
            "a.yaml:7: policies[0].prompts.allow[0]: never matches: `*` is denied by `a`",
            "a.yaml:9: policies[1].tools.allow[0]: never matches: `c*t` is denied by `c`",
        ]
    );
}

#[test]
fn limit_that_no_allow_reaches_never_matches() {
    let text = r#"
policies:
  - name: a
    tools: {allow: ["crm__*"]}
    rateLimits:
      - {tools: ["*__search", "files__*"], limit: 1/day}
      - {limit: 1/day}
"#;
    assert_eq!(
        alone(text),
        ["a.yaml:6: policies[0].rateLimits[0].tools[1]: never matches: no policy allows `files__*`"]
    );
}

#[test]
fn policy_that_does_nothing_or_never_counts_is_noticed() {
    let text = r#"
policies:
  - name: a
  - name: b
    tools: {allow: ["*"]}
    network: {allow: [10.0.0.0/24], deny: [10.0.0.0/8]}
  - name: c
    tools: {allow: ["*"]}
    when: "false"
  - name: d
    resources: {allow: ["*"]}
    when: args.x == 1
"#;
    let found = alone(text);
    for (line, message) in [
        (3, "does nothing"),
        (6, "every allowed address is denied"),
        (9, "always false"),
        (12, "which reading a resource has none of"),
    ] {
        let place = format!("a.yaml:{line}: ");
        let hit = |warning: &String| warning.starts_with(&place) && warning.contains(message);
        assert!(found.iter().any(hit), "{message}\n{found:#?}");
    }
    assert_eq!(found.len(), 4);
}

#[test]
fn names_that_nothing_bears_are_noticed() {
    let text = r#"
policies:
  - name: a
    subjects: {roles: [analysts, "analys?", ghost]}
    tools:
      allow: ["crmm__*", "crm__*", "my__files__read", "*", "*__search", chat, chatt, "c*"]
      deny: [nothing__x]
"#;
    assert_eq!(
        warnings(text, &known()),
        [
            "a.yaml:4: policies[0].subjects.roles[0]: no credential has the role `analysts`; did you mean `analyst`?",
            "a.yaml:4: policies[0].subjects.roles[2]: no credential has the role `ghost`",
            "a.yaml:6: policies[0].tools.allow[0]: there is no upstream `crmm`; did you mean `crm__*`?",
            "a.yaml:6: policies[0].tools.allow[6]: there is no tool `chatt`: a tool of an upstream is called UPSTREAM__TOOL; did you mean `chat`?",
            "a.yaml:7: policies[0].tools.deny[0]: there is no upstream `nothing`",
        ]
    );
    assert!(alone(text).is_empty());
}

#[test]
fn faulty_file_has_no_warnings() {
    assert!(alone("policies: [{nam: a}]").is_empty());
}

#[test]
fn principal_that_no_credential_makes_is_unknown() {
    let policy = |principal: &str| {
        format!("policies: [{{name: a, subjects: {{principals: ['{principal}']}}, tools: {{allow: [chat]}}}}]")
    };
    for fitting in ["apiKey:ci", "apiKey:*", "*", "anonymous", "jwt:https://idp.example.com#alice", "jwt:*#alice"] {
        assert_eq!(warnings(&policy(fitting), &known()), [] as [&str; 0], "{fitting}");
    }
    for (unknown, suggestion) in [
        ("apiKey:cj", "; did you mean `apiKey:ci`?"),
        ("ci", ""),
        ("jwt:https://idp.example.org#alice", ""),
        ("jwt:https://idp.example.com", "; did you mean `jwt:https://idp.example.com#`?"),
    ] {
        let expected = format!(
            "a.yaml:1: policies[0].subjects.principals[0]: no credential makes anybody `{unknown}`{suggestion}"
        );
        assert_eq!(warnings(&policy(unknown), &known()), [expected]);
    }
}

use super::*;
use crate::{
    decision::{Decision, Rule},
    explanation::Fit,
    limit::Per,
    tool::Target::{Prompt, Resource, Tool},
};
use serde_json::{Value, json};

fn set(text: &str) -> PolicySet {
    let document = Document::parse(text, "p.yaml").unwrap();
    PolicySet::compile(&[document]).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn analyst() -> Principal {
    Principal::new("jwt:x#alice").with_roles(["analyst".to_owned()])
}

fn facts<'a>(ip: &str, args: &'a Value) -> CallFacts<'a> {
    CallFacts { ip: Some(ip.parse().unwrap()), args: Some(args) }
}

/// How `policies` decide a call from 10.0.0.1.
fn decide(policies: &PolicySet, target: Target<'_>, args: &Value) -> String {
    let facts = facts("10.0.0.1", args);
    policies.access(&analyst(), target).decide(&facts).to_string()
}

const ANALYSTS: &str = r#"
policies:
  - name: analysts
    subjects: {roles: [analyst]}
    tools: {allow: ["crm__*", chat], deny: ["crm__delete_*"]}
    resources: {allow: ["crm://*"]}
    prompts: {allow: ["*"], deny: [secret]}
    rateLimits:
      - {tools: ["crm__search"], limit: 100/minute, burst: 20, per: ip}
  - name: guards
    tools: {deny: ["*_purge"]}
    rateLimits: [{limit: 5/second}]
"#;

#[test]
fn schemes_know_no_case() {
    let policies = set(r#"
policies:
  - name: all
    resources:
      allow: ["*"]
      deny: ["crm+urn:*", "HR+*", "*+FILE:*", "*/Secret:*", "x:Y*", "*PLANS*", "*Q*Own:*", "Docs/*"]
"#);
    for (uri, denied) in [
        ("crm+urn:isbn:1", true),
        ("crm+URN:isbn:1", true),
        ("CRM+urn:isbn:1", true),
        ("crm+urn2:isbn:1", false),
        ("hr+urn:1", true),
        ("Hr+urn:1", true),
        ("crm+file:///x", true),
        ("crm+File:///x", true),
        ("crm://a/Secret:1", true),
        ("crm://a/secret:1", false),
        ("x:Y1", true),
        ("X:Y1", true),
        ("x:y1", false),
        ("crm+PLANS://a", true),
        ("crm+plans://a", true),
        ("crm://plans", false),
        ("crm+Q:/a/Own:1", true),
        ("Docs/a", true),
        ("docs/a", false),
    ] {
        let decided = decide(&policies, Resource(uri), &json!({}));
        assert_eq!(decided.starts_with("denied by all"), denied, "{uri}: {decided}");
    }
    let policies = set(r#"policies: [{name: some, resources: {allow: ["CRM+urn:A*", "*+FILE:*"]}}]"#);
    for (uri, allowed) in [("crm+urn:A1", true), ("crm+URN:A1", true), ("crm+urn:a1", false), ("crm+file:x", true)] {
        assert_eq!(decide(&policies, Resource(uri), &json!({})).starts_with("allowed"), allowed, "{uri}");
    }
    let tools = set(r#"policies: [{name: some, tools: {allow: ["crm:*"]}}]"#);
    assert!(decide(&tools, Tool("CRM:search"), &json!({})).starts_with("denied"), "names have case");
}

#[test]
fn deny_wins_over_allow_and_nothing_means_deny() {
    let policies = set(ANALYSTS);
    for (target, expected) in [
        (Tool("crm__search"), "allowed by analysts: allow \"crm__*\""),
        (Tool("chat"), "allowed by analysts: allow \"chat\""),
        (Tool("crm__delete_x"), "denied by analysts: deny \"crm__delete_*\""),
        (Tool("crm__purge"), "denied by guards: deny \"*_purge\""),
        (Tool("files__read"), "denied: no policy allows it"),
        (Tool("secret"), "denied: no policy allows it"),
        (Resource("crm://accounts/1"), "allowed by analysts: allow \"crm://*\""),
        (Resource("crm__search"), "denied: no policy allows it"),
        (Prompt("greeting"), "allowed by analysts: allow \"*\""),
        (Prompt("secret"), "denied by analysts: deny \"secret\""),
    ] {
        assert_eq!(decide(&policies, target, &json!({})), expected);
        assert!(policies.access(&analyst(), target).is_settled(), "{target}");
    }
}

#[test]
fn empty_set_denies_everything() {
    let policies = PolicySet::default();
    assert_eq!(decide(&policies, Tool("a"), &json!({})), "denied: no policy allows it");
    assert!(PolicySet::compile(&[]).unwrap().names().next().is_none());
}

#[test]
fn other_callers_gain_nothing() {
    let policies = set(ANALYSTS);
    let guest = Principal::anonymous(["guest".to_owned()]);
    // Twice: the second time from memory.
    for _ in 0..2 {
        assert!(policies.access(&analyst(), Tool("chat")).limits().len() == 1);
        let access = policies.access(&guest, Tool("chat"));
        assert_eq!(access.settled(), Some(&Decision::no_policy_allows()));
        assert!(access.limits().is_empty());
    }
}

#[test]
fn limits_of_every_counting_policy_apply() {
    let policies = set(ANALYSTS);
    let search = policies.access(&analyst(), Tool("crm__search"));
    let limits: Vec<_> = search.limits().iter().map(ToString::to_string).collect();
    assert_eq!(limits, ["100/minute per ip, bursts of 20 (analysts)", "5/second per principal (guards)"]);
    assert_eq!(search.limits()[0].per(), Per::Ip);
    assert_eq!(policies.access(&analyst(), Tool("crm__get")).limits().len(), 1);
    assert!(policies.access(&analyst(), Prompt("crm__search")).limits().is_empty());
    assert_eq!(policies.limits().count(), 2);
}

const CONDITIONAL: &str = r#"
policies:
  - name: office
    network: {allow: [10.0.0.0/8], deny: [10.9.9.9]}
    tools: {allow: ["files__*"]}
    rateLimits: [{limit: 7/hour}]
  - name: small
    tools: {allow: ["crm__*"]}
    when: args.limit <= 100
  - name: nights
    tools: {deny: [crm__export]}
    when: args.limit > 10
"#;

#[test]
fn network_decides_where_a_policy_counts() {
    let policies = set(CONDITIONAL);
    let access = policies.access(&analyst(), Tool("files__read"));
    assert!(!access.is_settled() && !access.needs_arguments() && access.limits().is_empty());
    for (ip, allowed) in [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("10.9.9.9", false), ("192.0.2.1", false)] {
        let decision = access.decide(&facts(ip, &json!({})));
        assert_eq!(decision.is_allowed(), allowed, "{ip}");
        assert_eq!(decision.limits.len(), usize::from(allowed), "{ip}");
        assert_eq!(access.may_list(Some(ip.parse().unwrap())), allowed, "{ip}");
    }
    let unknown = access.decide(&CallFacts::default());
    assert_eq!(
        unknown.to_string(),
        "denied by office: condition failed to evaluate: the caller's address is not known"
    );
    assert!(!access.may_list(None));
}

#[test]
fn condition_decides_per_call_and_failure_denies() {
    let policies = set(CONDITIONAL);
    for (tool, args, expected) in [
        ("crm__search", json!({"limit": 100}), "allowed by small: allow \"crm__*\""),
        ("crm__search", json!({"limit": 101}), "denied: no policy allows it"),
        ("crm__search", json!({}), "denied by small: condition failed to evaluate: `limit` is not there"),
        ("crm__export", json!({"limit": 5}), "allowed by small: allow \"crm__*\""),
        ("crm__export", json!({"limit": 50}), "denied by nights: deny \"crm__export\""),
    ] {
        assert_eq!(decide(&policies, Tool(tool), &args), expected, "{tool} {args}");
    }
    assert!(policies.access(&analyst(), Tool("crm__search")).needs_arguments());
}

#[test]
fn failed_condition_denies_what_another_policy_allows() {
    let policies = set(r#"
policies:
  - {name: all, tools: {allow: ["*"]}}
  - {name: broken, tools: {allow: [a]}, when: args.x == 1}
  - {name: limits, rateLimits: [{tools: [b], limit: 1/day}], when: args.x == 1}
  - {name: elsewhere, tools: {deny: [c]}, when: args.x == 1, subjects: {roles: [other]}}
  - {name: abroad, tools: {deny: [d]}, when: args.x == 1, network: {allow: [192.0.2.0/24]}}
"#);
    for (tool, allowed) in [("a", false), ("b", false), ("c", true), ("d", true), ("e", true)] {
        let decision = decide(&policies, Tool(tool), &json!({}));
        assert_eq!(decision.starts_with("allowed by all"), allowed, "{tool}: {decision}");
    }
}

#[test]
fn unconditional_deny_settles_the_matter() {
    let policies = set(r#"
policies:
  - {name: some, tools: {allow: ["*"]}, when: args.x == 1}
  - {name: never, tools: {deny: [a]}}
"#);
    let access = policies.access(&analyst(), Tool("a"));
    assert_eq!(access.settled().unwrap().to_string(), "denied by never: deny \"a\"");
    assert!(!access.may_list(None));
}

#[test]
fn condition_alone_cannot_allow_so_it_is_settled() {
    let policies = set("policies: [{name: a, tools: {deny: [x]}, when: args.y == 1}]");
    let access = policies.access(&analyst(), Tool("x"));
    assert_eq!(access.settled(), Some(&Decision::no_policy_allows()));
}

#[test]
fn tool_is_listed_if_some_arguments_could_pass() {
    let policies = set(r#"
policies:
  - {name: a, tools: {allow: [args]}, when: args.limit < 5}
  - {name: b, tools: {allow: [both], deny: [both]}, when: args.limit < 5}
  - {name: c, tools: {allow: [role]}, when: "'admin' in principal.roles"}
  - {name: d, tools: {allow: [own]}, when: "'analyst' in principal.roles"}
  - {name: e, tools: {allow: [broken]}, when: principal.claims.team == 'x'}
  - {name: f, tools: {allow: [denied]}, when: args.limit < 5}
  - {name: g, tools: {deny: [denied]}, when: tool == 'denied'}
  - {name: h, tools: {allow: [maybe]}}
  - {name: i, tools: {deny: [maybe]}, when: args.limit < 5}
"#);
    for (tool, listed) in [
        ("args", true),
        ("both", false),
        ("role", false),
        ("own", true),
        ("broken", false),
        ("denied", false),
        ("maybe", true),
        ("absent", false),
    ] {
        let access = policies.access(&analyst(), Tool(tool));
        assert_eq!(access.may_list(None), listed, "{tool}");
    }
}

#[test]
fn explanation_tells_what_each_policy_contributes() {
    let policies = set(r#"
policies:
  - {name: others, subjects: {roles: [admin]}, tools: {allow: ["*"]}}
  - {name: office, network: {allow: [192.0.2.0/24]}, tools: {allow: ["*"]}}
  - {name: broken, tools: {allow: [y]}, when: args.x == 1}
  - {name: silent, tools: {allow: [y]}}
  - {name: slow, rateLimits: [{limit: 1/day}]}
  - {name: yes, tools: {allow: [x]}}
"#);
    let args = json!({});
    let call = facts("10.0.0.1", &args);
    let explanation = policies.explain(&analyst(), Tool("x"), &call);
    assert_eq!(
        explanation.to_string(),
        "jwt:x#alice calls tool x\n  \
           others: is not for this caller\n  \
           office: is not for this address\n  \
           broken: condition failed to evaluate: `x` is not there\n  \
           silent: says nothing about it\n  \
           slow: limits it\n  \
           yes: allow \"x\"\n\
         allowed by yes: allow \"x\"\n  \
           limited to 1/day per principal (slow)"
    );
    assert_eq!(explanation.policies[1].network, Some(Fit::No));
    let decided = policies.access(&analyst(), Tool("x")).decide(&call);
    assert_eq!(explanation.decision, decided);
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["decision"]["rule"], "allow \"x\"");
    assert_eq!(json["decision"]["outcome"], "allow");
    assert_eq!(json["policies"][0]["subjects"], false);
}

#[test]
fn explanation_always_agrees_with_the_decision() {
    let args = json!({"limit": 50});
    for text in [ANALYSTS, CONDITIONAL] {
        let policies = set(text);
        for tool in ["crm__search", "crm__export", "crm__delete_x", "files__a", "chat"] {
            for ip in [None, Some("10.0.0.1".parse().unwrap())] {
                let call = CallFacts { ip, args: Some(&args) };
                let explained = policies.explain(&analyst(), Tool(tool), &call).decision;
                let decided = policies.access(&analyst(), Tool(tool)).decide(&call);
                assert_eq!(explained.outcome, decided.outcome, "{tool} {ip:?}");
            }
        }
    }
}

#[test]
fn access_is_decided_once_and_remembered() {
    let policies = set(ANALYSTS);
    let first = policies.access(&analyst(), Tool("chat"));
    assert!(Arc::ptr_eq(&first, &policies.access(&analyst(), Tool("chat"))));
    assert!(!Arc::ptr_eq(&first, &policies.access(&analyst(), Prompt("chat"))));
    assert!(!Arc::ptr_eq(&first, &policies.access(&analyst(), Tool("chat2"))));
    let long = "x".repeat(MAX_REMEMBERED_NAME + 1);
    let unkept = policies.access(&analyst(), Tool(&long));
    assert!(!Arc::ptr_eq(&unkept, &policies.access(&analyst(), Tool(&long))));
}

#[test]
fn memory_stays_bounded_under_a_flood_of_names_and_callers() {
    let policies = set("policies: [{name: a, tools: {allow: [x]}}]");
    for index in 0..100_000 {
        let caller = Principal::new(format!("jwt:x#{index}"));
        policies.access(&caller, Tool(&format!("made-up-{index}")));
    }
    assert!(policies.accesses.len() <= MAX_ACCESSES);
    assert!(policies.standings.len() <= MAX_STANDINGS);
}

#[test]
fn set_is_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<PolicySet>();
    shared::<Access>();
}

#[test]
fn denied_call_bears_no_limits() {
    let policies = set(ANALYSTS);
    let access = policies.access(&analyst(), Tool("crm__delete_x"));
    let decision = access.settled().unwrap();
    assert!(decision.limits.is_empty());
    assert!(matches!(decision.rule, Rule::Deny(_)));
}

use super::*;
use crate::{document::schema, policy_set::PolicySet};
use std::{fs, path::Path};

fn faults(files: &[&str]) -> Vec<String> {
    let documents: Vec<_> =
        files.iter().zip(["a.yaml", "b.yaml"]).map(|(text, file)| Document::parse(text, file).unwrap()).collect();
    let faults = compile(&documents).map_or_else(|faults| faults, |_| Vec::new());
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn every_fault_of_every_file_is_reported() {
    let first = r#"
policies:
  - name: analysts
    subject: {roles: [analyst]}
    tools: {allow: ["crm__*", ""]}
    network: {allow: [10.0.0.1/8]}
    rateLimits: [{limit: 100/fortnight, per: address}]
  - tools: {allow: chat}
"#;
    let second = r#"
policies:
  - name: one
    subjects: {}
  - name: one
    subjects: {roles: [], claims: {}}
  - name: two
    when: arg.limit < 1
  - name: three
    when: 'args.limit <'
    subjects: {claims: {a: []}}
"#;
    let found = faults(&[first, second]);
    let expected = [
        "a.yaml:4: policies[0].subject: unknown key; did you mean `subjects`?",
        "a.yaml:5: policies[0].tools.allow[1]: an empty pattern matches nothing: write `*` for everything",
        "a.yaml:6: policies[0].network.allow[0]: 10.0.0.1/8 has bits set beyond its prefix: write 10.0.0.0/8 for the range",
        "a.yaml:7: policies[0].rateLimits[0].limit: \"100/fortnight\" is not a rate: write 100/second, /minute, /hour or /day",
        "a.yaml:7: policies[0].rateLimits[0].per: `address` is not one of `principal`, `ip` and `policy`",
        "a.yaml:8: policies[1]: the key `name` is missing",
        "a.yaml:8: policies[1].tools.allow: must be a list, not text",
        "b.yaml:4: policies[0].subjects: names nobody: leave it out for a policy that is for everybody",
        "b.yaml:5: policies[1].name: `one` is already in b.yaml",
        "b.yaml:6: policies[1].subjects: names nobody: leave it out for a policy that is for everybody",
        "b.yaml:8: policies[2].when: there is no variable `arg`: there are principal, tool, args and request; did you mean `args`?",
        "b.yaml:11: policies[3].subjects.claims.a: an empty list fits no claim",
    ];
    for line in expected {
        assert!(found.iter().any(|fault| fault == line), "{line}\nnot in {found:#?}");
    }
    assert_eq!(found.len(), expected.len() + 1, "{found:#?}");
    assert!(found[12].starts_with("b.yaml:10: policies[3].when: not readable as CEL at column"));
}

#[test]
fn name_used_in_two_files_is_a_fault() {
    let file = "policies: [{name: same}]";
    assert_eq!(faults(&[file, file]), ["b.yaml:1: policies[0].name: `same` is already in a.yaml"]);
}

#[test]
fn key_left_empty_never_widens_a_policy() {
    let text = "policies:\n  - name: a\n    subjects:\n      # roles: [b]\n    tools: {allow: ['*']}";
    assert!(Document::parse(text, "a.yaml").is_err());
    for part in [
        "network: {allow: []}",
        "network: {deny: []}",
        "when: ''",
        "name: ''",
        "rateLimits: [{tools: [], limit: 1/day}]",
        "rateLimits: [{limit: 1/day, burst: 0}]",
    ] {
        let text = format!("policies: [{{name: a, {part}}}]").replace("name: a, name", "name");
        assert_eq!(faults(&[&text]).len(), 1, "{part}: {:?}", faults(&[&text]));
    }
}

#[test]
fn file_without_policies_is_a_fault() {
    assert_eq!(faults(&[""]), ["a.yaml:1: the key `policies` is missing"]);
    assert!(faults(&["policies: []"]).is_empty());
}

#[test]
fn every_sample_compiles_and_lints_clean() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let mut documents = Vec::new();
    for entry in fs::read_dir(samples).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        documents.push(Document::parse(&text, path.display().to_string()).unwrap());
    }
    assert!(documents.len() >= 5);
    // Each alone, as an operator would take one, and all together.
    for document in &documents {
        PolicySet::compile(std::slice::from_ref(document)).unwrap_or_else(|e| panic!("{e:#?}"));
    }
    let policies = PolicySet::compile(&documents).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert!(policies.names().len() >= documents.len());
    let warnings = crate::lint(&documents, &crate::Surroundings::default());
    assert!(warnings.is_empty(), "{warnings:#?}");
}

#[test]
fn schema_knows_the_keys_of_a_policy() {
    let schema = schema();
    let policy = &schema["$defs"]["PolicyEntry"];
    assert_eq!(policy["additionalProperties"], false);
    for key in ["name", "subjects", "tools", "when", "network", "rateLimits", "resources", "prompts"] {
        assert!(policy["properties"][key]["description"].is_string(), "{key}");
    }
}

#[test]
fn a_value_that_does_not_fit_hides_nothing_and_entails_nothing() {
    let first = r#"
policies:
  - {name: 5, when: 'args.limit <'}
  - {tools: {allow: [5, ""]}, subjects: {claims: {a: []}}}
  - {name: a, subjects: {role: [x]}, network: {alow: [10.0.0.1]}}
  - 5
  - {name: a, rateLimits: [{limit: often}, {limit: 1/day, tools: []}], when: 5}
"#;
    let found = faults(&[first, "policies: [{name: a}, {name: [], subjects: 5}]"]);
    let place = |fault: &String| fault.splitn(3, ": ").take(2).collect::<Vec<_>>().join(": ");
    let places: Vec<String> = found.iter().map(place).collect();
    assert_eq!(
        places,
        [
            "a.yaml:3: policies[0].name",
            "a.yaml:4: policies[1]",
            "a.yaml:4: policies[1].tools.allow[0]",
            "a.yaml:4: policies[1].tools.allow[1]",
            "a.yaml:5: policies[2].subjects.role",
            "a.yaml:5: policies[2].network.alow",
            "a.yaml:6: policies[3]",
            "a.yaml:7: policies[4].rateLimits[0].limit",
            "a.yaml:7: policies[4].rateLimits[1].tools",
            "a.yaml:7: policies[4].when",
            "a.yaml:3: policies[0].when",
            "a.yaml:4: policies[1].subjects.claims.a",
            "a.yaml:7: policies[4].name",
            "b.yaml:1: policies[1].name",
            "b.yaml:1: policies[1].subjects",
            "b.yaml:1: policies[0].name",
        ],
        "{found:#?}"
    );
}

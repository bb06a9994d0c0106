//! What the documentation shows works: every YAML sample is loaded, every
//! command line is understood, and every key and metric is spoken of.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis::config;
use portcullis_policies::PolicySet;
use portcullis_policies::yaml::Document;
use serde_json::Value;

/// The variables that samples name, and those alone.
const VARIABLES: [(&str, &str); 2] = [("CRM_TOKEN", "token"), ("POD_IP", "10.0.0.7")];

/// A fenced block of a page.
struct Block {
    language: String,
    text: String,
    place: String,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The README and everything under `docs/`.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![repository().join("README.md")];
    let mut folders = vec![repository().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).unwrap();
    let (mut blocks, mut open) = (Vec::new(), None::<Block>);
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                let place = format!("{}:{}", page.display(), number + 1);
                open = Some(Block { language: language.trim().to_owned(), text: String::new(), place });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{}: a block is not closed", page.display());
    blocks
}

fn samples(page: &Path) -> Vec<(Block, Document)> {
    let of_yaml = blocks(page).into_iter().filter(|block| block.language == "yaml");
    of_yaml
        .map(|block| match Document::parse(&block.text, block.place.as_str()) {
            Ok(document) => (block, document),
            Err(faults) => panic!("{faults:?}"),
        })
        .collect()
}

/// A configuration names its policies, a policy file holds them.
fn is_policy_file(document: &Document) -> bool {
    let policies = document.value().get("policies").and_then(Value::as_array);
    policies.is_some_and(|policies| policies.iter().all(Value::is_object))
}

/// A folder with every file that samples name, and the page's own policies.
fn surroundings(policies: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests");
    for (fixture, name) in [("server.crt", "tls.crt"), ("server.key", "tls.key"), ("server.crt", "ca.crt")] {
        fs::copy(fixtures.join(fixture), folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("billing.key"), "key\n").unwrap();
    fs::write(folder.path().join("session.key"), "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=\n").unwrap();
    fs::write(folder.path().join("partner.jwks.json"), r#"{"keys":[]}"#).unwrap();
    fs::create_dir_all(folder.path().join("models/qwen3-0.6b")).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::write(folder.path().join("models/qwen3-0.6b").join(file), "{}").unwrap();
    }
    fs::create_dir(folder.path().join("policies")).unwrap();
    for (index, policy) in policies.iter().enumerate() {
        fs::write(folder.path().join(format!("policies/{index}.yaml")), policy).unwrap();
    }
    folder
}

/// `portcullis check`, in a process of its own because samples name variables
/// of the environment.
fn check(folder: &Path, configuration: &str) -> Vec<Value> {
    fs::write(folder.join("portcullis.yaml"), configuration).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["check", "-c", "portcullis.yaml", "--output", "json"])
        .current_dir(folder)
        .envs(VARIABLES)
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    answer["faults"].as_array().unwrap().clone()
}

#[test]
fn every_policy_sample_compiles() {
    let mut compiled = 0;
    for (block, document) in pages().iter().flat_map(|page| samples(page)).filter(|(_, file)| is_policy_file(file)) {
        let policies = PolicySet::compile(&[document]).unwrap_or_else(|faults| panic!("{}: {faults:?}", block.place));
        assert_ne!(policies.names().len(), 0, "{}: no policy", block.place);
        compiled += 1;
    }
    assert_ne!(compiled, 0, "no policy is shown anywhere");
}

/// Samples have models, which a program without any refuses.
#[cfg(feature = "chat")]
#[test]
fn every_configuration_sample_has_no_fault() {
    let mut checked = 0;
    for page in pages() {
        let samples = samples(&page);
        let (policies, configurations): (Vec<_>, Vec<_>) = samples.iter().partition(|(_, file)| is_policy_file(file));
        let policies: Vec<&str> = policies.iter().map(|(block, _)| block.text.as_str()).collect();
        let everything = ["policies: [{name: all, tools: {allow: [\"*\"]}}]"];
        let folder = surroundings(if policies.is_empty() { &everything } else { &policies });
        for (block, _) in configurations {
            let faults = check(folder.path(), &block.text);
            let errors: Vec<_> = faults.iter().filter(|fault| fault["severity"] == "error").collect();
            assert!(errors.is_empty(), "{}: {errors:#?}", block.place);
            checked += 1;
        }
    }
    assert_ne!(checked, 0, "no configuration is shown anywhere");
}

/// A newcomer's first `portcullis check` says that all is well.
#[test]
fn the_first_configuration_has_not_even_a_warning() {
    let samples = samples(&repository().join("README.md"));
    let (policies, configurations): (Vec<_>, Vec<_>) = samples.iter().partition(|(_, file)| is_policy_file(file));
    let policies: Vec<&str> = policies.iter().map(|(block, _)| block.text.as_str()).collect();
    let folder = surroundings(&policies);
    for (block, _) in configurations {
        assert_eq!(check(folder.path(), &block.text), Vec::<Value>::new(), "{}", block.place);
    }
}

/// Read by a shell, with `--help` at the end of each: what is misspelt before
/// it is refused, and nothing is done.
#[test]
fn every_command_line_is_understood() {
    const STAND_IN: &str = r#"portcullis() { "$PORTCULLIS" "$@" --help >/dev/null; }"#;
    let mut understood = 0;
    for block in pages().iter().flat_map(|page| blocks(page)).filter(|block| block.language == "sh") {
        let joined = block.text.replace("\\\n", " ");
        for line in joined.lines().filter(|line| line.starts_with("portcullis ")) {
            let folder = tempfile::tempdir().unwrap();
            let status = Command::new("sh")
                .args(["-ec", &format!("{STAND_IN}\n{line}")])
                .env("PORTCULLIS", env!("CARGO_BIN_EXE_portcullis"))
                .current_dir(folder.path())
                .status()
                .unwrap();
            assert!(status.success(), "{}: {line}", block.place);
            understood += 1;
        }
    }
    assert_ne!(understood, 0, "no command is shown anywhere");
}

/// The names of all members that a schema describes.
fn keys(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                found.extend(properties.keys().cloned());
            }
            members.values().for_each(|value| keys(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

fn assert_all_spoken_of(page: &str, schema: &Value) {
    let text = fs::read_to_string(repository().join(page)).unwrap();
    let mut all = BTreeSet::new();
    keys(schema, &mut all);
    assert!(!all.is_empty());
    // As a word: at the end of a path such as `limits.maxBody`, or in a sample.
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let missing: Vec<_> = all.iter().filter(|key| !words.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "{page} does not speak of {missing:?}");
}

#[test]
fn every_configuration_key_is_spoken_of() {
    assert_all_spoken_of("docs/configuration.md", &config::schema());
}

#[test]
fn every_policy_key_is_spoken_of() {
    assert_all_spoken_of("docs/policies.md", &portcullis_policies::schema());
}

#[test]
fn every_metric_is_spoken_of() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let source = ["metrics.rs", "metrics/model.rs"].map(|file| fs::read_to_string(source.join(file)).unwrap()).concat();
    let page = fs::read_to_string(repository().join("docs/metrics.md")).unwrap();
    let is_ours = |text: &&str| ["portcullis_", "mcp_", "gen_ai_"].iter().any(|prefix| text.starts_with(prefix));
    // Labels of the conventions are no families.
    let is_label = |text: &str| ["_name", "_model", "_type"].iter().any(|end| text.ends_with(end));
    let quoted = source.split('"').filter(is_ours).filter(|text| !is_label(text));
    let names: BTreeSet<&str> =
        quoted.filter(|text| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')).collect();
    assert!(names.len() > 10, "{names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/metrics.md does not speak of {missing:?}");
}

/// Links between pages, and to files of the repository.
#[test]
fn every_link_leads_to_a_file() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let file = target.split('#').next().unwrap();
            assert!(page.parent().unwrap().join(file).exists(), "{}: {target} leads nowhere", page.display());
        }
    }
}

//! The published schemas, judged by a validator that is not ours, and the file
//! that uses every key there is.

use std::path::PathBuf;

use portcullis_tests::certificates::Authority;
use portcullis_tests::command::portcullis;
use portcullis_tests::gateway::{Home, sha256};
use portcullis_tests::peer::{python, tests_directory};

#[test]
fn the_schemas_are_json_schemas() {
    for kind in ["config", "policy"] {
        let finished = portcullis(Home::empty().path(), &["schema", kind]);
        assert_eq!(finished.code, 0, "{finished:?}");
        let schema = finished.json();
        assert!(schema["$schema"].as_str().is_some_and(|dialect| dialect.contains("json-schema.org")), "{kind}");
        assert!(schema["properties"].is_object(), "{kind}");
        let properties: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let known = if kind == "config" { ["listen", "upstreams"] } else { ["policies", "policies"] };
        assert!(known.iter().all(|key| properties.iter().any(|property| property == key)), "{properties:?}");
    }
}

/// What an independent validator finds wrong with these files under our schema.
fn faults(kind: &str, files: &[PathBuf]) -> String {
    let home = Home::empty();
    home.write("schema.json", &portcullis(home.path(), &["schema", kind]).stdout);
    let output = python("mcp-2").arg("validate.py").arg(home.file("schema.json")).args(files).output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).trim().to_owned());
    assert_eq!(output.status.success(), said[0].is_empty(), "{said:?}");
    said.concat()
}

#[test]
fn the_schemas_accept_every_key_and_refuse_others() {
    let fixture = |name: &str| tests_directory().join("fixtures").join(name);
    assert_eq!(faults("config", &[fixture("every-key.yaml")]), "");
    assert_eq!(faults("policy", &[fixture("every-key-policies.yaml")]), "");
    assert_ne!(faults("policy", &[fixture("every-key.yaml")]), "");
    assert_ne!(faults("config", &[fixture("every-key-policies.yaml")]), "");
}

#[test]
fn the_policy_samples_fit_their_schema() {
    let samples = tests_directory().join("../policies/samples");
    let samples: Vec<PathBuf> = std::fs::read_dir(samples).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!samples.is_empty());
    assert_eq!(faults("policy", &samples), "");
}

#[test]
fn check_accepts_every_key() {
    let home = Home::empty();
    let authority = Authority::new("ours");
    let identity = authority.issue("gateway");
    home.write("tls.crt", &identity.certificate);
    home.write("tls.key", &identity.key);
    home.write("ca.crt", authority.certificate());
    home.write("crm.token", "secret");
    home.write("session.key", &sha256("session"));
    home.write("portcullis.yaml", include_str!("../fixtures/every-key.yaml"));
    home.write("policies/all.yaml", include_str!("../fixtures/every-key-policies.yaml"));
    let finished = portcullis(home.path(), &["check"]);
    assert_eq!(finished.code, 0, "{finished:?}");
}

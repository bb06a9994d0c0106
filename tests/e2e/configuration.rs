//! A configuration is right as a whole, or nothing starts and every fault is told.

use portcullis_tests::command::{Finished, portcullis};
use portcullis_tests::gateway::{Home, sha256, standard};

fn check(config: &str) -> Finished {
    let home = Home::open();
    home.write("portcullis.yaml", config);
    portcullis(home.path(), &["check", "-c", "portcullis.yaml"])
}

/// Both commands refuse the file with exit 2 and say all of these words.
fn assert_faults(config: &str, words: &[&str]) {
    for command in ["check", "serve"] {
        let home = Home::open();
        home.write("portcullis.yaml", config);
        let finished = portcullis(home.path(), &[command, "-c", "portcullis.yaml"]);
        assert_eq!(finished.code, 2, "{command}: {finished:?}");
        for word in words {
            assert!(finished.said().contains(word), "{command} does not say {word}: {}", finished.said());
        }
    }
}

#[test]
fn a_misspelt_key_is_named_with_its_place_and_a_suggestion() {
    assert_faults(
        "auth: {anonymous: {roles: [guest]}}\nupstrems:\n  a: {url: \"http://x/\"}\n",
        &["portcullis.yaml:2", "upstrems", "upstreams"],
    );
}

#[test]
fn a_misspelt_key_deep_inside_is_named_with_its_path() {
    let config = "auth: {anonymous: {roles: [guest]}}\nupstreams:\n  crm:\n    url: \"http://x/\"\n    timeot: 30s\n";
    assert_faults(config, &["portcullis.yaml:5", "upstreams.crm", "timeot", "timeout"]);
}

#[test]
fn every_fault_is_told_not_only_the_first() {
    let config = "listen: nowhere\nlimits: {maxBody: 4XB}\nauth: {anonymous: {roles: [guest]}}\nupstreams:\n  crm: {url: \"gopher://x\"}\n  Bad Name: {url: \"http://x/\"}\n";
    assert_faults(config, &["listen", "nowhere", "maxBody", "4XB", "upstreams.crm", "gopher", "Bad Name"]);
}

#[test]
fn a_fault_in_a_policy_is_named_with_its_file() {
    let home = Home::with_policies("policies:\n  - name: p\n    subjekts: {roles: [a]}\n    tools: {allow: [\"*\"]}\n");
    home.configure(&standard(&[], ""));
    let finished = portcullis(home.path(), &["check", "-c", "portcullis.yaml"]);
    assert_eq!(finished.code, 2, "{finished:?}");
    for word in ["policies.yaml:3", "subjekts", "subjects"] {
        assert!(finished.said().contains(word), "{word} is missing in {}", finished.said());
    }
}

#[test]
fn a_condition_that_does_not_compile_is_a_fault() {
    let home = Home::with_policies(
        "policies:\n  - {name: p, subjects: {roles: [a]}, tools: {allow: [\"*\"]}, when: 'args.limit <='}\n",
    );
    home.configure(&standard(&[], ""));
    let finished = portcullis(home.path(), &["check", "-c", "portcullis.yaml"]);
    assert_eq!(finished.code, 2, "{finished:?}");
    assert!(finished.said().contains("when"), "{}", finished.said());
}

#[test]
fn a_listener_off_loopback_needs_authentication() {
    assert_faults("listen: 0.0.0.0:0\nadmin: {listen: 127.0.0.1:0}\n", &["auth"]);
}

#[test]
fn a_listener_off_loopback_may_be_opened_on_purpose() {
    assert_eq!(check("listen: 0.0.0.0:0\nauth: {anonymous: {roles: [guest]}}\n").code, 0);
    let key = format!("listen: 0.0.0.0:0\nauth: {{apiKeys: {{keys: [{{name: a, sha256: \"{}\"}}]}}}}\n", sha256("x"));
    assert_eq!(check(&key).code, 0);
}

#[test]
fn a_file_that_is_no_yaml_is_a_fault_with_its_line() {
    assert_faults("listen: 127.0.0.1:0\n  bad: [\n", &["portcullis.yaml"]);
}

#[test]
fn a_file_that_is_missing_is_a_fault() {
    for command in ["check", "serve"] {
        let finished = portcullis(Home::empty().path(), &[command, "-c", "absent.yaml"]);
        assert_eq!(finished.code, 2, "{finished:?}");
        assert!(finished.said().contains("absent.yaml"), "{finished:?}");
    }
}

#[test]
fn a_key_given_twice_is_a_fault() {
    assert_faults("auth: {anonymous: {roles: [guest]}}\nlisten: 127.0.0.1:0\nlisten: 127.0.0.1:1\n", &["listen"]);
}

#[test]
fn a_secret_that_is_not_there_is_a_fault() {
    let config = "auth: {anonymous: {roles: [guest]}}\nupstreams:\n  crm: {url: \"http://127.0.0.1:9/\", auth: {bearer: {env: NOT_SET_ANYWHERE}}}\n";
    assert_faults(config, &["NOT_SET_ANYWHERE"]);
}

#[test]
fn a_secret_written_in_the_file_is_accepted_with_a_warning() {
    let config = "auth: {anonymous: {roles: [guest]}}\nupstreams:\n  crm: {url: \"http://127.0.0.1:9/\", auth: {bearer: plainly-written}}\n";
    let finished = check(config);
    assert_eq!(finished.code, 0, "{finished:?}");
    assert!(finished.said().contains("upstreams.crm"), "{finished:?}");
    assert!(!finished.said().contains("plainly-written"), "{finished:?}");
}

#[test]
fn a_hash_that_is_none_is_a_fault() {
    let config = "auth: {apiKeys: {keys: [{name: a, sha256: \"short\"}]}}\n";
    assert_faults(config, &["sha256"]);
}

#[test]
fn hmac_is_no_algorithm_for_tokens() {
    for algorithm in ["HS256", "none"] {
        let config = format!("auth: {{jwt: [{{issuer: \"https://i\", audiences: [a], algorithms: [{algorithm}]}}]}}\n");
        assert_faults(&config, &["algorithms", algorithm]);
    }
}

#[test]
fn two_upstreams_of_one_name_are_a_fault() {
    let config = "auth: {anonymous: {roles: [guest]}}\nupstreams:\n  a: {url: \"http://127.0.0.1:9/\"}\n  a: {url: \"http://127.0.0.1:8/\"}\n";
    assert_faults(config, &["upstreams"]);
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::open();
    home.configure(&standard(&[], &format!("listen: {}\n", taken.local_addr().unwrap())));
    let finished = portcullis(home.path(), &["serve", "-c", "portcullis.yaml"]);
    assert_ne!(finished.code, 0);
    assert!(finished.said().contains(&taken.local_addr().unwrap().to_string()), "{finished:?}");
}

#[test]
fn the_file_in_the_working_directory_is_found_by_itself() {
    let home = Home::open();
    home.write("portcullis.yaml", "upstrems: {}\n");
    let finished = portcullis(home.path(), &["check"]);
    assert_eq!(finished.code, 2, "{finished:?}");
    assert!(finished.said().contains("upstrems"), "{finished:?}");
}

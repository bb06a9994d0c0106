//! The test doubles are honest: public clients, without the gateway between
//! them, take the scripted server for a proper one.

use portcullis_tests::issuer::{Forge, Issuer, claims};
use portcullis_tests::scripted::{Era, Scripted};
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{Value, json};

fn assert_understood(sdk: Sdk, era: Era, revision: &str) {
    let server = if era == Era::Legacy { Scripted::legacy() } else { Scripted::modern() };
    server.open_gate();
    let calls = json!([{"name": "echo", "arguments": {"a": 1}}, {"name": "progress", "arguments": {}}]);
    let report = sdk.run(&server.url(), "any", &calls);
    assert_eq!(report["protocolVersion"], revision, "{sdk:?}");
    assert_eq!(report["calls"][0]["result"]["content"][0]["text"], "{\"a\":1}", "{sdk:?}: {report}");
    let progress: Vec<f64> =
        report["calls"][1]["progress"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert_eq!(progress, [1.0, 2.0], "{sdk:?}");
}

#[test]
fn every_client_takes_the_scripted_server_for_one_of_the_handshake() {
    for sdk in Sdk::ALL {
        assert_understood(sdk, Era::Legacy, "2025-11-25");
    }
}

#[test]
fn the_newer_clients_take_the_scripted_server_for_a_stateless_one() {
    for sdk in [Sdk::Python2, Sdk::TypeScript2, Sdk::Rust] {
        assert_understood(sdk, Era::Modern, "2026-07-28");
    }
}

#[test]
fn issuers_publish_what_they_sign_with() {
    let issuer = Issuer::start();
    let first = issuer.token("https://mcp.example.com/mcp", "mcp");
    issuer.rotate_key();
    let second = issuer.token("https://mcp.example.com/mcp", "mcp");
    let key = |token: &str| token.split('.').next().map(str::to_owned);
    assert_ne!(key(&first), key(&second), "the header names another key");

    let forge = Forge::start();
    let keys = forge.key_set();
    assert_eq!((&keys["keys"][0]["kid"], &keys["keys"][0]["kty"]), (&json!("forge"), &json!("EC")));
    assert!(keys["keys"][0].get("d").is_none(), "the private half stays private");
    let forged = [
        forge.sign(&claims("i", "a")),
        forge.sign_with_public_key(&claims("i", "a")),
        forge.sign_not_at_all(&claims("i", "a")),
    ];
    assert!(forged.iter().all(|token| token.matches('.').count() == 2), "{forged:?}");
}

//! Who enters, by API key or without a credential. Tokens have their own module.

use portcullis_tests::client::Client;
use portcullis_tests::gateway::{Gateway, Home, KEY, sha256};
use portcullis_tests::http::Reply;
use portcullis_tests::json;

fn list(client: &Client) -> Reply {
    client.request("tools/list", &json!({}))
}

/// A gateway without upstreams whose `auth` is this.
fn gateway(auth: &str) -> Gateway {
    Home::open().serve(&format!("auth:\n{auth}\npolicies: [policies/*.yaml]\n"))
}

#[test]
fn a_request_without_a_credential_is_challenged() {
    let gateway = Gateway::over(&[]);
    let reply = list(&Client::new(gateway.main));
    assert_eq!(reply.status, 401);
    let challenge = reply.header("WWW-Authenticate");
    assert!(challenge.starts_with("Bearer"), "{challenge}");
    assert!(challenge.contains("resource_metadata=\"http"), "{challenge}");
    assert!(!challenge.contains("error="), "nothing was wrong yet: {challenge}");
}

#[test]
fn the_challenge_names_metadata_that_is_there() {
    let gateway = Gateway::over(&[]);
    let reply = list(&Client::new(gateway.main));
    let url = reply.header("WWW-Authenticate").split("resource_metadata=\"").nth(1).unwrap().split('"').next().unwrap();
    let path = url.strip_prefix(&gateway.url("")).unwrap_or_else(|| panic!("{url} is elsewhere")).to_owned();
    let metadata = Client::new(gateway.main).at(&path).get();
    assert_eq!(metadata.status, 200);
    assert_eq!(metadata.json()["resource"], gateway.url("/mcp"));
}

#[test]
fn a_wrong_key_is_challenged() {
    let gateway = Gateway::over(&[]);
    let reply = list(&Client::new(gateway.main).key("not-the-key"));
    assert_eq!(reply.status, 401);
    assert!(reply.header("WWW-Authenticate").starts_with("Bearer"));
}

#[test]
fn the_answer_to_a_wrong_key_does_not_repeat_it() {
    let gateway = Gateway::over(&[]);
    let reply = list(&Client::new(gateway.main).key("almost-secret"));
    assert!(!format!("{reply:?} {}", reply.text()).contains("almost-secret"));
}

#[test]
fn a_key_enters_in_its_header() {
    let gateway = Gateway::over(&[]);
    assert_eq!(list(&Client::new(gateway.main).key(KEY)).status, 200);
}

#[test]
fn a_key_enters_as_a_bearer_token() {
    let gateway = Gateway::over(&[]);
    assert_eq!(list(&Client::new(gateway.main).bearer(KEY)).status, 200);
}

#[test]
fn the_scheme_bearer_is_known_in_any_case() {
    let gateway = Gateway::over(&[]);
    let client = Client::new(gateway.main).with("Authorization", &format!("bearer {KEY}"));
    assert_eq!(list(&client).status, 200);
}

#[test]
fn a_key_enters_in_the_header_that_the_file_names() {
    let auth = format!("  apiKeys:\n    header: X-Team-Key\n    keys: [{{name: a, sha256: \"{}\"}}]", sha256(KEY));
    let gateway = gateway(&auth);
    assert_eq!(list(&Client::new(gateway.main).with("X-Team-Key", KEY)).status, 200);
    assert_eq!(list(&Client::new(gateway.main).key(KEY)).status, 401);
}

#[test]
fn an_expired_key_is_challenged() {
    let entry =
        |expires: &str| format!("  apiKeys:\n    keys: [{{name: a, sha256: \"{}\", expires: {expires}}}]", sha256(KEY));
    assert_eq!(list(&gateway(&entry("2020-01-01T00:00:00Z")).client()).status, 401);
    assert_eq!(list(&gateway(&entry("2099-01-01T00:00:00Z")).client()).status, 200);
}

#[test]
fn a_key_in_the_query_is_no_credential() {
    let gateway = Gateway::over(&[]);
    let client = Client::new(gateway.main).at(&format!("/mcp?api_key={KEY}&access_token={KEY}"));
    assert_eq!(list(&client).status, 401);
}

#[test]
fn anonymous_callers_enter_where_the_file_grants_roles() {
    let gateway = gateway("  anonymous: {roles: [guest]}");
    assert_eq!(list(&Client::new(gateway.main)).status, 200);
}

#[test]
fn anonymous_access_does_not_excuse_a_wrong_key() {
    let auth =
        format!("  anonymous: {{roles: [guest]}}\n  apiKeys:\n    keys: [{{name: a, sha256: \"{}\"}}]", sha256(KEY));
    let gateway = gateway(&auth);
    assert_eq!(list(&Client::new(gateway.main)).status, 200);
    assert_eq!(list(&Client::new(gateway.main).key("not-the-key")).status, 401);
}

#[test]
fn health_asks_for_no_credential() {
    let gateway = Gateway::over(&[]);
    for path in ["/health", "/healthz", "/health/ready", "/readyz"] {
        assert_eq!(Client::new(gateway.main).at(path).get().status, 200, "{path}");
        assert_eq!(gateway.admin_get(path).status, 200, "{path} of the admin listener");
    }
}

#[test]
fn every_door_asks_for_the_credential() {
    let upstream = portcullis_tests::scripted::Scripted::legacy();
    let gateway = Gateway::over(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))]);
    let stranger = Client::new(gateway.main);
    assert_eq!(list(&stranger.clone().at("/servers/up/mcp")).status, 401);
    assert_eq!(stranger.clone().at("/mcp/v1/tools").get().status, 401);
    assert_eq!(stranger.at("/mcp/v1/tools/invoke").post(r#"{"name":"up__echo"}"#).status, 401);
    assert!(upstream.executed("echo").is_empty());
}

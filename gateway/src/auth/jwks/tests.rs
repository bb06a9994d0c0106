use std::time::Duration;

use serde_json::json;
use tokio::time::{advance, pause, resume};

use super::*;
use crate::auth::test_issuer::{DocumentServer, SigningKey, key_set};
use crate::http_client::HttpClient;

/// Moves the time forward. It stands still only for the moment: a paused
/// clock would jump over every deadline while the network is awaited.
async fn pass(seconds: u64) {
    pause();
    advance(Duration::from_secs(seconds)).await;
    resume();
}

fn at(server: &DocumentServer) -> Arc<IssuerKeys> {
    let uri = format!("{}/jwks", server.url).parse().unwrap();
    Arc::new(IssuerKeys::new("issuer", Source::Url { uri, client: HttpClient::new(false) }).unwrap())
}

fn discovered(server: &DocumentServer) -> Arc<IssuerKeys> {
    let metadata = format!("{}/metadata", server.url).parse().unwrap();
    let source = Source::Discovery { issuer: "issuer".into(), metadata, client: HttpClient::new(false) };
    Arc::new(IssuerKeys::new("issuer", source).unwrap())
}

/// Looks for an ES256 key, and waits if that is what it takes.
async fn find(keys: &Arc<IssuerKeys>, kid: &str) -> Result<(), Refusal> {
    match keys.find(Some(kid), Algorithm::ES256) {
        Lookup::Key(_) => Ok(()),
        Lookup::Refused(refusal) => Err(refusal),
        Lookup::Loading(loading) => keys.find_after(loading, Some(kid), Algorithm::ES256).await.map(|_| ()),
    }
}

/// Looks for an ES256 key that is there without waiting.
fn find_now(keys: &Arc<IssuerKeys>, kid: &str) -> bool {
    matches!(keys.find(Some(kid), Algorithm::ES256), Lookup::Key(_))
}

/// Waits until the renewal that is running has ended.
async fn renewed(keys: &Arc<IssuerKeys>) {
    let running = keys.renewal.lock().unwrap().running.clone();
    if let Some(running) = running {
        Loading(running).ended().await;
    }
}

#[tokio::test]
async fn keys_are_fetched_once_and_then_kept() {
    let server = DocumentServer::start().await;
    server.serve("/jwks", key_set(&[&SigningKey::es256("a")]));
    let keys = at(&server);
    assert_eq!(server.requests(), 0);
    assert_eq!(find(&keys, "a").await, Ok(()));
    assert!(find_now(&keys, "a"));
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn all_who_wait_share_one_fetch() {
    let server = DocumentServer::start().await;
    server.serve("/jwks", key_set(&[&SigningKey::es256("a")]));
    let release = server.hold();
    let keys = at(&server);
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let keys = Arc::clone(&keys);
            tokio::spawn(async move { find(&keys, "a").await })
        })
        .collect();
    server.asked().await;
    release.notify_one();
    for one in waiting {
        assert_eq!(one.await.unwrap(), Ok(()));
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_caller_who_goes_away_stops_no_fetch() {
    let server = DocumentServer::start().await;
    server.serve("/jwks", key_set(&[&SigningKey::es256("a")]));
    let release = server.hold();
    let keys = at(&server);
    let lookup = keys.find(Some("a"), Algorithm::ES256);
    server.asked().await;
    drop(lookup);
    release.notify_one();
    renewed(&keys).await;
    assert!(find_now(&keys, "a"));
}

#[tokio::test]
async fn a_rotated_key_is_found_by_one_more_fetch() {
    let server = DocumentServer::start().await;
    let (old, new) = (SigningKey::es256("old"), SigningKey::es256("new"));
    server.serve("/jwks", key_set(&[&old]));
    let keys = at(&server);
    assert_eq!(find(&keys, "old").await, Ok(()));
    server.serve("/jwks", key_set(&[&new]));
    pass(11).await;
    assert_eq!(find(&keys, "new").await, Ok(()));
    assert_eq!(server.requests(), 2);
    assert_eq!(find(&keys, "old").await, Err(Refusal::UnknownSigningKey));
}

#[tokio::test]
async fn forged_key_names_cause_one_fetch_within_the_floor() {
    let server = DocumentServer::start().await;
    server.serve("/jwks", key_set(&[&SigningKey::es256("a")]));
    let keys = at(&server);
    assert_eq!(find(&keys, "a").await, Ok(()));
    for n in 0..100 {
        assert_eq!(find(&keys, &format!("forged{n}")).await, Err(Refusal::UnknownSigningKey));
    }
    assert_eq!(server.requests(), 1);
    pass(11).await;
    for n in 0..100 {
        assert_eq!(find(&keys, &format!("forged{n}")).await, Err(Refusal::UnknownSigningKey));
    }
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_key_of_another_kind_causes_no_fetch() {
    let server = DocumentServer::start().await;
    server.serve("/jwks", key_set(&[&SigningKey::ed25519("ed"), &SigningKey::es256("a")]));
    let keys = at(&server);
    assert_eq!(find(&keys, "a").await, Ok(()));
    pass(11).await;
    assert_eq!(find(&keys, "ed").await, Err(Refusal::KeyMismatch));
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn without_keys_nobody_is_accepted_and_failures_obey_the_floor() {
    let server = DocumentServer::start().await;
    server.serve_with("/jwks", 503, &[], "");
    let keys = at(&server);
    for _ in 0..20 {
        assert_eq!(find(&keys, "a").await, Err(Refusal::KeysUnavailable));
    }
    assert_eq!(server.requests(), 1);
    server.serve("/jwks", key_set(&[&SigningKey::es256("a")]));
    assert_eq!(find(&keys, "a").await, Err(Refusal::KeysUnavailable));
    pass(11).await;
    assert_eq!(find(&keys, "a").await, Ok(()));
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn an_issuer_that_does_not_listen_leaves_keys_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/jwks", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let keys = Arc::new(IssuerKeys::new("issuer", Source::Url { uri, client: HttpClient::new(false) }).unwrap());
    assert_eq!(find(&keys, "a").await, Err(Refusal::KeysUnavailable));
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_given_up() {
    let server = DocumentServer::start().await;
    let _never_released = server.hold();
    let keys = at(&server);
    let Lookup::Loading(loading) = keys.find(Some("a"), Algorithm::ES256) else { panic!("nothing is loaded yet") };
    server.asked().await;
    pass(6).await;
    let found = keys.find_after(loading, Some("a"), Algorithm::ES256).await;
    assert_eq!(found.unwrap_err(), Refusal::KeysUnavailable);
}

#[tokio::test]
async fn keys_are_renewed_in_the_background_before_they_are_stale() {
    let server = DocumentServer::start().await;
    let key = SigningKey::es256("a");
    server.serve_with("/jwks", 200, &[("cache-control", "max-age=100")], key_set(&[&key]));
    let keys = at(&server);
    assert_eq!(find(&keys, "a").await, Ok(()));
    pass(70).await;
    assert!(find_now(&keys, "a"));
    assert_eq!(server.requests(), 1);
    pass(15).await;
    assert!(find_now(&keys, "a"), "nobody waits for a renewal ahead of time");
    renewed(&keys).await;
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_withdrawn_key_is_refused_once_the_set_is_stale() {
    let server = DocumentServer::start().await;
    server.serve_with("/jwks", 200, &[("cache-control", "max-age=100")], key_set(&[&SigningKey::es256("a")]));
    let keys = at(&server);
    assert_eq!(find(&keys, "a").await, Ok(()));
    server.serve("/jwks", key_set(&[]));
    pass(101).await;
    assert_eq!(find(&keys, "a").await, Err(Refusal::UnknownSigningKey));
}

#[tokio::test]
async fn stale_keys_work_for_a_day_while_the_issuer_is_down() {
    let server = DocumentServer::start().await;
    server.serve_with("/jwks", 200, &[("cache-control", "max-age=100")], key_set(&[&SigningKey::es256("a")]));
    let keys = at(&server);
    assert_eq!(find(&keys, "a").await, Ok(()));
    server.serve_with("/jwks", 500, &[], "");
    pass(101).await;
    assert_eq!(find(&keys, "a").await, Ok(()));
    assert_eq!(server.requests(), 2);
    pass(11).await;
    assert!(find_now(&keys, "a"), "nobody waits for an issuer that is known to be down");
    renewed(&keys).await;
    assert_eq!(server.requests(), 3);
    pass(24 * 60 * 60).await;
    assert_eq!(find(&keys, "a").await, Err(Refusal::KeysUnavailable));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = DocumentServer::start().await;
    server.serve("/elsewhere", key_set(&[&SigningKey::es256("a")]));
    server.serve_with("/jwks", 302, &[("location", "/elsewhere")], "");
    let keys = at(&server);
    assert_eq!(find(&keys, "a").await, Err(Refusal::KeysUnavailable));
    assert_eq!(server.requests(), 1);
    let error = keys.source.load().await.unwrap_err();
    assert!(matches!(error, JwksError::Status { status, .. } if status == 302));
}

#[tokio::test]
async fn an_endless_or_foreign_document_is_refused() {
    let server = DocumentServer::start().await;
    let keys = at(&server);
    server.serve("/jwks", " ".repeat(1024 * 1024 + 1));
    assert!(matches!(keys.source.load().await, Err(JwksError::Body { .. })));
    server.serve("/jwks", "<html>");
    assert!(matches!(keys.source.load().await, Err(JwksError::Document(_))));
}

#[tokio::test]
async fn discovery_leads_to_the_keys() {
    let server = DocumentServer::start().await;
    let jwks_uri = format!("{}/jwks", server.url);
    server.serve("/metadata", json!({"issuer": "issuer", "jwks_uri": jwks_uri}).to_string());
    server.serve("/jwks", key_set(&[&SigningKey::es256("a")]));
    assert_eq!(find(&discovered(&server), "a").await, Ok(()));
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn the_metadata_must_be_the_issuers_own_and_name_an_address() {
    let server = DocumentServer::start().await;
    let keys = discovered(&server);
    for issuer in ["issuer/", "Issuer", ""] {
        server.serve("/metadata", json!({"issuer": issuer, "jwks_uri": "http://127.0.0.1/"}).to_string());
        assert!(matches!(keys.source.load().await, Err(JwksError::WrongIssuer)), "{issuer}");
    }
    for uri in ["", "/jwks", "file:///etc/passwd", "ftp://127.0.0.1/"] {
        server.serve("/metadata", json!({"issuer": "issuer", "jwks_uri": uri}).to_string());
        assert!(matches!(keys.source.load().await, Err(JwksError::JwksUri)), "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_read_again_after_a_second_and_kept_when_it_breaks() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key_set(&[&SigningKey::es256("old")])).unwrap();
    let keys = Arc::new(IssuerKeys::new("issuer", Source::File(file.path().into())).unwrap());
    assert!(find_now(&keys, "old"));
    std::fs::write(file.path(), key_set(&[&SigningKey::es256("new")])).unwrap();
    assert_eq!(find(&keys, "new").await, Ok(()), "an unknown key is a reason to look at once");
    std::fs::write(file.path(), "{").unwrap();
    advance(Duration::from_secs(2)).await;
    assert_eq!(find(&keys, "new").await, Ok(()));
    std::fs::write(file.path(), key_set(&[])).unwrap();
    advance(Duration::from_secs(2)).await;
    let _ = find(&keys, "new").await;
    renewed(&keys).await;
    assert_eq!(find(&keys, "new").await, Err(Refusal::UnknownSigningKey));
}

#[test]
fn a_file_that_is_missing_or_broken_is_an_error_at_once() {
    let absent = Source::File("/nonexistent/jwks.json".into());
    assert!(matches!(IssuerKeys::new("issuer", absent), Err(JwksError::File(_))));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[]").unwrap();
    let broken = Source::File(file.path().into());
    assert!(matches!(IssuerKeys::new("issuer", broken), Err(JwksError::Document(_))));
}

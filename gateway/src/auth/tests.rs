use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use http::header::AUTHORIZATION;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::test_issuer::{DocumentServer, SigningKey, encode, key_set, sign};
use super::*;
use crate::http_client::HttpClient;

const ISSUER: &str = "https://idp.example.com";
const AUDIENCE: &str = "https://mcp.example.com/mcp";
const NOW: u64 = 1_800_000_000;

/// An authenticator whose clock is moved by hand. The runtime's stands still
/// besides, so that a key file once read stays fresh.
struct Door {
    authenticator: Authenticator,
    time: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
}

impl Door {
    fn new(settings: &AuthSettings) -> Self {
        let time = Arc::new(AtomicU64::new(NOW));
        let metrics = Arc::new(Metrics::new());
        let clock = Clock::manual(Arc::clone(&time));
        let authenticator =
            Authenticator::with_clock(settings, &HttpClient::new(false), Arc::clone(&metrics), clock).unwrap();
        Self { authenticator, time, metrics }
    }

    /// Knocks with one header; the answer must not need a wait.
    fn knock(&self, name: &str, value: &str) -> Result<Arc<Principal>, Rejection> {
        match self.authenticate(name, value) {
            Authentication::Ready(result) => result,
            Authentication::Pending(_) => panic!("nothing has to be loaded"),
        }
    }

    fn authenticate(&self, name: &str, value: &str) -> Authentication {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        self.authenticator.authenticate(&headers)
    }

    fn bearer(&self, token: &str) -> Result<Arc<Principal>, Rejection> {
        self.knock("authorization", &format!("Bearer {token}"))
    }

    fn without_credential(&self) -> Result<Arc<Principal>, Rejection> {
        match self.authenticator.authenticate(&HeaderMap::new()) {
            Authentication::Ready(result) => result,
            Authentication::Pending(_) => panic!("nothing has to be loaded"),
        }
    }

    fn counted(&self, method: &str, outcome: &str) -> bool {
        let line = format!(r#"portcullis_authentications_total{{method="{method}",outcome="{outcome}"}} "#);
        String::from_utf8(self.metrics.render()).unwrap().contains(&line)
    }
}

fn api_keys() -> Option<ApiKeySettings> {
    let key = |name: &str, key: &str, expires| ApiKeySetting {
        name: name.into(),
        sha256: credential_digest(key.as_bytes()),
        roles: vec!["ci".into()],
        expires,
    };
    let soon = UNIX_EPOCH + Duration::from_secs(NOW + 10);
    let keys = vec![key("ci", "ci-key", None), key("short", "short-key", Some(soon)), key("dotted", "e30.e30.x", None)];
    Some(ApiKeySettings { header: ApiKeySettings::DEFAULT_HEADER, keys })
}

fn jwt(jwks: JwksSource) -> JwtSettings {
    JwtSettings {
        issuer: ISSUER.into(),
        audiences: vec![AUDIENCE.into()],
        jwks,
        algorithms: Algorithm::ALL.to_vec(),
        roles_claim: Some("realm_access.roles".into()),
        required_scopes: vec!["mcp".into()],
        leeway: JwtSettings::DEFAULT_LEEWAY,
    }
}

/// A door that knows these signing keys, and the API keys.
fn door(keys: &[&SigningKey]) -> Door {
    door_with(keys, |_| ())
}

fn door_with(keys: &[&SigningKey], change: impl FnOnce(&mut JwtSettings)) -> Door {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key_set(keys)).unwrap();
    let mut jwt = jwt(JwksSource::File(file.path().into()));
    change(&mut jwt);
    Door::new(&AuthSettings { anonymous: None, api_keys: api_keys(), jwt: vec![jwt] })
}

fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "exp": NOW + 600,
        "scope": "mcp read",
        "realm_access": {"roles": ["analyst"]},
    })
}

fn claims_with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn bad(detail: &'static str) -> Rejection {
    Rejection::BadCredential { detail }
}

// === API keys and anonymous ===

#[tokio::test(start_paused = true)]
async fn an_api_key_opens_by_its_header_and_as_bearer() {
    let door = door(&[]);
    assert_eq!(door.knock("x-api-key", "ci-key").unwrap().name(), "apiKey:ci");
    assert_eq!(door.bearer("ci-key").unwrap().name(), "apiKey:ci");
    assert!(door.counted("api_key", "accepted"));
}

#[tokio::test(start_paused = true)]
async fn an_api_key_that_looks_like_a_token_is_still_a_key() {
    assert_eq!(door(&[]).bearer("e30.e30.x").unwrap().name(), "apiKey:dotted");
}

#[tokio::test(start_paused = true)]
async fn an_api_key_is_refused_once_expired() {
    let door = door(&[]);
    assert!(door.bearer("short-key").is_ok());
    door.time.store(NOW + 10, Ordering::SeqCst);
    assert_eq!(door.bearer("short-key").unwrap_err(), bad("the API key has expired: ask the operator for a new one"));
    assert!(door.counted("api_key", "expired"));
}

#[tokio::test(start_paused = true)]
async fn the_key_header_decides_alone() {
    let key = SigningKey::es256("a");
    let door = door(&[&key]);
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", "wrong".parse().unwrap());
    headers.insert(AUTHORIZATION, format!("Bearer {}", key.token(&claims())).parse().unwrap());
    let Authentication::Ready(result) = door.authenticator.authenticate(&headers) else { panic!("a key never waits") };
    assert_eq!(result.unwrap_err(), bad("the credential is not known: check it, or ask the operator for one"));
}

#[tokio::test(start_paused = true)]
async fn nobody_enters_without_a_credential_unless_granted() {
    let door = door(&[]);
    assert_eq!(door.without_credential().unwrap_err(), Rejection::NoCredential);
    assert!(door.counted("none", "missing"));
}

#[tokio::test(start_paused = true)]
async fn a_bad_credential_never_becomes_anonymous() {
    let settings = AuthSettings { anonymous: Some(vec!["guest".into()]), api_keys: api_keys(), jwt: Vec::new() };
    let door = Door::new(&settings);
    let anonymous = door.without_credential().unwrap();
    assert_eq!((anonymous.name(), anonymous.roles()), ("anonymous", &["guest".to_owned()][..]));
    assert!(door.counted("anonymous", "accepted"));
    for (name, value) in [
        ("x-api-key", "wrong"),
        ("x-api-key", ""),
        ("authorization", "Bearer wrong"),
        ("authorization", "Bearer"),
        ("authorization", ""),
        ("authorization", "Basic dTpw"),
    ] {
        let result = door.knock(name, value);
        assert!(matches!(result, Err(Rejection::BadCredential { .. })), "{name}: {value}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_nothing_configured_nobody_enters() {
    let door = Door::new(&AuthSettings::default());
    assert_eq!(door.without_credential().unwrap_err(), Rejection::NoCredential);
    assert_eq!(
        door.bearer("x").unwrap_err(),
        bad("the credential is not known: check it, or ask the operator for one")
    );
}

// === Tokens ===

#[tokio::test(start_paused = true)]
async fn a_token_of_every_algorithm_opens() {
    let keys = [SigningKey::es256("a"), SigningKey::es384("b"), SigningKey::ed25519("c"), SigningKey::rsa("d")];
    let door = door(&keys.each_ref());
    for key in &keys {
        let principal = door.bearer(&key.token(&claims())).unwrap();
        assert_eq!(principal.name(), "jwt:https://idp.example.com#alice", "{}", key.kid);
        assert_eq!(principal.roles(), ["analyst"]);
        assert_eq!(principal.scopes(), ["mcp", "read"]);
    }
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        let token = keys[3].sign(&json!({"alg": algorithm, "kid": "d"}), &claims(), algorithm.parse().unwrap());
        assert!(door.bearer(&token).is_ok(), "{algorithm}");
    }
    assert!(door.counted("jwt", "accepted"));
}

#[tokio::test(start_paused = true)]
async fn an_unsigned_token_is_refused() {
    let door = door(&[&SigningKey::es256("a")]);
    for algorithm in ["none", "None", "nOnE"] {
        let header = json!({"alg": algorithm, "typ": "JWT", "kid": "a"}).to_string();
        let token = format!("{}.{}.", encode(header.as_bytes()), encode(claims().to_string().as_bytes()));
        assert_eq!(door.bearer(&token).unwrap_err(), bad("the token's signature algorithm is not accepted"));
    }
    assert!(door.counted("jwt", "wrong_algorithm"));
}

#[tokio::test(start_paused = true)]
async fn a_token_signed_with_the_public_key_as_secret_is_refused() {
    let key = SigningKey::rsa("a");
    let door = door(&[&key]);
    let modulus = key.jwk()["n"].as_str().unwrap().to_owned();
    for secret in [key.jwk().to_string(), modulus] {
        let secret = EncodingKey::from_secret(secret.as_bytes());
        for declared in ["HS256", "RS256"] {
            let header = json!({"alg": declared, "kid": "a"});
            let token = sign(&header, &claims(), &secret, jsonwebtoken::Algorithm::HS256);
            assert!(matches!(door.bearer(&token), Err(Rejection::BadCredential { .. })), "{declared}");
        }
    }
    assert!(door.counted("jwt", "wrong_algorithm"));
    assert!(door.counted("jwt", "bad_signature"));
}

#[tokio::test(start_paused = true)]
async fn an_algorithm_that_does_not_fit_the_key_is_refused() {
    let (ec, ed) = (SigningKey::es256("ec"), SigningKey::ed25519("ed"));
    let door = door(&[&ec, &ed]);
    for (declared, kid) in [("EdDSA", "ec"), ("ES384", "ec"), ("RS256", "ec"), ("ES256", "ed"), ("PS256", "ed")] {
        let token = ec.sign(&json!({"alg": declared, "kid": kid}), &claims(), ec.algorithm);
        let refused = bad("the token's signature algorithm does not fit its signing key");
        assert_eq!(door.bearer(&token).unwrap_err(), refused, "{declared} {kid}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_algorithm_the_issuer_is_not_configured_with_is_refused() {
    let key = SigningKey::es256("a");
    let door = door_with(&[&key], |jwt| jwt.algorithms = vec![Algorithm::EdDSA]);
    let refused = bad("the token's signature algorithm is not accepted");
    assert_eq!(door.bearer(&key.token(&claims())).unwrap_err(), refused);
}

#[tokio::test(start_paused = true)]
async fn a_signature_of_another_key_is_refused() {
    let (ours, theirs) = (SigningKey::es256("a"), SigningKey::es256("a"));
    let door = door(&[&ours]);
    assert_eq!(door.bearer(&theirs.token(&claims())).unwrap_err(), bad("the token's signature is wrong"));
    let token = ours.token(&claims());
    let (message, _) = token.rsplit_once('.').unwrap();
    for signature in ["", "AAAA", "!"] {
        let token = format!("{message}.{signature}");
        assert_eq!(door.bearer(&token).unwrap_err(), bad("the token's signature is wrong"), "{signature}");
    }
}

#[tokio::test(start_paused = true)]
async fn changed_claims_break_the_signature() {
    let key = SigningKey::es256("a");
    let door = door(&[&key]);
    let token = key.token(&claims());
    assert!(door.bearer(&token).is_ok());
    let mut parts = token.split('.');
    let (header, _, signature) = (parts.next().unwrap(), parts.next(), parts.next().unwrap());
    let forged = encode(claims_with("sub", "root").to_string().as_bytes());
    let token = format!("{header}.{forged}.{signature}");
    assert_eq!(door.bearer(&token).unwrap_err(), bad("the token's signature is wrong"));
}

#[tokio::test(start_paused = true)]
async fn a_token_with_the_wrong_claims_is_refused() {
    let key = SigningKey::es256("a");
    let door = door(&[&key]);
    for (name, value, detail) in [
        (
            "iss",
            json!("https://other.example.com"),
            "the token's issuer is not accepted: see the metadata for those that are",
        ),
        (
            "iss",
            json!("https://idp.example.com/"),
            "the token's issuer is not accepted: see the metadata for those that are",
        ),
        ("iss", json!(null), "the token's issuer is not accepted: see the metadata for those that are"),
        (
            "aud",
            json!("https://other.example.com"),
            "the token is meant for another audience: get one for the resource that the metadata names",
        ),
        ("exp", json!(NOW - 60), "the token has expired: get a new one"),
        ("exp", json!(null), "the token has no valid expiry time"),
        ("nbf", json!(NOW + 61), "the token is not valid yet"),
        ("sub", json!(null), "the token has no valid subject"),
    ] {
        let token = key.token(&claims_with(name, value.clone()));
        assert_eq!(door.bearer(&token).unwrap_err(), bad(detail), "{name}: {value}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_with_a_foreign_header_is_refused() {
    let key = SigningKey::es256("a");
    let door = door(&[&key]);
    let mut header = json!({"alg": "ES256", "kid": "a", "typ": "logout+jwt"});
    let token = key.sign(&header, &claims(), key.algorithm);
    assert_eq!(door.bearer(&token).unwrap_err(), bad("the token's type is not accepted"));
    header = json!({"alg": "ES256", "kid": "a", "crit": ["exp"], "exp": 1});
    let token = key.sign(&header, &claims(), key.algorithm);
    let refused = bad("the token has critical header parameters that are not supported");
    assert_eq!(door.bearer(&token).unwrap_err(), refused);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_token_brings_along_is_not_believed() {
    let (ours, theirs) = (SigningKey::es256("a"), SigningKey::es256("a"));
    let door = door(&[&ours]);
    let header = json!({"alg": "ES256", "kid": "a", "jwk": theirs.jwk()});
    let token = theirs.sign(&header, &claims(), theirs.algorithm);
    assert_eq!(door.bearer(&token).unwrap_err(), bad("the token's signature is wrong"));
}

#[tokio::test(start_paused = true)]
async fn a_token_without_the_required_scope_is_refused_as_such() {
    let key = SigningKey::es256("a");
    let door = door(&[&key]);
    let required: Arc<[String]> = vec!["mcp".to_owned()].into();
    let token = key.token(&claims_with("scope", "read"));
    assert_eq!(door.bearer(&token).unwrap_err(), Rejection::ScopeMissing { required });
    assert!(door.counted("jwt", "insufficient_scope"));
}

#[tokio::test(start_paused = true)]
async fn a_broken_token_and_an_overlong_one_are_refused() {
    let door = door(&[&SigningKey::es256("a")]);
    let broken = format!("{}.x.y", encode(b"{\"alg\":\"ES256\"}"));
    assert_eq!(door.bearer(&broken).unwrap_err(), bad("the token is malformed"));
    let long = "a".repeat(credential::MAX_CREDENTIAL_BYTES + 1);
    assert_eq!(door.bearer(&long).unwrap_err(), bad("the credential is too long"));
}

#[tokio::test(start_paused = true)]
async fn a_remembered_token_is_refused_once_expired() {
    let key = SigningKey::es256("a");
    let door = door(&[&key]);
    let token = key.token(&claims_with("exp", NOW + 10));
    assert!(door.bearer(&token).is_ok());
    let until = NOW + 10 + JwtSettings::DEFAULT_LEEWAY.as_secs();
    door.time.store(until - 1, Ordering::SeqCst);
    assert!(door.bearer(&token).is_ok());
    door.time.store(until, Ordering::SeqCst);
    assert_eq!(door.bearer(&token).unwrap_err(), bad("the token has expired: get a new one"));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_verified_once() {
    let key = SigningKey::es256("a");
    let door = door(&[&key]);
    let token = key.token(&claims());
    let first = door.bearer(&token).unwrap();
    assert!(Arc::ptr_eq(&first, &door.bearer(&token).unwrap()));
}

#[tokio::test]
async fn the_withdrawal_of_a_key_ends_its_tokens_within_five_minutes() {
    let (old, new) = (SigningKey::es256("old"), SigningKey::es256("new"));
    let server = DocumentServer::start().await;
    server.serve("/jwks", key_set(&[&old]));
    let uri = format!("{}/jwks", server.url).parse().unwrap();
    let door = Door::new(&AuthSettings { jwt: vec![jwt(JwksSource::Url(uri))], ..AuthSettings::default() });
    let token = old.token(&claims());
    let Authentication::Pending(pending) = door.authenticate("authorization", &format!("Bearer {token}")) else {
        panic!("the keys are still to be fetched");
    };
    assert!(pending.await.is_ok());
    assert!(door.counted("jwt", "accepted"));
    server.serve("/jwks", key_set(&[&new]));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(601)).await;
    tokio::time::resume();
    assert!(door.bearer(&token).is_ok(), "remembered");
    door.time.store(NOW + 300, Ordering::SeqCst);
    let Authentication::Pending(pending) = door.authenticate("authorization", &format!("Bearer {token}")) else {
        panic!("the keys are stale");
    };
    assert!(matches!(pending.await, Err(Rejection::BadCredential { detail }) if detail.contains("signing key")));
}

#[tokio::test]
async fn while_keys_cannot_be_had_tokens_are_refused() {
    let key = SigningKey::es256("a");
    let server = DocumentServer::start().await;
    let uri = format!("{}/jwks", server.url).parse().unwrap();
    let settings =
        AuthSettings { anonymous: Some(Vec::new()), api_keys: api_keys(), jwt: vec![jwt(JwksSource::Url(uri))] };
    let door = Door::new(&settings);
    let Authentication::Pending(pending) =
        door.authenticate("authorization", &format!("Bearer {}", key.token(&claims())))
    else {
        panic!("the keys are still to be fetched");
    };
    let refused = bad("the issuer's keys are not available at the moment; retry in some seconds");
    assert_eq!(pending.await.unwrap_err(), refused);
    assert!(door.counted("jwt", "keys_unavailable"));
    assert!(door.bearer("ci-key").is_ok(), "other mechanisms go on");
}

// === Settings ===

#[test]
fn settings_that_cannot_work_are_refused() {
    let new = |jwt: Vec<JwtSettings>| {
        let settings = AuthSettings { jwt, ..AuthSettings::default() };
        Authenticator::new(&settings, &HttpClient::new(false), Arc::default()).unwrap_err()
    };
    let good = || jwt(JwksSource::Discovery);
    assert!(matches!(new(vec![good(), good()]), AuthError::DuplicateIssuer { .. }));
    assert!(matches!(new(vec![JwtSettings { audiences: Vec::new(), ..good() }]), AuthError::NoAudience { .. }));
    assert!(matches!(new(vec![JwtSettings { algorithms: Vec::new(), ..good() }]), AuthError::NoAlgorithm { .. }));
    let leeway = JwtSettings::MAX_LEEWAY + Duration::from_secs(1);
    assert!(matches!(new(vec![JwtSettings { leeway, ..good() }]), AuthError::Leeway { .. }));
    assert!(matches!(new(vec![JwtSettings { issuer: "idp".into(), ..good() }]), AuthError::KeysAddress { .. }));
    let file = jwt(JwksSource::File("/nonexistent/jwks.json".into()));
    assert!(matches!(new(vec![file]), AuthError::Keys { .. }));
    for uri in ["/jwks", "ftp://idp.example.com/jwks", "idp.example.com:443"] {
        let url = jwt(JwksSource::Url(uri.parse().unwrap()));
        assert!(matches!(new(vec![url]), AuthError::KeysAddress { .. }), "{uri}");
    }
}

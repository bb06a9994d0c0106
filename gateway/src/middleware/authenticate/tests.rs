use std::future::{Ready, ready};

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderValue;
use serde_json::json;
use tower::ServiceExt;

use super::*;
use crate::auth::test_issuer::{DocumentServer, SigningKey, key_set};
use crate::auth::{Algorithm, ApiKeySetting, ApiKeySettings, AuthSettings, JwksSource, JwtSettings};
use crate::http_client::HttpClient;

/// Answers with the request that reached it.
#[derive(Clone)]
struct Echo;

impl Service<Request<()>> for Echo {
    type Response = Request<()>;
    type Error = Rejection;
    type Future = Ready<Result<Request<()>, Rejection>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        ready(Ok(request))
    }
}

fn keys() -> AuthSettings {
    let key = ApiKeySetting {
        name: "ci".into(),
        sha256: digest(&SHA256, b"secret").as_ref().try_into().unwrap(),
        roles: Vec::new(),
        expires: None,
    };
    let api_keys = ApiKeySettings { header: ApiKeySettings::DEFAULT_HEADER, keys: vec![key] };
    AuthSettings { api_keys: Some(api_keys), ..AuthSettings::default() }
}

fn service(settings: &AuthSettings) -> Authenticate<Echo> {
    let authenticator = Authenticator::new(settings, &HttpClient::new(false), Arc::default()).unwrap();
    AuthenticateLayer::new(Arc::new(authenticator)).layer(Echo)
}

fn request(headers: &[(&'static str, &str)]) -> (Request<()>, Arc<CallRecord>) {
    let record = Arc::new(CallRecord::new(HeaderValue::from_static("r1"), None));
    let mut request = Request::new(());
    request.extensions_mut().insert(Arc::clone(&record));
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    (request, record)
}

#[tokio::test]
async fn the_principal_goes_on_and_the_credentials_do_not() {
    let (request, record) =
        request(&[("x-api-key", "secret"), ("authorization", "Bearer other"), ("accept", "application/json")]);
    let reached = service(&keys()).oneshot(request).await.unwrap();
    assert_eq!(record.principal.get().unwrap().name(), "apiKey:ci");
    let left: Vec<_> = reached.headers().keys().map(http::HeaderName::as_str).collect();
    assert_eq!(left, ["accept"]);
}

#[tokio::test]
async fn a_refused_caller_reaches_nothing() {
    let (request, record) = request(&[("x-api-key", "wrong")]);
    let refused = service(&keys()).oneshot(request).await.unwrap_err();
    assert!(matches!(refused, Rejection::BadCredential { .. }));
    assert!(record.principal.get().is_none());
}

#[tokio::test]
async fn an_anonymous_caller_is_noted_too() {
    let (request, record) = request(&[]);
    let settings = AuthSettings { anonymous: Some(vec!["guest".into()]), ..AuthSettings::default() };
    assert!(service(&settings).oneshot(request).await.is_ok());
    assert_eq!(record.principal.get().unwrap().name(), "anonymous");
}

#[tokio::test]
async fn a_credential_in_the_query_is_not_read() {
    let (mut request, _) = request(&[]);
    *request.uri_mut() = "/mcp?access_token=secret&api_key=secret".parse().unwrap();
    assert_eq!(service(&keys()).oneshot(request).await.unwrap_err(), Rejection::NoCredential);
}

/// Knocks with a token of the issuer whose key set is served here.
async fn knock_with_token(
    server: &DocumentServer,
    key: &SigningKey,
) -> (Result<Request<()>, Rejection>, Arc<CallRecord>) {
    let jwt = JwtSettings {
        issuer: "i".into(),
        audiences: vec!["a".into()],
        jwks: JwksSource::Url(format!("{}/jwks", server.url).parse().unwrap()),
        algorithms: vec![Algorithm::ES256],
        roles_claim: None,
        required_scopes: Vec::new(),
        leeway: JwtSettings::DEFAULT_LEEWAY,
    };
    let token = key.token(&json!({"iss": "i", "aud": "a", "sub": "s", "exp": 99_999_999_999_u64}));
    let (request, record) = request(&[("authorization", &format!("Bearer {token}"))]);
    let future = service(&AuthSettings { jwt: vec![jwt], ..AuthSettings::default() }).call(request);
    assert!(matches!(future.state, State::Waiting { .. }));
    (future.await, record)
}

#[tokio::test]
async fn a_token_goes_on_once_its_issuers_keys_are_there() {
    let (server, key) = (DocumentServer::start().await, SigningKey::es256("k"));
    server.serve("/jwks", key_set(&[&key]));
    let (reached, record) = knock_with_token(&server, &key).await;
    let reached = reached.unwrap();
    assert_eq!(record.principal.get().unwrap().name(), "jwt:i#s");
    assert!(reached.headers().is_empty());
}

#[tokio::test]
async fn a_token_whose_keys_cannot_be_had_is_refused_after_the_wait() {
    let (server, key) = (DocumentServer::start().await, SigningKey::es256("k"));
    let (refused, record) = knock_with_token(&server, &key).await;
    assert!(matches!(refused, Err(Rejection::BadCredential { detail }) if detail.contains("retry")));
    assert!(record.principal.get().is_none());
}

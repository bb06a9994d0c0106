use aws_lc_rs::digest::{SHA256, digest};
use http::{HeaderMap, HeaderValue};
use portcullis_policies::Principal;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use super::*;
use crate::secret::Secret;

const OWN: &str = "10.0.0.7:7443";

fn ring(secret: &str) -> Arc<KeyRing> {
    let ring = KeyRing::new().unwrap();
    ring.replace(&[Secret::new(secret.to_owned())]);
    Arc::new(ring)
}

fn shown(ring: &KeyRing) -> ClientCertificate {
    let public = ring.identity().unwrap().public;
    ClientCertificate { fingerprint: digest(&SHA256, &public).as_ref().try_into().unwrap() }
}

/// What another replica passes on.
fn passed_on(path: &str, caller: Option<&str>) -> Request<()> {
    let mut headers = HeaderMap::new();
    if let Some(caller) = caller {
        let record = CallRecord::new(HeaderValue::from_static("r1"), None);
        record.principal.set(Arc::new(Principal::new(caller))).unwrap();
        Vouched::of(&record).unwrap().write(&mut headers, &record.request_id).unwrap();
    }
    let mut request = Request::post(format!("https://{OWN}{path}")).body(()).unwrap();
    let door = Door::at(request.uri().path());
    *request.headers_mut() = headers;
    request.extensions_mut().insert(door);
    request.extensions_mut().insert(Arc::new(CallRecord::new(HeaderValue::from_static("r1"), None)));
    request.extensions_mut().insert(shown(&ring("one")));
    request
}

/// What becomes of a request, and of whom it is inside.
async fn receive(layer: &ReceivedLayer, request: Request<()>) -> Result<(StatusCode, Option<String>), Rejection> {
    let record = request.extensions().get::<Arc<CallRecord>>().cloned().unwrap();
    let service = ServiceBuilder::new().layer(layer.clone()).service(service_fn(|request: Request<()>| {
        assert!(request.headers().keys().all(|name| !name.as_str().contains("vouched")));
        ready(Ok(Response::new(Body::empty())))
    }));
    let response = service.oneshot(request).await?;
    Ok((response.status(), record.principal.get().map(|principal| principal.name().to_owned())))
}

fn layer() -> (ReceivedLayer, Arc<KeyRing>, Readiness) {
    let (keys, readiness) = (ring("one"), Readiness::new());
    (ReceivedLayer::new(OWN.into(), Arc::clone(&keys), readiness.clone()), keys, readiness)
}

#[tokio::test]
async fn the_caller_is_whom_the_other_replica_names() {
    let (layer, ..) = layer();
    for path in ["/mcp", "/servers/crm/mcp", "/messages?session=x"] {
        let received = receive(&layer, passed_on(path, Some("apiKey:ci"))).await;
        assert_eq!(received, Ok((StatusCode::OK, Some("apiKey:ci".to_owned()))), "{path}");
    }
}

#[tokio::test]
async fn who_asks_whether_requests_are_taken_is_told() {
    let (layer, _, readiness) = layer();
    assert_eq!(receive(&layer, passed_on("/", None)).await, Ok((StatusCode::NO_CONTENT, None)));
    readiness.enter(Phase::Draining);
    assert_eq!(receive(&layer, passed_on("/", None)).await, Err(Rejection::Misdirected));
}

#[tokio::test]
async fn without_a_word_for_the_caller_nothing_is_done() {
    let (layer, ..) = layer();
    assert_eq!(receive(&layer, passed_on("/mcp", None)).await, Err(Rejection::Misdirected));
}

#[tokio::test]
async fn a_connection_whose_key_is_not_known_or_not_any_more_brings_nothing() {
    let (layer, keys, _) = layer();
    let mut nameless = passed_on("/mcp", Some("apiKey:ci"));
    nameless.extensions_mut().remove::<ClientCertificate>();
    assert_eq!(receive(&layer, nameless).await, Err(Rejection::Misdirected));
    let mut stranger = passed_on("/mcp", Some("apiKey:ci"));
    stranger.extensions_mut().insert(shown(&ring("two")));
    assert_eq!(receive(&layer, stranger).await, Err(Rejection::Misdirected));
    keys.replace(&[Secret::new("two".to_owned())]);
    assert_eq!(receive(&layer, passed_on("/mcp", Some("apiKey:ci"))).await, Err(Rejection::Misdirected));
}

#[tokio::test]
async fn what_is_meant_for_another_or_comes_while_draining_is_refused_unprocessed() {
    let (layer, _, readiness) = layer();
    let mut other = passed_on("/mcp", Some("apiKey:ci"));
    *other.uri_mut() = "https://10.0.0.8:7443/mcp".parse().unwrap();
    assert_eq!(receive(&layer, other).await, Err(Rejection::Misdirected));
    readiness.enter(Phase::Draining);
    assert_eq!(receive(&layer, passed_on("/mcp", Some("apiKey:ci"))).await, Err(Rejection::Misdirected));
}

#[tokio::test]
async fn what_belongs_to_no_replica_is_not_served_here() {
    let (layer, ..) = layer();
    for path in ["/mcp/v1/tools", "/v1/models", "/sse", "/ws", "/health", "/metrics"] {
        assert_eq!(receive(&layer, passed_on(path, Some("apiKey:ci"))).await, Err(Rejection::NoSuchPath), "{path}");
    }
}

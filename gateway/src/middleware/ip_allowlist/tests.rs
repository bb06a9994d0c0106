use http::HeaderValue;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use super::*;

fn nets(list: &[&str]) -> Vec<IpNet> {
    list.iter().map(|net| net.parse().unwrap()).collect()
}

/// What becomes of a request, and the address its record learnt.
async fn call(settings: NetworkSettings, peer: Option<&str>, path: &str) -> (Result<(), Rejection>, Option<IpAddr>) {
    let service = ServiceBuilder::new()
        .layer(IpAllowlistLayer::new(Arc::new(settings)))
        .service(service_fn(|_: Request<()>| ready(Ok(()))));
    let record = Arc::new(CallRecord::new(HeaderValue::from_static("r"), None));
    let mut request = Request::get(path).header("x-forwarded-for", "203.0.113.9").body(()).unwrap();
    request.extensions_mut().insert(Arc::clone(&record));
    if let Some(peer) = peer {
        request.extensions_mut().insert(PeerAddress(format!("{peer}:1").parse().unwrap()));
    }
    let outcome = service.oneshot(request).await;
    (outcome, record.client_ip.get().copied())
}

#[tokio::test]
async fn without_lists_everybody_may_call() {
    let (outcome, address) = call(NetworkSettings::default(), Some("192.0.2.1"), "/mcp").await;
    assert_eq!((outcome, address), (Ok(()), Some("192.0.2.1".parse().unwrap())));
}

#[tokio::test]
async fn with_an_allowlist_only_its_addresses_may_call() {
    let settings = NetworkSettings { allow: nets(&["192.0.2.0/24"]), ..NetworkSettings::default() };
    assert_eq!(call(settings.clone(), Some("192.0.2.1"), "/mcp").await.0, Ok(()));
    assert_eq!(call(settings, Some("198.51.100.1"), "/mcp").await.0, Err(Rejection::AddressNotAllowed));
}

#[tokio::test]
async fn deny_wins_over_allow() {
    let settings =
        NetworkSettings { allow: nets(&["192.0.2.0/24"]), deny: nets(&["192.0.2.9/32"]), ..NetworkSettings::default() };
    assert_eq!(call(settings, Some("192.0.2.9"), "/mcp").await.0, Err(Rejection::AddressNotAllowed));
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_client_counts() {
    let settings = NetworkSettings {
        deny: nets(&["203.0.113.9/32"]),
        trusted_proxies: nets(&["10.0.0.1/32"]),
        ..NetworkSettings::default()
    };
    let (outcome, address) = call(settings, Some("10.0.0.1"), "/mcp").await;
    assert_eq!((outcome, address), (Err(Rejection::AddressNotAllowed), Some("203.0.113.9".parse().unwrap())));
}

#[tokio::test]
async fn a_request_of_unknown_origin_is_refused() {
    assert_eq!(call(NetworkSettings::default(), None, "/mcp").await.0, Err(Rejection::AddressNotAllowed));
}

#[tokio::test]
async fn health_is_open_to_every_address() {
    let settings = NetworkSettings { deny: nets(&["0.0.0.0/0"]), ..NetworkSettings::default() };
    assert_eq!(call(settings.clone(), Some("192.0.2.1"), "/health/ready").await.0, Ok(()));
    assert_eq!(call(settings, Some("192.0.2.1"), "/healthz/x").await.0, Err(Rejection::AddressNotAllowed));
}

use std::convert::Infallible;

use http::StatusCode;
use http::header::{ALLOW, HOST};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use super::*;
use crate::middleware::respond::{PublicUrl, RespondLayer};

/// What the reception answers, `418` standing for whatever is behind it.
async fn ask(readiness: &Readiness, layer: ReceptionLayer, method: &Method, path: &str) -> (Response<()>, Value) {
    let inner = service_fn(|_: Request<()>| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        ready(Ok::<_, Rejection>(response))
    });
    let service = ServiceBuilder::new()
        .layer(RespondLayer::default())
        .layer(HealthLayer::new(readiness.clone()))
        .layer(layer)
        .service(inner);
    let mut request = Request::builder().method(method).uri(path).header(HOST, "gw.local").body(()).unwrap();
    request.extensions_mut().insert(Door::at(path));
    let answered: Result<Response<Body>, Infallible> = service.oneshot(request).await;
    let (head, body) = answered.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(head, ()), serde_json::from_slice(&body).unwrap_or_default())
}

fn layer() -> ReceptionLayer {
    ReceptionLayer::new(PublicUrl::default(), vec!["https://idp.example.com".into()], ["mcp".to_owned()].into())
}

fn ready_to_serve() -> Readiness {
    let readiness = Readiness::new();
    readiness.enter(Phase::Ready);
    readiness
}

const METADATA: &str = "/.well-known/oauth-protected-resource";

#[tokio::test]
async fn the_metadata_names_the_resource_its_issuers_and_scopes() {
    for (path, resource) in [
        ("", "http://gw.local/mcp"),
        ("/", "http://gw.local/mcp"),
        ("/mcp", "http://gw.local/mcp"),
        ("/servers/crm/mcp", "http://gw.local/servers/crm/mcp"),
    ] {
        let (head, metadata) = ask(&ready_to_serve(), layer(), &Method::GET, &format!("{METADATA}{path}")).await;
        assert_eq!(head.status(), 200);
        assert_eq!(head.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(
            metadata,
            json!({
                "resource": resource,
                "bearer_methods_supported": ["header"],
                "authorization_servers": ["https://idp.example.com"],
                "scopes_supported": ["mcp"],
            })
        );
    }
}

#[tokio::test]
async fn nothing_is_claimed_that_is_not_configured() {
    let public_url = PublicUrl::new(Some(&"https://mcp.example.com".parse().unwrap()), false);
    let layer = ReceptionLayer::new(public_url, Vec::new(), Arc::default());
    let (_, metadata) = ask(&ready_to_serve(), layer, &Method::GET, METADATA).await;
    assert_eq!(metadata, json!({"resource": "https://mcp.example.com/mcp", "bearer_methods_supported": ["header"]}));
}

#[tokio::test]
async fn below_a_path_of_a_proxy_metadata_are_found_with_it_and_without() {
    let url = PublicUrl::new(Some(&"https://example.com/gateway".parse().unwrap()), false);
    let layer = ReceptionLayer::new(url, Vec::new(), Arc::default());
    for path in ["", "/gateway", "/mcp", "/gateway/mcp"] {
        let (_, metadata) = ask(&ready_to_serve(), layer.clone(), &Method::GET, &format!("{METADATA}{path}")).await;
        assert_eq!(metadata["resource"], "https://example.com/gateway/mcp", "{path}");
    }
}

#[tokio::test]
async fn there_is_no_metadata_of_other_paths_and_by_other_methods() {
    let path = format!("{METADATA}/health");
    assert_eq!(ask(&ready_to_serve(), layer(), &Method::GET, &path).await.0.status(), 404);
    let (head, _) = ask(&ready_to_serve(), layer(), &Method::POST, METADATA).await;
    assert_eq!((head.status().as_u16(), &head.headers()[ALLOW]), (405, &HeaderValue::from_static("GET, HEAD")));
}

#[tokio::test]
async fn paths_that_lead_nowhere_end_here_and_others_go_on() {
    assert_eq!(ask(&ready_to_serve(), layer(), &Method::POST, "/").await.0.status(), 404);
    assert_eq!(ask(&ready_to_serve(), layer(), &Method::POST, "/mcp").await.0.status(), 418);
    assert_eq!(ask(&ready_to_serve(), layer(), &Method::GET, "/mcp/v1/tools").await.0.status(), 418);
}

#[tokio::test]
async fn while_draining_health_is_answered_and_calls_are_turned_away() {
    let readiness = ready_to_serve();
    readiness.enter(Phase::Draining);
    let (head, body) = ask(&readiness, layer(), &Method::POST, "/mcp").await;
    assert_eq!((head.status().as_u16(), &body["error"]["code"]), (503, &json!(-31503)));
    assert_eq!(head.headers()["retry-after"], "1");
    assert_eq!(ask(&readiness, layer(), &Method::GET, "/health").await.0.status(), 200);
    assert_eq!(ask(&readiness, layer(), &Method::GET, "/readyz").await.0.status(), 503);
    assert_eq!(ask(&readiness, layer(), &Method::POST, "/readyz").await.0.status(), 405);
}

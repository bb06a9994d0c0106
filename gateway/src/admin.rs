//! The admin listener: health, readiness and metrics on a port of their own.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tower_service::Service;

use crate::body::Body;
use crate::metrics::Metrics;

/// The Prometheus text exposition format.
const METRICS_TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Where the process stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Not yet able to serve.
    Starting,
    /// Serving.
    Ready,
    /// Finishing what runs; new calls belong elsewhere.
    Draining,
}

/// Whether calls may be sent here; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

/// What the admin listener serves.
#[derive(Clone, Debug)]
pub struct Admin {
    metrics: Arc<Metrics>,
    readiness: Readiness,
}

/// The answer to a health path, on either listener; `None` for any other path.
pub fn health(path: &str, readiness: &Readiness) -> Option<Response<Body>> {
    match path {
        "/health" | "/healthz" => Some(json(StatusCode::OK, r#"{"status":"ok"}"#)),
        "/health/ready" | "/readyz" => Some(match readiness.phase() {
            Phase::Starting => json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"starting"}"#),
            Phase::Ready => json(StatusCode::OK, r#"{"status":"ready"}"#),
            Phase::Draining => json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"draining"}"#),
        }),
        _ => None,
    }
}

/// Whether [`health`] answers this path.
pub fn is_health_path(path: &str) -> bool {
    matches!(path, "/health" | "/healthz" | "/health/ready" | "/readyz")
}

fn json(status: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    // A cached health check says nothing.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

// === impl Readiness ===

impl Readiness {
    /// Starting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters a phase.
    pub fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    /// The phase we are in.
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }
}

// === impl Admin ===

impl Admin {
    /// Serves `metrics` and `readiness`.
    #[must_use]
    pub const fn new(metrics: Arc<Metrics>, readiness: Readiness) -> Self {
        Self { metrics, readiness }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        if path != "/metrics" && !is_health_path(path) {
            return json(StatusCode::NOT_FOUND, r#"{"error":"no such path"}"#);
        }
        if method != Method::GET && method != Method::HEAD {
            let mut refusal = json(StatusCode::METHOD_NOT_ALLOWED, r#"{"error":"method not allowed"}"#);
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        health(path, &self.readiness).unwrap_or_else(|| {
            let mut response = Response::new(Body::from(self.metrics.render()));
            response.headers_mut().insert(CONTENT_TYPE, METRICS_TEXT);
            response
        })
    }
}

impl<B> Service<Request<B>> for Admin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request.method(), request.uri().path())))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn ask(readiness: &Readiness, method: Method, path: &str) -> (StatusCode, Response<()>, String) {
        let admin = Admin::new(Arc::new(Metrics::new()), readiness.clone());
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        let (head, body) = admin.oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, Response::from_parts(head, ()), String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_follows_the_phase_and_liveness_does_not() {
        let readiness = Readiness::new();
        for (phase, status, body) in [
            (Phase::Starting, 503, r#"{"status":"starting"}"#),
            (Phase::Ready, 200, r#"{"status":"ready"}"#),
            (Phase::Draining, 503, r#"{"status":"draining"}"#),
        ] {
            readiness.enter(phase);
            for path in ["/health/ready", "/readyz"] {
                let answer = ask(&readiness, Method::GET, path).await;
                assert_eq!((answer.0.as_u16(), answer.2.as_str()), (status, body));
            }
            for path in ["/health", "/healthz"] {
                assert_eq!(ask(&readiness, Method::GET, path).await.0, StatusCode::OK);
            }
        }
    }

    #[tokio::test]
    async fn a_new_readiness_is_starting() {
        assert_eq!(Readiness::new().phase(), Phase::Starting);
    }

    #[tokio::test]
    async fn metrics_are_in_the_text_format() {
        let (status, head, body) = ask(&Readiness::new(), Method::GET, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(head.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
        assert!(body.contains("portcullis_build_info{"));
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused_in_json() {
        let (status, head, _) = ask(&Readiness::new(), Method::POST, "/metrics").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(head.headers()[ALLOW], "GET, HEAD");
        let (status, head, body) = ask(&Readiness::new(), Method::GET, "/nothing").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(head.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(body, r#"{"error":"no such path"}"#);
    }
}

//! Answers what needs no caller: health, and who issues the tokens we take.
//!
//! Health stands outside the address allowlist, so that an orchestrator can
//! always ask; the rest stands inside it and before authentication.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response};
use serde_json::json;
use tower_layer::Layer;
use tower_service::Service;

use super::respond::{Addressed, PublicUrl};
use crate::admin::{Phase, Readiness, health};
use crate::body::Body;
use crate::door::Door;
use crate::rejection::Rejection;

/// Answers the health paths, and turns new calls away while what runs is
/// being finished.
#[derive(Clone, Debug)]
pub struct HealthLayer {
    readiness: Readiness,
}

/// See [`HealthLayer`].
#[derive(Clone, Debug)]
pub struct Health<S> {
    readiness: Readiness,
    inner: S,
}

/// Serves the protected resource metadata (RFC 9728), and refuses paths that
/// lead nowhere.
#[derive(Clone, Debug)]
pub struct ReceptionLayer {
    public_url: PublicUrl,
    issuers: Arc<[String]>,
    scopes: Arc<[String]>,
}

/// See [`ReceptionLayer`].
#[derive(Clone, Debug)]
pub struct Reception<S> {
    layer: ReceptionLayer,
    inner: S,
}

// === impl HealthLayer ===

impl HealthLayer {
    /// Answers by `readiness`.
    #[must_use]
    pub const fn new(readiness: Readiness) -> Self {
        Self { readiness }
    }
}

impl<S> Layer<S> for HealthLayer {
    type Service = Health<S>;

    fn layer(&self, inner: S) -> Health<S> {
        Health { readiness: self.readiness.clone(), inner }
    }
}

// === impl Health ===

impl<S, B> Service<Request<B>> for Health<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Rejection>,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = Either<Ready<Result<Response<Body>, Rejection>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.extensions().get::<Door>() != Some(&Door::Health) {
            return match self.readiness.phase() {
                Phase::Draining => Either::Left(ready(Err(Rejection::Draining))),
                Phase::Starting | Phase::Ready => Either::Right(self.inner.call(request)),
            };
        }
        let answer = match (reads(request.method()), health(request.uri().path(), &self.readiness)) {
            (true, Some(answer)) => Ok(answer),
            (true, None) => Err(Rejection::NoSuchPath),
            (false, _) => Err(Rejection::MethodNotAllowed { allow: Door::Health.allow() }),
        };
        Either::Left(ready(answer))
    }
}

fn reads(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

// === impl ReceptionLayer ===

impl ReceptionLayer {
    /// Names `issuers` as those whose tokens are taken, and `scopes` as those
    /// every token needs.
    #[must_use]
    pub fn new(public_url: PublicUrl, issuers: Vec<String>, scopes: Arc<[String]>) -> Self {
        Self { public_url, issuers: issuers.into(), scopes }
    }

    /// RFC 9728 §2. The resource is the endpoint whose path follows the
    /// well-known one; without one it is `/mcp`.
    fn metadata<B>(&self, request: &Request<B>) -> Result<Response<Body>, Rejection> {
        let path = request.uri().path().strip_prefix(Door::ResourceMetadata.pattern()).unwrap_or_default();
        let path = self.public_url.served(path);
        let path = match Door::at(path) {
            Door::Mcp | Door::Server(_) => path,
            _ if path.len() <= 1 => "/mcp",
            // Another would be named as a resource of ours.
            _ => return Err(Rejection::NoSuchPath),
        };
        let resource = format!("{}{path}", self.public_url.or(&Addressed::of(request)));
        let mut metadata = json!({"resource": resource, "bearer_methods_supported": ["header"]});
        if !self.issuers.is_empty() {
            metadata["authorization_servers"] = json!(&*self.issuers);
        }
        if !self.scopes.is_empty() {
            metadata["scopes_supported"] = json!(&*self.scopes);
        }
        let mut response = Response::new(Body::from(metadata.to_string()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

impl<S> Layer<S> for ReceptionLayer {
    type Service = Reception<S>;

    fn layer(&self, inner: S) -> Reception<S> {
        Reception { layer: self.clone(), inner }
    }
}

// === impl Reception ===

impl<S, B> Service<Request<B>> for Reception<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Rejection>,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = Either<Ready<Result<Response<Body>, Rejection>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = match request.extensions().get::<Door>() {
            Some(Door::Unknown | Door::OpenAi) | None => Err(Rejection::NoSuchPath),
            Some(door @ Door::ResourceMetadata) if !reads(request.method()) => {
                Err(Rejection::MethodNotAllowed { allow: door.allow() })
            }
            Some(Door::ResourceMetadata) => self.layer.metadata(&request),
            Some(_) => return Either::Right(self.inner.call(request)),
        };
        Either::Left(ready(answer))
    }
}

#[cfg(test)]
mod tests;

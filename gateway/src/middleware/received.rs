//! Takes in what another replica passes on.
//!
//! Stands where a client's request passes the checks of address, origin and
//! credential, all of which the other replica made: it vouches for the caller.
//! Its own right to do so it shows with the key of its connection. What it
//! cannot have meant for this replica is refused unprocessed, so that it may
//! serve the request itself.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::uri::Authority;
use http::{Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use crate::admin::{Phase, Readiness};
use crate::body::Body;
use crate::door::Door;
use crate::listener::ClientCertificate;
use crate::record::CallRecord;
use crate::rejection::Rejection;
use crate::replicas::{Unvouched, Vouched};
use crate::seal::KeyRing;

/// Where another replica asks whether requests are taken.
const GREETING: &str = "/";

/// Lets in what another replica vouches for.
#[derive(Clone, Debug)]
pub struct ReceivedLayer {
    own: Arc<str>,
    keys: Arc<KeyRing>,
    readiness: Readiness,
}

/// See [`ReceivedLayer`].
#[derive(Clone, Debug)]
pub struct Received<S> {
    layer: ReceivedLayer,
    inner: S,
}

// === impl ReceivedLayer ===

impl ReceivedLayer {
    /// A layer of the replica that the others reach at `own`; `keys` says which
    /// of them may speak.
    #[must_use]
    pub const fn new(own: Arc<str>, keys: Arc<KeyRing>, readiness: Readiness) -> Self {
        Self { own, keys, readiness }
    }

    /// Notes what is vouched for, or says why the request is not taken.
    fn take<B>(&self, request: &mut Request<B>) -> Result<(), Rejection> {
        let key = request.extensions().get::<ClientCertificate>();
        // The handshake is long ago: a key may have been taken out since.
        let is_kin = key.is_some_and(|key| self.keys.knows(&key.fingerprint));
        let is_meant = request.uri().authority().map(Authority::as_str) == Some(&*self.own);
        if !is_kin || !is_meant || self.readiness.phase() == Phase::Draining {
            return Err(Rejection::Misdirected);
        }
        if request.uri().path() == GREETING {
            return Ok(());
        }
        let record = request.extensions().get::<Arc<CallRecord>>().cloned().ok_or(Rejection::Internal)?;
        // Nothing else belongs to one replica.
        if !matches!(request.extensions().get::<Door>(), Some(Door::Mcp | Door::Server(_) | Door::EventSourcePost)) {
            return Err(Rejection::NoSuchPath);
        }
        let vouched = Vouched::take(request.headers_mut()).map_err(|_: Unvouched| Rejection::Misdirected)?;
        vouched.note(&record);
        Ok(())
    }
}

impl<S> Layer<S> for ReceivedLayer {
    type Service = Received<S>;

    fn layer(&self, inner: S) -> Received<S> {
        Received { layer: self.clone(), inner }
    }
}

// === impl Received ===

impl<S, B> Service<Request<B>> for Received<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Rejection>,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = Either<Ready<Result<Response<Body>, Rejection>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.layer.take(&mut request) {
            Err(rejection) => Either::Left(ready(Err(rejection))),
            Ok(()) if request.uri().path() == GREETING => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                Either::Left(ready(Ok(response)))
            }
            Ok(()) => Either::Right(self.inner.call(request)),
        }
    }
}

#[cfg(test)]
mod tests;

//! Tells who is calling.
//!
//! Outside `decode`, so that nobody's body is read before its sender is known
//! to be let in. Inside the address and origin checks, which cost less.
//!
//! From here inward the credential is gone: it is taken out of the headers,
//! so that no backend and no log can see it. What remains is the
//! [`Principal`] in the request's [`CallRecord`].

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request};
use pin_project_lite::pin_project;
use portcullis_policies::Principal;
use tower_layer::Layer;
use tower_service::Service;

use crate::auth::{Authentication, Authenticator};
use crate::record::CallRecord;
use crate::rejection::Rejection;

/// Lets in whoever the [`Authenticator`] knows.
#[derive(Clone, Debug)]
pub struct AuthenticateLayer {
    authenticator: Arc<Authenticator>,
}

/// The service of [`AuthenticateLayer`].
#[derive(Clone, Debug)]
pub struct Authenticate<S> {
    authenticator: Arc<Authenticator>,
    inner: S,
}

pin_project! {
    /// The future of [`Authenticate`].
    pub struct AuthenticateFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        // The caller is not let in.
        Refused {
            rejection: Option<Rejection>,
        },
        // The issuer's keys are being loaded; the request waits with the
        // service that is ready for it.
        Waiting {
            pending: BoxFuture<'static, Result<Arc<Principal>, Rejection>>,
            held: Option<(S, Request<B>)>,
            authenticator: Arc<Authenticator>,
        },
        // The request goes its way.
        Running {
            #[pin]
            future: S::Future,
        },
    }
}

// === impl AuthenticateLayer ===

impl AuthenticateLayer {
    /// A layer that asks `authenticator`.
    #[must_use]
    pub const fn new(authenticator: Arc<Authenticator>) -> Self {
        Self { authenticator }
    }
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Authenticate<S> {
        Authenticate { authenticator: Arc::clone(&self.authenticator), inner }
    }
}

// === impl Authenticate ===

impl<S, B> Service<Request<B>> for Authenticate<S>
where
    S: Service<Request<B>, Error = Rejection> + Clone,
{
    type Response = S::Response;
    type Error = Rejection;
    type Future = AuthenticateFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let authentication = self.authenticator.authenticate(request.headers());
        self.strip(request.headers_mut());
        let state = match authentication {
            Authentication::Ready(Ok(principal)) => {
                admit(&self.authenticator, &request, principal);
                State::Running { future: self.inner.call(request) }
            }
            Authentication::Ready(Err(rejection)) => State::Refused { rejection: Some(rejection) },
            Authentication::Pending(pending) => {
                // The service that is ready is the one to be called later.
                let clone = self.inner.clone();
                let inner = mem::replace(&mut self.inner, clone);
                State::Waiting { pending, held: Some((inner, request)), authenticator: Arc::clone(&self.authenticator) }
            }
        };
        AuthenticateFuture { state }
    }
}

impl<S> Authenticate<S> {
    /// Takes every credential out, also one that was not looked at.
    fn strip(&self, headers: &mut HeaderMap) {
        headers.remove(AUTHORIZATION);
        if let Some(name) = self.authenticator.key_header() {
            headers.remove(name);
        }
    }
}

/// Notes who is calling.
fn admit<B>(authenticator: &Authenticator, request: &Request<B>, principal: Arc<Principal>) {
    if let Some(record) = request.extensions().get::<Arc<CallRecord>>() {
        if let Some(expires) = authenticator.expiry(&principal) {
            let _ = record.expires.set(expires);
        }
        // A second layer of this kind would change nothing: the first counts.
        let _ = record.principal.set(principal);
    }
}

// === impl AuthenticateFuture ===

impl<S, B> Future for AuthenticateFuture<S, B>
where
    S: Service<Request<B>, Error = Rejection>,
{
    type Output = Result<S::Response, Rejection>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let future = match state.as_mut().project() {
                StateProjection::Running { future } => return future.poll(cx),
                StateProjection::Refused { rejection } => {
                    return Poll::Ready(Err(rejection.take().expect("polled once after it is ready")));
                }
                StateProjection::Waiting { pending, held, authenticator } => {
                    let principal = ready!(pending.as_mut().poll(cx))?;
                    let (mut inner, request) = held.take().expect("taken once, when the caller is known");
                    admit(authenticator, &request, principal);
                    inner.call(request)
                }
            };
            state.set(State::Running { future });
        }
    }
}

#[cfg(test)]
mod tests;

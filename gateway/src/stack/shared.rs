//! A service of which all requests share one.
//!
//! The layers of a stack are cloned for each request, as tower has it. Boxing
//! the clones would allocate each of them; here what is boxed is shared, and
//! its inside is cloned once, on the caller's stack, when it is called.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tower_service::Service;

/// A service whose type is erased; clones share it.
pub struct Shared<Req, Res, E>(Arc<dyn Call<Req, Res, E>>);

trait Call<Req, Res, E>: Send + Sync {
    fn call(&self, request: Req) -> BoxFuture<'static, Result<Res, E>>;
}

struct Template<S>(S);

impl<S, Req> Call<Req, S::Response, S::Error> for Template<S>
where
    S: Service<Req> + Clone + Send + Sync,
    S::Future: Send + 'static,
{
    fn call(&self, request: Req) -> BoxFuture<'static, Result<S::Response, S::Error>> {
        Box::pin(self.0.clone().call(request))
    }
}

// === impl Shared ===

impl<Req, Res, E> Shared<Req, Res, E> {
    /// Shares a service that is always ready: one that refuses in its answer
    /// rather than making its caller wait.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Req, Response = Res, Error = E> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        Self(Arc::new(Template(service)))
    }
}

impl<Req, Res, E> Clone for Shared<Req, Res, E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Req, Res, E> fmt::Debug for Shared<Req, Res, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl<Req, Res, E> Service<Req> for Shared<Req, Res, E> {
    type Response = Res;
    type Error = E;
    type Future = BoxFuture<'static, Result<Res, E>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.0.call(request)
    }
}

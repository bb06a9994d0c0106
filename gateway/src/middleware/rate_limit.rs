//! Limits how often one caller may call one tool.
//!
//! Inside `authorize`, so that a refused call spends no quota; outside
//! `router`, so that a limited call reaches no backend. Only `tools/call`
//! spends, by the name in the body, and what an extension has of its own.

mod quotas;

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use tower_layer::Layer;
use tower_service::Service;

pub use self::quotas::{LimiterStore, Quotas};
use crate::mcp::request::McpRequest;
use crate::metrics::CallStatus;
use crate::rejection::Rejection;

/// Spends quotas.
#[derive(Clone, Debug)]
pub struct RateLimitLayer {
    quotas: Arc<Quotas>,
}

/// See [`RateLimitLayer`].
#[derive(Clone, Debug)]
pub struct RateLimit<S> {
    quotas: Arc<Quotas>,
    inner: S,
}

// === impl RateLimitLayer ===

impl RateLimitLayer {
    /// A layer that spends `quotas`.
    #[must_use]
    pub const fn new(quotas: Arc<Quotas>) -> Self {
        Self { quotas }
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> RateLimit<S> {
        RateLimit { quotas: Arc::clone(&self.quotas), inner }
    }
}

// === impl RateLimit ===

impl<S> Service<Box<McpRequest>> for RateLimit<S>
where
    S: Service<Box<McpRequest>, Error = Rejection>,
{
    type Response = S::Response;
    type Error = Rejection;
    type Future = Either<Ready<Result<S::Response, Rejection>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Box<McpRequest>) -> Self::Future {
        let spent = match request.spends() {
            Some(tool) => self.quotas.spend(tool, request.principal.name(), request.client_ip, &request.limits),
            None => Ok(()),
        };
        match spent {
            Ok(()) => Either::Right(self.inner.call(request)),
            Err(retry_after) => {
                request.record.set_status(CallStatus::RateLimited);
                Either::Left(ready(Err(Rejection::RateLimited { retry_after })))
            }
        }
    }
}

//! Ends a request that runs longer than a request may.
//!
//! Innermost before the router. What waits further in keeps the request's
//! deadline itself and can say what it waited for; this is for what does not.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};
use tower_layer::Layer;
use tower_service::Service;

use crate::mcp::request::McpRequest;
use crate::rejection::Rejection;

/// What backends are given to say that the time is over.
const GRACE: Duration = Duration::from_secs(1);

/// Keeps requests to their deadline.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadlineLayer;

/// See [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct Deadline<S>(S);

// === impl DeadlineLayer ===

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline(inner)
    }
}

// === impl Deadline ===

impl<S> Service<Box<McpRequest>> for Deadline<S>
where
    S: Service<Box<McpRequest>, Error = Rejection>,
{
    type Response = S::Response;
    type Error = Rejection;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Box<McpRequest>) -> Self::Future {
        DeadlineFuture { end: sleep_until(request.deadline + GRACE), inner: self.0.call(request) }
    }
}

pin_project! {
    /// The future of [`Deadline`].
    #[derive(Debug)]
    pub struct DeadlineFuture<F> {
        #[pin]
        end: Sleep,
        #[pin]
        inner: F,
    }
}

impl<F: Future<Output = Result<T, Rejection>>, T> Future for DeadlineFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.inner.poll(cx) {
            return Poll::Ready(output);
        }
        this.end.poll(cx).map(|()| Err(Rejection::TimedOut))
    }
}

#[cfg(test)]
mod tests;

//! Bounds how many requests run at a time.
//!
//! Stands before anything that costs: what is too much is refused at once,
//! with a time to come back, rather than queued. A request runs until its
//! answer is gone, so that streams count for as long as they last, save those
//! that stand open for what may come: they are bounded apart.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::body::Body;
use crate::rejection::Rejection;
use crate::running::{Room, Running};

/// Lets a bounded number of requests in.
#[derive(Clone, Debug)]
pub struct AdmitLayer {
    running: Arc<Running>,
    max_requests: usize,
}

/// See [`AdmitLayer`].
#[derive(Clone, Debug)]
pub struct Admit<S> {
    layer: AdmitLayer,
    inner: S,
}

// === impl AdmitLayer ===

impl AdmitLayer {
    /// At most `max_requests` at a time.
    #[must_use]
    pub const fn new(running: Arc<Running>, max_requests: usize) -> Self {
        Self { running, max_requests }
    }
}

impl<S> Layer<S> for AdmitLayer {
    type Service = Admit<S>;

    fn layer(&self, inner: S) -> Admit<S> {
        Admit { layer: self.clone(), inner }
    }
}

// === impl Admit ===

impl<S, B> Service<Request<B>> for Admit<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Rejection>,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = AdmitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let room = self.layer.running.admit(self.layer.max_requests);
        let inner = room.is_some().then(|| self.inner.call(request));
        AdmitFuture { room, inner }
    }
}

pin_project! {
    /// The future of [`Admit`].
    #[derive(Debug)]
    pub struct AdmitFuture<F> {
        // Handed on to the answer.
        room: Option<Room>,
        // Absent where there was no room.
        #[pin]
        inner: Option<F>,
    }
}

impl<F: Future<Output = Result<Response<Body>, Rejection>>> Future for AdmitFuture<F> {
    type Output = Result<Response<Body>, Rejection>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            return Poll::Ready(Err(Rejection::Overloaded));
        };
        let response = ready!(inner.poll(cx))?;
        Poll::Ready(Ok(match this.room.take() {
            Some(room) => response.map(|body| body.holding(room)),
            None => response,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready as now;

    use tower::{ServiceBuilder, ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn a_request_takes_room_until_its_answer_is_gone() {
        let service = ServiceBuilder::new()
            .layer(AdmitLayer::new(Arc::default(), 1))
            .service(service_fn(|_: Request<()>| now(Ok::<_, Rejection>(Response::new(Body::from("x"))))));
        let first = service.clone().oneshot(Request::new(())).await.unwrap();
        assert_eq!(service.clone().oneshot(Request::new(())).await.unwrap_err(), Rejection::Overloaded);
        drop(first);
        assert!(service.oneshot(Request::new(())).await.is_ok());
    }

    #[tokio::test]
    async fn a_standing_stream_takes_none() {
        let running = Arc::new(Running::default());
        let service = ServiceBuilder::new().layer(AdmitLayer::new(Arc::clone(&running), 1)).service(service_fn(
            |_: Request<()>| now(Ok::<_, Rejection>(Response::new(Body::standing(Body::from("x"))))),
        ));
        let standing = service.clone().oneshot(Request::new(())).await.unwrap();
        running.ended().await;
        assert!(service.oneshot(Request::new(())).await.is_ok());
        drop(standing);
    }
}

//! Hands a connection's requests to the service, without cloning it for each.
//!
//! hyper calls through `&self`, tower through `&mut self` once it is ready.
//! One connection's calls come one after the other, so a cell bridges the two;
//! only a service that is not ready is cloned, so that the instance that was
//! asked is the one that is waited for.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use http::{Request, Response, Version};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::util::Oneshot;
use tower_service::Service;

use super::activity::Activity;
use super::answer::{Answer, InFlight};
use super::{ClientCertificate, PeerAddress};

/// The service as one connection sees it.
pub(super) struct PerConnection<S> {
    inner: RefCell<S>,
    activity: Arc<Activity>,
    peer: SocketAddr,
    certificate: Option<ClientCertificate>,
}

pin_project! {
    /// One request's answer in the making.
    pub(super) struct Answering<S: Service<Request<Incoming>>> {
        #[pin]
        state: State<S>,
        in_flight: Option<InFlight>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S: Service<Request<Incoming>>> {
        Called { #[pin] future: S::Future },
        Waiting { #[pin] future: Oneshot<S, Request<Incoming>> },
    }
}

// === impl PerConnection ===

impl<S> PerConnection<S> {
    pub(super) fn new(
        inner: S,
        activity: Arc<Activity>,
        peer: SocketAddr,
        certificate: Option<ClientCertificate>,
    ) -> Self {
        Self { inner: RefCell::new(inner), activity, peer, certificate }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for PerConnection<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
{
    type Response = Response<Answer<B>>;
    type Error = Infallible;
    type Future = Answering<S>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let in_flight = InFlight::begin(&self.activity, request.version() == Version::HTTP_2);
        request.extensions_mut().insert(PeerAddress(self.peer));
        if let Some(certificate) = self.certificate {
            request.extensions_mut().insert(certificate);
        }
        let mut service = self.inner.borrow_mut();
        let state = match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => State::Called { future: service.call(request) },
            Poll::Ready(Err(never)) => match never {},
            Poll::Pending => {
                // What it queued for while it was asked stays with it.
                let fresh = service.clone();
                let asked = std::mem::replace(&mut *service, fresh);
                State::Waiting { future: Oneshot::new(asked, request) }
            }
        };
        Answering { state, in_flight: Some(in_flight) }
    }
}

// === impl Answering ===

impl<S, B> Future for Answering<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
{
    type Output = Result<Response<Answer<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(match this.state.project() {
            StateProjection::Called { future } => future.poll(cx),
            StateProjection::Waiting { future } => future.poll(cx),
        });
        let in_flight = this.in_flight.take().expect("a future is not polled after it is ready");
        Poll::Ready(Ok(response.map(|body| Answer::new(body, in_flight))))
    }
}

//! Gives every request its record and its id, and writes what became of it.
//!
//! Outermost, so that nothing that happens to a request goes unseen: the
//! access line is written when the answer's last byte has been handed over,
//! or when the client went away before. Inside it stands `respond`, so there
//! are no errors here, only answers.

mod ids;
mod observed;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderName, Method, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

pub use self::observed::Observed;

use self::ids::{request_id, traceparent};
use self::observed::Observation;
use crate::door::Door;
use crate::metrics::Metrics;
use crate::record::CallRecord;
use crate::telemetry::{AccessLog, scope};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Records requests.
#[derive(Clone, Debug)]
pub struct ObserveLayer {
    observer: Arc<Observer>,
}

/// See [`ObserveLayer`].
#[derive(Clone, Debug)]
pub struct Observe<S> {
    observer: Arc<Observer>,
    inner: S,
}

/// Where observations go.
#[derive(Debug)]
struct Observer {
    metrics: Arc<Metrics>,
    access_log: AccessLog,
    /// Whether requests are counted here, and not where they came in first.
    counts: bool,
}

pin_project! {
    /// The answer of [`Observe`] in the making.
    #[derive(Debug)]
    pub struct ObserveFuture<F> {
        #[pin]
        inner: F,
        // Taken when the answer begins.
        observation: Option<Observation>,
    }
}

/// The method as a label: anybody may invent one.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

// === impl ObserveLayer ===

impl ObserveLayer {
    /// Counts in `metrics` and writes to `access_log`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, access_log: AccessLog) -> Self {
        Self { observer: Arc::new(Observer { metrics, access_log, counts: true }) }
    }

    /// The same for what another replica passes on, and has counted.
    #[must_use]
    pub fn of_passed_on(metrics: Arc<Metrics>, access_log: AccessLog) -> Self {
        Self { observer: Arc::new(Observer { metrics, access_log, counts: false }) }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Observe { observer: Arc::clone(&self.observer), inner }
    }
}

// === impl Observe ===

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Observe<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error = Infallible>,
{
    type Response = Response<Observed<ResBody>>;
    type Error = Infallible;
    type Future = ObserveFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let id = request_id(request.headers());
        let record = Arc::new(CallRecord::new(id, traceparent(request.headers())));
        let door = Door::at(request.uri().path());
        let pattern = door.pattern();
        request.extensions_mut().insert(door);
        request.extensions_mut().insert(Arc::clone(&record));
        let method = method_label(request.method());
        let observation = Observation::begin(Arc::clone(&self.observer), Arc::clone(&record), method, pattern);
        let inner = scope::within(&record, || self.inner.call(request));
        ObserveFuture { inner, observation: Some(observation) }
    }
}

// === impl ObserveFuture ===

impl<F, B> Future for ObserveFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<Observed<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let running = this.observation.as_ref().expect("a future is not polled after it is ready");
        let Ok(mut response) = ready!(scope::within(running.record(), || this.inner.poll(cx)));

        let mut observation = this.observation.take().expect("it was there above");
        response.headers_mut().insert(X_REQUEST_ID, observation.record().request_id.clone());
        observation.answered(response.status());
        Poll::Ready(Ok(response.map(|body| Observed::new(body, observation))))
    }
}

#[cfg(test)]
mod tests;

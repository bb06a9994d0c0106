//! Counts, times and records every tool call, however it ends. What is read
//! or asked for besides is recorded alike, and not counted as a call.
//!
//! Outermost of the MCP half, so that refused calls count too. A call whose
//! answer is a stream ends with it, one whose caller goes away ends then.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::audit::{AuditEntry, AuditLog, Reservation};
use crate::backends::Backends;
use crate::backends::answer::Answer;
use crate::mcp::capabilities::Capabilities;
use crate::mcp::operation::Wanted;
use crate::mcp::request::McpRequest;
use crate::metrics::{CallStatus, Metrics, UNKNOWN_TOOL};
use crate::record::CallRecord;
use crate::rejection::Rejection;

/// A longer name of a prompt or URI of a resource is not written down.
const MAX_NOTED_BYTES: usize = 1024;

/// Meters tool calls.
#[derive(Clone, Debug)]
pub struct MeterLayer {
    backends: Arc<Backends>,
    metrics: Arc<Metrics>,
    audit: Option<Audit>,
}

/// Where calls are recorded.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The log.
    pub log: Arc<AuditLog>,
    /// Whether entries bring their calls' arguments.
    pub include_arguments: bool,
}

/// See [`MeterLayer`].
#[derive(Clone, Debug)]
pub struct Meter<S> {
    layer: MeterLayer,
    inner: S,
}

pin_project! {
    /// The answer of [`Meter`] in the making.
    pub struct MeterFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        // Waits for nothing but the answer; what is no call is not metered.
        Metered { running: Option<Running>, #[pin] inner: F },
        // Waits for room in the audit log first.
        Audited { future: BoxFuture<'static, Result<Answer, Rejection>> },
    }
}

/// A call that is running. When it is gone, the call has ended.
struct Running {
    record: Arc<CallRecord>,
    called: Option<Called>,
    audit: Option<(Reservation, Option<Bytes>)>,
}

/// The tool that is called, where one is.
struct Called {
    name: Arc<str>,
    abilities: Capabilities,
    /// Until it is written down: a stream that outlasts them keeps none.
    backends: Option<Arc<Backends>>,
    metrics: Arc<Metrics>,
}

// === impl MeterLayer ===

impl MeterLayer {
    /// A layer that names tools as `backends` knows them.
    #[must_use]
    pub const fn new(backends: Arc<Backends>, metrics: Arc<Metrics>, audit: Option<Audit>) -> Self {
        Self { backends, metrics, audit }
    }
}

impl<S> Layer<S> for MeterLayer {
    type Service = Meter<S>;

    fn layer(&self, inner: S) -> Meter<S> {
        Meter { layer: self.clone(), inner }
    }
}

// === impl Audit ===

impl Audit {
    /// Takes up room in the log for a call.
    async fn begin(&self, mut running: Running, request: &McpRequest) -> Result<Running, Rejection> {
        if !self.log.is_writable() {
            return Err(Rejection::AuditUnavailable);
        }
        let reserved = tokio::time::timeout_at(request.deadline, self.log.reserve()).await;
        let reservation = reserved.map_err(|_| Rejection::AuditUnavailable)?;
        let arguments = self
            .include_arguments
            .then(|| request.params.arguments.map(|span| request.body.as_bytes().slice(span.range())))
            .flatten();
        running.audit = Some((reservation, arguments));
        Ok(running)
    }
}

// === impl Meter ===

impl<S> Service<Box<McpRequest>> for Meter<S>
where
    S: Service<Box<McpRequest>, Response = Answer, Error = Rejection> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = MeterFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Box<McpRequest>) -> Self::Future {
        let Some(wanted) = request.operation.wanted() else {
            return MeterFuture::metered(None, self.inner.call(request));
        };
        let called = match wanted {
            Wanted::Tool(_) => request.tool().map(|name| Called {
                name: Arc::clone(name),
                abilities: request.abilities,
                backends: Some(Arc::clone(&self.layer.backends)),
                metrics: Arc::clone(&self.layer.metrics),
            }),
            Wanted::Prompt(name) => {
                note(&request.record.prompt, name);
                None
            }
            Wanted::Resource(uri) => {
                note(&request.record.resource, &uri.public);
                None
            }
            Wanted::Task(name) | Wanted::Method(name) => {
                note(&request.record.tool, name);
                None
            }
        };
        let running = Running { record: Arc::clone(&request.record), called, audit: None };
        let Some(audit) = self.layer.audit.clone() else {
            return MeterFuture::metered(Some(running), self.inner.call(request));
        };
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let audited = async move {
            let running = audit.begin(running, &request).await?;
            MeterFuture::metered(Some(running), inner.call(request)).await
        };
        MeterFuture { state: State::Audited { future: Box::pin(audited) } }
    }
}

/// Writes down what a caller named, unless it is longer than names are.
fn note(place: &OnceLock<Arc<str>>, name: &str) {
    if name.len() <= MAX_NOTED_BYTES {
        // A new record: nothing was set before.
        let _ = place.set(name.into());
    }
}

// === impl MeterFuture ===

impl<F> MeterFuture<F> {
    const fn metered(running: Option<Running>, inner: F) -> Self {
        Self { state: State::Metered { running, inner } }
    }
}

impl<F: Future<Output = Result<Answer, Rejection>>> Future for MeterFuture<F> {
    type Output = Result<Answer, Rejection>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (running, inner) = match self.project().state.project() {
            StateProjection::Audited { future } => return future.as_mut().poll(cx),
            StateProjection::Metered { running, inner } => (running, inner),
        };
        let answer = ready!(inner.poll(cx));
        // The call ends here, save where its answer streams on.
        let Some(mut running) = running.take() else { return Poll::Ready(answer) };
        running.note();
        Poll::Ready(match answer {
            Ok(Answer::Stream(stream)) => Ok(Answer::Stream(Box::pin(stream.inspect(move |_| {
                // Held for as long as the stream is.
                let _ = &running;
            })))),
            answer => answer,
        })
    }
}

// === impl Running ===

impl Running {
    /// Writes down which tool it was where the call did not get so far as to be
    /// served, if there is such a tool: any other name is a caller's invention.
    fn note(&mut self) {
        let record = &self.record;
        if let Some(called) = &mut self.called
            && let Some(backends) = called.backends.take()
            && record.tool.get().is_none()
            && let Some((_, tool)) = backends.known_tool(&called.name, called.abilities)
        {
            record.tool.get_or_init(|| Arc::clone(&tool.full_name));
            record.upstream.get_or_init(|| Arc::clone(&tool.upstream));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.note();
        let record = &self.record;
        let status = record.status().unwrap_or_else(|| {
            // It was refused, or nobody waited for its end.
            record.set_status(CallStatus::Error);
            CallStatus::Error
        });
        if let Some(Called { metrics, .. }) = &self.called {
            let tool = record.tool.get().map_or(UNKNOWN_TOOL, |tool| tool);
            let upstream = record.upstream.get().map_or(UNKNOWN_TOOL, |upstream| upstream);
            metrics.call_finished(tool, upstream, status, record.started.elapsed());
            if status == CallStatus::RateLimited {
                metrics.rate_limited(tool);
            }
        }
        if let Some((reservation, arguments)) = self.audit.take() {
            reservation.record(AuditEntry::new(Arc::clone(record), arguments.as_deref()));
        }
    }
}

#[cfg(test)]
mod tests;

//! An HTTP/1.1 connection that is driven by whoever waits for its answer.
//!
//! hyper's connection does nothing unless it is polled. Instead of a task of
//! its own, with a wake-up each way for everything that comes, who waits polls
//! it and then looks what that brought. So an idle connection does nothing: it
//! holds no task, and that its server closed it is seen when it is used next; where
//! the server said how long it bears that, it is not used later.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use pin_project_lite::pin_project;
use tokio::task::unconstrained;
use tokio::time::Instant;

use super::Stream;
use crate::body::Body;

/// The header by which servers say how long they keep an idle connection.
pub(super) const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// A connection is used no more so long before its server closes it.
const MARGIN: Duration = Duration::from_secs(1);

/// A connection that carries one request at a time. It is large, and moved often.
pub(super) struct Http1(Box<Open>);

/// Why a request has no answer; it holds the request where nothing of it was
/// written.
pub(super) type Failure = TrySendError<Request<Body>>;

struct Open {
    sender: SendRequest<Body>,
    driver: Driver,
    /// How long its server bears it idle, as that said last.
    bears_idle: Option<Duration>,
    /// Until when it can be used, where its server said so.
    until: Option<Instant>,
}

/// The half that reads and writes.
struct Driver {
    /// Until it ended.
    connection: Option<Connection<Stream, Body>>,
    bell: Arc<Bell>,
    /// Rings the bell.
    ringer: Waker,
}

pin_project! {
    /// A request on its way to the head of its answer.
    struct Sending<F> {
        #[pin]
        answer: F,
        // Until it is answered.
        connection: Option<Http1>,
    }
}

/// Tells whether there is something for the connection to do.
///
/// hyper's channels ring it too, from within the task that waits. It only
/// wakes the task where that has gone to sleep.
struct Bell {
    rung: AtomicBool,
    sleeper: AtomicWaker,
}

// === impl Http1 ===

impl Http1 {
    /// Speaks HTTP/1.1 over a new stream.
    pub(super) async fn over(stream: Stream) -> hyper::Result<Self> {
        let (sender, connection) = handshake(stream).await?;
        Ok(Self(Box::new(Open { sender, driver: Driver::new(connection), bears_idle: None, until: None })))
    }

    /// Sends a request and waits for the head of its answer, with which the
    /// connection comes back. A request of which nothing was written is given
    /// back with the error.
    pub(super) fn send(
        mut self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<(Response<Incoming>, Self), Failure>> {
        // Without tokio's budget, at whose end it would seem to be pending and
        // wake nobody.
        let answer = unconstrained(self.0.sender.try_send_request(request));
        Sending { answer, connection: Some(self) }
    }

    /// The next frame of the answer that [`send`](Self::send) returned.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        answer: &mut Incoming,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let mut frame = |cx: &mut Context<'_>| Pin::new(&mut *answer).poll_frame(cx);
        // It may have come along with the head.
        match frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => self.0.driver.poll_until(cx, frame),
            ready => ready,
        }
    }

    /// It is idle from now on; whether it can take the next request at once, as
    /// far as is known.
    pub(super) fn rest(&mut self) -> bool {
        self.0.until = self.0.bears_idle.map(|idle| Instant::now() + idle.saturating_sub(MARGIN));
        self.0.sender.is_ready() && !self.is_stale()
    }

    /// Whether its server may be about to close it.
    pub(super) fn is_stale(&self) -> bool {
        self.0.until.is_some_and(|until| until <= Instant::now())
    }
}

/// `timeout` of the header `Keep-Alive` (RFC 2068 §19.7.1), which Node's servers
/// send: what they close when a request is on its way there may have been
/// processed or not.
pub(super) fn keep_alive(headers: &HeaderMap) -> Option<Duration> {
    let parameters = headers.get(KEEP_ALIVE)?.to_str().ok()?;
    let timeout = parameters.split(',').find_map(|parameter| parameter.trim().strip_prefix("timeout="))?;
    timeout.parse().ok().map(Duration::from_secs)
}

// === impl Sending ===

impl<F: Future<Output = Result<Response<Incoming>, Failure>>> Future for Sending<F> {
    type Output = Result<(Response<Incoming>, Http1), Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut connection = this.connection.take().expect("nobody polls it again once it is answered");
        let Poll::Ready(answer) = connection.0.driver.poll_until(cx, |cx| this.answer.as_mut().poll(cx)) else {
            *this.connection = Some(connection);
            return Poll::Pending;
        };
        let answer = answer?;
        connection.0.bears_idle = keep_alive(answer.headers());
        Poll::Ready(Ok((answer, connection)))
    }
}

// === impl Driver ===

impl Driver {
    fn new(connection: Connection<Stream, Body>) -> Self {
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), sleeper: AtomicWaker::new() });
        Self { connection: Some(connection), ringer: Waker::from(Arc::clone(&bell)), bell }
    }

    /// Drives the connection until `arriving` is there, which comes from
    /// nowhere else and so needs to wake nobody.
    fn poll_until<T>(&mut self, cx: &Context<'_>, arriving: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        if self.bell.take_ring() {
            self.advance();
        }
        let arrived = arriving(&mut Context::from_waker(Waker::noop()));
        if arrived.is_pending() {
            self.bell.sleep(cx);
        }
        arrived
    }

    fn advance(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        if Pin::new(connection).poll(&mut Context::from_waker(&self.ringer)).is_ready() {
            // Dropping it tells whoever waits; errors were told already.
            self.connection = None;
        }
    }
}

// === impl Bell ===

impl Bell {
    /// Whether it has rung since this was last asked.
    fn take_ring(&self) -> bool {
        self.rung.swap(false, Ordering::AcqRel)
    }

    /// Has the task woken when it rings, or at once if it has rung already.
    fn sleep(&self, cx: &Context<'_>) {
        self.sleeper.register(cx.waker());
        if self.rung.load(Ordering::Acquire) {
            self.sleeper.wake();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.sleeper.wake();
    }
}

#[cfg(test)]
impl Http1 {
    /// Looks whether the connection has ended while it was idle.
    pub(super) fn has_ended(&mut self) -> bool {
        self.0.driver.advance();
        self.0.driver.connection.is_none()
    }
}

//! The connections to one endpoint that wait for requests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::Uri;
use hyper::client::conn::http2;
use hyper_util::client::legacy::connect::Connection as _;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::sleep;

use super::http1::Http1;
use super::{HttpClient, KEEP_ALIVE, KEEP_ALIVE_TIMEOUT, SendError};
use crate::body::Body;

/// Idle connections that are kept.
pub(super) const MAX_IDLE: usize = 256;
/// How long an idle connection is kept at most; at least half of it. Shorter
/// than what common servers allow, so that we rarely write into a connection
/// that is being closed.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The connections to one endpoint that wait for requests.
pub(super) struct Pool {
    client: HttpClient,
    url: Uri,
    idle: Mutex<Idle>,
}

/// A connection to send a request over.
pub(super) enum Connection {
    /// For this request alone.
    Http1(Http1),
    /// Shared by all requests.
    Http2(http2::SendRequest<Body>),
}

#[derive(Default)]
struct Idle {
    /// The last one used is on top, so that those at the bottom rest when
    /// fewer are needed.
    http1: Vec<Http1>,
    /// How many at the bottom were not used since the last sweep.
    resting: usize,
    http2: Option<http2::SendRequest<Body>>,
    /// Whether it was used since the last sweep.
    http2_used: bool,
    /// Whether a task sweeps.
    swept: bool,
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(client: HttpClient, url: Uri) -> Arc<Self> {
        Arc::new(Self { client, url, idle: Mutex::default() })
    }

    /// A connection that waits, if there is one.
    pub(super) fn take(&self) -> Option<Connection> {
        // Closing takes longer than others should wait: dropped after the lock.
        let mut stale = Vec::new();
        let mut idle = self.lock();
        while let Some(connection) = idle.http1.pop() {
            idle.resting = idle.resting.min(idle.http1.len());
            if connection.is_stale() {
                stale.push(connection);
            } else {
                return Some(Connection::Http1(connection));
            }
        }
        idle.http2().map(Connection::Http2)
    }

    /// Keeps a connection whose answer was read to its end, if it can take
    /// another request and there is room.
    pub(super) fn put(self: &Arc<Self>, mut connection: Http1) {
        if !connection.rest() {
            return;
        }
        let mut idle = self.lock();
        if idle.http1.len() < MAX_IDLE {
            idle.http1.push(connection);
            self.keep_swept(idle);
        }
    }

    /// Forgets the shared connection, which takes no more requests.
    pub(super) fn forget_http2(&self) {
        self.lock().http2 = None;
    }

    /// Makes a new connection.
    pub(super) async fn connect(self: &Arc<Self>) -> Result<Connection, SendError> {
        let failed = |error: hyper::Error| SendError::Connect(error.into());
        let stream = self.client.connect(self.url.clone()).await.map_err(SendError::Connect)?;
        if !stream.connected().is_negotiated_h2() {
            return Ok(Connection::Http1(Http1::over(stream).await.map_err(failed)?));
        }
        // Others may have been quicker.
        if let Some(sender) = self.lock().http2() {
            return Ok(Connection::Http2(sender));
        }
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .handshake(stream)
            .await
            .map_err(failed)?;
        // Ends when no sender is left and no answer is awaited.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP/2 connection broke");
            }
        });
        let mut idle = self.lock();
        idle.http2 = Some(sender.clone());
        idle.http2_used = true;
        self.keep_swept(idle);
        Ok(Connection::Http2(sender))
    }

    /// Starts the task that sweeps, unless it runs.
    fn keep_swept(self: &Arc<Self>, mut idle: MutexGuard<'_, Idle>) {
        if idle.swept {
            return;
        }
        // Without a runtime the process is ending, and the connections with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            idle.swept = true;
            runtime.spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes what was not used since it was last called; whether anything is
    /// left to come back for.
    pub(super) fn sweep(&self) -> bool {
        let mut idle = self.lock();
        let resting = idle.resting;
        let rested: Vec<_> = idle.http1.drain(..resting).collect();
        idle.resting = idle.http1.len();
        if !std::mem::take(&mut idle.http2_used) {
            idle.http2 = None;
        }
        idle.swept = !idle.http1.is_empty() || idle.http2.is_some();
        let goes_on = idle.swept;
        // Closing takes longer than others should wait.
        drop(idle);
        drop(rested);
        goes_on
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Idle ===

impl Idle {
    /// The shared connection, while it is open.
    fn http2(&mut self) -> Option<http2::SendRequest<Body>> {
        let sender = self.http2.clone().filter(|sender| !sender.is_closed())?;
        self.http2_used = true;
        Some(sender)
    }
}

/// Sweeps for as long as the pool is there and not empty.
async fn sweep(pool: Weak<Pool>) {
    loop {
        sleep(IDLE_TIMEOUT / 2).await;
        if !pool.upgrade().is_some_and(|pool| pool.sweep()) {
            return;
        }
    }
}

#[cfg(test)]
impl Pool {
    pub(super) fn idle_http1(&self) -> usize {
        self.lock().http1.len()
    }

    /// Whether every idle connection has been seen to end.
    pub(super) fn all_ended(&self) -> bool {
        self.lock().http1.iter_mut().all(Http1::has_ended)
    }
}

//! MCP over the standard input and output of a child process.
//!
//! The child is started by the first [`connect`](Transport::connect) and
//! again after it ended, with exponential backoff. Every start is a new
//! connection: what was negotiated with the process before is void.
//!
//! Everything a child sends or fails to read is bounded, and whatever it
//! started ends with it. One stuck child costs its own callers their
//! deadline and nobody else anything.

mod backoff;
mod connection;
mod framing;
mod incoming;
mod outgoing;
mod pending;
mod process;
mod stderr;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use tokio::sync::broadcast;
use tokio::time::Instant;

use self::backoff::Backoff;
use self::connection::Connection;
use super::{Outgoing, Reply, ServerEvent, Transport, TransportError};
use crate::backends::settings::{RetrySettings, StdioSettings};

/// Events a slow listener may be behind.
const MAX_EVENTS: usize = 16;

/// A way to an MCP server that runs as our child process.
///
/// Dropping it kills the process and all it started; [`Transport::close`]
/// ends it in an orderly way.
pub struct StdioTransport {
    name: Arc<str>,
    settings: StdioSettings,
    events: broadcast::Sender<ServerEvent>,
    state: Mutex<State>,
}

struct State {
    closed: bool,
    /// How often the child was started.
    starts: u64,
    /// The latest child, which may have ended.
    connection: Option<Arc<Connection>>,
    backoff: Backoff,
}

// === impl StdioTransport ===

impl StdioTransport {
    /// A transport to the upstream `name`. Nothing runs before
    /// [`connect`](Transport::connect) is called; `retry` paces the restarts.
    #[must_use]
    pub fn new(name: Arc<str>, settings: StdioSettings, retry: RetrySettings) -> Arc<Self> {
        let state = State { closed: false, starts: 0, connection: None, backoff: Backoff::new(retry) };
        Arc::new(Self { name, settings, events: broadcast::Sender::new(MAX_EVENTS), state: Mutex::new(state) })
    }

    /// The number of the running connection, started where there is none.
    ///
    /// Starting does not wait for anything, so the lock alone makes
    /// concurrent callers share one start.
    fn running(&self) -> Result<u64, TransportError> {
        let mut state = self.state();
        if state.closed {
            return Err(closed());
        }
        if let Some(connection) = &state.connection {
            let Some(end) = connection.end() else { return Ok(connection.number()) };
            let lifetime = end.at.saturating_duration_since(connection.started());
            let answered = connection.answered();
            state.backoff.failed(end.at, lifetime, answered, end.cause);
            state.connection = None;
        }
        if let Some(obstacle) = state.backoff.obstacle(Instant::now()) {
            return Err(TransportError::Unreachable(obstacle));
        }
        state.starts += 1;
        match Connection::start(&self.name, state.starts, &self.settings, &self.events) {
            Ok(connection) => state.connection = Some(Arc::new(connection)),
            Err(error) => {
                let cause = format!("cannot start {:?}: {error}", self.settings.command);
                state.backoff.failed(Instant::now(), Duration::ZERO, false, cause.clone());
                return Err(TransportError::Unreachable(cause));
            }
        }
        Ok(state.starts)
    }

    /// The connection, where it is still the one a request relies on.
    fn current(&self, number: u64) -> Result<Arc<Connection>, TransportError> {
        let state = self.state();
        if state.closed {
            return Err(closed());
        }
        let current = state.connection.as_ref().filter(|connection| connection.number() == number);
        current.map(Arc::clone).ok_or(TransportError::Reconnected)
    }

    fn latest(&self) -> Result<Arc<Connection>, TransportError> {
        let state = self.state();
        let running = state.connection.as_ref().filter(|connection| !state.closed && connection.end().is_none());
        running.map(Arc::clone).ok_or_else(|| TransportError::Unreachable("the process does not run".to_owned()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for StdioTransport {
    fn is_pipe(&self) -> bool {
        true
    }

    fn connect(&self) -> BoxFuture<'_, Result<u64, TransportError>> {
        Box::pin(async { self.running() })
    }

    fn request(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, TransportError>> {
        Box::pin(async move { self.current(outgoing.connection)?.request(outgoing).await })
    }

    fn notify(&self, body: Bytes, _headers: HeaderMap) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move { self.latest()?.notify(body).await })
    }

    fn events(&self) -> broadcast::Receiver<ServerEvent> {
        self.events.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let connection = {
                let mut state = self.state();
                state.closed = true;
                // It stays, so that whoever closes a second time waits too.
                state.connection.clone()
            };
            if let Some(connection) = connection {
                connection.stop();
                connection.ended().await;
            }
        })
    }
}

impl Drop for StdioTransport {
    fn drop(&mut self) {
        if let Some(connection) = &self.state().connection {
            connection.kill();
        }
    }
}

impl fmt::Debug for StdioTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and variables may hold credentials.
        f.debug_struct("StdioTransport").field("name", &self.name).finish_non_exhaustive()
    }
}

fn closed() -> TransportError {
    TransportError::Unreachable("the transport is closed".to_owned())
}

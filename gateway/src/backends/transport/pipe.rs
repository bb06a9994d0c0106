//! What all ways to a server have in common that are one pipe: a connection
//! on which the messages of everybody go both ways.
//!
//! On HTTP each request has a connection, or at least a stream, of its own. On
//! a pipe it must be found out what each message belongs to: an answer or
//! progress to its request by its id, a question of the server to the one
//! request whose client can be asked, and everything else to whoever listens.
//! And what was agreed on holds only as long as the pipe does.
//!
//! A transport of this kind is a [`Dial`]: it makes connections, with a
//! [`Pipe`] on our end of each. Keeping one, making another after it was lost
//! and pausing between attempts is done here once for all of them.

mod answers;
mod backoff;
mod connection;
mod hearing;
mod incoming;
mod listening;
mod message_pipe;
mod pending;
mod queue;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use tokio::sync::watch;
use tokio::time::Instant;

use self::backoff::Backoff;
pub(super) use self::connection::{Connection, Ended, Leash, Opening, Stop};
pub(super) use self::hearing::Hearing;
pub(super) use self::message_pipe::{Outlet, Pipe};
pub(super) use self::queue::{Queue, Queued};
use super::{Messages, Outgoing, Reply, Transport, TransportError};
use crate::backends::settings::RetrySettings;

/// Makes connections to one server.
pub(super) trait Dial: Send + Sync + 'static {
    /// Makes a connection, or says why that failed. Takes a bounded time.
    fn dial(&self, opening: Opening) -> BoxFuture<'_, Result<Connection, TransportError>>;

    /// See [`Transport::has_handshake`].
    fn has_handshake(&self) -> bool {
        false
    }
}

/// A way to a server over one pipe at a time.
///
/// The connection is made by the first [`connect`](Transport::connect) and
/// again after it was lost, with exponential backoff. Dropping the transport
/// ends it at once; [`Transport::close`] does so in an orderly way.
pub struct PipeTransport<D> {
    upstream: Arc<str>,
    /// Shared with the other pipes to the same server.
    dial: Arc<D>,
    retry: RetrySettings,
    lost: watch::Sender<u64>,
    /// Held by whoever makes a connection; the others wait and share it.
    dialling: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    closed: bool,
    /// How often a connection was begun.
    dialled: u64,
    /// The latest connection, which may have ended.
    connection: Option<Arc<Connection>>,
    backoff: Backoff,
}

// === impl PipeTransport ===

impl<D> PipeTransport<D> {
    /// A transport to `upstream`. Nothing is connected before
    /// [`connect`](Transport::connect) is called; `retry` paces the attempts.
    pub(super) fn over(upstream: Arc<str>, dial: D, retry: RetrySettings) -> Arc<Self> {
        Self::sharing(upstream, Arc::new(dial), retry)
    }

    fn sharing(upstream: Arc<str>, dial: Arc<D>, retry: RetrySettings) -> Arc<Self> {
        let state = State { closed: false, dialled: 0, connection: None, backoff: Backoff::new(retry) };
        Arc::new(Self {
            upstream,
            dial,
            retry,
            lost: watch::Sender::new(0),
            dialling: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
        })
    }

    /// Whether there is no connection, and none is tried to be made for a while.
    pub(super) fn is_pausing(&self) -> bool {
        let mut state = self.state();
        matches!(state.running(), Ok(None)) && state.backoff.obstacle(Instant::now()).is_some()
    }

    /// The connection, where it is still the one a request relies on.
    fn current(&self, number: u64) -> Result<Arc<Connection>, TransportError> {
        let state = self.state();
        state.open()?;
        let current = state.connection.as_ref().filter(|connection| connection.number() == number);
        current.map(Arc::clone).ok_or(TransportError::Reconnected)
    }

    fn latest(&self) -> Result<Arc<Connection>, TransportError> {
        let state = self.state();
        state.open()?;
        let running = state.connection.as_ref().filter(|connection| connection.end().is_none());
        running.map(Arc::clone).ok_or_else(|| TransportError::Unreachable("it is not connected".to_owned()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Dial> Transport for PipeTransport<D> {
    fn is_pipe(&self) -> bool {
        true
    }

    fn has_handshake(&self) -> bool {
        self.dial.has_handshake()
    }

    fn connect(&self) -> BoxFuture<'_, Result<u64, TransportError>> {
        Box::pin(connected(self))
    }

    fn request(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, TransportError>> {
        Box::pin(async move { self.current(outgoing.connection)?.pipe().request(outgoing).await })
    }

    fn notify(&self, body: Bytes, headers: HeaderMap) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move { self.latest()?.pipe().notify(body, headers).await })
    }

    fn reply(&self, connection: u64, body: Bytes, headers: HeaderMap) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move { self.current(connection)?.pipe().notify(body, headers).await })
    }

    fn another(&self) -> Option<Arc<dyn Transport>> {
        // It has pauses of its own: what one client's connection goes through
        // holds up nobody else's.
        Some(Self::sharing(Arc::clone(&self.upstream), Arc::clone(&self.dial), self.retry))
    }

    fn listen(&self, _headers: HeaderMap) -> BoxFuture<'_, Result<Messages, TransportError>> {
        Box::pin(async { self.latest()?.pipe().listen() })
    }

    fn lost(&self) -> watch::Receiver<u64> {
        self.lost.subscribe()
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

impl<D> fmt::Debug for PipeTransport<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments, variables and headers may hold credentials.
        f.debug_struct("PipeTransport").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

/// The number of the connection, made where there is none.
async fn connected<D: Dial>(transport: &PipeTransport<D>) -> Result<u64, TransportError> {
    if let Some(number) = transport.state().running()? {
        return Ok(number);
    }
    let _dialling = transport.dialling.lock().await;
    let number = {
        let mut state = transport.state();
        // Others may have been quicker.
        if let Some(number) = state.running()? {
            return Ok(number);
        }
        if let Some(obstacle) = state.backoff.obstacle(Instant::now()) {
            return Err(TransportError::Unreachable(obstacle));
        }
        state.dialled += 1;
        state.dialled
    };
    let opening = Opening { upstream: Arc::clone(&transport.upstream), number, lost: transport.lost.clone() };
    let dialled = transport.dial.dial(opening).await;
    let mut state = transport.state();
    // Closed meanwhile: dropping the connection ends it.
    state.open()?;
    match dialled {
        Ok(connection) => state.connection = Some(Arc::new(connection)),
        Err(error) => {
            state.backoff.failed(Instant::now(), Duration::ZERO, false, error.cause());
            return Err(error);
        }
    }
    Ok(number)
}

// === impl State ===

impl State {
    fn open(&self) -> Result<(), TransportError> {
        if self.closed {
            return Err(TransportError::Unreachable("the transport is closed".to_owned()));
        }
        Ok(())
    }

    /// The number of the connection while there is one. One that has ended is
    /// put to the account of the backoff.
    fn running(&mut self) -> Result<Option<u64>, TransportError> {
        self.open()?;
        let Some(connection) = &self.connection else { return Ok(None) };
        let Some(end) = connection.end() else { return Ok(Some(connection.number())) };
        let lifetime = end.at.saturating_duration_since(connection.started());
        self.backoff.failed(end.at, lifetime, connection.pipe().has_answered(), end.cause);
        self.connection = None;
        Ok(None)
    }
}

#[cfg(test)]
mod tests;

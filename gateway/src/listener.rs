//! The way in: TCP, TLS and HTTP framing, and nothing of what HTTP carries.
//!
//! [`serve`] accepts connections and runs one service on each. HTTP/1.1 and
//! HTTP/2 share the port; over TLS the client chooses by ALPN, without TLS by
//! its first bytes (h2c with prior knowledge, RFC 9113 §3.3).
//!
//! Every client is bounded: in the size of its header and the time it takes to
//! send it, in how long it may idle, in how long it may leave an answer
//! unread, in its streams, and all clients together in their connections. The
//! clock of these limits is one sweep over the open connections (see
//! `watchdog`), so that a request itself sets no timer.

mod activity;
mod answer;
mod connection;
mod draining;
mod service;
mod stream;
mod supervisor;
mod tls;
mod watchdog;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::MissedTickBehavior;
use tower_service::Service;
use tracing::{info, warn};

pub use self::draining::{Drain, DrainSignal};
pub use self::tls::{TlsAcceptor, TlsError, TlsSettings};

use self::connection::Connections;
use self::supervisor::Supervisor;
use self::watchdog::Limits;
use crate::body::BodyError;

/// Connections the kernel may hold for us before they are accepted.
const BACKLOG: u32 = 1024;
/// The first wait after an accept error such as too many open files.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(20);
/// The longest wait after repeated accept errors.
const MAX_ACCEPT_BACKOFF: Duration = Duration::from_secs(1);
/// How long connections that are being dropped may take to go.
const DROP_GRACE: Duration = Duration::from_secs(1);

/// The bounds a listener sets to its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Connections open at a time; beyond it they wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a request's head may take from its first byte, and a new
    /// connection to its first request.
    pub head_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// How long an answer may wait for a client that does not take it.
    pub stall_timeout: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long running requests have to end when the process drains.
    pub drain_timeout: Duration,
    /// What a request's head may hold, in bytes; beyond it hyper answers 431. In
    /// HTTP/1 it is also what hyper buffers of a body in either direction.
    pub max_head_bytes: u32,
    /// Requests that one HTTP/2 connection may run at a time.
    pub max_streams: u32,
    /// Whether a client that withdraws many requests, as an attack does
    /// (CVE-2023-44487), loses its connection. Not one that passes on what many
    /// clients do.
    pub bounds_resets: bool,
}

impl Default for ListenerSettings {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
            max_head_bytes: 64 * 1024,
            max_streams: 256,
            bounds_resets: true,
        }
    }
}

/// The address the connection came from: the client's, or the nearest proxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// The client proved that it holds a certificate which the configured
/// authority signed, or a public key that counts as much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// SHA-256 of the certificate, or of the public key, in DER.
    pub fingerprint: [u8; 32],
}

/// Listens on `address` and says so in the log. `name` is `main` or `admin`.
///
/// # Errors
///
/// When the address is taken or may not be used.
pub fn bind(name: &'static str, address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it: a peer whose machine vanished is found.
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    let tcp = socket.listen(BACKLOG)?;
    info!(listener = name, address = %tcp.local_addr()?, "listening");
    Ok(tcp)
}

/// Accepts connections and serves each with a clone of `service`, until
/// `drain` is signalled; then stops listening, lets running requests end
/// within [`drain_timeout`](ListenerSettings::drain_timeout) and drops the rest.
///
/// Requests carry [`PeerAddress`] and, where client certificates are asked
/// for, [`ClientCertificate`] in their extensions.
pub async fn serve<S, B>(
    tcp: TcpListener,
    tls: Option<Arc<TlsAcceptor>>,
    settings: ListenerSettings,
    service: S,
    drain: DrainSignal,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    let limits = Limits::new(&settings);
    let mut sweeps = tokio::time::interval(limits.sweep_period);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let supervisor = Supervisor::new(limits);
    let room = Arc::new(Semaphore::new(settings.max_connections));
    let connections = Connections::new(tls, &settings, Arc::clone(&supervisor));

    let mut backoff = ACCEPT_BACKOFF;
    loop {
        tokio::select! {
            accepted = accept(&tcp, &room) => match accepted {
                Ok((stream, peer, permit)) => {
                    backoff = ACCEPT_BACKOFF;
                    connections.open(stream, peer, permit, service.clone());
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    warn!(%error, "cannot accept connections");
                    tokio::select! {
                        () = tokio::time::sleep(backoff) => {}
                        () = drain.started() => break,
                    }
                    backoff = (backoff * 2).min(MAX_ACCEPT_BACKOFF);
                }
            },
            _ = sweeps.tick() => supervisor.sweep(),
            () = drain.started() => break,
        }
    }
    drop(tcp);

    supervisor.finish_all();
    let all_ended = everyone_left(&room, settings.max_connections);
    tokio::pin!(all_ended);
    let deadline = tokio::time::sleep(settings.drain_timeout);
    tokio::pin!(deadline);
    loop {
        tokio::select! {
            () = &mut all_ended => return,
            // Also while draining nobody may hold an answer unread.
            _ = sweeps.tick() => supervisor.sweep(),
            () = &mut deadline => break,
        }
    }
    warn!(connections = supervisor.open(), "drain timeout over, dropping connections");
    supervisor.abort_all();
    // A connection task ends as soon as it is polled; this only orders the exit.
    let _ = tokio::time::timeout(DROP_GRACE, all_ended).await;
}

async fn accept(tcp: &TcpListener, room: &Arc<Semaphore>) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, peer) = tcp.accept().await?;
    Ok((stream, peer, permit))
}

async fn everyone_left(room: &Semaphore, max_connections: usize) {
    let all = u32::try_from(max_connections).unwrap_or(u32::MAX);
    let _all = room.acquire_many(all).await.expect("the semaphore is never closed");
}

/// An accept error that says nothing about the next connection (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests;

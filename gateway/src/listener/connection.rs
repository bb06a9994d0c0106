//! One connection from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use pin_project_lite::pin_project;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tower_service::Service;
use tracing::debug;

use super::activity::{Activity, Order};
use super::service::PerConnection;
use super::stream::{Observed, Stream};
use super::supervisor::{Registration, Supervisor};
use super::tls::TlsAcceptor;
use super::{ClientCertificate, ListenerSettings};
use crate::body::BodyError;

/// What is buffered of one HTTP/2 answer whose client does not take it.
const MAX_SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How often an HTTP/2 client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long it has to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Opens connections.
pub(super) struct Connections {
    http: Arc<auto::Builder<TokioExecutor>>,
    tls: Option<Arc<TlsAcceptor>>,
    handshake_timeout: Duration,
    supervisor: Arc<Supervisor>,
}

pin_project! {
    /// A connection that obeys its supervisor.
    struct Supervised<C> {
        #[pin]
        connection: C,
        activity: Arc<Activity>,
        finishing: bool,
    }
}

// === impl Connections ===

impl Connections {
    pub(super) fn new(tls: Option<Arc<TlsAcceptor>>, settings: &ListenerSettings, supervisor: Arc<Supervisor>) -> Self {
        let max_head_bytes = settings.max_head_bytes;
        let mut http = auto::Builder::new(TokioExecutor::new());
        // The head's time is kept by the sweep: hyper would set a timer per request.
        http.http1().header_read_timeout(None).max_buf_size(max_head_bytes as usize);
        // hyper's own bounds on reset streams stay (CVE-2023-44487, CVE-2025-8671).
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(settings.max_streams)
            .max_header_list_size(max_head_bytes)
            .max_send_buf_size(MAX_SEND_BUFFER_BYTES);
        if !settings.bounds_resets {
            http.http2()
                .max_pending_accept_reset_streams(usize::try_from(settings.max_streams).ok())
                .max_local_error_reset_streams(None);
        }
        Self { http: Arc::new(http), tls, handshake_timeout: settings.handshake_timeout, supervisor }
    }

    /// Serves a new connection in a task of its own; `permit` is held until it ends.
    pub(super) fn open<S, B>(&self, tcp: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        if let Err(error) = tcp.set_nodelay(true) {
            debug!(%error, "the client was gone before it was served");
            return;
        }
        let registration = self.supervisor.register();
        let http = Arc::clone(&self.http);
        let tls = self.tls.clone();
        let handshake_timeout = self.handshake_timeout;
        tokio::spawn(async move {
            let _permit = permit;
            let activity = registration.activity();
            let tcp = Observed::new(tcp, Arc::clone(activity));
            let (stream, certificate) = match tls {
                None => (Stream::Plain(tcp), None),
                Some(tls) => match handshake(&tls, tcp, handshake_timeout).await {
                    Some(secured) => secured,
                    None => return,
                },
            };
            let service = PerConnection::new(service, Arc::clone(activity), peer, certificate);
            let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
            supervised(connection, &registration).await;
        });
    }
}

async fn handshake(tls: &TlsAcceptor, tcp: Observed, timeout: Duration) -> Option<(Stream, Option<ClientCertificate>)> {
    match tokio::time::timeout(timeout, tls.accept(tcp)).await {
        Ok(Ok((stream, certificate))) => Some((Stream::Tls(Box::new(stream)), certificate)),
        Ok(Err(error)) => {
            debug!(%error, "the TLS handshake failed");
            None
        }
        Err(_) => {
            debug!("the TLS handshake took too long");
            None
        }
    }
}

async fn supervised<C>(connection: C, registration: &Registration)
where
    C: GracefulConnection<Error = BodyError>,
{
    let activity = Arc::clone(registration.activity());
    if let Err(error) = (Supervised { connection, activity, finishing: false }).await {
        // Clients go away in many ways, none of which an operator can help.
        debug!(%error, "the connection broke");
    }
}

// === impl Supervised ===

impl<C: GracefulConnection> Future for Supervised<C> {
    type Output = Result<(), C::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        match this.activity.order(cx.waker()) {
            Order::Serve => {}
            Order::Finish if *this.finishing => {}
            Order::Finish => {
                *this.finishing = true;
                this.connection.as_mut().graceful_shutdown();
            }
            Order::Abort => return Poll::Ready(Ok(())),
        }
        this.connection.poll(cx)
    }
}

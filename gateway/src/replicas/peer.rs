//! One other replica: the connection to it, and whether it is there at all.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::BodyExt as _;
use http_body_util::combinators::MapFrame;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::NotAnswered;
use super::address::Advertised;
use crate::body::{Body, BodyError};

/// How long connecting may take, until the other has said that it is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one that could not be reached is not tried again.
const GONE: Duration = Duration::from_secs(10);
/// A connection that was not used for so long, and on which no answer is
/// awaited, is replaced: the other closes idle ones too, and a request must not
/// meet that.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How soon a connection is asked whether it still lives while answers are
/// waited for, and how long it may take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// What is held of an answer whose client does not take it, and what of all of
/// them together: as much, so that none holds up another.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// Answers that nobody waits for any more, of which something may still come.
const MAX_RESET: usize = 8_192;

/// Another replica.
pub(super) struct Peer {
    address: Arc<str>,
    target: (ServerName<'static>, String, u16),
    tls: Arc<ClientConfig>,
    state: Mutex<State>,
    /// One connects, the others wait for it.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    open: Option<Open>,
    /// Until when it counts as gone; a moment that has passed, once it was.
    gone_until: Option<Instant>,
}

/// The connection that is used.
struct Open {
    sender: SendRequest<Body>,
    used: Instant,
    /// Held by every answer that is awaited.
    awaited: Arc<()>,
}

/// The body of an answer, which keeps its connection in use.
pub(super) type Arriving = MapFrame<Incoming, Box<dyn FnMut(Frame<Bytes>) -> Frame<Bytes> + Send>>;

/// What is to be done to reach it.
enum Look {
    Send(SendRequest<Body>, Arc<()>),
    /// It was not there a moment ago.
    Gone,
    /// It was gone: one request tries whether it still is, and the others go on
    /// without it meanwhile.
    Try,
    Connect,
}

// === impl Peer ===

impl Peer {
    /// The replica at `HOST:PORT`; `None` if it cannot be that.
    pub(super) fn at(address: &Arc<str>, tls: Arc<ClientConfig>) -> Option<Self> {
        let target = address.parse::<Advertised>().ok()?.target()?;
        let (state, connecting) = (Mutex::default(), tokio::sync::Mutex::default());
        Some(Self { address: Arc::clone(address), target, tls, state, connecting })
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(&self, mut request: Request<Body>) -> Result<Response<Arriving>, NotAnswered> {
        // The connection may have been closed while it was idle; then nothing
        // was sent, and another takes the request.
        for _ in 0..2 {
            let (mut sender, awaited) = self.connection().await?;
            match sender.try_send_request(request).await {
                Ok(response) if response.status() == StatusCode::MISDIRECTED_REQUEST => {
                    // It is about to end, or another has its address by now.
                    self.gone("takes no requests");
                    return Err(NotAnswered::Unreached);
                }
                Ok(response) => {
                    return Ok(response.map(|body| {
                        let awaits: Box<dyn FnMut(Frame<Bytes>) -> Frame<Bytes> + Send> = Box::new(move |frame| {
                            let _ = &awaited;
                            frame
                        });
                        body.map_frame(awaits)
                    }));
                }
                Err(mut failure) => {
                    self.state().open = None;
                    match failure.take_message() {
                        Some(unsent) => request = unsent,
                        None => {
                            let error = failure.into_error();
                            tracing::warn!(replica = %self.address, %error, "a replica went away with a request");
                            return Err(NotAnswered::Lost);
                        }
                    }
                }
            }
        }
        Err(NotAnswered::Unreached)
    }

    async fn connection(&self) -> Result<(SendRequest<Body>, Arc<()>), NotAnswered> {
        match self.look() {
            Look::Send(sender, awaited) => Ok((sender, awaited)),
            Look::Gone => Err(NotAnswered::Unreached),
            Look::Try => self.connect().await,
            Look::Connect => {
                let _turn = self.connecting.lock().await;
                // Who had the turn before has found out.
                match self.look() {
                    Look::Send(sender, awaited) => Ok((sender, awaited)),
                    Look::Gone => Err(NotAnswered::Unreached),
                    Look::Try | Look::Connect => self.connect().await,
                }
            }
        }
    }

    fn look(&self) -> Look {
        let (mut state, now) = (self.state(), Instant::now());
        if let Some(Open { sender, used, awaited }) = &mut state.open
            && !sender.is_closed()
            && (now < *used + IDLE_TIMEOUT || Arc::strong_count(awaited) > 1)
        {
            *used = now;
            return Look::Send(sender.clone(), Arc::clone(awaited));
        }
        state.open = None;
        match &mut state.gone_until {
            Some(until) if now < *until => Look::Gone,
            Some(until) => {
                *until = now + GONE;
                Look::Try
            }
            None => Look::Connect,
        }
    }

    async fn connect(&self) -> Result<(SendRequest<Body>, Arc<()>), NotAnswered> {
        match timeout(CONNECT_TIMEOUT, self.greet()).await.map_err(BodyError::from).flatten() {
            Ok(sender) => {
                let (mut state, awaited) = (self.state(), Arc::new(()));
                state.open = Some(Open { sender: sender.clone(), used: Instant::now(), awaited: Arc::clone(&awaited) });
                if state.gone_until.take().is_some() {
                    tracing::info!(replica = %self.address, "a replica is there again");
                }
                Ok((sender, awaited))
            }
            Err(error) => {
                self.gone(error);
                Err(NotAnswered::Unreached)
            }
        }
    }

    /// Connects and has the other say that it takes requests: it judges our key
    /// only after it was sent, when we could already send more.
    async fn greet(&self) -> Result<SendRequest<Body>, BodyError> {
        let (name, host, port) = &self.target;
        let tcp = TcpStream::connect((host.as_str(), *port)).await?;
        tcp.set_nodelay(true)?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name.clone(), tcp).await?;
        let (mut sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_reset_streams(MAX_RESET)
            .max_local_error_reset_streams(None)
            .handshake(TokioIo::new(tls))
            .await?;
        let address = Arc::clone(&self.address);
        // Ends when no sender is left and no answer is awaited.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(replica = %address, %error, "the connection to a replica broke");
            }
        });
        let mut greeting = Request::new(Body::empty());
        *greeting.method_mut() = Method::GET;
        *greeting.uri_mut() = Uri::builder().scheme("https").authority(&*self.address).path_and_query("/").build()?;
        match sender.send_request(greeting).await?.status() {
            StatusCode::NO_CONTENT => Ok(sender),
            status => Err(io::Error::other(format!("it answers {status}")).into()),
        }
    }

    /// Notes that it is not there.
    fn gone(&self, why: impl fmt::Display) {
        let mut state = self.state();
        state.open = None;
        if state.gone_until.replace(Instant::now() + GONE).is_none() {
            let address = &self.address;
            tracing::warn!(replica = %address, error = %why, "a replica is gone: its sessions are served here");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

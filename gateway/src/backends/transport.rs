//! How messages reach an MCP server: one trait, a file per transport.
//!
//! A transport knows framing, connections and processes. It does not know
//! revisions, sessions or names: that is [`upstream`](super::upstream)'s part,
//! so that a further transport is one file here and nothing elsewhere.

pub mod demo;
pub mod event_source;
pub mod fallback;
pub mod http;
mod pipe;
pub mod stdio;
mod way;
pub mod websocket;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::mcp::mirror;
use crate::rejection::UpstreamFailureKind;

/// One JSON-RPC request, ready to be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// The whole message; its id is [`Outgoing::id`], written as a number.
    pub body: Bytes,
    /// Unique among the requests of this transport. Also the progress token
    /// of the request, where it carries one.
    pub id: u64,
    /// The connection whose handshake this request relies on, from
    /// [`Transport::connect`]; `None` for the handshake itself on HTTP.
    pub connection: u64,
    /// What HTTP sends beside the body; other transports leave it unread.
    pub headers: HeaderMap,
    /// What of that every request has that relies on the same agreement.
    pub footing: Arc<Footing>,
    /// When the caller stops waiting for the first message of the reply.
    pub deadline: Instant,
    /// Which questions of the server are its client's, where they name no
    /// request. Those that are nobody's go to whoever
    /// [listens](Transport::listen).
    pub questions: Questions,
}

/// What HTTP says in every request that relies on one agreement.
#[derive(Clone, Debug, Default)]
pub struct Footing {
    /// `MCP-Protocol-Version`; none before there is an agreement.
    pub version: Option<HeaderValue>,
    /// `Mcp-Session-Id`, where the server minted one.
    pub session: Option<HeaderValue>,
}

/// Which questions of a server a request takes on a pipe, where they come
/// beside the requests and name none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Questions {
    /// None: its client cannot be asked.
    None,
    /// Those that can be no other's: while it is the only one that takes any.
    Own,
    /// All of them: whoever takes questions on this pipe is the same client.
    All,
}

/// Messages that belong to one request, in order, the response last.
pub type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>;

/// What a request was answered with.
pub enum Reply {
    /// The response itself.
    Message {
        /// One JSON-RPC message.
        message: Bytes,
        /// `Mcp-Session-Id`, where the answer minted one.
        session: Option<HeaderValue>,
    },
    /// A JSON-RPC error that came with an HTTP status that is no success.
    Refusal {
        /// The status; never 401, 403 or 429.
        status: u16,
        /// One JSON-RPC message.
        message: Bytes,
    },
    /// A stream of messages: notifications about the request and questions,
    /// then its response.
    Stream {
        /// The first, where it has come; on HTTP perhaps the response itself.
        first: Option<Bytes>,
        /// The others. Dropping it before its end abandons the request: HTTP
        /// closes the stream.
        messages: Messages,
        /// `Mcp-Session-Id`, where the answer minted one.
        session: Option<HeaderValue>,
    },
}

/// Why a request got no (whole) answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// No connection could be made: the request was surely not processed.
    Unreachable(String),
    /// The connection is not the one the request relies on, so it was not sent.
    Reconnected,
    /// The server does not know the session (HTTP 404, or 400 without a
    /// JSON-RPC message, to a request that named one): not processed.
    SessionLost,
    /// The server asked us to come back (HTTP 429, or 503 that says when): not
    /// processed. A bare 503 may come from a proxy that lost the connection
    /// after the server had the request.
    Busy {
        /// From `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// No answer before the deadline.
    TimedOut,
    /// The connection broke after the request may have been taken up.
    Disconnected(String),
    /// What came is not a JSON-RPC message, or over the size limit.
    Garbage(String),
    /// HTTP 401 or 403.
    Refused(u16),
    /// Another HTTP status without a JSON-RPC message in the body.
    Status(u16),
}

/// A way to one MCP server.
pub trait Transport: Send + Sync + fmt::Debug {
    /// Makes sure there is something to talk to and says which connection it
    /// is. A new number means that everything negotiated before is void.
    ///
    /// # Errors
    ///
    /// [`TransportError::Unreachable`], also while a backoff runs.
    fn connect(&self) -> BoxFuture<'_, Result<u64, TransportError>>;

    /// Sends a request and waits for the first message of its reply.
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    fn request(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, TransportError>>;

    /// Sends a notification, or a response to something the server asked.
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    fn notify(&self, body: Bytes, headers: HeaderMap) -> BoxFuture<'_, Result<(), TransportError>>;

    /// Sends a response to something that the server asked over a connection,
    /// and over no other: where that is lost, nobody waits for it.
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    fn reply(&self, _connection: u64, body: Bytes, headers: HeaderMap) -> BoxFuture<'_, Result<(), TransportError>> {
        self.notify(body, headers)
    }

    /// Counts the connections that were lost, each with everything that was
    /// negotiated over it. Transports that pool connections lose none.
    fn lost(&self) -> watch::Receiver<u64> {
        // Without a sender it never changes.
        watch::channel(0).1
    }

    /// Hears what the server says of its own accord: on HTTP the stream of a
    /// server with a handshake (GET), with these `headers`; on a pipe
    /// everything that belongs to no request of ours, for one listener, whom
    /// the next one succeeds. It ends when the connection is lost.
    ///
    /// What is a request must be answered. Where nobody listens on a pipe, the
    /// pipe refuses it.
    ///
    /// # Errors
    ///
    /// [`TransportError::Status`] with 405 where there is no such stream;
    /// [`TransportError::Unreachable`] where a pipe is not connected.
    fn listen(&self, _headers: HeaderMap) -> BoxFuture<'_, Result<Messages, TransportError>> {
        Box::pin(std::future::ready(Err(TransportError::Status(405))))
    }

    /// Whether all messages share one pipe to one server, which may end at a
    /// message it does not know, and with which all that was negotiated ends.
    fn is_pipe(&self) -> bool {
        false
    }

    /// Another pipe to the same server, not connected yet, for one client
    /// alone; `None` where messages do not share one.
    fn another(&self) -> Option<Arc<dyn Transport>> {
        None
    }

    /// Whether a server that is reached this way is surely none of a stateless
    /// revision, so that it need not be asked.
    fn has_handshake(&self) -> bool {
        false
    }

    /// Says whether there is an older way to the server that was not tried;
    /// the next [`connect`](Self::connect) tries it, and goes back to this one
    /// where it leads nowhere.
    fn fall_back(&self) -> bool {
        false
    }

    /// Tells the server that a session is no longer needed.
    fn end_session(&self, _headers: HeaderMap) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Ends connections and processes; later requests are `Unreachable`.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Messages after a first one, where there is one.
#[must_use]
pub fn after(first: Option<Bytes>, messages: Messages) -> Messages {
    match first {
        Some(first) => Box::pin(stream::iter([Ok(first)]).chain(messages)),
        None => messages,
    }
}

// === impl Footing ===

impl Footing {
    /// The headers that say it.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(12);
        let Self { version, session } = self;
        for (name, value) in [(mirror::PROTOCOL_VERSION, version), (mirror::SESSION_ID, session)] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        headers
    }

    /// What headers say of it.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let said = |name| headers.get(name).cloned();
        Self { version: said(mirror::PROTOCOL_VERSION), session: said(mirror::SESSION_ID) }
    }
}

// === impl TransportError ===

impl TransportError {
    /// Whether the server surely did not act on the request, so that sending
    /// it again cannot run a tool twice.
    #[must_use]
    pub const fn surely_not_processed(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Reconnected | Self::SessionLost | Self::Busy { .. })
    }

    /// What happened, without what that means for the request.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::Unreachable(cause) | Self::Disconnected(cause) => cause.clone(),
            other => other.to_string(),
        }
    }

    /// What the caller and the metrics are told.
    #[must_use]
    pub const fn kind(&self) -> UpstreamFailureKind {
        match self {
            Self::Unreachable(_) | Self::Reconnected => UpstreamFailureKind::Unreachable,
            Self::Busy { .. } => UpstreamFailureKind::Busy,
            Self::SessionLost | Self::Status(_) => UpstreamFailureKind::Failed,
            Self::TimedOut => UpstreamFailureKind::TimedOut,
            Self::Disconnected(_) => UpstreamFailureKind::Disconnected,
            Self::Garbage(_) => UpstreamFailureKind::Garbage,
            Self::Refused(_) => UpstreamFailureKind::Refused,
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(cause) => write!(f, "no connection: {cause}"),
            Self::Reconnected => f.write_str("the connection was replaced"),
            Self::SessionLost => f.write_str("the session is unknown to the server"),
            Self::Busy { .. } => f.write_str("the server asks to come back later"),
            Self::TimedOut => f.write_str("no answer before the deadline"),
            Self::Disconnected(cause) => write!(f, "the connection broke: {cause}"),
            Self::Garbage(cause) => write!(f, "not an MCP message: {cause}"),
            Self::Refused(status) => write!(f, "refused with HTTP {status}"),
            Self::Status(status) => write!(f, "answered with HTTP {status}"),
        }
    }
}

impl std::error::Error for TransportError {}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The content is the caller's business, not the log's.
        f.write_str(match self {
            Self::Message { .. } => "Reply::Message",
            Self::Refusal { .. } => "Reply::Refusal",
            Self::Stream { .. } => "Reply::Stream",
        })
    }
}

//! Finding out how a server wants to be talked to, and agreeing on it.
//!
//! The probe is `server/discover` with everything a stateless request has.
//! Only an answer tells the era, never one error code alone: servers with a
//! handshake refuse the probe in many ways. What is no answer (a connection
//! that fails, 401, 5xx) is no evidence and is not remembered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http::HeaderValue;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::asked;
use super::introduction::Introduction;
use super::link::Link;
use crate::backends::offer::Offer;
use crate::backends::transport::{Footing, Messages, Outgoing, Questions, Reply, Transport, TransportError, after};
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::capabilities::Capabilities;
use crate::mcp::version::{Era, Version};
use crate::mcp::{meta, mirror};

/// Error codes by which a stateless server shows that it is one
/// (MCP 2026-07-28: header mismatch, missing capability).
const MODERN_CODES: [i64; 2] = [-32020, -32021];
/// Unsupported protocol version (MCP 2026-07-28).
const UNSUPPORTED_VERSION: i64 = -32022;
/// How long a server may take to answer the probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a stream may stay open after its response.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a process that is about to be started again is looked for.
const RESTART_POLL: Duration = Duration::from_millis(50);

/// A request of the gateway's own, and its answer.
pub(super) struct Asked {
    pub(super) message: UpstreamMessage,
    pub(super) session: Option<HeaderValue>,
    /// The HTTP status, where it is no success.
    pub(super) status: Option<u16>,
}

/// Which messages a server of a stateless revision is sent.
pub(super) fn modern_link(transport: &Arc<dyn Transport>, connection: u64) -> Link {
    let version = HeaderValue::from_static(Version::MODERN.as_str());
    Link {
        era: Era::Modern,
        footing: Arc::new(Footing { version: Some(version), session: None }),
        transport: Arc::clone(transport),
        connection,
        place: None,
        offer: Arc::new(Offer::none(Era::Modern)),
        level: Arc::default(),
        mark: None,
    }
}

/// What a server showed itself to be.
pub(super) enum Probed {
    /// Of the stateless era; what it said of itself.
    Modern(Arc<Offer>),
    Legacy,
}

/// Asks the server of which era it is and, if it wants a handshake, makes it.
pub(super) async fn agree(
    transport: &Arc<dyn Transport>,
    next_id: &(dyn Fn() -> u64 + Sync),
    deadline: Instant,
) -> Result<Link, TransportError> {
    let link = modern_link(transport, connect(transport.as_ref(), deadline).await?);
    let gateway = Introduction::pooled(Capabilities::NONE);
    if transport.has_handshake() {
        return initialize(transport, next_id(), &gateway, deadline).await;
    }
    match probe(&link, next_id(), deadline).await {
        Ok(Probed::Modern(offer)) => Ok(Link { offer, ..link }),
        Ok(Probed::Legacy) => match initialize(transport, next_id(), &gateway, deadline).await {
            // A server of the oldest revision is reached in another way
            // (MCP 2025-11-25, "Transports", backwards compatibility).
            Err(TransportError::Status(400 | 404 | 405)) if transport.fall_back() => {
                initialize(transport, next_id(), &gateway, deadline).await
            }
            agreed => agreed,
        },
        // Servers on a pipe that exit at, or ignore, what they do not know.
        Err(TransportError::Disconnected(_) | TransportError::Reconnected | TransportError::TimedOut)
            if transport.is_pipe() =>
        {
            restarted(transport.as_ref(), deadline).await?;
            initialize(transport, next_id(), &gateway, deadline).await
        }
        Err(error) => Err(error),
    }
}

/// Making a connection may take longer than the caller has time.
async fn connect(transport: &dyn Transport, deadline: Instant) -> Result<u64, TransportError> {
    timeout_at(deadline, transport.connect()).await.map_err(|_| TransportError::TimedOut)?
}

/// Asks the server of which era it is.
///
/// # Errors
///
/// If what came is no evidence.
pub(super) async fn probe(link: &Link, id: u64, deadline: Instant) -> Result<Probed, TransportError> {
    let deadline = deadline.min(Instant::now() + PROBE_TIMEOUT);
    match ask(link, id, "server/discover", json!({}), deadline).await {
        Ok(Asked { status: Some(status @ 500..), .. }) => Err(TransportError::Status(status)),
        // It answered, in whatever way, but perhaps not as a stateless server.
        Ok(asked) => Ok(modern_offer(&asked.message).map_or(Probed::Legacy, |offer| Probed::Modern(Arc::new(offer)))),
        Err(TransportError::Status(400..=499)) => Ok(Probed::Legacy),
        Err(error) => Err(error),
    }
}

/// Waits until a process that ended at the probe runs again: it is not started
/// anew at once.
async fn restarted(transport: &dyn Transport, deadline: Instant) -> Result<(), TransportError> {
    loop {
        match connect(transport, deadline).await {
            Err(TransportError::Unreachable(_)) if Instant::now() + RESTART_POLL < deadline => {
                tokio::time::sleep(RESTART_POLL).await;
            }
            connected => return connected.map(|_| ()),
        }
    }
}

impl Probed {
    /// The era.
    pub(super) const fn era(&self) -> Era {
        match self {
            Self::Modern(_) => Era::Modern,
            Self::Legacy => Era::Legacy,
        }
    }
}

/// What a stateless server says of itself; `None` where it is none.
fn modern_offer(message: &UpstreamMessage) -> Option<Offer> {
    let lists_modern = |value: &Value| {
        value.as_array().is_some_and(|versions| versions.iter().any(|version| version == Version::MODERN.as_str()))
    };
    match &message.kind {
        UpstreamKind::Result { result, .. } => {
            let result: Value = serde_json::from_str(message.text(*result)).ok()?;
            lists_modern(&result["supportedVersions"]).then(|| Offer::read(Era::Modern, result))
        }
        UpstreamKind::Error { code, .. } if MODERN_CODES.contains(code) => Some(Offer::none(Era::Modern)),
        UpstreamKind::Error { code: UNSUPPORTED_VERSION, error, .. } => {
            let error: Value = serde_json::from_str(message.text(*error)).ok()?;
            lists_modern(&error["data"]["supported"]).then(|| Offer::none(Era::Modern))
        }
        _ => None,
    }
}

/// Opens a session: `initialize`, then `notifications/initialized`.
pub(super) async fn initialize(
    transport: &Arc<dyn Transport>,
    id: u64,
    introduction: &Introduction,
    deadline: Instant,
) -> Result<Link, TransportError> {
    let connection = connect(transport.as_ref(), deadline).await?;
    let opening = Link {
        era: Era::Legacy,
        // What was not yet agreed on is not claimed.
        footing: Arc::default(),
        transport: Arc::clone(transport),
        connection,
        place: None,
        offer: Arc::new(Offer::none(Era::Legacy)),
        level: Arc::default(),
        mark: None,
    };
    let asked = ask(&opening, id, "initialize", introduction.params(), deadline).await?;
    let UpstreamKind::Result { result, .. } = asked.message.kind else {
        let refused = || TransportError::Garbage("the server refused to initialize".to_owned());
        return Err(asked.status.map_or_else(refused, TransportError::Status));
    };
    let result: Value = serde_json::from_str(asked.message.text(result)).unwrap_or_default();
    // Any revision with a handshake will do; the server has the last word.
    let version = result["protocolVersion"].as_str().filter(|version| has_handshake(version));
    let version = version.and_then(|version| HeaderValue::from_str(version).ok());
    let version = version.ok_or_else(|| TransportError::Garbage("no protocolVersion was agreed on".to_owned()))?;
    let offer = Arc::new(Offer::read(Era::Legacy, result));
    let is_kept = asked.session.is_some() || transport.is_pipe();
    let mark = is_kept.then(|| uuid::Uuid::new_v4().as_u128());
    let footing = Arc::new(Footing { version: Some(version), session: asked.session });
    let link = Link { footing, offer, mark, ..opening };
    let initialized = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    link.notify(initialized).await?;
    Ok(link)
}

/// Whether a version is that of a revision with a handshake: a date before
/// the first one without.
fn has_handshake(version: &str) -> bool {
    let is_date = version.len() == Version::MODERN.as_str().len()
        && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    is_date && version < Version::MODERN.as_str()
}

/// Who we are, to upstreams.
pub(super) fn client_info() -> Value {
    json!({"name": "portcullis", "version": env!("CARGO_PKG_VERSION")})
}

/// The `_meta` members of a stateless request of the gateway's own.
pub(super) fn stateless_meta(abilities: Capabilities) -> Value {
    json!({
        (meta::PROTOCOL_VERSION): Version::MODERN.as_str(),
        (meta::CLIENT_CAPABILITIES): abilities.to_value(),
        (meta::CLIENT_INFO): client_info(),
    })
}

/// Sends a request of the gateway's own and waits for its response;
/// notifications on the way are nobody's and skipped.
pub(super) async fn ask(
    link: &Link,
    id: u64,
    method: &'static str,
    mut params: Value,
    deadline: Instant,
) -> Result<Asked, TransportError> {
    let mut headers = link.headers();
    if link.era == Era::Modern {
        if params.get("_meta").is_none() {
            params["_meta"] = stateless_meta(Capabilities::NONE);
        }
        headers.insert(mirror::METHOD, HeaderValue::from_static(method));
        if let Some(task) = params["taskId"].as_str() {
            headers.insert(mirror::NAME, mirror::encode(task));
        }
    }
    let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
    let outgoing = Outgoing {
        body: body.into(),
        id,
        connection: link.connection,
        headers,
        footing: Arc::clone(&link.footing),
        deadline,
        questions: Questions::None,
    };
    timeout_at(deadline, exchange(link, outgoing)).await.map_err(|_| TransportError::TimedOut)?
}

async fn exchange(link: &Link, outgoing: Outgoing) -> Result<Asked, TransportError> {
    let id = outgoing.id;
    let (mut messages, session) = match link.transport.request(outgoing).await? {
        Reply::Message { message, session } => {
            return Ok(Asked { message: response(message, id)?, session, status: None });
        }
        Reply::Refusal { status, message } => {
            return Ok(Asked { message: refusal(message, id)?, session: None, status: Some(status) });
        }
        Reply::Stream { first, messages, session } => (after(first, messages), session),
    };
    loop {
        let next = messages.next().await;
        let message = next.unwrap_or_else(|| Err(TransportError::Disconnected("the stream ended".to_owned())))?;
        let message = scan(message)?;
        match &message.kind {
            UpstreamKind::Result { .. } | UpstreamKind::Error { .. } => {
                drain(messages);
                return Ok(Asked { message: checked(message, id)?, session, status: None });
            }
            UpstreamKind::Request { id, method, .. } => {
                // If it does not arrive, the response will not either.
                link.reply(asked::answer(message.text(*id), method)).await;
            }
            UpstreamKind::Notification { .. } => {}
        }
    }
}

/// The response to the request of this id.
///
/// # Errors
///
/// If the message is none.
pub(super) fn response(message: Bytes, id: u64) -> Result<UpstreamMessage, TransportError> {
    checked(scan(message)?, id)
}

/// The same with a status that is no success: HTTP tells whose it is, and
/// servers that turn a request down before they read it put ids of their own
/// into the error.
pub(super) fn refusal(message: Bytes, id: u64) -> Result<UpstreamMessage, TransportError> {
    let message = scan(message)?;
    match message.kind {
        UpstreamKind::Error { .. } => Ok(message),
        _ => checked(message, id),
    }
}

/// A message from the server.
pub(super) fn scan(message: Bytes) -> Result<UpstreamMessage, TransportError> {
    UpstreamMessage::scan(message).map_err(|error| TransportError::Garbage(error.to_string()))
}

/// The message, if it is the response to the request of this id. A server
/// that could not read the request's id leaves it out.
pub(super) fn checked(message: UpstreamMessage, id: u64) -> Result<UpstreamMessage, TransportError> {
    let answered = match &message.kind {
        UpstreamKind::Result { id, .. } | UpstreamKind::Error { id: Some(id), .. } => message.text(*id),
        UpstreamKind::Error { id: None, .. } => return Ok(message),
        UpstreamKind::Notification { .. } | UpstreamKind::Request { .. } => {
            return Err(TransportError::Garbage("not a response".to_owned()));
        }
    };
    if answered.parse() == Ok(id) {
        Ok(message)
    } else {
        Err(TransportError::Garbage("the response to another request".to_owned()))
    }
}

/// Lets a stream end by itself after its response, so that its connection can
/// be used again.
pub(super) fn drain(mut messages: Messages) {
    // Usually its end came along.
    if messages.next().now_or_never().is_none() {
        tokio::spawn(async move {
            // What does not end soon is closed; there is nothing to say of it.
            let _ = timeout(DRAIN_TIMEOUT, messages.next()).await;
        });
    }
}

//! Finding out how a server wants to be talked to, and agreeing on it.
//!
//! The probe is `server/discover` with everything a stateless request has.
//! Only an answer tells the era, never one error code alone: servers with a
//! handshake refuse the probe in many ways. What is no answer (a connection
//! that fails, 401, 5xx) is no evidence and is not remembered.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::link::Link;
use crate::backends::transport::{Outgoing, Reply, Transport, TransportError};
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::version::{Era, Version};
use crate::mcp::{meta, mirror};

/// Error codes by which a stateless server shows that it is one
/// (MCP 2026-07-28: header mismatch, missing capability).
const MODERN_CODES: [i64; 2] = [-32020, -32021];
/// Unsupported protocol version (MCP 2026-07-28).
const UNSUPPORTED_VERSION: i64 = -32022;

/// How often a process that is about to be started again is looked for.
const RESTART_POLL: Duration = Duration::from_millis(50);

/// A request of the gateway's own, and its answer.
pub(super) struct Asked {
    pub(super) message: UpstreamMessage,
    pub(super) session: Option<HeaderValue>,
}

/// Which messages a server of a stateless revision is sent.
pub(super) fn modern_link(connection: u64) -> Link {
    Link { era: Era::Modern, version: HeaderValue::from_static(Version::MODERN.as_str()), session: None, connection }
}

/// Asks the server of which era it is and, if it wants a handshake, makes it.
pub(super) async fn agree(
    transport: &dyn Transport,
    next_id: &(dyn Fn() -> u64 + Sync),
    probe_timeout: Duration,
    deadline: Instant,
) -> Result<Link, TransportError> {
    let connection = transport.connect().await?;
    let probe_deadline = deadline.min(Instant::now() + probe_timeout);
    let link = modern_link(connection);
    let asked = ask(transport, &link, next_id(), "server/discover", json!({}), probe_deadline).await;
    match asked {
        Ok(asked) if speaks_modern(&asked.message) => Ok(link),
        // It answered, in whatever way, but not as a stateless server.
        Ok(_) | Err(TransportError::Status(400..=499) | TransportError::SessionLost) => {
            initialize(transport, next_id(), deadline).await
        }
        // Servers on a pipe that exit at, or ignore, what they do not know.
        Err(TransportError::Disconnected(_) | TransportError::Reconnected | TransportError::TimedOut)
            if transport.is_pipe() =>
        {
            restarted(transport, deadline).await?;
            initialize(transport, next_id(), deadline).await
        }
        Err(error) => Err(error),
    }
}

/// Waits until a process that ended at the probe runs again: it is not started
/// anew at once.
async fn restarted(transport: &dyn Transport, deadline: Instant) -> Result<(), TransportError> {
    loop {
        match transport.connect().await {
            Err(TransportError::Unreachable(_)) if Instant::now() + RESTART_POLL < deadline => {
                tokio::time::sleep(RESTART_POLL).await;
            }
            connected => return connected.map(|_| ()),
        }
    }
}

fn speaks_modern(message: &UpstreamMessage) -> bool {
    let lists_modern = |value: &Value, member: &str| {
        value[member]
            .as_array()
            .is_some_and(|versions| versions.iter().any(|version| version == Version::MODERN.as_str()))
    };
    match &message.kind {
        UpstreamKind::Result { result, .. } => serde_json::from_str::<Value>(message.text(*result))
            .is_ok_and(|result| lists_modern(&result, "supportedVersions")),
        UpstreamKind::Error { code, .. } if MODERN_CODES.contains(code) => true,
        UpstreamKind::Error { code: UNSUPPORTED_VERSION, error, .. } => {
            serde_json::from_str::<Value>(message.text(*error))
                .is_ok_and(|error| lists_modern(&error["data"], "supported"))
        }
        _ => false,
    }
}

/// Opens a session: `initialize`, then `notifications/initialized`.
pub(super) async fn initialize(transport: &dyn Transport, id: u64, deadline: Instant) -> Result<Link, TransportError> {
    let connection = transport.connect().await?;
    let opening = Link {
        era: Era::Legacy,
        version: HeaderValue::from_static(Version::NEWEST_LEGACY.as_str()),
        session: None,
        connection,
    };
    let params = json!({
        "protocolVersion": Version::NEWEST_LEGACY.as_str(),
        "capabilities": {},
        "clientInfo": client_info(),
    });
    let asked = ask(transport, &opening, id, "initialize", params, deadline).await?;
    let UpstreamKind::Result { result, .. } = asked.message.kind else {
        return Err(TransportError::Garbage("the server refused to initialize".to_owned()));
    };
    let result: Value = serde_json::from_str(asked.message.text(result)).unwrap_or_default();
    // Any revision with a handshake will do; the server has the last word.
    let version = result["protocolVersion"].as_str().and_then(|version| HeaderValue::from_str(version).ok());
    let version = version.ok_or_else(|| TransportError::Garbage("no protocolVersion was agreed on".to_owned()))?;
    let link = Link { era: Era::Legacy, version, session: asked.session, connection };
    let initialized = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    transport.notify(initialized, link.headers()).await?;
    Ok(link)
}

/// Who we are, to upstreams.
pub(super) fn client_info() -> Value {
    json!({"name": "portcullis", "version": env!("CARGO_PKG_VERSION")})
}

/// The `_meta` members of a stateless request of the gateway's own.
pub(super) fn stateless_meta() -> Value {
    json!({
        (meta::PROTOCOL_VERSION): Version::MODERN.as_str(),
        (meta::CLIENT_CAPABILITIES): {},
        (meta::CLIENT_INFO): client_info(),
    })
}

/// Sends a request of the gateway's own and waits for its response;
/// notifications on the way are nobody's and skipped.
pub(super) async fn ask(
    transport: &dyn Transport,
    link: &Link,
    id: u64,
    method: &'static str,
    mut params: Value,
    deadline: Instant,
) -> Result<Asked, TransportError> {
    let mut headers = link.headers();
    if method == "initialize" {
        // What was not yet agreed on is not claimed.
        headers = HeaderMap::new();
    }
    if link.era == Era::Modern {
        params["_meta"] = stateless_meta();
        headers.insert(mirror::METHOD, HeaderValue::from_static(method));
    }
    let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
    let outgoing = Outgoing { body: body.into(), id, connection: link.connection, headers, deadline };
    let garbage = |error: crate::mcp::answer::NotAMessage| TransportError::Garbage(error.to_string());
    let reply = timeout_at(deadline, transport.request(outgoing)).await.map_err(|_| TransportError::TimedOut)??;
    let (mut messages, session) = match reply {
        Reply::Message { message, session } => {
            return Ok(Asked { message: UpstreamMessage::scan(message).map_err(garbage)?, session });
        }
        Reply::Stream { messages, session } => (messages, session),
    };
    loop {
        let next = timeout_at(deadline, messages.next()).await.map_err(|_| TransportError::TimedOut)?;
        let message = next.unwrap_or_else(|| Err(TransportError::Disconnected("the stream ended".to_owned())))?;
        let message = UpstreamMessage::scan(message).map_err(garbage)?;
        if matches!(message.kind, UpstreamKind::Result { .. } | UpstreamKind::Error { .. }) {
            return Ok(Asked { message, session });
        }
    }
}

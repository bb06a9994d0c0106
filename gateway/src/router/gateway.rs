//! What the gateway answers for itself: who it is and what it speaks.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::offer;
use crate::backends::Backends;
use crate::backends::answer::{Answer, response};
use crate::mcp::meta;
use crate::mcp::request::McpRequest;
use crate::mcp::session::{Agreement, MAX_KEPT_BYTES, Sessions};
use crate::mcp::splice::Span;
use crate::mcp::version::{Era, Version};
use crate::rejection::Rejection;

/// How long a client may keep what `server/discover` said, in milliseconds.
const DISCOVER_TTL_MS: u64 = 60_000;

/// Agrees on a revision and opens a session.
///
/// # Errors
///
/// If the client's capabilities are more than a session keeps. A `clientInfo`
/// that is more (it may hold icons) is left out.
pub(super) async fn initialize(
    backends: &Backends,
    sessions: &Sessions,
    request: &McpRequest,
) -> Result<Answer, Rejection> {
    // Seen in the wild: `params: {}`. The client then gets the newest.
    let asked = request.params.protocol_version.as_deref().and_then(Version::parse);
    let version = asked.filter(|version| version.era() == Era::Legacy).unwrap_or(Version::NEWEST_LEGACY);
    let copy = |span| Bytes::copy_from_slice(request.text(span).as_bytes());
    let fits = |span: &Span| request.text(*span).len() <= MAX_KEPT_BYTES;
    if request.params.capabilities.is_some_and(|span| !fits(&span)) {
        return Err(Rejection::invalid_params(format!("`capabilities` may have at most {MAX_KEPT_BYTES} bytes")));
    }
    let offer = offer::of(backends, request).await;
    let session = sessions.open(Agreement {
        version,
        principal: request.principal.shared_name(),
        server: request.server.clone(),
        capabilities: request.params.capabilities.map_or_else(Bytes::new, copy),
        client_info: request.params.client_info.filter(fits).map(copy),
    });
    let mut result = json!({
        "protocolVersion": version.as_str(),
        "capabilities": offer.capabilities,
        "serverInfo": meta::server_info(),
    });
    if let Some(instructions) = offer.instructions {
        result["instructions"] = instructions.into_string().into();
    }
    let message = response(request.id_text(), &result.to_string());
    Ok(Answer::Opened { message, session: Arc::clone(&session.id) })
}

/// What a stateless client learns of us.
pub(super) async fn discover(backends: &Backends, request: &McpRequest) -> Answer {
    let offer = offer::of(backends, request).await;
    let versions: Vec<&str> = Version::ALL.iter().map(|version| version.as_str()).collect();
    let mut result = json!({
        "resultType": "complete",
        "supportedVersions": versions,
        "capabilities": offer.capabilities,
        "ttlMs": DISCOVER_TTL_MS,
        "cacheScope": "public",
        "_meta": {(meta::SERVER_INFO): meta::server_info()},
    });
    if let Some(instructions) = offer.instructions {
        result["instructions"] = instructions.into_string().into();
    }
    Answer::result(request.id_text(), &result.to_string())
}

//! Telling servers with a handshake how grave what they log must be.
//!
//! A client's own session is told what its client wants. What is shared is
//! told the lowest that anyone wants, and each call's messages are filtered.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::link::Link;
use super::links::SessionKey;
use super::{Shared, handshake};
use crate::mcp::answer::UpstreamMessage;
use crate::mcp::log_level::LogLevel;
use crate::mcp::request::McpRequest;
use crate::mcp::splice::Span;
use crate::mcp::version::Era;

/// How long a call waits for its server to take in a level.
const TIMEOUT: Duration = Duration::from_secs(2);

// === impl Shared ===

impl Shared {
    /// The level that a server must be told before the request, where it must.
    pub(super) fn untold_level(&self, request: &McpRequest, key: &SessionKey, link: &Link) -> Option<LogLevel> {
        let wanted = request.log_level().filter(|_| link.era == Era::Legacy)?;
        let is_own = matches!(key, SessionKey::Client(_)) && link.is_own();
        let is_told = link.level.get().is_some_and(|told| if is_own { told == wanted } else { told <= wanted });
        (!is_told && link.offer.has("logging")).then_some(wanted)
    }

    /// Tells the server a level.
    pub(super) async fn tell_level(&self, link: &Link, level: LogLevel, deadline: Instant) {
        // First, so that calls at the same time do not tell it again.
        link.level.set(level);
        let params = json!({"level": level.as_str()});
        let deadline = deadline.min(Instant::now() + TIMEOUT);
        let id = self.links.next_id();
        let told = handshake::ask(link, id, "logging/setLevel", params, deadline).await;
        if let Err(error) = told {
            // What it says too much is filtered. It is told again.
            link.level.clear();
            tracing::debug!(upstream = %self.settings.name, %error, "the server did not take in a log level");
        }
    }

    /// A client's session wants another level: it is told to the session that it
    /// has here.
    pub(super) async fn level_changed(&self, request: &McpRequest, deadline: Instant) {
        let Some(session) = &request.session else { return };
        let key = SessionKey::Client(session.key);
        let Some(link) = self.links.kept(&key) else { return };
        if let Some(level) = self.untold_level(request, &key, &link) {
            self.tell_level(&link, level, deadline).await;
        }
    }
}

/// Whether the client of a request wants to hear this of its server's log: a
/// stateless one nothing that it did not ask for.
pub(super) fn is_heard(request: &McpRequest, message: &UpstreamMessage, params: Option<Span>) -> bool {
    match request.log_level() {
        Some(wanted) => wanted.admits(params.map(|params| message.text(params))),
        None => request.era() == Era::Legacy,
    }
}

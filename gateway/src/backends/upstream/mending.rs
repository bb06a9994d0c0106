//! What an attempt came to: what of a failure can be mended so that the call is
//! sent again, how long to wait before that, and what is noted of its end.

use std::sync::Arc;
use std::time::Duration;

use portcullis_policies::parse_arguments;
use tokio::time::Instant;

use super::Shared;
use super::calling::Call;
use super::link::Link;
use super::sent::Sent;
use crate::backends::callee::Callee;
use crate::backends::transport::TransportError;
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::request::McpRequest;
use crate::mcp::version::Era;
use crate::metrics::CallStatus;
use crate::rejection::{Rejection, UpstreamFailureKind};

/// The mirrored headers do not fit the body (MCP 2026-07-28).
const HEADER_MISMATCH: i64 = -32020;

// === impl Shared ===

impl Shared {
    /// Agrees anew where what the call relied on is void; says whether the
    /// call, which was then turned down and not processed, is worth sending
    /// again. The client does not notice.
    pub(super) async fn mend(&self, error: &TransportError, call: &Call, link: &Arc<Link>) -> bool {
        match error {
            TransportError::SessionLost | TransportError::Reconnected => {
                self.links.forget(&call.key, link);
                true
            }
            // A server that became one of the other era; else it may have
            // meant the call, and that is not repeated.
            TransportError::Status(400..=405) => Box::pin(self.links.era_changed(link, call.deadline)).await,
            _ => false,
        }
    }

    /// The same where the server said so with a JSON-RPC error.
    pub(super) async fn mend_after_answer(
        &self,
        call: &mut Call,
        message: &UpstreamMessage,
        status: Option<u16>,
        sent: &mut Sent,
    ) -> bool {
        let UpstreamKind::Error { code, .. } = message.kind else { return false };
        sent.answered();
        match (sent.link.era, code) {
            // Turned down at the door, which a 200 would not be.
            (Era::Modern, HEADER_MISMATCH) if status == Some(400) => Box::pin(self.relist(call)).await,
            _ if sent.link.disowned_by(status, code) => {
                self.links.forget(&call.key, &sent.link);
                true
            }
            _ if matches!(status, Some(400..=405)) => Box::pin(self.links.era_changed(&sent.link, call.deadline)).await,
            _ => false,
        }
    }

    /// Looks at the list again for which headers the tool wants.
    async fn relist(&self, call: &mut Call) -> bool {
        let Some(tool) = call.callee.tool() else { return false };
        self.catalogs.tools_changed();
        let list = self.tools(call.request.abilities, call.deadline).await;
        let Some(tool) = list.ok().and_then(|list| list.get(&tool.full_name).cloned()) else { return false };
        // The client's own headers were right for the list that it knew.
        call.arguments = parse_arguments(call.request.arguments_text().as_bytes()).ok();
        call.callee = Callee::Tool(tool);
        true
    }

    /// How long to wait before another attempt; `None` if there is none to be
    /// made. An error that `is_alone` says nothing about the server to others.
    pub(super) fn pause(
        &self,
        error: &TransportError,
        is_alone: bool,
        attempts: u32,
        deadline: Instant,
    ) -> Option<Duration> {
        let asked = match error {
            TransportError::Unreachable(_) if is_alone => Duration::ZERO,
            TransportError::Unreachable(_) => {
                self.circuit.failed();
                self.up(false);
                Duration::ZERO
            }
            TransportError::Busy { retry_after } => retry_after.unwrap_or_default(),
            TransportError::Reconnected => Duration::ZERO,
            _ => return None,
        };
        if attempts >= self.settings.retry.max_attempts || self.circuit.check().is_err() {
            return None;
        }
        let pause = self.settings.retry.pause(attempts).max(asked);
        Instant::now().checked_add(pause).is_some_and(|again| again < deadline).then_some(pause)
    }

    /// Notes that the upstream can be reached. Where it could not, its list
    /// is looked at at once.
    pub(super) fn answered(&self, link: &Link) {
        if !link.is_alone() && self.circuit.succeeded() {
            self.up(true);
            self.catalogs.all_changed();
        }
    }

    /// Notes that a call failed and says how.
    pub(super) fn failed(&self, request: &McpRequest, error: &TransportError) -> Rejection {
        tracing::warn!(upstream = %self.settings.name, %error, "a call failed at the upstream");
        request.record.set_status(CallStatus::UpstreamError);
        self.metrics.upstream_request(&self.settings.name, error.kind().as_str());
        Rejection::Upstream(self.failure(error))
    }

    /// Notes that a call was not made, or not waited for.
    pub(super) fn rejected(&self, request: &McpRequest, rejection: Rejection) -> Rejection {
        request.record.set_status(CallStatus::Error);
        self.metrics.upstream_request(&self.settings.name, "cancelled");
        rejection
    }

    pub(super) fn refused_by_circuit(&self, request: &McpRequest) -> Rejection {
        request.record.set_status(CallStatus::UpstreamError);
        self.metrics.upstream_request(&self.settings.name, "circuit_open");
        Rejection::Upstream(self.failure_of(UpstreamFailureKind::Unreachable))
    }
}

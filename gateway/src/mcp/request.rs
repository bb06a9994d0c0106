//! A client's request, once it is known what it asks for.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use portcullis_policies::{Limit, Principal};
use tokio::time::Instant;

use super::envelope::Params;
use super::session::Session;
use super::splice::Span;
use super::version::{Era, Version};
use crate::record::CallRecord;
use crate::rejection::Rejection;

/// One request or notification, decoded.
#[derive(Clone)]
pub struct McpRequest {
    /// What is asked for.
    pub operation: Operation,
    /// The message as it came.
    pub body: Bytes,
    /// Its id; `None` for a notification.
    pub id: Option<Span>,
    /// What was read of its `params`.
    pub params: Params,
    /// The revision the client speaks.
    pub version: Version,
    /// Its session, where it has one.
    pub session: Option<Arc<Session>>,
    /// The one upstream that is meant, where the path names it.
    pub server: Option<Arc<str>>,
    /// Who calls.
    pub principal: Arc<Principal>,
    /// From where.
    pub client_ip: Option<IpAddr>,
    /// Whether the client takes an event stream.
    pub takes_stream: bool,
    /// When we stop working on it.
    pub deadline: Instant,
    /// How long it may take in all, as configured.
    pub timeout: Duration,
    /// `Mcp-Param-*` headers of a stateless request.
    pub mirrored: HeaderMap,
    /// What is written down of it.
    pub record: Arc<CallRecord>,
    /// The limits on the call, once policy has allowed it.
    pub limits: Arc<[Arc<Limit>]>,
    /// Which tools the caller may see, once policy has been asked.
    pub filter: ToolFilter,
    /// Why it is refused in the end, where it is allowed and within its limits:
    /// it is a call all the same, so it is decided, limited and recorded.
    pub refusal: Option<Rejection>,
}

/// Which tools a caller may see, by full name. Without an answer from policy
/// it shows none.
#[derive(Clone, Default)]
pub struct ToolFilter(Option<Shows>);

type Shows = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `initialize`.
    Initialize,
    /// `server/discover`.
    Discover,
    /// `ping`.
    Ping,
    /// `tools/list`.
    ListTools,
    /// Which models hold conversations; MCP itself has no such question.
    ListModels,
    /// `tools/call` of the tool of this full name (`UPSTREAM__TOOL`).
    CallTool {
        /// The name that policies, limits and metrics know.
        tool: Arc<str>,
    },
    /// `notifications/cancelled`: the client waits no longer.
    Cancelled,
    /// Another notification; nothing to do.
    Notified,
    /// The client ended its session (HTTP DELETE).
    SessionEnded,
}

// === impl McpRequest ===

impl McpRequest {
    /// The era of the client's revision.
    #[must_use]
    pub const fn era(&self) -> Era {
        self.version.era()
    }

    /// A part of the message as text.
    ///
    /// # Panics
    ///
    /// If the span is not of this message.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        std::str::from_utf8(&self.body[span.range()]).expect("a scanned message is UTF-8")
    }

    /// The id as the client wrote it; `null` for a notification.
    #[must_use]
    pub fn id_text(&self) -> &str {
        self.id.map_or("null", |id| self.text(id))
    }

    /// The tool that is called, if one is.
    #[must_use]
    pub const fn tool(&self) -> Option<&Arc<str>> {
        match &self.operation {
            Operation::CallTool { tool } => Some(tool),
            _ => None,
        }
    }

    /// What is called, as the client wrote it; for telling the client alone.
    #[must_use]
    pub fn called_name(&self) -> &str {
        self.params.name.as_ref().map_or("", |name| &name.text)
    }

    /// The arguments as the client wrote them; `{}` where there are none.
    #[must_use]
    pub fn arguments_text(&self) -> &str {
        self.params.arguments.map_or("{}", |span| self.text(span))
    }
}

impl fmt::Debug for McpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a caller sent stays out of logs.
        f.debug_struct("McpRequest")
            .field("method", &self.operation.method())
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

// === impl ToolFilter ===

impl ToolFilter {
    /// A filter that asks `shows`.
    pub fn new(shows: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(shows)))
    }

    /// Whether the tool of this full name is shown.
    #[must_use]
    pub fn shows(&self, tool: &str) -> bool {
        self.0.as_ref().is_some_and(|shows| shows(tool))
    }
}

impl fmt::Debug for ToolFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToolFilter")
    }
}

// === impl Operation ===

impl Operation {
    /// The JSON-RPC method, for logs and metrics.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Discover => "server/discover",
            Self::Ping => "ping",
            Self::ListTools => "tools/list",
            Self::ListModels => "models",
            Self::CallTool { .. } => "tools/call",
            Self::Cancelled => "notifications/cancelled",
            Self::Notified => "notifications",
            Self::SessionEnded => "DELETE",
        }
    }
}

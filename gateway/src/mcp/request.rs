//! A client's request, once it is known what it asks for.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use http::HeaderMap;
use portcullis_policies::{Limit, Principal};
use tokio::time::Instant;

use super::capabilities::Capabilities;
use super::log_level::LogLevel;
use super::operation::{Operation, ResourceUri, Wanted};
use super::params::{Named, Params};
use super::places::Caller;
use super::reference::Reference;
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
    pub body: ByteString,
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
    /// What the client can be asked before it has its answer.
    pub abilities: Capabilities,
    /// When we stop working on it.
    pub deadline: Instant,
    /// How long it may take in all, as configured.
    pub timeout: Duration,
    /// `Mcp-Param-*` headers of a stateless request, where it came with
    /// headers.
    pub mirrored: Option<HeaderMap>,
    /// What is written down of it.
    pub record: Arc<CallRecord>,
    /// The limits on the call, once policy has allowed it.
    pub limits: Arc<[Arc<Limit>]>,
    /// What of a list the caller may see, once policy has been asked.
    pub filter: Filter,
    /// Why it is refused in the end, where it is allowed and within its limits:
    /// it is a call all the same, so it is decided, limited and recorded.
    pub refusal: Option<Rejection>,
}

/// What a caller may see of a list. Without an answer from policy it shows
/// nothing.
#[derive(Clone, Default)]
pub struct Filter(Option<Shows>);

type Shows = Arc<dyn Fn(Wanted<'_>) -> bool + Send + Sync>;

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
        &self.body[span.range()]
    }

    /// The id as the client wrote it; `null` for a notification.
    #[must_use]
    pub fn id_text(&self) -> &str {
        self.id.map_or("null", |id| self.text(id))
    }

    /// For whom things are counted that it leaves open.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller::new(self.principal.shared_name(), self.client_ip)
    }

    /// The URI by which the client knows a resource.
    #[must_use]
    pub fn known<'a>(&self, uri: &'a ResourceUri) -> &'a Arc<str> {
        uri.known(self.server.is_some())
    }

    /// The tool that is called, if one is.
    #[must_use]
    pub const fn tool(&self) -> Option<&Arc<str>> {
        match &self.operation {
            Operation::CallTool { tool } => Some(tool),
            _ => None,
        }
    }

    /// The lowest log level that the client wants to hear during this request:
    /// a stateless one says so with each (MCP 2026-07-28, `_meta`).
    #[must_use]
    pub fn log_level(&self) -> Option<LogLevel> {
        match &self.session {
            Some(session) => session.level.get(),
            None => self.params.meta.log_level,
        }
    }

    /// Whose quota it spends, by the name that limits know.
    #[must_use]
    pub const fn spends(&self) -> Option<&Arc<str>> {
        match &self.operation {
            Operation::CallTool { tool } | Operation::Extension { tool, .. } => Some(tool),
            _ => None,
        }
    }

    /// Where the message says what is called, read or completed.
    #[must_use]
    pub fn named(&self) -> Option<&Named> {
        match &self.operation {
            Operation::ReadResource(_) | Operation::Subscribe(_) | Operation::Unsubscribe(_) => self.params.uri(),
            Operation::CompletePrompt { .. } | Operation::CompleteResource(_) => {
                self.params.reference().map(Reference::subject)
            }
            Operation::Task { .. } => self.params.task_id(),
            // What its members mean is not for us to know.
            Operation::Extension { .. } => None,
            _ => self.params.name.as_ref(),
        }
    }

    /// What is called, as the client wrote it; for telling the client alone.
    #[must_use]
    pub fn called_name(&self) -> &str {
        self.named().map_or("", |name| &name.text)
    }

    /// The arguments of a tool or prompt as the client wrote them; `{}` where
    /// there are none.
    #[must_use]
    pub fn arguments_text(&self) -> &str {
        let takes_some = matches!(self.operation, Operation::CallTool { .. } | Operation::GetPrompt { .. });
        self.params.arguments.filter(|_| takes_some).map_or("{}", |span| self.text(span))
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

// === impl Filter ===

impl Filter {
    /// A filter that asks `shows`.
    pub fn new(shows: impl Fn(Wanted<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(shows)))
    }

    /// Whether this is shown.
    #[must_use]
    pub fn shows(&self, wanted: Wanted<'_>) -> bool {
        self.0.as_ref().is_some_and(|shows| shows(wanted))
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter")
    }
}

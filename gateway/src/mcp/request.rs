//! A client's request, once it is known what it asks for.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use portcullis_policies::{Limit, Principal, Target};
use tokio::time::Instant;

use super::asks::Said;
use super::capabilities::Capabilities;
use super::log_level::LogLevel;
use super::params::{Named, Params};
use super::reference::Reference;
use super::session::Session;
use super::splice::Span;
use super::subscription_filter::SubscriptionFilter;
use super::task::{Task, TaskVerb};
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

/// What a caller wants and policy decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// A tool, by its full name.
    Tool(&'a str),
    /// A prompt, by its full name.
    Prompt(&'a str),
    /// A resource, or a template of some, by both of its URIs.
    Resource(&'a ResourceUri),
    /// A task, by the full name of the tool that made it.
    Task(&'a str),
    /// A method of an extension, as if it were a tool of that full name.
    Method(&'a str),
}

/// A resource by its two URIs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceUri {
    /// At the upstream.
    pub own: Arc<str>,
    /// Where several upstreams stand behind one endpoint.
    pub public: Arc<str>,
    /// The upstream that the public one names; `None` where it names none.
    pub upstream: Option<Arc<str>>,
}

/// What there are lists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemKind {
    /// `tools/list`.
    Tool,
    /// `prompts/list`.
    Prompt,
    /// `resources/list`.
    Resource,
    /// `resources/templates/list`.
    Template,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `initialize`.
    Initialize,
    /// `server/discover`.
    Discover,
    /// `ping`.
    Ping,
    /// One of the lists.
    List(ItemKind),
    /// Which models hold conversations; MCP itself has no such question.
    ListModels,
    /// `tools/call` of the tool of this full name (`UPSTREAM__TOOL`).
    CallTool {
        /// The name that policies, limits and metrics know.
        tool: Arc<str>,
    },
    /// `prompts/get` of the prompt of this full name.
    GetPrompt {
        /// The name that policies know.
        prompt: Arc<str>,
    },
    /// `resources/read`.
    ReadResource(ResourceUri),
    /// `resources/subscribe`.
    Subscribe(ResourceUri),
    /// `resources/unsubscribe`.
    Unsubscribe(ResourceUri),
    /// `logging/setLevel`.
    SetLevel(LogLevel),
    /// `subscriptions/listen`.
    Listen(Box<SubscriptionFilter>),
    /// `completion/complete` of an argument of the prompt of this full name.
    CompletePrompt {
        /// The name that policies know.
        prompt: Arc<str>,
    },
    /// `completion/complete` of a variable of the template of this URI.
    CompleteResource(ResourceUri),
    /// Something about a task.
    Task {
        /// What.
        verb: TaskVerb,
        /// Which one.
        task: Arc<Task>,
    },
    /// `tasks/list`.
    ListTasks,
    /// A method that none of ours is, of an extension that one upstream has.
    Extension {
        /// The upstream.
        upstream: Arc<str>,
        /// The method.
        method: Arc<str>,
        /// The two together, as if it were a tool.
        tool: Arc<str>,
    },
    /// The stream of what comes of its own accord (HTTP GET).
    OpenStream {
        /// `Last-Event-ID`.
        after: Option<Box<str>>,
    },
    /// The client's answer to something it was asked.
    Responded {
        /// The id of the question.
        id: Span,
        /// What it answers.
        said: Said,
    },
    /// `notifications/roots/list_changed`.
    RootsChanged,
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

// === impl Wanted ===

impl<'a> Wanted<'a> {
    /// By what policies know it. A resource has two names: see
    /// [`ResourceUri`].
    pub fn targets(self) -> impl Iterator<Item = Target<'a>> {
        let (first, second) = match self {
            Self::Tool(name) | Self::Task(name) | Self::Method(name) => (Target::Tool(name), None),
            Self::Prompt(name) => (Target::Prompt(name), None),
            Self::Resource(uri) => {
                let public = (uri.public != uri.own).then(|| Target::Resource(&uri.public));
                (Target::Resource(&uri.own), public)
            }
        };
        std::iter::once(first).chain(second)
    }
}

// === impl ItemKind ===

impl ItemKind {
    /// The method that lists them.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tool => "tools/list",
            Self::Prompt => "prompts/list",
            Self::Resource => "resources/list",
            Self::Template => "resources/templates/list",
        }
    }

    /// The member of its result that is the list.
    #[must_use]
    pub const fn member(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource => "resources",
            Self::Template => "resourceTemplates",
        }
    }

    /// The list of this method.
    #[must_use]
    pub fn of_method(method: &str) -> Option<Self> {
        [Self::Tool, Self::Prompt, Self::Resource, Self::Template].into_iter().find(|kind| kind.method() == method)
    }
}

// === impl Operation ===

impl Operation {
    /// What policy decides about before it is done; `None` where everybody may.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted<'_>> {
        match self {
            Self::CallTool { tool } => Some(Wanted::Tool(tool)),
            Self::Extension { tool, .. } => Some(Wanted::Method(tool)),
            Self::Task { task, .. } => Some(Wanted::Task(&task.tool)),
            Self::GetPrompt { prompt } | Self::CompletePrompt { prompt } => Some(Wanted::Prompt(prompt)),
            Self::ReadResource(uri) | Self::Subscribe(uri) | Self::CompleteResource(uri) => Some(Wanted::Resource(uri)),
            // What a list or a stream shows is decided item by item.
            Self::List(_) | Self::ListTasks | Self::ListModels | Self::OpenStream { .. } | Self::Listen(_) => None,
            Self::Initialize
            | Self::Discover
            | Self::Ping
            | Self::Unsubscribe(_)
            | Self::SetLevel(_)
            | Self::Responded { .. }
            | Self::RootsChanged
            | Self::Cancelled
            | Self::Notified
            | Self::SessionEnded => None,
        }
    }

    /// The JSON-RPC method, for logs and metrics.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Discover => "server/discover",
            Self::Ping => "ping",
            Self::List(kind) => kind.method(),
            Self::ListModels => "models",
            Self::CallTool { .. } => "tools/call",
            Self::GetPrompt { .. } => "prompts/get",
            Self::ReadResource(_) => "resources/read",
            Self::Subscribe(_) => "resources/subscribe",
            Self::Unsubscribe(_) => "resources/unsubscribe",
            Self::SetLevel(_) => "logging/setLevel",
            Self::Listen(_) => "subscriptions/listen",
            Self::CompletePrompt { .. } | Self::CompleteResource(_) => "completion/complete",
            Self::Task { verb, .. } => verb.method(),
            Self::ListTasks => "tasks/list",
            Self::Extension { .. } => "extension",
            Self::OpenStream { .. } => "GET",
            Self::Responded { .. } => "response",
            Self::RootsChanged => "notifications/roots/list_changed",
            Self::Cancelled => "notifications/cancelled",
            Self::Notified => "notifications",
            Self::SessionEnded => "DELETE",
        }
    }
}

//! What a client's request asks for.

use std::sync::Arc;

use portcullis_policies::Target;

use super::asks::Said;
use super::log_level::LogLevel;
use super::splice::Span;
use super::subscription_filter::SubscriptionFilter;
use super::task::{Task, TaskVerb};

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

// === impl ResourceUri ===

impl ResourceUri {
    /// By which a client knows it: one that knows its upstream alone, or all.
    #[must_use]
    pub const fn known(&self, to_one: bool) -> &Arc<str> {
        if to_one { &self.own } else { &self.public }
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

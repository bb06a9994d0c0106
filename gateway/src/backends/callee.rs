//! What a request is sent to an upstream for, by the names it has there.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderValue;

use super::tool::Tool;
use crate::mcp::json::quoted;
use crate::mcp::mirror;
use crate::mcp::operation::Operation;
use crate::mcp::task::Task;

/// What is called, read or completed.
#[derive(Clone, Debug)]
pub enum Callee {
    /// A tool.
    Tool(Arc<Tool>),
    /// A prompt, by its name at the upstream.
    Prompt(Arc<str>),
    /// A resource or a template, by its URI at the upstream.
    Resource(Arc<str>),
    /// A task.
    Task(Arc<Task>),
    /// A method of an extension.
    Method(Arc<str>),
}

// === impl Callee ===

impl Callee {
    /// The tool, where it is one.
    #[must_use]
    pub const fn tool(&self) -> Option<&Arc<Tool>> {
        match self {
            Self::Tool(tool) => Some(tool),
            Self::Prompt(_) | Self::Resource(_) | Self::Task(_) | Self::Method(_) => None,
        }
    }

    /// Its name or URI at the upstream, as JSON.
    #[must_use]
    pub fn quoted(&self) -> Cow<'_, str> {
        match self {
            Self::Tool(tool) => Cow::Borrowed(&tool.upstream_name),
            Self::Prompt(own) | Self::Resource(own) | Self::Method(own) => Cow::Owned(quoted(own)),
            Self::Task(task) => Cow::Owned(quoted(&task.own)),
        }
    }

    /// The same as the header `Mcp-Name`; a completion has none.
    #[must_use]
    pub fn header(&self, operation: &Operation) -> Option<HeaderValue> {
        match (self, operation) {
            (_, Operation::CompletePrompt { .. } | Operation::CompleteResource(_)) => None,
            (Self::Tool(tool), _) => Some(tool.upstream_name_header.clone()),
            (Self::Prompt(own) | Self::Resource(own), _) => Some(mirror::encode(own)),
            (Self::Task(task), _) => Some(mirror::encode(&task.own)),
            (Self::Method(_), _) => None,
        }
    }
}

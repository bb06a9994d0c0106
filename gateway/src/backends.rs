//! Whatever serves a tool: upstream MCP servers, and what lives in this process.

pub mod answer;
#[cfg(feature = "chat")]
pub mod chat;
pub mod chat_bounds;
pub mod settings;
#[cfg(test)]
pub(crate) mod test_backend;
pub mod tool;
pub mod transport;
pub mod upstream;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use foldhash::quality::RandomState;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::mcp::request::McpRequest;
use crate::rejection::{Rejection, UpstreamFailure};
use answer::Answer;
use tool::{Tool, ToolList, split_name};

/// Something that has tools and runs them.
///
/// The router knows nothing else of what stands behind it. An upstream is
/// one; a model that answers `chat` in this process is another.
pub trait Backend: Send + Sync + fmt::Debug {
    /// Its name in the configuration.
    fn name(&self) -> &Arc<str>;

    /// Since when it is served, where it is a model that holds conversations
    /// and its one tool bears its name; `None` for anything else.
    fn model_since(&self) -> Option<SystemTime> {
        None
    }

    /// Its tools as last seen, without waiting; `None` while never seen.
    fn known_tools(&self) -> Option<Arc<ToolList>>;

    /// Its tools.
    ///
    /// # Errors
    ///
    /// If they are not known by the deadline.
    fn tools(&self, deadline: Instant) -> BoxFuture<'_, Result<Arc<ToolList>, UpstreamFailure>>;

    /// A tool by its full name, looked for anew where it is not known.
    ///
    /// # Errors
    ///
    /// If the backend's tools are not known by the deadline.
    fn find<'a>(
        &'a self,
        full_name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Arc<Tool>>, UpstreamFailure>>;

    /// Runs a tool, no longer than its caller waits for it: see
    /// [`Cancellable`](crate::mcp::in_flight::Cancellable).
    ///
    /// # Errors
    ///
    /// If the call is refused, or fails before anything was answered.
    fn call(
        self: Arc<Self>,
        request: Box<McpRequest>,
        tool: Arc<Tool>,
    ) -> BoxFuture<'static, Result<Answer, Rejection>>;

    /// A client's session ended.
    fn session_ended(&self, session: u128) -> BoxFuture<'_, ()>;

    /// No new calls come: it is no longer in the configuration, or a successor
    /// of the same name is.
    fn retire(&self);

    /// Ends connections, sessions and processes.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// The backends of a configuration, and how tool names lead to them.
#[derive(Debug)]
pub struct Backends {
    /// In configured order.
    all: Vec<Arc<dyn Backend>>,
    by_name: HashMap<Arc<str>, Arc<dyn Backend>, RandomState>,
    separator: Arc<str>,
}

// === impl Backends ===

impl Backends {
    /// Backends in the order in which their tools are listed.
    #[must_use]
    pub fn new(all: Vec<Arc<dyn Backend>>, separator: Arc<str>) -> Self {
        let by_name = all.iter().map(|backend| (Arc::clone(backend.name()), Arc::clone(backend))).collect();
        Self { all, by_name, separator }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Arc<dyn Backend>] {
        &self.all
    }

    /// The backend of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<dyn Backend>> {
        self.by_name.get(name)
    }

    /// The models that hold conversations, and since when each is served.
    pub fn models(&self) -> impl Iterator<Item = (&Arc<str>, SystemTime)> {
        self.all.iter().filter_map(|backend| Some((backend.name(), backend.model_since()?)))
    }

    /// Whether a model of this name holds conversations.
    #[must_use]
    pub fn has_model(&self, name: &str) -> bool {
        self.named(name).is_some_and(|backend| backend.model_since().is_some())
    }

    /// The backend that a tool's full name points to: that before the first
    /// separator, or one whose only tool it is.
    #[must_use]
    pub fn of_tool(&self, full_name: &str) -> Option<&Arc<dyn Backend>> {
        let upstream = split_name(full_name, &self.separator).map_or(full_name, |(upstream, _)| upstream);
        self.named(upstream)
    }

    /// A tool that is known without asking anybody, and who has it.
    #[must_use]
    pub fn known_tool(&self, full_name: &str) -> Option<(&Arc<dyn Backend>, Arc<Tool>)> {
        let backend = self.of_tool(full_name)?;
        Some((backend, backend.known_tools()?.get(full_name).cloned()?))
    }
}

//! Whatever serves a tool: upstream MCP servers, and what lives in this process.

pub mod answer;
pub mod beside;
pub mod callee;
pub mod calls;
#[cfg(feature = "chat")]
pub mod chat;
pub mod chat_bounds;
pub mod item;
pub mod offer;
pub mod settings;
#[cfg(test)]
pub(crate) mod test_backend;
pub mod tool;
pub mod transport;
pub mod upstream;
pub mod uri;

use std::collections::HashMap;
use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::SystemTime;

use foldhash::quality::RandomState;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::mcp::capabilities::Capabilities;
use crate::mcp::changes::{Changes, Moment};
use crate::mcp::operation::ItemKind;
use crate::mcp::request::McpRequest;
use crate::mcp::session::Session;
use crate::mcp::subscriptions::Lease;
use crate::mcp::update::Update;
use crate::mcp::version::Era;
use crate::rejection::{Rejection, UpstreamFailure};
use answer::Answer;
use callee::Callee;
use item::ItemList;
use offer::Offer;
use tool::{Tool, ToolList, split_name};

/// Hears of changes of a resource.
pub type Hear = Arc<dyn Fn(&Update<'_>) + Send + Sync>;

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

    /// Its tools as last seen by clients of these abilities, without waiting;
    /// `None` while never seen.
    fn known_tools(&self, abilities: Capabilities) -> Option<Arc<ToolList>>;

    /// Its tools for clients of these abilities: servers show some only to who
    /// can be asked what they ask.
    ///
    /// # Errors
    ///
    /// If they are not known by the deadline.
    fn tools(
        &self,
        abilities: Capabilities,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Arc<ToolList>, UpstreamFailure>>;

    /// A tool by its full name, looked for anew where it is not known.
    ///
    /// # Errors
    ///
    /// If the backend's tools are not known by the deadline.
    fn find<'a>(
        &'a self,
        full_name: &'a str,
        abilities: Capabilities,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Arc<Tool>>, UpstreamFailure>>;

    /// What it offers, as last seen; asked for where it was never seen. `None`
    /// if that is not known by the deadline.
    fn offer(&self, _deadline: Instant) -> BoxFuture<'_, Option<Arc<Offer>>> {
        Box::pin(ready(Some(Arc::new(Offer::tools()))))
    }

    /// The same without waiting; `None` while never seen.
    fn known_offer(&self) -> Option<Arc<Offer>> {
        None
    }

    /// The tasks that the client of a request has made here, each as JSON.
    ///
    /// # Errors
    ///
    /// If they are not known by the deadline.
    fn tasks<'a>(
        &'a self,
        _request: &'a McpRequest,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<String>, UpstreamFailure>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    /// Its prompts, resources or templates.
    ///
    /// # Errors
    ///
    /// If they are not known by the deadline.
    fn items(&self, _kind: ItemKind, _deadline: Instant) -> BoxFuture<'_, Result<Arc<ItemList>, UpstreamFailure>> {
        Box::pin(ready(Ok(Arc::default())))
    }

    /// The name at the backend of a prompt of this full name, looked for anew
    /// where it is not known.
    ///
    /// # Errors
    ///
    /// If the backend's prompts are not known by the deadline.
    fn find_prompt<'a>(
        &'a self,
        _full_name: &'a str,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Arc<str>>, UpstreamFailure>> {
        Box::pin(ready(Ok(None)))
    }

    /// When its lists changed, as far as it is heard of; `None` where they
    /// never do.
    fn changes(&self) -> Option<watch::Receiver<Changes>> {
        None
    }

    /// Has `hear` hear of changes of a resource, by its URI here, until the lease
    /// is dropped.
    ///
    /// # Errors
    ///
    /// If it takes no such subscription.
    fn subscribe<'a>(
        &'a self,
        request: &'a McpRequest,
        _uri: Arc<str>,
        _hear: Hear,
    ) -> BoxFuture<'a, Result<Lease, Rejection>> {
        let uri = request.called_name().to_owned();
        Box::pin(ready(Err(Rejection::UnknownResource { uri })))
    }

    /// The client of a session has begun to listen to what is said of its own
    /// accord.
    fn listened_to<'a>(&'a self, _session: &'a Arc<Session>) -> BoxFuture<'a, ()> {
        Box::pin(ready(()))
    }

    /// The client session of a request wants to hear of another level of logs
    /// from now on.
    fn level_changed<'a>(&'a self, _request: &'a McpRequest, _deadline: Instant) -> BoxFuture<'a, ()> {
        Box::pin(ready(()))
    }

    /// Calls, reads or completes something, no longer than its caller waits for it: see
    /// [`Cancellable`](crate::mcp::in_flight::Cancellable).
    ///
    /// # Errors
    ///
    /// If the call is refused, or fails before anything was answered.
    fn call(self: Arc<Self>, request: Box<McpRequest>, callee: Callee)
    -> BoxFuture<'static, Result<Answer, Rejection>>;

    /// The roots of a client session changed.
    fn roots_changed(&self, _session: u128) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }

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
    /// By what names them in [URIs](uri).
    by_label: HashMap<String, Arc<dyn Backend>, RandomState>,
    separator: Arc<str>,
    since: Moment,
}

// === impl Backends ===

impl Backends {
    /// Backends in the order in which their tools are listed.
    #[must_use]
    pub fn new(all: Vec<Arc<dyn Backend>>, separator: Arc<str>) -> Self {
        let by_name = all.iter().map(|backend| (Arc::clone(backend.name()), Arc::clone(backend))).collect();
        let upstreams = all.iter().filter(|backend| backend.model_since().is_none());
        let by_label = upstreams.map(|backend| (uri::label(backend.name()), Arc::clone(backend))).collect();
        Self { all, by_name, by_label, separator, since: Moment::next() }
    }

    /// Since when they are the backends, which tells generations apart.
    #[must_use]
    pub const fn since(&self) -> Moment {
        self.since
    }

    /// When the lists of all of them changed, or those of the one that is
    /// named.
    #[must_use]
    pub fn changes(&self, one: Option<&str>) -> Vec<watch::Receiver<Changes>> {
        let asked = self.all.iter().filter(|backend| one.is_none_or(|name| **backend.name() == *name));
        asked.filter_map(|backend| backend.changes()).collect()
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

    /// The upstream that this [label](uri::label) names in URIs.
    #[must_use]
    pub fn labelled(&self, label: &str) -> Option<&Arc<dyn Backend>> {
        self.by_label.get(label)
    }

    /// The backend that a full name of a tool or prompt points to: that before
    /// the first separator, or one whose only tool it is.
    #[must_use]
    pub fn of_name(&self, full_name: &str) -> Option<&Arc<dyn Backend>> {
        let upstream = split_name(full_name, &self.separator).map_or(full_name, |(upstream, _)| upstream);
        self.named(upstream)
    }

    /// The one backend to which a method belongs that the protocol does not
    /// have: that with an extension whose name ends as the method begins, or
    /// else the only one with extensions of its own. `server` is the one that
    /// the path names.
    #[must_use]
    pub fn of_extension(&self, method: &str, era: Era, server: Option<&str>) -> Option<&Arc<dyn Backend>> {
        let asked = self.all.iter().filter(|backend| server.is_none_or(|name| **backend.name() == *name));
        let extended: Vec<_> = asked
            .filter_map(|backend| Some((backend, backend.known_offer().filter(|offer| offer.era == era)?)))
            .filter(|(_, offer)| offer.own_extensions().next().is_some())
            .collect();
        let space = method.split_once('/').map(|(space, _)| space);
        let is_named = |name: &str| space.is_some() && name.rsplit_once('/').map(|(_, last)| last) == space;
        let named: Vec<_> =
            extended.iter().filter(|(_, offer)| offer.own_extensions().any(|(name, _)| is_named(name))).collect();
        match (named.as_slice(), extended.as_slice()) {
            ([(backend, _)], _) | ([], [(backend, _)]) => Some(backend),
            _ => None,
        }
    }

    /// A tool that is known without asking anybody, and who has it.
    #[must_use]
    pub fn known_tool(&self, full_name: &str, abilities: Capabilities) -> Option<(&Arc<dyn Backend>, Arc<Tool>)> {
        let backend = self.of_name(full_name)?;
        Some((backend, backend.known_tools(abilities)?.get(full_name).cloned()?))
    }
}

//! One upstream MCP server, whatever its revision and transport.
//!
//! [`Upstream`] keeps what was agreed on with the server, its
//! catalogue of tools and the circuit that spares a dead one, and carries a
//! call there and back: translated where client and server are
//! of different eras, relayed as its messages arrive.

mod asked;
mod asking;
mod calling;
mod catalog;
mod catalogs;
mod circuit;
mod core_tasks;
mod handshake;
mod hearing;
mod input_requests;
mod inquiries;
mod introduction;
mod link;
mod links;
mod listing;
mod logging;
mod mending;
mod parking;
mod pipes;
mod place;
mod polling;
mod relay;
mod rounds;
mod sampling;
mod sent;
mod single_flight;
mod state;
mod subscribers;
mod subscribing;
mod tasks;
mod tending;
mod translate;
mod watching;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use self::calling::Call;
use self::catalog::Catalog;
use self::catalogs::Catalogs;
use self::circuit::Circuit;
use self::inquiries::Inquiries;
use self::links::Links;
use self::listing::Listing;
use self::parking::Parked;
use self::state::State;
pub use self::state::elsewhere;
use self::subscribers::Subscribers;
use self::subscribing::Honoured;
use self::watching::Watches;
use super::answer::Answer;
use super::callee::Callee;
use super::calls::Calls;
use super::item::ItemList;
use super::offer::Offer;
use super::settings::UpstreamSettings;
use super::tool::{Tool, ToolList, ToolNaming};
use super::transport::{Transport, TransportError};
use super::uri;
use super::{Backend, Hear};
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::capabilities::Capabilities;
use crate::mcp::changes::Changes;
use crate::mcp::operation::ItemKind;
use crate::mcp::request::McpRequest;
use crate::mcp::session::Session;
use crate::mcp::splice::Edits;
use crate::mcp::subscriptions::Lease;
use crate::mcp::version::Era;
use crate::metrics::Metrics;
use crate::rejection::{Rejection, UpstreamFailure, UpstreamFailureKind};
use crate::seal::KeyRing;

/// An upstream MCP server.
#[derive(Debug)]
pub struct Upstream {
    shared: Arc<Shared>,
    tending: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    settings: UpstreamSettings,
    /// What names the upstream in URIs.
    label: String,
    transport: Arc<dyn Transport>,
    links: Links,
    circuit: Circuit,
    catalogs: Catalogs,
    /// Who hears of resources by the gateway's own session.
    subscribers: Subscribers,
    honoured: watch::Sender<Honoured>,
    /// The streams of clients' own sessions.
    watches: Watches,
    /// Calls that wait for input.
    parked: Parked,
    /// What tasks ask of stateless clients.
    inquiries: Inquiries,
    /// Places of requests that wait for the end of a task.
    waiting: Arc<Semaphore>,
    keys: Arc<KeyRing>,
    calls: Arc<dyn Calls>,
    metrics: Arc<Metrics>,
    /// Whether no new calls come.
    retired: AtomicBool,
}

// === impl Upstream ===

impl Upstream {
    /// Starts to look after an upstream: its tools are fetched at once, and
    /// again whenever they change.
    ///
    /// # Errors
    ///
    /// If a glob of the tool selection is malformed.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn start(
        settings: UpstreamSettings,
        separator: &str,
        transport: Arc<dyn Transport>,
        metrics: Arc<Metrics>,
        keys: Arc<KeyRing>,
        calls: Arc<dyn Calls>,
    ) -> Result<Arc<Self>, globset::Error> {
        let naming = ToolNaming::new(Arc::clone(&settings.name), separator, settings.tools.clone())?;
        let shared = Arc::new(Shared {
            links: Links::new(Arc::clone(&settings.name), Arc::clone(&transport)),
            circuit: Circuit::new(settings.retry),
            catalogs: Catalogs::new(naming, &settings.name, separator),
            label: uri::label(&settings.name),
            subscribers: Subscribers::default(),
            honoured: watch::Sender::default(),
            watches: Watches::default(),
            parked: Parked::default(),
            inquiries: Inquiries::default(),
            waiting: Arc::new(Semaphore::new(tasks::MAX_WAITING)),
            keys,
            calls,
            settings,
            transport,
            metrics,
            retired: AtomicBool::new(false),
        });
        let tending = tokio::spawn(tending::tend(Arc::clone(&shared)));
        Ok(Arc::new(Self { shared, tending }))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.tending.abort();
        self.shared.watches.end_all();
    }
}

impl Backend for Upstream {
    fn name(&self) -> &Arc<str> {
        &self.shared.settings.name
    }

    fn known_tools(&self, abilities: Capabilities) -> Option<Arc<ToolList>> {
        match self.shared.catalogs.tools_for(self.shared.answering(abilities)) {
            None => self.shared.catalogs.tools().known(),
            Some(tools) => tools.known(),
        }
    }

    fn tools(
        &self,
        abilities: Capabilities,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Arc<ToolList>, UpstreamFailure>> {
        Box::pin(async move {
            let shared = &self.shared;
            shared.circuit.check().map_err(|_| shared.failure_of(UpstreamFailureKind::Unreachable))?;
            shared.tools(abilities, deadline).await.map_err(|error| shared.failure(&error))
        })
    }

    fn offer(&self, deadline: Instant) -> BoxFuture<'_, Option<Arc<Offer>>> {
        Box::pin(async move {
            let links = &self.shared.links;
            if let Some(offer) = links.offer() {
                return Some(offer);
            }
            self.shared.circuit.check().ok()?;
            Some(Arc::clone(&links.own(deadline).await.ok()?.offer))
        })
    }

    fn known_offer(&self) -> Option<Arc<Offer>> {
        self.shared.links.offer()
    }

    fn tasks<'a>(
        &'a self,
        request: &'a McpRequest,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<String>, UpstreamFailure>> {
        Box::pin(self.shared.tasks(request, deadline))
    }

    fn items(&self, kind: ItemKind, deadline: Instant) -> BoxFuture<'_, Result<Arc<ItemList>, UpstreamFailure>> {
        Box::pin(async move {
            let shared = &self.shared;
            let Some(catalog) = shared.catalogs.of(kind) else { return Ok(Arc::default()) };
            shared.circuit.check().map_err(|_| shared.failure_of(UpstreamFailureKind::Unreachable))?;
            let list = catalog.fresh(&shared.links, deadline).await;
            list.map_err(|error| shared.failure(&error))
        })
    }

    fn find_prompt<'a>(
        &'a self,
        full_name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Arc<str>>, UpstreamFailure>> {
        Box::pin(async move {
            let prompts = &self.shared.catalogs.prompts;
            let known = prompts.known().and_then(|list| list.get(full_name).cloned());
            let found = match known {
                Some(item) => Some(item),
                None => self.shared.search(prompts, false, deadline).await?.get(full_name).cloned(),
            };
            Ok(found.map(|item| Arc::clone(item.name.own())))
        })
    }

    fn find<'a>(
        &'a self,
        full_name: &'a str,
        abilities: Capabilities,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Arc<Tool>>, UpstreamFailure>> {
        Box::pin(async move {
            let (shared, catalogs) = (&self.shared, &self.shared.catalogs);
            let list = match catalogs.tools_for(shared.answering(abilities)) {
                None => shared.search(catalogs.tools(), false, deadline).await?,
                // Looked at over a pipe that nobody else has.
                Some(tools) => shared.search(&tools, shared.transport.is_pipe(), deadline).await?,
            };
            Ok(list.get(full_name).cloned())
        })
    }

    fn changes(&self) -> Option<watch::Receiver<Changes>> {
        Some(self.shared.catalogs.changes())
    }

    fn call(
        self: Arc<Self>,
        request: Box<McpRequest>,
        callee: Callee,
    ) -> BoxFuture<'static, Result<Answer, Rejection>> {
        Box::pin(Arc::clone(&self.shared).call(request, callee))
    }

    fn subscribe<'a>(
        &'a self,
        request: &'a McpRequest,
        uri: Arc<str>,
        hear: Hear,
    ) -> BoxFuture<'a, Result<Lease, Rejection>> {
        Box::pin(self.shared.subscribe(request, uri, hear))
    }

    fn listened_to<'a>(&'a self, session: &'a Arc<Session>) -> BoxFuture<'a, ()> {
        Box::pin(self.shared.listened_to(session))
    }

    fn level_changed<'a>(&'a self, request: &'a McpRequest, deadline: Instant) -> BoxFuture<'a, ()> {
        Box::pin(self.shared.level_changed(request, deadline))
    }

    fn roots_changed(&self, session: u128) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.links.roots_changed(session))
    }

    fn session_ended(&self, session: u128) -> BoxFuture<'_, ()> {
        self.shared.watches.end(session);
        Box::pin(self.shared.links.end_kept(session))
    }

    fn retire(&self) {
        self.shared.retired.store(true, Ordering::Relaxed);
        self.tending.abort();
        self.shared.watches.end_all();
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.retire();
            // At the same time: a process may take its time to end.
            tokio::join!(self.shared.links.end_all(), self.shared.transport.close());
        })
    }
}

// === impl Shared ===

impl Shared {
    /// What can be asked of a client, or of the gateway in its place.
    fn answering(&self, abilities: Capabilities) -> Capabilities {
        if self.settings.sampling.is_some() { abilities.with_sampling() } else { abilities }
    }

    /// The tools that clients of these abilities see.
    async fn tools(&self, abilities: Capabilities, deadline: Instant) -> Result<Arc<ToolList>, TransportError> {
        match self.catalogs.tools_for(self.answering(abilities)) {
            None => self.catalogs.tools().fresh(&self.links, deadline).await,
            Some(tools) => tools.fresh(&self.links, deadline).await,
        }
    }

    /// What of a response its client is to bring back, and so gets sealed: the
    /// `requestState`, where it is a stateless client, and ids of tasks.
    fn sealed(&self, call: &Call, message: &UpstreamMessage) -> Result<Edits, Rejection> {
        let UpstreamKind::Result { result, members, .. } = &message.kind else { return Ok(Edits::new()) };
        let wants_input = members.wants_input && call.request.era() == Era::Modern;
        let Some(place) = members.request_state.filter(|_| wants_input) else {
            return self.task_ids(call, message, *result, members);
        };
        let state = State::Relayed(message.text(place).to_owned());
        Ok(vec![(place, state.seal(&self.keys, &call.request, &call.callee, &self.settings.name))])
    }

    /// Looks for what is not on a list, waiting out short outages; `is_alone`
    /// says whether those say nothing about the server to others.
    async fn search<L: Listing>(
        &self,
        catalog: &Catalog<L>,
        is_alone: bool,
        deadline: Instant,
    ) -> Result<Arc<L::List>, UpstreamFailure> {
        let deadline = deadline.min(Instant::now() + self.settings.timeout);
        let mut attempts = 0;
        loop {
            self.circuit.check().map_err(|_| {
                self.metrics.upstream_request(&self.settings.name, "circuit_open");
                self.failure_of(UpstreamFailureKind::Unreachable)
            })?;
            let error = match catalog.searched(&self.links, deadline).await {
                Ok(list) => return Ok(list),
                Err(error) => error,
            };
            attempts += 1;
            let Some(pause) = self.pause(&error, is_alone, attempts, deadline) else {
                self.metrics.upstream_request(&self.settings.name, error.kind().as_str());
                return Err(self.failure(&error));
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Says whether the upstream answers, unless a successor of the same name
    /// does by now.
    fn up(&self, is_up: bool) {
        if !self.retired.load(Ordering::Relaxed) {
            self.metrics.upstream_up(&self.settings.name, is_up);
        }
    }

    fn failure(&self, error: &TransportError) -> UpstreamFailure {
        let mut failure = self.failure_of(error.kind());
        if let TransportError::Busy { retry_after: Some(asked) } = error {
            failure.retry_after = failure.retry_after.max(*asked);
        }
        failure
    }

    fn failure_of(&self, kind: UpstreamFailureKind) -> UpstreamFailure {
        UpstreamFailure { upstream: Arc::clone(&self.settings.name), kind, retry_after: self.circuit.retry_after() }
    }
}

#[cfg(test)]
mod tests;

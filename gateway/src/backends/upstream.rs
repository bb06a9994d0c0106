//! One upstream MCP server, whatever its revision and transport.
//!
//! [`Upstream`] keeps what was agreed on with the server, its
//! catalogue of tools and the circuit that spares a dead one, and carries a
//! call there and back: translated where client and server are
//! of different eras, relayed as its messages arrive.

mod catalog;
mod circuit;
mod handshake;
mod in_flight;
mod link;
mod links;
mod relay;
mod tending;
mod translate;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use portcullis_policies::parse_arguments;
use serde_json::Value;
use tokio::time::Instant;

use self::catalog::Catalog;
use self::circuit::Circuit;
use self::in_flight::{InFlight, InFlightCall};
use self::link::Link;
use self::links::{Links, SessionKey};
use self::relay::{Relay, until_cancelled};
use super::Backend;
use super::answer::Answer;
use super::settings::UpstreamSettings;
use super::tool::{Tool, ToolList, ToolNaming};
use super::transport::{Outgoing, Reply, Transport, TransportError};
use crate::mcp::answer::UpstreamMessage;
use crate::mcp::arguments::MAX_CHECKED_BYTES;
use crate::mcp::request::McpRequest;
use crate::metrics::{CallStatus, Metrics};
use crate::rejection::{Rejection, UpstreamFailure, UpstreamFailureKind};

/// An upstream MCP server.
#[derive(Debug)]
pub struct Upstream {
    shared: Arc<Shared>,
    tending: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    settings: UpstreamSettings,
    transport: Arc<dyn Transport>,
    links: Links,
    circuit: Circuit,
    catalog: Catalog,
    in_flight: Arc<InFlight>,
    metrics: Arc<Metrics>,
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
    ) -> Result<Arc<Self>, globset::Error> {
        let naming = ToolNaming::new(Arc::clone(&settings.name), separator, settings.tools.clone())?;
        let shared = Arc::new(Shared {
            links: Links::new(Arc::clone(&transport)),
            circuit: Circuit::new(settings.retry),
            catalog: Catalog::new(naming),
            in_flight: Arc::default(),
            settings,
            transport,
            metrics,
        });
        let tending = tokio::spawn(tending::tend(Arc::clone(&shared)));
        Ok(Arc::new(Self { shared, tending }))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.tending.abort();
    }
}

impl Backend for Upstream {
    fn name(&self) -> &Arc<str> {
        &self.shared.settings.name
    }

    fn known_tools(&self) -> Option<Arc<ToolList>> {
        self.shared.catalog.known()
    }

    fn tools(&self, deadline: Instant) -> BoxFuture<'_, Result<Arc<ToolList>, UpstreamFailure>> {
        Box::pin(async move {
            let shared = &self.shared;
            shared.circuit.check().map_err(|_| shared.failure(UpstreamFailureKind::Unreachable))?;
            let list = shared.catalog.fresh(shared.transport.as_ref(), &shared.links, deadline).await;
            list.map_err(|error| shared.failure(error.kind()))
        })
    }

    fn find<'a>(
        &'a self,
        full_name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Arc<Tool>>, UpstreamFailure>> {
        Box::pin(async move {
            let list = self.shared.search(deadline).await?;
            Ok(list.get(full_name).cloned())
        })
    }

    fn call(self: Arc<Self>, request: McpRequest, tool: Arc<Tool>) -> BoxFuture<'static, Result<Answer, Rejection>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.call(request, &tool).await })
    }

    fn cancel(&self, session: u128, id: &str) {
        self.shared.in_flight.cancel(session, id);
    }

    fn session_ended(&self, session: u128) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.links.end_kept(session))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.tending.abort();
            self.shared.links.end_all().await;
            self.shared.transport.close().await;
            self.shared.metrics.upstream_removed(&self.shared.settings.name);
        })
    }
}

// === impl Shared ===

impl Shared {
    /// Looks for tools that are not on the list, waiting out short outages.
    async fn search(&self, deadline: Instant) -> Result<Arc<ToolList>, UpstreamFailure> {
        let deadline = deadline.min(Instant::now() + self.settings.timeout);
        let mut attempts = 0;
        loop {
            self.circuit.check().map_err(|_| self.failure(UpstreamFailureKind::Unreachable))?;
            let error = match self.catalog.searched(self.transport.as_ref(), &self.links, deadline).await {
                Ok(list) => return Ok(list),
                Err(error) => error,
            };
            attempts += 1;
            let Some(pause) = self.pause(&error, attempts, deadline) else { return Err(self.failure(error.kind())) };
            tokio::time::sleep(pause).await;
        }
    }

    async fn call(self: Arc<Self>, request: McpRequest, tool: &Tool) -> Result<Answer, Rejection> {
        let arguments = checked_arguments(&request, tool)?;
        let deadline = request.deadline.min(Instant::now() + self.settings.timeout);
        let key = session_key(&request);
        let (mut attempts, mut renewed) = (0, false);
        loop {
            self.circuit.check().map_err(|_| self.unreachable(&request))?;
            let (error, link) = match self.attempt(&request, tool, &key, arguments.as_ref(), deadline).await {
                Ok((reply, link, call)) => {
                    if self.circuit.succeeded() {
                        self.metrics.upstream_up(&self.settings.name, true);
                    }
                    return self.answer(request, link, call, reply, &key, deadline).await;
                }
                Err(Attempt::Rejected(rejection)) => return Err(rejection),
                Err(Attempt::Failed(error, link)) => (error, link),
            };
            if let Some(link) = link.filter(|_| !renewed)
                && self.renew(&error, &key, &link, deadline).await
            {
                renewed = true;
                continue;
            }
            attempts += 1;
            let Some(pause) = self.pause(&error, attempts, deadline) else {
                return Err(self.failed(&request, &error));
            };
            tracing::debug!(upstream = %self.settings.name, %error, attempts, "trying the call again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Agrees anew where what the call relied on is void; says whether the
    /// call, which was then turned down and not processed, is worth sending
    /// again. The client does not notice.
    async fn renew(&self, error: &TransportError, key: &SessionKey, link: &Arc<Link>, deadline: Instant) -> bool {
        match error {
            TransportError::SessionLost | TransportError::Reconnected => {
                self.links.forget(key, link);
                true
            }
            // A server that became one of the other era; else it may have
            // meant the call, and that is not repeated.
            TransportError::Status(400..=405) => {
                self.links.forget(key, link);
                self.links.own(deadline).await.is_ok_and(|own| own.era != link.era)
            }
            _ => false,
        }
    }

    async fn attempt(
        &self,
        request: &McpRequest,
        tool: &Tool,
        key: &SessionKey,
        arguments: Option<&Value>,
        deadline: Instant,
    ) -> Result<(Reply, Arc<Link>, InFlightCall), Attempt> {
        let link = self.links.of(key, deadline).await.map_err(|error| Attempt::Failed(before_call(error), None))?;
        let id = self.links.next_id();
        let outgoing = Outgoing {
            body: translate::call(request, tool, &link, id),
            id,
            connection: link.connection,
            headers: translate::headers(request, tool, &link, arguments),
            deadline,
        };
        let call = InFlightCall::begin(&self.in_flight, &self.transport, &link, request, id);
        // The transport keeps the deadline.
        match until_cancelled(&call, self.transport.request(outgoing)).await {
            Ok(Ok(reply)) => Ok((reply, link, call)),
            Ok(Err(error)) => {
                let mut call = call;
                if error.surely_not_processed() {
                    call.answered();
                }
                Err(Attempt::Failed(error, Some(link)))
            }
            Err(rejection) => Err(Attempt::Rejected(rejection)),
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: McpRequest,
        link: Arc<Link>,
        mut call: InFlightCall,
        reply: Reply,
        key: &SessionKey,
        deadline: Instant,
    ) -> Result<Answer, Rejection> {
        let fresh = *key == SessionKey::Fresh && link.session.is_some();
        let ends = fresh.then(|| (Arc::clone(&self), Arc::clone(&link)));
        let answer = match reply {
            Reply::Message { message, .. } => {
                let message = UpstreamMessage::scan(message)
                    .map_err(|error| self.failed(&request, &TransportError::Garbage(error.to_string())))?;
                let (message, code) = self.finish(&request, &link, &mut call, &message)?;
                Ok(Answer::Message { message, code })
            }
            Reply::Stream { messages, .. } => {
                Relay { shared: self, request, link, call, messages }.answer(deadline).await
            }
        };
        // A session for one call is over with it; a stream still needs it and
        // leaves it to the server's own expiry.
        if let (Some((shared, link)), Ok(Answer::Message { .. }) | Err(_)) = (ends, &answer) {
            tokio::spawn(async move { shared.links.end(&link).await });
        }
        answer
    }

    /// How long to wait before another attempt; `None` if there is none to be
    /// made.
    fn pause(&self, error: &TransportError, attempts: u32, deadline: Instant) -> Option<Duration> {
        if !error.surely_not_processed() {
            return None;
        }
        let mut pause = match error {
            TransportError::Unreachable(_) => {
                self.metrics.upstream_up(&self.settings.name, false);
                self.circuit.failed()
            }
            _ => self.settings.retry.pause(attempts),
        };
        if let TransportError::Busy { retry_after: Some(asked) } = error {
            pause = pause.max(*asked);
        }
        (attempts < self.settings.retry.max_attempts && Instant::now() + pause < deadline).then_some(pause)
    }

    /// Notes that a call failed and says how.
    fn failed(&self, request: &McpRequest, error: &TransportError) -> Rejection {
        let failure = self.failure(error.kind());
        tracing::warn!(upstream = %self.settings.name, %error, "a call failed at the upstream");
        request.record.set_status(CallStatus::UpstreamError);
        self.metrics.upstream_request(&self.settings.name, failure.kind.as_str());
        Rejection::Upstream(failure)
    }

    fn unreachable(&self, request: &McpRequest) -> Rejection {
        request.record.set_status(CallStatus::UpstreamError);
        self.metrics.upstream_request(&self.settings.name, "circuit_open");
        Rejection::Upstream(self.failure(UpstreamFailureKind::Unreachable))
    }

    fn failure(&self, kind: UpstreamFailureKind) -> UpstreamFailure {
        UpstreamFailure { upstream: Arc::clone(&self.settings.name), kind, retry_after: self.circuit.retry_after() }
    }

    /// Answers a request of the upstream, which no client of ours can serve:
    /// the handshake claimed no capability.
    fn refuse_request(&self, link: &Link, id: &str) {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"the client does not support this"}}}}"#
        );
        let (transport, headers) = (Arc::clone(&self.transport), link.headers());
        tokio::spawn(async move {
            if let Err(error) = transport.notify(Bytes::from(body), headers).await {
                tracing::debug!(%error, "a refusal did not arrive");
            }
        });
    }
}

enum Attempt {
    Failed(TransportError, Option<Arc<Link>>),
    Rejected(Rejection),
}

/// A failure while agreeing happened before the call was sent, so that the
/// call itself was surely not processed.
fn before_call(error: TransportError) -> TransportError {
    match error {
        TransportError::Disconnected(cause) | TransportError::Garbage(cause) => TransportError::Unreachable(cause),
        other => other,
    }
}

/// Whose session at the upstream the call runs in.
fn session_key(request: &McpRequest) -> SessionKey {
    match &request.session {
        Some(session) => SessionKey::Client(session.key),
        // Callers without a credential cannot be told from each other.
        None if request.principal.name() == "anonymous" => SessionKey::Fresh,
        None => SessionKey::Principal(request.principal.shared_name()),
    }
}

/// The arguments as a tree, where something needs them as one.
fn checked_arguments(request: &McpRequest, tool: &Tool) -> Result<Option<Value>, Rejection> {
    let text = request.arguments_text();
    let schema = tool.arguments_schema();
    let checks = schema.checks() && text.len() <= MAX_CHECKED_BYTES;
    if !checks && tool.mirrored.is_empty() {
        return Ok(None);
    }
    let arguments = parse_arguments(text.as_bytes())
        .map_err(|_| Rejection::InvalidRequest { detail: "the arguments have a key twice or nest too deep" })?;
    if checks {
        schema.check(&arguments).map_err(|detail| Rejection::BadArguments { detail })?;
    }
    for parameter in tool.mirrored.iter().filter(|_| request.era() == crate::mcp::version::Era::Modern) {
        parameter.check(&request.mirrored, &arguments).map_err(|detail| Rejection::HeaderMismatch { detail })?;
    }
    Ok(Some(arguments))
}

//! Sends each request where it belongs: to the backend that serves the tool,
//! prompt or resource, or, for what concerns the gateway itself, nowhere further.

mod cursor;
mod gateway;
mod items;
mod listen;
mod listing;
mod lists;
mod offer;
mod standing;
mod subscriptions;
mod task_updates;
mod tasks;

use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tower_service::Service;

use crate::backends::answer::Answer;
use crate::backends::callee::Callee;
use crate::backends::tool::Tool;
use crate::backends::{Backend, Backends};
use crate::mcp::asks::Reply;
use crate::mcp::log_level::LogLevel;
use crate::mcp::operation::Operation;
use crate::mcp::request::McpRequest;
use crate::mcp::session::Sessions;
use crate::metrics::{CallStatus, Metrics};
use crate::rejection::{Rejection, UpstreamFailure};

/// How long a backend may keep a list, or the sum of all offers, waiting.
const DEADLINE: Duration = Duration::from_secs(3);

/// The innermost service.
#[derive(Clone, Debug)]
pub struct Router {
    backends: Arc<Backends>,
    sessions: Arc<Sessions>,
    metrics: Arc<Metrics>,
}

// === impl Router ===

impl Router {
    /// A router to `backends`.
    #[must_use]
    pub const fn new(backends: Arc<Backends>, sessions: Arc<Sessions>, metrics: Arc<Metrics>) -> Self {
        Self { backends, sessions, metrics }
    }

    async fn route(self, request: Box<McpRequest>) -> Result<Answer, Rejection> {
        match &request.operation {
            Operation::CallTool { tool } => {
                let full_name = Arc::clone(tool);
                let (backend, tool) = self.find(&request, &full_name).await?;
                note(&request, &tool);
                backend.call(request, Callee::Tool(tool)).await
            }
            Operation::GetPrompt { prompt } | Operation::CompletePrompt { prompt } => {
                let (backend, own) = items::prompt(&self.backends, &request, prompt).await?;
                backend.call(request, Callee::Prompt(own)).await
            }
            Operation::ReadResource(uri) | Operation::CompleteResource(uri) => {
                let (backend, own) = items::resource(&self.backends, &request, uri).await?;
                backend.call(request, Callee::Resource(own)).await
            }
            Operation::Subscribe(uri) => subscriptions::subscribe(&self, &request, uri).await,
            Operation::Unsubscribe(uri) => Ok(subscriptions::unsubscribe(&request, uri)),
            Operation::SetLevel(level) => {
                self.set_level(&request, *level).await;
                Ok(Answer::result(request.id_text(), "{}"))
            }
            Operation::Listen(filter) => listen::open(&self, &request, filter).await,
            Operation::List(kind) => listing::list(&self, &request, *kind).await,
            Operation::Task { task, .. } => {
                let task = Arc::clone(task);
                let backend = self.backends.named(&task.upstream).ok_or(Rejection::UnknownTask)?;
                let _ = request.record.upstream.set(Arc::clone(backend.name()));
                Arc::clone(backend).call(request, Callee::Task(task)).await
            }
            Operation::ListTasks => tasks::list(&self.backends, &request).await,
            Operation::Extension { upstream, method, .. } => {
                let method = Arc::clone(method);
                let backend = self.backends.named(upstream).ok_or(Rejection::UnknownMethod)?;
                let _ = request.record.upstream.set(Arc::clone(backend.name()));
                Arc::clone(backend).call(request, Callee::Method(method)).await
            }
            Operation::ListModels => Ok(listing::models(&self.backends, &request)),
            Operation::Initialize => {
                let answer = gateway::initialize(&self.backends, &self.sessions, &request).await?;
                self.metrics.sessions(self.sessions.len());
                Ok(answer)
            }
            Operation::Discover => Ok(gateway::discover(&self.backends, &request).await),
            Operation::Ping => Ok(Answer::result(request.id_text(), "{}")),
            Operation::OpenStream { after } => standing::open(&self, &request, after.as_deref()),
            Operation::Cancelled => {
                if let (Some(session), Some(id)) = (&request.session, request.params.request_id) {
                    session.in_flight.cancel(request.text(id));
                }
                Ok(Answer::Accepted)
            }
            Operation::Responded { id, said } => {
                if let Some(session) = &request.session {
                    let reply = Reply { body: request.body.clone(), id: *id, said: *said };
                    session.asks.reply(request.text(*id), reply);
                }
                Ok(Answer::Accepted)
            }
            Operation::RootsChanged => {
                if let Some(session) = &request.session {
                    let told = self.backends.all().iter().map(|backend| backend.roots_changed(session.key));
                    futures_util::future::join_all(told).await;
                }
                Ok(Answer::Accepted)
            }
            Operation::Notified => Ok(Answer::Accepted),
            Operation::SessionEnded => {
                self.metrics.sessions(self.sessions.len());
                if let Some(session) = &request.session {
                    let ended = self.backends.all().iter().map(|backend| backend.session_ended(session.key));
                    futures_util::future::join_all(ended).await;
                }
                Ok(Answer::Accepted)
            }
        }
    }

    /// Notes what the client of a session wants to hear of logs, and tells those
    /// upstreams where it has a session; others hear it with the first call.
    async fn set_level(&self, request: &McpRequest, level: LogLevel) {
        let Some(session) = &request.session else { return };
        session.level.set(level);
        let deadline = request.deadline.min(Instant::now() + DEADLINE);
        let told = self.backends.all().iter().map(|backend| backend.level_changed(request, deadline));
        futures_util::future::join_all(told).await;
    }

    /// Asks the backend for a tool that is not known.
    async fn find(&self, request: &McpRequest, full_name: &str) -> Result<(Arc<dyn Backend>, Arc<Tool>), Rejection> {
        let backend = self.backends.of_name(full_name).ok_or_else(|| unknown(request))?;
        let found = backend.find(full_name, request.abilities, request.deadline).await;
        let found = found.map_err(|failure| failed(request, backend, failure))?;
        let tool = found.ok_or_else(|| unknown(request))?;
        Ok((Arc::clone(backend), tool))
    }
}

/// Notes that a backend could not be asked for what it has.
fn failed(request: &McpRequest, backend: &Arc<dyn Backend>, failure: UpstreamFailure) -> Rejection {
    request.record.set_status(CallStatus::UpstreamError);
    let _ = request.record.upstream.set(Arc::clone(backend.name()));
    Rejection::Upstream(failure)
}

/// Writes down which tool is called, if that was not known before.
fn note(request: &McpRequest, tool: &Tool) {
    request.record.tool.get_or_init(|| Arc::clone(&tool.full_name));
    request.record.upstream.get_or_init(|| Arc::clone(&tool.upstream));
}

fn unknown(request: &McpRequest) -> Rejection {
    request.record.set_status(CallStatus::Denied);
    Rejection::UnknownTool { tool: request.called_name().to_owned() }
}

impl Service<Box<McpRequest>> for Router {
    type Response = Answer;
    type Error = Rejection;
    type Future = BoxFuture<'static, Result<Answer, Rejection>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Box<McpRequest>) -> Self::Future {
        if let Some(refusal) = request.refusal.take() {
            request.record.set_status(CallStatus::Error);
            return Box::pin(ready(Err(refusal)));
        }
        match request.tool().and_then(|name| self.backends.known_tool(name, request.abilities)) {
            // Nothing is to be waited for before the backend.
            Some((backend, tool)) => {
                note(&request, &tool);
                Arc::clone(backend).call(request, Callee::Tool(tool))
            }
            None => Box::pin(self.clone().route(request)),
        }
    }
}

#[cfg(test)]
mod tests;

//! Sends each request where it belongs: to the backend that serves the tool,
//! or, for what concerns the gateway itself, nowhere further.

mod gateway;
mod listing;

use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tower_service::Service;

use crate::backends::answer::Answer;
use crate::backends::tool::Tool;
use crate::backends::{Backend, Backends};
use crate::mcp::request::{McpRequest, Operation};
use crate::mcp::session::Sessions;
use crate::metrics::{CallStatus, Metrics};
use crate::rejection::Rejection;

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
                backend.call(request, tool).await
            }
            Operation::ListTools => listing::list(&self.backends, &request).await,
            Operation::ListModels => Ok(listing::models(&self.backends, &request)),
            Operation::Initialize => {
                let answer = gateway::initialize(&self.sessions, &request)?;
                self.metrics.sessions(self.sessions.len());
                Ok(answer)
            }
            Operation::Discover => Ok(gateway::discover(&request)),
            Operation::Ping => Ok(Answer::result(request.id_text(), "{}")),
            Operation::Cancelled => {
                if let (Some(session), Some(id)) = (&request.session, request.params.request_id) {
                    session.in_flight.cancel(request.text(id));
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

    /// Asks the backend for a tool that is not known.
    async fn find(&self, request: &McpRequest, full_name: &str) -> Result<(Arc<dyn Backend>, Arc<Tool>), Rejection> {
        let backend = self.backends.of_tool(full_name).ok_or_else(|| unknown(request))?;
        let found = backend.find(full_name, request.deadline).await.map_err(|failure| {
            request.record.set_status(CallStatus::UpstreamError);
            let _ = request.record.upstream.set(Arc::clone(backend.name()));
            Rejection::Upstream(failure)
        })?;
        let tool = found.ok_or_else(|| unknown(request))?;
        Ok((Arc::clone(backend), tool))
    }
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
        match request.tool().and_then(|name| self.backends.known_tool(name)) {
            // Nothing is to be waited for before the backend.
            Some((backend, tool)) => {
                note(&request, &tool);
                Arc::clone(backend).call(request, tool)
            }
            None => Box::pin(self.clone().route(request)),
        }
    }
}

#[cfg(test)]
mod tests;

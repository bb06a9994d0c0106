//! Sends each request where it belongs: to the backend that serves the tool,
//! or, for what concerns the gateway itself, nowhere further.

mod gateway;
mod listing;

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tower_service::Service;

use crate::backends::Backends;
use crate::backends::answer::Answer;
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

    async fn route(self, request: McpRequest) -> Result<Answer, Rejection> {
        match &request.operation {
            Operation::CallTool { tool } => {
                let tool = Arc::clone(tool);
                self.call(request, &tool).await
            }
            Operation::ListTools => listing::list(&self.backends, &request).await,
            Operation::Initialize => {
                let answer = gateway::initialize(&self.sessions, &request)?;
                self.metrics.sessions(self.sessions.len());
                Ok(answer)
            }
            Operation::Discover => Ok(gateway::discover(&request)),
            Operation::Ping => Ok(Answer::result(request.id_text(), "{}")),
            Operation::Cancelled => {
                if let (Some(session), Some(id)) = (&request.session, request.params.request_id) {
                    let id = request.text(id);
                    self.backends.all().iter().for_each(|backend| backend.cancel(session.key, id));
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

    async fn call(self, request: McpRequest, full_name: &str) -> Result<Answer, Rejection> {
        let Some(backend) = self.backends.of_tool(full_name) else { return Err(unknown(&request)) };
        let known = backend.known_tools().and_then(|list| list.get(full_name).cloned());
        let tool = match known {
            Some(tool) => Some(tool),
            None => {
                let found = backend.find(full_name, request.deadline).await;
                found.map_err(|failure| {
                    request.record.set_status(CallStatus::UpstreamError);
                    let _ = request.record.upstream.set(Arc::clone(backend.name()));
                    Rejection::Upstream(failure)
                })?
            }
        };
        let Some(tool) = tool else { return Err(unknown(&request)) };
        // Where it was known before, the record has it already.
        let _ = request.record.tool.set(Arc::clone(&tool.full_name));
        let _ = request.record.upstream.set(Arc::clone(&tool.upstream));
        Arc::clone(backend).call(request, tool).await
    }
}

fn unknown(request: &McpRequest) -> Rejection {
    request.record.set_status(CallStatus::Denied);
    Rejection::UnknownTool { tool: request.called_name().to_owned() }
}

impl Service<McpRequest> for Router {
    type Response = Answer;
    type Error = Rejection;
    type Future = BoxFuture<'static, Result<Answer, Rejection>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: McpRequest) -> Self::Future {
        Box::pin(self.clone().route(request))
    }
}

#[cfg(test)]
mod tests;

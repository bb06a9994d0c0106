//! Asks policy whether the caller may make this call.
//!
//! Inside `decode`, because it decides by tool and arguments; outside
//! `rate_limit`, so that a refused call spends no quota.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use portcullis_policies::{Access, CallFacts, Decision, PolicySet, Target, parse_arguments};
use tower_layer::Layer;
use tower_service::Service;

use crate::mcp::request::{McpRequest, Operation, ToolFilter};
use crate::metrics::{CallStatus, Metrics};
use crate::rejection::Rejection;

/// The policy name under which decisions are counted that no policy made.
const DEFAULT: &str = "default";

/// Lets through what policy allows.
#[derive(Clone, Debug)]
pub struct AuthorizeLayer {
    policies: Arc<PolicySet>,
    metrics: Arc<Metrics>,
}

/// See [`AuthorizeLayer`].
#[derive(Clone, Debug)]
pub struct Authorize<S> {
    policies: Arc<PolicySet>,
    metrics: Arc<Metrics>,
    inner: S,
}

// === impl AuthorizeLayer ===

impl AuthorizeLayer {
    /// A layer that asks `policies`.
    #[must_use]
    pub const fn new(policies: Arc<PolicySet>, metrics: Arc<Metrics>) -> Self {
        Self { policies, metrics }
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize { policies: Arc::clone(&self.policies), metrics: Arc::clone(&self.metrics), inner }
    }
}

// === impl Authorize ===

impl<S> Authorize<S> {
    fn check(&self, request: &mut McpRequest) -> Result<(), Rejection> {
        match &request.operation {
            Operation::CallTool { tool } => {
                let access = self.policies.access(&request.principal, Target::Tool(tool));
                let decision = decide(&access, request)?;
                let allowed = decision.is_allowed();
                self.metrics.policy_decision(decision.policy.as_deref().unwrap_or(DEFAULT), allowed);
                let refusal = (!allowed).then(|| Rejection::UnknownTool { tool: request.called_name().to_owned() });
                request.limits = Arc::clone(&decision.limits);
                // Decided once a request.
                let _ = request.record.decision.set(decision);
                if let Some(refusal) = refusal {
                    request.record.set_status(CallStatus::Denied);
                    return Err(refusal);
                }
            }
            Operation::ListTools | Operation::ListModels => {
                let (policies, principal) = (Arc::clone(&self.policies), Arc::clone(&request.principal));
                let ip = request.client_ip;
                request.filter =
                    ToolFilter::new(move |tool| policies.access(&principal, Target::Tool(tool)).may_list(ip));
            }
            _ => {}
        }
        Ok(())
    }
}

fn decide(access: &Access, request: &McpRequest) -> Result<Decision, Rejection> {
    if let Some(decision) = access.settled() {
        return Ok(decision.clone());
    }
    let arguments = access
        .needs_arguments()
        .then(|| parse_arguments(request.arguments_text().as_bytes()))
        .transpose()
        .map_err(|_| Rejection::InvalidRequest { detail: "the arguments have a key twice or nest too deep" })?;
    Ok(access.decide(&CallFacts { ip: request.client_ip, args: arguments.as_ref() }))
}

impl<S> Service<Box<McpRequest>> for Authorize<S>
where
    S: Service<Box<McpRequest>, Error = Rejection>,
{
    type Response = S::Response;
    type Error = Rejection;
    type Future = Either<Ready<Result<S::Response, Rejection>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Box<McpRequest>) -> Self::Future {
        match self.check(&mut request) {
            Ok(()) => Either::Right(self.inner.call(request)),
            Err(rejection) => Either::Left(ready(Err(rejection))),
        }
    }
}

#[cfg(test)]
mod tests;

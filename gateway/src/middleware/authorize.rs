//! Asks policy whether the caller may make this call.
//!
//! Inside `decode`, because it decides by tool and arguments; outside
//! `rate_limit`, so that a refused call spends no quota.

use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use portcullis_policies::{Access, CallFacts, Decision, PolicySet, Principal, Target, parse_arguments};
use serde_json::{Map, Value};
use smallvec::SmallVec;
use tower_layer::Layer;
use tower_service::Service;

use crate::mcp::operation::{Operation, Wanted};

use crate::mcp::request::{Filter, McpRequest};
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
        if let Operation::List(_)
        | Operation::ListTasks
        | Operation::ListModels
        | Operation::OpenStream { .. }
        | Operation::Subscribe(_)
        | Operation::Listen(_) = request.operation
        {
            let (policies, principal) = (Arc::clone(&self.policies), Arc::clone(&request.principal));
            let ip = request.client_ip;
            request.filter = Filter::new(move |wanted| shows(&policies, &principal, wanted, ip));
        }
        let Some(wanted) = request.operation.wanted() else { return Ok(()) };
        if let Wanted::Task(tool) = wanted {
            let access = self.policies.access(&request.principal, Target::Tool(tool));
            // On the arguments it was decided when the task was made.
            if access.needs_arguments() && access.may_list(request.client_ip) {
                self.metrics.policy_decision(DEFAULT, true);
                return Ok(());
            }
        }
        let decision = self.decide(request, wanted)?;
        let allowed = decision.is_allowed();
        self.metrics.policy_decision(decision.policy.as_deref().unwrap_or(DEFAULT), allowed);
        let refusal = (!allowed).then(|| unknown(request, wanted));
        request.limits = Arc::clone(&decision.limits);
        // Decided once a request.
        let _ = request.record.decision.set(decision);
        refusal.map_or(Ok(()), |refusal| {
            request.record.set_status(CallStatus::Denied);
            Err(refusal)
        })
    }

    fn decide(&self, request: &McpRequest, wanted: Wanted<'_>) -> Result<Decision, Rejection> {
        let mut decisions = SmallVec::<[Decision; 2]>::new();
        for target in wanted.targets() {
            decisions.push(decide(&self.policies.access(&request.principal, target), request)?);
        }
        Ok(together(decisions))
    }
}

/// Of what is known by two names, a rule that denies either wins, and one that
/// allows either is enough.
fn together(decisions: SmallVec<[Decision; 2]>) -> Decision {
    let denies = |decision: &Decision| !decision.is_allowed() && decision.policy.is_some();
    let chosen = decisions.iter().position(denies).or_else(|| decisions.iter().position(Decision::is_allowed));
    decisions.into_iter().nth(chosen.unwrap_or(0)).expect("everything has a name")
}

/// Whether a list shows something to the caller.
fn shows(policies: &PolicySet, principal: &Principal, wanted: Wanted<'_>, ip: Option<IpAddr>) -> bool {
    match wanted {
        Wanted::Tool(_) | Wanted::Prompt(_) | Wanted::Task(_) | Wanted::Method(_) => {
            wanted.targets().all(|target| policies.access(principal, target).may_list(ip))
        }
        // Reading takes no arguments, so that nothing is left open.
        Wanted::Resource(_) => {
            let nothing = Value::Object(Map::new());
            let facts = CallFacts { ip, args: Some(&nothing) };
            together(wanted.targets().map(|target| policies.access(principal, target).decide(&facts)).collect())
                .is_allowed()
        }
    }
}

/// What may not be had looks like what does not exist.
fn unknown(request: &McpRequest, wanted: Wanted<'_>) -> Rejection {
    let name = request.called_name().to_owned();
    match wanted {
        Wanted::Tool(_) => Rejection::UnknownTool { tool: name },
        Wanted::Prompt(_) => Rejection::UnknownPrompt { prompt: name },
        Wanted::Resource(_) => Rejection::UnknownResource { uri: name },
        Wanted::Task(_) => Rejection::UnknownTask,
        Wanted::Method(_) => Rejection::UnknownMethod,
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

//! One configuration in force.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use tower_service::Service;

use super::models::Models;
use crate::audit::{AuditLog, AuditSettings};
use crate::auth::{AuthSettings, Authenticator};
use crate::backends::Backend;
use crate::backends::settings::UpstreamSettings;
use crate::mcp::changes::Moment;
use crate::stack::{MessageStack, ReplicaStack, ResponseBody, Stack};

/// Upstreams by name, each with what it was made of.
pub(super) type Upstreams = HashMap<Arc<str>, (UpstreamSettings, Arc<dyn Backend>)>;

/// A configuration in force, and what its successor may take over.
pub(super) struct Generation {
    pub(super) stack: Stack,
    /// The same for a client without HTTP.
    pub(super) messages: MessageStack,
    /// The same for other replicas.
    pub(super) replicas: Option<ReplicaStack>,
    pub(super) upstreams: Upstreams,
    pub(super) models: Models,
    pub(super) separator: String,
    /// Later than that of every generation before.
    pub(super) since: Moment,
    pub(super) authenticator: (AuthSettings, Arc<Authenticator>),
    pub(super) audit: Option<(AuditSettings, Arc<AuditLog>)>,
    /// How long running calls may go on once it is over for them.
    pub(super) drain_timeout: Duration,
}

/// Serves each request with the generation that is in force when it comes.
#[derive(Clone)]
pub(super) struct Current(pub(super) Arc<ArcSwap<Generation>>);

// === impl Generation ===

impl Generation {
    /// Everything that serves calls.
    pub(super) fn backends(&self) -> impl Iterator<Item = Arc<dyn Backend>> {
        self.upstreams.values().map(|(_, backend)| Arc::clone(backend)).chain(self.models.backends())
    }
}

// === impl Current ===

impl Service<Request<Incoming>> for Current {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = <Stack as Service<Request<Incoming>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        self.0.load().stack.clone().call(request)
    }
}

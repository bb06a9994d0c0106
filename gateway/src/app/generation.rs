//! One configuration in force.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use tower::ServiceExt;
use tower::util::Oneshot;
use tower_service::Service;

use crate::audit::{AuditLog, AuditSettings};
use crate::auth::{AuthSettings, Authenticator};
use crate::backends::Backend;
use crate::backends::settings::UpstreamSettings;
use crate::stack::{ResponseBody, Stack};

/// Upstreams by name, with the settings they were started with.
pub(super) type Upstreams = HashMap<Arc<str>, (UpstreamSettings, Arc<dyn Backend>)>;

/// A configuration in force, and what its successor may take over.
pub(super) struct Generation {
    pub(super) stack: Stack,
    pub(super) upstreams: Upstreams,
    pub(super) separator: String,
    pub(super) authenticator: (AuthSettings, Arc<Authenticator>),
    pub(super) audit: Option<(AuditSettings, Arc<AuditLog>)>,
}

/// Serves each request with the generation that is in force when it comes.
#[derive(Clone)]
pub(super) struct Current(pub(super) Arc<ArcSwap<Generation>>);

// === impl Current ===

impl Service<Request<Incoming>> for Current {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Oneshot<Stack, Request<Incoming>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let stack = self.0.load().stack.clone();
        stack.oneshot(request)
    }
}

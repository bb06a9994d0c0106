//! Answers a request whose handling panicked. The panic itself is logged by
//! the process's hook; here it is counted, and the caller hears that we failed.

use std::any::Any;
use std::sync::Arc;

use http::Response;
use tower_http::catch_panic::ResponseForPanic;

use super::respond::refuse;
use crate::body::Body;
use crate::mcp::version::Era;
use crate::metrics::Metrics;
use crate::rejection::Rejection;

/// Counts a panic and answers for it.
#[derive(Clone, Debug)]
pub struct Contain {
    metrics: Arc<Metrics>,
}

// === impl Contain ===

impl Contain {
    /// Counts in `metrics`.
    #[must_use]
    pub const fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics }
    }
}

impl ResponseForPanic for Contain {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, _: Box<dyn Any + Send + 'static>) -> Response<Body> {
        self.metrics.panicked("request");
        refuse(&Rejection::Internal, None, Era::Legacy)
    }
}

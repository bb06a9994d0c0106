//! The MCP half of whichever configuration is in force.

use std::fmt;

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use tower_service::Service as _;

use crate::backends::answer::Answer;
use crate::backends::calls::Calls;
use crate::mcp::request::McpRequest;
use crate::rejection::Rejection;
use crate::stack::CallStack;

/// Where backends come back in. Empty until there is a configuration.
#[derive(Default)]
pub(super) struct Live(ArcSwapOption<CallStack>);

impl Live {
    /// Another configuration is in force.
    pub(super) fn replace(&self, calls: CallStack) {
        self.0.store(Some(calls.into()));
    }
}

impl Calls for Live {
    fn call(&self, request: Box<McpRequest>) -> BoxFuture<'static, Result<Answer, Rejection>> {
        match self.0.load_full() {
            Some(calls) => CallStack::clone(&calls).call(request),
            None => Box::pin(std::future::ready(Err(Rejection::Internal))),
        }
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}

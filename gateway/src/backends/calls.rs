//! The way back in: what a backend has done by the whole MCP half of the stack,
//! as if its caller had asked for it.

use std::fmt;

use futures_util::future::BoxFuture;

use super::answer::Answer;
use crate::mcp::request::McpRequest;
use crate::rejection::Rejection;

/// Metered, decided by policy, limited and routed, like any request.
pub trait Calls: Send + Sync + fmt::Debug {
    /// Has a request served.
    ///
    /// # Errors
    ///
    /// If it is refused, or fails.
    fn call(&self, request: Box<McpRequest>) -> BoxFuture<'static, Result<Answer, Rejection>>;
}

/// Nothing is served.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct NoCalls;

#[cfg(test)]
impl Calls for NoCalls {
    fn call(&self, _: Box<McpRequest>) -> BoxFuture<'static, Result<Answer, Rejection>> {
        Box::pin(std::future::ready(Err(Rejection::Internal)))
    }
}

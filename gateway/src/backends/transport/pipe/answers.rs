//! What a server is answered by the pipe itself.

use std::sync::Arc;

use tracing::debug;

use super::message_pipe::Outlet;

/// The other side asked for something that we do not do (JSON-RPC 2.0 §5.1).
pub(super) const METHOD_NOT_FOUND: (i64, &str) = (-32601, "Method not found");
/// A question that finds no room (JSON-RPC 2.0 §5.1).
pub(super) const NO_ROOM: (i64, &str) = (-32603, "The client cannot take the request");

/// A way to answer a server that never waits.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) upstream: Arc<str>,
    pub(super) outlet: Arc<dyn Outlet>,
}

// === impl Answers ===

impl Answers {
    /// Answers a `ping`; `id` is JSON, as in the request.
    pub(super) fn pong(&self, id: &str) {
        self.send(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    }

    /// Refuses a request.
    pub(super) fn refuse(&self, id: &str, (code, message): (i64, &str)) {
        self.send(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#));
    }

    /// Waiting here would stop the reading, and a server that waits for us to
    /// read before it reads would never go on.
    fn send(&self, answer: String) {
        if !self.outlet.answer(answer.into()) {
            debug!(upstream = %self.upstream, "dropped an answer to the server, which does not read");
        }
    }
}

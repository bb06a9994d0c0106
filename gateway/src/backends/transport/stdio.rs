//! MCP over the standard input and output of a child process.
//!
//! The child is started by the first [`connect`](super::Transport::connect)
//! and again after it ended, with exponential backoff. Every start is a new
//! connection: what was negotiated with the process before is void.
//!
//! Everything a child sends or fails to read is bounded, and whatever it
//! started ends with it. One stuck child costs its own callers their
//! deadline and nobody else anything.

mod framing;
mod process;
mod serving;
mod stderr;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tracing::info;

use self::process::Process;
use self::serving::Serving;
use super::TransportError;
use super::pipe::{Connection, Dial, Leash, Opening, Pipe, PipeTransport, Queue};
use crate::backends::settings::{RetrySettings, StdioSettings};

/// A way to an MCP server that runs as our child process.
///
/// Dropping it kills the process and all it started;
/// [`close`](super::Transport::close) ends it in an orderly way.
pub type StdioTransport = PipeTransport<Program>;

/// The program to start.
pub struct Program(StdioSettings);

// === impl StdioTransport ===

impl StdioTransport {
    /// A transport to the upstream `name`. Nothing runs before
    /// [`connect`](super::Transport::connect) is called; `retry` paces the
    /// restarts.
    #[must_use]
    pub fn new(name: Arc<str>, settings: StdioSettings, retry: RetrySettings) -> Arc<Self> {
        Self::over(name, Program(settings), retry)
    }
}

// === impl Program ===

impl Dial for Program {
    /// Starts the child, which waits for nothing.
    fn dial(&self, opening: Opening) -> BoxFuture<'_, Result<Connection, TransportError>> {
        Box::pin(async move {
            let (process, streams) = Process::start(&self.0)
                .map_err(|error| TransportError::Unreachable(format!("cannot start {:?}: {error}", self.0.command)))?;
            info!(upstream = %opening.upstream, connection = opening.number, "upstream process started");
            let (queue, queued) = Queue::new();
            let pipe = Pipe::new(&opening.upstream, queue);
            let group = process.group();
            let leash = Leash::new(move || group.kill());
            let serving = Serving::start(process, streams, Arc::clone(&pipe), queued);
            Ok(Connection::serve(opening, pipe, Some(leash), |stop| serving.run(stop)))
        })
    }
}

//! Taking in what a server says, and having enough of one that only babbles.

use std::sync::Arc;

use bytes::Bytes;
use tracing::debug;

use super::super::TransportError;
use super::message_pipe::Pipe;

/// Things in a row that are no messages. A banner passes, a program that does
/// not speak MCP does not.
const MAX_STRAY: u32 = 1024;

/// The reading end of a pipe.
#[derive(Debug)]
pub(in super::super) struct Hearing {
    pipe: Arc<Pipe>,
    /// How many in a row were no messages.
    stray: u32,
}

// === impl Hearing ===

impl Hearing {
    /// Hears for a pipe.
    pub(in super::super) const fn new(pipe: Arc<Pipe>) -> Self {
        Self { pipe, stray: 0 }
    }

    /// Takes in one message, or something that is none.
    ///
    /// # Errors
    ///
    /// [`TransportError::Garbage`] when too much in a row was no message.
    pub(in super::super) fn take(&mut self, message: &Bytes) -> Result<(), TransportError> {
        if self.pipe.take(message) {
            self.stray = 0;
            return Ok(());
        }
        self.stray += 1;
        // Its content may be anything, so it stays out of the log.
        debug!(upstream = %self.pipe.upstream(), bytes = message.len(), "skipped what is no message");
        if self.stray >= MAX_STRAY {
            return Err(TransportError::Garbage(format!("{MAX_STRAY} things in a row that are no messages")));
        }
        Ok(())
    }
}

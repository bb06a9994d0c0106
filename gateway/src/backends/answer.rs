//! What a request is answered with, before it becomes HTTP.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;

use crate::mcp::event_id::Pen;
use crate::rejection::Rejection;

/// Messages for the client, in order; the response, or a refusal, is the last.
pub type AnswerStream = Pin<Box<dyn Stream<Item = Result<Bytes, Rejection>> + Send>>;

/// What is said to a client of its own accord, as long as it listens.
pub struct Standing {
    /// Messages, each with its number in the stream.
    pub messages: Pin<Box<dyn Stream<Item = (u64, Bytes)> + Send>>,
    /// Where events are written that can be asked for again, this writes them.
    pub pen: Option<Pen>,
    /// The number that the stream is primed with, where it is.
    pub primed: Option<u64>,
}

/// An answer.
pub enum Answer {
    /// The response alone.
    Message {
        /// A JSON-RPC response with the client's id.
        message: Bytes,
        /// `error.code`, where it is an error: some codes have a status.
        code: Option<i64>,
    },
    /// The response to `initialize`, and the session it opened.
    Opened {
        /// A JSON-RPC response.
        message: Bytes,
        /// `Mcp-Session-Id`.
        session: Arc<str>,
    },
    /// Notifications, then the response.
    Stream(AnswerStream),
    /// Messages that come of their own accord. Nobody waits for their end, so
    /// it is no request that is running.
    Standing(Box<Standing>),
    /// A notification was taken in; there is nothing to say.
    Accepted,
}

// === impl Answer ===

impl Answer {
    /// A result made by the gateway itself.
    #[must_use]
    pub fn result(id: &str, result: &str) -> Self {
        Self::Message { message: response(id, result), code: None }
    }
}

/// A JSON-RPC response; `id` and `result` are JSON.
#[must_use]
pub fn response(id: &str, result: &str) -> Bytes {
    let mut message = String::with_capacity(id.len() + result.len() + 40);
    message.push_str(r#"{"jsonrpc":"2.0","id":"#);
    message.push_str(id);
    message.push_str(r#","result":"#);
    message.push_str(result);
    message.push('}');
    message.into()
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message { .. } => "Answer::Message",
            Self::Opened { .. } => "Answer::Opened",
            Self::Stream(_) => "Answer::Stream",
            Self::Standing(_) => "Answer::Standing",
            Self::Accepted => "Answer::Accepted",
        })
    }
}

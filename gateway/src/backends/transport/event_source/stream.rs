//! The stream of a server's events.

use bytes::Bytes;
use http_body_util::BodyExt;

use super::super::TransportError;
use super::super::way::cause;
use crate::http_client::Answer;
use crate::mcp::sse;

/// An open event stream.
pub(super) struct EventStream {
    body: Answer,
    decoder: sse::Decoder,
}

// === impl EventStream ===

impl EventStream {
    pub(super) fn new(body: Answer) -> Self {
        Self { body, decoder: sse::Decoder::default() }
    }

    /// Waits for the event that says where messages are posted.
    ///
    /// # Errors
    ///
    /// If the stream ends before.
    pub(super) async fn endpoint(&mut self) -> Result<Bytes, TransportError> {
        self.next(|decoder| decoder.name() == b"endpoint").await
    }

    /// Waits for the next message. An event without a name is one.
    ///
    /// # Errors
    ///
    /// If the stream ends.
    pub(super) async fn message(&mut self) -> Result<Bytes, TransportError> {
        self.next(sse::Decoder::is_message).await
    }

    /// The data of the next event that is wanted; others are nobody's.
    async fn next(&mut self, is_wanted: impl Fn(&sse::Decoder) -> bool) -> Result<Bytes, TransportError> {
        loop {
            while let Some(data) = self.decoder.next_event() {
                if is_wanted(&self.decoder) {
                    return Ok(data);
                }
            }
            match self.body.frame().await {
                None => return Err(TransportError::Disconnected("the event stream ended".to_owned())),
                Some(Err(error)) => return Err(TransportError::Disconnected(cause(&error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.decoder.push(&data).map_err(|error| TransportError::Garbage(error.to_string()))?;
                    }
                }
            }
        }
    }
}

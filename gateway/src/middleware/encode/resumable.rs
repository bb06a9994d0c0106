//! An answer of which a client that loses its connection can have the rest.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;

use super::EventStream;
use crate::mcp::event_id::Pen;
use crate::mcp::replay::{Begun, Messages};
use crate::mcp::session::Session;
use crate::seal::KeyRing;

/// The events of such an answer, as they are written on the wire.
struct Resumable {
    begun: Begun,
    pen: Pen,
    priming: Option<Bytes>,
}

/// Keeps the messages of an answer while they are sent.
///
/// # Errors
///
/// The messages, if too many answers are kept for the session.
pub(super) fn keep(messages: Messages, session: &Session, keys: &KeyRing) -> Result<EventStream, Messages> {
    let (stream, begun) = session.outbox().keep(messages)?;
    let pen = stream.pen(keys, session);
    Ok(Box::pin(Resumable { begun, priming: Some(pen.priming(0)), pen }))
}

impl Stream for Resumable {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(priming) = self.priming.take() {
            return Poll::Ready(Some(priming));
        }
        let message = ready!(Pin::new(&mut self.begun).poll_next(cx));
        Poll::Ready(message.map(|(number, message)| self.pen.message(number, &message)))
    }
}

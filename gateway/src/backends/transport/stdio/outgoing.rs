//! Writing to a child's standard input, one task for all requests.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::sync::mpsc;

use super::framing::single_line;
use super::pending::Pending;

/// Messages that wait to be written. Behind a full queue a request waits
/// until its deadline, and no request to another upstream does.
pub(super) const MAX_QUEUED: usize = 16;

/// One message on its way to the child.
#[derive(Debug)]
pub(super) struct Line {
    message: Bytes,
    /// The request it is; one that nobody waits for any more is not sent.
    request: Option<u64>,
}

// === impl Line ===

impl Line {
    /// A request, sent only while `id` waits for its answer.
    pub(super) fn request(message: Bytes, id: u64) -> Self {
        Self { message: single_line(message), request: Some(id) }
    }

    /// A notification or a response.
    pub(super) fn message(message: Bytes) -> Self {
        Self { message: single_line(message), request: None }
    }

    /// What is written, without the line's end.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.message).unwrap()
    }
}

/// Writes what is queued until the queue ends.
///
/// # Errors
///
/// When the child no longer takes its input.
pub(super) async fn write_lines<W: AsyncWrite + Unpin>(
    target: W,
    mut queue: mpsc::Receiver<Line>,
    pending: Arc<Pending>,
) -> io::Result<()> {
    let mut target = BufWriter::new(target);
    while let Some(line) = queue.recv().await {
        if line.request.is_none_or(|id| pending.contains(id)) {
            target.write_all(&line.message).await?;
            target.write_all(b"\n").await?;
        }
        if queue.is_empty() {
            target.flush().await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_nobody_waits_for_is_not_sent() {
        let pending = Arc::new(Pending::default());
        let _waiting = pending.register(2).unwrap();
        let (queue, lines) = mpsc::channel(MAX_QUEUED);
        for (id, text) in [(1, "abandoned"), (2, "wai\nting")] {
            queue.send(Line::request(Bytes::from_static(text.as_bytes()), id)).await.unwrap();
        }
        queue.send(Line::message(Bytes::from_static(b"notice"))).await.unwrap();
        drop(queue);

        let mut written = Vec::new();
        write_lines(&mut written, lines, pending).await.unwrap();
        assert_eq!(written, b"wai ting\nnotice\n");
    }
}

//! The requests that a child still owes an answer.
//!
//! Each has a bounded inbox of its own, so that a slow caller holds up nobody
//! else: what no longer fits is progress and may be lost. One place in every
//! inbox is kept for the end, the response or the failure, which never is.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;

use super::super::TransportError;

/// Notifications held for a caller that does not take them.
const MAX_WAITING_NOTIFICATIONS: usize = 31;
/// A larger notification is dropped: progress is small, and inboxes are bounded in bytes too.
const MAX_NOTIFICATION_BYTES: usize = 256 << 10;
/// Requests owed an answer at once.
const MAX_PENDING: usize = 4096;

/// Something for one request.
#[derive(Debug)]
pub(super) enum Delivery {
    /// A notification about it.
    Notification(Bytes),
    /// Its response.
    Response(Bytes),
    /// There will be no response.
    Failure(TransportError),
}

/// The table of requests by id.
#[derive(Debug, Default)]
pub(super) struct Pending {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    closed: bool,
    inboxes: HashMap<u64, mpsc::Sender<Delivery>>,
}

/// A request's place in the table; dropping it abandons the request.
#[derive(Debug)]
pub(super) struct Ticket {
    pending: Arc<Pending>,
    id: u64,
    inbox: mpsc::Receiver<Delivery>,
}

/// What arrives for one request, until its end.
struct Answer {
    ticket: Option<Ticket>,
    first: Option<Bytes>,
}

// === impl Pending ===

impl Pending {
    /// Makes place for a request.
    ///
    /// # Errors
    ///
    /// [`TransportError::Reconnected`] when the connection has ended,
    /// [`TransportError::Busy`] when too many wait, and
    /// [`TransportError::Unreachable`] when the id is in use; it is not to be sent then.
    pub(super) fn register(self: &Arc<Self>, id: u64) -> Result<Ticket, TransportError> {
        let mut table = self.table();
        if table.closed {
            return Err(TransportError::Reconnected);
        }
        if table.inboxes.len() >= MAX_PENDING {
            return Err(TransportError::Busy { retry_after: None });
        }
        if table.inboxes.contains_key(&id) {
            return Err(TransportError::Unreachable("the request's id is in use".to_owned()));
        }
        let (sender, inbox) = mpsc::channel(MAX_WAITING_NOTIFICATIONS + 1);
        table.inboxes.insert(id, sender);
        Ok(Ticket { pending: Arc::clone(self), id, inbox })
    }

    /// Whether someone waits for the answer to `id`.
    pub(super) fn contains(&self, id: u64) -> bool {
        self.table().inboxes.contains_key(&id)
    }

    /// Hands a notification to its request; false where it was dropped.
    pub(super) fn notify(&self, id: u64, message: Bytes) -> bool {
        if message.len() > MAX_NOTIFICATION_BYTES {
            return false;
        }
        let table = self.table();
        let Some(inbox) = table.inboxes.get(&id) else { return false };
        // The last place is the response's.
        inbox.capacity() > 1 && inbox.try_send(Delivery::Notification(message)).is_ok()
    }

    /// Hands a response to its request; false where nobody waits for it.
    pub(super) fn respond(&self, id: u64, message: Bytes) -> bool {
        let inbox = self.table().inboxes.remove(&id);
        inbox.is_some_and(|inbox| inbox.try_send(Delivery::Response(message)).is_ok())
    }

    /// Ends all requests with `error` and takes no more.
    pub(super) fn fail_all(&self, error: &TransportError) {
        let inboxes = {
            let mut table = self.table();
            table.closed = true;
            std::mem::take(&mut table.inboxes)
        };
        for inbox in inboxes.into_values() {
            // Full is impossible, and a caller that has gone needs no answer.
            let _ = inbox.try_send(Delivery::Failure(error.clone()));
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Ticket ===

impl Ticket {
    /// Waits for the next thing that belongs to the request.
    pub(super) async fn next(&mut self) -> Delivery {
        self.inbox.recv().await.unwrap_or_else(lost)
    }

    /// The rest as a stream that opens with a notification that has arrived.
    pub(super) fn into_messages(self, first: Bytes) -> super::super::Messages {
        Box::pin(Answer { ticket: Some(self), first: Some(first) })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pending.table().inboxes.remove(&self.id);
    }
}

// === impl Answer ===

impl Stream for Answer {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let Some(ticket) = &mut self.ticket else { return Poll::Ready(None) };
        let delivery = match ticket.inbox.poll_recv(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(delivery) => delivery.unwrap_or_else(lost),
        };
        Poll::Ready(Some(match delivery {
            Delivery::Notification(message) => Ok(message),
            Delivery::Response(message) => {
                self.ticket = None;
                Ok(message)
            }
            Delivery::Failure(error) => {
                self.ticket = None;
                Err(error)
            }
        }))
    }
}

fn lost() -> Delivery {
    Delivery::Failure(TransportError::Disconnected("the answer was lost".to_owned()))
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_slow_caller_loses_progress_but_never_the_response() {
        let pending = Arc::new(Pending::default());
        let ticket = pending.register(1).unwrap();
        let kept = (0..100).filter(|_| pending.notify(1, Bytes::from_static(b"progress"))).count();
        assert_eq!(kept, MAX_WAITING_NOTIFICATIONS);
        assert!(pending.respond(1, Bytes::from_static(b"response")));

        let messages: Vec<_> = ticket.into_messages(Bytes::from_static(b"first")).collect().await;
        assert_eq!(messages.len(), 1 + MAX_WAITING_NOTIFICATIONS + 1);
        assert_eq!(messages[0], Ok(Bytes::from_static(b"first")));
        assert_eq!(messages.last(), Some(&Ok(Bytes::from_static(b"response"))));
    }

    #[tokio::test]
    async fn a_failure_ends_the_stream_even_when_the_inbox_is_full() {
        let pending = Arc::new(Pending::default());
        let ticket = pending.register(1).unwrap();
        while pending.notify(1, Bytes::from_static(b"progress")) {}
        let broken = TransportError::Disconnected("gone".to_owned());
        pending.fail_all(&broken);

        let messages: Vec<_> = ticket.into_messages(Bytes::new()).collect().await;
        assert_eq!(messages.last(), Some(&Err(broken)));
        assert_eq!(pending.register(2).unwrap_err(), TransportError::Reconnected);
    }

    #[test]
    fn an_abandoned_request_leaves_the_table_and_its_late_response_is_dropped() {
        let pending = Arc::new(Pending::default());
        drop(pending.register(1).unwrap());
        assert!(!pending.contains(1));
        assert!(!pending.respond(1, Bytes::new()));
    }

    #[test]
    fn an_id_in_use_is_refused_and_its_owner_keeps_it() {
        let pending = Arc::new(Pending::default());
        let _owner = pending.register(1).unwrap();
        assert!(pending.register(1).unwrap_err().surely_not_processed());
        assert!(pending.respond(1, Bytes::new()));
    }

    #[test]
    fn an_oversized_notification_is_dropped() {
        let pending = Arc::new(Pending::default());
        let _ticket = pending.register(1).unwrap();
        assert!(!pending.notify(1, Bytes::from(vec![b' '; MAX_NOTIFICATION_BYTES + 1])));
        assert!(pending.notify(1, Bytes::from(vec![b' '; MAX_NOTIFICATION_BYTES])));
    }

    #[test]
    fn the_table_is_bounded() {
        let pending = Arc::new(Pending::default());
        let tickets: Vec<_> = (0..MAX_PENDING as u64).map(|id| pending.register(id).unwrap()).collect();
        assert_eq!(pending.register(u64::MAX).unwrap_err(), TransportError::Busy { retry_after: None });
        drop(tickets);
        assert!(pending.register(u64::MAX).is_ok());
    }
}

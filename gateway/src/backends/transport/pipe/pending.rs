//! The requests that a server still owes an answer.
//!
//! Each has a bounded inbox of its own, so that a slow caller holds up nobody
//! else: what no longer fits is progress and may be lost. One place in every
//! inbox is kept for the end, the response or the failure, which never is.
//!
//! A question of the server names no request. Where the pipe is one client's,
//! any of its requests will do, and the latest has it; else it is laid before
//! the one whose client can be asked, where there is exactly one: no client is
//! asked what another's call is about. What cannot be laid before anybody is
//! refused. Notifications that name no request are as questions are, only that
//! nobody need be told where they are lost.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;

use super::super::{Messages, Questions, TransportError};
use super::answers::{Answers, METHOD_NOT_FOUND, NO_ROOM};
use super::listening::MAX_QUESTION_BYTES;

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
    /// A question that its client is to be asked.
    Question {
        /// The id, as it was written.
        id: Box<str>,
        /// The whole request.
        message: Bytes,
    },
    /// Its response.
    Response(Bytes),
    /// There will be no response.
    Failure(TransportError),
}

/// The table of requests by id.
#[derive(Debug)]
pub(super) struct Pending {
    answers: Answers,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    closed: bool,
    inboxes: HashMap<u64, Inbox>,
}

#[derive(Debug)]
struct Inbox {
    deliveries: mpsc::Sender<Delivery>,
    questions: Questions,
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
}

// === impl Pending ===

impl Pending {
    pub(super) fn new(answers: Answers) -> Arc<Self> {
        Arc::new(Self { answers, table: Mutex::default() })
    }

    /// Makes place for a request that takes these questions.
    ///
    /// # Errors
    ///
    /// [`TransportError::Reconnected`] when the connection has ended,
    /// [`TransportError::Busy`] when too many wait, and
    /// [`TransportError::Unreachable`] when the id is in use; it is not to be sent then.
    pub(super) fn register(self: &Arc<Self>, id: u64, questions: Questions) -> Result<Ticket, TransportError> {
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
        let (deliveries, inbox) = mpsc::channel(MAX_WAITING_NOTIFICATIONS + 1);
        table.inboxes.insert(id, Inbox { deliveries, questions });
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
        table.inboxes.get(&id).is_some_and(|inbox| inbox.has_taken(Delivery::Notification(message)))
    }

    /// Hands a notification that names no request to one that would take a
    /// question; false where it was not taken.
    pub(super) fn notice(&self, message: &Bytes) -> bool {
        let table = self.table();
        let taking = table.taking_questions().filter(|_| message.len() <= MAX_NOTIFICATION_BYTES);
        taking.is_some_and(|inbox| inbox.has_taken(Delivery::Notification(message.clone())))
    }

    /// Lays a question before a request that takes it, or refuses it for lack
    /// of room; false where there is no such request, or it could be of several.
    pub(super) fn question(&self, id: &str, message: &Bytes) -> bool {
        let table = self.table();
        let Some(inbox) = table.taking_questions() else { return false };
        let fits = message.len() <= MAX_QUESTION_BYTES
            && inbox.has_taken(Delivery::Question { id: id.into(), message: message.clone() });
        drop(table);
        if !fits {
            self.answers.refuse(id, NO_ROOM);
        }
        true
    }

    /// Hands a response to its request; false where nobody waits for it.
    pub(super) fn respond(&self, id: u64, message: Bytes) -> bool {
        let inbox = self.table().inboxes.remove(&id);
        inbox.is_some_and(|inbox| inbox.deliveries.try_send(Delivery::Response(message)).is_ok())
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
            let _ = inbox.deliveries.try_send(Delivery::Failure(error.clone()));
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Table ===

impl Table {
    /// Whose client a question is for.
    fn taking_questions(&self) -> Option<&Inbox> {
        let taking = |wanted| self.inboxes.iter().filter(move |(_, inbox)| inbox.questions == wanted);
        // Ids grow: what a server asks is mostly about what it has just been told to do.
        if let Some((_, latest)) = taking(Questions::All).max_by_key(|(id, _)| **id) {
            return Some(latest);
        }
        let mut alone = taking(Questions::Own);
        match (alone.next(), alone.next()) {
            (Some((_, one)), None) => Some(one),
            _ => None,
        }
    }
}

// === impl Inbox ===

impl Inbox {
    /// Takes something that is not the end, unless only the last place is left.
    fn has_taken(&self, delivery: Delivery) -> bool {
        self.deliveries.capacity() > 1 && self.deliveries.try_send(delivery).is_ok()
    }
}

// === impl Ticket ===

impl Ticket {
    /// Waits for the next thing that belongs to the request.
    pub(super) async fn next(&mut self) -> Delivery {
        self.inbox.recv().await.unwrap_or_else(lost)
    }

    /// What comes from here on.
    pub(super) fn into_messages(self) -> Messages {
        Box::pin(Answer { ticket: Some(self) })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pending.table().inboxes.remove(&self.id);
        // Its server waits for an answer, which nobody will give now.
        while let Ok(delivery) = self.inbox.try_recv() {
            if let Delivery::Question { id, .. } = delivery {
                self.pending.answers.refuse(&id, METHOD_NOT_FOUND);
            }
        }
    }
}

// === impl Answer ===

impl Stream for Answer {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(ticket) = &mut self.ticket else { return Poll::Ready(None) };
        let delivery = match ticket.inbox.poll_recv(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(delivery) => delivery.unwrap_or_else(lost),
        };
        Poll::Ready(Some(match delivery {
            Delivery::Notification(message) | Delivery::Question { message, .. } => Ok(message),
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
mod tests;

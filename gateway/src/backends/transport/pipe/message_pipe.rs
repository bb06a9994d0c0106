//! Our end of one connection: requests go out, and what comes in finds those
//! who wait for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use tokio::time::{timeout, timeout_at};
use tracing::debug;

use super::super::{Messages, Outgoing, Questions, Reply, TransportError};
use super::answers::Answers;
use super::incoming::Said;
use super::listening::Listening;
use super::pending::{Delivery, Pending};

/// How long sending a notification may take.
const NOTIFY_PATIENCE: Duration = Duration::from_secs(10);

/// Where messages of ours go out.
pub(in super::super) trait Outlet: Send + Sync + fmt::Debug {
    /// Sends a message; one that is a `request` only while that is awaited.
    /// Dropping the future may leave it unsent.
    fn send(
        &self,
        message: Bytes,
        request: Option<u64>,
        headers: HeaderMap,
    ) -> BoxFuture<'_, Result<(), TransportError>>;

    /// Sends an answer to the server without waiting; false where there is no
    /// room for it.
    fn answer(&self, message: Bytes) -> bool;
}

/// Our end of one connection.
#[derive(Debug)]
pub(in super::super) struct Pipe {
    answers: Answers,
    pending: Arc<Pending>,
    listening: Arc<Listening>,
    /// Whether any request was ever answered.
    answered: AtomicBool,
}

// === impl Pipe ===

impl Pipe {
    /// A pipe to `upstream` whose messages go out at `outlet`.
    pub(in super::super) fn new(upstream: &Arc<str>, outlet: Arc<dyn Outlet>) -> Arc<Self> {
        let answers = Answers { upstream: Arc::clone(upstream), outlet };
        Arc::new(Self {
            pending: Pending::new(answers.clone()),
            listening: Listening::new(answers.clone()),
            answers,
            answered: AtomicBool::new(false),
        })
    }

    /// The upstream's name, for the log.
    pub(in super::super) fn upstream(&self) -> &Arc<str> {
        &self.answers.upstream
    }

    /// Whether the server answered any request.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether someone waits for the answer to `id`.
    pub(super) fn awaits(&self, id: u64) -> bool {
        self.pending.contains(id)
    }

    /// Sends a request and waits for the first message about it; for none
    /// where its client may be asked what it asks meanwhile beside another.
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    pub(super) async fn request(&self, outgoing: Outgoing) -> Result<Reply, TransportError> {
        let Outgoing { body, id, headers, deadline, questions, .. } = outgoing;
        let mut ticket = self.pending.register(id, questions)?;
        let mut sending = self.answers.outlet.send(body, Some(id), headers);
        let first = async {
            // A server may begin to answer before it has said that it took
            // the request.
            tokio::select! {
                biased;
                sent = &mut sending => sent?,
                delivery = ticket.next() => return Ok(Some(delivery)),
            }
            Ok(if questions == Questions::All { None } else { Some(ticket.next().await) })
        };
        let first = match timeout_at(deadline, first).await.map_err(|_| TransportError::TimedOut)?? {
            Some(Delivery::Response(message)) => return Ok(Reply::Message { message, session: None }),
            Some(Delivery::Failure(error)) => return Err(error),
            Some(Delivery::Notification(message) | Delivery::Question { message, .. }) => Some(message),
            None => None,
        };
        Ok(Reply::Stream { first, messages: ticket.into_messages(), session: None })
    }

    /// Sends a notification, or an answer to a question of the server.
    ///
    /// # Errors
    ///
    /// [`TransportError::TimedOut`] when the server does not take it, and
    /// [`TransportError::Reconnected`] when the connection has ended.
    pub(super) async fn notify(&self, message: Bytes, headers: HeaderMap) -> Result<(), TransportError> {
        let sent = timeout(NOTIFY_PATIENCE, self.answers.outlet.send(message, None, headers)).await;
        sent.map_err(|_| TransportError::TimedOut)?
    }

    /// Hears what belongs to no request; whoever did so before hears no more.
    ///
    /// # Errors
    ///
    /// When the connection has been lost.
    pub(super) fn listen(&self) -> Result<Messages, TransportError> {
        self.listening.listen()
    }

    /// Takes in a message; false where it is none.
    pub(super) fn take(&self, message: &Bytes) -> bool {
        let Some(said) = Said::read(message) else { return false };
        match said {
            Said::Response(id) => {
                self.answered.store(true, Ordering::Relaxed);
                if !id.is_some_and(|id| self.pending.respond(id, message.clone())) {
                    self.dropped("a response that nobody waits for");
                }
            }
            Said::About(id) => {
                if !id.is_some_and(|id| self.pending.notify(id, message.clone())) {
                    self.dropped("a notification about a request that nobody waits for, or that found no room");
                }
            }
            Said::Notice => {
                if !self.pending.notice(message) {
                    self.listening.notice(message.clone());
                }
            }
            Said::Ping(id) => self.answers.pong(id),
            Said::Question(id) => {
                if !self.pending.question(id, message) {
                    self.listening.question(id, message.clone());
                }
            }
            Said::Unanswerable => self.dropped("a request with an oversized id"),
        }
        true
    }

    /// Ends everything that waits; there will be no more messages.
    pub(in super::super) fn end(&self, error: &TransportError) {
        self.pending.fail_all(error);
        self.listening.end(error);
    }

    fn dropped(&self, what: &'static str) {
        debug!(upstream = %self.upstream(), what, "dropped a message of the server");
    }
}

/// Keeps what is sent, for tests.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct Recorded(std::sync::Mutex<Vec<String>>);

#[cfg(test)]
impl Recorded {
    /// What was sent since this was last asked.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[cfg(test)]
impl Outlet for Recorded {
    fn send(
        &self,
        message: Bytes,
        _request: Option<u64>,
        _headers: HeaderMap,
    ) -> BoxFuture<'_, Result<(), TransportError>> {
        self.answer(message);
        Box::pin(std::future::ready(Ok(())))
    }

    fn answer(&self, message: Bytes) -> bool {
        self.0.lock().unwrap().push(String::from_utf8(message.to_vec()).unwrap());
        true
    }
}

#[cfg(test)]
mod tests;

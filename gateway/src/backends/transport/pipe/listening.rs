//! What a server says that belongs to no request of ours: notices of changed
//! lists and resources, its log, and questions that cannot be laid at anyone's
//! door.
//!
//! One consumer hears it, and a new one takes over. Notices wait for one, so
//! that none is lost between the handshake and the first listener, and the
//! oldest makes room for the newest. A question waits only where somebody
//! listens, and makes room for nothing: its server waits for an answer, so
//! whoever cannot take it must say so.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::Stream;
use tracing::debug;

use super::super::{Messages, TransportError};
use super::answers::{Answers, METHOD_NOT_FOUND, NO_ROOM};

/// Messages held for a listener that does not take them.
const MAX_WAITING: usize = 256;
/// The same in bytes.
const MAX_WAITING_BYTES: usize = 4 << 20;
/// A larger notice is dropped.
const MAX_NOTICE_BYTES: usize = 256 << 10;
/// A larger question is refused.
pub(super) const MAX_QUESTION_BYTES: usize = 1 << 20;

/// What waits for whoever listens.
#[derive(Debug)]
pub(super) struct Listening {
    answers: Answers,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Held>,
    bytes: usize,
    /// Who listens; each listener has a number of its own.
    listener: Option<u64>,
    listeners: u64,
    waker: Option<Waker>,
    /// How the connection was lost.
    end: Option<TransportError>,
}

#[derive(Debug)]
struct Held {
    message: Bytes,
    /// The id of a question, as it was written.
    question: Option<Box<str>>,
}

/// The one who listens.
struct Listener {
    listening: Arc<Listening>,
    number: u64,
    ended: bool,
}

// === impl Listening ===

impl Listening {
    pub(super) fn new(answers: Answers) -> Arc<Self> {
        Arc::new(Self { answers, state: Mutex::default() })
    }

    /// Holds a notice.
    pub(super) fn notice(&self, message: Bytes) {
        let mut state = self.state();
        let held = message.len() <= MAX_NOTICE_BYTES && state.make_room(message.len());
        if held {
            state.hold(Held { message, question: None });
        } else {
            debug!(upstream = %self.answers.upstream, "dropped a notification that found no room");
        }
    }

    /// Holds a question, or refuses it.
    pub(super) fn question(&self, id: &str, message: Bytes) {
        let mut state = self.state();
        if state.listener.is_none() {
            drop(state);
            return self.answers.refuse(id, METHOD_NOT_FOUND);
        }
        if message.len() > MAX_QUESTION_BYTES || !state.has_room(message.len()) {
            drop(state);
            return self.answers.refuse(id, NO_ROOM);
        }
        state.hold(Held { message, question: Some(id.into()) });
    }

    /// Listens from now on; whoever did so before hears no more.
    ///
    /// # Errors
    ///
    /// When the connection has been lost.
    pub(super) fn listen(self: &Arc<Self>) -> Result<Messages, TransportError> {
        let mut state = self.state();
        if let Some(error) = &state.end {
            return Err(error.clone());
        }
        state.listeners += 1;
        state.listener = Some(state.listeners);
        state.wake();
        Ok(Box::pin(Listener { listening: Arc::clone(self), number: state.listeners, ended: false }))
    }

    /// Ends what is heard once all that waits was taken.
    pub(super) fn end(&self, error: &TransportError) {
        let mut state = self.state();
        state.end.get_or_insert_with(|| error.clone());
        state.wake();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn has_room(&self, bytes: usize) -> bool {
        self.waiting.len() < MAX_WAITING && self.bytes + bytes <= MAX_WAITING_BYTES
    }

    /// Drops the oldest notices until there is room; false where questions
    /// alone take all of it.
    fn make_room(&mut self, bytes: usize) -> bool {
        while !self.has_room(bytes) {
            let Some(oldest) = self.waiting.iter().position(|held| held.question.is_none()) else { return false };
            self.bytes -= self.waiting.remove(oldest).map_or(0, |held| held.message.len());
        }
        true
    }

    fn hold(&mut self, held: Held) {
        self.bytes += held.message.len();
        self.waiting.push_back(held);
        self.wake();
    }

    fn take(&mut self) -> Option<Bytes> {
        let held = self.waiting.pop_front()?;
        self.bytes -= held.message.len();
        Some(held.message)
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

// === impl Listener ===

impl Stream for Listener {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let listening = Arc::clone(&self.listening);
        let mut state = listening.state();
        if state.listener != Some(self.number) {
            self.ended = true;
            return Poll::Ready(None);
        }
        if let Some(message) = state.take() {
            return Poll::Ready(Some(Ok(message)));
        }
        if let Some(error) = state.end.clone() {
            self.ended = true;
            return Poll::Ready(Some(Err(error)));
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let unheard: Vec<_> = {
            let mut state = self.listening.state();
            if state.listener != Some(self.number) {
                return;
            }
            state.listener = None;
            state.waker = None;
            let (questions, notices): (VecDeque<_>, VecDeque<_>) =
                state.waiting.drain(..).partition(|held| held.question.is_some());
            state.bytes = notices.iter().map(|held| held.message.len()).sum();
            state.waiting = notices;
            questions.into_iter().filter_map(|held| held.question).collect()
        };
        for id in unheard {
            self.listening.answers.refuse(&id, METHOD_NOT_FOUND);
        }
    }
}

#[cfg(test)]
mod tests;

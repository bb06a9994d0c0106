//! The bounded queue in front of a model.
//!
//! A conversation waits twice in the order of arrival: for the thread that
//! renders and tokenises it, then for a slot. The queue counts those that run
//! as well, so a burst that finds every slot free does not count as waiting.
//! Places are given back before the client hears of the end: one that asks
//! again at once is not refused for its own sake.

mod line;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::conversation::{Arrival, Conversation, Place};
use super::error::ChatError;
use super::observer::Observer;
use super::stream::{self, ChatStream};
use crate::chat::ChatRequest;
use line::Line;

/// Tells conversations of one queue apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// Conversations that wait, and the number of those that run.
pub(super) struct Queue {
    line: Mutex<Line>,
    /// The prompter waits here.
    arrived: Condvar,
    /// The worker waits here.
    prepared: Condvar,
    observer: Arc<dyn Observer>,
}

// === impl Queue ===

impl Queue {
    /// A queue in which `max_queue` may wait while `slots` run.
    pub(super) fn new(max_queue: usize, slots: usize, observer: Arc<dyn Observer>) -> Self {
        let line = Mutex::new(Line::new(max_queue, slots));
        Self { line, arrived: Condvar::new(), prepared: Condvar::new(), observer }
    }

    /// So many run at once from now on.
    pub(super) fn set_slots(&self, slots: usize) {
        self.change(|line| line.slots = slots);
    }

    /// Takes a conversation in, or refuses it; never waits.
    ///
    /// # Errors
    ///
    /// [`ChatError::QueueFull`], or [`ChatError::Unavailable`] once it is closed.
    pub(super) fn submit(self: &Arc<Self>, request: ChatRequest) -> Result<ChatStream, ChatError> {
        let stream = self.change(|line| {
            let ticket = line.admit()?;
            let (outlet, stream) = stream::answer(Arc::clone(self), ticket);
            let place = Place { ticket, outlet, submitted: Instant::now(), deadline: request.deadline };
            line.arrived.push_back(Arrival { place, request });
            Ok(stream)
        })?;
        self.arrived.notify_one();
        Ok(stream)
    }

    /// The reader is gone: what waits for it leaves the queue. What runs is
    /// noticed between two steps.
    pub(super) fn forget(&self, ticket: Ticket) {
        // Dropped after the lock is let go of: there may be much text in it.
        let forgotten = self.change(|line| line.remove(ticket));
        drop(forgotten);
    }

    /// The next conversation to tokenise, in order of arrival; `None` once the
    /// queue is closed. While it waits, it ends what waits beyond its deadline.
    pub(super) fn next_arrival(&self) -> Option<Arrival> {
        let mut line = self.lock();
        loop {
            if line.is_closed {
                return None;
            }
            let now = Instant::now();
            line.expire(now);
            let next = line.arrived.pop_front();
            line.is_preparing = next.is_some();
            self.report(&mut line);
            if next.is_some() {
                return next;
            }
            line = match line.earliest_deadline() {
                None => self.arrived.wait(line).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let pause = deadline.saturating_duration_since(now);
                    self.arrived.wait_timeout(line, pause).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Takes back what [`Queue::next_arrival`] gave, ready for a slot.
    pub(super) fn prepared(&self, conversation: Conversation) {
        let rejected = self.change(|line| {
            line.is_preparing = false;
            if line.is_closed {
                return Some(conversation);
            }
            line.prepared.push_back(conversation);
            None
        });
        match rejected {
            Some(conversation) => conversation.place.refuse(ChatError::Unavailable),
            None => self.prepared.notify_one(),
        }
    }

    /// What [`Queue::next_arrival`] gave does not come back.
    pub(super) fn refused(&self) {
        self.change(|line| line.is_preparing = false);
    }

    /// Waits until a conversation is ready for a slot; false once the queue is
    /// closed.
    pub(super) fn wait(&self) -> bool {
        let line = self.prepared.wait_while(self.lock(), |line| !line.is_closed && line.prepared.is_empty());
        !line.unwrap_or_else(PoisonError::into_inner).is_closed
    }

    /// The next conversation to run, where one is ready. It counts as running
    /// until [`Queue::ended`].
    pub(super) fn take(&self) -> Option<Conversation> {
        self.change(|line| {
            line.expire(Instant::now());
            let next = line.prepared.pop_front()?;
            line.running += 1;
            Some(next)
        })
    }

    /// One that ran has ended; an answer that was finished took so long.
    pub(super) fn ended(&self, took: Option<Duration>) {
        self.change(|line| {
            line.running = line.running.saturating_sub(1);
            if let Some(took) = took {
                line.pace.answered(took);
            }
        });
    }

    /// Sends away all that wait.
    pub(super) fn clear(&self, error: &ChatError) {
        self.change(|line| line.clear(error));
    }

    /// Sends away all that wait, and takes nothing in any more.
    pub(super) fn close(&self) {
        self.change(|line| {
            line.is_closed = true;
            line.clear(&ChatError::Unavailable);
        });
        self.arrived.notify_all();
        self.prepared.notify_all();
    }

    /// True once it is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Lets so much time pass, or less if the queue is closed meanwhile.
    pub(super) fn pause(&self, time: Duration) {
        // Neither the line nor whether time ran out is of interest.
        drop(self.prepared.wait_timeout_while(self.lock(), time, |line| !line.is_closed));
    }

    fn change<T>(&self, change: impl FnOnce(&mut Line) -> T) -> T {
        let mut line = self.lock();
        let outcome = change(&mut line);
        self.report(&mut line);
        outcome
    }

    /// Under the lock, so that reports come in the order of what happened.
    fn report(&self, line: &mut Line) {
        if let Some((running, waiting)) = line.news() {
            self.observer.requests(running, waiting);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

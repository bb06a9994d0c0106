//! The answer to a POST, kept so that a client whose connection broke can have
//! the rest of it (MCP 2025-11-25, "Resumability and Redelivery").
//!
//! As long as the connection holds, whoever writes to it drives the call. If
//! it breaks before the response, the call goes on in a task of its own: that
//! a client is gone does not say that it cancelled.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::ring::{Numbered, Ring};
use super::streams::Streams;

/// How long an answer is kept once it is whole.
const KEPT_FOR: Duration = Duration::from_secs(5 * 60);

/// Messages of an answer; the last is the response.
pub type Messages = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// One answer.
pub struct Replay {
    streams: Arc<Streams>,
    state: Mutex<State>,
    more: Notify,
    withdrawn: Notify,
}

struct State {
    ring: Ring,
    /// What is still to come, where no task waits for it.
    rest: Option<Messages>,
    /// Who writes it to the connection.
    writer: Option<Waker>,
    whole_since: Option<Instant>,
}

// === impl Replay ===

impl Replay {
    pub(super) fn new(messages: Messages, streams: Arc<Streams>) -> Self {
        let ring = Ring::new(Arc::clone(&streams));
        let state = State { ring, rest: Some(messages), writer: None, whole_since: None };
        Self { streams, state: Mutex::new(state), more: Notify::new(), withdrawn: Notify::new() }
    }

    /// The next message, for the connection that the answer began on; `None`
    /// also when it goes on elsewhere.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Numbered>> {
        let mut state = self.state();
        let Some(rest) = &mut state.rest else { return Poll::Ready(None) };
        let Poll::Ready(message) = rest.as_mut().poll_next(cx) else {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let Some(message) = message else {
            let rest = state.end();
            drop(state);
            drop(rest);
            self.more.notify_waiters();
            return Poll::Ready(None);
        };
        let number = state.ring.push_over(message.clone());
        drop(state);
        // A client may read on elsewhere while this connection seems to hold.
        self.more.notify_waiters();
        Poll::Ready(Some((number, message)))
    }

    /// Lets the call go on without the connection that its answer began on.
    /// Where too many do, it stays with that connection.
    pub fn detach(self: &Arc<Self>) {
        if self.state().rest.is_none() {
            return;
        }
        let (Ok(runtime), Some(place)) = (Handle::try_current(), self.streams.detach()) else { return };
        let (rest, writer) = {
            let mut state = self.state();
            (state.rest.take(), state.writer.take())
        };
        // Whoever still waits there has nothing more to write.
        writer.iter().for_each(Waker::wake_by_ref);
        let Some(rest) = rest else { return };
        let replay = Arc::clone(self);
        runtime.spawn(async move {
            replay.drive(rest).await;
            drop(place);
        });
    }

    async fn drive(&self, mut rest: Messages) {
        loop {
            let message = tokio::select! {
                biased;
                () = self.withdrawn.notified() => break,
                message = rest.next() => message,
            };
            let Some(message) = message else { break };
            self.state().ring.push_over(message);
            self.more.notify_waiters();
        }
        self.end();
    }

    /// The first message after that of this number, as soon as there is one;
    /// `None` after the last.
    pub async fn after(&self, number: u64) -> Option<Numbered> {
        loop {
            // Before looking, so that nothing that comes meanwhile is missed.
            let more = self.more.notified();
            {
                let state = self.state();
                let next = state.ring.after(number);
                if next.is_some() || state.whole_since.is_some() {
                    return next;
                }
            }
            more.await;
        }
    }

    /// Ends the call, if it goes on without a connection: nobody can ask for
    /// its answer any more.
    pub(super) fn withdraw(&self) {
        self.withdrawn.notify_one();
    }

    /// Whether nothing more comes.
    pub(super) fn is_whole(&self) -> bool {
        self.state().whole_since.is_some()
    }

    /// Whether it was whole for so long that nobody asks for it any more.
    pub(super) fn is_old(&self) -> bool {
        self.state().whole_since.is_some_and(|since| since.elapsed() >= KEPT_FOR)
    }

    fn end(&self) {
        let rest = self.state().end();
        drop(rest);
        self.more.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Replay")
    }
}

// === impl State ===

impl State {
    /// What is left is for the caller to drop, when nothing is locked.
    fn end(&mut self) -> Option<Messages> {
        self.whole_since.get_or_insert_with(Instant::now);
        self.rest.take()
    }
}

/// The answer on the connection it began on. Dropped before the last message,
/// it lets the call go on.
#[derive(Debug)]
pub struct Begun(pub Arc<Replay>);

impl Stream for Begun {
    type Item = Numbered;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Numbered>> {
        Poll::Ready(ready!(self.0.poll_next(cx)))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.detach();
        if self.0.state().rest.is_some() {
            self.0.end();
        }
    }
}

#[cfg(test)]
mod tests;

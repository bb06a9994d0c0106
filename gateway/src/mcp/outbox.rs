//! What waits for the client of one session, beyond the answers to its
//! requests: messages for the stream that it leaves open, and answers that it
//! may ask for again.
//!
//! Made when the first of them is there: a session that has none costs
//! nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::changes::{Changes, Kind, Moment};
use super::event_id::StreamId;
use super::replay::{Begun, Messages, Replay};
pub use super::ring::Full;
use super::ring::{Numbered, Ring};
use super::streams::Streams;

/// Answers of one session that are kept.
const MAX_REPLAYS: usize = 32;

/// One session's outbox.
#[derive(Debug)]
pub struct Outbox {
    /// Random, so that an id of another outbox of the session means nothing
    /// here: it was forgotten, or is another replica's.
    number: u64,
    streams: Arc<Streams>,
    state: Mutex<State>,
    more: Notify,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    /// The last message that a reader had.
    sent: u64,
    /// The reader whose turn it is; those before it are over.
    reader: u64,
    is_read: bool,
    /// Up to when the client was told of changes.
    told: Changes,
    replays: Vec<(u64, Arc<Replay>)>,
    last_replay: u64,
    ended: bool,
}

/// Reads the messages for the standing stream, until another takes over.
#[derive(Debug)]
pub struct Reader {
    outbox: Arc<Outbox>,
    number: u64,
    after: u64,
}

// === impl Outbox ===

impl Outbox {
    /// Empty. The client knows of all changes up to `since`.
    pub(super) fn new(streams: Arc<Streams>, since: Moment) -> Self {
        let (number, _) = uuid::Uuid::new_v4().as_u64_pair();
        let state = State {
            ring: Ring::new(Arc::clone(&streams)),
            sent: 0,
            reader: 0,
            is_read: false,
            told: Changes::all(since),
            replays: Vec::new(),
            last_replay: StreamId::STANDING,
            ended: false,
        };
        Self { number, streams, state: Mutex::new(state), more: Notify::new() }
    }

    /// Puts in a message for the standing stream: a notification, or a request
    /// to the client. It waits there for a client that has none open now.
    ///
    /// # Errors
    ///
    /// If so much waits already, or the message is too large.
    pub fn push(&self, message: Bytes) -> Result<(), Full> {
        let mut state = self.state();
        if state.ended {
            return Err(Full);
        }
        let sent = state.sent;
        state.ring.push(message, sent)?;
        drop(state);
        self.more.notify_waiters();
        Ok(())
    }

    /// Whether the client has its standing stream open, as far as is known.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.state().is_read
    }

    /// Tells the client of lists that changed since it was told last; says
    /// whether it could be told of all.
    pub fn tell(&self, changes: Changes) -> bool {
        let told = self.state().told;
        for kind in Kind::ALL.into_iter().filter(|kind| changes.of(*kind) > told.of(*kind)) {
            if self.push(kind.notification()).is_err() {
                return false;
            }
            self.state().told.note(kind, changes.of(kind));
        }
        true
    }

    /// Begins to read what no reader had yet, or what came after the message
    /// of an id. A reader from before is over.
    #[must_use]
    pub fn read(self: &Arc<Self>, last: Option<(StreamId, u64)>) -> Reader {
        let last = last.filter(|(stream, _)| stream.outbox == self.number).map(|(_, number)| number);
        let mut state = self.state();
        state.reader += 1;
        state.is_read = true;
        // An id from the future is none of ours.
        let after = last.filter(|number| *number <= state.ring.last()).unwrap_or(state.sent);
        let number = state.reader;
        drop(state);
        self.more.notify_waiters();
        Reader { outbox: Arc::clone(self), number, after }
    }

    /// Keeps an answer while it is sent, and for a while.
    ///
    /// # Errors
    ///
    /// The messages, if too many answers are under way.
    pub fn keep(&self, messages: Messages) -> Result<(StreamId, Begun), Messages> {
        let mut state = self.state();
        if state.replays.len() >= MAX_REPLAYS {
            let Some(oldest) = state.replays.iter().position(|(_, replay)| replay.is_whole()) else {
                return Err(messages);
            };
            state.replays.remove(oldest);
        }
        let replay = Arc::new(Replay::new(messages, Arc::clone(&self.streams)));
        state.last_replay += 1;
        let number = state.last_replay;
        state.replays.push((number, Arc::clone(&replay)));
        Ok((StreamId { outbox: self.number, number }, Begun(replay)))
    }

    /// The answer of an id, if it is kept.
    #[must_use]
    pub fn kept(&self, stream: StreamId) -> Option<Arc<Replay>> {
        let state = self.state();
        let replays = state.replays.iter().filter(|_| stream.outbox == self.number);
        let (_, replay) = replays.into_iter().find(|(number, _)| *number == stream.number)?;
        Some(Arc::clone(replay))
    }

    /// Its standing stream.
    #[must_use]
    pub const fn standing(&self) -> StreamId {
        StreamId { outbox: self.number, number: StreamId::STANDING }
    }

    /// Forgets answers that nobody asks for any more.
    pub(super) fn sweep(&self) {
        let mut state = self.state();
        let (kept, old) = std::mem::take(&mut state.replays).into_iter().partition(|(_, replay)| !replay.is_old());
        state.replays = kept;
        drop(state);
        drop::<Vec<_>>(old);
    }

    /// The session ended: so does everything here.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        let replays = std::mem::take(&mut state.replays);
        drop(state);
        replays.iter().for_each(|(_, replay)| replay.withdraw());
        self.more.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Reader ===

impl Reader {
    /// The number of the message after which it reads.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.after
    }

    /// The next message, as soon as there is one; `None` once another reader
    /// has taken over or the session has ended.
    pub async fn next(&mut self) -> Option<Numbered> {
        loop {
            // Before looking, so that nothing that comes meanwhile is missed.
            let more = self.outbox.more.notified();
            {
                let mut state = self.outbox.state();
                if state.ended || state.reader != self.number {
                    return None;
                }
                if let Some((number, message)) = state.ring.after(self.after) {
                    self.after = number;
                    state.sent = state.sent.max(number);
                    return Some((number, message));
                }
            }
            more.await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.outbox.state();
        // Another may have taken over.
        state.is_read &= state.reader != self.number;
    }
}

#[cfg(test)]
mod tests;

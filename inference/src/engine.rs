//! One model at work: a bounded queue in front of the thread that owns it.
//!
//! A conversation is [submitted](Engine::submit) and waits in the queue in
//! order of arrival. The *prompter*, a thread of its own, makes tokens of it.
//! The *worker*, the one thread that ever touches the device, gives it a slot
//! of the cache and computes it together with the others that have one. Its
//! text comes back through a [`ChatStream`]. Callers never wait for a lock that
//! is held while something is computed, and the worker never waits for a
//! reader.

mod backoff;
mod batch;
mod chunk;
mod conversation;
mod error;
pub(crate) mod forward;
pub(crate) mod language;
pub(crate) mod load;
pub mod observer;
mod pace;
mod prompter;
mod queue;
mod sequence;
mod shared;
mod slots;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod threads;
mod worker;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

pub use error::ChatError;
pub use state::{Description, State};
pub use stream::ChatStream;
use tokio::sync::watch;

use crate::chat::ChatRequest;
use crate::settings::ModelSettings;
use backoff::Backoff;
use load::Load;
use observer::Observer;
use queue::Queue;
use shared::Shared;
use threads::Threads;

/// Pauses between attempts to start a model again that keeps failing.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// A handle to one model; clones share it. The last one dropped ends the
/// threads, and the conversations with [`ChatError::Unavailable`].
#[derive(Clone, Debug)]
pub struct Engine {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

// === impl Engine ===

impl Engine {
    /// Starts to load a model, and returns at once. `load` is called on the
    /// thread that will own the model, and again after the model failed.
    pub(crate) fn start(settings: &ModelSettings, load: impl Load, observer: Arc<dyn Observer>) -> Self {
        Self::start_with(settings, load, observer, BACKOFF)
    }

    fn start_with(
        settings: &ModelSettings,
        mut load: impl Load,
        observer: Arc<dyn Observer>,
        backoff: Backoff,
    ) -> Self {
        let queue = Arc::new(Queue::new(settings.max_queue, settings.max_concurrent, Arc::clone(&observer)));
        let shared = Arc::new(Shared::new(settings.name.clone(), queue, observer));
        let handle = Handle { shared, threads: Arc::default() };
        handle.spawn("prompter", prompter::run);
        handle.spawn("model", move |shared| worker::run(shared, &mut load, backoff));
        Self { handle: Arc::new(handle) }
    }

    /// Submits a conversation. Never waits: the queue takes it or refuses.
    ///
    /// # Errors
    ///
    /// [`ChatError::QueueFull`], [`ChatError::Loading`] or
    /// [`ChatError::Unavailable`]. What is wrong with the conversation itself is
    /// the stream's first item.
    pub fn submit(&self, request: ChatRequest) -> Result<ChatStream, ChatError> {
        match self.handle.shared.refusal() {
            Some(refusal) => Err(refusal),
            None => self.handle.shared.queue.submit(request),
        }
    }

    /// How far the model is, now.
    #[must_use]
    pub fn state(&self) -> State {
        self.handle.shared.state()
    }

    /// How far the model is, and each change of it.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<State> {
        self.handle.shared.watch()
    }

    /// Waits until the model is ready or has failed.
    pub async fn loaded(&self) -> State {
        let mut states = self.states();
        let settled = states.wait_for(|state| !matches!(state, State::Loading { .. })).await;
        // The sender is ours and lives as long as we do.
        settled.map_or(State::Stopped, |state| state.clone())
    }

    /// Ends the threads, and all conversations with [`ChatError::Unavailable`];
    /// waits for that, but no longer than `patience`. True if they have ended.
    ///
    /// Blocks its thread: not for asynchronous code. Dropping the last handle
    /// does the same without waiting. A load that is under way breaks off before
    /// it reads the next part.
    pub fn shutdown(&self, patience: Duration) -> bool {
        self.handle.shared.close(State::Stopped);
        self.handle.threads.wait(patience)
    }
}

// === impl Handle ===

impl Handle {
    /// Starts one of the two threads. Neither does without the other: whatever
    /// ends one of them ends the engine.
    fn spawn(&self, role: &'static str, body: impl FnOnce(&Shared) + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        let name = format!("{role}-{}", shared.name);
        let started = self.threads.spawn(name, move || {
            if catch_unwind(AssertUnwindSafe(|| body(&shared))).is_err() {
                tracing::error!(model = %shared.name, thread = role, "a thread of a model broke off");
                shared.close(State::Failed("a thread of the model broke off".to_owned()));
            }
        });
        if let Err(error) = started {
            self.shared.close(State::Failed(format!("no thread could be started: {error}")));
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close(State::Stopped);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("name", &self.shared.name).field("state", &self.shared.state()).finish()
    }
}

//! What the handles and the threads of one engine share.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::error::ChatError;
use super::language::Language;
use super::observer::Observer;
use super::queue::Queue;
use super::state::State;

/// One engine's common ground.
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) queue: Arc<Queue>,
    pub(super) observer: Arc<dyn Observer>,
    state: watch::Sender<State>,
    /// There once the model was loaded for the first time.
    text: Mutex<Option<Text>>,
}

/// What the prompter needs of a loaded model.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) language: Arc<dyn Language>,
    pub(super) context_length: usize,
}

// === impl Shared ===

impl Shared {
    /// Of a model that is not loaded yet.
    pub(super) fn new(name: String, queue: Arc<Queue>, observer: Arc<dyn Observer>) -> Self {
        let (state, _) = watch::channel(State::NOTHING_LOADED);
        Self { name, queue, observer, state, text: Mutex::new(None) }
    }

    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Why no conversation is taken in, if so.
    pub(super) fn refusal(&self) -> Option<ChatError> {
        match *self.state.borrow() {
            State::Ready(_) => None,
            State::Loading { .. } => Some(ChatError::Loading),
            State::Failed(_) | State::Stopped => Some(ChatError::Unavailable),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Says how far the model is, unless that is over.
    pub(super) fn set_state(&self, next: State) {
        self.state.send_if_modified(|state| {
            let is_over = matches!(state, State::Failed(_) | State::Stopped);
            if !is_over {
                *state = next;
            }
            !is_over
        });
    }

    /// Takes nothing in any more, and sends away what waits. The threads end.
    pub(super) fn close(&self, last: State) {
        self.set_state(last);
        self.queue.close();
    }

    pub(super) fn text(&self) -> Option<Text> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_text(&self, text: Text) {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }
}

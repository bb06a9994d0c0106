//! One model at work: a bounded queue in front of the thread that owns it.

mod forward;
pub mod observer;

use std::sync::Arc;
use std::time::Duration;

use self::observer::Observer;
use crate::chat::{ChatEvent, ChatRequest};
use crate::settings::ModelSettings;

/// Why a conversation is refused, or broke off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChatError {
    /// As many wait as may wait.
    #[error("the model is busy: its queue is full")]
    QueueFull {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The checkpoint is still being read, or the engine restarts.
    #[error("the model is not ready yet")]
    Loading,
    /// The model could not be loaded, or the engine is shut down.
    #[error("the model is not available")]
    Unavailable,
    /// The rendered prompt leaves no room for an answer.
    #[error("the prompt has {prompt_tokens} tokens, and the context holds {context_length}")]
    PromptTooLong {
        /// Tokens of the prompt; where it was not worth counting, at least so many.
        prompt_tokens: usize,
        /// Tokens that prompt and answer may have together.
        context_length: usize,
    },
    /// The model's chat template does not accept these messages. The text says
    /// what it objects to; it is for the caller.
    #[error("the model's chat template refuses the messages: {0}")]
    Messages(String),
    /// The deadline passed.
    #[error("the answer took longer than it may")]
    DeadlineExceeded,
    /// The computation failed; the engine restarts.
    #[error("the model failed")]
    Failed,
}

/// What runs where, once it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The model's family: `llama`, `qwen3`.
    pub family: String,
    /// How many weights it has.
    pub parameters: u64,
    /// The device's own name: `NVIDIA H200`, `AMD EPYC 7763`.
    pub device: String,
    /// What computes there: `flex`, `wgpu (vulkan)`.
    pub backend: String,
    /// `f32`, `f16`, `q8`, `q4`.
    pub precision: String,
    /// Bytes of weights on the device.
    pub weight_bytes: u64,
    /// Bytes of key-value cache on the device.
    pub cache_bytes: u64,
    /// Tokens of prompt and answer together.
    pub context_length: usize,
    /// Conversations computed at once.
    pub max_concurrent: usize,
}

/// How far a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Being read, put on its device and warmed up.
    Loading {
        /// Bytes of weights read so far.
        done_bytes: u64,
        /// Bytes of weights in all.
        total_bytes: u64,
    },
    /// Answers.
    Ready(Description),
    /// Cannot be loaded; the reason, for the operator.
    Failed(String),
    /// Shut down.
    Stopped,
}

/// The answer to one request, as it is made. Dropping it stops the generation.
#[derive(Debug)]
pub struct ChatStream {}

impl ChatStream {
    /// The next piece; `None` after [`ChatEvent::Finished`] or an error.
    #[expect(clippy::unused_async, reason = "until the worker exists")]
    pub async fn next(&mut self) -> Option<Result<ChatEvent, ChatError>> {
        None
    }
}

/// What [`Engine::open`] would make of these settings. Reads the checkpoint's
/// configuration and the headers of its weights and looks for the device;
/// loads nothing.
///
/// # Errors
///
/// Why it cannot be loaded, for the operator.
pub fn describe(_settings: &ModelSettings) -> Result<Description, String> {
    Err("models cannot be loaded yet".to_owned())
}

/// A handle to one model; clones share it. The last one dropped ends the thread.
#[derive(Clone, Debug)]
pub struct Engine {}

impl Engine {
    /// Starts to load a model, in the background.
    #[must_use]
    pub fn open(_settings: ModelSettings, _observer: Arc<dyn Observer>) -> Self {
        Self {}
    }

    /// Submits a conversation. Never waits: the queue takes it or refuses.
    ///
    /// # Errors
    ///
    /// [`ChatError::QueueFull`], [`ChatError::Loading`] or
    /// [`ChatError::Unavailable`]. What is wrong with the conversation itself is
    /// the stream's first item.
    pub fn submit(&self, _request: ChatRequest) -> Result<ChatStream, ChatError> {
        Err(ChatError::Unavailable)
    }

    /// Ends the threads; waits for that, but no longer than `patience`.
    pub fn shutdown(&self, _patience: Duration) -> bool {
        true
    }

    /// How far the model is, now.
    #[must_use]
    pub fn state(&self) -> State {
        State::Stopped
    }

    /// Waits until the model is ready or has failed.
    #[expect(clippy::unused_async, reason = "until the worker exists")]
    pub async fn loaded(&self) -> State {
        State::Stopped
    }
}

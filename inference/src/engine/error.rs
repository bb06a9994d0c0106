//! Why a conversation gets no answer.

use std::time::Duration;

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

//! The text side of a model as the engine sees it.
//!
//! Everything that one conversation needs of it is made once, before the
//! conversation reaches the device, so the thread that owns the device never
//! renders or tokenises.

use std::sync::Arc;

use super::error::ChatError;
use crate::chat::{Message, Sampling};

/// Turns messages into tokens, and makes what turns logits and tokens back
/// into text.
pub(crate) trait Language: Send + Sync {
    /// Renders and tokenises a conversation, up to where the answer starts.
    ///
    /// # Errors
    ///
    /// [`ChatError::Messages`], or [`ChatError::PromptTooLong`] where the
    /// prompt leaves no room for one more token.
    fn prompt(&self, messages: &[Message], context_length: usize) -> Result<Vec<u32>, ChatError>;

    /// Tokens that end an answer and are no part of its text.
    fn stop_tokens(&self) -> Arc<[u32]>;

    /// Makes the sampler of one conversation. The seed is the request's, or a
    /// random one.
    fn sampler(&self, sampling: &Sampling, seed: u64) -> Box<dyn Sample>;

    /// Makes the writer of one answer, which ends before any of `stop`.
    fn writer(&self, stop: &[String]) -> Box<dyn Write>;
}

/// Chooses tokens for one conversation.
pub(crate) trait Sample: Send {
    /// Chooses the token that follows `history` (prompt and answer so far).
    /// `None` where the logits are no numbers.
    fn next(&mut self, logits: &mut [f32], history: &[u32]) -> Option<u32>;
}

/// Turns the tokens of one answer into text.
pub(crate) trait Write: Send {
    /// Takes one token. Writes what has become certain: whole characters that
    /// can no longer be part of a stop text. True once a stop text is complete.
    fn push(&mut self, token: u32, text: &mut String) -> bool;

    /// Writes what was held back; the answer ends here without a stop text.
    fn finish(&mut self, text: &mut String);
}

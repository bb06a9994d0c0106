//! The thread that renders and tokenises.
//!
//! Beside the one that owns the device, so that a long prompt does not hold up
//! the next token of other conversations.

use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use tracing::error;

use super::conversation::{Arrival, Conversation, Place, Voice};
use super::error::ChatError;
use super::shared::{Shared, Text};
use crate::chat::ChatRequest;

/// Prepares conversations in order of arrival until the queue is closed.
pub(super) fn run(shared: &Shared) {
    while let Some(Arrival { place, request }) = shared.queue.next_arrival() {
        match prepare(shared, &place, &request) {
            Ok((prompt, voice)) => {
                let (max_tokens, scope, steady) = (request.max_tokens, request.scope, request.sampling.is_seeded());
                shared.queue.prepared(Conversation { place, prompt, max_tokens, scope, steady, voice });
            }
            Err(error) => {
                shared.queue.refused();
                place.refuse(error);
            }
        }
    }
}

fn prepare(shared: &Shared, place: &Place, request: &ChatRequest) -> Result<(Vec<u32>, Voice), ChatError> {
    if let Some(error) = place.dropped(Instant::now()) {
        return Err(error);
    }
    let text = shared.text().ok_or(ChatError::Unavailable)?;
    // Nothing outlives a panic here but the language, which is only read.
    catch_unwind(AssertUnwindSafe(|| make(&text, request))).unwrap_or_else(|_| {
        error!(model = %shared.name, "a prompt could not be made");
        Err(ChatError::Failed)
    })
}

fn make(text: &Text, request: &ChatRequest) -> Result<(Vec<u32>, Voice), ChatError> {
    let Text { language, context_length } = text;
    let prompt = language.prompt(&request.messages, *context_length)?;
    if prompt.is_empty() {
        return Err(ChatError::Messages("nothing is said".to_owned()));
    }
    if prompt.len() >= *context_length {
        return Err(ChatError::PromptTooLong { prompt_tokens: prompt.len(), context_length: *context_length });
    }
    let seed = request.sampling.seed.unwrap_or_else(random_seed);
    let sampler = language.sampler(&request.sampling, seed);
    let voice = Voice { stop_tokens: language.stop_tokens(), sampler, writer: language.writer(&request.stop) };
    Ok((prompt, voice))
}

/// From the keys that the standard library draws for its hash maps: nothing
/// here is a secret.
fn random_seed() -> u64 {
    RandomState::new().hash_one(Instant::now())
}

//! One conversation on the device: what to compute next, and what comes of it.
//!
//! Knows nothing of threads and devices. The prompt is computed in chunks;
//! the logits after its last token give the first token of the answer, and
//! from then on each token gives the next.

use std::time::{Duration, Instant};

use super::conversation::Conversation;
use super::error::ChatError;
use super::forward::Step;
use super::slots::Lease;
use crate::chat::{FinishReason, Usage};

/// A conversation in its slot.
pub(super) struct Sequence {
    slot: usize,
    /// The prompt, then the answer without its stop token.
    history: Vec<u32>,
    prompt_tokens: usize,
    cached_tokens: usize,
    /// Positions that the slot's cache holds.
    computed: usize,
    /// Tokens made.
    made: usize,
    /// Tokens that may be made.
    room: usize,
    started: Instant,
    ending: Option<Result<FinishReason, ChatError>>,
    conversation: Conversation,
}

/// A sequence that is over; its client has not been told.
pub(super) struct Ended {
    pub(super) slot: usize,
    /// The tokens that the slot's cache holds, where they can be relied upon.
    pub(super) kept: Vec<u32>,
    pub(super) usage: Usage,
    pub(super) submitted: Instant,
    /// Time in the slot, of an answer that was finished.
    pub(super) took: Option<Duration>,
    ending: Result<FinishReason, ChatError>,
    conversation: Conversation,
}

// === impl Sequence ===

impl Sequence {
    /// Puts a conversation into the slot that it was given.
    pub(super) fn new(mut conversation: Conversation, lease: Lease, context_length: usize, now: Instant) -> Self {
        let history = std::mem::take(&mut conversation.prompt);
        let prompt_tokens = history.len();
        let room = context_length.saturating_sub(prompt_tokens).min(conversation.max_tokens.unwrap_or(usize::MAX));
        let ending = (room == 0).then_some(Ok(FinishReason::Length));
        Self {
            slot: lease.slot,
            history,
            prompt_tokens,
            cached_tokens: lease.cached,
            computed: lease.cached,
            made: 0,
            room,
            started: now,
            ending,
            conversation,
        }
    }

    pub(super) fn slot(&self) -> usize {
        self.slot
    }

    /// Positions that the slot's cache holds.
    pub(super) fn computed(&self) -> usize {
        self.computed
    }

    /// Its prompt is cut at fixed places.
    pub(super) fn is_steady(&self) -> bool {
        self.conversation.steady
    }

    pub(super) fn is_over(&self) -> bool {
        self.ending.is_some()
    }

    /// What of the prompt is still to be computed.
    pub(super) fn rest_of_prompt(&self) -> &[u32] {
        if self.is_over() { &[] } else { self.history.get(self.computed..self.prompt_tokens).unwrap_or_default() }
    }

    /// So much more of the prompt has been computed.
    pub(super) fn prompt_computed(&mut self, tokens: usize) {
        self.computed = (self.computed + tokens).min(self.prompt_tokens);
    }

    /// The token whose successor is wanted, once the prompt is computed.
    pub(super) fn step(&self) -> Option<Step> {
        if self.is_over() || self.made == 0 {
            return None;
        }
        let token = *self.history.get(self.computed)?;
        Some(Step { slot: self.slot, position: self.computed, token })
    }

    /// The token of [`Sequence::step`] has been computed.
    pub(super) fn step_computed(&mut self) {
        self.computed += 1;
    }

    /// Chooses the next token from the logits after the last one. True for the
    /// first token of the answer.
    pub(super) fn choose(&mut self, mut logits: Vec<f32>) -> bool {
        let Some(token) = self.conversation.voice.sampler.next(&mut logits, &self.history) else {
            self.ending = Some(Err(ChatError::Failed));
            return false;
        };
        self.made += 1;
        let mut text = String::new();
        if self.conversation.voice.stop_tokens.contains(&token) {
            self.finish(FinishReason::Stop, &mut text);
        } else {
            self.history.push(token);
            if self.conversation.voice.writer.push(token, &mut text) {
                self.ending = Some(Ok(FinishReason::Stop));
            } else if self.made >= self.room {
                self.finish(FinishReason::Length, &mut text);
            }
        }
        self.conversation.place.outlet.write(&text);
        self.made == 1
    }

    /// Ends it where nobody waits for it any more.
    pub(super) fn check(&mut self, now: Instant) {
        if self.ending.is_none() {
            self.ending = self.conversation.place.dropped(now).map(Err);
        }
    }

    /// Breaks it off.
    pub(super) fn fail(&mut self, error: ChatError) {
        self.ending = Some(Err(error));
    }

    /// Since it was submitted.
    pub(super) fn age(&self) -> Duration {
        self.conversation.place.submitted.elapsed()
    }

    /// Leaves the slot.
    pub(super) fn end(mut self) -> Ended {
        let ending = self.ending.unwrap_or(Err(ChatError::Failed));
        // What failed once would fail whoever went on from there.
        let is_sound = ending != Err(ChatError::Failed);
        self.history.truncate(if is_sound { self.computed } else { 0 });
        Ended {
            slot: self.slot,
            kept: self.history,
            usage: Usage {
                prompt_tokens: self.prompt_tokens,
                cached_tokens: self.cached_tokens,
                completion_tokens: self.made,
            },
            submitted: self.conversation.place.submitted,
            took: ending.is_ok().then(|| self.started.elapsed()),
            ending,
            conversation: self.conversation,
        }
    }

    fn finish(&mut self, reason: FinishReason, text: &mut String) {
        self.conversation.voice.writer.finish(text);
        self.ending = Some(Ok(reason));
    }
}

// === impl Ended ===

impl Ended {
    /// Tells the client.
    pub(super) fn tell(self) {
        let usage = self.usage;
        self.conversation.place.outlet.end(self.ending.map(|reason| (reason, usage)));
    }
}

//! The conversations that are computed at once, and one round of computing.
//!
//! Conversations join and leave between rounds. A round takes in a bounded
//! piece of the prompts that are not computed yet, oldest first, and then makes
//! one token for every conversation that is past its prompt: a long prompt
//! slows the others down but never stops them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use tracing::error;

use super::chunk::{self, Chunk};
use super::conversation::Conversation;
use super::error::ChatError;
use super::forward::{Forward, Step};
use super::observer::Observer;
use super::sequence::{Ended, Sequence};
use super::slots::Slots;

/// The computation failed: nothing of what the model holds can be relied upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the computation failed")]
pub(super) struct Fault;

/// Conversations in their slots, oldest first.
pub(super) struct Batch {
    sequences: Vec<Sequence>,
    slots: Slots,
    chunk: Chunk,
    capacity: usize,
    context_length: usize,
}

// === impl Batch ===

impl Batch {
    /// An empty one for this model.
    pub(super) fn new(forward: &dyn Forward) -> Self {
        let (slots, context_length) = (forward.slots(), forward.context_length());
        let capacity = slots.saturating_mul(context_length);
        let (sequences, slots) = (Vec::with_capacity(slots), Slots::new(slots));
        Self { sequences, slots, chunk: Chunk::default(), capacity, context_length }
    }

    pub(super) fn len(&self) -> usize {
        self.sequences.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// True while a slot is free.
    pub(super) fn has_room(&self) -> bool {
        self.slots.has_free()
    }

    /// Gives a conversation a slot.
    ///
    /// # Panics
    ///
    /// When [none is free](Self::has_room).
    pub(super) fn join(&mut self, conversation: Conversation, observer: &dyn Observer) {
        let lease = self.slots.take(conversation.scope, conversation.reusable()).expect("a slot is free");
        observer.prompt(conversation.prompt.len(), lease.cached);
        self.sequences.push(Sequence::new(conversation, lease, self.context_length, Instant::now()));
    }

    /// Computes a piece of the prompts and a token for everybody else.
    ///
    /// # Errors
    ///
    /// When the model panics, or gives other logits than it was asked for.
    pub(super) fn round(&mut self, forward: &mut dyn Forward, observer: &dyn Observer) -> Result<(), Fault> {
        let now = Instant::now();
        self.sequences.iter_mut().for_each(|sequence| sequence.check(now));
        self.prefill(forward, observer)?;
        self.decode(forward, observer)?;
        self.report(observer);
        Ok(())
    }

    /// Says how full the cache is.
    pub(super) fn report(&self, observer: &dyn Observer) {
        let running: usize = self.sequences.iter().map(Sequence::computed).sum();
        observer.cache(running + self.slots.kept(), self.capacity);
    }

    /// Breaks off all conversations.
    pub(super) fn fail(&mut self, error: &ChatError) {
        self.sequences.iter_mut().for_each(|sequence| sequence.fail(error.clone()));
    }

    /// Takes out the conversations that are over. Their slots are free.
    pub(super) fn leave(&mut self) -> Vec<Ended> {
        let over = self.sequences.extract_if(.., |sequence| sequence.is_over());
        let mut ended: Vec<Ended> = over.map(Sequence::end).collect();
        for one in &mut ended {
            self.slots.give_back(one.slot, std::mem::take(&mut one.kept));
        }
        ended
    }

    /// Takes in a piece of the oldest prompt, and then such others as fit in
    /// whole beside it.
    fn prefill(&mut self, forward: &mut dyn Forward, observer: &dyn Observer) -> Result<(), Fault> {
        let others_wait = self.sequences.iter().any(|sequence| sequence.step().is_some());
        let most = self.chunk.tokens(others_wait);
        let mut left = most;
        for sequence in &mut self.sequences {
            let rest = sequence.rest_of_prompt();
            if rest.is_empty() {
                continue;
            }
            if left < most && rest.len() > left {
                break;
            }
            let chunk = &rest[..chunk::piece(rest.len(), left, sequence.is_steady())];
            let (tokens, is_last) = (chunk.len(), chunk.len() == rest.len());
            let (slot, start) = (sequence.slot(), sequence.computed());
            let started = Instant::now();
            let logits = guarded(|| forward.prefill(slot, start, chunk, is_last))?;
            self.chunk.took(tokens, started.elapsed());
            sequence.prompt_computed(tokens);
            match logits {
                Some(logits) if is_last => choose(sequence, logits, observer),
                None if !is_last => {}
                _ => return Err(Fault),
            }
            left = left.saturating_sub(tokens);
        }
        Ok(())
    }

    fn decode(&mut self, forward: &mut dyn Forward, observer: &dyn Observer) -> Result<(), Fault> {
        let (steps, mut sequences): (Vec<Step>, Vec<&mut Sequence>) =
            self.sequences.iter_mut().filter_map(|sequence| Some((sequence.step()?, sequence))).unzip();
        if steps.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let logits = guarded(|| forward.decode(&steps))?;
        if logits.len() != steps.len() {
            return Err(Fault);
        }
        for (sequence, logits) in sequences.iter_mut().zip(logits) {
            sequence.step_computed();
            choose(sequence, logits, observer);
        }
        observer.step(steps.len(), started.elapsed());
        Ok(())
    }
}

/// Chooses the next token of one conversation. What goes wrong there is that
/// conversation's alone.
fn choose(sequence: &mut Sequence, logits: Vec<f32>, observer: &dyn Observer) {
    match guarded(|| sequence.choose(logits)) {
        Ok(false) => {}
        Ok(true) => observer.first_token(sequence.age()),
        Err(Fault) => {
            error!("an answer failed outside the model");
            sequence.fail(ChatError::Failed);
        }
    }
}

/// Turns a panic into a fault.
fn guarded<T>(compute: impl FnOnce() -> T) -> Result<T, Fault> {
    // What was being changed is thrown away afterwards: the model by a restart,
    // a conversation by its end.
    catch_unwind(AssertUnwindSafe(compute)).map_err(|_| Fault)
}

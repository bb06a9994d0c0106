//! What is known of a conversation before the model works on it.

use std::sync::Arc;
use std::time::Instant;

use super::error::ChatError;
use super::language::{Sample, Write};
use super::queue::Ticket;
use super::stream::Outlet;
use crate::chat::ChatRequest;

/// What goes with a conversation from its submission to its end.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) ticket: Ticket,
    pub(super) outlet: Outlet,
    pub(super) submitted: Instant,
    pub(super) deadline: Option<Instant>,
}

/// A conversation as it was submitted.
pub(super) struct Arrival {
    pub(super) place: Place,
    pub(super) request: ChatRequest,
}

/// A conversation that the device can begin with.
pub(super) struct Conversation {
    pub(super) place: Place,
    /// Never empty, and shorter than the context.
    pub(super) prompt: Vec<u32>,
    pub(super) max_tokens: Option<usize>,
    /// The request's.
    pub(super) scope: u64,
    /// The same text is expected where the same is asked again.
    pub(super) steady: bool,
    pub(super) voice: Voice,
}

/// What turns logits into the text of one answer.
pub(super) struct Voice {
    pub(super) stop_tokens: Arc<[u32]>,
    pub(super) sampler: Box<dyn Sample>,
    pub(super) writer: Box<dyn Write>,
}

// === impl Conversation ===

impl Conversation {
    /// What of the prompt need not be computed where the cache holds it. What
    /// the cache holds was computed in other company: it differs in the last
    /// bits, and may change what is drawn.
    pub(super) fn reusable(&self) -> &[u32] {
        if self.steady { &[] } else { &self.prompt }
    }
}

// === impl Place ===

impl Place {
    /// Why it is no longer worth working for, if so: what its reader is told,
    /// where one is left.
    pub(super) fn dropped(&self, now: Instant) -> Option<ChatError> {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            Some(ChatError::DeadlineExceeded)
        } else if self.outlet.is_unwanted() {
            Some(ChatError::Unavailable)
        } else {
            None
        }
    }

    /// Ends it without an answer.
    pub(super) fn refuse(&self, error: ChatError) {
        self.outlet.end(Err(error));
    }

    /// Ends it if it is no longer worth working for; true if so.
    pub(super) fn refuse_if_dropped(&self, now: Instant) -> bool {
        let dropped = self.dropped(now);
        let is_dropped = dropped.is_some();
        if let Some(error) = dropped {
            self.refuse(error);
        }
        is_dropped
    }
}

//! Who waits, in which order: the queue without its lock.

use std::collections::VecDeque;
use std::time::Instant;

use super::Ticket;
use crate::engine::conversation::{Arrival, Conversation};
use crate::engine::error::ChatError;
use crate::engine::pace::Pace;

/// All that the queue's lock guards.
#[derive(Default)]
pub(super) struct Line {
    /// Not tokenised yet.
    pub(super) arrived: VecDeque<Arrival>,
    /// One is being tokenised.
    pub(super) is_preparing: bool,
    /// Without a slot yet.
    pub(super) prepared: VecDeque<Conversation>,
    /// With a slot.
    pub(super) running: usize,
    pub(super) pace: Pace,
    pub(super) is_closed: bool,
    max_queue: usize,
    pub(super) slots: usize,
    tickets: u64,
    /// Running and waiting, as last reported.
    reported: (usize, usize),
}

// === impl Line ===

impl Line {
    pub(super) fn new(max_queue: usize, slots: usize) -> Self {
        Self { max_queue, slots, ..Self::default() }
    }

    /// Gives a ticket to one more.
    pub(super) fn admit(&mut self) -> Result<Ticket, ChatError> {
        if self.is_closed {
            return Err(ChatError::Unavailable);
        }
        if self.waiting() + self.running >= self.max_queue.saturating_add(self.slots) {
            return Err(ChatError::QueueFull { retry_after: self.pace.retry_after(self.slots) });
        }
        self.tickets += 1;
        Ok(Ticket(self.tickets))
    }

    /// Takes out who waits under this ticket.
    pub(super) fn remove(&mut self, ticket: Ticket) -> (Option<Arrival>, Option<Conversation>) {
        let arrived = self.arrived.iter().position(|arrival| arrival.place.ticket == ticket);
        let prepared = self.prepared.iter().position(|conversation| conversation.place.ticket == ticket);
        (arrived.and_then(|index| self.arrived.remove(index)), prepared.and_then(|index| self.prepared.remove(index)))
    }

    /// Sends away those for whom it is too late.
    pub(super) fn expire(&mut self, now: Instant) {
        self.arrived.retain(|arrival| !arrival.place.refuse_if_dropped(now));
        self.prepared.retain(|conversation| !conversation.place.refuse_if_dropped(now));
    }

    /// Sends away all that wait.
    pub(super) fn clear(&mut self, error: &ChatError) {
        for arrival in self.arrived.drain(..) {
            arrival.place.refuse(error.clone());
        }
        for conversation in self.prepared.drain(..) {
            conversation.place.refuse(error.clone());
        }
    }

    /// When [`Line::expire`] is next worth calling.
    pub(super) fn earliest_deadline(&self) -> Option<Instant> {
        let arrived = self.arrived.iter().filter_map(|arrival| arrival.place.deadline);
        let prepared = self.prepared.iter().filter_map(|conversation| conversation.place.deadline);
        arrived.chain(prepared).min()
    }

    /// How many run and how many wait, where that is not as last asked.
    pub(super) fn news(&mut self) -> Option<(usize, usize)> {
        let now = (self.running, self.waiting());
        (std::mem::replace(&mut self.reported, now) != now).then_some(now)
    }

    fn waiting(&self) -> usize {
        self.arrived.len() + usize::from(self.is_preparing) + self.prepared.len()
    }
}

//! Everything that an engine reported.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::PATIENCE;
use crate::engine::observer::Observer;

#[derive(Debug, Default)]
pub(super) struct Record {
    events: Mutex<Events>,
    changed: Condvar,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    /// Running and waiting, last.
    pub(super) requests: (usize, usize),
    /// The most that ran, and the most that waited.
    pub(super) most: (usize, usize),
    /// Tokens, and how many of them were in the cache.
    pub(super) prompts: Vec<(usize, usize)>,
    pub(super) first_tokens: usize,
    /// The largest step.
    pub(super) largest_step: usize,
    /// Tokens of each answer.
    pub(super) finished: Vec<usize>,
    pub(super) cache: (usize, usize),
    pub(super) restarts: usize,
}

// === impl Record ===

impl Record {
    pub(super) fn now(&self) -> Events {
        self.lock().clone()
    }

    pub(super) fn until(&self, condition: impl Fn(&Events) -> bool) {
        let wait = self.changed.wait_timeout_while(self.lock(), PATIENCE, |events| !condition(events));
        let (events, timeout) = wait.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "it never came true: {events:?}");
    }

    fn add(&self, add: impl FnOnce(&mut Events)) {
        add(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Record {
    fn requests(&self, running: usize, waiting: usize) {
        self.add(|events| {
            events.requests = (running, waiting);
            events.most = (events.most.0.max(running), events.most.1.max(waiting));
        });
    }

    fn prompt(&self, tokens: usize, cached: usize) {
        self.add(|events| events.prompts.push((tokens, cached)));
    }

    fn first_token(&self, _: Duration) {
        self.add(|events| events.first_tokens += 1);
    }

    fn step(&self, batch: usize, _: Duration) {
        self.add(|events| events.largest_step = events.largest_step.max(batch));
    }

    fn finished(&self, tokens: usize, _: Duration) {
        self.add(|events| events.finished.push(tokens));
    }

    fn cache(&self, used: usize, capacity: usize) {
        self.add(|events| events.cache = (used, capacity));
    }

    fn restarted(&self) {
        self.add(|events| events.restarts += 1);
    }
}

//! What directs the model of a test, and what was asked of it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::PATIENCE;

/// Shared by a test and its models.
#[derive(Debug, Default)]
pub(super) struct Script {
    scene: Mutex<Scene>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Scene {
    /// The model stands still before it computes.
    pub(super) is_held: bool,
    /// It stands there now.
    pub(super) is_waiting: bool,
    /// It stands still before it loads.
    pub(super) load_is_held: bool,
    /// Why the next loads fail; `Ok` and nothing more let them pass.
    pub(super) loads_to_come: VecDeque<Result<(), String>>,
    /// Loads begun.
    pub(super) loads: usize,
    /// Models dropped.
    pub(super) drops: usize,
    /// One answer in so many ends itself at each token.
    pub(super) stops_in: Option<u64>,
    pub(super) calls: Vec<Call>,
}

/// One call of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Prefill { slot: usize, start: usize, tokens: Vec<u32> },
    Decode { slots: Vec<usize> },
}

// === impl Script ===

impl Script {
    /// Stops the model at its next call.
    pub(super) fn hold(&self) {
        self.change(|scene| scene.is_held = true);
    }

    /// Waits until the model stands still.
    pub(super) fn until_waiting(&self) {
        self.until(|scene| scene.is_waiting);
    }

    pub(super) fn release(&self) {
        self.change(|scene| (scene.is_held, scene.load_is_held) = (false, false));
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Scene) -> T) -> T {
        let outcome = change(&mut self.lock());
        self.changed.notify_all();
        outcome
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Scene) -> T) -> T {
        look(&self.lock())
    }

    pub(super) fn until(&self, condition: impl Fn(&Scene) -> bool) {
        let wait = self.changed.wait_timeout_while(self.lock(), PATIENCE, |scene| !condition(scene));
        assert!(!wait.unwrap_or_else(PoisonError::into_inner).1.timed_out(), "it never came true");
    }

    /// On the model's thread: says what is about to be computed.
    pub(super) fn call(&self, call: Call) {
        self.change(|scene| {
            scene.calls.push(call);
            scene.is_waiting = true;
        });
        self.until(|scene| !scene.is_held);
        self.change(|scene| scene.is_waiting = false);
    }

    fn lock(&self) -> MutexGuard<'_, Scene> {
        self.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Knows all open connections of one listener and gives them orders.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::debug;

use super::activity::{Activity, Order};
use super::watchdog::{Limits, Verdict, Watchdog};

/// The open connections of a listener.
#[derive(Debug)]
pub(super) struct Supervisor {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    /// What a connection that opens from now on is told.
    draining: bool,
    open: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    activity: Arc<Activity>,
    watchdog: Watchdog,
}

/// An open connection; it is forgotten when this is dropped.
#[derive(Debug)]
pub(super) struct Registration {
    id: u64,
    activity: Arc<Activity>,
    supervisor: Arc<Supervisor>,
}

// === impl Supervisor ===

impl Supervisor {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default() })
    }

    pub(super) fn register(self: &Arc<Self>) -> Registration {
        let activity = Arc::new(Activity::default());
        let mut state = self.state();
        let id = state.next_id;
        state.next_id += 1;
        if state.draining {
            activity.give(Order::Finish);
        }
        state.open.insert(id, Entry { activity: Arc::clone(&activity), watchdog: Watchdog::default() });
        Registration { id, activity, supervisor: Arc::clone(self) }
    }

    /// Looks at every connection once; to be called once a period.
    pub(super) fn sweep(&self) {
        for Entry { activity, watchdog } in self.state().open.values_mut() {
            match watchdog.sweep(&self.limits, activity.reading(), || activity.next_generation()) {
                Verdict::Fine => {}
                Verdict::Idle => activity.give(Order::Finish),
                reason @ (Verdict::SlowHead | Verdict::Stalled | Verdict::Overstays) => {
                    debug!(?reason, "dropping a connection");
                    activity.give(Order::Abort);
                }
            }
        }
    }

    /// Every connection, also those still to come, answers what is running and closes.
    pub(super) fn finish_all(&self) {
        self.state().draining = true;
        self.order_all(Order::Finish);
    }

    /// Every connection closes now.
    pub(super) fn abort_all(&self) {
        self.order_all(Order::Abort);
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.state().open.len()
    }

    fn order_all(&self, order: Order) {
        for entry in self.state().open.values() {
            entry.activity.give(order);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock leaves a usable map behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Registration ===

impl Registration {
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let entry = self.supervisor.state().open.remove(&self.id);
        // Its waker may own this very task: drop it outside the lock.
        drop(entry);
    }
}

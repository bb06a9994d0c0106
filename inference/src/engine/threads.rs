//! The engine's threads, counted, so that one can wait for their end.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::priority;

/// How many threads of an engine live.
#[derive(Debug, Default)]
pub(super) struct Threads {
    alive: Mutex<usize>,
    ended: Condvar,
}

/// One living thread.
struct Life(Arc<Threads>);

// === impl Threads ===

impl Threads {
    /// Starts one more.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(super) fn spawn(self: &Arc<Self>, name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        *self.lock() += 1;
        let life = Life(Arc::clone(self));
        thread::Builder::new().name(name).spawn(move || {
            priority::give_way();
            body();
            drop(life);
        })?;
        Ok(())
    }

    /// Waits until all have ended, so long at most; true if they have.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        let wait = self.ended.wait_timeout_while(self.lock(), patience, |alive| *alive > 0);
        *wait.unwrap_or_else(PoisonError::into_inner).0 == 0
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Life ===

impl Drop for Life {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.ended.notify_all();
    }
}

//! The queue to the audit file and the thread that empties it.
//!
//! Like the log's writer it takes all that has gathered and then pauses, so
//! that calls seldom have to wake it. Unlike the log it never drops an entry.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tracing::{error, info};

use super::chain::Chain;
use super::entry::AuditEntry;
use super::file::Store;

/// Entries that may wait to be written.
const CAPACITY: usize = 2048;
/// The pause after each batch.
const PAUSE: Duration = Duration::from_millis(10);
/// How often what was written is brought to the disk.
const SYNC_PERIOD: Duration = Duration::from_secs(1);
/// How often a disk that refuses is tried again.
const RETRY_PERIOD: Duration = Duration::from_secs(1);
/// A buffer that has grown beyond this is not kept.
const MAX_KEPT_BYTES: usize = 1024 * 1024;

/// What callers and the writer share.
#[derive(Debug)]
pub(super) struct Shared {
    room: Semaphore,
    writable: AtomicBool,
    state: Mutex<State>,
    work: Condvar,
    retry_period: Duration,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<AuditEntry>,
    asleep: bool,
    reopen: bool,
    closed: bool,
}

/// What the writer is to do next.
struct Work {
    entries: Vec<AuditEntry>,
    reopen: bool,
    closed: bool,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new() -> Self {
        Self::with(CAPACITY, RETRY_PERIOD)
    }

    pub(super) fn with(capacity: usize, retry_period: Duration) -> Self {
        Self {
            room: Semaphore::new(capacity),
            writable: AtomicBool::new(true),
            state: Mutex::default(),
            work: Condvar::new(),
            retry_period,
        }
    }

    pub(super) fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }

    /// Waits for room for one entry.
    pub(super) async fn reserve(&self) {
        self.room.acquire().await.expect("the semaphore is never closed").forget();
    }

    /// Gives up room that was reserved.
    pub(super) fn give_back(&self) {
        self.room.add_permits(1);
    }

    /// Queues an entry for which room was reserved.
    pub(super) fn push(&self, entry: AuditEntry) {
        let mut state = self.lock();
        if state.closed {
            error!("a call ended after the audit log was closed and is not recorded");
        }
        state.entries.push(entry);
        self.wake(state);
    }

    pub(super) fn reopen(&self) {
        let mut state = self.lock();
        state.reopen = true;
        self.wake(state);
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        // It may sleep, pause or wait for the disk.
        self.work.notify_one();
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if std::mem::take(&mut state.asleep) {
            self.work.notify_one();
        }
    }

    /// Waits for something to do, until `deadline` if there is one.
    fn next(&self, deadline: Option<Instant>) -> Work {
        let mut state = self.lock();
        while state.entries.is_empty() && !state.reopen && !state.closed {
            state.asleep = true;
            let Some(deadline) = deadline else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            state = self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.asleep = false;
        Work {
            entries: std::mem::take(&mut state.entries),
            reopen: std::mem::take(&mut state.reopen),
            closed: state.closed,
        }
    }

    /// Waits unless the log is closed; says whether it is.
    fn pause(&self, period: Duration) -> bool {
        let waited = self.work.wait_timeout_while(self.lock(), period, |state| !state.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change to the state is complete in itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` until it succeeds; meanwhile the log is not writable.
    /// False when the log was closed before it did.
    fn insist(&self, what: &'static str, mut work: impl FnMut() -> std::io::Result<()>) -> bool {
        let mut failing = false;
        while let Err(error) = work() {
            self.writable.store(false, Ordering::Relaxed);
            if !failing {
                error!(%error, what, "the audit log cannot be written, calls are refused");
                failing = true;
            }
            if self.pause(self.retry_period) {
                return work().is_ok();
            }
        }
        if failing {
            self.writable.store(true, Ordering::Relaxed);
            info!(what, "the audit log can be written again");
        }
        true
    }
}

/// The writer's life: ends when the log is closed and everything is written.
pub(super) fn write_entries(shared: &Shared, mut store: impl Store, mut chain: Chain) {
    let mut lines = Vec::new();
    let mut sync_due: Option<Instant> = None;
    loop {
        let Work { entries, reopen, closed } = shared.next(sync_due);
        for entry in &entries {
            chain.push(&mut lines, entry.time(), |out| entry.write(out));
        }
        if !lines.is_empty() {
            if !shared.insist("write", || store.append(&lines)) {
                error!(entries = entries.len(), "closing the audit log, entries are lost");
                return;
            }
            lines.clear();
            lines.shrink_to(MAX_KEPT_BYTES);
            shared.room.add_permits(entries.len());
            sync_due.get_or_insert_with(|| Instant::now() + SYNC_PERIOD);
        }
        if reopen && let Err(error) = store.rotate(&mut chain) {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            error!(%error, cause, "the audit log was not reopened, the old file is still written");
        }
        if sync_due.is_some_and(|due| closed || due <= Instant::now()) {
            shared.insist("sync", || store.sync());
            sync_due = None;
        }
        if closed && entries.is_empty() {
            return;
        }
        shared.pause(PAUSE);
    }
}

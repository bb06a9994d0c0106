//! The place that one client's pipe takes, and what all calls over the pipe
//! know of each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OwnedSemaphorePermit;

/// The place of a pipe. It is free again when nothing is left of the pipe.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    /// Questions of the server that wait for the client.
    open: Arc<AtomicUsize>,
}

/// A question that waits for the client of a pipe, which may end before.
#[derive(Debug)]
pub(super) struct Open(Arc<AtomicUsize>);

// === impl Place ===

impl Place {
    /// A place, as long as there is a permit for it.
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Arc<Self> {
        Arc::new(Self { _permit: permit, open: Arc::default() })
    }

    /// Notes a question, until what this returns is dropped.
    pub(super) fn open(&self) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(&self.open))
    }

    /// Whether the client is being asked something: its server may wait for
    /// that whichever of its calls it is silent about.
    pub(super) fn is_asking(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

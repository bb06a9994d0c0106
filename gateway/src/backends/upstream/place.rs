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
    open: AtomicUsize,
}

/// A question that waits for the client of a pipe.
#[derive(Debug)]
pub(super) struct Open(Arc<Place>);

// === impl Place ===

impl Place {
    /// A place, as long as there is a permit for it.
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Arc<Self> {
        Arc::new(Self { _permit: permit, open: AtomicUsize::new(0) })
    }

    /// Notes a question, until what this returns is dropped.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Whether the client is being asked something: its server may wait for
    /// that whichever of its calls it is silent about.
    pub(super) fn is_asking(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

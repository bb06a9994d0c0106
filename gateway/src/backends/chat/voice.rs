//! A model, and who says what it is doing.

use std::fmt;
use std::sync::Arc;

use portcullis_inference::engine::State;
use tokio::task::JoinHandle;

use super::model::Model;
use super::reports::Reports;

/// A model with its reports. Whoever may still ask it has a share; the last
/// one ends it.
pub(super) struct Voice {
    pub(super) model: Arc<dyn Model>,
    pub(super) reports: Arc<Reports>,
    /// Follows the model's state.
    tending: JoinHandle<()>,
}

// === impl Voice ===

impl Voice {
    /// `tending` runs for as long as the model is there.
    pub(super) fn new(
        model: Arc<dyn Model>,
        reports: Arc<Reports>,
        tending: impl Future<Output = ()> + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { model, reports, tending: tokio::spawn(tending) })
    }

    /// Whether it answers now.
    pub(super) fn is_ready(&self) -> bool {
        matches!(*self.model.states().borrow(), State::Ready(_))
    }

    /// Whether it will not answer any more.
    pub(super) fn has_failed(&self) -> bool {
        matches!(*self.model.states().borrow(), State::Failed(_) | State::Stopped)
    }
}

impl fmt::Debug for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Voice").field(self.reports.model()).finish()
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.tending.abort();
    }
}

//! One caller does what many wait for.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::backends::transport::TransportError;

/// Lets one caller at a time do something; those who waited meanwhile share
/// how it ended, so that a dead server is not asked by one after the other.
#[derive(Debug, Default)]
pub(super) struct SingleFlight {
    turn: Mutex<()>,
    last_failure: ArcSwapOption<TransportError>,
}

// === impl SingleFlight ===

impl SingleFlight {
    /// What `done` finds, else what `work` makes.
    ///
    /// # Errors
    ///
    /// Those of `work`, one's own or that of whoever was waited for.
    pub(super) async fn run<T>(
        &self,
        deadline: Instant,
        done: impl Fn() -> Option<T>,
        work: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        if let Some(found) = done() {
            return Ok(found);
        }
        let failed_before = self.last_failure.load_full();
        let _turn = timeout_at(deadline, self.turn.lock()).await.map_err(|_| TransportError::TimedOut)?;
        if let Some(found) = done() {
            return Ok(found);
        }
        if let Some(failed) = self.last_failure.load_full()
            && failed_before.is_none_or(|before| !Arc::ptr_eq(&before, &failed))
        {
            return Err(TransportError::clone(&failed));
        }
        let made = work.await;
        if let Err(error) = &made
            // Who has more time may still succeed.
            && !(*error == TransportError::TimedOut && Instant::now() >= deadline)
        {
            self.last_failure.store(Some(Arc::new(error.clone())));
        }
        made
    }
}

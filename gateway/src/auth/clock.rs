//! The wall clock by which credentials expire.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time, in seconds since the Unix epoch, as `exp` and `nbf` do
/// (RFC 7519 §2, `NumericDate`). Tests move it by hand.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

// === impl Clock ===

impl Clock {
    /// The system's clock.
    pub(crate) fn system() -> Self {
        Self(Arc::new(|| unix_seconds(SystemTime::now())))
    }

    /// A clock that says what `seconds` holds.
    #[cfg(test)]
    pub(crate) fn manual(seconds: Arc<std::sync::atomic::AtomicU64>) -> Self {
        Self(Arc::new(move || seconds.load(std::sync::atomic::Ordering::SeqCst)))
    }

    /// Seconds since the Unix epoch.
    pub(crate) fn now(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Seconds since the Unix epoch; a time before it counts as the epoch.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

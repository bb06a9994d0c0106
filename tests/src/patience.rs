//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// How long anything may take before a test calls it broken. Generous: only a
/// failing test ever waits this long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks until `condition` gives a value.
///
/// # Panics
///
/// When [`PATIENCE`] has run out, naming `what` was waited for.
pub fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, what, condition)
}

/// As [`wait_for`], with a patience of its own.
///
/// # Panics
///
/// When that has run out.
pub fn wait_within<T>(patience: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        pause();
    }
}

/// Asks until `condition` is true; panics as [`wait_for`] does.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// The pause between two looks at a condition.
#[expect(
    clippy::disallowed_methods,
    reason = "between two looks at a condition, never instead of one; no runtime here"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

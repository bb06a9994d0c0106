//! Stops calling an upstream that cannot be reached.
//!
//! Failures to connect are counted over all calls. After as many in a row as
//! one call may make attempts, the circuit is open: calls fail at once until
//! the pause is over, then one failure opens it again and one success closes it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::backends::settings::RetrySettings;

/// The state of one upstream's circuit.
#[derive(Debug)]
pub(super) struct Circuit {
    retry: RetrySettings,
    started: Instant,
    failures: AtomicU32,
    /// Milliseconds after `started`.
    pause_until: AtomicU64,
}

// === impl Circuit ===

impl Circuit {
    pub(super) fn new(retry: RetrySettings) -> Self {
        Self { retry, started: Instant::now(), failures: AtomicU32::new(0), pause_until: AtomicU64::new(0) }
    }

    /// Whether a request may be tried; else how long it should not be.
    pub(super) fn check(&self) -> Result<(), Duration> {
        if self.failures.load(Ordering::Relaxed) < self.retry.max_attempts {
            return Ok(());
        }
        match self.remaining() {
            Duration::ZERO => Ok(()),
            remaining => Err(remaining),
        }
    }

    /// Notes a success; says whether it was the first after failures.
    pub(super) fn succeeded(&self) -> bool {
        if self.failures.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.pause_until.store(0, Ordering::Relaxed);
        self.failures.swap(0, Ordering::Relaxed) != 0
    }

    /// Notes a failure and says how long to pause. Failures during a pause
    /// are of the same outage and do not count again: a hundred calls that
    /// fail together are one sign, not a hundred.
    pub(super) fn failed(&self) -> Duration {
        let (now, until) = (self.now(), self.pause_until.load(Ordering::Relaxed));
        if self.failures.load(Ordering::Relaxed) > 0 && now < until {
            return Duration::from_millis(until - now);
        }
        let pause = self.retry.pause(self.failures.load(Ordering::Relaxed).saturating_add(1));
        let next = now.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        // Of two that fail at once, one counts.
        if self.pause_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        pause
    }

    /// How long until the next attempt may succeed; at least a second, so
    /// that it can be told in whole seconds.
    pub(super) fn retry_after(&self) -> Duration {
        self.remaining().max(Duration::from_secs(1))
    }

    fn remaining(&self) -> Duration {
        Duration::from_millis(self.pause_until.load(Ordering::Relaxed).saturating_sub(self.now()))
    }

    /// Milliseconds since `started`.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_the_last_attempt_and_closes_with_a_success() {
        let circuit = Circuit::new(RetrySettings { max_attempts: 2, ..RetrySettings::default() });
        assert_eq!(circuit.failed(), Duration::from_secs(1));
        assert_eq!(circuit.check(), Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(circuit.failed(), Duration::from_secs(2));
        assert!(circuit.check().is_err());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(circuit.check(), Ok(()));
        assert_eq!(circuit.failed(), Duration::from_secs(4));
        assert!(circuit.check().is_err());
        assert!(circuit.succeeded());
        assert!(!circuit.succeeded());
        assert_eq!(circuit.check(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_at_the_same_time_are_one_outage() {
        let circuit = Circuit::new(RetrySettings::default());
        for _ in 0..100 {
            assert_eq!(circuit.failed(), Duration::from_secs(1));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(circuit.failed(), Duration::from_secs(2));
        assert_eq!(circuit.check(), Ok(()));
    }
}

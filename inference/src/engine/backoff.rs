//! How long to wait before a model that failed is loaded again.

use std::time::Duration;

/// Pauses that double while nothing works in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    /// Failures in a row.
    failures: u32,
}

// === impl Backoff ===

impl Backoff {
    /// Pauses from `first` to `longest`.
    pub(super) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The pause after a failure. None after the first in a row: it may well
    /// have been one unlucky conversation.
    pub(super) fn failed(&mut self) -> Duration {
        let pause = match self.failures {
            0 => Duration::ZERO,
            n => self.first.saturating_mul(2_u32.saturating_pow(n - 1)).min(self.longest),
        };
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// An answer was finished: what comes is no longer in a row.
    pub(super) fn worked(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_until_something_works() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let pauses: Vec<_> = (0..9).map(|_| backoff.failed().as_secs()).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        for _ in 0..100 {
            backoff.failed();
        }
        assert_eq!(backoff.failed().as_secs(), 60);
        backoff.worked();
        assert_eq!(backoff.failed(), Duration::ZERO);
    }
}

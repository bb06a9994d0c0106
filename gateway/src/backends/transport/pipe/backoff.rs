//! When a connection that failed may be made again.

use std::time::Duration;

use tokio::time::Instant;

use crate::backends::settings::RetrySettings;

/// A connection that held this long, and answered something, was no failed attempt.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// No pause is longer, whatever the settings say, so that adding it to a clock cannot overflow.
const MAX_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// Counts failures in a row and keeps the pause after the last one.
#[derive(Debug)]
pub(super) struct Backoff {
    retry: RetrySettings,
    failures: u32,
    last: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    pause_ends: Instant,
    cause: String,
}

// === impl Backoff ===

impl Backoff {
    /// Nothing has failed yet.
    pub(super) const fn new(retry: RetrySettings) -> Self {
        Self { retry, failures: 0, last: None }
    }

    /// Notes that a connection ended, or was not made, at `at`.
    pub(super) fn failed(&mut self, at: Instant, lifetime: Duration, answered: bool, cause: String) {
        if answered && lifetime >= STABLE_AFTER {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.last = Some(Failure { pause_ends: at + self.retry.pause(self.failures).min(MAX_PAUSE), cause });
    }

    /// Why an attempt must wait, and how long still; `None` when it may go on.
    pub(super) fn obstacle(&self, now: Instant) -> Option<String> {
        let failure = self.last.as_ref()?;
        let remaining = failure.pause_ends.saturating_duration_since(now);
        (!remaining.is_zero()).then(|| format!("{}; the next attempt is in {remaining:.1?}", failure.cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fail(backoff: &mut Backoff, at: Instant, lifetime: Duration, answered: bool) {
        backoff.failed(at, lifetime, answered, "it exited".to_owned());
    }

    #[test]
    fn each_failure_doubles_the_pause_and_the_obstacle_names_what_remains() {
        let start = Instant::now();
        let mut backoff = Backoff::new(RetrySettings::default());
        assert_eq!(backoff.obstacle(start), None);
        fail(&mut backoff, start, Duration::ZERO, false);
        assert_eq!(backoff.obstacle(start).as_deref(), Some("it exited; the next attempt is in 1.0s"));
        assert_eq!(backoff.obstacle(start + SECOND), None);
        fail(&mut backoff, start + SECOND, Duration::ZERO, false);
        assert!(backoff.obstacle(start + SECOND * 2).is_some());
        assert_eq!(backoff.obstacle(start + SECOND * 3), None);
    }

    #[test]
    fn a_long_life_with_an_answer_forgives_earlier_failures() {
        let start = Instant::now();
        let second_pause = |lifetime, answered| {
            let mut backoff = Backoff::new(RetrySettings::default());
            fail(&mut backoff, start, Duration::ZERO, false);
            fail(&mut backoff, start, lifetime, answered);
            backoff.last.unwrap().pause_ends - start
        };
        assert_eq!(second_pause(STABLE_AFTER, true), SECOND);
        assert_eq!(second_pause(STABLE_AFTER, false), SECOND * 2);
        assert_eq!(second_pause(STABLE_AFTER - SECOND, true), SECOND * 2);
    }
}

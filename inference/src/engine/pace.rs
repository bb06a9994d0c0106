//! How soon a place in the queue comes free.

use std::time::Duration;

/// What is said while nothing has been measured.
const UNKNOWN: Duration = Duration::from_secs(5);
/// No sooner, so that those who are refused do not come back at once.
const SOONEST: Duration = Duration::from_secs(1);
/// No later, because a mean says little about so long a time.
const LATEST: Duration = Duration::from_secs(60);

/// The mean time that answers took lately.
///
/// Measured from where an answer gets its slot to its end, so that hours in
/// which nobody asks do not count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    mean: Option<Duration>,
}

// === impl Pace ===

impl Pace {
    /// Takes an answer into account: the latest eight count the most.
    pub(super) fn answered(&mut self, took: Duration) {
        let took = took.min(Duration::from_secs(24 * 60 * 60));
        self.mean = Some(self.mean.map_or(took, |mean| (mean * 7 + took) / 8));
    }

    /// When it is worth trying again while `slots` answer at once.
    pub(super) fn retry_after(self, slots: usize) -> Duration {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX).max(1);
        self.mean.map_or(UNKNOWN, |mean| mean / slots).clamp(SOONEST, LATEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_follows_the_rate_of_answers() {
        let mut pace = Pace::default();
        assert_eq!(pace.retry_after(4), UNKNOWN);
        pace.answered(Duration::from_secs(40));
        assert_eq!(pace.retry_after(4), Duration::from_secs(10));
        pace.answered(Duration::from_secs(8));
        assert_eq!(pace.retry_after(4), Duration::from_secs(9));
    }

    #[test]
    fn retry_after_is_bounded() {
        let mut pace = Pace::default();
        pace.answered(Duration::from_millis(3));
        assert_eq!(pace.retry_after(0), SOONEST);
        pace.answered(Duration::MAX);
        assert_eq!(pace.retry_after(usize::MAX), SOONEST);
        assert_eq!(pace.retry_after(1), LATEST);
    }
}

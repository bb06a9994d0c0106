//! When a load that takes long is worth a line in the log.

use std::time::Duration;

/// Parts of the whole.
const PARTS: u64 = 10;
/// From line to line at least: a small model is there before anybody reads how
/// far it is.
const PAUSE: Duration = Duration::from_secs(1);

/// What has been told of one load.
#[derive(Debug, Default)]
pub(super) struct Milestones {
    /// The last of the parts that was told.
    part: u64,
    /// When that was, after the load began.
    told: Duration,
}

// === impl Milestones ===

impl Milestones {
    /// True where one more part is there, so long after the load began.
    pub(super) fn reached(&mut self, done_bytes: u64, total_bytes: u64, took: Duration) -> bool {
        let part = done_bytes / (total_bytes / PARTS).max(1);
        let is_due = part > self.part && took.saturating_sub(self.told) >= PAUSE;
        if is_due {
            (self.part, self.told) = (part, took);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a thousand at which a line is written, where each takes so long.
    fn told(time: Duration) -> Vec<u64> {
        let mut milestones = Milestones::default();
        let steps = (0_u32..=1000).step_by(50);
        let told = steps.filter(|&done| milestones.reached(u64::from(done), 1000, time * done));
        told.map(u64::from).collect()
    }

    #[test]
    fn a_slow_load_is_told_in_tenths() {
        assert_eq!(told(Duration::from_millis(100)), [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
    }

    #[test]
    fn a_fast_load_is_told_once_a_second() {
        assert_eq!(told(Duration::from_millis(4)), [250, 500, 750, 1000]);
        assert!(told(Duration::from_micros(900)).is_empty());
    }

    #[test]
    fn a_load_of_nothing_is_no_news() {
        assert!(!Milestones::default().reached(0, 0, PAUSE));
    }
}

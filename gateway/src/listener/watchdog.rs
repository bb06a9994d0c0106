//! Decides from what a connection does whether its client abuses it.
//!
//! Time is counted in sweeps: something that is still so at the next sweep has
//! lasted for one period. A limit is kept to within one period, and only ever
//! late.

use std::time::Duration;

use super::ListenerSettings;
use super::activity::{GENERATIONS, Reading};

/// Sweeps that the shortest limit lasts.
const PRECISION: u32 = 4;
const MIN_PERIOD: Duration = Duration::from_millis(5);
const MAX_PERIOD: Duration = Duration::from_secs(5);
/// Sweeps that an idle client has to answer our goodbye.
const GOODBYE: u32 = 2;

/// The listener's limits, in sweeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) sweep_period: Duration,
    head: u32,
    idle: u32,
    stall: u32,
    /// Sweeps to one generation of waiting answers.
    pub(super) generation: u32,
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// It idles: close it politely.
    Idle,
    /// A request's head does not arrive.
    SlowHead,
    /// Its client does not read.
    Stalled,
    /// It did not go when it was told to.
    Overstays,
}

/// The memory from sweep to sweep of one connection.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    last: Reading,
    sweeps: u32,
    in_head: u32,
    quiet: u32,
    stalled: u32,
}

// === impl Limits ===

impl Limits {
    pub(super) fn new(settings: &ListenerSettings) -> Self {
        let shortest = settings.head_timeout.min(settings.idle_timeout).min(settings.stall_timeout);
        let period = (shortest / PRECISION).clamp(MIN_PERIOD, MAX_PERIOD);
        let sweeps =
            |limit: Duration| u32::try_from(limit.as_nanos().div_ceil(period.as_nanos())).unwrap_or(u32::MAX).max(1);
        let stall = sweeps(settings.stall_timeout);
        let generations = u32::try_from(GENERATIONS - 1).expect("GENERATIONS is small");
        Self {
            sweep_period: period,
            head: sweeps(settings.head_timeout),
            idle: sweeps(settings.idle_timeout),
            stall,
            generation: stall.div_ceil(generations),
        }
    }
}

// === impl Watchdog ===

impl Watchdog {
    /// Looks at one connection, once a period. `next_generation` moves the
    /// connection's waiting answers on and tells whether one waited too long.
    pub(super) fn sweep(&mut self, limits: &Limits, now: Reading, next_generation: impl FnOnce() -> bool) -> Verdict {
        let last = std::mem::replace(&mut self.last, now);
        self.sweeps = self.sweeps.wrapping_add(1);

        let no_news = now.in_flight == 0 && now.requests == last.requests;
        self.quiet = if no_news { self.quiet + 1 } else { 0 };
        self.in_head = if no_news && now.head_begun { self.in_head + 1 } else { 0 };
        let blocked = now.write_blocked && now.bytes_written == last.bytes_written;
        self.stalled = if blocked { self.stalled + 1 } else { 0 };

        let answer_waits = self.sweeps.is_multiple_of(limits.generation) && next_generation();
        if answer_waits || self.stalled > limits.stall {
            Verdict::Stalled
        } else if self.in_head > limits.head {
            Verdict::SlowHead
        } else if self.quiet > limits.idle + GOODBYE {
            Verdict::Overstays
        } else if self.quiet > limits.idle {
            Verdict::Idle
        } else {
            Verdict::Fine
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::new(&ListenerSettings::default())
    }

    /// The first verdict that is not `Fine`, and the time after which it falls.
    fn first_verdict(readings: impl Iterator<Item = Reading>) -> Option<(Verdict, Duration)> {
        let limits = limits();
        let mut watchdog = Watchdog::default();
        readings.zip(1..).find_map(|(reading, sweep)| {
            let verdict = watchdog.sweep(&limits, reading, || false);
            (verdict != Verdict::Fine).then(|| (verdict, limits.sweep_period * sweep))
        })
    }

    fn forever(reading: Reading) -> impl Iterator<Item = Reading> {
        std::iter::repeat_n(reading, 1000)
    }

    #[test]
    fn a_head_that_never_ends_is_cut_off_within_a_period_of_its_timeout() {
        let (verdict, after) = first_verdict(forever(Reading { head_begun: true, ..Reading::default() })).unwrap();
        assert_eq!(verdict, Verdict::SlowHead);
        assert!(after > Duration::from_secs(10) && after <= Duration::from_secs(15), "{after:?}");
    }

    #[test]
    fn a_quiet_connection_is_closed_after_the_idle_timeout() {
        let (verdict, after) = first_verdict(forever(Reading { requests: 1, ..Reading::default() })).unwrap();
        assert_eq!(verdict, Verdict::Idle);
        assert!(after > Duration::from_secs(75) && after <= Duration::from_secs(82), "{after:?}");
    }

    #[test]
    fn a_quiet_answer_in_flight_is_left_alone() {
        assert_eq!(first_verdict(forever(Reading { requests: 1, in_flight: 1, ..Reading::default() })), None);
    }

    #[test]
    fn a_blocked_write_without_progress_is_cut_off() {
        let blocked = Reading { requests: 1, in_flight: 1, write_blocked: true, ..Reading::default() };
        let (verdict, after) = first_verdict(forever(blocked)).unwrap();
        assert_eq!(verdict, Verdict::Stalled);
        assert!(after > Duration::from_secs(30) && after <= Duration::from_secs(36), "{after:?}");
    }

    #[test]
    fn a_slow_reader_that_does_read_is_left_alone() {
        let readings = (0..1000).map(|sweep| Reading {
            requests: 1,
            in_flight: 1,
            write_blocked: true,
            bytes_written: sweep / 4,
            ..Reading::default()
        });
        assert_eq!(first_verdict(readings), None);
    }

    #[test]
    fn an_answer_left_waiting_is_a_stall() {
        let limits = limits();
        let mut watchdog = Watchdog::default();
        let busy = Reading { requests: 1, in_flight: 1, ..Reading::default() };
        let verdicts: Vec<_> = (0..limits.generation).map(|_| watchdog.sweep(&limits, busy, || true)).collect();
        assert_eq!(verdicts.last(), Some(&Verdict::Stalled));
    }
}

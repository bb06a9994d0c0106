//! How long calls took: counted in classes, so that any number of them takes
//! the same memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Classes for each doubling: a class is about 4% wide.
const STEPS: u32 = 16;
/// Doublings of a microsecond: up to half an hour.
const DOUBLINGS: u32 = 31;

/// Calls by how long they took.
#[derive(Debug)]
pub(crate) struct Latencies(Vec<AtomicU64>);

// === impl Latencies ===

impl Latencies {
    pub(crate) fn new() -> Self {
        Self((0..STEPS * DOUBLINGS).map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn count(&self, took: Duration) {
        let micros = (took.as_secs_f64() * 1e6).max(1.0);
        let class = (micros.log2() * f64::from(STEPS)) as usize;
        self.0[class.min(self.0.len() - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        for class in &self.0 {
            class.store(0, Ordering::Relaxed);
        }
    }

    /// The milliseconds that this part of the calls took at most.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let counts: Vec<u64> = self.0.iter().map(|class| class.load(Ordering::Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let mut left = (all as f64 * part).ceil();
        let class = counts.iter().position(|&count| {
            left -= count as f64;
            left <= 0.0
        });
        class.map_or(f64::NAN, |class| ((class + 1) as f64 / f64::from(STEPS)).exp2() / 1e3)
    }
}

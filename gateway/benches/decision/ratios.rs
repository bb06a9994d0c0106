//! Whether the size of a gateway shows in what a decision costs.
//!
//! Sizes are measured in turn, a little of each at a time, so that what else
//! the machine does falls on all alike; the ratios are formed within a turn.

use crate::gateway::{Gateway, Size};

/// What the others are compared with.
const SMALL: Size = Size { policies: 10, keys: 10, callers: 10 };

/// One dimension at a time, both, and both with every key calling, so that
/// what is known of one caller has left the processor's caches when it calls again.
const LARGE: [Size; 4] = [
    Size { policies: 1_000, ..SMALL },
    Size { keys: 10_000, ..SMALL },
    Size { policies: 1_000, keys: 10_000, ..SMALL },
    Size { policies: 1_000, keys: 10_000, callers: 10_000 },
];

const TURNS: usize = 400;
const CALLS: u64 = 500;

/// Every size that is measured.
pub(crate) fn sizes() -> impl Iterator<Item = Size> {
    [SMALL].into_iter().chain(LARGE)
}

/// Measures all sizes in turn and prints a table.
pub(crate) fn report() {
    let mut gateways: Vec<_> = sizes().map(seen_before).collect();
    let turns: Vec<Vec<f64>> =
        (0..TURNS).map(|_| gateways.iter_mut().map(|gateway| gateway.time(CALLS).as_secs_f64()).collect()).collect();

    println!("| the decision, with | µs | beside the first |");
    println!("|---|--:|--:|");
    for (place, size) in sizes().enumerate() {
        let micros = median(turns.iter().map(|turn| turn[place] * 1e6 / CALLS as f64));
        let ratio = median(turns.iter().map(|turn| turn[place] / turn[0]));
        println!("| {size} | {micros:.2} | {ratio:.2} |");
    }
}

/// A gateway that every caller has called once: a first call finds out what
/// the others only look up.
fn seen_before(size: Size) -> Gateway {
    let mut gateway = Gateway::new(size);
    gateway.time(size.callers as u64);
    gateway
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

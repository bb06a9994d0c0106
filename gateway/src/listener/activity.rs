//! What one connection is doing, noted by those who do it and read by the sweep.
//!
//! Plain counters instead of timestamps and timers: noting costs a few
//! nanoseconds, and the sweep gives them a meaning in time.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::Waker;

use futures_util::task::AtomicWaker;

/// Generations of waiting answers that are told apart. An answer that still
/// waits when its generation comes round again has waited for at least
/// `GENERATIONS - 1` of them.
pub(super) const GENERATIONS: usize = 5;

/// What the supervisor wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Order {
    /// Go on.
    Serve,
    /// Answer what is running, then close.
    Finish,
    /// Close now.
    Abort,
}

/// The notes on one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    in_flight: AtomicU32,
    requests: AtomicU32,
    http2: AtomicBool,
    bytes_read: AtomicU64,
    /// `bytes_read` when the last request ended.
    read_mark: AtomicU64,
    bytes_written: AtomicU64,
    write_blocked: AtomicBool,
    generation: AtomicU8,
    waiting: [AtomicU32; GENERATIONS],
    order: AtomicU8,
    task: AtomicWaker,
}

/// One reading of the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Reading {
    pub(super) in_flight: u32,
    pub(super) requests: u32,
    /// Bytes came in that belong to no request yet.
    pub(super) head_begun: bool,
    pub(super) write_blocked: bool,
    pub(super) bytes_written: u64,
}

// === impl Activity ===

impl Activity {
    /// A request's head is complete.
    pub(super) fn request_begins(&self, http2: bool) {
        self.http2.store(http2, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed);
    }

    /// A request's answer has been handed over, or nobody wants it any more.
    pub(super) fn request_ends(&self) {
        self.read_mark.store(self.bytes_read.load(Relaxed), Relaxed);
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Bytes arrived.
    pub(super) fn read(&self, bytes: usize) {
        // One task reads a connection, so this needs no atomic addition.
        self.bytes_read.store(self.bytes_read.load(Relaxed).wrapping_add(bytes as u64), Relaxed);
    }

    /// The kernel took bytes.
    pub(super) fn wrote(&self, bytes: usize) {
        self.bytes_written.store(self.bytes_written.load(Relaxed).wrapping_add(bytes as u64), Relaxed);
        self.write_blocked.store(false, Relaxed);
    }

    /// The kernel takes no more: the peer does not read.
    pub(super) fn write_blocks(&self) {
        self.write_blocked.store(true, Relaxed);
    }

    /// A piece of an answer now waits for the peer; [`Self::taken`] wants the result.
    pub(super) fn waits(&self) -> u8 {
        let generation = self.generation.load(Relaxed);
        self.waiting[usize::from(generation)].fetch_add(1, Relaxed);
        generation
    }

    /// The transport asked for the next piece.
    pub(super) fn taken(&self, generation: u8) {
        self.waiting[usize::from(generation)].fetch_sub(1, Relaxed);
    }

    /// Begins the next generation. True when an answer of the generation that
    /// stood in its place, the oldest, is still waiting.
    pub(super) fn next_generation(&self) -> bool {
        let next = (usize::from(self.generation.load(Relaxed)) + 1) % GENERATIONS;
        self.generation.store(u8::try_from(next).expect("GENERATIONS is small"), Relaxed);
        self.waiting[next].load(Relaxed) > 0
    }

    pub(super) fn reading(&self) -> Reading {
        let requests = self.requests.load(Relaxed);
        let http2 = self.http2.load(Relaxed);
        Reading {
            in_flight: self.in_flight.load(Relaxed),
            requests,
            // HTTP/2 has frames of its own between requests, so bytes say nothing there.
            head_begun: requests == 0 || (!http2 && self.bytes_read.load(Relaxed) != self.read_mark.load(Relaxed)),
            write_blocked: self.write_blocked.load(Relaxed),
            bytes_written: self.bytes_written.load(Relaxed),
        }
    }

    /// Gives an order, unless a stronger one was given.
    pub(super) fn give(&self, order: Order) {
        if self.order.fetch_max(order as u8, std::sync::atomic::Ordering::AcqRel) < order as u8 {
            self.task.wake();
        }
    }

    /// The order in force; `waker` is woken when it changes.
    pub(super) fn order(&self, waker: &Waker) -> Order {
        self.task.register(waker);
        match self.order.load(std::sync::atomic::Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Finish,
            _ => Order::Abort,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_waits_through_all_generations_is_found() {
        let activity = Activity::default();
        activity.waits();
        let found: Vec<bool> = (0..GENERATIONS).map(|_| activity.next_generation()).collect();
        assert_eq!(found, [false, false, false, false, true]);
    }

    #[test]
    fn an_answer_that_is_taken_piece_by_piece_is_not_found() {
        let activity = Activity::default();
        let mut generation = activity.waits();
        for _ in 0..3 * GENERATIONS {
            assert!(!activity.next_generation());
            activity.taken(generation);
            generation = activity.waits();
        }
    }

    #[test]
    fn bytes_after_the_last_request_begin_a_head_in_http1_alone() {
        for (http2, expected) in [(false, true), (true, false)] {
            let activity = Activity::default();
            activity.read(100);
            activity.request_begins(http2);
            activity.request_ends();
            assert!(!activity.reading().head_begun);
            activity.read(1);
            assert_eq!(activity.reading().head_begun, expected);
        }
    }

    #[test]
    fn an_order_is_never_weakened() {
        let activity = Activity::default();
        activity.give(Order::Abort);
        activity.give(Order::Finish);
        assert_eq!(activity.order(Waker::noop()), Order::Abort);
    }
}

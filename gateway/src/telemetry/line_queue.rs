//! The way of a log line to standard error: bounded buffers and one thread.
//!
//! Lines are gathered in lanes, so that threads which write at the same time
//! do not wait for each other. The writing thread goes through the lanes and
//! then pauses, so a busy process wakes it some dozens of times a second and
//! not once a line. An idle one leaves it asleep.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::Level;

use super::LogFormat;
use super::line::Line;

/// What may wait to be written of one lane.
const MAX_PENDING_BYTES: usize = 1024 * 1024;
/// A buffer that has grown beyond this is not kept.
const MAX_KEPT_BYTES: usize = 256 * 1024;
/// The pause after each round.
const PAUSE: Duration = Duration::from_millis(15);
/// How long a flush may take; whoever reads us may be stuck.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// As many threads can push without waiting for each other.
const LANES: usize = 16;

thread_local! {
    /// The lane of this thread, whose lines so stay in order.
    static LANE: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Ordering::Relaxed) % LANES
    };
}

/// Takes lines and writes them from a thread of its own.
///
/// Never blocks: lines that do not fit are dropped, and a line that says how
/// many follows.
#[derive(Debug)]
pub struct LineQueue {
    lanes: [Mutex<Lane>; LANES],
    /// The writer has nothing to do and must be woken.
    asleep: AtomicBool,
    progress: Mutex<Progress>,
    /// The writer waits here.
    work: Condvar,
    /// Flushes wait here.
    written: Condvar,
}

#[derive(Debug, Default)]
struct Lane {
    pending: Vec<u8>,
    dropped: u64,
}

#[derive(Debug, Default)]
struct Progress {
    /// How often the writer has been through all lanes.
    rounds: u64,
    /// How often it is to go through them without a pause.
    wanted: u64,
}

// === impl LineQueue ===

impl LineQueue {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Panics
    ///
    /// If the system has no thread left, at start.
    #[must_use]
    pub fn start(sink: Box<dyn Write + Send>, format: LogFormat) -> Arc<Self> {
        let queue = Arc::new(Self {
            lanes: Default::default(),
            asleep: AtomicBool::new(false),
            progress: Mutex::default(),
            work: Condvar::new(),
            written: Condvar::new(),
        });
        let shared = Arc::clone(&queue);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.write_lines(sink, format))
            .expect("a thread can be started");
        queue
    }

    /// Queues one whole line, or counts it as dropped.
    pub(super) fn push(&self, line: &[u8]) {
        let mut lane = lock(&self.lanes[LANE.with(|lane| *lane)]);
        if lane.pending.len() + line.len() > MAX_PENDING_BYTES {
            lane.dropped += 1;
        } else {
            lane.pending.extend_from_slice(line);
        }
        drop(lane);
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            // It looks through the lanes once more before it lets go of this.
            drop(lock(&self.progress));
            self.work.notify_one();
        }
    }

    /// Waits until what is queued now has been written, for a second at most.
    pub fn flush(&self) {
        let mut progress = lock(&self.progress);
        // The round that is under way may have passed by.
        let target = progress.rounds + 2;
        progress.wanted = progress.wanted.max(target);
        self.work.notify_one();
        // The result says whether time ran out; there is nobody to tell.
        drop(self.written.wait_timeout_while(progress, FLUSH_TIMEOUT, |progress| progress.rounds < target));
    }

    /// The writer's life.
    fn write_lines(&self, mut sink: Box<dyn Write + Send>, format: LogFormat) {
        let mut lines = Vec::new();
        loop {
            let mut dropped = 0;
            for lane in &self.lanes {
                let mut lane = lock(lane);
                std::mem::swap(&mut lane.pending, &mut lines);
                dropped += std::mem::take(&mut lane.dropped);
                drop(lane);
                write_all(&mut *sink, &mut lines);
            }
            if dropped > 0 {
                report_dropped(&mut lines, format, dropped);
                write_all(&mut *sink, &mut lines);
            }
            let mut progress = lock(&self.progress);
            progress.rounds += 1;
            self.written.notify_all();
            let pause = self.work.wait_timeout_while(progress, PAUSE, Progress::may_pause);
            let (progress, _) = pause.unwrap_or_else(PoisonError::into_inner);
            self.sleep(progress);
        }
    }

    /// Waits for lines.
    fn sleep(&self, mut progress: MutexGuard<'_, Progress>) {
        // Whoever pushes after its lane was looked at sees this.
        self.asleep.store(true, Ordering::SeqCst);
        if self.lanes.iter().all(|lane| lock(lane).is_empty()) {
            while progress.may_pause() && self.asleep.load(Ordering::SeqCst) {
                progress = self.work.wait(progress).unwrap_or_else(PoisonError::into_inner);
            }
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

// === impl Lane ===

impl Lane {
    const fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.dropped == 0
    }
}

// === impl Progress ===

impl Progress {
    fn may_pause(&mut self) -> bool {
        self.rounds >= self.wanted
    }
}

/// Writes what there is and leaves a buffer that can be used again.
fn write_all(sink: &mut dyn Write, lines: &mut Vec<u8>) {
    if !lines.is_empty() {
        // A log that cannot be written cannot say so either.
        let _ = sink.write_all(lines).and_then(|()| sink.flush());
        lines.clear();
    }
    lines.shrink_to(MAX_KEPT_BYTES);
}

/// Every change under these locks is complete in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn report_dropped(batch: &mut Vec<u8>, format: LogFormat, dropped: u64) {
    let mut line = Line::begin(batch, format, Level::WARN, "portcullis::telemetry");
    line.message("log lines dropped, the reader of the log is too slow");
    line.literal("dropped", dropped);
    line.end();
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Memory that a queue writes to and a test reads.
    #[derive(Clone, Default)]
    pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A sink that stops in its first write until it is let go.
    struct Stuck(Sink, SyncSender<()>, Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Both are gone once the test has let go.
            let _ = self.1.send(());
            let _ = self.2.recv();
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_flush_waits_for_every_line_and_order_is_kept() {
        let sink = Sink::default();
        let queue = LineQueue::start(Box::new(sink.clone()), LogFormat::Text);
        let expected: String = (0..1000).map(|number| format!("{number}\n")).collect();
        for number in 0..1000 {
            queue.push(format!("{number}\n").as_bytes());
        }
        queue.flush();
        assert_eq!(sink.text(), expected);
    }

    #[test]
    fn no_line_of_many_threads_is_lost_and_each_ones_stay_in_order() {
        let sink = Sink::default();
        let queue = LineQueue::start(Box::new(sink.clone()), LogFormat::Text);
        std::thread::scope(|scope| {
            for thread in 0..2 * LANES {
                let queue = &queue;
                scope.spawn(move || (0..100).for_each(|number| queue.push(format!("{thread} {number}\n").as_bytes())));
            }
        });
        queue.flush();
        let mut next = [0; 2 * LANES];
        for line in sink.text().lines() {
            let (thread, number) = line.split_once(' ').unwrap();
            let next = &mut next[thread.parse::<usize>().unwrap()];
            assert_eq!(number, next.to_string());
            *next += 1;
        }
        assert_eq!(next, [100; 2 * LANES]);
    }

    #[test]
    fn a_line_wakes_a_writer_that_sleeps() {
        let sink = Sink::default();
        let queue = LineQueue::start(Box::new(sink.clone()), LogFormat::Text);
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        for number in 1..=20 {
            while !queue.asleep.load(Ordering::SeqCst) {
                assert!(std::time::Instant::now() < deadline);
                std::thread::yield_now();
            }
            queue.push(b"x\n");
            while sink.text().lines().count() < number {
                assert!(std::time::Instant::now() < deadline);
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_is_told_how_many() {
        let sink = Sink::default();
        let (entered, wait_entered) = sync_channel(0);
        let (let_go, wait_let_go) = sync_channel(0);
        let queue = LineQueue::start(Box::new(Stuck(sink.clone(), entered, wait_let_go)), LogFormat::Json);
        queue.push(b"first\n");
        wait_entered.recv().unwrap();
        let line = [b'x'; 1024];
        for _ in 0..MAX_PENDING_BYTES / line.len() + 5 {
            queue.push(&line);
        }
        drop((let_go, wait_entered));
        queue.flush();
        queue.flush();
        assert!(sink.text().contains(r#""dropped":5}"#));
    }
}

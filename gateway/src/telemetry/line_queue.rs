//! The way of a log line to standard error: a bounded buffer and one thread.
//!
//! The thread writes all that has gathered in one call and then pauses, so a
//! busy process wakes it some dozens of times a second and not once a line.
//! An idle one leaves it asleep.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::Level;

use super::LogFormat;
use super::line::Line;

/// What may wait to be written.
const MAX_PENDING_BYTES: usize = 1024 * 1024;
/// A buffer that has grown beyond this is not kept.
const MAX_KEPT_BYTES: usize = 256 * 1024;
/// The pause after each batch.
const PAUSE: Duration = Duration::from_millis(15);
/// How long a flush may take; whoever reads us may be stuck.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes lines and writes them from a thread of its own.
///
/// Never blocks: lines that do not fit are dropped, and a line that says how
/// many follows.
#[derive(Debug)]
pub struct LineQueue {
    state: Mutex<State>,
    /// The writer waits here.
    work: Condvar,
    /// Flushes wait here.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pending: Vec<u8>,
    dropped: u64,
    /// The writer has nothing to do and must be woken.
    asleep: bool,
    /// Somebody waits for a flush: no pause.
    urgent: bool,
    accepted: u64,
    written: u64,
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
        let queue = Arc::new(Self { state: Mutex::default(), work: Condvar::new(), written: Condvar::new() });
        let shared = Arc::clone(&queue);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.write_lines(sink, format))
            .expect("a thread can be started");
        queue
    }

    /// Queues one whole line, or counts it as dropped.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.pending.len() + line.len() > MAX_PENDING_BYTES {
            state.dropped += 1;
        } else {
            state.pending.extend_from_slice(line);
            state.accepted += 1;
        }
        if std::mem::take(&mut state.asleep) {
            self.work.notify_one();
        }
    }

    /// Waits until what is queued now has been written, for a second at most.
    pub fn flush(&self) {
        let mut state = self.lock();
        let target = state.accepted;
        state.urgent = true;
        self.work.notify_one();
        // The result says whether time ran out; there is nobody to tell.
        drop(self.written.wait_timeout_while(state, FLUSH_TIMEOUT, |state| state.written < target));
    }

    /// The writer's life.
    fn write_lines(&self, mut sink: Box<dyn Write + Send>, format: LogFormat) {
        let mut batch = Vec::new();
        loop {
            let (upto, dropped) = self.take_batch(&mut batch);
            if dropped > 0 {
                report_dropped(&mut batch, format, dropped);
            }
            // A log that cannot be written cannot say so either.
            let _ = sink.write_all(&batch).and_then(|()| sink.flush());
            batch.clear();
            batch.shrink_to(MAX_KEPT_BYTES);
            let mut state = self.lock();
            state.written = upto;
            self.written.notify_all();
            drop(self.work.wait_timeout_while(state, PAUSE, |state| !state.urgent));
        }
    }

    /// Waits for lines and takes them all.
    fn take_batch(&self, batch: &mut Vec<u8>) -> (u64, u64) {
        let mut state = self.lock();
        while state.pending.is_empty() && state.dropped == 0 && !state.urgent {
            state.asleep = true;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
        state.urgent = false;
        std::mem::swap(&mut state.pending, batch);
        (state.accepted, std::mem::take(&mut state.dropped))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change to the state is complete in itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

//! One connection: from when it was made to its end, nothing outlives it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::super::TransportError;
use super::message_pipe::Pipe;

/// How long [`Connection::ended`] waits; more than an orderly end takes.
const END_LIMIT: Duration = Duration::from_secs(10);

/// What a connection is made for.
#[derive(Debug)]
pub(in super::super) struct Opening {
    /// The upstream's name.
    pub(in super::super) upstream: Arc<str>,
    /// Which connection it is, counted from 1.
    pub(in super::super) number: u64,
    /// Counts up when it was lost.
    pub(super) lost: watch::Sender<u64>,
}

/// A connection, which may have ended.
#[derive(Debug)]
pub(in super::super) struct Connection {
    number: u64,
    started: Instant,
    pipe: Arc<Pipe>,
    stop: Arc<Notify>,
    end: watch::Receiver<Option<End>>,
    _leash: Leash,
}

/// Asks for an orderly end.
#[derive(Debug)]
pub(in super::super) struct Stop(Arc<Notify>);

/// Ends at once, when dropped, whatever a connection lives by.
pub(in super::super) struct Leash(Box<dyn Fn() + Send + Sync>);

/// How serving a connection ended.
#[derive(Debug)]
pub(in super::super) struct Ended {
    /// What those who wait are told.
    pub(in super::super) error: TransportError,
    /// Whether it was asked for.
    pub(in super::super) orderly: bool,
}

/// How a connection ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// When.
    pub(super) at: Instant,
    /// Why, for the log.
    pub(super) cause: String,
}

// === impl Connection ===

impl Connection {
    /// Serves a connection in a task of its own: `serving` reads and writes
    /// until either has an end, or until it is asked to stop.
    pub(in super::super) fn serve<F>(
        opening: Opening,
        pipe: Arc<Pipe>,
        leash: Option<Leash>,
        serving: impl FnOnce(Stop) -> F,
    ) -> Self
    where
        F: Future<Output = Ended> + Send + 'static,
    {
        let Opening { upstream, number, lost } = opening;
        let stop = Arc::new(Notify::new());
        let (end_sender, end) = watch::channel(None);
        let (serving, ending) = (serving(Stop(Arc::clone(&stop))), Arc::clone(&pipe));
        let task = tokio::spawn(async move {
            let Ended { error, orderly } = serving.await;
            ending.end(&error);
            if orderly {
                info!(%upstream, connection = number, "the connection to the upstream was ended");
            } else {
                warn!(%upstream, connection = number, %error, "the connection to the upstream was lost");
            }
            // The end first: whoever hears of the loss must find it.
            end_sender.send_replace(Some(End { at: Instant::now(), cause: error.cause() }));
            lost.send_modify(|lost| *lost += 1);
        });
        let leash = leash.unwrap_or_else(|| {
            let task = task.abort_handle();
            Leash::new(move || task.abort())
        });
        Self { number, started: Instant::now(), pipe, stop, end, _leash: leash }
    }

    /// Which connection it is, counted from 1.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// When it was made.
    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    /// Our end of it.
    pub(super) const fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// How it ended; `None` while it holds.
    pub(super) fn end(&self) -> Option<End> {
        self.end.borrow().clone()
    }

    /// Asks it to end; [`Connection::ended`] tells when it has.
    pub(super) fn stop(&self) {
        self.stop.notify_one();
    }

    /// Waits for the end, within bounds.
    pub(super) async fn ended(&self) {
        let mut end = self.end.clone();
        // An error means that the task is gone, and what it served with it.
        let _ = timeout(END_LIMIT, end.wait_for(Option::is_some)).await;
    }
}

// === impl Stop ===

impl Stop {
    /// Returns when it is to end.
    pub(in super::super) async fn asked(&self) {
        self.0.notified().await;
    }
}

// === impl Leash ===

impl Leash {
    /// Calls `end` when it is dropped.
    pub(in super::super) fn new(end: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Box::new(end))
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl fmt::Debug for Leash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leash")
    }
}

// === impl Ended ===

impl Ended {
    /// Because it was asked for.
    pub(in super::super) fn orderly() -> Self {
        Self { error: TransportError::Disconnected("it was ended".to_owned()), orderly: true }
    }

    /// Because of this.
    pub(in super::super) const fn lost(error: TransportError) -> Self {
        Self { error, orderly: false }
    }
}

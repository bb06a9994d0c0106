//! What bounds the streams that clients leave open, all sessions together, and
//! what ends them.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::changes::Moment;
use super::places::Places;

/// Streams that stand open.
pub const MAX_STREAMS: usize = 4096;
/// The same of one caller.
pub const MAX_OF_CALLER: usize = 64;
/// Bytes that are kept for all of them, sent or not.
pub(super) const MAX_KEPT_BYTES: usize = 256 * 1024 * 1024;
/// Calls that go on though the connection of their client is gone. Each takes
/// a place in the audit log.
const MAX_DETACHED: usize = 256;

/// The streams of the process.
#[derive(Debug)]
pub struct Streams {
    places: Arc<Places>,
    /// Since when the configuration is that is in force.
    in_force: watch::Sender<Moment>,
    kept_bytes: AtomicUsize,
    detached: Arc<Semaphore>,
}

// === impl Streams ===

impl Streams {
    /// Where streams take their places.
    #[must_use]
    pub const fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// Ends the streams that were opened under what was in force before
    /// `since`: their clients come again and are looked at anew.
    pub fn enter(&self, since: Moment) {
        self.in_force.send_replace(since);
    }

    /// Ends all of them: the process is about to.
    pub fn end_all(&self) {
        self.enter(Moment::END);
    }

    /// Returns once something else is in force than what was `since` then.
    pub fn superseded(&self, since: Moment) -> impl Future<Output = ()> + Send + use<> {
        let mut in_force = self.in_force.subscribe();
        async move {
            // An error says that the process ends.
            let _ = in_force.wait_for(|now| *now > since).await;
        }
    }

    /// Makes a place for a call without a client; `None` if there are too many.
    pub(super) fn detach(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.detached).try_acquire_owned().ok()
    }

    /// Counts bytes that are kept; says whether there is room for them.
    pub(super) fn keep(&self, bytes: usize) -> bool {
        let added = |kept: usize| kept.checked_add(bytes).filter(|kept| *kept <= MAX_KEPT_BYTES);
        self.kept_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added).is_ok()
    }

    /// Gives back what was counted.
    pub(super) fn release(&self, bytes: usize) {
        self.kept_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            places: Arc::new(Places::new(MAX_STREAMS, MAX_OF_CALLER)),
            in_force: watch::Sender::new(Moment::BEGINNING),
            kept_bytes: AtomicUsize::new(0),
            detached: Arc::new(Semaphore::new(MAX_DETACHED)),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_stream_ends_with_the_configuration_it_was_opened_under() {
        let streams = Streams::default();
        let [old, new] = [Moment::next(), Moment::next()];
        streams.enter(old);
        // The next one's streams may come before it is said to be in force.
        let (mut of_old, mut of_new) = (Box::pin(streams.superseded(old)), Box::pin(streams.superseded(new)));
        assert_eq!(((&mut of_old).now_or_never(), (&mut of_new).now_or_never()), (None, None));
        streams.enter(new);
        assert_eq!((of_old.now_or_never(), (&mut of_new).now_or_never()), (Some(()), None));
        // One that was let in by the last and comes late.
        assert_eq!(streams.superseded(old).now_or_never(), Some(()));
        streams.end_all();
        assert_eq!(of_new.now_or_never(), Some(()));
    }
}

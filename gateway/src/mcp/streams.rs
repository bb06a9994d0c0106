//! What bounds the streams that clients leave open, all sessions together, and
//! what ends them.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::changes::Moment;

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
    /// By caller.
    open: Mutex<HashMap<Caller, usize>>,
    /// Since when the configuration is that is in force.
    in_force: watch::Sender<Moment>,
    kept_bytes: AtomicUsize,
    detached: Arc<Semaphore>,
}

/// Whom streams are counted for: a principal. Who has no credential cannot be
/// told from others by name, and counts by address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    name: Arc<str>,
    address: Option<IpAddr>,
}

/// The place of one stream; dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    streams: Arc<Streams>,
    caller: Caller,
}

// === impl Streams ===

impl Streams {
    /// Makes a place for a stream; `None` if there are too many.
    #[must_use]
    pub fn place(self: &Arc<Self>, caller: Caller) -> Option<Place> {
        let mut open = self.open();
        if open.values().sum::<usize>() >= MAX_STREAMS {
            return None;
        }
        let of_caller = open.entry(caller.clone()).or_default();
        if *of_caller >= MAX_OF_CALLER {
            return None;
        }
        *of_caller += 1;
        Some(Place { streams: Arc::clone(self), caller })
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

    fn open(&self) -> MutexGuard<'_, HashMap<Caller, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            in_force: watch::Sender::new(Moment::BEGINNING),
            kept_bytes: AtomicUsize::new(0),
            detached: Arc::new(Semaphore::new(MAX_DETACHED)),
        }
    }
}

// === impl Caller ===

impl Caller {
    /// Who has proved to be the principal of this name.
    #[must_use]
    pub fn new(principal: Arc<str>, address: Option<IpAddr>) -> Self {
        let address = address.filter(|_| *principal == *"anonymous");
        Self { name: principal, address }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open();
        if let Some(of_caller) = open.get_mut(&self.caller) {
            *of_caller -= 1;
            if *of_caller == 0 {
                open.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt;

    use super::*;

    fn caller(name: &str, last: u8) -> Caller {
        Caller::new(name.into(), Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))))
    }

    #[test]
    fn a_caller_has_so_many_streams_and_others_have_theirs() {
        let streams = Arc::new(Streams::default());
        for (full, same, other) in [
            (caller("alice", 1), caller("alice", 2), caller("bob", 1)),
            (caller("anonymous", 1), caller("anonymous", 1), caller("anonymous", 2)),
        ] {
            let mut places: Vec<Place> =
                (0..MAX_OF_CALLER).map(|_| streams.place(full.clone()).expect("there is room")).collect();
            assert!(streams.place(same).is_none());
            assert!(streams.place(other).is_some());
            places.pop();
            assert!(streams.place(full).is_some());
        }
        assert!(streams.open().is_empty());
    }

    #[test]
    fn all_callers_together_are_bounded() {
        let streams = Arc::new(Streams::default());
        let place = |index: usize| streams.place(Caller::new(index.to_string().into(), None));
        let mut places: Vec<_> = (0..MAX_STREAMS).map(|index| place(index).expect("there is room")).collect();
        assert!(place(MAX_STREAMS).is_none());
        places.pop();
        assert!(place(MAX_STREAMS).is_some());
    }

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

//! The resources that one client wants to hear of, and what was heard of them
//! and not yet said.
//!
//! Of each resource the last word alone waits: that it changed says the client
//! no more when it is said twice. So what waits is bounded without a loss.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::changes::Moment;

/// Resources that one client may subscribe to.
pub const MAX_OF_CLIENT: usize = 1024;
/// Changed resources that wait to be told of. Servers may name parts of what
/// was subscribed to, so there may be more of them than of those; the oldest
/// makes room.
const MAX_WAITING: usize = MAX_OF_CLIENT;

/// What ends a subscription when it is dropped.
pub type Lease = Box<dyn Send + Sync>;

/// One client's subscriptions.
#[derive(Debug, Default)]
pub struct Subscriptions {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Default)]
struct State {
    held: HashMap<Arc<str>, Held>,
    waiting: VecDeque<(Arc<str>, Bytes)>,
}

/// A subscription, and the configuration under which it was made.
struct Held {
    since: Moment,
    _lease: Lease,
}

/// The client has as many subscriptions as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

// === impl Subscriptions ===

impl Subscriptions {
    /// Whether one more may be made.
    #[must_use]
    pub fn has_room_for(&self, uri: &str) -> bool {
        let state = self.state();
        state.held.len() < MAX_OF_CLIENT || state.held.contains_key(uri)
    }

    /// Keeps a subscription by the URI that the client knows; an earlier one of
    /// that URI ends.
    ///
    /// # Errors
    ///
    /// If there are too many; the lease ends.
    pub fn hold(&self, uri: Arc<str>, since: Moment, lease: Lease) -> Result<(), TooMany> {
        let mut state = self.state();
        if state.held.len() >= MAX_OF_CLIENT && !state.held.contains_key(&uri) {
            drop(state);
            drop(lease);
            return Err(TooMany);
        }
        let earlier = state.held.insert(uri, Held { since, _lease: lease });
        // What ends with it takes locks of its own.
        drop(state);
        drop(earlier);
        Ok(())
    }

    /// Puts a subscription in the place of the one there is; where that has
    /// ended meanwhile, this ends as well.
    pub fn hold_again(&self, uri: &str, since: Moment, lease: Lease) {
        let mut state = self.state();
        let earlier = match state.held.get_mut(uri) {
            Some(held) => std::mem::replace(held, Held { since, _lease: lease })._lease,
            None => lease,
        };
        // What ends with it takes locks of its own.
        drop(state);
        drop(earlier);
    }

    /// Ends a subscription, if there is one.
    pub fn release(&self, uri: &str) {
        let mut state = self.state();
        let held = state.held.remove(uri);
        state.waiting.retain(|(waiting, _)| **waiting != *uri);
        drop(state);
        drop(held);
    }

    /// Ends all of them.
    pub fn release_all(&self) {
        let all = std::mem::take(&mut *self.state());
        drop(all);
    }

    /// The subscriptions that were made under an earlier configuration.
    #[must_use]
    pub fn made_before(&self, since: Moment) -> Vec<Arc<str>> {
        let state = self.state();
        state.held.iter().filter(|(_, held)| held.since < since).map(|(uri, _)| Arc::clone(uri)).collect()
    }

    /// Takes in the notification that a resource changed.
    pub fn updated(&self, uri: Arc<str>, message: Bytes) {
        let mut state = self.state();
        match state.waiting.iter_mut().find(|(waiting, _)| *waiting == uri) {
            Some((_, earlier)) => *earlier = message,
            None => {
                if state.waiting.len() >= MAX_WAITING {
                    state.waiting.pop_front();
                }
                state.waiting.push_back((uri, message));
            }
        }
        drop(state);
        self.more.notify_one();
    }

    /// The next notification, as soon as there is one; it waits on until it is
    /// [`told`](Self::told). One may wait at a time.
    pub async fn next(&self) -> (Arc<str>, Bytes) {
        loop {
            let more = self.more.notified();
            if let Some((uri, message)) = self.state().waiting.front() {
                return (Arc::clone(uri), message.clone());
            }
            more.await;
        }
    }

    /// The client was told: unless there is a newer word, none waits.
    pub fn told(&self, uri: &str, message: &Bytes) {
        let mut state = self.state();
        state.waiting.retain(|(waiting, word)| **waiting != *uri || word != message);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriptions").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;

    use super::*;

    struct Counted(Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_replaced_released_or_too_much_ends() {
        let (subscriptions, ended) = (Subscriptions::default(), Arc::new(AtomicUsize::new(0)));
        let hold = |uri: &str| subscriptions.hold(uri.into(), Moment::next(), Box::new(Counted(Arc::clone(&ended))));
        let ends = || ended.load(Ordering::Relaxed);
        assert_eq!((hold("a"), hold("a"), ends()), (Ok(()), Ok(()), 1));
        subscriptions.release("a");
        subscriptions.release("a");
        assert_eq!(ends(), 2);
        (0..MAX_OF_CLIENT).for_each(|index| assert_eq!(hold(&index.to_string()), Ok(())));
        assert!(!subscriptions.has_room_for("more") && subscriptions.has_room_for("0"));
        assert_eq!((hold("more"), ends()), (Err(TooMany), 3));
        subscriptions.release_all();
        assert_eq!(ends(), 3 + MAX_OF_CLIENT);
    }

    #[test]
    fn the_last_word_of_each_waits_until_it_was_told() {
        let subscriptions = Subscriptions::default();
        let next = || subscriptions.next().now_or_never().map(|(uri, word)| (uri.to_string(), word));
        assert_eq!(next(), None);
        for (uri, word) in [("a", "1"), ("b", "2"), ("a", "3")] {
            subscriptions.updated(uri.into(), Bytes::from(word));
        }
        let first = ("a".to_owned(), Bytes::from("3"));
        assert_eq!((next(), next()), (Some(first.clone()), Some(first.clone())));
        // A newer word came while the last was said.
        subscriptions.updated("a".into(), Bytes::from("4"));
        subscriptions.told("a", &first.1);
        let newer = next().unwrap();
        assert_eq!(newer.1, "4");
        subscriptions.told("a", &newer.1);
        assert_eq!(next().unwrap().0, "b");
        subscriptions.release("b");
        assert_eq!(next(), None);
    }

    #[test]
    fn what_waits_is_bounded() {
        let subscriptions = Subscriptions::default();
        (0..=MAX_WAITING).for_each(|index| subscriptions.updated(index.to_string().into(), Bytes::new()));
        assert_eq!(&*subscriptions.next().now_or_never().unwrap().0, "1");
    }

    #[test]
    fn those_of_an_earlier_configuration_are_told_apart() {
        let subscriptions = Subscriptions::default();
        let [old, new] = [Moment::next(), Moment::next()];
        for (uri, since) in [("old", old), ("new", new)] {
            subscriptions.hold(uri.into(), since, Box::new(())).unwrap();
        }
        assert_eq!(subscriptions.made_before(new), ["old".into()]);
        assert!(subscriptions.made_before(old).is_empty());
    }
}
